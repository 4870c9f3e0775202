"""Writes metrics into a style's folder: `metrics.json` and a table in its model card."""

import argparse
import json
import os
import re
import shlex
from collections.abc import Iterable
from pathlib import Path

from huggingface_hub.constants import HF_HUB_CACHE

from toonify import hub
from toonify.hub import cards
from toonify.hub.cards.figures import END, START, format_report
from training.core import records, run_info

CARD = "README.md"


def model_figures(model: str) -> dict[str, int]:
    """`parameters` and `weights_bytes` of a style, read from its weights' header."""
    file = hub.weights_file(hub.resolve_model(model))
    return {"parameters": cards.count_values(file), "weights_bytes": file.stat().st_size}


def card_folder(model: str) -> Path:
    """The folder of a style whose card may be written, given as a folder or a bundled style's name.

    Raises:
        ValueError: the style is on the Hub or in the Hub's cache, the folder is not writable, or
            its card has a broken block of metrics.
    """
    given, bundled = Path(model).expanduser(), hub.BUNDLED / model
    if (given / hub.CONFIG).is_file():
        folder = given.resolve()
    elif re.fullmatch(r"[\w-]+", model) and (bundled / hub.CONFIG).is_file():
        folder = bundled
    else:
        raise ValueError(
            f"--card: {model} is neither a folder nor a bundled style; download it into a folder"
            " and use that"
        )
    if folder.is_relative_to(Path(HF_HUB_CACHE).expanduser().resolve()):
        raise ValueError(
            f"--card: {folder} is in the Hub's cache, which is never written to; copy the style"
            " into another folder and use that"
        )
    if not os.access(folder, os.W_OK):
        raise ValueError(f"--card: {folder} cannot be written to")
    old = folder / CARD
    if old.is_file():
        with_block(old.read_text(encoding="utf-8"), "")  # raises for a broken block
    return folder


def command(
    module: str, options: argparse.Namespace, names: Iterable[str], positional: Iterable[str] = ()
) -> str:
    """The command that measures the same figures, without the folders of absolute paths."""
    words = ["python", "-m", module, *map(run_info.redact_path, positional)]
    for name in names:
        value = getattr(options, name)
        if value is not None:
            words += [f"--{name}", run_info.redact_path(value)]
    for name in options.extractor or []:
        words += ["--extractor", name]
    return shlex.join(words)


def write_card(folder: Path, report: dict) -> None:
    """Writes `metrics.json` and the block of metrics in README.md.

    Args:
        folder: the style's folder; without README.md it gets a new card.
        report: what `run_info.report` returns.
    """
    card = folder / CARD
    old = card.read_text(encoding="utf-8") if card.is_file() else None
    text = old and with_block(old, format_report(report))
    records.write_text(json.dumps(report, indent=2, allow_nan=False) + "\n", folder / hub.METRICS)
    records.write_text(text or cards.make_card(folder), card)


def with_block(text: str, new: str) -> str:
    """The card with `new` between its marks, which are added at the end if there are none."""
    marks = text.count(START), text.count(END)
    if marks == (0, 0):
        return f"{text.rstrip()}\n\n## Measured\n\n{START}\n{new}\n{END}\n"
    if marks != (1, 1) or text.index(START) > text.index(END):
        raise ValueError(f"{CARD}: expected one {START} followed by one {END}, found {marks}")
    before, _, rest = text.partition(START)
    after = rest.partition(END)[2]
    return f"{before}{START}\n{new}\n{END}{after}"
