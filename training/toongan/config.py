"""Settings and presets of ToonGAN and of the public recipe that it is compared with."""

from dataclasses import dataclass, replace

from training.core.config import replace_settings, setting
from training.gan.config import GANSettings, NoiseSettings

FACES = "--data: expected a folder or archive of cartoon faces"


@dataclass(frozen=True)
class ToonGANSettings(GANSettings):
    """A run of ToonGAN. Half-lives and ADA are counted in images."""

    FIXED = (
        *("resolution", "z_dim", "w_dim", "mapping_layers", "channels", "attributes"),
        *("discriminator", "d_base", "d_max", "mbstd_group"),
    )

    z_dim: int = setting(128, "size of the noise z", minimum=1)
    w_dim: int = setting(256, "size of w", minimum=1)
    mapping_layers: int = setting(4, "layers of the mapping network", minimum=1)
    warmup_images: int = setting(0, "images at the start without the discriminator")
    lr_init: float = setting(0.01, "learning rate of the generator during the warm-up")
    lr_init_last: float = setting(0.01, "learning rate at the end of the warm-up's second half")
    reconstruction_share: float = setting(
        0.0, "share of images that reconstruct a real one after the warm-up", maximum=1
    )
    attributes: bool = setting(
        False, "whether z determines the classes of the attributes in the data's attributes.csv"
    )
    code_dropout: float = setting(
        0.0, "share of reconstructed images whose columns code_... are random", maximum=1
    )
    classifier: str = setting(
        "", "file of training.toongan.auxiliary_classifier, which generated faces are to obey"
    )
    weight_classification: float = setting(1.0, "weight of the classification loss")
    weight_reconstruction: float = setting(3.0, "weight of the reconstruction distance")
    weight_prior: float = setting(0.01, "weight of the KL divergence of codes from the prior")
    weight_moments: float = setting(0.1, "weight of moment matching between codes and z")
    weight_diversity: float = setting(8.0, "weight of the diversity loss")
    weight_latent_nll: float = setting(0.05, "weight of the negative log-likelihood of z")
    channels: tuple[int, ...] = setting(
        (256, 256, 128, 64, 40, 16, 8), "channels of the generator at 4, 8, ... px, or per layer"
    )

    def check(self) -> None:
        """See `RunSettings.check`."""
        super().check()
        for name in ("d_base", "d_max", "mbstd_group"):
            self.refuse(getattr(self, name) < 1, name, "a whole number, at least 1")
        if not self.data:
            raise ValueError(FACES)
        share = self.reconstruction_share
        self.refuse(
            round(share * self.batch) >= self.batch,
            *("reconstruction_share", "a share that leaves a part of the batch"),
        )
        zero = "with --reconstruction-share 0: expected a larger share"
        if self.attributes and not share:
            raise ValueError(f"--attributes true {zero}")
        for name in ("classifier", "code_dropout"):
            if getattr(self, name) and not self.attributes:
                raise ValueError(f"--{name.replace('_', '-')}: expected --attributes true with it")
        if self.attributes and self.mirror:
            raise ValueError("--attributes true with --mirror true: expected --mirror false")
        if self.warmup_images and not share:
            raise ValueError(f"--warmup-images {self.warmup_images} {zero}")
        self.check_groups()
        adaptive = self.augment not in ("none", "diff") and self.ada_target
        if self.loss == "relativistic" and adaptive:
            raise ValueError(
                f"--ada-target {self.ada_target} with --loss relativistic: expected 0, as only "
                "differences of scores count there; --augment-p sets the augmentation"
            )
        check_length(self)


