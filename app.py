"""The screen, and its API: a photo goes in, its cartoon comes out."""

import base64
import binascii
import collections
import contextlib
import dataclasses
import functools
import hashlib
import os
import re
import secrets
import threading
import time
from collections.abc import Callable, Mapping
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
BLENDS = [(f"{side} px", side) for side in hub.BLENDS]
SHAPES = [("Toon", "toon"), ("Photo", "base")]
FARTHEST = 3  # standard deviations that a face may be moved; beyond, it looks like nobody
MOST_STEPS, REFINE_S = 200, 120  # of refinement, for one face and for one photo
KEPT_FACES = 16  # of one photo: whose latents are kept, and which are shown
TYPICAL = 0.7  # how far from the mean face people are drawn who do not exist
SCREEN_PX, FACE_PX = 1600, 512  # what travels to the screen; the download has every pixel
CLEAN_EVERY_S, KEEP_S = 600, 3000  # together: nothing sent or drawn is kept for over an hour
TRACKED = gr.Progress()  # as a parameter's default it makes gradio pass on the handler's progress
ONE_AT_A_TIME = {"concurrency_id": "model", "concurrency_limit": 1}
PRIVATE = {"api_visibility": "private"}
LIGHT = {"queue": False, "show_progress": "hidden", **PRIVATE}

loading = threading.RLock()
pipelines = {}


def load_pipeline(style: str):
    """The pipeline of a style, made on first use: torch and OpenVINO are imported here."""
    from toonify.pipelines.animegan import AnimeGANPipeline

    with loading:
        if style not in pipelines:
            pipelines[style] = AnimeGANPipeline.from_pretrained(style)
        return pipelines[style]


def load_portraits():
    """The pipeline of all toon styles, made on first use."""
    from toonify.pipelines.stylegan import StyleGANPipeline

    with loading:
        if StyleGANPipeline not in pipelines:
            pipelines[StyleGANPipeline] = StyleGANPipeline.from_pretrained()
        return pipelines[StyleGANPipeline]


def find_faces(photo: Image.Image) -> list:
    """The faces of an upright RGB photo; MTCNN and torch are imported here."""
    from toonify import faces

    return faces.detect(photo)


# Everything that wants a GPU is in the next three, and what goes in and out of them can be pickled,
# since ZeroGPU runs them in a process of its own.


@on_gpu
def draw(load: Callable, photo: Image.Image, **options):
    """The `Toon` of an upright RGB photo by the pipeline that `load` gives."""
    with explained():
        return load()(photo, **options, progress=told())


@on_gpu
def draw_portrait(load: Callable, photo: Image.Image, latent, save: Path, **options):
    """The `PortraitToon` of an upright RGB photo. `latent` is a visitor's file, by its path or
    bytes, or a list of what `toon.portraits` had; the largest face's is written to `save`."""
    with explained():
        pipeline = load()
        if isinstance(latent, (str, bytes)):
            latent = [read_latent(pipeline, latent)]
        toon = pipeline(photo, **options, latent=latent, progress=told())
        if toon.portraits:
            pipeline.save_latent(made(save), toon.portraits[0].latent)
        return toon


@on_gpu
def draw_nobody(load: Callable, seed: int, style: str, save: Path, **options) -> tuple:
    """The photograph and the toon of somebody who does not exist; the latent goes to `save`."""
    with explained():
        pipeline = load()
        photo, toon, latent = pipeline.imagine(seed, style, **options)
        pipeline.save_latent(made(save), latent)
        return photo, toon


def read_latent(pipeline, source: str | bytes):
    """What a visitor's file holds. It goes to the pipeline unread: that has the careful reader."""
    try:
        return pipeline.load_latent(source)
    except ValueError as error:
        text = str(error)
        if isinstance(source, str):  # our folders are nobody's business
            text = text.replace(source, Path(source).name)
        raise refusal(text) from error


def told() -> Callable[[float, str], None]:
    """What a pipeline calls with its progress, for the visitor who waits."""
    progress = gr.Progress()  # which is false while it is empty, so it goes in a function
    return lambda fraction, text: progress(fraction, text)


@contextlib.contextmanager
def explained():
    """Tells the visitor when the Hub is away; other errors are ours, for the log."""
    try:
        yield
    except ConnectionError as error:
        raise refusal(str(error)) from error


