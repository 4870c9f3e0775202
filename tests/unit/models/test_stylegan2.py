"""StyleGAN2: the published sizes and names, one convolution in two forms, and half precision."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch.autograd import gradcheck, gradgradcheck

from toonify.models.stylegan2 import (
    StyleGAN2Generator,
    Synthesis,
    convolve,
    double,
    modulated_conv2d,
)

FORMS = [(up, demodulate) for up in (1, 2) for demodulate in (True, False)]
HALF = [(torch.bfloat16, 0.1), (torch.float16, 0.015)]  # type, error allowed of a deviation


def toy(**config) -> StyleGAN2Generator:
    """A network of 32 px whose noise is heard and whose mean of w isn't zero."""
    torch.manual_seed(0)
    sizes = {"z_dim": 8, "w_dim": 8, "mapping_layers": 2, "channel_base": 256, "channel_max": 8}
    network = StyleGAN2Generator(**{"resolution": 32, **sizes, **config}).eval()
    for key, parameter in network.named_parameters():
        if key.endswith("noise_strength"):
            parameter.data.fill_(0.3)
    network.mapping.w_avg.normal_()
    return network


def parts(n=3, inputs=5, outputs=4, kernel=3, side=6, dtype=torch.float32):
    """Seeded x, weight and style of a modulated convolution."""
    torch.manual_seed(1)
    shapes = (n, inputs, side, side), (outputs, inputs, kernel, kernel), (n, inputs)
    return [torch.randn(shape, dtype=dtype) for shape in shapes]


def parameters(network) -> int:
    return sum(p.numel() for p in network.parameters())


def autocast(network, z, dtype):
    with torch.autocast("cpu", dtype=dtype):
        return network(z)


def test_published_sizes():
    with torch.device("meta"):
        large = StyleGAN2Generator()
        small = StyleGAN2Generator(resolution=256, channel_base=16384)
    assert round(parameters(large.synthesis) / 1e6, 2) == 28.27
    assert round(parameters(small) / 1e6, 1) == 24.8
    assert (large.num_ws, small.num_ws, large.resolution) == (18, 14, 1024)


def test_keys_of_the_official_code():
    with torch.device("meta"):
        state = StyleGAN2Generator().state_dict()
    shapes = {
        "mapping.fc0.weight": (512, 512),
        "mapping.fc7.bias": (512,),
        "mapping.w_avg": (512,),
        "synthesis.b4.const": (512, 4, 4),
        "synthesis.b4.conv1.weight": (512, 512, 3, 3),
        "synthesis.b4.torgb.weight": (3, 512, 1, 1),
        "synthesis.b64.conv0.affine.weight": (512, 512),
        "synthesis.b128.conv0.weight": (256, 512, 3, 3),
        "synthesis.b128.conv0.affine.bias": (512,),
        "synthesis.b128.conv1.affine.bias": (256,),
        "synthesis.b256.conv1.noise_const": (256, 256),
        "synthesis.b256.conv1.noise_strength": (),
        "synthesis.b1024.conv1.bias": (32,),
        "synthesis.b1024.torgb.affine.weight": (32, 512),
        "synthesis.b1024.torgb.bias": (3,),
    }
    assert {key: tuple(state[key].shape) for key in shapes} == shapes
    # Mapping 17; a constant, 6 of each of 17 convolutions and 4 of each of 9 image heads.
    assert len(state) == 17 + 1 + 6 * 17 + 4 * 9
    assert "synthesis.b4.conv0.weight" not in state


@pytest.mark.parametrize("resolution", [16, 48, 2048])
def test_other_resolutions_are_refused(resolution):
    with pytest.raises(ValueError, match=f"resolution={resolution}"):
        StyleGAN2Generator(resolution=resolution)


def test_too_few_channels_are_refused():
    with pytest.raises(ValueError, match="channel_base=16"):
        StyleGAN2Generator(resolution=32, channel_base=16)


