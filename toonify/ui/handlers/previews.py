"""Previews of a photo in all styles, the sheet of them, and the comparison of the networks.

Those that fast generators draw are made in one request, since asking for each of them would take as
long as drawing it. The large drawing comes next, and the toon of StyleGAN last.
"""

import dataclasses
import functools
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

from toonify import images
from toonify.hub import Style
from toonify.images import marks
from toonify.ui import events, i18n, inputs, outputs, text
from toonify.ui.cancellation import Jobs
from toonify.ui.handlers import examples, results
from toonify.ui.handlers import photo as photo_tab
from toonify.ui.handlers.photo import PhotoHandlers
from toonify.ui.handlers.portrait import PortraitHandlers
from toonify.ui.inputs import UserError

PREVIEW_PX = 512  # the longer side at which previews are drawn
COMPARISON_PX = 1024  # the same of a comparison's drawings
MAX_FACES = 4  # of a preview that are drawn separately: the largest
MAX_PREVIEW_S = 60  # for one preview
MAX_PREVIEWS_S = 30  # before the large drawing, which others wait for
MAX_STOPPED = 1000  # sessions whose Stop is remembered
# Names in links.
LINKED = ("style", "quality", "strength", "faces", "keep_color", "background", "color")


@dataclasses.dataclass(frozen=True, eq=False)
class Wall:
    """The previews of a photo. It stays on the server: gradio keeps it by session, and a browser
    neither gets nor sends it. Its files lie beside other results and are deleted like them.

    Args:
        source: the photo's name, of `inputs.identify`.
        photo: the photo as small as the previews.
        blank: what is shown in place of previews that are to come.
        faces: of the whole photo, the largest first.
        small_faces: those of them that previews draw, in the frame of the small photo.
        styles: titles by the names of styles, in the order of the previews.
        drawn: previews by the names of styles.
        seconds: what the drawings took together.
        stopped: whether no more previews are to come.
        ready: whether the previews are drawings of an example, of its own size and made before.
    """

    source: str | None
    photo: Path
    blank: Path
    faces: list
    small_faces: list
    styles: Mapping[str, str]
    drawn: Mapping[str, Path] = dataclasses.field(default_factory=dict)
    seconds: float = 0.0
    stopped: bool = False
    ready: bool = False

    @property
    def next_style(self) -> str | None:
        """The style of the next preview; None if there is none to come."""
        if self.stopped:
            return None
        return next((name for name in self.styles if name not in self.drawn), None)

    @property
    def cells(self) -> list[tuple[str, str]]:
        """The previews and titles that the page shows."""
        return [
            (str(self.drawn.get(name, self.blank)), i18n.gettext(title))
            for name, title in self.styles.items()
        ]


