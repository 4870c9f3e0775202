"""Generated faces for the encoder's training, and augmentations of faces."""

import torch
import torch.nn.functional as F

from toonify.latents.inversion import SIDE
from toonify.models.layer_swap import Generator
from training.data.aligned import seeded_normal

Z, MIX, FRAME, SOFT, NOISE = range(5)  # salts of a sample's numbers


def uniforms(seeds: torch.Tensor, salt: int, *shape: int) -> torch.Tensor:
    """Uniform numbers (N, *shape) from 0 to 1, from each sample's seed and `salt` alone."""
    return torch.special.ndtr(seeded_normal(seeds, salt, *shape))


@torch.no_grad()
def generate(
    base: Generator,
    layer_of: torch.Tensor,
    seeds: torch.Tensor,
    truncation: tuple[float, float] = (0.5, 1.0),
    mixed_share: float = 0.3,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Generates faces (N, 3, SIDE, SIDE) in [-1, 1] and returns their w+ (N, num_ws, D) too.

    Args:
        base: the generator.
        layer_of: (num_ws,) the encoder's offset per layer; layers with the same one stay equal.
        seeds: int64 (N,).
        truncation: range of the random truncation.
        mixed_share: share of faces whose layers from a random one on are another person's.
    """
    mapping, device = base.mapping, base.mapping.w_avg.device
    z = seeded_normal(seeds, Z, 2, base.config.z_dim).to(device)
    u = uniforms(seeds, MIX, 3).to(device)
    w = mapping(z.flatten(0, 1)).unflatten(0, (-1, 2))
    low, high = truncation
    w = mapping.w_avg.lerp(w, (low + (high - low) * u[:, 0])[:, None, None])
    last = int(layer_of.max())
    cut = torch.where(u[:, 1] < mixed_share, 1 + (u[:, 2] * last).long(), last + 1)
    own = layer_of.to(device) < cut[:, None]
    ws = torch.where(own[..., None], w[:, :1], w[:, 1:])
    heads = base.synthesis.heads
    side = min((px for px in heads if px >= SIDE), default=max(heads))
    # One by one, as larger batches do not fit a CPU's cache.
    faces = torch.cat([base.synthesis(one[None], side) for one in ws]).clamp(-1, 1)
    if side != SIDE:
        faces = F.interpolate(faces, size=(SIDE, SIDE), mode="bilinear", antialias=True)
    return faces, ws


def move(faces, degrees, scale, shift):
    """Rotates and scales faces (N, 3, H, W) by (N,) about the center, and shifts them by (N, 2).

    A shift of 1 is the side. Borders are mirrored; 0, 1 and 0 change nothing.
    """
    angle = torch.deg2rad(degrees)
    cos, sin = angle.cos() / scale, angle.sin() / scale
    matrix = torch.stack(
        (
            torch.stack((cos, -sin, -2 * shift[:, 0]), 1),
            torch.stack((sin, cos, -2 * shift[:, 1]), 1),
        ),
        1,
    )
    grid = F.affine_grid(matrix, list(faces.shape), align_corners=False)
    return F.grid_sample(faces, grid, padding_mode="reflection", align_corners=False)


def relight(faces, gamma, tint):
    """Changes the light of faces (N, 3, H, W) in [-1, 1]: gamma (N,), channel factors (N, 3).

    1 and 1 change nothing; black stays black.
    """
    unit = ((faces + 1) / 2).clamp(1e-6, 1)
    return ((unit ** gamma.view(-1, 1, 1, 1) * tint[:, :, None, None]) * 2 - 1).clamp(-1, 1)


def soften(faces, px: int):
    """Blurs faces (N, 3, H, W) to the detail of `px` px; flat ones stay flat."""
    small = F.interpolate(faces, size=(px, px), mode="bilinear", antialias=True)
    return F.interpolate(small, size=faces.shape[-2:], mode="bilinear")
