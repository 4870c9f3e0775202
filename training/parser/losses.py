"""Losses and scores of masks."""

import torch
import torch.nn.functional as F


def edges(masks: torch.Tensor, px: int) -> torch.Tensor:
    """1 within `px` px of a mask's edge, 0 elsewhere; (N, C, H, W); zero for a flat mask."""
    side = 2 * px + 1
    most = F.max_pool2d(masks, side, 1, px)
    least = -F.max_pool2d(-masks, side, 1, px)
    return most - least


def cross_entropy(logits, masks: torch.Tensor, edge_weight: float) -> torch.Tensor:
    """Binary cross-entropy, in which pixels at edges weigh `1 + edge_weight`; log 2 for zeros."""
    weight = 1 + edge_weight * edges(masks, 2)
    loss = F.binary_cross_entropy_with_logits(logits, masks, reduction="none")
    return (weight * loss).sum() / weight.sum()


def dice(logits: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    """1 minus the Dice overlap of each class over the batch, mean over classes; 0 if equal."""
    found, axes = torch.sigmoid(logits), (0, 2, 3)
    both = (found * masks).sum(axes)
    return (1 - (2 * both + 1) / (found.sum(axes) + masks.sum(axes) + 1)).mean()


def overlap(found: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    """Intersection over union (N, C) of boolean masks (N, C, H, W); 1 where both are empty."""
    both = (found & masks).sum((2, 3))
    either = (found | masks).sum((2, 3))
    return torch.where(either > 0, both / either.clamp_min(1), torch.ones_like(both, dtype=float))


def edge_score(found: torch.Tensor, masks: torch.Tensor, px: int = 2) -> torch.Tensor:
    """F-score (N, C) of the edges of boolean masks, correct within `px` px; 1 without edges."""

    def outline(mask):
        return edges(mask.float(), 1) > 0

    def near(mask):
        return F.max_pool2d(mask.float(), 2 * px + 1, 1, px) > 0

    ours, theirs = outline(found), outline(masks)
    hits = (ours & near(theirs)).sum((2, 3)) + (theirs & near(ours)).sum((2, 3))
    count = ours.sum((2, 3)) + theirs.sum((2, 3))
    return torch.where(count > 0, hits / count.clamp_min(1), torch.ones_like(hits, dtype=float))
