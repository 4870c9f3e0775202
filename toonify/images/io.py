"""The door for photos: they come in safely.

Outside an image is an upright RGB `PIL.Image`; inside it is a float tensor, NCHW, in [-1, 1].
`load` takes whatever people upload and either gives that image or raises an `ImageError` whose
text is meant for them. It never decodes before it knows the format and the number of pixels, and
changes no global setting of Pillow.
"""

from __future__ import annotations

import io
import os
import re
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageCms, JpegImagePlugin

from toonify.images import color_spaces
from toonify.images.color_codes import ColorCodes, read_color_codes
from toonify.images.formats import (
    EXPECTED,
    HEIC,
    MAX_BYTES,
    MAX_PIXELS,
    ImageError,
    accepted_formats,
    advice,
    describe_tiff,
    shown,
    sniff,
    too_heavy,
)

# What Pillow's decoders raise on hostile or damaged data (found by flipping and cutting bytes of
# every format).
_DAMAGED = (
    *(OSError, ValueError, SyntaxError, EOFError, LookupError, TypeError, ArithmeticError),
    *(MemoryError, RuntimeError, AttributeError, struct.error, zlib.error),
    *(Image.DecompressionBombError, Image.DecompressionBombWarning),
)
MAX_PATH = 4096  # characters that systems take
_ADDRESS = re.compile(r"(?:data|file|ftp|https?):", re.I)
_BASE64 = re.compile(r"[A-Za-z0-9+/=\s]+")
_STRIP_PIXELS = 2**20  # whose colors are converted at once
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def load(
    source: str | os.PathLike | bytes | BinaryIO | Image.Image,
    *,
    max_pixels: int = MAX_PIXELS,
    max_bytes: int = MAX_BYTES,
    alpha: bool = False,
) -> Image.Image:
    """Opens a photo as an upright RGB image without metadata; of an animation, the first frame.

    The format is detected from the content. EXIF orientation is applied, transparency is composited
    on white, and 16-bit or float grays are scaled to 8 bits. Colors become those of sRGB: from an
    embedded profile, or from the color codes of PNG (cICP), AVIF and HEIF (nclx), HDR among them,
    or from a PNG's gAMA and cHRM.

    A baseline JPEG with up to four times `max_pixels` is decoded at half its width and height;
    `describe_reduction` says so.

    Args:
        source: a path, the bytes of a file, a binary file open for reading, or an image that Pillow
            opened. Pillow reads no color codes, so they are read from the file that it names.
        max_pixels: the largest width times height, checked before decoding; default 8192 x 6144,
            which phones call 50 megapixels.
        max_bytes: the largest file; default 64 MiB.
        alpha: whether an image with transparent pixels is returned as RGBA; default False.

    Raises:
        ImageError: the source is not an image of a readable format within these limits.

    Example:
        >>> load("portrait.jpg").size
        (512, 512)
    """
    if isinstance(source, Image.Image):
        return _upright(source, "The image", max_pixels, alpha, _find_codes(source))
    was_read = is_read(source)
    name, data = _read(source, max_bytes)
    if not data:
        what = "was read to its end before; call its seek(0)" if was_read else ""
        raise ImageError(f"{name} {what or f'is empty (0 bytes); expected {EXPECTED}'}.")
    found = sniff(data)
    try:
        image = _open(io.BytesIO(data), found)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        # Pillow warns above 89 million pixels; where warnings are errors, that is a refusal too.
        raise ImageError(f"{name} has far too many pixels; {_allowed(max_pixels)}") from None
    except _DAMAGED:
        if found == "TIFF" and (odd := describe_tiff(data)):
            raise ImageError(f"{name} is {odd}{_EXPECTED_TIFF}") from None
        kind = "HEIC or HEIF" if found == HEIC and "HEIF" in accepted_formats() else found
        if kind in (*_PICTURES, "HEIC or HEIF"):
            raise ImageError(
                f"{name} is a damaged or cut-off {kind} file; expected {EXPECTED}."
            ) from None
        hint = " It was read in part before; call its seek(0)." if was_read else advice(found)
        raise ImageError(f"{name} is {found}; expected {EXPECTED}.{hint}") from None
    with image:
        if found == "TIFF" and (odd := describe_tiff(data)):
            raise ImageError(f"{name} is {odd}{_EXPECTED_TIFF}")
        _halve(image, max_pixels)
        return _upright(image, name, max_pixels, alpha, read_color_codes(data))


