"""The commands, and what becomes of their errors."""

import importlib
import sys
from pathlib import Path

import click

from toonify import __version__
from toonify.cli.options import warn_renamed

PROGRAM = "toonify" if Path(sys.argv[0]).stem == "toonify" else "python -m toonify"
FAILED, USAGE, INTERRUPTED = 1, 2, 130  # exit statuses

COMMANDS = {
    "photo": "Draw photos as cartoons",
    "video": "Draw a video as a cartoon",
    "generate": "Draw new cartoon faces",
    "styles": "List the styles and where they come from",
    "convert": "Convert checkpoints of other projects, and write ONNX and OpenVINO files",
    "push": "Publish a model on the Hugging Face Hub",
    "deploy": "Publish the app as a Space",
    "web": "Write the app for browsers, which needs no server",
}
OLD_COMMANDS = {"imagine": "generate"}  # for one more release


class Commands(click.Group):
    """Each command is imported when it runs, so that the list of them is quick."""

    def list_commands(self, context: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name in OLD_COMMANDS:
            warn_renamed(name, OLD_COMMANDS[name])
            name = OLD_COMMANDS[name]
        if name not in COMMANDS:
            return None
        return getattr(importlib.import_module(f"toonify.cli.{name}"), name)

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


SETTINGS = {"show_default": True, "help_option_names": ["-h", "--help"], "max_content_width": 100}


@click.group(cls=Commands, context_settings=SETTINGS)
@click.version_option(__version__, prog_name="toonify")
def toonify() -> None:
    """Turns photos of people into cartoons, and draws new cartoon faces."""


def main(argv: list[str] | None = None) -> int:
    """Runs a command.

    Args:
        argv: the words after the program's name; None: those of this process.

    Returns:
        The exit status: 0, 1 if something failed, or 130 after an interruption.

    Raises:
        SystemExit: with status 2, for wrong usage.
    """
    try:
        return toonify.main(argv, PROGRAM, standalone_mode=False) or 0
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        raise SystemExit(USAGE) from error
    except click.UsageError as error:
        path = error.ctx.command_path if error.ctx else PROGRAM
        print(f"{path}: error: {error.format_message()}", file=sys.stderr)
        raise SystemExit(USAGE) from error
    except click.ClickException as error:
        print(f"{PROGRAM}: {error.format_message()}", file=sys.stderr)
        return FAILED
    except click.Abort:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
