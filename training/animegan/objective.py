"""AnimeGANv2's objective: data, networks and losses, as the trainer calls them."""

import copy
import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from toonify import images
from toonify.models import ANIMEGAN_MODELS, AnimeGANLiteGenerator
from toonify.models.animegan import with_options
from training.animegan import losses as animegan_losses
from training.animegan.config import AnimeGANSettings
from training.animegan.dataset import PARTS, AnimeGANDataset, to_unit
from training.core import losses
from training.core.model_io import open_network, write_network
from training.core.muon import Muon
from training.core.perceptual import PERCEPTUAL, MobileNetV2Features
from training.core.run_info import redact_path
from training.data.images import square
from training.data.sources import open_pictures
from training.gan.discriminators import AnimeGANDiscriminator
from training.gan.projected_discriminator import FeatureDiscriminator
from training.metrics import distances
from training.metrics.distances import StyleScore

SAMPLE_PX = 320  # side of the images in a sample grid
SAMPLES = 8
VALIDATED = 24  # photos that are scored


class AnimeGANObjective:
    """Losses of AnimeGANv2, and of paired toons."""

    styles: Sequence[str] = ()  # if there are several at once
    validation = f"{VALIDATED} photos"

    def __init__(self, settings: AnimeGANSettings, device: torch.device):
        self.settings = s = settings
        s.check()
        self.dataset = self.create_dataset()
        if s.weight_pair and not self.dataset.paired:
            raise ValueError(
                f"--weight-pair {s.weight_pair}: the images in {s.data}/{s.style}/style do not "
                "have the photos' names; expected one toon for each photo"
            )
        torch.manual_seed(s.seed)
        self.G = self.create_generator()
        # Clones, as training changes the weights in place.
        start = self.G.state_dict() if s.start_from and s.keep_start else {}
        self.start = {name: weights.clone() for name, weights in start.items()}
        self.G.to(memory_format=torch.channels_last)
        self.start_network = None
        if s.anchor == "start":
            self.start_network = copy.deepcopy(self.G).eval().requires_grad_(False).to(device)
        self.D = self.create_discriminator()
        self.D.to(memory_format=torch.channels_last)
        kind = PERCEPTUAL[s.perceptual]
        self.content_stages = s.content_stages or kind.content
        self.style_stages = s.style_stages or kind.style
        self.features = kind((*self.content_stages, *self.style_stages)).to(device)
        # From fixed samples, so that a resumed run has the same units.
        samples = [self.dataset.sample(i, s.crop_sizes[0][1])["photo"] for i in range(32)]
        samples = to_unit({"photo": torch.stack(samples)})["photo"].to(device)
        self.features.calibrate(samples)
        if s.discriminator == "features":
            self.D.to(device).calibrate(samples)
        self.gram_scales = self.features.gram_scales(self.style_stages)
        shift = self.dataset.style_shift() if s.color_shift else (0.0, 0.0, 0.0)
        # From 0..255 to [-1, 1].
        self.shift = torch.tensor(shift, device=device).view(1, 3, 1, 1) / 127.5
        names = ("adversarial", "color", "variation", "pair", "pair_features", "chroma", "texture")
        self.weights = {n: getattr(s, f"weight_{n}") for n in (*names, "lab", "roughness")}
        self.weights |= {
            "content": s.weight_content * s.feature_unit,
            "style": s.weight_style * s.gram_unit,
            "region": s.weight_region * s.feature_unit,
        }
        d_names = ("real", "fake", "gray", "smooth")
        self.d_weights = {name: getattr(s, f"weight_d_{name}") for name in d_names}
        self.counts = self.dataset.counts
        self.sample_photos = self.pick_samples()
        self.validator = self.create_validator(device) if s.validate else None

    def create_dataset(self):
        return create_dataset(self.settings)

    def create_generator(self) -> torch.nn.Module:
        """The generator of `--start-from`, or a new one."""
        s = self.settings
        return self.open_start(s.start_from) if s.start_from else new_generator(s)

    def open_start(self, source: str) -> torch.nn.Module:
        """The generator of a style, with the inputs that the settings ask for."""
        network = open_network("--start-from", source, ANIMEGAN_MODELS)
        options = [name for name in ("noise_inputs", "photo_skip") if getattr(self.settings, name)]
        if options:
            lite = isinstance(network, AnimeGANLiteGenerator)
            self.settings.refuse(not lite, options[0], "an animegan-lite")
            network = with_options(network, *options)
        return network.train()

    def create_discriminator(self) -> torch.nn.Module:
        """The discriminator of the settings."""
        s = self.settings
        if s.discriminator == "features":
            return FeatureDiscriminator(
                s.d_width, max(1, len(self.styles)), PARTS if s.d_patch else 1
            )
        return AnimeGANDiscriminator(s.d_width, s.spectral_norm)

    def create_validator(self, device: torch.device) -> StyleScore:
        """The score of held-out photos against the style's images."""
        photos = open_pictures(self.settings.validate, "validation photos", limit=VALIDATED)
        styles = self.dataset.styles
        chosen = np.linspace(0, len(styles) - 1, min(len(styles), 200)).round().astype(int)
        features = MobileNetV2Features(distances.STAGES).to(device)
        small = [square(photo.load(), SAMPLE_PX) for photo in photos]
        return StyleScore(small, [styles[i].load() for i in chosen], features)

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """Three, as published: the generator alone, the generator, the discriminator."""
        g = [weights for weights in self.G.parameters() if weights.requires_grad]
        adam = partial(torch.optim.Adam, betas=(0.5, 0.999))
        ours = Muon if self.settings.optimizer == "muon" else adam
        return {
            "init": ours(g, self.settings.lr_init),
            "g": ours(g, self.settings.lr_g),
            "d": adam(self.D.parameters(), self.settings.lr_d),
        }

    def checkpointables(self) -> list:
        return []

    def schedule(self, images: int) -> dict[str, float]:
        """Learning rates after `images`: constant, then a linear or cosine fall to a tenth."""
        s = self.settings
        left = min(1.0, (s.max_images - images) / s.decay_images) if s.decay_images else 1.0
        if s.decay == "cosine":
            left = (1 - math.cos(math.pi * left)) / 2
        factor = 0.1 + 0.9 * left
        return {"init": factor * s.lr_init, "g": factor * s.lr_g, "d": factor * s.lr_d}

    def uses_discriminator(self, images: int) -> bool:
        """Whether the first phase is over."""
        return images >= self.settings.init_images

    def preprocess(self, batch):
        """uint8 (N, 3, H, W) -> [-1, 1], channels last."""
        batch = {
            name: picture.contiguous(memory_format=torch.channels_last)
            if picture.ndim == 4
            else picture
            for name, picture in to_unit(batch).items()
        }
        if "weight" in batch:
            batch["weight"] = 1 + (self.settings.box_weight - 1) * (batch["weight"] + 1) / 2
        return batch

    def forward(self, G, batch):
        return G(batch["photo"])

    def discriminator(self, D, output, batch, images: int):
        """Style images are real; generated, gray and smoothed ones are not.

        R1 is lazy: every `r1_every` steps, weighted by as much (StyleGAN2, sec. B).
        """
        s = self.settings
        real = batch["style"] + self.shift
        smooth = losses.gray(batch["smooth"])
        stacks = [real, output.detach().float(), losses.gray(batch["style"]), smooth]
        # One forward for all: one power iteration, and one graph for distributed training.
        if s.d_patch:
            stacks = [cut_patches(stack, batch["parts"], s.d_patch) for stack in stacks]
        parts = D(torch.cat(stacks)).chunk(4)
        scores = dict(zip(("real", "fake", "gray", "smooth"), parts, strict=True))
        loss = animegan_losses.adversarial_d(scores, self.d_weights, s.label_smoothing)
        loss = s.weight_adversarial * loss
        logs = {name: score.detach().float().mean() for name, score in scores.items()}
        if s.r1_gamma and images // s.batch % s.r1_every == 0:
            bare = getattr(D, "module", D)
            # Its class's forward: that of the prepared network would return half precision.
            penalty = losses.r1_penalty(partial(type(bare).forward, bare), real)
            loss = loss + s.r1_gamma * s.r1_every * penalty
            logs["r1"] = penalty.detach()
        return loss, logs

    def generator(self, D, output, batch, images: int):
        """The losses of content, pairs and, with `D`, style; without `D` in the first phase.

        Unpaired, style is the Gram distance to a gray style image and color the distance to the
        photo, as published, or with `--anchor start` to the start's toon of it.
        """
        if self.start_network is not None:
            with torch.no_grad():
                batch = batch | {"photo": self.start_network(batch["photo"]).float()}
        weights, image = self.weights, output.float()
        content = weights["content"] or (D is None and not weights["pair"])
        names = ("style", "pair_features", "region")
        found = self.features(image) if content or any(map(weights.get, names)) else None
        parts = {}
        if content:
            parts["content"] = self.content_distance(found, batch["photo"])
        if weights["pair"]:
            parts |= self.pair_losses(image, found, batch["toon"], batch.get("weight"))
        if D is not None:
            parts |= self.style_losses(image, found, batch, parts)
            target = 1 - self.settings.label_smoothing
            seen = image
            if self.settings.d_patch:
                seen = cut_patches(image, batch["parts"], self.settings.d_patch)
            parts["adversarial"] = animegan_losses.adversarial_g(D(seen), target)
        return losses.total(parts, weights)

    def content_distance(self, found, target: torch.Tensor) -> torch.Tensor:
        """Distance of features from those of an image, in the content stages."""
        with torch.no_grad():
            theirs = self.features(target)
        stages = self.content_stages
        return losses.feature_distance([found[s] for s in stages], [theirs[s] for s in stages])

    def style_features(self, found, target: torch.Tensor) -> tuple[list, list]:
        """Features, and those of an image, in the style stages."""
        with torch.no_grad():
            theirs = self.features(target)
        return [found[s] for s in self.style_stages], [theirs[s] for s in self.style_stages]

    def gram_distance(self, ours: list, theirs: list) -> torch.Tensor:
        return losses.style_distance(ours, theirs, self.gram_scales, self.settings.centered_gram)

    def pair_losses(self, image: torch.Tensor, found, toon: torch.Tensor, boxes=None) -> dict:
        """Distances from the paired toon: pixels, features, Grams and colors.

        `boxes` (N, 1, H, W), if given, weighs pixels and features.
        """
        weights, parts = self.weights, {"pair": animegan_losses.weighted_l1(image, toon, boxes)}
        if weights["pair_features"] or weights["style"]:
            ours, theirs = self.style_features(found, toon)
            parts["pair_features"] = animegan_losses.weighted_features(ours, theirs, boxes)
            if weights["style"]:
                parts["style"] = self.gram_distance(ours, theirs)
        parts["color"] = animegan_losses.color(image, toon)
        if weights["texture"]:
            parts["texture"] = animegan_losses.texture(image, toon, boxes)
        if weights["chroma"]:
            parts["chroma"] = animegan_losses.chroma(image, toon)
        return parts

    def style_losses(self, image: torch.Tensor, found, batch, parts: dict) -> dict:
        """The losses that start with the adversarial phase, without those in `parts`."""
        weights, more = self.weights, {}
        if "color" not in parts:
            more["color"] = animegan_losses.color(image, batch["photo"])
        if weights["style"] and "style" not in parts:
            style = self.style_features(found, losses.gray(batch["style"]))
            more["style"] = self.gram_distance(*style)
        if weights["variation"]:
            more["variation"] = animegan_losses.total_variation(image)
        if weights["lab"]:
            more["lab"] = animegan_losses.lab_color(image, batch["photo"])
        if weights["roughness"]:
            more["roughness"] = animegan_losses.roughness(image)
        if weights["region"]:
            more["region"] = self.content_distance(found, animegan_losses.regions(image))
        return more

    def pick_samples(self) -> list[Image.Image]:
        """The photos of the sample grid, evenly from the data set."""
        pictures = [picture for group in self.dataset.groups for picture in group]
        chosen = [pictures[i] for i in np.linspace(0, len(pictures) - 1, SAMPLES).astype(int)]
        return [square(picture.load(), SAMPLE_PX) for picture in chosen]

    @torch.no_grad()
    def sample(self, G, path: Path) -> None:
        """Writes the sample grid: photos above, toons below."""
        G = self.interpolate(G)
        sheet = Image.new("RGB", (SAMPLE_PX * len(self.sample_photos), 2 * SAMPLE_PX))
        for i, photo in enumerate(self.sample_photos):
            toon = stylize(G, photo)
            sheet.paste(photo, (i * SAMPLE_PX, 0))
            sheet.paste(toon, (i * SAMPLE_PX, SAMPLE_PX))
        images.save(sheet, path)

    def validate(self, G) -> dict[str, float]:
        """Scores the EMA weights on the photos of `--validate`; empty without."""
        if not self.validator:
            return {}
        return self.validator.score(partial(stylize, self.interpolate(G)))

    def export(self, G, folder: Path, images_seen: int) -> None:
        """Writes the EMA weights as a style folder: config.json, fp16 weights, style.json."""
        export_style(self.interpolate(G), folder, self.settings, images_seen)

    def interpolate(self, G: torch.nn.Module) -> torch.nn.Module:
        """`G`, or a copy with a share of `keep_start` of the initial weights.

        Wortsman et al., "Robust fine-tuning of zero-shot models", CVPR 2022.
        """
        if not self.start:
            return G
        G = copy.deepcopy(G)
        weights = G.state_dict()
        for name, start in self.start.items():
            weights[name].lerp_(start.to(weights[name]), self.settings.keep_start)
        return G


