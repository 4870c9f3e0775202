"""Losses of AnimeGANv2 and of paired toons."""

import numpy as np
import torch
import torch.nn.functional as F

from training.core.losses import yuv

# Linear sRGB to XYZ over the white of D65.
XYZ_OVER_WHITE = (
    (0.412453 / 0.950456, 0.357580 / 0.950456, 0.180423 / 0.950456),
    (0.212671, 0.715160, 0.072169),
    (0.019334 / 1.088754, 0.119193 / 1.088754, 0.950227 / 1.088754),
)


def color(image: torch.Tensor, photo: torch.Tensor) -> torch.Tensor:
    """Absolute error of Y plus Huber errors (delta 1) of U and V; zero for equal images."""
    with torch.autocast(image.device.type, enabled=False):
        ours, theirs = yuv(image.float()), yuv(photo.float())
        light = F.l1_loss(ours[:, :1], theirs[:, :1])
        # The Huber means of U and of V are summed; one call over both would halve them.
        return light + 2 * F.huber_loss(ours[:, 1:], theirs[:, 1:])


def chroma(image: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Mean absolute error of U and V, light left out; zero for two grays, however different."""
    with torch.autocast(image.device.type, enabled=False):
        return F.l1_loss(yuv(image.float())[:, 1:], yuv(other.float())[:, 1:])


def weighted_l1(
    image: torch.Tensor, other: torch.Tensor, weight: torch.Tensor | None
) -> torch.Tensor:
    """Mean of the absolute difference times `weight` (N, 1, H, W); None weighs 1 everywhere."""
    if weight is None:
        return F.l1_loss(image.float(), other.float())
    return ((image.float() - other.float()).abs() * weight).mean()


def weighted_features(ours: list, theirs: list, weight: torch.Tensor | None) -> torch.Tensor:
    """Mean over the stages of `weighted_l1`, with the weight averaged to the stage's size."""
    weights = [
        None if weight is None else F.adaptive_avg_pool2d(weight, found.shape[-2:])
        for found in ours
    ]
    parts = map(weighted_l1, ours, theirs, weights)
    return torch.stack(list(parts)).mean()


def edge_energies(image: torch.Tensor) -> torch.Tensor:
    """Root mean squared steps in four directions over squares of 8 px, one every 4 px.

    Image (N, C, H, W), at least 9 px a side -> (N, 4 C, h, w): along rows, columns, both diagonals.
    """
    image = image.contiguous()
    whole, right = image[..., :-1, :-1], image[..., :-1, 1:]
    below, across = image[..., 1:, :-1], image[..., 1:, 1:]
    steps = torch.cat([right - whole, below - whole, across - whole, right - below], 1)
    squares = F.avg_pool2d(steps.square(), 4)
    return (F.avg_pool2d(squares, 2, 1) + 1e-4).sqrt()


def texture(
    image: torch.Tensor, other: torch.Tensor, weight: torch.Tensor | None = None
) -> torch.Tensor:
    """Mean absolute error of edge energies at full, half and quarter size, down to 9 px a side.

    It asks for edges, dots and strokes as strong and as directed as in the other image, but not at
    the same pixel: unlike pixel distances, it does not favor a blur where their place is unknown.
    The energies of oriented bands are those of Portilla and Simoncelli, "A parametric texture model
    based on joint statistics of complex wavelet coefficients", IJCV 2000.

    Args:
        image, other: (N, 3, H, W) in [-1, 1].
        weight: as in `weighted_l1`; default: 1 everywhere.
    """
    ours, theirs, parts = image.float(), other.float(), []
    while min(ours.shape[-2:]) >= 9 and len(parts) < 3:
        parts.append(weighted_features([edge_energies(ours)], [edge_energies(theirs)], weight))
        ours, theirs = F.avg_pool2d(ours, 2), F.avg_pool2d(theirs, 2)
    return torch.stack(parts).mean()


def total_variation(image: torch.Tensor) -> torch.Tensor:
    """Half the mean squared step to the next row plus the same for columns; zero if flat."""
    image = image.float()
    rows = (image[:, :, 1:] - image[:, :, :-1]).square().mean()
    columns = (image[..., 1:] - image[..., :-1]).square().mean()
    return (rows + columns) / 2


def lab(image: torch.Tensor) -> torch.Tensor:
    """CIELAB (D65) of an image in [-1, 1], same shape: L, a and b over 100, so L is in [0, 1]."""
    with torch.autocast(image.device.type, enabled=False):
        rgb = ((image.float() + 1) / 2).clamp(0, 1)
        linear = torch.where(rgb > 0.04045, ((rgb + 0.055) / 1.055) ** 2.4, rgb / 12.92)
        xyz = torch.einsum("kc,nchw->nkhw", linear.new_tensor(XYZ_OVER_WHITE), linear)
        # The clamp keeps the root's gradient finite where the other branch is taken.
        root = torch.where(xyz > 0.008856, xyz.clamp_min(1e-4) ** (1 / 3), 7.787 * xyz + 16 / 116)
        x, y, z = root.unbind(1)
        return torch.stack([1.16 * y - 0.16, 5 * (x - y), 2 * (y - z)], 1)


def lab_color(image: torch.Tensor, photo: torch.Tensor) -> torch.Tensor:
    """Twice the absolute error of L plus those of a and b (over 100); AnimeGANv3's color term."""
    difference = (lab(image) - lab(photo)).abs().mean((0, 2, 3))
    return 2 * difference[0] + difference[1] + difference[2]


def box_mean(image: torch.Tensor, radius: int) -> torch.Tensor:
    """Mean over a square of 2 * radius + 1 px, edges counted only as far as they reach."""
    side = 2 * radius + 1
    return F.avg_pool2d(image, side, 1, radius, count_include_pad=False)


def guided_filter(image: torch.Tensor, radius: int = 2, eps: float = 0.01) -> torch.Tensor:
    """Edge-preserving smoothing of an image by itself, same shape; a flat image stays as it is.

    He, Sun, Tang, "Guided image filtering", ECCV 2010. `eps` is for values in [0, 1].
    """
    unit = (image.float() + 1) / 2
    mean = box_mean(unit, radius)
    variance = box_mean(unit * unit, radius) - mean * mean
    gain = variance / (variance + eps)
    offset = mean - gain * mean
    return 2 * (box_mean(gain, radius) * unit + box_mean(offset, radius)) - 1


def roughness(image: torch.Tensor) -> torch.Tensor:
    """Mean absolute distance of an image to its own guided filtering; zero if flat.

    Pulls texture (pores, wrinkles) down and leaves edges alone; AnimeGANv3's support tail.
    """
    return F.l1_loss(image.float(), guided_filter(image).detach())


@torch.no_grad()
def regions(image: torch.Tensor, scale: float = 5.0, smallest: int = 50) -> torch.Tensor:
    """An image with every superpixel in its mean color, same shape, without gradient.

    Felzenszwalb and Huttenlocher, IJCV 2004, by scikit-image on the CPU: slow, an option.

    Raises:
        ValueError: scikit-image is not installed.
    """
    try:
        from skimage.segmentation import felzenszwalb
    except ImportError:
        raise ValueError("--weight-region: needs scikit-image; pip install scikit-image") from None
    flat = []
    for picture in image.detach().float().cpu().permute(0, 2, 3, 1).numpy():
        labels = felzenszwalb((picture + 1) / 2, scale=scale, sigma=0.8, min_size=smallest)
        counts = np.bincount(labels.ravel())
        means = [np.bincount(labels.ravel(), picture[..., c].ravel()) / counts for c in range(3)]
        flat.append(np.stack(means, -1)[labels])
    return torch.from_numpy(np.stack(flat)).permute(0, 3, 1, 2).to(image)


def adversarial_g(score_fake: torch.Tensor, target: float = 1.0) -> torch.Tensor:
    """Least-squares GAN loss of the generator: mean squared distance of its scores to `target`."""
    return (score_fake.float() - target).square().mean()


def adversarial_d(
    scores: dict[str, torch.Tensor], weights: dict[str, float], smoothing: float = 0.0
) -> torch.Tensor:
    """The four terms of AnimeGANv2: `real` scores go to 1; `fake`, `gray`, `smooth` ones to 0.

    `smoothing` moves both targets inward, to 0.9 and 0.1 at AnimeGANv3's value of 0.1.
    """
    loss = weights["real"] * (scores["real"].float() - (1 - smoothing)).square().mean()
    for name in ("fake", "gray", "smooth"):
        loss = loss + weights[name] * (scores[name].float() - smoothing).square().mean()
    return loss
