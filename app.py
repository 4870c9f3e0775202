"""The web app and its API: cartoons of photos, videos and a camera, and new faces."""

import functools
import gc
import logging
import os
import signal
import threading
from collections.abc import Callable
from typing import Any

import gradio as gr

from toonify import hub, images
from toonify.hub import catalog
from toonify.ui import accessibility, components, events, health, i18n, outputs, text, theme
from toonify.ui.handlers import video
from toonify.ui.handlers.face_generators import FaceGenerator
from toonify.ui.handlers.live import LiveHandlers
from toonify.ui.handlers.new_faces import TAB_ID, NewFacesHandlers
from toonify.ui.handlers.photo import PhotoHandlers
from toonify.ui.handlers.portrait import PortraitHandlers
from toonify.ui.handlers.video import VideoHandlers
from toonify.ui.tabs.about import build_about_tab
from toonify.ui.tabs.live import build_live_tab
from toonify.ui.tabs.new_faces import build_new_faces_tab
from toonify.ui.tabs.photo import build_photo_tab
from toonify.ui.tabs.portrait import build_portrait_tab
from toonify.ui.tabs.video import build_video_tab

LAUNCH: dict[str, Any] = {
    "theme": theme.THEME,
    "css": theme.CSS + accessibility.CSS,
    "max_file_size": max(images.MAX_BYTES, video.MAX_BYTES),
    "show_error": False,  # unexpected errors stay in the log
    "ssr_mode": False,
    "footer_links": ["api"],
    "mcp_server": os.environ.get("TOONIFY_MCP") == "1",
    "run_history": False,  # would keep photos and camera frames in the visitor's browser
    "state_session_capacity": 1000,  # visitors whose latents are kept
}

FIRST_FACES = "heads"  # the generator of new faces that is shown first, where it is bundled

# ZeroGPU lends a GPU only to `draw`, in a process of its own. Outside of it, networks are placed on
# the GPU by this thread alone, before the first such process starts: it copies locks as they are.
ZERO_GPU = "SPACES_ZERO_GPU" in os.environ

MAX_PIPELINES = 12  # in memory: an owner may have a hundred styles on the Hub
# Of this process; beyond it, all pipelines of photos are let go before another one is loaded.
MAX_MEMORY = int(os.environ.get("TOONIFY_MEMORY_MB", 6000)) << 20

loading = threading.RLock()
outputs.use_own_folder()


def load_pipeline(style: str, quality: str = "best"):
    """Return the pipeline of a style, loaded on first use. The last `MAX_PIPELINES` stay."""
    with loading:
        return open_pipeline(style, quality)


@functools.lru_cache(MAX_PIPELINES)
def open_pipeline(style: str, quality: str):
    """Load a pipeline. Imports torch and OpenVINO."""
    from toonify.pipelines.animegan import AnimeGANPipeline

    if health.measure_memory() > MAX_MEMORY:
        open_pipeline.cache_clear()
        gc.collect()
    return AnimeGANPipeline.from_pretrained(style, quality=quality)


def load_portraits():
    """Return the pipeline of all toon styles, loaded on first use."""
    with loading:
        return open_portraits()


@functools.cache
def open_portraits():
    """Load the pipeline of all toon styles. Imports torch."""
    from toonify.pipelines.stylegan import StyleGANPipeline

    return StyleGANPipeline.from_pretrained()


def load_faces(style: str):
    """Return the pipeline of new faces of a style, loaded on first use."""
    with loading:
        return open_faces(style)


@functools.lru_cache(MAX_PIPELINES)
def open_faces(style: str):
    """Load a pipeline of new faces on the CPU, where a face takes less time than borrowing a GPU.
    Imports torch."""
    from toonify.pipelines.toongan import ToonGANPipeline

    return ToonGANPipeline.from_pretrained(style, device="cpu")


def find_faces_handlers() -> NewFacesHandlers | None:
    """Return the handlers of new faces; None without a generator of them."""
    styles = sorted(catalog.styles("toongan"), key=lambda style: style.name != FIRST_FACES)
    return NewFacesHandlers([*map(describe_faces, styles)]) if styles else None


def describe_faces(style: hub.Style) -> FaceGenerator:
    """Return what is known of a generator of new faces before it is loaded. Of one on the Hub, that
    is its attributes, but not its directions."""
    config = hub.BUNDLED / style.name / hub.CONFIG
    return FaceGenerator(
        functools.partial(load_faces, style.name),
        hub.directions(style.name),
        hub.read_json(config).get("resolution", 128) if config.is_file() else 128,
        style.offered_attributes,
        style.name,
        style.title,
    )


