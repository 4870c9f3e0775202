"""Planted traits of a synthetic generator are read, found again in w, and written for sliders."""

import csv
import json

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from toonify import hub, images, latents
from toonify.models import DCGANGenerator, ToonGANGenerator
from toonify.pipelines.toongan import ToonGANPipeline
from training.toongan import attribute_classifier, novelty
from training.toongan import directions as toon_directions
from training.toongan import traits as toon_traits
from training.toongan.traits import TRAITS, Clause, Trait, parse

SIZE, ROWS = 8, 10  # of w; of w+
SKINS = ("#503020", "#906040", "#d0a080", "#ffe0d0")
HATS = ("none", "cap", "bowler")


def face(skin, glasses, hat):
    """A drawing of 64 px: a disc of a color, a bar over it, and a hat."""
    picture = Image.new("RGB", (64, 64), "white")
    pen = ImageDraw.Draw(picture)
    pen.ellipse((12, 12, 52, 60), fill=skin)
    if glasses == "round":
        pen.rectangle((14, 28, 50, 36), fill="black")
    if hat != "none":
        pen.rectangle((16, 2, 48, 12), fill={"cap": "red", "bowler": "navy"}[hat])
    return picture


def write_data(folder, count=120, hats=HATS):
    """A set as `cartoon_faces` writes it, every attribute drawn evenly."""
    rng, table = np.random.default_rng(0), []
    for number in range(count):
        skin, hat = SKINS[rng.integers(4)], hats[rng.integers(len(hats))]
        glasses = ("none", "round")[rng.integers(2)]
        file = f"images/000/{number:06d}.png"
        images.save(face(skin, glasses, hat), folder / file)
        table.append((file, "toy", number, skin, glasses, hat, "#ffffff"))
    with open(folder / "attributes.csv", "w", newline="") as opened:
        # `_color` as in sets written by older versions.
        names = ("file", "style", "seed", "skin_color", "glasses", "hat", "background_color")
        csv.writer(opened).writerows([names, *table])
    return folder


def table_rows(folder):
    with open(folder / "attributes.csv", newline="") as opened:
        return list(csv.reader(opened))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_data(tmp_path_factory.mktemp("data"))


class Fields(attribute_classifier.Features):
    """Instead of MobileNetV2's: the mean colors of 8 x 8 fields, which cost nothing."""

    def __init__(self, device="cpu"):
        pass

    def __call__(self, pictures):
        small = [np.asarray(picture.resize((8, 8), Image.Resampling.BOX)) for picture in pictures]
        return torch.from_numpy(np.stack(small).reshape(len(small), -1)).float() / 255


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(toon_directions, "Features", Fields)
    monkeypatch.setattr(toon_directions, "TRIAL_FACES", 12)


class Planted:
    """Faces whose traits are known directions of w: `skin` in late rows, `glasses` in early ones.

    The two directions are not orthogonal. A third one puts on hats, in all rows.
    """

    resolution = 64

    def __init__(self):
        basis, _ = torch.linalg.qr(torch.randn(SIZE, 3, generator=torch.Generator().manual_seed(1)))
        self.skin, self.hat = basis[:, 0], basis[:, 2]
        self.glasses = 0.4 * basis[:, 0] + (1 - 0.4**2) ** 0.5 * basis[:, 1]
        self.generator = ToonGANGenerator(
            resolution=64, z_dim=SIZE, w_dim=SIZE, channels=(4, 4, 4, 4, 4)
        )

    def latents(self, n, seed):
        rows = [np.random.default_rng(s).normal(size=SIZE) for s in range(seed, seed + n)]
        return latents.expand(torch.from_numpy(np.stack(rows)).float(), ROWS)

    def __call__(self, n, seed):
        return self.draw(self.latents(n, seed))

    def check_styled(self, what):
        pass

    def draw(self, ws):
        faces = []
        for w in ws if ws.ndim == 3 else latents.expand(ws, ROWS):
            skin = torch.sigmoid(2 * w[7:] @ self.skin).mean()
            dark, light = np.array([80, 48, 32]), np.array([255, 224, 208])
            color = tuple(int(v) for v in dark + float(skin) * (light - dark))
            glasses = "round" if (w[:5] @ self.glasses).mean() > 0 else "none"
            hat = float((w @ self.hat).mean())
            hat = "cap" if hat > 0.5 else "bowler" if hat < -0.5 else "none"
            faces.append(face(color, glasses, hat))
        return faces


