"""`python -m toonify convert`: networks from elsewhere draw what they drew there, files for
elsewhere draw what ours do, and what cannot be converted is refused in words."""

import collections
import functools
import http.server
import io
import json
import os
import pathlib
import pickle
import socketserver
import sys
import threading
import time
import zipfile

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file

from tests.conftest import save_style
from tests.unit.convert.test_stylegan2 import (
    drawn_by_rosinality,
    fir,
    near,
    noise,
    nvlabs_critic,
    nvlabs_generator,
    rosinality_critic,
    rosinality_generator,
    same,
)
from tests.unit.convert.test_unpickling import stored, touch
from tests.unit.models.test_toongan import SEED_TOY, seed_toy
from toonify import cli, hub
from toonify.convert import animegan, checkpoints, dcgan, export, random_face, unpickling
from toonify.convert.formats import KINDS, PUBLISHED
from toonify.models import (
    ANIMEGAN_MODELS,
    MODELS,
    PHOTO_MODELS,
    AnimeGANGenerator,
    CartoonGANGenerator,
    DCGANGenerator,
    Encoder,
    MobileStyleGAN,
    StyleGAN2Generator,
    ToonGANGenerator,
)
from training.gan.discriminators import StyleGAN2Discriminator

C = 4  # width; 32 as published

# The published layers: bryandlee's name, ptran1203's, what it is, channels over C, kernel, stride.
UP = ("", "", "up", 0, 0, 0)
LAYERS = (
    ("block_a.0", "conv_block1.0", "conv", 1, 7, 1),
    ("block_a.1", "conv_block1.1", "conv", 2, 3, 2),
    ("block_a.2", "conv_block1.2", "conv", 2, 3, 1),
    ("block_b.0", "conv_block2.0", "conv", 4, 3, 2),
    ("block_b.1", "conv_block2.1", "conv", 4, 3, 1),
    ("block_c.0", "res_blocks.0", "conv", 4, 3, 1),
    ("block_c.1", "res_blocks.1", "residual", 8, 3, 1),
    ("block_c.2", "res_blocks.2", "residual", 8, 3, 1),
    ("block_c.3", "res_blocks.3", "residual", 8, 3, 1),
    ("block_c.4", "res_blocks.4", "residual", 8, 3, 1),
    ("block_c.5", "res_blocks.5", "conv", 4, 3, 1),
    UP,
    ("block_d.0", "conv_block3.0", "conv", 4, 3, 1),
    ("block_d.1", "conv_block3.1", "conv", 4, 3, 1),
    UP,
    ("block_e.0", "conv_block4.0", "conv", 2, 3, 1),
    ("block_e.1", "conv_block4.1", "conv", 2, 3, 1),
    ("block_e.2", "conv_block4.2", "conv", 1, 7, 1),
)
# Parts of a conv layer and of a residual one, by both ports.
CONV = {"bryandlee": (".1", ".2"), "ptran1203": (".conv", ".ins_norm")}
RESIDUAL = {
    "bryandlee": (
        *(".layers.0.1", ".layers.0.2", ".layers.1.1", ".layers.1.2", ".layers.2", ".layers.3"),
    ),
    "ptran1203": (
        *(".conv_block.conv", ".conv_block.ins_norm", ".conv_block2.conv"),
        *(".conv_block2.ins_norm", ".conv", ".norm"),
    ),
}
LAST = {"bryandlee": "out_layer.0", "ptran1203": "decode_blocks.0"}


def public(port: str) -> dict[str, torch.Tensor]:
    """A state dict with a port's names and random values."""
    numbers = torch.Generator().manual_seed(5)
    state = {}

    def convolution(key, outputs, inputs, kernel, bias=False):
        weight = torch.randn(outputs, inputs, kernel, kernel, generator=numbers)
        state[f"{key}.weight"] = weight * (2 / weight[0].numel()) ** 0.5
        if bias:
            state[f"{key}.bias"] = torch.randn(outputs, generator=numbers) / 4

    def norm(key, channels):
        state[f"{key}.weight"] = 1 + torch.randn(channels, generator=numbers) / 4
        state[f"{key}.bias"] = torch.randn(channels, generator=numbers) / 4

    inputs = 3
    for one, other, what, times, kernel, _ in LAYERS:
        row, outputs = one if port == "bryandlee" else other, times * C
        if what == "conv":
            conv, normed = CONV[port]
            convolution(row + conv, outputs, inputs, kernel)
            norm(row + normed, outputs)
        elif what == "residual":
            wide, parts = 2 * inputs, [row + part for part in RESIDUAL[port]]
            convolution(parts[0], wide, inputs, 1)
            norm(parts[1], wide)
            convolution(parts[2], wide, 1, 3, bias=True)
            norm(parts[3], wide)
            convolution(parts[4], outputs, wide, 1)
            norm(parts[5], outputs)
        inputs = outputs or inputs
    convolution(LAST[port], 3, inputs, 1, bias=port == "ptran1203")
    return state


