"""A photo's own background around the drawing of a face."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from toonify import faces, images
from toonify.faces.backdrop import keep_background

PHOTO = Path(__file__).resolve().parents[3] / "hub_cards" / "faces" / "random_016.jpg"


@pytest.fixture(scope="module")
def crop() -> Image.Image:
    photo = images.load(PHOTO)
    return faces.align(photo, faces.detect(photo)[0], 512).image


@pytest.mark.parametrize("side", [256, 512, 700])
def test_people_are_the_drawing_and_the_rest_is_the_photo(crop, side):
    drawing = ImageOps.solarize(crop, 200).resize((side, side))
    drawing = Image.blend(drawing, Image.new("RGB", drawing.size, "orange"), 0.4)
    kept = keep_background(drawing, crop)
    assert kept.size == drawing.size
    under = np.asarray(crop.resize(drawing.size, Image.Resampling.LANCZOS), int)
    result, toon = np.asarray(kept, int), np.asarray(drawing, int)
    middle = slice(side * 2 // 5, side * 3 // 5)
    assert np.abs(result - toon)[middle, middle].max() <= 2
    near = cv2.dilate(
        np.maximum(faces.parse(crop).person, faces.parse(drawing.resize(crop.size)).person),
        np.ones((41, 41)),
    )
    far = np.asarray(Image.fromarray(near).resize(drawing.size)) < 0.05
    assert far.mean() > 0.05
    assert np.abs(result - under)[far].mean() < 1 and np.abs(toon - under)[far].mean() > 10


def test_without_people_the_drawing_stays():
    rng = np.random.default_rng(0)
    crop = Image.fromarray(rng.integers(90, 120, (128, 128, 3), np.uint8))
    drawing = Image.new("RGB", (64, 64), "teal")
    assert keep_background(drawing, crop).tobytes() == drawing.tobytes()
