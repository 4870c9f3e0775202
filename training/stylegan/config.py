"""Settings of a StyleGAN run, and the presets that they start from."""

from dataclasses import dataclass, replace

from training.core.config import setting
from training.gan.config import GANSettings, refuse_bad_game, refuse_choices, refuse_odd_groups


@dataclass(frozen=True)
class StyleGANSettings(GANSettings):
    """A run of StyleGAN2 or MobileStyleGAN. Half-lives and ADA are counted in images."""

    data: str = setting("", "aligned pictures: folder, zip, tar or owner/name; or pairs with w")
    look: str = setting(
        "", "look of the pairs that cartoon_filter drew into --data; empty: no pairs"
    )
    start_from: str = setting("", "generator to start from: folder or name; empty: from noise")
    critic_from: str = setting("", "safetensors file of a discriminator to start from")
    resolution: int = setting(64, "px that are trained at; of MobileStyleGAN one of its heads")
    channel_base: int = setting(16384, "channels at r px are this over r, at most --channel-max")
    channel_max: int = setting(512, "most channels of the generator")
    latent: int = setting(512, "size of z and w")
    mapping_layers: int = setting(8, "layers of the mapping network")
    conv_clamp: float = setting(0.0, "bound of features in half precision, 256 usual; 0: none")
    critic_base: int = setting(0, "channel base of the discriminator; 0: the generator's")
    critic_max: int = setting(0, "most channels of the discriminator; 0: the generator's")
    noise: str = setting("random", "noise inputs while training: random, const or none")

    relative_rates: bool = setting(
        False,
        "true or false: a tensor's rate is --lr-g times its root mean square (MobileStyleGAN)",
    )
    weight_adversarial: float = setting(1.0, "of the adversarial loss; 0: no discriminator")
    weight_color: float = setting(0.0, "of colors, cell by cell, to the start's picture; 0: off")
    weight_path: float = setting(2.0, "of path length regularization; 0: off")
    path_every: int = setting(4, "steps between two of it, each as much heavier")
    path_share: float = setting(0.5, "share of the batch that it looks at")
    freeze_mapping: bool = setting(False, "true or false: w of a z stays what it is")
    freeze_d: int = setting(0, "blocks of the discriminator, from the picture on, that stay")

    weight_pair: float = setting(0.0, "of L1 to the drawing of the same w; needs --look")
    weight_pair_features: float = setting(0.0, "of feature distance to that drawing")
    window: int = setting(0, "px of windows of full-size pictures to train on; 0: whole ones")


# Karras et al. 2020a ("auto" of their code): the rule for R1, EMA of ten thousand images or less.
PUBLISHED = StyleGANSettings(
    batch=32,
    max_images=25_000_000,
    ema_half_life_images=10_000.0,
    sample_every_images=50_000,
    save_every_images=200_000,
    validate_every_images=200_000,
    mapping_layers=2,
)

# Pairs alone, no discriminator: the same w draws what the teacher draws of that face.
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
    # A generator of ours learns from a folder of aligned drawings, a few hundred of them: frozen
    # features judge, as a discriminator that starts from nothing teaches the base stripes first.
    # Every face keeps its colors: left alone, all skins draw together to the drawings' mean.
    "transfer": replace(
        PUBLISHED,
        start_from="portrait",
        resolution=256,
        noise="const",
        relative_rates=True,
        batch=8,
        max_images=20_000,
        critic="projected",
        loss="hinge",
        lr_g=0.0004,
        lr_d=0.001,
        decay_images=12_000,
        critic_base=8192,
        critic_max=256,
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
    # After it: the layers that draw 512 and 1024 px, on windows of full-size pictures.
    "toon-fine": replace(TOON, resolution=1024, window=256, max_images=3_000, decay_images=2_000),
}

NOISES = {"noise": ("random", "const", "none")}


def refuse_nonsense(settings: StyleGANSettings) -> StyleGANSettings:
    """The settings; ValueError, naming the option, if they do not fit each other."""
    s = settings
    refuse_choices(s, NOISES)
    if bool(s.weight_pair or s.weight_pair_features) != bool(s.look):
        raise ValueError(
            f"--look {s.look!r} with --weight-pair {s.weight_pair} and --weight-pair-features "
            f"{s.weight_pair_features}: expected a look and a weight, or neither"
        )
    if not s.look and not s.weight_adversarial:
        raise ValueError("--weight-adversarial 0: expected --look, there is nothing to learn from")
    if s.weight_color and not s.start_from:
        raise ValueError(
            f"--weight-color {s.weight_color}: expected --start-from, whose colors are kept"
        )
    if s.window and (s.weight_adversarial or not s.look):
        raise ValueError(f"--window {s.window}: expected pairs and --weight-adversarial 0")
    if not 0 < s.path_share <= 1:
        raise ValueError(f"--path-share {s.path_share}: expected above 0, at most 1")
    if s.freeze_d and s.critic == "projected":
        raise ValueError(
            f"--freeze-d {s.freeze_d} with --critic projected: expected 0, its features are frozen"
        )
    refuse_bad_game(s)
    if s.weight_adversarial:
        refuse_odd_groups(s)
    return settings
