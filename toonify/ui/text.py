"""Sentences that several tabs share."""

from toonify.hub import Style
from toonify.hub.labels import format_name as format_name  # also from here

PRIVACY = (
    "**Private.** Your photo is processed on this server, never shown to others or used for"
    " training, and deleted with its cartoon within an hour."
)
VIDEO_PRIVACY = PRIVACY.replace("photo", "video")
LIVE_PRIVACY = (
    "**Private.** Frames are processed in memory on this server and are never saved, shown to"
    " others or used for training."
)

MARK = (
    "The metadata of every picture and video from here says that AI has drawn it (IPTC's"
    " DigitalSourceType), and nothing about you."
)


def describe_style(style: Style | None) -> str:
    """Describe a style with its license and source, as Markdown."""
    if style is None:
        return "No style is installed."
    scope = "the whole photo" if style.scope == "photo" else "faces only"
    about = (
        f"{style.description} Draws {scope}. *License: {style.license}. Source: {style.source}.*"
    )
    return escape(about)


def escape(markdown: str) -> str:
    """Return Markdown without HTML and images, which a style of the Hub might bring."""
    return markdown.replace("&", "&amp;").replace("<", "&lt;").replace("![", "!&#91;")


def describe_result(seconds: float, size: tuple[int, int]) -> str:
    """Say how long an image took and how large it is, (width, height) in px."""
    return f"Done in {seconds:.1f} s · {format_size(size)}"


def describe_previews(drawn: int, total: int, seconds: float, more: bool) -> str:
    """Say how many previews there are, and how long the others will take.

    Args:
        drawn: previews that are drawn.
        total: previews in all.
        seconds: what the drawn ones took.
        more: whether others are to come.
    """
    if not more:
        stopped = "" if drawn == total else f"Stopped after {drawn} of {total}. "
        return f"{stopped}Press a preview to draw it large."
    if not drawn:
        return f"Drawing {count(total, 'preview')}"
    left = max(1, round((total - drawn) * seconds / drawn))
    return f"{drawn} of {count(total, 'preview')}, about {left} s left"


def describe_faces(found: int, drawn: int) -> str:
    """Say how many faces were found in a photo, and how many of them were drawn separately."""
    separately = f", {drawn} drawn separately" if drawn else ""
    return f"{count(found, 'face')} found{separately}"


def format_size(size: tuple[int, int]) -> str:
    """Write (width, height) in px."""
    return f"{size[0]} × {size[1]} px"


def format_progress(frames: int, total: int, seconds_left: float) -> str:
    """Say how far a video is; `total` is 0 for a recording, which has no length in its header."""
    if not total:
        return f"Frame {frames}"
    many = seconds_left >= 90
    left = f"{seconds_left / 60:.0f} minutes" if many else f"{seconds_left:.0f} s"
    return f"Frame {min(frames, total)} of {total}, about {left} left"


def count(number: int, noun: str) -> str:
    """Write "1 face" or "2 faces"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
