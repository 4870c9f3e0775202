"""Training ToonGAN and the public recipe: published numbers, exact resuming, what comes out."""

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState, PartialState
from torch.utils.flop_counter import FlopCounterMode

from tests.cli.test_processes import log_of
from tests.fixtures.toy_data import DCGAN_TOY, TOONGAN_TOY, options, power_cut, write_faces
from toonify import hub, images
from toonify.models import NOISE_MODELS, DCGANGenerator, ToonGANGenerator
from training import train_toongan
from training.core import checkpoint as core_checkpoint
from training.core import trainer
from training.core.config import replace_settings
from training.core.ema import EMA
from training.gan.discriminators import DCGANDiscriminator
from training.gan.objective import new_discriminator
from training.toongan.baseline import summed_entropy
from training.toongan.config import TOONGAN_PRESETS, epochs_to_images
from training.toongan.objective import create_objective


@pytest.fixture(scope="module")
def faces(tmp_path_factory) -> Path:
    folder = write_faces(tmp_path_factory.mktemp("faces"))
    rows = [f"{i}.png,toy,0:{i},{i % 3},{i % 2}" for i in range(6)]
    (folder / "attributes.csv").write_text("\n".join(["file,style,seed,eyes,hair", *rows]))
    return folder


def settings(out: Path, preset: str = "stylegan2", **changes):
    toy = DCGAN_TOY if preset == "dcgan" else TOONGAN_TOY
    chosen = replace_settings(TOONGAN_PRESETS[preset], out=str(out), **(toy | changes))
    return epochs_to_images(chosen)


def run(chosen, resume: bool = False, crash_at: int = 0):
    """One run; with `crash_at`, its generator step number `crash_at` fails like a power cut."""
    AcceleratorState._reset_state(reset_partial_state=True)  # of another precision, maybe
    objective = create_objective(chosen, torch.device("cpu"))
    power_cut(objective, crash_at)
    trainer.train(objective, chosen, resume=resume)
    return objective


def weights(objective) -> dict[str, torch.Tensor]:
    G, D = objective.G.state_dict(), objective.D.state_dict()
    return {f"G.{k}": v for k, v in G.items()} | {f"D.{k}": v for k, v in D.items()}


def checkpoint(out: Path) -> dict[str, bytes]:
    """Of the newest checkpoint, all that training goes on from, but for the clock's seconds."""
    files = sorted(
        p
        for p in core_checkpoint.checkpoints(out)[-1].iterdir()
        if "random" not in p.name and p.suffix
    )
    state = {p.name: p.read_bytes() for p in files if p.suffix == ".safetensors"}
    for path in files:
        if path.suffix != ".safetensors":
            found = torch.load(path, weights_only=True)
            found.pop("seconds", None)
            state[path.name] = repr(found)
    return state


# Preset -> what makes a short run meet everything that a resumed one must know.
EVERYTHING = {
    "stylegan2": {"augment_p": 0.3},
    "laptop": {"warmup_images": 8},
    "conditional": {"warmup_images": 8},
    "dcgan": {},
}


@pytest.fixture(scope="module", params=EVERYTHING)
def straight(request, faces, tmp_path_factory):
    preset, out = request.param, tmp_path_factory.mktemp(request.param) / "run"
    return preset, run(settings(out, preset, data=str(faces), **EVERYTHING[preset]))


