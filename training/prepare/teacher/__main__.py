"""Draws photos of people as cartoon characters: pairs that a network learns from.

    python -m training.prepare.teacher PHOTOS... DATA --look film --masks MODEL.onnx

writes the layout that `training/train_animegan.py` reads: `DATA/train_photo/NAME.png`,
`DATA/LOOK/style/NAME.png` of the same size, and `DATA/faces.json`. Beside them it writes
`DATA/masks/NAME.png` (0 background, 1 person, 2 hair, 3 skin, 4 clothes) and
`DATA/LOOK/teacher.jsonl`: of each photo the quality score, boxes of face, eyes and mouth in the
drawing, or the reason why it was left out.

The command can be stopped and run again: only what is missing is drawn.
"""

import argparse
import os
import re
from pathlib import Path

from training.prepare.teacher.looks import LOOKS, change_look


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m training.prepare.teacher",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("photos", nargs="+", help="folders, archives or Hub data sets of photos")
    add("data", type=Path, help="folder to write the pairs into")
    add("--look", nargs="+", choices=LOOKS, default=["film"], help="looks to draw; default: film")
    add(
        "--change",
        nargs="+",
        default=[],
        metavar="KEY=VALUE",
        help="other settings for one --look: eyes, nose, jaw, line, cel, ... (see looks.py)",
    )
    add("--name", default="", help="folder of the drawings of a changed look; needed with --change")
    add(
        "--masks",
        type=Path,
        required=True,
        metavar="MODEL.onnx",
        help="segmentation network for skin, clothes and hair: input (1, 3, 512, 512)",
    )
    add(
        "--jobs",
        type=int,
        default=os.cpu_count() or 1,
        help="number of processes; default: the number of CPU cores",
    )
    add(
        "--min-side",
        type=int,
        default=512,
        help="short side in px up to which photos are enlarged; default: 512",
    )
    add(
        "--max-side",
        type=int,
        default=1280,
        help="long side in px down to which photos are reduced; default: 1280",
    )
    add(
        "--min-score",
        type=float,
        default=0.0,
        help="quality score in [0, 1] below which a photo is left out; default: 0",
    )
    add("--scenes", action="store_true", help="photos without a face are drawn too")
    add(
        "--halftone",
        action="store_true",
        help="also write drawings with dots as layers, from which training prints dots that a "
        "network can learn; three times as slow",
    )
    return parser


def main(arguments: list[str] | None = None) -> None:
    parser = make_parser()
    options = parser.parse_args(arguments)
    if options.jobs < 1:
        parser.error(f"--jobs {options.jobs}: expected at least 1")
    if bool(options.change) != bool(options.name) or (options.name and len(options.look) > 1):
        parser.error("--change and --name belong together, with one --look")
    if options.name in LOOKS or not re.fullmatch(r"[\w-]*", options.name):
        parser.error(f"--name {options.name}: expected letters and digits, and no known look")
    from training.prepare.teacher.folder import draw_folder

    try:
        looks = {name: LOOKS[name] for name in options.look}
        if options.name:
            looks = {options.name: change_look(options.look[0], options.change)}
        counts = draw_folder(
            options.photos,
            options.data,
            looks,
            options.masks,
            jobs=options.jobs,
            min_side=options.min_side,
            max_side=options.max_side,
            min_score=options.min_score,
            scenes=options.scenes,
            halftone=options.halftone,
        )
    except (ValueError, ModuleNotFoundError) as error:
        parser.error(str(error))
    print(f"{counts.drawn} drawings written to {options.data}")
    if counts.left_out:
        reasons = sorted(counts.left_out.items(), key=lambda item: -item[1])
        listed = ", ".join(f"{reason}: {count}" for reason, count in reasons)
        print(f"{sum(counts.left_out.values())} photos left out ({listed})")


if __name__ == "__main__":
    main()
