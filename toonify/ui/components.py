"""Widgets that several tabs have: the photo with its examples, the result, closed boxes."""

import base64
import binascii
from abc import ABCMeta
from typing import Any, ClassVar

import gradio as gr
from gradio.blocks import Block
from gradio.component_meta import ComponentMeta
from gradio.data_classes import ImageData
from typing_extensions import override

from toonify import images
from toonify.files import find_project
from toonify.ui.inputs import refusal

EXAMPLES = [
    find_project() / "hub_cards" / "faces" / f"{name}.jpg"
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
    photo = UploadedImage(
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
    return photo, examples


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


class ComponentType(ComponentMeta):
    """Gradio's metaclass, without the .pyi file that it writes beside a class's source."""

    def __new__(cls, name, bases, attrs):
        return ABCMeta.__new__(cls, name, bases, attrs)


class Upload(Block):
    """Passes on the file that a visitor uploaded, unread, as its path or its bytes.

    Gradio itself would download URLs and decode data: URLs of any size, and would accept any path
    that comes without the usual metadata.
    """

    frontend: ClassVar[str]  # gradio's name for the part of it that runs in the browser
    noun: ClassVar[str] = "photo"

    def get_block_name(self) -> str:
        return self.frontend

    get_block_class = get_block_name

    @override
    async def async_move_resource_to_block_cache(self, url_or_file_path):
        if str(url_or_file_path).startswith(("http:", "https:")):
            raise refusal(f"Upload the {self.noun} itself, not a link to it.")
        return await super().async_move_resource_to_block_cache(url_or_file_path)

    def preprocess(self, payload: Any) -> Any:
        if payload is None:
            return None
        if payload.url and payload.url.startswith("data:"):  # not counted by max_file_size
            if len(payload.url) * 3 // 4 > images.MAX_BYTES:
                raise refusal(f"The {self.noun} is larger than {images.MAX_BYTES >> 20} MB.")
            try:
                return base64.b64decode(payload.url.partition(",")[2], validate=True)
            except binascii.Error as error:
                raise refusal(f"The {self.noun} is not valid base64.") from error
        if not payload.path or not gr.utils.is_in_or_equal(payload.path, self.GRADIO_CACHE):
            raise refusal(f"Upload the {self.noun} first.")
        return payload.path


class UploadedImage(Upload, gr.Image, metaclass=ComponentType):
    """A photo that `images.load` reads."""

    frontend = "image"


class CameraFrame(UploadedImage):
    """A frame of a running camera."""

    noun = "frame"


class UploadedVideo(Upload, gr.Video, metaclass=ComponentType):
    """A video that is neither converted nor checked by FFmpeg's programs."""

    frontend = "video"
    noun = "video"


class UploadedFile(Upload, gr.File, metaclass=ComponentType):
    """Any other file."""

    frontend = "file"
    noun = "file"


class DataURLImage(gr.Image, metaclass=ComponentType):
    """Shows data: URLs as they are; gradio itself would write a file for each of them."""

    is_template = True  # in the browser it is a gr.Image

    @override
    def postprocess(self, value: Any) -> ImageData | None:
        return ImageData(url=value) if value else None


def scroll_to(elem_id: str) -> str:
    """JavaScript that brings a widget to a phone's screen, if it is below."""
    return f"""() => {{ const shown = document.querySelector('#{elem_id}');
if (shown.getBoundingClientRect().top > innerHeight / 2)
    setTimeout(() => shown.scrollIntoView({{behavior: 'smooth'}}), 400) }}"""
