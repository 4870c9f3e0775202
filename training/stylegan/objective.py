"""StyleGAN's objective: data, networks and losses, as the trainer calls them."""

import copy
import math
from pathlib import Path

import torch
import torch.nn.functional as F
from accelerate.utils import reduce
from safetensors.torch import load_file, save_file
from torch import nn
from torch.utils.data import Dataset

from toonify.models import FACE_MODELS
from toonify.models.mobile_stylegan import MobileStyleGAN
from toonify.models.stylegan2 import StyleGAN2Generator
from training.core import losses
from training.core.model_io import open_network
from training.core.perceptual import MobileNetV2Features
from training.data.aligned import AlignedDraws, PairedDraws, normals
from training.gan import losses as gan_losses
from training.gan import objective as gan_objective
from training.gan.discriminators import NoCritic
from training.gan.objective import PATH, WINDOW, GANObjective, new_critic
from training.metrics import distances
from training.stylegan.config import StyleGANSettings, refuse_nonsense

CELLS = 16  # along a side of a picture, whose mean colors --weight-color looks at


def transfer(target: nn.Module, source: nn.Module) -> tuple[list[str], list[str]]:
    """Copies every tensor whose name and shape both have; returns (copied, left as they were)."""
    ours, theirs = target.state_dict(), source.state_dict()
    copied = [k for k, v in ours.items() if k in theirs and theirs[k].shape == v.shape]
    target.load_state_dict(ours | {key: theirs[key] for key in copied})
    return copied, [key for key in ours if key not in copied]


def open_generator(settings: StyleGANSettings) -> StyleGAN2Generator | MobileStyleGAN:
    """The generator to train: new, or `start_from`, its matching layers if sizes differ.

    Raises:
        ValueError: MobileStyleGAN has no image head of that size, or nothing fits.
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
                f"--start-from {s.start_from}: no layer of it fits --channel-base "
                f"{s.channel_base}, --channel-max {s.channel_max}, --latent {s.latent}"
            )
        if s.weight_color and any(
            name.startswith("synthesis.") and "noise" not in name for name in left
        ):
            raise ValueError(
                f"--weight-color {s.weight_color}: expected a --start-from that draws "
                f"{s.resolution} px with these channels, as new layers have no colors to keep"
            )
        print(f"{len(copied)} tensors come from {s.start_from}, {len(left)} are new")
    return new


class Trainee(gan_objective.Trainee):
    """A generator as the loop calls it: latents of a batch in, pictures and their w+ out.

    The noise inputs are `noise`'s while it is trained, and constant when it is looked at.
    """

    def __init__(self, generator, side: int, noise: str, window: int = 0):
        super().__init__(generator)
        self.side, self.noise, self.window = side, noise, window

    def forward(self, batch: dict[str, torch.Tensor]):
        if not self.window:
            return super().forward(batch)
        ws = self.latents(batch, follow=self.training)
        return self.windows(ws, batch["corner"]), ws

    def latents(self, batch: dict[str, torch.Tensor], follow: bool = False) -> torch.Tensor:
        """w+ (N, num_ws, D): the batch's own w or w+, or z's, from row `cut` on another's."""
        if "w" not in batch:
            return super().latents(batch, follow)
        w = batch["w"]
        return w if w.ndim == 3 else w[:, None].expand(-1, self.generator.num_ws, -1)

    def synthesize(self, ws: torch.Tensor) -> torch.Tensor:
        """Pictures (N, 3, side, side) of w+."""
        noise = self.noise if self.training else "const"
        return self.generator.synthesis(ws, self.side, noise)

    def windows(self, ws: torch.Tensor, corners: torch.Tensor) -> torch.Tensor:
        """A window of each full picture, from its corner (row, column) on."""
        return torch.cat(
            [
                self.generator.synthesis.window(one[None], *corner, self.window, self.noise)
                for one, corner in zip(ws, corners.tolist(), strict=True)
            ]
        )


