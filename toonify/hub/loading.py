"""Loads networks from a folder: strict keys and shapes, safetensors only."""

import inspect
import math
from pathlib import Path
from typing import Any

from toonify.hub.checksums import check_bundled
from toonify.hub.resolve import resolve_model
from toonify.hub.style import (
    CONFIG,
    DEFAULT_BASE,
    DEFAULT_ENCODER,
    OWN_ENCODER,
    generator_folder,
    read_json,
    warn_of_old_name,
    weights_file,
)

MAX_LAYERS = 64  # of `depth`, `layers` and lists: each takes time before any shape is compared
MAX_SETTING = 4096  # of a number in config.json: larger ones only exhaust memory
# Settings of older versions that are gone, and the value that changed nothing.
GONE_SETTINGS = {"tail": 0}
COUNTS = ("depth", "layers", "mapping_layers")
OLD_CLASSES = {"SeedGenerator": "DCGANGenerator"}  # read for one more release


def encoder_of(base: Path) -> Path | None:
    """The folder of a base's encoder: `encoder` in the base's folder, else the bundled one.

    Returns:
        None if there is no `encoder` and the base has another architecture than the bundled base.
    """
    own = base / OWN_ENCODER
    if (own / CONFIG).is_file():
        return resolve_model(own)
    same = architecture(base) == architecture(resolve_model(DEFAULT_BASE))
    return resolve_model(DEFAULT_ENCODER) if same else None


def architecture(folder: Path) -> dict:
    """The class and settings of a folder's network."""
    config = read_json(folder / CONFIG)
    return {key: value for key, value in config.items() if key != "_diffusers_version"}


# The network in it ----------------------------------------------------------------------------


# What constructors of networks raise for settings that they do not expect.
SETTINGS_ERRORS = (
    TypeError,
    ValueError,
    RuntimeError,
    ArithmeticError,
    LookupError,
    AttributeError,
)


def load_model(folder: str | Path, classes: dict[str, Any]) -> Any:
    """Loads the network of a folder, in float32 and evaluation mode, on the CPU.

    Args:
        folder: what `resolve_model` returned.
        classes: name -> class of the networks that config.json may name, as
            `toonify.models.MODELS`.

    Raises:
        ValueError: config.json names another class or setting, or a tensor is missing, unexpected,
            of another shape or not finite; it names the file and the tensor. Or a bundled file
            has another hash than listed.

    Example:
        >>> from toonify.models import MODELS
        >>> load_model(resolve_model("faces"), MODELS).resolution
        128
    """
    import torch

    folder = Path(folder)
    file = weights_file(folder)
    check_bundled(folder / CONFIG, file)
    cls, settings = read_config(folder / CONFIG, classes)
    tensors = read_tensors(file)
    try:
        # Shapes are compared before any memory is taken for them.
        with torch.device("meta"):
            expected = {key: value.shape for key, value in cls(**settings).state_dict().items()}
    except SETTINGS_ERRORS as error:
        raise ValueError(f"{folder / CONFIG}: invalid for {cls.__name__}: {error}") from error
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


def read_tensors(file: Path) -> dict:
    """The tensors of a safetensors file by name; ValueError for a file that is not whole."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(file)
    except SafetensorError as error:
        raise ValueError(f"{file}: not a complete safetensors file ({error})") from error


def generator_files(folder: Path, quality: str = "best") -> list[Path]:
    """config.json and weights of a style's generator of that quality; see `generator_folder`."""
    inner = generator_folder(folder, quality)
    return [inner / CONFIG, weights_file(inner)]


def read_config(file: Path, classes: dict[str, Any]) -> tuple[Any, dict]:
    """The class that config.json names and the settings to build it with; see `load_model`."""
    config = read_json(file)
    by_name = {cls.__name__: cls for cls in classes.values()}
    name = config.get("_class_name")
    if isinstance(name, str) and name in OLD_CLASSES:
        warn_of_old_name(f"{file}: the class {name!r}", repr(OLD_CLASSES[name]))
        name = OLD_CLASSES[name]
    if not isinstance(name, str) or name not in by_name:
        raise ValueError(f"{file}: _class_name is {name!r}, expected one of {', '.join(by_name)}")
    settings = {
        key: value
        for key, value in config.items()
        if not key.startswith("_") and (key not in GONE_SETTINGS or GONE_SETTINGS[key] != value)
    }
    settings = by_name[name].upgrade(settings)
    known = set(inspect.signature(by_name[name]).parameters)
    if newer := sorted(set(settings) - known):
        raise ValueError(
            f"{file}: {name} has no setting {newer[0]!r}; the model needs another version of"
            " Toonify"
        )
    for key, value in settings.items():
        for number in value if isinstance(value, list) else [value]:
            if isinstance(number, int | float) and not abs(number) <= MAX_SETTING:
                raise ValueError(
                    f"{file}: {key} is {value!r}, expected numbers up to {MAX_SETTING}"
                )
        size = len(value) if isinstance(value, list) else value if key in COUNTS else 0
        if isinstance(size, int | float) and size > MAX_LAYERS:
            raise ValueError(f"{file}: {key} is too large, expected at most {MAX_LAYERS}")
    return by_name[name], settings
