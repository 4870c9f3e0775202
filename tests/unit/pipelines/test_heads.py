"""3D heads: the program that is started, and what becomes of what it says."""

import json
import subprocess
from pathlib import Path

import pytest
from PIL import Image

from toonify import images
from toonify.images import marks
from toonify.pipelines import heads


@pytest.fixture
def pipeline(monkeypatch):
    monkeypatch.setattr(heads, "find_spec", lambda name: name)
    return heads.HeadPipeline("blender/bin/python", size=64, samples=3)


def program(monkeypatch, reason="", code=0, error=""):
    """Puts a function in the place of the program; the commands that it was started by."""
    commands = []

    def run(command, **options):
        commands.append(command)
        out = Path(command[4])
        (out / "images").mkdir(parents=True)
        if reason:
            (out / "left_out.json").write_text(json.dumps({heads.NAME: reason}))
        else:
            Image.new("RGB", (64, 64), "red").save(out / "images" / f"{heads.NAME}.png")
        return subprocess.CompletedProcess(command, code, "", error)

    monkeypatch.setattr(heads.subprocess, "run", run)
    return commands


def test_a_head_is_made_by_a_program_of_its_own(pipeline, monkeypatch):
    commands = program(monkeypatch)
    head = pipeline(Image.new("RGB", (80, 90)))
    assert head.size == (64, 64) and head.getpixel((5, 5)) == (255, 0, 0)
    assert marks.read_mark(head) == marks.DRAWN
    assert marks.read_mark(pipeline(Image.new("RGB", (80, 90)), mark=False)) is None
    assert commands[0][1:3] == ["-m", "training.prepare.heads.order"]
    assert commands[0][5:] == [
        *("--size", "64", "--samples", "3", "--blender-python", "blender/bin/python"),
    ]


def test_a_photo_without_a_head_says_why(pipeline, monkeypatch):
    program(monkeypatch, reason="head turned")
    with pytest.raises(images.ImageError, match="head turned: expected a portrait"):
        pipeline(Image.new("RGB", (80, 90)))
    program(monkeypatch, code=2, error="log\nBlender is gone\n")
    (outcome,) = pipeline.map([Image.new("RGB", (80, 90))])
    assert str(outcome.error) == "Blender is gone"


def test_what_is_missing_is_named(monkeypatch):
    monkeypatch.delenv(heads.PYTHON_VARIABLE, raising=False)
    with pytest.raises(ValueError, match=r"bpy==5\.0\.1"):
        heads.HeadPipeline()
    monkeypatch.setenv(heads.PYTHON_VARIABLE, "blender/bin/python")
    monkeypatch.setattr(heads, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match="toonify\\[teacher\\]"):
        heads.HeadPipeline()
