"""Losses of unconditional GANs, by values that can be checked in the head."""

import math

import pytest
import torch

from training.gan.losses import (
    ADVERSARIAL,
    PathMean,
    hinge_d,
    hinge_g,
    logistic_d,
    logistic_g,
    path_lengths,
    relativistic_d,
    relativistic_g,
)


def test_scores_of_zero_cost_log_two_each():
    zero = torch.zeros(4, 1)
    assert logistic_d(zero, zero).item() == pytest.approx(2 * math.log(2))
    assert logistic_g(zero).item() == pytest.approx(math.log(2))
    assert relativistic_d(zero + 5, zero + 5).item() == pytest.approx(math.log(2))
    assert relativistic_g(zero - 5, zero - 5).item() == pytest.approx(math.log(2))


@pytest.mark.parametrize("name", ADVERSARIAL)
def test_both_sides_pull_apart(name):
    loss_d, loss_g = ADVERSARIAL[name]
    real, fake = torch.zeros(3, 1, requires_grad=True), torch.zeros(3, 1, requires_grad=True)
    loss_d(real, fake).backward()
    assert (real.grad < 0).all() and (fake.grad > 0).all()  # descent lifts real, lowers drawn
    drawn = torch.zeros(3, 1, requires_grad=True)
    loss_g(drawn, real.detach()).backward()
    assert (drawn.grad < 0).all()


def test_the_hinge_lets_go_beyond_its_margins():
    zero, two = torch.zeros(4, 1), torch.full((4, 1), 2.0)
    assert hinge_d(zero, zero).item() == 2 and hinge_d(two, -two).item() == 0
    assert hinge_d(-two, two).item() == 6 and hinge_g(two).item() == -2


def test_relativistic_losses_see_differences_only():
    real, fake = torch.randn(5, 1), torch.randn(5, 1)
    assert torch.allclose(relativistic_d(real + 9, fake + 9), relativistic_d(real, fake))
    assert torch.allclose(relativistic_g(fake + 9, real + 9), relativistic_g(fake, real))


def test_path_lengths_of_a_linear_map_are_known_and_differentiable():
    matrix = torch.randn(3 * 4 * 4, 5, dtype=torch.float64, requires_grad=True)
    ws = torch.randn(2, 1, 5, dtype=torch.float64, requires_grad=True)
    image = (ws[:, 0] @ matrix.T).view(2, 3, 4, 4)
    normals = torch.randn(2, 3, 4, 4, dtype=torch.float64)
    lengths = path_lengths(image, ws, normals)
    expected = (normals.flatten(1) / 4 @ matrix).norm(dim=1)  # sixteen pixels
    assert torch.allclose(lengths, expected)
    (gradient,) = torch.autograd.grad(lengths.sum(), matrix)
    assert gradient.abs().sum() > 0


def test_the_mean_length_moves_by_a_hundredth_and_is_what_is_aimed_at():
    mean = PathMean()
    penalty = mean.penalty(torch.tensor([2.0, 4.0]), 3.0)
    assert mean.mean == pytest.approx(0.03)
    assert penalty.item() == pytest.approx(((2 - 0.03) ** 2 + (4 - 0.03) ** 2) / 2)
    other = PathMean()
    other.load_state_dict(mean.state_dict())
    assert other.mean == mean.mean
