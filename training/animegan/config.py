"""Settings and presets of AnimeGANv2's training."""

import dataclasses
from dataclasses import dataclass

from training.core.config import RunSettings, setting

LITE_ONLY = {
    "patch": 1,
    "edge_kernel": 7,
    "levels": 3,
    "noise_inputs": False,
    "photo_skip": False,
}  # of animegan-lite: the defaults


@dataclass(frozen=True)
class AnimeGANSettings(RunSettings):
    """A run of AnimeGANv2. Loss weights hold for features calibrated to unit size."""

    FIXED = (
        *("style", "model", "width", "depth", "patch", "levels", "edge_kernel", "upsample"),
        *("noise_inputs", "photo_skip", "discriminator", "d_width", "spectral_norm", "optimizer"),
    )

    data: str = setting("", "folder with train_photo/ and STYLE/style/, STYLE/smooth/")
    style: str = setting(
        "", "name of the style and of its folder in --data; several, A,B, share their convolutions"
    )
    photos: str = setting("", "photos instead of train_photo/: folder, zip, tar, or owner/name")
    scenes: str = setting("", "photos without people for --scene-share: folder, zip, tar, ...")
    pictures: str = setting("", "style images instead of STYLE/style/: folder, zip, tar, ...")
    smooth: str = setting(
        "paired",
        "smoothed copies of the style images: of the same image, of any image, or computed",
        choices=("paired", "independent", "computed"),
    )
    license: str = setting("", "license of the trained style, for its style.json")
    model: str = setting("animegan", "generator", choices=("animegan", "animegan-lite"))
    width: int = setting(32, "channels of the generator's first layer", minimum=1)
    depth: int = setting(4, "residual blocks of the generator", minimum=1)
    patch: int = setting(1, "side of the pixel blocks of animegan-lite: 1, 2 or 4")
    levels: int = setting(3, "times that animegan-lite halves the size: 2 or 3")
    noise_inputs: bool = setting(
        False, "whether animegan-lite reads fixed noise too, for dots and strokes on flat areas"
    )
    photo_skip: bool = setting(
        False, "whether animegan-lite's last layer reads the photo too, for details of a pixel"
    )
    edge_kernel: int = setting(7, "kernel of animegan-lite's first and last layer: 3, 5 or 7")
    upsample: str = setting(
        "tf1",
        "upsampling of the generator; tf1 is TensorFlow 1's",
        choices=("tf1", "align_corners", "half_pixel"),
    )
    start_from: str = setting(
        "",
        "style whose generator to fine-tune: folder, name, or nearest for the bundled one that is "
        "most like the style images",
    )
    keep_start: float = setting(
        0.0, "share of --start-from's weights in what is sampled, scored and exported"
    )
    perceptual: str = setting(
        "mobilenet_v2",
        "feature network of the losses; vgg19 comes from the Hub",
        choices=("mobilenet_v2", "vgg19"),
    )
    content_stages: tuple[int, ...] = setting((), "stages of the content loss; '' for its own")
    style_stages: tuple[int, ...] = setting((), "stages of the style loss; '' for its own")
    feature_unit: float = setting(1.0, "factor of feature distances, for weights in other units")
    gram_unit: float = setting(1.0, "factor of Gram distances, for weights in other units")
    discriminator: str = setting(
        "animegan",
        "discriminator as published, or heads on features of a pretrained network",
        choices=("animegan", "features"),
    )
    d_width: int = setting(32, "channels of the discriminator's first layer", minimum=1)
    d_patch: int = setting(
        0, "side in px of the patches of --augment's crops that the discriminator sees; 0: crops"
    )
    spectral_norm: bool = setting(True, "whether the discriminator has spectral norm")
    color_shift: bool = setting(
        False, "whether style images are shifted to equal channel means, AnimeGAN's data_mean"
    )

    init_images: int = setting(10_000, "images of the first phase, without the discriminator")
    decay_images: int = setting(0, "images at the end over which learning rates fall to a tenth")
    decay: str = setting("linear", "curve of that fall", choices=("linear", "cosine"))
    optimizer: str = setting(
        "adam",
        "optimizer of the generator; muon is faster without a discriminator",
        choices=("adam", "muon"),
    )
    lr_init: float = setting(2e-4, "learning rate of the generator in the first phase")
    lr_g: float = setting(2e-5, "learning rate of the generator")
    lr_d: float = setting(4e-5, "learning rate of the discriminator")

    crop_sizes: tuple[tuple[int, int], ...] = setting(
        ((0, 256),), "side of the crops in px by number of images"
    )
    zoom: tuple[float, float] = setting((0.5, 1.0), "range of crop px per image px")
    mirror: bool = setting(True, "whether half of the crops are mirrored")
    face_share: float = setting(0.7, "share of crops on a face of faces.json", maximum=1)
    scene_share: float = setting(0.2, "share of photos without a face", maximum=1)
    permute_share: float = setting(0.35, "share of pairs with permuted channels", maximum=1)
    augment: bool = setting(
        False, "whether pairs of a teacher are rotated, recolored and lit alike"
    )
    eyes: tuple[float, float] = setting(
        (32.0, 84.0), "range of px between the eyes in crops of --augment"
    )
    cache_gb: float = setting(3.0, "memory for decoded images in GB")

    anchor: str = setting(
        "photo",
        "image that unpaired toons are compared with in content and color: the photo, or what the "
        "generator of --start-from draws of it",
        choices=("photo", "start"),
    )
    weight_adversarial: float = setting(1.0, "weight of the least-squares loss of both networks")
    weight_content: float = setting(1.0, "weight of the feature distance to the photo")
    weight_style: float = setting(1.0, "weight of the Gram distance to gray style images or pairs")
    weight_color: float = setting(10.0, "weight of the YUV distance to the photo or pair")
    weight_variation: float = setting(1.0, "weight of total variation")
    weight_pair: float = setting(0.0, "weight of L1 to the paired toon")
    weight_pair_features: float = setting(0.0, "weight of the feature distance to the paired toon")
    weight_chroma: float = setting(0.0, "weight of L1 of U and V to the paired toon")
    weight_texture: float = setting(0.0, "weight of L1 of edge energies to the paired toon")
    box_weight: float = setting(
        1.0, "weight of eyes in the losses of pairs, mouths nearly so", minimum=1
    )
    weight_d_real: float = setting(1.2, "discriminator's weight of style images")
    weight_d_fake: float = setting(1.2, "discriminator's weight of generated images")
    weight_d_gray: float = setting(1.2, "discriminator's weight of gray style images")
    weight_d_smooth: float = setting(0.8, "discriminator's weight of smoothed style images")
    r1_gamma: float = setting(0.0, "weight of the gradient penalty R1 at style images")
    r1_every: int = setting(16, "steps between two R1 penalties, weighted by as much", minimum=1)

    weight_region: float = setting(0.0, "AnimeGANv3: weight of superpixels; needs scikit-image")
    weight_roughness: float = setting(0.0, "AnimeGANv3: weight of guided filtering")
    weight_lab: float = setting(0.0, "AnimeGANv3: weight of the Lab distance to the photo")
    centered_gram: bool = setting(False, "AnimeGANv3: whether Grams omit channel means")
    label_smoothing: float = setting(0.0, "AnimeGANv3, with 0.1: distance of targets from 0 and 1")

    def check(self) -> None:
        """See `RunSettings.check`."""
        super().check()
        self.refuse(not 0 <= self.keep_start < 1, "keep_start", "0 or more and less than 1")
        bad = self.anchor == "start" and not self.start_from
        self.refuse(bad, "anchor", "photo, or a style in --start-from")
        sizes = self.crop_sizes
        bad = sizes[0][0] != 0 or list(sizes) != sorted(sizes)
        bad = bad or any(px % 8 or px < 32 for _, px in sizes)
        expected = "growing pairs IMAGES:PX from 0, PX a multiple of 8 and at least 32"
        self.refuse(bad, "crop_sizes", expected)
        low, high = self.zoom
        self.refuse(not 0 < low <= high, "zoom")
        bad = self.d_patch and not (self.augment and 16 <= self.d_patch <= sizes[0][1])
        self.refuse(bad, "d_patch", "0, or at least 16 and at most a crop's side, with --augment")
        low, high = self.eyes
        self.refuse(not 8 <= low <= high, "eyes", "a growing range of at least 8 px")
        if self.model != "animegan-lite":
            for name, default in LITE_ONLY.items():
                bad = getattr(self, name) != default
                self.refuse(bad, name, f"{default}, or --model animegan-lite")
        others = self.weight_pair_features or self.weight_chroma or self.weight_texture
        if not self.weight_pair and others:
            raise ValueError(
                "--weight-pair 0 turns off the other losses of pairs: expected "
                "--weight-pair-features 0, --weight-chroma 0 and --weight-texture 0 with it"
            )


