"""The networks: one architecture, one file."""

from toonify.models.animegan import AnimeGANGenerator, AnimeGANLiteGenerator
from toonify.models.encoder import Encoder
from toonify.models.mobile_stylegan import MobileStyleGAN
from toonify.models.stylegan2 import StyleGAN2Generator

PHOTO_MODELS = {"animegan": AnimeGANGenerator, "animegan-lite": AnimeGANLiteGenerator}
FACE_MODELS = {"stylegan2": StyleGAN2Generator, "mobile-stylegan": MobileStyleGAN}
MODELS = {**PHOTO_MODELS, **FACE_MODELS, "encoder": Encoder}

__all__ = [
    "FACE_MODELS",
    "MODELS",
    "PHOTO_MODELS",
    "AnimeGANGenerator",
    "AnimeGANLiteGenerator",
    "Encoder",
    "MobileStyleGAN",
    "StyleGAN2Generator",
]
