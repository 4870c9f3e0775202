"""An index of images that were decoded once, so that later starts need not decode them again.

It lies in the cache ($TOONIFY_CACHE, else ~/.cache/toonify). An image is known by a hash of where
it lies and of the size and time of its file, so that a changed one is looked at again.
"""

import functools
import hashlib
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from training.data.images import Picture, cache_folder

FILE = "index.sqlite"
TIMEOUT = 30.0  # seconds that one process waits for another
TABLE = (
    "CREATE TABLE IF NOT EXISTS images"
    " (key BLOB PRIMARY KEY, width INT, height INT, transparent INT)"
)
QUERY = "SELECT width, height, transparent FROM images WHERE key = ?"

Facts = tuple[int, int, bool]  # width, height, and whether some pixel is not opaque


def read(pictures: Iterable[Picture]) -> dict[Picture, Facts]:
    """What is known of images; those that are new, have changed or were damaged are left out."""
    stamp = functools.cache(_stamp)
    found: dict[Picture, Facts] = {}
    if not (cache_folder() / FILE).is_file():
        return found
    with suppress(sqlite3.Error), _opened() as index:
        for picture in pictures if index else ():
            row = index.execute(QUERY, (_key(picture, stamp),)).fetchone()
            if row:
                found[picture] = (row[0], row[1], bool(row[2]))
    return found


def write(facts: dict[Picture, Facts]) -> None:
    """Adds what was found of images; does nothing where the cache cannot be written."""
    if not facts:
        return
    stamp = functools.cache(_stamp)
    rows = [(_key(picture, stamp), *fact) for picture, fact in facts.items()]
    with suppress(sqlite3.Error), _opened() as index:
        if index:
            index.executemany("INSERT OR REPLACE INTO images VALUES (?, ?, ?, ?)", rows)


@contextmanager
def _opened() -> Iterator[sqlite3.Connection | None]:
    """The index, committed at the end; None where it cannot be opened."""
    try:
        cache_folder().mkdir(parents=True, exist_ok=True)
        index = sqlite3.connect(cache_folder() / FILE, timeout=TIMEOUT)
    except (OSError, sqlite3.Error):  # a cache that cannot be written costs time only
        yield None
        return
    with closing(index):
        try:
            index.execute(TABLE)
        except sqlite3.Error:  # read-only, or damaged
            yield None
            return
        with index:
            yield index


def _key(picture: Picture, stamp) -> bytes:
    """The hash that an image is known by."""
    place = (picture.member, picture.start, picture.length)
    return hashlib.sha256(repr((stamp(picture.file), place)).encode()).digest()[:16]


def _stamp(file: Path) -> tuple:
    """Where a file lies, and what changes when it is replaced."""
    try:
        about = file.stat()
    except OSError:
        return (str(file),)
    return str(file.resolve()), about.st_mtime_ns, about.st_size
