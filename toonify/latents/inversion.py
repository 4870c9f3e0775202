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
PIXELS, REGULARIZATION = 1.0, 0.01  # weights; the perceptual distance has 1
FULL_RES_FRACTIONS = (0.0, 1 / 3, 2 / 3)  # of the steps, at which the full image is drawn
BACKDROP = 0.2  # what a place far from the face counts, beside 1 on it
STD_SAMPLES = 20_000  # of w, to know its spread


@dataclasses.dataclass(frozen=True, eq=False)
class PerceptualModel:
    """What refinement compares images by, for a generator without an encoder.

    Args:
        perceive: images (N, 3, H, W) in [-1, 1] -> a list of features.
        layer_of: (L,) integers from 0; layers of w+ with the same number move together.
        w_std: (D,) standard deviation of w.
    """

    perceive: Callable[[torch.Tensor], list[torch.Tensor]]
    layer_of: torch.Tensor
    w_std: torch.Tensor


def side_for(generator) -> int:
    """Pixels a side at which a generator's pictures are compared with a face."""
    return min(SIDE, generator.resolution)


def check_encoder(settings: Mapping[str, object], generator) -> None:
    """ValueError if an encoder built with `settings` cannot be one of `generator`."""
    target_features = {"num_ws": generator.num_ws, "w_dim": generator.config.w_dim, "side": SIDE}
    for name, value in target_features.items():
        if settings.get(name, value) != value:
            raise ValueError(
                f"its {name} is {settings[name]}, and the base needs {value}; expected an encoder"
                " that was trained with the base"
            )


def make_perceptual_model(generator, perceive) -> PerceptualModel:
    """The perceptual model of a generator that has no encoder."""
    rows = torch.arange(generator.num_ws, device=generator.mapping.w_avg.device)
    rows = rows.clamp(max=generator.synthesis.free_layers(side_for(generator)))
    return PerceptualModel(perceive, rows, std_of_w(generator.mapping, generator.config.z_dim))


@torch.no_grad()
def std_of_w(mapping, z_dim: int, seed: int = 0) -> torch.Tensor:
    """Standard deviation (D,) of w, on the mapping's device."""
    z = torch.randn(STD_SAMPLES, z_dim, generator=torch.Generator().manual_seed(seed))
    return mapping(z.to(mapping.w_avg.device)).std(0)


def refine(
    face: torch.Tensor,
    start: torch.Tensor,
    generator,
    perceptual_model,
    steps: int,
    *,
    side: int = SIDE,
    full_resolution_synthesis: Callable[[torch.Tensor], torch.Tensor] | None = None,
    visible: torch.Tensor | None = None,
    progress: Callable[[float], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
    learning_rate: float = LEARNING_RATE,
    log: list[dict[str, float]] | None = None,
) -> torch.Tensor:
    """Refines w+ so that it draws `face`, by gradient descent.

    Args:
        face: the face (1, 3, H, W) in [-1, 1].
        start: the w+ (1, L, D) to start from.
        generator: draws `side` px with `generator.synthesis(ws, side)`.
        perceptual_model: an encoder or a `PerceptualModel`; it gives the features, the layers that
            move together and the standard deviation of w.
        steps: optimizer steps, 0 or more.
        side: px at which images are compared; default 256.
        full_resolution_synthesis: draws w+ at full size, (1, 3, R, R). Three times on the way, what
            it shows more than `synthesis` is added, so that the full image fits; default: never.
        visible: (side, side), 0 where `face` shows nothing to compare with, else 1; default: all.
        progress: called with a fraction before each step.
        cancelled: returns whether to stop; then the w+ reached so far is returned.
        learning_rate: of w in units of its standard deviation; default 0.12.
        log: gets the distances of each step.

    Returns:
        w+ (1, L, D).

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
        target_features = perceptual_model.perceive(target)
    rows = perceptual_model.layer_of
    first = torch.tensor([int((rows == row).nonzero()[0]) for row in range(int(rows.max()) + 1)])
    origin = start.detach()[:, first]
    offset = torch.zeros_like(origin, requires_grad=True)  # in units of the spread of w
    optimizer = torch.optim.Adam([offset], betas=(0.9, 0.99))
    full_res_steps = (
        {round(part * steps) for part in FULL_RES_FRACTIONS} if full_resolution_synthesis else set()
    )
    more = 0.0
    for step in range(steps):
        if progress:
            progress(step / steps)
        if cancelled and cancelled():
            break
        optimizer.param_groups[0]["lr"] = learning_rate * ramp(step / steps)
        w = (origin + offset * perceptual_model.w_std)[:, rows]
        drawn = generator.synthesis(w, side)
        if full_resolution_synthesis and step in full_res_steps:
            with torch.no_grad():
                more = (
                    F.interpolate(full_resolution_synthesis(w), size=(side, side), mode="area")
                    - drawn
                )
        drawn = drawn + more
        parts = distances(drawn, target, perceptual_model.perceive(drawn), target_features, weight)
        loss = (
            parts["perceptual"] + PIXELS * parts["pixels"] + REGULARIZATION * offset.square().mean()
        )
        (offset.grad,) = torch.autograd.grad(loss, offset)
        optimizer.step()
        if log is not None:
            log.append({name: float(part) for name, part in parts.items()})
    return (origin + offset.detach() * perceptual_model.w_std)[:, rows]


def ramp(fraction: float) -> float:
    """The learning rate's factor: up within 5 % of the steps, down along a cosine at the end."""
    down = 0.5 - 0.5 * math.cos(math.pi * min(1.0, (1.0 - fraction) / 0.5))
    return down * min(1.0, (fraction + 0.02) / 0.05)


def distances(drawn, target, features, target_features, weight) -> dict[str, torch.Tensor]:
    """Distances of images (N, 3, H, W) and their features from those of a target.

    `pixels` is the mean absolute difference, `perceptual` that of features (N, C, h, w), a mean
    over the list of them; both where `weight` (1, 1, H, W) lies, and 0 for equal ones.
    """
    stages = [mean_at(a - b, weight) for a, b in zip(features, target_features, strict=True)]
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
