"""ToonGAN's objective: data, networks and losses, as the trainer calls them."""

import torch

from toonify.models.toongan import ToonGANGenerator
from training.core import losses
from training.data.aligned import AlignedDataset, seeded_normal, warn_of_few
from training.gan.objective import (
    EPS,
    GANObjective,
    GeneratorWrapper,
    NoiseObjective,
    new_discriminator,
)
from training.toongan.autoencoder import AutoencodingGenerator
from training.toongan.auxiliary_classifier import ClassificationLoss
from training.toongan.baseline import DCGANObjective
from training.toongan.conditional import AttributeDataset, AttributeTable, ConditionalGenerator
from training.toongan.config import DCGANSettings, ToonGANSettings


class ToonGANObjective(GANObjective):
    """ToonGAN: an adversarial loss, and reconstruction of a share of the images."""

    family = "toongan"

    def __init__(self, settings: ToonGANSettings, device: torch.device):
        s = settings
        s.check()
        table = AttributeTable(s.data, s.z_dim) if s.attributes else None
        torch.manual_seed(s.seed)
        generator = ToonGANGenerator(
            resolution=s.resolution,
            z_dim=s.z_dim,
            w_dim=s.w_dim,
            mapping_layers=s.mapping_layers,
            channels=s.channels,
            num_classes=table.num_classes if table else (),
        )
        D = new_discriminator(s, s.d_base, s.d_max)
        self.reconstructs = bool(s.reconstruction_share)
        self.encodes = self.reconstructs and table is None
        classes = table.classes.items() if table else ()
        self.class_names = {name: [str(value) for value in values] for name, values in classes}
        self.classification = (
            ClassificationLoss(s.classifier, self.class_names).to(device) if s.classifier else None
        )
        data = (s.data, s.resolution, s.max_images)
        if table:
            dataset = AttributeDataset(*data, s.seed, table)
            G = ConditionalGenerator(generator.train(), table, s.code_dropout)
        else:
            dataset = AlignedDataset(*data, s.seed, s.mirror)
            warn_of_few(s.data, len(dataset.pictures))
            G = (AutoencodingGenerator if self.encodes else GeneratorWrapper)(generator.train())
        super().__init__(s, device, G, D, dataset)
        self.weights |= {
            "reconstruction": s.weight_reconstruction,
            "classification": s.weight_classification,
            "prior": s.weight_prior,
            "moments": s.weight_moments,
            "latent_nll": s.weight_latent_nll,
            "diversity": s.weight_diversity,
        }

    def uses_discriminator(self, images: int) -> bool:
        """Whether the warm-up is over; the trainer calls this before `forward`."""
        self.is_adversarial = images >= self.settings.warmup_images
        return self.is_adversarial

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """One for each network, and one for the warm-up."""
        s, found = self.settings, super().optimizers()
        if self.reconstructs:
            found["g"] = torch.optim.Adam(self.parameter_groups(), s.lr_g, (0.0, s.beta2))
        if s.warmup_images:
            found["init"] = torch.optim.Adam(self.parameter_groups(), s.lr_init, (0.9, 0.99))
        return found

    def parameter_groups(self) -> list[dict]:
        """Parameters of the generator, and of the encoder with a tenth of the learning rate.

        The generator has an equalized learning rate, the encoder has not.
        """
        groups = [{"params": list(self.G.generator.parameters())}]
        if self.encodes:
            groups.append({"params": list(self.G.encoder.parameters()), "share": 0.1})
        return groups

    def schedule(self, images: int) -> dict[str, float]:
        """In the warm-up: constant for its first half, then exponential to `lr_init_last`."""
        s, rates = self.settings, super().schedule(images)
        if not s.warmup_images:
            return rates
        late = min(1.0, max(0.0, 2 * images / s.warmup_images - 1))
        return rates | {"init": s.lr_init ** (1 - late) * s.lr_init_last**late}

    def noise(self, seeds: torch.Tensor) -> dict[str, torch.Tensor]:
        noise = super().noise(seeds)
        if self.encodes:
            noise["eps"] = seeded_normal(seeds, EPS, self.z_dim)
        return noise

    def style_fields(self) -> dict[str, object]:
        """Names of the classes, in the order of the network's indices."""
        return {"attributes": self.class_names} if self.class_names else {}

    def preprocess(self, batch):
        row = {name: batch[name] for name in ("classes", "numbers") if name in batch}
        return super().preprocess(batch) | row

    def forward(self, G, batch):
        """Images and their latents, and the losses of reconstruction."""
        if not self.reconstructs:
            return super().forward(G, batch)
        count = self.count_reconstructed(batch) if self.is_adversarial else len(batch["real"])
        return G({k: v for k, v in batch.items() if k != "seed"} | {"reconstructed": count})

    def count_reconstructed(self, batch) -> int:
        """How many images of a batch reconstruct real ones in the adversarial phase."""
        share = self.settings.reconstruction_share
        return max(1, round(share * len(batch["real"]))) if self.reconstructs else 0

    def select_generated(self, output, batch):
        """The images generated from noise, and as many real ones with their seeds.

        The discriminator does not see reconstructions: with them in the batch, generated faces that
        are all alike would pass.
        """
        k = self.count_reconstructed(batch)
        return (output[0][k:],), {name: batch[name][k:] for name in ("real", "seed")}

    def discriminator(self, D, output, batch, images: int):
        return super().discriminator(D, *self.select_generated(output, batch), images)

    def generator(self, D, output, batch, images: int):
        """The losses of reconstruction, and after the warm-up the adversarial loss."""
        parts = dict(output[2]) if self.reconstructs else {}
        if D is not None:
            if self.classification is not None:
                parts["classification"] = self.classification_loss(output[0], batch)
            (image,), batch = self.select_generated(output, batch)
            parts["adversarial"] = self.adversarial_loss(D, image, batch)
        return losses.total(parts, self.weights)

    def classification_loss(self, image: torch.Tensor, batch) -> torch.Tensor:
        """Classification loss of all images (N, 3, R, R) of a batch that are not reconstructed.

        Images of two mixed latents have no classes and are left out.
        """
        k, generator = self.count_reconstructed(batch), self.G.generator
        chosen = k + torch.nonzero(batch["cut"][k:] == generator.num_ws)[:, 0]
        if not len(chosen):
            return image.new_zeros(())
        labels = generator.mapping.sample_classes(batch["z"][chosen])
        return self.classification(image[chosen].float(), labels)


def create_objective(
    settings: ToonGANSettings | DCGANSettings, device: torch.device
) -> NoiseObjective:
    """The objective of the settings."""
    kind = DCGANObjective if isinstance(settings, DCGANSettings) else ToonGANObjective
    return kind(settings, device)
