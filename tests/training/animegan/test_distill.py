"""A toon generator becomes a style of one forward pass: pairs are drawn, then AnimeGANv2 learns."""

import numpy as np
import pytest
from accelerate.state import AcceleratorState

from tests.training.prepare.test_toon_pairs import Drawn
from toonify import images
from toonify.pipelines.animegan import AnimeGANPipeline
from training.animegan import distill
from training.prepare import toon_pairs

TOY = (
    *("--faces", "4", "--pair-px", "96", "--width", "4", "--depth", "1", "--d-width", "4"),
    *("--batch", "2", "--max-images", "8", "--init-images", "4", "--crop-sizes", "0:32"),
    *("--save-every-images", "4", "--decay-images", "0", "--trackers", "none"),
    *("--precision", "fp32", "--start-from", ""),
)


@pytest.fixture(autouse=True)
def drawn(monkeypatch):
    monkeypatch.setattr(toon_pairs, "People", lambda *_: Drawn())
    AcceleratorState._reset_state(reset_partial_state=True)


def test_pairs_are_drawn_and_a_style_comes_out_and_a_stopped_run_goes_on(tmp_path, capsys):
    out = tmp_path / "run"
    distill.main(["--toon", "toy", "--out", str(out), *TOY])
    assert "8 images" in capsys.readouterr().out
    assert len(list((out / "pairs" / "train_photo").glob("*.png"))) == 4
    photo = images.load(out / "pairs" / "train_photo" / "toy_0_000000.png")
    toon = AnimeGANPipeline.from_pretrained(out / "model", device="cpu")(photo)
    assert toon.image.size == photo.size and np.asarray(toon.image).std() > 0
    with pytest.raises(SystemExit):
        distill.main(["--toon", "toy", "--out", str(out), *TOY])
    assert "add --resume" in capsys.readouterr().err
    distill.main(["--toon", "toy", "--out", str(out), *TOY, "--max-images", "12", "--resume"])
    assert "12 images" in capsys.readouterr().out


def test_dry_run_touches_nothing(tmp_path, capsys):
    distill.main(["--toon", "toy", "--out", str(tmp_path / "run"), *TOY, "--dry-run"])
    printed = capsys.readouterr().out
    assert "crop_sizes" in printed and "toy" in printed
    assert not (tmp_path / "run").exists()
