"""Checkpoints as trainers save them: opened, or refused by the name of their network."""

import collections
import random

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from tests.fixtures.convert_command import convert
from tests.unit.convert.test_animegan import public
from tests.unit.convert.test_cartoongan import public as cartoongan
from tests.unit.convert.test_stylegan2 import (
    fir,
    noise,
    nvlabs_critic,
    nvlabs_generator,
    rosinality_critic,
    rosinality_generator,
    same,
)
from toonify.convert import checkpoints, envelopes

B, P, C = public("bryandlee"), public("ptran1203"), cartoongan()
N, R = nvlabs_generator(), rosinality_generator()
MEAN = noise(1)[0]
OTHER = {key: tensor + 1 for key, tensor in B.items()}  # weights that must not be taken
X = {"x.weight": torch.ones(1)}
ADAM = {"state": {0: {"step": 1, "exp_avg": torch.ones(1)}}, "param_groups": [{"lr": 1e-4}]}


def prefixed(name, state):
    return {f"{name}.{key}": tensor for key, tensor in state.items()}


def undotted(state):
    return {key.replace(".", ""): tensor for key, tensor in state.items()}


# Name -> checkpoint, the state dict in it that is right, and what the notes say of its place.
OPENED = {
    "several GPUs": (prefixed("module", B), B, "module"),
    "torch.compile": (prefixed("_orig_mod", B), B, "_orig_mod"),
    "compiled on several GPUs": (prefixed("module._orig_mod", P), P, "module._orig_mod"),
    "fully sharded": (prefixed("_fsdp_wrapped_module", B), B, "_fsdp_wrapped_module"),
    "Lightning": (
        {"state_dict": prefixed("generator", B) | prefixed("discriminator", X), "epoch": 3},
        B,
        "state_dict.generator",
    ),
    "Lightning, compiled, under another name": (
        {"state_dict": prefixed("stylizer._orig_mod", C), "hyper_parameters": {"lr": 1e-4}},
        C,
        "state_dict.stylizer._orig_mod",
    ),
    "CycleGAN": ({"netG": prefixed("module", B), "netD": X}, B, "netG.module"),
    "a pair": ({"G": B, "D": X, "iter": 5, "g_optim": ADAM}, B, "G"),
    "a generator beside others": ({"vgg": X, "gen": P, "dis": X, "opt": ADAM}, P, "gen"),
    "fastai": ({"model": B, "opt": ADAM}, B, "model"),
    "mmengine": ({"meta": {"epoch": 3}, "state_dict": prefixed("generator", B)}, B, "generator"),
    "DeepSpeed": ({"module": prefixed("module", C), "dp_world_size": 2}, C, "module.module"),
    "ignite": ({"trainer": {"epoch": 1}, "model": {"net": B}}, B, "model.net"),
    "six deep": ({"a": {"b": {"c": {"d": {"e": {"f": prefixed("g", P)}}}}}}, P, "a.b.c.d.e.f.g"),
    "forty deep": (
        [value := B, *(value := {"inner": value} for _ in range(40))][-1],
        B,
        "the network is inner.inner.inner",
    ),
    "a list": ({"models": [X, B]}, B, "models.1"),
    "a bare list": ([X, {"net": B}], B, "1.net"),
    "a bare tuple": ((prefixed("module", P), 5), P, "0.module"),
    "arrays": ({"params": {key: tensor.numpy() for key, tensor in C.items()}}, C, "params"),
    "numbers as keys": ({0: {"weights": B}, 1: X}, B, "0.weights"),
    "a defaultdict": (collections.defaultdict(dict, net=B), B, "net"),
    "an OrderedDict": (collections.OrderedDict(params=collections.OrderedDict(C)), C, "params"),
    "A to B and back": ({"netG_B2A": OTHER, "netG_A2B": B}, B, "netG_A2B"),
    "A and B": ({"netG_A": B, "netG_B": OTHER}, B, "netG_A"),
    "BasicSR": ({"params": OTHER, "params_ema": B}, B, "params_ema"),
    "a broken copy": ({"params": {"block_a.0": 1}, "params_ema": B}, B, "params_ema"),
    "timm": ({"state_dict": OTHER, "state_dict_ema": prefixed("module", B)}, B, "state_dict_ema"),
    "ema_pytorch": (
        prefixed("online_model", OTHER) | prefixed("ema_model", B) | {"step": torch.ones(1)},
        B,
        "ema_model",
    ),
    "averages of torch": (
        {"net": OTHER, "averaged": prefixed("module", B) | {"n_averaged": torch.tensor(9)}},
        B,
        "averaged.module",
    ),
    "a callback's averages": (
        {"state_dict": prefixed("net", OTHER), "callbacks": {"EMA": {"weights": B}}},
        B,
        "callbacks.EMA.weights",
    ),
    "a running mean": ({"generator": OTHER, "g_running": B}, B, "g_running"),
    "averages in front": (prefixed("net.ema", B) | prefixed("net", OTHER), B, "net.ema"),
    "torch_ema": (
        {"model": OTHER, "ema": {"decay": 0.9, "shadow_params": list(B.values())}},
        B,
        "EMA weights, ema.shadow_params",
    ),
    "LitEma": (
        {"state_dict": prefixed("model", OTHER) | prefixed("model_ema", undotted(B))},
        B,
        "EMA weights, state_dict.model_ema",
    ),
    "rosinality, bare": (R, R, ""),
    "rosinality, training": ({"g": R | {"input.input": X}, "g_ema": R, "d": X}, R, "g_ema"),
    "rosinality on several GPUs": (
        {"g_ema": prefixed("module", R), "d": prefixed("module", rosinality_critic())},
        R,
        "the discriminator is critic.safetensors",
    ),
    "pSp": (
        {
            "state_dict": prefixed("decoder", R) | {"encoder.body.0.res_layer.0.weight": fir()},
            "latent_avg": MEAN,
        },
        R,
        "state_dict.decoder",
    ),
    "StyleGAN2, Lightning": (
        {"state_dict": prefixed("G", N) | prefixed("D", nvlabs_critic())},
        N,
        "the discriminator is critic.safetensors",
    ),
    "StyleGAN2, averages": (prefixed("G_ema", N) | prefixed("G", N), N, "G_ema"),
}
AVERAGED = {
    *("BasicSR", "a broken copy", "timm", "ema_pytorch", "averages of torch", "torch_ema"),
    *("a callback's averages", "a running mean", "averages in front", "LitEma"),
    *("rosinality, training", "rosinality on several GPUs", "StyleGAN2, averages"),
}


