"""Portrait to toon by way of w: what happens when somebody presses something."""

import collections
import dataclasses
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import gradio as gr
from PIL import Image

from toonify.ui import events, inputs, outputs
from toonify.ui import text as words
from toonify.ui.cancellation import Stops

FARTHEST = 3  # standard deviations that a face may be moved; beyond, it looks like nobody
REFINE_S = 120  # of refinement, for one photo
KEPT_FACES = 16  # of one photo: whose latents are kept, and which are shown
TYPICAL = 0.7  # how far from the mean face people are drawn who do not exist
FACE_PX = 512  # of the faces shown beside the photo


@events.on_gpu
def draw(load: Callable, photo: Image.Image, latent, save: Path, **options):
    """The `PortraitToon` of an upright RGB photo. `latent` is a visitor's file, by its path or
    bytes, or a list of what `toon.portraits` had; the largest face's is written to `save`."""
    with inputs.explained():
        pipeline = load()
        if isinstance(latent, (str, bytes)):
            latent = [read_latent(pipeline, latent)]
        toon = pipeline(photo, **options, latent=latent, progress=inputs.told())
        if toon.portraits:
            pipeline.save_latent(outputs.made(save), toon.portraits[0].latent)
        return toon


@events.on_gpu
def draw_nobody(load: Callable, seed: int, style: str, save: Path, **options) -> tuple:
    """The photograph and the toon of somebody who does not exist; the latent goes to `save`."""
    with inputs.explained():
        pipeline = load()
        photo, toon, latent = pipeline.imagine(seed, style, **options)
        pipeline.save_latent(outputs.made(save), latent)
        return photo, toon


def read_latent(pipeline, source: str | bytes):
    """What a visitor's file holds. It goes to the pipeline unread: that has the careful reader."""
    try:
        return pipeline.load_latent(source)
    except ValueError as error:
        text = str(error)
        if isinstance(source, str):  # our folders are nobody's business
            text = text.replace(source, Path(source).name)
        raise inputs.refusal(text) from error


