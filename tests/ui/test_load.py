"""The load test of the app, short and with toys: `python -m benchmarks.load` does it in full."""

import random
import sys

import httpx
import pytest

import app
from benchmarks import load
from tests.fixtures import toy_app
from toonify import hub
from toonify.ui import gateway, outputs, visitors
from toonify.ui.handlers import photo

FIGURES = {
    "faults": [],
    "tracebacks_in_log": 0,
    "memory_mb": {"before": 100, "after": 110},
    "left_after_requests": 0,
    "left_after_uploads": 0,
    "left_after_restart": 0,
}


def test_mixed_requests_get_an_answer_and_nothing_is_left(cache, toys, monkeypatch, capfd):
    monkeypatch.setattr(load, "STYLE", "toy")
    monkeypatch.setattr(photo, "find_faces", toy_app.find_faces)
    monkeypatch.setattr(outputs, "CLEAN_EVERY_S", 0.5)
    monkeypatch.setattr(load, "KEEP_S", 5)
    monkeypatch.setattr(outputs, "KEEP_S", load.KEEP_S)
    monkeypatch.setattr(gateway, "CALLS", 10**6)
    name = b"x-forwarded-for"
    monkeypatch.setattr(
        visitors, "identify", lambda scope: dict(scope["headers"]).get(name, b"").decode()
    )
    with toy_app.served(toys) as url:
        examples = load.list_files(cache)
        assert load.ask(url)["ready"]
        tally = load.send_all(url, 60, 8)
        assert tally.faults == []
        assert sum(tally.outcomes.values()) == 60
        assert {key.split(":")[0] for key in tally.outcomes} == set(load.MIX)
        assert tally.outcomes["good photo: done"] == len(tally.seconds) > 0
        assert tally.outcomes["wrong values: refused"] > 0
        assert load.upload_all(url, 30) == 20
        assert load.list_files(cache) - examples
        assert load.wait_until_clean(cache, examples) == []
    assert "Traceback" not in "".join(capfd.readouterr())


@pytest.mark.parametrize(
    ("status", "expected"), [(413, "refused"), (503, "refused"), (200, "fault"), (500, "fault")]
)
def test_bodies_that_are_too_large_must_be_refused(status, expected):
    visitor = load.Visitor("http://127.0.0.1", 1)
    answer = httpx.Response(status, json={"detail": "The server is busy."})
    visitor.http = httpx.Client(
        transport=httpx.MockTransport(lambda request: answer), base_url="http://127.0.0.1"
    )
    assert load.draw_huge(visitor, random.Random(0))[0] == expected


def test_the_app_under_load_is_warmed_up_as_the_app_is(monkeypatch):
    served = {}
    monkeypatch.setattr(sys, "argv", ["-c", "7", "5"])
    monkeypatch.setattr(outputs, "CLEAN_EVERY_S", 600)
    monkeypatch.setattr(outputs, "KEEP_S", 600)
    monkeypatch.setattr(app, "serve", lambda *given, **options: served.update(options, given=given))
    exec(load.SERVER, {})
    assert served["given"] == (app.demo, app.warm_app) and served["server_port"] == 7
    warmed = []
    monkeypatch.setattr(app, "warm_up", lambda *given: warmed.append(given))
    app.warm_app()
    assert warmed == [(hub.DEFAULT_STYLE, True, True, app.demo.wait_for_quiet)]


@pytest.mark.parametrize(
    ("status", "text", "expected"),
    [
        (200, "event: complete\ndata: [1]", "done"),
        (200, 'event: error\ndata: {"error": "Too large."}', "refused"),
        (200, 'event: error\ndata: {"error": null}', "fault"),
        (500, "Internal Server Error", "fault"),
        (200, "event: complete\nTraceback (most recent call last)", "fault"),
        (503, '{"detail": "The server is busy."}', "refused"),
        (413, '{"detail": "The request is too large."}', "refused"),
    ],
)
def test_answers_are_judged(status, text, expected):
    assert load.judge(status, text) == expected


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, None),
        ({"faults": ["styles: boom"]}, "styles: boom"),
        ({"memory_mb": {"before": 100, "after": 116}}, "grew from 100 to 116"),
        ({"left_after_restart": 3}, "3 files"),
        ({"tracebacks_in_log": 1}, "1 tracebacks"),
    ],
)
def test_broken_promises_are_said(change, said):
    found = load.find_broken_promises(FIGURES | change)
    assert (found == []) if said is None else (len(found) == 1 and said in found[0])


def test_a_photo_that_is_not_drawn_stops_the_run(monkeypatch):
    monkeypatch.setattr(load, "draw", lambda *_: ("refused", "no"))
    with pytest.raises(RuntimeError, match="did not draw"):
        load.send_good("http://127.0.0.1:1", 1)
