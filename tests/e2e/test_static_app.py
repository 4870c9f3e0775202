"""The browser app in headless Chromium, with nothing but a static server.

It needs Chromium and ONNX Runtime Web, which `python -m toonify web OUT` downloads by npm into
~/.cache/toonify.
"""

import io
import json
import shutil
import time

import av
import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.browser import find_config, psnr, serve
from tests.e2e import test_browser
from tests.e2e.test_accessibility import AXE, FINDINGS
from tests.e2e.test_browser import CHROMIUM, PHONE
from tests.fixtures import sites
from tests.fixtures.mark_readers import read_source_type
from tests.fixtures.toy_videos import make_video, pictures_of
from toonify import hub
from toonify.images import marks
from toonify.images.morph import morph
from toonify.images.upscale import upscale
from toonify.models import AnimeGANLiteGenerator
from toonify.pipelines.animegan import AnimeGANPipeline
from toonify.pipelines.toongan import ToonGANPipeline

RUNTIME = sites.find_runtime()
PATIENCE_S = 120  # of a busy machine
MIN_PSNR = 35  # dB to the library

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium or google-chrome on the PATH"),
    pytest.mark.skipif(RUNTIME is None, reason="no onnxruntime-web: see the module's docstring"),
]


@pytest.fixture(scope="module")
def calm_style(tmp_path_factory, make_style):
    """A style's folder with a fast generator for drawings of 400 px, whose noise is faint, so that
    a last digit of a photo changes little."""
    torch.manual_seed(5)
    folder = make_style(tmp_path_factory.mktemp("styles") / "quick")
    lite = AnimeGANLiteGenerator(width=4, depth=1, patch=2, edge_kernel=3)
    lite.out_layer[0].weight.data.mul_(0.2)
    lite.half().save_pretrained(folder / hub.LITE, variant="fp16")
    about = json.loads((folder / hub.STYLE).read_text())
    (folder / hub.STYLE).write_text(json.dumps(about | {"short_side": 400}))
    return folder


@pytest.fixture(scope="module")
def site(tmp_path_factory, calm_style, toy_style, choosing_faces):
    """The folder of an app with toy networks."""
    folder = tmp_path_factory.mktemp("web") / "site"
    sites.build(folder, RUNTIME, [calm_style, toy_style], choosing_faces)
    return folder


chromium = test_browser.chromium


class Visit:
    """A page in a browser of its own, with what it asked for and complained of."""

    def __init__(self, chromium, url, asked, size=(1280, 900), **settings):
        viewport = {"width": size[0], "height": size[1]}
        self.context = chromium.new_context(viewport=viewport, accept_downloads=True, **settings)
        self.url, self.asked = url, asked
        self.page = self.context.new_page()
        self.page.set_default_timeout(1000 * PATIENCE_S)
        self.hosts, self.faults = set(), []
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("console", self.note)
        self.context.on("request", lambda request: self.hosts.add(request.url.split("/")[2]))
        self.go()

    def note(self, message):
        if message.type == "error":
            self.faults.append(message.text)

    def go(self, query=""):
        self.page.goto(self.url + query)
        self.page.wait_for_selector("html[data-ready]", state="attached")

    def until(self, expression):
        """Waits until a script returns something: waiting in the page would need `eval`."""
        end = time.monotonic() + PATIENCE_S
        while not (value := self.page.evaluate(expression)):
            assert time.monotonic() < end, (expression, self.text("#error"), self.faults)
            time.sleep(0.05)
        return value

    def text(self, selector):
        return self.page.locator(selector).text_content()

    def draw(self, photo):
        self.page.set_input_files("#file", photo)
        self.page.wait_for_selector("#working", state="visible")
        self.finish()

    def finish(self):
        self.page.wait_for_selector("#working", state="hidden")

    def download(self, button="#download"):
        with self.page.expect_download() as download:
            self.page.click(button)
        return download.value.suggested_filename, Image.open(download.value.path())


@pytest.fixture
def visit(chromium, site):
    """visit(size=...) opens the app as a first-time visitor."""
    visits = []
    with serve(site) as (url, asked):

        def open_page(**options):
            visits.append(Visit(chromium, url, asked, **options))
            return visits[-1]

        yield open_page
        for each in visits:
            each.context.close()


