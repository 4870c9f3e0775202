"""Writes the set that ToonGAN learns from: heads as small images, and a table of all that varies.

    python -m training.prepare.heads.training_set HEADS OUT --size 128

HEADS is a folder that `training.prepare.heads` wrote. Of every head the command writes the image
and its mirror image, and a row of `OUT/attributes.csv`:

- columns of words (`CLASSES`) and of measures (`NUMBERS`), as the heads have them;
- `shape_00`, `shape_01`, ...: where the parts of the face lie, as far as those do not tell it. They
  are principal components of the landmarks after a linear regression on the other columns, so a
  shape can be drawn independently of the rest. There are none unless `--shapes` asks for them;
- `code_00`, `code_01`, ...: what all those do not tell, light, colors of cloth and background above
  all: the same of small copies of the images and of the mean colors of parts.

Every number is brought to a normal distribution by its rank, which is what ToonGAN draws.
"""

import argparse
import csv
import io
import json
import statistics
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from training.core import records
from training.prepare.heads.landmarks import NAMES, mirror_name
from training.prepare.heads.table import PARTS, HeadSet

CLASSES = (
    *("age", "gender", "skin_tone", "eye_color", "hair_color", "hair_kind", "hair_style"),
    *("fringe", "brows", "beard", "glasses", "headwear", "clothes", "pattern", "expression"),
    *("freckles", "earrings", "lipstick", "lashes", "light", "background"),
)
NUMBERS = ("weight", "eye_size", "yaw", "pitch", "roll", "tilt")
TURNED = ("yaw", "roll", "tilt")  # change their sign in a mirror
THUMBNAIL = 24
# Weight of a part's mean color beside a pixel of the thumbnail.
PART_WEIGHT = 4.0
COLORED = ("skin", "hair", "glasses", "headwear", "clothes")
RIDGE = 3.0  # rows' worth of zero in the regression


@dataclass(frozen=True)
class Row:
    """An image of the set: file, words, measures, and what shapes and codes are computed from."""

    file: str
    seed: int
    words: list[str]
    measures: list[float]
    points: np.ndarray
    appearance: np.ndarray


