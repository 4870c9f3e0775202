"""Generators of cartoon faces are measured side by side, with a floor and their neighbors."""

import json
import shutil

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw

from toonify import images
from toonify.models import DCGANGenerator, ToonGANGenerator
from training import evaluate_toongan
from training.data.images import folder_pictures, square
from training.metrics import feature_extractors, precision_recall
from training.toongan import evaluation

TOY = {"z_dim": 6, "w_dim": 8, "mapping_layers": 2, "channels": (8, 8, 8, 8, 4)}


class Colors(feature_extractors.Extractor):
    """The mean colors of four quarters; three pairs of them are left out."""

    name, side, dimensions = "colors", 16, 6

    def __init__(self, weights=None):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(()))

    def forward(self, image):
        return self.scale * F.adaptive_avg_pool2d(image, 2).flatten(1)[:, ::2]


@pytest.fixture(autouse=True)
def toy_extractor(monkeypatch):
    """An extractor that costs nothing, as the one that is bundled."""
    monkeypatch.setattr(feature_extractors, "EXTRACTORS", {"colors": Colors})
    monkeypatch.setattr(feature_extractors, "BUNDLED", "colors")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A folder of 21 images of 72 px, no two alike."""
    folder, rng = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    for number in range(21):
        picture = Image.new("RGB", (72, 72), tuple(rng.integers(0, 255, 3).tolist()))
        place = rng.integers(0, 40, 2).tolist()
        color = tuple(rng.integers(0, 255, 3).tolist())
        ImageDraw.Draw(picture).rectangle((*place, 70, 70), fill=color)
        images.save(picture, folder / f"{number:02d}.png")
    return folder


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Folders of toys of 64 px: a ToonGAN as a run leaves it, and a public Toon-Generator."""
    folder = tmp_path_factory.mktemp("models")
    torch.manual_seed(0)
    ToonGANGenerator(resolution=64, **TOY).save_pretrained(folder / "ours" / "model")
    seed = DCGANGenerator(z_dim=6, channels=(8, 8, 6, 4, 4))
    for parameter in seed.parameters():
        parameter.data.normal_(0.1, 0.5)
    seed.save_pretrained(folder / "theirs")
    return folder


def run(capsys, *arguments):
    evaluate_toongan.main([str(argument) for argument in arguments])
    printed = capsys.readouterr()
    return json.loads(printed.out), printed.err


def refused(capsys, *arguments):
    with pytest.raises(SystemExit) as stopped:
        evaluate_toongan.main([str(argument) for argument in arguments])
    assert stopped.value.code == 2
    return " ".join(capsys.readouterr().err.split())


# Two sets of rows -------------------------------------------------------------------------------


def rows(count=60, size=5, seed=0):
    return np.random.default_rng(seed).normal(size=(count, size))


def test_a_set_is_all_that_is_in_it():
    found = precision_recall.compare(rows(), rows()[::-1])
    assert (found["precision"], found["recall"], found["coverage"]) == (1, 1, 1)
    assert found["nearest"] < 1e-4
    twice = np.concatenate([rows(), rows(), rows(), rows()])  # balls without an extent
    assert precision_recall.compare(twice, rows())["precision"] == 1


def test_sets_far_apart_have_nothing_in_common():
    found = precision_recall.compare(rows(), rows(seed=1) + 100)
    shares = [found[name] for name in ("precision", "recall", "density", "coverage")]
    assert shares == [0, 0, 0, 0]
    assert found["nearest"] == pytest.approx(100 * 5**0.5, rel=0.05)


def test_half_of_the_modes_is_precise_and_half_recalled():
    real = np.concatenate([rows(), rows(seed=1) + 100])
    found = precision_recall.compare(real, real[:60])
    assert found["precision"] == 1 and found["recall"] == 0.5 and found["coverage"] == 0.5


def test_the_density_of_copies_is_the_number_of_balls_about_them():
    """In equal sets each row lies in its own ball and, on average, in `k` others."""
    assert precision_recall.compare(rows(), rows())["density"] == pytest.approx(4 / 3)


