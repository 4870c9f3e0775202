"""Latents and directions as files."""

from __future__ import annotations

import contextlib
import io
import json
import struct
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from tokenize import TokenError

import numpy as np
import torch

from toonify.files import atomic_write
from toonify.latents.operations import Direction, check, check_layers

SUFFIX, OLD_SUFFIX = ".safetensors", ".npz"
_MAX_FILE = 2_000_000  # bytes
_MAX_CONTENT = 1_000_000  # bytes, unpacked
_MAX_VALUE = 1000.0  # of a latent; those of faces stay far below 100
_MAX_MODEL = 200  # characters
_MAX_HEADER = 1000  # bytes that describe an array
# Errors of zipfile and NumPy for damaged files.
_DAMAGE: tuple[type[Exception], ...] = (
    *(zipfile.BadZipFile, zlib.error, struct.error, EOFError, RuntimeError, OSError),
    *(ValueError, TypeError, LookupError, OverflowError, MemoryError, SyntaxError, TokenError),
)


def save_latent(path: str | Path, w: torch.Tensor, model: str) -> None:
    """Writes one latent and the name of the model it belongs to.

    Args:
        path: a name that ends in `.safetensors`; `.npz` still works, with a DeprecationWarning.
        w: w (1, D) or w+ (1, L, D); written as float32.
        model: up to 200 characters.

    Raises:
        ValueError: another suffix, a shape for several latents, or a longer name.
    """
    path = Path(path)
    check(w, "w", (1, "D"), (1, "L", "D"))
    if path.suffix not in (SUFFIX, OLD_SUFFIX):
        raise ValueError(f"path={str(path)!r}: expected a name that ends in {SUFFIX}")
    if len(model) > _MAX_MODEL:
        raise ValueError(f"model has {len(model)} characters; expected at most {_MAX_MODEL}")
    w = w.detach().cpu().float().contiguous()
    if path.suffix == OLD_SUFFIX:
        warnings.warn(
            f"save_latent: {OLD_SUFFIX} is deprecated; use a name that ends in {SUFFIX}",
            DeprecationWarning,
            stacklevel=2,
        )
        with atomic_write(path) as temporary, open(temporary, "wb") as file:
            np.savez(file, w=w.numpy(), model=np.array(model))
        return
    from safetensors.torch import save_file

    with atomic_write(path) as temporary:
        save_file({"w": w}, temporary, metadata={"model": model})


def load_latent(
    source: str | Path | bytes, num_ws: int, dimensions: int, model: str | None = None
) -> torch.Tensor:
    """Reads one latent. Sizes, names and types are checked first, as the file can be hostile.

    Args:
        source: path or bytes of a `.safetensors` file or of an older `.npz`. Its tensor `w` may be
            (D,), (1, D), (L, D) or (1, L, D), of any float type.
        num_ws: L, the number of layers of w+.
        dimensions: D.
        model: name of the model that the latent must belong to, if the file names one.

    Returns:
        w+ (1, num_ws, dimensions) in float32.

    Raises:
        ValueError: the file is damaged, holds something else, or belongs to another model.
    """
    at = "latent" if isinstance(source, bytes) else f"latent={str(source)!r}"
    content = _read(source, at)
    shapes = [(dimensions,), (1, dimensions), (num_ws, dimensions), (1, num_ws, dimensions)]
    zipped = content.startswith(b"PK") or at.endswith(f"{OLD_SUFFIX}'")
    w, owner = (_read_npz if zipped else _read_safetensors)(content, at, shapes)
    if model is not None and owner is not None and owner != model:
        raise ValueError(f"{at}: belongs to the model {owner[:_MAX_MODEL]!r}; expected {model!r}")
    if not w.isfinite().all():
        raise ValueError(f"{at}: w holds values that are not finite numbers")
    if w.abs().max() > _MAX_VALUE:
        raise ValueError(f"{at}: w holds {w.abs().max():.3g}; expected at most {_MAX_VALUE:g}")
    return w.float().reshape(1, -1, dimensions).expand(1, num_ws, dimensions).clone()


def latent_path(folder: str | Path, name: str) -> Path:
    """`folder/name.safetensors`, or `folder/name.npz` if only that older file exists."""
    path, old = Path(folder, name + SUFFIX), Path(folder, name + OLD_SUFFIX)
    return old if old.exists() and not path.exists() else path


def load_directions(file: str | Path) -> dict[str, Direction]:
    """Reads directions.

    Args:
        file: safetensors with a tensor (D,) for each direction, and metadata for its name, as JSON:
            {"layers": [first, last], "label": "..."}; older files have "rows" for "layers".

    Returns:
        Name -> direction.

    Raises:
        ValueError: the file is damaged, or a tensor or its metadata are not as expected.
    """
    from safetensors import SafetensorError, safe_open

    directions = {}
    try:
        with safe_open(file, "pt") as content:
            metadata = content.metadata() or {}
            names = content.keys()
            tensors = {name: content.get_tensor(name).float() for name in names}
    except SafetensorError as error:
        raise ValueError(f"{file}: not a complete safetensors file ({error})") from error
    for name, vector in tensors.items():
        at = f"{file}: {name}"
        check(vector, at, ("D",))
        if not bool(torch.isfinite(vector).all()):
            raise ValueError(f"{at} holds values that are not finite numbers")
        try:
            about = json.loads(metadata[name])
            layers = tuple(about["layers"] if "layers" in about else about["rows"])
            label = about["label"]
        except (KeyError, TypeError, json.JSONDecodeError) as error:
            raise ValueError(
                f'{at}: expected metadata {{"layers": [...], "label": ...}}'
            ) from error
        directions[name] = Direction(name, str(label), vector, check_layers(layers))
    return directions


