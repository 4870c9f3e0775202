"""NVlabs' pickles: networks are read from them, and no code in them is executed."""

import argparse
import collections
import functools
import operator
import os
import pickle
import random
import struct
import subprocess
import sys
import time
import types

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tests.fixtures.convert_command import convert
from tests.fixtures.pickles import (
    Call,
    call,
    claims,
    laughs,
    rebuilt,
    storage,
    stored,
    text,
    touch,
    with_globals,
)
from tests.unit.convert.test_stylegan2 import nvlabs_critic, nvlabs_generator, same
from toonify import hub
from toonify.convert import checkpoints
from toonify.convert.nvlabs_pickle import networks, read, tensors
from toonify.convert.stylegan2 import from_nvlabs, read_conv_clamp
from toonify.convert.unpickling import MAX_OPCODES, Record, read_torch
from toonify.models import MODELS
from toonify.models.stylegan2 import StyleGAN2Generator

BUFFERS = ("w_avg", "noise_const", "resample_filter")
# What NVlabs' own reader would compile and run.
SOURCE = """
import os
open(os.environ["CANARY"], "w").close()

class Network:
    pass
"""


@pytest.fixture
def writers(monkeypatch):
    """The modules of NVlabs' repository, as far as a pickle names them, and a way to be rid."""
    persistence = types.ModuleType("torch_utils.persistence")
    persistence._reconstruct_persistent_obj = published("torch_utils.persistence", rebuild)
    util = types.ModuleType("dnnlib.util")
    util.EasyDict = published("dnnlib.util", type("EasyDict", (dict,), {}))
    with monkeypatch.context() as patch:
        for module in (persistence, util):
            package = module.__name__.partition(".")[0]
            patch.setitem(sys.modules, package, types.ModuleType(package))
            patch.setitem(sys.modules, module.__name__, module)
        yield types.SimpleNamespace(persistence=persistence, util=util, leave=patch.undo)


def read_nvlabs(source, **limit):
    """The state dicts in a file, as `checkpoints` reads them."""
    found = networks(read(source, **limit))
    return {name: dict(tensors(network)) for name, network in found.items()}


def rebuild(meta):
    raise AssertionError("the pickle was run")


def published(module, thing):
    thing.__module__ = module
    thing.__qualname__ = thing.__name__ = thing.__name__.replace(
        "rebuild", "_reconstruct_persistent_obj"
    )
    return thing


class Module(torch.nn.Module):
    """Pickled as NVlabs' persistent classes are: by source text and state."""

    def __reduce__(self):
        meta = {"type": "class", "version": 6, "module_src": SOURCE}
        meta |= {"class_name": "Network", "state": self.__dict__}
        return sys.modules["torch_utils.persistence"]._reconstruct_persistent_obj, (meta,)


def module(state, arrays=True):
    """Modules that lie in each other as the dotted names of a state tell."""
    network, rooms = Module(), collections.defaultdict(dict)
    for key, tensor in state.items():
        room, dot, rest = key.partition(".")
        if dot:
            rooms[room][rest] = tensor
        elif room in BUFFERS:
            network.register_buffer(room, tensor)
        else:
            network.register_parameter(room, torch.nn.Parameter(tensor))
    network.register_parameter("none", None)
    for room, inner in rooms.items():
        network.add_module(room, module(inner, arrays))
    network._init_args = ()
    network._init_kwargs = sys.modules["dnnlib.util"].EasyDict(w_dim=10**15, activation="lrelu")
    network.weight_gain = 1 / np.sqrt(np.float64(16))
    if arrays:
        network.table = np.arange(6, dtype=np.float32).reshape(2, 3)
    return network


def clamped(network, limit):
    """The network whose layers have a clamp, as NVlabs' have."""
    for layer in network.modules():
        layer.conv_clamp = limit
    return network


