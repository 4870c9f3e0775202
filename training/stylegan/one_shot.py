"""One drawn portrait in, a toon generator of its style out, in minutes.

    python training/stylegan/one_shot.py DRAWING --out runs/mine

After JoJoGAN (Chong and Forsyth, ECCV 2022): the drawing's face is aligned and found in w+; copies
of that latent whose finer rows are those of random people are all taught to draw the drawing, by
perceptual features and pixels. What the rows share, pose and identity, is kept for others; what the
drawing does to a face becomes the generator's way to draw any. First the layers up to 256 px learn
(`runs/mine/shape`), then, on windows of the full picture, the finest: `runs/mine/fine/model` is the
generator for the pipeline. A StyleGAN2 learns all at once, on full pictures: then it is
`runs/mine/shape/model`. `--resume` goes on where it stopped.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

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
from training.core.model_io import open_network
from training.core.trainer import pick_device, train
from training.data.aligned import normals, seed_of
from training.stylegan.config import TOON, StyleGANSettings
from training.stylegan.objective import StyleGANObjective

MIXED_FROM = 64  # px of the features from which on rows are other people's
LATENT = "reference"


class OneShotDraws(Dataset):
    """Draw i: {"real": the drawing, uint8 (3, side, side), "w": w+ (L, D), "seed": int}.

    From row `row` on, w+ lies between the drawing's own and that of a random person: `mix` 1 is all
    the other's. Draw i depends on `seed` and i alone.
    """

    def __init__(self, drawing, w, mapping, row: int, mix: float, length: int, seed: int):
        self.drawing, self.w, self.mapping = drawing, w, mapping
        self.row, self.mix, self.length, self.seed = row, mix, length, seed

    def __len__(self) -> int:
        return self.length

    @torch.no_grad()
    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        own = torch.tensor(seed_of(self.seed, index))
        other = self.mapping(normals(own[None], 0, self.mapping.fc0.weight.shape[1]))[0]
        w = self.w.clone()
        w[self.row :] = w[self.row :].lerp(other, self.mix)
        return {"real": self.drawing, "w": w, "seed": own}


def aligned(drawing: Image.Image) -> Image.Image:
    """The face of a drawing as an FFHQ crop of 1024 px; a square without one is taken as it is.

    Raises:
        ValueError: no face is found and the drawing is no square.
    """
    found = faces.detect(drawing)
    if found:
        return faces.align(drawing, found[0], 1024).image
    if drawing.width == drawing.height:
        return drawing.resize((1024, 1024), Image.Resampling.LANCZOS)
    raise ValueError(
        f"no face found in the drawing of {drawing.width}x{drawing.height} px; expected a frontal "
        "portrait, or a square that is aligned like FFHQ: eyes at half the height, a quarter of "
        "the side apart"
    )


def open_encoder(options: argparse.Namespace, base: Generator) -> Encoder | None:
    """The encoder that was named, else the base's own; None where it has none.

    Raises:
        ValueError: it is another base's, or there is none and nothing to do without it.
    """
    source = options.encoder or hub.encoder_of(hub.resolve_model(options.base))
    if source is None:
        if not options.refine_steps:
            raise ValueError("--refine-steps 0: the base has no encoder; expected steps, or one")
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
    """w+ (L, D) of a drawing's crop: the encoder's answer, refined by `steps`.

    Without an encoder the steps begin at the mean face.
    """
    small = crop.resize((inversion.SIDE, inversion.SIDE), Image.Resampling.LANCZOS)
    face = images.to_tensor(small)
    if encoder is None:
        eyes = open_network("--encoder", hub.DEFAULT_ENCODER, {"encoder": Encoder})
        guide = inversion.guide_for(base, eyes.requires_grad_(False).perceive)
        start = base.mapping.w_avg.expand(1, base.num_ws, -1)
    else:
        guide = encoder
        with torch.no_grad():
            start = encoder(face)
    return inversion.refine(face, start, base, guide, steps, side=inversion.side_for(base))[0]


def settings_of(options: argparse.Namespace, stage: str, base: Generator) -> StyleGANSettings:
    """Settings of one of the two stages: the largest small image head, then windows.

    StyleGAN2, which draws no windows, has only the first, on full pictures.
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
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("drawing", type=Path, help="picture of one drawn portrait")
    parser.add_argument("--out", type=Path, required=True, help="folder of the run")
    parser.add_argument("--base", default=hub.DEFAULT_BASE, help="generator to start from")
    parser.add_argument(
        "--encoder", help="encoder of its w+ (default: its own; without one, steps)"
    )
    parser.add_argument("--title", default="", help="what it is called in menus")
    parser.add_argument("--license", default="", help="license of the drawing")
    parser.add_argument("--refine-steps", type=int, default=60, help="to find the drawing's latent")
    parser.add_argument("--mix", type=float, default=0.7, help="share of others in the finer rows")
    parser.add_argument("--shape-images", type=int, default=400, help="of the first stage")
    parser.add_argument("--fine-images", type=int, default=200, help="of the second; 0: none")
    parser.add_argument("--lr", type=float, default=0.006, help="relative learning rate")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--resume", action="store_true", help="go on where the run stopped")
    options = parser.parse_args(arguments)
    for name, least in (("refine_steps", 0), ("shape_images", 2), ("fine_images", 0)):
        if getattr(options, name) < least:
            parser.error(
                f"--{name.replace('_', '-')} {getattr(options, name)}: expected at least {least}"
            )
    if not 0 <= options.mix <= 1:
        parser.error(f"--mix {options.mix}: expected 0 to 1")
    try:
        teach(options)
    except ValueError as error:
        parser.error(str(error))
    except (OSError, FloatingPointError) as error:
        parser.exit(1, f"{parser.prog}: {error}\n")


def teach(options: argparse.Namespace) -> None:
    """Finds the drawing's latent, then trains the two stages."""
    crop = aligned(images.load(options.drawing))
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
    row = base.synthesis.first_row(MIXED_FROM)
    for stage in stages:
        settings = settings_of(options, stage, base)
        side = settings.resolution
        pixels = np.array(crop.resize((side, side), Image.Resampling.LANCZOS))
        drawing = torch.from_numpy(pixels).permute(2, 0, 1)
        dataset = OneShotDraws(
            *(drawing, w, base.mapping, row, options.mix), settings.max_images, settings.seed
        )
        objective = StyleGANObjective(settings, pick_device(), dataset)
        begun = bool(checkpoints(Path(settings.out)))
        progress = train(objective, settings, resume=begun)
        print(f"{stage}: {progress.images} images in {progress.seconds / 60:.1f} minutes")
    print(f"{settings.out}/model")


if __name__ == "__main__":
    main()
