"""Times of the app in a browser: page, first preview and all previews, each from a cold start.

    python -m benchmarks.app_start [--starts 3] [--photo FILE] [--json FILE]

Each start is a new process with an empty cache of compiled networks. The photo, of 1024x768 px, is
dropped as soon as the page stands ("at once"), and in other starts when /health says that the app
has warmed up ("warm"). The last preview is that of StyleGAN. It needs Chromium and playwright, as
the browser tests do. The figures are medians.
"""

import argparse
import contextlib
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
from PIL import Image

from benchmarks.report import positive

ROOT = Path(__file__).parents[1]
PHOTO = ROOT / "hub_cards" / "faces" / "random_032.jpg"
SIZE = (1024, 768)  # px
DEADLINE_S = 300
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
# The line below the previews says how many there are, and at the end what they are for.
REPORT = "(document.querySelector('#previews-report')?.innerText ?? '')"
SHOWN = (
    ("first preview", f"/^([1-9]|Press)/.test({REPORT})"),
    (
        "AnimeGANv2 previews",
        f"(([all, drawn, total]) => /^Press/.test(all) || +drawn >= total - 1)"
        f"({REPORT}.match(/^([0-9]+) of ([0-9]+)|^Press/) ?? ['', 0, 9])",
    ),
    ("large drawing", "document.querySelectorAll('#compare img')[1]?.naturalWidth > 0"),
    ("all previews", f"/^Press/.test({REPORT})"),
)


@contextlib.contextmanager
def started(cache: Path) -> Iterator[tuple[str, float]]:
    """The app in a process of its own: its address, and when it was started."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = {"GRADIO_SERVER_NAME": "127.0.0.1", "GRADIO_SERVER_PORT": str(port)}
    folders = {"TOONIFY_CACHE": str(cache / "networks"), "GRADIO_TEMP_DIR": str(cache / "files")}
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "app.py"],
        cwd=ROOT,
        env={**os.environ, **server, **folders, "HF_HUB_OFFLINE": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield f"http://127.0.0.1:{port}", start
    finally:
        process.terminate()
        process.wait()


def wait_for(address: str) -> None:
    """Waits until an address answers with 200."""
    end = time.perf_counter() + DEADLINE_S
    while time.perf_counter() < end:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(address, timeout=10).status_code == 200:
                return
        time.sleep(0.05)
    raise TimeoutError(f"{address} did not answer within {DEADLINE_S} s")


def measure(browser, photo: Path, warm: bool) -> dict[str, float]:
    """Seconds of one start: until the page answers, and from the drop to each result."""
    with tempfile.TemporaryDirectory() as cache, started(Path(cache)) as (address, start):
        wait_for(address)
        figures = {"page answers": time.perf_counter() - start}
        if warm:
            wait_for(f"{address}/health")
            figures["warmed up"] = time.perf_counter() - start
        page = browser.new_page(locale="en-US")
        page.set_default_timeout(1000 * DEADLINE_S)
        page.goto(address)
        page.wait_for_selector("#draw", state="attached")
        page.locator("#photo input[type=file]").set_input_files(photo)
        dropped = time.perf_counter()
        for name, condition in SHOWN:
            page.wait_for_function(condition)
            figures[f"{name} after the drop"] = time.perf_counter() - dropped
        page.close()
    return figures


def make_photo(source: Path, target: Path) -> Path:
    """Writes a photo of `SIZE`, in which the source has its height."""
    with Image.open(source) as image:
        photo = image.convert("RGB").resize((SIZE[1], SIZE[1]))
    page = photo.resize((8, 8)).resize(SIZE)
    page.paste(photo, ((SIZE[0] - SIZE[1]) // 2, 0))
    page.save(target, quality=92)
    return target


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument(
        "--starts", type=positive, default=3, help="starts of each kind; default: 3"
    )
    parser.add_argument("--photo", type=Path, default=PHOTO, help="portrait; default: an example")
    parser.add_argument("--json", type=Path, help="file to write the figures into")
    options = parser.parse_args(arguments)
    chromium = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if chromium is None:
        parser.error("no chromium or google-chrome on the PATH")
    from playwright.sync_api import sync_playwright

    results = {}
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        photo = make_photo(options.photo, Path(folder) / "portrait.jpg")
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for kind in ("at once", "warm"):
            runs = [measure(browser, photo, kind == "warm") for _ in range(options.starts)]
            results[kind] = {name: statistics.median(run[name] for run in runs) for name in runs[0]}
            for name, seconds in results[kind].items():
                print(f"{kind:8} {name:30} {seconds:6.2f} s")
        browser.close()
    print(f"load of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
