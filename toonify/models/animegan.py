"""AnimeGANv2: a photo goes in, a drawing of it comes out.

Chen, Liu, Chen, "AnimeGAN: a novel lightweight GAN for photo animation", ISICA 2019; version 2.
Parameter names are those of the public PyTorch port, so its checkpoints load unchanged.
"""

import functools
import math
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from diffusers.configuration_utils import register_to_config
from torch import nn

from toonify.models.network import Network

UPSAMPLE_MODES = ("tf1", "align_corners", "half_pixel")
OLD_MODES = {"tf": "tf1", "align": "align_corners", "half": "half_pixel"}


def upsample2x(image: torch.Tensor, mode: str) -> torch.Tensor:
    """Twice the height and width, (N, C, H, W) -> (N, C, 2H, 2W), bilinear in one of three modes.

    `tf1`: as TensorFlow 1, which the published networks were trained with: even pixels are copies,
    odd ones the mean of their two neighbors. `align_corners` and `half_pixel` are torch's
    `align_corners` True and False; the public port was trained with the first.
    """
    if mode != "tf1":
        return F.interpolate(
            image, scale_factor=2.0, mode="bilinear", align_corners=mode == "align_corners"
        )
    # With the last row and column repeated once, "align corners" puts every source pixel exactly on
    # an even target pixel: scale (H + 1 - 1) / (2H + 1 - 1) = 1/2. See `engines.is_upsample2x`.
    height, width = image.shape[-2:]
    longer = F.pad(image, (0, 1, 0, 1), mode="replicate")
    size = (2 * height + 1, 2 * width + 1)
    return F.interpolate(longer, size=size, mode="bilinear", align_corners=True)[..., :-1, :-1]


def check_mode(mode: str) -> None:
    """ValueError for an upsampling mode that `upsample2x` does not have."""
    if mode not in UPSAMPLE_MODES:
        raise ValueError(f"upsample={mode!r}: expected one of {', '.join(UPSAMPLE_MODES)}")


def norm(channels: int, eps: float) -> nn.GroupNorm:
    """Layer normalization over C, H and W together with one gain and bias a channel."""
    return nn.GroupNorm(1, channels, eps=eps)


class ConvNormLReLU(nn.Sequential):
    """Reflect pad, convolution, layer norm, leaky ReLU; stride 2 pads only bottom and right."""

    def __init__(self, inputs, outputs, kernel=3, stride=1, groups=1, bias=False, eps=1e-5):
        side = (kernel - 1) // 2
        padding = (0, 1, 0, 1) if stride == 2 else (side, side, side, side)
        super().__init__(
            nn.ReflectionPad2d(padding),
            nn.Conv2d(inputs, outputs, kernel, stride, groups=groups, bias=bias),
            norm(outputs, eps),
            nn.LeakyReLU(0.2, inplace=True),
        )


class InvertedResidual(nn.Module):
    """Widen, depthwise 3x3, narrow without an activation; adds its input where the widths agree."""

    def __init__(self, inputs, outputs, expand=2, eps=1e-5):
        super().__init__()
        wide = inputs * expand
        self.skip = inputs == outputs
        layers: list[nn.Module] = []
        if expand != 1:
            layers.append(ConvNormLReLU(inputs, wide, kernel=1, eps=eps))
        layers += [
            ConvNormLReLU(wide, wide, groups=wide, bias=True, eps=eps),
            nn.Conv2d(wide, outputs, 1, bias=False),
            norm(outputs, eps),
        ]
        self.layers = nn.Sequential(*layers)

    def forward(self, x):
        return x + self.layers(x) if self.skip else self.layers(x)


