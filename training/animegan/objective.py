"""AnimeGANv2's objective: data, networks and losses, as the trainer calls them."""

import copy
import math
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from toonify import images
from toonify.models import ANIMEGAN_MODELS
from training.animegan import losses as animegan_losses
from training.animegan.config import AnimeGANSettings
from training.animegan.dataset import AnimeGANDraws, to_unit
from training.core import losses
from training.core.model_io import open_network, write_network
from training.core.muon import Muon
from training.core.perceptual import PERCEPTUAL, MobileNetV2Features
from training.core.run_info import told
from training.data.images import square
from training.data.sources import open_pictures
from training.gan.discriminators import AnimeGANDiscriminator
from training.metrics import distances
from training.metrics.distances import StyleScore

SAMPLE_PX = 320  # short side of the pictures in a sample grid
SAMPLES = 8
VALIDATED = 24  # photos that a score looks at


class AnimeGANObjective:
    """Losses of AnimeGANv2, with an optional term for paired drawings."""

    def __init__(self, settings: AnimeGANSettings, device: torch.device):
        self.settings = s = settings
        self.dataset = AnimeGANDraws(
            Path(s.data),
            s.style,
            crop_sizes=s.crop_sizes,
            zoom=s.zoom,
            face_share=s.face_share,
            scene_share=s.scene_share,
            recolor_share=s.recolor_share,
            mirror=s.mirror,
            batch=s.batch,
            length=s.max_images,
            seed=s.seed,
            cache_bytes=int(s.cache_gb * 2**30),
            photos=s.photos,
            scenes=s.scenes,
            pictures=s.pictures,
            smooth=s.smooth,
            pairs=bool(s.weight_pair),
        )
        if not s.weight_pair and (s.weight_pair_features or s.weight_chroma):
            raise ValueError(
                "--weight-pair 0 leaves out the other losses of pairs: expected "
                "--weight-pair-features 0 and --weight-chroma 0 with it"
            )
        if s.weight_pair and not self.dataset.paired:
            raise ValueError(
                f"--preset with pairs (--weight-pair {s.weight_pair}): the pictures in "
                f"{s.data}/{s.style}/style do not carry the photos' names; "
                "expected one drawing for each photo"
            )
        if s.model not in ANIMEGAN_MODELS:
            raise ValueError(f"--model {s.model}: expected one of {', '.join(ANIMEGAN_MODELS)}")
        if not 0 <= s.keep_start < 1:
            raise ValueError(f"--keep-start {s.keep_start}: expected 0 or more and less than 1")
        torch.manual_seed(s.seed)
        if s.start_from:
            self.G = open_network("--start-from", s.start_from, ANIMEGAN_MODELS).train()
        else:
            self.G = new_generator(s)
        # Clones, since training writes into them.
        start = self.G.state_dict() if s.start_from and s.keep_start else {}
        self.start = {name: weights.clone() for name, weights in start.items()}
        self.G.to(memory_format=torch.channels_last)
        self.D = AnimeGANDiscriminator(s.critic_width, s.spectral_norm)
        self.D.to(memory_format=torch.channels_last)
        if s.perceptual not in PERCEPTUAL:
            raise ValueError(
                f"--perceptual {s.perceptual}: expected one of {', '.join(PERCEPTUAL)}"
            )
        kind = PERCEPTUAL[s.perceptual]
        self.content_stages = s.content_stages or kind.content
        self.style_stages = s.style_stages or kind.style
        self.features = kind((*self.content_stages, *self.style_stages)).to(device)
        # Of fixed draws, so that a resumed run has the same units.
        draws = [self.dataset.draw(i, s.crop_sizes[0][1])["photo"] for i in range(32)]
        self.features.calibrate(to_unit({"photo": torch.stack(draws)})["photo"].to(device))
        self.gram_scales = self.features.gram_scales(self.style_stages)
        shift = self.dataset.style_shift() if s.color_shift else (0.0, 0.0, 0.0)
        # Of 0..255, as the channel means are; drawings and pictures live in [-1, 1].
        self.shift = torch.tensor(shift, device=device).view(1, 3, 1, 1) / 127.5
        self.weights = {
            "adversarial": s.weight_adversarial,
            "content": s.weight_content * s.feature_unit,
            "style": s.weight_style * s.gram_unit,
            "color": s.weight_color,
            "variation": s.weight_variation,
            "pair": s.weight_pair,
            "pair_features": s.weight_pair_features,
            "chroma": s.weight_chroma,
            "lab": s.weight_lab,
            "roughness": s.weight_roughness,
            "region": s.weight_region * s.feature_unit,
        }
        self.critic_weights = {
            "real": s.critic_real,
            "fake": s.critic_fake,
            "gray": s.critic_gray,
            "smooth": s.critic_smooth,
        }
        self.sample_photos = self.pick_samples()
        self.validator = self.held_out(device) if s.validate else None

    def held_out(self, device: torch.device) -> StyleScore:
        """What scores the slow copy: photos kept out of training, against the style's pictures."""
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

    def memory(self) -> list:
        """Nothing: what is learned lies in the networks and optimizers."""
        return []

    def schedule(self, images: int) -> dict[str, float]:
        """Learning rates after `images`: constant, then a fall to a tenth, linear or cosine."""
        s = self.settings
        left = min(1.0, (s.max_images - images) / s.decay_images) if s.decay_images else 1.0
        if s.decay == "cosine":
            left = (1 - math.cos(math.pi * left)) / 2
        factor = 0.1 + 0.9 * left
        return {"init": factor * s.lr_init, "g": factor * s.lr_g, "d": factor * s.lr_d}

    def adversarial(self, images: int) -> bool:
        """Whether the first phase is over."""
        return images >= self.settings.init_images

    def unpack(self, batch):
        """uint8 (N, 3, H, W) -> [-1, 1], in the layout that convolutions like."""
        return {
            name: picture.contiguous(memory_format=torch.channels_last)
            for name, picture in to_unit(batch).items()
        }

    def draw(self, G, batch):
        return G(batch["photo"])

    def discriminator(self, D, drawn, batch, images: int):
        """Style pictures are real; drawings, gray style and blurred edges are not.

        R1, if asked for, is lazy: every `r1_every` steps and as much heavier (StyleGAN2, sec. B).
        """
        s = self.settings
        real = batch["style"] + self.shift
        smooth = losses.gray(batch["smooth"])
        stacks = [real, drawn.detach().float(), losses.gray(batch["style"]), smooth]
        # One forward for all four: one power iteration, and one graph for distributed training.
        parts = D(torch.cat(stacks)).chunk(4)
        scores = dict(zip(("real", "fake", "gray", "smooth"), parts, strict=True))
        loss = animegan_losses.adversarial_d(scores, self.critic_weights, s.label_smoothing)
        loss = s.weight_adversarial * loss
        logs = {name: score.detach().float().mean() for name, score in scores.items()}
        if s.r1_gamma and images // s.batch % s.r1_every == 0:
            critic = getattr(D, "module", D)
            # Its class's forward: the prepared one would be back in half precision.
            penalty = losses.r1_penalty(partial(type(critic).forward, critic), real)
            loss = loss + s.r1_gamma * s.r1_every * penalty
            logs["r1"] = penalty.detach()
        return loss, logs

    def generator(self, D, drawn, batch, images: int):
        """Content; in pairs the drawing's pixels, features, Grams and colors; with `D` the rest.

        A discriminator of None means the first phase. Unpaired, style is the Gram distance to a
        gray style picture and color the distance to the photo, as published.
        """
        weights, centered = self.weights, self.settings.centered_gram
        drawn = drawn.float()
        parts = {}

        def pick(features, stages):
            return [features[stage] for stage in stages]

        content = weights["content"] or (D is None and not weights["pair"])
        named = ("style", "pair_features", "region")
        found = self.features(drawn) if content or any(map(weights.get, named)) else None
        if content:
            with torch.no_grad():
                photo = self.features(batch["photo"])
            parts["content"] = losses.feature_distance(
                pick(found, self.content_stages), pick(photo, self.content_stages)
            )
        if weights["pair"]:
            parts["pair"] = F.l1_loss(drawn, batch["drawn"])
            if weights["pair_features"] or weights["style"]:
                with torch.no_grad():
                    target = self.features(batch["drawn"])
                ours, theirs = pick(found, self.style_stages), pick(target, self.style_stages)
                parts["pair_features"] = losses.feature_distance(ours, theirs)
                if weights["style"]:
                    parts["style"] = losses.style_distance(ours, theirs, self.gram_scales, centered)
            # A drawing's colors are known from the first step on.
            parts["color"] = animegan_losses.color(drawn, batch["drawn"])
            if weights["chroma"]:
                parts["chroma"] = animegan_losses.chroma(drawn, batch["drawn"])
        if D is not None:
            if "color" not in parts:
                parts["color"] = animegan_losses.color(drawn, batch["photo"])
            if weights["style"] and "style" not in parts:
                with torch.no_grad():
                    style = self.features(losses.gray(batch["style"]))
                ours, theirs = pick(found, self.style_stages), pick(style, self.style_stages)
                parts["style"] = losses.style_distance(ours, theirs, self.gram_scales, centered)
            if weights["variation"]:
                parts["variation"] = animegan_losses.total_variation(drawn)
            if weights["lab"]:
                parts["lab"] = animegan_losses.lab_color(drawn, batch["photo"])
            if weights["roughness"]:
                parts["roughness"] = animegan_losses.roughness(drawn)
            if weights["region"]:
                with torch.no_grad():
                    flat = self.features(animegan_losses.regions(drawn))
                parts["region"] = losses.feature_distance(
                    pick(found, self.content_stages), pick(flat, self.content_stages)
                )
            target = 1 - self.settings.label_smoothing
            parts["adversarial"] = animegan_losses.adversarial_g(D(drawn), target)
        return losses.total(parts, weights)

    def pick_samples(self) -> list[Image.Image]:
        """The fixed photos of the sample grid, spread over the data set, before the first step."""
        pictures = [picture for group in self.dataset.groups for picture in group]
        chosen = [pictures[i] for i in np.linspace(0, len(pictures) - 1, SAMPLES).astype(int)]
        return [square(picture.load(), SAMPLE_PX) for picture in chosen]

    @torch.no_grad()
    def sample(self, G, path: Path) -> None:
        """Draws the sample grid: photos above, drawings below."""
        G = self.mixed(G)
        sheet = Image.new("RGB", (SAMPLE_PX * len(self.sample_photos), 2 * SAMPLE_PX))
        for i, photo in enumerate(self.sample_photos):
            drawing = draw_photo(G, photo)
            sheet.paste(photo, (i * SAMPLE_PX, 0))
            sheet.paste(drawing, (i * SAMPLE_PX, SAMPLE_PX))
        images.save(sheet, path)

    def validate(self, G) -> dict[str, float]:
        """Figures of the slow copy on the photos of `--validate`; none without."""
        if not self.validator:
            return {}
        return self.validator.score(partial(draw_photo, self.mixed(G)))

    def export(self, G, folder: Path, images_seen: int) -> None:
        """Writes the slow copy as a style folder: config.json, fp16 weights, style.json."""
        export_style(self.mixed(G), folder, self.settings, images_seen)

    def mixed(self, G: torch.nn.Module) -> torch.nn.Module:
        """`G`, or a copy that lies `keep_start` of the way back to the weights at the start.

        Between two ends of one training run, weights mix as their drawings do: Wortsman et al.,
        "Robust fine-tuning of zero-shot models", CVPR 2022.
        """
        if not self.start:
            return G
        G = copy.deepcopy(G)
        weights = G.state_dict()
        for name, start in self.start.items():
            weights[name].lerp_(start.to(weights[name]), self.settings.keep_start)
        return G


