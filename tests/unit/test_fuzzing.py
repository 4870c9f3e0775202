"""Readers of files from strangers: damaged ones raise the documented error, and nothing else.

`TOONIFY_FUZZ` says how many damaged files each reader gets; the default keeps the suite short.
Before a release: `TOONIFY_FUZZ=20000 python -m pytest tests/unit/test_fuzzing.py`.
"""

import json
import os
import pickle
import warnings

import pytest
import torch

from tests.fixtures.mutations import mutate, mutate_json
from tests.fixtures.odd_inputs import make_odd_inputs
from tests.fixtures.pickles import stored
from toonify import hub, images, latents
from toonify.convert import checkpoints
from toonify.hub import checksums
from toonify.models import MODELS
from toonify.ui import health

COUNT = int(os.environ.get("TOONIFY_FUZZ", "40"))
MAX_MEMORY = 2**30  # that reading takes
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(autouse=True)
def bounded_memory():
    """Fails a test after which this process has a GB more than before."""
    before = health.measure_memory()
    yield
    assert health.measure_memory() - before < MAX_MEMORY


def read_all(read, files, expected) -> tuple[int, int]:
    """Reads files: how many were read and how many were refused; any other error fails."""
    read_ones, refused = 0, 0
    for number, data in enumerate(files):
        try:
            read(data)
            read_ones += 1
        except expected as error:
            assert str(error), f"file {number}: an error without words"
            refused += 1
        except Exception as error:
            pytest.fail(f"file {number} ({data[:60]!r}...): {type(error).__name__}: {error}")
    return read_ones, refused


def test_photos(tmp_path):
    inputs = make_odd_inputs(tmp_path)
    seeds = [path.read_bytes() for path, expected in inputs.values() if expected == "ok"]
    seeds = [data for data in seeds if len(data) < 100_000]

    def read(data: bytes) -> None:
        images.count_pixels(data)
        photo = images.load(data, max_pixels=4_000_000)
        assert photo.mode == "RGB" and photo.info == {}

    read_ones, refused = read_all(read, mutate(seeds, 4 * COUNT), images.ImageError)
    assert read_ones and refused


def test_latents(tmp_path):
    seeds = []
    for name in ("a.safetensors", "a.npz"):
        with warnings.catch_warnings(action="ignore"):
            latents.save_latent(tmp_path / name, torch.randn(1, 3, 8), "toy")
        seeds.append((tmp_path / name).read_bytes())

    def read(data: bytes) -> None:
        w = latents.load_latent(data, 3, 8)
        assert w.shape == (1, 3, 8) and bool(w.isfinite().all())

    read_ones, refused = read_all(read, mutate(seeds, 4 * COUNT), ValueError)
    assert read_ones and refused


def test_directions(tmp_path, toy_faces):
    seed = (toy_faces / hub.DIRECTIONS).read_bytes()
    file = tmp_path / hub.DIRECTIONS

    def read(data: bytes) -> None:
        file.write_bytes(data)
        hub.directions(tmp_path)
        latents.load_directions(file)

    assert read_all(read, mutate([seed], 2 * COUNT), ValueError)[1]


def test_weights(tmp_path, make_style):
    folder = make_style(tmp_path / "style")
    file = folder / hub.WEIGHTS[0]
    seed = file.read_bytes()
    header = 8 + int.from_bytes(seed[:8], "little")

    def read(data: bytes) -> None:
        file.write_bytes(data)
        hub.load_model(folder, MODELS)

    # Most changes fall into the header, where lengths, names and shapes are.
    damaged = (data + seed[header:] for data in mutate([seed[:header]], COUNT))
    assert read_all(read, damaged, ValueError)[1]
    assert read_all(read, mutate([seed], COUNT // 2), ValueError)[1]


def test_settings_of_networks(tmp_path, make_style, toy_portrait, toy_faces):
    folders = [make_style(tmp_path / "style"), toy_portrait / "base", toy_faces]
    seeds = [json.loads((folder / hub.CONFIG).read_text()) for folder in folders]
    folder = tmp_path / "style"

    def read(data: bytes) -> None:
        (folder / hub.CONFIG).write_bytes(data)
        hub.load_model(folder, MODELS)

    assert read_all(read, mutate_json(seeds, 2 * COUNT), ValueError)[1]


def test_descriptions_of_styles(tmp_path):
    seeds = [json.loads(path.read_text()) for path in hub.BUNDLED.glob(f"*/{hub.STYLE}")]

    def read(data: bytes) -> None:
        (tmp_path / hub.STYLE).write_bytes(data)
        hub.read_style(tmp_path)

    read_ones, refused = read_all(read, mutate_json(seeds, 4 * COUNT), ValueError)
    assert read_ones and refused


def test_checkpoints_of_other_projects(tmp_path):
    held = {"g": torch.ones(4, 3), "args": {"size": 32, "names": ["a", "b"]}, "step": 7}
    seeds = [stored(held, zipped=zipped) for zipped in (True, False)]
    seeds.append(pickle.dumps({"G_ema": [1.5, "x" * 40], "D": None}, 4))
    files = [tmp_path / name for name in ("some.pt", "some.pkl")]

    def read(data: bytes) -> None:
        for file in files:
            file.write_bytes(data)
            checkpoints.open_path(file)

    assert read_all(read, mutate(seeds, 3 * COUNT), ValueError)[1]


def test_lists_of_hashes(tmp_path):
    seed = b"".join(b"%064x  style/file%d\n" % (number, number) for number in range(5))

    def read(data: bytes) -> None:
        (tmp_path / checksums.LIST).write_bytes(data)
        checksums.read_list(tmp_path)

    assert read_all(read, mutate([seed], COUNT), ValueError)[1]
