"""Collects the files of a static Space with the browser app for the Hugging Face Hub."""

from collections.abc import Sequence
from pathlib import Path

from huggingface_hub import SpaceCard, SpaceCardData

from toonify import hub
from toonify.files import find_project
from toonify.hub import cards
from toonify.web.site import HEADERS, Part, build

FOLDERS = ("app/", "examples/", "models/", "runtime/")  # whose files have hashes in their names
# Of the front matter of the project's README; the others are about the Gradio app.
SHARED = ("title", "emoji", "colorFrom", "colorTo", "license")
DESCRIPTION = "Cartoon portraits in your browser, nothing is uploaded"


def space_files(folder: Path, runtime: Path, styles: Sequence[str] = ()) -> dict[str, Path | bytes]:
    """Builds the browser app, and collects the files of a Space with it.

    Args:
        folder: where it is built.
        runtime, styles: as for `build`.

    Returns:
        Path in the Space -> file or content.

    Raises:
        ValueError: as for `build`.
    """
    parts = build(folder, runtime, styles)
    files: dict[str, Path | bytes] = {
        path.relative_to(folder).as_posix(): path
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "_headers"  # of other hosts
    }
    return files | {"README.md": write_card(parts, styles).encode()}


def write_card(parts: Sequence[Part], styles: Sequence[str] = ()) -> str:
    """Writes README.md of the Space."""
    ours = SpaceCard((find_project() / "README.md").read_text(encoding="utf-8")).data.to_dict()
    front = SpaceCardData(
        **{key: ours[key] for key in SHARED},
        sdk="static",
        app_file="index.html",
        short_description=DESCRIPTION,
        tags=ours["tags"],
        # With these, browsers give the page threads.
        custom_headers={name.lower(): value for name, value in HEADERS.items() if "Origin" in name},
    )
    names = list(styles) or [style.name for style in hub.styles("animegan")]
    known = [hub.read_style(hub.resolve_model(name), name) for name in names]
    return cards.fill("static_space", front, parts=parts, styles=known)
