"""Draws videos and animations: frame times and sound stay, and no flicker is added."""

import contextlib
import dataclasses
import hashlib
import os
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from toonify.faces import detect, frontal_eye_distance
from toonify.faces.tracking import FaceTracks, Track
from toonify.files import atomic_write
from toonify.images.color_transfer import transfer_color
from toonify.images.morph import morph
from toonify.pipelines.animegan import AnimeGANPipeline, check_options
from toonify.pipelines.options import DrawOptions
from toonify.video import muxing
from toonify.video.animations import Animation
from toonify.video.decoding import open_video
from toonify.video.prefetch import ahead
from toonify.video.segments import SegmentStore
from toonify.video.stabilization import Flicker, FlickerMeter, FrameReuser, Scenes, Stabilizer
from toonify.video.types import Frame, VideoError

SCALE_SAMPLES = 8  # frames that are looked at for the drawing's scale
WARM = 12  # frames drawn again when a run goes on, so that faces and lines go on where they were
DETECT_SIDE = 640  # px of the longer side: drawing a frame takes several times as long as a look
FIRM = 1.15  # how far a face's size must leave a limit before it counts as left
FORMAT = 2  # part of every plan: raise it when the same options draw another video
_SAMPLE = 2**20  # bytes at either end of a source by which it is known again


@dataclasses.dataclass(frozen=True)
class VideoOptions(DrawOptions):
    """How a video is drawn. A run can only be continued with the same options.

    Args:
        stabilize: whether drawings are kept from frame to frame where the source does not change;
            default True.
        side_by_side: whether the source is shown on the left of the drawing; default False.
        max_height: the largest height in pixels, from 16; larger videos are scaled down. None
            (default): no limit.
        crf: quality of MP4 files, 0 (best) to 51; default 18, which shows no difference.
        sound: whether the sound comes along, re-encoded if the file cannot hold it; default True.

    Example:
        >>> VideoOptions(max_height=720, keep_color=True).stabilize
        True
    """

    stabilize: bool = True
    side_by_side: bool = False
    max_height: int | None = None
    crf: int = 18
    sound: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.crf <= 51:
            raise ValueError(f"crf={self.crf}: expected 0 (best) to 51")
        if self.max_height is not None and self.max_height < 16:
            raise ValueError(f"max_height={self.max_height}: expected 16 px or more")


@dataclasses.dataclass(frozen=True)
class Progress:
    """How far a run is. `total` is 0 where the file does not say; `seconds_left` then too."""

    frames: int
    total: int
    seconds_left: float

    @property
    def fraction(self) -> float:
        return min(1.0, self.frames / self.total) if self.total else 0.0


@dataclasses.dataclass(frozen=True)
class DrawnVideo:
    """A drawn video.

    `frames` and `seconds` are its length. `done` counts the frames of this run, `fps` the frames a
    second with all steps included, and `drawn` the frames that the network drew: the others repeat
    the drawing before them. `faces` counts the tracked faces, again after each cut; `damaged` the
    packets of the source that could not be read. `flicker` is None unless it was measured. `notes`
    are messages for the user.
    """

    path: Path
    frames: int
    seconds: float
    done: int
    drawn: int
    fps: float
    faces: int
    damaged: int
    flicker: Flicker | None
    notes: tuple[str, ...]


class Cancelled(Exception):
    """The run was cancelled; with `resume`, its finished segments are kept."""


@dataclasses.dataclass(frozen=True, eq=False)
class Drawn:
    """A frame, its drawing as uint8 RGB (H, W, 3), and whether a scene begins with it."""

    frame: Frame
    toon: np.ndarray
    cut: bool


