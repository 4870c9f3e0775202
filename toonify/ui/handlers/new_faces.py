"""Faces that never existed: what happens when somebody presses something.

A processor draws a face in hundredths of a second. So no GPU is lent for it, and slow drawings of
the other tabs do not hold it up.
"""

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from urllib.parse import urlencode

import gradio as gr
from PIL import Image

from toonify import hub
from toonify.ui import events, inputs, outputs, text

TAB = "new-faces"  # for whoever opens it
FARTHEST = 3  # standard deviations that a face may be moved; beyond, it looks like nobody
TYPICAL = 0.8  # how far from the mean face people are drawn, unless told otherwise
MOST_FACES, MOST_KEPT = 24, 16  # drawn at once; and favourites
CHOOSE = "choose."  # before an attribute's name in links: a direction may have the same
CLIPS = {"MP4": ".mp4", "GIF": ".gif", "WebP": ".webp"}
FPS = 24


@dataclasses.dataclass(frozen=True, eq=False)
class Face:
    """How to draw a face again: by its number, truncation and `choices`, variants by the names of
    attributes, or by a `latent` (1, L, D) where it is a mix; then moved by `edits`, amounts by the
    names of directions."""

    title: str
    seed: int | None = None
    truncation: float = TYPICAL
    edits: Mapping[str, float] = dataclasses.field(default_factory=dict)
    choices: Mapping[str, str] = dataclasses.field(default_factory=dict)
    latent: object = None

    def same(self, other: "Face") -> bool:
        """Whether the other is drawn the same way."""
        ours, theirs = (
            (face.seed, face.truncation, dict(face.edits), dict(face.choices), id(face.latent))
            for face in (self, other)
        )
        return ours == theirs

    def w(self, pipeline):
        """The w+ (1, L, D) that it is drawn from."""
        w = self.latent
        if w is None:
            w = pipeline.latents(1, self.seed, self.truncation, self.choices)
        return pipeline.edited(w, self.edits)

    def picture(self, pipeline) -> Image.Image:
        """The face itself, RGB and square."""
        return pipeline.draw(self.w(pipeline))[0]

    @property
    def link(self) -> str:
        """What follows the page's address in a link to the face; empty if it has no number."""
        if self.seed is None:
            return ""
        said = {"seed": self.seed, "truncation": self.truncation, **self.edits}
        said = {name: f"{amount:.9g}" for name, amount in said.items()}
        chosen = {CHOOSE + name: variant for name, variant in self.choices.items()}
        return "?" + urlencode(said | chosen)


