"""The app: its handlers as plain functions, and its server as a stranger on the network sees it."""

import base64
import io
import json
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import gradio as gr
import httpx
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

import app
from tests import toy_app
from tests.odd_inputs import make_odd_inputs
from toonify import hub, images

ROOT = Path(app.__file__).parent
PORTRAIT = app.EXAMPLES[0]
FILE = {"_type": "gradio.FileData"}


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """Gradio's folder for what comes in and goes out, for this test alone."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def toys():
    return toy_app.Toys()


@pytest.fixture
def handlers(cache, toys):
    return app.Handlers(toy_app.STYLES, toys)


@pytest.fixture
def told(monkeypatch):
    """What visitors are told in passing: [(kind, text)]."""
    said = []
    monkeypatch.setattr(gr, "Info", lambda text: said.append(("info", text)))
    monkeypatch.setattr(gr, "Warning", lambda text: said.append(("warning", text)))
    return said


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The address of a running page, and its pipelines."""
    toys = toy_app.Toys()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(app, "find_faces", toy_app.find_faces)
        with toy_app.served(toys) as url:
            yield url, toys


@pytest.fixture(scope="module")
def client(server, tmp_path_factory):
    return Client(server[0], verbose=False, download_files=tmp_path_factory.mktemp("client"))


@pytest.fixture(scope="module")
def http(server):
    """Speaks to the server below the level of gradio's own client, and faster."""
    with httpx.Client(base_url=f"{server[0]}/gradio_api", timeout=60) as http:
        yield http


def post(http: httpx.Client, photo) -> str:
    """What the server answers when `photo` is put into the request as it is."""
    data = {"data": [photo, "toy", "all", 1, False]}
    event = http.post("/call/toonify", json=data).json()["event_id"]
    return http.get(f"/call/toonify/{event}").text


def plain(tmp_path, size=(80, 60)) -> str:
    path = tmp_path / "plain.png"
    Image.new("RGB", size, "#7799cc").save(path)
    return str(path)


# Handlers -------------------------------------------------------------------------------------


def test_toonify_writes_a_png_of_the_photo_size_named_after_photo_and_style(handlers, cache):
    png = Path(handlers.toonify(str(PORTRAIT), "toy"))
    assert png.name == "random_021-toy.png"
    assert png.is_relative_to(cache)
    with Image.open(png) as toon, Image.open(PORTRAIT) as photo:
        assert toon.format == "PNG"
        assert toon.size == photo.size
        assert toon.tobytes() != photo.convert("RGB").tobytes()


def test_options_reach_the_pipeline(handlers, toys):
    handlers.toonify(str(PORTRAIT), "toy", "largest", 0.25, True)
    asked = {"faces": "largest", "strength": 0.25, "keep_colour": True}
    assert toys.made["toy"].calls == [asked]


def test_the_screen_gets_before_and_after_download_report_and_faces(handlers):
    (before, after), download, report, found, boxes = handlers.show(str(PORTRAIT), "toy")
    assert before.size == after.size == boxes.size == (512, 512)
    assert before.tobytes() != after.tobytes()
    assert download.interactive
    assert "0.5 s" in report.value and "512 × 512" in report.value
    assert found.label == "1 face found" and found.visible


def test_large_photos_are_shown_small_and_saved_whole(handlers, tmp_path):
    (before, after), *_ = handlers.show(plain(tmp_path, (3200, 400)), "toy")
    assert before.size == after.size == (1600, 200)
    with Image.open(handlers.toonify(plain(tmp_path, (3200, 400)), "toy")) as toon:
        assert toon.size == (3200, 400)


def test_no_face_is_news_and_not_an_error(handlers, told, tmp_path):
    *_, found, boxes = handlers.show(plain(tmp_path), "toy")
    assert [kind for kind, _ in told] == ["info"]
    assert boxes is None and not found.visible


def test_no_face_is_a_warning_where_only_faces_are_drawn(handlers, told, tmp_path):
    handlers.show(plain(tmp_path), "mask")
    assert [kind for kind, _ in told] == ["warning"]


def test_nobody_is_told_of_missing_faces_that_were_not_looked_for(handlers, told):
    handlers.show(str(PORTRAIT), "toy", "none")
    assert told == []


def test_a_face_style_without_faces_is_refused(handlers):
    with pytest.raises(gr.Error, match="faces only"):
        handlers.show(str(PORTRAIT), "mask", "none")


def test_no_photo_and_no_picture_are_refused_in_words(handlers, tmp_path):
    with pytest.raises(gr.Error, match="Choose a photo"):
        handlers.show(None, "toy")
    text = tmp_path / "text.jpg"
    text.write_text("hello " * 40)
    with pytest.raises(gr.Error, match=r"text\.jpg.*expected a photo") as refused:
        handlers.show(str(text), "toy")
    assert not refused.value.print_exception


