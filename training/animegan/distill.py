"""Distils a toon generator into AnimeGANv2: one forward pass turns any portrait into its toon.

    accelerate launch training/animegan/distill.py --toon graphic --grounds PHOTOS --out runs/toon

draws pairs of the base's faces and their toons into `runs/.../pairs` (see
`training/prepare/toon_pairs.py`), then trains AnimeGANv2 on them with features, Grams and pixels of
the paired toon and, from `--init-images` on, its discriminator. `runs/.../model` is a style. All
settings of `training/train_animegan.py` are options here too; `--resume` goes on where it stopped.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from accelerate import PartialState

from training.animegan.config import DISTIL_PRESETS, AnimeGANSettings
from training.animegan.objective import AnimeGANObjective
from training.core import cli
from training.core.config import replace_settings, resolve
from training.core.trainer import pick_device
from training.prepare import toon_pairs


def main(arguments: list[str] | None = None) -> None:
    parser, options = cli.parse(
        *(arguments, __doc__, DISTIL_PRESETS),
        more=toon_pairs.add_options,
        leave_out=("scenes", "style", "data", "photos"),  # they are those of the pairs
    )
    wanted = toon_pairs.pair_options(options, parser)

    def settle() -> AnimeGANSettings:
        settings = resolve(options, DISTIL_PRESETS)
        pairs, style = str(Path(settings.out, "pairs")), Path(options.toon).name
        return replace_settings(settings, data=pairs, style=style)

    def prepare(settings: AnimeGANSettings) -> AnimeGANObjective:
        device = pick_device()
        with PartialState().main_process_first():
            if PartialState().is_main_process:
                toon_pairs.draw_pairs(Path(settings.data), **wanted)
        return AnimeGANObjective(settings, device)

    cli.start(parser, options, f"AnimeGANv2 from {options.toon}", settle, prepare)


if __name__ == "__main__":
    main()
