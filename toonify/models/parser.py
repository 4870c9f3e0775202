"""Photo -> masks of person, hair, skin and clothes.

A U-Net. The encoder is the first half of MobileNetV2 (Sandler et al., CVPR 2018), so that ImageNet
weights fit; two more blocks at 1/32 see the whole photo. The decoder's layers are separable, and
the photo's own pixels enter as blocks of 2x2 (Shi et al., CVPR 2016), so that edges are sharp
although nothing but reading and writing is done at full size.
"""

import torch
import torch.nn.functional as F
from diffusers.configuration_utils import register_to_config
from torch import nn

from toonify.models.network import Network

CLASSES = ("person", "hair", "skin", "clothes")
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's
# Widening, channels, blocks and stride of MobileNetV2's stages, up to 1/16 of the size.
STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2))


class ConvNorm(nn.Sequential):
    """Convolution, batch norm, and ReLU6 unless `linear`."""

    def __init__(self, inputs, outputs, kernel=3, stride=1, groups=1, linear=False):
        conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
        super().__init__(conv, nn.BatchNorm2d(outputs), *([] if linear else [nn.ReLU6()]))


class InvertedResidual(nn.Module):
    """Widen, depthwise 3x3, narrow without an activation; adds its input where shapes agree."""

    def __init__(self, inputs, outputs, stride=1, expand=6):
        super().__init__()
        wide = inputs * expand
        self.skip = stride == 1 and inputs == outputs
        self.layers = nn.Sequential(
            *([ConvNorm(inputs, wide, 1)] if expand != 1 else []),
            ConvNorm(wide, wide, stride=stride, groups=wide),
            ConvNorm(wide, outputs, 1, linear=True),
        )

    def forward(self, x):
        return x + self.layers(x) if self.skip else self.layers(x)


class Up(nn.Module):
    """Joins coarse features with the encoder's of twice the size; two separable convolutions."""

    def __init__(self, coarse, skip, outputs):
        super().__init__()
        self.coarse = ConvNorm(coarse, outputs, 1, linear=True)
        self.skip = ConvNorm(skip, outputs, 1, linear=True)
        self.layers = nn.Sequential(
            ConvNorm(outputs, outputs, 5, groups=outputs),
            ConvNorm(outputs, outputs, 1),
            ConvNorm(outputs, outputs, groups=outputs),
            ConvNorm(outputs, outputs, 1),
        )

    def forward(self, x, skip):
        x = F.interpolate(self.coarse(x), scale_factor=2.0, mode="bilinear", align_corners=False)
        return self.layers(F.relu6(x + self.skip(skip)))


class FaceParser(Network):
    """Photo (N, 3, H, W) in [-1, 1] -> (N, 4, H, W), independent probabilities of `CLASSES`.

    H, W: multiples of 32. Trained for faces of a tenth to the whole of 256 px. `deep` is the width
    at 1/32 of the size, `widths` those of the decoder at 1/16, 1/8, 1/4 and 1/2.
    """

    multiple = 32

    @register_to_config
    def __init__(self, deep: int = 96, widths: tuple[int, ...] = (64, 48, 32, 24)):
        super().__init__()
        self.stem = ConvNorm(3, 32, stride=2)
        stages, inputs = [], 32
        for expand, channels, blocks, stride in STAGES:
            stage = [InvertedResidual(inputs, channels, stride, expand)]
            stage += [InvertedResidual(channels, channels, 1, expand) for _ in range(blocks - 1)]
            stages.append(nn.Sequential(*stage))
            inputs = channels
        self.stages = nn.ModuleList(stages)
        self.context = nn.Sequential(
            InvertedResidual(inputs, deep, 2, expand=4), InvertedResidual(deep, deep, expand=3)
        )
        self.gate = nn.Conv2d(deep, deep, 1)  # of the whole photo's mean, as in LR-ASPP
        skips = [channels for _, channels, _, _ in reversed(STAGES)]
        skips[-1] += 12  # with the photo's pixels
        ups, inputs = [], deep
        for skip, width in zip(skips, widths, strict=True):
            ups.append(Up(inputs, skip, width))
            inputs = width
        self.ups = nn.ModuleList(ups)
        self.head = nn.Conv2d(inputs, 4 * len(CLASSES), 3, 1, 1)

    def forward(self, photo, logits: bool = False):
        """Probabilities, or their logits, as losses need them."""
        mean, std = (photo.new_tensor(values).view(1, 3, 1, 1) for values in (MEAN, STD))
        photo = ((photo + 1) / 2 - mean) / std
        x, skips = self.stem(photo), []
        for stage in self.stages:
            x = stage(x)
            skips.append(x)
        skips[0] = torch.cat((skips[0], F.pixel_unshuffle(photo, 2)), 1)
        x = self.context(x)
        x = x * torch.sigmoid(self.gate(x.mean((2, 3), keepdim=True)))
        for up, skip in zip(self.ups, reversed(skips), strict=True):
            x = up(x, skip)
        found = F.pixel_shuffle(self.head(x), 2)
        return found if logits else torch.sigmoid(found)
