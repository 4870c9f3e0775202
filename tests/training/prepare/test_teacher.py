"""The teacher on a made-up face: no mediapipe, no mask network."""

import json
import sys

import cv2
import numpy as np
import pytest
from PIL import Image

from training.data.teacher_records import HALFTONE_LAYERS, RECORDS, read_records
from training.prepare.teacher import LOOKS, draw, face_mesh, folder, quality, skin
from training.prepare.teacher.__main__ import main
from training.prepare.teacher.filters import keep_connected, smoothstep, tidy, to_lab
from training.prepare.teacher.masks import MaskNetwork, Masks, clean_masks
from training.prepare.teacher.portrait import Portrait, choose_window
from training.prepare.teacher.shapes import Canvas, spline, stroke_polygon
from training.prepare.teacher.warp import FaceWarp, ThinPlate, caricature, eye_ratios

SIZE = (300, 240)  # height, width
CENTER, UNIT = np.array([120.0, 110.0]), 50.0
SKIN, HAIR, SHIRT, WALL = (224, 172, 140), (70, 45, 30), (60, 90, 160), (150, 170, 150)


def arc(left, right, height, count):
    """(count, 2) points from left to right, bulging by `height`."""
    t = np.linspace(0, 1, count)[:, None]
    line = np.array(left) * (1 - t) + np.array(right) * t
    line[:, 1] += height * np.sin(np.pi * t[:, 0])
    return line


def make_face() -> np.ndarray:
    """(478, 3) landmarks of a plain frontal face, in px."""
    rng = np.random.default_rng(0)
    face = np.zeros((478, 2))
    inside = rng.uniform(-1, 1, (4000, 2))
    inside = inside[(inside**2).sum(1) < 0.9][:478]
    face[:] = inside * [0.85, 1.2] + [0, 0.35]
    turn = np.linspace(0, 2 * np.pi, len(face_mesh.OVAL), endpoint=False)
    face[face_mesh.OVAL] = np.stack([0.95 * np.sin(turn), 0.35 - 1.35 * np.cos(turn)], 1)
    for eye in face_mesh.EYES:
        out, inner = (0.78 * eye.outward, 0.0), (0.24 * eye.outward, 0.0)
        face[eye.upper], face[eye.lower] = arc(out, inner, -0.09, 9), arc(out, inner, 0.06, 9)
        face[eye.iris] = (0.5 * eye.outward, -0.01)
        face[eye.ring] = face[eye.iris] + 0.1 * np.array([(1, 0), (0, -1), (-1, 0), (0, 1)])
        out, inner = (0.85 * eye.outward, -0.28), (0.2 * eye.outward, -0.28)
        face[eye.brow_upper] = arc(out, inner, -0.09, 5)
        face[eye.brow_lower] = arc(out, inner, -0.01, 5)
    nose = rng.uniform((-0.12, 0.43), (0.12, 0.67), (len(face_mesh.NOSE), 2))
    face[face_mesh.NOSE] = nose
    named = {1: (0, 0.58), 2: (0, 0.68), 4: (0, 0.55), 98: (-0.14, 0.66), 327: (0.14, 0.66)}
    named |= {6: (0, 0.05), 168: (0, -0.05), 197: (0, 0.2), 195: (0, 0.35), 9: (0, -0.3)}
    named |= {64: (-0.2, 0.62), 294: (0.2, 0.62), 129: (-0.2, 0.55), 358: (0.2, 0.55)}
    for index, place in named.items():
        face[index] = place
    for ids, height in (
        (face_mesh.LIP_OUTER_UPPER, -0.10),
        (face_mesh.LIP_OUTER_LOWER, 0.16),
        (face_mesh.LIP_INNER_UPPER, -0.02),
        (face_mesh.LIP_INNER_LOWER, 0.02),
    ):
        face[ids] = arc((-0.38, 1.05), (0.38, 1.05), height, 11)
    depth = -np.sqrt(np.clip(1.6 - (face**2 * [1, 0.5]).sum(1), 0, None))
    return np.column_stack([CENTER + UNIT * face, UNIT * depth])


