"""`python -m toonify photo IN... -o OUT`: draws photos."""

import argparse
import dataclasses
import glob
import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

from toonify import hub, images
from toonify.cli.options import FAILED, OK, UsageError, edit, within

HELP = """\
Draws photos. With --model animegan, the default, the whole photo is drawn, and faces that would
come out too small are drawn on their own and put back. With --model stylegan faces are drawn as
toons by a network that knows faces, and the rest of the photo stays.

IN is a photo, a folder (its photos; with --recursive those in deeper folders too) or a glob.
OUT is a file where IN is one photo and OUT ends in .jpg, .png, .webp and so on; otherwise it is a
folder, and every drawing in it has its photo's name. A suffix that cannot be written becomes .png,
and of two drawings that would get the same name the second is called NAME-2. What exists already
is skipped, and a photo is never replaced."""

EXAMPLES = """\
examples:
  python -m toonify photo me.jpg -o toon.png
  python -m toonify photo holidays -o toons --recursive
  python -m toonify photo 'trip/*.jpg' portrait.png -o toons/ --strength 0.7 --keep-colour
  python -m toonify photo me.jpg -o toon.png --model stylegan --blend 64 --edit smile=1.5
  python -m toonify photo me.jpg -o toon.png --model stylegan --refine-steps 100 \\
      --save-latent me.npz
  python -m toonify photo me.jpg -o toon.png --model stylegan --base models/ffhq256 \\
      --style models/toon256 --refine-steps 300

exit status: 0 all drawn or skipped, 1 some failed, 2 wrong usage"""

MODELS = ("animegan", "stylegan")  # the families of styles that draw photos


@dataclasses.dataclass(frozen=True)
class Job:
    """One photo and where its drawing goes."""

    source: Path
    target: Path


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
    photo.add_argument(
        "--strength",
        type=within(0, 1),
        default=1.0,
        metavar="0..1",
        help="from the photo (0) to the drawing (1, the default)",
    )
    photo.add_argument("--keep-colour", action="store_true", help="keep the photo's colours")
    photo.add_argument("--recursive", action="store_true", help="search folders to any depth")
    photo.add_argument("--overwrite", action="store_true", help="draw again what exists")
    photo.add_argument(
        "--device", default="auto", help="auto, cpu, cuda or cuda:N (default: %(default)s)"
    )

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
    jobs, failures = plan(options.inputs, options.output, options.recursive)
    waiting = [job for job in jobs if options.overwrite or not os.path.lexists(job.target)]
    drawn = 0
    try:
        if waiting:
            draw = OPENERS[options.model](options)
            with warnings.catch_warnings():
                # Pillow's remarks on odd files: what matters of them is in the failures.
                warnings.filterwarnings("ignore", module="PIL")
                drawn = draw_all(waiting, draw, failures)
    except OSError as error:  # the style's weights cannot be had just now
        print(f"python -m toonify: {error}", file=sys.stderr)
        return FAILED
    for source, why in failures.items():
        print(f"failed: {source}: {why}", file=sys.stderr)
    skipped = len(jobs) - len(waiting)
    parts = [f"{drawn} drawn"]
    parts += [f"{skipped} skipped (there already; --overwrite draws them again)"] * bool(skipped)
    parts += [f"{len(failures)} failed"] * bool(failures)
    print(", ".join(parts))
    return FAILED if failures else OK


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


def open_animegan(options: argparse.Namespace) -> Callable[[Path], "images.Image.Image"]:
    """A function from a photo's path to its drawing, with the options that were typed."""
    # Here and not above: torch takes seconds, and a wrong path is told at once.
    from toonify.pipelines.animegan import AnimeGANPipeline, check_options

    settings = {
        "faces": options.faces,
        "strength": options.strength,
        "keep_colour": options.keep_colour,
    }
    try:
        style = options.style or hub.DEFAULT_STYLE
        pipeline = AnimeGANPipeline.from_pretrained(style, device=options.device)
        check_options(pipeline.style, options.faces, options.strength)
    except ValueError as error:
        raise UsageError(str(error)) from error
    return lambda path: pipeline(path, **settings).image


