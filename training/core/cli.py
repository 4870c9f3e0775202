"""What the commands of all trainings share; PyTorch is imported after the options are parsed."""

import argparse
from collections.abc import Callable

from training.core.config import (
    OLD_PRESETS,
    RunSettings,
    add_settings,
    describe,
    saved_preset,
)


def parse(
    arguments: list[str] | None,
    about: str,
    presets: dict[str, RunSettings],
    *,
    more: Callable[[argparse.ArgumentParser], None] = lambda parser: None,
    leave_out: tuple[str, ...] = (),
    default: str | None = None,
) -> tuple[argparse.ArgumentParser, argparse.Namespace]:
    """Parses a command line: `--preset`, an option per setting, `--resume`, `--dry-run`.

    Args:
        arguments: the words of the command line; None: those of this process.
        about: the script's docstring, whose first line heads the help.
        presets: settings by preset.
        more: adds options of the script's own to the parser.
        leave_out: settings that get no option.
        default: the preset that is used without `--preset`.

    Returns:
        The parser and the parsed options. The help shows the values of the chosen preset.
    """
    first = argparse.ArgumentParser(add_help=False)
    first.add_argument("--preset")
    first.add_argument("--out")
    first.add_argument("--resume", action="store_true")
    known = first.parse_known_args(arguments)[0]
    preset = known.preset
    parser = argparse.ArgumentParser(description=about.split("\n")[0])
    try:
        saved = saved_preset(known)
    except ValueError as error:
        parser.error(str(error))
    default = saved if saved in presets else default
    more(parser)
    add_settings(parser, presets, leave_out, default, OLD_PRESETS.get(preset, preset))
    parser.add_argument(
        "--resume",
        action="store_true",
        help="continue the run in --out where it stopped, with its settings",
    )
    parser.add_argument("--dry-run", action="store_true", help="print the settings and stop")
    return parser, parser.parse_args(arguments)


def start(
    parser: argparse.ArgumentParser,
    options: argparse.Namespace,
    what: str,
    resolve: Callable[[], RunSettings],
    prepare: Callable,
) -> None:
    """Resolves the settings, prints them, and trains.

    The process exits with status 2 for wrong usage (a ValueError), and with 1 if the disk is full,
    a loss is not finite, or the Hub refuses the repository of `--push-to-hub`.

    Args:
        parser, options: what `parse` returned.
        what: the name of the training, for the terminal.
        resolve: returns the settings.
        prepare: (settings, device) -> `Objective`.
    """
    from training.core import hub_callback
    from training.core.trainer import pick_device, set_threads, train

    try:
        settings = resolve()
        hub_callback.check_can_push(settings)
        print(f"{what}, preset {options.preset}:\n{describe(settings)}")
        if options.dry_run:
            return
        device = pick_device()
        if device.type == "cpu":
            print(f"Training on the CPU with {set_threads(settings.threads)} threads a process")
        objective = prepare(settings, device)
        progress = train(objective, settings, resume=options.resume, preset=options.preset)
    except ValueError as error:
        parser.error(str(error))
    except (OSError, FloatingPointError) as error:
        parser.exit(1, f"{parser.prog}: {error}\n")
    print(f"{progress.images} images in {progress.seconds / 60:.1f} minutes; {settings.out}/model")
