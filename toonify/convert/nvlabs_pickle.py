"""NVlabs' `.pkl` files: networks of torch_utils.persistence, read by a restricted `Unpickler`.

Such a file holds the source of its classes, which NVlabs' loader runs. Here a network becomes a
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

import torch

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


@dataclass(frozen=True, eq=False)
class Global:
    """A name in a pickle, and the function that builds what a call of it stands for."""

    name: str
    make: Callable


def new_tensor(
    flat: torch.Tensor, offset: int, size: tuple, stride: tuple, *rest: object
) -> torch.Tensor:
    """`_rebuild_tensor_v2`: a view of what `new_storage` gave; torch checks that it lies in it."""
    if math.prod(side or 1 for side in size) >= MAX_KEY:
        raise ValueError("a tensor has a size that is out of range")
    return flat.as_strided(size, stride, offset)


def new_storage(data: bytes) -> torch.Tensor:
    """`_load_from_bytes`: a file of PyTorch's in the pickle, which may only hold one storage."""
    held = load_torch(data)
    if not isinstance(held, torch.storage.TypedStorage):
        raise ValueError(f"a tensor holds {type(held)} in place of its numbers")
    return torch.empty(0, dtype=held.dtype).set_(held._untyped_storage)


def new_record(meta: dict) -> Record:
    """`_reconstruct_persistent_obj`, which would run the `module_src` beside the state."""
    kind, name, state = (meta.get(key) for key in ("type", "class_name", "state"))
    if kind != "class" or type(name) is not str or type(state) is not dict:
        raise ValueError("an object of torch_utils.persistence has no class_name or state")
    kwargs = state.get("_init_kwargs")
    return Record(name, kwargs if isinstance(kwargs, dict) else {}, state)


def encoded(text: str, codec: str) -> bytes:
    """Bytes as protocol 2 writes them."""
    if codec != "latin1":
        raise ValueError(f"it has bytes written as {str(codec)[:9]!r}, expected latin1")
    return text.encode("latin1")


NVLABS = PLAIN | {
    "torch_utils.persistence._reconstruct_persistent_obj": new_record,
    "dnnlib.util.EasyDict": new_dict,
    "torch.storage._load_from_bytes": new_storage,
    "torch._utils._rebuild_tensor_v2": new_tensor,
    "torch._utils._rebuild_parameter": lambda tensor, grad, hooks: tensor,
    "_codecs.encode": encoded,
}


class Unpickler(pickle._Unpickler):
    """Calls functions of this file alone, found by the closed table `NVLABS`."""

    def __init__(self, data: bytes):
        super().__init__(io.BytesIO(data))
        self.left = MAX_FACTOR * len(data) + MAX_OPCODES  # bytes and values that calls may copy

    def find_class(self, module: str, name: str) -> Global:
        full = f"{module}.{name}"
        return Global(full, NVLABS[full]) if full in NVLABS else refuse_name(full)

    def persistent_load(self, pid: object):
        raise ValueError("it has a persistent id, which stands for a value outside of the file")

    def load_call(self) -> None:
        arguments, function = self.stack.pop(), self.stack.pop()
        if type(function) is not Global or type(arguments) is not tuple:
            raise ValueError(f"it calls {type(function)} with {type(arguments)}")
        self.spend(arguments)
        self.append(function.make(*arguments))

    def spend(self, arguments: tuple) -> None:
        sized = (str, bytes, list, tuple, dict)
        self.left -= sum(len(held) if isinstance(held, sized) else 1 for held in arguments)
        if self.left < 0:
            raise ValueError("its calls copy more than a file of its size may")

    def load_build(self) -> None:
        target, state = self.stack[-2:]
        if type(target) not in (NumberType, Array, argparse.Namespace, OrderedDict):
            raise ValueError(f"it sets attributes of {type(target)}")
        self.spend(state if type(state) is tuple else (state,))
        super().load_build()

    def load_setitem(self) -> None:
        check_keys(self.stack[-2:-1])
        super().load_setitem()

    def load_setitems(self) -> None:
        check_keys(self.stack[::2])
        super().load_setitems()

    def load_additems(self) -> None:
        check_keys(self.stack)
        super().load_additems()

    dispatch = pickle._Unpickler.dispatch | {
        pickle.REDUCE[0]: load_call,
        pickle.NEWOBJ[0]: load_call,
        pickle.BUILD[0]: load_build,
        pickle.SETITEM[0]: load_setitem,
        pickle.SETITEMS[0]: load_setitems,
        pickle.ADDITEMS[0]: load_additems,
    }


def load_nvlabs(data: bytes) -> object:
    """The values of a pickle; ValueError as `load_torch`."""
    *_, (_, _, end) = opcodes(data)
    if end != len(data):
        raise ValueError("it is damaged: something follows its end")
    try:
        unpickler = Unpickler(data)
        held = unpickler.load()
    except DAMAGE as error:
        raise ValueError(f"it is damaged ({type(error).__name__})") from error
    if unpickler.stack:
        raise ValueError("it is damaged: values are left over")
    return held


def read(source: str | Path | bytes, limit_bytes: int = MAX_BYTES) -> object:
    """The values of a pickle as NVlabs write it: plain data, tensors, arrays and `Record`.

    No code from it is run or compiled. Numbers of numpy become Python's.

    Arguments and errors are those of `read_torch`.
    """
    name, data = read_bytes(source, limit_bytes)
    try:
        return check_tree(load_nvlabs(data), len(data))
    except ValueError as error:
        raise ValueError(f"{name}: expected a pickle of plain values, but {error}") from error


def modules(network: Record, path: str = "") -> Iterator[tuple[str, Record]]:
    """Dotted path, with a dot at its end, of the network and of each module in it."""
    yield path, network
    for name, child in members(network, "_modules", Record):
        yield from modules(child, f"{path}{name}.")


def tensors(network: Record) -> Iterator[tuple[str, torch.Tensor]]:
    """Dotted name and tensor of each parameter and buffer; `tensors` is what `persistent` wrote."""
    for path, module in modules(network):
        for part in ("tensors", "_parameters", "_buffers"):
            for name, value in members(module, part, torch.Tensor):
                yield path + name, value


def members(network: Record, part: str, kind: type) -> Iterator[tuple[str, object]]:
    held, where = network.state.get(part, {}), f"{part} of {network.class_name[:99]}"
    if not isinstance(held, dict):
        raise ValueError(f"{where} is of {type(held)}, expected a dict")
    for name, value in held.items():
        whole = type(name) is str and (part == "tensors" or "." not in name)
        if not whole or not isinstance(value, (kind, type(None))):
            raise ValueError(f"{where} holds {type(value)}, expected {kind}")
        if value is not None:
            yield name, value


def read_nvlabs(source: str | Path, limit_bytes: int = MAX_BYTES) -> dict[str, dict]:
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