def refusal(text: str) -> gr.Error:
    """An error that the visitor reads, and that leaves no traceback in the log."""
    return gr.Error(text, print_exception=False)


def read_photo(source: str | bytes | None) -> Image.Image:
    """The photo, upright RGB. This is the only place that reads what a visitor sends."""
    if source is None:
        raise refusal("Choose a photo first: upload one, paste one or take one.")
    try:
        return images.load(source)
    except images.ImageError as error:
        raise refusal(str(error)) from error


class Handlers:
    """What happens when somebody presses something. Photos come as paths or bytes, unread."""

    def __init__(self, styles: list, load_pipeline: Callable):
        self.styles = {style.name: style for style in styles}
        self.load_pipeline = load_pipeline

    def toon(self, photo: Image.Image, style: str, faces: str, strength: float, keep_colour: bool):
        """The `Toon`, with a word to the visitor where it may not be what they expect."""
        if style not in self.styles:
            raise refusal(f"There is no style {style!r} here.")
        face_style = self.styles[style].scope == "face"
        if face_style and faces == "none":
            raise refusal("This style draws faces only: choose all faces or the largest.")
        options = {"faces": faces, "strength": strength, "keep_colour": keep_colour}
        toon = draw(functools.partial(self.load_pipeline, style), photo, **options)
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
        source, photo = photo, read_photo(photo)
        toon = self.toon(photo, style, faces, strength, keep_colour)
        return str(saved(toon.image, source, style))

    def detect(self, photo):
        """Find the faces of a photo, largest first.

        Returns a list of {"box": [x0, y0, x1, y1], "points": [[x, y], ...], "score": 0 to 1}, in
        pixels of the upright photo; the points are both eyes, the nose and the mouth's corners.

        Parameters:
            photo: as for /toonify.
        """
        found = find_faces(read_photo(photo))
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
        source, photo = photo, read_photo(photo)
        toon = self.toon(photo, style, faces, strength, keep_colour)
        found = len(toon.faces)
        return (
            (small(photo), small(toon.image)),
            gr.DownloadButton(value=saved(toon.image, source, style), interactive=True),
            gr.Markdown(drawn_in(sum(toon.seconds.values()), toon.image.size), visible=True),
            gr.Accordion(label=f"{count(found)} found", visible=found > 0),
            boxed(photo, toon.faces) if found else None,
        )

    def forget(self):
        """Clear the result: it belongs to another photo."""
        off = gr.DownloadButton(value=None, interactive=False)
        return None, off, gr.Markdown(visible=False), gr.Accordion(visible=False), None

    def about(self, style: str) -> str:
        """What a style is, whose it is and where it comes from, as Markdown."""
        return about(self.styles.get(style))

    def list_styles(self) -> list:
        """The styles that /toonify draws: name, title, description, scope, licence and source."""
        keys = ("name", "title", "description", "scope", "licence", "source")
        return [{key: getattr(style, key) for key in keys} for style in self.styles.values()]


