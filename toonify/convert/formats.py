"""What is known of checkpoints from elsewhere, without torch and before one is opened."""

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
BACK = ("rosinality", "nvlabs")  # the kinds that StyleGAN2 can be written as
# Upsampling modes of older releases.
OLD_MODES = {"tf": "tf1", "align": "align_corners", "half": "half_pixel"}
PICKLE = ".pkl"  # how files end that NVlabs' programs open


@dataclass(frozen=True)
class Published:
    """Weights that bryandlee/animegan2-pytorch publishes.

    `upsample` is the upsampling mode that they were trained with.
    """

    upsample: str
    license: str


RESEARCH = "unknown: trained on pictures that the maker says he has no rights to"
PUBLISHED = {
    "celeba_distill": Published(
        "align_corners", "non-commercial, as CelebA-HQ, on which it was distilled"
    ),
    "face_paint_512_v1": Published("align_corners", RESEARCH),
    "face_paint_512_v2": Published("align_corners", RESEARCH),
    "paprika": Published(
        "tf1", "non-commercial, as the weights of TachibanaYoshino/AnimeGANv2 that it was made from"
    ),
}
