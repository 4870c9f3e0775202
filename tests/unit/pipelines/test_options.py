"""Options of a drawing: checked once, and read by their old names for one more release."""

import pytest
from PIL import Image

from tests.unit.pipelines.test_animegan import pipeline
from toonify import DrawOptions, PortraitOptions, VideoOptions


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (DrawOptions, {"faces": "two"}, "faces='two': expected one of all, largest, none"),
        (DrawOptions, {"strength": -1}, "strength=-1: expected a number from 0 to 1"),
        (DrawOptions, {"strength": "half"}, "strength='half': expected a number from 0 to 1"),
        (PortraitOptions, {"faces": "none"}, "faces='none': expected one of all, largest"),
        (PortraitOptions, {"truncation": 2}, "truncation=2: expected a number from 0 to 1"),
        (PortraitOptions, {"refine_steps": 0.5}, "refine_steps=0.5: expected 0 to 1000"),
        (VideoOptions, {"strength": float("nan")}, "strength=nan: expected a number from 0 to 1"),
        (VideoOptions, {"crf": 52}, r"crf=52: expected 0 \(best\) to 51"),
        (VideoOptions, {"max_height": 8}, "max_height=8: expected 16 px or more"),
    ],
)
def test_wrong_values_are_named(kind, options, message):
    with pytest.raises(ValueError, match=message):
        kind(**options)
    with pytest.raises(ValueError, match=message):
        kind.merge(None, options)


def test_keywords_change_the_options_of_a_call():
    options = VideoOptions("largest", 0.5, crf=10)
    changed = VideoOptions("largest", 0.25, crf=10)
    assert VideoOptions.merge(options, {"strength": 0.25}) == changed
    assert DrawOptions.merge(options, {}) is not None
    assert PortraitOptions.merge(options, {"blend": 8}) == PortraitOptions("largest", 0.5, blend=8)
    with pytest.raises(TypeError, match="faecs"):
        DrawOptions.merge(options, {"faecs": "all"})


def test_options_and_keywords_draw_the_same():
    draw, _ = pipeline(lambda batch: -batch)
    photo = Image.effect_noise((64, 48), 64).convert("RGB")
    options = DrawOptions("none", 0.5, True)
    whole = draw(photo, options=options).image.tobytes()
    assert draw(photo, faces="none", strength=0.5, keep_color=True).image.tobytes() == whole
    assert draw(photo, options=options, strength=1.0).image.tobytes() != whole
    [outcome] = draw.map([photo], options=options)
    assert outcome.result.image.tobytes() == whole


def test_old_names_are_read_with_a_warning():
    with pytest.warns(DeprecationWarning, match="is now") as caught:
        assert VideoOptions(stabilise=False, keep_colour=True) == VideoOptions(
            keep_color=True, stabilize=False
        )
    assert {warning.filename for warning in caught} == {__file__}
    with pytest.warns(DeprecationWarning, match="keep_colour is now keep_color") as caught:
        pipeline()[0](Image.new("RGB", (64, 48)), faces="none", keep_colour=True)
    assert {warning.filename for warning in caught} == {__file__}
