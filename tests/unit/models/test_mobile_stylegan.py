"""MobileStyleGAN: the Haar transform, the rows of w+, sizes, saving, and the wheel it came from."""

import os
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from toonify import hub
from toonify.convert import random_face
from toonify.models import MODELS, MobileStyleGAN
from toonify.models.mobile_stylegan import inverse_haar

BUNDLED = hub.BUNDLED / "portrait"
# `pip download --no-deps random-face==2021.7.21.1` gets it; these tests need no network with it.
WHEEL = os.environ.get("TOONIFY_RANDOM_FACE", "")
HAAR = (  # rows: the four pixels of a 2x2 cell; columns: low band and three details
    (0.5, 0.5, 0.5, 0.5),
    (0.5, 0.5, -0.5, -0.5),
    (0.5, -0.5, 0.5, -0.5),
    (0.5, -0.5, -0.5, 0.5),
)
TOY = dict(channels=(16, 16, 16, 8), heads=(16, 32), w_dim=16, z_dim=12, mapping_layers=2)


def toy(seed: int = 0) -> MobileStyleGAN:
    torch.manual_seed(seed)
    return MobileStyleGAN(**TOY).eval()


def test_inverse_haar_is_orthogonal_and_places_its_pixels():
    matrix = torch.tensor(HAAR)
    assert torch.equal(matrix @ matrix.T, torch.eye(4))
    bands = torch.zeros(1, 8, 1, 1)  # two images: low bands 0 and 1, then three details of each
    bands[0, 1] = 2.0  # low band of the second
    bands[0, 2] = 4.0  # first detail of the first: rows differ
    first, second = inverse_haar(bands)[0]
    assert second.tolist() == [[1, 1], [1, 1]]
    assert first.tolist() == [[2, 2], [-2, -2]]
    noise = torch.randn(2, 12, 5, 3)
    assert torch.allclose(inverse_haar(noise).square().sum(), noise.square().sum())


def test_sizes_layers_and_heads():
    network = toy()
    assert (network.resolution, network.num_ws) == (64, 3 * 3 + 2)
    w = network.mapping(torch.randn(2, 12))
    assert w.shape == (2, 16)
    ws = w[:, None].repeat(1, network.num_ws, 1)
    for side in (16, 32, 64):
        assert network.synthesis(ws, side).shape == (2, 3, side, side)
    with pytest.raises(ValueError, match="resolution=48"):
        network.synthesis(ws, 48)
    with pytest.raises(ValueError, match="noise='loud'"):
        network.synthesis(ws, noise="loud")


def test_each_layer_of_w_steers_something_and_small_images_ignore_later_ones():
    network = toy()
    ws = torch.randn(1, network.num_ws, 16, requires_grad=True)
    network.synthesis(ws).square().sum().backward()
    assert ws.grad.abs().sum(2).min() > 0
    ws.grad = None
    network.synthesis(ws, 16).square().sum().backward()
    silent = ws.grad.abs().sum(2)[0] == 0
    assert silent.nonzero().flatten().tolist() == list(range(4, network.num_ws - 1))


def test_first_layers_are_those_that_a_size_of_features_answers_to():
    network = toy()
    rows = [network.synthesis.first_layer(side) for side in (4, 8, 16, 32)]
    assert rows == [0, 1, 4, 7]
    ws = torch.randn(1, network.num_ws, 16)
    other = ws.clone()
    other[:, network.synthesis.first_layer(16) : -1] += 1
    assert torch.equal(network.synthesis(ws, 16), network.synthesis(other, 16))
    with pytest.raises(ValueError, match="side=64"):
        network.synthesis.first_layer(64)


def test_every_weight_gets_a_gradient_and_noise_is_fixed():
    network = toy()
    for head in (None, 16, 32):
        network(torch.randn(1, 12)).square().sum().backward()
        ws = torch.randn(1, network.num_ws, 16)
        network.synthesis(ws, head).square().sum().backward()
    still = [k for k, p in network.named_parameters() if p.requires_grad and p.grad is None]
    assert not still
    assert not [k for k, p in network.named_parameters() if p.requires_grad == ("noise" in k)]