def draw_video(
    pipeline: AnimeGANPipeline,
    source: str | os.PathLike,
    target: str | os.PathLike,
    options: VideoOptions = VideoOptions(),
    *,
    overwrite: bool = False,
    resume: bool = True,
    most_seconds: float | None = None,
    measure: bool = False,
    progress: Callable[[Progress], None] | None = None,
    cancelled: Callable[[], bool] = lambda: False,
) -> DrawnVideo:
    """Draws a video or an animation.

    Args:
        pipeline: draws the frames.
        source: the video or animation.
        target: the file to write; its suffix gives the format.
        options: how the video is drawn; default: the defaults of `VideoOptions`.
        overwrite: whether `target` may be replaced; default False.
        resume: whether a run that ends early leaves its segments in a folder beside `target`, from
            which the next run with the same arguments continues; default True.
        most_seconds: the longest source accepted, in seconds; default: no limit.
        measure: whether the flicker is measured; default False.
        progress: called after each frame; an error that it raises ends the run.
        cancelled: called after each frame; True stops the run.

    Returns:
        What was written, and how.

    Raises:
        VideoError: the source is no video, or cannot be written as `target`; a ValueError.
        ValueError: an option is wrong.
        Cancelled: `cancelled` returned True.

    Example:
        >>> pipe = AnimeGANPipeline.from_pretrained("comic", device="cpu")
        >>> video = draw_video(pipe, "wave.gif", "toon.gif", VideoOptions(max_height=64))
        >>> video.frames, video.path.is_file()
        (2, True)
    """
    source, target = Path(source), Path(target)
    check_options(pipeline.style, options)
    suffix = check_target(source, target, overwrite)
    video = open_video(source, options.max_height)
    notes = muxing.check_sound(video, suffix, options.sound)
    if most_seconds is not None and video.about.seconds > most_seconds:
        raise VideoError(too_long(source, most_seconds))
    plan = plan_of(pipeline, source, suffix, options)
    with SegmentStore(target, plan, restart=overwrite or not resume, keep=resume) as store:
        run = Run(pipeline, video, store, options, suffix, measure, progress)
        run.prepare(cancelled)
        run.draw_all(cancelled, most_seconds)
        if not store.segments:
            raise VideoError(f"{source}: none of its frames could be read")
        with atomic_write(target, keep_suffix=True) as temporary:
            source_type = options.source_type()
            notes += muxing.join(store, video, temporary, suffix, options.sound, source_type)
        return run.result(target, (*video.notes, *notes))


