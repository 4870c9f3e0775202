"""Training an encoder at toy size: what learns, the ridge, resuming, what comes out."""

import dataclasses
import json
import re
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState
from PIL import Image, ImageDraw
from safetensors import safe_open

from tests.cli.test_processes import log_of, state_of
from tests.fixtures.forked import Program
from toonify import hub, images
from toonify.latents.inversion import SIDE
from toonify.models import Encoder, MobileStyleGAN, StyleGAN2Generator
from toonify.models.encoder import FROZEN
from toonify.pipelines.stylegan import StyleGANPipeline
from training.core import trainer
from training.core.config import RunSettings, replace_settings
from training.data.aligned import seed_of
from training.encoder import generated_faces, initialization
from training.encoder import objective as encoder_objective
from training.encoder.config import ENCODER_PRESETS, EncoderSettings
from training.encoder.dataset import EncoderDataset
from training.encoder.generated_faces import generate
from training.encoder.objective import EncoderObjective
from training.train_encoder import main

TOY = dict(
    free_layers=5, linear=8, hidden=16, squeezed=8, width=4, ridge_faces=8,
    heads=((0, 32), (4, 64)), batch=2, max_images=6, decay_images=4, warmup_images=2,
    precision="fp32", trackers="none", log_every_images=2, sample_every_images=1000,
    save_every_images=4, seed=3, validate_every_images=1000, ema_half_life_images=4.0,
)  # fmt: skip


@pytest.fixture(scope="module")
def faces(tmp_path_factory) -> Path:
    """Four drawings of a face."""
    folder = tmp_path_factory.mktemp("aligned")
    for i in range(4):
        face = Image.new("RGB", (96, 96), (50 * i, 90, 200 - 30 * i))
        pen = ImageDraw.Draw(face)
        pen.ellipse((16, 10, 80, 90), fill=(230, 180 - 10 * i, 150))
        for x in (36, 60):
            pen.ellipse((x - 5, 40, x + 5, 50 + i), fill=(20, 30, 60))
        images.save(face, folder / f"{i}.png")
    return folder


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    """A toy generator's folder: 14 rows of 16."""
    torch.manual_seed(0)
    network = MobileStyleGAN((16, 16, 16, 8, 8), (32, 64), 16, 16, 2)
    for side in network.synthesis.heads:  # untrained ones draw all but gray
        getattr(network.synthesis, f"rgb{side}").weight.data.mul_(30)
    folder = tmp_path_factory.mktemp("base") / "toybase"
    network.save_pretrained(folder)
    return folder


def settings(faces: Path, base: Path, out: Path, **changes) -> EncoderSettings:
    toy = TOY | dict(photos=str(faces), base=str(base), out=str(out))
    return replace_settings(ENCODER_PRESETS["portrait"], **(toy | changes))


@pytest.fixture
def make(faces, base, tmp_path):
    """make(**changes): the settings of a toy run."""
    return partial(settings, faces, base, tmp_path / "run")


def run(chosen: EncoderSettings, resume: bool = False) -> EncoderObjective:
    AcceleratorState._reset_state(reset_partial_state=True)  # of another precision, maybe
    objective = EncoderObjective(chosen, torch.device("cpu"))
    if not resume:
        objective.initialize()
    trainer.train(objective, chosen, resume=resume)
    return objective


@pytest.fixture(scope="module")
def straight(faces, base, tmp_path_factory) -> EncoderObjective:
    """A run that was never stopped."""
    out = tmp_path_factory.mktemp("straight") / "run"
    return run(settings(faces, base, out, validate=str(faces)))


def test_three_steps_move_the_free_half_and_never_the_frozen_one(straight):
    fresh = EncoderObjective(straight.settings, torch.device("cpu"))
    out = Path(straight.settings.out)
    with safe_open(out / "ridge.safetensors", "pt") as fitted:
        kept = fitted.keys()
        start = fresh.G.state_dict() | {key: fitted.get_tensor(key) for key in kept}
    learned = {name for name, p in straight.G.named_parameters() if p.requires_grad}
    assert not any(name.startswith(f"backbone.{i}.") for name in learned for i in range(FROZEN + 1))
    moved = {
        name
        for name, value in straight.G.state_dict().items()
        if not torch.equal(value, start[name]) and name != "unit"
    }
    assert moved == learned
    base = fresh.base.state_dict()
    assert all(torch.equal(v, base[k]) for k, v in straight.base.state_dict().items())


