"""What the commands share: exit statuses, and how a word that was typed is read."""

import argparse
import math
from collections.abc import Callable

OK, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130


class UsageError(ValueError):
    """The command cannot mean anything; nothing was drawn."""


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