TOY_TRAITS = {
    "skin_light": TRAITS["skin_light"],
    "glasses": TRAITS["glasses"],
    "cap": Trait("Cap", (Clause("hat", ("cap",)),)),
}


# Traits -----------------------------------------------------------------------------------------


def test_a_column_has_two_ends():
    variants = ["", "bun", "long01", "long02", "none"]
    for clause, expected in (
        (Clause("hair", ("long*",)), [None, -1, 1, 1, -1]),
        (Clause("hair", ("long*",), ("none",)), [None, None, 1, 1, -1]),
        (Clause("hair", low=("none",)), [None, 1, 1, 1, -1]),
        (Clause("hair", ("curly",)), [None] * 5),
    ):
        found = clause.values(variants)
        assert [None if v != v else v for v in found.tolist()] == expected


def test_scales_of_colors_and_numbers():
    found = Clause("skin").values(["", "#000000", "#ffffff", "none", "#808080"])
    assert found[[1, 2]].tolist() == [-1, 1] and found[[0, 3]].isnan().all()
    assert -0.2 < found[4] < 0.3
    assert Clause("size").values([3, 5, 7]).tolist() == [-1, 0, 1]
    assert Clause("size").values(["bun", "spiky"]).isnan().all()
    assert Clause("size").values(["#ffffff", "none"]).isnan().all(), "one color is no scale"


def test_traits_are_written_in_words():
    assert parse("skin=face_color") == ("skin", Trait("Skin", (Clause("face_color"),)))
    assert parse("long_hair=rear_hair:long*,neck*/none+hair:long*") == (
        "long_hair",
        Trait(
            "Long hair",
            (Clause("rear_hair", ("long*", "neck*"), ("none",)), Clause("hair", ("long*",))),
        ),
    )
    assert parse("beard=beard:/none")[1].clauses == (Clause("beard", low=("none",)),)
    for text in ("skin", "=x", "a b=c", "skin=", "skin=c:", "skin=c:/", "skin=c+", "x=c d"):
        with pytest.raises(ValueError, match=r"--trait .*: expected NAME=COLUMN"):
            parse(text)


def test_the_usual_traits_fit_the_styles_they_are_made_for():
    pytest.importorskip("dicebear_styles")
    from training.prepare import dicebear_faces

    for style, expected in (
        ("toon-head", {"hair_long", "hair_light", "skin_light", "smile", "beard"}),
        ("big-ears", {"hair_long", "hair_light", "skin_light", "smile"}),
    ):
        variants = {
            dicebear_faces.column(name): ["none", *part["variants"]]
            for name, part in dicebear_faces.components_of(style).items()
        }
        colors = dicebear_faces.colors_of(style)
        variants |= {f"{dicebear_faces.column(n)}_color": v for n, v in colors.items()}
        classifier = attribute_classifier.AttributeClassifier(variants, torch.zeros(1, 1))
        assert {name for name, trait in TRAITS.items() if trait.parts(classifier)} == expected
        for trait in TRAITS.values():
            for values in trait.parts(classifier).values():
                assert values.nan_to_num(0).min() == -1 and values.nan_to_num(0).max() == 1


# Reading ----------------------------------------------------------------------------------------


def test_what_the_table_says_is_read_off_the_images(data):
    """Through the real network, which learns from 96 images."""
    classifier, held, table = toon_directions.train_classifier(
        data, 120, 0, attribute_classifier.Features()
    )
    assert set(classifier.variants) == {"skin_color", "glasses", "hat"}, (
        "no column without a choice"
    )
    assert len(held.places) == 24 and len(table["file"]) == 120
    for column in classifier.variants:
        assert held.accuracy(classifier, column) == 1
        there = [classifier.variants[column][number] for number in held.truth[column]]
        assert there == [table[column][place] for place in held.places]
    kept, shares, notes = toon_directions.readable(TOY_TRAITS, classifier, held, True)
    assert set(kept) == set(TOY_TRAITS) and min(shares.values()) > 0.95 and not notes


def test_a_trait_of_several_styles_is_read_from_the_column_that_an_image_has():
    variants = {"hair": ["", "long01", "short01"], "rear_hair": ["", "longWavy", "none"]}
    classifier = attribute_classifier.AttributeClassifier(variants, torch.zeros(1, 6))
    scores = torch.eye(3)[[0, 0, 1, 2]], torch.eye(3)[[1, 2, 0, 0]]
    numbers = {"hair": scores[0].argmax(1), "rear_hair": scores[1].argmax(1)}
    trait = TRAITS["hair_long"]
    assert trait.signal(classifier, torch.cat(scores, 1)).tolist() == [1, -1, 1, -1]
    assert trait.values(classifier, numbers).tolist() == [1, -1, 1, -1]
    numbers["hair"][2] = 0
    assert trait.values(classifier, numbers)[2].isnan(), "neither style's"


