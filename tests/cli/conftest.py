"""What the tests of the commands share."""

from pathlib import Path

import pytest
from PIL import Image

from toonify import cli
from toonify.pipelines import animegan


@pytest.fixture
def usage(capsys):
    """A function that runs a command with wrong usage, and returns the message."""

    def message(*words):
        with pytest.raises(SystemExit) as error:
            cli.main([*map(str, words)])
        assert error.value.code == 2
        return capsys.readouterr().err.splitlines()[-1]

    return message


@pytest.fixture
def unopened(monkeypatch):
    """Opening a pipeline fails the test."""
    fail = {"from_pretrained": staticmethod(lambda *_, **__: pytest.fail("opened a pipeline"))}
    monkeypatch.setattr(animegan, "AnimeGANPipeline", type("Unopened", (), fail))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working folder with photos in it: a.jpg, b.png and deep/c.webp; and notes.txt."""
    monkeypatch.chdir(tmp_path)
    for name in ("photos/a.jpg", "photos/b.png", "photos/deep/c.webp", "photos/.hidden/d.jpg"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (20, 10), (200, 100, 50)).save(name)
    Path("photos/notes.txt").write_text("not a photo")
    return tmp_path
