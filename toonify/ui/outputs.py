"""What is made for a visitor: files in folders that nobody guesses, and small pictures."""

import re
import secrets
from pathlib import Path

import gradio as gr
from PIL import Image

from toonify import images

SCREEN_PX = 1600  # what travels to the screen; the download has every pixel
CLEAN_EVERY_S, KEEP_S = 600, 3000  # together: nothing sent or drawn is kept for over an hour


def folder() -> Path:
    """A folder where gradio serves and later deletes; not there yet, and nobody guesses it."""
    return Path(gr.utils.get_upload_folder()) / secrets.token_urlsafe(16)


def made(path: Path) -> Path:
    """The path, after its folder was made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def placed(source: str | bytes | None, style: str, suffix: str) -> Path:
    """Where a result goes: a folder of its own, and a name after its photo."""
    stem = Path(source).stem if isinstance(source, str) else ""
    stem, style = (re.sub(r"\W+", "-", part).strip("-")[:40] for part in (stem, style))
    return folder() / f"{stem or 'photo'}-{style}{suffix}"


def saved(picture: Image.Image, source: str | bytes, style: str) -> Path:
    """Write the result as PNG, named after its photo."""
    return images.save(picture, placed(source, style, ".png"))


def small(picture: Image.Image, side: int = SCREEN_PX) -> Image.Image:
    """A copy that fits the screen."""
    picture = picture.copy()
    picture.thumbnail((side, side))
    return picture
