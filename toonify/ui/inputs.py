"""What a visitor sends, checked, and the errors that a visitor reads."""

import contextlib
import hashlib
import re
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import gradio as gr
from PIL import Image

from toonify import hub, images
from toonify.hub import Style
from toonify.ui import i18n

SEED_DIGITS = 9
MAX_REQUEST_S = 600  # of work for a request, but for videos
MAX_NUMBER = 1e12
MAX_TEXT = 4000  # characters
MAX_LISTED = 40  # choices in an error
MAX_EDIT = 3  # standard deviations along a direction; beyond, a face falls apart


class UserError(gr.Error):
    """An error that the visitor reads, translated, and that leaves no traceback in the log."""

    def __init__(self, message: str):
        message, title = i18n.translate(message), i18n.gettext("Error")
        super().__init__(message, title=title, print_exception=False)


class Stopped(UserError):
    """The visitor pressed Stop, chose another photo or left."""

    def __init__(self, message: str = "Stopped."):
        super().__init__(message)


def check_value(block: Any, value: Any) -> None:
    """Check what was sent for a component, before anything reads it.

    Args:
        block: the component.
        value: of JSON, as it was sent.

    Raises:
        UserError: the component cannot have this value.
    """
    name = getattr(block, "label", None) or "A value"
    if isinstance(block, (gr.Slider, gr.Number)):
        check_number(name, value, block.minimum, block.maximum, value is None and not block.value)
    elif isinstance(block, gr.Checkbox):
        if not isinstance(value, bool):
            raise UserError(f"{name}: expected true or false.")
    elif isinstance(block, gr.Radio | gr.Dropdown):
        check_choice(name, value, [key for _, key in block.choices], block.value)
    elif isinstance(block, gr.Textbox):
        if not isinstance(value, str | int | None) or len(str(value)) > MAX_TEXT:
            raise UserError(f"{name}: expected at most {MAX_TEXT} characters.")
    elif isinstance(block, gr.File) and block.file_count != "single":
        if value is not None and not (
            isinstance(value, list) and all(isinstance(file, dict) for file in value)
        ):
            raise UserError(f"{name}: expected a list of files that were uploaded.")
    elif isinstance(block, gr.File | gr.Image | gr.Video) and not isinstance(value, dict | None):
        raise UserError(f"{name}: expected a file that was uploaded.")


def check_number(name: str, value: Any, least, most, optional: bool = False) -> None:
    """Refuse what is not a finite number from `least` to `most`; a bound may be None.

    Raises:
        UserError: it is not such a number.
    """
    if optional and value is None:
        return
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not (isinstance(value, int) or -MAX_NUMBER <= value <= MAX_NUMBER):  # or NaN
        raise UserError(f"{name}: expected a number.")
    if (least is not None and value < least) or (most is not None and value > most):
        bound = f"less than {least}" if least is not None and value < least else None
        raise UserError(f"{name}: the number is {bound or f'greater than {most}'}.")
    if not -MAX_NUMBER <= value <= MAX_NUMBER:
        raise UserError(f"{name}: expected a smaller number.")


def check_choice(name: str, value: Any, choices: Sequence[Any], default: Any) -> None:
    """Refuse what is not among the choices; None is fine where it is the default.

    Raises:
        UserError: it is not a choice.
    """
    if value is None and default is None:
        return
    if not isinstance(value, str | int | float) or isinstance(value, bool) or value not in choices:
        known = ", ".join(str(choice) for choice in choices[:MAX_LISTED])
        raise UserError(f"{name}: the value is not in the list of choices ({known}).")


def read_photo(source: str | bytes | None) -> Image.Image:
    """Open a visitor's photo. Nothing else reads what a visitor sends.

    Args:
        source: path or content of the file.

    Returns:
        The photo, upright RGB.

    Raises:
        UserError: nothing was sent, or it is not a photo.
    """
    if source is None:
        raise UserError("Choose a photo first: upload, paste or take one.")
    try:
        photo = images.load(source)
    except images.ImageError as error:
        raise UserError(str(error)) from error
    if reduction := images.describe_reduction(source):
        i18n.show_info(f"The photo was {reduction}.")
    return photo