class PreviewHandlers:
    """The handlers of the previews. Sessions are gradio's.

    Args:
        photos: draws photos. The styles that are bundled get previews: others may have to be
            downloaded first.
        portraits: draws the portraits of comparisons; None: there are no comparisons.
    """

    def __init__(self, photos: PhotoHandlers, portraits: PortraitHandlers | None = None):
        self.photos = photos
        self.portraits = portraits
        self.jobs = Jobs()
        # Sessions that pressed Stop or removed their photo; whether they still have it.
        self.stopped: dict[str, bool] = {}

    @property
    def styles(self) -> dict[str, Style]:
        """The styles that draw photos and get a preview, by name."""
        return {
            name: style
            for name, style in self.photos.styles.items()
            if style.source == "bundled" and name not in self.photos.toons
        }

    @property
    def toons(self) -> list[str]:
        """The toon style that gets a preview, as the last one; empty if there is none."""
        everything = self.photos.styles.items()
        found = [name for name, style in everything if name in self.photos.toons]
        return [name for name in found if self.photos.styles[name].source == "bundled"][:1]

    # previews -------------------------------------------------------------------------------

    def begin(self, source, style: str, request: gr.Request, progress=events.PROGRESS):
        """Find the faces of a new photo, and show where its previews will be: the chosen style
        first. Returns the wall and what shows it."""
        self.stopped.pop(inputs.get_session(request), None)
        if source is None:  # gradio asks when the photo is removed, too
            return None, *self.hide()
        progress(0.0, i18n.gettext("Looking for faces"))
        photo = inputs.read_photo(source)
        faces = photo_tab.find_faces(photo)
        small = outputs.shrink(photo, PREVIEW_PX)
        names = sorted(self.styles, key=lambda name: name != style)
        names += self.toons if faces else []
        made = examples.find_drawings(source, names)
        drawn = {name: outputs.copy_file(path, source, name) for name, path in made.items()}
        wall = Wall(
            source=inputs.identify(source),
            photo=images.save(small, outputs.choose_path(source, "small", ".png")),
            blank=images.save(fade(small), outputs.choose_path(source, "blank", ".jpg")),
            faces=faces,
            small_faces=scale_faces(faces[:MAX_FACES], photo.size, small.size),
            styles={name: self.photos.styles[name].title for name in names},
            drawn=drawn,
            ready=bool(drawn),
        )
        return wall, *self.fill(wall)

    def preview(self, wall: Wall | None, request: gr.Request):
        """Draw the previews in the styles that draw photos, one after the other. Yields the wall
        and what shows it."""
        end = time.monotonic() + MAX_PREVIEWS_S
        while wall is not None and wall.next_style in self.styles and time.monotonic() < end:
            wall = self.draw_next(wall, inputs.get_session(request))
            if wall is not None:
                yield wall, *self.fill(wall)

    def preview_toon(self, wall: Wall | None, request: gr.Request):
        """Draw the preview of StyleGAN, and those for which there was no time."""
        while wall is not None and wall.next_style is not None:
            wall = self.draw_next(wall, inputs.get_session(request))
            if wall is not None:
                yield wall, *self.fill(wall)

    def draw_next(self, wall: Wall, session: str) -> Wall | None:
        """Return the wall with the next preview; None if its photo was removed meanwhile."""
        name, start = wall.next_style, time.perf_counter()
        assert name is not None
        if not self.stopped.get(session, True):
            return None
        if session in self.stopped:
            return dataclasses.replace(wall, stopped=True)
        style = self.photos.styles[name]
        options = {"faces": "all", "strength": 1.0, "keep_color": False}
        options["found"] = wall.small_faces
        small = open_kept(wall.photo)
        with self.jobs.run(session, MAX_PREVIEW_S) as stop:
            toon = self.photos.draw_image(small, name, style.fastest, stop, **options)
        if not self.stopped.get(session, True):
            return None
        if toon is None:
            return dataclasses.replace(wall, stopped=True)
        if name in self.photos.toons and not toon.drawn_faces:  # too small, or turned aside
            others = {other: title for other, title in wall.styles.items() if other != name}
            return dataclasses.replace(wall, styles=others)
        path = outputs.choose_path(wall.source, name, ".jpg")
        drawn = {**wall.drawn, name: images.save(toon.image, path, 90)}
        seconds = wall.seconds + time.perf_counter() - start
        return dataclasses.replace(wall, drawn=drawn, seconds=seconds)

    def fill(self, wall: Wall) -> tuple:
        """Return the values of: the gallery, the report, the button that stops, the sheet."""
        more = wall.next_style is not None
        sheet = None if more or not wall.drawn else str(self.save_sheet(wall))
        report = text.describe_previews(len(wall.drawn), len(wall.styles), wall.seconds, more)
        return (
            gr.update(value=wall.cells, visible=True, selected_index=None),
            gr.update(value=report, visible=True),
            gr.update(visible=more, interactive=True, value=i18n.gettext("Stop")),
            gr.update(value=sheet, interactive=sheet is not None, visible=True),
        )

    def hide(self) -> tuple:
        """Return the same for a page without a photo."""
        hidden = gr.update(visible=False)
        off = gr.update(value=None, interactive=False, visible=False)
        return gr.update(value=None, visible=False), hidden, hidden, off

    def save_sheet(self, wall: Wall) -> Path:
        """Save the photo and all previews, each with its name, as one image."""
        drawn = {
            title: wall.drawn[name] for name, title in wall.styles.items() if name in wall.drawn
        }
        opened = [open_kept(path) for path in (wall.photo, *drawn.values())]
        names = translate_names("Original", *drawn)
        sheet = images.make_sheet(list(zip(opened, names, strict=True)), opened[0].width)
        marks.mark(sheet, marks.DRAWN)
        return images.save(sheet, outputs.choose_path(wall.source, "all-styles", ".jpg"))

    def draw_first(self, wall: Wall | None, source, progress=events.PROGRESS, *options):
        """Draw a new photo large, without the visitor's asking."""
        show = functools.partial(self.photos.show, wall=wall)
        return gr.skip() if wall is None else show(source, *options)

    def pick(self, wall: Wall | None, event: gr.SelectData):
        """Choose the style of the preview that was pressed."""
        if wall is None or event.index not in range(len(wall.styles)):
            raise UserError("These previews are too old: choose the photo again.")
        name = list(wall.styles)[event.index]
        return name, *self.photos.choose(name)

    def stop(self, request: gr.Request):
        """Stop the previews."""
        self.end(request, has_photo=True)
        return gr.Button(i18n.gettext("Stopping…"), interactive=False)

    def clear(self, request: gr.Request):
        """Clear the previews: they belong to another photo."""
        self.end(request, has_photo=False)
        return None, *self.hide()

    def end(self, request: gr.Request, has_photo: bool) -> None:
        """End the previews of a session."""
        session = inputs.get_session(request)
        if len(self.stopped) >= MAX_STOPPED:
            self.stopped.clear()
        self.stopped[session] = has_photo
        self.jobs.stop(session)

    def leave(self, request: gr.Request):
        """Stop the previews for a visitor who closed the page."""
        session = inputs.get_session(request)
        self.jobs.stop(session)
        self.stopped.pop(session, None)

    # comparison -----------------------------------------------------------------------------

    def compare(
        self, source, style: str, quality: str, request: gr.Request, progress=events.PROGRESS
    ):
        """Draw the photo by AnimeGANv2 and by StyleGAN. Returns both beside it as one image, and
        its download."""
        assert self.portraits is not None
        chosen = inputs.get_style(self.photos.styles, style, quality)
        photo = outputs.shrink(inputs.read_photo(source), COMPARISON_PX)
        toon_style = next(iter(self.portraits.styles.values()))
        settings: dict[str, Any] = {
            "style": toon_style.name,
            "strength": 1.0,
            "faces": "all",
            "keep_color": False,
        }
        settings |= {"blend": toon_style.blend, "blend_width": 0.0, "shape_from": "toon"}
        settings |= {"truncation": 1.0, "refine_steps": 0}
        load = functools.partial(self.photos.load, style, quality)
        options = {"faces": "all", "strength": 1.0, "keep_color": False}
        drawn = photo_tab.draw(load, photo, **options)
        portrait = self.portraits.draw(request, photo, None, None, {}, **settings)
        name = toon_style.title if portrait.portraits else "no face to draw"
        original, style_name, toon_name = translate_names("Original", chosen.title, name)
        cells = [
            (photo, original),
            (drawn.image, f"AnimeGANv2: {style_name}"),
            (portrait.image, f"StyleGAN: {toon_name}"),
        ]
        sheet = images.make_sheet(cells, photo.width, len(cells))
        marks.mark(sheet, marks.DRAWN)
        path = str(images.save(sheet, outputs.choose_path(source, "comparison", ".jpg")))
        return gr.update(value=path, visible=True), gr.update(value=path, interactive=True)

    # links ----------------------------------------------------------------------------------

    def arrive(self, request: gr.Request):
        """Set what a link says, ?style=comic&strength=0.8: style, its description, quality,
        strength, faces, colors, background and its color. Other words in it are ignored."""
        query = dict(request.query_params)
        if not set(LINKED) & set(query):
            return gr.skip()
        default = self.photos.default_style
        name = query.get("style", default.name if default else "")
        quality = query.get("quality")
        faces = query.get("faces", "all")
        if quality not in (None, "best", "fast") or faces not in ("all", "largest", "none"):
            raise UserError(
                "The link's quality or faces is unknown: expected quality=best or fast, and"
                " faces=all, largest or none."
            )
        style = inputs.get_style(self.photos.styles, name, quality or "best", faces)
        strength = parse_strength(query.get("strength", "1"))
        background = query.get("background", "draw")
        color = results.parse_color(query.get("color", results.DEFAULT_COLOR))
        results.read_background(background, color)
        return (
            name,
            self.photos.describe(name),
            gr.update(value=quality or "best", visible=style.fast),
            strength,
            faces,
            query.get("keep_color") == "true",
            background,
            gr.update(value=color, visible=background == results.COLOR),
        )


