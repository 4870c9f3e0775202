"""What every test starts from: no network, an own cache, one thread, a photo and a toy style."""

import gc
import json
import os
import shutil
import signal
import tempfile
from pathlib import Path

# Before anything imports the Hub's client, gradio or torch: they read these once.
_CACHE = tempfile.mkdtemp(prefix="toonify-tests-")
if "PYTEST_XDIST_WORKER" not in os.environ:  # its workers share compiled networks
    os.environ["TOONIFY_CACHE"] = _CACHE
os.environ.update(
    HF_HUB_OFFLINE="1",
    HF_HUB_DISABLE_TELEMETRY="1",
    HF_HUB_DISABLE_PROGRESS_BARS="1",
    GRADIO_ANALYTICS_ENABLED="False",
    GRADIO_TEMP_DIR=str(Path(_CACHE, "gradio")),
    OMP_NUM_THREADS="1",  # toys gain nothing from more, and threads that wait burn a busy machine
)
os.environ.pop("TOONIFY_HUB_OWNER", None)

import pytest  # noqa: E402
from PIL import Image  # noqa: E402

from tests.fixtures.hub_server import HubServer  # noqa: E402

ROOT = Path(__file__).parents[1]
SLOW_FILES = (
    *("training/core/test_training.py", "training/toongan/test_train_toongan.py"),
    *("cli/test_processes.py", "ui/test_public.py", "training/stylegan/test_train_stylegan.py"),
    *(
        "e2e/test_dockerfile.py",
        "e2e/test_browser.py",
        "e2e/test_static_app.py",
        "e2e/test_new_user.py",
        "ui/test_app.py",
    ),
    *("unit/pipelines/test_stylegan.py", "training/data/test_data.py", "unit/test_examples.py"),
    *("training/metrics/test_evaluate.py", "training/encoder/test_train_encoder.py"),
    *("unit/hub/test_catalog.py", "e2e/test_package.py", "unit/hub/test_upload.py"),
)


def pytest_configure(config):
    # xdist would begin with the files of many tests, and end with slow files of few.
    if hasattr(config.option, "loadscopereorder"):
        config.option.loadscopereorder = False


def pytest_collection_modifyitems(items):
    """Puts slow files first, so that none is left alone when all others are done."""
    places = {ROOT / "tests" / name: place for place, name in enumerate(SLOW_FILES)}
    items.sort(key=lambda item: places.get(item.path, len(places)))


def pytest_sessionfinish():
    shutil.rmtree(_CACHE, ignore_errors=True)


@pytest.fixture(scope="session")
def photo_path() -> Path:
    """A portrait of 512x512 with one face, 41 px between the eyes."""
    return ROOT / "hub_cards" / "faces" / "astronaut.jpg"


@pytest.fixture(scope="session")
def photo(photo_path) -> Image.Image:
    """The portrait as RGB; tests that change it copy it first."""
    with Image.open(photo_path) as image:
        return image.convert("RGB")


@pytest.fixture(scope="session")
def toy_style(tmp_path_factory, make_style) -> Path:
    """A style's folder with a tiny untrained network; do not write to it."""
    return make_style(tmp_path_factory.mktemp("styles") / "toy")


@pytest.fixture(scope="session")
def fast_style(tmp_path_factory, make_style) -> Path:
    """The same with a tiny untrained lite generator on patches beside it; do not write to it."""
    import torch

    from toonify.models import AnimeGANLiteGenerator

    folder = make_style(tmp_path_factory.mktemp("styles") / "quick")
    torch.manual_seed(4)
    lite = AnimeGANLiteGenerator(width=4, depth=1, patch=2, edge_kernel=3)
    lite.half().save_pretrained(folder / "lite", variant="fp16")
    return folder


@pytest.fixture(scope="session")
def make_style():
    """make_style(folder, scope="photo", **config) saves a seeded toy style in half precision."""
    return save_style


def save_style(folder: Path, scope: str = "photo", **config) -> Path:
    import torch

    from toonify.models import AnimeGANGenerator

    torch.manual_seed(1)
    network = AnimeGANGenerator(**{"width": 4, "depth": 1, **config})
    network.half().save_pretrained(folder, variant="fp16")
    said = {
        "title": "Toy",
        "description": "Untrained, for tests.",
        "scope": scope,
        "eye_distance": [30, 110],
        "license": "CC0-1.0",
        "data": "none",
    }
    (folder / "style.json").write_text(json.dumps(said))
    (folder / "README.md").write_text("# Toy\n")
    return folder


@pytest.fixture(scope="session")
def toy_portrait(tmp_path_factory) -> Path:
    """A folder with tiny untrained `base`, `toon` and `encoder`; do not write to it."""
    import torch

    from toonify.models import Encoder, MobileStyleGAN
    from toonify.models.layer_swap import blend_into

    torch.manual_seed(2)
    folder = tmp_path_factory.mktemp("portrait")
    config = dict(channels=(16, 16, 16, 16, 8, 8), heads=(128,), w_dim=16, z_dim=16)
    base, other = (MobileStyleGAN(**config, mapping_layers=2) for _ in range(2))
    for network in (base, other):
        network.synthesis.rgb256.weight.data.mul_(30)  # untrained ones draw all but gray
    toon = MobileStyleGAN(**config, mapping_layers=2)
    blend_into(toon, base, other, 4, 2.0, "base")  # in part another network, as a tuned one is
    encoder = Encoder(num_ws=base.num_ws, w_dim=16, free_layers=5, hidden=16, width=4)
    families = {"base": "stylegan-base", "toon": "stylegan", "encoder": "stylegan-encoder"}
    for name, network in {"base": base, "toon": toon, "encoder": encoder}.items():
        network.save_pretrained(folder / name)
        said = {"title": name, "scope": "face", "family": families[name]}
        (folder / name / "style.json").write_text(json.dumps(said))
    return folder