def make_masks() -> Masks:
    """Masks of the face above: hair, face and neck, shoulders."""
    canvas = Canvas(SIZE)
    head = canvas.ellipse((120, 118), 62, 88, soft=0)
    face = canvas.ellipse((120, 127.5), 47, 67, soft=0)
    neck = canvas.polygon([(100, 170), (140, 170), (145, 245), (95, 245)], 0)
    shirt = canvas.polygon([(60, 225), (180, 225), (230, 299), (10, 299)], 0)
    skin = np.maximum(face, neck)
    hair = head * (1 - skin) * (np.arange(SIZE[0])[:, None] < 170)
    clothes = shirt * (1 - skin) * (1 - hair)
    person = np.max([skin, hair, clothes], 0)
    rounded = (np.round(mask).astype(np.float32) for mask in (person, skin, hair, clothes))
    return Masks(*rounded, canvas.zeros(), hair.astype(np.float32), 0.97)


def make_photo(masks: Masks) -> np.ndarray:
    """uint8 photo in flat colors with a little noise; dark brows, irises and lips."""
    photo = np.full((*SIZE, 3), WALL, np.float32)
    for mask, color in ((masks.clothes, SHIRT), (masks.skin, SKIN), (masks.hair, HAIR)):
        photo[mask > 0.5] = color
    points, canvas = make_face(), Canvas(SIZE)
    for eye in face_mesh.EYES:
        outline = [points[eye.brow_upper, :2], points[eye.brow_lower[::-1], :2]]
        photo[canvas.polygon(np.vstack(outline), 0) > 0.5] = HAIR
        outline = [points[eye.upper, :2], points[eye.lower[::-1], :2]]
        photo[canvas.polygon(np.vstack(outline), 0) > 0.5] = (230, 228, 225)
        photo[canvas.ellipse(points[eye.iris, :2], 5, 5, soft=0) > 0.5] = (60, 40, 30)
    outline = [points[face_mesh.LIP_OUTER_UPPER, :2], points[face_mesh.LIP_OUTER_LOWER[::-1], :2]]
    photo[canvas.polygon(np.vstack(outline), 0) > 0.5] = (190, 110, 105)
    photo += np.random.default_rng(1).normal(0, 2, photo.shape)
    return np.clip(cv2.GaussianBlur(photo, (0, 0), 0.7), 0, 255).astype(np.uint8)


def make_portrait(photo=None, points=None, hands=(), masks=None) -> Portrait:
    masks = masks or make_masks()
    photo = make_photo(masks) if photo is None else photo
    points = make_face() if points is None else points
    window = (0, 0, SIZE[1], SIZE[0])
    rgb = photo.astype(np.float32) / 255
    return Portrait(rgb, points, masks, window, 135.0, 1.0, list(hands))


@pytest.fixture(scope="module")
def portrait() -> Portrait:
    return make_portrait()


@pytest.fixture(scope="module")
def photo(portrait) -> np.ndarray:
    return (portrait.rgb * 255).astype(np.uint8)


@pytest.fixture(scope="module")
def drawings(portrait, photo):
    return {name: draw.draw_photo(photo, [portrait], name) for name in LOOKS}


@pytest.mark.parametrize("look", LOOKS)
def test_a_look_changes_the_photo_and_keeps_size_and_skin(look, photo, drawings):
    toon, (scene,) = drawings[look]
    assert toon.shape == photo.shape and toon.dtype == np.uint8
    assert np.abs(toon.astype(int) - photo).mean() > 4
    before, after = (
        to_lab(image.astype(np.float32) / 255)[scene.cheeks].mean(0)
        for image in ((scene.rgb * 255).astype(np.uint8), toon)
    )
    assert abs(after[0] - before[0]) < 8
    hues = [np.degrees(np.arctan2(lab[2], lab[1])) for lab in (before, after)]
    assert abs(hues[1] - hues[0]) < 12


