"""Image formats: what is read, what is written, and what a file that cannot be read is."""

from __future__ import annotations

import functools
import importlib.util
import struct

from PIL import Image

MAX_PIXELS = 8192 * 6144  # 50 megapixels, as phones count them
MAX_BYTES = 64 * 2**20

OPENS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")
EXPECTED = "a photo as JPEG, PNG, WebP, GIF, BMP, TIFF or AVIF"
EXTENSIONS = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".webp", ".gif"),
    *(".bmp", ".tif", ".tiff", ".avif", ".heic", ".heif", ".hif"),
)
SAVES = {
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".png": "PNG",
    ".webp": "WEBP",
    ".avif": "AVIF",
    ".bmp": "BMP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
}


class ImageError(ValueError):
    """An image is refused; the text says what was found and what was expected, for people."""


def accepted_formats() -> tuple[str, ...]:
    """The formats that are read: HEIC too where pillow-heif is installed."""
    _register_heif()
    return (*OPENS, "HEIF") if "HEIF" in Image.OPEN else OPENS


@functools.cache
def _register_heif() -> None:
    if "HEIF" not in Image.OPEN and importlib.util.find_spec("pillow_heif"):
        importlib.import_module("pillow_heif").register_heif_opener()


_MAGIC = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"BM", "BMP"),
    (b"%PDF-", "a PDF document"),
    (b"%!PS", "a PostScript document"),
    (b"8BPS", "a Photoshop document"),
    (b"PK\x03\x04", "a ZIP archive or office document"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"\x1aE\xdf\xa3", "a Matroska or WebM video"),
    (b"\0\0\0\x0cjP  ", "a JPEG 2000 image"),
    (b"\xff\x4f\xff\x51", "a JPEG 2000 image"),
    (b"\0\0\0\x0cJXL ", "a JPEG XL image"),
    (b"\xff\x0a", "a JPEG XL image"),
    (b"#?RADIANCE", "a Radiance HDR image"),
    (b"v/1\x01", "an OpenEXR image"),
    (b"DDS ", "a DirectDraw texture"),
    (b"qoif", "a QOI image"),
    (b"\0\0\1\0", "an icon"),
    (b"icns", "an icon"),
    (b"\x7fELF", "a program"),
    (b"MZ", "a program"),
)
_HEIC = "a HEIC or HEIF photo"
_SVG = "an SVG drawing"


def sniff(data: bytes) -> str:
    """What the first bytes say: a name out of `_PICTURES`, or words that follow 'is'."""
    head = data[:4096]
    if head[:4] == b"RIFF":
        return {b"WEBP": "WebP", b"AVI ": "an AVI video"}.get(head[8:12], "a sound file")
    if head[4:8] == b"ftyp":
        length = min(max(struct.unpack(">I", head[:4])[0], 16), 256)
        brands = {head[8:12], *(head[i : i + 4] for i in range(16, length, 4))}
        if brands & {b"avif", b"avis"}:
            return "AVIF"
        if brands & {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}:
            return _HEIC
        return "a raw camera file" if b"crx " in brands else "a video (MP4 or QuickTime)"
    is_text = not any(byte < 9 or 13 < byte < 27 for byte in head)
    for magic, kind in _MAGIC:
        if head.startswith(magic) and not (is_text and len(magic) == 2):  # "BMW is a car"
            return kind
    if b"%PDF-" in head[:1024]:
        return "a PDF document"
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if text.startswith((b"<svg", b"<?xml", b"<!doctype svg", b"<!--")) and b"<svg" in text:
        return _SVG
    if text.startswith((b"<!doctype html", b"<html")):
        return "a web page"
    return "text" if is_text else "data of an unknown kind"


def has_float_colors(data: bytes) -> bool:
    """Whether a TIFF says that it has several floating-point numbers a pixel."""
    order = "<" if data[:2] == b"II" else ">"
    try:
        (start,) = struct.unpack_from(f"{order}I", data, 4)
        (count,) = struct.unpack_from(f"{order}H", data, start)
        for entry in range(min(count, 200)):
            tag, kind, values, place = struct.unpack_from(
                f"{order}HHII", data, start + 2 + 12 * entry
            )
            if (tag, kind) == (339, 3) and values > 1:  # SampleFormat
                at = place if values > 2 else start + 2 + 12 * entry + 8
                return struct.unpack_from(f"{order}H", data, at)[0] == 3
    except struct.error:
        return False
    return False


def advice(found: str) -> str:
    if found == _HEIC:
        return " Export it as JPEG, or install pillow-heif."
    return " Export it as PNG first." if found == _SVG else ""


def too_heavy(name: str, limit: int) -> str:
    return f"{name} is larger than {limit / 2**20:.3g} MB; expected {EXPECTED} below that."


def shown(name: str) -> str:
    """A file's name as it may go into a message: no control characters."""
    return name if name.isprintable() else repr(name)