def test_training_moves_both_networks_and_leaves_a_folder_that_opens(
    straight, full_sample_grids, tmp_path
):
    preset, trained = straight
    fresh = create_objective(trained.settings, torch.device("cpu"))
    before = weights(fresh)
    after = weights(trained)
    still = [k for k, v in before.items() if torch.equal(v, after[k])]
    frozen = ("G.features", "G.generator.mapping.chances", "D.features", "D.across", "D.down")
    single = "0._u"  # the one row of a last layer, which is 1 whatever it learns
    assert [k for k in still if not k.startswith(frozen) and not k.endswith(single)] == []
    out = Path(trained.settings.out)
    kind = DCGANGenerator if preset == "dcgan" else ToonGANGenerator
    network = hub.load_model(out / "model", NOISE_MODELS)
    assert isinstance(network, kind)
    again = kind.from_pretrained(out / "model", variant="fp16").eval()
    z = torch.randn(2, 6)
    with torch.inference_mode():
        drawn = network(z)
        assert drawn.shape == (2, 3, network.resolution, network.resolution)
        assert torch.allclose(drawn, again(z).float(), atol=0.01)
    style = hub.read_style(out / "model")
    assert (style.family, style.scope) == ("toongan", "face")
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    assert all(np.isfinite(value) for line in lines for value in line.values())
    assert all(line["images_per_second"] > 0 for line in lines)
    parts = {
        "stylegan2": {"d_r1", "d_p", "d_sign", "g_adversarial"},
        "laptop": {"d_sign", "g_adversarial", "g_reconstruction", "g_prior"},
        "conditional": {"d_sign", "g_adversarial", "g_reconstruction"},
        "dcgan": {"d_loss", "g_loss"},
    }
    assert parts[preset] <= set().union(*lines)
    side = network.resolution
    assert images.load(out / "samples" / "000000000.jpg").size == (8 * side, side)
    fresh.sample(fresh.G, tmp_path / "full.jpg")
    assert images.load(tmp_path / "full.jpg").size == (8 * side, 3 * side)


@pytest.mark.parametrize("crash_at", [0, 4])
def test_stopped_or_killed_and_resumed_equals_never_stopped(straight, faces, tmp_path, crash_at):
    """Everything in the checkpoint: both networks and Adams, the EMA weights, counters, ADA."""
    preset, uncut = straight
    changes = {"data": str(faces), **EVERYTHING[preset]}
    chosen = settings(tmp_path / "run", preset, **changes)
    if crash_at:
        with pytest.raises(RuntimeError, match="power cut"):
            run(chosen, crash_at=crash_at)
    else:
        run(settings(tmp_path / "run", preset, **changes, max_images=8))
    resumed = run(chosen, resume=True)
    ours, theirs = weights(resumed), weights(uncut)
    assert [k for k, v in ours.items() if not torch.equal(v, theirs[k])] == []
    straight_out = Path(uncut.settings.out)
    assert checkpoint(tmp_path / "run") == checkpoint(straight_out)
    assert log_of(tmp_path / "run") == log_of(straight_out)
    if preset == "stylegan2":
        assert resumed.ada.p not in (0, 0.3)
    model = "model/diffusion_pytorch_model.fp16.safetensors"
    assert (tmp_path / "run" / model).read_bytes() == (straight_out / model).read_bytes()


# Setting -> another value of it that must train other weights.
MATTERS = dict(
    seed=4, batch=2, mirror=True, resolution=128, z_dim=4, w_dim=4, mapping_layers=1,
    channels=(8, 8, 8, 4, 4, 4), d_base=256, d_max=4, mbstd_group=4,
    loss="relativistic", lr_g=0.01, lr_d=0.01, beta2=0.9, decay_images=16, gamma=7.0, r1_every=1,
    r2=True, mixing=0.0, augment="full", augment_p=0.7, ada_target=0.0, ada_images=16,
    ada_cap=0.25, discriminator="projected", reconstruction_share=0.5,
)  # fmt: skip
RECONSTRUCTION_MATTERS = dict(  # where there is redrawing
    lr_init=0.1, lr_init_last=0.1, weight_reconstruction=0.0, weight_prior=1.0, weight_moments=2.0,
    weight_latent_nll=1.0, weight_diversity=2.0, warmup_images=4, attributes=True,
)  # fmt: skip
DCGAN_MATTERS = dict(
    seed=4, batch=2, z_dim=4, channels=(8, 8, 4, 4), d_channels=(4, 4, 8), lr=0.01,
    beta1=0.0, beta2=0.9, epochs=2.0,
)  # fmt: skip
ELSEWHERE = {  # setting -> the test that shows what it does
    "data", "title", "license", "score_samples", "out", "max_images", "max_minutes", "precision",
    "log_every_images", "sample_every_images", "save_every_images", "keep_checkpoints", "threads",
    "ema_half_life_images", "workers", "trackers", "validate", "validate_every_images",
    "data_statement", "push_to_hub", "push_every_images", "push_private",
    "gradient_accumulation_steps", "extractor", "extractor_weights",
}  # fmt: skip
# Settings that test_auxiliary_classifier.py tests.
OBEYING = dict.fromkeys(("code_dropout", "classifier", "weight_classification"))


