"""Many photos: the handlers, called as plain functions."""

import zipfile

import gradio as gr
import pytest
from PIL import Image

from tests.fixtures import toy_app
from toonify.ui import components, inputs
from toonify.ui.handlers import many, photo

ASKING = gr.Request(session_hash="a")
SETTINGS = ("toy", "all", 1.0, False, "best", "draw", "#ffffff")


@pytest.fixture
def handlers(cache, toys):
    return many.ManyHandlers(photo.PhotoHandlers(toy_app.STYLES, toys))


@pytest.fixture
def sources(tmp_path):
    """Two photos of one name, and a file that is none."""
    paths = []
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        paths.append(tmp_path / folder / "me.png")
        Image.radial_gradient("L").resize((96, 80)).save(paths[-1])
    notes = tmp_path / "notes_1.jpg"
    notes.write_text("hello " * 50)
    return [str(paths[0]), str(notes), str(paths[1])]


def draw_all(handlers, files, folder=None, settings=SETTINGS):
    """What the page gets: of the beginning, then of each photo."""
    shown = [handlers.begin(files, folder, *settings, ASKING)]
    while shown[-1][0].more:
        shown.append(handlers.draw_next(shown[-1][0], ASKING))
    return shown


def test_each_photo_is_drawn_and_a_bad_one_stops_nobody(handlers, sources):
    shown = draw_all(handlers, sources)
    reports = [report["value"] for _, _, report, *_ in shown]
    assert reports[0] == "Drawing me.png · 1 of 3"
    assert reports[1].startswith("Drawing notes\\_1.jpg · 2 of 3, about ")
    assert reports[-1].startswith("2 of 3 photos drawn\n- notes\\_1.jpg: ")
    assert "expected a photo" in reports[-1]
    assert [stop["visible"] for *_, stop, _ in shown] == [True, True, True, False]
    assert [title for _, title in shown[-1][1]["value"]] == ["me.png", "me.png"]
    with zipfile.ZipFile(shown[-1][-1]["value"]) as packed:
        assert packed.namelist() == ["me.jpg", "me-2.jpg"]
        with Image.open(packed.open("me-2.jpg")) as image:
            assert (image.format, image.size) == ("JPEG", (96, 80))
    assert handlers.draw_next(shown[-1][0], ASKING) == handlers.draw_next(None, ASKING) == gr.skip()


def test_a_folder_s_other_files_are_left_out(handlers, sources, tmp_path):
    others = [str(tmp_path / name) for name in ("Thumbs.db", ".hidden.jpg")]
    assert len(handlers.begin(None, [*others, *sources], *SETTINGS, ASKING)[0].sources) == 3
    with pytest.raises(gr.Error, match="Choose photos or a folder"):
        handlers.begin(None, others, *SETTINGS, ASKING)


def test_limits_are_those_of_one_photo_and_a_number(handlers, sources):
    with pytest.raises(gr.Error, match="61 photos: expected at most 60"):
        handlers.begin(sources[:1] * 61, None, *SETTINGS, ASKING)
    for settings, words in [
        (("oil", *SETTINGS[1:]), "Unknown style 'oil'"),
        ((*SETTINGS[:5], "sunny", ""), "Unknown background"),
    ]:
        with pytest.raises(gr.Error, match=words):
            handlers.begin(sources, None, *settings, ASKING)


def test_stop_keeps_what_is_drawn(handlers, sources):
    batch = handlers.begin(sources, None, *SETTINGS, ASKING)[0]
    batch = handlers.draw_next(batch, ASKING)[0]
    handlers.stop(ASKING)
    batch, _, report, stop, download = handlers.draw_next(batch, ASKING)
    assert not batch.more and report["value"] == "Stopped. 1 of 3 photos drawn"
    assert not stop["visible"]
    with zipfile.ZipFile(download["value"]) as packed:
        assert packed.namelist() == ["me.jpg"]
    assert draw_all(handlers, sources)[-1][0].done == 3  # another batch is drawn again


def test_an_unexpected_error_is_the_photo_s_own(handlers, sources, monkeypatch):
    draw = toy_app.ToyPipeline.__call__
    calls = iter((True, False))

    def fail(self, *args, **options):
        if next(calls):
            raise RuntimeError("out of memory")
        return draw(self, *args, **options)

    monkeypatch.setattr(toy_app.ToyPipeline, "__call__", fail)
    batch, _, report, *_ = draw_all(handlers, sources)[-1]
    assert list(batch.drawn) == [2]
    assert "me.png: It could not be drawn." in report["value"]


def test_a_transparent_background_makes_png_files(handlers, tmp_path):
    settings = (*SETTINGS[:5], "transparent", "#ffffff")
    shown = draw_all(handlers, [str(components.EXAMPLES[0])], settings=settings)
    [(path, _)] = shown[-1][0].drawn.values()
    with Image.open(path) as image:
        assert (image.format, image.mode) == ("PNG", "RGBA")


def test_what_is_no_list_of_files_is_refused():
    block = components.UploadedFiles(label="Photos", file_count="multiple")
    for value in (None, [], [{"path": "x"}]):
        inputs.check_value(block, value)
    for value in ({"path": "x"}, "x", ["x"], [None]):
        with pytest.raises(gr.Error, match="expected a list of files"):
            inputs.check_value(block, value)
    uploaded = gr.data_classes.ListFiles.model_validate([{"path": "/etc/passwd"}])
    with pytest.raises(gr.Error, match="Upload the file first"):
        block.preprocess(uploaded)
