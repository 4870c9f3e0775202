"""StyleGAN2: noise -> w -> image.

Karras et al., "Analyzing and improving the image quality of StyleGAN", CVPR 2020, and the half
precision of "Training generative adversarial networks with limited data", NeurIPS 2020. Written
from the papers in plain PyTorch; parameter names follow the official ones, so that conversion is a
table.
"""

import torch
import torch.nn.functional as F
from diffusers.configuration_utils import register_to_config
from torch import nn

from toonify.models.network import Network

NOISE = ("const", "random", "none")
RESOLUTIONS = (32, 64, 128, 256, 512, 1024)
HALF = (torch.float16, torch.bfloat16)


class FullyConnected(nn.Module):
    """(N, inputs) -> (N, outputs) with equalized learning rate: the weight is scaled when used.

    `lr_mul` slows learning down: weights are stored 1 / lr_mul as large and scaled back by it.
    """

    def __init__(self, inputs: int, outputs: int, bias: float = 0.0, lr_mul: float = 1.0):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / lr_mul)
        self.bias = nn.Parameter(torch.full((outputs,), float(bias)))
        self.weight_gain = lr_mul / inputs**0.5
        self.bias_gain = lr_mul

    def forward(self, x):
        weight, bias = self.weight.to(x.dtype), self.bias.to(x.dtype)
        return F.linear(x, weight * self.weight_gain, bias * self.bias_gain)


class MappingNetwork(nn.Module):
    """Noise z (N, z_dim), normal -> w (N, w_dim), always in float32.

    `w_avg` (w_dim,) is the mean of w, kept by training and used by truncation.
    """

    w_avg: torch.Tensor

    def __init__(self, z_dim: int = 512, w_dim: int = 512, layers: int = 8, lr_mul: float = 0.01):
        super().__init__()
        self.layers = layers
        for i in range(layers):
            layer = FullyConnected(z_dim if i == 0 else w_dim, w_dim, lr_mul=lr_mul)
            self.add_module(f"fc{i}", layer)
        self.register_buffer("w_avg", torch.zeros(w_dim))

    def forward(self, z):
        with torch.autocast(z.device.type, enabled=False):
            x = z.float()
            x = x * (x.square().mean(1, keepdim=True) + 1e-8).rsqrt()
            for i in range(self.layers):
                x = F.leaky_relu(getattr(self, f"fc{i}")(x), 0.2) * 2**0.5
        return x


def tent(like: torch.Tensor) -> torch.Tensor:
    """The filter [1, 3, 3, 1] along both axes for each channel of `like`: (C, 1, 4, 4), sum 4.

    Its sum makes up for the zeros between the pixels of a doubled image. It is computed, not
    stored: so no checkpoint has to carry it, and it needs no move between devices.
    """
    taps = 1 - (torch.arange(4, dtype=like.dtype, device=like.device) / 2 - 0.75).abs()
    channels = int(like.shape[1])  # else a traced network would shape its filter as it runs
    return torch.outer(taps, taps).expand(channels, 1, 4, 4)


def double(image: torch.Tensor) -> torch.Tensor:
    """Twice the height and width, (N, C, H, W) -> (N, C, 2H, 2W), by the filter [1, 3, 3, 1].

    Outside the image lies zero, so the outermost pixels of a flat image are 3/4 of it.
    """
    return F.conv_transpose2d(image, tent(image), stride=2, padding=1, groups=image.shape[1])


def convolve(x: torch.Tensor, weights: torch.Tensor, up: int) -> torch.Tensor:
    """x (N, G * I, H, W) with weights (G, O, I, k, k) in G groups -> (N, G * O, up * H, up * W).

    Doubling is a transposed convolution (weights not flipped) and a pass of the filter
    [1, 3, 3, 1]; from 2H + 1 pixels the filter of 4 leaves 2H with one pixel of zeros around.
    """
    groups, _, _, kernel, _ = weights.shape
    if up == 1:
        padding = int(kernel) // 2  # in a trace by torch 2.8 the size is a tensor
        return F.conv2d(x, weights.flatten(0, 1), padding=padding, groups=groups)
    assert up == 2 and kernel == 3, (up, kernel)
    x = F.conv_transpose2d(x, weights.transpose(1, 2).flatten(0, 1), stride=2, groups=groups)
    return F.conv2d(x, tent(x), padding=1, groups=x.shape[1])


