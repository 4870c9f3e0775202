"""The app's handlers and its server; long because all tests share one running server."""

import base64
import io
import json
import os
import runpy
import threading
import time
import zipfile
from pathlib import Path

import gradio as gr
import httpx
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image
from safetensors.torch import load_file

import app
from tests.fixtures import toy_app
from tests.fixtures.odd_inputs import make_odd_inputs
from tests.fixtures.toy_videos import make_video
from toonify import hub, images
from toonify.images import formats
from toonify.ui import cleaning, i18n
from toonify.ui import components as boxes
from toonify.ui import inputs as visitors
from toonify.ui import outputs as files
from toonify.ui.handlers import photo, portrait, video
from toonify.ui.queueing import SHARES

ROOT = Path(app.__file__).parent
PORTRAIT = boxes.EXAMPLES[0]
FILE = {"_type": "gradio.FileData"}


@pytest.fixture
def handlers(cache, toys):
    return photo.PhotoHandlers(toy_app.STYLES, toys)


@pytest.fixture
def faces(cache, toys):
    return portrait.PortraitHandlers(toy_app.TOONS, toys.load_portraits, toy_app.DIRECTIONS)


@pytest.fixture
def messages(monkeypatch):
    """Messages shown to visitors: [(kind, text)]."""
    said = []
    monkeypatch.setattr(i18n, "show_info", lambda text: said.append(("info", text)))
    monkeypatch.setattr(i18n, "show_warning", lambda text: said.append(("warning", text)))
    return said


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The address of a running page, and its pipelines."""
    toys = toy_app.Toys()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(photo, "find_faces", toy_app.find_faces)
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
    asked = {"faces": "largest", "strength": 0.25, "keep_color": True}
    assert toys.made["toy"].calls == [asked]


def test_quality_chooses_the_generator(handlers, toys):
    handlers.toonify(str(PORTRAIT), "toy", quality="fast")
    assert len(toys.fast["toy"].calls) == 1 and not toys.made
    handlers.show(str(PORTRAIT), "toy")
    assert len(toys.made["toy"].calls) == 1
    with pytest.raises(gr.Error, match="Mask has no fast generator"):
        handlers.toonify(str(PORTRAIT), "mask", quality="fast")


def test_quality_is_offered_where_there_is_a_choice(handlers):
    offered, hidden = (boxes.add_quality(handlers.styles[name]) for name in ("toy", "mask"))
    assert offered.visible and offered.value == "best"
    assert not hidden.visible and hidden.value == "best"
    assert handlers.choose("toy")[1]["visible"]
    hidden = handlers.choose("mask")[1]
    assert (hidden["visible"], hidden["value"]) == (False, "best")
    assert [style["fast"] for style in handlers.list_styles()] == [True, False, False]


def test_the_pipelines_in_memory_are_those_used_last(monkeypatch):
    made = []

    def make(style, *, quality):
        made.append((style, quality))
        return object()

    from toonify.pipelines.animegan import AnimeGANPipeline

    monkeypatch.setattr(AnimeGANPipeline, "from_pretrained", make)
    app.open_pipeline.cache_clear()
    try:
        first = app.load_pipeline("comic")
        assert app.load_pipeline("comic", "fast") is not first
        for number in range(app.MAX_PIPELINES - 1):
            assert app.load_pipeline("comic") is first
            app.load_pipeline(f"owner/{number}")
        assert app.load_pipeline("comic") is first
        assert app.open_pipeline.cache_info().currsize == app.MAX_PIPELINES
        app.load_pipeline("comic", "fast")
        assert made.count(("comic", "best")) == 1 and made.count(("comic", "fast")) == 2
    finally:
        app.open_pipeline.cache_clear()


def test_the_screen_gets_before_and_after_download_report_and_faces(handlers):
    (before, after), download, report, found, boxes, *_ = handlers.show(str(PORTRAIT), "toy")
    assert before.size == after.size == boxes["value"].size == (512, 512)
    assert before.tobytes() != after.tobytes()
    assert download.interactive
    assert "0.5 s" in report.value and "512 × 512" in report.value
    assert found.label == "1 face found" and found.visible


def test_large_photos_are_shown_small_and_saved_whole(handlers, tmp_path):
    (before, after), *_ = handlers.show(plain(tmp_path, (3200, 400)), "toy")
    assert before.size == after.size == (1600, 200)
    with Image.open(handlers.toonify(plain(tmp_path, (3200, 400)), "toy")) as toon:
        assert toon.size == (3200, 400)


def test_no_face_is_news_and_not_an_error(handlers, messages, tmp_path):
    _, _, _, found, boxes, *_ = handlers.show(plain(tmp_path), "toy")
    assert [kind for kind, _ in messages] == ["info"]
    assert boxes["value"] is None and not found.visible


def test_no_face_is_a_warning_where_only_faces_are_drawn(handlers, messages, tmp_path):
    handlers.show(plain(tmp_path), "mask")
    assert [kind for kind, _ in messages] == ["warning"]


def test_missing_faces_that_were_not_looked_for_are_not_reported(handlers, messages):
    handlers.show(str(PORTRAIT), "toy", "none")
    assert messages == []


def test_a_face_style_without_faces_is_refused(handlers):
    with pytest.raises(gr.Error, match="faces only"):
        handlers.show(str(PORTRAIT), "mask", "none")


def test_no_photo_and_no_image_are_refused_in_words(handlers, tmp_path):
    with pytest.raises(gr.Error, match="Choose a photo"):
        handlers.show(None, "toy")
    text = tmp_path / "text.jpg"
    text.write_text("hello " * 40)
    with pytest.raises(gr.Error, match=r"text\.jpg.*expected a photo") as refused:
        handlers.show(str(text), "toy")
    assert not refused.value.print_exception


def test_an_unknown_style_is_refused(handlers):
    with pytest.raises(gr.Error, match="Unknown style 'oil'"):
        handlers.show(str(PORTRAIT), "oil")


def test_a_hub_that_does_not_answer_is_explained(cache):
    def away(style, quality):
        raise ConnectionError("the Hub does not answer")

    with pytest.raises(gr.Error, match="does not answer"):
        photo.PhotoHandlers(toy_app.STYLES, away).show(str(PORTRAIT), "toy")


def test_styles_are_listed_with_license_and_source(handlers):
    assert [style["name"] for style in handlers.list_styles()] == ["toy", "mask", "ink"]
    assert "CC0-1.0" in handlers.describe("mask") and "someone/mask" in handlers.describe("mask")


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
    assert files.save_png(Image.new("RGB", (2, 2)), source, "toy").name == name


def test_faces_are_framed_where_they_are():
    gray = Image.new("RGB", (3200, 1600), "#808080")
    face = toy_app.ToyFace((800, 400, 1600, 1200), [])
    framed = photo.draw_boxes(gray, [face])
    frame = framed.point(lambda value: 255 * (value != 128)).convert("L").getbbox()
    assert framed.size == (1600, 800)
    assert frame == (400, 200, 801, 601)


# Portraits ------------------------------------------------------------------------------------

SETTINGS = ("bold", 32, 0.0, "toon", 1.0, 1.0, 0, "all", False)
EDITS = (0.0, 0.0)


def asking(session: str) -> gr.Request:
    return gr.Request(session_hash=session)


def setting(**changed) -> tuple:
    """The screen's settings, some of them changed, and no edits."""
    names = portrait.PortraitHandlers.SETTINGS
    return tuple(changed.get(n, v) for n, v in zip(names, SETTINGS, strict=True)) + EDITS