@pytest.fixture(autouse=True)
def known_mean(monkeypatch):
    """Without a mean of w in the file, a second of measuring it for each network."""
    monkeypatch.setattr(
        "toonify.convert.stylegan2.compute_w_avg", lambda mapping: torch.zeros_like(mapping.w_avg)
    )


def build(state):
    """What the state dict alone is converted to."""
    kind = checkpoints.detect_kind(state)
    held = {envelopes.PAIRS[kind][0]: state} if kind in envelopes.PAIRS else state
    return checkpoints.READERS.get(
        kind, lambda held: checkpoints.read_animegan(held, kind, "some", None)
    )(held).network


@pytest.mark.parametrize("which", OPENED)
def test_the_generator_is_found_in_a_trainers_checkpoint(tmp_path, which):
    held, right, words = OPENED[which]
    torch.save(held, tmp_path / "some.pt")
    found = checkpoints.read(str(tmp_path / "some.pt"))
    expected = build(right).state_dict()
    if which == "pSp":
        expected["mapping.w_avg"] = MEAN
    assert same(found.network.state_dict(), expected)
    said = "\n".join(found.notes)
    assert words in said
    assert ("EMA weights" in said) == (which in AVERAGED)


PREFIXES = ("module", "_orig_mod", "generator", "netG", "model", "_fsdp_wrapped_module", "net")
WRAPPERS = ("state_dict", "params", "model", "generator", "net", "weights", "checkpoint")


@pytest.mark.parametrize("seed", range(40))
def test_envelopes_in_any_order_and_depth_open(tmp_path, seed):
    """Prefixes and keys that trainers use, put together at random, beside other things."""
    draw = random.Random(seed)
    right = (B, P, C, R)[seed % 4]
    held = right
    prefixes = draw.sample(PREFIXES, draw.randint(0, 3))
    for prefix in prefixes:
        held = prefixed(prefix, held)
    if prefixes and draw.random() < 0.5:  # beside keys without a prefix it would be a part
        held = held | prefixed("discriminator", X)
    for key in draw.sample(WRAPPERS, draw.randint(0, 4)):
        held = {key: held, "epoch": seed, "optimizer": ADAM}
    torch.save(held, tmp_path / "some.pt")
    found = checkpoints.read(str(tmp_path / "some.pt"))
    assert same(found.network.state_dict(), build(right).state_dict())


