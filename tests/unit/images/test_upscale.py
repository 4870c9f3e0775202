"""Lifted drawings: contours are sharp at full size, and nothing is there that was not drawn."""

import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from toonify.images.upscale import upscale

ROOT = Path(__file__).parents[3]
DARK, LIGHT = 40, 210


def drawn(shape, side=60, fine=16):
    """A small RGB drawing of a shape, `shape(x, y) -> bool` for places 0 to 1, with soft edges."""
    y, x = (np.mgrid[: side * fine, : side * fine] + 0.5) / (side * fine)
    inside = cv2.GaussianBlur(shape(x, y).astype(np.float32), (0, 0), 0.4 * fine)
    small = cv2.resize(inside, (side, side), interpolation=cv2.INTER_AREA)
    gray = np.rint(LIGHT + (DARK - LIGHT) * small).astype(np.uint8)
    return Image.fromarray(np.repeat(gray[..., None], 3, axis=2))


def disc(x, y):
    return (x - 0.5) ** 2 + (y - 0.5) ** 2 < 0.25**2


def slanting_line(x, y):
    return np.abs(x - 0.4 - 0.3 * y) < 0.012  # 1.4 px of 60


def gray(image):
    return np.asarray(image, np.float64)[..., 1]


def edge_width(image):
    """Pixels from 10 to 90 % of the way out of the disc, to the right of its center."""
    row = gray(image)[image.height // 2, image.width // 2 :]
    row = row[: image.width * 3 // 8]
    part = (row - DARK) / (LIGHT - DARK)
    return np.interp(0.9, part, np.arange(part.size)) - np.interp(0.1, part, np.arange(part.size))


def resized(image, size):
    return image.resize(size, Image.Resampling.LANCZOS)


@pytest.mark.parametrize("growth, plain_width", [(2, 2.5), (4, 5), (10, 12)])
def test_contours_are_sharp_and_have_no_halo(growth, plain_width):
    drawing, size = drawn(disc), (60 * growth, 60 * growth)
    upscaled, plain = upscale(drawing, size), resized(drawing, size)
    assert edge_width(upscaled) < 2.1 and edge_width(plain) > plain_width
    low, high = drawing.getextrema()[0]
    assert gray(upscaled).min() >= low and gray(upscaled).max() <= high
    assert gray(plain).min() < low or gray(plain).max() > high  # the plain one overshoots
    area = (gray(upscaled) < (DARK + LIGHT) / 2).mean()  # the disc has kept its size
    assert area == pytest.approx(np.pi / 16, rel=0.01)


def waviness(picture):
    """How far the left contour of the slanting line strays from a straight one, in pixels."""
    rows, found = np.arange(100, 500), []
    for row in gray(picture)[100:500]:
        before = row[: row.argmin()]
        found.append(np.interp(-140, -before, np.arange(before.size)))
    return np.std(found - np.polyval(np.polyfit(rows, found, 1), rows))


def test_thin_lines_keep_their_ink_and_lose_their_steps():
    drawing = drawn(slanting_line)
    upscaled, plain = upscale(drawing, (600, 600)), resized(drawing, (600, 600))
    ink, plain_ink = ((LIGHT - gray(picture)).sum() for picture in (upscaled, plain))
    assert ink == pytest.approx(plain_ink, rel=0.08)
    assert waviness(upscaled) < 0.5 * waviness(plain)


@pytest.mark.parametrize("shape", [disc, slanting_line])
def test_scaled_down_again_it_is_the_drawing(shape):
    drawing = drawn(shape)
    error = gray(resized(upscale(drawing, (600, 600)), drawing.size)) - gray(drawing)
    assert 10 * np.log10(255**2 / np.square(error).mean()) > 35


def test_flat_areas_stay_flat_and_shades_soft():
    flat = Image.new("RGB", (40, 30), (10, 200, 30))
    assert upscale(flat, (400, 300)).getextrema() == ((10, 10), (200, 200), (30, 30))
    shade = np.repeat(np.linspace(60, 180, 60)[None, :, None], 40, axis=0).repeat(3, axis=2)
    upscaled = gray(upscale(Image.fromarray(np.rint(shade).astype(np.uint8)), (600, 400)))
    assert np.abs(upscaled - np.linspace(59, 181, 600)).max() < 3
    assert np.abs(np.diff(upscaled, axis=1)).max() <= 2


@pytest.mark.parametrize("size", [(60, 60), (74, 74), (30, 20)])
def test_what_is_hardly_enlarged_is_only_resized(size):
    drawing = drawn(disc)
    upscaled, plain = upscale(drawing, size), resized(drawing, size)
    assert upscaled.size == size
    difference = np.square(gray(upscaled) - gray(plain)).mean()
    assert difference == 0 if size <= (60, 60) else 10 * np.log10(255**2 / difference) > 45


@pytest.mark.parametrize(
    "small, size",
    [((1, 1), (9, 7)), ((3, 2), (40, 26)), ((7, 90), (23, 301)), ((600, 2), (20_000, 50))],
)
def test_any_size(small, size):
    pixels = np.random.default_rng(0).integers(0, 256, (small[1], small[0], 3), np.uint8)
    upscaled = upscale(Image.fromarray(pixels), size)
    assert (upscaled.size, upscaled.mode) == (size, "RGB")
    huge = upscale(Image.fromarray(pixels), (40_000, 10))  # too wide for the way it is done
    assert huge.size == (40_000, 10)


def test_bands_leave_no_trace(photo, monkeypatch):
    drawing = photo.resize((47, 43))
    whole = upscale(drawing, (301, 275)).tobytes()
    for rows in (17, 100):
        monkeypatch.setattr("toonify.images.upscale._BAND_PIXELS", 301 * rows)
        assert upscale(drawing, (301, 275)).tobytes() == whole


def test_24_megapixels_fit_into_little_memory():
    """Above what the imports take: 72 MB for the image, 23 for the step before, and bands."""
    script = """
import resource
from PIL import Image
from toonify.images.upscale import upscale
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
drawing = Image.radial_gradient("L").convert("RGB").resize((600, 400))
before = peak()
assert upscale(drawing, (6000, 4000)).size == (6000, 4000)
print(peak() - before)
"""
    settings = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", script], env=settings, capture_output=True, text=True, check=True
    )
    assert float(done.stdout) < 250  # 126 were measured
