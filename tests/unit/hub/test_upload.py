"""Publishing with the real client; long because all tests share one stand-in for the Hub."""

import json
import re
import shlex
import shutil
import time
from pathlib import Path

import pytest

from tests.fixtures.hub_server import FAULTS, ROOT, WRITER, HubServer
from toonify import cli
from toonify.hub import upload

HALF = "diffusion_pytorch_model.fp16.safetensors"
FULL = "diffusion_pytorch_model.safetensors"
PNG = b"\x89PNG\r\n\x1a\n and an image"

# A process that publishes, or opens what was published.
CLIENT = """
import dataclasses, os, shutil, time
from pathlib import Path
from toonify import hub
from toonify.hub import upload

def answer(question):
    start = time.perf_counter()
    upload.READ_TIMEOUT = question.pop("patience", 30.0)
    os.environ["HF_TOKEN"] = question.pop("token", os.environ.get("FIRST_TOKEN", ""))
    try:
        if "folder" in question:
            out = dataclasses.asdict(upload.publish(**question))
        else:
            if question.pop("afresh", False):
                shutil.rmtree(Path(os.environ["HOME"], ".cache"), ignore_errors=True)
            folder = hub.resolve_model(**question)
            found = (p for p in folder.rglob("*") if p.is_file())
            out = {
                "files": {p.relative_to(folder).as_posix(): p.read_bytes().hex() for p in found}
            }
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
    with hub_server.client(CLIENT, tmp_path_factory.mktemp("home"), FIRST_TOKEN=WRITER) as client:
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
    (folder / "samples" / "notes.txt").write_text("not an image")
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


def test_a_fast_generator_goes_with_its_style(server, client, fast_style, tmp_path):
    client(push(shutil.copytree(fast_style, tmp_path / "quick")))
    found = client({"source": "owner/toy", "afresh": True})["files"]
    for name in ("lite/config.json", f"lite/{HALF}"):
        assert bytes.fromhex(found[name]) == (fast_style / name).read_bytes()


def test_a_private_push_is_hidden_from_strangers(server, client, model, tmp_path):
    assert client(push(model, private=True))["changed"]
    assert client(push(model, private=True))["changed"] == []
    with server.client(CLIENT, tmp_path / "stranger") as stranger:
        assert "no such repository" in stranger({"source": "owner/toy"})["text"]
    client(push(model, "owner/open"))
    answer = client(push(model, "owner/open", private=True))
    assert answer["error"] == "ValueError" and "already exists and is public" in answer["text"]


# What others do meanwhile -----------------------------------------------------------------------


def commits(server) -> int:
    """How many commits were asked for."""
    return sum("/commit/" in request for request in server.requests)


def at_each_commit(server, what, times: int = 100) -> None:
    """Calls `what(repo)` before each of the next commits."""

    def meanwhile(repo, left=times):
        if left > 1:
            server.before_commit = lambda repo: meanwhile(repo, left - 1)
        return what(repo)

    server.before_commit = meanwhile


def another_user(server):
    """at_each_commit's: another file comes into the repository."""

    def commit(repo):
        count = str(len(server.repos[repo])).encode()
        server.put(repo, server.head(repo) | {"theirs.txt": count})

    return commit


@pytest.fixture
def changed(server, client, model):
    """The model was pushed, and has another card since; no request was made yet."""
    client(push(model))
    (model / "README.md").write_text("# New\n")
    server.requests.clear()
    yield model
    server.before_commit = None


def test_a_concurrent_commit_of_another_user_is_kept(server, client, changed):
    at_each_commit(server, another_user(server), 1)
    receipt = client(push(changed))
    assert receipt["changed"] == ["README.md"]
    assert commits(server) == 2  # the first is refused: its parent is not the head any more
    assert len(server.repos["owner/toy"]) == 4
    assert server.head("owner/toy")["theirs.txt"] == b"2"
    assert server.head("owner/toy")["README.md"] == b"# New\n"


def test_a_head_that_always_moves_is_given_up(server, client, changed):
    at_each_commit(server, another_user(server))
    answer = client(push(changed))
    assert answer["error"] == "ConnectionError" and commits(server) == 4
    assert "the repository has changed in the meantime; nothing was published" in answer["text"]
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
            unsure = "unknown whether" in answer["text"]
            assert unsure or "nothing was published" in answer["text"]
            assert unsure >= bool(reached) and (how == "lost" or unsure == bool(reached))
            again = client(push(model, repo))
            assert bool(again["changed"]) != arrived
            assert server.head(repo)["README.md"] == b"# New\n"
            assert len(server.repos[repo]) == 2
        # The seventh request is the commit.
        assert arrivals == [False] * 6 + [how == "lost"]


