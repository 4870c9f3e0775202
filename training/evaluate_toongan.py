"""Measures generators of cartoon faces on one data set: prints a table and JSON, draws sheets.

    python -m training.evaluate_toongan MODEL [MODEL ...] --data DATA [--sheets FOLDER] [--card]

Every MODEL, a ToonGAN or a public Toon-Generator, draws `--samples` faces of consecutive seeds with
truncation 1.0, through the same pipeline as the app. They are compared with as many pictures of
DATA, chosen by chance, and so are as many other pictures of DATA: what real pictures get is the
floor. So DATA needs twice as many pictures as there are samples; of fewer, one half is compared
with the other and with as many samples, and a note says so. What the figures mean is said in
`training.metrics.distances` and `training.metrics.precision_recall`; each carries its extractor's
name. Ratios are the first model's distances over those of the others.

With `--sheets` the faces of 64 seeds are drawn (`NAME_samples.jpg`) and those of 32 beside their
three nearest pictures of all DATA by features and by pixels (`NAME_neighbours.jpg`): give the data
that the model was trained on. Pictures are never in memory all at once, but what an extractor says
of them is: 8 bytes a value, 100 MB for 10,000 pictures and 1,280 values.
"""

import argparse
import json
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from toonify import images
from toonify.hub.cards.figures import cells
from toonify.pipelines.toongan import ToonGANPipeline
from training.core import run_info
from training.core.trainer import pick_device
from training.data.images import Picture, square
from training.data.sources import open_pictures
from training.metrics import card, feature_extractors, precision_recall
from training.metrics.contact_sheet import sheet
from training.metrics.feature_extractors import Extractor
from training.metrics.report import set_distances, significant

SAMPLES, COLUMNS = 64, 8  # of the sheet of samples
NEIGHBOURS = 32  # samples whose nearest pictures are looked for
NEAR_PX = 64  # side of the squares that are compared by pixels
CHUNK = 16  # pictures that are in memory at once
FEWEST = precision_recall.K + 1  # samples that can be measured


# Looking at pictures ----------------------------------------------------------------------------


class Looked:
    """A set of pictures as the extractors see it: name -> rows (n, dimensions)."""

    def __init__(self, networks: list[Extractor]):
        self.networks = networks
        self.parts: dict[str, list[np.ndarray]] = {network.name: [] for network in networks}

    def add(self, pictures: list[Image.Image]) -> None:
        for network in self.networks:
            squares = [feature_extractors.square(picture, network.side) for picture in pictures]
            self.parts[network.name].append(feature_extractors.look(network, squares))

    def rows(self, name: str, first: int = 0, end: int | None = None) -> np.ndarray:
        """Rows `first` to before `end` of an extractor."""
        return np.concatenate(self.parts[name])[first:end]


def small(pictures: list[Image.Image]) -> np.ndarray:
    """Rows (n, 3 NEAR_PX^2) in [0, 1] of what pictures look like, pixel by pixel."""
    return np.stack(
        [np.asarray(square(picture, NEAR_PX), np.float64).ravel() / 255 for picture in pictures]
    )


class Drawn:
    """What is kept of a model's samples: their rows, and the pictures of the first few."""

    def __init__(self, label: str, pipe: ToonGANPipeline, seed: int, count: int, networks):
        self.engine = pipe.engine.name
        self.looked, self.first = Looked(networks), []
        with tqdm(desc=f"drawing {label}", total=count, unit="face") as bar:
            for start in range(0, count, CHUNK):
                chunk = pipe(min(CHUNK, count - start), seed + start)
                self.looked.add(chunk)
                self.first += chunk[: SAMPLES - len(self.first)]
                bar.update(len(chunk))
        some = self.first[:NEIGHBOURS]
        by_features = precision_recall.Nearest(self.looked.rows(networks[0].name)[: len(some)])
        self.nearest = (by_features, precision_recall.Nearest(small(some)))


def look_at_data(
    pictures: list[Picture], side: int, networks: list[Extractor], drawn: Iterable[Drawn]
) -> Looked:
    """Looks once at each picture, `side` px wide, and for the neighbours of what was drawn."""
    looked = Looked(networks)
    with tqdm(desc="looking at the data", total=len(pictures), unit="picture") as bar:
        for start in range(0, len(pictures), CHUNK):
            chunk = [square(picture.load(), side) for picture in pictures[start : start + CHUNK]]
            looked.add(chunk)
            bar.update(len(chunk))
            for one in drawn:
                by_features, by_pixels = one.nearest
                by_features.add(looked.parts[networks[0].name][-1])
                by_pixels.add(small(chunk))
    return looked


