"""Losses of AnimeGANv2 as pure functions of tensors; images are (N, 3, H, W) in [-1, 1].

Chen et al., AnimeGANv2 (2020). Features come in as lists of tensors, so that no loss knows which
perceptual network made them.
"""

import torch
import torch.nn.functional as F

# Rows give Y, U, V of RGB in [0, 1] (BT.601, as tf.image.rgb_to_yuv).
YUV = (
    (0.299, 0.587, 0.114),
    (-0.14714119, -0.28886916, 0.43601035),
    (0.61497538, -0.51496512, -0.10001026),
)


def grey(image: torch.Tensor) -> torch.Tensor:
    """Luma in all three channels, same shape; a grey image comes back as it went in."""
    weights = image.new_tensor(YUV[0]).view(1, 3, 1, 1)
    return (image * weights).sum(1, keepdim=True).expand_as(image)


def yuv(image: torch.Tensor) -> torch.Tensor:
    """YUV of an image in [-1, 1], same shape: Y in [0, 1], U and V zero for grey."""
    matrix = image.new_tensor(YUV)
    return torch.einsum("kc,nchw->nkhw", matrix, (image + 1) / 2)


def gram(features: torch.Tensor) -> torch.Tensor:
    """Channel products (N, C, C) over H * W * C of each sample, in float32: half types overflow."""
    with torch.autocast(features.device.type, enabled=False):
        flat = features.float().flatten(2)
        return flat @ flat.transpose(1, 2) / (flat.shape[1] * flat.shape[2])


def feature_distance(features: list[torch.Tensor], others: list[torch.Tensor]) -> torch.Tensor:
    """Mean over the stages of the mean absolute difference; zero for equal features."""
    parts = [F.l1_loss(a.float(), b.float()) for a, b in zip(features, others, strict=True)]
    return torch.stack(parts).mean()


def style_distance(
    features: list[torch.Tensor], others: list[torch.Tensor], scales: list[float]
) -> torch.Tensor:
    """Mean over the stages of the mean absolute difference of Gram matrices times its scale."""
    parts = [
        scale * F.l1_loss(gram(a), gram(b))
        for a, b, scale in zip(features, others, scales, strict=True)
    ]
    return torch.stack(parts).mean()


def colour(image: torch.Tensor, photo: torch.Tensor) -> torch.Tensor:
    """Absolute error of Y plus Huber errors (delta 1) of U and V; zero for equal images."""
    with torch.autocast(image.device.type, enabled=False):
        ours, theirs = yuv(image.float()), yuv(photo.float())
        light = F.l1_loss(ours[:, :1], theirs[:, :1])
        # The Huber means of U and of V are summed; one call over both would halve them.
        return light + 2 * F.huber_loss(ours[:, 1:], theirs[:, 1:])


def chroma(image: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Mean absolute error of U and V, light left out; zero for two greys, however different."""
    with torch.autocast(image.device.type, enabled=False):
        return F.l1_loss(yuv(image.float())[:, 1:], yuv(other.float())[:, 1:])


def total_variation(image: torch.Tensor) -> torch.Tensor:
    """Half the mean squared step to the next row plus the same for columns; zero if flat."""
    image = image.float()
    rows = (image[:, :, 1:] - image[:, :, :-1]).square().mean()
    columns = (image[..., 1:] - image[..., :-1]).square().mean()
    return (rows + columns) / 2


def adversarial_g(score_fake: torch.Tensor) -> torch.Tensor:
    """Least-squares GAN loss of the generator: mean squared distance of its scores to 1."""
    return (score_fake.float() - 1).square().mean()


def adversarial_d(scores: dict[str, torch.Tensor], weights: dict[str, float]) -> torch.Tensor:
    """The four terms of AnimeGANv2: `real` scores go to 1; `fake`, `grey`, `smooth` ones to 0."""
    loss = weights["real"] * (scores["real"].float() - 1).square().mean()
    for name in ("fake", "grey", "smooth"):
        loss = loss + weights[name] * scores[name].float().square().mean()
    return loss


def total(parts: dict[str, torch.Tensor], weights: dict[str, float]):
    """Weighted sum of the parts, and {name: detached part} for the log."""
    loss = torch.stack([weights[name] * part for name, part in parts.items()]).sum()
    return loss, {name: part.detach() for name, part in parts.items()}
