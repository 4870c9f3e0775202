"""Measures a style on photos: prints JSON, draws a contact sheet, fills the model card.

    python -m training.evaluate --model NAME_OR_FOLDER --photos DIR [--style DIR] [--sheet FILE]

It draws through the same pipeline as the app, so the figures are of what users get. What each
figure means is said in `training.metrics.distances` and `training.metrics.feature_extractors`.
"""

import argparse
import json
import statistics
import sys
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
from training.metrics.report import Faces, Looks, Target

SHEET_PX = 320  # side of each cell; photo and drawing stand side by side
STYLE_PICTURES = 200  # of a style set, evenly spread
DROPLETS = 1e-4  # share of a drawing in stuck blobs from which it counts
GREY = 2.0  # mean chroma of a photo below which there is no colour to keep


def measure(
    pipe: AnimeGANPipeline,
    pictures: list[Picture],
    target: Target | None,
    *,
    faces: str = "all",
    portraits: bool = True,
    cells: list | None = None,
) -> dict:
    """The figures of one style on one group of photos.

    `faces` is the pipeline's option. `portraits` adds what is measured on faces, and the distances
    through extractors. Pairs of cells for a contact sheet are appended to `cells`.
    """
    networks = target.networks if target and portraits else []
    before, after = Looks(networks), Looks(networks)
    on_faces = Faces()
    seconds, alike, chromas, droplets = [], [], [], []
    edges: dict[str, list[float]] = {"photos": [], "drawings": []}
    pipe(pictures[0].load(), faces=faces)  # the first one compiles
    for picture in tqdm(pictures, desc=f"drawing {pipe.style.name}", unit="photo"):
        photo = picture.load()
        started = time.perf_counter()
        toon = pipe(photo, faces=faces)
        seconds.append(time.perf_counter() - started)
        drawing = toon.image
        before.add(photo)
        after.add(drawing)
        alike.append(image_metrics.ssim(photo, drawing))
        small, drawn = before.small[-1], after.small[-1]
        edges["photos"].append(image_metrics.edge_density(small))
        edges["drawings"].append(image_metrics.edge_density(drawn))
        if (colour := image_metrics.chroma(small)) >= GREY:
            chromas.append(image_metrics.chroma(drawn) / colour)
        if image_metrics.stuck_share(small, drawn) >= DROPLETS:
            droplets.append(picture.name)
        if portraits and (found := toon.faces if faces != "none" else detect(photo)):
            on_faces.add(photo, drawing, found[0])
        if cells is not None:
            cells.append((sheet_cell(photo), sheet_cell(drawing)))
    figures = {
        "photos": len(pictures),
        "seconds_per_photo": round(statistics.mean(seconds), 3),
        "ssim_luminance_mean": round(statistics.mean(alike), 3),
        "edge_density": {what: round(statistics.mean(found), 4) for what, found in edges.items()},
        "droplets": {"drawings": len(droplets), "names": droplets},
    }
    if chromas:
        low, middle, high = np.percentile(chromas, [5, 50, 95]).round(3).tolist()
        figures["chroma_ratio"] = {"median": middle, "p5": low, "p95": high}
    if portraits:
        figures |= on_faces.figures()
    if target:
        figures["edge_density"]["style"] = round(target.edge_density, 4)
        figures |= target.strokes(before, after)
        ratio = figures["style_distance_mobilenet_v2"]["ratio"]
        figures["score"] = round(distances.checkpoint_score(ratio, statistics.mean(alike)), 3)
        if portraits:
            figures |= target.distances(before, after)
    return figures


# What is shown ----------------------------------------------------------------------------------


def sheet_cell(picture: Image.Image) -> Image.Image:
    """The square a third below the top, `SHEET_PX` px each way: faces are mostly there."""
    side = min(picture.size)
    left, top = (picture.width - side) // 2, (picture.height - side) // 3
    square = picture.crop((left, top, left + side, top + side))
    return square.resize((SHEET_PX, SHEET_PX), Image.Resampling.LANCZOS)


def contact_sheet(cells: list[tuple[Image.Image, Image.Image]], columns: int) -> Image.Image:
    """Photo and drawing side by side, `columns` pairs a row."""
    rows = [cells[i : i + columns] for i in range(0, len(cells), columns)]
    return sheet([[cell for pair in row for cell in pair] for row in rows], SHEET_PX, 2 * columns)


