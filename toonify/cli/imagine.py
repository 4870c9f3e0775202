"""`python -m toonify imagine -o OUT`: new cartoon faces, as a grid, in a folder or in a loop."""

import argparse
import os
import sys
from pathlib import Path

from toonify import hub, images
from toonify.cli.options import OK, UsageError, choice, edit, failed, whole, within
from toonify.video import CLIPS

NUMBER, AT, FPS, FRAMES = 16, 16, 24, 24  # unless told: FRAMES is for each face of a film

HELP = """\
Draws cartoon faces that nobody has seen. A face belongs to its seed: the same number draws the same
face again, alone or among others.

OUT is a picture with all faces in rows, or a folder (a / at the end makes it one) with a picture of
each, named by its seed. With --interpolate it is a film in .mp4, .gif or .webp, in which each face
turns into the next and the last into the first. What exists already is not replaced."""

EXAMPLES = """\
examples:
  python -m toonify imagine -n 16 --seed 7 -o grid.png
  python -m toonify imagine -n 100 -o faces/ --truncation 0.7 --edit smile=1.5
  python -m toonify imagine --seed 7 --choose hair=bun --choose mouth=laugh -o laughing.png
  python -m toonify imagine --mix 7:12 --mix 7:30 --at 16 -o mixed.png
  python -m toonify imagine --interpolate 5 --seed 7 -o loop.mp4

exit status: 0 all drawn or skipped, 1 something failed, 2 wrong usage"""


