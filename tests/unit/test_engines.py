"""Engines: the same image as eager torch, at any size, and a start that builds nothing twice."""

import os
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import pytest
import torch

from toonify import engines
from toonify.models import ANIMEGAN_MODELS, PHOTO_MODELS, AnimeGANGenerator

openvino = pytest.importorskip("openvino")


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TOONIFY_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def toy(cls=AnimeGANGenerator, **config):
    torch.manual_seed(3)
    return cls(width=4, depth=1, **config).eval()


def dot():
    """The smallest network, for what does not depend on the network."""
    torch.manual_seed(3)
    return torch.nn.Sequential(torch.nn.Conv2d(3, 3, 1), torch.nn.Tanh()).eval()


def refuse():
    raise AssertionError("the network was built although its compiled graph is on disk")


@pytest.mark.parametrize(
    "name, upsample",
    [(name, "tf1") for name in ANIMEGAN_MODELS]
    + [("animegan", "align_corners"), ("animegan", "half_pixel"), ("cartoongan", None)],
)
def test_same_image_as_torch_at_every_size(cache, name, upsample):
    network = toy(PHOTO_MODELS[name], **({"upsample": upsample} if upsample else {}))
    engine = engines.open_engine(f"{name} {upsample}", lambda: network, "cpu")
    for shape in [(1, 3, 64, 48), (2, 3, 40, 32), (1, 3, 32, 104)]:
        batch = torch.rand(shape) * 2 - 1
        with torch.inference_mode():
            expected = network(batch)
        drawn = engine(batch)
        assert drawn.dtype == torch.float32 and drawn.shape == batch.shape
        assert expected.std() > 0.1  # else any gray image would do
        assert (drawn - expected).abs().mean() <= 0.01


@pytest.mark.parametrize("name", ANIMEGAN_MODELS)
def test_simplified_graph_is_the_same_function(name):
    """In full precision the rewritten graph differs by rounding only, and no slow form is left."""
    network = toy(PHOTO_MODELS[name])
    graph = engines.simplify(engines.trace(network))
    kinds = [node.get_type_name() for node in graph.get_ops()]
    assert "GroupNormalization" not in kinds and "Slice" not in kinds
    resizes = [node for node in graph.get_ops() if node.get_type_name() == "Interpolate"]
    modes = {node.get_attributes()["coordinate_transformation_mode"] for node in resizes}
    assert modes == {"asymmetric"}
    run = openvino.Core().compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    batch = torch.rand(2, 3, 40, 64) * 2 - 1
    with torch.inference_mode():
        expected = network(batch)
    assert (torch.from_numpy(run(batch.numpy())[0]) - expected).abs().max() < 1e-4


def test_a_warm_start_builds_nothing_and_none_warns(cache):
    network = dot()
    batch = torch.rand(1, 3, 32, 48) * 2 - 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cold = engines.open_engine("key", lambda: network, "cpu")
    warm = engines.open_engine("key", refuse, "cpu")
    assert torch.equal(cold(batch), warm(batch))
    assert warm.name in ("openvino-bf16", "openvino-f32")
    with pytest.raises(AssertionError, match="was built"):
        engines.open_engine("another key", refuse, "cpu")


