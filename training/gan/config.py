"""Settings that the trainings of generators from noise share."""

from dataclasses import dataclass

from training.core.config import RunSettings, setting


@dataclass(frozen=True)
class NoiseSettings(RunSettings):
    """A run of a generator of images from noise."""

    data: str = setting("", "training images: folder, zip, tar or owner/name on the Hub")
    title: str = setting("", "name of the trained generator in menus")
    license: str = setting("", "license of the trained generator, for its style.json")
    score_samples: int = setting(256, "number of images that a score generates")
    extractor: str = setting(
        "mobilenet_v2",
        "network of further distances to --validate; inception gives FID and KID",
        choices=("mobilenet_v2", "efficientnet_lite0", "inception"),
    )
    extractor_weights: str = setting("", "weights file of --extractor; empty: downloaded")


@dataclass(frozen=True)
class GANSettings(NoiseSettings):
    """A run with a discriminator. Half-lives and ADA are counted in images."""

    mirror: bool = setting(True, "whether real images are also mirrored")
    resolution: int = setting(64, "side of the images in px")
    discriminator: str = setting(
        "stylegan2",
        "discriminator; projected looks at features of MobileNetV2",
        choices=("stylegan2", "projected"),
    )
    d_base: int = setting(0, "channels of the discriminator at R px are this divided by R")
    d_max: int = setting(0, "maximum channels of the discriminator")
    mbstd_group: int = setting(4, "images that share a minibatch standard deviation")

    loss: str = setting(
        "logistic",
        "adversarial loss; logistic is non-saturating",
        choices=("logistic", "hinge", "relativistic"),
    )
    lr_g: float = setting(0.0025, "learning rate of the generator")
    lr_d: float = setting(0.0025, "learning rate of the discriminator")
    beta2: float = setting(0.99, "second beta of Adam; the first is 0")
    decay_images: int = setting(0, "images at the end over which learning rates fall to a tenth")
    gamma: float = setting(0.0, "weight of R1; 0 for the rule 0.0002 * px^2 / batch")
    r1_every: int = setting(16, "steps between two R1 penalties, weighted by as much", minimum=1)
    r2: bool = setting(False, "whether generated images get the penalty too, as in R3GAN")
    mixing: float = setting(0.9, "share of images generated from two latents", maximum=1)

    augment: str = setting(
        "ada",
        "augmentation for the discriminator",
        choices=("ada", "toon", "full", "diff", "none"),
    )
    augment_p: float = setting(0.0, "initial probability of the augmentations", maximum=1)
    ada_target: float = setting(0.6, "mean sign of real scores that ADA aims at; 0 for a fixed p")
    ada_images: int = setting(500_000, "images in which p can rise from 0 to 1")
    ada_cap: float = setting(0.8, "maximum of p", maximum=1)

    def check(self) -> None:
        """See `RunSettings.check`."""
        super().check()
        if self.discriminator == "projected" and self.resolution < 64:
            raise ValueError(
                f"--resolution {self.resolution} with --discriminator projected: expected at least "
                "64, as its coarsest features have a thirty-second of the size"
            )

    def check_groups(self) -> None:
        """ValueError if groups with one minibatch standard deviation do not divide the batch."""
        bad = self.batch % max(1, min(self.mbstd_group, self.batch))
        self.refuse(bool(bad), "mbstd_group", f"a divisor of --batch {self.batch}")

    @property
    def r1_gamma(self) -> float:
        """The weight of R1: `gamma`, or by the rule of Karras et al. 2020a."""
        return self.gamma or 0.0002 * self.resolution**2 / self.batch
