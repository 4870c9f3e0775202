"""Discriminators; the app never loads them."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

from toonify.models.stylegan2 import RESOLUTIONS, FullyConnected, clamp, tent


def as_buffers(network: nn.Module) -> nn.Module:
    """Turns the weights of a network into buffers of the same names, which no optimizer changes."""
    for layer in network.modules():
        for name, weight in list(layer.named_parameters(recurse=False)):
            delattr(layer, name)
            layer.register_buffer(name, weight.detach())
    return network


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


def halve(image: torch.Tensor) -> torch.Tensor:
    """Half the height and width, (N, C, H, W) -> (N, C, H / 2, W / 2), by the filter [1, 3, 3, 1].

    A flat image stays flat; as zeros surround it, its outermost pixels are 7/8 of it.
    """
    groups = image.shape[1]
    if image.device.type == "cpu":
        # In bfloat16, gradients of a stride of 2 take CPUs four times as long as this.
        every = F.conv2d(image, tent(image) / 4, padding=1, groups=groups)
        return every[..., ::2, ::2]
    return F.conv2d(image, tent(image) / 4, stride=2, padding=1, groups=groups)


def minibatch_deviation(x: torch.Tensor, group: int) -> torch.Tensor:
    """Minibatch standard deviation: x (N, C, H, W) -> (N, 1, H, W), one value per group.

    The standard deviation over a group, averaged over channels and pixels; Karras et al.,
    "Progressive growing of GANs", ICLR 2018, sec. 3. Sample i is in group i modulo N / group.
    Equal samples give 1e-4, not zero, so that the gradient of the root is finite.
    """
    n, _, height, width = x.shape
    groups = x.unflatten(0, (group, n // group))
    variance = (groups - groups.mean(0)).square().mean(0)
    deviation = (variance + 1e-8).sqrt().mean((1, 2, 3))
    return deviation.repeat(group)[:, None, None, None].expand(-1, -1, height, width)


class Convolution(nn.Module):
    """Convolution and leaky ReLU: (N, I, H, W) -> (N, O, H / down, W / down).

    Equalized learning rate, as in `FullyConnected`. `down=2` filters by [1, 3, 3, 1], which turns H
    pixels and two zeros on each side into H + 1, before 3x3 weights with a stride of 2.
    """

    def __init__(self, inputs, outputs, kernel, down=1, limit=None):
        super().__init__()
        assert down == 1 or (down == 2 and kernel == 3), (down, kernel)
        self.down, self.limit = down, limit
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.gain = (inputs * kernel**2) ** -0.5

    def forward(self, x):
        weight, bias = (self.weight * self.gain).to(x.dtype), self.bias.to(x.dtype)
        if self.down == 2:
            x = F.conv2d(x, tent(x) / 4, padding=2, groups=x.shape[1])
            x = F.conv2d(x, weight, bias, stride=2)
        else:
            x = F.conv2d(x, weight, bias, padding=weight.shape[-1] // 2)
        return clamp(F.leaky_relu(x, 0.2) * 2**0.5, self.limit)


class Skip(nn.Module):
    """The linear skip connection of a block: (N, I, H, W) -> (N, O, H / 2, W / 2)."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, 1, 1))
        self.gain = inputs**-0.5

    def forward(self, x):
        return F.conv2d(halve(x), (self.weight * self.gain).to(x.dtype))


class Residual(nn.Module):
    """Features (N, I, H, W) -> (N, O, H / 2, W / 2); the first block takes the image."""

    def __init__(self, inputs, outputs, first, limit=None):
        super().__init__()
        self.fromrgb = Convolution(3, inputs, 1, limit=limit) if first else None
        self.conv0 = Convolution(inputs, inputs, 3, limit=limit)
        self.conv1 = Convolution(inputs, outputs, 3, down=2, limit=limit)
        self.skip = Skip(inputs, outputs)

    def forward(self, x):
        if self.fromrgb is not None:
            x = self.fromrgb(x)
        return (self.conv1(self.conv0(x)) + self.skip(x)) * 0.5**0.5


class Epilogue(nn.Module):
    """Features (N, C, 4, 4) with their minibatch standard deviation -> raw scores (N, 1)."""

    def __init__(self, channels, limit=None):
        super().__init__()
        self.conv = Convolution(channels + 1, channels, 3, limit=limit)
        self.fc = FullyConnected(channels * 16, channels)
        self.out = FullyConnected(channels, 1)

    def forward(self, x, group: int):
        x = self.conv(torch.cat((x, minibatch_deviation(x, group)), 1))
        return self.out(F.leaky_relu(self.fc(x.flatten(1)), 0.2) * 2**0.5)


