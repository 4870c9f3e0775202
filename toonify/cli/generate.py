"""`toonify generate -o OUT`: new cartoon faces, as a grid, in a folder or in a looping video."""

import os
import sys
from collections.abc import Iterable
from pathlib import Path

import click
from click import FloatRange, IntRange

from toonify import hub, images
from toonify.cli import options, results
from toonify.cli.drawing import summarize
from toonify.cli.options import option
from toonify.cli.results import Results
from toonify.video import SUFFIXES

MIXING, LOOP = "Mixtures of two faces", "Video of faces that turn into each other"
FRAMES = 24  # for each face of a video
BUNDLED = hub.read_style(hub.BUNDLED / hub.DEFAULT_FACES, hub.DEFAULT_FACES)


@options.command(
    examples="""
    generate -n 16 --seed 7 -o grid.png
    generate -n 100 -o faces/ --truncation 0.7 --edit smile=1.5
    generate --model faces --seed 7 --choose hair=bun --choose mouth=laugh -o laughing.png
    generate --mix 7:12 --mix 7:30 --at 16 -o mixed.png
    generate --interpolate 5 --seed 7 -o loop.mp4
    """,
    status="0 all drawn or skipped, 1 something failed",
)
@options.output
@option("-n --number", "Number of faces", IntRange(1), default=16)
@option("--seed", "Seed of the first face; the next have those that follow", IntRange(0), default=0)
@options.model_option("--model", hub.DEFAULT_FACES)
@option(
    "--truncation", "Variety, 0 (the mean face) to 1 (the whole)", FloatRange(0, 1), default=1.0
)
@options.pairs(
    "--edit edits",
    "Change of every face, such as smile=1.5; repeatable"
    f" ({', '.join(hub.directions(hub.DEFAULT_FACES))})",
    options.EDIT,
)
@options.pairs(
    "--choose choices",
    f"Attribute of every face, such as mouth=laugh; repeatable ({', '.join(BUNDLED.attributes)})",
    options.CHOICE,
)
@option(
    "--size",
    "Pixels of a face's side; larger ones are enlarged with sharp contours",
    IntRange(16, 2048),
    show_default="as the model draws",
)
@option("--columns", "Faces in a row", IntRange(1), show_default="about as many as rows")
@option(
    "--mix mixes",
    "Shape of one face with the detail of another, in place of -n and --seed; repeatable",
    options.SEEDS,
    MIXING,
    multiple=True,
)
@option("--at", "Pixels: layers below are of the first face", IntRange(4), MIXING, default=16)
@option("--interpolate", "Number of faces in the loop", IntRange(2), LOOP)
@option("--frames", "Frames", IntRange(2), LOOP, show_default=f"{FRAMES} for each face")
@option("--fps", "Frames per second", IntRange(1, 60), LOOP, default=24)
@options.overwrite
@options.mark
@results.as_json
@options.device
def generate(
    output: str, model: str, device: str, overwrite: bool, as_json: bool, **values
) -> None:
    """Draws new cartoon faces. A face belongs to its seed: the same number gives the same face
    again, alone or among others.

    OUT is an image with all faces in rows, or a folder (with a / at the end) with an image of each,
    named by its seed. With --interpolate it is a video in .mp4, .gif or .webp. Existing files are
    not replaced.
    """
    check(output, overwrite, values)
    from toonify.pipelines.toongan import ToonGANPipeline  # here: torch takes seconds

    shown = Results(as_json)
    # A grid can be too large for its format.
    with shown.failing(output=output), options.reported(images.ImageError):
        pipeline = ToonGANPipeline.from_pretrained(model, device=device)
        if values["interpolate"]:
            write_video(pipeline, output, shown, values)
        else:
            write_images(pipeline, output, overwrite, shown, values)