class Run:
    """One run over a video: what its steps share."""

    def __init__(
        self,
        pipeline,
        video,
        store: SegmentStore,
        options: VideoOptions,
        suffix: str,
        measure: bool = False,
        progress: Callable[[Progress], None] | None = None,
    ):
        self.pipeline, self.video, self.store, self.options = pipeline, video, store, options
        self.meter = FlickerMeter() if measure else None
        self.done = store.frames  # by the runs before this one
        self.pace = Pace(progress, self.done, video.about.frames)
        self.codec = muxing.codec_for(suffix, options.crf)
        self.scale = 1.0
        largest = options.faces == "largest"
        self.tracks = FaceTracks(find_faces, self.is_small, largest)
        self.drawings = 0  # of the network, in this run
        self._start: int | None = None

    def prepare(self, cancelled: Callable[[], bool] = lambda: False) -> None:
        """Chooses the scale of all drawings, or reads that of the run that this one continues."""

        def check() -> None:
            if cancelled():
                raise Cancelled(f"{self.store.target}: stopped before the first frame")

        if isinstance(self.video, Animation):  # each of its frames may take a second
            self.video.on_frame = check
        if "scale" not in self.store.found:
            self.store.note(scale=self.choose_scale(check))
        self.scale = self.store.found["scale"]
        self.pace.start()

    def choose_scale(self, check: Callable[[], None] = lambda: None) -> float:
        """One scale for the whole video: that of a frame with the usual largest face.

        With a scale for each frame, lines would grow and shrink as people move.
        """
        sizes, scales = [], []
        for pixels in self.video.sample_frames(SCALE_SAMPLES):
            check()
            photo = Image.fromarray(pixels)
            found = [] if self.options.faces == "none" else find_faces(photo)
            sizes.append(self.pipeline.drawing_scale(photo, []))
            if found:
                scales.append(self.pipeline.drawing_scale(photo, found))
        return float(np.median(scales or sizes or [1.0]))

    def draw_all(self, cancelled: Callable[[], bool], most_seconds: float | None) -> None:
        """Draws the frames that are missing; the arguments and errors are those of `draw_video`."""
        with contextlib.closing(self.frames()) as finished:
            for frame in finished:
                if most_seconds is not None and self.elapsed(frame) > most_seconds:
                    raise VideoError(too_long(self.video.path, most_seconds))
                self.pace.tick()
                if cancelled():
                    raise Cancelled(
                        f"{self.store.target}: stopped after {self.store.frames} frames"
                    )

    def frames(self) -> Generator[Frame, None, None]:
        """Reads, draws, stabilizes and encodes frames, each step in its own thread.

        Yields every frame that has been encoded.
        """
        done = self.store.frames
        with contextlib.ExitStack() as stack:

            def step(items):
                return stack.enter_context(contextlib.closing(ahead(items)))

            source = step(self.read(max(0, done - WARM)))
            drawn = step(self.draw(source))
            steady = stack.enter_context(contextlib.closing(self.stabilized(drawn)))
            for _ in range(min(done, WARM)):
                next(steady, None)
            about = self.video.about
            yield from self.store.write(steady, self.codec, about.time_base, about.colors)

    def read(self, skip: int) -> Iterator[Frame]:
        """The video's frames without the first ones."""
        with contextlib.closing(self.video.frames()) as frames:
            for number, frame in enumerate(frames):
                if number >= skip:
                    yield frame

    def draw(self, frames: Iterator[Frame]) -> Iterator[Drawn]:
        """The drawing of each frame: a new one, or the last carried on where nothing happens."""
        scenes, reuser, last = Scenes(), FrameReuser(), None
        for frame in frames:
            if last is not None and np.array_equal(last.frame.pixels, frame.pixels):
                last = Drawn(frame, last.toon, False)
                yield last
                continue
            photo, cut = Image.fromarray(frame.pixels), scenes.cut(frame.pixels)
            tracks = [] if self.options.faces == "none" else self.tracks.update(photo, cut)
            settled = all(track.weight == 1.0 for track in tracks)
            carries = self.options.stabilize and settled and not cut
            toon = reuser(frame.pixels) if carries else None
            if toon is None:
                toon = self.drawing(photo, tracks)
                self.drawings += 1
                if settled:
                    reuser.drew(frame.pixels, toon)
            last = Drawn(frame, toon, cut)
            yield last

    def drawing(self, photo: Image.Image, tracks: list[Track]) -> np.ndarray:
        """One frame on the way of a photo, with faces that are followed instead of found."""
        canvas = photo
        if self.pipeline.style.scope == "photo":
            canvas = self.pipeline.draw(photo, self.scale)
        for track in tracks:
            canvas = self.with_face(photo, canvas, track)
        if self.options.keep_color:
            canvas = transfer_color(photo, canvas)
        if self.options.strength < 1:
            canvas = morph(photo, canvas, self.options.strength)
        return np.asarray(canvas)

    def with_face(self, photo: Image.Image, canvas: Image.Image, track: Track) -> Image.Image:
        """The canvas with the drawing of a face in it, as far as it has come in."""
        wanted = self.pipeline.crop_size(track.face)
        if not wanted / FIRM < track.size < wanted * FIRM:
            track.size = wanted
        pasted = self.pipeline.draw_face(photo, canvas, track.face, track.size)
        return pasted if track.weight == 1.0 else Image.blend(canvas, pasted, track.weight)

    def is_small(self, face, before: bool) -> bool:
        """Whether a face needs a drawing of its own; one that had it keeps it a little longer."""
        least = self.pipeline.least_eye_distance(self.scale) * (FIRM if before else 1.0)
        return frontal_eye_distance(face.points) * self.scale < least

    def stabilized(self, drawings: Iterator[Drawn]) -> Generator[Frame, None, None]:
        """The frames as they will be seen."""
        stabilizer = Stabilizer() if self.options.stabilize else None
        for drawn in drawings:
            source, steady = drawn.frame.pixels, drawn.toon
            if stabilizer is not None:
                steady = stabilizer(source, drawn.toon, drawn.cut)
            if self.meter is not None:
                self.meter.add(source, drawn.toon, steady, drawn.cut)
            if self.options.side_by_side:
                steady = np.hstack([source, steady])
            yield dataclasses.replace(drawn.frame, pixels=self.even(steady))

    def even(self, pixels: np.ndarray) -> np.ndarray:
        """Without the last row or column where the codec takes pixels in pairs only; a single one
        comes twice."""
        if self.codec.form == "rgb24":
            return pixels
        height, width = (max(2, side - side % 2) for side in pixels.shape[:2])
        below, right = (max(0, 2 - side) for side in pixels.shape[:2])
        return np.pad(pixels, ((0, below), (0, right), (0, 0)), "edge")[:height, :width]

    def elapsed(self, frame: Frame) -> float:
        """Seconds from the video's first frame to the end of this one."""
        if self._start is None:
            self._start = self.store.segments[0].start if self.store.segments else frame.at
        return float((frame.at + frame.duration - self._start) * self.video.about.time_base)

    def result(self, path: Path, notes: tuple[str, ...]) -> DrawnVideo:
        """What the finished run has written to `path`."""
        store, unit = self.store, self.video.about.time_base
        last = store.last(unit)
        return DrawnVideo(
            path,
            store.frames,
            float((last.at + last.duration - store.segments[0].start) * unit),
            store.frames - self.done,
            self.drawings,
            self.pace.fps,
            self.tracks.seen,
            self.video.damaged,
            self.meter.flicker if self.meter else None,
            notes,
        )