# The published recipe, in its own units: features of the Caffe VGG19 on [0, 255]. The published
# logs' g_loss of about 1,100, 300 of it adversarial, is reached with features of mean size 650;
# a calibrated feature distance stands for that much. Inferred, not measured: the Caffe weights are
# no longer available. 101 epochs of 6,656 photos, 10 of them in the first phase.
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
    mirror=False,
    permute_share=0.0,
    weight_adversarial=300.0,
)


def published(style, content, gram, color, variation, discriminator) -> AnimeGANSettings:
    """A published preset: loss weights, and the discriminator's (real, fake, gray, smooth)."""
    real, fake, gray, smooth = discriminator
    return dataclasses.replace(
        PUBLISHED,
        style=style,
        **dict(weight_content=content, weight_style=gram, weight_color=color),
        **dict(weight_variation=variation, weight_d_real=real, weight_d_fake=fake),
        **dict(weight_d_gray=gray, weight_d_smooth=smooth),
    )


# Pairs drawn by a teacher, without a discriminator. Features and Grams of the paired toon give
# crisp lines, chroma and permuted channels keep all colors, crops near full size keep lines bold.
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
    permute_share=0.3,
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
    weight_d_gray=0.4,
    weight_d_smooth=1.0,
)

# Characters of `training/prepare/teacher`. The network works on blocks of 2x2 px, so that a whole
# face is within its reach for a sixth of the full generator's arithmetic. Muon without a
# discriminator first; at the end a discriminator of eyes and mouths. Distances of pixels and
# features blur what cannot be placed to the pixel: edge energies (`losses.texture`) keep it crisp,
# and the weight of features is low, as their gradients are ten times those of the rest.
CHARACTER = dataclasses.replace(
    PAIRED,
    model="animegan-lite",
    width=64,
    depth=8,
    patch=2,
    edge_kernel=3,
    levels=3,
    noise_inputs=True,
    smooth="computed",
    augment=True,
    box_weight=6.0,
    optimizer="muon",
    lr_init=3e-3,
    lr_g=3e-3,
    lr_d=1e-3,
    max_images=40_000,
    init_images=34_000,
    decay_images=20_000,
    crop_sizes=((0, 192), (30_000, 256)),
    scene_share=0.1,
    weight_content=0.0,
    weight_style=1.0,
    weight_color=0.0,
    weight_chroma=6.0,
    weight_pair=6.0,
    weight_pair_features=1.0,
    weight_texture=24.0,
    discriminator="features",
    d_patch=64,
    weight_adversarial=2.5,
    weight_d_gray=0.0,
    weight_d_smooth=0.2,
)

