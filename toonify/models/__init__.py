"""The networks: one architecture, one file."""

from toonify.models.animegan import AnimeGANGenerator, AnimeGANLiteGenerator
from toonify.models.cartoongan import CartoonGANGenerator
from toonify.models.dcgan import SeedGenerator
from toonify.models.encoder import Encoder
from toonify.models.mobile_stylegan import MobileStyleGAN
from toonify.models.stylegan2 import StyleGAN2Generator
from toonify.models.toongan import ToonGANGenerator

ANIMEGAN_MODELS = {"animegan": AnimeGANGenerator, "animegan-lite": AnimeGANLiteGenerator}
PHOTO_MODELS = {**ANIMEGAN_MODELS, "cartoongan": CartoonGANGenerator}
FACE_MODELS = {"stylegan2": StyleGAN2Generator, "mobile-stylegan": MobileStyleGAN}
NOISE_MODELS = {"toongan": ToonGANGenerator, "toon-generator": SeedGenerator}
MODELS = {**PHOTO_MODELS, **FACE_MODELS, **NOISE_MODELS, "encoder": Encoder}

__all__ = [
    "ANIMEGAN_MODELS",
    "FACE_MODELS",
    "MODELS",
    "NOISE_MODELS",
    "PHOTO_MODELS",
    "AnimeGANGenerator",
    "AnimeGANLiteGenerator",
    "CartoonGANGenerator",
    "Encoder",
    "MobileStyleGAN",
    "SeedGenerator",
    "StyleGAN2Generator",
    "ToonGANGenerator",
]
