"""Whose styles are offered: the bundled ones and an owner's on the Hub, through the real client."""

import json
import types

import pytest

from toonify import hub
from toonify.hub import catalog

LISTS = """
import json, sys, time
from toonify.hub import catalog
start = time.perf_counter()
try:
    found = {f: [[s.name, s.title, s.license, s.source] for s in catalog.styles(f)
                 if s.source != "bundled"] for f in json.load(sys.stdin)}
    answer = {"found": found, "note": catalog.note()}
except ValueError as error:
    answer = {"error": str(error)}
print(json.dumps({**answer, "seconds": time.perf_counter() - start}))
"""
FETCHES = """
import json, sys
from toonify import hub
[hub.resolve_model(source) for source in json.load(sys.stdin)]
"""
CARD = b"---\ntags:\n- toonify\n---\n\n# Toy\n"


@pytest.fixture
def files(toy_style):
    return {path.name: path.read_bytes() for path in toy_style.iterdir()} | {"README.md": CARD}


@pytest.fixture
def offer(server, tmp_path):
    """offer(*families, **environment): what a new process offers; the cache stays."""

    def offer(*families, **environment):
        settings = {"TOONIFY_HUB_OWNER": "me", **environment}
        return json.loads(server.ask(LISTS, families, tmp_path / "home", **settings))

    return offer


def test_an_owners_styles_are_offered_with_license_and_source(server, offer, files):
    commit = server.put("me/toy", files)
    toon = json.dumps({"title": "Toon", "family": "stylegan", "license": "CC-BY-4.0"}).encode()
    server.put("me/toon", files | {"style.json": toon})
    server.put("me/untagged", files | {"README.md": b"# Toy\n"})
    server.put("you/toy", files)
    server.put("me/private", files)
    server.private.add("me/private")
    server.put("me/gated", files)
    server.gated.add("me/gated")
    server.put("me/broken", files | {"style.json": b'{"scope": "hands"}'})
    answer = offer("animegan", "stylegan")
    toy = ["me/toy", "Toy", "CC0-1.0", f"hub me/toy@{commit[:12]}"]
    assert answer["found"]["animegan"] == [toy]
    assert [row[:3] for row in answer["found"]["stylegan"]] == [["me/toon", "Toon", "CC-BY-4.0"]]
    assert answer["note"] == ""
    assert not [r for r in server.requests if "safetensors" in r or r.endswith("file")]


def test_lists_and_folders_show_which_styles_have_a_fast_generator(toy_style, fast_style):
    assert hub.read_style(fast_style).fast and not hub.read_style(toy_style).fast
    row = {"id": "me/toy", "sha": "0" * 40, "siblings": [{"rfilename": "style.json"}]}
    lite = [{"rfilename": f"lite/{hub.WEIGHTS[0]}"}]
    assert not catalog.has_fast(row) and not catalog.has_fast({"id": "me/toy"})
    assert catalog.has_fast({**row, "siblings": row["siblings"] + lite})


def test_a_list_costs_one_request_once_the_styles_are_known(server, offer, files):
    server.put("me/toy", files)
    first = offer("animegan")
    server.requests.clear()
    assert offer("animegan")["found"] == first["found"]
    assert [r.partition("?")[0] for r in server.requests] == ["GET /api/models"]


def test_without_the_hub_those_on_this_machine_are_offered_and_that_is_stated(
    server, offer, files, tmp_path
):
    server.put("me/toy", files)
    server.put("me/unused", files)
    offer("animegan")
    server.ask(FETCHES, ["me/toy"], tmp_path / "home")
    server.down = True
    away = offer("animegan")
    assert [row[0] for row in away["found"]["animegan"]] == ["me/toy"]
    assert "Only cached styles of me: the Hub at" in away["note"]
    assert away["seconds"] < 10
    server.requests.clear()
    offline = offer("animegan", HF_HUB_OFFLINE="1")
    assert offline["found"] == away["found"] and "HF_HUB_OFFLINE is set" in offline["note"]
    assert server.requests == []


def test_no_owner_and_an_invalid_one_make_no_request(server, offer):
    assert offer("animegan", TOONIFY_HUB_OWNER="")["found"] == {"animegan": []}
    answer = offer("animegan", TOONIFY_HUB_OWNER="me/toy")
    assert answer["found"] == {"animegan": []} and server.requests == []
    assert answer["note"] == "TOONIFY_HUB_OWNER='me/toy': expected the name of a Hub account"


