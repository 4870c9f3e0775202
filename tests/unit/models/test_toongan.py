"""ToonGAN and the public network it is measured against: sizes, rows of w+, engines, conversion."""

import pickle

import pytest
import torch
import torch.nn.functional as F

from toonify import hub
from toonify.convert import dcgan
from toonify.engines import open_engine
from toonify.models import MODELS, DCGANGenerator, ToonGANGenerator

TOY = {"z_dim": 6, "w_dim": 8, "mapping_layers": 2, "channels": (8, 8, 8, 8, 4, 4, 4)}
DCGAN_TOY = {"z_dim": 6, "channels": (8, 8, 6, 4)}  # 32 px


def toy(**config) -> ToonGANGenerator:
    """A network of 64 px whose biases are heard and whose mean of w isn't zero."""
    torch.manual_seed(0)
    network = ToonGANGenerator(**{"resolution": 64, **TOY, **config}).eval()
    for key, parameter in network.named_parameters():
        if key.endswith("bias") and "affine" not in key:
            parameter.data.normal_(0, 0.3)
    network.mapping.w_avg.normal_()
    return network


def seed_toy() -> DCGANGenerator:
    """The public network at toy width, whose batch norms have seen images."""
    torch.manual_seed(0)
    network = DCGANGenerator(**DCGAN_TOY)
    for parameter in network.parameters():
        parameter.data.normal_(0.1, 0.5)
    network(torch.randn(16, 6))
    return network.eval()


def parameters(network) -> int:
    return sum(p.numel() for p in network.parameters())


def test_sizes():
    with torch.device("meta"):
        sizes = {side: parameters(ToonGANGenerator(resolution=side)) for side in (64, 128, 256)}
        assert parameters(DCGANGenerator()) == 114_974_339
    assert sizes[64] < sizes[128] < sizes[256] < 10_000_000
    assert sizes[128] == 3_187_842


@pytest.mark.parametrize(("side", "rows"), [(64, 10), (128, 12), (256, 14)])
def test_each_layer_of_w_steers_something(side, rows):
    network = toy(resolution=side)
    assert (network.num_ws, network.resolution) == (rows, side)
    ws = torch.randn(2, rows, 8, requires_grad=True)
    picture = network.synthesis(ws)
    assert picture.shape == (2, 3, side, side)
    picture[0].square().sum().backward()
    heard = ws.grad.abs().sum(2)
    assert heard[0].min() > 0 and not heard[1].any()


def test_first_layers_are_those_that_a_size_of_features_answers_to():
    network = toy()
    assert [network.first_layer(side) for side in (4, 8, 16, 32, 64)] == [0, 1, 3, 5, 7]
    with pytest.raises(ValueError, match="side=128"):
        network.first_layer(128)
    ws = torch.randn(1, 10, 8)
    other, coarse = ws.clone(), []
    other[:, network.first_layer(32) :] += 1
    network.synthesis.b16.conv1.register_forward_hook(lambda *call: coarse.append(call[2]))
    assert not torch.equal(network.synthesis(ws), network.synthesis(other))
    assert torch.equal(*coarse)


def test_truncation():
    network, z = toy(), torch.randn(3, 6)
    with torch.inference_mode():
        mean = network(z, truncation=0.0)
        w = network.mapping(z)
        assert torch.equal(mean[0], mean[1]) and torch.equal(mean[0], mean[2])
        assert torch.allclose(network(z), network.synthesis(w[:, None].repeat(1, 10, 1)), atol=1e-5)
        far, near = network(z), network(z, truncation=0.1)
    assert (near - mean).abs().mean() < (far - mean).abs().mean()


def test_half_precision_draws_about_the_same():
    network, z = toy(), torch.randn(4, 6)
    with torch.inference_mode():
        exact = network(z)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            rough = network(z)
    assert rough.dtype == torch.float32
    assert (rough - exact).abs().mean() < 0.05 * exact.std()


def test_wrong_sizes_are_named():
    with pytest.raises(ValueError, match="resolution=96"):
        ToonGANGenerator(resolution=96)
    with pytest.raises(ValueError, match="expected 6 or more at 128 px"):
        ToonGANGenerator(channels=(8, 8))


def test_the_engine_draws_what_torch_draws():
    network, ws = toy(), torch.randn(3, 10, 8)
    drawn = open_engine(None, lambda: network.synthesis, "cpu", tuple(ws.shape))(ws)
    with torch.inference_mode():
        expected = network.synthesis(ws)
    assert (drawn / expected.std() - expected / expected.std()).abs().mean() <= 0.01


def test_the_hub_loads_both(tmp_path):
    for name, network in {"toongan": toy(), "toon-generator": seed_toy()}.items():
        network.save_pretrained(tmp_path / name)
        again = hub.load_model(tmp_path / name, MODELS)
        z = torch.randn(2, 6)
        with torch.inference_mode():
            assert torch.equal(network(z), again(z))


