"""What draws photos for the commands, and what became of each photo, in words."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from toonify import hub, images
from toonify.cli import options, results
from toonify.cli.paths import STREAM
from toonify.cli.results import Results

HEAD_OPTIONS = "size samples blender_python"


def open_model(model: str, values: dict, save_latent: str | None = None) -> Callable:
    """A function `draw(photos, write)` that yields the outcomes of photos.

    `write(photo, image)` is called with each drawing and returns the size of what it wrote, and
    remarks; the result of an outcome is these, with the numbers of faces that were found and drawn
    separately between them.

    Args:
        model: "animegan", "stylegan" or "heads".
        values: of the command's options, by name.
        save_latent: file for the largest face of a single photo; default: none.

    Raises:
        ValueError: an option has a wrong value.
    """
    if model == "heads":
        return open_heads(values)
    return open_stylegan(values, save_latent) if model == "stylegan" else open_animegan(values)


def open_background(background: str, sticker: bool) -> Callable:
    """A function `change(photo, drawing, suffix)` that gives a drawing its background.

    It returns the picture and remarks. The photo is a path or bytes.
    """
    if background == "draw" and not sticker:
        return lambda photo, drawing, suffix: (drawing, [])
    from toonify.pipelines import background as backgrounds  # loads torch

    backgrounds.check_background(background)

    def change(photo, drawing, suffix):
        photo = images.load(photo)
        person = backgrounds.find_person(photo, drawing)
        if sticker:
            if person is None:
                raise images.ImageError("no person found: expected one for a sticker")
            side = backgrounds.STICKER_PX if suffix == ".webp" else None
            return backgrounds.make_sticker(drawing, person, side), []
        if person is None:
            return drawing, ["no person found, the background is as drawn"]
        return backgrounds.replace_background(drawing, photo, person, background), []

    return change


def open_animegan(values: dict) -> Callable:
    """As `open_model`, for whole photos."""
    # Imported here, as torch takes seconds and a wrong path is reported at once.
    from toonify.pipelines.animegan import AnimeGANPipeline, check_options
    from toonify.pipelines.options import DrawOptions

    settings = options.pick(DrawOptions, values)
    style = values["style"] or hub.DEFAULT_STYLE
    pipeline = AnimeGANPipeline.from_pretrained(
        style, device=values["device"], quality=values["quality"]
    )
    check_options(pipeline.style, settings)

    def draw(paths, write):
        def finish(path, toon):
            size, remarks = write(path, toon.image)
            return size, len(toon.faces), toon.drawn_faces, remarks

        return pipeline.map(paths, finish=finish, options=settings)

    return draw


def open_stylegan(values: dict, save_latent: str | None) -> Callable:
    """As `open_model`, for faces; the remarks are the faces that were not drawn."""
    from toonify.pipelines.options import PortraitOptions
    from toonify.pipelines.stylegan import StyleGANPipeline, swap_for

    settings, latent = options.pick(PortraitOptions, values), values["latent"]
    swap = swap_for(values["style"], settings.blend, settings.blend_width, settings.shape_from)
    pipeline = StyleGANPipeline.from_pretrained(
        values["base"], encoder=values["encoder"], device=values["device"]
    )
    pipeline.check_options(settings, given=int(latent is not None))
    pipeline.engine(swap)
    latent = None if latent is None else pipeline.load_latent(latent)

    def draw(paths, write):
        def finish(path, toon):
            if save_latent is not None and toon.portraits:
                Path(save_latent).parent.mkdir(parents=True, exist_ok=True)
                pipeline.save_latent(save_latent, toon.portraits[0].latent)
            size, remarks = write(path, toon.image)
            remarks += [] if toon.faces else ["no face found, the photo is unchanged"]
            remarks += [f"a face was left alone: {reason}" for _, reason in toon.left_alone]
            return size, len(toon.faces), toon.drawn_faces, remarks

        return pipeline.map(paths, swap.style, finish=finish, latent=latent, options=settings)

    return draw


def open_heads(values: dict) -> Callable:
    """As `open_model`, for 3D heads of the largest faces."""
    from toonify.pipelines.heads import HeadPipeline

    pipeline = HeadPipeline(**{name: values[name] for name in HEAD_OPTIONS.split()})

    def draw(paths, write):
        def finish(path, head):
            size, remarks = write(path, head)
            return size, 1, 1, remarks

        return pipeline.map(paths, finish, mark=values["mark"])

    return draw


def describe(outcome: Any, source: str, target: str) -> dict[str, Any]:
    """What became of a photo, as `--json` prints it.

    Args:
        outcome: a `toonify.pipelines.batch.Outcome` of what `open_model` returns.
        source: the photo's name.
        target: the drawing's name.
    """
    about: dict[str, Any] = {"status": results.DRAWN, "input": source, "output": target}
    if outcome.error is not None:
        return about | {"status": results.FAILED, "error": explain(outcome.error, target)}
    (width, height), faces, drawn_faces, remarks = outcome.result
    notes = [*filter(None, [images.describe_reduction(outcome.photo)]), *remarks]
    about |= {"width": width, "height": height, "faces": faces, "drawn_faces": drawn_faces}
    return about | {"notes": notes}


class Tally:
    """Counts what became of photos, and prints it.

    Args:
        shown: prints for programs.
        failures: reasons by the names of inputs, to which photos that fail are added.
    """

    def __init__(self, shown: Results, failures: dict[str, str]):
        self.shown, self.failures = shown, failures
        self.drawn = self.skipped = self.faces = self.drawn_faces = 0

    def add(self, status: str, **about: Any) -> None:
        """Adds what `describe` returns, or a photo that was skipped."""
        from tqdm import tqdm

        if status == results.FAILED:
            self.failures[about["input"]] = about["error"]
        elif status == results.SKIPPED:
            self.skipped += 1
        else:
            self.drawn += 1
            self.faces += about.get("faces", 0)  # unknown where a report was lost
            self.drawn_faces += about.get("drawn_faces", 0)
            for note in about["notes"]:
                tqdm.write(f"{about['input']}: {note}", file=sys.stderr)
        self.shown.add(status, **about)

    def print_faces(self) -> None:
        """Prints how many faces were found, if any."""
        if self.faces:
            counts = f"{self.faces} found, {self.drawn_faces} drawn separately"
            print(f"faces: {counts}", file=sys.stderr)


def summarize(drawn: int, skipped: int, failed: int = 0) -> str:
    """The counts in words."""
    parts = [f"{drawn} drawn"]
    parts += [f"{skipped} skipped (there already; --overwrite draws them again)"] * bool(skipped)
    parts += [f"{failed} failed"] * bool(failed)
    return ", ".join(parts)


def explain(error: Exception, target: str) -> str:
    """Why a photo could not be drawn."""
    if isinstance(error, images.ImageError):
        return str(error)
    if isinstance(error, OSError):
        where = "to stdout" if target == STREAM else target
        return f"cannot write {where}: {error.strerror or error}"
    # torch and OpenVINO run out of memory
    return f"could not be drawn: {(str(error) or 'out of memory').splitlines()[0]}"
