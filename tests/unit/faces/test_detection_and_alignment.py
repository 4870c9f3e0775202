"""Faces are found in any photo without a crash, stand upright in crops, go back without a seam."""

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from toonify import images
from toonify.faces import Crop, Face, align, detect, detection, geometry, inside, paste, paste_order

FACES = Path(__file__).parents[3] / "hub_cards" / "faces"
# The public FFHQ-512 template of facexlib: eyes, nose, corners of the mouth.
TEMPLATE = np.array(
    [
        (192.98138, 239.94708),
        (318.90277, 240.1936),
        (256.63416, 314.01935),
        (201.26117, 371.41043),
        (313.08905, 371.15118),
    ]
)


@pytest.fixture(scope="module")
def astronaut():
    return images.load(FACES / "astronaut.jpg")


@pytest.fixture(scope="module")
def portrait():
    return images.load(sorted(FACES.glob("random_*.jpg"))[0])


def made_up(center, eye_distance, roll=0.0):
    """A face of the template's proportions, its square's center and head roll (degrees) given."""
    points = (TEMPLATE - 256.0) * eye_distance / 125.92
    cos, sin = math.cos(math.radians(roll)), math.sin(math.radians(roll))
    points = points @ np.array([[cos, sin], [-sin, cos]]) + np.array(center)
    box = (*points.min(axis=0).tolist(), *points.max(axis=0).tolist())
    return Face(box, points, 1.0)


def noise(size=(400, 300), seed=0):
    return Image.fromarray(
        np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    )


def error(image, other):
    return np.abs(np.asarray(image).astype(float) - np.asarray(other).astype(float))


def mapped(crop, points):
    return points @ crop.matrix[:, :2].T + crop.matrix[:, 2]


# -- finding


@pytest.mark.parametrize("size", [(1, 1), (19, 19), (20, 20), (2000, 10), (3, 20_000), (25, 900)])
def test_odd_sizes_have_no_face(size):
    assert detect(noise(size)) == []


@pytest.mark.parametrize("color", ["black", "white", "gray"])
def test_flat_images_have_no_face(color):
    assert detect(Image.new("RGB", (300, 200), color)) == []


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P", "CMYK", "1", "I;16", "F"])
def test_no_mode_crashes(astronaut, mode):
    small = astronaut.resize((256, 256))
    photo = small.convert("L").convert("I").convert("I;16") if mode == "I;16" else None
    for face in detect(photo or small.convert(mode), try_rotations=False):
        assert face.points.shape == (5, 2)


def test_a_face_is_found_the_same_every_time(astronaut):
    (face,), (again,) = detect(astronaut), detect(astronaut)
    assert face.box == again.box and face.score == again.score > 0.99
    assert np.array_equal(face.points, again.points)
    x0, y0, x1, y1 = face.box
    assert all(x0 < x < x1 and y0 < y < y1 for x, y in face.points)
    left, right, nose, mouth_left, mouth_right = face.points
    assert left[0] < nose[0] < right[0] and mouth_left[0] < mouth_right[0]
    assert left[1] < nose[1] < mouth_left[1]
    assert face.eye_distance == pytest.approx(41.5, abs=3)


def test_finding_leaves_the_number_of_threads_alone(astronaut):
    before = torch.get_num_threads()
    detect(astronaut, try_rotations=False)
    assert torch.get_num_threads() == before


@pytest.mark.parametrize("factor", [0.5, 2.0, 4.0])
def test_points_are_in_the_frame_of_the_photo(astronaut, factor):
    size = round(512 * factor)
    (face,) = detect(astronaut)
    (scaled,) = detect(astronaut.resize((size, size)))
    expected = (face.points + 0.5) * factor - 0.5
    assert np.abs(scaled.points - expected).max() < 0.06 * face.eye_distance * factor


