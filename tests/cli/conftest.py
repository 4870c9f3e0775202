"""What the tests of the commands share."""

import pytest

from toonify import cli
from toonify.pipelines import animegan


@pytest.fixture
def usage(capsys):
    """A function that runs a command with wrong usage, and returns the message."""

    def message(*words):
        with pytest.raises(SystemExit) as error:
            cli.main([*map(str, words)])
        assert error.value.code == 2
        return capsys.readouterr().err.splitlines()[-1]

    return message


@pytest.fixture
def unopened(monkeypatch):
    """Opening a pipeline fails the test."""
    fail = {"from_pretrained": staticmethod(lambda *_, **__: pytest.fail("opened a pipeline"))}
    monkeypatch.setattr(animegan, "AnimeGANPipeline", type("Unopened", (), fail))