class PortraitHandlers:
    """The same for faces that are found in w and drawn from there. Sessions are gradio's."""

    # What is set on the screen, in the order of its widgets; one number a direction follows.
    SETTINGS = (
        *("style", "blend", "blend_width", "shape_from", "strength", "truncation"),
        *("refine_steps", "faces", "keep_colour"),
    )

    def __init__(self, toons: list, load_portraits: Callable, directions: Mapping[str, str]):
        self.toons = {style.name: style for style in toons}
        self.load_portraits = load_portraits
        self.directions = directions
        self.running: dict[str, Path] = {}  # session -> the file that stops its refinement
        self.stopped: set[str] = set()  # sessions that pressed Stop while they waited

    def draw(self, request, photo, latent, save: Path, edits: Mapping, **options):
        """The `PortraitToon`, with a word to the visitor where it may not be what they expect."""
        if options["style"] not in self.toons:
            raise refusal(f"There is no toon style {options['style']!r} here.")
        session, file = session_of(request), folder() / "stop"
        options["refine_steps"] = 0 if session in self.stopped else int(options["refine_steps"])
        self.stopped.discard(session)
        self.running[session] = made(file)
        stop = Stop(file, time.monotonic() + REFINE_S)
        try:
            toon = draw_portrait(
                self.load_portraits,
                photo,
                latent,
                save,
                edits=self.checked(edits),
                cancelled=stop,
                **options,
            )
        finally:
            self.running.pop(session, None)
            file.unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                file.parent.rmdir()
        if not toon.portraits:
            why = f" ({left_alone(toon)})" if toon.left_alone else ""
            gr.Warning(f"No face found that can be drawn{why}: the photo is unchanged.")
        return toon

    def checked(self, edits: Mapping | None) -> dict[str, float]:
        """The edits that change something; refused if they are not of this model's."""
        edits = {} if edits is None else edits
        right = isinstance(edits, Mapping) and all(
            name in self.directions
            and isinstance(amount, (int, float))
            and -FARTHEST <= amount <= FARTHEST
            for name, amount in edits.items()
        )
        if not right:
            raise refusal(
                f"edits: expected numbers from {-FARTHEST} to {FARTHEST}, each with one of the"
                f" names {', '.join(self.directions) or '(there are none)'}"
            )
        return {name: amount for name, amount in edits.items() if amount}

    def portrait(
        self,
        photo,
        style,
        blend=None,
        blend_width=0.0,
        shape_from="toon",
        strength=1.0,
        truncation=1.0,
        refine_steps=0,
        faces="all",
        keep_colour=False,
        edits=None,
        latent=None,
        request: gr.Request = None,
        progress=TRACKED,
    ):
        """Draw the faces of a photo as toons. Returns a PNG of the photo's size, upright.

        client.predict(handle_file("me.jpg"), style="NAME", api_name="/portrait")

        Parameters:
            photo: as for /toonify.
            style: the name of a toon style.
            blend: pixels, 4 to 1024: layers of the network below it give shape, the rest texture;
                None is what the style is best at.
            blend_width: octaves, 0 to 2: how softly the one passes into the other.
            shape_from: "toon" or "base": which of the two draws the shape.
            strength: from 0, the photo, to 1, the full toon.
            truncation: 1 keeps the face, 0 draws the mean face.
            refine_steps: 0 to 200 steps that bring the drawing nearer to the person.
            faces: "all" or "largest".
            keep_colour: keep the colours of the photo.
            edits: how far to move the face, -3 to 3 a direction: {"smile": 1.5}.
            latent: a file of /latent, drawn in place of the largest face.
        """
        given = locals()
        options = {name: given[name] for name in self.SETTINGS}
        pixels = read_photo(photo)
        toon = self.draw(request, pixels, latent, placed(photo, "face", ".npz"), edits, **options)
        return str(saved(toon.image, photo, style))

    def latent(self, photo, refine_steps=0, request: gr.Request = None, progress=TRACKED):
        """Find the largest face of a photo in w. Returns a .npz that /portrait draws from.

        Parameters:
            photo: as for /toonify.
            refine_steps: as for /portrait.
        """
        options = {"style": next(iter(self.toons)), "faces": "largest"}
        save = placed(photo, "face", ".npz")
        options["refine_steps"] = refine_steps
        if not self.draw(request, read_photo(photo), None, save, {}, **options).portraits:
            raise refusal("No face found that can be drawn.")
        return str(save)

    def show(self, kept, photo, latent, request: gr.Request, progress=TRACKED, *settings):
        """For the screen: finds the faces in w and draws them. `latent` is a visitor's file."""
        return self.shown(request, photo, latent, settings)

    def redraw(self, kept, photo, latent, request: gr.Request, progress=TRACKED, *settings):
        """The same after a setting was changed, from the latents that were found before."""
        if kept is not None and kept.seed is not None:
            return self.imagine(kept.seed, progress, *settings)
        if kept is None or not kept.latents or kept.photo != digest(photo):
            return gr.skip()
        return self.shown(request, photo, kept.latents, settings)

    def shown(self, request, photo, latent, settings: tuple):
        """What the widgets of the result get."""
        options, edits = self.named(settings)
        if isinstance(latent, list):  # of a drawing before: the likeness was refined then
            options["refine_steps"] = 0
        source, photo, save = photo, read_photo(photo), placed(photo, "face", ".npz")
        toon = self.draw(request, photo, latent, save, edits, **options)
        png, size = saved(toon.image, source, options["style"]), toon.image.size
        faces = []
        for portrait in toon.portraits[:KEPT_FACES]:
            faces += [
                (small(portrait.crop.image, FACE_PX), "Face"),
                (small(portrait.inversion, FACE_PX), "Redrawn"),
                (small(portrait.toon, FACE_PX), "Toon"),
            ]
        parts = [drawn_in(sum(toon.seconds.values()), size), f"{count(toon.drawn_faces)} drawn"]
        parts += [f"left alone: {left_alone(toon)}"] * bool(toon.left_alone)
        kept = [portrait.latent for portrait in toon.portraits[:KEPT_FACES]]
        pair = small(photo), small(toon.image)
        return *result(pair, png, save if kept else None, parts, faces), Kept(digest(source), kept)

    def imagine(self, seed, progress=TRACKED, *settings):
        """Somebody who does not exist: the one with that number, or without one, anybody."""
        options, edits = self.named(settings)
        names = ("style", "blend", "blend_width", "shape_from")
        mix = {name: options[name] for name in names}
        if mix["style"] not in self.toons:
            raise refusal(f"There is no toon style {mix['style']!r} here.")
        seed = str(seed).strip() or secrets.randbelow(1_000_000)
        if not re.fullmatch(r"[0-9]{1,9}", str(seed)):
            raise refusal("A person's number has up to nine digits; without one, anybody comes.")
        seed = int(seed)
        name, start = f"person-{seed}", time.perf_counter()
        save, psi = placed(name, "face", ".npz"), TYPICAL * options["truncation"]
        edits = self.checked(edits)
        both = draw_nobody(self.load_portraits, seed, save=save, truncation=psi, edits=edits, **mix)
        parts = [drawn_in(time.perf_counter() - start, both[1].size)]
        parts += [f"person no. {seed}, who does not exist"]
        faces = [(small(both[0], FACE_PX), "Photo"), (small(both[1], FACE_PX), "Toon")]
        png = saved(both[1], name, mix["style"])
        pair = small(both[0]), small(both[1])
        return *result(pair, png, save, parts, faces), Kept(seed=seed)

    def named(self, settings: tuple) -> tuple[dict, dict]:
        """The options and the edits that the screen's numbers mean."""
        own = len(self.SETTINGS)
        return (
            dict(zip(self.SETTINGS, settings[:own], strict=True)),
            dict(zip(self.directions, settings[own:], strict=True)),
        )

    def forget(self):
        """Clear the result: it belongs to another photo."""
        off = gr.update(value=None, interactive=False)
        return None, off, off, gr.update(visible=False), gr.update(value=None, visible=False), None

    def begin(self, refine_steps, request: gr.Request):
        """Draw was pressed: the button that stops it, where there is something to stop."""
        self.stopped.discard(session_of(request))
        return gr.Button("Stop refining", visible=refine_steps > 0, interactive=True)

    def stop(self, request: gr.Request):
        """Stop was pressed: what has been reached is drawn. Again, or too late: nothing more."""
        self.leave(request)
        if session_of(request) not in self.running:
            self.stopped.add(session_of(request))
        return gr.Button("Stopping", interactive=False)

    def leave(self, request: gr.Request):
        """The visitor went: nobody waits for the likeness."""
        self.stopped.discard(session_of(request))
        if file := self.running.get(session_of(request)):
            with contextlib.suppress(FileNotFoundError):  # it ended just now
                file.touch()

    def about(self, style: str) -> str:
        """What a style is, whose it is and where it comes from, as Markdown."""
        return about(self.toons.get(style))

    def choose(self, style: str) -> tuple[str, int]:
        """What a style is, as Markdown, and the size up to which its layers are its own."""
        return self.about(style), self.toons[style].blend


