"""3D heads: what a seed draws, where landmarks fall, which files a set has; without Blender."""

import csv
import json
import sys
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from training.prepare.heads import attributes, sdf
from training.prepare.heads.__main__ import main
from training.prepare.heads.attributes import sample_attributes
from training.prepare.heads.brows import sample_brow
from training.prepare.heads.face import Face
from training.prepare.heads.landmarks import NAMES, find_landmarks, framed_points
from training.prepare.heads.pose import Bend, frame_face
from training.prepare.heads.shape import sample_shape
from training.prepare.heads.table import HeadSet

FORWARD = np.array([[0, 0, 1.0], [0, 0, 1.0]])


def points_of(seed, **changes):
    """Landmarks in px of a 512 px image, by name."""
    drawn = replace(sample_attributes(seed), **changes)
    face = Face(sample_shape(drawn))
    bend, brow = Bend(face, drawn), sample_brow(face, drawn)
    points = find_landmarks(face, bend, brow, FORWARD)
    camera = frame_face(*framed_points(points), drawn)
    return dict(zip(NAMES, camera.project(points, 512), strict=True))


def test_the_same_seed_is_the_same_head():
    assert sample_attributes(7) == sample_attributes(7) != sample_attributes(8)
    assert sample_shape(sample_attributes(7)) == sample_shape(sample_attributes(7))


@pytest.mark.parametrize(
    ("name", "shares"),
    [
        ("skin_tone", attributes.SKIN_TONES),
        ("eye_color", attributes.EYE_COLORS),
        ("hair_kind", attributes.HAIR_KINDS),
        ("age", attributes.AGES),
        ("gender", attributes.GENDERS),
        ("expression", attributes.EXPRESSIONS),
        ("light", attributes.LIGHTS),
        ("background", attributes.BACKGROUNDS),
        ("clothes", attributes.CLOTHES),
        ("glasses", attributes.GLASSES),
    ],
)
def test_every_block_of_seeds_has_the_shares_of_the_table(name, shares):
    total = sum(shares.values())
    for block in (0, 3):
        seeds = range(64 * block, 64 * block + 64)
        counts = Counter(getattr(sample_attributes(seed), name) for seed in seeds)
        for value, share in shares.items():
            assert abs(counts[value] - 64 * share / total) <= 2, value


def test_attributes_fit_together():
    for seed in range(192):
        head = sample_attributes(seed)
        assert head.hair_kind in attributes.HAIRSTYLES[head.hair_style].kinds.split()
        assert -40 <= head.yaw <= 40
        if head.gender == "feminine" or head.age == "child":
            assert head.beard == "none"
        if head.hair_color in attributes.GRAY_HAIR:
            assert head.age == "old"


def test_skin_and_hair_color_are_independent():
    heads = [sample_attributes(seed) for seed in range(640)]
    dark = [h.hair_color in ("black", "dark_brown") for h in heads if h.skin_tone > 6]
    light = [h.hair_color in ("black", "dark_brown") for h in heads if h.skin_tone <= 6]
    assert np.mean(dark) == pytest.approx(np.mean(light), abs=0.1)


def test_landmarks_lie_in_the_frame_of_ffhq():
    for seed in range(12):
        points = points_of(seed)
        inner = [
            p for name, p in points.items() if not name.startswith(("jaw", "left_ear", "right_ear"))
        ]
        assert np.min(inner) > 0 and np.max(inner) < 512
        eyes = (points["right_pupil"] + points["left_pupil"]) / 2
        mouth = (points["lips_outer_0"] + points["lips_outer_6"]) / 2
        assert eyes == pytest.approx((256, 246), abs=32)
        assert 318 < mouth[1] < 385
        assert points["right_pupil"][0] < points["left_pupil"][0]


def test_yaw_and_tilt_turn_what_they_name():
    straight, turned = points_of(3, yaw=0.0), points_of(3, yaw=30.0)
    for points, low, high in ((straight, -0.1, 0.1), (turned, 0.2, 0.6)):
        middle = (points["right_pupil"] + points["left_pupil"]) / 2
        apart = points["left_pupil"][0] - points["right_pupil"][0]
        assert low < (points["nose_tip"] - middle)[0] / apart < high
    face = Face(sample_shape(sample_attributes(3)))
    bend = Bend(face, replace(sample_attributes(3), tilt=10.0))
    assert bend([0.0, 0.3, 0.0]) == pytest.approx([0, 0.3, 0], abs=0.05)
    shoulders = bend([[0.8, -1.7, -0.7], [-0.8, -1.7, -0.7]])
    assert shoulders[0, 1] < shoulders[1, 1] - 0.2