class Pace:
    """Counts frames and estimates how long the rest will take."""

    def __init__(self, progress: Callable[[Progress], None] | None, done: int, total: int):
        self._progress, self._done, self._total = progress, done, total
        self._drawn = 0
        self.start()

    def start(self) -> None:
        """Starts the clock anew."""
        self._begun = time.perf_counter()

    def tick(self) -> None:
        """One frame more."""
        self._drawn += 1
        if self._progress is not None:
            frames = self._done + self._drawn
            left = max(0, self._total - frames) / self.fps
            self._progress(Progress(frames, self._total, left))

    @property
    def fps(self) -> float:
        """Frames a second since this run began."""
        return self._drawn / max(time.perf_counter() - self._begun, 1e-9)


def find_faces(photo: Image.Image) -> list:
    """The upright faces of a frame, largest first."""
    return detect(photo, max_side=DETECT_SIDE, try_rotations=False)


def check_target(source: Path, target: Path, overwrite: bool) -> str:
    """The target's suffix; VideoError where it cannot be the target of this source."""
    suffix = muxing.check_suffix(target)
    if os.path.realpath(source) == os.path.realpath(target):
        raise VideoError(f"{target} is the source itself: expected another file")
    if target.is_dir():
        raise VideoError(f"{target} is a folder: expected a file")
    if target.exists() and not overwrite:
        raise VideoError(f"{target} exists already; overwrite replaces it")
    return suffix


def plan_of(pipeline, source: Path, suffix: str, options: VideoOptions) -> dict:
    """Everything that the drawn frames depend on, ready for JSON."""
    chosen = dataclasses.asdict(options)
    del chosen["mark"]  # added when the frames are joined
    return {
        "format": FORMAT,
        "source": fingerprint(source),
        "style": [pipeline.style.name, pipeline.key],
        "suffix": suffix,
        "options": chosen,
    }


def fingerprint(file: Path) -> str:
    """Identifies a source by its length and both ends of its content."""
    size = file.stat().st_size
    digest = hashlib.sha256(str(size).encode())
    with open(file, "rb") as content:
        digest.update(content.read(_SAMPLE))
        content.seek(max(0, size - _SAMPLE))
        digest.update(content.read(_SAMPLE))
    return digest.hexdigest()


def too_long(source: Path, most_seconds: float) -> str:
    return f"{source} is too long: expected at most {most_seconds:g} seconds"
