"""Portrait to toon through the latent space w+: the handlers."""

import collections
import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import gradio as gr
from PIL import Image

from toonify.hub import Style
from toonify.ui import events, i18n, inputs, outputs, text
from toonify.ui.cancellation import Jobs
from toonify.ui.handlers.styles import StyleHandlers
from toonify.ui.inputs import UserError

MAX_REFINE_S = 120  # for one photo
MAX_STOPPED = 1000  # sessions whose Stop is remembered
MAX_FACES = 16  # of one photo: whose latents are kept, and which are shown
TRUNCATION = 0.7  # of random people
FACE_PX = 512  # of the faces shown beside the photo


@events.on_gpu
def draw(load: Callable, photo: Image.Image, latent, save: Path | None, **options):
    """Return the `PortraitToon` of an upright RGB photo.

    Args:
        load: gives the pipeline.
        photo: the photo.
        latent: a visitor's file, as its path or bytes; or latents of an earlier drawing, one a
            face; None to find them.
        save: where the latent of the largest face is written; None if nobody gets it.
        options: those of the pipeline.
    """
    with inputs.explain_hub_errors():
        pipeline = load()
        if isinstance(latent, (str, bytes)):
            latent = [read_latent(pipeline, latent)]
        toon = pipeline(photo, **options, latent=latent, progress=inputs.track_progress())
        if save is not None and toon.portraits:
            pipeline.save_latent(outputs.make_parent(save), toon.portraits[0].latent)
        return toon


@events.on_gpu
def draw_random_person(load: Callable, seed: int, style: str, save: Path, **options) -> tuple:
    """Return the photo and the toon of a random person; the latent is written to `save`."""
    with inputs.explain_hub_errors():
        pipeline = load()
        photo, toon, latent = pipeline.generate(seed, style, **options)
        pipeline.save_latent(outputs.make_parent(save), latent)
        return photo, toon


def read_latent(pipeline, source: str | bytes):
    """Return the latent of a visitor's file. The pipeline has the reader for untrusted files."""
    try:
        return pipeline.load_latent(source)
    except ValueError as error:
        message = str(error)
        if isinstance(source, str):  # without the folder that it lies in here
            message = message.replace(source, Path(source).name)
        raise UserError(message) from error


