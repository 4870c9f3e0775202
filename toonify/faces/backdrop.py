"""Puts the drawing of a face among what the photo has around it: background, hair and clothes."""

import cv2
import numpy as np
from PIL import Image

from toonify.faces.likeness import inner_face
from toonify.faces.parsing import FaceMasks, parse

SIDE = 256  # px at which masks are found
MARGIN = 5  # px of them by which a mask grows, so that the outline is the drawing's
SOFTNESS = 2.0  # standard deviation of its edge in px
MIN_SHARE = 0.1  # of the image that people fill; below it, the masks are not trusted
BROWS = 0.55  # eye distances above the eyes, where a fringe, hat or scarf may cover a drawn face
REACH = 12  # px around the drawn face within which the photo's skin is that face, and no hand
BRUSH_SIDE = 512  # px at which hair and clothes are painted
STROKES = 6  # how often the bilateral filter smooths them
BRUSH = {"d": 7, "sigmaColor": 40, "sigmaSpace": 5}  # its settings, in px and levels


def keep_background(toon: Image.Image, crop: Image.Image) -> Image.Image:
    """The drawing of an aligned face, with the crop where neither of them shows a person.

    Args:
        toon: RGB and square.
        crop: the aligned face that it draws, RGB and square, of any size.

    Returns:
        RGB, of the drawing's size. Where no person is found, as in an odd drawing of an odd photo,
        the drawing itself.
    """
    masks = [parse(shrink(image), refine=False) for image in (toon, crop)]
    person = find_person(*masks)
    if person.mean() < MIN_SHARE:
        return toon
    under = crop.convert("RGB").resize(toon.size, Image.Resampling.LANCZOS)
    return Image.composite(toon, under, enlarge(grow(person, MARGIN), toon.size))


def keep_surroundings(toon: Image.Image, crop: Image.Image, eyes: np.ndarray) -> Image.Image:
    """The drawn face, with the photo's own hair, headwear and clothes, painted, and background.

    Where the photo has skin and the drawing has none, as beside a narrower jaw, comes the color of
    the background around.

    Args:
        toon: RGB and square.
        crop: the aligned face that it draws, RGB and square, of any size.
        eyes: (2, 2), the eyes in the crop as shares of its side.

    Returns:
        RGB, of the drawing's size. Where no person is found, the drawing itself.
    """
    toon_masks, photo_masks = parse(shrink(toon), refine=False), parse(shrink(crop))
    if find_person(toon_masks, photo_masks).mean() < MIN_SHARE:
        return toon
    person = find_all(photo_masks)
    shown, bare = divide_skin(toon_masks, photo_masks, eyes)
    photo = crop.convert("RGB").resize(toon.size, Image.Resampling.LANCZOS)
    under = Image.composite(paint(photo), photo, enlarge(person, toon.size))
    ground = fill_people(crop, person).resize(toon.size)
    under = Image.composite(ground, under, enlarge(grow(bare, MARGIN), toon.size))
    return Image.composite(toon, under, enlarge(grow(shown, MARGIN - 2), toon.size))


def divide_skin(
    toon_masks: FaceMasks, photo_masks: FaceMasks, eyes: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Where the drawing is shown, and where the photo's skin gives way to the background."""
    face, skin = contrast(toon_masks.skin), contrast(photo_masks.skin)
    near = grow(np.maximum(face, inner_face(SIDE).astype(np.float32)), 2 * REACH + 1)
    skin *= np.clip(1.5 * cv2.GaussianBlur(near, (0, 0), REACH / 3), 0, 1)
    visible = find_all(toon_masks)
    ground = cv2.GaussianBlur(1 - find_all(photo_masks), (0, 0), REACH / 2)
    shown = np.maximum(face * below_brows(eyes), skin * visible)
    return shown, skin * (1 - visible) * np.clip(4 * ground - 0.4, 0, 1)


def shrink(image: Image.Image) -> Image.Image:
    return image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BOX)


def enlarge(mask: np.ndarray, size: tuple[int, int]) -> Image.Image:
    """A mask of `SIDE` px with soft edges, 0 to 1, in another size."""
    soft = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), SOFTNESS)
    levels = Image.fromarray((255 * soft + 0.5).astype(np.uint8))
    return levels.resize(size, Image.Resampling.BICUBIC)


def grow(mask: np.ndarray, diameter: int) -> np.ndarray:
    return cv2.dilate(mask, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (diameter, diameter)))


def contrast(mask: np.ndarray) -> np.ndarray:
    """Probabilities from 1/4 to 3/4 spread from 0 to 1."""
    return np.clip(2 * mask - 0.5, 0, 1)


def find_person(*masks: FaceMasks) -> np.ndarray:
    """Where any of the masks show a person; nobody is transparent."""
    return np.minimum(1.5 * np.maximum.reduce([mask.person for mask in masks]), 1)


def find_all(masks: FaceMasks) -> np.ndarray:
    """Where there is a person, hair or cloth; nobody is transparent."""
    parts = (masks.person, masks.hair, masks.skin, masks.clothes)
    return np.clip(1.5 * np.maximum.reduce(parts), 0, 1)


def below_brows(eyes: np.ndarray) -> np.ndarray:
    """(SIDE, 1): 0 above the brows, 1 from them down."""
    distance = float(np.linalg.norm(eyes[1] - eyes[0]))
    line = float(eyes[:, 1].mean()) - BROWS * distance
    rows = np.linspace(0, 1, SIDE, dtype=np.float32)[:, None]
    return np.clip((rows - line) / (0.15 * distance + 1e-6), 0, 1)


def paint(image: Image.Image) -> Image.Image:
    """The image without fine texture, as if painted: edges stay."""
    side = min(BRUSH_SIDE, image.width)
    pixels = np.asarray(image.resize((side, side), Image.Resampling.BOX))
    for _ in range(STROKES):
        pixels = cv2.bilateralFilter(pixels, **BRUSH)
    return Image.fromarray(pixels).resize(image.size, Image.Resampling.BICUBIC)


def fill_people(crop: Image.Image, person: np.ndarray) -> Image.Image:
    """An image of `SIDE` px in which people have the color of the background around them."""
    pixels = np.asarray(shrink(crop), np.float32)
    away = np.clip(1 - 2 * grow(person, MARGIN), 0, 1)[..., None]
    sums = cv2.GaussianBlur(np.dstack([pixels * away, away]), (0, 0), SIDE / 20)
    return Image.fromarray((sums[..., :3] / (sums[..., 3:] + 1e-9)).astype(np.uint8))
