"""The Space: its front matter, pins and requirements agree with the project, and it is deployed."""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from huggingface_hub import SpaceCard

from tests.fixtures.hub_server import WRITER
from tests.unit.hub.test_cards import faults
from toonify import hub
from toonify.cli import main
from toonify.hub import space

ROOT = Path(__file__).resolve().parents[3]
README = (ROOT / "README.md").read_text()
REQUIREMENTS = (ROOT / "requirements.txt").read_text()


@pytest.fixture(scope="module")
def front() -> dict:
    return yaml.safe_load(README.split("---\n")[1])


def test_the_sdk_version_is_one_that_requirements_allow(front):
    low, high = re.search(r"^gradio>=([\d.]+),<(\d+)$", REQUIREMENTS, re.M).groups()
    version = [int(part) for part in front["sdk_version"].split(".")]
    assert [int(part) for part in low.split(".")] <= version[: len(low.split("."))]
    assert version[0] < int(high)


def test_the_front_matter_names_real_things(front):
    assert front["sdk"] == "gradio"
    assert (ROOT / front["app_file"]).is_file()
    assert front["python_version"] == "3.12.12"  # the one version that fits ZeroGPU and diffusers
    assert front["license"] == "apache-2.0"
    assert len(front["short_description"]) <= 60
    assert "Apache License" in (ROOT / "LICENSE").read_text()


def test_the_two_commands_are_one_line_each_and_include_everything():
    commands = [line for line in README.splitlines() if line.startswith("python3 -m venv")]
    assert len(commands) == 2
    for command in commands:
        assert "pip install -r requirements.txt" in command
    assert commands[0].endswith("app.py")
    assert commands[1].endswith("-m pytest -n 3 --dist loadfile")


def test_facenet_is_pinned_to_the_version_that_takes_any_torch():
    assert re.search(r"^facenet-pytorch==2\.5\.3$", REQUIREMENTS, re.M)


def test_notice_lists_every_bundled_style():
    notice = (ROOT / "NOTICE").read_text()
    styles = [p.name for p in (ROOT / "toonify" / "weights").iterdir() if p.is_dir()]
    assert styles
    assert not [name for name in styles if f"toonify/weights/{name}" not in notice]


def test_bundled_weights_stay_small():
    size = sum(p.stat().st_size for p in (ROOT / "toonify" / "weights").rglob("*") if p.is_file())
    assert size < 120e6


# What is deployed -------------------------------------------------------------------------------

# Names that are imported -> the packages that bring them, where they differ.
BROUGHT_BY = {
    "PIL": "pillow",
    "cv2": "opencv-python-headless",
    "huggingface_hub": "huggingface-hub",
    "facenet_pytorch": "facenet-pytorch",
    "httpx2": "huggingface-hub",
    "onnxruntime": "openvino",
    "starlette": "gradio",
    "typing_extensions": "gradio",
}


def packages(text: str) -> set[str]:
    """Names of the packages in a requirements file."""
    return {re.split(r"[^\w-]", line)[0] for line in text.splitlines() if line[:1].isalpha()}


def test_the_space_has_the_projects_front_matter_and_no_pins(front):
    text = space.write_card("ann/toonify")
    ours = SpaceCard(text).data.to_dict()
    assert ours == {key: value for key, value in front.items() if value not in ([], None)}
    assert faults(text) == [] and 'Client("ann/toonify")' in text


def test_the_space_holds_all_that_the_app_opens_and_nothing_else():
    files = space.files("ann/toonify")
    assert all(isinstance(data, bytes) or data.is_file() for data in files.values())
    weights = {path.parent.name for path in (ROOT / "toonify" / "weights").glob("*/config.json")}
    assert {f"toonify/weights/{name}/{hub.WEIGHTS[0]}" for name in weights} <= set(files)
    assert {"app.py", "NOTICE", "LICENSE", "hub_cards/faces/astronaut.jpg"} <= set(files)
    assert not [name for name in files if name.startswith(("tests", "training")) or "/." in name]
    links = re.findall(r"\]\((?!http)([^)#]+)\)", files["README.md"].decode())
    assert links and set(links) <= set(files)


def test_requirements_of_the_space_are_what_the_app_imports():
    ours, all_of_them = packages(space.filter_requirements(REQUIREMENTS)), packages(REQUIREMENTS)
    assert (
        ours == all_of_them - set(space.UNUSED_PACKAGES)
        and set(space.UNUSED_PACKAGES) <= all_of_them
    )
    rooms = ("convert", "cli", "cards", "web")  # of commands, which the Space does not run
    parts = [p for p in (ROOT / "toonify").rglob("*.py") if p.parent.name not in rooms]
    imported = set()
    for path in [ROOT / "app.py", *(p for p in parts if p.stem not in ("upload", "space"))]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported.add(node.module.split(".")[0])
    imported -= {*sys.stdlib_module_names, "toonify", "spaces"}
    assert {BROUGHT_BY.get(name, name) for name in imported} <= ours
    assert "playwright" not in space.filter_requirements(REQUIREMENTS)
    assert "# Tests" not in space.filter_requirements(REQUIREMENTS)


