"""AnimeGANv2 of both ports, and published weights: they draw what the published layers draw."""

import http.server
import json
import socketserver
import threading

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file

from tests.fixtures.convert_command import convert, list_names, read_style, refuse
from tests.fixtures.pickles import stored
from toonify import hub
from toonify.convert import animegan
from toonify.convert.formats import KINDS, PUBLISHED
from toonify.models import MODELS, PHOTO_MODELS, AnimeGANGenerator

C = 4  # width; 32 as published
PORTS = ("bryandlee", "ptran1203")
MODES = ("align_corners", "half_pixel", "tf1")
# The published blocks: names of the ports; channels over C, kernel and stride of each layer, where
# stride 0 is a residual layer. The last two blocks start with upsampling.
BLOCKS = (
    ("block_a", "conv_block1", [(1, 7, 1), (2, 3, 2), (2, 3, 1)]),
    ("block_b", "conv_block2", [(4, 3, 2), (4, 3, 1)]),
    ("block_c", "res_blocks", [(4, 3, 1), *[(8, 3, 0)] * 4, (4, 3, 1)]),
    ("block_d", "conv_block3", [(4, 3, 1), (4, 3, 1)]),
    ("block_e", "conv_block4", [(2, 3, 1), (2, 3, 1), (1, 7, 1)]),
)
UPSAMPLED = ("block_d.0", "block_e.0", "conv_block3.0", "conv_block4.0")
# Parts of a conv layer and of a residual one.
CONV = {"bryandlee": (".1", ".2"), "ptran1203": (".conv", ".ins_norm")}
RESIDUAL = {
    "bryandlee": (
        *(".layers.0.1", ".layers.0.2", ".layers.1.1", ".layers.1.2", ".layers.2", ".layers.3"),
    ),
    "ptran1203": (
        *(".conv_block.conv", ".conv_block.ins_norm", ".conv_block2.conv"),
        *(".conv_block2.ins_norm", ".conv", ".norm"),
    ),
}
LAST = {"bryandlee": "out_layer.0", "ptran1203": "decode_blocks.0"}


def layers(port: str):
    """Name, channels, kernel and stride of each layer."""
    for *names, rows in BLOCKS:
        for i, (times, kernel, stride) in enumerate(rows):
            yield f"{names[PORTS.index(port)]}.{i}", times * C, kernel, stride


def public(port: str) -> dict[str, torch.Tensor]:
    """A state dict with a port's names and random values."""
    numbers = torch.Generator().manual_seed(5)
    state = {}

    def convolution(key, outputs, inputs, kernel, bias=False):
        weight = torch.randn(outputs, inputs, kernel, kernel, generator=numbers)
        state[f"{key}.weight"] = weight * (2 / weight[0].numel()) ** 0.5
        if bias:
            state[f"{key}.bias"] = torch.randn(outputs, generator=numbers) / 4

    def norm(key, channels):
        state[f"{key}.weight"] = 1 + torch.randn(channels, generator=numbers) / 4
        state[f"{key}.bias"] = torch.randn(channels, generator=numbers) / 4

    inputs = 3
    for layer, outputs, kernel, stride in layers(port):
        if stride:
            conv, normed = CONV[port]
            convolution(layer + conv, outputs, inputs, kernel)
            norm(layer + normed, outputs)
        else:
            wide, parts = 2 * inputs, [layer + part for part in RESIDUAL[port]]
            convolution(parts[0], wide, inputs, 1)
            norm(parts[1], wide)
            convolution(parts[2], wide, 1, 3, bias=True)
            norm(parts[3], wide)
            convolution(parts[4], outputs, wide, 1)
            norm(parts[5], outputs)
        inputs = outputs
    convolution(LAST[port], 3, inputs, 1, bias=port == "ptran1203")
    return state


def upsample(x: torch.Tensor, mode: str) -> torch.Tensor:
    """Both axes, by the positions of the new pixels between the old ones."""

    def weights(count):
        new = torch.arange(2 * count)
        position = {
            "align_corners": new * (count - 1) / (2 * count - 1),
            "half_pixel": ((new + 0.5) / 2 - 0.5).clamp(min=0),
            "tf1": new / 2,
        }[mode].clamp(max=count - 1)
        return (1 - (position[:, None] - torch.arange(count)).abs()).clamp(min=0)

    rows, columns = (weights(count) for count in x.shape[-2:])
    return torch.einsum("yh,nchw,xw->ncyx", rows, x, columns)


