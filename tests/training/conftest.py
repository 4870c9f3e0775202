"""What the tests of training share."""

import pytest

from training.animegan import objective as animegan
from training.gan import objective as gan

FULL_GRIDS = [(animegan, "SAMPLE_PX", animegan.SAMPLE_PX), (gan, "SAMPLES", gan.SAMPLES)]


@pytest.fixture(scope="module", autouse=True)
def small_sample_grids():
    """Small sample grids: a full one takes as long as all steps of a toy run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(animegan, "SAMPLE_PX", 64)
        patch.setattr(gan, "SAMPLES", 8)
        yield


@pytest.fixture
def full_sample_grids(monkeypatch):
    """Sample grids of the size that users get."""
    for module, name, value in FULL_GRIDS:
        monkeypatch.setattr(module, name, value)