def test_a_comment_stays_with_what_it_is_about():
    text = "# Both.\ntorch>=2\npytest\n# Tests.\npytest\nruff\n# Two\n# lines.\nnumpy\n"
    assert space.filter_requirements(text) == "# Both.\ntorch>=2\n# Two\n# lines.\nnumpy\n"


def test_a_dry_run_shows_files_and_sizes_and_sends_nothing(capsys):
    assert main(["deploy", "--space", "ann/toonify", "--dry-run"]) == 0
    said = capsys.readouterr().out
    size = (hub.BUNDLED / "comic" / hub.WEIGHTS[0]).stat().st_size
    assert f"{size:,} bytes  toonify/weights/comic/" in said and "nothing was sent" in said


def test_an_invalid_repository_id_is_wrong_usage(capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["deploy", "--space", "toonify"])
    assert "--space 'toonify' is not a valid repository ID" in capsys.readouterr().err


# A process that deploys, with the smaller part of the app.
DEPLOY = """
import contextlib, io
from toonify.hub import space
from toonify.cli import main

space.FOLDERS = ("toonify/ui", "toonify/weights/comic")

def answer(arguments):
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(out):
        code = main(["deploy", *arguments])
    return {"code": code, "said": out.getvalue()}
"""


def test_the_space_is_created_and_brought_up_to_date(server, tmp_path):
    with server.client(DEPLOY, tmp_path, HF_TOKEN=WRITER) as client:
        first = client(["--space", "owner/toonify"])
        assert first["code"] == 0 and f"{server.url}/spaces/owner/toonify" in first["said"]
        head = server.head("spaces/owner/toonify")
        weights = f"toonify/weights/comic/{hub.WEIGHTS[0]}"
        assert head[weights] == (ROOT / weights).read_bytes()
        assert head["README.md"].decode() == space.write_card("owner/toonify")

        server.put("spaces/owner/toonify", {**head, "toonify/old.py": b"", "notes.md": b"mine"})
        assert "1 files changed" in client(["--space", "owner/toonify"])["said"]
        head = server.head("spaces/owner/toonify")
        assert "toonify/old.py" not in head and head["notes.md"] == b"mine"
        assert "there already" in client(["--space", "owner/toonify"])["said"]
        refused = client(["--space", "else/toonify"])
        assert refused["code"] == 1 and "no permission to write to else" in refused["said"]


# How it starts ----------------------------------------------------------------------------------

SPACES = """
import sys
assert "torch" not in sys.modules, "torch came first"
lent = []
def GPU(function):
    lent.append(f"{function.__module__}.{function.__qualname__}")
    return function
"""
START = """
import json, runpy, sys, threading, types
import gradio

order = []
def note(name):
    return lambda *_, **__: order.append([name, threading.current_thread().name])
# In torch's place: what is asked here is in which order, not what is drawn.
pipeline = types.SimpleNamespace(from_pretrained=note("load"))
sys.modules["toonify.pipelines.animegan"] = types.SimpleNamespace(AnimeGANPipeline=pipeline)
class Faces:
    from_pretrained = lambda *_, **__: note("faces")
sys.modules["toonify.pipelines.toongan"] = types.SimpleNamespace(ToonGANPipeline=Faces)
gradio.Blocks.launch, gradio.Blocks.block_thread = note("launch"), note("wait")
runpy.run_path("app.py", run_name="__main__")
print(json.dumps([sys.modules["spaces"].lent, order]))
"""


def test_on_zerogpu_functions_get_a_gpu_and_networks_load_before_the_launch(tmp_path):
    (tmp_path / "spaces.py").write_text(SPACES)
    environment = {
        "PATH": "",
        "HOME": str(tmp_path),
        "PYTHONPATH": f"{tmp_path}:{ROOT}",
        "SPACES_ZERO_GPU": "true",
        "OMP_NUM_THREADS": "1",
        "GRADIO_ANALYTICS_ENABLED": "False",
    }
    run = subprocess.run(
        [sys.executable, "-c", START], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    lent, order = json.loads(run.stdout.splitlines()[-1])
    assert {"toonify.ui.handlers.photo.draw", "toonify.ui.handlers.portrait.draw"} <= set(lent)
    assert order == [[step, "MainThread"] for step in ("load", "faces", "launch", "wait")]