def test_a_run_leaves_log_samples_settings_and_scores(straight):
    out = Path(straight.settings.out)
    lines = log_of(out)
    assert [line["images"] for line in lines] == [2, 4, 6]
    for line in lines:
        assert {"g_pixels", "g_perceptual", "g_pull", "g_spread", "g_w"} <= set(line)
        assert all(np.isfinite(value) for value in line.values())
    last = lines[-1]
    assert last["val_score"] == pytest.approx(last["val_pixels"] + last["val_perceptual"], abs=1e-5)
    assert images.load(out / "samples" / "000000006.jpg").size == (4 * 64, 2 * 64)
    assert json.loads((out / "settings.json").read_text())["linear"] == 8
    assert (out / "best" / "style.json").exists()


def test_stopped_and_resumed_equals_never_stopped(straight, make, monkeypatch):
    chosen = make(validate=straight.settings.validate)
    objective = EncoderObjective(chosen, torch.device("cpu"))
    objective.initialize()
    monkeypatch.setattr(
        encoder_objective, "fit_ridge", lambda *_, **__: pytest.fail("fitted again")
    )
    whole, calls = objective.generator, []

    def generator(*arguments):
        calls.append(1)
        if len(calls) == 3:
            raise RuntimeError("power cut")
        return whole(*arguments)

    objective.generator = generator
    with pytest.raises(RuntimeError, match="power cut"):
        trainer.train(objective, chosen)
    resumed = run(chosen, resume=True)
    ours, theirs = resumed.G.state_dict(), straight.G.state_dict()
    assert [k for k, v in ours.items() if not torch.equal(v, theirs[k])] == []
    outs = [Path(one.settings.out) for one in (resumed, straight)]
    assert log_of(outs[0]) == log_of(outs[1])
    first, second = (out / "model" / hub.WEIGHTS[0] for out in outs)
    assert first.read_bytes() == second.read_bytes()


def test_a_start_that_was_cut_off_keeps_its_ridge(make, monkeypatch):
    first = EncoderObjective(make(), torch.device("cpu"))
    first.initialize()
    again = EncoderObjective(make(), torch.device("cpu"))
    fitted = []
    monkeypatch.setattr(
        encoder_objective, "fit_ridge", lambda *_, **__: fitted.append(1) or (1.0, 1.0)
    )
    again.initialize()
    assert not fitted and torch.equal(first.G.offsets.weight, again.G.offsets.weight)
    other = EncoderObjective(make(ridge_penalty=2.0), torch.device("cpu"))
    other.initialize()
    assert fitted


def test_ridge_of_a_linear_world_is_that_world():
    torch.manual_seed(1)
    features = torch.randn(60, 40)
    world = torch.randn(40, 3) @ torch.randn(3, 12)
    targets = features @ world + torch.randn(12)
    read, shift, write, bias, error = initialization.low_rank_ridge(features, targets, 3, 1e-6)
    hidden = features @ read.T + shift
    assert torch.allclose(hidden.std(0), torch.ones(3), atol=1e-3)
    assert torch.allclose(hidden @ write.T + bias, targets, atol=1e-2)
    assert error < 1e-6 * targets.var()
    *_, flat, error = initialization.low_rank_ridge(features, targets, 3, 1e9)
    assert torch.allclose(flat, targets.mean(0))
    left_out = (targets - targets.mean(0)).square().mean() * (60 / 59) ** 2
    assert error == pytest.approx(float(left_out), rel=0.1)


def test_ridge_finds_w_of_new_faces_better_than_the_mean(make):
    objective = EncoderObjective(make(), torch.device("cpu"))
    encoder, base = objective.G, objective.base
    error, mean_face = initialization.fit_ridge(encoder, base, 40, 8, 0.1, 0, mixed_share=0.0)
    seeds = torch.tensor([seed_of(5, i) for i in range(8)])
    new, ws = generate(base, encoder.layer_of, seeds, mixed_share=0.0)
    with torch.no_grad():
        found = (encoder(new) - ws) / encoder.w_std
        mean = (encoder.w_avg - ws) / encoder.w_std
    assert found.square().mean() < 0.7 * mean.square().mean()
    assert error < 0.7 * mean_face