def test_blocks_make_no_difference(monkeypatch):
    ours, theirs = rows(50), rows(41, seed=1)
    whole = precision_recall.compare(theirs, ours)
    monkeypatch.setattr(precision_recall, "BLOCK", 7)
    assert precision_recall.compare(theirs, ours) == pytest.approx(whole, rel=1e-12)


def test_sets_without_neighbors_are_refused():
    with pytest.raises(ValueError, match="sets of 3 and 60 images: expected more than 3"):
        precision_recall.compare(rows(3), rows())


@pytest.mark.parametrize("sizes", [(40,), (1, 30, 9)])
def test_nearest_rows_are_found_in_any_portions(sizes):
    many, few = rows(40), rows(4, seed=2)
    nearest = precision_recall.Nearest(few)
    for part in np.split(many, np.cumsum(sizes)[:-1]):
        nearest.add(part)
    exact = np.linalg.norm(few[:, None] - many, axis=2)
    assert np.array_equal(nearest.indices, exact.argsort(1)[:, :3])
    assert np.allclose(nearest.distances**0.5, np.sort(exact, 1)[:, :3])


def test_places_that_no_row_takes_are_marked():
    nearest = precision_recall.Nearest(rows(2))
    nearest.add(rows(1, seed=1))
    assert nearest.indices.tolist() == [[0, -1, -1]] * 2


# Samples ----------------------------------------------------------------------------------------


class Memoriser:
    """A generator that draws the images of its data, in another order."""

    def __init__(self, pictures):
        self.pictures = pictures
        self.engine = type("Engine", (), {"name": "memory"})

    def __call__(self, n, seed):
        return self.pictures[seed : seed + n]


def test_a_memoriser_is_found_beside_itself(data):
    networks = [feature_extractors.open_extractor("colors")]
    pictures = folder_pictures(data)
    loaded = [picture.load().resize((64, 64)) for picture in pictures[::-1]]
    drawn = evaluation.Samples("memoriser", Memoriser(loaded), 2, 8, networks)
    real = evaluation.extract_data(pictures, 64, networks, [drawn])
    itself = np.arange(18, 10, -1)  # seed 2 is the last image but two
    for nearest in drawn.nearest:
        assert np.array_equal(nearest.indices[:, 0], itself)
    assert len(real.rows("colors")) == 21
    page = evaluation.draw_neighbors(drawn, pictures, 64)
    assert page.size == (2 * 9 * 64, 4 * 64)
    cells = [page.crop((64 * x, 0, 64 * x + 64, 64)) for x in range(9)]
    for at in (1, 5):  # nearest by features, and by pixels
        assert np.abs(np.asarray(cells[0], int) - np.asarray(cells[at], int)).mean() < 4
    assert np.asarray(cells[4]).min() == 255 == np.asarray(cells[8]).min()


# The command ------------------------------------------------------------------------------------


def test_all_is_measured_drawn_and_written_into_the_card(models, data, tmp_path, capsys):
    ours = shutil.copytree(models / "ours", tmp_path / "ours") / "model"
    options = ("--data", data, "--samples", 10, "--sheets", tmp_path / "sheets", "--card")
    report, said = run(capsys, ours, models / "theirs", *options)
    assert (report["samples"], report["pictures"]) == (10, 21)
    assert list(report["models"]) == ["ours", "theirs"]
    distances = ("fd_colors", "kd_colors")
    rest = ("precision_colors", "recall_colors", "density_colors", "coverage_colors")
    for figures in (*report["models"].values(), report["floor"]):
        assert {*distances, *rest, "nearest_colors", "kd_colors_standard_error"} <= set(figures)
    found = report["models"]
    for name in distances:
        assert found["ours"][name] > report["floor"][name]  # untrained
        ratio = found["ours"][name] / found["theirs"][name]
        assert report["ratios"]["theirs"][name] == pytest.approx(ratio, rel=1e-3)
    assert found["ours"]["parameters"] > 0 and found["ours"]["engine"]
    assert "over 10 samples and 10 images" in report["notes"][0]
    assert "real images" in said and "ours over theirs: fd_colors" in said
    sheets = {path.name: images.load(path).size for path in (tmp_path / "sheets").iterdir()}
    samples, neighbors = (8 * 64, 2 * 64), (18 * 64, 5 * 64)
    assert sheets == {
        **{f"{name}_samples.jpg": samples for name in found},
        **{f"{name}_neighbors.jpg": neighbors for name in found},
    }

    written = json.loads((ours / "metrics.json").read_text())
    assert written["figures"] == report and written["extractors"] == ["colors"]
    assert str(tmp_path) not in json.dumps(written)
    text = (ours / "README.md").read_text()
    assert "\npipeline_tag: unconditional-image-generation\n" in text.partition("---\n\n")[0]
    assert 'ToonGANPipeline.from_pretrained("FOLDER")' in text and str(tmp_path) not in text
    assert f"| {report['floor']['fd_colors']:.4g} |" in text and "| theirs |" in text
    assert not (models / "theirs" / "metrics.json").exists()


