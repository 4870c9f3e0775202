"""The command line: what is drawn where, what is left alone, and what people are told."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.fixtures.odd_inputs import make_odd_inputs
from tests.unit.models.test_toongan import seed_toy
from toonify import cli, hub, images
from toonify.pipelines import animegan, batch, stylegan, toongan
from toonify.pipelines.options import DrawOptions, PortraitOptions

ROOT = Path(cli.__file__).parents[2]


class Inverter:
    """A pipeline that turns photos into negatives; `drawn` has the names it was given."""

    style = hub.Style("toy", "Toy")

    def __init__(self):
        self.drawn = []
        self.options = None

    def __call__(self, photo, **options):
        self.drawn.append(Path(photo).name)
        self.options = options
        image = images.load(photo)
        return animegan.Toon(image.point(lambda value: 255 - value), [], {}, 0)

    def map(self, photos, style=None, *, finish, **options):
        given = options if style is None else options | {"style": style}
        return batch.draw_all(lambda photo: self(photo, **given), photos, finish)


@pytest.fixture
def inverter(monkeypatch):
    """The pipeline of every style is an `Inverter`."""
    pipeline = Inverter()

    def opened(style, device, quality):
        pipeline.quality = quality
        return pipeline

    opened = {"from_pretrained": staticmethod(opened)}
    monkeypatch.setattr(animegan, "AnimeGANPipeline", type("Opened", (), opened))
    return pipeline


@pytest.fixture
def unopened(monkeypatch):
    """Opening a pipeline fails the test."""
    fail = {"from_pretrained": staticmethod(lambda *_, **__: pytest.fail("opened a pipeline"))}
    monkeypatch.setattr(animegan, "AnimeGANPipeline", type("Unopened", (), fail))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working folder with photos in it: a.jpg, b.png and deep/c.webp; and notes.txt."""
    monkeypatch.chdir(tmp_path)
    for name in ("photos/a.jpg", "photos/b.png", "photos/deep/c.webp", "photos/.hidden/d.jpg"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (20, 10), (200, 100, 50)).save(name)
    Path("photos/notes.txt").write_text("not a photo")
    return tmp_path


def run(*words):
    return cli.main(["photo", *map(str, words)])


def usage(capsys, *words):
    """The message of a usage error."""
    with pytest.raises(SystemExit) as error:
        run(*words)
    assert error.value.code == 2
    return capsys.readouterr().err.splitlines()[-1]


def files(folder):
    return sorted(
        str(path.relative_to(folder)) for path in Path(folder).rglob("*") if path.is_file()
    )


# What is drawn where ---------------------------------------------------------------------------


def test_one_photo_to_one_file(folder, inverter, capsys):
    assert run("photos/a.jpg", "-o", "new/toon.png") == 0
    with Image.open("new/toon.png") as toon:
        assert (toon.format, toon.size) == ("PNG", (20, 10))
        assert np.abs(np.asarray(toon, int)[0, 0] - [55, 155, 205]).max() < 6
    assert capsys.readouterr().out == "1 drawn\n"


@pytest.mark.parametrize("out", ["toons", "toons/", "toons.png/"])
def test_one_photo_into_a_folder(folder, inverter, out):
    assert run("photos/a.jpg", "-o", out) == 0
    assert files(out) == ["a.jpg"]


def test_existing_folder_is_a_folder_whatever_its_name(folder, inverter):
    Path("toons.png").mkdir()
    assert run("photos/a.jpg", "-o", "toons.png") == 0
    assert files("toons.png") == ["a.jpg"]


def test_folder_and_its_folders(folder, inverter):
    assert run("photos", "-o", "toons") == 0
    assert files("toons") == ["a.jpg", "b.png"]
    assert run("photos", "-o", "deep toons", "--recursive") == 0
    assert files("deep toons") == ["a.jpg", "b.png", "deep/c.webp"]


def test_globs_that_the_shell_left_alone(folder, inverter):
    assert run("photos/*.jpg", "photos/**/c.*", "-o", "toons") == 0
    assert files("toons") == ["a.jpg", "c.webp"]


