"""Trains AnimeGANv2 on photos and images of a style; the result is a style folder.

    accelerate launch training/train_animegan.py --photos P --pictures Q --out runs/NAME
    accelerate launch training/train_animegan.py --preset paired \\
        --data DATA --style NAME --out runs/NAME

The first takes the recipe that fits this machine. The app and the commands open `runs/NAME/model`
as a style. `--resume` continues a run exactly where it stopped; `--dry-run` prints the resolved
settings.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from training.animegan.config import ANIMEGAN_PRESETS
from training.animegan.recipe import choose_recipe, find_start
from training.core import cli
from training.core.config import resolve


def prepare(settings, device):
    from training.animegan.joint import JointObjective, style_names
    from training.animegan.objective import AnimeGANObjective

    several = len(style_names(settings)) > 1
    return (JointObjective if several else AnimeGANObjective)(settings, device)


def main(arguments: list[str] | None = None) -> None:
    recipe = "quick on a CPU, unpaired on a GPU, for --photos and --pictures"
    parser, options = cli.parse(arguments, __doc__, ANIMEGAN_PRESETS, recipe=recipe)

    def resolve_settings():
        return find_start(resolve(options, ANIMEGAN_PRESETS))

    cli.start(parser, options, "AnimeGANv2", resolve_settings, prepare, choose_recipe)


if __name__ == "__main__":
    main()
