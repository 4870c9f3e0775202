"""Trains AnimeGANv2: photos and pictures of a style go in, a style folder comes out.

    accelerate launch training/train_animegan.py --preset unpaired \\
        --data DATA --style NAME --out runs/NAME

`runs/NAME/model` is then a style for the app and the command line. `--resume` goes on exactly
where a run stopped; `--dry-run` prints the resolved settings and touches nothing.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from training.animegan.config import ANIMEGAN_PRESETS
from training.animegan.objective import AnimeGANObjective
from training.core import cli
from training.core.config import resolve
from training.core.trainer import pick_device


def main(arguments: list[str] | None = None) -> None:
    parser, options = cli.parse(arguments, __doc__, ANIMEGAN_PRESETS)
    cli.start(
        *(parser, options, "AnimeGANv2"),
        lambda: resolve(options, ANIMEGAN_PRESETS),
        lambda settings: AnimeGANObjective(settings, pick_device()),
    )


if __name__ == "__main__":
    main()