def test_a_glob_leaves_out_what_was_drawn(folder, inverter, capsys):
    """Else a second run would draw drawings, and processes would disagree on their shares."""
    for _ in range(2):
        assert run("*", "*/*.jpg", "-o", "toons") == 0
    assert sorted(inverter.drawn) == ["a.jpg", "b.png"]
    assert "0 drawn, 2 skipped" in capsys.readouterr().out


def test_a_name_with_a_star_is_that_name(folder, inverter):
    Path("photos/a.jpg").rename("photos/[a]*.jpg")
    assert run("photos/[a]*.jpg", "-o", "toon.jpg") == 0
    assert inverter.drawn == ["[a]*.jpg"]


def test_each_photo_is_drawn_once(folder, inverter):
    assert run("photos", "photos/a.jpg", "./photos/*.jpg", "-o", "toons") == 0
    assert sorted(inverter.drawn) == ["a.jpg", "b.png"]


def test_same_names_get_numbers_and_nothing_is_lost(folder, inverter, capsys):
    for name in ("x/a.gif", "x/A.PNG", "y/a.png", "y/a-2.png"):
        Path(name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (9, 9)).save(name)
    assert run("x", "y", "-o", "toons") == 0
    assert files("toons") == ["A.PNG", "a-2.png", "a-3.png", "a-4.png"]
    assert "4 drawn" in capsys.readouterr().out
    assert run("x", "y", "-o", "toons") == 0
    assert len(inverter.drawn) == 4  # The names come out the same again, so all are skipped.


def test_suffix_that_cannot_be_written_becomes_png(folder, inverter):
    Image.new("RGB", (9, 9)).save("moving.gif")
    Path("plain").write_bytes(Path("photos/a.jpg").read_bytes())
    assert run("moving.gif", "plain", "-o", "toons") == 0
    assert files("toons") == ["moving.png", "plain.png"]


# What is left alone ----------------------------------------------------------------------------


def test_what_exists_is_skipped_without_opening_a_pipeline(folder, unopened, capsys):
    Path("toons").mkdir()
    for name in ("a.jpg", "b.png"):
        Path("toons", name).write_text("drawn before")
    assert run("photos", "-o", "toons") == 0
    assert capsys.readouterr().out.startswith("0 drawn, 2 skipped")
    assert Path("toons/a.jpg").read_text() == "drawn before"


def test_overwrite_draws_again(folder, inverter, capsys):
    Path("toons").mkdir()
    Path("toons/a.jpg").write_text("drawn before")
    assert run("photos", "-o", "toons", "--overwrite") == 0
    assert Image.open("toons/a.jpg").size == (20, 10)
    assert "skipped" not in capsys.readouterr().out


def test_swaps_inside_the_folder_are_not_drawn_again(folder, inverter):
    for _ in range(2):
        assert run("photos", "-o", "photos/toons", "--recursive") == 0
    assert len(inverter.drawn) == 3


def test_photos_are_never_replaced(folder, unopened, capsys):
    for words in (
        ("photos", "-o", "photos", "--overwrite"),
        ("photos/a.jpg", "-o", "photos/a.jpg", "--overwrite"),
        ("photos/a.jpg", "-o", "photos/../photos/", "--overwrite"),
    ):
        assert "photos are never replaced" in usage(capsys, *words)


