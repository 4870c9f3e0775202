"""What a head to order has in place of what its seed draws."""

import math
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from training.prepare.heads.palette import linear

MAX_RANK = 2.4  # standard deviations; what a seed draws ends at 2


@dataclass(frozen=True)
class Overrides:
    """Numbers and colors of one head; what is not named is drawn from the seed as ever.

    Args:
        ranks: Name of a drawn number of `shape.py` or `brows.py` -> where it stands among heads,
            in standard deviations from the mean, -2.4 to 2.4.
        expression: Name of a number of `shape.Mouth` -> its value.
        numbers: Name -> value, in the unit of the code that asks for it: `recede` (degrees the
            hairline is higher), `part` (x of the parting), `hair_end` (y where long hair is cut),
            `hair_length` (factor), `margin` (side of the picture over FFHQ's), `light_side` (-1 or
            1), `gaze` (share of the way to the camera), `blush` and `wrinkles` (0 to 1).
        colors: Part -> "#rrggbb" of its material: skin, hair, brow, beard, iris, lips, cloth, trim,
            shirt, hat, frame.
        background: Rows of "#rrggbb", from top to bottom, drawn as soft patches.
    """

    ranks: dict[str, float] = field(default_factory=dict)
    expression: dict[str, float] = field(default_factory=dict)
    numbers: dict[str, float] = field(default_factory=dict)
    colors: dict[str, str] = field(default_factory=dict)
    background: list[list[str]] = field(default_factory=list)

    def normal(self, name: str, drawn: float, spread: float) -> float:
        """A normally distributed number: by its rank, or as drawn."""
        if name not in self.ranks:
            return drawn
        return spread * min(max(self.ranks[name], -MAX_RANK), MAX_RANK)

    def between(self, name: str, drawn: float, low: float, high: float) -> float:
        """A number that is evenly distributed over [low, high]: by its rank, or as drawn."""
        if name not in self.ranks:
            return drawn
        return low + (high - low) * (0.5 + 0.5 * math.erf(self.ranks[name] / math.sqrt(2)))

    def number(self, name: str, drawn: float) -> float:
        return self.numbers.get(name, drawn)

    def color(self, part: str, drawn: np.ndarray) -> np.ndarray:
        """Linear RGB of a part."""
        return linear(self.colors[part]) if part in self.colors else drawn

    def row(self) -> dict[str, Any]:
        """As JSON has it; `Overrides(**row)` is the same again."""
        return asdict(self)


NONE = Overrides()
