"""Finds the faces of a photo, in any of the four orientations."""

from __future__ import annotations

import cv2
import numpy as np
from PIL import Image

from toonify.faces import mtcnn, small_faces
from toonify.faces.geometry import (
    Face,
    area,
    as_box,
    cut,
    ffhq_matrix,
    is_face,
    overlap,
    roll,
    scale_face,
    turn_boxes,
    turn_face,
)

# Below this the cascade has nothing to look at.
_MIN_SIDE = 20
_MIN_FACE = 0.08  # of the photo's short side
_NEAR_FACE = 0.15  # of the short side: whom a small photo is of
_CERTAIN = 0.97  # scores below are confirmed by a second look
_CERTAIN_TURNED = 0.995  # the same in a photo looked at lying on its side
_PLAIN = 0.9995  # an upright face scores above; one upside down may be mistaken for it below
_NEAR = 256  # pixels of the view that the second look sees


def detect(
    photo: Image.Image,
    *,
    min_score: float = 0.9,
    max_side: int = 1024,
    try_rotations: bool = True,
    small: bool = False,
) -> list[Face]:
    """Detects the faces in a photo.

    Faces smaller than 8 % of the shorter side, or than 20 pixels of the reduced photo, are ignored
    unless `small` is True.

    Args:
        photo: upright, of any size and mode.
        min_score: the least score of a face, 0 to 1; default 0.9.
        max_side: px to which the longer side is reduced for the detection; default 1024.
        try_rotations: whether a photo without a clearly upright face is also searched lying on
            either side and upside down; default True.
        small: whether small faces are searched for too, in the photo's own resolution: from 24 px
            up to 6 megapixels, 46 px at 24 megapixels; default False. At most 200 faces are found.

    Returns:
        The faces, the largest first; an empty list if there are none.

    Example:
        >>> from toonify import images
        >>> faces = detect(images.load("portrait.jpg"))
        >>> [round(faces[0].eye_distance)]
        [41]
    """
    width, height = photo.size
    shrink = min(1.0, max_side / max(height, width, 1))
    if min(height, width) * shrink < _MIN_SIDE:
        return []
    size = (max(1, round(width * shrink)), max(1, round(height * shrink)))
    view = mtcnn.View(_shrunk(photo, size))
    scale = np.array([width / size[0], height / size[1]])

    candidates = mtcnn.propose(view, _smallest(view))
    found = _look(view, candidates, min_score)
    if try_rotations and _best(found) < _PLAIN:
        turned = {turns: _look(view, candidates, min_score, turns) for turns in (1, 3, 2)}
        rivals = [turns for turns, faces in turned.items() if len(faces) >= len(found)]
        best = max(rivals, key=lambda turns: _best(turned[turns]), default=0)
        if rivals and _best(turned[best]) > _best(found):  # as it stands, the photo wins a tie
            # Candidates of the upright photo may score high where the turned one has none.
            found = max(found, _look(view, None, min_score, best), key=_best)
    faces = [scale_face(face, scale) for face in found]
    if small and not _is_portrait(photo.size, shrink, faces):
        pixels = np.asarray(photo if photo.mode == "RGB" else photo.convert("RGB"))
        largest = max(_MIN_SIDE / shrink, _MIN_FACE * min(photo.size))
        faces += small_faces.find_small(pixels, faces, largest, _confirm)
    return sorted(faces, key=area, reverse=True)


def _is_portrait(size: tuple[int, int], shrink: float, faces: list[Face]) -> bool:
    """Whether all pixels of the photo were seen and a near face was found among them."""
    sides = [min(face.box[2] - face.box[0], face.box[3] - face.box[1]) for face in faces]
    return shrink == 1.0 and max(sides, default=0.0) > _NEAR_FACE * min(size)


def _confirm(pixels: np.ndarray, face: Face) -> Face | None:
    return _second_look(pixels, face, doubtful=True)


