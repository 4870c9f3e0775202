"""Training of AnimeGANv2 at toy size: the real classes, a dozen small pictures, a few steps."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from tests.toy_data import write_pairs
from toonify import images
from training import loop
from training.data import AnimeGANDraws
from training.ema import EMA
from training.perceptual import MobileNetV2Features, VGG19Features
from training.prepare import edge_smooth
from training.presets import ANIMEGAN_PRESETS, add_settings, check
from training.train_animegan import AnimeGANObjective, main

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return write_pairs(tmp_path_factory.mktemp("data"))


def settings(data, out, **changes):
    toy = dict(
        data=str(data), style="toy", out=str(out), width=4, depth=1, critic_width=4, batch=2,
        crop_sizes=((0, 32), (8, 40)), max_images=16, init_images=6, log_every_images=2,
        sample_every_images=8, save_every_images=4, precision="fp32", seed=3, trackers="none",
    )  # fmt: skip
    return check(dataclasses.replace(ANIMEGAN_PRESETS["comic"], **(toy | changes)))


def run(chosen, *, crash_at: int = 0, resume: bool = False):
    """One run; with `crash_at`, its generator step number `crash_at` fails like a power cut."""
    objective = AnimeGANObjective(chosen, torch.device("cpu"))
    if crash_at:
        whole, calls = objective.generator, []

        def generator(*arguments):
            calls.append(1)
            if len(calls) == crash_at:
                raise RuntimeError("power cut")
            return whole(*arguments)

        objective.generator = generator
    loop.train(objective, chosen, resume=resume)
    return objective


def log_of(out):
    lines = [json.loads(line) for line in (Path(out) / "log.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if k != "seconds"} for line in lines]


def test_resumed_run_equals_one_that_was_never_stopped(data, tmp_path):
    straight = run(settings(data, tmp_path / "a"))
    with pytest.raises(RuntimeError, match="power cut"):
        run(settings(data, tmp_path / "b"), crash_at=6)
    resumed = run(settings(data, tmp_path / "b"), resume=True)
    for network in ("G", "D"):
        ours, theirs = getattr(straight, network), getattr(resumed, network)
        for key, value in ours.state_dict().items():
            assert torch.equal(value, theirs.state_dict()[key]), key
    assert log_of(tmp_path / "a") == log_of(tmp_path / "b")
    model = "model/diffusion_pytorch_model.fp16.safetensors"
    assert (tmp_path / "a" / model).read_bytes() == (tmp_path / "b" / model).read_bytes()
    assert len(loop.checkpoints(tmp_path / "a")) == 2  # pruned


def test_a_run_leaves_log_samples_settings_and_a_style_folder(data, tmp_path):
    chosen = settings(data, tmp_path / "run")
    start = {k: v.clone() for k, v in AnimeGANObjective(chosen, "cpu").G.state_dict().items()}
    trained = run(chosen)
    unchanged = [k for k, v in trained.G.state_dict().items() if torch.equal(v, start[k])]
    assert not unchanged
    lines = log_of(chosen.out)
    assert "d_real" not in lines[0] and "d_real" in lines[-1]
    assert lines[-1]["images"] == 16
    assert json.loads((tmp_path / "run" / "settings.json").read_text())["width"] == 4
    grid = images.load(tmp_path / "run" / "samples" / "000000016.jpg")
    assert grid.size == (8 * 320, 2 * 320)
    assert {p.name for p in (tmp_path / "run" / "model").iterdir()} >= {
        "config.json",
        "diffusion_pytorch_model.fp16.safetensors",
        "style.json",
    }


def test_a_new_run_never_overwrites_and_resume_never_starts_again(data, tmp_path):
    chosen = settings(data, tmp_path / "run", max_images=4)
    objective = AnimeGANObjective(chosen, "cpu")
    with pytest.raises(ValueError, match="--resume: no checkpoint"):
        loop.train(objective, chosen, resume=True)
    run(chosen)
    with pytest.raises(ValueError, match="holds a run already"):
        loop.train(objective, chosen)


def test_nan_stops_the_run_and_names_the_loss(data, tmp_path):
    chosen = settings(data, tmp_path / "run", lr_init=1e30, init_images=100)
    with pytest.raises(FloatingPointError, match=r"g_(content|pair) is (nan|inf)"):
        run(chosen)


def test_lite_generator_trains_by_the_same_command(data, tmp_path):
    chosen = settings(data, tmp_path / "lite", model="animegan-lite", max_images=8)
    assert type(run(chosen).G).__name__ == "AnimeGANLiteGenerator"


def test_unpaired_recipe_trains(data, tmp_path):
    alone = {"weight_pair": 0.0, "weight_variation": 1.0, "max_images": 10}
    with pytest.raises(ValueError, match="--weight-pair-features 0"):
        run(settings(data, tmp_path / "run", **alone))
    unpaired = alone | {"weight_pair_features": 0.0, "weight_chroma": 0.0}
    chosen = settings(data, tmp_path / "run", **unpaired)
    run(chosen)
    assert {"g_style", "g_variation", "g_adversarial", "d_smooth"} <= set(log_of(chosen.out)[-1])


def test_draws_depend_on_their_number_alone(data):
    def make(**changes):
        common = dict(crop_sizes=((0, 32), (8, 40)), batch=2, length=20, seed=5)
        return AnimeGANDraws(data, "toy", **(common | changes))

    first, second = make(), make()
    for index in (13, 2, 13):
        ours, theirs = first[index], second[index]
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert first[7]["photo"].shape == (3, 32, 32)
    assert first[8]["photo"].shape == (3, 40, 40)
    assert not torch.equal(first[2]["photo"], make(seed=6)[2]["photo"])


def test_pairs_are_cut_at_one_place(tmp_path):
    rng = np.random.default_rng(1)
    for i in range(3):
        photo = Image.fromarray(rng.integers(0, 255, (90, 90, 3), np.uint8))
        for folder in ("train_photo", "toy/style", "toy/smooth"):
            images.save(photo, tmp_path / folder / f"{i}.png")
    draws = AnimeGANDraws(tmp_path, "toy", crop_sizes=((0, 32),), batch=1, length=30)
    for index in range(30):
        assert torch.equal(draws[index]["photo"], draws[index]["drawn"])


def test_edges_are_smoothed_as_the_published_loop_does():
    rng = np.random.default_rng(2)
    picture = cv2.resize(rng.integers(0, 255, (12, 10, 3), np.uint8), (60, 48))
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    mask = cv2.dilate(cv2.Canny(grey, 100, 200), np.ones((5, 5), np.uint8))
    line = cv2.getGaussianKernel(5, 0)
    padded = np.pad(picture, ((2, 2), (2, 2), (0, 0)), mode="reflect")
    expected = picture.copy()
    for y, x in zip(*np.nonzero(mask), strict=True):
        for c in range(3):
            expected[y, x, c] = int((padded[y : y + 5, x : x + 5, c] * (line @ line.T)).sum())
    assert mask.any() and not mask.all()
    difference = np.abs(edge_smooth.smooth_edges(picture).astype(int) - expected)
    assert difference.max() <= 1
    assert (difference > 0).mean() < 0.01


def test_slow_copy_halves_the_past_and_copies_buffers():
    network = torch.nn.BatchNorm1d(3)
    ema = EMA(network, half_life_images=10, ramp=1.0)
    with torch.no_grad():
        network.weight.fill_(3.0)
        network.running_mean.fill_(7.0)
    ema.update(network, batch=10, images=1000)
    assert torch.allclose(ema.network.weight, torch.full((3,), 2.0))
    assert torch.equal(ema.network.running_mean, torch.full((3,), 7.0))


def test_vgg19_gives_conv4_4_before_its_relu(tmp_path):
    from safetensors.torch import save_file
    from torchvision.models import vgg19

    torch.manual_seed(0)
    layers = vgg19(weights=None).features[:26]
    state = {f"features.{k}": v.half() for k, v in layers.state_dict().items()}
    save_file(state, tmp_path / "model.safetensors")
    features = VGG19Features(weights=tmp_path / "model.safetensors")
    picture = torch.rand(1, 3, 32, 32) * 2 - 1
    found = features(picture)
    assert found[25].shape == (1, 512, 4, 4)
    assert found[25].min() < 0
    with torch.no_grad():
        expected = layers.half().float()(((picture + 1) / 2 - features.mean) / features.std)
    assert torch.allclose(found[25], expected, atol=1e-5)


def test_calibrated_features_have_unit_size():
    features = MobileNetV2Features((1, 6))
    pictures = torch.rand(2, 3, 64, 64, generator=torch.manual_seed(0)) * 2 - 1
    features.calibrate(pictures)
    found = features(pictures)
    assert list(found) == [1, 6]
    assert [f.abs().mean().item() for f in found.values()] == pytest.approx([1, 1], rel=1e-4)
    assert not features.train().layers.training


@pytest.mark.parametrize(
    ("option", "value", "told"),
    [
        ("--batch", "many", "--batch many"),
        ("--batch", "0", "--batch 0"),
        ("--crop-sizes", "0:30", "multiple of 8"),
        ("--crop-sizes", "128", "--crop-sizes 128"),
        ("--zoom", "2,1", "least <= most"),
        ("--precision", "int8", "fp32, bf16 or fp16"),
        ("--data", "/nowhere/at/all", "expected a folder of photos"),
        ("--batch", "3.5", "--batch 3.5"),
    ],
)
def test_wrong_options_are_named(option, value, told, tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["--preset", "comic", "--out", str(tmp_path / "run"), option, value])
    assert stopped.value.code == 2
    assert told in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_dry_run_shows_all_settings_and_touches_nothing(tmp_path, capsys):
    main(["--preset", "unpaired", "--out", str(tmp_path / "run"), "--lr-g", "3e-5", "--dry-run"])
    shown = capsys.readouterr().out
    assert "lr_g                   3e-05" in shown
    assert "init_images" in shown
    assert not (tmp_path / "run").exists()


def test_every_setting_has_an_option():
    import argparse

    parser = argparse.ArgumentParser()
    add_settings(parser, ANIMEGAN_PRESETS)
    options = parser.parse_args(["--preset", "comic"])
    names = {field.name for field in dataclasses.fields(ANIMEGAN_PRESETS["comic"])}
    assert names <= set(vars(options))


def test_the_script_runs_from_the_repository_root():
    done = subprocess.run(
        [
            sys.executable,
            "training/train_animegan.py",
            "--preset",
            "comic",
            "--out",
            "x",
            "--dry-run",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "weight_pair" in done.stdout
