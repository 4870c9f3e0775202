"""StyleGAN2 as a pickle for NVlabs: their loader builds it, our reader takes it back."""

import json
import subprocess
import sys

import pytest
import torch
from safetensors.torch import save_file

from toonify import cli, hub
from toonify.convert import nvlabs_pickle, unpickling
from toonify.convert.persistent import SOURCE
from toonify.convert.stylegan2 import to_nvlabs
from toonify.hub import saving
from toonify.models import FACE_MODELS, StyleGAN2Generator
from training.gan.discriminators import StyleGAN2Discriminator

# What of NVlabs' repositories the file meets: the function that it calls, as their format says,
# and classes with their constructors' arguments, which remember what comes.
LOADER = """
import sys, types

def _reconstruct_persistent_obj(meta):
    assert meta["version"] == 6 and meta["type"] == "class"
    if "imported" not in sys.modules:
        sys.modules["imported"] = types.ModuleType("imported")
        exec(meta["module_src"], sys.modules["imported"].__dict__)
    module = sys.modules["imported"]
    network = module.__dict__[meta["class_name"]].__new__(module.__dict__[meta["class_name"]])
    network.__setstate__(meta["state"])
    return network
"""
NETWORKS = """
import torch

class Network(torch.nn.Module):
    def load_state_dict(self, state):
        self.found = state

class Generator(Network):
    def __init__(self, z_dim, c_dim, w_dim, img_resolution, img_channels,
                 mapping_kwargs={}, SYNTHESIS_KWARGS):
        super().__init__()
        self.arguments = [z_dim, c_dim, w_dim, img_resolution, img_channels]
        self.arguments += [mapping_kwargs, synthesis_kwargs]

class Discriminator(Network):
    def __init__(self, c_dim, img_resolution, img_channels, architecture="resnet",
                 channel_base=32768, channel_max=512, num_fp16_res=4, conv_clamp=256):
        super().__init__()
        self.arguments = [c_dim, img_resolution, img_channels, channel_base, channel_max]
        self.arguments += [conv_clamp, num_fp16_res]
"""
# The repositories' modules of these classes, and how the generator takes `synthesis_kwargs`.
REPOSITORIES = {
    "networks": "synthesis_kwargs={}",  # stylegan2-ada-pytorch
    "networks_stylegan2": "**synthesis_kwargs",  # stylegan3
}
OPENS = """
import copy, json, pickle, sys
held = pickle.load(open(sys.argv[1], "rb"))
assert held["G"] is held["G_ema"]
def describe(held):
    found = {name: getattr(net, "found", {}).items() for name, net in held.items()}
    return {name: {
        "arguments": net.arguments, "training": net.training,
        "tensors": {k: [list(v.shape), v.double().sum().item()] for k, v in found[name]},
    } for name, net in held.items()}
again = pickle.loads(pickle.dumps(copy.deepcopy(held)))
print(json.dumps([describe(held), describe(again)]))
"""


@pytest.fixture
def ours(tmp_path):
    """A folder with a StyleGAN2 and its critic, of other widths."""
    torch.manual_seed(4)
    network = StyleGAN2Generator(32, 6, 8, 2, 256, 16, conv_clamp=256.0)
    network.mapping.w_avg.normal_()
    folder = tmp_path / "ours"
    saving.write_weights(network, folder, True)
    (folder / hub.STYLE).write_text(json.dumps({"title": "Toy", "family": "stylegan"}))
    critic = StyleGAN2Discriminator(32, 512, 24).state_dict()
    save_file(critic, folder / "critic.safetensors")
    return folder, network, critic


def to_pickle(folder):
    out = folder.with_suffix(".pkl")
    assert cli.main(["convert", str(folder), str(out), "--to", "nvlabs"]) == 0
    return out


def opened(file, place, networks: str) -> list[dict]:
    """What a program of NVlabs' finds in the file and in its copy of it, without our code."""
    for package in ("torch_utils", "training", "dnnlib"):
        (place / package).mkdir(parents=True)
        (place / package / "__init__.py").touch()
    (place / "torch_utils" / "persistence.py").write_text(LOADER)
    (place / "dnnlib" / "__init__.py").write_text("class EasyDict(dict): pass")
    source = NETWORKS.replace("SYNTHESIS_KWARGS", REPOSITORIES[networks])
    (place / "training" / f"{networks}.py").write_text(source)
    run = subprocess.run(
        [sys.executable, "-c", OPENS, str(file)], cwd=place, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


@pytest.mark.parametrize("networks", REPOSITORIES)
def test_their_loader_builds_it_and_fills_it(ours, tmp_path, networks):
    folder, network, critic = ours
    out = to_pickle(folder)
    widths = {"channel_base": 256, "channel_max": 16, "conv_clamp": 256.0, "num_fp16_res": 0}
    for found in opened(out, tmp_path / "theirs", networks):
        assert found["G_ema"]["arguments"] == [6, 0, 8, 32, 3, {"num_layers": 2}, widths]
        assert found["D"]["arguments"] == [0, 32, 3, 512, 24, 256.0, 0]
        assert found["G_ema"]["training"] is False
        for name, state in (("G", network.state_dict()), ("D", critic)):
            expected = to_nvlabs(state, name)
            assert found[name]["tensors"].keys() == expected.keys()
            for key, tensor in expected.items():
                shape, total = found[name]["tensors"][key]
                assert shape == list(tensor.shape)
                assert total == pytest.approx(tensor.double().sum().item(), abs=1e-9), key


def test_taken_back_it_is_the_same_network(ours, tmp_path):
    folder, network, _ = ours
    assert cli.main(["convert", str(to_pickle(folder)), str(tmp_path / "back"), "--fp32"]) == 0
    again = hub.load_model(tmp_path / "back", FACE_MODELS)
    assert again.config.conv_clamp == 256.0
    z = torch.randn(2, 6)
    with torch.inference_mode():
        assert torch.equal(again(z), network.eval()(z))
    assert (tmp_path / "back" / "critic.safetensors").is_file()


def test_without_a_discriminator_theirs_is_untrained_and_a_note_says_so(ours, tmp_path, capsys):
    folder, _, _ = ours
    (folder / "critic.safetensors").unlink()
    out = to_pickle(folder)
    assert "D is untrained: there is no critic.safetensors" in capsys.readouterr().out
    found = opened(out, tmp_path / "theirs", "networks")[0]["D"]
    assert found["tensors"] == {} and found["arguments"] == [0, 32, 3, 256, 16, 256.0, 0]


def test_reading_it_runs_none_of_its_lines(ours, tmp_path):
    folder, _, _ = ours
    out = to_pickle(folder)
    bad = f"open({str(tmp_path / 'canary')!r}, 'w')  #".ljust(len(SOURCE), "x")[: len(SOURCE)]
    data = out.read_bytes().replace(SOURCE.encode(), bad.encode())
    assert data != out.read_bytes()
    out.write_bytes(data)
    assert set(nvlabs_pickle.networks(nvlabs_pickle.read(out))) == {"G", "D", "G_ema"}
    assert not (tmp_path / "canary").exists()


def test_other_values_than_tensors_are_refused():
    for held in ({"w": "x"}, {1: torch.ones(1)}, ["w"]):
        network = unpickling.Record("Generator", {}, {"tensors": held})
        with pytest.raises(ValueError, match="tensors of Generator"):
            list(nvlabs_pickle.tensors(network))
