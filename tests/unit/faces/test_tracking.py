"""Faces in videos: follow without jumps, coming and going softly, chosen without toggling."""

import cv2
import numpy as np
import pytest
from PIL import Image

from tests.unit.pipelines.test_animegan import face
from toonify.faces.tracking import EVERY, FADE, MAX_MISSED, FaceTracks

SIZE = (320, 200)


def view(x=0.0, y=0.0):
    """An image full of marks, moved by (x, y)."""
    rng = np.random.default_rng(0)
    marks = cv2.GaussianBlur(rng.integers(0, 255, (300, 420, 3), np.uint8), (0, 0), 2)
    marks = cv2.normalize(marks, None, 0, 255, cv2.NORM_MINMAX)
    move = np.array([[1, 0, x - 50], [0, 1, y - 50]], np.float32)
    return Image.fromarray(cv2.warpAffine(marks, move, SIZE, flags=cv2.INTER_CUBIC))


class Detector:
    """Finds the given faces, off by some pixels; `calls` counts the calls."""

    def __init__(self, *faces, error=0.0):
        self.faces, self.error, self.calls = list(faces), error, 0
        self.rng = np.random.default_rng(1)

    def __call__(self, photo):
        self.calls += 1
        if not self.error:
            return list(self.faces)
        middles = [f.points[:2].mean(axis=0) for f in self.faces]
        return [face(*(middle + self.rng.normal(0, self.error, 2)), 40) for middle in middles]


def eyes(track):
    return track.face.points[:2].mean(axis=0)


def test_a_face_follows_the_image_between_looks():
    detector = Detector(face(120, 80, 40))
    tracks = FaceTracks(detector)
    for number in range(EVERY):
        (track,) = tracks.update(view(2.5 * number, 1.5 * number))
        assert eyes(track) == pytest.approx([120 + 2.5 * number, 80 + 1.5 * number], abs=0.7)
    assert detector.calls == 1 and track.weight == 1.0


def test_errors_of_the_detector_do_not_shake_the_face():
    detector = Detector(face(120, 80, 40), error=2.0)
    tracks = FaceTracks(detector)
    places = []
    for _ in range(EVERY * 12):
        (track,) = tracks.update(view())
        places.append(eyes(track))
    assert detector.calls == 12
    steps = np.linalg.norm(np.diff(places, axis=0), axis=1)
    assert steps.max() < 2.0  # two looks are off by up to 6 px from each other
    assert np.linalg.norm(np.mean(places, axis=0) - [120, 80]) < 2.0


def test_a_face_that_moves_alone_is_caught_up_with_at_the_next_look():
    detector = Detector(face(120, 80, 40))
    tracks = FaceTracks(detector)
    for _ in range(EVERY):
        tracks.update(view())
    detector.faces = [face(140, 80, 40)]
    (track,) = tracks.update(view())
    assert eyes(track) == pytest.approx([140, 80], abs=4)
    assert tracks.seen == 1


def test_faces_come_and_go_softly():
    detector = Detector()
    tracks = FaceTracks(detector)
    weights = []
    for number in range(EVERY * (MAX_MISSED + 5)):
        if number == EVERY:
            detector.faces = [face(120, 80, 40)]
        if number == 3 * EVERY:
            detector.faces = []
        found = tracks.update(view())
        weights.append(found[0].weight if found else 0.0)
    assert max(weights) == 1.0 and weights[EVERY - 1] == 0.0 and weights[-1] == 0.0
    assert np.abs(np.diff(weights)).max() <= 1 / FADE + 1e-9
    assert min(weights[EVERY + FADE : (2 + MAX_MISSED) * EVERY]) == 1.0  # one miss is forgiven
    assert not tracks.tracks


def test_at_the_start_and_after_a_cut_faces_are_there_at_once():
    detector = Detector(face(120, 80, 40))
    tracks = FaceTracks(detector)
    assert [t.weight for t in tracks.update(view())] == [1.0]
    detector.faces = [face(200, 100, 30)]
    (track,) = tracks.update(view(), cut=True)
    assert track.weight == 1.0 and eyes(track) == pytest.approx([200, 100])
    assert (detector.calls, tracks.seen) == (2, 2)


def test_who_is_drawn_does_not_toggle():
    """Of two faces of almost one size the first stays the largest."""
    one, other = face(80, 80, 36), face(220, 80, 36)
    detector = Detector(one, other)
    tracks = FaceTracks(detector, largest=True)
    (chosen,) = tracks.update(view())
    for number in range(3 * EVERY):
        grown = 38 if number % (2 * EVERY) else 34
        detector.faces = [face(80, 80, 36), face(220, 80, grown)]
        assert tracks.update(view()) == [chosen]


def test_the_previous_decision_about_a_face_is_passed_on():
    asked = []

    def wants(found, before):
        asked.append(before)
        return True

    tracks = FaceTracks(Detector(face(120, 80, 40)), wants)
    tracks.update(view())
    tracks.update(view())
    assert asked == [False, True]


def test_a_face_that_leaves_the_image_is_given_up():
    tracks = FaceTracks(Detector(face(300, 80, 40)))
    tracks.update(view())
    for number in range(1, EVERY):
        found = tracks.update(view(8.0 * number))
    assert not found
