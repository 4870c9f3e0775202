"""Cartoon portraits: `AnimeGANPipeline.from_pretrained()` turns a photo into a drawing of it,
`StyleGANPipeline.from_pretrained()` draws its faces through w, where they can be changed, and
`ToonGANPipeline.from_pretrained()` draws new cartoon faces. `draw_clip` draws films."""

import importlib

__version__ = "0.1.0"

_HOMES = {
    "AnimeGANPipeline": "toonify.pipelines.animegan",
    "ClipOptions": "toonify.pipelines.video",
    "DrawOptions": "toonify.pipelines.options",
    "PortraitOptions": "toonify.pipelines.options",
    "PortraitToon": "toonify.pipelines.stylegan",
    "StyleGANPipeline": "toonify.pipelines.stylegan",
    "Toon": "toonify.pipelines.animegan",
    "ToonGANPipeline": "toonify.pipelines.toongan",
    "Twin": "toonify.pipelines.toongan",
    "draw_clip": "toonify.pipelines.video",
    "styles": "toonify.hub",
}

__all__ = [
    "AnimeGANPipeline",
    "ClipOptions",
    "DrawOptions",
    "PortraitOptions",
    "PortraitToon",
    "StyleGANPipeline",
    "Toon",
    "ToonGANPipeline",
    "Twin",
    "__version__",
    "draw_clip",
    "styles",
]


def __getattr__(name: str):
    # Lazy: torch takes seconds, which `import toonify` and the command line's --help must not pay.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__():
    return sorted(__all__)
