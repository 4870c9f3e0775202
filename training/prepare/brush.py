"""Paints an image as if with broad brushes: patches of one color, stretched along the shapes.

Papari, Petkov, Campisi, "Artistic edge and corner enhancing smoothing", 2007: each pixel becomes a
mean over the least varying of eight sectors around it, which flattens texture into dabs and keeps
edges. Before that, colors are smoothed along the edge flow. Nothing is random, so a network that
sees only the photo can learn the result.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from training.prepare.flow import along_flow, edge_flow

SECTORS = 8


@dataclass(frozen=True)
class Brushes:
    """Parameters of a painting; sizes in px at a short side of 320."""

    radius: float = 6.0  # of the sectors: half the width of a dab
    reach: float = 10.0  # that colors run along the flow
    rounds: int = 2
    fine: float = 2.0  # radius of the sectors in what is protected
    contrast: float = 0.35  # share of local contrast added first, so that dabs differ in tone


def sector_kernels(radius: float) -> list[np.ndarray]:
    """Weights of the overlapping sectors of a Gaussian disc; each sums to one."""
    reach = int(np.ceil(radius))
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1].astype(np.float32)
    disc = np.exp(-2 * (x * x + y * y) / radius**2)
    angle = np.arctan2(y, x)
    kernels = []
    for index in range(SECTORS):
        away = (angle - 2 * np.pi * index / SECTORS + np.pi) % (2 * np.pi) - np.pi
        kernel = disc * np.clip(1 - np.abs(away) / (2 * np.pi / SECTORS), 0, 1)
        kernel[reach, reach] = 1 / SECTORS
        kernels.append((kernel / kernel.sum()).astype(np.float32))
    return kernels


def dabs(picture: np.ndarray, radius: float, sharpness: float = 8.0) -> np.ndarray:
    """Generalized Kuwahara filter; float32 (H, W, 3) in [0, 255] -> the same, flat stays flat."""
    unit = picture.astype(np.float32) / 255
    squares = unit * unit
    total, weights = np.zeros_like(unit), np.zeros((*unit.shape[:2], 1), np.float32)
    for kernel in sector_kernels(radius):
        mean = cv2.filter2D(unit, -1, kernel, borderType=cv2.BORDER_REFLECT)
        spread = cv2.filter2D(squares, -1, kernel, borderType=cv2.BORDER_REFLECT) - mean * mean
        variance = np.clip(spread, 0, None).sum(-1, keepdims=True) * 255**2
        # A deviation of eight levels is where a sector begins to lose.
        weight = 1 / (1 + (variance / 60) ** (sharpness / 2))
        total += weight * mean
        weights += weight
    return np.clip(255 * total / np.maximum(weights, 1e-12), 0, 255)


def flow_of(picture: np.ndarray, unit: float) -> tuple[np.ndarray, np.ndarray]:
    """Tangents of the larger shapes of an image in [0, 255]; see `edge_flow`."""
    gray = cv2.cvtColor(np.clip(picture, 0, 255).astype(np.uint8), cv2.COLOR_RGB2GRAY)
    return edge_flow(cv2.GaussianBlur(gray.astype(np.float32), (0, 0), 1.5 * unit), 3 * unit)


def paint(
    picture: np.ndarray,
    protect: np.ndarray,
    calm: np.ndarray,
    unit: float,
    brushes: Brushes | None = None,
) -> np.ndarray:
    """An image as a painting of the same size; uint8 RGB (H, W, 3) -> uint8.

    `protect` (H, W) in [0, 1] is painted finely (eyes, mouths); `calm` (H, W) somewhat (skin).
    `unit`: px per px at a short side of 320.
    """
    brushes = brushes or Brushes()
    light = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)
    lift = light - cv2.GaussianBlur(light, (0, 0), 4 * unit)
    lift *= brushes.contrast * (1 - 0.7 * calm) * (1 - protect)
    lifted = np.clip(picture + np.clip(lift, -24, 12)[..., None], 0, 255).astype(np.float32)
    canvas = lifted
    for _ in range(brushes.rounds):
        flow = flow_of(canvas, unit)
        reach = round(brushes.reach * unit)
        run = [along_flow(np.ascontiguousarray(canvas[..., c]), flow, reach) for c in range(3)]
        canvas = dabs(np.stack(run, -1), brushes.radius * unit)
    fine = dabs(lifted, brushes.fine * unit)
    canvas += (fine - canvas) * np.maximum(0.85 * protect, 0.25 * calm)[..., None]
    return np.clip(canvas + 0.5, 0, 255).astype(np.uint8)
