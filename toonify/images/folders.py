"""Which files of a folder are images: one rule for the command line, training and preparation."""

from __future__ import annotations

import itertools
import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from toonify.images.formats import EXTENSIONS

# Folders that macOS, network drives, Windows and photo managers add, with thumbnails and deleted
# files.
GENERATED = {
    *("__macosx", "@eadir", "@__thumb", "@tmp", "#recycle", "@recycle", "$recycle.bin"),
    *("thumbnails", "thumbs", "_thumbs", "system volume information", "lost+found"),
    *("ipod photo cache", "recycler"),
}
PREVIEWS = (".lrdata",)  # ends of the folders of Lightroom's
LIBRARY = ".photoslibrary"  # of Apple Photos, whose photos are in originals/


@dataclass(frozen=True)
class Listing:
    """The images of a folder in the order of their paths, and how many other files were left out
    for which reason."""

    paths: list[Path] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)

    def describe(self) -> str:
        """The counts in words; empty if nothing was left out."""
        return ", ".join(f"{count} {reason}" for reason, count in sorted(self.left_out.items()))


def why_left_out(path: str) -> str:
    """The reason to leave out a file of a folder, by its relative path; empty for an image."""
    parts = PurePosixPath(path).parts
    if any(part.startswith(".") for part in parts):
        return "hidden"
    folders = [part.lower() for part in parts[:-1]]
    if any(folder in GENERATED or folder.endswith(PREVIEWS) for folder in folders):
        return "generated"
    if any(a.endswith(LIBRARY) and b != "originals" for a, b in itertools.pairwise(folders)):
        return "generated"
    return "" if PurePosixPath(path).suffix.lower() in EXTENSIONS else "of other kinds"


def find_images(folder: str | os.PathLike, recursive: bool = True) -> Listing:
    """Lists the images of a folder.

    Links to folders and files are followed; a folder or file that two paths lead to is listed once.
    A link that leads nowhere is listed, so that opening it names the fault.

    Args:
        folder: an existing folder, or a link to one.
        recursive: whether folders in it are searched too; default True.

    Raises:
        OSError: the folder cannot be read.
    """
    folder = Path(folder)
    listing = Listing()
    seen: set[str] = set()

    def visit(place: Path) -> None:
        real = os.path.realpath(place)
        if real in seen:
            return
        seen.add(real)
        for path in sorted(place.iterdir(), key=lambda path: path.name):
            reason = why_left_out(path.relative_to(folder).as_posix())
            if path.is_dir():
                if recursive and reason in ("", "of other kinds"):
                    try:
                        visit(path)
                    except OSError:
                        listing.left_out["in folders that cannot be read"] += 1
                continue
            target = os.path.realpath(path)
            reason = reason or ("linked twice" if target in seen else "")
            if reason:
                listing.left_out[reason] += 1
            else:
                seen.add(target)
                listing.paths.append(path)

    visit(folder)
    listing.paths.sort()
    return listing


def name_uniquely(names: Iterable[str]) -> list[str]:
    """The names, with -2, -3 added where one was given before: case does not tell names apart.

    Example:
        >>> name_uniquely(["a", "A", "a-2", "b"])
        ['a', 'A-3', 'a-2', 'b']
    """
    names = list(names)
    natural = {name.casefold() for name in names}
    given: set[str] = set()
    results = []
    for name in names:
        result, number = name, 1
        while result.casefold() in given or (number > 1 and result.casefold() in natural):
            number += 1
            result = f"{name}-{number}"
        given.add(result.casefold())
        results.append(result)
    return results