def translate_names(*names: str) -> list[str]:
    """Return the names below images in the visitor's language; in English if no font has it."""
    translated = [i18n.gettext(name) for name in names]
    return translated if images.can_write(*translated) else list(names)


def parse_strength(value: str) -> float:
    """Return the strength that a link says."""
    try:
        strength = float(value)
    except ValueError as error:
        raise UserError("The link's strength is not a number.") from error
    if not 0 <= strength <= 1:
        raise UserError(f"The link's strength is {strength:g}: expected 0 to 1.")
    return strength


def open_kept(path: Path) -> Image.Image:
    """Open an image of a wall."""
    try:
        return images.load(str(path))
    except (images.ImageError, OSError) as error:
        raise UserError("These previews are too old: choose the photo again.") from error


def fade(photo: Image.Image) -> Image.Image:
    """Return the photo as pale as a place that waits for its preview."""
    gray = photo.convert("L").convert("RGB")
    return Image.blend(gray, Image.new("RGB", gray.size, "white"), 0.7)


def scale_faces(found: list, old: tuple[int, int], new: tuple[int, int]) -> list:
    """Return the faces of a photo of the old size as they lie in one of the new size."""
    if old == new:
        return found
    from toonify import faces  # loads OpenCV

    return [faces.scale_face(face, (new[0] / old[0], new[1] / old[1])) for face in found]