@pytest.mark.parametrize("damage", [b"", b"short", None])
def test_damaged_cache_is_made_again(cache, damage):
    network = dot()
    engines.open_engine("key", lambda: network, "cpu")
    (blob,) = cache.rglob("*.blob")
    whole = blob.read_bytes()
    blob.write_bytes(whole[: len(whole) // 2] if damage is None else damage)
    built = []
    engines.open_engine("key", lambda: built.append(1) or network, "cpu")
    assert built == [1]
    assert len(blob.read_bytes()) == len(whole)
    assert list(cache.rglob(".writing-*")) == []
    engines.open_engine("key", refuse, "cpu")


@pytest.mark.parametrize("problem", ["a file in the way", "no permission"])
def test_unwritable_cache_only_costs_time(tmp_path, monkeypatch, problem):
    place = tmp_path / "cache"
    if problem == "a file in the way":
        place.write_text("")
    else:
        monkeypatch.setattr(engines, "atomic_write", lambda _: _raise(PermissionError()))
    monkeypatch.setenv("TOONIFY_CACHE", str(place))
    engine = engines.open_engine("key", dot, "cpu")
    assert engine(torch.zeros(1, 3, 32, 32)).shape == (1, 3, 32, 32)


def _raise(error):
    raise error


def test_threads_get_their_own_images(cache):
    engine = engines.open_engine("key", dot, "cpu")
    batches = [torch.rand(1, 3, 32 + 8 * i, 48) * 2 - 1 for i in range(4)]
    expected = [engine(batch) for batch in batches]
    wrong = []

    def draw(batch, picture):
        for _ in range(5):
            if not torch.equal(engine(batch), picture):
                wrong.append(batch.shape)

    pairs = zip(batches, expected, strict=True)
    threads = [threading.Thread(target=draw, args=pair) for pair in pairs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_spread_engine_takes_many_calls_at_once(cache, monkeypatch):
    monkeypatch.setattr(engines, "cores", lambda: 2)
    network = dot()
    engine = engines.open_engine("key", lambda: network, "cpu")
    for_throughput = engine.for_throughput()
    assert (engine.concurrency, for_throughput.concurrency) == (1, 2)
    assert (
        engine.for_throughput() is for_throughput
        and for_throughput.for_throughput() is for_throughput
    )
    batch = torch.rand(1, 3, 32, 48) * 2 - 1
    assert (for_throughput(batch) - engine(batch)).abs().mean() < 0.01
    assert not [file for file in cache.rglob("*") if ".writing-" in file.name]
    monkeypatch.setattr(engines, "cores", lambda: 1)
    single = engines.open_engine("key", refuse, "cpu")
    assert single.for_throughput() is single


def test_torch_engine_where_there_is_no_openvino(monkeypatch):
    monkeypatch.setattr(engines, "openvino", None)
    network = dot()
    engine = engines.open_engine("key", lambda: network)
    batch = torch.rand(1, 3, 32, 48) * 2 - 1
    with torch.inference_mode():
        expected = network(batch)
    assert engine.name.startswith("torch")
    assert (engine(batch) - expected).abs().mean() < 0.01


@pytest.mark.parametrize("device", ["gpu", "cuda:", "cuda:x", "", "cuda:99"])
def test_unknown_devices_are_named(device):
    with pytest.raises(ValueError, match=f"device={device!r}"):
        engines.open_engine("key", refuse, device)


def test_cores_follow_a_containers_quota(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)), raising=False)
    for text, expected in [("200000 100000", 2), ("150000 100000", 2), ("max 100000", 16)]:
        monkeypatch.setattr(Path, "read_text", lambda self, text=text: text)
        assert engines.cores() == expected


@pytest.mark.parametrize(("most", "expected"), [("3", 3), ("99", 16), ("0", 1), ("many", 16)])
def test_cores_may_be_limited(monkeypatch, most, expected):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)), raising=False)
    monkeypatch.setattr(Path, "read_text", lambda self: "max 100000")
    monkeypatch.setenv("TOONIFY_CORES", most)
    assert engines.cores() == expected


def test_other_inputs_than_images(cache):
    """A latent of a fixed shape in, an image out; without a key nothing is written."""
    torch.manual_seed(3)
    network = torch.nn.Sequential(torch.nn.Linear(8, 12), torch.nn.Unflatten(2, (3, 2, 2))).eval()
    engine = engines.open_engine(None, lambda: network, "cpu", (1, 5, 8))
    latent = torch.randn(1, 5, 8)
    with torch.inference_mode():
        assert torch.allclose(engine(latent), network(latent), atol=0.01)
    assert not list(cache.rglob("*.blob"))
    for wrong in (torch.zeros(1, 4, 8), torch.zeros(5, 8), torch.zeros(1, 5, 8).double()):
        with pytest.raises(AssertionError):
            engine(wrong)


def test_a_blob_for_one_input_does_not_serve_another(cache):
    network = dot()
    engines.open_engine("key", lambda: network, "cpu")
    fixed = engines.open_engine("key", lambda: network, "cpu", (1, 3, 8, 8))
    assert fixed(torch.zeros(1, 3, 8, 8)).shape == (1, 3, 8, 8)
    assert len(list(cache.rglob("*.blob"))) == 2


def test_threads_that_all_draw_first_do_not_wait_for_each_other_for_ever():
    """OpenVINO alone hangs in one try of five when four threads ask for this first."""
    code = """
import sys, threading
import toonify.engines
import openvino
sys.setswitchinterval(1e-6)
together = threading.Barrier(4)
def ask():
    together.wait()
    openvino.Type.f32.to_dtype()
threads = [threading.Thread(target=ask) for _ in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""
    pytest.importorskip("openvino")
    root = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-c", code], cwd=root, check=True, timeout=120)
