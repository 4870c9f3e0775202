"""Colors by name, as linear RGB."""

import colorsys

import numpy as np

SKIN = (
    *("#f4d2c0", "#f1c8ae", "#ecbc9c", "#e2aa84", "#d49a72", "#c48a62"),
    *("#b07650", "#9a6040", "#855033", "#6f4229", "#593322", "#47281b"),
)
HAIR = {
    "black": "#221a17",
    "dark_brown": "#37241b",
    "brown": "#5a3823",
    "chestnut": "#7a4728",
    "auburn": "#8c3f20",
    "ginger": "#c4642c",
    "blonde": "#dcb068",
    "ash": "#a9906e",
    "gray": "#9a9894",
    "white": "#dcdad4",
}
DYED_HAIR = ("#c9568f", "#3f8fa8", "#7657b0", "#3c66b8", "#b8323f")
IRIS = {
    "dark_brown": "#40240f",
    "brown": "#6a3f1b",
    "amber": "#97601f",
    "hazel": "#7d7034",
    "green": "#4f8a42",
    "blue": "#3f80bd",
    "gray": "#738a99",
}
LIPSTICK = ("#b03a48", "#c44f5e", "#9c2c4a", "#c9575a", "#8d3340")
FRAMES = ("#191a1c", "#5b3a20", "#7c2230", "#24406b", "#b79a52", "#7d8288", "#2f5a4a")


def linear(color: str) -> np.ndarray:
    """#rrggbb -> linear RGB, (3,)."""
    c = np.array([int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


def hsv(hue: float, saturation: float, value: float) -> np.ndarray:
    """Linear RGB of a hue in [0, 1), a saturation and a value in [0, 1]."""
    rgb = colorsys.hsv_to_rgb(hue % 1, min(max(saturation, 0), 1), min(max(value, 0), 1))
    return linear("#" + "".join(f"{round(255 * c):02x}" for c in rgb))


def hair_color(name: str, rng) -> np.ndarray:
    """The color of a hair name, a little lighter or darker for every head."""
    base = DYED_HAIR[rng.integers(len(DYED_HAIR))] if name == "dyed" else HAIR[name]
    return np.clip(linear(base) * rng.uniform(0.85, 1.15), 0, 1)
