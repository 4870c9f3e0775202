"""StyleGAN2's discriminator: the published size and layers, and what a batch does to a score."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch.autograd import gradcheck, gradgradcheck

from training.gan.discriminators import StyleGAN2Discriminator, halve, minibatch_deviation


def toy(**config) -> StyleGAN2Discriminator:
    """A network of 32 px and 8 to 16 channels whose biases are heard."""
    torch.manual_seed(0)
    sizes = {"resolution": 32, "channel_base": 256, "channel_max": 16, "mbstd_group": 2}
    network = StyleGAN2Discriminator(**(sizes | config))
    for key, parameter in network.named_parameters():
        if key.endswith("bias"):
            parameter.data.normal_()
    return network


def images(n=4, side=32, **kind):
    return torch.randn(n, 3, side, side, generator=torch.Generator().manual_seed(1), **kind)


def upfirdn(x, fir, up=1, down=1, before=0, after=0):
    """By its definition: zeros between the pixels and around, the flipped filter, every few."""
    n, channels, height, width = x.shape
    spread = x.new_zeros(n, channels, height * up, width * up)
    spread[..., ::up, ::up] = x
    padded = F.pad(spread, (before, after, before, after))
    flat = padded.reshape(n * channels, 1, *padded.shape[2:])
    y = F.conv2d(flat, fir.to(x.dtype).flip(0, 1)[None, None])
    return y.reshape(n, channels, *y.shape[2:])[..., ::down, ::down]


def fir():
    taps = torch.tensor([1.0, 3, 3, 1])
    return torch.outer(taps, taps) / 64


def lrelu(x):
    return torch.where(x < 0, 0.2 * x, x) * 2**0.5


def critic_by_the_layer_table(state, image, group, resolution):
    """Scores (N, 1) by the published layers, from a state with NVlabs' names."""

    def conv(x, key, **how):
        weight = state[f"{key}.weight"]
        x = F.conv2d(x, weight / weight[0].numel() ** 0.5, **how)
        return x if key.endswith("skip") else lrelu(x + state[f"{key}.bias"].view(-1, 1, 1))

    x = conv(image, f"b{resolution}.fromrgb")
    for side in [2**i for i in range(resolution.bit_length() - 1, 2, -1)]:
        y = conv(x, f"b{side}.conv0", padding=1)
        y = conv(upfirdn(y, fir(), before=2, after=2), f"b{side}.conv1", stride=2)
        x = conv(upfirdn(x, fir(), down=2, before=1, after=1), f"b{side}.skip")
        x = (x + y) / 2**0.5
    n = len(x)
    spread = torch.zeros(n, 1, 4, 4)
    for first in range(n // group):
        mates = x[first :: n // group]
        assert len(mates) == group
        spread[first :: n // group] = (mates.var(0, unbiased=False) + 1e-8).sqrt().mean()
    x = conv(torch.cat((x, spread), 1), "b4.conv", padding=1).flatten(1)
    for key in ("b4.fc", "b4.out"):
        weight = state[f"{key}.weight"]
        x = x @ weight.T / weight.shape[1] ** 0.5 + state[f"{key}.bias"]
        x = lrelu(x) if key == "b4.fc" else x
    return x


def parameters(network) -> int:
    return sum(p.numel() for p in network.parameters())


def test_published_size_layer_by_layer():
    channels = {1024: 32, 512: 64, 256: 128, 128: 256, 64: 512, 32: 512, 16: 512, 8: 512, 4: 512}
    expected = 3 * 32 + 32
    for side in list(channels)[:-1]:
        i, o = channels[side], channels[side // 2]
        expected += (i * i * 9 + i) + (i * o * 9 + o) + i * o
    expected += (513 * 512 * 9 + 512) + (512 * 16 * 512 + 512) + (512 + 1)
    with torch.device("meta"):
        network = StyleGAN2Discriminator()
    assert parameters(network) == expected == 29_012_513


def test_keys_of_the_official_code():
    with torch.device("meta"):
        state = StyleGAN2Discriminator(resolution=256, channel_base=16384).state_dict()
    shapes = {
        "b256.fromrgb.weight": (64, 3, 1, 1),
        "b256.conv0.weight": (64, 64, 3, 3),
        "b256.conv0.bias": (64,),
        "b256.conv1.weight": (128, 64, 3, 3),
        "b256.skip.weight": (128, 64, 1, 1),
        "b8.conv1.bias": (512,),
        "b4.conv.weight": (512, 513, 3, 3),
        "b4.fc.weight": (512, 8192),
        "b4.out.weight": (1, 512),
        "b4.out.bias": (1,),
    }
    assert {key: tuple(state[key].shape) for key in shapes} == shapes
    assert len(state) == 2 + 6 * 5 + 6


@pytest.mark.parametrize("resolution", [32, 64, 128])
def test_one_score_for_each_image_and_a_gradient_for_each_weight(resolution):
    network = toy(resolution=resolution, channel_base=512)
    score = network(images(side=resolution))
    assert score.shape == (4, 1)
    assert score.dtype == torch.float32
    assert score.std() > 0
    score.square().sum().backward()
    assert not [k for k, p in network.named_parameters() if p.grad is None or not p.grad.any()]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"resolution": 48}, "resolution=48"),
        ({"channel_base": 16}, "channel_base=16"),
        ({"mbstd_group": 0}, "mbstd_group=0"),
    ],
)
def test_impossible_sizes_are_refused(config, message):
    with pytest.raises(ValueError, match=message):
        toy(**config)


