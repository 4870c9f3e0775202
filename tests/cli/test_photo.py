"""`toonify photo`: what is drawn where, what is skipped, and what is reported."""

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
from toonify import cli, hub, images
from toonify.pipelines import animegan, batch, stylegan
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


def run(*words):
    return cli.main(["photo", *map(str, words)])


def files(folder):
    """The files of a folder, by their paths in it."""
    paths = (path for path in Path(folder).rglob("*") if path.is_file())
    return sorted(str(path.relative_to(folder)) for path in paths)


# What is drawn where ---------------------------------------------------------------------------


def test_one_photo_to_one_file(folder, inverter, capsys):
    assert run("photos/a.jpg", "-o", "new/toon.png") == 0
    with Image.open("new/toon.png") as toon:
        assert (toon.format, toon.size) == ("PNG", (20, 10))
        assert np.abs(np.asarray(toon, int)[0, 0] - [55, 155, 205]).max() < 6
    assert capsys.readouterr().out == "1 drawn\n"


@pytest.mark.parametrize(
    "words, drawn",
    [
        ("photos/a.jpg -o toons", "a.jpg"),
        ("photos/a.jpg -o toons/", "a.jpg"),
        ("photos/a.jpg -o toons.png/", "a.jpg"),
        ("photos/a.jpg -o there.png", "a.jpg"),  # a folder, whatever its name
        ("photos -o toons", "a.jpg b.png"),
        ("photos --recursive -o toons", "a.jpg b.png deep/c.webp"),
        ("photos/*.jpg photos/**/c.* -o toons", "a.jpg c.webp"),  # as a shell may leave them
        ("photos photos/a.jpg ./photos/*.jpg -o toons", "a.jpg b.png"),  # each once
        ("moving.gif plain -o toons", "moving.png plain.png"),  # suffixes that cannot be written
    ],
)
def test_names_in_a_folder(folder, inverter, words, drawn):
    Path("there.png").mkdir()
    Image.new("RGB", (9, 9)).save("moving.gif")
    Path("plain").write_bytes(Path("photos/a.jpg").read_bytes())
    assert run(*words.split()) == 0
    assert files(words.split()[-1]) == drawn.split()
    assert len(inverter.drawn) == len(drawn.split())


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


def test_same_names_get_numbers_and_nothing_is_lost(folder, inverter, capsys):
    for name in ("x/a.gif", "x/A.PNG", "y/a.png", "y/a-2.png"):
        Path(name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (9, 9)).save(name)
    assert run("x", "y", "-o", "toons") == 0
    assert files("toons") == ["A.PNG", "a-2.png", "a-3.png", "a-4.png"]
    assert "4 drawn" in capsys.readouterr().out
    assert run("x", "y", "-o", "toons") == 0
    assert len(inverter.drawn) == 4  # The names come out the same again, so all are skipped.


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


def test_photos_are_never_replaced(folder, unopened, usage):
    for words in (
        ("photos", "-o", "photos", "--overwrite"),
        ("photos/a.jpg", "-o", "photos/a.jpg", "--overwrite"),
        ("photos/a.jpg", "-o", "photos/../photos/", "--overwrite"),
    ):
        assert "photos are never replaced" in usage("photo", *words)


