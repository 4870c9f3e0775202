"""The portrait pipeline on StyleGAN2: opened from a folder, with an encoder of its own or none."""

import json
import shutil

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from tests.unit.pipelines.test_stylegan import different, person
from toonify import hub, images
from toonify.__main__ import main
from toonify.models import Encoder, StyleGAN2Generator
from toonify.models.layer_swap import blend_into
from toonify.pipelines import stylegan
from toonify.pipelines.layer_swap import LayerSwap, swap_for
from toonify.pipelines.stylegan import StyleGANPipeline

ROWS, SIZE = 10, 16  # of w+ at 64 px
TOY = dict(z_dim=12, w_dim=SIZE, mapping_layers=2, channel_base=512, channel_max=16)


def toy(resolution: int = 64, **config) -> StyleGAN2Generator:
    """A network whose noise is heard and whose mean of w is that of its mapping."""
    network = StyleGAN2Generator(resolution, **TOY | config).eval()
    for key, parameter in network.named_parameters():
        if key.endswith("noise_strength"):
            parameter.data.fill_(0.2)
        if key.endswith("torgb.weight"):
            parameter.data.mul_(0.4)  # most of the image within -1 and 1
    network.mapping.w_avg.copy_(network.mapping(torch.randn(500, 12)).mean(0))
    return network


@pytest.fixture(scope="module")
@torch.no_grad()
def folder(tmp_path_factory):
    """Folders with `base`, a `toon` tuned from it, a `stranger` and two encoders."""
    torch.manual_seed(6)
    base, other, toon = toy(), toy(), toy()
    blend_into(toon, base, other, 4, 2.0, "base")
    shape = dict(free_layers=5, hidden=16, width=4, linear=8, squeezed=8)
    networks = {
        "base": base,
        "toon": toon,
        "stranger": toy(channel_max=8),
        "encoder": Encoder(num_ws=ROWS, w_dim=SIZE, **shape),
        "wrong_encoder": Encoder(num_ws=ROWS + 2, w_dim=SIZE, **shape),
    }
    folder = tmp_path_factory.mktemp("stylegan2")
    for name, network in networks.items():
        network.save_pretrained(folder / name)
    (folder / "toon" / hub.STYLE).write_text(json.dumps({"family": "stylegan", "blend": 16}))
    return folder


@pytest.fixture(scope="module")
def pipe(folder):
    return StyleGANPipeline.from_pretrained(str(folder / "base"), device="cpu")


def test_what_is_drawn_is_what_torch_draws_with_constant_noise(pipe):
    w = pipe.sample(2, seed=3)
    assert w.shape == (2, SIZE) and (pipe.resolution, pipe.num_ws) == (64, ROWS)
    drawn, network = pipe.base(w), pipe.network("base")
    with torch.inference_mode():
        exact = network.synthesis(pipe.to_w_plus(w)).clamp(-1, 1)
        silent = network.synthesis(pipe.to_w_plus(w), noise="none").clamp(-1, 1)
    assert torch.equal(drawn, pipe.base(w))
    assert (drawn - exact).abs().mean() < 0.01  # processors may multiply in bfloat16
    assert (silent - exact).abs().mean() > 0.05  # so noise is in what is drawn


def test_people_come_of_their_seeds_and_the_mapping(pipe):
    first = pipe.sample(2, seed=3)
    assert torch.equal(first, pipe.sample(2, seed=3))
    assert not torch.equal(first, pipe.sample(2, seed=4))
    assert torch.allclose(pipe.sample(1, seed=3, truncation=0.0)[0], pipe.w_avg)
    whole, half = (pipe.sample(2, seed=3, truncation=psi) - pipe.w_avg for psi in (1.0, 0.5))
    assert torch.allclose(half, whole / 2, atol=1e-5)


def test_latents_are_mixed_moved_saved_and_checked(pipe, folder, tmp_path):
    first, second = pipe.sample(2, seed=9)
    mixed = pipe.mix(first, second, 16)
    assert torch.equal(mixed[0, :3], first.expand(3, SIZE))
    assert torch.equal(mixed[0, 3:], second.expand(ROWS - 3, SIZE))
    directions = pipe.sefa(4)
    assert torch.allclose(directions @ directions.T, torch.eye(4), atol=1e-4)
    assert not torch.allclose(directions, pipe.sefa(4, high=8), atol=0.1)
    frames = list(pipe.interpolate(first, second, 3))
    assert frames[-1].tobytes() == images.to_pil(pipe.base(second)).tobytes()
    pipe.save_latent(tmp_path / "me.safetensors", mixed)
    assert torch.equal(pipe.load_latent(tmp_path / "me.safetensors"), mixed)
    other = StyleGANPipeline.from_pretrained(folder / "toon", device="cpu")
    with pytest.raises(ValueError, match="belongs to the model"):
        other.load_latent(tmp_path / "me.safetensors")
    for shape in [(12,), (1, SIZE + 1), (1, ROWS + 8, SIZE)]:
        with pytest.raises(ValueError, match=r"w has shape .* expected \(N, 16\)"):
            pipe.base(torch.zeros(shape))


