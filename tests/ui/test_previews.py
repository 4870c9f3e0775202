"""Previews of a photo in all styles: the handlers, called as plain functions."""

import re
from pathlib import Path

import gradio as gr
import pytest
from PIL import Image, ImageChops, ImageOps, ImageStat

import app
from tests.fixtures import toy_app
from toonify.ui import cleaning, components, events
from toonify.ui.handlers import photo, portrait, previews

PORTRAIT = str(components.EXAMPLES[0])
ASKING = gr.Request(session_hash="a")


@pytest.fixture
def handlers(cache, toys, monkeypatch):
    """The handlers; `searched` counts the photos whose faces were searched for."""
    portraits = portrait.PortraitHandlers(toy_app.TOONS, toys.load_portraits, toy_app.DIRECTIONS)
    photos = photo.PhotoHandlers(toy_app.STYLES, toys, toy_app.TOONS, toys.load_portraits)
    made = previews.PreviewHandlers(photos, portraits)
    made.searched = []

    def find(image):
        made.searched.append(image.size)
        return toy_app.find_faces(image)

    monkeypatch.setattr(photo, "find_faces", find)
    return made


def draw_all(handlers, style="toy", source=PORTRAIT):
    """What the page gets: of the beginning, then of each preview."""
    shown = [handlers.begin(source, style, ASKING, lambda *said: None)]
    shown += handlers.preview(shown[-1][0], ASKING)
    return [*shown, *handlers.preview_toon(shown[-1][0], ASKING)]


def get_cell(page, number):
    """An image of 512 x 512 px in a row of a sheet."""
    x = 16 + 528 * number
    return page.crop((x, 16, x + 512, 16 + 512))


def measure_difference(one, other):
    """The mean difference of two images of a size, 0 to 255."""
    return ImageStat.Stat(ImageChops.difference(one, other).convert("L")).mean[0]


def test_bundled_styles_are_drawn_one_by_one_the_chosen_first_and_stylegan_last(handlers, toys):
    shown = draw_all(handlers, "ink")
    drawn = [list(wall.drawn) for wall, *_ in shown]
    assert drawn == [[], ["ink"], ["ink", "toy"], ["ink", "toy", "bold"]]
    paths = [[path for path, _ in gallery["value"]] for _, gallery, *_ in shown]
    assert [len(set(each)) for each in paths] == [1, 2, 3, 3]  # places that wait look the same
    assert paths[1][0] == paths[3][0]  # a browser fetches each preview once
    assert [title for _, title in shown[0][1]["value"]] == ["Ink", "Toy", "Bold"]
    reports = [re.sub(r"\d s", "N s", report["value"]) for _, _, report, *_ in shown]
    assert reports == [
        "Drawing 3 previews",
        "1 of 3 previews, about N s left",
        "2 of 3 previews, about N s left",
        "Press a preview to draw it large.",
    ]
    assert [stop["visible"] for *_, stop, _ in shown] == [True, True, True, False]
    assert [sheet["interactive"] for *_, sheet in shown] == [False, False, False, True]
    assert len(toys.fast["toy"].calls) == 1  # by its fast generator
    for draw in (handlers.preview, handlers.preview_toon):
        assert [*draw(shown[-1][0], ASKING), *draw(None, ASKING)] == []
    assert handlers.jobs == {}


def test_a_photo_without_a_face_that_stylegan_draws_has_no_such_preview(handlers, toys, tmp_path):
    Image.effect_noise((300, 200), 40).resize((60, 40)).save(tmp_path / "sea.png")  # no faces
    wall = draw_all(handlers, source=str(tmp_path / "sea.png"))[-1][0]
    assert list(wall.styles) == list(wall.drawn) == ["toy", "ink"] and not toys.portraits.calls

    def turn_aside(*args, **options):
        return toy_app.ToyPortraitToon(args[0], [], {"draw": 0.5})

    handlers.photos.load_toons = lambda: turn_aside
    wall, gallery, *_ = draw_all(handlers)[-1]
    assert list(wall.styles) == list(wall.drawn) == ["toy", "ink"] and len(gallery["value"]) == 2


def test_previews_that_take_too_long_wait_for_the_large_drawing(handlers, monkeypatch):
    monkeypatch.setattr(previews, "MAX_PREVIEWS_S", 0)
    wall = handlers.begin(PORTRAIT, "toy", ASKING, print)[0]
    assert list(handlers.preview(wall, ASKING)) == []
    assert len(list(handlers.preview_toon(wall, ASKING))) == 3


def test_the_toon_of_stylegan_is_drawn_large_like_every_style(handlers, toys):
    wall = draw_all(handlers)[-1][0]
    *_, drawing = handlers.photos.show(PORTRAIT, "bold", strength=0.5, wall=wall)
    assert drawing.style == "bold" and drawing.drawn_faces == 1
    assert toys.portraits.calls[-1]["style"] == "bold"
    assert toys.portraits.calls[-1]["strength"] == 0.5
    with pytest.raises(gr.Error, match="draws faces only"):
        handlers.photos.show(PORTRAIT, "bold", "none", wall=wall)


