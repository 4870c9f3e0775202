"""Films and animations say what they are: the XMP of `toonify.images.marks` in their files.

MP4, M4V and MOV hold it in a `uuid` box (XMP specification, part 3), GIF, WebP and PNG where still
images do. Matroska and WebM have no place for XMP: a tag of the same meaning stands in for it.
"""

import os
import shutil
import struct
import zlib
from pathlib import Path

from PIL import Image

from toonify.files import temporary_path
from toonify.images.marks import KEY, make_uri, make_xmp

TAG = "DIGITAL_SOURCE_TYPE"
TAGGED = ("matroska", "webm")  # FFmpeg's names of the containers with the tag
XMP_BOX = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
_LOOP = b"\x21\xff\x0bNETSCAPE2.0"  # says how often a GIF is shown
_LOOP_BYTES = 19
# The blocks of a GIF are counted, XMP is not: where a reader's count ends, this leads to the end.
_GIF_END = b"\x01" + bytes(range(255, -1, -1)) + b"\x00"
_PNG_HEAD = 33  # bytes of the signature and the header
_WEBP_HAS_XMP, _WEBP_HAS_ALPHA = 0x04, 0x10


def make_tags(container: str, source_type: str | None) -> dict[str, str]:
    """The tags of a film in a container that has no place for XMP; none for others.

    Args:
        container: FFmpeg's name of it.
        source_type: one of `SOURCE_TYPES`, or None.
    """
    if source_type is None or container not in TAGGED:
        return {}
    return {TAG: make_uri(source_type)}


def mark_file(file: Path, suffix: str, source_type: str | None) -> None:
    """Adds the mark to a finished film or animation; its streams stay as they are.

    Args:
        file: the file, which nobody reads yet.
        suffix: of its format. Nothing is added to .mkv and .webm: see `make_tags`.
        source_type: one of `SOURCE_TYPES`, or None for no mark.
    """
    add = _WRITERS.get(suffix)
    if source_type is not None and add is not None:
        add(file, make_xmp(source_type).encode())


def _add_box(file: Path, xmp: bytes) -> None:
    box = b"uuid" + XMP_BOX + xmp
    with open(file, "ab") as film:
        film.write(struct.pack(">I", 4 + len(box)) + box)


def _add_to_gif(file: Path, xmp: bytes) -> None:
    with open(file, "rb") as gif:
        head = gif.read(13 + 3 * 256 + _LOOP_BYTES)
    place = 13 + (3 * 2 ** (1 + (head[10] & 7)) if head[10] & 0x80 else 0)  # behind the palette
    if head.startswith(_LOOP, place):
        place += _LOOP_BYTES
    _insert(file, place, b"\x21\xff\x0bXMP DataXMP" + xmp + _GIF_END)


def _add_to_png(file: Path, xmp: bytes) -> None:
    chunk = b"iTXt" + KEY.encode() + b"\0\0\0\0\0" + xmp
    size, check = struct.pack(">I", len(chunk) - 4), struct.pack(">I", zlib.crc32(chunk))
    _insert(file, _PNG_HEAD, size + chunk + check)


def _add_to_webp(file: Path, xmp: bytes) -> None:
    with Image.open(file, formats=["WEBP"]) as image:
        (width, height), alpha = image.size, image.mode == "RGBA"
    with open(file, "rb") as webp:
        kind = webp.read(16)[12:]
    if kind != b"VP8X":  # a single frame, without the chunk that says what else there is
        sides = b"".join((side - 1).to_bytes(3, "little") for side in (width, height))
        features = bytes([_WEBP_HAS_ALPHA * alpha, 0, 0, 0])
        _insert(file, 12, b"VP8X" + struct.pack("<I", 10) + features + sides)
    with open(file, "r+b") as webp:
        webp.seek(20)
        [flags] = webp.read(1)
        webp.seek(20)
        webp.write(bytes([flags | _WEBP_HAS_XMP]))
        webp.seek(0, os.SEEK_END)
        webp.write(b"XMP " + struct.pack("<I", len(xmp)) + xmp + b"\0" * (len(xmp) % 2))
        size = webp.tell() - 8
        webp.seek(4)
        webp.write(struct.pack("<I", size))


def _insert(file: Path, place: int, data: bytes) -> None:
    """Writes a file again with `data` between its first `place` bytes and the others."""
    temporary = temporary_path(file)
    try:
        with open(file, "rb") as before, open(temporary, "wb") as after:
            after.write(before.read(place) + data)
            shutil.copyfileobj(before, after, 2**20)
        os.replace(temporary, file)
    finally:
        temporary.unlink(missing_ok=True)


_WRITERS = {
    **dict.fromkeys((".mp4", ".m4v", ".mov"), _add_box),
    **dict.fromkeys((".png", ".apng"), _add_to_png),
    ".gif": _add_to_gif,
    ".webp": _add_to_webp,
}
