"""The command line: `python -m toonify photo|imagine|styles|convert|push`, one module a command."""

from toonify.cli.commands import main

__all__ = ["main"]
