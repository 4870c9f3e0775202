"""Layer swapping: who gives which layer, how softly, and what is refused."""

import copy
import math

import pytest
import torch

from toonify.models import AnimeGANGenerator
from toonify.models.layer_swap import (
    blend,
    blend_into,
    blend_state,
    layer_weights,
    layers_between,
)
from toonify.models.mobile_stylegan import MobileStyleGAN
from toonify.models.stylegan2 import StyleGAN2Generator


def stylegan2(seed=0, **config):
    torch.manual_seed(seed)
    sizes = {"z_dim": 8, "w_dim": 8, "mapping_layers": 2, "channel_base": 256, "channel_max": 8}
    return scattered(StyleGAN2Generator(**{"resolution": 32, **sizes, **config}))


def mobile(seed=0, **config):
    torch.manual_seed(seed)
    sizes = {"channels": (16, 16, 16, 8), "heads": (32,), "w_dim": 16, "z_dim": 16}
    return scattered(MobileStyleGAN(**{**sizes, "mapping_layers": 2, **config}))


def scattered(network):
    """Random numbers everywhere, so that no tensor of two networks is alike."""
    with torch.no_grad():
        for tensor in network.state_dict().values():
            tensor.normal_()
    return network.eval()


MAKERS = {"stylegan2": stylegan2, "mobile": mobile}
SIDES = {
    "stylegan2": {"b4": 4, "b8": 8, "b16": 16, "b32": 32},
    "mobile": {"start": 4, "b8": 8, "b16": 16, "b32": 32, "rgb32": 16, "rgb64": 32},
}
both = pytest.mark.parametrize("name", MAKERS)


@pytest.fixture(params=MAKERS)
def pair(request):
    """Name, base and toon, all at toy size."""
    return request.param, MAKERS[request.param](1), MAKERS[request.param](2)


def same(one, other) -> bool:
    one, other = one.state_dict(), other.state_dict()
    return all(torch.equal(one[key], other[key]) for key in one.keys() | other.keys())


@pytest.mark.parametrize("resolution", [4, 8, 16, 32, 64, 24])
@pytest.mark.parametrize("shape_from", ["toon", "base"])
def test_each_layer_is_one_generators(pair, resolution, shape_from):
    name, base, toon = pair
    mixed = blend(base, toon, resolution, shape_from=shape_from).state_dict()
    base, toon = base.state_dict(), toon.state_dict()
    low, high = (toon, base) if shape_from == "toon" else (base, toon)
    for key, tensor in mixed.items():
        room, layer = key.split(".")[:2]
        source = base
        if room == "synthesis":
            source = low if SIDES[name][layer] < resolution else high
        assert torch.equal(tensor, source[key]), key
    assert mixed.keys() == base.keys()


@both
def test_every_layer_has_a_share(name):
    network = MAKERS[name]()
    assert layer_weights(network, 16).keys() == SIDES[name].keys()


@both
@pytest.mark.parametrize("width", [0, 0.2, 1, 5])
def test_shares_fall_with_the_pixels_and_both_directions_make_one(name, width):
    network = MAKERS[name]()
    toon, base = (layer_weights(network, 16, width, side) for side in ("toon", "base"))
    layers = sorted(toon, key=SIDES[name].get)
    shares = [toon[layer] for layer in layers]
    assert shares == sorted(shares, reverse=True)
    assert all(0 <= share <= 1 for share in shares)
    if width:
        assert len(set(shares)) == len(set(SIDES[name].values()))
    assert all(toon[layer] + base[layer] == pytest.approx(1) for layer in layers)


def test_the_logistic():
    shares = layer_weights(stylegan2(), 16, width=2, shape_from="base")
    octaves = {"b4": -1.5, "b8": -0.5, "b16": 0.5, "b32": 1.5}
    assert shares == pytest.approx({key: 1 / (1 + math.exp(-x / 2)) for key, x in octaves.items()})


@pytest.mark.parametrize("shape_from", ["toon", "base"])
def test_narrow_is_hard_and_wide_is_half(shape_from):
    network = stylegan2()
    hard = layer_weights(network, 16, 0, shape_from)
    assert layer_weights(network, 16, 1e-320, shape_from) == hard
    assert layer_weights(network, 16, 1e-3, shape_from) == pytest.approx(hard)
    wide = layer_weights(network, 16, 1e9, shape_from)
    assert list(wide.values()) == pytest.approx([0.5] * 4)


def test_soft_layers_lie_between(pair):
    _, base, toon = pair
    shares = layer_weights(base, 16, width=1)
    mixed = blend(base, toon, 16, width=1).state_dict()
    base, toon = base.state_dict(), toon.state_dict()
    for key, tensor in mixed.items():
        room, layer = key.split(".")[:2]
        share = shares[layer] if room == "synthesis" else 0
        assert torch.allclose(tensor, (1 - share) * base[key] + share * toon[key], atol=1e-5), key
    streamed = dict(blend_state(base, toon, shares))
    assert all(torch.equal(mixed[key], streamed[key]) for key in mixed)


