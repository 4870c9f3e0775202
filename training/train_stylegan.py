"""Trains StyleGAN2 or fine-tunes MobileStyleGAN: pictures go in, a generator's folder comes out.

    accelerate launch training/train_stylegan.py --preset laptop64 --data FACES --out runs/faces
    accelerate launch training/train_stylegan.py --preset transfer --data TOONS --out runs/toons
    accelerate launch training/train_stylegan.py --preset toon --data PAIRS --look LOOK --out runs/x

The first learns from noise, the second goes on from a generator of ours, the third learns from
pairs that `training/prepare/toon_teacher.py --generator` drew. `runs/NAME/model` can be opened by
the pipeline; `--resume` goes on exactly where a run stopped.
"""

import math
import sys
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
import torch.nn.functional as F
from accelerate import PartialState
from accelerate.utils import reduce
from safetensors.torch import load_file, save_file
from torch import nn
from torch.utils.data import Dataset

from toonify import images
from toonify.models import FACE_MODELS
from toonify.models.mobile_stylegan import MobileStyleGAN
from toonify.models.stylegan2 import StyleGAN2Generator
from training import front_door, gan_losses, losses, metrics
from training.aligned import AlignedDraws, PairedDraws, normals
from training.augment import AUGMENTATIONS, AdaptiveP, augment, diff_augment
from training.discriminators import NoCritic, StyleGAN2Discriminator
from training.folders import open_network, write_network
from training.loop import pick_device
from training.perceptual import MobileNetV2Features
from training.presets import resolve
from training.sheets import sheet
from training.stylegan_presets import (
    STYLEGAN_PRESETS,
    StyleGANSettings,
    gamma_of,
    refuse_nonsense,
)

W_AVG_DECAY = 0.995
SAMPLES = 24
SAMPLE_PX = 256
SAMPLE_TRUNCATION = 0.7
REAL, FAKE_D, FAKE_G, Z, OTHER, CUT, PATH, WINDOW = range(8)  # salts of a sample's numbers


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
        print(f"{len(copied)} tensors come from {s.start_from}, {len(left)} are new")
    return new


class Trainee(nn.Module):
    """A generator as the loop calls it: latents of a batch in, pictures and their w+ out."""

    def __init__(self, generator, side: int, noise: str, window: int = 0):
        super().__init__()
        self.generator, self.side = generator, side
        self.noise, self.window = noise, window

    def forward(self, batch: dict[str, torch.Tensor]):
        ws = self.latents(batch, follow=self.training)
        if self.window:
            return self.windows(ws, batch["corner"]), ws
        return self.synthesise(ws), ws

    def latents(self, batch: dict[str, torch.Tensor], follow: bool = False) -> torch.Tensor:
        """w+ (N, num_ws, D): the batch's own w or w+, or z's, from row `cut` on another's."""
        rows = self.generator.num_ws
        if "w" in batch:
            w = batch["w"]
            return w if w.ndim == 3 else w[:, None].expand(-1, rows, -1)
        w, other = self.generator.mapping(torch.cat((batch["z"], batch["other"]))).chunk(2)
        if follow:
            self.track(w)
        first = torch.arange(rows, device=w.device)[None] < batch["cut"][:, None]
        return torch.where(first[..., None], w[:, None], other[:, None])

    @torch.no_grad()
    def track(self, w: torch.Tensor) -> None:
        """The mean of w follows; it does not for a frozen mapping, whose mean is known."""
        mapping = self.generator.mapping
        if next(mapping.parameters()).requires_grad:
            mean = reduce(w.detach().mean(0), "mean")
            mapping.w_avg.copy_(mean.lerp(mapping.w_avg, W_AVG_DECAY))

    def synthesise(self, ws: torch.Tensor, noise: str = "") -> torch.Tensor:
        """Pictures (N, 3, side, side) of w+; `noise` instead of that of training."""
        noise = noise or self.noise
        if isinstance(self.generator, MobileStyleGAN):
            return self.generator.synthesis(ws, self.side, noise)
        return self.generator.synthesis(ws, noise)

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


