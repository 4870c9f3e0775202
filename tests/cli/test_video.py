"""`python -m toonify video`: what is drawn, what is left alone, and the messages."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.fixtures.toy_videos import make_video, times_of
from tests.unit.pipelines.test_animegan import STYLE, pipeline
from toonify import cli
from toonify.pipelines import animegan, video

ROOT = Path(__file__).parents[2]


@pytest.fixture
def toy(monkeypatch):
    """The pipeline of every style turns images into negatives; the shapes it was given."""
    draw, shapes = pipeline(lambda batch: -batch, STYLE)
    opened = {"from_pretrained": staticmethod(lambda style, device, quality: draw)}
    monkeypatch.setattr(animegan, "AnimeGANPipeline", type("Opened", (), opened))
    monkeypatch.setattr(video, "find_faces", lambda photo: [])
    return shapes


@pytest.fixture
def clip(tmp_path):
    return make_video(tmp_path / "clip.mp4")


def run(*words):
    return cli.main(["video", *map(str, words)])


def test_a_video_is_drawn_and_summed_up(tmp_path, clip, toy, capsys):
    target = tmp_path / "out.mp4"
    assert run(clip, target, "--measure", "--max-height", 48, "--no-stabilize") == 0
    assert times_of(target) == times_of(clip) and set(toy) == {(1, 3, 48, 72)}
    out, error = capsys.readouterr()
    assert "10 frames, 0.33 s; " in out and " times the source's" in out
    assert "frame/s" not in error  # no bar where nobody watches


def test_what_is_there_is_skipped_without_opening_a_pipeline(tmp_path, clip, unopened, capsys):
    target = tmp_path / "out.mp4"
    target.write_bytes(b"old")
    assert run(clip, target) == 0
    assert "--overwrite draws it again" in capsys.readouterr().out
    assert target.read_bytes() == b"old"


def test_overwrite_draws_again(tmp_path, clip, toy):
    target = tmp_path / "out.mp4"
    target.write_bytes(b"old")
    assert run(clip, target, "--overwrite") == 0
    assert times_of(target) == times_of(clip)


def test_what_people_should_know_goes_to_stderr(tmp_path, clip, toy, capsys):
    assert run(clip, tmp_path / "out.gif") == 0
    assert "note: .gif has no sound: it is left out" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words, message",
    [
        (("missing.mp4", "out.mp4"), "missing.mp4: there is no such file"),
        (("clip.mp4", "out.txt"), "ends in '.txt': expected one of .mp4"),
        (("clip.mp4", "clip.mp4", "--overwrite"), "is the video itself"),
        (("clip.mp4", "out.mp4", "--crf", "99"), "'--crf': 99 is not in the range 0<=x<=51"),
        (
            ("clip.mp4", "out.mp4", "--strength", "2"),
            "'--strength': 2.0 is not in the range 0<=x<=1",
        ),
        (
            ("clip.mp4", "out.mp4", "--max-height", "4"),
            "'--max-height': 4 is not in the range x>=16",
        ),
        (("clip.mp4", "folder.mp4"), "is a folder"),
    ],
)
def test_usage_errors(tmp_path, monkeypatch, clip, unopened, usage, words, message):
    monkeypatch.chdir(tmp_path)
    Path("folder.mp4").mkdir()
    assert message in usage("video", *words)


def test_what_is_no_video_is_a_failure(tmp_path, unopened, capsys):
    source = tmp_path / "text.mp4"
    source.write_text("no film at all")
    assert run(source, tmp_path / "out.mp4") == 1
    assert "text.mp4: not a video that can be read" in capsys.readouterr().err


def test_a_wrong_style_is_a_usage_error(tmp_path, clip, usage):
    target = tmp_path / "out.mp4"
    assert "nothing-like-it" in usage("video", clip, target, "--style", "nothing-like-it")


@pytest.mark.parametrize(
    "raised, status, reported",
    [
        (MemoryError(), 1, "out of memory"),
        (RuntimeError("no room\nat all"), 1, "python -m toonify: no room\n"),
        (OSError(28, "No space left on device"), 1, "No space left on device"),
        (KeyboardInterrupt(), 130, "the same command continues from here"),
    ],
)
def test_failures_are_reported(tmp_path, monkeypatch, clip, toy, capsys, raised, status, reported):
    def fail(*_, **__):
        raise raised

    monkeypatch.setattr(video, "draw_video", fail)
    assert run(clip, tmp_path / "out.mp4") == status
    assert reported in capsys.readouterr().err


def test_a_wrong_path_is_reported_before_torch_is_loaded(tmp_path):
    script = f"""
import sys
from toonify import cli
status = cli.main(["video", {str(tmp_path / "a.txt")!r}, "b.mp4"])
sys.exit(9 if "torch" in sys.modules else status)
"""
    (tmp_path / "a.txt").write_text("no film")
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, stderr=subprocess.PIPE)
    assert done.returncode == 1
