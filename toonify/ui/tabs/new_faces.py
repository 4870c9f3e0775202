"""Faces that never existed: what is seen."""

from collections.abc import Sequence

import gradio as gr

from toonify.ui import components, events, outputs, text
from toonify.ui import inputs as visitors
from toonify.ui.handlers.new_faces import CLIPS, FARTHEST, MOST_FACES, TYPICAL, Handlers

LAST = 10**visitors.DIGITS - 1  # of the numbers of faces
SECONDS = {"minimum": 0.5, "maximum": 4, "value": 1.5, "step": 0.5}  # of a loop, to the next face
# Lanes of their own: what takes long elsewhere holds nobody up here.
SWIFT = {"concurrency_id": "faces", "concurrency_limit": 1}
SLOW = {"concurrency_id": "loops", "concurrency_limit": 1}
COPY = """async (link) => {
const address = location.origin + location.pathname + link;
history.replaceState(null, '', address);
try { await navigator.clipboard.writeText(address); return 'copied' } catch { return 'shown' } }"""


def lay_out(handlers: Handlers, page: gr.Blocks, tabs: gr.Tabs) -> None:
    """The tab's widgets, and which handler each of them calls. A link opens it among `tabs`."""
    faces, kept = state([]), state([])
    face, asked = state(), state()
    with gr.Row(equal_height=False):
        with gr.Column(scale=5, min_width=300):
            with gr.Group(elem_id="new-settings"):
                number = gr.Textbox(
                    label="Face no.",
                    placeholder="anybody",
                    max_length=visitors.DIGITS,
                    elem_id="number",
                )
                count = gr.Slider(1, MOST_FACES, 12, step=1, label="How many")
                truncation = truncation_slider()
            with gr.Row():
                draw = gr.Button("Draw faces", variant="primary", size="lg", elem_id="new-draw")
                surprise = gr.Button("Surprise me", size="lg", elem_id="surprise")
            gallery = gallery_box("Pick one", elem_id="crowd")
            sheet = download_button("Download them as one PNG", "sheet")
            with gr.Accordion("Your toon twin", open=False, elem_id="twin"):
                photo, examples = components.photo("twin-")
                find = gr.Button("Find my twin", variant="primary", elem_id="find-twin")
                said = gr.Markdown(visible=False, elem_id="said")
                gr.Markdown(text.PRIVACY, elem_id="twin-privacy")
        with gr.Column(scale=7, min_width=300):
            picture = picture_box("Face", "new-face")
            report = gr.Markdown(visible=False, elem_id="new-report")
            with gr.Row():
                keep = gr.Button("Keep", interactive=False, min_width=140, elem_id="keep")
                copy = gr.Button("Copy link", interactive=False, min_width=140, elem_id="copy")
                png = download_button("Download PNG", "new-download")
            with gr.Accordion(
                "Change the face",
                visible=bool(handlers.directions or handlers.attributes),
                elem_id="moves",
            ):
                moves = [
                    gr.Slider(-FARTHEST, FARTHEST, 0, step=0.1, label=label, elem_id=f"move-{name}")
                    for name, label in handlers.directions.items()
                ]
                with gr.Row():
                    wishes = [wish(*item) for item in handlers.attributes.items()]
            favourites = gallery_box("Favourites", elem_id="favourites", visible=False)
            with gr.Accordion("Loop through the favourites", open=False, elem_id="loop"):
                form, seconds = form_radio(), seconds_slider()
                loop = gr.Button("Make the loop", elem_id="make-loop")
                film = gr.Video(
                    label="Loop",
                    visible=False,
                    height=384,
                    autoplay=True,
                    loop=True,
                    buttons=[],
                    elem_id="film",
                )
                moving = picture_box("Loop", "moving", visible=False)
                clip = download_button("Download the loop", "clip")
            with gr.Accordion("Mix two faces", open=False, elem_id="mix"):
                with gr.Row():
                    coarse, coarse_picture, take_coarse = half("Forms", "Take its forms")
                    fine, fine_picture, take_fine = half("Colours", "Take its colours")
                size = gr.Slider(
                    *(1, len(handlers.sizes), 2),
                    step=1,
                    label="How much of the forms",
                    info=f"The layers below {', '.join(map(str, handlers.sizes))} px",
                    elem_id="size",
                )
        link = gr.Textbox(visible="hidden", elem_id="link")

    seen = [picture, report, png, keep, copy, link, face]
    shown = [*seen, *moves, *wishes]
    drawn = [number, gallery, sheet, faces, *shown]
    swift = {"show_progress_on": picture, **SWIFT, **events.PRIVATE}
    for trigger in (draw.click, number.submit):
        trigger(handlers.draw, [number, count, truncation, kept], drawn, **swift)
    surprise.click(handlers.surprise, [count, truncation, kept], drawn, **swift)
    chosen = gallery.select(handlers.pick, [faces, kept], shown, **swift)
    chosen.success(None, js=components.scroll_to("new-face"))  # on a phone it is further down
    favourites.select(handlers.pick, [kept, kept], shown, **swift)
    # What comes while one is being drawn waits, and only the last of it.
    live = {"trigger_mode": "always_last", "show_progress": "hidden", **SWIFT, **events.PRIVATE}
    changes = [*moves, *wishes]
    gr.on([it.input for it in changes], handlers.move, [face, kept, *changes], seen, **live)
    keep.click(handlers.keep, [face, kept], [kept, favourites, keep], **swift)
    # Queued, since nothing is said in passing to who did not wait.
    quiet = {"show_progress": "hidden", **events.PRIVATE}
    copy.click(handlers.copied, link, None, js=COPY, **quiet)

    mix = {"fn": handlers.show_mix, "inputs": [coarse, fine, size, kept], "outputs": shown}
    for take, half_face, half_picture in (
        (take_coarse, coarse, coarse_picture),
        (take_fine, fine, fine_picture),
    ):
        taken = take.click(handlers.take, face, [half_face, half_picture], **swift)
        taken.success(**mix, **swift)
    size.input(**mix, **live)
    slow = {"show_progress_on": clip, **SLOW, **events.PRIVATE}
    loop.click(handlers.show_loop, [kept, form, seconds], [film, moving, clip], **slow)
    chosen = examples.click(components.example, examples, photo, **events.LIGHT)
    for trigger in (find.click, chosen.then):
        found = trigger(handlers.show_twin, [photo, kept], [said, *shown], **swift)
        found.success(None, js=components.scroll_to("new-face"))
    page.load(handlers.arrive, None, [tabs, truncation, asked], **quiet)
    asked.change(handlers.open, [asked, count, kept], drawn, **swift)
    serve(handlers)


