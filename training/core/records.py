"""Small files that are whole or not there: written under another name, then renamed."""

import json
import os
import uuid
from pathlib import Path


def read(path: Path) -> dict:
    """A JSON object, empty if there is no such file.

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
        raise ValueError(f"{path}: not a JSON object; delete it to start anew")
    return content


def write(content: dict, path: Path) -> None:
    """Writes a JSON object, one entry a line."""
    write_text(json.dumps(content, indent=1) + "\n", path)


def write_text(text: str, path: Path) -> None:
    """Writes text as UTF-8."""
    write_bytes(text.encode(), path)


def write_bytes(data: bytes, path: Path) -> None:
    """Writes bytes; a killed or failed write leaves the old file whole and nothing beside it.

    Raises:
        OSError: it could not be written, as on a full disk.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{uuid.uuid4().hex}.part")
    try:
        part.write_bytes(data)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
