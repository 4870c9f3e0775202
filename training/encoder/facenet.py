"""FaceNet's identity features."""

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn


class FaceNet(nn.Module):
    """FFHQ-aligned faces (N, 3, H, W) in [-1, 1] -> unit embeddings (N, 512); frozen.

    Inception ResNet of facenet-pytorch, trained on VGGFace2. Its weights are not included; they are
    read from torch's cache.
    """

    url = (
        "https://github.com/timesler/facenet-pytorch/releases/download/v2.2.9/"
        "20180402-114759-vggface2.pt"
    )
    side = 160
    center, part = (0.6, 0.5), 0.69  # of the crop: middle (row, column) and side of the face

    def __init__(self):
        super().__init__()
        from facenet_pytorch import InceptionResnetV1  # here, since it takes seconds to import

        file = Path(torch.hub.get_dir(), "checkpoints", self.url.rpartition("/")[2])
        try:
            state = torch.load(file, map_location="cpu", weights_only=True)
        except (OSError, RuntimeError) as error:
            raise ValueError(
                f"--identity facenet: its weights (107 MB) are not there ({error}); "
                f"download {self.url} to {file}, or leave out --identity"
            ) from error
        self.network = InceptionResnetV1()
        # Without its classifier.
        self.network.load_state_dict({k: v for k, v in state.items() if "logits" not in k})
        self.requires_grad_(False).eval()

    def forward(self, face):
        height, width = face.shape[-2:]
        top, left = (round((at - self.part / 2) * height) for at in self.center)
        side = round(self.part * width)
        middle = face[..., top : top + side, left : left + side]
        size = (self.side, self.side)
        return self.network(F.interpolate(middle, size=size, mode="bilinear", antialias=True))
