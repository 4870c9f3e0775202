"""Many photos, overlapped: while one is drawn, another is opened, searched for faces or written.

Each photo goes its whole way in one thread, and there is a thread more than the processor has
cores for drawing. Steps that use a single core, and those that wait for the detector or the disk,
then leave none idle.
"""

import collections
import itertools
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import torch

from toonify import images
from toonify.engines import cores

MAX_WORKERS = 8  # beyond these the detector, which looks at one photo at a time, has no time left
AHEAD = 2  # photos begun or drawn and not yet asked for, per worker
HELD_PIXELS = images.MAX_PIXELS  # of those photos together: many take no more memory than one may
UNKNOWN_PIXELS = 12_000_000  # a photo's, where they are unknown until it is opened

# What may be wrong with one photo, or with memory and disk while it is drawn. Torch and OpenVINO
# say that they run out of memory by RuntimeError.
FAILURES = (images.ImageError, OSError, MemoryError, RuntimeError)


@dataclass(frozen=True)
class Outcome:
    """What became of one photo: a `result`, or the `error` that came instead."""

    photo: Any
    result: Any = None
    error: Exception | None = None


def draw_all(
    draw: Callable,
    photos: Iterable,
    finish: Callable | None = None,
    *,
    threads: int | None = 1,
    stop: threading.Event | None = None,
) -> Iterator[Outcome]:
    """Draws photos, several at once, and yields their outcomes in the order of `photos`.

    `draw(photo)` draws one; it is called from several threads. `finish(photo, toon)` is called
    there too, and what it returns takes the toon's place: to write a file there is to overlap that
    as well, and keeps no image in memory. An error of `FAILURES` is the outcome of its photo;
    any other ends all.

    At most `AHEAD` photos per worker are begun and not yet asked for, with `HELD_PIXELS` together
    or one alone. `photos` is read as far. `threads` is how many cores torch may use for each photo,
    None to leave that as it is. `stop` is set when no more outcome is wanted: after an error, an
    interruption, or when the iterator is closed. Nothing is finished from then on.
    """
    stop = stop or threading.Event()
    workers = min(cores(), MAX_WORKERS) + 1
    before = torch.get_num_threads()
    # Torch counts its threads for each thread that calls it.
    own: dict[str, Any] = {}
    if threads is not None:
        own = {"initializer": torch.set_num_threads, "initargs": (threads,)}
    pool = ThreadPoolExecutor(workers, "photo", **own)
    begun: collections.deque = collections.deque()
    held = 0
    try:
        for photo in photos:
            pixels = images.count_pixels(photo) or UNKNOWN_PIXELS
            while begun and (len(begun) >= AHEAD * workers or held + pixels > HELD_PIXELS):
                outcome, freed = begun.popleft()
                yield outcome.result()
                held -= freed
            begun.append((pool.submit(draw_one, draw, photo, finish, stop), pixels))
            held += pixels
        while begun:
            yield begun.popleft()[0].result()
    finally:
        stop.set()
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(before)  # that of threads to come, which the workers' calls changed


def draw_one(
    draw: Callable, photo, finish: Callable | None, stop: threading.Event
) -> Outcome | None:
    """The outcome of one photo; None if the caller has stopped."""
    try:
        toon = draw(photo)
        if stop.is_set():
            return None
        return Outcome(photo, toon if finish is None else finish(photo, toon))
    except FAILURES as error:
        return Outcome(photo, error=error)


def one_or_many(photos: Iterable) -> tuple[Iterator, bool]:
    """The photos again, and whether there are several; reads no more than two of them."""
    rest = iter(photos)
    first = list(itertools.islice(rest, 2))
    return itertools.chain(first, rest), len(first) > 1
