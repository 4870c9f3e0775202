"""The networks: one architecture, one file."""

from toonify.models import dcgan
from toonify.models.animegan import AnimeGANGenerator, AnimeGANLiteGenerator
from toonify.models.cartoongan import CartoonGANGenerator
from toonify.models.dcgan import DCGANGenerator
from toonify.models.encoder import Encoder
from toonify.models.mobile_stylegan import MobileStyleGAN
from toonify.models.parser import FaceParser
from toonify.models.stylegan2 import StyleGAN2Generator
from toonify.models.toongan import ToonGANGenerator

ANIMEGAN_MODELS = {"animegan": AnimeGANGenerator, "animegan-lite": AnimeGANLiteGenerator}
PHOTO_MODELS = {**ANIMEGAN_MODELS, "cartoongan": CartoonGANGenerator}
FACE_MODELS = {"stylegan2": StyleGAN2Generator, "mobile-stylegan": MobileStyleGAN}
NOISE_MODELS = {"toongan": ToonGANGenerator, "toon-generator": DCGANGenerator}
MODELS = {
    **PHOTO_MODELS,
    **FACE_MODELS,
    **NOISE_MODELS,
    "encoder": Encoder,
    "parser": FaceParser,
}

__all__ = [
    "ANIMEGAN_MODELS",
    "FACE_MODELS",
    "MODELS",
    "NOISE_MODELS",
    "PHOTO_MODELS",
    "AnimeGANGenerator",
    "AnimeGANLiteGenerator",
    "CartoonGANGenerator",
    "DCGANGenerator",
    "Encoder",
    "FaceParser",
    "MobileStyleGAN",
    "StyleGAN2Generator",
    "ToonGANGenerator",
]


def __getattr__(name: str):
    if name == "SeedGenerator":  # read for one more release
        return dcgan.SeedGenerator
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