def is_read(source: object) -> bool:
    """Whether a binary file stands behind its beginning."""
    try:
        return isinstance(source, io.IOBase) and source.tell() > 0
    except OSError:  # a pipe
        return False


def count_pixels(source) -> int | None:
    """Width times height of what `load` gives, from the file's header; None if that does not say.

    A file that is open stays where it is, and is not looked at.
    """
    found = _read_size(source)
    return None if found is None else found[1][0] * found[1][1]


def describe_reduction(source) -> str:
    """In words, that `load` decodes a photo at half its size; empty if it does not.

    Args:
        source: as for `load`; of a file that is open nothing is known.
    """
    full, read = _read_size(source) or ((0, 0), (0, 0))
    if full == read:
        return ""
    (width, height), (half_width, half_height) = full, read
    return (
        f"read at {half_width}x{half_height}, half its size, as {width}x{height} ="
        f" {_millions(width * height)} are too many"
    )


def _read_size(source) -> tuple[tuple[int, int], tuple[int, int]] | None:
    """(width, height) as the header of a file says and as `load` decodes it, before it is turned.

    None for what has no readable header.
    """
    if isinstance(source, Image.Image):
        return source.size, source.size
    try:
        if isinstance(source, bytes | bytearray | memoryview):
            source = io.BytesIO(source)
        elif not (isinstance(source, str | os.PathLike) and os.path.isfile(source)):
            return None
        else:
            source = open(source, "rb")  # noqa: SIM115
        with source, _open(source, sniff(source.read(4096))) as image:
            size = image.size
            _halve(image, MAX_PIXELS)
            return size, image.size
    except _DAMAGED:
        return None


def to_rgb(image: Image.Image) -> Image.Image:
    """RGB with 8 bits a color from any mode, transparency over white."""
    return _flatten(_eight_bits(image))


def _read(source, max_bytes: int) -> tuple[str, bytes]:
    """What to call the source in an error, and its bytes."""
    if isinstance(source, bytes | bytearray | memoryview):
        name, data = "The file", bytes(source)
    elif isinstance(source, str | os.PathLike):
        _check_is_path(os.fspath(source))
        path = Path(source)
        name = shown(path.name or str(path))
        try:
            if path.is_dir():
                raise ImageError(f"{name} is a folder; expected {EXPECTED}.")
            if not path.is_file():  # a device or a pipe could be read for ever
                there = "is not a regular file" if path.exists() else "does not exist"
                raise ImageError(f"{name} {there}; expected {EXPECTED}.")
            if path.stat().st_size > max_bytes:
                raise ImageError(too_heavy(name, max_bytes))
            with open(path, "rb") as file:
                data = file.read(max_bytes + 1)
        except (OSError, ValueError) as error:  # no permission; a NUL in the name; a name too long
            if isinstance(error, ImageError):
                raise
            reason = getattr(error, "strerror", None) or error
            raise ImageError(f"{name} cannot be read ({reason}); expected {EXPECTED}.") from error
    elif hasattr(source, "read"):
        name, data = "The file", source.read(max_bytes + 1)
        if not isinstance(data, bytes):
            raise ImageError("The file is open as text; expected one opened in binary mode.")
    else:
        kind = "nothing" if source is None else type(source).__name__
        raise ImageError(f"{kind} was given; expected {EXPECTED}: a path, its bytes or an image.")
    if len(data) > max_bytes:
        raise ImageError(too_heavy(name, max_bytes))
    return name, data


def _check_is_path(text: str | bytes) -> None:
    """Raises ImageError for texts that people pass for a photo, and that are no paths."""
    if not isinstance(text, str):
        return
    if not text.strip() or len(text) > MAX_PATH:
        kind = "no path"
    elif _ADDRESS.match(text):
        kind = "an address"
    elif len(text) > 255 and _BASE64.fullmatch(text) and not os.path.lexists(text):
        kind = "base64"
    else:
        return
    raise ImageError(
        f"A text of {len(text)} characters was given, which is {kind}; expected {EXPECTED}:"
        " a path, its bytes or an image."
    )


def _open(file: BinaryIO, found: str) -> Image.Image:
    """The image in a file whose first bytes say what it is; its pixels are not decoded yet."""
    file.seek(0)
    if found == "JPEG":  # `Image.open` refuses 179 million pixels, whatever they are decoded to
        return JpegImagePlugin.jpeg_factory(file)
    return Image.open(file, formats=accepted_formats())


