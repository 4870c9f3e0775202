"""Takes style pictures out of films: a few sharp frames of every scene, no two nearly equal.

    python -m training.prepare.frames_from_video FILM.mkv SERIES/ DATA/STYLE/style --crop-bars

Scenes end at cuts, at black or empty frames, and where a dissolve or pan has come to rest on
another picture. Of each scene the sharpest of the steady frames are taken. Left out are blank
frames, frames blurred for this film, and frames like one that is in the folder already, whatever
film that came from. Pictures are called `FILM_00083500ms.png` after the film and the time in it.

Safe to run again and to stop at any time: `frames.json` in the folder holds how far each film has
been read. What you delete by hand from the folder stays deleted; delete `frames.json` too to have
everything read once more. Memory does not grow with the film's length.
"""

import argparse
import math
import re
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from av.video.reformatter import VideoReformatter
from PIL import Image
from tqdm import tqdm

from toonify import images
from training import records
from training.prepare import likeness

FILMS = (
    *(".mp4", ".m4v", ".mkv", ".webm", ".mov", ".avi", ".ts", ".m2ts", ".mts", ".vob"),
    *(".mpg", ".mpeg", ".wmv", ".flv", ".ogv", ".3gp", ".gif"),
)
RECORD = "frames.json"
CUT = 0.2  # change from frame to frame that can be a cut
SURE_CUT = 0.5  # change that is a cut whatever came before
SHORTEST = 0.4  # seconds; a cut sooner than this after another is a flash
REST = 0.25  # seconds over which a steady frame has hardly changed
LIKE_BITS, LIKE_APART = 14, 0.45  # see likeness.alike: frames of a film should vary


@dataclass(frozen=True)
class Choice:
    """What is taken out of a film. With `every` seconds, scenes do not matter."""

    every: float = 0.0
    per_scene: int = 2
    size: int = 0  # px of the short side; 0: as it is
    crop_bars: bool = False
    min_sharpness: float = likeness.BLURRED  # of the film's typical sharpness
    max_frames: int = 0  # from one film, spread over its length; 0: no limit


@dataclass(frozen=True)
class Overview:
    """What a look over the whole film says.

    sharpness: its typical `likeness.sharpness`.
    box: (x0, y0, x1, y1) of the picture within its bars, as shares of the upright frame.
    """

    sharpness: float
    box: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0)


