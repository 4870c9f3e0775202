"""The tab that draws a camera: sizes, sessions, turns, and frames that are dropped and not kept."""

import base64
import dataclasses
import io
import itertools
import json
import threading
import time

import gradio as gr
import httpx
import pytest
from PIL import Image

from tests.fixtures import toy_app
from toonify.ui import components
from toonify.ui.handlers import live
from toonify.ui.queueing import SHARES, Share, Turns

FILE = {"_type": "gradio.FileData"}


@pytest.fixture
def handlers(cache, toys):
    return live.LiveHandlers(toy_app.STYLES, toys)


@pytest.fixture
def clock(monkeypatch):
    """The time of sessions; `clock.now` can be set."""

    class Clock:
        now = 1000.0
        perf_counter = time.perf_counter

        def monotonic(self):
            return self.now

    clock = Clock()
    monkeypatch.setattr(live, "time", clock)
    return clock


def asking(session: str) -> gr.Request:
    return gr.Request(session_hash=session)


def frame(width=480, height=360) -> bytes:
    encoded = io.BytesIO()
    Image.linear_gradient("L").resize((width, height)).convert("RGB").save(encoded, "JPEG")
    return encoded.getvalue()


def url_of(jpeg: bytes) -> str:
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"


def picture(url: str) -> Image.Image:
    kind, _, content = url.partition(",")
    assert kind == "data:image/jpeg;base64"
    return Image.open(io.BytesIO(base64.b64decode(content)))


# Handlers -------------------------------------------------------------------------------------


def test_a_frame_becomes_a_small_drawing_by_the_fast_generator_and_no_file(handlers, toys, cache):
    url, report = handlers.show(frame(), "toy", asking("a"))
    assert picture(url).size == (256, 192)
    assert report == gr.update(value="256 × 192 px", visible=True)
    [call] = toys.fast["toy"].calls
    assert call == {"faces": "none", "strength": 1.0, "keep_color": False} and not toys.made
    handlers.show(frame(), "toy", asking("a"))
    assert "frames per second · 256" in handlers.show(frame(), "toy", asking("a"))[1]["value"]
    assert not cache.exists()


@pytest.mark.parametrize(("patch", "largest"), [(1, 256), (2, 480)])
def test_a_network_on_blocks_of_pixels_may_draw_larger_frames(
    patch, largest, handlers, monkeypatch
):
    slow = dataclasses.replace(handlers.styles["toy"], fast=False)
    monkeypatch.setitem(handlers.styles, "toy", slow)
    monkeypatch.setattr(toy_app.ToyPipeline, "patch", patch)
    handlers.show(frame(), "toy", asking("a"))
    [session] = handlers.sessions.values()
    [size] = session.sizes.values()
    assert size.sides[-1] == largest


def test_small_frames_are_not_made_larger_and_tall_ones_stay_tall(handlers):
    assert picture(handlers.show(frame(80, 60), "toy", asking("a"))[0]).size == (80, 60)
    assert picture(handlers.show(frame(300, 600), "toy", asking("a"))[0]).size == (192, 384)


def test_what_is_no_frame_is_refused_in_words(handlers, monkeypatch):
    assert handlers.show(None, "toy", asking("a")) == gr.skip()
    with pytest.raises(gr.Error, match="expected a photo"):
        handlers.show(b"hello " * 40, "toy", asking("a"))
    with pytest.raises(
        gr.Error, match="Unknown style 'mask'"
    ):  # it draws faces, which nobody looks for
        handlers.show(frame(), "mask", asking("a"))
    monkeypatch.setattr(live, "MAX_FRAME_BYTES", 1000)
    with pytest.raises(gr.Error, match="larger than"):
        handlers.show(frame(), "toy", asking("a"))


def sides(seconds, largest=320, looks=40) -> list[int]:
    """The sizes that a visitor sees whose drawings take seconds(side)."""
    size, seen = live.SizeController(largest), []
    for _ in range(looks):
        seen.append(size.side)
        size.record(seconds(size.side))
    return [side for side, _ in itertools.groupby(seen)]


def test_the_size_goes_down_where_drawing_is_slow_and_up_where_there_is_room():
    assert sides(lambda side: 0.2) == [192, 160, 128]
    assert sides(lambda side: 0.01) == [192, 224, 256, 320]
    assert sides(lambda side: 0.01, largest=256) == [192, 224, 256]
    assert sides(lambda side: 0.14 * (side / 192) ** 2) == [192]
    assert sides(lambda side: 0.14 * (side / 256) ** 2) == [192, 224]


