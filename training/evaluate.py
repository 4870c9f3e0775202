"""Measures a style on photos: prints JSON and draws a contact sheet.

    python -m training.evaluate --model NAME_OR_FOLDER --photos DIR [--style DIR] [--sheet FILE]

It draws through the same pipeline as the app, so the figures are of what users get.
"""

import argparse
import json
import statistics
import time
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from toonify import images
from toonify.faces import detect
from toonify.pipelines.animegan import AnimeGANPipeline
from training import metrics
from training.perceptual import MobileNetV2Features

SHEET_PX = 320  # side of each cell; photo and drawing stand side by side


def pictures_in(folder: Path, limit: int) -> list[tuple[str, Image.Image]]:
    """(name, picture) of up to `limit` readable pictures below a folder, evenly spread."""
    paths = [p for p in sorted(folder.rglob("*")) if p.suffix.lower() in images.EXTENSIONS]
    if not paths:
        raise ValueError(f"{folder}: no pictures in it")
    chosen = np.linspace(0, len(paths) - 1, min(limit, len(paths))).round().astype(int)
    return [(paths[i].stem, images.load(paths[i])) for i in chosen]


def contact_sheet(pairs: list[tuple[Image.Image, Image.Image]], columns: int) -> Image.Image:
    """Photo and drawing side by side, `columns` pairs a row; centre squares, `SHEET_PX` px each."""
    rows = -(-len(pairs) // columns)
    sheet = Image.new("RGB", (columns * 2 * SHEET_PX, rows * SHEET_PX), "white")
    for index, pair in enumerate(pairs):
        for half, picture in enumerate(pair):
            side = min(picture.size)
            left, top = (picture.width - side) // 2, (picture.height - side) // 3
            cell = picture.crop((left, top, left + side, top + side))
            x = (2 * (index % columns) + half) * SHEET_PX
            y = index // columns * SHEET_PX
            sheet.paste(cell.resize((SHEET_PX, SHEET_PX), Image.Resampling.LANCZOS), (x, y))
    return sheet


def face_figures(photos: list[Image.Image], drawings: list[Image.Image]) -> dict:
    """Hue shift of cheek skin (degrees, by skin tone) and shift of the five points.

    Points are compared in inter-ocular distances of the photo's largest face.
    """
    hues: dict[str, list[float]] = {"all": [], "light": [], "medium": [], "dark": []}
    shifts, found, lost = [], 0, 0
    for photo, drawing in zip(photos, drawings, strict=True):
        faces = detect(photo)
        if not faces:
            continue
        found += 1
        before = metrics.cheek_colour(photo, faces[0])
        shift = metrics.hue_shift(before, metrics.cheek_colour(drawing, faces[0]))
        hues["all"].append(shift)
        hues[metrics.skin_tone(before)].append(shift)
        again = detect(drawing)
        if not again:
            lost += 1
            continue
        unit = np.linalg.norm(faces[0].points[1] - faces[0].points[0])
        steps = [np.linalg.norm(face.points - faces[0].points, axis=1).mean() for face in again]
        shifts.append(float(min(steps) / unit))
    return {
        "faces_in_photos": found,
        "faces_lost_in_drawings": lost,
        "landmark_shift_eye_distances_median": round(statistics.median(shifts), 3)
        if shifts
        else None,
        "skin_hue_shift_degrees": {
            tone: {
                "faces": len(values),
                "median": round(float(np.median(values)), 1),
                "p95": round(float(np.percentile(values, 95)), 1),
            }
            for tone, values in hues.items()
            if values
        },
    }


def style_figures(photos, drawings, style: list[Image.Image]) -> dict:
    """Kernel distance to the style of the photos and of the drawings, and their ratio."""
    features = MobileNetV2Features(metrics.STAGES)
    target = metrics.style_statistics(style, features)
    before = metrics.kernel_distance(metrics.style_statistics(photos, features), target)
    after = metrics.kernel_distance(metrics.style_statistics(drawings, features), target)
    return {
        "style_distance_mobilenet_v2": {
            "photos": round(before, 4),
            "drawings": round(after, 4),
            "ratio": round(after / before, 3),
        }
    }


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", required=True, help="style name, folder or Hub repository")
    parser.add_argument("--photos", type=Path, required=True, help="folder of photos")
    parser.add_argument("--style", type=Path, help="folder of style pictures to compare with")
    parser.add_argument("--faces", default="all", choices=["all", "largest", "none"])
    parser.add_argument("--limit", type=int, default=60, help="photos measured (default 60)")
    parser.add_argument("--sheet", type=Path, help="contact sheet to write, .jpg or .png")
    parser.add_argument("--columns", type=int, default=4, help="pairs a row of the sheet")
    options = parser.parse_args(arguments)
    try:
        pipe = AnimeGANPipeline.from_pretrained(options.model)
        photos = [photo for _, photo in pictures_in(options.photos, options.limit)]
        pipe(photos[0], faces=options.faces)  # the first one compiles
        drawings, started = [], time.perf_counter()
        for photo in tqdm(photos, desc="drawing", unit="photo"):
            drawings.append(pipe(photo, faces=options.faces).image)
        seconds = (time.perf_counter() - started) / len(photos)
        figures = {
            "model": options.model,
            "photos": len(photos),
            "seconds_per_photo": round(seconds, 3),
            "ssim_luminance_mean": round(
                statistics.mean(metrics.ssim(*p) for p in zip(photos, drawings, strict=True)), 3
            ),
            **face_figures(photos, drawings),
        }
        if options.style:
            style = [picture for _, picture in pictures_in(options.style, 200)]
            figures |= style_figures(photos, drawings, style)
        if options.sheet:
            pairs = list(zip(photos, drawings, strict=True))
            images.save(contact_sheet(pairs, options.columns), options.sheet, quality=88)
    except ValueError as error:
        parser.error(str(error))
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
