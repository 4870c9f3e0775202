"""Handlers that all tabs with a choice of styles share."""

from collections.abc import Callable, Sequence

import gradio as gr

from toonify.hub import Style
from toonify.ui import text


class StyleHandlers:
    """What the tabs share whose visitors choose a style.

    Args:
        styles: the styles to choose from.
        load: gives the pipeline of a style: `load(name, quality)`.
    """

    def __init__(self, styles: Sequence[Style], load: Callable):
        self.styles = {style.name: style for style in styles}
        self.load = load

    @property
    def menu(self) -> list[tuple[str, str]]:
        """The titles and names of the styles."""
        return [(style.title, style.name) for style in self.styles.values()]

    @property
    def default_style(self) -> Style | None:
        """The first style; None if there are no styles."""
        return next(iter(self.styles.values()), None)

    def describe(self, name: str) -> str:
        """Describe a style, with its license and source, as Markdown."""
        return text.describe_style(self.styles.get(name))

    def choose(self, name: str) -> tuple:
        """Describe a style, and show the choice of quality if it has a fast generator."""
        style = self.styles.get(name)
        if style is not None and style.fast:
            return self.describe(name), gr.update(visible=True)
        return self.describe(name), gr.update(value="best", visible=False)
