"""Folders of networks, as the pipelines open them: those to start from, and those that come out."""

from pathlib import Path

from torch import nn

from toonify import hub
from toonify.hub import saving
from training.core import records


def open_network(option: str, source: str, kinds: dict[str, type]) -> nn.Module:
    """The network of a folder or a name, in float32 on the CPU; `kinds` as `hub.load_model`'s.

    Raises:
        ValueError: there is none, or one of another kind; it names the option.
    """
    try:
        return hub.load_model(hub.resolve_model(source), kinds)
    except ValueError as error:
        raise ValueError(f"{option} {source}: {error}") from error


def write_network(network, folder: Path, style: dict[str, object]) -> None:
    """Writes config.json, weights in half precision, and style.json, unless that is there already.

    An empty `license` in `style` becomes a request to fill it in. The network keeps its precision.
    """
    saving.write_weights(network, folder)
    if not (folder / hub.STYLE).exists():
        records.write(saving.with_license(style), folder / hub.STYLE)
