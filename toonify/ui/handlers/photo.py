"""Photo to cartoon: the handlers."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr
from PIL import Image, ImageDraw

from toonify import images
from toonify.hub import Style
from toonify.images import marks
from toonify.ui import events, i18n, inputs, outputs, text
from toonify.ui.handlers import portrait, results
from toonify.ui.handlers.results import Drawing
from toonify.ui.handlers.styles import StyleHandlers
from toonify.ui.inputs import UserError
from toonify.ui.theme import INK, YELLOW


@events.on_gpu
def draw(load: Callable, photo: Image.Image, stop: Callable[[], bool] | None = None, **options):
    """Return the `Toon` of an upright RGB photo by the pipeline that `load` gives; None if `stop`
    returned True between two of its steps."""
    with inputs.explain_hub_errors():
        try:
            return load()(photo, **options, progress=inputs.track_progress(cancelled=stop))
        except inputs.Stopped:
            return None


def find_faces(photo: Image.Image) -> list:
    """Return the faces of an upright RGB photo. Imports torch."""
    from toonify import faces

    return faces.detect(photo)


class PhotoHandlers(StyleHandlers):
    """The handlers of the tab. Photos come unread, as paths or bytes.

    Args:
        styles: the styles that draw whole photos.
        load: gives the pipeline of one of them: `load(name, quality)`.
        toons: the styles that draw portraits by StyleGAN, the last to choose from.
        load_toons: gives the pipeline of all of these.
    """

    def __init__(
        self,
        styles: Sequence[Style],
        load: Callable,
        toons: Sequence[Style] = (),
        load_toons: Callable | None = None,
    ):
        super().__init__([*styles, *toons], load)
        self.toons = {style.name for style in toons}
        self.load_toons = load_toons

    def draw_image(
        self,
        photo: Image.Image,
        style: str,
        quality: str,
        stop: Callable[[], bool] | None = None,
        **options,
    ):
        """Return the `Toon` of an upright RGB photo; None if it was stopped."""
        if style not in self.toons:
            return draw(functools.partial(self.load, style, quality), photo, stop, **options)
        assert self.load_toons is not None
        options.pop("found", None)  # the pipeline searches again, without small faces
        try:
            return portrait.draw(
                self.load_toons, photo, None, None, style=style, cancelled=stop, **options
            )
        except inputs.Stopped:
            return None

    def draw(self, source, style: str, quality: str, **options) -> tuple:
        """Return the photo, its `Toon` and its PNG, and tell the visitor if no face was found.

        `found` among the options has the photo's faces, if they are known; None if not.
        """
        photo = inputs.read_photo(source)
        chosen = inputs.get_style(self.styles, style, quality, options["faces"])
        toon = self.draw_image(photo, style, quality, **options)
        if options["faces"] != "none" and not toon.faces:
            if chosen.scope == "face":
                i18n.show_warning(
                    "No face found. This style draws faces only: the photo is unchanged."
                )
            else:
                i18n.show_info("No face found: the photo was drawn as a whole.")
        return photo, toon, outputs.save_png(toon.image, source, style)

    def toonify(
        self,
        photo,
        style,
        faces="all",
        strength=1.0,
        keep_color=False,
        quality="best",
        keep_colour=False,
        background="draw",
        progress=events.PROGRESS,
    ):
        """Draw the cartoon of a photo. Returns a PNG of the photo's size, upright; a sticker is
        cropped to its people.

        client.predict(handle_file("me.jpg"), "comic", "all", 1.0, False, api_name="/toonify")

        Parameters:
            photo: JPEG, PNG, WebP, GIF (first frame), BMP, TIFF or AVIF.
            style: a name that /styles returns.
            faces: "all", "largest" or "none": which faces are also drawn separately.
            strength: 0, the photo, to 1, the full cartoon.
            keep_color: keep the photo's colors.
            quality: "best", or "fast" if /styles says that the style has it.
            keep_colour: former name of keep_color.
            background: "draw", "keep" (that of the photo), "soften" (the drawn one, blurred),
                "transparent", "sticker", or a color such as "#ffcf3f".
        """
        options = {"faces": faces, "strength": strength, "keep_color": keep_color or keep_colour}
        word = str(background or "draw")
        wanted = results.read_background(results.COLOR if word.startswith("#") else word, word)
        opened, toon, path = self.draw(photo, style, quality, **options)
        if wanted == "draw":
            return str(path)
        return str(outputs.save_png(results.place(opened, toon.image, wanted), photo, style))

    def show(
        self,
        photo,
        style,
        faces="all",
        strength=1.0,
        keep_color=False,
        quality="best",
        background="draw",
        color=results.DEFAULT_COLOR,
        wall=None,
        progress=events.PROGRESS,
    ):
        """Do the same for the page. Returns what `fill` does.

        `wall` has the previews of a photo, whose faces are not searched for again."""
        options = {"faces": faces, "strength": strength, "keep_color": keep_color}
        wanted = results.read_background(background, color)
        known = wall is not None and wall.source == inputs.identify(photo)
        if known and wall.ready and self.is_ready(style, quality, options):
            return self.fill(self.keep_example(photo, style, wall, options), wanted)
        found = wall.faces if known else None
        _, toon, png = self.draw(photo, style, quality, found=found, **options)
        drawing = self.keep(photo, style, toon, png, {**options, "quality": quality})
        return self.fill(drawing, wanted)

    @staticmethod
    def keep(source, style: str, toon, path, options: dict[str, Any]) -> Drawing:
        """Return what the page keeps of a `Toon` that was saved."""
        return Drawing(
            source=source,
            style=style,
            options=options,
            files={style: path},
            faces=toon.faces,
            drawn_faces=toon.drawn_faces,
            seconds=sum(toon.seconds.values()),
            mark=marks.read_mark(toon.image),
        )

    def is_ready(self, style: str, quality: str, options: dict[str, Any]) -> bool:
        """Whether the drawing of an example that was made before has these options."""
        known = self.styles.get(style)
        usual = {"faces": "all", "strength": 1.0, "keep_color": False}
        return (
            options == usual
            and known is not None
            and known.source == "bundled"
            and quality == "best"
        )

    @staticmethod
    def keep_example(source, style: str, wall, options: dict[str, Any]) -> Drawing:
        """Return what the page keeps of an example that was drawn before."""
        image = marks.mark(images.load(wall.drawn[style]), marks.DRAWN)
        return Drawing(
            source=source,
            style=style,
            options=options,
            files={style: outputs.save_png(image, source, style)},
            faces=wall.faces,
            drawn_faces=0,
            seconds=None,
            mark=marks.DRAWN,
        )

    def fill(self, drawing: Drawing, background: str) -> tuple:
        """Return the values of: before and after, the download, the report, the faces found, the
        frames around them, the sticker for messengers, the people, the choice for one of them, and
        the drawing."""
        if background != "draw" or drawing.choices:
            drawing = results.find_person(drawing)
        if background != "draw" and drawing.person is None:
            i18n.show_warning("No person was found: the background is as drawn.")
            background = "draw"
        photo = drawing.open(results.PHOTO)
        picture, small = results.finish(drawing, background)
        path, sticker = drawing.files[drawing.style], None
        if background != "draw" or drawing.choices:
            name = f"{drawing.style}-{results.STICKER}" if small else drawing.style
            path = outputs.choose_path(drawing.source, name, ".png")
            images.save(picture, path, alpha=True)
        if small:
            sticker = outputs.choose_path(drawing.source, name, ".webp")
            images.save(small, sticker, outputs.STICKER_QUALITY, alpha=True)
        before = outputs.shrink(photo)
        alpha = picture.mode == "RGBA"
        after = results.show_alpha(picture, before.size) if alpha else outputs.shrink(picture)
        found = len(drawing.faces)
        label = text.describe_faces(found, drawing.drawn_faces)
        return (
            (before, after),
            gr.DownloadButton(value=path, interactive=True),
            gr.Markdown(text.describe_result(drawing.seconds, picture.size), visible=True),
            gr.Accordion(label=label, visible=found > 0, open=found > 1),
            gr.update(
                value=draw_boxes(photo, drawing.faces) if found == 1 else None,
                visible=found == 1,
            ),
            gr.DownloadButton(
                value=sticker, interactive=small is not None, visible=small is not None
            ),
            self.show_people(drawing, picture if not alpha else results.combine_people(drawing)),
            self.show_choice(drawing),
            drawing,
        )

    def show_people(self, drawing: Drawing, picture: Image.Image) -> dict:
        """Return the thumbnails of the people, each with what it is drawn in."""
        titles = {name: i18n.gettext(style.title) for name, style in self.styles.items()}
        titles[results.PHOTO] = i18n.gettext("Photo")
        cells = [
            (thumbnail, titles[drawing.choices.get(number, drawing.style)])
            for number, thumbnail in enumerate(results.crop_people(picture, drawing.people))
        ]
        return gr.update(value=cells, visible=bool(cells), selected_index=drawing.selected)

    def show_choice(self, drawing: Drawing) -> dict:
        """Return the choice for the person that was pressed."""
        if drawing.selected is None:
            return gr.update(visible=False)
        choice = drawing.choices.get(drawing.selected, drawing.style)
        label = text.describe_person(drawing.selected + 1)
        return gr.update(value=choice, label=label, visible=True)

    def change(
        self, drawing: Drawing | None, background: str, color: str, progress=events.PROGRESS
    ):
        """Put the drawing on another background, without drawing it again."""
        if drawing is None:
            return gr.skip()
        return self.fill(drawing, results.read_background(background, color))

    def pick_person(self, drawing: Drawing | None, event: gr.SelectData):
        """Show the choice for the person that was pressed."""
        if drawing is None or event.index not in range(len(drawing.people)):
            raise UserError("This drawing is too old: choose the photo again.")
        drawing = dataclasses.replace(drawing, selected=event.index)
        return self.show_choice(drawing), drawing

    def choose_person(
        self,
        drawing: Drawing | None,
        choice: str,
        background: str,
        color: str,
        progress=events.PROGRESS,
    ):
        """Draw the person that was pressed in another style, or leave it a photo."""
        if drawing is None or drawing.selected is None:
            return gr.skip()
        person = drawing.selected
        if choice not in (results.PHOTO, *drawing.files):
            options = {name: drawing.options[name] for name in ("strength", "keep_color")}
            photo = drawing.open(results.PHOTO)
            options |= {"faces": "all", "found": drawing.faces}
            toon = self.draw_image(photo, choice, "best", **options)
            path = outputs.save_png(toon.image, drawing.source, choice)
            mark = drawing.mark or marks.read_mark(toon.image)
            drawing = dataclasses.replace(drawing, files={**drawing.files, choice: path}, mark=mark)
        choices = {**drawing.choices, person: choice}
        if choice == drawing.style:
            del choices[person]
        drawing = dataclasses.replace(drawing, choices=choices)
        return self.fill(drawing, results.read_background(background, color))

    def clear(self):
        """Clear the result: it belongs to another photo."""
        off = gr.DownloadButton(value=None, interactive=False)
        hidden = gr.update(visible=False)
        no_sticker = gr.DownloadButton(value=None, interactive=False, visible=False)
        nobody = gr.update(value=None, visible=False)
        return (
            *(None, off, gr.Markdown(visible=False), gr.Accordion(visible=False), None),
            *(no_sticker, nobody, hidden, None),
        )

    def detect(self, photo):
        """Find the faces of a photo, largest first.

        Returns a list of {"box": [x0, y0, x1, y1], "points": [[x, y], ...], "score": 0 to 1} in
        pixels of the upright photo; the points are the eyes, the nose and the mouth's corners.

        Parameters:
            photo: as for /toonify.
        """
        return [
            {
                "box": [float(edge) for edge in face.box],
                "points": [[float(x), float(y)] for x, y in face.points],
                "score": float(face.score),
            }
            for face in find_faces(inputs.read_photo(photo))
        ]

    def list_styles(self) -> list:
        """List the styles of /toonify: name, title, description, scope, license, source and whether
        they have a fast generator."""
        keys = ("name", "title", "description", "scope", "license", "source", "fast")
        styles = self.styles.values()
        return [  # with the license under its old name too
            {k: getattr(style, k) for k in keys} | {"licence": style.license} for style in styles
        ]


def draw_boxes(photo: Image.Image, faces: Sequence) -> Image.Image:
    """Return a small copy of the photo with a frame around each face."""
    image = outputs.shrink(photo)
    scale = image.width / photo.width
    pen, line = ImageDraw.Draw(image), max(2, round(max(image.size) / 200))
    for face in faces:
        box = [edge * scale for edge in face.box]
        pen.rounded_rectangle(box, radius=4 * line, outline=INK, width=2 * line)
        pen.rounded_rectangle(box, radius=4 * line, outline=YELLOW, width=line)
    return image
