"""Changes a face's proportions: caricature of the landmarks, thin-plate warp, surface normals."""

import cv2
import numpy as np

from training.prepare.teacher.face_mesh import (
    CHIN,
    EYES,
    LIP_OUTER_LOWER,
    LIP_OUTER_UPPER,
    LIPS,
    NOSE,
    OVAL,
    FaceFrame,
)
from training.prepare.teacher.filters import blur
from training.prepare.teacher.looks import Look

EYE_OUT = 0.035  # units by which eyes and brows move away from the nose
RING = 1.75  # scale of the oval beyond which nothing moves
MORE_ANCHORS = [1, 2, 98, 327, 168, 6, 9, 151, 50, 280, 205, 425, 117, 346]


class ThinPlate:
    """Thin-plate spline through scattered values (Duchon, 1977).

    Args:
        points: (N, 2), about unit scale.
        values: (N, C).
        smoothing: 0 passes through all values.
    """

    def __init__(self, points: np.ndarray, values: np.ndarray, smoothing: float = 0.0):
        n = len(points)
        self.points = np.asarray(points, float)
        system = np.zeros((n + 3, n + 3))
        system[:n, :n] = self.kernel(self.points) + smoothing * np.eye(n)
        system[:n, n] = system[n, :n] = 1
        system[:n, n + 1 :] = self.points
        system[n + 1 :, :n] = self.points.T
        right = np.zeros((n + 3, values.shape[1]))
        right[:n] = values
        self.weights = np.linalg.solve(system, right)

    def kernel(self, at: np.ndarray) -> np.ndarray:
        squared = (at**2).sum(1)[:, None] + (self.points**2).sum(1) - 2 * at @ self.points.T
        squared = np.maximum(squared, 1e-12)
        return 0.5 * squared * np.log(squared)

    def __call__(self, at: np.ndarray) -> np.ndarray:
        """(M, C) values at points (M, 2)."""
        n = len(self.points)
        smooth = self.kernel(at) @ self.weights[:n]
        return smooth + self.weights[n] + at @ self.weights[n + 1 :]


def eye_ratios(points: np.ndarray) -> list[float]:
    """Height over width of both eyes' openings."""
    face = FaceFrame(points).to_face(points)
    return [
        float(
            np.linalg.norm(face[eye.upper[4]] - face[eye.lower[4]])
            / np.linalg.norm(face[eye.upper[0]] - face[eye.upper[-1]])
        )
        for eye in EYES
    ]


def caricature(points: np.ndarray, look: Look) -> np.ndarray:
    """Landmarks of the drawing.

    Args:
        points: (478, 3) landmarks of the photo in px.
        look: gives the proportions.

    Returns:
        (478, 3), depths as in the photo.
    """
    frame = FaceFrame(points)
    face = frame.to_face(points)
    moved = face.copy()
    chin, nose = face[CHIN, 1], face[[1, 2, 98, 327]].mean(0)
    down = np.clip((face[:, 1] - 0.35) / (chin - 0.35), 0, 1.1)
    middle = face[[10, CHIN, 1]].mean(0)[0]
    cheeks = 0.02 * np.exp(-(((face[:, 1] - 0.45) / 0.4) ** 2))
    moved[:, 0] = middle + (moved[:, 0] - middle) * (1 - look.jaw * down**1.4 + cheeks)
    moved[:, 1] -= look.chin * down**2
    away = np.linalg.norm((face[NOSE] - nose) / [0.6, 0.9], axis=1)
    fall = np.clip(1 - away, 0.2, 1)[:, None]
    moved[NOSE] += (face[NOSE] - nose - [0, -0.12]) * (look.nose - 1) * fall
    lips = moved[LIPS].mean(0)
    moved[LIPS] = (moved[LIPS] - lips) * look.mouth + lips + [0, -0.03]
    half = np.ptp(face[LIPS, 0]) / 2  # a little smile: drawn mouths look sterner than real ones
    moved[LIPS, 1] -= 0.025 * np.abs((face[LIPS, 0] - face[LIPS, 0].mean()) / half) ** 1.5 - 0.006
    for eye in EYES:
        ids = [*eye.lids, eye.iris, *eye.ring]
        center = face[eye.lids].mean(0)
        out = EYE_OUT * eye.outward
        moved[ids] = center + (face[ids] - center) * look.eyes + [out, look.eye_down]
        brow = eye.brow_upper + eye.brow_lower
        center = face[brow].mean(0)
        moved[brow] = (face[brow] - center) * 1.06 + center + [out, -look.brow_up]
    result = points.copy()
    result[:, :2] = frame.to_px(moved)
    return result


