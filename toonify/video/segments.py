"""An unfinished video: segments in a folder beside it, from which a killed run continues.

A segment is a small video. It is written under another name and renamed when it is complete; its
name says everything that joining needs: `NUMBER.FRAMES.START.mp4`.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.reformatter import VideoReformatter
from filelock import FileLock, Timeout

from toonify.files import replace_file
from toonify.video.color import tag, to_frame
from toonify.video.types import Colors, Frame, VideoError, address

FRAMES = 60  # in a segment; a killed run loses at most so many drawings
PLAN = "plan.json"
MIN_TICKS = 12
MAX_NAME = 255  # bytes that file systems take


@dataclass(frozen=True)
class Codec:
    """How images are compressed: FFmpeg's encoder, pixel format and options."""

    name: str
    form: str
    options: tuple[tuple[str, str], ...]


def h264(crf: int) -> Codec:
    """What every browser and telephone plays.

    Without B-frames every frame is decoded when it is shown: segments follow each other without
    overlap, and odd times need no edit lists.
    """
    return Codec("libx264", "yuv420p", (("crf", str(crf)), ("bf", "0"), ("preset", "medium")))


def vp9(crf: int) -> Codec:
    """For WebM. Frames that are stored and not shown would have no time of their own: none."""
    options = {"crf": str(crf), "b": "0", "cpu-used": "5", "row-mt": "1", "auto-alt-ref": "0"}
    return Codec("libvpx-vp9", "yuv420p", tuple(options.items()))


# For animations, which are made from the segments when all are there.
LOSSLESS = Codec("libx264rgb", "rgb24", (("qp", "0"), ("bf", "0"), ("preset", "ultrafast")))


@dataclass(frozen=True)
class Segment:
    """A finished segment: its file, frames, and the time of its first in the video's unit."""

    file: Path
    frames: int
    start: int

    @classmethod
    def of(cls, file: Path) -> "Segment":
        _, frames, start, _ = file.name.split(".")
        return cls(file, int(frames), int(start))


def parts_folder(target: Path) -> Path:
    """The folder beside `target` for its segments; a hash where its name would be too long."""
    name = f".{target.name}.parts"
    if len(os.fsencode(name)) > MAX_NAME:
        name = f".{hashlib.blake2b(os.fsencode(target.name), digest_size=12).hexdigest()}.parts"
    return target.with_name(name)


