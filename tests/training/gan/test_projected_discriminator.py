"""The discriminator on MobileNetV2's features, and the generator that also redraws."""

import copy
import math

import pytest
import torch

from toonify.models import ToonGANGenerator
from training.core.perceptual import MobileNetV2Features
from training.gan.discriminators import as_buffers
from training.gan.objective import GeneratorWrapper
from training.gan.projected_discriminator import STAGES, ProjectedDiscriminator, fuse_batch_norms
from training.toongan.autoencoder import (
    AutoencodingGenerator,
    MomentMatching,
    diversity_loss,
    latent_nll,
)


@pytest.fixture(scope="module")
def discriminator():
    torch.manual_seed(0)
    return ProjectedDiscriminator(64)


def test_features_without_norms_are_the_same(discriminator):
    picture = torch.rand(2, 3, 64, 64) * 2 - 1
    whole = MobileNetV2Features(tuple(STAGES))
    bare = fuse_batch_norms(copy.deepcopy(whole))
    assert not [m for m in bare.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    for stage, found in whole(picture).items():
        assert found.shape[1] == STAGES[stage]
        assert torch.allclose(bare(picture)[stage], found, atol=1e-4)


def test_only_the_heads_learn_and_nothing_else_can(discriminator):
    discriminator.requires_grad_(True)  # as training does before each turn of the discriminator
    assert {name.split(".")[0] for name, _ in discriminator.named_parameters()} == {"heads"}
    kept = {name.split(".")[0] for name in discriminator.state_dict()}
    assert {"features", "across", "down", "heads"} <= kept  # a resumed run has the same mixing


def test_every_scale_scores_places_and_sees_the_image(discriminator):
    picture = (torch.rand(2, 3, 64, 64) * 2 - 1).requires_grad_()
    scores = discriminator(picture)
    # From 32, 16, 8, 4 and 2 px: heads that end at 8 px have 5 x 5 places, smaller ones their own.
    assert scores.shape == (2, 25 + 25 + 25 + 9 + 1)
    for place in (0, 30, 60, 80, 84):
        (gradient,) = torch.autograd.grad(scores[0, place], picture, retain_graph=True)
        assert gradient[0].abs().max() > 0
    with pytest.raises(AssertionError):
        discriminator(torch.zeros(1, 3, 128, 128))


def test_coarse_features_reach_fine_heads(discriminator):
    """Mixing across scales: without the coarser maps the finest head says something else."""
    other = copy.deepcopy(discriminator)
    other.down[0].weight.zero_()
    picture = torch.rand(4, 3, 64, 64) * 2 - 1
    ours, theirs = discriminator(picture), other(picture)
    assert not torch.allclose(ours[:, :25], theirs[:, :25])
    assert torch.allclose(ours[:, 60:], theirs[:, 60:], atol=1e-5)


def test_weights_as_buffers_compute_the_same():
    layer = torch.nn.Linear(3, 2)
    x = torch.randn(4, 3)
    expected = layer(x)
    frozen = as_buffers(layer)
    assert not list(frozen.parameters()) and torch.equal(frozen(x), expected)
    assert set(frozen.state_dict()) == {"weight", "bias"}


def toy(kind=AutoencodingGenerator):
    torch.manual_seed(0)
    G = ToonGANGenerator(
        resolution=64, z_dim=6, w_dim=8, mapping_layers=2, channels=(8, 8, 8, 8, 4)
    )
    return kind(G).eval()


def drawn_from(count: int, reconstructed: int, rows: int) -> dict:
    draw = torch.Generator().manual_seed(1)
    normal = {k: torch.randn(count, 6, generator=draw) for k in ("z", "other", "eps")}
    real = torch.rand(count, 3, 64, 64, generator=draw) * 2 - 1
    return {
        "real": real,
        "reconstructed": reconstructed,
        "cut": torch.full((count,), rows),
        **normal,
    }


def test_the_first_images_are_reconstructed_and_the_others_sampled():
    G, plain = toy(), toy(GeneratorWrapper)
    batch = drawn_from(4, 2, G.generator.num_ws)
    picture, ws, parts = G(batch)
    expected, expected_ws = plain(batch)
    assert torch.allclose(picture[2:], expected[2:], atol=1e-5)
    assert not torch.allclose(picture[:2], expected[:2], atol=1e-3)
    assert ws.shape == expected_ws.shape and set(parts) == {
        *("reconstruction", "prior", "moments", "latent_nll", "diversity")
    }
    # What is reconstructed follows the real image, and no other image of the batch does.
    batch["real"][0] = 1 - batch["real"][0]
    again, _, _ = G(batch)
    assert not torch.allclose(again[0], picture[0], atol=1e-4)
    assert torch.allclose(again[1:], picture[1:], atol=1e-5)


def test_losses_of_reconstruction():
    """Codes that are the prior's cost no nats; the distance is that of images and features."""
    G = toy()
    batch = drawn_from(3, 3, G.generator.num_ws)
    out = G.encoder.out
    torch.nn.init.zeros_(out.weight)
    torch.nn.init.zeros_(out.bias)
    picture, _, parts = G(batch)
    assert parts["prior"].item() == pytest.approx(0, abs=1e-6)
    out.bias.data[:6] = 2.0  # mean 2 in six dimensions: 6 * 2^2 / 2 nats
    assert G(batch)[2]["prior"].item() == pytest.approx(12, rel=1e-5)
    out.bias.data[:6] = 0.0
    batch["real"] = picture.detach()
    assert G(batch)[2]["reconstruction"].item() == pytest.approx(0, abs=1e-4)
    assert parts["reconstruction"] > 1


def test_reconstruction_teaches_the_encoder_and_the_generator():
    G = toy().train()
    batch = drawn_from(2, 2, G.generator.num_ws)
    G(batch)[2]["reconstruction"].backward()
    for part in (G.encoder.out.weight, G.generator.synthesis.b4.const):
        assert part.grad.abs().max() > 0
    assert not [name for name, _ in G.named_parameters() if name.startswith("features")]


def test_faces_that_are_all_alike_have_lost_their_variety():
    real = [torch.randn(6, 3, 4, 4), torch.randn(6, 2, 2, 2)]
    same = [features[:1].expand(6, -1, -1, -1) for features in real]
    assert diversity_loss(real, real).item() == 0
    assert diversity_loss([f.flip(0) + 3 for f in real], real).item() == pytest.approx(0, abs=1e-5)
    assert diversity_loss(same, real).item() == pytest.approx(1, abs=2e-3)
    drawn = [features.clone().requires_grad_() for features in real]
    shrunk = [features / 2 for features in drawn]
    lost = diversity_loss(shrunk, real)
    assert lost.item() == pytest.approx(0.5, abs=1e-3)
    lost.backward()  # descent makes what differs differ more
    assert ((drawn[0] - drawn[0].mean(0)) * drawn[0].grad).sum() < 0


def test_a_z_that_is_read_well_costs_less():
    z = torch.tensor([[1.0, -2.0], [3.0, 0.0]])
    flat, all_of_them = torch.zeros(2, 2), torch.tensor([True, True])
    assert latent_nll(z, z, flat, all_of_them).item() == 0
    assert latent_nll(z, z, flat - 2, all_of_them).item() == pytest.approx(-2)
    assert latent_nll(z, flat, flat, all_of_them).item() == pytest.approx((5 + 9) / 4)
    assert latent_nll(z, flat, flat, torch.tensor([False, True])).item() == pytest.approx(9 / 4)


def test_codes_as_a_whole_are_pulled_towards_z():
    """A shift, or one direction alone, costs nats; descent takes them apart again."""
    torch.manual_seed(0)
    noise = torch.randn(20_000, 4)
    spread = MomentMatching(4, rate=1.0)
    assert spread(noise, update=False).item() == pytest.approx(0, abs=1e-3)
    assert torch.equal(spread.moments, torch.eye(4))  # it only follows when asked
    wide = noise * torch.tensor([3.0, 1, 1, 1])
    assert spread(wide, update=False).item() == pytest.approx(
        (9 - 1 - 2 * math.log(3)) / 2, rel=0.02
    )
    scale, shift = torch.full((4,), 0.3).requires_grad_(), torch.full((4,), 2.0).requires_grad_()
    follow = MomentMatching(4, rate=0.2)
    steps = torch.optim.Adam([scale, shift], 0.02)
    for _ in range(400):
        steps.zero_grad()
        follow(torch.randn(64, 4) * scale + shift, update=True).backward()
        steps.step()
    assert shift.abs().max() < 0.3 and (scale.abs() - 1).abs().max() < 0.25
