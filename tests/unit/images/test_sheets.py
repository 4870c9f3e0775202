"""Sheets of several images with their names."""

import pytest
from PIL import Image, ImageFont

from toonify.images import can_write, make_sheet, sheets
from toonify.images.sheets import count_columns, shorten


def test_images_stand_in_rows_and_names_below_them():
    colors = ("red", "lime", "blue")
    cells = [(Image.new("RGB", (64, 32), color), color) for color in colors]
    sheet = make_sheet(cells, 64, 2)
    places = [(34, 18), (100, 18), (34, 18 + 32 + 2 * 8 + 2)]
    assert [sheet.getpixel(place) for place in places] == [(255, 0, 0), (0, 255, 0), (0, 0, 255)]
    assert sheet.getpixel((100, places[2][1])) == (255, 255, 255)  # an empty place
    for x, y in places:
        below = sheet.crop((x - 32, y + 17, x + 32, y + 32)).convert("L")
        assert below.getextrema()[0] < 128


def test_other_shapes_are_fitted_into_that_of_the_first():
    wide, high = Image.new("RGB", (64, 32), "red"), Image.new("L", (10, 40), 0)
    sheet = make_sheet([(wide, ""), (high, "")], 64)
    cell = sheet.crop((68, 2, 132, 34))
    assert cell.convert("L").point(lambda value: 255 * (value < 128)).getbbox() == (28, 0, 36, 32)


def test_few_places_stay_empty():
    assert [count_columns(count) for count in range(1, 10)] == [1, 2, 3, 2, 3, 3, 4, 4, 3]


def test_long_names_are_cut_and_no_images_are_refused():
    font = ImageFont.load_default(12)
    cut = shorten("A name that is much too long", font, 60)
    assert cut.endswith("…") and font.getlength(cut) <= 70
    assert shorten("Short", font, 60) == "Short"
    with pytest.raises(ValueError, match="at least one image"):
        make_sheet([], 64)


def test_names_are_written_only_if_a_font_has_all_letters(monkeypatch):
    assert can_write("Original", "Comic: 2")
    assert not can_write("Original", "\ue000")  # of private use
    monkeypatch.setattr(sheets, "FONTS", ("no such font",))
    sheets.find_font.cache_clear()
    assert can_write("Original") and not can_write("Émile")
    sheets.find_font.cache_clear()