def test_a_size_is_not_judged_by_its_first_drawing():
    size = live.SizeController(320)
    for seconds in (9.0, 0.14, 0.14, 0.14):
        size.record(seconds)
    assert size.side == 192


def test_the_size_comes_back_after_a_busy_time():
    size = live.SizeController(256)
    for seconds, side in ((0.4, 128), (0.02, 256)):
        for _ in range(5 * live.WINDOW):
            size.record(seconds)
        assert size.side == side


def test_so_many_are_live_and_no_more_until_one_leaves(handlers, clock):
    for name in range(live.MAX_SESSIONS):
        handlers.show(frame(), "toy", asking(f"{name}"))
    for _ in range(2):
        with pytest.raises(gr.Error, match="people are live now") as refused:
            handlers.show(frame(), "toy", asking("late"))
        assert not refused.value.print_exception
    handlers.show(frame(), "toy", asking("0"))
    handlers.leave(asking("1"))
    handlers.show(frame(), "toy", asking("late"))
    with pytest.raises(gr.Error, match="people are live now"):
        handlers.show(frame(), "toy", asking("later"))
    clock.now += live.IDLE_S + 1
    handlers.show(frame(), "toy", asking("later"))
    assert set(handlers.sessions) == {"later"}


def test_a_session_ends_and_says_why(handlers, clock):
    handlers.show(frame(), "toy", asking("a"))
    clock.now += live.MAX_SESSION_S / 2
    handlers.show(frame(), "toy", asking("a"))
    assert handlers.end(asking("a")) == gr.update(value="", visible=False)
    assert handlers.end(asking("a")) == gr.skip()
    handlers.show(frame(), "toy", asking("a"))
    clock.now += live.MAX_SESSION_S
    assert handlers.end(asking("a")) == gr.update(value=live.OVER, visible=True)


