"""The screen, and its API: a photo goes in, its cartoon comes out."""

import base64
import binascii
import os
import re
import secrets
import threading
from collections.abc import Callable
from pathlib import Path

import gradio as gr
from PIL import Image, ImageDraw

from toonify import hub, images

try:  # Hugging Face ZeroGPU lends a GPU per call; everywhere else the decorator does nothing.
    from spaces import GPU as on_gpu
except ImportError:

    def on_gpu(function):
        return function


HERE = Path(__file__).parent
EXAMPLES = [
    HERE / "hub_cards" / "faces" / f"{name}.jpg"
    for name in ("random_021", "random_032", "random_012", "random_026", "random_069", "astronaut")
]
FACES = [("All faces", "all"), ("Largest face", "largest"), ("No faces", "none")]
SCREEN_PX = 1600  # what travels to the screen; the download has every pixel
CLEAN_EVERY_S, KEEP_S = 600, 3000  # together: nothing sent or drawn is kept for over an hour
TRACKED = gr.Progress()  # as a parameter's default it makes gradio pass on the handler's progress
ONE_AT_A_TIME = {"concurrency_id": "model", "concurrency_limit": 1}

loading = threading.RLock()
pipelines = {}


def load_pipeline(style: str):
    """The pipeline of a style, made on first use: torch and OpenVINO are imported here."""
    from toonify.pipelines.animegan import AnimeGANPipeline

    with loading:
        if style not in pipelines:
            pipelines[style] = AnimeGANPipeline.from_pretrained(style)
        return pipelines[style]


def find_faces(photo: Image.Image) -> list:
    """The faces of an upright RGB photo; MTCNN and torch are imported here."""
    from toonify import faces

    return faces.detect(photo)


@on_gpu
def draw(load_pipeline: Callable, photo: Image.Image, style: str, **options):
    """The `Toon` of an upright RGB photo.

    Everything that wants a GPU is in here, and what goes in and out can be pickled, since
    ZeroGPU runs this in a process of its own."""
    try:
        pipeline = load_pipeline(style)
    except ConnectionError as error:  # the Hub is away; other errors are ours, for the log
        raise refusal(str(error)) from error
    progress = gr.Progress()  # which is false while it is empty, so it goes in a function
    return pipeline(photo, **options, progress=lambda fraction, text: progress(fraction, text))


def refusal(text: str) -> gr.Error:
    """An error that the visitor reads, and that leaves no traceback in the log."""
    return gr.Error(text, print_exception=False)


