"""Trains StyleGAN2 or fine-tunes MobileStyleGAN on aligned images; the result is a generator.

    accelerate launch training/train_stylegan.py --data TOONS --out runs/mine
    accelerate launch training/train_stylegan.py --preset laptop64 --data FACES --out runs/faces
    accelerate launch training/train_stylegan.py --preset transfer --data TOONS --out runs/toons
    accelerate launch training/train_stylegan.py --preset toon --data PAIRS --look LOOK --out runs/x

The first takes the recipe that fits this machine and the images. The second starts from noise, the
third from a trained generator; the fourth learns from pairs that
`training/prepare/cartoon_filter.py --generator` drew. The pipeline opens `runs/NAME/model`;
`--resume` continues a run exactly where it stopped.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from training.core import cli
from training.core.config import resolve
from training.stylegan.config import STYLEGAN_PRESETS
from training.stylegan.recipe import choose_recipe


def prepare(settings, device):
    from training.stylegan.objective import StyleGANObjective

    return StyleGANObjective(settings, device)


def main(arguments: list[str] | None = None) -> None:
    recipe = "transfer, or by the images' size on a GPU with thousands of images"
    parser, options = cli.parse(arguments, __doc__, STYLEGAN_PRESETS, recipe=recipe)

    def resolve_settings():
        return resolve(options, STYLEGAN_PRESETS)

    cli.start(parser, options, "StyleGAN", resolve_settings, prepare, choose_recipe)


if __name__ == "__main__":
    main()
