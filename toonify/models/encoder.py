"""Photo of a face -> w+ of a generator, in one pass; its frozen first half is a perceptual network.

After pSp (Richardson et al., "Encoding in style", CVPR 2021): features of several sizes, and one
offset from the mean face for each layer of w+. The backbone is MobileNet V2 (Sandler et al., CVPR
2018), whose first stages keep their ImageNet weights, so that they can compare images too. Faces
are aligned, so much of w is linear in what these stages see, place by place: `regression` starts as
that, in low rank, and a convolutional path adds the rest.
"""

from typing import ClassVar

import torch
import torch.nn.functional as F
from diffusers.configuration_utils import register_to_config
from torch import nn

from toonify.models.network import Network

FROZEN = 10  # the last stage of the backbone that keeps its ImageNet weights
PERCEPTUAL = (1, 3, 6, 10)  # stages that images are compared at: 1/2, 1/4, 1/8, 1/16 of the side
COARSE, MIDDLE, DEEP = 6, 13, 17  # stages that w+ is read from: 1/8, 1/16, 1/32
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Encoder(Network):
    """FFHQ-aligned face (N, 3, side, side) in [-1, 1] -> w+ (N, num_ws, w_dim).

    `linear` and `squeezed` are the ranks of the two paths. The first `free_layers` layers of
    w+ have an offset each; the others share one, as their detail is finer than the encoder's input.
    """

    OLD_SETTINGS: ClassVar = {"free_rows": "free_layers"}

    @register_to_config
    def __init__(
        self,
        num_ws: int = 23,
        w_dim: int = 512,
        free_layers: int = 16,
        linear: int = 256,
        hidden: int = 512,
        squeezed: int = 128,
        width: int = 64,
        side: int = 256,
    ):
        super().__init__()
        from torchvision.models import mobilenet_v2  # here: it takes a second to import

        self.backbone = mobilenet_v2(weights=None).features[: DEEP + 1]
        self.coarse = nn.Conv2d(32, width, 3, 2, 1)
        self.middle = nn.Conv2d(96, width, 1)
        self.deep = nn.Conv2d(320, width, 1)
        self.join = nn.Conv2d(3 * width, 4 * width, 3, 1, 1)
        self.shrink = nn.Conv2d(4 * width, 4 * width, 3, 2, 1)
        self.summary = nn.Linear(4 * width * (side // 64) ** 2, hidden)
        self.squeeze = nn.Linear(hidden, squeezed)
        self.regression = nn.Linear(64 * (side // 16) ** 2, linear)
        self.offsets = nn.Linear(linear + squeezed, (free_layers + 1) * w_dim)
        self.register_buffer("w_avg", torch.zeros(w_dim))
        self.register_buffer("w_std", torch.ones(w_dim))
        self.register_buffer("unit", torch.ones(len(PERCEPTUAL)))
        layers = torch.arange(num_ws).clamp(max=free_layers)
        self.register_buffer("layer_of", layers, persistent=False)

    def train(self, mode: bool = True):
        """Batch statistics are those of ImageNet, always."""
        super().train(mode)
        self.backbone.eval()
        return self

    def forward(self, face):
        return self.encode(self.look(face))

    def look(self, face) -> dict[int, torch.Tensor]:
        """What the frozen half sees: {stage: features} at `PERCEPTUAL`, not scaled."""
        x = ((face + 1) / 2 - face.new_tensor(MEAN).view(3, 1, 1)) / face.new_tensor(STD).view(
            3, 1, 1
        )
        seen = {}
        for stage, layer in enumerate(self.backbone[: FROZEN + 1]):
            x = layer(x)
            if stage in PERCEPTUAL:
                seen[stage] = x
        return seen

    def perceive(self, face) -> list[torch.Tensor]:
        """Features to compare images by, each stage of unit mean absolute size on faces."""
        return [x * unit for x, unit in zip(self.look(face).values(), self.unit, strict=True)]

    def encode(self, seen: dict[int, torch.Tensor]):
        """w+ from what `look` returns."""
        x, found = seen[FROZEN], {COARSE: seen[COARSE]}
        for stage in range(FROZEN + 1, DEEP + 1):
            x = self.backbone[stage](x)
            if stage in (MIDDLE, DEEP):
                found[stage] = x
        size = (found[DEEP].shape[-2], found[DEEP].shape[-1])
        parts = (self.coarse(found[COARSE]), self.middle(found[MIDDLE]), self.deep(found[DEEP]))
        x = torch.cat([F.adaptive_avg_pool2d(part, size) for part in parts], 1)
        x = F.leaky_relu(self.join(F.leaky_relu(x, 0.2)), 0.2)
        x = F.leaky_relu(self.shrink(x), 0.2)
        x = F.leaky_relu(self.summary(x.flatten(1)), 0.2)
        x = torch.cat((self.regression(seen[FROZEN].flatten(1)), self.squeeze(x)), 1)
        offsets = self.offsets(x).view(len(x), -1, self.w_avg.shape[0])
        return self.w_avg + offsets[:, self.layer_of] * self.w_std