def test_an_unknown_style_is_refused(handlers):
    with pytest.raises(gr.Error, match="no style 'oil'"):
        handlers.show(str(PORTRAIT), "oil")


def test_a_hub_that_does_not_answer_is_explained(cache):
    def away(style):
        raise ConnectionError("the Hub does not answer")

    with pytest.raises(gr.Error, match="does not answer"):
        app.Handlers(toy_app.STYLES, away).show(str(PORTRAIT), "toy")


def test_styles_are_listed_with_licence_and_source(handlers):
    assert [style["name"] for style in handlers.list_styles()] == ["toy", "mask"]
    assert "CC0-1.0" in handlers.about("mask") and "someone/mask" in handlers.about("mask")


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("/x/My photo (1).jpeg", "My-photo-1-toy.png"),
        ("/x/Zoë & Ünal.png", "Zoë-Ünal-toy.png"),
        ("/x/..;$(rm)<b>.png", "rm-b-toy.png"),
        ("/x/---.jpg", "photo-toy.png"),
        (f"/x/{'long' * 60}.jpg", f"{'long' * 10}-toy.png"),
        (b"bytes of a file", "photo-toy.png"),
    ],
)
def test_file_names_of_downloads(cache, source, name):
    assert app.saved(Image.new("RGB", (2, 2)), source, "toy").name == name


def test_faces_are_framed_where_they_are():
    photo = Image.new("RGB", (3200, 1600), "#808080")
    face = toy_app.ToyFace((800, 400, 1600, 1200), [])
    boxes = app.boxed(photo, [face])
    frame = boxes.point(lambda value: 255 * (value != 128)).convert("L").getbbox()
    assert boxes.size == (1600, 800)
    assert frame == (400, 200, 801, 601)


# Server ---------------------------------------------------------------------------------------


def test_api_draws_a_portrait(client, tmp_path):
    with Image.open(client.predict(handle_file(PORTRAIT), api_name="/toonify")) as toon:
        assert (toon.format, toon.size) == ("PNG", (512, 512))


def test_api_is_documented(http):
    api = http.get("/info").json()["named_endpoints"]
    assert set(api) == {"/toonify", "/detect", "/styles"}
    assert all(endpoint["description"] for endpoint in api.values())
    assert [p["parameter_name"] for p in api["/toonify"]["parameters"]] == [
        "photo",
        "style",
        "faces",
        "strength",
        "keep_colour",
    ]


def test_api_lists_styles_and_faces(client):
    assert client.predict(api_name="/styles")[0]["title"] == "Toy"
    [face] = client.predict(handle_file(PORTRAIT), api_name="/detect")
    assert face["box"] == pytest.approx([153.6, 128, 358.4, 409.6])
    assert len(face["points"]) == 5


@pytest.mark.parametrize(
    "options", [{"style": "/etc"}, {"style": "someone/else"}, {"faces": "most"}, {"strength": 1.5}]
)
def test_api_refuses_options_that_are_not_on_the_screen(client, server, options):
    calls = len(server[1]("toy").calls)
    with pytest.raises(AppError, match=r"not in the list|greater than"):
        client.predict(handle_file(PORTRAIT), **{"style": "toy", **options}, api_name="/toonify")
    assert len(server[1]("toy").calls) == calls


def test_odd_inputs_are_drawn_or_refused_in_words(http, tmp_path):
    inputs = make_odd_inputs(tmp_path)
    sendable = {name: (p, want) for name, (p, want) in inputs.items() if p.is_file()}
    assert len(sendable) >= 30
    files = [("files", (name, path.read_bytes())) for name, (path, _) in sendable.items()]
    uploads = http.post("/upload", files=files).json()
    faults = {}
    for (name, (path, want)), upload in zip(sendable.items(), uploads, strict=True):
        kind, answer = post(http, {"path": upload, "orig_name": name, "meta": FILE}).split("\n")[:2]
        answer = json.loads(answer.removeprefix("data: "))
        if kind == "event: complete":
            with Image.open(io.BytesIO(http.get(answer[0]["url"]).content)) as toon:
                right = want == "ok" and toon.size == images.load(path).size
        else:
            text = answer["error"] or ""
            right = want == "refused" and ("expected" in text or "at most" in text)
            right = right and os.sep not in text and "Traceback" not in text
        if not right:
            faults[name] = answer
    assert faults == {}


@pytest.mark.parametrize(
    "path", ["/etc/passwd", str(PORTRAIT), "app.py", "CACHE/../../../etc/passwd", "CACHE/../log"]
)
@pytest.mark.parametrize("meta", [{"meta": FILE}, {}], ids=["with meta", "without meta"])
def test_files_of_the_server_are_not_read(http, path, meta):
    path = path.replace("CACHE", os.environ["GRADIO_TEMP_DIR"])
    answer = post(http, {"path": path, **meta})
    assert "event: error" in answer
    assert path not in answer
    assert http.get(f"/file={path}").status_code in (403, 404)


