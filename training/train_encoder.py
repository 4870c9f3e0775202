"""Trains an encoder: aligned photos go in, what finds a face in w+ of a generator comes out.

    accelerate launch training/train_encoder.py --preset portrait \\
        --photos ALIGNED --out runs/encoder [--base portrait] [--start-from portrait-encoder]

ALIGNED holds faces as `training/prepare/align_faces.py` writes them. A new encoder starts as a
ridge regression of w+ on what its frozen half sees in generated faces; then what the base draws
from its w+ is compared with the photos, and its w+ with that of generated faces. `runs/NAME/model`
can be opened by the pipeline; `--resume` goes on exactly where a run stopped.
"""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
import torch.nn.functional as F
from accelerate import PartialState
from safetensors import safe_open
from safetensors.torch import load_file, save
from torch import nn
from torch.utils.data import Dataset
from tqdm import tqdm

from toonify import hub, images
from toonify.inversion import SIDE, distances, face_weight, spread_of_w
from toonify.models import FACE_MODELS
from toonify.models.encoder import FROZEN, Encoder
from toonify.models.layer_swap import Generator
from training import front_door, losses, perceptual, records
from training.aligned import AlignedDraws, normals, pixels, seed_of
from training.discriminators import NoCritic
from training.encoder_presets import ENCODER_PRESETS, EncoderSettings, refuse_nonsense
from training.folders import open_network, write_network
from training.loop import checkpoints, pick_device
from training.pictures import spread
from training.presets import resolve
from training.provenance import told
from training.sheets import sheet
from training.sources import open_pictures

SAMPLES = 8
VALIDATED = 24  # photos that a score looks at
CALIBRATED = 32  # photos that the perceptual stages get their units from
BLUR = (96, 224)  # px that an unsharp face has
LAST_RATE = 0.03  # of the learning rate, at the end
RIDGE = "ridge.safetensors"  # in the run's folder
RIDGE_DRAWS = 2**40  # numbers of the ridge's faces begin here, so that no training draw is one
RIDGE_FLOOR = 0.05  # added to a feature's spread: one that hardly varies would be blown up
Z, MIX, FRAME, SOFT, NOISE = range(5)  # salts of a sample's numbers


# Faces ----------------------------------------------------------------------------------------


class EncoderDraws(Dataset):
    """Draw i: {"photo": uint8 (3, SIDE, SIDE), "known": bool, "seed": int}, by i alone.

    A `share` of the draws, evenly spread, is `known`: to be generated from the seed, and their
    photo is black. The others show each photo once an epoch, half of them mirrored if `mirror`.
    """

    def __init__(self, photos: str, length: int, share: float, seed: int, mirror: bool):
        self.photos = AlignedDraws(photos, SIDE, length, seed, mirror)
        self.length, self.share, self.seed = length, share, seed

    def __len__(self) -> int:
        return self.length

    def known_before(self, index: int) -> int:
        """How many draws before `index` are generated faces."""
        return int(index * self.share)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        before = self.known_before(index)
        known = self.known_before(index + 1) > before
        black = torch.zeros(3, SIDE, SIDE, dtype=torch.uint8)
        photo = black if known else self.photos[index - before]["real"]
        seed = torch.tensor(seed_of(self.seed, index))
        return {"photo": photo, "known": torch.tensor(known), "seed": seed}


def uniforms(seeds: torch.Tensor, salt: int, *shape: int) -> torch.Tensor:
    """Numbers (N, *shape) from 0 to 1, those of a sample from its seed and `salt` alone."""
    return torch.special.ndtr(normals(seeds, salt, *shape))


