"""Joins the segments of a video into its file, with the source's sound bit for bit."""

import heapq
import io
import math
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av

from toonify.video.animations import SUFFIXES as ANIMATIONS
from toonify.video.animations import write_animation
from toonify.video.decoding import VideoFile, open_file
from toonify.video.segments import LOSSLESS, Codec, SegmentStore, h264, vp9
from toonify.video.types import About, VideoError

# Suffix -> container's name and its codec of images.
CONTAINERS = {
    ".mp4": ("mp4", h264),
    ".m4v": ("mp4", h264),
    ".mov": ("mov", h264),
    ".mkv": ("matroska", h264),
    ".webm": ("webm", vp9),
}
SUFFIXES = (*CONTAINERS, *ANIMATIONS)
_KEPT = ("title", "artist", "album", "genre", "copyright", "description")  # and never a location
_MAX_TICKS = 2**31 - 1


def codec_for(suffix: str, crf: int) -> Codec:
    """How images are compressed on their way into a file with this suffix."""
    return LOSSLESS if suffix in ANIMATIONS else CONTAINERS[suffix][1](crf)


def check_suffix(path: Path) -> str:
    """The suffix in lower case; VideoError if no video can be written with it."""
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise VideoError(
            f"{path.name} ends in {path.suffix!r}: expected one of {', '.join(SUFFIXES)}"
        )
    return suffix


def check_sound(video, suffix: str) -> list[str]:
    """What of the source's other streams is left out in such a file, for people.

    Raises VideoError, before anything is drawn, where the file cannot hold the sound unchanged.
    """
    if not isinstance(video, VideoFile):
        return []
    with open_file(video.path) as source:
        sounds = usable(source.streams.audio)
        if suffix in ANIMATIONS:
            return [f"{suffix} has no sound: it is left out"] if sounds else []
        for sound in sounds:
            if not holds(suffix, sound):
                able = [s for s in CONTAINERS if all(holds(s, other) for other in sounds)]
                raise VideoError(
                    f"{suffix} cannot hold the sound of {video.path.name} ({sound.name}) unchanged;"
                    f" expected {' or '.join(able) or 'another format of sound'}"
                )
        texts = usable(source.streams.subtitles)
        lost = [text for text in texts if not holds(suffix, text)]
    return [f"{suffix} cannot hold {len(lost)} of its subtitles: left out"] if lost else []


def usable(streams) -> list:
    """The streams of which FFmpeg knows what they are."""
    return [stream for stream in streams if stream.codec_context is not None]


def holds(suffix: str, stream) -> bool:
    """Whether a file with this suffix takes the stream's packets as they are, by a trial."""
    try:
        with av.open(io.BytesIO(), "w", format=CONTAINERS[suffix][0]) as trial:
            trial.add_stream_from_template(stream)
            trial.start_encoding()
    except (av.FFmpegError, ValueError):
        return False
    return True


def join(store: SegmentStore, video, file: Path, suffix: str) -> list[str]:
    """Writes the whole video into `file`; returns notes for the user."""
    if suffix in ANIMATIONS:
        unit, last = video.about.time_base, store.last(video.about.time_base)
        end = last.at + last.duration
        frames = store.decoded(unit)
        left_out = write_animation(frames, file, suffix, video.about, end, last.duration)
        return [f"{left_out} frames left out: a GIF shows at most 50 a second"] * bool(left_out)
    if isinstance(video, VideoFile):
        with open_file(video.path) as source:
            mux(store, video.about, file, suffix, source)
    else:
        mux(store, video.about, file, suffix, None)
    return []


def mux(store: SegmentStore, about: About, file: Path, suffix: str, source) -> None:
    """The segments' packets and the source's sound and subtitles, in the order of their times.

    The bytes of sound are the source's. Out of MPEG-TS and ADTS, whose packets begin with a header
    of their own, FFmpeg takes that header away for files that have one for all.
    """
    copied = []
    if source is not None:
        others = usable([*source.streams.audio, *source.streams.subtitles])
        copied = [stream for stream in others if holds(suffix, stream)]
    unit = about.time_base
    settings = timing(unit, copied) if CONTAINERS[suffix][0] in ("mp4", "mov") else {}
    with (
        av.open(str(file), "w", format=CONTAINERS[suffix][0], options=settings) as target,
        av.open(str(store.segments[0].file)) as first,
    ):
        pictures = target.add_stream_from_template(first.streams.video[0])
        pictures.time_base = unit
        places = {}
        for stream in copied:
            place = target.add_stream_from_template(stream)
            place.time_base = stream.time_base
            place.disposition = stream.disposition
            for key in ("language", "title"):
                if key in stream.metadata:
                    place.metadata[key] = stream.metadata[key]
            places[stream.index] = place
        if source is not None:
            kept = {key.lower(): value for key, value in source.metadata.items()}
            target.metadata.update({key: kept[key] for key in _KEPT if key in kept})
            target.set_chapters(source.chapters())
        drawn = ((place_of(p), 0, p, pictures) for p in store.packets(unit))
        sound = ((place_of(p), 1, p, places[p.stream.index]) for p in others_of(source, copied))
        for _, _, packet, stream in heapq.merge(drawn, sound, key=lambda item: item[:2]):
            packet.stream = stream
            target.mux(packet)


def others_of(source, copied: list) -> Iterator[av.Packet]:
    """The packets of these streams of the source, as they are."""
    if copied:
        yield from (packet for packet in source.demux(copied) if packet.dts is not None)


def place_of(packet: av.Packet) -> Fraction:
    """When the packet is needed, in seconds."""
    assert packet.dts is not None and packet.time_base is not None
    return packet.dts * packet.time_base


def timing(unit: Fraction, copied: list) -> dict[str, str]:
    """Options of MP4 that keep times exact, and let playback begin before the download ends.

    When a stream begins later than another, the file says so in ticks of its own, usually a
    thousand a second: here the ticks of all streams fit.
    """
    ticks = math.lcm(unit.denominator, *(stream.time_base.denominator for stream in copied))
    return {
        "movflags": "+faststart",
        "video_track_timescale": str(unit.denominator),
        "movie_timescale": str(ticks if ticks <= _MAX_TICKS else unit.denominator),
    }
