"""Figures about drawings have known values for images made for the purpose."""

import cv2
import numpy as np
import pytest
from PIL import Image, ImageFilter

from toonify import images
from toonify.faces import Face
from training.core.perceptual import MobileNetV2Features
from training.metrics import distances
from training.metrics import images as image_metrics


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


def test_similarity_is_one_for_the_same_and_falls_with_noise_and_with_another_image(photo):
    assert image_metrics.ssim(photo, photo) == pytest.approx(1, abs=1e-6)
    noise = np.random.default_rng(0).normal(0, 25, (photo.height, photo.width, 3))
    noisy = Image.fromarray(np.clip(np.asarray(photo) + noise, 0, 255).astype(np.uint8))
    other = photo.transpose(Image.Transpose.FLIP_TOP_BOTTOM)
    assert 1 > image_metrics.ssim(photo, noisy) > image_metrics.ssim(photo, other)


def test_kernel_distance_is_zero_within_a_distribution_and_grows_apart():
    rng = np.random.default_rng(0)
    ours, theirs = rng.normal(size=(2, 400, 8))
    assert abs(distances.kernel_distance(ours, theirs)) < 0.05
    assert distances.kernel_distance(ours, theirs + 1) > 0.3


def test_style_statistics_separate_flat_from_rough(photo):
    features = MobileNetV2Features(distances.STAGES)
    rough = distances.style_statistics([photo], features, crops=20)
    flat = photo.filter(ImageFilter.GaussianBlur(6))
    again = distances.style_statistics([photo], features, crops=20, seed=1)
    blurred = distances.style_statistics([flat], features, crops=20)
    near = distances.kernel_distance(rough, again)
    assert distances.kernel_distance(blurred, rough) > 3 * max(near, 0.01)


def test_cheeks_give_the_skin_color_and_hue_turns_in_degrees():
    before = image_metrics.cheek_color(lab_picture(70, 15, 15), FACE)
    after = image_metrics.cheek_color(lab_picture(60, 20, 0), FACE)
    assert before == pytest.approx([70, 15, 15], abs=0.6)
    assert image_metrics.hue_shift(before, after) == pytest.approx(45, abs=2)
    assert image_metrics.hue_shift(np.array([50, 1, -0.01]), np.array([50, 1, 0.01])) < 2


@pytest.mark.parametrize(("light", "tone"), [(75, "light"), (60, "medium"), (35, "dark")])
def test_skin_tones_by_typology_angle(light, tone):
    assert image_metrics.skin_tone(np.array([light, 12.0, 18.0])) == tone


# Distances between sets ------------------------------------------------------------------------


def test_frechet_distance_has_its_known_values():
    rows = np.random.default_rng(0).normal(size=(50, 6))
    assert distances.frechet_distance(rows, rows) == pytest.approx(0, abs=1e-9)
    moved = rows + np.array([3, 0, 0, 0, 4, 0])
    assert distances.frechet_distance(rows, moved) == pytest.approx(25)
    # Twice the deviation: C' = 4 C, so tr(C + 4 C - 2 * 2 C) = tr C is left.
    wider = 2 * rows - rows.mean(0)
    assert distances.frechet_distance(rows, wider) == pytest.approx(rows.var(0, ddof=1).sum())


def test_frechet_distance_with_fewer_images_than_dimensions():
    rng = np.random.default_rng(0)
    few, others = rng.normal(size=(5, 40)), rng.normal(size=(7, 40))
    turned, _ = np.linalg.qr(rng.normal(size=(40, 40)))
    assert distances.frechet_distance(few, few) == pytest.approx(0, abs=1e-9)
    distance = distances.frechet_distance(few, others)
    assert distances.frechet_distance(others, few) == pytest.approx(distance)
    assert distances.frechet_distance(few @ turned, others @ turned) == pytest.approx(distance)
    # Points on one line in 40 dimensions: as in one dimension, (mean - mean')^2 + (std - std')^2.
    line, a, b = turned[0], rng.normal(1, 2, 5), rng.normal(4, 1, 9)
    expected = (a.mean() - b.mean()) ** 2 + (a.std(ddof=1) - b.std(ddof=1)) ** 2
    found = distances.frechet_distance(np.outer(a, line), np.outer(b, line))
    assert found == pytest.approx(expected)