def nvlabs_pickle(protocol=4, clamp=None, **states):
    held = {name: clamped(module(s, protocol < 5), clamp) for name, s in states.items()}
    held |= {"training_set_kwargs": sys.modules["dnnlib.util"].EasyDict(path="faces.zip", xflip=1)}
    held |= {"augment_pipe": None, "kimg": np.int64(25_000)}
    return pickle.dumps(held, protocol)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_networks_come_out_of_a_pickle(tmp_path, writers, canary, protocol):
    G, D = nvlabs_generator(), nvlabs_critic()
    G_ema = {key: tensor + 1 if tensor.ndim > 1 else tensor for key, tensor in G.items()}
    G_ema |= {key: tensor for key, tensor in G.items() if key.endswith("resample_filter")}
    data = nvlabs_pickle(protocol, G=G, D=D, G_ema=G_ema)
    assert SOURCE.encode() in data
    path = tmp_path / "network.pkl"
    path.write_bytes(data)
    writers.leave()
    assert "torch_utils.persistence" not in sys.modules
    with pytest.raises(ModuleNotFoundError):
        pickle.loads(data)
    found = read_nvlabs(path)
    assert found.keys() == {"G", "D", "G_ema"}
    for name, state in {"G": G, "D": D, "G_ema": G_ema}.items():
        assert same(found[name], state)
        assert not any(tensor.requires_grad for tensor in found[name].values())
    config, state = from_nvlabs(found["G_ema"])
    network = StyleGAN2Generator(**config)
    network.load_state_dict(state)
    assert torch.equal(network.synthesis.b4.const, G_ema["synthesis.b4.const"])
    assert from_nvlabs(found["D"], "D")[0]["resolution"] == 32


@pytest.mark.parametrize("clamp", [None, 256])
def test_the_command_makes_a_folder_of_a_pickle(tmp_path, writers, canary, clamp):
    G, D = nvlabs_generator(), nvlabs_critic()
    data = nvlabs_pickle(G={}, G_ema=G, D=D, clamp=clamp)
    writers.leave()
    (tmp_path / "network.pkl").write_bytes(data)
    assert convert(tmp_path / "network.pkl", tmp_path / "out", "--fp32") == 0
    network = hub.load_model(tmp_path / "out", MODELS)
    assert network.config.conv_clamp == clamp
    assert same(network.state_dict(), from_nvlabs(G)[1])
    assert same(load_file(tmp_path / "out" / "critic.safetensors"), from_nvlabs(D, "D")[1])


def test_layers_that_are_clamped_at_odds_are_refused():
    layers = [Record("Layer", {}, {"conv_clamp": limit}) for limit in (256, None, 256.0)]
    network = Record("Network", {}, {"_modules": {"a": layers[0], "b": layers[1]}})
    assert read_conv_clamp(network) == 256
    network.state["_modules"]["c"] = layers[2]
    assert read_conv_clamp(network) == 256
    for odd in (1, -1, True, "256", (1,)):
        network.state["_modules"]["c"] = Record("Layer", {}, {"conv_clamp": odd})
        with pytest.raises(ValueError, match="conv_clamp of Network: expected a single number"):
            read_conv_clamp(network)


