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
from training.core.run_info import redact_path
from training.data.aligned import pixels, seeded_normal
from training.data.images import spread
from training.data.sources import open_pictures
from training.encoder.config import EncoderSettings
from training.encoder.dataset import EncoderDataset
from training.encoder.facenet import FaceNet
from training.encoder.generated_faces import (
    FRAME,
    NOISE,
    SOFT,
    generate,
    move,
    relight,
    soften,
    uniforms,
)
from training.encoder.initialization import calibrate, fit_ridge, new_encoder
from training.gan.discriminators import NoDiscriminator
from training.metrics.contact_sheet import sheet

SAMPLES = 8
VALIDATED = 24  # photos that are scored
CALIBRATED = 32  # photos that calibrate the perceptual stages
BLUR = (96, 224)  # range of px that a blurred face is reduced to
LAST_RATE = 0.03  # final share of the learning rate
RIDGE = "ridge.safetensors"  # in the run's folder


def mean_square(offsets: torch.Tensor) -> torch.Tensor:
    """Mean square (N,) of offsets (N, L, D) from the mean w."""
    return offsets.square().mean((1, 2))


def layer_variance(offsets: torch.Tensor) -> torch.Tensor:
    """Variance (N,) of offsets (N, L, D) over the layers; 0 if all layers have one w."""
    return mean_square(offsets - offsets.mean(1, keepdim=True))


