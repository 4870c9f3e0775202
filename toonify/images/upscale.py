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

from toonify.images.resize import resize_slightly

NEAR = 1.25  # an enlargement below this blurs too little to be worth the time
_MAX_SIDE = 32_766  # that OpenCV's remap can address
_BAND_PIXELS = 2_000_000
_FINE = 32  # places per pixel that remap knows; moves are rounded to them

# Pixels are those of the enlarged image, levels those of 0 to 255.
_STRENGTH = 1.6  # of the pull: more makes edges sharper than they were drawn, and lines thicker
_EDGE = 1.2  # half the width of an edge after one step, in pixels
_REACH = 1.3  # pixels from an edge at which its pull is greatest
_FAINT = 7.0  # levels per pixel: gradients far below this are shades, and stay as they are
_LINE = 3.0  # sigma in pixels around a place in which its line's direction is measured
_ALONG = 3.5  # pixels along a line, to either side, whose mean is taken when a step doubles
_COARSE = 1.5  # an enlargement from this on blurs edges visibly
_MARGIN = 16  # rows around a band that have a say in it: 10 by blurs and gradients, 6 by moves
_FIRST_MARGIN = 48  # the same where lines are smoothed before: 16 for directions, 2 x 6 for moves


def upscale(drawing: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Enlarges a drawing with sharp contours.

    Every color lies between those that the drawing has within 2 pixels of the place. Enlargements
    below `NEAR` are resized by a cubic filter, and images with a side above 32766 pixels by
    Lanczos' filter.

    Args:
        drawing: RGB.
        size: (width, height) of the result, in the drawing's proportions.

    Example:
        >>> upscale(Image.new("RGB", (20, 10)), (60, 30)).size
        (60, 30)
    """
    growth = max(size[0] / drawing.width, size[1] / drawing.height)
    if growth <= 1 or max(size) > _MAX_SIDE:
        return drawing.resize(size, Image.Resampling.LANCZOS)
    if growth < NEAR:
        return resize_slightly(drawing, size)
    steps = max(1, math.ceil(math.log2(growth) - 0.2))
    growth **= 1 / steps
    first, *others = (_between(drawing.size, size, step / steps) for step in range(1, steps + 1))
    source = np.asarray(drawing)
    ways = _along_lines(source, growth)
    picture = _first_step(_compensated(source, first, growth, ways), first, growth, ways)
    for larger in others:
        picture = _step(picture, larger, growth)
    return Image.fromarray(picture)


def _between(small: tuple[int, int], large: tuple[int, int], part: float) -> tuple[int, int]:
    """The size a part of the way from one to the other, in equal ratios."""
    return tuple(round(a * (b / a) ** part) for a, b in zip(small, large, strict=True))


def _compensated(
    source: np.ndarray, size: tuple[int, int], growth: float, ways: np.ndarray
) -> np.ndarray:
    """The uint8 drawing changed so that, enlarged and reduced again, it is the one that was drawn.

    Without it thin lines come out paler.
    """
    # Where little is enlarged, a rough first step hardly changes what is compared here.
    back = _first_step(source, size, growth, ways, rough=growth < _COARSE)
    back = cv2.resize(back, source.shape[1::-1], interpolation=cv2.INTER_AREA)
    wanted = 2 * source.astype(np.int16) - back
    return np.clip(wanted, *_range_around(source)).astype(np.uint8)


def _first_step(
    source: np.ndarray,
    size: tuple[int, int],
    growth: float,
    ways: np.ndarray,
    rough: bool = False,
) -> np.ndarray:
    """A uint8 drawing (h, w, 3) enlarged to size, with the steps in its slanting lines smoothed.

    `ways` are the moves along lines that `_along_lines` found. A rough one smooths less and leaves
    edges blurred.
    """
    result = np.empty((size[1], size[0], 3), np.uint8)
    plain = _enlarged(source, size)
    for top, bottom, above, below in _bands(size, _FIRST_MARGIN):
        rows = plain[above:below]
        x, y = _places(rows, rows.shape[1::-1])
        right, down = cv2.split(_rounded(remap(ways, *_places(ways, size, above, below))))
        there, back = ((x + way * right, y + way * down) for way in (1, -1))
        there, back = (cv2.convertMaps(*moves, cv2.CV_16SC2) for moves in (there, back))
        for _ in range(1 if rough else 2):
            both = cv2.addWeighted(remap(rows, *there), 0.5, remap(rows, *back), 0.5, 0)
            rows = cv2.addWeighted(rows, 0.5, both, 0.5, 0)
        if not rough:
            right, down = _away_from_edges(rows, growth)
            rows = remap(rows, x + right, y + down)
        result[top:bottom] = rows[top - above : bottom - above]
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


def _gradients(plane: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How much a float32 plane rises per pixel to the right, and down."""
    return tuple(cv2.Scharr(plane, cv2.CV_32F, *way, scale=1 / 32) for way in ((1, 0), (0, 1)))


def _squares(rows: np.ndarray, *pairs: tuple[str, str]) -> list[np.ndarray]:
    """Products of the gradients of uint8 colors, summed over channels (Di Zenzo 1986).

    `pairs` are of x, the gradient to the right, and y, the gradient down.
    """
    soft = cv2.GaussianBlur(rows, (7, 7), 0.7)
    gradients = {"x": cv2.Scharr(soft, cv2.CV_16S, 1, 0), "y": cv2.Scharr(soft, cv2.CV_16S, 0, 1)}
    unit = 1 / 32**2
    total = np.full((1, 3), 1, np.float32)
    found = []
    for first, second in pairs:
        product = cv2.multiply(gradients[first], gradients[second], scale=unit, dtype=cv2.CV_32F)
        found.append(cv2.transform(product, total))
    return found


def _along_lines(source: np.ndarray, growth: float) -> np.ndarray:
    """Moves along the line that runs through each place, shorter where it has no one direction.

    Directions change slowly, so that they are those of a drawing (h, w, 3) at half its size.

    Returns:
        Moves to the right and down in pixels of the enlarged drawing, float32 (h / 2, w / 2, 2).
    """
    half = tuple(-(-side // 2) for side in source.shape[1::-1])
    sigma = _LINE / growth / 2
    xx, xy, yy = (
        cv2.GaussianBlur(cv2.resize(part, half, interpolation=cv2.INTER_AREA), (0, 0), sigma)
        for part in _squares(source, ("x", "x"), ("x", "y"), ("y", "y"))
    )
    difference, product = xx - yy, 2.0 * xy
    length = np.sqrt(difference * difference + product * product)
    cosine = difference / (length + 1e-6)  # of twice the angle at which the gradient rises
    across = np.sqrt(0.5 + 0.5 * cosine)
    down = np.copysign(np.sqrt(np.maximum(0.5 - 0.5 * cosine, 0.0)), product)
    reach = _ALONG * (growth - 1.0) * length / (xx + yy + growth**-2)
    return cv2.merge([-down * reach, across * reach])


def _away_from_edges(rows: np.ndarray, growth: float) -> tuple[np.ndarray, np.ndarray]:
    """Moves that make the edges of a uint8 image, just enlarged, as steep as they were."""
    strength = _STRENGTH * (growth**2 - 1.0)
    xx, yy = _squares(rows, ("x", "x"), ("y", "y"))
    edges = cv2.sqrt(cv2.add(xx, yy))
    edges = cv2.GaussianBlur(edges, (11, 11), _EDGE)
    right, down = _gradients(edges)
    # An edge is a ridge here, about a Gaussian: its gradient by its height is the distance from it.
    scale = -strength * _EDGE**2 / (edges + _FAINT)
    right *= scale
    down *= scale
    # Far from it moves become shorter again, slowly enough that no pixel overtakes another.
    scale = 1.0 / (1.0 + (right * right + down * down) / (strength * _REACH) ** 2)
    right *= scale
    down *= scale
    return _rounded(right), _rounded(down)


def _rounded(move: np.ndarray) -> np.ndarray:
    """A move in steps that remap knows, so that it is the same whatever row its band begins at.

    The array itself is changed.
    """
    move *= _FINE
    np.rint(move, out=move)
    move /= _FINE
    return move