@pytest.mark.parametrize("side", [16, 32, 64])
def test_an_image_reads_its_free_layers_and_the_last(side):
    network = toy()
    ws = torch.randn(1, network.num_ws, 16, requires_grad=True)
    network.synthesis(ws, side).square().sum().backward()
    read = (ws.grad[0].abs().amax(1) > 0).nonzero().flatten().tolist()
    assert read == [*range(network.synthesis.free_layers(side)), network.num_ws - 1]


def test_noise_modes():
    network = toy()
    for name, parameter in network.named_parameters():
        if name.endswith("noise.map"):
            parameter.data.normal_()
    ws = torch.randn(1, network.num_ws, 16)
    fixed = network.synthesis(ws)
    assert torch.equal(fixed, network.synthesis(ws))
    assert not torch.equal(fixed, network.synthesis(ws, noise="none"))
    torch.manual_seed(1)
    first = network.synthesis(ws, noise="random")
    assert not torch.equal(first, network.synthesis(ws, noise="random"))


def test_company_and_truncation_do_not_change_a_face():
    network = toy()
    network.mapping.w_avg.normal_()
    z = torch.randn(3, 12)
    with torch.inference_mode():
        assert torch.allclose(network(z)[1:2], network(z[1:2]), atol=1e-5)
        mean = network(z, truncation=0.0)
        assert torch.allclose(mean[0], mean[2])


def test_saved_and_loaded_it_draws_the_same(tmp_path):
    network = toy()
    network.save_pretrained(tmp_path)
    again = hub.load_model(tmp_path, MODELS)
    z = torch.randn(1, 12)
    with torch.inference_mode():
        assert torch.equal(network(z), again(z))


def test_the_bundled_base_draws_faces_and_keeps_the_published_sizes():
    network = hub.load_model(BUNDLED, MODELS)
    assert (network.resolution, network.num_ws) == (1024, 23)
    learned = ("synthesis.rgb128.", "synthesis.rgb256.")  # not in the published network
    state = network.state_dict()
    count = sum(v.numel() for k, v in state.items() if "synthesis" in k and learned[0] not in k)
    count -= sum(v.numel() for k, v in state.items() if learned[1] in k)
    assert round(count / 1e6, 2) == 8.01
    z = torch.randn(1, 512, generator=torch.Generator().manual_seed(4))
    with torch.inference_mode():
        w = network.mapping.w_avg.lerp(network.mapping(z), 0.7)
        face = network.synthesis(w[:, None].expand(-1, 23, -1), 256)
    from toonify import faces, images

    (found,) = faces.detect(images.to_pil(face))
    # In FFHQ crops eyes sit at 0.377 and 0.623 of the side, 0.469 down.
    assert np.allclose(found.points[:2] / 256, [(0.377, 0.469), (0.623, 0.469)], atol=0.03)


def fake_folder(folder: Path) -> Path:
    """A folder of files with the right names and sizes, and nothing in them."""
    folder.mkdir()
    for name, size in random_face.FILES.items():
        with open(folder / name, "wb") as file:
            file.truncate(size)
    return folder


def test_what_is_not_the_wheel_is_refused_with_a_reason(tmp_path):
    def refused(source, *words):
        with pytest.raises(random_face.ConversionError) as caught:
            random_face.convert(source)
        assert all(word in str(caught.value) for word in words), caught.value

    refused(tmp_path / "absent.whl", "absent.whl", "expected")
    (tmp_path / "broken.whl").write_bytes(b"PK\3\4 no more")
    refused(tmp_path / "broken.whl", "not a complete wheel")
    with zipfile.ZipFile(tmp_path / "other.whl", "w") as wheel:
        wheel.writestr("other/__init__.py", "raise SystemExit('code from the wheel ran')")
    refused(tmp_path / "other.whl", "not the random-face wheel", "MappingNetwork.xml")
    with zipfile.ZipFile(tmp_path / "short.whl", "w") as wheel:
        wheel.writestr("random_face/data/MappingNetwork.xml", "<net/>")
    refused(tmp_path / "short.whl", "6 bytes", "59,865")

    folder = fake_folder(tmp_path / "folder")
    refused(folder, "MappingNetwork.xml", "OpenVINO cannot read it")
    with open(folder / "SynthesisNetwork.bin", "r+b") as file:
        file.truncate(1000)
    refused(folder, "SynthesisNetwork.bin", "1,000 bytes", "truncated")
    (folder / "MappingNetwork.bin").unlink()
    refused(folder, "MappingNetwork.bin is missing")