def get_style(
    styles: Mapping[str, Style], name: str, quality: str = "best", faces: str = "all"
) -> Style:
    """Find a style by name.

    Args:
        styles: the available styles by name.
        name: the requested one.
        quality: "best", or "fast", which not every style has.
        faces: "all", "largest" or "none", which a style that draws only faces cannot do.

    Returns:
        The style.

    Raises:
        UserError: there is no such style, or it cannot draw as requested.
    """
    if name not in styles:
        raise UserError(f"Unknown style {name!r}: expected one of {', '.join(styles)}.")
    style = styles[name]
    if quality == "fast" and not style.fast:
        raise UserError(f"{style.title} has no fast generator: choose the best quality.")
    if style.scope == "face" and faces == "none":
        raise UserError("This style draws faces only: choose all faces or the largest face.")
    return style


def parse_seed(value: str | int | None) -> int:
    """Read a seed.

    Args:
        value: up to nine digits; empty or None for a random seed.

    Returns:
        The seed, 0 to 999,999,999.

    Raises:
        UserError: it is not such a number.
    """
    text = str("" if value is None else value).strip() or str(secrets.randbelow(1_000_000))
    if not re.fullmatch(rf"[0-9]{{1,{SEED_DIGITS}}}", text):
        raise UserError("Enter a seed of up to nine digits, or leave it empty for a random face.")
    return int(text)


def parse_edits(value, directions: Mapping[str, str]) -> dict[str, float]:
    """Check how far a face is to be moved.

    Args:
        value: amounts by the names of directions, -`MAX_EDIT` to `MAX_EDIT`; None for no edits.
        directions: labels by name.

    Returns:
        The edits that change something.

    Raises:
        UserError: an unknown direction, or an amount out of range.
    """
    value = {} if value is None else value
    valid = isinstance(value, Mapping) and all(
        name in directions and isinstance(amount, (int, float)) and -MAX_EDIT <= amount <= MAX_EDIT
        for name, amount in value.items()
    )
    if not valid:
        raise UserError(
            f"edits: expected numbers from {-MAX_EDIT} to {MAX_EDIT} by name"
            f" ({', '.join(directions) or 'none are available'})"
        )
    return {name: amount for name, amount in value.items() if amount}


def parse_choices(value, attributes: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Check which variants of attributes a face is to have.

    Args:
        value: variants by the names of attributes, "" for what the seed gives; None for no choice.
        attributes: variants by name.

    Returns:
        The choices that change something.

    Raises:
        UserError: an unknown attribute or variant.
    """
    value = {} if value is None else value
    if isinstance(value, Mapping):
        value = {hub.current_name(str(name)): variant for name, variant in value.items()}
    valid = isinstance(value, Mapping) and all(
        name in attributes and variant in ("", *attributes[name]) for name, variant in value.items()
    )
    if not valid:
        available = "; ".join(f"{name}: {', '.join(names)}" for name, names in attributes.items())
        raise UserError(f"choices: expected variants by name ({available or 'none are available'})")
    return {name: variant for name, variant in value.items() if variant}


def identify(photo: str | bytes | None) -> str | None:
    """Name an upload by its content, which gradio's path has a hash of."""
    return hashlib.sha256(photo).hexdigest() if isinstance(photo, bytes) else photo


def get_session(request: gr.Request | None) -> str:
    """Return gradio's name of the open page that sent the request; "" if there is none."""
    return (request and request.session_hash) or ""


def track_progress(
    max_s: float = MAX_REQUEST_S, cancelled: Callable[[], bool] | None = None
) -> Callable[[float, str], None]:
    """Return a function that shows the visitor a pipeline's progress: fraction 0 to 1 and text.

    Args:
        max_s: the time after which it raises a `UserError` instead, which ends the request.
        cancelled: asked at each step; once it returns True, `Stopped` is raised.
    """
    progress = gr.Progress()  # is false while it is empty, so a function wraps it
    deadline = time.monotonic() + max_s
    language = i18n.get_language()  # pipelines may report from other threads

    def report(fraction: float, text: str) -> None:
        if time.monotonic() > deadline:
            raise UserError(f"Stopped after {max_s / 60:.0f} minutes.")
        if cancelled is not None and cancelled():
            raise Stopped
        with i18n.use_language(language):
            progress(fraction, i18n.translate(text))

    return report


@contextlib.contextmanager
def explain_hub_errors() -> Iterator[None]:
    """Show the visitor that the Hub does not answer; other errors are ours and go to the log."""
    try:
        yield
    except ConnectionError as error:
        raise UserError(str(error)) from error
