"""Latents: move, mix, truncate, interpolate, store; and directions in which a face changes.

w is (N, D), what the mapping network gives; w+ is (N, L, D), one row for each place where the
synthesis network takes a w. Row 0 is the coarsest.
"""

from __future__ import annotations

import io
import json
import math
import os
import re
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

EDIT_LIMIT = 5.0  # standard deviations; far beyond, faces fall apart
_LARGEST_FILE = 2_000_000  # bytes
_LARGEST_CONTENT = 1_000_000  # bytes, unpacked
_LARGEST_VALUE = 1000.0  # of a latent; those of faces stay far below 100
_LONGEST_MODEL = 200  # characters
# How the zip reader ends on damaged files; ValueError when it is sent before the file's start.
_BROKEN = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    RuntimeError,
    OSError,
    ValueError,
    OverflowError,
)
# What numpy writes before an array; matched before anything evaluates it.
_NPY_HEADER = re.compile(
    r"\{\s*'descr'\s*:\s*'([<>|=][A-Za-z]\d{1,6})'\s*,"
    r"\s*'fortran_order'\s*:\s*(?:False|True)\s*,"
    r"\s*'shape'\s*:\s*\(((?:\d{1,12}(?:\s*,\s*\d{1,12}){0,3}\s*,?)?)\s*\)\s*,?\s*\}\s*"
)


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
    _check(w, "w", ("N", "D"))
    if rows < 1:
        raise ValueError(f"rows={rows}: expected 1 or more")
    return w[:, None].expand(-1, rows, -1).clone()


def truncate(
    w: torch.Tensor, w_avg: torch.Tensor, psi: float, cutoff: int | None = None
) -> torch.Tensor:
    """w (N, D) or w+ (N, L, D) moved towards the mean w_avg (D,); psi 1 keeps it, 0 is the mean.

    With `cutoff` only the first rows of w+, as many, are moved.
    """
    _check(w, "w", ("N", "D"), ("N", "L", "D"))
    _check(w_avg, "w_avg", (w.shape[-1],))
    if not math.isfinite(psi):
        raise ValueError(f"psi={psi}: expected a finite number, mostly 0 to 1")
    moved = w_avg + (w - w_avg) * psi
    if cutoff is None:
        return moved
    _check(w, "w with a cutoff", ("N", "L", "D"))
    if not 0 <= cutoff <= w.shape[1]:
        raise ValueError(f"cutoff={cutoff}: expected 0 to {w.shape[1]}, the rows of w")
    return torch.cat((moved[:, :cutoff], w[:, cutoff:]), 1)


def mix(coarse: torch.Tensor, fine: torch.Tensor, row: int) -> torch.Tensor:
    """Style mixing of two w+ (N, L, D): rows before `row` from `coarse`, the others from `fine`."""
    _check(coarse, "coarse", ("N", "L", "D"))
    _check(fine, "fine", tuple(coarse.shape))
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
    _check(w, "w", ("N", "D"), ("N", "L", "D"))
    _check(direction, "direction", (w.shape[-1],))
    amount = torch.as_tensor(amount, dtype=w.dtype, device=w.device)
    if amount.ndim:
        _check(amount, "amount", (len(w),))
    if not bool(torch.isfinite(amount).all()):
        raise ValueError("amount is not finite; expected a number, mostly -3 to 3")
    step = amount.reshape(-1, *[1] * (w.ndim - 1)) * direction.to(w)
    if rows is None:
        return w + step
    _check(w, "w with rows", ("N", "L", "D"))
    first, last = _check_rows(rows, w.shape[1])
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
    _check(start, "start", (1, "D"), (1, "L", "D"))
    _check(end, "end", tuple(start.shape))
    if steps < 2:
        raise ValueError(f"steps={steps}: expected 2 or more")
    if loop:
        way = 1 - (1 - 2 * torch.arange(steps, dtype=torch.float64) / steps).abs()
    else:
        way = torch.linspace(0, 1, steps, dtype=torch.float64)
    way = (way * way * (3 - 2 * way)).to(start).reshape(-1, *[1] * (start.ndim - 1))
    return torch.lerp(start, end, way)


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
        _check(weight, "weights", ("C", weights[0].shape[-1] if weights[0].ndim == 2 else "D"))
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
    _check(w, "w", ("N", "D"))
    _check(signal, "signal", (len(w),))
    for other in others:
        _check(other, "others", (w.shape[1],))
    if len(w) < 3:
        raise ValueError(f"w has {len(w)} samples; expected 3 or more")
    if not bool(torch.isfinite(signal).all() and torch.isfinite(w).all()):
        raise ValueError("w or signal is not finite; leave out samples that were not measured")
    target = _normal_scores(signal.double())
    centred = w.double() - w.double().mean(0)
    normal = _ridge(centred, target)
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
    """Coefficients (D,) of centred w (N, D); the penalty with the least leave-one-out error."""
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


