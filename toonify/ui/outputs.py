"""What is made for a visitor: files in folders with unguessable names, and small images."""

import base64
import io
import os
import re
import secrets
import shutil
import tempfile
from pathlib import Path

import gradio as gr
from PIL import Image

from toonify import images
from toonify.images import marks

PREVIEW_QUALITY = 85
STICKER_QUALITY = 80  # of WebP: messengers take 100 KB, and alpha is exact anyway
SCREEN_PX = 1600  # what travels to the screen; the download has every pixel
# Together less than an hour, so that nothing of a visitor is kept for longer.
CLEAN_EVERY_S, KEEP_S = 600, 2900
FOLDER = "toonify-visitors"  # in GRADIO_TEMP_DIR or the system's temporary folder


def use_own_folder() -> None:
    """Make gradio keep files of visitors in a folder of this app's own, which it may empty."""
    folder = Path(gr.utils.get_upload_folder())
    if folder.name != FOLDER:
        parent = folder if "GRADIO_TEMP_DIR" in os.environ else Path(tempfile.gettempdir())
        os.environ["GRADIO_TEMP_DIR"] = str(parent / FOLDER)


def choose_folder() -> Path:
    """Return a folder, not there yet, that gradio serves and later deletes."""
    return Path(gr.utils.get_upload_folder()) / secrets.token_urlsafe(16)


def make_parent(path: Path) -> Path:
    """Make the folder of a path, and return the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def choose_path(source: str | bytes | None, style: str, suffix: str) -> Path:
    """Choose where a result goes: a folder of its own, and a name after its photo and style."""
    stem = Path(source).stem if isinstance(source, str) else ""
    stem, style = (re.sub(r"\W+", "-", part).strip("-")[:40] for part in (stem, style))
    return choose_folder() / f"{stem or 'photo'}-{style}{suffix}"


def save_png(image: Image.Image, source: str | bytes, style: str) -> Path:
    """Save a result under a name after its photo and style."""
    return images.save(image, choose_path(source, style, ".png"), alpha=True)


def copy_file(path: Path, source: str | bytes | None, style: str) -> Path:
    """Copy a file of the package to where results lie: gradio serves it there."""
    target = make_parent(choose_path(source, style, path.suffix))
    return Path(shutil.copyfile(path, target))


def save_preview(image: Image.Image | None) -> str | None:
    """Save what the page shows, with the mark of a drawing, which gradio's own WebP would lack."""
    if image is None:
        return None
    return str(images.save(image, choose_folder() / "preview.webp", PREVIEW_QUALITY))


def encode_base64(image: Image.Image, format: str) -> str:
    """Encode an image with the mark of a drawing. `format` is Pillow's name of the format."""
    encoded = io.BytesIO()
    image.save(encoded, format, **marks.encoder_options(marks.read_mark(image), format.upper()))
    return base64.b64encode(encoded.getvalue()).decode()


def shrink(image: Image.Image, side: int = SCREEN_PX) -> Image.Image:
    """Return a copy that is at most `side` px wide and high."""
    image = image.copy()
    image.thumbnail((side, side))
    return image
