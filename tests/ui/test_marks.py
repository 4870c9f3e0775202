"""What the app gives away says that a network has drawn it: downloads, previews, camera frames."""

import base64
from pathlib import Path

import gradio as gr
import pytest
from PIL import Image

from tests.fixtures import toy_app
from tests.fixtures.mark_readers import DRAWN, GENERATED, read_source_type
from tests.fixtures.toy_videos import make_video
from tests.ui.test_app import SETTINGS, asking
from toonify import hub
from toonify.images import marks
from toonify.pipelines.animegan import AnimeGANPipeline
from toonify.pipelines.stylegan import StyleGANPipeline
from toonify.pipelines.toongan import ToonGANPipeline
from toonify.ui import components, text
from toonify.ui.handlers import live, new_faces, photo, portrait, video
from toonify.ui.handlers.face_generators import FaceGenerator

ASTRONAUT = str(components.EXAMPLES[5])


@pytest.fixture
def draw(toy_style):
    return AnimeGANPipeline.from_pretrained(toy_style, device="cpu")


def test_photos_are_drawings(cache, draw):
    handlers = photo.PhotoHandlers([draw.style], lambda style, quality: draw)
    assert read_source_type(Path(handlers.toonify(ASTRONAUT, draw.style.name))) == DRAWN
    pair, download, *_ = handlers.show(ASTRONAUT, draw.style.name)
    assert read_source_type(Path(download.value["path"])) == DRAWN
    shown = components.ResultSlider().postprocess(pair).root
    assert [read_source_type(Path(image.path)) for image in shown] == [None, DRAWN]
    with Image.open(shown[1].path) as preview:
        assert preview.format == "WEBP" and preview.size == pair[1].size


def test_portraits_are_drawings_and_random_people_are_generated(cache, toy_portrait):
    pipeline = StyleGANPipeline(toy_portrait / "base", toy_portrait / "encoder", "cpu")
    toon = hub.Style(str(toy_portrait / "toon"), "Toy", family="stylegan")
    handlers = portrait.PortraitHandlers([toon], lambda: pipeline, {})
    settings = (toon.name, *SETTINGS[1:])
    shown = handlers.show(None, ASTRONAUT, None, asking("a"), None, *settings)
    assert read_source_type(Path(shown[1]["value"])) == DRAWN
    strip = components.ResultGallery().postprocess(shown[4]["value"]).root
    found = [(image.caption, read_source_type(Path(image.image.path))) for image in strip]
    assert found == [("Face", None), ("Reconstruction", DRAWN), ("Toon", DRAWN)]
    (person, drawing), png, *_ = handlers.show_random_person("3", None, *settings)
    assert marks.read_mark(person) == marks.read_mark(drawing) == marks.GENERATED
    assert read_source_type(Path(png["value"])) == GENERATED


def test_new_faces_are_generated(cache, toy_faces):
    pipeline = ToonGANPipeline.from_pretrained(toy_faces, device="cpu")
    handlers = new_faces.NewFacesHandlers([FaceGenerator(lambda: pipeline, {}, 64)])
    files = [*handlers.faces(n=2, seed=7), handlers.mix(1, 2, 16), handlers.twin(ASTRONAUT)[0]]
    files += [handlers.loop([1, 2], form, 0.5) for form in new_faces.FORMATS]
    _, gallery, sheet, _, image, *_ = handlers.show(7, 2, 1.0, [])
    files.append(sheet["value"])
    crowd = gr.Gallery(format="png").postprocess(gallery["value"]).root
    files += [shown.image.path for shown in crowd]
    files.append(gr.Image(type="filepath", format="png").postprocess(image).path)
    for file in files:
        assert read_source_type(Path(file)) == GENERATED, file


def test_videos_are_drawings(cache, draw, tmp_path, monkeypatch):
    from toonify.pipelines import video as films

    monkeypatch.setattr(films, "find_faces", lambda photo: [])
    handlers = video.VideoHandlers([draw.style], lambda style, quality: draw)
    source = make_video(tmp_path / "clip.mp4", times=range(0, 4004, 1001))
    drawn = handlers.toonify_video(str(source), draw.style.name, request=asking("a"))
    assert read_source_type(Path(drawn)) == DRAWN


def test_frames_of_a_camera_are_drawings(draw, photo):
    drawn = live.encode_jpeg(draw(photo.resize((64, 64)), faces="none").image)
    assert read_source_type(base64.b64decode(drawn.partition(",")[2])) == DRAWN
    plain = live.encode_jpeg(photo.resize((64, 64)))
    assert read_source_type(base64.b64decode(plain.partition(",")[2])) is None


def test_the_page_says_so(cache, toys):
    shown = [
        block.value for block in toy_app.build(toys).blocks.values() if hasattr(block, "value")
    ]
    assert text.MARK in shown
