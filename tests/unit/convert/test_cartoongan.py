"""CartoonGAN's published tensors: the port's layers written out draw what our network draws."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from toonify import cli, hub
from toonify.hub import cards
from toonify.models import PHOTO_MODELS, CartoonGANGenerator

WIDTH, DEPTH = 4, 8


def public(width: int = WIDTH) -> dict[str, torch.Tensor]:
    """A state dict by the port's names, from its table, with random values."""
    draw = torch.Generator().manual_seed(5)
    state = {}

    def conv(name, inputs, outputs, kernel, transposed=False):
        shape = (inputs, outputs) if transposed else (outputs, inputs)
        weight = torch.randn(*shape, kernel, kernel, generator=draw)
        state[f"{name}.weight"] = weight * 1.5 / (inputs * kernel**2) ** 0.5
        state[f"{name}.bias"] = torch.randn(outputs, generator=draw) * 0.1

    def norm(name, channels):
        state[f"{name}.scale"] = torch.rand(channels, generator=draw) + 0.5
        state[f"{name}.shift"] = torch.randn(channels, generator=draw) * 0.2

    c = width
    conv("conv01_1", 3, c, 7)
    norm("in01_1", c)
    for number, inputs in ((2, c), (3, 2 * c)):
        conv(f"conv{number:02}_1", inputs, 2 * inputs, 3)
        conv(f"conv{number:02}_2", 2 * inputs, 2 * inputs, 3)
        norm(f"in{number:02}_1", 2 * inputs)
    for number in range(4, 4 + DEPTH):
        for part in (1, 2):
            conv(f"conv{number:02}_{part}", 4 * c, 4 * c, 3)
            norm(f"in{number:02}_{part}", 4 * c)
    for number, inputs in ((1, 4 * c), (2, 2 * c)):
        conv(f"deconv{number:02}_1", inputs, inputs // 2, 3, transposed=True)
        conv(f"deconv{number:02}_2", inputs // 2, inputs // 2, 3)
        norm(f"in{number + 11}_1", inputs // 2)
    conv("deconv03_1", c, 3, 7)
    return state


def drawn(state: dict, photo: torch.Tensor) -> torch.Tensor:
    """What the port draws of a photo: blue, green, red inside, red, green, blue outside."""

    def conv(x, name, reflect=0, **how):
        x = F.pad(x, (reflect,) * 4, mode="reflect") if reflect else x
        return F.conv2d(x, state[f"{name}.weight"], state[f"{name}.bias"], **how)

    def norm(x, name):
        mean, variance = x.mean((2, 3), keepdim=True), x.var((2, 3), correction=0, keepdim=True)
        scale, shift = (state[f"{name}.{part}"][:, None, None] for part in ("scale", "shift"))
        return (x - mean) / (variance + 1e-9).sqrt() * scale + shift

    y = norm(conv(photo.flip(1), "conv01_1", reflect=3), "in01_1").relu()
    for number in ("02", "03"):
        y = conv(y, f"conv{number}_1", stride=2, padding=1)
        y = norm(conv(y, f"conv{number}_2", padding=1), f"in{number}_1").relu()
    for number in range(4, 4 + DEPTH):
        first = norm(conv(y, f"conv{number:02}_1", reflect=1), f"in{number:02}_1").relu()
        y = y + norm(conv(first, f"conv{number:02}_2", reflect=1), f"in{number:02}_2")
    for number in ("01", "02"):
        name = f"deconv{number}_1"
        weight, bias = (state[f"{name}.{part}"] for part in ("weight", "bias"))
        y = F.conv_transpose2d(y, weight, bias, stride=2, padding=1, output_padding=1)
        y = conv(y, f"deconv{number}_2", padding=1)
        y = norm(y, f"in{int(number) + 11}_1").relu()
    return conv(y, "deconv03_1", reflect=3).tanh().flip(1)


def arrays(folder, state):
    folder.mkdir()
    for name, value in state.items():
        np.save(folder / f"{name}.npy", value.numpy())
    return folder


@pytest.mark.parametrize("form", ["pth", "npy"])
def test_converted_it_draws_what_the_published_layers_draw(tmp_path, form, capsys):
    state = public()
    source = tmp_path / "Hayao_net_G_float.pth"
    if form == "pth":
        torch.save(state, source)
    else:
        source = arrays(tmp_path / "hayao", state)
    assert cli.main(["convert", str(source), str(tmp_path / "out"), "--fp32"]) == 0
    assert "CartoonGANGenerator, from CartoonGAN" in capsys.readouterr().out
    network = hub.load_model(tmp_path / "out", PHOTO_MODELS)
    photo = torch.rand(2, 3, 48, 64, generator=torch.manual_seed(1)) * 2 - 1
    with torch.inference_mode():
        ours, theirs = network(photo), drawn(state, photo)
    assert theirs.std() > 0.1
    assert (ours - theirs).abs().max() < 1e-5
    style = hub.read_style(tmp_path / "out")
    assert (style.family, style.scope) == ("animegan", "photo")
    assert "the generator of CartoonGAN" in cards.make_card(tmp_path / "out")


def test_the_published_width_has_the_published_size():
    with torch.device("meta"):
        network = CartoonGANGenerator()
    assert sum(p.numel() for p in network.parameters()) == 11_129_667
    assert sum(v.numel() for v in public(64).values()) == 11_129_667


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda s: s.pop("in05_2.shift"), "in05_2.shift is missing"),
        (lambda s: s.update({"conv99_1.weight": torch.ones(1)}), "conv99_1.weight is unexpected"),
        (lambda s: s.update({"in01_1.scale": torch.ones(5)}), "in01_1.scale has shape (5,)"),
        (lambda s: s["conv02_1.bias"].fill_(torch.nan), "conv02_1.bias holds values"),
        (lambda s: s.pop("conv01_1.weight"), "conv01_1.weight is missing"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path, capsys, spoil, words):
    state = public()
    spoil(state)
    source = arrays(tmp_path / "some", state)
    assert cli.main(["convert", str(source), str(tmp_path / "out")]) == 1
    assert words in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_arrays_that_hold_code_or_lie_about_their_size_are_refused(tmp_path, capsys, monkeypatch):
    """Nothing is unpickled, and no memory is taken for what a file cannot hold."""

    class Code:
        def __reduce__(self):
            return (open, (str(tmp_path / "canary"), "w"))

    header = "{'descr': '<f4', 'fortran_order': False, 'shape': (1000000, 1000000), }"
    huge = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + bytes(64)
    held = {
        "code": (np.array([Code()], dtype=object), "not a complete array of numbers"),
        "text": (np.array(["a"]), "holds <U1, expected floating point numbers"),
        "huge": (huge, "not a complete array of numbers"),
        "empty": (b"", "not a complete array of numbers"),
    }
    for name, (value, words) in held.items():
        source = arrays(tmp_path / name, public())
        file = source / "conv01_1.weight.npy"
        if isinstance(value, bytes):
            file.write_bytes(value)
        else:
            np.save(file, value, allow_pickle=True)
        assert cli.main(["convert", str(source), str(tmp_path / "out")]) == 1
        said = capsys.readouterr().err
        assert "conv01_1.weight.npy" in said and words in said, name
    assert not (tmp_path / "canary").exists()
