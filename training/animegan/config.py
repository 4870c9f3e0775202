"""Settings and presets of AnimeGANv2's training."""

import dataclasses
from dataclasses import dataclass

from training.core.config import RunSettings, setting


@dataclass(frozen=True)
class AnimeGANSettings(RunSettings):
    """A run of AnimeGANv2. Loss weights hold for features calibrated to unit size."""

    data: str = setting("", "folder with train_photo/ and STYLE/style/, STYLE/smooth/")
    style: str = setting("", "name of the style's folder in the data, and of what is trained")
    photos: str = setting("", "photos from elsewhere: folder, zip, tar, or owner/name on the Hub")
    scenes: str = setting("", "photos without people, from elsewhere, mixed in by --scene-share")
    pictures: str = setting("", "style pictures from elsewhere: folder, zip, tar, or owner/name")
    smooth: str = setting(
        "paired",
        "smoothed copy of each style picture: paired, independent "
        "(any picture's) or computed (no smooth/ needed)",
    )
    license: str = setting("", "license of the trained style, written into its style.json")
    model: str = setting("animegan", "generator: animegan or animegan-lite")
    width: int = setting(32, "channels of the generator's first layer")
    depth: int = setting(4, "residual blocks of the generator")
    patch: int = setting(1, "side of the pixel blocks that animegan-lite works on: 1, 2 or 4")
    levels: int = setting(3, "times that animegan-lite halves the size: 2 or 3")
    edge_kernel: int = setting(7, "size of animegan-lite's first and last convolution: 3, 5 or 7")
    upsample: str = setting("tf1", "tf1, align_corners or half_pixel: see the generator")
    start_from: str = setting("", "style folder or name whose generator to start from")
    keep_start: float = setting(
        0.0, "share of --start-from's weights in what is sampled, scored and exported, if any"
    )
    perceptual: str = setting("mobilenet_v2", "feature network of the losses, or vgg19 (Hub)")
    content_stages: tuple[int, ...] = setting((), "its stages compared with the photo; () its own")
    style_stages: tuple[int, ...] = setting((), "its stages compared with the style; () its own")
    feature_unit: float = setting(1.0, "factor on feature distances, for weights in other units")
    gram_unit: float = setting(1.0, "factor on Gram distances, for weights in other units")
    critic_width: int = setting(32, "channels of the discriminator's first layer")
    spectral_norm: bool = setting(True, "true or false: spectral norm in the discriminator")
    color_shift: bool = setting(
        False,
        "true or false: style pictures shifted to equal channel "
        "means (AnimeGAN's data_mean, computed for the style)",
    )

    init_images: int = setting(10_000, "images of the first phase: content (and pairs) only")
    decay_images: int = setting(0, "images at the end over which learning rates fall to a tenth")
    decay: str = setting("linear", "how they fall: linear or cosine")
    optimizer: str = setting("adam", "of the generator: adam, or muon, faster without a game")
    lr_init: float = setting(2e-4, "learning rate of the generator in the first phase")
    lr_g: float = setting(2e-5, "learning rate of the generator")
    lr_d: float = setting(4e-5, "learning rate of the discriminator")

    crop_sizes: tuple[tuple[int, int], ...] = setting(((0, 256),), "IMAGES:PX, ...: crop by time")
    zoom: tuple[float, float] = setting((0.5, 1.0), "least and most px drawn per px of a picture")
    mirror: bool = setting(True, "true or false: half of the crops are mirrored")
    face_share: float = setting(0.7, "share of crops on a face, where faces.json knows some")
    scene_share: float = setting(0.2, "share of photos without a face")
    recolor_share: float = setting(0.35, "share of pairs whose channels are permuted")
    cache_gb: float = setting(3.0, "memory for decoded pictures")

    weight_adversarial: float = setting(1.0, "of the least-squares GAN loss, both sides")
    weight_content: float = setting(1.0, "of feature distance to the photo")
    weight_style: float = setting(1.0, "of Gram distance to the gray style picture, or the pair")
    weight_color: float = setting(10.0, "of YUV distance to the photo (to the drawing, if paired)")
    weight_variation: float = setting(1.0, "of total variation")
    weight_pair: float = setting(0.0, "of L1 to the paired drawing")
    weight_pair_features: float = setting(0.0, "of feature distance to the paired drawing")
    weight_chroma: float = setting(0.0, "of L1 of U and V to the paired drawing")
    critic_real: float = setting(1.2, "discriminator: style pictures are real")
    critic_fake: float = setting(1.2, "discriminator: drawings are not")
    critic_gray: float = setting(1.2, "discriminator: gray style pictures are not")
    critic_smooth: float = setting(0.8, "discriminator: edge-smoothed style pictures are not")
    r1_gamma: float = setting(0.0, "of the slope penalty R1 on style pictures; 0: off")
    r1_every: int = setting(16, "steps between two R1 penalties, each weighted that much more")

    weight_region: float = setting(0.0, "AnimeGANv3: features of superpixels; needs scikit-image")
    weight_roughness: float = setting(0.0, "AnimeGANv3: distance to the guided-filtered drawing")
    weight_lab: float = setting(0.0, "AnimeGANv3: Lab distance to the photo")
    centered_gram: bool = setting(False, "AnimeGANv3, true or false: Grams without channel means")
    label_smoothing: float = setting(0.0, "AnimeGANv3 uses 0.1: scores aim at 0.9 and 0.1")