# On disk --------------------------------------------------------------------------------------


def save_latent(path: str | Path, w: torch.Tensor, model: str) -> None:
    """Writes one latent, w (1, D) or w+ (1, L, D), and the name of the model it belongs to.

    A `.npz` with `w` in float32 and the text `model`. The file is there whole or not at all.
    """
    path = Path(path)
    _check(w, "w", (1, "D"), (1, "L", "D"))
    if path.suffix != ".npz":
        raise ValueError(f"path={str(path)!r}: expected a name that ends in .npz")
    if len(model) > _LONGEST_MODEL:
        raise ValueError(f"model has {len(model)} characters; expected at most {_LONGEST_MODEL}")
    array = w.detach().cpu().float().numpy()
    with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".part", delete=False) as file:
        try:
            np.savez(file, w=array, model=np.array(model))
        except BaseException:
            os.unlink(file.name)
            raise
    os.replace(file.name, path)


def load_latent(
    source: str | Path | bytes, rows: int, dimensions: int, model: str | None = None
) -> torch.Tensor:
    """w+ (1, rows, dimensions) in float32 from a `.npz`, by its path or its bytes.

    The array `w` may be (D,), (1, D), (L, D) or (1, L, D), of any float type. The file may come
    from anybody: sizes, names and types are checked before anything is unpacked, nothing in it is
    executed.

    Raises:
        ValueError: it is not such a file, or with `model`, it says that it belongs to another.
    """
    at = "latent" if isinstance(source, bytes) else f"latent={str(source)!r}"
    members = _unpacked(_read(source, at), at)
    if "w.npy" not in members:
        raise ValueError(f"{at}: expected an array named w, found {', '.join(members) or 'none'}")
    whose = None
    if "model.npy" in members:
        whose = _array(members["model.npy"], f"{at}: model", "U", 4 * _LONGEST_MODEL, [()])
    if model is not None and whose is not None and whose.item() != model:
        raise ValueError(f"{at}: belongs to the model {whose.item()!r}; expected one of {model!r}")
    shapes = [(dimensions,), (1, dimensions), (rows, dimensions), (1, rows, dimensions)]
    array = _array(members["w.npy"], f"{at}: w", "f", 8, shapes)
    if not np.isfinite(array).all():
        raise ValueError(f"{at}: w holds values that are not finite numbers")
    if np.abs(array).max() > _LARGEST_VALUE:
        raise ValueError(
            f"{at}: w holds {np.abs(array).max():.3g}; expected values up to {_LARGEST_VALUE:g}"
        )
    w = torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))
    return w.reshape(1, -1, dimensions).expand(1, rows, dimensions).clone()


def load_directions(file: str | Path) -> dict[str, Direction]:
    """Directions by name, from safetensors: a tensor (D,) each, and metadata that describe it.

    The metadata of a name are JSON: {"rows": [first, last], "label": "..."}.

    Raises:
        ValueError: the file is no such file; it names what is wrong.
    """
    from safetensors import SafetensorError, safe_open

    directions = {}
    try:
        with safe_open(file, "pt") as content:
            said = content.metadata() or {}
            names = content.keys()
            tensors = {name: content.get_tensor(name).float() for name in names}
    except SafetensorError as error:
        raise ValueError(f"{file}: not a whole safetensors file ({error})") from error
    for name, vector in tensors.items():
        at = f"{file}: {name}"
        _check(vector, at, ("D",))
        if not bool(torch.isfinite(vector).all()):
            raise ValueError(f"{at} holds values that are not finite numbers")
        try:
            about = json.loads(said[name])
            rows, label = tuple(about["rows"]), about["label"]
        except (KeyError, TypeError, json.JSONDecodeError) as error:
            raise ValueError(f'{at}: expected metadata {{"rows": [...], "label": ...}}') from error
        directions[name] = Direction(name, str(label), vector, _check_rows(rows))
    return directions


