"""Refines the latent of a face: optimization from the encoder's answer until the picture fits.

The projection of StyleGAN2 (Karras et al. 2020, appendix D) started from an encoder (Richardson et
al. 2021) and measured at 256 px, which takes a small part of the steps and of the time of one that
starts from the mean face and draws 1024 px. Where a generator has no encoder, the mean face is the
start nevertheless. The noise maps stay as they are: a latent that leaves likeness to them can be
neither edited nor drawn as a toon.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F

SIDE = 256  # px of the pictures that are compared; of a smaller generator all it draws
LEARNING_RATE = 0.12  # of w in units of its spread
PIXELS, PULL = 1.0, 0.01  # weights beside the perceptual distance, which has 1
LOOKS = (0.0, 1 / 3, 2 / 3)  # parts of the way at which the full picture is drawn
BACKDROP = 0.2  # what a place far from the face counts, beside 1 on it
SPREAD_DRAWS = 20_000  # of w, to know its spread


@dataclasses.dataclass(frozen=True, eq=False)
class Guide:
    """What leads a refinement: an encoder of the generator, or this where there is none.

    perceive: pictures (N, 3, H, W) in [-1, 1] -> a list of features to compare them by.
    layer_of: (L,) whole numbers from 0 on; rows of w+ that have the same one move together.
    w_std: (D,) how far w spreads.
    """

    perceive: Callable[[torch.Tensor], list[torch.Tensor]]
    layer_of: torch.Tensor
    w_std: torch.Tensor


def side_for(generator) -> int:
    """Pixels a side at which a generator's pictures are compared with a face."""
    return min(SIDE, generator.resolution)


def check_encoder(settings: Mapping[str, object], generator) -> None:
    """ValueError if an encoder built with `settings` cannot be one of `generator`."""
    wanted = {"num_ws": generator.num_ws, "w_dim": generator.config.w_dim, "side": SIDE}
    for name, value in wanted.items():
        if settings.get(name, value) != value:
            raise ValueError(
                f"its {name} is {settings[name]}, and the base needs {value}; expected an encoder"
                " that was trained with the base"
            )


def guide_for(generator, perceive) -> Guide:
    """The guide of a generator that has no encoder."""
    rows = torch.arange(generator.num_ws, device=generator.mapping.w_avg.device)
    rows = rows.clamp(max=generator.synthesis.free_layers(side_for(generator)))
    return Guide(perceive, rows, spread_of_w(generator.mapping, generator.config.z_dim))


@torch.no_grad()
def spread_of_w(mapping, z_dim: int, seed: int = 0) -> torch.Tensor:
    """Standard deviation (D,) of w, on the mapping's device."""
    z = torch.randn(SPREAD_DRAWS, z_dim, generator=torch.Generator().manual_seed(seed))
    return mapping(z.to(mapping.w_avg.device)).std(0)