def test_pairs_in_the_right_order():
    truth = torch.tensor([-1.0, 1.0, torch.nan, -1.0, 1.0])
    assert toon_directions.ordered(truth, torch.tensor([0.1, 0.9, 9.0, 0.2, 0.8])) == 1
    assert toon_directions.ordered(truth, torch.tensor([0.9, 0.1, 9.0, 0.8, 0.2])) == 0
    assert toon_directions.ordered(truth, torch.zeros(5)) == 0.5
    assert toon_directions.ordered(truth, torch.tensor([0.5, 0.9, 9.0, 0.2, 0.3])) == 0.75


def test_a_trait_that_cannot_be_read_is_left_out():
    rows = torch.randn(200, 4, generator=torch.Generator().manual_seed(0))
    table = {
        "seen": ["yes" if row[0] > 0 else "no" for row in rows],
        "chance": ["yes" if number % 2 else "no" for number in range(200)],
    }
    classifier, held = attribute_classifier.train(rows, table, table)
    traits = {name: Trait(name, (Clause(name, ("yes",)),)) for name in (*table, "absent")}
    kept, shares, notes = toon_directions.readable(traits, classifier, held, False)
    assert set(kept) == {"seen"} and set(shares) == set(table)
    assert len(notes) == 1 and "chance is left out: " in notes[0] and "expected 90 %" in notes[0]
    with pytest.raises(ValueError, match="--trait absent: the table has no column absent"):
        toon_directions.readable(traits, classifier, held, True)
    with pytest.raises(ValueError, match="no column for any of the traits"):
        toon_directions.readable({"absent": traits["absent"]}, classifier, held, False)


def test_what_nothing_can_be_learned_from_is_refused():
    rows = torch.zeros(20, 4)
    with pytest.raises(ValueError, match="no column of the table has more than one value"):
        attribute_classifier.train(rows, {"hat": ["cap"] * 20}, ["hat"])
    with pytest.raises(ValueError, match="9 images; expected at least 10"):
        attribute_classifier.train(rows[:9], {"hat": ["cap", "none"] * 4 + ["cap"]}, ["hat"])
    with pytest.raises(ValueError, match="column hut: expected one of hat"):
        attribute_classifier.AttributeClassifier({"hat": ["a", "b"]}, rows).column_scores(
            "hut", rows
        )


# Directions -------------------------------------------------------------------------------------


def make(data, out, faces=None, **changes):
    faces = faces or Planted()
    moved, report = toon_directions.make(
        faces, data, out, TOY_TRAITS, **{"samples": 400, **changes}
    )
    return faces, moved, "\n".join(report)


def cosine(a, b):
    return float(a @ b / (a.norm() * b.norm()))


def test_planted_directions_are_found_again(quick, data, tmp_path):
    out, sheets = tmp_path / "new" / hub.DIRECTIONS, tmp_path / "sheets"
    faces, moved, report = make(data, out, sheet=sheets, samples=1000)
    found = latents.load_directions(out)
    assert {name: one.label for name, one in found.items()} == {
        "skin_light": "Fair skin",
        "glasses": "Glasses",
        "cap": "Cap",
    }
    assert hub.directions(out.parent) == {name: one.label for name, one in found.items()}
    # Orthogonal to the other traits' directions: each changes, and keeps what it shall keep.
    across = faces.skin - faces.glasses * 0.4
    for name, planted in (
        *(("skin_light", across), ("glasses", faces.glasses - 0.4 * faces.skin)),
        ("cap", faces.hat),
    ):
        assert cosine(found[name].vector, planted) > 0.97  # 14 degrees
        others = [size for other, size in moved[name].items() if other != name]
        assert moved[name][name] > 0.5 and np.abs(others).max() < 0.2
        assert f"  {name}: 1.000" in report or f"  {name}: 0.9" in report
    assert {path.name for path in sheets.iterdir()} == {f"{name}.jpg" for name in found}
    assert images.load(sheets / "cap.jpg").size == (7 * 160, 4 * 160)


