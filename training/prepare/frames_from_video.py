"""Extracts style images from videos: a few sharp frames of each scene, without near duplicates.

    python -m training.prepare.frames_from_video VIDEO.mkv SERIES/ DATA/STYLE/style --crop-bars

A scene ends at a cut, at a blank frame, or where a dissolve or pan settles on another image. The
sharpest steady frames of each scene are saved as `VIDEO_00083500ms.png`: the video's name and the
time in it. Blank frames, frames that are blurred compared with the rest of the video, and frames
similar to an image in the folder, whichever video it came from, are left out.

The command can be stopped and run again: `frames.json` in the folder records how far each video has
been read. Images that you delete stay deleted; delete `frames.json` too to read everything again.
"""

import argparse
import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from toonify import images
from toonify.video.decoding import open_video
from training.core import records
from training.data.images import is_picture
from training.prepare import likeness
from training.prepare.scenes import find_scenes

SUFFIXES = (
    *(".mp4", ".m4v", ".mkv", ".webm", ".mov", ".avi", ".ts", ".m2ts", ".mts", ".vob"),
    *(".mpg", ".mpeg", ".wmv", ".flv", ".ogv", ".3gp", ".gif"),
)
RECORD = "frames.json"
REASONS = {
    "blurred": "blurred",
    "alike": "similar to images in the folder",
    "limit": "beyond --max-frames",
}
FULL_FRAME = (0.0, 0.0, 1.0, 1.0)


@dataclass(frozen=True)
class Choice:
    """Which frames are extracted; see the command's options of the same names."""

    every: float = 0.0  # seconds; 0: by scenes
    per_scene: int = 2
    size: int = 0
    crop_bars: bool = False
    min_sharpness: float = likeness.BLURRED
    max_frames: int = 0


def timed_frames(video) -> Iterator[tuple[float, np.ndarray]]:
    """(seconds since the first frame, uint8 RGB pixels) of every frame."""
    unit, at = float(video.about.time_base), 0.0
    for frame in video.frames():
        yield at, frame.pixels
        seconds = frame.duration * unit
        # Files put together restart the clock; the reader then advances by the least it can.
        at += seconds if seconds > 0.001 else 1 / float(video.about.rate)


def survey(video, crop_bars: bool) -> tuple[float, tuple[float, float, float, float]]:
    """Typical sharpness of a video, and the box within its black bars as shares of the frame.

    Measured on frames from all over the video, or on its first two minutes where that finds few.
    """

    def small(pixels: np.ndarray) -> np.ndarray:
        return likeness.shrink(pixels, likeness.WORKING_SIDE)

    pictures = [small(pixels) for pixels in video.sample_frames(48)]
    if len(pictures) < 24:
        pictures, wanted = [], 0.0
        for at, pixels in timed_frames(video):
            if at > 120:
                break
            if at >= wanted:
                wanted = at + 0.25
                pictures.append(small(pixels))
    pictures = [picture for picture in pictures if not likeness.is_blank(picture)]
    if not pictures:
        return 0.0, FULL_FRAME
    sharpness = float(np.median([likeness.sharpness(picture) for picture in pictures]))
    if not crop_bars:
        return sharpness, FULL_FRAME
    height, width = pictures[0].shape[:2]
    # In three of four frames: subtitles light up a bar now and then.
    borders = [likeness.plain_borders(picture, tolerance=40) for picture in pictures]
    borders = np.percentile(borders, 25, 0, method="lower")
    # One pixel more: the edge of a bar is soft. Bars of more than half a side are none.
    sides = (width, height, width, height)
    shares = [(px + 1) / side if px else 0.0 for px, side in zip(borders, sides, strict=True)]
    if max(shares[0] + shares[2], shares[1] + shares[3]) >= 0.5:
        return sharpness, FULL_FRAME
    return sharpness, (shares[0], shares[1], 1 - shares[2], 1 - shares[3])


