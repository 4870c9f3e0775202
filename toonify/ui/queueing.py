"""Who is served when: each visitor has a share of the queue, and drawings take turns."""

import contextlib
import dataclasses
import itertools
import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from gradio import queueing, route_utils
from gradio.blocks import BlockFunction
from gradio.server_messages import ProcessCompletedMessage
from gradio.utils import error_payload
from typing_extensions import override

from toonify.ui import i18n, visitors
from toonify.ui.inputs import UserError

LOG = logging.getLogger("toonify.ui")


@dataclasses.dataclass(frozen=True)
class Share:
    """How many requests of a lane may run or wait: of one visitor, and of all."""

    own: int
    all: int


# By gradio's concurrency ID. Other lanes are light.
SHARES = {
    "model": Share(4, 20),
    "videos": Share(2, 8),
    "loops": Share(2, 8),
    "faces": Share(12, 60),
    "live": Share(2, 8),
}
LIGHT_SHARE = Share(24, 200)


class FairQueue(queueing.Queue):
    """Gradio's queue with a share for each visitor, in which visitors take turns.

    A request beyond the share is answered with a sentence at once. Requests of one lane do not
    take the places of another.
    """

    def __init__(self, **options: Any):
        super().__init__(**options)
        self._served: dict[str, int] = {}  # visitor -> when it was last its turn
        self._clock = itertools.count(1)

    def count(self, lane: str, visitor: str | None = None) -> int:
        """Count the requests of a lane that run or wait: a visitor's, or all."""
        events = list(self.event_ids_to_events.values())
        return sum(
            event.concurrency_id == lane
            and visitor in (None, visitors.identify(event.request.scope))
            for event in events
        )

    def find_refusal(self, lane: str, visitor: str) -> str:
        """Return why a visitor's next request is refused, or ""."""
        share = SHARES.get(lane, LIGHT_SHARE)
        own = self.count(lane, visitor)
        if own >= share.own:
            return (
                f"You have {own} requests in progress or waiting, which is your share. Try again"
                " when one of them is done."
            )
        if self.count(lane) >= share.all:
            return (
                f"{share.all} requests are in progress or waiting, which is all that this server"
                " can handle. Try again in a minute or two."
            )
        return ""

    @override
    async def push(self, body, request, username):
        try:
            fn = route_utils.get_fn(self.blocks, None, body)
        except (KeyError, ValueError):
            return False, "There is no function of that number.", "error"
        refusal = self.find_refusal(str(fn.concurrency_id), visitors.identify(request.scope))
        if refusal:
            language = i18n.choose_language(request.headers.get("accept-language"))
            with i18n.use_language(language):
                error = UserError(refusal)
            return True, await self._refuse(body, fn, request, username, error), "success"
        return await super().push(body, request, username)

    async def _refuse(self, body, fn: BlockFunction, request, username, error: UserError) -> str:
        """Answer a request with an error, as if it had run. Returns its ID."""
        event = queueing.Event(body.session_hash, fn, request, username)
        async with self.pending_message_lock:
            if event.session_hash not in self.pending_messages_per_session:
                self.pending_messages_per_session[event.session_hash] = queueing.AsyncQueue()
            self.pending_event_ids_session.setdefault(event.session_hash, set()).add(event._id)
        output = error_payload(error, False)
        self.send_message(event, ProcessCompletedMessage(output=output, success=False))
        LOG.info(json.dumps({"event": "refused", "function": fn.api_name or "page"}))
        return event._id

    @override
    def get_events(self):
        for lane in self.event_queue_per_concurrency_id.values():
            if len(lane.queue) > 1:  # a stable sort: each visitor's own requests keep their order
                lane.queue.sort(key=lambda event: self._served.get(find_visitor(event), 0))
        found = super().get_events()
        if found is not None:
            if len(self._served) >= visitors.MAX_VISITORS:
                self._served.clear()
            self._served[find_visitor(found[0][0])] = next(self._clock)
        return found

    @override
    async def process_events(self, events, batch, begin_time, fn):
        waited = time.monotonic() - events[0].enqueue_time
        start = time.monotonic()
        await super().process_events(events, batch, begin_time, fn)
        status = (self.event_analytics.get(events[0]._id) or {}).get("status")
        LOG.info(
            json.dumps(
                {
                    "event": "done",
                    "function": fn.api_name or "page",
                    "status": status,
                    "waited_s": round(waited, 3),
                    "took_s": round(time.monotonic() - start, 3),
                }
            )
        )


def find_visitor(event: queueing.Event) -> str:
    """Return the visitor who sent a request."""
    return visitors.identify(event.request.scope)


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
