"""The browser app beside the library: the same photos drawn by both, times, and memory.

    python -m benchmarks.browser SITE [PHOTO ...] [--large FILE] [--live] [--json FILE]

SITE is what `toonify web` has written, with styles of the same names as the library's. Chromium
draws by WebAssembly without a GPU. Times of both are medians of calls that take turns.
"""

import argparse
import base64
import contextlib
import dataclasses
import functools
import http.server
import io
import json
import math
import os
import shutil
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from PIL import Image

from toonify import AnimeGANPipeline, hub

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
CAMERA_FLAGS = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
ISOLATION = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
}
SIDES = (256, 512)  # px of the photos that are timed
ROUNDS = 9
EVERY_S = 0.05  # between two looks at the memory
LIVE_SIDES = (192, 256)  # px of the camera's images
LIVE_S = 12.0  # that the camera is drawn, after as long a start
# Draws a photo, given as base64, and returns a PNG and the seconds of the whole drawing.
DRAW = """async ([photo, style]) => {
  self.toonify ??= await (await import("./toonify.js")).openToonify();
  const blob = await (await fetch("photo/" + photo)).blob();
  const start = performance.now();
  const png = await self.toonify.draw(blob, { style });
  const seconds = (performance.now() - start) / 1000;
  const bytes = new Uint8Array(await png.arrayBuffer());
  let text = "";
  for (let i = 0; i < bytes.length; i += 32768) {
    text += String.fromCharCode(...bytes.subarray(i, i + 32768));
  }
  return [btoa(text), seconds];
}"""
# Runs the network of a style on a square.
RUN = """async ([client, side, style]) => {
  const { Client } = await import(client);
  self.client ??= new Client(new URL("./", location.href), "wasm");
  await self.client.config;
  const frame = await createImageBitmap(new ImageData(side, side));
  const start = performance.now();
  await self.client.call("live", { frame, style }, { transfer: [frame] });
  return (performance.now() - start) / 1000;
}"""


@contextlib.contextmanager
def serve(
    site: Path, headers: dict[str, str] | None = None, photos: dict[str, Path] | None = None
) -> Iterator[tuple[str, list[str]]]:
    """Serves a folder on this machine as a static host does.

    Args:
        site: the folder.
        headers: sent with each answer.
        photos: served below photo/.

    Yields:
        The address, and the paths that were requested.
    """
    asked: list[str] = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            super().do_GET()

        def translate_path(self, path: str) -> str:
            name = path.rpartition("/")[2]
            if path.startswith("/photo/") and name in (photos or {}):
                return str((photos or {})[name])
            return super().translate_path(path)

        def end_headers(self) -> None:
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            super().end_headers()

        def log_message(self, *values: Any) -> None:
            pass

    handler = functools.partial(Handler, directory=str(site))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/", asked
        finally:
            server.shutdown()
            thread.join()


@contextlib.contextmanager
def open_browser() -> Iterator[Any]:
    """Starts headless Chromium."""
    from playwright.sync_api import sync_playwright

    program = next(filter(None, map(shutil.which, CHROMIUM)), None)
    with sync_playwright() as playwright:
        flags = [*FLAGS, *CAMERA_FLAGS]
        browser = playwright.chromium.launch(executable_path=program, args=flags)
        try:
            yield browser
        finally:
            browser.close()


def psnr(one: Image.Image, other: Image.Image) -> float:
    """Peak signal-to-noise ratio in dB; infinite for equal images."""
    first, second = (np.asarray(image.convert("RGB"), np.float64) for image in (one, other))
    error = np.square(first - second).mean()
    return math.inf if error == 0 else 10 * math.log10(255**2 / error)


@dataclasses.dataclass
class Drawing:
    """A photo that both have drawn."""

    photo: str
    width: int
    height: int
    psnr: float
    library_s: float
    browser_s: float


def compare_drawings(site: Path, photos: list[Path], style: str) -> list[Drawing]:
    """Draws photos by the library and in the browser."""
    pipeline = open_style(style)
    served = {photo.name: photo for photo in photos}
    drawings = []
    with serve(site, ISOLATION, served) as (url, _), open_browser() as browser:
        page = browser.new_page()
        page.set_default_timeout(600_000)
        page.goto(url)
        for photo in photos:
            png, seconds = page.evaluate(DRAW, [photo.name, Path(style).name])
            start = time.perf_counter()
            toon = pipeline(photo).image
            ours = time.perf_counter() - start
            found = Image.open(io.BytesIO(base64.b64decode(png)))
            assert found.size == toon.size, (photo, found.size, toon.size)
            row = Drawing(photo.name, *toon.size, psnr(found, toon), ours, seconds)
            drawings.append(row)
            print(
                f"{row.photo:28} {row.width:>5}x{row.height:<5} {row.psnr:5.1f} dB,"
                f" library {ours:.2f} s, browser {seconds:.2f} s"
            )
    return drawings


def open_style(style: str) -> AnimeGANPipeline:
    """A style with the generator that the browser app has: the fast one if there is one."""
    fast = hub.has_lite(hub.resolve_model(style))
    return AnimeGANPipeline.from_pretrained(style, device="cpu", quality="fast" if fast else "best")


