"""Renders heads to order: for each portrait a 3D head of the same person, pose and expression.

    python -m training.prepare.heads.order PHOTOS... OUT [--size 512] [--samples 16] [--jobs 1]

PHOTOS are pictures, folders or archives; the largest face of each counts. `fitting/` reads a face:
measures of the face mesh keep their rank, from among people to among heads; colors, hair, beard,
glasses, clothes, expression and pose are read where they can be; the rest is drawn from a seed that
the picture gives, so that a photo always gives the same head. OUT gets

- `photos/NAME.png`: the face, cut as FFHQ cuts it, and `images/NAME.png`, its head;
- `masks`, `depth`, `heads` and `attributes.csv`, as of a set of heads (`table.py`);
- `orders/NAME.json`: attributes and overrides, with which a head can be made again;
- `left_out.json`: photos without a head, and why.

Safe to run again and to stop at any time: only what is missing is made. Reading needs MediaPipe
(`pip install "toonify[teacher]"`), rendering a Python with Blender (`python -m
training.prepare.heads --help` says how to install it); they need not be the same.
"""

import argparse
import json
import sys
from collections import Counter
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from toonify import images
from toonify.files import atomic_write
from training.data.images import Picture
from training.data.sources import photos_by_name
from training.prepare.heads.table import HeadSet
from training.prepare.heads.workers import (
    BlenderMissing,
    add_blender_options,
    blender_command,
    check_python,
    make_heads,
)

ORDERS, PHOTOS, LEFT_OUT = "orders", "photos", "left_out.json"


@dataclass(frozen=True)
class Reading:
    """One photo that is to be read, and the files of its order."""

    name: str
    photo: Picture
    out: Path
    size: int
    masks: Path | None

    @property
    def order(self) -> Path:
        return self.out / ORDERS / f"{self.name}.json"


def read_photo(job: Reading) -> str:
    """Writes the order of a photo and its face; why there is none, or an empty text."""
    from training.prepare.heads.fitting.fit import NoHead, cut_face, fit  # loads torch
    from training.prepare.teacher.masks import MaskNetwork

    photo = job.photo.load().convert("RGB")
    try:
        found = fit(photo, MaskNetwork(job.masks) if job.masks else None)
    except NoHead as error:
        return str(error)
    images.save(cut_face(photo, found.points, job.size), job.out / PHOTOS / f"{job.name}.png")
    order = {
        "seed": found.attributes.seed,
        "attributes": found.attributes.row(),
        "overrides": found.overrides.row(),
    }
    with atomic_write(job.order) as temporary:
        temporary.write_text(json.dumps(order) + "\n", encoding="utf-8")
    return ""


def read_photos(readings: list[Reading], jobs: int):
    """Yields each photo and why it has no order, in the order in which they are read."""
    if jobs == 1 or len(readings) < 2:
        for job in readings:
            yield job, read_photo(job)
        return
    from training.prepare.teacher.folder import use_one_thread  # loads torch

    with ProcessPoolExecutor(jobs, initializer=use_one_thread) as pool:
        waiting = {pool.submit(read_photo, job): job for job in readings}
        for future in as_completed(waiting):
            yield waiting[future], future.result()


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m training.prepare.heads.order",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("photos", nargs="+", help="pictures, folders or archives")
    parser.add_argument("out", type=Path, help="folder of the pairs")
    parser.add_argument("--size", type=int, default=512, help="side in px (default: 512)")
    parser.add_argument("--samples", type=int, default=16, help="samples a pixel (default: 16)")
    parser.add_argument("--jobs", type=int, default=1, help="processes (default: 1)")
    parser.add_argument(
        "--masks",
        type=Path,
        metavar="MODEL.onnx",
        help="the teacher's network for skin, clothes and hair (default: the bundled parser)",
    )
    add_blender_options(parser)
    options = parser.parse_args(arguments)
    for name, least in {"size": 64, "samples": 1, "jobs": 1}.items():
        if getattr(options, name) < least:
            parser.error(f"--{name} {getattr(options, name)}: expected {least} or more")
    return options


def read_orders(options: argparse.Namespace, photos: dict[str, Picture]) -> dict[str, str]:
    """Reads the photos that were never read; the left out ones of these photos, and why."""
    path = options.out / LEFT_OUT
    left_out = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    readings = [
        Reading(name, photo, options.out, options.size, options.masks)
        for name, photo in photos.items()
    ]
    readings = [job for job in readings if job.name not in left_out and not job.order.exists()]
    for job, reason in tqdm(
        read_photos(readings, options.jobs), total=len(readings), desc="reading", unit="photo"
    ):
        if reason:
            left_out[job.name] = reason
            with atomic_write(path) as temporary:
                temporary.write_text(json.dumps(left_out, indent=1) + "\n", encoding="utf-8")
    return {name: reason for name, reason in left_out.items() if name in photos}


def render_orders(options: argparse.Namespace, heads: HeadSet, names: list[str]) -> Counter:
    """Renders the heads that are missing; how many were made, kept and failed."""
    missing = [name for name in names if heads.record(name) is None]
    settings = {"size": options.size, "samples": options.samples}
    jobs: dict[int | str, dict] = {}
    for name in missing:
        order = (options.out / ORDERS / f"{name}.json").read_text(encoding="utf-8")
        jobs[name] = {"name": name, **settings, **json.loads(order)}
    tally = make_heads(heads, blender_command(options), options.jobs, jobs)
    tally["kept"] = len(names) - len(missing)
    return tally


def main(arguments: list[str] | None = None) -> int:
    """Reads photos and renders heads; the exit code."""
    options = parse(arguments)
    try:
        check_python(options.blender_python)
        photos = photos_by_name(options.photos)
        heads = HeadSet(options.out)
        heads.open()
        left_out = read_orders(options, photos)
    except (BlenderMissing, ValueError, ModuleNotFoundError) as error:
        print(error, file=sys.stderr)
        return 2
    tally = render_orders(options, heads, [name for name in photos if name not in left_out])
    heads.write_table()
    print(f"{tally['made']} made, {tally['kept']} kept, {tally['failed']} failed")
    if left_out:
        reasons = Counter(left_out.values()).most_common()
        listed = ", ".join(f"{reason}: {count}" for reason, count in reasons)
        print(f"{len(left_out)} photos left out ({listed})")
    return 1 if tally["failed"] else 0


if __name__ == "__main__":
    raise SystemExit(main())
