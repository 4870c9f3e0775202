"""The slow copy of a generator whose pictures are the ones to keep."""

import copy

import torch
from torch import nn


class EMA:
    """Exponential moving average of parameters, with buffers copied, counted in images.

    `half_life_images`: images after which a weight's influence has halved. Early in a run the
    half-life is at most `ramp` of the images seen, so that the copy does not remember the start
    (Karras et al., StyleGAN2-ADA, `ema_rampup`). Diffusers' own EMA drops buffers, hence this one.
    """

    def __init__(self, network: nn.Module, half_life_images: float, ramp: float = 0.05):
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self.half_life_images = half_life_images
        self.ramp = ramp

    @torch.no_grad()
    def update(self, network: nn.Module, batch: int, images: int) -> None:
        """Moves towards `network`, which has seen `images` images, the last `batch` just now."""
        half_life = min(self.half_life_images, self.ramp * images)
        keep = 0.5 ** (batch / max(half_life, 1e-8))
        for slow, fast in zip(self.network.parameters(), network.parameters(), strict=True):
            slow.lerp_(fast.detach().to(slow.dtype), 1 - keep)
        for slow, fast in zip(self.network.buffers(), network.buffers(), strict=True):
            slow.copy_(fast)

    def state_dict(self) -> dict:
        return self.network.state_dict()

    def load_state_dict(self, state: dict) -> None:
        self.network.load_state_dict(state, strict=True)
