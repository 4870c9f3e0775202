"""Video to cartoon: the components of the tab and the handlers that they call."""

import gradio as gr

from toonify.ui import components, events, i18n, text
from toonify.ui.handlers.video import MAX_BYTES, MAX_HEIGHT, VideoHandlers

# The handler itself lets in one at a time and makes a few wait, outside of gradio's queue.
LANE: events.Options = {"concurrency_id": "videos", "concurrency_limit": None}


def add_source(max_seconds: float) -> gr.Video:
    """Add the component for the visitor's video and a note of the limits."""
    video = components.UploadedVideo(
        label="Your video",
        sources=["upload", "webcam"],
        include_audio=True,
        webcam_options=gr.WebcamOptions(mirror=False),
        height=300,
        buttons=[],
        elem_id="video-source",
    )
    components.add_camera_error()
    limits = (
        "Up to {seconds} seconds and {size} MB. Videos taller than {height} px are scaled down."
    )
    values = {"seconds": f"{max_seconds:g}", "size": MAX_BYTES >> 20, "height": MAX_HEIGHT}
    gr.Markdown(i18n.for_page(lambda: i18n.gettext(limits, **values)), elem_id="video-limits")
    return video


def build_video_tab(handlers: VideoHandlers, page: gr.Blocks) -> None:
    """Build the tab inside the page."""
    with gr.Row(equal_height=False):
        with gr.Column(scale=5, min_width=300):
            video = add_source(handlers.max_seconds)
            with gr.Group(elem_id="video-settings"):
                style, about = components.add_style(handlers, "video-")
                quality = components.add_quality(handlers.default_style, "video-")
            with gr.Row():
                button = gr.Button(
                    "Create cartoon", variant="primary", size="lg", elem_id="video-draw"
                )
                stop = gr.Button("Stop", visible=False, size="lg", elem_id="video-stop")
            with gr.Accordion("Faces, comparison and sound", open=False, elem_id="video-options"):
                faces = gr.Radio(
                    components.FACES,
                    value="all",
                    label="Faces",
                    info="Faces are also drawn separately: more detail, but slower",
                )
                side_by_side = gr.Checkbox(label="Show the original on the left")
                sound = gr.Checkbox(True, label="Keep the sound")
        with gr.Column(scale=7, min_width=300):
            result = gr.Video(
                label="Cartoon", interactive=False, height=420, buttons=[], elem_id="video-result"
            )
            report = gr.Markdown(visible=False, elem_id="video-report")
            download = components.add_download("Download MP4", "video-download")
            gr.Markdown(text.VIDEO_PRIVACY, elem_id="video-privacy")
        mp4 = gr.File(label="Video", visible=False)
        api_quality = components.add_api_quality()

    outputs = [result, download, report]
    ready = button.click(handlers.begin, None, stop, **events.LIGHT)
    shown = ready.then(
        handlers.show,
        [video, style, quality, faces, side_by_side, sound],
        outputs,
        show_progress_on=result,
        **LANE,
        **events.PRIVATE,
    )
    shown.success(None, js=components.scroll_to("video-result"))  # on a phone it is further down
    for ended in (shown.then, shown.failure):
        ended(lambda: gr.Button(visible=False), None, stop, **events.LIGHT)
    stop.click(handlers.stop, None, stop, **events.LIGHT)
    gr.on([video.input, video.clear], handlers.clear, None, outputs, **events.LIGHT)
    style.change(handlers.choose, style, [about, quality], **events.LIGHT)
    page.unload(handlers.leave)
    inputs = [video, style, api_quality, faces, side_by_side, sound]
    gr.on([], handlers.toonify_video, inputs, mp4, api_name="video", **LANE)
    gr.on([], handlers.toonify_clip, inputs, mp4, api_name="clip", **LANE)
