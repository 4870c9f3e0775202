"""Exponential moving average of a generator's weights."""

import copy

import torch
from torch import nn


class EMA:
    """Exponential moving average of parameters; buffers are copied, which diffusers' EMA drops.

    Args:
        network: the network to average.
        half_life_images: number of images after which a weight's influence has halved.
        ramp: the half-life is at most this share of the images so far, so that the average forgets
            the initialization (Karras et al., StyleGAN2-ADA, `ema_rampup`).
    """

    def __init__(self, network: nn.Module, half_life_images: float, ramp: float = 0.05):
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self.half_life_images = half_life_images
        self.ramp = ramp

    @torch.no_grad()
    def update(self, network: nn.Module, batch: int, images: int) -> None:
        """Moves towards `network`, which has seen `images` images, `batch` of them in this step."""
        half_life = min(self.half_life_images, self.ramp * images)
        keep = 0.5 ** (batch / max(half_life, 1e-8))
        for mean, new in zip(self.network.parameters(), network.parameters(), strict=True):
            mean.lerp_(new.detach().to(mean.dtype), 1 - keep)
        for mean, new in zip(self.network.buffers(), network.buffers(), strict=True):
            mean.copy_(new)

    def state_dict(self) -> dict:
        return self.network.state_dict()

    def load_state_dict(self, state: dict) -> None:
        self.network.load_state_dict(state, strict=True)
