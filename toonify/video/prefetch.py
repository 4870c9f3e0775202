"""Lets one step of the work run ahead of the next, on a thread of its own."""

import queue
import threading
from collections.abc import Generator, Iterable
from typing import TypeVar

Item = TypeVar("Item")
_WAIT_S = 0.1  # how long a step that is to stop may still wait for room


def ahead(items: Iterable[Item], depth: int = 2) -> Generator[Item, None, None]:
    """The same items in order, made by another thread, at most `depth` before they are wanted.

    An error of that thread is raised here, in its place. When this iterator is closed, the thread
    ends after the item it is at, and what it iterates over is closed too; closing waits for that.
    """
    waiting: queue.Queue = queue.Queue(depth)
    stop = threading.Event()

    def put(message) -> None:
        while not stop.is_set():
            try:
                return waiting.put(message, timeout=_WAIT_S)
            except queue.Full:
                continue

    def work() -> None:
        source = iter(items)
        try:
            for item in source:
                put((item, None))
                if stop.is_set():
                    break
            put((None, StopIteration()))
        except BaseException as error:
            put((None, error))
        finally:
            if hasattr(source, "close"):
                source.close()

    thread = threading.Thread(target=work, name="ahead", daemon=True)
    thread.start()
    try:
        while True:
            item, error = waiting.get()
            if isinstance(error, StopIteration):
                return
            if error is not None:
                raise error
            yield item
            del item  # frames are large: none is held while the next is waited for
    finally:
        stop.set()
        thread.join()