def _read(source: str | Path | bytes, at: str) -> bytes:
    if isinstance(source, bytes):
        content = source
    else:
        try:
            with open(source, "rb") as file:
                content = file.read(_LARGEST_FILE + 1)
        except OSError as error:
            raise ValueError(f"{at}: cannot be read ({error.strerror or error})") from error
    if len(content) > _LARGEST_FILE:
        raise ValueError(f"{at}: larger than {_LARGEST_FILE:,} bytes; expected a single latent")
    return content


def _unpacked(content: bytes, at: str) -> dict[str, bytes]:
    """The members w.npy and model.npy of a zip archive, unpacked; any other is refused."""
    try:
        archive = zipfile.ZipFile(io.BytesIO(content))
    except _BROKEN as error:
        raise ValueError(f"{at}: not a whole .npz file ({error})") from error
    with archive:
        entries = archive.infolist()
        _check_entries(entries, at)
        try:  # a member that holds more than it declared is cut off there
            return {entry.filename: archive.read(entry) for entry in entries}
        except _BROKEN as error:
            raise ValueError(f"{at}: not a whole .npz file ({error})") from error


def _check_entries(entries: list[zipfile.ZipInfo], at: str) -> None:
    names = [entry.filename for entry in entries]
    if len(set(names)) != len(names) or not set(names) <= {"w.npy", "model.npy"}:
        shown = ", ".join(repr(name[:40]) for name in names[:4])
        raise ValueError(
            f"{at}: holds {len(names)} members ({shown}); expected w and, maybe, model"
        )
    declared = sum(entry.file_size for entry in entries)
    if declared > _LARGEST_CONTENT:
        raise ValueError(
            f"{at}: unpacks to {declared:,} bytes; expected at most {_LARGEST_CONTENT:,}"
        )
    for entry in entries:
        if entry.flag_bits & 1:
            raise ValueError(f"{at}: encrypted; expected a plain file")
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ValueError(f"{at}: packed in an unusual way; expected what numpy writes")


def _array(
    member: bytes, at: str, kind: str, itemsize: int, shapes: list[tuple[int, ...]]
) -> np.ndarray:
    """The array of a .npy file, if its header names the kind of type and one of the shapes."""
    version, length_size = member[6:8], 2 if member[6:7] == b"\x01" else 4
    start = 8 + length_size
    length = int.from_bytes(member[8:start], "little")
    header = _NPY_HEADER.fullmatch(member[start : start + min(length, 1000)].decode("latin-1"))
    known = member[:6] == b"\x93NUMPY" and version in (b"\x01\x00", b"\x02\x00", b"\x03\x00")
    if not known or header is None or length > 1000:
        raise ValueError(f"{at}: not a plain array of numpy")
    dtype = header.group(1)
    if dtype[1] != kind or int(dtype[2:]) * (4 if kind == "U" else 1) > itemsize:
        expected = {"f": "float16, float32 or float64", "U": "a short text"}[kind]
        raise ValueError(f"{at} has the type {dtype}; expected {expected}")
    shape = tuple(int(side) for side in header.group(2).replace(",", " ").split())
    if shape not in shapes:
        expected = " or ".join(str(shape) for shape in shapes)
        raise ValueError(f"{at} has the shape {shape}; expected {expected}")
    try:
        return np.load(io.BytesIO(member), allow_pickle=False)
    except (ValueError, TypeError, EOFError) as error:
        raise ValueError(f"{at}: cannot be read ({error})") from error


# Checks ---------------------------------------------------------------------------------------


def _check(tensor: torch.Tensor, name: str, *shapes: tuple[int | str, ...]) -> None:
    """Raises unless the shape is one of `shapes`, where a letter stands for any size."""
    found = tuple(tensor.shape)
    for shape in shapes:
        if len(shape) == len(found) and all(
            isinstance(side, str) or side == size for side, size in zip(shape, found, strict=True)
        ):
            return
    expected = " or ".join(f"({', '.join(map(str, shape))})" for shape in shapes)
    raise ValueError(f"{name} has the shape {found}; expected {expected}")


def _check_rows(rows: tuple[int, int], count: int | None = None) -> tuple[int, int]:
    whole = len(rows) == 2 and all(type(row) is int for row in rows)
    if not whole or not 0 <= rows[0] <= rows[1] or (count is not None and rows[1] >= count):
        end = "" if count is None else f" up to {count - 1}"
        raise ValueError(f"rows={rows}: expected the first and the last row{end}")
    return tuple(rows)
