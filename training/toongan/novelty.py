"""Counts generated faces with combinations of attributes that no training image has.

A generator that memorizes its data has none. One misclassified attribute makes a combination look
new, so only confident faces count: those above the margin at which all columns of 99 % of held-out
images are classified correctly.
"""

from dataclasses import dataclass

import numpy as np
import torch

from toonify import hub
from training.toongan.attribute_classifier import AttributeClassifier, HeldOut

MIN_ACCURACY = 0.95  # on held-out images, of the columns used by default
MIN_PRECISION = 0.99  # on held-out images as confident as a face that counts


@dataclass(frozen=True)
class Count:
    """Numbers of new combinations.

    columns: the columns that are combined.
    faces: number of faces, of which `confident` were classified confidently.
    new: indices of confident faces whose combination no image has.
    nearest: for each of them, the file of the image that differs in the fewest columns.
    mistaken: share of confident held-out images that would count as new by misclassification.
    unique: share of held-out images whose combination no other image has.
    """

    columns: list[str]
    faces: int
    confident: int
    new: np.ndarray
    nearest: list[str]
    mistaken: float
    unique: float

    def describe(self) -> str:
        """The numbers as a sentence."""
        share = 100 * len(self.new) / max(self.confident, 1)
        return (
            f"combinations of {', '.join(self.columns)}: {self.confident} of {self.faces} faces"
            f" are classified confidently, {len(self.new)} of these ({share:.1f} %) have a"
            f" combination that no image has. {100 * self.mistaken:.1f} % of held-out images"
            " would count as new by misclassification;"
            f" {100 * self.unique:.1f} % have a combination that no other image has"
        )


def select_columns(asked: list[str], classifier: AttributeClassifier, held: HeldOut) -> list[str]:
    """The columns of the option --combinations, or all that are classified well.

    Raises:
        ValueError: a column does not exist, or there are fewer than two.
    """
    asked = [hub.current_name(column) for column in asked]
    for column in asked:
        if column not in classifier.variants:
            raise ValueError(
                f"--combinations {column}: expected columns among {', '.join(classifier.variants)}"
            )
    columns = asked or [
        c for c in classifier.variants if held.accuracy(classifier, c) >= MIN_ACCURACY
    ]
    if len(columns) < 2:
        names = ", ".join(columns) or "none is classified well"
        raise ValueError(f"--combinations: {len(columns)} columns ({names}); expected two or more")
    return columns


def count(
    table: dict[str, list],
    columns: list[str],
    classifier: AttributeClassifier,
    held: HeldOut,
    scores: torch.Tensor,
) -> Count:
    """Counts new combinations of the columns among faces of scores (n, ...)."""
    codes = np.stack([encode(table[column], classifier.variants[column]) for column in columns], 1)
    known, numbers, times = np.unique(codes, axis=0, return_inverse=True, return_counts=True)
    seen = set(map(tuple, known.tolist()))
    least = confidence_threshold(columns, classifier, held)

    def classify(scores: torch.Tensor) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Predictions (n, columns), and the indices of confident faces and of new ones."""
        read = torch.stack([classifier.predict(column, scores) for column in columns], 1).numpy()
        confident = np.flatnonzero((margin(columns, classifier, scores) >= least).numpy())
        new = np.array([at for at in confident if tuple(read[at]) not in seen], int)
        return read, confident, new

    read, confident, new = classify(scores)
    _, own, mistaken = classify(held.scores)
    nearest = [table["file"][(codes != read[at]).sum(1).argmin()] for at in new]
    unique = times[numbers.reshape(-1)][held.places] == 1
    wrong = len(mistaken) / max(len(own), 1)
    return Count(columns, len(scores), len(confident), new, nearest, wrong, float(unique.mean()))


def encode(values: list, variants: list) -> np.ndarray:
    """Indices of the variants; -1 for an unknown one."""
    places = {variant: number for number, variant in enumerate(variants)}
    return np.array([places.get(value, -1) for value in values])


def margin(
    columns: list[str], classifier: AttributeClassifier, scores: torch.Tensor
) -> torch.Tensor:
    """(n,) lead of the best score over the second, in the column where it is smallest."""
    leads = []
    for column in columns:
        best = classifier.column_scores(column, scores).topk(2, dim=1).values
        leads.append(best[:, 0] - best[:, 1])
    return torch.stack(leads).min(0).values


def confidence_threshold(
    columns: list[str], classifier: AttributeClassifier, held: HeldOut
) -> float:
    """The least margin at which enough held-out images are right; inf if there is none."""
    right = torch.stack([held.is_correct(classifier, column) for column in columns]).all(0)
    margins, order = margin(columns, classifier, held.scores).sort(descending=True)
    shares = right[order].double().cumsum(0) / torch.arange(1, len(order) + 1)
    enough = (shares >= MIN_PRECISION).nonzero()
    return float(margins[enough[-1, 0]]) if len(enough) else float("inf")
