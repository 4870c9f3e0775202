"""MobileStyleGAN: StyleGAN2's w space drawn by a network made for CPUs, with an image head at 256.

Belousov, "MobileStyleGAN: a lightweight convolutional neural network for high-fidelity image
synthesis", 2021. Depthwise convolutions are modulated on their input only; upsampling is an inverse
Haar transform. Demodulation by a stored mean style is a constant and lies folded in the weights.
"""

import torch
import torch.nn.functional as F
from diffusers.configuration_utils import register_to_config
from torch import nn

from toonify.models.network import Network
from toonify.models.stylegan2 import MappingNetwork

NOISE = ("const", "random", "none")


def inverse_haar(bands: torch.Tensor) -> torch.Tensor:
    """Bands (N, 4C, H, W) -> image (N, C, 2H, 2W).

    The first C channels are the low band, the rest (C, 3) the details. The transform is orthogonal:
    it keeps the sum of squares.
    """
    n, channels, height, width = bands.shape
    c = channels // 4
    low, details = bands[:, :c], bands[:, c:].reshape(n, c, 3, height, width)
    a, b, d = details.unbind(2)
    plus, minus = low + a, low - a
    more, less = b + d, b - d
    cells = torch.stack((plus + more, plus - more, minus + less, minus - less), 2) * 0.5
    return F.pixel_shuffle(cells.reshape(n, channels, height, width), 2)


class Style(nn.Module):
    """w (N, w_dim) -> factors (N, C, 1, 1) of a convolution's input channels.

    `scale` is the convolution's equalized learning rate, 1 / sqrt(inputs * k * k), which
    modulation carries since the weights are stored with the demodulation folded in.
    """

    def __init__(self, w_dim: int, channels: int, scale: float = 1.0):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(channels, w_dim) / w_dim**0.5)
        self.bias = nn.Parameter(torch.full((channels,), 1.0 / scale))
        self.scale = scale

    def forward(self, w):
        return (F.linear(w, self.weight, self.bias) * self.scale)[:, :, None, None]


class Noise(nn.Module):
    """A fixed image of noise (1, 1, R, R), its strength folded in, added to every channel."""

    def __init__(self, resolution: int):
        super().__init__()
        self.map = nn.Parameter(torch.zeros(1, 1, resolution, resolution), requires_grad=False)

    def forward(self, x, mode: str, top: int = 0, left: int = 0):
        """`x` may be a window of the features, whose first pixel lies at (top, left)."""
        if mode == "none":
            return x
        if mode == "random":
            # The stored map has the strength folded in, so its own spread is the strength.
            return x + torch.randn_like(x[:, :1]) * self.map.std()
        return x + self.map[..., top : top + x.shape[2], left : left + x.shape[3]]


class StartConv(nn.Module):
    """The learned 4x4 start, modulated, through a full 3x3 convolution."""

    def __init__(self, channels: int, w_dim: int):
        super().__init__()
        self.const = nn.Parameter(torch.randn(1, channels, 4, 4))
        self.affine = Style(w_dim, channels, (channels * 9) ** -0.5)
        self.weight = nn.Parameter(torch.randn(channels, channels, 3, 3) / (channels * 9) ** 0.5)
        self.noise = Noise(4)
        self.bias = nn.Parameter(torch.zeros(1, channels, 1, 1))

    def forward(self, w, noise: str):
        x = F.conv2d(self.const * self.affine(w), self.weight, padding=1)
        return F.leaky_relu(self.noise(x, noise) + self.bias, 0.2)


class SeparableConv(nn.Module):
    """Modulation, depthwise 3x3, pointwise, noise, bias, leaky ReLU."""

    def __init__(self, inputs: int, outputs: int, resolution: int, w_dim: int):
        super().__init__()
        self.affine = Style(w_dim, inputs, (inputs * 9) ** -0.5)
        self.depthwise = nn.Parameter(torch.randn(inputs, 1, 3, 3) / 3)
        self.pointwise = nn.Parameter(torch.randn(outputs, inputs, 1, 1) / inputs**0.5)
        self.noise = Noise(resolution)
        self.bias = nn.Parameter(torch.zeros(1, outputs, 1, 1))

    def forward(self, x, w, noise: str, top: int = 0, left: int = 0):
        x = F.conv2d(x * self.affine(w), self.depthwise, padding=1, groups=x.shape[1])
        x = F.conv2d(x, self.pointwise)
        return F.leaky_relu(self.noise(x, noise, top, left) + self.bias, 0.2)


