"""Names of earlier versions: options, presets, classes and settings of saved networks."""

import json
from pathlib import Path

import pytest
import torch
from accelerate.state import AcceleratorState

from tests.fixtures.toy_data import DCGAN_TOY, options, write_faces
from toonify import hub
from toonify.models import NOISE_MODELS, DCGANGenerator, Encoder, ToonGANGenerator
from training import train_toongan
from training.animegan.config import ANIMEGAN_PRESETS, DISTILL_PRESETS
from training.core import cli
from training.core.config import OLD_PRESETS, OLD_SETTINGS, known_settings, resolve
from training.encoder.config import ENCODER_PRESETS
from training.stylegan.config import STYLEGAN_PRESETS
from training.toongan.config import TOONGAN_PRESETS

OLD = Path(__file__).resolve().parents[2] / "fixtures" / "old"
TRAININGS = (ANIMEGAN_PRESETS, DISTILL_PRESETS, ENCODER_PRESETS, STYLEGAN_PRESETS, TOONGAN_PRESETS)


def test_old_options_set_the_new_ones_with_a_warning(capsys):
    tried = set()
    for presets in TRAININGS:
        for old, new in OLD_SETTINGS.items():
            if new not in known_settings(presets):
                continue
            option, preset = "--" + old.replace("_", "-"), next(iter(presets))
            _, parsed = cli.parse(["--preset", preset, option, "7"], "", presets)
            assert getattr(parsed, new) == "7"
            renamed = f"DeprecationWarning: {option} is now --{new.replace('_', '-')}\n"
            assert capsys.readouterr().err == renamed
            tried.add(old)
    assert tried == set(OLD_SETTINGS)


@pytest.mark.parametrize(("old", "new"), OLD_PRESETS.items())
def test_old_presets_are_the_new_ones_with_a_warning(old, new, capsys):
    (presets,) = [presets for presets in TRAININGS if new in presets]
    assert cli.parse(["--preset", old], "", presets)[1].preset == new
    assert capsys.readouterr().err == f"DeprecationWarning: --preset {old} is now {new}\n"


def test_old_upsampling_modes_are_the_new_ones_with_a_warning(capsys):
    _, parsed = cli.parse(
        ["--preset", "paired", "--out", "x", "--upsample", "half"], "", TRAININGS[0]
    )
    assert resolve(parsed, ANIMEGAN_PRESETS).upsample == "half_pixel"
    assert capsys.readouterr().err == "DeprecationWarning: --upsample half is now half_pixel\n"


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        ("dcgan", DCGANGenerator, "the class 'SeedGenerator' is now called 'DCGANGenerator'"),
        ("toongan", ToonGANGenerator, "the setting 'variants' is now called 'num_classes'"),
    ],
)
def test_networks_that_earlier_versions_saved_open_with_a_warning(name, kind, message):
    with pytest.warns(DeprecationWarning, match=message):
        network = hub.load_model(OLD / name, NOISE_MODELS)
    assert isinstance(network, kind)
    with pytest.warns(DeprecationWarning) if name == "toongan" else torch.no_grad():
        again = kind.from_pretrained(OLD / name).eval()
    z = torch.randn(2, network.config.z_dim)
    with torch.no_grad():
        assert torch.equal(network(z), again(z))


def test_an_encoder_with_free_rows_opens_with_a_warning(tmp_path):
    shape = dict(num_ws=4, w_dim=8, hidden=8, width=4, linear=4, squeezed=4)
    Encoder(free_layers=2, **shape).save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config["free_rows"] = config.pop("free_layers")
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.warns(DeprecationWarning, match="the setting 'free_rows' is now called"):
        network = hub.load_model(tmp_path, {"encoder": Encoder})
    assert network.layer_of.tolist() == [0, 1, 2, 2]


def test_a_run_of_old_options_continues_with_new_ones(tmp_path, capsys):
    faces, out = write_faces(tmp_path / "faces"), tmp_path / "run"
    toy = {**DCGAN_TOY, "data": faces, "out": out}
    old = {"critic_channels" if k == "d_channels" else k: v for k, v in toy.items()}
    AcceleratorState._reset_state(reset_partial_state=True)
    train_toongan.main(["--preset", "seed", *options(old, max_images=8)])
    assert "DeprecationWarning: --critic-channels" in capsys.readouterr().err
    AcceleratorState._reset_state(reset_partial_state=True)
    train_toongan.main(["--preset", "dcgan", *options(toy), "--resume"])
    assert "16 images in" in capsys.readouterr().out
