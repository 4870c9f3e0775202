"""Contact sheets, and the commands that draw them of portraits."""

import json

from PIL import Image

from benchmarks import inversion
from tests.unit.pipelines.test_stylegan import different
from toonify import images
from training.metrics.contact_sheet import sheet
from training.stylegan import contact_sheets


def test_images_stand_in_their_cells():
    red, blue = Image.new("RGB", (40, 40), "red"), Image.new("RGB", (20, 40), "blue")
    page = sheet([[red, blue], [red]], 20)
    assert page.size == (40, 40)
    spots = {(5, 5): "red", (30, 5): "blue", (22, 5): "white", (5, 30): "red", (30, 30): "white"}
    for place, color in spots.items():
        assert page.getpixel(place) == Image.new("RGB", (1, 1), color).getpixel((0, 0)), place


def test_sheets_of_a_style(toy_portrait, photo_path, tmp_path, monkeypatch):
    monkeypatch.setattr(contact_sheets, "SIDES", (4, 64))
    parts = ["--base", str(toy_portrait / "base"), "--encoder", str(toy_portrait / "encoder")]
    style = ["--style", str(toy_portrait / "toon"), "--steps", "1", "--out", str(tmp_path)]
    contact_sheets.main([str(photo_path), *style, *parts])
    sizes = {path.name: images.load(path).size for path in tmp_path.iterdir()}
    cell = contact_sheets.CELL
    assert sizes == {
        "portrait.jpg": (8 * cell, 3 * cell),
        "toon.jpg": (6 * cell, cell),
        "toon_blends.jpg": (2 * cell, 2 * cell),
    }
    blends = images.load(tmp_path / "toon_blends.jpg")
    corner = blends.crop((0, 0, cell, cell))
    assert different(corner, blends.crop((cell, 0, 2 * cell, cell))).mean() > 1


def test_inversion_is_measured_once_and_goes_on(toy_portrait, photo_path, tmp_path, capsys):
    parts = ["--base", str(toy_portrait / "base"), "--encoder", str(toy_portrait / "encoder")]
    runs = ["--steps", "0", "2", "--from-mean", "2", "--mean-side", "256", "--out", str(tmp_path)]
    inversion.main([str(photo_path), *runs, *parts])
    results = json.loads((tmp_path / "results.json").read_text())
    ways = results[photo_path.stem]
    assert list(ways) == ["0 steps", "2 steps", "mean 2 at 256"]
    assert all(way["perceptual"] > 0 and way["pixels"] > 0 for way in ways.values())
    assert images.load(tmp_path / "sheet.jpg").size == (4 * inversion.CELL, inversion.CELL)
    before = (tmp_path / "results.json").read_bytes()
    capsys.readouterr()
    inversion.main([str(photo_path), *runs, *parts])
    assert (tmp_path / "results.json").read_bytes() == before
    assert "(1 faces)" in capsys.readouterr().out
