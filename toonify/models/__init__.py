"""The networks: one architecture, one file."""

from toonify.models.animegan import AnimeGANGenerator, AnimeGANLiteGenerator

MODELS = {"animegan": AnimeGANGenerator, "animegan-lite": AnimeGANLiteGenerator}

__all__ = ["MODELS", "AnimeGANGenerator", "AnimeGANLiteGenerator"]
