"""The examples of the API in docs/app.md, run as they are but for address, styles and names."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from PIL import Image

from tests.fixtures import toy_app
from tests.fixtures.toy_videos import make_video
from toonify.files import find_project
from toonify.ui import components
from toonify.ui.handlers import photo as photo_tab

DOCS = (find_project() / "docs" / "app.md").read_text(encoding="utf-8")
NAMES = {"comic": "toy", "animated": "bold"}  # styles of the toys
FUNCTIONS = {
    *("styles", "detect", "toonify", "video", "clip", "portrait", "latent"),
    *("faces", "mix", "loop", "twin"),
}


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(photo_tab, "find_faces", toy_app.find_faces)
        with toy_app.served(toy_app.Toys()) as url:
            yield url


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with the files of the examples."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(components.EXAMPLES[0], "portrait.jpg")
    make_video(Path("party.mp4"), range(0, 3003, 1001))
    return tmp_path


def read_example(language: str, address: str) -> str:
    [block] = [
        block
        for block in re.findall(rf"^```{language}\n(.*?)^```$", DOCS, re.M | re.S)
        if "127.0.0.1:7860" in block
    ]
    for old, new in NAMES.items():
        block = block.replace(old, new)
    return block.replace("http://127.0.0.1:7860", address)


def test_examples_of_gradio_client_run(address, folder):
    block = read_example("python", address)
    assert set(re.findall(r'api_name="/(\w+)"', block)) == FUNCTIONS
    found = {}
    exec(compile(block, "docs/app.md", "exec"), found)
    assert [style["name"] for style in found["styles"]] == [*("toy", "mask", "ink", "bold", "soft")]
    assert len(found["faces"]) == 1 and len(found["gallery"]) == 4
    with Image.open(found["png"]) as image:
        assert image.format == "PNG"
    assert Path(found["mp4"]).suffix == ".mp4" and Path(found["gif"]).suffix == ".gif"
    assert Path(found["latent"]).suffix == ".safetensors" and found["note"]


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl on the PATH")
def test_examples_of_curl_run(address, folder):
    block = read_example("sh", address)
    assert set(re.findall(r"^call (\w+) ", block, re.M)) == FUNCTIONS
    done = subprocess.run(
        ["sh", "-eu", "-c", block], capture_output=True, text=True, check=True, timeout=300
    )
    events = re.findall(r"^event: (complete|error)$", done.stdout, re.M)
    assert events == ["complete"] * len(FUNCTIONS), done.stdout
    for data in re.findall(r"^data: (.+)$", done.stdout, re.M):
        json.loads(data)
    with Image.open("cartoon.png") as image:
        assert image.size == (512, 512)
