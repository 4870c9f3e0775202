"""Names of older releases are read with a DeprecationWarning."""

import json

import pytest
import torch

import toonify
from toonify import hub, latents, models
from toonify.cli.convert import read_mode
from toonify.models import MODELS, AnimeGANGenerator, DCGANGenerator
from toonify.pipelines import StyleGANPipeline, ToonGANPipeline


@pytest.mark.parametrize(
    ("old", "new"),
    [("ClipOptions", "VideoOptions"), ("Twin", "MatchedFace"), ("draw_clip", "draw_video")],
)
def test_names_of_the_package(old, new):
    with pytest.warns(DeprecationWarning, match=f"toonify.{old} is now toonify.{new}"):
        assert getattr(toonify, old) is getattr(toonify, new)


@pytest.mark.parametrize(
    ("pipeline", "old", "new"),
    [
        (StyleGANPipeline, "imagine", "generate"),
        (StyleGANPipeline, "rows", "to_w_plus"),
        (StyleGANPipeline, "clip", "save_interpolation"),
        (ToonGANPipeline, "twin", "match_photo"),
        (ToonGANPipeline, "rows", "to_w_plus"),
    ],
)
def test_methods_of_pipelines(pipeline, old, new, monkeypatch):
    monkeypatch.setattr(pipeline, new, lambda self, *values, **keywords: (values, keywords))
    pipe = object.__new__(pipeline)
    with pytest.warns(DeprecationWarning, match=new):
        assert getattr(pipe, old)(1, a=2) == ((1,), {"a": 2})


@pytest.mark.parametrize(("old", "new"), hub.style.OLD_STYLES.items())
def test_styles_that_are_no_longer_bundled(old, new):
    with pytest.warns(FutureWarning, match=f"'{old}' is no longer bundled: '{new}' is used"):
        assert hub.resolve_model(old) == hub.BUNDLED / new


def test_keywords_of_latents():
    w = torch.zeros(1, 3, 2)
    with pytest.warns(DeprecationWarning, match="rows= is now layers="):
        moved = latents.edit(w, torch.ones(2), 1.0, rows=(0, 1))
    assert moved[0, :, 0].tolist() == [1, 1, 0]
    with pytest.warns(DeprecationWarning, match="row= is now layer="):
        assert torch.equal(latents.mix(w, moved, row=3), w)


def test_class_of_the_public_toon_generator(tmp_path):
    with pytest.warns(DeprecationWarning, match="DCGANGenerator"):
        assert models.SeedGenerator is DCGANGenerator
    network = DCGANGenerator(6, (8, 6, 4, 4))
    network.save_pretrained(tmp_path)
    config = json.loads((tmp_path / hub.CONFIG).read_text())
    (tmp_path / hub.CONFIG).write_text(json.dumps(config | {"_class_name": "SeedGenerator"}))
    with pytest.warns(DeprecationWarning, match="SeedGenerator"):
        assert isinstance(hub.load_model(tmp_path, MODELS), DCGANGenerator)


@pytest.mark.parametrize(
    ("old", "new"), [("tf", "tf1"), ("align", "align_corners"), ("half", "half_pixel")]
)
def test_upsampling_modes(old, new, tmp_path, capsys):
    AnimeGANGenerator(width=4, depth=1).save_pretrained(tmp_path)
    config = json.loads((tmp_path / hub.CONFIG).read_text())
    (tmp_path / hub.CONFIG).write_text(json.dumps(config | {"upsample": old}))
    for load in (
        lambda: hub.load_model(tmp_path, MODELS),
        lambda: AnimeGANGenerator.from_pretrained(tmp_path),
    ):
        with pytest.warns(DeprecationWarning, match=f"upsample='{old}' is now '{new}'"):
            assert load().config.upsample == new
    assert read_mode(None, None, old) == new
    assert f"--upsample {old} is now {new}" in capsys.readouterr().err