class StyleGANObjective:
    """Adversarial losses with lazy penalties and ADA, or pairs of a latent and its drawing."""

    def __init__(
        self, settings: StyleGANSettings, device: torch.device, dataset: Dataset | None = None
    ):
        """`dataset` takes the place of that which the settings name; draws as `PairedDraws`'."""
        refuse_nonsense(settings)
        self.settings = s = settings
        torch.manual_seed(s.seed)
        generator = open_generator(s)
        self.G = Trainee(generator.train(), s.resolution, s.noise, s.window)
        if s.window and not isinstance(generator, MobileStyleGAN):
            raise ValueError(f"--window {s.window}: expected a MobileStyleGAN to start from")
        trained_layers(self.G)
        if s.freeze_mapping:
            generator.mapping.requires_grad_(False)
        self.z_dim = generator.config.z_dim
        self.dataset = dataset or self.open_data(generator.config.w_dim)
        self.D = self.open_critic() if s.weight_adversarial else NoCritic()
        self.loss_d, self.loss_g = gan_losses.ADVERSARIAL[s.loss]
        self.ada = AdaptiveP(
            target=s.ada_target or 0.6, images_to_one=s.ada_images, cap=s.ada_cap, p=s.augment_p
        )
        self.path = gan_losses.PathMean()
        self.features = None
        if s.look:
            self.features = MobileNetV2Features(metrics.STAGES).to(device)
            # Of fixed draws, so that a resumed run has the same units.
            some = [self.dataset[i]["real"] for i in range(24)]
            some = [F.interpolate(x[None].float(), size=(256, 256), mode="area") for x in some]
            self.features.calibrate((torch.cat(some) / 127.5 - 1).to(device))
        self.weights = {
            "adversarial": s.weight_adversarial,
            "path": s.weight_path * s.path_every,
            "pair": s.weight_pair,
            "pair_features": s.weight_pair_features,
        }
        self.device = device
        self.sample_z = normals(torch.arange(SAMPLES), Z, self.z_dim)
        self.held_out = self.open_score() if s.validate else None

    def open_data(self, w_dim: int) -> Dataset:
        """Pairs if a look is named, else pictures alone; ValueError if there are none."""
        s = self.settings
        if not s.data:
            raise ValueError("--data: expected aligned pictures, or pairs with --look")
        if s.look:
            return PairedDraws(s.data, s.look, s.resolution, s.max_images, w_dim, s.seed)
        return AlignedDraws(s.data, s.resolution, s.max_images, s.seed, s.mirror)

    def open_critic(self) -> StyleGAN2Discriminator:
        """The discriminator, new or from a file; `group` is what its deviations are over."""
        s = self.settings
        share = s.batch // PartialState().num_processes
        self.group = min(s.mbstd_group, share)
        if share % self.group:
            raise ValueError(
                f"--mbstd-group {s.mbstd_group}: expected a divisor of the {share} pictures that "
                "a process has"
            )
        critic = StyleGAN2Discriminator(
            resolution=s.resolution,
            channel_base=s.critic_base or s.channel_base,
            channel_max=s.critic_max or s.channel_max,
            conv_clamp=s.conv_clamp or None,
            mbstd_group=self.group,
        )
        if s.critic_from:
            try:
                critic.load_state_dict(load_file(s.critic_from))
            except (OSError, RuntimeError) as error:
                raise ValueError(f"--critic-from {s.critic_from}: {error}") from error
        if s.freeze_d:
            critic.freeze(s.freeze_d)
        return critic

    def open_score(self) -> "SampleScore":
        """What scores the slow copy, against pictures kept out of training."""
        s = self.settings
        held = AlignedDraws(s.validate, s.resolution, s.score_samples, s.seed, mirror=False)
        return SampleScore(held, self.device)

    def optimisers(self) -> dict[str, torch.optim.Optimizer]:
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
        return [self.ada, self.path]

    def schedule(self, images: int) -> dict[str, float]:
        """Learning rates: constant, then a cosine down to a tenth."""
        s = self.settings
        left = min(1.0, (s.max_images - images) / s.decay_images) if s.decay_images else 1.0
        factor = 0.1 + 0.9 * (1 - math.cos(math.pi * left)) / 2
        if not s.weight_adversarial:
            return {"init": factor * s.lr_g}
        return {"g": factor * s.lr_g, "d": factor * s.lr_d}

    def adversarial(self, images: int) -> bool:
        return bool(self.settings.weight_adversarial)

    def unpack(self, batch):
        """Real pictures in [-1, 1], latents from the samples' seeds, a window for each."""
        s, seeds = self.settings, batch["seed"].cpu()
        out = {"real": batch["real"].float() / 127.5 - 1, "seed": seeds}
        if "w" in batch:
            out["w"] = batch["w"].float()
        else:
            rows = self.G.generator.num_ws
            u = torch.special.ndtr(normals(seeds, CUT, 2))
            cut = (1 + u[:, 1] * (rows - 1)).long()
            out["cut"] = torch.where(u[:, 0] < s.mixing, cut, torch.full_like(cut, rows))
            out["z"] = normals(seeds, Z, self.z_dim)
            out["other"] = normals(seeds, OTHER, self.z_dim)
        if s.window:
            out["corner"] = self.corners(seeds)
            x, size = out["real"], s.window
            out["real"] = torch.stack(
                [
                    picture[:, row : row + size, column : column + size]
                    for picture, (row, column) in zip(x, out["corner"].tolist(), strict=True)
                ]
            )
        return {k: v if k == "seed" else v.to(batch["real"].device) for k, v in out.items()}

    def corners(self, seeds: torch.Tensor) -> torch.Tensor:
        """(N, 2) corners of windows, in multiples of 8 px, mostly about the middle of the face."""
        s = self.settings
        room = (s.resolution - s.window) // 8
        middle = torch.tensor([0.56, 0.5]) * room
        drawn = middle + normals(seeds, WINDOW, 2) * 0.22 * room
        return 8 * drawn.round().clamp(0, room).long()

    def draw(self, G, batch):
        """Pictures and w+; the mean of w follows along."""
        # Noise inputs come from here on: of the samples, so that a resumed run has the same.
        torch.manual_seed(int(batch["seed"][0]))
        return G({key: v for key, v in batch.items() if key not in ("real", "seed")})

    def seen(self, picture: torch.Tensor, seeds: torch.Tensor, salt: int) -> torch.Tensor:
        """Pictures as the discriminator sees them: augmented."""
        kind = self.settings.augment
        seeds = seeds ^ (salt << 40)
        if kind == "none":
            return picture
        if kind == "diff":
            return diff_augment(picture, seeds)
        return augment(picture, self.ada.p, seeds, AUGMENTATIONS[kind])

    def discriminator(self, D, drawn, batch, images: int):
        """Scores of real and drawn pictures; every `r1_every` steps the slopes at them, in fp32."""
        s, seeds = self.settings, batch["seed"]
        fake = drawn[0].detach().float()
        pictures = torch.cat(
            (self.seen(batch["real"], seeds, REAL), self.seen(fake, seeds, FAKE_D))
        )
        # One forward for both, in an order that lets neither share a minibatch deviation.
        score = D(pictures) if self.group == 1 else self.apart(D, pictures)
        real, drawn_score = score.chunk(2)
        loss = s.weight_adversarial * self.loss_d(real, drawn_score)
        sign = reduce(real.detach().sign().mean(), "mean")
        logs = {"real": real.detach().mean(), "fake": drawn_score.detach().mean(), "sign": sign}
        if s.augment not in ("none", "diff") and s.ada_target:
            self.ada.update(float(sign), s.batch)
        logs["p"] = torch.tensor(float(self.ada.p))
        if images // s.batch % s.r1_every == 0:
            critic = getattr(D, "module", D)
            bare = partial(type(critic).forward, critic)
            for name, picture, salt in (("r1", batch["real"], REAL), ("r2", fake, FAKE_D)):
                if name == "r2" and not s.r2:
                    continue
                penalty = losses.r1_penalty(
                    lambda x, salt=salt: bare(self.seen(x, seeds, salt)), picture
                )
                loss = loss + gamma_of(s) * s.r1_every * penalty
                logs[name] = penalty.detach()
        return loss, logs

    def apart(self, D, pictures: torch.Tensor) -> torch.Tensor:
        """Scores of (real, drawn) in one forward, groups of the minibatch deviation unmixed.

        The groups of the discriminator are strided over the batch.
        """
        order = torch.cat(
            [part.view(self.group, -1) for part in torch.arange(len(pictures)).chunk(2)], 1
        ).flatten()
        score = D(pictures[order.to(pictures.device)])
        return score[order.argsort().to(score.device)]

    def generator(self, D, drawn, batch, images: int):
        """Adversarial loss, distances from the drawing of the same w, path lengths when due."""
        s, picture = self.settings, drawn[0]
        parts = {}
        if D is not None:
            fake = D(self.seen(picture.float(), batch["seed"], FAKE_G))
            real = None
            if s.loss == "relativistic":
                with torch.no_grad():
                    real = D(self.seen(batch["real"], batch["seed"], REAL))
            parts["adversarial"] = self.loss_g(fake, real)
        if s.weight_pair or s.weight_pair_features:
            parts["pair"] = F.l1_loss(picture.float(), batch["real"])
            found = list(self.features(picture.float()).values())
            with torch.no_grad():
                target = list(self.features(batch["real"]).values())
            parts["pair_features"] = losses.feature_distance(found, target)
        if s.weight_path and images // s.batch % s.path_every == 0:
            parts["path"] = self.path_penalty(batch)
        return losses.total(parts, self.weights)

    def path_penalty(self, batch) -> torch.Tensor:
        """Of the first of the batch, drawn again in float32."""
        few = math.ceil(self.settings.path_share * len(batch["real"]))
        some = {k: v[:few] for k, v in batch.items() if k not in ("real", "seed")}
        with torch.autocast(batch["real"].device.type, enabled=False):
            ws = self.G.latents(some)
            if not ws.requires_grad:  # of a frozen mapping
                ws = ws.detach().requires_grad_(True)
            picture = self.G.synthesise(ws)
            noise = normals(batch["seed"][:few], PATH, *picture.shape[1:]).to(picture.device)
            lengths = gan_losses.path_lengths(picture, ws, noise)
        mean = float(reduce(lengths.detach().mean(), "mean"))
        return self.path.penalty(lengths, mean)

    @torch.no_grad()
    def pictures(self, G: Trainee, z: torch.Tensor, truncation: float):
        """Pictures (1, 3, side, side) of noise, one by one, on the CPU."""
        device = next(G.parameters()).device
        mapping = G.generator.mapping
        for one in z:
            w = mapping.w_avg.lerp(mapping(one[None].to(device)), truncation)
            ws = w[:, None].expand(-1, G.generator.num_ws, -1)
            yield G.synthesise(ws, "const").float().cpu()

    def sample(self, G: Trainee, path: Path) -> None:
        """Draws the sample grid, of the same noise in every grid."""
        drawn = self.pictures(G, self.sample_z, SAMPLE_TRUNCATION)
        cells = [images.to_pil(picture) for picture in drawn]
        px = min(SAMPLE_PX, self.settings.resolution)
        images.save(sheet([cells[i : i + 8] for i in range(0, SAMPLES, 8)], px), path)

    def validate(self, G: Trainee) -> dict[str, float]:
        """Kernel distance and diversity of fresh samples; nothing without `--validate`."""
        if self.held_out is None:
            return {}
        seeds = torch.arange(self.settings.score_samples) + 10_000
        return self.held_out.score(self.pictures(G, normals(seeds, Z, self.z_dim), 1.0))

    def export(self, G: Trainee, folder: Path, images_seen: int) -> None:
        """Writes the slow copy as a generator's folder, and the discriminator beside it."""
        s = self.settings
        style = {
            "title": s.title or folder.parent.name.replace("_", " ").capitalize(),
            "description": f"Trained on {images_seen:,} pictures.",
            "scope": "face",
            "family": "stylegan",
            "licence": s.licence,
            "data": s.data,
        }
        write_network(G.generator, folder, style)
        if self.settings.weight_adversarial:
            part = folder.parent / ".critic.part"
            save_file({k: v.contiguous().cpu() for k, v in self.D.state_dict().items()}, part)
            part.rename(folder.parent / "critic.safetensors")


