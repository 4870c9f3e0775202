"""What the commands share: options, types of values, and how errors are reported."""

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from toonify import hub

OPTIONS = "Options"  # the section of options that have no other
T = TypeVar("T")
OLD_OPTIONS = {  # for one more release
    "--keep-colour": "--keep-color",
    "--licence": "--license",
    "--no-stabilise": "--no-stabilize",
}


class Option(click.Option):
    """An option that the help lists in a section of its own."""

    def __init__(self, *args: Any, section: str, **keywords: Any):
        super().__init__(*args, **keywords)
        self.section = section


class Command(click.Command):
    """A command with sections of options and examples, which accepts old spellings of options."""

    def __init__(self, *args: Any, examples: str, status: str, **keywords: Any):
        super().__init__(*args, **keywords)
        self.examples, self.status = examples.strip().splitlines(), status

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(context, [current_spelling(arg) for arg in args])

    def format_options(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        sections: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(context):
            record = parameter.get_help_record(context)
            if record and isinstance(parameter, click.Option):
                section = getattr(parameter, "section", OPTIONS)
                sections.setdefault(section, []).append(record)
        for section, records in sections.items():
            with formatter.section(section):
                formatter.write_dl(records)

    def format_epilog(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Examples"):
            for line in self.examples:
                formatter.write(f"  {context.find_root().info_name} {line.strip()}\n")
        formatter.write_paragraph()
        formatter.write_text(f"Exit status: {self.status}, 2 wrong usage.")


def command(examples: str, status: str, **keywords: Any) -> Callable[[Callable], Command]:
    """Decorator: a function becomes a command.

    Args:
        examples: one a line, without the name of the program.
        status: the meaning of the exit statuses 0 and 1.
        keywords: as for `click.command`.
    """
    return click.command(cls=Command, examples=examples, status=status, **keywords)


def option(names: str, help: str, type: Any = None, section: str = OPTIONS, **more: Any) -> Any:
    """Decorator: an option, its `names` separated by spaces; `more` as for `click.option`."""
    return click.option(*names.split(), cls=Option, section=section, help=help, type=type, **more)


def pairs(names: str, help: str, type: "Pair", section: str = OPTIONS) -> Any:
    """Decorator: an option that may be repeated, whose pairs become a dict."""
    return option(names, help, type, section, multiple=True, callback=lambda *args: dict(args[2]))


def current_spelling(word: str) -> str:
    """The word, or the option that has replaced it."""
    name, sign, value = word.partition("=")
    if name not in OLD_OPTIONS:
        return word
    warn_renamed(name, OLD_OPTIONS[name])
    return f"{OLD_OPTIONS[name]}{sign}{value}"


def warn_renamed(old: str, new: str) -> None:
    """Says on stderr, where the user sees it, that a command or an option has a new name."""
    click.echo(f"DeprecationWarning: {old} is now {new}", err=True)


class Pair(click.ParamType):
    """Two values in one word, such as smile=1.5.

    Args:
        name: the form of the word, for the help.
        types: of the two values.
        expected: what is expected, in words.
    """

    def __init__(self, name: str, types: tuple[type, type], expected: str):
        self.name, self.types, self.expected = name, types, expected
        self.sign = "=" if "=" in name else ":"

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        parts = [part.strip() for part in value.split(self.sign, 1)]
        try:
            if len(parts) < 2 or not all(parts):
                raise ValueError
            return tuple(kind(part) for kind, part in zip(self.types, parts, strict=True))
        except ValueError:
            self.fail(f"{value!r}: expected {self.expected}", param, ctx)


EDIT = Pair("name=amount", (str, float), "a name and a number, like smile=1.5")
CHOICE = Pair("name=variant", (str, str), "two names, like mouth=laugh")
SEEDS = Pair("seed:seed", (int, int), "two seeds, like 7:12")
FILE = click.Path(dir_okay=False)

output = option("-o --output", "File or folder", metavar="OUT", required=True)
overwrite = option("--overwrite", "Replacement of existing files", is_flag=True)
mark = option(
    "--mark/--no-mark",
    "Metadata by which files say that a network has drawn them (XMP, DigitalSourceType)",
    default=True,
)
device = option("--device", "Processor: auto, cpu, cuda or cuda:N", default="auto")


def model_option(name: str, default: str | None, show_default: str | bool = True) -> Any:
    """Decorator: --style or --model, with the default of a command."""
    help = f"{name[2:].title()}: a name from `toonify styles`, a folder, or OWNER/NAME on the Hub"
    return option(name, help, default=default, show_default=show_default)


def drawing(source: str) -> Any:
    """Decorator: the options of `DrawOptions`, --quality and --device.

    Args:
        source: what is drawn, "photo" or "video".
    """
    faces = click.Choice(("all", "largest", "none"))
    strength = f"Mixture, from 0 (the {source}) to 1 (the drawing)"
    quality = "Best generator of the style, or a fast one if there is one"
    decorators = [
        option("--faces", "Faces that are drawn on their own if small", faces, default="all"),
        option("--strength", strength, click.FloatRange(0, 1), default=1.0),
        option("--keep-color", f"Colors of the {source}, not of the style", is_flag=True),
        option("--quality", quality, click.Choice(hub.QUALITIES), default="best"),
        device,
    ]
    return lambda function: functools.reduce(lambda f, add: add(f), reversed(decorators), function)


def pick(kind: type[T], values: dict[str, Any]) -> T:
    """The dataclass `kind` made of those of the values that it has fields for."""
    assert dataclasses.is_dataclass(kind)
    return kind(**{field.name: values[field.name] for field in dataclasses.fields(kind)})


def refuse(names: str, why: str) -> None:
    """Raises click.UsageError if one of these parameters was typed."""
    context = click.get_current_context()
    typed = [
        max(parameter.opts, key=len)
        for parameter in context.command.params
        if parameter.name in names.split()
        and context.get_parameter_source(parameter.name) is ParameterSource.COMMANDLINE
    ]
    if typed:
        raise click.UsageError(f"{', '.join(typed)}: {why}")


@contextlib.contextmanager
def reported(*failures: type[ValueError]) -> Iterator[None]:
    """Errors become usage errors or failures, each in one sentence.

    Args:
        failures: kinds of ValueError that are failures; others are wrong usage.
    """
    try:
        yield
    except failures as error:
        raise click.ClickException(str(error)) from error
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    except OSError as error:  # no network, no permission, or the disk is full
        message = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        raise click.ClickException(message) from error
    except (MemoryError, RuntimeError) as error:  # torch and OpenVINO run out of memory
        raise click.ClickException((str(error) or "out of memory").splitlines()[0]) from error
