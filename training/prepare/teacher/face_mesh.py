"""Face landmarks: MediaPipe's indices, the face's own axes, and detection on whole photos."""

import os
from functools import cache

import cv2
import numpy as np

# Indices of MediaPipe's face mesh: 468 points, and 10 more of the irises.
# fmt: off
OVAL = [10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377,
        152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109]
JAW = [234, 93, 132, 58, 172, 136, 150, 149, 176, 148, 152,
       377, 400, 378, 379, 365, 397, 288, 361, 323, 454]
LIP_OUTER_UPPER = [61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291]
LIP_OUTER_LOWER = [61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291]
LIP_INNER_UPPER = [78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308]
LIP_INNER_LOWER = [78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308]
NOSE = [1, 2, 4, 5, 6, 19, 44, 45, 48, 49, 51, 64, 75, 79, 94, 97, 98, 102, 115, 122, 125, 129, 131,
        134, 141, 166, 168, 174, 188, 195, 196, 197, 198, 203, 209, 217, 218, 219, 220, 235, 236,
        237, 238, 239, 240, 241, 242, 248, 250, 274, 275, 278, 279, 281, 289, 294, 305, 309, 326,
        327, 328, 331, 344, 351, 354, 358, 360, 363, 370, 392, 399, 412, 419, 420, 423, 429, 437,
        438, 439, 440, 455, 456, 457, 458, 459, 460, 461, 462]
# fmt: on
LIPS = sorted({*LIP_OUTER_UPPER, *LIP_OUTER_LOWER, *LIP_INNER_UPPER, *LIP_INNER_LOWER})
TOP, CHIN, NOSE_BASE, NOSE_TIP = 10, 152, 2, 4


class Eye:
    """Indices of one eye and its brow; `upper` and `lower` run from the outer to the inner corner.

    `outward` is the sign of the direction away from the nose along the picture's x axis.
    """

    def __init__(self, upper, lower, iris, ring, brow_upper, brow_lower, outward):
        self.upper, self.lower, self.lids = upper, lower, upper + lower
        self.iris, self.ring = iris, ring
        self.brow_upper, self.brow_lower = brow_upper, brow_lower
        self.outward = outward


EYES = (
    Eye(
        [33, 246, 161, 160, 159, 158, 157, 173, 133],
        [33, 7, 163, 144, 145, 153, 154, 155, 133],
        468,
        [469, 470, 471, 472],
        [70, 63, 105, 66, 107],
        [46, 53, 52, 65, 55],
        -1,
    ),
    Eye(
        [263, 466, 388, 387, 386, 385, 384, 398, 362],
        [263, 249, 390, 373, 374, 380, 381, 382, 362],
        473,
        [474, 475, 476, 477],
        [300, 293, 334, 296, 336],
        [276, 283, 282, 295, 285],
        1,
    ),
)


class FaceFrame:
    """A face's own axes: origin between the eyes, x to the picture's right, y down the face.

    `unit` is the distance of the eyes, or half of that from eyes to chin if that is longer: the
    eyes of a turned head are close together.

    Args:
        points: (478, 2 or 3) landmarks in px.
    """

    def __init__(self, points: np.ndarray):
        right, left = (points[eye.lids, :2].mean(0) for eye in EYES)
        self.origin = (right + left) / 2
        self.eye_distance = float(np.linalg.norm(left - right))
        self.x = (left - right) / self.eye_distance
        self.y = np.array([-self.x[1], self.x[0]])
        self.unit = max(
            self.eye_distance, 0.5 * float(np.linalg.norm(points[CHIN, :2] - self.origin))
        )
        self.angle = float(np.arctan2(self.x[1], self.x[0]))

    def to_face(self, points) -> np.ndarray:
        """Face coordinates of px points (..., 2+)."""
        offset = (np.asarray(points)[..., :2] - self.origin) / self.unit
        return np.stack([offset @ self.x, offset @ self.y], -1)

    def to_px(self, points) -> np.ndarray:
        """Px of face coordinates (..., 2)."""
        points = np.asarray(points)
        return self.origin + self.unit * (points[..., :1] * self.x + points[..., 1:] * self.y)


