"""What lies beside the weights in a checkpoint: plain data are read, others are named."""

import argparse
import bz2
import collections
import datetime
import decimal
import gzip
import lzma
import pathlib
import types

import numpy as np
import pytest
import torch

from tests.fixtures.pickles import stored
from tests.unit.convert.test_animegan import public
from toonify.convert import checkpoints, unpickling

P = public("ptran1203")


@pytest.mark.parametrize(
    ("held", "kind"),
    [
        (collections.defaultdict(list, g=[1.0]), dict),
        (collections.deque([1, 2], maxlen=3), list),
        (collections.Counter("aab"), dict),
        (torch.device("cpu"), torch.device),
        (torch.float16, torch.dtype),
        (pathlib.PurePosixPath("a/b"), str),
        (np.arange(4, dtype=np.uint32), np.ndarray),
        (pathlib.PureWindowsPath("C:/runs/a"), str),
        (datetime.datetime(2024, 2, 29, 12, 30), str),
        (datetime.date(2024, 2, 29), str),
        (datetime.timedelta(hours=3), str),
        (range(5), str),
        (frozenset("ab"), set),
        (1 + 2j, complex),
        (np.str_("adam"), str),
        (types.SimpleNamespace(lr=1), argparse.Namespace),
    ],
)
@pytest.mark.parametrize("zipped", [True, False])
def test_plain_data_beside_a_network_is_read(tmp_path, held, kind, zipped):
    torch.save({"model_state_dict": P, "more": [held]}, tmp_path / "some.pt")
    assert checkpoints.read(str(tmp_path / "some.pt")).kind == "pytorch-animegan"
    (found,) = unpickling.read_torch(stored({"more": [held]}, zipped))["more"]
    assert isinstance(found, kind)
    if kind is np.ndarray:
        assert np.array_equal(found, held)
    elif kind is argparse.Namespace:
        assert vars(found) == vars(held)
    else:
        assert found in (held, str(held), [1, 2])


@pytest.mark.parametrize(
    ("held", "words"),
    [
        (torch.eye(3).to_sparse(), "a tensor holds sparse numbers"),
        (torch.ones(2, dtype=torch.complex64), "a tensor holds complex numbers"),
        (torch.ones(2).to(torch.float8_e4m3fn), "a tensor holds 8-bit floats, or unsigned"),
        (torch.ones(2, dtype=torch.uint16), "a tensor holds 8-bit floats, or unsigned"),
        (torch.nn.ReLU(), "refers to torch.nn.modules.activation.ReLU, which is not plain data"),
        (decimal.Decimal("0.1"), "refers to decimal.Decimal, which is not plain data"),
    ],
)
def test_other_data_are_refused_by_their_names(tmp_path, held, words):
    torch.save({"model_state_dict": P, "more": [held]}, tmp_path / "some.pt")
    with pytest.raises(ValueError, match=words):
        checkpoints.read(str(tmp_path / "some.pt"))


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_a_compressed_checkpoint_is_called_so(tmp_path, pack):
    torch.save(P, tmp_path / "some.pt")
    (tmp_path / "some.pt.z").write_bytes(pack((tmp_path / "some.pt").read_bytes()))
    with pytest.raises(ValueError, match="a compressed file, to be unpacked first"):
        checkpoints.read(str(tmp_path / "some.pt.z"))
