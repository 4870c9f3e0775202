"""What is behind a head: plain, a gradient, or an invented place out of focus."""

import numpy as np

from training.prepare.heads.attributes import Attributes
from training.prepare.heads.overrides import NONE, Overrides
from training.prepare.heads.palette import hsv, linear
from training.prepare.heads.sdf import smooth_step

SIDE = 320


def _grid():
    axis = (np.arange(SIDE) + 0.5) / SIDE
    return np.meshgrid(axis, axis)


def blur(image, sigma):
    """Gaussian blur of an image (H, W, 3); sigma in shares of its side, edges repeated."""
    pad = SIDE // 4
    padded = np.pad(image, ((pad, pad), (pad, pad), (0, 0)), mode="edge")
    frequency = np.fft.fftfreq(len(padded)) * SIDE * sigma
    kernel = np.exp(-2 * (np.pi * frequency) ** 2)
    seen = np.fft.fft2(padded, axes=(0, 1)) * (kernel[:, None] * kernel[None])[..., None]
    return np.fft.ifft2(seen, axes=(0, 1)).real[pad:-pad, pad:-pad]


def _lay(image, weight, color):
    return image + weight[..., None] * (np.asarray(color) - image)


def _gradient(rng):
    x, y = _grid()
    hue, saturation, value = rng.random(), rng.uniform(0.06, 0.36), rng.uniform(0.3, 0.85)
    away = np.hypot(x - rng.uniform(0.2, 0.8), y - rng.uniform(0.1, 0.7))
    light = hsv(hue, saturation * 0.8, min(1, value * 1.2))
    dark = hsv(hue + rng.uniform(-0.08, 0.08), saturation * 1.2, value * 0.6)
    return _lay(np.tile(light, (SIDE, SIDE, 1)), smooth_step(away / 0.95), dark)


def _plain(rng):
    _, y = _grid()
    color = hsv(rng.random(), rng.uniform(0.0, 0.26), rng.uniform(0.25, 0.88))
    return color * (1.06 - 0.14 * y)[..., None]


def _bokeh(rng):
    x, y = _grid()
    hue, value = rng.random(), rng.uniform(0.15, 0.6)
    top = hsv(hue, rng.uniform(0.2, 0.6), value)
    low = hsv(hue + rng.uniform(-0.15, 0.15), rng.uniform(0.2, 0.6), value * rng.uniform(0.4, 1))
    image = _lay(np.tile(top, (SIDE, SIDE, 1)), y, low)
    warm = rng.random()
    for _ in range(rng.integers(14, 40)):
        radius = rng.uniform(0.02, 0.09)
        away = np.hypot(x - rng.random(), y - rng.random() * 0.9) - radius
        disc = smooth_step(-away / 0.012) * rng.uniform(0.15, 0.6)
        color = hsv(warm + rng.normal(0, 0.08), rng.uniform(0.1, 0.6), rng.uniform(0.6, 1)) * 1.3
        image = _lay(image, disc, color)
    return blur(image, 0.006)


def _boxes(image, rng, count, hue, low, high):
    """Lays rectangles between two heights, as shelves, frames, windows or houses."""
    x, y = _grid()
    for _ in range(count):
        width, height = rng.uniform(0.06, 0.3), rng.uniform(0.08, high - low)
        left = rng.uniform(-0.1, 1)
        top = rng.uniform(low, max(high - height, low + 0.01))
        inside = (x > left) & (x < left + width) & (y > top) & (y < top + height)
        color = hsv(hue + rng.normal(0, 0.12), rng.uniform(0.05, 0.6), rng.uniform(0.15, 0.85))
        image = _lay(image, inside * rng.uniform(0.5, 1.0), color)
    return image


def _indoor(rng):
    x, y = _grid()
    hue = rng.choice([0.08, 0.1, 0.55, 0.6, rng.random()])
    wall = hsv(hue, rng.uniform(0.05, 0.35), rng.uniform(0.4, 0.9))
    image = np.tile(wall, (SIDE, SIDE, 1)) * (1 - 0.35 * np.abs(x - rng.random()))[..., None]
    image = _boxes(image, rng, rng.integers(5, 12), hue, 0.05, 0.85)
    if rng.random() < 0.6:
        left, top = rng.uniform(-0.1, 0.8), rng.uniform(0, 0.15)
        inside = (x > left) & (x < left + rng.uniform(0.2, 0.4)) & (y > top) & (y < top + 0.5)
        image = _lay(image, inside * 0.9, np.array([1.25, 1.22, 1.12]))
    for _ in range(rng.integers(0, 3)):
        away = np.hypot(x - rng.random(), y - rng.uniform(0.05, 0.5))
        image = image + np.exp(-((away / 0.09) ** 2))[..., None] * np.array([1.1, 0.75, 0.4])
    return blur(image, rng.uniform(0.018, 0.04))


def _outdoor(rng):
    x, y = _grid()
    evening = rng.random() < 0.35
    if evening:
        high, low = hsv(rng.uniform(0.6, 0.75), 0.45, 0.6), hsv(rng.uniform(0.03, 0.1), 0.5, 1.0)
    else:
        high, low = hsv(0.58, rng.uniform(0.3, 0.6), 0.85), hsv(0.55, 0.12, 0.97)
    image = _lay(np.tile(high, (SIDE, SIDE, 1)), smooth_step(y / 0.6), low)
    horizon = rng.uniform(0.4, 0.75)
    if rng.random() < 0.4:
        image = _boxes(image, rng, rng.integers(8, 16), 0.08, horizon - 0.35, 1.0)
    else:
        hue = rng.uniform(0.2, 0.4) if rng.random() < 0.8 else rng.uniform(0.05, 0.12)
        for _ in range(rng.integers(25, 60)):
            cx, cy, radius = rng.random(), rng.uniform(horizon - 0.25, 1), rng.uniform(0.05, 0.16)
            leaf = smooth_step((radius - np.hypot(x - cx, y - cy)) / 0.03)
            color = hsv(hue + rng.normal(0, 0.03), rng.uniform(0.3, 0.7), rng.uniform(0.2, 0.75))
            image = _lay(image, leaf * 0.85, color)
    ground = hsv(rng.choice([0.1, 0.28]), rng.uniform(0.2, 0.5), rng.uniform(0.3, 0.6))
    image = _lay(image, smooth_step((y - horizon - 0.1) / 0.1) * 0.8, ground)
    return blur(image, rng.uniform(0.014, 0.035))


KINDS = {
    "plain": _plain,
    "gradient": _gradient,
    "bokeh": _bokeh,
    "indoor": _indoor,
    "outdoor": _outdoor,
}


def paint_patches(colors: list[list[str]]) -> np.ndarray:
    """Linear RGB (320, 320, 3): rows of "#rrggbb", from top to bottom, with soft edges."""
    grid = np.array([[linear(color) for color in row] for row in colors])
    rows, columns = (np.arange(SIDE) * length // SIDE for length in grid.shape[:2])
    return blur(grid[rows][:, columns], 0.5 / max(grid.shape[:2]))


def paint_background(attributes: Attributes, overrides: Overrides = NONE) -> np.ndarray:
    """Linear RGB (320, 320, 3) float32, the first row on top; the same for the same seed."""
    if overrides.background:
        return np.clip(paint_patches(overrides.background), 0, 1.5).astype(np.float32)
    rng = np.random.default_rng([attributes.seed, 5])
    return np.clip(KINDS[attributes.background](rng), 0, 1.5).astype(np.float32)
