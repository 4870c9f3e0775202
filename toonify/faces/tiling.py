"""Small faces of large photos, searched for in tiles at the photo's own resolution."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator

import numpy as np

from toonify.faces import mtcnn
from toonify.faces.geometry import Face, area, as_box, is_face, overlap, roll

MAX_FACES = 200
MIN_FACE = 24  # px of the photo; a smaller face has no features to draw
TILE = 2048  # px a side, without the margin that neighbors share
MAX_WORK = 1_600_000  # pixels of the photo as the first network sees it at the finest scale
TURNED_WORK = 6  # a photo without faces is searched on its sides with a sixth of that each
# Stricter than for the reduced photo, since there are many more places.
THRESHOLDS = (0.8, 0.8, 0.8)
MIN_SCORE = 0.95
PLAIN = 0.999  # an upright face with this score needs no confirmation


def least_side(size: tuple[int, ...], work: float = MAX_WORK) -> int:
    """Side in px of the smallest face that is searched for in a photo of this size."""
    return max(MIN_FACE, math.ceil(mtcnn.CELL * math.sqrt(math.prod(size[:2]) / work)))


def find_small(
    pixels: np.ndarray,
    known: list[Face],
    largest: float,
    look_again: Callable[[np.ndarray, Face], Face | None],
) -> list[Face]:
    """Faces below `largest` px that are not among the known ones.

    Args:
        pixels: the photo, uint8 RGB (H, W, 3).
        known: the faces found in the reduced photo.
        largest: side in px of the faces that the reduced photo shows reliably.
        look_again: called with pixels and a candidate; returns the confirmed face or None.

    Returns:
        At most `MAX_FACES` together with the known ones.
    """
    turns = round(-float(np.median([roll(face.points) for face in known])) / 90) if known else 0
    small = search(pixels, known, turns % 4, largest, look_again, MAX_WORK)
    if not known and not small:
        for turns in (1, 3, 2):
            work = MAX_WORK / TURNED_WORK
            turned = search(pixels, known, turns, largest, look_again, work)
            small = max(small, turned, key=len)
    return small


def search(
    pixels: np.ndarray,
    known: list[Face],
    quarter_turns: int,
    largest: float,
    look_again: Callable[[np.ndarray, Face], Face | None],
    work: float,
) -> list[Face]:
    """As `find_small`, with the photo turned counter-clockwise."""
    turned = np.rot90(pixels, quarter_turns)
    least = least_side(turned.shape, work)
    if least >= largest:
        return []
    boxes = list(tiles(turned.shape[1], turned.shape[0], round(largest)))
    views = [functools.partial(cut_tile, turned, box) for box in boxes]
    faces = []
    for tile, found in zip(boxes, mtcnn.find_in_all(views, least, THRESHOLDS), strict=True):
        for box, points, score in zip(*found, strict=True):
            corner = np.array(tile[:2])
            face = Face(as_box(box.reshape(2, 2) + corner), points + corner, float(score))
            if face.score >= MIN_SCORE and np.isfinite(face.box).all() and is_face(face.points):
                faces.append(face)
    seen = [turn_face(face, -quarter_turns, pixels.shape) for face in known]
    kept: list[Face] = []
    for face in merge(faces, seen)[: MAX_FACES - len(known)]:
        is_plain = quarter_turns == 0 and face.score >= PLAIN and abs(roll(face.points)) < 30
        confirmed = face if is_plain else look_again(turned, face)
        if confirmed is not None:
            kept.append(turn_face(confirmed, quarter_turns, turned.shape))
    return kept


def cut_tile(pixels: np.ndarray, box: tuple[int, int, int, int]) -> mtcnn.View:
    """A part of the pixels to look at."""
    x0, y0, x1, y1 = box
    return mtcnn.View(np.ascontiguousarray(pixels[y0:y1, x0:x1]))


def tiles(width: int, height: int, margin: int) -> Iterator[tuple[int, int, int, int]]:
    """Boxes (x0, y0, x1, y1) that cover a picture; neighbors share `margin` px."""

    def spans(length: int) -> list[tuple[int, int]]:
        count = max(1, math.ceil((length - margin) / TILE))
        step = math.ceil((length - margin) / count)
        return [(n * step, min(length, (n + 1) * step + margin)) for n in range(count)]

    for y0, y1 in spans(height):
        for x0, x1 in spans(width):
            yield x0, y0, x1, y1


def merge(faces: list[Face], known: list[Face]) -> list[Face]:
    """The faces that share little with a better or a known one, the best first."""
    kept: list[Face] = []
    for face in sorted(faces, key=lambda face: (-face.score, -area(face))):
        if not any(is_same(face, other) for other in [*known, *kept]):
            kept.append(face)
    return kept


def is_same(face: Face, other: Face) -> bool:
    """Whether two boxes are of one face: they share a third, or the first lies on the other."""
    shared = overlap(face.box, other.box)
    together = shared / (1 + shared) * (area(face) + area(other))  # the intersection
    return shared > 0.3 or together > 0.5 * min(area(face), area(other))


def turn_face(face: Face, quarter_turns: int, shape: tuple[int, ...]) -> Face:
    """A face of a picture of `shape` that is turned clockwise by so many quarters."""
    corners = turn_points(np.array(face.box).reshape(2, 2), quarter_turns, shape)
    box = (*corners.min(axis=0).tolist(), *corners.max(axis=0).tolist())
    return Face(box, turn_points(face.points, quarter_turns, shape), face.score)


def turn_points(points: np.ndarray, quarter_turns: int, shape: tuple[int, ...]) -> np.ndarray:
    """Points of a picture of `shape` (height, width) after it is turned clockwise."""
    height, width = shape[:2]
    x, y = points[:, 0], points[:, 1]
    turned = {
        0: (x, y),
        1: (height - 1 - y, x),
        2: (width - 1 - x, height - 1 - y),
        3: (y, width - 1 - x),
    }
    return np.stack(turned[quarter_turns % 4], axis=1)
