"""The tab of new faces: its handlers as plain functions, and its names in the API."""

import threading
from pathlib import Path
from urllib.parse import parse_qsl

import gradio as gr
import httpx
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

import app
from tests.fixtures import toy_app
from toonify import hub
from toonify.ui import components, i18n, text
from toonify.ui.handlers import new_faces
from toonify.ui.handlers.face_generators import Face, FaceGenerator
from toonify.ui.handlers.new_faces import NewFacesHandlers

PORTRAIT = str(components.EXAMPLES[0])
SEEN = ("picture", "report", "png", "keep", "copy", "link", "face")
SHOWN = (*SEEN, "smile", "glasses")
DRAWN = ("number", "gallery", "sheet", "faces", *SHOWN)


@pytest.fixture(scope="module")
def toys():
    return toy_app.Toys()


@pytest.fixture
def handlers(cache, toys):
    return NewFacesHandlers(toy_app.find_generators(toys)[:1])


@pytest.fixture(scope="module")
def server(toys, tmp_path_factory):
    """The address of a running page."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("cache")))
        with toy_app.served(toys) as url:
            yield url


@pytest.fixture(scope="module")
def client(server, tmp_path_factory):
    return Client(server, verbose=False, download_files=tmp_path_factory.mktemp("client"))


def named(names: tuple, answers) -> dict:
    """What each widget gets."""
    return dict(zip(names, answers, strict=True))


def arriving(**said) -> gr.Request:
    return gr.Request(query_params=said)


def picking(index: int) -> gr.SelectData:
    return gr.SelectData(None, {"index": index, "value": None})


def test_the_real_pipeline_does_all_that_the_tab_asks(toy_faces, cache):
    from toonify import ToonGANPipeline

    pipeline = ToonGANPipeline.from_pretrained(toy_faces, device="cpu")
    directions = {name: direction.label for name, direction in pipeline.directions.items()}
    handlers = NewFacesHandlers([FaceGenerator(lambda: pipeline, directions, pipeline.resolution)])
    drawn = named(DRAWN, handlers.show(7, 3, 0.8, []))
    third = drawn["gallery"]["value"][2][0]
    assert third.tobytes() == pipeline(3, 7, 0.8)[2].tobytes()  # whatever is drawn beside it
    faces = drawn["faces"]
    kept, *_ = handlers.keep(faces[1], handlers.keep(faces[0], [])[0])
    moved = named(SEEN, handlers.change(faces[0], kept, 1.5, -1.0))
    assert moved["picture"].tobytes() != drawn["picture"].tobytes()
    mixed = named(SHOWN, handlers.show_mix(faces[0], faces[1], 2, kept))
    assert mixed["picture"].size == (512, 512) and mixed["link"] == ""
    assert handlers.write_loop(kept, "GIF", 0.5).stat().st_size > 0
    face, note = handlers.find_twin(PORTRAIT)
    assert face.draw(pipeline).size == (64, 64) and note


def test_what_a_face_is_to_have_is_chosen(choosing_faces, cache):
    from toonify import ToonGANPipeline

    pipeline = ToonGANPipeline.from_pretrained(choosing_faces, device="cpu")
    # A direction may have an attribute's name.
    handlers = NewFacesHandlers(
        [FaceGenerator(lambda: pipeline, {"mouth": "Mouth"}, 64, pipeline.attributes)]
    )
    names = (*SEEN, "amount", "mouth", "hair")
    drawn = handlers.show(5, 2, 0.8, [])
    face = named(DRAWN[:4] + names, drawn)["face"]
    said = named(DRAWN[:4] + names, drawn)
    assert said["mouth"]["value"] == said["hair"]["value"] == "" and said["mouth"]["interactive"]
    sad = named(SEEN, handlers.change(face, [], 0, "sad", ""))
    assert sad["picture"].tobytes() == pipeline(1, 5, 0.8, None, {"mouth": "sad"}, 512)[0].tobytes()
    assert "Face 5 · Mouth: sad · " in sad["report"]["value"].replace("Sad", "sad")
    assert sad["link"] == "?seed=5&truncation=0.8&choose.mouth=sad" and sad["face"].is_same(
        sad["face"]
    )
    assert not sad["face"].is_same(face)
    back = named(names, handlers.fill_face(sad["face"], []))
    assert back["mouth"]["value"] == "sad"
    linked = handlers.parse_link({"seed": "5", "choose.hair_color": "#d6b370", "mouth": "2"})
    assert linked.choices == {"hair_color": "#d6b370"} and linked.edits == {"mouth": 2.0}
    assert linked.link.endswith("&mouth=2&choose.hair_color=%23d6b370")
    mix = handlers.mix_faces(face, sad["face"], 8)
    shown = named(names, handlers.fill_face(mix, []))
    assert not shown["mouth"]["interactive"]
    moved = named(SEEN, handlers.change(mix, [], 0, "sad", ""))
    assert moved["face"].choices == {} and moved["picture"].tobytes() == shown["picture"].tobytes()
    twin, _ = handlers.find_twin(PORTRAIT)
    assert handlers.parse_link(dict(parse_qsl(twin.link[1:]))).is_same(twin)
    faces = handlers.faces(1, 5, 0.8, None, {"mouth": "sad"})
    assert Image.open(faces[0]).tobytes() == sad["picture"].tobytes()
    for wrong in ({"mouth": "grin"}, {"nose": "long"}, ["mouth"], {"mouth": 3}):
        with pytest.raises(gr.Error, match=r"choices: expected variants by name \(mouth: laugh"):
            handlers.faces(1, 5, 0.8, None, wrong)


@pytest.mark.parametrize(
    "name, label",
    [
        ("rear_hair", "Rear hair"),
        ("longStraight", "Long straight"),
        ("#a55728", "Brown #a55728"),
        ("#0b3286", "Blue #0b3286"),
    ],
)
def test_names_of_a_table_are_written_for_people(name, label):
    assert text.format_name(name) == label


# Handlers -------------------------------------------------------------------------------------


def test_faces_have_consecutive_numbers_and_the_first_is_picked(handlers, cache):
    drawn = named(DRAWN, handlers.show("7", 3, 0.8, []))
    pictures = drawn["gallery"]["value"]
    assert [caption for _, caption in drawn["gallery"]["value"]] == ["7", "8", "9"]
    assert drawn["number"] == 7 and drawn["face"].seed == 7
    assert drawn["picture"].size == (512, 512)  # to look at alone
    large = [image.resize((512, 512)).tobytes() for image, _ in pictures]
    assert drawn["picture"].tobytes() == large[0] != large[1]
    assert "Face 7" in drawn["report"]["value"] and "512 × 512 px" in drawn["report"]["value"]
    for button, name in ((drawn["png"], "face-7.png"), (drawn["sheet"], "faces-7-9.png")):
        assert Path(button["value"]).name == name and button["interactive"]
        assert Path(button["value"]).is_relative_to(cache)


def test_a_face_is_the_same_alone_and_in_a_row(handlers):
    row = named(DRAWN, handlers.show("7", 3, 0.8, []))
    alone = named(DRAWN, handlers.show("9", 1, 0.8, []))
    third = row["gallery"]["value"][2][0]
    assert alone["picture"].tobytes() == third.resize((512, 512)).tobytes()
    tamer = named(DRAWN, handlers.show("9", 1, 0.1, []))
    assert tamer["picture"].tobytes() != alone["picture"].tobytes()


def test_without_a_seed_a_random_face_is_drawn(handlers):
    drawn = named(DRAWN, handlers.show("", 1, 0.8, []))
    assert 0 <= drawn["number"] < 10**6
    others = [named(DRAWN, handlers.show_random(1, 0.8, []))["number"] for _ in range(3)]
    assert len({*others, drawn["number"]}) > 1


def test_numbers_begin_again_after_the_last(handlers):
    drawn = named(DRAWN, handlers.show("999999999", 2, 0.8, []))
    assert [face.seed for face in drawn["faces"]] == [999_999_999, 0]


@pytest.mark.parametrize("number", ["-1", "7.5", "seven", "1" * 10, "٣"])
def test_what_is_no_number_is_refused(handlers, number):
    with pytest.raises(gr.Error, match="seed of up to nine digits") as refused:
        handlers.show(number, 1, 0.8, [])
    assert not refused.value.print_exception


def test_a_picked_face_brings_its_sliders_and_one_that_is_gone_nothing(handlers):
    faces = [Face("7", 7), Face("8", 8, edits={"smile": 1.5})]
    shown = named(SHOWN, handlers.pick(faces, [], picking(1)))
    assert (shown["smile"], shown["glasses"]) == (1.5, 0)
    assert "Face 8 · Smile +1.5" in shown["report"]["value"]
    assert handlers.pick([], [], picking(0)) == handlers.pick(faces, [], picking(2)) == gr.skip()


def test_a_moved_slider_draws_the_face_again_and_back(handlers):
    first = named(SHOWN, handlers.pick([Face("7", 7)], [], picking(0)))
    moved = named(SEEN, handlers.change(first["face"], [], 0, -2.0))
    assert moved["picture"].tobytes() != first["picture"].tobytes()
    assert moved["face"].edits == {"glasses": -2.0}
    back = named(SEEN, handlers.change(moved["face"], [], 0, 0))
    assert back["picture"].tobytes() == first["picture"].tobytes()
    assert handlers.change(None, [], 0, 0) == gr.skip()
    with pytest.raises(gr.Error, match=r"from -3 to 3.*smile, glasses"):
        handlers.change(first["face"], [], 3.5, 0)


def test_favorites_are_kept_by_number_and_edits_and_taken_away(handlers):
    plain, smiling = Face("7", 7), Face("7", 7, edits={"smile": 1.0})
    kept, gallery, button = handlers.keep(plain, [])
    assert button["value"] == "Remove" and gallery["visible"]
    kept, gallery, _ = handlers.keep(smiling, kept)
    assert [caption for _, caption in gallery["value"]] == ["7", "7 · Smile +1"]
    again = named(SHOWN, handlers.pick(kept, kept, picking(1)))
    assert again["keep"]["value"] == "Remove" and again["smile"] == 1
    moved = named(SEEN, handlers.change(again["face"], kept, 0, 0))
    assert moved["keep"]["value"] == "Remove"  # for that is the plain one
    assert named(SEEN, handlers.change(again["face"], kept, 0.5, 0))["keep"]["value"] == "Keep"
    kept, gallery, button = handlers.keep(moved["face"], kept)
    assert kept == [smiling] and button["value"] == "Keep"
    kept, gallery, _ = handlers.keep(smiling, kept)
    assert kept == [] and not gallery["visible"]


def test_favorites_are_not_without_end(handlers):
    kept = [Face(f"{seed}", seed) for seed in range(new_faces.MAX_FAVORITES)]
    with pytest.raises(gr.Error, match="up to 16 favorites"):
        handlers.keep(Face("99", 99), kept)
    assert len(handlers.keep(kept[0], kept)[0]) == new_faces.MAX_FAVORITES - 1


def test_without_a_face_there_is_nothing_to_keep_or_to_mix(handlers):
    for press in (lambda: handlers.keep(None, []), lambda: handlers.use(None)):
        with pytest.raises(gr.Error, match="Pick a face first"):
            press()


def test_two_faces_are_mixed_by_size(handlers, toys):
    coarse, picture = handlers.use(Face("7", 7, edits={"smile": 1.0}))
    assert picture.size == (64, 64)
    assert (
        handlers.show_mix(coarse, None, 2, [])
        == handlers.show_mix(None, coarse, 2, [])
        == gr.skip()
    )
    fine, _ = handlers.use(Face("8", 8))
    mixes = [named(SHOWN, handlers.show_mix(coarse, fine, size, [])) for size in (1, 4)]
    pictures = [mix["picture"].tobytes() for mix in mixes]
    assert len({*pictures, picture.tobytes(), fine.draw(toys.faces).tobytes()}) == 4
    assert "7 × 8" in mixes[0]["report"]["value"] and mixes[0]["smile"] == 0
    assert not mixes[0]["copy"]["interactive"] and mixes[0]["link"] == ""
    assert Path(mixes[0]["png"]["value"]).name == "face-7-8.png"
    kept, *_ = handlers.keep(mixes[0]["face"], [])
    assert handlers.keep(mixes[1]["face"], kept)[0] == [mix["face"] for mix in mixes]
    assert named(SHOWN, handlers.show_mix(mixes[0]["face"], fine, 1, []))["face"].title == "mix"


@pytest.mark.parametrize("form", ["MP4", "GIF", "WebP"])
def test_a_loop_goes_through_the_favorites(handlers, toys, form):
    kept = [Face("7", 7), Face("8", 8, edits={"smile": 1.0}), Face("9", 9)]
    film, moving, button = handlers.show_loop(kept, form, 0.5)
    path = Path(button["value"])
    assert path.name == f"faces-loop.{form.lower()}" and path.stat().st_size > 100
    assert (film["visible"], moving["visible"]) == (form == "MP4", form != "MP4")
    rows, dimensions = toys.faces.generator.synthesis.shape
    assert toys.faces.loops[-1] == {"keys": (3, rows, dimensions), "frames": 36, "fps": 24}


def test_one_favorite_is_no_loop(handlers):
    with pytest.raises(gr.Error, match="Keep two or more faces"):
        handlers.show_loop([Face("7", 7)], "MP4", 1)


def test_a_twin_is_played_on_from(handlers, tmp_path):
    note, *shown = handlers.show_twin(PORTRAIT, [])
    shown = named(SHOWN, shown)
    assert "brown hair" in note["value"] and note["visible"]
    assert shown["smile"] == 1.2 and " · Smile +1.2 · " in shown["report"]["value"]
    moved = named(SEEN, handlers.change(shown["face"], [], 1, 0))
    assert moved["link"] == f"?seed={shown['face'].seed}&truncation=0.5&smile=1"
    plain = tmp_path / "plain.png"
    Image.new("RGB", (80, 60), "#7799cc").save(plain)
    assert "No face" in handlers.show_twin(str(plain), [])[0]["value"]


def test_a_twin_takes_photos_only(handlers, tmp_path):
    with pytest.raises(gr.Error, match="Choose a photo"):
        handlers.show_twin(None, [])
    text = tmp_path / "text.jpg"
    text.write_text("hello " * 40)
    with pytest.raises(gr.Error, match=r"text\.jpg.*expected a photo"):
        handlers.show_twin(str(text), [])


# Links ----------------------------------------------------------------------------------------


def test_a_link_leads_back_to_its_face(handlers):
    face = Face("123456789", 123_456_789, 0.85, {"smile": 1.5, "glasses": -0.1})
    assert face.link == "?seed=123456789&truncation=0.85&smile=1.5&glasses=-0.1"
    said = dict(httpx.QueryParams(face.link.removeprefix("?")))
    tabs, truncation, asked = handlers.arrive(arriving(**said))
    assert tabs["selected"] == new_faces.TAB_ID and truncation == 0.85
    assert asked.is_same(face)
    drawn = named(DRAWN, handlers.open(asked, 3, []))
    assert [other.seed for other in drawn["faces"]] == [123_456_789 + step for step in range(3)]
    assert drawn["face"] is asked and drawn["smile"] == 1.5
    assert drawn["faces"][1].edits == {}


def test_an_address_without_a_face_opens_nothing(handlers):
    assert handlers.arrive(arriving(__theme="dark")) == gr.skip()
    assert handlers.open(None, 3, []) == gr.skip()
    assert handlers.parse_link({"seed": "7", "__theme": "dark"}).is_same(Face("7", 7))


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"seed": "<b>"}, "up to nine digits"),
        ({"seed": "7", "truncation": "much"}, "truncation is not a number"),
        ({"seed": "7", "truncation": "1.5"}, "truncation is 1.5: expected 0 to 1"),
        ({"seed": "7", "truncation": "nan"}, "expected 0 to 1"),
        ({"seed": "7", "smile": "<b>"}, "smile is not a number"),
        ({"seed": "7", "smile": "inf"}, "from -3 to 3"),
    ],
)
def test_odd_links_are_refused_in_words(handlers, said, expected):
    with pytest.raises(gr.Error, match=expected):
        handlers.arrive(arriving(**said))


def test_the_visitor_sees_where_the_link_is(handlers, monkeypatch):
    said = []
    monkeypatch.setattr(i18n, "show_info", said.append)
    handlers.confirm_copy("copied")
    handlers.confirm_copy("shown")
    assert said == ["Link copied.", "The link is in the address bar."]


# Whether the tab is there ---------------------------------------------------------------------


@pytest.mark.parametrize("toons", [True, False])
@pytest.mark.parametrize("faces", [True, False])
def test_the_tab_is_there_if_its_network_is(toys, toons, faces):
    demo = toy_app.build(toys, ["portraits"] * toons + ["faces"] * faces)
    titles = [block.label for block in demo.blocks.values() if isinstance(block, gr.Tab)]
    others = ["Photo"] * (toons or faces) + ["Portrait toon"] * toons
    assert titles == others + ["New faces"] * faces + ["About"] * (toons or faces)
    names = {fn.api_name for fn in demo.fns.values()}
    assert ({"faces", "mix", "loop", "twin"} & names != set()) == faces


def test_the_app_looks_for_the_bundled_network(tmp_path, use_bundled):
    use_bundled(tmp_path)
    assert app.find_faces_handlers() is None
    folder = tmp_path / hub.DEFAULT_FACES
    folder.mkdir()
    (folder / hub.CONFIG).write_text('{"resolution": 256}')
    (folder / hub.STYLE).write_text('{"family": "toongan"}')
    handlers = app.find_faces_handlers()
    assert handlers.find(None).sizes == [8, 16, 32, 64, 128, 256]
    assert handlers.find(None).directions == {}


# Server ---------------------------------------------------------------------------------------


def test_api_is_documented(server):
    api = httpx.get(f"{server}/gradio_api/info").json()["named_endpoints"]
    parameters = {
        name: [parameter["parameter_name"] for parameter in api[name]["parameters"]]
        for name in ("/faces", "/mix", "/loop", "/twin")
    }
    assert parameters == {
        "/faces": ["n", "seed", "truncation", "edits", "choices", "style"],
        "/mix": ["coarse", "fine", "size", "truncation", "style"],
        "/loop": ["seeds", "form", "seconds", "truncation", "style"],
        "/twin": ["photo", "style"],
    }
    assert all(api[name]["description"] for name in parameters)


def test_api_draws_faces_by_number(client, toys):
    [one] = client.predict(seed=7, api_name="/faces")
    two = client.predict(n=2, seed=6, edits={"smile": 1.5}, api_name="/faces")
    with Image.open(one["image"]) as plain, Image.open(two[1]["image"]) as smiling:
        assert (plain.format, plain.size) == ("PNG", (512, 512))
        assert plain.tobytes() == Face("7", 7).draw_large(toys.faces).tobytes() != smiling.tobytes()
    assert len(client.predict(n=2, api_name="/faces")) == 2


def test_api_mixes_loops_and_finds_twins(client, toys):
    with Image.open(client.predict(7, 8, api_name="/mix")) as mix:
        assert mix.size == (512, 512)
    clip = client.predict([7, 8], form="GIF", seconds=0.5, api_name="/loop")
    with Image.open(clip) as loop:
        assert loop.n_frames == 2
    png, said = client.predict(handle_file(PORTRAIT), api_name="/twin")
    assert Path(png).suffix == ".png" and "brown hair" in said


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("/faces", {"n": 25}, "greater than"),
        ("/faces", {"n": 0}, "less than"),
        ("/faces", {"seed": -1}, "less than"),
        ("/faces", {"seed": 2**64}, "greater than"),
        ("/faces", {"truncation": 5}, "greater than"),
        ("/faces", {"edits": {"nose": 1}}, "from -3 to 3"),
        ("/mix", {"coarse": 7, "fine": 8, "size": 33}, "not in the list"),
        ("/loop", {"seeds": [7]}, "2 to 16 seeds"),
        ("/loop", {"seeds": 7}, "2 to 16 seeds"),
        ("/loop", {"seeds": [7, "x"]}, "nine digits"),
        ("/loop", {"seeds": [7, 8], "form": "AVI"}, "not in the list"),
        ("/loop", {"seeds": [7, 8], "seconds": 60}, "greater than"),
    ],
)
def test_api_refuses_in_words(client, name, options, expected):
    with pytest.raises(AppError, match=expected):
        client.predict(**options, api_name=name)


@pytest.mark.parametrize("path", ["/etc/passwd", "http://127.0.0.1:1/a.jpg"])
def test_twins_are_not_made_of_the_servers_files_or_of_addresses(server, path):
    data = {"data": [{"path": path, "meta": {"_type": "gradio.FileData"}}]}
    with httpx.Client(base_url=f"{server}/gradio_api", timeout=60) as http:
        event = http.post("/call/twin", json=data).json()["event_id"]
        answer = http.get(f"/call/twin/{event}").text
    assert "event: error" in answer and path not in answer


def test_other_tabs_do_not_hold_faces_up(client, monkeypatch):
    busy, free = threading.Event(), threading.Event()
    draw = toy_app.ToyPipeline.__call__

    def slow(self, *args, **options):
        busy.set()
        free.wait(60)
        return draw(self, *args, **options)

    monkeypatch.setattr(toy_app.ToyPipeline, "__call__", slow)
    job = client.submit(handle_file(PORTRAIT), api_name="/toonify")
    try:
        assert busy.wait(60)
        assert client.predict(seed=7, api_name="/faces")
        assert not job.done()
    finally:
        free.set()
    job.result()