@dataclasses.dataclass(frozen=True, eq=False)
class Kept:
    """What a session drew last: the latents found in a photo, or a number of nobody's. It stays on
    the server: gradio keeps it by session, and a browser neither gets nor sends it."""

    photo: str | None = None
    latents: list = dataclasses.field(default_factory=list)
    seed: int | None = None


@dataclasses.dataclass(frozen=True)
class Stop:
    """True when its file is there or its time is over. Other processes can be asked too."""

    file: Path
    until: float

    def __call__(self) -> bool:
        return self.file.exists() or time.monotonic() > self.until


def session_of(request: gr.Request | None) -> str:
    """Whose request it is, by gradio's name for a page that is open."""
    return (request and request.session_hash) or ""


def digest(photo: str | bytes | None) -> str | None:
    """A name for what was sent: gradio's path has a hash of the content in it."""
    return hashlib.sha256(photo).hexdigest() if isinstance(photo, bytes) else photo


def result(pair: tuple, png: Path, npz: Path | None, parts: list[str], faces: list) -> tuple:
    """What the portrait's widgets show: before and after, two downloads, a text, the faces."""
    return (
        pair,
        gr.update(value=str(png), interactive=True),
        gr.update(value=npz and str(npz), interactive=npz is not None),
        gr.update(value=" · ".join(parts), visible=True),
        gr.update(value=faces, visible=bool(faces)),
    )


