"""A drawn photo on the page: other backgrounds and other styles for single people."""

from pathlib import Path

import gradio as gr
import numpy as np
import pytest
from PIL import Image, ImageChops, ImageDraw

from tests.fixtures import toy_app
from tests.fixtures.mark_readers import read_source_type
from toonify import faces, images
from toonify.images.marks import DRAWN, make_uri, mark
from toonify.pipelines import background as backgrounds
from toonify.ui import components
from toonify.ui.handlers import photo, results

PORTRAIT = str(components.EXAMPLES[0])
PAIR, DOWNLOAD, REPORT, FOUND, FRAMED, STICKER, PEOPLE, PERSON, DRAWING = range(9)


def make_face(x):
    """A face in a photo of 512 x 512 px, with its eyes 40 px apart."""
    shifts = ((-0.5, -0.4), (0.5, -0.4), (0, 0), (-0.4, 0.5), (0.4, 0.5))
    points = np.array([(x + 40 * across, 200 + 40 * down) for across, down in shifts])
    return faces.Face((x - 40, 150, x + 40, 250), points, 1.0)


@pytest.fixture
def searched(monkeypatch):
    """Two people stand in every photo; the sizes of the photos whose people were looked for."""
    sizes = []

    def find_person(image, drawing, device):
        sizes.append(image.size)
        mask = Image.new("L", image.size)
        ImageDraw.Draw(mask).rectangle((64, 128, 447, 511), fill=255)
        return mask

    monkeypatch.setattr(backgrounds, "find_person", find_person)
    draw = toy_app.ToyPipeline.__call__

    def draw_two(self, image, **options):
        toon = draw(self, image, **options)
        toon.faces = [make_face(150), make_face(360)]
        mark(toon.image, DRAWN)
        return toon

    monkeypatch.setattr(toy_app.ToyPipeline, "__call__", draw_two)
    return sizes


@pytest.fixture
def handlers(cache, toys):
    return photo.PhotoHandlers(toy_app.STYLES, toys)


def press(number):
    return gr.SelectData(None, {"index": number, "value": None})


def open_download(shown):
    """The file that the visitor gets."""
    value = shown.value if hasattr(shown, "value") else shown["value"]
    return Path(value["path"] if isinstance(value, dict) else value)


def test_a_background_changes_without_drawing_again(handlers, toys, searched):
    shown = handlers.show(PORTRAIT, "toy")
    assert searched == [] and not shown[STICKER].visible
    plain = open_download(shown[DOWNLOAD])
    white = handlers.change(shown[DRAWING], "color", "#ffffff")
    with Image.open(open_download(white[DOWNLOAD])) as image:
        assert image.getpixel((5, 5)) == (255, 255, 255)
        assert image.getpixel((250, 300)) == Image.open(plain).getpixel((250, 300))
    cut = handlers.change(white[DRAWING], "transparent", "#ffffff")
    with Image.open(open_download(cut[DOWNLOAD])) as image:
        assert (image.mode, image.getpixel((5, 5))[3]) == ("RGBA", 0)
    assert cut[PAIR][1].mode == "RGB" and cut[PAIR][1].size == cut[PAIR][0].size
    back = handlers.change(cut[DRAWING], "draw", "#ffffff")
    assert open_download(back[DOWNLOAD]) == plain
    assert len(toys.made["toy"].calls) == len(searched) == 1
    for result in (shown, white, cut):
        assert read_source_type(open_download(result[DOWNLOAD])) == make_uri(DRAWN)


def test_a_sticker_comes_as_png_and_as_small_webp(handlers, searched):
    shown = handlers.show(PORTRAIT, "toy", background="sticker")
    large, small = (open_download(shown[part]) for part in (DOWNLOAD, STICKER))
    assert (large.name, small.name) == (
        "random_021-toy-sticker.png",
        "random_021-toy-sticker.webp",
    )
    assert shown[STICKER].visible and small.stat().st_size < 100_000
    with Image.open(small) as image:
        assert (image.format, image.size, image.mode) == ("WEBP", (512, 512), "RGBA")
    assert read_source_type(small) == read_source_type(large) == make_uri(DRAWN)


