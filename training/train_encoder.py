"""Trains an encoder, which finds the w+ of a generator for an aligned photo.

    accelerate launch training/train_encoder.py --preset portrait \\
        --photos ALIGNED --out runs/encoder [--base portrait] [--start-from portrait-encoder]

ALIGNED holds faces as `training/prepare/align_faces.py` writes them. A new encoder starts as a
ridge regression from features of generated faces to their w+. Then the base's images of the w+ of
photos are compared with the photos, and the w+ of generated faces with the true ones. The pipeline
opens `runs/NAME/model`; `--resume` continues a run exactly where it stopped.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from training.core import cli
from training.core.config import resolve
from training.encoder.config import ENCODER_PRESETS


def main(arguments: list[str] | None = None) -> None:
    parser, options = cli.parse(arguments, __doc__, ENCODER_PRESETS)

    def prepare(settings, device):
        from training.encoder.objective import EncoderObjective

        objective = EncoderObjective(settings, device)
        if not options.resume:
            objective.initialize()
        return objective

    cli.start(parser, options, "Encoder", lambda: resolve(options, ENCODER_PRESETS), prepare)


if __name__ == "__main__":
    main()
