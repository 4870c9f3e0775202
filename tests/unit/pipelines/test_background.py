"""Backgrounds and stickers: sizes, colors, alpha, holes, and the bundled parser on a portrait."""

import io

import numpy as np
import pytest
from PIL import Image, ImageChops, ImageDraw

from toonify import faces, images
from toonify.images import marks
from toonify.pipelines import background as backgrounds

SIZE = (96, 64)
RED, BLUE = (200, 40, 30), (20, 60, 210)


@pytest.fixture
def person():
    """A mask with a soft edge: a disk."""
    large = Image.new("L", (8 * SIZE[0], 8 * SIZE[1]))
    ImageDraw.Draw(large).ellipse((200, 60, 568, 428), fill=255)
    return large.resize(SIZE, Image.Resampling.BOX)


@pytest.fixture
def drawing(person):
    """A red disk on blue, mixed at the edge, marked as drawn."""
    image = Image.composite(Image.new("RGB", SIZE, RED), Image.new("RGB", SIZE, BLUE), person)
    return marks.mark(image, marks.DRAWN)


@pytest.fixture
def nature():
    """A photo of another color."""
    return Image.new("RGB", SIZE, (90, 160, 60))


def measure_error(image, expected):
    """The largest difference of two images, 0 to 255."""
    return max(high for _, high in ImageChops.difference(image, expected).getextrema())


@pytest.mark.parametrize("word, color", [("white", "white"), ("keep", (90, 160, 60))])
def test_another_background_has_nothing_of_the_old_one(drawing, nature, person, word, color):
    changed = backgrounds.replace_background(drawing, nature, person, word)
    expected = Image.composite(Image.new("RGB", SIZE, RED), Image.new("RGB", SIZE, color), person)
    assert measure_error(changed, expected) <= 8  # at half transparent pixels too
    assert marks.read_mark(changed) == marks.DRAWN


def test_a_drawn_background_stays_and_a_soft_one_is_blurred(drawing, nature, person):
    assert backgrounds.replace_background(drawing, nature, person, "draw") is drawing
    striped = drawing.copy()
    striped.paste((255, 255, 255), (0, 0, 4, SIZE[1]))
    soft = backgrounds.replace_background(striped, nature, person, "soften")
    assert measure_error(soft.crop((40, 24, 56, 36)), drawing.crop((40, 24, 56, 36))) <= 2
    steps = [abs(soft.getpixel((x, 2))[0] - soft.getpixel((x + 1, 2))[0]) for x in range(10)]
    assert 0 < max(steps) < 80  # it was 235
    assert soft.getpixel((24, 32))[0] < 60  # no red of the person


def test_a_transparent_background_is_in_the_file(drawing, nature, person):
    cut = backgrounds.replace_background(drawing, nature, person, "transparent")
    assert cut.getchannel("A").tobytes() == person.tobytes()
    share = np.asarray(person)
    edge = np.asarray(cut)[(share > 60) & (share < 200)]
    assert len(edge) and np.abs(edge[:, 2].astype(int) - RED[2]).max() < 12  # no blue
    for suffix in (".png", ".webp"):
        with Image.open(io.BytesIO(images.encode(cut, suffix, alpha=True))) as again:
            assert again.mode == "RGBA" and again.getchannel("A").getextrema() == (0, 255)


@pytest.mark.parametrize("side", [None, 128])
def test_a_sticker_has_a_white_rim_around_people(drawing, person, side):
    sticker = backgrounds.make_sticker(drawing, person, side)
    width, height = sticker.size
    alpha = sticker.getchannel("A")
    assert sticker.size == (side, side) if side else max(sticker.size) < max(SIZE)
    assert all(alpha.getpixel(at) == 0 for at in [(0, 0), (width - 1, 0), (0, height - 1)])
    assert np.abs(np.subtract(sticker.getpixel((width // 2, height // 2))[:3], RED)).max() < 4
    row = [sticker.getpixel((x, height // 2)) for x in range(width)]
    rim = [pixel for pixel in row if pixel[3] == 255 and min(pixel[:3]) > 240]
    assert len(rim) >= 2 or side is None  # less than two pixels there
    left, top, right, bottom = alpha.point(lambda value: 255 * (value > 127)).getbbox()
    assert min(left, top, width - right, height - bottom) >= 0
    assert abs(left - (width - right)) <= 1 and abs(top - (height - bottom)) <= 1
    assert marks.read_mark(sticker) == marks.DRAWN


def test_wrong_values_are_named(drawing, nature, person):
    with pytest.raises(ValueError, match="background='sunny': expected one of draw, keep"):
        backgrounds.check_background("sunny")
    with pytest.raises(ValueError, match="expected the same size"):
        backgrounds.replace_background(drawing, nature.resize((9, 9)), person, "keep")
    with pytest.raises(ValueError, match="person is empty"):
        backgrounds.make_sticker(drawing, Image.new("L", SIZE))
    with pytest.raises(ValueError, match="side=8: expected at least 32"):
        backgrounds.make_sticker(drawing, person, 8)


def test_small_holes_are_filled_and_far_specks_removed():
    matte = np.zeros((200, 300), np.float32)
    matte[40:160, 60:160] = 1
    matte[90:96, 100:106] = 0  # a hole
    matte[20:24, 250:254] = 1  # a speck
    assert backgrounds._mend(matte)
    assert matte[40:160, 60:160].min() > 0.9 and matte[:, 200:].max() == 0
    assert not backgrounds._mend(np.zeros((50, 50), np.float32))


def test_people_are_divided_among_their_faces():
    def place(x, eyes):
        shifts = ((-0.5, -0.4), (0.5, -0.4), (0, 0), (-0.4, 0.5), (0.4, 0.5))
        points = np.array([(x + eyes * across, 50 + eyes * down) for across, down in shifts])
        return faces.Face((x - eyes, 50 - eyes, x + eyes, 50 + eyes), points, 1.0)

    everyone = Image.new("L", (200, 150), 255)
    left, right = backgrounds.split_people(everyone, [place(50, 20), place(150, 20)])
    total = np.asarray(left, int) + np.asarray(right)
    assert np.abs(total - 255).max() <= 1
    assert left.getpixel((40, 140)) == right.getpixel((160, 140)) == 255
    assert left.getpixel((160, 140)) == right.getpixel((40, 140)) == 0


def test_a_portrait_is_cut_out_and_a_temple_has_nobody(photo, photo_path):
    person = backgrounds.find_person(photo)
    assert (person.mode, person.size) == ("L", photo.size)
    assert np.asarray(person)[20:150, 190:260].mean() > 240  # the head
    temple = images.load(photo_path.parents[1] / "scenes" / "temple.jpg")
    assert backgrounds.find_person(temple) is None
