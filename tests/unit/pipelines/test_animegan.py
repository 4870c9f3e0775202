"""The AnimeGAN pipeline: every photo keeps its size, faces are drawn at a size the style knows."""

import dataclasses
import io
import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from toonify import hub, images
from toonify.engines import Engine
from toonify.faces import Face, frontal_eye_distance
from toonify.pipelines import animegan
from toonify.pipelines.animegan import AnimeGANPipeline, Toon, reflect_to

STYLE = hub.Style("test", "Test", eye_distance=(30.0, 110.0))
FACE_STYLE = hub.Style("mask", "Mask", scope="face", eye_distance=(30.0, 110.0))


class Spy:
    """A network that draws `rule(batch)` and remembers the shapes it was given."""

    def __init__(self, rule=lambda batch: batch):
        self.shapes = []
        self.rule = rule

    def __call__(self, batch):
        self.shapes.append(tuple(batch.shape))
        return self.rule(batch)


def pipeline(rule=lambda batch: batch, style=STYLE):
    spy = Spy(rule)
    return AnimeGANPipeline(Engine("test", spy), style), spy.shapes


def face(x, y, eyes):
    """An upright face with its eyes `eyes` px apart around (x, y)."""
    points = np.array([[-0.5, 0], [0.5, 0], [0, 0.6], [-0.4, 1.1], [0.4, 1.1]]) * eyes + [x, y]
    box = (x - eyes, y - eyes, x + eyes, y + 2 * eyes)
    return Face(tuple(map(float, box)), points, 1.0)


@pytest.fixture
def found(monkeypatch):
    """A list that is what the detector finds."""
    faces = []
    monkeypatch.setattr(animegan, "detect", lambda photo, small: list(faces))
    return faces


def difference(a, b):
    return np.abs(np.asarray(a, np.int16) - np.asarray(b, np.int16))


# The whole way ---------------------------------------------------------------------------------


def test_toy_style_draws_the_portrait(toy_style, photo, photo_path):
    draw = AnimeGANPipeline.from_pretrained(toy_style, device="cpu")
    reported = []
    toon = draw(photo_path, progress=lambda fraction, text: reported.append((fraction, text)))
    assert isinstance(toon, Toon) and toon.image.size == photo.size and toon.image.mode == "RGB"
    assert difference(toon.image, photo).mean() > 5
    assert len(toon.faces) == 1 and toon.drawn_faces == 0  # 41 px between the eyes need no help
    assert set(toon.seconds) == {"load", "detect", "draw", "faces", "blend"}
    assert all(seconds >= 0 for seconds in toon.seconds.values())
    fractions = [fraction for fraction, _ in reported]
    assert fractions == sorted(fractions) and fractions[0] == 0.0 and reported[-1] == (1.0, "Done")
    assert draw.style.title == "Toy" and draw.engine.name.startswith(("openvino", "torch"))


def test_a_fast_generator_draws_when_asked_for(toy_style, fast_style, photo):
    small = photo.resize((70, 51))
    drawings = {
        quality: AnimeGANPipeline.from_pretrained(fast_style, device="cpu", quality=quality)(
            small, faces="none"
        ).image
        for quality in hub.QUALITIES
    }
    assert all(drawing.size == (70, 51) for drawing in drawings.values())
    assert difference(drawings["best"], drawings["fast"]).mean() > 5
    plain = AnimeGANPipeline.from_pretrained(toy_style, device="cpu")(small, faces="none").image
    assert plain.tobytes() == drawings["best"].tobytes()
    with pytest.raises(ValueError, match="toy has no fast generator"):
        AnimeGANPipeline.from_pretrained(toy_style, quality="fast")
    with pytest.raises(ValueError, match="quality='good': expected one of best, fast"):
        AnimeGANPipeline.from_pretrained(fast_style, quality="good")


def test_networks_on_patches_get_sides_they_can_cut(found):
    spy = Spy()
    draw = AnimeGANPipeline(Engine("test", spy), STYLE, patch=2)
    assert draw(Image.new("RGB", (70, 51))).image.size == (70, 51)
    found.append(face(100, 100, 20))
    draw(Image.new("RGB", (200, 200)))
    assert spy.shapes[0] == (1, 3, 64, 80)
    found.clear()
    outcomes = list(draw.map([Image.new("RGB", (70, 51)) for _ in range(2)]))
    assert [outcome.result.image.size for outcome in outcomes] == [(70, 51)] * 2
    assert all(side % 16 == 0 and side >= 64 for shape in spy.shapes for side in shape[2:])


