"""Tells visitors apart by their address, which stays in memory, and counts what they send."""

import functools
import ipaddress
import threading
import time
from collections.abc import Mapping
from typing import Any

MAX_VISITORS = 10_000  # counted at a time


@functools.lru_cache(1024)
def _find_network(host: str) -> str:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if address.version == 4:
        return host
    return str(ipaddress.ip_network((address, 64), strict=False))  # one connection's addresses


def identify(scope: Mapping[str, Any]) -> str:
    """Return the visitor of a request.

    Args:
        scope: of the ASGI request. Behind a proxy, its client is the visitor if uvicorn trusts the
            proxy: see `FORWARDED_ALLOW_IPS`.

    Returns:
        The address; for IPv6 its network of 64 bits.
    """
    client = scope.get("client")
    return _find_network(str(client[0])) if client else ""


class Allowance:
    """Limits how much a visitor sends within a window of time.

    Args:
        limit: the most within a window.
        window_s: the length of a window, seconds.
    """

    def __init__(self, limit: float, window_s: float = 600):
        self.limit = limit
        self.window_s = window_s
        self._used: dict[str, tuple[float, float]] = {}  # visitor -> window's start, amount
        self._lock = threading.Lock()

    def take(self, visitor: str, amount: float = 1) -> bool:
        """Count an amount. Returns False, and counts nothing, if it would exceed the limit."""
        now = time.monotonic()
        with self._lock:
            begun, used = self._used.get(visitor, (now, 0.0))
            if now - begun > self.window_s:
                begun, used = now, 0.0
            if used + amount > self.limit:
                return False
            if visitor not in self._used and len(self._used) >= MAX_VISITORS:
                self._drop_oldest(now)
            self._used[visitor] = begun, used + amount
            return True

    def _drop_oldest(self, now: float) -> None:
        fresh = {v: use for v, use in self._used.items() if now - use[0] <= self.window_s}
        if len(fresh) >= MAX_VISITORS:
            del fresh[min(fresh, key=lambda visitor: fresh[visitor][0])]
        self._used = fresh


class Places:
    """Limits how many things of a visitor are in progress at a time.

    Args:
        limit: the most at a time.
    """

    def __init__(self, limit: int):
        self.limit = limit
        self._taken: dict[str, int] = {}
        self._lock = threading.Lock()

    def enter(self, visitor: str) -> bool:
        """Take a place. Returns whether there was one."""
        with self._lock:
            taken = self._taken.get(visitor, 0)
            if taken >= self.limit:
                return False
            self._taken[visitor] = taken + 1
            return True

    def leave(self, visitor: str) -> None:
        """Give a place back."""
        with self._lock:
            self._taken[visitor] -= 1
            if not self._taken[visitor]:
                del self._taken[visitor]
