"""How good a generator's pictures are while it is trained, by pictures kept out of training."""

import torch

from training.core import losses
from training.core.perceptual import MobileNetV2Features
from training.data.aligned import AlignedDraws
from training.metrics import distances


class SampleScore:
    """How near a generator's pictures are to held-out ones, and how different from each other.

    `kd_mobilenet_v2` is the kernel distance over the last features of MobileNetV2 (ImageNet), and
    the score; `diversity` the mean feature distance of consecutive samples over that of consecutive
    held-out pictures, 1 for samples as different as those.
    """

    def __init__(self, held: AlignedDraws, device: torch.device):
        self.features = MobileNetV2Features((*distances.STAGES, 18)).to(device)
        pictures = (held[i]["real"][None].float() / 127.5 - 1 for i in range(len(held)))
        self.rows, self.apart = self.look(pictures)

    @torch.inference_mode()
    def look(self, pictures):
        """Rows (n, 1280) of pictures (1, 3, H, W), and the mean distance of neighbors."""
        rows, apart, before = [], [], None
        for picture in pictures:
            found = self.features(picture.to(self.features.mean.device))
            rows.append(found.pop(18).mean((2, 3)).double().cpu())
            maps = list(found.values())
            if before:
                apart.append(float(losses.feature_distance(before, maps)))
            before = maps
        return torch.cat(rows).numpy(), sum(apart) / max(len(apart), 1)

    def score(self, pictures) -> dict[str, float]:
        rows, apart = self.look(pictures)
        distance, _ = distances.kernel_inception_distance(rows, self.rows)
        return {
            "kd_mobilenet_v2": distance,
            "diversity": apart / max(self.apart, 1e-8),
            "score": distance,
        }
