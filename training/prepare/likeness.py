"""Measures of images: similarity, sharpness, blankness and borders.

Images are uint8 RGB arrays (H, W, 3) of any size. Measures use a small copy, so that a video
frame and its saved, scaled image give the same values. (The perceptual hashes of the package
imagehash confuse images of one layout, and need SciPy.)
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

WORKING_SIDE = 288  # px of the short side at which sharpness is measured
BLURRED = 0.45  # share of the typical sharpness below which an image is blurred
_THUMB = 16


@dataclass(frozen=True, eq=False)
class Fingerprint:
    """Identifies an image, whatever its size, compression and exposure.

    bits: difference hash, 64 bits: whether each cell of an 8x9 grid is brighter than its left
        neighbor (Krawetz, "Kind of like that", 2013). Steps smaller than a share of the contrast
        do not count, so that the noise of a plain sky does not matter.
    thumb: (768,) float32, the 16x16 RGB thumbnail divided by its mean. It distinguishes images of
        one layout, such as two people before the same backdrop.
    """

    bits: np.uint64
    thumb: np.ndarray


def fingerprint(picture: np.ndarray) -> Fingerprint:
    """The fingerprint of an image."""
    small = shrink(picture, WORKING_SIDE).astype(np.float32)
    cells = cv2.resize(_gray(small), (9, 8), interpolation=cv2.INTER_AREA)
    rises = np.diff(cells, axis=1) > max(1.0, 0.04 * float(cells.std()))
    thumb = cv2.resize(small, (_THUMB, _THUMB), interpolation=cv2.INTER_AREA)
    thumb = thumb / max(8.0, float(thumb.mean()))
    return Fingerprint(np.packbits(rises).view(np.uint64)[0], thumb.ravel())


def alike(one: Fingerprint, other: Fingerprint, bits: int = 10, apart: float = 0.25) -> bool:
    """Whether two images are similar.

    The defaults accept copies that were recompressed, blurred, scaled, darkened, or cropped or
    shifted by 2 %; 14 bits and 0.45 also accept shifts of 4 % and small movements.

    Args:
        bits: number of bits of 64 in which the hashes may differ.
        apart: difference of the thumbnails in units of their contrast.
    """
    if np.bitwise_count(one.bits ^ other.bits) > bits:
        return False
    contrast = np.sqrt((one.thumb.var() + other.thumb.var()) / 2) + 1e-3
    return bool(np.sqrt(((one.thumb - other.thumb) ** 2).mean()) / contrast <= apart)


class Album:
    """Finds the similar ones among the fingerprints of many named images."""

    def __init__(self):
        self.names: list[str] = []
        self._bits = np.zeros(64, np.uint64)
        self._thumbs = np.zeros((64, 3 * _THUMB**2), np.float16)

    def __len__(self) -> int:
        return len(self.names)

    def add(self, name: str, mark: Fingerprint) -> None:
        if len(self) == len(self._bits):
            self._bits = np.concatenate([self._bits, np.zeros_like(self._bits)])
            self._thumbs = np.concatenate([self._thumbs, np.zeros_like(self._thumbs)])
        self._bits[len(self)], self._thumbs[len(self)] = mark.bits, mark.thumb
        self.names.append(name)

    def alike(self, mark: Fingerprint, bits: int = 10, apart: float = 0.25) -> list[str]:
        """Names of the images like this one, in the order in which they were added."""
        near = np.flatnonzero(np.bitwise_count(self._bits[: len(self)] ^ mark.bits) <= bits)
        seen = (Fingerprint(self._bits[i], self._thumbs[i].astype(np.float32)) for i in near)
        return [
            self.names[i]
            for i, other in zip(near, seen, strict=True)
            if alike(mark, other, bits, apart)
        ]


def sharpness(picture: np.ndarray) -> float:
    """Energy of the Laplacian over energy of the gradient; 0.8 to 2 for sharp drawings.

    The variance of the Laplacian (Pech-Pacheco et al., "Diatom autofocusing", 2000) alone counts
    edges: it calls a sharp face before a flat sky blurred. Divided by the gradient's energy it
    falls with the square of the blur's radius whatever the content.
    """
    gray = cv2.GaussianBlur(_gray(shrink(picture, WORKING_SIDE)).astype(np.float32), (0, 0), 0.8)
    across, down = (cv2.Sobel(gray, cv2.CV_32F, *order) / 8 for order in ((1, 0), (0, 1)))
    curvature = cv2.Laplacian(gray, cv2.CV_32F)
    return float((curvature**2).mean() / ((across**2 + down**2).mean() + 1.0))


def detail(picture: np.ndarray) -> float:
    """Variance of the Laplacian: ranks frames of a scene, falls with blur and fades."""
    gray = _gray(shrink(picture, WORKING_SIDE)).astype(np.float32)
    return float(cv2.Laplacian(gray, cv2.CV_32F).var())


def is_blank(picture: np.ndarray) -> bool:
    """Whether an image is nearly black or nearly of one color."""
    gray = _gray(shrink(picture, 96))
    return bool(np.percentile(gray, 99) < 40 or gray.std() < 6)


def is_gray(picture: np.ndarray) -> bool:
    """Whether an image is gray: mean spread of its channels below 4 levels."""
    small = shrink(picture, 96)
    return bool((small.max(axis=2).astype(int) - small.min(axis=2)).mean() < 4)


def edge_density(picture: np.ndarray) -> float:
    """Share of pixels on a Canny edge (100, 200) at a short side of 256 px, 0 to 1."""
    return float((cv2.Canny(_gray(shrink(picture, 256)), 100, 200) > 0).mean())


def plain_borders(picture: np.ndarray, tolerance: int = 12) -> tuple[int, int, int, int]:
    """Widths in px (left, top, right, bottom) of borders of one color, such as letterbox bars.

    Each side is measured on its own; a side without a border has 0. An image of one color is all
    border: (W, H, 0, 0).
    """
    height, width = picture.shape[:2]
    left, right = _plain_ends(picture.transpose(1, 0, 2), tolerance)
    top, bottom = _plain_ends(picture, tolerance)
    if left >= width or top >= height:
        return width, height, 0, 0
    return left, top, right, bottom


def _plain_ends(picture: np.ndarray, tolerance: int) -> tuple[int, int]:
    """Numbers of first and last rows that have the one color of the outermost row."""
    ends = []
    for rows in (picture, picture[::-1]):
        color = np.median(rows[0], axis=0)
        off = np.abs(rows.astype(np.int16) - color.astype(np.int16)).max(axis=2) > tolerance
        share = off.mean(axis=1)
        # Codecs leave a few stray pixels in a bar: 1 % of a row may be off.
        lit = np.flatnonzero(share > 0.01)
        first = int(lit[0]) if len(lit) else len(rows)
        # A bar ends in a straight line. Where the image begins little by little it is a sky.
        ends_straight = not len(lit) or share[first : first + 3 + len(rows) // 100].max() > 0.25
        ends.append(first if ends_straight else 0)
    return ends[0], ends[1]


def shrink(picture: np.ndarray, short_side: int) -> np.ndarray:
    """The image with a short side of at most `short_side` px; smaller ones as they are."""
    scale = short_side / min(picture.shape[:2])
    if scale >= 1:
        return picture
    size = (max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale)))
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA)


def _gray(picture: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
