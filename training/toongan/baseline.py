"""The public Toon-Generator's DCGAN recipe, as a baseline."""

import torch
import torch.nn.functional as F
from accelerate import PartialState
from torch import nn

from toonify.models.dcgan import DCGANGenerator
from training.data.aligned import AlignedDataset
from training.gan.discriminators import DCGANDiscriminator
from training.gan.objective import NoiseObjective
from training.toongan.config import DCGANSettings


class DCGANWrapper(nn.Module):
    """The public generator as the trainer calls it: batch -> images and no w+."""

    def __init__(self, generator: DCGANGenerator):
        super().__init__()
        self.generator, self.side = generator, generator.resolution
        for layer in generator.modules():
            if isinstance(layer, nn.BatchNorm2d):
                # The published step generates each batch twice, for either network's step, and
                # updates its running means twice; here both steps use the same images.
                layer.momentum = 1 - (1 - layer.momentum) ** 2

    def forward(self, batch: dict[str, torch.Tensor]):
        return self.generator(batch["z"]), None

    def show(self, z: torch.Tensor, truncation: float) -> torch.Tensor:
        """Images of noise; there is no w to truncate."""
        return self.generator(z)


class DCGANObjective(NoiseObjective):
    """The public recipe: binary cross-entropy, summed over the batch.

    As in `d2l.update_D` and `update_G`, which it calls: the discriminator scores real and generated
    images separately, each with its own batch statistics, and its loss is halved.
    """

    family = "toongan"

    def __init__(self, settings: DCGANSettings, device: torch.device):
        s = settings
        s.check()
        if PartialState().num_processes > 1:
            raise ValueError(
                "--preset dcgan: expected one process, as batch norms are over the whole batch"
            )
        torch.manual_seed(s.seed)
        G = DCGANWrapper(DCGANGenerator(s.z_dim, s.channels).train())
        D = DCGANDiscriminator(s.d_channels)
        data = AlignedDataset(s.data, G.side, s.max_images, s.seed, mirror=False)
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

    def discriminator(self, D, output, batch, images: int):
        """Half the summed losses; the logs are means, as the published script prints them."""
        real, fake = D(batch["real"]), D(output[0].detach())
        loss = (summed_entropy(real, 1.0) + summed_entropy(fake, 0.0)) / 2
        scores = {"real": real.detach().mean(), "fake": fake.detach().mean()}
        return loss, {"loss": loss.detach() / len(real), **scores}

    def generator(self, D, output, batch, images: int):
        loss = summed_entropy(D(output[0]), 1.0)
        return loss, {"loss": loss.detach() / len(output[0])}


def summed_entropy(score: torch.Tensor, label: float) -> torch.Tensor:
    """Summed binary cross-entropy of raw scores with one label; log 2 for each score of 0."""
    return F.binary_cross_entropy_with_logits(score, torch.full_like(score, label), reduction="sum")
