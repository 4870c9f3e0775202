"""New faces from a seed: the components of the tab and the handlers that they call."""

import functools
from collections.abc import Sequence
from typing import Any

import gradio as gr

from toonify.ui import components, events, i18n, text
from toonify.ui.handlers.face_generators import TRUNCATION, FaceGenerator
from toonify.ui.handlers.new_faces import FORMATS, MAX_FACES, NewFacesHandlers
from toonify.ui.inputs import MAX_EDIT, SEED_DIGITS
from toonify.ui.outputs import KEEP_S

MAX_SEED = 10**SEED_DIGITS - 1
# Lanes of their own: slow work elsewhere delays no one here.
SWIFT: events.Options = {"concurrency_id": "faces", "concurrency_limit": 1}
SLOW: events.Options = {"concurrency_id": "loops", "concurrency_limit": 1}
HIDDEN: events.Options = {"show_progress": "hidden", **events.PRIVATE}
COPY = """async (link) => {
const address = location.origin + location.pathname + link;
history.replaceState(null, '', address);
try { await navigator.clipboard.writeText(address); return 'copied' } catch { return 'shown' } }"""


class NewFacesTab:
    """The components of the tab.

    Args:
        handlers: what the components call.
        page: the page that the tab is in.
        tabs: the tabs among which a link to a face opens this one.
    """

    def __init__(self, handlers: NewFacesHandlers, page: gr.Blocks, tabs: gr.Tabs):
        self.handlers = handlers
        self.faces, self.kept, self.face = add_state([]), add_state([]), add_state()
        with gr.Row(equal_height=False):
            with gr.Column(scale=5, min_width=300):
                self.add_gallery()
                self.add_twin()
            with gr.Column(scale=7, min_width=300):
                self.add_face()
                self.add_edits()
                self.favorites = components.add_gallery(
                    "Favorites", elem_id="favorites", visible=False
                )
                self.add_loop()
                self.add_mix()
        self.link = gr.Textbox(visible="hidden", elem_id="link")
        # What changes with an edit; with another picked face; with other faces in the gallery.
        self.image_outputs = [self.image, self.report, self.png, self.keep, self.copy]
        self.image_outputs += [self.link, self.face]
        self.face_outputs = [*self.image_outputs, *self.changes, *self.groups]
        self.outputs = [self.seed, self.gallery, self.sheet, self.faces, *self.face_outputs]
        self.swift: events.Options = {"show_progress_on": self.image, **SWIFT, **events.PRIVATE}
        # Changes during a drawing wait, and only the last of them is drawn.
        self.live: events.Options = {"trigger_mode": "always_last", **SWIFT, **HIDDEN}
        self.connect_gallery()
        self.connect_face()
        self.connect_mix()
        self.connect_loop_and_twin()
        self.connect_links(page, tabs)

    def add_gallery(self) -> None:
        """Add the faces from a seed on."""
        with gr.Group(elem_id="new-settings"):
            self.style = gr.Radio(
                self.handlers.menu,
                value=self.handlers.default,
                label="Style",
                visible=len(self.handlers.generators) > 1,
                elem_id="new-style",
            )
            self.seed = gr.Textbox(
                label="Seed", placeholder="random", max_length=SEED_DIGITS, elem_id="seed"
            )
            self.count = gr.Slider(1, MAX_FACES, 12, step=1, label="Number of faces")
            self.truncation = add_truncation()
        with gr.Row():
            self.create = gr.Button(
                "Create faces", variant="primary", size="lg", elem_id="new-draw"
            )
            self.random = gr.Button("Random faces", size="lg", elem_id="random-faces")
        self.gallery = components.add_gallery("Pick a face", elem_id="crowd")
        self.sheet = components.add_download("Download all as one PNG", "sheet")

    def add_twin(self) -> None:
        """Add what finds the face that is most like a portrait."""
        with gr.Accordion("Your toon twin", open=False, elem_id="twin"):
            self.photo, self.examples = components.add_photo("twin-")
            self.find = gr.Button("Find my twin", variant="primary", elem_id="find-twin")
            self.note = gr.Markdown(visible=False, elem_id="twin-note")
            gr.Markdown(text.PRIVACY, elem_id="twin-privacy")

    def add_face(self) -> None:
        """Add the picked face."""
        self.image = add_image("Face", "new-face")
        self.report = gr.Markdown(visible=False, elem_id="new-report")
        with gr.Row():
            off: events.Options = {"interactive": False, "min_width": 140}
            self.keep = gr.Button("Keep", elem_id="keep", **off)
            self.copy = gr.Button("Copy link", elem_id="copy", **off)
            self.png = components.add_download("Download PNG", "new-download")

    def add_edits(self) -> None:
        """Add what changes the picked face, for each generator: only that of its own is shown."""
        self.changes: list[Any] = []
        self.groups: list[gr.Accordion] = []
        generators = self.handlers.generators.values()
        for number, generator in enumerate(generators, 1):
            suffix = f"-{number}" if number > 1 else ""
            visible = number == 1 and bool(generator.directions or generator.attributes)
            with gr.Accordion("Edit the face", visible=visible, elem_id=f"moves{suffix}") as group:
                self.changes += add_changes(generator, suffix)
            self.groups.append(group)
        if len(self.groups) == 1:
            self.groups = []  # is always shown, or never

    def add_loop(self) -> None:
        """Add a loop through the favorites."""
        with gr.Accordion("Loop through your favorites", open=False, elem_id="loop"):
            self.form, self.seconds = add_form(), add_seconds()
            self.make_loop = gr.Button("Create loop", elem_id="make-loop")
            self.video = gr.Video(
                label="Loop",
                visible=False,
                height=384,
                autoplay=True,
                loop=True,
                buttons=[],
                elem_id="loop-video",
            )
            self.animation = add_image("Loop", "loop-animation", visible=False)
            self.loop = components.add_download("Download loop", "loop-download")

    def add_mix(self) -> None:
        """Add a mix of two faces."""
        sizes = max((it.sizes for it in self.handlers.generators.values()), key=len)
        sides = ", ".join(map(str, sizes))
        with gr.Accordion("Mix two faces", open=False, elem_id="mix"):
            with gr.Row():
                self.coarse, self.coarse_image, self.use_coarse = add_half("Shapes")
                self.fine, self.fine_image, self.use_fine = add_half("Colors")
            self.size = gr.Slider(
                *(1, len(sizes), 2),
                step=1,
                label="Shape layers",
                info=i18n.for_page(
                    lambda: i18n.gettext("The layers below {sides} px", sides=sides)
                ),
                elem_id="size",
            )

    def connect_gallery(self) -> None:
        """Connect what fills the galleries, and what picks from them."""
        options = [self.count, self.truncation, self.kept, self.style]
        show, swift = self.handlers.show, self.swift
        for trigger in (self.create.click, self.seed.submit, self.style.input):
            trigger(show, [self.seed, *options], self.outputs, **swift)
        self.random.click(self.handlers.show_random, options, self.outputs, **swift)
        pick, outputs = self.handlers.pick, self.face_outputs
        picked = self.gallery.select(pick, [self.faces, self.kept], outputs, **swift)
        # On a phone the face is further down.
        picked.success(None, js=components.scroll_to("new-face"))
        self.favorites.select(pick, [self.kept, self.kept], outputs, **swift)

    def connect_face(self) -> None:
        """Connect what changes and keeps the picked face."""
        change, inputs = self.handlers.change, [self.face, self.kept, *self.changes]
        gr.on([it.input for it in self.changes], change, inputs, self.image_outputs, **self.live)
        outputs = [self.kept, self.favorites, self.keep]
        self.keep.click(self.handlers.keep, [self.face, self.kept], outputs, **self.swift)
        # Queued: gradio shows messages only of queued events.
        self.copy.click(self.handlers.confirm_copy, self.link, None, js=COPY, **HIDDEN)

    def connect_mix(self) -> None:
        """Connect the two faces that are mixed."""
        mix: events.Options = {"fn": self.handlers.show_mix, "outputs": self.face_outputs}
        mix["inputs"] = [self.coarse, self.fine, self.size, self.kept]
        for button, outputs in (
            (self.use_coarse, [self.coarse, self.coarse_image]),
            (self.use_fine, [self.fine, self.fine_image]),
        ):
            used = button.click(self.handlers.use, self.face, outputs, **self.swift)
            used.success(**mix, **self.swift)
        self.size.input(**mix, **self.live)

    def connect_loop_and_twin(self) -> None:
        """Connect the loop through the favorites, and the twin of a portrait."""
        slow: events.Options = {"show_progress_on": self.loop, **SLOW, **events.PRIVATE}
        inputs, outputs = [self.kept, self.form, self.seconds], [self.video, self.animation]
        self.make_loop.click(self.handlers.show_loop, inputs, [*outputs, self.loop], **slow)
        picked = self.examples.click(
            components.get_example, self.examples, self.photo, **events.LIGHT
        )
        for trigger in (self.find.click, picked.then):
            found = trigger(
                self.handlers.show_twin,
                [self.photo, self.kept, self.style],
                [self.note, *self.face_outputs],
                **self.swift,
            )
            found.success(None, js=components.scroll_to("new-face"))

    def connect_links(self, page: gr.Blocks, tabs: gr.Tabs) -> None:
        """Connect the link to a face with which the page was opened."""
        linked = add_state()
        page.load(self.handlers.arrive, None, [tabs, self.truncation, linked], **HIDDEN)
        linked.change(self.handlers.get_style, linked, self.style, **HIDDEN)
        inputs = [linked, self.count, self.kept]
        linked.change(self.handlers.open, inputs, self.outputs, **self.swift)


