"""Reads and writes folders of networks, as the pipelines open them."""

import re
from pathlib import Path

from torch import nn

from toonify import hub
from toonify.hub import saving
from training.core import records

COUNT = re.compile(r"\d[\d,]*")  # of images, in a description


def open_network(option: str, source: str, kinds: dict[str, type]) -> nn.Module:
    """Opens the network of an option, in float32 on the CPU.

    Args:
        option: the option's name, for messages.
        source: a folder or a name that `hub.resolve_model` knows.
        kinds: the classes that it may have, as for `hub.load_model`.

    Raises:
        ValueError: there is no such network, or it has another class.
    """
    try:
        return hub.load_model(hub.resolve_model(source), kinds)
    except ValueError as error:
        raise ValueError(f"{option} {source}: {error}") from error


def write_network(network, folder: Path, style: dict[str, object]) -> None:
    """Writes config.json, weights in half precision, and style.json if there is none yet.

    Of a style.json that is there, only the count in the description is brought up to date, and only
    if nobody has changed the words around it.

    Args:
        network: the network, whose own precision stays.
        folder: the folder to write into.
        style: the content of style.json; an empty `license` becomes a request to fill it in.
    """
    saving.write_weights(network, folder)
    path = folder / hub.STYLE
    if not path.exists():
        records.write(saving.with_license(style), path)
        return
    known, description = hub.read_json(path), str(style["description"])
    same_words = COUNT.sub("", str(known.get("description"))) == COUNT.sub("", description)
    if same_words and known["description"] != description:
        records.write(known | {"description": description}, path)
