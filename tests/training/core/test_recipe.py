"""A run without `--preset`, settings from a file, the help, and `--resume-from`."""

import dataclasses
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.fixtures.toy_data import write_faces, write_pairs
from training import train_stylegan, train_toongan
from training.animegan import recipe
from training.animegan.config import ANIMEGAN_PRESETS, DISTILL_PRESETS
from training.animegan.objective import AnimeGANObjective
from training.core import checkpoint, device, options
from training.core.config import SETTINGS, known_settings, replace_settings
from training.encoder.config import ENCODER_PRESETS
from training.parser.config import PARSER_PRESETS
from training.stylegan.config import STYLEGAN_PRESETS
from training.toongan.config import TOONGAN_PRESETS
from training.train_animegan import main

ROOT = Path(__file__).resolve().parents[3]
TOY = (
    *("--style", "toy", "--width", "4", "--depth", "1", "--d-width", "4", "--batch", "2"),
    *("--crop-sizes", "0:32", "--max-images", "8", "--init-images", "4", "--precision", "fp32"),
    *("--save-every-images", "4", "--sample-every-images", "8", "--trackers", "none"),
)


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> Path:
    folder = write_pairs(tmp_path_factory.mktemp("recipe"))
    (folder / "toy" / "style").rename(folder / "pictures")
    return folder


@pytest.fixture(scope="module")
def begun(tmp_path_factory) -> Path:
    """A run with checkpoints after 4 and 8 images."""
    folder = tmp_path_factory.mktemp("begun")
    data = write_pairs(folder / "data")
    main(["--preset", "paired", "--data", str(data), "--out", str(folder / "run"), *TOY])
    return folder / "run"