def test_the_share_of_a_process_does_not_depend_on_what_exists(folder, inverter, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    Path("toons").mkdir()
    Path("toons/a.jpg").write_text("drawn before")  # the first one's, as a and c of three are
    for rank, share in ("1", ["b.png"]), ("0", ["c.webp"]):
        monkeypatch.setenv("RANK", rank)
        inverter.drawn.clear()
        assert run("photos", "-o", "toons", "--recursive") == 0
        assert inverter.drawn == share


def test_half_a_launch_is_a_usage_error(folder, unopened, monkeypatch, capsys):
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert "WORLD_SIZE is set and RANK is not" in usage(capsys, "photos", "-o", "toons")


# What people are told --------------------------------------------------------------------------


def test_one_broken_photo_does_not_stop_the_rest(folder, inverter, capsys):
    Path("photos/a.jpg").write_bytes(b"broken")
    assert run("photos", "nowhere.jpg", "*.xyz", "-o", "toons") == 1
    out, err = capsys.readouterr()
    assert files("toons") == ["b.png"]
    assert out == "1 drawn, 3 failed\n"
    assert "failed: photos/a.jpg: a.jpg" in err
    assert "failed: nowhere.jpg: there is no such file" in err
    assert "failed: *.xyz: nothing matches" in err


def test_disk_that_refuses_is_told_for_each(folder, inverter, capsys):
    Path("toons").mkdir()
    Path("toons/deep").write_text("a file where a folder has to be")
    assert run("photos", "-o", "toons", "--recursive") == 1
    assert "failed: photos/deep/c.webp: cannot write" in capsys.readouterr().err
    assert files("toons") == ["a.jpg", "b.png", "deep"]


def test_network_out_of_memory_is_told_for_each(folder, inverter, monkeypatch, capsys):
    def fail(self, photo, **options):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory\nstack...")

    monkeypatch.setattr(Inverter, "__call__", fail)
    assert run("photos", "-o", "toons") == 1
    assert (
        "could not be drawn: DefaultCPUAllocator: can't allocate memory\n"
        in capsys.readouterr().err
    )


def test_empty_folder_is_a_failure(folder, unopened, capsys):
    Path("empty").mkdir()
    assert run("empty", "-o", "toons") == 1
    assert "no photo in this folder; --recursive searches deeper" in capsys.readouterr().err
    assert not Path("toons").exists()


@pytest.mark.parametrize(
    "words, message",
    [
        (("photos", "-o", "toon.png"), "looks like one file"),
        (("photos/a.jpg", "photos/b.png", "-o", "toon.png"), "looks like one file"),
        (("photos/a.jpg", "-o", "toon.svg"), "expected one of .jpg"),
        (("photos", "-o", "photos/notes.txt"), "is a file"),
        (("photos", "-o", "t", "--strength", "1.5"), "'1.5': expected a number from 0 to 1"),
        (("photos", "-o", "t", "--strength", "nan"), "expected a number from 0 to 1"),
        (("photos", "-o", "t", "--faces", "two"), "invalid choice: 'two'"),
        (("photos",), "required: -o/--output"),
        (("photos", "-o", "t", "--style", "./nowhere"), "but it does not exist"),
    ],
)
def test_usage_errors(folder, capsys, words, message):
    assert message in usage(capsys, *words)
    assert not Path("t").exists()


def test_options_reach_the_pipeline(folder, inverter):
    run("photos/a.jpg", "-o", "t/", "--strength", "0.25", "--faces", "largest", "--keep-color")
    assert inverter.options == {"options": DrawOptions("largest", 0.25, True)}
    assert inverter.quality == "best"
    run("photos/a.jpg", "-o", "fast/", "--quality", "fast")
    assert inverter.quality == "fast"


def test_a_style_without_a_fast_generator_is_a_usage_error(folder, toy_style, capsys):
    message = usage(capsys, "photos", "-o", "t", "--style", toy_style, "--quality", "fast")
    assert "toy has no fast generator" in message


def test_wrong_device_is_a_usage_error(folder, toy_style, capsys):
    message = usage(capsys, "photos", "-o", "t", "--style", toy_style, "--device", "gpu")
    assert "device='gpu': expected auto, cpu, cuda or cuda:N" in message


def test_hub_that_is_away_is_a_failure(folder, monkeypatch, capsys):
    def away(*_, **__):
        raise ConnectionError("style='a/b': the Hub does not answer")

    monkeypatch.setattr(animegan.AnimeGANPipeline, "from_pretrained", away)
    assert run("photos", "-o", "t", "--style", "a/b") == 1
    assert "the Hub does not answer" in capsys.readouterr().err


def test_help_shows_examples(capsys):
    with pytest.raises(SystemExit) as error:
        cli.main(["photo", "--help"])
    assert error.value.code == 0
    out = capsys.readouterr().out
    assert "python -m toonify photo me.jpg -o toon.png" in out
    assert "--model stylegan --blend 64 --edit smile=1.5" in out


def test_styles_of_all_models_as_table_and_as_json(monkeypatch, capsys):
    ink = hub.Style("ink", "Ink", license="CC0-1.0", source="hub me/ink@0123456789ab")
    bold = hub.Style("bold", "Bold", scope="face", license="MIT", family="stylegan")
    faces = hub.Style("faces", "Faces", license="MIT", family="toongan")
    known = {"animegan": [hub.Style("comic", "Comic", license="MIT"), ink]}
    known |= {"stylegan": [bold], "toongan": [faces]}
    monkeypatch.setattr(hub, "styles", known.__getitem__)
    assert cli.main(["styles"]) == 0
    head, *rows = (line.split() for line in capsys.readouterr().out.splitlines())
    assert head == ["NAME", "MODEL", "TITLE", "FROM", "LICENSE"]
    assert rows == [
        ["comic", "animegan", "Comic", "bundled", "MIT"],
        ["ink", "animegan", "Ink", "hub", "me/ink@0123456789ab", "CC0-1.0"],
        ["bold", "stylegan", "Bold", "bundled", "MIT"],
        ["faces", "toongan", "Faces", "bundled", "MIT"],
    ]
    assert cli.main(["styles", "--json"]) == 0
    _, second, third, _ = json.loads(capsys.readouterr().out)
    assert (second["name"], second["source"], second["scope"]) == ("ink", ink.source, "photo")
    assert (third["family"], third["scope"]) == ("stylegan", "face")


# Portraits -------------------------------------------------------------------------------------


class Portraits(Inverter):
    """An `Inverter` of faces; `swaps` has what it got ready for."""

    left_alone = ()
    portraits = ()

    def __init__(self):
        super().__init__()
        self.swaps = []

    def check_options(self, options, given):
        if set(options.edits) - {"smile", "age"}:
            raise ValueError(f"edits: {', '.join(options.edits)}: expected smile or age")

    def engine(self, swap):
        self.swaps.append(swap)

    def load_latent(self, source):
        if not Path(source).is_file():
            raise ValueError(f"latent={source!r}: cannot be read")
        return f"face of {source}"

    def save_latent(self, path, w):
        Path(path).write_text(w)

    def __call__(self, photo, style, **options):
        drawn = super().__call__(photo, style=style, **options)
        found = [*self.portraits, *self.left_alone]
        return stylegan.PortraitToon(
            drawn.image, found, {}, 0, portraits=self.portraits, left_alone=self.left_alone
        )


@pytest.fixture
def portraits(monkeypatch):
    """The pipeline of --model stylegan is a `Portraits`, and there is one toon, "bold"."""
    pipeline = Portraits()
    opened = {"from_pretrained": staticmethod(lambda device: pipeline)}
    monkeypatch.setattr(stylegan, "StyleGANPipeline", type("Opened", (), opened))
    monkeypatch.setattr(
        hub,
        "styles",
        lambda family="animegan": [hub.Style("bold", "Bold"), hub.Style("other", "Other")],
    )
    return pipeline


def test_portrait_options_reach_the_pipeline(folder, portraits):
    words = "--blend 64 --blend-width 0.5 --shape-from base --truncation 0.8 --refine-steps 20"
    edits = "--edit smile=1.5 --edit age=-1 --faces largest --strength 0.5 --keep-color"
    one = ("photos/a.jpg", "-o", "toon.png", "--model", "stylegan")
    assert run(*one, *words.split(), *edits.split()) == 0
    assert portraits.swaps == [stylegan.LayerSwap("bold", 64, 0.5, "base")]
    asked = PortraitOptions(
        *("largest", 0.5, True, 64, 0.5, "base", 0.8, 20), {"smile": 1.5, "age": -1.0}
    )
    assert portraits.options == {"style": "bold", "latent": None, "options": asked}
    assert run(*one, "--style", "other", "--overwrite") == 0
    assert portraits.swaps[-1] == stylegan.LayerSwap("other")


def test_faces_go_out_and_come_in(folder, portraits):
    portraits.portraits = [type("Portrait", (), {"latent": "somebody"})]
    one = ("photos/a.jpg", "-o", "toon.png", "--model", "stylegan")
    assert run(*one, "--save-latent", "new/me.npz") == 0
    assert Path("new/me.npz").read_text() == "somebody"
    assert run(*one, "--latent", "new/me.npz", "--overwrite") == 0
    assert portraits.options["latent"] == "face of new/me.npz"


def test_faces_left_alone_are_told_and_no_failure(folder, portraits, capsys):
    portraits.left_alone = [(None, "too small")]
    assert run("photos/a.jpg", "-o", "toon.png", "--model", "stylegan") == 0
    assert "photos/a.jpg: a face was left alone: too small" in capsys.readouterr().err
    portraits.left_alone = []
    assert run("photos/b.png", "-o", "toons/", "--model", "stylegan") == 0
    assert "photos/b.png: no face found" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words, message",
    [
        ("--blend 64 --edit smile=1", "--blend, --edit: --model animegan does not know that"),
        ("--save-latent me.npz", "--save-latent: --model animegan does not know that"),
        ("--model stylegan --faces none", "--faces none: --model stylegan draws faces only"),
        ("--model stylegan --quality fast", "--quality fast: --model stylegan does not know that"),
        ("--model stylegan --blend 33", "--blend: invalid choice: 33"),
        ("--model stylegan --blend-width 3", "--blend-width: '3': expected a number from 0 to 2"),
        ("--model stylegan --edit smile", "'smile': expected a name and a number"),
        ("--model stylegan --edit nose=1", "edits: nose: expected smile or age"),
        ("--model stylegan --latent nobody.npz", "'nobody.npz': cannot be read"),
        ("--model stylegan --save-latent me.npy", "'me.npy': expected a name in .npz"),
        ("--model stylegan --save-latent me.npz", "expected one photo"),
        ("--model dcgan", "invalid choice: 'dcgan'"),
    ],
)
def test_usage_errors_of_models(folder, portraits, capsys, words, message):
    assert message in usage(capsys, "photos", "-o", "t", *words.split())
    assert not Path("t").exists()


