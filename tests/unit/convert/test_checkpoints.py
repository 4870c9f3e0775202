"""`toonify convert`: what is read, written and refused; long because of its table of formats."""

import functools
import io
import json
import os
import pickle
import random
import sys
import time
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tests.conftest import save_style
from tests.fixtures.convert_command import convert, list_names, read_style, refuse
from tests.fixtures.pickles import stored, touch
from tests.unit.convert.test_animegan import public
from tests.unit.convert.test_stylegan2 import (
    drawn_by_rosinality,
    near,
    noise,
    nvlabs_critic,
    nvlabs_generator,
    rosinality_critic,
    rosinality_generator,
    same,
)
from tests.unit.models.test_toongan import DCGAN_TOY, seed_toy
from toonify import hub
from toonify.convert import checkpoints, dcgan, random_face
from toonify.convert.formats import KINDS
from toonify.models import (
    MODELS,
    AnimeGANGenerator,
    Encoder,
    MobileStyleGAN,
    StyleGAN2Generator,
)
from training.gan.discriminators import StyleGAN2Discriminator

B, P = public("bryandlee"), public("ptran1203")


def without(state, key):
    return {k: v for k, v in state.items() if k != key}


# StyleGAN2 and others -------------------------------------------------------------------------


@torch.inference_mode()
def test_rosinalitys_networks_are_read_and_written(tmp_path, capsys):
    state, critic, mean = rosinality_generator(), rosinality_critic(), noise(1)[0]
    held = {"g": {}, "g_ema": state, "d": critic, "latent_avg": mean}
    torch.save(held, tmp_path / "faces.pt")
    assert convert(tmp_path / "faces.pt", tmp_path / "out", "--fp32") == 0
    network, z = hub.load_model(tmp_path / "out", MODELS), noise()
    assert near(network(z, truncation=0.7), drawn_by_rosinality(state, z, mean, 0.7))
    assert read_style(tmp_path / "out")["family"] == "stylegan"
    assert "the discriminator is critic.safetensors" in capsys.readouterr().out
    D = StyleGAN2Discriminator(32, 512, 48, mbstd_group=2)
    D.load_state_dict(load_file(tmp_path / "out" / "critic.safetensors"))

    back = tmp_path / "back.pt"
    assert convert(tmp_path / "out", back, "--to", "rosinality") == 0
    assert f"{back}: g_ema, latent_avg, d" in capsys.readouterr().out
    again = torch.load(back, weights_only=True)
    assert same(again["g_ema"], state) and same(again["d"], critic)
    assert torch.equal(again["latent_avg"], mean)


def test_nvlabs_networks_are_read_and_written(tmp_path):
    state, critic = nvlabs_generator(), nvlabs_critic()
    held = {"G": {}, "G_ema": state, "D": critic, "conv_clamp": 256.0}
    torch.save(held, tmp_path / "faces.pt")
    assert convert(tmp_path / "faces.pt", tmp_path / "out", "--fp32") == 0
    assert json.loads((tmp_path / "out" / hub.CONFIG).read_text())["conv_clamp"] == 256.0
    assert convert(tmp_path / "out", tmp_path / "back.pt", "--to", "nvlabs") == 0
    again = torch.load(tmp_path / "back.pt", weights_only=True)
    assert same(again["G_ema"], state) and same(again["D"], critic)
    assert again["conv_clamp"] == 256.0


def test_a_value_that_rosinality_does_not_store_is_reported(tmp_path, capsys):
    StyleGAN2Generator(32, 8, 8, 1, 256, 8, conv_clamp=256.0).save_pretrained(tmp_path / "ours")
    assert convert(tmp_path / "ours", tmp_path / "a.pt", "--to", "rosinality") == 0
    assert "rosinality has no conv_clamp, which is 256 here" in capsys.readouterr().out
    assert "d" not in torch.load(tmp_path / "a.pt", weights_only=True)


@torch.inference_mode()
def test_the_public_toon_generator(tmp_path, monkeypatch):
    toy = functools.partial(dcgan.DCGANGenerator, **DCGAN_TOY)
    monkeypatch.setattr(dcgan, "DCGANGenerator", toy)
    network, z = seed_toy(), torch.randn(2, 6)
    torch.save(network.state_dict(), tmp_path / "G_arch.pth")
    assert convert(tmp_path / "G_arch.pth", tmp_path / "out", "--fp32") == 0
    assert torch.equal(hub.load_model(tmp_path / "out", MODELS)(z), network(z))
    assert read_style(tmp_path / "out")["family"] == "toongan"


