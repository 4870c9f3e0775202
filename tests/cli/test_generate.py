"""`toonify generate`: new cartoon faces as a grid, in a folder, mixed, and in a loop."""

import shutil
from pathlib import Path

import pytest
from PIL import Image

from tests.cli.test_photo import files
from tests.unit.models.test_toongan import seed_toy
from toonify import cli, images
from toonify.pipelines import toongan


def generate(*words):
    return cli.main(["generate", *map(str, words)])


@pytest.fixture
def faces(tmp_path, monkeypatch, toy_faces):
    """Words that name a toy network; the working folder is empty."""
    monkeypatch.chdir(tmp_path)
    return ("--model", toy_faces, "--device", "cpu")


def test_a_grid_of_new_faces(faces, toy_faces, capsys):
    assert generate("-n", 5, "--seed", 7, "--columns", 3, "-o", "new/grid.png", *faces) == 0
    assert capsys.readouterr().out == "5 drawn\n"
    assert files("new") == ["grid.png"]
    grid = images.load("new/grid.png")
    assert grid.size == (192, 128)
    pipeline = toongan.ToonGANPipeline.from_pretrained(toy_faces, device="cpu")
    assert grid.crop((64, 64, 128, 128)).tobytes() == pipeline(1, 11)[0].tobytes()
    assert generate("-o", "16.png", *faces) == 0
    assert images.load("16.png").size == (256, 256)


def test_new_faces_in_a_folder_have_their_seeds_as_names(faces, capsys):
    assert generate("-n", 2, "--seed", 7, "-o", "faces", *faces) == 0
    assert files("faces") == ["7.png", "8.png"]
    before = Path("faces/7.png").read_bytes()
    assert generate("-n", 3, "--seed", 7, "-o", "faces/", "--truncation", "0.2", *faces) == 0
    assert files("faces") == ["7.png", "8.png", "9.png"]
    assert Path("faces/7.png").read_bytes() == before
    assert "1 drawn, 2 skipped" in capsys.readouterr().out
    assert generate("--seed", 7, "-o", "faces/", "--edit", "smile=3", "--overwrite", *faces) == 0
    assert Path("faces/7.png").read_bytes() != before and len(files("faces")) == 16


def test_what_faces_are_to_have_is_chosen(tmp_path, monkeypatch, choosing_faces, usage):
    monkeypatch.chdir(tmp_path)
    faces = ("--model", choosing_faces, "--device", "cpu")
    wish = ("--choose", "mouth=sad", "--choose", "hair_color=#d6b370")
    assert generate("-n", 2, "--seed", 5, *wish, "-o", "faces/", *faces) == 0
    pipeline = toongan.ToonGANPipeline.from_pretrained(choosing_faces, device="cpu")
    choices = {"mouth": "sad", "hair_color": "#d6b370"}
    wanted = [picture.tobytes() for picture in pipeline(2, 5, choices=choices)]
    assert [images.load(f"faces/{n}.png").tobytes() for n in (5, 6)] == wanted
    assert wanted != [picture.tobytes() for picture in pipeline(2, 5)]
    assert generate("--mix", "5:6", *wish, "-o", "mix.png", *faces) == 0
    mixed = pipeline.mix(*pipeline.latents(2, 5, choices=choices).split(1))
    assert images.load("mix.png").tobytes() == pipeline.draw(mixed)[0].tobytes()
    assert generate("--interpolate", 2, "--seed", 5, *wish, "-o", "loop.gif", *faces) == 0
    said = usage("generate", "-o", "g.png", "--choose", "mouth=grin", *faces)
    assert "mouth='grin': expected one of laugh, sad, wideOpen" in said
    assert "'sad': expected two names" in usage(
        "generate", "-o", "g.png", "--choose", "sad", *faces
    )


def test_faces_are_mixed(faces, toy_faces):
    mixes = ("--mix", "7:12", "--mix", "12:7", "--at", 8)
    assert generate(*mixes, "-o", "faces/", *faces) == 0
    assert files("faces") == ["12-7.png", "7-12.png"]
    pipeline = toongan.ToonGANPipeline.from_pretrained(toy_faces, device="cpu")
    mixed = pipeline.mix(pipeline.latents(1, 7), pipeline.latents(1, 12), 8)
    assert images.load("faces/7-12.png").tobytes() == pipeline.draw(mixed)[0].tobytes()
    assert generate(*mixes[:2], "--edit", "smile=2", "-o", "one.png", *faces) == 0
    assert images.load("one.png").size == (64, 64)


def test_faces_turn_into_each_other(faces, capsys):
    film = ("--interpolate", 3, "--seed", 7)
    assert generate(*film, "--frames", 9, "--fps", 5, "-o", "loop.gif", *faces) == 0
    assert capsys.readouterr().out == "9 frames drawn\n"
    with Image.open("loop.gif") as clip:
        assert (clip.n_frames, clip.info["duration"]) == (9, 200)
    assert generate(*film, "--edit", "smile=1", "-o", "loop.mp4", *faces) == 0
    assert files(".") == ["loop.gif", "loop.mp4"]


