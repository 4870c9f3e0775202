"""Objectives of the loop for generators that draw from noise: samples, scores, the GAN's game."""

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
from training.core.run_info import told
from training.data.aligned import AlignedDraws, normals
from training.gan import losses as gan_losses
from training.gan.ada import AUGMENTATIONS, AdaptiveP, augment
from training.gan.config import GANSettings, NoiseSettings, gamma_of
from training.gan.diff_augment import diff_augment
from training.gan.discriminators import StyleGAN2Discriminator
from training.gan.projected_discriminator import ProjectedDiscriminator
from training.gan.validation import SampleScore
from training.metrics.contact_sheet import sheet

W_AVG_DECAY = 0.995
SAMPLES = 24
SAMPLE_PX = 256
# Salts of a sample's numbers. PATH and WINDOW are StyleGAN's, JITTER is ToonGAN's.
REAL, FAKE_D, FAKE_G, Z, OTHER, CUT, PATH, WINDOW, JITTER = range(9)


class Trainee(nn.Module):
    """A generator with a mapping, as the loop calls it: latents in, pictures and their w+ out."""

    def __init__(self, generator):
        super().__init__()
        self.generator, self.side = generator, generator.resolution

    def forward(self, batch: dict[str, torch.Tensor]):
        ws = self.latents(batch, follow=self.training)
        return self.synthesize(ws), ws

    def latents(self, batch: dict[str, torch.Tensor], follow: bool = False) -> torch.Tensor:
        """w+ (N, num_ws, D) of z, from row `cut` on of another z."""
        w, other = self.mapped(batch).chunk(2)
        if follow:
            self.track(w)
        first = torch.arange(self.generator.num_ws, device=w.device)[None] < batch["cut"][:, None]
        return torch.where(first[..., None], w[:, None], other[:, None])

    def mapped(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """w (2N, D) of z and of the other z."""
        return self.generator.mapping(torch.cat((batch["z"], batch["other"])))

    @torch.no_grad()
    def track(self, w: torch.Tensor) -> None:
        """The mean of w follows; it does not for a frozen mapping, whose mean is known."""
        mapping = self.generator.mapping
        if next(mapping.parameters()).requires_grad:
            mean = reduce(w.detach().mean(0), "mean")
            mapping.w_avg.copy_(mean.lerp(mapping.w_avg, W_AVG_DECAY))

    def synthesize(self, ws: torch.Tensor) -> torch.Tensor:
        """Pictures (N, 3, side, side) of w+."""
        return self.generator.synthesis(ws)

    def show(self, z: torch.Tensor, truncation: float) -> torch.Tensor:
        """Pictures of noise, as people see them."""
        mapping = self.generator.mapping
        w = mapping.w_avg.lerp(mapping(z), truncation)
        return self.synthesize(w[:, None].expand(-1, self.generator.num_ws, -1))


class NoiseObjective:
    """What every generator that draws from noise needs of an objective; games are its subclasses.

    `G` gives (pictures, their latents) for a batch; `G.show(z, truncation)` gives pictures of
    `G.side` px. Draws of the dataset are like those of `AlignedDraws`.
    """

    family = ""  # of the folder that comes out, see `hub.FAMILIES`
    sample_truncation = 1.0

    def __init__(
        self,
        settings: NoiseSettings,
        device: torch.device,
        G: nn.Module,
        D: nn.Module,
        dataset: Dataset,
    ):
        self.settings, self.device = settings, device
        self.G, self.D, self.dataset = G, D, dataset
        self.z_dim = G.generator.config.z_dim
        self.sample_z = normals(torch.arange(SAMPLES), Z, self.z_dim)
        self.held_out = None
        if settings.validate:
            held = AlignedDraws(
                *(settings.validate, G.side, settings.score_samples, settings.seed),
                mirror=False,
            )
            self.held_out = SampleScore(held, device)

    def memory(self) -> list:
        return []

    def adversarial(self, images: int) -> bool:
        return True

    def unpack(self, batch):
        """Real pictures in [-1, 1], and latents from the samples' seeds."""
        seeds = batch["seed"].cpu()
        drawn = self.noise(seeds).items()
        device = batch["real"].device
        real = batch["real"].contiguous(memory_format=torch.channels_last)
        out = {"real": real.float() / 127.5 - 1, "seed": seeds}
        return out | {name: value.to(device) for name, value in drawn}

    def noise(self, seeds: torch.Tensor) -> dict[str, torch.Tensor]:
        """What the generator draws the samples of these seeds from."""
        return {"z": normals(seeds, Z, self.z_dim)}

    def draw(self, G, batch):
        """Pictures and their latents."""
        # Noise inputs come from here on: of the samples, so that a resumed run has the same.
        torch.manual_seed(int(batch["seed"][0]))
        return G({key: v for key, v in batch.items() if key not in ("real", "seed")})

    @torch.no_grad()
    def pictures(self, G, z: torch.Tensor, truncation: float):
        """Pictures (1, 3, side, side) of noise, one by one, on the CPU."""
        device = next(G.parameters()).device
        for one in z:
            yield G.show(one[None].to(device), truncation).float().cpu()

    def sample(self, G, path: Path) -> None:
        """Draws the sample grid, of the same noise in every grid."""
        drawn = self.pictures(G, self.sample_z, self.sample_truncation)
        cells = [images.to_pil(picture) for picture in drawn]
        px = min(SAMPLE_PX, G.side)
        images.save(sheet([cells[i : i + 8] for i in range(0, SAMPLES, 8)], px), path)

    def validate(self, G) -> dict[str, float]:
        """Kernel distance and diversity of fresh samples; nothing without `--validate`."""
        if self.held_out is None:
            return {}
        seeds = torch.arange(self.settings.score_samples) + 10_000
        return self.held_out.score(self.pictures(G, normals(seeds, Z, self.z_dim), 1.0))

    def export(self, G, folder: Path, images_seen: int) -> None:
        """Writes the slow copy as a generator's folder."""
        s = self.settings
        style = {
            "title": s.title or folder.parent.name.replace("_", " ").capitalize(),
            "description": f"Trained on {images_seen:,} pictures.",
            "scope": "face",
            "family": self.family,
            "license": s.license,
            "data": s.data_statement or told(s.data),
        }
        write_network(G.generator, folder, style | self.told_of_network())

    def told_of_network(self) -> dict[str, object]:
        """What style.json is to say besides what the settings do."""
        return {}


def new_critic(
    settings: GANSettings, channel_base: int, channel_max: int, clamp: float | None = None
) -> StyleGAN2Discriminator | ProjectedDiscriminator:
    """The discriminator that the settings name; channels and `clamp` are StyleGAN2's.

    Its minibatch deviations are over pictures of one process.

    Raises:
        ValueError: its share of the batch is no whole number of groups.
    """
    if settings.critic == "projected":
        return ProjectedDiscriminator(settings.resolution)
    share = settings.batch // PartialState().num_processes
    group = min(settings.mbstd_group, share)
    if share % group:
        raise ValueError(
            f"--mbstd-group {settings.mbstd_group}: expected a divisor of the {share} pictures "
            "that a process has"
        )
    return StyleGAN2Discriminator(
        resolution=settings.resolution,
        channel_base=channel_base,
        channel_max=channel_max,
        conv_clamp=clamp,
        mbstd_group=group,
    )


class GANObjective(NoiseObjective):
    """The game: adversarial losses, lazy penalties on slopes, ADA; `G` is a `Trainee`.

    `weights` are those of the generator's losses by name.
    """

    settings: GANSettings

    def __init__(self, settings: GANSettings, device, G: Trainee, D: nn.Module, dataset: Dataset):
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
        """One for each network."""
        s = self.settings
        betas = (0.0, s.beta2)
        return {
            "g": torch.optim.Adam(self.G.parameters(), s.lr_g, betas),
            "d": torch.optim.Adam(self.D.parameters(), s.lr_d, betas),
        }

    def memory(self) -> list:
        """The probability of ADA."""
        return [self.ada]

    def schedule(self, images: int) -> dict[str, float]:
        """Learning rates: constant, then a cosine down to a tenth."""
        factor = self.decay(images)
        return {"g": factor * self.settings.lr_g, "d": factor * self.settings.lr_d}

    def decay(self, images: int) -> float:
        """The share of the learning rates that is left after `images`."""
        s = self.settings
        left = min(1.0, (s.max_images - images) / s.decay_images) if s.decay_images else 1.0
        return 0.1 + 0.9 * (1 - math.cos(math.pi * left)) / 2

    def noise(self, seeds: torch.Tensor) -> dict[str, torch.Tensor]:
        """Two latents for each sample, and the row of w+ from which on the second counts."""
        rows = self.G.generator.num_ws
        u = torch.special.ndtr(normals(seeds, CUT, 2))
        cut = (1 + u[:, 1] * (rows - 1)).long()
        return {
            "cut": torch.where(u[:, 0] < self.settings.mixing, cut, torch.full_like(cut, rows)),
            "z": normals(seeds, Z, self.z_dim),
            "other": normals(seeds, OTHER, self.z_dim),
        }

    def seen(self, picture: torch.Tensor, seeds: torch.Tensor, salt: int) -> torch.Tensor:
        """Pictures as the discriminator sees them: augmented."""
        kind = self.settings.augment
        seeds = seeds ^ (salt << 40)
        if kind == "none":
            return picture
        if kind == "diff":
            return diff_augment(picture, seeds)
        return augment(picture, self.ada.p, seeds, AUGMENTATIONS[kind])

    def discriminator(self, D, drawn, batch, images: int):
        """Scores of real and drawn pictures; every `r1_every` steps the slopes at them, in fp32."""
        s, seeds = self.settings, batch["seed"]
        fake = drawn[0].detach().float()
        pictures = torch.cat(
            (self.seen(batch["real"], seeds, REAL), self.seen(fake, seeds, FAKE_D))
        )
        real, drawn_score = self.apart(D, pictures).chunk(2)
        loss = self.weights["adversarial"] * self.loss_d(real, drawn_score)
        sign = reduce(real.detach().sign().mean(), "mean")
        logs = {"real": real.detach().mean(), "fake": drawn_score.detach().mean(), "sign": sign}
        if s.augment not in ("none", "diff") and s.ada_target:
            self.ada.update(float(sign), s.batch)
        logs["p"] = torch.tensor(float(self.ada.p))
        if self.D.mbstd_group and images // s.batch % s.r1_every == 0:
            critic = getattr(D, "module", D)
            bare = partial(type(critic).forward, critic)
            for name, picture, salt in (("r1", batch["real"], REAL), ("r2", fake, FAKE_D)):
                if name == "r2" and not s.r2:
                    continue
                penalty = losses.r1_penalty(
                    lambda x, salt=salt: bare(self.seen(x, seeds, salt)), picture
                )
                loss = loss + gamma_of(s) * s.r1_every * penalty
                logs[name] = penalty.detach()
        return loss, logs

    def apart(self, D, pictures: torch.Tensor) -> torch.Tensor:
        """Scores of (real, drawn) in one forward, groups of the minibatch deviation unmixed.

        The groups of the discriminator are strided over the batch. One with batch norms has none:
        it judges the two apart.
        """
        group = self.D.mbstd_group
        if group is None:
            return torch.cat([D(part) for part in pictures.chunk(2)])
        if group == 1:
            return D(pictures)
        order = torch.cat(
            [part.view(group, -1) for part in torch.arange(len(pictures)).chunk(2)], 1
        ).flatten()
        score = D(pictures[order.to(pictures.device)])
        return score[order.argsort().to(score.device)]

    def generator(self, D, drawn, batch, images: int):
        """The adversarial loss."""
        return losses.total({"adversarial": self.deceit(D, drawn[0], batch)}, self.weights)

    def deceit(self, D, picture: torch.Tensor, batch) -> torch.Tensor:
        """The generator's adversarial loss of its pictures."""
        fake = D(self.seen(picture.float(), batch["seed"], FAKE_G))
        real = None
        if self.settings.loss == "relativistic":
            with torch.no_grad():
                real = D(self.seen(batch["real"], batch["seed"], REAL))
        return self.loss_g(fake, real)
