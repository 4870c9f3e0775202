"""Live camera to cartoon: the components of the tab and the handlers that they call."""

import gradio as gr

from toonify.ui import components, events, i18n, text
from toonify.ui.handlers.live import MAX_SESSION_S, LiveHandlers

# What the camera is asked for: more is never drawn, and every frame travels.
CAMERA = {"video": {"width": {"ideal": 480}, "height": {"ideal": 360}, "facingMode": "user"}}
# Gradio sends a frame at every tick, whether or not the last one has arrived: on a slow network
# they pile up in the browser. So a frame is sent only when the last drawing is on the screen or was
# lost; those of other ticks are dropped, as are all while the tab is hidden.
THROTTLE = """() => {
const send = window.fetch.bind(window);
let before = null, until = 0;
window.fetch = (address, options) => {
    if (!/[/]stream[/][0-9a-f]{32}$/.test(address)) return send(address, options);
    const toon = document.querySelector('#live-toon'), shown = toon?.querySelector('img')?.src;
    const waits = shown === before && performance.now() < until;
    if (waits || document.hidden || !toon?.offsetParent)
        return Promise.resolve(new Response('{}', {headers: {'content-type': 'application/json'}}));
    [before, until] = [shown, performance.now() + 3000];
    return send(address, options);
};
}"""
# Hiding the component and showing it again is the only way to make gradio release the camera.
HIDE = "() => ({__type__: 'update', visible: false})"
SHOW = "() => ({__type__: 'update', visible: true})"


def describe_limits() -> str:
    """Say how long the camera may run, and what happens to its frames."""
    limits = i18n.gettext(
        "Small and fast, for up to {minutes} minutes at a time.", minutes=MAX_SESSION_S // 60
    )
    return f"{limits} {i18n.gettext(text.LIVE_PRIVACY)}"


def build_live_tab(handlers: LiveHandlers, page: gr.Blocks) -> None:
    """Build the tab inside the page."""
    with gr.Row(equal_height=False):
        with gr.Column(scale=5, min_width=300, elem_id="live-left"):
            with gr.Column(elem_id="live-camera-place"):
                camera = components.CameraFrame(
                    type="filepath",
                    image_mode=None,
                    label="Camera",
                    sources=["webcam"],
                    streaming=True,
                    webcam_options=gr.WebcamOptions(mirror=True, constraints=CAMERA),
                    height=300,
                    buttons=[],
                    elem_id="live-camera",
                )
            components.add_camera_error()
            with gr.Group(elem_id="live-settings"):
                style, about = components.add_style(handlers, "live-")
        with gr.Column(scale=7, min_width=300):
            toon = components.DataURLImage(
                label="Cartoon", interactive=False, buttons=[], elem_id="live-toon"
            )
            report = gr.Markdown(visible=False, elem_id="live-report")
            gr.Markdown(i18n.for_page(describe_limits), elem_id="live-privacy")

    page.load(None, js=THROTTLE)
    running = camera.stream(
        handlers.show,
        [camera, style],
        [toon, report],
        stream_every=0.05,
        time_limit=MAX_SESSION_S,
        concurrency_id="live",
        concurrency_limit=None,  # the handler itself lets in a few and refuses the others
        show_progress="hidden",
        **events.PRIVATE,
    )
    for ended in (running.then, running.failure):
        hidden = ended(None, None, camera, js=HIDE, **events.PRIVATE)
        hidden.then(handlers.end, None, report, **events.LIGHT)
        hidden.then(None, None, camera, js=SHOW, **events.PRIVATE)
    style.change(handlers.describe, style, about, **events.LIGHT)
    page.unload(handlers.leave)