def test_a_small_data_set_makes_all_counts_smaller_and_says_so(models, data, capsys):
    report, said = run(capsys, models / "theirs", "--data", data, "--samples", 50, "--seed", 1)
    assert report["samples"] == 10 and "ratios" not in report
    assert "note: --samples 50: --data has 21 images, expected 100." in said


def test_floor_and_models_meet_the_same_images(data):
    """A generator of the other half of the data gets what the floor gets."""
    networks = [feature_extractors.open_extractor("colors")]
    pictures = folder_pictures(data)
    real = evaluation.extract_data(pictures, 64, networks, ())
    others = [square(picture.load(), 64) for picture in pictures]
    drawn = evaluation.Samples("others", Memoriser(others), 10, 10, networks)
    floor = evaluation.compare(real, real, 10, first=10)
    assert evaluation.compare(real, drawn.features, 10) == floor
    assert floor["fd_colors"] > 0 and floor["kd_colors_standard_error"] > 0


def test_only_the_standard_weights_are_called_fid_and_kid(models, data, capsys, monkeypatch):
    options = (models / "theirs", "--data", data, "--samples", 4)
    assert not [key for key in run(capsys, *options)[0]["floor"] if key.startswith(("fid", "kid"))]
    monkeypatch.setattr(Colors, "prefixes", ("fid", "kid"))
    report, said = run(capsys, *options)
    assert {"fid_colors", "kid_colors"} <= set(report["floor"]) and "FID" in said


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--samples", "3"], "--samples 3: expected at least 4"),
        (["--seed", "-1"], "--seed -1: expected 0 or more"),
        (["--data", "/nowhere/at/all"], "/nowhere/at/all: expected a folder"),
    ],
)
def test_what_cannot_be_done_is_refused(options, words, models, data, capsys):
    assert words in refused(capsys, models / "theirs", "--data", data, *options)


def test_models_that_cannot_be_compared_are_refused(models, data, toy_style, tmp_path, capsys):
    ours, theirs = models / "ours" / "model", models / "theirs"
    small = tmp_path / "small"
    DCGANGenerator(6, (8, 6, 4, 4)).save_pretrained(small)
    twin = shutil.copytree(theirs, tmp_path / "theirs")
    for folders, words in (
        ((toy_style,), "_class_name is 'AnimeGANGenerator', expected one of ToonGANGenerator"),
        ((ours, small), "small: draws 32 px; expected 64 like the first"),
        ((theirs, twin), "another model is also called theirs; rename a folder"),
        (("owner/faces", "--card"), "--card: owner/faces is neither a folder nor a bundled style"),
    ):
        said = refused(capsys, *folders, "--data", data)
        assert words in said, said


def test_too_few_images_are_refused(models, data, tmp_path, capsys):
    for number in range(7):
        shutil.copy(data / f"{number:02d}.png", tmp_path)
    said = refused(capsys, models / "theirs", "--data", tmp_path)
    assert f"--data {tmp_path}: 7 images; expected 8 or more" in said
