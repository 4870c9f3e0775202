"""`toonify photo --model heads`: its options, and what is written."""

import pytest
from PIL import Image

from toonify import cli, images
from toonify.pipelines import batch, heads

MADE = []


class HeadMaker:
    """A pipeline that draws blue squares; `MADE` has the options of each."""

    def __init__(self, blender_python, size, samples):
        MADE.append((blender_python, size, samples))
        self.size = size

    def map(self, photos, finish, mark):
        for photo in photos:
            yield batch.Outcome(photo, finish(photo, Image.new("RGB", (self.size,) * 2, "blue")))


def run(*words):
    return cli.main(["photo", *map(str, words)])


def test_a_head_of_ones_own(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(heads, "HeadPipeline", HeadMaker)
    Image.new("RGB", (90, 80)).save(tmp_path / "me.png")
    words = ("--model", "heads", "--size", "96", "--blender-python", "python")
    assert run(tmp_path / "me.png", "-o", tmp_path / "head.png", *words) == 0
    assert images.load(tmp_path / "head.png").size == (96, 96)
    assert MADE == [("python", 96, 16)]
    for wrong, message in (
        ((*words, "--style", "film"), "--style: not with --model heads"),
        (("--size", "96"), "--size: only with --model heads"),
    ):
        with pytest.raises(SystemExit):
            run(tmp_path / "me.png", "-o", tmp_path / "x.png", *wrong)
        assert message in capsys.readouterr().err
