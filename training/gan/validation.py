"""Scores of a generator during training, against held-out images."""

import torch

from training.core import losses
from training.core.perceptual import MobileNetV2Features
from training.data.aligned import AlignedDataset
from training.metrics import distances


class SampleScore:
    """Distance of generated images from held-out ones, and their diversity.

    `kd_mobilenet_v2`, the score, is the kernel distance over the last features of MobileNetV2
    (ImageNet). `diversity` is the mean feature distance of consecutive samples, divided by that of
    consecutive held-out images.
    """

    def __init__(self, held_out: AlignedDataset, device: torch.device):
        self.features = MobileNetV2Features((*distances.STAGES, 18)).to(device)
        images = (held_out[i]["real"][None].float() / 127.5 - 1 for i in range(len(held_out)))
        self.rows, self.distance = self.extract(images)

    @torch.inference_mode()
    def extract(self, images):
        """Features (n, 1280) of images (1, 3, H, W), and the mean distance of consecutive ones."""
        rows, distances_found, previous = [], [], None
        for image in images:
            found = self.features(image.to(self.features.mean.device))
            rows.append(found.pop(18).mean((2, 3)).double().cpu())
            maps = list(found.values())
            if previous:
                distances_found.append(float(losses.feature_distance(previous, maps)))
            previous = maps
        return torch.cat(rows).numpy(), sum(distances_found) / max(len(distances_found), 1)

    def score(self, images) -> dict[str, float]:
        """Metrics of generated images (1, 3, H, W)."""
        rows, distance = self.extract(images)
        kernel_distance, _ = distances.kernel_inception_distance(rows, self.rows)
        return {
            "kd_mobilenet_v2": kernel_distance,
            "diversity": distance / max(self.distance, 1e-8),
            "score": kernel_distance,
        }
