"""Morphing from a photo to its drawing along the motion between them."""

from __future__ import annotations

import cv2
import numpy as np
from PIL import Image

from toonify.images.color_transfer import as_array, bands, check_sizes, upsample
from toonify.images.resize import shrink

_FLOW_SIDE = 512  # pixels of the longer side at which the flow is measured
_WARP_LIMIT = 32_766  # sides that OpenCV's remap can address


def morph(photo: Image.Image, toon: Image.Image, strength: float) -> Image.Image:
    """Morphs a photo into its toon.

    A drawing moves features (larger eyes, slimmer jaw), so a plain cross-fade shows them twice.
    Here both are first warped to the shape in between, along the optical flow from one to the
    other (Kroeger et al. 2016), and then mixed. Images with a side above 32766 pixels are only
    mixed.

    Args:
        photo: the photo.
        toon: its toon, of the same size.
        strength: 0 (exactly the photo) to 1 (exactly the toon).

    Raises:
        ValueError: the sizes differ, or strength is outside 0 to 1.

    Example:
        >>> photo, toon = Image.new("RGB", (64, 64), "black"), Image.new("RGB", (64, 64), "white")
        >>> morph(photo, toon, 0.5).getpixel((32, 32))
        (128, 128, 128)
    """
    check_sizes(photo, toon)
    if not 0.0 <= strength <= 1.0:
        raise ValueError(f"strength is {strength}; expected 0 (the photo) to 1 (the toon)")
    if strength in (0.0, 1.0):
        return (toon if strength else photo).convert("RGB").copy()
    photo_pixels, toon_pixels = as_array(photo), as_array(toon)
    height, width = photo_pixels.shape[:2]
    flows = None
    if max(width, height) <= _WARP_LIMIT and min(width, height) >= 16:
        flows = _flows(photo_pixels, toon_pixels)
    result = np.empty_like(photo_pixels)
    for top, bottom in bands(width, height):
        if flows is None:
            warped_photo, warped_toon = photo_pixels[top:bottom], toon_pixels[top:bottom]
        else:
            flow = upsample(flows, width, height, top, bottom)
            warped_photo = warp(photo_pixels, flow[..., 2:] * strength, top)
            warped_toon = warp(toon_pixels, flow[..., :2] * (1.0 - strength), top)
        cv2.addWeighted(
            warped_photo, 1.0 - strength, warped_toon, strength, 0.0, dst=result[top:bottom]
        )
    return Image.fromarray(result)


def warp(pixels: np.ndarray, flow: np.ndarray, top: int) -> np.ndarray:
    """Rows from top on of uint8 pixels, each looked up where flow (H, W, 2) points."""
    rows, width = flow.shape[:2]
    x = flow[..., 0] + np.arange(width, dtype=np.float32)[None, :]
    y = flow[..., 1] + np.arange(top, top + rows, dtype=np.float32)[:, None]
    return cv2.remap(pixels, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)


def _flows(photo: np.ndarray, toon: np.ndarray) -> np.ndarray:
    """Small field (h, w, 4) in pixels of the full image.

    The first two channels say where in the toon a place of the photo lies, the others where in the
    photo a place of the toon lies.
    """
    height, width = photo.shape[:2]
    gray = [_flow_gray(shrink(pixels, _FLOW_SIDE)) for pixels in (photo, toon)]
    h, w = gray[0].shape
    if min(h, w) < 16:  # too narrow for the flow's patches
        return np.zeros((1, 1, 4), np.float32)
    engine = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    engine.setFinestScale(1)
    there = engine.calc(gray[0], gray[1], None)
    back = engine.calc(gray[1], gray[0], None)
    calm = [smooth_flow(flow, other) for flow, other in ((there, back), (back, there))]
    return np.concatenate(calm, axis=2) * np.array([width / w, height / h] * 2, np.float32)


def _flow_gray(pixels: np.ndarray) -> np.ndarray:
    """Gray with local contrast evened out, so that flow compares shapes and not shading."""
    gray = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    return cv2.createCLAHE(clipLimit=2.0, tileGridSize=(4, 4)).apply(
        cv2.GaussianBlur(gray, (0, 0), 1.0)
    )


def smooth_flow(flow: np.ndarray, back: np.ndarray) -> np.ndarray:
    """Flow (h, w, 2) smoothed, trusting only places from which `back` returns to the start."""
    h, w = flow.shape[:2]
    x, y = np.meshgrid(np.arange(w, dtype=np.float32), np.arange(h, dtype=np.float32))
    returned = cv2.remap(
        back, x + flow[..., 0], y + flow[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    side = max(h, w)
    missed = np.square(flow + returned).sum(axis=2)
    length = np.square(flow).sum(axis=2)
    trust = np.exp(-missed / (2.0 * (0.003 * side) ** 2)) * (length < (0.08 * side) ** 2)
    sigma = 0.012 * side
    weight = cv2.GaussianBlur(trust.astype(np.float32), (0, 0), sigma)[..., None] + 0.05
    smooth = cv2.GaussianBlur(flow * trust[..., None].astype(np.float32), (0, 0), sigma)
    return (smooth / weight).astype(np.float32)
