"""Trains AnimeGANv2 on photos and images of a style; the result is a style folder.

    accelerate launch training/train_animegan.py --preset unpaired \\
        --data DATA --style NAME --out runs/NAME

The app and the commands open `runs/NAME/model` as a style. `--resume` continues a run exactly where
it stopped; `--dry-run` prints the resolved settings.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from training.animegan.config import ANIMEGAN_PRESETS
from training.core import cli
from training.core.config import resolve


def prepare(settings, device):
    from training.animegan.joint import JointObjective, style_names
    from training.animegan.objective import AnimeGANObjective

    several = len(style_names(settings)) > 1
    return (JointObjective if several else AnimeGANObjective)(settings, device)


def main(arguments: list[str] | None = None) -> None:
    parser, options = cli.parse(arguments, __doc__, ANIMEGAN_PRESETS)
    cli.start(parser, options, "AnimeGANv2", lambda: resolve(options, ANIMEGAN_PRESETS), prepare)


if __name__ == "__main__":
    main()
