"""Counts combinations of attributes that generated faces have and no picture of the data has.

A generator that only repeats its pictures has none. What is read may be wrong, and one wrong
attribute makes a combination new: so only faces are counted that are plain, in all columns, to a
degree at which 99 % of held-out pictures are read as the table has them, in all columns.
"""

from dataclasses import dataclass

import numpy as np
import torch

from toonify import hub
from training.toongan.attribute_classifier import HeldOut, Reader

LEAST = 0.95  # of held-out pictures, for a column that is taken unless told otherwise
RIGHT = 0.99  # of held-out pictures that are as plain as a face that is counted


@dataclass(frozen=True)
class Count:
    """columns: those that are combined. faces: how many were read, `plain` of them plainly.

    new: numbers of the plain faces whose combination no picture has.
    nearest: for each of them the file of the picture that differs from it in the fewest columns.
    mistaken: the share of held-out pictures, read likewise, that would count as new by mistake.
    alone: the share of held-out pictures whose combination no other picture of the data has.
    """

    columns: list[str]
    faces: int
    plain: int
    new: np.ndarray
    nearest: list[str]
    mistaken: float
    alone: float

    def told(self) -> str:
        """In words."""
        share = 100 * len(self.new) / max(self.plain, 1)
        return (
            f"combinations of {', '.join(self.columns)}: {self.plain} of {self.faces} faces are"
            f" read plainly, {len(self.new)} of these ({share:.1f} %) combine them as no picture of"
            f" the data does; so would {100 * self.mistaken:.1f} % of the data's own pictures, by"
            f" mistakes of reading; {100 * self.alone:.1f} % of them are the only ones of their"
            " combination"
        )


def columns_of(asked: list[str], reader: Reader, held: HeldOut) -> list[str]:
    """The columns asked for, or all that are read well; ValueError for one that is not there."""
    asked = [hub.current_name(column) for column in asked]
    for column in asked:
        if column not in reader.variants:
            raise ValueError(
                f"--combinations {column}: expected columns among {', '.join(reader.variants)}"
            )
    columns = asked or [c for c in reader.variants if held.accuracy(reader, c) >= LEAST]
    if len(columns) < 2:
        raise ValueError(
            f"--combinations: {len(columns)} columns ({', '.join(columns) or 'none is read well'});"
            " expected two or more"
        )
    return columns


def count(
    table: dict[str, list],
    columns: list[str],
    reader: Reader,
    held: HeldOut,
    scores: torch.Tensor,
) -> Count:
    """Combinations of the columns in the table and among faces of scores (n, ...)."""
    codes = np.stack([coded(table[column], reader.variants[column]) for column in columns], 1)
    known, numbers, times = np.unique(codes, axis=0, return_inverse=True, return_counts=True)
    seen = set(map(tuple, known.tolist()))
    least = plainness(columns, reader, held)

    def look(scores: torch.Tensor) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What is read (n, columns), and the numbers of the plain faces and of the new ones."""
        read = torch.stack([reader.read(column, scores) for column in columns], 1).numpy()
        plain = np.flatnonzero((margin(columns, reader, scores) >= least).numpy())
        return read, plain, np.array([at for at in plain if tuple(read[at]) not in seen], int)

    read, plain, new = look(scores)
    _, own, mistaken = look(held.scores)
    nearest = [table["file"][(codes != read[at]).sum(1).argmin()] for at in new]
    alone = times[numbers.reshape(-1)][held.places] == 1
    wrong = len(mistaken) / max(len(own), 1)
    return Count(columns, len(scores), len(plain), new, nearest, wrong, float(alone.mean()))


def coded(values: list, variants: list) -> np.ndarray:
    """Numbers of the variants; -1 for one that the reader has not seen."""
    places = {variant: number for number, variant in enumerate(variants)}
    return np.array([places.get(value, -1) for value in values])


def margin(columns: list[str], reader: Reader, scores: torch.Tensor) -> torch.Tensor:
    """(n,) by how much the best score leads the second, in the column where it does so least."""
    leads = []
    for column in columns:
        best = reader.of(column, scores).topk(2, dim=1).values
        leads.append(best[:, 0] - best[:, 1])
    return torch.stack(leads).min(0).values


def plainness(columns: list[str], reader: Reader, held: HeldOut) -> float:
    """The margin from which on enough held-out pictures are read right; inf if there is none."""
    right = torch.stack([held.right(reader, column) for column in columns]).all(0)
    margins, order = margin(columns, reader, held.scores).sort(descending=True)
    shares = right[order].double().cumsum(0) / torch.arange(1, len(order) + 1)
    enough = (shares >= RIGHT).nonzero()
    return float(margins[enough[-1, 0]]) if len(enough) else float("inf")
