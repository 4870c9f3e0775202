"""Lamps around a head, placed in the frame of the camera."""

from dataclasses import dataclass

import numpy as np

from training.prepare.heads.attributes import Attributes
from training.prepare.heads.overrides import NONE, Overrides


@dataclass(frozen=True)
class Lamp:
    """A disk lamp: offset from the head (right, up, towards the camera), diameter, watts, color.

    Only the key lamp and a small eye light are reflected, so that every eye has a clear highlight;
    the eye light lights nothing else.
    """

    offset: tuple[float, float, float]
    size: float
    power: float
    color: tuple[float, float, float]
    reflected: bool = True
    diffuse: bool = True


@dataclass(frozen=True)
class Lighting:
    lamps: tuple[Lamp, ...]
    dome: tuple[float, float, float]
    dome_strength: float
    exposure: float


# kind -> key power, key size, its distance to the side, fill, rim, dome, color of key and of rim
KINDS = {
    "studio": (1.0, 1.7, 0.8, 1.3, 0.9, 0.8, (1, 0.93, 0.86), (0.88, 0.93, 1)),
    "soft": (0.85, 3.0, 0.4, 1.8, 0.4, 1.1, (1, 0.95, 0.91), (0.95, 0.97, 1)),
    "window": (1.25, 2.4, 1.15, 0.7, 0.4, 0.7, (0.93, 0.96, 1), (1, 0.9, 0.8)),
    "warm": (1.15, 1.7, 0.95, 0.9, 1.1, 0.65, (1, 0.82, 0.62), (1, 0.8, 0.6)),
    "cool": (1.0, 2.0, 0.8, 1.1, 0.9, 0.75, (0.84, 0.92, 1), (0.75, 0.85, 1)),
    "rim": (0.8, 1.7, 0.8, 0.8, 2.3, 0.6, (1, 0.93, 0.88), (0.95, 0.95, 1)),
}


def eye_lamp(gaze, axes, side: float) -> Lamp:
    """The lamp whose reflection lies beside the pupils, towards the key lamp."""
    right, up, back = axes
    normal = np.mean(gaze, 0) + 0.16 * side * right + 0.2 * up
    normal = normal / np.linalg.norm(normal)
    direction = 2 * (normal @ back) * normal - back
    return Lamp(tuple(6.5 * np.asarray(axes) @ direction), 0.8, 70, (1, 1, 1), True, False)


def set_lights(
    attributes: Attributes, skin, background, gaze, axes, overrides: Overrides = NONE
) -> Lighting:
    """The lamps of a head; the dome takes a tint from what is behind it.

    Args:
        attributes: `light` names the kind.
        skin: Linear color of the skin; dark skin is exposed longer, light skin shorter.
        background: Linear RGB (H, W, 3).
        gaze: Directions of the eyes, (2, 3).
        axes: The camera's axes without its roll, (3, 3).
        overrides: Of a head to order.
    """
    rng = np.random.default_rng([attributes.seed, 6])
    key, size, aside, fill, rim, dome, key_color, rim_color = KINDS[attributes.light]
    side = overrides.number("light_side", float(rng.choice([-1, 1])))
    key, fill, rim = (
        key * rng.uniform(0.88, 1.12),
        fill * rng.uniform(0.8, 1.2),
        rim * rng.uniform(0.6, 1.3),
    )
    white = np.array([1, 1, 1])
    fill_color = tuple(1.15 * white - 0.3 * np.array(key_color))
    tint = background.mean((0, 1))
    tint = 0.35 * tint / max(float(tint.max()), 1e-3) + 0.65 * np.array([0.88, 0.93, 1])
    bright = float(np.mean(skin))
    exposure = float(
        np.interp(bright, [0.05, 0.14, 0.3, 0.55, 0.75], [0.42, 0.26, 0.12, -0.1, -0.26])
    )
    lamps = (
        Lamp((side * 3.9 * aside, 2.4, 4.2), size, 330 * key, key_color),
        Lamp((-side * 3.8, 0.6, 3.6), 4.5, 90 * fill, fill_color, False),
        Lamp((-side * 2.6, 2.8, -3.6), 2.2, 400 * rim, rim_color, False),
        Lamp((side * 3.2, 0.8, -3.4), 2.0, 160 * rim, rim_color, False),
        eye_lamp(gaze, axes, side),
    )
    return Lighting(lamps, tuple(tint), 0.55 * dome, exposure + rng.uniform(-0.06, 0.08))
