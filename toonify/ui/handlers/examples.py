"""Drawings of the examples that come with the package, so that they are shown at once.

`python -m release.examples` makes them from the bundled weights. Those of other weights are left
aside: then examples are drawn like any photo.
"""

import functools
import json
from pathlib import Path

from toonify import hub
from toonify.files import find_project
from toonify.hub import checksums

FOLDER = find_project() / "hub_cards" / "examples"
INDEX = "examples.json"  # {"photos": sha256 -> name, "styles": style -> sha256 of its weights}


def find_drawings(source: str | bytes | None, style_names: list[str]) -> dict[str, Path]:
    """Find what an example was drawn as.

    Args:
        source: path of the photo.
        style_names: the styles that are wanted.

    Returns:
        The drawings by style; empty if the photo is no example or one of them is missing.
    """
    index = read_index()
    if not isinstance(source, str) or not index["photos"]:
        return {}
    name = index["photos"].get(checksums.compute(Path(source)))
    current = find_weights()
    drawings = {
        style: FOLDER / f"{name}-{style}.jpg"
        for style in style_names
        if name and current.get(style) == index["styles"].get(style, "")
    }
    complete = len(drawings) == len(style_names)
    return drawings if complete and all(path.is_file() for path in drawings.values()) else {}


@functools.cache
def read_index() -> dict[str, dict[str, str]]:
    """Read the index of the drawings; empty parts if there is none."""
    path = FOLDER / INDEX
    if not path.is_file():
        return {"photos": {}, "styles": {}}
    return json.loads(path.read_text(encoding="utf-8"))


@functools.cache
def find_weights() -> dict[str, str]:
    """Return the sha256 of the generators' weights, by the names of bundled styles."""
    weights = {}
    for file, digest in checksums.read_list(hub.BUNDLED).items():
        style, *folders, name = file.split("/")
        if not folders and name in hub.WEIGHTS:
            weights[style] = digest
    return weights
