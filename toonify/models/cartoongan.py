"""CartoonGAN: a photo goes in, a drawing of it comes out; here to draw with published weights.

Chen, Lai, Liu, "CartoonGAN: generative adversarial networks for photo cartoonization", CVPR 2018.
"""

import torch
from diffusers.configuration_utils import register_to_config
from torch import nn

from toonify.models.network import Network


def norm(channels: int) -> nn.InstanceNorm2d:
    """Each channel of an image for itself, with a gain and a bias."""
    return nn.InstanceNorm2d(channels, eps=1e-9, affine=True)


class Reflected(nn.Conv2d):
    """A convolution that keeps the size, by mirroring what lies at the edge."""

    def __init__(self, inputs: int, outputs: int, kernel: int):
        super().__init__(inputs, outputs, kernel, padding=kernel // 2, padding_mode="reflect")


class Scaled(nn.Sequential):
    """Half or twice the size (`scale`), a convolution, instance norm, ReLU; zeros at the edge."""

    def __init__(self, outputs: int, scale: nn.Module):
        conv = nn.Conv2d(outputs, outputs, 3, padding=1)
        super().__init__(scale, conv, norm(outputs), nn.ReLU())


class Residual(nn.Module):
    """Two convolutions with instance norms, added to their input."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv1, self.norm1 = Reflected(channels, channels, 3), norm(channels)
        self.conv2, self.norm2 = Reflected(channels, channels, 3), norm(channels)

    def forward(self, x):
        y = torch.relu(self.norm1(self.conv1(x)))
        return x + self.norm2(self.conv2(y))


class CartoonGANGenerator(Network):
    """Photo (N, 3, H, W) in [-1, 1] -> drawing, same shape and range. H, W: multiples of 4, >= 16.

    11,129,667 parameters at `width=64` and `depth=8`. Colors are red, green, blue, whatever the
    order in the checkpoint that it came from.
    """

    multiple = 4
    smallest = 16

    @register_to_config
    def __init__(self, width: int = 64, depth: int = 8):
        super().__init__()
        c = width
        self.enter = nn.Sequential(Reflected(3, c, 7), norm(c), nn.ReLU())
        self.down_1 = Scaled(2 * c, nn.Conv2d(c, 2 * c, 3, stride=2, padding=1))
        self.down_2 = Scaled(4 * c, nn.Conv2d(2 * c, 4 * c, 3, stride=2, padding=1))
        self.body = nn.Sequential(*[Residual(4 * c) for _ in range(depth)])
        self.up_1 = Scaled(2 * c, nn.ConvTranspose2d(4 * c, 2 * c, 3, 2, 1, output_padding=1))
        self.up_2 = Scaled(c, nn.ConvTranspose2d(2 * c, c, 3, 2, 1, output_padding=1))
        self.out_layer = nn.Sequential(Reflected(c, 3, 7), nn.Tanh())

    def forward(self, photo: torch.Tensor) -> torch.Tensor:
        x = self.body(self.down_2(self.down_1(self.enter(photo))))
        return self.out_layer(self.up_2(self.up_1(x)))
