"""Figures about drawings have known values for pictures made for the purpose."""

import json

import cv2
import numpy as np
import pytest
from PIL import Image, ImageFilter

from toonify import images
from toonify.faces import Face
from training import evaluate, metrics
from training.perceptual import MobileNetV2Features


def lab_picture(light, a, b):
    pixel = cv2.cvtColor(np.array([[[light, a, b]]], np.float32), cv2.COLOR_LAB2RGB)
    return Image.fromarray(
        np.broadcast_to((pixel * 255).round().astype(np.uint8), (90, 80, 3)).copy()
    )


FACE = Face(
    box=(10.0, 10.0, 70.0, 80.0),
    points=np.array([[28, 36], [52, 36], [40, 48], [31, 60], [49, 60]], float),
    score=0.99,
)


def test_similarity_of_a_picture_with_itself_is_one(photo):
    assert metrics.ssim(photo, photo) == pytest.approx(1, abs=1e-6)


def test_similarity_falls_with_noise_and_with_another_picture(photo):
    noise = np.random.default_rng(0).normal(0, 25, (photo.height, photo.width, 3))
    noisy = Image.fromarray(np.clip(np.asarray(photo) + noise, 0, 255).astype(np.uint8))
    other = photo.transpose(Image.Transpose.FLIP_TOP_BOTTOM)
    assert 1 > metrics.ssim(photo, noisy) > metrics.ssim(photo, other)


def test_kernel_distance_is_zero_within_a_distribution_and_grows_apart():
    rng = np.random.default_rng(0)
    ours, theirs = rng.normal(size=(2, 400, 8))
    assert abs(metrics.kernel_distance(ours, theirs)) < 0.05
    assert metrics.kernel_distance(ours, theirs + 1) > 0.3


def test_style_statistics_tell_flat_from_rough(photo):
    features = MobileNetV2Features(metrics.STAGES)
    rough = metrics.style_statistics([photo], features, crops=40)
    flat = photo.filter(ImageFilter.GaussianBlur(6))
    again = metrics.style_statistics([photo], features, crops=40, seed=1)
    blurred = metrics.style_statistics([flat], features, crops=40)
    near = metrics.kernel_distance(rough, again)
    assert metrics.kernel_distance(blurred, rough) > 3 * max(near, 0.01)


def test_cheeks_give_the_skin_colour_and_hue_turns_in_degrees():
    before = metrics.cheek_colour(lab_picture(70, 15, 15), FACE)
    after = metrics.cheek_colour(lab_picture(60, 20, 0), FACE)
    assert before == pytest.approx([70, 15, 15], abs=0.6)
    assert metrics.hue_shift(before, after) == pytest.approx(45, abs=2)
    assert metrics.hue_shift(np.array([50, 1, -0.01]), np.array([50, 1, 0.01])) < 2


@pytest.mark.parametrize(("light", "tone"), [(75, "light"), (60, "medium"), (35, "dark")])
def test_skin_tones_by_typology_angle(light, tone):
    assert metrics.skin_tone(np.array([light, 12.0, 18.0])) == tone


def test_evaluation_of_a_toy_style(toy_style, photo, tmp_path, capsys):
    images.save(photo, tmp_path / "photos" / "a.png")
    images.save(photo.quantize(6).convert("RGB"), tmp_path / "style" / "a.png")
    evaluate.main(
        [
            *("--model", str(toy_style), "--photos", str(tmp_path / "photos"), "--faces", "none"),
            *("--style", str(tmp_path / "style"), "--sheet", str(tmp_path / "sheet.jpg")),
        ]
    )
    figures = json.loads(capsys.readouterr().out)
    assert figures["photos"] == 1
    assert figures["faces_in_photos"] == 1
    assert figures["style_distance_mobilenet_v2"]["photos"] > 0
    assert images.load(tmp_path / "sheet.jpg").size == (4 * 2 * 320, 320)


def test_evaluation_without_photos_says_so(tmp_path, capsys, toy_style):
    with pytest.raises(SystemExit):
        evaluate.main(["--model", str(toy_style), "--photos", str(tmp_path)])
    assert "no pictures in it" in capsys.readouterr().err
