"""The rooms in the order a photo goes through them, one pipeline a GAN."""

from toonify.pipelines.animegan import AnimeGANPipeline, Toon
from toonify.pipelines.stylegan import PortraitToon, StyleGANPipeline
from toonify.pipelines.toongan import ToonGANPipeline, Twin

__all__ = [
    "AnimeGANPipeline",
    "PortraitToon",
    "StyleGANPipeline",
    "Toon",
    "ToonGANPipeline",
    "Twin",
]