def trained_layers(trainee: Trainee) -> None:
    """Leaves gradients on for what takes part: the layers that draw `side` px, or the windows."""
    synthesis = trainee.generator.synthesis
    if not isinstance(trainee.generator, MobileStyleGAN):
        for layer in synthesis.modules():
            if trainee.noise == "none" and hasattr(layer, "noise_strength"):
                layer.noise_strength.requires_grad_(False)
        return
    coarse = synthesis.resolution // 8
    for name, layer in synthesis.named_children():
        if name.startswith("rgb"):
            used = name == f"rgb{trainee.side}"
        else:
            at = 4 if name == "start" else int(name.removeprefix("b"))
            used = at > coarse if trainee.window else 2 * at <= trainee.side
        if not used:
            layer.requires_grad_(False)


def open_data(settings: StyleGANSettings, w_dim: int) -> Dataset:
    """Pairs if a look is named, else pictures alone; ValueError if there are none."""
    s = settings
    if not s.data:
        raise ValueError("--data: expected aligned pictures, or pairs with --look")
    if s.look:
        return PairedDraws(s.data, s.look, s.resolution, s.max_images, w_dim, s.seed)
    return AlignedDraws(s.data, s.resolution, s.max_images, s.seed, s.mirror)


def open_critic(settings: StyleGANSettings) -> nn.Module:
    """The discriminator, new or from a file; none if nothing is adversarial."""
    s = settings
    if not s.weight_adversarial:
        return NoCritic()
    critic = new_critic(
        *(s, s.critic_base or s.channel_base, s.critic_max or s.channel_max),
        clamp=s.conv_clamp or None,
    )
    if s.critic_from:
        try:
            critic.load_state_dict(load_file(s.critic_from))
        except (OSError, RuntimeError) as error:
            raise ValueError(f"--critic-from {s.critic_from}: {error}") from error
    if s.freeze_d:
        critic.freeze(s.freeze_d)
    return critic