def test_the_screen_shows_photo_faces_report_and_downloads(faces, cache):
    shown = faces.show(None, str(PORTRAIT), None, asking("a"), None, *setting())
    (before, after), png, npz, report, strip, kept = shown
    assert before.size == after.size == (512, 512)
    assert before.tobytes() != after.tobytes()
    assert Path(png["value"]).name == "random_021-bold.png" and png["interactive"]
    assert Path(npz["value"]).name == "random_021-face.safetensors" and Path(npz["value"]).is_file()
    assert "0.5 s" in report["value"]
    assert "1 face drawn · skipped: 2 too small" in report["value"]
    assert [caption for _, caption in strip["value"]] == ["Face", "Reconstruction", "Toon"]
    assert kept.photo == str(PORTRAIT) and len(kept.latents) == 1
    assert faces.jobs == {} and not list(cache.rglob("stop"))


def test_a_changed_setting_draws_again_without_finding_again(faces, toys):
    pipeline = toys.portraits
    settings = setting(refine_steps=5)
    *_, kept = faces.show(None, str(PORTRAIT), None, asking("a"), None, *settings)
    assert (pipeline.inverted, pipeline.refined) == (1, 5)
    settings = (*setting(refine_steps=5, blend=256, truncation=0.5)[:-2], 1.5, 0.0)
    *_, again = faces.redraw(kept, str(PORTRAIT), None, asking("a"), None, *settings)
    assert (pipeline.inverted, pipeline.refined) == (1, 5)
    call = pipeline.calls[-1]
    assert (call["blend"], call["truncation"], call["edits"]) == (256, 0.5, {"smile": 1.5})
    assert again.latents[0] is kept.latents[0]
    other = str(boxes.EXAMPLES[1])
    calls = len(pipeline.calls)
    for kept_before, shown in ((None, str(PORTRAIT)), (kept, other), (kept, None)):
        skipped = faces.redraw(kept_before, shown, None, asking("a"), None, *settings)
        assert skipped == gr.skip()
    assert len(pipeline.calls) == calls


