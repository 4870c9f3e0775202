"""Losses have values that can be checked in one's head."""

import pytest
import torch

from training import losses


@pytest.fixture
def picture():
    return torch.rand(2, 3, 16, 16, generator=torch.manual_seed(0)) * 2 - 1


def test_flat_image_has_no_variation():
    assert losses.total_variation(torch.full((1, 3, 8, 8), 0.3)) == 0


def test_variation_of_a_ramp_is_half_its_squared_slope():
    ramp = torch.arange(8.0).expand(1, 3, 8, 8) / 10
    assert losses.total_variation(ramp).item() == pytest.approx(0.01 / 2, rel=1e-5)


def test_equal_pictures_have_equal_colour(picture):
    assert losses.colour(picture, picture) == 0


def test_colour_of_black_against_white_is_its_light():
    white, black = torch.ones(1, 3, 4, 4), -torch.ones(1, 3, 4, 4)
    assert losses.colour(white, black).item() == pytest.approx(1.0, abs=1e-5)


def test_chroma_is_half_squared_and_summed_over_u_and_v():
    red = torch.tensor([1.0, -1.0, -1.0]).view(1, 3, 1, 1)
    y, u, v = losses.yuv(red)[0].flatten()
    expected = y + 0.5 * u**2 + 0.5 * v**2
    black = -torch.ones(1, 3, 1, 1)
    assert losses.colour(red, black).item() == pytest.approx(expected.item(), abs=1e-5)


def test_chroma_ignores_light(picture):
    white, dark = torch.ones(1, 3, 4, 4), torch.full((1, 3, 4, 4), -0.9)
    assert losses.chroma(white, dark).item() == pytest.approx(0, abs=1e-6)
    assert losses.chroma(picture, losses.grey(picture)) > 0.05


def test_grey_of_grey_is_itself_and_of_a_picture_has_equal_channels(picture):
    grey = losses.grey(picture)
    assert torch.allclose(losses.grey(grey), grey, atol=1e-6)
    assert torch.equal(grey[:, 0], grey[:, 2])


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
    weights = {"real": 1.7, "fake": 1.7, "grey": 1.7, "smooth": 1.0}
    right = {"real": ones, "fake": zeros, "grey": zeros, "smooth": zeros}
    assert losses.adversarial_g(ones) == 0
    assert losses.adversarial_d(right, weights) == 0
    for name in weights:
        wrong = right | {name: 1 - right[name]}
        assert losses.adversarial_d(wrong, weights).item() == pytest.approx(weights[name])


def test_total_weighs_each_part():
    parts = {"content": torch.tensor(2.0), "colour": torch.tensor(3.0)}
    loss, logs = losses.total(parts, {"content": 10.0, "colour": 1.0, "unused": 5.0})
    assert loss.item() == 23
    assert logs == {"content": 2.0, "colour": 3.0}