def about(style) -> str:
    """What a `hub.Style` is, whose it is and where it comes from, as Markdown."""
    if style is None:
        return "No style is installed."
    scope = "the whole photo" if style.scope == "photo" else "faces only"
    return f"{style.description} Draws {scope}. *{style.licence}, {style.source}.*"


def drawn_in(seconds: float, size: tuple[int, int]) -> str:
    return f"Drawn in {seconds:.1f} s · {size[0]} × {size[1]} px"


def count(faces: int) -> str:
    return "1 face" if faces == 1 else f"{faces} faces"


def left_alone(toon) -> str:
    """The faces that were not drawn, and why: "2 too small"."""
    reasons = collections.Counter(reason for _, reason in toon.left_alone)
    return ", ".join(f"{number} {reason}" for reason, number in reasons.items())


def folder() -> Path:
    """A folder where gradio serves and later deletes; not there yet, and nobody guesses it."""
    return Path(gr.utils.get_upload_folder()) / secrets.token_urlsafe(16)


def made(path: Path) -> Path:
    """The path, after its folder was made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def placed(source: str | bytes | None, style: str, suffix: str) -> Path:
    """Where a result goes: a folder of its own, and a name after its photo."""
    stem = Path(source).stem if isinstance(source, str) else ""
    stem, style = (re.sub(r"\W+", "-", part).strip("-")[:40] for part in (stem, style))
    return folder() / f"{stem or 'photo'}-{style}{suffix}"


def saved(picture: Image.Image, source: str | bytes, style: str) -> Path:
    """Write the result as PNG, named after its photo."""
    return images.save(picture, placed(source, style, ".png"))


def small(picture: Image.Image, side: int = SCREEN_PX) -> Image.Image:
    """A copy that fits the screen."""
    picture = picture.copy()
    picture.thumbnail((side, side))
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


def closed(box, what: str):
    """A box for uploads that hands over the file as it came, unread, by its path or its bytes.

    What gradio leaves open is closed: it fetches addresses, of any size, while the queue waits;
    takes data: URLs of any size; and lets any path pass that comes without the usual metadata."""
    move = box.async_move_resource_to_block_cache

    async def move_local(path):
        if str(path).startswith(("http:", "https:")):
            raise refusal(f"Send the {what} itself, not its address.")
        return await move(path)

    def unread(payload):
        if payload is None:
            return None
        if payload.url and payload.url.startswith("data:"):  # not counted by max_file_size
            if len(payload.url) * 3 // 4 > images.MAX_BYTES:
                raise refusal(f"The {what} is larger than {images.MAX_BYTES >> 20} MB.")
            try:
                return base64.b64decode(payload.url.partition(",")[2], validate=True)
            except binascii.Error as error:
                raise refusal(f"The {what} is not valid base64.") from error
        if not payload.path or not gr.utils.is_in_or_equal(payload.path, box.GRADIO_CACHE):
            raise refusal(f"Upload the {what} first.")
        return payload.path

    box.async_move_resource_to_block_cache = move_local
    box.preprocess = unread
    return box


def photo_box(prefix: str = "") -> tuple[gr.Image, gr.Dataset]:
    """An image box and examples for it. `images.load` is the only reader: gradio's own opens the
    file here, and answers what it cannot open with "Error"."""
    photo = gr.Image(
        type="filepath",
        image_mode=None,
        label="Your photo",
        sources=["upload", "webcam", "clipboard"],
        placeholder="Drop a portrait here\nor click to choose one",
        height=300,
        buttons=[],
        elem_id=f"{prefix}photo",
    )
    examples = gr.Dataset(
        components=[photo],
        samples=[[str(path)] for path in EXAMPLES],
        label="No photo at hand? Try one of these",
        type="index",
        elem_id=f"{prefix}examples",
    )
    return closed(photo, "photo"), examples


def result_box(prefix: str = "") -> tuple[gr.ImageSlider, gr.Markdown]:
    """Before and after, and a line about them."""
    compare = gr.ImageSlider(
        label="Photo and cartoon: drag the line",
        type="filepath",
        interactive=False,
        buttons=["fullscreen"],
        max_height=620,
        elem_id=f"{prefix}compare",
    )
    return compare, gr.Markdown(visible=False, elem_id=f"{prefix}report")


def photo_tab(handlers: Handlers) -> None:
    """One photo to its cartoon: the widgets, and which handler each of them calls."""
    choices = [(style.title, style.name) for style in handlers.styles.values()]
    default = choices[0][1] if choices else None
    with gr.Row(equal_height=False):
        with gr.Column(scale=5, min_width=300):
            photo, examples = photo_box()
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
            compare, report = result_box()
            download = gr.DownloadButton("Download PNG", interactive=False, elem_id="download")
            with gr.Accordion("Faces found", open=False, visible=False) as found:
                boxes = gr.Image(show_label=False, interactive=False, buttons=[], elem_id="boxes")
            gr.Markdown(PRIVACY, elem_id="privacy")
        png = gr.Image(label="Cartoon", type="filepath", format="png", visible=False)
        found_json = gr.JSON(label="Faces", visible=False)
        styles_json = gr.JSON(label="Styles", visible=False)

    inputs = [photo, style, faces, strength, keep_colour]
    result = [compare, download, report, found, boxes]
    show = {"fn": handlers.show, "inputs": inputs, "outputs": result}
    show |= {"show_progress_on": compare, **ONE_AT_A_TIME, **PRIVATE}
    picked = examples.click(lambda index: str(EXAMPLES[index]), examples, photo, **LIGHT)
    for shown in (button.click(**show), picked.then(**show)):
        shown.success(None, js=scroll_to("compare"))  # on a phone the result is further down
    gr.on([photo.input, photo.clear], handlers.forget, None, result, **LIGHT)
    style.change(handlers.about, style, about, **LIGHT)
    gr.on([], handlers.toonify, inputs, png, api_name="toonify", **ONE_AT_A_TIME)
    gr.on([], handlers.detect, photo, found_json, api_name="detect", **ONE_AT_A_TIME)
    gr.on([], handlers.list_styles, None, styles_json, api_name="styles", queue=False)


def scroll_to(elem_id: str) -> str:
    """JavaScript that brings a widget to a phone's screen, if it is below."""
    return f"""() => {{ const shown = document.querySelector('#{elem_id}');
if (shown.getBoundingClientRect().top > innerHeight / 2)
    setTimeout(() => shown.scrollIntoView({{behavior: 'smooth'}}), 400) }}"""


