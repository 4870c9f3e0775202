"""Trains the face parser, which finds person, hair, skin and clothes in a photo.

    accelerate launch training/train_parser.py --data DATA --scenes SCENES --out runs/parser \\
        [--drawings PAIRS]

DATA is what `training/prepare/parser_masks.py` writes, SCENES are photos without people, which are
also used as other backgrounds, and PAIRS is what `training/prepare/teacher` writes: the parser
learns to parse drawings too. `hub.load_model` opens `runs/NAME/model`; `--resume` continues a run
exactly where it stopped.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from training.core import cli
from training.core.config import resolve
from training.parser.config import PARSER_PRESETS


def main(arguments: list[str] | None = None) -> None:
    parser, options = cli.parse(arguments, __doc__, PARSER_PRESETS)

    def prepare(settings, device):
        from training.parser.objective import ParserObjective

        return ParserObjective(settings, device)

    cli.start(parser, options, "Face parser", lambda: resolve(options, PARSER_PRESETS), prepare)


if __name__ == "__main__":
    main()
