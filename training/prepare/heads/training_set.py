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
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import safetensors.numpy
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
SIDES: tuple[Literal["left"], Literal["right"]] = ("left", "right")
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


def normal_scores(values: np.ndarray, among: np.ndarray | None = None) -> np.ndarray:
    """(n, k) -> normal quantiles of the ranks in each column; equal values have equal scores.

    Args:
        values: (n, k).
        among: (m, k), the values among which ranks are counted; default: `values`.
    """
    among = np.sort(values if among is None else among, 0)
    quantile = np.vectorize(statistics.NormalDist().inv_cdf, otypes=[float])
    scores = np.empty(values.shape)
    for column in range(values.shape[1]):
        ends = [np.searchsorted(among[:, column], values[:, column], side) for side in SIDES]
        middle = np.clip(sum(ends) / 2, 0.5, len(among) - 0.5)
        scores[:, column] = quantile(middle / len(among))
    return scores


def find_words(rows: list[Row]) -> list[list[str]]:
    """The words of each column of `CLASSES`, sorted."""
    return [sorted(set(words)) for words in zip(*(row.words for row in rows), strict=True)]


def describe_known(rows: list[Row], words: list[list[str]]) -> np.ndarray:
    """(n, columns): 1 for each of `words` that a row has, its measures and their squares."""
    one_hot = [[row.words[i] == w for i, known in enumerate(words) for w in known] for row in rows]
    measures = np.array([row.measures for row in rows])
    return np.hstack([np.array(one_hot, float), measures, measures**2])


@dataclass(frozen=True)
class Components:
    """Principal components of what other columns do not explain."""

    scale: np.ndarray  # (columns,) standard deviations of what is known
    center: np.ndarray  # (values,)
    coefficients: np.ndarray  # (1 + columns, values) of the regression
    basis: np.ndarray  # (count, values)

    @classmethod
    def fit(cls, seen: np.ndarray, known: np.ndarray, count: int) -> "Components":
        """Fits them to a set.

        Args:
            seen: (n, values).
            known: (n, columns).
            count: number of components; fewer if there are fewer rows or values.
        """
        scale, center = np.maximum(known.std(0), 1e-6), seen.mean(0)
        columns = np.hstack([np.ones((len(known), 1)), known / scale])
        gram = columns.T @ columns + RIDGE * np.eye(columns.shape[1])
        coefficients = np.linalg.solve(gram, columns.T @ (seen - center))
        rest = seen - center - columns @ coefficients
        center = center + rest.mean(0)
        basis = np.linalg.svd(rest - rest.mean(0), full_matrices=False)[2][:count]
        return cls(scale, center, coefficients, basis)

    def measure(self, seen: np.ndarray, known: np.ndarray) -> np.ndarray:
        """(n, count) the components of heads that may be others."""
        columns = np.hstack([np.ones((len(known), 1)), known / self.scale])
        return (seen - self.center - columns @ self.coefficients) @ self.basis.T


@dataclass(frozen=True)
class Description:
    """How the rows of a table are described by numbers; `save` and `load` keep it with a set."""

    words: list[list[str]]
    shapes: Components
    codes: Components
    values: np.ndarray  # (n, numbers) of the heads that it was fitted to

    FILE = "codes.safetensors"

    @classmethod
    def fit(cls, rows: list[Row], shapes: int, codes: int) -> "Description":
        """Fits so many shapes and codes to a set's rows."""
        words = find_words(rows)
        known = describe_known(rows, words)
        points, seen = stack(rows)
        shape = Components.fit(points, known, shapes)
        known = np.hstack([known, shape.measure(points, known)])
        found = cls(words, shape, Components.fit(seen, known, codes), np.empty((0, 0)))
        return replace(found, values=found.measure(rows))

    def measure(self, rows: list[Row]) -> np.ndarray:
        """(n, numbers): measures, shapes and codes."""
        known = describe_known(rows, self.words)
        points, seen = stack(rows)
        shape = self.shapes.measure(points, known)
        code = self.codes.measure(seen, np.hstack([known, shape]))
        return np.hstack([np.array([row.measures for row in rows]), shape, code])

    def save(self, folder: Path) -> None:
        """Writes `FILE` into a set's folder."""
        tensors = {"values": self.values}
        for name, part in (("shapes", self.shapes), ("codes", self.codes)):
            tensors |= {f"{name}.{key}": value for key, value in vars(part).items()}
        tensors = {name: np.ascontiguousarray(value) for name, value in tensors.items()}
        data = safetensors.numpy.save(tensors, {"words": json.dumps(self.words)})
        records.write_bytes(data, folder / self.FILE)

    @classmethod
    def load(cls, folder: Path) -> "Description":
        """Reads what `save` wrote.

        Raises:
            ValueError: the folder has none.
        """
        try:
            with safetensors.safe_open(folder / cls.FILE, "numpy") as file:
                words = json.loads(file.metadata()["words"])
                names = file.keys()
                tensors = {name: file.get_tensor(name) for name in names}
        except (OSError, safetensors.SafetensorError, KeyError) as error:
            raise ValueError(
                f"{folder / cls.FILE}: {error}; expected a set of this command"
            ) from error
        shapes, codes = (
            Components(*(tensors[f"{name}.{field.name}"] for field in fields(Components)))
            for name in ("shapes", "codes")
        )
        return cls(words, shapes, codes, tensors["values"])


