"""Files that others pickled, read without running what is in them: NVlabs' `.pkl`, PyTorch's `.pt`.

A pickle is a program, and NVlabs' hold the source of their networks besides. `Reader` follows only
the words of it that build plain values; names stand for themselves or for a function of this file,
by a closed table, and every other word or name is an error. What reading costs is bounded by the
size of the file. There is no writer: what we keep is safetensors.
"""

import argparse
import io
import math
import pickletools
import re
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

LIMIT = 2 << 30  # bytes of a file
OPCODES = 150_000  # words of a pickle, and values that it unfolds to; NVlabs' largest: 80,000
STACK = 10_000  # values that wait for one that they belong in
DEPTH = 100  # values inside each other
VIEWS = 4  # times the bytes of a file that its tensors may show, when they share some
ENTRIES = 10_000  # files in a zip
INTEGER = 1 << 60  # keys from here on could be chosen to have the same hash

LITERALS = {
    *("BININT", "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT"),
    *("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
    *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
}
CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
EMPTY = {"EMPTY_LIST": list, "EMPTY_DICT": dict, "EMPTY_SET": set}
TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}

# PyTorch's older format: a file is this number, a version, sizes, the values, keys and numbers.
MAGIC, VERSION = 0x1950A86A20F9469CFC6C, 1001
ZIP = b"PK\3\4"
NUMERIC = re.compile(r"b1|[iu][1248]|f[248]|c8|c16")
NETWORKS = ("G", "D", "G_ema")


@dataclass(frozen=True, eq=False)
class Global:
    """A name in a pickle; `make` builds what a call of it stands for, if it may be called."""

    name: str
    make: Callable[["Reader", tuple], object] | None = None
    dtype: torch.dtype | None = None


@dataclass(eq=False)
class Flat:
    """The numbers that tensors are views of."""

    numbers: torch.Tensor


@dataclass(eq=False)
class Record:
    """An object of a class that NVlabs' pickles bring along: its values, without the class."""

    class_name: str
    init_kwargs: dict = field(repr=False)
    state: dict = field(repr=False)


class Budget:
    """What reading a file of `size` bytes may cost; protocol 2 copies its bytes twice."""

    def __init__(self, size: int):
        self.left = {"opcodes": OPCODES, "bytes copied": 2 * size, "bytes shown": VIEWS * size}

    def spend(self, what: str, amount: int = 1) -> None:
        self.left[what] -= amount
        if self.left[what] < 0:
            raise ValueError(f"it has more {what} than a file of its size may have")


def opcodes(stream: io.BytesIO) -> Iterator:
    """Word, value and place of one pickle; its lengths are checked against the bytes present."""
    try:
        yield from pickletools.genops(stream)
    except ValueError as error:
        raise ValueError(f"it is damaged or no pickle ({str(error)[:99]})") from error


def refuse_name(name: str):
    raise ValueError(
        f"it asks for {name[:99]}, which isn't data; nothing of it was run. If that is a class"
        " of its network, save the state_dict instead"
    )


def check(values: object, kinds: tuple, name: str) -> tuple:
    """The values, when each is of its kind."""
    if not isinstance(values, tuple) or len(values) != len(kinds):
        raise ValueError(f"{name} has other arguments than {len(kinds)}")
    for value, kind in zip(values, kinds, strict=True):
        if not isinstance(value, kind):
            raise ValueError(f"an argument of {name} is of {type(value)}, expected {kind}")
    return values


def check_keys(keys: list) -> list:
    """Of a dict or set: a tuple's hash could be too deep, a large integer's chosen."""
    for key in keys:
        if type(key) not in (str, int, bool) or not (type(key) is str or -INTEGER < key < INTEGER):
            raise ValueError(f"a key is of {type(key)}, expected a text or a small integer")
    return keys


def check_sizes(sizes: tuple) -> None:
    if len(sizes) > 32 or not all(type(n) is int and 0 <= n < INTEGER for n in sizes):
        raise ValueError("it has a size that isn't one")