def test_every_kind_of_source_gives_the_same_drawing(toy_style, photo, tmp_path):
    path = tmp_path / "small.png"
    photo.resize((64, 64)).save(path)
    draw = AnimeGANPipeline.from_pretrained(str(toy_style), device="cpu")
    data = path.read_bytes()
    sources = [path, str(path), data, io.BytesIO(data), Image.open(path)]
    first, *others = [draw(source, faces="none").image.tobytes() for source in sources]
    assert all(other == first for other in others)


def test_warm_start_imports_no_model_and_writes_no_home(toy_style, tmp_path):
    """The second process finds the compiled graph and prints nothing."""
    script = """
import json, sys
from toonify import AnimeGANPipeline
AnimeGANPipeline.from_pretrained(sys.argv[1], device="cpu")
print(json.dumps([name in sys.modules for name in ("diffusers", "toonify.models")]))
"""
    home = tmp_path / "home"
    home.mkdir()
    settings = {**os.environ, "TOONIFY_CACHE": str(tmp_path / "cache"), "HOME": str(home)}
    settings["PYTHONPATH"] = str(Path(hub.__file__).parents[1])
    answers = [
        json.loads(
            subprocess.run(
                [sys.executable, "-c", script, str(toy_style)],
                env=settings,
                capture_output=True,
                text=True,
                check=True,
            ).stdout
        )
        for _ in range(2)
    ]
    assert answers == [[True, True], [False, False]]
    assert [path for path in home.rglob("*") if path.is_file()] == []


# Sizes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "size", [(1, 1), (1, 40), (3, 2), (7, 100), (33, 65), (640, 481), (20_000, 3), (3, 20_000)]
)
def test_identity_network_gives_back_the_photo(found, size):
    """What is padded is cut off again, at any size; the network sees only what it can draw."""
    draw, shapes = pipeline()
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8)
    photo = Image.fromarray(pixels)
    toon = draw(photo)
    assert toon.image.tobytes() == photo.tobytes()
    for _, _, height, width in shapes:
        assert height % 8 == width % 8 == 0 and min(height, width) >= 32
        assert height - size[1] < 32 and width - size[0] < 32


@pytest.mark.parametrize("size", [(4000, 3000), (3000, 4001), (20_000, 700)])
def test_large_photos_are_drawn_within_the_limit(found, size):
    draw, shapes = pipeline()
    toon = draw(Image.new("RGB", size, (10, 200, 30)))
    ((_, _, height, width),) = shapes
    assert width * height <= 1.05 * animegan.MAX_DRAWN_PIXELS
    assert width / height == pytest.approx(size[0] / size[1], rel=0.05)
    assert toon.image.size == size
    assert difference(toon.image, Image.new("RGB", size, (10, 200, 30))).max() <= 1


def test_photo_turned_by_exif_comes_back_upright(found, photo):
    exif = Image.Exif()
    exif[0x0112] = 6
    file = io.BytesIO()
    photo.crop((0, 0, 300, 200)).save(file, "PNG", exif=exif)
    toon = pipeline()[0](file.getvalue())
    assert toon.image.size == (200, 300)
    file.seek(0)
    assert difference(toon.image, ImageOps.exif_transpose(Image.open(file))).max() == 0


def test_reflection_goes_on_as_often_as_it_takes():
    row = np.repeat(np.arange(3, dtype=np.uint8).reshape(1, 3, 1), 3, axis=2)
    assert reflect_to(row, 1, 10)[0, :, 1].tolist() == [0, 1, 2, 1, 0, 1, 2, 1, 0, 1]
    assert reflect_to(row, 4, 3)[:, :, 2].tolist() == [[0, 1, 2]] * 4
    photo = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)
    expected = np.pad(photo, ((0, 4), (0, 3), (0, 0)), mode="reflect")
    assert np.array_equal(reflect_to(photo, 10, 11), expected)
    assert reflect_to(photo, 6, 8) is photo


# Faces -----------------------------------------------------------------------------------------


def test_large_face_brings_the_drawing_into_range(found):
    """Eyes 220 px apart are drawn 110 px apart, and the drawing gets the photo's size again."""
    draw, shapes = pipeline()
    found.append(face(400, 300, 220))
    toon = draw(Image.new("RGB", (800, 600)))
    assert shapes == [(1, 3, 304, 400)]
    assert (toon.image.size, toon.drawn_faces, len(toon.faces)) == ((800, 600), 0, 1)


