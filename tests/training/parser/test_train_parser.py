"""Training a parser at toy size: samples, losses, resuming, what comes out."""

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState
from PIL import Image, ImageDraw

from tests.cli.test_processes import log_of
from toonify import hub, images
from toonify.models import MODELS
from training.core import perceptual, trainer
from training.core.config import replace_settings
from training.parser import losses
from training.parser.augmentation import degrade, recolor
from training.parser.config import PARSER_PRESETS, ParserSettings
from training.parser.dataset import ParserDataset
from training.parser.objective import ParserObjective, new_parser
from training.train_parser import main

TOY = dict(
    batch=2, max_images=6, crop_sizes=((0, 32), (4, 64)), warmup_images=2, precision="fp32",
    decay_images=4, trackers="none", log_every_images=2, sample_every_images=1000,
    save_every_images=4, seed=3, validate_every_images=1000, ema_half_life_images=4.0,
    drawn_share=0.5,
)  # fmt: skip
FACE, HAIR, SHIRT = (230, 180, 150), (60, 40, 30), (40, 90, 200)


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, str]:
    """Four drawn people with labels, drawings of two of them, and two scenes."""
    root = tmp_path_factory.mktemp("parser")
    for i in range(4):
        photo, labels = Image.new("RGB", (80, 96), (90, 50 * i, 70)), Image.new("L", (80, 96))
        for image, shirt, hair, face in ((photo, SHIRT, HAIR, FACE), (labels, 4, 2, 3)):
            pen = ImageDraw.Draw(image)
            pen.rectangle((10, 66, 70, 96), fill=shirt)
            pen.ellipse((18, 8, 62, 60), fill=hair)
            pen.ellipse((24, 20, 56 + i, 70), fill=face)
        images.save(photo, root / "data" / "photos" / f"{i}.png")
        (root / "data" / "masks").mkdir(exist_ok=True)
        labels.save(root / "data" / "masks" / f"{i}.png")
        if i < 2:
            images.save(photo.convert("L"), root / "drawn" / "film" / "style" / f"{i}.png")
            images.save(Image.new("RGB", (90, 70), (20, 90 * i, 20)), root / "s" / f"{i}.png")
    return {"data": str(root / "data"), "scenes": str(root / "s"), "drawings": str(root / "drawn")}


@pytest.fixture
def make(folders, tmp_path):
    """make(**changes): the settings of a toy run."""
    known = TOY | folders | {"out": str(tmp_path / "run")}
    return lambda **changes: replace_settings(PARSER_PRESETS["parser"], **(known | changes))


def run(settings: ParserSettings, resume: bool = False) -> ParserObjective:
    AcceleratorState._reset_state(reset_partial_state=True)  # of another precision, maybe
    objective = ParserObjective(settings, torch.device("cpu"))
    trainer.train(objective, settings, resume=resume)
    return objective


# Samples --------------------------------------------------------------------------------------


def test_a_sample_depends_on_its_number_alone(make):
    first, second = (ParserDataset(make()) for _ in range(2))
    for index in (5, 0, 3):
        ours, theirs = first[index], second[index]
        assert (
            ours["photo"].shape[1:]
            == ours["masks"].shape[1:]
            == ((64,) * 2 if index > 3 else (32,) * 2)
        )
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert not torch.equal(first[0]["photo"], first[1]["photo"])


def test_parts_make_up_the_person_and_empty_samples_have_nobody(make):
    people = ParserDataset(make(empty_share=0.0))
    for index in range(12):
        person, *parts = people.sample(index, 64)["masks"].float()
        assert person.any() and (sum(parts) - person).abs().max() <= 3
    nobody = ParserDataset(make(empty_share=1.0))
    assert not nobody.sample(0, 64)["masks"].any()


def test_a_photo_without_labels_or_with_others_is_refused(make, folders, tmp_path):
    with pytest.raises(ValueError, match="--data: expected"):
        ParserDataset(make(data=""))
    with pytest.raises(ValueError, match="expected folders LOOK/style"):
        ParserDataset(make(drawings=folders["scenes"]))
    images.save(Image.new("RGB", (80, 96)), tmp_path / "photos" / "a.png")
    with pytest.raises(ValueError, match="no photo in photos/ has its labels"):
        ParserDataset(make(data=str(tmp_path)))
    (tmp_path / "masks").mkdir()
    Image.new("L", (8, 8)).save(tmp_path / "masks" / "a.png")
    dataset = ParserDataset(make(data=str(tmp_path), empty_share=0.0, drawn_share=0.0))
    with pytest.raises(ValueError, match="labels of the photo's size"):
        dataset[0]


