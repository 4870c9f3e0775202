"""Glasses: lens outlines found in the photo, and even frames drawn in the drawing."""

from dataclasses import dataclass

import cv2
import numpy as np

from training.prepare.teacher.face_mesh import EYES, FaceFrame
from training.prepare.teacher.filters import blur, box, lab_color, shift, smoothstep
from training.prepare.teacher.shapes import normals, over, sample, spline

LOWEST = np.array([-0.03, -0.04, 0.31, 0.22, 0.40])  # center x, y, half width, half height, power
HIGHEST = np.array([0.18, 0.20, 0.52, 0.44, 1.00])
TURNS = np.linspace(0, 2 * np.pi, 72, endpoint=False)


@dataclass
class Glasses:
    """The best pair of lens outlines in a photo, and how sure it is.

    Args:
        score: mean darkness along the outlines, about [0, 1.5].
        bridge: darkness of the bar over the nose, in [0, 1].
        lenses: (72, 2) outline of each lens in px.
        color: Lab of the frame.
        width: of the frame, in units.
        flat: half height of a lens, in units.
    """

    score: float
    bridge: float
    lenses: list[np.ndarray]
    color: np.ndarray
    width: float
    flat: float

    @property
    def present(self) -> bool:
        """Wrinkled lids look like frames: either the bridge or the outlines must be clear."""
        clear_bridge = self.bridge > 0.93 and self.score > 0.38
        clear_rims = self.score > 1.35 and self.bridge > 0.42
        return (
            clear_bridge
            or clear_rims
            or (self.score > 0.95 and self.bridge > 0.60 and self.flat > 0.30)
        )


def lens_outlines(parameters: np.ndarray, outward: int, center: np.ndarray) -> np.ndarray:
    """(N, 72, 2) superellipses in face coordinates of parameters (N, 5)."""
    dx, dy, a, b, power = (parameters[:, i : i + 1] for i in range(5))
    cos, sin = np.cos(TURNS), np.sin(TURNS)
    x = center[0] + outward * (dx + a * np.sign(cos) * np.abs(cos) ** power)
    y = center[1] + dy + b * np.sign(sin) * np.abs(sin) ** power
    return np.stack([x, y], -1)


def fit_lenses(response: np.ndarray, frame: FaceFrame, centers) -> tuple[np.ndarray, float]:
    """Parameters (5,) of the pair along which the response is highest; and its score."""
    low = np.sin(TURNS) > 0.2  # brows hide the upper rim

    def score(parameters):
        sides = []
        for eye, center in zip(EYES, centers, strict=True):
            outline = lens_outlines(parameters, eye.outward, center)
            along = sample(response, frame.to_px(outline))
            weakest = np.percentile(along[:, low], 20, axis=1)
            sides.append(0.6 * along[:, low].mean(1) + 0.4 * along.mean(1) + 0.4 * weakest)
        return 0.5 * (sides[0] + sides[1]) + 0.5 * np.minimum(*sides)

    rng = np.random.default_rng(0)
    start = np.array([[-0.03, -0.04, 0.30, 0.22, 0.45], [0.16, 0.20, 0.50, 0.42, 1.0]])
    parameters = rng.uniform(*start, (4000, 5))
    for turn in range(1, 4):
        best = parameters[np.argsort(-score(parameters))[:20]]
        spread = np.array([0.02, 0.02, 0.02, 0.02, 0.06]) / turn
        tries = best[rng.integers(0, 20, 1000)] + rng.normal(0, spread, (1000, 5))
        parameters = np.clip(np.vstack([best, tries]), LOWEST, HIGHEST)
    scores = score(parameters)
    return parameters[scores.argmax()], float(scores.max())


def find_glasses(lab: np.ndarray, points: np.ndarray) -> Glasses:
    """Fits a pair of glasses to the dark lines about the eyes.

    Args:
        lab: (H, W, 3) of the photo.
        points: (478, 3) landmarks in px.

    Returns:
        The best fit; ask `present` whether there are glasses.
    """
    frame = FaceFrame(points)
    u = frame.unit
    light = blur(lab[..., 0], 0.012 * u)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (int(0.16 * u) | 1,) * 2)
    dark = cv2.morphologyEx(light, cv2.MORPH_CLOSE, disc) - light
    response = cv2.dilate(np.clip(dark / 30, 0, 1), box(0.02 * u))
    centers = [frame.to_face(points[eye.lids]).mean(0) for eye in EYES]
    parameters, score = fit_lenses(response, frame, centers)
    middle = (centers[0] + centers[1]) / 2
    x, y = middle[0] + np.linspace(-0.08, 0.08, 9), middle[1] + np.linspace(-0.15, 0.25, 30)
    bridge = sample(response, frame.to_px(np.stack(np.meshgrid(x, y), -1))).mean(1)
    lenses = [
        frame.to_px(lens_outlines(parameters[None], eye.outward, center)[0])
        for eye, center in zip(EYES, centers, strict=True)
    ]
    rims = np.vstack([lens[np.sin(TURNS) > -0.2] for lens in lenses])
    colors = sample(lab, rims)
    color = np.median(colors[colors[:, 0] < np.percentile(colors[:, 0], 50)], axis=0)
    width = rim_width(lab[..., 0], lenses, u)
    return Glasses(score, float(bridge.max()), lenses, color, width, float(parameters[3]))


