"""A generator that also reconstructs images, with an encoder that finds the z to start from.

Larsen et al., "Autoencoding beyond pixels using a learned similarity metric" (VAE-GAN), ICML 2016.
Reconstruction gives every pixel a gradient from the first step on, where the adversarial loss alone
takes long to find a face, and it keeps the generator from forgetting kinds of faces. To keep
generated faces diverse, the encoder also predicts the z of generated images (Chen et al., InfoGAN,
2016), and their features must vary as much as those of real images. Only the generator is exported.
"""

import torch
import torch.nn.functional as F
from accelerate.utils import reduce
from torch import nn

from training.core.losses import feature_distance
from training.gan.objective import GeneratorWrapper
from training.gan.projected_discriminator import frozen_features

STAGES = (1, 3, 6, 13)  # of MobileNetV2, for the reconstruction distance


class Encoder(nn.Module):
    """Image (N, 3, R, R) and its features of stages 6 and 13 -> mean and log variance of z.

    Both are (N, z_dim). Colors come from the image itself, as features hardly know them.
    """

    def __init__(self, resolution: int, z_dim: int, width: int = 32, hidden: int = 512):
        super().__init__()
        self.side = resolution // 16
        self.fine = nn.Conv2d(32, width, 3, stride=2, padding=1)
        self.coarse = nn.Conv2d(96, width, 1)
        self.fc = nn.Linear((2 * width + 3) * self.side**2, hidden)
        self.out = nn.Linear(hidden, 2 * z_dim)

    def forward(self, image: torch.Tensor, features: dict[int, torch.Tensor]):
        small = F.adaptive_avg_pool2d(image, self.side)
        x = torch.cat((self.fine(features[6]), self.coarse(features[13]), 2 * small), 1)
        x = F.leaky_relu(self.fc(F.leaky_relu(x, 0.2).flatten(1)), 0.2)
        mean, log_variance = self.out(x).chunk(2, 1)
        return mean, log_variance.clamp(-10, 2)


class MomentMatching(nn.Module):
    """Codes (N, D) -> divergence of their distribution from N(0, I), in nats; 0 if they match.

    KL(N(0, S) || N(0, I)) of a running mean S of their second moments. Without it codes gather in a
    corner of z that noise never samples, and noise gives a single face.
    """

    def __init__(self, dimensions: int, rate: float = 0.02):
        super().__init__()
        self.rate = rate
        self.register_buffer("moments", torch.eye(dimensions))

    def forward(self, codes: torch.Tensor, update: bool) -> torch.Tensor:
        codes = codes.float()
        # Not by `@`, which autocast would compute in half precision.
        batch = torch.mul(codes[:, :, None], codes[:, None, :]).mean(0)
        moments = self.moments.lerp(reduce(batch.detach(), "mean"), self.rate)
        if update:
            self.moments.copy_(moments)
        # The gradient is that at the running moments, as those of one batch have no full rank.
        eye = torch.eye(len(moments), device=moments.device)
        gradient = (eye - torch.linalg.inv(moments)) / 2
        nats = (moments.trace() - len(moments) - torch.linalg.slogdet(moments).logabsdet) / 2
        return nats + (gradient * (batch - batch.detach())).sum()


class AutoencodingGenerator(GeneratorWrapper):
    """Reconstructs the first images of a batch from their codes; the others come from z.

    Returns images, their w+ and losses, of which the first three are of the first
    `reconstructed` = k images, and the others of the rest:

    - "reconstruction": distance from the real images, in pixels and features;
    - "prior": KL divergence of their codes from N(0, I);
    - "moments": `MomentMatching` of their codes;
    - "latent_nll": negative log-likelihood of z under the encoder's prediction;
    - "diversity": `diversity_loss`.
    """

    def __init__(self, generator):
        super().__init__(generator)
        self.features = frozen_features(STAGES)
        self.encoder = Encoder(self.side, generator.config.z_dim)
        self.spread = MomentMatching(generator.config.z_dim)  # the name in checkpoints

    def forward(self, batch: dict[str, torch.Tensor]):
        k, real = batch["reconstructed"], batch["real"]
        with torch.no_grad():
            target = self.features(real[:k])
        mean, log_variance = self.encoder(real[:k], target)
        code = mean + (log_variance / 2).exp() * batch["eps"][:k]
        z = torch.cat((code, batch["z"][k:]))
        batch = without_mixing(batch, self.generator.num_ws) | {"z": z}
        ws = self.latents(batch, update_w_avg=self.training)
        image = self.synthesize(ws)
        found = self.features(image.float())
        first, ours = image[:k].float(), {stage: f[:k] for stage, f in found.items()}
        parts = {
            "reconstruction": reconstruction_distance(first, real[:k], ours, target),
            "prior": (mean.square() + log_variance.exp() - 1 - log_variance).sum(1).mean() / 2,
            "moments": self.spread(code, update=self.training),
        }
        rest = {stage: f[k:] for stage, f in found.items()}
        if k < len(image):
            unmixed = batch["cut"][k:] == self.generator.num_ws
            prediction = self.encoder(image[k:].float(), rest)
            parts["latent_nll"] = latent_nll(batch["z"][k:], *prediction, unmixed)
        if min(k, len(image) - k) > 1:
            parts["diversity"] = diversity_loss(list(rest.values()), list(target.values()))
        return image, ws, parts


def without_mixing(batch: dict[str, torch.Tensor], num_ws: int) -> dict[str, torch.Tensor]:
    """The batch without style mixing in the images that are reconstructed."""
    k, cut = batch["reconstructed"], batch["cut"]
    return batch | {"cut": torch.cat((torch.full_like(cut[:k], num_ws), cut[k:]))}


def reconstruction_distance(
    ours: torch.Tensor,
    real: torch.Tensor,
    our_features: dict[int, torch.Tensor],
    real_features: dict[int, torch.Tensor],
    squares: float = 0.0,
    features: float = 1.0,
) -> torch.Tensor:
    """Distance of images (N, 3, R, R) in [-1, 1] from real ones; 0 for equal images.

    Args:
        ours, real: the images.
        our_features, real_features: their features by stage.
        squares: weight of the mean squared error beside the mean absolute error.
        features: weight of the feature distance; that of the errors is 10.
    """
    errors = F.l1_loss(ours, real) + squares * F.mse_loss(ours, real)
    ours, real = list(our_features.values()), list(real_features.values())
    return 10 * errors + features * feature_distance(ours, real)


def latent_nll(z, mean, log_variance, mask) -> torch.Tensor:
    """Mean negative log-likelihood of z (N, D) under N(mean, variance), up to a constant.

    0 for an exact prediction with variance 1; samples outside `mask` (N,) count as 0.
    """
    nats = ((z - mean).square() * (-log_variance).exp() + log_variance).sum(1) / 2
    return (nats * mask).mean()


def diversity_loss(ours: list[torch.Tensor], real: list[torch.Tensor]) -> torch.Tensor:
    """Difference of the variation of two batches; 0 for equal variation, 1 if ours has none.

    Of features (N, C, H, W) per stage, N at least 2: the mean absolute difference of standard
    deviations over the batch, divided by the mean of the real ones; mean over the stages.
    """

    def deviation(features):
        centered = features.float() - features.float().mean(0)  # `var` takes five times as long
        return (centered.square().sum(0) / (len(centered) - 1) + 1e-6).sqrt()

    parts = [
        (deviation(a) - deviation(b)).abs().mean() / deviation(b).mean()
        for a, b in zip(ours, real, strict=True)
    ]
    return torch.stack(parts).mean()
