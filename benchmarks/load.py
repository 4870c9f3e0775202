"""Load on the app: good, broken, huge and canceled requests at once, and what is left afterwards.

    python -m benchmarks.load [--requests 1500] [--uploads 300] [--together 32] [--json FILE]
        [--log FILE]

The app runs in a process of its own on this machine and keeps files for seconds instead of 48
minutes. Requests come from several visitors, whom a header tells apart as behind a proxy. After the
requests the app is killed, started again, and its folder looked at. Exits with 1 if an answer is a
fault, a file is left, or memory has grown by more than 15 %.
"""

import argparse
import collections
import contextlib
import dataclasses
import json
import os
import random
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx

from benchmarks.report import positive
from training.core import records

ROOT = Path(__file__).parents[1]
PHOTO = ROOT / "hub_cards" / "faces" / "astronaut.jpg"
STYLE = "comic"
KEEP_S = 30  # instead of 48 minutes; more than an upload takes on a busy machine
VISITORS = 12
GROWTH = 1.15  # of memory, at most
MB = 2**20
SERVER = """
import logging, sys
from toonify.ui import outputs
outputs.CLEAN_EVERY_S, outputs.KEEP_S = 1, float(sys.argv[2])
import app
logging.basicConfig(format="%(message)s")
app.serve(app.demo, app.warm_app, server_name="127.0.0.1", server_port=int(sys.argv[1]), quiet=True)
"""
WRONG = ("NaN", "Infinity", "null", "true", '"x"', "[]", "{}", "-1", "1e400", '"\\u0000"', "[[]]")
CLOSED = ("process_recording", "component_server", "vibe-edit", "deep_link", "call/nothing")


@dataclasses.dataclass
class Tally:
    """What was answered: counts by kind and outcome, faults, and seconds of good drawings."""

    outcomes: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    faults: list[str] = dataclasses.field(default_factory=list)
    seconds: list[float] = dataclasses.field(default_factory=list)
    lock: threading.Lock = dataclasses.field(default_factory=threading.Lock)

    def add(self, kind: str, outcome: str, answer: str = "") -> None:
        with self.lock:
            self.outcomes[f"{kind}: {outcome}"] += 1
            if outcome == "fault":
                self.faults.append(f"{kind}: {answer[:300]}")


class Visitor:
    """Calls the app from an address of its own.

    Args:
        url: of the app.
        number: of the visitor.
    """

    def __init__(self, url: str, number: int):
        address = {"x-forwarded-for": f"192.0.2.{number + 1}"}  # of documentation, never contacted
        # The server closes what is idle for five seconds: a request may not meet that.
        limits = httpx.Limits(keepalive_expiry=1)
        self.http = httpx.Client(base_url=url, timeout=300, headers=address, limits=limits)

    def upload(self, name: str, data: bytes) -> dict[str, Any] | httpx.Response:
        """Uploads a file: what stands for it in a call, or the answer that refuses it."""
        answer = self.http.post("/gradio_api/upload", files={"files": (name, data)})
        if answer.status_code != 200:
            return answer
        return {"path": answer.json()[0], "meta": {"_type": "gradio.FileData"}}

    def call(self, name: str, body: str) -> tuple[int, str]:
        """Calls a function with a body of JSON: the status, and the answer's text."""
        headers = {"content-type": "application/json"}
        sent = self.http.post(f"/gradio_api/call/{name}", content=body, headers=headers)
        if sent.status_code != 200:
            return sent.status_code, sent.text
        return 200, self.http.get(f"/gradio_api/call/{name}/{sent.json()['event_id']}").text


def judge(status: int, text: str) -> str:
    """What an answer is: "done", "refused" in a sentence, or a "fault"."""
    if '"error": null' in text or "Traceback" in text:
        return "fault"
    if status in (503, 507) and "detail" in text:
        return "refused"
    if status >= 500:
        return "fault"
    return "done" if status == 200 and "event: complete" in text else "refused"


