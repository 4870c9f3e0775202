"""Losses have values that can be checked in one's head."""

import pytest
import torch
import torch.nn.functional as F

from training.animegan import losses as animegan_losses
from training.core import losses


@pytest.fixture
def picture():
    return torch.rand(2, 3, 16, 16, generator=torch.manual_seed(0)) * 2 - 1


def test_flat_image_has_no_variation():
    assert animegan_losses.total_variation(torch.full((1, 3, 8, 8), 0.3)) == 0


def test_variation_of_a_ramp_is_half_its_squared_gradient():
    ramp = torch.arange(8.0).expand(1, 3, 8, 8) / 10
    assert animegan_losses.total_variation(ramp).item() == pytest.approx(0.01 / 2, rel=1e-5)


def test_equal_images_have_equal_color(picture):
    assert animegan_losses.color(picture, picture) == 0


def test_color_of_black_against_white_is_its_light():
    white, black = torch.ones(1, 3, 4, 4), -torch.ones(1, 3, 4, 4)
    assert animegan_losses.color(white, black).item() == pytest.approx(1.0, abs=1e-5)


def test_chroma_is_half_squared_and_summed_over_u_and_v():
    red = torch.tensor([1.0, -1.0, -1.0]).view(1, 3, 1, 1)
    y, u, v = losses.yuv(red)[0].flatten()
    expected = y + 0.5 * u**2 + 0.5 * v**2
    black = -torch.ones(1, 3, 1, 1)
    assert animegan_losses.color(red, black).item() == pytest.approx(expected.item(), abs=1e-5)


def test_chroma_ignores_light(picture):
    white, dark = torch.ones(1, 3, 4, 4), torch.full((1, 3, 4, 4), -0.9)
    assert animegan_losses.chroma(white, dark).item() == pytest.approx(0, abs=1e-6)
    assert animegan_losses.chroma(picture, losses.gray(picture)) > 0.05


def test_texture_prefers_a_moved_edge_to_a_soft_one():
    def stripes(shift, soft):
        row = torch.linspace(-1, 1, 64).roll(shift) * 12
        row = torch.tanh(torch.sin(row) * (2 if soft else 40))
        return row.expand(1, 3, 64, 64)

    sharp, moved, soft = stripes(0, False), stripes(1, False), stripes(0, True)
    assert animegan_losses.texture(sharp, sharp) == 0
    assert F.l1_loss(moved, sharp) > F.l1_loss(soft, sharp)
    assert animegan_losses.texture(moved, sharp) < animegan_losses.texture(soft, sharp)


def test_texture_knows_directions_and_weights():
    rows = torch.tensor([-1.0, 1.0]).repeat(32).view(1, 1, 64, 1).expand(1, 3, 64, 64)
    columns = rows.transpose(2, 3)
    whole = animegan_losses.texture(rows, columns)
    assert whole > 0.1
    weight = torch.ones(1, 1, 64, 64)
    assert animegan_losses.texture(rows, columns, 3 * weight).item() == pytest.approx(
        3 * whole.item(), rel=1e-5
    )


def test_gray_of_gray_is_itself_and_of_an_image_has_equal_channels(picture):
    gray = losses.gray(picture)
    assert torch.allclose(losses.gray(gray), gray, atol=1e-6)
    assert torch.equal(gray[:, 0], gray[:, 2])


def test_gram_is_per_sample_and_over_height_width_and_channels(picture):
    whole = losses.gram(picture)
    assert whole.shape == (2, 3, 3)
    assert torch.allclose(whole[1:], losses.gram(picture[1:]))
    assert losses.gram(torch.ones(1, 4, 5, 5)).unique().item() == pytest.approx(1 / 4)


def test_gram_stays_finite_under_autocast():
    with torch.autocast("cpu", torch.bfloat16):
        big = losses.gram(torch.full((1, 8, 64, 64), 300.0))
    assert big.dtype == torch.float32
    assert big.isfinite().all()


