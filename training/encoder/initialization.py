"""The encoder's start: a ridge regression from features to latents."""

import torch
from safetensors.torch import load_file
from tqdm import tqdm

from toonify.latents.inversion import SIDE, spread_of_w
from toonify.models.encoder import FROZEN, Encoder
from toonify.models.layer_swap import Generator
from training.core import perceptual
from training.data.aligned import seed_of
from training.encoder.config import EncoderSettings
from training.encoder.generated_faces import generate

RIDGE_DRAWS = 2**40  # numbers of the ridge's faces begin here, so that no training draw is one
RIDGE_FLOOR = 0.05  # added to a feature's spread: one that hardly varies would be blown up


# The start ------------------------------------------------------------------------------------


def low_rank_ridge(features: torch.Tensor, targets: torch.Tensor, rank: int, penalty: float):
    """Ridge regression of targets (n, m) on features (n, p), cut to its `rank` main directions.

    Returns (read (rank, p), shift (rank,), write (m, rank), bias (m,), error): a prediction is
    `write @ (read @ features + shift) + bias`, what is read has unit spread, and `error` is the
    mean square error at samples left out one by one, before the cut.
    """
    features, targets = features.double(), targets.double()
    center, scale = features.mean(0), features.std(0) + RIDGE_FLOOR
    scale = scale * features.shape[1] ** 0.5  # so that samples are about unit vectors
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
    spread_of = (x @ read).std(0) + 1e-9
    read = (read / spread_of).T / scale
    found = (read, -read @ center, directions * spread_of, bias)
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
    """Sets the encoder's linear path to the regression of w+ on what it sees in generated faces.

    Its other path adds nothing until it is trained. Returns the mean square error on faces left
    out, and that of the mean face, in units of the spread of w.
    """
    rows, device = encoder.config.free_rows + 1, encoder.w_avg.device
    seen, targets = [], []
    for i in tqdm(range(faces), "faces for the ridge", leave=False, delay=2):
        own = torch.tensor([seed_of(seed, RIDGE_DRAWS + i)])
        face, ws = generate(base, encoder.row_of, own, truncation, mixed_share)
        seen.append(encoder.look(face.to(device))[FROZEN].flatten(1))
        targets.append(((ws[:, :rows] - encoder.w_avg) / encoder.w_std).flatten(1))
    wanted = torch.cat(targets)
    read, shift, write, bias, error = low_rank_ridge(torch.cat(seen), wanted, rank, penalty)
    encoder.regression.weight[:rank], encoder.regression.bias[:rank] = read, shift
    encoder.offsets.weight.zero_()
    encoder.offsets.weight[: len(write), :rank] = write
    encoder.offsets.bias[: len(bias)] = bias
    return error, float(wanted.square().mean())


@torch.no_grad()
def calibrate(encoder: Encoder, faces: list[torch.Tensor]) -> None:
    """Brings each perceptual stage to a mean absolute value of 1 over faces (1, 3, H, W)."""
    sizes = [[x.abs().mean() for x in encoder.look(face).values()] for face in faces]
    encoder.unit.copy_(1 / torch.tensor(sizes).mean(0))


def new_encoder(settings: EncoderSettings, base: Generator) -> Encoder:
    """An encoder for `base` whose backbone is that of ImageNet and whose w are spread as its w.

    Rows of w+ that no picture of SIDE px tells apart share an offset.
    """
    s = settings
    encoder = Encoder(
        num_ws=base.num_ws,
        w_dim=base.config.w_dim,
        free_rows=min(s.free_rows, base.synthesis.free_rows(min(SIDE, base.resolution))),
        linear=s.linear,
        hidden=s.hidden,
        squeezed=s.squeezed,
        width=s.width,
        side=SIDE,
    )
    wanted = encoder.backbone.state_dict()
    found = load_file(perceptual.BUNDLED)
    counters = {k: v for k, v in wanted.items() if k.endswith("num_batches_tracked")}
    weights = {k: found[f"features.{k}"] for k in wanted if k not in counters}
    encoder.backbone.load_state_dict(counters | weights)
    encoder.w_avg.copy_(base.mapping.w_avg)
    encoder.w_std.copy_(spread_of_w(base.mapping, base.config.z_dim, s.seed))
    return encoder