class FaceWarp:
    """Thin-plate warp between a photo and its drawing; it moves nothing far from the face.

    Args:
        source: (478, 3) landmarks of the photo in px.
        target: (478, 3) landmarks of the drawing in px.
        shape: (height, width) of both pictures.
    """

    def __init__(self, source: np.ndarray, target: np.ndarray, shape: tuple[int, int]):
        frame = FaceFrame(source)
        height, width = shape
        ids = {*OVAL, *LIP_OUTER_UPPER, *LIP_OUTER_LOWER, *MORE_ANCHORS}
        for eye in EYES:
            ids |= {*eye.upper[::2], *eye.lower[::2], *eye.brow_upper}
        ids = sorted(ids)
        oval = source[OVAL, :2]
        ring = oval.mean(0) + (oval[::3] - oval.mean(0)) * RING
        far = oval.mean(0) + (oval[::3] - oval.mean(0)) * RING * 1.5
        fixed = np.vstack([ring, far])
        before, after = np.vstack([source[ids, :2], fixed]), np.vstack([target[ids, :2], fixed])
        self.origin, self.unit = frame.origin, frame.unit
        before, after = ((p - self.origin) / self.unit for p in (before, after))
        self.forward = ThinPlate(before, after - before, 1e-4)
        backward = ThinPlate(after, before - after, 1e-4)
        # Beyond the fixed points a thin plate keeps bending: fade it out there.
        step = max(4, int(0.06 * frame.unit))
        xs, ys = np.arange(0, width + step, step), np.arange(0, height + step, step)
        grid = np.stack(np.meshgrid(xs, ys), -1).reshape(-1, 2)
        local = (grid - self.origin) / self.unit
        center = (oval.mean(0) - self.origin) / self.unit
        radius = np.linalg.norm((ring - oval.mean(0)) / self.unit, axis=1).mean()
        fade = np.clip(1.45 - np.linalg.norm(local - center, axis=1) / radius, 0, 0.3) / 0.3
        offset = np.zeros_like(local)
        near = fade > 0
        offset[near] = backward(local[near]) * fade[near, None] * self.unit
        offset = offset.reshape(len(ys), len(xs), 2).astype(np.float32)
        matrix = np.array([[step, 0, 0], [0, step, 0]], np.float32)
        full = cv2.warpAffine(
            offset, matrix, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
        )
        y, x = np.mgrid[0:height, 0:width].astype(np.float32)
        self.maps = (x + full[..., 0], y + full[..., 1])

    def __call__(self, image: np.ndarray, cubic: bool = False) -> np.ndarray:
        """A picture or mask of the photo in the drawing's geometry."""
        kind = cv2.INTER_CUBIC if cubic else cv2.INTER_LINEAR
        return cv2.remap(
            image.astype(np.float32), *self.maps, kind, borderMode=cv2.BORDER_REPLICATE
        )

    def move(self, points: np.ndarray) -> np.ndarray:
        """Points (N, 2) of the photo in the drawing, in px."""
        return points + self.forward((points - self.origin) / self.unit) * self.unit


def surface_normals(points: np.ndarray, roughness: float, shape: tuple[int, int]) -> np.ndarray:
    """Unit normals (H, W, 3) of the smoothed face; z points to the viewer.

    Args:
        points: (478, 3) landmarks in px.
        roughness: standard deviation of the smoothing in face units.
        shape: (height, width).
    """
    unit = FaceFrame(points).unit
    height, width = shape
    cell = unit / 18
    columns, rows = int(np.ceil(width / cell)) + 1, int(np.ceil(height / cell)) + 1
    grid = np.stack(np.meshgrid(np.arange(columns), np.arange(rows)), -1).reshape(-1, 2) * cell
    center = points[:468, :2].mean(0)
    plate = ThinPlate((points[:468:2, :2] - center) / unit, -points[:468:2, 2:] / unit, 0.02)
    depth = plate((grid - center) / unit).reshape(rows, columns).astype(np.float32) * unit
    # Differentiate on the coarse grid: an enlarged height field gives comb patterns.
    depth = blur(depth, roughness * 18)
    zx, zy = np.gradient(depth, axis=1) / cell, np.gradient(depth, axis=0) / cell
    coarse = np.stack([-zx, -zy, np.ones_like(zx)], -1)
    matrix = np.array([[cell, 0, 0], [0, cell, 0]], np.float32)
    full = cv2.warpAffine(
        coarse, matrix, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    full = blur(full, 4)
    return full / np.linalg.norm(full, axis=-1, keepdims=True)