def test_the_share_of_a_process_does_not_depend_on_what_exists(folder, inverter, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    Path("toons").mkdir()
    Path("toons/a.jpg").write_text("drawn before")  # the first one's, as a and c of three are
    for rank, share in ("1", ["b.png"]), ("0", ["c.webp"]):
        monkeypatch.setenv("RANK", rank)
        inverter.drawn.clear()
        assert run("photos", "-o", "toons", "--recursive") == 0
        assert inverter.drawn == share


def test_half_a_launch_is_a_usage_error(folder, unopened, monkeypatch, usage):
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert "WORLD_SIZE is set and RANK is not" in usage("photo", "photos", "-o", "toons")


# Messages ---------------------------------------------------------------------------------------


def test_one_broken_photo_does_not_stop_the_rest(folder, inverter, capsys):
    Path("photos/a.jpg").write_bytes(b"broken")
    assert run("photos", "nowhere.jpg", "*.xyz", "-o", "toons") == 1
    out, err = capsys.readouterr()
    assert files("toons") == ["b.png"]
    assert out == "1 drawn, 3 failed\n"
    assert "failed: photos/a.jpg: a.jpg" in err
    assert "failed: nowhere.jpg: there is no such file" in err
    assert "failed: *.xyz: nothing matches" in err


def test_a_photo_read_at_half_its_size_is_reported(folder, inverter, monkeypatch, capsys):
    monkeypatch.setattr(images.io, "MAX_PIXELS", 50)
    assert run("photos", "-o", "toons") == 0
    err = capsys.readouterr().err
    assert "photos/a.jpg: read at 10x5, half its size, as 20x10 = 0.0002 million pixels" in err
    assert "b.png" not in err


def test_a_full_disk_is_reported_for_each_photo(folder, inverter, capsys):
    Path("toons").mkdir()
    Path("toons/deep").write_text("a file where a folder has to be")
    assert run("photos", "-o", "toons", "--recursive") == 1
    assert "failed: photos/deep/c.webp: cannot write" in capsys.readouterr().err
    assert files("toons") == ["a.jpg", "b.png", "deep"]


def test_network_out_of_memory_is_reported_for_each(folder, inverter, monkeypatch, capsys):
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
        (
            ("photos", "-o", "t", "--strength", "1.5"),
            "--strength': 1.5 is not in the range 0<=x<=1",
        ),
        (("photos", "-o", "t", "--strength", "nan"), "strength=nan: expected a number from 0"),
        (("photos", "-o", "t", "--faces", "two"), "--faces': 'two' is not one of 'all'"),
        (("photos",), "Missing option '-o' / '--output'"),
        (("photos", "-o", "t", "--style", "./nowhere"), "but it does not exist"),
    ],
)
def test_usage_errors(folder, words, message, usage):
    assert message in usage("photo", *words)
    assert not Path("t").exists()


def test_options_reach_the_pipeline(folder, inverter):
    run("photos/a.jpg", "-o", "t/", "--strength", "0.25", "--faces", "largest", "--keep-color")
    assert inverter.options == {"options": DrawOptions("largest", 0.25, True)}
    assert inverter.quality == "best"
    run("photos/a.jpg", "-o", "fast/", "--quality", "fast")
    assert inverter.quality == "fast"


def test_old_spellings_are_read_with_a_warning(folder, inverter, capsys):
    assert run("photos/a.jpg", "-o", "t/", "--keep-colour") == 0
    assert inverter.options == {"options": DrawOptions(keep_color=True)}
    warning = "DeprecationWarning: --keep-colour is now --keep-color\n"
    assert capsys.readouterr().err.startswith(warning)


def test_a_style_without_a_fast_generator_is_a_usage_error(folder, toy_style, usage):
    message = usage("photo", "photos", "-o", "t", "--style", toy_style, "--quality", "fast")
    assert "toy has no fast generator" in message


def test_wrong_device_is_a_usage_error(folder, toy_style, usage):
    message = usage("photo", "photos", "-o", "t", "--style", toy_style, "--device", "gpu")
    assert "device='gpu': expected auto, cpu, cuda or cuda:N" in message


def test_hub_that_is_away_is_a_failure(folder, monkeypatch, capsys):
    def away(*_, **__):
        raise ConnectionError("style='a/b': the Hub does not answer")

    monkeypatch.setattr(animegan.AnimeGANPipeline, "from_pretrained", away)
    assert run("photos", "-o", "t", "--style", "a/b") == 1
    assert "the Hub does not answer" in capsys.readouterr().err


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
    opened = {"from_pretrained": staticmethod(lambda base, encoder, device: pipeline)}
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
    assert run(*one, "--save-latent", "new/me.safetensors") == 0
    assert Path("new/me.safetensors").read_text() == "somebody"
    assert run(*one, "--latent", "new/me.safetensors", "--overwrite") == 0
    assert portraits.options["latent"] == "face of new/me.safetensors"


