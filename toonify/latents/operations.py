"""Operations on latents w and w+: truncation, mixing, edits, interpolation."""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

import numpy as np
import torch

EDIT_LIMIT = 5.0  # standard deviations; far beyond, faces fall apart


@dataclass(frozen=True, eq=False)
class Direction:
    """A direction in w+ along which an attribute of faces changes.

    Args:
        name: its name in options and files.
        label: its name in the interface.
        vector: (D,), one standard deviation; faces stay faces up to about three of them.
        layers: the first and the last layer of w+ that move along the vector.
    """

    name: str
    label: str
    vector: torch.Tensor
    layers: tuple[int, int]

    @property
    def rows(self) -> tuple[int, int]:
        """`layers` under the name of older releases."""
        return self.layers


# Moving latents -------------------------------------------------------------------------------


def normals(seeds: Iterable[int], salt: int, *shape: int) -> torch.Tensor:
    """Normal numbers (N, *shape), those of a sample from its seed and `salt` alone.

    So a sample is the same in any batch and in any process.
    """
    # Not torch's generator: on CPUs it looks at 32 bits of a seed only.
    rows = [
        np.random.default_rng((seed, salt)).standard_normal(shape, np.float32) for seed in seeds
    ]
    return torch.from_numpy(np.stack(rows))


P = ParamSpec("P")
R = TypeVar("R")


