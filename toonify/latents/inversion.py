"""Refines the latent of a face by optimization, starting from the encoder's latent.

The projection of StyleGAN2 (Karras et al. 2020, appendix D) started from an encoder (Richardson et
al. 2021) and measured at 256 px, which takes a small part of the steps and of the time of one that
starts from the mean face and draws 1024 px. Where a generator has no encoder, the mean face is the
start. The noise maps stay as they are: a latent that relies on them for likeness can be neither
edited nor drawn as a toon.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F

SIDE = 256  # px of the compared images; smaller if the generator's are
LEARNING_RATE = 0.12  # of w in units of its standard deviation
PIXELS, REGULARIZATION = 1.0, 0.01  # weights; the perceptual distance has 1
FULL_RES_FRACTIONS = (0.0, 1 / 3, 2 / 3)  # of the steps, at which the full image is drawn
BACKDROP = 0.2  # weight of pixels far from the face; those on it have 1
STD_SAMPLES = 20_000  # of w, for its standard deviation


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
    """Pixels a side at which a generator's images are compared with a face."""
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
    layers = torch.arange(generator.num_ws, device=generator.mapping.w_avg.device)
    layers = layers.clamp(max=generator.synthesis.free_layers(side_for(generator)))
    return PerceptualModel(perceive, layers, std_of_w(generator.mapping, generator.config.z_dim))


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
        full_resolution_synthesis: draws w+ at full size, (1, 3, R, R). The detail that it adds to
            `synthesis` is measured three times and added; default: never.
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
    check_start(face, start, steps)
    if not steps:
        return start
    target = Target(face, perceptual_model.perceive, side, visible, start.device)
    descent = Descent(start, generator, perceptual_model, target)
    full_res_steps = {round(part * steps) for part in FULL_RES_FRACTIONS}
    for step in range(steps):
        if progress:
            progress(step / steps)
        if cancelled and cancelled():
            break
        full = full_resolution_synthesis if step in full_res_steps else None
        parts = descent.step(learning_rate * ramp(step / steps), full)
        if log is not None:
            log.append({name: float(part.detach()) for name, part in parts.items()})
    return descent.latent().detach()


def check_start(face: torch.Tensor, start: torch.Tensor, steps: int) -> None:
    """ValueError for arguments with which `refine` cannot start."""
    if steps < 0:
        raise ValueError(f"steps={steps}: expected 0 or more")
    if start.ndim != 3 or len(start) != 1 or len(face) != 1:
        raise ValueError(
            f"start is {tuple(start.shape)} and face {tuple(face.shape)}: expected one w+ (1, L, D)"
            " and one image (1, 3, H, W)"
        )


class Target:
    """A face to compare images with, at `side` px; its arguments are those of `refine`."""

    def __init__(self, face, perceive, side: int, visible: torch.Tensor | None, device):
        self.side, self.perceive = side, perceive
        image = F.interpolate(face.float(), size=(side, side), mode="bilinear", antialias=True)
        self.image = image.to(device)
        self.weight = face_weight(side, device)
        if visible is not None:
            self.weight = self.weight * visible.to(device)
        with torch.no_grad():
            self.features = perceive(self.image)

    def distances(self, drawn: torch.Tensor) -> dict[str, torch.Tensor]:
        return distances(drawn, self.image, self.perceive(drawn), self.features, self.weight)


class Descent:
    """Moves the layers of a w+ towards a target, in units of the standard deviation of w."""

    def __init__(self, start: torch.Tensor, generator, perceptual_model, target: Target):
        self.generator, self.target = generator, target
        self.w_std, self.layer_of = perceptual_model.w_std, perceptual_model.layer_of
        groups = range(int(self.layer_of.max()) + 1)
        first = torch.tensor([int((self.layer_of == group).nonzero()[0]) for group in groups])
        self.origin = start.detach()[:, first]
        self.offset = torch.zeros_like(self.origin, requires_grad=True)
        self.optimizer = torch.optim.Adam([self.offset], betas=(0.9, 0.99))
        self.detail: torch.Tensor | float = 0.0  # what the full image shows more

    def latent(self) -> torch.Tensor:
        """The w+ reached so far."""
        return (self.origin + self.offset * self.w_std)[:, self.layer_of]

    def step(self, learning_rate: float, full_resolution_synthesis) -> dict[str, torch.Tensor]:
        """One step of the optimizer; the distances before it. With `full_resolution_synthesis`,
        the detail of the full image is measured anew."""
        self.optimizer.param_groups[0]["lr"] = learning_rate
        w, side = self.latent(), self.target.side
        drawn = self.generator.synthesis(w, side)
        if full_resolution_synthesis:
            with torch.no_grad():
                full = F.interpolate(full_resolution_synthesis(w), size=(side, side), mode="area")
                self.detail = full - drawn
        parts = self.target.distances(drawn + self.detail)
        pull = REGULARIZATION * self.offset.square().mean()
        loss = parts["perceptual"] + PIXELS * parts["pixels"] + pull
        (self.offset.grad,) = torch.autograd.grad(loss, self.offset)
        self.optimizer.step()
        return parts


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