def stack(rows: list[Row]) -> tuple[np.ndarray, np.ndarray]:
    """Landmarks (n, 148) and appearances (n, values) of rows."""
    points = np.stack([row.points for row in rows])
    return points, np.stack([row.appearance for row in rows]).astype(np.float64)


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
    like: Path | None = None,
) -> int:
    """Writes images and table; how many images.

    Args:
        heads: the set of heads.
        seeds: of the heads to take; those that are missing are left out.
        out: folder of the new set.
        size: side in px.
        shapes: number of shapes, at most as many as images; default 0.
        codes: number of codes, at most as many as images; default 40.
        like: a set whose shapes and codes are measured, in place of own ones.

    Raises:
        ValueError: none of the seeds has a head, or `like` is not a set of this command.
    """
    described = Description.load(like) if like else None
    rows = read_rows(heads, seeds, out, size)
    if not rows:
        raise ValueError(f"{heads.folder}: no head of the seeds {seeds[0]} to {seeds[-1]}")
    described = described or Description.fit(rows, shapes, codes)
    scores = normal_scores(described.measure(rows), described.values)
    counted = (("shape", described.shapes), ("code", described.codes))
    names = [f"{name}_{i:02d}" for name, part in counted for i in range(len(part.basis))]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("file", "style", "seed", *CLASSES, *NUMBERS, *names))
    for row, numbers in zip(rows, scores, strict=True):
        cells = (row.file, "heads", row.seed, *row.words, *(f"{v:.4f}" for v in numbers))
        writer.writerow(cells)
    described.save(out)
    records.write_text(text.getvalue(), out / "attributes.csv")
    made_by = {"heads": len(rows) // 2, "seeds": [seeds[0], seeds[-1]], "size": size}
    records.write_text(json.dumps(made_by, indent=1) + "\n", out / "data.json")
    return len(rows)


def read_seeds(folder: Path) -> set[int]:
    """The seeds of a set's heads.

    Raises:
        ValueError: the folder has no table of heads.
    """
    try:
        with open(folder / "attributes.csv", newline="") as file:
            return {int(row["seed"]) for row in csv.DictReader(file)}
    except (OSError, KeyError) as error:
        raise ValueError(f"{folder}: {error}; expected a set of this command") from error


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("heads", type=Path, help="folder of a set of heads")
    parser.add_argument("out", type=Path, help="folder of the new set")
    parser.add_argument("--size", type=int, default=128, help="side in px (default: 128)")
    parser.add_argument("--shapes", type=int, default=0, help="number of shapes (default: 0)")
    parser.add_argument("--codes", type=int, default=40, help="number of codes (default: 40)")
    parser.add_argument(
        "--like",
        type=Path,
        help="a set whose shapes and codes are measured: held-out or more heads",
    )
    parser.add_argument("--without", type=Path, help="a held-out set whose heads are left out")
    parser.add_argument("--seed", type=int, default=0, help="seed of the first head (default: 0)")
    parser.add_argument("--count", type=int, default=1500, help="number of seeds (default: 1500)")
    options = parser.parse_args(arguments)
    try:
        held = read_seeds(options.without) if options.without else set()
        seeds = [s for s in range(options.seed, options.seed + options.count) if s not in held]
        sizes = {"size": options.size, "shapes": options.shapes, "codes": options.codes}
        images = write_set(HeadSet(options.heads), seeds, options.out, **sizes, like=options.like)
    except ValueError as error:
        parser.error(str(error))
    print(f"{options.out}: {images} images of {images // 2} heads")


if __name__ == "__main__":
    main()
