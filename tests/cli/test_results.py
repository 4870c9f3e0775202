"""Results for programs: --json, stdin and stdout, and what files say that they are."""

import io
import json
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.cli.test_photo import Inverter, run
from tests.fixtures.mark_readers import DRAWN, GENERATED, read_source_type
from toonify import cli, images
from toonify.images import marks
from toonify.pipelines import animegan, toongan

LOOP = ("--interpolate", "2", "--frames", "2")


class Terminal(io.BytesIO):
    """A stream that looks like a terminal."""

    def isatty(self):
        return True


def feed(monkeypatch, data: bytes) -> None:
    """Gives the command these bytes as stdin."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))


def lines(out: str) -> list[dict]:
    """The objects on stdout, which has nothing else."""
    return [json.loads(line) for line in out.splitlines()]


@pytest.fixture
def marking(monkeypatch):
    """The pipeline of every style is an `Inverter` that marks as the real ones do."""

    class Marking(Inverter):
        def __call__(self, photo, *, options):
            image = images.load(photo)
            image = image.point(lambda value: 255 - value)
            marks.mark(image, options.source_type())
            return animegan.Toon(image, [], {}, 0)

    opened = {"from_pretrained": staticmethod(lambda style, device, quality: Marking())}
    monkeypatch.setattr(animegan, "AnimeGANPipeline", type("Opened", (), opened))


# --json ----------------------------------------------------------------------------------------


def test_each_photo_is_a_line(folder, marking, capsys):
    Path("photos/a.jpg").write_bytes(b"broken")
    Path("toons").mkdir()
    Path("toons/c.webp").write_text("drawn before")
    words = ("photos", "photos/deep/c.webp", "nowhere.jpg", "-o", "toons", "--json")
    assert run(*words) == 1
    out, err = capsys.readouterr()
    found = {result["input"]: result for result in lines(out)}
    assert len(found) == len(lines(out)) == 4
    assert found["photos/b.png"] == {
        "status": "drawn",
        "input": "photos/b.png",
        "output": "toons/b.png",
        "width": 20,
        "height": 10,
        "faces": 0,
        "drawn_faces": 0,
        "notes": [],
    }
    assert found["photos/deep/c.webp"] == {
        "status": "skipped",
        "input": "photos/deep/c.webp",
        "output": "toons/c.webp",
    }
    broken, missing = found["photos/a.jpg"], found["nowhere.jpg"]
    assert broken["status"] == missing["status"] == "failed"
    assert broken["output"] == "toons/a.jpg" and broken["error"].startswith("a.jpg is")
    assert missing["output"] is None and missing["error"] == "there is no such file"
    assert "1 drawn, 1 skipped" in err and "2 failed" in err
    assert "failed: photos/a.jpg: a.jpg is" in err


def test_notes_are_part_of_the_result(folder, marking, monkeypatch, capsys):
    monkeypatch.setattr(images.io, "MAX_PIXELS", 50)
    assert run("photos/a.jpg", "-o", "t.png", "--json") == 0
    [result] = lines(capsys.readouterr().out)
    assert result["notes"] == [
        "read at 10x5, half its size, as 20x10 = 0.0002 million pixels are too many"
    ]


def test_wrong_usage_is_no_result(folder, unopened, capsys):
    with pytest.raises(SystemExit):
        run("photos", "-o", "toon.png", "--json")
    out, err = capsys.readouterr()
    assert out == "" and "looks like one file" in err


def test_new_faces_are_lines_with_their_seeds(tmp_path, monkeypatch, toy_faces, capsys):
    monkeypatch.chdir(tmp_path)
    words = ["generate", "--model", str(toy_faces), "--device", "cpu", "--json"]
    assert cli.main([*words, "-n", "2", "--seed", "7", "-o", "faces/"]) == 0
    found = lines(capsys.readouterr().out)
    assert found == [
        {"status": "drawn", "output": f"faces/{seed}.png", "seeds": [[seed]]} for seed in (7, 8)
    ]
    assert cli.main([*words, "-n", "1", "--seed", "7", "-o", "faces/"]) == 0
    assert [result["status"] for result in lines(capsys.readouterr().out)] == ["skipped"]
    assert cli.main([*words, "--mix", "7:12", "-o", "grid.png"]) == 0
    [grid] = lines(capsys.readouterr().out)
    assert grid == {"status": "drawn", "output": "grid.png", "seeds": [[7, 12]]}
    loop = ("--interpolate", "2", "--frames", "4", "-o", "loop.gif")
    assert cli.main([*words, *loop]) == 0
    [result] = lines(capsys.readouterr().out)
    assert (result["frames"], result["fps"], result["seeds"]) == (4, 24, [[0], [1]])


def test_a_grid_that_cannot_be_written_is_a_failed_result(tmp_path, monkeypatch, toy_faces, capsys):
    monkeypatch.chdir(tmp_path)

    def refuse(*_, **__):
        raise images.ImageError("too large")

    monkeypatch.setattr(images, "save", refuse)
    words = ["generate", "--model", str(toy_faces), "--device", "cpu", "--json", "-n", "1"]
    assert cli.main([*words, "-o", "grid.webp"]) == 1
    out, err = capsys.readouterr()
    assert lines(out) == [{"status": "failed", "output": "grid.webp", "error": "too large"}]
    assert "too large" in err


# stdin and stdout ------------------------------------------------------------------------------


def test_from_stdin_to_stdout(folder, marking, monkeypatch, capfdbinary):
    feed(monkeypatch, Path("photos/b.png").read_bytes())
    assert run("-", "-o", "-") == 0
    out, err = capfdbinary.readouterr()
    with Image.open(io.BytesIO(out)) as toon:
        assert (toon.format, toon.size) == ("PNG", (20, 10))
        assert toon.getpixel((0, 0)) == (55, 155, 205)
    assert read_source_type(out) == DRAWN
    assert err == b"1 drawn\n"
    assert not Path("-").exists()


def test_a_file_to_stdout_and_stdin_to_a_file(
    folder,
    marking,
    monkeypatch,
    capfdbinary,
):
    assert run("photos/a.jpg", "-o", "-", "--format", "webp", "--no-mark") == 0
    out = capfdbinary.readouterr().out
    assert out[8:12] == b"WEBP" and read_source_type(out) is None
    data = Path("photos/b.png").read_bytes()
    for expected in ("drawn", "skipped"):
        feed(monkeypatch, data)
        assert run("-", "-o", "new/toon.jpg", "--json") == 0
        [result] = lines(capfdbinary.readouterr().out.decode())
        assert (result["status"], result["input"], result["output"]) == (
            expected,
            "-",
            "new/toon.jpg",
        )
    assert images.load("new/toon.jpg").size == (20, 10)


def test_what_is_no_photo_leaves_stdout_empty(
    folder,
    marking,
    monkeypatch,
    capfdbinary,
):
    for data, why in (b"", b"is empty (0 bytes)"), (b"no photo", b"is text; expected a photo"):
        feed(monkeypatch, data)
        assert run("-", "-o", "-") == 1
        out, err = capfdbinary.readouterr()
        assert out == b"" and why in err and b"failed: -: The file" in err


def test_a_file_with_that_name_is_a_file(folder, marking, capsys):
    Path("-").write_bytes(Path("photos/a.jpg").read_bytes())
    assert run("./-", "-o", "toon.png") == 0
    assert images.load("toon.png").size == (20, 10)


@pytest.mark.parametrize(
    "words, message",
    [
        ("- -o - --json", "--json: not together with -o -, as the drawing goes to stdout"),
        ("photos -o -", "-o -: expected IN to be one photo, not several or a folder"),
        ("photos/a.jpg photos/b.png -o -", "-o -: expected IN to be one photo"),
        ("- photos/a.jpg -o toons/", "IN -: expected IN to be one photo"),
        ("- -o toons/", "is a folder: expected a file or -"),
        ("- -o photos", "is a folder: expected a file or -"),
        ("- -o toon.svg", "ends in '.svg': expected one of .jpg"),
        ("nowhere.jpg -o -", "nowhere.jpg: there is no such file"),
        ("photos/a.jpg -o toon.png --format jpg", "--format: only with -o -"),
        ("- -o - --format gif", "'gif' is not one of 'jpg'"),
    ],
)
def test_usage_errors(folder, unopened, monkeypatch, usage, words, message):
    feed(monkeypatch, b"")
    assert message in usage("photo", *words.split())


def test_terminals_and_launchers_are_refused(folder, unopened, monkeypatch, usage):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(Terminal()))
    assert "stdin is a terminal" in usage("photo", "-", "-o", "toon.png")
    feed(monkeypatch, b"")
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert "expected one process, and there are 2" in usage("photo", "-", "-o", "toon.png")


# --no-mark -------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
def test_drawings_are_marked_unless_it_is_refused(folder, marking, suffix):
    assert run("photos/a.jpg", "-o", f"marked{suffix}") == 0
    assert run("photos/a.jpg", "-o", f"plain{suffix}", "--no-mark") == 0
    assert read_source_type(Path(f"marked{suffix}")) == DRAWN
    assert read_source_type(Path(f"plain{suffix}")) is None
    assert images.load(f"marked{suffix}").tobytes() == images.load(f"plain{suffix}").tobytes()


def test_new_faces_are_marked_unless_it_is_refused(tmp_path, monkeypatch, toy_faces):
    monkeypatch.chdir(tmp_path)
    words = ["generate", "--model", str(toy_faces), "--device", "cpu"]
    for name, more in ("grid.png", ("-n", "2")), ("f/", ("-n", "1")), ("l.gif", LOOP):
        for mark, expected in ("--mark", GENERATED), ("--no-mark", None):
            assert cli.main([*words, *more, "-o", f"{mark}{name}", mark]) == 0
            file = Path(f"{mark}{name}")
            file = file / "0.png" if file.is_dir() else file
            assert read_source_type(file) == expected
    pipeline = toongan.ToonGANPipeline.from_pretrained(toy_faces, device="cpu")
    faces = pipeline(2, seed=7)
    w = pipeline.latents(2, seed=7)
    for image in (*faces, pipeline.grid(faces), *pipeline.draw(w)):
        assert marks.read_mark(image) == marks.GENERATED
    assert read_source_type(pipeline.loop(w, "a.webp", 4)) == GENERATED
    assert read_source_type(pipeline.loop(w, "b.webp", 4, mark=False)) is None
