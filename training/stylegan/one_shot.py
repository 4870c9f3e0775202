"""Fine-tunes a toon generator on one drawn portrait, in minutes.

    python training/stylegan/one_shot.py DRAWING --out runs/mine

After JoJoGAN (Chong and Forsyth, ECCV 2022): the drawing's face is aligned and inverted to w+.
Copies of that latent whose finer layers come from random people must all give the drawing, by
perceptual features and pixels, so that the generator learns its style and not its person. First the
layers up to 256 px are trained (`runs/mine/shape`), then the finest on windows of the full image:
`runs/mine/fine/model` is the generator. A StyleGAN2 is trained in one stage, on full images:
`runs/mine/shape/model`. `--resume` continues where it stopped.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
import torch
from PIL import Image
from torch.utils.data import Dataset

from toonify import faces, hub, images, latents
from toonify.latents import inversion
from toonify.models import FACE_MODELS
from toonify.models.encoder import Encoder
from toonify.models.layer_swap import Generator
from toonify.models.mobile_stylegan import MobileStyleGAN
from training.core.checkpoint import checkpoints
from training.core.config import replace_settings
from training.core.device import pick_device
from training.core.model_io import open_network
from training.core.trainer import train
from training.data.aligned import seed_of, seeded_normal
from training.stylegan.config import TOON, StyleGANSettings
from training.stylegan.objective import StyleGANObjective

MIXED_FROM = 64  # resolution of the first layer that is mixed with other people's
LATENT = "reference"


class OneShotDataset(Dataset):
    """Sample i: {"real": the drawing, uint8 (3, side, side), "w": w+ (L, D), "seed": int}.

    From layer `first` on, w+ is interpolated between the drawing's and a random person's, which
    `mix` 1 takes entirely. Sample i depends on `seed` and i alone.
    """

    def __init__(self, drawing, w, mapping, first: int, mix: float, length: int, seed: int):
        self.drawing, self.w, self.mapping = drawing, w, mapping
        self.first, self.mix, self.length, self.seed = first, mix, length, seed

    def __len__(self) -> int:
        return self.length

    @torch.no_grad()
    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        own = torch.tensor(seed_of(self.seed, index))
        other = self.mapping(seeded_normal(own[None], 0, self.mapping.fc0.weight.shape[1]))[0]
        w = self.w.clone()
        w[self.first :] = w[self.first :].lerp(other, self.mix)
        return {"real": self.drawing, "w": w, "seed": own}


def align(drawing: Image.Image) -> Image.Image:
    """Aligns the face of a drawing as an FFHQ crop of 1024 px; a square without a face is scaled.

    Raises:
        ValueError: no face is found and the drawing is not square.
    """
    found = faces.detect(drawing)
    if found:
        return faces.align(drawing, found[0], 1024).image
    if drawing.width == drawing.height:
        return drawing.resize((1024, 1024), Image.Resampling.LANCZOS)
    raise ValueError(
        f"no face found in the drawing of {drawing.width}x{drawing.height} px; expected a frontal "
        "portrait, or a square aligned like FFHQ: eyes at half the height, a quarter of "
        "the side apart"
    )


def open_encoder(options: argparse.Namespace, base: Generator) -> Encoder | None:
    """Opens the encoder of `--encoder`, or the base's own; None if it has none.

    Raises:
        ValueError: the encoder is for another base, or there is none and no refinement either.
    """
    source = options.encoder or hub.encoder_of(hub.resolve_model(options.base))
    if source is None:
        if not options.refine_steps:
            raise ValueError(
                "--refine-steps 0: the base has no encoder; expected steps, or --encoder"
            )
        return None
    encoder = open_network("--encoder", source, {"encoder": Encoder})
    try:
        inversion.check_encoder(encoder.config, base)
    except ValueError as error:
        raise ValueError(f"--encoder {source}: {error}") from error
    return encoder.requires_grad_(False)


def find_latent(
    crop: Image.Image, base: Generator, encoder: Encoder | None, steps: int
) -> torch.Tensor:
    """w+ (L, D) of a drawing's crop: the encoder's, or the mean face's, refined by `steps`."""
    small = crop.resize((inversion.SIDE, inversion.SIDE), Image.Resampling.LANCZOS)
    face = images.to_tensor(small)
    if encoder is None:
        eyes = open_network("--encoder", hub.DEFAULT_ENCODER, {"encoder": Encoder})
        guide = inversion.make_perceptual_model(base, eyes.requires_grad_(False).perceive)
        start = base.mapping.w_avg.expand(1, base.num_ws, -1)
    else:
        guide = encoder
        with torch.no_grad():
            start = encoder(face)
    return inversion.refine(face, start, base, guide, steps, side=inversion.side_for(base))[0]


