"""Faces of a generator with their latents: pairs for a toon generator."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from toonify import images, latents
from toonify.pipelines.stylegan import StyleGANPipeline
from training.stylegan import generated_faces

FACES = Path(__file__).resolve().parents[3] / "hub_cards" / "faces"


@pytest.fixture(scope="module")
def pipe():
    return StyleGANPipeline.from_pretrained(device="cpu")


@pytest.fixture(scope="module")
def data(pipe, tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    photos = tmp_path_factory.mktemp("photos")
    images.save(images.load(sorted(FACES.glob("random_*.jpg"))[0]), photos / "someone.png")
    Image.new("RGB", (64, 64)).save(photos / "nobody.png")
    generated_faces.main([str(folder), "--faces", "2", "--side", "64"])
    generated_faces.main([str(folder), "--photos", str(photos), "--side", "64"])
    return folder


def test_every_face_is_drawn_from_its_latent(data, pipe):
    written = sorted((data / "photos").iterdir())
    assert [file.stem for file in written] == ["face_0_000000", "face_0_000001", "someone"]
    for file in written:
        w = latents.load_latent(latents.latent_path(data / "w", file.stem), pipe.num_ws, 512)
        drawn = images.to_pil(pipe.base(w)).resize((64, 64), Image.Resampling.LANCZOS)
        assert np.abs(np.asarray(drawn, int) - np.asarray(Image.open(file))).max() <= 1
        same = bool((w == w[:, :1]).all())
        assert same == (file.stem != "someone")  # the encoder's latents differ by layer


def test_what_is_there_is_not_drawn_again(data, pipe):
    before = {file: file.stat().st_mtime_ns for file in data.rglob("*.*")}
    (data / "photos" / "face_0_000001.png").unlink()
    assert generated_faces.write_faces(data, pipe, generated_faces.sample(pipe, 2, 0), 64) == 1
    after = {file: file.stat().st_mtime_ns for file in data.rglob("*.*")}
    changed = {file.stem for file in before if before[file] != after[file]}
    assert changed == {"face_0_000001"}


@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [
        ("--faces", "0", "--faces: expected at least 1"),
        ("--side", "8", "--side: expected at least 64"),
        ("--refine-steps", "-1", "--refine-steps: expected at least 0"),
        ("--generator", "nobody", "expected a folder"),
        ("--photos", "nowhere", "nowhere"),
    ],
)
def test_wrong_options_are_named(tmp_path, refusal, option, value, expected):
    assert expected in refusal(generated_faces.main, tmp_path / "data", option, value)
