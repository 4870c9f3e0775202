"""Whether the app is well: for the container's health check, and for its operator."""

import contextlib
import ctypes
import gc
import resource
import sys
import time
from pathlib import Path
from typing import Any

from starlette.responses import JSONResponse
from starlette.types import Scope

from toonify.ui.queueing import SHARES


def answer(scope: Scope) -> JSONResponse:
    """Answer GET /health: 200 once the app is ready, else 503."""
    page = scope["app"].get_blocks()
    report = describe(page)
    return JSONResponse(report, 200 if report["ready"] else 503, {"cache-control": "no-store"})


def describe(page: Any) -> dict[str, Any]:
    """Describe the state of the page's server: nothing in it is of a visitor."""
    cleaner, queue = page.cleaner, page._queue
    usage = cleaner.count()
    ago = None if cleaner.last_run is None else round(time.time() - cleaner.last_run)
    late = ago is not None and ago > 3 * cleaner.every_s
    return {
        "ready": page.ready.is_set() and not late,
        "queue": {lane: queue.count(lane) for lane in SHARES},
        "memory_mb": {"used": measure_memory() >> 20, "available": measure_available() >> 20},
        "disk_mb": {"free": cleaner.free >> 20, "visitors": usage.size >> 20},
        "cleaner": {"last_run_s_ago": ago, "deleted": cleaner.deleted, "files": usage.files},
    }


def measure_memory() -> int:
    """Return the memory that this process uses, bytes; where the system does not say, its peak."""
    with contextlib.suppress(OSError, IndexError, ValueError):
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * resource.getpagesize()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak << 10


def release_memory() -> None:
    """Give what large requests have left back to the system.

    Parts of a refused body stay in cycles of objects, and glibc keeps what is free.
    """
    gc.collect()
    with contextlib.suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


def measure_available() -> int:
    """Return the memory that is left for processes, bytes; 0 where the system does not say."""
    with contextlib.suppress(OSError, ValueError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) << 10
    return 0