def test_originals_stay_and_in_place_is_the_same(pair):
    name, base, toon = pair
    before, target = (copy.deepcopy(base), copy.deepcopy(toon)), MAKERS[name](3)
    held = [tensor.data_ptr() for tensor in target.state_dict().values()]
    for arguments in ((16, 0.0, "toon"), (8, 0.7, "base")):
        blend_into(target, base, toon, *arguments)
        mixed = blend(base, toon, *arguments)
        assert same(target, mixed)
    assert [tensor.data_ptr() for tensor in target.state_dict().values()] == held
    assert same(base, before[0]) and same(toon, before[1])
    assert not mixed.training
    z = torch.randn(1, base.config.z_dim)
    with torch.inference_mode():
        assert torch.equal(target(z), mixed(z))
    with torch.no_grad():
        next(mixed.synthesis.parameters()).add_(1)
    assert same(base, before[0]) and same(toon, before[1])


def test_a_generator_with_itself_is_itself(pair):
    _, base, _ = pair
    soft = blend(base, base, 16, width=1).state_dict()
    assert all(torch.allclose(soft[key], tensor) for key, tensor in base.state_dict().items())


def test_target_may_be_one_of_the_two(pair):
    _, base, toon = pair
    mixed = blend(base, toon, 16, width=0.5)
    first, second = copy.deepcopy(base), copy.deepcopy(toon)
    blend_into(first, first, toon, 16, width=0.5)
    blend_into(second, base, second, 16, width=0.5)
    assert same(first, mixed) and same(second, mixed)


def test_other_precision_is_taken_over(pair):
    _, base, toon = pair
    mixed = blend(base, copy.deepcopy(toon).half(), 16)
    assert {tensor.dtype for tensor in mixed.state_dict().values()} == {torch.float32}
    rounded = toon.half().float()
    assert same(mixed, blend(base, rounded, 16))


def test_loaded_from_disk_still_fits(tmp_path):
    mobile(2).save_pretrained(tmp_path)
    toon = MobileStyleGAN.from_pretrained(tmp_path, use_safetensors=True)
    assert same(blend(mobile(1), toon, 16), blend(mobile(1), mobile(2), 16))


@pytest.mark.parametrize(
    ("base", "toon", "named"),
    [
        (stylegan2, mobile, "class: 'MobileStyleGAN' and 'StyleGAN2Generator'"),
        (stylegan2, lambda: stylegan2(resolution=64), "resolution: 64 and 32"),
        (stylegan2, lambda: stylegan2(conv_clamp=256.0), "conv_clamp: 256.0 and None"),
        (mobile, lambda: mobile(heads=()), r"heads: \[\] and \[32\]"),
    ],
)
def test_generators_of_other_kinds_are_refused(base, toon, named):
    with pytest.raises(ValueError, match=f"toon and base differ in {named}"):
        blend(base(), toon(), 16)


def test_other_shapes_and_targets_are_refused():
    base, toon = stylegan2(1), stylegan2(2)
    bent = stylegan2(3)
    bent.synthesis.b8.conv0.bias = torch.nn.Parameter(torch.zeros(7))
    named = r"synthesis.b8.conv0.bias: \(7,\) and \(8,\)"
    with pytest.raises(ValueError, match=f"toon and base differ in {named}"):
        blend(base, bent, 16)
    with pytest.raises(ValueError, match=f"target and base differ in {named}"):
        blend_into(bent, base, toon, 16)
    with pytest.raises(ValueError, match="expected StyleGAN2Generator or MobileStyleGAN"):
        blend(AnimeGANGenerator(width=4, depth=1), toon, 16)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ((2,), "resolution=2"),
        ((0,), "resolution=0"),
        ((-8,), "resolution=-8"),
        ((math.nan,), "resolution=nan"),
        ((math.inf,), "resolution=inf"),
        ((16, -0.1), "width=-0.1"),
        ((16, math.nan), "width=nan"),
        ((16, 0.0, "anime"), "shape_from='anime'"),
    ],
)
def test_senseless_numbers_are_refused(arguments, named):
    base, toon = stylegan2(1), stylegan2(2)
    before = copy.deepcopy(base)
    with pytest.raises(ValueError, match=named):
        blend_into(base, base, toon, *arguments)
    assert same(base, before)


@both
def test_layers_between_two_sizes_are_those_that_steer_their_features(name):
    network = MAKERS[name]()
    full, first = network.num_ws - 1, network.synthesis.first_layer
    assert layers_between(network, 4) == layers_between(network, 4, 32) == (0, full)
    assert layers_between(network, 4, 999) == (0, full)
    assert layers_between(network, 8, 8) == (first(8), first(16) - 1)
    assert layers_between(network, 8, 16) == (first(8), first(32) - 1)
    with pytest.raises(ValueError, match="side=5"):
        layers_between(network, 5)
