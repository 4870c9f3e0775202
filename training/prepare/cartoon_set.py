"""Reads Google's Cartoon Set as it is distributed: images and the attributes beside them."""

import csv
import io
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from tqdm import tqdm

from training.data.images import ZIPS, Picture
from training.data.sources import find_pictures

LICENSE = {
    "title": "Cartoon Set",
    "creator": "Google LLC; drawn by Shiraz Fuman",
    "source": "https://google.github.io/cartoonset/",
    "license": "CC BY 4.0, https://creativecommons.org/licenses/by/4.0/",
}
_LARGEST_ROWS = 2**16  # bytes of an image's attributes; genuine ones have about 400


def read_cartoon_set(source: str | Path) -> tuple[list[Picture], dict[str, list[int]]]:
    """Images of Google's Cartoon Set, unread, and their attributes: name -> index of a variant.

    `source`: a folder, zip or tar(.gz) with `csX.png` and, beside each, `csX.csv`, whose rows are
    name, index of the variant, number of variants. `Picture.load` lays the image over white.

    Raises:
        ValueError: it is not there, holds no such images, or attributes are missing or broken.
    """
    found, refused = find_pictures(source, "Cartoon Set images")
    if refused:
        raise ValueError(f"{source}: {refused[0]}")
    pictures = [picture for picture in found if picture.stem.startswith("cs")]
    if not pictures:
        raise ValueError(f"{source}: expected images called cs*.png, found none")
    read, table, first = _reader_beside(pictures), {}, None
    for picture in tqdm(pictures, "reading attributes", unit="picture", leave=False, delay=2):
        rows = _attribute_rows(read(picture), f"{source}: {picture.stem}.csv")
        kinds = {name: variants for name, (_, variants) in rows.items()}
        first = first or kinds
        if kinds != first:
            raise ValueError(
                f"{source}: {picture.stem}.csv has other attributes or numbers of variants than "
                f"{pictures[0].stem}.csv"
            )
        for name in first:
            table.setdefault(name, []).append(rows[name][0])
    return pictures, table


def _reader_beside(pictures: list[Picture]) -> Callable[[Picture], bytes]:
    """A function that gives the CSV file beside an image, empty if there is none."""
    file = pictures[0].file
    if pictures[0].length >= 0:  # a tar: the image knows only where it lies itself
        with tarfile.open(file, "r:") as archive:
            places = {
                "/".join(part for part in member.name.split("/") if part not in ("", ".", "..")): (
                    member.offset_data,
                    member.size,
                )
                for member in archive
                if member.isreg() and member.name.endswith(".csv")
            }

        def read(picture: Picture) -> bytes:
            start, length = places.get(f"{picture.name}.csv", (0, 0))
            return replace(picture, start=start, length=length).read(_LARGEST_ROWS)

    elif file.name.lower().endswith(ZIPS):

        def read(picture: Picture) -> bytes:
            beside = picture.member[: picture.member.rindex(".")] + ".csv"
            return replace(picture, member=beside).read(_LARGEST_ROWS)

    else:

        def read(picture: Picture) -> bytes:
            beside = picture.file.with_suffix(".csv")
            return replace(picture, file=beside).read(_LARGEST_ROWS)

    return read


def _attribute_rows(data: bytes, where: str) -> dict[str, tuple[int, int]]:
    """Name -> (index, number of variants)."""
    found = {}
    try:
        text = data.decode("utf-8-sig")
        for row in csv.reader(io.StringIO(text), skipinitialspace=True, strict=True):
            if row:
                name, index, variants = (cell.strip() for cell in row)
                found[name] = int(index), int(variants)
                if not name or not 0 <= int(index) < int(variants):
                    raise ValueError
    except (ValueError, csv.Error):
        found = {}
    if not found:
        raise ValueError(
            f"{where} is missing or broken; expected rows of name, index of the variant, number "
            'of variants, as in "face_shape", 4, 7'
        )
    return found
