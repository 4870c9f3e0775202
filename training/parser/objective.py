"""The parser's objective: data, network and losses, as the trainer calls them."""

import math
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import nn
from torchvision.models import mobilenet_v2

from toonify import images
from toonify.models.parser import CLASSES, FaceParser
from training.core import losses, perceptual
from training.core.model_io import open_network, write_network
from training.core.perceptual import StridedDepthwise
from training.core.run_info import redact_path
from training.data.sources import open_pictures
from training.gan.discriminators import NoDiscriminator
from training.parser import losses as mask_losses
from training.parser.config import ParserSettings
from training.parser.dataset import ParserDataset, to_masks

SAMPLES = 12  # of the data set, in a sample grid
SIDE = 256  # px at which photos are scored
LAST_RATE = 0.02  # final share of the learning rate
COLORS = ((200, 60, 60), (240, 200, 60), (60, 120, 240))  # of hair, skin, clothes in a sample


class ParserObjective:
    """Cross-entropy and Dice loss of four masks."""

    def __init__(self, settings: ParserSettings, device: torch.device):
        self.settings = s = settings
        s.check()
        torch.manual_seed(s.seed)
        self.dataset = ParserDataset(s)
        if s.start_from:
            self.G = open_network("--start-from", s.start_from, {"parser": FaceParser})
        else:
            self.G = new_parser()
        self.G.train().to(memory_format=torch.channels_last)
        self.frozen = [self.G.stem, *self.G.stages[: s.frozen_stages]] if s.frozen_stages else []
        for part in self.frozen:
            part.eval().requires_grad_(False)
        for layer in self.G.modules():
            if isinstance(layer, nn.Conv2d) and layer.groups > 1 and layer.stride != (1, 1):
                layer.__class__ = StridedDepthwise  # the same weights, another forward
        self.D = NoDiscriminator()
        self.weights = {"cross_entropy": s.weight_cross_entropy, "dice": s.weight_dice}
        self.held_out = load_held_out(Path(s.validate)) if s.validate else []

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """One; the encoder has a share of the learning rate."""
        s, encoder = self.settings, [*self.G.stem.parameters(), *self.G.stages.parameters()]
        ours = {id(weights) for weights in encoder}
        groups = [
            {"params": [p for p in encoder if p.requires_grad], "share": s.encoder_rate},
            {"params": [p for p in self.G.parameters() if id(p) not in ours]},
        ]
        return {"init": torch.optim.Adam([g for g in groups if g["params"]], s.lr, (0.9, 0.99))}

    def checkpointables(self) -> list:
        return []

    def schedule(self, images: int) -> dict[str, float]:
        """The learning rate: linear rise, constant, cosine fall."""
        s = self.settings
        rise = min(1.0, (images + s.batch) / s.warmup_images) if s.warmup_images else 1.0
        left = min(1.0, (s.max_images - images) / s.decay_images) if s.decay_images else 1.0
        fall = (1 - math.cos(math.pi * left)) / 2
        return {"init": s.lr * rise * (LAST_RATE + (1 - LAST_RATE) * fall)}

    def uses_discriminator(self, images: int) -> bool:
        return False

    def preprocess(self, batch):
        """uint8 -> photos in [-1, 1], channels last, and masks in [0, 1]."""
        photo = batch["photo"].float() / 127.5 - 1
        photo = photo.contiguous(memory_format=torch.channels_last)
        return {"photo": photo, "masks": batch["masks"].float() / 255}

    def forward(self, G, batch):
        return G(batch["photo"], logits=True)

    def generator(self, D, output, batch, images: int):
        """Cross-entropy, more at edges, and Dice loss."""
        logits, masks = output.float(), batch["masks"]
        parts = {
            "cross_entropy": mask_losses.cross_entropy(logits, masks, self.settings.edge_weight),
            "dice": mask_losses.dice(logits, masks),
        }
        return losses.total(parts, self.weights)

    @torch.no_grad()
    def sample(self, G, path: Path) -> None:
        """Writes the sample grid: augmented photos, their masks, the masks that are found."""
        rows: list[list[np.ndarray]] = [[], [], []]
        for index in range(SAMPLES):
            sample = self.dataset.sample(index, SIDE)
            batch = self.preprocess({name: value[None] for name, value in sample.items()})
            device = next(G.parameters()).device
            found = G(batch["photo"].to(device))[0].cpu()
            photo = sample["photo"].permute(1, 2, 0).numpy()
            rows[0].append(photo)
            rows[1].append(overlay(photo, batch["masks"][0].numpy()))
            rows[2].append(overlay(photo, found.numpy()))
        sheet = np.concatenate([np.concatenate(row, 1) for row in rows])
        images.save(Image.fromarray(sheet), path)

    @torch.no_grad()
    def validate(self, G) -> dict[str, float]:
        """Overlap and edge scores with the masks of `--validate`; empty without."""
        if not self.held_out:
            return {}
        device = next(G.parameters()).device
        overlaps, edges = [], []
        for photo, masks in self.held_out:
            found = (G(photo.to(device)) > 0.5).cpu()
            overlaps.append(mask_losses.overlap(found, masks))
            edges.append(mask_losses.edge_score(found, masks))
        iou, edge = torch.cat(overlaps).mean(0).tolist(), torch.cat(edges).mean(0).tolist()
        figures = {f"iou_{name}": value for name, value in zip(CLASSES, iou, strict=True)}
        figures |= {f"edge_{name}": value for name, value in zip(CLASSES, edge, strict=True)}
        return figures | {"score": 1 - sum(iou) / len(iou)}

    def export(self, G, folder: Path, images_seen: int) -> None:
        """Writes the EMA weights as a parser's folder: config.json, fp16 weights, style.json."""
        s = self.settings
        sources = (s.data, s.scenes, s.drawings)
        style = {
            "title": s.title or "Face parser",
            "description": f"Finds person, hair, skin and clothes. Trained on {images_seen:,} "
            "samples.",
            "scope": "photo",
            "family": "parser",
            "license": s.license,
            "data": s.data_statement or ", ".join(map(redact_path, filter(None, sources))),
        }
        write_network(G, folder, style)