@torch.inference_mode()
def test_a_swap_takes_the_small_layers_of_the_one_and_the_others_of_the_other(pipe, folder):
    base, toon = (hub.load_model(folder / n, hub_classes()) for n in ("base", "toon"))
    ws = pipe.to_w_plus(pipe.sample(1, seed=2))
    mixed = pipe.generator(LayerSwap(str(folder / "toon"), 32))
    assert torch.equal(mixed.synthesis(ws, 16), toon.synthesis(ws, 16))
    for key, tensor in mixed.synthesis.state_dict().items():
        source = toon if key.split(".")[0] in ("b4", "b8", "b16") else base
        assert torch.equal(tensor, source.synthesis.state_dict()[key]), key
    reverse = pipe.generator(LayerSwap(str(folder / "toon"), 32, shape_from="base"))
    assert torch.equal(reverse.synthesis(ws, 16), base.synthesis(ws, 16))
    w = pipe.sample(1, seed=2)
    assert torch.allclose(pipe.toon(w, folder / "toon", blend=4), pipe.base(w), atol=1e-5)
    assert swap_for(folder / "toon").resolution == 16  # what its style.json says
    assert not torch.allclose(pipe.toon(w, folder / "toon"), pipe.base(w), atol=0.05)


def hub_classes():
    return {"stylegan2": StyleGAN2Generator}


def test_without_an_encoder_refinement_finds_the_face_from_the_mean(pipe, folder, photo):
    result = pipe(photo, folder / "toon", refine_steps=2)
    (portrait,) = result.portraits
    assert result.image.size == photo.size and not result.left_alone
    assert portrait.latent.shape == (1, ROWS, SIZE)
    assert portrait.crop.image.size == portrait.toon.size == (64, 64)
    mean = pipe.w_avg.expand(1, ROWS, SIZE)
    assert 0 < (portrait.latent - mean).abs().max() < 1
    assert different(result.image, photo)[80:150, 200:250].mean() > 5  # the astronaut's face
    again = pipe(photo, folder / "toon", latent=portrait.latent)
    assert again.image.tobytes() == result.image.tobytes()


def test_without_an_encoder_more_steps_come_nearer(pipe):
    target = pipe.base(pipe.sample(1, seed=8, truncation=0.5))
    crop = images.to_pil(target)
    with pytest.raises(ValueError, match="refine_steps=0: this base has no encoder"):
        pipe.invert(crop)
    mean = float((pipe.base(pipe.w_avg) - target).abs().mean())
    found = float((pipe.base(pipe.invert(crop, 80)) - target).abs().mean())
    assert found < 0.6 * mean


def test_without_an_encoder_or_steps_only_given_faces_are_drawn(pipe, folder, photo, monkeypatch):
    with pytest.raises(ValueError, match="expected more steps, such as 300, or an encoder"):
        pipe(photo, folder / "toon")
    monkeypatch.setattr(
        stylegan, "detect", lambda photo: [person(150, 100, 40), person(350, 100, 30)]
    )
    result = pipe(photo, folder / "toon", latent=pipe.sample(1, seed=1))
    assert len(result.portraits) == 1
    assert [reason for _, reason in result.left_alone] == ["needs refinement to be found"]


def test_an_encoder_in_the_folder_of_the_base_is_its_own(pipe, folder, photo, tmp_path):
    shutil.copytree(folder / "base", tmp_path / "base")
    shutil.copytree(folder / "encoder", tmp_path / "base" / "encoder")
    own = StyleGANPipeline.from_pretrained(tmp_path / "base", device="cpu")
    named = StyleGANPipeline.from_pretrained(
        folder / "base", encoder=folder / "encoder", device="cpu"
    )
    (first,), (second,) = (p(photo, folder / "toon").portraits for p in (own, named))
    assert torch.equal(first.latent, second.latent)
    (refined,) = own(photo, folder / "toon", refine_steps=2).portraits
    assert not torch.equal(refined.latent, first.latent)
    assert torch.equal(refined.latent[:, 5], refined.latent[:, -1])  # rows that its encoder shares
    with pytest.raises(ValueError, match="this base has no encoder"):
        pipe.network("encoder")