def test_what_was_trained_opens_in_the_pipeline_and_finds_the_same_w(make, base, tmp_path):
    objective = EncoderObjective(make(license="CC0-1.0"), torch.device("cpu"))
    objective.initialize()
    folder = tmp_path / "mine" / "model"
    objective.export(objective.G, folder, 6)
    pipe = StyleGANPipeline.from_pretrained(base, encoder=folder, device="cpu")
    face = images.to_pil(objective.sample_faces[0])
    found = pipe.invert(face)
    with torch.no_grad():
        trained = objective.G(images.to_tensor(face))
        read = hub.load_model(folder, {"Encoder": Encoder})(images.to_tensor(face))
    assert torch.allclose(read, trained, atol=0.02)
    # The engine computes in bfloat16 where the processor does.
    assert (found - read).abs().mean() < 0.02 * read.std()
    assert hub.read_style(folder).family == "stylegan-encoder"
    said = json.loads((folder / "style.json").read_text())
    bundled = json.loads((hub.BUNDLED / "portrait-encoder" / "style.json").read_text())
    # How different a face may be is measured afterwards.
    assert said.keys() == bundled.keys() - {"max_difference"}
    assert (said["title"], said["license"]) == ("Mine", "CC0-1.0")
    further = EncoderObjective(make(start_from=str(folder)), torch.device("cpu"))
    further.initialize()
    assert torch.equal(further.G.unit, objective.G.unit.half().float())


def test_a_stylegan2_gets_an_encoder_too(faces, tmp_path):
    torch.manual_seed(0)
    folder = tmp_path / "base"
    StyleGAN2Generator(64, 16, 16, 2, 512, 16).save_pretrained(folder)
    trained = run(settings(faces, folder, tmp_path / "run", free_layers=16))
    assert (
        trained.G.config.free_layers == 9
    )  # of ten layers, each has an effect of its own at 64 px
    (tmp_path / "run" / "model").rename(folder / "encoder")
    pipe = StyleGANPipeline.from_pretrained(folder, device="cpu")
    first, second = (pipe.invert(images.to_pil(face)) for face in trained.sample_faces[:2])
    assert first.shape == (1, 10, 16) and not torch.allclose(first, second, atol=0.01)


def test_draws_depend_on_their_number_alone(faces):
    def draws(share: float, length: int = 20, seed: int = 1) -> EncoderDataset:
        return EncoderDataset(str(faces), length, share, seed, True)

    first, second = draws(0.5), draws(0.5, length=30)
    for index in (13, 2, 13):
        ours, theirs = first[index], second[index]
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert [bool(first[i]["generated"]) for i in range(6)] == [False, True] * 3
    assert sum(bool(draws(0.25)[i]["generated"]) for i in range(20)) == 5
    epoch = [first[i]["photo"].float().mean() for i in range(0, 8, 2)]
    assert len(set(epoch)) == 4  # each photo once
    assert not torch.equal(first[3]["seed"], draws(0.5, seed=2)[3]["seed"])


def test_a_generated_face_is_its_seeds_alone_and_drawn_from_its_w(base):
    network = hub.load_model(base, {"MobileStyleGAN": MobileStyleGAN})
    layer_of = torch.arange(14).clamp(max=5)
    seeds = torch.tensor([seed_of(1, i) for i in range(6)])
    faces, ws = generate(network, layer_of, seeds, (0.5, 1.0), 1.0)
    alone, w = generate(network, layer_of, seeds[4:5], (0.5, 1.0), 1.0)
    assert torch.allclose(faces[4:5], alone, atol=1e-4)
    assert torch.allclose(ws[4:5], w, atol=1e-6)
    drawn = network.synthesis(w, 128).clamp(-1, 1)
    assert torch.allclose(alone.mean((2, 3)), drawn.mean((2, 3)), atol=0.02)
    assert torch.equal(ws[:, 5:], ws[:, 5:6].expand(-1, 9, -1))
    assert all(len(one[:6].unique(dim=0)) == 2 for one in ws)  # two people each
    _, plain = generate(network, layer_of, seeds, (0.5, 1.0), 0.0)
    assert torch.equal(plain, plain[:, :1].expand_as(plain))
    _, mean = generate(network, layer_of, seeds, (0.0, 0.0), 1.0)
    assert torch.allclose(mean, network.mapping.w_avg.expand_as(mean), atol=1e-6)


