"""The encoder's objective: data, networks and losses, as the trainer calls them."""

import json
from pathlib import Path

import torch
import torch.nn.functional as F
from accelerate import PartialState
from safetensors import safe_open
from safetensors.torch import save

from toonify import hub, images
from toonify.latents.inversion import SIDE, distances, face_weight
from toonify.models import FACE_MODELS
from toonify.models.encoder import FROZEN, Encoder
from training.core import losses, records
from training.core.checkpoint import checkpoints
from training.core.model_io import open_network, write_network
from training.core.run_info import told
from training.data.aligned import normals, pixels
from training.data.images import spread
from training.data.sources import open_pictures
from training.encoder.config import EncoderSettings, refuse_nonsense
from training.encoder.dataset import EncoderDraws
from training.encoder.facenet import FaceNet
from training.encoder.generated_faces import (
    FRAME,
    NOISE,
    SOFT,
    generate,
    moved,
    relit,
    softened,
    uniforms,
)
from training.encoder.initialization import calibrate, fit_ridge, new_encoder
from training.gan.discriminators import NoCritic
from training.metrics.contact_sheet import sheet

SAMPLES = 8
VALIDATED = 24  # photos that a score looks at
CALIBRATED = 32  # photos that the perceptual stages get their units from
BLUR = (96, 224)  # px that an unsharp face has
LAST_RATE = 0.03  # of the learning rate, at the end
RIDGE = "ridge.safetensors"  # in the run's folder


# Losses ---------------------------------------------------------------------------------------


def pull(offsets: torch.Tensor) -> torch.Tensor:
    """Mean square of offsets (N, rows, D) from the mean face, each (N,); 0 for the mean face."""
    return offsets.square().mean((1, 2))


def row_spread(offsets: torch.Tensor) -> torch.Tensor:
    """Mean square distance of rows (N, rows, D) from their mean, each (N,); 0 if all are one w."""
    return pull(offsets - offsets.mean(1, keepdim=True))


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
        folder = hub.resolve_model(s.base)
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

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
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
        """Nothing: what is learned lies in the network and its optimizer."""
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
            "license": s.license,
            "data": s.data_statement or f"{told(s.photos)}, and generated faces of {base}",
        }
        write_network(G, folder, style)
