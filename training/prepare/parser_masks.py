"""Writes photos with masks of hair, skin and clothes: what `training/train_parser.py` learns from.

    python -m training.prepare.parser_masks PHOTOS... DATA --masks MODEL.onnx [--drawn PAIRS]

writes `DATA/photos/NAME.png` and `DATA/masks/NAME.png`: 0 background, 1 other parts of a person, 2
hair, 3 skin, 4 clothes. The masks are those that the teacher (`training.prepare.teacher`) draws by:
the network of `--masks`, cleaned by the face mesh. What the teacher has written already, in the
folder of `--drawn`, is copied. Photos in which the teacher finds no sure masks are left out.

The command can be stopped and run again: only what is missing is written.
"""

import argparse
import json
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

import numpy as np
from PIL import Image
from tqdm import tqdm

from toonify import images
from toonify.files import atomic_write
from training.data.images import Picture
from training.data.sources import photos_by_name
from training.data.teacher_records import RECORDS, read_records
from training.prepare.teacher import folder
from training.prepare.teacher.masks import MaskNetwork
from training.prepare.teacher.portrait import FACE_PX, MAX_CANVAS_PX

MIN_SIDE, MAX_SIDE = 512, 1280  # px, the teacher's own
LEFT_OUT = "left_out.json"  # name -> reason


@dataclass(frozen=True)
class Job:
    """One photo, the folder that is written, the mask network, and the teacher's folder if any."""

    name: str
    photo: Picture
    data: Path
    masks: Path
    drawn: Path | None


def photo_path(data: Path, name: str) -> Path:
    """Where a photo is written."""
    return data / "photos" / f"{name}.png"


def mask_path(data: Path, name: str) -> Path:
    """Where the labels of a photo are written; after the photo."""
    return data / "masks" / f"{name}.png"


def find_drawn(drawn: Path) -> set[str]:
    """Names of the photos whose whole area the teacher has labeled.

    Of a photo with a small face it labels only a part, and does not record which.
    """
    names = set()
    for path in sorted(drawn.glob(f"*/{RECORDS}")):
        for name, record in read_records(path).items():
            photo = drawn / "train_photo" / f"{name}.png"
            if "boxes" not in record or not photo.exists() or not mask_path(drawn, name).exists():
                continue
            _, top, _, bottom = record["boxes"][0]["face"]
            with Image.open(photo) as image:
                if max(image.size) * FACE_PX < 0.95 * MAX_CANVAS_PX * (bottom - top):
                    names.add(name)
    return names


def write_masks(job: Job) -> str:
    """Writes the photo and the labels of a job; returns why not, or nothing."""
    if job.drawn:
        photo = images.load(job.drawn / "train_photo" / f"{job.name}.png")
        labels = np.asarray(Image.open(mask_path(job.drawn, job.name)))
    else:
        photo = job.photo.load()
        size = folder.fit_size(photo.size, MIN_SIDE, MAX_SIDE)
        photo = photo.resize(size, Image.Resampling.LANCZOS)
        portraits, reason = folder.find_portraits(np.asarray(photo), job.masks)
        if reason:
            return reason
        labels = folder.label_map(portraits, photo.size)
        left, top, right, bottom = portraits[0].window  # outside of it nothing is known
        photo, labels = photo.crop((left, top, right, bottom)), labels[top:bottom, left:right]
    images.save(photo, photo_path(job.data, job.name))
    folder.save_labels(labels, mask_path(job.data, job.name))
    return ""


def write_folder(
    sources: list[str | Path], data: Path, masks: Path, drawn: Path | None = None, jobs: int = 1
) -> dict[str, str]:
    """Writes the masks of all photos that have none yet.

    Args:
        sources: folders, archives or Hub data sets of photos, or single photos.
        data: folder to write `photos/NAME.png`, `masks/NAME.png` and `left_out.json` into.
        masks: path of the mask network.
        drawn: folder that the teacher has written; default: none.
        jobs: number of processes; default 1.

    Returns:
        Name -> reason of the photos that are left out.

    Raises:
        ValueError: there is no such source or mask network.
    """
    MaskNetwork(masks)
    known, path = find_drawn(drawn) if drawn else set(), data / LEFT_OUT
    left_out = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    tasks = [
        Job(name, photo, data, masks, drawn if name in known else None)
        for name, photo in photos_by_name(sources).items()
        if name not in left_out and not mask_path(data, name).exists()
    ]
    # First what is only copied; in a fixed random order, so that a stopped run is a fair sample.
    tasks.sort(key=lambda task: (task.drawn is None, crc32(task.name.encode())))
    bar = tqdm(total=len(tasks), desc="writing masks", unit="photo")
    with bar, ProcessPoolExecutor(jobs, initializer=folder.use_one_thread) as pool:
        futures = {pool.submit(write_masks, task): task for task in tasks}
        for future in as_completed(futures):
            if reason := future.result():
                left_out[futures[future].name] = reason
            bar.update()
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(left_out, indent=1, sort_keys=True) + "\n")
    return left_out


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m training.prepare.parser_masks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("photos", nargs="+", help="folders, archives or Hub data sets of photos, or photos")
    add("data", type=Path, help="folder to write photos and masks into")
    add(
        *("--masks", "-m"),
        type=Path,
        required=True,
        metavar="MODEL.onnx",
        help="segmentation network for skin, clothes and hair: input (1, 3, 512, 512)",
    )
    add("--drawn", type=Path, metavar="PAIRS", help="folder that the teacher has written")
    add("--jobs", type=int, default=1, help="number of processes; default: 1")
    options = parser.parse_args(arguments)
    if options.jobs < 1:
        parser.error(f"--jobs {options.jobs}: expected at least 1")
    try:
        left_out = write_folder(
            options.photos, options.data, options.masks, options.drawn, options.jobs
        )
    except (ValueError, ModuleNotFoundError) as error:
        parser.error(str(error))
    for reason in sorted(set(left_out.values())):
        print(f"left out, {reason}: {list(left_out.values()).count(reason)}")


if __name__ == "__main__":
    main()