@pytest.mark.parametrize("size", [(700, 500), (1499, 1100), (2048, 1536), (4001, 2999)])
def test_a_photo_is_shrunk_without_a_shift(size):
    """The brightness at a pixel's place is that of the same place in the photo, to a level."""
    across, down = (np.linspace(0, 255, side, dtype=np.float32) for side in size)
    pixels = np.empty((size[1], size[0], 3), np.uint8)
    pixels[..., 0], pixels[..., 1:] = across[None, :] + 0.5, down[:, None, None] + 0.5
    shrink = 1024 / max(1024, *size)
    small = round(size[0] * shrink), round(size[1] * shrink)
    seen = detection._shrunk(Image.fromarray(pixels), small).astype(np.float32)
    assert seen.shape == (small[1], small[0], 3)
    for axis, color in enumerate((0, 1)):
        places = (np.arange(small[axis]) + 0.5) * size[axis] / small[axis] - 0.5
        expected = np.interp(places, np.arange(size[axis]), (across, down)[axis])
        means = seen[..., color].mean(axis=axis)
        assert np.abs(means - expected).max() < 1.0


def test_largest_face_comes_first(astronaut):
    group = Image.new("RGB", (900, 512), "gray")
    group.paste(astronaut.resize((340, 340)), (0, 60))
    group.paste(astronaut, (388, 0))
    large, small = detect(group)
    assert large.points[2, 0] > 388 > small.points[2, 0]
    assert large.eye_distance > small.eye_distance


@pytest.mark.parametrize("quarter_turns", [1, 2, 3])
def test_turned_faces_are_found_and_cut_out_upright(astronaut, quarter_turns):
    turned = Image.fromarray(np.rot90(np.asarray(astronaut), quarter_turns))
    assert detect(turned, try_rotations=False) == []
    (face,) = detect(turned)
    upright = align(astronaut, detect(astronaut)[0], 128).image
    assert error(align(turned, face, 128).image, upright).mean() < 3.0


@pytest.mark.parametrize("roll", [45, 60, 80, -60, 135, 180])
def test_the_angle_of_a_tilted_head_is_right(portrait, roll):
    small = portrait.resize((300, 300))
    photo = small.rotate(roll, Image.Resampling.BICUBIC, expand=True, fillcolor=(128, 128, 128))
    across, down = np.diff(detect(photo)[0].points[:2], axis=0)[0]
    off = (math.degrees(math.atan2(-down, across)) - roll + 180) % 360 - 180
    assert abs(off) < 12


# -- aligning


def test_square_agrees_with_the_public_template():
    center, across, down = geometry._ffhq_axes(TEMPLATE)
    assert 2 * np.linalg.norm(across) == pytest.approx(503.7, abs=0.1)
    assert center == pytest.approx((256.1, 253.2), abs=0.1)
    assert across @ down == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("roll", [0, 15, 45, 90, 180, -120])
def test_points_land_where_ffhq_has_them(roll):
    face = made_up((500, 400), 60, roll)
    crop = align(noise((1000, 800)), face, 512)
    assert crop.image.size == (512, 512)
    assert np.allclose(crop.points, mapped(crop, face.points))
    assert np.abs(crop.points - TEMPLATE).max() < 8.0
    assert crop.side == pytest.approx(503.7 * 60 / 125.92, rel=1e-3)


def test_an_upright_square_is_cut_out_to_the_pixel():
    """A face whose square is exactly the pixels 100 to 163 gives exactly these pixels."""
    photo = noise((300, 300))
    center, across, _ = geometry._ffhq_axes(TEMPLATE - TEMPLATE[[0, 1]].mean(axis=0))
    angle = math.degrees(math.atan2(across[1], across[0]))
    points = made_up((0, 0), 20, -angle).points
    center, across, _ = geometry._ffhq_axes(points)
    points = (points - center) * 32 / np.linalg.norm(across) + 131.5
    crop = align(photo, Face((0, 0, 1, 1), points, 1.0), 64)
    assert error(crop.image, photo.crop((100, 100, 164, 164))).max() <= 1


def test_shrinking_does_not_alias():
    stripes = np.zeros((900, 900, 3), np.uint8)
    stripes[:, ::2] = 255
    crop = align(Image.fromarray(stripes), made_up((450, 450), 180), 96)
    assert np.asarray(crop.image)[8:-8, 8:-8].std() < 3.0


@pytest.mark.parametrize("share", [0.25, 0.15])
def test_a_face_cut_by_the_border_keeps_its_points(portrait, share):
    """The detector's own points for it lie a third of the face away."""
    (whole,) = detect(portrait)
    x0, _, x1, _ = whole.box
    cut = portrait.crop((0, 0, round(x1 - share * (x1 - x0)), portrait.height))
    (found,) = detect(cut)
    assert np.abs(found.points[:3] - whole.points[:3]).max() < 0.12 * whole.eye_distance


