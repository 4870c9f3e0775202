"""How long work is stopped: by a file, since some of it runs in another process."""

import contextlib
import dataclasses
import time
from collections.abc import Iterator
from pathlib import Path

from toonify.ui import outputs


@dataclasses.dataclass(frozen=True)
class StopSignal:
    """True once its file exists or its deadline has passed. Works in other processes too."""

    file: Path
    deadline: float  # of time.monotonic

    def __call__(self) -> bool:
        return self.file.exists() or time.monotonic() > self.deadline


class Jobs(dict[str, Path]):
    """Session -> the file that stops its job, while the job runs."""

    @contextlib.contextmanager
    def run(self, session: str, seconds: float) -> Iterator[StopSignal]:
        """Register the job of a session.

        Args:
            session: whose job it is.
            seconds: the most it may take.

        Returns:
            A context manager whose value says when the job is to stop.
        """
        file = outputs.make_parent(outputs.choose_folder() / "stop")
        self[session] = file
        try:
            yield StopSignal(file, time.monotonic() + seconds)
        finally:
            self.pop(session, None)
            file.unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                file.parent.rmdir()

    def stop(self, session: str) -> bool:
        """Stop the job of a session. Returns whether there was one."""
        file = self.get(session)
        if file is not None:
            with contextlib.suppress(FileNotFoundError):  # it ended just now
                file.touch()
        return file is not None
