"""Operations on latents w and w+: truncation, mixing, edits, interpolation."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import torch

EDIT_LIMIT = 5.0  # standard deviations; far beyond, faces fall apart


@dataclass(frozen=True, eq=False)
class Direction:
    """A way in which faces change: w+ rows first to last (both included) move along the vector.

    vector: (D,); a face stays a face when it is added or taken off up to about three times.
    label: what it is called on the screen.
    """

    name: str
    label: str
    vector: torch.Tensor
    rows: tuple[int, int]


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


def as_rows(w: torch.Tensor, rows: int, dimensions: int) -> torch.Tensor:
    """w (D,), (N, D) or w+ (N, L, D) -> w+ (N, L, D); ValueError for other shapes.

    L is `rows` and D `dimensions`. (L, D) is L faces, as it is for any other number.
    """
    w = torch.as_tensor(w, dtype=torch.float32)
    if w.shape == (dimensions,):
        w = w[None]
    if w.ndim == 2 and w.shape[1] == dimensions:
        return expand(w, rows)
    if w.ndim == 3 and w.shape[1:] == (rows, dimensions):
        return w
    raise ValueError(
        f"w has shape {tuple(w.shape)}: expected (N, {dimensions}) or w+ (N, {rows}, {dimensions})"
    )


def expand(w: torch.Tensor, rows: int) -> torch.Tensor:
    """w (N, D) -> w+ (N, rows, D), the same w in each row."""
    check(w, "w", ("N", "D"))
    if rows < 1:
        raise ValueError(f"rows={rows}: expected 1 or more")
    return w[:, None].expand(-1, rows, -1).clone()


def truncate(
    w: torch.Tensor, w_avg: torch.Tensor, psi: float, cutoff: int | None = None
) -> torch.Tensor:
    """w (N, D) or w+ (N, L, D) moved towards the mean w_avg (D,); psi 1 keeps it, 0 is the mean.

    With `cutoff` only the first rows of w+, as many, are moved.
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
        raise ValueError(f"cutoff={cutoff}: expected 0 to {w.shape[1]}, the rows of w")
    return torch.cat((moved[:, :cutoff], w[:, cutoff:]), 1)


def mix(coarse: torch.Tensor, fine: torch.Tensor, row: int) -> torch.Tensor:
    """Style mixing of two w+ (N, L, D): rows before `row` from `coarse`, the others from `fine`."""
    check(coarse, "coarse", ("N", "L", "D"))
    check(fine, "fine", tuple(coarse.shape))
    if not 0 <= row <= coarse.shape[1]:
        raise ValueError(f"row={row}: expected 0 to {coarse.shape[1]}, the rows of w+")
    return torch.cat((coarse[:, :row], fine[:, row:]), 1)


def edit(
    w: torch.Tensor,
    direction: torch.Tensor,
    amount: float | torch.Tensor,
    rows: tuple[int, int] | None = None,
) -> torch.Tensor:
    """w (N, D) or w+ (N, L, D) with amount * direction (D,) added.

    `amount` is a number, or one for each sample (N,). `rows` are the first and the last row of w+
    that move; None: all.
    """
    check(w, "w", ("N", "D"), ("N", "L", "D"))
    check(direction, "direction", (w.shape[-1],))
    amount = torch.as_tensor(amount, dtype=w.dtype, device=w.device)
    if amount.ndim:
        check(amount, "amount", (len(w),))
    if not bool(torch.isfinite(amount).all()):
        raise ValueError("amount is not finite; expected a number, mostly -3 to 3")
    step = amount.reshape(-1, *[1] * (w.ndim - 1)) * direction.to(w)
    if rows is None:
        return w + step
    check(w, "w with rows", ("N", "L", "D"))
    first, last = check_rows(rows, w.shape[1])
    moved = w.clone()
    moved[:, first : last + 1] += step
    return moved


def edited(
    w: torch.Tensor, edits: Mapping[str, float] | None, directions: Mapping[str, Direction]
) -> torch.Tensor:
    """w+ (N, L, D) moved along named directions, by the amounts that `edits` has for them."""
    for name, amount in (edits or {}).items():
        direction = directions[name]
        w = edit(w, direction.vector, amount, direction.rows)
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
    """A path of `steps` latents between two of shape (1, D) or (1, L, D): (steps, D or L, D).

    It leaves and arrives slowly (smoothstep). A loop goes to the end and back again; its last
    latent is the one before the start, so that it can be played round and round.
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


def check_rows(rows: tuple[int, int], count: int | None = None) -> tuple[int, int]:
    whole = len(rows) == 2 and all(type(row) is int for row in rows)
    if not whole or not 0 <= rows[0] <= rows[1] or (count is not None and rows[1] >= count):
        end = "" if count is None else f" up to {count - 1}"
        raise ValueError(f"rows={rows}: expected the first and the last row{end}")
    return tuple(rows)
