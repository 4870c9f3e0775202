"""What stops long work: a file, since some of it is done in another process."""

import contextlib
import dataclasses
import time
from collections.abc import Iterator
from pathlib import Path

from toonify.ui import outputs


@dataclasses.dataclass(frozen=True)
class Stop:
    """True when its file is there or its time is over. Other processes can be asked too."""

    file: Path
    until: float

    def __call__(self) -> bool:
        return self.file.exists() or time.monotonic() > self.until


class Stops(dict[str, Path]):
    """Session -> the file that stops its work, for as long as it works."""

    @contextlib.contextmanager
    def during(self, session: str, seconds: float) -> Iterator[Stop]:
        """What stops the work of this session that is done meanwhile: `press`, or its time."""
        file = outputs.made(outputs.folder() / "stop")
        self[session] = file
        try:
            yield Stop(file, time.monotonic() + seconds)
        finally:
            self.pop(session, None)
            file.unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                file.parent.rmdir()

    def press(self, session: str) -> bool:
        """Stops the work of a session. Whether there was any."""
        file = self.get(session)
        if file is not None:
            with contextlib.suppress(FileNotFoundError):  # it ended just now
                file.touch()
        return file is not None