def doubled(x: torch.Tensor, mode: str) -> torch.Tensor:
    """Both axes by the places between the old pixels at which the new ones lie."""

    def along(count):
        new = torch.arange(2 * count)
        place = {
            "align_corners": new * (count - 1) / (2 * count - 1),
            "half_pixel": ((new + 0.5) / 2 - 0.5).clamp(min=0),
            "tf1": new / 2,
        }[mode].clamp(max=count - 1)
        return (1 - (place[:, None] - torch.arange(count)).abs()).clamp(min=0)

    rows, columns = (along(count) for count in x.shape[-2:])
    return torch.einsum("yh,nchw,xw->ncyx", rows, x, columns)


def drawn(state: dict, port: str, photo: torch.Tensor, mode: str) -> torch.Tensor:
    """The picture by the table of layers, one after the other."""
    epsilon = 1e-12 if mode == "tf1" else 1e-5

    def convolved(x, key, stride=1, groups=1):
        side = state[f"{key}.weight"].shape[-1] // 2
        border = (0, 1, 0, 1) if stride == 2 else (side,) * 4
        x = F.pad(x, border, mode="reflect") if side else x
        return F.conv2d(x, state[f"{key}.weight"], state.get(f"{key}.bias"), stride, groups=groups)

    def normed(x, key):
        away = x - x.mean((1, 2, 3), keepdim=True)
        x = away / (away.square().mean((1, 2, 3), keepdim=True) + epsilon).sqrt()
        return x * state[f"{key}.weight"][:, None, None] + state[f"{key}.bias"][:, None, None]

    def leaky(x):
        return torch.where(x > 0, x, 0.2 * x)

    x = photo
    for one, other, what, _, _, stride in LAYERS:
        row = one if port == "bryandlee" else other
        if what == "up":
            x = doubled(x, mode)
        elif what == "conv":
            conv, norm = (row + part for part in CONV[port])
            x = leaky(normed(convolved(x, conv, stride), norm))
        else:
            parts = [row + part for part in RESIDUAL[port]]
            y = leaky(normed(convolved(x, parts[0]), parts[1]))
            y = leaky(normed(convolved(y, parts[2], groups=y.shape[1]), parts[3]))
            y = normed(convolved(y, parts[4]), parts[5])
            x = x + y if x.shape == y.shape else y
    return convolved(x, LAST[port]).tanh()


def photos(n=2, height=44, width=60):
    return torch.rand(n, 3, height, width, generator=torch.Generator().manual_seed(3)) * 2 - 1


def run(*words) -> int:
    return cli.main(["convert", *map(str, words)])


def refused(capsys, *words, status=1) -> str:
    """What is said when nothing is written."""
    if status == 2:
        with pytest.raises(SystemExit) as error:
            run(*words)
        assert error.value.code == 2
    else:
        assert run(*words) == status
    return capsys.readouterr().err.strip().splitlines()[-1]


def said(folder) -> dict:
    return json.loads((folder / "style.json").read_text())


# AnimeGANv2 -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("port", "words", "mode"),
    [
        ("bryandlee", (), "align_corners"),
        ("bryandlee", ("--upsample", "half_pixel"), "half_pixel"),
        ("bryandlee", ("--upsample", "tf1"), "tf1"),
        ("ptran1203", (), "half_pixel"),
        ("ptran1203", ("--upsample", "align_corners"), "align_corners"),
    ],
)
@torch.inference_mode()
def test_a_port_draws_the_same_picture(tmp_path, capsys, port, words, mode):
    state, photo = public(port), photos()
    held = state if port == "bryandlee" else {"model_state_dict": state, "epoch": 3}
    torch.save(held, tmp_path / "some.pt")
    out = tmp_path / "networks" / "my_style"
    assert run(tmp_path / "some.pt", out, "--fp32", *words) == 0
    network = hub.load_model(out, PHOTO_MODELS)
    expected = drawn(state, port, photo, mode)
    assert expected.std() > 0.1
    assert (network(photo) - expected).abs().max() <= 1e-5
    for other in {"align_corners", "half_pixel", "tf1"} - {mode}:  # so that the modes differ
        assert (expected - drawn(state, port, photo, other)).abs().max() > 1e-2
    assert network.config.out_bias is (port == "ptran1203")
    told = capsys.readouterr().out
    assert f"upsampling mode: {mode}\n" in told and f"{port}'s AnimeGANv2" in told
    assert said(out) == {
        "title": "My style",
        "description": f"Converted from a checkpoint of {KINDS[kind_of(port)]}.",
        "scope": "photo",
        "family": "animegan",
        "license": "unknown: say here what the data's licenses allow",
    }
    assert "license: unknown: say here" in told
    assert sorted(path.name for path in out.parent.iterdir()) == ["my_style"]
    assert sorted(path.name for path in out.iterdir()) == [hub.CONFIG, hub.WEIGHTS[1], hub.STYLE]


def kind_of(port: str) -> str:
    return "animegan2-pytorch" if port == "bryandlee" else "pytorch-animegan"


def test_the_tables_are_the_published_ones():
    """Names and count are those of the notes; ptran1203's have a bias more."""
    ours = AnimeGANGenerator(width=C).state_dict()
    assert public("bryandlee").keys() == ours.keys() and len(ours) == 77
    assert len(public("ptran1203")) == 78