def test_what_of_a_crop_lies_in_the_photo():
    face = made_up((90, 50), 20)
    crop = align(noise((100, 200)), face, 64)
    shown = inside(crop, (100, 200), 32)
    assert shown.shape == (32, 32) and set(np.unique(shown)) == {0.0, 1.0}
    # The square is about 80 px wide around x = 90: a good half of it lies left of the border.
    assert (shown[16] == np.sort(shown[16])[::-1]).all()
    edge = np.array([99.5, 50.0])
    place = (crop.matrix[:, :2] @ edge + crop.matrix[:, 2])[0] / 2
    assert abs(shown[16].sum() - place) < 1
    assert inside(align(noise(), made_up((200, 150), 30), 64), (400, 300), 16).all()


def test_beyond_the_border_the_photo_is_mirrored(portrait):
    face = detect(portrait)[0]
    x = int(face.points[2, 0])
    half = portrait.crop((x, 0, portrait.width, portrait.height))  # cut through the nose
    points = face.points - np.array([x, 0])
    crop = align(half, Face(face.box, points, 1.0), 512)
    pixels = np.asarray(crop.image).astype(float)
    assert np.abs(pixels - pixels[:, ::-1])[:, 236:276].mean() < 25  # the middle is symmetric
    assert pixels[:, :200].std() > 10
    result = paste(half, crop, crop.image)
    assert result.size == half.size and error(result, half).mean() < 1.0


def test_a_square_larger_than_the_photo_works():
    tiny = noise((30, 24))
    crop = align(tiny, made_up((15, 12), 40), 128)
    assert paste(tiny, crop, crop.image).size == tiny.size


@pytest.mark.parametrize("points", [np.full((5, 2), 7.0), np.full((5, 2), np.nan)])
def test_points_that_span_no_face_are_named(points):
    with pytest.raises(ValueError, match="expected five"):
        align(noise(), Face((0, 0, 1, 1), points, 1.0))


def test_an_upright_face_stays_where_nothing_is_found_in_the_turned_photo(astronaut, monkeypatch):
    """A face that is judged better upside down, in places found upright, but not found there."""
    upright = dataclasses.replace(made_up((100, 100), 40), score=0.996)
    doubled = dataclasses.replace(upright, score=0.9999)

    def look(view, candidates, min_score, quarter_turns=0):
        if candidates is None:
            return []
        return [doubled if quarter_turns == 2 else upright]

    monkeypatch.setattr(detection, "_look", look)
    (face,) = detect(astronaut)
    assert face.score == 0.996 and np.array_equal(face.points, upright.points)


def test_a_face_outside_of_the_photo_is_refused():
    with pytest.raises(ValueError, match="outside"):
        align(noise(), made_up((5000, 5000), 30))


# -- pasting back


