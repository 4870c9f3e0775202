"""Portrait to toon: the components of the tab and the handlers that they call."""

import gradio as gr

from toonify import hub
from toonify.ui import components, events, text
from toonify.ui.handlers.portrait import PortraitHandlers
from toonify.ui.inputs import MAX_EDIT, SEED_DIGITS
from toonify.ui.outputs import KEEP_S

BLENDS = [(f"{side} px", side) for side in hub.BLENDS]
SHAPES = [("Cartoon", "toon"), ("Photo", "base")]
MAX_STEPS = 200  # of refinement, for one face


def build_portrait_tab(handlers: PortraitHandlers, page: gr.Blocks) -> None:
    """Build the tab inside the page."""
    with gr.Row(equal_height=False):
        with gr.Column(scale=5, min_width=300):
            photo, examples = components.add_photo("portrait-")
            with gr.Group(elem_id="portrait-settings"):
                style, about = components.add_style(handlers, "portrait-")
                strength = components.add_strength()
            with gr.Row():
                button = gr.Button(
                    "Create cartoon", variant="primary", size="lg", elem_id="portrait-draw"
                )
                stop = gr.Button("Stop refining", visible=False, size="lg", elem_id="stop")
            with gr.Accordion("Likeness and blending", open=False, elem_id="likeness"):
                refine_steps = gr.Slider(
                    *(0, MAX_STEPS, 20),
                    step=10,
                    label="Refine likeness",
                    info="Steps per face; each takes about 0.4 s on two processor cores",
                )
                faces = gr.Radio(components.FACES[:2], value="all", label="Faces")
                keep_color = gr.Checkbox(label="Keep the photo's colors")
                blend = gr.Radio(
                    BLENDS,
                    value=handlers.styles[handlers.default].blend,
                    label="Blend resolution",
                    info="Layers below it draw the cartoon's shapes, finer layers the photo's"
                    " textures",
                    elem_id="blend",
                )
                blend_width = gr.Slider(
                    *(0, 2, 0),
                    step=0.5,
                    label="Blend softness",
                    info="0 is a hard switch, 2 a gradual transition",
                )
                shape_from = gr.Radio(
                    SHAPES,
                    value="toon",
                    label="Shapes from",
                    info="Photo reverses the blend: real shapes with cartoon textures",
                )
                latent = components.UploadedFile(
                    label="Use a saved face (.safetensors)",
                    file_types=[".safetensors", ".npz"],
                    height=150,
                    elem_id="latent",
                )
            with gr.Group(elem_id="random-person"):
                seed = gr.Textbox(label="Seed", placeholder="random", max_length=SEED_DIGITS)
                random_person = gr.Button("Random person")
        with gr.Column(scale=7, min_width=300):
            compare, report = components.add_result("portrait-")
            with gr.Accordion("Edit the face", elem_id="edits"):
                edits = [
                    gr.Slider(-MAX_EDIT, MAX_EDIT, 0, step=0.1, label=label, elem_id=f"edit-{name}")
                    for name, label in handlers.directions.items()
                ]
                truncation = gr.Slider(
                    *(0, 1, 1),
                    step=0.05,
                    label="Truncation",
                    info="0 is the average face, 1 the person's own",
                )
            with gr.Row():
                download = components.add_download("Download PNG", "portrait-download")
                npz = components.add_download("Save face (.safetensors)", "npz")
            strip = gr.Gallery(
                label="From photo to cartoon",
                columns=3,
                height="auto",
                visible=False,
                interactive=False,
                buttons=[],
                elem_id="strip",
            )
            gr.Markdown(text.PRIVACY, elem_id="portrait-privacy")
        png = gr.Image(label="Cartoon", type="filepath", format="png", visible=False)
        file = gr.File(label="Latent", visible=False)
        edits_json = gr.JSON(label="Edits", visible=False)
        former = components.add_former_keep_colour()
        kept = gr.State(time_to_live=KEEP_S)

    settings = [style, blend, blend_width, shape_from, strength, truncation]
    settings += [refine_steps, faces, keep_color]
    inputs = [kept, photo, latent, *settings, *edits]
    result = [compare, download, npz, report, strip, kept]
    heavy = {
        "outputs": result,
        "show_progress_on": compare,
        **events.ONE_AT_A_TIME,
        **events.PRIVATE,
    }
    picked = examples.click(components.get_example, examples, photo, **events.LIGHT)
    for trigger in (button.click, picked.then):
        ready = trigger(handlers.begin, refine_steps, stop, **events.LIGHT)
        shown = ready.then(handlers.show, inputs, **heavy)
        shown.then(lambda: gr.Button(visible=False), None, stop, **events.LIGHT)
        shown.success(
            None, js=components.scroll_to("portrait-compare")
        )  # on a phone it is further down
    stop.click(handlers.stop, None, stop, **events.LIGHT)
    shown = random_person.click(handlers.show_random_person, [seed, *settings, *edits], **heavy)
    shown.success(None, js=components.scroll_to("portrait-compare"))
    live = [blend, blend_width, shape_from, strength, truncation, keep_color, *edits]
    live = [widget.input for widget in live]
    # Changes during a drawing wait, and only the last of them is drawn.
    gr.on(live, handlers.redraw, inputs, trigger_mode="always_last", **heavy)
    chosen = style.input(handlers.choose, style, [about, blend], **events.LIGHT)
    chosen.then(handlers.redraw, inputs, trigger_mode="always_last", **heavy)
    gr.on([photo.input, photo.clear], handlers.clear, None, result, **events.LIGHT)
    options = {"api_name": "portrait", **events.ONE_AT_A_TIME}
    unset = gr.Radio(BLENDS, value=None, label="Blend resolution", visible=False)
    typed = [unset if widget is blend else widget for widget in settings]
    gr.on([], handlers.portrait, [photo, *typed, edits_json, latent, former], png, **options)
    gr.on(
        [], handlers.latent, [photo, refine_steps], file, api_name="latent", **events.ONE_AT_A_TIME
    )
    page.unload(handlers.leave)
