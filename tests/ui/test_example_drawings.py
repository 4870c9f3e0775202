"""Drawings of examples that were made before: found, shown without drawing, and up to date."""

import gradio as gr
import pytest
from PIL import Image

from tests.fixtures import toy_app
from tests.fixtures.mark_readers import read_source_type
from toonify.hub import catalog
from toonify.images.marks import DRAWN, make_uri
from toonify.ui import components
from toonify.ui.handlers import examples, photo, previews

ASKING = gr.Request(session_hash="a")
EXAMPLE = str(components.EXAMPLES[0])


@pytest.fixture
def handlers(cache, toys, monkeypatch, tmp_path):
    """The handlers; there are drawings of every photo in the toy styles, of one color each."""

    def find_drawings(source, names):
        made = {name: tmp_path / f"{name}.png" for name in names}
        for name, path in made.items():
            Image.new("RGB", (512, 512), "red" if name == "ink" else "blue").save(path)
        return made

    monkeypatch.setattr(photo, "find_faces", toy_app.find_faces)
    monkeypatch.setattr(examples, "find_drawings", find_drawings)
    return previews.PreviewHandlers(photo.PhotoHandlers(toy_app.STYLES, toys))


def test_drawings_of_the_bundled_styles_are_up_to_date():
    bundled = [style.name for style in catalog.styles() if style.source == "bundled"]
    for path in components.EXAMPLES:
        found = examples.find_drawings(str(path), bundled)
        assert set(found) == set(bundled), "run `python -m release.examples`"
    first = examples.find_drawings(EXAMPLE, bundled)[bundled[0]]
    with Image.open(first) as drawing, Image.open(EXAMPLE) as example:
        assert drawing.size == example.size
    assert read_source_type(first) == make_uri(DRAWN)


def test_other_photos_and_other_weights_have_none(monkeypatch, tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "random_021.jpg")
    assert examples.find_drawings(str(tmp_path / "random_021.jpg"), ["film"]) == {}
    assert examples.find_drawings(None, ["film"]) == examples.find_drawings(b"x", ["film"]) == {}
    assert examples.find_drawings(EXAMPLE, ["film", "toy"]) == {}
    monkeypatch.setattr(examples, "find_weights", lambda: {"film": "0" * 64})
    assert examples.find_drawings(EXAMPLE, ["film"]) == {}
    monkeypatch.setattr(examples, "FOLDER", tmp_path)
    examples.read_index.cache_clear()
    try:
        assert examples.find_drawings(EXAMPLE, ["film"]) == {}
    finally:
        examples.read_index.cache_clear()


def test_an_example_is_shown_without_drawing(handlers, toys):
    wall, _, _, stop, sheet = handlers.begin(EXAMPLE, "toy", ASKING, print)
    assert wall.next_style is None and list(wall.drawn) == ["toy", "ink"]
    assert not stop["visible"] and sheet["interactive"]
    shown = handlers.draw_first(wall, EXAMPLE, None, "ink", "all", 1.0, False, "best")
    assert shown[0][1].getpixel((5, 5)) == (255, 0, 0)
    assert shown[2].value.startswith("Drawn in advance")
    assert not toys.made and not toys.fast
    handlers.photos.show(EXAMPLE, "ink", strength=0.5, wall=wall)
    handlers.photos.show(EXAMPLE, "toy", quality="fast", wall=wall)
    assert len(toys.made["ink"].calls) == len(toys.fast["toy"].calls) == 1