def build_new_faces_tab(handlers: NewFacesHandlers, page: gr.Blocks, tabs: gr.Tabs) -> None:
    """Build the tab and its endpoints inside the page. A link to a face opens it among `tabs`."""
    NewFacesTab(handlers, page, tabs)
    add_endpoints(handlers)


def add_endpoints(handlers: NewFacesHandlers) -> None:
    """Add the endpoints for programs."""
    count = gr.Slider(1, MAX_FACES, 1, step=1, label="Number of faces", visible=False)
    seed: events.Options = {"precision": 0, "minimum": 0, "maximum": MAX_SEED, "visible": False}
    first, coarse, fine = (gr.Number(None, label="Seed", **seed) for _ in range(3))
    truncation = add_truncation(visible=False)
    edits = gr.JSON(label="Edits", visible=False)
    choices = gr.JSON(label="Choices", visible=False)
    images = gr.Gallery(label="Faces", visible=False)
    generators = handlers.generators.values()
    style = gr.Radio(handlers.menu, value=None, label="Style", visible=False)
    options = [truncation, edits, choices, style]
    gr.on([], handlers.faces, [count, first, *options], images, api_name="faces", **SWIFT)
    sizes = sorted({size for generator in generators for size in generator.sizes})
    size = gr.Radio(sizes, value=16, label="Size", visible=False)
    png = gr.Image(label="Face", type="filepath", format="png", visible=False)
    options = [truncation, style]
    gr.on([], handlers.mix, [coarse, fine, size, *options], png, api_name="mix", **SWIFT)
    seeds = gr.JSON(label="Seeds", visible=False)
    form, seconds = add_form(visible=False), add_seconds(visible=False)
    loop = gr.File(label="Loop", visible=False)
    gr.on([], handlers.loop, [seeds, form, seconds, *options], loop, api_name="loop", **SLOW)
    portrait = components.UploadedImage(type="filepath", image_mode=None, visible=False)
    note = gr.Textbox(label="What it has of the photo", visible=False)
    gr.on([], handlers.twin, [portrait, style], [png, note], api_name="twin", **SWIFT)