def by_the_layer_table(state: dict, z: torch.Tensor) -> torch.Tensor:
    """The public network read from its printed layers: zeros between pixels, then convolutions."""
    x = z[:, :, None, None]
    for i in range(0, 3 * len(DCGAN_TOY["channels"]) + 1, 3):
        weight = state[f"gen.{i}.weight"].flip(2, 3).transpose(0, 1)
        sparse = x.new_zeros(*x.shape[:2], 2 * x.shape[2] - 1, 2 * x.shape[3] - 1)
        sparse[:, :, ::2, ::2] = x
        x = F.conv2d(sparse, weight, padding=2) + state[f"gen.{i}.bias"][:, None, None]
        norm = {
            part: state.get(f"gen.{i + 1}.{part}")
            for part in ("running_mean", "running_var", "weight", "bias")
        }
        if norm["weight"] is None:
            return x.tanh()
        mean, var, gain, bias = (value[:, None, None] for value in norm.values())
        x = ((x - mean) / (var + 1e-5).sqrt() * gain + bias).relu()


def test_the_public_network_is_its_layer_table():
    network, z = seed_toy(), torch.randn(3, 6)
    with torch.inference_mode():
        drawn, expected = network(z), by_the_layer_table(network.state_dict(), z)
    assert drawn.shape == (3, 3, 32, 32) and drawn.std() > 0.1
    assert torch.allclose(drawn, expected, atol=1e-5)
    assert torch.equal(network(z[:, :, None, None]), network(z))


def test_the_quirks_of_the_public_network():
    torch.manual_seed(0)
    network = DCGANGenerator(**DCGAN_TOY)
    gains = network.gen[1].weight
    assert gains.abs().max() < 0.1 and (gains < 0).any()  # not about 1
    network = seed_toy()
    network(torch.randn(4, 6)).square().sum().backward()
    heard = network.gen[0].weight.grad.abs().sum((0, 1)) > 0
    assert heard.nonzero().tolist() == [[1, 1], [1, 2], [2, 1], [2, 2]]


def test_conversion_round_trip(tmp_path):
    network, z = seed_toy(), torch.randn(2, 6)
    torch.save(network.state_dict(), tmp_path / "G_arch.pth")
    again = dcgan.convert(tmp_path / "G_arch.pth", **DCGAN_TOY)
    assert not again.training and list(again.state_dict()) == list(network.state_dict())
    with torch.inference_mode():
        assert torch.equal(network(z), again(z))
    again.train()(z).sum().backward()  # it can be trained further
    torch.save(network.half().state_dict(), tmp_path / "half.pth")
    half = dcgan.convert(tmp_path / "half.pth", **DCGAN_TOY)
    assert {p.dtype for p in half.parameters()} == {torch.float32}


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("gen.15.weight", torch.zeros(1), "gen.15.weight is unexpected"),
        ("gen.3.weight", None, "gen.3.weight is missing"),
        ("gen.3.weight", torch.zeros(8, 9, 4, 4), r"gen.3.weight has shape \(8, 9, 4, 4\)"),
        ("gen.0.bias", [0.0] * 8, "gen.0.bias is of type list"),
        ("gen.0.bias", torch.zeros(8, dtype=torch.int64), "gen.0.bias is torch.strided torch.int"),
        ("gen.0.bias", torch.full((8,), torch.nan), "gen.0.bias holds values that are not finite"),
    ],
)
def test_another_state_is_refused_by_its_first_key(tmp_path, key, value, said):
    state = dict(seed_toy().state_dict())
    state |= {"gen.12.bias": torch.zeros(9)} if value is not None else {}  # a later fault
    state[key] = value
    if value is None:
        del state[key]
    elif key == "gen.15.weight":
        state = {key: value, **state}
    torch.save(state, tmp_path / "G_arch.pth")
    with pytest.raises(ValueError, match=said):
        dcgan.convert(tmp_path / "G_arch.pth", **DCGAN_TOY)


def test_other_files_are_refused(tmp_path):
    file = tmp_path / "G_arch.pth"
    torch.save(seed_toy(), file)
    with pytest.raises(ValueError, match=r"refers to .*DCGANGenerator, which is not plain data"):
        dcgan.convert(file)
    torch.save([torch.zeros(1)], file)
    with pytest.raises(ValueError, match="holds a list, expected a state dict"):
        dcgan.convert(file)
    torch.save(seed_toy().state_dict(), file)
    with pytest.raises(
        ValueError, match=r"gen\.0\.weight has shape \(6, 8, 4, 4\), expected \(100"
    ):
        dcgan.convert(file)
    file.write_bytes(file.read_bytes()[:2000])
    with pytest.raises(
        ValueError, match="expected a checkpoint of tensors, but the file is damaged"
    ):
        dcgan.convert(file)
    file.write_bytes(pickle.dumps(print, protocol=2))
    with pytest.raises(ValueError, match="expected a checkpoint of tensors"):
        dcgan.convert(file)
    with pytest.raises(ValueError, match="no such file"):
        dcgan.convert(tmp_path / "none.pth")
