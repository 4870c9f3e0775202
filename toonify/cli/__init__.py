"""The command line: `python -m toonify COMMAND`, one module a command."""

from toonify.cli.commands import main

__all__ = ["main"]