def test_frechet_distance_of_small_samples_of_one_set_is_biased_and_the_kernel_one_is_not():
    draws = np.random.default_rng(0).normal(size=(20, 2, 10, 8))
    frechet = [distances.frechet_distance(*pair) for pair in draws]
    kernel = [distances.kernel_inception_distance(*pair)[0] for pair in draws]
    assert min(frechet) > 0.5
    assert min(kernel) < 0 < max(kernel)
    assert abs(np.mean(kernel)) < 3 * np.std(kernel) / np.sqrt(len(kernel))


def test_the_standard_error_of_the_kernel_distance_is_its_spread():
    draws = np.random.default_rng(0).normal(size=(40, 2, 60, 6))
    draws[:, 1] += 0.5
    found = np.array([distances.kernel_inception_distance(*pair) for pair in draws])
    assert found[:, 1].mean() == pytest.approx(found[:, 0].std(), rel=0.35)


def test_the_jackknife_leaves_out_one_row_at_a_time():
    x, y = np.random.default_rng(0).normal(size=(2, 7, 3))
    left_out = [
        [distances.kernel_estimate(np.delete(x, i, 0), y)[0] for i in range(7)],
        [distances.kernel_estimate(x, np.delete(y, i, 0))[0] for i in range(7)],
    ]
    error = distances.kernel_estimate(x, y)[1]
    assert error**2 == pytest.approx(6 * np.var(left_out[0]) + 6 * np.var(left_out[1]))


def test_large_sets_are_compared_in_subsets_of_the_same_mean():
    x, y = np.random.default_rng(0).normal(size=(2, 300, 4))
    y = y + 0.7
    whole, _ = distances.kernel_inception_distance(x, y)
    parts, error = distances.kernel_inception_distance(x, y, subset=50, subsets=60)
    assert parts == pytest.approx(whole, rel=0.1)
    assert 0 < error < 0.1 * whole


@pytest.mark.parametrize(
    ("distance", "rows"),
    [(distances.frechet_distance, 1), (distances.kernel_inception_distance, 2)],
)
def test_too_few_images_for_a_distance_are_an_error(distance, rows):
    with pytest.raises(ValueError, match="expected at least"):
        distance(np.zeros((rows, 4)), np.zeros((9, 4)))


# Choosing a checkpoint --------------------------------------------------------------------------


def test_the_score_is_best_for_drawings_in_the_style(photo):
    photo = photo.resize((144, 144))

    def posterize(picture):
        return picture.quantize(5).convert("RGB")

    def gray(picture):
        return Image.new("RGB", picture.size, "gray")

    with pytest.raises(ValueError, match="0 style images"):
        distances.StyleScore([photo], [])
    score = distances.StyleScore([photo], [posterize(photo)], crops=20)
    untouched, drawn, lost = (score.score(draw) for draw in (lambda p: p, posterize, gray))
    assert untouched["style_distance_ratio"] == pytest.approx(1)
    assert drawn["style_distance_ratio"] < 0.2
    assert drawn["score"] == drawn["style_distance_ratio"]  # like its photo: no penalty
    assert drawn["score"] < untouched["score"] < lost["score"]


def test_a_toon_unlike_its_photo_scores_badly_whatever_its_style():
    assert distances.checkpoint_score(0.2, 0.9) == distances.checkpoint_score(0.2, 0.5) == 0.2
    assert distances.checkpoint_score(0.0, 0.3) == pytest.approx(1)