def test_what_is_left_out_is_said(tmp_path, capsys):
    torch.save({"params": OTHER, "params_ema": B}, tmp_path / "some.pt")
    assert convert(tmp_path / "some.pt", tmp_path / "out", "--fp32") == 0
    said = capsys.readouterr().out
    for words in (
        "the network is params_ema of the checkpoint\n",
        "these are its EMA weights\n",
        "left out: params\n",
    ):
        assert words in said


@pytest.mark.parametrize("shadow", [[*B.values()][:-1], [*reversed(B.values())]])
def test_averages_that_do_not_fit_are_left_out_in_words(tmp_path, shadow):
    torch.save({"model": B, "ema": {"shadow_params": shadow}}, tmp_path / "some.pt")
    found = checkpoints.read(str(tmp_path / "some.pt"))
    assert same(found.network.state_dict(), build(B).state_dict())
    assert "its EMA weights, ema.shadow_params, do not fit and are left out" in found.notes


@pytest.mark.parametrize("prefix", ["", "module.", "generator."])
def test_safetensors_of_other_projects_are_read(tmp_path, prefix):
    state = {f"{prefix}{key}": tensor.contiguous() for key, tensor in B.items()}
    save_file(state, tmp_path / "some.safetensors")
    found = checkpoints.read(str(tmp_path / "some.safetensors"))
    assert same(found.network.state_dict(), build(B).state_dict())


@pytest.mark.parametrize("first", [0x50, 0x80, 0x00])  # as a zip, a pickle and nothing begin
def test_safetensors_may_begin_with_any_byte(tmp_path, first):
    state = {key: tensor.contiguous() for key, tensor in B.items()}
    for padding in range(0, 264, 8):
        save_file(state, tmp_path / "some.safetensors", {"note": "x" * padding})
        if (tmp_path / "some.safetensors").read_bytes()[0] == first:
            break
    assert (tmp_path / "some.safetensors").read_bytes()[0] == first
    assert checkpoints.read(str(tmp_path / "some.safetensors")).kind == "animegan2-pytorch"


def test_odd_numbers_and_keys_are_refused(tmp_path):
    state = {**B, "block_a.0.1.weight": torch.ones(16, 3, 7, 7).to(torch.float8_e4m3fn)}
    save_file(state, tmp_path / "some.safetensors")
    with pytest.raises(ValueError, match=r"block_a.0.1.weight is torch.float8_e4m3fn, expected 16"):
        checkpoints.read(str(tmp_path / "some.safetensors"))
    torch.save({**B, 5: torch.ones(1)}, tmp_path / "some.pt")
    with pytest.raises(ValueError, match=r"some.pt: 5 is unexpected"):
        checkpoints.read(str(tmp_path / "some.pt"))


def test_a_cut_safetensors_file_is_refused(tmp_path):
    save_file({"block_a.0": torch.ones(8)}, tmp_path / "some.safetensors")
    data = (tmp_path / "some.safetensors").read_bytes()
    for end in (9, 20, 60, len(data) - 4):
        (tmp_path / "some.safetensors").write_bytes(data[:end])
        with pytest.raises(ValueError, match="the safetensors file is damaged"):
            checkpoints.read(str(tmp_path / "some.safetensors"))


def test_the_weights_in_a_folder_of_ours_are_named(tmp_path):
    torch.save(B, tmp_path / "some.pt")
    assert convert(tmp_path / "some.pt", tmp_path / "out") == 0
    (weights,) = (tmp_path / "out").glob("*.safetensors")
    with pytest.raises(ValueError, match="belongs to the folder of a network"):
        checkpoints.read(str(weights))


def keys(*names):
    return dict.fromkeys(names, torch.ones(1))


