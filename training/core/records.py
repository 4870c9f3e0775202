"""JSON, text and binary files that are written completely or not at all."""

import json
from pathlib import Path

from toonify.files import atomic_write


def read(path: Path) -> dict:
    """Reads a JSON object; empty if there is no such file.

    Raises:
        ValueError: the file is not a JSON object.
    """
    if not path.exists():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise ValueError(f"{path}: not a JSON object; delete it to start again")
    return content


def write(content: dict, path: Path) -> None:
    """Writes a JSON object, one entry per line."""
    write_text(json.dumps(content, indent=1) + "\n", path)


def write_text(text: str, path: Path) -> None:
    """Writes text as UTF-8."""
    write_bytes(text.encode(), path)


def write_bytes(data: bytes, path: Path) -> None:
    """Writes bytes.

    Raises:
        OSError: the file cannot be written, as on a full disk; an existing one stays.
    """
    with atomic_write(path) as temporary:
        temporary.write_bytes(data)