def count_of(shape: tuple) -> int:
    """How many numbers an array of this shape has; its axes without zeros count as well."""
    check_sizes(shape)
    if math.prod(n or 1 for n in shape) >= INTEGER:
        raise ValueError("it has a size that isn't one")
    return math.prod(shape)


class Reader:
    """Follows one pickle from where the stream stands to its end."""

    def __init__(
        self,
        stream: io.BytesIO,
        table: dict[str, Global],
        budget: Budget,
        storage: Callable[[torch.dtype, str, int], Flat] | None = None,
    ):
        self.stream, self.table, self.budget, self.storage = stream, table, budget, storage
        self.stack, self.outer, self.memo = [], [], {}

    def load(self) -> object:
        try:
            for opcode, value, _ in opcodes(self.stream):
                self.budget.spend("opcodes")
                self.follow(opcode.name, value)
                if len(self.stack) > STACK or len(self.outer) > STACK:
                    raise ValueError("it is too deep: too many values wait for another")
            return self.stack.pop()
        except (IndexError, KeyError) as error:
            raise ValueError("it is damaged: a value is missing") from error

    def follow(self, word: str, value: object) -> None:
        stack = self.stack
        if word in ("BINPUT", "LONG_BINPUT", "MEMOIZE"):
            self.memo[len(self.memo) if word == "MEMOIZE" else value] = stack[-1]
        elif word in ("BINGET", "LONG_BINGET"):
            stack.append(self.memo[value])
        elif word in LITERALS:
            if type(value) is int and value.bit_length() > 128:
                raise ValueError("it has an integer of more than 128 bits")
            stack.append(value)
        elif word in CONSTANTS:
            stack.append(CONSTANTS[word])
        elif word in EMPTY:
            stack.append(EMPTY[word]())
        elif word == "MARK":
            self.outer.append(stack)
            self.stack = []
        elif word in TUPLES:
            items = tuple(stack.pop() for _ in range(TUPLES[word]))
            stack.append(items[::-1])
        elif word == "TUPLE":
            items = tuple(self.marked())
            self.stack.append(items)
        elif word in ("APPEND", "APPENDS"):
            items = self.marked() if word == "APPENDS" else [stack.pop()]
            self.target(word, list).extend(items)
        elif word in ("SETITEM", "SETITEMS"):
            items = self.marked() if word == "SETITEMS" else [stack.pop(), stack.pop()][::-1]
            self.set_items(self.target(word, dict), items)
        elif word == "ADDITEMS":
            items = self.marked()
            self.target(word, set).update(check_keys(items))
        elif word == "GLOBAL":
            stack.append(self.named(*value.split(" ", 1)))
        elif word == "STACK_GLOBAL":
            name, module = stack.pop(), stack.pop()
            stack.append(self.named(module, name))
        elif word in ("REDUCE", "NEWOBJ"):
            arguments, function = stack.pop(), stack.pop()
            stack.append(self.call(function, arguments))
        elif word == "BUILD":
            self.build(stack[-2], stack[-1])
            stack.pop()
        elif word == "BINPERSID":
            stack.append(self.stored(stack.pop()))
        elif word == "PROTO":
            if not 2 <= value <= 5:
                raise ValueError(f"it is a pickle of protocol {value}, expected 2 to 5")
        elif word not in ("FRAME", "STOP"):
            raise ValueError(f"it has the opcode {word}, which plain values do without")

    def marked(self) -> list:
        """What stands after the mark, which is taken away."""
        items, self.stack = self.stack, self.outer.pop()
        return items

    def target(self, word: str, kind: type) -> object:
        if not isinstance(self.stack[-1], kind):
            raise ValueError(f"its {word} is for a {kind}, but finds {type(self.stack[-1])}")
        return self.stack[-1]

    def set_items(self, target: dict, items: list) -> None:
        if len(items) % 2:
            raise ValueError("it is damaged: a key has no value")
        target.update(zip(check_keys(items[::2]), items[1::2], strict=True))

    def named(self, module: object, name: object) -> Global:
        if type(module) is not str or type(name) is not str:
            raise ValueError("it has a name that isn't a text")
        full = f"{module}.{name}"
        return self.table[full] if full in self.table else refuse_name(full)

    def call(self, function: object, arguments: object) -> object:
        if not isinstance(function, Global) or function.make is None:
            told = function.name if isinstance(function, Global) else type(function)
            raise ValueError(f"it calls {told}, which is no function here")
        if not isinstance(arguments, tuple):
            raise ValueError(f"it calls {function.name} with {type(arguments)}, expected a tuple")
        return function.make(self, arguments)

    def build(self, target: object, state: object) -> None:
        """Gives an array, a type of numbers or settings what it has besides its items."""
        if isinstance(target, np.ndarray):
            self.fill(target, state)
        elif isinstance(target, np.dtype):
            if not isinstance(state, tuple) or len(state) < 2 or type(state[1]) is not str:
                raise ValueError("a type of numbers has no order of bytes")
            if state[1] not in ("<", "|", "="):
                raise ValueError(f"its numbers have the order of bytes {state[1][:9]!r}")
        elif type(target) is argparse.Namespace and type(state) is dict:
            self.budget.spend("opcodes", len(state))
            for key in state:
                if type(key) is not str or key.startswith("__"):
                    raise ValueError("its settings have a name that isn't one")
            vars(target).update(state)
        elif type(target) is not OrderedDict or type(state) is not dict:
            # An OrderedDict of PyTorch has versions of layers as attributes: they are let go.
            raise ValueError(f"it sets attributes of {type(target)}")

    def fill(self, array: np.ndarray, state: object) -> None:
        kinds = (int, tuple, np.dtype, (bool, int), bytes)
        _, shape, dtype, fortran, numbers = check(state, kinds, "numpy.ndarray")
        if count_of(shape) * dtype.itemsize != len(numbers):
            raise ValueError(f"an array claims {len(shape)} axes, but has {len(numbers):,} bytes")
        self.budget.spend("bytes copied", len(numbers))
        array.__setstate__((1, shape, dtype, bool(fortran), numbers))

    def stored(self, asked: object) -> Flat:
        """The storage that a persistent id asks for."""
        if self.storage is None:
            raise ValueError("it has a persistent id, which stands for what isn't in it")
        if isinstance(asked, tuple) and asked and type(asked[0]) is str and asked[0] == "module":
            raise ValueError("it holds a whole network: save its state_dict instead")
        if isinstance(asked, tuple) and len(asked) == 6 and asked[5] is None:
            asked = asked[:5]
        kind, of, key, _, count = check(asked, (str, Global, str, str, int), "a persistent id")
        if kind != "storage" or of.dtype is None:
            raise ValueError(f"it has a persistent id of {of.name}, expected a storage")
        check_sizes((count,))
        return self.storage(of.dtype, key, count)


