"""The command line: `toonify COMMAND`, or `python -m toonify COMMAND`."""

from toonify.cli.main import main

__all__ = ["main"]
