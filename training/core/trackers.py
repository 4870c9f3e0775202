"""Experiment trackers: TensorBoard, Weights & Biases and trackio, through accelerate."""

import dataclasses
import os
import uuid
from pathlib import Path

import numpy as np
from accelerate import Accelerator
from accelerate.utils import is_tensorboard_available, is_trackio_available, is_wandb_available
from PIL import Image

from training.core import records

NAMES = ("tensorboard", "wandb", "trackio")
STATE = "trackers.json"  # in a run's folder: the tracker run that a resumed run goes on in


def tracker_names(trackers: str) -> list[str]:
    """Names for accelerate's `log_with`.

    Raises:
        ValueError: a tracker is unknown or not installed.
    """
    if trackers == "none":
        return []
    installed = {
        "tensorboard": is_tensorboard_available(),
        "wandb": is_wandb_available(),
        "trackio": is_trackio_available(),
    }
    if trackers == "auto":
        # Without an account, an installed W&B would stop and ask for one.
        ready = {"wandb": "WANDB_MODE" in os.environ or "WANDB_API_KEY" in os.environ}
        return [name for name in NAMES if installed[name] and ready.get(name, True)]
    names = [name for name in trackers.replace(" ", "").split(",") if name]
    for name in names:
        if name not in NAMES:
            raise ValueError(f"--trackers {name}: expected {', '.join(NAMES)}, auto or none")
        if not installed[name]:
            raise ValueError(f"--trackers {name}: not installed; pip install {name}")
    return names


def start(accelerator: Accelerator, settings, run: Path) -> None:
    """Starts the trackers, in the tracker run that a resumed run had before.

    TensorBoard knows it by the folder, the others by a name that is kept in `trackers.json`.

    Args:
        accelerator: with the trackers' names.
        settings: of the run, which the trackers get.
        run: the run's folder.
    """
    if not accelerator.log_with:
        return
    state = records.read(run / STATE)
    if not state:
        state = {"id": uuid.uuid4().hex[:8]}
        records.write(state, run / STATE)
    name = f"{run.absolute().name}-{state['id']}"
    plain = (int, float, str, bool)
    rows = dataclasses.asdict(settings).items()
    accelerator.init_trackers(
        run.absolute().name,
        {key: value if isinstance(value, plain) else str(value) for key, value in rows},
        {
            "wandb": {"id": name, "name": name, "resume": "allow"},
            "trackio": {"name": name, "resume": "allow"},
        },
    )


def log_samples(accelerator: Accelerator, path: Path, step: int) -> None:
    """Sends a sample grid to the trackers.

    Args:
        accelerator: with the trackers.
        path: the grid; where there is none, those of that name in the folders beside it, one for
            each style.
        step: number of images.
    """
    if not accelerator.trackers:
        return
    paths = [path] if path.is_file() else sorted(path.parent.glob(f"*/{path.name}"))
    for grid in paths:
        name = "samples" if grid == path else f"samples/{grid.parent.name}"
        pixels = np.asarray(Image.open(grid).convert("RGB"))
        for tracker in accelerator.trackers:
            if tracker.name == "trackio":
                import trackio

                tracker.tracker.log({name: trackio.Image(pixels)}, step=step)
            elif tracker.name == "tensorboard":
                tracker.log_images({name: pixels[None]}, step=step, dataformats="NHWC")
            else:
                tracker.log_images({name: pixels[None]}, step=step)