# Looks of dots and strokes, which are everywhere in a drawing and nowhere in its photo.
PRINTED = dataclasses.replace(
    CHARACTER,
    d_patch=0,
    weight_adversarial=4.0,
    weight_pair=4.0,
    weight_pair_features=0.5,
    weight_texture=60.0,
)

# Any images of a style on a machine without a GPU, from the bundled style that is nearest to them:
# a cartoon from the first image on. The discriminator looks at pretrained features, as a new one
# needs hours. Content and colors are those of the start's drawings: distances to the photo would
# undo its large eyes and its flat areas.
QUICK = AnimeGANSettings(
    smooth="computed",
    start_from="nearest",
    anchor="start",
    batch=4,
    max_images=20_000,
    max_minutes=240.0,
    init_images=0,
    decay_images=10_000,
    lr_g=1e-4,
    lr_d=5e-4,
    crop_sizes=((0, 160),),
    zoom=(0.4, 1.0),
    discriminator="features",
    weight_content=1.0,
    weight_style=2.0,
    weight_color=6.0,
    weight_variation=0.2,
    weight_d_gray=0.4,
    weight_d_smooth=0.4,
    ema_half_life_images=400.0,
    log_every_images=40,
    sample_every_images=200,
    save_every_images=400,
    validate_every_images=1_000,
)

