"""Kinds of hair, found by the photo's texture, and their drawing: strands, curls, braids."""

from dataclasses import dataclass

import cv2
import numpy as np

from training.prepare.teacher.filters import (
    blur,
    dilate,
    erode,
    masked_blur,
    orientation,
    smoothstep,
    to_rgb,
)
from training.prepare.teacher.shapes import normals, over, spline, stroke_polygon, taper

STRANDS, CURLS, BRAIDS = "strands", "curls", "braids"
ROPE_GAP = 0.115  # units between braids
MIN_ROPE_CONTRAST = 4.5  # in L; the shine of straight black hair is less


@dataclass
class HairTexture:
    """What a photo's hair is like.

    Args:
        kind: "strands", "curls" or "braids".
        energy: of the fine texture against the hair's lightness.
        coherence: of its direction, in [0, 1].
        curl: in [0, 1].
    """

    kind: str = STRANDS
    energy: float = 0.0
    coherence: float = 1.0
    curl: float = 0.0


def measure_hair(light: np.ndarray, hair: np.ndarray, unit: float) -> HairTexture:
    """Texture of the hair in a photo.

    Args:
        light: L (H, W).
        hair: mask (H, W).
        unit: px of the face's unit.
    """
    inside = erode(hair, 0.06 * unit) > 0.5
    if inside.sum() < 0.1 * unit**2:
        return HairTexture()
    coherence = float(orientation(light, 0.07 * unit)[2][inside].mean())
    fine = np.abs(light - blur(light, 0.04 * unit))[inside].mean()
    energy = float(fine / (light[inside].mean() + 8))
    curl = float(smoothstep(-coherence, -0.46, -0.34) * smoothstep(energy, 0.05, 0.09))
    long = hair.sum() > 1.6 * unit**2
    dark = np.median(light[inside]) < 25
    kind = CURLS if curl > 0.35 else STRANDS
    ropes = energy > 0.25 and fine > MIN_ROPE_CONTRAST and 0.33 < coherence < 0.56
    if ropes and dark and long:
        kind = BRAIDS
    return HairTexture(kind, energy, coherence, curl)


def jittered_points(mask: np.ndarray, gap: float, seed: int = 0):
    """Points about `gap` px apart inside a mask, the same every time; and the generator used."""
    rng = np.random.default_rng(seed)
    height, width = mask.shape
    rows, columns = np.mgrid[gap / 2 : height : gap * 0.87, gap / 2 : width : gap]
    columns = columns + (np.arange(columns.shape[0]) % 2)[:, None] * gap / 2
    points = np.stack([columns.ravel(), rows.ravel()], 1)
    points = points + rng.uniform(-0.22, 0.22, points.shape) * gap
    points = points[(points > 0).all(1) & (points < [width - 1, height - 1]).all(1)]
    return points[mask[points[:, 1].astype(int), points[:, 0].astype(int)] > 0.5], rng


def trace(direction, start: np.ndarray, steps: int, size: float) -> np.ndarray:
    """Points along a direction field: up to `steps` steps of `size` px both ways."""
    dx, dy = direction
    height, width = dx.shape
    ends = []
    for sign in (1, -1):
        point, last, part = np.array(start, float), None, []
        for _ in range(steps):
            x, y = int(point[0]), int(point[1])
            if not (0 <= x < width and 0 <= y < height):
                break
            step = np.array([dx[y, x], dy[y, x]]) * sign
            step = step if last is None or step @ last > 0 else -step
            last = step
            point = point + step * size
            part.append(point)
        ends.append(part)
    return np.array([*ends[1][::-1], np.array(start, float), *ends[0]])


def flow(scene, sigma: float):
    """Direction of the hair, smoothed over `sigma` units."""
    light = masked_blur(scene.lab[..., 0], scene.hair + 1e-3, 1.5)
    return orientation(light, sigma * scene.u)[:2]


def lighter(lab: np.ndarray, amount: float) -> np.ndarray:
    """RGB of hair made lighter by `amount` of L."""
    lab = lab.copy()
    lab[..., 0] = np.clip(lab[..., 0] + amount, 3, 97)
    return to_rgb(lab)


def draw_strands(scene, image: np.ndarray, lab: np.ndarray, step: float) -> np.ndarray:
    """Long tapered lines along the flow, more of them on strongly structured hair."""
    u, direction = scene.u, flow(scene, 0.07)
    points, rng = jittered_points(erode(scene.hair, 0.04 * u), 0.20 * u)
    amount = float(np.clip(scene.portrait.hair.energy / 0.10, 0.3, 1.3))
    dark, light = [], []
    for i, point in enumerate(points):
        line = trace(direction, point, int(rng.uniform(8, 16)), 0.022 * u)
        if len(line) < 10:
            continue
        line = spline(line[::3], 30, smooth=4)
        outline = stroke_polygon(line, 0.026 * u * taper(30, 0.5, 0.5))
        (light if i % 2 else dark).append(outline)
    opacity = min(1, (0.60 if scene.look.cel else 0.5) * amount)
    mask = scene.canvas.polygons(dark) * scene.hair
    image = over(image, lighter(lab, -0.75 * step), opacity * mask)
    if scene.look.cel:
        return image
    mask = scene.canvas.polygons(light) * scene.hair
    return over(image, lighter(lab, 0.8 * step), min(1, 0.5 * amount) * mask)