@contextlib.contextmanager
def _damage_as(message: str, errors: tuple[type[Exception], ...] = _DAMAGE) -> Iterator[None]:
    """Converts the errors of damaged files to a ValueError with this message."""
    try:
        yield
    except errors as error:
        raise ValueError(f"{message} ({str(error)[:99]})") from error


def _read(source: str | Path | bytes, at: str) -> bytes:
    if isinstance(source, bytes):
        content = source
    else:
        try:
            with open(source, "rb") as file:
                content = file.read(_MAX_FILE + 1)
        except OSError as error:
            raise ValueError(f"{at}: cannot be read ({error.strerror or error})") from error
    if len(content) > _MAX_FILE:
        raise ValueError(f"{at}: larger than {_MAX_FILE:,} bytes; expected a single latent")
    return content


def _read_safetensors(
    content: bytes, at: str, shapes: list[tuple[int, ...]]
) -> tuple[torch.Tensor, str | None]:
    """Reads the tensor w, and the name of its model if the file has one."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    with _damage_as(f"{at}: not a complete safetensors file", (*_DAMAGE, SafetensorError)):
        tensors = load(content)
    if set(tensors) != {"w"}:
        found = ", ".join(repr(name[:40]) for name in [*tensors][:4]) or "none"
        raise ValueError(f"{at}: holds {len(tensors)} tensors ({found}); expected one, w")
    if not tensors["w"].is_floating_point():
        raise ValueError(f"{at}: w has the type {tensors['w'].dtype}; expected a float type")
    _check_shape(f"{at}: w", tuple(tensors["w"].shape), shapes)
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    return tensors["w"], header.get("__metadata__", {}).get("model")


def _read_npz(
    content: bytes, at: str, shapes: list[tuple[int, ...]]
) -> tuple[torch.Tensor, str | None]:
    """Reads the array w, and the name of its model if the file has one."""
    damaged = f"{at}: not a complete .npz file"
    with _damage_as(damaged):
        archive = zipfile.ZipFile(io.BytesIO(content))
    names = _check_members(archive.infolist(), at)
    with _damage_as(damaged), archive:  # reads no more than the declared size
        members = {name: archive.read(name) for name in names}
    if "w.npy" not in members:
        raise ValueError(f"{at}: expected an array named w, found {', '.join(members) or 'none'}")
    owner = None
    if "model.npy" in members:
        owner = _read_npy(members["model.npy"], f"{at}: model", "U", 4 * _MAX_MODEL, [()]).item()
    w = _read_npy(members["w.npy"], f"{at}: w", "f", 8, shapes)
    return torch.from_numpy(np.ascontiguousarray(w, w.dtype.newbyteorder("="))), owner


def _check_members(entries: list[zipfile.ZipInfo], at: str) -> list[str]:
    """Returns the names of the members; ValueError unless they are small and NumPy's."""
    names = [entry.filename for entry in entries]
    if len(set(names)) != len(names) or not set(names) <= {"w.npy", "model.npy"}:
        found = ", ".join(repr(name[:40]) for name in names[:4])
        raise ValueError(f"{at}: holds {len(names)} members ({found}); expected w and model")
    declared = sum(entry.file_size for entry in entries)
    if declared > _MAX_CONTENT:
        raise ValueError(f"{at}: unpacks to {declared:,} bytes; expected at most {_MAX_CONTENT:,}")
    for entry in entries:
        if entry.flag_bits & 1:
            raise ValueError(f"{at}: encrypted; expected a plain file")
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ValueError(f"{at}: unknown compression; expected that of np.savez")
    return names


def _read_npy(
    member: bytes, at: str, kind: str, max_itemsize: int, shapes: list[tuple[int, ...]]
) -> np.ndarray:
    """Reads a .npy file; ValueError unless its header has this kind and one of the shapes."""
    stream, form = io.BytesIO(member), np.lib.format
    readers = {(1, 0): form.read_array_header_1_0, (2, 0): form.read_array_header_2_0}
    with _damage_as(f"{at}: not a plain NumPy array"):
        shape, _, dtype = readers[form.read_magic(stream)](stream, max_header_size=_MAX_HEADER)
    if dtype.kind != kind or dtype.itemsize > max_itemsize:
        expected = {"f": "float16, float32 or float64", "U": "a short text"}[kind]
        raise ValueError(f"{at} has the type {str(dtype)[:40]}; expected {expected}")
    _check_shape(at, shape, shapes)
    with _damage_as(f"{at}: cannot be read"):
        return np.load(io.BytesIO(member), allow_pickle=False)


def _check_shape(at: str, shape: tuple[int, ...], shapes: list[tuple[int, ...]]) -> None:
    if shape not in shapes:
        expected = " or ".join(str(shape) for shape in shapes)
        raise ValueError(f"{at} has the shape {str(shape)[:60]}; expected {expected}")