@pytest.mark.parametrize(
    ("where", "value", "words"),
    [
        ("mapping.fc0", {"bias_gain": 1}, "mapping.fc0.lr_multiplier is '1', expected 0.01"),
        ("synthesis.b8.conv1", {"activation": "relu"}, "activation is 'relu', expected 'lrelu'"),
        ("synthesis.b4.conv1.affine", {"activation": "lrelu"}, "expected 'linear'"),
        ("mapping.fc0", {"activation": [1]}, "expected 'lrelu'"),
        ("mapping.fc0", {"bias_gain": 0.1}, "mapping.fc0.lr_multiplier is '0.1', expected 0.01"),
        ("mapping.fc0", {"activation": "linear"}, "activation is 'linear', expected 'lrelu'"),
        ("synthesis.b32.conv0", {"activation": "swish"}, "activation is 'swish', expected 'lrelu'"),
        ("synthesis.b16.torgb.affine", {"bias_gain": 0.5}, "lr_multiplier is '0.5', expected 1"),
    ],
)
def test_networks_that_compute_something_else_are_refused(tmp_path, writers, where, value, words):
    G = module(nvlabs_generator())
    layer = G.get_submodule(where)
    vars(layer).update({"bias_gain": 0.01, "activation": "lrelu"} if "fc" in where else {})
    (tmp_path / "fits.pkl").write_bytes(pickle.dumps({"G_ema": G}))
    vars(layer).update(value)
    (tmp_path / "network.pkl").write_bytes(pickle.dumps({"G_ema": G}))
    writers.leave()
    assert checkpoints.read(str(tmp_path / "fits.pkl")).kind == "nvlabs"
    with pytest.raises(ValueError, match=words):
        checkpoints.read(str(tmp_path / "network.pkl"))


def test_a_discriminator_of_another_kind_is_left_out(tmp_path, writers):
    D = nvlabs_critic()
    D = {key: tensor for key, tensor in D.items() if ".skip." not in key}
    (tmp_path / "network.pkl").write_bytes(nvlabs_pickle(G_ema=nvlabs_generator(), D=D))
    writers.leave()
    found = checkpoints.read(str(tmp_path / "network.pkl"))
    assert found.discriminator is None
    assert "the discriminator is not converted: D with NVlabs' keys" in found.notes[0]


def test_what_else_is_in_a_pickle_is_plain(writers, canary):
    data = nvlabs_pickle(G=nvlabs_generator())
    writers.leave()
    tree = read(data)
    assert tree["training_set_kwargs"] == {"path": "faces.zip", "xflip": 1}
    assert type(tree["training_set_kwargs"]) is dict
    assert tree["kimg"] == 25_000
    assert type(tree["kimg"]) is int
    G = tree["G"]
    assert type(G) is Record
    assert (G.class_name, G.init_kwargs) == ("Network", {"w_dim": 10**15, "activation": "lrelu"})
    assert G.state["weight_gain"] == 0.25
    assert np.array_equal(G.state["table"], [[0, 1, 2], [3, 4, 5]])
    assert G.state["table"].dtype == np.float32
    plain = {"a": [1, 2.5, None, True, -(2**70)], "b": ((), (1, 2)), "c": b"\0", "d": {"x", "y"}}
    for protocol in (2, 3, 4, 5):
        assert read(pickle.dumps(plain, protocol)) == plain


def test_a_pickle_without_networks_is_refused(tmp_path, writers):
    path = tmp_path / "some.pkl"
    for held in ([], {"G": [1]}, {"other": None}):
        path.write_bytes(pickle.dumps(held))
        with pytest.raises(ValueError, match="expected a dict with one of G, D, G_ema"):
            read_nvlabs(path)
    for part, value in {
        "_modules": {"b4": [torch.zeros(1)]},
        "_parameters": {"weight": 1.0},
        "_buffers": {"b4.weight": torch.zeros(1)},
    }.items():
        network = module({})
        network.__dict__[part] = value
        path.write_bytes(pickle.dumps({"G": network}))
        with pytest.raises(ValueError, match=f"{part} of Network holds"):
            read_nvlabs(path)
    with pytest.raises(ValueError, match="limit_bytes=10"):
        read_nvlabs(path, limit_bytes=10)
    with pytest.raises(FileNotFoundError):
        read_nvlabs(tmp_path / "none.pkl")


class Slotted:
    """Rebuilt by copyreg.__newobj__, and BUILD with attributes."""

    def __setstate__(self, state):
        os.system(f"touch {os.environ['CANARY']}")

    def __getstate__(self):
        return {"a": 1}


