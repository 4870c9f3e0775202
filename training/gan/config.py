"""Settings that the trainings of generators which draw from noise have in common."""

from dataclasses import dataclass

from training.core.config import RunSettings, setting


@dataclass(frozen=True)
class NoiseSettings(RunSettings):
    """A run of a generator that draws pictures from noise."""

    data: str = setting("", "pictures to learn from: folder, zip, tar or owner/name on the Hub")
    title: str = setting("", "what the trained generator is called in menus")
    license: str = setting("", "license of the trained generator, written into its style.json")
    score_samples: int = setting(256, "pictures that a score draws")


@dataclass(frozen=True)
class GANSettings(NoiseSettings):
    """A run against a discriminator. Half-lives and ADA are counted in images."""

    mirror: bool = setting(True, "true or false: real pictures are also shown mirrored")
    resolution: int = setting(64, "px that are trained at")
    critic: str = setting("stylegan2", "discriminator: stylegan2, or projected on MobileNetV2")
    critic_base: int = setting(0, "channels of the discriminator at r px are this over r")
    critic_max: int = setting(0, "most channels of the discriminator")
    mbstd_group: int = setting(4, "pictures that share a minibatch deviation")

    loss: str = setting("logistic", "logistic (non-saturating), hinge or relativistic")
    lr_g: float = setting(0.0025, "learning rate of the generator")
    lr_d: float = setting(0.0025, "learning rate of the discriminator")
    beta2: float = setting(0.99, "Adam's second beta; the first is 0")
    decay_images: int = setting(0, "images at the end over which learning rates fall to a tenth")
    gamma: float = setting(0.0, "weight of R1; 0: by the rule 0.0002 * px^2 / batch")
    r1_every: int = setting(16, "steps between two penalties on slopes, each as much heavier")
    r2: bool = setting(False, "true or false: the penalty on drawn pictures too (R3GAN)")
    mixing: float = setting(0.9, "share of pictures drawn from two latents")

    augment: str = setting("ada", "for the discriminator: ada, toon, full, diff or none")
    augment_p: float = setting(0.0, "their probability at the start")
    ada_target: float = setting(0.6, "sign of scores on real pictures that p aims at; 0: p stays")
    ada_images: int = setting(500_000, "images in which p can rise from 0 to 1")
    ada_cap: float = setting(0.8, "most that p can be")


CHOICES = {
    "critic": ("stylegan2", "projected"),
    "loss": ("logistic", "hinge", "relativistic"),
    "augment": ("ada", "toon", "full", "diff", "none"),
}


def refuse_choices(settings, choices: dict[str, tuple[str, ...]]) -> None:
    """ValueError, naming the option, if a setting is none of its `choices`."""
    for name, allowed in choices.items():
        if getattr(settings, name) not in allowed:
            raise ValueError(
                f"--{name} {getattr(settings, name)}: expected {', '.join(allowed[:-1])} or "
                f"{allowed[-1]}"
            )


def refuse_bad_game(settings: GANSettings) -> None:
    """ValueError, naming the option, if settings of the adversarial game do not fit each other."""
    s = settings
    refuse_choices(s, CHOICES)
    if s.critic == "projected" and s.resolution < 64:
        raise ValueError(
            f"--resolution {s.resolution} with --critic projected: expected at least 64, as it "
            "looks at a thirty-second of the size"
        )
    for name in ("mixing", "augment_p", "ada_cap"):
        if getattr(s, name) > 1:
            raise ValueError(
                f"--{name.replace('_', '-')} {getattr(s, name)}: expected a share, 0 to 1"
            )


def refuse_odd_groups(settings: GANSettings) -> None:
    """ValueError if the batch is no whole number of groups that share a minibatch deviation."""
    s = settings
    if s.batch % min(s.mbstd_group, s.batch):
        raise ValueError(f"--mbstd-group {s.mbstd_group}: expected a divisor of --batch {s.batch}")


def gamma_of(settings: GANSettings) -> float:
    """The weight of R1: that asked for, or by the rule of Karras et al. 2020a."""
    return settings.gamma or 0.0002 * settings.resolution**2 / settings.batch
