"""What the command lines of all training scripts have in common."""

import argparse
from collections.abc import Callable

from training.core import hub_callback
from training.core.config import RunSettings, add_settings, describe
from training.core.trainer import Objective, train


def parse(
    arguments: list[str] | None,
    about: str,
    presets: dict[str, RunSettings],
    *,
    more: Callable[[argparse.ArgumentParser], None] = lambda parser: None,
    leave_out: tuple[str, ...] = (),
    default: str | None = None,
) -> tuple[argparse.ArgumentParser, argparse.Namespace]:
    """The parser and what was typed: `--preset`, an option a setting, `--resume`, `--dry-run`.

    `about` is a script's docstring, of which the first line is shown; `more` adds options of the
    script's own; settings in `leave_out` get none. `default` is the preset taken if none is named.
    """
    parser = argparse.ArgumentParser(
        description=about.split("\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    more(parser)
    add_settings(parser, presets, leave_out, default)
    parser.add_argument("--resume", action="store_true", help="go on where the run stopped")
    parser.add_argument("--dry-run", action="store_true", help="print the settings and stop")
    return parser, parser.parse_args(arguments)


def start(
    parser: argparse.ArgumentParser,
    options: argparse.Namespace,
    what: str,
    settle: Callable[[], RunSettings],
    prepare: Callable[[RunSettings], Objective],
) -> None:
    """Settles the settings, prints them, and trains what `prepare` makes of them.

    A ValueError of either is wrong usage (exit status 2), a full disk, a loss that is not finite or
    no right to publish a failed run (1).
    """
    try:
        settings = settle()
        hub_callback.check_can_push(settings)
        print(f"{what}, preset {options.preset}:\n{describe(settings)}")
        if options.dry_run:
            return
        objective = prepare(settings)
        progress = train(objective, settings, resume=options.resume, preset=options.preset)
    except ValueError as error:
        parser.error(str(error))
    except (OSError, FloatingPointError) as error:
        parser.exit(1, f"{parser.prog}: {error}\n")
    print(f"{progress.images} images in {progress.seconds / 60:.1f} minutes; {settings.out}/model")
