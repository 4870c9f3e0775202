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
    lab[:, 0] += rng.normal(0, 1.5, len(points))
    lab[:, 1:] *= rng.normal(1, 0.05, (len(points), 1))
    colors = (to_rgb(lab[None])[0] * 255).astype(int)
    for i in rng.permutation(len(points)):
        line = lines[i]
        d = np.gradient(line, axis=0)
        size = np.linalg.norm(d, axis=1, keepdims=True)
        if size.max() < 0.3:
            continue
        n = np.stack([-d[:, 1], d[:, 0]], 1) / (size + 1e-6)
        half = width * rng.uniform(0.35, 0.55)
        outline = np.vstack([line + half * n, (line - half * n)[::-1]])
        fixed = np.round(outline * 16).astype(np.int32)
        cv2.fillPoly(target, [fixed], colors[i].tolist(), cv2.LINE_AA, 4)


def paint_gouache(scene, image: np.ndarray) -> np.ndarray:
    """The whole picture in brush strokes: broad ones behind, finer ones on clothes, hair and skin.

    Args:
        scene: gives masks, unit and the face.
        image: float32 (H, W, 3), flat colors; features are drawn later.
    """
    u, shape = scene.u, scene.canvas.shape
    regions = np.zeros(shape, np.uint8)
    for label, mask in enumerate((scene.clothes, scene.skin, scene.hair), start=1):
        regions[(mask > 0.5) & (scene.body > 0.5)] = label
    shade = np.digitize(scene.shade, [-0.62, -0.28, 0.08, 0.42])
    steps = np.where(regions == 2, 10 + shade, regions).astype(np.uint8)
    target = (blur(image, 0.03 * u) * 255).astype(np.uint8)
    direction = stroke_directions(image, 0.06 * u)
    everywhere = np.ones(shape, np.float32)
    body = (regions > 0).astype(np.float32)
    paint_layer(target, image, everywhere, direction, regions, 0.17 * u, 4, 1)
    paint_layer(target, image, 1 - body, direction, regions, 0.12 * u, 4, 2)
    paint_layer(target, image, body, direction, regions, 0.09 * u, 4, 3)
    light = to_lab(image)[..., 0]
    fine = ((regions == 3) | (regions == 2)).astype(np.float32)
    paint_layer(target, image, fine, direction, steps, 0.055 * u, 5, 4)
    edges = dilate(np.abs(light - blur(light, 0.04 * u)) > 7, 0.03 * u) * (regions != 3)
    paint_layer(target, image, edges, direction, steps, 0.035 * u, 3, 5)
    painted = target.astype(np.float32) / 255
    return np.clip(painted + bristles(shape, direction), 0, 1)


def bristles(shape: tuple[int, int], direction) -> np.ndarray:
    """(H, W, 1) faint streaks along the strokes."""
    noise = np.random.default_rng(5).normal(0, 1, shape).astype(np.float32)
    streaks = blur_along(noise[..., None], direction, 5, np.ones(shape, np.float32))
    streaks -= blur(streaks[..., 0], 4)[..., None]
    return 0.012 * streaks / (streaks.std() + 1e-6)