@pytest.mark.parametrize(
    "words, message",
    [
        ("-n 0 -o g.png", "'--number': 0 is not in the range x>=1"),
        ("-n 10000 -o g.png", "n=10000: expected a whole number from 1 to 4096"),
        ("--seed -1 -o g.png", "'--seed': -1 is not in the range x>=0"),
        ("--seed 4611686018427387905 -o g.png", "seed=4611686018427387905: expected"),
        ("--truncation 5 -o g.png", "'--truncation': 5.0 is not in the range 0<=x<=1"),
        ("--edit wings=1 -o g.png", "'wings' is not a direction; expected one of"),
        ("--edit smile -o g.png", "'smile': expected a name and a number"),
        ("--mix 7 -o g.png", "'7': expected two seeds, like 7:12"),
        ("--mix 7:x -o g.png", "'7:x': expected two seeds"),
        ("--mix 7:8 -n 2 --seed 3 -o g.png", "--number, --seed: not together with --mix"),
        ("--mix 7:8 --interpolate 3 -o l.gif", "--interpolate: not together with --mix"),
        ("--mix 7:8 --at 5 -o g.png", "side=5: expected one of (4, 8, 16, 32, 64)"),
        ("--at 8 -o g.png", "--at: only with --mix SEED:SEED"),
        ("--fps 5 -o g.png", "--fps: only with --interpolate N"),
        ("--frames 5 -o g.png", "--frames: only with --interpolate N"),
        (
            "--interpolate 3 -n 4 --columns 2 -o l.gif",
            "--number, --columns: not together with --interpolate",
        ),
        ("--interpolate 1 -o l.gif", "'--interpolate': 1 is not in the range x>=2"),
        ("--interpolate 3 --fps 99 -o l.gif", "'--fps': 99 is not in the range 1<=x<=60"),
        ("--interpolate 3 --frames 2 -o l.gif", "steps=2: expected 3 or more"),
        ("--interpolate 3 -o l.png", "'l.png': expected a file that ends in one of .mp4, .gif"),
        ("--interpolate 3 -o folder/", "'folder/': expected a file that ends in one of .mp4"),
        ("-o g.mp4", "'g.mp4': expected a file that ends in one of .jpg"),
        ("--columns 2 -o folder/", "--columns: a folder has no rows"),
        ("--columns 0 -o g.png", "'--columns': 0 is not in the range x>=1"),
        ("-o there.png", "'there.png' exists already; --overwrite replaces it"),
        ("-o there.png/", "'there.png/' is a file: expected a folder"),
        ("-o g.png --model ./nowhere", "but it does not exist"),
        ("-o g.png --device gpu", "device='gpu': expected auto, cpu, cuda"),
        ("", "Missing option '-o' / '--output'"),
    ],
)
def test_usage_errors_of_new_faces(faces, words, message, usage):
    Path("there.png").write_text("before")
    assert message in usage("generate", *faces, *words.split())
    assert files(".") == ["there.png"] and Path("there.png").read_text() == "before"


def test_public_networks_draw_and_are_neither_mixed_nor_moved(faces, tmp_path, usage):
    seed_toy().save_pretrained("public")
    assert generate("-n", 4, "-o", "g.png", "--model", "public") == 0
    assert images.load("g.png").size == (64, 64)
    for words in ("--mix 1:2", "--truncation 0.5", "--edit smile=1"):
        message = usage("generate", "-o", "h.png", "--model", "public", *words.split())
        assert "DCGANGenerator has no w" in message
    message = usage("generate", "-o", "h.gif", "--model", "public", "--interpolate", 2)
    assert "DCGANGenerator has no w" in message


@pytest.mark.parametrize(
    "raised, reported",
    [
        (ConnectionError("style='a/b': the Hub does not answer"), "the Hub does not answer"),
        (OSError(28, "No space left on device", "g.png"), "g.png: No space left on device"),
        (images.ImageError("JPEG cannot hold it"), "JPEG cannot hold it"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory\nstack"), "allocate memory\n"),
        (MemoryError(), "out of memory"),
    ],
)
def test_failures_of_new_faces_are_reported(faces, monkeypatch, capsys, raised, reported):
    def fail(*_, **__):
        raise raised

    monkeypatch.setattr(toongan.ToonGANPipeline, "__call__", fail)
    assert generate("-o", "g.png", *faces) == 1
    assert reported in capsys.readouterr().err
    assert files(".") == []


def test_a_bundled_generator_is_named_and_all_are_listed(
    head_faces, choosing_faces, tmp_path, monkeypatch, use_bundled, capsys
):
    shutil.copytree(head_faces, tmp_path / "weights" / "heads")
    shutil.copytree(choosing_faces, tmp_path / "weights" / "faces")
    use_bundled(tmp_path / "weights")
    monkeypatch.chdir(tmp_path)
    words = ("--model", "heads", "--choose", "beard=full", "--device", "cpu", "-o", "head.png")
    assert generate("-n", 1, *words) == 0
    pipeline = toongan.ToonGANPipeline.from_pretrained("heads", device="cpu")
    drawn = pipeline(1, choices={"beard": "full"})[0]
    assert images.load("head.png").tobytes() == drawn.tobytes()
    capsys.readouterr()
    assert cli.main(["styles"]) == 0
    assert [row.split()[:2] for row in capsys.readouterr().out.splitlines()[1:]] == [
        ["faces", "toongan"],
        ["heads", "toongan"],
    ]


def test_faces_are_enlarged(faces, usage):
    assert generate("-n", 2, "--size", 160, "-o", "large/", *faces) == 0
    assert [images.load(f"large/{name}").size for name in files("large")] == [(160, 160)] * 2
    words = ("--interpolate", 2, "--size", 160, "-o", "a.mp4")
    assert "--size: not together with --interpolate" in usage("generate", *words, *faces)