class Handlers:
    """What happens when somebody presses something. What a session has picked and kept stays on
    the server: gradio keeps it by session, and a browser neither gets nor sends it."""

    def __init__(
        self,
        load: Callable,
        directions: Mapping[str, str],
        side: int,
        attributes: Mapping[str, Sequence[str]] | None = None,
    ):
        self.load = load
        self.directions = directions
        self.attributes = attributes or {}
        self.sizes = [4 << step for step in range(1, side.bit_length() - 2)]  # px, of layers

    # faces ----------------------------------------------------------------------------------

    def numbered(self, seed, truncation=TYPICAL, edits=None, choices=None) -> Face:
        """The face of a number, 0 to a billion; without one, anybody's."""
        seed = inputs.number(seed, "face")
        edits = inputs.edits(edits, self.directions, FARTHEST)
        choices = inputs.choices(choices, self.attributes)
        return Face(f"{seed}", seed, float(truncation), edits, choices)

    def row(self, seed, count: int, truncation: float, edits=None, choices=None) -> list[Face]:
        """As many faces as asked for, of consecutive numbers."""
        first = self.numbered(seed, truncation, edits, choices).seed
        numbers = [(first + step) % 10**inputs.DIGITS for step in range(int(count))]
        return [self.numbered(number, truncation, edits, choices) for number in numbers]

    # the screen -----------------------------------------------------------------------------

    def draw(self, seed, count, truncation, kept):
        """The faces from a number on, for the gallery, and the first of them picked."""
        return self.drawn(self.row(seed, count, truncation), kept)

    def surprise(self, count, truncation, kept):
        """The same from anybody on."""
        return self.draw(None, count, truncation, kept)

    def drawn(self, faces: list[Face], kept: list) -> tuple:
        """What the gallery's widgets get, and those of the face that is picked."""
        pipeline = self.load()
        pictures = [face.picture(pipeline) for face in faces]
        title = f"{faces[0].title}-{faces[-1].title}"
        sheet = outputs.saved(pipeline.grid(pictures), "faces", title)
        captioned = [(picture, face.title) for picture, face in zip(pictures, faces, strict=True)]
        return (
            faces[0].seed,
            gr.update(value=captioned, selected_index=0),
            gr.update(value=str(sheet), interactive=True),
            faces,
            *self.shown(faces[0], kept),
        )

    def shown(self, face: Face, kept: list) -> tuple:
        """What the widgets of the face that is picked get."""
        free = face.latent is None  # a mix has no number whose choices could be others
        return (
            *self.seen(face, kept),
            *(face.edits.get(name, 0) for name in self.directions),
            *(
                gr.update(value=face.choices.get(name, ""), interactive=free)
                for name in self.attributes
            ),
        )

    def seen(self, face: Face, kept: list) -> tuple:
        """The same without the sliders that move it."""
        pipeline, start = self.load(), time.perf_counter()
        picture = face.picture(pipeline)
        name = face.title.capitalize() if face.seed is None else f"Face {face.title}"
        parts = [name, *self.changes(face)]
        parts.append(f"Drawn in {1000 * (time.perf_counter() - start):.0f} ms")
        parts.append(f"{picture.width} × {picture.height} px")
        return (
            picture,
            gr.update(value=" · ".join(parts), visible=True),
            gr.update(value=str(outputs.saved(picture, "face", face.title)), interactive=True),
            self.keep_button(face, kept),
            gr.update(interactive=face.seed is not None),
            face.link,
            face,
        )

    def changes(self, face: Face) -> list[str]:
        """["Mouth: laugh", "Smile +1.5", ...]"""
        return [
            *(f"{text.label(name)}: {text.label(it)}" for name, it in face.choices.items()),
            *(f"{self.directions[name]} {amount:+g}" for name, amount in face.edits.items()),
        ]

    def keep_button(self, face: Face, kept: list) -> dict:
        """The button that keeps the face, or takes it away again."""
        is_kept = any(face.same(other) for other in kept)
        return gr.update(value="Take away" if is_kept else "Keep", interactive=True)

    def pick(self, faces, kept, event: gr.SelectData):
        """One in a gallery was picked."""
        if not faces or not 0 <= event.index < len(faces):  # it was kept too long ago
            return gr.skip()
        return self.shown(faces[event.index], kept)

    def move(self, face, kept, *said):
        """A slider was moved or something chosen: the picked face, changed."""
        if face is None:
            return gr.skip()
        amounts, wishes = said[: len(self.directions)], said[len(self.directions) :]
        amounts = dict(zip(self.directions, amounts, strict=True))
        wishes = dict(zip(self.attributes, (wish or "" for wish in wishes), strict=True))
        changes = {"edits": inputs.edits(amounts, self.directions, FARTHEST)}
        if face.latent is None:
            changes["choices"] = inputs.choices(wishes, self.attributes)
        return self.seen(dataclasses.replace(face, **changes), kept)

    def keep(self, face, kept):
        """Keeps the picked face as a favourite, or if it is one, takes it away."""
        picked(face)
        others = [other for other in kept if not other.same(face)]
        if len(others) == len(kept):
            if len(kept) >= MOST_KEPT:
                raise inputs.refusal(f"There is room for {MOST_KEPT} favourites: take one away.")
            others = [*kept, face]
        pipeline = self.load()
        pictures = [
            (other.picture(pipeline), " · ".join([other.title, *self.changes(other)]))
            for other in others
        ]
        gallery = gr.update(value=pictures, visible=bool(pictures), selected_index=None)
        return others, gallery, self.keep_button(face, others)

    def take(self, face):
        """The picked face becomes one of the two that are mixed."""
        return picked(face), face.picture(self.load())

    def show_mix(self, coarse, fine, size, kept):
        """The coarse layers of one face and the fine ones of another, once there are both."""
        if coarse is None or fine is None:
            return gr.skip()
        return self.shown(self.mixed(coarse, fine, self.sizes[int(size) - 1]), kept)

    def mixed(self, coarse: Face, fine: Face, resolution: int) -> Face:
        """Layers below `resolution` px of the one, the others of the other."""
        pipeline = self.load()
        latent = pipeline.mix(coarse.w(pipeline), fine.w(pipeline), resolution)
        both = coarse.seed is not None and fine.seed is not None
        return Face(f"{coarse.seed} × {fine.seed}" if both else "mix", latent=latent)

    def show_loop(self, kept, form, seconds, progress=events.TRACKED):
        """The favourites, each turning into the next: on the screen and to download."""
        if len(kept) < 2:
            raise inputs.refusal("Keep two faces or more: the loop goes from each to the next.")
        path = str(self.looped(kept, form, seconds))
        film = form == "MP4"
        return (
            gr.update(value=path if film else None, visible=film),
            gr.update(value=None if film else path, visible=not film),
            gr.update(value=path, interactive=True),
        )

    def looped(self, faces: list[Face], form: str, seconds: float) -> Path:
        """The file of a loop that takes so long from each face to the next."""
        pipeline = self.load()
        path = outputs.made(outputs.placed("faces", "loop", CLIPS[form]))
        keys = [face.w(pipeline) for face in faces]
        told = inputs.told()
        pipeline.loop(
            *(keys, path, round(seconds * FPS) * len(keys), FPS),
            progress=lambda fraction: told(fraction, "Drawing the loop"),
        )
        return path

    def show_twin(self, photo, kept):
        """The face that a portrait's simple features choose; played on from there."""
        face, note = self.twin_of(photo)
        return gr.update(value=note, visible=True), *self.shown(face, kept)

    def twin_of(self, photo) -> tuple:
        """The face, and what it has of the photo."""
        twin = self.load().twin(inputs.read_photo(photo))
        face = Face(f"{twin.seed}", twin.seed, twin.truncation, twin.edits, twin.choices)
        return face, twin.note

    # links ----------------------------------------------------------------------------------

    def arrive(self, request: gr.Request):
        """Somebody opened a link to a face, ?seed=7&truncation=0.8&smile=1&choose.hair=bun: its tab
        is opened."""
        said = dict(request.query_params)
        if "seed" not in said:
            return gr.skip()
        face = self.linked(said)
        return gr.update(selected=TAB), face.truncation, face

    def linked(self, said: Mapping[str, str]) -> Face:
        """The face that an address asks for; other words in it are not ours."""
        said = {hub.current_name(name): value for name, value in said.items()}
        amounts = {}
        for name in ("truncation", *self.directions):
            try:
                amounts[name] = float(said.get(name, TYPICAL if name == "truncation" else 0))
            except ValueError as error:
                raise inputs.refusal(f"The link's {name} is no number.") from error
        truncation = amounts.pop("truncation")
        if not 0 <= truncation <= 1:
            raise inputs.refusal(f"The link's truncation is {truncation:g}: expected 0 to 1.")
        choices = {name: said[CHOOSE + name] for name in self.attributes if CHOOSE + name in said}
        return self.numbered(said["seed"], truncation, amounts, choices)

    def open(self, face, count, kept):
        """The face of a link, picked, among those that follow it."""
        if face is None:  # gradio asks at every visit
            return gr.skip()
        others = self.row(face.seed, count, face.truncation)
        return self.drawn([face, *others[1:]], kept)

    def copied(self, how):
        """Says where the link is. `how` comes from the browser: copied, or only shown."""
        gr.Info("Link copied." if how == "copied" else "The link is in the address bar.")

    # the API --------------------------------------------------------------------------------

    def faces(self, n=1, seed=None, truncation=TYPICAL, edits=None, choices=None):
        """Draw faces that never existed. Returns a list of PNGs, of consecutive numbers.

        client.predict(n=4, seed=7, edits={"smile": 1.5}, api_name="/faces")

        Parameters:
            n: how many.
            seed: the number of the first; None is anybody.
            truncation: from 0, the mean face, to 1, all that can be drawn.
            edits: how far to move the faces, -3 to 3 a direction.
            choices: what the faces are to have, such as {"mouth": "laugh"}.
        """
        pipeline = self.load()
        row = self.row(seed, n, truncation, edits, choices)
        return [str(outputs.saved(face.picture(pipeline), "face", face.title)) for face in row]

    def mix(self, coarse, fine, size=16, truncation=TYPICAL):
        """Mix two faces. Returns a PNG.

        Parameters:
            coarse: the number of the face whose large forms are taken.
            fine: the number of the face whose colours and small forms are taken.
            size: pixels; layers of the network below it are those of the first.
            truncation: as for /faces.
        """
        two = [self.numbered(seed, truncation) for seed in (coarse, fine)]
        face = self.mixed(*two, size)
        return str(outputs.saved(face.picture(self.load()), "face", face.title))

    def loop(self, seeds, form="MP4", seconds=1.5, truncation=TYPICAL, progress=events.TRACKED):
        """Let faces turn into each other, round and round. Returns a film or an animated picture.

        Parameters:
            seeds: a list of 2 to 16 numbers of faces.
            form: "MP4", "GIF" or "WebP".
            seconds: from each face to the next.
            truncation: as for /faces.
        """
        if not isinstance(seeds, list) or not 2 <= len(seeds) <= MOST_KEPT:
            raise inputs.refusal(f"seeds: expected a list of 2 to {MOST_KEPT} numbers.")
        faces = [self.numbered(seed, truncation) for seed in seeds]
        return str(self.looped(faces, form, seconds))

    def twin(self, photo):
        """Draw the toon twin of a portrait. Returns a PNG and what it has of the photo.

        Parameters:
            photo: as for /toonify.
        """
        face, note = self.twin_of(photo)
        return str(outputs.saved(face.picture(self.load()), photo, "twin")), note


def picked(face: Face | None) -> Face:
    """The face; refused where there is none, or it was picked too long ago."""
    if face is None:
        raise inputs.refusal("Pick a face first.")
    return face