def tensor(reader: Reader, arguments: tuple) -> torch.Tensor:
    """`_rebuild_tensor_v2`: a view, only if it lies in its storage and isn't larger."""
    name = "torch._utils._rebuild_tensor_v2"
    if len(arguments) == 7 and arguments[6] is None:
        arguments = arguments[:6]
    kinds = (Flat, int, tuple, tuple, bool, dict)
    flat, offset, size, stride, *_ = check(arguments, kinds, name)
    check_sizes((offset,))
    check_sizes(stride)
    count, present = count_of(size), flat.numbers.numel()
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=False))
    if len(size) != len(stride) or count > present or (count and last >= present):
        raise ValueError(f"a tensor of {str(size)[:60]} doesn't lie in its {present:,} numbers")
    reader.budget.spend("bytes shown", count * flat.numbers.itemsize)
    return flat.numbers.as_strided(size, stride, offset) if count else flat.numbers.new_empty(size)


def parameter(reader: Reader, arguments: tuple) -> torch.Tensor:
    kinds = (torch.Tensor, bool, dict)
    return check(arguments, kinds, "torch._utils._rebuild_parameter")[0]


def pickled_storage(reader: Reader, arguments: tuple) -> Flat:
    """`_load_from_bytes`: a file in the file, which may hold one storage and nothing else."""
    (data,) = check(arguments, (bytes,), "torch.storage._load_from_bytes")
    if data[:4] == ZIP:
        raise ValueError("a tensor holds a zip in place of its numbers")
    reader.budget.spend("bytes copied", len(data))
    held = read_legacy(data, STORAGES, reader.budget)
    if not isinstance(held, Flat):
        raise ValueError(f"a tensor holds {type(held)} in place of its numbers")
    return held


