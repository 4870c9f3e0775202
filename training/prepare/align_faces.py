"""Crops the faces of photos, upright, as the FFHQ data set aligns them.

    python -m training.prepare.align_faces PHOTOS... FACES [--size 512] [--largest]

PHOTOS are folders, zip or tar archives, Hub data sets or single files. Each face is saved as
`FACES/NAME_i.png`, the largest of a photo first. `FACES/faces.json` records where each crop (by its
name without .png) comes from: `source`, `points` (five (x, y) in px of the upright photo: left eye,
right eye, nose, corners of the mouth), `matrix` (2x3, photo px -> crop px), `score`, `eye_distance`
and `side` (px of the photo). `FACES/photos.json` lists the photos that are done.

Faces too small for the crop are left out: enlarged, they would teach a network blur. The command
can be stopped and run again: photos that are done are skipped.
"""

import argparse
from dataclasses import asdict, dataclass
from pathlib import Path

from PIL import Image
from tqdm import tqdm

from toonify import faces as face_room
from toonify import images
from training.core import records
from training.data.images import Picture
from training.data.sources import photos_by_name


@dataclass(frozen=True)
class Cut:
    """How faces are cropped.

    Args:
        size: side of a crop in px.
        min_eye_distance: distance of the eyes in px below which a face is left out.
        largest: whether only the largest face of a photo is cropped.
    """

    size: int = 512
    min_eye_distance: float = 64.0
    largest: bool = False


@dataclass
class Tally:
    """Counts of a run's photos and faces."""

    written: int = 0
    small: int = 0  # faces left out for their size
    faceless: int = 0
    refused: int = 0
    skipped: int = 0  # photos looked at before


def smallest_eye_distance(size: int) -> float:
    """Eye distance in px below which a crop of `size` px is enlarged more than twice.

    The FFHQ square is about four eye distances wide (Karras et al., 2019).
    """
    return size / 8


def align_photo(
    photo: Image.Image, cut: Cut
) -> tuple[list[face_room.Crop], list[float], list[str]]:
    """Crops the faces of an upright RGB photo.

    Returns:
        The crops, the eye distances (px) of faces that are too small, and errors.
    """
    found = face_room.detect(photo)
    crops, small, wrong = [], [], []
    for face in found[:1] if cut.largest else found:
        if face.eye_distance < cut.min_eye_distance:
            small.append(face.eye_distance)
            continue
        try:
            crops.append(face_room.align(photo, face, cut.size))
        except ValueError as error:
            wrong.append(str(error))
    return crops, small, wrong


def align_photos(sources: list[str | Path], folder: Path, cut: Cut, report=print) -> Tally:
    """Crops the faces of every photo into `folder`.

    Args:
        sources: folders, archives, Hub data sets or files of photos.
        folder: where crops, `faces.json` and `photos.json` are written.
        cut: how faces are cropped.
        report: called with a line of text for each problem.

    Raises:
        ValueError: a source does not exist, or the folder was made with other settings.
    """
    crops_file, photos_file = folder / "faces.json", folder / "photos.json"
    made, looked_at = records.read(crops_file), records.read(photos_file)
    settings = asdict(cut)
    if looked_at.setdefault("settings", settings) != settings:
        before = ", ".join(f"{name} {value}" for name, value in looked_at["settings"].items())
        raise ValueError(f"{folder}: made with other settings ({before}); use another folder")
    done = looked_at.setdefault("photos", {})
    photos = photos_by_name(sources)
    tally, faceless = Tally(), []

    def save() -> None:
        records.write(made, crops_file)
        records.write(looked_at, photos_file)

    try:
        bar = tqdm(photos.items(), desc="aligning faces", unit="photo")
        for name, picture in bar:
            if name in done and all((folder / f"{c}.png").exists() for c in done[name]["crops"]):
                tally.skipped += 1
                continue
            try:
                photo = picture.load()
            except images.ImageError as error:
                report(f"skipped {picture.file}: {error}")
                tally.refused += 1
                continue
            crops, small, errors = align_photo(photo, cut)
            for error in errors:
                report(f"a face of {name} left out: {error}")
            names = [f"{name}_{index}" for index in range(len(crops))]
            for crop_name, crop in zip(names, crops, strict=True):
                images.save(crop.image, folder / f"{crop_name}.png")
                made[crop_name] = {"source": source_of(picture), **describe(crop)}
            done[name] = {"crops": names, "small": [round(px, 1) for px in small]}
            tally.written += len(crops)
            tally.small += len(small)
            if not crops and not small:
                faceless.append(name)
            if len(done) % 25 == 0:
                save()
            bar.set_postfix(faces=tally.written, refresh=False)
    finally:
        save()  # also when stopped
    tally.faceless = len(faceless)
    if faceless:
        more = f" and {len(faceless) - 5} more" if len(faceless) > 5 else ""
        report(f"no face found in {', '.join(faceless[:5])}{more}")
    return tally


def describe(crop: face_room.Crop) -> dict:
    """What faces.json records of a crop."""
    return {
        "points": crop.face.points.round(2).tolist(),
        "matrix": crop.matrix.tolist(),
        "score": round(crop.face.score, 5),
        "eye_distance": round(crop.face.eye_distance, 2),
        "side": round(crop.side, 1),
    }


def source_of(picture: Picture) -> str:
    """The file of an image, with its name in an archive."""
    inside = picture.member or (picture.name if picture.length >= 0 else "")
    return f"{picture.file}:{inside}" if inside else str(picture.file)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("photos", nargs="+", help="folders, archives, Hub data sets or files")
    parser.add_argument("out", type=Path, help="folder for the faces")
    parser.add_argument("--size", type=int, default=512, help="side of a crop in px (default: 512)")
    parser.add_argument(
        "--min-eye-distance",
        type=float,
        metavar="PX",
        help="least distance between the eyes (default: size / 8, which is enlarged twice)",
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--all", action="store_true", help="crops of all faces of a photo (the default)"
    )
    which.add_argument(
        "--largest", action="store_true", help="a crop of only the largest face of a photo"
    )
    options = parser.parse_args(arguments)
    if not 16 <= options.size <= 4096:
        parser.error(f"--size {options.size}: expected 16 to 4096 px")
    least = options.min_eye_distance
    if least is not None and least < 0:
        parser.error(f"--min-eye-distance {least}: expected 0 px or more")
    least = smallest_eye_distance(options.size) if least is None else least
    cut = Cut(options.size, least, options.largest)
    try:
        tally = align_photos(options.photos, options.out, cut, tqdm.write)
    except (ValueError, PermissionError, ConnectionError) as error:
        parser.error(str(error))
    except OSError as error:
        parser.error(f"{options.out}: {error.strerror or error}; run again to continue")
    print(
        f"{tally.written} faces written to {options.out}; {tally.small} faces smaller than "
        f"{least:g} px between the eyes left out, {tally.faceless} photos without a face, "
        f"{tally.refused} unreadable, {tally.skipped} done before"
    )


if __name__ == "__main__":
    main()