class Film:
    """A video file: its frames with their times, read as far as they go.

    Raises:
        ValueError: the file is not a video that can be read.
    """

    def __init__(self, path: Path):
        self.path = path
        self.damaged = 0  # packets that could not be decoded
        self.ended: str | None = None  # why reading stopped before the end, if it did
        self.jumped = False  # whether times went backwards, so that no place can be found again
        self.seen = 0.0  # time of the last frame
        with self._open() as container:
            stream = self._stream(container)
            if stream.duration and stream.time_base:
                self.duration = float(stream.duration * stream.time_base)
            else:
                self.duration = container.duration / av.time_base if container.duration else 0.0
            self.first = float((stream.start_time or 0) * (stream.time_base or 0))
            self.step = float(1 / (stream.average_rate or 25))
            self.square = stream.sample_aspect_ratio or Fraction(1)
        if not Fraction(1, 4) < self.square < 4:
            self.square = Fraction(1)
        self._small, self._full = VideoReformatter(), VideoReformatter()

    def _open(self):
        try:
            return av.open(str(self.path), metadata_errors="ignore")
        except (av.FFmpegError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise ValueError(f"{self.path}: not a video that can be read ({reason})") from None

    def _stream(self, container):
        streams = [
            stream
            for stream in container.streams.video
            if not stream.disposition & av.stream.Disposition.attached_pic
            and stream.codec_context is not None
        ]
        if not streams:
            raise ValueError(f"{self.path}: no moving pictures in it; expected a video")
        streams[0].thread_type = "AUTO"
        return streams[0]

    def frames(self, start: float = 0.0) -> Iterator[tuple[float, av.VideoFrame]]:
        """(seconds, frame) from `start` on, in the order they are shown; times only rise."""
        if start > 0:
            moments = self._moments(start)
            first = next(moments, None)
            if first is not None and first[0] <= start:
                yield from ((at, frame) for at, frame in moments if at >= start)
                return
            # The file has no index, or a wrong one.
        yield from ((at, frame) for at, frame in self._moments(0.0) if at >= start)

    def _moments(self, start: float) -> Iterator[tuple[float, av.VideoFrame]]:
        last, offset = None, 0.0
        for frame in self._decoded(start):
            if frame.is_corrupt:
                self.damaged += 1
                continue
            at = frame.time
            at = (last or 0.0) + self.step if at is None else at - self.first + offset
            if last is not None and at <= last:
                if at < last - 1.0:  # pieces put together, each with a clock of its own
                    self.jumped = True
                offset += last + self.step - at
                at = last + self.step
            last = at
            yield at, frame

    def _decoded(self, start: float) -> Iterator[av.VideoFrame]:
        self.ended = None
        with self._open() as container:
            stream = self._stream(container)
            if start > 0:
                # A second early: frames right after an entry point may lean on what was before.
                place = int((max(0.0, start - 1.0) + self.first) / stream.time_base)
                try:
                    container.seek(place, stream=stream)
                except av.FFmpegError:
                    return
            packets = container.demux(stream)
            while True:
                try:
                    packet = next(packets)
                except StopIteration:
                    return
                except av.FFmpegError as error:
                    self.ended = error.strerror or str(error)
                    return
                try:
                    yield from packet.decode()
                except av.FFmpegError:
                    self.damaged += 1

    def glances(self, number: int = 48) -> Iterator[np.ndarray]:
        """Small upright pictures from all over the film, or all from its first two minutes.

        Only entry points of the stream are decoded. Where that gives fewer than half of
        `number`, the beginning is read instead, four pictures a second.
        """
        found = []
        if self.duration:
            with self._open() as container:
                stream = self._stream(container)
                seen = set()
                for index in range(number):
                    at = self.duration * (index + 0.5) / number + self.first
                    try:
                        container.seek(int(at / stream.time_base), stream=stream)
                        frame = next(container.decode(stream), None)
                    except av.FFmpegError:
                        continue
                    if frame is not None and frame.pts not in seen:
                        seen.add(frame.pts)
                        found.append(self.small(frame))
        if len(found) * 2 >= number:
            yield from found
            return
        following = 0.0
        for at, frame in self.frames():
            if at > 120:
                return
            if at >= following:
                following = at + 0.25
                yield self.small(frame)

    def small(self, frame: av.VideoFrame) -> np.ndarray:
        """The upright frame with a short side of `likeness.WORKING_SIDE` px, uint8 RGB."""
        width, height = self._shape(frame)
        scale = min(1.0, likeness.WORKING_SIDE / min(width, height))
        return self._upright(self._small, frame, round(width * scale), round(height * scale))

    def full(self, frame: av.VideoFrame) -> np.ndarray:
        """The upright frame with square pixels, uint8 RGB (H, W, 3)."""
        return self._upright(self._full, frame, *self._shape(frame))

    def _shape(self, frame: av.VideoFrame) -> tuple[int, int]:
        return max(1, round(frame.width * self.square)), frame.height

    def _upright(self, scaler, frame, width: int, height: int) -> np.ndarray:
        # 2 is "not said"; then players take HD for BT.709 and the scaler would take BT.601.
        space = "ITU709" if frame.colorspace == 2 and frame.height >= 720 else None
        shrinks = width < frame.width
        picture = scaler.reformat(
            frame,
            width=width,
            height=height,
            format="rgb24",
            src_colorspace=space,
            interpolation="AREA" if shrinks else "BICUBIC",
            threads=1,
        ).to_ndarray()
        return np.ascontiguousarray(np.rot90(picture, round(frame.rotation / 90)))

    def warnings(self) -> Iterator[str]:
        """What people should know about the film, after it has been read."""
        if self.damaged:
            yield f"{self.path}: {self.damaged} damaged places were passed over"
        if self.ended:
            yield f"{self.path}: read up to {self.seen:.1f} s, then it broke off ({self.ended})"
        elif self.duration and self.seen < 0.95 * self.duration - 2:
            yield (
                f"{self.path}: ends at {self.seen:.1f} s, although it should last "
                f"{self.duration:.1f} s; the file may be cut off"
            )


def look_over(film: Film) -> Overview:
    """Typical sharpness and the bars of a film, from a few dozen of its frames.

    A row belongs to a bar if it is dark in three of four frames that show anything: subtitles
    light up a bar now and then. Bars above half of a side are none.
    """
    sharp: list[float] = []
    rows = columns = 0.0
    shape = None
    for picture in film.glances():
        shape = shape or picture.shape  # a film may change its size on the way
        if likeness.is_blank(picture) or picture.shape != shape:
            continue
        sharp.append(likeness.sharpness(picture))
        lit = picture.max(axis=2) > 40
        rows, columns = rows + (lit.mean(axis=1) > 0.01), columns + (lit.mean(axis=0) > 0.01)
    if not sharp:
        return Overview(0.0)
    top, bottom = _lit_part(rows / len(sharp))
    left, right = _lit_part(columns / len(sharp))
    return Overview(float(np.median(sharp)), (left, top, right, bottom))


def _lit_part(share_lit: np.ndarray) -> tuple[float, float]:
    """Where the rows that are lit in a quarter of frames begin and end, as shares of the side."""
    lit = np.flatnonzero(share_lit > 0.25)
    side = len(share_lit)
    if not len(lit):
        return 0.0, 1.0
    # One row further in: the bar's edge is soft, and the row may be part bar.
    first = (lit[0] + 1) / side if lit[0] > 0.01 * side else 0.0
    last = lit[-1] / side if side - 1 - lit[-1] > 0.01 * side else 1.0
    return (float(first), float(last)) if last - first > 0.5 else (0.0, 1.0)


def cut_box(picture: np.ndarray, box: tuple[float, float, float, float]) -> np.ndarray:
    """The part of a picture (H, W, 3) within a box given as shares of its sides."""
    height, width = picture.shape[:2]
    x0, x1 = math.ceil(box[0] * width), math.floor(box[2] * width)
    y0, y1 = math.ceil(box[1] * height), math.floor(box[3] * height)
    return picture[y0:y1, x0:x1]


@dataclass(frozen=True, eq=False)
class Look:
    """What a frame looks like for telling scenes apart.

    colours: (48,) shares of pixels; structure: (576,) grey levels less their mean, `light`.
    """

    colours: np.ndarray
    structure: np.ndarray
    light: float

    @classmethod
    def of(cls, picture: np.ndarray) -> "Look":
        """The look of a small picture, uint8 RGB of about 48 px."""
        counts = [np.bincount(picture[..., c].ravel() >> 4, minlength=16) for c in range(3)]
        colours = np.concatenate(counts) / picture.size
        grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
        structure = cv2.resize(grey, (24, 24), interpolation=cv2.INTER_AREA)
        structure = structure.astype(np.float32).ravel()
        light = float(structure.mean())
        return cls(colours.astype(np.float32), structure - light, light)

    def change(self, other: "Look") -> float:
        """0 for the same picture, up to 1.4; a change of light alone is hardly any.

        The geometric mean of the share of pixels that change colour and of the lost correlation
        of structures. A fade changes colours and keeps structure; a moving camera the reverse; a
        cut changes both.
        """
        colours = float(np.abs(self.colours - other.colours).sum()) / 2
        spread = float(self.structure.std() * other.structure.std())
        covariance = float((self.structure * other.structure).mean())
        flat = 16.0  # (4 levels)^2: what is flatter than that has no structure to lose
        lost = 1.0 - (covariance + flat) / (spread + flat)
        return math.sqrt(colours * max(0.0, lost))


class CutFinder:
    """Tells where one scene ends and the next begins, a frame at a time.

    A cut is a change that is large in itself and against the changes of the last second. A slow
    passage (dissolve, pan) ends a scene when the picture has come to rest far from where the scene
    began. It knows nothing from before the scene's start, so that reading can resume at any.
    """

    def __init__(self):
        self.restart()

    def restart(self) -> None:
        self.begun: tuple[float, Look] | None = None
        self.recent: deque[tuple[float, Look, float]] = deque()

    def begins_scene(self, at: float, look: Look) -> bool:
        """Whether the frame at `at` seconds is the first of another scene."""
        if self.begun is None:
            self.begun = (at, look)
        begun_at, begun = self.begun
        change = look.change(self.recent[-1][1]) if self.recent else 0.0
        usual = float(np.mean([c for _, _, c in self.recent])) if self.recent else 0.0
        cut = change > SURE_CUT or (change > CUT and change > 3 * usual)
        moved_on = (
            at - begun_at > 4 * REST and look.change(begun) > 1.5 * CUT and self.rests(at, look)
        )
        if (cut or moved_on) and at - begun_at >= SHORTEST:
            self.begun, self.recent = (at, look), deque([(at, look, 0.0)])
            return True
        self.recent.append((at, look, change))
        while self.recent[0][0] < at - 1.0:
            self.recent.popleft()
        return False

    def rests(self, at: float, look: Look) -> bool:
        """Whether the picture has hardly changed for `REST` seconds, and is not fading."""
        before = [earlier for when, earlier, _ in self.recent if when <= at - REST]
        if not before or abs(look.light - before[-1].light) > 0.06 * look.light + 1.0:
            return False
        return look.change(before[-1]) < CUT / 4


@dataclass(frozen=True, eq=False)
class Candidate:
    """A frame that may be taken. The decoder's frame is kept, and drawn only if it is."""

    at: float
    frame: av.VideoFrame
    detail: float
    mark: likeness.Fingerprint


@dataclass
class Scene:
    """The best frames so far of the scene that is being read; at most `slots`, none alike.

    Frames in motion are a reserve of one: they count only if the scene never comes to rest.
    """

    start: float
    slots: int
    best: list[Candidate] = field(default_factory=list)
    moving: Candidate | None = None
    refused: Counter = field(default_factory=Counter)

    def wants(self, detail: float, at_rest: bool) -> bool:
        """Whether a frame of this much detail could get a place."""
        if not at_rest:
            return self.moving is None or detail > self.moving.detail
        return len(self.best) < self.slots or detail > min(c.detail for c in self.best)

    def offer(self, candidate: Candidate, at_rest: bool) -> None:
        if not at_rest:
            self.moving = candidate
            return
        like = [c for c in self.best if like_frames(c.mark, candidate.mark)]
        if any(c.detail >= candidate.detail for c in like):
            return
        kept = [c for c in self.best if c not in like] + [candidate]
        self.best = sorted(kept, key=lambda c: -c.detail)[: self.slots]

    def chosen(self) -> list[Candidate]:
        """The frames to take, the sharpest first."""
        if not self.best:
            return [self.moving] if self.moving else []
        # Half-dissolved frames differ from the scene's others and have half of their detail.
        return [c for c in self.best if c.detail >= 0.5 * self.best[0].detail]


def like_frames(one: likeness.Fingerprint, other: likeness.Fingerprint) -> bool:
    return likeness.alike(one, other, LIKE_BITS, LIKE_APART)


class Collection:
    """The folder that pictures are put into: their fingerprints, and how far films were read.

    Raises:
        ValueError: the folder's record cannot be read.
    """

    def __init__(self, folder: Path, report=print):
        self.folder, self.report = folder, report
        self.marks: dict[str, likeness.Fingerprint] | None = None
        self.record = records.read(folder / RECORD)

    def album(self, stem: str, start: float) -> likeness.Album:
        """All pictures but those of this film from `start` on, which are about to be chosen."""
        if self.marks is None:
            self.marks = {}
            paths = [
                p
                for p in sorted(self.folder.glob("*"))
                if p.suffix.lower() in images.EXTENSIONS and not p.name.startswith(".")
            ]
            for path in tqdm(paths, desc="pictures there already", unit="picture", disable=None):
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
        """Writes a picture unless it is there; returns whether it was written."""
        path = self.folder / name
        missing = not path.exists()
        if missing:
            images.save(picture, path)
        mark = likeness.fingerprint(np.asarray(picture))
        self.marks[name] = mark
        album.add(name, mark)
        return missing

    def save(self) -> None:
        records.write(self.record, self.folder / RECORD)


def read_film(path: Path, collection: Collection, choice: Choice) -> int:
    """Takes the pictures of one film, from where it was left; returns how many were written.

    Raises:
        ValueError: the file is not a video that can be read, or the folder holds pictures of
            another film of this name.
    """
    record = collection.record.get(path.stem)
    heavy, settings = path.stat().st_size, asdict(choice)
    if record and record["bytes"] != heavy:
        raise ValueError(
            f"{path}: {collection.folder} holds pictures of another film called {path.stem}; "
            "rename one of them, or write into another folder"
        )
    if record and record["settings"] != settings:
        record = None  # read again with the new ones; pictures that are there stay
    if record and record["done"]:
        collection.report(f"{path.name}: read before, {record['taken']} pictures")
        return 0
    film = Film(path)
    if record is None:
        overview = look_over(film)
        box = overview.box if choice.crop_bars else Overview.box
        record = {"bytes": heavy, "settings": settings, "read_to": 0.0, "taken": 0, "done": False}
        record |= {"scenes": 0, "sharpness": overview.sharpness, "box": box, "left_out": {}}
        collection.record[path.stem] = record
    box, blurred = tuple(record["box"]), choice.min_sharpness * record["sharpness"]
    start, written = record["read_to"], 0
    album = collection.album(path.stem, start)
    finder, scene = CutFinder(), None

    def end_scene(at: float) -> int:
        """Writes the scene's pictures, and how far the film has been read."""
        new = 0
        if scene is not None:
            chosen = scene.chosen()
            if choice.max_frames:
                share = min(1.0, at / film.duration) if film.duration else 1.0
                chosen = chosen[: max(0, math.ceil(choice.max_frames * share) - record["taken"])]
            for candidate in sorted(chosen, key=lambda c: c.at):
                pixels = cut_box(film.full(candidate.frame), box)
                name = f"{path.stem}_{round(1000 * candidate.at):08d}ms.png"
                new += collection.put(name, resized(pixels, choice.size), album)
            record["taken"] += len(chosen)
            record["scenes"] += 1
            if not chosen:
                reason = scene.refused.most_common(1)[0][0] if scene.refused else "limit"
                record["left_out"][reason] = record["left_out"].get(reason, 0) + 1
        if not film.jumped:
            record["read_to"] = at
            collection.save()
        return new

    with tqdm(
        desc=path.name, total=round(film.duration) or None, unit=" s of film", initial=int(start)
    ) as bar:
        for at, frame in film.frames(start):
            film.seen = at
            if int(at) > bar.n:
                bar.set_postfix(pictures=record["taken"], refresh=False)
                bar.update(int(at) - bar.n)
            picture = cut_box(film.small(frame), box)
            tiny = likeness.shrink(picture, 48)
            if likeness.is_blank(tiny):
                # Two scenes with a fade through black between them are never one. Single dark
                # frames, such as in a thunderstorm, are passed over.
                if scene is not None and at - scene.start >= SHORTEST and not choice.every:
                    written += end_scene(at)
                    scene = None
                    finder.restart()
                continue
            look = Look.of(tiny)
            if choice.every:
                begins = scene is None or at // choice.every != scene.start // choice.every
                if begins:
                    finder.restart()
                finder.begins_scene(at, look)
            else:
                begins = finder.begins_scene(at, look) or scene is None
            if begins:
                if scene is not None:
                    written += end_scene(at)
                scene = Scene(at, 1 if choice.every else choice.per_scene)
            consider(scene, at, frame, picture, finder.rests(at, look), album, blurred)
        written += end_scene(film.seen + film.step)
    record["done"] = True
    collection.save()
    for warning in film.warnings():
        collection.report(warning)
    said = {
        "blurred": "blurred",
        "alike": "like pictures that are there",
        "limit": "beyond --max-frames",
    }
    left_out = [f"{number} {said[why]}" for why, number in sorted(record["left_out"].items())]
    collection.report(
        f"{path.name}: {record['taken']} pictures of {record['scenes']} "
        f"{'stretches' if choice.every else 'scenes'}"
        + (f"; left out: {', '.join(left_out)}" if left_out else "")
    )
    return written


def consider(
    scene: Scene,
    at: float,
    frame: av.VideoFrame,
    picture: np.ndarray,
    at_rest: bool,
    album: likeness.Album,
    blurred: float,
) -> None:
    """Offers a frame to the scene if it is worth it; `picture` is its small copy."""
    detail = likeness.detail(picture)
    if not scene.wants(detail, at_rest):
        return
    if likeness.sharpness(picture) < blurred:
        scene.refused["blurred"] += 1
        return
    mark = likeness.fingerprint(picture)
    if album.alike(mark, LIKE_BITS, LIKE_APART):
        scene.refused["alike"] += 1
        return
    scene.offer(Candidate(at, frame, detail, mark), at_rest)


def resized(picture: np.ndarray, short_side: int) -> Image.Image:
    """uint8 RGB with a short side of `short_side` px; never enlarged, 0 leaves it as it is."""
    image = Image.fromarray(picture)
    if not 0 < short_side < min(image.size):
        return image
    scale = short_side / min(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.resize(size, Image.Resampling.LANCZOS)


def films_in(sources: Iterable[Path]) -> list[Path]:
    """The video files named, and those below the folders named, sorted within each.

    Raises:
        ValueError: something does not exist, a folder holds no video, or two have one name.
    """
    by_stem: dict[str, Path] = {}
    for source in sources:
        if source.is_dir():
            found = [p for p in sorted(source.rglob("*")) if p.suffix.lower() in FILMS]
            if not found:
                raise ValueError(f"{source}: no videos in it; expected {', '.join(FILMS)}")
        elif source.is_file():
            found = [source]
        else:
            raise ValueError(f"{source}: does not exist; expected a video or a folder of videos")
        for path in found:
            other = by_stem.setdefault(path.stem, path)
            if other.resolve() != path.resolve():
                raise ValueError(
                    f"{path} and {other}: pictures of both would be called {path.stem}_...; "
                    "rename one, or write them into two folders"
                )
    return list(by_stem.values())


def frames_from_videos(
    sources: list[Path], folder: Path, choice: Choice, report=print
) -> tuple[int, int]:
    """Takes pictures out of every film into `folder`; returns (written now, films refused).

    Raises:
        ValueError: the sources are not there, or none of the films can be read.
    """
    films = films_in(sources)
    collection = Collection(folder, report)
    written, refused = 0, []
    for path in films:
        try:
            written += read_film(path, collection, choice)
        except ValueError as error:
            refused.append(str(error))
            report(f"skipped {error}")
    if len(refused) == len(films):
        raise ValueError(refused[0] if len(refused) == 1 else "none of the videos can be read")
    return written, len(refused)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("videos", type=Path, nargs="+", help="video files, or folders of them")
    parser.add_argument("out", type=Path, help="folder to write the pictures into")
    pace = parser.add_mutually_exclusive_group()
    pace.add_argument(
        "--every", type=float, metavar="SECONDS", help="the sharpest frame of every SECONDS"
    )
    pace.add_argument(
        "--per-scene", type=int, metavar="N", help="up to N frames of every scene (default 2)"
    )
    parser.add_argument(
        "--size", type=int, default=0, help="px of the short side; 0 as it is (default)"
    )
    parser.add_argument("--crop-bars", action="store_true", help="cut off black bars")
    parser.add_argument(
        "--min-sharpness",
        type=float,
        default=likeness.BLURRED,
        help="share of the film's typical sharpness that a frame must have; 0 takes blurred ones "
        f"too (default {likeness.BLURRED})",
    )
    parser.add_argument(
        "--max-frames",
        type=int,
        default=0,
        help="at most this many from one film, spread over its length; 0 no limit (default)",
    )
    options = parser.parse_args(arguments)
    if options.every is not None and not options.every > 0:
        parser.error(f"--every {options.every}: expected a number of seconds above 0")
    if options.per_scene is not None and options.per_scene < 1:
        parser.error(f"--per-scene {options.per_scene}: expected at least 1")
    if options.size and options.size < 64:
        parser.error(f"--size {options.size}: expected at least 64 px, or 0 for as it is")
    if not 0 <= options.min_sharpness <= 1:
        parser.error(f"--min-sharpness {options.min_sharpness}: expected 0 to 1")
    if options.max_frames < 0:
        parser.error(f"--max-frames {options.max_frames}: expected 0 or more")
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
        parser.error(f"{options.out}: {error.strerror or error}; run again to go on from here")
    print(f"{written} pictures written to {options.out}, {refused} videos refused")


if __name__ == "__main__":
    main()
