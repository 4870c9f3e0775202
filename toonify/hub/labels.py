"""Names of attributes and of their values, written for people."""

import math
import re

COLORS = {
    (30, 25, 22): "black",
    (128, 128, 128): "gray",
    (255, 255, 255): "white",
    (95, 60, 45): "dark brown",
    (150, 95, 65): "brown",
    (190, 145, 110): "tan",
    (240, 200, 170): "peach",
    (215, 180, 115): "sand",
    (234, 179, 8): "yellow",
    (249, 115, 22): "orange",
    (178, 31, 31): "red",
    (236, 72, 153): "pink",
    (115, 25, 195): "purple",
    (10, 50, 135): "blue",
    (20, 125, 60): "green",
}


def format_name(name: str) -> str:
    """Write an attribute or variant for people: longStraight, rear_hair, tone3 and #a55728 become
    "Long straight", "Rear hair", "Tone 3" and "Brown #a55728"."""
    if re.fullmatch("#[0-9a-fA-F]{6}", name):
        rgb = [int(name[start : start + 2], 16) for start in (1, 3, 5)]
        nearest = min(COLORS, key=lambda color: math.dist(color, rgb))
        return f"{COLORS[nearest].capitalize()} {name}"
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z0-9])|_", " ", name)
    return spaced.lower().capitalize()
