"""Saves models: weights, style.json and card, in a folder that the pipelines open."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from toonify.files import discard_unfinished, move_files, temporary_path
from toonify.hub.style import CONFIG, DOWNLOADED, read_json

if TYPE_CHECKING:
    from diffusers.models.modeling_utils import ModelMixin

CARD = "README.md"
SIGNATURES = {".jpg": b"\xff\xd8\xff", ".jpeg": b"\xff\xd8\xff", ".png": b"\x89PNG\r\n\x1a\n"}


def write_weights(network: "ModelMixin", folder: Path, full: bool = False) -> None:
    """Writes config.json and the weights, each completely or not at all.

    The network is not changed. No other process may be writing weights to the folder.

    Args:
        network: one of `toonify.models`.
        folder: the folder; it is created if missing.
        full: keeps the precision of the weights instead of converting them to 16 bits.
    """
    variant = None if full else "fp16"
    if not full:
        half = type(network)(**{k: v for k, v in network.config.items() if not k.startswith("_")})
        half.load_state_dict(network.state_dict())
        network = half.half()
    folder.mkdir(parents=True, exist_ok=True)
    discard_unfinished([folder / CONFIG])  # of a process that was killed
    part = temporary_path(folder / CONFIG)
    part.mkdir()
    try:
        network.save_pretrained(part, variant=variant, safe_serialization=True)
        move_files(part, folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def with_license(style: dict[str, object]) -> dict[str, object]:
    """Replaces an empty `license` of style.json by a request to fill it in."""
    license = style["license"] or "unknown: say here what the data's licenses allow"
    return style | {"license": license}


def model_files(folder: Path, source: str = "") -> dict[str, Path | bytes]:
    """Collects the files of a model's folder for the Hub.

    They are config.json, weights, style.json, the fast generator, the encoder, metrics.json,
    training.json, directions, the card, and the images beside them, in samples/ and in pictures/.
    A missing card is written from the others.

    Args:
        folder: what `resolve_model` returned.
        source: what the card passes to `from_pretrained`; default: the name of a bundled folder,
            or FOLDER.

    Returns:
        Path in the repository -> file or content.

    Raises:
        ValueError: a file is damaged; the message names it.
    """
    kept = [name for name in DOWNLOADED if (folder / name).is_file()]
    for name in kept:
        if name.endswith(".json"):
            read_json(folder / name)
        elif name.endswith(".safetensors"):
            check_safetensors(folder / name)
    files: dict[str, Path | bytes] = {name: folder / name for name in kept}
    files |= {path.relative_to(folder).as_posix(): path for path in find_images(folder)}
    if CARD not in files:
        from toonify.hub import cards  # here: it imports a template engine

        files[CARD] = cards.make_card(folder, source).encode()
    return files


def check_safetensors(file: Path) -> None:
    """Checks by its header that a safetensors file is complete and has tensors."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, "np") as tensors:
            empty = not tensors.keys()
    except SafetensorError as error:
        raise ValueError(f"{file}: not a complete safetensors file ({error})") from error
    if empty:
        raise ValueError(f"{file}: holds no tensors")


def find_images(folder: Path) -> Iterator[Path]:
    """Yields the sample images of a model's folder; ValueError for one of another format."""
    from toonify.hub import cards  # here: it imports a template engine

    for path in cards.find_images(folder):
        signature = SIGNATURES[path.suffix.lower()]
        with open(path, "rb") as file:
            if file.read(len(signature)) != signature:
                raise ValueError(f"{path}: expected an image in {path.suffix[1:].upper()} format")
        yield path
