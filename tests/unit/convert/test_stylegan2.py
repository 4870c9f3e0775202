"""StyleGAN2 by other names: read from them directly, the networks draw and score the same."""

import argparse
from functools import partial

import pytest
import torch
import torch.nn.functional as F

from tests.training.gan.test_discriminators import (
    critic_by_the_layer_table,
    fir,
    images,
    lrelu,
    upfirdn,
)
from toonify.convert import checkpoints
from toonify.convert.stylegan2 import (
    from_nvlabs,
    from_rosinality,
    rosinality_states,
    to_nvlabs,
    to_rosinality,
)
from toonify.convert.unpickling import read_torch
from toonify.models.stylegan2 import StyleGAN2Generator
from training.gan.discriminators import StyleGAN2Discriminator

# Of 32 px, channel_base 512 and channel_max 48.
CHANNELS = {4: 48, 8: 48, 16: 32, 32: 16}
SIZES = {"resolution": 32, "channel_base": 512, "channel_max": 48}
W = 8


def filled(shapes: dict[str, tuple[int, ...]]) -> dict[str, torch.Tensor]:
    """Seeded random tensors of these shapes."""
    noise = torch.Generator().manual_seed(5)
    return {key: torch.randn(shape, generator=noise) for key, shape in shapes.items()}


def nvlabs_generator():
    """Names and shapes as published, with the filters."""
    shapes, filters = {}, ["synthesis.b4", "synthesis.b4.conv1"]
    for i in range(3):
        shapes |= {f"mapping.fc{i}.weight": (W, W), f"mapping.fc{i}.bias": (W,)}
    shapes |= {"mapping.w_avg": (W,), "synthesis.b4.const": (48, 4, 4)}
    inputs = 48
    for side, outputs in CHANNELS.items():
        block = f"synthesis.b{side}"
        layers = {"conv0": inputs, "conv1": outputs} if side > 4 else {"conv1": outputs}
        for layer, channels in layers.items():
            shapes |= {
                f"{block}.{layer}.weight": (outputs, channels, 3, 3),
                f"{block}.{layer}.bias": (outputs,),
                f"{block}.{layer}.affine.weight": (channels, W),
                f"{block}.{layer}.affine.bias": (channels,),
                f"{block}.{layer}.noise_strength": (),
                f"{block}.{layer}.noise_const": (side, side),
            }
        shapes |= {
            f"{block}.torgb.weight": (3, outputs, 1, 1),
            f"{block}.torgb.bias": (3,),
            f"{block}.torgb.affine.weight": (outputs, W),
            f"{block}.torgb.affine.bias": (outputs,),
        }
        if side > 4:
            filters += [block, f"{block}.conv0", f"{block}.conv1"]
        inputs = outputs
    state = filled(shapes)
    for i in range(3):  # of learning rate 0.01
        state[f"mapping.fc{i}.weight"] *= 100
        state[f"mapping.fc{i}.bias"] *= 100
    return state | {f"{key}.resample_filter": fir() for key in filters}


def rosinality_generator():
    """Names and shapes as published, with the kernels."""
    shapes = {"input.input": (1, 48, 4, 4)}
    for i in (1, 2, 3):
        shapes |= {f"style.{i}.weight": (W, W), f"style.{i}.bias": (W,)}

    def styled(layer, inputs, outputs, kernel):
        return {
            f"{layer}.conv.weight": (1, outputs, inputs, kernel, kernel),
            f"{layer}.conv.modulation.weight": (inputs, W),
            f"{layer}.conv.modulation.bias": (inputs,),
        }

    def convolution(layer, inputs, outputs):
        rest = {f"{layer}.noise.weight": (1,), f"{layer}.activate.bias": (outputs,)}
        return styled(layer, inputs, outputs, 3) | rest

    def image(layer, inputs):
        return styled(layer, inputs, 3, 1) | {f"{layer}.bias": (1, 3, 1, 1)}

    shapes |= convolution("conv1", 48, 48) | image("to_rgb1", 48)
    for i, (inputs, outputs) in enumerate([(48, 48), (48, 32), (32, 16)]):
        shapes |= convolution(f"convs.{2 * i}", inputs, outputs)
        shapes |= convolution(f"convs.{2 * i + 1}", outputs, outputs)
        shapes |= image(f"to_rgbs.{i}", outputs)
    for i, side in enumerate([4, 8, 8, 16, 16, 32, 32]):
        shapes[f"noises.noise_{i}"] = (1, 1, side, side)
    state = filled(shapes)
    for i in (1, 2, 3):
        state[f"style.{i}.weight"] *= 100
        state[f"style.{i}.bias"] *= 100
    kernels = [k for i in range(3) for k in (f"convs.{2 * i}.conv.blur", f"to_rgbs.{i}.upsample")]
    return state | {f"{key}.kernel": fir() * 4 for key in kernels}