def cut_patches(images: torch.Tensor, centers: torch.Tensor, side: int) -> torch.Tensor:
    """(N, C, H, W) and centers (N, P, 2), x and y -> squares (N * P, C, side, side) about them.

    A square near a border is moved inside.
    """
    height, width = images.shape[-2:]
    limits = centers.new_tensor([width - side, height - side])
    corners = (centers - side / 2).round().clamp(min=0).minimum(limits).long().tolist()
    return torch.stack(
        [
            image[:, y : y + side, x : x + side]
            for image, places in zip(images, corners, strict=True)
            for x, y in places
        ]
    )


def create_dataset(settings: AnimeGANSettings) -> AnimeGANDataset:
    """Opens the data set of the settings."""
    s = settings
    names = ("crop_sizes", "zoom", "face_share", "scene_share", "permute_share", "mirror", "batch")
    names += ("seed", "photos", "scenes", "pictures", "smooth", "augment", "eyes")
    return AnimeGANDataset(
        Path(s.data),
        s.style,
        length=s.max_images,
        cache_bytes=int(s.cache_gb * 2**30),
        pairs=bool(s.weight_pair),
        weigh=s.box_weight > 1,
        **{name: getattr(s, name) for name in names},
    )


def new_generator(settings: AnimeGANSettings) -> torch.nn.Module:
    """Creates the generator of the settings."""
    s = settings
    kwargs = {"width": s.width, "depth": s.depth, "upsample": s.upsample}
    if s.model == "animegan-lite":
        kwargs |= {"patch": s.patch, "edge_kernel": s.edge_kernel, "levels": s.levels}
        kwargs |= {"noise_inputs": s.noise_inputs, "photo_skip": s.photo_skip}
    return ANIMEGAN_MODELS[s.model](**kwargs)


@torch.no_grad()
def stylize(G, photo: Image.Image) -> Image.Image:
    """The generator's toon of a photo, same size."""
    width, height = photo.size
    image = images.to_tensor(photo).to(next(G.parameters()).device)
    right, bottom = -width % G.multiple, -height % G.multiple
    toon = G(F.pad(image, (0, right, 0, bottom), mode="replicate"))
    return images.to_pil(toon[..., :height, :width].cpu())


def export_style(G, folder: Path, settings: AnimeGANSettings, images_seen: int) -> None:
    """Writes a generator as a style folder, in half precision."""
    sources = (settings.data, settings.photos, settings.pictures)
    style = {
        "title": settings.style.replace("_", " ").capitalize(),
        "description": f"Trained on {images_seen:,} crops of {settings.style}.",
        "scope": "photo",
        "eye_distance": [round(px) for px in settings.eyes] if settings.augment else [30, 110],
        "license": settings.license,
        "data": settings.data_statement or ", ".join(map(redact_path, filter(None, sources))),
    }
    write_network(G, folder, style)
