"""The sound and subtitles of a source: copied where the container holds them, else re-encoded."""

import contextlib
import io
import itertools
from collections.abc import Collection, Iterator
from fractions import Fraction
from typing import Any

import av

from toonify.video import clocks
from toonify.video.decoding import open_file

ENCODERS = {"webm": "libopus"}  # by container; the others take AAC
AAC_RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000)
OPUS_RATE = 48000
MAX_GAP = 0.1
TRIAL = 100  # packets of which one must be readable; the first ones of a recording may be cut
MP4_CODECS = ("aac", "mp3", "opus", "flac")  # that browsers and phones play; FFmpeg writes more
NAMES = {"libopus": "Opus", "aac": "AAC"}


def usable(streams) -> list:
    """The streams of which FFmpeg knows what they are."""
    return [stream for stream in streams if stream.codec_context is not None]


def holds(container: str, stream) -> bool:
    """Whether a container takes the stream's packets as they are, by a trial."""
    is_sound = stream.type == "audio"
    if is_sound and container == "mp4" and codec_of(stream) not in MP4_CODECS:
        return False
    try:
        with av.open(io.BytesIO(), "w", format=container) as trial:
            trial.add_stream_from_template(stream)
            trial.start_encoding()
    except (av.FFmpegError, ValueError):
        return False
    return True


def codec_of(stream) -> str:
    """The name of the codec, whichever of its decoders reads it."""
    return stream.codec_context.codec.canonical_name


def unreadable(path, container: str) -> set[int]:
    """Indices of a video's sounds that the container does not hold and FFmpeg cannot decode."""
    with open_file(path) as source:
        foreign = {s.index for s in usable(source.streams.audio) if not holds(container, s)}
    return {index for index in foreign if not is_readable(path, index)}


def is_readable(path, index: int) -> bool:
    """Whether one of the first packets of a stream can be decoded."""
    with open_file(path) as source:
        for packet in itertools.islice(source.demux(source.streams[index]), TRIAL):
            with contextlib.suppress(av.FFmpegError):
                if packet.decode():
                    return True
    return False


def describe(path, container: str, has_sound: bool) -> list[str]:
    """What of a video's sound and subtitles does not come through unchanged, for people."""
    notes, lost = [], unreadable(path, container) if has_sound else set()
    with open_file(path) as source:
        if has_sound:
            changed = [s for s in usable(source.streams.audio) if not holds(container, s)]
            dropped = [s.name for s in changed if s.index in lost]
            dropped += ["of an unknown kind"] * count_unknown(source.streams.audio)
            changed = [s.name for s in changed if s.index not in lost]
            codec = NAMES[encoder_of(container)]
            notes += [f"its sound ({', '.join(changed)}) is re-encoded as {codec}"] * bool(changed)
            left_out = f"its sound ({', '.join(dropped)}) cannot be decoded and is left out"
            notes += [left_out] * bool(dropped)
        texts = source.streams.subtitles
        missing = [text for text in usable(texts) if not holds(container, text)]
        count = len(missing) + count_unknown(texts)
    return notes + [f"{count} of its subtitles do not fit and are left out"] * bool(count)


def count_unknown(streams) -> int:
    """The number of streams of which FFmpeg does not know what they are."""
    return len(streams) - len(usable(streams))


def encoder_of(container: str) -> str:
    return ENCODERS.get(container, "aac")


