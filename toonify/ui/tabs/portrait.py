"""Portrait to toon by way of w: what is seen."""

import gradio as gr

from toonify import hub
from toonify.ui import components, events, outputs, text
from toonify.ui.handlers.portrait import FARTHEST, Handlers

BLENDS = [(f"{side} px", side) for side in hub.BLENDS]
SHAPES = [("Toon", "toon"), ("Photo", "base")]
MOST_STEPS = 200  # of refinement, for one face


def lay_out(handlers: Handlers) -> None:
    """The tab's widgets, and which handler each of them calls."""
    choices = [(style.title, style.name) for style in handlers.toons.values()]
    with gr.Row(equal_height=False):
        with gr.Column(scale=5, min_width=300):
            photo, examples = components.photo("portrait-")
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
                faces = gr.Radio(components.FACES[:2], value="all", label="Faces")
                keep_colour = gr.Checkbox(label="Keep the photo's colours")
                latent = components.UploadedFile(
                    label="Use a saved face (.npz)",
                    file_types=[".npz"],
                    height=150,
                    elem_id="latent",
                )
            with gr.Group(elem_id="nobody"):
                seed = gr.Textbox(label="Person no.", placeholder="anybody", max_length=9)
                nobody = gr.Button("Draw somebody who does not exist")
        with gr.Column(scale=7, min_width=300):
            compare, report = components.result("portrait-")
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
            gr.Markdown(text.PRIVACY, elem_id="portrait-privacy")
        png = gr.Image(label="Toon", type="filepath", format="png", visible=False)
        file = gr.File(label="Face in w", visible=False)
        edits_json = gr.JSON(label="Edits", visible=False)
        kept = gr.State(time_to_live=outputs.KEEP_S)

    settings = [style, blend, blend_width, shape_from, strength, truncation]
    settings += [refine_steps, faces, keep_colour]
    inputs = [kept, photo, latent, *settings, *edits]
    result = [compare, download, npz, report, strip, kept]
    heavy = {
        "outputs": result,
        "show_progress_on": compare,
        **events.ONE_AT_A_TIME,
        **events.PRIVATE,
    }
    picked = examples.click(components.example, examples, photo, **events.LIGHT)
    for trigger in (button.click, picked.then):
        ready = trigger(handlers.begin, refine_steps, stop, **events.LIGHT)
        shown = ready.then(handlers.show, inputs, **heavy)
        shown.then(lambda: gr.Button(visible=False), None, stop, **events.LIGHT)
        shown.success(
            None, js=components.scroll_to("portrait-compare")
        )  # on a phone it is further down
    stop.click(handlers.stop, None, stop, **events.LIGHT)
    shown = nobody.click(handlers.imagine, [seed, *settings, *edits], **heavy)
    shown.success(None, js=components.scroll_to("portrait-compare"))
    live = [blend, blend_width, shape_from, strength, truncation, keep_colour, *edits]
    live = [widget.input for widget in live]
    # What comes while one is being drawn waits, and only the last of it.
    gr.on(live, handlers.redraw, inputs, trigger_mode="always_last", **heavy)
    chosen = style.input(handlers.choose, style, [about, blend], **events.LIGHT)
    chosen.then(handlers.redraw, inputs, trigger_mode="always_last", **heavy)
    gr.on([photo.input, photo.clear], handlers.forget, None, result, **events.LIGHT)
    options = {"api_name": "portrait", **events.ONE_AT_A_TIME}
    unsaid = gr.Radio(BLENDS, value=None, label="Toon up to", visible=False)
    typed = [unsaid if widget is blend else widget for widget in settings]
    gr.on([], handlers.portrait, [photo, *typed, edits_json, latent], png, **options)
    gr.on(
        [], handlers.latent, [photo, refine_steps], file, api_name="latent", **events.ONE_AT_A_TIME
    )
