"""Photo to cartoon: the handlers."""

import functools
from collections.abc import Callable

import gradio as gr
from PIL import Image, ImageDraw

from toonify.ui import events, i18n, inputs, outputs, text
from toonify.ui.handlers.styles import StyleHandlers
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
    """The handlers of the tab. Photos come unread, as paths or bytes."""

    def draw(self, source, style: str, quality: str, **options) -> tuple:
        """Return the photo, its `Toon` and its PNG, and tell the visitor if no face was found.

        `found` among the options has the photo's faces, if they are known; None if not.
        """
        photo = inputs.read_photo(source)
        chosen = inputs.get_style(self.styles, style, quality, options["faces"])
        toon = draw(functools.partial(self.load, style, quality), photo, **options)
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
        progress=events.PROGRESS,
    ):
        """Draw the cartoon of a photo. Returns a PNG of the photo's size, upright.

        client.predict(handle_file("me.jpg"), "comic", "all", 1.0, False, api_name="/toonify")

        Parameters:
            photo: JPEG, PNG, WebP, GIF (first frame), BMP, TIFF or AVIF.
            style: a name that /styles returns.
            faces: "all", "largest" or "none": which faces are also drawn separately.
            strength: 0, the photo, to 1, the full cartoon.
            keep_color: keep the photo's colors.
            quality: "best", or "fast" if /styles says that the style has it.
            keep_colour: former name of keep_color.
        """
        options = {"faces": faces, "strength": strength, "keep_color": keep_color or keep_colour}
        return str(self.draw(photo, style, quality, **options)[2])

    def show(
        self,
        photo,
        style,
        faces="all",
        strength=1.0,
        keep_color=False,
        quality="best",
        wall=None,
        progress=events.PROGRESS,
    ):
        """Do the same for the page: before and after, download, report and the faces found.

        `wall` has the previews of a photo, whose faces are not searched for again."""
        options = {"faces": faces, "strength": strength, "keep_color": keep_color}
        options["found"] = wall.faces if wall and wall.source == inputs.identify(photo) else None
        photo, toon, png = self.draw(photo, style, quality, **options)
        found = len(toon.faces)
        report = text.describe_result(sum(toon.seconds.values()), toon.image.size)
        return (
            (outputs.shrink(photo), outputs.shrink(toon.image)),
            gr.DownloadButton(value=png, interactive=True),
            gr.Markdown(report, visible=True),
            gr.Accordion(label=text.describe_faces(found, toon.drawn_faces), visible=found > 0),
            draw_boxes(photo, toon.faces) if found else None,
        )

    def clear(self):
        """Clear the result: it belongs to another photo."""
        off = gr.DownloadButton(value=None, interactive=False)
        return None, off, gr.Markdown(visible=False), gr.Accordion(visible=False), None

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


def draw_boxes(photo: Image.Image, faces: list) -> Image.Image:
    """Return a small copy of the photo with a frame around each face."""
    image = outputs.shrink(photo)
    scale = image.width / photo.width
    pen, line = ImageDraw.Draw(image), max(2, round(max(image.size) / 200))
    for face in faces:
        box = [edge * scale for edge in face.box]
        pen.rounded_rectangle(box, radius=4 * line, outline=INK, width=2 * line)
        pen.rounded_rectangle(box, radius=4 * line, outline=YELLOW, width=line)
    return image
