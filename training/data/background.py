"""Random backgrounds behind cut-out people."""

import math

import cv2
import numpy as np


def random_background(rng: np.random.Generator, size: int) -> np.ndarray:
    """A ground as painted with broad brushes, uint8 RGB (size, size, 3); no two are alike.

    A gradient, strokes in its neighbors' hues and a few of the opposite one, some with firm and
    some with soft rims, and the grain of the brush. Always colored and never flat, so that a
    discriminator cannot tell a cut-out by what it lies on.
    """
    hue, angle = rng.uniform(0, 180), rng.uniform(0, 2 * math.pi)
    count = int(rng.integers(5, 12))
    hues = hue + rng.normal(0, 18, count) + 90 * (rng.random(count) < 0.2)
    hues[1] = hues[0] + rng.uniform(10, 40)
    saturation = rng.uniform(60, 165, count)
    light = np.clip(rng.uniform(70, 230) + rng.normal(0, 35, count), 60, 250)
    light[1] = light[0] + (50 if light[0] < 145 else -50)
    paints = np.stack([hues % 180, saturation, light], axis=1).astype(np.uint8)
    paints = cv2.cvtColor(paints[None], cv2.COLOR_HSV2RGB)[0].astype(np.float32)

    half = size // 2  # broad strokes need no more, and it is four times as fast
    y, x = np.mgrid[0:half, 0:half].astype(np.float32) / half - 0.5
    along, across = turned(x, y, angle)
    ground = paints[0] + (paints[1] - paints[0]) * np.clip(along + 0.5, 0, 1)[..., None]
    for paint in paints[2:]:
        left, top = rng.uniform(-0.5, 0.5, 2).tolist()
        u, v = turned(x - left, y - top, angle + math.pi / 2 + rng.normal(0, 0.5))
        length, breadth = rng.uniform(0.25, 0.7), rng.uniform(0.08, 0.3)
        distance = np.sqrt((u / length) ** 2 + (v / breadth) ** 2)
        firmness = math.exp(rng.uniform(math.log(3), math.log(40)))
        # The logistic function, as tanh, which does not overflow.
        cover = rng.uniform(0.4, 0.95) * (0.5 - 0.5 * np.tanh(firmness / 2 * (distance - 1)))
        ground += (paint - ground) * cover[..., None]
    # Grain: noise that is long along the brush and short across it.
    noise = rng.normal(0, 5, (48, 6)).astype(np.float32)
    column, row = (along + 0.75) * (noise.shape[1] / 1.5), (across + 0.75) * (noise.shape[0] / 1.5)
    grain = cv2.remap(noise, column, row, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    ground = cv2.resize(ground + grain[..., None], (size, size), interpolation=cv2.INTER_CUBIC)
    return np.clip(np.rint(ground), 0, 255).astype(np.uint8)


def turned(x: np.ndarray, y: np.ndarray, angle: float) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates along and across a direction (radians)."""
    along, across = math.cos(angle), math.sin(angle)
    return along * x + across * y, along * y - across * x
