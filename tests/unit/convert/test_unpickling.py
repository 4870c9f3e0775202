"""Foreign pickles: what they hold comes out, and what they would run stays where it is."""

import argparse
import collections
import functools
import io
import operator
import os
import pickle
import random
import struct
import subprocess
import sys
import tarfile
import time
import types
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tests.unit.convert.test_stylegan2 import nvlabs_critic, nvlabs_generator, same
from toonify import cli, hub
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
def canary(tmp_path, monkeypatch):
    """A file that must not appear."""
    path = tmp_path / "canary"
    monkeypatch.setenv("CANARY", str(path))
    yield path
    assert not path.exists()


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
    """The network whose layers are told where to stop, as NVlabs tell each of them."""
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
    assert (
        cli.main(["convert", str(tmp_path / "network.pkl"), str(tmp_path / "out"), "--fp32"]) == 0
    )
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


@pytest.mark.parametrize("zipped", [True, False])
def test_a_checkpoint_comes_out(tmp_path, zipped):
    whole = torch.arange(12.0).reshape(3, 4)
    held = {
        "types": [torch.ones(2, 2).to(kind) for kind in (torch.half, torch.bfloat16, torch.int64)],
        "views": [whole, whole.T, whole[1:, ::2], torch.zeros(0, 3), torch.tensor(5.0)],
        "state": torch.nn.BatchNorm2d(3).state_dict(),
        "parameter": torch.nn.Parameter(torch.ones(3)),
        "args": argparse.Namespace(size=32, path="faces"),
        "shape": torch.Size((1, 2)),
        "loss": np.float32(0.5),
    }
    torch.save(held, tmp_path / "some.pt", _use_new_zipfile_serialization=zipped)
    found = read_torch(tmp_path / "some.pt")
    assert list(found) == list(held)
    for name in ("types", "views"):
        for one, other in zip(found[name], held[name], strict=True):
            assert (one.dtype, one.stride()) == (other.dtype, other.stride())
            assert torch.equal(one, other)
    assert same(found["state"], held["state"])
    assert torch.equal(found["parameter"], torch.ones(3))
    assert found["args"] == held["args"]
    assert (found["shape"], found["loss"]) == ((1, 2), 0.5)


# Hostile pickles: name -> bytes, given the path of the canary.


class Call:
    """Calls a function when a careless reader unpickles it."""

    def __init__(self, function, *arguments):
        self.parts = function, arguments

    def __reduce__(self):
        return self.parts


def call(function, *arguments, protocol=4):
    return pickle.dumps(Call(function, *arguments), protocol)


def stored(held, zipped=False):
    file = io.BytesIO()
    torch.save(held, file, _use_new_zipfile_serialization=zipped)
    return file.getvalue()


def text(value):
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def touch(path):
    return Call(os.system, f"touch {path}")


def rebuilt(*arguments):
    return Call(torch._utils._rebuild_tensor_v2, *arguments, False, collections.OrderedDict())


def storage(count=4):
    """What a tensor of floats is pickled with."""
    return torch.zeros(count).__reduce_ex__(2)[1][0]


def claims(count):
    """A storage's file that claims this many numbers and has four."""
    return stored(storage()).replace(b"K\x04", b"\x8a\x05" + struct.pack("<Q", count)[:5])


def laughs():
    """Two times two times two: forty lists, a billion of values."""
    level = b"](K\x01K\x01e"
    for i in range(40):
        level += b"q%c](h%ch%ce" % (i, i, i)
    return b"\x80\x02" + level + b"."


class Slotted:
    """Rebuilt by copyreg.__newobj__, and BUILD with attributes."""

    def __setstate__(self, state):
        os.system(f"touch {os.environ['CANARY']}")

    def __getstate__(self):
        return {"a": 1}


