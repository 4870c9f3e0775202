"""Experiment trackers get scalars, learning rates and sample grids, in one run after a resume."""

from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from toonify import images
from training.core import trackers
from training.core.config import RunSettings


class Accelerator:
    """What `trackers.start` and `log_samples` call."""

    def __init__(self, *names: str):
        self.log_with, self.calls = list(names), []
        self.trackers = [SimpleNamespace(name=name, log_images=self.take) for name in names]
        self.images = []

    def init_trackers(self, project, config, init_kwargs):
        self.calls.append((project, config, init_kwargs))

    def take(self, values, step, **keywords):
        self.images.append((values, step, keywords))


def test_a_resumed_run_goes_on_in_the_same_tracker_run(tmp_path):
    chosen = RunSettings(out=str(tmp_path), batch=4)
    first, second, other = (Accelerator("wandb", "trackio") for _ in range(3))
    trackers.start(first, chosen, tmp_path)
    trackers.start(second, chosen, tmp_path)
    (project, config, keywords), (_, _, again) = first.calls[0], second.calls[0]
    assert (project, config["batch"]) == (tmp_path.name, 4)
    assert keywords["wandb"]["resume"] == "allow" and keywords == again
    (tmp_path / "other").mkdir()
    trackers.start(other, chosen, tmp_path / "other")
    assert other.calls[0][2]["wandb"]["id"] != keywords["wandb"]["id"]
    without = Accelerator()
    trackers.start(without, chosen, tmp_path / "none")
    assert not without.calls and not (tmp_path / "none").exists()


def test_sample_grids_are_logged_as_images(tmp_path):
    accelerator = Accelerator("tensorboard", "wandb")
    path = tmp_path / "samples" / "000000200.jpg"
    images.save(Image.new("RGB", (40, 20), "red"), path)
    trackers.log_samples(accelerator, path, 200)
    for values, step, _ in accelerator.images:
        assert step == 200 and values["samples"].shape == (1, 20, 40, 3)
    assert accelerator.images[0][2] == {
        "dataformats": "NHWC"
    }  # height, width, channels, for TensorBoard
    accelerator.images.clear()
    for style in ("film", "anime"):
        images.save(Image.new("RGB", (40, 20)), tmp_path / "samples" / style / "000000400.jpg")
    trackers.log_samples(accelerator, path.with_name("000000400.jpg"), 400)
    assert [next(iter(values)) for values, *_ in accelerator.images[::2]] == [
        "samples/anime",
        "samples/film",
    ]


def test_trackio_gets_images_of_its_own_kind(tmp_path):
    trackio = pytest.importorskip("trackio")
    logged = []
    accelerator = Accelerator()
    log = SimpleNamespace(
        name="trackio", tracker=SimpleNamespace(log=lambda *a, **k: logged.append(a))
    )
    accelerator.trackers = [log]
    images.save(Image.fromarray(np.zeros((20, 40, 3), np.uint8)), tmp_path / "1.jpg")
    trackers.log_samples(accelerator, tmp_path / "1.jpg", 1)
    assert isinstance(logged[0][0]["samples"], trackio.Image)
