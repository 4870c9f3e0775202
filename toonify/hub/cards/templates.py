"""Templates of `hub_cards/` filled in; what is not known to fill them with is an error."""

import re

from huggingface_hub import CardData
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from toonify.files import find_project

FOLDER = find_project() / "hub_cards"


def fill(name: str, front: CardData, **values) -> str:
    """`hub_cards/NAME.md` as Markdown with `front` as its front matter, which it may name too.

    Raises:
        jinja2.UndefinedError: the template names a value that is not among `values`.
    """
    templates = Environment(
        loader=FileSystemLoader(FOLDER),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    body = templates.get_template(f"{name}.md").render(front=front, **values)
    body = re.sub(r"\n{3,}", "\n\n", body).strip()  # what was left out leaves no gap
    return f"---\n{front.to_yaml()}\n---\n\n{body}\n"
