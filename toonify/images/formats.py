"""Image formats: what is read, what is written, and what a file that cannot be read is."""

from __future__ import annotations

import functools
import importlib.util
import io
import struct

from PIL import Image, TiffImagePlugin

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
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
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
HEIC = "a HEIC or HEIF photo"
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
            return HEIC
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


def describe_tiff(data: bytes) -> str:
    """In words that follow 'is', a whole TIFF that Pillow cannot read or misreads; else empty."""
    head = data[: 16 if 43 in data[2:4] else 8]  # BigTIFF's is longer
    try:
        tags, file = TiffImagePlugin.ImageFileDirectory_v2(head), io.BytesIO(data)
        file.seek(tags.next)
        tags.load(file)
        samples, bits = int(tags.get(277, 1)), int(tags.get(258, (1,))[0])
        form, is_planar = int(tags.get(339, (1,))[0]), tags.get(284) == 2 and samples > 1
        if 273 not in tags and 324 not in tags:  # cut off before it says where its pixels are
            return ""
        file.seek(0)
        TiffImagePlugin.TiffImageFile(file).close()
        if not (is_planar and bits == 16 and tags.get(259, 1) == 1):  # of which it reads a half
            return ""
    except SyntaxError as error:
        if "unknown" not in str(error):
            return ""
    except (OSError, ValueError, LookupError, TypeError, ArithmeticError, struct.error):
        return ""
    kind = {1: "", 2: "signed ", 3: "floating-point "}.get(form, "complex ")
    nouns = {1: "grays", 2: "grays and alpha", 3: "colors", 4: "colors"}
    noun = nouns.get(samples, f"{samples} numbers a pixel")
    place = " in separate planes" if is_planar else ""
    white = ", 0 for white" if tags.get(262) == 0 else ""
    return f"a TIFF with {kind}{noun} of {bits} bits{place}{white}"


def advice(found: str) -> str:
    if found == HEIC:
        return " Export it as JPEG, or install pillow-heif."
    return " Export it as PNG first." if found == _SVG else ""


def too_heavy(name: str, limit: int) -> str:
    return f"{name} is larger than {limit / 2**20:.3g} MB; expected {EXPECTED} below that."


def shown(name: str) -> str:
    """A file's name as it may go into a message: no control characters."""
    return name if name.isprintable() else repr(name)
