"""What the commands print of their results: for people, or with --json for programs.

With --json, stdout has one JSON object a line for each result, and nothing else; what is meant for
people goes to stderr. Each object has a `status`: drawn, skipped (there already) or failed.
"""

import contextlib
import json
import sys
from collections.abc import Iterator
from typing import Any

import click

from toonify.cli.options import option

DRAWN, SKIPPED, FAILED = "drawn", "skipped", "failed"

as_json = option("--json as_json", "A JSON object a line for each result, on stdout", is_flag=True)


class Results:
    """Prints results.

    Args:
        as_json: whether stdout is for programs.
        is_stdout_taken: whether stdout is for the drawing itself.
    """

    def __init__(self, as_json: bool, is_stdout_taken: bool = False):
        self.as_json = as_json
        self._programs = sys.stdout  # this one, also where libraries' prints are redirected
        self._people = sys.stderr if as_json or is_stdout_taken else sys.stdout

    def say(self, text: str) -> None:
        """Prints a line for people."""
        print(text, file=self._people, flush=True)

    def add(self, status: str, **values: Any) -> None:
        """Prints a result for programs."""
        if self.as_json:
            print(json.dumps({"status": status, **values}), file=self._programs, flush=True)

    @contextlib.contextmanager
    def failing(self, **values: Any) -> Iterator[None]:
        """A failure inside is also a result, with its message as `error`; wrong usage is not."""
        try:
            yield
        except click.UsageError:
            raise
        except click.ClickException as error:
            self.add(FAILED, **values, error=error.message)
            raise
