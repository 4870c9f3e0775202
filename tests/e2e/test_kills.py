"""SIGKILL while files of every kind are written: what is there is whole, old or new.

Each kind is killed before every step that it takes on the disk. `TOONIFY_KILLS` says how often it
is killed at random moments too. Before a release, 200 times:

    TOONIFY_KILLS=200 python -m pytest tests/e2e/test_kills.py
"""

import os
import subprocess
import sys

import pytest

from tests.conftest import ROOT
from tests.fixtures import kill_kinds

KILLS = os.environ.get("TOONIFY_KILLS", "4")
pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="forks processes"),
]


@pytest.mark.parametrize("kind", kill_kinds.KINDS)
def test_what_a_killed_process_leaves_is_whole(tmp_path, kind):
    command = [sys.executable, "-m", "tests.fixtures.kill_kinds", kind, str(tmp_path), KILLS]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=540)
    assert done.returncode == 0, done.stderr[-3000:]
    killed = int(done.stdout.split()[-1])
    assert killed >= kill_kinds.FEWEST_STEPS[kind], done.stdout


def test_a_torn_writer_is_noticed(tmp_path):
    """A writer that is not atomic fails the same check."""
    command = [sys.executable, "-m", "tests.fixtures.kill_kinds", "torn", str(tmp_path), "0"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=540)
    assert done.returncode != 0 and "AssertionError" in done.stderr
