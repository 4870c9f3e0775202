"""Sentences that several tabs say."""

import math
import re

COLOURS = {
    (30, 25, 22): "black",
    (128, 128, 128): "grey",
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
PRIVATE = (
    "**Private.** {what} are drawn on this server, never shown to others or used for training,"
    " and deleted with their {their} within an hour."
)
PRIVACY = PRIVATE.format(what="Photos", their="cartoons")

CLIP_PRIVACY = PRIVATE.format(what="Clips", their="drawings")
LIVE_PRIVACY = (
    "**Private.** Frames are drawn on this server in memory: none is written down, shown to others"
    " or used for training."
)


def about(style) -> str:
    """What a `hub.Style` is, whose it is and where it comes from, as Markdown."""
    if style is None:
        return "No style is installed."
    scope = "the whole photo" if style.scope == "photo" else "faces only"
    return f"{style.description} Draws {scope}. *{style.license}, {style.source}.*"


def drawn_in(seconds: float, size: tuple[int, int]) -> str:
    return f"Drawn in {seconds:.1f} s · {pixels(size)}"


def label(name: str) -> str:
    """How people write a name out of a table: longStraight, rear_hair and #a55728 as
    "Long straight", "Rear hair" and "Brown #a55728"."""
    if re.fullmatch("#[0-9a-fA-F]{6}", name):
        rgb = [int(name[place : place + 2], 16) for place in (1, 3, 5)]
        nearest = min(COLOURS, key=lambda known: math.dist(known, rgb))
        return f"{COLOURS[nearest].capitalize()} {name}"
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])|_", " ", name)
    return spaced.lower().capitalize()


def pixels(size: tuple[int, int]) -> str:
    return f"{size[0]} × {size[1]} px"


def frames_done(frames: int, total: int, seconds_left: float) -> str:
    """How far a clip is. Recorded ones do not say how many frames they have: total is 0."""
    if not total:
        return f"Frame {frames}"
    return f"Frame {min(frames, total)} of {total}, {left(seconds_left)}"


def left(seconds: float) -> str:
    if seconds >= 90:
        return f"about {seconds / 60:.0f} minutes left"
    return f"about {seconds:.0f} s left"


def clips(count: int) -> str:
    return "1 clip" if count == 1 else f"{count} clips"


def count(faces: int) -> str:
    return "1 face" if faces == 1 else f"{faces} faces"