def record(reader: Reader, arguments: tuple) -> Record:
    """`_reconstruct_persistent_obj`, which would run the `module_src` beside the state."""
    (meta,) = check(arguments, (dict,), "torch_utils.persistence._reconstruct_persistent_obj")
    of, name, state = (meta.get(key) for key in ("type", "class_name", "state"))
    if type(of) is not str or of != "class" or type(name) is not str or type(state) is not dict:
        raise ValueError("an object of torch_utils.persistence has no class_name or state")
    kwargs = state.get("_init_kwargs")
    return Record(name, kwargs if isinstance(kwargs, dict) else {}, state)


def number_type(reader: Reader, arguments: tuple) -> np.dtype:
    code = arguments[0] if arguments else None
    if type(code) is not str or not NUMERIC.fullmatch(code):
        raise ValueError("it has an array of objects or texts, expected numbers")
    return np.dtype(code)


def array(reader: Reader, arguments: tuple) -> np.ndarray:
    """`_reconstruct`: an array without numbers, which BUILD brings."""
    of, _, _ = check(arguments, (Global, tuple, bytes), "numpy's _reconstruct")
    if of.name != "numpy.ndarray":
        raise ValueError(f"numpy's _reconstruct is asked for {of.name}, expected numpy.ndarray")
    return np.empty(0, np.int8)


def scalar(reader: Reader, arguments: tuple) -> bool | int | float | complex:
    dtype, number = check(arguments, (np.dtype, bytes), "numpy's scalar")
    if len(number) != dtype.itemsize:
        raise ValueError(f"a number has {len(number):,} bytes, expected {dtype.itemsize}")
    return np.frombuffer(number, dtype)[0].item()


def unique(reader: Reader, arguments: tuple) -> set:
    (items,) = check(arguments, (list,), "builtins.set")
    reader.budget.spend("opcodes", len(items))
    return set(check_keys(items))


def encoded(reader: Reader, arguments: tuple) -> bytes:
    """Bytes as protocol 2 writes them."""
    text, codec = check(arguments, (str, str), "_codecs.encode")
    if codec != "latin1":
        raise ValueError(f"it has bytes written as {codec[:9]!r}, expected latin1")
    reader.budget.spend("bytes copied", len(text))
    return text.encode("latin1")


def fresh(name: str, kind: type) -> Global:
    """Stands for a class whose objects start empty."""

    def make(reader: Reader, arguments: tuple) -> object:
        check(arguments, (), name)
        return kind()

    return Global(name, make)


def table(*entries: Global) -> dict[str, Global]:
    return {entry.name: entry for entry in entries}


