"""Feature networks of losses and metrics.

`mobilenet_v2` is bundled (torchvision's ImageNet weights, fp16, see NOTICE), so training needs no
download; `vgg19`, which AnimeGANv2 was published with, comes from the Hub. `calibrate` scales each
stage to unit size, so that the same loss weights mean about the same with any network.
"""

from pathlib import Path

import torch
from huggingface_hub import hf_hub_download
from safetensors.torch import load_file
from torch import nn
from torchvision.models import mobilenet_v2, vgg19

from training.core.losses import gram

BUNDLED = Path(__file__).parent / "mobilenet_v2.fp16.safetensors"
VGG19_REPOSITORY = "timm/vgg19.tv_in1k"
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class Features(nn.Module):
    """Image (N, 3, H, W) in [-1, 1] -> {stage: (N, C, h, w)}, frozen, in eval mode.

    Stages are indices into torchvision's `features` of the network. `content` and `style` are the
    default stages of AnimeGANv2's losses.
    """

    name: str
    content: tuple[int, ...]
    style: tuple[int, ...]

    def __init__(self, layers: nn.Sequential, stages: tuple[int, ...], weights: Path):
        super().__init__()
        self.stages = tuple(sorted(stages))
        layers = layers[: self.stages[-1] + 1]
        state = load_file(weights)
        wanted = layers.state_dict()
        counters = {k: v for k, v in wanted.items() if k.endswith("num_batches_tracked")}
        # The file also has the stages after the last one.
        found = {k: state[f"features.{k}"] for k in wanted if f"features.{k}" in state}
        layers.load_state_dict(counters | found, strict=True)
        self.layers = layers.float().requires_grad_(False).eval()
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


class StridedDepthwise(nn.Conv2d):
    """Always in fp32: on CPUs, bf16 gradients of such convolutions take ten times as long."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        with torch.autocast(x.device.type, enabled=False):
            return super().forward(x.float())


class MobileNetV2Features(Features):
    """Sandler et al., CVPR 2018. Stage 1 is at half size, 3 at 1/4, 6 at 1/8, 10 at 1/16."""

    name = "mobilenet_v2"
    content = (6, 10)
    style = (1, 3, 6)

    def __init__(self, stages: tuple[int, ...] = (), weights: Path = BUNDLED):
        stages = stages or tuple({*self.content, *self.style})
        layers = mobilenet_v2(weights=None).features
        for layer in layers.modules():
            if isinstance(layer, nn.Conv2d) and layer.groups > 1 and layer.stride != (1, 1):
                layer.__class__ = StridedDepthwise  # the same weights, another forward
        super().__init__(layers, stages, weights)


def download_vgg19() -> Path:
    """VGG19's weights in the Hub's cache; ValueError if they cannot be downloaded."""
    try:
        return Path(hf_hub_download(VGG19_REPOSITORY, "model.safetensors"))
    except OSError as error:
        raise ValueError(
            f"--perceptual vgg19: {VGG19_REPOSITORY} cannot be downloaded ({error}); "
            "expected a connection, or --perceptual mobilenet_v2, which is bundled"
        ) from error


class VGG19Features(Features):
    """Simonyan and Zisserman, 2014. Stage 25 is conv4_4 before its ReLU, at 1/8 of the size.

    Weights are torchvision's, from the Hub's cache or a safetensors file.
    """

    name = "vgg19"
    content = (25,)
    style = (25,)

    def __init__(self, stages: tuple[int, ...] = (), weights: Path | None = None):
        stages = stages or tuple({*self.content, *self.style})
        layers = vgg19(weights=None).features
        for layer in layers:
            if isinstance(layer, nn.ReLU):
                layer.inplace = False  # it would overwrite the stage before it
        if weights is None:
            weights = download_vgg19()
        super().__init__(layers, stages, weights)


PERCEPTUAL = {kind.name: kind for kind in (MobileNetV2Features, VGG19Features)}