@pytest.mark.skipif(not WHEEL, reason="TOONIFY_RANDOM_FACE names no random-face wheel")
class TestWheel:
    """Against the original files, which the project does not carry."""

    @pytest.fixture(scope="class")
    @classmethod
    def files(cls, tmp_path_factory):
        folder = tmp_path_factory.mktemp("wheel")
        with zipfile.ZipFile(WHEEL) as wheel:
            wheel.extractall(folder)
        return folder / "random_face" / "data"

    @pytest.fixture(scope="class")
    @classmethod
    def network(cls):
        return random_face.convert(WHEEL)

    def test_sixteen_faces_are_those_of_the_original(self, files, network):
        import openvino

        core, settings = openvino.Core(), {"INFERENCE_PRECISION_HINT": "f32"}
        mapping, synthesis = (
            core.compile_model(files / f"{name}Network.xml", "CPU", settings)
            for name in ("Mapping", "Synthesis")
        )
        z = torch.randn(16, 512, generator=torch.Generator().manual_seed(0))
        worst = 0.0
        for one in z.split(1):
            w = mapping([one.numpy()])[0]
            original = torch.from_numpy(synthesis([w])[0])
            with torch.inference_mode():
                own = network(one)
            worst = max(worst, float((own - original).abs().max()))
        print(f"maximum absolute error over 16 faces: {worst:.1e}")
        assert worst <= 2e-3

    def test_the_bundled_weights_are_these_in_half_precision(self, network):
        bundled = hub.load_model(BUNDLED, MODELS).state_dict()
        for key, value in network.state_dict().items():
            if not key.startswith(("synthesis.rgb128.", "synthesis.rgb256.")):
                assert torch.equal(bundled[key], value.half().float()), key

    @pytest.mark.parametrize("name", sorted(random_face.FILES))
    def test_damaged_files_are_refused(self, files, name, tmp_path):
        shutil.copytree(files, tmp_path / "data")
        damaged = tmp_path / "data" / name
        content = bytearray(damaged.read_bytes())
        if name.endswith(".xml"):
            content[200:230] = b"#" * 30
        else:
            content[-40_000:] = b"\xff" * 40_000  # not finite numbers
        damaged.write_bytes(content)
        with pytest.raises(random_face.ConversionError):
            random_face.convert(tmp_path / "data")


@pytest.mark.parametrize("corner", [(0, 0), (8, 24), (32, 0), (16, 32)])
def test_a_window_shows_what_the_whole_image_shows_there(corner):
    network = MobileStyleGAN(**TOY | {"channels": (16, 16, 16, 8, 8), "heads": ()}).eval()
    for noise in (m for m in network.synthesis.modules() if hasattr(m, "map")):
        torch.nn.init.normal_(noise.map)  # so that it matters where a window lies
    ws = torch.randn(2, network.num_ws, 16)
    whole = network.synthesis(ws)
    row, column = corner
    seen = network.synthesis.window(ws, row, column, 40)
    assert seen.shape == (2, 3, 40, 40)
    assert torch.allclose(seen, whole[..., row : row + 40, column : column + 40], atol=1e-5)
    with pytest.raises(ValueError, match="multiples of 8"):
        network.synthesis.window(ws, 4, 0, 40)
    with pytest.raises(ValueError, match="within 128"):
        network.synthesis.window(ws, 96, 0, 40)