# Requests: each takes a visitor and random numbers, and says what came of it -------------------


def draw(visitor: Visitor, rng: random.Random, data: bytes = b"") -> tuple[str, str]:
    """Uploads a photo and draws it."""
    file = visitor.upload("photo.jpg", data or PHOTO.read_bytes())
    if isinstance(file, httpx.Response):
        return judge(file.status_code, file.text), file.text
    answer = visitor.call("toonify", json.dumps({"data": [file, STYLE, "all", 1, False]}))
    return judge(*answer), answer[1]


def draw_broken(visitor: Visitor, rng: random.Random) -> tuple[str, str]:
    """A photo that is cut off, changed, empty or something else."""
    data = bytearray(PHOTO.read_bytes())
    for _ in range(rng.randrange(1, 30)):
        data[rng.randrange(len(data))] = rng.randrange(256)
    text = b"<svg onload='alert(1)'/>" * 50
    return draw(visitor, rng, rng.choice((bytes(data), bytes(data[:5000]), text)))


def draw_huge(visitor: Visitor, rng: random.Random) -> tuple[str, str]:
    """More JSON than is taken, declared or in parts."""
    size = 25 * MB
    parts = (b" " * MB for _ in range(size // MB))
    length = {"content-length": str(size)} if rng.random() < 0.5 else {}
    headers = {"content-type": "application/json", **length}
    try:
        answer = visitor.http.post("/gradio_api/call/toonify", content=parts, headers=headers)
    except httpx.TransportError:  # the app hung up on the rest
        return "refused", ""
    return ("refused" if answer.status_code in (413, 503) else "fault"), answer.text


def call_wrong(visitor: Visitor, rng: random.Random) -> tuple[str, str]:
    """Values of wrong types."""
    name, count = rng.choice((("toonify", 5), ("faces", 4), ("mix", 4), ("portrait", 5)))
    body = f'{{"data": [{", ".join(rng.choice(WRONG) for _ in range(count))}]}}'
    answer = visitor.call(name, body)
    return judge(*answer), answer[1]


def call_closed(visitor: Visitor, rng: random.Random) -> tuple[str, str]:
    """A route that is not open."""
    answer = visitor.http.post(f"/gradio_api/{rng.choice(CLOSED)}", json={})
    return ("refused" if answer.status_code == 404 else "fault"), answer.text


def call_light(visitor: Visitor, rng: random.Random) -> tuple[str, str]:
    """The list of styles."""
    answer = visitor.call("styles", '{"data": []}')
    return judge(*answer), answer[1]


def cancel(visitor: Visitor, rng: random.Random) -> tuple[str, str]:
    """A drawing whose visitor leaves."""
    file = visitor.upload("photo.jpg", PHOTO.read_bytes())
    if isinstance(file, httpx.Response):
        return judge(file.status_code, file.text), file.text
    body = {"data": [file, STYLE, "all", 1, False]}
    sent = visitor.http.post("/gradio_api/call/toonify", json=body)
    if sent.status_code == 200:
        path = f"/gradio_api/call/toonify/{sent.json()['event_id']}"
        with contextlib.suppress(httpx.TimeoutException):
            visitor.http.get(path, timeout=rng.uniform(0.05, 0.5))
    return ("done" if sent.status_code == 200 else judge(sent.status_code, sent.text)), sent.text


def break_off(visitor: Visitor, rng: random.Random) -> tuple[str, str]:
    """An upload whose connection ends in the middle."""
    url = visitor.http.base_url
    head = (
        f"POST /gradio_api/upload HTTP/1.1\r\nhost: {url.host}\r\ncontent-length: 1000000\r\n"
        f"x-forwarded-for: {visitor.http.headers['x-forwarded-for']}\r\n"
        "content-type: multipart/form-data; boundary=b\r\n\r\n--b\r\n"
        'content-disposition: form-data; name="files"; filename="private.png"\r\n\r\n'
    )
    with socket.create_connection((url.host, url.port or 80)) as connection:
        connection.sendall(head.encode() + b"x" * rng.randrange(100_000))
    return "done", ""


# Kind -> how many of a hundred requests, and what does one.
MIX: dict[str, tuple[int, Callable]] = {
    "good photo": (18, draw),
    "broken photo": (20, draw_broken),
    "huge body": (4, draw_huge),
    "wrong values": (28, call_wrong),
    "closed route": (8, call_closed),
    "styles": (10, call_light),
    "canceled": (6, cancel),
    "broken off": (6, break_off),
}


def send_all(url: str, requests: int, together: int, seed: int = 0) -> Tally:
    """Sends so many requests of all kinds, so many at a time."""
    tally, chosen = Tally(), random.Random(seed)
    kinds = chosen.choices(list(MIX), [share for share, _ in MIX.values()], k=requests)
    people = [Visitor(url, number) for number in range(VISITORS)]

    def send(number: int, kind: str) -> None:
        start = time.monotonic()
        try:
            outcome, text = MIX[kind][1](people[number % VISITORS], random.Random(number))
        except httpx.HTTPError as error:
            outcome, text = "fault", f"{type(error).__name__}: {error}"
        tally.add(kind, outcome, text)
        if kind == "good photo" and outcome == "done":
            with tally.lock:
                tally.seconds.append(time.monotonic() - start)

    with ThreadPoolExecutor(together) as pool:
        list(pool.map(send, range(requests), kinds))
    return tally


def upload_all(url: str, uploads: int) -> int:
    """Uploads so many files, whole and broken off; returns how many were taken."""
    people, rng = [Visitor(url, number) for number in range(VISITORS)], random.Random(1)
    taken = 0
    for number in range(uploads):
        visitor = people[number % VISITORS]
        if number % 3 == 2:
            break_off(visitor, rng)
        else:
            name = ("private.jpg", "private.mp4")[number % 2]
            taken += isinstance(visitor.upload(name, rng.randbytes(20_000)), dict)
    return taken


# The app ----------------------------------------------------------------------------------------


@contextlib.contextmanager
def serving(folder: Path, log: Path) -> Iterator[tuple[subprocess.Popen, str]]:
    """The app in a process of its own, warmed up: the process and its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = {
        "GRADIO_TEMP_DIR": str(folder),
        "FORWARDED_ALLOW_IPS": "127.0.0.1",
        "MALLOC_ARENA_MAX": "2",  # as in the Dockerfile
    }
    with open(log, "a") as written:
        process = subprocess.Popen(
            [sys.executable, "-c", SERVER, str(port), str(KEEP_S)],
            cwd=ROOT,
            env=os.environ | settings,
            stdout=written,
            stderr=written,
        )
    try:
        wait_for(lambda: ask(f"http://127.0.0.1:{port}") is not None, 600, "the app to start")
        yield process, f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


def ask(url: str) -> dict[str, Any] | None:
    """What /health says; None until the app is ready."""
    with contextlib.suppress(httpx.TransportError):
        answer = httpx.get(f"{url}/health", timeout=30)
        if answer.status_code == 200:
            return answer.json()
    return None


def wait_for(true: Callable[[], object], seconds: float, what: str) -> None:
    """Waits until something is true; TimeoutError says what did not come."""
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds:.0f} s for {what}")
        time.sleep(0.2)


def list_files(folder: Path) -> set[str]:
    """The files below a folder that may change meanwhile."""
    return {os.path.join(where, name) for where, _, names in os.walk(folder) for name in names}


def wait_until_clean(folder: Path, examples: set[str]) -> list[str]:
    """The files that are still there after the time for which files are kept, and a minute."""
    with contextlib.suppress(TimeoutError):
        wait_for(lambda: list_files(folder) <= examples, KEEP_S + 60, "the cleaner")
    return sorted(list_files(folder) - examples)


def measure(requests: int, uploads: int, together: int, log: Path | None = None) -> dict[str, Any]:
    """Loads the app as the module's docstring says; returns what was found.

    Args:
        requests: of all kinds.
        uploads: after them.
        together: requests at a time.
        log: a new file for what the app writes; default: one that is deleted at the end.
    """
    with tempfile.TemporaryDirectory() as kept:
        folder, log = Path(kept, "files"), log or Path(kept, "log")
        with serving(folder, log) as (process, url):
            examples = list_files(folder)
            alone = send_good(url, 5)
            send_all(url, max(requests // 20, 20), together, seed=1)  # what is loaded once is
            wait_until_clean(folder, examples)
            before = (ask(url) or {})["memory_mb"]["used"]
            start = time.monotonic()
            tally = send_all(url, requests, together)
            took = time.monotonic() - start
            left = wait_until_clean(folder, examples)
            after = (ask(url) or {})["memory_mb"]["used"]
            taken = upload_all(url, uploads)
            after_uploads = wait_until_clean(folder, examples)
            upload_all(url, max(uploads // 10, 10))
            process.send_signal(signal.SIGKILL)
            process.wait()
            killed = len(list_files(folder) - examples)
        with serving(folder, log) as (_, url):
            after_kill = wait_until_clean(folder, examples)
        text = log.read_text(errors="replace")
    good = sorted(tally.seconds)
    return {
        "requests": requests,
        "together": together,
        "seconds": round(took, 1),
        "outcomes": dict(sorted(tally.outcomes.items())),
        "faults": tally.faults[:20],
        "tracebacks_in_log": len(re.findall("^Traceback", text, re.M)),
        "photo_alone_s": round(statistics.mean(alone), 2),
        "photo_p95_s": round(good[int(0.95 * (len(good) - 1))], 2) if good else None,
        "memory_mb": {"before": before, "after": after},
        "left_after_requests": len(left),
        "uploads_taken": taken,
        "left_after_uploads": len(after_uploads),
        "there_when_killed": killed,
        "left_after_restart": len(after_kill),
    }


def send_good(url: str, count: int) -> list[float]:
    """Seconds of so many drawings, one after the other."""
    visitor, seconds = Visitor(url, VISITORS), []
    for _ in range(count):
        start = time.monotonic()
        outcome, text = draw(visitor, random.Random(0))
        if outcome != "done":
            raise RuntimeError(f"the app did not draw a photo: {text[:300]}")
        seconds.append(time.monotonic() - start)
    return seconds


def find_broken_promises(found: dict[str, Any]) -> list[str]:
    """What in the figures is not as it should be, in words."""
    memory = found["memory_mb"]
    broken = [f"fault: {fault}" for fault in found["faults"]]
    if found["tracebacks_in_log"]:
        broken.append(f"{found['tracebacks_in_log']} tracebacks in the log")
    if memory["after"] > GROWTH * memory["before"]:
        broken.append(f"memory grew from {memory['before']} to {memory['after']} MB")
    for key in ("left_after_requests", "left_after_uploads", "left_after_restart"):
        if found[key]:
            broken.append(f"{found[key]} files: {key.replace('_', ' ')}")
    return broken


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--requests", type=positive, default=1500, help="requests of all kinds")
    parser.add_argument("--uploads", type=positive, default=300, help="uploads after them")
    parser.add_argument("--together", type=positive, default=32, help="requests at a time")
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    parser.add_argument("--log", type=Path, help="new file for what the app writes to its log")
    options = parser.parse_args()
    if options.log is not None and options.log.exists():
        parser.error(f"--log {options.log}: the file exists already; expected a new one")
    found = measure(options.requests, options.uploads, options.together, options.log)
    text = json.dumps(found, indent=1)
    print(text)
    if options.json:
        records.write_text(text + "\n", options.json)
    broken = find_broken_promises(found)
    for line in broken:
        print(line, file=sys.stderr)
    sys.exit(1 if broken else 0)


if __name__ == "__main__":
    main()
