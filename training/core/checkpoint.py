"""Checkpoints of a run: written completely or not at all; the oldest are deleted."""

import dataclasses
import errno
import json
import math
import shutil
import warnings
from contextlib import contextmanager
from pathlib import Path

from accelerate import Accelerator
from filelock import FileLock, Timeout
from safetensors import SafetensorError

from toonify.files import replace_folder
from toonify.hub import checksums
from training.core import records
from training.core.config import SETTINGS

LOCK_SECONDS = 5.0  # the processes of a killed run may need a moment to end


class Progress:
    """Number of images, seconds of training and best score; saved with every checkpoint."""

    def __init__(self):
        self.images = 0
        self.seconds = 0.0
        self.best = math.inf

    def state_dict(self) -> dict:
        return {"images": self.images, "seconds": self.seconds, "best": self.best}

    def load_state_dict(self, state: dict) -> None:
        self.images, self.seconds = state["images"], state["seconds"]
        self.best = state["best"]


def checkpoints(run: Path) -> list[Path]:
    """Complete checkpoints of a run, oldest first."""
    folder = run / "checkpoints"
    return sorted(p for p in folder.glob("[0-9]*") if p.is_dir()) if folder.is_dir() else []


def find_sound_checkpoint(run: Path) -> Path | None:
    """Finds the newest checkpoint whose files are as they were written.

    A damaged one is named in a warning, and the next older one is tried.

    Args:
        run: the run's folder.

    Returns:
        The checkpoint; None if the run has none.

    Raises:
        ValueError: all checkpoints are damaged.
    """
    saved = checkpoints(run)
    for folder in reversed(saved):
        damage = find_damage(folder)
        if not damage:
            return folder
        warnings.warn(f"{folder} is damaged and is not used: {damage}", stacklevel=2)
    if saved:
        raise ValueError(f"--resume: every checkpoint in {run} is damaged: {damage}")
    return None


def find_damage(folder: Path) -> str:
    """Says which file of a checkpoint is not as it was written; empty if all are.

    Checkpoints of earlier versions have no hashes, and are taken as they are.
    """
    try:
        expected = checksums.read_list(folder)
    except ValueError as error:
        return str(error)
    for name, digest in expected.items():
        path = folder / name
        if not path.is_file():
            return f"{name} is missing"
        if checksums.compute(path) != digest:
            return f"{name} has changed since it was written"
    return ""


def last_checkpoint(run: Path) -> Path | str:
    """The newest complete checkpoint, or "none", for messages."""
    return (checkpoints(run) or ["none"])[-1]


def refuse_full_disk(run: Path, needed: int) -> None:
    """Raises OSError if fewer than `needed` bytes are free on the run's disk."""
    free = shutil.disk_usage(run).free
    if free < needed:
        raise OSError(
            errno.ENOSPC,
            f"{run}: {free / 2**20:.0f} MB are free and a checkpoint takes "
            f"{needed / 2**20:.0f} MB. The last complete checkpoint is {last_checkpoint(run)}; "
            "make room, then --resume",
        )


def save_checkpoint(accelerator: Accelerator, run: Path, images: int, keep: int) -> None:
    """Writes a checkpoint under a temporary name, renames it, and deletes the oldest.

    The hashes of its files are written with it.

    Args:
        accelerator: holds what is saved.
        run: the run's folder.
        images: number of images so far, the checkpoint's name.
        keep: number of checkpoints to keep.

    Raises:
        OSError: it could not be written, as on a full disk; older checkpoints stay.
    """
    folder = run / "checkpoints"
    part, complete = folder / f".part-{images:09d}", folder / f"{images:09d}"
    if accelerator.is_main_process:
        for left in folder.glob(".part-*"):
            shutil.rmtree(left)
        refuse_full_disk(run, max((size_of(old) for old in checkpoints(run)), default=0))
    accelerator.wait_for_everyone()
    try:
        accelerator.save_state(str(part), safe_serialization=True)
    except (OSError, RuntimeError, SafetensorError) as error:
        # torch and safetensors have exceptions of their own for a failed write.
        shutil.rmtree(part, ignore_errors=True)
        raise OSError(
            f"{part}: could not be written ({error}). The last complete checkpoint is "
            f"{last_checkpoint(run)}; make room, then --resume"
        ) from error
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        written = [path for path in part.rglob("*") if path.is_file()]
        (part / checksums.LIST).write_text(checksums.format_list(part, written), encoding="utf-8")
        replace_folder(part, complete)
        for later in checkpoints(run):  # damaged ones, before which the run went on
            if later.name.isdecimal() and int(later.name) > images:
                shutil.rmtree(later)
        for old in checkpoints(run)[:-keep]:
            shutil.rmtree(old)
    accelerator.wait_for_everyone()


def size_of(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def write_settings(settings, run: Path, preset: str) -> None:
    """Writes the resolved settings and the name of their preset as settings.json."""
    records.write(dataclasses.asdict(settings) | {"preset": preset}, run / SETTINGS)


def trim_log(path: Path, images: int) -> None:
    """Drops the lines of a log after `images`, which the resumed run writes again."""
    if path.exists():
        lines = [line for line in path.read_text().splitlines() if line.endswith("}")]
        kept = [line for line in lines if json.loads(line)["images"] <= images]
        records.write_text("".join(line + "\n" for line in kept), path)


@contextmanager
def locked(run: Path):
    """Keeps other trainings out of a run's folder; the system releases the lock after kill -9."""
    lock = FileLock(run / ".lock")
    try:
        lock.acquire(timeout=LOCK_SECONDS)
    except Timeout:
        raise ValueError(f"--out {run}: another process is training there") from None
    try:
        yield
    finally:
        lock.release()