def comparison(by_model: dict[str, dict]) -> str:
    """A table of several styles on the same photos; a dash where a figure was not measured."""

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


# The command ------------------------------------------------------------------------------------


def parse(arguments: list[str]) -> tuple[argparse.ArgumentParser, argparse.Namespace]:
    parser = argparse.ArgumentParser(
        prog="python -m training.evaluate", description=__doc__.split("\n")[0]
    )
    source = "folder, .zip or .tar archive, or Hub data set owner/name"
    parser.add_argument("--model", required=True, help="style name, folder or Hub repository")
    parser.add_argument("--photos", required=True, help=f"photos to draw: {source}")
    parser.add_argument("--style", help=f"style pictures to compare with: {source}")
    parser.add_argument("--scenes", help=f"photos without people, measured apart: {source}")
    parser.add_argument("--faces", default="all", choices=["all", "largest", "none"])
    parser.add_argument(
        "--limit", type=int, default=60, help="photos of each group that are measured (default 60)"
    )
    feature_extractors.add_options(parser)
    parser.add_argument("--sheet", type=Path, help="contact sheet to write, .jpg or .png")
    parser.add_argument("--scenes-sheet", type=Path, help="contact sheet of the scenes")
    parser.add_argument("--columns", type=int, default=4, help="pairs a row of a sheet")
    parser.add_argument(
        "--compare",
        action="append",
        default=[],
        metavar="MODEL",
        help="another style on the same photos, to choose by; may be given several times",
    )
    parser.add_argument(
        "--card",
        action="store_true",
        help="write the figures into the style's folder: metrics.json and its README.md",
    )
    return parser, parser.parse_args(arguments)


def check(options: argparse.Namespace) -> None:
    """Refuses what could not be done in the end, before any work."""
    for name in ("limit", "columns"):
        if (value := getattr(options, name)) < 1:
            raise ValueError(f"--{name} {value}: expected at least 1")
    for name in ("sheet", "scenes_sheet"):
        sheet = getattr(options, name)
        if sheet is not None and sheet.suffix.lower() not in images.SAVES:
            raise ValueError(
                f"--{name.replace('_', '-')} {sheet}: expected a name that ends in"
                f" {', '.join(images.SAVES)}"
            )
    if options.scenes_sheet and not options.scenes:
        raise ValueError("--scenes-sheet: expected --scenes DIR with it")
    if (options.extractor or options.extractor_weights) and not options.style:
        raise ValueError("--extractor: expected --style DIR with it, to measure the distance to")
    if options.card:
        card.card_folder(options.model)


def evaluate(options: argparse.Namespace) -> tuple[dict, dict[Path, list]]:
    """All figures that the options ask for, and the cells of each contact sheet by its file."""
    check(options)
    pipe = AnimeGANPipeline.from_pretrained(options.model)
    pictures = open_pictures(options.photos, "photos", limit=options.limit)
    scenes = open_pictures(options.scenes, "scenes", limit=options.limit) if options.scenes else []
    target = None
    if options.style:
        networks = feature_extractors.open_chosen(options)
        style = open_pictures(options.style, "style pictures", limit=STYLE_PICTURES)
        target = Target(style, networks)
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
    """What goes into metrics.json: the figures and how to get them again."""
    names = [
        network for network in feature_extractors.EXTRACTORS if f"_{network}" in " ".join(figures)
    ]
    measured = {key: value for key, value in figures.items() if key != "compared"}
    options_used = ("model", "photos", "style", "scenes", "faces", "limit")
    return run_info.report(
        measured, card.command("training.evaluate", options, options_used), names
    )


def main(arguments: list[str] | None = None) -> None:
    parser, options = parse(sys.argv[1:] if arguments is None else arguments)
    try:
        figures, sheets = evaluate(options)
        for note in figures.get("notes", []):
            print(f"note: {note}", file=sys.stderr)
        if "compared" in figures:
            print(comparison({options.model: figures, **figures["compared"]}), file=sys.stderr)
        print(json.dumps(figures, indent=2), flush=True)  # first, lest a full disk lose it all
        for file, cells in sheets.items():
            images.save(contact_sheet(cells, options.columns), file, quality=88)
        if options.card:
            card.write_card(card.card_folder(options.model), report(options, figures))
    except (ValueError, OSError) as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
