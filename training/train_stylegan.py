"""Trains StyleGAN2 or fine-tunes MobileStyleGAN: pictures go in, a generator's folder comes out.

    accelerate launch training/train_stylegan.py --preset laptop64 --data FACES --out runs/faces
    accelerate launch training/train_stylegan.py --preset transfer --data TOONS --out runs/toons
    accelerate launch training/train_stylegan.py --preset toon --data PAIRS --look LOOK --out runs/x

The first learns from noise, the second goes on from a generator of ours, the third learns from
pairs that `training/prepare/cartoon_filter.py --generator` drew. `runs/NAME/model` can be opened by
the pipeline; `--resume` goes on exactly where a run stopped.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from training.core import cli
from training.core.config import resolve
from training.core.trainer import pick_device
from training.stylegan.config import STYLEGAN_PRESETS, refuse_nonsense
from training.stylegan.objective import StyleGANObjective


def main(arguments: list[str] | None = None) -> None:
    parser, options = cli.parse(arguments, __doc__, STYLEGAN_PRESETS)
    cli.start(
        *(parser, options, "StyleGAN"),
        lambda: refuse_nonsense(resolve(options, STYLEGAN_PRESETS)),
        lambda settings: StyleGANObjective(settings, pick_device()),
    )


if __name__ == "__main__":
    main()