@torch.inference_mode()
def test_sixteen_bits_are_kept_unless_told(tmp_path):
    state = public("bryandlee")
    torch.save(state, tmp_path / "some.pt")
    assert run(tmp_path / "some.pt", tmp_path / "out", "--title", "Mine", "--license", "CC0") == 0
    assert hub.weights_file(tmp_path / "out").name == hub.WEIGHTS[0]
    expected = drawn(state, "bryandlee", photos(), "align_corners")
    assert (hub.load_model(tmp_path / "out", MODELS)(photos()) - expected).abs().mean() < 0.01
    assert (said(tmp_path / "out")["title"], said(tmp_path / "out")["license"]) == ("Mine", "CC0")


def test_more_ways_in_which_a_port_keeps_its_tensors(tmp_path):
    state = public("ptran1203")
    several = {"model_state_dict": {f"module.{key}": value for key, value in state.items()}}
    adam = torch.optim.Adam(AnimeGANGenerator(width=C).parameters())
    several |= {"epoch": None, "optimizer_state_dict": adam.state_dict()}
    halves = {key: value.half() for key, value in state.items()}
    for number, held in enumerate((several, state, halves)):
        torch.save(held, tmp_path / "some.pt", _use_new_zipfile_serialization=number == 1)
        assert run(tmp_path / "some.pt", tmp_path / "out", "--overwrite") == 0
        found = load_file(hub.weights_file(tmp_path / "out"))
        assert torch.equal(found["block_c.2.layers.2.weight"], halves["res_blocks.2.conv.weight"])


# Published weights ----------------------------------------------------------------------------


