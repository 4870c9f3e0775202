"""`toonify photo IN... -o OUT`: draws photos."""

import functools
import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import click
from click import Choice, FloatRange, IntRange

from toonify import files, hub, images
from toonify.cli import bulk, launch, options, results
from toonify.cli.artist import Work
from toonify.cli.drawing import (
    HEAD_OPTIONS,
    Tally,
    describe,
    open_background,
    open_model,
    summarize,
)
from toonify.cli.options import FILE, option
from toonify.cli.paths import ALPHA_SAVES, STREAM, Job, names_one_file, plan
from toonify.cli.results import Results

PORTRAITS = "blend blend_width shape_from truncation refine_steps edits base encoder latent"
STYLEGAN, HEADS = "With --model stylegan", "With --model heads"
UNUSED_BY_HEADS = "style faces strength keep_color quality device background sticker"
portrait_option = functools.partial(option, section=STYLEGAN)
head_option = functools.partial(option, section=HEADS)


@options.command(
    examples="""
    photo me.jpg -o toon.png
    photo holidays -o toons --recursive
    photo 'trip/*.jpg' portrait.png -o toons/ --strength 0.7 --keep-color
    photo me.jpg -o toon.png --background transparent
    photo me.jpg -o sticker.webp --sticker
    photo - -o - < me.jpg > toon.png
    photo s3://bucket/photos shards/*.parquet -o s3://bucket/toons --engine ray
    photo me.jpg -o toon.png --model stylegan --blend 64 --edit smile=1.5
    photo me.jpg -o toon.png --model stylegan --refine-steps 100 --save-latent me.safetensors
    photo me.jpg -o character.png --model heads --blender-python blender/bin/python
    """,
    status="0 all drawn or skipped, 1 some failed",
)
@click.argument("inputs", metavar="IN...", nargs=-1, required=True, help="Photos")
@options.output
@option(
    "--model",
    "Network that draws the whole photo (animegan), or its faces as toons (stylegan); or a 3D"
    " character of its largest face, rendered by Blender (heads)",
    Choice(("animegan", "stylegan", "heads")),
    default="animegan",
)
@options.model_option(
    "--style", None, f"{hub.DEFAULT_STYLE}, or {hub.DEFAULT_TOON} with --model stylegan"
)
@options.drawing("photo")
@option(
    "--background",
    "Background behind people: draw, keep (the photo's), soften (the drawn one, blurred),"
    " transparent, or a color like white or #ffcf3f",
    metavar="WORD",
    default="draw",
)
@option(
    "--sticker",
    "People with a white rim and nothing around them; a .webp is a square of 512 px",
    is_flag=True,
)
@option("--recursive", "Photos in deeper folders too", is_flag=True)
@options.overwrite
@options.mark
@option(
    "--engine",
    "Where photos are drawn: in this process, or on the nodes of a Ray cluster",
    Choice(("local", "ray")),
    default="local",
)
@option(
    "--format form",
    "Format of a drawing that goes to stdout",
    Choice([suffix[1:] for suffix in images.SAVES]),
    show_default="png",
)
@results.as_json
@portrait_option("--base", "Generator that --style was tuned from", default=hub.DEFAULT_BASE)
@portrait_option("--encoder", "Encoder of the base", show_default="folder encoder of the base")
@portrait_option(
    "--blend",
    "Pixels, 4 to 1024: layers below give the shape, the others the detail",
    Choice(hub.BLENDS),
    show_default="that of the style",
    metavar="PX",
)
@portrait_option("--blend-width", "Octaves of transition at --blend", FloatRange(0, 2), default=0.0)
@portrait_option("--shape-from", "Generator of the shape", Choice(("toon", "base")), default="toon")
@portrait_option(
    "--truncation", "Likeness, 0 (the mean face) to 1 (the person)", FloatRange(0, 1), default=1.0
)
@portrait_option(
    "--refine-steps",
    "Optimization steps for a better likeness, about 0.4 s each on two cores",
    IntRange(0, 1000),
    default=0,
)
@options.pairs(
    "--edit edits",
    f"Change of the face, such as smile=1.5; repeatable ({', '.join(hub.directions())})",
    options.EDIT,
    STYLEGAN,
)
@portrait_option("--latent", "Face from --save-latent in place of the largest one", FILE)
@portrait_option(
    "--save-latent", "File in .safetensors for the largest face of a single photo", FILE
)
@head_option("--size", "Side in px", IntRange(64, 2048), default=512)
@head_option("--samples", "Samples a pixel", IntRange(1, 1024), default=16)
@head_option(
    "--blender-python",
    "Python 3.11 with Blender (bpy)",
    FILE,
    show_default="that of $TOONIFY_BLENDER_PYTHON",
)
def photo(
    inputs, output, model, recursive, overwrite, engine, save_latent, form, as_json, **values
) -> int:
    """Draws photos. With --model animegan the whole photo is drawn, and faces that would come out
    too small are drawn on their own and put back. With --model stylegan faces are drawn as toons
    by a network that knows faces, and the rest of the photo stays. With --model heads the largest
    face becomes a 3D cartoon head of its own, alone in a square picture.

    IN is a photo, a folder with photos, or a glob. OUT is a file if IN is one photo and OUT has the
    suffix of an image. Otherwise it is a folder, and each drawing gets the name of its photo; a
    suffix that cannot be written becomes .png, and a name that is taken gets a number, as in
    NAME-2. Existing files are skipped, and a photo is never replaced. IN - is a photo from stdin,
    and OUT - writes the drawing to stdout. What is transparent is written as PNG, unless OUT is a
    file or its photo has the suffix of another format that can be transparent.

    Several photos are drawn at once. Under `torchrun`, `accelerate launch` or `mpirun`, each
    process draws its share. With --engine ray, all nodes of a Ray cluster draw; then IN may also be
    a Parquet file with photos, and IN and OUT may be URLs, such as s3://bucket/folder.
    """
    check_model(model, inputs, overwrite, save_latent, values)
    place = launch.find_place()
    alpha = check_background(values["background"], values["sticker"], form)
    if engine == "ray":
        check_bulk(inputs, output, model, place)
        tally = Tally(Results(as_json), {})
        work = Work(model, values, alpha, overwrite)
        bulk.draw(inputs, output, recursive, work, tally)
        return report(tally, place)
    check_local(inputs, output)
    jobs, failures = plan(inputs, output, recursive, alpha)
    check_streams(inputs, output, as_json, place)
    shown = Results(as_json, output == STREAM)
    # Shared before existing files are looked for: other processes write some meanwhile.
    jobs = place.share(jobs)
    if place.local_rank:
        failures = {}  # the first process of a machine reports the inputs without photos
    there = set() if overwrite else {job for job in jobs if is_there(job)}
    waiting = [job for job in jobs if job not in there]
    tally = Tally(shown, failures)
    for source, why in failures.items():
        shown.add(results.FAILED, input=source, output=None, error=why)
    for job in jobs:
        if job in there:
            tally.add(results.SKIPPED, input=job.names[0], output=job.names[1])
    if waiting:
        with options.reported():
            change = open_background(values["background"], values["sticker"])
            files.discard_unfinished(job.target for job in waiting if job.target is not None)
            draw = open_model(model, values, save_latent)
        with warnings.catch_warnings():
            # Pillow's remarks on odd files: the failures have those that matter.
            warnings.filterwarnings("ignore", module="PIL")
            draw_all(waiting, draw, tally, form, place.local_rank > 0, change)
    return report(tally, place)


