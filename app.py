"""The screen, and its API: a photo goes in, its cartoon comes out."""

import functools
import os
import threading
from collections.abc import Callable, Mapping

import gradio as gr

from toonify import hub, images
from toonify.hub import catalog
from toonify.ui import components, events, outputs, theme
from toonify.ui.handlers import live, new_faces, photo, portrait
from toonify.ui.handlers import video as video_handler
from toonify.ui.tabs import live as live_tab
from toonify.ui.tabs import new_faces as new_faces_tab
from toonify.ui.tabs import photo as photo_tab
from toonify.ui.tabs import portrait as portrait_tab
from toonify.ui.tabs import video

LAUNCH = {
    "theme": theme.THEME,
    "css": theme.CSS,
    "max_file_size": max(images.MAX_BYTES, video_handler.MAX_BYTES),
    "show_error": False,  # what a handler did not foresee stays in the log
    "ssr_mode": False,
    "footer_links": ["api"],
    "run_history": False,  # would keep photos in the visitor's browser, and each frame of a camera
    "state_session_capacity": 1000,  # visitors whose latents are kept
}

# ZeroGPU lends a GPU to `draw` alone, in a process of its own. Outside of it only this thread may
# place a network on one, and has to before the first copy of the process: locks are copied as held.
LENT = "SPACES_ZERO_GPU" in os.environ

MOST_PIPELINES = 6  # of styles, in memory: an owner may have a hundred on the Hub

loading = threading.RLock()
pipelines = {}


def load_pipeline(style: str, quality: str = "best"):
    """The pipeline of a style, made on first use: torch and OpenVINO are imported here. Of many,
    those used last stay."""
    with loading:
        return open_pipeline(style, quality)


@functools.lru_cache(MOST_PIPELINES)
def open_pipeline(style: str, quality: str):
    """A pipeline, unless it is one of those that stay."""
    from toonify.pipelines.animegan import AnimeGANPipeline

    return AnimeGANPipeline.from_pretrained(style, quality=quality)


def load_portraits():
    """The pipeline of all toon styles, made on first use."""
    from toonify.pipelines.stylegan import StyleGANPipeline

    with loading:
        if StyleGANPipeline not in pipelines:
            pipelines[StyleGANPipeline] = StyleGANPipeline.from_pretrained()
        return pipelines[StyleGANPipeline]


def load_faces():
    """The pipeline of new faces, made on first use. On a processor, whatever else there is: a face
    takes less time there than a loan of a GPU."""
    from toonify.pipelines.toongan import ToonGANPipeline

    with loading:
        if ToonGANPipeline not in pipelines:
            pipelines[ToonGANPipeline] = ToonGANPipeline.from_pretrained(device="cpu")
        return pipelines[ToonGANPipeline]


def faces_here() -> new_faces.Handlers | None:
    """What draws new faces, if the network is bundled."""
    folder = hub.BUNDLED / hub.DEFAULT_FACES
    if not (folder / hub.CONFIG).is_file():
        return None
    side = hub.read_json(folder / hub.CONFIG).get("resolution", 128)
    attributes = hub.read_style(folder, hub.DEFAULT_FACES).attributes
    return new_faces.Handlers(load_faces, hub.directions(hub.DEFAULT_FACES), side, attributes)


def build(
    styles: list,
    load_pipeline: Callable,
    toons: list = (),
    load_portraits: Callable | None = None,
    directions: Mapping[str, str] | None = None,
    faces: new_faces.Handlers | None = None,
    films: video_handler.Handlers | None = None,
    camera: live.Handlers | None = None,
) -> gr.Blocks:
    """The whole page. `load_pipeline(name, quality)` gives a pipeline for one of the styles,
    `load_portraits()` that of all toons. `directions` are names and labels of ways in which faces
    can be moved, `faces` draw new ones, `films` draw clips, and `camera` draws while it runs. There
    is no tab for what is not given."""
    handlers = photo.Handlers(styles, load_pipeline)
    with events.Page(
        title="Toonify: cartoon portraits",
        analytics_enabled=False,
        delete_cache=(outputs.CLEAN_EVERY_S, outputs.KEEP_S),
    ) as demo:
        gr.HTML(theme.HEADER, elem_id="header")
        demo.load(None, js=components.CAMERA_TROUBLE)
        if not toons and not any((faces, films, camera)):
            photo_tab.lay_out(handlers)
        else:
            with gr.Tabs(elem_id="tabs") as tabs:
                with gr.Tab("Photo"):
                    photo_tab.lay_out(handlers)
                if films is not None:
                    with gr.Tab("Clip", elem_id="clip-tab"):
                        video.lay_out(films, demo)
                if camera is not None:
                    with gr.Tab("Live", elem_id="live-tab"):
                        live_tab.lay_out(camera, demo)
                if toons:
                    portraits = portrait.Handlers(toons, load_portraits, directions or {})
                    with gr.Tab("Portrait toon", elem_id="portrait-tab"):
                        portrait_tab.lay_out(portraits)
                    demo.unload(portraits.leave)
                if faces is not None:
                    with gr.Tab("New faces", id=new_faces.TAB, elem_id="new-faces-tab"):
                        new_faces_tab.lay_out(faces, demo, tabs)
    # Closed to direct calls, which would step past the queue and its limits.
    return demo.queue(max_size=20, api_open=False)


def warm_up(style: str, portraits: bool, faces: bool) -> None:
    """Load a style, the face detector and perhaps the rest, and draw, while nobody waits."""
    with loading:  # who comes now waits for the rest of this, which is sooner than racing it
        fast = any(known.fast for known in STYLES if known.name == style)
        pipeline = load_pipeline(style, "fast" if fast else "best")
        if not LENT:
            pipeline(images.load(components.EXAMPLES[0]).resize((128, 128)))
    if portraits and not LENT:
        load_portraits()(components.EXAMPLES[0])
    if faces:
        load_faces()(1, 0)


STYLES, TOONS, FACES = catalog.styles(), catalog.styles("stylegan"), faces_here()
# A GPU is lent for a minute: enough for a shorter clip.
FILMS = video_handler.Handlers(STYLES, load_pipeline, 10 if LENT else video_handler.MOST_SECONDS)
# Nothing for lent ones: each frame would wait for a loan, and take from the visitor's quota.
CAMERA = None if LENT else live.Handlers(STYLES, load_pipeline)

demo = build(STYLES, load_pipeline, TOONS, load_portraits, hub.directions(), FACES, FILMS, CAMERA)

if __name__ == "__main__":
    known = (hub.DEFAULT_STYLE, bool(TOONS), FACES is not None)
    if LENT:
        warm_up(*known)
    demo.launch(prevent_thread_lock=True, **LAUNCH)
    if not LENT:
        threading.Thread(target=warm_up, args=known, daemon=True).start()
    demo.block_thread()