def new_generator(settings: AnimeGANSettings) -> torch.nn.Module:
    """The network that the settings describe, with fresh weights."""
    s = settings
    kwargs = {"width": s.width, "depth": s.depth, "upsample": s.upsample}
    if s.model == "animegan-lite":
        kwargs |= {"patch": s.patch, "edge_kernel": s.edge_kernel, "levels": s.levels}
    elif (s.patch, s.edge_kernel, s.levels) != (1, 7, 3):
        raise ValueError(
            f"--patch {s.patch}, --edge-kernel {s.edge_kernel}, --levels {s.levels}: they are of "
            f"--model animegan-lite; expected 1, 7 and 3 with {s.model}"
        )
    return ANIMEGAN_MODELS[s.model](**kwargs)


@torch.no_grad()
def draw_photo(G, photo: Image.Image) -> Image.Image:
    """A photo through a generator, same size; sides are padded to what the network takes."""
    width, height = photo.size
    picture = images.to_tensor(photo).to(next(G.parameters()).device)
    right, bottom = -width % G.multiple, -height % G.multiple
    drawn = G(F.pad(picture, (0, right, 0, bottom), mode="replicate"))
    return images.to_pil(drawn[..., :height, :width].cpu())


def export_style(G, folder: Path, settings: AnimeGANSettings, images_seen: int) -> None:
    """A generator as a style folder that the pipelines open; weights in half precision."""
    sources = (settings.data, settings.photos, settings.pictures)
    style = {
        "title": settings.style.replace("_", " ").capitalize(),
        "description": f"Trained on {images_seen:,} crops of {settings.style}.",
        "scope": "photo",
        "eye_distance": [30, 110],
        "license": settings.license,
        "data": settings.data_statement or ", ".join(map(told, filter(None, sources))),
    }
    write_network(G, folder, style)
