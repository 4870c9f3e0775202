"""Attacks on the app, done to a running server: each is refused, or harmless."""

import contextlib
import io
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest
from PIL import Image

import app
from tests.conftest import ROOT
from tests.fixtures import toy_app
from toonify.ui import cleaning, components, gateway, outputs, visitors
from toonify.ui.handlers import live, photo
from toonify.ui.queueing import SHARES

PORTRAIT = components.EXAMPLES[0]
FILE = {"_type": "gradio.FileData"}
CLOSED = [
    ("POST", "/gradio_api/process_recording"),
    ("POST", "/gradio_api/component_server"),
    ("POST", "/gradio_api/vibe-edit"),
    ("POST", "/gradio_api/vibe-edit/"),
    ("POST", "/gradio_api/undo-vibe-edit"),
    ("GET", "/gradio_api/vibe-code"),
    ("POST", "/gradio_api/vibe-code"),
    ("POST", "/gradio_api/vibe-starter-queries"),
    ("GET", "/gradio_api/deep_link"),
    ("GET", "/monitoring"),
    ("GET", "/monitoring/summary"),
    ("GET", "/gradio_api/runs"),
    ("GET", "/gradio_api/proxy=http://127.0.0.1:1/"),
    ("GET", "/gradio_api/dev/reload"),
    ("GET", "/gradio_api/custom_component/1/client/component/style.css"),
    ("GET", "/gradio_api/profiling/traces"),
    ("POST", "/login"),
    ("PUT", "/gradio_api/upload"),
    ("DELETE", "/"),
    ("POST", "/gradio_api/call/nothing"),
    ("POST", "/gradio_api/call/v2/nothing"),
    ("POST", "/gradio_api/run/nothing"),
]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The address of a running page, its folder and its pipelines."""
    toys, folder = toy_app.Toys(), tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(folder))
        patch.setattr(photo, "find_faces", toy_app.find_faces)
        patch.setattr(gateway, "UPLOADS", 5000)
        patch.setattr(gateway, "CALLS", 50_000)
        with toy_app.served(toys) as url:
            yield url, folder, toys


@pytest.fixture
def http(site):
    with httpx.Client(base_url=site[0], timeout=60, verify=False) as http:
        yield http


def call(http, name: str, data: list) -> str:
    """What the server answers to a call of an endpoint."""
    sent = http.post(f"/gradio_api/call/{name}", json={"data": data})
    if sent.status_code != 200:
        return sent.text
    return http.get(f"/gradio_api/call/{name}/{sent.json()['event_id']}").text


def upload(http) -> dict:
    with open(PORTRAIT, "rb") as file:
        [path] = http.post("/gradio_api/upload", files={"files": file}).json()
    return {"path": path, "meta": FILE}


def list_files(folder) -> set:
    """The files below a folder that may change meanwhile."""
    return {Path(where, name) for where, _, names in os.walk(folder) for name in names}


# Doors -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "path"), CLOSED)
def test_doors_that_nothing_uses_are_closed(http, method, path):
    assert http.request(method, path).status_code == 404


def test_a_playlist_as_a_recording_reads_no_file_of_the_server(http, tmp_path):
    hidden = tmp_path / "hidden.mp4"
    hidden.write_bytes(b"secret")
    playlist = f"#EXTM3U\n#EXTINF:1,\nfile://{hidden}\n#EXT-X-ENDLIST\n".encode()
    answer = http.post("/gradio_api/process_recording", files={"file": ("a.mp4", playlist)})
    assert answer.status_code == 404 and b"secret" not in answer.content


def test_answers_have_the_security_headers_and_the_page_names_only_its_own_folder(http, site):
    page = http.get("/")
    assert page.headers["x-content-type-options"] == "nosniff"
    assert "object-src 'none'" in page.headers["content-security-policy"]
    assert http.get("/nothing").headers["x-content-type-options"] == "nosniff"
    config = http.get("/config").text.replace(str(site[1]), "")
    assert str(ROOT) not in config and os.path.expanduser("~/") not in config


@pytest.mark.parametrize("path", ["/gradio_api/file=%00", "/gradio_api/file=a%0d%0ab", "/%7f"])
def test_addresses_with_control_characters_are_refused(http, path):
    assert http.get(path).status_code == 400


# Bodies ----------------------------------------------------------------------------------------


def send_parts(size: int, part: int = 2**20):
    for _ in range(size // part):
        yield b" " * part


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
@pytest.mark.parametrize(
    ("path", "size"),
    [("call/toonify", 300), ("queue/join", 300), ("run/predict", 8), ("cancel", 2)],
)
def test_large_bodies_are_refused_while_they_arrive(http, path, size, chunked):
    body = send_parts(size * gateway.MB)
    headers = {"content-type": "application/json"}
    if not chunked:
        headers["content-length"] = str(size * gateway.MB)
    try:
        answer = http.post(f"/gradio_api/{path}", content=body, headers=headers)
    except (httpx.WriteError, httpx.ReadError):  # the server hung up on the rest
        return
    assert answer.status_code == 413 and "expected at most" in answer.json()["detail"]


def test_an_upload_of_too_many_files_is_refused(http):
    files = [("files", (f"{i}.png", b"x")) for i in range(gateway.MAX_FILES + 1)]
    answer = http.post("/gradio_api/upload", files=files)
    assert answer.status_code == 413 and answer.text.startswith("Upload at most")


def test_uploads_of_a_visitor_are_limited_in_number_and_size(http, cache, toys, monkeypatch):
    monkeypatch.setattr(gateway, "UPLOADS", 3)
    monkeypatch.setattr(gateway, "UPLOADED", 2 * gateway.MB)
    with toy_app.served(toys) as url:

        def post(size):
            files = {"files": ("a", os.urandom(size))}
            return httpx.post(f"{url}/gradio_api/upload", files=files)

        assert post(gateway.MB).status_code == 200
        assert (post(3 * gateway.MB).status_code, post(10).status_code) == (429, 200)
        answer = post(10)
        assert answer.status_code == 429 and "Try again" in answer.text


def test_uploads_stop_when_the_folder_is_full(http, monkeypatch):
    monkeypatch.setattr(cleaning, "MAX_FOLDER_BYTES", 1000)
    answer = http.post("/gradio_api/upload", files={"files": ("a.png", b"x" * 2000)})
    assert answer.status_code == 507 and "no room" in answer.text


def test_a_body_that_never_ends_is_given_up(http, monkeypatch):
    monkeypatch.setattr(gateway, "MAX_BODY_S", 0.5)

    def trickle():
        for _ in range(15):
            yield b" "
            time.sleep(0.1)

    start = time.monotonic()
    with contextlib.suppress(httpx.TransportError):
        assert http.post("/gradio_api/call/toonify", content=trickle()).status_code == 408
    assert time.monotonic() - start < 20


# Deletion --------------------------------------------------------------------------------------


def test_old_files_parts_and_empty_folders_go_and_examples_stay(tmp_path):
    for name in ("a/photo.png", "b/c/video.mp4", "tmpabc", "example/face.jpg"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    (tmp_path / "empty").mkdir()
    cleaner = cleaning.Cleaner(tmp_path, [str(tmp_path / "example" / "face.jpg")], keep_s=0.3)
    assert cleaner.clean() == 0 and len(list_files(tmp_path)) == 4
    time.sleep(0.4)
    (tmp_path / "new").mkdir()
    assert cleaner.clean() == 3
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")}
    assert left <= {"example", "example/face.jpg", "new", "b"}
    assert cleaner.clean(0) == 0 and cleaner.deleted == 3


def test_uploads_during_cleaning_do_not_end_it(cache, toys, monkeypatch):
    """A cleaner that walks through a set of names ends for good when an upload changes it."""
    monkeypatch.setattr(outputs, "CLEAN_EVERY_S", 0.001)
    monkeypatch.setattr(outputs, "KEEP_S", 1)
    clean, cleaned = cleaning.Cleaner.clean, []

    def count(self, *args):
        found = clean(self, *args)
        cleaned.append(found)
        return found

    monkeypatch.setattr(cleaning.Cleaner, "clean", count)
    for name, limit in (("UPLOADS", 10**6), ("UPLOADED", 10**12)):
        monkeypatch.setattr(gateway, name, limit)
    with toy_app.served(toys) as url:
        examples = list_files(cache)
        end, sent = time.monotonic() + 300, [0] * 4

        def enough() -> bool:
            return sum(sent) > 500 and len(cleaned) > 500 and sum(cleaned) > 100

        def send(number: int) -> None:
            with httpx.Client(base_url=url, timeout=30) as http:
                while time.monotonic() < end and not enough():
                    files = {"files": (f"{number}.png", os.urandom(50))}
                    sent[number] += http.post("/gradio_api/upload", files=files).status_code == 200

        threads = [threading.Thread(target=send, args=[number]) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert enough()
        wait_until(lambda: list_files(cache) == examples, 120)
        assert list_files(cache) == examples


def test_interrupted_uploads_are_deleted(cache, toys, monkeypatch):
    monkeypatch.setattr(outputs, "CLEAN_EVERY_S", 0.2)
    monkeypatch.setattr(outputs, "KEEP_S", 1)
    with toy_app.served(toys) as url:
        examples = list_files(cache)
        host, port = url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as connection:
            head = "POST /gradio_api/upload HTTP/1.1\r\nhost: a\r\ncontent-length: 1000000\r\n"
            kind = "content-type: multipart/form-data; boundary=b\r\n\r\n--b\r\n"
            part = 'content-disposition: form-data; name="files"; filename="a.png"\r\n\r\n'
            connection.sendall((head + kind + part).encode() + b"x" * 100_000)
            wait_until(lambda: list_files(cache) != examples, 120)
        wait_until(lambda: list_files(cache) == examples, 120)
        assert list_files(cache) == examples


def wait_until(true, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not true() and time.monotonic() < deadline:
        time.sleep(0.05)


@pytest.mark.process
def test_nothing_is_left_after_the_server_ended(tmp_path):
    """What SIGKILL leaves goes at the next start, by its age, and SIGTERM cleans at once."""
    with serve_app(tmp_path, KEEP_S="60") as (process, url):
        send_photo(url, tmp_path)
        process.kill()
        process.wait(120)
    assert has_photo(tmp_path)
    with serve_app(tmp_path, KEEP_S="0") as (process, url):
        wait_until(lambda: not has_photo(tmp_path), 120)
        assert not has_photo(tmp_path)
        send_photo(url, tmp_path)  # after the start, files are deleted every ten minutes
        process.send_signal(signal.SIGTERM)
        process.wait(120)
    assert not has_photo(tmp_path)


def send_photo(url: str, folder: Path) -> None:
    """Uploads a photo, which is then in the server's folder."""
    answer = httpx.post(f"{url}/gradio_api/upload", files={"files": ("me.jpg", b"secret")})
    assert answer.status_code == 200 and has_photo(folder)


