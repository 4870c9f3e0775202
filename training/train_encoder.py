"""Trains an encoder: aligned photos go in, what finds a face in w+ of a generator comes out.

    accelerate launch training/train_encoder.py --preset portrait \\
        --photos ALIGNED --out runs/encoder [--base portrait] [--start-from portrait-encoder]

ALIGNED holds faces as `training/prepare/align_faces.py` writes them. A new encoder starts as a
ridge regression of w+ on what its frozen half sees in generated faces; then what the base draws
from its w+ is compared with the photos, and its w+ with that of generated faces. `runs/NAME/model`
can be opened by the pipeline; `--resume` goes on exactly where a run stopped.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from training.core import cli
from training.core.config import resolve
from training.core.trainer import pick_device
from training.encoder.config import ENCODER_PRESETS, EncoderSettings, refuse_nonsense
from training.encoder.objective import EncoderObjective


def main(arguments: list[str] | None = None) -> None:
    parser, options = cli.parse(arguments, __doc__, ENCODER_PRESETS)

    def prepare(settings: EncoderSettings) -> EncoderObjective:
        objective = EncoderObjective(settings, pick_device())
        if not options.resume:
            objective.begin()
        return objective

    cli.start(
        *(parser, options, "Encoder"),
        lambda: refuse_nonsense(resolve(options, ENCODER_PRESETS)),
        prepare,
    )


if __name__ == "__main__":
    main()
