"""Components that several tabs share: uploads, the photo with its examples, the result."""

import base64
import binascii
import json
import os
from abc import ABCMeta
from typing import Any, ClassVar
from urllib.parse import unquote

import gradio as gr
from gradio.blocks import Block
from gradio.component_meta import ComponentMeta
from gradio.data_classes import ImageData
from typing_extensions import override

from toonify.files import find_project
from toonify.hub import Style
from toonify.images import formats
from toonify.ui import i18n, outputs, text
from toonify.ui.handlers import results
from toonify.ui.handlers.styles import StyleHandlers
from toonify.ui.inputs import UserError

EXAMPLES = [
    find_project() / "hub_cards" / "faces" / f"{name}.jpg"
    for name in ("random_021", "random_032", "random_012", "random_026", "random_069", "astronaut")
]
TITLE = "Toonify: cartoon portraits"
TRANSLATE_TITLE = f"() => {{ document.title = {i18n.for_script(TITLE)}[{json.dumps(TITLE)}] }}"
# Gradio shows nothing where a camera is denied or missing: the browser has an unhandled error.
CAMERA_ERRORS = {
    "NotAllowedError": "Camera access was denied. Allow it in the address bar and try again.",
    "NotFoundError": "No camera was found.",
    "NotReadableError": "The camera is in use by another program.",
}
SHOW_CAMERA_ERRORS = f"""() => addEventListener('unhandledrejection', (event) => {{
const error = {json.dumps(CAMERA_ERRORS)}[event.reason?.name];
if (!error) return;
const text = {i18n.for_script(*CAMERA_ERRORS.values())}[error];
for (const place of document.querySelectorAll('.camera-error p')) {{
    place.textContent = text;
    setTimeout(() => {{ place.textContent = '' }}, 20000);
}} }})"""
QUALITIES = [("Best", "best"), ("Fast", "fast")]
FACES = [("All faces", "all"), ("Largest face", "largest"), ("No faces", "none")]


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
            # Programs that speak MCP name what they uploaded by its address.
            path = unquote(str(url_or_file_path).partition("/gradio_api/file=")[2])
            if path and gr.utils.is_in_or_equal(path, self.GRADIO_CACHE) and os.path.isfile(path):
                return path
            raise UserError(f"Upload the {self.noun} itself, not a link to it.")
        return await super().async_move_resource_to_block_cache(url_or_file_path)

    def preprocess(self, payload: Any) -> Any:
        if payload is None:
            return None
        if payload.url and payload.url.startswith("data:"):  # not counted by max_file_size
            if len(payload.url) * 3 // 4 > formats.MAX_BYTES:
                raise UserError(f"The {self.noun} is larger than {formats.MAX_BYTES >> 20} MB.")
            try:
                return base64.b64decode(payload.url.partition(",")[2], validate=True)
            except binascii.Error as error:
                raise UserError(f"The {self.noun} is not valid base64.") from error
        if not payload.path or not gr.utils.is_in_or_equal(payload.path, self.GRADIO_CACHE):
            raise UserError(f"Upload the {self.noun} first.")
        return payload.path


class UploadedImage(Upload, gr.Image, metaclass=ComponentType):
    """A photo that `toonify.images.load` reads."""

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


class UploadedFiles(UploadedFile, metaclass=ComponentType):
    """Several files, or those of a folder."""

    def preprocess(self, payload: Any) -> Any:
        if payload is None:
            return None
        read = super().preprocess  # not within the comprehension, which has no class
        return [read(file) for file in payload.root]


class DataURLImage(gr.Image, metaclass=ComponentType):
    """Shows data: URLs as they are; gradio itself would write a file for each of them."""

    is_template = True  # in the browser it is a gr.Image

    @override
    def postprocess(self, value: Any) -> ImageData | None:
        return ImageData(url=value) if value else None


class ResultSlider(gr.ImageSlider, metaclass=ComponentType):
    """Before and after, in files of this app."""

    is_template = True  # in the browser it is a gr.ImageSlider

    @override
    def postprocess(self, value: Any) -> Any:
        return super().postprocess(value and tuple(map(outputs.save_preview, value)))


class ResultGallery(gr.Gallery, metaclass=ComponentType):
    """Images with captions, in files of this app."""

    is_template = True  # in the browser it is a gr.Gallery

    @override
    def postprocess(self, value: Any) -> Any:
        captioned: list[Any] = [
            (outputs.save_preview(image), caption) for image, caption in value or ()
        ]
        return super().postprocess(captioned)


def add_photo(prefix: str = "") -> tuple[UploadedImage, gr.Dataset]:
    """Add an upload for a photo, and examples for it. `prefix` is that of their element IDs."""
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
    add_camera_error()
    examples = gr.Dataset(
        components=[photo],
        samples=[[str(path)] for path in EXAMPLES],
        label="No photo? Try an example",
        type="index",
        elem_id=f"{prefix}examples",
    )
    return photo, examples


