"""ToonGAN: noise -> w -> cartoon face, StyleGAN2's way with few multiplications.

Doubling is a convolution at the small size and a linear resize, which is the filter [1, 3, 3, 1]
with its edges repeated. Flat colors have no grain, so there are no noise inputs.
"""

from typing import ClassVar

import torch
import torch.nn.functional as F
from diffusers.configuration_utils import register_to_config
from torch import nn

from toonify.models.network import Network
from toonify.models.stylegan2 import FullyConnected, MappingNetwork, ToRGB, modulated_conv2d

RESOLUTIONS = (64, 128, 256)


def double(x: torch.Tensor) -> torch.Tensor:
    """Twice the height and width, (N, C, H, W) -> (N, C, 2H, 2W); a flat image stays as it is."""
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


class StyledConv(nn.Module):
    """Modulated 3x3 convolution, doubling if `up`, bias, leaky ReLU: I channels -> O channels."""

    def __init__(self, inputs: int, outputs: int, w_dim: int, up: bool = False):
        super().__init__()
        self.up = up
        self.affine = FullyConnected(w_dim, inputs, bias=1.0)
        self.weight = nn.Parameter(torch.randn(outputs, inputs, 3, 3))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x, w):
        x = modulated_conv2d(x, self.weight, self.affine(w))
        x = double(x) if self.up else x
        return F.leaky_relu(x + self.bias.to(x.dtype)[:, None, None], 0.2) * 2**0.5


class Start(nn.Module):
    """Two layers of w+ (N, 2, w_dim) -> features (N, C, 4, 4) and image (N, 3, 4, 4)."""

    def __init__(self, channels: int, w_dim: int):
        super().__init__()
        self.const = nn.Parameter(torch.randn(channels, 4, 4))
        self.conv1 = StyledConv(channels, channels, w_dim)
        self.torgb = ToRGB(channels, w_dim)

    def forward(self, ws, dtype: torch.dtype):
        x = self.conv1(self.const.to(dtype).expand(len(ws), -1, -1, -1), ws[:, 0])
        return x, self.torgb(x, ws[:, 1])


class Block(nn.Module):
    """Features, image and three layers of w+ -> features and image twice as large."""

    def __init__(self, inputs: int, outputs: int, w_dim: int):
        super().__init__()
        self.conv0 = StyledConv(inputs, outputs, w_dim, up=True)
        self.conv1 = StyledConv(outputs, outputs, w_dim)
        self.torgb = ToRGB(outputs, w_dim)

    def forward(self, x, image, ws):
        x = self.conv1(self.conv0(x, ws[:, 0]), ws[:, 1])
        return x, double(image) + self.torgb(x, ws[:, 2])


class Synthesis(nn.Module):
    """w+ (N, num_ws, w_dim) -> images (N, 3, R, R), about [-1, 1], not clipped.

    The layers of w+ and the types are StyleGAN2's: one for each convolution and one for the last
    image head; autocast's type if that is on, and the image at least float32.
    """

    def __init__(self, resolution: int, channels: tuple[int, ...], w_dim: int):
        super().__init__()
        self.sizes = [side for side in (8, 16, 32, *RESOLUTIONS) if side <= resolution]
        self.shape = (2 * len(self.sizes) + 2, w_dim)  # of w+
        self.b4 = Start(channels[0], w_dim)
        for side, inputs, outputs in zip(self.sizes, channels, channels[1:], strict=False):
            self.add_module(f"b{side}", Block(inputs, outputs, w_dim))

    def first_layer(self, side: int) -> int:
        """The first layer of w+ that affects features of `side` px; ValueError for another size."""
        if side not in (4, *self.sizes):
            raise ValueError(f"side={side}: expected one of {(4, *self.sizes)}")
        return 0 if side == 4 else 2 * self.sizes.index(side) + 1

    def forward(self, ws):
        assert ws.shape[1:] == self.shape, (ws.shape, self.shape)
        device, dtype = ws.device.type, self.b4.const.dtype
        if torch.is_autocast_enabled(device):
            dtype = torch.get_autocast_dtype(device)
        # Off within: autocast would also round the styles, before the guard can scale them.
        with torch.autocast(device, enabled=False):
            ws = ws.to(torch.promote_types(ws.dtype, torch.float32))
            x, image = self.b4(ws[:, :2], dtype)
            for i, side in enumerate(self.sizes):
                x, image = getattr(self, f"b{side}")(x, image, ws[:, 2 * i + 1 : 2 * i + 4])
        return image


