"""Decodes videos to upright frames with their exact times.

Files may be hostile. Only files on this machine are opened, of formats that name no other files,
and no frame is decoded that is larger than `MAX_PIXELS`.
"""

import os
import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.filter
import numpy as np
from av.video.reformatter import VideoReformatter

from toonify.video import clocks
from toonify.video.animations import Animation, is_animation
from toonify.video.color import colors_of, to_pixels, written
from toonify.video.types import About, Frame, VideoError, address, fitted

MAX_PIXELS = 40_000_000  # of a frame: 8K and a little more
MAX_STREAMS = 64
MIN_BYTES = 1000  # a second, of a recording
MAX_PADDING = Fraction(1, 4)  # seconds
# Demuxers of single files: no playlists, no lists of files, no devices, no screen grabbing.
FORMATS = (
    *("mov", "mp4", "matroska", "webm", "avi", "mpegts", "mpeg", "mpegvideo", "asf", "flv"),
    *("ogg", "nut", "h264", "hevc", "m4v", "mxf", "ivf", "obu", "dv", "rm", "wtv"),
)
INTERLACED = "it is interlaced: whole frames are made of its fields"
RESIZED = "its images change their size on the way: all have the size of the first"
EXPECTED = "a video (MP4, MOV, MKV, WebM, AVI ...) or an animated GIF, WebP or PNG"


