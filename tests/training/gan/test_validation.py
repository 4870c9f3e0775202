"""Scores of a generator during training."""

import dataclasses

import pytest
import torch

from training.gan import validation
from training.gan.config import NoiseSettings
from training.metrics import feature_extractors
from training.metrics.feature_extractors import Extractor


class MeanColor(Extractor):
    """A network whose features can be computed by hand."""

    name, side, dimensions = "mean_color", 32, 3

    def __init__(self):
        super().__init__()
        self.gain = torch.nn.Parameter(torch.ones(1))

    def forward(self, image):
        return image.mean((2, 3)) * self.gain


def flat_images(count: int, brightness: float) -> list[torch.Tensor]:
    values = torch.linspace(-0.2, 0.2, count) + brightness
    return [torch.full((1, 3, 64, 64), float(value)) for value in values]


def held_out(count: int) -> list[dict]:
    return [
        {"real": ((image[0] + 1) * 127.5).round().to(torch.uint8)}
        for image in flat_images(count, 0.0)
    ]


def test_another_extractor_adds_its_distances():
    score = validation.SampleScore(held_out(20), torch.device("cpu"), MeanColor())
    same, brighter = (score.score(flat_images(20, value)) for value in (0.0, 0.5))
    assert set(same) == {
        *("kd_mobilenet_v2", "diversity", "score", "fd_mean_color", "kd_mean_color"),
    }
    assert same["fd_mean_color"] < 1e-3
    assert brighter["fd_mean_color"] == pytest.approx(3 * 0.5**2, rel=0.05)
    assert brighter["score"] == brighter["kd_mobilenet_v2"]
    plain = validation.SampleScore(held_out(4), torch.device("cpu"))
    assert set(plain.score(flat_images(4, 0.0))) == {"kd_mobilenet_v2", "diversity", "score"}


def test_training_offers_every_extractor():
    choices = {f.name: f.metadata["choices"] for f in dataclasses.fields(NoiseSettings)}
    assert set(choices["extractor"]) == set(feature_extractors.EXTRACTORS)


def test_inception_that_cannot_be_had_is_refused_in_words(monkeypatch, tmp_path):
    def away(*_, **__):
        raise OSError("no network")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", away)
    with pytest.raises(ValueError, match=r"could not be downloaded.*--extractor-weights FILE"):
        validation.open_extractor("inception")
    with pytest.raises(ValueError, match="bundled weights"):
        validation.open_extractor("mobilenet_v2", "file.pth")