@pytest.fixture(scope="module")
def group(photo, tmp_path_factory):
    """A photo with a large and a small face, which is drawn small and enlarged."""
    group = Image.new("RGB", (1150, 900), "#88aacc")
    group.paste(photo.crop((130, 30, 370, 270)).resize((900, 900)), (0, 0))
    group.paste(photo.resize((250, 250)), (900, 100))
    path = tmp_path_factory.mktemp("photos") / "group.png"
    group.save(path)
    return path


def test_a_photo_is_drawn_as_by_the_library_and_works_offline_afterwards(visit, calm_style, group):
    visitor = visit()
    page = visitor.page
    visitor.draw(group)
    assert "2 faces found, 1 drawn separately · 1150 × 900 px" in visitor.text("#report")
    previews = page.locator("#wall canvas").evaluate_all("all => all.map(each => each.width)")
    assert previews == [320, 320]
    name, toon = visitor.download()
    expected = AnimeGANPipeline.from_pretrained(calm_style, device="cpu", quality="fast")(group)
    assert (name, toon.size) == ("group-quick.png", (1150, 900))
    assert psnr(toon, expected.image) > MIN_PSNR
    assert marks.read_mark(toon) == marks.DRAWN

    page.wait_for_selector("#offline:text('Works offline')")
    del visitor.asked[:]
    visitor.context.set_offline(True)
    page.reload()
    page.wait_for_selector("html[data-ready]", state="attached")
    assert page.evaluate("crossOriginIsolated")  # by the service worker: there are threads now
    visitor.draw(group)
    page.click("#wall button >> nth=1")
    visitor.finish()
    assert "1150 × 900 px" in visitor.text("#report")
    assert set(visitor.asked) <= {"/sw.js"}  # whether there is a new version, and nothing else
    assert visitor.hosts == {visitor.url.split("/")[2]} and visitor.faults == []


def test_far_faces_of_a_photo_on_its_side_are_found(visit, photo, tmp_path):
    street = Image.new("RGB", (1600, 1200), "#88aacc")
    for place in ((100, 100), (1200, 700)):
        street.paste(photo.resize((230, 230)), place)
    street.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "street.png")
    visitor = visit()
    visitor.draw(tmp_path / "street.png")
    assert "2 faces found" in visitor.text("#report") and visitor.faults == []


def test_settings_change_the_drawing_and_the_file(visit, photo_path):
    visitor = visit()
    page = visitor.page
    visitor.draw(photo_path)
    _, plain = visitor.download()
    page.locator("#strength").fill("0.5")
    visitor.finish()
    _, mixed = visitor.download()
    with Image.open(photo_path) as photo:
        assert psnr(photo, plain) + 1 < psnr(photo, mixed) < 60

    page.select_option("#background", "transparent")
    visitor.finish()
    page.select_option("#format", "webp")
    name, toon = visitor.download()
    alpha = np.asarray(toon.getchannel("A"))
    assert name.endswith(".webp") and alpha.min() < 20 and alpha.max() == 255
    assert marks.make_xmp(marks.DRAWN).encode() in toon.info["xmp"]

    page.select_option("#background", "plain")
    visitor.finish()
    page.check("#sticker")
    visitor.finish()
    page.select_option("#format", "png")
    name, sticker = visitor.download()
    alpha = np.asarray(sticker.getchannel("A"))
    assert name == "astronaut-sticker.png" and max(sticker.size) <= 512
    rim = np.asarray(sticker.convert("RGB"))[(alpha > 250) & (np.roll(alpha, 8, 1) < 5)]
    assert len(rim) and np.median(rim) > 240  # white
    assert visitor.faults == []