@pytest.fixture
def publisher(monkeypatch):
    """An address at which `answers` lie, path -> bytes; and a network that may be used."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            data = server.answers.get(self.path)
            self.send_response(404 if data is None else 200)
            self.send_header("Content-Length", str(len(data or b"")))
            self.end_headers()
            self.wfile.write(data or b"")

        def log_message(self, *_):
            pass

    monkeypatch.delenv("HF_HUB_OFFLINE")
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads, server.answers = True, {}
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_address[1]}"
        monkeypatch.setattr(animegan, "URL", address + "/{}.pt")
        yield server
        server.shutdown()


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_weights_are_fetched_by_their_name(tmp_path, capsys, publisher, name):
    data = stored(public("bryandlee"), zipped=True)
    publisher.answers[f"/{name}.pt"] = data
    assert run(name, tmp_path / "out") == 0
    config = json.loads((tmp_path / "out" / hub.CONFIG).read_text())
    trained = ("tf1", 1e-12) if name == "paprika" else ("align_corners", 1e-5)
    assert (config["upsample"], config["norm_eps"]) == trained
    assert said(tmp_path / "out")["license"] == PUBLISHED[name].license
    told = capsys.readouterr().out
    assert f"git blob hash of the downloaded file: {animegan.compute_blob_hash(data)};" in told
    (tmp_path / f"{name}.pt").write_bytes(data)  # fetched by other means
    assert run(tmp_path / f"{name}.pt", tmp_path / "again") == 0
    assert json.loads((tmp_path / "again" / hub.CONFIG).read_text()) == config


def test_a_blobs_name_is_git_s():
    assert animegan.compute_blob_hash(b"hello\n") == "ce013625030ba8dba906f756967f9e9ca394464a"


def test_published_weights_that_do_not_come(tmp_path, capsys, publisher, monkeypatch):
    out = tmp_path / "out"
    assert "cannot download paprika from http://127" in refused(capsys, "paprika", out)
    publisher.answers["/paprika.pt"] = bytes(2_000)
    monkeypatch.setattr(animegan, "MAX_BYTES", 1_000)
    assert "more than 1,000 bytes, expected 8.6 million" in refused(capsys, "paprika", out)
    monkeypatch.setattr(animegan, "MAX_BYTES", 10_000)
    monkeypatch.setattr(animegan, "TIMEOUT", -1.0)
    assert "not complete after -1 seconds" in refused(capsys, "paprika", out)
    monkeypatch.setattr(animegan, "TIMEOUT", 10.0)
    assert "expected a checkpoint of tensors" in refused(capsys, "paprika", out)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert refused(capsys, "paprika", out).endswith(": HF_HUB_OFFLINE is set")
    assert list(tmp_path.iterdir()) == []


# StyleGAN2 and the others ---------------------------------------------------------------------


@torch.inference_mode()
def test_rosinality_s_networks_come_and_go(tmp_path, capsys):
    state, critic, mean = rosinality_generator(), rosinality_critic(), noise(1)[0]
    held = {"g": {}, "g_ema": state, "d": critic, "latent_avg": mean}
    torch.save(held, tmp_path / "faces.pt")
    assert run(tmp_path / "faces.pt", tmp_path / "out", "--fp32") == 0
    network, z = hub.load_model(tmp_path / "out", MODELS), noise()
    assert near(network(z, truncation=0.7), drawn_by_rosinality(state, z, mean, 0.7))
    assert said(tmp_path / "out")["family"] == "stylegan"
    assert "the discriminator is critic.safetensors" in capsys.readouterr().out
    D = StyleGAN2Discriminator(32, 512, 48, mbstd_group=2)
    D.load_state_dict(load_file(tmp_path / "out" / "critic.safetensors"))

    back = tmp_path / "back.pt"
    assert run(tmp_path / "out", back, "--to", "rosinality") == 0
    assert f"{back}: g_ema, latent_avg, d" in capsys.readouterr().out
    again = torch.load(back, weights_only=True)
    assert same(again["g_ema"], state) and same(again["d"], critic)
    assert torch.equal(again["latent_avg"], mean)


def test_nvlabs_networks_come_and_go(tmp_path):
    state, critic = nvlabs_generator(), nvlabs_critic()
    held = {"G": {}, "G_ema": state, "D": critic, "conv_clamp": 256.0}
    torch.save(held, tmp_path / "faces.pt")
    assert run(tmp_path / "faces.pt", tmp_path / "out", "--fp32") == 0
    assert json.loads((tmp_path / "out" / hub.CONFIG).read_text())["conv_clamp"] == 256.0
    assert run(tmp_path / "out", tmp_path / "back.pt", "--to", "nvlabs") == 0
    again = torch.load(tmp_path / "back.pt", weights_only=True)
    assert same(again["G_ema"], state) and same(again["D"], critic)
    assert again["conv_clamp"] == 256.0


def test_what_rosinality_s_names_lose_is_told(tmp_path, capsys):
    StyleGAN2Generator(32, 8, 8, 1, 256, 8, conv_clamp=256.0).save_pretrained(tmp_path / "ours")
    assert run(tmp_path / "ours", tmp_path / "a.pt", "--to", "rosinality") == 0
    told = capsys.readouterr().out
    assert "rosinality has no conv_clamp, which is 256 here" in told
    assert "d" not in torch.load(tmp_path / "a.pt", weights_only=True)


@torch.inference_mode()
def test_the_public_toon_generator(tmp_path, monkeypatch):
    toy = functools.partial(dcgan.DCGANGenerator, **SEED_TOY)
    monkeypatch.setattr(dcgan, "DCGANGenerator", toy)
    network, z = seed_toy(), torch.randn(2, 6)
    torch.save(network.state_dict(), tmp_path / "G_arch.pth")
    assert run(tmp_path / "G_arch.pth", tmp_path / "out", "--fp32") == 0
    assert torch.equal(hub.load_model(tmp_path / "out", MODELS)(z), network(z))
    assert said(tmp_path / "out")["family"] == "toongan"


def test_the_wheel_and_its_folder_are_recognized(tmp_path, capsys):
    folder, wheel, network = tmp_path / "files", tmp_path / "some.zip", MobileStyleGAN((8, 8), ())
    folder.mkdir()
    (folder / "SynthesisNetwork.xml").write_text("<net/>")
    assert "MappingNetwork.xml is missing" in refused(capsys, folder, tmp_path / "out")
    with zipfile.ZipFile(wheel, "w") as archive:
        for name in random_face.FILES:
            archive.writestr(f"random_face/data/{name}", "<net/>")
    assert "MappingNetwork.xml has 6 bytes" in refused(capsys, wheel, tmp_path / "out")
    found = checkpoints.Checkpoint(network, "random-face", "stylegan-base", license="no")
    assert checkpoints.write(found, tmp_path / "out") == "no"
    assert said(tmp_path / "out")["family"] == "stylegan-base"


# To elsewhere ---------------------------------------------------------------------------------


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
        "cartoongan": CartoonGANGenerator(width=4, depth=1),
        "stylegan2": StyleGAN2Generator(32, 6, 8, 2, 256, 16, conv_clamp=256.0),
        "mobile-stylegan": mobile,
        "toongan": ToonGANGenerator(64, 6, 8, 2, (8, 8, 8, 4, 4)),
        "toon-generator": seed_toy(),
    }


def fresh(network) -> torch.Tensor:
    """Three of what a network draws: not the number nor the size it was traced or checked with."""
    torch.manual_seed(7)
    if isinstance(network, tuple(PHOTO_MODELS.values())):
        return torch.rand(3, 3, 40, 104) * 2 - 1
    z = torch.randn(3, 6)
    if isinstance(network, DCGANGenerator):
        return z
    return network.mapping(z)[:, None].repeat(1, network.num_ws, 1)


def by_onnxruntime(file, batch):
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    (entry,) = session.get_inputs()
    return torch.from_numpy(session.run(["picture"], {entry.name: batch.numpy()})[0])


def by_openvino(file, batch):
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
        assert run(folders / name, out) == 0
        return out

    return file


@pytest.mark.parametrize("runtime", [by_onnxruntime, by_openvino])
@pytest.mark.parametrize("name", families())
@torch.inference_mode()
def test_onnx_draws_what_torch_draws(folders, exported, name, runtime):
    pytest.importorskip("onnx")
    network = hub.load_model(folders / name, MODELS)
    batch = fresh(network)
    expected = export.select_part(network)[0](batch)
    assert expected.std() > 0.01
    assert (runtime(exported(name, ".onnx"), batch) - expected).abs().max() <= 1e-3


@pytest.mark.parametrize("name", families())
@torch.inference_mode()
def test_openvino_s_files_draw_what_torch_draws(folders, exported, name):
    network = hub.load_model(folders / name, MODELS)
    batch = fresh(network)
    expected = export.select_part(network)[0](batch)
    file = exported(name, ".xml")
    assert file.with_suffix(".bin").is_file()
    assert (by_openvino(file, batch) - expected).abs().max() <= 1e-3


def test_a_file_names_what_goes_in_and_its_license(folders, exported):
    onnx = pytest.importorskip("onnx")
    model = onnx.load(exported("animegan tf1", ".onnx"))
    (photo,) = model.graph.input
    axes = [axis.dim_param or axis.dim_value for axis in photo.type.tensor_type.shape.dim]
    assert (photo.name, axes) == ("photo", ["batch", 3, "height", "width"])
    props = {entry.key: entry.value for entry in model.metadata_props}
    assert (props["title"], props["license"]) == ("Toy", "CC0-1.0")


def test_what_is_said_of_a_file(tmp_path, capsys):
    save_style(tmp_path / "ours")
    assert run(tmp_path / "ours", tmp_path / "toy.xml") == 0
    told = capsys.readouterr().out
    assert "toy.xml: photo (batch x 3 x height x width) -> image; OpenVINO differs by" in told
    out = tmp_path / "toy.xml"
    assert "exists already; --overwrite replaces it" in refused(
        capsys, tmp_path / "ours", out, status=2
    )
    out.unlink()  # its .bin is there still
    assert "toy.bin' exists already" in refused(capsys, tmp_path / "ours", out, status=2)
    assert run(tmp_path / "ours", out, "--overwrite") == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["ours", "toy.bin", "toy.xml"]


@pytest.mark.parametrize("error", [None, float("nan")])
def test_a_file_that_draws_something_else_is_not_kept(tmp_path, capsys, monkeypatch, error):
    write = export.write_ir

    def spoilt(part, *rest):
        part.out_layer[0].weight.mul_(1.5)
        write(part, *rest)
        part.out_layer[0].weight.div_(1.5)

    monkeypatch.setattr(export, "write_ir", spoilt)
    if error is not None:
        monkeypatch.setattr(export, "compute_error", lambda *_: error)
    save_style(tmp_path / "ours")
    told = refused(capsys, tmp_path / "ours", tmp_path / "toy.xml")
    number = told.partition("toy.xml: the output of OpenVINO differs by ")[2].split()[0]
    assert number == "nan" if error is not None else 0.01 < float(number) < 2
    assert "more than 0.001; the file was not kept" in told
    assert [path.name for path in tmp_path.iterdir()] == ["ours"]


def test_onnx_without_its_package(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    save_style(tmp_path / "ours")
    told = refused(capsys, tmp_path / "ours", tmp_path / "toy.onnx")
    assert told.endswith("toy.onnx: the package onnx is not installed; run: pip install onnx")


def test_without_onnx_runtime_openvino_reads_the_file(tmp_path, capsys, monkeypatch):
    pytest.importorskip("onnx")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    save_style(tmp_path / "ours")
    assert run(tmp_path / "ours", tmp_path / "toy.onnx") == 0
    assert "-> image; OpenVINO differs by" in capsys.readouterr().out


# What is refused ------------------------------------------------------------------------------


def wheel(files) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name in files:
            archive.writestr(name, b"x")
    return data.getvalue()


# Files that would run something in a careless reader: name -> bytes, and what is said.
HOSTILE = {
    "bryandlee's": (lambda to: stored({"block_a.0.1.weight": touch(to)}, True), "refers to posix"),
    "ptran1203's": (
        lambda to: stored({"model_state_dict": {"conv_block1.0": touch(to)}}),
        "refers to posix.system",
    ),
    "its epoch": (
        lambda to: stored({"model_state_dict": public("ptran1203"), "epoch": touch(to)}, True),
        "refers to posix.system",
    ),
    "rosinality's": (lambda to: stored({"g_ema": {}, "args": touch(to)}, True), "refers to posix"),
    "NVlabs'": (lambda to: pickle.dumps({"G_ema": touch(to)}), "refers to posix.system"),
    "Toon-Generator": (lambda to: stored({"gen.0.weight": touch(to)}), "refers to posix.system"),
    "whole network": (
        lambda to: stored(AnimeGANGenerator(width=1, depth=1), True),
        "save its state_dict instead",
    ),
    "array": (lambda to: saved_array(np.array([touch(to)], dtype=object)), "CartoonGAN"),
    "protocol 0": (lambda to: pickle.dumps(touch(to), 0), "found a file that starts with b'cposix"),
    "module": (lambda to: f"open({str(to)!r}, 'w')".encode(), "found a file that starts with"),
    "wheel": (
        lambda to: wheel(["../../canary", "random_face/data/SynthesisNetwork.xml"]),
        "not the random-face wheel",
    ),
    "keys without end": (
        lambda to: stored(
            {"out_layer.0.weight": torch.ones(3, 4, 1, 1), "block_a": 1}
            | {f"block_c.{i}.layers.3.weight": 0 for i in range(20_000)},
            True,
        ),
        "block_a is unexpected",
    ),
    "width without end": (
        lambda to: stored(
            {
                "block_a.0": 1,
                "out_layer.0.weight": torch.ones(1).expand(1, 1, 1, 1).new_empty(0, 2**40, 1, 1),
            },
            True,
        ),
        "block_a.0 is unexpected",
    ),
}


def saved_array(array) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=True)
    return file.getvalue()


@pytest.mark.parametrize("which", HOSTILE)
def test_a_hostile_file_is_refused_and_runs_nothing(tmp_path, capsys, which, own_heap):
    build, words = HOSTILE[which]
    canary, place = tmp_path / "canary", tmp_path / "in"
    place.mkdir()
    (place / "paprika.pt").write_bytes(build(canary))
    before, modules = time.thread_time(), set(sys.modules)
    told = refused(capsys, place / "paprika.pt", tmp_path / "out" / "it")
    assert time.thread_time() - before < 1
    assert words in told and len(told) < 900
    assert set(sys.modules) == modules
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def without(state, key):
    return {k: v for k, v in state.items() if k != key}


B, P = public("bryandlee"), public("ptran1203")
# What is in a file, and what is said of it.
UNFIT = {
    "missing": (without(B, "block_c.3.layers.3.bias"), "block_c.3.layers.3.bias is missing"),
    "missing residual": (
        without(B, "block_c.1.layers.3.weight"),
        "block_c.1.layers.3.bias is missing|block_c.1.layers.3.weight is missing",
    ),
    "missing last": (without(B, "out_layer.0.weight"), "out_layer.0.weight is missing or not"),
    "unexpected": (B | {"block_f.0": torch.ones(1)}, "block_f.0 is unexpected"),
    "unprintable": (B | {"block_f\x1b[2J": torch.ones(1)}, r"'block_f\x1b[2J' is unexpected"),
    "shape": (
        B | {"block_d.1.2.bias": torch.ones(3)},
        "block_d.1.2.bias has shape (3,), expected (16,)",
    ),
    "shape of the last": (
        B | {"out_layer.0.weight": torch.ones(3)},
        "block_a.0.1.weight has shape (4, 3, 7, 7), expected (32, 3, 7, 7)",
    ),
    "no tensor": (
        B | {"block_d.1.2.bias": 1.0},
        "block_d.1.2.bias is of type float, expected a tensor",
    ),
    "not finite": (
        B | {"block_d.1.2.bias": torch.full((16,), torch.inf)},
        "block_d.1.2.bias holds values that are not finite numbers",
    ),
    "too large": (
        B | {"block_d.1.2.bias": torch.full((16,), 1e5)},
        "block_d.1.2.bias has values too large for 16 bits; --fp32 keeps them",
    ),
    "missing of ptran1203's": (
        without(P, "res_blocks.2.conv_block2.ins_norm.bias"),
        "res_blocks.2.conv_block2.ins_norm.bias is missing",
    ),
    "early version 2": (
        P | {"upsample1.0.conv_block.conv.weight": torch.ones(1)},
        "the checkpoint is of an early version 2, which normalizes each pixel separately",
    ),
    "version 1": (
        {"model_state_dict": {"encode_blocks.0.conv.weight": torch.ones(1)}},
        "found a checkpoint of ptran1203's version 1 (AnimeGAN of 2019), which Toonify does not",
    ),
    "CartoonGAN": ({"conv01_1.weight": torch.ones(1)}, "conv01_1.weight has shape (1,), expected"),
    "discriminator of rosinality's": (
        {"d": {}},
        "the file holds only a discriminator, expected a generator, g_ema or g",
    ),
    "discriminator of NVlabs'": (
        {"D": {}},
        "the file holds only a discriminator, expected a generator, G_ema or G",
    ),
    "conv_clamp": (
        {"G": nvlabs_generator(), "conv_clamp": "x"},
        "conv_clamp is x, expected a number above 0",
    ),
    "StyleGAN2's key": (
        {"G": without(nvlabs_generator(), "synthesis.b8.conv0.bias")},
        "G with NVlabs' keys: synthesis.b8.conv0.bias is missing",
    ),
    "StyleGAN2's numbers": (
        {"G": nvlabs_generator() | {"mapping.w_avg": torch.full((24,), torch.nan)}},
        "mapping.w_avg ha",
    ),
    "Toon-Generator": ({"gen.0.weight": torch.ones(1)}, "gen.0.weight has shape (1,), expected"),
    "others": (
        {"encoder.0": torch.ones(1), "decoder.0": 1, "latent": 1, "more": 1},
        "found a checkpoint with the keys encoder.0, decoder.0, latent, ...; expected one of"
        " animegan2-pytorch"
        " (bryandlee's AnimeGANv2 (.pt)), pytorch-animegan",
    ),
    "no dict": ([1], "found a checkpoint that holds a list; expected one of"),
    "nothing": ({}, "found a checkpoint with no keys; expected one of"),
}


@pytest.mark.parametrize("which", UNFIT)
def test_what_does_not_fit_is_named(tmp_path, capsys, which):
    held, words = UNFIT[which]
    torch.save(held, tmp_path / "some.pt")
    told = refused(capsys, tmp_path / "some.pt", tmp_path / "out")
    assert f"{tmp_path / 'some.pt'}: " in told or which in ("too large", "StyleGAN2's numbers")
    assert any(part in told for part in words.split("|"))
    assert [path.name for path in tmp_path.iterdir()] == ["some.pt"]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "found an empty file; expected one of"),
        (b"\x89HDF\r\n", "found an HDF5 file, as Keras writes; expected one of"),
        (
            b"\x93NUMPY\1",
            "found a single NumPy array; CartoonGAN's weights are a folder of them; expected",
        ),
        (b"\x10\0\0\0\0\0\0\0{}", "found a safetensors file without the config.json"),
        (b"<html>", "found a file that starts with b'<html>'; expected one of animegan2-pytorch"),
        (b"PK\3\4", "expected a checkpoint of tensors, but"),
        (b"\x80\4N.", "found a checkpoint that holds a NoneType"),
        (bytes(257) + b"ustar", "the file is a tar of PyTorch 0.1"),
    ],
)
def test_what_is_no_checkpoint_is_told(tmp_path, capsys, data, words):
    (tmp_path / "some.bin").write_bytes(data)
    told = refused(capsys, tmp_path / "some.bin", tmp_path / "out")
    assert f"{tmp_path / 'some.bin'}: " in told and words in told
    if words.startswith("found"):
        assert told.endswith("--kind sets the kind if it is not detected")


def test_folders_that_are_no_checkpoint_are_told(tmp_path, capsys):
    place = tmp_path / "weights"
    place.mkdir()
    assert "found a folder with no files; expected one of" in refused(
        capsys, place, tmp_path / "out"
    )
    for name in ("a.txt", "b.txt", "c.txt", "d.txt"):
        (place / name).touch()
    told = refused(capsys, place, tmp_path / "out")
    assert "found a folder with the files a.txt, b.txt, c.txt, ...; expected one of" in told
    (place / "conv01.npy").touch()
    told = refused(capsys, place, tmp_path / "out")
    assert f"{place}: conv01.npy: not a complete array of numbers" in told


def test_kind_is_taken_at_its_word(tmp_path, capsys):
    state = {f"mine.{key}": value for key, value in B.items()}
    torch.save(state, tmp_path / "some.pt")
    out = tmp_path / "out"
    words = {
        "animegan2-pytorch": "out_layer.0.weight is missing or not a tensor",
        "pytorch-animegan": "decode_blocks.0.weight is missing or not a tensor",
        "cartoongan": "conv01_1.weight is missing or not a tensor",
        "rosinality": "expected a dict with one of g_ema, g, d",
        "nvlabs": "expected a dict with one of G, D, G_ema",
        "toon-generator": "mine.block_a.0.1.weight is unexpected",
        "random-face": "found a checkpoint, expected the random-face wheel",
    }
    assert words.keys() == KINDS.keys()
    for kind, told in words.items():
        assert told in refused(capsys, tmp_path / "some.pt", out, "--kind", kind)
    # Recognized by its content as rosinality's, it is read as what it is said to be.
    torch.save(B | {"g": {}}, tmp_path / "some.pt")
    told = refused(capsys, tmp_path / "some.pt", out, "--kind", "animegan2-pytorch")
    assert "g is unexpected" in told
    torch.save([1], tmp_path / "some.pt")
    for kind in ("animegan2-pytorch", "toon-generator"):
        told = refused(capsys, tmp_path / "some.pt", out, "--kind", kind)
        assert "the file holds a list, expected a state dict" in told


def test_wrong_usage_is_told(tmp_path, capsys):
    ours, file, out = save_style(tmp_path / "ours"), tmp_path / "some.pt", tmp_path / "out"
    torch.save(B, file)
    (tmp_path / "note").touch()

    def told(*words):
        return refused(capsys, *words, status=2).partition("error: ")[2]

    assert told(ours, "a.onnx", "--license", "CC0", "--fp32") == (
        "--license, --fp32: only for a checkpoint as SOURCE"
    )
    said = told(ours, out, "--to", "nvlabs")
    assert "with --to nvlabs expected one of .pt, .pth, .pkl" in said
    said = told(ours, "other.pkl", "--to", "rosinality")
    assert "with --to rosinality expected one of .pt, .pth" in said and ".pkl" not in said[30:]
    assert "is a checkpoint: convert it to a folder first" in told(file, "a.onnx")
    assert "is a checkpoint: convert it to a folder first" in told("paprika", "a.xml")
    for source in (ours, "comic"):
        assert "is a converted folder already: expected an OUT in .onnx or .xml" in told(
            source, out
        )
    assert "expected a folder, or --to and a folder as SOURCE" in told(file, "other.pt")
    assert "note' is a file: expected a folder" in told(file, tmp_path / "note", "--overwrite")
    (tmp_path / "a.onnx").mkdir()
    assert "is a folder: expected a file" in told(ours, tmp_path / "a.onnx", "--overwrite")
    assert "ours' exists already; --overwrite replaces it" in told(file, ours)
    assert "Invalid value for '--to': 'keras' is not one of 'rosinality'" in told(
        ours, "a.pt", "--to", "keras"
    )
    assert "Invalid value for '--kind': 'keras' is not one of" in told(file, out, "--kind", "keras")


def test_other_mistakes_are_told(tmp_path, capsys):
    ours, file, out = save_style(tmp_path / "ours"), tmp_path / "some.pt", tmp_path / "out"
    torch.save(B, file)
    assert "none.pt: no such file or folder, and not one of the published weights celeba" in (
        refused(capsys, tmp_path / "none.pt", out)
    )
    assert "--upsample 'cubic': expected one of tf1, align_corners, half_pixel" in refused(
        capsys, file, out, "--upsample", "cubic"
    )
    torch.save({"g": rosinality_generator()}, tmp_path / "g.pt")
    assert "--upsample tf1: expected an AnimeGANv2 network, found rosinality's" in refused(
        capsys, tmp_path / "g.pt", out, "--upsample", "tf1"
    )
    assert "is a network of type AnimeGANGenerator, expected StyleGAN2Generator" in refused(
        capsys, ours, tmp_path / "a.pt", "--to", "nvlabs"
    )
    Encoder(num_ws=4, w_dim=8, free_rows=1, hidden=8, width=4).save_pretrained(tmp_path / "e")
    assert "_class_name is 'Encoder', expected one of AnimeGANGenerator" in refused(
        capsys, tmp_path / "e", tmp_path / "a.onnx"
    )
    assert "style='nobody': expected a folder" in refused(capsys, "nobody", tmp_path / "a.xml")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").touch()
    assert "holds thesis.tex, which no conversion writes: expected a new" in refused(
        capsys, file, tmp_path / "mine", "--overwrite"
    )
    assert (tmp_path / "mine" / "thesis.tex").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_place_that_cannot_be_written(tmp_path, capsys):
    torch.save(B, tmp_path / "some.pt")
    (tmp_path / "locked").mkdir(mode=0o500)
    assert "Permission denied" in refused(capsys, tmp_path / "some.pt", tmp_path / "locked" / "out")


def test_overwriting_leaves_the_new_alone(tmp_path):
    torch.save(B, tmp_path / "some.pt")
    out = save_style(tmp_path / "out")
    assert run(tmp_path / "some.pt", out, "--fp32", "--overwrite") == 0
    assert sorted(path.name for path in out.iterdir()) == [hub.CONFIG, hub.WEIGHTS[1], hub.STYLE]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "some.pt"]


def prefixed(name, state):
    return {f"{name}.{key}": tensor for key, tensor in state.items()}


ENVELOPES = {
    "several GPUs": (prefixed("module", B), "module"),
    "torch.compile": (prefixed("_orig_mod", B), "_orig_mod"),
    "Lightning": (
        {"state_dict": prefixed("generator", B) | prefixed("discriminator", B), "epoch": 3},
        "state_dict.generator",
    ),
    "CycleGAN": ({"netG": prefixed("module", B)}, "netG.module"),
    "the EMA weights first": ({"params": {"block_a.0": 1}, "params_ema": B}, "params_ema"),
    "a pair": ({"G": B, "D": {"x": torch.ones(1)}, "iter": 5}, "G"),
    "deeper": ({"model": {"ema": {"state_dict": {"net": P}}}}, "model.ema.state_dict.net"),
}


@pytest.mark.parametrize("which", ENVELOPES)
def test_what_trainers_wrap_around_a_network_is_taken_off(tmp_path, capsys, which):
    held, words = ENVELOPES[which]
    torch.save(held, tmp_path / "some.pt")
    assert run(tmp_path / "some.pt", tmp_path / "out", "--fp32") == 0
    assert f"the network is {words} of the checkpoint\n" in capsys.readouterr().out
    first = next(tensor for key, tensor in (P if which == "deeper" else B).items())
    assert torch.equal(next(iter(load_model_state(tmp_path / "out").values())), first)


def load_model_state(folder):
    return hub.load_model(folder, ANIMEGAN_MODELS).state_dict()


@pytest.mark.parametrize("wrapped", ["bare", "pSp", "several GPUs"])
def test_rosinality_s_generator_comes_out_of_other_trainers_files(tmp_path, wrapped):
    state, mean = rosinality_generator(), noise(1)[0]
    held = {
        "bare": state,
        "pSp": {
            "state_dict": prefixed("decoder", state) | {"encoder.body": fir()},
            "latent_avg": mean,
        },
        "several GPUs": {
            "g_ema": prefixed("module", state),
            "d": prefixed("module", rosinality_critic()),
        },
    }[wrapped]
    torch.save(held, tmp_path / "some.pt")
    found = checkpoints.read(str(tmp_path / "some.pt"))
    assert (found.kind, found.family) == ("rosinality", "stylegan")
    assert torch.equal(found.network.synthesis.b4.const, state["input.input"][0])
    if wrapped == "pSp":
        assert torch.equal(found.network.mapping.w_avg, mean)


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
    ],
)
@pytest.mark.parametrize("zipped", [True, False])
def test_plain_data_beside_a_network_is_read(tmp_path, held, kind, zipped):
    torch.save({"model_state_dict": P, "more": [held]}, tmp_path / "some.pt")
    assert checkpoints.read(str(tmp_path / "some.pt")).kind == "pytorch-animegan"
    (found,) = unpickling.read_torch(stored({"more": [held]}, zipped))["more"]
    assert isinstance(found, kind)
    assert np.array_equal(found, held) if kind is np.ndarray else found in (held, str(held), [1, 2])


def test_a_safetensors_file_whose_header_s_length_begins_as_a_pickle_does(tmp_path, capsys):
    (tmp_path / "some.bin").write_bytes(b"\x80\1\0\0\0\0\0\0{")
    assert "found a safetensors file without" in refused(
        capsys, tmp_path / "some.bin", tmp_path / "out"
    )