def test_no_setting_is_left_without_a_test():
    for preset, matters in (
        ("stylegan2", MATTERS | RECONSTRUCTION_MATTERS | OBEYING),
        ("dcgan", DCGAN_MATTERS),
    ):
        names = {field.name for field in dataclasses.fields(TOONGAN_PRESETS[preset])}
        assert names == set(matters) | ELSEWHERE


def changes_of(name: str, data: Path) -> dict:
    """Settings under which all losses take part from the first steps on."""
    changes = dict(data=str(data), max_images=12, augment_p=0.2, save_every_images=1000)
    if name.startswith("ada_"):
        # p moves every four batches, and up where the discriminator is sure.
        changes |= {"max_images": 36, "ada_target": 0.1, "lr_d": 0.01, "lr_g": 1e-4}
    if name == "loss":
        changes["ada_target"] = 0.0
    return changes


RECIPE = {"max_images": 40, "save_every_images": 1000}
WARM_UP = {"max_images": 20, "warmup_images": 12, "save_every_images": 1000}


@pytest.fixture(scope="module")
def plain(faces, tmp_path_factory):
    """Weights of runs with nothing changed, by their length."""
    folder = tmp_path_factory.mktemp("plain")
    runs = {
        images: weights(run(settings(folder / str(images), **changes_of(name, faces))))
        for name, images in (("", 12), ("ada_", 36))
    }
    others = {"dcgan": RECIPE, "laptop": WARM_UP}
    for preset, changes in others.items():
        runs[preset] = weights(run(settings(folder / preset, preset, data=str(faces), **changes)))
    return runs


def differ(ours: dict, theirs: dict) -> bool:
    same = ours.keys() == theirs.keys() and all(
        v.shape == theirs[k].shape and torch.equal(v, theirs[k]) for k, v in ours.items()
    )
    return not same


@pytest.mark.parametrize("name", MATTERS)
def test_every_setting_changes_what_is_trained(name, faces, plain, tmp_path):
    changes = changes_of(name, faces)
    theirs = weights(run(settings(tmp_path / "run", **(changes | {name: MATTERS[name]}))))
    assert differ(plain[changes["max_images"]], theirs)


@pytest.mark.parametrize("name", DCGAN_MATTERS)
def test_every_setting_of_the_public_recipe_changes_what_is_trained(name, faces, plain, tmp_path):
    changes = {"data": str(faces), **RECIPE, name: DCGAN_MATTERS[name]}
    assert differ(plain["dcgan"], weights(run(settings(tmp_path / "run", "dcgan", **changes))))


@pytest.mark.parametrize("name", RECONSTRUCTION_MATTERS)
def test_every_setting_of_reconstruction_changes_what_is_trained(name, faces, plain, tmp_path):
    changes = {"data": str(faces), **WARM_UP, name: RECONSTRUCTION_MATTERS[name]}
    assert differ(plain["laptop"], weights(run(settings(tmp_path / "run", "laptop", **changes))))


def test_the_warm_up_goes_slower_in_its_second_half(faces, tmp_path):
    chosen = settings(
        *(tmp_path / "run", "laptop"), data=str(faces), warmup_images=400, lr_init_last=0.0001
    )
    objective = create_objective(chosen, torch.device("cpu"))
    rates = [objective.schedule(images)["init"] for images in (0, 200, 300, 400, 800)]
    assert rates == pytest.approx([0.01, 0.01, 0.001, 0.0001, 0.0001])


