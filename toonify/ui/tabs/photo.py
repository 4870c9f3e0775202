"""Photo to cartoon: the components of the tab and the handlers that they call."""

import gradio as gr

from toonify.ui import components, events, text
from toonify.ui.handlers.photo import PhotoHandlers


def build_photo_tab(handlers: PhotoHandlers) -> None:
    """Build the tab inside the current page."""
    with gr.Row(equal_height=False):
        with gr.Column(scale=5, min_width=300):
            photo, examples = components.add_photo()
            with gr.Group(elem_id="settings"):
                style, about = components.add_style(handlers)
                quality = components.add_quality(handlers.default_style)
                strength = components.add_strength()
            button = gr.Button("Create cartoon", variant="primary", size="lg", elem_id="draw")
            with gr.Accordion("Faces and colors", open=False, elem_id="options"):
                faces = gr.Radio(
                    components.FACES,
                    value="all",
                    label="Faces",
                    info="Faces are also drawn separately, which gives small ones more detail",
                )
                keep_color = gr.Checkbox(label="Keep the photo's colors")
        with gr.Column(scale=7, min_width=300):
            compare, report = components.add_result()
            download = components.add_download("Download PNG", "download")
            with gr.Accordion("Faces found", open=False, visible=False) as found:
                framed = gr.Image(show_label=False, interactive=False, buttons=[], elem_id="boxes")
            gr.Markdown(text.PRIVACY, elem_id="privacy")
        png = gr.Image(label="Cartoon", type="filepath", format="png", visible=False)
        found_json = gr.JSON(label="Faces", visible=False)
        styles_json = gr.JSON(label="Styles", visible=False)
        api_quality = components.add_api_quality()
        former = components.add_former_keep_colour()

    options = [photo, style, faces, strength, keep_color]
    result = [compare, download, report, found, framed]
    show: events.Options = {"fn": handlers.show, "inputs": [*options, quality], "outputs": result}
    show |= {"show_progress_on": compare, **events.ONE_AT_A_TIME, **events.PRIVATE}
    picked = examples.click(components.get_example, examples, photo, **events.LIGHT)
    for shown in (button.click(**show), picked.then(**show)):
        # On a phone the result is further down.
        shown.success(None, js=components.scroll_to("compare"))
    gr.on([photo.input, photo.clear], handlers.clear, None, result, **events.LIGHT)
    style.change(handlers.choose, style, [about, quality], **events.LIGHT)
    api: events.Options = {"api_name": "toonify", **events.ONE_AT_A_TIME}
    gr.on([], handlers.toonify, [*options, api_quality, former], png, **api)
    gr.on([], handlers.detect, photo, found_json, api_name="detect", **events.ONE_AT_A_TIME)
    gr.on([], handlers.list_styles, None, styles_json, api_name="styles", queue=False)
