"""StyleGAN's objective: data, networks and losses, as the trainer calls them."""

import copy
import math
from pathlib import Path

import torch
import torch.nn.functional as F
from accelerate.utils import reduce
from safetensors.torch import load_file, save
from torch import nn
from torch.utils.data import Dataset

from toonify.models import FACE_MODELS
from toonify.models.mobile_stylegan import MobileStyleGAN
from toonify.models.stylegan2 import StyleGAN2Generator
from training.core import losses, records
from training.core.model_io import open_network
from training.core.perceptual import MobileNetV2Features
from training.data.aligned import AlignedDataset, PairedDataset, seeded_normal, warn_of_few
from training.gan import losses as gan_losses
from training.gan import objective as gan_objective
from training.gan.discriminators import NoDiscriminator
from training.gan.objective import PATH, WINDOW, GANObjective, new_discriminator
from training.metrics import distances
from training.stylegan.config import StyleGANSettings

CELLS = 16  # along a side of an image, whose mean colors --weight-color compares


def transfer(target: nn.Module, source: nn.Module) -> tuple[list[str], list[str]]:
    """Copies tensors with the same name and shape; returns the names of (copied, other) tensors."""
    ours, theirs = target.state_dict(), source.state_dict()
    copied = [k for k, v in ours.items() if k in theirs and theirs[k].shape == v.shape]
    target.load_state_dict(ours | {key: theirs[key] for key in copied})
    return copied, [key for key in ours if key not in copied]


def open_generator(settings: StyleGANSettings) -> StyleGAN2Generator | MobileStyleGAN:
    """Opens or creates the generator to train.

    If the sizes of `start_from` differ, a new one gets its matching layers.

    Raises:
        ValueError: MobileStyleGAN has no image head of that size, or no layer matches.
    """
    s = settings
    start = open_network("--start-from", s.start_from, FACE_MODELS) if s.start_from else None
    if isinstance(start, MobileStyleGAN):
        heads = start.synthesis.heads
        if s.resolution not in heads:
            raise ValueError(
                f"--resolution {s.resolution}: expected one of the image heads {heads} "
                f"of {s.start_from}"
            )
        return start
    if start is not None and start.resolution == s.resolution:
        return start
    new = StyleGAN2Generator(
        resolution=s.resolution,
        z_dim=s.latent,
        w_dim=s.latent,
        mapping_layers=s.mapping_layers,
        channel_base=s.channel_base,
        channel_max=s.channel_max,
        conv_clamp=s.conv_clamp or None,
    )
    if start is not None:
        copied, left = transfer(new, start)
        if not any(name.startswith("synthesis.") and "noise" not in name for name in copied):
            raise ValueError(
                f"--start-from {s.start_from}: no layer matches --channel-base "
                f"{s.channel_base}, --channel-max {s.channel_max}, --latent {s.latent}"
            )
        if s.weight_color and any(
            name.startswith("synthesis.") and "noise" not in name for name in left
        ):
            raise ValueError(
                f"--weight-color {s.weight_color}: expected a --start-from of "
                f"{s.resolution} px with these channels, as new layers have no colors to keep"
            )
        print(f"{len(copied)} tensors are from {s.start_from}, {len(left)} are new")
    return new


class GeneratorWrapper(gan_objective.GeneratorWrapper):
    """A generator as the trainer calls it; `noise` inputs in training, constant ones otherwise.

    Args:
        generator: the generator.
        side: side of its images in px.
        noise: noise inputs in training: random, const or none.
        window: side in px of the windows that `forward` returns; 0 for whole images.
    """

    def __init__(self, generator, side: int, noise: str, window: int = 0):
        super().__init__(generator)
        self.side, self.noise, self.window = side, noise, window

    def forward(self, batch: dict[str, torch.Tensor]):
        if not self.window:
            return super().forward(batch)
        ws = self.latents(batch, update_w_avg=self.training)
        return self.windows(ws, batch["corner"]), ws

    def latents(self, batch: dict[str, torch.Tensor], update_w_avg: bool = False) -> torch.Tensor:
        """w+ (N, num_ws, D): the batch's `w`, or that of its noise."""
        return batch["w"] if "w" in batch else super().latents(batch, update_w_avg)

    def synthesize(self, ws: torch.Tensor) -> torch.Tensor:
        """Images (N, 3, side, side) of w+."""
        noise = self.noise if self.training else "const"
        return self.generator.synthesis(ws, self.side, noise)

    def windows(self, ws: torch.Tensor, corners: torch.Tensor) -> torch.Tensor:
        """A window of each full image, at its corner (row, column)."""
        return torch.cat(
            [
                self.generator.synthesis.window(one[None], *corner, self.window, self.noise)
                for one, corner in zip(ws, corners.tolist(), strict=True)
            ]
        )


