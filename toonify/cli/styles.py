"""`python -m toonify styles`: lists the styles that have a name."""

import argparse
import dataclasses
import json
import sys

from toonify import hub
from toonify.cli.options import OK
from toonify.hub import catalog


def add_to(commands) -> None:
    """Adds the command and its options."""
    styles = commands.add_parser(
        "styles",
        help="list the styles and where they would come from",
        description="Lists the styles that have a name, and where their weights would come from.",
    )
    styles.set_defaults(run=run, parser=styles)
    styles.add_argument("--json", action="store_true", help="everything known, as JSON")


def run(options: argparse.Namespace) -> int:
    """Prints the styles: name, model, title, source, license in columns, or all as JSON."""
    known = [style for family in hub.CHOSEN for style in catalog.styles(family)]
    if note := catalog.note():
        print(note, file=sys.stderr)
    if options.json:
        print(json.dumps([dataclasses.asdict(style) for style in known], indent=2))
        return OK
    rows = [("NAME", "MODEL", "TITLE", "FROM", "LICENSE")]
    rows += [(s.name, s.family, s.title, s.source, s.license) for s in known]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        )
    return OK
