"""Colors of the bundled styles: those of flat areas stay, and those of a face before any wall."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from toonify import AnimeGANPipeline, images
from toonify.faces import detect
from toonify.images.color import rgb_to_lab

FACES = Path(__file__).parents[3] / "hub_cards" / "faces"
WALLS = {"green": (20, 200, 30), "magenta": (220, 30, 200), "yellow": (235, 220, 40)}


@pytest.fixture(scope="module", params=["film"])
def pipe(request):
    return AnimeGANPipeline.from_pretrained(request.param, quality="fast", device="cpu")


@pytest.mark.parametrize(
    "color",
    [(255, 255, 255), (192, 192, 192), (128, 128, 128), (0, 0, 0), (200, 40, 40), (40, 60, 200)],
)
def test_flat_areas_keep_their_colors(pipe, color):
    drawn = np.asarray(pipe(Image.new("RGB", (128, 128), color)).image).reshape(-1, 3)
    assert abs(drawn.mean(axis=0) - color).max() < 30
    if len(set(color)) == 1:
        assert np.ptp(drawn.mean(axis=0)) < 12


@pytest.mark.parametrize("name", ["astronaut.jpg", "random_016.jpg"])
def test_a_face_keeps_its_color_before_any_wall(pipe, name):
    photo = images.load(FACES / name).resize((256, 256))
    (face, *_) = detect(photo)
    x0, y0, x1, y1 = face.box
    person = Image.new("L", photo.size)
    ImageDraw.Draw(person).ellipse((x0 - 12, y0 - 20, x1 + 12, y1 + 12), fill=255)
    x, y = face.points[2]

    def skin(image):
        nose = image.crop((round(x) - 14, round(y) - 6, round(x) + 14, round(y) + 10))
        return rgb_to_lab(np.asarray(nose)).reshape(-1, 3).mean(axis=0)

    alone = skin(pipe(photo).image)
    assert np.linalg.norm(alone - skin(photo)) < 10
    for color in WALLS.values():
        wall = Image.composite(photo, Image.new("RGB", photo.size, color), person)
        assert np.linalg.norm(skin(pipe(wall).image) - alone) < 8
