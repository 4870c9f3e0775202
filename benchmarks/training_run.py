"""Runs of Toonify's own training that are timed, on images of noise."""

import json
import tempfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from toonify import images
from training.core.config import replace_settings
from training.core.trainer import train

NEVER = 10**6  # images


def save_noise(file: Path, number: int, grid: int, size: tuple[int, int]) -> None:
    """Saves the noise of a seed: `grid` x `grid` random colors, resized to `size`."""
    noise = np.random.default_rng(number).integers(0, 255, (grid, grid, 3), np.uint8)
    images.save(Image.fromarray(noise).resize(size), file)


def time_training(objective, preset, save_data, log_every: int, logs: int, **settings) -> float:
    """Median seconds between two entries of the training's log.

    `save_data` writes the images to a folder; an entry comes every `log_every` images.
    """
    with tempfile.TemporaryDirectory() as folder:
        data, run = Path(folder, "data"), Path(folder, "run")
        save_data(data)
        settings = replace_settings(
            preset,
            **dict(data=str(data), out=str(run), max_images=log_every * logs, trackers="none"),
            **dict(log_every_images=log_every, sample_every_images=NEVER),
            **dict(save_every_images=NEVER, validate_every_images=NEVER),
            **settings,
        )
        train(objective(settings, torch.device("cpu")), settings)
        lines = (run / "log.jsonl").read_text().splitlines()
    return float(np.median(np.diff([json.loads(line)["seconds"] for line in lines])))


def take_step(optimizer: torch.optim.Optimizer, loss: torch.Tensor) -> None:
    """One step of an optimizer, as most people write it."""
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