@pytest.mark.parametrize(("up", "demodulate"), FORMS)
def test_weights_of_the_batch_and_of_each_sample_agree(up, demodulate):
    x, weight, style = parts()
    shared = modulated_conv2d(x, weight, style, demodulate, up)
    grouped = modulated_conv2d(x, weight, style, demodulate, up, grouped=True)
    assert shared.shape == (3, 4, 6 * up, 6 * up)
    assert torch.allclose(shared, grouped, atol=1e-5, rtol=1e-5)


def test_demodulated_noise_has_variance_one():
    x, weight, style = parts(n=2, inputs=16, side=128)
    y = modulated_conv2d(x, weight * 7, style * 3)[..., 1:-1, 1:-1]
    assert torch.allclose(y.var((2, 3)), torch.ones(2, 4), atol=0.1)


def test_a_convolution_that_doubles_is_zeros_between_pixels_then_two_filters():
    x, weight, _ = parts(n=2)
    spread = torch.zeros(2, 5, 12, 12)
    spread[..., ::2, ::2] = x
    # A transposed convolution is an ordinary one with the weights flipped.
    wide = F.conv2d(F.pad(spread, (2, 2, 2, 2)), weight.flip(2, 3))[..., :13, :13]
    taps = torch.tensor([1.0, 3, 3, 1])
    fir = torch.outer(taps, taps) / 64 * 4
    expected = F.conv2d(wide.reshape(8, 1, 13, 13), fir[None, None], padding=1)
    assert torch.allclose(
        convolve(x, weight[None], up=2), expected.reshape(2, 4, 12, 12), atol=1e-4
    )


def test_doubling_keeps_a_flat_image_flat_and_the_sum():
    doubled = double(torch.full((1, 3, 5, 6), 0.7))
    assert doubled.shape == (1, 3, 10, 12)
    assert torch.allclose(doubled[..., 1:-1, 1:-1], torch.tensor(0.7))
    assert torch.allclose(doubled[..., 0, 1:-1], torch.tensor(0.7 * 3 / 4))  # beyond lies zero
    dot = torch.zeros(1, 1, 5, 5)
    dot[..., 2, 2] = 1
    assert double(dot)[0, 0, 3:7, 3:7].mul(16).tolist() == [
        [1, 3, 3, 1],
        [3, 9, 9, 3],
        [3, 9, 9, 3],
        [1, 3, 3, 1],
    ]


def test_doubling_is_bilinear_within():
    image = torch.rand(1, 2, 6, 5, generator=torch.manual_seed(2))
    expected = F.interpolate(image, scale_factor=2, mode="bilinear", align_corners=False)
    assert torch.allclose(double(image)[..., 1:-1, 1:-1], expected[..., 1:-1, 1:-1], atol=1e-6)


@pytest.mark.parametrize(("up", "demodulate"), FORMS)
def test_gradients_of_the_convolution(up, demodulate):
    inputs = parts(n=2, inputs=2, outputs=2, side=2, dtype=torch.float64)
    for tensor in inputs:
        tensor.requires_grad_()

    def f(x, weight, style):
        return modulated_conv2d(x, weight, style, demodulate, up)

    assert gradcheck(f, inputs)
    assert gradgradcheck(f, inputs)


def test_gradients_of_the_synthesis():
    torch.manual_seed(3)
    synthesis = Synthesis(32, w_dim=2, channel_base=64, channel_max=2).double()
    ws = torch.randn(1, *synthesis.shape, dtype=torch.float64, requires_grad=True)

    def f(ws):
        return F.avg_pool2d(synthesis(ws), 16)

    assert f(ws).dtype == torch.float64
    assert gradcheck(f, ws)
    assert gradgradcheck(f, ws)


