"""Initialization of the encoder: a ridge regression from features to latents."""

import torch
from safetensors.torch import load_file
from tqdm import tqdm

from toonify.latents.inversion import SIDE, std_of_w
from toonify.models.encoder import FROZEN, Encoder
from toonify.models.layer_swap import Generator
from training.core import perceptual
from training.data.aligned import seed_of
from training.encoder.config import EncoderSettings
from training.encoder.generated_faces import generate

RIDGE_START = 2**40  # first index of the ridge's faces, beyond all training samples
RIDGE_FLOOR = 0.05  # added to a feature's standard deviation, as some hardly vary


def low_rank_ridge(features: torch.Tensor, targets: torch.Tensor, rank: int, penalty: float):
    """Ridge regression of low rank, by its `rank` main directions.

    Args:
        features: (n, p).
        targets: (n, m).
        rank: the rank.
        penalty: the ridge penalty, for features of about unit length.

    Returns:
        (read (rank, p), shift (rank,), write (m, rank), bias (m,), error): a prediction is
        `write @ (read @ features + shift) + bias`, `read @ features` has unit variance, and
        `error` is the leave-one-out mean square error at full rank.
    """
    features, targets = features.double(), targets.double()
    center, scale = features.mean(0), features.std(0) + RIDGE_FLOOR
    scale = scale * features.shape[1] ** 0.5  # samples have about unit length
    x, bias = (features - center) / scale, targets.mean(0)
    kernel = x @ x.T
    inverse = torch.linalg.inv(kernel + penalty * torch.eye(len(x), dtype=x.dtype, device=x.device))
    dual = inverse @ (targets - bias)
    error = float((dual / inverse.diagonal()[:, None]).square().mean())
    fitted = kernel @ dual
    size, along = torch.linalg.eigh(fitted @ fitted.T)
    size, along = size[-rank:], along[:, -rank:]
    directions = fitted.T @ along * size.clamp_min(1e-12 * float(size[-1]) + 1e-300).rsqrt()
    read = x.T @ (dual @ directions)
    deviation = (x @ read).std(0) + 1e-9
    read = (read / deviation).T / scale
    found = (read, -read @ center, directions * deviation, bias)
    return *(part.float() for part in found), error


@torch.no_grad()
def fit_ridge(
    encoder: Encoder,
    base: Generator,
    faces: int,
    rank: int,
    penalty: float,
    seed: int,
    truncation: tuple[float, float] = (0.5, 1.0),
    mixed_share: float = 0.3,
) -> tuple[float, float]:
    """Sets the encoder's linear path to a regression of w+ on features of generated faces.

    Its convolutional path adds nothing until it is trained.

    Returns:
        The leave-one-out mean square error, and that of the mean face, in units of `w_std`.
    """
    layers, device = encoder.config.free_layers + 1, encoder.w_avg.device
    features, targets = [], []
    for i in tqdm(range(faces), "faces for the ridge", leave=False, delay=2):
        own = torch.tensor([seed_of(seed, RIDGE_START + i)])
        face, ws = generate(base, encoder.layer_of, own, truncation, mixed_share)
        features.append(encoder.look(face.to(device))[FROZEN].flatten(1))
        targets.append(((ws[:, :layers] - encoder.w_avg) / encoder.w_std).flatten(1))
    target = torch.cat(targets)
    read, shift, write, bias, error = low_rank_ridge(torch.cat(features), target, rank, penalty)
    encoder.regression.weight[:rank], encoder.regression.bias[:rank] = read, shift
    encoder.offsets.weight.zero_()
    encoder.offsets.weight[: len(write), :rank] = write
    encoder.offsets.bias[: len(bias)] = bias
    return error, float(target.square().mean())


@torch.no_grad()
def calibrate(encoder: Encoder, faces: list[torch.Tensor]) -> None:
    """Scales each perceptual stage to a mean absolute value of 1 over faces (1, 3, H, W)."""
    sizes = [[x.abs().mean() for x in encoder.look(face).values()] for face in faces]
    encoder.unit.copy_(1 / torch.tensor(sizes).mean(0))


def new_encoder(settings: EncoderSettings, base: Generator) -> Encoder:
    """Creates an encoder for `base` with ImageNet's backbone and the mean and deviation of its w.

    Layers of w+ that make no difference at SIDE px share an offset.
    """
    s = settings
    encoder = Encoder(
        num_ws=base.num_ws,
        w_dim=base.config.w_dim,
        free_layers=min(s.free_layers, base.synthesis.free_layers(min(SIDE, base.resolution))),
        linear=s.linear,
        hidden=s.hidden,
        squeezed=s.squeezed,
        width=s.width,
        side=SIDE,
    )
    state = encoder.backbone.state_dict()
    found = load_file(perceptual.BUNDLED)
    counters = {k: v for k, v in state.items() if k.endswith("num_batches_tracked")}
    weights = {k: found[f"features.{k}"] for k in state if k not in counters}
    encoder.backbone.load_state_dict(counters | weights)
    encoder.w_avg.copy_(base.mapping.w_avg)
    encoder.w_std.copy_(std_of_w(base.mapping, base.config.z_dim, s.seed))
    return encoder
