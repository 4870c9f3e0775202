"""Heads to order: what is read of a face, what it changes of a head, which files are written."""

import json
import sys
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from tests.training.prepare.test_heads import BLENDER
from training.prepare.heads import order
from training.prepare.heads.attributes import Attributes, sample_attributes
from training.prepare.heads.backgrounds import SIDE, paint_background
from training.prepare.heads.brows import sample_brow
from training.prepare.heads.face import Face
from training.prepare.heads.fitting import colors, measures, shapes
from training.prepare.heads.fitting.__main__ import fit_quantiles, fit_weights
from training.prepare.heads.fitting.hair import HairMeasures, read_fringe, read_kind, read_style
from training.prepare.heads.overrides import Overrides
from training.prepare.heads.palette import HAIR, linear
from training.prepare.heads.shape import sample_shape
from training.prepare.heads.table import HeadSet

HEAD = sample_attributes(7)


def test_a_seed_draws_what_it_always_drew():
    """Numbers of seed 7 from before heads could be ordered: a data set must stay reproducible."""
    shape = sample_shape(HEAD)
    brow = sample_brow(Face(shape), HEAD)
    drawn = (shape.eye_radius, shape.jaw[0], shape.wing[0], shape.lips[1], shape.ear_angle)
    expected = (0.25588386, 0.29161826, 0.06107986, 0.04800406, 0.46311208)
    assert drawn == pytest.approx(expected, abs=1e-7)
    assert shape.lopsided["cheek"] == pytest.approx(0.00623486, abs=1e-7)
    assert (brow.height, brow.angle) == pytest.approx((0.38561282, 0.0281018), abs=1e-7)
    assert sample_shape(HEAD, Overrides()) == shape


def test_overrides_change_what_they_name_and_nothing_else():
    wide = Overrides(ranks={"jaw_width": 2.0}, expression={"gap_below": 0.2})
    shape, ordered = sample_shape(HEAD), sample_shape(HEAD, wide)
    plain = sample_shape(HEAD, Overrides(ranks={"jaw_width": 0.0}))
    assert ordered.jaw[0] - plain.jaw[0] == pytest.approx(2 * 0.03)
    assert ordered.mouth_gap[1] > shape.mouth_gap[1]
    assert replace(ordered, jaw=shape.jaw, mouth_gap=shape.mouth_gap) == shape
    high, low = (
        sample_brow(Face(shape), HEAD, Overrides(ranks={"brow_height": rank})) for rank in (2, -2)
    )
    assert 0.03 < high.height - low.height < 0.035


def test_an_order_is_the_same_after_json():
    overrides = Overrides(
        {"lips": 1.5}, {"smile": 0.5}, {"part": 0.2}, {"skin": "#c89f7e"}, [["#000000"]]
    )
    assert Overrides(**json.loads(json.dumps(overrides.row()))) == overrides
    row = json.loads(json.dumps(HEAD.row()))
    again = Attributes.from_row(row)
    assert again.row() == row
    assert (again.seed, again.hair_style, again.freckles) == (7, HEAD.hair_style, HEAD.freckles)
    assert again.yaw == pytest.approx(HEAD.yaw, abs=1e-3)


def test_a_background_of_patches():
    seen = paint_background(HEAD, Overrides(background=[["#ff0000", "#0000ff"]] * 2))
    assert seen.shape == (SIDE, SIDE, 3)
    assert seen[9, 9] == pytest.approx([1, 0, 0], abs=0.2)
    assert seen[9, -9] == pytest.approx([0, 0, 1], abs=0.2)


def turn(points, yaw, roll):
    """A cloud of points turned about the vertical axis of the picture, then in its plane."""
    y, r = np.radians(yaw), np.radians(roll)
    about = np.array([[np.cos(y), 0, -np.sin(y)], [0, 1, 0], [np.sin(y), 0, np.cos(y)]])
    plane = np.array([[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]])
    return points @ about.T @ plane.T


