"""Makes a data set of stylized 3D heads with known attributes.

    python -m training.prepare.heads OUT --count N [--seed S] [--size 512] [--samples 48]

Heads are sculpted from signed distance fields, groomed with strands and rendered by Blender's
Cycles; no mesh, texture, photo or hair from elsewhere is used. Head i depends on its seed alone:
the same seed gives the same head and the same picture. `attributes.py` says how the attributes are
balanced, `table.py` which files a head has. Safe to run again and to stop at any time: only heads
that are not whole are made.

Blender is a program apart (GPL-3) in an environment of its own, with Python 3.11:

    python3.11 -m venv blender
    blender/bin/pip install bpy==5.0.1 numpy==1.26.4 scipy scikit-image pillow OpenEXR
    python -m training.prepare.heads OUT --count 1500 --blender-python blender/bin/python
"""

import argparse
import sys

from training.prepare.heads.table import HeadSet
from training.prepare.heads.workers import (
    BlenderMissing,
    add_blender_options,
    blender_command,
    check_python,
    make_heads,
)


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m training.prepare.heads",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("out", help="folder of the set")
    parser.add_argument("--count", type=int, required=True, help="number of heads")
    parser.add_argument("--seed", type=int, default=0, help="seed of the first (default: 0)")
    parser.add_argument("--size", type=int, default=512, help="side in px (default: 512)")
    parser.add_argument("--samples", type=int, default=48, help="samples a pixel (default: 48)")
    parser.add_argument("--workers", type=int, default=1, help="Blender processes (default: 1)")
    add_blender_options(parser)
    options = parser.parse_args(arguments)
    for name, least in {"count": 1, "seed": 0, "size": 64, "samples": 1, "workers": 1}.items():
        if getattr(options, name) < least:
            parser.error(f"--{name} {getattr(options, name)}: expected {least} or more")
    return options


def main(arguments: list[str] | None = None) -> int:
    """Makes the heads that are missing; the exit code."""
    options = parse(arguments)
    try:
        check_python(options.blender_python)
    except BlenderMissing as error:
        print(error, file=sys.stderr)
        return 2
    heads = HeadSet(options.out)
    heads.open()
    missing = heads.missing(options.seed, options.count)
    settings = {"size": options.size, "samples": options.samples}
    jobs = {seed: {"seed": seed, **settings} for seed in missing}
    tally = make_heads(heads, blender_command(options), options.workers, jobs)
    rows = heads.write_table()
    print(
        f"{tally['made']} made, {options.count - len(missing)} kept, {tally['failed']} failed, "
        f"{rows} in the table"
    )
    return 1 if tally["failed"] else 0


if __name__ == "__main__":
    raise SystemExit(main())
