"""Read pickled files from other projects without running code: `.pt`, `.pth`, `.ckpt`, `.pkl`.

A pickle is a program. PyTorch's files are opened with `torch.load(weights_only=True)`, and NVlabs'
pickles with the `Unpickler` in `nvlabs_pickle`. Both bound neither memory nor time, so the opcodes,
names and sizes are checked first.
"""

import argparse
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

import numpy as np
import torch

MAX_BYTES = 2 << 30  # of a file
MAX_OPCODES = 150_000  # of a pickle, and values that it unfolds to; NVlabs' largest has 80,000
MAX_TUPLES = 40_000  # of a checkpoint: hashing a tuple that is nested 100,000 deep crashes Python
MAX_DEPTH = 100  # values inside each other
MAX_FACTOR = 4  # bytes that tensors show or calls copy, as a multiple of the file's size
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
# What unpickling a damaged file raises, besides ValueError.
DAMAGE = (
    *(pickle.UnpicklingError, zipfile.BadZipFile, struct.error, EOFError, LookupError, TypeError),
    *(AttributeError, AssertionError, ArithmeticError, RuntimeError, MemoryError, OSError),
)


def opcodes(data: bytes, start: int = 0) -> Iterator[tuple[str, object, int]]:
    """Name, argument and end of each opcode of the pickle at `start`.

    `genops` checks each length against the bytes that are there.
    """
    stream = io.BytesIO(data)
    stream.seek(start)
    for count, (opcode, value, _) in enumerate(pickletools.genops(stream)):
        if count >= MAX_OPCODES:
            raise ValueError(f"it has more than {MAX_OPCODES:,} opcodes")
        if opcode.name not in OPCODES:
            raise ValueError(f"it has the opcode {opcode.name}, which plain values do not need")
        if type(value) is int and value.bit_length() > 128:
            raise ValueError("it has an integer of more than 128 bits")
        yield opcode.name, value, stream.tell()


def refuse_name(name: str):
    raise ValueError(
        f"it asks for {name[:99]}, which is not plain data; nothing of it was run. If that is a"
        " class of a network, save the network's state_dict instead"
    )


# Plain data that pickles build by a call ------------------------------------------------------


class NumberType:
    """Stands for a `numpy.dtype` of numbers."""

    def __init__(self, name: str, align: bool = False, copy: bool = True):
        if type(name) is not str or not re.fullmatch(r"b1|[iu][1248]|f[248]|c8|c16", name):
            raise ValueError("an array holds something else than numbers")
        self.dtype = np.dtype(name)

    def __setstate__(self, state: tuple) -> None:
        if type(state) is not tuple or len(state) < 2 or state[1] not in ("<", "|", "="):
            raise ValueError("its numbers are not little-endian")


class Array(np.ndarray):
    """Stands for a `numpy.ndarray`: as large as the bytes that are there, and only of numbers."""

    def __new__(cls):
        return super().__new__(cls, 0)

    def __setstate__(self, state: tuple) -> None:
        _, shape, kind, fortran, data = state
        if type(kind) is not NumberType or type(data) is not bytes:
            raise ValueError("an array holds something else than numbers")
        if min(shape, default=0) < 0 or math.prod(side or 1 for side in shape) >= MAX_KEY:
            raise ValueError("an array has a size that is out of range")
        super().__setstate__((1, shape, kind.dtype, bool(fortran), data))


def new_array(kind: object, shape: tuple, code: bytes) -> Array:
    if kind is not Array and getattr(kind, "make", None) is not Array:
        raise ValueError("an array is of another class than numpy.ndarray")
    return Array()


def number(kind: NumberType, data: bytes) -> bool | int | float | complex:
    if type(kind) is not NumberType or len(data) != kind.dtype.itemsize:
        raise ValueError("a number has another size than its type")
    return np.frombuffer(data, kind.dtype)[0].item()


def new_dict(*arguments: object) -> dict:
    """A Counter or EasyDict as it is, a defaultdict without its factory."""
    return dict(*(held for held in arguments if isinstance(held, dict)))


def new_list(items: list | tuple = (), *size: int) -> list:
    return list(items)


