"""What is measured in the photo of one face, for all looks: window, landmarks, masks, glasses."""

from dataclasses import dataclass

import cv2
import numpy as np

from training.prepare.teacher import face_mesh
from training.prepare.teacher.eyes import EyeMeasures, measure_eyes
from training.prepare.teacher.filters import blur, to_lab
from training.prepare.teacher.glasses import Glasses, find_glasses
from training.prepare.teacher.hair_kinds import HairTexture, measure_hair
from training.prepare.teacher.masks import MaskNetwork, Masks, clean_masks

FACE_PX = 280  # height of the face on the canvas
MAX_CANVAS_PX = 1024  # long side of the canvas
HEAD_SQUARE = 2.15  # side of the square about a head, in face heights
WINDOW = (1.9, 1.5, 2.6)  # reach of a window in face heights: to the sides, up, down


@dataclass
class Portrait:
    """One face's part of a photo, enlarged or reduced to a face of about `FACE_PX`.

    Args:
        rgb: float32 (H, W, 3) in [0, 1], the canvas.
        points: (478, 3) landmarks on the canvas.
        masks: of the canvas.
        window: (left, top, right, bottom) of the canvas in the photo, in px.
        photo_face_px: height of the face in the photo.
        inside: share of the landmarks that lie in the photo.
        hands: (21, 2) landmarks of each hand on the canvas.
    """

    rgb: np.ndarray
    points: np.ndarray
    masks: Masks
    window: tuple[int, int, int, int]
    photo_face_px: float
    inside: float
    hands: list[np.ndarray]

    def __post_init__(self):
        self.lab = to_lab(self.rgb)
        self.frame = face_mesh.FaceFrame(self.points)
        self.glasses: Glasses = find_glasses(self.lab, self.points)
        self.eyes: EyeMeasures = measure_eyes(self.lab, self.points)
        self.hair: HairTexture = measure_hair(self.lab[..., 0], self.masks.hair, self.frame.unit)

    @property
    def scale(self) -> float:
        """Canvas px per photo px."""
        return self.rgb.shape[1] / (self.window[2] - self.window[0])


def choose_window(points: np.ndarray, shape: tuple[int, int]) -> tuple[int, int, int, int]:
    """(left, top, right, bottom): the whole photo, or a part of it if the face is small in it."""
    height, width = shape
    face = face_mesh.face_height(points)
    if max(height, width) * FACE_PX / face <= MAX_CANVAS_PX:
        return 0, 0, width, height
    x, y = points[:468, :2].mean(0)
    side, up, down = (reach * face for reach in WINDOW)
    left, top = int(max(0, x - side)), int(max(0, y - up))
    return left, top, int(min(width, np.ceil(x + side))), int(min(height, np.ceil(y + down)))


def head_square(points: np.ndarray, shape: tuple[int, int]) -> tuple[slice, slice]:
    """Rows and columns of the square about a head, inside the picture."""
    height, width = shape
    top, chin = points[face_mesh.TOP, :2], points[face_mesh.CHIN, :2]
    center = (top + chin) / 2 + 0.08 * (top - chin)
    side = min(HEAD_SQUARE * face_mesh.face_height(points), height, width)
    x, y = (
        int(np.clip(c - side / 2, 0, limit - side))
        for c, limit in zip(center, (width, height), strict=True)
    )
    return slice(y, y + int(side)), slice(x, x + int(side))


def prepare(rgb: np.ndarray, points: np.ndarray, network: MaskNetwork) -> Portrait:
    """Measures one face of a photo.

    Args:
        rgb: uint8 (H, W, 3), the whole photo.
        points: (478, 3) landmarks of the face in the photo.
        network: gives skin, clothes and hair.

    Returns:
        The portrait.
    """
    height, width = rgb.shape[:2]
    inside = (points[:468, :2] > 2) & (points[:468, :2] < [width - 3, height - 3])
    face = face_mesh.face_height(points)
    window = choose_window(points, (height, width))
    left, top, right, bottom = window
    part, scale = rgb[top:bottom, left:right], FACE_PX / face
    kind = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    canvas = cv2.resize(part, None, fx=scale, fy=scale, interpolation=kind)
    local = (points - [left, top, 0]) * scale
    square = head_square(local, canvas.shape[:2])
    again = face_mesh.detect_landmarks(canvas[square])
    if again is not None:
        again[:, :2] += [square[1].start, square[0].start]
        if np.linalg.norm(again[:468, :2].mean(0) - local[:468, :2].mean(0)) < 0.2 * FACE_PX:
            local = again
    person = face_mesh.segment_person(canvas)
    person[square] = 0.5 * (person[square] + face_mesh.segment_person(canvas[square]))
    probabilities = network(canvas)
    if square[0].stop - square[0].start < 0.8 * max(canvas.shape[:2]):
        weight = np.zeros(canvas.shape[:2], np.float32)
        weight[square] = 1
        weight = blur(weight, 0.06 * FACE_PX)[square] * 0.9
        near = network(canvas[square])
        probabilities[:, square[0], square[1]] += weight * (
            near - probabilities[:, square[0], square[1]]
        )
    pixels = canvas.astype(np.float32) / 255
    masks = clean_masks(pixels, np.clip(person, 0, 1), probabilities, local)
    hands = face_mesh.detect_hands(canvas)
    return Portrait(pixels, local, masks, window, face, float(inside.all(1).mean()), hands)