def test_reconstructions_are_not_seen_by_the_discriminator(faces, tmp_path):
    objective = create_objective(
        settings(tmp_path / "run", "laptop", data=str(faces)), torch.device("cpu")
    )
    draws = [objective.dataset[i] for i in range(4)]
    batch = objective.preprocess(torch.utils.data.default_collate(draws))
    assert objective.uses_discriminator(10**9)
    drawn = objective.forward(objective.G, batch)
    seen = []

    def discriminator(pictures):
        seen.append(pictures)
        return pictures.mean((1, 2, 3))[:, None]

    objective.discriminator(discriminator, drawn, batch, 0)
    objective.generator(discriminator, drawn, batch, 0)
    real, fake, again = seen
    assert torch.equal(real, batch["real"][2:]) and torch.equal(fake, drawn[0][2:])
    assert torch.equal(again, fake)


def test_the_adversarial_phase_begins_after_the_warm_up(faces, tmp_path):
    chosen = settings(
        tmp_path / "run", "laptop", data=str(faces), warmup_images=8, log_every_images=4
    )
    fresh = weights(create_objective(chosen, torch.device("cpu")))
    after = weights(run(dataclasses.replace(chosen, max_images=8)))
    assert all(torch.equal(v, fresh[k]) for k, v in after.items() if k.startswith("D."))
    run(chosen, resume=True)
    played = [line["images"] for line in log_of(tmp_path / "run") if "g_adversarial" in line]
    assert played == [12, 16]


def test_the_public_recipe_has_the_published_numbers(faces):
    s = TOONGAN_PRESETS["dcgan"]
    assert (s.z_dim, s.lr, s.beta1, s.beta2, s.batch) == (100, 0.005, 0.5, 0.999, 512)
    assert (s.epochs, s.precision, s.ema_half_life_images) == (15, "fp32", 0)
    assert s.channels == (2048, 2048, 1024, 512, 256, 128)
    with torch.device("meta"):
        G, D = DCGANGenerator(s.z_dim, s.channels), DCGANDiscriminator(s.d_channels)
    assert G.resolution == D.resolution == 128
    assert sum(p.numel() for p in G.parameters()) == 114_974_339
    assert sum(p.numel() for p in D.parameters()) == 44_615_297
    s = dataclasses.replace(s, data=str(faces), out="x", batch=8)
    whole = epochs_to_images(s)
    assert whole.max_images == 15 * 6
    few = epochs_to_images(dataclasses.replace(s, max_images=20))
    assert few.max_images == 20


def published_steps(G, D, batches, lr, betas) -> list[tuple[float, float]]:
    """The public script's steps, written out: `d2l.update_D`, then `d2l.update_G`; mean losses."""
    opt_d = torch.optim.Adam(D.parameters(), lr, betas)
    opt_g = torch.optim.Adam(G.parameters(), lr, betas)
    entropy, logged = torch.nn.BCEWithLogitsLoss(reduction="sum"), []
    for real, z in batches:
        ones, zeros = torch.ones(len(real), 1), torch.zeros(len(real), 1)
        opt_d.zero_grad()
        loss_d = (entropy(D(real), ones) + entropy(D(G(z).detach()), zeros)) / 2
        loss_d.backward()
        opt_d.step()
        opt_g.zero_grad()
        loss_g = entropy(D(G(z)), ones)
        loss_g.backward()
        opt_g.step()
        logged.append((loss_d.item() / len(real), loss_g.item() / len(real)))
    return logged


