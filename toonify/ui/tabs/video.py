"""A clip to a drawn clip: what is seen."""

import gradio as gr

from toonify.ui import components, events, text
from toonify.ui.handlers.video import MAX_BYTES, MAX_HEIGHT, Handlers

# The handler lets one in at a time and a few wait there, in no place of gradio's queue.
LANE = {"concurrency_id": "clips", "concurrency_limit": None}


def lay_out(handlers: Handlers, page: gr.Blocks) -> None:
    """The tab's widgets, and which handler each of them calls."""
    choices = [(style.title, style.name) for style in handlers.styles.values()]
    default = choices[0][1] if choices else None
    limits = (
        f"At most {handlers.most_seconds:g} seconds and {MAX_BYTES >> 20} MB; higher than"
        f" {MAX_HEIGHT} px becomes smaller."
    )
    with gr.Row(equal_height=False):
        with gr.Column(scale=5, min_width=300):
            clip = components.UploadedVideo(
                label="Your clip",
                sources=["upload", "webcam"],
                include_audio=True,
                webcam_options=gr.WebcamOptions(mirror=False),
                height=300,
                buttons=[],
                elem_id="clip-source",
            )
            components.camera_trouble()
            gr.Markdown(limits, elem_id="clip-limits")
            with gr.Group(elem_id="clip-settings"):
                style = gr.Radio(choices, value=default, label="Style")
                about = gr.Markdown(handlers.about(default), elem_id="clip-about")
                quality = components.quality(handlers.styles.get(default), "clip-")
            with gr.Row():
                button = gr.Button(
                    "Draw the clip", variant="primary", size="lg", elem_id="clip-draw"
                )
                stop = gr.Button("Stop", visible=False, size="lg", elem_id="clip-stop")
            with gr.Accordion("Faces and comparison", open=False):
                faces = gr.Radio(
                    components.FACES,
                    value="all",
                    label="Faces",
                    info="Small faces get a drawing of their own; looking for them takes longer",
                )
                side_by_side = gr.Checkbox(label="Put the clip beside its drawing")
        with gr.Column(scale=7, min_width=300):
            film = gr.Video(
                label="Drawn clip",
                interactive=False,
                height=420,
                buttons=[],
                elem_id="clip-film",
            )
            report = gr.Markdown(visible=False, elem_id="clip-report")
            download = gr.DownloadButton("Download MP4", interactive=False, elem_id="clip-download")
            gr.Markdown(text.CLIP_PRIVACY, elem_id="clip-privacy")
        mp4 = gr.File(label="Clip", visible=False)
        told = components.told_quality()

    inputs = [clip, style, quality, faces, side_by_side]
    result = [film, download, report]
    ready = button.click(handlers.begin, None, stop, **events.LIGHT)
    shown = ready.then(
        handlers.show, inputs, result, show_progress_on=film, **LANE, **events.PRIVATE
    )
    shown.success(None, js=components.scroll_to("clip-film"))  # on a phone it is further down
    for ended in (shown.then, shown.failure):
        ended(lambda: gr.Button(visible=False), None, stop, **events.LIGHT)
    stop.click(handlers.stop, None, stop, **events.LIGHT)
    gr.on([clip.input, clip.clear], handlers.forget, None, result, **events.LIGHT)
    style.change(handlers.choose, style, [about, quality], **events.LIGHT)
    page.unload(handlers.leave)
    asked = [clip, style, told, faces, side_by_side]
    gr.on([], handlers.clip, asked, mp4, api_name="clip", **LANE)
