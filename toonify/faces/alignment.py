"""Cuts faces out upright in FFHQ's frame, and pastes drawn ones back by the same matrix."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from PIL import Image

from toonify.faces.geometry import (
    Crop,
    Face,
    covered,
    cut,
    ffhq_matrix,
    offset_matrix,
    scaled_matrix,
    warp,
    widen_matrix,
)
from toonify.images.resize import enlarge, fit_size, shrink

_BAND_PIXELS = 2_000_000  # of what is mixed at once


def align(photo: Image.Image, face: Face, size: int = 512, widen: float = 1.0) -> Crop:
    """Crops a face upright, aligned as in the FFHQ data set (Karras et al. 2019).

    Args:
        photo: the photo in which the face was detected.
        face: one of the faces that `detect` returned.
        size: px of the square; default 512. A square that is larger in the photo (`Crop.side`)
            loses detail.
        widen: how many times the side of FFHQ's square the crop shows, 1 (default) or more.

    Returns:
        The crop; where it extends beyond the photo, the photo is mirrored.

    Raises:
        ValueError: the points do not span a face.

    Example:
        >>> from toonify import faces, images
        >>> photo = images.load("portrait.jpg")
        >>> align(photo, faces.detect(photo)[0], 256).image.size
        (256, 256)
    """
    matrix = ffhq_matrix(face.points, size)
    if widen != 1.0:
        matrix = widen_matrix(matrix, size, widen)
    return Crop(Image.fromarray(cut(photo, matrix, size)), matrix, face)


def paste(
    canvas: Image.Image,
    crop: Crop,
    toon: Image.Image,
    *,
    feather: float = 0.25,
    match_color: bool = False,
) -> Image.Image:
    """Pastes the toon of a crop into the canvas, where the crop was taken from.

    Args:
        canvas: RGB, of the size of the photo that was given to `align`.
        crop: the crop.
        toon: RGB and square, of any size.
        feather: over which part of the way from the edge to the center the toon fades in, above 0
            to 1; default 0.25.
        match_color: whether the colors of the toon are shifted towards those of the canvas;
            default False.

    Returns:
        A new image.

    Raises:
        ValueError: the toon is not square, or `feather` is out of range.

    Example:
        >>> from toonify import faces, images
        >>> photo = images.load("portrait.jpg")
        >>> crop = align(photo, faces.detect(photo)[0], 256)
        >>> paste(photo, crop, crop.image.convert("L")).size
        (512, 512)
    """
    result = canvas.copy()
    paste_into(result, crop, toon, feather=feather, match_color=match_color)
    return result


def paste_into(
    canvas: Image.Image,
    crop: Crop,
    toon: Image.Image,
    *,
    feather: float = 0.25,
    match_color: bool = False,
) -> None:
    """As `paste`, and changes the canvas itself: a large one takes long to copy."""
    if toon.width != toon.height:
        raise ValueError(f"toon is {toon.width}x{toon.height}; expected a square drawing")
    if not 0.0 < feather <= 1.0:
        raise ValueError(f"feather is {feather}; expected above 0 and at most 1")
    matrix = scaled_matrix(crop.matrix, toon.width / crop.image.width)
    x0, y0, x1, y1 = covered(matrix, toon.width, canvas.size)
    if x0 >= x1 or y0 >= y1:
        return
    local = offset_matrix(matrix, x0, y0)
    size = (x1 - x0, y1 - y0)
    mixed = np.array(canvas.crop((x0, y0, x1, y1)).convert("RGB"))
    over = warp(np.asarray(toon.convert("RGB")), local, size)
    if match_color:
        mask = _mask(local, toon.width, size, feather)[..., None]
        over = _match(over.astype(np.float32), mixed.astype(np.float32), 4.0 * mask * (1.0 - mask))
    rows = max(1, _BAND_PIXELS // size[0])
    for top in range(0, size[1], rows):  # a face may fill a large photo
        band = slice(top, min(top + rows, size[1]))
        mask = _mask(local, toon.width, size, feather, band)[..., None]
        under = mixed[band].astype(np.float32)
        mix = under + mask * (over[band].astype(np.float32) - under)
        mixed[band] = np.rint(np.clip(mix, 0.0, 255.0)).astype(np.uint8)
    canvas.paste(Image.fromarray(mixed), (x0, y0))


def paste_order(crops: Sequence[Crop]) -> list[int]:
    """Indices of crops in the order to paste them: far faces first, so near ones lie on top."""
    return sorted(range(len(crops)), key=lambda index: crops[index].side)


def _mask(
    matrix: np.ndarray,
    crop_size: int,
    size: tuple[int, int],
    feather: float,
    band: slice = slice(None),
) -> np.ndarray:
    """Weights of the drawing, of a band of the rows of an image of size (width, height).

    1 inside, 0 at and beyond the crop's edge, smooth between.
    """
    half = crop_size / 2
    unit = scaled_matrix(matrix, 1.0)
    unit[:, 2] -= half - 0.5
    unit /= half  # photo pixels -> -1 to 1 across the crop
    x = np.arange(size[0], dtype=np.float32)[None, :]
    y = np.arange(size[1], dtype=np.float32)[band, None]
    across = (unit[0, 0] * x + unit[0, 1] * y + unit[0, 2]).astype(np.float32)
    down = (unit[1, 0] * x + unit[1, 1] * y + unit[1, 2]).astype(np.float32)
    # Not ** 4, which takes ten times as long.
    fourth = np.square(np.square(across)) + np.square(np.square(down))
    from_center = np.sqrt(np.sqrt(fourth))  # 1 on a rounded square that touches the edge
    inside = np.clip((1.0 - from_center) / feather, 0.0, 1.0)
    return inside * inside * (3.0 - 2.0 * inside)


def _match(over: np.ndarray, under: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """RGB 0 to 255 `over` with its colors shifted, place by place, towards those of `under`.

    The shift is their CIELAB difference near the places where `weight` (H, W, 1) lies, and its mean
    over all of them further away: a backdrop follows its own surroundings and tints no skin.
    """
    height, width = weight.shape[:2]
    over_lab = _lab(over)
    weighted = [weight, weight * (_lab(under) - over_lab)]
    sigma = 0.06 * max(fit_size(width, height, 128))
    total, shift = (cv2.GaussianBlur(shrink(part, 128), (0, 0), sigma) for part in weighted)
    mean = weighted[1].sum(axis=(0, 1)) / max(float(weight.sum()), 1e-6)
    far = 0.25 * total.max() + 1e-6
    shift = (shift + far * mean) / (total + far)[..., None]
    over_lab += enlarge(shift, width, height)
    return cv2.cvtColor(over_lab, cv2.COLOR_LAB2RGB) * 255.0


def _lab(rgb: np.ndarray) -> np.ndarray:
    """Float32 RGB 0 to 255 -> CIELAB, L 0 to 100."""
    return cv2.cvtColor(np.clip(rgb / 255.0, 0.0, 1.0), cv2.COLOR_RGB2LAB)