# Keys as in the published code of each -> the network's name in the message.
REFUSED = {
    "DualStyleGAN": (
        {"g_ema": prefixed("generator", R) | keys("style.1.weight", "res.0.norm.style.weight")},
        "DualStyleGAN",
    ),
    "VToonify": (
        {"g_ema": prefixed("generator", R) | keys("fusion_out.0.weight", "encoder.0.0.bias")},
        "VToonify",
    ),
    "EG3D": (prefixed("backbone", N) | keys("superresolution.block0.conv0.weight"), "EG3D"),
    "GPEN": (prefixed("generator", R) | keys("ecd0.0.0.weight"), "GPEN"),
    "labels": ({"G_ema": N | keys("mapping.embed.weight")}, "a StyleGAN2 with class labels"),
    "StyleGAN3": (keys("synthesis.input.freqs", "synthesis.L0_36_512.weight"), "StyleGAN3"),
    "StyleGAN of 2018": (
        {"g_running": keys("generator.progression.0.conv1.input", "style.1.linear.weight_orig")},
        "rosinality's StyleGAN of 2018",
    ),
    "lucidrains": ({"GAN": keys("G.blocks.0.to_style1.weight")}, "lucidrains' StyleGAN2"),
    "GFPGAN": ({"params_ema": keys("stylegan_decoder.style_mlp.1.weight")}, "GFPGAN"),
    "BasicSR": ({"params_ema": keys("style_convs.0.modulated_conv.weight")}, "BasicSR's StyleGAN2"),
    "CycleGAN": (keys("model.1.weight", "model.10.conv_block.1.weight"), "CycleGAN, pix2pixHD"),
    "pix2pix": ({"netG": keys("model.model.1.model.2.weight")}, "pix2pix"),
    "U-GAT-IT": ({"genA2B": keys("DownBlock.1.weight", "UpBlock1_1.norm1.rho")}, "U-GAT-IT"),
    "StarGAN v2": (
        {"generator": keys("module.from_rgb.weight", "module.encode.0.norm1.weight")},
        "StarGAN v2",
    ),
    "Real-ESRGAN": ({"params_ema": keys("body.0.rdb1.conv1.weight")}, "ESRGAN"),
    "ESRGAN": (keys("RRDB_trunk.0.RDB1.conv1.weight"), "ESRGAN"),
    "CodeFormer": ({"params_ema": keys("quantize.embedding.weight")}, "CodeFormer"),
    "Stable Diffusion": (
        {"state_dict": keys("model.diffusion_model.input_blocks.0.0.weight")},
        "Stable Diffusion",
    ),
    "diffusers": (keys("down_blocks.0.resnets.0.conv1.weight"), "a diffusion model of diffusers"),
    "LoRA": (keys("lora_unet_down_blocks_0.lora_up.weight"), "LoRA"),
    "an encoder": ({"state_dict": keys("encoder.input_layer.0.weight")}, "an encoder (pSp, e4e)"),
    "D of rosinality's": (rosinality_critic(), "a discriminator of rosinality's, without its"),
    "D of NVlabs'": ({"state_dict": prefixed("D", nvlabs_critic())}, "a discriminator of NVlabs'"),
    "ResNet": (keys("module.layer1.0.conv1.weight"), "a ResNet, which classifies images"),
    "VGG": ({"net": keys("features.0.weight")}, "a VGG or MobileNet, which classifies images"),
}


@pytest.mark.parametrize("which", REFUSED)
def test_another_network_is_refused_by_its_name(tmp_path, which):
    held, name = REFUSED[which]
    torch.save(held, tmp_path / "some.pt")
    with pytest.raises(ValueError, match="which Toonify does not support") as error:
        checkpoints.read(str(tmp_path / "some.pt"))
    assert f"some.pt: found a checkpoint of {name}" in str(error.value)


def test_what_a_project_uses_beside_its_generator_does_not_count(tmp_path):
    beside = keys(
        "vgg.features.0.weight", "arcface.body.0.res_layer.1.weight", "lpips.layer1.0.bn1.w"
    )
    torch.save({"state_dict": prefixed("generator", B) | beside}, tmp_path / "some.pt")
    assert checkpoints.read(str(tmp_path / "some.pt")).kind == "animegan2-pytorch"


def test_networks_of_tensorflow_and_arrays_are_refused_by_their_names(tmp_path):
    (tmp_path / "ffhq.pkl").write_bytes(b"\x80\x03cdnnlib.tflib.network\nNetwork\nq\0)\x81q\1.")
    with pytest.raises(ValueError, match="it is a TensorFlow network of NVlabs"):
        checkpoints.read(str(tmp_path / "ffhq.pkl"))
    np.savez(tmp_path / "some.npz", a=np.zeros(1))
    with pytest.raises(ValueError, match="it is an archive of NumPy arrays"):
        checkpoints.read(str(tmp_path / "some.npz"))


def test_a_checkpoint_with_too_many_networks_is_refused(tmp_path):
    torch.save({str(i): {"block_a.0": 1} for i in range(65)}, tmp_path / "some.pt")
    with pytest.raises(ValueError, match="holds more than 64 networks"):
        checkpoints.read(str(tmp_path / "some.pt"))
