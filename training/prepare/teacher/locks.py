"""Anime hair: pointed locks along the flow, and pointed tips where hair ends."""

import cv2
import numpy as np

from training.prepare.teacher.filters import erode
from training.prepare.teacher.hair_kinds import flow, jittered_points, lighter, trace
from training.prepare.teacher.shapes import over, spline, stroke_polygon

LOCK_GAP = 0.24  # units


def draw_locks(scene, image: np.ndarray, lab: np.ndarray, step: float) -> np.ndarray:
    """Long wedges along the flow, pointed at their lower ends, each with one thin dark edge."""
    u, direction = scene.u, flow(scene, 0.10)
    points, rng = jittered_points(erode(scene.hair, 0.05 * u), LOCK_GAP * u, seed=3)
    shades, edges = [], []
    for i, point in enumerate(points):
        line = trace(direction, point, int(rng.uniform(9, 17)), 0.035 * u)
        if len(line) < 10:
            continue
        line = spline(line[::3], 30, smooth=4)
        if (line[-1] - line[0]) @ scene.frame.y < 0:
            line = line[::-1]
        widths = rng.uniform(0.07, 0.13) * u * np.linspace(0, 1, 30) ** 0.5
        widths = widths * np.linspace(1, 0, 30) ** 0.6 * 1.5
        if i % 3 == 0:
            shades.append(stroke_polygon(line, widths))
        if i % 3 != 1:
            half = stroke_polygon(line, widths)[:30]
            edges.append(stroke_polygon(half, 0.016 * u * np.linspace(0.3, 1, 30)))
    canvas, hair = scene.canvas, scene.hair
    image = over(image, lighter(lab, -0.8 * step), 0.8 * canvas.polygons(shades) * hair)
    return over(image, lighter(lab, -1.6 * step - 4), 0.75 * canvas.polygons(edges) * hair)


def point_tips(scene) -> np.ndarray:
    """The hair mask with pointed tips where hair ends across the flow and downwards."""
    u, direction, hair = scene.u, flow(scene, 0.09), scene.hair
    contours, _ = cv2.findContours(
        (hair > 0.5).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
    )
    tips = []
    for contour in contours:
        edge = contour[:, 0].astype(float)
        if len(edge) < 0.6 * u:
            continue
        along = np.roll(edge, -6, 0) - np.roll(edge, 6, 0)
        out = np.stack([along[:, 1], -along[:, 0]], 1)
        out /= np.linalg.norm(along, axis=1, keepdims=True) + 1e-6
        i = 0
        while i < len(edge) - 1:
            gap = 0.13 + 0.14 * ((i * 7919) % 17) / 17
            i = min(len(edge) - 1, i + max(4, int(gap * u)))
            tip = tip_at(scene, edge[i], out[i], direction, (i * 7919) % 13 / 13)
            if tip is not None:
                tips.append(tip)
    if not tips:
        return hair
    mask = scene.canvas.polygons(tips) * (1 - np.clip(scene.features * 2, 0, 1))
    return np.maximum(hair, mask)


def tip_at(scene, point: np.ndarray, out: np.ndarray, direction, size: float):
    """Outline of one tip at a point of the hair's edge; None where hair does not end."""
    u, hair = scene.u, scene.hair
    height, width = hair.shape
    limits = [width - 1, height - 1]
    x, y = np.clip((point - 0.05 * u * out).astype(int), 0, limits)
    if hair[y, x] < 0.5:
        out = -out
        x, y = np.clip((point - 0.05 * u * out).astype(int), 0, limits)
    way = np.array([direction[0][y, x], direction[1][y, x]])
    way = way if way @ out > 0 else -way
    in_picture = 4 < point[0] < width - 5 and 4 < point[1] < height - 0.25 * u
    if way @ out < 0.35 or way @ scene.frame.y < 0.35 or not in_picture:
        return None
    length = 0.20 * u * (0.6 + 0.9 * size)
    line = [
        point - 0.10 * u * way,
        point + 0.3 * length * way,
        point + length * way + 0.02 * u * scene.frame.y,
    ]
    return stroke_polygon(spline(line, 16), 0.20 * u * np.linspace(1, 0, 16))
