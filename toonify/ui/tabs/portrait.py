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
    """Build the tab and its endpoints inside the page."""
    tab = PortraitTab(handlers)
    page.unload(handlers.leave)
    png = gr.Image(label="Cartoon", type="filepath", format="png", visible=False)
    latent = gr.File(label="Latent", visible=False)
    edits = gr.JSON(label="Edits", visible=False)
    former = components.add_former_keep_colour()
    blend = gr.Radio(BLENDS, value=None, label="Blend resolution", visible=False)  # of the style
    settings = [blend if it is tab.blend else it for it in tab.settings]
    one: events.Options = events.ONE_AT_A_TIME
    inputs = [tab.photo, *settings, edits, tab.latent, former]
    gr.on([], handlers.portrait, inputs, png, api_name="portrait", **one)
    gr.on([], handlers.latent, [tab.photo, tab.refine_steps], latent, api_name="latent", **one)


class PortraitTab:
    """The components of the tab.

    Args:
        handlers: what the components call.
    """

    def __init__(self, handlers: PortraitHandlers):
        self.handlers = handlers
        with gr.Row(equal_height=False):
            with gr.Column(scale=5, min_width=300):
                self.add_photo()
                self.add_likeness()
                with gr.Group(elem_id="random-person"):
                    self.seed = gr.Textbox(
                        label="Seed", placeholder="random", max_length=SEED_DIGITS
                    )
                    self.random = gr.Button("Random person")
            with gr.Column(scale=7, min_width=300):
                self.add_result()
        self.kept = gr.State(time_to_live=KEEP_S)
        self.settings = [self.style, self.blend, self.blend_width, self.shape_from, self.strength]
        self.settings += [self.truncation, self.refine_steps, self.faces, self.keep_color]
        self.outputs = [self.compare, self.download, self.npz, self.report, self.strip, self.kept]
        self.connect()

    def add_photo(self) -> None:
        """Add the photo, the style, and what starts and stops the drawing."""
        self.photo, self.examples = components.add_photo("portrait-")
        with gr.Group(elem_id="portrait-settings"):
            self.style, self.about = components.add_style(self.handlers, "portrait-")
            self.strength = components.add_strength()
        with gr.Row():
            self.create = gr.Button(
                "Create cartoon", variant="primary", size="lg", elem_id="portrait-draw"
            )
            self.stop = gr.Button("Stop refining", visible=False, size="lg", elem_id="stop")

    def add_likeness(self) -> None:
        """Add how like the person, and how like a photo, the toon is."""
        with gr.Accordion("Likeness and blending", open=False, elem_id="likeness"):
            self.refine_steps = gr.Slider(
                *(0, MAX_STEPS, 20),
                step=10,
                label="Refine likeness",
                info="Steps per face; each takes about 0.4 s on two processor cores",
            )
            self.faces = gr.Radio(components.FACES[:2], value="all", label="Faces")
            self.keep_color = gr.Checkbox(label="Keep the photo's colors")
            self.blend = gr.Radio(
                BLENDS,
                value=next(iter(self.handlers.styles.values())).blend,
                label="Blend resolution",
                info="Layers below it draw the cartoon's shapes, finer ones the photo's textures",
                elem_id="blend",
            )
            self.blend_width = gr.Slider(
                *(0, 2, 0),
                step=0.5,
                label="Blend softness",
                info="0 is a hard switch, 2 a gradual transition",
            )
            self.shape_from = gr.Radio(
                SHAPES,
                value="toon",
                label="Shapes from",
                info="Photo reverses the blend: real shapes with cartoon textures",
            )
            self.latent = components.UploadedFile(
                label="Use a saved face (.safetensors)",
                file_types=[".safetensors", ".npz"],
                height=150,
                elem_id="latent",
            )

    def add_result(self) -> None:
        """Add before and after, the edits, the downloads and the faces."""
        self.compare, self.report = components.add_result("portrait-")
        with gr.Accordion("Edit the face", elem_id="edits"):
            self.edits = [
                gr.Slider(-MAX_EDIT, MAX_EDIT, 0, step=0.1, label=label, elem_id=f"edit-{name}")
                for name, label in self.handlers.directions.items()
            ]
            info = "0 is the average face, 1 the person's own"
            self.truncation = gr.Slider(0, 1, 1, step=0.05, label="Truncation", info=info)
        with gr.Row():
            self.download = components.add_download("Download PNG", "portrait-download")
            self.npz = components.add_download("Save face", "npz")
        self.strip = components.ResultGallery(
            label="From photo to cartoon",
            columns=3,
            height="auto",
            visible=False,
            interactive=False,
            buttons=[],
            elem_id="strip",
        )
        gr.Markdown(text.PRIVACY, elem_id="portrait-privacy")

    def connect(self) -> None:
        """Connect the components with their handlers."""
        handlers, stop = self.handlers, self.stop
        options = [*self.settings, *self.edits]
        inputs = [self.kept, self.photo, self.latent, *options]
        heavy: events.Options = {"outputs": self.outputs, "show_progress_on": self.compare}
        heavy |= events.ONE_AT_A_TIME | events.PRIVATE
        # On a phone the result is further down.
        scroll = components.scroll_to("portrait-compare")
        picked = self.examples.click(
            components.get_example, self.examples, self.photo, **events.LIGHT
        )
        for trigger in (self.create.click, picked.then):
            ready = trigger(handlers.begin, self.refine_steps, stop, **events.LIGHT)
            shown = ready.then(handlers.show, inputs, **heavy)
            shown.then(lambda: gr.Button(visible=False), None, stop, **events.LIGHT)
            shown.success(None, js=scroll)
        stop.click(handlers.stop, None, stop, **events.LIGHT)
        shown = self.random.click(handlers.show_random_person, [self.seed, *options], **heavy)
        shown.success(None, js=scroll)
        # Changes during a drawing wait, and only the last of them is drawn.
        heavy["trigger_mode"] = "always_last"
        live = [self.blend.input, self.blend_width.input, self.shape_from.input]
        live += [self.strength.input, self.truncation.input, self.keep_color.input]
        gr.on([*live, *(edit.input for edit in self.edits)], handlers.redraw, inputs, **heavy)
        chosen = self.style.input(
            handlers.choose, self.style, [self.about, self.blend], **events.LIGHT
        )
        chosen.then(handlers.redraw, inputs, **heavy)
        changed = [self.photo.input, self.photo.clear]
        gr.on(changed, handlers.clear, None, self.outputs, **events.LIGHT)
