"""Color transfer: the drawing's light with the photo's colors, and matched skin tones."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
from PIL import Image

from toonify.images.color import lab_to_rgb, rgb_to_lab
from toonify.images.resize import shrink

_COLOR_SIDE = 320  # and the difference in color
_TONE_SIDE = 128  # and that in tone
_BAND_PIXELS = 2_000_000


def transfer_color(photo: Image.Image, toon: Image.Image) -> Image.Image:
    """Gives a toon the colors of its photo. The lightness and the edges are the toon's.

    In CIELAB, the difference in chroma is smoothed with the toon as a guide (He et al. 2013), so
    that it stops at drawn edges, and added to the toon.

    Raises:
        ValueError: the sizes differ.

    Example:
        >>> photo, toon = Image.new("RGB", (32, 32), "#804040"), Image.new("RGB", (32, 32), "gray")
        >>> red, green, blue = transfer_color(photo, toon).getpixel((16, 16))
        >>> red > green
        True
    """
    check_sizes(photo, toon)
    photo_pixels, toon_pixels = as_array(photo), as_array(toon)
    height, width = photo_pixels.shape[:2]
    small_photo, small_toon = (
        rgb_to_lab(shrink(pixels, _COLOR_SIDE)) for pixels in (photo_pixels, toon_pixels)
    )
    radius = max(1, round(0.03 * max(small_toon.shape[:2])))
    slopes, offset = fit_guided(small_toon, (small_photo - small_toon)[..., 1:], radius)
    coefficients = np.concatenate([slopes.reshape(*slopes.shape[:2], 6), offset], axis=2)
    result = np.empty_like(toon_pixels)
    for top, bottom in bands(width, height):
        lab = rgb_to_lab(toon_pixels[top:bottom])
        lifted = upsample(coefficients, width, height, top, bottom)
        chroma = lifted[..., 6:]
        for channel in range(3):
            slope = lifted[..., 2 * channel : 2 * channel + 2]
            chroma += slope * lab[..., channel : channel + 1]
        lab[..., 1:] += chroma
        result[top:bottom] = lab_to_rgb(lab)
    return Image.fromarray(result)


def match_tone(toon: Image.Image, likeness: Image.Image, photo: Image.Image) -> Image.Image:
    """The toon with the tones that its generator missed in the photo: skin, light, backdrop.

    `likeness` is what the generator makes of the photo, before it was drawn as a toon. The
    difference of photo and likeness in CIELAB is blurred to 5 % of the side, so that no feature of
    the face is left in it, and added to the toon. A perfect likeness changes nothing.

    Raises:
        ValueError: the sizes differ.
    """
    check_sizes(photo, toon)
    missed = missed_tone(likeness, photo)
    toon_pixels = as_array(toon)
    height, width = toon_pixels.shape[:2]
    result = np.empty_like(toon_pixels)
    for top, bottom in bands(width, height):
        lab = rgb_to_lab(toon_pixels[top:bottom]) + upsample(missed, width, height, top, bottom)
        result[top:bottom] = lab_to_rgb(lab)
    return Image.fromarray(result)


def missed_tone(likeness: Image.Image, photo: Image.Image) -> np.ndarray:
    """Photo less likeness, float32 CIELAB, reduced to a side of 128 and blurred to 5 % of it.

    Raises:
        ValueError: the sizes differ.
    """
    check_sizes(photo, likeness)
    wanted, found = (rgb_to_lab(shrink(as_array(image), _TONE_SIDE)) for image in (photo, likeness))
    return cv2.GaussianBlur(wanted - found, (0, 0), 0.05 * max(wanted.shape[:2]))


def check_sizes(photo: Image.Image, toon: Image.Image) -> None:
    if photo.size != toon.size:
        sizes = f"{toon.width}x{toon.height}, photo {photo.width}x{photo.height}"
        raise ValueError(f"toon is {sizes}; expected the same size")


def as_array(image: Image.Image) -> np.ndarray:
    return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))


def bands(width: int, height: int) -> Iterator[tuple[int, int]]:
    rows = max(1, _BAND_PIXELS // max(width, 1))
    for top in range(0, height, rows):
        yield top, min(top + rows, height)


def upsample(field: np.ndarray, width: int, height: int, top: int, bottom: int) -> np.ndarray:
    """Rows top to bottom of a small float32 field (h, w, C), scaled linearly to width x height."""
    h = field.shape[0]
    y = np.clip((np.arange(top, bottom) + 0.5) * h / height - 0.5, 0, h - 1)
    upper = np.floor(y).astype(int)
    down = (y - upper).astype(np.float32)[:, None, None]
    rows = field[upper] * (1 - down) + field[np.minimum(upper + 1, h - 1)] * down
    return cv2.resize(rows, (width, bottom - top), interpolation=cv2.INTER_LINEAR)


def fit_guided(
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
