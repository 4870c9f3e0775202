"""Previews of a photo in all styles: the handlers, called as plain functions."""

import re
from pathlib import Path

import gradio as gr
import pytest
from PIL import Image, ImageChops, ImageOps, ImageStat

from tests.fixtures import toy_app
from toonify.ui import cleaning, components
from toonify.ui.handlers import photo, portrait, previews

PORTRAIT = str(components.EXAMPLES[0])
ASKING = gr.Request(session_hash="a")


@pytest.fixture
def handlers(cache, toys, monkeypatch):
    """The handlers; `searched` counts the photos whose faces were searched for."""
    portraits = portrait.PortraitHandlers(toy_app.TOONS, toys.load_portraits, toy_app.DIRECTIONS)
    made = previews.PreviewHandlers(photo.PhotoHandlers(toy_app.STYLES, toys), portraits)
    made.searched = []

    def find(image):
        made.searched.append(image.size)
        return toy_app.find_faces(image)

    monkeypatch.setattr(photo, "find_faces", find)
    return made


def draw_all(handlers, style="toy", source=PORTRAIT):
    """What the page gets: of the beginning, then of each preview."""
    shown = [handlers.begin(source, style, ASKING, lambda *said: None)]
    while shown[-1][0].next_style:
        shown.append(handlers.preview(shown[-1][0], ASKING))
    return shown


def get_cell(page, number):
    """An image of 512 x 512 px in a row of a sheet."""
    x = 16 + 528 * number
    return page.crop((x, 16, x + 512, 16 + 512))


def measure_difference(one, other):
    """The mean difference of two images of a size, 0 to 255."""
    return ImageStat.Stat(ImageChops.difference(one, other).convert("L")).mean[0]


def test_bundled_styles_are_drawn_one_by_one_the_chosen_first(handlers, toys):
    shown = draw_all(handlers, "ink")
    assert [list(wall.drawn) for wall, *_ in shown] == [[], ["ink"], ["ink", "toy"]]
    paths = [[path for path, _ in gallery["value"]] for _, gallery, *_ in shown]
    assert [len(set(each)) for each in paths] == [1, 2, 2]  # places that wait look the same
    assert paths[1][0] == paths[2][0]  # a browser fetches each preview once
    assert [title for _, title in shown[0][1]["value"]] == ["Ink", "Toy"]
    reports = [re.sub(r"\d s", "N s", report["value"]) for _, _, report, *_ in shown]
    assert reports == [
        "Drawing 2 previews",
        "1 of 2 previews, about N s left",
        "Press a preview to draw it large.",
    ]
    assert [stop["visible"] for *_, stop, _ in shown] == [True, True, False]
    assert [sheet["interactive"] for *_, sheet in shown] == [False, False, True]
    assert len(toys.fast["toy"].calls) == 1  # by its fast generator
    assert handlers.preview(shown[-1][0], ASKING) == handlers.preview(None, ASKING) == gr.skip()
    assert handlers.jobs == {}


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
        assert page.size == (16 + 3 * 528, 600)
        for number, image in enumerate(expected):
            assert measure_difference(get_cell(page, number), image.convert("RGB")) < 4
            x = 16 + 528 * number
            name = page.crop((x, 16 + 512, x + 512, 590)).convert("L")
            assert name.getextrema()[0] < 100  # it is written below


def test_stop_keeps_what_is_drawn_and_its_sheet(handlers, toys, monkeypatch):
    wall = handlers.preview(handlers.begin(PORTRAIT, "toy", ASKING, print)[0], ASKING)[0]
    handlers.stop(ASKING)
    wall, _, report, stop, sheet = handlers.preview(wall, ASKING)
    assert wall.next_style is None and list(wall.drawn) == ["toy"] and not toys.made
    assert report["value"].startswith("Stopped after 1 of 2.")
    assert not stop["visible"] and sheet["interactive"]
    assert len(draw_all(handlers)[-1][0].drawn) == 2  # a new photo is drawn again


@pytest.mark.parametrize("end", ["stop", "clear", "leave"])
def test_a_drawing_ends_between_its_steps(handlers, toys, monkeypatch, end):
    draw = toy_app.ToyPipeline.__call__

    def interrupted(self, *args, **options):
        getattr(handlers, end)(ASKING)
        return draw(self, *args, **options)

    wall = handlers.begin(PORTRAIT, "toy", ASKING, print)[0]
    monkeypatch.setattr(toy_app.ToyPipeline, "__call__", interrupted)
    shown = handlers.preview(wall, ASKING)
    if end == "clear":  # nothing of a photo that was removed comes back
        assert shown == gr.skip()
    else:
        assert shown[0].stopped and not shown[0].drawn and not shown[4]["interactive"]
    assert handlers.jobs == {}


def test_previews_lie_where_results_lie_and_are_deleted_like_them(handlers, cache):
    walls = [draw_all(handlers)[-1] for _ in range(2)]
    paths = {Path(path) for shown in walls for path, _ in shown[1]["value"]}
    paths |= {Path(shown[4]["value"]) for shown in walls} | {shown[0].photo for shown in walls}
    # Two visitors with the same photo: no name follows from its content.
    assert len({path.parent for path in paths}) == len(paths) == 8
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

    name, about, quality = handlers.pick(wall, press(1))
    assert (name, quality["visible"]) == ("toy", True) and "Flat colors." in about
    for index in (2, -1, "x", None):
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
    for name in ("begin", "preview", "draw_first", "compare"):
        found = [
            fn for fn in events[name] if fn.fn.__self__.__class__.__name__ == "PreviewHandlers"
        ]
        assert found
        assert all(fn.queue and fn.concurrency_id == "model" for fn in found), name
        assert all(fn.api_visibility == "private" for fn in found), name