def portrait_tab(handlers: PortraitHandlers) -> None:
    """Faces to toons by way of w: the widgets, and which handler each of them calls."""
    choices = [(style.title, style.name) for style in handlers.toons.values()]
    with gr.Row(equal_height=False):
        with gr.Column(scale=5, min_width=300):
            photo, examples = photo_box("portrait-")
            with gr.Group(elem_id="portrait-settings"):
                style = gr.Radio(choices, value=choices[0][1], label="Toon")
                about = gr.Markdown(handlers.about(choices[0][1]), elem_id="portrait-about")
                strength = gr.Slider(
                    0, 1, 1, step=0.05, label="Strength", info="0 is the photo, 1 the full toon"
                )
                blend = gr.Radio(
                    BLENDS,
                    value=handlers.toons[choices[0][1]].blend,
                    label="Toon up to",
                    info="Layers below this size draw the toon's shapes, finer ones a photo's skin",
                    elem_id="blend",
                )
            with gr.Row():
                button = gr.Button(
                    "Draw the toon", variant="primary", size="lg", elem_id="portrait-draw"
                )
                stop = gr.Button("Stop refining", visible=False, size="lg", elem_id="stop")
            with gr.Accordion("Likeness and mixing", open=False, elem_id="likeness"):
                refine_steps = gr.Slider(
                    *(0, MOST_STEPS, 20),
                    step=10,
                    label="Refine the likeness",
                    info="Steps for each face, about 0.4 s each on two processor cores",
                )
                shape_from = gr.Radio(
                    SHAPES,
                    value="toon",
                    label="Shape from",
                    info="Photo turns it round: a real shape, drawn in detail",
                )
                blend_width = gr.Slider(
                    0, 2, 0, step=0.5, label="Softness of the passage", info="0 is a hard switch"
                )
                faces = gr.Radio(FACES[:2], value="all", label="Faces")
                keep_colour = gr.Checkbox(label="Keep the photo's colours")
                latent = closed(
                    gr.File(
                        label="Use a saved face (.npz)",
                        file_types=[".npz"],
                        height=150,
                        elem_id="latent",
                    ),
                    "file",
                )
            with gr.Group(elem_id="nobody"):
                seed = gr.Textbox(label="Person no.", placeholder="anybody", max_length=9)
                nobody = gr.Button("Draw somebody who does not exist")
        with gr.Column(scale=7, min_width=300):
            compare, report = result_box("portrait-")
            with gr.Accordion("Change the face", elem_id="edits"):
                edits = [
                    gr.Slider(-FARTHEST, FARTHEST, 0, step=0.1, label=label, elem_id=f"edit-{name}")
                    for name, label in handlers.directions.items()
                ]
                truncation = gr.Slider(
                    0, 1, 1, step=0.05, label="Character", info="1 is the face, 0 the mean of all"
                )
            with gr.Row():
                download = gr.DownloadButton(
                    "Download PNG", interactive=False, min_width=140, elem_id="portrait-download"
                )
                npz = gr.DownloadButton(
                    "Save face", interactive=False, min_width=140, elem_id="npz"
                )
            strip = gr.Gallery(
                label="From photo to toon",
                columns=3,
                height="auto",
                visible=False,
                interactive=False,
                buttons=[],
                elem_id="strip",
            )
            gr.Markdown(PRIVACY, elem_id="portrait-privacy")
        png = gr.Image(label="Toon", type="filepath", format="png", visible=False)
        file = gr.File(label="Face in w", visible=False)
        edits_json = gr.JSON(label="Edits", visible=False)
        kept = gr.State(time_to_live=KEEP_S)

    settings = [style, blend, blend_width, shape_from, strength, truncation]
    settings += [refine_steps, faces, keep_colour]
    inputs = [kept, photo, latent, *settings, *edits]
    result = [compare, download, npz, report, strip, kept]
    heavy = {"outputs": result, "show_progress_on": compare, **ONE_AT_A_TIME, **PRIVATE}
    picked = examples.click(lambda index: str(EXAMPLES[index]), examples, photo, **LIGHT)
    for trigger in (button.click, picked.then):
        ready = trigger(handlers.begin, refine_steps, stop, **LIGHT)
        shown = ready.then(handlers.show, inputs, **heavy)
        shown.then(lambda: gr.Button(visible=False), None, stop, **LIGHT)
        shown.success(None, js=scroll_to("portrait-compare"))  # on a phone it is further down
    stop.click(handlers.stop, None, stop, **LIGHT)
    shown = nobody.click(handlers.imagine, [seed, *settings, *edits], **heavy)
    shown.success(None, js=scroll_to("portrait-compare"))
    live = [blend, blend_width, shape_from, strength, truncation, keep_colour, *edits]
    live = [widget.input for widget in live]
    # What comes while one is being drawn waits, and only the last of it.
    gr.on(live, handlers.redraw, inputs, trigger_mode="always_last", **heavy)
    chosen = style.input(handlers.choose, style, [about, blend], **LIGHT)
    chosen.then(handlers.redraw, inputs, trigger_mode="always_last", **heavy)
    gr.on([photo.input, photo.clear], handlers.forget, None, result, **LIGHT)
    options = {"api_name": "portrait", **ONE_AT_A_TIME}
    unsaid = gr.Radio(BLENDS, value=None, label="Toon up to", visible=False)
    typed = [unsaid if widget is blend else widget for widget in settings]
    gr.on([], handlers.portrait, [photo, *typed, edits_json, latent], png, **options)
    gr.on([], handlers.latent, [photo, refine_steps], file, api_name="latent", **ONE_AT_A_TIME)