# The published recipe, in its own units: features of the Caffe VGG19 on [0, 255]. The published
# logs' g_loss of about 1,100, 300 of it adversarial, is reached with features of mean size 650;
# a calibrated feature distance stands for that much. Inferred, not measured: nobody can fetch the
# Caffe weights any more. 101 epochs of 6,656 photos, 10 of them in the first phase.
PUBLISHED = AnimeGANSettings(
    perceptual="vgg19",
    feature_unit=650.0,
    gram_unit=400.0,
    smooth="independent",
    color_shift=True,
    batch=12,
    max_images=672_256,
    init_images=66_560,
    sample_every_images=6_656,
    save_every_images=6_656,
    zoom=(1.0, 1.0),
    recolor_share=0.0,
    weight_adversarial=300.0,
)


def published(style, content, gram, color, variation, critic) -> AnimeGANSettings:
    """A published row: loss weights, then the discriminator's (real, fake, gray, smooth)."""
    real, fake, gray, smooth = critic
    return dataclasses.replace(
        PUBLISHED,
        style=style,
        **dict(weight_content=content, weight_style=gram, weight_color=color),
        **dict(weight_variation=variation, critic_real=real, critic_fake=fake),
        **dict(critic_gray=gray, critic_smooth=smooth),
    )


# Pairs drawn by a teacher, without a discriminator: features and Grams of the paired drawing make
# lines crisp, chroma and permuted channels keep every color, crops near full size keep lines bold.
PAIRED = AnimeGANSettings(
    max_images=8_000,
    batch=4,
    init_images=8_000,
    decay_images=5_000,
    lr_init=5e-4,
    lr_g=3e-4,
    lr_d=3e-4,
    crop_sizes=((0, 128),),
    zoom=(0.7, 1.3),
    scene_share=0.25,
    recolor_share=0.3,
    weight_adversarial=0.15,
    weight_content=0.1,
    weight_style=2.0,
    weight_color=2.0,
    weight_variation=0.0,
    weight_pair=4.0,
    weight_pair_features=3.0,
    weight_chroma=12.0,
    ema_half_life_images=300.0,
    save_every_images=1_000,
    sample_every_images=1_000,
    validate_every_images=1_000,
    critic_gray=0.4,
    critic_smooth=1.0,
)

ANIMEGAN_PRESETS: dict[str, AnimeGANSettings] = {
    # Style, content, Gram, color and variation weights, (real, fake, gray, smooth) of the critic.
    "hayao": published("Hayao", 1.5, 2.5, 15.0, 1.0, (1.2, 1.2, 1.2, 0.8)),
    "shinkai": published("Shinkai", 1.2, 2.0, 10.0, 1.0, (1.7, 1.7, 1.7, 1.0)),
    "paprika": published("Paprika", 2.0, 0.6, 50.0, 0.1, (1.0, 1.0, 1.0, 0.005)),
    # Any pictures of a style, no pairs; features calibrated, bundled network, one laptop.
    "unpaired": AnimeGANSettings(),
    # A look of `training/prepare/cartoon_filter.py`.
    "comic": dataclasses.replace(PAIRED, style="comic"),
    "anime": dataclasses.replace(PAIRED, style="anime", face_share=0.8),
    "gouache": dataclasses.replace(PAIRED, style="gouache", face_share=0.6),
}

# A style's fast generator learns what the style draws of crops (training/prepare/style_pairs.py),
# pixel by pixel. Crops are taken whole and as they are, since another window or a mirrored one
# would have been drawn otherwise.
LITE = dataclasses.replace(
    PAIRED,
    model="animegan-lite",
    width=48,
    depth=6,
    patch=2,
    edge_kernel=3,
    levels=2,
    smooth="computed",
    max_images=16_000,
    init_images=16_000,
    decay_images=16_000,
    decay="cosine",
    optimizer="muon",
    lr_init=3e-3,
    crop_sizes=((0, 256),),
    zoom=(1.0, 1.0),
    mirror=False,
    face_share=0.0,
    scene_share=0.0,
    recolor_share=0.0,
    weight_content=0.0,
    weight_style=0.0,
    weight_color=0.0,
    weight_pair=10.0,
    weight_pair_features=0.0,
    weight_chroma=0.0,
)
ANIMEGAN_PRESETS["lite"] = LITE

# Pairs of a base's face and its toon, from the weights of a style that inks and flattens already:
# the network only has to learn the toon's faces, and keeps the hair and grounds that toons blur.
# No likeness to the photo is asked for, as that would hold the face's shape. A short game ends it.
# Toons blur hair and ink; two fifths of the start's weights bring both back into the style.
DISTIL_PRESETS: dict[str, AnimeGANSettings] = {
    "distil": dataclasses.replace(
        PAIRED,
        start_from="comic",
        keep_start=0.4,
        smooth="computed",
        max_images=8_000,
        init_images=7_300,
        decay_images=4_500,
        crop_sizes=((0, 128), (6_600, 192)),
        zoom=(0.35, 0.85),
        face_share=0.85,
        recolor_share=0.05,
        weight_content=0.0,
    ),
}