def test_layers_that_change_little_else_are_chosen(quick, data):
    """A direction that is skin's and, in part, that of glasses moves the late rows, skin's own."""
    faces = Planted()
    classifier, _, _ = toon_directions.train_classifier(data, 120, 0, Fields())
    spread = dict.fromkeys(TOY_TRAITS, 1.0)
    readings = toon_directions.ToonClassifier(faces, Fields(), classifier, TOY_TRAITS, spread)
    ws = faces.latents(24, 0)
    for name, vector, rows in (
        ("skin_light", faces.skin, [(5, 9)]),
        ("glasses", faces.glasses + faces.skin, [(0, 2), (0, 4)]),
    ):
        direction = latents.Direction(name, name, vector, (0, 9))
        settled = toon_directions.settle(readings, ws, direction)
        assert settled.layers in rows
    assert toon_directions.ranges(faces) == [(0, 9), (0, 2), (3, 9), (0, 4), (5, 9)]


def test_what_generated_faces_do_not_show_is_left_out(quick, data, tmp_path):
    bareheaded = Planted()
    bareheaded.hat = torch.zeros(SIZE)
    _, moved, report = make(data, tmp_path / "out", bareheaded, samples=200)
    assert set(moved) == {"skin_light", "glasses"}
    assert "cap is left out: of 200 faces 0 have it and 200 do not, expected 20 each" in report


def test_a_direction_that_does_not_move_its_trait_is_left_out(quick, data, tmp_path, monkeypatch):
    monkeypatch.setattr(toon_directions, "MIN_EFFECT", 9.0)
    with pytest.raises(
        ValueError, match=r"cap is left out: its direction changes it by \d.\d\d deviations"
    ):
        make(data, tmp_path / "out")
    assert not (tmp_path / "out").exists()


# Combinations -----------------------------------------------------------------------------------


def test_only_new_combinations_count(tmp_path, quick):
    """A data set without bowlers over fair skin; its images, and two faces that it has not."""
    data = write_data(tmp_path / "data", 160)
    rows = table_rows(data)
    kept = [row for row in rows[1:] if (row[3], row[5]) != (SKINS[3], "bowler")]
    with open(data / "attributes.csv", "w", newline="") as opened:
        csv.writer(opened).writerows([rows[0], *kept])
    features = Fields()
    classifier, held, table = toon_directions.train_classifier(data, 160, 0, features)
    columns = novelty.select_columns([], classifier, held)
    assert set(columns) == {"skin_color", "glasses", "hat"}
    own = features(images.load(data / file) for file in table["file"])
    count = novelty.count(table, columns, classifier, held, classifier.scores(own))
    assert len(count.new) == 0 and count.confident > 0.9 * len(own), "a memoriser has no new ones"
    new = [face(SKINS[3], glasses, "bowler") for glasses in ("none", "round")]
    seen = features([face(SKINS[0], "none", "cap"), *new])
    count = novelty.count(table, columns, classifier, held, classifier.scores(seen))
    assert count.new.tolist() == [1, 2] and (count.mistaken, count.faces) == (0, 3)
    for file, glasses in zip(count.nearest, ("none", "round"), strict=True):
        at = table["file"].index(file)
        there = [table[column][at] for column in ("skin_color", "glasses", "hat")]
        wanted = [SKINS[3], glasses, "bowler"]
        assert sum(a != b for a, b in zip(there, wanted, strict=True)) == 1
    assert "2 of these (66.7 %) have a combination that no image" in count.describe()


def test_faces_between_two_variants_do_not_count():
    variants = {"a": ["x", "y"], "b": ["x", "y"]}
    classifier = attribute_classifier.AttributeClassifier(variants, torch.zeros(1, 4))
    plain, vague = [1.0, 0.0, 0.0, 1.0], [0.55, 0.45, 0.45, 0.55]
    truth = {"a": torch.tensor([0, 1]), "b": torch.tensor([1, 1])}
    held = attribute_classifier.HeldOut(np.arange(2), torch.tensor([plain, vague]), truth)
    table = {"file": ["0", "1"], "a": ["x", "y"], "b": ["y", "y"]}
    scores = torch.tensor([[1.0, 0, 1, 0], [0.55, 0.45, 0.55, 0.45], plain])
    count = novelty.count(table, ["a", "b"], classifier, held, scores)
    assert count.new.tolist() == [0] and count.confident == 2 and count.unique == 1
    wrong = attribute_classifier.HeldOut(np.arange(2), held.scores, {**truth, "b": 1 - truth["b"]})
    assert novelty.count(table, ["a", "b"], classifier, wrong, scores).confident == 0


