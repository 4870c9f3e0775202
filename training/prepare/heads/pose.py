"""Bends the symmetric head into a person with a posture, and frames it as FFHQ frames faces."""

from dataclasses import dataclass

import numpy as np

from training.prepare.heads.attributes import Attributes
from training.prepare.heads.face import Face
from training.prepare.heads.overrides import NONE, Overrides
from training.prepare.heads.sdf import length, smooth_step

DISTANCE = 9.0  # of the camera from the head
NEAR, FAR = DISTANCE - 2.5, DISTANCE + 3.5  # of the depth maps


class Bend:
    """Makes the halves of a face differ and leans the shoulders; maps points (..., 3)."""

    def __init__(self, face: Face, attributes: Attributes):
        rng = np.random.default_rng([attributes.seed, 3])
        self.face, self.amounts = face, face.shape.lopsided
        self.lean = -np.radians(attributes.tilt)
        self.turn = float(np.clip(rng.normal(0, 0.16), -0.3, 0.3))

    def __call__(self, points):
        p = np.array(points, float)
        return self._posture(self._lopsided(p))

    def eye(self, side: int):
        """Center of the left (1) or right (-1) eye; the eyeball itself stays round."""
        return self(self.face.eye * [side, 1, 1])

    def _lopsided(self, p):
        s, a = self.face.shape, self.amounts
        x, y, z = p[..., 0].copy(), p[..., 1].copy(), p[..., 2].copy()
        front = smooth_step((z + 0.5) / 0.6)
        odd = np.tanh(x / 0.3)
        jaw = smooth_step((-0.25 - y) / 0.5) * smooth_step((y + 1.35) / 0.3)
        mouth = np.exp(-(((y - s.mouth_y) / 0.2) ** 2) - (x / 0.5) ** 2) * front
        nose = np.exp(-(((y - s.nose[0]) / 0.14) ** 2) - (x / 0.2) ** 2) * front
        head = smooth_step((y + 1.3) / 0.5)
        p[..., 0] += a["jaw"] * jaw + a["mouth_side"] * mouth + a["nose"] * nose
        p[..., 0] += a["bend"] * (y**2 - 0.1) * head
        cheek = np.exp(-(((y + 0.35) / 0.3) ** 2)) * smooth_step((np.abs(x) - 0.3) / 0.3)
        p[..., 0] += a["cheek"] * cheek * (np.abs(x) < 1.2)
        p[..., 1] += a["mouth_slant"] * x * mouth
        p[..., 1] += a["eye_height"] * odd * np.exp(-((y / 0.4) ** 2)) * front
        brow = smooth_step((y - 0.2) / 0.12) * smooth_step((0.75 - y) / 0.25)
        p[..., 1] += a["brow_height"] * odd * brow * front
        return p

    def _posture(self, p):
        """Turns what is below the head; the head itself stays where it is."""
        top, bottom = -0.8, self.face.shape.shoulder_y + 0.25
        weight = 1 - smooth_step((p[..., 1] - bottom) / (top - bottom))
        lean, turn = self.lean * weight, self.turn * weight
        pivot = np.array([0, -0.95, -0.5])
        x, y, z = np.moveaxis(p - pivot, -1, 0)
        c, s = np.cos(turn), np.sin(turn)
        x, z = x * c + z * s, z * c - x * s
        c, s = np.cos(lean), np.sin(lean)
        return np.stack([x * c - y * s, x * s + y * c, z], -1) + pivot


@dataclass(frozen=True)
class Camera:
    """A pinhole camera.

    `axes` holds its right, up and backward direction in rows; a point at distance d and x to the
    right is seen at x * focal / d + shift[0], in halves of the picture.
    """

    position: np.ndarray
    axes: np.ndarray
    focal: float
    shift: tuple[float, float]

    @property
    def level_axes(self):
        """The axes without the roll."""
        back = self.axes[2]
        right = np.cross([0, 1, 0], back)
        right = right / length(right)
        return np.stack([right, np.cross(back, right), back])

    def view(self, points):
        """Right, up and distance of points (..., 3)."""
        return (np.asarray(points) - self.position) @ self.axes.T * [1, 1, -1]

    def project(self, points, size: int):
        """Pixel coordinates (..., 2) of points (..., 3): x to the right, y down."""
        v = self.view(points)
        seen = v[..., :2] * self.focal / v[..., 2:] + np.asarray(self.shift)
        return np.stack([(1 + seen[..., 0]) / 2 * size, (1 - seen[..., 1]) / 2 * size], -1)


def frame_face(eyes, mouth, attributes: Attributes, overrides: Overrides = NONE) -> Camera:
    """The camera that sees a face as FFHQ crops it.

    FFHQ turns the crop along the eyes and the mouth; its half side is the larger of 2 eye
    distances and 1.8 distances from eyes to mouth, around a point a tenth of the way from the eyes
    to the mouth. Here the crop is a little wider, by a share of its own for every seed, and `roll`
    is added.

    Args:
        eyes: Centers of the right and left eye's opening, (2, 3).
        mouth: Its corners, right and left, (2, 3).
        attributes: Pose of the head.
        overrides: Of a head to order.
    """
    rng = np.random.default_rng([attributes.seed, 4])
    yaw, pitch, roll = (np.radians(v) for v in (-attributes.yaw, attributes.pitch, attributes.roll))
    back = np.array([np.sin(yaw) * np.cos(pitch), np.sin(pitch), np.cos(yaw) * np.cos(pitch)])
    right = np.array([np.cos(yaw), 0, -np.sin(yaw)])
    axes = np.stack([right, np.cross(back, right), back])
    position = np.mean(eyes, 0) + [0, -0.06, -0.25] + back * DISTANCE
    camera = Camera(position, axes, 1.0, (0.0, 0.0))
    (right_eye, left_eye), (right_corner, left_corner) = (
        camera.project(p, 2) * [1, -1] for p in (np.asarray(eyes), np.asarray(mouth))
    )
    middle = (right_eye + left_eye) / 2
    eye_to_eye = left_eye - right_eye
    eye_to_mouth = (right_corner + left_corner) / 2 - middle
    direction = eye_to_eye + np.array([-eye_to_mouth[1], eye_to_mouth[0]])
    half = max(2 * length(eye_to_eye), 1.8 * length(eye_to_mouth))
    half *= overrides.number("margin", rng.uniform(1.03, 1.13))
    angle = np.arctan2(direction[1], direction[0]) + roll
    center = middle + 0.1 * eye_to_mouth - [1, -1]
    c, s = np.cos(angle), np.sin(angle)
    axes = np.stack([axes[0] * c + axes[1] * s, axes[1] * c - axes[0] * s, back])
    turned = np.array([center[0] * c + center[1] * s, center[1] * c - center[0] * s])
    return Camera(position, axes, 1 / half, tuple(-turned / half))
