"""Between photo and drawing nothing shows twice, and the photo's colors stay in their shapes."""

import cv2
import numpy as np
import pytest
from PIL import Image

from toonify.images.color_transfer import match_tone, transfer_color
from toonify.images.morph import morph


def head(eye=10.0, size=256, seed=0):
    """A drawn head with textured background; eye is the radius of its eyes."""
    rng = np.random.default_rng(seed)
    backdrop = cv2.GaussianBlur(rng.normal(0, 60, (size, size)), (0, 0), 4) * 3 + 120
    pixels = np.clip(backdrop, 0, 255)[..., None].repeat(3, axis=2).astype(np.uint8)
    cv2.ellipse(pixels, (size // 2, size // 2), (80, 105), 0, 0, 360, (220, 180, 150), -1, 16)
    for x in (size // 2 - 36, size // 2 + 36):
        center = (round(x * 16), (size // 2 - 15) * 16)
        cv2.circle(pixels, center, round(eye * 16), (250, 250, 250), -1, 16, 4)
        cv2.circle(pixels, center, round(eye * 0.6 * 16), (40, 30, 30), -1, 16, 4)
    cv2.ellipse(pixels, (size // 2, size // 2 + 50), (30, 10), 0, 0, 360, (170, 60, 60), -1, 16)
    return Image.fromarray(pixels)


def error(image, other):
    return np.abs(np.asarray(image).astype(float) - np.asarray(other).astype(float))


def test_the_ends_are_exact():
    photo, toon = head(10), head(16)
    assert morph(photo, toon, 0).tobytes() == photo.tobytes()
    assert morph(photo, toon, 1).tobytes() == toon.tobytes()
    assert morph(photo, toon, 0.0) is not photo


def test_half_way_eyes_are_half_as_large_and_not_double():
    photo, toon, between = head(10), head(16), head(13)
    eyes = np.s_[80:150, 60:200]
    bent = error(morph(photo, toon, 0.5), between)[eyes].mean()
    ghosted = error(Image.blend(photo, toon, 0.5), between)[eyes].mean()
    assert bent < 0.5 * ghosted


def test_it_comes_in_smoothly():
    photo, toon = head(10), head(16)
    steps = [morph(photo, toon, strength) for strength in (0, 0.02, 0.98, 1)]
    assert error(steps[0], steps[1]).mean() < 1.0 and error(steps[2], steps[3]).mean() < 1.0
    gone = [error(morph(photo, toon, strength), photo).mean() for strength in (0.25, 0.5, 0.75)]
    assert 0 < gone[0] < gone[1] < gone[2] < error(toon, photo).mean()


def test_unrelated_images_do_not_tear():
    """Where no flow can be trusted, what is left is the cross-fade."""
    photo = Image.fromarray(np.asarray(head(10))[::-1].copy())
    toon = Image.new("RGB", photo.size, (90, 120, 60))
    assert error(morph(photo, toon, 0.5), Image.blend(photo, toon, 0.5)).mean() < 1.5


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (15, 400), (20_000, 3), (40_000, 20), (301, 77)])
def test_any_size(size):
    photo, toon = head(10).resize(size), head(16).resize(size)
    assert morph(photo, toon, 0.4).size == size
    assert transfer_color(photo, toon).size == size


def test_bands_leave_no_trace(monkeypatch):
    photo, toon = head(10, 300), head(16, 300)
    whole = morph(photo, toon, 0.5), transfer_color(photo, toon)
    monkeypatch.setattr("toonify.images.color_transfer._BAND_PIXELS", 300 * 37)
    parts = morph(photo, toon, 0.5), transfer_color(photo, toon)
    assert all(error(a, b).max() <= 1 for a, b in zip(whole, parts, strict=True))


def lab(image):
    return cv2.cvtColor(np.asarray(image).astype(np.float32) / 255, cv2.COLOR_RGB2LAB)


def test_keeping_color_returns_the_photos_chroma_with_the_toons_light():
    photo, toon = head(10), head(16)
    cast = np.clip(np.asarray(toon).astype(float)[..., [1, 0, 2]] * (0.9, 1, 1.1), 0, 255)
    cast = Image.fromarray(cast.astype(np.uint8))
    kept = transfer_color(photo, cast)
    skin = np.s_[150:170, 70:180]
    before = np.abs(lab(cast)[skin] - lab(photo)[skin])[..., 1:].mean()
    after = np.abs(lab(kept)[skin] - lab(photo)[skin])[..., 1:].mean()
    assert before > 15 and after < 2
    assert np.abs(lab(kept) - lab(cast))[..., 0].mean() < 1.5


def test_color_does_not_bleed_over_drawn_edges():
    photo = np.full((200, 200, 3), (200, 60, 60), np.uint8)
    photo[:, 100:] = (60, 90, 200)
    toon = np.full((200, 200, 3), 190, np.uint8)
    toon[:, 100:] = 90
    kept = lab(transfer_color(Image.fromarray(photo), Image.fromarray(toon)))
    assert kept[100, :97, 1].min() > 25  # red up to the edge
    assert kept[100, 103:, 2].max() < -25  # blue from the edge on


def test_a_toon_with_the_photos_colors_is_left_alone():
    assert error(transfer_color(head(10), head(10)), head(10)).max() <= 1


def test_what_is_refused():
    with pytest.raises(ValueError, match="same size"):
        morph(head(), head().resize((9, 9)), 0.5)
    with pytest.raises(ValueError, match="same size"):
        transfer_color(head(), head().resize((9, 9)))
    for strength in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match="strength"):
            morph(head(), head(), strength)


def test_retone_takes_back_what_the_likeness_missed():
    rng = np.random.default_rng(0)
    photo = Image.fromarray(rng.integers(90, 160, (96, 96, 3), np.uint8))
    toon = Image.new("RGB", (96, 96), (120, 100, 90))
    assert (
        np.abs(np.asarray(match_tone(toon, photo, photo)).astype(int) - (120, 100, 90)).max() <= 1
    )
    pale = Image.new("RGB", (96, 96), (200, 180, 170))
    tan = Image.new("RGB", (96, 96), (150, 110, 90))
    # A toon that draws the pale likeness as it is comes out tan, as the photo is.
    assert np.abs(np.asarray(match_tone(pale, pale, tan)).astype(int) - (150, 110, 90)).max() <= 2
    with pytest.raises(ValueError, match="same size"):
        match_tone(toon, pale.resize((48, 48)), photo)
