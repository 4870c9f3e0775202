"""Backgrounds: people cut out of a drawing, on another background or as a sticker."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from PIL import Image, ImageColor

from toonify.faces import Face, frontal_eye_distance, parse
from toonify.images import marks
from toonify.images.color_transfer import as_array, bands, check_sizes, upsample
from toonify.images.resize import enlarge, shrink

# Words for a background; anything else is a color.
BACKGROUNDS = ("draw", "keep", "soften", "transparent")
STICKER_PX = 512  # the side that messengers ask for
MAX_STICKER_PX = 2048  # of the longer side of other stickers

_LOW, _HIGH = 0.3, 0.75  # probabilities below which a pixel is background, above which a person
_SIDE = 512  # px of the longer side at which shapes and colors are looked at
_LEAST_PERSON = 0.004  # of the photo: less is nobody
_LEAST_PART = 0.05  # of the largest person: smaller parts that lie alone are mistakes
_LARGEST_HOLE = 0.01  # of the person: holes up to this are mistakes
_RADII = (45, 6)  # px at `_SIDE`, as in Forte's paper
_BLUR = 0.025  # of the longer side: standard deviation of a soft background
_HEAD, _BODY = (1.3, 1.8), 6.0  # half axes of a head, and how far a body reaches, eye distances
_RIM, _MARGIN = 0.025, 0.015  # of a sticker's longer side


def find_person(
    photo: Image.Image, drawing: Image.Image | None = None, device: str = "auto"
) -> Image.Image | None:
    """Finds the people in a photo, with the edges of its drawing.

    Args:
        photo: upright, of any size.
        drawing: of the photo's size; its edges are those of the people. None (default): the photo.
        device: "auto" (default), "cpu", "cuda" or "cuda:N".

    Returns:
        A mask of the photo's size, mode L, 255 where people are; None if there is nobody.

    Raises:
        ValueError: the sizes differ.

    Example:
        >>> from toonify import images
        >>> person = find_person(images.load("portrait.jpg"))
        >>> person.mode, person.size
        ('L', (512, 512))
    """
    found = parse(photo, average=True, guide=drawing, device=device).person
    matte = np.clip((found - _LOW) * (1 / (_HIGH - _LOW)), 0, 1)
    if not _mend(matte):
        return None
    return Image.fromarray(np.rint(matte * 255).astype(np.uint8))


def check_background(background: str) -> str | tuple[int, int, int]:
    """Reads the name of a background.

    Args:
        background: one of `BACKGROUNDS`, or a color such as "white" or "#ffcf3f".

    Returns:
        The word, or the color.

    Raises:
        ValueError: it is neither.

    Example:
        >>> check_background("soften"), check_background("#ffcf3f")
        ('soften', (255, 207, 63))
    """
    if background in BACKGROUNDS:
        return background
    try:
        red, green, blue, *_ = ImageColor.getrgb(background)
    except (ValueError, AttributeError) as error:
        expected = f"one of {', '.join(BACKGROUNDS)}, or a color like white or #ffcf3f"
        raise ValueError(f"background={background!r}: expected {expected}") from error
    return red, green, blue


def replace_background(
    drawing: Image.Image, photo: Image.Image, person: Image.Image, background: str
) -> Image.Image:
    """Puts the people of a drawing on another background.

    The colors of half transparent pixels, such as those of hair, are separated into those of the
    person and of the old background (Forte, ICIP 2021), so that none of the old background is left.

    Args:
        drawing: RGB.
        photo: of the drawing's size.
        person: mask of that size, mode L, from `find_person`.
        background: "draw" for the drawing as it is, "keep" for the photo's background, "soften" for
            the drawn one, blurred, "transparent", or a color such as "white" or "#ffcf3f".

    Returns:
        The picture, RGBA if it is transparent, RGB otherwise. It is marked as the drawing is.

    Raises:
        ValueError: the sizes differ, or there is no such background.

    Example:
        >>> from toonify import images
        >>> photo = images.load("portrait.jpg")
        >>> replace_background(photo, photo, find_person(photo), "transparent").mode
        'RGBA'
    """
    kind = check_background(background)
    check_sizes(drawing, photo)
    check_sizes(drawing, person)
    if kind == "draw":
        return drawing
    pixels, alpha = as_array(drawing), np.asarray(person)
    width, height = drawing.size
    colors, soft = _separate(pixels, alpha)
    kept = as_array(photo) if kind == "keep" else None
    result = np.empty((height, width, 4 if kind == "transparent" else 3), np.uint8)
    for top, bottom in bands(width, height):
        share = alpha[top:bottom, :, None] * np.float32(1 / 255)
        lifted = upsample(colors, width, height, top, bottom)
        own, other = lifted[..., :3], lifted[..., 3:]
        own = own + share * (pixels[top:bottom] - share * own - (1 - share) * other)
        if kind == "transparent":
            result[top:bottom, :, :3] = np.clip(own + 0.5, 0, 255)
            result[top:bottom, :, 3] = alpha[top:bottom]
            continue
        if kept is not None:
            ground: np.ndarray = kept[top:bottom]
        elif kind == "soften":
            ground = upsample(soft, width, height, top, bottom)
        else:
            ground = np.asarray(kind, np.float32)
        result[top:bottom] = np.clip(share * own + (1 - share) * ground + 0.5, 0, 255)
    return marks.mark(Image.fromarray(result), marks.read_mark(drawing))


def make_sticker(drawing: Image.Image, person: Image.Image, side: int | None = None) -> Image.Image:
    """Makes a sticker: the people with a white rim, and nothing around them.

    Args:
        drawing: RGB.
        person: mask of its size, mode L, from `find_person`.
        side: px of a square that the sticker fills, such as `STICKER_PX`; None (default): as large
            as in the drawing, up to `MAX_STICKER_PX`, and cropped to the sticker.

    Returns:
        The sticker, RGBA, marked as the drawing is.

    Raises:
        ValueError: the sizes differ, the mask is empty, or `side` is less than 32.

    Example:
        >>> from toonify import images
        >>> photo = images.load("portrait.jpg")
        >>> make_sticker(photo, find_person(photo), STICKER_PX).size
        (512, 512)
    """
    if side is not None and side < 32:
        raise ValueError(f"side={side}: expected at least 32, or None")
    cut = replace_background(drawing, drawing, person, "transparent")
    box = person.point(lambda value: 255 * (value >= 64)).getbbox()
    if box is None:
        raise ValueError("person is empty: expected a mask with at least one person")
    cut = cut.crop(box)
    border = 2 * (_RIM + _MARGIN)
    longest = max(cut.size) / (1 - border) if side is None else side
    longest = min(longest, MAX_STICKER_PX)
    scale = longest * (1 - border) / max(cut.size)
    size = [max(1, round(length * scale)) for length in cut.size]
    pad = round(longest * border / 2)
    page = [side, side] if side else [length + 2 * pad for length in size]
    inner = Image.new("RGBA", page)  # Pillow scales RGBA with premultiplied colors
    left, top = ((whole - part) // 2 for whole, part in zip(page, size, strict=True))
    inner.paste(cut.resize(size, Image.Resampling.LANCZOS), (left, top))
    white = Image.new("RGBA", page, "white")
    white.putalpha(_draw_rim(inner.getchannel("A"), _RIM * longest))
    white.alpha_composite(inner)
    return marks.mark(white, marks.read_mark(drawing))


def split_people(person: Image.Image, faces: Sequence[Face]) -> list[Image.Image]:
    """Divides the people of a photo among its faces.

    Each pixel goes to the face that is nearest to it, or whose body below the face is, in widths of
    that face. Each face has at least its head, also where the mask misses it.

    Args:
        person: mask of the photo, mode L, from `find_person`.
        faces: the faces of the upright photo.

    Returns:
        A mask for each face, mode L, that is zero where another face is nearer.

    Example:
        >>> from toonify import faces, images
        >>> photo = images.load("portrait.jpg")
        >>> len(split_people(find_person(photo), faces.detect(photo)))
        1
    """
    if not faces:
        return []
    width, height = person.size
    scale = min(1.0, _SIDE / max(width, height))
    rows, columns = max(1, round(height * scale)), max(1, round(width * scale))
    y, x = np.mgrid[:rows, :columns].astype(np.float32)
    distances, heads = [], []
    for face in faces:
        eyes = frontal_eye_distance(face.points)
        center_x, center_y = face.points.mean(axis=0)
        across = (x / scale - center_x) / eyes
        down = (y / scale - center_y) / eyes
        heads.append(np.hypot(across / _HEAD[0], (down + 0.3) / _HEAD[1]) < 1)
        # The body is a line below the face, a little further away than the face itself.
        body = np.maximum(down - _BODY, 0) + 0.1 * np.minimum(down, _BODY)
        distances.append(np.hypot(across, np.where(down > 0, body, down)))
    nearest = np.argmin(distances, axis=0)
    alpha, masks = np.asarray(person), []
    for index, head in enumerate(heads):
        own = nearest == index
        share, least = (
            enlarge(cv2.GaussianBlur(field.astype(np.float32), (0, 0), 1.0), width, height)
            for field in (own, own & head)
        )
        mask = np.maximum(alpha * share, 255 * least)
        masks.append(Image.fromarray(np.rint(mask).astype(np.uint8)))
    return masks


def _mend(matte: np.ndarray) -> bool:
    """Removes parts that belong to nobody and small holes; returns whether somebody is left."""
    height, width = matte.shape
    small = shrink(matte, _SIDE)
    count, labels, about, _ = cv2.connectedComponentsWithStats((small > 0.5).astype(np.uint8))
    areas = about[1:, cv2.CC_STAT_AREA]
    if count < 2 or areas.max() < _LEAST_PERSON * small.size:
        return False
    stay = np.isin(labels, 1 + np.flatnonzero(areas >= _LEAST_PART * areas.max()))
    reach = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (17, 17))  # soft hair around them
    near = cv2.dilate(stay.astype(np.uint8), reach)
    _, labels, about, _ = cv2.connectedComponentsWithStats((~stay).astype(np.uint8))
    holes = about[:, cv2.CC_STAT_AREA] <= _LARGEST_HOLE * areas.max()
    holes[0] = False  # what is not a hole at all
    filled = np.isin(labels, np.flatnonzero(holes)).astype(np.uint8)
    filled = cv2.dilate(filled, np.ones((3, 3), np.uint8)) & near
    for top, bottom in bands(width, height):
        kept, solid = (
            upsample(field.astype(np.float32)[..., None], width, height, top, bottom)
            for field in (near, filled)
        )
        part = matte[top:bottom]
        np.multiply(part, kept.reshape(part.shape), out=part)
        np.maximum(part, solid.reshape(part.shape), out=part)
    return True


def _separate(pixels: np.ndarray, alpha: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Colors of the people and of the background around them (h, w, 6), and the background without
    the people, blurred (h, w, 3); both at `_SIDE`."""
    image = shrink(pixels, _SIDE).astype(np.float32)
    share = shrink(alpha, _SIDE).astype(np.float32)[..., None] / 255

    def mean(color: np.ndarray, weight: np.ndarray, radius: int) -> np.ndarray:
        window = (2 * radius + 1, 2 * radius + 1)
        blur = [
            cv2.blur(field, window, borderType=cv2.BORDER_REFLECT)
            for field in (color * weight, weight)
        ]
        return blur[0] / np.maximum(blur[1].reshape(weight.shape), 1e-4)

    own, ground = image, image
    for radius in _RADII:
        own, ground = mean(own, share**3, radius), mean(ground, (1 - share) ** 3, radius)
        own = np.clip(own + share * (image - share * own - (1 - share) * ground), 0, 255)
    sigma = _BLUR * max(image.shape[:2])
    blurred, weight = (
        cv2.GaussianBlur(field, (0, 0), sigma, borderType=cv2.BORDER_REFLECT)
        for field in (image * (1 - share), 1 - share)
    )
    soft = blurred / np.maximum(weight.reshape(share.shape), 1e-4)
    return np.concatenate([own, ground], axis=2), soft


def _draw_rim(alpha: Image.Image, width: float) -> Image.Image:
    """A mask that reaches `width` px further than another one, with a smooth edge."""
    smooth = cv2.GaussianBlur(np.asarray(alpha), (0, 0), max(0.5, width / 3))
    distance = cv2.distanceTransform((smooth < 128).astype(np.uint8), cv2.DIST_L2, 5)
    rim = np.clip(width + 0.5 - distance, 0, 1)
    return Image.fromarray(np.rint(rim * 255).astype(np.uint8))