class StyleGANObjective(GANObjective):
    """The game with path lengths, or pairs of a latent and its drawing."""

    family = "stylegan"
    sample_truncation = 0.7

    def __init__(
        self, settings: StyleGANSettings, device: torch.device, dataset: Dataset | None = None
    ):
        """`dataset` takes the place of that which the settings name; draws as `PairedDraws`'."""
        refuse_nonsense(settings)
        s = settings
        torch.manual_seed(s.seed)
        generator = open_generator(s)
        G = Trainee(generator.train(), s.resolution, s.noise, s.window)
        self.start = None
        if s.weight_color:
            self.start = copy.deepcopy(G).eval().requires_grad_(False).to(device)
        if s.window and not isinstance(generator, MobileStyleGAN):
            raise ValueError(f"--window {s.window}: expected a MobileStyleGAN to start from")
        trained_layers(G)
        if s.freeze_mapping:
            generator.mapping.requires_grad_(False)
        dataset = dataset or open_data(s, generator.config.w_dim)
        super().__init__(s, device, G, open_critic(s), dataset)
        self.path = gan_losses.PathMean()
        self.features = None
        if s.look:
            self.features = MobileNetV2Features(distances.STAGES).to(device)
            # Of fixed draws, so that a resumed run has the same units.
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
        """One for each network; "init" is the generator's where there is no discriminator."""
        s = self.settings
        betas = (0.0, s.beta2)
        groups = []
        for p in self.G.parameters():
            if not p.requires_grad:
                continue
            # Folded weights have sizes of their own; Adam's steps have not.
            size = float(p.detach().square().mean().sqrt())
            share = max(size, 1e-3) if s.relative_rates else 1.0
            groups.append({"params": [p], "share": share})
        if not s.weight_adversarial:
            return {"init": torch.optim.Adam(groups, s.lr_g, (0.9, s.beta2))}
        return {
            "g": torch.optim.Adam(groups, s.lr_g, betas),
            "d": torch.optim.Adam(self.D.parameters(), s.lr_d, betas),
        }

    def memory(self) -> list:
        """The probability of ADA and the mean path length."""
        return [*super().memory(), self.path]

    def schedule(self, images: int) -> dict[str, float]:
        """Learning rates: constant, then a cosine down to a tenth."""
        if not self.settings.weight_adversarial:
            return {"init": self.decay(images) * self.settings.lr_g}
        return super().schedule(images)

    def adversarial(self, images: int) -> bool:
        return bool(self.settings.weight_adversarial)

    def unpack(self, batch):
        """Real pictures in [-1, 1], their w or latents from their seeds, a window for each."""
        out, size = super().unpack(batch), self.settings.window
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
        """(N, 2) corners of windows, in multiples of 8 px, mostly about the middle of the face."""
        s = self.settings
        room = (s.resolution - s.window) // 8
        middle = torch.tensor([0.56, 0.5]) * room
        drawn = middle + normals(seeds, WINDOW, 2) * 0.22 * room
        return 8 * drawn.round().clamp(0, room).long()

    def generator(self, D, drawn, batch, images: int):
        """Adversarial loss, distances from the start and from drawings, path lengths when due."""
        s, picture = self.settings, drawn[0]
        parts = {}
        if D is not None:
            parts["adversarial"] = self.deceit(D, picture, batch)
        if self.start is not None:
            parts["color"] = self.color_distance(picture, batch)
        if s.weight_pair or s.weight_pair_features:
            parts["pair"] = F.l1_loss(picture.float(), batch["real"])
            found = list(self.features(picture.float()).values())
            with torch.no_grad():
                target = list(self.features(batch["real"]).values())
            parts["pair_features"] = losses.feature_distance(found, target)
        if s.weight_path and images // s.batch % s.path_every == 0:
            parts["path"] = self.path_penalty(batch)
        return losses.total(parts, self.weights)

    def color_distance(self, picture: torch.Tensor, batch) -> torch.Tensor:
        """Mean absolute error of Y, U and V, each about 0 to 1, to the start's picture (scalar).

        Both are drawn of the same noise, (N, 3, side, side), and compared by means of `CELLS` x
        `CELLS` cells. Skin keeps its tone and hair its place, strokes and shapes are free.
        """
        with torch.no_grad():
            before = self.draw(self.start, batch)[0]
        cell = max(1, picture.shape[-1] // CELLS)
        ours, theirs = (losses.yuv(F.avg_pool2d(x.float(), cell)) for x in (picture, before))
        return F.l1_loss(ours, theirs)

    def path_penalty(self, batch) -> torch.Tensor:
        """Of the first of the batch, drawn again in float32."""
        few = math.ceil(self.settings.path_share * len(batch["real"]))
        some = {k: v[:few] for k, v in batch.items() if k not in ("real", "seed")}
        with torch.autocast(batch["real"].device.type, enabled=False):
            ws = self.G.latents(some)
            if not ws.requires_grad:  # of a frozen mapping
                ws = ws.detach().requires_grad_(True)
            picture = self.G.synthesize(ws)
            noise = normals(batch["seed"][:few], PATH, *picture.shape[1:]).to(picture.device)
            lengths = gan_losses.path_lengths(picture, ws, noise)
        mean = float(reduce(lengths.detach().mean(), "mean"))
        return self.path.penalty(lengths, mean)

    def export(self, G: Trainee, folder: Path, images_seen: int) -> None:
        """Writes the slow copy as a generator's folder, and the discriminator beside it."""
        super().export(G, folder, images_seen)
        if self.settings.weight_adversarial:
            part = folder.parent / ".critic.part"
            save_file({k: v.contiguous().cpu() for k, v in self.D.state_dict().items()}, part)
            part.rename(folder.parent / "critic.safetensors")