def modulated_conv2d(
    x: torch.Tensor,
    weight: torch.Tensor,
    style: torch.Tensor,
    demodulate: bool = True,
    up: int = 1,
    grouped: bool = False,
) -> torch.Tensor:
    """Convolution whose input channels a style scales: (N, I, H, W) -> (N, O, up * H, up * W).

    `weight` is (O, I, k, k), k odd, and 3 if `up` is 2; `style` is (N, I). Demodulation scales each
    output channel so that unit noise would come out with variance 1 (Karras et al. 2020, sec. 2.2).

    The style scales x, the weights are shared by the batch, and the demodulation needs only the sum
    Q (O, I) of squared weights: rsqrt(style^2 @ Q^T). `grouped` is the paper's form with one set of
    weights for each sample: the same function, slower, for checks.

    In half precision the weights of each output channel and each sample's style are first divided
    by their largest, so that no sum overflows (Karras et al. 2020a, sec. D.1).
    """
    n, inputs, height, width = x.shape
    if demodulate and x.dtype in HALF:
        weight, style = weight.float(), style.float()
        # Demodulation cancels both factors, and so their gradient: hence detached.
        largest = weight.detach().abs().amax((1, 2, 3), keepdim=True).clamp_min(1e-8)
        weight = weight / (largest * weight[0].numel() ** 0.5)
        style = style / style.detach().abs().amax(1, keepdim=True).clamp_min(1e-8)
    if grouped:
        weights = weight * style[:, None, :, None, None]
        if demodulate:
            weights = weights * (weights.square().sum((2, 3, 4), keepdim=True) + 1e-8).rsqrt()
        x = convolve(x.reshape(1, n * inputs, height, width), weights.to(x.dtype), up)
        return x.reshape(n, -1, up * height, up * width)
    y = convolve(x * style.to(x.dtype)[:, :, None, None], weight[None].to(x.dtype), up)
    if demodulate:
        gain = (style.square() @ weight.square().sum((2, 3)).T + 1e-8).rsqrt()
        y = y * gain.to(x.dtype)[:, :, None, None]
    return y


def clamp(x: torch.Tensor, limit: float | None) -> torch.Tensor:
    """x within [-limit, limit]; None: x as it is."""
    return x if limit is None else x.clamp(-limit, limit)


class StyledConv(nn.Module):
    """Modulated 3x3 convolution, noise, bias, leaky ReLU: (N, I, R / up, R / up) -> (N, O, R, R).

    `noise_const` (R, R) is the noise of `noise="const"`; all channels get the same.
    """

    noise_const: torch.Tensor

    def __init__(self, inputs, outputs, resolution, w_dim, up=1, limit=None):
        super().__init__()
        self.up, self.limit = up, limit
        self.affine = FullyConnected(w_dim, inputs, bias=1.0)
        self.weight = nn.Parameter(torch.randn(outputs, inputs, 3, 3))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.noise_strength = nn.Parameter(torch.zeros([]))
        self.register_buffer("noise_const", torch.randn(resolution, resolution))

    def forward(self, x, w, noise: str):
        x = modulated_conv2d(x, self.weight, self.affine(w), up=self.up)
        if noise == "const":
            x = x + (self.noise_const * self.noise_strength).to(x.dtype)
        elif noise == "random":
            x = x + torch.randn_like(x[:, :1]) * self.noise_strength.to(x.dtype)
        x = F.leaky_relu(x + self.bias.to(x.dtype)[:, None, None], 0.2) * 2**0.5
        return clamp(x, self.limit)


