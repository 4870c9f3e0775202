"""Measures generators of cartoon faces on one data set."""

import argparse
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from toonify.hub.cards.figures import format_cells
from toonify.pipelines.toongan import ToonGANPipeline
from training.core import run_info
from training.core.device import pick_device
from training.data.images import Picture, square
from training.data.sources import open_pictures
from training.metrics import card, feature_extractors, precision_recall
from training.metrics.contact_sheet import sheet
from training.metrics.feature_extractors import Extractor
from training.metrics.report import set_distances, significant

SHEET_SAMPLES, COLUMNS = 64, 8  # on the sheet of samples
NEIGHBORS = 32  # samples whose nearest images are shown
NEAR_PX = 64  # side of the squares that are compared by pixels
CHUNK = 16  # images that are in memory at once
MIN_SAMPLES = precision_recall.K + 1  # samples that can be measured


class FeatureSet:
    """The features of a set of images: extractor's name -> rows (n, dimensions)."""

    def __init__(self, networks: list[Extractor]):
        self.networks = networks
        self.parts: dict[str, list[np.ndarray]] = {network.name: [] for network in networks}

    def add(self, pictures: list[Image.Image]) -> None:
        for network in self.networks:
            squares = [
                feature_extractors.center_square(picture, network.side) for picture in pictures
            ]
            self.parts[network.name].append(feature_extractors.extract(network, squares))

    def rows(self, name: str, first: int = 0, end: int | None = None) -> np.ndarray:
        """Rows `first` to `end` (exclusive) of an extractor."""
        return np.concatenate(self.parts[name])[first:end]


def pixel_rows(pictures: list[Image.Image]) -> np.ndarray:
    """Rows (n, 3 NEAR_PX^2) in [0, 1] of the pixels of small copies."""
    return np.stack(
        [np.asarray(square(picture, NEAR_PX), np.float64).ravel() / 255 for picture in pictures]
    )


class Samples:
    """A model's samples, of which the features and the first few images are kept."""

    def __init__(self, label: str, pipe: ToonGANPipeline, seed: int, count: int, networks):
        self.engine = pipe.engine.name
        self.features, self.first = FeatureSet(networks), []
        with tqdm(desc=f"drawing {label}", total=count, unit="face") as bar:
            for start in range(0, count, CHUNK):
                chunk = pipe(min(CHUNK, count - start), seed + start)
                self.features.add(chunk)
                self.first += chunk[: SHEET_SAMPLES - len(self.first)]
                bar.update(len(chunk))
        some = self.first[:NEIGHBORS]
        by_features = precision_recall.Nearest(self.features.rows(networks[0].name)[: len(some)])
        self.nearest = (by_features, precision_recall.Nearest(pixel_rows(some)))


def extract_data(
    pictures: list[Picture], side: int, networks: list[Extractor], models: Iterable[Samples]
) -> FeatureSet:
    """Extracts the features of each image, `side` px wide, and finds neighbors of samples."""
    features = FeatureSet(networks)
    with tqdm(desc="measuring the data", total=len(pictures), unit="picture") as bar:
        for start in range(0, len(pictures), CHUNK):
            chunk = [square(picture.load(), side) for picture in pictures[start : start + CHUNK]]
            features.add(chunk)
            bar.update(len(chunk))
            for samples in models:
                by_features, by_pixels = samples.nearest
                by_features.add(features.parts[networks[0].name][-1])
                by_pixels.add(pixel_rows(chunk))
    return features


def compare(
    real: FeatureSet, generated: FeatureSet, count: int, first: int = 0
) -> dict[str, float]:
    """Metrics of `count` generated images from `first` on, named after their extractors."""
    figures = {}
    for network in real.networks:
        ours = generated.rows(network.name, first, first + count)
        theirs = real.rows(network.name, 0, count)
        frechet, kernel = (f"{prefix}_{network.name}" for prefix in network.prefixes)
        names = frechet, kernel, f"{kernel}_standard_error"
        figures |= dict(zip(names, set_distances(ours, theirs), strict=True))
        for name, value in precision_recall.compare(theirs, ours).items():
            figures[f"{name}_{network.name}"] = significant(value)
    return figures


def ratios(figures: dict[str, dict]) -> dict[str, dict[str, float]]:
    """The first model's distances divided by those of each other one, if those are positive."""
    (_, ours), *others = figures.items()
    distances = [key for key in ours if key.partition("_")[0] in ("fd", "kd", "fid", "kid")]
    distances = [key for key in distances if not key.endswith("_standard_error")]
    return {
        other: {key: significant(ours[key] / theirs[key]) for key in distances if theirs[key] > 0}
        for other, theirs in others
    }


