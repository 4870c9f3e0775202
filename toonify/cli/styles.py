"""`toonify styles`: lists the styles that have a name."""

import dataclasses
import json
import sys

from toonify import hub
from toonify.cli import options
from toonify.cli.options import option
from toonify.hub import catalog


@options.command(examples="styles\nstyles --json", status="0 listed")
@option("--json as_json", "JSON with everything known of each style", is_flag=True)
def styles(as_json: bool) -> None:
    """Lists the styles that have a name, and where their weights come from."""
    known = [style for family in hub.CHOSEN for style in catalog.styles(family)]
    if note := catalog.note():
        print(note, file=sys.stderr)
    if as_json:
        print(json.dumps([dataclasses.asdict(style) for style in known], indent=2))
        return
    rows = [("NAME", "MODEL", "TITLE", "FROM", "LICENSE")]
    rows += [(s.name, s.family, s.title, s.source, s.license) for s in known]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print("  ".join(cells).rstrip())