def test_measures_do_not_change_with_pose_and_size():
    cloud = np.random.default_rng(3).normal(0, 1, (478, 3))
    cloud[[454, 263]] += [9, 0, 0]  # the picture's right
    cloud[[152, 2]] += [0, 9, 0]
    mesh = measures.FrontalMesh(cloud)
    turned = measures.FrontalMesh(70 * turn(cloud, 20, 12) + [200, 300, 0])
    assert measures.measure_face(turned) == pytest.approx(measures.measure_face(mesh))
    straight = measures.FrontalMesh(turn(cloud, 0, 12))
    assert straight.roll - mesh.roll == pytest.approx(12)
    assert turned.yaw - straight.yaw == pytest.approx(19.5, abs=0.1)


def test_ranks_are_those_among_people():
    table = measures.load_table()["measures"]
    none = np.zeros(len(measures.COVARIATES))
    usual = {name: row["quantiles"][20] for name, row in table.items()}
    assert max(map(abs, measures.rank_measures(usual, none).values())) < 1e-6
    wide = usual | {"jaw_width": table["jaw_width"]["quantiles"][36]}
    ranks = measures.rank_measures(wide, none)
    assert ranks["jaw_width"] == pytest.approx(1.28, abs=0.01)  # nine tenths of people
    head = shapes.head_ranks(ranks, slant=0.0)
    assert head["jaw_width"] > 1.2 and head["eye_cant"] == pytest.approx(0)
    smiling = np.array([0, 1, 0, 0, 0])
    mouth = measures.rank_measures(usual, smiling)["mouth_width"]
    assert mouth < -1  # for a smile, the usual mouth is narrow


def test_expressions_by_smile_and_opening():
    level = dict.fromkeys(("brow_angle", "brow_height"), 0.0)
    for opened, smile, expected in (
        (0.0, 0.1, "neutral"),
        (0.0, 0.9, "smile"),
        (0.12, 1.2, "grin"),
        (0.5, 1.2, "laugh"),
        (0.5, 0.1, "surprised"),
    ):
        assert shapes.read_expression({"open": opened}, level, smile) == expected
    sad, stern = {"brow_angle": -2, "brow_height": 0}, {"brow_angle": 2, "brow_height": -1}
    assert shapes.read_expression({"open": 0.0}, sad, 0.0) == "sad"
    assert shapes.read_expression({"open": 0.0}, stern, 0.0) == "stern"
    grin = shapes.expression_numbers({"open": 0.12}, 1.2, "grin", True)
    rest = shapes.expression_numbers({"open": 0.12}, 0.0, "neutral", False)
    assert grin["gap_below"] > 0.1 and grin["width"] > rest["width"] and rest["gap_below"] == 0


SHORT = HairMeasures(1.4, 0.9, 1, 0.05, 0.0, 1.9, 0.35, 0, 0, 0, 0.7, 0.1, False)


@pytest.mark.parametrize(
    ("changes", "masculine", "kind", "style"),
    [
        ({}, True, "straight", "side_part"),
        ({"rise": 0.5}, True, "straight", "buzz"),
        ({"area": 0.1}, True, "straight", "bald"),
        ({"crown": 0.1, "area": 0.5}, True, "straight", "ring"),
        ({"coherence": 0.32, "rise": 0.8}, False, "coily", "short_curls"),
        ({"coherence": 0.32, "rise": 1.3, "sides": 0.3}, False, "coily", "afro"),
        ({"rise": 1.2}, False, "straight", "pixie"),
        ({"end": 1.7, "sides": 0.4, "area": 4}, False, "straight", "bob"),
        ({"end": 3.0, "sides": 0.6, "area": 8}, False, "straight", "long"),
        ({"end": 2.5, "sides": 0.6, "area": 8, "coherence": 0.4}, False, "curly", "long_curls"),
        ({"end": 2.5, "sides": 0.6, "area": 8, "ropes": True}, False, "coily", "braids"),
    ],
)
def test_hairstyles_by_the_outline_of_the_hair(changes, masculine, kind, style):
    hair = replace(SHORT, **changes)
    assert read_kind(hair, masculine) == kind
    assert read_style(hair, kind, masculine) == style


def test_fringes_by_the_cover_of_the_forehead():
    assert read_fringe(SHORT, "bob") == "none"
    assert read_fringe(replace(SHORT, fringe=0.8, lean=0.1), "bob") == "straight"
    assert read_fringe(replace(SHORT, fringe=0.25, lean=-0.9), "bob") == "swept"
    assert read_fringe(replace(SHORT, fringe=0.8), "quiff") == "none"


