"""The public Toon-Generator: noise -> cartoon face by seven transposed convolutions.

A DCGAN whose layers and names are those of github.com/Abdullah-Khan-47/Toon-Generator. 88 % of its
weights lie in the layers that make 4 and 8 px. ToonGAN is measured against it.
"""

from diffusers.configuration_utils import register_to_config
from torch import nn

from toonify.models.network import Network, warn


class DCGANGenerator(Network):
    """z (N, z_dim) or (N, z_dim, 1, 1) -> cartoon faces (N, 3, R, R) in [-1, 1].

    R is 128 with six widths and doubles with each more. As published it has 114,974,339 parameters
    and takes 2.44 GMAC a face. Its quirks are kept:

    - the first layer pads a single pixel: 12 of its 16 taps never reach the image, nor learn;
    - every convolution has a bias, which the batch norm after it takes off again;
    - all parameters start from N(0, 0.02), the batch norms' gains too.
    """

    @register_to_config
    def __init__(
        self, z_dim: int = 100, channels: tuple[int, ...] = (2048, 2048, 1024, 512, 256, 128)
    ):
        super().__init__()
        layers, inputs = [], z_dim
        for outputs in channels:
            layers += [upsample2x(inputs, outputs), nn.BatchNorm2d(outputs), nn.ReLU()]
            inputs = outputs
        self.gen = nn.Sequential(*layers, upsample2x(inputs, 3), nn.Tanh())
        self.resolution = 2 ** (len(channels) + 1)
        for parameter in self.parameters():
            nn.init.normal_(parameter, 0.0, 0.02)

    def forward(self, z):
        return self.gen(z.flatten(1)[:, :, None, None])


def upsample2x(inputs: int, outputs: int) -> nn.ConvTranspose2d:
    """(N, inputs, H, W) -> (N, outputs, 2H, 2W)."""
    return nn.ConvTranspose2d(inputs, outputs, kernel_size=4, stride=2, padding=1)


def __getattr__(name: str):
    if name == "SeedGenerator":
        warn("toonify.models.dcgan.SeedGenerator is now called DCGANGenerator")
        return DCGANGenerator
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
