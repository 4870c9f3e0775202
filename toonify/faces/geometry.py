"""Faces, crops and the matrices between a photo and a crop.

Points are (x, y) in pixels of the upright photo with the center of the first pixel at (0, 0). A
`Crop` carries the matrix that made it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image

_FINER = 1.25  # how much finer than the drawn image a source is left


@dataclass(frozen=True, eq=False)
class Face:
    """One face in the frame of the upright photo.

    box: (x0, y0, x1, y1); it may reach over the photo's border.
    points: (5, 2): left eye, right eye, nose, left and right corner of the mouth, as they lie in
        the image when the head is upright (the left eye is the one on the left of the image),
        whatever way the head is turned.
    score: the detector's certainty, 0 to 1.
    """

    box: tuple[float, float, float, float]
    points: np.ndarray
    score: float

    @property
    def eye_distance(self) -> float:
        """Distance between the centers of the eyes, in pixels."""
        return float(np.linalg.norm(self.points[1] - self.points[0]))


def frontal_eye_distance(points: np.ndarray) -> float:
    """Measures the distance of the eyes as if the face looked ahead.

    A turned head counts by the distance from eyes to mouth. The result is a quarter of the side of
    the FFHQ crop that `faces.align` makes.

    Args:
        points: (5, 2) in px, as in `Face`.

    Returns:
        Pixels, at least 1.
    """
    left, right, _, mouth_left, mouth_right = points
    eyes, mouth = (left + right) / 2, (mouth_left + mouth_right) / 2
    across, down = right - left, mouth - eyes
    return max(1.0, float((across**2).sum() ** 0.5), 0.9 * float((down**2).sum() ** 0.5))


def scale_face(face: Face, scale: Sequence[float] | np.ndarray) -> Face:
    """Returns a face as it lies in a resized photo.

    Args:
        face: in the frame of the photo.
        scale: new over old width, and new over old height.

    Example:
        >>> face = Face((0, 0, 9, 9), np.full((5, 2), 4.5), 0.99)
        >>> scale_face(face, (2, 2)).points[0].tolist()
        [9.5, 9.5]
    """
    scale = np.asarray(scale)
    corners = (np.array(face.box).reshape(2, 2) + 0.5) * scale - 0.5
    points = (np.asarray(face.points) + 0.5) * scale - 0.5
    return Face(tuple(corners.ravel().tolist()), points, face.score)


def turn_face(face: Face, quarter_turns: int, shape: tuple[int, ...]) -> Face:
    """A face of a picture of `shape` that is turned clockwise by so many quarters."""
    (box,) = turn_boxes(np.array([face.box]), quarter_turns, shape)
    return Face(as_box(box), turn_points(face.points, quarter_turns, shape), face.score)


def turn_boxes(boxes: np.ndarray, quarter_turns: int, shape: tuple[int, ...]) -> np.ndarray:
    """Boxes (N, 4) of a picture of `shape` (height, width) after it is turned clockwise."""
    corners = turn_points(boxes.reshape(-1, 2), quarter_turns, shape).reshape(-1, 2, 2)
    return np.hstack([corners.min(axis=1), corners.max(axis=1)]).astype(boxes.dtype)


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


@dataclass(frozen=True, eq=False)
class Crop:
    """A face cut out upright: a square RGB image and the matrix (2, 3) photo -> crop pixels."""

    image: Image.Image
    matrix: np.ndarray
    face: Face

    @property
    def points(self) -> np.ndarray:
        """The face's five points (5, 2), in pixels of the crop."""
        return self.face.points @ self.matrix[:, :2].T + self.matrix[:, 2]

    @property
    def side(self) -> float:
        """Side of the square in the photo that the crop shows, in pixels of the photo."""
        return self.image.width / math.sqrt(abs(np.linalg.det(self.matrix[:, :2])))


def inside(crop: Crop, photo_size: tuple[int, int], side: int) -> np.ndarray:
    """Float32 (side, side): 1 where a crop of `side` pixels shows the photo (width, height), and 0
    where it reaches over the border and shows its mirror image."""
    matrix = cv2.invertAffineTransform(scaled_matrix(crop.matrix, side / crop.image.width))
    y, x = np.mgrid[:side, :side]
    places = matrix[:, :2] @ np.stack([x.ravel(), y.ravel()]) + matrix[:, 2:]
    limits = np.array(photo_size)[:, None] - 0.5
    shown = ((places >= -0.5) & (places <= limits)).all(axis=0)
    return shown.reshape(side, side).astype(np.float32)


def as_box(edges: np.ndarray) -> tuple[float, float, float, float]:
    """The edges of a box (4,) as a tuple (x0, y0, x1, y1)."""
    x0, y0, x1, y1 = edges.ravel().tolist()
    return x0, y0, x1, y1