def new_parser() -> FaceParser:
    """A parser whose encoder has ImageNet's weights."""
    parser, found = FaceParser(), load_file(perceptual.BUNDLED)
    encoder = {k: v for k, v in parser.state_dict().items() if k.startswith(("stem.", "stages."))}
    blocks = 1 + sum(len(stage) for stage in parser.stages)
    # torchvision's tensors have other names and the same order.
    names = mobilenet_v2(weights=None).features[:blocks].state_dict()
    for name, own in zip(names, encoder.values(), strict=True):
        if not name.endswith("num_batches_tracked"):
            own.copy_(found[f"features.{name}"])
    return parser


def load_held_out(data: Path) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Photos (1, 3, SIDE, SIDE) in [-1, 1] and boolean masks (1, 4, SIDE, SIDE) of a folder."""
    found = []
    for picture in open_pictures(data / "photos", "validation photos"):
        labels = np.asarray(Image.open(data / "masks" / f"{picture.name}.png"))
        size = {"dsize": (SIDE, SIDE), "interpolation": cv2.INTER_AREA}
        photo = cv2.resize(np.asarray(picture.load()), **size)
        masks = cv2.resize(to_masks(labels), **size)
        photo = torch.from_numpy(photo).permute(2, 0, 1)[None].float() / 127.5 - 1
        found.append((photo, torch.from_numpy(masks > 127).permute(2, 0, 1)[None]))
    return found


def overlay(photo: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """A photo, uint8 (H, W, 3), with colored masks (4, H, W); darker without a person."""
    colors = np.array(COLORS, np.float32)
    color = np.tensordot(masks[1:], colors, (0, 0)) / np.maximum(masks[1:].sum(0), 1)[..., None]
    share = 0.5 * masks[1:].sum(0).clip(0, 1)[..., None]
    lit = photo * (0.35 + 0.65 * masks[0][..., None])
    return np.clip(lit * (1 - share) + color * share, 0, 255).astype(np.uint8)
