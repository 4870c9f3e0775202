"""The page in a real browser: headless Chromium acts as a visitor."""

import base64
import shutil
import threading
import time
import zipfile

import pytest
from PIL import Image

from tests.fixtures import toy_app
from tests.fixtures.toy_videos import make_video
from toonify.pipelines import background
from toonify.ui import components
from toonify.ui.handlers import photo as photo_tab

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
FLAGS = [
    "--no-sandbox",  # containers run as root
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-device-for-media-stream",  # a camera that shows a clock
    "--use-fake-ui-for-media-stream",  # and may be used
]
PORTRAIT = components.EXAMPLES[0]
PHONE = (390, 844)  # px

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium or google-chrome on the PATH"),
]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The address of a running page, and its pipelines."""
    toys = toy_app.Toys()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(photo_tab, "find_faces", toy_app.find_faces)
        with toy_app.served(toys) as url:
            yield url, toys


@pytest.fixture(scope="module")
def chromium():
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium, site):
    """Opens the page at a window size; `page.hosts` collects where its requests went, and
    `page.faults` the errors of its console."""
    contexts = []

    def visit(width=1280, height=900, query="", **options):
        viewport = {"width": width, "height": height}
        contexts.append(chromium.new_context(viewport=viewport, **options))
        page = contexts[-1].new_page()
        page.set_default_timeout(60_000)  # for busy machines
        page.hosts, page.faults = set(), []
        page.on("pageerror", lambda error: page.faults.append(str(error)))
        page.on(
            "console",
            lambda message: page.faults.append(message.text) if message.type == "error" else None,
        )
        page.on("request", lambda request: page.hosts.add(request.url.split("/")[2]))
        page.goto(site[0] + query)
        page.wait_for_selector("#draw", state="attached")
        return page

    yield visit
    for context in contexts:
        context.close()


def upload(page, path, prefix=""):
    page.locator(f"#{prefix}photo input[type=file]").set_input_files(path)
    page.wait_for_selector(f"#{prefix}photo img")


def assert_fits(page):
    """Nothing is wider than a phone."""
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE[0]


def natural_sizes(page, prefix=""):
    """[width, height, address] of both images, read while both are there."""
    shown = page.wait_for_function(
        f"""() => {{ const shown = [...document.querySelectorAll('#{prefix}compare img')];
        return shown.length === 2 && shown.every(image => image.naturalWidth > 0)
            && shown.map(image => [image.naturalWidth, image.naturalHeight, image.src]) }}"""
    )
    return shown.json_value()


def test_a_visitor_gets_a_cartoon_of_the_same_size(visit, site, tmp_path):
    page = visit()
    upload(page, PORTRAIT)
    first = natural_sizes(page)[1][2]  # drawn without asking
    slider = page.locator("#settings input[type=range]")
    for _ in range(4):
        slider.press("ArrowLeft")
    page.click("#draw")
    page.wait_for_function(f"document.querySelectorAll('#compare img')[1]?.src !== {first!r}")
    before, after = natural_sizes(page)
    assert before[:2] == after[:2] == [512, 512]
    assert before[2] != after[2]
    # By the best generator, also where there is a fast one.
    assert site[1].made["toy"].calls[-1]["strength"] == pytest.approx(0.8)
    assert "1 face found" in page.inner_text("body")

    with page.expect_download() as download:
        page.click("#download")
    assert download.value.suggested_filename == "random_021-toy.png"
    saved = tmp_path / "toon.png"
    download.value.save_as(saved)
    with Image.open(saved) as toon, Image.open(PORTRAIT) as photo:
        assert (toon.format, toon.size) == ("PNG", photo.size)
        assert toon.tobytes() != photo.convert("RGB").tobytes()
    assert page.hosts == {site[0].removeprefix("http://")}


def wait_for_previews(page, count):
    """The addresses of the previews, when all are drawn: places that wait have one image."""
    page.wait_for_selector("#previews-report :text('Press a preview')")
    page.wait_for_function(
        f"""() => {{ const shown = [...document.querySelectorAll('#previews img')];
        return new Set(shown.map(image => image.src)).size === {count}
            && shown.every(image => image.naturalWidth > 0) }}"""
    )
    return page.locator("#previews img").evaluate_all("all => all.map(image => image.src)")


@pytest.mark.parametrize("size", [(1280, 900), PHONE], ids=["desktop", "phone"])
def test_a_photo_is_previewed_in_all_styles_and_a_press_draws_one(visit, size, tmp_path):
    page = visit(*size)
    upload(page, PORTRAIT)
    wait_for_previews(page, 3)
    assert page.locator("#previews .caption-label").all_inner_texts() == ["Toy", "Ink", "Bold"]
    first = natural_sizes(page)[1][2]
    page.locator("#previews .thumbnail-item").nth(1).click()
    page.wait_for_function(f"document.querySelectorAll('#compare img')[1]?.src !== {first!r}")
    page.wait_for_selector("#about :text('Two tones.')")
    assert page.locator("#settings input[value=ink]").is_checked()
    assert page.url.endswith("?style=ink")
    page.wait_for_function(
        "document.querySelector('#compare').getBoundingClientRect().top < innerHeight / 2"
    )
    with page.expect_download() as download:
        page.click("#styles-sheet")
    assert download.value.suggested_filename == "random_021-all-styles.jpg"
    download.value.save_as(tmp_path / "sheet.jpg")
    with Image.open(tmp_path / "sheet.jpg") as sheet:
        assert min(sheet.size) > 2 * 512  # the photo and three styles
    if size == PHONE:
        assert_fits(page)
    page.locator("#photo button[aria-label='Remove Image']").click()
    page.wait_for_selector("#previews", state="hidden")
    assert page.faults == []


def test_a_photo_is_dropped_from_another_page_or_pasted(visit):
    """A browser hands over an image that is dragged from another page as a file."""
    page = visit(permissions=["clipboard-read", "clipboard-write"])
    data = "data:image/jpeg;base64," + base64.b64encode(PORTRAIT.read_bytes()).decode()
    page.evaluate(
        """async data => {
        const transfer = new DataTransfer(), blob = await (await fetch(data)).blob();
        transfer.items.add(new File([blob], 'dragged.jpg', {type: 'image/jpeg'}));
        const target = document.querySelector('#photo input[type=file]').parentElement;
        target.dispatchEvent(
            new DragEvent('drop', {dataTransfer: transfer, bubbles: true, cancelable: true})) }""",
        data,
    )
    first = natural_sizes(page)[1]
    assert first[:2] == [512, 512]
    page.evaluate(
        """async () => { const drawn = document.createElement('canvas');
        drawn.width = drawn.height = 256;
        drawn.getContext('2d').drawImage(document.querySelector('#photo img'), 0, 0, 256, 256);
        const blob = await new Promise(done => drawn.toBlob(done, 'image/png'));
        await navigator.clipboard.write([new ClipboardItem({'image/png': blob})]) }"""
    )
    page.locator("#photo .source-selection button").last.click()
    page.wait_for_function("document.querySelectorAll('#compare img')[1]?.naturalWidth === 256")
    assert page.faults == []


def test_a_comparison_is_made_and_downloaded(visit):
    page = visit(*PHONE)
    upload(page, PORTRAIT)
    natural_sizes(page)
    page.locator("#comparison button").first.click()
    page.click("#compare-networks")
    page.wait_for_function("document.querySelector('#comparison-image img')?.naturalWidth > 1536")
    with page.expect_download() as download:
        page.click("#comparison-download")
    assert download.value.suggested_filename == "random_021-comparison.jpg"
    assert_fits(page)
    assert page.faults == []


def test_a_link_sets_style_and_settings(visit, site):
    page = visit(query="?style=ink&strength=0.5&keep_color=true")
    page.wait_for_selector("#about :text('Two tones.')")
    assert page.locator("#settings input[type=number]").input_value() == "0.5"
    upload(page, PORTRAIT)
    natural_sizes(page)
    call = {"faces": "all", "strength": 0.5, "keep_color": True}
    assert call in site[1].made["ink"].calls
    page.locator("#settings input[value=toy]").click()
    query = "?strength=0.5&keep_color=true"
    page.wait_for_function(f"location.search === {query!r}")
    page = visit(query="?style=oil")
    page.wait_for_selector("text=Unknown style 'oil'")


def test_an_example_is_drawn_at_a_click(visit, site):
    page = visit()
    page.locator("#examples button").nth(5).click()
    assert natural_sizes(page)[1][:2] == [512, 512]


def test_a_refused_file_and_a_photo_without_faces_are_explained(visit, tmp_path):
    page = visit()
    (tmp_path / "notes.jpg").write_text("hello " * 50)
    upload(page, tmp_path / "notes.jpg")
    page.click("#draw")
    page.wait_for_selector("text=expected a photo as JPEG")
    page.locator("#photo button[aria-label='Remove Image']").click()
    Image.new("RGB", (80, 60), "#7799cc").save(tmp_path / "plain.png")
    upload(page, tmp_path / "plain.png")
    page.click("#draw")
    page.wait_for_selector("text=No face found")
    assert natural_sizes(page)[1][:2] == [80, 60]


def test_a_background_and_a_sticker_follow_at_a_press(visit, site, monkeypatch, tmp_path):
    def find_person(photo, drawing, device):
        mask = Image.new("L", photo.size)
        mask.paste(255, (128, 64, 384, 512))
        return mask

    monkeypatch.setattr(background, "find_person", find_person)
    page = visit()
    upload(page, PORTRAIT)
    first = natural_sizes(page)[1][2]
    calls = len(site[1].fast["toy"].calls)
    page.locator("#background input[value=sticker]").click()
    page.wait_for_function(f"document.querySelectorAll('#compare img')[1]?.src !== {first!r}")
    page.wait_for_selector("#sticker")
    assert page.url.endswith("?background=sticker")
    with page.expect_download() as download:
        page.click("#sticker")
    download.value.save_as(tmp_path / "sticker.webp")
    with Image.open(tmp_path / "sticker.webp") as sticker:
        assert (sticker.size, sticker.mode) == ((512, 512), "RGBA")
        assert sticker.getpixel((0, 0))[3] == 0
    page.locator("#background input[value=color]").click()
    page.wait_for_selector("#background-color")
    page.wait_for_selector("#sticker", state="hidden")
    # The previews of all styles may be drawn meanwhile, the large drawing is not.
    wait_for_previews(page, 3)
    assert len(site[1].fast["toy"].calls) <= calls + 1
    assert page.faults == []


def test_many_photos_become_a_zip_file(visit, tmp_path):
    page = visit(*PHONE)
    page.locator("#many button").first.click()
    (tmp_path / "party").mkdir()
    (tmp_path / "party" / "notes.jpg").write_text("hello " * 50)
    shutil.copy(components.EXAMPLES[1], tmp_path / "party")
    page.locator("#many-files input[type=file]").set_input_files([PORTRAIT])
    page.wait_for_selector("#many-files :text('random_021')")
    page.locator("#many-folder input[type=file]").set_input_files(tmp_path / "party")
    page.wait_for_selector("#many-folder :text('random_032')")
    page.click("#many-draw")
    page.wait_for_selector("#many-report :text('2 of 3 photos drawn')")
    assert "notes.jpg" in page.inner_text("#many-report")
    with page.expect_download() as download:
        page.click("#many-download")
    download.value.save_as(tmp_path / "cartoons.zip")
    with zipfile.ZipFile(tmp_path / "cartoons.zip") as packed:
        assert packed.namelist() == ["random_021.jpg", "random_032.jpg"]
    assert_fits(page)
    assert page.faults == []


def test_a_phone_has_the_large_drawing_above_the_fold(visit):
    page = visit(*PHONE)
    upload(page, PORTRAIT)
    natural_sizes(page)
    wait_for_previews(page, 3)
    box = page.locator("#compare").bounding_box()
    assert page.evaluate("scrollY") == 0
    assert box["y"] + box["height"] <= PHONE[1] and box["width"] > 300


def test_a_phone_shows_all_of_it(visit):
    page = visit(*PHONE)
    upload(page, PORTRAIT)
    page.wait_for_selector("#previews")  # above the result, which moves down once
    page.click("#draw")
    natural_sizes(page)
    top = "document.querySelector('#compare').getBoundingClientRect().top"
    page.wait_for_function(f"{top} < innerHeight / 2")
    assert_fits(page)


def test_the_second_tab_draws_a_portrait_and_follows_a_slider(visit, site):
    pipeline = site[1].portraits
    page = visit(*PHONE)
    page.get_by_role("tab", name="Portrait toon").click()
    upload(page, PORTRAIT, "portrait-")
    page.click("#portrait-draw")
    first = natural_sizes(page, "portrait-")
    assert first[0][:2] == first[1][:2] == [512, 512]
    assert "1 face drawn" in page.inner_text("#portrait-report")
    page.wait_for_function("document.querySelectorAll('#strip img').length === 3")
    assert_fits(page)

    inverted = pipeline.inverted
    page.locator("#edit-smile input[type=range]").press("ArrowRight")
    page.wait_for_function(
        f"document.querySelectorAll('#portrait-compare img')[1]?.src !== {first[1][2]!r}"
    )
    assert pipeline.calls[-1]["edits"] == {"smile": pytest.approx(0.1)}
    assert pipeline.inverted == inverted
    with page.expect_download() as download:
        page.click("#npz")
    assert download.value.suggested_filename == "random_021-face.safetensors"

    page.click("#random-person button")
    page.wait_for_selector("#portrait-report :text('random person, seed')")
    page.wait_for_function("document.querySelectorAll('#strip img').length === 2")


def test_a_video_is_drawn_with_progress_and_played(visit, monkeypatch, tmp_path):
    draw, seen = toy_app.ToyPipeline.draw, threading.Event()

    def slow(self, *args):
        if len(self.drawn) >= 5:
            seen.wait(60)
        return draw(self, *args)

    monkeypatch.setattr(toy_app.ToyPipeline, "draw", slow)
    page = visit(*PHONE)
    page.get_by_role("tab", name="Video").click()
    page.locator("#video-source input[type=file]").set_input_files(make_video(tmp_path / "me.mp4"))
    page.wait_for_selector("#video-source video")
    page.click("#video-draw")
    page.wait_for_selector("#video-result :text-matches('Frame [1-5] of 10, about')")
    seen.set()
    page.wait_for_selector("#video-report :text('10 frames processed')")
    page.wait_for_function("document.querySelector('#video-result video')?.duration > 0.3")
    page.wait_for_selector("#video-stop", state="hidden")
    with page.expect_download() as download:
        page.click("#video-download")
    assert download.value.suggested_filename == "me-toy.mp4"
    assert_fits(page)


def test_a_camera_is_drawn_frame_for_frame_and_let_go(visit, site):
    page = visit(*PHONE)
    frames = []
    page.on("request", lambda request: frames.append(1) if "/stream/" in request.url else None)
    page.get_by_role("tab", name="Live").click()
    page.click("#live-camera :text('Click to Access Webcam')")
    page.click("#live-camera :text('Record')")
    page.wait_for_selector("#live-report :text('frames per second')")
    shown = page.get_attribute("#live-toon img", "src")
    assert shown.startswith("data:image/jpeg")
    page.wait_for_function(f"document.querySelector('#live-toon img').src !== {shown!r}")
    page.wait_for_timeout(1000)
    drawn = len(site[1].fast["toy"].calls)
    assert 1 <= len(frames) <= drawn + 2  # one is sent when the last has been drawn
    assert_fits(page)
    page.click("#live-camera :text('Stop')")
    page.wait_for_selector("#live-camera :text('Click to Access Webcam')")
    page.wait_for_selector("#live-report", state="hidden")


def test_a_camera_that_is_refused_is_explained(visit):
    page = visit()
    page.evaluate("""() => navigator.mediaDevices.getUserMedia = () =>
        Promise.reject(new DOMException('denied', 'NotAllowedError'))""")
    page.get_by_role("tab", name="Live").click()
    page.click("#live-camera :text('Click to Access Webcam')")
    page.wait_for_selector("#live-left :text('Allow it in the address bar')")


def test_stop_draws_what_was_reached(visit, site, monkeypatch):
    refine = toy_app.ToyPortraits.refine

    def slow(self, progress, cancelled, steps):
        return refine(self, progress, lambda: time.sleep(0.1) or cancelled(), 5 * steps)

    monkeypatch.setattr(toy_app.ToyPortraits, "refine", slow)
    page = visit()
    page.get_by_role("tab", name="Portrait toon").click()
    upload(page, PORTRAIT, "portrait-")
    page.get_by_text("Likeness and blending").click()
    page.wait_for_timeout(1000)  # gradio makes what is in there now, and sets it to its defaults
    page.locator("#likeness input[type=range]").first.press("End")
    steps = "document.querySelector('#likeness input[type=number]').value === '200'"
    page.wait_for_function(steps)
    page.click("#portrait-draw")
    page.click("#stop")
    natural_sizes(page, "portrait-")
    assert site[1].portraits.refined < 5 * 200
    page.wait_for_selector("#stop", state="hidden")


def test_a_link_opens_its_face_and_sliders_and_favorites_follow(visit):
    page = visit(*PHONE, "?seed=7&truncation=0.6&smile=1.5")
    page.wait_for_selector("#new-report :text('Face 7 · Smile +1.5')")
    page.wait_for_function("document.querySelectorAll('#crowd img').length === 12")
    assert page.input_value("#move-smile input[type=number]") == "1.5"
    page.click("#keep")
    page.wait_for_function("document.querySelectorAll('#favorites img').length === 1")

    page.locator("#crowd .thumbnail-item").nth(3).click()
    page.wait_for_selector("#new-report :text('Face 10 ·')")
    page.locator("#move-smile input[type=range]").press("ArrowRight")
    page.wait_for_selector("#new-report :text('Smile +0.1')")
    page.click("#copy")
    page.wait_for_selector("text=/Link copied|address bar/")
    assert page.url.endswith("/?seed=10&truncation=0.6&smile=0.1")
    with page.expect_download() as download:
        page.click("#new-download")
    assert download.value.suggested_filename == "face-10.png"
    assert_fits(page)


def test_a_broken_link_is_explained(visit):
    page = visit(query="?seed=seven")
    page.wait_for_selector("text=seed of up to nine digits")
    assert page.locator("#draw").is_visible()


def test_the_page_speaks_the_language_of_the_browser(visit, tmp_path):
    page = visit(locale="es-MX")
    assert page.title() == "Toonify: retratos de dibujos animados"
    assert page.inner_text("#draw") == "Crear dibujo"
    shown = page.inner_text("body")
    for words in (
        "Tu foto",  # codespell:ignore foto
        "Retrato toon",
        "Caras y colores",
        "Dibuja toda la foto.",  # codespell:ignore foto
        "Privado.",
    ):
        assert words in shown, words
    page.click("#draw")  # without a photo
    page.wait_for_selector("text=Elige primero una foto")  # codespell:ignore foto
    upload(page, PORTRAIT)
    page.wait_for_selector("text=1 cara encontrada")
    page.wait_for_selector("text=Pulsa una vista previa para dibujarla en grande.")
    page.get_by_role("tab", name="Caras nuevas").click()
    page.wait_for_selector("text=Crear caras")
    assert page.locator("#favorites, #moves").first.inner_text().startswith("Editar la cara")
    page.get_by_role("tab", name="En vivo").click()
    page.wait_for_selector("#live-camera :text('Activar la cámara')")  # gradio has it in English
    assert "__i18n__" not in page.inner_text("body")
