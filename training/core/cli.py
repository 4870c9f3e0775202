"""What the commands of all trainings share; PyTorch is imported after the options are parsed."""

import argparse
from collections.abc import Callable

from training.core.config import OLD_PRESETS, RunSettings, describe, saved_preset
from training.core.options import add_settings
from training.core.recipe import Recipe


def parse(
    arguments: list[str] | None,
    about: str,
    presets: dict[str, RunSettings],
    *,
    more: Callable[[argparse.ArgumentParser], None] = lambda parser: None,
    leave_out: tuple[str, ...] = (),
    default: str | None = None,
    recipe: str = "",
) -> tuple[argparse.ArgumentParser, argparse.Namespace]:
    """Parses a command line: `--preset`, an option per setting, `--config`, `--resume`, ...

    Args:
        arguments: the words of the command line; None: those of this process.
        about: the script's docstring, whose first line heads the help.
        presets: settings by preset.
        more: adds options of the script's own to the parser.
        leave_out: settings that get no option.
        default: the preset that is used without `--preset`.
        recipe: what is used instead, in words, if the script has a recipe for that case.

    Returns:
        The parser and the parsed options. The help shows the values of the chosen preset.
    """
    first = argparse.ArgumentParser(add_help=False)
    for name in ("--preset", "--out", "--config", "--resume-from"):
        first.add_argument(name)
    first.add_argument("--resume", action="store_true")
    known = first.parse_known_args(arguments)[0]
    preset = known.preset
    title = about.partition("\n")[0]
    parser = argparse.ArgumentParser(description=f"{title} The help shows the values of --preset.")
    try:
        saved = saved_preset(known)
    except ValueError as error:
        parser.error(str(error))
    default = saved if saved in presets else default
    more(parser)
    add_settings(parser, presets, leave_out, default, OLD_PRESETS.get(preset, preset), recipe)
    parser.add_argument(
        "--config",
        metavar="FILE",
        help="settings in a file: settings.json of a run, or YAML; options override them",
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help="continue the run in --out where it stopped, with its settings",
    )
    parser.add_argument(
        "--resume-from",
        metavar="CHECKPOINT",
        help="continue from this checkpoint, RUN/checkpoints/IMAGES, with the settings of its run: "
        "in that run, or in another --out",
    )
    parser.add_argument("--dry-run", action="store_true", help="print the settings and stop")
    options = parser.parse_args(arguments)
    options.resume = options.resume or bool(options.resume_from)
    return parser, options


def start(
    parser: argparse.ArgumentParser,
    options: argparse.Namespace,
    what: str,
    resolve: Callable[[], RunSettings],
    prepare: Callable,
    choose: Callable[[argparse.Namespace], Recipe] | None = None,
) -> None:
    """Resolves the settings, prints them, and trains.

    The process exits with status 2 for wrong usage (a ValueError), and with 1 if the disk is full,
    a loss is not finite, or the Hub refuses the repository of `--push-to-hub`.

    Args:
        parser, options: what `parse` returned.
        what: the name of the training, for the terminal.
        resolve: returns the settings.
        prepare: (settings, device) -> `Objective`.
        choose: (options) -> the recipe of a run without `--preset`.
    """
    from training.core import device, hub_callback
    from training.core.trainer import train

    try:
        if options.preset is None:
            recipe = choose(options)
            recipe.fill_in(options)
            print(recipe.explain(options), flush=True)
        settings = device.follow_launcher(resolve())
        hub_callback.check_can_push(settings)
        print(f"{what}, preset {options.preset}:\n{describe(settings)}", flush=True)
        if options.dry_run:
            return
        device.set_threads(settings.threads)
        if advice := device.missing_processes():
            print(advice, flush=True)
        objective = prepare(settings, device.pick_device())
        progress = train(
            objective,
            settings,
            resume=options.resume,
            resume_from=options.resume_from,
            preset=options.preset,
        )
    except ValueError as error:
        parser.error(str(error))
    except (OSError, FloatingPointError) as error:
        parser.exit(1, f"{parser.prog}: {error}\n")
    print(f"{progress.images} images in {progress.seconds / 60:.1f} minutes; {settings.out}/model")