ARRAY = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85C\x01btR"
FLOATS = b"cnumpy\ndtype\nX\x02\x00\x00\x00f4\x85R"
NEW_MANY = b"".join(
    b"\x8a\x0a" + (i * (2**61 - 1)).to_bytes(10, "little") + b"N" for i in range(1, 4_000)
)

HOSTILE = {
    "os.system": lambda path: call(os.system, f"touch {path}"),
    "os.system, protocol 0": lambda path: call(os.system, f"touch {path}", protocol=0),
    "eval": lambda path: call(eval, f"open({str(path)!r}, 'w')"),
    "exec": lambda path: call(exec, f"open({str(path)!r}, 'w')"),
    "open": lambda path: call(open, str(path), "w"),
    "getattr": call(getattr, "", "join"),
    "import": call(__import__, "os"),
    "subprocess": lambda path: call(subprocess.Popen, ["touch", str(path)]),
    "partial": lambda path: pickle.dumps(functools.partial(os.system, f"touch {path}")),
    "attrgetter": pickle.dumps(operator.attrgetter("system")),
    "torch.load": lambda path: call(torch.load, str(path)),
    "pickle.loads": lambda path: call(pickle.loads, call(os.system, f"touch {path}")),
    "global by itself": with_globals(b"cnumpy\nndarray\n"),
    "unnamed text": with_globals(b"K\x01K\x02\x93"),
    "call of a value": with_globals(b"X\x01\x00\x00\x00a)R"),
    "call of a result": with_globals(b"ccollections\nOrderedDict\n)R)R"),
    "call without tuple": with_globals(b"ccollections\nOrderedDict\n]R"),
    "newobj": pickle.dumps(Slotted(), 2),
    "newobj of a class": with_globals(b"cfractions\nFraction\n)\x81"),
    "newobj_ex": with_globals(b"ccollections\nOrderedDict\n)}\x92"),
    "__newobj__": with_globals(b"ccopyreg\n__newobj__\n(cnumpy\nndarray\ntR"),
    "setstate": with_globals(b"cnumpy\nndarray\n}" + text("__setstate__") + b"cos\nsystem\nsb"),
    "build of a name": with_globals(b"cnumpy\nndarray\n}" + text("make") + text("touch") + b"sb"),
    "build of a name by slots": with_globals(
        b"ctorch._utils\n_rebuild_parameter\nN}" + text("__code__") + b"Ns\x86b"
    ),
    "build of a dict": with_globals(b"}}" + text("__class__") + b"Nsb"),
    "inst": lambda path: with_globals(b"(" + text(f"touch {path}") + b"ios\nsystem\n"),
    "inst, protocol 0": lambda path: f"(S'touch {path}'\nios\nsystem\n.".encode(),
    "obj": with_globals(b"(ccollections\nOrderedDict\n" + text("touch") + b"o"),
    "obj of os.system": with_globals(b"(cos\nsystem\n" + text("touch") + b"o"),
    "extension 1": with_globals(b"\x82\x01"),
    "extension 2": with_globals(b"\x83\x01\x00"),
    "extension 4": with_globals(b"\x84\x01\x00\x00\x00"),
    "persistent id": with_globals(b"K\x01Q"),
    "persistent id, protocol 0": b"Ptouch\n.",
    "inside a tensor": lambda path: pickle.dumps(rebuilt(touch(path), 0, (1,), (1,))),
    "inside a size": lambda path: pickle.dumps(rebuilt(storage(), 0, (touch(path),), (1,))),
    "inside a storage": lambda path: call(torch.storage._load_from_bytes, stored(touch(path))),
    "inside a storage, zipped": lambda path: call(
        torch.storage._load_from_bytes, stored(touch(path), True)
    ),
    "storage of another kind": call(torch.storage._load_from_bytes, stored([1])),
    "storage in a storage": call(
        torch.storage._load_from_bytes,
        stored(Call(torch.storage._load_from_bytes, stored(storage()))),
    ),
    "storage without end": call(torch.storage._load_from_bytes, stored(storage())[:-1]),
    "array of objects": lambda path: pickle.dumps(np.array([touch(path)], dtype=object)),
    "array of texts": pickle.dumps(np.array(["a"])),
    "array of records": pickle.dumps(np.zeros(2, [("a", "f4")])),
    "array of another class": with_globals(
        ARRAY.replace(b"cnumpy\nndarray\n", b"ccollections\nOrderedDict\n")
    ),
    "array of os.system": with_globals(ARRAY.replace(b"cnumpy\nndarray\n", b"cos\nsystem\n")),
    "array of gigabytes": with_globals(
        ARRAY + b"(K\x01\x8a\x05\0\0\0\0\x10\x85" + FLOATS + b"\x89C\x04abcdtb"
    ),
    "array of zero by endless": with_globals(
        ARRAY + b"(K\x01K\x00\x8a\x09" + b"\0" * 8 + b"\x01\x86" + FLOATS + b"\x89C\x00tb"
    ),
    "array of none by endless by endless": with_globals(
        ARRAY + b"(K\x01K\x00" + b"\x8a\x07\0\0\0\0\0\0\x08" * 2 + b"\x87" + FLOATS + b"\x89C\x00tb"
    ),
    "tensor of none by endless by endless": pickle.dumps(
        rebuilt(storage(), 0, (0, 2**59, 2**59), (1, 1, 1))
    ),
    "big endian": pickle.dumps(np.zeros(2, ">f4")),
    "tensor of gigabytes": pickle.dumps(rebuilt(storage(), 0, (10**10,), (1,))),
    "tensor of one number": pickle.dumps(rebuilt(storage(), 0, (10**10,), (0,))),
    "tensor behind its end": pickle.dumps(rebuilt(storage(), 2, (3,), (1,))),
    "tensor before its start": pickle.dumps(rebuilt(storage(), -1, (2,), (1,))),
    "tensor backwards": pickle.dumps(rebuilt(storage(), 3, (2,), (-1,))),
    "tensor with axes of none": pickle.dumps(rebuilt(storage(), 0, (2, 2), (1,))),
    "storage of gigabytes": call(torch.storage._load_from_bytes, claims(10**10)),
    "bytes of gigabytes": with_globals(b"\x8e" + struct.pack("<Q", 10**10)),
    "text of gigabytes": with_globals(b"\x8d" + struct.pack("<Q", 2**62)),
    "integer of gigabytes": with_globals(b"\x8b" + struct.pack("<i", 2**31 - 1)),
    "a large integer": with_globals(b"\x8b" + struct.pack("<i", 10**6) + b"\1" * 10**6),
    "billion laughs": laughs(),
    "one list again and again": with_globals(
        b"]q\x00(" + b"K\x01" * 9_000 + b"e](" + b"h\x00" * 9_000 + b"e"
        b"(" + b"h\x00" * 9_000 + b"e(" + b"h\x00" * 9_000 + b"e"
    ),
    "billion laughs by calls": with_globals(
        b"](" + b"K\x01" * 9_000 + b"eq\x00" + b"cbuiltins\nset\nh\x00\x85R" * 20_000
    ),
    "tensors of one storage": with_globals(
        pickle.dumps(storage(100_000), 2)[2:-1]
        + b"q\xff"
        + b"ctorch._utils\n_rebuild_tensor_v2\n(h\xffK\x00J\xa0\x86\x01\x00\x85K\x01\x85\x89"
        b"ccollections\nOrderedDict\n)RtR" * 1000
    ),
    "storages of the same bytes": with_globals(
        pickle.dumps(stored(storage(100_000)), 3)[2:-1]
        + b"q\xff"
        + b"ctorch.storage\n_load_from_bytes\nh\xff\x85R" * 10_000
    ),
    "itself": with_globals(b"]q\x00h\x00a"),
    "keys of one hash": with_globals(b"}(" + NEW_MANY + b"u"),
    "deep lists": b"]" * 100_000 + b"a" * 99_999 + b".",
    "less deep lists": b"]" * 9_000 + b"a" * 8_999 + b".",
    "deep tuples": b")" + b"\x85" * 60_000 + b".",
    "deep tuple as a key": b"})" + b"\x85" * 50_000 + b"Ns.",
    "deep tuple in a set": b"\x8f()" + b"\x85" * 50_000 + b"\x90.",
    "deep tuple as an argument": b"cnumpy\ndtype\n)" + b"\x85" * 50_000 + b"R.",
    "deep dicts": b"}" + b"K\x01}" * 4_000 + b"s" * 4_000 + b".",
    "long program": b"K\x01" * (MAX_OPCODES + 1) + b".",
    "marks": b"(" * 200_000 + b".",
    "missing value": b"\x80\x04s.",
    "missing memo": b"\x80\x04h\x07.",
    "more follows": pickle.dumps(1) + b"x",
    "empty": b"",
    "no pickle": b"<html>no such file</html>",
}