class Block(nn.Module):
    """Doubles the side by an inverse Haar transform, then two separable convolutions."""

    layers = 3  # of w+

    def __init__(self, inputs: int, outputs: int, resolution: int, w_dim: int):
        super().__init__()
        self.up = Style(w_dim, inputs)
        self.conv0 = SeparableConv(inputs // 4, outputs, resolution, w_dim)
        self.conv1 = SeparableConv(outputs, outputs, resolution, w_dim)

    def forward(self, x, ws, noise: str, top: int = 0, left: int = 0):
        x = inverse_haar(x * self.up(ws[:, 0]))
        x = self.conv0(x, ws[:, 1], noise, top, left)
        return self.conv1(x, ws[:, 2], noise, top, left)


class ImageHead(nn.Module):
    """Features (N, C, R, R) -> RGB (N, 3, 2R, 2R): modulated 1x1 convolution, inverse Haar."""

    def __init__(self, channels: int, w_dim: int):
        super().__init__()
        self.affine = Style(w_dim, channels, channels**-0.5)
        self.weight = nn.Parameter(torch.randn(12, channels, 1, 1) / channels**0.5)
        self.bias = nn.Parameter(torch.zeros(1, 12, 1, 1))

    def forward(self, x, w):
        return inverse_haar(F.conv2d(x * self.affine(w), self.weight) + self.bias)


class Synthesis(nn.Module):
    """w+ (N, num_ws, w_dim) -> images (N, 3, R, R), about [-1, 1], not clipped.

    The layers of w+: one for the start, three a block (up, conv0, conv1), the last for the image
    head. R is the full resolution or that of one of the `heads`, which stop early and cost less.
    """

    def __init__(self, channels: tuple[int, ...], heads: tuple[int, ...], w_dim: int):
        super().__init__()
        self.start = StartConv(channels[0], w_dim)
        self.blocks = [8 * 2**i for i in range(len(channels) - 1)]
        for resolution, inputs, outputs in zip(self.blocks, channels, channels[1:], strict=False):
            self.add_module(f"b{resolution}", Block(inputs, outputs, resolution, w_dim))
        self.resolution = 4 * 2 ** len(channels)
        self.heads = (*sorted(heads), self.resolution)
        for side in self.heads:
            width = channels[(side // 8).bit_length() - 1]
            self.add_module(f"rgb{side}", ImageHead(width, w_dim))
        self.num_ws = 3 * len(self.blocks) + 2

    def first_layer(self, side: int) -> int:
        """The first layer of w+ that steers features of `side` px; ValueError for another size."""
        if side not in (4, *self.blocks):
            raise ValueError(f"side={side}: expected one of {(4, *self.blocks)}")
        return 0 if side == 4 else 3 * self.blocks.index(side) + 1

    def free_layers(self, side: int) -> int:
        """The number of layers of w+ with effects of their own on an image of `side` px.

        ValueError for a size of which there are no features.
        """
        return self.num_ws - 1 if side == self.resolution else self.first_layer(side)

    def forward(self, ws, resolution: int | None = None, noise: str = "const"):
        side = resolution or self.resolution
        if side not in self.heads:
            raise ValueError(f"resolution={side}: expected one of {self.heads}")
        if noise not in NOISE:
            raise ValueError(f"noise={noise!r}: expected one of {', '.join(NOISE)}")
        x = self.start(ws[:, 0], noise)
        for i, block in enumerate(self.blocks):
            if 2 * block > side:
                break
            x = getattr(self, f"b{block}")(x, ws[:, 3 * i + 1 : 3 * i + 4], noise)
        return getattr(self, f"rgb{side}")(x, ws[:, -1])

    def window(self, ws, top: int, left: int, side: int, noise: str = "const"):
        """Images (N, 3, side, side): what the full ones show from pixel (top, left) on.

        Only the features of an eighth of the size are drawn whole, so that training on details is
        cheap. All three numbers are multiples of 8.
        """
        coarse = self.resolution // 8
        if any(n % 8 for n in (top, left, side)) or not (
            min(top, left) >= 0 < side and max(top, left) + side <= self.resolution
        ):
            raise ValueError(
                f"window of {side} px at ({top}, {left}): expected multiples of 8 within "
                f"{self.resolution} px"
            )
        x = self.start(ws[:, 0], noise)
        fine = []
        for i, block in enumerate(self.blocks):
            layers = ws[:, 3 * i + 1 : 3 * i + 4]
            if block <= coarse:
                x = getattr(self, f"b{block}")(x, layers, noise)
            else:
                fine.append((block, layers))
        # What lies over the window's border reaches 12 px in; two features are 16 px.
        a, b = max(0, top // 8 - 2), max(0, left // 8 - 2)
        x = x[..., a : (top + side) // 8 + 2, b : (left + side) // 8 + 2]
        for block, layers in fine:
            scale = block // coarse
            x = getattr(self, f"b{block}")(x, layers, noise, a * scale, b * scale)
        image = getattr(self, f"rgb{self.resolution}")(x, ws[:, -1])
        row, column = top - 8 * a, left - 8 * b
        return image[..., row : row + side, column : column + side]


class MobileStyleGAN(Network):
    """z (N, 512) -> w (N, 512) -> image (N, 3, 1024, 1024), about [-1, 1].

    `channels` are those at 4, 8, ... px; the image is twice as large as the last of them.
    `heads` are the smaller sizes at which an image can be drawn too.
    """

    @register_to_config
    def __init__(
        self,
        channels: tuple[int, ...] = (512, 512, 512, 512, 512, 256, 128, 64),
        heads: tuple[int, ...] = (128, 256),
        w_dim: int = 512,
        z_dim: int = 512,
        mapping_layers: int = 8,
    ):
        super().__init__()
        self.mapping = MappingNetwork(z_dim, w_dim, mapping_layers)
        self.synthesis = Synthesis(tuple(channels), tuple(heads), w_dim)
        self.num_ws = self.synthesis.num_ws
        self.resolution = self.synthesis.resolution

    def forward(self, z, truncation: float = 1.0, noise: str = "const"):
        """Images of noise z; `truncation` 1 keeps w, 0 gives the mean face."""
        w = self.mapping.w_avg.lerp(self.mapping(z), truncation)
        return self.synthesis(w[:, None].expand(-1, self.num_ws, -1), noise=noise)