def stage_settings(options: argparse.Namespace, stage: str, base: Generator) -> StyleGANSettings:
    """Settings of a stage: "shape" at MobileStyleGAN's second largest head, "fine" on windows.

    StyleGAN2 has the first stage only, on full images.
    """
    fine = stage == "fine"
    full = base.resolution
    side = base.synthesis.heads[-2] if isinstance(base, MobileStyleGAN) and not fine else full
    count = options.fine_images if fine else options.shape_images
    return replace_settings(
        TOON,
        out=str(options.out / stage),
        title=options.title or options.drawing.stem.replace("_", " ").capitalize(),
        license=options.license,
        data=str(options.drawing),
        look="reference",
        start_from=str(options.out / "shape" / "model") if fine else options.base,
        resolution=side,
        window=full // 4 if fine else 0,
        seed=options.seed,
        lr_g=options.lr,
        max_images=count,
        decay_images=count // 2,
        ema_half_life_images=20.0,
        weight_pair=0.5,
        log_every_images=20,
        sample_every_images=count,
        save_every_images=100,
    )


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("drawing", type=Path, help="image of one drawn portrait")
    parser.add_argument("--out", type=Path, required=True, help="folder of the run")
    for name, default, what in (
        ("--base", hub.DEFAULT_BASE, "generator to fine-tune"),
        ("--refine-steps", 60, "optimization steps that find the drawing's latent"),
        ("--mix", 0.7, "share of other people's latents in the finer layers"),
        ("--shape-images", 400, "number of images of the first stage"),
        ("--fine-images", 200, "number of images of the second stage, 0 for none"),
        ("--lr", 0.006, "learning rate, relative to the size of each tensor"),
        ("--seed", 0, "random seed"),
    ):
        help = f"{what} (default: {default})"
        parser.add_argument(name, type=type(default), default=default, help=help)
    parser.add_argument("--encoder", help="encoder of the generator (default: the generator's own)")
    parser.add_argument("--title", default="", help="name in menus (default: the drawing's)")
    parser.add_argument("--license", default="", help="license of the drawing (default: none)")
    parser.add_argument("--resume", action="store_true", help="continue where the run stopped")
    options = parser.parse_args(arguments)
    for name, least in (("refine_steps", 0), ("shape_images", 2), ("fine_images", 0)):
        if getattr(options, name) < least:
            parser.error(
                f"--{name.replace('_', '-')} {getattr(options, name)}: expected at least {least}"
            )
    if not 0 <= options.mix <= 1:
        parser.error(f"--mix {options.mix}: expected 0 to 1")
    try:
        fine_tune(options)
    except ValueError as error:
        parser.error(str(error))
    except (OSError, FloatingPointError) as error:
        parser.exit(1, f"{parser.prog}: {error}\n")


def fine_tune(options: argparse.Namespace) -> None:
    """Inverts the drawing, then trains the stages."""
    crop = align(images.load(options.drawing))
    base = open_network("--base", options.base, FACE_MODELS)
    fine = options.fine_images and isinstance(base, MobileStyleGAN)
    stages = ["shape", "fine"] if fine else ["shape"]
    if not options.resume and checkpoints(options.out / "shape"):
        raise ValueError(f"--out {options.out}: holds a run; add --resume or name another folder")
    kept = latents.latent_path(options.out, LATENT)
    if options.resume and kept.exists():
        w = latents.load_latent(kept, base.num_ws, base.config.w_dim)[0]
    else:
        encoder = open_encoder(options, base)
        w = find_latent(crop, base.requires_grad_(False), encoder, options.refine_steps)
        options.out.mkdir(parents=True, exist_ok=True)
        latents.save_latent(kept, w[None], Path(options.base).name)
        images.save(crop, options.out / "reference.png")
    first = base.synthesis.first_layer(MIXED_FROM)
    for stage in stages:
        settings = stage_settings(options, stage, base)
        side = settings.resolution
        pixels = np.array(crop.resize((side, side), Image.Resampling.LANCZOS))
        drawing = torch.from_numpy(pixels).permute(2, 0, 1)
        dataset = OneShotDataset(
            *(drawing, w, base.mapping, first, options.mix), settings.max_images, settings.seed
        )
        objective = StyleGANObjective(settings, pick_device(), dataset)
        resume = bool(checkpoints(Path(settings.out)))
        progress = train(objective, settings, resume=resume)
        print(f"{stage}: {progress.images} images in {progress.seconds / 60:.1f} minutes")
    print(f"{settings.out}/model")


if __name__ == "__main__":
    main()
