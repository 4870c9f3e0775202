"""All benchmarks in one table: `python -m benchmarks [--only NAME ...] [--quick] [--json FILE]`.

`python -m benchmarks.load` is apart: it puts the app under load, and passes or fails.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

NAMES = {
    "limits": "matrix products, convolutions and memory",
    "photo": "a photo of 512x512 through the generator",
    "faces": "a photo with two faces, end to end; a large one",
    "shares": "a fast photo: the share of its time outside of the networks",
    "portrait": "a StyleGAN toon",
    "new_faces": "ToonGAN, one face and 64",
    "video": "frames of a video",
    "train_animegan": "training, AnimeGANv2",
    "train_stylegan": "training, StyleGAN2",
    "train_toongan": "training, ToonGAN",
    "start": "imports, the command line, the first photo",
}


def make_benchmarks(names: list[str], quick: bool, style: str) -> Iterator:
    """The chosen benchmarks, in the table's order."""
    from benchmarks import (
        faces,
        limits,
        new_faces,
        photo,
        portrait,
        shares,
        start,
        train_animegan,
        train_stylegan,
        train_toongan,
        video,
    )

    found = {
        "limits": lambda: [limits.make_benchmark(quick)],
        "photo": lambda: [photo.make_benchmark(quick, style)],
        "faces": lambda: faces.make_benchmarks(quick, style),
        "shares": lambda: [shares.make_benchmark(quick, style)],
        "portrait": lambda: [portrait.make_benchmark(quick)],
        "new_faces": lambda: new_faces.make_benchmarks(quick),
        "video": lambda: [video.make_benchmark(quick, style)],
        "train_animegan": lambda: [train_animegan.make_benchmark(quick)],
        "train_stylegan": lambda: [train_stylegan.make_benchmark(quick)],
        "train_toongan": lambda: [train_toongan.make_benchmark(quick)],
        "start": lambda: start.make_benchmarks(quick, style),
    }
    for name in names:
        yield from found[name]()


def main(arguments: list[str] | None = None) -> None:
    from benchmarks.report import STYLE, positive

    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Speed and memory of Toonify and of reference implementations, as one table.",
        epilog="Benchmarks: " + "; ".join(f"{name}: {what}" for name, what in NAMES.items()),
    )
    parser.add_argument("--only", nargs="+", choices=NAMES, metavar="NAME", help="benchmarks")
    parser.add_argument("--quick", action="store_true", help="few rounds: about ten minutes")
    parser.add_argument("--rounds", type=positive, help="turns of each case that count")
    parser.add_argument("--style", **STYLE | {"default": "comic"})
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    options = parser.parse_args(arguments)
    from benchmarks.report import report

    names = [name for name in NAMES if not options.only or name in options.only]
    report(make_benchmarks(names, options.quick, options.style), options.rounds, options.json)


if __name__ == "__main__":
    main()