def build(
    styles: list,
    load_pipeline: Callable,
    toons: list = (),
    load_portraits: Callable | None = None,
    directions: Mapping[str, str] | None = None,
) -> gr.Blocks:
    """The whole page. `load_pipeline(name)` gives a pipeline for one of the styles,
    `load_portraits()` that of all toons. `directions` are names and labels of ways in which faces
    can be moved. Without toons there is no tab for them."""
    handlers = Handlers(styles, load_pipeline)
    with gr.Blocks(
        title="Toonify: cartoon portraits",
        analytics_enabled=False,
        delete_cache=(CLEAN_EVERY_S, KEEP_S),
    ) as demo:
        gr.HTML(HEADER, elem_id="header")
        if toons:
            portraits = PortraitHandlers(toons, load_portraits, directions or {})
            with gr.Tabs(elem_id="tabs"):
                with gr.Tab("Photo"):
                    photo_tab(handlers)
                with gr.Tab("Portrait toon", elem_id="portrait-tab"):
                    portrait_tab(portraits)
            demo.unload(portraits.leave)
        else:
            photo_tab(handlers)
    # Closed to direct calls, which would step past the queue and its limits.
    return demo.queue(max_size=20, api_open=False)


def warm_up(style: str, portraits: bool) -> None:
    """Load a style, the face detector and perhaps the toons, and draw, while nobody waits."""
    with loading:  # who comes now waits for the rest of this, which is sooner than racing it
        pipeline = load_pipeline(style)
        if "SPACES_ZERO_GPU" not in os.environ:  # there, only `draw` may touch the GPU
            pipeline(images.load(EXAMPLES[0]).resize((128, 128)))
    if portraits and "SPACES_ZERO_GPU" not in os.environ:
        load_portraits()(EXAMPLES[0])


