"""Images to train on, wherever they lie: a folder, an archive, a data set on the Hub."""

import os
import re
import warnings
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from tqdm import tqdm

from toonify import images
from training.core.run_info import is_hub_dataset
from training.data import hub as hub_datasets
from training.data import index
from training.data.images import ARCHIVES, Picture, archive_pictures, folder_pictures, shown, spread

MIN_IMAGES = 50  # for training; with fewer, a warning
EXPECTED = "a folder, a .zip or .tar(.gz) archive, or a Hub data set owner/name"
SHARDS = re.compile(r"(.*)\{(\d+)\.\.(\d+)\}(.*)")


def find_pictures(source: str | Path, what: str, limit: int = 0) -> tuple[list[Picture], list[str]]:
    """The images of a source, unread, in the order of their paths; and why others are left out.

    Arguments and errors are those of `open_pictures`, but that an empty source is no error.
    `limit` bounds what is fetched of a data set on the Hub.
    """
    path = Path(source).expanduser()
    shards = shard_paths(path)
    if shards:
        found, refused = read_shards(shards)
    elif path.is_dir():
        found, refused = folder_pictures(path), []
    elif path.is_file() and path.name.lower().endswith(ARCHIVES):
        found, refused = archive_pictures(path)
    elif path.exists():
        raise ValueError(f"{source}: expected {EXPECTED} with {what}, found another kind of file")
    elif isinstance(source, str):
        if not is_hub_dataset(source):
            raise ValueError(f"{source}: expected a folder of {what}, and it does not exist")
        found, refused = hub_datasets.hub_pictures(source, what, limit)
    else:
        raise ValueError(f"{source}: expected a folder of {what}, and it does not exist")
    names = images.name_uniquely(picture.name for picture in found)
    return [replace(p, name=name) for p, name in zip(found, names, strict=True)], refused


def shard_paths(path: Path) -> list[Path]:
    """The archives of a data set in shards, as WebDataset names them; empty for other paths.

    faces-{0000..0099}.tar stands for a hundred archives, and a folder that holds nothing but
    several .tar archives for all of them.

    Raises:
        ValueError: one of the numbered archives is missing.
    """
    if match := SHARDS.fullmatch(path.name):
        before, first, last, after = match.groups()
        numbers = range(int(first), int(last) + 1)
        names = [f"{before}{number:0{len(first)}d}{after}" for number in numbers]
        missing = [name for name in names if not (path.parent / name).is_file()]
        if missing:
            raise ValueError(f"{path}: {len(missing)} of {len(names)} are missing ({missing[0]})")
        return [path.parent / name for name in names]
    files = sorted(path.iterdir()) if path.is_dir() else []
    shards = [file for file in files if file.name.lower().endswith(".tar")]
    others = {".json", ".txt", ".md", ".csv"}  # what people lay beside shards
    alone = all(file in shards or file.suffix.lower() in others for file in files)
    return shards if alone and len(shards) > 1 else []


def read_shards(shards: list[Path]) -> tuple[list[Picture], list[str]]:
    """The images of several archives, named SHARD/NAME, and why others are left out."""
    found, refused = [], []
    for shard in tqdm(shards, "reading shards", unit="shard", leave=False, delay=2):
        inside, faults = archive_pictures(shard)
        stem = shard.name.partition(".")[0]
        found += [replace(picture, name=f"{stem}/{picture.name}") for picture in inside]
        refused += faults
    return found, refused


def photos_by_name(sources: Iterable[str | Path]) -> dict[str, Picture]:
    """Photos of several sources and single files, unread, by flat names, sorted.

    A name is the path below its source, without suffix, its parts joined by `_`; -2, -3 is added
    to names that are taken.

    Raises:
        ValueError: a source is not there or holds no image.
    """
    all_pictures: list[Picture] = []
    for source in sources:
        path = Path(source).expanduser()
        if path.is_file() and path.suffix.lower() in images.EXTENSIONS:
            pictures = [Picture(path.stem, path)]
        else:
            pictures, _ = find_pictures(source, "photos")
        if not pictures:
            raise ValueError(f"{source}: no photos in it{_other_files(source)}")
        all_pictures += pictures
    names = images.name_uniquely(picture.name.replace("/", "_") for picture in all_pictures)
    return dict(sorted(zip(names, all_pictures, strict=True)))


