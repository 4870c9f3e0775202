"""Drawings made large: what was drawn small, at the size of a large photo, with sharp contours.

A style's strokes have their right width at one size, so a large photo is drawn small and the
drawing enlarged. Plain enlarging blurs the contours. Here every pixel near one is taken from a
little further away from it, so that the contour between them is sharp again ("warp sharpening":
Arad and Gotsman 1999, Enhancement by image-dependent warping). As pixels are only moved, no contour
gets a halo, flat areas stay flat, soft shades soft, and the photo's noise stays out. It is done
step by step, none above 2.3 times, and band by band, so that memory is bounded.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import cv2
import numpy as np
from PIL import Image

NEAR = 1.25  # an enlargement below this blurs too little to be worth the time
_MAX_SIDE = 32_766  # that OpenCV's remap can address
_BAND_PIXELS = 2_000_000
_FINE = 32  # places per pixel that remap knows; moves are rounded to them

# Pixels are those of the enlarged image, levels those of 0 to 255.
_STRENGTH = 1.6  # of the pull: more makes edges sharper than they were drawn, and lines thicker
_EDGE = 1.2  # half the width of an edge after one step, in pixels
_REACH = 1.3  # pixels from an edge at which its pull is greatest
_FAINT = 7.0  # levels per pixel: slopes far below this are shades, and stay as they are
_LINE = 3.0  # sigma in pixels around a place in which its line's direction is measured
_ALONG = 3.5  # pixels along a line, to either side, whose mean is taken when a step doubles
_MARGIN = 16  # rows around a band that have a say in it: 10 by blurs and slopes, 6 by moves
_FIRST_MARGIN = 48  # the same where lines are smoothed before: 16 for directions, 2 x 6 for moves


def upscale(drawing: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Enlarges a drawing with sharp contours.

    Every color lies between those that the drawing has within 2 pixels of the place. Enlargements
    below `NEAR` and images with a side above 32766 pixels are resized by Lanczos' filter.

    Args:
        drawing: RGB.
        size: (width, height) of the result, in the drawing's proportions.

    Example:
        >>> upscale(Image.new("RGB", (20, 10)), (60, 30)).size
        (60, 30)
    """
    growth = max(size[0] / drawing.width, size[1] / drawing.height)
    if growth < NEAR or max(size) > _MAX_SIDE:
        return drawing.resize(size, Image.Resampling.LANCZOS)
    steps = max(1, math.ceil(math.log2(growth) - 0.2))
    growth **= 1 / steps
    first, *others = (_between(drawing.size, size, step / steps) for step in range(1, steps + 1))
    source = np.asarray(drawing)
    picture = _first_step(_compensated(source, first, growth), first, growth)
    for larger in others:
        picture = _step(picture, larger, growth)
    return Image.fromarray(picture)


def _between(small: tuple[int, int], large: tuple[int, int], part: float) -> tuple[int, int]:
    """The size a part of the way from one to the other, in equal ratios."""
    return tuple(round(a * (b / a) ** part) for a, b in zip(small, large, strict=True))


def _compensated(source: np.ndarray, size: tuple[int, int], growth: float) -> np.ndarray:
    """The uint8 drawing changed so that, enlarged and reduced again, it is the one that was drawn.

    Without it thin lines come out paler.
    """
    back = _first_step(source, size, growth)
    back = cv2.resize(back, source.shape[1::-1], interpolation=cv2.INTER_AREA)
    wanted = 2 * source.astype(np.int16) - back
    return np.clip(wanted, *_range_around(source)).astype(np.uint8)


def _first_step(source: np.ndarray, size: tuple[int, int], growth: float) -> np.ndarray:
    """A uint8 drawing (h, w, 3) enlarged to size, with the steps in its slanting lines smoothed."""
    result = np.empty((size[1], size[0], 3), np.uint8)
    plain = _enlarged(source, size)
    for top, bottom, above, below in _bands(size, _FIRST_MARGIN):
        rows = plain[above:below]
        x, y = _places(rows, rows.shape[1::-1])
        right, down = _along_lines(rows, growth)
        for _ in range(2):
            total = 2 * rows.astype(np.uint16) + 2
            for way in (1, -1):
                total += remap(rows, x + way * right, y + way * down)
            rows = (total >> 2).astype(np.uint8)
        right, down = _away_from_edges(rows, growth)
        sharp = remap(rows, x + right, y + down)
        result[top:bottom] = sharp[top - above : bottom - above]
    return result


