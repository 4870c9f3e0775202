"""The wheel: built, installed into an empty environment, and used from a folder elsewhere."""

import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def programs(tmp_path_factory) -> Path:
    """The folder of an environment's programs: the wheel, and the packages of this environment."""
    folder = tmp_path_factory.mktemp("package")
    pip = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check"]
    wheels = folder / "wheels"
    subprocess.run([*pip, "wheel", "--no-deps", "-w", wheels, ROOT], check=True)
    venv.create(folder / "env", symlinks=True)
    packages = next((folder / "env" / "lib").glob("python*/site-packages"))
    packages.joinpath("borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    python = ["--python", folder / "env" / "bin" / "python"]
    subprocess.run([*pip, *python, "install", "--no-deps", *wheels.glob("*.whl")], check=True)
    return folder / "env" / "bin"


def run(programs: Path, name: str, *words: str, cwd: Path) -> str:
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(
        [programs / name, *words], cwd=cwd, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_installed_command_draws_from_any_folder(programs, photo_path, tmp_path):
    where = run(programs, "python", "-c", "import toonify; print(toonify.__file__)", cwd=tmp_path)
    assert Path(where.strip()).is_relative_to(programs.parent)
    assert "comic" in run(programs, "toonify", "styles", cwd=tmp_path)
    run(programs, "toonify", "photo", str(photo_path), "-o", "toon.png", cwd=tmp_path)
    run(programs, "toonify", "generate", "-n", "4", "--seed", "7", "-o", "grid.png", cwd=tmp_path)
    with Image.open(photo_path) as photo, Image.open(tmp_path / "toon.png") as toon:
        assert toon.size == photo.size
    assert Image.open(tmp_path / "grid.png").width >= 256


def test_an_installed_package_knows_its_cards_examples_and_space(programs, tmp_path):
    script = (
        "from toonify.hub import BUNDLED, cards, space; from toonify.ui.components import EXAMPLES;"
        "print(all(p.is_file() for p in EXAMPLES), len(cards.make_card(BUNDLED / 'comic')) > 500,"
        "'app.py' in (files := space.files('ann/toonify')), 'toonify/__init__.py' in files,"
        "not any(name.startswith('toonify/project') for name in files))"
    )
    assert run(programs, "python", "-c", script, cwd=tmp_path).split() == ["True"] * 5