def test_features_of_a_training_run_give_the_same_score(photo):
    """Calibrated features scale each stage, and standardizing takes that away again."""
    photo = photo.resize((120, 120))
    style = [photo.quantize(5).convert("RGB")]
    features = MobileNetV2Features()
    features.calibrate(images.to_tensor(photo))
    ours = distances.StyleScore([photo], style, features, crops=10).before
    assert ours == pytest.approx(distances.StyleScore([photo], style, crops=10).before, rel=1e-3)


# One image, or a photo and its drawing -------------------------------------------------------


def test_edges_of_a_square_are_its_outline():
    picture = Image.new("RGB", (288, 288), "white")
    assert image_metrics.edge_density(picture) == 0
    picture.paste("black", (50, 50, 150, 150))
    density = image_metrics.edge_density(picture)
    assert density == pytest.approx(4 * 100 / 288**2, rel=0.05)
    large = picture.resize((1152, 1152), Image.Resampling.NEAREST)  # measured at one scale
    assert image_metrics.edge_density(large) == pytest.approx(density, rel=0.05)


def test_chroma_of_a_known_color():
    gray = Image.new("RGB", (90, 90), (120, 120, 120))
    assert image_metrics.chroma(lab_picture(60, 30, 40)) == pytest.approx(50, abs=0.7)
    assert image_metrics.chroma(gray) == pytest.approx(0, abs=0.1)


def test_a_droplet_is_found_and_ink_is_not():
    photo = Image.new("RGB", (288, 288), (150, 120, 100))
    dropped, inked = photo.copy(), photo.copy()
    dropped.paste((255, 0, 255), (100, 100, 120, 120))
    inked.paste((0, 0, 0), (100, 100, 200, 104))
    assert image_metrics.droplet_share(photo, dropped) == pytest.approx(400 / 288**2, rel=0.2)
    assert image_metrics.droplet_share(photo, inked) == 0
    assert image_metrics.droplet_share(dropped, dropped) == 0  # the photo has it too


def test_values_that_are_not_numbers_count_as_stuck():
    photo = Image.new("RGB", (288, 288), (150, 120, 100))
    drawing = images.to_tensor(photo)
    drawing[..., :40, :40] = float("nan")
    assert image_metrics.droplet_share(photo, images.to_pil(drawing)) > 0.01


def skin_with(pattern) -> Image.Image:
    """A face's skin whose luminance is 150 plus `pattern` (90, 80)."""
    values = np.clip(150 + np.broadcast_to(pattern, (90, 80)), 0, 255)
    return Image.fromarray(np.repeat(values[..., None], 3, 2).astype(np.uint8))


def test_skin_detail_sees_scratches_and_no_shading():
    rows, columns = np.mgrid[:90, :80]
    plain = image_metrics.skin_detail(skin_with(0 * rows), FACE)
    assert plain == pytest.approx([0, 0, 0], abs=0.01)
    assert max(image_metrics.skin_detail(skin_with(columns - 40), FACE)) < 0.5
    scratched = image_metrics.skin_detail(skin_with(-60 * (columns % 4 == 0)), FACE)
    assert min(scratched) > 4


def test_roughness_compares_the_drawing_with_the_photo_where_that_is_smooth():
    noise = np.random.default_rng(0).normal(0, 1, (90, 80))
    photo, rough, rougher = (skin_with(scale * noise) for scale in (4, 8, 30))
    ratios = image_metrics.skin_roughness(photo, rough, FACE)
    assert len(ratios) == 3
    assert ratios == pytest.approx([2, 2, 2], rel=0.15)
    assert image_metrics.skin_roughness(photo, skin_with(0 * noise), FACE) == [0, 0, 0]
    assert image_metrics.skin_roughness(rougher, photo, FACE) == []


def test_skin_outside_of_the_image_is_not_measured():
    turned = Face(box=FACE.box, points=FACE.points - [26, 0], score=1.0)
    detail = image_metrics.skin_detail(skin_with(np.zeros((90, 80))), turned)
    assert np.isnan(detail).tolist() == [True, False, False]