def test_columns_to_combine_are_checked(quick, data):
    classifier, held, _ = toon_directions.train_classifier(data, 120, 0, Fields())
    with pytest.raises(ValueError, match="--combinations shoes: expected columns among"):
        novelty.select_columns(["shoes", "hat"], classifier, held)
    with pytest.raises(ValueError, match=r"1 columns \(hat\); expected two or more"):
        novelty.select_columns(["hat"], classifier, held)


def test_examples_are_drawn_beside_the_nearest_image(quick, tmp_path):
    data = write_data(tmp_path / "data", 120, hats=("none", "cap"))
    whole = write_data(tmp_path / "whole", 8)  # so that the classifier knows of bowlers
    rows = [table_rows(folder) for folder in (data, whole)]
    bowlers = [row for row in rows[1] if row[5] == "bowler"]
    for row in bowlers:
        row[0] = f"../whole/{row[0]}"
    with open(data / "attributes.csv", "w", newline="") as opened:
        csv.writer(opened).writerows([*rows[0], *bowlers])
    sheets = tmp_path / "sheets"
    _, _, report = make(data, tmp_path / "out", sheet=sheets, columns=["skin_color", "hat"])
    assert "combinations of skin_color, hat: " in report
    if "0 of these" not in report:
        assert images.load(sheets / "combinations.jpg").width == 8 * 64


# The command ------------------------------------------------------------------------------------


def refused(capsys, *arguments):
    with pytest.raises(SystemExit) as stopped:
        toon_directions.main([str(argument) for argument in arguments])
    assert stopped.value.code == 2
    return " ".join(capsys.readouterr().err.split())


@pytest.fixture(scope="module")
def untrained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "toon"
    torch.manual_seed(0)
    ToonGANGenerator(
        resolution=64, z_dim=6, w_dim=8, mapping_layers=2, channels=(8, 8, 8, 8, 4)
    ).save_pretrained(folder)
    return folder


def test_the_command_writes_what_it_learned(quick, data, untrained, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(ToonGANPipeline, "from_pretrained", lambda source: Planted())
    out = tmp_path / "directions.safetensors"
    options = ("--samples", "300", "--trait", "sun=skin_color", "--trait", "specs=glasses:round")
    toon_directions.main([str(untrained), "--data", str(data), "--out", str(out), *options])
    printed = capsys.readouterr().out
    assert "hat: 1.000" in printed and "changes by amount 1" in printed and str(out) in printed
    assert set(latents.load_directions(out)) == {"sun", "specs"}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--samples", "59"], "--samples 59: expected 60 or more"),
        (["--pictures", "9"], "--pictures 9: expected 10 or more"),
        (["--seed", "-1"], "--seed -1: expected 0 or more"),
        (["--trait", "skin"], "--trait skin: expected NAME=COLUMN"),
        (["--trait", "shoes=shoes:red"], "--trait shoes: the table has no column shoes"),
        (["--data", "/nowhere/at/all"], "/nowhere/at/all/attributes.csv: cannot be read"),
        (["--combinations", "shoes", "hat"], "--combinations shoes: expected columns among"),
    ],
)
def test_what_cannot_be_done_is_refused(
    options, words, quick, data, untrained, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(ToonGANPipeline, "from_pretrained", lambda source: Planted())
    options = ("--data", data, "--out", tmp_path / "out", *options)
    assert words in refused(capsys, untrained, *options)
    assert not (tmp_path / "out").exists()


def test_a_network_whose_faces_are_all_alike_is_refused(quick, data, untrained, tmp_path, capsys):
    options = ("--data", data, "--out", tmp_path / "out", "--samples", 60)
    assert "glasses is left out: of 60 faces" in refused(capsys, untrained, *options)


def test_networks_without_w_are_refused(data, tmp_path, capsys):
    DCGANGenerator(6, (8, 6, 4, 4)).save_pretrained(tmp_path / "seed")
    said = refused(capsys, tmp_path / "seed", "--data", data, "--out", tmp_path / "out")
    assert f"MODEL {tmp_path / 'seed'}: DCGANGenerator has no w" in said


def test_labels_are_read_by_the_app(data, quick, tmp_path):
    """The file is that of a portrait's directions: labels in its header, without torch."""
    out = tmp_path / hub.DIRECTIONS
    make(data, out, samples=200)
    length = int.from_bytes(out.read_bytes()[:8], "little")
    about = json.loads(out.read_bytes()[8 : 8 + length])["__metadata__"]
    assert json.loads(about["glasses"])["label"] == "Glasses"
    assert toon_traits.TRAITS["glasses"].label == "Glasses"
