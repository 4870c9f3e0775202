"""Every network: right size, shape kept, trainable, the same after saving."""

import pytest
import torch
import torch.nn.functional as F

from toonify.models import (
    MODELS,
    NOISE_MODELS,
    PHOTO_MODELS,
    AnimeGANGenerator,
    AnimeGANLiteGenerator,
)
from toonify.models.animegan import (
    NOISE_PX,
    noise_tile,
    read_blocks,
    upsample2x,
    with_options,
    write_blocks,
)
from training.gan.discriminators import AnimeGANDiscriminator

# Sizes of toys that draw 64 px from noise of 6.
TOYS = {
    "toongan": {"resolution": 64, "w_dim": 8, "mapping_layers": 2, "channels": (8, 8, 8, 4, 4)},
    "toon-generator": {"channels": (8, 8, 8, 4, 4)},
}


def parameters(network) -> int:
    return sum(p.numel() for p in network.parameters())


def test_published_sizes():
    assert parameters(AnimeGANGenerator()) == 2_143_552
    assert len(AnimeGANGenerator().state_dict()) == 77
    assert parameters(AnimeGANLiteGenerator()) == 698_240
    assert parameters(AnimeGANDiscriminator()) == 1_128_800


def test_keys_of_the_public_port():
    state = AnimeGANGenerator().state_dict()
    shapes = {
        "block_a.0.1.weight": (32, 3, 7, 7),
        "block_a.1.2.bias": (64,),
        "block_b.1.1.weight": (128, 128, 3, 3),
        "block_c.1.layers.0.1.weight": (256, 128, 1, 1),
        "block_c.1.layers.1.1.bias": (256,),
        "block_c.4.layers.2.weight": (256, 512, 1, 1),
        "block_c.4.layers.3.weight": (256,),
        "block_c.5.1.weight": (128, 256, 3, 3),
        "block_d.1.2.weight": (128,),
        "block_e.2.1.weight": (32, 64, 7, 7),
        "out_layer.0.weight": (3, 32, 1, 1),
    }
    assert {key: tuple(state[key].shape) for key in shapes} == shapes


def test_tf_doubling_copies_even_pixels_and_averages_odd_ones():
    row = torch.tensor([[0.0, 2.0, 6.0]]).expand(1, 1, 2, 3)
    doubled = upsample2x(row, "tf1")
    assert doubled.shape == (1, 1, 4, 6)
    assert doubled[0, 0, 0].tolist() == [0, 1, 2, 4, 6, 6]


@pytest.mark.parametrize("mode", ["align_corners", "half_pixel"])
def test_other_doublings_are_those_of_torch(mode):
    image = torch.rand(1, 2, 5, 7, generator=torch.manual_seed(1))
    expected = torch.nn.functional.interpolate(
        image, size=(10, 14), mode="bilinear", align_corners=mode == "align_corners"
    )
    assert torch.allclose(upsample2x(image, mode), expected, atol=1e-6)


def test_unknown_upsampling_is_named():
    with pytest.raises(ValueError, match="upsample='cubic'"):
        AnimeGANGenerator(upsample="cubic")