@pytest.mark.parametrize("name", ["black", "brown", "ginger", "blonde"])
def test_hair_colors_of_the_palette_are_found_again(name):
    (seen,) = colors.palette_lab([HAIR[name]])
    seen[0] = colors.HAIR_GAIN * seen[0] + colors.HAIR_OFFSET
    seen[1:] /= colors.HAIR_CHROMA
    assert colors.fit_hair(seen)[1] == name


def test_gray_hair_and_dark_skin():
    assert colors.fit_hair([60, 3, 3])[1] == "gray"
    assert colors.fit_hair([80, 1, 2])[1] == "white"
    light, dark = (colors.fit_skin([L, 15, 18], [70, 6, 5], "studio") for L in (74, 38))
    assert light[1] < 5 and dark[1] > 9
    assert light[0][0] > dark[0][0] + 30
    assert linear(colors.to_hex([0, 0, 0])) == pytest.approx(0)


def test_tables_of_people():
    rng = np.random.default_rng(0)
    x = rng.normal(0, 1, (400, 3))
    y = x @ [1, 0, -1] + 0.5
    y[:9] = np.nan
    row = fit_weights(x, y, 0.01)
    assert row["weights"] == pytest.approx([1, 0, -1], abs=0.01)
    assert row["bias"] == pytest.approx(0.5, abs=0.01)
    covariates = rng.normal(0, 1, (400, 5))
    values = covariates[:, 1] * 2 + rng.uniform(0, 1, 400)
    measured = [{"jaw_width": float(v), "open": 0.1} for v in values]
    table = fit_quantiles(measured, covariates)
    assert table["jaw_width"]["slopes"][1] == pytest.approx(2, abs=0.1)
    assert np.ptp(table["jaw_width"]["quantiles"]) == pytest.approx(1, abs=0.2)


@pytest.fixture
def blender(tmp_path):
    """A program in the place of Python with Blender."""
    code, marker = tmp_path / "blender.py", tmp_path / "never"
    marker.touch()
    code.write_text(BLENDER.format(marker=marker))
    program = tmp_path / "python"
    program.write_text(f'#!/bin/sh\n[ "$1" = -c ] && exit 0\nexec "{sys.executable}" "{code}"\n')
    program.chmod(0o755)
    return str(program)


def read_no_b(job):
    """In the place of reading: photo b has no face."""
    if job.name == "b":
        return "no face"
    (job.out / order.PHOTOS).mkdir(exist_ok=True)
    job.order.parent.mkdir(exist_ok=True)
    row = sample_attributes(len(job.name)).row()
    job.order.write_text(json.dumps({"seed": 1, "attributes": row, "overrides": {}}))
    return ""


def test_orders_are_resumed_and_what_is_left_out_is_counted(tmp_path, blender, capsys, monkeypatch):
    photos, out = tmp_path / "photos", tmp_path / "out"
    photos.mkdir()
    for name in "abc":
        Image.new("RGB", (64, 64)).save(photos / f"{name}.png")
    monkeypatch.setattr(order, "read_photo", read_no_b)
    command = [str(photos), str(out), "--blender-python", blender]
    assert order.main(command) == 0
    said = capsys.readouterr().out
    assert "2 made, 0 kept, 0 failed" in said and "1 photos left out (no face: 1)" in said
    heads = HeadSet(out)
    assert [heads.record(name) is not None for name in "abc"] == [True, False, True]
    assert (out / "attributes.csv").read_text().count("images/") == 2
    heads.path("masks", "c").unlink()
    monkeypatch.setattr(order, "read_photo", None)  # nothing is read again
    assert order.main(command) == 0
    assert "1 made, 1 kept, 0 failed" in capsys.readouterr().out


def test_orders_without_blender_are_refused(tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("TOONIFY_BLENDER_PYTHON", raising=False)
    assert order.main([str(tmp_path), str(tmp_path / "out")]) == 2
    assert "TOONIFY_BLENDER_PYTHON" in capsys.readouterr().err