def is_there(job: Job) -> bool:
    """Whether a drawing exists already."""
    return job.target is not None and os.path.lexists(job.target)


def check_bulk(inputs, output: str, model: str, place: launch.Place) -> None:
    """Raises click.UsageError for options that do not fit --engine ray."""
    if model == "heads":
        raise click.UsageError("--engine ray: not with --model heads, which Blender renders here")
    options.refuse("form save_latent", "not together with --engine ray")
    if STREAM in (*inputs, output):
        raise click.UsageError("-: with --engine ray expected files, folders or URLs")
    if place.world > 1:
        raise click.UsageError(
            f"--engine ray: expected one process, and there are {place.world}; Ray starts its own"
        )


def check_local(inputs, output: str) -> None:
    """Raises click.UsageError for what only --engine ray reads and writes."""
    for text in (*inputs, output):
        if "://" in text and not os.path.lexists(text):
            raise click.UsageError(f"{text}: only --engine ray reads and writes URLs")


def check_streams(inputs, output: str, as_json: bool, place: launch.Place) -> None:
    """Raises click.UsageError for options that do not fit stdin and stdout."""
    if output != STREAM:
        options.refuse("form", "only with -o -; the name of a file says its format")
    elif as_json:
        raise click.UsageError("--json: not together with -o -, as the drawing goes to stdout")
    elif sys.stdout.isatty():
        raise click.UsageError("-o -: stdout is a terminal; expected a file or a pipe")
    if STREAM in inputs and sys.stdin.isatty():
        raise click.UsageError("IN -: stdin is a terminal; expected a file or a pipe")
    if STREAM in (*inputs, output) and place.world > 1:
        raise click.UsageError(f"-: expected one process, and there are {place.world}")


