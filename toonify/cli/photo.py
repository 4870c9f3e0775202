"""`python -m toonify photo IN... -o OUT`: draws photos."""

import argparse
import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

from toonify import files, hub, images
from toonify.cli import launch
from toonify.cli.options import FAILED, OK, UsageError, add_drawing_options, edit, within
from toonify.cli.paths import Job, names_one_file, plan

HELP = """\
Draws photos. With --model animegan, the default, the whole photo is drawn, and faces that would
come out too small are drawn on their own and put back. With --model stylegan faces are drawn as
toons by a network that knows faces, and the rest of the photo stays.

IN is a photo, a folder (its photos; with --recursive those in deeper folders too) or a glob.
OUT is a file where IN is one photo and OUT ends in .jpg, .png, .webp and so on; otherwise it is a
folder, and every drawing in it has its photo's name. A suffix that cannot be written becomes .png,
and of two drawings that would get the same name the second is called NAME-2. What exists already
is skipped, and a photo is never replaced.

Several photos are worked on at once. Under `accelerate launch`, `torchrun` or `mpirun` each process
draws its share of them."""

EXAMPLES = """\
examples:
  python -m toonify photo me.jpg -o toon.png
  python -m toonify photo holidays -o toons --recursive
  python -m toonify photo 'trip/*.jpg' portrait.png -o toons/ --strength 0.7 --keep-colour
  python -m toonify photo me.jpg -o toon.png --model stylegan --blend 64 --edit smile=1.5
  python -m toonify photo me.jpg -o toon.png --model stylegan --refine-steps 100 \\
      --save-latent me.npz
  torchrun --nproc_per_node 2 -m toonify photo holidays -o toons
  python -m toonify photo me.jpg -o toon.png --model stylegan --base models/ffhq256 \\
      --style models/toon256 --refine-steps 300

exit status: 0 all drawn or skipped, 1 some failed, 2 wrong usage"""

MODELS = ("animegan", "stylegan")  # the families of styles that draw photos