def test_enlarging_and_mixing_give_the_librarys_pixels(visit, photo, site):
    face = photo.crop((140, 40, 340, 260))
    place = np.indices((220, 200), np.float32)
    bulge = 4 * np.exp(-np.square(place - [[[90]], [[80]]]).sum(axis=0) / 800).astype(np.float32)
    wide = cv2.remap(np.asarray(face), place[1] + bulge, place[0] - bulge, cv2.INTER_LINEAR)
    toon = Image.fromarray(wide).quantize(24).convert("RGB")
    script = """async ([app, photo, toon]) => {
        const { morph } = await import(app + "/morph.js");
        const { upscale } = await import(app + "/upscale.js");
        const make = (data) => ({ data: Uint8ClampedArray.from(data), width: 200, height: 220 });
        const mixed = await morph(make(photo), make(toon), 0.5);
        return [mixed, await upscale(make(toon), 620, 682)].map(({ data }) => [...data]);
    }"""
    app = f"./{find_config(site).parent.relative_to(site).as_posix()}"
    given = [list(image.convert("RGBA").tobytes()) for image in (face, toon)]
    mixed, large = visit().page.evaluate(script, [app, *given])
    mixed = Image.frombytes("RGBA", face.size, bytes(mixed))
    assert psnr(mixed, morph(face, toon, 0.5)) > 50 > psnr(mixed, Image.blend(face, toon, 0.5))
    assert psnr(Image.frombytes("RGBA", (620, 682), bytes(large)), upscale(toon, (620, 682))) > 50


def test_a_new_face_is_the_librarys_of_that_seed(visit, choosing_faces):
    visitor = visit(size=PHONE)
    page = visitor.page
    page.click("#tab-faces")
    page.wait_for_selector("#faces-report:text('Face 0 · Mouth')")
    page.locator("#seed").fill("7")
    page.locator("#seed").press("Tab")
    page.select_option("#attribute-mouth", label="Sad")
    page.wait_for_selector("#faces-report:text('Face 7 · Mouth: Sad')")
    name, face = visitor.download("#faces-download")
    pipe = ToonGANPipeline.from_pretrained(choosing_faces, device="cpu")
    (expected,) = pipe(1, seed=7, choices={"mouth": "sad"})
    assert name == "face-7.png" and marks.read_mark(face) == marks.GENERATED
    difference = np.abs(np.asarray(face.convert("RGB"), int) - np.asarray(expected))
    assert difference.mean() < 3
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE[0]


def test_a_camera_is_drawn_recorded_and_let_go(visit):
    visitor = visit(size=PHONE)
    page = visitor.page
    page.click("#tab-live")
    page.select_option("#live-size", "192")
    page.click("#live-start")
    page.wait_for_selector("#live-report:text('frames per second, 192 px')")
    page.click("#live-record")
    page.wait_for_timeout(500)
    page.click("#live-record")
    page.wait_for_selector("#live-recording", state="visible")
    with page.expect_download() as download:
        page.click("#live-recording")
    assert read_source_type(download.value.path()) == marks.make_uri(marks.DRAWN)
    assert pictures_of(download.value.path())[0].shape == (192, 192, 3)
    page.click("#live-start")
    page.wait_for_selector("#live-video", state="hidden")
    assert page.evaluate("document.querySelector('#live-video').srcObject") is None
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE[0]
    assert visitor.faults == []


def test_recordings_of_other_browsers_are_marked(visit, site, tmp_path):
    """Firefox writes WebM as it is streamed, without an index, and Safari MP4."""
    script = """async ([app, type, bytes]) => {
        const { markRecording } = await import(app + "/recordings.js");
        const config = await (await fetch(app + "/config.json")).json();
        const marked = await markRecording(new Blob([Uint8Array.from(bytes)], { type }), config);
        return [...new Uint8Array(await marked.arrayBuffer())];
    }"""
    page, app = visit().page, f"./{find_config(site).parent.relative_to(site).as_posix()}"
    film = make_video(tmp_path / "film.mp4", sound=None)
    plain = make_video(tmp_path / "plain.webm", sound=None, codec="libvpx")
    streamed = tmp_path / "streamed.webm"
    with av.open(str(plain)) as old, av.open(str(streamed), "w", options={"live": "1"}) as new:
        track = new.add_stream_from_template(old.streams.video[0])
        for packet in old.demux(video=0):
            packet.stream = track
            if packet.dts is not None:
                new.mux(packet)
    for file, kind in ((streamed, "video/webm;codecs=vp8"), (film, "video/mp4")):
        marked = tmp_path / f"marked{file.suffix}"
        marked.write_bytes(bytes(page.evaluate(script, [app, kind, list(file.read_bytes())])))
        assert read_source_type(marked) == marks.make_uri(marks.DRAWN)
        assert np.array_equal(pictures_of(marked), pictures_of(file))