class Handlers:
    """What happens when somebody presses something. Photos come as paths or bytes, unread."""

    def __init__(self, styles: list, load_pipeline: Callable):
        self.styles = {style.name: style for style in styles}
        self.load_pipeline = load_pipeline

    def photo(self, source: str | bytes | None) -> Image.Image:
        """The photo, upright RGB. This is the only place that reads what a visitor sends."""
        if source is None:
            raise refusal("Choose a photo first: upload one, paste one or take one.")
        try:
            return images.load(source)
        except images.ImageError as error:
            raise refusal(str(error)) from error

    def toon(self, photo: Image.Image, style: str, faces: str, strength: float, keep_colour: bool):
        """The `Toon`, with a word to the visitor where it may not be what they expect."""
        if style not in self.styles:
            raise refusal(f"There is no style {style!r} here.")
        face_style = self.styles[style].scope == "face"
        if face_style and faces == "none":
            raise refusal("This style draws faces only: choose all faces or the largest.")
        options = {"faces": faces, "strength": strength, "keep_colour": keep_colour}
        toon = draw(self.load_pipeline, photo, style, **options)
        if faces != "none" and not toon.faces:
            if face_style:
                gr.Warning("No face found. This style draws faces only: the photo is unchanged.")
            else:
                gr.Info("No face found: the photo was drawn as a whole.")
        return toon

    def toonify(self, photo, style, faces="all", strength=1.0, keep_colour=False, progress=TRACKED):
        """Draw the cartoon of a photo. Returns a PNG of the photo's size, upright.

        client.predict(handle_file("me.jpg"), "comic", "all", 1.0, False, api_name="/toonify")

        Parameters:
            photo: JPEG, PNG, WebP, GIF (first frame), BMP, TIFF or AVIF.
            style: one of the names that /styles returns.
            faces: "all", "largest" or "none": which faces get a drawing of their own.
            strength: from 0, the photo, to 1, the full cartoon.
            keep_colour: keep the colours of the photo.
        """
        source, photo = photo, self.photo(photo)
        toon = self.toon(photo, style, faces, strength, keep_colour)
        return str(saved(toon.image, source, style))

    def detect(self, photo):
        """Find the faces of a photo, largest first.

        Returns a list of {"box": [x0, y0, x1, y1], "points": [[x, y], ...], "score": 0 to 1}, in
        pixels of the upright photo; the points are both eyes, the nose and the mouth's corners.

        Parameters:
            photo: as for /toonify.
        """
        found = find_faces(self.photo(photo))
        return [
            {
                "box": [float(edge) for edge in face.box],
                "points": [[float(x), float(y)] for x, y in face.points],
                "score": float(face.score),
            }
            for face in found
        ]

    def show(self, photo, style, faces="all", strength=1.0, keep_colour=False, progress=TRACKED):
        """The same for the screen: before and after, download, a line of text, the faces found."""
        source, photo = photo, self.photo(photo)
        toon = self.toon(photo, style, faces, strength, keep_colour)
        count = len(toon.faces)
        found = "1 face found" if count == 1 else f"{count} faces found"
        size = f"{toon.image.width} × {toon.image.height} px"
        return (
            (small(photo), small(toon.image)),
            gr.DownloadButton(value=saved(toon.image, source, style), interactive=True),
            gr.Markdown(f"Drawn in {sum(toon.seconds.values()):.1f} s · {size}", visible=True),
            gr.Accordion(label=found, visible=count > 0),
            boxed(photo, toon.faces) if count else None,
        )

    def forget(self):
        """Clear the result: it belongs to another photo."""
        off = gr.DownloadButton(value=None, interactive=False)
        return None, off, gr.Markdown(visible=False), gr.Accordion(visible=False), None

    def about(self, style: str) -> str:
        """What a style is, whose it is and where it comes from, as Markdown."""
        style = self.styles.get(style)
        if style is None:
            return "No style is installed."
        scope = "the whole photo" if style.scope == "photo" else "faces only"
        return f"{style.description} Draws {scope}. *{style.licence}, {style.source}.*"

    def list_styles(self) -> list:
        """The styles that /toonify draws: name, title, description, scope, licence and source."""
        keys = ("name", "title", "description", "scope", "licence", "source")
        return [{key: getattr(style, key) for key in keys} for style in self.styles.values()]


def saved(picture: Image.Image, source: str | bytes, style: str) -> Path:
    """Write the result as PNG where gradio serves and later deletes it, named after its photo."""
    stem = Path(source).stem if isinstance(source, str) else ""
    stem, style = (re.sub(r"\W+", "-", part).strip("-")[:40] for part in (stem, style))
    folder = Path(gr.utils.get_upload_folder()) / secrets.token_urlsafe(16)
    return images.save(picture, folder / f"{stem or 'photo'}-{style}.png")


def small(picture: Image.Image) -> Image.Image:
    """A copy that fits the screen."""
    picture = picture.copy()
    picture.thumbnail((SCREEN_PX, SCREEN_PX))
    return picture


def boxed(photo: Image.Image, faces: list) -> Image.Image:
    """A small copy of the photo with a frame around each face."""
    picture = small(photo)
    scale = picture.width / photo.width
    pen, line = ImageDraw.Draw(picture), max(2, round(max(picture.size) / 200))
    for face in faces:
        box = [edge * scale for edge in face.box]
        pen.rounded_rectangle(box, radius=4 * line, outline=INK, width=2 * line)
        pen.rounded_rectangle(box, radius=4 * line, outline=YELLOW, width=line)
    return picture


def photo_box(**options) -> gr.Image:
    """An image box that hands over the file as it came, unread, so that `images.load` is the
    only reader. Gradio's own opens it here, and answers what it cannot open with "Error".

    What gradio leaves open is closed: it fetches addresses, of any size, while the queue waits;
    takes data: URLs of any size; and lets any path pass that comes without the usual metadata."""
    box = gr.Image(type="filepath", image_mode=None, **options)
    move = box.async_move_resource_to_block_cache

    async def move_local(path):
        if str(path).startswith(("http:", "https:")):
            raise refusal("Send the photo itself, not its address.")
        return await move(path)

    def unread(payload):
        if payload is None:
            return None
        if payload.url and payload.url.startswith("data:"):  # not counted by max_file_size
            if len(payload.url) * 3 // 4 > images.MAX_BYTES:
                raise refusal(f"The photo is larger than {images.MAX_BYTES >> 20} MB.")
            try:
                return base64.b64decode(payload.url.partition(",")[2], validate=True)
            except binascii.Error as error:
                raise refusal("The photo is not valid base64.") from error
        if not payload.path or not gr.utils.is_in_or_equal(payload.path, box.GRADIO_CACHE):
            raise refusal("Upload the photo first.")
        return payload.path

    box.async_move_resource_to_block_cache = move_local
    box.preprocess = unread
    return box