def freeze_unused(G: GeneratorWrapper) -> None:
    """Turns off gradients of layers that take no part in images of `side` px, or in windows."""
    synthesis = G.generator.synthesis
    if not isinstance(G.generator, MobileStyleGAN):
        for layer in synthesis.modules():
            if G.noise == "none" and hasattr(layer, "noise_strength"):
                layer.noise_strength.requires_grad_(False)
        return
    coarse = synthesis.resolution // 8
    for name, layer in synthesis.named_children():
        if name.startswith("rgb"):
            used = name == f"rgb{G.side}"
        else:
            at = 4 if name == "start" else int(name.removeprefix("b"))
            used = at > coarse if G.window else 2 * at <= G.side
        if not used:
            layer.requires_grad_(False)


def open_data(settings: StyleGANSettings, shape: tuple[int, int]) -> Dataset:
    """Opens pairs with w+ of that shape if `look` is set, else images; ValueError without any."""
    s = settings
    if not s.data:
        raise ValueError("--data: expected aligned images, or pairs with --look")
    if s.look:
        return PairedDataset(s.data, s.look, s.resolution, s.max_images, shape, s.seed)
    images = AlignedDataset(s.data, s.resolution, s.max_images, s.seed, s.mirror)
    warn_of_few(s.data, len(images.pictures))
    return images


def open_discriminator(settings: StyleGANSettings) -> nn.Module:
    """Creates the discriminator, or opens `d_from`; none without an adversarial loss."""
    s = settings
    if not s.weight_adversarial:
        return NoDiscriminator()
    D = new_discriminator(
        *(s, s.d_base or s.channel_base, s.d_max or s.channel_max),
        clamp=s.conv_clamp or None,
    )
    if s.d_from:
        try:
            D.load_state_dict(load_file(s.d_from))
        except (OSError, RuntimeError) as error:
            raise ValueError(f"--d-from {s.d_from}: {error}") from error
    if s.freeze_d:
        D.freeze(s.freeze_d)
    return D