def accept_old_names(**names: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorator: keyword arguments may have an old name, with a DeprecationWarning.

    Args:
        names: old name = new name.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def call(*values: P.args, **keywords: P.kwargs) -> R:
            for old in names.keys() & keywords.keys():
                warnings.warn(f"{old}= is now {names[old]}=", DeprecationWarning, stacklevel=2)
                keywords[names[old]] = keywords.pop(old)
            return function(*values, **keywords)

        return call

    return decorate


def to_w_plus(w: torch.Tensor, layers: int, dimensions: int) -> torch.Tensor:
    """Expands w to w+, and passes w+ through.

    Args:
        w: (D,), (N, D) or w+ (N, L, D). (L, D) is L faces.
        layers: L.
        dimensions: D.

    Returns:
        w+ (N, L, D).

    Raises:
        ValueError: another shape.
    """
    w = torch.as_tensor(w, dtype=torch.float32)
    if w.shape == (dimensions,):
        w = w[None]
    if w.ndim == 2 and w.shape[1] == dimensions:
        return expand(w, layers)
    if w.ndim == 3 and w.shape[1:] == (layers, dimensions):
        return w
    raise ValueError(
        f"w has shape {tuple(w.shape)}: expected (N, {dimensions}) or w+"
        f" (N, {layers}, {dimensions})"
    )


def expand(w: torch.Tensor, layers: int) -> torch.Tensor:
    """w (N, D) -> w+ (N, layers, D), the same w in each layer."""
    check(w, "w", ("N", "D"))
    if layers < 1:
        raise ValueError(f"layers={layers}: expected 1 or more")
    return w[:, None].expand(-1, layers, -1).clone()


def truncate(
    w: torch.Tensor, w_avg: torch.Tensor, psi: float, cutoff: int | None = None
) -> torch.Tensor:
    """Moves latents towards the mean (the truncation trick).

    Args:
        w: w (N, D) or w+ (N, L, D).
        w_avg: the mean of w (D,).
        psi: 0 (the mean) to 1 (unchanged).
        cutoff: how many of the first layers of w+ move; default: all.

    Raises:
        ValueError: shapes that do not fit, or numbers out of range.

    Example:
        >>> truncate(torch.ones(1, 2), torch.zeros(2), 0.5)
        tensor([[0.5000, 0.5000]])
    """
    check(w, "w", ("N", "D"), ("N", "L", "D"))
    check(w_avg, "w_avg", (w.shape[-1],))
    if not math.isfinite(psi):
        raise ValueError(f"psi={psi}: expected a finite number, mostly 0 to 1")
    moved = w_avg + (w - w_avg) * psi
    if cutoff is None:
        return moved
    check(w, "w with a cutoff", ("N", "L", "D"))
    if not 0 <= cutoff <= w.shape[1]:
        raise ValueError(f"cutoff={cutoff}: expected 0 to {w.shape[1]}, the layers of w+")
    return torch.cat((moved[:, :cutoff], w[:, cutoff:]), 1)


@accept_old_names(row="layer")
def mix(coarse: torch.Tensor, fine: torch.Tensor, layer: int) -> torch.Tensor:
    """Style mixing: combines the layers of two w+.

    Args:
        coarse: w+ (N, L, D) that gives the layers before `layer`.
        fine: w+ (N, L, D) that gives the others.
        layer: the first layer of `fine`, 0 to L.

    Raises:
        ValueError: shapes that do not fit, or `layer` out of range.

    Example:
        >>> mix(torch.zeros(1, 3, 1), torch.ones(1, 3, 1), 2).flatten()
        tensor([0., 0., 1.])
    """
    check(coarse, "coarse", ("N", "L", "D"))
    check(fine, "fine", tuple(coarse.shape))
    if not 0 <= layer <= coarse.shape[1]:
        raise ValueError(f"layer={layer}: expected 0 to {coarse.shape[1]}, the layers of w+")
    return torch.cat((coarse[:, :layer], fine[:, layer:]), 1)


@accept_old_names(rows="layers")
def edit(
    w: torch.Tensor,
    direction: torch.Tensor,
    amount: float | torch.Tensor,
    layers: tuple[int, int] | None = None,
) -> torch.Tensor:
    """Moves latents along a direction.

    Args:
        w: w (N, D) or w+ (N, L, D).
        direction: (D,).
        amount: how many times `direction` is added; a number, or one for each sample (N,).
        layers: the first and the last layer of w+ that move; default: all.

    Raises:
        ValueError: shapes that do not fit, or numbers out of range.

    Example:
        >>> edit(torch.zeros(1, 3, 1), torch.ones(1), 2.0, layers=(0, 1)).flatten()
        tensor([2., 2., 0.])
    """
    check(w, "w", ("N", "D"), ("N", "L", "D"))
    check(direction, "direction", (w.shape[-1],))
    amount = torch.as_tensor(amount, dtype=w.dtype, device=w.device)
    if amount.ndim:
        check(amount, "amount", (len(w),))
    if not bool(torch.isfinite(amount).all()):
        raise ValueError("amount is not finite; expected a number, mostly -3 to 3")
    step = amount.reshape(-1, *[1] * (w.ndim - 1)) * direction.to(w)
    if layers is None:
        return w + step
    check(w, "w with layers", ("N", "L", "D"))
    first, last = check_layers(layers, w.shape[1])
    moved = w.clone()
    moved[:, first : last + 1] += step
    return moved


def edited(
    w: torch.Tensor, edits: Mapping[str, float] | None, directions: Mapping[str, Direction]
) -> torch.Tensor:
    """w+ (N, L, D) moved along named directions, by the amounts that `edits` has for them."""
    for name, amount in (edits or {}).items():
        direction = directions[name]
        w = edit(w, direction.vector, amount, direction.layers)
    return w


def check_edits(edits: Mapping[str, float] | None, directions: Mapping[str, Direction]) -> None:
    """ValueError for a name that is not among the directions, or an amount beyond EDIT_LIMIT."""
    for name, amount in (edits or {}).items():
        if name not in directions:
            known = ", ".join(directions) or "none"
            raise ValueError(f"edits: {name!r} is not a direction; expected one of {known}")
        if not -EDIT_LIMIT <= amount <= EDIT_LIMIT:
            raise ValueError(
                f"edits: {name}={amount!r}: expected -{EDIT_LIMIT:g} to {EDIT_LIMIT:g}"
            )


def around(keys: torch.Tensor, steps: int) -> torch.Tensor:
    """A path of `steps` latents through all keys (K, ...) in turn and back to the first.

    It slows down at each key (smoothstep). The first latent is the first key, and the last is the
    one before it, so that the path can be played round and round.
    """
    if len(keys) < 2:
        raise ValueError(f"keys: {len(keys)} given, expected 2 or more")
    if steps < len(keys):
        raise ValueError(f"steps={steps}: expected {len(keys)} or more, one for each key")
    place = torch.arange(steps, dtype=torch.float64) * len(keys) / steps
    first = place.long()
    way = place - first
    way = (way * way * (3 - 2 * way)).to(keys).reshape(-1, *[1] * (keys.ndim - 1))
    return torch.lerp(keys[first], keys[(first + 1) % len(keys)], way)


def interpolate(
    start: torch.Tensor, end: torch.Tensor, steps: int, loop: bool = False
) -> torch.Tensor:
    """A path between two latents that starts and ends slowly (smoothstep).

    Args:
        start: a latent (1, D) or (1, L, D).
        end: another of the same shape.
        steps: latents on the path, 2 or more.
        loop: whether the path returns; its last latent is then the one before the start, so that
            it can be repeated. Default False.

    Returns:
        Latents (steps, D) or (steps, L, D).

    Raises:
        ValueError: shapes that do not fit, or fewer than 2 steps.

    Example:
        >>> interpolate(torch.zeros(1, 1), torch.ones(1, 1), 3).flatten()
        tensor([0.0000, 0.5000, 1.0000])
    """
    check(start, "start", (1, "D"), (1, "L", "D"))
    check(end, "end", tuple(start.shape))
    if steps < 2:
        raise ValueError(f"steps={steps}: expected 2 or more")
    if loop:
        way = 1 - (1 - 2 * torch.arange(steps, dtype=torch.float64) / steps).abs()
    else:
        way = torch.linspace(0, 1, steps, dtype=torch.float64)
    way = (way * way * (3 - 2 * way)).to(start).reshape(-1, *[1] * (start.ndim - 1))
    return torch.lerp(start, end, way)


# Checks ---------------------------------------------------------------------------------------


def check(tensor: torch.Tensor, name: str, *shapes: tuple[int | str, ...]) -> None:
    """Raises unless the shape is one of `shapes`, where a letter stands for any size."""
    found = tuple(tensor.shape)
    for shape in shapes:
        if len(shape) == len(found) and all(
            isinstance(side, str) or side == size for side, size in zip(shape, found, strict=True)
        ):
            return
    expected = " or ".join(f"({', '.join(map(str, shape))})" for shape in shapes)
    raise ValueError(f"{name} has the shape {found}; expected {expected}")


def check_layers(layers: Sequence[int], count: int | None = None) -> tuple[int, int]:
    """The first and the last layer of w+; ValueError for other numbers, or beyond `count`."""
    if len(layers) == 2 and all(type(layer) is int for layer in layers):
        first, last = layers
        if 0 <= first <= last and (count is None or last < count):
            return first, last
    end = "" if count is None else f" up to {count - 1}"
    raise ValueError(f"layers={layers}: expected the first and the last layer{end}")
