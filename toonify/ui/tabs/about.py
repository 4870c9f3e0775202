"""About: models, data, licenses, limits, what happens to photos, and how to train a style."""

from collections.abc import Iterable

import gradio as gr

import toonify
from toonify.hub import Style
from toonify.ui import i18n, text
from toonify.ui.i18n import gettext

MODELS = (
    "AnimeGANv2 draws whole photos and their faces, StyleGAN2 portraits through their latent space,"
    " and ToonGAN new faces from a seed. They run on this server."
)
DATA = (
    "The bundled styles of photos were learned from drawings that a program computed of portraits"
    " that allow commercial use; no artist's work was used. New faces were learned from ToonHead by"
    " Johan Melin (CC BY 4.0). The portrait network descends from NVIDIA's FFHQ StyleGAN2. The file"
    " NOTICE of the project lists every data set and weight."
)
LICENSES = "The code is under Apache-2.0. The weights of the styles:"
LIMITS = (
    "Very small or hidden faces, profiles, glasses and animals may come out wrong. A cartoon is no"
    " disguise: people can be recognized in it."
)
TRAINING = (
    "Every model can be trained again, also on your own pictures: docs/own_style.md of the project"
    " says how, step by step."
)


def build_about_tab(styles: Iterable[Style]) -> None:
    """Build the tab.

    Args:
        styles: those whose licenses are listed.
    """
    styles = list(styles)
    gr.Markdown(i18n.for_page(lambda: describe(styles)), elem_id="about-text")


def describe(styles: list[Style]) -> str:
    """Return the whole text, as Markdown."""
    weights = [f"- {gettext(style.title)}: {gettext(style.license)}" for style in styles]
    sections = {
        "Models": gettext(MODELS),
        "Data": gettext(DATA),
        "Licenses": text.escape("\n".join([gettext(LICENSES), "", *weights])),
        "Limits": gettext(LIMITS),
        "Your photos": f"{gettext(text.PRIVACY)} {gettext(text.MARK)}",
        "Your own style": gettext(TRAINING),
        "Version": f"Toonify {toonify.__version__}",
    }
    return "\n\n".join(f"### {gettext(title)}\n{body}" for title, body in sections.items())
