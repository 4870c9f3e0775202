"""`toonify styles`: lists the styles that have a name, and checks the bundled weights."""

import dataclasses
import json
import sys

import click

from toonify import hub
from toonify.cli import options
from toonify.cli.options import option
from toonify.hub import catalog, checksums


@options.command(
    examples="styles\nstyles --json\nstyles --check",
    status="0 listed, 1 a bundled file has changed",
)
@option("--json as_json", "A JSON object a line with everything known of each style", is_flag=True)
@option(
    "--check", "Check of the bundled weights against their hashes, without a list", is_flag=True
)
def styles(as_json: bool, check: bool) -> int:
    """Lists the styles that have a name, and where their weights come from."""
    if check:
        return check_weights()
    known = [style for family in hub.CHOSEN for style in catalog.styles(family)]
    if note := catalog.note():
        print(note, file=sys.stderr)
    if as_json:
        for style in known:
            print(json.dumps(dataclasses.asdict(style)))
        return 0
    rows = [("NAME", "MODEL", "TITLE", "FROM", "LICENSE")]
    rows += [(s.name, s.family, s.title, s.source, s.license) for s in known]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print("  ".join(cells).rstrip())
    return 0


def check_weights() -> int:
    """Prints the bundled files that are not as listed. Returns the exit status."""
    try:
        changes = checksums.find_changes(hub.BUNDLED)
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    for name, what in changes.items():
        print(f"{name}: {what}")
    if not changes:
        print(f"All bundled files are as listed in {hub.BUNDLED / checksums.LIST}")
    return 1 if changes else 0
