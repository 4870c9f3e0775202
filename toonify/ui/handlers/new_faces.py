"""New faces from a seed: the handlers.

A processor draws a face in hundredths of a second, so no GPU is borrowed for it, and slow drawings
of the other tabs do not delay it.
"""

import dataclasses
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import gradio as gr

from toonify import hub
from toonify.ui import events, i18n, inputs, outputs, text
from toonify.ui.handlers.face_generators import (
    CHOOSE,
    GENERATOR,
    TRUNCATION,
    Face,
    FaceGenerator,
    check_one_style,
)
from toonify.ui.inputs import UserError

TAB_ID = "new-faces"  # the ID by which a link opens it
MAX_FACES, MAX_FAVORITES = 24, 16
FORMATS = {"MP4": ".mp4", "GIF": ".gif", "WebP": ".webp"}  # of loops
FPS = 24


class NewFacesHandlers:
    """The handlers of the tab. What a session has picked and kept stays on the server: gradio keeps
    it by session, and a browser neither gets nor sends it.

    Args:
        generators: what the faces are drawn with, the one that is shown at first before the others.
    """

    def __init__(self, generators: Sequence[FaceGenerator]):
        self.generators = {generator.name: generator for generator in generators}
        self.default = generators[0].name

    @property
    def menu(self) -> list[tuple[str, str]]:
        """The titles and names of the generators."""
        return [(it.title or it.name, it.name) for it in self.generators.values()]

    def find(self, style: str | None) -> FaceGenerator:
        """Return the generator of that name; without one, that of calls which name none."""
        if not style:
            style = hub.UNNAMED_FACES if hub.UNNAMED_FACES in self.generators else self.default
        if style not in self.generators:
            raise UserError(
                f"Unknown style {style!r}: expected one of {', '.join(self.generators)}."
            )
        return self.generators[style]

    def load(self, style: str):
        """Return the pipeline of a generator. Only networks with w can do what the tab offers."""
        with inputs.explain_hub_errors():
            pipeline = self.find(style).load()
        if not pipeline.styled:
            raise UserError(f"Faces of the style {style!r} cannot be changed or combined.")
        return pipeline

    # faces ----------------------------------------------------------------------------------

    def make_face(
        self, seed, truncation=TRUNCATION, edits=None, choices=None, style: str | None = None
    ) -> Face:
        """Return the face of a seed; without one, a random face."""
        generator = self.find(style)
        seed = inputs.parse_seed(seed)
        edits = inputs.parse_edits(edits, generator.directions)
        choices = inputs.parse_choices(choices, generator.attributes)
        return Face(f"{seed}", seed, float(truncation), edits, choices, style=generator.name)

    def make_faces(
        self,
        seed,
        count: int,
        truncation=TRUNCATION,
        edits=None,
        choices=None,
        style: str | None = None,
    ) -> list[Face]:
        """Return the faces of consecutive seeds; the other arguments are those of `make_face`."""
        first, options = inputs.parse_seed(seed), (truncation, edits, choices, style)
        seeds = [(first + step) % 10**inputs.SEED_DIGITS for step in range(int(count))]
        return [self.make_face(seed, *options) for seed in seeds]

    # the page -----------------------------------------------------------------------------

    def show(self, seed, count, truncation, kept, style=None):
        """Draw the faces from a seed on, and pick the first."""
        return self.fill_gallery(self.make_faces(seed, count, truncation, style=style), kept)

    def show_random(self, count, truncation, kept, style=None):
        """Draw the faces from a random seed on."""
        return self.show(None, count, truncation, kept, style)

    def fill_gallery(self, faces: list[Face], kept: list) -> tuple:
        """Return the values of the gallery's components, and of the first face's."""
        pipeline = self.load(faces[0].style)
        images = [face.draw(pipeline) for face in faces]
        title = f"{faces[0].title}-{faces[-1].title}"
        sheet = outputs.save_png(pipeline.grid(images), "faces", title)
        captioned = [(image, face.title) for image, face in zip(images, faces, strict=True)]
        return (
            faces[0].seed,
            gr.update(value=captioned, selected_index=0),
            gr.update(value=str(sheet), interactive=True),
            faces,
            *self.fill_face(faces[0], kept),
        )

    def fill_face(self, face: Face, kept: list) -> tuple:
        """Return the values of the components of the picked face."""
        return (*self.fill_image(face, kept), *self.fill_changes(face))

    def fill_changes(self, face: Face) -> list:
        """Return the values of all generators' sliders and menus, and, if there are several
        generators, of the groups that hold those of each: only the face's own are shown."""
        free = face.latent is None  # a mix has no seed whose choices could differ
        values: list = []
        for generator in self.generators.values():
            if generator.name != face.style:
                values += [gr.skip()] * (len(generator.directions) + len(generator.attributes))
                continue
            values += [face.edits.get(name, 0) for name in generator.directions]
            values += [
                gr.update(value=face.choices.get(name, ""), interactive=free)
                for name in generator.attributes
            ]
        if len(self.generators) > 1:
            values += [gr.update(visible=name == face.style) for name in self.generators]
        return values

    def fill_image(self, face: Face, kept: list) -> tuple:
        """Return the same without the sliders and menus that change the face."""
        pipeline, start = self.load(face.style), time.perf_counter()
        image = face.draw_large(pipeline)
        title = describe_title(face)
        name = title if face.seed is None else i18n.gettext("Face {title}", title=title)
        parts = [name, *self.describe_changes(face)]
        spent = f"{1000 * (time.perf_counter() - start):.0f}"
        parts.append(i18n.gettext("Done in {milliseconds} ms", milliseconds=spent))
        parts.append(text.format_size(image.size))
        return (
            image,
            gr.update(value=" · ".join(parts), visible=True),
            gr.update(value=str(outputs.save_png(image, "face", face.title)), interactive=True),
            self.update_keep(face, kept),
            gr.update(interactive=face.seed is not None),
            face.link,
            face,
        )

    def describe_changes(self, face: Face) -> list[str]:
        """Return ["Mouth: Laugh", "Smile +1.5", ...]."""
        choices, directions = face.choices.items(), self.find(face.style).directions
        return [
            *(f"{text.format_name(name)}: {text.format_name(it)}" for name, it in choices),
            *(
                f"{i18n.gettext(directions[name])} {amount:+g}"
                for name, amount in face.edits.items()
            ),
        ]

    def update_keep(self, face: Face, kept: list) -> dict:
        """Update the button that keeps the face, or removes it again."""
        is_kept = any(face.is_same(other) for other in kept)
        return gr.update(value=i18n.gettext("Remove" if is_kept else "Keep"), interactive=True)

    def pick(self, faces, kept, event: gr.SelectData):
        """Show the face that was picked in a gallery."""
        if not faces or not 0 <= event.index < len(faces):  # it was kept too long ago
            return gr.skip()
        return self.fill_face(faces[event.index], kept)

    def change(self, face, kept, *values):
        """Change the picked face: `values` are, for each generator, the amounts of the edits, then
        the choices. Those of other generators than the face's are left alone."""
        if face is None:
            return gr.skip()
        edits, choices = self.split_changes(values)[face.style]
        generator = self.find(face.style)
        face = dataclasses.replace(face, edits=inputs.parse_edits(edits, generator.directions))
        if face.latent is None:
            chosen = inputs.parse_choices(choices, generator.attributes)
            face = dataclasses.replace(face, choices=chosen)
        return self.fill_image(face, kept)

    def split_changes(self, values: Sequence) -> dict[str, tuple[dict, dict]]:
        """Return the amounts and the choices by name, for each generator."""
        split, rest = {}, iter(values)
        for generator in self.generators.values():
            edits = {name: next(rest) for name in generator.directions}
            choices = {name: next(rest) or "" for name in generator.attributes}
            split[generator.name] = edits, choices
        return split

    def keep(self, face, kept):
        """Keep the picked face as a favorite, or remove it if it is one."""
        check_picked(face)
        others = [other for other in kept if not other.is_same(face)]
        if len(others) == len(kept):
            if len(kept) >= MAX_FAVORITES:
                raise UserError(f"You can keep up to {MAX_FAVORITES} favorites. Remove one first.")
            others = [*kept, face]
        images = [
            (
                other.draw(self.load(other.style)),
                " · ".join([describe_title(other), *self.describe_changes(other)]),
            )
            for other in others
        ]
        gallery = gr.update(value=images, visible=bool(images), selected_index=None)
        return others, gallery, self.update_keep(face, others)

    def use(self, face):
        """Make the picked face one of the two that are mixed."""
        return check_picked(face), face.draw(self.load(face.style))

    def show_mix(self, coarse, fine, size, kept):
        """Mix the coarse layers of one face and the fine ones of another, once there are both."""
        if coarse is None or fine is None:
            return gr.skip()
        sizes = self.find(check_one_style([coarse, fine])).sizes
        size = sizes[min(int(size), len(sizes)) - 1]
        return self.fill_face(self.mix_faces(coarse, fine, size), kept)

    def mix_faces(self, coarse: Face, fine: Face, resolution: int) -> Face:
        """Return a face with the layers below `resolution` px of one and the others of another."""
        style = check_one_style([coarse, fine])
        pipeline = self.load(style)
        latent = pipeline.mix(coarse.compute_w(pipeline), fine.compute_w(pipeline), resolution)
        both = coarse.seed is not None and fine.seed is not None
        title = f"{coarse.seed} × {fine.seed}" if both else "mix"
        return Face(title, latent=latent, style=style)

    def show_loop(self, kept, form, seconds, progress=events.PROGRESS):
        """Write a loop in which each favorite turns into the next."""
        if len(kept) < 2:
            raise UserError("Keep two or more faces first: the loop goes from each to the next.")
        path = str(self.write_loop(kept, form, seconds))
        video = form == "MP4"
        return (
            gr.update(value=path if video else None, visible=video),
            gr.update(value=None if video else path, visible=not video),
            gr.update(value=path, interactive=True),
        )

    def write_loop(self, faces: list[Face], form: str, seconds: float) -> Path:
        """Write a loop, with `seconds` from each face to the next. Returns its file."""
        pipeline = self.load(check_one_style(faces))
        path = outputs.make_parent(outputs.choose_path("faces", "loop", FORMATS[form]))
        keys = [face.compute_w(pipeline) for face in faces]
        report = inputs.track_progress()
        pipeline.loop(
            *(keys, path, round(seconds * FPS) * len(keys), FPS),
            progress=lambda fraction: report(fraction, "Creating the loop"),
        )
        return path

    def show_twin(self, photo, kept, style=None):
        """Show the face that is most like a portrait."""
        face, note = self.find_twin(photo, style)
        return gr.update(value=i18n.translate(note), visible=True), *self.fill_face(face, kept)

    def find_twin(self, photo, style=None) -> tuple[Face, str]:
        """Return the face that is most like a portrait, and what it has of it."""
        name = self.find(style).name
        twin = self.load(name).match_photo(inputs.read_photo(photo))
        face = Face(
            f"{twin.seed}", twin.seed, twin.truncation, twin.edits, twin.choices, style=name
        )
        return face, twin.note

    # links ----------------------------------------------------------------------------------

    def arrive(self, request: gr.Request):
        """Open the tab for a link to a face, ?seed=7&truncation=0.8&smile=1&choose.hair=bun."""
        query = dict(request.query_params)
        if "seed" not in query:
            return gr.skip()
        face = self.parse_link(query)
        return gr.update(selected=TAB_ID), face.truncation, face

    def parse_link(self, query: Mapping[str, str]) -> Face:
        """Return the face of a link's query; other words in it are ignored."""
        query = {hub.current_name(name): value for name, value in query.items()}
        generator, amounts = self.find(query.get(GENERATOR)), {}
        for name in ("truncation", *generator.directions):
            try:
                amounts[name] = float(query.get(name, TRUNCATION if name == "truncation" else 0))
            except ValueError as error:
                raise UserError(f"The link's {name} is not a number.") from error
        truncation = amounts.pop("truncation")
        if not 0 <= truncation <= 1:
            raise UserError(f"The link's truncation is {truncation:g}: expected 0 to 1.")
        choices = {
            name: query[CHOOSE + name] for name in generator.attributes if CHOOSE + name in query
        }
        return self.make_face(query["seed"], truncation, amounts, choices, generator.name)

    def open(self, face, count, kept):
        """Draw the face of a link and those that follow it, and pick it."""
        if face is None:  # gradio asks at every visit
            return gr.skip()
        others = self.make_faces(face.seed, count, face.truncation, style=face.style)
        return self.fill_gallery([face, *others[1:]], kept)

    def get_style(self, face):
        """Return the generator of a link's face, which is then chosen on the page."""
        return gr.skip() if face is None else face.style

    def confirm_copy(self, how):
        """Tell the visitor where the link is. `how` comes from the browser: copied or shown."""
        i18n.show_info("Link copied." if how == "copied" else "The link is in the address bar.")

    # the API --------------------------------------------------------------------------------

    def faces(self, n=1, seed=None, truncation=TRUNCATION, edits=None, choices=None, style=None):
        """Draw new faces. Returns a list of PNGs, of consecutive seeds.

        client.predict(n=4, seed=7, edits={"smile": 1.5}, api_name="/faces")

        Parameters:
            n: the number of faces, 1 to 24.
            seed: the seed of the first; None for a random one.
            truncation: 0, the average face, to 1, the full variety.
            edits: how far to move the faces, -3 to 3 by direction.
            choices: what the faces have, such as {"mouth": "laugh"}.
            style: what draws them; None for "faces".
        """
        faces = self.make_faces(seed, n, truncation, edits, choices, style=style)
        return [self.save(face) for face in faces]

    def save(self, face: Face) -> str:
        """Draw a face, and return its PNG."""
        return str(outputs.save_png(face.draw_large(self.load(face.style)), "face", face.title))

    def mix(self, coarse, fine, size=16, truncation=TRUNCATION, style=None):
        """Mix two faces. Returns a PNG.

        Parameters:
            coarse: the seed of the face that gives the large shapes.
            fine: the seed of the face that gives the colors and details.
            size: px; layers of the network below this resolution are those of the first face.
            truncation: as for /faces.
            style: as for /faces.
        """
        sizes = self.find(style).sizes
        if size not in sizes:
            raise UserError(f"size: expected one of {', '.join(map(str, sizes))}.")
        first, second = (self.make_face(seed, truncation, style=style) for seed in (coarse, fine))
        return self.save(self.mix_faces(first, second, size))

    def loop(
        self,
        seeds,
        form="MP4",
        seconds=1.5,
        truncation=TRUNCATION,
        style=None,
        progress=events.PROGRESS,
    ):
        """Morph faces into each other in a loop. Returns a video or an animation.

        Parameters:
            seeds: a list of 2 to 16 seeds.
            form: "MP4", "GIF" or "WebP".
            seconds: from each face to the next.
            truncation: as for /faces.
            style: as for /faces.
        """
        if not isinstance(seeds, list) or not 2 <= len(seeds) <= MAX_FAVORITES:
            raise UserError(f"seeds: expected a list of 2 to {MAX_FAVORITES} seeds.")
        faces = [self.make_face(seed, truncation, style=style) for seed in seeds]
        return str(self.write_loop(faces, form, seconds))

    def twin(self, photo, style=None):
        """Find the toon twin of a portrait. Returns a PNG and what it has of the photo.

        Parameters:
            photo: as for /toonify.
            style: as for /faces.
        """
        face, note = self.find_twin(photo, style)
        return str(outputs.save_png(face.draw_large(self.load(face.style)), photo, "twin")), note


def describe_title(face: Face) -> str:
    """Return a face's name for people."""
    return i18n.gettext(face.title.capitalize())


def check_picked(face: Face | None) -> Face:
    """Return the face; refuse if there is none, or it was picked too long ago."""
    if face is None:
        raise UserError("Pick a face first.")
    return face
