"""Training StyleGAN: every setting matters, resuming is exact, what comes out can be opened."""

import dataclasses
import json
import shutil
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState
from PIL import Image

from tests.cli.test_processes import log_of, state_of
from tests.fixtures.forked import Program
from tests.fixtures.toy_data import STYLEGAN_TOY as TOY
from tests.fixtures.toy_data import options, write_faces
from toonify import hub, images, latents
from toonify.models import FACE_MODELS, MobileStyleGAN, StyleGAN2Generator
from toonify.pipelines.stylegan import StyleGANPipeline
from training import train_stylegan
from training.core import trainer
from training.core.config import replace_settings
from training.data.aligned import AlignedDataset, PairedDataset, seed_of, seeded_normal
from training.stylegan.config import STYLEGAN_PRESETS
from training.stylegan.objective import GeneratorWrapper, StyleGANObjective, open_data, transfer

MOBILE = dict(channels=(16, 16, 16, 8), heads=(16, 32), w_dim=16, z_dim=16, mapping_layers=2)


@pytest.fixture(scope="module")
def faces(tmp_path_factory) -> Path:
    """Six small drawings of a face."""
    return write_faces(tmp_path_factory.mktemp("aligned"))


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    """A toy MobileStyleGAN's folder."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("base") / "toybase"
    MobileStyleGAN(**MOBILE).half().save_pretrained(folder, variant="fp16")
    return folder


@pytest.fixture(scope="module")
def pairs(tmp_path_factory, faces) -> Path:
    folder = tmp_path_factory.mktemp("pairs")
    (folder / "w").mkdir()
    torch.manual_seed(1)
    for i, path in enumerate(sorted(faces.glob("*.png"))[:4]):
        images.save(images.load(path), folder / "toy" / "style" / f"f{i}.png")
        suffix = "npz" if i else "safetensors"
        latents.save_latent(folder / "w" / f"f{i}.{suffix}", torch.randn(1, 16), "toybase")
    return folder


def settings(out: Path, preset: str = "laptop64", **changes):
    chosen = replace_settings(STYLEGAN_PRESETS[preset], out=str(out), **(TOY | changes))
    return chosen


def run(chosen, resume: bool = False) -> StyleGANObjective:
    AcceleratorState._reset_state(reset_partial_state=True)  # of another precision, maybe
    objective = StyleGANObjective(chosen, torch.device("cpu"))
    trainer.train(objective, chosen, resume=resume)
    return objective


def weights(objective) -> dict[str, torch.Tensor]:
    G, D = objective.G.state_dict(), objective.D.state_dict()
    return {f"G.{k}": v for k, v in G.items()} | {f"D.{k}": v for k, v in D.items()}


@pytest.fixture(scope="module")
def straight(faces, tmp_path_factory):
    return run(settings(tmp_path_factory.mktemp("straight") / "run", data=str(faces)))


def test_training_moves_both_networks_and_leaves_a_generator_that_opens(straight):
    torch.manual_seed(straight.settings.seed)
    fresh = StyleGANObjective(straight.settings, torch.device("cpu"))
    for name, before in fresh.G.named_parameters():
        assert not torch.equal(before, straight.G.get_parameter(name)), name
    out = Path(straight.settings.out)
    network = hub.load_model(out / "model", FACE_MODELS)
    assert isinstance(network, StyleGAN2Generator)
    assert network(torch.randn(2, 16)).shape == (2, 3, 32, 32)
    assert not torch.equal(network.mapping.w_avg, torch.zeros(16))
    assert (out / "critic.safetensors").is_file()
    assert json.loads((out / "model" / "style.json").read_text())["family"] == "stylegan"
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    assert {"d_r1", "g_path", "d_p", "d_sign", "g_adversarial"} <= set().union(*lines)
    assert all(np.isfinite(value) for line in lines for value in line.values())


def test_stopped_and_resumed_equals_never_stopped(straight, faces, tmp_path):
    changes = {"data": str(faces), "max_images": 8}
    run(settings(tmp_path / "run", **changes))
    resumed = run(settings(tmp_path / "run", data=str(faces)), resume=True)
    ours, theirs = weights(resumed), weights(straight)
    assert [k for k, v in ours.items() if not torch.equal(v, theirs[k])] == []
    assert resumed.ada.state_dict() == straight.ada.state_dict() and resumed.ada.p > 0
    assert resumed.path.state_dict() == straight.path.state_dict() and resumed.path.mean > 0
    assert log_of(tmp_path / "run") == log_of(Path(straight.settings.out))


# Setting -> another value of it that must train other weights.
MATTERS = dict(
    seed=4, batch=2, mirror=False, resolution=64, channel_base=512, channel_max=8, latent=8,
    mapping_layers=1, conv_clamp=0.05, d_base=128, d_max=8, mbstd_group=4,
    noise="none", loss="relativistic", lr_g=0.01, lr_d=0.01, relative_rates=True, beta2=0.9,
    decay_images=16, weight_adversarial=0.5, gamma=7.0, r1_every=1, r2=True, weight_path=0.0,
    path_every=1, path_share=1.0, mixing=0.0, freeze_mapping=True, freeze_d=1, augment="full",
    augment_p=0.7, ada_target=0.0, ada_images=16, ada_cap=0.25,
)  # fmt: skip
ELSEWHERE = {  # setting -> the test that shows what it does
    "data", "look", "start_from", "d_from", "discriminator", "weight_pair", "weight_pair_features",
    "weight_color", "window",
    "title", "license", "score_samples", "out", "max_images", "max_minutes", "precision",
    "log_every_images", "sample_every_images", "save_every_images", "keep_checkpoints", "threads",
    "ema_half_life_images", "workers", "trackers", "validate", "validate_every_images",
    "data_statement", "push_to_hub", "push_every_images", "push_private",
    "gradient_accumulation_steps", "extractor", "extractor_weights",
}  # fmt: skip


def test_no_setting_is_left_without_a_test():
    names = {field.name for field in dataclasses.fields(STYLEGAN_PRESETS["64"])}
    assert names == set(MATTERS) | ELSEWHERE


def penalized(faces, images: int = 12) -> dict:
    """Settings under which path penalty, R1 and augmentation take part from the first steps on."""
    steps = dict(max_images=images, save_every_images=1000, r1_every=2)
    return dict(data=str(faces), augment_p=0.2, **steps)


@pytest.fixture(scope="module")
def plain(faces, tmp_path_factory):
    """Weights of runs with nothing changed, by their length."""
    folder = tmp_path_factory.mktemp("plain")
    return {
        images: weights(run(settings(folder / str(images), **penalized(faces, images))))
        for images in (12, 36)
    }


@pytest.mark.parametrize("name", MATTERS)
def test_every_setting_changes_what_is_trained(name, faces, plain, tmp_path):
    images = 36 if name.startswith("ada_") else 12  # p moves every four batches
    changed = settings(tmp_path / "other", **(penalized(faces, images) | {name: MATTERS[name]}))
    ours, theirs = plain[images], weights(run(changed))
    equal = ours.keys() == theirs.keys() and all(
        v.shape == theirs[k].shape and torch.equal(v, theirs[k]) for k, v in ours.items()
    )
    assert not equal


def test_a_frozen_mapping_and_frozen_blocks_stay(faces, tmp_path):
    chosen = settings(tmp_path / "run", data=str(faces), freeze_mapping=True, freeze_d=1)
    fresh = StyleGANObjective(chosen, torch.device("cpu"))
    before = {k: v.clone() for k, v in weights(fresh).items()}
    trained = weights(run(chosen))
    still = [k for k, v in before.items() if torch.equal(v, trained[k])]
    assert all(k in still for k in before if k.startswith("G.generator.mapping"))
    assert any(k.startswith("D.b32") for k in still)
    assert any(k.startswith("D.b8") for k in before if k not in still)


def test_a_projected_discriminator_trains_what_the_loss_says(faces, tmp_path):
    changes = dict(data=str(faces), discriminator="projected", resolution=64, max_images=8)
    hinge = run(settings(tmp_path / "hinge", loss="hinge", **changes))
    again = run(settings(tmp_path / "again", loss="hinge", **changes))
    logistic = run(settings(tmp_path / "logistic", **changes))
    assert (tmp_path / "hinge" / "critic.safetensors").is_file()
    assert any(key.startswith("D.heads.") for key in weights(hinge))
    for key, value in weights(hinge).items():
        assert torch.equal(value, weights(again)[key]), key
    assert any(not torch.equal(v, weights(logistic)[k]) for k, v in weights(hinge).items())
    for wrong, said in (
        (
            dict(resolution=32),
            "--resolution 32 with --discriminator projected: expected at least 64",
        ),
        (dict(freeze_d=1), "--freeze-d 1 with --discriminator projected: expected 0"),
    ):
        with pytest.raises(ValueError, match=said):
            settings(tmp_path / "wrong", **(changes | wrong))


def test_gamma_follows_the_published_rule():
    published = {"128": 0.1024, "256": 0.8192, "512": 6.5536, "1024": 52.4288}
    for preset, gamma in published.items():
        assert STYLEGAN_PRESETS[preset].r1_gamma == pytest.approx(gamma)


def test_mobile_stylegan_learns_from_a_folder(base, faces, tmp_path):
    chosen = settings(
        *(tmp_path / "run", "transfer"),
        **dict(data=str(faces), start_from=str(base), noise="const", discriminator="stylegan2"),
    )
    trained = run(chosen)
    old = hub.load_model(base, FACE_MODELS).state_dict()
    new = trained.G.generator.state_dict()
    moved = {key for key, value in new.items() if not torch.equal(value, old[key])}
    assert not any(key.startswith("mapping") for key in moved)
    # At 32 px the last block that draws 32 from 16 px; the rest waits for larger images.
    assert {key.split(".")[1] for key in moved} == {"start", "b8", "b16", "rgb32"}


def test_colors_stay_near_the_start_where_that_is_asked(base, faces, tmp_path):
    z = torch.randn(6, 16, generator=torch.Generator().manual_seed(3))

    def cells(network) -> torch.Tensor:
        ws = network.mapping(z)[:, None].expand(-1, network.num_ws, -1)
        with torch.no_grad():
            return torch.nn.functional.avg_pool2d(network.synthesis(ws, 32), 2)

    before, moved = cells(hub.load_model(base, FACE_MODELS).eval()), {}
    for weight in (0.0, 300.0):
        changes = dict(
            data=str(faces), start_from=str(base), noise="const", discriminator="stylegan2"
        )
        changes |= dict(weight_color=weight, lr_g=0.02)
        changes |= dict(max_images=64, decay_images=0)
        trained = run(settings(tmp_path / str(weight), "transfer", **changes))
        moved[weight] = float((cells(trained.G.generator.eval()) - before).abs().mean())
    assert moved[300.0] < 0.7 * moved[0.0], moved
    # A run that goes on is held by its start, not by what it had become.
    half = settings(tmp_path / "half", "transfer", **(changes | dict(max_images=32)))
    run(half)
    whole = settings(tmp_path / "half", "transfer", **changes)
    ours, theirs = weights(run(whole, resume=True)), weights(trained)
    assert all(torch.equal(value, theirs[key]) for key, value in ours.items())
    with pytest.raises(ValueError, match=r"--weight-color 1\.0: requires --start-from"):
        settings(tmp_path / "wrong", data=str(faces), weight_color=1.0)
    torch.manual_seed(0)
    small = StyleGAN2Generator(resolution=32, channel_base=256, channel_max=16, z_dim=16, w_dim=16)
    small.save_pretrained(tmp_path / "small")
    larger = dict(resolution=64, channel_base=256, channel_max=16, latent=16, weight_color=1.0)
    chosen = settings(
        tmp_path / "wrong", data=str(faces), start_from=str(tmp_path / "small"), **larger
    )
    with pytest.raises(ValueError, match="new layers have no colors to keep"):
        StyleGANObjective(chosen, torch.device("cpu"))


def test_pairs_teach_the_same_w_its_drawing(base, pairs, tmp_path):
    changes = dict(data=str(pairs), look="toy", start_from=str(base), resolution=32)
    changes |= dict(max_images=240, decay_images=120, lr_g=0.05, save_every_images=240)
    changes |= dict(weight_pair=20.0, weight_pair_features=0.1)
    trained = run(settings(tmp_path / "run", "toon", **changes))
    data = trained.dataset
    with torch.no_grad():
        w = data.w
        target = torch.stack([data.squares(p) for p in data.pictures]).float() / 127.5 - 1
        before = hub.load_model(base, FACE_MODELS).synthesis(w, 32)
        after = trained.G.generator.synthesis(w, 32)
    assert (after - target).abs().mean() < 0.7 * (before - target).abs().mean()


def test_windows_teach_the_layers_that_draw_fine_detail(base, pairs, tmp_path):
    changes = dict(data=str(pairs), look="toy", start_from=str(base), resolution=64, window=24)
    trained = run(settings(tmp_path / "run", "toon-fine", **changes))
    old = hub.load_model(base, FACE_MODELS).state_dict()
    moved = {
        key.split(".")[1]
        for key, value in trained.G.generator.state_dict().items()
        if not torch.equal(value, old[key])
    }
    assert moved == {"b16", "b32", "rgb64"}
    corners = trained.corners(torch.arange(200))
    assert corners.min() >= 0 and corners.max() + 24 <= 64 and not (corners % 8).any()


def test_what_was_trained_opens_in_the_pipeline(base, pairs, toy_portrait, tmp_path):
    chosen = settings(
        tmp_path / "run", "toon", data=str(pairs), look="toy", start_from=str(base), resolution=32
    )
    run(chosen)
    pipe = StyleGANPipeline.from_pretrained(base, encoder=toy_portrait / "encoder", device="cpu")
    drawn = pipe.toon(pipe.sample(1, seed=2), tmp_path / "run" / "model")
    assert drawn.shape == (1, 3, 64, 64) and torch.isfinite(drawn).all()


def test_transfer_takes_what_fits_by_name():
    small = StyleGAN2Generator(resolution=32, channel_base=256, channel_max=16, z_dim=16, w_dim=16)
    large = StyleGAN2Generator(resolution=64, channel_base=256, channel_max=16, z_dim=16, w_dim=16)
    copied, left = transfer(large, small)
    assert set(copied) | set(left) == set(large.state_dict())
    for key in copied:
        assert torch.equal(large.state_dict()[key], small.state_dict()[key])
    assert any(k.startswith("synthesis.b32.conv1") for k in copied)
    assert all("b64" in key for key in left)


def test_scores_see_a_better_generator(faces, tmp_path):
    chosen = settings(tmp_path / "run", data=str(faces), validate=str(faces))
    held = StyleGANObjective(chosen, torch.device("cpu")).held_out
    real = AlignedDataset(str(faces), 32, 8, seed=9)
    pictures = [real[i]["real"][None].float() / 127.5 - 1 for i in range(8)]
    noise = [torch.rand(1, 3, 32, 32) * 2 - 1 for _ in range(8)]
    alike, other = held.score(iter(pictures)), held.score(iter(noise))
    assert alike["score"] < other["score"]
    same_one = held.score(iter(pictures[:1] * 8))
    assert same_one["diversity"] == pytest.approx(0, abs=1e-6)
    assert alike["diversity"] > 0.3


@pytest.mark.parametrize("count, warns", [(3, True), (49, True), (50, False)])
def test_too_few_images_are_warned_of(tmp_path, faces, count, warns):
    (first, *_) = sorted(faces.iterdir())
    for number in range(count):
        (tmp_path / f"{number}{first.suffix}").write_bytes(first.read_bytes())
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        open_data(settings(tmp_path / "run", data=str(tmp_path)), 16)
    said = [str(w.message) for w in caught if "memorizes" in str(w.message)]
    assert len(said) == warns
    assert not warns or f"{tmp_path}: only {count} images; with fewer than 50" in said[0]


def test_draws_depend_on_their_number_alone(faces, pairs):
    data = AlignedDataset(str(faces), 32, 100, seed=1)
    first, again = data[17], AlignedDataset(str(faces), 32, 50, seed=1)[17]
    assert torch.equal(first["real"], again["real"]) and first["seed"] == again["seed"]
    assert sorted(data.place(i) for i in range(6)) == list(range(6))
    assert len({seed_of(1, i) for i in range(1000)}) == 1000
    seeds = torch.tensor([seed_of(1, 0), seed_of(1, 1)])
    both = seeded_normal(seeds, 3, 4)
    assert torch.equal(both[1:], seeded_normal(seeds[1:], 3, 4))
    assert not torch.equal(both, seeded_normal(seeds, 4, 4))
    pair = PairedDataset(str(pairs), "toy", 32, 100, (8, 16))[5]
    assert pair["real"].shape == (3, 32, 32) and pair["w"].shape == (8, 16)


def test_two_latents_are_mixed_by_layers():
    torch.manual_seed(0)
    network = StyleGAN2Generator(resolution=32, channel_base=256, channel_max=16, z_dim=8, w_dim=8)
    trainee = GeneratorWrapper(network, 32, "none").eval()
    batch = {"z": torch.randn(2, 8), "other": torch.randn(2, 8), "cut": torch.tensor([3, 8])}
    ws = trainee.latents(batch)
    w, other = network.mapping(batch["z"]), network.mapping(batch["other"])
    assert torch.allclose(ws[0, :3], w[0].expand(3, -1))
    assert torch.allclose(ws[0, 3:], other[0].expand(5, -1))
    assert torch.allclose(ws[1], w[1].expand(8, -1))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data": ""}, "--data"),
        ({"look": "toy"}, "--look"),
        ({"weight_adversarial": 0.0}, "--weight-adversarial 0"),
        ({"augment": "magic"}, "--augment magic"),
        ({"mixing": 1.5}, "--mixing 1.5"),
        ({"mbstd_group": 3}, "--mbstd-group 3"),
        ({"window": 8}, "--window 8"),
        ({"start_from": "no-such-generator"}, "no-such-generator"),
        ({"resolution": 48}, "48"),
    ],
)
def test_wrong_settings_are_answered_with_words(changes, message, faces, tmp_path):
    with pytest.raises((ValueError, OSError), match=message):
        run(settings(tmp_path / "run", **({"data": str(faces)} | changes)))
    assert not (tmp_path / "run").exists()


def test_heads_and_layers_that_do_not_fit_are_refused(base, faces, tmp_path):
    with pytest.raises(ValueError, match=r"--resolution 128.*16, 32, 64"):
        run(settings(tmp_path / "a", data=str(faces), start_from=str(base), resolution=128))
    images.save(Image.new("RGB", (64, 64)), tmp_path / "toy" / "style" / "a.png")
    changes = dict(data=str(tmp_path), look="toy", start_from=str(base), resolution=32)
    with pytest.raises(ValueError, match="no drawing in"):
        run(settings(tmp_path / "b", "toon", **changes))


def test_dry_run_touches_nothing(tmp_path, capsys):
    out = tmp_path / "run"
    train_stylegan.main(["--preset", "64", "--data", "x", "--out", str(out), "--dry-run"])
    assert "resolution" in capsys.readouterr().out and not out.exists()


def test_two_processes_with_half_the_batch_follow_one(faces, tmp_path):
    """What looks at a process's own first images is left out: deviations, shares of a batch."""
    outs = [tmp_path / "one", tmp_path / "two"]
    toy = TOY | dict(mbstd_group=1, noise="none", max_images=80, save_every_images=80, lr_g=1e-4)
    toy |= dict(lr_d=1e-4, path_share=1.0, augment_p=0.2)
    for out, count in zip(outs, (1, 2), strict=True):
        words = ["training/train_stylegan.py", "--preset", "laptop64"]
        words += options(toy, data=faces, out=out)
        Program(words, out.with_suffix(".txt"), processes=count).finish()
    ours, theirs = state_of(outs[0]), state_of(outs[1])
    parameters = [k for k in ours if k.startswith("model") and torch.is_tensor(ours[k])]
    assert parameters
    largest = max(float((ours[k].float() - theirs[k].float()).abs().max()) for k in parameters)
    print(f"largest difference of a parameter after 20 steps: {largest:.1e}")
    assert largest < 1e-4


def test_pairs_with_glasses_come_more_often(pairs, tmp_path):
    data = tmp_path / "pairs"
    shutil.copytree(pairs, data)
    names = sorted(file.stem for file in (data / "toy" / "style").iterdir())
    records = [{"name": name, "glasses": name == names[0]} for name in names]
    lines = "".join(json.dumps(record) + "\n" for record in records)
    (data / "toy" / "teacher.jsonl").write_text(lines)
    opened = PairedDataset(str(data), "toy", 32, 100, (8, 16))
    shown = Counter(picture.name for picture in opened.pictures)
    assert shown == {name: 3 if name == names[0] else 1 for name in names}
    assert len(opened.w) == len(opened.pictures)
