"""Many photos, drawn one after the other, and a ZIP file of the drawings.

Each photo is a request of its own in its visitor's share of the queue, so that drawings of others
come between two of them. A photo that cannot be drawn does not stop the others.
"""

import dataclasses
import logging
import time
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from toonify import images
from toonify.files import atomic_write
from toonify.images.folders import why_left_out
from toonify.ui import events, i18n, inputs, outputs, text
from toonify.ui.cancellation import Jobs
from toonify.ui.handlers import results
from toonify.ui.handlers.photo import PhotoHandlers
from toonify.ui.inputs import UserError

MAX_PHOTOS = 60
MAX_PHOTO_S = 300  # for one of them
THUMBNAIL_PX = 256
QUALITY = 92  # of JPEG
LOG = logging.getLogger("toonify.ui")


@dataclasses.dataclass(frozen=True, eq=False)
class Batch:
    """Photos that are drawn one by one. It stays on the server like a `Wall` of previews.

    Args:
        sources: the uploads.
        settings: style, quality, faces, strength, keep_color and background.
        drawn: number of the photo -> its drawing and a thumbnail of it.
        failed: number of the photo -> why it could not be drawn.
        seconds: what the photos took together.
        stopped: whether no more of them are to be drawn.
    """

    sources: Sequence[str]
    settings: Mapping[str, Any]
    drawn: Mapping[int, tuple[Path, Path]] = dataclasses.field(default_factory=dict)
    failed: Mapping[int, str] = dataclasses.field(default_factory=dict)
    seconds: float = 0.0
    stopped: bool = False

    @property
    def done(self) -> int:
        """How many photos were drawn or failed."""
        return len(self.drawn) + len(self.failed)

    @property
    def more(self) -> bool:
        """Whether photos are to come."""
        return not self.stopped and self.done < len(self.sources)

    def name(self, number: int) -> str:
        """The file name of a photo."""
        return Path(self.sources[number]).name


class ManyHandlers:
    """The handlers of many photos. Sessions are gradio's.

    Args:
        photos: draws photos.
    """

    def __init__(self, photos: PhotoHandlers):
        self.photos = photos
        self.jobs = Jobs()
        self.stopped: set[str] = set()  # sessions that pressed Stop

    def begin(
        self,
        files,
        folder,
        style,
        faces,
        strength,
        keep_color,
        quality,
        background,
        color,
        request: gr.Request,
    ):
        """Begin with the first of the photos. Returns the batch and what shows it."""
        sources = [*(files or ())]
        sources += [path for path in folder or () if not why_left_out(Path(path).name)]
        if not sources:
            raise UserError("Choose photos or a folder first.")
        if len(sources) > MAX_PHOTOS:
            raise UserError(f"{len(sources)} photos: expected at most {MAX_PHOTOS} at once.")
        inputs.get_style(self.photos.styles, style, quality, faces)
        settings = {"style": style, "quality": quality, "faces": faces, "strength": strength}
        settings |= {"keep_color": keep_color}
        settings |= {"background": results.read_background(background, color)}
        self.stopped.discard(inputs.get_session(request))
        batch = Batch(sources, settings)
        return batch, *self.fill(batch)

    def draw_next(self, batch: Batch | None, request: gr.Request, progress=events.PROGRESS):
        """Draw the next photo. Returns the batch, which makes the page ask again, and what shows
        it."""
        if batch is None or not batch.more:
            return gr.skip()
        session, start = inputs.get_session(request), time.perf_counter()
        number, drawn, failed, made = batch.done, batch.drawn, batch.failed, None
        if session not in self.stopped:
            with self.jobs.run(session, MAX_PHOTO_S) as stop:
                try:
                    made = self.draw(batch, number, stop)
                except gr.Error as error:
                    failed = {**failed, number: str(error.message)}
                except (OSError, MemoryError, RuntimeError):
                    LOG.exception("a photo of many")
                    failed = {**failed, number: i18n.gettext("It could not be drawn.")}
        if made is not None:
            drawn = {**drawn, number: made}
        stopped = len(drawn) + len(failed) == number  # nothing came of it
        seconds = batch.seconds + time.perf_counter() - start
        batch = dataclasses.replace(
            batch, drawn=drawn, failed=failed, seconds=seconds, stopped=stopped
        )
        return batch, *self.fill(batch)

    def draw(self, batch: Batch, number: int, stop) -> tuple[Path, Path] | None:
        """Draw a photo of the batch: its file and a thumbnail; None if it was stopped."""
        source, settings = batch.sources[number], dict(batch.settings)
        style, quality = settings.pop("style"), settings.pop("quality")
        background = settings.pop("background")
        photo = inputs.read_photo(source)
        toon = self.photos.draw_image(photo, style, quality, stop, **settings)
        if toon is None:
            return None
        image = results.place(photo, toon.image, background)
        suffix = ".png" if image.mode == "RGBA" else ".jpg"
        path = outputs.choose_path(source, style, suffix)
        images.save(image, path, QUALITY, alpha=True)
        small = outputs.shrink(image, THUMBNAIL_PX)
        if small.mode == "RGBA":
            small = results.show_alpha(small, small.size)
        return path, images.save(small, outputs.choose_path(source, "small", ".jpg"))

    def fill(self, batch: Batch) -> tuple:
        """Return the values of: the gallery, the report, the button that stops, the download."""
        names = [batch.name(number) for number in range(len(batch.sources))]
        cells = [(str(small), names[number]) for number, (_, small) in batch.drawn.items()]
        failures = [f"{names[number]}: {why}" for number, why in batch.failed.items()]
        current = names[batch.done] if batch.more else None
        report = text.describe_batch(
            len(batch.drawn), len(names), batch.seconds, current, failures, batch.done
        )
        packed = None if batch.more or not batch.drawn else str(self.pack(batch))
        return (
            gr.update(value=cells, visible=bool(cells)),
            gr.update(value=report, visible=True),
            gr.update(visible=batch.more, interactive=True, value=i18n.gettext("Stop")),
            gr.update(value=packed, interactive=packed is not None, visible=True),
        )

    def pack(self, batch: Batch) -> Path:
        """Write the ZIP file of the drawings, each with the name of its photo."""
        paths = [path for path, _ in batch.drawn.values()]
        names = images.name_uniquely([Path(batch.name(number)).stem for number in batch.drawn])
        target = outputs.make_parent(outputs.choose_folder() / "cartoons.zip")
        try:
            with atomic_write(target) as part, zipfile.ZipFile(part, "w") as packed:
                for path, name in zip(paths, names, strict=True):
                    packed.write(path, f"{name}{path.suffix}")
        except FileNotFoundError as error:
            raise UserError("These drawings are too old: draw the photos again.") from error
        return target

    def stop(self, request: gr.Request):
        """Stop after the photos that are drawn."""
        self.leave(request)
        self.stopped.add(inputs.get_session(request))
        return gr.Button(i18n.gettext("Stopping…"), interactive=False)

    def leave(self, request: gr.Request):
        """Stop the photos of a visitor who closed the page."""
        session = inputs.get_session(request)
        self.jobs.stop(session)
        self.stopped.discard(session)
