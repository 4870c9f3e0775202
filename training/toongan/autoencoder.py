"""A generator that also learns to redraw pictures: an encoder finds the z that it should draw from.

Larsen et al., "Autoencoding beyond pixels using a learned similarity metric" (VAE-GAN), ICML 2016.
Redrawing gives every pixel a slope from the first step on, where the game alone takes long to find
a face, and it keeps kinds of faces from being forgotten. The game alone is content with one fringe
for all faces of noise. Therefore the encoder is also to find the z of what was drawn from noise
(Chen et al., InfoGAN, 2016), and features of such faces are to differ at each place as much as
those of real ones do. Only the generator is exported.
"""

import torch
import torch.nn.functional as F
from accelerate.utils import reduce
from torch import nn

from training.core.losses import feature_distance
from training.gan.objective import Trainee
from training.gan.projected_discriminator import frozen_features

STAGES = (1, 3, 6, 13)  # of MobileNetV2: what pictures are compared by


class Encoder(nn.Module):
    """Picture (N, 3, R, R) and features of its stages 6 and 13 -> mean and log variance of z.

    Both (N, z_dim). Colors come from the picture itself, which features know little of.
    """

    def __init__(self, resolution: int, z_dim: int, width: int = 32, hidden: int = 512):
        super().__init__()
        self.side = resolution // 16
        self.fine = nn.Conv2d(32, width, 3, stride=2, padding=1)
        self.coarse = nn.Conv2d(96, width, 1)
        self.fc = nn.Linear((2 * width + 3) * self.side**2, hidden)
        self.out = nn.Linear(hidden, 2 * z_dim)

    def forward(self, picture: torch.Tensor, features: dict[int, torch.Tensor]):
        small = F.adaptive_avg_pool2d(picture, self.side)
        x = torch.cat((self.fine(features[6]), self.coarse(features[13]), 2 * small), 1)
        x = F.leaky_relu(self.fc(F.leaky_relu(x, 0.2).flatten(1)), 0.2)
        mean, log_variance = self.out(x).chunk(2, 1)
        return mean, log_variance.clamp(-10, 2)


class Spread(nn.Module):
    """Codes (N, D) -> how far codes as a whole are from z, in nats; 0 for N(0, I).

    The divergence KL(N(0, S) || N(0, I)) of their second moments S, followed over batches. Without
    it codes gather in a corner of z, where the game does not care: noise then draws one face only,
    since it never meets what redrawing has taught.
    """

    def __init__(self, dimensions: int, rate: float = 0.02):
        super().__init__()
        self.rate = rate
        self.register_buffer("moments", torch.eye(dimensions))

    def forward(self, codes: torch.Tensor, follow: bool) -> torch.Tensor:
        codes = codes.float()
        # Not by `@`, which autocast would do in half precision.
        batch = torch.mul(codes[:, :, None], codes[:, None, :]).mean(0)
        known = self.moments.lerp(reduce(batch.detach(), "mean"), self.rate)
        if follow:
            self.moments.copy_(known)
        # The slope is that at the followed moments: those of one batch have no full rank.
        eye = torch.eye(len(known), device=known.device)
        slope = (eye - torch.linalg.inv(known)) / 2
        nats = (known.trace() - len(known) - torch.linalg.slogdet(known).logabsdet) / 2
        return nats + (slope * (batch - batch.detach())).sum()


class Redrawing(Trainee):
    """A trainee whose first pictures of a batch redraw real ones; also gives what that cost.

    Of a batch with `redrawn` = k, pictures 0 to k - 1 are drawn from codes of the real ones, the
    others from z. Gives pictures, their w+ and {"redraw", "prior", "match", "recover", "variety"}:
    the distance of the first k to the real ones, in values and in features; the nats that their
    codes take; how far all codes together are from z; how badly the others' z is read off them;
    and how unlike the others' differences are to those of real ones.
    """

    def __init__(self, generator):
        super().__init__(generator)
        self.features = frozen_features(STAGES)
        self.encoder = Encoder(self.side, generator.config.z_dim)
        self.spread = Spread(generator.config.z_dim)

    def forward(self, batch: dict[str, torch.Tensor]):
        k, real = batch["redrawn"], batch["real"]
        with torch.no_grad():
            wanted = self.features(real[:k])
        mean, log_variance = self.encoder(real[:k], wanted)
        code = mean + (log_variance / 2).exp() * batch["jitter"][:k]
        z = torch.cat((code, batch["z"][k:]))
        batch = unmixed(batch, self.generator.num_ws) | {"z": z}
        ws = self.latents(batch, follow=self.training)
        picture = self.synthesize(ws)
        found = self.features(picture.float())
        first, ours = picture[:k].float(), {stage: f[:k] for stage, f in found.items()}
        parts = {
            "redraw": distance(first, real[:k], ours, wanted),
            "prior": (mean.square() + log_variance.exp() - 1 - log_variance).sum(1).mean() / 2,
            "match": self.spread(code, follow=self.training),
        }
        rest = {stage: f[k:] for stage, f in found.items()}
        if k < len(picture):
            of_one = batch["cut"][k:] == self.generator.num_ws
            guess = self.encoder(picture[k:].float(), rest)
            parts["recover"] = surprise(batch["z"][k:], *guess, of_one)
        if min(k, len(picture) - k) > 1:
            parts["variety"] = lost_variety(list(rest.values()), list(wanted.values()))
        return picture, ws, parts


def unmixed(batch: dict[str, torch.Tensor], rows: int) -> dict[str, torch.Tensor]:
    """The batch with the pictures that redraw drawn from one latent in all `rows` of w+."""
    k, cut = batch["redrawn"], batch["cut"]
    return batch | {"cut": torch.cat((torch.full_like(cut[:k], rows), cut[k:]))}


def distance(
    ours: torch.Tensor,
    real: torch.Tensor,
    seen: dict[int, torch.Tensor],
    wanted: dict[int, torch.Tensor],
    squares: float = 0.0,
    features: float = 1.0,
) -> torch.Tensor:
    """How far pictures (N, 3, R, R) in [-1, 1] are from real ones; 0 for the same.

    Ten times the mean absolute difference of values, with `squares` times the mean square, and
    `features` times that of features by stage, `seen` in ours and `wanted`.
    """
    values = F.l1_loss(ours, real) + squares * F.mse_loss(ours, real)
    return 10 * values + features * feature_distance(list(seen.values()), list(wanted.values()))


def surprise(z, mean, log_variance, counted) -> torch.Tensor:
    """Nats, but for a constant, of z (N, D) under N(mean, variance); 0 where not `counted`.

    0 for a z that is hit at variance 1; below for one that is known more narrowly.
    """
    nats = ((z - mean).square() * (-log_variance).exp() + log_variance).sum(1) / 2
    return (nats * counted).mean()


def lost_variety(ours: list[torch.Tensor], real: list[torch.Tensor]) -> torch.Tensor:
    """How much pictures differ at each place, against real ones; 0 if as much, 1 if not at all.

    Of features (N, C, H, W) of some stages: the mean absolute difference of deviations over the
    batch, over the mean deviation of real ones; the mean of the stages. Two pictures or more each.
    """

    def deviation(features):
        apart = features.float() - features.float().mean(0)  # `var` takes five times as long
        return (apart.square().sum(0) / (len(apart) - 1) + 1e-6).sqrt()

    lost = [
        (deviation(a) - deviation(b)).abs().mean() / deviation(b).mean()
        for a, b in zip(ours, real, strict=True)
    ]
    return torch.stack(lost).mean()
