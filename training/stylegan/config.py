"""Settings and presets of StyleGAN2 and MobileStyleGAN."""

from dataclasses import dataclass, replace

from training.core.config import setting
from training.gan.config import GANSettings


@dataclass(frozen=True)
class StyleGANSettings(GANSettings):
    """A run of StyleGAN2 or MobileStyleGAN. Half-lives and ADA are counted in images."""

    FIXED = (
        *("resolution", "channel_base", "channel_max", "latent", "mapping_layers", "noise", "look"),
        *("discriminator", "d_base", "d_max", "mbstd_group", "window"),
    )

    data: str = setting("", "aligned images: folder, zip, tar or owner/name; or pairs with w")
    look: str = setting("", "look of the pairs in --data that cartoon_filter drew; empty: no pairs")
    start_from: str = setting("", "generator to fine-tune: folder or name; empty: a new one")
    d_from: str = setting("", "safetensors file of a discriminator to start from")
    resolution: int = setting(64, "side of the images in px; of MobileStyleGAN one of its heads")
    channel_base: int = setting(16384, "channels at R px are this divided by R")
    channel_max: int = setting(512, "maximum channels of the generator")
    latent: int = setting(512, "size of z and w")
    mapping_layers: int = setting(8, "layers of the mapping network")
    conv_clamp: float = setting(0.0, "bound of features in half precision, usually 256; 0 for none")
    d_base: int = setting(0, "channel base of the discriminator; 0 for the generator's")
    d_max: int = setting(0, "maximum channels of the discriminator; 0 for the generator's")
    noise: str = setting(
        "random", "noise inputs during training", choices=("random", "const", "none")
    )

    relative_rates: bool = setting(
        False, "whether the learning rate of a tensor is --lr-g times its root mean square"
    )
    weight_adversarial: float = setting(
        1.0, "weight of the adversarial loss; 0 for no discriminator"
    )
    weight_color: float = setting(0.0, "weight of the color distance to the start's image")
    weight_path: float = setting(2.0, "weight of path length regularization")
    path_every: int = setting(4, "steps between two of it, weighted by as much", minimum=1)
    path_share: float = setting(0.5, "share of the batch in path length regularization", maximum=1)
    freeze_mapping: bool = setting(False, "whether the mapping network is frozen")
    freeze_d: int = setting(0, "number of frozen blocks of the discriminator, from the image on")

    weight_pair: float = setting(0.0, "weight of L1 to the image of the same w; requires --look")
    weight_pair_features: float = setting(0.0, "weight of the feature distance to that image")
    window: int = setting(0, "side in px of windows of full-size images; 0 for whole images")

    def check(self) -> None:
        """See `RunSettings.check`."""
        super().check()
        if bool(self.weight_pair or self.weight_pair_features) != bool(self.look):
            raise ValueError(
                f"--look {self.look!r} with --weight-pair {self.weight_pair} and "
                f"--weight-pair-features {self.weight_pair_features}: expected a look and a "
                "weight, or neither"
            )
        if not self.look and not self.weight_adversarial:
            raise ValueError("--weight-adversarial 0: requires --look")
        if self.weight_color and not self.start_from:
            raise ValueError(f"--weight-color {self.weight_color}: requires --start-from")
        if self.window and (self.weight_adversarial or not self.look):
            raise ValueError(f"--window {self.window}: requires --look, --weight-adversarial 0")
        self.refuse(not self.path_share, "path_share", "a number above 0, at most 1")
        if self.freeze_d and self.discriminator == "projected":
            raise ValueError(
                f"--freeze-d {self.freeze_d} with --discriminator projected: expected 0, as its "
                "features are frozen"
            )
        if self.weight_adversarial:
            self.check_groups()


# Karras et al. 2020a ("auto" in their code): the rule for R1, EMA of up to ten thousand images.
PUBLISHED = StyleGANSettings(
    batch=32,
    max_images=25_000_000,
    ema_half_life_images=10_000.0,
    sample_every_images=50_000,
    save_every_images=200_000,
    validate_every_images=200_000,
    mapping_layers=2,
)

# Pairs without a discriminator: from the same w, the image that the teacher draws of that face.
TOON = StyleGANSettings(
    batch=2,
    max_images=8_000,
    start_from="portrait",
    resolution=256,
    noise="const",
    relative_rates=True,
    lr_g=0.006,
    decay_images=5_000,
    weight_adversarial=0.0,
    weight_path=0.0,
    freeze_mapping=True,
    augment="none",
    weight_pair=2.0,
    weight_pair_features=1.0,
    ema_half_life_images=150.0,
    log_every_images=100,
    sample_every_images=1_000,
    save_every_images=1_000,
    validate_every_images=4_000,
)

STYLEGAN_PRESETS: dict[str, StyleGANSettings] = {
    "64": replace(PUBLISHED, resolution=64),
    "128": replace(PUBLISHED, resolution=128),
    "256": replace(PUBLISHED, resolution=256, batch=16, ema_half_life_images=5_000.0),
    "512": replace(
        PUBLISHED, resolution=512, batch=8, channel_base=32768, ema_half_life_images=2_500.0
    ),
    "1024": replace(
        *(PUBLISHED,),
        **dict(resolution=1024, batch=4, channel_base=32768, lr_g=0.002, lr_d=0.002),
        ema_half_life_images=1_250.0,
    ),
    # For one or two cores without a GPU: an eighth of the channels.
    "laptop64": replace(
        PUBLISHED,
        resolution=64,
        batch=16,
        channel_base=2048,
        channel_max=64,
        latent=128,
        max_images=200_000,
        gamma=0.05,
        weight_path=0.0,
        augment="toon",
        ema_half_life_images=2_000.0,
        sample_every_images=4_000,
        save_every_images=4_000,
        validate_every_images=8_000,
        log_every_images=400,
    ),
    # R3GAN's loss with its two penalties; no mixing, no path length.
    "r3gan64": replace(
        PUBLISHED,
        resolution=64,
        loss="relativistic",
        r2=True,
        r1_every=1,
        weight_path=0.0,
        mixing=0.0,
        gamma=0.5,
    ),
    # Fine-tuning on a few hundred aligned drawings. The discriminator looks at pretrained features,
    # as a new one teaches the base stripes first. Every face keeps its colors; without that, all
    # skin tones converge to the mean of the drawings.
    "transfer": replace(
        PUBLISHED,
        start_from="portrait",
        resolution=256,
        noise="const",
        relative_rates=True,
        batch=8,
        max_images=20_000,
        discriminator="projected",
        loss="hinge",
        lr_g=0.0004,
        lr_d=0.001,
        decay_images=12_000,
        d_base=8192,
        d_max=256,
        weight_color=60.0,
        weight_path=0.0,
        freeze_mapping=True,
        augment="diff",
        ada_images=20_000,
        ema_half_life_images=1_000.0,
        log_every_images=200,
        sample_every_images=1_000,
        save_every_images=1_000,
        validate_every_images=4_000,
    ),
    "toon": TOON,
    # After `toon`: the layers of 512 and 1024 px, on windows of full-size images.
    "toon-fine": replace(TOON, resolution=1024, window=256, max_images=3_000, decay_images=2_000),
}