STORAGES = table(
    *(
        Global(f"torch.{name}Storage", dtype=dtype)
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
        }.items()
    )
)
COMMON = table(
    fresh("collections.OrderedDict", OrderedDict),
    Global("builtins.set", unique),
    Global("__builtin__.set", unique),
    Global("_codecs.encode", encoded),
    Global("torch._utils._rebuild_tensor_v2", tensor),
    Global("torch._utils._rebuild_parameter", parameter),
    Global("numpy.ndarray"),
    Global("numpy.dtype", number_type),
    Global("numpy.core.multiarray._reconstruct", array),
    Global("numpy._core.multiarray._reconstruct", array),
    Global("numpy.core.multiarray.scalar", scalar),
    Global("numpy._core.multiarray.scalar", scalar),
)
NVLABS = COMMON | table(
    Global("torch_utils.persistence._reconstruct_persistent_obj", record),
    fresh("dnnlib.util.EasyDict", dict),
    Global("torch.storage._load_from_bytes", pickled_storage),
)
TORCH = (
    COMMON
    | STORAGES
    | table(
        fresh("argparse.Namespace", argparse.Namespace),
        Global("torch.Size", lambda reader, arguments: check(arguments, (tuple,), "torch.Size")[0]),
    )
)

LEAVES = (str, bytes, int, float, complex, bool, type(None), set, np.ndarray, torch.Tensor)


def inside(value: object) -> list:
    """The values in a value."""
    if type(value) in (list, tuple):
        return list(value)
    if type(value) in (dict, OrderedDict):
        return list(value.values())
    if type(value) is argparse.Namespace:
        return list(vars(value).values())
    if type(value) is Record:
        return [value.init_kwargs, value.state]
    told = value.name if isinstance(value, Global) else type(value)
    raise ValueError(f"it holds {told} by itself, expected plain values")


def plain(tree: object) -> object:
    """The tree, unless it is too deep, goes in a circle or is small only while it is folded."""
    depths, counts, waiting = {}, {}, [(tree, False)]
    around = 0  # values that the one at hand lies in
    while waiting:
        value, entered = waiting.pop()
        if type(value) in LEAVES:
            continue
        key = id(value)
        if entered:
            around -= 1
            parts = inside(value)
            known = [id(part) for part in parts if type(part) not in LEAVES]
            depths[key] = 1 + max((depths[k] for k in known), default=0)
            counts[key] = 1 + len(parts) + sum(counts[k] for k in known)
            if depths[key] > DEPTH:
                raise ValueError(f"its values lie more than {DEPTH} deep in each other")
            if counts[key] > OPCODES:
                raise ValueError(f"it unfolds to more than {OPCODES:,} values")
        elif key not in depths:
            depths[key] = None
            around += 1
            if around > DEPTH:  # at once: a long way down takes time
                raise ValueError(f"its values lie more than {DEPTH} deep in each other")
            waiting.append((value, True))
            waiting += [(part, False) for part in inside(value)]
        elif depths[key] is None:
            raise ValueError("a value of it holds itself")
    return tree


def read_legacy(data: bytes, names: dict[str, Global], budget: Budget) -> object:
    """What PyTorch wrote before 1.6, and still writes for a storage in a pickle."""
    stream, flats, claimed = io.BytesIO(data), {}, 0
    magic, version, system = (Reader(stream, {}, budget).load() for _ in range(3))
    if type(magic) is not int or magic != MAGIC or type(version) is not int or version != VERSION:
        raise ValueError("it isn't a file of PyTorch's")
    if type(system) is not dict or system.get("little_endian") is not True:
        raise ValueError("its numbers have another order of bytes")

    def storage(dtype: torch.dtype, key: str, count: int) -> Flat:
        nonlocal claimed
        if key not in flats:
            claimed += count * dtype.itemsize
            if claimed > len(data):
                raise ValueError(f"it claims {claimed:,} bytes, but has {len(data):,}")
            flats[key] = Flat(torch.zeros(count, dtype=dtype))
        return same(flats[key], dtype, count)

    held = Reader(stream, names, budget, storage).load()
    keys = Reader(stream, {}, budget).load()
    if type(keys) is not list or not all(type(key) is str for key in keys):
        raise ValueError("it is damaged: it has no list of storages")
    if sorted(keys) != sorted(flats):
        raise ValueError("it is damaged: storages are missing")
    place = stream.tell()
    for key in keys:
        numbers, start = flats[key].numbers, place + 8
        place = start + numbers.nbytes
        count = int.from_bytes(data[start - 8 : start], "little")
        if place > len(data) or count != numbers.numel():
            raise ValueError(f"it is damaged: a storage claims {count:,} numbers")
        copy(data, start, numbers)
    if place != len(data):
        raise ValueError("it is damaged: something follows its end")
    return held