class ConditionalMapping(MappingNetwork):
    """A mapping network in which the first numbers of z sample a class of each attribute.

    An attribute of n classes has n numbers of z, which become a one-hot vector times n ** 0.5; the
    rest of z stays. Class i is sampled with the probability in `class_priors`, by the Gumbel-max
    trick (Maddison et al., "A* Sampling", NeurIPS 2014), so that each z has distinct classes, where
    a smooth mapping would also have to draw what lies between two.

    w is the mapping's output plus a vector per class, `embedding` (sum of all n, w_dim). Without
    these, brows moved w a seventeenth as far as hair, and were hardly learned.
    """

    chances: torch.Tensor

    def __init__(self, z_dim: int, w_dim: int, layers: int, num_classes: tuple[int, ...]):
        # The learning rate of the rest, as classes must be learned and not only noise be shaped.
        super().__init__(z_dim, w_dim, layers, lr_mul=1.0)
        self.num_classes = tuple(num_classes)
        priors = [torch.full((count,), 1 / count) for count in num_classes]
        self.register_buffer("chances", torch.cat(priors))  # the name in saved weights
        # A quarter in each number of w, and orthogonal as far as w has the dimensions.
        self.embedding = nn.Parameter(torch.empty(sum(num_classes), w_dim))
        nn.init.orthogonal_(self.embedding, w_dim**0.5 / 4)

    @property
    def class_priors(self) -> torch.Tensor:
        """The probability of each class (sum of num_classes,), set by the training."""
        return self.chances

    def sample_classes(self, z: torch.Tensor) -> torch.Tensor:
        """The classes (N, attributes), int64, of z (N, z_dim)."""
        even = torch.special.ndtr(z[:, : len(self.chances)].float()).clamp(1e-7, 1 - 1e-7)
        scores = self.chances.float().clamp_min(1e-30).log() - (-even.log()).log()
        return torch.stack([part.argmax(1) for part in scores.split(self.num_classes, 1)], 1)

    def forward(self, z, classes: torch.Tensor | None = None):
        """w (N, w_dim) of z (N, z_dim), float32; `classes` (N, attributes), int64, replace z's."""
        classes = self.sample_classes(z) if classes is None else classes
        pairs = zip(classes.unbind(1), self.num_classes, strict=True)
        chosen = [F.one_hot(number, count).float() for number, count in pairs]
        sized = [each * count**0.5 for each, count in zip(chosen, self.num_classes, strict=True)]
        rest = z[:, len(self.chances) :].float()
        with torch.autocast(z.device.type, enabled=False):
            own = torch.cat(chosen, 1) @ self.embedding.float()
        return super().forward(torch.cat((*sized, rest), 1)) + own


class ToonGANGenerator(Network):
    """z (N, z_dim) -> w (N, w_dim) -> cartoon faces (N, 3, R, R), about [-1, 1], not clipped.

    R is 64, 128 or 256; `channels` are those at 4, 8, ... px, of which a smaller image leaves the
    last out. Mixing styles means mixing layers of w+ (N, num_ws, w_dim) and calling `synthesis`.
    `num_classes` are the numbers of classes of the attributes: see `ConditionalMapping`.

    At 64, 128 and 256 px it has 3.16, 3.19 and 3.20 M parameters and takes 0.25, 0.32 and 0.37
    GMAC a face. In OpenVINO (float32, AVX2) a 128 px face costs one core 10 ms, a tenth of the
    public Toon-Generator's, and 0.4 of a matrix product of 1024 x 1024 x 1024.
    """

    OLD_SETTINGS: ClassVar = {"variants": "num_classes"}

    @register_to_config
    def __init__(
        self,
        resolution: int = 128,
        z_dim: int = 128,
        w_dim: int = 256,
        mapping_layers: int = 4,
        channels: tuple[int, ...] = (256, 256, 128, 64, 40, 16, 8),
        num_classes: tuple[int, ...] = (),
    ):
        super().__init__()
        if resolution not in RESOLUTIONS:
            raise ValueError(f"resolution={resolution!r}: expected one of {RESOLUTIONS}")
        blocks = resolution.bit_length() - 2
        if len(channels) < blocks:
            raise ValueError(f"channels={channels}: expected {blocks} or more at {resolution} px")
        if any(count < 2 for count in num_classes) or sum(num_classes) > z_dim:
            raise ValueError(
                f"num_classes={num_classes}: expected 2 or more of each attribute, and at most"
                f" z_dim={z_dim} in all"
            )
        self.mapping: MappingNetwork = (
            ConditionalMapping(z_dim, w_dim, mapping_layers, tuple(num_classes))
            if num_classes
            else MappingNetwork(z_dim, w_dim, mapping_layers)
        )
        self.synthesis = Synthesis(resolution, tuple(channels), w_dim)
        self.num_ws = self.synthesis.shape[0]
        self.resolution = resolution

    def first_layer(self, side: int) -> int:
        """The first layer of w+ that affects features of `side` px; ValueError for another size."""
        return self.synthesis.first_layer(side)

    def forward(self, z, truncation: float = 1.0):
        """Faces of noise z; `truncation` 1 keeps w, 0 gives the mean face."""
        w = self.mapping(z)
        w = self.mapping.w_avg.to(w.dtype).lerp(w, truncation)
        return self.synthesis(w[:, None].expand(-1, self.num_ws, -1))