def report(tally: Tally, place: launch.Place) -> int:
    """Prints failures and counts, and the first process those of all; the exit status."""
    for source, why in tally.failures.items():
        print(f"failed: {source}: {why}", file=sys.stderr)
    counts = tally.drawn, tally.skipped, len(tally.failures)
    if place.world == 1:
        tally.shown.say(summarize(*counts))
        return int(bool(tally.failures))
    tally.shown.say(f"process {place.rank + 1} of {place.world}: {summarize(*counts)}")
    together = launch.add_up(counts, place)
    if together is None:
        raise click.ClickException("another process did not finish; run this again for the rest")
    if place.rank == 0 and together != list(counts):
        tally.shown.say(f"together: {summarize(*together)}")
    return int(together[2] > 0)


def check_model(model: str, inputs, overwrite: bool, save_latent: str | None, values) -> None:
    """Raises click.UsageError for options that do not fit the model or each other."""
    if model != "heads":
        options.refuse(HEAD_OPTIONS, "only with --model heads")
    if model != "stylegan":
        options.refuse(f"{PORTRAITS} save_latent", "only with --model stylegan")
    if model == "heads":
        return options.refuse(UNUSED_BY_HEADS, "not with --model heads")
    if model == "animegan":
        return None
    for name, expected in (("quality", ("best",)), ("faces", ("all", "largest"))):
        if values[name] not in expected:
            raise click.UsageError(
                f"--{name} {values[name]}: with --model stylegan expected {' or '.join(expected)}"
            )
    if save_latent is not None:
        if Path(save_latent).suffix not in (".safetensors", ".npz"):
            raise click.UsageError(
                f"--save-latent {save_latent!r}: expected a name in .safetensors"
            )
        if not names_one_file(inputs):
            raise click.UsageError(f"--save-latent {save_latent!r}: expected IN to be one photo")
        if os.path.lexists(save_latent) and not overwrite:
            raise click.UsageError(
                f"--save-latent {save_latent!r} exists already; --overwrite replaces it"
            )


def check_background(background: str, sticker: bool, form: str | None) -> bool:
    """Whether drawings are transparent; raises click.UsageError for options that do not fit."""
    if sticker:
        options.refuse("background", "not together with --sticker, which has none")
    alpha = sticker or background == "transparent"
    if alpha and form is not None and f".{form}" not in ALPHA_SAVES:
        expected = ", ".join(suffix[1:] for suffix in ALPHA_SAVES)
        raise click.UsageError(f"--format {form} cannot be transparent: expected {expected}")
    return alpha


def draw_all(
    jobs: list[Job],
    draw: Callable,
    tally: Tally,
    form: str | None,
    quiet: bool,
    change: Callable,
) -> None:
    """Draws and saves, and adds what became of each photo to `tally`.

    `form` is the format of a drawing that goes to stdout; `change` gives a drawing its background.
    """
    from tqdm import tqdm

    def finish(photo, image):
        target = work[photo].target
        suffix = f".{form or 'png'}" if target is None else target.suffix.lower()
        image, remarks = change(photo, image, suffix)
        write(image, target, form)
        return image.size, remarks

    work = {read(job): job for job in jobs}
    outcomes = draw(work, finish)
    # disable=None: a bar on a terminal, nothing in a log file.
    disable = True if quiet else None
    for outcome in tqdm(outcomes, total=len(jobs), unit="photo", disable=disable, file=sys.stderr):
        tally.add(**describe(outcome, *work[outcome.photo].names))
    tally.print_faces()


def read(job: Job) -> Path | bytes:
    """What a pipeline opens: the path of a photo, or what stdin has."""
    return sys.stdin.buffer.read(images.MAX_BYTES + 1) if job.source is None else job.source


def write(image, target: Path | None, form: str | None) -> None:
    """Writes a drawing into its file, or to stdout in a format, by default PNG."""
    if target is not None:
        images.save(image, target, alpha=True)
    else:
        sys.stdout.buffer.write(images.encode(image, f".{form or 'png'}", alpha=True))
        sys.stdout.buffer.flush()
