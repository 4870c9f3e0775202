"""Distils a toon generator into AnimeGANv2: one forward pass turns any portrait into its toon.

    accelerate launch training/distill.py --toon storybook --grounds PHOTOS --out runs/storybook

draws pairs of the base's faces and their toons into `runs/.../pairs` (see
`training/prepare/toon_pairs.py`), then trains AnimeGANv2 on them with features, Grams and pixels of
the paired toon and, from `--init-images` on, its discriminator. `runs/.../model` is a style. All
settings of `training/train_animegan.py` are options here too; `--resume` goes on where it stopped.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from accelerate import PartialState

from training.loop import pick_device, train
from training.prepare import toon_pairs
from training.presets import DISTIL_PRESETS, add_settings, describe, replace_settings, resolve
from training.train_animegan import AnimeGANObjective


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    toon_pairs.add_options(parser)
    add_settings(parser, DISTIL_PRESETS, leave_out=("scenes", "style", "data", "photos"))
    parser.add_argument("--resume", action="store_true", help="go on where the run stopped")
    parser.add_argument("--dry-run", action="store_true", help="print the settings and stop")
    options = parser.parse_args(arguments)
    wanted = toon_pairs.chosen(options, parser)
    try:
        settings = resolve(options, DISTIL_PRESETS)
        pairs = Path(settings.out, "pairs")
        settings = replace_settings(settings, data=str(pairs), style=Path(options.toon).name)
        print(f"AnimeGANv2 from {options.toon}, preset {options.preset}:\n{describe(settings)}")
        if options.dry_run:
            return
        device = pick_device()
        with PartialState().main_process_first():
            if PartialState().is_main_process:
                toon_pairs.draw_pairs(pairs, **wanted)
        progress = train(AnimeGANObjective(settings, device), settings, resume=options.resume)
    except ValueError as error:
        parser.error(str(error))
    except (OSError, FloatingPointError) as error:
        parser.exit(1, f"{parser.prog}: {error}\n")
    print(f"{progress.images} images in {progress.seconds / 60:.1f} minutes; {settings.out}/model")


if __name__ == "__main__":
    main()