def photo_tab(handlers: Handlers) -> None:
    """One photo to its cartoon: the widgets, and which handler each of them calls."""
    choices = [(style.title, style.name) for style in handlers.styles.values()]
    default = choices[0][1] if choices else None
    with gr.Row(equal_height=False):
        with gr.Column(scale=5, min_width=300):
            photo = photo_box(
                label="Your photo",
                sources=["upload", "webcam", "clipboard"],
                placeholder="Drop a portrait here\nor click to choose one",
                height=300,
                buttons=[],
                elem_id="photo",
            )
            examples = gr.Dataset(
                components=[photo],
                samples=[[str(path)] for path in EXAMPLES],
                label="No photo at hand? Try one of these",
                type="index",
                elem_id="examples",
            )
            with gr.Group(elem_id="settings"):
                style = gr.Radio(choices, value=default, label="Style")
                about = gr.Markdown(handlers.about(default), elem_id="about")
                strength = gr.Slider(
                    0, 1, 1, step=0.05, label="Strength", info="0 is the photo, 1 the full cartoon"
                )
            button = gr.Button("Draw the cartoon", variant="primary", size="lg", elem_id="draw")
            with gr.Accordion("Faces and colours", open=False):
                faces = gr.Radio(
                    FACES,
                    value="all",
                    label="Faces",
                    info="Small faces get a drawing of their own, so that they come out well",
                )
                keep_colour = gr.Checkbox(label="Keep the photo's colours")
        with gr.Column(scale=7, min_width=300):
            compare = gr.ImageSlider(
                label="Photo and cartoon: drag the line",
                type="filepath",
                interactive=False,
                buttons=["fullscreen"],
                max_height=620,
                elem_id="compare",
            )
            report = gr.Markdown(visible=False, elem_id="report")
            download = gr.DownloadButton("Download PNG", interactive=False, elem_id="download")
            with gr.Accordion("Faces found", open=False, visible=False) as found:
                boxes = gr.Image(show_label=False, interactive=False, buttons=[], elem_id="boxes")
            gr.Markdown(PRIVACY, elem_id="privacy")
        png = gr.Image(label="Cartoon", type="filepath", format="png", visible=False)
        found_json = gr.JSON(label="Faces", visible=False)
        styles_json = gr.JSON(label="Styles", visible=False)

    inputs = [photo, style, faces, strength, keep_colour]
    result = [compare, download, report, found, boxes]
    private = {"api_visibility": "private"}
    show = {"fn": handlers.show, "inputs": inputs, "outputs": result}
    show |= {"show_progress_on": compare, **ONE_AT_A_TIME, **private}
    light = {"queue": False, "show_progress": "hidden", **private}
    picked = examples.click(lambda index: str(EXAMPLES[index]), examples, photo, **light)
    for shown in (button.click(**show), picked.then(**show)):
        shown.success(None, js=SCROLL)  # on a phone the result is further down
    gr.on([photo.input, photo.clear], handlers.forget, None, result, **light)
    style.change(handlers.about, style, about, **light)
    gr.on([], handlers.toonify, inputs, png, api_name="toonify", **ONE_AT_A_TIME)
    gr.on([], handlers.detect, photo, found_json, api_name="detect", **ONE_AT_A_TIME)
    gr.on([], handlers.list_styles, None, styles_json, api_name="styles", queue=False)


def build(styles: list, load_pipeline: Callable) -> gr.Blocks:
    """The whole page. `load_pipeline(name)` gives a pipeline for one of the styles."""
    handlers = Handlers(styles, load_pipeline)
    with gr.Blocks(
        title="Toonify: cartoon portraits",
        analytics_enabled=False,
        delete_cache=(CLEAN_EVERY_S, KEEP_S),
    ) as demo:
        gr.HTML(HEADER, elem_id="header")
        photo_tab(handlers)
    # Closed to direct calls, which would step past the queue and its limits.
    return demo.queue(max_size=20, api_open=False)