def _enlarged(source: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A uint8 drawing (h, w, 3) at size: cubic, which keeps thin lines, but does not overshoot."""
    cubic = cv2.resize(source, size, interpolation=cv2.INTER_CUBIC)
    low, high = (cv2.resize(part, size) for part in _range_around(source))
    return cv2.min(cv2.max(cubic, low), high)


def _step(source: np.ndarray, size: tuple[int, int], growth: float) -> np.ndarray:
    """A uint8 image (h, w, 3) enlarged to size; what lay on an edge comes from beside it."""
    width, height = size
    result = np.empty((height, width, 3), np.uint8)
    for top, bottom, above, below in _bands(size, _MARGIN):
        x, y = _places(source, size, above, below)
        # Linear enlarging never overshoots, and step after step it is as smooth as a B-spline
        # (Chaikin 1974).
        right, down = _away_from_edges(remap(source, x, y), growth)
        inner = slice(top - above, bottom - above)
        x = x[inner] + right[inner] * np.float32(source.shape[1] / width)
        y = y[inner] + down[inner] * np.float32(source.shape[0] / height)
        result[top:bottom] = remap(source, x, y)
    return result


def _bands(size: tuple[int, int], margin: int) -> Iterator[tuple[int, int, int, int]]:
    """First and last row (not included) of each band, and of the band with its margin."""
    width, height = size
    rows = max(1, _BAND_PIXELS // width)
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        yield top, bottom, max(0, top - margin), min(height, bottom + margin)


def _places(
    source: np.ndarray, size: tuple[int, int], top: int = 0, bottom: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Where in an image the pixels of it at another size lie: x and y of rows top to bottom."""
    width, height = size
    x = (np.arange(width) + 0.5) * source.shape[1] / width - 0.5
    y = (np.arange(height)[top:bottom] + 0.5) * source.shape[0] / height - 0.5
    return tuple(np.meshgrid(x.astype(np.float32), y.astype(np.float32)))


def remap(
    picture: np.ndarray, x: np.ndarray, y: np.ndarray, method: int = cv2.INTER_LINEAR
) -> np.ndarray:
    return cv2.remap(picture, x, y, method, borderMode=cv2.BORDER_REPLICATE)


def _range_around(picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The least and the greatest of each pixel and its eight neighbors, by channel."""
    window = np.ones((3, 3), np.uint8)
    return cv2.erode(picture, window), cv2.dilate(picture, window)


def _slopes(plane: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How much a float32 plane rises per pixel to the right, and down."""
    return tuple(cv2.Scharr(plane, cv2.CV_32F, *way, scale=1 / 32) for way in ((1, 0), (0, 1)))


def _structure(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Squares and product of the slopes of uint8 colors, summed over channels (Di Zenzo 1986)."""
    xx, xy, yy = (np.zeros(rows.shape[:2], np.float32) for _ in range(3))
    for plane in cv2.split(rows):
        right, down = _slopes(cv2.GaussianBlur(plane.astype(np.float32), (7, 7), 0.7))
        cv2.accumulateSquare(right, xx)
        cv2.accumulateProduct(right, down, xy)
        cv2.accumulateSquare(down, yy)
    return xx, xy, yy


def _along_lines(rows: np.ndarray, growth: float) -> tuple[np.ndarray, np.ndarray]:
    """Moves along the line that runs through each place, shorter where it has no one direction."""
    xx, xy, yy = (cv2.GaussianBlur(part, (25, 25), _LINE) for part in _structure(rows))
    difference, product = xx - yy, 2.0 * xy
    length = np.sqrt(difference * difference + product * product)
    cosine = difference / (length + 1e-6)  # of twice the angle at which the slope rises
    across = np.sqrt(0.5 + 0.5 * cosine)
    down = np.copysign(np.sqrt(np.maximum(0.5 - 0.5 * cosine, 0.0)), product)
    reach = _ALONG * (growth - 1.0) * length / (xx + yy + 1.0)
    return _rounded(-down * reach), _rounded(across * reach)


def _away_from_edges(rows: np.ndarray, growth: float) -> tuple[np.ndarray, np.ndarray]:
    """Moves that make the edges of a uint8 image, just enlarged, as steep as they were."""
    strength = _STRENGTH * (growth**2 - 1.0)
    xx, _, yy = _structure(rows)
    edges = cv2.GaussianBlur(np.sqrt(xx + yy), (11, 11), _EDGE)
    right, down = _slopes(edges)
    # An edge is a ridge here, about a Gaussian, whose slope by its height is the distance from it.
    scale = -strength * _EDGE**2 / (edges + _FAINT)
    right *= scale
    down *= scale
    # Far from it moves become shorter again, slowly enough that no pixel overtakes another.
    scale = 1.0 / (1.0 + (right * right + down * down) / (strength * _REACH) ** 2)
    return _rounded(right * scale), _rounded(down * scale)


def _rounded(move: np.ndarray) -> np.ndarray:
    """A move in steps that remap knows, so that it is the same whatever row its band begins at."""
    return np.rint(move * _FINE) / _FINE