def test_the_same_photo_gives_the_same_drawing(portrait, photo, drawings):
    for look in ("anime", "gouache"):
        assert np.array_equal(draw.draw_photo(photo, [portrait], look)[0], drawings[look][0])


def test_looks_differ(drawings):
    toons = [toon.astype(int) for toon, _ in drawings.values()]
    apart = [np.abs(a - b).mean() for i, a in enumerate(toons) for b in toons[:i]]
    assert min(apart) > 8


@pytest.mark.parametrize("look", LOOKS)
def test_eyes_open_wider(look, drawings):
    toon, (scene,) = drawings[look]
    light = to_lab(toon.astype(np.float32) / 255)[..., 0]
    for eye in face_mesh.EYES:
        x, y = scene.points[eye.iris, :2]
        column = light[int(y) - 30 : int(y) + 30, int(x)]
        skin = np.median(light[scene.cheeks])
        opening = (np.abs(column - skin) > 12).sum()
        photo = 0.15 * UNIT
        assert opening > 1.3 * photo


def test_a_small_face_in_a_large_photo_is_drawn_in_its_window(portrait):
    large = np.full((900, 800, 3), 120, np.uint8)
    placed = make_portrait()
    placed.window = (300, 200, 300 + SIZE[1], 200 + SIZE[0])
    large[200 : 200 + SIZE[0], 300 : 300 + SIZE[1]] = (placed.rgb * 255).astype(np.uint8)
    weight = draw.window_weight(placed, [], (800, 900))
    assert weight.shape == SIZE and weight[150, 120] == 1 and weight[0].max() == 0


def test_the_window_is_the_whole_photo_unless_the_face_is_small():
    points = make_face()
    assert choose_window(points, SIZE) == (0, 0, SIZE[1], SIZE[0])
    left, top, right, bottom = choose_window(points, (3000, 3000))
    assert left == 0 and top == 0 and right < 1000 and bottom < 1000


def test_thin_plate_passes_through_its_values():
    rng = np.random.default_rng(0)
    points, values = rng.uniform(-1, 1, (20, 2)), rng.normal(0, 1, (20, 2))
    assert np.allclose(ThinPlate(points, values)(points), values, atol=1e-6)


def test_a_warp_to_the_same_landmarks_changes_nothing():
    points = make_face()
    image = np.random.default_rng(0).uniform(0, 1, SIZE).astype(np.float32)
    assert np.allclose(FaceWarp(points, points, SIZE)(image), image, atol=1e-3)


def test_a_warp_moves_landmarks_to_their_places_and_leaves_the_border():
    points = make_face()
    target = caricature(points, LOOKS["anime"])
    warp = FaceWarp(points, target, SIZE)
    corners = [face_mesh.EYES[0].upper[0], face_mesh.CHIN]
    assert np.abs(warp.move(points[corners, :2]) - target[corners, :2]).max() < 1.5
    rows, columns = np.mgrid[0 : SIZE[0], 0 : SIZE[1]]
    assert np.allclose(warp.maps[0][-1], columns[-1], atol=0.5)
    assert np.allclose(warp.maps[1][-1], rows[-1], atol=0.5)


def test_caricature_enlarges_eyes_and_narrows_the_jaw():
    points = make_face()
    target = caricature(points, LOOKS["film"])
    for eye in face_mesh.EYES:
        width = [np.linalg.norm(p[eye.upper[0]] - p[eye.upper[-1]]) for p in (points, target)]
        assert width[1] > 1.4 * width[0]
    jaw = [np.linalg.norm(p[172, :2] - p[397, :2]) for p in (points, target)]
    assert jaw[1] < jaw[0]
    assert np.allclose(eye_ratios(points), 0.15 / 0.54, atol=0.01)


def test_splines_pass_through_their_points():
    square = np.array([(0, 0), (10, 0), (10, 10), (0, 10)], float)
    closed = spline(square, 400, closed=True)
    assert np.linalg.norm(closed[0] - closed[-1]) < 1e-6
    for points, line in ((square, closed), (square, spline(square, 400))):
        away = np.linalg.norm(points[:, None] - line, axis=-1).min(1)
        assert away.max() < 0.1


