"""Trains ToonGAN, noise to cartoon faces, or the public recipe that it is compared with.

    python -m training.prepare.cartoon_faces faces --style toon-head --count 10000
    accelerate launch training/train_toongan.py --data faces --out runs/toons
    accelerate launch training/train_toongan.py --preset dcgan --data faces --out runs/baseline

`training/toongan/config.py` has the presets. The pipeline opens `runs/NAME/model`; `--resume`
continues a run exactly where it stopped, and `--max-minutes` gives two runs the same time.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from training.core import cli
from training.core.config import resolve
from training.toongan.config import TOONGAN_PRESETS, epochs_to_images
from training.toongan.recipe import choose_recipe


def prepare(settings, device):
    from training.toongan.objective import create_objective

    return create_objective(settings, device)


def main(arguments: list[str] | None = None) -> None:
    recipe = "conditional for a set with attributes.csv, else laptop"
    parser, options = cli.parse(arguments, __doc__, TOONGAN_PRESETS, recipe=recipe)

    def resolve_settings():
        return epochs_to_images(resolve(options, TOONGAN_PRESETS))

    cli.start(parser, options, "ToonGAN", resolve_settings, prepare, choose_recipe)


if __name__ == "__main__":
    main()