def test_a_saved_face_is_not_replaced(folder, portraits, capsys):
    Path("me.npz").write_text("before")
    one = ("photos/a.jpg", "-o", "t/", "--model", "stylegan", "--save-latent", "me.npz")
    assert "is there already" in usage(capsys, *one)
    assert run(*one, "--overwrite") == 0


def test_no_toon_is_a_usage_error(folder, monkeypatch, capsys):
    monkeypatch.setattr(hub, "styles", lambda family="animegan": [])
    message = usage(capsys, "photos", "-o", "t", "--model", "stylegan")
    assert "no toon generator is bundled" in message


def test_a_portrait_with_real_networks(tmp_path, monkeypatch, toy_portrait, photo_path, capsys):
    make = stylegan.StyleGANPipeline
    opened = staticmethod(
        lambda device: make(toy_portrait / "base", toy_portrait / "encoder", device)
    )
    monkeypatch.setattr(stylegan, "StyleGANPipeline", type("O", (), {"from_pretrained": opened}))
    monkeypatch.chdir(tmp_path)
    with_toon = ("--model", "stylegan", "--style", toy_portrait / "toon")
    assert run(photo_path, "-o", "one.png", *with_toon, "--save-latent", "me.npz") == 0
    assert images.load("one.png").size == images.load(photo_path).size
    assert run(photo_path, "-o", "two.png", *with_toon, "--latent", "me.npz") == 0
    assert Path("one.png").read_bytes() == Path("two.png").read_bytes()
    assert run(photo_path, "-o", "3.png", *with_toon, "--truncation", "0", "--blend", "4") == 0
    assert Path("one.png").read_bytes() != Path("3.png").read_bytes()
    Path("bad.npz").write_bytes(b"PK bad")
    message = usage(capsys, photo_path, "-o", "4.png", *with_toon, "--latent", "bad.npz")
    assert "bad.npz" in message


