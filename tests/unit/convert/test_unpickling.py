"""PyTorch's checkpoints of other projects: values are read, and no code in them is executed."""

import argparse
import io
import pickle
import struct
import tarfile
import time
import zipfile

import numpy as np
import pytest
import torch

from tests.fixtures.pickles import claims, laughs, storage, stored, text, touch, with_globals
from tests.unit.convert.test_stylegan2 import same
from toonify.convert.unpickling import read_torch


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
        with_values(with_globals(b"cargparse\nNamespace\n)\x81}" + text("__class__") + b"Nsb")),
        "invalid names",
    ),
    "whole module": (
        stored(torch.nn.Linear(1, 1), True),
        "save its state_dict",
    ),
    "whole module, older": (
        stored(torch.nn.Linear(1, 1)),
        "save its state_dict",
    ),
    "settings again and again": (
        with_values(
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
    "TorchScript": (scripted(), "TorchScript"),
    "tar": (tarred(), "tar of PyTorch 0.1"),
    "raw pickle": (pickle.dumps({"g": 1}), "protocol of the pickle is 4, expected 2"),
    "file above": (with_file("archive/../../canary"), "PyTorch does not write"),
    "file above, first": (with_file("../canary"), "PyTorch does not write"),
    "file at the root": (lambda path: with_file(str(path)), "PyTorch does not write"),
    "file on a drive": (with_file("C:/canary"), "PyTorch does not write"),
    "file with backslashes": (
        with_file("archive\\..\\canary"),
        "PyTorch does not write",
    ),
    "file beside": (with_file("elsewhere/data/1"), "does not write"),
    "compressed": (
        zipped({"archive/data.pkl": bytes(10**7)}, zipfile.ZIP_DEFLATED),
        "compressed",
    ),
    "overlapping": (overlapping(), "overlap"),
    "many files": (
        b"PK\3\4" + b"PK\1\2" * 20_000,
        "more than 10,000 files",
    ),
    "no values": (zipped({"archive/version": b"3"}), "no data.pkl"),
    "numbers missing": (
        zipped(
            {
                name: data
                for name, data in entries(stored(torch.ones(2), True)).items()
                if not name.endswith("data/0")
            }
        ),
        "has 0 bytes, expected 8",
    ),
    "big endian": (with_file("archive/byteorder", b"big"), "not little-endian"),
    "storage of gigabytes, older": (claims(10**10), "claims 40,000,000,000 bytes"),
    "tensor of gigabytes": (
        with_view(b"K\x00J\0\0\0\x40\x85K\x01\x85"),
        "damaged|more bytes than",
    ),
    "tensor of one number": (
        with_view(b"K\x00J\0\0\0\x40\x85K\x00\x85"),
        "damaged|more bytes than",
    ),
    "bytes of gigabytes": (
        with_values(with_globals(b"cbuiltins\nbytearray\nJ\0\0\0\x40\x85R")),
        r"refers to builtins\.bytearray",
    ),
    "billion laughs": (with_values(laughs()), "expands to more"),
    "deep": (
        with_values(b"]" * 9_000 + b"a" * 8_999 + b"."),
        "nested more than 100 deep",
    ),
    "storage by itself": (stored(storage()), "of type TypedStorage, expected plain"),
}


@pytest.mark.parametrize("which", HOSTILE_CHECKPOINTS)
def test_a_hostile_checkpoint_is_refused_and_runs_nothing(which, canary, own_heap):
    build, message = HOSTILE_CHECKPOINTS[which]
    data = build if isinstance(build, bytes) else build(canary)
    before = time.thread_time()
    with pytest.raises(ValueError, match=f"expected a checkpoint of tensors, but .*({message})"):
        read_torch(data)
    assert time.thread_time() - before < 1


def test_a_view_by_hand_is_read():
    """The files above are refused only for what is wrong with them."""
    assert torch.equal(read_torch(with_view(b"K\x02K\x02\x85K\x01\x85")), torch.ones(2))
    assert torch.equal(read_torch(with_file("archive/more"))["g"], torch.ones(2))
