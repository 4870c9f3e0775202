"""Saves models: weights, style.json and card, in a folder that the pipelines open."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from toonify.hub.style import (
    DOWNLOADED,
    read_json,
)

if TYPE_CHECKING:
    from torch import nn

CARD = "README.md"
BEGINNINGS = {".jpg": b"\xff\xd8\xff", ".jpeg": b"\xff\xd8\xff", ".png": b"\x89PNG\r\n\x1a\n"}


def write_weights(network: "nn.Module", folder: Path, full: bool = False) -> None:
    """Writes config.json and the weights in half precision, or as they are if `full`.

    The network keeps its precision.
    """
    if full:
        network.save_pretrained(folder, safe_serialization=True)
        return
    half = type(network)(**{k: v for k, v in network.config.items() if not k.startswith("_")})
    half.load_state_dict(network.state_dict())
    half.half().save_pretrained(folder, variant="fp16", safe_serialization=True)


def with_license(style: dict[str, object]) -> dict[str, object]:
    """What style.json is to say: an empty `license` becomes a request to fill it in."""
    license = style["license"] or "unknown: say here what the data's licenses allow"
    return style | {"license": license}


def model_files(folder: Path, source: str = "") -> dict[str, Path | bytes]:
    """The files of a model's folder: path -> file or content.

    They are config.json, weights, style.json, the fast generator, the encoder, metrics.json,
    training.json, directions, the card, and the images beside them, in samples/ and in pictures/.
    A missing card is written from the others.

    Args:
        folder: what `resolve_model` returned.
        source: what the card passes to `from_pretrained`; default: the name of a bundled folder,
            or FOLDER.

    Raises:
        ValueError: a file is damaged; it names the file.
    """
    kept = [name for name in DOWNLOADED if (folder / name).is_file()]
    for name in kept:
        if name.endswith(".json"):
            read_json(folder / name)
        elif name.endswith(".safetensors"):
            refuse_torn(folder / name)
    files: dict[str, Path | bytes] = {name: folder / name for name in kept}
    files |= {path.relative_to(folder).as_posix(): path for path in pictures(folder)}
    if CARD not in files:
        from toonify.hub import cards  # here: it imports a template engine

        files[CARD] = cards.card_of(folder, source).encode()
    return files


def refuse_torn(file: Path) -> None:
    """ValueError for a file that is not whole safetensors; only its header is read."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, "np") as tensors:
            empty = not tensors.keys()
    except SafetensorError as error:
        raise ValueError(f"{file}: not a complete safetensors file ({error})") from error
    if empty:
        raise ValueError(f"{file}: holds no tensors")


def pictures(folder: Path) -> Iterator[Path]:
    """The sample pictures of a model's folder; ValueError for one that is none inside."""
    from toonify.hub import cards  # here: it takes a template engine along

    for path in cards.pictures_in(folder):
        start = BEGINNINGS[path.suffix.lower()]
        with open(path, "rb") as file:
            if file.read(len(start)) != start:
                raise ValueError(f"{path}: expected a picture in {path.suffix[1:].upper()} format")
        yield path