def draw(state: dict, port: str, photo: torch.Tensor, mode: str) -> torch.Tensor:
    """The output by the table of layers, one after the other."""
    epsilon = 1e-12 if mode == "tf1" else 1e-5

    def convolved(x, key, stride=1, groups=1):
        side = state[f"{key}.weight"].shape[-1] // 2
        border = (0, 1, 0, 1) if stride == 2 else (side,) * 4
        x = F.pad(x, border, mode="reflect") if side else x
        return F.conv2d(x, state[f"{key}.weight"], state.get(f"{key}.bias"), stride, groups=groups)

    def normed(x, key):
        away = x - x.mean((1, 2, 3), keepdim=True)
        x = away / (away.square().mean((1, 2, 3), keepdim=True) + epsilon).sqrt()
        return x * state[f"{key}.weight"][:, None, None] + state[f"{key}.bias"][:, None, None]

    def leaky(x):
        return torch.where(x > 0, x, 0.2 * x)

    x = photo
    for layer, _, _, stride in layers(port):
        x = upsample(x, mode) if layer in UPSAMPLED else x
        if stride:
            conv, norm = (layer + part for part in CONV[port])
            x = leaky(normed(convolved(x, conv, stride), norm))
        else:
            parts = [layer + part for part in RESIDUAL[port]]
            y = leaky(normed(convolved(x, parts[0]), parts[1]))
            y = leaky(normed(convolved(y, parts[2], groups=y.shape[1]), parts[3]))
            y = normed(convolved(y, parts[4]), parts[5])
            x = x + y if x.shape == y.shape else y
    return convolved(x, LAST[port]).tanh()


def photos(n=2, height=44, width=60):
    return torch.rand(n, 3, height, width, generator=torch.Generator().manual_seed(3)) * 2 - 1


# The ports --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("port", "words", "mode"),
    [
        ("bryandlee", (), "align_corners"),
        ("bryandlee", ("--upsample", "half_pixel"), "half_pixel"),
        ("bryandlee", ("--upsample", "tf1"), "tf1"),
        ("ptran1203", (), "half_pixel"),
        ("ptran1203", ("--upsample", "align_corners"), "align_corners"),
    ],
)
@torch.inference_mode()
def test_a_port_draws_the_same_image(tmp_path, capsys, port, words, mode):
    state, photo = public(port), photos()
    torch.save(
        state if port == "bryandlee" else {"model_state_dict": state, "epoch": 3},
        tmp_path / "some.pt",
    )
    out = tmp_path / "networks" / "my_style"
    assert convert(tmp_path / "some.pt", out, "--fp32", *words) == 0
    network = hub.load_model(out, PHOTO_MODELS)
    expected = draw(state, port, photo, mode)
    assert expected.std() > 0.1
    assert (network(photo) - expected).abs().max() <= 1e-5
    for other in set(MODES) - {mode}:  # the modes differ by more than the tolerance
        assert (expected - draw(state, port, photo, other)).abs().max() > 1e-2
    assert network.config.out_bias is (port == "ptran1203")
    printed = capsys.readouterr().out
    assert f"upsampling mode: {mode}\n" in printed and f"{port}'s AnimeGANv2" in printed
    assert "license: unknown: say here" in printed
    kind = "animegan2-pytorch" if port == "bryandlee" else "pytorch-animegan"
    assert read_style(out) == {
        "title": "My style",
        "description": f"Converted from a checkpoint of {KINDS[kind]}.",
        "scope": "photo",
        "family": "animegan",
        "license": "unknown: say here what the data's licenses allow",
    }
    assert list_names(out.parent) == ["my_style"]
    assert list_names(out) == [hub.CONFIG, hub.WEIGHTS[1], hub.STYLE]


def test_the_tables_are_the_published_ones():
    """ptran1203's network has an additional bias."""
    ours = AnimeGANGenerator(width=C).state_dict()
    assert public("bryandlee").keys() == ours.keys() and len(ours) == 77
    assert len(public("ptran1203")) == 78