def open_stylegan(options: argparse.Namespace) -> Callable[[Path], "images.Image.Image"]:
    """The same through w. Says on stderr which faces of a photo were left alone, and why."""
    from toonify.pipelines.stylegan import StyleGANPipeline, swap_for

    typed = {name: vars(options)[name] for name in STYLEGAN if vars(options)[name] is not None}
    source, save = typed.pop("latent", None), typed.pop("save_latent", None)
    typed["edits"] = dict(typed.get("edits", ()))
    networks = {name: typed.pop(name) for name in ("base", "encoder") if name in typed}
    mix = {name: typed[name] for name in ("blend", "blend_width", "shape_from") if name in typed}
    settings = {"faces": options.faces, "strength": options.strength, **typed}
    settings["keep_colour"] = options.keep_colour
    try:
        swap = swap_for(options.style, **mix)
        pipeline = StyleGANPipeline.from_pretrained(**networks, device=options.device)
        pipeline.check_options(
            options.faces,
            options.strength,
            typed.get("truncation", 1.0),
            typed.get("refine_steps", 0),
            typed["edits"],
            given=int(source is not None),
        )
        pipeline.engine(swap)
        latent = None if source is None else pipeline.load_latent(source)
    except ValueError as error:
        raise UsageError(str(error)) from error

    def draw(path):
        toon = pipeline(path, swap.style, latent=latent, **settings)
        if not toon.faces:
            print(f"{path}: no face found, the photo is unchanged", file=sys.stderr)
        for _, reason in toon.left_alone:
            print(f"{path}: a face was left alone: {reason}", file=sys.stderr)
        if save is not None and toon.portraits:
            Path(save).parent.mkdir(parents=True, exist_ok=True)
            pipeline.save_latent(save, toon.portraits[0].latent)
        return toon.image

    return draw


# What --model names -> what opens it, and the options of the second that the first does not know.
OPENERS = {"animegan": open_animegan, "stylegan": open_stylegan}
STYLEGAN = (
    *("base", "encoder", "blend", "blend_width", "shape_from", "truncation", "refine_steps"),
    *("edits", "latent", "save_latent"),
)


def draw_all(jobs: list[Job], draw: Callable, failures: dict[str, str]) -> int:
    """Draws and saves; returns how many came out and adds the others to `failures`."""
    from tqdm import tqdm

    drawn = 0
    # disable=None: a bar on a terminal, nothing in a log file.
    for job in tqdm(jobs, unit="photo", disable=None, file=sys.stderr):
        try:
            images.save(draw(job.source), job.target)
            drawn += 1
        except images.ImageError as error:
            failures[str(job.source)] = str(error)
        except OSError as error:
            failures[str(job.source)] = f"cannot write {job.target}: {error.strerror or error}"
        except (MemoryError, RuntimeError) as error:  # torch and OpenVINO run out of memory so
            reason = (str(error) or "out of memory").splitlines()[0]
            failures[str(job.source)] = f"could not be drawn: {reason}"
    return drawn


