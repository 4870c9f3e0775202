"""What may be typed, and what runs it."""

import argparse
import sys

from toonify.cli import convert, deploy, imagine, photo, push, styles, video
from toonify.cli.options import INTERRUPTED, UsageError


def main(argv: list[str] | None = None) -> int:
    """Runs a command and returns the exit status; usage errors leave by SystemExit(2)."""
    parser = make_parser()
    options = parser.parse_args(argv)
    try:
        return options.run(options)
    except UsageError as error:
        options.parser.error(str(error))
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED


def make_parser() -> argparse.ArgumentParser:
    """What may be typed."""
    parser = argparse.ArgumentParser(
        prog="python -m toonify",
        description="Turns photos of people into cartoons, and draws new cartoon faces.",
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for command in (photo, video, imagine, styles, convert, push, deploy):
        command.add_to(commands)
    return parser