# New faces -------------------------------------------------------------------------------------


def imagine(*words):
    return cli.main(["imagine", *map(str, words)])


def refusal(capsys, *words):
    """The message of a usage error of `imagine`."""
    with pytest.raises(SystemExit) as error:
        imagine(*words)
    assert error.value.code == 2
    return capsys.readouterr().err.splitlines()[-1]


@pytest.fixture
def faces(tmp_path, monkeypatch, toy_faces):
    """Words that name a toy network; the working folder is empty."""
    monkeypatch.chdir(tmp_path)
    return ("--model", toy_faces, "--device", "cpu")


def test_a_grid_of_new_faces(faces, toy_faces, capsys):
    assert imagine("-n", 5, "--seed", 7, "--columns", 3, "-o", "new/grid.png", *faces) == 0
    assert capsys.readouterr().out == "5 drawn\n"
    assert files("new") == ["grid.png"]
    grid = images.load("new/grid.png")
    assert grid.size == (192, 128)
    pipeline = toongan.ToonGANPipeline.from_pretrained(toy_faces, device="cpu")
    assert grid.crop((64, 64, 128, 128)).tobytes() == pipeline(1, 11)[0].tobytes()
    assert imagine("-o", "16.png", *faces) == 0
    assert images.load("16.png").size == (256, 256)


