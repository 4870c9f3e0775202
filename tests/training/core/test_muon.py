"""Muon: convolutions take orthogonal steps, everything else Adam's, and a stopped run goes on."""

import copy

import pytest
import torch
from torch import nn

from training.core.muon import Muon, orthogonal


@pytest.mark.parametrize("shape", [(12, 40), (40, 12), (16, 16)])
def test_a_matrix_becomes_nearly_its_orthogonal_factor(shape):
    matrix = torch.randn(shape, generator=torch.manual_seed(0))
    u, _, vt = torch.linalg.svd(matrix, full_matrices=False)
    found = u.T @ orthogonal(matrix) @ vt.T
    values = found.diagonal()
    assert values.min() > 0.5 and values.max() < 1.4
    assert (found - torch.diag(values)).abs().max() < 1e-4  # the directions are the same
    assert torch.allclose(orthogonal(1e4 * matrix), orthogonal(matrix), atol=1e-4)
    assert not orthogonal(torch.zeros(shape)).any()


def network() -> nn.Sequential:
    torch.manual_seed(1)
    return nn.Sequential(nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Conv2d(16, 3, 1))


def walk(net, optimizer, steps, start=0):
    for step in range(start, start + steps):
        x = torch.randn(2, 3, 8, 8, generator=torch.manual_seed(step))
        (net(x) - 1).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()


def test_wide_convolutions_step_by_the_rate_and_the_rest_as_adam_does():
    ours, theirs = network(), network()
    before = copy.deepcopy(ours.state_dict())
    walk(ours, Muon(ours.parameters(), 0.01), 1)
    walk(theirs, torch.optim.Adam(theirs.parameters(), 0.01, (0.9, 0.99)), 1)
    step = (ours[0].weight - before["0.weight"]).flatten(1)
    assert step.square().mean().sqrt().item() == pytest.approx(0.2 * 0.01, rel=0.2)
    for name in ("0.bias", "2.weight", "2.bias"):  # three outputs are too few directions
        assert torch.equal(ours.state_dict()[name], theirs.state_dict()[name])
    assert not torch.equal(ours[0].weight, theirs[0].weight)


def test_state_goes_on_where_it_was():
    whole, parts = network(), network()
    walk(whole, Muon(whole.parameters(), 0.01), 6)
    first = Muon(parts.parameters(), 0.01)
    walk(parts, first, 3)
    second = Muon(parts.parameters(), 0.01)
    second.load_state_dict(first.state_dict())
    walk(parts, second, 3, start=3)
    theirs = parts.state_dict()
    assert all(torch.equal(weights, theirs[name]) for name, weights in whole.state_dict().items())


def test_closures_and_parameters_without_gradients_are_allowed():
    net = network()
    optimizer = Muon(net.parameters(), 0.01)
    before = copy.deepcopy(net.state_dict())
    optimizer.step()
    assert all(torch.equal(before[name], now) for name, now in net.state_dict().items())

    def closure():
        loss = net(torch.ones(1, 3, 8, 8)).square().mean()
        loss.backward()
        return loss

    assert optimizer.step(closure) > 0
    assert not torch.equal(before["0.weight"], net[0].weight)