def plan(inputs: list[str], output: str, recursive: bool) -> tuple[list[Job], dict[str, str]]:
    """The jobs that inputs and output mean, and the inputs that mean nothing with the reason.

    Raises UsageError where the output cannot be what it has to be, or would replace an input.
    """
    out = Path(output)
    is_folder = out.is_dir() or output.endswith((os.sep, "/"))
    if names_one_file(inputs) and out.suffix and not is_folder:
        if out.suffix.lower() not in images.SAVES:
            raise UsageError(
                f"--output {output!r} ends in {out.suffix!r}: expected one of"
                f" {', '.join(images.SAVES)}, or a / at the end for a folder"
            )
        found, failures = search(inputs, out, recursive)
        jobs = [Job(source, out) for source, _ in found]
    else:
        if out.exists() and not out.is_dir():
            raise UsageError(f"--output {output!r} is a file: expected a folder for these inputs")
        if out.suffix.lower() in images.SAVES and not is_folder:
            raise UsageError(
                f"--output {output!r} looks like one file, and the input is not one photo:"
                " expected a folder (a / at the end makes it one)"
            )
        found, failures = search(inputs, out, recursive)
        jobs = [Job(source, out / name) for source, name in name_results(found)]
    sources = {os.path.realpath(job.source) for job in jobs}
    for job in jobs:
        if os.path.realpath(job.target) in sources:
            raise UsageError(
                f"--output {output!r}: {job.target} is one of the photos, and photos are never"
                " replaced; choose another folder or name"
            )
    return jobs, failures


def names_one_file(inputs: list[str]) -> bool:
    """Whether what was typed is one file's name: not several, no folder, and no glob."""
    text = inputs[0]
    is_glob = glob.has_magic(text) and not os.path.lexists(text)
    return len(inputs) == 1 and not is_glob and not os.path.isdir(text)


def search(
    inputs: list[str], out: Path, recursive: bool
) -> tuple[list[tuple[Path, Path]], dict[str, str]]:
    """Photos as (path, folder of the result below OUT), each once, and the inputs without any."""
    found: dict[str, tuple[Path, Path]] = {}
    failures = {}
    for text in inputs:
        # A name that exists is that name, even with a * in it.
        exists = os.path.lexists(text)
        matches = [text] if exists else sorted(glob.glob(text, recursive=True))
        if not matches:
            failures[text] = "nothing matches" if glob.has_magic(text) else "there is no such file"
        for match in map(Path, matches):
            below = [(match, Path())]
            if match.is_dir():
                try:
                    paths = photos(match, recursive)
                except OSError as error:
                    failures[str(match)] = f"cannot be searched: {error.strerror}"
                    continue
                if inside(out, match):  # A second run must not draw the drawings.
                    paths = [path for path in paths if not inside(path, out)]
                below = [(path, path.parent.relative_to(match)) for path in paths]
                if not below:
                    deeper = "" if recursive else "; --recursive searches deeper folders too"
                    failures[str(match)] = f"no photo in this folder{deeper}"
            for path, at in below:
                found.setdefault(os.path.realpath(path), (path, at))
    return list(found.values()), failures


def photos(folder: Path, recursive: bool) -> list[Path]:
    """The files of a folder that have a photo's suffix, in order; hidden ones are left out."""
    paths = folder.rglob("*") if recursive else folder.iterdir()
    return sorted(
        path
        for path in paths
        if path.suffix.lower() in images.EXTENSIONS
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and not path.is_dir()
    )


def inside(path: Path, folder: Path) -> bool:
    """Whether the path lies in the folder or deeper."""
    return Path(os.path.realpath(folder)) in Path(os.path.realpath(path)).parents


def name_results(found: list[tuple[Path, Path]]) -> list[tuple[Path, Path]]:
    """(photo, its drawing's path below OUT): the photo's name, with -2, -3 if that is taken."""

    def key(name: str) -> str:  # Some file systems do not tell A from a.
        return name.casefold()

    wanted = []
    for path, at in found:
        suffix = path.suffix if path.suffix.lower() in images.SAVES else ".png"
        wanted.append((path, at / path.stem, suffix))
    natural = {key(f"{name}{suffix}") for _, name, suffix in wanted}
    given: set[str] = set()
    results = []
    for path, name, suffix in wanted:
        result, number = f"{name}{suffix}", 1
        while key(result) in given or (number > 1 and key(result) in natural):
            number += 1
            result = f"{name}-{number}{suffix}"
        given.add(key(result))
        results.append((path, Path(result)))
    return results
