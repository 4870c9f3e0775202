"""`--resume` takes the settings of the run; what a run cannot change is refused by name."""

import json
import re

import pytest
from accelerate.state import AcceleratorState

from tests.fixtures.toy_data import write_pairs
from training.core.config import SETTINGS
from training.train_animegan import main

TOY = (
    *("--style", "toy", "--width", "4", "--depth", "1", "--d-width", "4", "--batch", "2"),
    *("--crop-sizes", "0:32", "--max-images", "4", "--init-images", "2", "--lr-init", "0.001"),
    *("--save-every-images", "2", "--sample-every-images", "4", "--precision", "fp32"),
    *("--trackers", "none"),
)


@pytest.fixture
def begun(tmp_path, capsys):
    """The folder of a run that has ended, and its data."""
    AcceleratorState._reset_state(reset_partial_state=True)  # of another precision, maybe
    data = write_pairs(tmp_path / "data")
    out = tmp_path / "run"
    main(["--preset", "paired", "--data", str(data), "--out", str(out), *TOY])
    capsys.readouterr()
    return out


def test_a_run_is_resumed_by_its_folder_alone(begun, capsys):
    before = json.loads((begun / SETTINGS).read_text())
    assert before["preset"] == "paired" and before["lr_init"] == 0.001
    main(["--resume", "--out", str(begun), "--max-images", "8"])
    assert "From now on --max-images 8 instead of 4" in capsys.readouterr().out
    after = json.loads((begun / SETTINGS).read_text())
    assert after == before | {"max_images": 8}
    assert json.loads((begun / "log.jsonl").read_text().splitlines()[-1])["images"] == 8


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--width", "8"], r"--width 8: the run in .* has 4, which a resumed run keeps"),
        (["--preset", "unpaired"], r"--preset unpaired: the run in .* has preset paired"),
        (["--batch", "x"], r"--batch x: expected a whole number"),
    ],
)
def test_what_cannot_change_is_refused_by_name(words, message, begun, capsys):
    before = (begun / SETTINGS).read_bytes()
    with pytest.raises(SystemExit, match="2"):
        main(["--resume", "--out", str(begun), *words])
    assert re.search(message, capsys.readouterr().err)
    assert (begun / SETTINGS).read_bytes() == before


def test_settings_of_older_versions_are_read(begun):
    content = json.loads((begun / SETTINGS).read_text())
    del content["preset"], content["augment"]
    content |= {"licence": content.pop("license"), "gone": 1, "upsample": "tf"}
    (begun / SETTINGS).write_text(json.dumps(content))
    main(["--resume", "--preset", "paired", "--out", str(begun), "--max-images", "6"])
    after = json.loads((begun / SETTINGS).read_text())
    assert after["upsample"] == "tf1" and "gone" not in after and after["augment"] is False


def test_a_damaged_file_of_settings_is_named(begun, capsys):
    (begun / SETTINGS).write_text('{"width"')
    with pytest.raises(SystemExit, match="2"):
        main(["--resume", "--out", str(begun)])
    assert f"{SETTINGS}: not a JSON object" in capsys.readouterr().err