@pytest.mark.parametrize("which", HOSTILE)
def test_a_hostile_pickle_is_refused_and_runs_nothing(which, canary, own_heap):
    data = HOSTILE[which]
    data = data if isinstance(data, bytes) else data(canary)
    before, modules = time.thread_time(), set(sys.modules)
    with pytest.raises(
        ValueError, match="pickle: expected a pickle of plain values, but "
    ) as raised:
        read(data)
    assert time.thread_time() - before < 1
    assert len(str(raised.value)) < 400
    new = set(sys.modules) - modules
    assert all(name.startswith("torch.utils.serialization") for name in new)  # torch.load's own


def test_numbers_and_views_by_hand_are_read():
    """The pickles above are refused only for what is wrong with them."""
    assert torch.equal(read(pickle.dumps(rebuilt(storage(), 2, (2,), (1,)))), torch.zeros(2))
    numbers = with_globals(ARRAY + b"(K\x01K\x01\x85" + FLOATS + b"\x89C\x04\0\0\x80?tb")
    assert np.array_equal(read(numbers), [1.0])


@pytest.mark.parametrize("cut", [1, 2, 3, 5, 9, 100, 0.1, 0.5, 0.9])
def test_files_that_end_too_early_are_refused(writers, tmp_path, cut):
    small = {"weight": torch.ones(3, 3)}
    pickled = nvlabs_pickle(G=small)
    writers.leave()
    checkpoint = {"args": argparse.Namespace(size=1), "g_ema": small}
    for data, reader in (
        (pickled, read),
        (stored(checkpoint, zipped=True), read_torch),
        (stored(checkpoint), read_torch),
    ):
        assert reader(data)
        for part in (data[:-cut], data[:cut]) if cut >= 1 else (data[: int(len(data) * cut)],):
            with pytest.raises(ValueError, match="pickle: expected a"):
                reader(part)


def test_files_with_other_bytes_are_read_or_refused(writers, canary):
    """Nothing but a ValueError comes out, whatever is changed."""
    small = {"weight": torch.ones(3, 3), "rooms.bias": torch.ones(2)}
    pickled = nvlabs_pickle(G=small)
    writers.leave()
    checkpoint = {"args": argparse.Namespace(size=1), "g": np.float64(1), "g_ema": small}
    chance, refused = random.Random(3), 0
    for data, reader in (
        (pickled, read),
        (stored(checkpoint, zipped=True), read_torch),
        (stored(checkpoint), read_torch),
    ):
        for _ in range(200):
            changed = bytearray(data)
            for _ in range(chance.choice((1, 2, 8))):
                changed[chance.randrange(len(data))] = chance.randrange(256)
            try:
                reader(bytes(changed))
            except ValueError:
                refused += 1
    assert refused > 200