def test_the_public_recipe_takes_the_published_steps(faces, tmp_path):
    chosen = settings(tmp_path / "run", "dcgan", data=str(faces), max_images=12)
    theirs = create_objective(chosen, torch.device("cpu"))
    for layer in theirs.G.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.momentum = 0.1  # the layer's own; each batch is drawn twice
    draws = [theirs.dataset[i] for i in range(12)]
    collated = [torch.utils.data.default_collate(draws[i : i + 4]) for i in (0, 4, 8)]
    batches = [(batch["real"], batch["z"]) for batch in map(theirs.preprocess, collated)]
    assert batches[0][0].min() >= -1 and batches[0][0].max() <= 1
    logged = published_steps(theirs.G.generator, theirs.D, batches, 0.005, (0.5, 0.999))
    ours = run(chosen)
    for network in ("G", "D"):
        mine, its = (getattr(each, network).state_dict() for each in (ours, theirs))
        for key, value in mine.items():
            if "num_batches" not in key and "running" not in key:
                assert torch.allclose(value, its[key], atol=1e-5), key
            elif "running" in key and network == "G":
                assert torch.allclose(value, its[key], rtol=1e-3, atol=1e-6), key
    lines = log_of(tmp_path / "run")
    assert [(line["d_loss"], line["g_loss"]) for line in lines] == [
        pytest.approx(pair, abs=1e-4) for pair in logged
    ]


def test_the_public_recipe_keeps_no_ema_weights(straight):
    preset, trained = straight
    if preset == "dcgan":
        ema = EMA(trained.G, trained.settings.ema_half_life_images)
        trained.G.generator.gen[1].bias.data.add_(1)
        ema.update(trained.G, 4, 4)
        ours, theirs = trained.G.state_dict(), ema.network.state_dict()
        assert all(torch.equal(value, theirs[key]) for key, value in ours.items())


def test_entropy_and_scores_by_head():
    assert summed_entropy(torch.zeros(3, 1), 1.0).item() == pytest.approx(3 * math.log(2))
    assert summed_entropy(torch.full((1, 1), 50.0), 0.0).item() == pytest.approx(50)
    D = DCGANDiscriminator((4, 6, 8))
    assert D(torch.randn(2, 3, 32, 32)).shape == (2, 1)
    gains = D.disc[1].weight
    assert gains.abs().max() < 0.1 and D.disc[0].bias.any()


def cost(network: torch.nn.Module, *inputs: torch.Tensor) -> float:
    """Multiplications of a pass."""
    with FlopCounterMode(display=False) as counter:
        network(*inputs)
    return counter.get_total_flops() / 2


@pytest.mark.parametrize(("preset", "least", "most"), [("stylegan2", 0.4, 0.7)])
def test_the_discriminator_costs_no_more_than_the_generator(preset, least, most):
    s = TOONGAN_PRESETS[preset]
    G = ToonGANGenerator(resolution=s.resolution)
    D = new_discriminator(s, s.d_base, s.d_max)
    z, picture = torch.zeros(4, s.z_dim), torch.zeros(4, 3, s.resolution, s.resolution)
    assert least < cost(D, picture) / cost(G, z) < most


def test_gamma_follows_the_published_rule():
    assert TOONGAN_PRESETS["stylegan2"].r1_gamma == pytest.approx(0.0002 * 128**2 / 16)


def test_scores_and_the_best_are_kept(faces, tmp_path):
    chosen = settings(
        tmp_path / "run", data=str(faces), validate=str(faces), validate_every_images=8
    )
    run(chosen)
    assert hub.load_model(tmp_path / "run" / "best", NOISE_MODELS).resolution == 64
    scored = [line for line in log_of(tmp_path / "run") if "val_score" in line]
    assert [line["images"] for line in scored] == [8, 16]
    assert {"val_kd_mobilenet_v2", "val_diversity"} <= set(scored[0])


def test_samples_show_untruncated_noise(straight, monkeypatch):
    _, trained = straight
    asked = []
    whole = trained.G.show
    monkeypatch.setattr(
        trained.G, "show", lambda z, truncation: asked.append(truncation) or whole(z, truncation)
    )
    trained.G.eval()
    trained.sample(trained.G, Path(trained.settings.out) / "again.jpg")
    assert asked == [1.0] * len(trained.sample_z)


def test_the_clock_ends_a_run(faces, tmp_path):
    run(settings(tmp_path / "run", data=str(faces), max_minutes=1e-6))
    assert core_checkpoint.checkpoints(tmp_path / "run")[-1].name == "000000004"