@pytest.mark.process
def test_stop_ends_the_refinement_and_draws_what_was_reached(faces, toys, monkeypatch):
    reached = threading.Event()

    def progress(fraction, text):
        if text.startswith("Refining"):
            reached.set()
            time.sleep(0.01)

    monkeypatch.setattr(visitors, "track_progress", lambda: progress)
    drawn = []
    draw = threading.Thread(
        target=lambda: drawn.append(
            faces.show(None, str(PORTRAIT), None, asking("a"), None, *setting(refine_steps=10**6))
        )
    )
    draw.start()
    assert reached.wait(120)
    faces.stop(asking("somebody else"))
    assert draw.is_alive()
    for _ in range(2):
        assert not faces.stop(asking("a")).interactive
    draw.join(120)
    assert not draw.is_alive() and drawn
    assert toys.portraits.refined < 10**6
    assert faces.jobs == {}


def test_stop_while_waiting_skips_the_refinement_once(faces, toys):
    assert faces.begin(50, asking("a")).visible and not faces.begin(0, asking("a")).visible
    faces.stop(asking("a"))
    faces.show(None, str(PORTRAIT), None, asking("a"), None, *setting(refine_steps=50))
    assert toys.portraits.refined == 0
    faces.show(None, str(PORTRAIT), None, asking("a"), None, *setting(refine_steps=50))
    assert toys.portraits.refined == 50
    faces.stop(asking("a"))
    faces.leave(asking("a"))
    assert faces.stopped == set()


def test_refinement_ends_when_its_time_is_over(faces, toys, monkeypatch):
    monkeypatch.setattr(portrait, "MAX_REFINE_S", -1)
    faces.show(None, str(PORTRAIT), None, asking("a"), None, *setting(refine_steps=50))
    assert toys.portraits.refined == 0


def test_a_failure_leaves_nothing_behind(faces, toys, cache, monkeypatch):
    def fail(self, *args, **options):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(toy_app.ToyPortraits, "__call__", fail)
    with pytest.raises(RuntimeError):
        faces.show(None, str(PORTRAIT), None, asking("a"), None, *setting())
    assert faces.jobs == {} and not list(cache.rglob("stop"))


