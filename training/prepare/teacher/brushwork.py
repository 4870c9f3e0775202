"""Gouache: a picture painted again in flat brush strokes, from large to small."""

import cv2
import numpy as np

from training.prepare.teacher.filters import (
    blur,
    blur_along,
    dilate,
    orientation,
    to_lab,
    to_rgb,
)
from training.prepare.teacher.hair_kinds import jittered_points
from training.prepare.teacher.shapes import normals

MAX_CHANGE = 22  # of L, a and b together along a stroke


def stroke_directions(rgb: np.ndarray, sigma: float):
    """Direction along edges, smoothed; where there are none it turns slowly."""
    light = to_lab(rgb)[..., 0]
    cos, sin, coherence = orientation(blur(light, 0.5 * sigma), sigma)
    rows, columns = np.mgrid[0 : light.shape[0], 0 : light.shape[1]]
    angle = 0.5 + 0.8 * np.sin(columns / (9 * sigma)) + 0.8 * np.cos(rows / (11 * sigma))
    strength = blur(np.abs(light - blur(light, 2 * sigma)), sigma)
    sure = coherence * np.clip(strength / 3, 0, 1)
    # Angles of directions without a sign are averaged doubled.
    x = sure * (2 * cos * cos - 1) + (1 - sure) * np.cos(2 * angle)
    y = sure * 2 * cos * sin + (1 - sure) * np.sin(2 * angle)
    half = 0.5 * np.arctan2(y, x)
    return np.cos(half).astype(np.float32), np.sin(half).astype(np.float32)


def trace_strokes(points: np.ndarray, direction, regions, lab, steps: int, size: float):
    """(N, 2 steps + 1, 2) points of all strokes; they stop at borders of regions and colors."""
    dx, dy = direction
    height, width = dx.shape
    x, y = points.astype(int).T
    own, color = regions[y, x], lab[y, x]
    sides = []
    for sign in (-1, 1):
        at, last, part = points.copy(), None, []
        going = np.ones(len(points), bool)
        for _ in range(steps):
            x, y = at.astype(int).T
            step = np.stack([dx[y, x], dy[y, x]], 1)
            flip = sign if last is None else np.where((step * last).sum(1) < 0, -1, 1)[:, None]
            step = step * flip
            last = step
            new = np.clip(at + step * size, 0, [width - 1, height - 1])
            x, y = new.astype(int).T
            going &= (regions[y, x] == own) & (np.abs(lab[y, x] - color).sum(1) < MAX_CHANGE)
            at = np.where(going[:, None], new, at)
            part.append(at)
        sides.append(part)
    return np.stack([*sides[0][::-1], points, *sides[1]], 1)


def paint_layer(target, source, mask, direction, regions, gap: float, length: float, seed: int):
    """Paints strokes of one size onto `target` (uint8); colors come from `source`.

    Args:
        target: uint8 (H, W, 3), changed.
        source: float32 (H, W, 3) in [0, 1].
        mask: (H, W) where strokes start.
        direction: (cos, sin) of the strokes.
        regions: (H, W) labels that strokes do not cross.
        gap: px between strokes.
        length: of a stroke over its width.
        seed: of the strokes' places and order.
    """
    points, rng = jittered_points(mask, gap, seed)
    if not len(points):
        return
    width = 1.5 * gap
    whole = to_lab(source)
    lines = trace_strokes(points, direction, regions, whole, 4, length * width / 8)
    x, y = points.astype(int).T
    lab = whole[y, x]
    lab[:, 0] += rng.normal(0, 1.2, len(points))
    lab[:, 1:] *= rng.normal(1, 0.05, (len(points), 1))
    colors = (to_rgb(lab[None])[0] * 255).astype(int)
    size = np.abs(np.diff(lines, axis=1)).sum(-1)
    across = normals(lines) * width * rng.uniform(0.35, 0.55, (len(lines), 1, 1))
    outlines = np.concatenate([lines + across, (lines - across)[:, ::-1]], 1)
    outlines = np.round(outlines * 16).astype(np.int32)
    for i in rng.permutation(len(points)):
        if size[i].max() >= 0.3:
            cv2.fillPoly(target, [outlines[i]], colors[i].tolist(), cv2.LINE_AA, 4)


def paint_gouache(image: np.ndarray, regions: np.ndarray, detail: np.ndarray, u: float):
    """A picture in brush strokes: broad ones everywhere, finer ones on people, the finest on edges.

    Args:
        image: float32 (H, W, 3) in [0, 1], in flat colors.
        regions: uint8 (H, W) labels that strokes do not cross; 0 is the background.
        detail: (H, W) 1 where strokes are fine.
        u: px of the faces' unit.

    Returns:
        float32 (H, W, 3) in [0, 1].
    """
    target = (blur(image, 0.03 * u) * 255).astype(np.uint8)
    direction = stroke_directions(image, 0.06 * u)
    body = (regions > 0).astype(np.float32)
    light = to_lab(image)[..., 0]
    edges = dilate(np.abs(light - blur(light, 0.04 * u)) > 7, 0.03 * u)
    for number, (mask, gap, length) in enumerate(
        (
            (np.ones_like(body), 0.17, 4),
            (1 - body, 0.12, 4),
            (body, 0.09, 4),
            (detail, 0.055, 5),
            (edges * np.maximum(body, 0.4) * (1 - detail), 0.04, 3),
        )
    ):
        paint_layer(target, image, mask, direction, regions, gap * u, length, number)
    painted = target.astype(np.float32) / 255
    return np.clip(painted + bristles(body.shape, direction), 0, 1)


def scene_regions(scene) -> np.ndarray:
    """uint8 (H, W) labels of clothes, hair, and of each tone of the skin."""
    regions = np.zeros(scene.canvas.shape, np.uint8)
    inside = scene.body > 0.5
    regions[(scene.clothes > 0.5) & inside] = 1
    shade = 10 + np.digitize(scene.shade, [-0.62, -0.28, 0.08, 0.42])
    regions = np.where((scene.skin > 0.5) & inside, shade, regions)
    regions[scene.hair > 0.5] = 3
    return regions.astype(np.uint8)


def bristles(shape: tuple[int, int], direction) -> np.ndarray:
    """(H, W, 1) faint streaks along the strokes."""
    noise = np.random.default_rng(5).normal(0, 1, shape).astype(np.float32)
    streaks = blur_along(noise[..., None], direction, 5, np.ones(shape, np.float32))
    streaks -= blur(streaks[..., 0], 4)[..., None]
    return 0.012 * streaks / (streaks.std() + 1e-6)
