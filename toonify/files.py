"""Atomic writing under a temporary name, and the files that come with the package."""

import collections
import contextlib
import ctypes
import hashlib
import importlib.resources
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path

PACKAGE = Path(str(importlib.resources.files("toonify")))
MAX_SUFFIX = 32  # bytes of a suffix that a temporary name repeats
AT_FDCWD, RENAME_EXCHANGE = -100, 2  # of Linux: fcntl.h, stdio.h


def find_project() -> Path:
    """The folder with `app.py`, `hub_cards/`, `README.md`, `requirements.txt` and the licenses.

    In an installed wheel that is `toonify/project`, where the build copies them; in a checkout it
    is the top of the repository.
    """
    packaged = PACKAGE / "project"
    return packaged if packaged.is_dir() else PACKAGE.parent


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike, keep_suffix: bool = False) -> Iterator[Path]:
    """Yields a temporary path beside `path`, and renames it to `path` when the block succeeds.

    If the block fails, an existing file stays as it was and nothing is left beside it. The
    temporary file is empty at first. What is written reaches the disk before the rename. The file
    gets the permissions of any new file, whichever library wrote it.

        with atomic_write("settings.json") as temporary:
            temporary.write_text("{}")

    Args:
        path: the file to write; missing parent folders are created.
        keep_suffix: the temporary name ends in the suffix of `path`, for writers that choose the
            format by it, instead of `.part`.

    Raises:
        OSError: the file cannot be written, as on a full disk.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_path(path, keep_suffix)
    temporary.touch(exist_ok=False)
    try:
        mode = temporary.stat().st_mode
        yield temporary
        temporary.chmod(mode)  # libraries that write through a file of their own make it private
        replace_file(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def replace_file(finished: Path, path: Path) -> None:
    """Renames a finished file to `path`, on the same disk; what it holds reaches the disk first."""
    _sync_file(finished)
    os.replace(finished, path)
    _sync_folder(path.parent)


@contextlib.contextmanager
def atomic_folder(folder: str | os.PathLike) -> Iterator[Path]:
    """Yields a temporary folder beside `folder`, and renames it when the block succeeds.

    An existing folder is replaced as a whole. If the block fails, it stays as it was. All files in
    the new folder reach the disk before the rename and get the permissions of any new file.

    Args:
        folder: the folder to write; missing parent folders are created.

    Raises:
        OSError: the folder cannot be written, as on a full disk.
    """
    folder = Path(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_path(folder)
    temporary.mkdir()
    try:
        yield temporary
        replace_folder(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def replace_folder(finished: Path, folder: Path) -> None:
    """Renames a finished folder to `folder`, on the same disk, as `atomic_folder` describes."""
    mode = finished.stat().st_mode & 0o666
    for path in finished.rglob("*"):
        if path.is_file():
            path.chmod(mode)
            _sync_file(path)
    if not folder.exists():
        os.replace(finished, folder)
    elif _exchange(finished, folder):
        shutil.rmtree(finished, ignore_errors=True)  # now the old one
    else:
        replaced = temporary_path(folder)
        os.replace(folder, replaced)
        try:
            os.replace(finished, folder)
        except OSError:
            os.replace(replaced, folder)
            raise
        shutil.rmtree(replaced, ignore_errors=True)
    _sync_folder(folder.parent)


def move_files(finished: Path, folder: Path) -> None:
    """Moves the files of a folder into another one on the same disk, each in one step.

    Other files there stay. What is moved reaches the disk first.
    """
    mode = finished.stat().st_mode & 0o666
    for path in sorted(finished.iterdir()):
        path.chmod(mode)
        replace_file(path, folder / path.name)


def temporary_path(path: Path, keep_suffix: bool = False) -> Path:
    """A hidden name beside `path`, new each time, that ends in `.part` or its suffix."""
    short = len(os.fsencode(path.suffix)) <= MAX_SUFFIX
    suffix = path.suffix if keep_suffix and short else ""
    return path.with_name(f"{_prefix(path)}{uuid.uuid4().hex[:8]}.part{suffix}")


def discard_unfinished(paths: Iterable[Path]) -> None:
    """Removes the temporary files and folders that a killed process left beside these paths.

    No other process may be writing to these paths. Temporary files of other paths stay.
    """
    prefixes = collections.defaultdict(set)
    for path in paths:
        prefixes[path.parent].add(_prefix(path))
    for folder, expected in prefixes.items():
        if not folder.is_dir():
            continue
        for left in folder.glob(".*.part*"):
            if f"{left.name.partition('-')[0]}-" in expected:
                if left.is_dir():
                    shutil.rmtree(left, ignore_errors=True)
                else:
                    left.unlink(missing_ok=True)


def _prefix(path: Path) -> str:
    """How the temporary names of `path` begin: a hash, since its name could make them too long."""
    return f".{hashlib.blake2b(os.fsencode(path.name), digest_size=12).hexdigest()}-"


def _exchange(first: Path, second: Path) -> bool:
    """Swaps two names in one step, so that none is missing meanwhile. False where it cannot."""
    try:
        swap = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError, TypeError):  # not Linux, or a C library without it
        return False
    swap.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)
    names = os.fsencode(first), os.fsencode(second)
    return swap(AT_FDCWD, names[0], AT_FDCWD, names[1], RENAME_EXCHANGE) == 0


def _sync_file(path: Path) -> None:
    with open(path, "r+b") as file:
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    """Makes a rename durable; some network file systems and Windows cannot sync a folder."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