def test_without_a_preset_the_recipe_of_the_machine_is_used(folders, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(recipe, "compare_styles", lambda settings: {"comic": 0.7, "film": 0.9})
    words = ["--photos", str(folders / "train_photo"), "--pictures", str(folders / "pictures")]
    main([*words, "--out", str(tmp_path / "ours"), "--lr-g", "3e-5", "--dry-run"])
    said = capsys.readouterr().out
    assert "--preset quick, because there is no GPU" in said
    assert "--start-from comic: nearest to the style images (comic 0.70, film 0.90" in said
    for row in ("style                  ours", "start_from             comic"):
        assert row in said
    assert "lr_g                   3e-05" in said
    monkeypatch.setattr(device, "pick_device", lambda: torch.device("cuda"))
    main([*words, "--out", str(tmp_path / "ours"), "--style", "mine", "--dry-run"])
    said = capsys.readouterr().out
    assert "--preset unpaired, because there is a GPU" in said and "--style ours" not in said


def test_the_recipe_needs_to_know_the_images(tmp_path, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["--photos", "x", "--out", str(tmp_path / "run")])
    assert "--preset: expected a preset, or --photos and --pictures" in capsys.readouterr().err


def test_the_recipe_trains_from_a_bundled_style_whose_colors_it_keeps(folders, tmp_path, toy_style):
    """`--anchor start`: a run that has learned nothing yet has no content and color loss."""
    chosen = replace_settings(
        ANIMEGAN_PRESETS["quick"],
        **dict(photos=str(folders / "train_photo"), pictures=str(folders / "pictures")),
        **dict(out=str(tmp_path / "run"), style="toy", start_from=str(toy_style), d_width=4),
        **dict(crop_sizes=((0, 64),)),
    )
    objective = AnimeGANObjective(chosen, torch.device("cpu"))
    batch = {k: v[None] for k, v in objective.dataset[0].items()}
    batch = objective.preprocess(batch)
    _, logs = objective.generator(objective.D, objective.G(batch["photo"]), batch, 0)
    assert logs["color"] == 0 and logs["content"] == pytest.approx(0, abs=1e-6)
    assert logs["style"] > 0 and logs["adversarial"] > 0
    with pytest.raises(ValueError, match="--anchor start: expected photo, or a style"):
        replace_settings(chosen, start_from="")


def test_the_style_that_drew_the_images_is_the_nearest():
    """Sets that show different things, drawn alike, are nearer than the same things unlike."""
    rng = np.random.default_rng(0)
    content = rng.normal(0, 1, (60, 8)) * [9, 9, 9, 9, 1, 1, 1, 1]
    shift = np.array([0, 0, 0, 0, 2.0, 0, 0, 0])
    drawn = {"photos": content, "ink": content + shift, "oil": content - shift}
    theirs = rng.normal(0, 1, (60, 8)) * [9, 9, 9, 9, 1, 1, 1, 1] + [5, 5, 5, 5, 2, 0, 0, 0]
    distances = recipe.whitened_distances(theirs, drawn)
    assert set(distances) == {"ink", "oil"}
    assert distances["ink"] < 1 < distances["oil"]


def test_bundled_styles_are_compared(folders, tmp_path, monkeypatch):
    monkeypatch.setattr(recipe, "CROPS", 12)
    monkeypatch.setattr(recipe, "PHOTOS", 2)
    monkeypatch.setattr(recipe, "SIDES", (64, 64))
    one = recipe.Path("film")
    monkeypatch.setattr("toonify.hub.styles", lambda: [type("Style", (), {"name": one.name})])
    chosen = replace_settings(
        ANIMEGAN_PRESETS["quick"],
        **dict(photos=str(folders / "train_photo"), pictures=str(folders / "pictures"), out="x"),
    )
    assert recipe.find_start(chosen).start_from == "film"
    assert recipe.find_start(replace_settings(chosen, start_from="comic")).start_from == "comic"


def test_generators_have_recipes_too(tmp_path, capsys, monkeypatch):
    faces = write_faces(tmp_path / "faces")
    train_stylegan.main(["--data", str(faces), "--out", str(tmp_path / "a"), "--dry-run"])
    assert "--preset transfer, because there is no GPU" in capsys.readouterr().out
    train_toongan.main(["--data", str(faces), "--out", str(tmp_path / "b"), "--dry-run"])
    said = capsys.readouterr().out
    assert "--preset laptop" in said and "--max-images 100000: what a CPU draws" in said
    (faces / "attributes.csv").write_text("file\n")
    train_toongan.main(["--data", str(faces), "--out", str(tmp_path / "b"), "--dry-run"])
    assert "--preset conditional" in capsys.readouterr().out
    monkeypatch.setattr(device, "pick_device", lambda: torch.device("cuda"))
    train_stylegan.main(["--data", str(faces), "--out", str(tmp_path / "a"), "--dry-run"])
    assert "--preset transfer, because 6 images are fewer" in capsys.readouterr().out
    monkeypatch.setattr("training.stylegan.recipe.ENOUGH", 5)
    train_stylegan.main(["--data", str(faces), "--out", str(tmp_path / "a"), "--dry-run"])
    assert "--preset 64, because there is a GPU" in capsys.readouterr().out


def test_settings_come_from_a_file(begun, tmp_path, capsys):
    content = json.loads((begun / SETTINGS).read_text())
    words = ["--config", str(begun / SETTINGS), "--out", str(tmp_path / "again"), "--dry-run"]
    main([*words, "--batch", "4"])
    shown = capsys.readouterr().out
    assert "preset paired" in shown and "width                  4" in shown
    assert "batch                  4" in shown and str(tmp_path / "again") in shown
    assert content["batch"] == 2
    file = tmp_path / "mine.yaml"
    file.write_text(
        "preset: unpaired\nlr-g: 3e-5\nzoom: [0.6, 0.9]\ncrop_sizes: '0:64,100:96'\nmirror: false\n"
    )
    main(["--config", str(file), "--out", "x", "--dry-run"])
    shown = capsys.readouterr().out
    for row in (
        *("lr_g                   3e-05", "zoom                   (0.6, 0.9)"),
        *("crop_sizes             ((0, 64), (100, 96))", "mirror                 False"),
    ):
        assert row in shown


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("preset: paired\nbatches: 3", "preset paired has no setting 'batches'"),
        ("preset: paired\nbatch: many", "batch: 'many', expected a whole number"),
        ("preset: paired\nbatch: true", "batch: True, expected a whole number"),
        ("preset: paired\nbatch: 0", "--batch 0: expected a whole number, at least 1"),
        ("- 3", "expected names with values"),
        ("a: [", "not a YAML file"),
    ],
)
def test_wrong_files_of_settings_are_named(text, message, tmp_path, capsys):
    file = tmp_path / "mine.yaml"
    file.write_text(text)
    with pytest.raises(SystemExit, match="2"):
        main(["--config", str(file), "--out", "x", "--preset", "paired", "--dry-run"])
    assert message in capsys.readouterr().err.replace("\n", " ")


