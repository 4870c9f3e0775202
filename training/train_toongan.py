"""Trains ToonGAN, noise to cartoon faces, or the public recipe it is measured against.

    python -m training.prepare.cartoon_faces faces --style toon-head --count 10000
    accelerate launch training/train_toongan.py --data faces --out runs/toons
    accelerate launch training/train_toongan.py --preset seed --data faces --out runs/baseline

Presets are in `training/toongan/config.py`. `runs/NAME/model` can be opened by the pipeline;
`--resume` goes on exactly where a run stopped, and `--max-minutes` gives two runs the same time.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from training.core import cli
from training.core.config import resolve
from training.core.trainer import pick_device
from training.toongan.config import TOONGAN_PRESETS, in_images, refuse_nonsense
from training.toongan.objective import objective_of


def main(arguments: list[str] | None = None) -> None:
    parser, options = cli.parse(arguments, __doc__, TOONGAN_PRESETS, default="laptop")
    cli.start(
        *(parser, options, "ToonGAN"),
        lambda: refuse_nonsense(in_images(resolve(options, TOONGAN_PRESETS))),
        lambda settings: objective_of(settings, pick_device()),
    )


if __name__ == "__main__":
    main()
