"""Reads attributes off pictures of cartoon faces: what a data set's table says, learned from it.

The reader sees what MobileNetV2's sixth stage finds in each of 8 x 8 fields of a picture of 128 px,
and is a ridge regression on one value for each variant of each column, in closed form. Of drawn
faces that are laid out alike it reads nearly everything that can be seen: trained on 1,600 faces of
DiceBear's toon-head, 99 to 100 % of the hair, mouths, eyes, beards and colors of skin and hair.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from toonify import images
from training.core.perceptual import MobileNetV2Features
from training.data.images import square

SIDE, STAGE, FIELDS = 128, 6, 8
PENALTY = 0.01  # of the ridge, in mean squared lengths of a standardized row
HELD_OUT = 0.2  # of the pictures: what reading is tried out on
CHUNK = 16  # pictures that are looked at at once


class Sight:
    """Pictures -> rows (n, features) float32, on a device."""

    def __init__(self, device: torch.device | str = "cpu"):
        self.features = MobileNetV2Features((STAGE,)).to(device)

    @torch.inference_mode()
    def __call__(self, pictures: Iterable[Image.Image]) -> torch.Tensor:
        """Of pictures of any size, a few at a time."""
        rows, pictures = [], iter(pictures)
        while part := list(islice(pictures, CHUNK)):
            seen = torch.cat([images.to_tensor(square(picture, SIDE)) for picture in part])
            found = self.features(seen.to(self.features.mean.device))[STAGE]
            rows.append(F.adaptive_avg_pool2d(found, FIELDS).flatten(1).cpu())
        return torch.cat(rows)


@dataclass(frozen=True)
class Reader:
    """Scores of every variant of every column; the largest of a column is what is read.

    variants: column -> its variants, in the order of their scores. An empty text is that of a
        picture that has no such attribute, as in a set of several styles.
    weight: (features + 1, scores), the last row what is added.
    """

    variants: dict[str, list]
    weight: torch.Tensor

    def scores(self, seen: torch.Tensor) -> torch.Tensor:
        """Rows of `Sight` (n, features) -> (n, scores), about 1 for what is there and else 0."""
        return seen @ self.weight[:-1] + self.weight[-1]

    def of(self, column: str, scores: torch.Tensor) -> torch.Tensor:
        """The scores (n, variants) of one column."""
        first = 0
        for name, variants in self.variants.items():
            if name == column:
                return scores[:, first : first + len(variants)]
            first += len(variants)
        raise ValueError(f"column {column}: expected one of {', '.join(self.variants)}")

    def read(self, column: str, scores: torch.Tensor) -> torch.Tensor:
        """The number of the variant (n,) that is read."""
        return self.of(column, scores).argmax(1)


@dataclass(frozen=True)
class HeldOut:
    """Pictures that the reader did not learn from: places in the table (n,), scores, truth.

    truth: column -> number of the variant that the table has (n,).
    """

    places: np.ndarray
    scores: torch.Tensor
    truth: dict[str, torch.Tensor]

    def right(self, reader: Reader, column: str) -> torch.Tensor:
        """Whether each picture was read as the table has it, (n,) bool."""
        return reader.read(column, self.scores) == self.truth[column]

    def accuracy(self, reader: Reader, column: str) -> float:
        """The share of pictures that are read as the table has them."""
        return float(self.right(reader, column).double().mean())


def variants_of(table: dict[str, list], columns: Iterable[str]) -> dict[str, list]:
    """Column -> its variants, sorted, of those columns that have more than one."""
    found = {column: sorted(set(table[column])) for column in columns}
    return {column: variants for column, variants in found.items() if len(variants) > 1}


def learn(seen: torch.Tensor, table: dict[str, list], columns: Iterable[str], seed: int = 0):
    """(Reader, HeldOut) from rows of `Sight` (n, features) and a table with a value for each.

    A fifth of the pictures, chosen by `seed`, is held out. Columns of one variant are left out.
    Raises ValueError if no column is left, or for fewer than 10 pictures.
    """
    variants = variants_of(table, columns)
    if not variants:
        raise ValueError("no column of the table has more than one value; nothing can be learned")
    if len(seen) < 10:
        raise ValueError(f"{len(seen)} pictures; expected at least 10 to learn attributes from")
    truth = {
        column: torch.tensor([among.index(value) for value in table[column]])
        for column, among in variants.items()
    }
    order = np.random.default_rng(seed).permutation(len(seen))
    held, fitted = np.split(order, [max(1, round(HELD_OUT * len(seen)))])
    targets = torch.cat(
        [F.one_hot(truth[column][fitted], len(variants[column])) for column in variants], 1
    )
    reader = Reader(variants, ridge(seen[fitted], targets))
    there = {column: numbers[held] for column, numbers in truth.items()}
    return reader, HeldOut(held, reader.scores(seen[held]), there)


def ridge(rows: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Weights (d + 1, t), float32, that predict targets (n, t) from rows (n, d); the last adds."""
    rows, targets = rows.double(), targets.double()
    mean, middle = rows.mean(0), targets.mean(0)
    spread = rows.std(0)
    spread = spread + 0.05 * spread.mean() + 1e-12  # one that hardly varies would be blown up
    centered = (rows - mean) / spread
    gram = centered.T @ centered
    gram.diagonal().add_(PENALTY * float(gram.trace()) / len(rows))
    weight = torch.linalg.solve(gram, centered.T @ (targets - middle)) / spread[:, None]
    return torch.cat((weight, (middle - mean @ weight)[None])).float()