@torch.inference_mode()
def test_weights_have_16_bits_by_default(tmp_path):
    state, out = public("bryandlee"), tmp_path / "out"
    torch.save(state, tmp_path / "some.pt")
    assert convert(tmp_path / "some.pt", out, "--title", "Mine", "--license", "CC0") == 0
    assert hub.weights_file(out).name == hub.WEIGHTS[0]
    expected = draw(state, "bryandlee", photos(), "align_corners")
    assert (hub.load_model(out, MODELS)(photos()) - expected).abs().mean() < 0.01
    assert (read_style(out)["title"], read_style(out)["license"]) == ("Mine", "CC0")


@pytest.mark.parametrize("form", ["several GPUs", "state dict", "16 bits"])
def test_other_forms_of_a_checkpoint(tmp_path, form):
    state = public("ptran1203")
    halves = {key: value.half() for key, value in state.items()}
    adam = torch.optim.Adam(AnimeGANGenerator(width=C).parameters())
    held = {
        "several GPUs": {
            "model_state_dict": {f"module.{key}": value for key, value in state.items()},
            "epoch": None,
            "optimizer_state_dict": adam.state_dict(),
        },
        "state dict": state,
        "16 bits": halves,
    }[form]
    (tmp_path / "some.pt").write_bytes(stored(held, zipped=form == "state dict"))
    assert convert(tmp_path / "some.pt", tmp_path / "out") == 0
    found = load_file(hub.weights_file(tmp_path / "out"))
    assert torch.equal(found["block_c.2.layers.2.weight"], halves["res_blocks.2.conv.weight"])


# Published weights ------------------------------------------------------------------------------


@pytest.fixture
def publisher(monkeypatch):
    """A server of `answers`, path -> bytes, in place of GitHub."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            data = server.answers.get(self.path)
            self.send_response(404 if data is None else 200)
            self.send_header("Content-Length", str(len(data or b"")))
            self.end_headers()
            self.wfile.write(data or b"")

        def log_message(self, *_):
            pass

    monkeypatch.delenv("HF_HUB_OFFLINE")
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads, server.answers = True, {}
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setattr(animegan, "URL", f"http://127.0.0.1:{server.server_address[1]}/{{}}.pt")
        yield server
        server.shutdown()


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_weights_are_downloaded_by_name(tmp_path, capsys, publisher, name):
    data = stored(public("bryandlee"), zipped=True)
    publisher.answers[f"/{name}.pt"] = data
    assert convert(name, tmp_path / "out") == 0
    config = json.loads((tmp_path / "out" / hub.CONFIG).read_text())
    trained = ("tf1", 1e-12) if name == "paprika" else ("align_corners", 1e-5)
    assert (config["upsample"], config["norm_eps"]) == trained
    assert read_style(tmp_path / "out")["license"] == PUBLISHED[name].license
    blob = animegan.compute_blob_hash(data)
    assert f"git blob hash of the downloaded file: {blob};" in capsys.readouterr().out
    (tmp_path / f"{name}.pt").write_bytes(data)  # downloaded by other means
    assert convert(tmp_path / f"{name}.pt", tmp_path / "again") == 0
    assert json.loads((tmp_path / "again" / hub.CONFIG).read_text()) == config


def test_the_hash_of_a_blob_is_that_of_git():
    expected = "ce013625030ba8dba906f756967f9e9ca394464a"
    assert animegan.compute_blob_hash(b"hello\n") == expected


@pytest.mark.parametrize(
    ("size", "limits", "message"),
    [
        (None, {}, "cannot download paprika from http://127"),
        (2_000, {"MAX_BYTES": 1_000}, "more than 1,000 bytes, expected 8.6 million"),
        (2_000, {"TIMEOUT": -1.0}, "not complete after -1 seconds"),
        (2_000, {}, "expected a checkpoint of tensors"),
        (2_000, {"HF_HUB_OFFLINE": "1"}, ".pt: HF_HUB_OFFLINE is set"),
    ],
)
def test_a_failed_download_is_reported(
    tmp_path, capsys, publisher, monkeypatch, size, limits, message
):
    publisher.answers |= {} if size is None else {"/paprika.pt": bytes(size)}
    for name, value in limits.items():
        if name == "HF_HUB_OFFLINE":
            monkeypatch.setenv(name, value)
        else:
            monkeypatch.setattr(animegan, name, value)
    assert message in refuse(capsys, "paprika", tmp_path / "out")
    assert list_names(tmp_path) == []