def test_parts_of_other_bases_are_refused(pipe, folder, photo, toy_portrait):
    with pytest.raises(ValueError, match=r"cannot be mixed: .* differ in class: 'MobileStyleGAN'"):
        pipe.toon(pipe.sample(1), toy_portrait / "toon")
    with pytest.raises(ValueError, match="'animated' and this base cannot be mixed"):
        pipe.toon(pipe.sample(1))
    with pytest.raises(ValueError, match="differ in channel_max: 8 and 16"):
        pipe(photo, folder / "stranger", refine_steps=1)
    wrong = StyleGANPipeline(folder / "base", folder / "wrong_encoder", "cpu")
    with pytest.raises(ValueError, match="its num_ws is 12, and the base needs 10"):
        wrong(Image.new("RGB", (80, 60)), folder / "toon")
    bundled = StyleGANPipeline.from_pretrained(
        folder / "base", encoder=hub.DEFAULT_ENCODER, device="cpu"
    )
    with pytest.raises(ValueError, match="its num_ws is 23"):
        bundled.invert(photo)
    with pytest.raises(ValueError, match=r"base='nowhere': .*expected a folder"):
        StyleGANPipeline.from_pretrained("nowhere")
    with pytest.raises(ValueError, match=r"encoder='/nowhere': .*does not exist"):
        StyleGANPipeline.from_pretrained(folder / "base", encoder="/nowhere")


def test_directions_of_another_base_are_refused(folder, photo, tmp_path):
    shutil.copytree(folder / "base", tmp_path / "base")
    shutil.copy(hub.BUNDLED / hub.DEFAULT_BASE / hub.DIRECTIONS, tmp_path / "base")
    pipe = StyleGANPipeline.from_pretrained(tmp_path / "base", device="cpu")
    with pytest.raises(ValueError, match=r"'smile' moves layer 9 of w\+ by 512 numbers"):
        pipe(photo, folder / "toon", edits={"smile": 1.0}, refine_steps=1)


def test_the_bundled_base_has_the_bundled_encoder():
    pipe = StyleGANPipeline.from_pretrained(device="cpu")
    assert pipe.inverter.folder == hub.BUNDLED / hub.DEFAULT_ENCODER
    assert pipe.folder == hub.BUNDLED / hub.DEFAULT_BASE


def test_networks_of_one_weight_and_other_settings_are_compiled_apart(folder, pipe, tmp_path):
    """A clamp is in the settings alone."""
    shutil.copytree(folder / "base", tmp_path / "base")
    config = json.loads((tmp_path / "base" / hub.CONFIG).read_text())
    (tmp_path / "base" / hub.CONFIG).write_text(json.dumps(config | {"conv_clamp": 0.1}))
    clamped = StyleGANPipeline.from_pretrained(tmp_path / "base", device="cpu")
    w = pipe.sample(1, seed=1)
    assert not torch.allclose(pipe.base(w), clamped.base(w), atol=0.05)


def test_the_command_line_draws_with_a_base(folder, photo_path, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    networks = ("--model", "stylegan", "--base", folder / "base", "--style", folder / "toon")
    words = ["photo", photo_path, "-o", "toon.png", *networks]
    assert main([*map(str, words), "--refine-steps", "2", "--save-latent", "me.safetensors"]) == 0
    changed = different(images.load("toon.png"), images.load(photo_path))
    assert changed[80:150, 200:250].mean() > 5
    assert load_file("me.safetensors")["w"].shape == (1, ROWS, SIZE)
    capsys.readouterr()
    words[3] = "again.png"
    assert main([*map(str, words), "--latent", "me.safetensors"]) == 0
    assert (tmp_path / "again.png").read_bytes() == (tmp_path / "toon.png").read_bytes()
    words[3] = "other.png"
    for more, said in (
        ((), "this base has no encoder"),
        (("--encoder", folder / "wrong_encoder"), "its num_ws is 12"),
        (("--style", "animated", "--refine-steps", "1"), "cannot be mixed"),
        (("--base", "nowhere"), "base='nowhere'"),
    ):
        with pytest.raises(SystemExit, match="2"):
            main([*map(str, words), *map(str, more)])
        assert said in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        main(["photo", str(photo_path), "-o", "other.png", "--base", str(folder / "base")])
    assert "--base: only with --model stylegan" in capsys.readouterr().err
    assert not (tmp_path / "other.png").exists()