def rim_width(light: np.ndarray, lenses, u: float) -> float:
    """Width of the frame in units: the dark span across the lower rims, in [0.02, 0.08]."""
    spans = []
    for lens in lenses:
        low = lens[np.sin(TURNS) > 0.2]
        across = np.linspace(-0.09, 0.09, 31)[:, None] * u
        away = low - lens.mean(0)
        away = away / (np.linalg.norm(away, axis=1, keepdims=True) + 1e-6)
        values = sample(light, low[:, None] + across[None] * away[:, None])
        least, most = values.min(1, keepdims=True), np.percentile(values, 80, axis=1, keepdims=True)
        spans.append((values < 0.5 * (least + most)).sum(1) * 0.18 / 30)
    return float(np.clip(np.median(np.concatenate(spans)), 0.02, 0.08))


def draw_glasses(scene, image: np.ndarray) -> np.ndarray:
    """Frames, temples and bridge, a soft reflection and a shadow; moved as the face is."""
    glasses, u, canvas, frame = scene.portrait.glasses, scene.u, scene.canvas, scene.frame
    pale = glasses.color[0] > 45  # thin metal or no rims at all
    color = np.minimum(glasses.color, [55, 99, 99])
    color = lab_color([max(6, color[0] * 0.8), color[1], color[2]])
    width = (0.026 if pale else np.clip(0.018 + 0.75 * glasses.width, 0.028, 0.062)) * u
    lenses = [spline(scene.warp.move(lens[::3]), 120, closed=True) for lens in glasses.lenses]
    soft = not scene.look.cel
    for lens in lenses:
        center = lens.mean(0)
        across = ((scene.columns - center[0]) * 0.8 + (scene.rows - center[1]) * 0.6) / u
        pane = canvas.polygon(lens, 0.6)
        glint = smoothstep(across, -0.26, -0.24) * smoothstep(-across, 0.10, 0.12)
        image = over(image, [1, 1, 1], (0.10 if soft else 0.08) * pane * glint)
        shade = shift(rim(canvas, lens, width), -scene.side * 0.01 * u, 0.035 * u)
        image = image * (1 - 0.20 * blur(shade, 0.012 * u)[..., None])
    for lens, eye, ear in zip(lenses, EYES, (127, 356), strict=True):
        local = lens - lens.mean(0)
        score = (local @ frame.x) * -eye.outward + 0.5 * np.abs(local @ frame.y + 0.12 * u)
        hinge = lens[np.argmin(score)]
        temple = spline([hinge, 0.5 * (hinge + scene.points[ear, :2]), scene.points[ear, :2]], 20)
        image = over(image, color, canvas.stroke(temple, 0.85 * width * np.linspace(1, 0.8, 20)))
    ends = []
    for lens, eye in zip(lenses, EYES, strict=True):
        local = lens - lens.mean(0)
        score = (local @ frame.x) * eye.outward + 0.6 * np.abs(local @ frame.y + 0.08 * u)
        ends.append(lens[np.argmin(score)])
    bridge = spline([ends[0], sum(ends) / 2 - 0.05 * u * frame.y, ends[1]], 24)
    image = over(image, color, canvas.stroke(bridge, 0.9 * width))
    for lens in lenses:
        image = over(image, color, rim(canvas, lens, width))
        image = over(
            image, [1, 1, 1], 0.16 * rim(canvas, lens - 0.15 * width * frame.y, 0.2 * width)
        )
    return image


def rim(canvas, lens: np.ndarray, width: float) -> np.ndarray:
    """Mask of a closed line along a lens."""
    n = normals(np.vstack([lens[-1:], lens, lens[:1]]))[1:-1]
    if ((lens - lens.mean(0)) * n).sum() < 0:
        n = -n
    ring = canvas.polygon(lens + n * width / 2, 0.5) - canvas.polygon(lens - n * width / 2, 0.5)
    return np.clip(ring, 0, 1)