def test_a_saved_face_takes_the_place_of_the_largest(faces, toys):
    file = faces.latent(str(PORTRAIT))
    assert Path(file).name == "random_021-face.safetensors"
    toys.portraits.inverted = 0
    faces.show(None, str(PORTRAIT), file, asking("a"), None, *setting())
    assert toys.portraits.inverted == 0
    assert toys.portraits.calls[-1]["latent"][0].shape == (1, 2, 4)


@pytest.mark.parametrize("as_bytes", [False, True])
def test_hostile_faces_are_refused_in_words(faces, tmp_path, as_bytes):
    def zipped(**members):
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in members.items():
                archive.writestr(f"{name}.npy", content)
        return out.getvalue()

    pickled = b"\x93NUMPY\x01\x00v\x00{'descr': '|O', 'fortran_order': False, 'shape': (1,), }"
    hostile = [b"", b"PK bad", zipped(w=b"cos\nsystem\n(S'true'\ntR."), zipped(w=pickled)]
    hostile += [zipped(w=bytes(2 * 10**6)), zipped(other=b"1"), PORTRAIT.read_bytes()]
    for content in hostile:
        path = tmp_path / "me.safetensors"
        path.write_bytes(content)
        source = content if as_bytes else str(path)
        with pytest.raises(gr.Error, match=r"latent") as refused:
            faces.portrait(str(PORTRAIT), "bold", latent=source)
        assert str(tmp_path) not in refused.value.message
        assert not refused.value.print_exception


@pytest.mark.parametrize(
    "edits", [{"nose": 1}, {"smile": 4}, {"smile": "1"}, {"smile": float("nan")}, ["smile"], 3]
)
def test_edits_that_are_not_on_the_screen_are_refused(faces, toys, edits):
    with pytest.raises(gr.Error, match=r"from -3 to 3.*smile, age"):
        faces.portrait(str(PORTRAIT), "bold", edits=edits)
    assert toys.portraits.calls == []


def test_no_face_is_an_answer_but_has_no_latent(faces, messages, tmp_path):
    shown = faces.show(None, plain(tmp_path), None, asking("a"), None, *setting())
    assert [kind for kind, _ in messages] == ["warning"]
    assert not shown[2]["interactive"] and not shown[4]["visible"]
    with pytest.raises(gr.Error, match="No usable face"):
        faces.latent(plain(tmp_path))


def test_a_random_person_comes_back_by_seed(faces, toys):
    (base, toon), png, npz, report, strip, kept = faces.show_random_person("7", None, *setting())
    assert base.size == toon.size == (256, 256)
    assert "random person, seed 7" in report["value"] and npz["interactive"]
    assert Path(png["value"]).name == "person-7-bold.png"
    assert [caption for _, caption in strip["value"]] == ["Photo", "Toon"]
    assert toys.portraits.calls[-1]["truncation"] == pytest.approx(0.7)
    changed = setting(style="soft")
    (same, other), *_ = faces.redraw(kept, None, None, asking("a"), None, *changed)
    assert same.tobytes() == base.tobytes() and other.tobytes() != toon.tobytes()
    *_, anybody = faces.show_random_person("", None, *setting())
    assert 0 <= anybody.seed < 10**6
    with pytest.raises(gr.Error, match="digits"):
        faces.show_random_person("-1", None, *setting())


def test_directions_are_read_without_torch(tmp_path, monkeypatch):
    assert hub.directions(tmp_path) == {}
    about = {"smile": json.dumps({"layers": [0, 3], "label": "Smile"})}
    header = {
        "__metadata__": about,
        "smile": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]},
    }
    text = json.dumps(header).encode()
    (tmp_path / hub.DIRECTIONS).write_bytes(len(text).to_bytes(8, "little") + text)
    assert hub.directions(tmp_path) == {"smile": "Smile"}
    (tmp_path / hub.DIRECTIONS).write_bytes(b"\xff" * 20)
    with pytest.raises(ValueError, match="expected safetensors"):
        hub.directions(tmp_path)