def _shrunk(photo: Image.Image, size: tuple[int, int]) -> np.ndarray:
    """uint8 RGB pixels of a photo, scaled down to size (width, height)."""
    photo = photo if photo.mode == "RGB" else photo.convert("RGB")
    if photo.size == size:
        return np.asarray(photo)
    times = min(photo.width // size[0], photo.height // size[1])
    if times < 2:
        return cv2.resize(np.asarray(photo), size, interpolation=cv2.INTER_AREA)
    # By a whole number first, where the pixels lie: to copy a large photo takes longer than all
    # that follows. What is left is less than half and needs no other filter.
    return cv2.resize(np.asarray(photo.reduce(times)), size, interpolation=cv2.INTER_LINEAR)


def _smallest(view: mtcnn.View) -> int:
    """Side in px of the smallest face that is searched for in a view."""
    return max(_MIN_SIDE, int(_MIN_FACE * min(view.size)))


def _look(
    upright: mtcnn.View, candidates: np.ndarray | None, min_score: float, quarter_turns: int = 0
) -> list[Face]:
    """Faces of a view, judged after turning it counter-clockwise.

    `candidates` (N, 4) are squares of the upright view; None: they are searched for as it is
    turned, and the points are a little better.
    """
    view = upright.rotated(quarter_turns)
    if candidates is not None:
        candidates = turn_boxes(candidates, -quarter_turns, upright.size)
    faces = []
    for first in _candidates(view, _smallest(view), candidates):
        # An upright photo seems to show a face lying down here and there: there is less reason to
        # believe one, so it must be seen twice.
        doubtful = quarter_turns != 0
        face = _second_look(view.pixels, first, doubtful) if first.score >= min_score else None
        if face is None:
            continue
        faces.append(turn_face(face, quarter_turns, view.pixels.shape))
    return faces


def _candidates(
    view: mtcnn.View, smallest: int, candidates: np.ndarray | None = None
) -> list[Face]:
    """Faces in a view, with points that hold at the border too.

    The detector stretches a face that the border cuts until the part it sees is a whole one. With
    a gray margin around the image it does not.
    """
    faces = _said(view, smallest, candidates)
    beyond = [face for face in faces if _reaches_out(face.box, view.size)]
    if not beyond:
        return faces
    margin = round(max(max(f.box[2] - f.box[0], f.box[3] - f.box[1]) for f in beyond) / 2)
    pixels = np.ascontiguousarray(view.pixels)
    edges = (margin, margin, margin, margin)
    wide = cv2.copyMakeBorder(pixels, *edges, cv2.BORDER_CONSTANT, value=(128, 128, 128))
    again = [
        Face(as_box(np.subtract(face.box, margin)), face.points - margin, face.score)
        for face in _said(mtcnn.View(wide), smallest)
    ]
    for place, face in enumerate(faces):
        if face in beyond and again:
            best = max(again, key=lambda other: overlap(face.box, other.box))
            if overlap(face.box, best.box) > 0.3:
                faces[place] = best
    return faces


def _reaches_out(box: tuple[float, float, float, float], shape: tuple[int, ...]) -> bool:
    """Whether more than a fiftieth of a box's length or height lies beyond the border."""
    x0, y0, x1, y1 = box
    across, down = 0.02 * (x1 - x0), 0.02 * (y1 - y0)
    return x0 < -across or y0 < -down or x1 > shape[1] + across or y1 > shape[0] + down


def _said(view: mtcnn.View, smallest: int, candidates: np.ndarray | None = None) -> list[Face]:
    """What the detector says of a view, as it says it."""
    faces = [
        Face(tuple(box.tolist()), points.astype(np.float64), float(score))
        for box, points, score in zip(*mtcnn.find(view, smallest, candidates), strict=True)
    ]
    return [face for face in faces if np.isfinite(face.box).all() and is_face(face.points)]


def _second_look(pixels: np.ndarray, face: Face, doubtful: bool) -> Face | None:
    """The face with points as seen upright and near; None for a weak one that is not seen again.

    Upright and certain faces are returned as they are. The detector was trained on upright faces:
    beyond 30 degrees of roll its points are off, beyond 60 often by a quarter turn.
    """
    certain = _CERTAIN_TURNED if doubtful else _CERTAIN
    weak, points, score = doubtful or face.score < certain, face.points, face.score
    for _ in range(3):
        tilted = abs(roll(points)) > 30
        if not weak and not tilted:
            break
        matrix = ffhq_matrix(points, _NEAR // 2)
        matrix[:, 2] += _NEAR / 4  # the face's square in the middle half of the view
        try:
            near = mtcnn.View(cut(pixels, matrix, _NEAR))
        except ValueError:  # points outside of the photo
            return None
        middle = np.full(2, _NEAR / 2)
        again = [seen for seen in _candidates(near, _NEAR // 8) if _covers(seen.box, middle)]
        if not again:
            break
        best = max(again, key=lambda seen: seen.score)
        weak, score = best.score < certain, max(score, best.score)
        if tilted:
            points = (best.points - matrix[:, 2]) @ np.linalg.inv(matrix[:, :2]).T
        if not tilted or (not weak and abs(roll(best.points)) < 15):
            break
    return None if weak else Face(face.box, points, score)


def _covers(box: tuple[float, float, float, float], point: np.ndarray) -> bool:
    return bool(box[0] < point[0] < box[2] and box[1] < point[1] < box[3])


def _best(faces: list[Face]) -> float:
    return max((face.score for face in faces), default=0.0)
