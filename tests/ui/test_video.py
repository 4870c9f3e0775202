"""The tab of videos: its handlers as plain functions, and its name in the API."""

import threading
import time
from pathlib import Path

import gradio as gr
import pytest
from gradio_client import Client, handle_file

from tests.fixtures import toy_app
from tests.fixtures.toy_videos import make_video, pictures_of, sound_of, times_of
from toonify.ui import components, i18n, inputs
from toonify.ui.handlers import video

WANTED = ("toy", "best", "none", False)  # style, quality, faces, side by side


@pytest.fixture(scope="module")
def me(tmp_path_factory) -> str:
    """Ten frames of a third of a second, with sound."""
    return str(make_video(tmp_path_factory.mktemp("clips") / "me.mp4"))


@pytest.fixture
def handlers(cache, toys):
    return video.VideoHandlers(toy_app.STYLES, toys)


@pytest.fixture
def gate(monkeypatch):
    """Stops drawing before the third frame until it is opened; `gate.reached` says so."""

    class Gate:
        reached, opened = threading.Event(), threading.Event()

    draw = toy_app.ToyPipeline.draw

    def slow(self, *args):
        if len(self.drawn) == 2:
            Gate.reached.set()
            assert Gate.opened.wait(120)
        return draw(self, *args)

    monkeypatch.setattr(toy_app.ToyPipeline, "draw", slow)
    yield Gate
    Gate.opened.set()


@pytest.fixture
def heard(monkeypatch):
    """The progress shown to visitors: [(fraction, text)]."""
    said = []

    def listen(*progress):
        said.append(progress)

    monkeypatch.setattr(inputs, "track_progress", lambda *_: listen)
    return said


def asking(session: str) -> gr.Request:
    return gr.Request(session_hash=session)


def kept(cache) -> list[Path]:
    return list(cache.rglob("*"))


def until(true, seconds=120):
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


def in_background(function, *args):
    """A thread that runs it, and the list that gets its answer."""
    answers = []
    thread = threading.Thread(target=lambda: answers.append(function(*args)))
    thread.start()
    return thread, answers


def test_a_video_is_drawn_with_its_times_and_sound(handlers, toys, me, cache, heard):
    film, download, report = handlers.show(me, *WANTED, asking("a"))
    assert Path(film).name == "me-toy.mp4" and Path(film).is_relative_to(cache)
    assert times_of(film) == times_of(me) and sound_of(film) == sound_of(me)
    assert download == gr.update(value=film, interactive=True)
    assert report["value"].startswith("10 frames processed")
    assert len(toys.made["toy"].drawn) == 10
    assert [path for path in kept(cache) if path.is_file()] == [Path(film)]
    assert heard[-1][0] == 1.0 and heard[4][1].startswith("Frame 5 of 10, about ")
    assert handlers.jobs == {}


def test_options_reach_the_video(handlers, toys, me):
    film = handlers.toonify_video(me, "toy", "fast", "none", True)
    assert pictures_of(Path(film))[0].shape == (64, 192, 3)
    assert toys.fast["toy"].drawn and not toys.made


def test_what_cannot_be_drawn_is_refused_before_waiting(handlers, toys, me, monkeypatch):
    def refused(*args):
        with pytest.raises(gr.Error) as error:
            handlers.show(*args, asking("a"))
        assert str(Path(me).parent) not in error.value.message
        assert not error.value.print_exception
        return error.value.message

    assert "Choose a video" in refused(None, *WANTED)
    assert "Upload the video" in refused(b"bytes", *WANTED)
    assert "expected a video" in refused(str(components.EXAMPLES[0]), *WANTED)
    assert "Unknown style 'oil'" in refused(me, "oil", "best", "none", False)
    assert "faces only" in refused(me, "mask", "best", "none", False)
    assert "no fast generator" in refused(me, "mask", "fast", "all", False)
    handlers.max_seconds = 0.2
    assert "expected at most 0.2 s" in refused(me, *WANTED)
    monkeypatch.setattr(video, "MAX_BYTES", 1000)
    assert "expected at most 0 MB" in refused(me, *WANTED)
    assert not toys.made


def test_a_video_that_does_not_say_how_long_it_is_is_stopped_there(handlers, toys, me, cache):
    """A camera's recording has no length in its header."""
    handlers.check = lambda source: None
    handlers.max_seconds = 0.1
    with pytest.raises(gr.Error, match=r"'me\.mp4 is too long: expected at most 0\.1 seconds"):
        handlers.show(me, *WANTED, asking("a"))
    assert not kept(cache)


def test_stop_ends_the_work_and_leaves_nothing(handlers, toys, me, cache, gate, monkeypatch):
    reported = []
    monkeypatch.setattr(i18n, "show_info", reported.append)
    thread, answers = in_background(handlers.show, me, *WANTED, asking("a"))
    assert gate.reached.wait(120)
    assert handlers.begin().visible
    assert handlers.stop(asking("somebody else")) == gr.skip()
    assert not handlers.stop(asking("a")).interactive
    gate.opened.set()
    thread.join(120)
    assert answers == [handlers.clear()] and "Nothing was saved" in reported[0]
    assert len(toys.made["toy"].drawn) < 10
    assert not kept(cache) and handlers.jobs == {}


def test_videos_wait_for_each_other_and_only_a_few(handlers, toys, me, cache, gate, heard):
    first, _ = in_background(handlers.show, me, *WANTED, asking("0"))
    assert gate.reached.wait(120)
    others = []
    for number in range(1, video.MAX_VIDEOS):
        others.append(in_background(handlers.show, me, *WANTED, asking(f"{number}")))
        until(lambda number=number: (0.0, f"Waiting: {words(number)} ahead of yours") in heard)
    with pytest.raises(gr.Error, match="videos are in progress or waiting"):
        handlers.show(me, *WANTED, asking("late"))
    for number in range(1, video.MAX_VIDEOS):
        handlers.leave(asking(f"{number}"))
    for thread, answers in others:
        thread.join(120)
        assert answers == [handlers.clear()]
    gate.opened.set()
    first.join(120)
    assert len(toys.made["toy"].drawn) == 10
    assert [path.name for path in kept(cache) if path.is_file()] == ["me-toy.mp4"]


def words(count: int) -> str:
    return "1 video" if count == 1 else f"{count} videos"


def test_a_failure_leaves_nothing_behind(handlers, me, cache, monkeypatch):
    def fail(self, *args):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(toy_app.ToyPipeline, "draw", fail)
    with pytest.raises(RuntimeError):
        handlers.show(me, *WANTED, asking("a"))
    assert not kept(cache) and handlers.jobs == {}


def test_work_ends_with_its_time(handlers, me, cache, monkeypatch):
    monkeypatch.setattr(video, "MAX_WORK_S", -1)
    with pytest.raises(gr.Error, match="Stopped after"):
        handlers.toonify_video(me, "toy", faces="none")
    assert not kept(cache)


def test_photos_are_drawn_while_a_video_is(cache, toys, me, gate, tmp_path):
    with toy_app.served(toys) as url:
        client = Client(url, verbose=False, download_files=tmp_path / "client")
        clip = client.submit(handle_file(me), "toy", faces="none", api_name="/clip")
        assert gate.reached.wait(120)
        photo = client.predict(handle_file(components.EXAMPLES[0]), "toy", api_name="/toonify")
        assert Path(photo).suffix == ".png" and not clip.done()
        gate.opened.set()
        drawn = clip.result(timeout=120)
        assert Path(drawn).name == "me-toy.mp4" and len(times_of(drawn)) == 10