def test_the_real_pipeline_does_all_that_the_app_asks(cache, toy_portrait):
    from toonify.pipelines.stylegan import StyleGANPipeline

    pipeline = StyleGANPipeline(toy_portrait / "base", toy_portrait / "encoder", "cpu")
    toon = hub.Style(str(toy_portrait / "toon"), "Toy", family="stylegan")
    faces = portrait.PortraitHandlers([toon], lambda: pipeline, {})
    settings = (toon.name, *SETTINGS[1:])
    astronaut = str(boxes.EXAMPLES[5])
    first = faces.show(None, astronaut, None, asking("a"), None, *settings)
    again = faces.redraw(first[-1], astronaut, None, asking("a"), None, *settings)
    loaded = faces.show(None, astronaut, first[2]["value"], asking("a"), None, *settings)
    assert first[0][1].tobytes() == again[0][1].tobytes() == loaded[0][1].tobytes()
    (base, drawn), *_ = faces.show_random_person("3", None, *settings)
    assert base.size == drawn.size == (256, 256)
    with pytest.raises(gr.Error, match="latent"):
        faces.portrait(str(PORTRAIT), toon.name, latent=b"no zip")


# Server ---------------------------------------------------------------------------------------


def test_api_draws_a_portrait(client, tmp_path):
    with Image.open(client.predict(handle_file(PORTRAIT), api_name="/toonify")) as toon:
        assert (toon.format, toon.size) == ("PNG", (512, 512))


def test_api_is_documented(http):
    api = http.get("/info").json()["named_endpoints"]
    ours = {"/toonify", "/detect", "/styles", "/portrait", "/latent", "/video", "/clip"}
    assert set(api) == ours | {"/faces", "/mix", "/loop", "/twin"}
    assert all(endpoint["description"] for endpoint in api.values())
    described = [*api["/portrait"]["parameters"], *api["/latent"]["parameters"]]
    assert [p["parameter_name"] for p in described] == [
        *("photo", "style", "blend", "blend_width", "shape_from", "strength", "truncation"),
        *(
            "refine_steps",
            "faces",
            "keep_color",
            "edits",
            "latent",
            "keep_colour",
            "photo",
            "refine_steps",
        ),
    ]
    assert [p["parameter_name"] for p in api["/toonify"]["parameters"]] == [
        "photo",
        "style",
        "faces",
        "strength",
        "keep_color",
        "quality",
        "keep_colour",
        "background",
    ]


def test_api_lists_styles_and_faces(client):
    assert client.predict(api_name="/styles")[0]["title"] == "Toy"
    [face] = client.predict(handle_file(PORTRAIT), api_name="/detect")
    assert face["box"] == pytest.approx([153.6, 128, 358.4, 409.6])
    assert len(face["points"]) == 5


def test_api_draws_portraits_and_keeps_faces(client, server):
    portraits = server[1].portraits
    npz = client.predict(handle_file(PORTRAIT), api_name="/latent")
    assert [*load_file(npz)] == ["w"]
    inverted = portraits.inverted
    with Image.open(
        client.predict(
            handle_file(PORTRAIT),
            style="soft",
            blend=64,
            edits={"smile": 1.5},
            latent=handle_file(npz),
            api_name="/portrait",
        )
    ) as toon:
        assert (toon.format, toon.size) == ("PNG", (512, 512))
    call = portraits.calls[-1]
    assert (call["style"], call["blend"], call["edits"]) == ("soft", 64, {"smile": 1.5})
    assert portraits.inverted == inverted


def test_api_leaves_the_switch_to_the_style_by_default(client, server):
    client.predict(handle_file(PORTRAIT), style="soft", api_name="/portrait")
    assert server[1].portraits.calls[-1]["blend"] is None


@pytest.mark.parametrize(
    "options",
    [{"style": "toy"}, {"blend": 33}, {"refine_steps": 201}, {"faces": "none"}, {"truncation": 2}],
)
def test_api_refuses_portrait_options_that_are_not_on_the_screen(client, server, options):
    calls = len(server[1].portraits.calls)
    with pytest.raises(AppError, match=r"not in the list|greater than"):
        client.predict(handle_file(PORTRAIT), **{"style": "bold", **options}, api_name="/portrait")
    assert len(server[1].portraits.calls) == calls


