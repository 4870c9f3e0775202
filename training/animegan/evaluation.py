"""Measures a style on photos, through the same pipeline as the app."""

import argparse
import statistics
import time
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from toonify import images
from toonify.faces import detect
from toonify.pipelines.animegan import AnimeGANPipeline
from training.core import run_info
from training.data.images import Picture
from training.data.sources import open_pictures
from training.metrics import card, distances, feature_extractors
from training.metrics import images as image_metrics
from training.metrics.contact_sheet import sheet
from training.metrics.report import FaceMetrics, ImageSet, StyleSet

SHEET_PX = 320  # side of each cell; photo and drawing stand side by side
STYLE_PICTURES = 200  # an even sample of a style set
DROPLETS = 1e-4  # share of a toon in droplets from which it counts
GRAY = 2.0  # mean chroma of a photo below which it counts as gray


def measure(
    pipe: AnimeGANPipeline,
    pictures: list[Picture],
    target: StyleSet | None,
    *,
    faces: str = "all",
    portraits: bool = True,
    cells: list | None = None,
) -> dict:
    """Measures one style on one group of photos.

    Args:
        pipe: the style's pipeline.
        pictures: the photos, one or more.
        target: images of the style to compare with; None for no distances.
        faces: the pipeline's option `faces`.
        portraits: whether faces and distances over extractors are measured too.
        cells: list to which pairs of cells for a contact sheet are appended.

    Returns:
        The metrics, ready for JSON.
    """
    networks = target.networks if target and portraits else []
    before, after = ImageSet(networks), ImageSet(networks)
    on_faces = FaceMetrics()
    seconds, similarities, chromas, droplets = [], [], [], []
    edges: dict[str, list[float]] = {"photos": [], "drawings": []}
    pipe(pictures[0].load(), faces=faces)  # the first one compiles
    for picture in tqdm(pictures, desc=f"drawing {pipe.style.name}", unit="photo"):
        photo = picture.load()
        started = time.perf_counter()
        toon = pipe(photo, faces=faces)
        seconds.append(time.perf_counter() - started)
        before.add(photo)
        after.add(toon.image)
        similarities.append(image_metrics.ssim(photo, toon.image))
        small, drawn = before.small[-1], after.small[-1]
        edges["photos"].append(image_metrics.edge_density(small))
        edges["drawings"].append(image_metrics.edge_density(drawn))
        if (color := image_metrics.chroma(small)) >= GRAY:
            chromas.append(image_metrics.chroma(drawn) / color)
        if image_metrics.droplet_share(small, drawn) >= DROPLETS:
            droplets.append(picture.name)
        if portraits and (found := toon.faces if faces != "none" else detect(photo)):
            on_faces.add(photo, toon.image, found[0])
        if cells is not None:
            cells.append((sheet_cell(photo), sheet_cell(toon.image)))
    figures = {"photos": len(pictures)} | summarize(seconds, similarities, edges, chromas, droplets)
    if portraits:
        figures |= on_faces.figures()
    if target:
        add_style_figures(figures, target, before, after, statistics.mean(similarities))
        if portraits:
            figures |= target.distances(before, after)
    return figures


def summarize(
    seconds: list[float],
    similarities: list[float],
    edges: dict[str, list[float]],
    chromas: list[float],
    droplets: list[str],
) -> dict:
    """The figures of what was measured on each photo and its toon."""
    figures = {
        "seconds_per_photo": round(statistics.mean(seconds), 3),
        "ssim_luminance_mean": round(statistics.mean(similarities), 3),
        "edge_density": {what: round(statistics.mean(found), 4) for what, found in edges.items()},
        "droplets": {"drawings": len(droplets), "names": droplets},
    }
    if chromas:
        low, middle, high = np.percentile(chromas, [5, 50, 95]).round(3).tolist()
        figures["chroma_ratio"] = {"median": middle, "p5": low, "p95": high}
    return figures


def add_style_figures(
    figures: dict, target: StyleSet, before: ImageSet, after: ImageSet, similarity: float
) -> None:
    """Adds how close photos and toons are to a style, and the score of the checkpoint."""
    figures["edge_density"]["style"] = round(target.edge_density, 4)
    figures |= target.style_distance(before, after)
    ratio = figures["style_distance_mobilenet_v2"]["ratio"]
    figures["score"] = round(distances.checkpoint_score(ratio, similarity), 3)


