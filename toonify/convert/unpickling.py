"""Reads pickled files of other projects without executing code: `.pt`, `.pth`, `.ckpt`, `.pkl`.

A pickle is a program. PyTorch's files are opened with `torch.load(weights_only=True)`, and NVlabs'
pickles with the `Unpickler` in `nvlabs_pickle`. Neither limits memory or time, so the opcodes,
names and sizes are checked first.
"""

import argparse
import datetime
import io
import math
import pickle
import pickletools
import re
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, NoReturn

import numpy as np
import torch

MAX_BYTES = 2 << 30  # of a file
MAX_OPCODES = 150_000  # of a pickle, and values that it expands to; NVlabs' largest has 80,000
MAX_TUPLES = 40_000  # of a checkpoint: hashing a tuple that is nested 100,000 deep crashes Python
MAX_DEPTH = 100  # of nested values
MAX_FACTOR = 4  # bytes that tensors view or calls copy, as a multiple of the file's size
MAX_FILES = 10_000  # in a zip
MAX_KEY = 1 << 60  # larger integers could be chosen to have the same hash

ZIP = b"PK\3\4"
PUTS, GETS = ("BINPUT", "LONG_BINPUT", "MEMOIZE"), ("BINGET", "LONG_BINGET")
OPCODES = {
    *("BININT", "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT", "NONE", "NEWTRUE", "NEWFALSE"),
    *("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
    *("EMPTY_LIST", "EMPTY_DICT", "EMPTY_SET", "EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2"),
    *("TUPLE3", "MARK", "APPEND", "APPENDS", "SETITEM", "SETITEMS", "ADDITEMS", "GLOBAL"),
    *("STACK_GLOBAL", "REDUCE", "NEWOBJ", "BUILD", "BINPERSID", "PROTO", "FRAME", "STOP"),
    *PUTS,
    *GETS,
}
# Errors of unpickling a damaged file, besides ValueError.
DAMAGE = (
    *(pickle.UnpicklingError, zipfile.BadZipFile, struct.error, EOFError, LookupError, TypeError),
    *(AttributeError, AssertionError, ArithmeticError, RuntimeError, MemoryError, OSError),
)


def opcodes(data: bytes, start: int = 0) -> Iterator[tuple[str, Any, int]]:
    """Yields name, argument and end of each opcode of the pickle at `start`.

    `genops` checks each length against the remaining bytes.
    """
    stream = io.BytesIO(data)
    stream.seek(start)
    for count, (opcode, value, _) in enumerate(pickletools.genops(stream)):
        if count >= MAX_OPCODES:
            raise ValueError(f"the pickle has more than {MAX_OPCODES:,} opcodes")
        if opcode.name not in OPCODES:
            raise ValueError(f"the opcode {opcode.name} is not one of those for plain values")
        if type(value) is int and value.bit_length() > 128:
            raise ValueError("an integer has more than 128 bits")
        yield opcode.name, value, stream.tell()


# How pickles name tensors that are not read -> what these are.
TENSORS = {
    "torch._utils._rebuild_tensor_v3": "8-bit floats, or unsigned integers of 16 to 64 bits",
    "torch._utils._rebuild_qtensor": "quantized numbers",
    "torch._utils._rebuild_sparse_tensor": "sparse numbers",
    "torch.ComplexFloatStorage": "complex numbers",
    "torch.ComplexDoubleStorage": "complex numbers",
}


def refuse_name(name: str) -> NoReturn:
    if name in TENSORS:
        raise ValueError(f"a tensor holds {TENSORS[name]}; expected floats of 16 to 64 bits")
    if name.startswith("dnnlib.tflib."):
        raise ValueError(
            "it is a TensorFlow network of NVlabs (StyleGAN, StyleGAN2): expected a pickle of"
            " stylegan2-ada-pytorch, whose legacy.py converts it"
        )
    raise ValueError(
        f"the file refers to {name[:99]}, which is not plain data; no code was executed. If that is"
        " the class of a network, save its state_dict instead"
    )


# Plain data that pickles build with a call ----------------------------------------------------


class NumberType:
    """Replaces `numpy.dtype`, for numbers only."""

    def __init__(self, name: str, align: bool = False, copy: bool = True):
        known = r"b1|[iu][1248]|f[248]|c8|c16|U[1-9]\d{0,4}"  # U: text, as a value of its own
        if type(name) is not str or not re.fullmatch(known, name):
            raise ValueError("an array holds values that are not numbers")
        self.dtype = np.dtype(name)

    def __setstate__(self, state: tuple) -> None:
        if type(state) is not tuple or len(state) < 2 or state[1] not in ("<", "|", "="):
            raise ValueError("the numbers are not little-endian")


class Array(np.ndarray):
    """Replaces `numpy.ndarray`, for numbers only, and no larger than its bytes in the file."""

    def __new__(cls):
        return super().__new__(cls, 0)

    def __setstate__(self, state: tuple) -> None:
        _, shape, kind, fortran, data = state
        if type(kind) is not NumberType or kind.dtype.kind == "U" or type(data) is not bytes:
            raise ValueError("an array holds values that are not numbers")
        if min(shape, default=0) < 0 or math.prod(side or 1 for side in shape) >= MAX_KEY:
            raise ValueError("the shape of an array is out of range")
        version_1: Any = (1, shape, kind.dtype, bool(fortran), data)
        super().__setstate__(version_1)


def new_array(kind: object, shape: tuple, code: bytes) -> Array:
    if kind is not Array and getattr(kind, "make", None) is not Array:
        raise ValueError("the class of an array is not numpy.ndarray")
    return Array()


def new_number(kind: NumberType, data: bytes) -> bool | int | float | complex | str:
    if type(kind) is not NumberType or len(data) != kind.dtype.itemsize:
        raise ValueError("the bytes of a number do not match its type")
    return np.frombuffer(data, kind.dtype)[0].item()


def new_dict(*arguments: object) -> dict:
    """Builds a dict from the arguments of a Counter, a defaultdict or an EasyDict."""
    return dict(*(held for held in arguments if isinstance(held, dict)))


def new_list(items: list | tuple = (), *size: int) -> list:
    return list(items)


def new_text(kind: type) -> Callable[..., str]:
    """Builds text in place of a path, a date or a range."""
    return lambda *parts: str(kind(*parts))


PLAIN: dict[str, Callable[..., object]] = {
    "argparse.Namespace": argparse.Namespace,
    "types.SimpleNamespace": argparse.Namespace,
    "collections.OrderedDict": OrderedDict,
    "collections.Counter": new_dict,
    "collections.defaultdict": new_dict,
    "collections.deque": new_list,
    "torch.Size": torch.Size,
    "torch.device": torch.device,
    "numpy.dtype": NumberType,
    "numpy.ndarray": Array,
}
for module in ("numpy.core.multiarray", "numpy._core.multiarray"):
    PLAIN |= {f"{module}.scalar": new_number, f"{module}._reconstruct": new_array}
for module in ("builtins", "__builtin__"):
    kinds: tuple[type, ...] = (set, list, dict, int, float, complex)
    PLAIN |= {f"{module}.{kind.__name__}": kind for kind in kinds}
    PLAIN |= {f"{module}.frozenset": set, f"{module}.range": new_text(range)}
    PLAIN[f"{module}.xrange"] = new_text(range)
for kind in (datetime.date, datetime.datetime, datetime.time, datetime.timedelta):
    PLAIN[f"datetime.{kind.__name__}"] = new_text(kind)
for module in ("pathlib", "pathlib._local"):
    for name in ("PosixPath", "PurePosixPath"):
        PLAIN[f"{module}.{name}"] = new_text(PurePosixPath)
    for name in ("WindowsPath", "PureWindowsPath"):
        PLAIN[f"{module}.{name}"] = new_text(PureWindowsPath)

# PyTorch's files ------------------------------------------------------------------------------

STORAGES = {
    f"torch.{name}Storage": dtype
    for name, dtype in {
        "Float": torch.float32,
        "Double": torch.float64,
        "Half": torch.float16,
        "BFloat16": torch.bfloat16,
        "Long": torch.int64,
        "Int": torch.int32,
        "Short": torch.int16,
        "Char": torch.int8,
        "Byte": torch.uint8,
        "Bool": torch.bool,
    }.items()
}
TORCH = {
    *PLAIN,
    *STORAGES,
    *map(str, STORAGES.values()),
    *("_codecs.encode", "torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_parameter"),
}


def check_pickle(data: bytes, start: int = 0) -> tuple[int, dict[str, int]]:
    """Checks a pickle that PyTorch wrote.

    Args:
        data: the file.
        start: offset of the pickle.

    Returns:
        The end of the pickle; and key of a storage -> bytes that the pickle claims for it.

    Raises:
        ValueError: the pickle refers to anything but plain data, or is too expensive to read.
    """
    memo: dict[Any, tuple[str, Any]] = {}
    pushed: list[tuple[str, Any]] = []
    claims: dict[str, int] = {}
    tuples, repeated, end = 0, 0, start
    for opcode, value, end in opcodes(data, start):
        tuples += opcode.startswith("TUPLE")
        if opcode in PUTS:
            memo[value] = pushed[-1] if pushed else (opcode, None)
            continue
        if opcode in GETS:
            opcode, value = memo.get(value, (opcode, None))
            repeated += len(value) if type(value) is str else end - start
        elif opcode == "GLOBAL" and value.replace(" ", ".", 1) not in TORCH:
            refuse_name(value.replace(" ", ".", 1))
        elif opcode == "PROTO" and value != 2:
            raise ValueError(
                f"the protocol of the pickle is {value}, expected 2 as torch.save writes"
            )
        elif opcode == "BINPERSID":
            key, size = read_claim(pushed)
            if claims.setdefault(key, size) != size:
                raise ValueError("a storage has two sizes")
        pushed = [] if opcode == "MARK" else [*pushed[-9:], (opcode, value)]
        if tuples > MAX_TUPLES or repeated > MAX_FACTOR * len(data) + 100 * (end - start):
            raise ValueError("values are repeated too often")
    return end, claims


def read_claim(pushed: list[tuple[str, Any]]) -> tuple[str, int]:
    """Returns key and bytes of the storage of a persistent ID, from the opcodes since its mark."""
    match pushed:
        case [
            ("BINUNICODE", "storage"),
            ("GLOBAL", str(kind)),
            ("BINUNICODE", str(key)),
            ("BINUNICODE", _),
            ("BININT" | "BININT1" | "BININT2" | "LONG1", int(count)),
            *rest,
            ("TUPLE", _),
        ] if rest in ([], [("NONE", None)]) and count >= 0:
            dtype = STORAGES.get(kind.replace(" ", ".", 1))
            if dtype is not None:
                return key, count * dtype.itemsize
    raise ValueError("a persistent ID is not that of a storage")


def check_zip(data: bytes) -> None:
    """Checks that a zip is as PyTorch writes it, and that its storages have the claimed sizes.

    `torch.load` trusts those claims: it would read past the end of a storage.
    """
    if data.count(b"PK\1\2") > MAX_FILES:
        raise ValueError(f"the zip has more than {MAX_FILES:,} files")
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        infos = archive.infolist()
        folder, files = infos[0].filename.partition("/")[0] if infos else "", {}
        if any(re.match(r"[^/]+/(constants\.pkl$|code/)", info.filename) for info in infos):
            raise ValueError("the file is a TorchScript program")
        if infos and all(info.filename.endswith(".npy") for info in infos):
            raise ValueError("it is an archive of NumPy arrays (.npz)")
        for info in infos:
            root, _, name = info.filename.partition("/")
            if root != folder or not root or not name or ".." in name or name in files:
                raise ValueError(
                    f"the zip has a member {info.filename[:99]!r}, which PyTorch does not write"
                )
            if info.compress_type or info.file_size != info.compress_size or info.flag_bits & 1:
                raise ValueError(
                    "the zip is compressed or encrypted, which PyTorch's files are not"
                )
            files[name] = info
        if "data.pkl" not in files:
            raise ValueError("the zip has no data.pkl, which PyTorch writes")
        if sum(info.file_size for info in infos) > len(data):
            raise ValueError("the members of the zip overlap")
        if "byteorder" in files and archive.read(files["byteorder"]) != b"little":
            raise ValueError("the numbers are not little-endian")
        _, claims = check_pickle(archive.read(files["data.pkl"]))
    for key, size in claims.items():
        found = files[f"data/{key}"].file_size if f"data/{key}" in files else 0
        if found != size:
            raise ValueError(f"a storage has {found:,} bytes, expected {size:,}")


def load_torch(data: bytes) -> object:
    """Loads what `torch.save` wrote, in its zip format or the older one.

    Raises:
        ValueError: the file refers to anything but plain data, is damaged, or is too large.
    """
    if data[257:262] == b"ustar":
        raise ValueError("the file is a tar of PyTorch 0.1, expected PyTorch 0.4 or later")
    try:
        if data.startswith(ZIP):
            check_zip(data)
        else:  # a number, a version, sizes, the values, the storages' keys; then the storages
            end, claimed = 0, 0
            for _ in range(5):
                end, claims = check_pickle(data, end)
                claimed += sum(claims.values())
            if claimed > len(data) - end:
                raise ValueError(f"the file claims {claimed:,} bytes but has {len(data) - end:,}")
        names: list[Callable | tuple[Callable, str]] = [(PLAIN[name], name) for name in PLAIN]
        with torch.serialization.safe_globals(names):
            return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except DAMAGE as error:
        raise ValueError(f"the file is damaged ({type(error).__name__})") from error


# Values -----------------------------------------------------------------------------------------


@dataclass(eq=False)
class Record:
    """The values of an object whose class is defined in NVlabs' pickle.

    Attributes:
        class_name: name of the class.
        init_kwargs: keyword arguments of its constructor.
        state: its attributes.
    """

    class_name: str
    init_kwargs: dict = field(repr=False)
    state: dict = field(repr=False)


LEAVES: tuple[type, ...] = (
    *(str, bytes, int, float, complex, bool, type(None), set, torch.Size, torch.device),
    *(torch.dtype, Array, torch.Tensor, torch.nn.Parameter),
)


def check_keys(keys: list) -> None:
    """Checks keys of a dict or set.

    Hashing a deep tuple can crash Python, and large integers can be chosen to have the same hash.
    """
    for key in keys:
        if type(key) not in (str, int, bool) or (type(key) is int and abs(key) >= MAX_KEY):
            raise ValueError(f"a key is of type {type(key).__name__}, expected str or a small int")


def list_parts(value: object) -> list:
    """Lists the values in a container; ValueError for anything else."""
    if type(value) is list or type(value) is tuple:
        return list(value)
    if isinstance(value, dict):
        check_keys(list(value))
        return list(value.values())
    if type(value) is argparse.Namespace:
        if any(type(key) is not str or key.startswith("__") for key in vars(value)):
            raise ValueError("the attributes of an argparse.Namespace have invalid names")
        return list(vars(value).values())
    if type(value) is Record:
        return [value.init_kwargs, value.state]
    raise ValueError(f"a value is of type {type(value).__name__}, expected plain values")


def check_tree(tree: object, size: int) -> object:
    """Returns the tree; ValueError if it is too deep, holds itself, or expands to too many values.

    Args:
        tree: the values.
        size: bytes of the file.
    """
    waiting, count, viewed = [(tree, 0)], 0, 0
    while waiting:
        value, depth = waiting.pop()
        if isinstance(value, torch.Tensor):
            viewed += value.numel() * value.element_size()
            if viewed > MAX_FACTOR * size or value.untyped_storage().nbytes() > size:
                raise ValueError("the tensors view more bytes than a file of this size may hold")
        if type(value) in LEAVES:
            continue
        inside = list_parts(value)
        count += len(inside)
        if count > MAX_OPCODES:
            raise ValueError(f"the file expands to more than {MAX_OPCODES:,} values")
        if depth > MAX_DEPTH:
            raise ValueError(f"values are nested more than {MAX_DEPTH} deep")
        waiting += [(part, depth + 1) for part in inside]
    return tree


def read_bytes(source: str | Path | bytes, limit_bytes: int) -> tuple[str, bytes]:
    """Returns the name of a file for messages, and its bytes."""
    name = "pickle" if isinstance(source, bytes) else str(source)
    size = len(source) if isinstance(source, bytes) else Path(source).stat().st_size
    if size > limit_bytes:
        raise ValueError(f"{name} has {size:,} bytes, more than limit_bytes={limit_bytes:,}")
    return name, source if isinstance(source, bytes) else Path(source).read_bytes()


def read_torch(source: str | Path | bytes, limit_bytes: int = MAX_BYTES) -> object:
    """Reads a file that `torch.save` wrote.

    Args:
        source: a path, or the bytes of a file.
        limit_bytes: maximum size of the file; default: 2 GiB.

    Returns:
        The values: plain data, tensors and `argparse.Namespace`.

    Raises:
        ValueError: the file refers to anything else, is damaged, too large or too deep.
    """
    name, data = read_bytes(source, limit_bytes)
    try:
        return check_tree(load_torch(data), len(data))
    except ValueError as error:
        raise ValueError(f"{name}: expected a checkpoint of tensors, but {error}") from error
