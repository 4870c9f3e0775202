"""Checkpoints: a damaged one is named, and an older one is used."""

import warnings

import pytest
import torch
from accelerate import Accelerator

from training.core import checkpoint, trainer


@pytest.fixture
def run(tmp_path):
    """A run with three checkpoints, after 4, 8 and 12 images."""
    accelerator = Accelerator(cpu=True)
    network = accelerator.prepare(torch.nn.Linear(3, 3))
    for images in (4, 8, 12):
        checkpoint.save_checkpoint(accelerator, tmp_path, images, keep=3)
    assert network.weight.shape == (3, 3)
    return tmp_path


def flip(folder, name: str = "model.safetensors") -> None:
    data = bytearray((folder / name).read_bytes())
    data[-1] ^= 1
    (folder / name).write_bytes(data)


def test_the_newest_sound_checkpoint_is_resumed(run):
    old, newer, newest = checkpoint.checkpoints(run)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert trainer.check_run(run, resume=True) == newest
    flip(newest)
    with pytest.warns(UserWarning, match=r"000000012 is damaged.*model.safetensors has changed"):
        assert trainer.check_run(run, resume=True) == newer
    (newer / "random_states_0.pkl").unlink()
    with pytest.warns(UserWarning, match=r"000000008 is damaged.*random_states_0.pkl is missing"):
        assert trainer.check_run(run, resume=True) == old


def test_a_run_whose_checkpoints_are_all_damaged_stops(run):
    for folder in checkpoint.checkpoints(run):
        flip(folder)
    with pytest.warns(UserWarning), pytest.raises(ValueError, match="every checkpoint in"):
        trainer.check_run(run, resume=True)


def test_a_damaged_checkpoint_is_not_kept_in_place_of_a_new_one(run):
    """The run goes on from 8 images; what it saves at 10 must outlive the damaged one at 12."""
    flip(checkpoint.checkpoints(run)[-1])
    checkpoint.save_checkpoint(Accelerator(cpu=True), run, 10, keep=1)
    assert [path.name for path in checkpoint.checkpoints(run)] == ["000000010"]


def test_checkpoints_of_earlier_versions_are_taken_as_they_are(run):
    newest = checkpoint.checkpoints(run)[-1]
    (newest / checkpoint.checksums.LIST).unlink()
    flip(newest)
    assert checkpoint.find_sound_checkpoint(run) == newest
