"""Cartoon portraits with three GANs.

`AnimeGANPipeline` draws photos, `StyleGANPipeline` draws portraits through w, where they can be
edited, `ToonGANPipeline` draws new cartoon faces, and `draw_video` draws videos.
"""

import importlib
import warnings

__version__ = "0.1.0"

_HOMES = {
    "AnimeGANPipeline": "toonify.pipelines.animegan",
    "DrawOptions": "toonify.pipelines.options",
    "MatchedFace": "toonify.pipelines.toongan",
    "PortraitOptions": "toonify.pipelines.options",
    "PortraitToon": "toonify.pipelines.stylegan",
    "StyleGANPipeline": "toonify.pipelines.stylegan",
    "Toon": "toonify.pipelines.animegan",
    "ToonGANPipeline": "toonify.pipelines.toongan",
    "VideoOptions": "toonify.pipelines.video",
    "draw_video": "toonify.pipelines.video",
    "find_person": "toonify.pipelines.background",
    "make_sticker": "toonify.pipelines.background",
    "replace_background": "toonify.pipelines.background",
    "styles": "toonify.hub",
}
# Old name -> new name; read for one more release.
_OLD_NAMES = {
    "ClipOptions": "VideoOptions",
    "Twin": "MatchedFace",
    "draw_clip": "draw_video",
}

__all__ = [
    "AnimeGANPipeline",
    "DrawOptions",
    "MatchedFace",
    "PortraitOptions",
    "PortraitToon",
    "StyleGANPipeline",
    "Toon",
    "ToonGANPipeline",
    "VideoOptions",
    "__version__",
    "draw_video",
    "find_person",
    "make_sticker",
    "replace_background",
    "styles",
]


def __getattr__(name: str):
    # Lazy: torch takes seconds, which `import toonify` and the command line's --help must not pay.
    if name in _OLD_NAMES:
        warnings.warn(
            f"toonify.{name} is now toonify.{_OLD_NAMES[name]}", DeprecationWarning, stacklevel=2
        )
        name = _OLD_NAMES[name]
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__():
    return sorted(__all__)