def evaluate(options: argparse.Namespace) -> tuple[dict, dict[str, Image.Image]]:
    """The metrics that the options select, and the sheets by file name."""
    check(options)
    device = pick_device()
    networks = [
        network.to(device, memory_format=torch.channels_last)
        for network in feature_extractors.open_from_options(options)
    ]
    models = open_models(options.model)
    side = next(iter(models.values())).resolution
    found = open_pictures(options.data, "pictures", smallest=min(64, side))
    count = min(options.samples, len(found) // 2)
    if count < MIN_SAMPLES:
        raise ValueError(
            f"--data {options.data}: {len(found)} images; expected {2 * MIN_SAMPLES} or more"
        )
    # Shuffled: styles may alternate in a data set.
    order = np.random.default_rng(options.seed).permutation(len(found))
    pictures = [found[at] for at in (order if options.sheets else order[: 2 * count])]
    drawn = {}
    for label in list(models):  # frees each network after it has drawn
        drawn[label] = Samples(label, models.pop(label), options.seed, count, networks)
    watched = drawn.values() if options.sheets else ()
    real = extract_data(pictures, side, networks, watched)
    figures = {
        label: {
            "engine": one.engine,
            **card.model_figures(source),
            **compare(real, one.features, count),
        }
        for (label, one), source in zip(drawn.items(), options.model, strict=True)
    }
    measured = {
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
        sheets[f"{label}_neighbors.jpg"] = draw_neighbors(one, pictures, side)
    return measured, sheets


def notes(options: argparse.Namespace, count: int, found: int, networks) -> list[str]:
    """Notes for readers of the metrics."""
    found_notes = [
        f"All metrics are over {count:,} samples and {count:,} images, the floor over as many"
        " other images. Do not compare Frechet distances of other counts with these."
    ]
    if count < options.samples:
        found_notes.append(
            f"--samples {options.samples}: --data has {found:,} images, expected"
            f" {2 * options.samples:,}."
        )
    few = [network.name for network in networks if count <= network.dimensions]
    if few:
        found_notes.append(
            f"{count:,} samples are fewer than the dimensions of {', '.join(few)}: the Frechet"
            " distance is mostly bias."
        )
    return found_notes


def draw_neighbors(samples: Samples, pictures: list[Picture], side: int) -> Image.Image:
    """Two samples a row: the sample, its nearest by features, a gap, and its nearest by pixels."""
    gap = Image.new("RGB", (side, side), "white")

    def near(indices: np.ndarray) -> list[Image.Image]:
        return [square(pictures[at].load(), side) for at in indices if at >= 0]

    by_features, by_pixels = (nearest.indices for nearest in samples.nearest)
    strips = [
        [face, *near(by_features[at]), gap, *near(by_pixels[at]), gap]
        for at, face in enumerate(samples.first[:NEIGHBORS])
    ]
    pairs = [strips[i : i + 2] for i in range(0, len(strips), 2)]
    return sheet([[picture for strip in pair for picture in strip] for pair in pairs], side)


def as_text(report: dict) -> str:
    """A table of all models, and the ratios."""
    titles, rows = format_cells(report)
    wide = max(map(len, rows))
    columns = [max(10, len(title) + 2) for title in titles]

    def line(name: str, values: list[str]) -> str:
        padded = (f"{value:>{width}}" for value, width in zip(values, columns, strict=True))
        return f"{name:<{wide}}{''.join(padded)}"

    lines = [line("", titles), *(line(name, values) for name, values in rows.items())]
    name = next(iter(report["models"]))
    for other, found in report.get("ratios", {}).items():
        ratios = ", ".join(f"{key} {value:.3g}" for key, value in found.items())
        lines.append(f"{name} over {other}: {ratios}")
    return "\n".join(lines)


def open_models(sources: list[str]) -> dict[str, ToonGANPipeline]:
    """Opens models of one size: label -> pipeline.

    Raises:
        ValueError: two models share a label, or their sizes differ.
    """
    models: dict[str, ToonGANPipeline] = {}
    for source in sources:
        path = Path(source)
        named = path.parent if path.name in ("model", "best") and path.parent.name else path
        label = named.resolve().name
        if label in models:
            raise ValueError(
                f"MODEL {source}: another model is also called {label}; rename a folder"
            )
        models[label] = ToonGANPipeline.from_pretrained(source)
        side = next(iter(models.values())).resolution
        if models[label].resolution != side:
            raise ValueError(
                f"MODEL {source}: draws {models[label].resolution} px; expected {side} like the"
                " first"
            )
    return models


def check(options: argparse.Namespace) -> None:
    """Raises ValueError for options that cannot be used, before any work."""
    if options.samples < MIN_SAMPLES:
        raise ValueError(f"--samples {options.samples}: expected at least {MIN_SAMPLES}")
    if options.seed < 0:
        raise ValueError(f"--seed {options.seed}: expected 0 or more")
    if options.card:
        card.card_folder(options.model[0])


def report(options: argparse.Namespace, figures: dict) -> dict:
    """The content of metrics.json: the figures and the command that measures them."""
    names = list(dict.fromkeys(options.extractor or [feature_extractors.BUNDLED]))
    used = ("data", "samples", "seed")
    command = card.command("training.evaluate_toongan", options, used, options.model)
    return run_info.report(figures, command, names)