def check(output: str, overwrite: bool, values: dict) -> None:
    """Raises click.UsageError for options that contradict each other, or an impossible OUT."""
    video, folder = values["interpolate"], is_folder(output)
    if values["mixes"]:
        options.refuse("number seed interpolate", "not together with --mix, which names its seeds")
    else:
        options.refuse("at", "only with --mix SEED:SEED")
    if video:
        options.refuse("number columns size", "not together with --interpolate")
    else:
        options.refuse("frames fps", "only with --interpolate N")
    out, suffixes = Path(output), SUFFIXES if video else tuple(images.SAVES)
    if folder and not video:
        options.refuse("columns", "a folder has no rows")
        if out.exists() and not out.is_dir():
            raise click.UsageError(f"--output {output!r} is a file: expected a folder")
        return
    if folder or out.suffix.lower() not in suffixes:
        end = "" if video else ", or a / at the end for a folder"
        raise click.UsageError(
            f"--output {output!r}: expected a file that ends in one of {', '.join(suffixes)}{end}"
        )
    if os.path.lexists(out) and not overwrite:
        raise click.UsageError(f"--output {output!r} exists already; --overwrite replaces it")


def is_folder(output: str) -> bool:
    """Whether the name means a folder."""
    return Path(output).is_dir() or output.endswith((os.sep, "/")) or not Path(output).suffix


def write_images(pipeline, output: str, overwrite: bool, shown: Results, values: dict) -> None:
    """Writes a grid of all faces, or an image of each into a folder."""
    if values["mixes"]:
        faces: dict[str, tuple[int, ...]] = {
            f"{coarse}-{fine}": (coarse, fine) for coarse, fine in values["mixes"]
        }
    else:
        seed, number = values["seed"], values["number"]
        pipeline.check_options(
            number, seed, values["truncation"], values["edits"], values["choices"]
        )
        faces = {str(seed): (seed,) for seed in range(seed, seed + number)}
    if not is_folder(output):
        toons = [draw(pipeline, seeds, values) for seeds in counted(faces.values(), "face")]
        images.save(pipeline.grid(toons, values["columns"]), output, mark=values["mark"])
        shown.add(results.DRAWN, output=output, seeds=[*faces.values()])
        shown.say(summarize(len(toons), 0))
        return
    targets = {Path(output, f"{name}.png"): seeds for name, seeds in faces.items()}
    there = set() if overwrite else {path for path in targets if os.path.lexists(path)}
    waiting = [path for path in targets if path not in there]
    for path in targets:
        if path in there:
            shown.add(results.SKIPPED, output=str(path), seeds=[targets[path]])
    for path in counted(waiting, "face"):
        images.save(draw(pipeline, targets[path], values), path, mark=values["mark"])
        shown.add(results.DRAWN, output=str(path), seeds=[targets[path]])
    shown.say(summarize(len(waiting), len(there)))


def draw(pipeline, seeds: tuple[int, ...], values: dict):
    """The face of one seed, or the mixture of two."""
    truncation, edits, choices = values["truncation"], values["edits"], values["choices"]
    if len(seeds) == 1:
        return pipeline(1, *seeds, truncation, edits, choices, values["size"])[0]
    coarse, fine = (pipeline.latents(1, seed, truncation, choices) for seed in seeds)
    w = pipeline.mix(coarse, fine, values["at"])
    return pipeline.draw(pipeline.edited(w, edits), values["size"])[0]


def write_video(pipeline, output: str, shown: Results, values: dict) -> None:
    """Writes the faces turning into each other, and the last into the first."""
    number = values["interpolate"]
    frames = values["frames"] or FRAMES * number
    keys = pipeline.latents(number, values["seed"], values["truncation"], values["choices"])
    with counted(range(frames), "frame") as bar:
        pipeline.loop(
            pipeline.edited(keys, values["edits"]),
            output,
            frames,
            values["fps"],
            progress=lambda fraction: bar.update(round(fraction * frames) - bar.n),
            mark=values["mark"],
        )
    seeds = [(values["seed"] + i,) for i in range(number)]
    shown.add(results.DRAWN, output=output, seeds=seeds, frames=frames, fps=values["fps"])
    shown.say(f"{frames} frames drawn")


def counted(items: Iterable, unit: str):
    """The items with a progress bar on a terminal, and nothing in a log file."""
    from tqdm import tqdm

    return tqdm(items, unit=unit, disable=None, file=sys.stderr)