class Handlers:
    """What happens when somebody presses something. Sessions are gradio's."""

    # What is set on the screen, in the order of its widgets; one number a direction follows.
    SETTINGS = (
        *("style", "blend", "blend_width", "shape_from", "strength", "truncation"),
        *("refine_steps", "faces", "keep_color"),
    )

    def __init__(self, toons: list, load: Callable, directions: Mapping[str, str]):
        self.toons = {style.name: style for style in toons}
        self.load = load
        self.directions = directions
        self.running = Stops()
        self.stopped: set[str] = set()  # sessions that pressed Stop while they waited

    def draw(self, request, photo, latent, save: Path, edits: Mapping, **options):
        """The `PortraitToon`, with a word to the visitor where it may not be what they expect."""
        if options["style"] not in self.toons:
            raise inputs.refusal(f"There is no toon style {options['style']!r} here.")
        session = inputs.session_of(request)
        options["refine_steps"] = 0 if session in self.stopped else int(options["refine_steps"])
        self.stopped.discard(session)
        with self.running.during(session, REFINE_S) as stop:
            toon = draw(
                self.load,
                photo,
                latent,
                save,
                edits=inputs.edits(edits, self.directions, FARTHEST),
                cancelled=stop,
                **options,
            )
        if not toon.portraits:
            why = f" ({left_alone(toon)})" if toon.left_alone else ""
            gr.Warning(f"No face found that can be drawn{why}: the photo is unchanged.")
        return toon

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
        progress=events.TRACKED,
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
        given = locals() | {"keep_color": keep_colour}
        options = {name: given[name] for name in self.SETTINGS}
        pixels = inputs.read_photo(photo)
        toon = self.draw(
            request, pixels, latent, outputs.placed(photo, "face", ".npz"), edits, **options
        )
        return str(outputs.saved(toon.image, photo, style))

    def latent(self, photo, refine_steps=0, request: gr.Request = None, progress=events.TRACKED):
        """Find the largest face of a photo in w. Returns a .npz that /portrait draws from.

        Parameters:
            photo: as for /toonify.
            refine_steps: as for /portrait.
        """
        options = {"style": next(iter(self.toons)), "faces": "largest"}
        save = outputs.placed(photo, "face", ".npz")
        options["refine_steps"] = refine_steps
        if not self.draw(request, inputs.read_photo(photo), None, save, {}, **options).portraits:
            raise inputs.refusal("No face found that can be drawn.")
        return str(save)

    def show(self, kept, photo, latent, request: gr.Request, progress=events.TRACKED, *settings):
        """For the screen: finds the faces in w and draws them. `latent` is a visitor's file."""
        return self.shown(request, photo, latent, settings)

    def redraw(self, kept, photo, latent, request: gr.Request, progress=events.TRACKED, *settings):
        """The same after a setting was changed, from the latents that were found before."""
        if kept is not None and kept.seed is not None:
            return self.imagine(kept.seed, progress, *settings)
        if kept is None or not kept.latents or kept.photo != inputs.digest(photo):
            return gr.skip()
        return self.shown(request, photo, kept.latents, settings)

    def shown(self, request, photo, latent, settings: tuple):
        """What the widgets of the result get."""
        options, edits = self.named(settings)
        if isinstance(latent, list):  # of a drawing before: the likeness was refined then
            options["refine_steps"] = 0
        source, photo, save = photo, inputs.read_photo(photo), outputs.placed(photo, "face", ".npz")
        toon = self.draw(request, photo, latent, save, edits, **options)
        png, size = outputs.saved(toon.image, source, options["style"]), toon.image.size
        faces = []
        for portrait in toon.portraits[:KEPT_FACES]:
            faces += [
                (outputs.small(portrait.crop.image, FACE_PX), "Face"),
                (outputs.small(portrait.inversion, FACE_PX), "Redrawn"),
                (outputs.small(portrait.toon, FACE_PX), "Toon"),
            ]
        parts = [
            words.drawn_in(sum(toon.seconds.values()), size),
            f"{words.count(toon.drawn_faces)} drawn",
        ]
        parts += [f"left alone: {left_alone(toon)}"] * bool(toon.left_alone)
        kept = [portrait.latent for portrait in toon.portraits[:KEPT_FACES]]
        pair = outputs.small(photo), outputs.small(toon.image)
        return *result(pair, png, save if kept else None, parts, faces), Kept(
            inputs.digest(source), kept
        )

    def imagine(self, seed, progress=events.TRACKED, *settings):
        """Somebody who does not exist: the one with that number, or without one, anybody."""
        options, edits = self.named(settings)
        names = ("style", "blend", "blend_width", "shape_from")
        mix = {name: options[name] for name in names}
        if mix["style"] not in self.toons:
            raise inputs.refusal(f"There is no toon style {mix['style']!r} here.")
        seed = inputs.number(seed, "person")
        name, start = f"person-{seed}", time.perf_counter()
        save, psi = outputs.placed(name, "face", ".npz"), TYPICAL * options["truncation"]
        edits = inputs.edits(edits, self.directions, FARTHEST)
        both = draw_nobody(self.load, seed, save=save, truncation=psi, edits=edits, **mix)
        parts = [words.drawn_in(time.perf_counter() - start, both[1].size)]
        parts += [f"person no. {seed}, who does not exist"]
        faces = [
            (outputs.small(both[0], FACE_PX), "Photo"),
            (outputs.small(both[1], FACE_PX), "Toon"),
        ]
        png = outputs.saved(both[1], name, mix["style"])
        pair = outputs.small(both[0]), outputs.small(both[1])
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
        self.stopped.discard(inputs.session_of(request))
        return gr.Button("Stop refining", visible=refine_steps > 0, interactive=True)

    def stop(self, request: gr.Request):
        """Stop was pressed: what has been reached is drawn. Again, or too late: nothing more."""
        session = inputs.session_of(request)
        if not self.running.press(session):
            self.stopped.add(session)
        return gr.Button("Stopping", interactive=False)

    def leave(self, request: gr.Request):
        """The visitor went: nobody waits for the likeness."""
        self.stopped.discard(inputs.session_of(request))
        self.running.press(inputs.session_of(request))

    def about(self, style: str) -> str:
        """What a style is, whose it is and where it comes from, as Markdown."""
        return words.about(self.toons.get(style))

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


def result(pair: tuple, png: Path, npz: Path | None, parts: list[str], faces: list) -> tuple:
    """What the portrait's widgets show: before and after, two downloads, a text, the faces."""
    return (
        pair,
        gr.update(value=str(png), interactive=True),
        gr.update(value=npz and str(npz), interactive=npz is not None),
        gr.update(value=" · ".join(parts), visible=True),
        gr.update(value=faces, visible=bool(faces)),
    )


def left_alone(toon) -> str:
    """The faces that were not drawn, and why: "2 too small"."""
    reasons = collections.Counter(reason for _, reason in toon.left_alone)
    return ", ".join(f"{number} {reason}" for reason, number in reasons.items())
