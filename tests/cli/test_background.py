"""`toonify photo --background` and `--sticker`: what is written, and what is wrong usage."""

import pytest
from PIL import Image

from tests.cli.test_photo import files, inverter, run
from toonify.pipelines import background

__all__ = ["inverter"]  # a fixture


@pytest.fixture
def someone(monkeypatch):
    """Whoever is looked for fills the left half."""
    mask = Image.new("L", (20, 10))
    mask.paste(255, (0, 0, 10, 10))
    monkeypatch.setattr(background, "find_person", lambda photo, drawing: mask)


def test_a_background_and_a_sticker_are_written_with_alpha(folder, inverter, someone):
    assert run("photos", "-o", "cut", "--background", "transparent") == 0
    assert files("cut") == ["a.png", "b.png"]
    with Image.open("cut/a.png") as cut:
        assert [cut.getpixel((x, 5))[3] for x in (2, 18)] == [255, 0]
    assert run("photos/a.jpg", "-o", "white.jpg", "--background", "white") == 0
    with Image.open("white.jpg") as white:
        assert min(white.getpixel((18, 5))) > 250
    assert run("photos/a.jpg", "-o", "sticker.webp", "--sticker") == 0
    with Image.open("sticker.webp") as sticker:
        assert (sticker.size, sticker.mode) == ((512, 512), "RGBA")
        assert sticker.getpixel((0, 0))[3] == 0


def test_nobody_is_said(folder, inverter, monkeypatch, capsys):
    monkeypatch.setattr(background, "find_person", lambda photo, drawing: None)
    assert run("photos/a.jpg", "-o", "a.png", "--background", "keep") == 0
    assert "no person found, the background is as drawn" in capsys.readouterr().err
    assert run("photos/a.jpg", "-o", "b.png", "--sticker") == 1
    assert "no person found: expected one for a sticker" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words, message",
    [
        ("-o a.jpg --sticker", "'.jpg', which cannot be transparent: expected one of .png, .webp"),
        ("-o - --background transparent --format jpg", "--format jpg cannot be transparent"),
        ("-o a.png --background sunny", "background='sunny': expected one of draw, keep"),
        ("-o a.png --sticker --background keep", "--background: not together with --sticker"),
    ],
)
def test_backgrounds_that_do_not_fit_are_wrong_usage(folder, unopened, usage, words, message):
    assert message in usage("photo", "photos/a.jpg", *words.split())