def he_init(network: nn.Module) -> None:
    """He's truncated normal initialization by fan-in, as the published recipe uses."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            fan_in = module.weight[0].numel()
            # A normal cut at two deviations has 0.88 of the deviation asked for.
            std = (2 / fan_in) ** 0.5 / 0.87962566
            nn.init.trunc_normal_(module.weight, std=std, a=-2 * std, b=2 * std)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


class AnimeGANGenerator(Network):
    """Photo (N, 3, H, W) in [-1, 1] -> drawing, same shape and range. H, W: multiples of 4, >= 16.

    2,143,552 parameters in 77 tensors at `width=32`. `upsample` is `tf1`, `align_corners` or
    `half_pixel` (see `upsample2x`); `norm_eps` is 1e-12 in TensorFlow checkpoints, 1e-5 in PyTorch
    ones; `out_bias` is for ports whose last convolution has a bias.
    """

    OLD_VALUES: ClassVar = {"upsample": OLD_MODES}
    multiple = 4
    smallest = 16  # px; a reflect pad of 3 needs more than 3 pixels at quarter size

    @register_to_config
    def __init__(
        self,
        width: int = 32,
        depth: int = 4,
        upsample: str = "tf1",
        norm_eps: float = 1e-5,
        out_bias: bool = False,
    ):
        super().__init__()
        check_mode(upsample)
        c, eps = width, norm_eps

        def conv(inputs, outputs, kernel=3, stride=1):
            return ConvNormLReLU(inputs, outputs, kernel, stride, eps=eps)

        self.block_a = nn.Sequential(conv(3, c, 7), conv(c, 2 * c, 3, 2), conv(2 * c, 2 * c))
        self.block_b = nn.Sequential(conv(2 * c, 4 * c, 3, 2), conv(4 * c, 4 * c))
        self.block_c = nn.Sequential(
            conv(4 * c, 4 * c),
            *[
                InvertedResidual(4 * c if i == 0 else 8 * c, 8 * c, eps=norm_eps)
                for i in range(depth)
            ],
            conv(8 * c, 4 * c),
        )
        self.block_d = nn.Sequential(conv(4 * c, 4 * c), conv(4 * c, 4 * c))
        self.block_e = nn.Sequential(conv(4 * c, 2 * c), conv(2 * c, 2 * c), conv(2 * c, c, 7))
        self.out_layer = nn.Sequential(nn.Conv2d(c, 3, 1, bias=out_bias), nn.Tanh())
        he_init(self)

    def forward(self, photo: torch.Tensor) -> torch.Tensor:
        mode = self.config.upsample
        features = self.block_c(self.block_b(self.block_a(photo)))
        half = self.block_d(upsample2x(features, mode))
        return self.out_layer(self.block_e(upsample2x(half, mode)))


NOISE_PX = 128  # side of the tile of fixed noise
NOISE_CHANNELS = 3
GOLDEN_ANGLE = math.pi * (3 - 5**0.5)


def waves(lowest: float, highest: float, count: int = 48) -> np.ndarray:
    """A sum of waves in all directions that repeats every `NOISE_PX` px, of unit deviation.

    Angles and phases are those of an evenly spread sequence: the tile is the same everywhere.

    Args:
        lowest, highest: range of the frequencies, in waves per tile.
        count: the number of waves; default 48.

    Returns:
        (NOISE_PX, NOISE_PX), float64.
    """
    steps = 2 * np.pi / NOISE_PX * np.arange(NOISE_PX)
    tile = np.zeros((NOISE_PX, NOISE_PX))
    for i in range(count):
        length = lowest + (highest - lowest) * (i * 0.569840290998 % 1)
        across, down = (round(length * f(i * GOLDEN_ANGLE)) for f in (math.cos, math.sin))
        phase = 2 * np.pi * (i * 0.754877666247 % 1)
        tile += np.cos(across * steps[None] + down * steps[:, None] + phase)
    return tile / (count / 2) ** 0.5


@functools.cache
def noise_tile() -> torch.Tensor:
    """(3, 128, 128): a printer's screen of dots at 45 degrees, fine waves, broad waves.

    Computed without torch, so that it is a constant where a network is traced.
    """
    steps = 12 * 2 * np.pi / NOISE_PX * np.arange(NOISE_PX)
    dots = 2 * np.cos(steps)[None] * np.cos(steps)[:, None]
    tile = np.stack([dots, waves(10, 24), waves(3, 8)])
    return torch.from_numpy(tile.astype(np.float32))


def read_blocks(photo: torch.Tensor, patch: int, noise: bool) -> torch.Tensor:
    """`F.pixel_unshuffle` of a photo, with `noise` of the photo and `noise_tile`, which repeats.

    A convolution that copies, which OpenVINO runs faster than the transposed copy.

    Args:
        photo: (N, 3, H, W) in [-1, 1], H and W multiples of `patch`.
        patch: side of a block in px.
        noise: whether the channels of the noise follow those of the photo.

    Returns:
        (N, 3 patch^2, H / patch, W / patch), twice the channels with noise.
    """
    blocks = F.conv2d(photo, copy_kernel(patch, photo), stride=patch) if patch > 1 else photo
    if not noise:
        return blocks
    tile = F.pixel_unshuffle(noise_tile().to(photo)[None], patch)
    count, _, height, width = blocks.shape  # not len(), which a trace would keep as it is
    down, across = (side // tile.shape[2] + 1 for side in (height, width))
    tiles = tile.repeat(count, 1, down, across)[:, :, :height, :width]
    return torch.cat([blocks, tiles], 1)


def write_blocks(blocks: torch.Tensor, patch: int) -> torch.Tensor:
    """`F.pixel_shuffle` of an image's blocks, by a transposed convolution that copies.

    Args:
        blocks: (N, 3 patch^2, h, w).
        patch: side of a block in px.

    Returns:
        (N, 3, patch h, patch w).
    """
    if patch == 1:
        return blocks
    return F.conv_transpose2d(blocks, copy_kernel(patch, blocks), stride=patch)


def copy_kernel(patch: int, like: torch.Tensor) -> torch.Tensor:
    """(3 patch^2, 3, patch, patch): each channel copies one pixel of a block."""
    values = np.eye(3 * patch**2, dtype=np.float32).reshape(-1, 3, patch, patch)
    return torch.from_numpy(values).to(like)


class LiteResidual(nn.Module):
    """Bottleneck residual of the lite generator: 1x1 narrow, 3x3, 1x1 wide, added to its input."""

    def __init__(self, channels, narrow, eps=1e-5):
        super().__init__()
        self.layers = nn.Sequential(
            ConvNormLReLU(channels, narrow, kernel=1, eps=eps),
            ConvNormLReLU(narrow, narrow, eps=eps),
            nn.Conv2d(narrow, channels, 1, bias=False),
        )

    def forward(self, x):
        return x + self.layers(x)


class AnimeGANLiteGenerator(Network):
    """Photo (N, 3, H, W) in [-1, 1] -> drawing, same shape and range, for a fraction of the time.

    The lite variant B of AnimeGANv2 (a U-Net with additive skips): 698,240 parameters at `width=32`
    and about a quarter of the full generator's arithmetic. With `patch=2` it works on blocks of 2x2
    pixels (Shi et al. 2016): nothing but reading and writing is done at the photo's own resolution.
    `edge_kernel` is the size of the first and the last convolution, 7 as published. Its body works
    at an eighth of that size, with `levels=2` at a quarter, which halves the parameters. With
    `noise_inputs` it also reads fixed noise (`noise_tile`), from which it can make dots and strokes
    on flat areas: without, equal pixels stay equal. With `photo_skip` the last layer reads the
    photo's blocks too, so that details need not pass through the network. H, W: multiples of
    `8 * patch`, at least `32 * patch`.
    """

    OLD_VALUES: ClassVar = {"upsample": OLD_MODES}

    @register_to_config
    def __init__(
        self,
        width: int = 32,
        depth: int = 4,
        upsample: str = "tf1",
        norm_eps: float = 1e-5,
        patch: int = 1,
        edge_kernel: int = 7,
        levels: int = 3,
        noise_inputs: bool = False,
        photo_skip: bool = False,
    ):
        super().__init__()
        check_mode(upsample)
        if patch not in (1, 2, 4):
            raise ValueError(f"patch={patch!r}: expected 1, 2 or 4")
        if edge_kernel not in (3, 5, 7):
            raise ValueError(f"edge_kernel={edge_kernel!r}: expected 3, 5 or 7")
        if levels not in (2, 3):
            raise ValueError(f"levels={levels!r}: expected 2 or 3")
        self.multiple, self.smallest = 8 * patch, 32 * patch
        c, eps, values = width, norm_eps, 3 * patch**2

        def conv(inputs, outputs, kernel=3, stride=1):
            return ConvNormLReLU(inputs, outputs, kernel, stride, eps=eps)

        noise = NOISE_CHANNELS * patch**2 if noise_inputs else 0
        self.enter = conv(values + noise, c, edge_kernel)
        self.down_1 = nn.Sequential(conv(c, c, 3, 2), conv(c, 2 * c))
        self.down_2 = nn.Sequential(conv(2 * c, 2 * c, 3, 2), conv(2 * c, 4 * c))
        if levels == 3:
            self.down_3 = nn.Sequential(conv(4 * c, 2 * c, 3, 2), conv(2 * c, 4 * c))
        self.body = nn.Sequential(*[LiteResidual(4 * c, c, eps) for _ in range(depth)])
        if levels == 3:
            self.up_3 = conv(4 * c, 4 * c)
        self.join_2 = conv(4 * c, 2 * c)
        self.up_2 = conv(2 * c, 2 * c)
        self.join_1 = conv(2 * c, c)
        self.up_1 = conv(c, c)
        self.join_0 = conv(c, c, edge_kernel)
        self.out_layer = nn.Sequential(nn.Conv2d(c, values, 1, bias=False), nn.Tanh())
        he_init(self)
        if photo_skip:
            self.skip = nn.Conv2d(values + noise, values, 1, bias=False)
            nn.init.zeros_(self.skip.weight)

    def forward(self, photo: torch.Tensor) -> torch.Tensor:
        mode, patch = self.config.upsample, self.config.patch
        blocks = read_blocks(photo, patch, self.config.noise_inputs)
        full = self.enter(blocks)
        half = self.down_1(full)
        quarter = self.down_2(half)
        if self.config.levels == 3:
            x = self.body(self.down_3(quarter))
            x = self.up_3(upsample2x(x, mode)) + quarter
        else:
            x = self.body(quarter)
        x = self.join_1(self.up_2(upsample2x(self.join_2(x), mode)) + half)
        x = self.join_0(self.up_1(upsample2x(x, mode)) + full)
        last, activation = self.out_layer
        x = last(x) + self.skip(blocks) if self.config.photo_skip else last(x)
        return write_blocks(activation(x), patch)


@torch.no_grad()
def with_options(network: AnimeGANLiteGenerator, *options: str) -> AnimeGANLiteGenerator:
    """A lite generator that draws the same and has further options, which it does not use yet.

    Args:
        network: a generator; one that has all the options is returned itself.
        options: `noise_inputs` or `photo_skip`, or both.
    """
    if all(network.config[name] for name in options):
        return network
    settings = {name: value for name, value in network.config.items() if name[0] != "_"}
    wider = AnimeGANLiteGenerator(**settings | dict.fromkeys(options, True))
    weights = wider.state_dict()
    for name, weight in network.state_dict().items():
        if weight.shape != weights[name].shape:  # noise comes after the photo's channels
            more = torch.zeros_like(weights[name][:, weight.shape[1] :]).to(weight.device)
            weight = torch.cat([weight, more], 1)
        weights[name] = weight
    wider.load_state_dict(weights)
    return wider.to(weight.device)