def warm_up(style: str) -> None:
    """Load a style and the face detector, and draw once, while nobody waits for it."""
    with loading:  # who comes now waits for the rest of this, which is sooner than racing it
        pipeline = load_pipeline(style)
        if "SPACES_ZERO_GPU" not in os.environ:  # there, only `draw` may touch the GPU
            pipeline(images.load(EXAMPLES[0]).resize((128, 128)))


INK, YELLOW, PAPER, NIGHT = "#1d1a2b", "#ffcf3f", "#fff9ec", "#17141f"
HEADER = "<h1>Toonify</h1><p>Your portrait, drawn as a cartoon.</p>"
SCROLL = """() => { const shown = document.querySelector('#compare');
if (shown.getBoundingClientRect().top > innerHeight / 2)
    setTimeout(() => shown.scrollIntoView({behavior: 'smooth'}), 400) }"""
PRIVACY = (
    "**Private.** Photos are drawn on this server, never shown to others or used for training,"
    " and deleted with their cartoons within an hour."
)
FONT = ["ui-rounded", "SF Pro Rounded", "Nunito", "Segoe UI", "system-ui", "sans-serif"]
THEME = gr.themes.Base(
    primary_hue="amber", neutral_hue="stone", radius_size="lg", font=FONT, font_mono=["monospace"]
).set(
    body_background_fill=PAPER,
    body_background_fill_dark=NIGHT,
    block_border_width="2px",
    block_border_color=INK,
    block_border_color_dark="#4c465e",
    block_background_fill_dark="#231f2f",
    block_label_background_fill_dark="#231f2f",
    block_radius="14px",
    container_radius="14px",
    button_large_radius="14px",
    button_border_width="2px",
    button_primary_border_color=INK,
    button_primary_border_color_hover=INK,
    button_primary_border_color_dark=INK,
    button_primary_border_color_hover_dark=INK,
    button_primary_background_fill=YELLOW,
    button_primary_background_fill_hover="#ffdd75",
    button_primary_background_fill_dark=YELLOW,
    button_primary_background_fill_hover_dark="#ffdd75",
    button_primary_text_color=INK,
    button_primary_text_color_dark=INK,
    button_secondary_background_fill="white",
    button_secondary_border_color=INK,
    slider_color="#f0584c",
    slider_color_dark="#f0584c",
)
CSS = """
/* The comic look: ink lines, halftone dots, hard shadows. Colours as in the theme above. */
.app { padding: 12px clamp(12px, 3vw, 32px) !important; }
.gradio-container { max-width: 1160px !important; margin: 0 auto !important; --dot: #ffcf3f66; }
.dark .gradio-container, .gradio-container.dark { --dot: #ffcf3f1c; }
#header { padding: 14px 4px 10px;
  background: radial-gradient(var(--dot) 2px, transparent 2.5px) 0 0/16px 16px; }
#header h1 { font-size: 3rem; font-weight: 900; line-height: 1; letter-spacing: -.03em;
  color: #ffcf3f; -webkit-text-stroke: 7px #1d1a2b; paint-order: stroke fill; }
#header p { display: inline-block; margin: 10px 0 0; padding: 3px 14px;
  font-size: .95rem; font-weight: 600;
  color: #1d1a2b; background: #fff; border: 2px solid #1d1a2b; border-radius: 14px 14px 14px 2px; }
#examples .gallery { display: grid; grid-template-columns: repeat(6, 1fr); }
#examples .gallery button, #examples .gallery span, #examples .gallery div, #examples .gallery img {
  display: block; width: 100%; height: auto; max-width: none; max-height: none; aspect-ratio: 1; }
#settings { border: 0; }
#settings > .styler { border: 2px solid var(--block-border-color); border-radius: 14px; }
#draw, #download { box-shadow: 3px 3px 0 #1d1a2b; }
#draw:active, #download:active { transform: translate(3px, 3px); box-shadow: none; }
#compare .empty { min-height: min(380px, 80vw); }
#about { padding: 0 12px 8px; background: var(--block-background-fill); }
#report, #privacy { padding: 0 4px; }
footer .divider { display: none; }
"""
LAUNCH = {
    "theme": THEME,
    "css": CSS,
    "max_file_size": images.MAX_BYTES,
    "show_error": False,  # what a handler did not foresee stays in the log
    "ssr_mode": False,
    "footer_links": ["api"],
}

demo = build(hub.styles(), load_pipeline)

if __name__ == "__main__":
    demo.launch(prevent_thread_lock=True, **LAUNCH)
    threading.Thread(target=warm_up, args=(hub.DEFAULT_STYLE,), daemon=True).start()
    demo.block_thread()
