"""Widgets that several tabs have: the photo with its examples, the result, closed boxes."""

import base64
import binascii
from pathlib import Path

import gradio as gr
from gradio.data_classes import ImageData

from toonify import images
from toonify.screen.visitors import refusal

ROOT = Path(__file__).parents[2]
EXAMPLES = [
    ROOT / "hub_cards" / "faces" / f"{name}.jpg"
    for name in ("random_021", "random_032", "random_012", "random_026", "random_069", "astronaut")
]
# Gradio says nothing where a camera is refused or missing: an error is left lying in the browser.
CAMERA_TROUBLE = """() => addEventListener('unhandledrejection', (event) => {
const said = {
    NotAllowedError: 'The camera may not be used: allow it in the address bar, and try again.',
    NotFoundError: 'There is no camera here.',
    NotReadableError: 'The camera is in use by another program.',
}[event.reason?.name];
if (!said) return;
for (const place of document.querySelectorAll('.camera-trouble p')) {
    place.textContent = said;
    setTimeout(() => { place.textContent = '' }, 20000);
} })"""
QUALITIES = [("Best", "best"), ("Fast", "fast")]
FACES = [("All faces", "all"), ("Largest face", "largest"), ("No faces", "none")]


def photo(prefix: str = "") -> tuple[gr.Image, gr.Dataset]:
    """An image box and examples for it. `images.load` is the only reader: gradio's own opens the
    file here, and answers what it cannot open with "Error"."""
    photo = gr.Image(
        type="filepath",
        image_mode=None,
        label="Your photo",
        sources=["upload", "webcam", "clipboard"],
        placeholder="Drop a portrait here\nor click to choose one",
        height=300,
        buttons=[],
        elem_id=f"{prefix}photo",
    )
    camera_trouble()
    examples = gr.Dataset(
        components=[photo],
        samples=[[str(path)] for path in EXAMPLES],
        label="No photo at hand? Try one of these",
        type="index",
        elem_id=f"{prefix}examples",
    )
    return closed(photo, "photo"), examples


def camera_trouble() -> gr.HTML:
    """A line below a camera that says for a while why there is none: see `CAMERA_TROUBLE`."""
    return gr.HTML("<p role='alert'></p>", elem_classes="camera-trouble")


def example(index: int) -> str:
    """The path of an example that was clicked."""
    return str(EXAMPLES[index])


def result(prefix: str = "") -> tuple[gr.ImageSlider, gr.Markdown]:
    """Before and after, and a line about them."""
    compare = gr.ImageSlider(
        label="Photo and cartoon: drag the line",
        type="filepath",
        interactive=False,
        buttons=["fullscreen"],
        max_height=620,
        elem_id=f"{prefix}compare",
    )
    return compare, gr.Markdown(visible=False, elem_id=f"{prefix}report")


def quality(style, prefix: str = "") -> gr.Radio:
    """Which of a style's generators draws, the fast one unless told; hidden if it has but one."""
    fast = style is not None and style.fast
    return gr.Radio(
        QUALITIES,
        value="fast" if fast else "best",
        label="Quality",
        info="Fast draws nearly the same in a fraction of the time",
        visible=fast,
        elem_id=f"{prefix}quality",
    )


def told_quality() -> gr.Radio:
    """The same for programs, which say what they want: best unless told, whatever the style has."""
    return gr.Radio(QUALITIES, value="best", label="Quality", visible=False)


def quality_of(style) -> dict:
    """The same after another style was chosen."""
    if style is not None and style.fast:
        return gr.update(visible=True)
    return gr.update(value="best", visible=False)


def closed(box, what: str):
    """A box for uploads that hands over the file as it came, unread, by its path or its bytes.

    What gradio leaves open is closed: it fetches addresses, of any size, while the queue waits;
    takes data: URLs of any size; and lets any path pass that comes without the usual metadata."""
    move = box.async_move_resource_to_block_cache

    async def move_local(path):
        if str(path).startswith(("http:", "https:")):
            raise refusal(f"Send the {what} itself, not its address.")
        return await move(path)

    def unread(payload):
        if payload is None:
            return None
        if payload.url and payload.url.startswith("data:"):  # not counted by max_file_size
            if len(payload.url) * 3 // 4 > images.MAX_BYTES:
                raise refusal(f"The {what} is larger than {images.MAX_BYTES >> 20} MB.")
            try:
                return base64.b64decode(payload.url.partition(",")[2], validate=True)
            except binascii.Error as error:
                raise refusal(f"The {what} is not valid base64.") from error
        if not payload.path or not gr.utils.is_in_or_equal(payload.path, box.GRADIO_CACHE):
            raise refusal(f"Upload the {what} first.")
        return payload.path

    box.async_move_resource_to_block_cache = move_local
    box.preprocess = unread
    return box


def unsaved(box: gr.Image) -> gr.Image:
    """A box that shows data: URLs as they are. Gradio's own would write a file for each of them."""
    box.postprocess = lambda url: url and ImageData(url=url)
    return box


def scroll_to(elem_id: str) -> str:
    """JavaScript that brings a widget to a phone's screen, if it is below."""
    return f"""() => {{ const shown = document.querySelector('#{elem_id}');
if (shown.getBoundingClientRect().top > innerHeight / 2)
    setTimeout(() => shown.scrollIntoView({{behavior: 'smooth'}}), 400) }}"""