def test_filters():
    assert smoothstep(0.5, 0, 1) == 0.5
    mask = np.zeros((60, 60), np.float32)
    mask[10:50, 5:30], mask[40:42, 50:52] = 1, 1
    assert tidy(mask, 30)[41, 51] == 0 and tidy(mask, 30)[30, 15] > 0.9
    seed = np.zeros((60, 60), bool)
    seed[20, 20] = True
    assert keep_connected(mask, seed)[41, 51] == 0
    outline = stroke_polygon(np.array([(0, 0), (10, 0)]), 4)
    assert np.ptp(outline[:, 1]) == pytest.approx(4, abs=1e-3)


def make_probabilities(masks: Masks) -> np.ndarray:
    parts = np.stack([masks.skin, masks.clothes, masks.hair])
    return 0.02 + 0.96 * parts


def test_clear_masks_stay(photo):
    masks = make_masks()
    rgb = photo.astype(np.float32) / 255
    cleaned = clean_masks(rgb, masks.person, make_probabilities(masks), make_face())
    for name in ("person", "skin", "hair", "clothes"):
        a, b = getattr(cleaned, name) > 0.5, getattr(masks, name) > 0.5
        assert (a & b).sum() / (a | b).sum() > 0.85, name
    assert cleaned.cover.sum() == 0


def test_a_suit_called_hair_is_clothes_and_a_hat_called_clothes_is_cover(photo):
    masks = make_masks()
    rgb = photo.astype(np.float32) / 255
    swapped = make_probabilities(masks)
    swapped[[1, 2]] = swapped[[2, 1]]  # the suit is called hair, the hair is called clothes
    cleaned = clean_masks(rgb, masks.person, swapped, make_face())
    low = np.arange(SIZE[0])[:, None] > 270
    suit = (masks.clothes > 0.5) & low
    assert (cleaned.clothes[suit] > 0.5).mean() > 0.9
    top = (masks.hair > 0.5) & (np.arange(SIZE[0])[:, None] < 60)
    assert (cleaned.cover[top] > 0.5).mean() > 0.9


def test_a_plain_face_is_drawn_and_a_turned_or_covered_one_left_out(portrait):
    assert quality.refuse(portrait) == ""
    turned = make_face()
    turned[:, 2] = 1.2 * turned[:, 0]
    assert quality.refuse(make_portrait(points=turned)) == "head turned"
    hand = np.tile(make_face()[4, :2], (21, 1))
    assert quality.refuse(make_portrait(hands=[hand])) == ""
    hand[0] = (10, 290)
    assert quality.refuse(make_portrait(hands=[hand])) == "hand over the face"
    unsure = make_masks()
    unsure.confidence = 0.5
    assert quality.refuse(make_portrait(masks=unsure)) == "unsure masks"
    assert quality.score(portrait) > quality.score(make_portrait(points=turned))


@pytest.mark.parametrize("color", [(150, 118, 70), (92, 62, 42), (30, 27, 27), (150, 150, 152)])
@pytest.mark.parametrize("look", ["film", "series", "anime", "gouache"])
def test_hair_keeps_its_color(look, color):
    masks = make_masks()
    photo = make_photo(masks).astype(np.float32)
    photo[masks.hair > 0.5] += np.array(color, np.float32) - HAIR
    photo = photo.clip(0, 255).astype(np.uint8)
    toon, (scene,) = draw.draw_photo(photo, [make_portrait(photo)], look)
    inside = scene.hair > 0.9
    before, after = (
        np.median(to_lab(image.astype(np.float32) / 255)[inside], 0)
        for image in ((scene.rgb * 255).round(), toon)
    )
    assert abs(after[0] - before[0]) < 9
    assert abs(np.hypot(*after[1:]) - np.hypot(*before[1:])) < 9
    assert np.linalg.norm(after[1:] - before[1:]) < 10