def test_small_faces_are_drawn_on_their_own(found, photo):
    draw, shapes = pipeline()
    found += [face(224, 102, 41), face(60, 60, 20), face(440, 400, 12)]
    toon = draw(photo)
    assert toon.drawn_faces == 2 and len(toon.faces) == 3
    # Both crops show the face with 57 px between the eyes, the middle of the style's range.
    assert shapes == [(1, 3, 512, 512), (1, 3, 232, 232), (1, 3, 232, 232)]
    assert difference(toon.image, photo).mean() < 1
    _, shapes = draw, shapes.clear()
    assert draw(photo, faces="largest").drawn_faces == 0
    assert draw(photo, faces="none").faces == []


def test_in_a_photo_drawn_very_small_coarse_faces_are_drawn_on_their_own(found):
    """Eyes drawn 40 px apart will do, unless the photo is large and has detail for more."""
    draw, shapes = pipeline(style=dataclasses.replace(STYLE, short_side=240.0))
    found += [face(400, 250, 80)]
    assert draw(Image.new("RGB", (800, 480))).drawn_faces == 0
    found[:] = [face(800, 500, 160)]
    assert draw(Image.new("RGB", (1600, 960))).drawn_faces == 1
    assert shapes[-1] == (1, 3, 440, 440)  # at the finest that the style draws
    found[:] = [face(800, 500, 240)]  # 60 px in the drawing, the middle of the style's range
    assert draw(Image.new("RGB", (1600, 960))).drawn_faces == 0


def test_drawings_of_faces_are_lifted_to_their_size_in_the_photo(found, monkeypatch):
    pasted = []
    monkeypatch.setattr(
        animegan, "paste_into", lambda canvas, crop, toon, feather: pasted.append((crop, toon))
    )
    draw, shapes = pipeline(style=FACE_STYLE)
    found += [face(600, 500, 200), face(100, 100, 20)]
    draw(Image.new("RGB", (1200, 1000)))
    assert shapes == [(1, 3, 232, 232), (1, 3, 440, 440)]
    small, large = pasted
    assert small[1].width == 232  # never below the size it was drawn at
    assert large[1].width == pytest.approx(large[0].side, abs=1) and large[1].width > 790


def test_face_style_touches_faces_only(found, photo):
    draw, shapes = pipeline(lambda batch: -batch, FACE_STYLE)
    found.append(face(224, 102, 41))
    toon = draw(photo)
    assert toon.drawn_faces == 1 and shapes == [(1, 3, 232, 232)]
    changed = difference(toon.image, photo).max(axis=2) > 8
    assert changed[60:160, 180:270].mean() > 0.8
    assert not changed[300:, :].any() and not changed[:, 400:].any()


def test_no_face_is_an_answer(found, photo):
    draw, shapes = pipeline(lambda batch: -batch, FACE_STYLE)
    toon = draw(photo)
    assert (toon.faces, toon.drawn_faces, shapes) == ([], 0, [])
    assert toon.image.tobytes() == photo.tobytes()


def test_near_faces_cover_far_ones(found, photo, monkeypatch):
    order = []
    monkeypatch.setattr(
        animegan, "paste_into", lambda canvas, crop, toon, feather: order.append(crop)
    )
    found += [face(200, 200, 29), face(210, 200, 12)]
    pipeline()[0](photo)
    assert [round(frontal_eye_distance(crop.face.points)) for crop in order] == [12, 29]


def test_strokes_of_far_faces_grow_coarser_in_steps(found, monkeypatch):
    """Between a face and a photo that is drawn small lies a ring of each scale between them."""
    pasted = []
    monkeypatch.setattr(
        animegan, "paste_into", lambda canvas, crop, toon, feather: pasted.append((crop, feather))
    )
    draw, shapes = pipeline(style=dataclasses.replace(STYLE, short_side=400.0))
    found += [face(2000, 1500, 25), face(2030, 1500, 25)]  # one ring does for neighbors
    assert draw(Image.new("RGB", (4000, 3000))).drawn_faces == 2
    scales = [shapes[0][3] / 4000, *(crop.image.width / crop.side for crop, _ in pasted[:-1])]
    assert all(1 < b / a < 1.1 * animegan.MAX_STEP for a, b in itertools.pairwise(scales))
    assert [feather > 0.25 for _, feather in pasted] == [True, True, False, False]
    assert shapes[-1] == (1, 3, 120, 120)  # the least that the style draws


