"""Conversion between RGB and CIELAB, and whether an image has colors."""

import cv2
import numpy as np
from PIL import Image

MAX_GRAY_SPREAD = 4  # between the channels of a gray pixel; JPEG rounds them


def is_gray(image: Image.Image) -> bool:
    """Whether all but one in a hundred pixels of an RGB image are gray."""
    spread = np.ptp(np.asarray(image), axis=2)
    return bool((spread <= MAX_GRAY_SPREAD).mean() >= 0.99)


def rgb_to_lab(pixels: np.ndarray) -> np.ndarray:
    """RGB pixels (H, W, 3), uint8 or float32 from 0 to 255 -> float32 CIELAB, L from 0 to 100."""
    return cv2.cvtColor(pixels.astype(np.float32) / 255.0, cv2.COLOR_RGB2LAB)


def lab_to_rgb(lab: np.ndarray) -> np.ndarray:
    """Float32 CIELAB (H, W, 3) -> uint8 RGB; colors outside of RGB are clipped."""
    rgb = cv2.cvtColor(lab, cv2.COLOR_LAB2RGB)
    return np.rint(np.clip(rgb, 0.0, 1.0) * 255.0).astype(np.uint8)