class StyleGAN2Discriminator(nn.Module):
    """Residual discriminator of StyleGAN2: image (N, 3, R, R) in [-1, 1] -> raw scores (N, 1).

    Karras et al., "Analyzing and improving the image quality of StyleGAN", CVPR 2020. Sizes are as
    in `StyleGAN2Generator`; the paper's at 1024 px has 29,012,513 parameters. Computes in the type
    of autocast, else of the parameters; the minibatch standard deviation, over groups of
    `mbstd_group` samples, and what follows it are at least float32.
    """

    def __init__(
        self,
        resolution: int = 1024,
        channel_base: int = 32768,
        channel_max: int = 512,
        conv_clamp: float | None = None,
        mbstd_group: int = 4,
    ):
        super().__init__()
        if resolution not in RESOLUTIONS:
            raise ValueError(f"resolution={resolution!r}: expected one of {RESOLUTIONS}")
        if channel_base < resolution:
            raise ValueError(f"channel_base={channel_base}: expected at least {resolution}")
        if mbstd_group < 1:
            raise ValueError(f"mbstd_group={mbstd_group}: expected 1 or more")
        self.resolution, self.mbstd_group = resolution, mbstd_group
        self.sizes = [s for s in (*reversed(RESOLUTIONS), 16, 8) if s <= resolution]
        for side in self.sizes:
            inputs, outputs = (min(channel_base // s, channel_max) for s in (side, side // 2))
            block = Residual(inputs, outputs, side == resolution, conv_clamp)
            self.add_module(f"b{side}", block)
        self.b4 = Epilogue(outputs, conv_clamp)

    def freeze(self, first: int) -> None:
        """Freeze-D: freezes the `first` blocks, counted from the image.

        Mo, Cho, Shin, "Freeze the discriminator", CVPR workshop 2020. Their weights become buffers
        of the same names, so that no `requires_grad_` changes them and other processes expect no
        gradients of them. Call it before the optimizer is created.
        """
        if not 0 <= first <= len(self.sizes):
            raise ValueError(f"first={first}: expected 0 to {len(self.sizes)} blocks")
        for side in self.sizes[:first]:
            as_buffers(getattr(self, f"b{side}"))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        assert image.shape[1:] == (3, self.resolution, self.resolution), image.shape
        n, group = len(image), min(self.mbstd_group, len(image))
        if n % group:
            raise ValueError(
                f"{n} images do not divide into groups of mbstd_group={group}: expected a multiple"
            )
        device, dtype = image.device.type, self.b4.out.weight.dtype
        if torch.is_autocast_enabled(device):
            dtype = torch.get_autocast_dtype(device)
        with torch.autocast(device, enabled=False):
            x = image.to(dtype)
            for side in self.sizes:
                x = getattr(self, f"b{side}")(x)
            x = x.to(torch.promote_types(x.dtype, torch.float32))
            return self.b4(x, group)


class DCGANDiscriminator(nn.Module):
    """The public Toon-Generator's: image (N, 3, R, R) in [-1, 1] -> raw scores (N, 1).

    R is 128 with five channel counts and doubles with each further one. As published it has
    44,615,297 parameters and takes 2.17 GMAC an image. Its quirks are kept: a batch norm after
    every convolution but the last, so that scores depend on the batch; biases before them; and all
    parameters, gains too, start from N(0, 0.02).
    """

    def __init__(self, channels: tuple[int, ...] = (128, 256, 512, 1024, 2048)):
        super().__init__()
        layers, inputs = [], 3
        for outputs in channels:
            conv = nn.Conv2d(inputs, outputs, kernel_size=4, stride=2, padding=1)
            layers += [conv, nn.BatchNorm2d(outputs), nn.LeakyReLU(0.2)]
            inputs = outputs
        self.disc = nn.Sequential(*layers, nn.Conv2d(inputs, 1, kernel_size=4))
        self.resolution = 4 * 2 ** len(channels)
        for parameter in self.parameters():
            nn.init.normal_(parameter, 0.0, 0.02)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        assert image.shape[1:] == (3, self.resolution, self.resolution), image.shape
        return self.disc(image).flatten(1)


class NoDiscriminator(nn.Linear):
    """Takes the place of the discriminator in runs without one.

    It has a weight, as distributed training expects one.
    """

    def __init__(self):
        super().__init__(1, 1, bias=False)
