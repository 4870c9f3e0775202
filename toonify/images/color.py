"""Conversion between RGB and CIELAB."""

import cv2
import numpy as np


def rgb_to_lab(pixels: np.ndarray) -> np.ndarray:
    """RGB pixels (H, W, 3), uint8 or float32 from 0 to 255 -> float32 CIELAB, L from 0 to 100."""
    return cv2.cvtColor(pixels.astype(np.float32) / 255.0, cv2.COLOR_RGB2LAB)


def lab_to_rgb(lab: np.ndarray) -> np.ndarray:
    """Float32 CIELAB (H, W, 3) -> uint8 RGB; colors outside of RGB are clipped."""
    rgb = cv2.cvtColor(lab, cv2.COLOR_LAB2RGB)
    return np.rint(np.clip(rgb, 0.0, 1.0) * 255.0).astype(np.uint8)
