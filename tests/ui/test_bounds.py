"""Bounds on what one request or one style may cost, and what a handler leaves."""

import json
import threading
import time

import gradio as gr
import pytest
from PIL import Image

import app
from tests.fixtures import toy_app
from toonify import hub, images
from toonify.ui import components, i18n, inputs, text
from toonify.ui.handlers import portrait, video

PORTRAIT = components.EXAMPLES[0]


def make_gif(path, side: int, frames: int):
    """An animation of one color, whose file is small whatever its size."""
    first = Image.new("P", (side, side))
    others = [Image.new("P", (side, side), number % 2) for number in range(1, frames)]
    first.save(path, save_all=True, append_images=others, duration=500, disposal=2)
    return path


def test_an_animation_that_is_huge_when_decoded_is_refused_before_it_is(cache, toys, tmp_path):
    path = make_gif(tmp_path / "huge.gif", 6000, 30)
    assert path.stat().st_size < 10**6
    start = time.monotonic()
    with pytest.raises(gr.Error, match="million pixels in all frames"):
        video.VideoHandlers(toy_app.STYLES, toys).toonify_video(str(path), "toy")
    assert time.monotonic() - start < 10


def test_a_large_animation_stops_within_two_seconds(tmp_path):
    from toonify.pipelines.video import Cancelled, draw_video

    path = make_gif(tmp_path / "large.gif", 3000, 40)
    stop = threading.Event()
    threading.Timer(0.5, stop.set).start()
    with pytest.raises(Cancelled):
        target = tmp_path / "first.mp4"
        draw_video(toy_app.ToyPipeline("toy"), path, target, cancelled=stop.is_set, resume=False)
    began = time.monotonic()
    with pytest.raises(Cancelled):
        target = tmp_path / "second.mp4"
        draw_video(toy_app.ToyPipeline("toy"), path, target, cancelled=lambda: True, resume=False)
    assert time.monotonic() - began < 2


def test_a_request_that_takes_too_long_ends(monkeypatch):
    report = inputs.track_progress(-1)
    with pytest.raises(gr.Error, match="Stopped after"):
        report(0.5, "Drawing")


def test_a_photo_that_is_read_at_half_its_size_gets_a_note(monkeypatch, tmp_path):
    notes = []
    monkeypatch.setattr(i18n, "show_info", notes.append)
    photo = Image.new("RGB", (20, 10))
    photo.save(tmp_path / "me.jpg")
    inputs.read_photo(str(tmp_path / "me.jpg"))
    assert notes == []
    monkeypatch.setattr(images.io, "MAX_PIXELS", 50)
    inputs.read_photo(str(tmp_path / "me.jpg"))
    assert len(notes) == 1 and notes[0].startswith("The photo was read at 10x5, half its size")


def test_a_style_with_endless_layers_is_refused_before_it_is_built(tmp_path, make_style):
    from toonify.hub import loading
    from toonify.models import MODELS

    folder = make_style(tmp_path / "style")
    config = json.loads((folder / "config.json").read_text())
    for wrong in ({"depth": 4096}, {"depth": 65}):
        (folder / "config.json").write_text(json.dumps(config | wrong))
        start = time.monotonic()
        with pytest.raises(ValueError, match="depth is too large"):
            loading.load_model(folder, MODELS)
        assert time.monotonic() - start < 1


def test_one_bad_bundled_style_leaves_the_others(tmp_path, make_style, use_bundled):
    make_style(tmp_path / "good")
    (make_style(tmp_path / "bad") / "style.json").write_text('{"scope": 7}')
    use_bundled(tmp_path)
    with pytest.warns(UserWarning, match="left out"):
        assert [style.name for style in hub.styles()] == ["good"]


def test_a_style_of_the_hub_brings_no_html_and_no_images():
    description = "<script>alert(1)</script> ![x](http://127.0.0.1/x.png)"
    shown = text.describe_style(hub.Style("x", "X", description))
    assert "<" not in shown and "![" not in shown


def test_a_portrait_leaves_nothing_but_its_result(cache, toys):
    faces = portrait.PortraitHandlers(toy_app.TOONS, toys.load_portraits, toy_app.DIRECTIONS)
    png = faces.portrait(str(PORTRAIT), "bold")
    assert [str(path) for path in cache.rglob("*") if path.is_file()] == [png]
    for number in range(3 * portrait.MAX_STOPPED):
        faces.stop(gr.Request(session_hash=f"{number}"))
    assert len(faces.stopped) <= portrait.MAX_STOPPED


def test_pipelines_are_let_go_beyond_the_memory_budget(monkeypatch):
    from toonify.pipelines.animegan import AnimeGANPipeline

    monkeypatch.setattr(AnimeGANPipeline, "from_pretrained", lambda style, quality: object())
    app.open_pipeline.cache_clear()
    first = app.load_pipeline("a")
    assert app.load_pipeline("b") and app.load_pipeline("a") is first
    monkeypatch.setattr(app, "MAX_MEMORY", 1)
    app.load_pipeline("c")
    assert app.load_pipeline("a") is not first
    app.open_pipeline.cache_clear()