class EncoderObjective:
    """Reconstruction of photos from their w+, and regression of the w+ of generated faces."""

    def __init__(self, settings: EncoderSettings, device: torch.device):
        self.settings = s = settings
        s.check()
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
        self.D = NoDiscriminator()
        for network in (self.base, self.G.backbone):
            network.to(memory_format=torch.channels_last)
        self.base.to(device)
        self.G.to(device)
        self.identity = FaceNet().to(device) if s.identity else None
        self.dataset = EncoderDataset(s.photos, s.max_images, s.generated_share, s.seed, s.flips)
        self.sample_faces = self.to_tensors(spread(self.dataset.photos.pictures, SAMPLES))
        self.held_out = []
        if s.validate:
            self.held_out = self.to_tensors(
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

    def initialize(self) -> None:
        """Calibrates a new encoder and fits its linear path; a resumed run has both already."""
        s = self.settings
        if s.start_from or checkpoints(Path(s.out)):
            return
        calibrate(self.G, self.to_tensors(spread(self.dataset.photos.pictures, CALIBRATED)))
        if s.ridge_faces:
            with PartialState(cpu=self.device.type == "cpu").main_process_first():
                self.initialize_ridge()

    def open_encoder(self) -> Encoder:
        """Creates the encoder or opens `start_from`; ValueError if that is for another base."""
        s, base = self.settings, self.base
        if not s.start_from:
            return new_encoder(s, base).train()
        encoder = open_network("--start-from", s.start_from, {"encoder": Encoder})
        theirs = (encoder.config.num_ws, encoder.config.w_dim)
        if theirs != (base.num_ws, base.config.w_dim):
            raise ValueError(
                f"--start-from {s.start_from}: has w+ of {theirs[0]} layers of {theirs[1]}, and "
                f"--base {s.base} {base.num_ws} of {base.config.w_dim}; expected an encoder of "
                "that base"
            )
        if encoder.config.side != SIDE:
            raise ValueError(
                f"--start-from {s.start_from}: takes {encoder.config.side} px, expected {SIDE}"
            )
        return encoder.train()

    def initialize_ridge(self) -> None:
        """Fits the linear path, or reads what an earlier start of the same run has fitted."""
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
        shape = (self.G.config.free_layers, self.G.config.squeezed)
        fitted_to = [hub.fingerprint(hub.weights_file(folder)), shape, arguments]
        metadata = {"fitted_to": json.dumps(fitted_to)}
        parts = {"regression": self.G.regression, "offsets": self.G.offsets}
        if file.exists():
            with safe_open(file, "pt") as kept:
                if kept.metadata() == metadata:
                    for name, part in parts.items():
                        for key, value in part.state_dict().items():
                            value.copy_(kept.get_tensor(f"{name}.{key}"))
                    return
        error, mean_face = fit_ridge(self.G, self.base, **arguments)
        print(f"ridge: error {error:.3f} on left-out faces, {mean_face:.3f} for the mean face")
        tensors = {
            f"{name}.{key}": value.contiguous()
            for name, part in parts.items()
            for key, value in part.state_dict().items()
        }
        records.write_bytes(save(tensors, metadata), file)

    def to_tensors(self, pictures) -> list[torch.Tensor]:
        """Squares (1, 3, SIDE, SIDE) of images in [-1, 1] on the device."""
        found = [pixels(picture, SIDE)[None].to(self.device) for picture in pictures]
        return [one.float() / 127.5 - 1 for one in found]

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """One; the learning rates of the linear path are relative to the size of its tensors."""
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

    def checkpointables(self) -> list:
        return []

    def schedule(self, images: int) -> dict[str, float]:
        """The learning rate: linear rise, constant, linear fall."""
        s = self.settings
        up = min(1.0, (images + s.batch) / s.warmup_images) if s.warmup_images else 1.0
        down = min(1.0, (s.max_images - images) / s.decay_images) if s.decay_images else 1.0
        return {"init": s.lr * min(up, max(down, LAST_RATE))}

    def uses_discriminator(self, images: int) -> bool:
        return False

    def preprocess(self, batch):
        """Faces in [-1, 1], degraded copies for the encoder, and w+ of those that are generated."""
        s, seeds, generated = self.settings, batch["seed"].cpu(), batch["generated"]
        face = batch["photo"].float() / 127.5 - 1
        face = self.reframe(face, seeds)
        ws = face.new_zeros(len(face), self.base.num_ws, self.base.config.w_dim)
        if generated.any():
            ours = generated.cpu()
            face[generated], ws[generated] = generate(
                self.base, self.G.layer_of, seeds[ours], s.truncation, s.mixed_share
            )
        degraded = self.degrade(face, seeds)
        return {"face": face, "degraded": degraded, "ws": ws, "generated": generated}

    def reframe(self, face: torch.Tensor, seeds: torch.Tensor) -> torch.Tensor:
        """Rotates, scales, shifts and relights a share of the photos (N, 3, H, W)."""
        s, u = self.settings, uniforms(seeds, FRAME, 9).to(face.device)
        by = (2 * u[:, 1:] - 1) * (u[:, :1] < s.reframed_share)
        face = move(face, s.turn_degrees * by[:, 0], 1 + s.scale * by[:, 1], s.shift * by[:, 2:4])
        return relight(face, 1 + s.light * by[:, 4], 1 + s.tint * by[:, 5:])

    def degrade(self, face: torch.Tensor, seeds: torch.Tensor) -> torch.Tensor:
        """Blurs a share of the faces (N, 3, H, W), and adds noise to all."""
        s, u = self.settings, uniforms(seeds, SOFT, 3)
        low, high = BLUR
        blurred = [
            soften(one, int(low + (high - low) * size)) if chance < s.blurred_share else one
            for one, (chance, size, _) in zip(face.split(1), u.tolist(), strict=True)
        ]
        noise = s.noise * u[:, 2].view(-1, 1, 1, 1) * seeded_normal(seeds, NOISE, *face.shape[1:])
        return torch.cat(blurred) + noise.to(face.device)

    def forward(self, G, batch):
        """w+ of the faces."""
        return G(batch["degraded"])

    def head(self, images: int) -> int:
        """Size in px of the image head that is used after `images`."""
        return next(px for start, px in reversed(self.settings.heads) if images >= start)

    def compare(self, G: Encoder, ws: torch.Tensor, face: torch.Tensor, side: int):
        """Distances of the base's images of w+ from faces (N, 3, SIDE, SIDE), at `side` px."""
        image = self.base.synthesis(ws, side).float()
        target = F.interpolate(face, size=(side, side), mode="area")
        with torch.no_grad():
            target_features = G.perceive(target)
        weight = face_weight(side, face.device)
        parts = distances(image, target, G.perceive(image), target_features, weight)
        if self.identity:
            with torch.no_grad():
                person = self.identity(face)
            parts["identity"] = (self.identity(image) - person).square().sum(1).mean()
        return parts

    def generator(self, D, output, batch, images: int):
        """Reconstruction and regularization of photos, regression of generated faces.

        Means are over the expected numbers of either kind in a batch, so that it does not matter
        how several processes share them.
        """
        s, G, generated = self.settings, self.G, batch["generated"]
        ws = output.float()
        layers = G.config.free_layers + 1
        offsets = (ws[:, :layers] - G.w_avg) / G.w_std
        photos, found = (kind.nonzero().flatten() for kind in (~generated, generated))
        count = len(ws) * (1 - s.generated_share)
        # Zero times w+, so that every process has every part, and a gradient of every weight.
        parts = dict.fromkeys(("pixels", "perceptual"), ws.sum() * 0)
        if self.identity:
            parts["identity"] = ws.sum() * 0
        # One by one on a CPU, as larger batches do not fit its cache.
        for some in photos.split(1 if ws.device.type == "cpu" else len(ws)):
            if len(some):
                found_parts = self.compare(G, ws[some], batch["face"][some], self.head(images))
                for name, part in found_parts.items():
                    parts[name] = parts[name] + part * len(some) / count
        parts["pull"] = mean_square(offsets[photos]).sum() / count
        parts["spread"] = layer_variance(offsets[photos]).sum() / count
        if s.generated_share:
            target = (batch["ws"][found][:, :layers] - G.w_avg) / G.w_std
            parts["w"] = mean_square(offsets[found] - target).sum() / (len(ws) * s.generated_share)
        return losses.total(parts, self.weights)

    @torch.no_grad()
    def sample(self, G, path: Path) -> None:
        """Writes the sample grid: photos above, their reconstructions below."""
        side = self.settings.heads[-1][1]
        reconstructed = [self.base.synthesis(G(face), side) for face in self.sample_faces]
        rows = [
            [images.to_pil(face.cpu()) for face in faces]
            for faces in (self.sample_faces, reconstructed)
        ]
        images.save(sheet(rows, side), path)

    @torch.no_grad()
    def validate(self, G) -> dict[str, float]:
        """Distances of reconstructions from the photos of `--validate`; empty without."""
        if not self.held_out:
            return {}
        side, figures = self.settings.heads[-1][1], {}
        for face in self.held_out:
            for name, part in self.compare(G, G(face), face, side).items():
                figures[name] = figures.get(name, 0.0) + float(part) / len(self.held_out)
        return figures | {"score": figures["perceptual"] + figures["pixels"]}

    def export(self, G, folder: Path, images_seen: int) -> None:
        """Writes the EMA weights as an encoder's folder: config.json, fp16 weights, style.json."""
        s, base = self.settings, Path(self.settings.base).name
        style = {
            "title": s.title or folder.parent.name.replace("_", " ").capitalize(),
            "description": f"Finds a face in the latent space of {base}. Trained on "
            f"{images_seen:,} faces.",
            "scope": "face",
            "family": "stylegan-encoder",
            "license": s.license,
            "data": s.data_statement or f"{redact_path(s.photos)}, and generated faces of {base}",
        }
        write_network(G, folder, style)
