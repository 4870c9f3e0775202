"""A new user's path: the commands of docs/training.md, in their order, at toy size."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.fixtures.forked import Program
from tests.fixtures.toy_data import options
from toonify import images

ROOT = Path(__file__).resolve().parents[2]
LAUNCHER = [sys.executable, "-m", "accelerate.commands.accelerate_cli"]


def commands(section: str) -> list[list[str]]:
    """The commands of a section's first block in docs/training.md."""
    text = (ROOT / "docs" / "training.md").read_text()
    block = re.search(rf"^## {section}$.*?^```$(.*?)^```$", text, re.M | re.S).group(1)
    return [shlex.split(line, comments=True) for line in block.strip().splitlines()]


def run(command: list[str], folder: Path) -> str:
    """Runs a documented command of `python` in `folder`; its output."""
    out, errors = folder / "out.txt", folder / "errors.txt"
    out.unlink(missing_ok=True)
    assert command[0] == "python"
    Program(command[1:], out, errors, folder=folder).finish()
    return out.read_text()


def launch(command: list[str], folder: Path, *more: str) -> None:
    """Runs a documented command of `accelerate` in `folder`, with more options."""
    arguments = [str(ROOT / a) if a.startswith("training/train_") else a for a in command[1:]]
    done = subprocess.run(
        [*LAUNCHER, *arguments, *more],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"{shlex.join(command)}\n{done.stdout}\n{done.stderr}"


@pytest.fixture
def two_folders(tmp_path) -> Path:
    """photos/ and pictures/, and a portrait to draw, as a user may have them."""
    rng = np.random.default_rng(0)
    faces = sorted((ROOT / "hub_cards" / "faces").glob("random_*.jpg"))[:4]
    for i, path in enumerate(faces):
        images.save(images.load(path).resize((160, 160)), tmp_path / f"photos/{i}.jpg")
    for i in range(5):
        blocks = Image.fromarray(rng.integers(0, 255, (4, 5, 3), np.uint8))
        picture = blocks.resize((100, 90), Image.Resampling.NEAREST)
        images.save(picture, tmp_path / f"pictures/{i}.png")
    images.save(images.load(faces[0]).resize((200, 220)), tmp_path / "portrait.jpg")
    return tmp_path


def test_from_two_folders_to_a_drawing_and_a_card(two_folders):
    report, train, draw, evaluate = commands("From two folders to a style")
    assert "5" in run(report, two_folders)
    toy = options(max_images=24, save_every_images=24)
    del toy[toy.index("--style") : toy.index("--style") + 2]  # the README's own stays
    launch(train, two_folders, *toy)
    run(draw, two_folders)
    toon = images.load(two_folders / "toon.png")
    assert toon.size == (200, 220)
    assert toon.tobytes() != images.load(two_folders / "portrait.jpg").tobytes()
    figures = json.loads(run(evaluate, two_folders))
    assert figures["photos"] == 4
    model = two_folders / "runs" / "mine" / "model"
    assert (model / "metrics.json").exists()
    assert "SSIM" in (model / "README.md").read_text()
    assert images.load(two_folders / "runs" / "mine" / "sheet.jpg").width > 0