def test_shape_and_gradients():
    network = toy(resolution=64)
    picture = network(torch.randn(2, 8), truncation=0.7)
    assert picture.shape == (2, 3, 64, 64)
    assert picture.isfinite().all()
    picture.square().mean().backward()
    still = [key for key, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert not still


@torch.inference_mode()
def test_a_face_is_drawn_alike_in_any_company():
    network, z = toy(), torch.randn(3, 8)
    assert torch.allclose(network(z)[1:2], network(z[1:2]), atol=1e-5)


@torch.inference_mode()
def test_noise():
    network, z = toy(), torch.randn(1, 8)
    const, none, some = (network(z, noise=noise) for noise in ("const", "none", "random"))
    assert torch.equal(network(z), const)
    assert not torch.equal(network(z, noise="random"), some)
    assert not torch.allclose(const, none, atol=1e-3)
    for key, parameter in network.named_parameters():
        if key.endswith("noise_strength"):
            parameter.zero_()
    assert all(torch.equal(network(z, noise=noise), none) for noise in ("const", "random"))
    with pytest.raises(ValueError, match="noise='loud'"):
        network(z, noise="loud")


@torch.inference_mode()
def test_truncation_goes_from_the_mean_face_to_w():
    network, z = toy(), torch.randn(2, 8)
    w, mean = network.mapping(z), network.mapping.w_avg
    rows = network.num_ws
    whole = network.synthesis(w[:, None].expand(-1, rows, -1))
    face = network.synthesis(mean.expand(1, rows, -1))
    assert torch.equal(network(z), whole)
    assert torch.equal(network(z, truncation=0.5, cutoff=0), whole)
    assert torch.allclose(network(z, truncation=0.0), face, atol=1e-5)
    ws = w[:, None].repeat(1, rows, 1)
    ws[:, :3] = mean + 0.4 * (w - mean)[:, None]
    assert torch.allclose(network(z, truncation=0.4, cutoff=3), network.synthesis(ws), atol=1e-5)
    with pytest.raises(ValueError, match="cutoff=9"):
        network(z, cutoff=9)


@torch.inference_mode()
def test_each_layer_of_w_is_read_and_an_image_head_shares_the_next_convolutions():
    network = toy()
    ws = torch.randn(1, network.num_ws, 8)
    picture, read = network.synthesis(ws), {}
    for key, module in network.synthesis.named_modules():
        if key.endswith("affine"):
            module.register_forward_pre_hook(lambda _, args, key=key: read.update({key: args[0]}))
    network.synthesis(ws)
    rows = ["b4.conv1", "b8.conv0", "b8.conv1", "b16.conv0", "b16.conv1", "b32.conv0", "b32.conv1"]
    for row, key in enumerate(rows):
        assert torch.equal(read[f"{key}.affine"], ws[:, row])
    for row, side in ((1, 4), (3, 8), (5, 16), (7, 32)):
        assert torch.equal(read[f"b{side}.torgb.affine"], ws[:, row])
    for row in range(network.num_ws):
        other = ws.clone()
        other[:, row] += 1
        assert not torch.equal(network.synthesis(other), picture)


@pytest.mark.parametrize(("dtype", "tolerance"), HALF)
@torch.inference_mode()
def test_half_precision_draws_nearly_the_same(dtype, tolerance):
    network, z = toy(conv_clamp=256.0), torch.randn(2, 8)
    whole = network(z)
    with torch.autocast("cpu", dtype=dtype):
        automatic, w = network(z), network.mapping(z)
    assert w.dtype == torch.float32
    assert torch.equal(w, network.mapping(z))
    cast = copy.deepcopy(network).to(dtype)(z)
    for picture in (automatic, cast):
        assert picture.dtype == torch.float32
        assert not torch.equal(picture, whole)  # it did run in half precision
        assert (picture - whole).square().mean().sqrt() < tolerance * whole.std()


@pytest.mark.parametrize(("dtype", "tolerance"), HALF)
@pytest.mark.parametrize(("scale", "style_scale"), [(1e4, 1e4), (1e-4, 1e-3), (1e4, 1e-4)])
@torch.inference_mode()
def test_huge_and_tiny_weights_and_styles_do_not_overflow(dtype, tolerance, scale, style_scale):
    x, weight, style = parts(inputs=32)
    scaled = weight * scale, style * style_scale
    for up in (1, 2):
        whole = modulated_conv2d(x, weight, style, up=up)  # demodulation cancels any scale
        for grouped in (False, True):
            half = modulated_conv2d(x.to(dtype), *scaled, up=up, grouped=grouped)
            assert half.dtype == dtype
            assert (half.float() - whole).abs().max() < tolerance * whole.std()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@torch.inference_mode()
def test_a_network_with_huge_weights_is_finite_in_half_precision(dtype):
    network, z = toy(conv_clamp=256.0), torch.randn(2, 8)
    for key, parameter in network.named_parameters():
        if ".conv" in key and key.endswith((".weight", "affine.bias")):
            parameter.mul_(3000)
    whole = network(z)
    for picture in (copy.deepcopy(network).to(dtype)(z), autocast(network, z, dtype)):
        assert picture.isfinite().all()
        assert (picture - whole).square().mean().sqrt() < 0.2 * whole.std()


def test_the_guard_leaves_the_gradients_alone():
    inputs = [tensor.requires_grad_() for tensor in parts()]
    towards = torch.randn(3, 4, 6, 6)
    whole = torch.autograd.grad((modulated_conv2d(*inputs) * towards).sum(), inputs)
    x, weight, style = inputs
    y = modulated_conv2d(x.bfloat16(), weight, style)
    half = torch.autograd.grad((y.float() * towards).sum(), inputs)
    for one, other in zip(half, whole, strict=True):
        assert (one - other).norm() < 0.02 * other.norm()


@torch.inference_mode()
def test_the_clamp_bounds_what_a_convolution_gives():
    z = torch.randn(1, 8)
    free, bound = toy(), toy(conv_clamp=0.5)
    for network in (free, bound):
        network.synthesis.b32.conv1.register_forward_hook(
            lambda module, _, y: setattr(module, "largest", y.abs().max().item())
        )
        network(z)
    assert free.synthesis.b32.conv1.largest > 0.5 == bound.synthesis.b32.conv1.largest


def test_saved_and_loaded_it_draws_the_same(tmp_path):
    network, z = toy(conv_clamp=256.0), torch.randn(1, 8)
    network.save_pretrained(tmp_path)
    again = StyleGAN2Generator.from_pretrained(tmp_path, use_safetensors=True)
    with torch.inference_mode():
        assert torch.equal(network(z, truncation=0.6), again(z, truncation=0.6))


@torch.inference_mode()
def test_a_small_image_is_the_large_one_without_what_its_other_layers_add():
    network = toy()
    ws = torch.randn(2, network.num_ws, 8)
    small = network.synthesis(ws, 8)
    assert small.shape == (2, 3, 8, 8) and network.synthesis.heads == (4, 8, 16, 32)
    for side in (16, 32):
        head = getattr(network.synthesis, f"b{side}").torgb
        head.weight.zero_()
        head.bias.zero_()
    assert torch.allclose(network.synthesis(ws), double(double(small)), atol=1e-5)
    assert torch.equal(network.synthesis(ws, 32), network.synthesis(ws))
    with pytest.raises(ValueError, match="resolution=48"):
        network.synthesis(ws, 48)


@pytest.mark.parametrize("side", [4, 8, 16, 32])
def test_an_image_reads_its_free_layers_and_one_more(side):
    network = toy()
    ws = torch.randn(1, network.num_ws, 8, requires_grad=True)
    network.synthesis(ws, side).square().sum().backward()
    read = ws.grad[0].abs().amax(1) > 0
    assert read.nonzero().flatten().tolist() == list(range(network.synthesis.free_layers(side) + 1))


def test_first_layers_of_w_are_those_of_the_sizes():
    synthesis = StyleGAN2Generator(resolution=32, channel_base=128, w_dim=8, z_dim=8).synthesis
    assert [synthesis.first_layer(side) for side in (4, 8, 16, 32)] == [0, 1, 3, 5]
    with pytest.raises(ValueError, match="side=64"):
        synthesis.first_layer(64)
