"""SIGKILL while files of every kind are written: what is there is whole, old or new.

Each kind is killed before every step that it takes on the disk. `TOONIFY_KILLS` says how often it
is killed at random moments too. Before a release, 200 times:

    TOONIFY_KILLS=200 python -m pytest tests/e2e/test_kills.py
"""

import os
from pathlib import Path

import pytest

from tests.fixtures import kill_kinds
from tests.fixtures.forked import Program

KILLS = os.environ.get("TOONIFY_KILLS", "4")
pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="forks processes"),
]


@pytest.mark.parametrize("kind", kill_kinds.KINDS)
def test_what_a_killed_process_leaves_is_whole(tmp_path, kind):
    if kind == "photos" and "TOONIFY_KILLS" not in os.environ:
        pytest.skip("a command for each kill: with TOONIFY_KILLS")
    code, out, errors = kill(kind, tmp_path, KILLS)
    assert code == 0, errors[-3000:]
    assert int(out.split()[-1]) >= kill_kinds.FEWEST_STEPS[kind], out


def test_a_torn_writer_is_noticed(tmp_path):
    """A writer that is not atomic fails the same check."""
    code, _, errors = kill("torn", tmp_path, "0")
    assert code != 0 and "AssertionError" in errors


def kill(kind: str, folder: Path, kills: str) -> tuple[int, str, str]:
    """Exit code, output and errors of the program that kills writers of one kind."""
    out, errors, written = (folder / name for name in ("out.txt", "errors.txt", "written"))
    written.mkdir()
    program = Program(["-m", "tests.fixtures.kill_kinds", kind, written, kills], out, errors)
    return program.wait(540), out.read_text(), errors.read_text()
