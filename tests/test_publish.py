"""Publishing: the real client against the stand-in for the Hub, and what it survives."""

import shutil
from pathlib import Path

import pytest

from tests.hub_server import FAULTS, WRITER, HubServer

HALF = "diffusion_pytorch_model.fp16.safetensors"
FULL = "diffusion_pytorch_model.safetensors"
PNG = b"\x89PNG\r\n\x1a\n and a picture"

# A process that publishes, or opens what was published.
CLIENT = """
import dataclasses, os, shutil, time
from pathlib import Path
from toonify import hub, publish

def answer(question):
    start = time.perf_counter()
    try:
        if "folder" in question:
            out = dataclasses.asdict(publish.publish(**question))
        else:
            if question.pop("afresh", False):
                shutil.rmtree(Path(os.environ["HOME"], ".cache"), ignore_errors=True)
            folder = hub.find(**question)
            out = {"files": {p.name: p.read_bytes().hex() for p in folder.iterdir()}}
    except (ValueError, OSError) as error:
        out = {"error": type(error).__name__, "text": str(error)}
    return {**out, "seconds": time.perf_counter() - start}
"""


@pytest.fixture(scope="module")
def hub_server():
    with HubServer() as server:
        yield server


@pytest.fixture(scope="module")
def client(hub_server, tmp_path_factory):
    """client(question): what a process with a token that may write makes of it."""
    with hub_server.client(CLIENT, tmp_path_factory.mktemp("home"), HF_TOKEN=WRITER) as client:
        yield client


@pytest.fixture
def server(hub_server):
    """The Hub, empty."""
    hub_server.fail_at(0, "")
    for memory in (hub_server.repos, hub_server.refs, hub_server.blobs, hub_server.private):
        memory.clear()
    hub_server.requests.clear()
    hub_server.leaked.clear()
    yield hub_server
    assert hub_server.leaked == []


@pytest.fixture
def model(toy_style, tmp_path) -> Path:
    """A style's folder that may be published, with things in it that must not be."""
    folder = tmp_path / "toy"
    shutil.copytree(toy_style, folder)
    (folder / "metrics.json").write_text('{"figures": {}}')
    (folder / "samples").mkdir()
    (folder / "samples" / "a.png").write_bytes(PNG)
    (folder / "samples" / "notes.txt").write_text("not a picture")
    for name in ("pytorch_model.bin", "code.py", ".env"):
        (folder / name).write_bytes(b"secret")
    return folder


def push(model: Path, repo: str = "owner/toy", **more) -> dict:
    return {"folder": str(model), "repo_id": repo, **more}


PUBLISHED = ["README.md", "config.json", HALF, "metrics.json", "samples/a.png", "style.json"]


def test_a_push_is_one_commit_of_everything_that_is_data(server, client, model):
    receipt = client(push(model))
    assert receipt["changed"] == PUBLISHED
    assert receipt["url"] == f"{server.url}/owner/toy"
    head = server.head("owner/toy")
    assert receipt["commit"] == server.refs["owner/toy"]["main"]
    assert sorted(head) == [".gitattributes", *PUBLISHED]
    assert all(head[name] == (model / name).read_bytes() for name in PUBLISHED)
    assert len(server.repos["owner/toy"]) == 2  # the empty one that came with the repository
    assert server.messages[receipt["commit"]] == "Publish Toy"
    assert "owner/toy" not in server.private


def test_the_same_again_is_one_question_and_no_commit(server, client, model):
    first = client(push(model))
    server.requests.clear()
    again = client(push(model))
    assert (again["commit"], again["changed"]) == (first["commit"], [])
    assert server.requests == ["GET /api/models/owner/toy?blobs=true"]


def test_only_what_changed_is_sent_and_old_weights_go(server, client, model):
    client(push(model))
    (model / "README.md").write_text("# New\n")
    server.requests.clear()
    receipt = client(push(model, message="A better card"))
    assert receipt["changed"] == ["README.md"]
    assert server.messages[receipt["commit"]] == "A better card"
    assert not any(" file" in request for request in server.requests)
    (model / HALF).rename(model / FULL)
    (model / "metrics.json").unlink()
    assert client(push(model))["changed"] == [HALF, FULL, "metrics.json"]
    assert HALF not in server.head("owner/toy") and ".gitattributes" in server.head("owner/toy")


def test_what_was_pushed_is_pulled_by_a_stranger_and_a_pin_costs_no_request(
    server, client, model, tmp_path
):
    commit = client(push(model))["commit"]
    with server.client(CLIENT, tmp_path / "stranger") as stranger:
        found = stranger({"source": "owner/toy"})["files"]
        names = set(PUBLISHED) - {"samples/a.png"}
        assert found == {name: (model / name).read_bytes().hex() for name in names}
        server.requests.clear()
        assert stranger({"source": "owner/toy", "revision": commit})["files"] == found
        assert server.requests == []


def test_a_private_push_is_hidden_from_strangers(server, client, model, tmp_path):
    assert client(push(model, private=True))["changed"]
    assert client(push(model, private=True))["changed"] == []
    with server.client(CLIENT, tmp_path / "stranger") as stranger:
        assert "no such repository" in stranger({"source": "owner/toy"})["text"]
    client(push(model, "owner/open"))
    answer = client(push(model, "owner/open", private=True))
    assert answer["error"] == "ValueError" and "is public already" in answer["text"]


