"""The camera, drawn while it runs: what is seen."""

import gradio as gr

from toonify.ui import components, events, text
from toonify.ui.handlers.live import LASTS_S, Handlers

# Asked of the camera: more is never drawn, and every frame travels.
CAMERA = {"video": {"width": {"ideal": 480}, "height": {"ideal": 360}, "facingMode": "user"}}
# Gradio sends a frame at every tick, whether or not the last one has arrived: on a slow line they
# pile up in the browser. So a frame goes out when the last drawing is on the screen, or got lost;
# those of other ticks are dropped, and all while nobody sees the tab.
PULL = """() => {
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
# Its widget goes and comes back: the only way by which gradio lets go of the camera.
GONE = "() => ({__type__: 'update', visible: false})"
BACK = "() => ({__type__: 'update', visible: true})"


def lay_out(handlers: Handlers, page: gr.Blocks) -> None:
    """The tab's widgets, and which handler each of them calls."""
    choices = [(style.title, style.name) for style in handlers.styles.values()]
    default = choices[0][1] if choices else None
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
            components.camera_trouble()
            with gr.Group(elem_id="live-settings"):
                style = gr.Radio(choices, value=default, label="Style")
                about = gr.Markdown(handlers.about(default), elem_id="live-about")
        with gr.Column(scale=7, min_width=300):
            toon = components.DataURLImage(
                label="Drawing", interactive=False, buttons=[], elem_id="live-toon"
            )
            report = gr.Markdown(visible=False, elem_id="live-report")
            gr.Markdown(
                f"Small and quick, for {LASTS_S // 60} minutes at a time. {text.LIVE_PRIVACY}",
                elem_id="live-privacy",
            )

    page.load(None, js=PULL)
    running = camera.stream(
        handlers.show,
        [camera, style],
        [toon, report],
        stream_every=0.05,
        time_limit=LASTS_S,
        concurrency_limit=None,  # the handler lets in as many as can be drawn, and tells the others
        show_progress="hidden",
        **events.PRIVATE,
    )
    for ended in (running.then, running.failure):
        gone = ended(None, None, camera, js=GONE, **events.PRIVATE)
        gone.then(handlers.end, None, report, **events.LIGHT)
        gone.then(None, None, camera, js=BACK, **events.PRIVATE)
    style.change(handlers.about, style, about, **events.LIGHT)
    page.unload(handlers.leave)