def refine(
    face: torch.Tensor,
    start: torch.Tensor,
    generator,
    guide,
    steps: int,
    *,
    side: int = SIDE,
    whole: Callable[[torch.Tensor], torch.Tensor] | None = None,
    visible: torch.Tensor | None = None,
    progress: Callable[[float], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
    learning_rate: float = LEARNING_RATE,
    log: list[dict[str, float]] | None = None,
) -> torch.Tensor:
    """w+ (1, L, D), refined from `start` (1, L, D) so that it draws `face` (1, 3, H, W) in [-1, 1].

    `generator` draws `side` px with `generator.synthesis(ws, side)`; `guide`, an encoder or a
    `Guide`, compares by `perceive`, and its `layer_of`, `w_std` say which layers move together and
    how far w spreads. `whole(ws)` draws at full size, (1, 3, R, R): a few times on the way, what it
    shows more than the head is added to the head's pictures, so that it is the full picture that
    comes to fit. `visible` (side, side) is 0 where `face` shows nothing to compare with, 1
    elsewhere. `progress` is told a fraction before each step. When `cancelled()` is true, what has
    been reached is returned. `log` gets the distances of each step.

    Raises:
        ValueError: steps below 0, or shapes that do not fit.
    """
    if steps < 0:
        raise ValueError(f"steps={steps}: expected 0 or more")
    if start.ndim != 3 or len(start) != 1 or len(face) != 1:
        raise ValueError(
            f"start is {tuple(start.shape)} and face {tuple(face.shape)}: expected one w+ (1, L, D)"
            " and one picture (1, 3, H, W)"
        )
    if not steps:
        return start
    device = start.device
    target = F.interpolate(face.float(), size=(side, side), mode="bilinear", antialias=True)
    target = target.to(device)
    weight = face_weight(side, device)
    if visible is not None:
        weight = weight * visible.to(device)
    with torch.no_grad():
        wanted = guide.perceive(target)
    rows = guide.layer_of
    first = torch.tensor([int((rows == row).nonzero()[0]) for row in range(int(rows.max()) + 1)])
    origin = start.detach()[:, first]
    offset = torch.zeros_like(origin, requires_grad=True)  # in units of the spread of w
    optimizer = torch.optim.Adam([offset], betas=(0.9, 0.99))
    looks = {round(part * steps) for part in LOOKS} if whole else set()
    more = 0.0
    for step in range(steps):
        if progress:
            progress(step / steps)
        if cancelled and cancelled():
            break
        optimizer.param_groups[0]["lr"] = learning_rate * ramp(step / steps)
        w = (origin + offset * guide.w_std)[:, rows]
        drawn = generator.synthesis(w, side)
        if step in looks:
            with torch.no_grad():
                more = F.interpolate(whole(w), size=(side, side), mode="area") - drawn
        drawn = drawn + more
        parts = distances(drawn, target, guide.perceive(drawn), wanted, weight)
        loss = parts["perceptual"] + PIXELS * parts["pixels"] + PULL * offset.square().mean()
        (offset.grad,) = torch.autograd.grad(loss, offset)
        optimizer.step()
        if log is not None:
            log.append({name: float(part) for name, part in parts.items()})
    return (origin + offset.detach() * guide.w_std)[:, rows]


def ramp(fraction: float) -> float:
    """The learning rate's factor: up within 5 % of the steps, down along a cosine at the end."""
    down = 0.5 - 0.5 * math.cos(math.pi * min(1.0, (1.0 - fraction) / 0.5))
    return down * min(1.0, (fraction + 0.02) / 0.05)


def distances(drawn, target, features, wanted, weight) -> dict[str, torch.Tensor]:
    """How far pictures (N, 3, H, W) are from a target, and their features from those wanted.

    `pixels` is the mean absolute difference, `perceptual` that of features (N, C, h, w), a mean
    over the list of them; both where `weight` (1, 1, H, W) lies, and 0 for equal ones.
    """
    stages = [mean_at(a - b, weight) for a, b in zip(features, wanted, strict=True)]
    return {
        "pixels": mean_at(drawn - target, weight),
        "perceptual": torch.stack(stages).mean(),
    }


def mean_at(difference: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Mean absolute value of (N, C, h, w) where `weight` (1, 1, H, W) lies; 0 if none."""
    weight = F.interpolate(weight, size=difference.shape[-2:], mode="area")
    distance = (difference.abs().mean(1, keepdim=True) * weight).sum()
    return distance / (weight.sum() * len(difference))


def face_weight(side: int, device: torch.device | str = "cpu") -> torch.Tensor:
    """(1, 1, side, side): 1 on the face and hair of an FFHQ crop, `BACKDROP` far from them."""
    line = torch.linspace(-1, 1, side, device=device)
    y, x = torch.meshgrid(line, line, indexing="ij")
    outside = ((x / 0.62).square() + ((y - 0.08) / 0.78).square() - 1).clamp(0, 1)
    return (1 - (1 - BACKDROP) * outside)[None, None]
