"""What ToonGAN learns from heads: images, their mirror images, and a table of all that varies."""

import csv
import json

import numpy as np
import pytest
from PIL import Image

from training.prepare.heads.attributes import sample_attributes
from training.prepare.heads.table import PARTS, HeadSet
from training.prepare.heads.training_set import main, normal_scores
from training.toongan.conditional import AttributeTable

COUNT = 40


def write_head(heads: HeadSet, seed: int, lit: float) -> None:
    """A square in front of a ground whose left half is as bright as `lit` says."""
    drawn = sample_attributes(seed)
    image = np.full((64, 64, 3), 90, np.uint8)
    image[:, :32] = round(255 * lit)
    image[20:44, 20:44] = 18 * drawn.skin_tone
    mask = np.zeros((64, 64), np.uint8)
    mask[20:44, 20:44] = PARTS.index("skin")
    for kind, pixels in (("images", image), ("masks", mask), ("depth", mask)):
        Image.fromarray(pixels).save(heads.path(kind, seed))
    record = {"attributes": drawn.row(), "version": "x", "size": 64, "samples": 1}
    heads.path("heads", seed).write_text(json.dumps(record))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("heads")
    heads = HeadSet(folder / "heads")
    heads.open()
    rng = np.random.default_rng(0)
    lit = rng.random(COUNT)
    for seed in range(COUNT):
        write_head(heads, seed, lit[seed])
    heads.path("images", 7).unlink()  # torn
    out = folder / "set"
    main([str(heads.folder), str(out), "--size", "32", "--codes", "3", "--count", str(COUNT)])
    return out, list(csv.DictReader((out / "attributes.csv").open())), lit


def test_every_whole_head_is_there_and_mirrored(made):
    out, rows, _ = made
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
    _, rows, lit = made
    code = np.array([float(row["code_00"]) for row in rows if not row["file"].endswith("m.png")])
    bright = np.delete(lit, 7)
    tones = [sample_attributes(seed).skin_tone for seed in range(COUNT) if seed != 7]
    assert abs(np.corrcoef(code, bright)[0, 1]) > 0.8
    assert abs(np.corrcoef(code, tones)[0, 1]) < 0.3


def test_numbers_are_normal_by_rank():
    scores = normal_scores(np.array([[3.0], [1.0], [2.0], [2.0]]))
    assert scores[:, 0] == pytest.approx([1.1503, -1.1503, 0, 0], abs=1e-3)


def test_the_table_is_one_that_training_reads(made):
    out, _, _ = made
    table = AttributeTable(out, 192)
    assert table.numbers[:2] == ["weight", "eye_size"] and table.numbers[-1] == "code_02"
    assert table.classes["gender"] == ["feminine", "masculine"]


def test_a_set_without_heads_is_named(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main([str(tmp_path), str(tmp_path / "out"), "--count", "2"])
    assert "no head of the seeds 0 to 1" in capsys.readouterr().err
