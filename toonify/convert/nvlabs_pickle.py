"""Reads NVlabs' `.pkl` files, networks of torch_utils.persistence, with a restricted `Unpickler`.

Such a file holds the source of its classes, which NVlabs' loader executes. Here a network becomes a
`Record`: its values without its class.
"""

import argparse
import io
import math
import pickle
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NoReturn, TypeVar

import torch

from toonify.convert.states import printable
from toonify.convert.unpickling import (
    DAMAGE,
    MAX_BYTES,
    MAX_FACTOR,
    MAX_KEY,
    MAX_OPCODES,
    PLAIN,
    Array,
    NumberType,
    Record,
    check_keys,
    check_tree,
    load_torch,
    new_dict,
    opcodes,
    read_bytes,
    refuse_name,
)

NETWORKS = ("G", "D", "G_ema")

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Global:
    """A name in a pickle, and the function that replaces it."""

    name: str
    make: Callable[..., object]


def new_tensor(
    flat: torch.Tensor, offset: int, size: tuple, stride: tuple, *rest: object
) -> torch.Tensor:
    """Replaces `_rebuild_tensor_v2`: a view of `flat`, whose bounds torch checks."""
    if math.prod(side or 1 for side in size) >= MAX_KEY:
        raise ValueError("the shape of a tensor is out of range")
    return flat.as_strided(size, stride, offset)


def new_storage(data: bytes) -> torch.Tensor:
    """Replaces `_load_from_bytes`: reads a storage from a PyTorch file in the pickle."""
    held = load_torch(data)
    if not isinstance(held, torch.storage.TypedStorage):
        raise ValueError(f"a tensor holds a {type(held).__name__}, expected numbers")
    return torch.empty(0, dtype=held.dtype).set_(held._untyped_storage)


def new_record(meta: dict) -> Record:
    """Replaces `_reconstruct_persistent_obj`, which would execute the `module_src` in `meta`."""
    name, state = meta.get("class_name"), meta.get("state")
    if meta.get("type") != "class" or type(name) is not str or type(state) is not dict:
        raise ValueError("an object of torch_utils.persistence has no class_name or no state")
    kwargs = state.get("_init_kwargs")
    return Record(name, kwargs if isinstance(kwargs, dict) else {}, state)


def encode(text: str, codec: str) -> bytes:
    """Replaces `_codecs.encode`, with which protocol 2 writes bytes."""
    if codec != "latin1":
        raise ValueError(f"bytes have the encoding {str(codec)[:9]!r}, expected latin1")
    return text.encode("latin1")


NVLABS: dict[str, Callable[..., object]] = PLAIN | {
    "torch_utils.persistence._reconstruct_persistent_obj": new_record,
    "dnnlib.util.EasyDict": new_dict,
    "torch.storage._load_from_bytes": new_storage,
    "torch._utils._rebuild_tensor_v2": new_tensor,
    "torch._utils._rebuild_parameter": lambda tensor, grad, hooks: tensor,
    "_codecs.encode": encode,
}


BASE_DISPATCH: dict[int, Callable[[Any], None]] = {**pickle._Unpickler.dispatch}