@pytest.mark.parametrize("roll", [0, 15, 45])
@pytest.mark.parametrize("name", ["astronaut", "portrait"])
def test_an_untouched_crop_gives_the_photo_again(request, name, roll):
    upright = request.getfixturevalue(name)
    photo = upright.rotate(roll, Image.Resampling.BICUBIC, expand=True, fillcolor=(90, 90, 90))
    face = detect(photo)[0]
    crop = align(photo, face, 512)
    direction = face.points[1] - face.points[0]
    assert math.degrees(math.atan2(-direction[1], direction[0])) == pytest.approx(roll, abs=8)

    result = paste(photo, crop, crop.image)
    difference = error(result, photo)
    x0, y0, x1, y1 = (max(0, round(v)) for v in face.box)
    assert difference[y0:y1, x0:x1].mean() <= 1.0
    assert difference.mean() <= 0.5
    # A seam is an edge that the photo does not have: a step in the signed, smoothed difference.
    signed = np.asarray(result).astype(float) - np.asarray(photo).astype(float)
    blocks = signed[: photo.height // 8 * 8, : photo.width // 8 * 8]
    blocks = blocks.reshape(photo.height // 8, 8, photo.width // 8, 8, 3).mean(axis=(1, 3))
    assert np.abs(blocks).max() < 1.5


@pytest.mark.parametrize("roll", [0, 15, 45])
def test_the_drawing_fades_in_without_a_step(roll):
    gray = Image.new("RGB", (400, 300), (100, 100, 100))
    crop = align(gray, made_up((210, 140), 45, roll), 256)
    result = np.asarray(paste(gray, crop, Image.new("RGB", (256, 256), (200, 200, 200))))
    lifted = result[..., 0].astype(int) - 100
    assert lifted[140, 210] == 100 and lifted.min() == 0
    steps = max(np.abs(np.diff(lifted, axis=axis)).max() for axis in (0, 1))
    assert steps <= 10  # 180 pixels of square, fading over 22 of them
    inside = np.stack(np.meshgrid(np.arange(400), np.arange(300)), axis=-1).reshape(-1, 2)
    inside = np.abs(mapped(crop, inside) - 127.5).max(axis=1).reshape(300, 400) < 128
    assert (lifted[~inside] == 0).all() and (lifted > 0).sum() > 0.7 * inside.sum()


def test_a_drawing_of_another_size_lands_in_the_same_place(portrait):
    crop = align(portrait, detect(portrait)[0], 256)
    large = crop.image.resize((1024, 1024), Image.Resampling.LANCZOS)
    same = error(paste(portrait, crop, large), paste(portrait, crop, crop.image))
    assert same.mean() < 0.5


def test_a_fine_drawing_does_not_alias_when_pasted_small():
    gray = Image.new("RGB", (200, 200), (128, 128, 128))
    stripes = np.zeros((512, 512, 3), np.uint8)
    stripes[:, ::2] = 255
    crop = align(gray, made_up((100, 100), 20), 512)
    assert error(paste(gray, crop, Image.fromarray(stripes)), gray).max() <= 4


def test_the_canvas_is_left_alone_and_far_parts_stay():
    canvas = noise((400, 300))
    before = canvas.tobytes()
    crop = align(canvas, made_up((100, 100), 20), 128)
    result = paste(canvas, crop, Image.new("RGB", (128, 128)))
    assert canvas.tobytes() == before
    assert error(result, canvas)[:, 200:].max() == 0 and error(result, canvas).max() > 100


def test_matching_colors_follows_the_surroundings(astronaut):
    crop = align(astronaut, detect(astronaut)[0], 256)
    cast = np.asarray(crop.image).astype(float) * (0.7, 1.0, 1.2) + (0, 10, 0)
    cast = Image.fromarray(np.clip(cast, 0, 255).astype(np.uint8))
    plain = error(paste(astronaut, crop, cast), astronaut).mean()
    matched = error(paste(astronaut, crop, cast, match_color=True), astronaut).mean()
    assert matched < 0.4 * plain
    same = error(paste(astronaut, crop, crop.image, match_color=True), astronaut)
    assert same.mean() < 0.3


def test_near_faces_lie_over_far_ones():
    canvas = Image.new("RGB", (400, 300))
    crops = [align(canvas, made_up((x, 150), size), 64) for x, size in ((220, 50), (120, 20))]
    assert paste_order(crops) == [1, 0]
    colors = [(255, 0, 0), (0, 255, 0)]
    for index in paste_order(crops):
        canvas = paste(canvas, crops[index], Image.new("RGB", (64, 64), colors[index]))
    assert canvas.getpixel((190, 150)) == (255, 0, 0)


def test_what_paste_refuses():
    canvas = noise()
    crop = align(canvas, made_up((200, 150), 30), 64)
    with pytest.raises(ValueError, match="square"):
        paste(canvas, crop, Image.new("RGB", (64, 60)))
    for feather in (0.0, 1.5):
        with pytest.raises(ValueError, match="feather"):
            paste(canvas, crop, crop.image, feather=feather)


def test_a_crop_beside_the_canvas_changes_nothing():
    canvas = noise()
    crop = align(canvas, made_up((200, 150), 30), 64)
    away = Crop(crop.image, geometry.offset_matrix(crop.matrix, -5000, 0), crop.face)
    assert paste(canvas, away, crop.image).tobytes() == canvas.tobytes()