@pytest.mark.parametrize(("n", "group"), [(6, 2), (6, 3), (3, 3), (4, 1)])
@torch.inference_mode()
def test_it_is_what_the_layer_table_says(n, group):
    network = toy(mbstd_group=group)
    expected = critic_by_the_layer_table(network.state_dict(), images(n), group, 32)
    assert torch.allclose(network(images(n)), expected, atol=1e-5)


def test_halving_is_the_filter_and_every_second_pixel():
    image = images(2, 8)
    expected = upfirdn(image, fir(), down=2, before=1, after=1)
    assert torch.allclose(halve(image), expected, atol=1e-6)
    flat = halve(torch.full((1, 2, 8, 8), 0.8))
    assert torch.allclose(flat[..., 1:-1, 1:-1], torch.tensor(0.8))
    assert torch.allclose(flat[..., 0, 1:-1], torch.tensor(0.7))  # beyond lies zero


def test_equal_images_do_not_deviate_and_groups_do_not_hear_of_each_other():
    x = torch.randn(4, 5, 4, 4)
    assert minibatch_deviation(x[:1].expand(4, -1, -1, -1), 4).sub(1e-4).abs().max() < 1e-6
    assert minibatch_deviation(x, 1).sub(1e-4).abs().max() < 1e-6
    # Of two groups the even samples are one, the odd ones the other.
    deviation = minibatch_deviation(x, 2)
    assert deviation.shape == (4, 1, 4, 4)
    other = x.clone()
    other[1::2] *= 3
    changed = minibatch_deviation(other, 2)
    assert torch.equal(changed[::2], deviation[::2])
    assert torch.allclose(changed[1::2], 3 * deviation[1::2], rtol=1e-4)
    pair = x[::2].std(0, unbiased=False).mean()  # nothing but two samples counts
    assert torch.allclose(deviation[::2], pair, rtol=1e-4)


@torch.inference_mode()
def test_a_score_hears_of_its_own_group_only():
    network, batch = toy(), images()
    other = batch.clone()
    other[3] = -other[3]
    score, changed = network(batch), network(other)
    assert torch.allclose(score[::2], changed[::2], atol=1e-5)
    assert not torch.allclose(score[1], changed[1], atol=1e-4)


