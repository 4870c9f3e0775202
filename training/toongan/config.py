"""Settings of a ToonGAN run and of the public recipe, and the presets that they start from."""

import dataclasses
from dataclasses import dataclass, replace

from training.core.config import setting
from training.data.sources import find_pictures
from training.gan.config import GANSettings, NoiseSettings, refuse_bad_game, refuse_odd_groups


@dataclass(frozen=True)
class ToonGANSettings(GANSettings):
    """A run of ToonGAN. Half-lives and ADA are counted in images."""

    z_dim: int = setting(128, "size of the noise z")
    w_dim: int = setting(256, "size of w")
    mapping_layers: int = setting(4, "layers of the mapping network")
    warm_images: int = setting(0, "images at the start in which it only learns to redraw the data")
    lr_init: float = setting(0.01, "learning rate of the generator in those images")
    lr_init_last: float = setting(0.01, "what it nears from half of those images on")
    redraw: float = setting(
        0.0, "share of pictures that redraw a real one, once the game has begun"
    )
    attributes: bool = setting(
        False, "true or false: z chooses variants of the attributes that the data's table names"
    )
    weight_redraw: float = setting(3.0, "of the distance between redrawn and real pictures")
    weight_prior: float = setting(0.01, "of the nats that codes of redrawn pictures take")
    weight_match: float = setting(0.1, "of the nats by which codes as a whole differ from z")
    weight_variety: float = setting(8.0, "of how unlike noise's faces differ, to how real ones do")
    weight_recover: float = setting(0.05, "of the nats that z keeps to itself in pictures of noise")
    channels: tuple[int, ...] = setting(
        (256, 256, 128, 64, 40, 16, 8),
        "of the generator at 4, 8, ... px, past --resolution left out; of seed's by layer",
    )


@dataclass(frozen=True)
class SeedSettings(NoiseSettings):
    """A run of the public Toon-Generator, as published; see `SEED` for what is not a setting."""

    epochs: float = setting(15.0, "passes over the data; the run ends there or at --max-images")
    z_dim: int = setting(100, "size of the noise z")
    channels: tuple[int, ...] = setting(
        (2048, 2048, 1024, 512, 256, 128), "of the generator's layers, to the picture"
    )
    critic_channels: tuple[int, ...] = setting(
        (128, 256, 512, 1024, 2048), "of the discriminator's layers, from the picture on"
    )
    lr: float = setting(0.005, "learning rate of both networks")
    beta1: float = setting(0.5, "Adam's first beta")
    beta2: float = setting(0.999, "Adam's second beta")


# StyleGAN2's game. The discriminator takes half of the generator's arithmetic. Faces are not
# mirrored: partings, glints and shoulders have sides. Augmentation starts at none.
STYLEGAN2 = ToonGANSettings(
    resolution=128,
    mirror=False,
    batch=16,
    max_images=300_000,
    critic_base=1536,
    critic_max=256,
    mixing=0.5,
    augment="toon",
    ema_half_life_images=5_000.0,
    log_every_images=400,
    sample_every_images=4_000,
    save_every_images=4_000,
    validate_every_images=20_000,
)

# For one or two cores without a GPU, where the game alone needs days to find a face.
LAPTOP = replace(
    STYLEGAN2,
    critic="projected",
    loss="hinge",
    lr_g=0.004,
    lr_d=0.002,
    augment="none",
    warm_images=12_000,
    redraw=0.5,
    decay_images=100_000,  # faces come out clean only as rates fall
)

# For sets with a table of all that is to be seen, as `training.prepare.cartoon_faces` writes: no
# encoder has to find out what it says, and z has few numbers besides those that choose. Redrawing
# teaches nearly all of it; the game comes late, for what a mean of differences overlooks.
TABLE = replace(
    LAPTOP,
    attributes=True,
    z_dim=64,
    warm_images=110_000,
    lr_init_last=0.001,
    lr_g=0.001,
    redraw=0.75,
    max_images=140_000,
    decay_images=30_000,
)

# github.com/Abdullah-Khan-47/Toon-Generator, `this_toon_does_not_exist.py`. What has no setting is
# fixed in `SeedObjective` and the networks: BCE, no mirroring, augmentation, slow copy or schedule.
# The notebook beside it, whose losses are published, ran 110 epochs with a batch of 1,024.
SEED = SeedSettings(
    batch=512,
    max_images=1_000_000_000,  # the epochs end it
    precision="fp32",
    ema_half_life_images=0.0,
    log_every_images=5_000,
    sample_every_images=20_000,
    save_every_images=20_000,
    validate_every_images=20_000,
)

TOONGAN_PRESETS: dict[str, ToonGANSettings | SeedSettings] = {
    "laptop": LAPTOP,
    "table": TABLE,
    "64": replace(LAPTOP, resolution=64, max_images=200_000),
    "256": replace(LAPTOP, resolution=256, max_images=600_000),
    "stylegan2": STYLEGAN2,
    "seed": SEED,
}


def refuse_nonsense(settings: ToonGANSettings | SeedSettings) -> ToonGANSettings | SeedSettings:
    """The settings; ValueError, naming the option, if they do not fit each other."""
    s = settings
    for name in ("z_dim", "w_dim", "mapping_layers", "critic_base", "critic_max", "mbstd_group"):
        if getattr(s, name, 1) < 1:
            raise ValueError(f"--{name.replace('_', '-')} {getattr(s, name)}: expected at least 1")
    if not s.data:
        raise ValueError("--data: expected a folder or archive of cartoon faces")
    if isinstance(s, ToonGANSettings):
        refuse_bad_game(s)
        if round(s.redraw * s.batch) >= s.batch:
            raise ValueError(f"--redraw {s.redraw}: expected a share that leaves some of a batch")
        if s.attributes and not s.redraw:
            raise ValueError("--attributes true with --redraw 0: expected a share too")
        if s.attributes and s.mirror:
            raise ValueError(
                "--attributes true with --mirror true: expected false, as a table says "
                "what is on the left"
            )
        if s.warm_images and not s.redraw:
            raise ValueError(f"--warm-images {s.warm_images} with --redraw 0: expected a share too")
        refuse_odd_groups(s)
        adaptive = s.augment not in ("none", "diff") and s.ada_target
        if s.loss == "relativistic" and adaptive:
            raise ValueError(
                f"--ada-target {s.ada_target} with --loss relativistic: expected 0, as scores "
                "have no sign of their own there; --augment-p sets how much is augmented"
            )
    elif len(s.channels) != len(s.critic_channels) + 1:
        raise ValueError(
            f"--critic-channels {s.critic_channels}: expected one layer less than --channels "
            f"{s.channels}"
        )
    if s.max_images < s.batch:
        raise ValueError(f"--batch {s.batch}: expected at most the {s.max_images} images to train")
    return settings


def in_images(settings: ToonGANSettings | SeedSettings) -> ToonGANSettings | SeedSettings:
    """The settings with epochs, if they have any, as images: so many passes over the files."""
    if not isinstance(settings, SeedSettings) or not settings.data:
        return settings
    count = len(find_pictures(settings.data, "cartoon faces")[0])
    images = min(settings.max_images, round(settings.epochs * count))
    return dataclasses.replace(settings, max_images=images)