# Figures ----------------------------------------------------------------------------------------


def compare(real: Looked, drawn: Looked, count: int, first: int = 0) -> dict[str, float]:
    """Figures, named after their extractors, of `count` drawn pictures from `first` on."""
    figures = {}
    for network in real.networks:
        ours = drawn.rows(network.name, first, first + count)
        theirs = real.rows(network.name, 0, count)
        frechet, kernel = (f"{prefix}_{network.name}" for prefix in network.prefixes)
        names = frechet, kernel, f"{kernel}_standard_error"
        figures |= dict(zip(names, set_distances(ours, theirs), strict=True))
        for name, value in precision_recall.compare(theirs, ours).items():
            figures[f"{name}_{network.name}"] = significant(value)
    return figures


def ratios(figures: dict[str, dict]) -> dict[str, dict[str, float]]:
    """The first model's distances over those of each other, where those are above zero."""
    (_, ours), *others = figures.items()
    distances = [key for key in ours if key.partition("_")[0] in ("fd", "kd", "fid", "kid")]
    distances = [key for key in distances if not key.endswith("_standard_error")]
    return {
        other: {key: significant(ours[key] / theirs[key]) for key in distances if theirs[key] > 0}
        for other, theirs in others
    }


def evaluate(options: argparse.Namespace) -> tuple[dict, dict[str, Image.Image]]:
    """All figures that the options ask for, and the sheets by their file's name."""
    check(options)
    device = pick_device()
    networks = [
        network.to(device, memory_format=torch.channels_last)
        for network in feature_extractors.open_chosen(options)
    ]
    models = open_models(options.model)
    side = next(iter(models.values())).resolution
    found = open_pictures(options.data, "pictures", smallest=min(64, side))
    count = min(options.samples, len(found) // 2)
    if count < FEWEST:
        raise ValueError(
            f"--data {options.data}: {len(found)} pictures; expected {2 * FEWEST} or more"
        )
    # By chance: every other picture of a set may be of another style.
    order = np.random.default_rng(options.seed).permutation(len(found))
    pictures = [found[at] for at in (order if options.sheets else order[: 2 * count])]
    drawn = {}
    for label in list(models):  # a large network is let go of when it has drawn
        drawn[label] = Drawn(label, models.pop(label), options.seed, count, networks)
    watched = drawn.values() if options.sheets else ()
    real = look_at_data(pictures, side, networks, watched)
    figures = {
        label: {
            "engine": one.engine,
            **card.model_figures(source),
            **compare(real, one.looked, count),
        }
        for (label, one), source in zip(drawn.items(), options.model, strict=True)
    }
    report = {
        "samples": count,
        "seed": options.seed,
        "pictures": len(found),
        "models": figures,
        "floor": compare(real, real, count, first=count),
        **({"ratios": ratios(figures)} if len(figures) > 1 else {}),
        "notes": notes(options, count, len(found), networks),
    }
    sheets = {}
    for label, one in drawn.items() if options.sheets else ():
        rows = [one.first[i : i + COLUMNS] for i in range(0, len(one.first), COLUMNS)]
        sheets[f"{label}_samples.jpg"] = sheet(rows, side)
        sheets[f"{label}_neighbours.jpg"] = neighbours(one, pictures, side)
    return report, sheets


def notes(options: argparse.Namespace, count: int, found: int, networks) -> list[str]:
    """What a reader of the figures should know."""
    said = [
        f"All figures are over {count:,} samples and {count:,} pictures, and the floor over as many"
        f" other pictures; Frechet distances of other counts are not to be compared with these."
    ]
    if count < options.samples:
        said.append(
            f"--samples {options.samples}: --data has {found:,} pictures, expected"
            f" {2 * options.samples:,}."
        )
    few = [network.name for network in networks if count <= network.dimensions]
    if few:
        said.append(
            f"{count:,} samples are fewer than the values of {', '.join(few)}: the Frechet distance"
            " is mostly its bias."
        )
    return said


def neighbours(drawn: Drawn, pictures: list[Picture], side: int) -> Image.Image:
    """Two samples a row: each, its nearest by features, a gap, and its nearest by pixels."""
    gap = Image.new("RGB", (side, side), "white")

    def near(places: np.ndarray) -> list[Image.Image]:
        return [square(pictures[at].load(), side) for at in places if at >= 0]

    by_features, by_pixels = (nearest.places for nearest in drawn.nearest)
    strips = [
        [face, *near(by_features[at]), gap, *near(by_pixels[at]), gap]
        for at, face in enumerate(drawn.first[:NEIGHBOURS])
    ]
    pairs = [strips[i : i + 2] for i in range(0, len(strips), 2)]
    return sheet([[picture for strip in pair for picture in strip] for pair in pairs], side)


# What is shown ----------------------------------------------------------------------------------


def as_text(report: dict) -> str:
    """A table of all models, and the ratios."""
    titles, rows = cells(report)
    wide = max(map(len, rows))
    columns = [max(10, len(title) + 2) for title in titles]

    def line(name: str, values: list[str]) -> str:
        padded = (f"{value:>{width}}" for value, width in zip(values, columns, strict=True))
        return f"{name:<{wide}}{''.join(padded)}"

    lines = [line("", titles), *(line(name, values) for name, values in rows.items())]
    name = next(iter(report["models"]))
    for other, found in report.get("ratios", {}).items():
        said = ", ".join(f"{key} {value:.3g}" for key, value in found.items())
        lines.append(f"{name} over {other}: {said}")
    return "\n".join(lines)


# The command ------------------------------------------------------------------------------------


def open_models(sources: list[str]) -> dict[str, ToonGANPipeline]:
    """Label -> pipeline, all of one size; ValueError that names the one that does not fit."""
    models: dict[str, ToonGANPipeline] = {}
    for source in sources:
        path = Path(source)
        named = path.parent if path.name in ("model", "best") and path.parent.name else path
        label = named.resolve().name
        if label in models:
            raise ValueError(f"MODEL {source}: another one is called {label} too; rename a folder")
        models[label] = ToonGANPipeline.from_pretrained(source)
        side = next(iter(models.values())).resolution
        if models[label].resolution != side:
            raise ValueError(
                f"MODEL {source}: draws {models[label].resolution} px; expected {side} like the"
                " first"
            )
    return models


def check(options: argparse.Namespace) -> None:
    """Refuses what could not be done in the end, before any work."""
    if options.samples < FEWEST:
        raise ValueError(f"--samples {options.samples}: expected at least {FEWEST}")
    if options.seed < 0:
        raise ValueError(f"--seed {options.seed}: expected 0 or more")
    if options.card:
        card.card_folder(options.model[0])


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m training.evaluate_toongan", description=__doc__.split("\n")[0]
    )
    parser.add_argument("model", nargs="+", metavar="MODEL", help="folder or name of a generator")
    parser.add_argument("--data", required=True, help="folder, .zip or .tar archive of pictures")
    parser.add_argument("--samples", type=int, default=10_000, help="of each model (default 10000)")
    parser.add_argument(
        "--seed", type=int, default=0, help="of the first face, and of the choice of pictures"
    )
    feature_extractors.add_options(parser)
    parser.add_argument("--sheets", type=Path, metavar="FOLDER", help="draw the sheets there")
    parser.add_argument(
        "--card",
        action="store_true",
        help="write the figures into the first model's folder: metrics.json and its README.md",
    )
    options = parser.parse_args(arguments)
    try:
        figures, sheets = evaluate(options)
        for note in figures["notes"]:
            print(f"note: {note}", file=sys.stderr)
        print(as_text(figures), file=sys.stderr)
        print(json.dumps(figures, indent=2), flush=True)  # first, lest a full disk lose it all
        for name, page in sheets.items():
            images.save(page, options.sheets / name, quality=90)
        if options.card:
            names = list(dict.fromkeys(options.extractor or [feature_extractors.BUNDLED]))
            options_used = ("data", "samples", "seed")
            command = card.command(
                "training.evaluate_toongan", options, options_used, options.model
            )
            report = run_info.report(figures, command, names)
            card.write_card(card.card_folder(options.model[0]), report)
    except (ValueError, OSError) as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
