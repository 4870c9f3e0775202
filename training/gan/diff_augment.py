"""DiffAugment: differentiable augmentation of what a discriminator sees.

Zhao et al., "Differentiable augmentation for data-efficient GAN training", NeurIPS 2020.
"""

import torch

from training.data.aligned import seeded_normal
from training.gan.ada import cut_out, take


def color_jitter(images: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
    """Brightness +-0.5, saturation 0 to 2, contrast 0.5 to 1.5, by `u` (N, 3) in [0, 1)."""
    bright, saturation, contrast = u.to(images).T.reshape(3, -1, 1, 1, 1)
    images = images + bright - 0.5
    luma = images.mean(1, keepdim=True)
    images = luma + 2 * saturation * (images - luma)
    mean = images.mean((1, 2, 3), keepdim=True)
    return mean + (contrast + 0.5) * (images - mean)


def translate(images: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
    """Shifts by whole pixels, up to an eighth of a side, by `u` (N, 2); gray fills the gap."""
    index, inside = [], []
    for size, share in zip(images.shape[2:], u.T, strict=True):
        most = int(size / 8 + 0.5)
        step = (share * (2 * most + 1)).long() - most
        at = torch.arange(size) - step[:, None]
        index.append(at.clamp(0, size - 1))
        inside.append((at >= 0) & (at < size))
    visible = inside[0][:, None, :, None] & inside[1][:, None, None, :]
    return take(images, *index) * visible.to(images)


def cut_half(images: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
    """A gray box of half of each side, its center anywhere, by `u` (N, 2)."""
    return cut_out(images, torch.full_like(u[:, 0], 0.5), u[:, 0], u[:, 1])


# Policy -> its function, and which of a sample's seven uniform numbers it uses.
POLICIES = {
    "color": (color_jitter, slice(0, 3)),
    "translation": (translate, slice(3, 5)),
    "cutout": (cut_half, slice(5, 7)),
}


def diff_augment(
    images: torch.Tensor,
    seeds: torch.Tensor,
    policy: tuple[str, ...] = ("color", "translation", "cutout"),
) -> torch.Tensor:
    """Augments every sample by every policy in turn; values may leave [-1, 1].

    Args:
        images: (N, 3, H, W) in [-1, 1].
        seeds: int64 (N,) on the CPU; a sample's augmentation depends on its seed alone.
        policy: names of `POLICIES`.

    Raises:
        ValueError: there is no such policy.
    """
    unknown = sorted(set(policy) - set(POLICIES))
    if unknown:
        raise ValueError(f"policy {unknown}: expected some of {', '.join(POLICIES)}")
    assert seeds.shape == images.shape[:1], (seeds.shape, images.shape)
    u = torch.special.ndtr(seeded_normal(seeds, 0, 7).double())
    with torch.autocast(images.device.type, enabled=False):
        wide = images.float() if images.dtype.itemsize < 4 else images
        for name in policy:
            change, which = POLICIES[name]
            wide = change(wide, u[:, which])
        return wide.to(images.dtype)
