"""Muon: momentum with orthogonalized steps, for the weights of convolutions.

Jordan et al., "Muon: an optimizer for hidden layers in neural networks" (2024); the step size is
that of Liu et al., "Muon is scalable for LLM training" (2025), so that Adam's learning rates fit.
PyTorch's own Muon takes matrices only and computes in bfloat16, which few CPUs have.
"""

import torch

MOMENTUM = 0.95
MIN_SIDE = 12  # rows or columns of a weight matrix; Adam updates smaller ones
# Coefficients of x -> a x + b x^3 + c x^5: five times bring singular values to about 0.7 to 1.2.
QUINTIC = (3.4445, -4.775, 2.0315)


class Muon(torch.optim.Adam):
    """Muon for weights of convolutions, taken as (outputs, inputs * k * k); Adam for the rest."""

    def __init__(self, parameters, lr: float, betas: tuple[float, float] = (0.9, 0.99)):
        parameters = list(parameters)
        wide = [weights for weights in parameters if is_wide(weights)]
        rest = [weights for weights in parameters if not is_wide(weights)]
        groups = [{"params": rest, "orthogonal": False}, {"params": wide, "orthogonal": True}]
        super().__init__([group for group in groups if group["params"]], lr, betas)

    @torch.no_grad()
    def step(self, closure=None):
        """Takes a step; the gradients of the convolutions are None afterwards."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for weights in group["params"] if group["orthogonal"] else ():
                if weights.grad is None:
                    continue
                state = self.state[weights]
                if not state:
                    state["step"] = torch.zeros(())  # Adam reads it from all states
                    state["momentum"] = torch.zeros_like(weights)
                state["step"] += 1
                momentum = state["momentum"].mul_(MOMENTUM).add_(weights.grad)
                direction = (weights.grad + MOMENTUM * momentum).flatten(1)
                size = 0.2 * max(direction.shape) ** 0.5
                step = orthogonal(direction).reshape(weights.shape)
                weights.add_(step, alpha=-group["lr"] * size)
                weights.grad = None  # so that Adam skips them
        super().step()
        return loss


def is_wide(weights: torch.Tensor) -> bool:
    """Whether these are weights of a convolution with enough rows and columns."""
    return weights.ndim == 4 and min(len(weights), weights[0].numel()) >= MIN_SIDE


def orthogonal(matrix: torch.Tensor) -> torch.Tensor:
    """Nearly U V^T of the matrix U S V^T, (M, N) float32.

    By five Newton-Schulz steps: singular values are between 0.6 and 1.3, and zero stays zero.
    """
    tall = len(matrix) > matrix.shape[1]
    x = matrix.float().T if tall else matrix.float()
    x = x / (x.norm() + 1e-12)
    a, b, c = QUINTIC
    for _ in range(5):
        square = x @ x.T
        x = a * x + (b * square + c * square @ square) @ x
    return x.T if tall else x