def serve(handlers: Handlers) -> None:
    """The same for other programs: each function, by its name in the API."""
    count = gr.Slider(1, MOST_FACES, 1, step=1, label="How many", visible=False)
    seed = {"label": "Face no.", "precision": 0, "minimum": 0, "maximum": LAST, "visible": False}
    numbers = [gr.Number(None, **seed) for _ in range(3)]
    truncation = truncation_slider(visible=False)
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
    seeds = gr.JSON(label="Faces", visible=False)
    clip = gr.File(label="Loop", visible=False)
    inputs = [seeds, form_radio(visible=False), seconds_slider(visible=False), truncation]
    gr.on([], handlers.loop, inputs, clip, api_name="loop", **SLOW)
    portrait = components.UploadedImage(type="filepath", image_mode=None, visible=False)
    said = gr.Textbox(label="What it has of the photo", visible=False)
    gr.on([], handlers.twin, portrait, [png, said], api_name="twin", **SWIFT)


def state(value=None) -> gr.State:
    """What stays on the server while the page is open."""
    return gr.State(value, time_to_live=outputs.KEEP_S)


def truncation_slider(**options) -> gr.Slider:
    """How far from the mean face."""
    info = "0 is the mean of all faces, 1 all that there are"
    return gr.Slider(0, 1, TYPICAL, step=0.05, label="Character", info=info, **options)


def wish(name: str, variants: Sequence[str]) -> gr.Dropdown:
    """What a face is to have of an attribute; at first, what its number chooses."""
    choices = [("as it comes", ""), *((text.label(variant), variant) for variant in variants)]
    return gr.Dropdown(
        choices, value="", label=text.label(name), min_width=140, elem_id=f"wish-{name}"
    )


def form_radio(**options) -> gr.Radio:
    """What a loop is written as."""
    return gr.Radio(list(CLIPS), value="MP4", label="As", **options)


def seconds_slider(**options) -> gr.Slider:
    """How long a loop takes from each face to the next."""
    return gr.Slider(label="Seconds to the next face", **SECONDS, **options)


def gallery_box(label: str, **options) -> gr.Gallery:
    """Faces of which one is picked."""
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


def picture_box(label: str, elem_id: str, **options) -> gr.Image:
    """One picture, to look at."""
    return gr.Image(
        label=label,
        type="filepath",
        format="png",
        interactive=False,
        buttons=["fullscreen"],
        elem_id=elem_id,
        **options,
    )


def download_button(label: str, elem_id: str) -> gr.DownloadButton:
    """Off while there is nothing to download."""
    return gr.DownloadButton(label, interactive=False, min_width=140, elem_id=elem_id)


def half(label: str, order: str) -> tuple[gr.State, gr.Image, gr.Button]:
    """One of the two faces that are mixed: what it is, its picture, and what takes it."""
    with gr.Column(min_width=140):
        name = label.lower()
        picture = gr.Image(
            label=label, type="filepath", format="png", interactive=False, buttons=[], elem_id=name
        )
        return state(), picture, gr.Button(order, elem_id=f"take-{name}")
