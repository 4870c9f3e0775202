"""Sentences that several tabs share."""

import re

from toonify.hub import Style, labels
from toonify.ui.i18n import gettext, ngettext, translate

PRIVACY = (
    "**Private.** Your photo is processed on this server, never shown to others or used for"
    " training, and deleted with its cartoon within an hour."
)
VIDEO_PRIVACY = (
    "**Private.** Your video is processed on this server, never shown to others or used for"
    " training, and deleted with its cartoon within an hour."
)
LIVE_PRIVACY = (
    "**Private.** Frames are processed in memory on this server and are never saved, shown to"
    " others or used for training."
)

BACKGROUNDS = {
    "draw": "Drawn",
    "keep": "Photo",
    "soften": "Soft",
    "color": "Color",
    "transparent": "Transparent",
    "sticker": "Sticker",
}
MARK = (
    "The metadata of every picture and video from here says that AI has drawn it (IPTC's"
    " DigitalSourceType), and nothing about you."
)
NAME = re.compile(r"(.*?)((?: #.+| \d+)?)", re.DOTALL)  # words, and a color or a number


def describe_style(style: Style | None) -> str:
    """Describe a style with its license and source, as Markdown."""
    if style is None:
        return gettext("No style is installed.")
    scope = "Draws the whole photo." if style.scope == "photo" else "Draws faces only."
    source = gettext(
        "License: {license}. Source: {source}.",
        license=gettext(style.license),
        source=translate(style.source),
    )
    return escape(f"{gettext(style.description)} {gettext(scope)} *{source}*")


def escape(markdown: str) -> str:
    """Return Markdown without HTML and images, which a style of the Hub might bring."""
    return markdown.replace("&", "&amp;").replace("<", "&lt;").replace("![", "!&#91;")


def describe_result(seconds: float | None, size: tuple[int, int]) -> str:
    """Say how long an image took, None if it was made before, and how large it is, (width, height)
    in px."""
    if seconds is None:
        said = gettext("Drawn in advance")
    else:
        said = gettext("Done in {seconds} s", seconds=f"{seconds:.1f}")
    return f"{said} · {format_size(size)}"


def describe_person(number: int) -> str:
    """Name a person in a photo by its number, from 1."""
    return gettext("Person {number}", number=number)


def describe_previews(drawn: int, total: int, seconds: float, more: bool) -> str:
    """Say how many previews there are, and how long the others will take.

    Args:
        drawn: previews that are drawn.
        total: previews in all.
        seconds: what the drawn ones took.
        more: whether others are to come.
    """
    if not more:
        hint = gettext("Press a preview to draw it large.")
        if drawn == total:
            return hint
        return gettext("Stopped after {drawn} of {total}.", drawn=drawn, total=total) + f" {hint}"
    if not drawn:
        return ngettext("Drawing {count} preview", "Drawing {count} previews", total)
    left = max(1, round((total - drawn) * seconds / drawn))
    return gettext(
        "{drawn} of {total} previews, about {left} s left", drawn=drawn, total=total, left=left
    )


def describe_batch(
    drawn: int, total: int, seconds: float, current: str | None, failures: list[str], done: int
) -> str:
    """Say how far many photos are, as Markdown.

    Args:
        drawn: photos that were drawn.
        total: photos in all.
        seconds: what those that are done took.
        current: the name of the photo that is drawn now; None if no more are to come.
        failures: the names of the photos that failed, each with the reason.
        done: photos that were drawn or failed.
    """
    if current is not None:
        said = gettext(
            "Drawing {name} · {number} of {total}", name=current, number=done + 1, total=total
        )
        if done:
            left = max(1, round((total - done) * seconds / done))
            said += gettext(", about {left} s left", left=left)
    else:
        said = gettext("{drawn} of {total} photos drawn", drawn=drawn, total=total)
        if done < total:
            said = f"{gettext('Stopped.')} {said}"
    return escape_name("\n".join([said, *(f"- {failure}" for failure in failures)]))


def escape_name(words: str) -> str:
    """Return plain words as Markdown that shows them as they are, but for lists."""
    return re.sub(r"([\\`*_\[\]<>#|~$])", r"\\\1", words)


def describe_faces(found: int, drawn: int) -> str:
    """Say how many faces were found in a photo, and how many of them were drawn separately."""
    faces = ngettext("{count} face found", "{count} faces found", found)
    return faces + gettext(", {count} drawn separately", count=drawn) * bool(drawn)


def format_name(name: str) -> str:
    """Write an attribute or a value of one for people, as `labels.format_name` does."""
    words, rest = NAME.fullmatch(labels.format_name(name)).groups()  # type: ignore[union-attr]
    return gettext(words) + rest


def format_size(size: tuple[int, int]) -> str:
    """Write (width, height) in px."""
    return f"{size[0]} × {size[1]} px"


def format_progress(frames: int, total: int, seconds_left: float) -> str:
    """Say how far a video is; `total` is 0 for a recording, which has no length in its header."""
    if not total:
        return gettext("Frame {frame}", frame=frames)
    frame = min(frames, total)
    if seconds_left < 90:
        message = "Frame {frame} of {total}, about {left} s left"
        return gettext(message, frame=frame, total=total, left=f"{seconds_left:.0f}")
    message = "Frame {frame} of {total}, about {left} minutes left"
    return gettext(message, frame=frame, total=total, left=f"{seconds_left / 60:.0f}")
