"""Checks bundled weights against `toonify/weights/SHA256SUMS`, the list of their hashes.

`sha256sum --check SHA256SUMS` in that folder does the same. `python -m release.checksums` writes
the list.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from toonify.hub import style

LIST = "SHA256SUMS"
LISTED = (".safetensors", ".xml", ".bin", style.CONFIG, style.STYLE)  # endings of the names in it


def check_bundled(*files: Path) -> None:
    """Checks files that are about to be opened; those of other folders have no listed hash.

    Args:
        files: files of a model's folder. One of a bundled folder that is not in the list, such as
            a new style's, is not checked.

    Raises:
        ValueError: a file is not the one that was published; the message names it.
    """
    bundled = style.BUNDLED.resolve()
    inside = [path for file in files if (path := file.resolve()).is_relative_to(bundled)]
    expected = read_list(bundled) if inside else {}
    for path in inside:
        name = path.relative_to(bundled).as_posix()
        if name in expected and (found := compute(path)) != expected[name]:
            raise ValueError(
                f"{path}: its sha256 is {found}, expected {expected[name]}: the file is damaged or"
                f" was changed. Install Toonify again; after replacing it on purpose, update {LIST}"
                " with `python -m release.checksums`"
            )


def find_changes(folder: Path) -> dict[str, str]:
    """Compares a folder of styles with its list.

    Args:
        folder: the folder with the list.

    Returns:
        Name of a file -> "changed", "missing" or "not listed"; empty if all is as listed.

    Raises:
        ValueError: the list is missing or damaged.
    """
    expected = read_list(folder)
    if not expected:
        raise ValueError(f"{folder / LIST}: expected a line with a sha256 for each file")
    found = {path.relative_to(folder).as_posix(): path for path in find_listed(folder)}
    changes = {name: "missing" for name in expected if name not in found}
    for name, path in found.items():
        if name not in expected:
            changes[name] = "not listed"
        elif compute(path) != expected[name]:
            changes[name] = "changed"
    return dict(sorted(changes.items()))


def format_list(folder: Path, files: Iterable[Path]) -> str:
    """Makes a list in the format of `sha256sum`.

    Args:
        folder: the folder that will hold the list.
        files: files in it or deeper.
    """
    names = {path.relative_to(folder).as_posix(): path for path in files}
    return "".join(f"{compute(path)}  {name}\n" for name, path in sorted(names.items()))


def find_listed(folder: Path) -> Iterator[Path]:
    """Yields the files below a folder that belong in its list."""
    for path in folder.rglob("*"):
        if path.is_file() and path.name.endswith(LISTED):
            yield path


def read_list(folder: Path) -> dict[str, str]:
    """Reads a folder's list: name -> sha256. Empty without a list; ValueError if it is damaged."""
    file = folder / LIST
    if not file.is_file():
        return {}
    expected = {}
    for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
        match = re.fullmatch(r"([0-9a-f]{64})  (\S.*)", line)
        if match is None:
            raise ValueError(f"{file}: the line {line[:80]!r} is not a sha256, two spaces, a name")
        expected[match[2]] = match[1]
    return expected


def compute(file: Path) -> str:
    """Computes a file's sha256, in hexadecimal digits."""
    with open(file, "rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
