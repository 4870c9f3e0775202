"""Photo to cartoon: what happens when somebody presses something."""

import functools
from collections.abc import Callable

import gradio as gr
from PIL import Image, ImageDraw

from toonify.ui import components, events, inputs, outputs, text
from toonify.ui.theme import INK, YELLOW


@events.on_gpu
def draw(load: Callable, photo: Image.Image, **options):
    """The `Toon` of an upright RGB photo by the pipeline that `load` gives."""
    with inputs.explained():
        return load()(photo, **options, progress=inputs.told())


def find_faces(photo: Image.Image) -> list:
    """The faces of an upright RGB photo; torch is imported here."""
    from toonify import faces

    return faces.detect(photo)


class Handlers:
    """What happens when somebody presses something. Photos come as paths or bytes, unread."""

    def __init__(self, styles: list, load: Callable):
        self.styles = {style.name: style for style in styles}
        self.load = load

    def toon(self, photo: Image.Image, style: str, quality: str, **options):
        """The `Toon`, with a word to the visitor where it may not be what they expect."""
        style = inputs.style(self.styles, style, quality, options["faces"])
        toon = draw(functools.partial(self.load, style.name, quality), photo, **options)
        if options["faces"] != "none" and not toon.faces:
            if style.scope == "face":
                gr.Warning("No face found. This style draws faces only: the photo is unchanged.")
            else:
                gr.Info("No face found: the photo was drawn as a whole.")
        return toon

    def toonify(
        self,
        photo,
        style,
        faces="all",
        strength=1.0,
        keep_colour=False,
        quality="best",
        progress=events.TRACKED,
    ):
        """Draw the cartoon of a photo. Returns a PNG of the photo's size, upright.

        client.predict(handle_file("me.jpg"), "comic", "all", 1.0, False, api_name="/toonify")

        Parameters:
            photo: JPEG, PNG, WebP, GIF (first frame), BMP, TIFF or AVIF.
            style: one of the names that /styles returns.
            faces: "all", "largest" or "none": which faces get a drawing of their own.
            strength: from 0, the photo, to 1, the full cartoon.
            keep_colour: keep the colours of the photo.
            quality: "best", or "fast" where /styles says that the style has it.
        """
        source, photo = photo, inputs.read_photo(photo)
        options = {"faces": faces, "strength": strength, "keep_color": keep_colour}
        toon = self.toon(photo, style, quality, **options)
        return str(outputs.saved(toon.image, source, style))

    def detect(self, photo):
        """Find the faces of a photo, largest first.

        Returns a list of {"box": [x0, y0, x1, y1], "points": [[x, y], ...], "score": 0 to 1}, in
        pixels of the upright photo; the points are both eyes, the nose and the mouth's corners.

        Parameters:
            photo: as for /toonify.
        """
        found = find_faces(inputs.read_photo(photo))
        return [
            {
                "box": [float(edge) for edge in face.box],
                "points": [[float(x), float(y)] for x, y in face.points],
                "score": float(face.score),
            }
            for face in found
        ]

    def show(
        self,
        photo,
        style,
        faces="all",
        strength=1.0,
        keep_colour=False,
        quality="best",
        progress=events.TRACKED,
    ):
        """The same for the screen: before and after, download, a line of text, the faces found."""
        source, photo = photo, inputs.read_photo(photo)
        options = {"faces": faces, "strength": strength, "keep_color": keep_colour}
        toon = self.toon(photo, style, quality, **options)
        found = len(toon.faces)
        return (
            (outputs.small(photo), outputs.small(toon.image)),
            gr.DownloadButton(value=outputs.saved(toon.image, source, style), interactive=True),
            gr.Markdown(text.drawn_in(sum(toon.seconds.values()), toon.image.size), visible=True),
            gr.Accordion(label=f"{text.count(found)} found", visible=found > 0),
            boxed(photo, toon.faces) if found else None,
        )

    def forget(self):
        """Clear the result: it belongs to another photo."""
        off = gr.DownloadButton(value=None, interactive=False)
        return None, off, gr.Markdown(visible=False), gr.Accordion(visible=False), None

    def about(self, style: str) -> str:
        """What a style is, whose it is and where it comes from, as Markdown."""
        return text.about(self.styles.get(style))

    def choose(self, style: str):
        """What a style is, as Markdown, and the choice of quality where it has a fast generator."""
        return self.about(style), components.quality_of(self.styles.get(style))

    def list_styles(self) -> list:
        """The styles that /toonify draws: name, title, description, scope, license, source and
        whether it draws fast, too."""
        keys = ("name", "title", "description", "scope", "license", "source", "fast")
        return [{key: getattr(style, key) for key in keys} for style in self.styles.values()]


def boxed(photo: Image.Image, faces: list) -> Image.Image:
    """A small copy of the photo with a frame around each face."""
    picture = outputs.small(photo)
    scale = picture.width / photo.width
    pen, line = ImageDraw.Draw(picture), max(2, round(max(picture.size) / 200))
    for face in faces:
        box = [edge * scale for edge in face.box]
        pen.rounded_rectangle(box, radius=4 * line, outline=INK, width=2 * line)
        pen.rounded_rectangle(box, radius=4 * line, outline=YELLOW, width=line)
    return picture
