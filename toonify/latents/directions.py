"""Directions of the latent space: closed-form factorization (SeFa) and fitted ones."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from toonify.latents.operations import check

# Finding directions ---------------------------------------------------------------------------


def sefa(weights: Sequence[torch.Tensor], count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The directions in w to which a network's styles answer most: (count, D), (count,).

    `weights` are those of its style layers, (C_i, D) each, their rows here scaled to length 1
    (Shen and Zhou 2021, "Closed-form factorization of latent semantics in GANs"). Directions are
    unit eigenvectors of A^T A, the largest eigenvalue first, their largest entry positive.
    """
    if not len(weights):
        raise ValueError("weights are empty; expected matrices (C, D)")
    for weight in weights:
        check(weight, "weights", ("C", weights[0].shape[-1] if weights[0].ndim == 2 else "D"))
    stacked = torch.cat([weight.detach().double() for weight in weights])
    stacked = stacked / stacked.norm(dim=1, keepdim=True).clamp_min(1e-12)
    if not 1 <= count <= stacked.shape[1]:
        raise ValueError(f"count={count}: expected 1 to {stacked.shape[1]}")
    values, vectors = torch.linalg.eigh(stacked.T @ stacked)
    values, vectors = values.flip(0)[:count], vectors.flip(1)[:, :count].T
    largest = vectors.gather(1, vectors.abs().argmax(1, keepdim=True))
    return (vectors * largest.sign()).float(), values.float()


def fit_direction(
    w: torch.Tensor, signal: torch.Tensor, others: Sequence[torch.Tensor] = ()
) -> tuple[torch.Tensor, float]:
    """The unit direction (D,) in which a signal grows, and how far it goes for one deviation.

    `w` (N, D) are samples, `signal` (N,) what was measured of each; only its ranks count, so that
    no outlier leads the fit. A ridge regression, its penalty chosen by leaving samples out. The
    direction is made orthogonal to `others` (D,): give it the directions fitted to what shall stay,
    and along it their prediction does not change (Shen et al. 2020, InterFaceGAN, sec. 3.3).

    Multiplied by the scale, the direction moves the predicted signal by one standard deviation.
    """
    check(w, "w", ("N", "D"))
    check(signal, "signal", (len(w),))
    for other in others:
        check(other, "others", (w.shape[1],))
    if len(w) < 3:
        raise ValueError(f"w has {len(w)} samples; expected 3 or more")
    if not bool(torch.isfinite(signal).all() and torch.isfinite(w).all()):
        raise ValueError("w or signal is not finite; leave out samples that were not measured")
    target = _normal_scores(signal.double())
    centered = w.double() - w.double().mean(0)
    normal = _ridge(centered, target)
    direction = normal
    if len(others):
        basis, _ = torch.linalg.qr(torch.stack([other.double() for other in others], 1))
        direction = normal - basis @ (basis.T @ normal)
    length = float(direction.norm())
    if length <= 1e-9 * max(float(normal.norm()), 1e-30):
        raise ValueError("signal is constant, or `others` explain it; expected one of its own")
    direction = direction / length
    return direction.float(), 1.0 / float(normal @ direction)


def _normal_scores(signal: torch.Tensor) -> torch.Tensor:
    """Values -> those that a normal sample would have at their ranks; equal values get their mean.

    All equal: zeros.
    """
    _, inverse, counts = signal.unique(return_inverse=True, return_counts=True)
    rank = (counts.cumsum(0) - (counts + 1) / 2).to(signal)[inverse]
    scores = 2**0.5 * torch.erfinv(2 * (rank + 0.5) / len(signal) - 1)
    return (scores - scores.mean()) / scores.std().clamp_min(1e-12)


def _ridge(w: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Coefficients (D,) of centered w (N, D); the penalty with the least leave-one-out error."""
    left, sizes, right = torch.linalg.svd(w, full_matrices=False)
    projected = left.T @ target
    best, chosen = math.inf, None
    for penalty in sizes.square().sum() / len(sizes) * torch.logspace(-5, 2, 29):
        kept = sizes.square() / (sizes.square() + penalty)
        residual = target - left @ (kept * projected)
        leverage = left.square() @ kept + 1 / len(w)
        error = float((residual / (1 - leverage).clamp_min(1e-6)).square().mean())
        if error < best:
            best, chosen = error, penalty
    return right.T @ (sizes / (sizes.square() + chosen) * projected)
