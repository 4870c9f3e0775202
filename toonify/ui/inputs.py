"""What a visitor sends, and what a visitor is told."""

import contextlib
import hashlib
import re
import secrets
from collections.abc import Callable, Mapping, Sequence

import gradio as gr
from PIL import Image

from toonify import images

DIGITS = 9  # of the numbers of people and faces who do not exist


def read_photo(source: str | bytes | None) -> Image.Image:
    """The photo, upright RGB. This is the only place that reads what a visitor sends."""
    if source is None:
        raise refusal("Choose a photo first: upload one, paste one or take one.")
    try:
        return images.load(source)
    except images.ImageError as error:
        raise refusal(str(error)) from error


def style(styles: Mapping, name: str, quality: str = "best", faces: str = "all"):
    """The `hub.Style` of a name; refused if there is none, or it does not draw like that."""
    if name not in styles:
        raise refusal(f"There is no style {name!r} here.")
    style = styles[name]
    if quality == "fast" and not style.fast:
        raise refusal(f"{style.title} has no fast generator: choose best quality.")
    if style.scope == "face" and faces == "none":
        raise refusal("This style draws faces only: choose all faces or the largest.")
    return style


def number(said, what: str) -> int:
    """The number of somebody who does not exist; anybody's where nothing is said."""
    text = str("" if said is None else said).strip() or str(secrets.randbelow(1_000_000))
    if not re.fullmatch(rf"[0-9]{{1,{DIGITS}}}", text):
        raise refusal(f"A {what}'s number has up to nine digits; without one, anybody comes.")
    return int(text)


def edits(said, directions: Mapping[str, str], farthest: float) -> dict[str, float]:
    """The edits that change something; refused if they are not along these directions."""
    said = {} if said is None else said
    right = isinstance(said, Mapping) and all(
        name in directions and isinstance(amount, (int, float)) and -farthest <= amount <= farthest
        for name, amount in said.items()
    )
    if not right:
        raise refusal(
            f"edits: expected numbers from {-farthest} to {farthest}, each with one of the"
            f" names {', '.join(directions) or '(there are none)'}"
        )
    return {name: amount for name, amount in said.items() if amount}


def choices(said, attributes: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """What a face is to have; refused if it is no variant of these attributes."""
    said = {} if said is None else said
    right = isinstance(said, Mapping) and all(
        name in attributes and variant in ("", *attributes[name]) for name, variant in said.items()
    )
    if not right:
        among = "; ".join(f"{name}: {', '.join(names)}" for name, names in attributes.items())
        raise refusal(f"choices: expected variants by name ({among or 'there are none'})")
    return {name: variant for name, variant in said.items() if variant}


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