class StyleGANObjective(GANObjective):
    """Adversarial training with path lengths, or pairs of a latent and its image."""

    family = "stylegan"
    sample_truncation = 0.7

    def __init__(
        self, settings: StyleGANSettings, device: torch.device, dataset: Dataset | None = None
    ):
        """`dataset` takes the place of that which the settings name; draws as `PairedDataset`'."""
        s = settings
        s.check()
        torch.manual_seed(s.seed)
        generator = open_generator(s)
        G = GeneratorWrapper(generator.train(), s.resolution, s.noise, s.window)
        self.start = None
        if s.weight_color:
            self.start = copy.deepcopy(G).eval().requires_grad_(False).to(device)
        if s.window and not isinstance(generator, MobileStyleGAN):
            raise ValueError(f"--window {s.window}: expected a MobileStyleGAN to start from")
        freeze_unused(G)
        if s.freeze_mapping:
            generator.mapping.requires_grad_(False)
        dataset = dataset or open_data(s, (generator.num_ws, generator.config.w_dim))
        super().__init__(s, device, G, open_discriminator(s), dataset)
        self.path = gan_losses.PathMean()
        self.features = None
        if s.look:
            self.features = MobileNetV2Features(distances.STAGES).to(device)
            # From fixed samples, so that a resumed run has the same units.
            some = [self.dataset[i]["real"] for i in range(24)]
            some = [F.interpolate(x[None].float(), size=(256, 256), mode="area") for x in some]
            self.features.calibrate((torch.cat(some) / 127.5 - 1).to(device))
        self.weights = {
            "adversarial": s.weight_adversarial,
            "color": s.weight_color,
            "path": s.weight_path * s.path_every,
            "pair": s.weight_pair,
            "pair_features": s.weight_pair_features,
        }

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """One for each network; "init" is the generator's without a discriminator."""
        s = self.settings
        betas = (0.0, s.beta2)
        groups = []
        for p in self.G.parameters():
            if not p.requires_grad:
                continue
            # Adam's steps do not depend on the size of a tensor.
            size = float(p.detach().square().mean().sqrt())
            share = max(size, 1e-3) if s.relative_rates else 1.0
            groups.append({"params": [p], "share": share})
        if not s.weight_adversarial:
            return {"init": torch.optim.Adam(groups, s.lr_g, (0.9, s.beta2))}
        return {
            "g": torch.optim.Adam(groups, s.lr_g, betas),
            "d": torch.optim.Adam(self.D.parameters(), s.lr_d, betas),
        }

    def checkpointables(self) -> list:
        """The probability of ADA and the mean path length."""
        return [*super().checkpointables(), self.path]

    def schedule(self, images: int) -> dict[str, float]:
        """Learning rates: constant, then a cosine down to a tenth."""
        if not self.settings.weight_adversarial:
            return {"init": self.decay(images) * self.settings.lr_g}
        return super().schedule(images)

    def uses_discriminator(self, images: int) -> bool:
        return bool(self.settings.weight_adversarial)

    def preprocess(self, batch):
        """Real images in [-1, 1], their w or noise, and windows of them with `--window`."""
        out, size = super().preprocess(batch), self.settings.window
        if "w" in batch:
            out["w"] = batch["w"].float()
        if size:
            out["corner"] = self.corners(out["seed"]).to(out["real"].device)
            out["real"] = torch.stack(
                [
                    picture[:, row : row + size, column : column + size]
                    for picture, (row, column) in zip(
                        out["real"], out["corner"].tolist(), strict=True
                    )
                ]
            )
        return out

    def corners(self, seeds: torch.Tensor) -> torch.Tensor:
        """(N, 2) corners of windows, in multiples of 8 px, mostly near the middle of the face."""
        s = self.settings
        room = (s.resolution - s.window) // 8
        middle = torch.tensor([0.56, 0.5]) * room
        at = middle + seeded_normal(seeds, WINDOW, 2) * 0.22 * room
        return 8 * at.round().clamp(0, room).long()

    def generator(self, D, output, batch, images: int):
        """Adversarial loss, color and pair distances, and path lengths when due."""
        s, image = self.settings, output[0]
        parts = {}
        if D is not None:
            parts["adversarial"] = self.adversarial_loss(D, image, batch)
        if self.start is not None:
            parts["color"] = self.color_distance(image, batch)
        if s.weight_pair or s.weight_pair_features:
            parts["pair"] = F.l1_loss(image.float(), batch["real"])
            found = list(self.features(image.float()).values())
            with torch.no_grad():
                target = list(self.features(batch["real"]).values())
            parts["pair_features"] = losses.feature_distance(found, target)
        if s.weight_path and images // s.batch % s.path_every == 0:
            parts["path"] = self.path_penalty(batch)
        return losses.total(parts, self.weights)

    def color_distance(self, image: torch.Tensor, batch) -> torch.Tensor:
        """Mean absolute error of Y, U and V, each about 0 to 1, from the start's image.

        Both images come from the same noise and are compared by the means of `CELLS` x `CELLS`
        cells: skin keeps its tone, while strokes and shapes may change.
        """
        with torch.no_grad():
            before = self.forward(self.start, batch)[0]
        cell = max(1, image.shape[-1] // CELLS)
        ours, theirs = (losses.yuv(F.avg_pool2d(x.float(), cell)) for x in (image, before))
        return F.l1_loss(ours, theirs)

    def path_penalty(self, batch) -> torch.Tensor:
        """Path length penalty of the first images of the batch, generated again in float32."""
        few = math.ceil(self.settings.path_share * len(batch["real"]))
        some = {k: v[:few] for k, v in batch.items() if k not in ("real", "seed")}
        with torch.autocast(batch["real"].device.type, enabled=False):
            ws = self.G.latents(some)
            if not ws.requires_grad:  # with a frozen mapping
                ws = ws.detach().requires_grad_(True)
            image = self.G.synthesize(ws)
            noise = seeded_normal(batch["seed"][:few], PATH, *image.shape[1:]).to(image.device)
            lengths = gan_losses.path_lengths(image, ws, noise)
        mean = float(reduce(lengths.detach().mean(), "mean"))
        return self.path.penalty(lengths, mean)

    def export(self, G: GeneratorWrapper, folder: Path, images_seen: int) -> None:
        """Writes the EMA weights as a generator's folder, and the discriminator beside it."""
        super().export(G, folder, images_seen)
        if self.settings.weight_adversarial:
            state = {k: v.contiguous().cpu() for k, v in self.D.state_dict().items()}
            records.write_bytes(save(state), folder.parent / "critic.safetensors")