@pytest.mark.parametrize("url", ["http://example.com/a.jpg", "http://127.0.0.1:1/a.jpg"])
def test_addresses_are_not_fetched(http, url, monkeypatch):
    def fetch(*args, **kwargs):
        raise AssertionError("the server went to the network")

    monkeypatch.setattr("gradio.processing_utils.async_ssrf_protected_download", fetch)
    assert "not its address" in post(http, {"path": url, "meta": FILE})


def test_data_urls_are_read_within_the_size_limit(http, monkeypatch):
    url = f"data:image/jpeg;base64,{base64.b64encode(PORTRAIT.read_bytes()).decode()}"
    assert "photo-toy.png" in post(http, {"url": url})
    assert "not valid base64" in post(http, {"url": "data:image/png;base64,!"})
    monkeypatch.setattr(images, "MAX_BYTES", 2**15)
    assert "larger than" in post(http, {"url": url})


def test_uploads_over_the_limit_are_refused(http):
    big = io.BytesIO(b"\0" * (images.MAX_BYTES + 1))
    answer = http.post("/upload", files={"files": big})
    assert answer.status_code == 413


def test_the_queue_cannot_be_stepped_past(http):
    data = {"data": [None, "toy", "all", 1, False]}
    for route in ("api", "run"):
        answer = http.post(f"/{route}/toonify", json=data)
        assert answer.status_code == 404


def test_progress_is_passed_on_and_a_full_queue_says_so(server, client, monkeypatch):
    free = threading.Event()
    draw = toy_app.ToyPipeline.__call__

    def slow(self, *args, **options):
        options["progress"](0.5, "Thinking")
        free.wait(20)
        return draw(self, *args, **options)

    monkeypatch.setattr(toy_app.ToyPipeline, "__call__", slow)
    jobs = [client.submit(handle_file(PORTRAIT), api_name="/toonify") for _ in range(26)]
    try:
        deadline = time.monotonic() + 20
        while not any(job.done() for job in jobs) and time.monotonic() < deadline:
            time.sleep(0.05)
        refused = [job.exception() for job in jobs if job.done()]
        assert refused and all("Queue is full" in str(error) for error in refused)
        waiting = [job for job in jobs if not job.done()]
        while not any(job.status().progress_data for job in waiting):
            assert time.monotonic() < deadline, "nobody heard of the progress"
            time.sleep(0.05)
    finally:
        free.set()
    assert sum(job.exception() is None for job in jobs) >= 20


def test_nothing_of_a_visitor_is_kept(tmp_path, cache, toys, monkeypatch):
    monkeypatch.setattr(app, "CLEAN_EVERY_S", 1)
    monkeypatch.setattr(app, "KEEP_S", 1)

    def kept():
        return {path.name for path in cache.rglob("*") if path.is_file()}

    with toy_app.served(toys) as url:
        examples = kept()
        client = Client(url, verbose=False, download_files=tmp_path / "client")
        client.predict(handle_file(plain(tmp_path)), api_name="/toonify")
        httpx.post(f"{url}/gradio_api/upload", files={"files": ("unused.jpg", b"bytes")})
        assert len(kept() - examples) >= 3
        deadline = time.monotonic() + 10
        while kept() - examples and time.monotonic() < deadline:
            time.sleep(0.1)
        assert kept() == examples
        assert {path.name for path in app.EXAMPLES} <= examples


def test_python_app_py_serves_and_draws_without_a_network(tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    env = os.environ | {
        "GRADIO_SERVER_PORT": str(port),
        "GRADIO_TEMP_DIR": str(tmp_path),
        "HF_HUB_OFFLINE": "1",
    }
    with open(tmp_path / "log", "w") as log:
        start = time.monotonic()  # 5 s where nothing else runs; the limit is for busy machines
        process = subprocess.Popen([sys.executable, "app.py"], cwd=ROOT, env=env, stdout=log)
    try:
        answer = None
        while answer is None and process.poll() is None and time.monotonic() < start + 90:
            try:
                answer = httpx.get(url, timeout=15)
            except httpx.TransportError:
                time.sleep(0.1)
        assert answer is not None and answer.status_code == 200, (tmp_path / "log").read_text()
        if (hub.BUNDLED / hub.DEFAULT_STYLE / hub.CONFIG).is_file():
            client = Client(url, verbose=False, download_files=tmp_path / "client")
            with Image.open(client.predict(handle_file(PORTRAIT), api_name="/toonify")) as toon:
                assert toon.size == (512, 512)
    finally:
        process.kill()
        process.wait()