def five_points(points: np.ndarray) -> np.ndarray:
    """(5, 2) eyes, nose and corners of the mouth in px, as the face detector gives them."""
    eyes = [points[eye.lids, :2].mean(0) for eye in EYES]
    return np.stack([*eyes, points[NOSE_TIP, :2], points[61, :2], points[291, :2]])


def face_height(points: np.ndarray) -> float:
    """Px from the forehead's top to the chin."""
    return float(np.linalg.norm(points[CHIN, :2] - points[TOP, :2]))


def head_turn(points: np.ndarray) -> float:
    """Degrees by which a head is turned to the side, from the depth of both sides of the face."""
    across = points[454] - points[234]
    return float(np.degrees(np.arctan2(abs(across[2]), np.linalg.norm(across[:2]) + 1e-6)))


def import_mediapipe():
    """The `mediapipe` module.

    Raises:
        ModuleNotFoundError: it is not installed.
    """
    os.environ.setdefault("GLOG_minloglevel", "3")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        import mediapipe
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "the teacher needs mediapipe 0.10.14: pip install 'toonify[teacher]'"
        ) from error
    return mediapipe


@cache
def _solution(name: str):
    solutions = import_mediapipe().solutions
    if name == "mesh":
        return solutions.face_mesh.FaceMesh(
            static_image_mode=True,
            max_num_faces=1,
            refine_landmarks=True,
            min_detection_confidence=0.3,
        )
    if name == "hands":
        return solutions.hands.Hands(
            static_image_mode=True, max_num_hands=4, min_detection_confidence=0.7
        )
    return solutions.selfie_segmentation.SelfieSegmentation(model_selection=0)


def detect_landmarks(rgb: np.ndarray) -> np.ndarray | None:
    """(478, 3) landmarks in px of the largest face of a uint8 picture; None without a face."""
    found = _solution("mesh").process(np.ascontiguousarray(rgb)).multi_face_landmarks
    if not found:
        return None
    height, width = rgb.shape[:2]
    return np.array([(p.x * width, p.y * height, p.z * width) for p in found[0].landmark])


def detect_hands(rgb: np.ndarray) -> list[np.ndarray]:
    """(21, 2) landmarks in px of each hand of a uint8 picture."""
    found = _solution("hands").process(np.ascontiguousarray(rgb)).multi_hand_landmarks or []
    height, width = rgb.shape[:2]
    return [np.array([(p.x * width, p.y * height) for p in hand.landmark]) for hand in found]


def segment_person(rgb: np.ndarray) -> np.ndarray:
    """(H, W) probability of people in a uint8 picture."""
    return _solution("selfie").process(np.ascontiguousarray(rgb)).segmentation_mask.copy()


def find_faces(rgb: np.ndarray, boxes) -> list[np.ndarray]:
    """Landmarks of all faces of a photo.

    Args:
        rgb: uint8 (H, W, 3).
        boxes: (left, top, right, bottom) of each detected face, in px.

    Returns:
        One (478, 3) array a face, largest face first. A box without a mesh gives none.
    """
    found = []
    height, width = rgb.shape[:2]
    for left, top, right, bottom in boxes:
        side = 2.2 * max(right - left, bottom - top)
        x, y = (left + right - side) / 2, (top + bottom - side) / 2
        scale = 512 / side
        area = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
        x0, y0 = max(0, int(x)), max(0, int(y))
        part = rgb[y0 : min(height, int(y + side)), x0 : min(width, int(x + side))]
        if min(part.shape[:2]) < 8:
            continue
        small = cv2.resize(part, None, fx=scale, fy=scale, interpolation=area)
        points = detect_landmarks(small)
        if points is None:
            continue
        points = points / [small.shape[1], small.shape[0], small.shape[1]]
        points = points * [part.shape[1], part.shape[0], part.shape[1]] + [x0, y0, 0]
        center = points[:468, :2].mean(0)
        if left < center[0] < right and top < center[1] < bottom:
            found.append(points)
    if not found and (points := detect_landmarks(rgb)) is not None:
        found.append(points)
    return sorted(found, key=face_height, reverse=True)