def open_file(path: str | os.PathLike):
    """Opens a local video; VideoError if it is none."""
    try:
        return av.open(
            address(path),
            options={"max_pixels": str(MAX_PIXELS)},
            container_options={
                "protocol_whitelist": "file",
                "format_whitelist": ",".join(FORMATS),
                "max_streams": str(MAX_STREAMS),
            },
            metadata_errors="replace",
        )
    except FileNotFoundError:
        raise VideoError(f"{path}: there is no such file") from None
    except (av.FFmpegError, OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise VideoError(
            f"{path}: not a video that can be read ({why}); expected {EXPECTED}"
        ) from None


def open_video(path: str | os.PathLike, max_height: int | None = None) -> "VideoFile | Animation":
    """Opens a video or an animation; frames higher than `max_height` are scaled down.

    The first frame has been decoded when this returns.
    Raises VideoError, with the reason, for what is neither.
    """
    path = Path(path)
    if not path.is_file():
        raise VideoError(f"{path}: there is no such file")
    return Animation(path, max_height) if is_animation(path) else VideoFile(path, max_height)


class VideoFile:
    """A video file. Each call of `frames()` starts at the beginning.

    about: what is known before reading. Rotation is undone and pixels are made square, so
        `about.size` can differ from the size in the file.
    start: seconds at which the earliest of its streams begins, which are taken off all times.
    damaged: packets and frames that could not be decoded, counted while reading.
    notes: messages for the user.
    """

    def __init__(self, path: Path, max_height: int | None = None):
        self.path = path
        self.damaged = 0
        self.notes: list[str] = []
        self._scaler = VideoReformatter()
        with open_file(path) as container:
            stream = pictures_of(container, path)
            first = next(self._decoded(container, stream), None)
            if first is None:
                raise VideoError(f"{path}: {self._nothing_decoded(stream)}")
            self.damaged = 0
            self._base = stream.time_base
            self._end = None
            if stream.duration and has_true_length(container):
                end = (stream.start_time or 0) + stream.duration
                self._end = (end - round(start_of(container) / self._base)) * self._base.numerator
            rate = stream.average_rate or stream.guessed_rate or Fraction(25)
            seconds = (stream.duration or 0) * stream.time_base
            seconds = seconds or Fraction(container.duration or 0, av.time_base)
            if clocks.can_restart(container) and container.size < MIN_BYTES * seconds:
                seconds = Fraction(0)  # the difference of two clocks
            self.colors = colors_of(first)
            self.start = start_of(container)
            self._shift = round(self.start / stream.time_base) * self._base.numerator
            self._orient = Orientation.of(first)
            self._size = (first.width, first.height)
            stored = square(first, stream)
            size = fitted(stored[::-1] if self._orient.transpose else stored, max_height)
            self._stored = size[::-1] if self._orient.transpose else size
            self.about = About(
                size,
                Fraction(1, self._base.denominator),
                rate,
                stream.frames or round(seconds * rate),
                written(self.colors),
            )
            if self.colors.is_hdr:
                self.notes.append("its HDR colors were brought to the range of ordinary screens")

    def frames(self) -> Iterator[Frame]:
        """All frames in the order they are shown; times only rise."""
        self.damaged = 0
        with open_file(self.path) as container:
            stream = pictures_of(container, self.path)
            before = None
            for picture in self._decoded(container, stream):
                at = self._time(picture, before)
                frame = Frame(at, self._length(picture, at), self._pixels(picture))
                if before is not None:
                    yield Frame(before.at, at - before.at, before.pixels)
                before = frame
            if before is not None:
                yield before

    def sample_frames(self, number: int) -> Iterator[np.ndarray]:
        """Up to `number` key frames from all over the video, uint8 RGB (H, W, 3)."""
        span = float(self.about.seconds)
        with open_file(self.path) as container:
            stream = pictures_of(container, self.path)
            start, seen = stream.start_time or 0, set()
            for index in range(number):
                place = start + int(span * (index + 0.5) / number / self._base)
                try:
                    container.seek(place, stream=stream)
                    picture = next(self._decoded(container, stream), None)
                except av.FFmpegError:
                    continue
                if picture is not None and picture.pts not in seen:
                    seen.add(picture.pts)
                    yield self._pixels(picture)

    def _decoded(self, container, stream) -> Iterator[av.VideoFrame]:
        """All whole frames, their fields woven together and their times in the stream's unit."""
        weave = Deinterlacer(stream.time_base)
        for picture in self._raw(container, stream):
            if picture.interlaced_frame and INTERLACED not in self.notes:
                self.notes.append(INTERLACED)
            yield from weave(picture)
        yield from weave(None)

    def _raw(self, container, stream) -> Iterator[av.VideoFrame]:
        packets, decode = clocks.demux(container, [stream]), decoder_of(stream)
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except av.FFmpegError:  # the file breaks off
                self.damaged += 1
                return
            try:
                pictures = decode(packet)
            except av.FFmpegError:
                self.damaged += 1
                continue
            self.damaged += sum(picture.is_corrupt for picture in pictures)
            yield from (picture for picture in pictures if not picture.is_corrupt)

    def _nothing_decoded(self, stream) -> str:
        if stream.codec_context.codec_tag in ("encv", "drmi"):
            return "its images are encrypted; expected a video without copy protection"
        if self.damaged:
            return f"none of its {self.damaged} packets can be decoded; is it encrypted or damaged?"
        return "it has no images; expected at least one"

    def _time(self, picture, before: Frame | None) -> int:
        """When the image is shown, later than the one before even if the file says otherwise."""
        if before is None:
            return (picture.pts or 0) * self._base.numerator - self._shift
        if picture.pts is None:
            return before.at + before.duration
        return max(picture.pts * self._base.numerator - self._shift, before.at + 1)

    def _length(self, picture, at: int) -> int:
        """How long a frame is shown, if none follows it.

        Files with B-frames tell of the time between frames as they are stored, not as they are
        shown: the end of the stream is the better witness.
        """
        if self._end is not None and self._end > at:
            return self._end - at
        duration = (picture.duration or 0) * self._base.numerator if self._end is None else 0
        return duration or max(1, round(1 / self.about.rate / self.about.time_base))

    def _pixels(self, picture) -> np.ndarray:
        size, shape = (picture.width, picture.height), self._stored
        if size != self._size and RESIZED not in self.notes:
            self.notes.append(RESIZED)
        if size[0] * self._size[1] != size[1] * self._size[0]:  # another shape: bars at its sides
            fit = min(self._size[n] / size[n] for n in (0, 1))
            width, height = (
                max(1, round(size[n] * fit * self._stored[n] / self._size[n])) for n in (0, 1)
            )
            shape = width, height
        pixels = to_pixels(picture, self._scaler, shape, self.colors)
        if shape != self._stored:
            pixels = center(pixels, self._stored)
        return self._orient.apply(pixels)


def center(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """An image in the middle of a black one of `size` (width, height)."""
    framed = np.zeros((size[1], size[0], 3), np.uint8)
    height, width = pixels.shape[:2]
    top, left = (size[1] - height) // 2, (size[0] - width) // 2
    framed[top : top + height, left : left + width] = pixels
    return framed


def has_true_length(container) -> bool:
    """Whether the length of a stream in the file is that of its images: not where it is guessed
    from a clock that may start again, nor in ASF, which counts it from 0."""
    return not clocks.can_restart(container) and container.format.name != "asf"


def start_of(container) -> Fraction:
    """Seconds at which the earliest stream begins: recordings of broadcasts count from anywhere.

    0 where it begins a little before 0, as sound does that an encoder padded. A clock that runs
    over, as those of 33 bits do every 26 hours, begins far before 0.
    """
    streams = [*container.streams.video, *container.streams.audio]
    starts = [s.start_time * s.time_base for s in streams if s.start_time is not None]
    start = min(starts, default=Fraction(0))
    return start if start < -MAX_PADDING else max(start, Fraction(0))


def decoder_of(stream) -> Callable[[av.Packet], list]:
    """A function that decodes packets. FFmpeg's own decoders of VP8 and VP9 drop the alpha."""
    codec = {"vp8": "libvpx", "vp9": "libvpx-vp9"}.get(stream.codec_context.name)
    said = {key.lower(): value for key, value in stream.metadata.items()}
    if codec is None or said.get("alpha_mode") != "1":
        return lambda packet: packet.decode()
    context = av.CodecContext.create(codec, "r")
    assert isinstance(context, av.VideoCodecContext)
    context.options = {"max_pixels": str(MAX_PIXELS)}

    def decode(packet: av.Packet) -> list:
        if not packet.size:
            return context.decode(None)
        pictures = context.decode(packet)
        for picture in pictures:
            picture.time_base = picture.time_base or packet.time_base
        return pictures

    return decode


class Deinterlacer:
    """Weaves the fields of interlaced frames into whole ones, one for each, with `bwdif`.

    Frames that are not interlaced come out unchanged.
    """

    def __init__(self, unit: Fraction):
        self._unit = unit
        self._graph: av.filter.Graph | None = None
        self._kind: tuple[int, int, str] | None = None

    def __call__(self, picture: av.VideoFrame | None) -> Iterator[av.VideoFrame]:
        kind = None if picture is None else (picture.width, picture.height, picture.format.name)
        if self._graph is not None and kind != self._kind:
            self._graph.vpush(None)
            yield from self._finished()
            self._graph = None
        if picture is None or kind is None:
            return
        if self._graph is None and picture.interlaced_frame:
            self._kind, self._graph = kind, av.filter.Graph()
            self._graph.link_nodes(
                self._graph.add_buffer(
                    width=kind[0], height=kind[1], format=picture.format, time_base=self._unit
                ),
                self._graph.add("bwdif", "mode=send_frame:deint=interlaced"),
                self._graph.add("buffersink"),
            ).configure()
        if self._graph is None:
            yield picture
        else:
            self._graph.vpush(picture)
            yield from self._finished()

    def _finished(self) -> Iterator[av.VideoFrame]:
        assert self._graph is not None
        while True:
            try:
                picture = self._graph.vpull()
            except (av.BlockingIOError, av.EOFError):
                return
            if picture.pts is not None and picture.time_base is not None:
                picture.pts = round(picture.pts * picture.time_base / self._unit)
                picture.time_base = self._unit
            yield picture


@dataclass(frozen=True)
class Orientation:
    """How a stored image becomes upright: transposed first, then mirrored along either axis."""

    transpose: bool = False
    mirror_x: bool = False
    mirror_y: bool = False

    @classmethod
    def of(cls, picture: av.VideoFrame) -> "Orientation":
        """What the display matrix of a frame says, to the nearest of eight."""
        found: Iterable[Any] = picture.side_data  # PyAV's stub calls it a dictionary
        for data in found:
            if data.type.name == "DISPLAYMATRIX":
                # x' = a x + c y, y' = b x + d y
                a, b, _, c, d = struct.unpack_from("=5i", bytes(data))
                if abs(a) + abs(d) >= abs(b) + abs(c):
                    return cls(False, a < 0, d < 0)
                return cls(True, c < 0, b < 0)
        return cls()

    def apply(self, pixels: np.ndarray) -> np.ndarray:
        if self.transpose:
            pixels = pixels.swapaxes(0, 1)
        if self.mirror_x:
            pixels = pixels[:, ::-1]
        if self.mirror_y:
            pixels = pixels[::-1]
        return np.ascontiguousarray(pixels)


def pictures_of(container, path):
    """The stream of moving pictures; VideoError where there is none."""
    for stream in container.streams.video:
        cover = stream.disposition & av.stream.Disposition.attached_pic
        if not cover and stream.codec_context is not None:
            if stream.width * stream.height > MAX_PIXELS:
                raise VideoError(
                    f"{path}: its frames are {stream.width}x{stream.height}; expected at most"
                    f" {MAX_PIXELS / 1e6:.0f} megapixels"
                )
            stream.thread_type = "AUTO"
            stream.codec_context.options = {"max_pixels": str(MAX_PIXELS)}  # later ones may grow
            return stream
    raise VideoError(f"{path}: it has no video; expected {EXPECTED}")


def square(picture, stream) -> tuple[int, int]:
    """Width and height of a stored image once its pixels are square."""
    shape = stream.sample_aspect_ratio or Fraction(1)
    if not Fraction(1, 4) < shape < 4:  # nonsense
        shape = Fraction(1)
    return max(1, round(picture.width * shape)), picture.height
