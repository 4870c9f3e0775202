"""Memory of a page that has been used: few sessions, and what was freed goes back."""

import sys
import threading

import httpx
import pytest

import app
from tests.fixtures import toy_app
from toonify.ui import cleaning, health
from toonify.ui.sessions import Session, Sessions

CALL = {"data": []}


@pytest.fixture
def served(cache, toys, monkeypatch):
    """A running page that keeps three sessions, and its address."""
    pages, build = [], toy_app.build
    monkeypatch.setattr(toy_app, "build", lambda *given: pages.append(build(*given)) or pages[-1])
    with toy_app.served(toys, state_session_capacity=3) as url:
        yield pages[0], url


def test_calls_leave_few_sessions_without_settings_of_components(served):
    page, url = served
    for _ in range(5):
        event = httpx.post(f"{url}/gradio_api/call/styles", json=CALL).json()["event_id"]
        assert "complete" in httpx.get(f"{url}/gradio_api/call/styles/{event}").text
    sessions = page.state_holder
    assert isinstance(sessions, Sessions) and sessions is page.app.state_holder
    assert len(sessions.session_data) == 3
    kept = [len(session.config_values) for session in sessions.session_data.values()]
    assert max(kept) < 5 < len(page.blocks)  # those that the call has set


def test_a_session_keeps_what_a_visitor_has_set(served):
    page, _ = served
    state = next(block for block in page.blocks.values() if block.stateful)
    mine, other = (page.state_holder[name] for name in ("mine", "other"))
    assert isinstance(mine, Session)
    mine[state._id] = "latent"
    assert page.state_holder["mine"][state._id] == "latent"
    assert other[state._id] is None
    plain = next(key for key, block in page.blocks.items() if not block.stateful)
    assert mine[plain] is page.blocks[plain]
    assert app.LAUNCH["state_session_capacity"] == 1000


@pytest.mark.skipif(sys.platform != "linux", reason="the C library is another one")
def test_what_a_request_leaves_goes_back_to_the_system():
    parts = [b"x" * 60_000 for _ in range(2000)]
    parts.append(parts)  # as a refused request does, which its error refers to
    grown = health.measure_memory()
    del parts
    health.release_memory()
    assert health.measure_memory() < grown - 60 * 2**20


def test_memory_is_released_after_a_cleaning_but_not_after_each(tmp_path, monkeypatch):
    released = threading.Event()
    monkeypatch.setattr(health, "release_memory", released.set)
    cleaner = cleaning.Cleaner(tmp_path, every_s=0.01)
    with cleaner.running():
        assert not released.wait(0.5)
    monkeypatch.setattr(cleaning, "RELEASE_S", 0.1)
    with cleaner.running():
        assert released.wait(60)