@pytest.mark.parametrize(
    "file",
    [
        {"path": "/etc/passwd", "meta": FILE},
        {"path": "/etc/passwd"},
        {"path": "http://127.0.0.1:1/me.safetensors", "meta": FILE},
        {"url": "data:application/zip;base64,UEsgYmFk"},
    ],
)
def test_hostile_faces_do_not_come_through_the_server(http, file):
    with open(PORTRAIT, "rb") as photo:
        [path] = http.post("/upload", files={"files": photo}).json()
    data = [{"path": path, "meta": FILE}, *SETTINGS, {}, file]
    event = http.post("/call/portrait", json={"data": data}).json()["event_id"]
    answer = http.get(f"/call/portrait/{event}").text
    assert "event: error" in answer and "passwd" not in answer


@pytest.mark.parametrize(
    "file",
    [
        {"path": "/etc/passwd", "meta": FILE},
        {"path": "/etc/passwd"},
        {"path": "http://127.0.0.1:1/me.mp4", "meta": FILE},
        {"path": "me.mp4", "url": "data:video/mp4;base64,AAAA", "meta": FILE},
    ],
)
def test_hostile_videos_do_not_come_through_the_server(http, file):
    event = http.post("/call/clip", json={"data": [file, "toy"]}).json()["event_id"]
    answer = http.get(f"/call/clip/{event}").text
    assert "event: error" in answer and "passwd" not in answer


def test_without_toons_there_is_one_page_without_tabs(cache, toys):
    demo = toy_app.build(toys, [])
    assert not [block for block in demo.blocks.values() if isinstance(block, gr.Tab)]
    assert {fn.api_name for fn in demo.fns.values()} >= {"toonify", "detect", "styles"}
    assert "portrait" not in {fn.api_name for fn in demo.fns.values()}
    titles = [
        block.label
        for block in toy_app.build(toys, ("videos", "camera", "portraits")).blocks.values()
        if isinstance(block, gr.Tab)
    ]
    assert titles == ["Photo", "Video", "Live", "Portrait toon", "About"]


@pytest.mark.parametrize(
    "options", [{"style": "/etc"}, {"style": "someone/else"}, {"faces": "most"}, {"strength": 1.5}]
)
def test_api_refuses_options_that_are_not_on_the_screen(client, server, options):
    calls = len(server[1]("toy").calls)
    with pytest.raises(AppError, match=r"not in the list|greater than"):
        client.predict(handle_file(PORTRAIT), **{"style": "toy", **options}, api_name="/toonify")
    assert len(server[1]("toy").calls) == calls


def test_api_takes_calls_of_programs_that_know_nothing_of_quality(server, client, http):
    api = client.view_api(return_format="dict", print_info=False)["named_endpoints"]
    assert api["/toonify"]["parameters"][-3]["parameter_default"] == "best"
    with open(PORTRAIT, "rb") as photo:
        [path] = http.post("/upload", files={"files": photo}).json()
    calls = len(server[1]("toy").calls)
    assert "event: complete" in post(http, {"path": path, "meta": FILE})  # five of six
    assert len(server[1]("toy").calls) == calls + 1
    client.predict(handle_file(PORTRAIT), "toy", "all", 1.0, False, "fast", api_name="/toonify")
    assert len(server[1].fast["toy"].calls) == 1


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
    assert "not a link" in post(http, {"path": url, "meta": FILE})


def test_data_urls_are_read_within_the_size_limit(http, monkeypatch):
    url = f"data:image/jpeg;base64,{base64.b64encode(PORTRAIT.read_bytes()).decode()}"
    assert "photo-toy.png" in post(http, {"url": url})
    assert "not valid base64" in post(http, {"url": "data:image/png;base64,!"})
    for bare in (url, url.partition(",")[2], ""):  # a string in place of {"url": ...}
        assert "expected a file that was uploaded" in post(http, bare)
    monkeypatch.setattr(formats, "MAX_BYTES", 2**15)
    assert "larger than" in post(http, {"url": url})