def same(flat: Flat, dtype: torch.dtype, count: int) -> Flat:
    if flat.numbers.dtype != dtype or flat.numbers.numel() != count:
        raise ValueError("it asks for a storage in two ways")
    return flat


def copy(data: bytes, start: int, numbers: torch.Tensor) -> None:
    """Bytes from `start` on into numbers of any type."""
    if numbers.nbytes:
        there = numbers.view(torch.uint8).numpy()
        there[:] = np.frombuffer(data, np.uint8, numbers.nbytes, start)


def read_zip(data: bytes, budget: Budget) -> object:
    """What PyTorch writes since 1.6: files in a zip, none of them compressed."""
    if data.count(b"PK\1\2") > ENTRIES:
        raise ValueError(f"it is a zip with more than {ENTRIES:,} files")
    flats = {}
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            files = listed(archive, len(data))

            def storage(dtype: torch.dtype, key: str, count: int) -> Flat:
                if key not in flats:
                    file = files.get(f"data/{key}")
                    there = file.file_size if file else 0
                    if there != count * dtype.itemsize:
                        raise ValueError(f"a storage of {count:,} numbers has {there:,} bytes")
                    flats[key] = Flat(torch.zeros(count, dtype=dtype))
                    if there:
                        copy(archive.read(file), 0, flats[key].numbers)
                return same(flats[key], dtype, count)

            if "byteorder" in files and archive.read(files["byteorder"]) != b"little":
                raise ValueError("its numbers have another order of bytes")
            stream = io.BytesIO(archive.read(files["data.pkl"]))
            return Reader(stream, TORCH, budget, storage).load()
    except (zipfile.BadZipFile, EOFError, NotImplementedError, struct.error) as error:
        raise ValueError(f"it is a damaged zip ({str(error)[:99]})") from error


def listed(archive: zipfile.ZipFile, size: int) -> dict[str, zipfile.ZipInfo]:
    """The files by their names in the one folder that they lie in."""
    files, roots = {}, set()
    if any(
        re.match(r"[^/]+/(constants\.pkl$|code/)", info.filename) for info in archive.infolist()
    ):
        raise ValueError("it is a TorchScript program, expected a file of tensors")
    for info in archive.infolist():
        name = info.filename
        root, _, rest = name.partition("/")
        if not root or not rest or "\\" in name or ".." in name.split("/") or name[1:2] == ":":
            raise ValueError(f"it has a file named {name[:99]!r}, which leads elsewhere")
        if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size:
            raise ValueError("it is compressed, which PyTorch's files aren't")
        if info.flag_bits & 1 or rest in files:
            raise ValueError(f"it has {rest[:99]!r} twice or encrypted")
        files[rest] = info
        roots.add(root)
    if len(roots) != 1 or "data.pkl" not in files:
        raise ValueError("it is another zip than PyTorch writes")
    if sum(info.file_size for info in files.values()) > size:
        raise ValueError("its files overlap each other")
    return files


def contents(source: str | Path | bytes, limit_bytes: int) -> tuple[str, bytes]:
    """What to call a file in messages, and its bytes."""
    held = isinstance(source, bytes)
    name, size = ("pickle", len(source)) if held else (source, Path(source).stat().st_size)
    if size > limit_bytes:
        raise ValueError(f"{name}: it has {size:,} bytes, more than limit_bytes={limit_bytes:,}")
    return str(name), source if held else Path(source).read_bytes()


