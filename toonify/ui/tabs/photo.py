"""Photo to cartoon: what is seen."""

import gradio as gr

from toonify.ui import components, events, text
from toonify.ui.handlers.photo import Handlers


def lay_out(handlers: Handlers) -> None:
    """The tab's widgets, and which handler each of them calls."""
    choices = [(style.title, style.name) for style in handlers.styles.values()]
    default = choices[0][1] if choices else None
    with gr.Row(equal_height=False):
        with gr.Column(scale=5, min_width=300):
            photo, examples = components.photo()
            with gr.Group(elem_id="settings"):
                style = gr.Radio(choices, value=default, label="Style")
                about = gr.Markdown(handlers.about(default), elem_id="about")
                quality = components.quality(handlers.styles.get(default))
                strength = gr.Slider(
                    0, 1, 1, step=0.05, label="Strength", info="0 is the photo, 1 the full cartoon"
                )
            button = gr.Button("Draw the cartoon", variant="primary", size="lg", elem_id="draw")
            with gr.Accordion("Faces and colours", open=False):
                faces = gr.Radio(
                    components.FACES,
                    value="all",
                    label="Faces",
                    info="Small faces get a drawing of their own, so that they come out well",
                )
                keep_colour = gr.Checkbox(label="Keep the photo's colours")
        with gr.Column(scale=7, min_width=300):
            compare, report = components.result()
            download = gr.DownloadButton("Download PNG", interactive=False, elem_id="download")
            with gr.Accordion("Faces found", open=False, visible=False) as found:
                framed = gr.Image(show_label=False, interactive=False, buttons=[], elem_id="boxes")
            gr.Markdown(text.PRIVACY, elem_id="privacy")
        png = gr.Image(label="Cartoon", type="filepath", format="png", visible=False)
        found_json = gr.JSON(label="Faces", visible=False)
        styles_json = gr.JSON(label="Styles", visible=False)
        told = components.told_quality()

    inputs = [photo, style, faces, strength, keep_colour, quality]
    result = [compare, download, report, found, framed]
    show = {"fn": handlers.show, "inputs": inputs, "outputs": result}
    show |= {"show_progress_on": compare, **events.ONE_AT_A_TIME, **events.PRIVATE}
    picked = examples.click(components.example, examples, photo, **events.LIGHT)
    for shown in (button.click(**show), picked.then(**show)):
        shown.success(
            None, js=components.scroll_to("compare")
        )  # on a phone the result is further down
    gr.on([photo.input, photo.clear], handlers.forget, None, result, **events.LIGHT)
    style.change(handlers.choose, style, [about, quality], **events.LIGHT)
    gr.on(
        [], handlers.toonify, [*inputs[:-1], told], png, api_name="toonify", **events.ONE_AT_A_TIME
    )
    gr.on([], handlers.detect, photo, found_json, api_name="detect", **events.ONE_AT_A_TIME)
    gr.on([], handlers.list_styles, None, styles_json, api_name="styles", queue=False)
