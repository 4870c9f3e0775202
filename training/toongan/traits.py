"""Traits of cartoon faces: which variants of a data set's columns are one end, and which the other.

A trait is written `NAME=COLUMN:HIGH,...` (these variants against all others of the column),
`NAME=COLUMN:HIGH,.../LOW,...` (against these) or `NAME=COLUMN` (a scale: colors by lightness,
whole numbers as they are). Patterns like `long*` stand for several variants, and `+` joins what is
said of several columns, as for a set of several styles: `long=rear_hair:long*/none+hair:long*`.
"""

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase

import cv2
import numpy as np
import torch

from toonify import hub
from training.toongan.attribute_classifier import Reader

COLOR = re.compile(r"#[0-9a-fA-F]{6}")
ABSENT = ("", "none")  # no such attribute in the picture's style; nothing of it to be seen


@dataclass(frozen=True)
class Clause:
    """Patterns of the variants of a column at both ends; an empty end is all others.

    With both empty the column is a scale.
    """

    column: str
    high: tuple[str, ...] = ()
    low: tuple[str, ...] = ()

    def values(self, variants: list) -> torch.Tensor:
        """1 to -1 for each variant, nan for what is at neither end. All nan: it is not for them."""
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
    """1 for the lightest color or largest number to -1, nan where there is none of it."""
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
    """What a direction stands for, and where it is said in the table."""

    label: str
    clauses: tuple[Clause, ...]

    def parts(self, reader: Reader) -> dict[str, torch.Tensor]:
        """Column -> the values of its variants, of the columns that the trait can be read from."""
        found = {
            clause.column: clause.values(reader.variants[clause.column])
            for clause in self.clauses
            if clause.column in reader.variants
        }
        return {column: values for column, values in found.items() if values.isfinite().any()}

    def signal(self, reader: Reader, scores: torch.Tensor) -> torch.Tensor:
        """(n,) how much of the trait is read from scores (n, ...).

        Of a ridge this is what it would predict of the values themselves.
        """
        return sum(
            reader.of(column, scores) @ values.nan_to_num()
            for column, values in self.parts(reader).items()
        )

    def told(self, reader: Reader, numbers: dict[str, torch.Tensor]) -> torch.Tensor:
        """(n,) the values of variants (column -> numbers (n,)), nan where none is at either end."""
        found = torch.stack(
            [values[numbers[column]] for column, values in self.parts(reader).items()]
        )
        value = found.nan_to_num().sum(0)
        return value.where(found.isfinite().any(0), torch.nan)


# big-ears numbers its mouths.
BIG_EARS_SMILES = ("variant0[23]0?", "variant070[12]")
BIG_EARS_FROWNS = ("variant0[45]0?", "variant070[45]")

# Of DiceBear's styles; the names are those that a portrait is read by.
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
                    *("surprise*", *BIG_EARS_FROWNS),
                ),
            ),
        ),
    ),
    "beard": Trait("Beard", (Clause("beard", low=("none",)), Clause("facial_hair", low=("none",)))),
}


def parse(text: str) -> tuple[str, Trait]:
    """(name, trait) as written above; ValueError for another way of writing."""
    name, _, said = text.partition("=")
    clauses = []
    for part in said.split("+"):
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
