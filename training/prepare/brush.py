"""Paints a picture with brush strokes: curved, from broad to fine, along the flow of the picture.

Hertzmann, "Painterly rendering with curved brush strokes of multiple sizes", SIGGRAPH 1998. Strokes
are laid dark to light, as painters do, so that the same picture always gives the same painting and
a network that sees only the picture can learn where the edges of strokes fall.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from training.prepare.flow import along_flow, edge_flow

SUBPIXEL_BITS = 3  # OpenCV draws lines at eighths of a pixel


@dataclass(frozen=True)
class Brushes:
    """A set of brushes, broad to fine; sizes in px at a short side of 320."""

    radii: tuple[float, ...] = (12.0, 6.0, 3.0, 1.5)
    thresholds: tuple[float, ...] = (0.0, 14.0, 20.0, 34.0)  # error of 255 that is painted over
    longest: int = 7  # steps of a stroke, each nine tenths of its radius
    shortest: int = 2
    jitter: float = 4.0  # deviation, in levels of 255, of one stroke's light from the picture's
    relief: float = 8.0  # levels of 255 that the edge of a stroke catches the light by
    bristle: float = 2.2  # deviation, in levels of 255, of the marks of bristles


def trace(seeds, colours, reference, canvas, flow, radius: float, brushes: Brushes):
    """Follows the flow from every seed at once: points (N, longest + 1, 2) and lengths (N,).

    A stroke ends where the canvas is already nearer to the picture than its own colour is.
    """
    height, width = reference.shape[:2]
    place = seeds.astype(np.float32)
    heading = np.zeros_like(place)
    points, lengths = [place], np.ones(len(place), int)
    alive = np.ones(len(place), bool)
    for count in range(brushes.longest):
        x = np.clip(place[:, 0], 0, width - 1).astype(int)
        y = np.clip(place[:, 1], 0, height - 1).astype(int)
        if count >= brushes.shortest:
            wanted = reference[y, x]
            ours = np.abs(wanted - colours).sum(-1)
            alive &= (ours < 18) | (ours <= np.abs(wanted - canvas[y, x]).sum(-1))
        direction = np.stack([flow[0][y, x], flow[1][y, x]], -1)
        back = (direction * heading).sum(-1) < 0
        direction[back] *= -1
        place = place + 0.9 * radius * direction
        heading = direction
        points.append(place)
        lengths += alive
    return np.stack(points, 1), lengths


def lay(canvas, relief, reference, finer, radius: float, threshold: float, brushes, rng):
    """One layer of strokes over `canvas` and its `relief` where they differ from `reference`.

    float32 (H, W, 3) in [0, 255], float32 (H, W) in [0, 1]; `finer` (H, W) asks for more strokes.
    """
    height, width = reference.shape[:2]
    step = max(2, round(radius))
    grey = reference @ np.array([0.299, 0.587, 0.114], np.float32)
    flow = edge_flow(cv2.GaussianBlur(grey, (0, 0), max(1.0, radius / 2)), 1.2 * radius)
    error = cv2.blur(np.sqrt(((canvas - reference) ** 2).sum(-1)), (step, step)) * finer
    # One seed in each cell of a grid: where the canvas is worst.
    rows, columns = height // step, width // step
    cells = error[: rows * step, : columns * step].reshape(rows, step, columns, step)
    cells = cells.transpose(0, 2, 1, 3).reshape(rows, columns, step * step)
    worst = cells.argmax(-1)
    y = np.arange(rows)[:, None] * step + worst // step
    x = np.arange(columns)[None] * step + worst % step
    chosen = cells.max(-1) > threshold
    seeds = np.stack([x[chosen], y[chosen]], -1)
    colours = reference[seeds[:, 1], seeds[:, 0]]
    colours = np.clip(colours + rng.normal(0, brushes.jitter, (len(seeds), 1)), 0, 255)
    points, lengths = trace(seeds, colours, reference, canvas, flow, radius, brushes)
    order = np.argsort(colours.sum(-1), kind="stable")
    painted = np.clip(canvas, 0, 255).astype(np.uint8)
    thickness = max(1, round(2 * radius))
    for rank, index in enumerate(order):
        line = np.round(points[index, : lengths[index]] * 2**SUBPIXEL_BITS).astype(np.int32)
        colour = colours[index].tolist()
        cv2.polylines(painted, [line], False, colour, thickness, cv2.LINE_AA, SUBPIXEL_BITS)
        # Heights go round: neighbours in the order of laying differ, so their edges show.
        level = 0.25 + 0.75 * ((rank * 7) % 16) / 15
        cv2.polylines(relief, [line], False, level, thickness, cv2.LINE_8, SUBPIXEL_BITS)
    return painted.astype(np.float32), relief


def paint(
    picture: np.ndarray,
    protect: np.ndarray,
    calm: np.ndarray,
    unit: float,
    brushes: Brushes | None = None,
    seed: int = 0,
) -> np.ndarray:
    """A picture as an oil painting of the same size; uint8 RGB (H, W, 3) -> uint8.

    `protect` (H, W) in [0, 1] is drawn finely and keeps most of the picture (eyes, mouths); `calm`
    gets softer strokes (skin). `unit`: px per px at a short side of 320.
    """
    brushes = brushes or Brushes()
    rng = np.random.default_rng(seed)
    canvas = np.empty(picture.shape, np.float32)
    canvas[:] = picture.mean((0, 1))
    relief = np.zeros(picture.shape[:2], np.float32)
    for radius, threshold in zip(brushes.radii, brushes.thresholds, strict=True):
        reference = cv2.GaussianBlur(picture, (0, 0), max(0.6, 0.45 * radius * unit))
        finer = 1 + 4 * np.maximum(protect, 0.4 * calm) * (radius < 4)
        canvas, relief = lay(
            *(canvas, relief, reference.astype(np.float32), finer),
            *(radius * unit, threshold, brushes, rng),
        )
    keep = np.maximum(0.6 * protect, 0.1 * calm)[..., None]
    canvas += (picture.astype(np.float32) - canvas) * keep
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)
    flow = edge_flow(cv2.GaussianBlur(grey, (0, 0), 2 * unit), 4 * unit)
    marks = rng.normal(0, 1, grey.shape).astype(np.float32)
    marks = along_flow(cv2.GaussianBlur(marks, (0, 0), 0.7 * unit), flow, round(8 * unit))
    marks *= brushes.bristle / marks.std()
    relief = cv2.GaussianBlur(relief, (0, 0), 0.8 * unit)
    # Light falls from the upper left.
    slope = cv2.Sobel(relief, cv2.CV_32F, 1, 0) + cv2.Sobel(relief, cv2.CV_32F, 0, 1)
    shade = (1 - 0.8 * protect) * (1 - 0.5 * calm) * (marks - brushes.relief * 0.7 * slope)
    return np.clip(canvas + shade[..., None] + 0.5, 0, 255).astype(np.uint8)
