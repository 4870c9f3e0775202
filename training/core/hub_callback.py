"""Pushes the model of a run to the Hub during training; a failed push does not stop the run."""

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
from training.core.run_info import redact_path

FINAL_TIMEOUT = 150.0  # seconds that a run waits for the last push
SNAPSHOT = ".push"
SAMPLES = "samples.jpg"  # name of the newest sample grid in the repository


def check_can_push(settings) -> None:
    """Checks before training that the run can be pushed.

    The first process asks the Hub whether the token has write access. If the Hub does not answer,
    this prints a note, and training starts.

    Args:
        settings: of the run.

    Raises:
        ValueError: the repository ID is invalid, --license or --data-statement is missing, or an
            option requires --push-to-hub.
        PermissionError: there is no token, or it has no write access.
    """
    repo = settings.push_to_hub
    if not repo:
        for name in ("push_every_images", "push_private"):
            if value := getattr(settings, name):
                option = "--" + name.replace("_", "-")
                raise ValueError(f"{option} {value} requires --push-to-hub owner/name")
        return
    try:
        upload.check_name(repo)
    except ValueError as error:
        raise ValueError(f"--push-to-hub {error}") from error
    for option, value, what in (
        ("--license", settings.license, "the license of the weights"),
        ("--data-statement", settings.data_statement, "content and authors of the images"),
    ):
        if not upload.is_stated(value):
            raise ValueError(f"--push-to-hub {repo} requires {option}, {what}")
    written = Path(settings.out, "model", hub.STYLE)
    if written.is_file():  # of a resumed run, which keeps it
        style = hub.read_style(written.parent)
        upload.require_statements(written, style.license, style.data)
    else:
        upload.require_statements(written, settings.license, settings.data_statement)
    upload.require_token()
    if os.environ.get("RANK", "0") == "0":
        try:
            upload.check_write_access(repo)
        except ConnectionError as error:
            report(f"--push-to-hub {repo}: {error}; training starts, and each push tries again")


class HubCallback:
    """Pushes snapshots of a run's model in a thread; a failure is only reported and logged.

    A context manager, which waits for the last push on exit.

    Args:
        settings: of the run.
        images: count of images at which the run starts.
    """

    def __init__(self, settings, images: int):
        self.settings, self.run = settings, Path(settings.out)
        self.offered = images
        self.thread: threading.Thread | None = None

    def __enter__(self):
        return self

    def __exit__(self, *error) -> None:
        if self.is_busy(FINAL_TIMEOUT):
            self.log(self.offered, f"abandoned after {FINAL_TIMEOUT:g} s")

    def on_export(self, images: int, last: bool) -> None:
        """Pushes `OUT/model` if a push is due; call it after each export.

        During a push, a new one is deferred to the next export; the last export waits for it.
        """
        if not self.settings.push_to_hub:
            return
        every = self.settings.push_every_images
        due = every and images // every > self.offered // every
        if not (last or due) or self.is_busy(FINAL_TIMEOUT if last else 0):
            return
        self.offered = images
        try:
            folder = self.copy_model()
        except OSError as error:
            self.log(images, f"failed: {error}")
            return
        # A daemon: a hanging Hub must not keep the process alive.
        self.thread = threading.Thread(target=self.push, args=(folder, images), daemon=True)
        self.thread.start()

    def is_busy(self, timeout: float) -> bool:
        """Waits up to `timeout` seconds; whether a push is still running then."""
        if self.thread is None:
            return False
        self.thread.join(timeout)
        return self.thread.is_alive()

    def copy_model(self) -> Path:
        """Copies the model, which the next export overwrites, with samples and scores."""
        folder = self.run / SNAPSHOT
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self.run / "model", folder)
        if grids := sorted((self.run / "samples").glob("*.jpg")):
            shutil.copy(grids[-1], folder / SAMPLES)
        scores = read_newest_scores(self.run / "log.jsonl")
        if scores and not (folder / hub.METRICS).exists():
            command = f"--validate {redact_path(self.settings.validate)}"
            records.write(
                run_info.report({"validation": scores}, command, []), folder / hub.METRICS
            )
        return folder

    def push(self, folder: Path, images: int) -> None:
        """Publishes a snapshot and removes it."""
        disable_progress_bars()  # they would overwrite the progress bar of training
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
        """Writes a line to log.jsonl; a failure is also printed."""
        with open(self.run / "log.jsonl", "a") as log:
            log.write(json.dumps({"images": images, "push": what}) + "\n")
        if failed:
            report(f"push after {images:,} images: {what}")


def read_newest_scores(log: Path) -> dict[str, float]:
    """Reads the scores of the newest validation in a run's log; {} if there was none."""
    lines = log.read_text().splitlines() if log.exists() else []
    for line in reversed(lines):
        found = {k: v for k, v in json.loads(line).items() if k.startswith("val_")}
        if found:
            return {name.removeprefix("val_"): value for name, value in found.items()}
    return {}


def report(text: str) -> None:
    """Prints a line above the progress bar."""
    tqdm.write(text, file=sys.stderr)