def test_faces_left_alone_are_reported_and_no_failure(folder, portraits, capsys):
    portraits.left_alone = [(None, "too small")]
    assert run("photos/a.jpg", "-o", "toon.png", "--model", "stylegan") == 0
    assert "photos/a.jpg: a face was left alone: too small" in capsys.readouterr().err
    portraits.left_alone = []
    assert run("photos/b.png", "-o", "toons/", "--model", "stylegan") == 0
    assert "photos/b.png: no face found" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words, message",
    [
        ("--blend 64 --edit smile=1", "--blend, --edit: only with --model stylegan"),
        ("--save-latent me.safetensors", "--save-latent: only with --model stylegan"),
        (
            "--model stylegan --faces none",
            "--faces none: with --model stylegan expected all or largest",
        ),
        ("--model stylegan --quality fast", "--quality fast: with --model stylegan expected best"),
        ("--model stylegan --blend 33", "--blend': '33' is not one of '4', '8'"),
        ("--model stylegan --blend-width 3", "--blend-width': 3.0 is not in the range 0<=x<=2"),
        ("--model stylegan --edit smile", "'smile': expected a name and a number"),
        ("--model stylegan --edit nose=1", "edits: nose: expected smile or age"),
        ("--model stylegan --latent nobody.safetensors", "'nobody.safetensors': cannot be read"),
        ("--model stylegan --save-latent me.npy", "'me.npy': expected a name in .safetensors"),
        ("--model stylegan --save-latent me.safetensors", "expected IN to be one photo"),
        ("--model dcgan", "'dcgan' is not one of 'animegan', 'stylegan'"),
    ],
)
def test_usage_errors_of_models(folder, portraits, words, message, usage):
    assert message in usage("photo", "photos", "-o", "t", *words.split())
    assert not Path("t").exists()


def test_a_saved_face_is_not_replaced(folder, portraits, usage):
    Path("me.safetensors").write_text("before")
    one = ("photos/a.jpg", "-o", "t/", "--model", "stylegan", "--save-latent", "me.safetensors")
    assert "exists already" in usage("photo", *one)
    assert run(*one, "--overwrite") == 0


def test_no_toon_is_a_usage_error(folder, monkeypatch, usage):
    monkeypatch.setattr(hub, "styles", lambda family="animegan": [])
    message = usage("photo", "photos", "-o", "t", "--model", "stylegan")
    assert "no toon generator is bundled" in message


def test_a_portrait_with_real_networks(tmp_path, monkeypatch, toy_portrait, photo_path, usage):
    make = stylegan.StyleGANPipeline
    opened = staticmethod(
        lambda base, encoder, device: make(toy_portrait / "base", toy_portrait / "encoder", device)
    )
    monkeypatch.setattr(stylegan, "StyleGANPipeline", type("O", (), {"from_pretrained": opened}))
    monkeypatch.chdir(tmp_path)
    with_toon = ("--model", "stylegan", "--style", toy_portrait / "toon")
    assert run(photo_path, "-o", "one.png", *with_toon, "--save-latent", "me.safetensors") == 0
    assert images.load("one.png").size == images.load(photo_path).size
    assert run(photo_path, "-o", "two.png", *with_toon, "--latent", "me.safetensors") == 0
    assert Path("one.png").read_bytes() == Path("two.png").read_bytes()
    assert run(photo_path, "-o", "3.png", *with_toon, "--truncation", "0", "--blend", "4") == 0
    assert Path("one.png").read_bytes() != Path("3.png").read_bytes()
    Path("bad.safetensors").write_bytes(b"PK bad")
    message = usage("photo", photo_path, "-o", "4.png", *with_toon, "--latent", "bad.safetensors")
    assert "bad.safetensors" in message


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
    failures = dict(
        line.removeprefix("failed: ").split(": ", 1) for line in err.splitlines() if line
    )
    assert command.returncode == 1
    drawn = {path.name for path in (tmp_path / "toons").iterdir()}
    for name, (path, expected) in inputs.items():
        if expected == "refused":
            assert len(failures.pop(str(path))) > 15, name
            continue
        assert str(path) not in failures, failures.get(str(path))
        stem = path.stem
        results = [n for n in drawn if Path(n).stem == stem or n.startswith(f"{stem}-")]
        size = images.load(path).size
        assert size in {Image.open(tmp_path / "toons" / n).size for n in results}, name
    assert failures == {}
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
