"""Images go out: in the format of a suffix, without metadata but the mark of what they are."""

from __future__ import annotations

import io
import os
import struct
from pathlib import Path

from PIL import Image

from toonify.files import atomic_write
from toonify.images import marks, signing
from toonify.images.formats import SAVES, ImageError, shown
from toonify.images.io import to_rgb


def save(
    image: Image.Image,
    path: str | os.PathLike,
    quality: int = 95,
    *,
    alpha: bool = False,
    mark: bool = True,
) -> Path:
    """Writes an image in the format of the path's suffix, without metadata of its photo.

    What a pipeline has drawn is marked as such: see `toonify.images.marks`. Missing parent folders
    are created. An existing file is replaced, and never left half written.

    Args:
        image: RGB, or any image that `load` accepts.
        path: ends in .jpg, .jpeg, .png, .webp, .avif, .bmp, .tif or .tiff.
        quality: 1 to 100 (default 95), for JPEG, WebP and AVIF.
        alpha: whether transparency is kept, in a format that has it; default False: it is
            composited on white.
        mark: whether the mark of a drawn image is written; default True. BMP cannot hold it.

    Returns:
        The path.

    Raises:
        ImageError: another suffix, or an image that is too large for the format.
        OSError: the file cannot be written.

    Example:
        >>> from toonify.images import load
        >>> save(load("portrait.jpg"), "copies/portrait.png").name
        'portrait.png'
    """
    path = Path(path)
    if path.suffix.lower() not in SAVES:
        expected = ", ".join(SAVES)
        raise ImageError(f"{shown(path.name)} ends in {path.suffix!r}; expected one of {expected}")
    if path.is_dir():
        raise ImageError(f"{shown(path.name)} is a folder; expected the name of a file")
    encoded = encode(image, path.suffix, quality, alpha=alpha, mark=mark)
    with atomic_write(path) as part:
        part.write_bytes(encoded)
    return path


def encode(
    image: Image.Image,
    suffix: str = ".png",
    quality: int = 95,
    *,
    alpha: bool = False,
    mark: bool = True,
) -> bytes:
    """The bytes that `save` writes into a file.

    Args:
        image, quality, alpha, mark: as for `save`.
        suffix: of the format; default .png.

    Raises:
        ImageError: as for `save`.
    """
    form = SAVES.get(suffix.lower())
    if form is None:
        raise ImageError(f"suffix is {suffix!r}; expected one of {', '.join(SAVES)}")
    if not 1 <= quality <= 100:
        raise ImageError(f"quality is {quality}; expected 1 to 100")
    options = _options(form, quality)
    source_type = marks.read_mark(image) if mark else None
    options |= marks.encoder_options(source_type, form)
    keeps = alpha and image.mode == "RGBA" and form not in ("JPEG", "BMP")
    clean = image.copy() if keeps else to_rgb(image).copy()
    clean.info = {}  # Pillow writes comments and profiles that it finds here
    try:
        encoded = io.BytesIO()
        clean.save(encoded, form, **options)
    except (OSError, ValueError, struct.error) as error:
        size = f"{image.width}x{image.height}"
        raise ImageError(f"{form} cannot hold an image of {size} pixels: {error}") from error
    return signing.sign(encoded.getvalue(), form, source_type)


def _options(form: str, quality: int) -> dict:
    if form == "JPEG":  # full color resolution: drawn contours are colored edges
        # Not optimized: that makes a drawing 1 % smaller and takes as long again.
        return {"quality": quality, "subsampling": 0}
    if form == "WEBP":
        return {"quality": quality, "method": 4}
    if form == "AVIF":
        return {"quality": quality, "subsampling": "4:4:4"}
    return {"compression": "tiff_deflate"} if form == "TIFF" else {}