@pytest.mark.parametrize(
    ("preset", "changes", "message"),
    [
        ("stylegan2", {"data": ""}, "--data: expected a folder"),
        ("stylegan2", {"augment": "magic"}, "--augment magic: expected ada"),
        ("stylegan2", {"discriminator": "magic"}, "--discriminator magic: expected stylegan2 or"),
        ("laptop", {"reconstruction_share": 0.0}, "--warmup-images 12000 with --reconstruction-"),
        ("laptop", {"reconstruction_share": 1.5}, "--reconstruction-share 1.5: expected a number"),
        ("laptop", {"reconstruction_share": 1.0}, "--reconstruction-share 1.0: expected a share"),
        ("stylegan2", {"loss": "relativistic"}, "--ada-target 0.6 with --loss relativistic"),
        ("stylegan2", {"mixing": 1.5}, "--mixing 1.5: expected a number from 0 to 1"),
        ("stylegan2", {"mbstd_group": 3}, "--mbstd-group 3: expected a divisor of --batch 4"),
        ("stylegan2", {"w_dim": 0}, "--w-dim 0: expected a whole number, at least 1"),
        ("stylegan2", {"resolution": 48}, "48"),
        ("stylegan2", {"channels": (8, 8)}, r"channels=\(8, 8\): expected 5 or more at 64 px"),
        ("stylegan2", {"max_images": 2}, "--batch 4: expected at most the 2 images"),
        ("dcgan", {"epochs": 0.5}, "--batch 4: expected at most the 3 images"),
        ("dcgan", {"d_channels": (4,)}, "--d-channels 4: expected one layer less"),
        ("dcgan", {"data": "nowhere"}, "nowhere: expected a folder of cartoon faces"),
    ],
)
def test_wrong_settings_are_answered_with_words(preset, changes, message, faces, tmp_path):
    with pytest.raises(ValueError, match=message):
        run(settings(tmp_path / "run", preset, **({"data": str(faces)} | changes)))
    assert not (tmp_path / "run").exists()


def test_groups_that_do_not_fit_a_process_and_batch_norms_of_two_are_refused(
    faces, tmp_path, monkeypatch
):
    run(settings(tmp_path / "run", data=str(faces), max_images=4))
    monkeypatch.setitem(PartialState._shared_state, "num_processes", 2)
    chosen = settings(tmp_path / "a", data=str(faces), batch=6, mbstd_group=2)
    with pytest.raises(ValueError, match="--mbstd-group 2: expected a divisor of the 3 images"):
        create_objective(chosen, torch.device("cpu"))
    with pytest.raises(ValueError, match="--preset dcgan: expected one process"):
        create_objective(settings(tmp_path / "b", "dcgan", data=str(faces)), torch.device("cpu"))


def test_an_option_of_another_preset_is_refused(faces, tmp_path, capsys):
    for options_given, said in (
        (["--preset", "dcgan", "--gamma", "3"], "--gamma 3: preset dcgan has no such setting"),
        (["--epochs", "3"], "--epochs 3: preset conditional has no such setting"),
    ):
        with pytest.raises(SystemExit):
            train_toongan.main(
                [*options_given, "--data", str(faces), "--out", str(tmp_path / "x"), "--dry-run"]
            )
        assert said in capsys.readouterr().err


def test_dry_run_touches_nothing(faces, tmp_path, capsys):
    out = tmp_path / "run"
    train_toongan.main(["--data", "x", "--out", str(out), "--dry-run"])
    assert "preset laptop" in capsys.readouterr().out
    train_toongan.main(
        ["--preset", "dcgan", "--data", str(faces), "--out", str(out), "--dry-run", "--batch", "10"]
    )
    assert "max_images             90" in capsys.readouterr().out
    assert not out.exists()


def test_the_command_trains_the_public_recipe(faces, tmp_path, capsys):
    AcceleratorState._reset_state(reset_partial_state=True)
    train_toongan.main(
        ["--preset", "dcgan", *options(DCGAN_TOY, data=faces, out=tmp_path / "run", max_images=8)]
    )
    assert "8 images in" in capsys.readouterr().out
    assert (tmp_path / "run" / "model" / "style.json").is_file()
