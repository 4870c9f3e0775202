"""A run's model goes to the Hub while training goes on, whatever becomes of it there."""

import json
import os
import shutil
import sys
import threading
import time
from pathlib import Path

from huggingface_hub.utils import disable_progress_bars
from tqdm import tqdm

from toonify import hub
from toonify.hub import upload
from training.core import records, run_info
from training.core.run_info import told

LAST_SECONDS = 150.0  # that a run waits at its end for a push to be over
SNAPSHOT = ".push"
SAMPLES = "samples.jpg"  # what the newest sample grid is called beside the model


def refuse_unready(settings) -> None:
    """Raises what would keep a run from being published, before it takes hours.

    The Hub is asked, by the first process, whether the token may write; if it does not answer that
    is said, and training begins nevertheless.

    Raises:
        ValueError: no repository's name, no license, no statement on the data; or an option that
            only makes sense with --push-to-hub.
        PermissionError: no token, or none that may write there.
    """
    repo = settings.push_to_hub
    if not repo:
        for name in ("push_every_images", "push_private"):
            if value := getattr(settings, name):
                option = "--" + name.replace("_", "-")
                raise ValueError(f"{option} {value}: expected --push-to-hub owner/name too")
        return
    try:
        upload.check_name(repo)
    except ValueError as error:
        raise ValueError(f"--push-to-hub {error}") from error
    for option, value, what in (
        ("--license", settings.license, "what the weights may be used for"),
        ("--data-statement", settings.data_statement, "what the pictures are, and whose"),
    ):
        if not upload.is_stated(value):
            raise ValueError(f"--push-to-hub {repo}: expected {option} too: {what}")
    written = Path(settings.out, "model", hub.STYLE)
    if written.is_file():  # of the run that is resumed; training leaves it as it is
        style = hub.read_style(written.parent)
        upload.require_statements(written, style.license, style.data)
    else:
        upload.require_statements(written, settings.license, settings.data_statement)
    upload.require_token()
    if os.environ.get("RANK", "0") == "0":
        try:
            upload.check_write_access(repo)
        except ConnectionError as error:
            tell(f"--push-to-hub {repo}: {error}; training begins, and each push tries again")


class Publisher:
    """Pushes snapshots of a run's model in a thread; a failure is told and logged, no more.

    A context manager, which waits for the last push on leaving. `images` is where the run begins.
    """

    def __init__(self, settings, images: int):
        self.settings, self.run = settings, Path(settings.out)
        self.offered = images
        self.thread: threading.Thread | None = None

    def __enter__(self):
        return self

    def __exit__(self, *error) -> None:
        if self.busy(LAST_SECONDS):
            self.log(self.offered, f"not over after {LAST_SECONDS:g} s, and left behind")

    def exported(self, images: int, last: bool) -> None:
        """Pushes `OUT/model`, which has just been written, if it is time.

        While a push is still on, a new one waits for the next export; the last one waits for it.
        """
        if not self.settings.push_to_hub:
            return
        every = self.settings.push_every_images
        due = every and images // every > self.offered // every
        if not (last or due) or self.busy(LAST_SECONDS if last else 0):
            return
        self.offered = images
        try:
            folder = self.snapshot()
        except OSError as error:
            self.log(images, f"failed: {error}")
            return
        # A daemon: a Hub that hangs must not keep the process.
        self.thread = threading.Thread(target=self.push, args=(folder, images), daemon=True)
        self.thread.start()

    def busy(self, seconds: float) -> bool:
        """Whether a push is still on after so long."""
        if self.thread is None:
            return False
        self.thread.join(seconds)
        return self.thread.is_alive()

    def snapshot(self) -> Path:
        """A copy of the model that the next export does not touch, with samples and scores."""
        folder = self.run / SNAPSHOT
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self.run / "model", folder)
        if grids := sorted((self.run / "samples").glob("*.jpg")):
            shutil.copy(grids[-1], folder / SAMPLES)
        scores = newest_scores(self.run / "log.jsonl")
        if scores and not (folder / hub.METRICS).exists():
            command = f"--validate {told(self.settings.validate)}"
            records.write(
                run_info.report({"validation": scores}, command, []), folder / hub.METRICS
            )
        return folder

    def push(self, folder: Path, images: int) -> None:
        """Publishes a snapshot and removes it."""
        disable_progress_bars()  # they would write over training's own
        started = time.monotonic()
        try:
            receipt = upload.publish(
                folder,
                self.settings.push_to_hub,
                private=self.settings.push_private,
                message=f"After {images:,} images",
            )
            seconds = time.monotonic() - started
            self.log(images, f"{receipt.url} {receipt.commit} in {seconds:.1f} s", failed=False)
        except (OSError, ValueError) as error:
            self.log(images, f"failed: {error}")
        shutil.rmtree(folder, ignore_errors=True)

    def log(self, images: int, what: str, failed: bool = True) -> None:
        """A line in log.jsonl, and if it failed on the screen too."""
        with open(self.run / "log.jsonl", "a") as log:
            log.write(json.dumps({"images": images, "push": what}) + "\n")
        if failed:
            tell(f"push after {images:,} images: {what}")


def newest_scores(log: Path) -> dict[str, float]:
    """The figures of the newest validation in a run's log; {} if there was none."""
    lines = log.read_text().splitlines() if log.exists() else []
    for line in reversed(lines):
        found = {k: v for k, v in json.loads(line).items() if k.startswith("val_")}
        if found:
            return {name.removeprefix("val_"): value for name, value in found.items()}
    return {}


def tell(text: str) -> None:
    """A line on the screen, below which the progress bar goes on."""
    tqdm.write(text, file=sys.stderr)