def match_by_name(pictures: list[Picture]):
    """Returns match(other): the image with its name, else the only one with its stem, or None."""
    by_name = {p.name: p for p in pictures}
    by_stem: dict[str, list[Picture]] = {}
    for picture in pictures:
        by_stem.setdefault(picture.stem, []).append(picture)

    def match(other: Picture) -> Picture | None:
        alike = by_stem.get(other.stem, [])
        return by_name.get(other.name) or (alike[0] if len(alike) == 1 else None)

    return match


def open_pictures(
    source: str | Path, what: str, *, smallest: int = 64, limit: int = 0
) -> list[Picture]:
    """The readable images of a source, in the order of their paths.

    Every image is decoded once to see that it is whole, and noted in an index; later starts read
    the index. Those that are unreadable or smaller than
    `smallest` px are left out, and one warning says so. Of images with one name but for the suffix,
    the second is called NAME-2.

    Args:
        source: a folder (with folders in it, at will); a .zip, .tar, .tar.gz or .tgz file; several
            as shards, like faces-{0000..0099}.tar; or, as text when there is no such path, a data
            set on the Hub: "owner/name", with "@revision"
            and "#column" at will (see training.data.hub).
        what: what to call the images in messages, in the plural.
        smallest: the least short side, in px.
        limit: at most this many images, spread evenly over the source; 0 is all of them.

    Raises:
        ValueError: there is no such source, it is damaged, or no image in it can be used.
        PermissionError: the data set needs a login.
        ConnectionError: the data set is not on this machine and the Hub is away.
    """
    found, refused = find_pictures(source, what, limit)
    whole, damaged = _checked(spread(found, limit), what, smallest)
    refused += damaged
    if refused:
        reasons = "; ".join(refused[:5]) + (" ..." if len(refused) > 5 else "")
        left_out = (
            f"{len(refused)} of {len(whole) + len(refused)} {what} left out "
            f"(unreadable or smaller than {smallest} px): {reasons}"
        )
    if not whole:
        raise ValueError(
            f"{source}: no {what} of at least {smallest} px in it; expected JPEG, PNG, WebP, BMP, "
            f"TIFF, GIF or AVIF files{_other_files(source)}" + (f". {left_out}" if refused else "")
        )
    if refused:
        warnings.warn(f"{source}: {left_out}", stacklevel=2)
    return whole


def _checked(pictures: list[Picture], what: str, smallest: int) -> tuple[list[Picture], list[str]]:
    """The images that can be decoded and are large enough, with their sizes; and why not.

    What is in the index is not decoded again.
    """
    facts: dict[Picture, index.Facts | str] = dict(index.read(pictures))
    new = [picture for picture in pictures if picture not in facts]
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        answers = pool.map(_look_at, new)
        bar = tqdm(answers, f"looking at {what}", len(new), leave=False, delay=2)
        found = dict(zip(new, bar, strict=True))
    index.write({picture: fact for picture, fact in found.items() if not isinstance(fact, str)})
    facts |= found
    whole, refused = [], []
    for picture in pictures:
        fact = facts[picture]
        if isinstance(fact, str):
            refused.append(fact)
        elif min(fact[:2]) < smallest:
            refused.append(f"{shown(picture)} is {fact[0]}x{fact[1]}")
        else:
            whole.append(replace(picture, size=fact[:2], transparent=fact[2]))
    return whole, refused


def _look_at(picture: Picture) -> index.Facts | str:
    """Decodes an image to learn its size and transparency; why it cannot be decoded, if so."""
    try:
        image = picture.load(alpha=True)
    except images.ImageError as error:
        return str(error)
    return image.width, image.height, image.mode == "RGBA"


def _other_files(source: str | Path) -> str:
    """What a folder without images holds instead, for the message."""
    path = Path(source).expanduser()
    files = sorted(p for p in path.rglob("*") if p.is_file())[:1000] if path.is_dir() else []
    archives = [p for p in files if p.name.lower().endswith(ARCHIVES)]
    if archives:
        return f"; there is {archives[0].name} in it: name that file itself"
    kinds = sorted({p.suffix.lower() for p in files if p.suffix} - set(images.EXTENSIONS))
    return f"; found only {', '.join(kinds[:5])} files" if kinds else ""