def nvlabs_critic():
    shapes = {"b32.fromrgb.weight": (16, 3, 1, 1), "b32.fromrgb.bias": (16,)}
    filters = ["b32.fromrgb", "b4.conv"]
    for side in (32, 16, 8):
        i, o = CHANNELS[side], CHANNELS[side // 2]
        shapes |= {
            f"b{side}.conv0.weight": (i, i, 3, 3),
            f"b{side}.conv0.bias": (i,),
            f"b{side}.conv1.weight": (o, i, 3, 3),
            f"b{side}.conv1.bias": (o,),
            f"b{side}.skip.weight": (o, i, 1, 1),
        }
        filters += [f"b{side}{part}" for part in ("", ".conv0", ".conv1", ".skip")]
    shapes |= {"b4.conv.weight": (48, 49, 3, 3), "b4.conv.bias": (48,)}
    shapes |= {"b4.fc.weight": (48, 768), "b4.fc.bias": (48,)}
    shapes |= {"b4.out.weight": (1, 48), "b4.out.bias": (1,)}
    return filled(shapes) | {f"{key}.resample_filter": fir() for key in filters}


# Of the discriminator of 32 px, NVlabs' names and rosinality's.
CRITIC = {
    "b32.fromrgb.weight": "convs.0.0.weight",
    "b32.fromrgb.bias": "convs.0.1.bias",
    **{
        f"b{side}.{ours}": f"convs.{block}.{theirs}"
        for block, side in enumerate((32, 16, 8), 1)
        for ours, theirs in {
            "conv0.weight": "conv1.0.weight",
            "conv0.bias": "conv1.1.bias",
            "conv1.weight": "conv2.1.weight",
            "conv1.bias": "conv2.2.bias",
            "skip.weight": "skip.1.weight",
        }.items()
    },
    "b4.conv.weight": "final_conv.0.weight",
    "b4.conv.bias": "final_conv.1.bias",
    "b4.fc.weight": "final_linear.0.weight",
    "b4.fc.bias": "final_linear.0.bias",
    "b4.out.weight": "final_linear.1.weight",
    "b4.out.bias": "final_linear.1.bias",
}


def rosinality_critic():
    state = {theirs: nvlabs_critic()[ours] for ours, theirs in CRITIC.items()}
    kernels = [f"convs.{i}.{part}.kernel" for i in (1, 2, 3) for part in ("conv2.0", "skip.0")]
    return state | {key: fir() for key in kernels}


def affine(w, weight, bias):
    return w @ weight.T / weight.shape[1] ** 0.5 + bias


def mapped(z, layers):
    """w of z by layers (weight, bias) of learning rate 0.01."""
    x = z / (z.square().mean(1, keepdim=True) + 1e-8).sqrt()
    for weight, bias in layers:
        x = lrelu(x @ (0.01 * weight.T) / weight.shape[1] ** 0.5 + 0.01 * bias)
    return x


def convolved(x, weight, style, up):
    """One sample after the other, with weights of its own, as the paper has it."""
    y = []
    for one, scale in zip(x[:, None], style, strict=True):
        own = weight * scale[:, None, None]
        own = own / (own.square().sum((1, 2, 3), keepdim=True) + 1e-8).sqrt()
        if up == 2:
            wide = F.conv_transpose2d(one, own.transpose(0, 1), stride=2)
            y.append(upfirdn(wide, 4 * fir(), before=1, after=1))
        else:
            y.append(F.conv2d(one, own, padding=1))
    return torch.cat(y)


def drawn_by_nvlabs(state, z, truncation):
    """Images read from NVlabs' names, with constant noise."""
    w = mapped(
        z, [(state[f"mapping.fc{i}.weight"], state[f"mapping.fc{i}.bias"]) for i in range(3)]
    )
    w = state["mapping.w_avg"] + truncation * (w - state["mapping.w_avg"])
    x, image = state["synthesis.b4.const"].expand(len(z), -1, -1, -1), None
    for side in (4, 8, 16, 32):
        block = f"synthesis.b{side}"
        for layer in ("conv0", "conv1") if side > 4 else ("conv1",):
            key = f"{block}.{layer}"
            style = affine(w, state[f"{key}.affine.weight"], state[f"{key}.affine.bias"])
            x = convolved(x, state[f"{key}.weight"], style, 2 if layer == "conv0" else 1)
            x = x + state[f"{key}.noise_const"] * state[f"{key}.noise_strength"]
            x = lrelu(x + state[f"{key}.bias"][:, None, None])
        key = f"{block}.torgb"
        style = affine(w, state[f"{key}.affine.weight"], state[f"{key}.affine.bias"])
        style = style / x.shape[1] ** 0.5
        rgb = torch.einsum("nchw,nc,oc->nohw", x, style, state[f"{key}.weight"][..., 0, 0])
        rgb = rgb + state[f"{key}.bias"][:, None, None]
        if image is not None:
            rgb = rgb + upfirdn(image, 4 * fir(), up=2, before=2, after=1)
        image = rgb
    return image


def drawn_by_rosinality(state, z, mean, truncation):
    """Images read from rosinality's names, layer by layer as they are listed there."""
    w = mapped(z, [(state[f"style.{i}.weight"], state[f"style.{i}.bias"]) for i in (1, 2, 3)])
    w = mean + truncation * (w - mean)

    def conv(x, layer, number, up=1):
        weight = state[f"{layer}.conv.weight"][0]
        style = affine(
            w, state[f"{layer}.conv.modulation.weight"], state[f"{layer}.conv.modulation.bias"]
        )
        x = convolved(x, weight / weight[0].numel() ** 0.5, style, up)
        x = x + state[f"{layer}.noise.weight"] * state[f"noises.noise_{number}"]
        return lrelu(x + state[f"{layer}.activate.bias"][None, :, None, None])

    def rgb(x, layer):
        weight = state[f"{layer}.conv.weight"][0, :, :, 0, 0] / x.shape[1] ** 0.5
        style = affine(
            w, state[f"{layer}.conv.modulation.weight"], state[f"{layer}.conv.modulation.bias"]
        )
        return torch.einsum("nchw,nc,oc->nohw", x, style, weight) + state[f"{layer}.bias"]

    x = conv(state["input.input"].repeat(len(z), 1, 1, 1), "conv1", 0)
    image = rgb(x, "to_rgb1")
    for i in range(3):
        x = conv(x, f"convs.{2 * i}", 2 * i + 1, up=2)
        x = conv(x, f"convs.{2 * i + 1}", 2 * i + 2)
        image = upfirdn(image, 4 * fir(), up=2, before=2, after=1) + rgb(x, f"to_rgbs.{i}")
    return image


def noise(n=2):
    return torch.randn(n, W, generator=torch.Generator().manual_seed(6))


def generator(config, state) -> StyleGAN2Generator:
    network = StyleGAN2Generator(**config).eval()
    network.load_state_dict(state)
    return network


def critic(config, state) -> StyleGAN2Discriminator:
    network = StyleGAN2Discriminator(**config, mbstd_group=2)
    network.load_state_dict(state)
    return network


def same(one, other) -> bool:
    return one.keys() == other.keys() and all(
        one[k].shape == other[k].shape and torch.equal(one[k], other[k]) for k in one
    )


def near(one, other) -> bool:
    """To a hundred thousandth of how much the image varies."""
    return (one - other).abs().max() < 1e-5 * other.std()


@torch.inference_mode()
def test_nvlabs_generator_draws_the_same():
    theirs, z = nvlabs_generator(), noise()
    config, ours = from_nvlabs(theirs, "G")
    assert config == SIZES | {"mapping_layers": 3, "z_dim": W, "w_dim": W}
    picture = generator(config, ours)(z, truncation=0.7)
    expected = drawn_by_nvlabs(theirs, z, 0.7)
    assert picture.std() > 1
    assert near(picture, expected)
    assert same(to_nvlabs(ours, "G"), theirs)


@torch.inference_mode()
def test_rosinality_generator_draws_the_same():
    theirs, z, mean = rosinality_generator(), noise(), noise(1)[0]
    config, ours = from_rosinality(theirs, "G", mean)
    assert config == SIZES | {"mapping_layers": 3, "z_dim": W, "w_dim": W}
    picture = generator(config, ours)(z, truncation=0.7)
    expected = drawn_by_rosinality(theirs, z, mean, 0.7)
    assert picture.std() > 1
    assert near(picture, expected)
    assert same(to_rosinality(ours, "G"), theirs)
    assert torch.equal(ours["mapping.w_avg"], mean)
    assert same(from_rosinality(theirs, "G", mean[None])[1], ours)


@torch.inference_mode()
def test_the_discriminator_scores_the_same():
    theirs, batch = nvlabs_critic(), images()
    config, ours = from_nvlabs(theirs, "D")
    assert config == SIZES
    score = critic(config, ours)(batch)
    assert torch.allclose(score, critic_by_the_layer_table(theirs, batch, 2, 32), atol=1e-5)
    assert same(to_nvlabs(ours, "D"), theirs)
    theirs = rosinality_critic()
    again = from_rosinality(theirs, "D")
    assert again[0] == config
    assert same(again[1], ours)
    assert same(to_rosinality(ours, "D"), theirs)


def test_every_size_goes_there_and_back():
    for resolution, base in ((32, 256), (256, 1024), (1024, 2048)):
        sizes = {"resolution": resolution, "channel_base": base, "channel_max": 16}
        torch.manual_seed(0)
        expected = sizes | {"z_dim": 4, "w_dim": 4, "mapping_layers": 2}
        state = StyleGAN2Generator(**expected).state_dict()
        config, back = from_nvlabs(to_nvlabs(state))
        assert config == expected
        assert same(back, state)
        mean = state["mapping.w_avg"]
        config, back = from_rosinality(to_rosinality(state), latent_avg=mean)
        assert config == expected
        assert same(back, state)
        state = StyleGAN2Discriminator(**sizes).state_dict()
        for there, here in ((to_nvlabs, from_nvlabs), (to_rosinality, from_rosinality)):
            config, back = here(there(state, "D"), "D")
            assert config == sizes
            assert same(back, state)


def test_published_sizes_are_inferred():
    """Of the paper's networks, without their weights."""
    paper = {"resolution": 1024, "channel_base": 32768, "channel_max": 512}
    with torch.device("meta"):
        G = StyleGAN2Generator(**paper).state_dict()
        D = StyleGAN2Discriminator(**paper).state_dict()
    assert from_nvlabs(G)[0] == paper | {"mapping_layers": 8, "z_dim": 512, "w_dim": 512}
    assert from_nvlabs(D, "D")[0] == paper


def test_without_the_mean_of_w_it_is_measured():
    theirs = rosinality_generator()
    _, ours = from_rosinality(theirs)
    w = mapped(
        noise(20_000), [(theirs[f"style.{i}.weight"], theirs[f"style.{i}.bias"]) for i in (1, 2, 3)]
    )
    assert (ours["mapping.w_avg"] - w.mean(0)).abs().max() < 0.05 * w.std()
    assert same(from_rosinality(theirs)[1], ours)
    with pytest.raises(ValueError, match=r"latent_avg has shape \(5,\), expected \(8,\)"):
        from_rosinality(theirs, "G", torch.zeros(5))


READERS = {
    "nvlabs G": (nvlabs_generator, from_nvlabs, "G", "resample_filter"),
    "nvlabs D": (nvlabs_critic, from_nvlabs, "D", "resample_filter"),
    "rosinality G": (rosinality_generator, from_rosinality, "G", "kernel"),
    "rosinality D": (rosinality_critic, from_rosinality, "D", "kernel"),
}


@pytest.mark.parametrize("which", READERS)
def test_filters_may_be_left_out_but_not_be_others(which):
    state, read, network, derived = READERS[which]
    state = state()
    bare = {key: tensor for key, tensor in state.items() if not key.endswith(derived)}
    assert len(bare) < len(state)
    assert same(read(bare, network)[1], read(state, network)[1])
    key = next(key for key in state if key.endswith(derived))
    with pytest.raises(ValueError, match=f"{key} is not the filter"):
        read(state | {key: torch.ones(4, 4) / 16}, network)
    with pytest.raises(ValueError, match=r"fc0\.resample_filter is unexpected"):
        read(state | {"fc0.resample_filter": fir()}, network)


@pytest.mark.parametrize("which", READERS)
def test_a_key_that_is_missing_or_has_another_shape_is_named(which):
    state, read, network, derived = READERS[which]
    state = state()
    if which == "rosinality G":
        read = partial(read, latent_avg=torch.zeros(W))
    keys = [key for key in state if not key.endswith(derived)]
    # A block of the generator has 16 keys: every fifth is another part in another block.
    for key in keys[::5] if network == "G" else keys:
        with pytest.raises(ValueError, match=f"{key} is missing"):
            read({k: v for k, v in state.items() if k != key}, network)
        with pytest.raises(ValueError, match=f"{key} has shape"):
            read(state | {key: state[key][..., None]}, network)
        for axis in range(state[key].ndim):
            if key not in ("mapping.fc0.weight", "style.1.weight"):  # z may have any length
                longer = torch.cat((state[key], state[key].narrow(axis, 0, 1)), axis)
                with pytest.raises(ValueError, match=f"{key} has shape"):
                    read(state | {key: longer}, network)


@pytest.mark.parametrize("which", READERS)
def test_anything_else_in_a_state_is_refused(which):
    state, read, network, _ = READERS[which]
    state = state()
    key = next(iter(state))
    for value, message in (
        ([1.0], f"'{key}' is of type list"),
        (state[key].long(), f"{key} is torch.strided torch.int64"),
        (state[key].to_sparse(), f"{key} is torch.sparse_coo"),
    ):
        with pytest.raises(ValueError, match=message):
            read(state | {key: value}, network)
    with pytest.raises(ValueError, match=r"mapping\.embed\.weight is unexpected"):
        read(state | {"mapping.embed.weight": torch.zeros(W, 3)}, network)
    with pytest.raises(ValueError, match="7 is of type"):
        read(state | {7: fir()}, network)


def test_other_networks_are_refused():
    for read in (from_nvlabs, from_rosinality, to_nvlabs, to_rosinality):
        with pytest.raises(ValueError, match="keys are those of 0 px"):
            read({"layers.0.weight": fir()})
        with pytest.raises(ValueError, match="network='E': expected one of G, D"):
            read({}, "E")
    with pytest.raises(ValueError, match="keys are those of 0 px"):
        from_nvlabs(nvlabs_critic(), "G")
    with pytest.raises(ValueError, match="keys are those of 2048 px"):
        from_nvlabs(nvlabs_generator() | {"synthesis.b2048.conv0.bias": fir()})
    with pytest.raises(ValueError, match="resample_filter is unexpected"):
        to_nvlabs(nvlabs_generator())  # ours are without


def test_a_training_checkpoint_opens(tmp_path):
    ours = from_rosinality(rosinality_generator(), "G", noise(1))[1]
    held = {
        "g": rosinality_generator(),
        "d": rosinality_critic(),
        "g_ema": rosinality_generator(),
        "g_optim": torch.optim.Adam([torch.zeros(2, requires_grad=True)]).state_dict(),
        "args": argparse.Namespace(size=32, path="faces", augment=True),
        "ada_aug_p": 0.1,
    }
    torch.save(held, tmp_path / "100000.pt")
    found, latent_avg = rosinality_states(read_torch(tmp_path / "100000.pt"))
    assert found.keys() == {"g", "d", "g_ema"} and latent_avg is None
    assert same(from_rosinality(found["g_ema"], "G", noise(1))[1], ours)
    assert from_rosinality(found["d"], "D")[0] == SIZES
    assert argparse.Namespace not in torch.serialization.get_safe_globals()
    torch.save({"g_ema": held["g_ema"], "latent_avg": noise(1)[0]}, tmp_path / "faces.pt")
    found, latent_avg = rosinality_states(read_torch(tmp_path / "faces.pt"))
    assert found.keys() == {"g_ema"}
    assert same(from_rosinality(found["g_ema"], latent_avg=latent_avg)[1], ours)


def test_whole_networks_and_broken_files_are_refused(tmp_path):
    path = tmp_path / "some.pt"
    torch.save({"g_ema": torch.nn.Linear(2, 2)}, path)
    with pytest.raises(ValueError, match=r"refers to torch\.nn\.modules\.linear\.Linear"):
        checkpoints.read(str(path), "rosinality")
    for held, message in (
        ([1, 2], "expected a dict with one of g_ema, g, d"),
        ({"state_dict": {}}, "expected a dict with one of g_ema, g, d"),
        ({"g_ema": fir()}, "g_ema is of type Tensor, expected a dict"),
        ({"g": {}, "latent_avg": [1.0]}, "latent_avg is of type list, expected a tensor"),
    ):
        torch.save(held, path)
        with pytest.raises(ValueError, match=message):
            checkpoints.read(str(path), "rosinality")
    torch.save({"g_ema": rosinality_generator()}, path)
    whole = path.read_bytes()
    for part in (b"", b"no checkpoint", whole[:100], whole[: len(whole) // 2], whole[:-9]):
        path.write_bytes(part)
        with pytest.raises(ValueError, match=r"some\.pt: "):
            checkpoints.read(str(path), "rosinality")