def test_a_batch_that_is_no_whole_number_of_groups_is_refused():
    network = toy(mbstd_group=4)
    assert network(images(2)).shape == (2, 1)
    with pytest.raises(ValueError, match=r"6 images .* mbstd_group=4"):
        network(images(6))


def test_gradients_to_the_second_degree():
    network = toy(channel_base=64, channel_max=2).double()
    noise = images(2, dtype=torch.float64)
    few = torch.randn(2, 3, 2, 2, dtype=torch.float64, requires_grad=True)

    def f(few, weight):
        image = noise + few.repeat_interleave(16, 2).repeat_interleave(16, 3)
        return torch.func.functional_call(network, {"b8.skip.weight": weight}, (image,))

    inputs = few, network.b8.skip.weight.detach().requires_grad_()
    assert f(*inputs).dtype == torch.float64
    assert gradcheck(f, inputs)
    assert gradgradcheck(f, inputs)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_scores_in_float32_and_nearly_the_same(dtype):
    network, batch, seen = toy(conv_clamp=256.0), images(), {}
    whole = network(batch)
    for key, module in network.named_modules():
        module.register_forward_hook(lambda _, args, y, key=key: seen.update({key: y.dtype}))
    with torch.autocast("cpu", dtype=dtype):
        score = network(batch)
    assert score.dtype == torch.float32
    assert score.isfinite().all()
    assert not torch.equal(score, whole)
    assert torch.allclose(score, whole, rtol=0.01)
    assert {seen[f"b32.{k}"] for k in ("fromrgb", "conv0", "conv1", "skip")} == {dtype}
    assert seen["b8"] == dtype
    assert {seen[f"b4.{k}"] for k in ("conv", "fc", "out")} == {torch.float32}
    score.sum().backward()
    assert all(
        p.grad.dtype == torch.float32 and p.grad.isfinite().all() for p in network.parameters()
    )
    half = copy.deepcopy(network).to(dtype)(batch)
    assert half.dtype == torch.float32
    assert half.isfinite().all()


@torch.inference_mode()
def test_the_clamp_bounds_what_a_convolution_gives():
    free, bound = toy(), toy(conv_clamp=0.5)
    for network in (free, bound):
        network.b32.conv0.register_forward_hook(
            lambda module, _, y: setattr(module, "largest", y.abs().max().item())
        )
        network(images())
    assert free.b32.conv0.largest > 0.5 == bound.b32.conv0.largest


def test_frozen_blocks_stay_whatever_the_loop_turns_on():
    network, plain = toy(), toy()
    network.freeze(2)
    network.requires_grad_(False).requires_grad_(True)
    # As a wrapper of several processes does it, past the network's own methods.
    torch.nn.Sequential(network).requires_grad_(True)
    left = {key for key, _ in plain.named_parameters() if key.startswith(("b8.", "b4."))}
    assert {key for key, _ in network.named_parameters()} == left
    before = copy.deepcopy(network.state_dict())
    assert before.keys() == plain.state_dict().keys()
    assert torch.equal(network(images()), plain(images()))
    optimizer = torch.optim.Adam(network.parameters(), 0.1)
    network(images()).square().mean().backward()
    optimizer.step()
    after = network.state_dict()
    moved = {key for key in after if not torch.equal(after[key], before[key])}
    assert moved == left
    plain.load_state_dict(after)
    assert torch.equal(network(images()), plain(images()))


def test_a_gradient_passes_through_frozen_blocks():
    network, batch = toy(), images().requires_grad_()
    network.freeze(3)
    (gradient,) = torch.autograd.grad(network(batch).sum(), batch, create_graph=True)
    assert gradient.any()
    gradient.square().sum().backward()
    assert network.b4.conv.weight.grad.any()


@pytest.mark.parametrize("first", [-1, 4])
def test_no_more_blocks_are_frozen_than_there_are(first):
    with pytest.raises(ValueError, match=f"first={first}: expected 0 to 3"):
        toy().freeze(first)