@pytest.mark.parametrize(
    "owner", ["me/", "me toy", "me?full=1", "me#x", "https://hub/me", "a\\b", "@me"]
)
def test_an_owner_that_can_be_none_makes_no_request(monkeypatch, owner):
    monkeypatch.setenv("TOONIFY_HUB_OWNER", owner)
    monkeypatch.setattr(catalog, "request_styles", lambda owner: pytest.fail("requested"))
    assert catalog.styles() == hub.styles("animegan")
    assert catalog.note() == f"TOONIFY_HUB_OWNER={owner!r}: expected the name of a Hub account"


IMPATIENT = """
import time
sleep = time.sleep
time.sleep = lambda seconds: sleep(min(seconds, 0.01))
"""


def test_a_style_that_the_hub_does_not_give_is_named(server, files, tmp_path):
    server.put("me/toy", files)
    server.put("me/ink", files)
    server.fail_at(2, "503", for_good=True)  # after the list
    script, home = IMPATIENT + LISTS, tmp_path / "home"
    answer = json.loads(server.ask(script, ["animegan"], home, TOONIFY_HUB_OWNER="me"))
    assert answer["found"] == {"animegan": []}
    assert answer["note"].startswith("Not listed, as the Hub did not answer: me/")
    assert "me/toy" in answer["note"] and "me/ink" in answer["note"]


def request(monkeypatch, body):
    import httpx2

    answer = httpx2.Response(200, text=body, request=httpx2.Request("GET", "http://hub"))
    session = types.SimpleNamespace(get=lambda *args, **options: answer)
    monkeypatch.setattr("huggingface_hub.get_session", lambda: session)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    return catalog.request_styles.__wrapped__("nobody-of-this-name")


@pytest.mark.parametrize("body", ["<html>Log in to the hotel's network</html>", ""])
def test_a_list_that_is_no_json_is_no_traceback(monkeypatch, body):
    found = request(monkeypatch, body)
    assert found.styles == () and "does not answer (JSONDecodeError)" in found.note


@pytest.mark.parametrize("body", ['{"error": "quota"}', '"no"', "null", "5"])
def test_an_answer_that_is_no_list_is_no_traceback(monkeypatch, body):
    found = request(monkeypatch, body)
    assert found.styles == () and found.note.startswith("Only cached styles of nobody")


COMMIT = "0" * 40
ROWS = [
    *(1, None, [], {}, {"id": None, "sha": COMMIT}, {"id": "you/a", "sha": 5}),
    *({"id": ["you/a"], "sha": COMMIT}, {"id": "../../a", "sha": COMMIT}, {"id": "you/a"}),
    {"id": "you/toy", "sha": COMMIT, "siblings": [None, 5, {"rfilename": None}]},
    {"id": "you/ink", "sha": COMMIT, "siblings": 5},
]


def test_odd_rows_of_a_list_are_passed_over(monkeypatch):
    monkeypatch.setattr(
        catalog, "read_remote_style", lambda repo, commit, fast: hub.Style(repo, repo)
    )
    found = request(monkeypatch, json.dumps(ROWS))
    assert [style.name for style in found.styles] == ["you/toy", "you/ink"] and found.note == ""


def test_a_style_that_cannot_be_read_is_named(monkeypatch):
    def described(repo, commit, fast):
        if repo == "you/ill":
            raise ConnectionError
        return hub.Style(repo, repo)

    rows = [("you/toy", "0" * 40, False), ("you/ill", "1" * 40, False)]
    monkeypatch.setattr(catalog, "list_repositories", lambda owner: rows)
    monkeypatch.setattr(catalog, "read_remote_style", described)
    found = catalog.request_styles("you")
    assert [style.name for style in found.styles] == ["you/toy"]
    assert found.note == "Not listed, as the Hub did not answer: you/ill"


STARTS = "import sys\nsys.stderr = sys.stdout\nimport app"
MENUS = "import app\nprint(app.demo.get_config_file())"


def test_the_app_starts_with_an_invalid_owner_and_logs_it(server, tmp_path):
    log = server.ask(STARTS, [], tmp_path / "home", TOONIFY_HUB_OWNER="me/toy")
    assert "TOONIFY_HUB_OWNER='me/toy': expected the name of a Hub account" in log


def test_an_owners_styles_stand_in_the_apps_menus(server, files, tmp_path):
    server.put("me/toy", files)
    toon = json.dumps({"title": "My toon", "family": "stylegan", "license": "CC0-1.0"}).encode()
    server.put("me/toon", files | {"style.json": toon})
    menus = server.ask(MENUS, [], tmp_path / "home", TOONIFY_HUB_OWNER="me")
    assert "('Toy', 'me/toy')" in menus and "('My toon', 'me/toon')" in menus
