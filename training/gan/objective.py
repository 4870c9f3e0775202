"""Objectives of generators from noise: samples, scores, adversarial losses."""

import math
from functools import partial
from pathlib import Path

import torch
from accelerate import PartialState
from accelerate.utils import reduce
from torch import nn
from torch.utils.data import Dataset

from toonify import images
from training.core import losses
from training.core.model_io import write_network
from training.core.run_info import redact_path
from training.data.aligned import AlignedDataset, seeded_normal
from training.gan import losses as gan_losses
from training.gan.ada import AUGMENTATIONS, AdaptiveP, augment
from training.gan.config import GANSettings, NoiseSettings
from training.gan.diff_augment import diff_augment
from training.gan.discriminators import StyleGAN2Discriminator
from training.gan.projected_discriminator import ProjectedDiscriminator
from training.gan.validation import SampleScore, open_extractor
from training.metrics.contact_sheet import sheet

W_AVG_DECAY = 0.995
SAMPLES = 24
SAMPLE_PX = 256
# Salts of a sample's random numbers. PATH and WINDOW are StyleGAN's, EPS is ToonGAN's.
REAL, FAKE_D, FAKE_G, Z, OTHER, CUT, PATH, WINDOW, EPS = range(9)


class GeneratorWrapper(nn.Module):
    """A generator with a mapping network, as the trainer calls it: batch -> images and their w+."""

    def __init__(self, generator):
        super().__init__()
        self.generator, self.side = generator, generator.resolution

    def forward(self, batch: dict[str, torch.Tensor]):
        ws = self.latents(batch, update_w_avg=self.training)
        return self.synthesize(ws), ws

    def latents(self, batch: dict[str, torch.Tensor], update_w_avg: bool = False) -> torch.Tensor:
        """w+ (N, num_ws, D) of `z`, and of `other` from layer `cut` on."""
        w, other = self.map_noise(batch).chunk(2)
        if update_w_avg:
            self.update_w_avg(w)
        first = torch.arange(self.generator.num_ws, device=w.device)[None] < batch["cut"][:, None]
        return torch.where(first[..., None], w[:, None], other[:, None])

    def map_noise(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """w (2N, D) of `z` and of `other`."""
        return self.generator.mapping(torch.cat((batch["z"], batch["other"])))

    @torch.no_grad()
    def update_w_avg(self, w: torch.Tensor) -> None:
        """Updates the running mean of w; that of a frozen mapping stays."""
        mapping = self.generator.mapping
        if next(mapping.parameters()).requires_grad:
            mean = reduce(w.detach().mean(0), "mean")
            mapping.w_avg.copy_(mean.lerp(mapping.w_avg, W_AVG_DECAY))

    def synthesize(self, ws: torch.Tensor) -> torch.Tensor:
        """Images (N, 3, side, side) of w+."""
        return self.generator.synthesis(ws)

    def show(self, z: torch.Tensor, truncation: float) -> torch.Tensor:
        """Images of noise for samples and scores."""
        mapping = self.generator.mapping
        w = mapping.w_avg.lerp(mapping(z), truncation)
        return self.synthesize(w[:, None].expand(-1, self.generator.num_ws, -1))


class NoiseObjective:
    """Base of objectives whose generator starts from noise.

    Args:
        settings: the run's settings.
        device: where validation features are computed.
        G: batch -> (images, latents); `G.show(z, truncation)` returns images of `G.side` px.
        D: the discriminator.
        dataset: yields samples like `AlignedDataset`.
    """

    family = ""  # of the exported folder, see `hub.FAMILIES`
    sample_truncation = 1.0

    def __init__(
        self, settings: NoiseSettings, device, G: nn.Module, D: nn.Module, dataset: Dataset
    ):
        self.settings, self.device = settings, device
        self.G, self.D, self.dataset = G, D, dataset
        self.counts = {"images": len(getattr(dataset, "pictures", ()))}
        self.validation = f"{settings.score_samples} samples"
        self.z_dim = G.generator.config.z_dim
        self.sample_z = seeded_normal(torch.arange(SAMPLES), Z, self.z_dim)
        self.held_out = None
        if settings.validate:
            arguments = (settings.validate, G.side, settings.score_samples, settings.seed)
            extractor = open_extractor(settings.extractor, settings.extractor_weights)
            held_out = AlignedDataset(*arguments, mirror=False)
            self.held_out = SampleScore(held_out, device, extractor)

    def checkpointables(self) -> list:
        return []

    def uses_discriminator(self, images: int) -> bool:
        return True

    def preprocess(self, batch):
        """Real images in [-1, 1], and noise from the seeds of the samples."""
        seeds, device = batch["seed"].cpu(), batch["real"].device  # seeds are on the CPU already
        noise = {name: value.to(device) for name, value in self.noise(seeds).items()}
        real = batch["real"].contiguous(memory_format=torch.channels_last)
        return {"real": real.float() / 127.5 - 1, "seed": seeds, **noise}

    def noise(self, seeds: torch.Tensor) -> dict[str, torch.Tensor]:
        """What the generator makes the samples of these seeds from."""
        return {"z": seeded_normal(seeds, Z, self.z_dim)}

    def forward(self, G, batch):
        """Images and their latents."""
        # Noise inputs depend on the samples, so that a resumed run has the same.
        torch.manual_seed(int(batch["seed"][0]))
        return G({key: v for key, v in batch.items() if key not in ("real", "seed")})

    @torch.no_grad()
    def generate(self, G, z: torch.Tensor, truncation: float):
        """Yields images (1, 3, side, side) of noise on the CPU, one by one."""
        device = next(G.parameters()).device
        for one in z:
            yield G.show(one[None].to(device), truncation).float().cpu()

    def sample(self, G, path: Path) -> None:
        """Writes the sample grid, of the same noise each time."""
        generated = self.generate(G, self.sample_z, self.sample_truncation)
        cells = [images.to_pil(image) for image in generated]
        px = min(SAMPLE_PX, G.side)
        images.save(sheet([cells[i : i + 8] for i in range(0, SAMPLES, 8)], px), path)

    def validate(self, G) -> dict[str, float]:
        """Kernel distance and diversity of new samples; empty without `--validate`."""
        if self.held_out is None:
            return {}
        seeds = torch.arange(self.settings.score_samples) + 10_000
        return self.held_out.score(self.generate(G, seeded_normal(seeds, Z, self.z_dim), 1.0))

    def export(self, G, folder: Path, images_seen: int) -> None:
        """Writes the EMA weights as a generator's folder."""
        s = self.settings
        style = {
            "title": s.title or folder.parent.name.replace("_", " ").capitalize(),
            "description": f"Trained on {images_seen:,} images.",
            "scope": "face",
            "family": self.family,
            "license": s.license,
            "data": s.data_statement or redact_path(s.data),
        }
        write_network(G.generator, folder, style | self.style_fields())

    def style_fields(self) -> dict[str, object]:
        """Further fields of style.json."""
        return {}


def new_discriminator(
    settings: GANSettings, channel_base: int, channel_max: int, clamp: float | None = None
) -> StyleGAN2Discriminator | ProjectedDiscriminator:
    """Creates the discriminator of `--discriminator`; the other arguments are for StyleGAN2's.

    Raises:
        ValueError: the groups of `--mbstd-group` do not divide a process's share of the batch.
    """
    if settings.discriminator == "projected":
        return ProjectedDiscriminator(settings.resolution)
    parts = PartialState().num_processes * settings.gradient_accumulation_steps
    share = settings.batch // parts
    group = min(settings.mbstd_group, max(1, share))
    if share % group:
        raise ValueError(
            f"--mbstd-group {settings.mbstd_group}: expected a divisor of the {share} images "
            "of a process, or of a part of its batch"
        )
    return StyleGAN2Discriminator(
        resolution=settings.resolution,
        channel_base=channel_base,
        channel_max=channel_max,
        conv_clamp=clamp,
        mbstd_group=group,
    )


class GANObjective(NoiseObjective):
    """Adversarial losses, lazy gradient penalties and ADA; `G` is a `GeneratorWrapper`.

    `weights` are those of the generator's losses by name.
    """

    settings: GANSettings

    def __init__(self, settings: GANSettings, device, G: GeneratorWrapper, D, dataset: Dataset):
        # On CPUs a step takes three quarters of the time in this layout.
        layout = dict(memory_format=torch.channels_last)
        super().__init__(settings, device, G.to(**layout), D.to(**layout), dataset)
        s = settings
        self.loss_d, self.loss_g = gan_losses.ADVERSARIAL[s.loss]
        self.ada = AdaptiveP(
            target=s.ada_target or 0.6, images_to_one=s.ada_images, cap=s.ada_cap, p=s.augment_p
        )
        self.weights = {"adversarial": 1.0}

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """Adam for each network."""
        s = self.settings
        betas = (0.0, s.beta2)
        return {
            "g": torch.optim.Adam(self.G.parameters(), s.lr_g, betas),
            "d": torch.optim.Adam(self.D.parameters(), s.lr_d, betas),
        }

    def checkpointables(self) -> list:
        """The probability of ADA."""
        return [self.ada]

    def schedule(self, images: int) -> dict[str, float]:
        """Learning rates: constant, then a cosine down to a tenth."""
        factor = self.decay(images)
        return {"g": factor * self.settings.lr_g, "d": factor * self.settings.lr_d}

    def decay(self, images: int) -> float:
        """The factor of the learning rates after `images`."""
        s = self.settings
        left = min(1.0, (s.max_images - images) / s.decay_images) if s.decay_images else 1.0
        return 0.1 + 0.9 * (1 - math.cos(math.pi * left)) / 2

    def noise(self, seeds: torch.Tensor) -> dict[str, torch.Tensor]:
        """Two latents per sample, and the layer of w+ from which on the second is used."""
        num_ws = self.G.generator.num_ws
        u = torch.special.ndtr(seeded_normal(seeds, CUT, 2))
        cut = (1 + u[:, 1] * (num_ws - 1)).long()
        return {
            "cut": torch.where(u[:, 0] < self.settings.mixing, cut, torch.full_like(cut, num_ws)),
            "z": seeded_normal(seeds, Z, self.z_dim),
            "other": seeded_normal(seeds, OTHER, self.z_dim),
        }

    def augmented(self, image: torch.Tensor, seeds: torch.Tensor, salt: int) -> torch.Tensor:
        """Images as the discriminator sees them."""
        kind = self.settings.augment
        seeds = seeds ^ (salt << 40)
        if kind == "none":
            return image
        if kind == "diff":
            return diff_augment(image, seeds)
        return augment(image, self.ada.p, seeds, AUGMENTATIONS[kind])

    def discriminator(self, D, output, batch, images: int):
        """Adversarial loss, and every `r1_every` steps the gradient penalties in fp32."""
        s, seeds = self.settings, batch["seed"]
        fake = output[0].detach().float()
        both = (self.augmented(batch["real"], seeds, REAL), self.augmented(fake, seeds, FAKE_D))
        real_score, fake_score = self.score_separately(D, torch.cat(both)).chunk(2)
        loss = self.weights["adversarial"] * self.loss_d(real_score, fake_score)
        sign = reduce(real_score.detach().sign().mean(), "mean")
        logs = {
            "real": real_score.detach().mean(),
            "fake": fake_score.detach().mean(),
            "sign": sign,
        }
        if s.augment not in ("none", "diff") and s.ada_target:
            self.ada.update(sign, len(seeds) * PartialState().num_processes)
        logs["p"] = torch.tensor(float(self.ada.p))
        if self.D.mbstd_group and images // s.batch % s.r1_every == 0:
            bare = getattr(D, "module", D)
            # Its class's forward: that of the prepared network would return half precision.
            forward = partial(type(bare).forward, bare)
            penalized = {"r1": (batch["real"], REAL)} | ({"r2": (fake, FAKE_D)} if s.r2 else {})
            for name, (image, salt) in penalized.items():
                penalty = losses.r1_penalty(
                    lambda x, salt=salt: forward(self.augmented(x, seeds, salt)), image
                )
                loss = loss + s.r1_gamma * s.r1_every * penalty
                logs[name] = penalty.detach()
        return loss, logs

    def score_separately(self, D, both: torch.Tensor) -> torch.Tensor:
        """Scores of (real, generated) images in one forward, without groups that have both kinds.

        The groups of the minibatch standard deviation are strided over the batch. A discriminator
        with batch norms has no groups; it scores the two kinds in two forwards.
        """
        group = self.D.mbstd_group
        if group is None:
            return torch.cat([D(part) for part in both.chunk(2)])
        if group == 1:
            return D(both)
        order = torch.cat(
            [part.view(group, -1) for part in torch.arange(len(both)).chunk(2)], 1
        ).flatten()
        score = D(both[order.to(both.device)])
        return score[order.argsort().to(score.device)]

    def generator(self, D, output, batch, images: int):
        """The adversarial loss."""
        parts = {"adversarial": self.adversarial_loss(D, output[0], batch)}
        return losses.total(parts, self.weights)

    def adversarial_loss(self, D, image: torch.Tensor, batch) -> torch.Tensor:
        """The generator's adversarial loss of its images."""
        fake = D(self.augmented(image.float(), batch["seed"], FAKE_G))
        real = None
        if self.settings.loss == "relativistic":
            with torch.no_grad():
                real = D(self.augmented(batch["real"], batch["seed"], REAL))
        return self.loss_g(fake, real)