def test_the_wheel_and_its_folder_are_recognized(tmp_path, capsys):
    folder, wheel, network = tmp_path / "files", tmp_path / "some.zip", MobileStyleGAN((8, 8), ())
    folder.mkdir()
    (folder / "SynthesisNetwork.xml").write_text("<net/>")
    assert "MappingNetwork.xml is missing" in refuse(capsys, folder, tmp_path / "out")
    with zipfile.ZipFile(wheel, "w") as archive:
        for name in random_face.FILES:
            archive.writestr(f"random_face/data/{name}", "<net/>")
    assert "MappingNetwork.xml has 6 bytes" in refuse(capsys, wheel, tmp_path / "out")
    found = checkpoints.Checkpoint(network, "random-face", "stylegan-base", license="no")
    assert checkpoints.write(found, tmp_path / "out") == "no"
    assert read_style(tmp_path / "out")["family"] == "stylegan-base"


# Refused --------------------------------------------------------------------------------------


def wheel(files) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name in files:
            archive.writestr(name, b"x")
    return data.getvalue()


# Files that run code in a careless reader: name -> function to their bytes, message.
def hold(value, zipped=False):
    """A function from the path of the canary to a checkpoint with it in `value`."""
    return lambda to: stored(value(to), zipped)


HOSTILE = {
    "bryandlee's": (hold(lambda to: {"block_a.0.1.weight": touch(to)}, True), "refers to posix"),
    "ptran1203's": (
        hold(lambda to: {"model_state_dict": {"conv_block1.0": touch(to)}}),
        "refers to posix.system",
    ),
    "epoch": (
        hold(lambda to: {"model_state_dict": P, "epoch": touch(to)}, True),
        "refers to posix.system",
    ),
    "rosinality's": (hold(lambda to: {"g_ema": {}, "args": touch(to)}, True), "refers to posix"),
    "NVlabs'": (lambda to: pickle.dumps({"G_ema": touch(to)}), "refers to posix.system"),
    "Toon-Generator": (hold(lambda to: {"gen.0.weight": touch(to)}), "refers to posix.system"),
    "whole network": (
        hold(lambda to: AnimeGANGenerator(width=1, depth=1), True),
        "save its state_dict instead",
    ),
    "array": (lambda to: saved_array(np.array([touch(to)], dtype=object)), "CartoonGAN"),
    "protocol 0": (lambda to: pickle.dumps(touch(to), 0), "a file that starts with b'cposix"),
    "module": (lambda to: f"open({str(to)!r}, 'w')".encode(), "found a file that starts with"),
    "wheel": (
        lambda to: wheel(["../../canary", "random_face/data/SynthesisNetwork.xml"]),
        "not the random-face wheel",
    ),
    "20,000 blocks": (
        hold(
            lambda to: (
                {"out_layer.0.weight": torch.ones(3, 4, 1, 1), "block_a": 1}
                | {f"block_c.{i}.layers.3.weight": 0 for i in range(20_000)}
            ),
            True,
        ),
        "block_a is unexpected",
    ),
    "width of 2**40": (
        hold(
            lambda to: {
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
    message = refuse(capsys, place / "paprika.pt", tmp_path / "out" / "it")
    assert time.thread_time() - before < 1
    assert words in message and len(message) < 900
    new = set(sys.modules) - modules  # a zip's names are decoded by a codec that loads on first use
    assert all(name.startswith("encodings.") for name in new)
    assert list_names(tmp_path) == ["in"]


# Content of a file -> message.
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
def test_a_checkpoint_that_does_not_fit_is_refused(tmp_path, capsys, which):
    held, words = UNFIT[which]
    file = tmp_path / "some.pt"
    torch.save(held, file)
    message = refuse(capsys, file, tmp_path / "out")
    assert f"{file}: " in message or which in ("too large", "StyleGAN2's numbers")
    assert any(part in message for part in words.split("|"))
    assert list_names(tmp_path) == ["some.pt"]


def test_a_damaged_wheel_is_refused(tmp_path, monkeypatch):
    """Whatever byte of it is another one; a compressed stream ends in errors of its own."""
    monkeypatch.setattr(random_face, "FILES", {"MappingNetwork.xml": 300})
    monkeypatch.setattr(random_face, "read_folder", lambda folder: "whole")
    name, content = "random_face/data/MappingNetwork.xml", random.Random(0).randbytes(150) * 2
    wheel = tmp_path / "some.whl"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    data = wheel.read_bytes()
    assert random_face.convert(wheel) == "whole"
    start = 30 + len(name)
    refused = set()
    for at in range(len(data)):
        for flip in (0xFF, 0x01):
            wheel.write_bytes(data[:at] + bytes([data[at] ^ flip]) + data[at + 1 :])
            try:
                assert random_face.convert(wheel) == "whole"  # a date, for instance
            except random_face.ConversionError as error:
                assert str(wheel) in str(error)
                refused.add(at)
    assert {start, start + 20, start + 100} <= refused and len(refused) > 150


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "found an empty file; expected one of"),
        (b"\x89HDF\r\n", "found an HDF5 file, as Keras writes; expected one of"),
        (
            b"\x93NUMPY\1",
            "found a single NumPy array; CartoonGAN's weights are a folder of them; expected one",
        ),
        (b"\x10\0\0\0\0\0\0\0{}", "the safetensors file is damaged ("),
        (b"\x80\1\0\0\0\0\0\0{", "the safetensors file is damaged ("),
        (b"\x08\7\x12\7pytorch", "found an ONNX file; expected one of"),
        (b"\x1c\0\0\0TFL3", "found a TensorFlow Lite file; expected one of"),
        (b"<html>", "found a file that starts with b'<html>'; expected one of animegan2-pytorch"),
        (b"PK\3\4", "expected a checkpoint of tensors, but"),
        (b"\x80\4N.", "found a checkpoint that holds a NoneType"),
        (bytes(257) + b"ustar", "the file is a tar of PyTorch 0.1"),
    ],
)
def test_another_file_is_refused(tmp_path, capsys, data, words):
    (tmp_path / "some.bin").write_bytes(data)
    message = refuse(capsys, tmp_path / "some.bin", tmp_path / "out")
    assert f"{tmp_path / 'some.bin'}: " in message and words in message
    if words.startswith("found"):
        assert message.endswith("--kind sets the kind if it is not detected")


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ("", "found a folder with no files; expected one of"),
        ("abcd", "found a folder with the files a, b, c, ...; expected one of"),
        (["checkpoint", "G.data-00000-of-00001", "G.index"], "found a TensorFlow checkpoint"),
        (["model.safetensors", "optimizer.bin"], "expected the .safetensors file in it"),
        (["pytorch_model.bin", "random_states_0.pkl"], "expected the .bin file in it"),
        (["model_index.json", "unet"], "found a pipeline of diffusers"),
        (["conv01.npy"], "weights: conv01.npy: not a complete array of numbers"),
    ],
)
def test_another_folder_is_refused(tmp_path, capsys, names, words):
    place = tmp_path / "weights"
    place.mkdir()
    for name in names:
        (place / name).touch()
    assert words in refuse(capsys, place, tmp_path / "out")


