"""New faces from a seed: the components of the tab and the handlers that they call."""

from collections.abc import Sequence

import gradio as gr

from toonify.ui import components, events, text
from toonify.ui.handlers.new_faces import FORMATS, MAX_FACES, TRUNCATION, NewFacesHandlers
from toonify.ui.inputs import MAX_EDIT, SEED_DIGITS
from toonify.ui.outputs import KEEP_S

MAX_SEED = 10**SEED_DIGITS - 1
SECONDS = {"minimum": 0.5, "maximum": 4, "value": 1.5, "step": 0.5}  # of a loop, to the next face
# Lanes of their own: slow work elsewhere delays nobody here.
SWIFT = {"concurrency_id": "faces", "concurrency_limit": 1}
SLOW = {"concurrency_id": "loops", "concurrency_limit": 1}
COPY = """async (link) => {
const address = location.origin + location.pathname + link;
history.replaceState(null, '', address);
try { await navigator.clipboard.writeText(address); return 'copied' } catch { return 'shown' } }"""


def build_new_faces_tab(handlers: NewFacesHandlers, page: gr.Blocks, tabs: gr.Tabs) -> None:
    """Build the tab inside the page. A link to a face opens it among `tabs`."""
    faces, kept = add_state([]), add_state([])
    face, linked = add_state(), add_state()
    with gr.Row(equal_height=False):
        with gr.Column(scale=5, min_width=300):
            with gr.Group(elem_id="new-settings"):
                seed = gr.Textbox(
                    label="Seed",
                    placeholder="random",
                    max_length=SEED_DIGITS,
                    elem_id="seed",
                )
                count = gr.Slider(1, MAX_FACES, 12, step=1, label="Number of faces")
                truncation = add_truncation()
            with gr.Row():
                button = gr.Button("Create faces", variant="primary", size="lg", elem_id="new-draw")
                random = gr.Button("Random faces", size="lg", elem_id="random-faces")
            gallery = add_gallery("Pick a face", elem_id="crowd")
            sheet = components.add_download("Download all as one PNG", "sheet")
            with gr.Accordion("Your toon twin", open=False, elem_id="twin"):
                photo, examples = components.add_photo("twin-")
                find = gr.Button("Find my twin", variant="primary", elem_id="find-twin")
                note = gr.Markdown(visible=False, elem_id="twin-note")
                gr.Markdown(text.PRIVACY, elem_id="twin-privacy")
        with gr.Column(scale=7, min_width=300):
            image = add_image("Face", "new-face")
            report = gr.Markdown(visible=False, elem_id="new-report")
            with gr.Row():
                keep = gr.Button("Keep", interactive=False, min_width=140, elem_id="keep")
                copy = gr.Button("Copy link", interactive=False, min_width=140, elem_id="copy")
                png = components.add_download("Download PNG", "new-download")
            with gr.Accordion(
                "Edit the face",
                visible=bool(handlers.directions or handlers.attributes),
                elem_id="moves",
            ):
                moves = [
                    gr.Slider(-MAX_EDIT, MAX_EDIT, 0, step=0.1, label=label, elem_id=f"move-{name}")
                    for name, label in handlers.directions.items()
                ]
                with gr.Row():
                    choices = [add_choice(*item) for item in handlers.attributes.items()]
            favorites = add_gallery("Favorites", elem_id="favorites", visible=False)
            with gr.Accordion("Loop through your favorites", open=False, elem_id="loop"):
                form, seconds = add_form(), add_seconds()
                make_loop = gr.Button("Create loop", elem_id="make-loop")
                video = gr.Video(
                    label="Loop",
                    visible=False,
                    height=384,
                    autoplay=True,
                    loop=True,
                    buttons=[],
                    elem_id="loop-video",
                )
                animation = add_image("Loop", "loop-animation", visible=False)
                loop = components.add_download("Download loop", "loop-download")
            with gr.Accordion("Mix two faces", open=False, elem_id="mix"):
                with gr.Row():
                    coarse, coarse_image, use_coarse = add_half("Shapes")
                    fine, fine_image, use_fine = add_half("Colors")
                size = gr.Slider(
                    *(1, len(handlers.sizes), 2),
                    step=1,
                    label="Shape layers",
                    info=f"The layers below {', '.join(map(str, handlers.sizes))} px",
                    elem_id="size",
                )
        link = gr.Textbox(visible="hidden", elem_id="link")

    image_outputs = [image, report, png, keep, copy, link, face]
    face_outputs = [*image_outputs, *moves, *choices]
    outputs = [seed, gallery, sheet, faces, *face_outputs]
    swift = {"show_progress_on": image, **SWIFT, **events.PRIVATE}
    for trigger in (button.click, seed.submit):
        trigger(handlers.show, [seed, count, truncation, kept], outputs, **swift)
    random.click(handlers.show_random, [count, truncation, kept], outputs, **swift)
    picked = gallery.select(handlers.pick, [faces, kept], face_outputs, **swift)
    picked.success(None, js=components.scroll_to("new-face"))  # on a phone it is further down
    favorites.select(handlers.pick, [kept, kept], face_outputs, **swift)
    # Changes during a drawing wait, and only the last of them is drawn.
    live = {"trigger_mode": "always_last", "show_progress": "hidden", **SWIFT, **events.PRIVATE}
    changes = [*moves, *choices]
    inputs = [face, kept, *changes]
    gr.on([it.input for it in changes], handlers.change, inputs, image_outputs, **live)
    keep.click(handlers.keep, [face, kept], [kept, favorites, keep], **swift)
    # Queued: gradio shows messages only of queued events.
    quiet = {"show_progress": "hidden", **events.PRIVATE}
    copy.click(handlers.confirm_copy, link, None, js=COPY, **quiet)

    mix = {"fn": handlers.show_mix, "inputs": [coarse, fine, size, kept], "outputs": face_outputs}
    for use, half, half_image in (
        (use_coarse, coarse, coarse_image),
        (use_fine, fine, fine_image),
    ):
        used = use.click(handlers.use, face, [half, half_image], **swift)
        used.success(**mix, **swift)
    size.input(**mix, **live)
    slow = {"show_progress_on": loop, **SLOW, **events.PRIVATE}
    make_loop.click(handlers.show_loop, [kept, form, seconds], [video, animation, loop], **slow)
    example = examples.click(components.get_example, examples, photo, **events.LIGHT)
    for trigger in (find.click, example.then):
        found = trigger(handlers.show_twin, [photo, kept], [note, *face_outputs], **swift)
        found.success(None, js=components.scroll_to("new-face"))
    page.load(handlers.arrive, None, [tabs, truncation, linked], **quiet)
    linked.change(handlers.open, [linked, count, kept], outputs, **swift)
    serve(handlers)