def path_text(kind: type) -> Callable[..., str]:
    return lambda *parts: str(kind(*parts))


PATHS = {
    f"{module}.{name}": path_text(PureWindowsPath if "Windows" in name else PurePosixPath)
    for module in ("pathlib", "pathlib._local")
    for name in ("PosixPath", "PurePosixPath", "WindowsPath", "PureWindowsPath")
}
PLAIN: dict[str, Callable] = (
    PATHS
    | {
        "argparse.Namespace": argparse.Namespace,
        "collections.OrderedDict": OrderedDict,
        "collections.Counter": new_dict,
        "collections.defaultdict": new_dict,
        "collections.deque": new_list,
        "torch.Size": torch.Size,
        "torch.device": torch.device,
        "numpy.dtype": NumberType,
        "numpy.ndarray": Array,
    }
    | {
        f"{module}.{name}": make
        for names, made in (
            (("numpy.core.multiarray", "numpy._core.multiarray"), {"scalar": number}),
            (("numpy.core.multiarray", "numpy._core.multiarray"), {"_reconstruct": new_array}),
            (("builtins", "__builtin__"), {kind.__name__: kind for kind in (set, list, dict, int)}),
            (("builtins", "__builtin__"), {"float": float}),
        )
        for module in names
        for name, make in made.items()
    }
)

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
    """The end of a pickle of PyTorch's, and the bytes that each storage in it claims, by its key.

    Raises:
        ValueError: it asks for a name that is not plain data, or costs too much to read.
    """
    memo, pushed, claims, tuples, repeated = {}, [], {}, 0, 0
    end = start
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
            raise ValueError(f"it is a pickle of protocol {value}, expected 2 as torch.save writes")
        elif opcode == "BINPERSID":
            key, size = claim(pushed)
            if claims.setdefault(key, size) != size:
                raise ValueError("it asks for one storage in two sizes")
        pushed = [] if opcode == "MARK" else [*pushed[-9:], (opcode, value)]
        if tuples > MAX_TUPLES or repeated > MAX_FACTOR * len(data) + 100 * (end - start):
            raise ValueError("it repeats its values too often")
    return end, claims


def claim(pushed: list[tuple[str, object]]) -> tuple[str, int]:
    """Key and bytes of the storage that a persistent id asks for, by the opcodes since its mark."""
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
    raise ValueError("it has a persistent id, expected only those of storages")


def check_zip(data: bytes) -> None:
    """ValueError unless a zip is as PyTorch writes it, and its storages have the bytes they claim.

    `torch.load` trusts those claims: it would read behind the end of a storage.
    """
    if data.count(b"PK\1\2") > MAX_FILES:
        raise ValueError(f"it is a zip with more than {MAX_FILES:,} files")
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        infos = archive.infolist()
        folder, files = infos[0].filename.partition("/")[0] if infos else "", {}
        if any(re.match(r"[^/]+/(constants\.pkl$|code/)", info.filename) for info in infos):
            raise ValueError("it is a TorchScript program, expected a file of tensors")
        for info in infos:
            root, _, name = info.filename.partition("/")
            if root != folder or not root or not name or ".." in name or name in files:
                raise ValueError(
                    f"it has the file {info.filename[:99]!r}, which PyTorch does not write"
                )
            if info.compress_type or info.file_size != info.compress_size or info.flag_bits & 1:
                raise ValueError("it is compressed or encrypted, which PyTorch's files are not")
            files[name] = info
        if "data.pkl" not in files:
            raise ValueError("it is another zip than PyTorch writes")
        if sum(info.file_size for info in infos) > len(data):
            raise ValueError("its files overlap each other")
        if "byteorder" in files and archive.read(files["byteorder"]) != b"little":
            raise ValueError("its numbers are not little-endian")
        _, claims = check_pickle(archive.read(files["data.pkl"]))
    for key, size in claims.items():
        there = files[f"data/{key}"].file_size if f"data/{key}" in files else 0
        if there != size:
            raise ValueError(f"a storage of {size:,} bytes has {there:,}")