UNKNOWN = {"mine.block_z.0.1.weight": torch.ones(1)}
KIND_MESSAGES = {
    "animegan2-pytorch": "out_layer.0.weight is missing or not a tensor",
    "pytorch-animegan": "decode_blocks.0.weight is missing or not a tensor",
    "cartoongan": "conv01_1.weight is missing or not a tensor",
    "rosinality": "expected a dict with one of g_ema, g, d",
    "nvlabs": "expected a dict with one of G, D, G_ema",
    "toon-generator": "mine.block_z.0.1.weight is unexpected",
    "random-face": "found a checkpoint, expected the random-face wheel",
}


@pytest.mark.parametrize(
    ("held", "kind", "words"),
    [
        *((UNKNOWN, kind, words) for kind, words in KIND_MESSAGES.items()),
        (B | {"g": {}}, "animegan2-pytorch", "g is unexpected"),  # detected as rosinality's
        ([1], "animegan2-pytorch", "the file holds a list, expected a state dict"),
        ([1], "toon-generator", "the file holds a list, expected a state dict"),
    ],
)
def test_kind_replaces_detection(tmp_path, capsys, held, kind, words):
    assert KIND_MESSAGES.keys() == KINDS.keys()
    torch.save(held, tmp_path / "some.pt")
    assert words in refuse(capsys, tmp_path / "some.pt", tmp_path / "out", "--kind", kind)