@torch.no_grad()
def generate(
    base: Generator,
    row_of: torch.Tensor,
    seeds: torch.Tensor,
    truncation: tuple[float, float] = (0.5, 1.0),
    mixed_share: float = 0.3,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Faces (N, 3, SIDE, SIDE) in [-1, 1] and the w+ (N, num_ws, D) they were drawn from.

    Truncation is drawn from its range. A share has the rows from a random one on of somebody else;
    `row_of` (num_ws,) says which rows an encoder cannot tell apart, and these stay equal.
    """
    mapping, device = base.mapping, base.mapping.w_avg.device
    z = normals(seeds, Z, 2, base.config.z_dim).to(device)
    u = uniforms(seeds, MIX, 3).to(device)
    w = mapping(z.flatten(0, 1)).unflatten(0, (-1, 2))
    low, high = truncation
    w = mapping.w_avg.lerp(w, (low + (high - low) * u[:, 0])[:, None, None])
    last = int(row_of.max())
    cut = torch.where(u[:, 1] < mixed_share, 1 + (u[:, 2] * last).long(), last + 1)
    own = row_of.to(device) < cut[:, None]
    ws = torch.where(own[..., None], w[:, :1], w[:, 1:])
    heads = base.synthesis.heads
    side = min((px for px in heads if px >= SIDE), default=max(heads))
    # One by one: larger batches fall out of the cache of a CPU.
    faces = torch.cat([base.synthesis(one[None], side) for one in ws]).clamp(-1, 1)
    if side != SIDE:
        faces = F.interpolate(faces, size=(SIDE, SIDE), mode="bilinear", antialias=True)
    return faces, ws


def moved(faces, degrees, scale, shift):
    """Faces (N, 3, H, W) turned and scaled (N,) about the middle and shifted (N, 2), same shape.

    A shift of 1 is the side; what comes in from outside is mirrored. With 0, 1 and 0 nothing moves.
    """
    angle = torch.deg2rad(degrees)
    cos, sin = angle.cos() / scale, angle.sin() / scale
    matrix = torch.stack(
        (
            torch.stack((cos, -sin, -2 * shift[:, 0]), 1),
            torch.stack((sin, cos, -2 * shift[:, 1]), 1),
        ),
        1,
    )
    grid = F.affine_grid(matrix, list(faces.shape), align_corners=False)
    return F.grid_sample(faces, grid, padding_mode="reflection", align_corners=False)


def relit(faces, gamma, tint):
    """Faces (N, 3, H, W) in [-1, 1] in other light: to the power (N,), channels times (N, 3).

    With 1 and 1 nothing changes; black stays black, and white white but for the tint.
    """
    unit = ((faces + 1) / 2).clamp(1e-6, 1)
    return ((unit ** gamma.view(-1, 1, 1, 1) * tint[:, :, None, None]) * 2 - 1).clamp(-1, 1)


def softened(faces, px: int):
    """Faces (N, 3, H, W) with the detail of `px` px a side, same shape; flat ones stay flat."""
    small = F.interpolate(faces, size=(px, px), mode="bilinear", antialias=True)
    return F.interpolate(small, size=faces.shape[-2:], mode="bilinear")


# Losses ---------------------------------------------------------------------------------------


def pull(offsets: torch.Tensor) -> torch.Tensor:
    """Mean square of offsets (N, rows, D) from the mean face, each (N,); 0 for the mean face."""
    return offsets.square().mean((1, 2))


def row_spread(offsets: torch.Tensor) -> torch.Tensor:
    """Mean square distance of rows (N, rows, D) from their mean, each (N,); 0 if all are one w."""
    return pull(offsets - offsets.mean(1, keepdim=True))


class FaceNet(nn.Module):
    """FFHQ-aligned faces (N, 3, H, W) in [-1, 1] -> unit embeddings (N, 512); frozen.

    Inception ResNet of facenet-pytorch, trained on VGGFace2. Its weights are not shipped: they are
    read from torch's cache.
    """

    url = (
        "https://github.com/timesler/facenet-pytorch/releases/download/v2.2.9/"
        "20180402-114759-vggface2.pt"
    )
    side = 160
    centre, part = (0.6, 0.5), 0.69  # of the crop: middle (row, column) and side of the face

    def __init__(self):
        super().__init__()
        from facenet_pytorch import InceptionResnetV1  # here, since it takes seconds to import

        file = Path(torch.hub.get_dir(), "checkpoints", self.url.rpartition("/")[2])
        try:
            state = torch.load(file, map_location="cpu", weights_only=True)
        except (OSError, RuntimeError) as error:
            raise ValueError(
                f"--identity facenet: its weights (107 MB) are not there ({error}); fetch "
                f"{self.url} and put it at {file}, or leave --identity out"
            ) from error
        self.network = InceptionResnetV1()
        # Its classifier is not needed.
        self.network.load_state_dict({k: v for k, v in state.items() if "logits" not in k})
        self.requires_grad_(False).eval()

    def forward(self, face):
        height, width = face.shape[-2:]
        top, left = (round((at - self.part / 2) * height) for at in self.centre)
        side = round(self.part * width)
        middle = face[..., top : top + side, left : left + side]
        size = (self.side, self.side)
        return self.network(F.interpolate(middle, size=size, mode="bilinear", antialias=True))


# The start ------------------------------------------------------------------------------------


def low_rank_ridge(features: torch.Tensor, targets: torch.Tensor, rank: int, penalty: float):
    """Ridge regression of targets (n, m) on features (n, p), cut to its `rank` main directions.

    Returns (read (rank, p), shift (rank,), write (m, rank), bias (m,), error): a prediction is
    `write @ (read @ features + shift) + bias`, what is read has unit spread, and `error` is the
    mean square error at samples left out one by one, before the cut.
    """
    features, targets = features.double(), targets.double()
    centre, scale = features.mean(0), features.std(0) + RIDGE_FLOOR
    scale = scale * features.shape[1] ** 0.5  # so that samples are about unit vectors
    x, bias = (features - centre) / scale, targets.mean(0)
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
    found = (read, -read @ centre, directions * spread_of, bias)
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


# Training -------------------------------------------------------------------------------------


class EncoderObjective:
    """Photos are to be drawn again from their w+, and generated faces' w+ to be found."""

    def __init__(self, settings: EncoderSettings, device: torch.device):
        refuse_nonsense(settings)
        self.settings = s = settings
        self.device = device = torch.device(device)
        torch.manual_seed(s.seed)
        if not s.photos:
            raise ValueError(
                "--photos: expected aligned faces, as training/prepare/align_faces.py writes them"
            )
        self.base = open_network("--base", s.base, FACE_MODELS).requires_grad_(False)
        heads = self.base.synthesis.heads
        for _, px in s.heads:
            if px not in heads:
                raise ValueError(
                    f"--heads {s.heads}: expected image heads of {s.base}, "
                    f"{', '.join(map(str, heads))} px"
                )
        self.G = self.open_encoder()
        self.G.backbone[: FROZEN + 1].requires_grad_(False)
        self.D = NoCritic()
        for network in (self.base, self.G.backbone):
            network.to(memory_format=torch.channels_last)
        self.base.to(device)
        self.G.to(device)
        self.identity = FaceNet().to(device) if s.identity else None
        self.dataset = EncoderDraws(s.photos, s.max_images, s.generated_share, s.seed, s.flips)
        self.sample_faces = self.squares(spread(self.dataset.photos.pictures, SAMPLES))
        self.held_out = []
        if s.validate:
            self.held_out = self.squares(
                open_pictures(s.validate, "validation photos", limit=VALIDATED)
            )
        self.weights = {
            "pixels": s.weight_pixels,
            "perceptual": s.weight_perceptual,
            "identity": s.weight_identity,
            "pull": s.weight_pull,
            "spread": s.weight_spread,
            "w": s.weight_w,
        }

    def begin(self) -> None:
        """What a new run starts from; one that goes on has it in its checkpoint.

        A new encoder gets its perceptual units, and its linear path the ridge regression.
        """
        s = self.settings
        if s.start_from or checkpoints(Path(s.out)):
            return
        calibrate(self.G, self.squares(spread(self.dataset.photos.pictures, CALIBRATED)))
        if s.ridge_faces:
            with PartialState(cpu=self.device.type == "cpu").main_process_first():
                self.begin_by_ridge()

    def open_encoder(self) -> Encoder:
        """The encoder to train: new, or `start_from`; ValueError if that is another base's."""
        s, base = self.settings, self.base
        if not s.start_from:
            return new_encoder(s, base).train()
        encoder = open_network("--start-from", s.start_from, {"encoder": Encoder})
        theirs = (encoder.config.num_ws, encoder.config.w_dim)
        if theirs != (base.num_ws, base.config.w_dim):
            raise ValueError(
                f"--start-from {s.start_from}: finds w+ of {theirs[0]} rows of {theirs[1]}, and "
                f"--base {s.base} draws from {base.num_ws} of {base.config.w_dim}; expected an "
                "encoder of that base"
            )
        if encoder.config.side != SIDE:
            raise ValueError(
                f"--start-from {s.start_from}: looks at {encoder.config.side} px, expected {SIDE}"
            )
        return encoder.train()

    def begin_by_ridge(self) -> None:
        """Fits the linear path, or takes what an earlier start of the same run fitted."""
        s, file = self.settings, Path(self.settings.out, RIDGE)
        folder = hub.find(s.base)
        arguments = {
            "faces": s.ridge_faces,
            "rank": s.linear,
            "penalty": s.ridge_penalty,
            "seed": s.seed,
            "truncation": s.truncation,
            "mixed_share": s.mixed_share,
        }
        shape = (self.G.config.free_rows, self.G.config.squeezed)
        fitted_to = [hub.fingerprint(hub.weights_file(folder)), shape, arguments]
        said = {"fitted_to": json.dumps(fitted_to)}
        parts = {"regression": self.G.regression, "offsets": self.G.offsets}
        if file.exists():
            with safe_open(file, "pt") as kept:
                if kept.metadata() == said:
                    for name, part in parts.items():
                        for key, value in part.state_dict().items():
                            value.copy_(kept.get_tensor(f"{name}.{key}"))
                    return
        error, mean_face = fit_ridge(self.G, self.base, **arguments)
        print(f"ridge: error {error:.3f} on faces left out, {mean_face:.3f} by the mean face")
        tensors = {
            f"{name}.{key}": value.contiguous()
            for name, part in parts.items()
            for key, value in part.state_dict().items()
        }
        records.write_bytes(save(tensors, said), file)

    def squares(self, pictures) -> list[torch.Tensor]:
        """Pictures as faces (1, 3, SIDE, SIDE) in [-1, 1] on the device."""
        found = [pixels(picture, SIDE)[None].to(self.device) for picture in pictures]
        return [one.float() / 127.5 - 1 for one in found]

    def optimisers(self) -> dict[str, torch.optim.Optimizer]:
        """One. The linear path's tensors have sizes of their own, and rates that go by them."""
        s, G = self.settings, self.G
        linear = [*G.regression.parameters(), *G.offsets.parameters(), G.squeeze.weight]
        groups = [
            {
                "params": [p],
                "share": s.relative_rate * float(p.detach().square().mean().sqrt()) / s.lr,
            }
            for p in linear
        ]
        ours = {id(p) for p in linear}
        rest = [p for p in G.parameters() if p.requires_grad and id(p) not in ours]
        return {"init": torch.optim.Adam([*groups, {"params": rest}], s.lr, (0.9, 0.99))}

    def memory(self) -> list:
        """Nothing: what is learnt lies in the network and its optimiser."""
        return []

    def schedule(self, images: int) -> dict[str, float]:
        """The learning rate: up in a line, constant, down in a line."""
        s = self.settings
        up = min(1.0, (images + s.batch) / s.warm_images) if s.warm_images else 1.0
        down = min(1.0, (s.max_images - images) / s.decay_images) if s.decay_images else 1.0
        return {"init": s.lr * min(up, max(down, LAST_RATE))}

    def adversarial(self, images: int) -> bool:
        return False

    def unpack(self, batch):
        """Faces in [-1, 1], what the encoder sees of them, and w+ of those that are generated."""
        s, seeds, known = self.settings, batch["seed"].cpu(), batch["known"]
        face = batch["photo"].float() / 127.5 - 1
        face = self.another_view(face, seeds)
        ws = face.new_zeros(len(face), self.base.num_ws, self.base.config.w_dim)
        if known.any():
            ours = known.cpu()
            face[known], ws[known] = generate(
                self.base, self.G.row_of, seeds[ours], s.truncation, s.mixed_share
            )
        return {"face": face, "seen": self.worse(face, seeds), "ws": ws, "known": known}

    def another_view(self, face: torch.Tensor, seeds: torch.Tensor) -> torch.Tensor:
        """Photos (N, 3, H, W), a share of them turned, scaled, shifted and in other light."""
        s, u = self.settings, uniforms(seeds, FRAME, 9).to(face.device)
        by = (2 * u[:, 1:] - 1) * (u[:, :1] < s.reframed_share)
        face = moved(face, s.turn_degrees * by[:, 0], 1 + s.scale * by[:, 1], s.shift * by[:, 2:4])
        return relit(face, 1 + s.light * by[:, 4], 1 + s.tint * by[:, 5:])

    def worse(self, face: torch.Tensor, seeds: torch.Tensor) -> torch.Tensor:
        """Faces (N, 3, H, W) as people's photos are: a share unsharp, all with noise."""
        s, u = self.settings, uniforms(seeds, SOFT, 3)
        low, high = BLUR
        seen = [
            softened(one, int(low + (high - low) * size)) if chance < s.blurred_share else one
            for one, (chance, size, _) in zip(face.split(1), u.tolist(), strict=True)
        ]
        noise = s.noise * u[:, 2].view(-1, 1, 1, 1) * normals(seeds, NOISE, *face.shape[1:])
        return torch.cat(seen) + noise.to(face.device)

    def draw(self, G, batch):
        """w+ of the faces."""
        return G(batch["seen"])

    def head(self, images: int) -> int:
        """Px of the image head that is drawn after `images`."""
        return next(px for start, px in reversed(self.settings.heads) if images >= start)

    def compare(self, G: Encoder, ws: torch.Tensor, face: torch.Tensor, side: int):
        """Distances of what the base draws from w+ to faces (N, 3, SIDE, SIDE), at `side` px."""
        drawing = self.base.synthesis(ws, side).float()
        target = F.interpolate(face, size=(side, side), mode="area")
        with torch.no_grad():
            wanted = G.perceive(target)
        weight = face_weight(side, face.device)
        parts = distances(drawing, target, G.perceive(drawing), wanted, weight)
        if self.identity:
            with torch.no_grad():
                person = self.identity(face)
            parts["identity"] = (self.identity(drawing) - person).square().sum(1).mean()
        return parts

    def generator(self, D, drawn, batch, images: int):
        """Likeness and moderation of the photos' w+, distance from the w+ of generated faces.

        Means are over the numbers of either kind that a batch has by its share, so that it does not
        matter how they lie in the parts of several processes.
        """
        s, G, known = self.settings, self.G, batch["known"]
        ws = drawn.float()
        rows = G.config.free_rows + 1
        offsets = (ws[:, :rows] - G.w_avg) / G.w_std
        photos, found = (kind.nonzero().flatten() for kind in (~known, known))
        count = len(ws) * (1 - s.generated_share)
        # Zero, but of this w+: every process has every part, and a slope for every weight.
        parts = dict.fromkeys(("pixels", "perceptual"), ws.sum() * 0)
        if self.identity:
            parts["identity"] = ws.sum() * 0
        # One by one on a CPU: larger batches fall out of its cache.
        for some in photos.split(1 if ws.device.type == "cpu" else len(ws)):
            if len(some):
                likeness = self.compare(G, ws[some], batch["face"][some], self.head(images))
                for name, part in likeness.items():
                    parts[name] = parts[name] + part * len(some) / count
        parts["pull"] = pull(offsets[photos]).sum() / count
        parts["spread"] = row_spread(offsets[photos]).sum() / count
        if s.generated_share:
            wanted = (batch["ws"][found][:, :rows] - G.w_avg) / G.w_std
            parts["w"] = pull(offsets[found] - wanted).sum() / (len(ws) * s.generated_share)
        return losses.total(parts, self.weights)

    @torch.no_grad()
    def sample(self, G, path: Path) -> None:
        """Draws the sample grid: photos above, what the base draws of them below."""
        side = self.settings.heads[-1][1]
        drawn = [self.base.synthesis(G(face), side) for face in self.sample_faces]
        rows = [
            [images.to_pil(face.cpu()) for face in faces] for faces in (self.sample_faces, drawn)
        ]
        images.save(sheet(rows, side), path)

    @torch.no_grad()
    def validate(self, G) -> dict[str, float]:
        """Distances of the slow copy's drawings from the photos of `--validate`; none without."""
        if not self.held_out:
            return {}
        side, figures = self.settings.heads[-1][1], {}
        for face in self.held_out:
            for name, part in self.compare(G, G(face), face, side).items():
                figures[name] = figures.get(name, 0.0) + float(part) / len(self.held_out)
        return figures | {"score": figures["perceptual"] + figures["pixels"]}

    def export(self, G, folder: Path, images_seen: int) -> None:
        """Writes the slow copy as an encoder's folder: config.json, fp16 weights, style.json."""
        s, base = self.settings, Path(self.settings.base).name
        style = {
            "title": s.title or folder.parent.name.replace("_", " ").capitalize(),
            "description": f"Finds a face in the latent space of {base}. Trained on "
            f"{images_seen:,} faces.",
            "scope": "face",
            "family": "stylegan-encoder",
            "licence": s.licence,
            "data": s.data_statement or f"{told(s.photos)}, and generated faces of {base}",
        }
        write_network(G, folder, style)


def main(arguments: list[str] | None = None) -> None:
    parser, options = front_door.parse(arguments, __doc__, ENCODER_PRESETS)

    def prepare(settings: EncoderSettings) -> EncoderObjective:
        objective = EncoderObjective(settings, pick_device())
        if not options.resume:
            objective.begin()
        return objective

    front_door.start(
        *(parser, options, "Encoder"),
        lambda: refuse_nonsense(resolve(options, ENCODER_PRESETS)),
        prepare,
    )


if __name__ == "__main__":
    main()