class Unpickler(pickle._Unpickler):
    """Calls only functions in the closed table `NVLABS`."""

    stack: list[Any]
    append: Callable[[object], None]

    def __init__(self, data: bytes):
        super().__init__(io.BytesIO(data))
        self.remaining = MAX_FACTOR * len(data) + MAX_OPCODES  # bytes and values calls may copy

    def find_class(self, module: str, name: str) -> Global:
        full = f"{module}.{name}"
        return Global(full, NVLABS[full]) if full in NVLABS else refuse_name(full)

    def persistent_load(self, pid: object) -> NoReturn:
        raise ValueError(
            "the pickle has a persistent ID, which refers to a value outside of the file"
        )

    def load_call(self) -> None:
        arguments, function = self.stack.pop(), self.stack.pop()
        if type(function) is not Global or type(arguments) is not tuple:
            called, given = type(function).__name__, type(arguments).__name__
            raise ValueError(f"the pickle calls a {called} with a {given}")
        self.spend(arguments)
        self.append(function.make(*arguments))

    def spend(self, arguments: tuple) -> None:
        """Counts what a call copies."""
        sized = (str, bytes, list, tuple, dict)
        self.remaining -= sum(len(held) if isinstance(held, sized) else 1 for held in arguments)
        if self.remaining < 0:
            raise ValueError("calls copy more than a file of this size may")

    def load_build(self) -> None:
        target, state = self.stack[-2:]
        if type(target) not in (NumberType, Array, argparse.Namespace, OrderedDict):
            raise ValueError(f"the pickle sets attributes of a {type(target).__name__}")
        self.spend(state if type(state) is tuple else (state,))
        BASE_DISPATCH[pickle.BUILD[0]](self)

    def load_setitem(self) -> None:
        check_keys(self.stack[-2:-1])
        BASE_DISPATCH[pickle.SETITEM[0]](self)

    def load_setitems(self) -> None:
        check_keys(self.stack[::2])
        BASE_DISPATCH[pickle.SETITEMS[0]](self)

    def load_additems(self) -> None:
        check_keys(self.stack)
        BASE_DISPATCH[pickle.ADDITEMS[0]](self)

    dispatch: ClassVar[dict[int, Callable[[Any], None]]] = {
        **BASE_DISPATCH,
        pickle.REDUCE[0]: load_call,
        pickle.NEWOBJ[0]: load_call,
        pickle.BUILD[0]: load_build,
        pickle.SETITEM[0]: load_setitem,
        pickle.SETITEMS[0]: load_setitems,
        pickle.ADDITEMS[0]: load_additems,
    }


def load_nvlabs(data: bytes) -> object:
    """Loads the values of a pickle; see `read`."""
    *_, (_, _, end) = opcodes(data)
    if end != len(data):
        raise ValueError("the file is damaged: data follow its end")
    try:
        unpickler = Unpickler(data)
        held = unpickler.load()
    except DAMAGE as error:
        raise ValueError(f"the file is damaged ({type(error).__name__})") from error
    if unpickler.stack:
        raise ValueError("the file is damaged: values remain on the stack")
    return held


def read(source: str | Path | bytes, limit_bytes: int = MAX_BYTES) -> object:
    """Reads a pickle that NVlabs' programs wrote, without executing or compiling code in it.

    Args:
        source: a path, or the bytes of a file.
        limit_bytes: maximum size of the file; default: 2 GiB.

    Returns:
        The values: plain data, tensors, arrays and `Record`. NumPy numbers become Python's.

    Raises:
        ValueError: the file refers to anything else, is damaged, too large or too deep.
    """
    name, data = read_bytes(source, limit_bytes)
    try:
        return check_tree(load_nvlabs(data), len(data))
    except ValueError as error:
        raise ValueError(f"{name}: expected a pickle of plain values, but {error}") from error


def modules(network: Record, path: str = "") -> Iterator[tuple[str, Record]]:
    """Yields the network and each module in it, with their dotted paths, each ending in a dot."""
    yield path, network
    for name, child in read_members(network, "_modules", Record):
        yield from modules(child, f"{path}{name}.")


def tensors(network: Record) -> Iterator[tuple[str, torch.Tensor]]:
    """Yields dotted name and tensor of each parameter and buffer.

    NVlabs' networks keep them in `_parameters` and `_buffers`, those of `persistent` in `tensors`.
    """
    for path, module in modules(network):
        for part in ("tensors", "_parameters", "_buffers"):
            for name, value in read_members(module, part, torch.Tensor):
                yield path + name, value


def read_members(network: Record, part: str, kind: type[T]) -> Iterator[tuple[str, T]]:
    """Yields name and value of what a dict in the state of a network holds, except None."""
    held, where = network.state.get(part, {}), f"{part} of {network.class_name[:99]}"
    if not isinstance(held, dict):
        raise ValueError(f"{where} is of type {type(held).__name__}, expected a dict")
    for name, value in held.items():
        valid = type(name) is str and (part == "tensors" or "." not in name)
        if not valid or not isinstance(value, (kind, type(None))):
            raise ValueError(
                f"{where} holds {printable(name)} of type {type(value).__name__}, expected names"
                f" and {kind.__name__}"
            )
        if value is not None:
            yield name, value


def networks(tree: object) -> dict[str, Record]:
    """Returns the networks "G", "D" and "G_ema" in the result of `read`; ValueError without any."""
    held = tree if isinstance(tree, dict) else {}
    found = {name: held[name] for name in NETWORKS if isinstance(held.get(name), Record)}
    if not found:
        raise ValueError(f"expected a dict with one of {', '.join(NETWORKS)}")
    return found
