"""ToonGAN's objective: data, networks and losses, as the trainer calls them."""

import torch

from toonify.models.toongan import ToonGANGenerator
from training.core import losses
from training.data.aligned import AlignedDraws, normals
from training.gan.objective import JITTER, GANObjective, NoiseObjective, Trainee, new_critic
from training.toongan.autoencoder import Redrawing
from training.toongan.baseline import SeedObjective
from training.toongan.conditional import AttributedDraws, AttributedRedrawing, AttributeTable
from training.toongan.config import SeedSettings, ToonGANSettings, refuse_nonsense


class ToonGANObjective(GANObjective):
    """ToonGAN against StyleGAN2's discriminator with few channels."""

    family = "toongan"

    def __init__(self, settings: ToonGANSettings, device: torch.device):
        s = refuse_nonsense(settings)
        table = AttributeTable(s.data, s.z_dim) if s.attributes else None
        torch.manual_seed(s.seed)
        generator = ToonGANGenerator(
            resolution=s.resolution,
            z_dim=s.z_dim,
            w_dim=s.w_dim,
            mapping_layers=s.mapping_layers,
            channels=s.channels,
            variants=table.sizes if table else (),
        )
        critic = new_critic(s, s.critic_base, s.critic_max)
        draws = (s.data, s.resolution, s.max_images)
        self.redraws = bool(s.redraw)
        self.encodes = self.redraws and table is None
        variants = table.variants.items() if table else ()
        self.variant_names = {name: [str(variant) for variant in among] for name, among in variants}
        if table:
            data = AttributedDraws(*draws, s.seed, table)
            G = AttributedRedrawing(generator.train(), table.chances)
        else:
            data = AlignedDraws(*draws, s.seed, s.mirror)
            G = (Redrawing if self.encodes else Trainee)(generator.train())
        super().__init__(s, device, G, critic, data)
        self.weights |= {
            "redraw": s.weight_redraw,
            "prior": s.weight_prior,
            "match": s.weight_match,
            "recover": s.weight_recover,
            "variety": s.weight_variety,
        }

    def adversarial(self, images: int) -> bool:
        """Whether the game has begun: not while the generator only learns to redraw.

        The loop asks this before it draws.
        """
        self.playing = images >= self.settings.warm_images
        return self.playing

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """One for each network, and one for redrawing alone."""
        s, found = self.settings, super().optimizers()
        if self.redraws:
            found["g"] = torch.optim.Adam(self.groups(), s.lr_g, (0.0, s.beta2))
        if s.warm_images:
            found["init"] = torch.optim.Adam(self.groups(), s.lr_init, (0.9, 0.99))
        return found

    def groups(self) -> list[dict]:
        """Parameters of the generator and of an encoder, which is to learn more slowly.

        Its weights are stored as they are used, the generator's at unit size.
        """
        groups = [{"params": list(self.G.generator.parameters())}]
        if self.encodes:
            groups.append({"params": list(self.G.encoder.parameters()), "share": 0.1})
        return groups

    def schedule(self, images: int) -> dict[str, float]:
        """Redrawing alone keeps its rate for half of its images, then nears its last one evenly."""
        s, rates = self.settings, super().schedule(images)
        if not s.warm_images:
            return rates
        late = min(1.0, max(0.0, 2 * images / s.warm_images - 1))
        return rates | {"init": s.lr_init ** (1 - late) * s.lr_init_last**late}

    def noise(self, seeds: torch.Tensor) -> dict[str, torch.Tensor]:
        drawn = super().noise(seeds)
        return drawn | ({"jitter": normals(seeds, JITTER, self.z_dim)} if self.encodes else {})

    def told_of_network(self) -> dict[str, object]:
        """Names of what z chooses, in the order of the network's numbers."""
        return {"attributes": self.variant_names} if self.variant_names else {}

    def unpack(self, batch):
        """Also what the pictures show, if a table says it."""
        choice = {"choice": batch["choice"]} if "choice" in batch else {}
        return super().unpack(batch) | choice

    def draw(self, G, batch):
        """Pictures and their latents, and what redrawing some of them cost."""
        if not self.redraws:
            return super().draw(G, batch)
        count = self.redrawn(batch) if self.playing else len(batch["real"])
        return G({k: v for k, v in batch.items() if k != "seed"} | {"redrawn": count})

    def redrawn(self, batch) -> int:
        """How many pictures of a batch redraw real ones while the game is played."""
        return max(1, round(self.settings.redraw * len(batch["real"]))) if self.redraws else 0

    def in_play(self, drawn, batch):
        """The pictures that were drawn from noise, and as many real ones; with their seeds.

        What was redrawn is not judged: beside it, faces of noise that are all alike would pass.
        """
        k = self.redrawn(batch)
        return (drawn[0][k:],), {name: batch[name][k:] for name in ("real", "seed")}

    def discriminator(self, D, drawn, batch, images: int):
        return super().discriminator(D, *self.in_play(drawn, batch), images)

    def generator(self, D, drawn, batch, images: int):
        """The adversarial loss once the game has begun, and that of redrawing."""
        parts = dict(drawn[2]) if self.redraws else {}
        if D is not None:
            (picture,), batch = self.in_play(drawn, batch)
            parts["adversarial"] = self.deceit(D, picture, batch)
        return losses.total(parts, self.weights)


def objective_of(settings: ToonGANSettings | SeedSettings, device: torch.device) -> NoiseObjective:
    """What the settings train."""
    kind = SeedObjective if isinstance(settings, SeedSettings) else ToonGANObjective
    return kind(settings, device)