class SampleScore:
    """How near a generator's pictures are to held-out ones, and how different from each other.

    `kd_mobilenet_v2` is the kernel distance over the last features of MobileNetV2 (ImageNet), and
    the score; `diversity` the mean feature distance of consecutive samples over that of consecutive
    held-out pictures, 1 for samples as different as those.
    """

    def __init__(self, held: AlignedDraws, device: torch.device):
        self.features = MobileNetV2Features((*metrics.STAGES, 18)).to(device)
        pictures = (held[i]["real"][None].float() / 127.5 - 1 for i in range(len(held)))
        self.rows, self.apart = self.look(pictures)

    @torch.inference_mode()
    def look(self, pictures):
        """Rows (n, 1280) of pictures (1, 3, H, W), and the mean distance of neighbours."""
        rows, apart, before = [], [], None
        for picture in pictures:
            found = self.features(picture.to(self.features.mean.device))
            rows.append(found.pop(18).mean((2, 3)).double().cpu())
            maps = list(found.values())
            if before:
                apart.append(float(losses.feature_distance(before, maps)))
            before = maps
        return torch.cat(rows).numpy(), sum(apart) / max(len(apart), 1)

    def score(self, pictures) -> dict[str, float]:
        rows, apart = self.look(pictures)
        distance, _ = metrics.kernel_inception_distance(rows, self.rows)
        return {
            "kd_mobilenet_v2": distance,
            "diversity": apart / max(self.apart, 1e-8),
            "score": distance,
        }


def main(arguments: list[str] | None = None) -> None:
    parser, options = front_door.parse(arguments, __doc__, STYLEGAN_PRESETS)
    front_door.start(
        *(parser, options, "StyleGAN"),
        lambda: refuse_nonsense(resolve(options, STYLEGAN_PRESETS)),
        lambda settings: StyleGANObjective(settings, pick_device()),
    )


if __name__ == "__main__":
    main()
