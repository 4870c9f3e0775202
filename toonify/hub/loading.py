"""Loads networks from a folder: strict keys and shapes, safetensors only."""

import inspect
import math
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn
from toonify.hub.resolve import find
from toonify.hub.style import (
    CONFIG,
    DEFAULT_BASE,
    DEFAULT_ENCODER,
    OWN_ENCODER,
    THE_STYLES_OWN,
    generator_folder,
    read_json,
    weights_file,
)


def encoder_of(base: Path) -> Path | None:
    """The folder of a base's encoder, where nobody names one; None if there is none.

    It is `encoder` in the base's folder, else the bundled one if the base is built as the bundled
    base is.
    """
    own = base / OWN_ENCODER
    if (own / CONFIG).is_file():
        return find(own)
    alike = built(base) == built(find(DEFAULT_BASE))
    return find(DEFAULT_ENCODER) if alike else None


def built(folder: Path) -> dict:
    """The class and settings of a folder's network."""
    config = read_json(folder / CONFIG)
    return {key: value for key, value in config.items() if key != "_diffusers_version"}


# The network in it ----------------------------------------------------------------------------


def load_model(folder: str | Path, classes: dict[str, type]) -> "nn.Module":
    """The network that a folder holds, in float32 and evaluation mode, on the CPU.

    `classes` are the networks that may be named by `_class_name`. Strict: a class or setting that
    is not known, a tensor that is missing, left over or of another shape is a ValueError that names
    it. Only safetensors are read. What a fast generator's file leaves to its style's (see
    `THE_STYLES_OWN`) is read from there.
    """
    import torch

    folder = Path(folder)
    cls, settings = read_config(folder / CONFIG, classes)
    file = weights_file(folder)
    tensors, about = read_tensors(file)
    try:
        # Shapes are compared before any memory is taken for them.
        with torch.device("meta"):
            expected = {key: value.shape for key, value in cls(**settings).state_dict().items()}
    except (TypeError, ValueError, RuntimeError, ZeroDivisionError) as error:
        raise ValueError(f"{folder / CONFIG}: {cls.__name__} refuses it: {error}") from error
    if THE_STYLES_OWN.items() <= about.items():
        own, _ = read_tensors(weights_file(folder.parent))
        tensors = {key: value for key, value in own.items() if key in expected} | tensors
    missing = [key for key in expected if key not in tensors]
    unexpected = [key for key in tensors if key not in expected]
    shapes = [
        f"{key} is {tuple(tensors[key].shape)} instead of {tuple(shape)}"
        for key, shape in expected.items()
        if key in tensors and tensors[key].shape != shape
    ]
    for what, keys in (
        ("missing", missing),
        ("unexpected", unexpected),
        ("of the wrong shape", shapes),
    ):
        if keys:
            more = f" and {len(keys) - 3} more" if len(keys) > 3 else ""
            raise ValueError(
                f"{file} does not fit {cls.__name__}: {what}: {', '.join(keys[:3])}{more}"
            )
    tensors = {k: v.float() if v.is_floating_point() else v for k, v in tensors.items()}
    broken = [key for key, value in tensors.items() if not math.isfinite(float(value.sum()))]
    if broken:
        raise ValueError(f"{file}: {broken[0]} holds values that are not finite numbers")
    network = cls(**settings)
    network.load_state_dict(tensors)
    return network.eval()


def read_tensors(file: Path) -> tuple[dict, dict[str, str]]:
    """The tensors of a safetensors file by name, and what its header says beside them.

    Raises ValueError if it is no such file, or not all of it.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, "pt") as opened:
            names = opened.keys()
            return {name: opened.get_tensor(name) for name in names}, opened.metadata() or {}
    except SafetensorError as error:
        raise ValueError(f"{file}: not a whole safetensors file ({error})") from error


def generator_files(folder: Path, quality: str = "best") -> list[Path]:
    """The files that a style's generator of that quality is read from; see `generator_folder`."""
    inner = generator_folder(folder, quality)
    return [inner / CONFIG, *(weights_file(place) for place in dict.fromkeys((inner, folder)))]


def read_config(file: Path, classes: dict[str, type]) -> tuple[type, dict]:
    """The class that config.json names and the settings to build it with."""
    config = read_json(file)
    by_name = {cls.__name__: cls for cls in classes.values()}
    name = config.get("_class_name")
    if name not in by_name:
        raise ValueError(f"{file}: _class_name is {name!r}, expected one of {', '.join(by_name)}")
    settings = {key: value for key, value in config.items() if not key.startswith("_")}
    known = set(inspect.signature(by_name[name].__init__).parameters) - {"self"}
    if newer := sorted(set(settings) - known):
        raise ValueError(
            f"{file}: {name} here has no setting {newer[0]!r}; the style was made by a newer"
            " Toonify: update it"
        )
    return by_name[name], settings