def has_photo(folder) -> bool:
    return any(path.name == "me.jpg" for path in list_files(folder))


@contextlib.contextmanager
def serve_app(folder, KEEP_S: str):
    """A toy app in a process of its own, which ends as app.py does: the process, the address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    script = f"import tests.fixtures.toy_app as toy; toy.serve({port}, {KEEP_S})"
    env = os.environ | {"GRADIO_TEMP_DIR": str(folder)}
    process = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, env=env)
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 300
        while time.monotonic() < deadline and process.poll() is None:
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(f"{url}/health", timeout=10, verify=False).status_code == 200:
                    break
            time.sleep(0.1)
        yield process, url
    finally:
        process.kill()
        process.wait()


# Fairness --------------------------------------------------------------------------------------


def test_a_visitor_with_fifty_jobs_does_not_keep_others_out(cache, toys, monkeypatch):
    draw = toy_app.ToyPipeline.__call__

    def slow(self, *args, **options):
        time.sleep(0.5)
        return draw(self, *args, **options)

    monkeypatch.setattr(toy_app.ToyPipeline, "__call__", slow)
    # Visitors differ by their address; here a header stands for it.
    monkeypatch.setattr(
        visitors, "identify", lambda scope: dict(scope["headers"]).get(b"x-visitor", b"").decode()
    )
    with toy_app.served(toys) as url, httpx.Client(base_url=url, timeout=60) as other:
        data = [upload(other), "toy", "all", 1, False]
        with httpx.Client(base_url=url, timeout=60, headers={"x-visitor": "greedy"}) as greedy:
            path = "/gradio_api/call/toonify"
            ids = [greedy.post(path, json={"data": data}).json()["event_id"] for _ in range(50)]
            start = time.monotonic()
            assert "event: complete" in call(other, "styles", [])
            assert time.monotonic() - start < 3
            assert "event: complete" in call(other, "toonify", data)
            assert time.monotonic() - start < 10
            answers = [greedy.get(f"{path}/{event}").text for event in ids]
    drawn = ["event: complete" in answer for answer in answers]
    assert SHARES["model"].own <= sum(drawn) < 50
    refused = [answer for answer, done in zip(answers, drawn, strict=True) if not done]
    assert all("which is your share" in answer for answer in refused)


def test_one_visitor_cannot_take_all_places_of_live():
    lanes = {fn.concurrency_id for fn in app.demo.fns.values() if fn.connection == "stream"}
    assert lanes == {"live"} and SHARES["live"].own < live.MAX_SESSIONS


# Values ----------------------------------------------------------------------------------------

NUMBERS = ["NaN", "Infinity", "-Infinity", "1e400", "1e308", "null", "true", '"1"', "[]", "{}"]
WRONG = [
    *NUMBERS,
    '""',
    '"\\u0000"',
    "-1",
    "99999999999999999999999",
    '["a"]',
    '{"path": 1}',
    "[[]]",
]


def test_wrong_values_are_refused_in_a_sentence_without_a_traceback(site, http, capfd):
    named = http.get("/gradio_api/info").json()["named_endpoints"]
    good, faults = upload(http), []
    for name, endpoint in named.items():
        names = [parameter["parameter_name"] for parameter in endpoint["parameters"]]
        for wrong in WRONG:
            for place in range(len(names)):
                values = [fill(parameter, good) for parameter in endpoint["parameters"]]
                values[place] = wrong
                body = f'{{"data": [{", ".join(values)}]}}'
                answer = call_with(http, name, body)
                if '"error": null' in answer or "Traceback" in answer or "event" not in answer:
                    faults.append((name, names[place], wrong, answer[:200]))
    assert faults == []
    assert "Traceback" not in "".join(capfd.readouterr())


def fill(parameter: dict, photo: dict) -> str:
    """A good value of a parameter, as JSON."""
    if parameter.get("parameter_has_default"):
        return json.dumps(parameter["parameter_default"])
    kinds = {"photo": photo, "style": "toy", "seeds": [1, 2], "n": 1}
    return json.dumps(kinds.get(parameter["parameter_name"]))


def call_with(http, name: str, body: str) -> str:
    headers = {"content-type": "application/json"}
    sent = http.post(f"/gradio_api/call{name}", content=body, headers=headers)
    if sent.status_code != 200:
        return f"event: refused {sent.status_code}" if sent.status_code < 500 else sent.text
    return http.get(f"/gradio_api/call{name}/{sent.json()['event_id']}").text


@pytest.mark.parametrize(
    "body",
    [
        *("{}", "[]", '{"data": 1}', '{"data": []}', '{"data": [1,2,3,4,5,6,7,8,9]}', "[" * 5000),
        *("\0", '{"data": [], "fn_index": 999999, "session_hash": "a"}'),
        '{"data": [], "fn_index": -1}',
    ],
)
@pytest.mark.parametrize("path", ["call/toonify", "call/v2/toonify", "queue/join", "run/predict"])
def test_bodies_that_fit_no_function_are_refused(http, path, body):
    headers = {"content-type": "application/json"}
    answer = http.post(f"/gradio_api/{path}", content=body.encode(), headers=headers)
    assert answer.status_code < 500, answer.text


# Health ----------------------------------------------------------------------------------------


def test_health_tells_the_state_and_nothing_of_visitors(http, site):
    answer = http.get("/health")
    report = answer.json()
    assert answer.status_code == 200 and report["ready"] is True
    assert set(report) == {"ready", "queue", "memory_mb", "disk_mb", "cleaner"}
    assert report["memory_mb"]["used"] > 50 and report["disk_mb"]["free"] > 0
    assert report["cleaner"]["last_run_s_ago"] is not None
    assert str(site[1]) not in answer.text and "127.0.0.1" not in answer.text


def test_health_says_that_the_app_warms_up(cache, toys):
    demo = toy_app.build(toys, [])
    demo.ready.clear()
    assert gateway.health.describe(demo)["ready"] is False


def test_the_log_has_no_names_and_no_addresses(http, caplog):
    with caplog.at_level("INFO", "toonify.ui"):
        picture = io.BytesIO()
        Image.new("RGB", (64, 64), "red").save(picture, "PNG")
        files = {"files": ("secret-name.png", picture.getvalue())}
        [path] = http.post("/gradio_api/upload", files=files).json()
        call(http, "toonify", [{"path": path, "meta": FILE}, "toy", "all", 1, False])
        wait_until(lambda: '"event": "done"' in caplog.text, 120)
    lines = [json.loads(record.getMessage()) for record in caplog.records]
    assert {"request", "done"} <= {line["event"] for line in lines}
    assert "secret-name" not in caplog.text and "127.0.0.1" not in caplog.text


def test_visitors_are_told_apart_by_address():
    def tell(host):
        return visitors.identify({"client": (host, 1)})

    assert tell("10.0.0.1") != tell("10.0.0.2")
    assert tell("2001:db8::1") == tell("2001:db8::ffff") != tell("2001:db8:0:1::1")
    allowance = visitors.Allowance(2)
    assert [allowance.take("a") for _ in range(3)] == [True, True, False]
    assert allowance.take("b")
    assert app.demo.cleaner.keep_s + app.demo.cleaner.every_s < 3600