def test_faces_are_moved_relit_and_softened_by_known_amounts():
    torch.manual_seed(0)
    faces = torch.rand(2, 3, 16, 16) * 2 - 1
    zero, one = torch.zeros(2), torch.ones(2)
    nowhere = torch.zeros(2, 2)
    assert torch.allclose(generated_faces.move(faces, zero, one, nowhere), faces, atol=1e-5)
    shift = torch.tensor([[2 / 16, 0.0], [0.0, -1 / 16]])
    moved = generated_faces.move(faces, zero, one, shift)
    assert torch.allclose(moved[0, :, :, 2:], faces[0, :, :, :-2], atol=1e-5)
    assert torch.allclose(moved[1, :, :-1], faces[1, :, 1:], atol=1e-5)
    around = generated_faces.move(faces, zero + 180, one, nowhere)
    assert torch.allclose(around, faces.flip(2, 3), atol=1e-4)
    twice = generated_faces.move(faces, zero, 2 * one, nowhere)
    assert torch.allclose(twice.mean((2, 3)), faces[..., 4:12, 4:12].mean((2, 3)), atol=0.1)
    same = generated_faces.relight(faces, one, torch.ones(2, 3))
    assert torch.allclose(same, faces, atol=1e-5)
    gray = generated_faces.relight(torch.zeros(1, 3, 4, 4), torch.tensor([2.0]), torch.ones(1, 3))
    assert torch.allclose(gray, torch.full_like(gray, -0.5))
    flat = torch.full((1, 3, 16, 16), 0.3)
    assert torch.allclose(generated_faces.soften(flat, 6), flat)
    assert generated_faces.soften(faces, 6).std() < 0.8 * faces.std()


def test_losses_have_values_to_check_in_the_head():
    offsets = torch.tensor([[[1.0, 1.0], [3.0, 3.0]], [[2.0, 2.0], [2.0, 2.0]]])
    assert encoder_objective.mean_square(offsets).tolist() == [5, 4]
    assert encoder_objective.layer_variance(offsets).tolist() == [1, 0]


def test_a_photo_that_the_base_draws_is_at_no_distance_from_it(make):
    objective = EncoderObjective(make(ridge_faces=0), torch.device("cpu"))
    ws = torch.randn(1, 14, 16)
    with torch.no_grad():
        drawn = objective.base.synthesis(ws, 64)
        face = torch.nn.functional.interpolate(drawn, size=(SIDE, SIDE), mode="nearest")
        same = objective.compare(objective.G, ws, face, 64)
        other = objective.compare(objective.G, ws + 1, face, 64)
    for name in ("pixels", "perceptual"):
        assert same[name] < 1e-4 < other[name]


# Setting -> a value that makes another batch of the same draws.
BATCH = dict(
    truncation=(0.2, 0.3), mixed_share=1.0, reframed_share=0.0, turn_degrees=0.0, scale=0.0,
    shift=0.0, light=0.0, tint=0.0, blurred_share=0.0, noise=0.0,
)  # fmt: skip
CONFIG = dict(free_layers=3, linear=4, hidden=8, squeezed=4, width=2)
WEIGHTS = dict(
    weight_pixels=2.0, weight_perceptual=3.0, weight_pull=5.0, weight_spread=7.0, weight_w=11.0
)
ELSEWHERE = {  # setting -> the test that shows what it does, or one of the loop
    "photos", "base", "start_from", "title", "license", "ridge_faces", "ridge_penalty", "heads",
    "generated_share", "flips", "lr", "relative_rate", "warmup_images", "decay_images", "identity",
    "weight_identity", *(field.name for field in dataclasses.fields(RunSettings)),
}  # fmt: skip


def test_no_setting_is_left_without_a_test():
    names = {field.name for field in dataclasses.fields(EncoderSettings)}
    assert names == {*BATCH, *CONFIG, *WEIGHTS, *ELSEWHERE}


def test_settings_change_what_is_seen_built_and_weighed(make):
    first = make(blurred_share=1.0, reframed_share=1.0, mixed_share=0.0, **(CONFIG | WEIGHTS))
    objective = EncoderObjective(first, torch.device("cpu"))
    assert {name: objective.G.config[name] for name in CONFIG} == CONFIG
    draws = torch.utils.data.default_collate([objective.dataset[i] for i in range(2)])
    plain = objective.preprocess(draws)
    for name, value in BATCH.items():
        objective.settings = dataclasses.replace(first, **{name: value})
        batch = objective.preprocess(draws)
        assert not all(torch.equal(batch[key], plain[key]) for key in plain), name
    objective.settings = first
    assert (objective.head(3), objective.head(4)) == (32, 64)
    with torch.no_grad():
        ws = objective.forward(objective.G, plain)
        loss, parts = objective.generator(None, ws, plain, 0)
        assert parts.keys() == {name.removeprefix("weight_") for name in WEIGHTS}
        expected = sum(WEIGHTS[f"weight_{name}"] * float(part) for name, part in parts.items())
        assert float(loss) == pytest.approx(expected, rel=1e-4)
        # Kinds apart: the parts of a photo alone, and of a generated face alone, are halves.
        halves = [
            objective.generator(None, ws[i : i + 1], {k: v[i : i + 1] for k, v in plain.items()}, 0)
            for i in range(2)
        ]
    assert sum(float(half) for half, _ in halves) / 2 == pytest.approx(float(loss), rel=1e-4)
    assert halves[0][1]["w"] == halves[1][1]["pixels"] == 0


