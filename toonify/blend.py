"""Between a photo and its drawing: half-way pictures without ghosts, and the photo's own colours.

All work on upright RGB images of the same size; what they measure is measured on a small copy and
applied band by band, so that a large photo needs little memory.
"""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
from PIL import Image

_FLOW_SIDE = 512  # pixels of the longer side at which the flow is measured
_COLOUR_SIDE = 320  # and the difference in colour
_TONE_SIDE = 128  # and that in tone
_BAND_PIXELS = 2_000_000
_WARP_LIMIT = 32_766  # sides that OpenCV's remap can address


def morph(photo: Image.Image, toon: Image.Image, strength: float) -> Image.Image:
    """The picture a part of the way from photo to toon; 0 is the photo and 1 the toon, exactly.

    A drawing moves features (larger eyes, slimmer jaw), so a plain cross-fade shows them twice.
    Here both are first bent towards the shape in between, along the optical flow from one to the
    other (Kroeger et al. 2016), and then mixed. Pictures with a side above 32766 pixels are only
    mixed.

    Raises:
        ValueError: the sizes differ, or strength is outside 0 to 1.
    """
    _check_sizes(photo, toon)
    if not 0.0 <= strength <= 1.0:
        raise ValueError(f"strength is {strength}; expected 0 (the photo) to 1 (the toon)")
    if strength in (0.0, 1.0):
        return (toon if strength else photo).convert("RGB").copy()
    photo_pixels, toon_pixels = _pixels(photo), _pixels(toon)
    height, width = photo_pixels.shape[:2]
    flows = None
    if max(width, height) <= _WARP_LIMIT and min(width, height) >= 16:
        flows = _flows(photo_pixels, toon_pixels)
    result = np.empty_like(photo_pixels)
    for top, bottom in _bands(width, height):
        if flows is None:
            bent_photo, bent_toon = photo_pixels[top:bottom], toon_pixels[top:bottom]
        else:
            flow = _lifted(flows, width, height, top, bottom)
            bent_photo = _bent(photo_pixels, flow[..., 2:] * strength, top)
            bent_toon = _bent(toon_pixels, flow[..., :2] * (1.0 - strength), top)
        cv2.addWeighted(
            bent_photo, 1.0 - strength, bent_toon, strength, 0.0, dst=result[top:bottom]
        )
    return Image.fromarray(result)


def keep_colour(photo: Image.Image, toon: Image.Image) -> Image.Image:
    """The toon with the photo's colours: its light and drawn colour edges, the photo's chroma.

    In CIELAB the chroma by which the photo differs from the toon is smoothed with the toon as a
    guide (He et al. 2013), so that it stops at drawn edges, and added to the toon. The lightness is
    the toon's.

    Raises:
        ValueError: the sizes differ.
    """
    _check_sizes(photo, toon)
    photo_pixels, toon_pixels = _pixels(photo), _pixels(toon)
    height, width = photo_pixels.shape[:2]
    small_photo, small_toon = (
        _lab(_small(pixels, _COLOUR_SIDE)) for pixels in (photo_pixels, toon_pixels)
    )
    radius = max(1, round(0.03 * max(small_toon.shape[:2])))
    slopes, offset = _guided(small_toon, (small_photo - small_toon)[..., 1:], radius)
    coefficients = np.concatenate([slopes.reshape(*slopes.shape[:2], 6), offset], axis=2)
    result = np.empty_like(toon_pixels)
    for top, bottom in _bands(width, height):
        lab = _lab(toon_pixels[top:bottom])
        lifted = _lifted(coefficients, width, height, top, bottom)
        chroma = lifted[..., 6:]
        for channel in range(3):
            slope = lifted[..., 2 * channel : 2 * channel + 2]
            chroma += slope * lab[..., channel : channel + 1]
        lab[..., 1:] += chroma
        rgb = cv2.cvtColor(lab, cv2.COLOR_LAB2RGB)
        result[top:bottom] = np.rint(np.clip(rgb, 0.0, 1.0) * 255.0).astype(np.uint8)
    return Image.fromarray(result)


def retone(toon: Image.Image, likeness: Image.Image, photo: Image.Image) -> Image.Image:
    """The toon with the tones that its generator missed in the photo: skin, light, backdrop.

    `likeness` is what the generator makes of the photo, before it was drawn as a toon. The
    difference of photo and likeness in CIELAB is blurred to 5 % of the side, so that no feature of
    the face is left in it, and added to the toon. A perfect likeness changes nothing.

    Raises:
        ValueError: the sizes differ.
    """
    _check_sizes(photo, toon)
    _check_sizes(photo, likeness)
    toon_pixels = _pixels(toon)
    height, width = toon_pixels.shape[:2]
    wanted, found = (_lab(_small(_pixels(image), _TONE_SIDE)) for image in (photo, likeness))
    missed = cv2.GaussianBlur(wanted - found, (0, 0), 0.05 * max(wanted.shape[:2]))
    result = np.empty_like(toon_pixels)
    for top, bottom in _bands(width, height):
        lab = _lab(toon_pixels[top:bottom]) + _lifted(missed, width, height, top, bottom)
        rgb = cv2.cvtColor(lab, cv2.COLOR_LAB2RGB)
        result[top:bottom] = np.rint(np.clip(rgb, 0.0, 1.0) * 255.0).astype(np.uint8)
    return Image.fromarray(result)


