"""Discriminators: they live here, so that a user of the app never loads them."""

import torch
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm


class AnimeGANDiscriminator(nn.Module):
    """PatchGAN of AnimeGANv2: image (N, 3, H, W) in [-1, 1] -> raw scores (N, 1, H/4, W/4).

    1,128,800 parameters at `width=32`. Spectral norm on every convolution, no bias, layer norm
    over C, H and W where AnimeGANv2 has it.
    """

    def __init__(self, width: int = 32, spectral: bool = True):
        super().__init__()
        c = width

        def conv(inputs, outputs, stride=1):
            layer = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
            nn.init.normal_(layer.weight, std=0.02)
            return spectral_norm(layer) if spectral else layer

        def act():
            return nn.LeakyReLU(0.2, inplace=True)

        self.layers = nn.Sequential(
            *(conv(3, c), act()),
            *(conv(c, 2 * c, 2), act()),
            *(conv(2 * c, 4 * c), nn.GroupNorm(1, 4 * c), act()),
            *(conv(4 * c, 4 * c, 2), act()),
            *(conv(4 * c, 8 * c), nn.GroupNorm(1, 8 * c), act()),
            *(conv(8 * c, 8 * c), nn.GroupNorm(1, 8 * c), act()),
            conv(8 * c, 1),
        )

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.layers(image)
