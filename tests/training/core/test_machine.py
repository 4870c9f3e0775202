"""What a run makes of the machine, and what it says of time."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from accelerate.state import AcceleratorState

from tests.fixtures.toy_data import train_toy, write_pairs
from training.animegan.config import ANIMEGAN_PRESETS
from training.animegan.objective import AnimeGANObjective
from training.core import device, progress_bar, trainer
from training.core.config import RunSettings, replace_settings
from training.core.progress_bar import ProgressBar, format_seconds
from training.train_animegan import main

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return write_pairs(tmp_path_factory.mktemp("data"))


def settings(data, out, **changes):
    toy = dict(
        data=str(data), style="toy", out=str(out), width=4, depth=1, d_width=4, batch=4,
        crop_sizes=((0, 32),), max_images=16, init_images=8, log_every_images=8, trackers="none",
        sample_every_images=1000, save_every_images=1000, precision="fp32", seed=3,
    )  # fmt: skip
    return replace_settings(ANIMEGAN_PRESETS["paired"], **(toy | changes))


def log_of(out) -> list[dict]:
    lines = [json.loads(line) for line in (Path(out) / "log.jsonl").read_text().splitlines()]
    clock = ("seconds", "images_per_second")
    return [{k: v for k, v in line.items() if k not in clock} for line in lines]


def test_a_batch_in_four_parts_equals_the_whole_batch(data, tmp_path):
    """Ten steps of both networks, without batch norm and without the state of a spectral norm."""
    common = dict(batch=16, max_images=160, init_images=32, spectral_norm=False)
    # Adam turns a gradient of rounding errors into whole steps of the learning rate.
    common |= dict(lr_init=5e-5, lr_g=5e-5, lr_d=5e-5)
    whole = train_toy(AnimeGANObjective, settings(data, tmp_path / "whole", **common))
    common |= dict(gradient_accumulation_steps=4)
    parts = train_toy(AnimeGANObjective, settings(data, tmp_path / "parts", **common))
    for network in ("G", "D"):
        ours, theirs = getattr(parts, network), getattr(whole, network)
        for name, weights in ours.state_dict().items():
            assert torch.allclose(weights, theirs.state_dict()[name], rtol=0, atol=1e-5), name
    for line, other in zip(log_of(tmp_path / "parts"), log_of(tmp_path / "whole"), strict=True):
        assert line == pytest.approx(other, abs=1e-4)


def test_a_batch_has_to_divide_into_its_parts(data, tmp_path):
    with pytest.raises(ValueError, match=r"--batch 4: .* times 3 of --gradient-accumulation-steps"):
        train_toy(AnimeGANObjective, settings(data, tmp_path / "x", gradient_accumulation_steps=3))


def test_losses_that_are_read_seldom_are_the_same(data, tmp_path, monkeypatch):
    train_toy(AnimeGANObjective, settings(data, tmp_path / "each"))
    monkeypatch.setattr(device, "STEPS_BETWEEN_LOOKS", {"cpu": 3})
    reads = []
    read = trainer.Trainer.read_losses

    def count(self, *flags):
        reads.append(len(self.unread))
        return read(self, *flags)

    monkeypatch.setattr(trainer.Trainer, "read_losses", count)
    train_toy(AnimeGANObjective, settings(data, tmp_path / "seldom"))
    assert reads == [2, 1, 1]  # when the log is due, after three steps, and at the end
    assert log_of(tmp_path / "seldom") == log_of(tmp_path / "each")
    with pytest.raises(FloatingPointError, match="g_"):
        chosen = settings(data, tmp_path / "nan", lr_init=1e30, init_images=100)
        train_toy(AnimeGANObjective, chosen)
    assert not (tmp_path / "nan" / "checkpoints").exists()


def test_the_launchers_options_are_followed(monkeypatch):
    chosen = RunSettings(out="x", batch=8)
    monkeypatch.setenv("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "4")
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
    followed = device.follow_launcher(chosen)
    assert (followed.gradient_accumulation_steps, followed.precision) == (4, "bf16")
    own = replace_settings(chosen, gradient_accumulation_steps=2, precision="fp32")
    assert device.follow_launcher(own) == own
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "no")  # what it says without the option
    assert device.follow_launcher(own).precision == "fp32"


def test_missing_processes_are_named_with_the_command_that_starts_them(monkeypatch):
    for name in ("ACCELERATE_MIXED_PRECISION", "MASTER_PORT", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    assert device.missing_processes() == ""
    monkeypatch.setattr(sys, "argv", ["training/train_animegan.py", "--out", "my run"])
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "no")
    monkeypatch.setenv("MASTER_PORT", "29500")
    advice = device.missing_processes()
    assert advice.endswith("--nproc_per_node 2 training/train_animegan.py --out 'my run'")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert device.missing_processes() == ""


@pytest.mark.process
def test_accelerate_launch_says_that_it_starts_one_process_on_cpus(data, tmp_path):
    launcher = [sys.executable, "-m", "accelerate.commands.accelerate_cli", "launch"]
    words = ["--style", "toy", "--data", str(data), "--out", str(tmp_path / "run")]
    done = subprocess.run(
        [
            *launcher,
            *("--cpu", "--num_processes", "2", "training/train_animegan.py", "--preset", "paired"),
            *(*words, "--max-images", "4", "--save-every-images", "4", "--width", "4"),
            *("--depth", "1", "--crop-sizes", "0:32", "--trackers", "none", "--init-images", "4"),
        ],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "torchrun --standalone --nproc_per_node 2 training/train_animegan.py" in done.stdout


def test_loaders_suit_the_device(monkeypatch):
    monkeypatch.setattr(device.os, "sched_getaffinity", lambda process: set(range(16)))
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    assert device.loader_options(-1, torch.device("cpu"))["num_workers"] == 0
    options = device.loader_options(-1, torch.device("cuda"))
    assert options["num_workers"] == 8 and options["pin_memory"]
    assert device.loader_options(2, torch.device("cpu"))["num_workers"] == 2


class Clock:
    """A clock that only the test moves."""

    def __init__(self, monkeypatch):
        self.now = 0.0
        monkeypatch.setattr(progress_bar.time, "monotonic", lambda: self.now)


def test_the_bar_tells_the_time_to_the_nearer_end(monkeypatch):
    clock = Clock(monkeypatch)
    chosen = replace_settings(
        RunSettings(out="x"), batch=2, max_images=100, max_minutes=5.0, sample_every_images=10
    )
    bar = ProgressBar(chosen, 0, visible=False)
    said = []
    monkeypatch.setattr(bar, "say", said.append)
    for _ in range(6):
        clock.now += 4.0
        bar.update("adversarial", {"g_style": 0.25})
    assert bar.describe_speed() == ["0.5 images/s", "3 min left"]  # 88 images
    assert said == [
        "At 0.5 images/s: next sample grid in 16 s, next checkpoint and model in 2 h 46 min, end "
        "in 3 min (--max-images)"
    ]
    with bar.pause("sample", "drawing"):
        clock.now += 20.0
    assert bar.left() == 5 * 60 - 44  # 8 more sample grids take longer than what --max-minutes left
    clock.now += 4.0
    bar.update("adversarial", {})
    assert bar.seconds_per_image == pytest.approx(2.0)  # without the pause
    assert not bar.is_late()
    clock.now = 5 * 60 - 23  # a step of 4 s and a sample grid of 20 s no longer fit
    assert bar.is_late()


def test_the_bar_shows_phase_losses_and_pauses(data, tmp_path, monkeypatch):
    shown = io.StringIO()
    monkeypatch.setattr(sys, "stderr", shown)
    monkeypatch.setattr(progress_bar, "PIPE_SECONDS", 0)
    chosen = settings(data, tmp_path / "run", validate=str(data / "train_photo"))
    train_toy(AnimeGANObjective, chosen)
    text = shown.getvalue()
    assert "fp32, 1 process, 6 photos, 6 style images" in text
    for part in ("no discriminator", "adversarial", "g_pair ", "images/s", " left"):
        assert part in text
    for part in ("scoring 24 photos", "drawing the sample grid", "saving"):
        assert part in text


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(-1, "0 s"), (12.4, "12 s"), (100, "2 min"), (3600, "60 min"), (7500, "2 h 5 min")],
)
def test_durations_are_told_in_words(seconds, words):
    assert format_seconds(seconds) == words


def test_settings_and_machine_are_printed_before_the_first_step(data, tmp_path, capsys):
    AcceleratorState._reset_state(reset_partial_state=True)
    words = ["--preset", "paired", "--data", str(data), "--style", "toy", "--width", "4"]
    words += ["--depth", "1", "--crop-sizes", "0:32", "--max-images", "4", "--batch", "4"]
    words += ["--trackers", "none", "--init-images", "4"]
    main([*words, "--out", str(tmp_path / "run")])
    captured = capsys.readouterr()
    assert "weight_pair" in captured.out
    assert "CPU" in captured.err and " threads, " in captured.err


@pytest.mark.parametrize("words", [("--compile",), ("--compile", "true")])
def test_compile_is_refused_in_words(refusal, words):
    assert "torch.compile has no second derivatives" in refusal(main, "--out", "run", *words)