def time_networks(site: Path, style: str) -> list[dict[str, Any]]:
    """Times of one drawing of a square: OpenVINO with all cores, WebAssembly with 1 and more
    threads."""
    pipeline, config = open_style(style), find_config(site)
    client = f"./{config.parent.relative_to(site).as_posix()}/client.js"
    rows = []
    with contextlib.ExitStack() as stack:
        browser = stack.enter_context(open_browser())
        pages = {}
        for name, headers in (("WASM, 1 thread", None), ("WASM, threads", ISOLATION)):
            url, _ = stack.enter_context(serve(site, headers))
            pages[name] = browser.new_context(service_workers="block").new_page()
            pages[name].goto(url)
        for side in SIDES:
            square = torch.zeros(1, 3, side, side)
            runs: dict[str, Callable[[], float]] = {
                "OpenVINO": lambda square=square: timed(lambda: pipeline.engine(square))
            }
            for name, page in pages.items():
                runs[name] = lambda page=page, side=side: page.evaluate(
                    RUN, [client, side, Path(style).name]
                )
            times: dict[str, list[float]] = {name: [] for name in runs}
            for _ in range(ROUNDS + 2):
                for name, run in runs.items():
                    times[name].append(run())
            medians = {name: statistics.median(found[2:]) for name, found in times.items()}
            for name, median in medians.items():
                ratio = median / medians["OpenVINO"]
                rows.append({"side": side, "engine": name, "seconds": median, "ratio": ratio})
                print(f"{side} px, {name:15} {1000 * median:7.1f} ms, {ratio:.2f} times OpenVINO")
    return rows


def timed(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def find_config(site: Path) -> Path:
    """config.json of a site."""
    (config,) = (site / "app").glob("*/config.json")
    return config


def measure_memory(site: Path, photo: Path, style: str) -> dict[str, Any]:
    """The most memory of the page's process while it draws a photo, beyond that of the page."""
    with serve(site, ISOLATION, {photo.name: photo}) as (url, _), open_browser() as browser:
        page = browser.new_page()
        page.set_default_timeout(600_000)
        page.goto(url)
        page.wait_for_selector("html[data-ready]", state="attached")
        with peak_memory() as peak:
            png, seconds = page.evaluate(DRAW, [photo.name, Path(style).name])
        size = Image.open(io.BytesIO(base64.b64decode(png))).size
    row = {"photo": photo.name, "size": size, "seconds": seconds, **peak}
    print(
        f"{photo.name} {size[0]}x{size[1]}: {seconds:.1f} s, the page's process"
        f" {row['before_mb']:.0f} MB before and at most {row['peak_mb']:.0f} MB"
    )
    return row


def find_renderers() -> list[psutil.Process]:
    """The renderer processes of the browsers that this process has started."""
    found = []
    for child in psutil.Process(os.getpid()).children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            if "--type=renderer" in child.cmdline():
                found.append(child)
    return found


def measure_live(site: Path) -> list[dict[str, Any]]:
    """Frames of the Live tab by one thread: per second, and per second of the processor's time.

    The second is what one core without other work would draw.
    """
    count = """self.frames = 0; new MutationObserver(() => self.frames++).observe(
        document.querySelector("#live-report"), { childList: true })"""
    rows = []
    with serve(site) as (url, _), open_browser() as browser:
        page = browser.new_context(permissions=["camera"], service_workers="block").new_page()
        page.goto(f"{url}?engine=wasm&tab=live")
        page.wait_for_selector("html[data-ready]", state="attached")
        page.evaluate(count)
        for side in LIVE_SIDES:
            page.select_option("#live-size", str(side))
            page.click("#live-start")
            page.wait_for_selector(f"#live-report:text('second, {side} px')", timeout=300_000)
            time.sleep(LIVE_S)
            start, frames, busy = time.perf_counter(), page.evaluate("frames"), processor_time()
            time.sleep(LIVE_S)
            frames, busy = page.evaluate("frames") - frames, processor_time() - busy
            seconds = time.perf_counter() - start
            row = {"side": side, "per_s": frames / seconds, "per_processor_s": frames / busy}
            rows.append(row)
            print(
                f"Live, {side} px: {row['per_s']:.1f} frames per second,"
                f" {row['per_processor_s']:.1f} per second of processor time"
            )
            page.click("#live-start")
    return rows


def processor_time() -> float:
    """Seconds that the renderer processes have computed."""
    times = [renderer.cpu_times() for renderer in find_renderers()]
    return sum(each.user + each.system for each in times)


@contextlib.contextmanager
def peak_memory() -> Iterator[dict[str, float]]:
    """Watches the renderer processes of the browsers that this process has started."""

    def look() -> float:
        sizes = [0]
        for renderer in find_renderers():
            with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                sizes.append(renderer.memory_full_info().pss)
        return max(sizes) / 2**20

    found = {"before_mb": look(), "peak_mb": 0.0}
    done = threading.Event()

    def watch() -> None:
        while not done.wait(EVERY_S):
            found["peak_mb"] = max(found["peak_mb"], look())

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield found
    finally:
        done.set()
        thread.join()


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("site", type=Path, help="folder that `toonify web` has written")
    parser.add_argument("photos", type=Path, nargs="*", help="photos to draw")
    parser.add_argument("--style", default=hub.DEFAULT_STYLE, help="style (default: %(default)s)")
    parser.add_argument("--large", type=Path, help="photo with which memory is measured")
    parser.add_argument("--live", action="store_true", help="measure the Live tab")
    parser.add_argument("--no-times", action="store_true", help="without times of the networks")
    parser.add_argument("--json", type=Path, help="file for the results")
    options = parser.parse_args(argv)
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    drawings = compare_drawings(options.site, options.photos, options.style)
    if drawings:
        values = [drawing.psnr for drawing in drawings]
        print(
            f"{len(values)} photos: PSNR {min(values):.1f} to {max(values):.1f} dB,"
            f" median {statistics.median(values):.1f}"
        )
    times = [] if options.no_times else time_networks(options.site, options.style)
    memory = measure_memory(options.site, options.large, options.style) if options.large else None
    live = measure_live(options.site) if options.live else []
    if options.json:
        rows = [dataclasses.asdict(drawing) for drawing in drawings]
        results = {"drawings": rows, "times": times, "memory": memory, "live": live}
        options.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