# What others do meanwhile -----------------------------------------------------------------------


def test_a_commit_of_somebody_else_meanwhile_stays_below_ours(server, client, model):
    client(push(model))
    (model / "README.md").write_text("# New\n")
    theirs = []

    def meanwhile(repo):
        theirs.append(server.put(repo, server.head(repo) | {"theirs.txt": b"theirs"}))

    server.before_commit = meanwhile
    receipt = client(push(model))
    assert receipt["changed"] == ["README.md"]
    assert len(server.repos["owner/toy"]) == 4 and theirs[0] in server.repos["owner/toy"]
    assert server.head("owner/toy")["theirs.txt"] == b"theirs"
    assert server.head("owner/toy")["README.md"] == b"# New\n"


def test_a_head_that_never_holds_still_is_given_up(server, client, model):
    client(push(model))
    (model / "README.md").write_text("# New\n")

    def meanwhile(repo):
        count = str(len(server.repos[repo])).encode()
        server.put(repo, server.head(repo) | {"theirs.txt": count})
        server.before_commit = meanwhile

    server.before_commit = meanwhile
    answer = client(push(model))
    server.before_commit = None
    assert answer["error"] == "ConnectionError"
    assert "somebody else has just changed it; nothing was published" in answer["text"]
    assert server.head("owner/toy")["README.md"] == b"# Toy\n"


# What breaks ------------------------------------------------------------------------------------


def requests_of(server, run) -> int:
    server.requests.clear()
    run()
    return len(server.requests)


def test_any_one_fault_of_a_push_is_overcome_by_exactly_one_commit(server, client, model):
    """The very answer to the commit lost among them."""
    count = requests_of(server, lambda: client(push(model, "owner/count")))
    assert 8 <= count <= 12, server.requests
    for how in FAULTS:
        for n in range(1, count + 1):
            repo = f"owner/{how}-{n}"
            server.blobs.clear()
            server.fail_at(n, how)
            receipt = client(push(model, repo))
            assert receipt.get("changed") == PUBLISHED, (how, n, receipt)
            assert len(server.repos[repo]) == 2, (how, n)
            assert receipt["commit"] == server.refs[repo]["main"]
            assert client(push(model, repo))["changed"] == []


def test_a_hub_that_stays_away_leaves_the_repository_as_it_was_and_says_so(server, client, model):
    """From each request of a push on; only if all was sent and no answer came, it may be there."""
    client(push(model))
    (model / "README.md").write_text("# New\n")
    (model / HALF).rename(model / FULL)
    old, secret = server.head("owner/toy"), WRITER
    for how in FAULTS:
        arrivals = []
        for n in range(1, 8):
            repo = f"owner/{how}-{n}"
            before = server.put(repo, old)
            server.blobs.clear()
            server.fail_at(n, how, for_good=True)
            server.requests.clear()
            answer = client(push(model, repo))
            reached = [request for request in server.requests if "/commit/" in request]
            server.fail_at(0, "")
            assert answer["error"] == "ConnectionError", (how, n, answer)
            assert secret not in answer["text"] and f"{server.url}/{repo}" in answer["text"]
            arrived = server.refs[repo]["main"] != before
            arrivals.append(arrived)
            assert arrived or server.head(repo) == old
            unsure = "whether it arrived is not known" in answer["text"]
            assert unsure or "nothing was published" in answer["text"]
            assert unsure >= bool(reached) and (how == "lost" or unsure == bool(reached))
            again = client(push(model, repo))
            assert bool(again["changed"]) != arrived
            assert server.head(repo)["README.md"] == b"# New\n"
            assert len(server.repos[repo]) == 2
        # The seventh request is the commit.
        assert arrivals == [False] * 6 + [how == "lost"]


def test_a_commit_whose_answer_was_lost_is_found_by_a_last_look(server, client, model):
    """The answer to each try is lost: the one that arrived is seen."""
    client(push(model))
    (model / "README.md").write_text("# New\n")
    count = requests_of(server, lambda: client(push(model, "owner/count"))) - 2  # nothing to create
    server.fail_at(count, "lost")
    receipt = client(push(model))
    assert receipt["changed"] == ["README.md"]
    assert receipt["commit"] == server.refs["owner/toy"]["main"]


def test_any_one_fault_of_a_pull_ends_in_the_whole_model_or_in_a_clear_error(server, client, model):
    client(push(model))
    whole = client({"source": "owner/toy", "afresh": True})["files"]
    pull = {"source": "owner/toy", "afresh": True}
    count = requests_of(server, lambda: client(pull))
    assert count >= 8, server.requests
    for how in FAULTS:
        for n in range(1, count + 1):
            server.fail_at(n, how)
            answer = client(pull)
            server.fail_at(0, "")
            if "error" in answer:
                assert answer["error"] == "ConnectionError", (how, n, answer)
                assert "does not answer" in answer["text"]
                answer = client({"source": "owner/toy"})
            assert answer.get("files") == whole, (how, n, answer)
