"""Backgrounds and clothes in each look's hand, on any part of a photo."""

from dataclasses import dataclass

import cv2
import numpy as np

from training.prepare.teacher.filters import (
    blur,
    flatten,
    kuwahara,
    masked_blur,
    posterize,
    smoothstep,
    to_lab,
    to_rgb,
)

DOT_GAP = 0.062  # units between the halftone's dots


def reduced(rgb: np.ndarray, scale: float, paint) -> np.ndarray:
    """`paint` applied to a copy at `scale`, enlarged again."""
    height, width = rgb.shape[:2]
    size = (max(8, round(width * scale)), max(8, round(height * scale)))
    # Crisp edges of a small picture show steps when it is enlarged.
    small = blur(paint(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)), 0.7)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC).clip(0, 1)


def kuwahara_twice(rgb: np.ndarray, first: int, second: int) -> np.ndarray:
    """Two Kuwahara filters of these radii."""
    return kuwahara(kuwahara(rgb, first), second)


@dataclass(frozen=True)
class Palette:
    """How a look changes the colors of backgrounds and clothes, in Lab.

    Args:
        dark, light: L of what is black and white in the photo.
        chroma: scale of a and b.
        tint: a and b that are added, most to colorless light places; white stays white.
    """

    dark: float
    light: float
    chroma: float
    tint: tuple[float, float]

    def __call__(self, rgb: np.ndarray) -> np.ndarray:
        lab = to_lab(rgb)
        light = np.clip(lab[..., 0] / 100, 0, 1)
        colorless = np.exp(-np.hypot(lab[..., 1], lab[..., 2]) / 25)
        lab[..., 0] = self.dark + (self.light - self.dark) * light
        lab[..., 1:] *= self.chroma
        weight = (0.35 + 0.65 * colorless) * (0.15 + 0.85 * light)
        weight = weight * (1 - smoothstep(light, 0.72, 0.93))
        lab[..., 1:] += weight[..., None] * np.array(self.tint, np.float32)
        return to_rgb(lab)


GROUNDS = {
    "film": Palette(0, 98, 1.05, (-2.0, -3.0)),
    "series": Palette(6, 100, 1.25, (-5.0, 4.0)),
    "anime": Palette(40, 101, 1.00, (1.0, -9.0)),
    "comic": Palette(-6, 100, 1.25, (2.0, 10.0)),
    "gouache": Palette(14, 98, 0.95, (4.0, 6.0)),
}
CLOTHES = {
    "film": Palette(0, 98, 1.15, (-1.0, -2.0)),
    "series": Palette(5, 100, 1.30, (-3.0, 3.0)),
    "anime": Palette(22, 101, 1.25, (1.0, -5.0)),
    "comic": Palette(0, 99, 1.30, (0.0, 5.0)),
    "gouache": Palette(10, 98, 1.00, (3.0, 5.0)),
}


def paint_background(
    rgb: np.ndarray, behind: np.ndarray, name: str, u: float, dots: str = "printed"
) -> np.ndarray:
    """RGB of the background everywhere, also behind people.

    Args:
        rgb: float32 (H, W, 3) in [0, 1].
        behind: (H, W) 1 where there is background, 0 where there are people.
        name: the look.
        u: px of the faces' unit.
        dots: see `Look`.
    """
    weight = blur(behind, 2) ** 2 + np.float32(1e-3)
    if name == "film":
        soft = reduced(rgb, 0.5, lambda small: kuwahara_twice(small, 2, 4))
        soft = 0.5 * masked_blur(soft, weight, 0.06 * u) + 0.5 * masked_blur(soft, weight, 0.2 * u)
        return GROUNDS[name](soft)
    filled = masked_blur(rgb, weight, 0.25 * u)
    filled = GROUNDS[name](rgb * behind[..., None] + filled * (1 - behind[..., None]))
    if name == "series":
        return reduced(filled, 0.6, lambda small: posterize(flatten(small, 16, 30, (9, 9)), 14, 1))
    if name == "anime":
        return paint_watercolor(filled, u)
    if name == "comic":
        flat = flatten(blur(filled, 0.02 * u), 20, 34, (11, 9))
        lab = to_lab(posterize(flat, 18, 1.0))
        light = lab[..., 0]
        amount = 0.08 + 0.5 * smoothstep(-blur(light, 0.1 * u), -90, -30)
        lab[..., 0] = light * (1 - 0.22 * halftone(light.shape, 1.5 * DOT_GAP * u, amount, dots))
        return to_rgb(lab)
    return reduced(filled, 0.5, lambda small: kuwahara_twice(small, 3, 5))


