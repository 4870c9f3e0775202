"""Scores of a generator during training, against held-out images."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch

from toonify import images
from training.core import losses
from training.core.perceptual import MobileNetV2Features
from training.data.aligned import AlignedDataset
from training.metrics import distances, feature_extractors
from training.metrics.feature_extractors import Extractor

BATCH = 16  # images that the other extractor sees at once


def open_extractor(name: str, weights: str = "") -> Extractor | None:
    """The extractor of `--extractor`; None for the one that every score uses.

    Raises:
        ValueError: its weights are neither here nor can they be downloaded.
    """
    if name == feature_extractors.BUNDLED and not weights:
        return None
    return feature_extractors.open_extractor(name, Path(weights) if weights else None)


class SampleScore:
    """Distance of generated images from held-out ones, and their diversity.

    `kd_mobilenet_v2`, the score, is the kernel distance over the last features of MobileNetV2
    (ImageNet). `diversity` is the mean feature distance of consecutive samples, divided by that of
    consecutive held-out images. With another extractor there are also its Frechet and kernel
    distances, which Inception makes `fid_inception` and `kid_inception`.

    Args:
        held_out: images kept out of training.
        device: where features are computed.
        extractor: another network to compare features of; None: no other.
    """

    def __init__(
        self, held_out: AlignedDataset, device: torch.device, extractor: Extractor | None = None
    ):
        self.features = MobileNetV2Features((*distances.STAGES, 18)).to(device)
        self.extractor = None if extractor is None else extractor.to(device)
        pictures = (held_out[i]["real"][None].float() / 127.5 - 1 for i in range(len(held_out)))
        self.rows, self.distance, self.other_rows = self.extract(pictures)

    @torch.inference_mode()
    def extract(
        self, pictures: Iterable[torch.Tensor]
    ) -> tuple[np.ndarray, float, np.ndarray | None]:
        """Features (n, 1280) of images (1, 3, H, W), the mean distance of consecutive ones, and the
        features of the other extractor."""
        rows, distances_found, squares, others = [], [], [], []
        previous: list[torch.Tensor] = []
        for image in pictures:
            found = self.features(image.to(self.features.mean.device))
            rows.append(found.pop(18).mean((2, 3)).double().cpu())
            maps = list(found.values())
            if previous:
                distances_found.append(float(losses.feature_distance(previous, maps)))
            previous = maps
            if self.extractor is not None:
                picture, side = images.to_pil(image.float().cpu()), self.extractor.side
                squares.append(feature_extractors.center_square(picture, side))
                if len(squares) == BATCH:
                    others.append(feature_extractors.extract(self.extractor, squares))
                    squares = []
        if squares:
            others.append(feature_extractors.extract(self.extractor, squares))
        distance = sum(distances_found) / max(len(distances_found), 1)
        return torch.cat(rows).numpy(), distance, np.concatenate(others) if others else None

    def score(self, pictures: Iterable[torch.Tensor]) -> dict[str, float]:
        """Metrics of generated images (1, 3, H, W)."""
        rows, distance, others = self.extract(pictures)
        kernel_distance, _ = distances.kernel_inception_distance(rows, self.rows)
        found = {
            "kd_mobilenet_v2": kernel_distance,
            "diversity": distance / max(self.distance, 1e-8),
            "score": kernel_distance,
        }
        if self.extractor is not None:
            frechet, kernel = (f"{kind}_{self.extractor.name}" for kind in self.extractor.prefixes)
            found[frechet] = distances.frechet_distance(others, self.other_rows)
            found[kernel], _ = distances.kernel_inception_distance(others, self.other_rows)
        return found
