"""The formats and the published weights of other projects, in a module without torch."""

from dataclasses import dataclass

KINDS = {
    "animegan2-pytorch": "bryandlee's AnimeGANv2 (.pt)",
    "pytorch-animegan": "ptran1203's AnimeGANv2 (.pt, .pth)",
    "cartoongan": "CartoonGAN as Yijunmaverick ported it (.pth, or a folder of .npy)",
    "rosinality": "rosinality's StyleGAN2 (.pt)",
    "nvlabs": "NVlabs' StyleGAN2 (.pkl)",
    "toon-generator": "the public Toon-Generator (G_arch.pth)",
    "random-face": "MobileStyleGAN in the wheel random-face (.whl)",
}
WRITABLE = ("rosinality", "nvlabs")  # the kinds that StyleGAN2 can be written as
# Upsampling modes of older releases -> those of today.
OLD_MODES = {"tf": "tf1", "align": "align_corners", "half": "half_pixel"}
PICKLE = ".pkl"  # suffix of the files that NVlabs' programs open


@dataclass(frozen=True)
class Published:
    """Weights that bryandlee/animegan2-pytorch publishes.

    Attributes:
        upsample: upsampling mode of the training: "tf1", "align_corners" or "half_pixel".
        license: their license, as text.
    """

    upsample: str
    license: str


RESEARCH = "unknown: the author states that he has no rights to the training images"
PUBLISHED = {
    "celeba_distill": Published("align_corners", "non-commercial, as its training data CelebA-HQ"),
    "face_paint_512_v1": Published("align_corners", RESEARCH),
    "face_paint_512_v2": Published("align_corners", RESEARCH),
    "paprika": Published(
        "tf1", "non-commercial, as the weights of TachibanaYoshino/AnimeGANv2 that it comes from"
    ),
}