def test_a_last_commit_whose_answer_was_lost_is_found_by_a_last_look(server, client, changed):
    at_each_commit(server, another_user(server), 3)
    server.fail_at(16, "lost")  # a try asks for head, card check, upload modes and commit
    receipt = client(push(changed))
    assert commits(server) == 4
    assert receipt["changed"] == ["README.md"]
    assert receipt["commit"] == server.refs["owner/toy"]["main"]
    assert server.head("owner/toy")["README.md"] == b"# New\n"


def test_commits_that_only_fail_are_known_to_have_changed_nothing(server, client, changed):
    at_each_commit(server, lambda repo: 503)
    answer = client(push(changed))
    assert answer["error"] == "ConnectionError" and commits(server) == 4
    assert "HTTP 503; nothing was published" in answer["text"]
    assert server.head("owner/toy")["README.md"] == b"# Toy\n"


def test_a_commit_that_a_slow_hub_makes_late_is_recognized(server, client, changed):
    at_each_commit(server, lambda repo: time.sleep(0.6), 1)
    receipt = client(push(changed, patience=0.2))
    assert receipt["changed"] == ["README.md"] and commits(server) == 1
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


# What is refused --------------------------------------------------------------------------------


def said(folder: Path, **changes) -> None:
    """Changes what style.json says; None takes a key out."""
    style = json.loads((folder / "style.json").read_text()) | changes
    style = {key: value for key, value in style.items() if value is not None}
    (folder / "style.json").write_text(json.dumps(style))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"license": None}, "\"license\" is 'unknown'"),
        ({"license": "unknown: say here what the data's licenses allow"}, '"license" is'),
        ({"license": " "}, '"license" is'),
        ({"data": None}, '"data" is'),
        ({"data": "Unknown"}, '"data" is'),
        ({"data": "/home/me/faces"}, "a place on this machine"),
        ({"data": "mine, ~/faces"}, "a place on this machine"),
        ({"data": r"C:\faces"}, "a place on this machine"),
    ],
)
def test_without_license_or_data_statement_nothing_is_published(model, changes, words):
    said(model, **changes)
    with pytest.raises(ValueError, match=r"style\.json: ") as error:
        upload.plan(model)
    assert words in str(error.value)


def test_a_statement_may_name_shares_and_addresses(model):
    said(model, data="half of https://example.org/faces (CC0), 3/4 of it smiling; and/or mine")
    assert "style.json" in upload.plan(model)


def test_invalid_folders_are_not_published(model, tmp_path):
    with pytest.raises(ValueError, match="does not exist"):
        upload.plan(tmp_path / "nothing")
    whole = (model / HALF).read_bytes()
    for broken in (whole[:-10], whole[:20], b"pickle", (2).to_bytes(8, "little") + b"{}"):
        (model / HALF).write_bytes(broken)
        with pytest.raises(ValueError, match=r"not a complete safetensors|no tensors"):
            upload.plan(model)
    (model / HALF).write_bytes(whole)
    assert upload.plan(model)
    for name, content, words in (
        ("samples/b.jpg", PNG, "expected an image in JPG format"),
        ("metrics.json", b"{", "not valid JSON"),
        ("training.json", b"[]", "expected a JSON object"),
    ):
        (model / name).write_bytes(content)
        with pytest.raises(ValueError, match=words):
            upload.plan(model)
        (model / name).unlink()


@pytest.mark.parametrize(
    "name", ["name", "a/b/c", "/b", "a/", "a b/c", "a/..", "a--b/c", "a/b.git"]
)
def test_an_invalid_name_is_refused(name, model):
    with pytest.raises(ValueError, match="expected owner/name"):
        upload.publish(model, name)


def test_a_folder_without_a_card_gets_the_one_of_its_family(server, client, model):
    (model / "README.md").unlink()
    (model / "metrics.json").unlink()
    client(push(model))
    card = server.head("owner/toy")["README.md"].decode()
    assert "license: cc0-1.0" in card and 'from_pretrained("owner/toy")' in card


def test_missing_permission_is_named_and_the_token_is_not(server, client, model):
    server.put("stranger/toy", {"README.md": b"theirs"})
    server.roles["hf_reader"] = "read"
    server.writers["hf_reader"] = ("owner",)
    for job, words in (
        (push(model, token=""), "log in with `hf auth login`, or set HF_TOKEN"),
        (push(model, token="hf_unheard_of"), "rejected the token"),
        (push(model, "stranger/toy"), "no permission to write to stranger"),
        (push(model, "stranger/new"), "no permission to write to stranger"),
        (push(model, token="hf_reader"), "no permission to write to owner"),
    ):
        answer = client(job)
        assert answer["error"] == "PermissionError", answer
        assert words in answer["text"] and "hf_" not in answer["text"]
        assert answer["seconds"] < 3
    assert list(server.repos) == ["stranger/toy"] and len(server.repos["stranger/toy"]) == 1