def add_to(commands) -> None:
    """Adds the command and its options."""
    photo = commands.add_parser(
        "photo",
        help="draw photos",
        description=HELP,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    photo.set_defaults(run=run, parser=photo)
    photo.add_argument("inputs", nargs="+", metavar="IN", help="photo, folder or glob")
    photo.add_argument("-o", "--output", required=True, metavar="OUT", help="file or folder")
    photo.add_argument(
        "--model",
        choices=MODELS,
        default="animegan",
        help="draw the photo, or its faces as toons (default: %(default)s)",
    )
    photo.add_argument(
        "--style",
        help="a name from `python -m toonify styles`, a folder, or owner/repo on the Hugging Face"
        f" Hub (default: {hub.DEFAULT_STYLE}; with --model stylegan its first style)",
    )
    photo.add_argument(
        "--faces",
        choices=("all", "largest", "none"),
        default="all",
        help="which faces get a drawing of their own; none, with --model animegan only, does not"
        " look for faces (default: %(default)s)",
    )
    add_drawing_options(photo, "photo")
    photo.add_argument("--recursive", action="store_true", help="search folders to any depth")
    photo.add_argument("--overwrite", action="store_true", help="draw again what exists")

    add_stylegan_options(photo.add_argument_group("with --model stylegan"))


def add_stylegan_options(group) -> None:
    """What only --model stylegan understands. None: not typed, so that the other can refuse it."""
    group.add_argument(
        "--base",
        metavar="NAME",
        help="the generator that faces are found in, MobileStyleGAN or StyleGAN2: a name, a folder"
        f" or owner/repo (default: {hub.DEFAULT_BASE}); --style is a toon tuned from it",
    )
    group.add_argument(
        "--encoder",
        metavar="NAME",
        help="the base's encoder, likewise (default: the folder `encoder` in the base's); without"
        " one, --refine-steps finds faces",
    )
    group.add_argument(
        "--blend",
        type=int,
        choices=hub.BLENDS,
        metavar="PX",
        help="layers below this size, 4 to 1024, give the shape, the rest detail (default:"
        " the style's own)",
    )
    group.add_argument(
        "--blend-width",
        type=within(0, 2),
        metavar="OCTAVES",
        help="how softly the one passes into the other, 0 to 2 (default: 0)",
    )
    group.add_argument(
        "--shape-from",
        choices=("toon", "base"),
        help="whether the toon or the photo-like base gives the shape (default: toon)",
    )
    group.add_argument(
        "--truncation",
        type=within(0, 1),
        metavar="0..1",
        help="from the mean face (0) to the person (1, the default)",
    )
    group.add_argument(
        "--refine-steps",
        type=int,
        metavar="N",
        help="steps towards the likeness, some 0.4 s each on two cores (default: 0)",
    )
    group.add_argument(
        "--edit",
        dest="edits",
        type=edit,
        action="append",
        metavar="NAME=AMOUNT",
        help="move the face, for example smile=1.5; may be repeated"
        f" ({', '.join(hub.directions()) or 'the bundled base knows no names'})",
    )
    group.add_argument(
        "--latent", metavar="FILE.npz", help="draw this face in place of the largest one"
    )
    group.add_argument(
        "--save-latent",
        metavar="FILE.npz",
        help="keep the largest face, as it was found, for --latent; for one photo only",
    )


def run(options: argparse.Namespace) -> int:
    """Draws every photo that has no drawing yet; one that fails does not stop the others."""
    check_model(options)
    at = launch.find_place()
    jobs, failures = plan(options.inputs, options.output, options.recursive)
    # Shared out before what exists is looked for: it becomes more while others draw.
    jobs = at.share(jobs)
    if at.local_rank:
        failures = {}  # the inputs without photos: the first process of a machine tells them
    waiting = [job for job in jobs if options.overwrite or not os.path.lexists(job.target)]
    drawn = 0
    try:
        if waiting:
            files.discard_unfinished(job.target for job in waiting)
            draw = OPENERS[options.model](options)
            with warnings.catch_warnings():
                # Pillow's remarks on odd files: what matters of them is in the failures.
                warnings.filterwarnings("ignore", module="PIL")
                drawn = draw_all(waiting, draw, failures, quiet=at.local_rank > 0)
    except OSError as error:  # the style's weights cannot be had just now
        print(f"python -m toonify: {error}", file=sys.stderr)
        return FAILED
    for source, why in failures.items():
        print(f"failed: {source}: {why}", file=sys.stderr)
    return report(drawn, len(jobs) - len(waiting), len(failures), at)


def report(drawn: int, skipped: int, failed: int, at: launch.Place) -> int:
    """Says what came of this process's photos, and the first one of all; the exit status."""
    if at.world == 1:
        print(summary(drawn, skipped, failed))
        return FAILED if failed else OK
    print(f"process {at.rank + 1} of {at.world}: {summary(drawn, skipped, failed)}", flush=True)
    together = launch.add_up((drawn, skipped, failed), at)
    if together is None:
        print("another process did not finish; run this again to draw the rest", file=sys.stderr)
        return FAILED
    if at.rank == 0 and together != [drawn, skipped, failed]:
        print(f"together: {summary(*together)}")
    return FAILED if together[2] else OK


def summary(drawn: int, skipped: int, failed: int) -> str:
    """The three counts in words."""
    parts = [f"{drawn} drawn"]
    parts += [f"{skipped} skipped (there already; --overwrite draws them again)"] * bool(skipped)
    parts += [f"{failed} failed"] * bool(failed)
    return ", ".join(parts)


def check_model(options: argparse.Namespace) -> None:
    """UsageError for options that the chosen model does not know, or that contradict each other."""
    typed = [f"--{name.replace('_', '-')}" for name in STYLEGAN if vars(options)[name] is not None]
    if options.model == "animegan":
        if typed:
            typed = ["--edit" if name == "--edits" else name for name in typed]
            raise UsageError(
                f"{', '.join(typed)}: --model animegan does not know that; add --model stylegan"
            )
        return
    if options.quality != "best":
        raise UsageError(
            f"--quality {options.quality}: --model stylegan does not know that; expected best"
        )
    if options.faces == "none":
        raise UsageError("--faces none: --model stylegan draws faces only; expected all, largest")
    if options.save_latent is not None:
        target = Path(options.save_latent)
        if target.suffix != ".npz":
            raise UsageError(f"--save-latent {options.save_latent!r}: expected a name in .npz")
        if not names_one_file(options.inputs):
            raise UsageError("--save-latent: expected one photo, there are several here")
        if os.path.lexists(target) and not options.overwrite:
            raise UsageError(
                f"--save-latent {options.save_latent!r} is there already; --overwrite replaces it"
            )


def open_animegan(options: argparse.Namespace) -> Callable:
    """A function that draws paths with the options that were typed, and yields their outcomes.

    Its second argument `write(path, image)` is called with each drawing; the result of an outcome
    is what there is to say of the photo.
    """
    # Here and not above: torch takes seconds, and a wrong path is told at once.
    from toonify.pipelines.animegan import AnimeGANPipeline, check_options
    from toonify.pipelines.options import DrawOptions

    try:
        settings = DrawOptions(options.faces, options.strength, options.keep_color)
        style = options.style or hub.DEFAULT_STYLE
        pipeline = AnimeGANPipeline.from_pretrained(
            style, device=options.device, quality=options.quality
        )
        check_options(pipeline.style, settings)
    except ValueError as error:
        raise UsageError(str(error)) from error

    def draw(paths, write):
        def finish(path, toon):
            write(path, toon.image)
            return []

        return pipeline.map(paths, finish=finish, options=settings)

    return draw


def open_stylegan(options: argparse.Namespace) -> Callable:
    """The same through w; says which faces of a photo were left alone, and why."""
    from toonify.pipelines.options import PortraitOptions
    from toonify.pipelines.stylegan import StyleGANPipeline, swap_for

    typed = {name: vars(options)[name] for name in STYLEGAN if vars(options)[name] is not None}
    source, save = typed.pop("latent", None), typed.pop("save_latent", None)
    typed["edits"] = dict(typed.get("edits", ()))
    networks = {name: typed.pop(name) for name in ("base", "encoder") if name in typed}
    mix = {name: typed[name] for name in ("blend", "blend_width", "shape_from") if name in typed}
    try:
        settings = PortraitOptions(options.faces, options.strength, options.keep_color, **typed)
        swap = swap_for(options.style, **mix)
        pipeline = StyleGANPipeline.from_pretrained(**networks, device=options.device)
        pipeline.check_options(settings, given=int(source is not None))
        pipeline.engine(swap)
        latent = None if source is None else pipeline.load_latent(source)
    except ValueError as error:
        raise UsageError(str(error)) from error

    def draw(paths, write):
        def finish(path, toon):
            if save is not None and toon.portraits:
                Path(save).parent.mkdir(parents=True, exist_ok=True)
                pipeline.save_latent(save, toon.portraits[0].latent)
            write(path, toon.image)
            remarks = [] if toon.faces else ["no face found, the photo is unchanged"]
            return remarks + [f"a face was left alone: {reason}" for _, reason in toon.left_alone]

        return pipeline.map(paths, swap.style, finish=finish, latent=latent, options=settings)

    return draw


# What --model names -> what opens it, and the options of the second that the first does not know.
OPENERS = {"animegan": open_animegan, "stylegan": open_stylegan}
STYLEGAN = (
    *("base", "encoder", "blend", "blend_width", "shape_from", "truncation", "refine_steps"),
    *("edits", "latent", "save_latent"),
)


def draw_all(jobs: list[Job], draw: Callable, failures: dict[str, str], quiet: bool) -> int:
    """Draws and saves; returns how many came out and adds the others to `failures`."""
    from tqdm import tqdm

    targets = {job.source: job.target for job in jobs}
    drawn = 0
    outcomes = draw(targets, lambda path, image: images.save(image, targets[path]))
    # disable=None: a bar on a terminal, nothing in a log file.
    bar = {"disable": True if quiet else None, "file": sys.stderr}
    for outcome in tqdm(outcomes, total=len(jobs), unit="photo", **bar):
        if outcome.error is not None:
            failures[str(outcome.photo)] = reason(outcome.error, targets[outcome.photo])
            continue
        drawn += 1
        for remark in outcome.result:
            tqdm.write(f"{outcome.photo}: {remark}", file=sys.stderr)
    return drawn


def reason(error: Exception, target: Path) -> str:
    """Why a photo could not be drawn, for people."""
    if isinstance(error, images.ImageError):
        return str(error)
    if isinstance(error, OSError):
        return f"cannot write {target}: {error.strerror or error}"
    # torch and OpenVINO run out of memory
    return f"could not be drawn: {(str(error) or 'out of memory').splitlines()[0]}"