def _check_sizes(photo: Image.Image, toon: Image.Image) -> None:
    if photo.size != toon.size:
        sizes = f"{toon.width}x{toon.height}, photo {photo.width}x{photo.height}"
        raise ValueError(f"toon is {sizes}; expected the same size")


def _pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))


def _small(pixels: np.ndarray, side: int) -> np.ndarray:
    """The picture with its longer side at most `side`, never below one pixel."""
    height, width = pixels.shape[:2]
    shrink = min(1.0, side / max(height, width))
    size = (max(1, round(width * shrink)), max(1, round(height * shrink)))
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)


def _lab(pixels: np.ndarray) -> np.ndarray:
    """uint8 RGB -> float32 CIELAB, L 0 to 100."""
    return cv2.cvtColor(pixels.astype(np.float32) / 255.0, cv2.COLOR_RGB2LAB)


def _bands(width: int, height: int) -> Iterator[tuple[int, int]]:
    rows = max(1, _BAND_PIXELS // max(width, 1))
    for top in range(0, height, rows):
        yield top, min(top + rows, height)


def _lifted(field: np.ndarray, width: int, height: int, top: int, bottom: int) -> np.ndarray:
    """Rows top to bottom of a small float32 field (h, w, C), scaled linearly to width x height."""
    h = field.shape[0]
    y = np.clip((np.arange(top, bottom) + 0.5) * h / height - 0.5, 0, h - 1)
    upper = np.floor(y).astype(int)
    down = (y - upper).astype(np.float32)[:, None, None]
    rows = field[upper] * (1 - down) + field[np.minimum(upper + 1, h - 1)] * down
    return cv2.resize(rows, (width, bottom - top), interpolation=cv2.INTER_LINEAR)


def _bent(pixels: np.ndarray, flow: np.ndarray, top: int) -> np.ndarray:
    """Rows from top on of uint8 pixels, each looked up where flow (H, W, 2) points."""
    rows, width = flow.shape[:2]
    x = flow[..., 0] + np.arange(width, dtype=np.float32)[None, :]
    y = flow[..., 1] + np.arange(top, top + rows, dtype=np.float32)[:, None]
    return cv2.remap(pixels, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)


def _flows(photo: np.ndarray, toon: np.ndarray) -> np.ndarray:
    """Small field (h, w, 4) in pixels of the full picture.

    The first two channels say where in the toon a place of the photo lies, the others where in the
    photo a place of the toon lies.
    """
    height, width = photo.shape[:2]
    grey = [_flow_grey(_small(pixels, _FLOW_SIDE)) for pixels in (photo, toon)]
    h, w = grey[0].shape
    if min(h, w) < 16:  # too narrow for the flow's patches
        return np.zeros((1, 1, 4), np.float32)
    engine = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    engine.setFinestScale(1)
    there = engine.calc(grey[0], grey[1], None)
    back = engine.calc(grey[1], grey[0], None)
    calm = [_calmed(flow, other) for flow, other in ((there, back), (back, there))]
    return np.concatenate(calm, axis=2) * np.array([width / w, height / h] * 2, np.float32)


def _flow_grey(pixels: np.ndarray) -> np.ndarray:
    """Grey with local contrast evened out, so that flow compares shapes and not shading."""
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    return cv2.createCLAHE(clipLimit=2.0, tileGridSize=(4, 4)).apply(
        cv2.GaussianBlur(grey, (0, 0), 1.0)
    )


def _calmed(flow: np.ndarray, back: np.ndarray) -> np.ndarray:
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


def _guided(
    guide: np.ndarray, source: np.ndarray, radius: int, flatness: float = 9.0
) -> tuple[np.ndarray, np.ndarray]:
    """Guided filter with a CIELAB guide: slopes (h, w, 3, C) and offset (h, w, C).

    `source` (h, w, C) is about `guide @ slopes + offset` in windows of 2 radius + 1 pixels; where
    the guide varies by less than the root of `flatness`, the slope vanishes and the mean is left.
    """
    window = (2 * radius + 1, 2 * radius + 1)

    def mean(field):
        flat = np.ascontiguousarray(field.reshape(*field.shape[:2], -1), np.float32)
        planes = [
            cv2.boxFilter(flat[..., i], -1, window, borderType=cv2.BORDER_REFLECT)
            for i in range(flat.shape[2])
        ]
        return np.stack(planes, axis=2).reshape(field.shape)

    guide_mean, source_mean = mean(guide), mean(source)
    spread = mean(guide[..., :, None] * guide[..., None, :])
    spread -= guide_mean[..., :, None] * guide_mean[..., None, :]
    shared = mean(guide[..., :, None] * source[..., None, :])
    shared -= guide_mean[..., :, None] * source_mean[..., None, :]
    slopes = np.linalg.solve(spread + flatness * np.eye(3, dtype=np.float32), shared)
    offset = source_mean - np.einsum("hwc,hwck->hwk", guide_mean, slopes)
    return mean(slopes.astype(np.float32)), mean(offset.astype(np.float32))