def test_a_card_that_the_hub_refuses_is_named(server, client, model):
    (model / "README.md").write_text("---\nlicense: [\n---\n")
    answer = client(push(model))
    assert answer["error"] == "ValueError" and "README.md" in answer["text"]
    assert list(server.head("owner/toy")) == [".gitattributes"]


def test_spaces_and_data_sets_are_committed_to_alike(server, tmp_path):
    script = """
import dataclasses
from toonify.hub import upload
def answer(question):
    files = {name: text.encode() for name, text in question.pop("files").items()}
    return dataclasses.asdict(upload.commit(files=files, message="m", **question))
"""
    with server.client(script, tmp_path, HF_TOKEN=WRITER) as client:
        for kind, more in (("space", {"sdk": "gradio"}), ("dataset", {})):
            job = {"repo_id": "team/a", "files": {"README.md": "# A\n", "b.txt": "b"}, **more}
            receipt = client({**job, "repo_type": kind})
            assert receipt["url"] == f"{server.url}/{kind}s/team/a"
            assert server.head(f"{kind}s/team/a")["b.txt"] == b"b"
            again = {**job, "files": {"README.md": "# A\n"}, "delete": ["b.txt", "c.txt"]}
            assert client({**again, "repo_type": kind})["changed"] == ["b.txt"]
            assert "b.txt" not in server.head(f"{kind}s/team/a")


# The command ------------------------------------------------------------------------------------


def test_a_dry_run_shows_all_and_sends_nothing(model, capsys, monkeypatch):
    monkeypatch.setattr(upload, "commit", lambda *_, **__: pytest.fail("asked the Hub"))
    assert cli.main(["push", str(model), "--repo-id", "owner/toy", "--dry-run"]) == 0
    *rows, last = capsys.readouterr().out.splitlines()
    assert sorted(row.split()[-1] for row in rows) == PUBLISHED
    size = sum((model / name).stat().st_size for name in PUBLISHED)
    assert last.split()[0] == f"{size:,}" and "nothing was sent" in last


def test_the_command_prints_what_changed_or_the_error(model, capsys, monkeypatch):
    changes = (("README.md",), ())
    receipts = [upload.Receipt("https://hub/owner/toy", "a" * 40, files) for files in changes]
    monkeypatch.setattr(upload, "commit", lambda *_, **__: receipts.pop(0))
    words = ["push", str(model), "--repo-id", "owner/toy"]
    assert cli.main(words) == 0 and "README.md" in capsys.readouterr().out
    assert cli.main(words) == 0 and "there already" in capsys.readouterr().out

    def away(*_, **__):
        raise ConnectionError("nothing was published")

    monkeypatch.setattr(upload, "commit", away)
    assert cli.main(words) == 1
    assert capsys.readouterr().err == "python -m toonify: nothing was published\n"
    said(model, license="")
    assert cli.main(words) == 1 and '"license"' in capsys.readouterr().err
    with pytest.raises(SystemExit) as error:
        cli.main(["push", str(model), "--repo-id", "toy"])
    assert error.value.code == 2 and "expected owner/name" in capsys.readouterr().err


def test_the_documented_commands_work_as_written(server, model, photo, tmp_path):
    section = (ROOT / "docs" / "hub.md").read_text().split("\n## Publishing\n")[1].split("\n## ")[0]
    blocks = "".join(re.findall(r"^```\n(.*?)^```$", section, re.M | re.S))
    commands = [shlex.split(line, comments=True) for line in blocks.splitlines()]
    assert len(commands) >= 4 and {c[0] for c in commands} == {"python", "accelerate"}
    shutil.copytree(model, tmp_path / "runs" / "mine" / "model")
    photo.resize((64, 64)).save(tmp_path / "portrait.jpg")
    more = dict(HF_TOKEN=WRITER, TOONIFY_CACHE=str(tmp_path))
    with server.client(TYPED, tmp_path / "home", **more) as typed:
        typed({"folder": str(tmp_path)})
        for program, *words in commands:
            if program == "accelerate":  # training itself is tried elsewhere
                words = [*words, "--dry-run"]
            answer = typed({"words": words})
            assert answer["status"] == 0, (words, answer)
    assert (tmp_path / "toon.png").exists()
    assert HALF in server.head("owner/name")


# A process in which commands are typed: those of the command line, and training.
TYPED = """
import contextlib, io, os, sys
from toonify import cli
def answer(question):
    if "folder" in question:
        return os.chdir(question["folder"])
    said, words = io.StringIO(), question["words"]
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            if words[:2] == ["-m", "toonify"]:
                status = cli.main(words[2:])
            else:
                assert words[:2] == ["launch", "training/train_animegan.py"]
                from training import train_animegan
                status = train_animegan.main(words[2:]) or 0
        except SystemExit as error:
            status = error.code
    return {"status": status, "said": said.getvalue()}
"""