def _halve(image: Image.Image, max_pixels: int) -> None:
    """Makes a JPEG that is too large be decoded at half its size, if that makes it small enough.

    Not a progressive one: its decoder would hold all of it.
    """
    if image.format not in ("JPEG", "MPO") or image.info.get("progressive"):
        return
    width, height = image.size
    if max_pixels < width * height and -(-width // 2) * -(-height // 2) <= max_pixels:
        image.draft(None, (max(1, width // 2), max(1, height // 2)))


def _find_codes(image: Image.Image) -> ColorCodes | None:
    """The color codes in the file that Pillow opened an image from."""
    path = getattr(image, "filename", None)
    if not path or image.format not in ("PNG", "AVIF", "HEIF"):
        return None
    try:
        with open(path, "rb") as file:
            return read_color_codes(file.read(MAX_BYTES))
    except OSError:
        return None


def _upright(
    image: Image.Image, name: str, max_pixels: int, alpha: bool, codes: ColorCodes | None
) -> Image.Image:
    width, height = image.size
    kind = image.format or "image"
    if width < 1 or height < 1:
        raise ImageError(f"{name} has no pixels ({width}x{height}); expected {EXPECTED}.")
    if width * height > max_pixels:
        raise ImageError(
            f"{name} has {width}x{height} = {_millions(width * height)}; {_allowed(max_pixels)}"
        )
    try:
        image.load()
    except _DAMAGED as error:
        reason = str(error) or type(error).__name__
        raise ImageError(
            f"{name} is a damaged or cut-off {kind} file ({reason}); expected {EXPECTED}."
        ) from error
    turn = _turn(image)  # after load: Pillow turns a TIFF itself while decoding
    photo = _to_srgb(_eight_bits(image), codes, _find_gamma(image))
    photo = photo.convert("RGBA") if alpha and _see_through(photo) else _flatten(photo)
    photo = photo.transpose(turn) if turn is not None else photo
    photo = photo.copy() if photo is image else photo
    photo.info = {}
    return photo


def _turn(image: Image.Image) -> Image.Transpose | None:
    """By EXIF, as browsers do. Pillow's `getexif` follows XMP too, which they do not."""
    exif = Image.Exif()
    try:
        exif.load(image.info.get("exif", b""))
        return _TURNS.get(exif.get(0x0112, 1))
    except _DAMAGED:  # a broken EXIF block says nothing about the pixels
        return None


def _find_gamma(image: Image.Image) -> tuple | None:
    """Gamma, white and primaries by a PNG's gAMA and cHRM, if they make a difference.

    Browsers follow them if both are there, and neither a profile nor an sRGB chunk.
    """
    info = image.info
    if image.format != "PNG" or "srgb" in info or info.get("icc_profile"):
        return None
    points = info.get("chromaticity", ())
    if "gamma" not in info or len(points) != 8:
        return None
    white, *primaries = zip(points[::2], points[1::2], strict=True)
    found = info["gamma"], white, tuple(primaries)
    return found if color_spaces.gamma_changes_srgb(*found) else None


def _to_srgb(image: Image.Image, codes: ColorCodes | None, gamma: tuple | None) -> Image.Image:
    """The image converted to sRGB by what its file says of its colors, where that can be done."""
    if codes is not None and color_spaces.can_convert(codes.primaries, codes.transfer):
        if color_spaces.is_srgb(*codes):
            return image
        return _convert(image, lambda pixels: color_spaces.to_srgb(pixels, *codes))
    if gamma is not None:
        return _convert(image, lambda pixels: color_spaces.gamma_to_srgb(pixels, *gamma))
    profile = image.info.get("icc_profile")
    if image.mode == "LAB":  # TIFF; Pillow has no plain conversion for it
        own, srgb = (ImageCms.createProfile(space) for space in ("LAB", "sRGB"))
        transform = ImageCms.buildTransform(own, srgb, "LAB", "RGB")
        return transform.apply(image)
    if not isinstance(profile, bytes) or not profile:
        return image
    alpha = None
    try:
        embedded = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        is_gray = embedded.profile.xcolor_space.strip() == "GRAY" and image.mode in ("L", "LA")
        if image.has_transparency_data:
            image = image.convert("LA" if is_gray else "RGBA")
            alpha = image.getchannel("A")
        colors = image.getchannel("L") if is_gray else image
        colors = colors if colors.mode in ("L", "RGB", "CMYK") else colors.convert("RGB")
        srgb = ImageCms.createProfile("sRGB")
        transform = ImageCms.buildTransform(embedded, srgb, colors.mode, "RGB")
        if colors.mode == "RGB" and _changes_nothing(transform):
            return image
        colors = transform.apply(colors)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return image  # a damaged profile, or one for another number of channels
    if alpha is not None:
        colors.putalpha(alpha)
    return colors


def _convert(image: Image.Image, convert: Callable[[np.ndarray], np.ndarray]) -> Image.Image:
    """The image with other colors, strip by strip; its transparency stays."""
    result = image.convert("RGBA" if image.has_transparency_data else "RGB")
    rows = max(1, _STRIP_PIXELS // image.width)
    for top in range(0, image.height, rows):
        box = (0, top, image.width, min(top + rows, image.height))
        strip = result.crop(box)
        colors = Image.fromarray(convert(np.asarray(strip.convert("RGB"))))
        if strip.mode == "RGBA":
            colors.putalpha(strip.getchannel("A"))
        result.paste(colors, box)
    return result


def _changes_nothing(transform: ImageCms.ImageCmsTransform) -> bool:
    """Whether a transform RGB -> RGB is no more than rounding: most photos carry sRGB itself."""
    steps = np.arange(0, 256, 51, dtype=np.uint8)
    probe = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(6, 36, 3)
    turned = np.asarray(ImageCms.applyTransform(Image.fromarray(probe), transform))
    return bool(np.abs(turned.astype(int) - probe).max() <= 2)


def _see_through(image: Image.Image) -> bool:
    """Whether some pixel is not opaque."""
    if not image.has_transparency_data:
        return False
    return bool(np.asarray(image.convert("RGBA").getchannel("A")).min() < 255)


def _flatten(image: Image.Image) -> Image.Image:
    """RGB from any mode, transparency over white."""
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        white.alpha_composite(image)
        image = white
    return image.convert("RGB")


def _eight_bits(image: Image.Image) -> Image.Image:
    """Grays of more than 8 bits as mode L, scaled and not clipped; other modes unchanged.

    16 bit files span 0 to 65535 by definition, and TIFFs of 12 bits 0 to 4095. 32 bit and float
    files do not say their span: the smallest of 0 to 1 (float only), 0 to 255 and 0 to 65535 that
    holds all values is taken, else their own.
    """
    if not image.mode.startswith("I") and image.mode != "F":
        return image
    gray, tags = np.asarray(image), getattr(image, "tag_v2", {})
    if gray.dtype == np.int32 and tags.get(339, (2,))[0] == 1:
        gray = gray.view(np.uint32)  # Pillow takes them for signed
    if gray.dtype.kind == "u" and gray.dtype.itemsize == 2:
        low, high = 0.0, 4095.0 if tags.get(258) == (12,) else 65535.0
    else:
        is_float = gray.dtype.kind == "f"
        gray = np.nan_to_num(gray.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
        low, high = float(gray.min()), float(gray.max())
        for span in (1.0, 255.0, 65535.0)[0 if is_float else 1 :]:
            if low >= 0.0 and high <= span:
                low, high = 0.0, span
                break
    scale = 255.0 / (high - low) if high > low else 0.0
    scaled = np.rint((gray - low) * scale).astype(np.uint8)
    if tags.get(262) == 0:  # 0 is white, which Pillow follows up to 8 bits only
        scaled = 255 - scaled
    result = Image.fromarray(scaled)
    result.info["icc_profile"] = image.info.get("icc_profile")
    return result


_EXPECTED_TIFF = (
    "; expected 8 or 16 bits a color, or floating-point grays of 32. Export it as PNG first."
)
# Kinds that `load` opens: not being able to means damage.
_PICTURES = ("JPEG", "PNG", "WebP", "GIF", "BMP", "TIFF", "AVIF")


def _allowed(max_pixels: int) -> str:
    """What is said of too many pixels: how many are not, and what to do."""
    return (
        f"at most {_millions(max_pixels)} are allowed, or {_millions(4 * max_pixels)} in the file"
        " of a JPEG that is not progressive. Scale it down first."
    )


def _millions(pixels: int) -> str:
    return f"{pixels / 1e6:.3g} million pixels"