@dataclass(frozen=True)
class DCGANSettings(NoiseSettings):
    """A run of the public Toon-Generator's recipe; see `DCGAN` for what is not a setting."""

    FIXED = ("z_dim", "channels", "d_channels")

    epochs: float = setting(15.0, "passes over the data, at most --max-images")
    z_dim: int = setting(100, "size of the noise z", minimum=1)
    channels: tuple[int, ...] = setting(
        (2048, 2048, 1024, 512, 256, 128), "channels of the generator's layers"
    )
    d_channels: tuple[int, ...] = setting(
        (128, 256, 512, 1024, 2048), "channels of the discriminator's layers"
    )
    lr: float = setting(0.005, "learning rate of both networks")
    beta1: float = setting(0.5, "first beta of Adam")
    beta2: float = setting(0.999, "second beta of Adam")

    def check(self) -> None:
        """See `RunSettings.check`."""
        super().check()
        if not self.data:
            raise ValueError(FACES)
        bad = len(self.channels) != len(self.d_channels) + 1
        self.refuse(bad, "d_channels", f"one layer less than --channels {self.channels}")
        check_length(self)


def check_length(settings: NoiseSettings) -> None:
    """ValueError if the run is shorter than a batch."""
    bad = settings.max_images < settings.batch
    settings.refuse(bad, "batch", f"at most the {settings.max_images} images to train")


# StyleGAN2's adversarial training. The discriminator takes half of the generator's arithmetic.
# Faces are not mirrored: partings, glints and shoulders have sides.
STYLEGAN2 = ToonGANSettings(
    resolution=128,
    mirror=False,
    batch=16,
    max_images=300_000,
    d_base=1536,
    d_max=256,
    mixing=0.5,
    augment="toon",
    ema_half_life_images=5_000.0,
    log_every_images=400,
    sample_every_images=4_000,
    save_every_images=4_000,
    validate_every_images=20_000,
)

# For one or two cores without a GPU, where adversarial training alone needs days to find a face.
LAPTOP = replace(
    STYLEGAN2,
    discriminator="projected",
    loss="hinge",
    lr_g=0.004,
    lr_d=0.002,
    augment="none",
    warmup_images=12_000,
    reconstruction_share=0.5,
    decay_images=100_000,  # faces become clean only as learning rates fall
)

# For data whose attributes.csv has everything visible, as `training.prepare.cartoon_faces` writes:
# no encoder is needed, and few numbers of z are left beside the classes. Reconstruction teaches
# nearly everything; the adversarial phase at the end sharpens what a mean difference overlooks.
CONDITIONAL = replace(
    LAPTOP,
    attributes=True,
    z_dim=64,
    warmup_images=110_000,
    lr_init_last=0.001,
    lr_g=0.001,
    reconstruction_share=0.75,
    max_images=140_000,
    decay_images=30_000,
)

# github.com/Abdullah-Khan-47/Toon-Generator, `this_toon_does_not_exist.py`. What has no setting is
# fixed in `DCGANObjective` and the networks: BCE, no mirroring, augmentation, EMA or schedule.
# The notebook beside it, whose losses are published, ran 110 epochs with a batch of 1,024.
DCGAN = DCGANSettings(
    batch=512,
    max_images=1_000_000_000,  # the epochs end it
    precision="fp32",
    ema_half_life_images=0.0,
    log_every_images=5_000,
    sample_every_images=20_000,
    save_every_images=20_000,
    validate_every_images=20_000,
)

TOONGAN_PRESETS: dict[str, ToonGANSettings | DCGANSettings] = {
    "laptop": LAPTOP,
    "conditional": CONDITIONAL,
    "64": replace(LAPTOP, resolution=64, max_images=200_000),
    "256": replace(LAPTOP, resolution=256, max_images=600_000),
    "stylegan2": STYLEGAN2,
    "dcgan": DCGAN,
}


def epochs_to_images(settings: ToonGANSettings | DCGANSettings) -> ToonGANSettings | DCGANSettings:
    """The settings with `max_images` for `epochs` passes over the data, if they have epochs."""
    if not isinstance(settings, DCGANSettings):
        return settings
    from training.data.sources import find_pictures

    count = len(find_pictures(settings.data, "cartoon faces")[0])
    images = min(settings.max_images, round(settings.epochs * count))
    return replace_settings(settings, max_images=images)