@pytest.mark.skipif(not AXE.is_file(), reason="npm install --no-save axe-core")
@pytest.mark.parametrize(("scheme", "size"), [("light", (1280, 900)), ("dark", PHONE)])
def test_no_tab_has_a_serious_finding(visit, photo_path, scheme, size):
    visitor = visit(size=size, color_scheme=scheme)
    page = visitor.page
    page.evaluate(AXE.read_text(encoding="utf-8"))
    visitor.draw(photo_path)
    assert page.evaluate(FINDINGS) == []
    page.click("#tab-faces")
    page.wait_for_selector("#faces-report:text('Face 0')")
    assert page.evaluate(FINDINGS) == []
    page.click("#tab-live")
    assert page.evaluate(FINDINGS) == []


def test_the_policy_holds_for_page_and_worker(visit, site):
    visitor = visit(size=PHONE)
    script = """async (place) => {
        const inline = document.createElement("script");
        inline.textContent = "self.ran = true";
        document.body.append(inline);
        const away = await fetch(place).then(() => "sent", () => "refused");
        return [Boolean(self.ran), away];
    }"""
    # A worker of the same origin as the app's own: for that one the browser's debugger was seen to
    # wait without an end.
    working = """(place) => new Promise((resolve, reject) => {
        const worker = new Worker("ask.js");
        worker.onmessage = ({ data }) => resolve(data);
        worker.onerror = (event) => reject(new Error(event.message));
        setTimeout(reject, 120_000, new Error("the worker does not answer"));
        worker.postMessage(place);
    })"""
    ask = site / "ask.js"
    ask.write_text(
        "onmessage = ({ data }) => fetch(data).then(() => 'sent', () => 'refused')"
        ".then((said) => postMessage([said, location.pathname]));"
    )
    try:
        with serve(site.parent) as (other, asked):
            assert visitor.page.evaluate(script, other) == [False, "refused"]
            visitor.go("?again")  # now the service worker answers, for the worker too
            assert visitor.page.evaluate(working, other) == ["refused", "/ask.js"]
            assert asked == []
    finally:
        ask.unlink()
    assert visitor.page.evaluate("document.documentElement.scrollWidth") <= PHONE[0]


def test_stop_and_what_is_no_photo_are_explained(visit, group, tmp_path):
    visitor = visit()
    page = visitor.page
    (tmp_path / "notes.jpg").write_text("hello " * 50)
    page.set_input_files("#file", tmp_path / "notes.jpg")
    page.wait_for_selector("#error:text('notes.jpg cannot be read as an image. Expected a JPEG')")
    page.set_input_files("#file", group)
    page.wait_for_selector("#step:text-matches('Drawing|Looking|Loading')")
    page.click("#stop")
    page.wait_for_selector("#report:text('Stopped.')")
    visitor.draw(group)  # and again
    assert "1150 × 900 px" in visitor.text("#report") and not visitor.text("#error")


def test_other_pages_of_the_origin_draw_by_a_module(visit, photo_path, site):
    shutil.copyfile(photo_path, site / "examples" / "given.jpg")
    visitor = visit()
    script = """async () => {
        const { openToonify } = await import("./toonify.js");
        const toonify = await openToonify();
        const photo = await (await fetch("examples/given.jpg")).blob();
        const png = await toonify.draw(photo, { style: "toy" });
        toonify.close();
        return [toonify.styles, [...new Uint8Array(await png.arrayBuffer())]];
    }"""
    styles, png = visitor.page.evaluate(script)
    assert [style["name"] for style in styles] == ["quick", "toy"]
    with Image.open(io.BytesIO(bytes(png))) as toon:
        assert toon.size == (512, 512)
