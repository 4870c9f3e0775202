"""Reads the color codes of a file: PNG's cICP chunk, and nclx in AVIF and HEIF.

They name primaries and transfer function by ITU-T H.273 where other files carry an ICC profile.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

_PNG = b"\x89PNG\r\n\x1a\n"
_MAX_PARTS = 10_000  # chunks, boxes and items that are looked at

Box = tuple[bytes, int, int]  # kind, and where its content begins and ends


class ColorCodes(NamedTuple):
    """Primaries and transfer function by H.273, and whether the pixels use their full range."""

    primaries: int
    transfer: int
    full_range: bool = True


def read_color_codes(data: bytes) -> ColorCodes | None:
    """The codes that count for an image; None if it has none, or if its ICC profile goes first.

    The cICP chunk of a PNG goes before its profile, and the profile of an AVIF or HEIF before
    nclx. The pixels of the latter two are decoded to their full range.

    Args:
        data: a whole file.
    """
    try:
        if data.startswith(_PNG):
            return _read_png(data)
        return _read_heif(data) if data[4:8] == b"ftyp" else None
    except (struct.error, IndexError):  # damaged: what decodes it says so
        return None


def _read_png(data: bytes) -> ColorCodes | None:
    at = len(_PNG)
    for _ in range(_MAX_PARTS):
        length, kind = struct.unpack_from(">I4s", data, at)
        if kind == b"IDAT":
            break
        if kind == b"cICP":
            primaries, transfer, matrix, full = struct.unpack_from(">4B", data, at + 8)
            # RGB, matrix 0, is all that a PNG has.
            return ColorCodes(primaries, transfer, full == 1) if matrix == 0 else None
        at += 12 + length
    return None


def _read_heif(data: bytes) -> ColorCodes | None:
    """The codes of the primary image, or of its first tile that has any."""
    for _, start, end in _find(data, b"meta", 0, len(data)):
        boxes = list(_boxes(data, start + 4, end))
        properties: list[Box] = []
        owned: dict[int, list[int]] = {}
        for _, *place in (box for box in boxes if box[0] == b"iprp"):
            for _, *inner in _find(data, b"ipco", *place):
                properties += _boxes(data, *inner)
            for _, at, _ in _find(data, b"ipma", *place):
                owned |= _read_owned(data, at)
        for item in _list_items(data, boxes):
            numbers = (i for i in owned.get(item, ()) if 0 < i <= len(properties))
            colors = [box for box in (properties[i - 1] for i in numbers) if box[0] == b"colr"]
            if any(data[at : at + 4] != b"nclx" for _, at, _ in colors):
                return None  # an ICC profile
            for _, at, _ in colors:
                return ColorCodes(*struct.unpack_from(">HH", data, at + 4))
    return None


def _list_items(data: bytes, boxes: list[Box]) -> list[int]:
    """The primary image and the images that it is put together from, by `pitm` and `iref`."""
    items: list[int] = []
    for _, at, _ in (box for box in boxes if box[0] == b"pitm"):
        items += struct.unpack_from(">H" if data[at] == 0 else ">I", data, at + 4)
    for _, at, end in (box for box in boxes if box[0] == b"iref"):
        form, size = ("H", 2) if data[at] == 0 else ("I", 4)
        for _, start, _ in _find(data, b"dimg", at + 4, end):
            whole, count = struct.unpack_from(f">{form}H", data, start)
            if whole in items[:1]:
                count = min(count, _MAX_PARTS)
                items += struct.unpack_from(f">{count}{form}", data, start + size + 2)
    return items


def _read_owned(data: bytes, at: int) -> dict[int, list[int]]:
    """Item -> numbers of its properties, from 1, of an `ipma` box."""
    version, flags, count = data[at], data[at + 3], struct.unpack_from(">I", data, at + 4)[0]
    item_form, item_size = (">HB", 3) if version == 0 else (">IB", 5)
    form, size, mask = ("H", 2, 0x7FFF) if flags & 1 else ("B", 1, 0x7F)
    owned = {}
    at += 8
    for _ in range(min(count, _MAX_PARTS)):
        item, length = struct.unpack_from(item_form, data, at)
        numbers = struct.unpack_from(f">{length}{form}", data, at + item_size)
        owned[item] = [number & mask for number in numbers]
        at += item_size + length * size
    return owned


def _find(data: bytes, kind: bytes, start: int, end: int) -> list[Box]:
    return [box for box in _boxes(data, start, end) if box[0] == kind]


def _boxes(data: bytes, start: int, end: int) -> Iterator[Box]:
    """The boxes of ISO 14496-12 that lie side by side in a part of a file."""
    for _ in range(_MAX_PARTS):
        if start + 8 > end:
            return
        size, kind = struct.unpack_from(">I4s", data, start)
        head = 8
        if size == 1:
            (size,), head = struct.unpack_from(">Q", data, start + 8), 16
        elif size == 0:
            size = end - start
        if not head <= size <= end - start:
            return
        yield kind, start + head, start + size
        start += size