def test_adversarial_losses_at_their_targets():
    ones, zeros = torch.ones(2, 1, 4, 4), torch.zeros(2, 1, 4, 4)
    weights = {"real": 1.7, "fake": 1.7, "gray": 1.7, "smooth": 1.0}
    right = {"real": ones, "fake": zeros, "gray": zeros, "smooth": zeros}
    assert animegan_losses.adversarial_g(ones) == 0
    assert animegan_losses.adversarial_d(right, weights) == 0
    for name in weights:
        wrong = right | {name: 1 - right[name]}
        assert animegan_losses.adversarial_d(wrong, weights).item() == pytest.approx(weights[name])


def test_total_weighs_each_part():
    parts = {"content": torch.tensor(2.0), "color": torch.tensor(3.0)}
    loss, logs = losses.total(parts, {"content": 10.0, "color": 1.0, "unused": 5.0})
    assert loss.item() == 23
    assert logs == {"content": 2.0, "color": 3.0}


def test_lab_of_known_colors():
    colors = torch.tensor([[1.0, 1, 1], [-1, -1, -1], [1, -1, -1]]).view(3, 3, 1, 1)
    found = animegan_losses.lab(colors).flatten(1)
    # White, black and red, as CIE has them.
    expected = torch.tensor([[1.0, 0, 0], [0, 0, 0], [0.5324, 0.8009, 0.6720]])
    assert torch.allclose(found, expected, atol=2e-3)


def test_lab_color_of_black_against_white_is_twice_its_light(picture):
    white, black = torch.ones(1, 3, 4, 4), -torch.ones(1, 3, 4, 4)
    assert animegan_losses.lab_color(white, black).item() == pytest.approx(2.0, abs=2e-3)
    drawn = picture.clone().requires_grad_(True)
    animegan_losses.lab_color(drawn, -torch.ones_like(picture)).backward()
    assert drawn.grad.isfinite().all()


def test_guided_filter_keeps_edges_and_takes_texture():
    step = torch.ones(1, 3, 16, 16)
    step[..., :8] = -1
    texture = 0.02 * torch.randn(1, 3, 16, 16, generator=torch.manual_seed(0))
    assert (animegan_losses.guided_filter(step) - step).abs().max() < 0.1
    assert animegan_losses.guided_filter(texture).std() < 0.5 * texture.std()
    assert animegan_losses.roughness(torch.full((1, 3, 8, 8), 0.3)).item() == pytest.approx(
        0, abs=1e-6
    )
    assert animegan_losses.roughness(texture) > 0.5 * texture.abs().mean()


def test_centered_grams_do_not_see_a_tint(picture):
    tinted = picture + torch.tensor([0.5, -0.2, 0.1]).view(1, 3, 1, 1)
    assert not torch.allclose(losses.gram(picture), losses.gram(tinted), atol=1e-3)
    centered = losses.gram(picture, centered=True)
    assert torch.allclose(centered, losses.gram(tinted, centered=True), atol=1e-5)


def test_r1_of_a_linear_discriminator_is_half_its_squared_gradient(picture):
    gradient = torch.randn(3, 16, 16, generator=torch.manual_seed(1), requires_grad=True)

    def discriminator(image):
        return (image * gradient).sum((1, 2, 3)).view(-1, 1, 1, 1)

    penalty = losses.r1_penalty(discriminator, picture)
    assert penalty.item() == pytest.approx(gradient.square().sum().item() / 2, rel=1e-5)
    penalty.backward()
    assert torch.allclose(gradient.grad, gradient.detach(), rtol=1e-4)


def test_smoothed_labels_move_the_targets_inward():
    weights = dict.fromkeys(("real", "fake", "gray", "smooth"), 1.0)
    inward = torch.full((2, 1, 4, 4), 0.1)
    scores = {"real": 1 - inward, "fake": inward, "gray": inward, "smooth": inward}
    assert animegan_losses.adversarial_d(scores, weights, 0.1).item() == pytest.approx(0, abs=1e-6)
    assert animegan_losses.adversarial_g(1 - inward, 0.9).item() == pytest.approx(0, abs=1e-6)


def test_regions_are_flat_and_few():
    pytest.importorskip("skimage")
    halves = torch.ones(1, 3, 32, 32)
    halves[..., :16] = -0.5
    noisy = halves + 0.02 * torch.randn(1, 3, 32, 32, generator=torch.manual_seed(0))
    flat = animegan_losses.regions(noisy, scale=50.0)
    assert len(flat[0, 0].unique()) < 20
    assert (flat - halves).abs().mean() < 0.02
