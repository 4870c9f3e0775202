"""The teacher's drawings: of the photo's size, of its colors, the same every time."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from toonify import faces, hub, images, latents
from toonify.engines import open_engine
from toonify.models import FACE_MODELS
from training.metrics import images as image_metrics
from training.prepare import brush, cartoon_filter, looks

FACES = Path(__file__).resolve().parents[3] / "hub_cards" / "faces"


@pytest.fixture(scope="module")
def portrait() -> tuple[Image.Image, faces.Face]:
    photo = cartoon_filter.resize_short(images.load(sorted(FACES.glob("random_*.jpg"))[0]), 256)
    return photo, faces.detect(photo)[0]


@pytest.mark.parametrize("look", looks.LOOKS)
def test_a_look_keeps_size_and_skin_and_differs_from_the_photo(look, portrait):
    photo, face = portrait
    drawn = looks.draw(photo, [face.points], looks.LOOKS[look])
    assert drawn.size == photo.size
    assert drawn.tobytes() == looks.draw(photo, [face.points], looks.LOOKS[look]).tobytes()
    assert np.abs(np.asarray(drawn, int) - np.asarray(photo)).mean() > 5
    before, after = (image_metrics.cheek_color(picture, face) for picture in (photo, drawn))
    assert image_metrics.hue_shift(before, after) < 12


@pytest.mark.parametrize("look", looks.LOOKS)
def test_a_look_draws_scenes_and_odd_sizes(look):
    rng = np.random.default_rng(0)
    scene = Image.fromarray(rng.integers(0, 255, (9, 13, 3), np.uint8)).resize((131, 67))
    assert looks.draw(scene, [], looks.LOOKS[look]).size == (131, 67)


def test_looks_differ_from_each_other(portrait):
    photo, face = portrait
    drawn = [
        np.asarray(looks.draw(photo, [face.points], look), int) for look in looks.LOOKS.values()
    ]
    apart = [np.abs(a - b).mean() for i, a in enumerate(drawn) for b in drawn[:i]]
    assert min(apart) > 1


def test_larger_eyes_are_larger(portrait):
    photo, face = portrait
    frame = looks.FaceFrame(face.points)
    dot = np.full((*photo.size[::-1], 3), 255, np.uint8)
    cv2.circle(dot, face.points[0].round().astype(int).tolist(), 6, (0, 0, 0), -1)
    warped = looks.warp(dot, [frame], looks.Look(eyes=1.5, jaw=0))
    grown = (warped < 128).sum() / (dot < 128).sum()
    assert 1 + 0.6 * 1.25 * frame.frontal < grown < 1.5**2


def test_paint_keeps_plain_color_and_what_is_protected():
    blue = np.full((96, 128, 3), (40, 90, 200), np.uint8)
    nothing = np.zeros((96, 128), np.float32)
    painted = brush.paint(blue, nothing, nothing, 0.4)
    assert np.abs(painted.mean((0, 1)) - blue[0, 0]).max() < 6
    rng = np.random.default_rng(0)
    busy = cv2.resize(rng.integers(0, 255, (24, 32, 3), np.uint8), (128, 96))
    half = nothing.copy()
    half[:, :64] = 1
    error = np.abs(brush.paint(busy, half, nothing, 0.4).astype(int) - busy).mean((0, 2))
    assert error[:56].mean() < 0.7 * error[72:].mean()


def test_folders_become_pairs_once_and_a_second_look_beside_them(tmp_path, monkeypatch, portrait):
    images.save(portrait[0], tmp_path / "photos" / "deep" / "one.jpg")
    (tmp_path / "photos" / "broken.jpg").write_text("no image")
    data = tmp_path / "data"
    notes = []
    photos = [tmp_path / "photos"]
    assert cartoon_filter.draw_folder(photos, data, "comic", 128, notes.append) == (1, 1)
    assert "broken.jpg" in notes[0]
    points = json.loads((data / "faces.json").read_text())
    assert list(points) == ["deep_one"] and len(points["deep_one"][0]) == 5
    first = (data / "comic" / "style" / "deep_one.png").stat().st_mtime_ns
    monkeypatch.setattr(cartoon_filter.face_room, "detect", lambda photo: pytest.fail("known"))
    assert cartoon_filter.draw_folder(photos, data, "comic", 128, notes.append) == (0, 1)
    assert cartoon_filter.draw_folder(photos, data, "gouache", 128, notes.append) == (1, 1)
    assert (data / "comic" / "style" / "deep_one.png").stat().st_mtime_ns == first
    sizes = {images.load(path).size for path in data.rglob("*.png")}
    assert len(sizes) == 1


def test_tinted_twins_are_pairs_too_and_the_same_for_every_look(tmp_path, portrait):
    images.save(portrait[0], tmp_path / "photos" / "one.png")
    data = tmp_path / "data"
    for look in ("comic", "gouache"):
        cartoon_filter.draw_folder([tmp_path / "photos"], data, look, 128, tints=1.0)
        assert (data / look / "style" / "one_tinted.png").exists()
    plain, pink = (
        np.asarray(images.load(data / f"train_photo/one{t}.png"), int) for t in ("", "_tinted")
    )
    red, green = (pink.mean((0, 1)) / plain.mean((0, 1)))[:2]
    assert red > green and pink.mean() < plain.mean() * 1.2
    points = json.loads((data / "faces.json").read_text())
    assert points["one"] == points["one_tinted"]


def test_twins_requested_later_or_lost_are_drawn(tmp_path, portrait):
    images.save(portrait[0], tmp_path / "photos" / "one.png")
    data, photos = tmp_path / "data", [tmp_path / "photos"]
    twins = [data / f"{folder}/one_tinted.png" for folder in ("comic/style", "train_photo")]
    cartoon_filter.draw_folder(photos, data, "comic", 128)
    assert not any(twin.exists() for twin in twins)
    assert cartoon_filter.draw_folder(photos, data, "comic", 128, tints=1.0) == (1, 0)
    first = [twin.read_bytes() for twin in twins]
    twins[0].unlink()  # killed after the twin's photo: a photo without its drawing is not a pair
    assert cartoon_filter.draw_folder(photos, data, "comic", 128, tints=1.0) == (1, 0)
    assert [twin.read_bytes() for twin in twins] == first
    assert cartoon_filter.draw_folder(photos, data, "comic", 128, tints=1.0) == (0, 0)


def test_generated_faces_are_drawn_with_their_latent(toy_portrait, tmp_path, monkeypatch):
    points = np.array([[45, 60], [83, 60], [64, 80], [50, 95], [78, 95]], float)
    found = faces.Face((20.0, 20.0, 108.0, 120.0), points, 0.99)
    monkeypatch.setattr(cartoon_filter.face_room, "detect", lambda photo: [found])
    data, base = tmp_path / "data", toy_portrait / "base"
    words = [str(data), "--generator", str(base), "--faces", "2", "--short-side", "128"]
    cartoon_filter.main([*words, "--look", "soft"])
    names = {path.stem for path in (data / "w").iterdir()}
    assert len(names) == 2 and names == set(json.loads((data / "faces.json").read_text()))
    network = hub.load_model(base, FACE_MODELS)
    draw = open_engine(None, lambda: network.synthesis, shape=(1, network.num_ws, 16))
    for name in names:
        w = latents.load_latent(data / "w" / f"{name}.safetensors", network.num_ws, 16)
        face = cartoon_filter.resize_short(images.to_pil(draw(w)), 128)
        photo = images.load(data / "train_photo" / f"{name}.png")
        assert np.abs(np.asarray(face, int) - np.asarray(photo)).max() <= 2
        assert images.load(data / "soft" / "style" / f"{name}.png").size == (128, 128)
    before = {path: path.read_bytes() for path in data.rglob("*.png")}
    (data / "soft" / "style" / f"{min(names)}.png").unlink()
    cartoon_filter.main([*words, "--look", "soft"])
    assert {path: path.read_bytes() for path in data.rglob("*.png")} == before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["d"], "expected either PHOTOS or --generator"),
        (["d", "--generator", "portrait", "--faces", "0"], "--faces 0"),
        (["d", "--generator", "absent"], "absent"),
    ],
)
def test_wrong_generators_are_refused(words, message, tmp_path, refusal, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert message in refusal(cartoon_filter.main, *words)
