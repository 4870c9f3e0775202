"""Keeps a photo's own background around the drawing of a face."""

import cv2
import numpy as np
from PIL import Image

from toonify.faces.parsing import parse

SIDE = 256  # px at which masks are found
MARGIN = 5  # px of them by which a mask grows, so that the outline is the drawing's
SOFTNESS = 2.0  # standard deviation of its edge in px
MIN_SHARE = 0.1  # of the image that people fill; below it, the masks are not trusted


def keep_background(toon: Image.Image, crop: Image.Image) -> Image.Image:
    """The drawing of an aligned face, with the crop where neither of them shows a person.

    Args:
        toon: RGB and square.
        crop: the aligned face that it draws, RGB and square, of any size.

    Returns:
        RGB, of the drawing's size. Where no person is found, as in an odd drawing of an odd photo,
        the drawing itself.
    """
    small = [image.resize((SIDE, SIDE), Image.Resampling.BOX) for image in (toon, crop)]
    person = np.maximum(*(parse(image, refine=False).person for image in small))
    person = np.minimum(1.5 * person, 1.0)  # nobody is transparent
    if person.mean() < MIN_SHARE:
        return toon
    grown = cv2.dilate(person, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (MARGIN, MARGIN)))
    soft = cv2.GaussianBlur(grown, (0, 0), SOFTNESS)
    mask = Image.fromarray((255 * soft + 0.5).astype(np.uint8))
    under = crop.convert("RGB").resize(toon.size, Image.Resampling.LANCZOS)
    return Image.composite(toon, under, mask.resize(toon.size, Image.Resampling.BICUBIC))
