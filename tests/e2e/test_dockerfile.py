"""The Dockerfile's steps as far as no Docker engine is needed: what it copies, starts and asks."""

import ast
import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import httpx
import pytest
from gradio_client import Client, handle_file
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]


def instructions() -> list[tuple[str, str]]:
    """(instruction, its text) of each step, continued lines joined."""
    text = re.sub(r"\\\n\s*", "", (ROOT / "Dockerfile").read_text())
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [tuple(line.split(None, 1)) for line in lines]


def texts(name: str) -> list[str]:
    return [text for instruction, text in instructions() if instruction == name]


def test_it_runs_as_a_user_and_installs_what_the_package_asks_for():
    order = [instruction for instruction, _ in instructions()]
    assert texts("USER") == ["toonify"] and order.index("USER") < order.index("COPY")
    cpu, package = (text for text in texts("RUN") if text.startswith("pip install"))
    assert "torch torchvision" in cpu and "/whl/cpu" in cpu
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extra = re.search(r'"\.\[(\w+)\]"', package).group(1)
    assert extra in project["optional-dependencies"]
    python = re.fullmatch(r"python:(\d+\.\d+)-slim", texts("FROM")[0]).group(1)
    assert tuple(map(int, python.split("."))) >= (3, 11)


@pytest.mark.process
def test_what_it_copies_starts_answers_its_health_check_and_draws(tmp_path, photo_path):
    """Without a network, as all tests run."""
    settings = {"GRADIO_TEMP_DIR": str(tmp_path / "visitors"), "HF_HUB_OFFLINE": "1"}
    for copied in texts("COPY"):
        *sources, target = [word for word in copied.split() if not word.startswith("--")]
        for source in sources:
            path = ROOT / source
            if path.is_dir():
                shutil.copytree(path, tmp_path / target, ignore=shutil.ignore_patterns("__py*"))
            else:
                shutil.copy(path, tmp_path / target)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    settings |= dict(re.findall(r"(GRADIO_\w+)=(\S+)", texts("ENV")[0]))
    assert settings["GRADIO_SERVER_PORT"] == texts("EXPOSE")[0] == "7860"
    settings |= {"GRADIO_SERVER_PORT": port, "GRADIO_SERVER_NAME": "127.0.0.1"}
    command = [sys.executable if w == "python" else w for w in json.loads(texts("CMD")[0])]
    check = texts("HEALTHCHECK")[0]
    check = json.loads(check[check.index("[") :])
    ast.parse(check[-1])
    check = [sys.executable, *check[1:-1], check[-1].replace("7860", port)]
    streams = dict(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    app = subprocess.Popen(command, cwd=tmp_path, env=os.environ | settings, **streams)
    try:
        assert subprocess.run(check, capture_output=True).returncode != 0  # not up yet
        deadline = time.monotonic() + 300  # it takes 20 s of a processor
        while not is_ready(f"http://127.0.0.1:{port}/health"):
            assert app.poll() is None, f"{shlex.join(command)} ended"
            assert time.monotonic() < deadline
            time.sleep(0.2)
        assert subprocess.run(check, capture_output=True).returncode == 0
        client = Client(f"http://127.0.0.1:{port}", verbose=False, download_files=tmp_path / "got")
        with Image.open(client.predict(handle_file(photo_path), api_name="/toonify")) as toon:
            assert toon.size == (512, 512)
    finally:
        app.terminate()
        app.wait(timeout=30)


def is_ready(url: str) -> bool:
    """Whether the app says so; quicker than its health check, which is a process each time."""
    try:
        return httpx.get(url, timeout=10, verify=False).status_code == 200
    except httpx.TransportError:
        return False
