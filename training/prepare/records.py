"""Records of what a preparation command has done, kept beside its pictures as JSON."""

import json
from pathlib import Path


def read(path: Path) -> dict:
    """A JSON object, empty if there is no such file.

    Raises:
        ValueError: the file is not a JSON object.
    """
    if not path.exists():
        return {}
    try:
        content = json.loads(path.read_text())
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise ValueError(f"{path}: not a JSON object; delete it to start anew")
    return content


def write(content: dict, path: Path) -> None:
    """Writes JSON through a temporary name, so that a killed run leaves the old file whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    part.write_text(json.dumps(content, indent=1))
    part.replace(path)
