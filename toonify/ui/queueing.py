"""One at a time, first come, first served: for drawings, each of which uses all cores."""

import contextlib
import threading
from collections.abc import Callable, Iterator

from toonify.ui.inputs import UserError


class Turns:
    """Lets threads in one by one, in the order in which they came.

    An engine's own lock, which a drawing takes for each of its parts, keeps no order.

    Args:
        limit: threads that may draw or wait; None for any number.
        full: what the next thread's `UserError` says.
    """

    def __init__(self, limit: int | None = None, full: str = ""):
        self.limit = limit
        self.full = full
        self._line: list[object] = []
        self._moved = threading.Condition()

    def _count_ahead(self, place: object) -> int:
        with self._moved:
            return self._line.index(place)

    @contextlib.contextmanager
    def wait(self, on_wait: Callable[[int], None] = lambda ahead: None) -> Iterator[None]:
        """Wait for this thread's turn, which lasts as long as the context.

        Args:
            on_wait: called twice a second with the number of threads ahead; an error that it
                raises gives up the place.

        Raises:
            UserError: too many threads draw or wait.
        """
        place = object()
        with self._moved:
            if self.limit is not None and len(self._line) >= self.limit:
                raise UserError(self.full)
            self._line.append(place)
        try:
            while ahead := self._count_ahead(place):
                on_wait(ahead)
                with self._moved:
                    self._moved.wait_for(lambda: self._line[0] is place, 0.5)
            yield
        finally:
            with self._moved:
                self._line.remove(place)
                self._moved.notify_all()
