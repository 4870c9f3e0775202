"""The rooms in the order a photo goes through them, one pipeline a GAN."""

from toonify.pipelines.animegan import AnimeGANPipeline, Toon

__all__ = ["AnimeGANPipeline", "Toon"]
