"""A discriminator on the features of a pretrained network.

Sauer, Chitta, Mueller, Geiger, "Projected GANs Converge Faster", NeurIPS 2021. The features are
those of the bundled MobileNetV2, so a Frechet distance over the same network favors generators
trained with it: evaluate them with another extractor.
"""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch.nn.utils.parametrizations import spectral_norm

from training.core.perceptual import MobileNetV2Features
from training.gan.discriminators import as_buffers

STAGES = {1: 16, 3: 24, 6: 32, 13: 96, 17: 320}  # stage -> channels, at 1/2, 1/4, ... 1/32
MIXED = (16, 32, 64, 64, 64)  # channels of each after mixing
MIN_SIDE = 8  # px at which the heads stop halving


def fuse_batch_norms(network: nn.Module) -> nn.Module:
    """Folds each batch norm of a network in eval mode into the convolution before it."""
    for group in network.modules():
        if isinstance(group, nn.Sequential):
            for i, (first, second) in enumerate(pairwise(list(group))):
                if isinstance(first, nn.Conv2d) and isinstance(second, nn.BatchNorm2d):
                    group[i] = fuse_conv_bn_eval(first, second)
                    group[i + 1] = nn.Identity()
    return network


def frozen_features(stages: tuple[int, ...]) -> nn.Module:
    """MobileNetV2 up to the last of `stages`, without batch norms, frozen.

    Image (N, 3, R, R) in [-1, 1] -> {stage: (N, C, h, w)}.
    """
    return as_buffers(fuse_batch_norms(MobileNetV2Features(stages)))


def random_convolution(inputs: int, outputs: int, kernel: int) -> nn.Module:
    """A frozen convolution with Kaiming's normal initialization and no bias."""
    layer = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False)
    nn.init.kaiming_normal_(layer.weight)
    return as_buffers(layer)


class Head(nn.Sequential):
    """Features (N, C, H, W) -> raw scores (N, P), one for each of P positions.

    Batch norms use the statistics of the batch, also for the generator's loss.
    """

    def __init__(self, inputs: int, side: int, channels: int):
        def convolution(inputs, outputs, **kwargs):
            return spectral_norm(nn.Conv2d(inputs, outputs, 4, bias=False, **kwargs))

        layers = []
        while side > MIN_SIDE:
            layers += [
                convolution(inputs, channels, stride=2, padding=1),
                nn.BatchNorm2d(channels, track_running_stats=False),
                nn.LeakyReLU(0.2),
            ]
            inputs, side = channels, side // 2
        padding = 0 if side == MIN_SIDE else 1
        super().__init__(*layers, convolution(inputs, 1, padding=padding), nn.Flatten())


class ProjectedDiscriminator(nn.Module):
    """Image (N, 3, R, R) in [-1, 1] -> raw scores (N, P) of positions on five scales.

    Frozen random convolutions mix features of five stages across channels and, from the coarsest
    up, across scales; only one head per scale is trained. The images of a call share batch norms,
    so real and generated ones need separate calls.
    """

    mbstd_group = None

    def __init__(self, resolution: int = 128, channels: int = 64):
        super().__init__()
        self.resolution = resolution
        self.features = frozen_features(tuple(STAGES))
        self.across = nn.ModuleList(
            random_convolution(c, width, 1) for c, width in zip(STAGES.values(), MIXED, strict=True)
        )
        self.down = nn.ModuleList(
            random_convolution(coarse, fine, 3) for fine, coarse in pairwise(MIXED)
        )
        self.heads = nn.ModuleList(
            Head(width, resolution // 2 ** (i + 1), channels) for i, width in enumerate(MIXED)
        )

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        assert image.shape[1:] == (3, self.resolution, self.resolution), image.shape
        found = self.features(image).values()
        maps = [mix(x) for mix, x in zip(self.across, found, strict=True)]
        for i in range(len(maps) - 2, -1, -1):
            coarse = F.interpolate(maps[i + 1], scale_factor=2, mode="bilinear")
            maps[i] = maps[i] + self.down[i](coarse)
        return torch.cat([head(x) for head, x in zip(self.heads, maps, strict=True)], 1)


class FeatureDiscriminator(nn.Module):
    """Image (N, 3, H, W) in [-1, 1] -> raw scores (N, P) of positions at 1/2, 1/4 and 1/8 size.

    Small heads on the frozen features of early stages, which know edges and textures from the first
    step: it tells a soft drawing from a crisp one much sooner than a discriminator that starts from
    random weights.

    Args:
        channels: of the heads.
        styles: number of styles, each with scores of its own (as in Choi et al., "StarGAN v2", CVPR
            2020): images come in turns, `images_each` of every style.
        images_each: see `styles`.
    """

    def __init__(self, channels: int = 32, styles: int = 1, images_each: int = 1):
        super().__init__()
        self.styles, self.images_each = styles, images_each
        stages = {stage: width for stage, width in STAGES.items() if stage <= 6}
        self.features = frozen_features(tuple(stages))
        self.heads = nn.ModuleList(
            nn.Sequential(
                spectral_norm(nn.Conv2d(width, channels, 1)),
                nn.LeakyReLU(0.2),
                spectral_norm(nn.Conv2d(channels, channels, 3, padding=1)),
                nn.LeakyReLU(0.2),
                nn.Conv2d(channels, styles, 3, padding=1),
            )
            for width in stages.values()
        )

    def calibrate(self, images: torch.Tensor) -> None:
        """Scales each stage's features to unit size over `images` (N, 3, H, W)."""
        self.features.calibrate(images)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        found = self.features(image).values()
        number = torch.arange(len(image), device=image.device)
        style = number // self.images_each % self.styles
        maps = [head(x)[number, style] for head, x in zip(self.heads, found, strict=True)]
        return torch.cat([scores.flatten(1) for scores in maps], 1)
