"""What a visitor sends, and what a visitor is told."""

import contextlib
import hashlib
from collections.abc import Callable

import gradio as gr
from PIL import Image

from toonify import images


def read_photo(source: str | bytes | None) -> Image.Image:
    """The photo, upright RGB. This is the only place that reads what a visitor sends."""
    if source is None:
        raise refusal("Choose a photo first: upload one, paste one or take one.")
    try:
        return images.load(source)
    except images.ImageError as error:
        raise refusal(str(error)) from error


def digest(photo: str | bytes | None) -> str | None:
    """A name for what was sent: gradio's path has a hash of the content in it."""
    return hashlib.sha256(photo).hexdigest() if isinstance(photo, bytes) else photo


def session_of(request: gr.Request | None) -> str:
    """Whose request it is, by gradio's name for a page that is open."""
    return (request and request.session_hash) or ""


def told() -> Callable[[float, str], None]:
    """What a pipeline calls with its progress, for the visitor who waits."""
    progress = gr.Progress()  # which is false while it is empty, so it goes in a function
    return lambda fraction, text: progress(fraction, text)


@contextlib.contextmanager
def explained():
    """Tells the visitor when the Hub is away; other errors are ours, for the log."""
    try:
        yield
    except ConnectionError as error:
        raise refusal(str(error)) from error


def refusal(text: str) -> gr.Error:
    """An error that the visitor reads, and that leaves no traceback in the log."""
    return gr.Error(text, print_exception=False)