def overlap(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    """Intersection over union of two boxes: 1 for the same, 0 for separate ones."""
    low, high = np.maximum(one[:2], other[:2]), np.minimum(one[2:], other[2:])
    shared = float(np.prod(np.clip(high - low, 0, None)))
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return shared / max(sum(areas) - shared, 1e-6)


def roll(points: np.ndarray) -> float:
    """Degrees by which the line between the eyes is turned clockwise."""
    across, down = points[1] - points[0]
    return math.degrees(math.atan2(down, across))


def area(face: Face) -> float:
    x0, y0, x1, y1 = face.box
    return (x1 - x0) * (y1 - y0)


def _ffhq_axes(points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Center, half of the upper side and half of the left side of the FFHQ square."""
    left_eye, right_eye, _, left_mouth, right_mouth = np.asarray(points, np.float64)
    eyes = (left_eye + right_eye) / 2
    between_eyes = right_eye - left_eye
    to_mouth = (left_mouth + right_mouth) / 2 - eyes
    across = between_eyes - np.array([-to_mouth[1], to_mouth[0]])
    length = max(2.0 * np.linalg.norm(between_eyes), 1.8 * np.linalg.norm(to_mouth))
    across = across / np.linalg.norm(across) * length
    return eyes + 0.1 * to_mouth, across, np.array([-across[1], across[0]])


def is_face(points: np.ndarray) -> bool:
    """Whether five points can be aligned: finite, and eyes and mouth apart."""
    if points.shape != (5, 2) or not np.isfinite(points).all():
        return False
    eyes, mouth = points[:2].mean(axis=0), points[3:].mean(axis=0)
    between_eyes, to_mouth = points[1] - points[0], mouth - eyes
    across = between_eyes - np.array([-to_mouth[1], to_mouth[0]])
    return bool(np.linalg.norm(across) > 1.0)


def ffhq_matrix(points: np.ndarray, size: int) -> np.ndarray:
    """Matrix (2, 3) from photo pixels to the pixels of the FFHQ crop of `size`."""
    if not is_face(np.asarray(points)):
        raise ValueError(
            f"points are {np.asarray(points).tolist()}; expected five that span a face"
        )
    center, across, down = _ffhq_axes(points)
    turn = np.stack([across, down]) * (size / 2) / (across @ across)
    middle = (size - 1) / 2  # the center of a square of pixels whose first center is 0
    return np.column_stack([turn, middle - turn @ center])


def scaled_matrix(matrix: np.ndarray, factor: float) -> np.ndarray:
    """The same map to an image `factor` times as large."""
    scaled = matrix * factor
    scaled[:, 2] += (factor - 1.0) / 2
    return scaled


def widen_matrix(matrix: np.ndarray, size: int, factor: float) -> np.ndarray:
    """The matrix of a square of the same `size` and center that shows `factor` times the side."""
    wide = matrix / factor
    wide[:, 2] += (size - 1) / 2 * (1 - 1 / factor)
    return wide


def offset_matrix(matrix: np.ndarray, x: float, y: float) -> np.ndarray:
    """The same map for an image that begins at (x, y)."""
    moved = matrix.copy()
    moved[:, 2] += matrix[:, :2] @ np.array([x, y], np.float64)
    return moved


def covered(
    matrix: np.ndarray, size: int, photo_size: tuple[int, int]
) -> tuple[int, int, int, int]:
    """The part x0, y0, x1, y1 of a photo that the square of `size` pixels lies over."""
    edge = np.array(
        [[-0.5, -0.5], [size - 0.5, -0.5], [size - 0.5, size - 0.5], [-0.5, size - 0.5]]
    )
    corners = (edge - matrix[:, 2]) @ np.linalg.inv(matrix[:, :2]).T
    low, high = np.floor(corners.min(axis=0)), np.ceil(corners.max(axis=0)) + 1
    width, height = photo_size
    return (
        int(np.clip(low[0], 0, width)),
        int(np.clip(low[1], 0, height)),
        int(np.clip(high[0], 0, width)),
        int(np.clip(high[1], 0, height)),
    )


def cut(photo: Image.Image | np.ndarray, matrix: np.ndarray, size: int) -> np.ndarray:
    """RGB photo -> uint8 (size, size, 3) under the matrix; mirrored beyond the border."""
    if isinstance(photo, Image.Image):
        width, height = photo.size
    else:
        height, width = photo.shape[:2]
    x0, y0, x1, y1 = covered(matrix, size, (width, height))
    if x0 >= x1 or y0 >= y1:
        raise ValueError("face lies wholly outside of the photo")
    # The filter needs neighbors; at the photo's border the part ends where the photo ends.
    margin = 8 + math.ceil(8 / math.sqrt(abs(np.linalg.det(matrix[:, :2]))))
    x0, y0 = max(x0 - margin, 0), max(y0 - margin, 0)
    x1, y1 = min(x1 + margin, width), min(y1 + margin, height)
    if isinstance(photo, Image.Image):  # only the part: to copy a large photo takes longer
        part = np.asarray(photo.crop((x0, y0, x1, y1)))
    else:
        part = np.ascontiguousarray(photo[y0:y1, x0:x1])
    inverse = cv2.invertAffineTransform(offset_matrix(matrix, x0, y0))
    return warp(part, inverse, (size, size))


def warp(pixels: np.ndarray, to_source: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Draw an image of size (width, height) by looking up pixel p at `to_source` @ p in pixels.

    A source that comes out smaller is first scaled down with a Lanczos filter to a little above
    the drawn resolution: nothing aliases, and hardly any detail is lost on the way there and back.
    The lookup itself is cubic, 8 times as fast as OpenCV's Lanczos filter.
    """
    step = math.sqrt(abs(np.linalg.det(to_source[:, :2])))  # source pixels per drawn pixel
    if step > _FINER:
        height, width = pixels.shape[:2]
        small = (max(1, round(width * _FINER / step)), max(1, round(height * _FINER / step)))
        pixels = np.asarray(Image.fromarray(pixels).resize(small, Image.Resampling.LANCZOS))
        shrink = np.array([[small[0] / width], [small[1] / height]])
        to_source = to_source * shrink
        to_source[:, 2:] += (shrink - 1.0) / 2
    return cv2.warpAffine(
        pixels,
        to_source,
        size,
        flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REFLECT_101,
    )