def serve(handlers: NewFacesHandlers) -> None:
    """Add the endpoints for programs."""
    count = gr.Slider(1, MAX_FACES, 1, step=1, label="Number of faces", visible=False)
    seed = {"label": "Seed", "precision": 0, "minimum": 0, "maximum": MAX_SEED, "visible": False}
    numbers = [gr.Number(None, **seed) for _ in range(3)]
    truncation = add_truncation(visible=False)
    edits = gr.JSON(label="Edits", visible=False)
    choices = gr.JSON(label="Choices", visible=False)
    pictures = gr.Gallery(label="Faces", visible=False)
    gr.on(
        *([], handlers.faces, [count, numbers[0], truncation, edits, choices], pictures),
        **{"api_name": "faces", **SWIFT},
    )
    size = gr.Radio(handlers.sizes, value=16, label="Size", visible=False)
    png = gr.Image(label="Face", type="filepath", format="png", visible=False)
    inputs = [numbers[1], numbers[2], size, truncation]
    gr.on([], handlers.mix, inputs, png, api_name="mix", **SWIFT)
    seeds = gr.JSON(label="Seeds", visible=False)
    loop = gr.File(label="Loop", visible=False)
    inputs = [seeds, add_form(visible=False), add_seconds(visible=False), truncation]
    gr.on([], handlers.loop, inputs, loop, api_name="loop", **SLOW)
    portrait = components.UploadedImage(type="filepath", image_mode=None, visible=False)
    note = gr.Textbox(label="What it has of the photo", visible=False)
    gr.on([], handlers.twin, portrait, [png, note], api_name="twin", **SWIFT)


def add_state(value=None) -> gr.State:
    """Add a value that stays on the server while the page is open."""
    return gr.State(value, time_to_live=KEEP_S)


def add_truncation(**options) -> gr.Slider:
    """Add the slider from the average face to the full variety."""
    info = "0 is the average face, 1 the full variety"
    return gr.Slider(0, 1, TRUNCATION, step=0.05, label="Truncation", info=info, **options)


def add_choice(name: str, variants: Sequence[str]) -> gr.Dropdown:
    """Add the menu of an attribute; at first, the seed chooses."""
    menu = [("From seed", ""), *((text.format_name(variant), variant) for variant in variants)]
    return gr.Dropdown(
        menu, value="", label=text.format_name(name), min_width=140, elem_id=f"choice-{name}"
    )


def add_form(**options) -> gr.Radio:
    """Add the choice of a loop's file format."""
    return gr.Radio(list(FORMATS), value="MP4", label="Format", **options)


def add_seconds(**options) -> gr.Slider:
    """Add the slider of a loop's speed."""
    return gr.Slider(label="Seconds per face", **SECONDS, **options)


def add_gallery(label: str, **options) -> gr.Gallery:
    """Add faces of which one can be picked."""
    return gr.Gallery(
        label=label,
        columns=4,
        fit_columns=False,
        height="auto",
        format="png",
        interactive=False,
        allow_preview=False,
        buttons=[],
        **options,
    )


def add_image(label: str, elem_id: str, **options) -> gr.Image:
    """Add an image to look at."""
    return gr.Image(
        label=label,
        type="filepath",
        format="png",
        interactive=False,
        buttons=["fullscreen"],
        elem_id=elem_id,
        **options,
    )


def add_half(label: str) -> tuple[gr.State, gr.Image, gr.Button]:
    """Add one of the two faces that are mixed: the face, its image, and the button that sets it."""
    name = label.lower()
    with gr.Column(min_width=140):
        image = gr.Image(
            label=label, type="filepath", format="png", interactive=False, buttons=[], elem_id=name
        )
        return add_state(), image, gr.Button(f"Use its {name}", elem_id=f"use-{name}")
