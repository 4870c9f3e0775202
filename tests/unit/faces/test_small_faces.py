"""Small faces of large photos are found in tiles: each once, and none where nobody is."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from toonify import images
from toonify.faces import Face, detect, mtcnn, small_faces
from toonify.faces.geometry import roll

FACES = Path(__file__).parents[3] / "hub_cards" / "faces"


def person(number, width):
    """A portrait whose face is about `width` px wide."""
    photo = images.load(sorted(FACES.glob("*.jpg"))[number])
    x0, _, x1, _ = detect(photo)[0].box
    return photo.resize((round(512 * width / (x1 - x0)),) * 2, Image.Resampling.LANCZOS)


def texture(size, seed=0):
    """A picture with edges of all sizes and without people."""
    noise = np.random.default_rng(seed).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC)


def crowd(size, width, places, background=texture):
    photo = background(size)
    for number, place in enumerate(places):
        photo.paste(person(number, width), place)
    return photo


def is_found(faces, place, width):
    x, y = np.array(place) + 2 * width  # somewhere in the portrait
    return [f for f in faces if abs(f.points[2] - [x, y]).max() < 2 * width]


@pytest.mark.parametrize(
    "size, width", [((3000, 2000), 60), ((3000, 2000), 40), ((1000, 800), 30), ((2000, 3000), 45)]
)
def test_each_far_face_is_found_once(size, width):
    # In the middle and where tiles meet.
    places = [(40, 60), (size[0] // 2 - width, size[1] // 2), (size[0] - 5 * width, 500)]
    photo = crowd(size, width, places)
    faces = detect(photo, small=True)
    assert len(faces) == 3
    assert all(len(is_found(faces, place, width)) == 1 for place in places)


@pytest.mark.parametrize("quarter_turns", [1, 2, 3])
def test_far_faces_of_a_photo_on_its_side_are_found(quarter_turns):
    photo = crowd((1600, 1200), 70, [(200, 200), (900, 600)])
    turned = Image.fromarray(np.rot90(np.asarray(photo), quarter_turns))
    faces = detect(turned, small=True)
    assert len(faces) == 2
    assert all(f.eye_distance < 60 and f.points.min() > 0 for f in faces)


def test_a_near_face_and_far_ones():
    photo = crowd((1800, 1200), 50, [(100, 100), (1500, 150)])
    photo.paste(person(2, 400), (300, 0))
    near = detect(photo)
    faces = detect(photo, small=True)
    assert len(faces) == 3 and faces[0].box == near[0].box
    assert np.array_equal(faces[0].points, near[0].points)


@pytest.mark.parametrize("quarter_turns", [1, 2, 3])
def test_a_near_face_and_far_ones_on_their_side(quarter_turns):
    photo = crowd((1800, 1200), 50, [(100, 100), (1500, 150)])
    photo.paste(person(2, 400), (300, 0))
    turned = Image.fromarray(np.rot90(np.asarray(photo), quarter_turns))
    faces = detect(turned, small=True)
    assert len(faces) == 3
    assert all(
        abs(abs(roll(face.points)) - (90, 180, 90)[quarter_turns - 1]) < 30 for face in faces
    )


def test_many_far_faces_on_their_side_are_not_mistaken_for_a_few_upright_ones(monkeypatch):
    """What is seen of them without turning the photo does not end the search."""
    photo = crowd((2000, 1500), 40, [(200, 200), (900, 600), (300, 800)])
    turned = Image.fromarray(np.rot90(np.asarray(photo)))
    expected = len(detect(turned, small=True))
    search, asked = small_faces.judge, []

    def judge(pixels, boxes, known, quarter_turns, look_again):
        asked.append(quarter_turns)
        found = search(pixels, boxes, known, 3, look_again)
        return found if quarter_turns == 3 else found[:1]

    monkeypatch.setattr(small_faces, "judge", judge)
    assert len(detect(turned, small=True)) == expected == 3 and asked == [0, 3]


@pytest.mark.parametrize(
    "rolls, turns",
    [
        ([], 0),
        ([0, 10], 0),
        ([-89, -90], 3),
        ([90], 1),
        ([178, 180, -180, -178], 2),
        ([80, 130], 1),
    ],
)
def test_turns_that_put_faces_upright(rolls, turns):
    across = [(np.cos(np.radians(angle)), np.sin(np.radians(angle))) for angle in rolls]
    faces = [Face((0, 0, 9, 9), np.outer([-1, 1, 0, -1, 1], way), 1.0) for way in across]
    assert small_faces.count_turns(faces) == turns


def test_portraits_are_not_searched_again(monkeypatch):
    monkeypatch.setattr(small_faces, "find_small", lambda *arguments: pytest.fail("searched"))
    photo = images.load(FACES / "astronaut.jpg")
    (face,) = detect(photo, small=True)
    assert face.box == detect(photo)[0].box


@pytest.mark.parametrize("seed", range(3))
def test_nobody_is_found_where_nobody_is(seed):
    assert detect(texture((2400, 1800), seed), small=True) == []


def test_faces_are_bounded(monkeypatch):
    monkeypatch.setattr(small_faces, "MAX_FACES", 2)
    photo = crowd((2400, 1600), 40, [(50, 50), (500, 500), (1100, 200)])
    assert detect(photo) == [] and len(detect(photo, small=True)) == 2


@pytest.mark.parametrize("quarter_turns", range(4))
def test_the_detail_shows_what_the_view_shows(quarter_turns):
    """Up to rounding, of boxes that are whole multiples of the size and of the whole photo."""
    pixels = np.ascontiguousarray(np.rot90(np.asarray(texture((120, 96))), quarter_turns))
    detail, view = small_faces.Detail(pixels), mtcnn.View(pixels)
    boxes = np.array([[0, 0, 48, 48], [8, 4, 80, 76]])
    assert abs(detail.means(boxes, (24, 24)) - view.means(boxes, (24, 24))).max() < 1
    half = (pixels.shape[0] // 2, pixels.shape[1] // 2)
    assert abs(detail.reduced(half) - view.reduced(half)).max() < 1


def test_strips_find_the_candidates_of_the_whole(monkeypatch):
    view = mtcnn.View(np.asarray(crowd((640, 480), 60, [(20, 20), (300, 150)])))
    with mtcnn.one_thread():
        whole = mtcnn.propose_candidates(view, 24, 0.6)
        monkeypatch.setattr(mtcnn, "STRIP", 4000)
        strips = mtcnn.propose_candidates(view, 24, 0.6)
    # Processors differ in how they add up a strip: by 6e-5 px on one without AVX-512.
    assert len(whole) > 10 and whole.shape == strips.shape
    assert np.abs(whole - strips).max() < 1e-3


def test_the_search_is_bounded():
    for size in ((6000, 4000), (4000, 3000), (10_000, 5000)):
        side = small_faces.least_side(size)
        assert size[0] * size[1] * (mtcnn.CELL / side) ** 2 <= small_faces.MAX_WORK
    assert small_faces.least_side((1000, 800)) == small_faces.MIN_FACE


def test_two_boxes_of_one_face():
    def face(*box):
        return Face(box, np.zeros((5, 2)), 1.0)

    assert small_faces.is_same(face(0, 0, 40, 50), face(4, 4, 44, 54))
    assert small_faces.is_same(
        face(10, 10, 20, 20), face(0, 0, 100, 100)
    )  # an eye taken for a face
    assert not small_faces.is_same(face(0, 0, 40, 50), face(38, 0, 78, 50))
    assert len(small_faces.merge([face(0, 0, 40, 50), face(1, 1, 41, 51)], [])) == 1
