"""Losses of unconditional GANs as pure functions of tensors; R1 is in `training.core.losses`.

Scores are raw, (N, 1). Goodfellow et al., NeurIPS 2014 (non-saturating); Jolicoeur-Martineau, ICLR
2019, and Huang et al., "The GAN is dead; long live the GAN!" (R3GAN), NeurIPS 2024 (relativistic).
"""

import torch
import torch.nn.functional as F


def logistic_d(real: torch.Tensor, fake: torch.Tensor) -> torch.Tensor:
    """The discriminator's: softplus(-real) + softplus(fake), means; 2 log 2 for scores of 0."""
    return F.softplus(-real.float()).mean() + F.softplus(fake.float()).mean()


def logistic_g(fake: torch.Tensor, real: torch.Tensor | None = None) -> torch.Tensor:
    """The generator's, non-saturating: mean softplus(-fake); log 2 for scores of 0."""
    return F.softplus(-fake.float()).mean()


def relativistic_d(real: torch.Tensor, fake: torch.Tensor) -> torch.Tensor:
    """Mean softplus(fake - real) of pairs; log 2 for equal scores, whatever they are."""
    return F.softplus(fake.float() - real.float()).mean()


def relativistic_g(fake: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
    """The generator's: mean softplus(real - fake) of pairs; log 2 for equal scores."""
    return F.softplus(real.float() - fake.float()).mean()


def hinge_d(real: torch.Tensor, fake: torch.Tensor) -> torch.Tensor:
    """Mean relu(1 - real) + relu(1 + fake); 2 for scores of 0, none beyond the margins."""
    return F.relu(1 - real.float()).mean() + F.relu(1 + fake.float()).mean()


def hinge_g(fake: torch.Tensor, real: torch.Tensor | None = None) -> torch.Tensor:
    """The generator's: minus the mean score."""
    return -fake.float().mean()


ADVERSARIAL = {
    "hinge": (hinge_d, hinge_g),
    "logistic": (logistic_d, logistic_g),
    "relativistic": (relativistic_d, relativistic_g),
}


def path_lengths(image: torch.Tensor, ws: torch.Tensor, normals: torch.Tensor) -> torch.Tensor:
    """Change of images per step of their latent: (N,), differentiable.

    Karras et al., "Analyzing and improving the image quality of StyleGAN", CVPR 2020, sec. 3.2:
    |J^T y| with y normal, divided by the root of the number of pixels; root of the mean square over
    the layers of w+. For an image that is a linear map of one w: the norm of its transpose times y.

    Args:
        image: (N, 3, H, W), generated from `ws`.
        ws: w+ (N, L, D).
        normals: y, of the shape of `image`.
    """
    pixels = image.shape[2] * image.shape[3]
    product = (image * normals).sum() / pixels**0.5
    (gradient,) = torch.autograd.grad(product, ws, create_graph=True)
    return gradient.square().sum(2).mean(1).sqrt()


class PathMean:
    """The running mean length that path length regularization aims at."""

    def __init__(self, decay: float = 0.01):
        self.decay = decay
        self.mean = 0.0

    def penalty(self, lengths: torch.Tensor, mean_length: float) -> torch.Tensor:
        """Mean squared distance to the running mean, which is updated first.

        Args:
            lengths: (N,) lengths of this process.
            mean_length: their mean over all processes.
        """
        self.mean += self.decay * (mean_length - self.mean)
        return (lengths - self.mean).square().mean()

    def state_dict(self) -> dict:
        return {"mean": self.mean}

    def load_state_dict(self, state: dict) -> None:
        self.mean = state["mean"]
