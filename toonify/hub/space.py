"""What a Space of the app holds on the Hugging Face Hub, made of the project's own files."""

import re
from pathlib import Path

from huggingface_hub import SpaceCard

from toonify import hub
from toonify.files import PACKAGE, find_project
from toonify.hub import cards

ALONE = ("app.py", "LICENSE", "NOTICE", "hub_cards/styles.jpg")
FOLDERS = ("toonify", "hub_cards/faces")  # faces: the app's examples
KINDS = (".py", ".json", ".safetensors", ".md", ".jpg", ".png")
# Packages that the app runs without: for tests, training and conversions.
LEFT_OUT = (
    *("codespell", "dicebear-core", "dicebear-styles", "jinja2", "onnx"),
    *("mypy", "onnxruntime", "playwright", "pytest", "pytest-xdist", "resvg_py", "ruff"),
)


def files(repo_id: str) -> dict[str, Path | bytes]:
    """Path in the Space `repo_id` -> file or content.

    That is the app, the package with its weights, the examples, licenses, requirements.txt without
    what the app does not need, and README.md from `hub_cards/space.md`.
    """
    top = find_project()
    found: dict[str, Path | bytes] = {name: top / name for name in ALONE}
    for folder in FOLDERS:
        root = PACKAGE.parent if folder.startswith(PACKAGE.name) else top
        for path in sorted((root / folder).rglob("*")):
            name = path.relative_to(root)
            hidden = any(part.startswith((".", "__pycache__")) for part in name.parts)
            hidden |= path.is_relative_to(PACKAGE / "project")  # a wheel's copies of the top
            if path.is_file() and path.suffix in KINDS and not hidden:
                found[name.as_posix()] = path
    found["requirements.txt"] = requirements((top / "requirements.txt").read_text()).encode()
    found["README.md"] = card(repo_id).encode()
    return found


def requirements(text: str) -> str:
    """A requirements file without `LEFT_OUT`, and without comments on nothing else."""
    kept, comments, fresh = [], [], True
    for line in text.splitlines():
        if line.startswith("#"):
            comments = [*comments, line] if fresh else [line]
            fresh = True
            continue
        fresh = False
        if re.split(r"[^\w-]", line)[0] not in LEFT_OUT:
            kept += [*comments, line]
            comments = []
    return "\n".join(kept) + "\n"


def card(repo_id: str) -> str:
    """README.md of the Space, with the front matter of the project's README."""
    front = SpaceCard((find_project() / "README.md").read_text(encoding="utf-8")).data
    front.models = front.models or None
    return cards.fill(
        "space",
        front,
        repo_id=repo_id,
        styles=[style for family in hub.CHOSEN for style in hub.styles(family)],
    )
