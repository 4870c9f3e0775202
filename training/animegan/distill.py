"""Distills a toon generator into AnimeGANv2: one forward pass turns any portrait into its toon.

    accelerate launch training/animegan/distill.py --toon animated --grounds PHOTOS --out runs/toon

writes pairs of the base's faces and their toons into `runs/.../pairs` (see
`training/prepare/toon_pairs.py`), then trains AnimeGANv2 on features, Gram matrices and pixels of
the paired toon and, from `--init-images` on, with its discriminator. `runs/.../model` is a style.
The settings of `training/train_animegan.py` are options here too.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from training.animegan.config import DISTILL_PRESETS, AnimeGANSettings
from training.core import cli
from training.core.config import replace_settings, resolve
from training.prepare import toon_pairs


def main(arguments: list[str] | None = None) -> None:
    parser, options = cli.parse(
        *(arguments, __doc__, DISTILL_PRESETS),
        more=toon_pairs.add_options,
        leave_out=("scenes", "style", "data", "photos"),  # those of the pairs
    )
    pair_options = toon_pairs.pair_options(options, parser)

    def resolve_settings() -> AnimeGANSettings:
        settings = resolve(options, DISTILL_PRESETS)
        pairs, style = str(Path(settings.out, "pairs")), Path(options.toon).name
        return replace_settings(settings, data=pairs, style=style)

    def prepare(settings: AnimeGANSettings, device):
        from accelerate import PartialState

        from training.animegan.objective import AnimeGANObjective

        with PartialState().main_process_first():
            if PartialState().is_main_process:
                toon_pairs.draw_pairs(Path(settings.data), **pair_options)
        return AnimeGANObjective(settings, device)

    cli.start(parser, options, f"AnimeGANv2 from {options.toon}", resolve_settings, prepare)


if __name__ == "__main__":
    main()
