"""What a portrait's masks add to `toonify.faces.attributes`: any color, baldness, sunglasses.

The names are those of `attributes` where both read the same; these readings are then the better
ones, as they know where the hair is.

The limits were chosen on 61 portraits and checked on 72 others, 60 AI-made ones of many countries
and 12 official ones, judged by one person's eye:

    hair_long    45 / 72  14 times long, 2 of them bobs that end at the chin; 31 times short or tied
    bald         2 / 72   both right; a third bald head was not read
    hair_light   58 / 72  of any color; blond came out as gray or brown as often as not

Of the first 61, the nearest of ten hair colors was right 45 times of 51; three of the wrong ones
were caps or scarves, and two were blond.

Sunglasses were read of the one face among 785 that wore them, and of no other. Beards are not
read: 2 of 5 detections were wrong, and 7 beards were missed. Curls did not show in the hair's
texture, and hats and hair are one to the masks: a cover is left out only where it is bluer than any
hair.
"""

import math

import numpy as np
from PIL import Image

from toonify.faces import attributes
from toonify.faces.attributes import SIDE, AttributeReading, Measured

MIN_HAIR = 0.8  # squared eye distances, from which hair has a color and a length
MAX_BALD = 0.35
BLUE = -5.5  # of b in CIELAB: what is bluer is cloth
FAIR = 34  # of CIELAB lightness
DARK_GLASS = 0.4  # of the skin's CIELAB lightness
SKIN_ANGLES = (28, 41)  # degrees of typology that end dark and medium skin


def read(face: Image.Image, points: np.ndarray, hair: np.ndarray, visible: np.ndarray) -> dict:
    """What is plain to see of a face and its hair, by name.

    Args:
        face: as for `attributes.read`: RGB, upright, 256 px square, cut as FFHQ is.
        points: (5, 2) eyes, nose and corners of the mouth, in px.
        hair: (256, 256), probabilities of hair (`toonify.faces.parse`).
        visible: (256, 256), 0 where the square shows nothing of the photo.

    Returns:
        `AttributeReading` by "skin_light", "hair_light", "hair_long", "bald" and "sunglasses"; what
        is not plain is not in it.

    Raises:
        ValueError: the face has another size.
    """
    if face.size != (SIDE, SIDE):
        raise ValueError(f"face is {face.width}x{face.height}: expected {SIDE}x{SIDE}")
    measured = Measured(np.asarray(face), np.asarray(points, np.float64), frontal=True)
    skin, across = attributes.skin_of(measured)
    found: dict[str, AttributeReading | None] = {}
    if across <= attributes.UNEVEN:
        found["skin_light"] = read_skin(skin)
    strands = (hair > 0.6) & (visible > 0)
    area = strands.sum() / measured.eye_distance**2
    if area < MAX_BALD:
        found["bald"] = AttributeReading(1, 1.0, "a bald head")
    elif area > MIN_HAIR:
        color = np.median(measured.layers[strands, :3], axis=0)
        if color[2] > BLUE:
            found["hair_light"] = read_hair(color)
            found["hair_long"] = read_length(measured, hair, visible)
    if measured.yaw <= attributes.MAX_YAW:
        found["sunglasses"] = read_sunglasses(measured, float(skin[0]))
    return {name: reading for name, reading in found.items() if reading is not None}


def read_skin(skin: np.ndarray) -> AttributeReading:
    """Its color, whatever it is: `attributes.read_skin` leaves medium skin out."""
    angle = math.degrees(math.atan2(skin[0] - 50, skin[2]))
    dark, medium = SKIN_ANGLES
    words = "dark skin" if angle < dark else "medium skin" if angle < medium else "light skin"
    value = 1 if angle >= medium else -1
    return AttributeReading(value, 0.5, words, attributes.hexadecimal(skin))


def read_hair(color: np.ndarray) -> AttributeReading:
    """The median color of hair: highlights have the color of the light."""
    fair = color[0] > FAIR
    words = "fair hair" if fair else "dark hair"
    return AttributeReading(1 if fair else -1, 0.75, words, attributes.hexadecimal(color))


def read_length(face: Measured, hair: np.ndarray, visible: np.ndarray) -> AttributeReading | None:
    """Long if there is hair on both sides of jaw and neck, short if there is none on either."""
    x, y = place_pixels(face)
    beside = (np.abs(x) > 0.8) & (np.abs(x) < 1.6) & (y > 0.9) & (y < 1.7) & (visible > 0)
    parts = [beside & (x < 0), beside & (x > 0)]
    if not all(part.any() for part in parts):
        return None
    less, more = sorted(float((hair[part] > 0.5).mean()) for part in parts)
    if less > 0.3:
        return AttributeReading(1, min(1.0, 0.5 + less), "long hair")
    return AttributeReading(-1, 1 - 4 * more, "short hair") if more < 0.1 else None


def wears_sunglasses(face: Image.Image, points: np.ndarray) -> bool:
    """Whether dark glass hides the eyes; False for a face in profile.

    Args:
        face: RGB, upright, square, cut as FFHQ is.
        points: (5, 2) eyes, nose and corners of the mouth, in px.
    """
    measured = Measured(np.asarray(face), np.asarray(points, np.float64), frontal=True)
    skin, _ = attributes.skin_of(measured)
    found = measured.yaw <= attributes.MAX_YAW and read_sunglasses(measured, float(skin[0]))
    return bool(found)


def read_sunglasses(face: Measured, skin: float) -> AttributeReading | None:
    """Where both eyes and what is below them are far darker than the skin.

    Eyes in shade are as dark as lenses; the skin below them is not.
    """
    lightest = max(
        float(np.percentile(face.patch(eye, place, half)[:, 0], share))
        for eye in (face.left_eye, face.right_eye)
        for place, half, share in (((0, 0), (0.22, 0.12), 70), ((0, 0.16), (0.18, 0.05), 60))
    )
    return AttributeReading(1, 0.75, "sunglasses") if lightest < DARK_GLASS * skin else None


def place_pixels(face: Measured) -> tuple[np.ndarray, np.ndarray]:
    """x and y of the square's pixels from the eyes' middle, in eye distances, as `Measured`."""
    rows, columns = np.mgrid[:SIDE, :SIDE]
    away = (np.stack([columns, rows], -1) - face.eyes) / face.eye_distance
    return away @ face.across, away @ face.down
