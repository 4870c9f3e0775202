"""The browser app as it is assembled: its files, sizes, policy, and the command that writes it."""

import hashlib
import json
import re
from pathlib import Path

import pytest

from tests.fixtures import sites
from tests.fixtures.hub_server import WRITER
from tests.unit.hub.test_cards import faults, front_of
from toonify.cli import main
from toonify.images import marks
from toonify.web import runtime, site, space

ROOT = Path(__file__).resolve().parents[3]
SOURCES = ROOT / "web"


@pytest.fixture(scope="module")
def built(tmp_path_factory, toy_style, fast_style, choosing_faces):
    """A site with two styles, of which one has a fast generator, and its parts."""
    folder = tmp_path_factory.mktemp("web")
    dist = sites.write_runtime(folder / "package") / "dist"
    parts = sites.build(folder / "site", dist, [fast_style, toy_style], choosing_faces)
    return folder / "site", parts


def read_config(folder: Path) -> dict:
    (file,) = (folder / "app").glob("*/config.json")
    return json.loads(file.read_text())


def test_the_fast_generator_is_taken_and_names_have_hashes_of_the_content(built):
    folder, _ = built
    config = read_config(folder)
    assert [style["patch"] for style in config["styles"]] == [2, 1]
    assert config["defaultStyle"] == "quick"
    assert config["styles"][0]["eyeDistance"] == [30, 110]
    assert config["sourceType"] == marks.make_uri(marks.DRAWN)
    assert config["faces"]["attributes"]["mouth"]["values"] == ["Laugh", "Sad", "Wide open"]
    hashed = [p for name in ("models", "runtime", "examples") for p in (folder / name).iterdir()]
    assert len(hashed) == 2 + 3 + 2 + 6 + 12
    for path in hashed:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        assert path.name.split(".")[-2] == digest[: site.HASH]


def test_the_policy_allows_no_inline_script_and_no_other_origin(built):
    page = (built[0] / "index.html").read_text()
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]+)"', page)
    assert "unsafe-inline" not in policy and "'unsafe-eval'" not in policy
    assert policy.startswith("default-src 'none'") and "http" not in policy
    assert (
        policy in (built[0] / "sw.js").read_text() and policy in (built[0] / "_headers").read_text()
    )
    assert not re.findall(r"<script(?![^>]* src=)|<style|\sstyle=|\son\w+=", page)
    assert "{{" not in page + (built[0] / "sw.js").read_text()


def test_no_script_names_another_origin():
    for path in [*SOURCES.rglob("*.js"), SOURCES / "index.html", SOURCES / "app" / "style.css"]:
        assert not re.findall(r"https?://(?!www\.w3\.org)", path.read_text()), path


def test_scripts_are_short_and_say_what_they_are():
    for path in SOURCES.rglob("*.js"):
        text = path.read_text()
        assert text.startswith("/**") and len(text.splitlines()) <= 500, path
        assert max(map(len, text.splitlines())) <= 105, path


def test_the_service_worker_lists_every_file(built):
    folder, _ = built
    worker = (folder / "sw.js").read_text()
    lists = json.loads(worker.partition("version } = ")[2].partition(";\n")[0])
    paths = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    unlisted = {"index.html", "_headers", "sw.js", "toonify.js", "licenses.txt"}
    assert {*lists["shell"], *lists["rest"], *lists["onUse"]} - {"./"} == paths - unlisted
    assert not [path for path in lists["shell"] if path.startswith(("models/", "runtime/"))]


def test_a_first_visit_is_small_and_the_parts_are_all_of_it(built):
    folder, parts = built
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    assert sum(part.size for part in parts) == size
    first = [
        p for p in parts if p.when == "first visit" and not p.name.startswith(("ONNX", "style"))
    ]
    assert {part.name for part in first} == {"page", "face detector"}
    assert sum(part.size for part in first) < 1_500_000


def test_another_version_or_a_missing_file_of_the_runtime_is_refused(tmp_path):
    old = sites.write_runtime(tmp_path / "old", "1.20.0")
    with pytest.raises(ValueError, match=r"expected onnxruntime-web 1\.\d+\.\d, found 1\.20\.0"):
        runtime.find_runtime(old)
    package = sites.write_runtime(tmp_path / "package")
    assert runtime.find_runtime(package) == package / "dist"
    (package / "dist" / runtime.FILES[0]).unlink()
    with pytest.raises(ValueError, match=f"has no file dist/{runtime.FILES[0]}"):
        runtime.find_runtime(package)


def test_the_runtime_is_found_in_node_modules_and_its_lack_is_explained(tmp_path, monkeypatch):
    monkeypatch.setenv("TOONIFY_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", "")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="npm is not installed"):
        runtime.find_runtime()
    package = sites.write_runtime(tmp_path / "node_modules" / runtime.PACKAGE)
    assert runtime.find_runtime() == package / "dist"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["web"], "Missing argument 'OUT'"),
        (["web", "{there}"], "exists already; --overwrite replaces a folder"),
        (["web", "{new}", "--style", "oil"], "oil"),
        (["web", "{new}", "--style", "animated"], "_class_name"),
        (["deploy"], "expected either --space or --static"),
        (["deploy", "--space", "a/b", "--static", "a/c"], "expected either --space or --static"),
        (["deploy", "--space", "a/b", "--style", "comic"], "--style: only for --static"),
        (["deploy", "--static", "toonify"], "--static 'toonify' is not a valid repository ID"),
    ],
)
def test_wrong_usage_is_explained(refusal, tmp_path, arguments, message):
    (tmp_path / "there").mkdir()
    package = sites.write_runtime(tmp_path / "package")
    places = {"there": tmp_path / "there", "new": tmp_path / "new"}
    arguments = [argument.format(**places) for argument in arguments]
    if arguments[0] == "web" and len(arguments) > 2:
        arguments += ["--runtime", str(package)]
    assert message in refusal(main, *arguments)
    assert not (tmp_path / "new").exists()


def test_the_card_of_the_static_space_is_whole(built):
    text = space.write_card(built[1], ["comic"])
    front = front_of(text)
    assert front["sdk"] == "static" and front["app_file"] == "index.html"
    assert front["custom_headers"]["cross-origin-embedder-policy"] == "require-corp"
    assert len(front["short_description"]) <= 60
    assert faults(text) == [] and "| Comic |" in text and "face detector" in text


# A process that deploys with toy networks.
DEPLOY = """
import contextlib, io
from toonify.cli import main
from toonify.images import marks

def answer(arguments):
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(out):
        code = main(["deploy", *arguments])
    return {"code": code, "said": out.getvalue()}
"""


def test_a_static_space_is_created_and_old_files_go(server, tmp_path, toy_style):
    package = sites.write_runtime(tmp_path / "package")
    arguments = ["--static", "owner/toons", "--style", str(toy_style), "--runtime", str(package)]
    with server.client(DEPLOY, tmp_path, HF_TOKEN=WRITER) as client:
        first = client(arguments)
        assert first["code"] == 0, first["said"]
        head = server.head("spaces/owner/toons")
        assert {"index.html", "sw.js", "README.md", "licenses.txt"} <= set(head)
        assert "sdk: static" in head["README.md"].decode() and "_headers" not in head
        server.put("spaces/owner/toons", {**head, "app/old/main.js": b"", "notes.md": b"mine"})
        assert "1 files changed" in client(arguments)["said"]
        head = server.head("spaces/owner/toons")
        assert "app/old/main.js" not in head and head["notes.md"] == b"mine"
