"""Masks of photos: sizes, edges, settings, and the bundled parser on a portrait and a temple."""

import numpy as np
import pytest
import torch
from PIL import Image

from toonify import faces, images
from toonify.faces import parsing
from toonify.models import FaceParser


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    """A folder with a tiny untrained parser."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("parsers") / "toy"
    FaceParser(deep=16, widths=(8, 8, 8, 8)).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("size", [(50, 80), (333, 47), (1, 1), (640, 480)])
@pytest.mark.parametrize("refine", [True, False])
def test_masks_have_the_size_of_the_photo(toy, size, refine):
    masks = faces.parse(Image.new("RGB", size, "gray"), toy, side=64, refine=refine)
    for mask in (masks.person, masks.hair, masks.skin, masks.clothes):
        assert mask.shape == size[::-1] and mask.dtype == np.float32
        assert mask.min() >= 0 and mask.max() <= 1


def test_a_gray_photo_is_one_too(toy):
    assert faces.parse(Image.new("L", (40, 40)), toy, side=32).person.shape == (40, 40)


def test_invalid_settings_are_named(toy):
    with pytest.raises(ValueError, match="side=8: expected at least 32"):
        faces.parse(Image.new("RGB", (40, 40)), toy, side=8)
    with pytest.raises(ValueError, match="expected a folder"):
        faces.parse(Image.new("RGB", (40, 40)), "no such parser")


def test_refined_masks_end_where_the_photo_has_its_edge():
    pixels = np.full((400, 600, 3), 230, np.uint8)
    pixels[:, :301] = 40
    coarse = np.zeros((213, 320, 4), np.float32)
    coarse[:, :162] = 1
    coarse[:, 159:162] = 0.5
    refined = parsing._refine(coarse, pixels)[..., 0]
    assert refined[:, :301].min() > 0.6 and refined[:, 301:].max() < 0.4
    assert refined[:, :290].min() > 0.95 and refined[:, 312:].max() < 0.05


def test_the_bundled_parser_finds_a_person_and_nobody_in_a_temple(photo, photo_path):
    masks = faces.parse(photo)
    assert masks.person[20:150, 190:260].mean() > 0.9  # the head
    assert masks.skin[80:150, 200:250].mean() > 0.9
    assert masks.hair[20:60, 190:260].mean() > 0.5
    temple = faces.parse(images.load(photo_path.parents[1] / "scenes" / "temple.jpg"))
    assert (temple.person > 0.5).mean() < 0.01