@pytest.mark.parametrize("name", PHOTO_MODELS)
def test_shape_range_and_gradients(name):
    torch.manual_seed(0)
    network = PHOTO_MODELS[name](width=4, depth=2)
    photo = torch.rand(2, 3, 64, 40) * 2 - 1
    drawing = network(photo)
    assert drawing.shape == photo.shape
    assert drawing.isfinite().all() and drawing.abs().max() <= 1
    (drawing - photo).square().mean().backward()
    still = [key for key, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert not still


@pytest.mark.parametrize("name", PHOTO_MODELS)
def test_a_photo_is_drawn_alike_in_any_company(name):
    torch.manual_seed(0)
    network = PHOTO_MODELS[name](width=4, depth=2).eval()
    photos = torch.rand(3, 3, 32, 32) * 2 - 1
    with torch.inference_mode():
        assert torch.allclose(network(photos)[1:2], network(photos[1:2]), atol=1e-5)


@pytest.mark.parametrize("name", PHOTO_MODELS)
def test_saved_and_loaded_it_draws_the_same(name, tmp_path):
    torch.manual_seed(0)
    network = PHOTO_MODELS[name](width=4, depth=1).eval()
    network.save_pretrained(tmp_path)
    again = PHOTO_MODELS[name].from_pretrained(tmp_path, use_safetensors=True)
    photo = torch.rand(1, 3, 32, 32) * 2 - 1
    with torch.inference_mode():
        assert torch.equal(network(photo), again(photo))


@pytest.mark.parametrize("name", PHOTO_MODELS)
def test_smallest_size_works(name):
    network = PHOTO_MODELS[name](width=4, depth=1).eval()
    side = network.smallest
    assert network(torch.zeros(1, 3, side, side)).shape == (1, 3, side, side)


def test_fast_generator_on_patches_draws_whole_images_from_fewer_pixels():
    torch.manual_seed(0)
    network = AnimeGANLiteGenerator(width=4, depth=1, patch=2, edge_kernel=3).eval()
    assert (network.multiple, network.smallest) == (16, 64)
    seen = []
    network.down_1.register_forward_pre_hook(lambda _, given: seen.append(given[0].shape[-2:]))
    photo = torch.rand(1, 3, 64, 96) * 2 - 1
    drawing = network(photo)
    assert drawing.shape == photo.shape and seen == [(32, 48)]
    # A pixel of the photo reaches the pixel of the drawing at the same place.
    photo.requires_grad_()
    network(photo)[0, 0, 33, 47].backward()
    assert photo.grad[0, :, 33, 47].all()
    for wrong in ({"patch": 3}, {"edge_kernel": 4}, {"levels": 1}):
        with pytest.raises(ValueError, match="expected"):
            AnimeGANLiteGenerator(width=4, **wrong)


def test_fast_generator_with_two_levels_has_half_the_parameters():
    torch.manual_seed(0)
    network = AnimeGANLiteGenerator(width=4, depth=1, patch=2, levels=2).eval()
    seen = []
    network.body.register_forward_pre_hook(lambda _, given: seen.append(given[0].shape[-2:]))
    photo = torch.rand(1, 3, 64, 96) * 2 - 1
    assert network(photo).shape == photo.shape and seen == [(8, 12)]
    count = [
        sum(p.numel() for p in AnimeGANLiteGenerator(levels=levels).parameters())
        for levels in (3, 2)
    ]
    assert count[0] == 698_240 and count[1] < 0.6 * count[0]


def test_noise_inputs_make_flat_areas_uneven_and_start_unused():
    torch.manual_seed(0)
    plain = AnimeGANLiteGenerator(width=4, depth=1, patch=2).eval()
    noisy = with_options(plain, "noise_inputs").eval()
    photo, flat = torch.rand(2, 3, 64, 96) * 2 - 1, torch.full((1, 3, 64, 64), 0.2)
    assert torch.equal(noisy(photo), plain(photo))
    assert with_options(noisy, "noise_inputs") is noisy
    torch.nn.init.normal_(noisy.enter[1].weight, std=0.2)
    plain.enter[1].weight.data = noisy.enter[1].weight[:, :12].detach()
    middle = slice(24, 40)
    cells = [
        net(flat)[0, 0, middle, middle].unfold(0, 2, 2).unfold(1, 2, 2) for net in (plain, noisy)
    ]
    assert cells[0].std((0, 1)).max() < 1e-4 < 1e-2 < cells[1].std((0, 1)).min()
    assert torch.allclose(noisy(photo)[1:], noisy(photo[1:]), atol=1e-5)


def test_a_skip_starts_unused_and_brings_single_pixels_to_the_drawing():
    torch.manual_seed(0)
    plain = AnimeGANLiteGenerator(width=4, depth=1, patch=4).eval()
    network = with_options(plain, "noise_inputs", "photo_skip").eval()
    photo = torch.rand(1, 3, 128, 128) * 2 - 1
    assert torch.equal(network(photo), plain(photo))
    torch.nn.init.zeros_(network.out_layer[0].weight)
    torch.nn.init.dirac_(network.skip.weight)
    assert torch.allclose(network(photo), photo.tanh())


def test_the_noise_is_a_constant_in_a_trace():
    noise_tile.cache_clear()
    network = AnimeGANLiteGenerator(width=4, depth=1, patch=2, noise_inputs=True).eval()
    traced = torch.jit.trace(network, torch.zeros(1, 3, 64, 64), check_trace=False)
    assert "aten::cos" not in str(traced.inlined_graph)


def test_the_noise_is_the_same_everywhere_and_repeats():
    tile = noise_tile()
    assert tile.shape == (3, NOISE_PX, NOISE_PX)
    assert tile.std((1, 2)).tolist() == pytest.approx([1, 1, 1], abs=0.1)
    assert tile[:, 5, 7].tolist() == pytest.approx([1.0898, 0.1729, -3.1083], abs=1e-4)
    read = read_blocks(torch.zeros(1, 3, NOISE_PX + 8, NOISE_PX), 1, noise=True)
    assert torch.equal(read[0, 3:, NOISE_PX:], tile[:, :8])


@pytest.mark.parametrize("patch", [1, 2, 4])
def test_blocks_are_those_of_pixel_unshuffle(patch):
    photos = torch.rand(2, 3, NOISE_PX, NOISE_PX + 64)
    noise = noise_tile()[None].repeat(2, 1, 1, 2)[..., : NOISE_PX + 64]
    noisy = F.pixel_unshuffle(torch.cat([photos, noise], 1), patch)
    assert torch.equal(read_blocks(photos, patch, noise=True), noisy)
    blocks = read_blocks(photos, patch, noise=False)
    assert torch.equal(blocks, F.pixel_unshuffle(photos, patch))
    assert torch.equal(write_blocks(blocks, patch), photos)


@pytest.mark.parametrize("name", NOISE_MODELS)
def test_noise_becomes_an_image_that_every_parameter_shapes(name):
    torch.manual_seed(0)
    network = MODELS[name](z_dim=6, **TOYS[name]).eval()
    for parameter in network.parameters():  # some start so small that nothing comes through
        parameter.data.normal_(0, 0.5)
    drawing = network(torch.randn(2, 6))
    assert drawing.shape == (2, 3, 64, 64) and network.resolution == 64
    assert drawing.isfinite().all()
    drawing.square().mean().backward()
    still = [key for key, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert not still


@pytest.mark.parametrize("name", NOISE_MODELS)
def test_noise_is_drawn_alike_in_any_company_and_after_saving(name, tmp_path):
    torch.manual_seed(0)
    network = MODELS[name](z_dim=6, **TOYS[name]).eval()
    network.save_pretrained(tmp_path)
    again = MODELS[name].from_pretrained(tmp_path, use_safetensors=True)
    z = torch.randn(3, 6)
    with torch.inference_mode():
        assert torch.allclose(network(z)[1:2], network(z[1:2]), atol=1e-5)
        assert torch.equal(network(z), again(z))
