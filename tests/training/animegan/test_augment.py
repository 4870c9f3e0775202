"""Augmented pairs: both images change alike, and eyes and mouths are found again."""

import json
import shutil

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState
from PIL import Image

from toonify.models.animegan import noise_tile
from training.animegan import augment
from training.animegan.config import ANIMEGAN_PRESETS
from training.animegan.dataset import PARTS, RARE_FACTOR, AnimeGANDataset
from training.animegan.losses import weighted_features, weighted_l1
from training.animegan.objective import AnimeGANObjective, cut_patches
from training.core import trainer
from training.core.config import replace_settings
from training.data.halftone import print_dots
from training.data.teacher_records import HALFTONE_LAYERS

POINTS = [[60.0, 70.0], [100.0, 70.0], [80.0, 92.0], [66.0, 112.0], [96.0, 112.0]]
BOXES = {
    "face": [40, 40, 120, 130],
    "right_eye": [50, 60, 72, 80],
    "left_eye": [88, 60, 110, 80],
    "mouth": [62, 102, 100, 122],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A teacher's folder in which each toon is its photo, so that differences show."""
    data = tmp_path_factory.mktemp("pairs")
    rng = np.random.default_rng(0)
    for name in ("train_photo", "look/style", "masks"):
        (data / name).mkdir(parents=True)
    lines = []
    for index in range(4):
        photo = np.full((200, 160, 3), rng.integers(60, 200, 3), np.uint8)
        photo[40:130, 40:120] = (205, 160, 135)
        photo[60:80, 50:72] = photo[60:80, 88:110] = 250
        labels = np.zeros((200, 160), np.uint8)
        labels[40:130, 40:120] = augment.LABELS["skin"]
        labels[130:] = augment.LABELS["clothes"]
        for place in ("train_photo", "look/style"):
            Image.fromarray(photo).save(data / place / f"{index}.png")
        Image.fromarray(labels).save(data / "masks" / f"{index}.png")
        lines.append(json.dumps({"name": str(index), "points": [POINTS], "boxes": [BOXES]}))
    (data / "look/teacher.jsonl").write_text("\n".join(lines) + '\n{"name": "torn')
    return data


@pytest.fixture(scope="module")
def dataset(folder):
    return AnimeGANDataset(
        folder,
        "look",
        smooth="computed",
        crop_sizes=((0, 96),),
        augment=True,
        eyes=(20.0, 40.0),
        length=400,
    )


def test_photos_with_glasses_or_a_beard_are_drawn_more_often(folder, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(folder, data)
    lines = (data / "look/teacher.jsonl").read_text().splitlines()[:4]
    records = [json.loads(line) for line in lines]
    records[1] |= {"glasses": True, "beard": False}
    records[2] |= {"glasses": False, "beard": True}
    (data / "look/teacher.jsonl").write_text("\n".join(map(json.dumps, records)))
    options = {"smooth": "computed", "augment": True, "length": 4}
    portraits = AnimeGANDataset(data, "look", **options).augmenter.portraits
    counts = [sum(p.stem == str(index) for p in portraits) for index in range(4)]
    assert counts == [1, RARE_FACTOR, RARE_FACTOR, 1]


def test_the_images_of_a_pair_change_alike(dataset):
    equal = 0
    for index in range(60):
        sample = dataset[index]
        assert sample["photo"].shape == sample["toon"].shape == (3, 96, 96)
        assert torch.equal(sample["style"], sample["toon"])
        difference = (sample["photo"].int() - sample["toon"].int()).abs()
        equal += not difference.any()
        # Noise, blur and JPEG are slight; another place or color would differ widely.
        assert difference.float().mean() < 12
    assert 30 <= equal < 60  # two thirds are not degraded


def test_a_sample_depends_on_its_index_alone(dataset):
    for name, value in dataset[7].items():
        assert torch.equal(value, dataset[7][name])
    assert not torch.equal(dataset[7]["toon"], dataset[8]["toon"])


def test_colors_and_sizes_of_people_vary(dataset):
    samples = [dataset[index] for index in range(80)]
    faces = [s["toon"][:, s["weight"][0] == 64].float() for s in samples]
    lightness = [float(face.mean()) for face in faces if face.shape[1] > 200]
    assert len(lightness) > 40 and np.std(lightness) > 15
    areas = [int((s["weight"] > 0).sum()) for s in samples]
    assert max(areas) > 2.5 * np.median([area for area in areas if area]) / 2
    assert min(areas) < max(areas) / 3


def test_eyes_and_mouth_are_found_in_the_crop(dataset):
    on_eyes = 0
    for index in range(40):
        sample = dataset[index]
        assert sample["parts"].shape == (PARTS, 2)
        for x, y in sample["parts"].clamp(0, 95).long().tolist():
            on_eyes += int(sample["weight"][0, y, x] >= 190)
    assert on_eyes > 60  # of 160; four in ten are other places, or faces that are cut off


def test_some_samples_are_of_one_color(dataset):
    samples = [dataset[index] for index in range(200)]
    flat = [s for s in samples if s["photo"].float().std((1, 2)).max() == 0]
    assert 2 <= len(flat) <= 14  # three in a hundred
    assert all(torch.equal(s["photo"], s["toon"]) for s in flat)
    assert len({tuple(s["photo"][:, 0, 0].tolist()) for s in flat}) > 1


def test_patches_lie_about_their_centers():
    images = torch.arange(64.0).view(1, 1, 8, 8)
    patches = cut_patches(images, torch.tensor([[[4.0, 4.0], [0.0, 7.9]]]), 4)
    assert patches.shape == (2, 1, 4, 4)
    assert torch.equal(patches[0], images[0, :, 2:6, 2:6])
    assert torch.equal(patches[1], images[0, :, 4:8, 0:4])  # moved inside


def test_weights_count_more_where_they_are_larger():
    ours, theirs = torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 8, 8)
    theirs[..., :4, :] = 1
    weight = torch.ones(1, 1, 8, 8)
    assert weighted_l1(ours, theirs, weight) == weighted_l1(ours, theirs, None) == 0.5
    weight[..., :4, :] = 5
    assert weighted_l1(ours, theirs, weight) == 2.5
    half = torch.nn.functional.avg_pool2d(theirs, 2)
    assert weighted_features([half * 0], [half], weight) == 2.5


def test_eyes_count_more_in_pairs_whose_faces_are_known(folder, tmp_path):
    data = shutil.copytree(folder, tmp_path / "pairs")
    (data / "faces.json").write_text(json.dumps({str(i): [POINTS] for i in range(4)}))
    options = dict(
        smooth="computed", crop_sizes=((0, 160),), zoom=(1.0, 1.0), mirror=False, length=4
    )
    plain, weighed = (
        AnimeGANDataset(data, "look", weigh=weigh, **options)[0] for weigh in (False, True)
    )
    assert "weight" not in plain and torch.equal(plain["photo"], weighed["photo"])
    weight, eyes = weighed["weight"][0], weighed["photo"].amin(0) == 250
    middle = torch.zeros_like(eyes)
    middle[8:-8, 8:-8] = True
    assert 255 in weight and 0 in weight
    assert weight[eyes & middle].float().mean() > 200 > weight[~eyes].float().mean() * 3


def test_skin_changes_and_eyes_do_not():
    image = np.full((64, 64, 3), (205, 160, 135), np.uint8)
    image[20:40, 20:40] = 250
    labels = np.full((64, 64), augment.LABELS["skin"], np.uint8)
    for seed in range(40):
        ours, theirs = augment.recolor([image, image], labels, np.random.default_rng(seed))
        assert np.array_equal(ours, theirs)
        if abs(int(ours[5, 5].sum()) - int(image[5, 5].sum())) > 90:
            assert np.abs(ours[30, 30].astype(int) - 250).max() < 40
            return
    pytest.fail("no seed changed the skin")


def test_pairs_without_a_teacher_are_refused(folder, tmp_path):
    for name in ("train_photo", "other/style"):
        (tmp_path / name).mkdir(parents=True)
        for index in range(2):
            Image.new("RGB", (80, 80), "gray").save(tmp_path / name / f"{index}.png")
    with pytest.raises(ValueError, match=r"--augment: expected photos .*teacher\.jsonl"):
        AnimeGANDataset(tmp_path, "other", smooth="computed", augment=True, length=8)


BASE = dict(
    preset="series",
    style="look",
    smooth="computed",
    width=4,
    depth=1,
    d_width=4,
    batch=2,
    crop_sizes=((0, 64),),
    eyes=(20.0, 40.0),
    d_patch=32,
    max_images=8,
    init_images=4,
    decay_images=0,
    precision="fp32",
    trackers="none",
)


@pytest.fixture(scope="module")
def train_with(folder, tmp_path_factory):
    """Trains on the toy pairs with changed settings; returns the exported weights."""

    def run(**changes) -> bytes:
        AcceleratorState._reset_state(reset_partial_state=True)
        out = tmp_path_factory.mktemp("run")
        chosen = BASE | changes | {"data": str(folder), "out": str(out)}
        preset = ANIMEGAN_PRESETS[chosen.pop("preset")]
        settings = replace_settings(preset, **chosen)
        trainer.train(AnimeGANObjective(settings, torch.device("cpu")), settings)
        return (out / "model" / "diffusion_pytorch_model.fp16.safetensors").read_bytes()

    return run


@pytest.fixture(scope="module")
def base(train_with) -> bytes:
    weights = train_with()
    assert weights == train_with()
    return weights


@pytest.mark.parametrize(
    "change",
    [
        {"augment": False, "d_patch": 0},
        {"eyes": (30.0, 40.0)},
        {"box_weight": 1.0},
        {"d_patch": 0},
        {"noise_inputs": False},
        {"discriminator": "animegan"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_setting_changes_what_is_trained(change, base, train_with):
    assert train_with(**change) != base


def test_patches_need_augmented_pairs():
    with pytest.raises(ValueError, match=r"--d-patch 64: expected 0, or .* with --augment"):
        replace_settings(ANIMEGAN_PRESETS["series"], out="x", augment=False).check()


def test_dots_are_printed_where_the_network_reads_them(folder, tmp_path):
    """With the layers of a drawing, its dots lie on the screen of the crop, whatever its zoom."""
    data = tmp_path / "pairs"
    shutil.copytree(folder, data)
    for kind in HALFTONE_LAYERS:
        (data / "look" / kind).mkdir()
    for index in range(4):
        shape = (200, 160, 3)
        for kind, value in zip(HALFTONE_LAYERS, (200, 40, 102), strict=True):
            Image.fromarray(np.full(shape, value, np.uint8)).save(
                data / "look" / kind / f"{index}.png"
            )
    options = {"smooth": "computed", "augment": True, "eyes": (20.0, 40.0), "length": 24}
    dataset = AnimeGANDataset(data, "look", crop_sizes=((0, 96),), **options)
    screen = noise_tile()[0, :96, :96].numpy()
    followed = 0
    for index in range(24):
        toon = dataset[index]["toon"].float().mean(0).numpy()
        if toon.std() < 5:  # a sample of one color
            continue
        inked, clear = toon[screen > 0.9].mean(), toon[screen < -0.2].mean()
        followed += inked < clear - 20
        assert inked < clear + 1
    assert followed > 12


def test_the_share_of_ink_is_kept():
    plain, ink = (np.full((128, 128, 3), value, np.uint8) for value in (255, 0))
    for share in (0, 60, 128, 255):
        printed = print_dots(plain, ink, np.full((128, 128), share, np.uint8))
        assert 255 - printed.mean() == pytest.approx(share, abs=12)