class ToRGB(nn.Module):
    """Features (N, C, R, R) -> their part of the image (N, 3, R, R), at least float32.

    A modulated 1x1 convolution without demodulation; its equalized learning rate, 1 / sqrt(C),
    scales the style.
    """

    def __init__(self, channels, w_dim, limit=None):
        super().__init__()
        self.limit = limit
        self.affine = FullyConnected(w_dim, channels, bias=1.0)
        self.weight = nn.Parameter(torch.randn(3, channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(3))
        self.scale = channels**-0.5

    def forward(self, x, w):
        x = modulated_conv2d(x, self.weight, self.affine(w) * self.scale, demodulate=False)
        x = clamp(x + self.bias.to(x.dtype)[:, None, None], self.limit)
        return x.to(torch.promote_types(x.dtype, torch.float32))


class Start(nn.Module):
    """Two layers of w+ (N, 2, w_dim) -> features (N, C, 4, 4) and image (N, 3, 4, 4)."""

    def __init__(self, channels, w_dim, limit=None):
        super().__init__()
        self.const = nn.Parameter(torch.randn(channels, 4, 4))
        self.conv1 = StyledConv(channels, channels, 4, w_dim, limit=limit)
        self.torgb = ToRGB(channels, w_dim, limit)

    def forward(self, ws, noise: str, dtype: torch.dtype):
        x = self.const.to(dtype).expand(len(ws), -1, -1, -1)
        x = self.conv1(x, ws[:, 0], noise)
        return x, self.torgb(x, ws[:, 1])


class Block(nn.Module):
    """Features, image and three layers of w+ -> features and image twice as large."""

    def __init__(self, inputs, outputs, resolution, w_dim, limit=None):
        super().__init__()
        self.conv0 = StyledConv(inputs, outputs, resolution, w_dim, up=2, limit=limit)
        self.conv1 = StyledConv(outputs, outputs, resolution, w_dim, limit=limit)
        self.torgb = ToRGB(outputs, w_dim, limit)

    def forward(self, x, image, ws, noise: str):
        x = self.conv0(x, ws[:, 0], noise)
        x = self.conv1(x, ws[:, 1], noise)
        return x, double(image) + self.torgb(x, ws[:, 2])


class Synthesis(nn.Module):
    """w+ (N, num_ws, w_dim) -> images (N, 3, R, R), about [-1, 1], not clipped.

    The layers of w+: one for each convolution and one for the last image head; every other head
    reads the layer of the convolution after it. Drawn at one of the `heads`, smaller than R, it
    stops early: the image so far is about the full one, made smaller. Runs in autocast's type if
    that is on, else in the parameters'; styles and the image are at least float32.
    """

    def __init__(self, resolution, w_dim, channel_base, channel_max, limit=None):
        super().__init__()
        self.shape = (2 * resolution.bit_length() - 4, w_dim)  # of w+
        self.sizes = [side for side in (8, 16, *RESOLUTIONS) if side <= resolution]
        self.heads = (4, *self.sizes)  # px that it can draw at
        inputs = min(channel_base // 4, channel_max)
        self.b4 = Start(inputs, w_dim, limit)
        for side in self.sizes:
            outputs = min(channel_base // side, channel_max)
            self.add_module(f"b{side}", Block(inputs, outputs, side, w_dim, limit))
            inputs = outputs

    def first_layer(self, side: int) -> int:
        """The first layer of w+ that steers features of `side` px; ValueError for another size."""
        if side not in (4, *self.sizes):
            raise ValueError(f"side={side}: expected one of {(4, *self.sizes)}")
        return 0 if side == 4 else 2 * self.sizes.index(side) + 1

    def free_layers(self, side: int) -> int:
        """The number of layers of w+ with effects of their own on an image of `side` px.

        ValueError for a size that it cannot draw.
        """
        return self.first_layer(side) + (1 if side == 4 else 2)

    def forward(self, ws, resolution: int | None = None, noise: str = "const"):
        drawn = resolution or self.heads[-1]
        if drawn not in self.heads:
            raise ValueError(f"resolution={drawn}: expected one of {self.heads}")
        if noise not in NOISE:
            raise ValueError(f"noise={noise!r}: expected one of {', '.join(NOISE)}")
        assert ws.shape[1:] == self.shape, (ws.shape, self.shape)
        device, dtype = ws.device.type, self.b4.const.dtype
        if torch.is_autocast_enabled(device):
            dtype = torch.get_autocast_dtype(device)
        # Off within: autocast would also round the styles, before the guard can scale them.
        with torch.autocast(device, enabled=False):
            ws = ws.to(torch.promote_types(ws.dtype, torch.float32))
            x, image = self.b4(ws[:, :2], noise, dtype)
            for i, side in enumerate(self.sizes):
                if side > drawn:
                    break
                layers = ws[:, 2 * i + 1 : 2 * i + 4]
                x, image = getattr(self, f"b{side}")(x, image, layers, noise)
        return image


class StyleGAN2Generator(Network):
    """z (N, z_dim) -> w (N, w_dim) -> images (N, 3, R, R), about [-1, 1], not clipped.

    R is 32, 64, ... 1024. Features at r pixels have min(channel_base / r, channel_max) channels:
    the paper's networks have a `channel_base` of 32768, smaller ones 16384. `conv_clamp`, 256 in
    networks trained in half precision, bounds the features. Mixing styles means mixing layers of w+
    (N, num_ws, w_dim) and calling `synthesis`.
    """

    @register_to_config
    def __init__(
        self,
        resolution: int = 1024,
        z_dim: int = 512,
        w_dim: int = 512,
        mapping_layers: int = 8,
        channel_base: int = 32768,
        channel_max: int = 512,
        conv_clamp: float | None = None,
    ):
        super().__init__()
        if resolution not in RESOLUTIONS:
            raise ValueError(f"resolution={resolution!r}: expected one of {RESOLUTIONS}")
        if channel_base < resolution:
            raise ValueError(f"channel_base={channel_base}: expected at least {resolution}")
        self.mapping = MappingNetwork(z_dim, w_dim, mapping_layers)
        self.synthesis = Synthesis(resolution, w_dim, channel_base, channel_max, conv_clamp)
        self.num_ws = self.synthesis.shape[0]
        self.resolution = resolution

    def forward(self, z, truncation: float = 1.0, cutoff: int | None = None, noise: str = "const"):
        """Images of noise z; `truncation` 1 keeps w, 0 gives the mean face.

        Only the first `cutoff` layers of w+ are truncated, None: all of them.
        """
        layers = self.num_ws if cutoff is None else cutoff
        if not 0 <= layers <= self.num_ws:
            raise ValueError(f"cutoff={cutoff}: expected 0 to {self.num_ws}")
        w = self.mapping(z)
        near = self.mapping.w_avg.to(w.dtype).lerp(w, truncation)
        ws = torch.stack([near] * layers + [w] * (self.num_ws - layers), 1)
        return self.synthesis(ws, noise=noise)