def with_globals(body):
    return b"\x80\x02" + body + b"."


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
    "getattr": lambda path: call(getattr, "", "join"),
    "import": lambda path: call(__import__, "os"),
    "subprocess": lambda path: call(subprocess.Popen, ["touch", str(path)]),
    "partial": lambda path: pickle.dumps(functools.partial(os.system, f"touch {path}")),
    "attrgetter": lambda path: pickle.dumps(operator.attrgetter("system")),
    "torch.load": lambda path: call(torch.load, str(path)),
    "pickle.loads": lambda path: call(pickle.loads, call(os.system, f"touch {path}")),
    "global by itself": lambda path: with_globals(b"cnumpy\nndarray\n"),
    "unnamed text": lambda path: with_globals(b"K\x01K\x02\x93"),
    "call of a value": lambda path: with_globals(b"X\x01\x00\x00\x00a)R"),
    "call of a result": lambda path: with_globals(b"ccollections\nOrderedDict\n)R)R"),
    "call without tuple": lambda path: with_globals(b"ccollections\nOrderedDict\n]R"),
    "newobj": lambda path: pickle.dumps(Slotted(), 2),
    "newobj of a class": lambda path: with_globals(b"cfractions\nFraction\n)\x81"),
    "newobj_ex": lambda path: with_globals(b"ccollections\nOrderedDict\n)}\x92"),
    "__newobj__": lambda path: with_globals(b"ccopyreg\n__newobj__\n(cnumpy\nndarray\ntR"),
    "setstate": lambda path: with_globals(
        b"cnumpy\nndarray\n}" + text("__setstate__") + b"cos\nsystem\nsb"
    ),
    "build of a name": lambda path: with_globals(
        b"cnumpy\nndarray\n}" + text("make") + text("touch") + b"sb"
    ),
    "build of a name by slots": lambda path: with_globals(
        b"ctorch._utils\n_rebuild_parameter\nN}" + text("__code__") + b"Ns\x86b"
    ),
    "build of a dict": lambda path: with_globals(b"}}" + text("__class__") + b"Nsb"),
    "inst": lambda path: with_globals(b"(" + text(f"touch {path}") + b"ios\nsystem\n"),
    "inst, protocol 0": lambda path: f"(S'touch {path}'\nios\nsystem\n.".encode(),
    "obj": lambda path: with_globals(b"(ccollections\nOrderedDict\n" + text("touch") + b"o"),
    "obj of os.system": lambda path: with_globals(b"(cos\nsystem\n" + text("touch") + b"o"),
    "extension 1": lambda path: with_globals(b"\x82\x01"),
    "extension 2": lambda path: with_globals(b"\x83\x01\x00"),
    "extension 4": lambda path: with_globals(b"\x84\x01\x00\x00\x00"),
    "persistent id": lambda path: with_globals(b"K\x01Q"),
    "persistent id, protocol 0": lambda path: b"Ptouch\n.",
    "inside a tensor": lambda path: pickle.dumps(rebuilt(touch(path), 0, (1,), (1,))),
    "inside a size": lambda path: pickle.dumps(rebuilt(storage(), 0, (touch(path),), (1,))),
    "inside a storage": lambda path: call(torch.storage._load_from_bytes, stored(touch(path))),
    "inside a storage, zipped": lambda path: call(
        torch.storage._load_from_bytes, stored(touch(path), True)
    ),
    "storage of another kind": lambda path: call(torch.storage._load_from_bytes, stored([1])),
    "storage in a storage": lambda path: call(
        torch.storage._load_from_bytes,
        stored(Call(torch.storage._load_from_bytes, stored(storage()))),
    ),
    "storage without end": lambda path: call(
        torch.storage._load_from_bytes, stored(storage())[:-1]
    ),
    "array of objects": lambda path: pickle.dumps(np.array([touch(path)], dtype=object)),
    "array of texts": lambda path: pickle.dumps(np.array(["a"])),
    "array of records": lambda path: pickle.dumps(np.zeros(2, [("a", "f4")])),
    "array of another class": lambda path: with_globals(
        ARRAY.replace(b"cnumpy\nndarray\n", b"ccollections\nOrderedDict\n")
    ),
    "array of os.system": lambda path: with_globals(
        ARRAY.replace(b"cnumpy\nndarray\n", b"cos\nsystem\n")
    ),
    "array of gigabytes": lambda path: with_globals(
        ARRAY + b"(K\x01\x8a\x05\0\0\0\0\x10\x85" + FLOATS + b"\x89C\x04abcdtb"
    ),
    "array of zero by endless": lambda path: with_globals(
        ARRAY + b"(K\x01K\x00\x8a\x09" + b"\0" * 8 + b"\x01\x86" + FLOATS + b"\x89C\x00tb"
    ),
    "array of none by endless by endless": lambda path: with_globals(
        ARRAY + b"(K\x01K\x00" + b"\x8a\x07\0\0\0\0\0\0\x08" * 2 + b"\x87" + FLOATS + b"\x89C\x00tb"
    ),
    "tensor of none by endless by endless": lambda path: pickle.dumps(
        rebuilt(storage(), 0, (0, 2**59, 2**59), (1, 1, 1))
    ),
    "big endian": lambda path: pickle.dumps(np.zeros(2, ">f4")),
    "tensor of gigabytes": lambda path: pickle.dumps(rebuilt(storage(), 0, (10**10,), (1,))),
    "tensor of one number": lambda path: pickle.dumps(rebuilt(storage(), 0, (10**10,), (0,))),
    "tensor behind its end": lambda path: pickle.dumps(rebuilt(storage(), 2, (3,), (1,))),
    "tensor before its start": lambda path: pickle.dumps(rebuilt(storage(), -1, (2,), (1,))),
    "tensor backwards": lambda path: pickle.dumps(rebuilt(storage(), 3, (2,), (-1,))),
    "tensor with axes of none": lambda path: pickle.dumps(rebuilt(storage(), 0, (2, 2), (1,))),
    "storage of gigabytes": lambda path: call(torch.storage._load_from_bytes, claims(10**10)),
    "bytes of gigabytes": lambda path: with_globals(b"\x8e" + struct.pack("<Q", 10**10)),
    "text of gigabytes": lambda path: with_globals(b"\x8d" + struct.pack("<Q", 2**62)),
    "integer of gigabytes": lambda path: with_globals(b"\x8b" + struct.pack("<i", 2**31 - 1)),
    "a large integer": lambda path: with_globals(
        b"\x8b" + struct.pack("<i", 10**6) + b"\1" * 10**6
    ),
    "billion laughs": lambda path: laughs(),
    "one list again and again": lambda path: with_globals(
        b"]q\x00(" + b"K\x01" * 9_000 + b"e](" + b"h\x00" * 9_000 + b"e"
        b"(" + b"h\x00" * 9_000 + b"e(" + b"h\x00" * 9_000 + b"e"
    ),
    "billion laughs by calls": lambda path: with_globals(
        b"](" + b"K\x01" * 9_000 + b"eq\x00" + b"cbuiltins\nset\nh\x00\x85R" * 20_000
    ),
    "tensors of one storage": lambda path: with_globals(
        pickle.dumps(storage(100_000), 2)[2:-1]
        + b"q\xff"
        + b"ctorch._utils\n_rebuild_tensor_v2\n(h\xffK\x00J\xa0\x86\x01\x00\x85K\x01\x85\x89"
        b"ccollections\nOrderedDict\n)RtR" * 1000
    ),
    "storages of the same bytes": lambda path: with_globals(
        pickle.dumps(stored(storage(100_000)), 3)[2:-1]
        + b"q\xff"
        + b"ctorch.storage\n_load_from_bytes\nh\xff\x85R" * 10_000
    ),
    "itself": lambda path: with_globals(b"]q\x00h\x00a"),
    "keys of one hash": lambda path: with_globals(b"}(" + NEW_MANY + b"u"),
    "deep lists": lambda path: b"]" * 100_000 + b"a" * 99_999 + b".",
    "less deep lists": lambda path: b"]" * 9_000 + b"a" * 8_999 + b".",
    "deep tuples": lambda path: b")" + b"\x85" * 60_000 + b".",
    "deep tuple as a key": lambda path: b"})" + b"\x85" * 50_000 + b"Ns.",
    "deep tuple in a set": lambda path: b"\x8f()" + b"\x85" * 50_000 + b"\x90.",
    "deep tuple as an argument": lambda path: b"cnumpy\ndtype\n)" + b"\x85" * 50_000 + b"R.",
    "deep dicts": lambda path: b"}" + b"K\x01}" * 4_000 + b"s" * 4_000 + b".",
    "long program": lambda path: b"K\x01" * (MAX_OPCODES + 1) + b".",
    "marks": lambda path: b"(" * 200_000 + b".",
    "missing value": lambda path: b"\x80\x04s.",
    "missing memo": lambda path: b"\x80\x04h\x07.",
    "more follows": lambda path: pickle.dumps(1) + b"x",
    "empty": lambda path: b"",
    "no pickle": lambda path: b"<html>no such file</html>",
}