def test_faces_are_not_mirror_images():
    face = Face(sample_shape(sample_attributes(5)))
    bend = Bend(face, sample_attributes(5))
    left = np.array([[0.3, 0.4, 0.3], [0.25, -0.6, 0.3], [0.4, -0.8, 0.1]])
    away = np.abs(bend(left) - bend(left * [-1, 1, 1]) * [-1, 1, 1]).max()
    assert 0.003 < away < 0.2


def test_a_face_is_solid_with_open_eyes():
    face = Face(sample_shape(sample_attributes(2)))
    inside = np.array([[0, 0.3, -0.4], [0, -0.6, -0.2], [0, -1.2, -0.55]], np.float32)
    assert (face.skin(inside) < 0).all()
    before_the_eye = face.eye + face.eye_forward * face.shape.eye_radius
    assert face.skin(before_the_eye[None].astype(np.float32)) > 0


def test_distances():
    p = np.array([[2.0, 0, 0], [0, 0, 0]], np.float32)
    assert sdf.sphere(p, (0, 0, 0), 1) == pytest.approx([1, -1])
    assert sdf.cone(p, (0, -1, 0), (0, 1, 0), 0.5, 0.5) == pytest.approx([1.5, -0.5])
    assert sdf.smooth_union(np.float64(1), np.float64(3), 0.5) == pytest.approx(1)
    assert sdf.smooth_cut(np.float64(-1), np.float64(-2), 0.5) == pytest.approx(2)


BLENDER = """
import json, pathlib, sys
for line in sys.stdin:
    job = json.loads(line)
    if job["seed"] == 2 and not pathlib.Path("{marker}").exists():
        pathlib.Path("{marker}").touch()
        sys.exit(9)
    folder = pathlib.Path(job["folder"])
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("image", "mask", "depth"):
        (folder / (name + ".png")).write_bytes(b"picture of %d" % job["seed"])
    from training.prepare.heads.attributes import sample_attributes
    row = sample_attributes(job["seed"]).row()
    record = {{"attributes": row, "landmarks": {{}}, "size": 64, "samples": 1}}
    (folder / "head.json").write_text(json.dumps(record))
    print("DONE " + json.dumps({{"seed": job["seed"], "error": ""}}), flush=True)
"""


@pytest.fixture
def blender(tmp_path):
    """A program in the place of Python with Blender; it dies once, at seed 2."""
    code = tmp_path / "blender.py"
    code.write_text(BLENDER.format(marker=tmp_path / "died"))
    program = tmp_path / "python"
    program.write_text(f'#!/bin/sh\n[ "$1" = -c ] && exit 0\nexec "{sys.executable}" "{code}"\n')
    program.chmod(0o755)
    return str(program)


def test_a_set_is_finished_by_running_it_again(tmp_path, blender, capsys):
    out = tmp_path / "set"
    command = [str(out), "--count", "4", "--blender-python", blender]
    assert main(command) == 1
    assert "seed 2: Blender stopped with exit code 9" in capsys.readouterr().err
    heads = HeadSet(out)
    assert heads.missing(0, 4) == [2]
    before = heads.path("images", 1).stat().st_mtime_ns
    heads.path("masks", 3).unlink()  # torn
    assert heads.missing(0, 4) == [2, 3]
    assert main(command) == 0
    assert heads.missing(0, 4) == []
    assert heads.path("images", 1).stat().st_mtime_ns == before
    rows = list(csv.DictReader((out / "attributes.csv").open()))
    assert [row["seed"] for row in rows] == ["0", "1", "2", "3"]
    assert all(all(row.values()) for row in rows)
    assert rows[2]["file"] == "images/000002.png"
    assert rows[2]["skin_tone"] == str(sample_attributes(2).skin_tone)


def test_an_unfinished_head_is_in_no_table(tmp_path):
    heads = HeadSet(tmp_path)
    heads.open()
    folder = heads.partial(5)
    folder.mkdir(parents=True)
    (folder / "image.png").write_bytes(b"half")
    heads.path("heads", 6).write_text(json.dumps({})[:1])
    assert heads.write_table() == 0
    assert heads.missing(5, 2) == [5, 6]


def test_a_python_without_blender_is_named(tmp_path, capsys):
    assert main([str(tmp_path), "--count", "1", "--blender-python", "/no/python"]) == 2
    assert "--blender-python /no/python: expected" in capsys.readouterr().err