def add_camera_error() -> gr.HTML:
    """Add a line that shows for a while why there is no camera: see `SHOW_CAMERA_ERRORS`."""
    return gr.HTML("<p role='alert'></p>", elem_classes="camera-error")


def get_example(index: int) -> str:
    """Return the path of an example that was clicked."""
    if index not in range(len(EXAMPLES)):
        raise UserError("This example does not exist.")
    return str(EXAMPLES[index])


def add_result(prefix: str = "") -> tuple[gr.ImageSlider, gr.Markdown]:
    """Add before and after, and a line about them."""
    compare = ResultSlider(
        label="Before and after: drag the line",
        type="filepath",
        interactive=False,
        buttons=["fullscreen"],
        max_height=620,
        elem_id=f"{prefix}compare",
    )
    return compare, gr.Markdown(visible=False, elem_id=f"{prefix}report")


def add_gallery(label: str, **options: Any) -> gr.Gallery:
    """Add images of which one can be picked."""
    options = {"columns": 4, **options}
    return gr.Gallery(
        label=label,
        fit_columns=False,
        height="auto",
        format="png",
        interactive=False,
        allow_preview=False,
        buttons=[],
        **options,
    )


def add_download(label: str, elem_id: str, visible: bool = True) -> gr.DownloadButton:
    """Add a download that is off until there is something to download."""
    return gr.DownloadButton(
        label, interactive=False, min_width=140, elem_id=elem_id, visible=visible
    )


def add_style(handlers: StyleHandlers, prefix: str = "") -> tuple[gr.Radio, gr.Markdown]:
    """Add the choice of a style, and its description."""
    first = handlers.default_style
    value = None if first is None else first.name
    style = gr.Radio(handlers.menu, value=value, label="Style")
    about = i18n.for_page(lambda: text.describe_style(first))
    return style, gr.Markdown(about, elem_id=f"{prefix}about")


def add_quality(style: Style | None, prefix: str = "") -> gr.Radio:
    """Add the choice of a style's generators, the best first; hidden if there is only one."""
    return gr.Radio(
        QUALITIES,
        value="best",
        label="Quality",
        info="Fast is simpler, above all in the eyes, and takes a fraction of the time",
        visible=style is not None and style.fast,
        elem_id=f"{prefix}quality",
    )


def add_api_quality() -> gr.Radio:
    """Add the same for programs, for which the default is always the best."""
    return gr.Radio(QUALITIES, value="best", label="Quality", visible=False)


def add_former_keep_colour() -> gr.Checkbox:
    """Add what keeps the photo's colors for programs that know it by its former name."""
    return gr.Checkbox(label="Former name of keep_color", visible=False)


def add_background() -> tuple[gr.Radio, gr.ColorPicker]:
    """Add the choice of what is behind people, and a color for it, which is hidden at first."""
    choices = [(text.BACKGROUNDS[word], word) for word in results.BACKGROUNDS]
    background = gr.Radio(
        choices,
        value="draw",
        label="Background",
        info="Behind people; a sticker has a white rim and nothing around it",
        elem_id="background",
    )
    color = gr.ColorPicker(
        results.DEFAULT_COLOR,
        label="Color of the background",
        visible=False,
        elem_id="background-color",
    )
    return background, color


def add_people() -> gr.Gallery:
    """Add the thumbnails of the people in a photo, of which one can be picked."""
    return ResultGallery(
        label="People: press one to change it",
        columns=6,
        fit_columns=False,
        height="auto",
        interactive=False,
        allow_preview=False,
        buttons=[],
        visible=False,
        elem_id="people",
    )


def add_person(handlers: StyleHandlers) -> gr.Radio:
    """Add the choice for one of these people, hidden until one is picked."""
    return gr.Radio(
        [("Photo", results.PHOTO), *handlers.menu],
        label=i18n.for_page(lambda: text.describe_person(1)),
        info="A style for this person alone, or the photo",
        visible=False,
        elem_id="person",
    )


def add_strength() -> gr.Slider:
    """Add the slider from the photo to the cartoon."""
    info = "0 is the photo, 1 the full cartoon"
    return gr.Slider(0, 1, 1, step=0.05, label="Strength", info=info)


def scroll_to(elem_id: str) -> str:
    """Return JavaScript that scrolls to a component if it is below a phone's screen."""
    return f"""() => {{ const shown = document.querySelector('#{elem_id}');
if (shown.getBoundingClientRect().top > innerHeight / 2)
    setTimeout(() => shown.scrollIntoView({{behavior:
        matchMedia('(prefers-reduced-motion: reduce)').matches ? 'auto' : 'smooth'}}), 400) }}"""