def halftone(
    shape: tuple[int, int], gap: float, amount: np.ndarray, dots: str = "printed"
) -> np.ndarray:
    """(H, W) dots on a grid turned by 45 degrees; their area grows with `amount` in [0, 1].

    `dots` is as in `Look`: with "solid", 1 wherever there are any; with "none", 0.
    """
    if dots != "printed":
        return np.float32(dots == "solid") * (amount > 0.02)
    rows, columns = np.mgrid[0 : shape[0], 0 : shape[1]].astype(np.float32)
    x, y = (columns + rows) / (gap * np.sqrt(2)), (columns - rows) / (gap * np.sqrt(2))
    away = np.hypot(x - np.round(x), y - np.round(y))
    soft = 0.9 / gap
    radius = np.sqrt(np.clip(amount, 0, 1)) * 0.62
    return smoothstep(radius - away, -soft, soft) * (amount > 0.02)


def paint_watercolor(rgb: np.ndarray, u: float) -> np.ndarray:
    """A light painted ground: broad washes with darker rims, clouds, paper that shines through."""
    wash = reduced(rgb, 1 / 3, lambda small: kuwahara_twice(small, 4, 6))
    lab = to_lab(wash)
    light = lab[..., 0]
    rim = np.clip(blur(light, 0.05 * u) - blur(light, 0.015 * u), -6, 6)
    rng = np.random.default_rng(0)
    cloud, grain = (
        blur(rng.normal(0, 1, light.shape).astype(np.float32), sigma) for sigma in (0.7 * u, 0.8)
    )
    cloud, grain = cloud / (cloud.std() + 1e-6), grain / (grain.std() + 1e-6)
    # Pigment gathers at the rims of a wash; between washes the paper shines through.
    paper = 0.8 * smoothstep(cloud, -0.3, 1.4) + 0.2 * smoothstep(cloud, 0.5, 0.7)
    light = light - 1.3 * np.abs(rim) + 0.5 * grain
    lab[..., 0] = light + (98 - light) * 0.45 * paper
    lab[..., 1:] *= (1.15 - 0.35 * paper)[..., None]
    return to_rgb(lab)


def smooth_cloth(rgb: np.ndarray) -> np.ndarray:
    """Cloth without weave and small folds: bilateral filters."""
    rgb = kuwahara(rgb.astype(np.float32), 2)
    for _ in range(3):
        rgb = cv2.bilateralFilter(rgb, 9, 0.09, 4)
    return rgb


def paint_clothes(rgb: np.ndarray, name: str, u: float) -> np.ndarray:
    """RGB of clothes everywhere.

    Args:
        rgb: float32 (H, W, 3) in [0, 1].
        name: the look.
        u: px of the faces' unit.
    """
    if name in ("film", "gouache"):
        return CLOTHES[name](reduced(rgb, 0.5, smooth_cloth))
    flat = CLOTHES[name](flatten(rgb, 14, 24, (7, 5)))
    if name == "series":
        return posterize(flat, 15, 1.0)
    flat = posterize(flat, 22, 1.0)
    if name == "comic":
        lab = to_lab(flat)
        ink = smoothstep(-lab[..., 0], -20, -14)  # dark folds and suits are solid black
        lab[..., 0] = lab[..., 0] * (1 - ink) + 6 * ink
        lab[..., 1:] *= 1 - 0.7 * ink[..., None]
        return to_rgb(lab)
    return flat
