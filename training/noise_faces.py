"""Faces that a generator draws from noise, one for each of consecutive seeds.

They are drawn through an engine, as users get them, which on CPUs takes half the time or less.
"""

from collections.abc import Iterator

import torch
from PIL import Image
from torch import nn

from toonify import images
from toonify.engines import open_engine
from training.aligned import normals

FACE = 0  # salt of a face's noise


class NoiseFaces:
    """A generator of `NOISE_MODELS` with its engine; seed s draws the same face in any batch."""

    def __init__(self, network: nn.Module, batch: int = 16):
        self.network, self.batch = network, batch
        self.z_dim, self.side = network.config.z_dim, network.resolution
        self.styled = hasattr(network, "mapping")
        # The mapping stays out of the engine: w in bfloat16 would be another face.
        synthesis = network.synthesis if self.styled else network.gen
        shape = (network.num_ws, network.config.w_dim) if self.styled else (self.z_dim, 1, 1)
        self.engine = open_engine(None, lambda: synthesis, shape=(-1, *shape))

    def w(self, first: int, count: int) -> torch.Tensor:
        """w (count, D) of the faces of seeds `first`, `first` + 1, ..., not truncated."""
        with torch.inference_mode():
            return self.network.mapping(self.noise(first, count))

    def noise(self, first: int, count: int) -> torch.Tensor:
        """z (count, z_dim) of seeds `first`, `first` + 1, ..."""
        return normals(torch.arange(first, first + count), FACE, self.z_dim)

    def draw(self, latents: torch.Tensor) -> Iterator[Image.Image]:
        """Pictures, R px wide, of w or w+, or of z where there is no w."""
        if self.styled and latents.ndim == 2:
            latents = latents[:, None].expand(-1, self.network.num_ws, -1)
        for part in latents.split(self.batch):
            part = part if self.styled else part[..., None, None]
            yield from map(images.to_pil, self.engine(part.contiguous()))

    def faces(self, first: int, count: int) -> Iterator[Image.Image]:
        """Faces of consecutive seeds with truncation 1.0, drawn as they are asked for."""
        for start in range(first, first + count, self.batch):
            some = min(self.batch, first + count - start)
            yield from self.draw(self.w(start, some) if self.styled else self.noise(start, some))