class SegmentStore:
    """The segments of the video that will be `target`; a context that locks out other writers.

    `plan` is what the drawing depends on. Segments of another plan are an error without
    `restart`. With `keep` the folder is left when the context ends by an error.
    Raises VideoError for segments of another plan and for a folder that is in use.
    """

    def __init__(self, target: Path, plan: dict, *, restart: bool = False, keep: bool = True):
        self.folder = parts_folder(target)
        self.target = target
        self._plan, self._restart, self._keep = plan, restart, keep
        self._lock = FileLock(self.folder / "lock")
        self.found: dict = {}  # what was found out about the video, kept for the next run
        self.segments: list[Segment] = []

    def __enter__(self) -> "SegmentStore":
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise VideoError(f"{self.target}: another run is drawing this video") from None
        try:
            self._begin()
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(self, kind, error, trace) -> None:
        if kind is None or not self._keep or not self.segments:
            shutil.rmtree(self.folder, ignore_errors=True)
        self._lock.release()

    def _begin(self) -> None:
        written = read_plan(self.folder / PLAN)
        segments = sorted(self.folder.glob("[0-9]*.mp4"))
        if segments and (written is None or written["plan"] != self._plan):
            if not self._restart:
                raise VideoError(
                    f"{self.folder} holds the beginning of this video, drawn with other settings"
                    " or from another file: the earlier command continues it, --overwrite starts"
                    " again"
                )
            for file in segments:
                file.unlink()
            segments = []
        for rest in self.folder.glob("writing.*"):
            rest.unlink()
        self.segments = [Segment.of(file) for file in segments]
        self.found = written["found"] if segments and written else {}

    def note(self, **found) -> None:
        """Keeps what was found out about the video for a run that goes on."""
        self.found |= found
        temporary = self.folder / "writing.json"
        temporary.write_text(json.dumps({"plan": self._plan, "found": self.found}))
        replace_file(temporary, self.folder / PLAN)

    @property
    def frames(self) -> int:
        """Frames in the finished segments."""
        return sum(segment.frames for segment in self.segments)

    def write(
        self,
        frames: Iterable[Frame],
        codec: Codec,
        unit: Fraction,
        colors: Colors,
    ) -> Iterator[Frame]:
        """Adds frames of one size to the segments; yields each when it is compressed."""
        writer = None
        try:
            for frame in frames:
                if writer is None:
                    number = len(self.segments)
                    file = self.folder / f"writing.{number:06}.mp4"
                    writer = SegmentWriter(file, frame, codec, unit, colors)
                writer.add(frame)
                if writer.count == FRAMES:
                    self._finish(writer)
                    writer = None
                yield frame
            if writer is not None:
                self._finish(writer)
                writer = None
        finally:
            if writer is not None:
                writer.container.close()
                writer.file.unlink(missing_ok=True)  # made with the first packet

    def _finish(self, writer: "SegmentWriter") -> None:
        writer.close()
        number = len(self.segments)
        whole = self.folder / f"{number:06}.{writer.count}.{writer.start}.mp4"
        replace_file(writer.file, whole)
        self.segments.append(Segment.of(whole))

    def packets(self, unit: Fraction) -> Iterator[av.Packet]:
        """All packets of the segments in order, at their times in the video, in its unit."""
        for segment in self.segments:
            with av.open(address(segment.file)) as container:
                stream: Any = container.streams.video[0]
                for packet in container.demux(stream):
                    if packet.pts is None:
                        continue
                    # The file may count in a multiple of the unit.
                    places = (packet.pts, packet.duration)
                    at, lasts = (round(place * stream.time_base / unit) for place in places)
                    packet.time_base = unit
                    packet.pts = packet.dts = at + segment.start
                    packet.duration = lasts
                    yield packet

    def last(self, unit: Fraction) -> Frame:
        """When the last frame is shown and for how long; without pixels."""
        segment = self.segments[-1]
        with av.open(address(segment.file)) as container:
            stream: Any = container.streams.video[0]
            packets = [p for p in container.demux(stream) if p.pts is not None]
            scale = stream.time_base / unit
            at, lasts = round(packets[-1].pts * scale), round(packets[-1].duration * scale)
        return Frame(at + segment.start, lasts, np.empty((0, 0, 3), np.uint8))

    def decoded(self, unit: Fraction) -> Iterator[Frame]:
        """All frames of the segments."""
        for segment in self.segments:
            with av.open(address(segment.file)) as container:
                stream: Any = container.streams.video[0]
                for picture in container.decode(stream):
                    scale = stream.time_base / unit
                    at = round(picture.pts * scale) + segment.start
                    lasts = round((picture.duration or 0) * scale)
                    yield Frame(at, lasts, picture.to_ndarray(format="rgb24"))


class SegmentWriter:
    """Compresses frames into one segment. Times in it begin at 0."""

    def __init__(self, file: Path, first: Frame, codec: Codec, unit: Fraction, colors: Colors):
        self.file, self.start, self.count = file, first.at, 0
        # libvpx takes less than 12 ticks a second for an error.
        self._finer = -(-MIN_TICKS // unit.denominator)
        self._codec, self._unit, self._colors = codec, unit / self._finer, colors
        self._scaler = VideoReformatter()
        self._lengths: dict[int, int] = {}
        unit = self._unit
        scale = {"video_track_timescale": str(unit.denominator)}
        self.container = av.open(address(file), "w", options=scale)
        stream: Any = self.container.add_stream(codec.name, options=dict(codec.options))
        self._stream = stream
        height, width = first.pixels.shape[:2]
        self._stream.width, self._stream.height = width, height
        self._stream.pix_fmt = codec.form
        self._stream.time_base = self._stream.codec_context.time_base = unit
        if codec.form != "rgb24":
            tag(self._stream.codec_context, colors)

    def add(self, frame: Frame) -> None:
        """Adds a frame; times rise."""
        picture = to_frame(frame.pixels, self._scaler, self._codec.form, self._colors)
        picture.pts, picture.time_base = (frame.at - self.start) * self._finer, self._unit
        self._lengths[picture.pts] = frame.duration * self._finer
        self.count += 1
        self._mux(self._stream.encode(picture))

    def close(self) -> None:
        """Ends the file."""
        self._mux(self._stream.encode())
        self.container.close()

    def _mux(self, packets) -> None:
        for packet in packets:
            # Encoders drop the duration, and the last frame's is not known otherwise.
            at = round(packet.pts * packet.time_base / self._unit)
            packet.duration = round(self._lengths.pop(at) * self._unit / packet.time_base)
            self.container.mux(packet)


def read_plan(file: Path) -> dict | None:
    """The plan in a file, or None where there is none that is whole."""
    try:
        plan = json.loads(file.read_text())
    except (OSError, ValueError):
        return None
    return plan if isinstance(plan, dict) and {"plan", "found"} <= plan.keys() else None