@pytest.mark.parametrize("which", HOSTILE)
def test_a_hostile_pickle_is_refused_and_runs_nothing(which, canary, own_heap):
    data = HOSTILE[which](canary)
    before, modules = time.thread_time(), set(sys.modules)
    with pytest.raises(ValueError, match="pickle: expected a pickle of plain values, but ") as told:
        read(data)
    assert time.thread_time() - before < 1
    assert len(str(told.value)) < 400
    new = set(sys.modules) - modules
    assert all(name.startswith("torch.utils.serialization") for name in new)  # torch.load's own


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


def zipped(files, compression=zipfile.ZIP_STORED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return file.getvalue()


def entries(data):
    """Name -> bytes of a zip."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def with_file(name, data=b""):
    return zipped(entries(stored({"g": torch.ones(2)}, zipped=True)) | {name: data})


def with_values(values):
    """A checkpoint of another pickle than PyTorch wrote."""
    files = entries(stored({"g": torch.ones(4)}, zipped=True))
    return zipped(files | {"archive/data.pkl": values})


def with_view(arguments):
    """A checkpoint of one tensor with four numbers, and what it is a view by."""
    storage = (
        b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text("0") + text("cpu") + b"K\x04tQ"
    )
    rest = b"\x89ccollections\nOrderedDict\n)RtR"
    return with_values(
        with_globals(b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + arguments + rest)
    )


def tarred():
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("pickle"))
    return file.getvalue()


def scripted():
    """As `torch.jit.save` writes it: data, constants and code."""
    names = ("data.pkl", "code/__torch__.py", "constants.pkl")
    return zipped({f"net/{name}": bytes(99) for name in names}, zipfile.ZIP_DEFLATED)


def overlapping():
    """Two names for the same bytes."""
    data = bytearray(with_file("archive/data/1", b"x" * 4000))
    first, last = data.index(b"PK\1\2"), data.rindex(b"PK\1\2")
    directory = data[first:last] + data[last:].replace(b"data/1", b"data/1", 1)
    end = directory.index(b"PK\5\6")
    again = directory[last - first : end]
    more = b"".join(bytes(again).replace(b"data/1", b"data/%c" % c) for c in b"abcdefgh")
    tail = directory[end:]
    count = struct.unpack("<H", tail[10:12])[0] + 8
    tail[8:12] = struct.pack("<HH", count, count)
    tail[12:16] = struct.pack("<I", end + len(more))
    return bytes(data[:first] + directory[:end] + more + tail)


# Name -> bytes given the path of the canary, and what the message says.
HOSTILE_CHECKPOINTS = {
    "command": (lambda path: stored({"g": touch(path)}, True), r"refers to posix\.system"),
    "command, older": (lambda path: stored({"g": touch(path)}), r"refers to posix\.system"),
    "settings with a command": (
        lambda path: stored(argparse.Namespace(size=touch(path)), True),
        r"refers to posix\.system",
    ),
    "settings with a method": (
        lambda path: with_values(
            with_globals(b"cargparse\nNamespace\n)\x81}" + text("__class__") + b"Nsb")
        ),
        "invalid names",
    ),
    "whole module": (
        lambda path: stored(torch.nn.Linear(1, 1), True),
        "save its state_dict",
    ),
    "whole module, older": (
        lambda path: stored(torch.nn.Linear(1, 1)),
        "save its state_dict",
    ),
    "settings again and again": (
        lambda path: with_values(
            with_globals(
                b"}"
                + b"".join(text(f"{i}") + b"Ns" for i in range(5000))
                + b"q\xff"
                + b"](cargparse\nNamespace\n)\x81q\xfe"
                + b"h\xffb" * 30_000
                + b"e"
            )
        ),
        "repeated too often",
    ),
    "TorchScript": (lambda path: scripted(), "TorchScript"),
    "tar": (lambda path: tarred(), "tar of PyTorch 0.1"),
    "raw pickle": (lambda path: pickle.dumps({"g": 1}), "protocol of the pickle is 4, expected 2"),
    "file above": (lambda path: with_file("archive/../../canary"), "PyTorch does not write"),
    "file above, first": (lambda path: with_file("../canary"), "PyTorch does not write"),
    "file at the root": (lambda path: with_file(str(path)), "PyTorch does not write"),
    "file on a drive": (lambda path: with_file("C:/canary"), "PyTorch does not write"),
    "file with backslashes": (
        lambda path: with_file("archive\\..\\canary"),
        "PyTorch does not write",
    ),
    "file beside": (lambda path: with_file("elsewhere/data/1"), "does not write"),
    "compressed": (
        lambda path: zipped({"archive/data.pkl": bytes(10**7)}, zipfile.ZIP_DEFLATED),
        "compressed",
    ),
    "overlapping": (lambda path: overlapping(), "overlap"),
    "many files": (
        lambda path: b"PK\3\4" + b"PK\1\2" * 20_000,
        "more than 10,000 files",
    ),
    "no values": (lambda path: zipped({"archive/version": b"3"}), "no data.pkl"),
    "numbers missing": (
        lambda path: zipped(
            {
                name: data
                for name, data in entries(stored(torch.ones(2), True)).items()
                if not name.endswith("data/0")
            }
        ),
        "has 0 bytes, expected 8",
    ),
    "big endian": (lambda path: with_file("archive/byteorder", b"big"), "not little-endian"),
    "storage of gigabytes, older": (lambda path: claims(10**10), "claims 40,000,000,000 bytes"),
    "tensor of gigabytes": (
        lambda path: with_view(b"K\x00J\0\0\0\x40\x85K\x01\x85"),
        "damaged|more bytes than",
    ),
    "tensor of one number": (
        lambda path: with_view(b"K\x00J\0\0\0\x40\x85K\x00\x85"),
        "damaged|more bytes than",
    ),
    "bytes of gigabytes": (
        lambda path: with_values(with_globals(b"cbuiltins\nbytearray\nJ\0\0\0\x40\x85R")),
        r"refers to builtins\.bytearray",
    ),
    "billion laughs": (lambda path: with_values(laughs()), "expands to more"),
    "deep": (
        lambda path: with_values(b"]" * 9_000 + b"a" * 8_999 + b"."),
        "nested more than 100 deep",
    ),
    "storage by itself": (lambda path: stored(storage()), "of type TypedStorage, expected plain"),
}


@pytest.mark.parametrize("which", HOSTILE_CHECKPOINTS)
def test_a_hostile_checkpoint_is_refused_and_runs_nothing(which, canary, own_heap):
    build, message = HOSTILE_CHECKPOINTS[which]
    data, before = build(canary), time.thread_time()
    with pytest.raises(ValueError, match=f"expected a checkpoint of tensors, but .*({message})"):
        read_torch(data)
    assert time.thread_time() - before < 1


def test_a_view_by_hand_is_read():
    """The files above are refused for what is wrong with them alone."""
    assert torch.equal(read_torch(with_view(b"K\x02K\x02\x85K\x01\x85")), torch.ones(2))
    assert torch.equal(read_torch(with_file("archive/more"))["g"], torch.ones(2))
    assert torch.equal(read(pickle.dumps(rebuilt(storage(), 2, (2,), (1,)))), torch.zeros(2))
    numbers = with_globals(ARRAY + b"(K\x01K\x01\x85" + FLOATS + b"\x89C\x04\0\0\x80?tb")
    assert np.array_equal(read(numbers), [1.0])
