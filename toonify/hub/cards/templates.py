"""Fills the templates in `hub_cards/`; an unknown value is an error."""

import re

from huggingface_hub import CardData
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from toonify.files import find_project

FOLDER = find_project() / "hub_cards"


def fill(name: str, front: CardData, **values) -> str:
    """Fills the template `hub_cards/NAME.md`.

    Args:
        name: NAME.
        front: the front matter, which the template can also use.
        **values: values for the template.

    Returns:
        Markdown with front matter.

    Raises:
        jinja2.UndefinedError: the template uses a value that is not in `values`.
    """
    templates = Environment(
        loader=FileSystemLoader(FOLDER),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    body = templates.get_template(f"{name}.md").render(front=front, **values)
    body = re.sub(r"\n{3,}", "\n\n", body).strip()  # where sections are left out
    return f"---\n{front.to_yaml()}\n---\n\n{body}\n"
