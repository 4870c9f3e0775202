"""How near an image of a face is to its photo, and how light the photo is."""

from __future__ import annotations

import cv2
import numpy as np
from PIL import Image

from toonify.faces.geometry import Crop, inside
from toonify.images.color import rgb_to_lab
from toonify.images.color_transfer import missed_tone

DARK = 25.0  # median lightness in CIELAB below which a face is brightened before its inversion
LIT = 45.0  # and what it is brightened to; skins of all colors have 28 to 75 in daylight


def inner_face(side: int) -> np.ndarray:
    """Bool (side, side): the face from eyes to chin in an FFHQ crop."""
    y, x = np.mgrid[:side, :side] / (side - 1) * 2 - 1
    return (x / 0.36) ** 2 + ((y - 0.22) / 0.36) ** 2 < 1


def lightness(crop: Crop) -> float:
    """Median CIELAB lightness of a face, 0 to 100."""
    small = crop.image.resize((64, 64), Image.Resampling.BOX)
    return float(np.median(rgb_to_lab(np.asarray(small))[inner_face(64), 0]))


def exposure(crop: Crop) -> float:
    """The exponent that brightens a dark face to an ordinary one; 1 for a face that is not dark."""
    light = lightness(crop)
    return 1.0 if light >= DARK else float(np.log(srgb_of(LIT)) / np.log(srgb_of(max(light, 0.1))))


def srgb_of(light: float) -> float:
    """The sRGB level, 0 to 1, of a gray with this CIELAB lightness."""
    gray = cv2.cvtColor(np.array([[[light, 0, 0]]], np.float32), cv2.COLOR_LAB2RGB)
    return float(gray[0, 0, 0])


def apply_gamma(image: Image.Image, gamma: float) -> Image.Image:
    """The image with each level, 0 to 1, raised to a power; the same image for 1.

    Example:
        >>> apply_gamma(Image.new("RGB", (1, 1), (64, 0, 255)), 0.5).getpixel((0, 0))
        (128, 0, 255)
    """
    if gamma == 1:
        return image
    return image.point([round(255 * (level / 255) ** gamma) for level in range(256)] * 3)


def local_difference(photo_size: tuple[int, int], crop: Crop, likeness: Image.Image) -> float:
    """How far a likeness is from a face where it misses most, in CIELAB; 0 for equal ones.

    Neither small features nor the tone of the whole face count: a toon has features of its own and
    gets the photo's tone. Covered parts do. With the bundled encoder, 55 portraits had 2.5 to 12.7,
    and faces with painted sunglasses or masks 14.8 to 43; a face in half profile had 47.

    Args:
        photo_size: width and height of the photo; beyond its border nothing is compared.
        crop: the face.
        likeness: what a generator makes of it, of the crop's size.
    """
    missed = missed_tone(likeness, crop.image)
    shown = missed[inner_face(len(missed)) & (inside(crop, photo_size, len(missed)) > 0)]
    if not len(shown):
        return 0.0
    return float(np.percentile(np.linalg.norm(shown - np.median(shown, axis=0), axis=1), 99))
