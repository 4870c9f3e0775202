"""The public Toon-Generator's DCGAN recipe, as a baseline."""

import torch
import torch.nn.functional as F
from accelerate import PartialState
from torch import nn

from toonify.models.dcgan import DCGANGenerator
from training.data.aligned import AlignedDraws
from training.gan.discriminators import SeedDiscriminator
from training.gan.objective import NoiseObjective
from training.toongan.config import SeedSettings, refuse_nonsense


class SeedTrainee(nn.Module):
    """The public generator as the loop calls it: noise in, pictures and no w+ out."""

    def __init__(self, generator: DCGANGenerator):
        super().__init__()
        self.generator, self.side = generator, generator.resolution
        for layer in generator.modules():
            if isinstance(layer, nn.BatchNorm2d):
                # The published step draws each batch twice, for the discriminator's turn and again
                # for its own, and its running means follow twice; here the drawing is used twice.
                layer.momentum = 1 - (1 - layer.momentum) ** 2

    def forward(self, batch: dict[str, torch.Tensor]):
        return self.generator(batch["z"]), None

    def show(self, z: torch.Tensor, truncation: float) -> torch.Tensor:
        """Pictures of noise, by the running means; there is no w to truncate."""
        return self.generator(z)


class SeedObjective(NoiseObjective):
    """The public recipe: binary cross-entropy, summed over the batch; the networks as they start.

    As in `d2l.update_D` and `update_G`, which it calls: real and drawn pictures pass the
    discriminator apart, each under its own batch statistics, and half of both losses is descended.
    """

    family = "toongan"

    def __init__(self, settings: SeedSettings, device: torch.device):
        s = refuse_nonsense(settings)
        if PartialState().num_processes > 1:
            raise ValueError(
                "--preset seed: expected one process, as batch norms are over the whole batch"
            )
        torch.manual_seed(s.seed)
        G = SeedTrainee(DCGANGenerator(s.z_dim, s.channels).train())
        D = SeedDiscriminator(s.critic_channels)
        data = AlignedDraws(s.data, G.side, s.max_images, s.seed, mirror=False)
        super().__init__(s, device, G, D, data)

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        s = self.settings
        betas = (s.beta1, s.beta2)
        return {
            "g": torch.optim.Adam(self.G.parameters(), s.lr, betas),
            "d": torch.optim.Adam(self.D.parameters(), s.lr, betas),
        }

    def schedule(self, images: int) -> dict[str, float]:
        return {"g": self.settings.lr, "d": self.settings.lr}

    def discriminator(self, D, drawn, batch, images: int):
        """Half the summed losses; logged are means, as the published script prints them."""
        real, fake = D(batch["real"]), D(drawn[0].detach())
        loss = (summed_entropy(real, 1.0) + summed_entropy(fake, 0.0)) / 2
        scores = {"real": real.detach().mean(), "fake": fake.detach().mean()}
        return loss, {"loss": loss.detach() / len(real), **scores}

    def generator(self, D, drawn, batch, images: int):
        loss = summed_entropy(D(drawn[0]), 1.0)
        return loss, {"loss": loss.detach() / len(drawn[0])}


def summed_entropy(score: torch.Tensor, label: float) -> torch.Tensor:
    """Binary cross-entropy of raw scores with one label for all, summed; log 2 for each 0."""
    return F.binary_cross_entropy_with_logits(score, torch.full_like(score, label), reduction="sum")