def build(
    photos: PhotoHandlers,
    videos: VideoHandlers | None = None,
    camera: LiveHandlers | None = None,
    portraits: PortraitHandlers | None = None,
    faces: NewFacesHandlers | None = None,
) -> events.Page:
    """Build the page, with a tab for each of the handlers that are given.

    Args:
        photos: draw photos.
        videos: draw videos.
        camera: draw the frames of a camera while it runs.
        portraits: draw portraits through the latent space, where they can be edited.
        faces: draw new faces.

    Returns:
        The page, with its queue.
    """
    with events.Page(
        title=components.TITLE,
        analytics_enabled=False,
    ) as page:
        gr.HTML(i18n.for_page(theme.make_header), elem_id="header")
        page.load(None, js=components.TRANSLATE_TITLE)
        page.load(None, js=accessibility.NAME_ELEMENTS)
        page.load(None, js=components.SHOW_CAMERA_ERRORS)
        if not any((videos, camera, portraits, faces)):
            build_photo_tab(photos, page)
        else:
            with gr.Tabs(elem_id="tabs") as tabs:
                with gr.Tab("Photo"):
                    build_photo_tab(photos, page, portraits)
                if videos is not None:
                    with gr.Tab("Video", elem_id="video-tab"):
                        build_video_tab(videos, page)
                if camera is not None:
                    with gr.Tab("Live", elem_id="live-tab"):
                        build_live_tab(camera, page)
                if portraits is not None:
                    with gr.Tab("Portrait toon", elem_id="portrait-tab"):
                        build_portrait_tab(portraits, page)
                if faces is not None:
                    with gr.Tab("New faces", id=TAB_ID, elem_id="new-faces-tab"):
                        build_new_faces_tab(faces, page, tabs)
                with gr.Tab("About", elem_id="about-tab"):
                    toons = {} if portraits is None else portraits.styles
                    build_about_tab([*(photos.styles | toons).values()])
        gr.Markdown(text.MARK, elem_id="mark")
    # Closed to direct calls, which would bypass the queue and its limits.
    return page.queue(api_open=False)


def warm_up(style: str, portraits: bool, faces: bool, wait: Callable[[], None]) -> None:
    """Load what visitors use, in the order in which they do, and draw, before a visitor waits.

    Args:
        style: the style that is loaded first.
        portraits: whether there are toons of StyleGAN.
        faces: whether there are new faces.
        wait: called before what takes longer than the previews; it waits until nobody draws.
    """
    first, *others = sorted(STYLES, key=lambda other: other.name != style)
    with loading:  # a visitor who comes now waits, which is faster than loading it twice
        pipeline = load_pipeline(first.name, first.fastest)
        if not ZERO_GPU:
            pipeline(images.load(components.EXAMPLES[0]).resize((128, 128)))
    if not ZERO_GPU:
        for other in others:
            if other.source == "bundled":
                load_pipeline(other.name, other.fastest)
        load_pipeline(first.name)
        wait()
        if portraits:
            load_portraits()(components.EXAMPLES[0])
    if faces and FACES is not None:
        load_faces(FACES.default)(1, 0)


STYLES, TOONS = catalog.styles(), catalog.styles("stylegan")
if catalog.note():
    logging.getLogger("toonify.ui").warning("%s", catalog.note())
PHOTOS = PhotoHandlers(STYLES, load_pipeline, TOONS, load_portraits)
# A GPU is lent for a minute: enough for a shorter video.
VIDEOS = VideoHandlers(STYLES, load_pipeline, 10 if ZERO_GPU else video.MAX_SECONDS)
# Not with borrowed GPUs: each frame would wait for one, and use up the visitor's quota.
CAMERA = None if ZERO_GPU else LiveHandlers(STYLES, load_pipeline)
PORTRAITS = PortraitHandlers(TOONS, load_portraits, hub.directions()) if TOONS else None
FACES = find_faces_handlers()

demo = build(PHOTOS, VIDEOS, CAMERA, PORTRAITS, FACES)


def warm_app() -> None:
    """Load all that this app offers; see `warm_up`."""
    warm_up(hub.DEFAULT_STYLE, PORTRAITS is not None, FACES is not None, demo.wait_for_quiet)


def serve(page: events.Page, warm: Callable[[], None] | None = None, **options: Any) -> None:
    """Serve a page until Ctrl+C or SIGTERM, and delete what visitors left.

    Args:
        page: the page.
        warm: called in a thread of its own; until it ends, /health says that the app is not ready.
        options: of the server.
    """

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    def work(task: Callable[[], None]) -> None:
        try:
            task()
        finally:
            page.ready.set()

    signal.signal(signal.SIGTERM, stop)  # by which containers and services are stopped
    if warm is not None:
        page.ready.clear()
    try:
        if warm is not None:  # at once: the page is often there before its first visitor
            threading.Thread(target=work, args=(warm,), daemon=True).start()
        page.launch(prevent_thread_lock=True, **options, **LAUNCH)
        page.block_thread()
    finally:
        page.cleaner.clean(0)


if __name__ == "__main__":
    logging.basicConfig(format="%(message)s")
    logging.getLogger("toonify.ui").setLevel(logging.INFO)
    if ZERO_GPU:
        warm_app()
    serve(demo, None if ZERO_GPU else warm_app)