def add_to(commands) -> None:
    """Adds the command and its options."""
    imagine = commands.add_parser(
        "imagine",
        help="draw new cartoon faces",
        description=HELP,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    imagine.set_defaults(run=run, parser=imagine)
    bundled = hub.read_style(hub.BUNDLED / hub.DEFAULT_FACES, hub.DEFAULT_FACES).attributes
    imagine.add_argument("-o", "--output", required=True, metavar="OUT", help="file or folder")
    imagine.add_argument(
        "-n", "--number", type=whole(1), metavar="N", help=f"how many faces (default: {NUMBER})"
    )
    imagine.add_argument(
        "--seed",
        type=whole(0),
        metavar="SEED",
        help="of the first face; each other has one more than the one before (default: 0)",
    )
    imagine.add_argument(
        "--model",
        default=hub.DEFAULT_FACES,
        metavar="NAME",
        help="a name from `python -m toonify styles`, a folder, or owner/repo on the Hugging Face"
        " Hub (default: %(default)s)",
    )
    imagine.add_argument(
        "--truncation",
        type=within(0, 1),
        default=1.0,
        metavar="0..1",
        help="from the mean face (0) to all the network can draw (1, the default)",
    )
    imagine.add_argument(
        "--edit",
        dest="edits",
        type=edit,
        action="append",
        default=[],
        metavar="NAME=AMOUNT",
        help="move every face, for example smile=1.5; may be repeated"
        f" ({', '.join(hub.directions(hub.DEFAULT_FACES)) or 'the names are those of the model'})",
    )
    imagine.add_argument(
        "--choose",
        dest="choices",
        type=choice,
        action="append",
        default=[],
        metavar="NAME=VARIANT",
        help="what every face is to have, for example mouth=laugh; all else stays as its seed has"
        f" it; may be repeated ({', '.join(bundled) or 'the names are those of the model'})",
    )
    imagine.add_argument(
        "--columns",
        type=whole(1),
        metavar="N",
        help="faces in a row (default: about as many as rows)",
    )
    mixing = imagine.add_argument_group("mixing two faces")
    mixing.add_argument(
        "--mix",
        dest="mixes",
        type=pair,
        action="append",
        metavar="SEED:SEED",
        help="the shape of the first with the detail of the second, in place of -n and --seed; may"
        " be repeated",
    )
    mixing.add_argument(
        "--at",
        type=whole(4),
        metavar="PX",
        help=f"layers below this size are the first face's: 4, 8, ... (default: {AT})",
    )
    film = imagine.add_argument_group("a film of faces")
    film.add_argument(
        "--interpolate",
        type=whole(2),
        metavar="N",
        help="so many faces turn into each other, and the last into the first",
    )
    film.add_argument(
        "--frames",
        type=whole(2),
        metavar="N",
        help=f"pictures in the film (default: {FRAMES} for each face)",
    )
    film.add_argument(
        "--fps", type=whole(1), metavar="N", help=f"pictures a second, 1 to 60 (default: {FPS})"
    )
    imagine.add_argument("--overwrite", action="store_true", help="draw again what exists")
    imagine.add_argument(
        "--device", default="auto", help="auto, cpu, cuda or cuda:N (default: %(default)s)"
    )


def pair(text: str) -> tuple[int, int]:
    """argparse type: the seeds of two faces."""
    try:
        first, second = (whole(0)(part) for part in text.split(":"))
    except (ValueError, argparse.ArgumentTypeError):
        raise argparse.ArgumentTypeError(f"{text!r}: expected two seeds, like 7:12") from None
    return first, second


def run(options: argparse.Namespace) -> int:
    """Draws what is asked for: a grid, a folder of faces, or a film."""
    check(options)
    from toonify.pipelines.toongan import ToonGANPipeline  # here: torch takes seconds

    try:
        pipeline = ToonGANPipeline.from_pretrained(options.model, device=options.device)
        if options.interpolate is not None:
            make_film(pipeline, options)
        else:
            make_pictures(pipeline, options)
    except images.ImageError as error:  # a grid that its format cannot hold
        return failed(error)
    except ValueError as error:
        raise UsageError(str(error)) from error
    except OSError as error:  # the weights cannot be had just now, or the disk refuses
        return failed(f"{error.filename}: {error.strerror}" if error.filename else error)
    except (MemoryError, RuntimeError) as error:  # torch and OpenVINO run out of memory so
        return failed((str(error) or "out of memory").splitlines()[0])
    return OK


def check(options: argparse.Namespace) -> None:
    """UsageError for options that contradict each other, or an output that cannot be theirs."""
    film, folder = options.interpolate is not None, is_folder(options.output)
    if options.mixes:
        refuse(options, "number seed interpolate", "not together with --mix, which names its seeds")
    else:
        refuse(options, "at", "only --mix knows that; add --mix SEED:SEED")
    if film:
        refuse(options, "number columns", "a film has --interpolate faces and no rows")
    else:
        refuse(options, "frames fps", "only a film knows that; add --interpolate N")
    out, suffixes = Path(options.output), CLIPS if film else tuple(images.SAVES)
    if folder and not film:
        refuse(options, "columns", "a folder has no rows")
        if out.exists() and not out.is_dir():
            raise UsageError(f"--output {options.output!r} is a file: expected a folder")
        return
    if folder or out.suffix.lower() not in suffixes:
        end = "" if film else ", or a / at the end for a folder"
        raise UsageError(
            f"--output {options.output!r}: expected a file that ends in one of"
            f" {', '.join(suffixes)}{end}"
        )
    if os.path.lexists(out) and not options.overwrite:
        raise UsageError(f"--output {options.output!r} is there already; --overwrite replaces it")


def refuse(options: argparse.Namespace, names: str, why: str) -> None:
    """UsageError if one of these options was typed."""
    typed = [f"--{name}" for name in names.split() if vars(options)[name] is not None]
    if typed:
        raise UsageError(f"{', '.join(typed)}: {why}")


def is_folder(output: str) -> bool:
    """Whether the name that was typed means a folder."""
    return Path(output).is_dir() or output.endswith((os.sep, "/")) or not Path(output).suffix


def make_pictures(pipeline, options: argparse.Namespace) -> None:
    """A grid of all faces, or a picture of each in a folder."""
    if options.mixes:
        faces = {f"{coarse}-{fine}": (coarse, fine) for coarse, fine in options.mixes}
    else:
        seed, number = options.seed or 0, options.number or NUMBER
        asked = dict(options.edits), dict(options.choices)
        pipeline.check_options(number, seed, options.truncation, *asked)
        faces = {str(seed): (seed,) for seed in range(seed, seed + number)}
    if not is_folder(options.output):
        pictures = [draw(pipeline, seeds, options) for seeds in shown(faces.values(), "face")]
        images.save(pipeline.grid(pictures, options.columns), options.output)
        print(f"{len(pictures)} drawn")
        return
    targets = {Path(options.output, f"{name}.png"): seeds for name, seeds in faces.items()}
    waiting = [path for path in targets if options.overwrite or not os.path.lexists(path)]
    for path in shown(waiting, "face"):
        images.save(draw(pipeline, targets[path], options), path)
    skipped = len(targets) - len(waiting)
    there = f", {skipped} skipped (there already; --overwrite draws them again)" * bool(skipped)
    print(f"{len(waiting)} drawn{there}")


def draw(pipeline, seeds: tuple[int, ...], options: argparse.Namespace) -> "images.Image.Image":
    """The face of one seed, or the mixture of two."""
    edits, choices = dict(options.edits), dict(options.choices)
    if len(seeds) == 1:
        return pipeline(1, *seeds, options.truncation, edits, choices)[0]
    coarse, fine = (pipeline.latents(1, seed, options.truncation, choices) for seed in seeds)
    w = pipeline.mix(coarse, fine, options.at or AT)
    return pipeline.draw(pipeline.edited(w, edits))[0]


def make_film(pipeline, options: argparse.Namespace) -> None:
    """The way through the faces and back to the first."""
    number = options.interpolate
    frames = options.frames or FRAMES * number
    choices = dict(options.choices)
    keys = pipeline.latents(number, options.seed or 0, options.truncation, choices)
    with shown(range(frames), "frame") as bar:
        pipeline.loop(
            pipeline.edited(keys, dict(options.edits)),
            options.output,
            frames,
            options.fps or FPS,
            progress=lambda fraction: bar.update(round(fraction * frames) - bar.n),
        )
    print(f"{frames} frames drawn")


def shown(things, unit: str):
    """The same things with a bar on a terminal, and nothing in a log file."""
    from tqdm import tqdm

    return tqdm(things, unit=unit, disable=None, file=sys.stderr)
