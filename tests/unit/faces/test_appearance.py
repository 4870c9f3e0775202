"""What masks add to the readings of a portrait, on drawn faces and a photo."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from toonify.faces import align, appearance, detect, inside, parse
from toonify.faces.appearance import wears_sunglasses
from toonify.images import load

POINTS = np.array([[96, 118], [160, 118], [128, 150], [104, 184], [152, 184]], np.float64)
SEEN = np.ones((256, 256))
SKIN, HAIR = (196, 138, 98), (220, 176, 104)


def draw_head(hair=HAIR, long=False, eyes=(240, 240, 240), skin=SKIN):
    """A face with hair around it, and the mask of the hair."""
    mask = Image.new("L", (256, 256))
    pen = ImageDraw.Draw(mask)
    pen.ellipse((48, 6, 208, 200), fill=255)
    if long:
        pen.rectangle((30, 100, 226, 250), fill=255)
    pen.ellipse((62, 40, 194, 240), fill=0)
    face = Image.new("RGB", (256, 256), (120, 140, 160))
    face.paste(hair, mask=mask)
    pen = ImageDraw.Draw(face)
    pen.ellipse((62, 40, 194, 240), fill=skin)
    for x in (96, 160):
        pen.rectangle((x - 20, 108, x + 20, 128), fill=eyes)
    return face, np.asarray(mask) / 255


def read(face, mask):
    return appearance.read(face, POINTS, mask, SEEN)


@pytest.mark.parametrize("color, value", [(HAIR, 1), ((34, 26, 23), -1)])
def test_hair_of_any_color_is_read_and_skin_always(color, value):
    found = read(*draw_head(color))
    assert found["hair_light"].value == value
    assert found["hair_light"].color == "#" + bytes(color).hex()
    assert found["skin_light"].words == "dark skin"
    assert found["skin_light"].color == "#" + bytes(SKIN).hex()
    assert "sunglasses" not in found and "bald" not in found


def test_hair_on_both_sides_of_the_jaw_is_long():
    assert read(*draw_head())["hair_long"].words == "short hair"
    face, mask = draw_head(long=True)
    assert read(face, mask)["hair_long"].words == "long hair"
    mask[:, :128] = 0
    assert "hair_long" not in read(face, mask)


def test_no_hair_is_a_bald_head_and_blue_hair_is_a_scarf():
    face, mask = draw_head()
    bald = read(face, 0 * mask)
    assert bald["bald"].value == 1 and "hair_light" not in bald and "hair_long" not in bald
    assert {"hair_light", "hair_long", "bald"}.isdisjoint(read(*draw_head((60, 110, 180))))


@pytest.mark.parametrize("skin", [SKIN, (92, 60, 44), (240, 205, 180)])
def test_dark_glass_around_both_eyes_is_sunglasses(skin):
    face, mask = draw_head(eyes=skin, skin=skin)
    pen = ImageDraw.Draw(face)
    for x in (96, 160):
        pen.rectangle((x - 20, 104, x + 20, 124), fill=(12, 12, 14))
    assert "sunglasses" not in read(face, mask)  # eyes in shade: the skin below them shows
    pen.rectangle((62, 100, 194, 134), fill=skin)
    pen.rectangle((74, 104, 118, 134), fill=(12, 12, 14))
    assert "sunglasses" not in read(face, mask)  # an eye patch
    pen.rectangle((138, 104, 182, 134), fill=(12, 12, 14))
    assert read(face, mask)["sunglasses"].value == 1
    assert wears_sunglasses(face, POINTS)


FACES = Path(__file__).parents[3] / "hub_cards" / "faces"


@pytest.mark.parametrize("name", sorted(path.name for path in FACES.glob("*.jpg")))
def test_one_of_the_sample_faces_wears_sunglasses(name):
    photo = load(FACES / name)
    crop = align(photo, detect(photo)[0], 256)
    assert wears_sunglasses(crop.image, crop.points) == (name == "random_061.jpg")


def test_other_sizes_are_refused():
    with pytest.raises(ValueError, match="face is 64x64: expected 256x256"):
        appearance.read(Image.new("RGB", (64, 64)), POINTS, SEEN, SEEN)


def test_an_example_has_short_dark_hair(photo):
    photo = load(photo)
    crop = align(photo, detect(photo)[0], 256)
    visible = inside(crop, photo.size, 256)
    found = appearance.read(crop.image, crop.points, parse(crop.image).hair, visible)
    assert {found[name].words for name in ("hair_light", "skin_light")} <= {
        *("dark hair", "fair hair", "light skin", "medium skin"),
    }
    assert found["hair_long"].words == "short hair"
