"""Whether a generator reaches a face: covered and dark faces of many kinds."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from toonify import hub, images
from toonify.faces import align, detect
from toonify.faces.geometry import Crop, Face
from toonify.faces.likeness import apply_gamma, exposure, lightness, local_difference
from toonify.pipelines.stylegan import StyleGANPipeline

POINTS = np.array([[96, 120], [160, 120], [128, 150], [104, 184], [152, 184]], float)
LENSES = {"black": (15, 15, 18), "brown": (60, 40, 30), "blue": (20, 30, 60)}
MASKS = {"blue": (150, 190, 215), "white": (236, 238, 240), "black": (25, 25, 28)}


def crop_of(image):
    return Crop(image, np.eye(2, 3), Face((60, 60, 196, 230), POINTS, 1.0))


def plain(color):
    return Image.new("RGB", (256, 256), color)


def with_sunglasses(photo, color):
    face, pixels = detect(photo)[0], np.array(photo)
    for eye in face.points[:2]:
        axes = (int(0.45 * face.eye_distance), int(0.36 * face.eye_distance))
        cv2.ellipse(pixels, tuple(map(int, eye)), axes, 0, 0, 360, color, -1, cv2.LINE_AA)
    return Image.fromarray(pixels)


def with_mask(photo, color):
    face, pixels = detect(photo)[0], np.array(photo)
    across = face.points[1] - face.points[0]
    mouth = face.points[3:].mean(axis=0)
    down = mouth - face.points[:2].mean(axis=0)
    nose = face.points[2] - 0.25 * down
    corners = [nose, nose + 0.75 * across, mouth + 0.75 * across + 0.2 * down, mouth + 0.75 * down]
    corners += [mouth - 0.75 * across + 0.2 * down, nose - 0.75 * across]
    cv2.fillPoly(pixels, [np.array(corners, np.int32)], color, cv2.LINE_AA)
    return Image.fromarray(pixels)


def with_rims(photo):
    face, pixels = detect(photo)[0], np.array(photo)
    for eye in face.points[:2]:
        radius, width = round(0.36 * face.eye_distance), max(2, round(0.05 * face.eye_distance))
        cv2.circle(pixels, tuple(map(int, eye)), radius, (15, 15, 18), width, cv2.LINE_AA)
    return Image.fromarray(pixels)


def with_fading_lenses(photo):
    """Lenses that are dark above and lighter below."""
    face, pixels = detect(photo)[0], np.array(photo)
    dark = np.array(with_sunglasses(photo, (0, 0, 0)))
    fade = np.linspace(0, 1, len(pixels)) - face.points[0][1] / len(pixels)
    tone = np.clip(60 + 900 * fade, 15, 110).astype(np.uint8)[:, None, None]
    return Image.fromarray(np.where(dark != pixels, tone, pixels))


def test_equal_faces_and_another_tone_are_no_difference():
    face = plain((180, 140, 120))
    assert local_difference((256, 256), crop_of(face), face) == 0
    assert local_difference((256, 256), crop_of(plain((90, 60, 50))), plain((180, 140, 120))) < 0.1


def test_what_is_covered_counts_and_what_lies_beyond_the_photo_does_not():
    bare, covered = plain((180, 140, 120)), plain((180, 140, 120))
    covered.paste((20, 20, 20), (70, 100, 190, 140))
    assert local_difference((256, 256), crop_of(covered), bare) > 20
    beyond = Crop(covered, np.eye(2, 3), crop_of(covered).face)
    assert local_difference((256, 90), beyond, bare) < 5
    assert local_difference((5, 5), beyond, bare) == 0


@pytest.mark.parametrize("light", [4, 30, 60, 100, 180, 250])
def test_dark_faces_become_ordinary_and_others_stay(light):
    crop = crop_of(plain((light,) * 3))
    gamma = exposure(crop)
    assert (gamma < 1) == (light < 60)
    lit = apply_gamma(crop.image, gamma)
    if gamma < 1:
        assert 40 < lightness(crop_of(lit)) < 50
        assert abs(apply_gamma(lit, 1 / gamma).getpixel((9, 9))[0] - light) <= 1
    else:
        assert lit is crop.image


@pytest.fixture(scope="module")
def reach():
    """Photo -> how far the bundled generator, at 256 px, is from its face."""
    pipe = StyleGANPipeline.from_pretrained(device="cpu")

    def measure(photo):
        crop = align(photo, detect(photo)[0], 256)
        lit = Crop(apply_gamma(crop.image, exposure(crop)), crop.matrix, crop.face)
        drawn = pipe.network("base").synthesis(pipe.invert(lit.image), 256)
        return local_difference(photo.size, lit, images.to_pil(drawn))

    return measure


@pytest.fixture(scope="module")
def most():
    return hub.read_style(hub.resolve_model(hub.DEFAULT_ENCODER)).max_difference


FACES = Path(__file__).parents[3] / "hub_cards" / "faces"


def darkened(photo, light):
    """The photo in that share of its light."""
    return photo.point(
        [round(255 * ((v / 255) ** 2.2 * light) ** (1 / 2.2)) for v in range(256)] * 3
    )


@pytest.mark.parametrize(
    "change",
    [
        lambda photo: photo,
        lambda photo: photo.convert("L").convert("RGB"),
        lambda photo: darkened(photo, 0.06),
        lambda photo: darkened(photo, 0.03),
        with_rims,
    ],
    ids=["plain", "gray", "dark", "very dark", "glasses"],
)
@pytest.mark.parametrize("name", ["astronaut.jpg", "random_016.jpg"])
def test_plain_gray_and_dark_faces_and_glasses_are_reached(reach, most, name, change):
    assert reach(change(images.load(FACES / name))) < most


@pytest.mark.parametrize(
    "cover, colors", [(with_sunglasses, LENSES), (with_mask, MASKS)], ids=["sunglasses", "masks"]
)
def test_covered_faces_are_not_reached(reach, most, cover, colors):
    for number, color in enumerate(colors.values()):
        photo = images.load(FACES / ("astronaut.jpg", "random_003.jpg")[number % 2])
        assert reach(cover(photo, color)) > most


@pytest.mark.parametrize("name", ["astronaut.jpg", "random_016.jpg"])
def test_lenses_that_fade_are_not_reached(reach, most, name):
    assert reach(with_fading_lenses(images.load(FACES / name))) > most
