"""AnimeGANv2 as most people would run its public port: eager PyTorch in float32, nothing tuned.

The network is written out here, so that no speed-up of Toonify reaches the baseline.
"""

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file
from torch import nn

from toonify import hub

PUBLISHED = {"width": 32, "depth": 4, "upsample": "tf1"}


class ConvNormLReLU(nn.Sequential):
    def __init__(self, inputs, outputs, kernel=3, stride=1, groups=1, bias=False):
        side = (kernel - 1) // 2
        super().__init__(
            nn.ReflectionPad2d((0, 1, 0, 1) if stride == 2 else side),
            nn.Conv2d(inputs, outputs, kernel, stride, groups=groups, bias=bias),
            nn.GroupNorm(1, outputs),
            nn.LeakyReLU(0.2, inplace=True),
        )


class InvertedResidual(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        wide = 2 * inputs
        self.skip = inputs == outputs
        self.layers = nn.Sequential(
            ConvNormLReLU(inputs, wide, 1),
            ConvNormLReLU(wide, wide, groups=wide, bias=True),
            nn.Conv2d(wide, outputs, 1, bias=False),
            nn.GroupNorm(1, outputs),
        )

    def forward(self, x):
        return x + self.layers(x) if self.skip else self.layers(x)


class BaselineGenerator(nn.Module):
    """Photo (N, 3, H, W) in [-1, 1] -> drawing, same shape and range. H, W: multiples of 4."""

    def __init__(self, width: int, depth: int, upsample: str):
        super().__init__()
        self.upsample, c, conv = upsample, width, ConvNormLReLU
        self.block_a = nn.Sequential(conv(3, c, 7), conv(c, 2 * c, 3, 2), conv(2 * c, 2 * c))
        self.block_b = nn.Sequential(conv(2 * c, 4 * c, 3, 2), conv(4 * c, 4 * c))
        residuals = [InvertedResidual(8 * c if i else 4 * c, 8 * c) for i in range(depth)]
        self.block_c = nn.Sequential(conv(4 * c, 4 * c), *residuals, conv(8 * c, 4 * c))
        self.block_d = nn.Sequential(conv(4 * c, 4 * c), conv(4 * c, 4 * c))
        self.block_e = nn.Sequential(conv(4 * c, 2 * c), conv(2 * c, 2 * c), conv(2 * c, c, 7))
        self.out_layer = nn.Sequential(nn.Conv2d(c, 3, 1, bias=False), nn.Tanh())

    def upsample2x(self, x):
        """As the weights were trained: like TensorFlow 1 ("tf1"), or like the public port."""
        if self.upsample != "tf1":
            aligned = self.upsample == "align_corners"
            return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=aligned)
        size = [2 * side + 1 for side in x.shape[-2:]]
        x = F.pad(x, (0, 1, 0, 1), mode="replicate")
        return F.interpolate(x, size=size, mode="bilinear", align_corners=True)[..., :-1, :-1]

    def forward(self, x):
        x = self.block_c(self.block_b(self.block_a(x)))
        x = self.block_d(self.upsample2x(x))
        return self.out_layer(self.block_e(self.upsample2x(x)))


def has_published_network(style: str) -> bool:
    """Whether a style's generator is the published one, so that the baseline has its weights."""
    folder = hub.resolve_model(style)
    return hub.read_json(folder / hub.CONFIG)["_class_name"] == "AnimeGANGenerator"


def describe_weights(style: str) -> str:
    """Note on a style's baseline: nothing if it draws with the style's weights."""
    return "" if has_published_network(style) else "published network, random weights"


def load_generator(style: str) -> BaselineGenerator:
    """The baseline network with a style's weights; a name, or a folder.

    If the style's generator is another network, the published one gets random weights. Its time
    and memory do not depend on them.
    """
    folder = hub.resolve_model(style)
    if not has_published_network(style):
        torch.manual_seed(0)
        return BaselineGenerator(**PUBLISHED).eval()
    config = hub.read_json(folder / hub.CONFIG)
    network = BaselineGenerator(config["width"], config["depth"], config["upsample"])
    weights = load_file(hub.weights_file(folder))
    network.load_state_dict({name: weight.float() for name, weight in weights.items()})
    return network.eval()


class BaselinePipeline:
    """A whole photo and then each face: MTCNN on the full photo, faces cut out by their boxes."""

    SIDE = 512  # px at which faces are drawn

    def __init__(self, style: str):
        from facenet_pytorch import MTCNN

        self.generator, self.note = load_generator(style), describe_weights(style)
        self.detector = MTCNN(keep_all=True, device="cpu")

    def __call__(self, photo: Image.Image) -> Image.Image:
        """RGB photo -> drawing of its size, or up to 3 px smaller."""
        boxes, _ = self.detector.detect(photo)
        canvas = self.draw(photo)
        for x0, y0, x1, y1 in boxes if boxes is not None else []:
            cx, cy, half = (x0 + x1) / 2, (y0 + y1) / 2, max(x1 - x0, y1 - y0)
            box = [round(float(edge)) for edge in (cx - half, cy - half, cx + half, cy + half)]
            toon = self.draw(photo.crop(box).resize((self.SIDE, self.SIDE)))
            canvas.paste(toon.resize((box[2] - box[0], box[3] - box[1])), box[:2])
        return canvas

    @torch.no_grad()
    def draw(self, photo: Image.Image) -> Image.Image:
        """One pass of the network; sides are cut to multiples of 4."""
        photo = photo.crop((0, 0, photo.width // 4 * 4, photo.height // 4 * 4))
        x = torch.from_numpy(np.array(photo)).permute(2, 0, 1)[None].float() / 127.5 - 1
        drawn = self.generator(x)[0]
        pixels = ((drawn + 1) * 127.5).clamp(0, 255).byte().permute(1, 2, 0)
        return Image.fromarray(pixels.numpy())
