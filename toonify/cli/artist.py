"""What the nodes of a cluster run for `toonify photo --engine ray`: actors that draw photos."""

import dataclasses
import json
import os
from collections.abc import Iterator
from pathlib import Path, PurePath, PurePosixPath
from typing import Any

from toonify import images
from toonify.cli import buckets, paths, results
from toonify.cli.drawing import describe, open_background, open_model

# The suffix of each format: .jpg, not .jpeg.
SAVES = {form: suffix for suffix, form in reversed(images.SAVES.items())}


@dataclasses.dataclass(frozen=True)
class Work:
    """What the actors do with photos.

    Args:
        model: "animegan" or "stylegan".
        values: of the command's options, by name.
        alpha: whether drawings are transparent.
        overwrite: whether drawings that exist are drawn again.
    """

    model: str
    values: dict[str, Any]
    alpha: bool
    overwrite: bool


class Photo:
    """A photo in a bucket or a table, which is read by the thread that draws it.

    Args:
        source: its URL.
        content: its bytes, if they are known.
    """

    def __init__(self, source: str, content: bytes | None = None):
        self.source, self.content = source, content

    def read(self, size: int = -1) -> bytes:
        """All of it, each time."""
        if self.content is None:
            self.content = buckets.read(self.source)
        return self.content


class Artist:
    """An actor: draws tasks with a pipeline of its own.

    Args:
        work: what is drawn, and how.
        cores: the cores that it may use.
    """

    def __init__(self, work: Work, cores: int):
        os.environ["TOONIFY_CORES"] = str(cores)  # before the engine counts them
        self.work = work
        self.change = open_background(work.values["background"], work.values["sticker"])
        self.draw = open_model(work.model, work.values)

    def __call__(self, task: dict[str, Any]) -> dict[str, Any]:
        """Draws a task.

        Args:
            task: `sources` and `targets`; of a table also `group`, the row group, and `first`, the
                number of its first row.

        Returns:
            `sources`, `group` and `groups` of the task, and `results`: a JSON text for each photo,
            as `--json` prints it.
        """
        drawn: list[dict] = []
        jobs: dict[Any, tuple[str, str]] = {}  # by photo

        def photos():
            for photo, source, target in self.find_photos(task):
                if not self.work.overwrite and is_there(target):
                    drawn.append(dict(status=results.SKIPPED, input=source, output=target))
                else:
                    jobs[photo] = source, target
                    yield photo

        def finish(photo, image):
            target = jobs[photo][1]
            image, remarks = self.change(photo, image, PurePosixPath(target).suffix.lower())
            save(image, target)
            return image.size, remarks

        try:
            for outcome in self.draw(photos(), finish):
                source, target = jobs.pop(outcome.photo)
                if isinstance(outcome.photo, Photo):
                    outcome = dataclasses.replace(outcome, photo=outcome.photo.content)
                drawn.append(describe(outcome, source, target))
        except TableError as error:
            [source], [target] = task["sources"], task["targets"]
            drawn.append(dict(status=results.FAILED, input=source, output=target, error=str(error)))
        texts = [json.dumps(about) for about in drawn]
        return {name: task[name] for name in ("sources", "group", "groups")} | {"results": texts}

    def find_photos(self, task: dict[str, Any]) -> Iterator[tuple[Any, str, str]]:
        """The photos of a task, with the names of them and of their drawings."""
        if task["group"] < 0:
            for source, target in zip(task["sources"], task["targets"], strict=True):
                yield Photo(source) if buckets.is_url(source) else Path(source), source, target
            return
        if task.get("error"):
            raise TableError(task["error"])
        [source], [folder] = task["sources"], task["targets"]
        try:
            for row, (name, content) in enumerate(
                buckets.read_rows(source, task["group"]), task["first"]
            ):
                target = join(folder, name_row(row, name, content, self.work.alpha))
                yield Photo(source, content), f"{source}#{row}", target
        except (OSError, ValueError) as error:
            raise TableError(str(error)) from error


class TableError(Exception):
    """A Parquet file cannot be read."""


def name_row(row: int, name: str, content: bytes, alpha: bool) -> PurePosixPath:
    """The file of a row's drawing: its number, and its name if it has one.

    Args:
        row: the number in the Parquet file, from 0.
        name: any text.
        content: the bytes of the photo, whose format a row without a suffix keeps.
        alpha: whether the drawing is transparent.
    """
    given = PurePosixPath(name.replace("\\", "/").replace("\0", ""))
    suffixes = paths.ALPHA_SAVES if alpha else tuple(images.SAVES)
    suffix = given.suffix.lower() or SAVES.get(images.formats.sniff(content).upper(), "")
    stem = f"-{given.stem[:100]}" if given.stem else ""
    return PurePosixPath(f"{row:08d}{stem}{suffix if suffix in suffixes else '.png'}")


def is_there(target: str) -> bool:
    """Whether a drawing exists."""
    return buckets.exists(target) if buckets.is_url(target) else os.path.lexists(target)


def save(image: Any, target: str) -> None:
    """Writes a drawing, whole or not at all."""
    if not buckets.is_url(target):
        images.save(image, target, alpha=True)
    else:
        suffix = PurePosixPath(target).suffix
        buckets.write(target, images.encode(image, suffix, alpha=True))


def check_work(work: Work, cores: int) -> None:
    """Raises what an actor would raise when it starts."""
    Artist(work, cores)


def join(folder: str, name: PurePath) -> str:
    """A path below a folder or a URL."""
    if buckets.is_url(folder):
        return f"{folder.rstrip('/')}/{name.as_posix()}"
    return str(Path(folder).absolute() / name)