@pytest.fixture(scope="session")
def toy_faces(tmp_path_factory) -> Path:
    """A folder with a tiny untrained ToonGAN of 64 px and two directions; do not write to it."""
    import torch
    from safetensors.torch import save_file

    from toonify.models import ToonGANGenerator

    torch.manual_seed(3)
    network = ToonGANGenerator(64, 6, 8, 2, (8, 8, 8, 8, 4))
    network.mapping.w_avg.normal_()
    for key, parameter in network.named_parameters():
        if key.endswith("bias") and "affine" not in key:
            parameter.data.normal_(0, 0.3)
    folder = tmp_path_factory.mktemp("faces")
    network.save_pretrained(folder)
    (folder / "style.json").write_text(json.dumps({"title": "Toy faces", "family": "toongan"}))
    about = {
        name: json.dumps({"layers": layers, "label": name.title()})
        for name, layers in LAYERS.items()
    }
    vectors = {name: torch.randn(8) for name in LAYERS}
    save_file(vectors, folder / "directions.safetensors", about)
    return folder


@pytest.fixture(scope="session")
def choosing_faces(tmp_path_factory) -> Path:
    """The same of another network, whose faces have a mouth and a hair color to be chosen."""
    import torch

    from toonify.models import ToonGANGenerator

    torch.manual_seed(4)
    network = ToonGANGenerator(64, 7, 8, 2, (8, 8, 8, 8, 4), num_classes=(3, 2))
    for name, weight in network.named_parameters():
        if "torgb" in name and name.endswith("weight"):
            weight.data.mul_(30)  # untrained ones draw all but gray
    folder = tmp_path_factory.mktemp("choosing")
    network.save_pretrained(folder)
    said = {"title": "Choosing", "family": "toongan", "attributes": CHOICES}
    (folder / "style.json").write_text(json.dumps(said))
    return folder


@pytest.fixture(scope="session")
def head_faces(tmp_path_factory) -> Path:
    """The same of a network with attributes of 3D heads, two of which have colors."""
    import torch

    from toonify.models import ToonGANGenerator

    torch.manual_seed(5)
    counts = tuple(map(len, HEADS.values()))
    network = ToonGANGenerator(64, sum(counts) + 2, 8, 2, (8, 8, 8, 8, 4), num_classes=counts)
    for name, weight in network.named_parameters():
        if "torgb" in name and name.endswith("weight"):
            weight.data.mul_(30)
    folder = tmp_path_factory.mktemp("bundled") / "heads"
    network.save_pretrained(folder)
    said = {"title": "3D heads", "family": "toongan", "attributes": HEADS, "colors": HEAD_COLORS}
    (folder / "style.json").write_text(json.dumps(said))
    return folder


HEADS = {
    "age": ["adult", "child", "old", "young"],
    "gender": ["feminine", "masculine"],
    "skin_tone": ["tone1", "tone6", "tone12"],
    "hair_color": ["black", "blonde", "dyed"],
    "hair_style": ["bald", "long", "short", "short_curls"],
    "beard": ["full", "none", "stubble"],
    "glasses": ["none", "round", "square", "sunglasses"],
    "headwear": ["cap", "none"],
    "expression": ["grin", "neutral", "smile"],
    "freckles": ["no", "yes"],
}
HEAD_COLORS = {
    "skin_tone": {"tone1": "#f4d2c0", "tone6": "#c48a62", "tone12": "#47281b"},
    "hair_color": {"black": "#221a17", "blonde": "#dcb068"},
}
CHOICES = {"mouth": ["laugh", "sad", "wideOpen"], "hair_color": ["#2c1b18", "#d6b370"]}
LAYERS = {"smile": [0, 9], "glasses": [2, 4]}  # of w+ that the toy's directions move


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """Gradio's folder for what comes in and goes out, for this test alone."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def toys():
    """Toy pipelines for the app's handlers, and what they were asked for."""
    from tests.fixtures import toy_app

    return toy_app.Toys()


@pytest.fixture(autouse=True)
def children_may_end():
    """Takes back the SIGCHLD handler that torch's loader workers leave in the process.

    It outlives them, and a later test's child then ends the whole run with a segmentation fault.
    """
    yield
    if signal.getsignal(signal.SIGCHLD) is not signal.SIG_DFL:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)


@pytest.fixture
def own_heap():
    """Leaves what the whole suite has in memory out of garbage collection, for tests of time.

    A full collection of it takes more than a second, and may fall into any test.
    """
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture
def server():
    with HubServer() as server:
        yield server


@pytest.fixture
def refusal(capsys):
    """refusal(main, *arguments): what a command prints when it refuses them, in one line."""

    def refusal(main, *arguments) -> str:
        with pytest.raises(SystemExit) as stopped:
            main([str(argument) for argument in arguments])
        assert stopped.value.code == 2
        return " ".join(capsys.readouterr().err.split())

    return refusal


@pytest.fixture
def use_bundled(monkeypatch):
    """Call with a folder, which then stands for `toonify/weights`."""
    from toonify import hub
    from toonify.hub import resolve, style

    def use(folder: Path) -> None:
        for module in (hub, resolve, style):
            monkeypatch.setattr(module, "BUNDLED", folder)

    return use
