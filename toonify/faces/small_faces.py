"""Small faces of large photos, searched for at the photo's own resolution."""

from __future__ import annotations

import math
from collections.abc import Callable

import cv2
import numpy as np

from toonify.faces import mtcnn
from toonify.faces.geometry import Face, area, as_box, is_face, overlap, roll, turn_boxes, turn_face

MAX_FACES = 200
MIN_FACE = 24  # px of the photo; a smaller face has no features to draw
MAX_WORK = 1_600_000  # pixels of the photo as the first network sees it at the finest scale
# Stricter than for the reduced photo, since there are many more places.
THRESHOLDS = (0.8, 0.8, 0.8)
MIN_SCORE = 0.95
PLAIN = 0.999  # an upright face with this score needs no confirmation

LookAgain = Callable[[np.ndarray, Face], Face | None]


class Detail:
    """A large photo as the networks see it, uint8 RGB (H, W, 3).

    As `mtcnn.View`, but without a table of sums, which takes four times the photo's memory.
    """

    def __init__(self, pixels: np.ndarray):
        self.pixels = pixels
        self.size = pixels.shape[:2]
        self._last = pixels

    def reduced(self, size: tuple[int, int]) -> np.ndarray:
        """All of it scaled down to size (h, w): float32 (h, w, 3), from the size asked for last."""
        if size[0] > self._last.shape[0]:
            self._last = self.pixels
        self._last = cv2.resize(self._last, size[::-1], interpolation=cv2.INTER_AREA)
        return self._last.astype(np.float32)

    def means(self, boxes: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """Boxes (N, 4) of whole pixels, each scaled to size (h, w): float32 (N, h, w, 3)."""
        parts = [self.pixels[y0:y1, x0:x1] for x0, y0, x1, y1 in boxes.astype(np.int64)]
        shown = [
            cv2.resize(np.ascontiguousarray(part), size[::-1], interpolation=cv2.INTER_AREA)
            for part in parts
        ]
        return np.stack(shown).astype(np.float32)


def least_side(size: tuple[int, ...]) -> int:
    """Side in px of the smallest face that is searched for in a photo of this size."""
    return max(MIN_FACE, math.ceil(mtcnn.CELL * math.sqrt(math.prod(size[:2]) / MAX_WORK)))


def find_small(
    pixels: np.ndarray, known: list[Face], largest: float, look_again: LookAgain
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
    least = least_side(pixels.shape)
    if least >= largest:
        return []
    with mtcnn.one_thread():
        # The first network, which sees 12 pixels, hardly tells which way a face is up: of 50 faces
        # of 24 px, 49 score above the threshold on their side, and all upside down.
        boxes = mtcnn.propose_candidates(
            Detail(pixels), least, THRESHOLDS[0], largest / mtcnn.FACTOR
        )
    turns = count_turns(known)
    small = judge(pixels, boxes, known, turns, look_again)
    if known:
        return small
    # Of faces on their side, a few are seen all the same.
    others = [count_turns(small)] if small else [1, 3, 2]
    tries = [judge(pixels, boxes, known, other, look_again) for other in others if other != turns]
    return max([small, *tries], key=len)


def count_turns(faces: list[Face]) -> int:
    """Quarter turns, counter-clockwise, after which most of the faces are upright."""
    directions = [np.exp(1j * np.radians(roll(face.points))) for face in faces]
    return round(float(np.degrees(np.angle(sum(directions)))) / 90) % 4


def judge(
    pixels: np.ndarray,
    boxes: np.ndarray,
    known: list[Face],
    quarter_turns: int,
    look_again: LookAgain,
) -> list[Face]:
    """The faces among candidates (N, 4), looked at after turning the photo counter-clockwise."""
    turned = np.rot90(pixels, quarter_turns)
    boxes = turn_boxes(boxes, -quarter_turns, pixels.shape)
    with mtcnn.one_thread():
        found = mtcnn.judge_candidates(Detail(turned), boxes, THRESHOLDS[1:])
    faces = []
    for box, points, score in zip(*found, strict=True):
        face = Face(as_box(box), points.astype(np.float64), float(score))
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


def merge(faces: list[Face], known: list[Face]) -> list[Face]:
    """The faces that hardly overlap with a better or a known one, the best first."""
    kept: list[Face] = []
    for face in sorted(faces, key=lambda face: (-face.score, -area(face))):
        if not any(is_same(face, other) for other in [*known, *kept]):
            kept.append(face)
    return kept


def is_same(face: Face, other: Face) -> bool:
    """Whether two boxes are of one face: they overlap by 0.3, or one covers half of the other."""
    shared = overlap(face.box, other.box)
    together = shared / (1 + shared) * (area(face) + area(other))  # the intersection
    return shared > 0.3 or together > 0.5 * min(area(face), area(other))