@pytest.fixture
def place(tmp_path, monkeypatch):
    """The working directory, with a folder, checkpoints, another file and other folders."""
    monkeypatch.chdir(tmp_path)
    save_style(tmp_path / "ours")
    Encoder(num_ws=4, w_dim=8, free_layers=1, hidden=8, width=4).save_pretrained(
        tmp_path / "encoder"
    )
    torch.save(B, "some.pt")
    torch.save({"g": rosinality_generator()}, "g.pt")
    (tmp_path / "note").touch()
    for name in ("a.onnx", "mine"):
        (tmp_path / name).mkdir()
    (tmp_path / "mine" / "thesis.tex").touch()
    return tmp_path


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            "ours b.onnx --license CC0 --fp32",
            "error: --license, --fp32: only for a checkpoint as SOURCE",
        ),
        ("ours out --to nvlabs", "with --to nvlabs expected one of .pt, .pth, .pkl"),
        ("ours other.pkl --to rosinality", "with --to rosinality expected one of .pt, .pth"),
        ("some.pt b.onnx", "is a checkpoint: convert it to a folder first"),
        ("paprika b.xml", "is a checkpoint: convert it to a folder first"),
        ("ours out", "is a converted folder already: expected an OUT in .onnx or .xml"),
        ("comic out", "is a converted folder already: expected an OUT in .onnx or .xml"),
        ("some.pt other.pt", "expected a folder, or --to and a folder as SOURCE"),
        ("some.pt note --overwrite", "note' is a file: expected a folder"),
        ("ours a.onnx --overwrite", "is a folder: expected a file"),
        ("some.pt ours", "ours' exists already; --overwrite replaces it"),
        ("ours b.pt --to keras", "Invalid value for '--to': 'keras' is not one of 'rosinality'"),
        ("some.pt out --kind keras", "Invalid value for '--kind': 'keras' is not one of"),
    ],
)
def test_wrong_usage_is_refused(place, capsys, words, message):
    found = refuse(capsys, *words.split(), status=2)
    assert message in found
    assert "rosinality expected" not in message or ".pkl" not in found.partition(": with")[2]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            "none.pt out",
            "none.pt: no such file or folder, and not one of the published weights celeba",
        ),
        (
            "some.pt out --upsample cubic",
            "--upsample 'cubic': expected one of tf1, align_corners, half_pixel",
        ),
        (
            "g.pt out --upsample tf1",
            "--upsample tf1: expected an AnimeGANv2 network, found rosinality's",
        ),
        (
            "ours b.pt --to nvlabs",
            "is a network of type AnimeGANGenerator, expected StyleGAN2Generator",
        ),
        ("encoder b.onnx", "_class_name is 'Encoder', expected one of AnimeGANGenerator"),
        ("nobody b.xml", "style='nobody': expected a folder"),
        (
            "some.pt mine --overwrite",
            "'mine' contains thesis.tex, not from a conversion: expected a new",
        ),
    ],
)
def test_other_mistakes_are_refused(place, capsys, words, message):
    before = list_names(place)
    assert message in refuse(capsys, *words.split())
    assert list_names(place) == before and (place / "mine" / "thesis.tex").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written(tmp_path, capsys):
    torch.save(B, tmp_path / "some.pt")
    (tmp_path / "locked").mkdir(mode=0o500)
    assert "Permission denied" in refuse(capsys, tmp_path / "some.pt", tmp_path / "locked" / "out")


def test_overwrite_replaces_the_whole_folder(tmp_path):
    torch.save(B, tmp_path / "some.pt")
    out = save_style(tmp_path / "out")
    assert convert(tmp_path / "some.pt", out, "--fp32", "--overwrite") == 0
    assert list_names(out) == [hub.CONFIG, hub.WEIGHTS[1], hub.STYLE]
    assert list_names(tmp_path) == ["out", "some.pt"]
