"""Losses that several models share."""

import torch
import torch.nn.functional as F

# Rows give Y, U, V of RGB in [0, 1] (BT.601, as tf.image.rgb_to_yuv).
YUV = (
    (0.299, 0.587, 0.114),
    (-0.14714119, -0.28886916, 0.43601035),
    (0.61497538, -0.51496512, -0.10001026),
)


def gray(image: torch.Tensor) -> torch.Tensor:
    """Luma in all three channels, same shape; a gray image stays the same."""
    weights = image.new_tensor(YUV[0]).view(1, 3, 1, 1)
    return (image * weights).sum(1, keepdim=True).expand_as(image)


def yuv(image: torch.Tensor) -> torch.Tensor:
    """YUV of an image in [-1, 1], same shape: Y in [0, 1], U and V zero for gray."""
    matrix = image.new_tensor(YUV)
    return torch.einsum("kc,nchw->nkhw", matrix, (image + 1) / 2)


def gram(features: torch.Tensor, centered: bool = False) -> torch.Tensor:
    """Channel products (N, C, C) over H * W * C of each sample, in float32: half types overflow.

    `centered` subtracts each channel's mean first, as AnimeGANv3 does: texture without its tint.
    """
    with torch.autocast(features.device.type, enabled=False):
        flat = features.float().flatten(2)
        if centered:
            flat = flat - flat.mean(2, keepdim=True)
        return flat @ flat.transpose(1, 2) / (flat.shape[1] * flat.shape[2])


def feature_distance(features: list[torch.Tensor], others: list[torch.Tensor]) -> torch.Tensor:
    """Mean over the stages of the mean absolute difference; zero for equal features."""
    parts = [F.l1_loss(a.float(), b.float()) for a, b in zip(features, others, strict=True)]
    return torch.stack(parts).mean()


def style_distance(
    features: list[torch.Tensor],
    others: list[torch.Tensor],
    scales: list[float],
    centered: bool = False,
) -> torch.Tensor:
    """Mean over the stages of the mean absolute difference of Gram matrices times its scale."""
    parts = [
        scale * F.l1_loss(gram(a, centered), gram(b, centered))
        for a, b, scale in zip(features, others, scales, strict=True)
    ]
    return torch.stack(parts).mean()


def r1_penalty(D, real: torch.Tensor) -> torch.Tensor:
    """Half the squared norm of the score's gradient at real images, mean over them, in float32.

    Mescheder, Geiger, Nowozin, "Which training methods for GANs do actually converge?", ICML 2018.
    The score of a patch discriminator is the mean of its patches. |w|^2 / 2 for a linear `<w, x>`.
    """
    with torch.autocast(real.device.type, enabled=False):
        real = real.detach().float().requires_grad_(True)
        score = D(real).flatten(1).mean(1).sum()
        (gradient,) = torch.autograd.grad(score, real, create_graph=True)
        return gradient.square().sum((1, 2, 3)).mean() / 2


def total(parts: dict[str, torch.Tensor], weights: dict[str, float]):
    """Weighted sum of the parts, and the detached parts by name for the log."""
    loss = torch.stack([weights[name] * part for name, part in parts.items()]).sum()
    return loss, {name: part.detach() for name, part in parts.items()}