class PortraitHandlers(StyleHandlers):
    """The handlers of the tab. Sessions are gradio's.

    Args:
        styles: the toon styles to choose from.
        load: gives the pipeline of all of them: `load()`.
        directions: labels, by name, of the directions in which faces can be moved.
    """

    # The settings in the order of their components; one amount for each direction follows.
    SETTINGS = (
        *("style", "blend", "blend_width", "shape_from", "strength", "truncation"),
        *("refine_steps", "faces", "keep_color"),
    )

    def __init__(self, styles: Sequence[Style], load: Callable, directions: Mapping[str, str]):
        super().__init__(styles, load)
        self.directions = directions
        self.jobs = Jobs()
        self.stopped: set[str] = set()  # sessions that pressed Stop while they waited

    def draw(self, request, photo, latent, save: Path | None, edits: Mapping, **options):
        """Return the `PortraitToon`, and tell the visitor if no face was drawn."""
        inputs.get_style(self.styles, options["style"])
        session = inputs.get_session(request)
        options["refine_steps"] = 0 if session in self.stopped else int(options["refine_steps"])
        self.stopped.discard(session)
        with self.jobs.run(session, MAX_REFINE_S) as stop:
            toon = draw(
                self.load,
                photo,
                latent,
                save,
                edits=inputs.parse_edits(edits, self.directions),
                cancelled=stop,
                **options,
            )
        if not toon.portraits:
            why = f" ({describe_skipped(toon)})" if toon.left_alone else ""
            i18n.show_warning(f"No usable face found{why}: the photo is unchanged.")
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
        keep_color=False,
        edits=None,
        latent=None,
        keep_colour=False,
        request: gr.Request | None = None,
        progress=events.PROGRESS,
    ):
        """Draw the faces of a photo as toons. Returns a PNG of the photo's size, upright.

        client.predict(handle_file("me.jpg"), style="NAME", api_name="/portrait")

        Parameters:
            photo: as for /toonify.
            style: the name of a toon style.
            blend: 4 to 1024 px: layers of the network below this resolution give the shape, the
                others the texture; None for the style's default.
            blend_width: 0 to 2 octaves: the width of the transition between the two.
            shape_from: "toon" or "base", the photo's network: which of the two gives the shape.
            strength: 0, the photo, to 1, the full toon.
            truncation: 0, the average face, to 1, the person's face.
            refine_steps: 0 to 200 steps that make the toon more like the person.
            faces: "all" or "largest".
            keep_color: keep the photo's colors.
            edits: how far to move the face, -3 to 3 by direction: {"smile": 1.5}.
            latent: a file of /latent, which replaces the largest face.
            keep_colour: former name of keep_color.
        """
        given = locals() | {"keep_color": keep_color or keep_colour}
        options = {name: given[name] for name in self.SETTINGS}
        pixels = inputs.read_photo(photo)
        toon = self.draw(request, pixels, latent, None, edits, **options)
        return str(outputs.save_png(toon.image, photo, style))

    def latent(
        self, photo, refine_steps=0, request: gr.Request | None = None, progress=events.PROGRESS
    ):
        """Find the latent of the largest face of a photo. Returns a file for /portrait.

        Parameters:
            photo: as for /toonify.
            refine_steps: as for /portrait.
        """
        options = {"style": next(iter(self.styles)), "faces": "largest"}
        options["refine_steps"] = refine_steps
        save = outputs.choose_path(photo, "face", ".safetensors")
        if not self.draw(request, inputs.read_photo(photo), None, save, {}, **options).portraits:
            raise UserError("No usable face found.")
        return str(save)

    def show(self, kept, photo, latent, request: gr.Request, progress=events.PROGRESS, *settings):
        """Find the latents of the faces and draw them. `latent` is a visitor's file."""
        return self.update_result(request, photo, latent, settings)

    def redraw(self, kept, photo, latent, request: gr.Request, progress=events.PROGRESS, *settings):
        """Draw again with other settings, from the latents that were found before."""
        if kept is not None and kept.seed is not None:
            return self.show_random_person(kept.seed, progress, *settings)
        if kept is None or not kept.latents or kept.photo != inputs.identify(photo):
            return gr.skip()
        return self.update_result(request, photo, kept.latents, settings)

    def update_result(self, request, photo, latent, settings: tuple):
        """Return the values of the result's components."""
        options, edits = self.split_settings(settings)
        if isinstance(latent, list):  # of an earlier drawing: the likeness was refined then
            options["refine_steps"] = 0
        source, photo, save = (
            photo,
            inputs.read_photo(photo),
            outputs.choose_path(photo, "face", ".safetensors"),
        )
        toon = self.draw(request, photo, latent, save, edits, **options)
        png, size = outputs.save_png(toon.image, source, options["style"]), toon.image.size
        faces = []
        for portrait in toon.portraits[:MAX_FACES]:
            faces += [
                (outputs.shrink(portrait.crop.image, FACE_PX), i18n.gettext("Face")),
                (outputs.shrink(portrait.inversion, FACE_PX), i18n.gettext("Reconstruction")),
                (outputs.shrink(portrait.toon, FACE_PX), i18n.gettext("Toon")),
            ]
        parts = [
            text.describe_result(sum(toon.seconds.values()), size),
            i18n.ngettext("{count} face drawn", "{count} faces drawn", toon.drawn_faces),
        ]
        if toon.left_alone:
            parts.append(i18n.gettext("skipped: {reasons}", reasons=describe_skipped(toon)))
        kept = toon.latents[:MAX_FACES] if toon.portraits else []
        pair = outputs.shrink(photo), outputs.shrink(toon.image)
        return *fill_result(pair, png, save if toon.portraits else None, parts, faces), Kept(
            inputs.identify(source), kept
        )

    def show_random_person(self, seed, progress=events.PROGRESS, *settings):
        """Draw a random person: the one of a seed, or without one, any."""
        options, edits = self.split_settings(settings)
        names = ("style", "blend", "blend_width", "shape_from")
        mix = {name: options[name] for name in names}
        inputs.get_style(self.styles, mix["style"])
        seed = inputs.parse_seed(seed)
        name, start = f"person-{seed}", time.perf_counter()
        save, psi = (
            outputs.choose_path(name, "face", ".safetensors"),
            TRUNCATION * options["truncation"],
        )
        edits = inputs.parse_edits(edits, self.directions)
        both = draw_random_person(self.load, seed, save=save, truncation=psi, edits=edits, **mix)
        parts = [text.describe_result(time.perf_counter() - start, both[1].size)]
        parts.append(i18n.gettext("random person, seed {seed}", seed=seed))
        faces = [
            (outputs.shrink(both[0], FACE_PX), i18n.gettext("Photo")),
            (outputs.shrink(both[1], FACE_PX), i18n.gettext("Toon")),
        ]
        png = outputs.save_png(both[1], name, mix["style"])
        pair = outputs.shrink(both[0]), outputs.shrink(both[1])
        return *fill_result(pair, png, save, parts, faces), Kept(seed=seed)

    def split_settings(self, settings: tuple) -> tuple[dict, dict]:
        """Return the options and the edits by name."""
        own = len(self.SETTINGS)
        return (
            dict(zip(self.SETTINGS, settings[:own], strict=True)),
            dict(zip(self.directions, settings[own:], strict=True)),
        )

    def clear(self):
        """Clear the result: it belongs to another photo."""
        off = gr.update(value=None, interactive=False)
        return None, off, off, gr.update(visible=False), gr.update(value=None, visible=False), None

    def begin(self, refine_steps, request: gr.Request):
        """Show the button that stops the refinement, if there is any."""
        self.stopped.discard(inputs.get_session(request))
        return gr.Button(i18n.gettext("Stop refining"), visible=refine_steps > 0, interactive=True)

    def stop(self, request: gr.Request):
        """Stop the refinement: what it has reached is drawn."""
        session = inputs.get_session(request)
        if not self.jobs.stop(session):
            if len(self.stopped) >= MAX_STOPPED:
                self.stopped.clear()
            self.stopped.add(session)
        return gr.Button(i18n.gettext("Stopping…"), interactive=False)

    def leave(self, request: gr.Request):
        """Stop the refinement for a visitor who closed the page."""
        self.stopped.discard(inputs.get_session(request))
        self.jobs.stop(inputs.get_session(request))

    def choose(self, name: str) -> tuple:
        """Describe a style, and return its default blend resolution."""
        return self.describe(name), self.styles[name].blend


@dataclasses.dataclass(frozen=True, eq=False)
class Kept:
    """What a session drew last: the latents of a photo's faces, or the seed of a random person. It
    stays on the server: gradio keeps it by session, and a browser neither gets nor sends it."""

    photo: str | None = None
    latents: list = dataclasses.field(default_factory=list)
    seed: int | None = None


def fill_result(pair: tuple, png: Path, npz: Path | None, parts: list[str], faces: list) -> tuple:
    """Return the values of: before and after, two downloads, the report, the faces."""
    return (
        pair,
        gr.update(value=str(png), interactive=True),
        gr.update(value=npz and str(npz), interactive=npz is not None),
        gr.update(value=" · ".join(parts), visible=True),
        gr.update(value=faces, visible=bool(faces)),
    )


def describe_skipped(toon) -> str:
    """Say how many faces were not drawn, and why: "2 too small"."""
    reasons = collections.Counter(reason for _, reason in toon.left_alone)
    return ", ".join(f"{number} {i18n.gettext(reason)}" for reason, number in reasons.items())
