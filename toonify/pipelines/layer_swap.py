"""Layer swaps as callers ask for them: which toon generator, and how it is mixed with the base."""

import dataclasses
from pathlib import Path

from toonify import hub


@dataclasses.dataclass(frozen=True)
class LayerSwap:
    """Which generator draws a toon, out of the base and the toon generator `style`.

    Layers below `resolution` px are those of the one that `shape_from` names ("toon" or "base"),
    the others the other's; the passage is `width` octaves wide, 0 a hard switch.
    """

    style: str
    resolution: int = hub.Style.blend
    width: float = 0.0
    shape_from: str = "toon"


def swap_for(
    style: str | Path | None = None,
    blend: int | None = None,
    blend_width: float = 0.0,
    shape_from: str = "toon",
) -> LayerSwap:
    """The layer swap that a caller's options mean; ValueError for options that mean none.

    A `blend` of None is what the style asks for.
    """
    from toonify.models.layer_swap import check_switch

    style = str(style or default_toon())
    if blend is None:
        blend = find_toon(style).blend
    check_switch(blend, blend_width, shape_from)
    return LayerSwap(style, blend, blend_width, shape_from)


def find_toon(style: str) -> hub.Style:
    """The description of a toon generator."""
    known = {toon.name: toon for toon in hub.styles("stylegan")}
    return known.get(style) or hub.read_style(hub.resolve_model(style), style)


def default_toon() -> str:
    """The name of the first bundled toon generator."""
    toons = hub.styles("stylegan")
    if not toons:
        raise ValueError("no toon generator is bundled: give style= a folder or owner/repo")
    return toons[0].name