def test_a_preset_that_the_file_does_not_have_is_refused(tmp_path, capsys):
    file = tmp_path / "mine.yaml"
    file.write_text("preset: unpaired")
    with pytest.raises(SystemExit, match="2"):
        main(["--config", str(file), "--out", "x", "--preset", "paired", "--dry-run"])
    assert "has preset unpaired; leave one out" in capsys.readouterr().err


def test_a_run_continues_from_a_named_checkpoint(begun, tmp_path, capsys):
    first, last = checkpoint.checkpoints(begun)
    other = tmp_path / "other"
    main(["--resume-from", str(first), "--out", str(other)])
    assert "--out" not in capsys.readouterr().err
    assert [path.name for path in checkpoint.checkpoints(other)] == [last.name]
    model = "model/diffusion_pytorch_model.fp16.safetensors"
    assert (other / model).read_bytes() == (begun / model).read_bytes()  # as if never stopped
    assert json.loads((other / SETTINGS).read_text())["width"] == 4
    with pytest.raises(SystemExit, match="2"):
        main(["--resume-from", str(first), "--out", str(other)])
    assert "holds a run already" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        main(["--preset", "paired", "--resume-from", str(tmp_path / "none"), "--out", "x", *TOY])
    assert "expected RUN/checkpoints/IMAGES" in capsys.readouterr().err


@pytest.mark.parametrize(
    "presets",
    [
        *(ANIMEGAN_PRESETS, DISTILL_PRESETS, ENCODER_PRESETS, PARSER_PRESETS),
        *(STYLEGAN_PRESETS, TOONGAN_PRESETS),
    ],
)
def test_every_setting_has_a_group_in_the_help(presets):
    for name in known_settings(presets):
        assert options.find_group(name) != options.OTHER, name


@pytest.mark.process
def test_the_help_comes_at_once_with_the_values_of_the_preset():
    words = [sys.executable, "training/train_animegan.py", "--preset", "fast", "--help"]
    started = time.monotonic()
    help = subprocess.run(words, cwd=ROOT, capture_output=True, text=True).stdout
    seconds = time.monotonic() - started
    for title in options.GROUPS:
        assert (f"\n{title}:\n" in help) == (title != options.OTHER)
    text = " ".join(help.split())
    preset = ANIMEGAN_PRESETS["fast"]
    assert f"number of images to train on (default: {preset.max_images})" in text
    assert "--precision {auto,fp32,bf16,fp16}" in text and "None" not in help
    imported = subprocess.run(
        [sys.executable, "-X", "importtime", *words[1:]], cwd=ROOT, capture_output=True, text=True
    ).stderr
    assert not any(f" {name}\n" in imported for name in ("torch", "numpy", "accelerate"))
    assert seconds < 10  # a fifth of a second where nothing else runs


def test_presets_print_as_they_are_read():
    """Values of `settings.json` go through JSON and back unchanged."""
    from training.core.config import convert

    for preset in ANIMEGAN_PRESETS.values():
        content = json.loads(json.dumps(dataclasses.asdict(preset)))
        for item in dataclasses.fields(preset):
            assert convert(content[item.name], item, "x") == getattr(preset, item.name), item.name