def test_faces_are_searched_for_once_for_all_drawings(handlers, toys, tmp_path):
    with Image.open(PORTRAIT) as image:
        image.resize((1024, 1024)).save(tmp_path / "me.png")
    source = str(tmp_path / "me.png")
    wall = draw_all(handlers, source=source)[-1][0]
    handlers.draw_first(wall, source, None, "toy", "all", 1.0, False, "best")
    assert handlers.searched == [(1024, 1024)]
    [small], [whole] = toys.made["ink"].found[0], toys.made["toy"].found[0]
    assert whole.box == pytest.approx((307.2, 256, 716.8, 819.2))
    assert small.box == pytest.approx((153.35, 127.75, 358.15, 409.35))
    handlers.photos.show(PORTRAIT, "toy", wall=wall)  # of another photo
    assert toys.made["toy"].found[1] is None


def test_the_sheet_has_the_photo_and_every_style(handlers):
    wall, *_, sheet = draw_all(handlers)[-1]
    assert Path(sheet["value"]).name == "random_021-all-styles.jpg"
    with Image.open(sheet["value"]) as page, Image.open(PORTRAIT) as original:
        expected = [original.convert("RGB"), *map(Image.open, wall.drawn.values())]
        assert page.size == (16 + 2 * 528, 2 * 592 + 8)
        for number, image in enumerate(expected):
            x, y = 528 * (number % 2), 592 * (number // 2)
            cell = page.crop((x + 16, y + 16, x + 528, y + 528))
            assert measure_difference(cell, image.convert("RGB")) < 4
            name = page.crop((x + 16, y + 528, x + 528, y + 590)).convert("L")
            assert name.getextrema()[0] < 100  # it is written below


def test_stop_keeps_what_is_drawn_and_its_sheet(handlers, toys, monkeypatch):
    drawing = handlers.preview(handlers.begin(PORTRAIT, "toy", ASKING, print)[0], ASKING)
    next(drawing)
    handlers.stop(ASKING)
    [(wall, _, report, stop, sheet)] = drawing
    assert wall.next_style is None and list(wall.drawn) == ["toy"] and not toys.made
    assert report["value"].startswith("Stopped after 1 of 3.")
    assert not stop["visible"] and sheet["interactive"]
    assert len(draw_all(handlers)[-1][0].drawn) == 3  # a new photo is drawn again


@pytest.mark.parametrize("end", ["stop", "clear", "leave"])
def test_a_drawing_ends_between_its_steps(handlers, toys, monkeypatch, end):
    draw = toy_app.ToyPipeline.__call__

    def interrupted(self, *args, **options):
        getattr(handlers, end)(ASKING)
        return draw(self, *args, **options)

    wall = handlers.begin(PORTRAIT, "toy", ASKING, print)[0]
    monkeypatch.setattr(toy_app.ToyPipeline, "__call__", interrupted)
    shown = list(handlers.preview(wall, ASKING))
    if end == "clear":  # nothing of a photo that was removed comes back
        assert shown == []
    else:
        [(wall, *_, sheet)] = shown
        assert wall.stopped and not wall.drawn and not sheet["interactive"]
    assert handlers.jobs == {}


def test_previews_lie_where_results_lie_and_are_deleted_like_them(handlers, cache):
    walls = [draw_all(handlers)[-1] for _ in range(2)]
    paths = {Path(path) for shown in walls for path, _ in shown[1]["value"]}
    paths |= {Path(shown[4]["value"]) for shown in walls} | {shown[0].photo for shown in walls}
    # Two visitors with the same photo: no name follows from its content.
    assert len({path.parent for path in paths}) == len(paths) == 10
    assert all(re.fullmatch(r"[\w-]{22}", path.parent.name) for path in paths)
    assert all(path.parent.parent == cache for path in paths)
    cleaning.Cleaner(cache).clean(0)
    assert not any(path.exists() for path in paths)
    with pytest.raises(gr.Error, match="too old: choose the photo again"):
        handlers.save_sheet(walls[0][0])


def test_no_photo_and_a_bad_photo_have_no_previews(handlers, tmp_path):
    wall, gallery, *_ = handlers.begin(None, "toy", ASKING, print)
    assert wall is None and not gallery["visible"]
    assert handlers.draw_first(None, None, None, "toy") == gr.skip()
    (tmp_path / "notes.jpg").write_text("hello " * 50)
    with pytest.raises(gr.Error, match="expected a photo"):
        handlers.begin(str(tmp_path / "notes.jpg"), "toy", ASKING, print)


def test_a_press_chooses_the_style(handlers):
    wall = draw_all(handlers, "ink")[-1][0]

    def press(index):
        return gr.SelectData(None, {"index": index, "value": None})

    assert handlers.pick(wall, press(2))[0] == "bold"

    name, about, quality = handlers.pick(wall, press(1))
    assert (name, quality["visible"]) == ("toy", True) and "Flat colors." in about
    for index in (3, -1, "x", None):
        with pytest.raises(gr.Error, match="choose the photo again"):
            handlers.pick(wall, press(index))
    with pytest.raises(gr.Error, match="choose the photo again"):
        handlers.pick(None, press(0))


def test_a_comparison_has_the_photo_and_both_networks(handlers, toys):
    image, download = handlers.compare(PORTRAIT, "ink", "best", ASKING, print)
    assert image["value"] == download["value"] and download["interactive"]
    with Image.open(image["value"]) as page, Image.open(PORTRAIT) as opened:
        original = opened.convert("RGB")
        assert page.width == 16 + 3 * 528
        assert measure_difference(get_cell(page, 0), original) < 4
        assert measure_difference(get_cell(page, 1), ImageOps.posterize(original, 1)) < 6
        face = [round(edge) for edge in toy_app.find_faces(original)[0].box]
        bold = get_cell(page, 2)
        assert measure_difference(bold.crop((0, 0, 512, 120)), original.crop((0, 0, 512, 120))) < 4
        assert measure_difference(bold.crop(face), original.crop(face)) > 20
    assert toys.portraits.calls[-1]["style"] == "bold"
    assert len(toys.made["ink"].calls) == 1


def test_links_say_style_and_settings(handlers):
    def arrive(**query):
        return handlers.arrive(gr.Request(query_params=query))

    name, about, quality, *others = arrive(style="ink", strength="0.5", keep_color="true")
    assert (name, quality["value"], quality["visible"]) == ("ink", "best", False)
    assert "Two tones." in about and others[:4] == [0.5, "all", True, "draw"]
    assert arrive(quality="best")[2]["value"] == "best"
    assert arrive(quality="fast")[2]["value"] == "fast"
    assert arrive(strength="0.5")[2]["value"] == "best"  # as on a new page
    assert arrive(seed="7") == arrive() == gr.skip()
    for query, words in [
        ({"style": "oil"}, "Unknown style 'oil'"),
        ({"style": "ink", "quality": "fast"}, "no fast generator"),
        ({"style": "mask", "faces": "none"}, "faces only"),
        ({"strength": "much"}, "not a number"),
        ({"strength": "nan"}, "expected 0 to 1"),
        ({"faces": "<b>"}, "expected quality=best or fast"),
    ]:
        with pytest.raises(gr.Error, match=words):
            arrive(**query)


def test_every_heavy_event_waits_in_the_visitors_share(cache, toys):
    events = {}
    for fn in toy_app.build(toys).fns.values():
        events.setdefault(getattr(fn.fn, "__name__", ""), []).append(fn)
    for name in ("begin", "preview", "preview_toon", "draw_first", "compare"):
        found = [
            fn for fn in events[name] if fn.fn.__self__.__class__.__name__ == "PreviewHandlers"
        ]
        assert found
        assert all(fn.queue and fn.concurrency_id == "model" for fn in found), name
        assert all(fn.api_visibility == "private" for fn in found), name


def test_names_on_sheets_are_in_the_visitors_language_if_a_font_has_it(monkeypatch):
    with previews.i18n.use_language("de"):
        monkeypatch.setattr(previews.images, "can_write", lambda *names: True)
        found = previews.translate_names("Series", "no face to draw")
        assert found == ["Serie", "kein Gesicht"]  # codespell:ignore serie
        monkeypatch.setattr(previews.images, "can_write", lambda *names: False)
        assert previews.translate_names("Series") == ["Series"]


def test_what_visitors_use_first_is_loaded_first(toys, monkeypatch):
    opened = []

    def load(style, quality="best"):
        opened.append((style, quality))
        return toys(style, quality)

    monkeypatch.setattr(app, "STYLES", toy_app.STYLES)
    monkeypatch.setattr(app, "load_pipeline", load)
    monkeypatch.setattr(app, "load_portraits", lambda: lambda path: opened.append("portraits"))
    monkeypatch.setattr(
        toy_app.ToyPipeline, "__call__", lambda self, photo: opened.append(photo.size)
    )
    app.warm_up("ink", True, False, lambda: opened.append("wait"))
    assert opened == [
        *(("ink", "best"), (128, 128), ("toy", "fast"), ("ink", "best"), "wait", "portraits")
    ]


def test_what_takes_long_is_loaded_when_nobody_asks_for_anything(monkeypatch):
    now, slept = [100.0], []

    def sleep(seconds):
        slept.append(seconds)
        now[0] += seconds

    monkeypatch.setattr(events.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(events.time, "sleep", sleep)
    page = events.Page()
    page.wait_for_quiet()
    assert not slept  # nobody has been here
    page.last_request = 99.0
    page.wait_for_quiet()
    assert sum(slept) == pytest.approx(events.QUIET_S - 1, abs=0.2)
    page.last_request = float("inf")
    page.wait_for_quiet()
    assert sum(slept) == pytest.approx(events.QUIET_S - 1 + events.MAX_NOISE_S, abs=0.4)
