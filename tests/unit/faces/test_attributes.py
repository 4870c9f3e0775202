"""What is read of a portrait: painted faces whose every trait is known, and a real one."""

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from toonify import faces
from toonify.faces import attributes
from toonify.faces.attributes import SIDE, read

POINTS = np.array([(96, 122), (160, 122), (128, 158), (102, 192), (154, 192)], np.float64)
LIGHT, DARK, BLACK = (236, 190, 160), (88, 58, 42), (28, 22, 20)
REST = np.array([(0, 0)] * 3 + [(2, 0), (-2, 0)])  # the mouth as narrow as without a smile
SMILE = np.array([(0, 0)] * 3 + [(-8, 0), (8, 0)])


def paint(skin=LIGHT, hair=BLACK, long=False, glasses=False) -> Image.Image:
    """A face where `POINTS` say, before a blue wall."""
    face = Image.new("RGB", (SIDE, SIDE), (90, 130, 230))
    draw = ImageDraw.Draw(face)
    if hair:
        draw.ellipse((46, 22, 210, 190), fill=hair)
    if hair and long:
        draw.rectangle((36, 100, 220, 256), fill=hair)
    draw.ellipse((56, 62, 200, 236), fill=skin)
    for x, y in POINTS[:2]:
        draw.ellipse((x - 8, y - 4, x + 8, y + 4), fill="white")
        draw.ellipse((x - 4, y - 4, x + 4, y + 4), fill="black")
        if glasses:
            draw.rounded_rectangle((x - 24, y - 14, x + 24, y + 18), 6, outline="black", width=4)
    if glasses:
        draw.line((114, 122, 142, 122), fill="black", width=5)
        draw.line((50, 120, 74, 120), fill="black", width=5)
        draw.line((182, 120, 206, 120), fill="black", width=5)
    return face.filter(ImageFilter.GaussianBlur(0.7))


def values(face, points=POINTS + REST, visible=None) -> dict[str, int]:
    return {name: reading.value for name, reading in read(face, points, visible).items()}


def test_all_of_a_plain_face():
    found = read(paint(), POINTS + REST)
    assert {name: reading.words for name, reading in found.items()} == {
        "skin_light": "light skin",
        "hair_light": "dark hair",
        "hair_long": "short hair",
        "glasses": "no glasses",
        "smile": "no smile",
    }
    assert all(0.5 <= reading.confidence <= 1 for reading in found.values())
    assert found["skin_light"].color == "#ecbea0" and found["smile"].color is None
    hair = bytes.fromhex(found["hair_light"].color[1:])
    assert max(abs(a - b) for a, b in zip(hair, BLACK, strict=True)) <= 3


@pytest.mark.parametrize(
    "name, changed",
    [
        ("skin_light", {"skin": DARK, "hair": (10, 20, 15)}),
        ("hair_long", {"long": True}),
        ("glasses", {"glasses": True}),
    ],
)
def test_each_trait_changes_its_reading_and_no_other(name, changed):
    plain, other = values(paint()), values(paint(**changed))
    assert other.pop(name, None) == -plain.pop(name)
    assert all(plain[left] == value for left, value in other.items())


def test_a_wide_mouth_smiles_and_one_in_between_is_left_out():
    assert values(paint(), POINTS + SMILE)["smile"] == 1
    assert "smile" not in values(paint(), POINTS + np.array([(0, 0)] * 3 + [(-4, 0), (4, 0)]))


@pytest.mark.parametrize(
    "hair",
    [None, (240, 200, 110), (120, 20, 20), (90, 130, 230)],
    ids=["bald", "fair", "scarf", "as the wall"],
)
def test_hair_that_is_not_plainly_dark_is_left_out(hair):
    found = values(paint(hair=hair))
    assert not {"hair_light", "hair_long"} & set(found)
    assert found["skin_light"] == 1


def test_skin_between_light_and_dark_is_left_out_and_so_is_half_a_shadow():
    assert "skin_light" not in values(paint(skin=(212, 160, 128)))
    half = np.array(paint())
    half[:, 128:] //= 3
    assert "skin_light" not in values(Image.fromarray(half))


def test_the_nearest_color_is_that_to_the_eye():
    skins = ("#5c3829", "#a36b4f", "#f1c3a5")
    assert attributes.nearest("#8a5a44", skins) == "#a36b4f"
    assert attributes.nearest("#f0d0c0", skins) == "#f1c3a5"
    # In RGB, dark blue is nearer to black than to light blue; to the eye it is blue.
    assert attributes.nearest("#00008b", ("#000000", "#4040ff")) == "#4040ff"
    for color, variants in ((None, skins), ("#8a5a44", ()), ("#8a5a44", ("none", "#a36b4f"))):
        assert attributes.nearest(color, variants) is None


def test_what_lies_beyond_the_photo_is_not_read():
    visible = np.ones((SIDE, SIDE), np.float32)
    assert "hair_light" in values(paint(), visible=visible)
    visible[:80] = 0
    assert "hair_light" not in values(paint(), visible=visible)


def test_a_turned_face_has_neither_glasses_nor_smile():
    turned = POINTS.copy()
    turned[2, 0] += 30
    assert set(values(paint(glasses=True), turned)) <= {"skin_light", "hair_light", "hair_long"}


def test_another_size_is_refused():
    with pytest.raises(ValueError, match="face is 128x128: expected 256x256"):
        read(paint().resize((128, 128)), POINTS / 2)


def test_a_real_portrait(photo):
    (face, *_) = faces.detect(photo)
    crop = faces.align(photo, face, SIDE)
    assert np.abs(crop.points[:2].mean(0) - [128, 121]).max() < 8
    found = read(crop.image, crop.points, faces.inside(crop, photo.size, SIDE))
    assert (found["smile"].value, found["glasses"].value) == (1, -1)


def test_certainty_grows_with_the_distance_from_the_threshold():
    confidence = [attributes.beyond(x, 2, 4, 10, "").confidence for x in (4.001, 9, 14, 99)]
    assert confidence == pytest.approx([0.5, 0.75, 1, 1], abs=1e-3)
    assert attributes.beyond(3, 2, 4, 10, "") is None
    assert attributes.beyond(-3, 2, 4, 10, "").value == -1
