"""A photo's own background, hair and clothes around the drawing of a face."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageFilter, ImageOps

from toonify import faces, images
from toonify.faces.backdrop import fill_people, keep_background, keep_surroundings

FACES = Path(__file__).resolve().parents[3] / "hub_cards" / "faces"


def crop_of(name: str) -> Image.Image:
    photo = images.load(FACES / name)
    return faces.align(photo, faces.detect(photo)[0], 512).image


@pytest.fixture(scope="module")
def crop() -> Image.Image:
    return crop_of("random_016.jpg")


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
    eyes = np.array([[0.4, 0.45], [0.6, 0.45]])
    assert keep_surroundings(drawing, crop, eyes).tobytes() == drawing.tobytes()


def eyes_of(crop):
    return faces.detect(crop)[0].points[:2] / crop.width


@pytest.mark.parametrize("name", ["astronaut.jpg", "random_049.jpg"])
def test_hair_and_clothes_are_the_photos_and_painted(name):
    """Only the face is the drawing's."""
    crop = crop_of(name)
    eyes = eyes_of(crop)
    drawing = crop.filter(ImageFilter.GaussianBlur(4)).point(lambda v: 0.7 * v + 50)
    kept = np.asarray(keep_surroundings(drawing, crop, eyes), int)
    toon, photo = np.asarray(drawing, int), np.asarray(crop, int)
    masks = faces.parse(crop)
    inside, certain = np.ones((25, 25)), 0.9
    face = cv2.erode((masks.skin > certain).astype(np.uint8), inside) > 0
    face[: int((eyes[:, 1].mean() - 0.1) * len(face))] = False
    other = np.abs(photo - toon)[face].mean()
    assert face.mean() > 0.03 and np.abs(kept - toon)[face].mean() < 0.15 * other
    hair = cv2.erode((masks.hair > certain).astype(np.uint8), inside) > 0
    cloth = cv2.erode((masks.clothes > certain).astype(np.uint8), inside) > 0
    for part in (hair, cloth):
        assert part.sum() > 500
        assert np.abs(kept - photo)[part].mean() < 0.6 * np.abs(toon - photo)[part].mean()
        grain = [np.abs(cv2.Laplacian(np.float32(it), cv2.CV_32F))[part] for it in (kept, photo)]
        assert grain[0].mean() < 0.8 * grain[1].mean()
    away = cv2.dilate(masks.person, np.ones((41, 41))) < 0.05
    assert np.abs(kept - photo)[away].mean() < 1


def test_a_hat_over_the_brows_stays(crop):
    eyes = eyes_of(crop)
    photo, drawing = crop.copy(), Image.new("RGB", crop.size)
    drawing.paste(crop)
    top = round((eyes[:, 1].mean() - 0.9 * (eyes[1, 0] - eyes[0, 0])) * crop.height)
    photo.paste("navy", (0, 0, crop.width, top))
    kept = np.asarray(keep_surroundings(drawing, photo, eyes), int)
    middle = slice(crop.width // 3, crop.width * 2 // 3)
    assert np.abs(kept[: top - 16, middle] - (0, 0, 128)).mean() < 25
    below = slice(top + 40, top + 80)
    assert np.abs(kept[below, middle] - np.asarray(drawing, int)[below, middle]).mean() < 12


def test_people_are_filled_with_the_color_around_them():
    ground, person = Image.new("RGB", (256, 256), (20, 140, 130)), np.zeros((256, 256), np.float32)
    cv2.ellipse(person, (128, 150), (50, 90), 0, 0, 360, 1.0, -1)
    crop = ground.copy()
    crop.paste("orange", mask=Image.fromarray(np.uint8(255 * person)))
    assert np.abs(np.asarray(fill_people(crop, person), int) - (20, 140, 130)).max() <= 1