def test_torn_hair_and_skin_that_the_network_does_not_see_lower_the_score(portrait):
    torn = make_masks()
    torn.hair[:, 80:160:8] = 0
    torn.hair[:, 81:161:8] = 0
    assert quality.score(make_portrait(masks=torn)) < 0.7 * quality.score(portrait)
    for part in ("lost_hair", "doubtful_skin"):
        doubtful = make_masks()
        setattr(doubtful, part, 0.6)
        assert quality.score(make_portrait(masks=doubtful)) < quality.score(portrait)


def test_a_crescent_of_shade_begins_below_the_temple(drawings):
    _, (scene,) = drawings["series"]
    far = skin.far_cheek(scene, 0.17)
    assert far[(scene.face_y < -0.4)].max() == 0 and far.max() > 0.9


def test_glasses_are_found_where_dark_frames_cross_the_nose(photo):
    assert not make_portrait(photo).glasses.present
    framed = photo.copy()
    for x in (95, 145):
        cv2.ellipse(framed, (x, 113), (21, 16), 0, 0, 360, (15, 15, 15), 3, cv2.LINE_AA)
    cv2.line(framed, (115, 110), (125, 110), (15, 15, 15), 3, cv2.LINE_AA)
    assert make_portrait(framed).glasses.present


def test_folder_draws_only_what_is_missing(tmp_path, portrait, photo, monkeypatch):
    photos, data, network = tmp_path / "photos", tmp_path / "data", tmp_path / "masks.onnx"
    photos.mkdir()
    network.write_bytes(b"")
    for name in ("ann", "bob"):
        Image.fromarray(photo).save(photos / f"{name}.png")
    Image.new("RGB", (240, 300), "gray").save(photos / "nobody.png")
    drawn = []

    def find(rgb, masks):
        drawn.append(1)
        return ([], "no face") if np.ptp(rgb) == 0 else ([make_portrait(rgb)], "")

    monkeypatch.setattr(folder, "find_portraits", find)
    options = {"min_side": 240, "jobs": 1}
    counts = folder.draw_folder([photos], data, ["film"], network, **options)
    assert counts.drawn == 2 and counts.left_out == {"no face": 1}
    record = read_records(data / "film" / RECORDS)["ann"]
    assert 0 < record["score"] <= 1 and set(record["boxes"][0]) == {
        *("face", "left_eye", "right_eye", "mouth")
    }
    assert len(json.loads((data / "faces.json").read_text())["ann"][0]) == 5
    labels = np.asarray(Image.open(data / "masks" / "ann.png"))
    assert set(np.unique(labels)) == {0, 2, 3, 4}
    # As after a kill: a drawing is not there, and a record is cut in the middle.
    (data / "film" / "style" / "bob.png").unlink()
    with open(data / "film" / RECORDS, "a") as file:
        file.write('{"name": "an')
    counts = folder.draw_folder([photos], data, ["film"], network, **options)
    assert counts.drawn == 1 and len(drawn) == 4 and counts.left_out == {"no face": 1}


def test_folder_draws_scenes_if_asked(tmp_path, photo, monkeypatch):
    photos, data, network = tmp_path / "photos", tmp_path / "data", tmp_path / "masks.onnx"
    photos.mkdir()
    network.write_bytes(b"")
    Image.fromarray(photo).save(photos / "view.png")
    monkeypatch.setattr(folder, "find_portraits", lambda rgb, masks: ([], "no face"))
    looks = list(LOOKS)
    counts = folder.draw_folder([photos], data, looks, network, jobs=1, scenes=True)
    assert counts.drawn == len(looks) and not counts.left_out
    before = Image.open(data / "train_photo" / "view.png")
    assert not np.asarray(Image.open(data / "masks" / "view.png")).any()
    drawings = [np.asarray(Image.open(data / look / "style" / "view.png")) for look in looks]
    for index, drawing in enumerate(drawings):
        assert 2 < np.abs(drawing.astype(int) - np.asarray(before)).mean() < 40
        assert all(np.abs(drawing.astype(int) - d).mean() > 1 for d in drawings[:index])