def sheet_cell(picture: Image.Image) -> Image.Image:
    """A square of the image, `SHEET_PX` px wide, a third below the top, where faces mostly are."""
    side = min(picture.size)
    left, top = (picture.width - side) // 2, (picture.height - side) // 3
    square = picture.crop((left, top, left + side, top + side))
    return square.resize((SHEET_PX, SHEET_PX), Image.Resampling.LANCZOS)


def contact_sheet(cells: list[tuple[Image.Image, Image.Image]], columns: int) -> Image.Image:
    """Photos and toons side by side, `columns` pairs a row."""
    rows = [cells[i : i + columns] for i in range(0, len(cells), columns)]
    return sheet([[cell for pair in row for cell in pair] for row in rows], SHEET_PX, 2 * columns)


def comparison(by_model: dict[str, dict]) -> str:
    """A table of several styles on the same photos, with a dash for what was not measured."""

    def value(figures: dict, *path: str) -> str:
        for key in path:
            figures = figures.get(key) if isinstance(figures, dict) else None
        return "-" if figures is None else str(figures)

    columns = {
        "score": ("score",),
        "style": ("style_distance_mobilenet_v2", "ratio"),
        "SSIM": ("ssim_luminance_mean",),
        "edges": ("edge_density", "drawings"),
        "skin": ("skin_roughness", "p95"),
        "hue": ("skin_hue_shift_degrees", "all", "median"),
        "drops": ("droplets", "drawings"),
        "seconds": ("seconds_per_photo",),
    }
    wide = max(len(name) for name in by_model)
    lines = [" " * wide + "".join(f"{title:>9}" for title in columns)]
    for name, figures in by_model.items():
        cells = "".join(f"{value(figures, *path):>9}" for path in columns.values())
        lines.append(f"{name:<{wide}}{cells}")
    return "\n".join(lines)


def check(options: argparse.Namespace) -> None:
    """Raises ValueError for options that cannot be used, before any work."""
    for name in ("limit", "columns"):
        if (value := getattr(options, name)) < 1:
            raise ValueError(f"--{name} {value}: expected at least 1")
    for name in ("sheet", "scenes_sheet"):
        sheet = getattr(options, name)
        if sheet is not None and sheet.suffix.lower() not in images.SAVES:
            raise ValueError(
                f"--{name.replace('_', '-')} {sheet}: expected a name ending in"
                f" {', '.join(images.SAVES)}"
            )
    if options.scenes_sheet and not options.scenes:
        raise ValueError("--scenes-sheet requires --scenes")
    if (options.extractor or options.extractor_weights) and not options.style:
        raise ValueError("--extractor requires --style, to which distances are measured")
    if options.card:
        card.card_folder(options.model)


def evaluate(options: argparse.Namespace) -> tuple[dict, dict[Path, list]]:
    """The metrics that the options select, and the cells of each contact sheet by file."""
    check(options)
    pipe = AnimeGANPipeline.from_pretrained(options.model)
    pictures = open_pictures(options.photos, "photos", limit=options.limit)
    scenes = open_pictures(options.scenes, "scenes", limit=options.limit) if options.scenes else []
    target = None
    if options.style:
        networks = feature_extractors.open_from_options(options)
        style = open_pictures(options.style, "style images", limit=STYLE_PICTURES)
        target = StyleSet(style, networks)
    sheets = {file: [] for file in (options.sheet, options.scenes_sheet) if file}
    figures = {
        "model": pipe.style.name,
        "engine": pipe.engine.name,
        **card.model_figures(options.model),
        **({"style_pictures": len(style)} if target else {}),
        **measure(pipe, pictures, target, faces=options.faces, cells=sheets.get(options.sheet)),
    }
    if scenes:
        cells = sheets.get(options.scenes_sheet)
        figures["scenes"] = measure(
            pipe, scenes, target, faces=options.faces, portraits=False, cells=cells
        )
    if options.compare:
        figures["compared"] = {}
        for model in options.compare:
            other = AnimeGANPipeline.from_pretrained(model)
            figures["compared"][model] = measure(other, pictures, target, faces=options.faces)
    return figures, sheets


def report(options: argparse.Namespace, figures: dict) -> dict:
    """The content of metrics.json: the metrics and the command that measures them."""
    names = [
        network for network in feature_extractors.EXTRACTORS if f"_{network}" in " ".join(figures)
    ]
    measured = {key: value for key, value in figures.items() if key != "compared"}
    options_used = ("model", "photos", "style", "scenes", "faces", "limit")
    return run_info.report(
        measured, card.command("training.evaluate", options, options_used), names
    )
