"""Bundled weights are those whose hashes are listed, and others are not opened."""

import shutil

import pytest

from toonify import hub
from toonify.cli.main import FAILED, main
from toonify.hub import checksums, space
from toonify.models import MODELS

REFRESH = "weights were replaced: run `python -m release.checksums` and commit SHA256SUMS"


@pytest.fixture
def bundled(tmp_path, make_style, use_bundled):
    """A folder that stands for `toonify/weights`, with a toy style and a list."""
    make_style(tmp_path / "weights" / "toy")
    folder = tmp_path / "weights"
    write_list(folder)
    use_bundled(folder)
    return folder


def write_list(folder) -> None:
    text = checksums.format_list(folder, checksums.find_listed(folder))
    (folder / checksums.LIST).write_text(text)


def flip(file, at: int = -1) -> None:
    data = bytearray(file.read_bytes())
    data[at] ^= 1
    file.write_bytes(data)


def test_the_bundled_weights_are_as_listed():
    assert checksums.find_changes(hub.BUNDLED) == {}, REFRESH


def test_every_bundled_network_and_direction_is_listed():
    listed = checksums.read_list(hub.BUNDLED)
    files = [p for p in hub.BUNDLED.rglob("*") if p.name.endswith((".safetensors", "config.json"))]
    assert len(files) > 10
    assert {path.relative_to(hub.BUNDLED).as_posix() for path in files} <= set(listed), REFRESH


@pytest.mark.parametrize("name", ["config.json", hub.WEIGHTS[0]])
def test_a_bundled_file_with_a_flipped_bit_is_not_opened(bundled, name):
    hub.load_model(bundled / "toy", MODELS)
    flip(bundled / "toy" / name)
    with pytest.raises(ValueError, match="damaged or was changed") as error:
        hub.load_model(bundled / "toy", MODELS)
    assert str(bundled / "toy" / name) in str(error.value)


def test_directions_with_a_flipped_bit_are_not_opened(tmp_path, toy_faces, use_bundled):
    from toonify import ToonGANPipeline

    folder = shutil.copytree(toy_faces, tmp_path / "weights" / "faces")
    write_list(tmp_path / "weights")
    use_bundled(tmp_path / "weights")
    assert ToonGANPipeline.from_pretrained("faces", device="cpu").directions
    flip(folder / hub.DIRECTIONS)
    with pytest.raises(ValueError, match=r"directions\.safetensors: its sha256"):
        ToonGANPipeline.from_pretrained("faces", device="cpu")


def test_other_folders_and_new_styles_are_opened_without_a_hash(bundled, tmp_path, make_style):
    hub.load_model(make_style(bundled / "new"), MODELS)
    copy = shutil.copytree(bundled / "toy", tmp_path / "mine")
    flip(copy / hub.WEIGHTS[0])
    hub.load_model(copy, MODELS)


def test_the_command_names_what_changed(bundled, make_style, capsys):
    assert main(["styles", "--check"]) == 0 and "as listed" in capsys.readouterr().out
    flip(bundled / "toy" / hub.WEIGHTS[0])
    (bundled / "toy" / "config.json").unlink()
    make_style(bundled / "new")
    assert main(["styles", "--check"]) == FAILED
    printed = capsys.readouterr().out.splitlines()
    assert f"toy/{hub.WEIGHTS[0]}: changed" in printed and "toy/config.json: missing" in printed
    assert "new/config.json: not listed" in printed


@pytest.mark.parametrize("text", ["", "abc  name\n", "../../etc/passwd"])
def test_a_damaged_list_is_named(bundled, capsys, text):
    (bundled / checksums.LIST).write_text(text)
    assert main(["styles", "--check"]) == FAILED
    assert f"{checksums.LIST}" in capsys.readouterr().err


def test_a_space_has_the_list():
    assert f"toonify/weights/{checksums.LIST}" in space.files("ann/toonify")