def test_who_goes_on_for_ever_is_stopped(handlers, clock):
    for _ in range(live.MAX_SESSION_S // 10 + 3):
        handlers.show(frame(), "toy", asking("a"))
        clock.now += 10
    clock.now += 10
    with pytest.raises(gr.Error, match="minutes are over"):
        handlers.show(frame(), "toy", asking("a"))


# Turns ----------------------------------------------------------------------------------------


@pytest.mark.process
def test_visitors_take_turns_one_at_a_time(handlers, monkeypatch):
    """Each comes back at once, and nobody is drawn three times in a row."""
    drawing, drawn, together = threading.Lock(), [], threading.Barrier(3)

    def draw(self, photo, **options):
        assert drawing.acquire(blocking=False), "two are drawn at once"
        time.sleep(0.02)
        drawn.append(photo.width)
        drawing.release()
        return toy_app.ToyToon(photo, [], {})

    monkeypatch.setattr(toy_app.ToyPipeline, "__call__", draw)
    faults = []

    def visit(width):
        together.wait()
        try:
            for _ in range(6):
                handlers.show(frame(width, 60), "toy", asking(f"{width}"))
        except (AssertionError, gr.Error) as error:
            faults.append(error)

    threads = [threading.Thread(target=visit, args=[width]) for width in (80, 90, 100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not faults and len(drawn) == 18
    firsts = [drawn.index(width) for width in (80, 90, 100)]
    everybody_waits = drawn[max(firsts) : max(firsts) + 9]
    for at in range(len(everybody_waits) - 2):
        assert len(set(everybody_waits[at : at + 3])) >= 2, drawn


def test_turns_come_in_order_and_a_full_line_refuses():
    turns, entered, leave = Turns(3, "full"), [], threading.Event()

    def come(name):
        with turns.wait():
            entered.append(name)
            leave.wait(120)

    threads = [threading.Thread(target=come, args=[name]) for name in "abc"]
    for length, thread in enumerate(threads, 1):
        thread.start()
        until(lambda length=length: len(turns._line) == length)
    with pytest.raises(gr.Error, match="full"), turns.wait():
        pass
    assert entered == ["a"]
    leave.set()
    for thread in threads:
        thread.join(120)
    assert entered == ["a", "b", "c"]
    with turns.wait():
        pass


def test_who_waits_hears_how_many_are_before_and_can_go():
    turns = Turns()

    def waiting(before):
        heard.append(before)
        raise KeyError

    heard = []
    with turns.wait():
        with pytest.raises(KeyError), turns.wait(waiting):
            pass
        assert heard == [1] and len(turns._line) == 1
    with turns.wait(waiting):  # at once
        assert heard == [1]


def until(true, seconds=120):
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


# Server ---------------------------------------------------------------------------------------


class Slow:
    """Draws, in place of a toy pipeline, when it is let; `widths` are those of the frames."""

    def __init__(self):
        self.widths, self.let = [], threading.Semaphore(0)

    def __call__(self, photo, **options):
        self.widths.append(photo.width)
        assert self.let.acquire(timeout=120)
        return toy_app.ToyToon(photo, [], {})


class Camera:
    """A browser that sends frames to a page without waiting for drawings."""

    def __init__(self, http, session):
        self.http, self.session = http, session
        config = http.get("/../config").json()
        [stream] = [fn for fn in config["dependencies"] if fn["connection"] == "stream"]
        self.fn = stream["id"]
        self.event = None
        self.drawn = []

    def send(self, width, height=60):
        """A frame of that size."""
        value = {"url": url_of(frame(width, height)), "path": None, "meta": FILE}
        body = {"data": [value, "toy"], "fn_index": self.fn, "session_hash": self.session}
        if self.event is None:
            self.event = self.http.post("/queue/join", json=body).json()["event_id"]
            self.reader = threading.Thread(target=self.read, daemon=True)
            self.reader.start()
        else:
            assert self.http.post(f"/stream/{self.event}", json=body).status_code == 200

    def close(self):
        """The camera stops."""
        self.http.post(f"/stream/{self.event}/close", json={})
        self.reader.join(120)

    def read(self):
        """Collects the drawings' widths, and whatever ends the event."""
        with self.http.stream("GET", f"/queue/data?session_hash={self.session}") as answer:
            for line in answer.iter_lines():
                event = json.loads(line.removeprefix("data: ")) if line else {}
                if event.get("msg") in ("process_streaming", "process_completed"):
                    output = event["output"]
                    done = event["msg"] == "process_completed"
                    drawing = (output.get("data") or [None])[0]
                    if drawing and not done:
                        self.drawn.append(picture(drawing["url"]).width)
                    if done:
                        self.error = output.get("error")
                        return


@pytest.fixture
def site(cache, toys, monkeypatch):
    """A running page whose pipeline is slow: an httpx client, and that pipeline."""
    slow = Slow()
    monkeypatch.setattr(toys, "fast", {"toy": slow})
    with (
        toy_app.served(toys) as url,
        httpx.Client(base_url=f"{url}/gradio_api", timeout=120) as http,
    ):
        yield http, slow


@pytest.mark.process
def test_frames_are_dropped_not_queued_and_never_written(site, cache):
    http, slow = site
    before = {path.name for path in cache.rglob("*") if path.is_file()}
    cameras = [Camera(http, "ann"), Camera(http, "bob")]
    cameras[0].send(80)
    until(lambda: slow.widths == [80])
    for width in range(81, 100):
        cameras[0].send(width)
    cameras[1].send(120)
    time.sleep(0.2)
    assert slow.widths == [80], "one drawing at a time"
    slow.let.release()
    until(lambda: len(slow.widths) == 2)
    assert slow.widths[1] == 120, "the other visitor's turn"
    slow.let.release()
    until(lambda: len(slow.widths) == 3)
    assert slow.widths[2] == 99, "the newest frame, and none between"
    slow.let.release(9)
    until(lambda: cameras[0].drawn == [80, 99] and cameras[1].drawn == [120])
    time.sleep(0.3)
    assert slow.widths == [80, 120, 99]
    for camera in cameras:
        camera.close()
    assert {path.name for path in cache.rglob("*") if path.is_file()} == before
    assert before == {path.name for path in components.EXAMPLES}


def test_one_visitor_too_many_gets_a_message(site, monkeypatch):
    monkeypatch.setitem(SHARES, "live", Share(8, 8))  # here all visitors have one address
    http, slow = site
    slow.let.release(99)
    cameras = [Camera(http, f"{name}") for name in range(live.MAX_SESSIONS + 1)]
    for camera in cameras[:-1]:
        camera.send(80)
        until(lambda camera=camera: camera.drawn == [80])
    cameras[-1].send(90)
    cameras[-1].reader.join(120)
    assert cameras[-1].error == live.FULL and cameras[-1].drawn == []
    for camera in cameras[:-1]:
        camera.close()
