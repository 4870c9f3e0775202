"""Latents and directions as files."""

from __future__ import annotations

import io
import json
import os
import re
import struct
import tempfile
import zipfile
import zlib
from pathlib import Path

import numpy as np
import torch

from toonify.latents.operations import Direction, check, check_rows

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


# On disk --------------------------------------------------------------------------------------


def save_latent(path: str | Path, w: torch.Tensor, model: str) -> None:
    """Writes one latent, w (1, D) or w+ (1, L, D), and the name of the model it belongs to.

    A `.npz` with `w` in float32 and the text `model`. The file is there whole or not at all.
    """
    path = Path(path)
    check(w, "w", (1, "D"), (1, "L", "D"))
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
        check(vector, at, ("D",))
        if not bool(torch.isfinite(vector).all()):
            raise ValueError(f"{at} holds values that are not finite numbers")
        try:
            about = json.loads(said[name])
            rows, label = tuple(about["rows"]), about["label"]
        except (KeyError, TypeError, json.JSONDecodeError) as error:
            raise ValueError(f'{at}: expected metadata {{"rows": [...], "label": ...}}') from error
        directions[name] = Direction(name, str(label), vector, check_rows(rows))
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