def test_uploads_over_the_limit_are_refused(http):
    big = io.BytesIO(b"\0" * (app.LAUNCH["max_file_size"] + 1))
    answer = http.post("/upload", files={"files": big})
    assert answer.status_code == 413


def test_the_queue_cannot_be_stepped_past(http):
    data = {"data": [None, "toy", "all", 1, False]}
    for route in ("api", "run"):
        answer = http.post(f"/{route}/toonify", json=data)
        assert answer.status_code == 404


@pytest.mark.process
def test_progress_is_passed_on_and_a_full_share_says_so(server, client, monkeypatch):
    free = threading.Event()
    draw = toy_app.ToyPipeline.__call__

    def slow(self, *args, **options):
        options["progress"](0.5, "Thinking")
        free.wait(120)
        return draw(self, *args, **options)

    monkeypatch.setattr(toy_app.ToyPipeline, "__call__", slow)
    jobs = [client.submit(handle_file(PORTRAIT), api_name="/toonify") for _ in range(26)]
    try:
        deadline = time.monotonic() + 120
        while not any(job.done() for job in jobs) and time.monotonic() < deadline:
            time.sleep(0.05)
        refused = [job.exception() for job in jobs if job.done()]
        assert refused and all("which is your share" in str(error) for error in refused)
        waiting = [job for job in jobs if not job.done()]
        while not any(job.status().progress_data for job in waiting):
            assert time.monotonic() < deadline, "nobody heard of the progress"
            time.sleep(0.05)
    finally:
        free.set()
    assert sum(job.exception() is None for job in jobs) >= SHARES["model"].own


@pytest.mark.process
def test_nothing_of_a_visitor_is_kept(tmp_path, cache, toys, monkeypatch):
    monkeypatch.setattr(files, "CLEAN_EVERY_S", 0.2)
    monkeypatch.setattr(files, "KEEP_S", 60)  # until all has been counted
    cleaners = []
    running = cleaning.Cleaner.running
    monkeypatch.setattr(
        cleaning.Cleaner, "running", lambda self: cleaners.append(self) or running(self)
    )

    def kept():
        return {path.name for path in cache.rglob("*") if path.is_file()}

    with toy_app.served(toys) as url:
        examples = kept()
        client = Client(url, verbose=False, download_files=tmp_path / "client")
        client.predict(handle_file(plain(tmp_path)), api_name="/toonify")
        clip = handle_file(make_video(tmp_path / "me.mp4"))
        client.predict(clip, "toy", faces="none", api_name="/clip")
        httpx.post(f"{url}/gradio_api/upload", files={"files": ("unused.jpg", b"bytes")})
        assert len(kept() - examples) >= 5
        [cleaner] = cleaners
        cleaner.keep_s = 1
        deadline = time.monotonic() + 120
        while kept() - examples and time.monotonic() < deadline:
            time.sleep(0.1)
        assert kept() == examples
        assert {path.name for path in boxes.EXAMPLES} <= examples


def test_the_browser_does_not_cache_drawings(http):
    """Gradio's history of runs would hold photos, and every frame of a camera."""
    assert http.get("/../config").json()["run_history"] is False
    assert http.get("/runs").status_code == 404


def test_where_gpus_are_lent_videos_are_shorter_and_no_camera_runs(monkeypatch):
    assert app.CAMERA is not None and app.VIDEOS.max_seconds == video.MAX_SECONDS
    monkeypatch.setenv("SPACES_ZERO_GPU", "1")
    lent = runpy.run_path(app.__file__)
    assert lent["CAMERA"] is None and lent["VIDEOS"].max_seconds == 10
    tabs = {b.label for b in lent["demo"].blocks.values() if isinstance(b, gr.Tab)}
    assert {"Photo", "Video"} <= tabs and "Live" not in tabs