def test_new_faces_in_a_folder_have_their_seeds_as_names(faces, capsys):
    assert imagine("-n", 2, "--seed", 7, "-o", "faces", *faces) == 0
    assert files("faces") == ["7.png", "8.png"]
    before = Path("faces/7.png").read_bytes()
    assert imagine("-n", 3, "--seed", 7, "-o", "faces/", "--truncation", "0.2", *faces) == 0
    assert files("faces") == ["7.png", "8.png", "9.png"]
    assert Path("faces/7.png").read_bytes() == before
    assert "1 drawn, 2 skipped" in capsys.readouterr().out
    assert imagine("--seed", 7, "-o", "faces/", "--edit", "smile=3", "--overwrite", *faces) == 0
    assert Path("faces/7.png").read_bytes() != before and len(files("faces")) == 16


def test_what_faces_are_to_have_is_chosen(tmp_path, monkeypatch, choosing_faces, capsys):
    monkeypatch.chdir(tmp_path)
    faces = ("--model", choosing_faces, "--device", "cpu")
    wish = ("--choose", "mouth=sad", "--choose", "hair_color=#d6b370")
    assert imagine("-n", 2, "--seed", 5, *wish, "-o", "faces/", *faces) == 0
    pipeline = toongan.ToonGANPipeline.from_pretrained(choosing_faces, device="cpu")
    choices = {"mouth": "sad", "hair_color": "#d6b370"}
    wanted = [picture.tobytes() for picture in pipeline(2, 5, choices=choices)]
    assert [images.load(f"faces/{n}.png").tobytes() for n in (5, 6)] == wanted
    assert wanted != [picture.tobytes() for picture in pipeline(2, 5)]
    assert imagine("--mix", "5:6", *wish, "-o", "mix.png", *faces) == 0
    mixed = pipeline.mix(*pipeline.latents(2, 5, choices=choices).split(1))
    assert images.load("mix.png").tobytes() == pipeline.draw(mixed)[0].tobytes()
    assert imagine("--interpolate", 2, "--seed", 5, *wish, "-o", "loop.gif", *faces) == 0
    said = refusal(capsys, "-o", "g.png", "--choose", "mouth=grin", *faces)
    assert "mouth='grin': expected one of laugh, sad, wideOpen" in said
    assert "'sad': expected two names" in refusal(capsys, "-o", "g.png", "--choose", "sad", *faces)