INK, YELLOW, PAPER, NIGHT = "#1d1a2b", "#ffcf3f", "#fff9ec", "#17141f"
HEADER = "<h1>Toonify</h1><p>Your portrait, drawn as a cartoon.</p>"
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
:is(#examples, #portrait-examples) .gallery {
  display: grid; grid-template-columns: repeat(6, 1fr); }
:is(#examples, #portrait-examples) .gallery :is(button, span, div, img) {
  display: block; width: 100%; height: auto; max-width: none; max-height: none; aspect-ratio: 1; }
:is(#settings, #portrait-settings, #nobody) { border: 0; }
:is(#settings, #portrait-settings, #nobody) > .styler {
  border: 2px solid var(--block-border-color); border-radius: 14px; }
:is(#draw, #download, #portrait-draw, #portrait-download, #npz) { box-shadow: 3px 3px 0 #1d1a2b; }
:is(#draw, #download, #portrait-draw, #portrait-download, #npz):active {
  transform: translate(3px, 3px); box-shadow: none; }
:is(#compare, #portrait-compare) .empty { min-height: min(380px, 80vw); }
:is(#about, #portrait-about) { padding: 0 12px 8px; background: var(--block-background-fill); }
:is(#report, #privacy, #portrait-report, #portrait-privacy) { padding: 0 4px; }
#tabs [role=tab] { font-weight: 700; color: var(--body-text-color); }
#tabs [role=tab][aria-selected=true] { background: #ffcf3f; color: #1d1a2b;
  border: 2px solid #1d1a2b; border-bottom: 0; border-radius: 14px 14px 0 0; }
#tabs [role=tab]::after { display: none; }
:is(#edits, #likeness) .form { border: 0; background: none; }
#edits .form { display: grid; grid-template-columns: repeat(auto-fit, minmax(220px, 1fr)); }
#strip .grid-wrap { min-height: 0; height: auto; }
#blend label { padding: 4px 8px; }
footer .divider { display: none; }
"""
LAUNCH = {
    "theme": THEME,
    "css": CSS,
    "max_file_size": images.MAX_BYTES,
    "show_error": False,  # what a handler did not foresee stays in the log
    "ssr_mode": False,
    "footer_links": ["api"],
    "state_session_capacity": 1000,  # visitors whose latents are kept
}

TOONS = hub.styles("stylegan")

demo = build(hub.styles(), load_pipeline, TOONS, load_portraits, hub.directions())

if __name__ == "__main__":
    demo.launch(prevent_thread_lock=True, **LAUNCH)
    threading.Thread(target=warm_up, args=(hub.DEFAULT_STYLE, bool(TOONS)), daemon=True).start()
    demo.block_thread()
