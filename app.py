"""The screen, and its API: a photo goes in, its cartoon comes out."""

import os
import threading
from collections.abc import Callable, Mapping

import gradio as gr

from toonify import hub, images
from toonify.screen import boxes, files, look, photo, photo_tab, portrait, portrait_tab

LAUNCH = {
    "theme": look.THEME,
    "css": look.CSS,
    "max_file_size": images.MAX_BYTES,
    "show_error": False,  # what a handler did not foresee stays in the log
    "ssr_mode": False,
    "footer_links": ["api"],
    "state_session_capacity": 1000,  # visitors whose latents are kept
}

loading = threading.RLock()
pipelines = {}


def load_pipeline(style: str):
    """The pipeline of a style, made on first use: torch and OpenVINO are imported here."""
    from toonify.pipelines.animegan import AnimeGANPipeline

    with loading:
        if style not in pipelines:
            pipelines[style] = AnimeGANPipeline.from_pretrained(style)
        return pipelines[style]


def load_portraits():
    """The pipeline of all toon styles, made on first use."""
    from toonify.pipelines.stylegan import StyleGANPipeline

    with loading:
        if StyleGANPipeline not in pipelines:
            pipelines[StyleGANPipeline] = StyleGANPipeline.from_pretrained()
        return pipelines[StyleGANPipeline]


def build(
    styles: list,
    load_pipeline: Callable,
    toons: list = (),
    load_portraits: Callable | None = None,
    directions: Mapping[str, str] | None = None,
) -> gr.Blocks:
    """The whole page. `load_pipeline(name)` gives a pipeline for one of the styles,
    `load_portraits()` that of all toons. `directions` are names and labels of ways in which faces
    can be moved. Without toons there is no tab for them."""
    handlers = photo.Handlers(styles, load_pipeline)
    with gr.Blocks(
        title="Toonify: cartoon portraits",
        analytics_enabled=False,
        delete_cache=(files.CLEAN_EVERY_S, files.KEEP_S),
    ) as demo:
        gr.HTML(look.HEADER, elem_id="header")
        if toons:
            portraits = portrait.Handlers(toons, load_portraits, directions or {})
            with gr.Tabs(elem_id="tabs"):
                with gr.Tab("Photo"):
                    photo_tab.lay_out(handlers)
                with gr.Tab("Portrait toon", elem_id="portrait-tab"):
                    portrait_tab.lay_out(portraits)
            demo.unload(portraits.leave)
        else:
            photo_tab.lay_out(handlers)
    # Closed to direct calls, which would step past the queue and its limits.
    return demo.queue(max_size=20, api_open=False)


def warm_up(style: str, portraits: bool) -> None:
    """Load a style, the face detector and perhaps the toons, and draw, while nobody waits."""
    with loading:  # who comes now waits for the rest of this, which is sooner than racing it
        pipeline = load_pipeline(style)
        if "SPACES_ZERO_GPU" not in os.environ:  # there, only `draw` may touch the GPU
            pipeline(images.load(boxes.EXAMPLES[0]).resize((128, 128)))
    if portraits and "SPACES_ZERO_GPU" not in os.environ:
        load_portraits()(boxes.EXAMPLES[0])


TOONS = hub.styles("stylegan")

demo = build(hub.styles(), load_pipeline, TOONS, load_portraits, hub.directions())

if __name__ == "__main__":
    demo.launch(prevent_thread_lock=True, **LAUNCH)
    threading.Thread(target=warm_up, args=(hub.DEFAULT_STYLE, bool(TOONS)), daemon=True).start()
    demo.block_thread()
