"""Colors of a portrait, as materials that look alike once they are rendered."""

import cv2
import numpy as np

from training.prepare.heads import palette
from training.prepare.teacher.eyes import BLUE, BROWN, GRAY, GREEN
from training.prepare.teacher.filters import dilate, erode, lab_color, masked_blur, to_lab
from training.prepare.teacher.portrait import Portrait

# Rendered skin is redder and lighter than its material. Light -> gain and offset of L, measured on
# 17 heads of known materials.
SKIN_LIGHT = {"soft": (0.75, 22.0), "studio": (0.85, 8.5), "window": (0.9, 1.0)}
SKIN_GAIN, SKIN_OFFSET = np.array([1.2, 1.25]), np.array([7.0, -4.0])
HAIR_GAIN, HAIR_OFFSET = 0.89, -7.7  # of L
HAIR_CHROMA = 1.35  # dark hair has more color as a material
USUAL_WHITE = (6.0, 5.0)  # a and b of the white of eyes, by light without a cast
GRID = 6  # patches of the background along a side


def to_hex(lab) -> str:
    """#rrggbb of a Lab color."""
    return "#" + "".join(f"{round(255 * float(c)):02x}" for c in lab_color(lab))


def palette_lab(colors) -> np.ndarray:
    """(N, 3) Lab of #rrggbb colors."""
    rgb = np.array([[int(color[i : i + 2], 16) for i in (1, 3, 5)] for color in colors]) / 255
    return to_lab(rgb[None].astype(np.float32))[0]


def fit_skin(tone, white, light: str) -> tuple[np.ndarray, int]:
    """Material of skin.

    Args:
        tone: Lab of the skin in the photo.
        white: Lab of the white of the eyes there, which shows the light's cast.
        light: Of the head, a key of `SKIN_LIGHT`.

    Returns:
        Lab (3,) of the material, and the tone of the palette, 1 to 12, that looks most alike.
    """
    tones = palette_lab(palette.SKIN)
    gain, offset = SKIN_LIGHT[light]
    material = np.array([(tone[0] - offset) / gain, 0, 0])
    material[0] = np.clip(material[0], 0.6 * tones[-1, 0], tones[0, 0] + 3)
    cast = np.clip(np.asarray(white, float)[1:] - USUAL_WHITE, -8, 8)
    seen = np.asarray(tone, float)[1:] - 0.35 * cast
    usual = [np.interp(material[0], tones[::-1, 0], tones[::-1, i]) for i in (1, 2)]
    # People's hues differ less than lights do: a part of the way to the palette.
    material[1:] = 0.8 * (seen - SKIN_OFFSET) / SKIN_GAIN + 0.2 * np.array(usual)
    gain, offset = SKIN_LIGHT["studio"]
    nearest = int(np.argmin(np.abs(gain * tones[:, 0] + offset - tone[0]))) + 1
    return material, nearest


def fit_hair(color, white=USUAL_WHITE) -> tuple[np.ndarray, str]:
    """Material of hair of a Lab color, and the nearest name of the palette.

    Args:
        color: Lab of the hair in the photo.
        white: a and b, or Lab, of the white of the eyes there.
    """
    light, a, b = (float(value) for value in color)
    b -= 0.35 * max(0.0, float(white[-1]) - USUAL_WHITE[1])
    material = np.array([np.clip((light - HAIR_OFFSET) / HAIR_GAIN, 8, 90), 0.6, 1.5])
    if light > 30 and b < np.interp(light, [30, 36, 50, 75], [1.8, 2.6, 5.2, 7.5]):
        return material, "gray" if material[0] < 78 else "white"
    dyed = (np.hypot(a, b) > 24 and b < 0.5 * a) or b < -8
    if not dyed:  # natural hair lies between red and yellow
        a = min(max(a, 0.2 * b), 0.75 * max(b, 1.0))
    material[1:] = HAIR_CHROMA * a, HAIR_CHROMA * max(b, 1.0) if not dyed else b
    if dyed:
        return material, "dyed"
    names = [name for name in palette.HAIR if name not in ("gray", "white")]
    away = (palette_lab([palette.HAIR[name] for name in names]) - material) * [0.6, 1, 1]
    return material, names[int(np.argmin(np.linalg.norm(away, axis=1)))]


def fit_brow(brow, hair) -> np.ndarray:
    """Material of brows: their own hue, and never lighter than the hair by much."""
    light = min(1.05 * float(brow[0]), float(hair[0]) + 8)
    return np.array([max(light, 5.0), 0.5 * (brow[1] + hair[1]), 0.5 * (brow[2] + hair[2])])


def fit_lips(lips) -> np.ndarray:
    """Material of painted lips."""
    return np.array([0.95 * lips[0], 1.25 * lips[1], lips[2]])


def name_iris(light: float, hue) -> str:
    """The eye color of the palette for a lightness and a hue (a, b) of `eyes.iris_color`."""
    if light < 31:  # what a dark iris mirrors is not its color
        hue = BROWN
    names = {BROWN: "brown", GREEN: "green", GRAY: "gray", BLUE: "blue"}
    name = names[tuple(float(v) for v in hue)]
    if name == "brown":
        return "dark_brown" if light < 27 else "brown" if light < 40 else "amber"
    # Brown irises that mirror a bright room are taken for green ones more often than not.
    return "hazel" if name == "green" else name


def fit_cloth(portrait: Portrait, columns: np.ndarray) -> np.ndarray | None:
    """Median Lab of clothes in a part of the picture; None where there is little."""
    chosen = (erode(portrait.masks.clothes * (1 - portrait.masks.cover), 5) > 0.5) & columns
    if chosen.sum() < 0.05 * portrait.frame.unit**2:
        return None
    return np.median(portrait.lab[chosen], 0)


def fit_background(portrait: Portrait, matrix: np.ndarray, side: int) -> list[list[str]]:
    """Patches of what is behind a person, seen in a crop.

    Args:
        portrait: The face.
        matrix: From the portrait's canvas to the crop, (2, 3).
        side: Px of the crop.

    Returns:
        Rows of "#rrggbb", from top to bottom.
    """
    free = 1 - dilate(np.maximum(portrait.masks.person, portrait.masks.hair), 9)
    warp = {"flags": cv2.INTER_AREA, "borderMode": cv2.BORDER_REFLECT}
    pixels = cv2.warpAffine(portrait.rgb, matrix, (side, side), **warp)
    free = cv2.warpAffine(free, matrix, (side, side), **warp)
    # Farther pixels fill what the person hides.
    filled, known = np.zeros_like(pixels), np.zeros((side, side, 1), np.float32)
    for sigma in (0.03, 0.08, 0.2, 0.6):
        near = masked_blur(pixels, free + 1e-5, sigma * side)
        weight = np.clip(masked_blur(free, np.ones_like(free), sigma * side) * 4, 0, 1)[..., None]
        filled += (1 - known) * weight * near
        known += (1 - known) * weight
    filled += (1 - known) * near
    small = cv2.resize(filled, (GRID, GRID), interpolation=cv2.INTER_AREA).clip(0, 1)
    return [
        ["#" + "".join(f"{round(255 * float(c)):02x}" for c in px) for px in row] for row in small
    ]
