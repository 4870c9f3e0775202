"""Feature networks that losses and metrics look at pictures through.

`mobilenet_v2` is bundled (torchvision's ImageNet weights, fp16, see NOTICE), so training needs no
download. Feature sizes differ between networks; `calibrate` brings each stage to unit size, so that
the same loss weights mean about the same with any of them.
"""

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn
from torchvision.models import mobilenet_v2

from training.losses import gram

BUNDLED = Path(__file__).parent / "mobilenet_v2.fp16.safetensors"
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class MobileNetV2Features(nn.Module):
    """Image (N, 3, H, W) in [-1, 1] -> {stage: (N, C, h, w)}, frozen, in eval mode.

    Stages are torchvision's `features` indices: 1 is at half size, 3 at a quarter, 6 at an eighth,
    10 at a sixteenth. Sandler et al., "MobileNetV2", CVPR 2018.
    """

    name = "mobilenet_v2"

    def __init__(self, stages: tuple[int, ...] = (1, 3, 6, 10), weights: Path = BUNDLED):
        super().__init__()
        self.stages = tuple(sorted(stages))
        layers = mobilenet_v2(weights=None).features
        state = {k.removeprefix("features."): v.float() for k, v in load_file(weights).items()}
        counters = {k: v for k, v in layers.state_dict().items() if k.endswith("batches_tracked")}
        layers.load_state_dict(state | counters, strict=True)
        self.layers = layers[: self.stages[-1] + 1].requires_grad_(False).eval()
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(1, 3, 1, 1))
        self.register_buffer("unit", torch.ones(len(self.stages)))
        self.register_buffer("gram_unit", torch.ones(len(self.stages)))

    def train(self, mode: bool = True):
        """Stays in eval mode: batch statistics of a loss network must never move."""
        return super().train(False)

    def forward(self, image: torch.Tensor) -> dict[int, torch.Tensor]:
        x = ((image + 1) / 2 - self.mean) / self.std
        found = {}
        for index, layer in enumerate(self.layers):
            x = layer(x)
            if index in self.stages:
                found[index] = x * self.unit[len(found)]
        return found

    @torch.no_grad()
    def calibrate(self, images: torch.Tensor) -> None:
        """Scales each stage to a mean absolute value of 1 over `images`, and its Gram likewise."""
        self.unit.fill_(1)
        features = self(images)
        for i, stage in enumerate(self.stages):
            self.unit[i] = 1 / features[stage].float().abs().mean()
            self.gram_unit[i] = 1 / gram(features[stage] * self.unit[i]).abs().mean()

    def gram_scales(self, stages: tuple[int, ...]) -> list[float]:
        """Factor per stage that brings the mean absolute Gram entry to 1."""
        return [float(self.gram_unit[self.stages.index(stage)]) for stage in stages]


PERCEPTUAL = {"mobilenet_v2": MobileNetV2Features}
