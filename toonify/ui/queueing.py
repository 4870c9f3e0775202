"""One at a time, in the order in which they came: who draws, where drawings take all cores."""

import contextlib
import threading
from collections.abc import Callable

from toonify.ui.inputs import refusal


class Turns:
    """Lets threads in one by one, those that wait longest first: an engine's own lock, which a
    drawing takes for each of its parts, knows no order. Of more than `most` threads that draw or
    wait, the next is refused with `full`."""

    def __init__(self, most: int | None = None, full: str = ""):
        self.most = most
        self.full = full
        self._line: list[object] = []
        self._moved = threading.Condition()

    def _before(self, place: object) -> int:
        with self._moved:
            return self._line.index(place)

    @contextlib.contextmanager
    def turn(self, waiting: Callable[[int], None] = lambda before: None):
        """The turn of this thread, when it comes. Until then `waiting` is told twice a second how
        many are before it; an error that it raises gives the place up."""
        place = object()
        with self._moved:
            if self.most is not None and len(self._line) >= self.most:
                raise refusal(self.full)
            self._line.append(place)
        try:
            while before := self._before(place):
                waiting(before)
                with self._moved:
                    self._moved.wait_for(lambda: self._line[0] is place, 0.5)
            yield
        finally:
            with self._moved:
                self._line.remove(place)
                self._moved.notify_all()