def test_faces_are_mixed(faces, toy_faces):
    mixes = ("--mix", "7:12", "--mix", "12:7", "--at", 8)
    assert imagine(*mixes, "-o", "faces/", *faces) == 0
    assert files("faces") == ["12-7.png", "7-12.png"]
    pipeline = toongan.ToonGANPipeline.from_pretrained(toy_faces, device="cpu")
    mixed = pipeline.mix(pipeline.latents(1, 7), pipeline.latents(1, 12), 8)
    assert images.load("faces/7-12.png").tobytes() == pipeline.draw(mixed)[0].tobytes()
    assert imagine(*mixes[:2], "--edit", "smile=2", "-o", "one.png", *faces) == 0
    assert images.load("one.png").size == (64, 64)


def test_faces_turn_into_each_other(faces, capsys):
    film = ("--interpolate", 3, "--seed", 7)
    assert imagine(*film, "--frames", 9, "--fps", 5, "-o", "loop.gif", *faces) == 0
    assert capsys.readouterr().out == "9 frames drawn\n"
    with Image.open("loop.gif") as clip:
        assert (clip.n_frames, clip.info["duration"]) == (9, 200)
    assert imagine(*film, "--edit", "smile=1", "-o", "loop.mp4", *faces) == 0
    assert files(".") == ["loop.gif", "loop.mp4"]


@pytest.mark.parametrize(
    "words, message",
    [
        ("-n 0 -o g.png", "-n/--number: '0': expected a whole number, 1 or more"),
        ("-n 10000 -o g.png", "n=10000: expected a whole number from 1 to 4096"),
        ("--seed -1 -o g.png", "--seed: '-1': expected a whole number, 0 or more"),
        ("--seed 4611686018427387905 -o g.png", "seed=4611686018427387905: expected"),
        ("--truncation 5 -o g.png", "'5': expected a number from 0 to 1"),
        ("--edit wings=1 -o g.png", "'wings' is not a direction; expected one of"),
        ("--edit smile -o g.png", "'smile': expected a name and a number"),
        ("--mix 7 -o g.png", "'7': expected two seeds, like 7:12"),
        ("--mix 7:x -o g.png", "'7:x': expected two seeds"),
        ("--mix 7:8 -n 2 --seed 3 -o g.png", "--number, --seed: not together with --mix"),
        ("--mix 7:8 --interpolate 3 -o l.gif", "--interpolate: not together with --mix"),
        ("--mix 7:8 --at 5 -o g.png", "side=5: expected one of (4, 8, 16, 32, 64)"),
        ("--at 8 -o g.png", "--at: only --mix knows that"),
        ("--fps 5 -o g.png", "--fps: only a film knows that"),
        ("--frames 5 -o g.png", "--frames: only a film knows that"),
        ("--interpolate 3 -n 4 --columns 2 -o l.gif", "--number, --columns: a film has"),
        ("--interpolate 1 -o l.gif", "'1': expected a whole number, 2 or more"),
        ("--interpolate 3 --fps 99 -o l.gif", "fps=99: expected 1 to 60"),
        ("--interpolate 3 --frames 2 -o l.gif", "steps=2: expected 3 or more"),
        ("--interpolate 3 -o l.png", "'l.png': expected a file that ends in one of .mp4, .gif"),
        ("--interpolate 3 -o folder/", "'folder/': expected a file that ends in one of .mp4"),
        ("-o g.mp4", "'g.mp4': expected a file that ends in one of .jpg"),
        ("--columns 2 -o folder/", "--columns: a folder has no rows"),
        ("--columns 0 -o g.png", "'0': expected a whole number, 1 or more"),
        ("-o there.png", "'there.png' is there already; --overwrite replaces it"),
        ("-o there.png/", "'there.png/' is a file: expected a folder"),
        ("-o g.png --model ./nowhere", "but it does not exist"),
        ("-o g.png --device gpu", "device='gpu': expected auto, cpu, cuda"),
        ("", "required: -o/--output"),
    ],
)
def test_usage_errors_of_new_faces(faces, capsys, words, message):
    Path("there.png").write_text("before")
    assert message in refusal(capsys, *faces, *words.split())
    assert files(".") == ["there.png"] and Path("there.png").read_text() == "before"


