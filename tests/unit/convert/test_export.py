"""ONNX and OpenVINO files of every generator: their output is that of torch."""

import functools
import sys

import pytest
import torch

from tests.conftest import save_style
from tests.fixtures.convert_command import convert, list_names, refuse
from tests.unit.models.test_toongan import seed_toy
from toonify import hub
from toonify.convert import export
from toonify.models import (
    ANIMEGAN_MODELS,
    MODELS,
    PHOTO_MODELS,
    CartoonGANGenerator,
    DCGANGenerator,
    MobileStyleGAN,
    StyleGAN2Generator,
    ToonGANGenerator,
)


def families() -> dict[str, torch.nn.Module]:
    """Every generator at toy size, with outputs that vary."""
    torch.manual_seed(2)
    networks = {
        f"{name} {mode}": cls(width=4, depth=1, upsample=mode)
        for name, cls in ANIMEGAN_MODELS.items()
        for mode in ("tf1", "align_corners", "half_pixel")[: 3 if name == "animegan" else 1]
    }
    mobile = MobileStyleGAN((16, 16, 16, 8), (), w_dim=8, z_dim=6, mapping_layers=2)
    for block in ("b8", "b16", "b32"):
        for layer in ("conv0", "conv1"):
            getattr(getattr(mobile.synthesis, block), layer).noise.map.normal_(0, 0.1)
    return networks | {
        "animegan-lite noise": ANIMEGAN_MODELS["animegan-lite"](
            width=4, depth=1, noise_inputs=True
        ),
        "cartoongan": CartoonGANGenerator(width=4, depth=1),
        "stylegan2": StyleGAN2Generator(32, 6, 8, 2, 256, 16, conv_clamp=256.0),
        "mobile-stylegan": mobile,
        "toongan": ToonGANGenerator(64, 6, 8, 2, (8, 8, 8, 4, 4)),
        "toon-generator": seed_toy(),
    }


def make_batch(network) -> torch.Tensor:
    """Three inputs: neither the number nor the size of those for tracing and checking."""
    torch.manual_seed(7)
    if isinstance(network, tuple(PHOTO_MODELS.values())):
        return torch.rand(3, 3, 40, 104) * 2 - 1
    z = torch.randn(3, 6)
    if isinstance(network, DCGANGenerator):
        return z
    return network.mapping(z)[:, None].repeat(1, network.num_ws, 1)


def run_onnxruntime(file, batch):
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    (entry,) = session.get_inputs()
    return torch.from_numpy(session.run(["picture"], {entry.name: batch.numpy()})[0])


def run_openvino(file, batch):
    openvino = pytest.importorskip("openvino")
    settings = {"INFERENCE_PRECISION_HINT": "f32"}
    return torch.from_numpy(openvino.Core().compile_model(file, "CPU", settings)(batch.numpy())[0])


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A folder for each of `families`."""
    place = tmp_path_factory.mktemp("families")
    for name, network in families().items():
        network.eval().save_pretrained(place / name)
        (place / name / hub.STYLE).write_text('{"title": "Toy", "license": "CC0-1.0"}')
    return place


@pytest.fixture(scope="module")
def exported(folders):
    """Name and suffix -> the exported file, made once."""

    @functools.cache
    def file(name, suffix):
        out = folders / f"{name}{suffix}"
        assert convert(folders / name, out) == 0
        return out

    return file


@pytest.fixture
def ours(tmp_path):
    return save_style(tmp_path / "ours")


@pytest.mark.parametrize(
    ("suffix", "run"),
    [(".onnx", run_onnxruntime), (".onnx", run_openvino), (".xml", run_openvino)],
)
@pytest.mark.parametrize("name", families())
@torch.inference_mode()
def test_a_file_has_the_output_of_torch(folders, exported, name, suffix, run):
    if suffix == ".onnx":
        pytest.importorskip("onnx")
    network = hub.load_model(folders / name, MODELS)
    batch = make_batch(network)
    expected = export.select_part(network)[0](batch)
    assert expected.std() > 0.01
    file = exported(name, suffix)
    assert suffix == ".onnx" or file.with_suffix(".bin").is_file()
    assert (run(file, batch) - expected).abs().max() <= 1e-3


def test_onnx_names_its_input_and_its_license(exported):
    onnx = pytest.importorskip("onnx")
    model = onnx.load(exported("animegan tf1", ".onnx"))
    (photo,) = model.graph.input
    axes = [axis.dim_param or axis.dim_value for axis in photo.type.tensor_type.shape.dim]
    assert (photo.name, axes) == ("photo", ["batch", 3, "height", "width"])
    props = {entry.key: entry.value for entry in model.metadata_props}
    assert (props["title"], props["license"]) == ("Toy", "CC0-1.0")


def test_a_file_is_described_and_only_replaced_with_overwrite(ours, tmp_path, capsys):
    out = tmp_path / "toy.xml"
    assert convert(ours, out) == 0
    printed = capsys.readouterr().out
    assert "toy.xml: photo (batch x 3 x height x width) -> image; OpenVINO differs by" in printed
    message = "exists already; --overwrite replaces it"
    assert f"toy.xml' {message}" in refuse(capsys, ours, out, status=2)
    out.unlink()  # its .bin remains
    assert f"toy.bin' {message}" in refuse(capsys, ours, out, status=2)
    assert convert(ours, out, "--overwrite") == 0
    assert list_names(tmp_path) == ["ours", "toy.bin", "toy.xml"]


@pytest.mark.parametrize("error", [None, float("nan")])
def test_a_file_with_another_output_is_not_kept(ours, tmp_path, capsys, monkeypatch, error):
    write = export.write_ir

    def write_wrong(part, *rest):
        part.network.out_layer[0].weight.mul_(1.5)
        write(part, *rest)
        part.network.out_layer[0].weight.div_(1.5)

    monkeypatch.setattr(export, "write_ir", write_wrong)
    if error is not None:
        monkeypatch.setattr(export, "compute_error", lambda *_: error)
    message = refuse(capsys, ours, tmp_path / "toy.xml")
    number = message.partition("toy.xml: the output of OpenVINO differs by ")[2].split()[0]
    assert number == "nan" if error is not None else 0.01 < float(number) < 2
    assert "more than 0.001; the file was not kept" in message
    assert list_names(tmp_path) == ["ours"]


def test_onnx_requires_its_package(ours, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    message = refuse(capsys, ours, tmp_path / "toy.onnx")
    assert message.endswith("toy.onnx: the package onnx is not installed; run: pip install onnx")


def test_without_onnx_runtime_openvino_checks_the_file(ours, tmp_path, capsys, monkeypatch):
    pytest.importorskip("onnx")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert convert(ours, tmp_path / "toy.onnx") == 0
    assert "-> image; OpenVINO differs by" in capsys.readouterr().out


@pytest.mark.parametrize("suffix", [".onnx", ".xml"])
@pytest.mark.parametrize("family", ["animegan half_pixel", "animegan-lite noise", "cartoongan"])
def test_photos_of_any_size_keep_it(exported, family, suffix):
    run = run_onnxruntime if suffix == ".onnx" else run_openvino
    for height, width in ((67, 33), (513, 71), (40, 41), (64, 64), (1, 1), (2, 9), (101, 5)):
        photo = torch.rand(1, 3, height, width) * 2 - 1
        assert run(exported(family, suffix), photo).shape == photo.shape
