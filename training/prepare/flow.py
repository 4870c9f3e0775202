"""Computes the flow of edges in an image, and smooths values along it.

Kang et al., "Coherent line drawing", 2007; structure tensor as in Kyprianidis and Döllner, 2008.
"""

import cv2
import numpy as np


def edge_flow(gray: np.ndarray, sigma: float) -> tuple[np.ndarray, np.ndarray]:
    """Unit tangents of edges from the smoothed structure tensor: two float32 arrays (H, W)."""
    dx, dy = cv2.Sobel(gray, cv2.CV_32F, 1, 0), cv2.Sobel(gray, cv2.CV_32F, 0, 1)
    xx, yy, xy = (cv2.GaussianBlur(p, (0, 0), sigma) for p in (dx * dx, dy * dy, dx * dy))
    angle = 0.5 * np.arctan2(2 * xy, xx - yy) + np.pi / 2
    return np.cos(angle), np.sin(angle)


def along_flow(values: np.ndarray, flow, reach: int) -> np.ndarray:
    """Mean of `values` (H, W) over `reach` px both ways along the flow; strokes join, dots fade."""
    height, width = values.shape
    y0, x0 = np.mgrid[0:height, 0:width].astype(np.float32)
    total, weights = values.copy(), 1.0
    for sign in (1.0, -1.0):
        x, y = x0.copy(), y0.copy()
        tx, ty = flow[0] * sign, flow[1] * sign
        for i in range(1, reach + 1):
            x, y = x + tx, y + ty
            weight = float(np.exp(-0.5 * (i / (0.5 * reach)) ** 2))
            total += weight * cv2.remap(
                values, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT
            )
            weights += weight
            # The tensor's direction has no sign: keep the previous one.
            nx = cv2.remap(flow[0], x, y, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REFLECT)
            ny = cv2.remap(flow[1], x, y, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REFLECT)
            turn = np.where(nx * tx + ny * ty < 0, -1.0, 1.0).astype(np.float32)
            tx, ty = nx * turn, ny * turn
    return total / weights
