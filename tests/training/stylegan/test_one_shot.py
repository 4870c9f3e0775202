"""One drawing in, a generator out: its latent, the mixed copies, both stages, going on."""

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState
from PIL import Image

from toonify import hub, images, latents
from toonify.models import MobileStyleGAN, StyleGAN2Generator
from training.stylegan import one_shot
from training.stylegan.one_shot import OneShotDataset, align


@pytest.fixture
def drawing(tmp_path):
    """A square without a face is taken to be aligned."""
    y, x = np.mgrid[:256, :256]
    pixels = np.stack([x, y, np.where((x - 128) ** 2 + (y - 128) ** 2 < 6400, 250, 60)], 2)
    path = tmp_path / "drawn.png"
    images.save(Image.fromarray(pixels.astype(np.uint8)), path)
    return path


@pytest.fixture(scope="module")
def base(toy_portrait):
    return toy_portrait / "base"


def options(drawing, base, out, *more: str) -> list[str]:
    words = [str(drawing), "--out", str(out), "--base", str(base), "--encoder"]
    words.append(str(base.parent / "encoder"))
    return [*words, "--refine-steps", "2", "--shape-images", "4", "--fine-images", "2", *more]


def test_a_face_is_aligned_and_anything_else_must_be_square(photo):
    assert align(photo).size == (1024, 1024)
    assert align(Image.new("RGB", (300, 300))).size == (1024, 1024)
    with pytest.raises(ValueError, match="no face found in the drawing of 300x200 px"):
        align(Image.new("RGB", (300, 200)))


def test_copies_share_the_coarse_layers_and_differ_in_the_fine_ones():
    torch.manual_seed(0)
    mapping = MobileStyleGAN((8,) * 4, (16,), 16, 16, 2).mapping
    w, drawing = torch.randn(11, 16), torch.zeros(3, 8, 8, dtype=torch.uint8)
    draws = OneShotDataset(drawing, w, mapping, 4, 0.7, 10, seed=1)
    one, other = draws[0], draws[1]
    assert torch.equal(one["w"], draws[0]["w"])
    assert torch.equal(one["w"][:4], w[:4]) and torch.equal(other["w"][:4], w[:4])
    assert (one["w"][4:] != other["w"][4:]).any(1).all()
    none = OneShotDataset(drawing, w, mapping, 4, 0.0, 10, seed=1)
    assert torch.allclose(none[3]["w"], w)


def test_a_drawing_becomes_a_generator_and_a_stopped_run_goes_on(drawing, base, tmp_path, capsys):
    AcceleratorState._reset_state(reset_partial_state=True)
    out = tmp_path / "run"
    one_shot.main(options(drawing, base, out))
    assert str(out / "fine" / "model") in capsys.readouterr().out
    trained = hub.load_model(out / "fine" / "model", {"MobileStyleGAN": MobileStyleGAN})
    old = hub.load_model(base, {"MobileStyleGAN": MobileStyleGAN}).state_dict()
    moved = {k.split(".")[1] for k, v in trained.state_dict().items() if not torch.equal(v, old[k])}
    assert {"start", "b8", "b64", "rgb128", "b128", "rgb256"} <= moved
    w = latents.load_latent(out / "reference.safetensors", trained.num_ws, 16)
    with pytest.raises(SystemExit):
        one_shot.main(options(drawing, base, out))
    assert "add --resume" in capsys.readouterr().err
    one_shot.main(options(drawing, base, out, "--resume", "--fine-images", "4"))
    again = hub.load_model(out / "fine" / "model", {"MobileStyleGAN": MobileStyleGAN})
    assert any(not torch.equal(v, trained.state_dict()[k]) for k, v in again.state_dict().items())
    assert torch.equal(w, latents.load_latent(out / "reference.safetensors", trained.num_ws, 16))


def test_a_stylegan2_without_an_encoder_learns_a_drawing_too(drawing, tmp_path, capsys):
    AcceleratorState._reset_state(reset_partial_state=True)
    torch.manual_seed(0)
    base, out = tmp_path / "base", tmp_path / "run"
    StyleGAN2Generator(64, 16, 16, 2, 512, 16).save_pretrained(base)
    words = [str(drawing), "--out", str(out), "--base", str(base), "--shape-images", "4"]
    for more, said in (
        (["--refine-steps", "0"], "the base has no encoder"),
        (["--encoder", "portrait-encoder"], "its num_ws is 23, and the base needs 10"),
    ):
        with pytest.raises(SystemExit):
            one_shot.main([*words, *more])
        assert said in capsys.readouterr().err
    one_shot.main([*words, "--refine-steps", "2"])
    assert str(out / "shape" / "model") in capsys.readouterr().out
    classes = {"StyleGAN2Generator": StyleGAN2Generator}
    trained, old = (hub.load_model(path, classes) for path in (out / "shape" / "model", base))
    moved = [k for k, v in old.state_dict().items() if not torch.equal(v, trained.state_dict()[k])]
    assert {k.split(".")[1] for k in moved} >= {"b4", "b64"}
    assert latents.load_latent(out / "reference.safetensors", 10, 16).shape == (1, 10, 16)


@pytest.mark.parametrize("wrong", [["--mix", "2"], ["--shape-images", "1"], ["--seed", "x"]])
def test_wrong_options_are_answered_with_words(wrong, drawing, tmp_path, capsys):
    with pytest.raises(SystemExit):
        one_shot.main([str(drawing), "--out", str(tmp_path / "run"), *wrong])
    assert wrong[0] in capsys.readouterr().err