def test_a_changed_look_is_drawn_by_the_same_hand(tmp_path, photo, monkeypatch):
    photos, data, network = tmp_path / "photos", tmp_path / "data", tmp_path / "masks.onnx"
    photos.mkdir()
    network.write_bytes(b"")
    Image.fromarray(photo).save(photos / "ann.png")
    monkeypatch.setattr(folder, "find_portraits", lambda rgb, masks: ([make_portrait(rgb)], ""))
    words = [str(photos), str(data), "--masks", str(network), "--min-side", "240", "--jobs", "1"]
    main([*words, "--look", "film"])
    main([*words, "--look", "film", "--name", "mild", "--change", "eyes=1.1", "open=0.4"])
    plain, mild = (read_records(data / name / RECORDS)["ann"] for name in ("film", "mild"))
    heights = [record["boxes"][0]["left_eye"] for record in (plain, mild)]
    (tall, low) = (bottom - top for _, top, _, bottom in heights)
    assert low < 0.85 * tall


def test_dots_are_written_as_layers_if_asked(tmp_path, portrait, photo, monkeypatch):
    photos, data, network = tmp_path / "photos", tmp_path / "data", tmp_path / "masks.onnx"
    photos.mkdir()
    network.write_bytes(b"")
    Image.fromarray(photo).save(photos / "ann.png")
    monkeypatch.setattr(folder, "find_portraits", lambda rgb, masks: ([make_portrait(rgb)], ""))
    options = {"min_side": 240, "jobs": 1}
    folder.draw_folder([photos], data, ["comic"], network, **options)
    assert not (data / "comic" / "plain").exists()
    counts = folder.draw_folder([photos], data, ["comic"], network, halftone=True, **options)
    assert counts.drawn == 1
    style, plain, ink, coverage = (
        np.asarray(Image.open(data / "comic" / kind / "ann.png")).astype(int)
        for kind in ("style", *HALFTONE_LAYERS)
    )
    coverage = coverage[..., 0]
    dotted = coverage > 100
    assert 0.01 < dotted.mean() < 0.6
    # Printed dots lie between the two, and cover as much as the coverage says.
    light = np.stack([plain, style, ink]).mean(3)
    assert (light[0] - light[2])[dotted].mean() > 5
    share = (light[0] - light[1])[dotted].sum() / (light[0] - light[2])[dotted].sum()
    assert share == pytest.approx(coverage[dotted].mean() / 255, abs=0.15)
    assert np.abs(plain - ink)[coverage == 0].mean() < 1
    again = folder.draw_folder([photos], data, ["comic"], network, halftone=True, **options)
    assert again.drawn == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--change eyes=1.2", "--change and --name belong together"),
        ("--name mine", "--change and --name belong together"),
        ("--look film anime --name mine --change eyes=1.2", "with one --look"),
        ("--name anime --change eyes=1.2", "no known look"),
        ("--name ../mine --change eyes=1.2", "expected letters and digits"),
        ("--name mine --change eye=1.2", "did you mean 'eyes'"),
        ("--name mine --change eyes=big", "expected a number after ="),
        ("--name mine --change eyes=1e9", "expected a number from 0 to 10"),
        ("--name mine --change cel=1", "expected cel=true or cel=false"),
    ],
)
def test_wrong_changes_of_a_look_are_named(words, message, tmp_path, capsys):
    with pytest.raises(SystemExit):
        main([str(tmp_path), str(tmp_path), "--masks", "x.onnx", *words.split()])
    assert message in capsys.readouterr().err


def test_errors_name_what_is_missing(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="--masks"):
        MaskNetwork(tmp_path / "none.onnx")
    monkeypatch.setitem(sys.modules, "mediapipe", None)
    with pytest.raises(ModuleNotFoundError, match="toonify\\[teacher\\]"):
        face_mesh.import_mediapipe()


def test_sizes_are_bounded():
    assert folder.fit_size((335, 410), 512, 1280) == (512, 627)
    assert folder.fit_size((4000, 3000), 512, 1280) == (1280, 960)
    assert folder.fit_size((640, 640), 512, 1280) == (640, 640)
