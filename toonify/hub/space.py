"""Collects the files of a Space with the app for the Hugging Face Hub."""

import re
from pathlib import Path

from huggingface_hub import SpaceCard, SpaceCardData

from toonify import hub
from toonify.files import PACKAGE, find_project
from toonify.hub import cards, checksums

FILES = ("app.py", "LICENSE", "NOTICE", "hub_cards/styles.jpg")
FOLDERS = ("toonify", "hub_cards/faces")  # faces: the app's examples
SUFFIXES = (".py", ".json", ".safetensors", ".md", ".jpg", ".png")
# Packages for tests, training and conversions, which the app does not need.
UNUSED_PACKAGES = (
    *("codespell", "dicebear-core", "dicebear-styles", "jinja2", "onnx"),
    *("mypy", "onnxruntime", "pillow-heif", "playwright", "pytest", "pytest-xdist"),
    *("resvg_py", "ruff"),
)


def files(repo_id: str) -> dict[str, Path | bytes]:
    """Collects the files of a Space.

    They are the app, the package with its weights, the examples, the licenses, requirements.txt
    without the packages that the app does not need, and README.md from `hub_cards/space.md`.

    Args:
        repo_id: owner/name of the Space.

    Returns:
        Path in the Space -> file or content.
    """
    top = find_project()
    found: dict[str, Path | bytes] = {name: top / name for name in FILES}
    for folder in FOLDERS:
        root = PACKAGE.parent if folder.startswith(PACKAGE.name) else top
        for path in sorted((root / folder).rglob("*")):
            name = path.relative_to(root)
            hidden = any(part.startswith((".", "__pycache__")) for part in name.parts)
            hidden |= path.is_relative_to(PACKAGE / "project")  # a wheel's copies of the top
            kept = path.suffix in SUFFIXES or path.name == checksums.LIST
            if path.is_file() and kept and not hidden:
                found[name.as_posix()] = path
    found["requirements.txt"] = filter_requirements((top / "requirements.txt").read_text()).encode()
    found["README.md"] = write_card(repo_id).encode()
    return found


def filter_requirements(text: str) -> str:
    """Removes `UNUSED_PACKAGES` and the comments above them from a requirements file."""
    kept: list[str] = []
    comments: list[str] = []
    in_comment = True
    for line in text.splitlines():
        if line.startswith("#"):
            comments = [*comments, line] if in_comment else [line]
            in_comment = True
            continue
        in_comment = False
        if re.split(r"[^\w-]", line)[0] not in UNUSED_PACKAGES:
            kept += [*comments, line]
            comments = []
    return "\n".join(kept) + "\n"


def write_card(repo_id: str) -> str:
    """Writes README.md of the Space, with the front matter of the project's README."""
    front = SpaceCard((find_project() / "README.md").read_text(encoding="utf-8")).data
    assert isinstance(front, SpaceCardData)
    front.models = front.models or None
    return cards.fill(
        "space",
        front,
        repo_id=repo_id,
        styles=[style for family in hub.CHOSEN for style in hub.styles(family)],
    )