def trace_ropes(scene) -> list[np.ndarray]:
    """Lines of braids along the flow, a rope apart."""
    u, direction = scene.u, flow(scene, 0.14)
    points, rng = jittered_points(erode(scene.hair, 0.03 * u), 0.07 * u)
    taken, ropes = np.zeros(scene.canvas.shape, np.uint8), []
    free = scene.hair > 0.5
    for start in points[rng.permutation(len(points))]:
        if taken[int(start[1]), int(start[0])]:
            continue
        line = trace(direction, start, 26, 0.025 * u)
        x, y = line.astype(int).T
        inside = (x >= 0) & (y >= 0) & (x < free.shape[1]) & (y < free.shape[0])
        x, y = x.clip(0, free.shape[1] - 1), y.clip(0, free.shape[0] - 1)
        inside &= free[y, x] & (taken[y, x] == 0)
        first = last = int(np.argmin(np.linalg.norm(line - start, axis=1)))
        while first > 0 and inside[first - 1]:
            first -= 1
        while last < len(line) - 1 and inside[last + 1]:
            last += 1
        line = line[first : last + 1]
        if len(line) < 8:
            continue
        rope = spline(line[::2], int(len(line) * 2.1), smooth=6)
        cv2.polylines(taken, [rope.astype(np.int32)], False, 1, max(1, int(ROPE_GAP * u)))
        ropes.append(rope)
    return ropes


def draw_braids(scene, image: np.ndarray, lab: np.ndarray, step: float) -> np.ndarray:
    """Ropes along the flow: dark gaps between them and a chain of tilted lights on each."""
    u, gaps, beads = scene.u, [], []
    for rope in trace_ropes(scene):
        count, across = len(rope), normals(rope)
        along = np.stack([across[:, 1], -across[:, 0]], 1)
        for sign in (-1, 1):
            edge = rope + sign * across * 0.055 * u
            gaps.append(stroke_polygon(edge, 0.020 * u * taper(count, 0.2, 0.2)))
        for number, i in enumerate(range(3, count - 3, 5)):
            tilt = (1 if number % 2 else -1) * across[i] * u
            bead = [
                rope[i] - along[i] * 0.030 * u - tilt * 0.030,
                rope[i] + tilt * 0.006,
                rope[i] + along[i] * 0.030 * u + tilt * 0.030,
            ]
            beads.append(stroke_polygon(spline(bead, 10), 0.026 * u * taper(10, 0.5, 0.5)))
    mask = scene.canvas.polygons(gaps) * scene.hair
    image = over(image, lighter(lab, -1.2 * step), 0.85 * mask)
    mask = scene.canvas.polygons(beads) * scene.hair
    return over(image, lighter(lab, 6 + 0.8 * step), 0.75 * mask)


def bumpy_outline(scene, radius: float) -> np.ndarray:
    """The hair mask with discs of about `radius` px along its edge, not over the face."""
    hair = (scene.hair > 0.5).astype(np.uint8)
    edge = cv2.morphologyEx(hair, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) > 0
    edge = dilate(edge & (scene.person > 0.5), 5)
    points, rng = jittered_points(edge, 0.9 * radius)
    t = np.linspace(0, 2 * np.pi, 20)
    circle = np.stack([np.cos(t), np.sin(t)], 1) * radius
    discs = scene.canvas.polygons([p + circle * rng.uniform(0.55, 0.95) for p in points])
    face = smoothstep(scene.oval, 0.5, 0.9) * smoothstep(scene.face_y, -0.75, -0.6)
    return np.maximum(scene.hair, discs * (1 - np.clip(scene.features + face, 0, 1)))


def draw_curls(scene, image: np.ndarray, lab: np.ndarray, step: float) -> np.ndarray:
    """Small overlapping arcs, one dark and one light to a curl; the outline becomes bumpy."""
    u = scene.u
    gap = (0.11 if scene.portrait.hair.coherence < 0.36 else 0.17) * u
    scene.hair = bumpy_outline(scene, gap * 0.62)
    points, rng = jittered_points(scene.hair, gap)
    count = len(points)
    radius = gap * rng.uniform(0.45, 0.68, (count, 1, 1))
    start, length = rng.uniform(0, 2 * np.pi, count), np.pi * rng.uniform(0.9, 1.5, count)
    turn = np.linspace(start, start + length, 18, axis=1)
    arcs = np.stack([np.cos(turn), np.sin(turn)], -1) * np.linspace(1, 0.62, 18)[:, None] * radius
    dark = stroke_polygon(points[:, None] + arcs, 0.036 * u * taper(18, 0.3, 0.4))
    turn = np.linspace(-2.6, -1.0, 12)
    arcs = 0.62 * np.stack([np.cos(turn), np.sin(turn)], -1) * radius
    light = stroke_polygon(points[:, None] + arcs, 0.030 * u * taper(12, 0.4, 0.4))
    image = over(image, lighter(lab, -step - 2), 0.75 * scene.canvas.polygons(dark))
    mask = (0.5 if scene.look.cel else 0.65) * scene.canvas.polygons(light)
    return over(image, lighter(lab, step + 2), mask)
