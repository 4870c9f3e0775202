"""What the commands share: exit statuses, options, and how a word that was typed is read."""

import argparse
import math
import sys
from collections.abc import Callable

from toonify import hub

OK, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130


class UsageError(ValueError):
    """The command cannot mean anything; nothing was drawn."""


def failed(why) -> int:
    """Says why, and gives the status for it."""
    print(f"python -m toonify: {why}", file=sys.stderr)
    return FAILED


def within(low: float, high: float) -> Callable[[str], float]:
    """argparse type: a number from `low` to `high`."""

    def number(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text!r}: expected a number from {low} to {high}")
        return value

    return number


def whole(low: int) -> Callable[[str], int]:
    """argparse type: a whole number, `low` or more."""

    def number(text: str) -> int:
        # isdecimal: int() would take 1_000 and " 7 " too.
        if not (text.isascii() and text.isdecimal() and int(text) >= low):
            raise argparse.ArgumentTypeError(f"{text!r}: expected a whole number, {low} or more")
        return int(text)

    return number


def edit(text: str) -> tuple[str, float]:
    """argparse type: the name of a direction and how far to go along it."""
    name, _, amount = text.partition("=")
    try:
        return name.strip(), float(amount)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r}: expected a name and a number, like smile=1.5"
        ) from None


def choice(text: str) -> tuple[str, str]:
    """argparse type: the name of an attribute and one of its variants."""
    name, _, variant = (part.strip() for part in text.partition("="))
    if not name or not variant:
        raise argparse.ArgumentTypeError(f"{text!r}: expected two names, like mouth=laugh")
    return name, variant


def add_drawing_options(parser: argparse.ArgumentParser, source: str) -> None:
    """How a drawing looks and what draws it; `source` is the word for what is drawn."""
    parser.add_argument(
        "--strength",
        type=within(0, 1),
        default=1.0,
        metavar="0..1",
        help=f"from the {source} (0) to the drawing (1, the default)",
    )
    parser.add_argument("--keep-colour", action="store_true", help=f"keep the {source}'s colours")
    parser.add_argument(
        "--quality",
        choices=hub.QUALITIES,
        default="best",
        help="fast: the style's lite generator, where it has one, in a fraction of the time"
        " (default: %(default)s)",
    )
    parser.add_argument(
        "--device", default="auto", help="auto, cpu, cuda or cuda:N (default: %(default)s)"
    )