def test_one_face_of_an_ordinary_size_has_no_ring(found):
    draw, shapes = pipeline(style=dataclasses.replace(STYLE, short_side=400.0))
    found.append(face(500, 400, 20))
    draw(Image.new("RGB", (1000, 800)))
    assert shapes == [(1, 3, 400, 504), (1, 3, 232, 232)]


def test_none_does_not_look_for_faces(photo, monkeypatch):
    monkeypatch.setattr(animegan, "detect", lambda photo, small: pytest.fail("looked for faces"))
    assert pipeline()[0](photo, faces="none").faces == []


def test_known_faces_are_not_searched_for(photo, monkeypatch):
    monkeypatch.setattr(animegan, "detect", lambda photo, small: pytest.fail("looked for faces"))
    draw, shapes = pipeline()
    known = face(256, 200, 20)
    toon = draw(photo, found=[known])
    assert toon.faces == [known] and toon.drawn_faces == 1 and len(shapes) == 2
    assert draw(photo, found=[known], faces="none").faces == []
    assert draw(photo, found=[]).drawn_faces == 0


def test_turned_head_counts_by_its_height():
    ahead = face(100, 100, 40)
    turned = Face(ahead.box, ahead.points * [0.3, 1.0], 1.0)
    assert frontal_eye_distance(ahead.points) == pytest.approx(40, rel=0.05)
    assert frontal_eye_distance(turned.points) == pytest.approx(40, rel=0.05)


# Strength, color and refusals -----------------------------------------------------------------


def test_strength_goes_from_photo_to_drawing(found, photo):
    draw, _ = pipeline(lambda batch: (batch * 0.5 + 0.3).clamp(-1, 1))
    nothing, half, full = (draw(photo, strength=s).image for s in (0, 0.5, 1))
    assert nothing.tobytes() == photo.tobytes()
    whole_way = difference(full, photo).mean()
    assert whole_way > 10
    assert difference(half, photo).mean() == pytest.approx(whole_way / 2, rel=0.2)


def test_keep_color_keeps_the_colors_of_the_photo(found, photo):
    """A network that paints everything green: hue comes back, light does not."""
    draw, _ = pipeline(
        lambda batch: batch.mean(1, keepdim=True) * torch.tensor([0, 1.0, 0]).view(3, 1, 1)
    )

    def chroma(image):
        return np.asarray(image.convert("YCbCr"), np.float32)[..., 1:]

    plain, kept = (draw(photo, keep_color=keep).image for keep in (False, True))
    distance = [np.abs(chroma(image) - chroma(photo)).mean() for image in (plain, kept)]
    assert distance[1] < 0.5 * distance[0]


@pytest.mark.parametrize(
    "options, words",
    [
        ({"faces": "two"}, "faces='two': expected one of all, largest, none"),
        ({"strength": 1.5}, "strength=1.5: expected a number from 0 to 1"),
        ({"strength": float("nan")}, "strength=nan"),
    ],
)
def test_wrong_options_are_named(photo, options, words):
    with pytest.raises(ValueError, match=words):
        pipeline()[0](photo, **options)


def test_face_style_needs_faces(photo):
    with pytest.raises(ValueError, match="faces='none'"):
        pipeline(style=FACE_STYLE)[0](photo, faces="none")


def test_broken_photo_is_an_image_error():
    with pytest.raises(images.ImageError):
        pipeline()[0](b"not a photo")


def test_spoilt_style_is_refused_before_anything_is_drawn(tmp_path, make_style):
    folder = make_style(tmp_path / "bad")
    config = json.loads((folder / hub.CONFIG).read_text())
    (folder / hub.CONFIG).write_text(json.dumps({**config, "width": 8}))
    with pytest.raises(ValueError, match="wrong shape"):
        AnimeGANPipeline.from_pretrained(folder)


def test_strokes_have_their_weight_whatever_the_photos_resolution():
    draw, shapes = pipeline(style=dataclasses.replace(STYLE, short_side=64.0))
    toon = draw(Image.new("RGB", (400, 256)), faces="none")
    assert toon.image.size == (400, 256)
    assert shapes == [(1, 3, 64, 104)]  # 100 px wide, padded
    draw(Image.new("RGB", (60, 48)), faces="none")
    assert shapes[-1] == (1, 3, 48, 64)  # never enlarged