def resize(pixels: np.ndarray, short_side: int) -> Image.Image:
    """uint8 RGB with a short side of `short_side` px; never enlarged, 0 keeps the size."""
    image = Image.fromarray(np.ascontiguousarray(pixels))
    if not 0 < short_side < min(image.size):
        return image
    scale = short_side / min(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.resize(size, Image.Resampling.LANCZOS)


class Collection:
    """The folder of images: their fingerprints, and how far each video has been read.

    Raises:
        ValueError: `frames.json` cannot be read.
    """

    def __init__(self, folder: Path, report=print):
        self.folder, self.report = folder, report
        self.marks: dict[str, likeness.Fingerprint] | None = None
        self.record = records.read(folder / RECORD)

    def album(self, stem: str, start: float) -> likeness.Album:
        """All images except those of this video from `start` on, which are chosen again."""
        if self.marks is None:
            self.marks = {}
            paths = [path for path in sorted(self.folder.glob("*")) if is_picture(path.name)]
            for path in tqdm(paths, desc="existing images", unit="picture", disable=None):
                try:
                    self.marks[path.name] = likeness.fingerprint(np.asarray(images.load(path)))
                except images.ImageError as error:
                    self.report(f"not compared with {path}: {error}")
        own = re.compile(re.escape(stem) + r"_(\d{8,})ms\.png")
        album = likeness.Album()
        for name, mark in self.marks.items():
            match = own.fullmatch(name)
            if match is None or int(match[1]) < round(1000 * start):
                album.add(name, mark)
        return album

    def put(self, name: str, picture: Image.Image, album: likeness.Album) -> bool:
        """Writes an image unless it exists; returns whether it was written."""
        path = self.folder / name
        missing = not path.exists()
        if missing:
            images.save(picture, path)
        self.marks[name] = likeness.fingerprint(np.asarray(picture))
        album.add(name, self.marks[name])
        return missing

    def progress(self, path: Path, choice: Choice) -> dict:
        """What is recorded of a video, a new record if there is none with these settings.

        Raises:
            ValueError: the folder holds images of another video of this name.
        """
        size, settings = path.stat().st_size, asdict(choice)
        record = self.record.get(path.stem)
        if record and record["bytes"] != size:
            raise ValueError(
                f"{path}: {self.folder} holds images of another video called {path.stem}; "
                "rename one of them, or write into another folder"
            )
        if not record or record["settings"] != settings:
            record = {"bytes": size, "settings": settings, "read_to": 0.0, "taken": 0}
            record |= {"done": False, "scenes": 0, "left_out": {}}
        return record

    def save(self) -> None:
        records.write(self.record, self.folder / RECORD)


def read_video(path: Path, collection: Collection, choice: Choice) -> int:
    """Extracts the images of one video from where it was left; returns how many were written.

    Raises:
        ValueError: the file is not a readable video, or the folder holds images of another
            video of this name.
    """
    record = collection.progress(path, choice)
    if record["done"]:
        collection.report(f"{path.name}: read before, {record['taken']} images")
        return 0
    video = open_video(path)
    if "box" not in record:
        record["sharpness"], record["box"] = survey(video, choice.crop_bars)
    collection.record[path.stem] = record
    start, duration, written, seen = record["read_to"], video.about.seconds, 0, 0.0
    album = collection.album(path.stem, start)
    bar = tqdm(desc=path.name, total=round(duration) or None, unit=" s of video")

    def frames() -> Iterator[tuple[float, np.ndarray]]:
        nonlocal seen
        for seen, pixels in timed_frames(video):
            bar.update(max(0, int(seen) - bar.n))
            if seen >= start:
                yield seen, pixels

    blurred = choice.min_sharpness * record["sharpness"]
    with bar:
        for scene in find_scenes(
            frames(), choice.every, choice.per_scene, tuple(record["box"]), album, blurred
        ):
            chosen = scene.chosen()
            if choice.max_frames:
                share = min(1.0, scene.end / duration) if duration else 1.0
                limit = math.ceil(choice.max_frames * share) - record["taken"]
                chosen = chosen[: max(0, limit)]
            for candidate in sorted(chosen, key=lambda c: c.at):
                name = f"{path.stem}_{round(1000 * candidate.at):08d}ms.png"
                written += collection.put(name, resize(candidate.pixels, choice.size), album)
            record["taken"] += len(chosen)
            record["scenes"] += 1
            record["read_to"] = scene.end
            if not chosen:
                reason = scene.refused.most_common(1)[0][0] if scene.refused else "limit"
                record["left_out"][reason] = record["left_out"].get(reason, 0) + 1
            collection.save()
    record["done"] = True
    collection.save()
    _report(path, video, record, seen, choice, collection.report)
    return written


def _report(path: Path, video, record: dict, seen: float, choice: Choice, report) -> None:
    """Says what was extracted, and what is wrong with the file."""
    if video.damaged:
        report(f"{path}: {video.damaged} damaged packets were skipped")
    if seen < 0.95 * video.about.seconds - 2:
        report(
            f"{path}: ends at {seen:.1f} s of {video.about.seconds:.1f} s; the file may be cut off"
        )
    left_out = [f"{number} {REASONS[why]}" for why, number in sorted(record["left_out"].items())]
    report(
        f"{path.name}: {record['taken']} images of {record['scenes']} "
        f"{'intervals' if choice.every else 'scenes'}"
        + (f"; left out: {', '.join(left_out)}" if left_out else "")
    )


def list_videos(sources: Iterable[Path]) -> list[Path]:
    """The video files named, and those below the folders named, sorted within each.

    Raises:
        ValueError: a source does not exist, a folder has no video, or two videos share a name.
    """
    by_stem: dict[str, Path] = {}
    for source in sources:
        if source.is_dir():
            found = [p for p in sorted(source.rglob("*")) if p.suffix.lower() in SUFFIXES]
            if not found:
                raise ValueError(f"{source}: contains no videos; expected {', '.join(SUFFIXES)}")
        elif source.is_file():
            found = [source]
        else:
            raise ValueError(f"{source}: does not exist; expected a video or a folder of videos")
        for path in found:
            other = by_stem.setdefault(path.stem, path)
            if other.resolve() != path.resolve():
                raise ValueError(
                    f"{path} and {other}: images of both would be called {path.stem}_...; "
                    "rename one, or write them into two folders"
                )
    return list(by_stem.values())


def frames_from_videos(
    sources: list[Path], folder: Path, choice: Choice, report=print
) -> tuple[int, int]:
    """Extracts images of every video into `folder`.

    Args:
        sources: video files, or folders of them.
        folder: where images and `frames.json` are written.
        choice: which frames are extracted.
        report: called with a line of text for each video.

    Returns:
        Numbers of images written by this run and of videos that could not be read.

    Raises:
        ValueError: a source does not exist, or none of the videos can be read.
    """
    videos = list_videos(sources)
    collection = Collection(folder, report)
    written, refused = 0, []
    for path in videos:
        try:
            written += read_video(path, collection, choice)
        except ValueError as error:
            refused.append(str(error))
            report(f"skipped {error}")
    if len(refused) == len(videos):
        raise ValueError(refused[0] if len(refused) == 1 else "none of the videos can be read")
    return written, len(refused)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("videos", type=Path, nargs="+", help="video files or folders of them")
    parser.add_argument("out", type=Path, help="folder for the images")
    pace = parser.add_mutually_exclusive_group()
    pace.add_argument("--every", type=float, metavar="SECONDS", help="interval with one frame each")
    pace.add_argument("--per-scene", type=int, metavar="N", help="frames per scene (default: 2)")
    parser.add_argument(
        "--size", type=int, default=0, help="short side in px, 0 for the video's (default: 0)"
    )
    parser.add_argument("--crop-bars", action="store_true", help="removal of black bars")
    parser.add_argument(
        "--min-sharpness",
        type=float,
        default=Choice.min_sharpness,
        help="least sharpness as a share of the video's typical one, 0 to 1 (default: %(default)s)",
    )
    parser.add_argument(
        "--max-frames",
        type=int,
        default=0,
        help="frames per video, spread over its length; 0 for no limit (default: 0)",
    )
    options = parser.parse_args(arguments)
    for name, valid, expected in (
        ("every", options.every is None or options.every > 0, "a number of seconds above 0"),
        ("per_scene", options.per_scene is None or options.per_scene > 0, "at least 1"),
        ("size", options.size == 0 or options.size >= 64, "at least 64 px, or 0"),
        ("min_sharpness", 0 <= options.min_sharpness <= 1, "0 to 1"),
        ("max_frames", options.max_frames >= 0, "0 or more"),
    ):
        if not valid:
            option = name.replace("_", "-")
            parser.error(f"--{option} {getattr(options, name)}: expected {expected}")
    choice = Choice(
        every=options.every or 0.0,
        per_scene=options.per_scene or Choice.per_scene,
        size=options.size,
        crop_bars=options.crop_bars,
        min_sharpness=options.min_sharpness,
        max_frames=options.max_frames,
    )
    try:
        written, refused = frames_from_videos(options.videos, options.out, choice, tqdm.write)
    except ValueError as error:
        parser.error(str(error))
    except OSError as error:
        parser.error(f"{options.out}: {error.strerror or error}; run again to continue")
    print(f"{written} images written to {options.out}, {refused} videos refused")


if __name__ == "__main__":
    main()