def test_rates_rise_then_fall_and_go_by_the_size_of_the_linear_path(make):
    chosen = make(max_images=100, warmup_images=20, decay_images=50, lr=0.5, relative_rate=0.01)
    objective = EncoderObjective(chosen, torch.device("cpu"))
    rates = [objective.schedule(images)["init"] for images in (0, 8, 20, 50, 75, 100)]
    assert rates == pytest.approx([0.05, 0.25, 0.5, 0.5, 0.25, 0.015])
    groups = objective.optimizers()["init"].param_groups
    for group in groups[:-1]:
        (weights,) = group["params"]
        size = float(weights.detach().square().mean().sqrt())
        assert 0.5 * group["share"] == pytest.approx(0.01 * size)
    assert "share" not in groups[-1]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"photos": ""}, "--photos: expected aligned faces"),
        ({"photos": "/nowhere/at/all"}, "/nowhere/at/all: expected a folder of aligned images"),
        ({"base": "no-such-base"}, "--base no-such-base"),
        ({"base": "portrait-encoder"}, "expected one of StyleGAN2Generator, MobileStyleGAN"),
        ({"start_from": "portrait-encoder"}, r"23 layers of 512, and --base .* 14 of 16"),
        ({"heads": "0:32,4:256"}, r"image heads of .*toybase, 32, 64, 128 px"),
        ({"heads": "2:32"}, "growing pairs"),
        ({"ridge_faces": "3"}, "--ridge-faces 3: expected 0, or at least --linear 8"),
        ({"generated_share": "1"}, "--generated-share 1.0"),
        ({"truncation": "1,0.5"}, "0 <= low <= high"),
        ({"lr": "0"}, "--lr 0.0"),
        ({"identity": "voice"}, "--identity voice: expected .*facenet"),
        (
            {"identity": "facenet"},
            "--identity facenet: its weights .* are not.*download https",
        ),
        ({"preset": "landscape"}, "landscape.*portrait"),
        ({"resume": None}, "--resume: no checkpoint in"),
    ],
)
def test_wrong_options_are_refused_with_a_message(
    changes, message, make, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "cache"))
    monkeypatch.setattr(encoder_objective, "fit_ridge", lambda *_, **__: pytest.fail("fitted"))
    with pytest.raises(SystemExit) as stopped:
        main(options(make(), changes))
    assert stopped.value.code == 2
    said = capsys.readouterr().err
    assert re.search(message, said.replace("\n", " ")), said
    assert not (tmp_path / "run").exists()


def options(chosen: EncoderSettings, changes: dict) -> list[str]:
    """A command line: what a toy run changes of the preset, then `changes`; None is a switch."""
    toy = {name: getattr(chosen, name) for name in (*TOY, "photos", "base", "out")}
    toy["heads"] = ",".join(f"{start}:{px}" for start, px in chosen.heads)
    given = [(f"--{k.replace('_', '-')}", v) for k, v in (toy | changes).items()]
    return [part for name, v in given for part in ([name] if v is None else [name, str(v)])]


def test_dry_run_touches_nothing(tmp_path, capsys):
    main(["--out", str(tmp_path / "run"), "--photos", "x", "--dry-run"])
    assert "ridge_faces            3000" in capsys.readouterr().out
    assert not (tmp_path / "run").exists()


def test_two_processes_with_half_the_batch_follow_one(make, tmp_path):
    changes = dict(batch=8, max_images=40, heads=((0, 32), (24, 64)), lr=2e-5, save_every_images=40)
    run(make(**changes))
    out = tmp_path / "two"
    changes |= dict(out=out, heads="0:32,24:64")
    words = ["training/train_encoder.py", *options(make(), changes)]
    Program(words, tmp_path / "two.txt", processes=2).finish()
    for one, two in zip(log_of(tmp_path / "run"), log_of(out), strict=True):
        assert two == pytest.approx(one, rel=1e-4)
    ours, theirs = state_of(tmp_path / "run"), state_of(out)
    weights = [k for k in ours if k.startswith("model")]
    apart = max(float((ours[k].float() - theirs[k].float()).abs().max()) for k in weights)
    print(f"largest difference of a parameter after 5 steps: {apart:.1e}")
    assert apart < 1e-4