class Carrier:
    """Takes a source's sound and subtitles into a container.

    Args:
        source: the open source.
        target: the open container.
        name: the container's format.
        has_sound: whether the sound comes along.
        start: seconds that are taken off all times.
        left_out: indices of the source's streams that do not come along.
    """

    def __init__(
        self,
        source,
        target,
        name: str,
        has_sound: bool,
        start: Fraction,
        left_out: Collection[int] = (),
    ):
        self.source, self.start = source, start
        self.copied: dict[int, Any] = {}
        self.encoded: dict[int, Any] = {}
        sounds = usable(source.streams.audio) if has_sound else []
        for stream in [*sounds, *usable(source.streams.subtitles)]:
            if stream.index in left_out:
                continue
            if holds(name, stream):
                place = target.add_stream_from_template(stream)
                place.time_base = stream.time_base
                self.copied[stream.index] = place
            elif stream.type == "audio":
                place = add_encoder(target, encoder_of(name), stream)
                self.encoded[stream.index] = Encoder(place, source.format.name != "avi")
            else:
                continue
            place.disposition = stream.disposition
            if "language" in stream.metadata:
                place.metadata["language"] = stream.metadata["language"]

    def packets(self) -> Iterator[tuple[av.Packet, Any]]:
        """The packets in the order of the source, each with its stream in the container."""
        streams = [s for s in self.source.streams if s.index in {**self.copied, **self.encoded}]
        if not streams:
            return
        last: dict[int, int] = {}
        is_joined = clocks.can_restart(self.source)  # then its parts may overlap a little
        for packet in clocks.demux(self.source, streams):
            index = packet.stream.index
            if is_joined and packet.dts is not None:
                if packet.dts <= last.get(index, packet.dts - 1):
                    continue
                last[index] = packet.dts
            if index in self.encoded:
                for encoded in self._encode(packet, self.encoded[index]):
                    yield encoded, self.encoded[index].place
            elif packet.dts is not None:
                shift = round(self.start / packet.time_base)
                packet.dts -= shift
                if packet.pts is not None:
                    packet.pts -= shift
                yield packet, self.copied[index]

    def _encode(self, packet: av.Packet, encoder: "Encoder") -> Iterator[av.Packet]:
        """What a packet of sound, or the empty one at the end, becomes."""
        with contextlib.suppress(av.FFmpegError):  # a damaged packet is left out
            for frame in packet.decode():
                assert isinstance(frame, av.AudioFrame)
                seconds = None
                if frame.pts is not None and frame.time_base is not None:
                    seconds = frame.pts * frame.time_base - self.start
                yield from encoder.encode(frame, seconds)
        if packet.dts is None and packet.size == 0:
            yield from encoder.finish()


class Encoder:
    """Re-encodes one stream of sound in pieces of the length that the codec wants.

    Where the source leaves more than `MAX_GAP` seconds out, its times are followed.

    Args:
        place: the stream in the target.
        has_times: whether the source's times count after the first. AVI has none: FFmpeg computes
            them from the number of bytes, and they are wrong for some codecs.
    """

    def __init__(self, place, has_times: bool = True):
        self.place, self._context = place, place.codec_context
        self._has_times = has_times
        self._resampler: av.AudioResampler | None = None
        self._heard: tuple | None = None  # format, channels and rate of the source
        self._fifo = av.AudioFifo()
        self._at: int | None = None  # of the next piece, in samples
        self._gap = MAX_GAP * place.codec_context.rate

    def encode(self, frame: av.AudioFrame, seconds: Fraction | None) -> Iterator[av.Packet]:
        """The packets that are ready after a frame, which is heard at `seconds`."""
        heard = frame.format.name, frame.layout.name, frame.sample_rate
        if heard != self._heard:  # a broadcast's may change on the way
            if self._resampler is not None:
                yield from self._write(self._resampler.resample(None))
            context = self._context
            self._resampler = av.AudioResampler(context.format, context.layout, context.rate)
            self._heard = heard
        assert self._resampler is not None
        if seconds is not None:
            at = round(seconds * self._context.rate)
            if self._at is None:
                self._at = at
            elif self._has_times and at - self._at - self._fifo.samples > self._gap:
                self._at = at - self._fifo.samples
        frame.pts = None
        yield from self._write(self._resampler.resample(frame))

    def finish(self) -> Iterator[av.Packet]:
        """The packets that are left at the end."""
        if self._resampler is not None:
            yield from self._write(self._resampler.resample(None))
            yield from self._pieces(self._fifo.samples)
        yield from self.place.encode(None)

    def _write(self, frames: list) -> Iterator[av.Packet]:
        for frame in frames:
            frame.pts, frame.time_base = None, Fraction(1, self._context.rate)
            self._fifo.write(frame)
        size = self._context.frame_size or 1024
        while self._fifo.samples >= size:
            yield from self._pieces(size)

    def _pieces(self, size: int) -> Iterator[av.Packet]:
        piece = self._fifo.read(size) if size else None
        if piece is not None:
            piece.pts = self._at = self._at or 0
            piece.time_base = Fraction(1, self._context.rate)
            self._at += piece.samples
            yield from self.place.encode(piece)


def add_encoder(target, codec: str, stream):
    """A stream of sound in the target that is as near to the source's as the codec allows."""
    context = stream.codec_context
    rate = OPUS_RATE
    if codec == "aac":
        higher = [known for known in AAC_RATES if known >= context.sample_rate]
        rate = min(higher, default=max(AAC_RATES))
    place = target.add_stream(codec, rate=rate)
    channels = context.layout.nb_channels
    channels = 6 if channels >= 6 else min(channels, 2)
    place.codec_context.layout = {1: "mono", 2: "stereo", 6: "5.1"}[channels]
    place.codec_context.bit_rate = 96_000 * channels
    return place