def read(source: str | Path | bytes, limit_bytes: int = LIMIT) -> object:
    """What a pickle holds, as NVlabs write it: plain values, tensors, arrays and `Record`.

    No code from it is run or compiled, and nothing is imported. Numbers of numpy become Python's.

    Raises:
        ValueError: it asks for anything else, is damaged, too large or too deep.
    """
    name, data = contents(source, limit_bytes)
    try:
        stream, budget = io.BytesIO(data), Budget(len(data))
        tree = plain(Reader(stream, NVLABS, budget).load())
        if stream.read(1):
            raise ValueError("it is damaged: something follows its end")
    except ValueError as error:
        raise ValueError(f"{name}: expected a pickle of plain values, but {error}") from error
    return tree


def read_torch(source: str | Path | bytes, limit_bytes: int = LIMIT) -> object:
    """What a `.pt` or `.pth` file holds: plain values, tensors and `argparse.Namespace`.

    Both of PyTorch's formats are read, by no code of PyTorch's: its safe loader still allocates
    what a file claims to need. Parameters become tensors.

    Raises:
        ValueError: it asks for anything else, is damaged, too large or too deep.
    """
    name, data = contents(source, limit_bytes)
    try:
        budget = Budget(len(data))
        if data[:4] == ZIP:
            return plain(read_zip(data, budget))
        if data[257:262] == b"ustar":
            raise ValueError(
                "it is a tar of PyTorch's first years: open it there and save it again"
            )
        return plain(read_legacy(data, TORCH, budget))
    except ValueError as error:
        raise ValueError(f"{name}: expected a checkpoint of tensors, but {error}") from error


def tensors(network: Record, prefix: str = "") -> Iterator[tuple[str, torch.Tensor]]:
    """Dotted name and tensor of each parameter and buffer of a network.

    Those that `persistent` wrote lie in one dict, by their whole names.
    """
    whole = network.state.get("tensors", {})
    if type(whole) is not dict:
        raise ValueError(
            f"tensors of {network.class_name[:99]} are of {type(whole)}, expected a dict"
        )
    for name, value in whole.items():
        if type(name) is not str or not isinstance(value, torch.Tensor):
            raise ValueError(f"{network.class_name[:99]} holds {type(value)}, expected a tensor")
        yield prefix + name, value
    for part in ("_parameters", "_buffers"):
        for name, value in members(network, part, torch.Tensor):
            yield prefix + name, value
    for name, child in members(network, "_modules", Record):
        yield from tensors(child, f"{prefix}{name}.")


def modules(network: Record) -> Iterator[Record]:
    """The network and all that lies in it."""
    yield network
    for _, child in members(network, "_modules", Record):
        yield from modules(child)


def members(network: Record, part: str, kind: type) -> Iterator[tuple[str, object]]:
    held = network.state.get(part, {})
    if not isinstance(held, dict):
        raise ValueError(f"{part} of {network.class_name[:99]} is of {type(held)}, expected a dict")
    for name, value in held.items():
        if type(name) is not str or "." in name or not isinstance(value, (kind, type(None))):
            raise ValueError(
                f"{part} of {network.class_name[:99]} holds {type(value)}, expected {kind}"
            )
        if value is not None:
            yield name, value


def read_nvlabs(source: str | Path, limit_bytes: int = LIMIT) -> dict[str, dict]:
    """The states "G", "D" and "G_ema" that a `.pkl` of NVlabs' has, as `from_nvlabs` takes them.

    Raises:
        ValueError: as `read`, or none of them is in it.
    """
    tree = read(source, limit_bytes)
    try:
        return {name: dict(tensors(network)) for name, network in networks(tree).items()}
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from error


def networks(tree: object) -> dict[str, Record]:
    """Those of "G", "D" and "G_ema" that are in what `read` gave; ValueError if none is."""
    held = tree if isinstance(tree, dict) else {}
    found = {name: held[name] for name in NETWORKS if isinstance(held.get(name), Record)}
    if not found:
        raise ValueError(f"expected a dict with one of {', '.join(NETWORKS)}")
    return found