def test_recoloring_keeps_the_background_and_degrading_the_size():
    rng = np.random.default_rng(0)
    image = np.full((16, 16, 3), 120, np.float32)
    masks = np.zeros((16, 16, 4), np.float32)
    masks[:, 8:, (0, 3)] = 1
    changed = [recolor(image, masks, rng) for _ in range(8)]
    assert all(np.allclose(one[:, :8], 120, atol=0.5) for one in changed)
    assert any(np.abs(one[:, 8:] - 120).max() > 10 for one in changed)
    assert all(degrade(image, rng).shape == (16, 16, 3) for _ in range(8))


# Losses ---------------------------------------------------------------------------------------


def test_losses_have_known_values():
    masks = torch.zeros(1, 4, 16, 16)
    masks[:, :, 4:12, 4:12] = 1
    sure = 40 * masks - 20
    assert losses.cross_entropy(torch.zeros_like(masks), masks, 4.0) == pytest.approx(np.log(2))
    assert losses.cross_entropy(sure, masks, 4.0) < 1e-6 and losses.dice(sure, masks) < 1e-4
    assert losses.dice(-sure, masks) > 0.9
    assert not losses.edges(torch.ones(1, 1, 8, 8), 2).any()
    assert losses.edges(masks, 2)[0, 0].sum() == 12**2 - 4**2


def test_scores_of_equal_empty_and_moved_masks():
    masks = torch.zeros(1, 1, 32, 32, dtype=torch.bool)
    masks[..., 8:24, 8:24] = True
    assert losses.overlap(masks, masks) == losses.edge_score(masks, masks) == 1
    empty = torch.zeros_like(masks)
    assert losses.overlap(empty, empty) == 1 and losses.overlap(masks, empty) == 0
    assert losses.overlap(masks.roll(8, -1), masks) == pytest.approx(1 / 3)
    assert losses.edge_score(masks.roll(1, -1), masks) == 1
    assert losses.edge_score(masks.roll(8, -1), masks) < 0.7


# Runs -----------------------------------------------------------------------------------------


def test_a_new_parser_has_the_encoder_of_imagenet():
    parser, features = new_parser().eval(), perceptual.MobileNetV2Features((1, 10))
    photo = torch.rand(1, 3, 64, 64) * 2 - 1
    seen = {}
    for index in (0, 3):
        keep = partial(seen.__setitem__, index)
        parser.stages[index].register_forward_hook(lambda *given, keep=keep: keep(given[2]))
    with torch.no_grad():
        parser(photo)
        found = features(photo)
    assert torch.allclose(seen[0], found[1], atol=1e-4)
    assert torch.allclose(seen[3], found[10], atol=1e-4)


def test_a_run_trains_all_but_the_frozen_stages_and_resumes_to_the_bit(make, folders, tmp_path):
    whole = run(make(out=str(tmp_path / "whole"), validate=folders["data"]))
    start, moved = new_parser().state_dict(), set()
    for name, value in whole.G.state_dict().items():
        if name.startswith(("stem.", "stages.")) and not torch.equal(value, start[name]):
            moved.add(name.split(".")[1])
    assert moved == {"2", "3"}
    settings = make(validate=folders["data"])
    stopped = ParserObjective(settings, torch.device("cpu"))
    steps = [stopped.generator] * 2
    stopped.generator = lambda *arguments: steps.pop()(*arguments)  # fails in the third step
    with pytest.raises(IndexError):
        trainer.train(stopped, settings)
    resumed = run(settings, resume=True)
    ours, theirs = resumed.G.state_dict(), whole.G.state_dict()
    assert [name for name in ours if not torch.equal(ours[name], theirs[name])] == []
    out = Path(settings.out)
    last = log_of(out)[-1]
    assert {"g_cross_entropy", "g_dice", "val_iou_person", "val_edge_hair"} <= set(last)
    assert 0 <= last["val_score"] <= 1 and (out / "samples" / "000000006.jpg").exists()
    network = hub.load_model(out / "model", MODELS)
    assert network(torch.zeros(1, 3, 64, 64)).shape == (1, 4, 64, 64)
    assert hub.read_style(out / "model").family == "parser"
    described = json.loads((out / "model" / "style.json").read_text())
    assert folders["data"] not in described["data"]


def test_usage_errors_name_the_option(refusal, folders, tmp_path):
    words = ["--out", tmp_path / "x", "--data", folders["data"]]
    assert "--crop-sizes 0:40: expected growing pairs" in refusal(
        main, *words, "--crop-sizes", "0:40"
    )
    assert "--scale" in refusal(main, *words, "--scale", "2,1")
    assert "--data: expected" in refusal(main, *words[:2])
