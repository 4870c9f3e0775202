"""Generated faces that the encoder is trained on, moved, relit and softened."""

import torch
import torch.nn.functional as F

from toonify.latents.inversion import SIDE
from toonify.models.layer_swap import Generator
from training.data.aligned import normals

Z, MIX, FRAME, SOFT, NOISE = range(5)  # salts of a sample's numbers


def uniforms(seeds: torch.Tensor, salt: int, *shape: int) -> torch.Tensor:
    """Numbers (N, *shape) from 0 to 1, those of a sample from its seed and `salt` alone."""
    return torch.special.ndtr(normals(seeds, salt, *shape))


@torch.no_grad()
def generate(
    base: Generator,
    row_of: torch.Tensor,
    seeds: torch.Tensor,
    truncation: tuple[float, float] = (0.5, 1.0),
    mixed_share: float = 0.3,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Faces (N, 3, SIDE, SIDE) in [-1, 1] and the w+ (N, num_ws, D) they were drawn from.

    Truncation is drawn from its range. A share has the rows from a random one on of somebody else;
    `row_of` (num_ws,) says which rows an encoder cannot tell apart, and these stay equal.
    """
    mapping, device = base.mapping, base.mapping.w_avg.device
    z = normals(seeds, Z, 2, base.config.z_dim).to(device)
    u = uniforms(seeds, MIX, 3).to(device)
    w = mapping(z.flatten(0, 1)).unflatten(0, (-1, 2))
    low, high = truncation
    w = mapping.w_avg.lerp(w, (low + (high - low) * u[:, 0])[:, None, None])
    last = int(row_of.max())
    cut = torch.where(u[:, 1] < mixed_share, 1 + (u[:, 2] * last).long(), last + 1)
    own = row_of.to(device) < cut[:, None]
    ws = torch.where(own[..., None], w[:, :1], w[:, 1:])
    heads = base.synthesis.heads
    side = min((px for px in heads if px >= SIDE), default=max(heads))
    # One by one: larger batches fall out of the cache of a CPU.
    faces = torch.cat([base.synthesis(one[None], side) for one in ws]).clamp(-1, 1)
    if side != SIDE:
        faces = F.interpolate(faces, size=(SIDE, SIDE), mode="bilinear", antialias=True)
    return faces, ws


def moved(faces, degrees, scale, shift):
    """Faces (N, 3, H, W) turned and scaled (N,) about the middle and shifted (N, 2), same shape.

    A shift of 1 is the side; what comes in from outside is mirrored. With 0, 1 and 0 nothing moves.
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


def relit(faces, gamma, tint):
    """Faces (N, 3, H, W) in [-1, 1] in other light: to the power (N,), channels times (N, 3).

    With 1 and 1 nothing changes; black stays black, and white white but for the tint.
    """
    unit = ((faces + 1) / 2).clamp(1e-6, 1)
    return ((unit ** gamma.view(-1, 1, 1, 1) * tint[:, :, None, None]) * 2 - 1).clamp(-1, 1)


def softened(faces, px: int):
    """Faces (N, 3, H, W) with the detail of `px` px a side, same shape; flat ones stay flat."""
    small = F.interpolate(faces, size=(px, px), mode="bilinear", antialias=True)
    return F.interpolate(small, size=faces.shape[-2:], mode="bilinear")
