"""Fixtures of the tests of conversions."""

import pytest


@pytest.fixture
def canary(tmp_path, monkeypatch):
    """A file that must not appear."""
    path = tmp_path / "canary"
    monkeypatch.setenv("CANARY", str(path))
    yield path
    assert not path.exists()
