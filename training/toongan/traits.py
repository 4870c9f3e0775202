"""Traits of cartoon faces: which variants of a data set's columns have a trait and which do not.

A trait is written `NAME=COLUMN:HIGH,...` (these variants against all others of the column),
`NAME=COLUMN:HIGH,.../LOW,...` (against the low ones) or `NAME=COLUMN` (a scale: colors by
lightness, whole numbers by value). Patterns like `long*` match several variants, and `+` joins
several columns, as for a set of several styles: `long=rear_hair:long*/none+hair:long*`.
"""

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase

import cv2
import numpy as np
import torch

from toonify import hub
from training.toongan.attribute_classifier import AttributeClassifier

COLOR = re.compile(r"#[0-9a-fA-F]{6}")
ABSENT = ("", "none")  # the style has no such attribute; the part is absent


@dataclass(frozen=True)
class Clause:
    """Patterns of the high and low variants of a column; an empty end matches all others.

    With both ends empty the column is a scale.
    """

    column: str
    high: tuple[str, ...] = ()
    low: tuple[str, ...] = ()

    def values(self, variants: list) -> torch.Tensor:
        """1 to -1 for each variant, nan at neither end; all nan if an end matches nothing."""
        if not (self.high or self.low):
            return scale(variants)
        texts = [str(variant) for variant in variants]
        high, low = (
            [any(fnmatchcase(text, pattern) for pattern in patterns) for text in texts]
            for patterns in (self.high, self.low)
        )
        others = [text != "" for text in texts]
        high = high if self.high else [o and not x for o, x in zip(others, low, strict=True)]
        low = low if self.low else [o and not x for o, x in zip(others, high, strict=True)]
        found = torch.full((len(texts),), torch.nan)
        if any(high) and any(low):
            found[torch.tensor(low)] = -1.0
            found[torch.tensor(high)] = 1.0
        return found


def scale(variants: list) -> torch.Tensor:
    """1 for the lightest color or largest number to -1 for the other end, nan for absent."""
    texts = [str(variant) for variant in variants]
    there = torch.tensor([text not in ABSENT for text in texts])
    found = torch.full((len(texts),), torch.nan)
    colors = [text for text in texts if text not in ABSENT]
    if all(COLOR.fullmatch(text) for text in colors):
        sizes = torch.tensor([lightness(text) for text in colors])
    elif all(isinstance(variant, int) for variant in variants):
        sizes = torch.tensor(variants, dtype=torch.float32)
    else:
        return found
    if len(sizes) > 1 and sizes.max() > sizes.min():
        found[there] = 2 * (sizes - sizes.min()) / (sizes.max() - sizes.min()) - 1
    return found


def lightness(color: str) -> float:
    """CIELAB L, 0 to 100, of `#rrggbb`."""
    pixel = np.array([[list(bytes.fromhex(color[1:]))]], np.float32) / 255
    return float(cv2.cvtColor(pixel, cv2.COLOR_RGB2LAB)[0, 0, 0])


@dataclass(frozen=True)
class Trait:
    """What a direction stands for, and the columns of the table that show it."""

    label: str
    clauses: tuple[Clause, ...]

    def parts(self, classifier: AttributeClassifier) -> dict[str, torch.Tensor]:
        """Column -> the values of its variants, of the columns that show the trait."""
        found = {
            clause.column: clause.values(classifier.variants[clause.column])
            for clause in self.clauses
            if clause.column in classifier.variants
        }
        return {column: values for column, values in found.items() if values.isfinite().any()}

    def signal(self, classifier: AttributeClassifier, scores: torch.Tensor) -> torch.Tensor:
        """(n,) strength of the trait from scores (n, ...).

        For a ridge regression this is the prediction of the values themselves.
        """
        return sum(
            classifier.column_scores(column, scores) @ values.nan_to_num()
            for column, values in self.parts(classifier).items()
        )

    def values(
        self, classifier: AttributeClassifier, numbers: dict[str, torch.Tensor]
    ) -> torch.Tensor:
        """(n,) values of variants (column -> indices (n,)), nan where none is at either end."""
        found = torch.stack(
            [values[numbers[column]] for column, values in self.parts(classifier).items()]
        )
        value = found.nan_to_num().sum(0)
        return value.where(found.isfinite().any(0), torch.nan)


# big-ears numbers its mouths.
BIG_EARS_SMILES = ("variant0[23]0?", "variant070[12]")
BIG_EARS_FROWNS = ("variant0[45]0?", "variant070[45]")

# Of DiceBear's styles; the names are those of portrait traits.
TRAITS = {
    "hair_long": Trait(
        "Long hair",
        (
            Clause("rear_hair", ("long*", "shoulder*"), ("none", "neck*")),
            Clause("hair", ("long*", "extraLong"), ("short*", "fade", "buzzcut", "bald*")),
            Clause("top", ("long*", "straight0*"), ("short*", "theCaesar*", "sides")),
        ),
    ),
    "hair_light": Trait("Fair hair", (Clause("hair_color"),)),
    "skin_light": Trait("Fair skin", (Clause("skin_color"),)),
    "glasses": Trait(
        "Glasses", (Clause("glasses", low=("none",)), Clause("accessories", low=("none",)))
    ),
    "smile": Trait(
        "Smile",
        (
            Clause(
                "mouth",
                ("smile", "bigSmile", "laugh*", "twinkle", "happy*", *BIG_EARS_SMILES),
                (
                    *("sad*", "angry", "agape", "frown", "concerned", "serious", "grimace"),
                    *("latent_nll*", *BIG_EARS_FROWNS),
                ),
            ),
        ),
    ),
    "beard": Trait("Beard", (Clause("beard", low=("none",)), Clause("facial_hair", low=("none",)))),
}


def parse(text: str) -> tuple[str, Trait]:
    """(name, trait) of the notation above.

    Raises:
        ValueError: the notation is invalid.
    """
    name, _, notation = text.partition("=")
    clauses = []
    for part in notation.split("+"):
        column, colon, ends = part.partition(":")
        high, _, low = ends.partition("/")
        sides = [tuple(pattern for pattern in side.split(",") if pattern) for side in (high, low)]
        if not re.fullmatch(r"\w+", column) or (colon and not any(sides)):
            clauses = []
            break
        clauses.append(Clause(hub.current_name(column), *sides))
    if not re.fullmatch(r"\w+", name) or not clauses:
        raise ValueError(
            f"--trait {text}: expected NAME=COLUMN, NAME=COLUMN:HIGH,... or"
            " NAME=COLUMN:HIGH,.../LOW,..."
        )
    label = TRAITS[name].label if name in TRAITS else name.replace("_", " ").capitalize()
    return name, Trait(label, tuple(clauses))
