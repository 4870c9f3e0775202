"""Deletes what visitors leave in the folder of uploads and results, by its age."""

import contextlib
import dataclasses
import logging
import os
import shutil
import threading
import time
from collections.abc import Collection, Iterator
from pathlib import Path

from toonify.ui import health, outputs

LOG = logging.getLogger("toonify.ui")
MAX_FOLDER_BYTES = 8 * 2**30  # of all visitors together
MIN_FREE_BYTES = 2**30  # of the disk
COUNT_EVERY_S = 10  # at most, for `Cleaner.has_room`
RELEASE_S = 20  # between two releases of memory, which take a moment


@dataclasses.dataclass(frozen=True)
class Usage:
    """What the folder holds, and when it was counted (`time.monotonic`)."""

    files: int = 0
    size: int = 0
    counted: float = float("-inf")


class Cleaner:
    """Deletes files of the folder that are older than `keep_s`, and empty folders of that age.

    It looks at the folder itself, so that parts of interrupted uploads and the files of a server
    that was killed go too. The age is the time since the file was last written or moved.

    Args:
        folder: the folder, which belongs to this app alone.
        keep: paths that stay, such as those of examples.
        every_s: seconds between two runs.
        keep_s: the age from which files are deleted, seconds.
    """

    def __init__(
        self,
        folder: str | os.PathLike,
        keep: Collection[str] = (),
        every_s: float = outputs.CLEAN_EVERY_S,
        keep_s: float = outputs.KEEP_S,
    ):
        self.folder = Path(folder)
        self.keep = {os.path.realpath(path) for path in keep}
        self.every_s, self.keep_s = every_s, keep_s
        self.last_run: float | None = None  # of time.time
        self.deleted = 0
        self._usage = Usage()
        self._stop = threading.Event()

    def clean(self, keep_s: float | None = None) -> int:
        """Delete what is old. Returns the number of files that were deleted.

        Args:
            keep_s: the age from which files are deleted; default: the cleaner's.
        """
        limit = time.time() - (self.keep_s if keep_s is None else keep_s)
        deleted, files, size = 0, 0, 0
        for folder, _, names in os.walk(self.folder, topdown=False):
            old = get_change(folder) <= limit  # before its files go
            for name in names:
                path = os.path.join(folder, name)
                with contextlib.suppress(OSError):  # it has just been deleted or moved
                    status = os.lstat(path)
                    if status.st_ctime <= limit and os.path.realpath(path) not in self.keep:
                        os.unlink(path)
                        deleted += 1
                    else:
                        files, size = files + 1, size + status.st_size
            if old and folder != str(self.folder):
                with contextlib.suppress(OSError):  # it is not empty
                    os.rmdir(folder)
        self._usage = Usage(files, size, time.monotonic())
        self.last_run = time.time()
        self.deleted += deleted
        return deleted

    def count(self) -> Usage:
        """Count what is in the folder, if that was not done a moment ago."""
        if time.monotonic() - self._usage.counted > COUNT_EVERY_S:
            files, size = 0, 0
            for folder, _, names in os.walk(self.folder):
                for name in names:
                    with contextlib.suppress(OSError):
                        size += os.lstat(os.path.join(folder, name)).st_size
                        files += 1
            self._usage = Usage(files, size, time.monotonic())
        return self._usage

    def has_room(self, size: int) -> bool:
        """Return whether the folder and its disk have room for a file, and count it as written."""
        usage = self.count()
        if usage.size + size > MAX_FOLDER_BYTES or self.free < size + MIN_FREE_BYTES:
            return False
        self._usage = dataclasses.replace(usage, size=usage.size + size)
        return True

    @property
    def free(self) -> int:
        """Free bytes of the disk."""
        with contextlib.suppress(OSError):
            return shutil.disk_usage(self.folder if self.folder.exists() else "/").free
        return 0

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Clean now, every `every_s` seconds, and completely at the end."""
        self._stop.clear()
        thread = threading.Thread(target=self._work, name="cleaner", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join(10)
            self.clean(0)

    def _work(self) -> None:
        released = time.monotonic()
        while True:
            try:
                deleted = self.clean()
            except OSError as error:  # of the folder as a whole; the next run tries again
                LOG.error('{"event": "clean", "error": "%s"}', type(error).__name__)
            else:
                LOG.info('{"event": "clean", "deleted": %d}', deleted)
            if time.monotonic() >= released + RELEASE_S:
                health.release_memory()
                released = time.monotonic()
            if self._stop.wait(self.every_s):
                return


def get_change(path: str) -> float:
    """Return when a file or folder was last changed, of `time.time`; infinity if it is gone."""
    try:
        return os.lstat(path).st_ctime
    except OSError:
        return float("inf")
