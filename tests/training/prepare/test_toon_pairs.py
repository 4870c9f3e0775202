"""Pairs to distil from: a base's faces and their toons, laid down, lit and worn alike."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from toonify import images
from training.data.degradation import degrade
from training.prepare import toon_pairs
from training.prepare.toon_pairs import Person, draw_pair, paste, place, relight


class Drawn:
    """Persons without a generator: a disc of one color, in the toon of another."""

    seed = 5

    def draw(self, index: int) -> Person:
        y, x = np.mgrid[:512, :512]
        disc = ((x - 256) ** 2 + (y - 260) ** 2 < 170**2).astype(np.float32)
        face = np.full((512, 512, 3), (90, 120, 150), np.uint8)
        face[disc > 0] = (200, 160, 140)
        toon = face.copy()
        toon[disc > 0] = (240, 120, 60)
        points = np.array([[200, 240], [310, 240], [256, 290], [215, 340], [300, 340]], float)
        return Person(face, toon, disc, points)


def test_pairs_depend_on_their_number_and_show_toons_where_faces_are():
    people = Drawn()
    first = [draw_pair(i, people, [], 128, "soft") for i in range(24)]
    again = draw_pair(7, people, [], 128, "soft")
    assert np.array_equal(first[7][0], again[0]) and first[7][2] == again[2]
    crowds = [len(points) for _, _, points in first]
    assert min(crowds) <= 1 and max(crowds) >= 2  # one person, and several
    for photo, drawing, points in first:
        assert photo.shape == drawing.shape == (128, 128, 3)
        assert photo.dtype == drawing.dtype == np.uint8
        for face in points:
            x, y = np.mean(face, 0).astype(int)
            # More orange than the photo: there the toon lies.
            assert int(drawing[y, x, 0]) - drawing[y, x, 2] > int(photo[y, x, 0]) - photo[y, x, 2]


def test_views_in_a_row_show_the_same_persons(monkeypatch):
    asked = []
    people = Drawn()
    monkeypatch.setattr(people, "draw", lambda i: asked.append(i) or Drawn.draw(people, i))
    views = [draw_pair(i, people, [], 64, "soft", views=3) for i in (3, 4, 5)]
    assert set(asked) <= {3, 4, 5} and asked.count(3) == 3
    assert not np.array_equal(views[0][0], views[1][0])


def test_the_light_changes_alike_and_wear_only_a_little():
    rng = np.random.default_rng(2)
    picture = np.full((40, 40, 3), 120, np.uint8)
    one, other = relight([picture, picture], rng)
    assert np.array_equal(one, other) and not np.array_equal(one, picture)
    worn_out = [degrade(picture, np.random.default_rng(i)) for i in range(20)]
    assert max(np.abs(w.astype(int) - 120).mean() for w in worn_out) < 8


def test_an_upright_square_is_laid_where_requested():
    unturned = SimpleNamespace(normal=lambda *_: 0.0)
    matrix = place(unturned, 64, (80, 40))
    assert matrix @ [256, 256, 1] == pytest.approx([80, 40])
    canvas = np.zeros((128, 128, 3), np.uint8)
    square = np.full((512, 512, 3), 200, np.uint8)
    pasted = paste(canvas, square, np.ones((512, 512), np.float32), matrix)
    assert (pasted[10:70, 50:110] == 200).all() and not pasted[:, :46].any()
    assert (paste(canvas, square, None, matrix) == 200).all()  # mirrored outwards


def test_a_person_is_separated_from_a_plain_background():
    face = np.full((512, 512, 3), (60, 140, 90), np.uint8)
    y, x = np.mgrid[:512, :512]
    head = ((x - 256) / 150) ** 2 + ((y - 270) / 230) ** 2 < 1
    face[head] = (210, 170, 150)
    face[head & (y < 150)] = (50, 30, 20)
    mask = toon_pairs.person_mask(face)
    assert mask[270, 256] > 0.99 and mask[60, 256] > 0.9
    assert mask[100, 30] < 0.01 and mask[100, 480] < 0.01


@pytest.fixture
def generators(tmp_path) -> tuple[Path, Path]:
    """Two toy generators whose images hold no face."""
    from toonify.models import MobileStyleGAN

    folders = tmp_path / "base", tmp_path / "toon"
    for i, folder in enumerate(folders):
        torch.manual_seed(i)
        network = MobileStyleGAN((8, 8, 8, 8), (16,), 16, 16, 2)
        network.half().save_pretrained(folder, variant="fp16")
    return folders


def test_images_without_a_face_are_left_out_and_not_drawn_again(generators, tmp_path, monkeypatch):
    base, toon = map(str, generators)
    drawn = toon_pairs.draw_pairs(tmp_path / "pairs", base, toon, count=2, side=64)
    assert drawn == 0 and not (tmp_path / "pairs" / "train_photo").exists()
    monkeypatch.setattr(toon_pairs, "People", None)  # would fail if anything were drawn again
    assert toon_pairs.draw_pairs(tmp_path / "pairs", base, toon, count=2, side=64) == 0


def test_what_is_missing_is_drawn_again(tmp_path, monkeypatch):
    monkeypatch.setattr(toon_pairs, "People", lambda *_: Drawn())
    folder = tmp_path / "pairs"
    assert toon_pairs.draw_pairs(folder, "base", "toon", count=3, side=64) == 3
    photo = folder / "train_photo" / "toon_0_000001.png"
    before = photo.read_bytes()
    photo.unlink()
    assert toon_pairs.draw_pairs(folder, "base", "toon", count=3, side=64) == 1
    assert photo.read_bytes() == before
    assert images.load(folder / "toon" / "style" / "toon_0_000001.png").size == (64, 64)


WRONG = [["--faces", "1"], ["--pair-px", "10"], ["--grounds", "nowhere"], ["--views", "0"]]


@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_options_are_refused(wrong, tmp_path, refusal):
    assert wrong[1] in refusal(toon_pairs.main, tmp_path / "d", "--toon", "animated", *wrong)