def test_public_networks_draw_and_are_neither_mixed_nor_moved(faces, tmp_path, capsys):
    seed_toy().save_pretrained("public")
    assert imagine("-n", 4, "-o", "g.png", "--model", "public") == 0
    assert images.load("g.png").size == (64, 64)
    for words in ("--mix 1:2", "--truncation 0.5", "--edit smile=1"):
        message = refusal(capsys, "-o", "h.png", "--model", "public", *words.split())
        assert "SeedGenerator has no w" in message
    message = refusal(capsys, "-o", "h.gif", "--model", "public", "--interpolate", 2)
    assert "SeedGenerator has no w" in message


@pytest.mark.parametrize(
    "raised, told",
    [
        (ConnectionError("style='a/b': the Hub does not answer"), "the Hub does not answer"),
        (OSError(28, "No space left on device", "g.png"), "g.png: No space left on device"),
        (images.ImageError("JPEG cannot hold it"), "JPEG cannot hold it"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory\nstack"), "allocate memory\n"),
        (MemoryError(), "out of memory"),
    ],
)
def test_failures_of_new_faces_are_told(faces, monkeypatch, capsys, raised, told):
    def fail(*_, **__):
        raise raised

    monkeypatch.setattr(toongan.ToonGANPipeline, "__call__", fail)
    assert imagine("-o", "g.png", *faces) == 1
    assert told in capsys.readouterr().err
    assert files(".") == []


# As a process ----------------------------------------------------------------------------------


def process(*words, **options):
    return subprocess.Popen(
        [sys.executable, "-m", "toonify", *map(str, words)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def test_odd_inputs_each_give_a_drawing_or_a_reason(tmp_path, toy_style):
    """Some sixty files that people really have, in one process with a toy network."""
    inputs = make_odd_inputs(tmp_path / "odd")
    inputs.pop("folder.jpg")  # a folder is searched, and this one is empty: see above
    paths = [path for path, _ in inputs.values()]
    command = process("photo", *paths, "-o", tmp_path / "toons", "--style", toy_style)
    out, err = command.communicate(timeout=300)
    assert "Traceback" not in err
    told = dict(line.removeprefix("failed: ").split(": ", 1) for line in err.splitlines() if line)
    assert command.returncode == 1
    drawn = {path.name for path in (tmp_path / "toons").iterdir()}
    for name, (path, expected) in inputs.items():
        if expected == "refused":
            assert len(told.pop(str(path))) > 15, name
            continue
        assert str(path) not in told, told.get(str(path))
        stem = path.stem
        results = [n for n in drawn if Path(n).stem == stem or n.startswith(f"{stem}-")]
        size = images.load(path).size
        assert size in {Image.open(tmp_path / "toons" / n).size for n in results}, name
    assert told == {}
    assert len(drawn) == sum(expected == "ok" for _, expected in inputs.values())
    assert out.endswith("failed\n")


@pytest.mark.skipif(os.name == "nt", reason="signals differ")
def test_interruption_leaves_whole_files_only(tmp_path, toy_style, photo):
    (tmp_path / "photos").mkdir()
    for number in range(200):
        photo.resize((96, 96)).save(tmp_path / "photos" / f"{number:03}.png")
    command = process(
        "photo",
        tmp_path / "photos",
        "-o",
        tmp_path / "toons",
        "--style",
        toy_style,
        "--faces",
        "none",
        # A shell starts its background jobs deaf to Ctrl-C, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 120
    while len(list((tmp_path / "toons").glob("*.png"))) < 3 and time.monotonic() < deadline:
        time.sleep(0.02)
    command.send_signal(signal.SIGINT)
    _, err = command.communicate(timeout=60)
    assert command.returncode == 130 and "Traceback" not in err, err
    assert "interrupted" in err
    results = list((tmp_path / "toons").iterdir())
    assert 3 <= len(results) < 200
    for path in results:
        assert path.suffix == ".png" and not path.name.startswith(".")
        assert images.load(path).size == (96, 96)