def add_state(value=None) -> gr.State:
    """Add a value that stays on the server while the page is open."""
    return gr.State(value, time_to_live=KEEP_S)


def add_truncation(**options) -> gr.Slider:
    """Add the slider from the average face to the full variety."""
    info = "0 is the average face, 1 the full variety"
    return gr.Slider(0, 1, TRUNCATION, step=0.05, label="Truncation", info=info, **options)


def add_changes(generator: FaceGenerator, suffix: str) -> list[gr.Slider | gr.Dropdown]:
    """Add a generator's sliders of directions and menus of attributes. `suffix` is that of their
    element IDs, as two generators may have an attribute of the same name."""
    moves = [
        gr.Slider(-MAX_EDIT, MAX_EDIT, 0, step=0.1, label=label, elem_id=f"move-{name}{suffix}")
        for name, label in generator.directions.items()
    ]
    with gr.Row():
        choices = [add_choice(*item, suffix) for item in generator.attributes.items()]
    return [*moves, *choices]


def add_choice(name: str, variants: Sequence[str], suffix: str = "") -> gr.Dropdown:
    """Add the menu of an attribute; at first, the seed chooses."""
    label, *shown = (
        i18n.for_page(functools.partial(text.format_name, it)) for it in (name, *variants)
    )
    menu = [("From seed", ""), *zip(shown, variants, strict=True)]
    return gr.Dropdown(menu, value="", label=label, min_width=140, elem_id=f"choice-{name}{suffix}")


def add_form(**options) -> gr.Radio:
    """Add the choice of a loop's file format."""
    return gr.Radio(list(FORMATS), value="MP4", label="Format", **options)


def add_seconds(**options) -> gr.Slider:
    """Add the slider of a loop's speed."""
    return gr.Slider(0.5, 4, 1.5, step=0.5, label="Seconds per face", **options)


def add_image(label: str, elem_id: str, **options) -> gr.Image:
    """Add an image to look at."""
    options = {"buttons": ["fullscreen"], **options}
    return gr.Image(
        label=label, type="filepath", format="png", interactive=False, elem_id=elem_id, **options
    )


def add_half(label: str) -> tuple[gr.State, gr.Image, gr.Button]:
    """Add one of the two faces that are mixed: the face, its image, and the button that sets it."""
    name = label.lower()
    with gr.Column(min_width=140):
        image = add_image(label, name, buttons=[])
        return add_state(), image, gr.Button(f"Use {name}", elem_id=f"use-{name}")