CHARACTERS = ("film", "series", "anime", "comic", "gouache")

ANIMEGAN_PRESETS: dict[str, AnimeGANSettings] = {
    # Style, content, Gram, color and variation weights, (real, fake, gray, smooth) of D.
    "hayao": published("Hayao", 1.5, 2.5, 15.0, 1.0, (1.2, 1.2, 1.2, 0.8)),
    "shinkai": published("Shinkai", 1.2, 2.0, 10.0, 1.0, (1.7, 1.7, 1.7, 1.0)),
    "paprika": published("Paprika", 2.0, 0.6, 50.0, 0.1, (1.0, 1.0, 1.0, 0.005)),
    # Any images of a style, no pairs; the bundled network, calibrated features, and weights of its
    # own: beside the adversarial loss, color counts 200 times as much as in the published recipe.
    "unpaired": AnimeGANSettings(smooth="computed"),
    "quick": QUICK,
    # Any pairs, such as those of `training/prepare/cartoon_filter.py`; full generator.
    "paired": PAIRED,
    # Looks of `training/prepare/teacher`: one alone, or all five at once.
    **{look: dataclasses.replace(CHARACTER, style=look) for look in CHARACTERS[:3]},
    **{look: dataclasses.replace(PRINTED, style=look) for look in CHARACTERS[3:]},
    "characters": dataclasses.replace(CHARACTER, style=",".join(CHARACTERS), batch=5),
}

# A style's fast generator learns the style's toons of crops (training/prepare/style_pairs.py),
# pixel by pixel. Crops are used whole and not mirrored, as the style would draw those differently.
FAST = dataclasses.replace(
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
    scene_share=0.2,
    box_weight=6.0,
    permute_share=0.0,
    weight_content=0.0,
    weight_style=0.0,
    weight_color=0.0,
    weight_pair=10.0,
    weight_pair_features=0.0,
    weight_chroma=0.0,
)
ANIMEGAN_PRESETS["fast"] = FAST
# The fast generators of `characters`, all at once: blocks of 4x4 px, as far a reach, and the noise.
ANIMEGAN_PRESETS["fast_characters"] = dataclasses.replace(
    FAST,
    style=",".join(CHARACTERS),
    batch=5,
    width=40,
    patch=4,
    levels=3,
    noise_inputs=True,
    photo_skip=True,
)

# Pairs of a base's face and its toon, starting from a style with ink and flat areas. There is
# no content loss, as it would keep the face's shape. A short adversarial phase ends the run.
# Toons blur hair and ink; two fifths of the start's weights bring both back.
DISTILL_PRESETS: dict[str, AnimeGANSettings] = {
    "distill": dataclasses.replace(
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
        permute_share=0.05,
        weight_content=0.0,
    ),
}