def appearance(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """A thumbnail, and the mean color of every part and of both halves of the skin, in CIELAB.

    Args:
        image: uint8 (H, W, 3), RGB.
        mask: uint8 (H, W), indices of PARTS.

    Returns:
        float32 vector; 0 for a part that is not there.
    """
    small = cv2.resize(image, (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA)
    lab = cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    found = [cv2.cvtColor(small.astype(np.float32) / 255, cv2.COLOR_RGB2LAB).ravel()]
    half = np.arange(image.shape[1])[None] < image.shape[1] // 2
    areas = [mask == PARTS.index(part) for part in COLORED]
    skin = areas[0]
    for area in (*areas[1:], skin & half, skin & ~half):
        color = lab[area].mean(0) if area.any() else np.zeros(3)
        found.append(PART_WEIGHT * color)
    return np.concatenate(found).astype(np.float32)


def normal_scores(values: np.ndarray) -> np.ndarray:
    """(n, k) -> normal quantiles of the ranks in each column; equal values have equal scores."""
    quantile = statistics.NormalDist().inv_cdf
    scores = np.empty(values.shape)
    for column in range(values.shape[1]):
        _, place, counts = np.unique(values[:, column], return_inverse=True, return_counts=True)
        middle = np.cumsum(counts) - counts / 2
        scores[:, column] = np.array([quantile(m / len(values)) for m in middle])[place]
    return scores


def describe_known(rows: list[Row]) -> np.ndarray:
    """(n, columns): 1 for each word that a row has, its measures and their squares."""
    parts = []
    for words in zip(*(row.words for row in rows), strict=True):
        parts.append(np.array([[word == w for w in sorted(set(words))] for word in words], float))
    measures = np.array([row.measures for row in rows])
    return np.hstack([*parts, measures, measures**2])


def compute_codes(seen: np.ndarray, known: np.ndarray, count: int) -> np.ndarray:
    """(n, count) principal components of what `known` does not explain.

    Args:
        seen: (n, values).
        known: (n, columns).
        count: number of components; fewer if there are fewer rows or values.
    """
    known = known / np.maximum(known.std(0), 1e-6)
    known = np.hstack([np.ones((len(known), 1)), known])
    seen = seen - seen.mean(0)
    gram = known.T @ known + RIDGE * np.eye(known.shape[1])
    rest = seen - known @ np.linalg.solve(gram, known.T @ seen)
    rest -= rest.mean(0)
    left, sizes, _ = np.linalg.svd(rest, full_matrices=False)
    return (left * sizes)[:, :count]


def read_points(record: dict, mirrored: bool) -> np.ndarray:
    """(148,) x and y of the landmarks as shares of the image's side."""
    points = {name: np.array(row[:2]) / record["size"] for name, row in record["landmarks"].items()}
    if mirrored:
        points = {name: (1, 0) + points[mirror_name(name)] * (-1, 1) for name in points}
    return np.concatenate([points[name] for name in NAMES])


def read_rows(heads: HeadSet, seeds: list[int], out: Path, size: int) -> list[Row]:
    """Writes the images of the seeds and their mirror images; a row for each."""
    rows = []
    for seed in seeds:
        record = heads.record(seed)
        if record is None:
            continue
        named = record["attributes"]
        with (
            Image.open(heads.path("images", seed)) as image,
            Image.open(heads.path("masks", seed)) as mask,
        ):
            small = image.convert("RGB").resize((size, size), Image.Resampling.LANCZOS)
            index = np.asarray(mask.resize((size, size), Image.Resampling.NEAREST))
        words = [named[name] for name in CLASSES]
        folder = Path("images") / f"{seed // 1000:03d}"
        (out / folder).mkdir(parents=True, exist_ok=True)
        for mirrored in (False, True):
            turn = -1 if mirrored else 1
            file = folder / f"{seed:06d}{'m' if mirrored else ''}.png"
            pixels, parts = np.asarray(small)[:, ::turn], index[:, ::turn]
            Image.fromarray(np.ascontiguousarray(pixels)).save(out / file)
            measures = [float(named[n]) * (turn if n in TURNED else 1) for n in NUMBERS]
            seen = appearance(np.ascontiguousarray(pixels), parts)
            points = read_points(record, mirrored)
            rows.append(Row(file.as_posix(), seed, words, measures, points, seen))
    return rows


def write_set(
    heads: HeadSet,
    seeds: list[int],
    out: Path,
    size: int = 128,
    shapes: int = 0,
    codes: int = 40,
) -> int:
    """Writes images and table; how many images.

    Args:
        heads: the set of heads.
        seeds: of the heads to take; those that are missing are left out.
        out: folder of the new set.
        size: side in px.
        shapes: number of shapes, at most as many as images; default 0.
        codes: number of codes, at most as many as images; default 40.

    Raises:
        ValueError: none of the seeds has a head.
    """
    rows = read_rows(heads, seeds, out, size)
    if not rows:
        raise ValueError(f"{heads.folder}: no head of the seeds {seeds[0]} to {seeds[-1]}")
    known = describe_known(rows)
    shape = compute_codes(np.stack([row.points for row in rows]), known, shapes)
    seen = np.stack([row.appearance for row in rows]).astype(np.float64)
    code = compute_codes(seen, np.hstack([known, shape]), codes)
    measures = np.array([row.measures for row in rows])
    scores = normal_scores(np.hstack([measures, shape, code]))
    names = [*NUMBERS, *column_names("shape", shape), *column_names("code", code)]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("file", "style", "seed", *CLASSES, *names))
    for row, numbers in zip(rows, scores, strict=True):
        cells = (row.file, "heads", row.seed, *row.words, *(f"{v:.4f}" for v in numbers))
        writer.writerow(cells)
    records.write_text(text.getvalue(), out / "attributes.csv")
    made_by = {"heads": len(rows) // 2, "seeds": [seeds[0], seeds[-1]], "size": size}
    records.write_text(json.dumps(made_by, indent=1) + "\n", out / "data.json")
    return len(rows)


def column_names(name: str, columns: np.ndarray) -> list[str]:
    return [f"{name}_{index:02d}" for index in range(columns.shape[1])]


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("heads", type=Path, help="folder of a set of heads")
    parser.add_argument("out", type=Path, help="folder of the new set")
    parser.add_argument("--size", type=int, default=128, help="side in px (default: 128)")
    parser.add_argument("--shapes", type=int, default=0, help="number of shapes (default: 0)")
    parser.add_argument("--codes", type=int, default=40, help="number of codes (default: 40)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the first head (default: 0)")
    parser.add_argument("--count", type=int, default=1500, help="number of seeds (default: 1500)")
    options = parser.parse_args(arguments)
    seeds = list(range(options.seed, options.seed + options.count))
    try:
        sizes = {"size": options.size, "shapes": options.shapes, "codes": options.codes}
        images = write_set(HeadSet(options.heads), seeds, options.out, **sizes)
    except ValueError as error:
        parser.error(str(error))
    print(f"{options.out}: {images} images of {images // 2} heads")


if __name__ == "__main__":
    main()