def load_torch(data: bytes) -> object:
    """What `torch.save` wrote, in its zip or its older format.

    Raises:
        ValueError: it asks for anything else than plain data, is damaged, or too large.
    """
    if data[257:262] == b"ustar":
        raise ValueError(
            "it is a tar of PyTorch before 0.2, expected a file of PyTorch 0.4 or later"
        )
    try:
        if data.startswith(ZIP):
            check_zip(data)
        else:  # a number, a version, sizes, the values, the storages' keys; then the storages
            end, claimed = 0, 0
            for _ in range(5):
                end, claims = check_pickle(data, end)
                claimed += sum(claims.values())
            if claimed > len(data) - end:
                raise ValueError(f"it claims {claimed:,} bytes, but has {len(data) - end:,}")
        names = [(make, name) for name, make in PLAIN.items()]
        with torch.serialization.safe_globals(names):
            return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except DAMAGE as error:
        raise ValueError(f"it is damaged ({type(error).__name__})") from error


# What they hold ---------------------------------------------------------------------------------


@dataclass(eq=False)
class Record:
    """An object of a class that NVlabs' pickles bring along: its values, without the class."""

    class_name: str
    init_kwargs: dict = field(repr=False)
    state: dict = field(repr=False)


LEAVES = (str, bytes, int, float, complex, bool, type(None), set, torch.Size, torch.device)
LEAVES += (torch.dtype, Array, torch.Tensor, torch.nn.Parameter)


def check_keys(keys: list) -> None:
    """Keys of a dict or set: a tuple's hash could be too deep, a large integer's chosen."""
    for key in keys:
        if type(key) not in (str, int, bool) or (type(key) is int and abs(key) >= MAX_KEY):
            raise ValueError(f"a key is of {type(key)}, expected a text or a small integer")


def parts(value: object) -> list:
    """The values in a value."""
    if type(value) in (list, tuple):
        return list(value)
    if isinstance(value, dict):
        check_keys(list(value))
        return list(value.values())
    if type(value) is argparse.Namespace:
        if any(type(key) is not str or key.startswith("__") for key in vars(value)):
            raise ValueError("its settings have a name that is not one")
        return list(vars(value).values())
    if type(value) is Record:
        return [value.init_kwargs, value.state]
    raise ValueError(f"it holds {type(value)} by itself, expected plain values")


def check_tree(tree: object, size: int) -> object:
    """The tree, unless it is too deep, holds itself, or is small only while it is folded."""
    waiting, count, shown = [(tree, 0)], 0, 0
    while waiting:
        value, depth = waiting.pop()
        if isinstance(value, torch.Tensor):
            shown += value.numel() * value.element_size()
            if shown > MAX_FACTOR * size or value.untyped_storage().nbytes() > size:
                raise ValueError("its tensors show more bytes than a file of its size may have")
        if type(value) in LEAVES:
            continue
        inside = parts(value)
        count += len(inside)
        if count > MAX_OPCODES:
            raise ValueError(f"it unfolds to more than {MAX_OPCODES:,} values")
        if depth > MAX_DEPTH:
            raise ValueError(f"its values lie more than {MAX_DEPTH} deep in each other")
        waiting += [(part, depth + 1) for part in inside]
    return tree


def read_bytes(source: str | Path | bytes, limit_bytes: int) -> tuple[str, bytes]:
    """What to call a file in messages, and its bytes."""
    held = isinstance(source, bytes)
    name, size = ("pickle", len(source)) if held else (source, Path(source).stat().st_size)
    if size > limit_bytes:
        raise ValueError(f"{name}: it has {size:,} bytes, more than limit_bytes={limit_bytes:,}")
    return str(name), source if held else Path(source).read_bytes()


def read_torch(source: str | Path | bytes, limit_bytes: int = MAX_BYTES) -> object:
    """The values of a file that `torch.save` wrote: plain data, tensors and `argparse.Namespace`.

    Args:
        source: a path, or the bytes of a file.
        limit_bytes: size of the largest file that is read.

    Raises:
        ValueError: it asks for anything else, is damaged, too large or too deep.
    """
    name, data = read_bytes(source, limit_bytes)
    try:
        return check_tree(load_torch(data), len(data))
    except ValueError as error:
        raise ValueError(f"{name}: expected a checkpoint of tensors, but {error}") from error