def test_one_person_stays_a_photo_and_another_gets_a_style(handlers, toys, searched):
    shown = handlers.show(PORTRAIT, "toy")
    assert [title for _, title in shown[PEOPLE]["value"]] == ["Toy", "Toy"]
    assert not shown[PERSON]["visible"]
    person, drawing = handlers.pick_person(shown[DRAWING], press(1))
    assert (person["value"], person["label"], person["visible"]) == ("toy", "Person 2", True)
    shown = handlers.choose_person(drawing, "photo", "draw", "#ffffff")
    _, drawing = handlers.pick_person(shown[DRAWING], press(0))
    shown = handlers.choose_person(drawing, "ink", "draw", "#ffffff")
    assert [title for _, title in shown[PEOPLE]["value"]] == ["Ink", "Photo"]
    assert len(toys.made["ink"].calls) == len(toys.made["toy"].calls) == 1
    files = shown[DRAWING].files
    with Image.open(open_download(shown[DOWNLOAD])) as made:
        for box, source in (
            ((100, 180, 200, 400), files["ink"]),
            ((310, 180, 410, 400), PORTRAIT),
            ((460, 0, 512, 100), files["toy"]),
        ):
            expected = images.load(source).crop(box)
            assert ImageChops.difference(made.crop(box), expected).getbbox() is None
    again = handlers.choose_person(shown[DRAWING], "toy", "draw", "#ffffff")
    assert again[DRAWING].choices == {1: "photo"}


def test_one_face_has_a_frame_and_no_choice(handlers):
    shown = handlers.show(PORTRAIT, "toy")
    assert not shown[PEOPLE]["visible"] and shown[FRAMED]["visible"] and not shown[FOUND].open


def test_nobody_to_cut_out_is_said(handlers, monkeypatch):
    said = []
    monkeypatch.setattr(gr, "Warning", lambda words, title: said.append(words))
    monkeypatch.setattr(backgrounds, "find_person", lambda image, drawing, device: None)
    shown = handlers.show(PORTRAIT, "toy", background="keep")
    assert len(said) == 1 and shown[DRAWING].searched
    with pytest.raises(gr.Error, match="No person was found"):
        handlers.toonify(PORTRAIT, "toy", background="sticker")


def test_programs_choose_a_background(handlers, searched):
    path = handlers.toonify(PORTRAIT, "toy", background="#102030")
    with Image.open(path) as image:
        assert image.getpixel((5, 5)) == (16, 32, 48)
    with pytest.raises(gr.Error, match="Unknown background 'sunny'"):
        handlers.toonify(PORTRAIT, "toy", background="sunny")


@pytest.mark.parametrize(
    "value, expected",
    [("#FFcf3f", "#ffcf3f"), ("rgba(12.4, 0, 255, 1)", "#0c00ff"), ("rgb(1,2,3)", "#010203")],
)
def test_colors_are_read_as_the_picker_gives_them(value, expected):
    assert results.parse_color(value) == expected


@pytest.mark.parametrize(
    "value", ["", "red;", "rgb(1,2)", "rgb(300, 0, 0)", "rgb(1..2, 0, 0)", None]
)
def test_other_colors_are_refused(value):
    with pytest.raises(gr.Error, match="color is unknown"):
        results.parse_color(value)


def test_what_was_deleted_is_said(handlers, searched):
    drawing = handlers.show(PORTRAIT, "toy")[DRAWING]
    drawing.files["toy"].unlink()
    with pytest.raises(gr.Error, match="too old"):
        handlers.change(drawing, "keep", "#ffffff")
    for number in (2, None):
        with pytest.raises(gr.Error, match="too old"):
            handlers.pick_person(drawing, press(number))
    assert handlers.change(None, "keep", "#ffffff") == gr.skip()
