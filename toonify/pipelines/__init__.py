"""The rooms in the order a photo goes through them, one pipeline a GAN."""

from toonify.pipelines.animegan import AnimeGANPipeline, Toon
from toonify.pipelines.stylegan import PortraitToon, StyleGANPipeline
from toonify.pipelines.toongan import MatchedFace, ToonGANPipeline

__all__ = [
    "AnimeGANPipeline",
    "MatchedFace",
    "PortraitToon",
    "StyleGANPipeline",
    "Toon",
    "ToonGANPipeline",
]
