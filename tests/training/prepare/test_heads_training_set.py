"""What ToonGAN learns from heads: images, their mirror images, and a table of all that varies."""

import csv
import json

import numpy as np
import pytest
from PIL import Image

from training.prepare.heads.attributes import sample_attributes
from training.prepare.heads.landmarks import NAMES, mirror_name
from training.prepare.heads.table import PARTS, HeadSet
from training.prepare.heads.training_set import main, normal_scores
from training.toongan.conditional import AttributeTable

COUNT = 40


def write_head(heads: HeadSet, seed: int, lit: float, wide: float) -> None:
    """A square in front of a ground whose left half is as bright as `lit` says.

    The right ear's lobe is as far out as `wide` says.
    """
    drawn = sample_attributes(seed)
    image = np.full((64, 64, 3), 90, np.uint8)
    image[:, :32] = round(255 * lit)
    image[20:44, 20:44] = 18 * drawn.skin_tone
    mask = np.zeros((64, 64), np.uint8)
    mask[20:44, 20:44] = PARTS.index("skin")
    for kind, pixels in (("images", image), ("masks", mask), ("depth", mask)):
        Image.fromarray(pixels).save(heads.path(kind, seed))
    points = {name: [10.0 + i % 7, 20.0 + i % 5, 1] for i, name in enumerate(NAMES)}
    points["right_ear_lobe"][0] = 4 + 8 * wide
    record = {"attributes": drawn.row(), "version": "x", "size": 64, "samples": 1}
    record["landmarks"] = points
    heads.path("heads", seed).write_text(json.dumps(record))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("heads")
    heads = HeadSet(folder / "heads")
    heads.open()
    rng = np.random.default_rng(0)
    lit, wide = rng.random((2, COUNT))
    for seed in range(COUNT):
        write_head(heads, seed, lit[seed], wide[seed])
    heads.path("images", 7).unlink()  # torn
    out = folder / "set"
    sizes = ["--size", "32", "--shapes", "3", "--codes", "3"]
    main([str(heads.folder), str(out), *sizes, "--count", str(COUNT)])
    return out, list(csv.DictReader((out / "attributes.csv").open())), lit, wide


def test_every_whole_head_is_there_and_mirrored(made):
    out, rows, *_ = made
    assert len(rows) == 2 * (COUNT - 1)
    assert "7" not in {row["seed"] for row in rows}
    first, second = rows[:2]
    with Image.open(out / first["file"]) as image, Image.open(out / second["file"]) as mirrored:
        assert image.size == (32, 32)
        assert np.array_equal(np.asarray(image)[:, ::-1], np.asarray(mirrored))
    for name in ("yaw", "roll", "tilt"):
        assert float(first[name]) == pytest.approx(-float(second[name]), abs=1e-4)
    assert first["pitch"] == second["pitch"]
    assert first["skin_tone"] == second["skin_tone"] == str(sample_attributes(0).skin_tone)


def test_a_code_tells_what_the_attributes_do_not(made):
    _, rows, lit, _ = made
    code = np.array([float(row["code_00"]) for row in rows if not row["file"].endswith("m.png")])
    bright = np.delete(lit, 7)
    tones = [sample_attributes(seed).skin_tone for seed in range(COUNT) if seed != 7]
    assert abs(np.corrcoef(code, bright)[0, 1]) > 0.8
    assert abs(np.corrcoef(code, tones)[0, 1]) < 0.3


def test_a_shape_tells_where_the_landmarks_are(made):
    _, rows, _, wide = made
    plain = [row for row in rows if not row["file"].endswith("m.png")]
    shapes = [[float(row[name]) for row in plain] for name in ("shape_00", "shape_01", "shape_02")]
    assert np.abs(np.corrcoef([np.delete(wide, 7), *shapes])[0, 1:]).max() > 0.8


def test_landmarks_change_their_sides_in_a_mirror():
    assert {mirror_name(name) for name in NAMES} == set(NAMES)
    assert all(mirror_name(mirror_name(name)) == name for name in NAMES)
    pairs = {"jaw_3": "jaw_13", "left_brow_1": "right_brow_3", "lips_outer_8": "lips_outer_10"}
    pairs |= {"lips_inner_5": "lips_inner_7", "left_ear_top": "right_ear_top"}
    pairs |= {"nose_bridge_2": "nose_bridge_2", "left_eye_upper_outer": "right_eye_upper_outer"}
    assert {name: mirror_name(name) for name in pairs} == pairs


def test_numbers_are_normal_by_rank():
    scores = normal_scores(np.array([[3.0], [1.0], [2.0], [2.0]]))
    assert scores[:, 0] == pytest.approx([1.1503, -1.1503, 0, 0], abs=1e-3)


def test_scores_count_ranks_among_other_values():
    scores = normal_scores(np.array([[0.0], [2.0], [9.0]]), np.array([[1.0], [2.0], [3.0]]))
    assert scores[:, 0] == pytest.approx([-0.9674, 0, 0.9674], abs=1e-3)


def test_more_heads_and_held_out_ones_have_the_numbers_of_a_set(made, tmp_path):
    out, rows, *_ = made
    heads = out.parent / "heads"
    main([str(heads), str(tmp_path / "held"), "--size", "32", "--count", "6", "--like", str(out)])
    held = list(csv.DictReader((tmp_path / "held" / "attributes.csv").open()))
    assert held == rows[:12]  # the same heads as before, few as they are
    rest = [str(heads), str(tmp_path / "rest"), "--size", "32", "--count", str(COUNT)]
    main([*rest, "--like", str(tmp_path / "held"), "--without", str(tmp_path / "held")])
    assert list(csv.DictReader((tmp_path / "rest" / "attributes.csv").open())) == rows[12:]


@pytest.mark.parametrize("option", ["--like", "--without"])
def test_a_folder_that_is_no_set_is_named(made, option, tmp_path, capsys):
    heads = made[0].parent / "heads"
    with pytest.raises(SystemExit):
        main([str(heads), str(tmp_path / "out"), option, str(tmp_path)])
    assert f"{tmp_path}" in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_the_table_is_one_that_training_reads(made):
    out, *_ = made
    table = AttributeTable(out, 192)
    assert table.numbers[:2] == ["weight", "eye_size"] and table.numbers[-1] == "code_02"
    assert table.classes["gender"] == ["feminine", "masculine"]


def test_a_set_without_heads_is_named(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main([str(tmp_path), str(tmp_path / "out"), "--count", "2"])
    assert "no head of the seeds 0 to 1" in capsys.readouterr().err
