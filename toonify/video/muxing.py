"""Joins the segments of a video into its file, with the source's sound and subtitles."""

import heapq
import math
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av

from toonify.images import signing
from toonify.video import marks
from toonify.video.animations import SUFFIXES as ANIMATIONS
from toonify.video.animations import write_animation
from toonify.video.decoding import VideoFile, open_file
from toonify.video.segments import LOSSLESS, Codec, SegmentStore, h264, vp9
from toonify.video.sound import Carrier, describe, unreadable, usable
from toonify.video.types import VideoError, address

# Suffix -> container's name and its codec of images.
CONTAINERS = {
    ".mp4": ("mp4", h264),
    ".m4v": ("mp4", h264),
    ".mov": ("mov", h264),
    ".mkv": ("matroska", h264),
    ".webm": ("webm", vp9),
}
SUFFIXES = (*CONTAINERS, *ANIMATIONS)
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


def check_sound(video, suffix: str, has_sound: bool = True) -> list[str]:
    """What of the source's other streams changes or is left out in such a file, for people."""
    if not isinstance(video, VideoFile):
        return []
    if suffix not in ANIMATIONS:
        return describe(video.path, CONTAINERS[suffix][0], has_sound)
    with open_file(video.path) as source:
        is_lost = has_sound and source.streams.audio
    return [f"{suffix} has no sound: it is left out"] if is_lost else []


def join(
    store: SegmentStore,
    video,
    file: Path,
    suffix: str,
    has_sound: bool = True,
    source_type: str | None = None,
) -> list[str]:
    """Writes the whole video into `file`, marked as `source_type`; returns notes for the user."""
    notes = write(store, video, file, suffix, has_sound, source_type)
    marks.mark_file(file, suffix, source_type)
    signing.sign_file(file, source_type)
    return notes


def write(
    store: SegmentStore, video, file: Path, suffix: str, has_sound: bool, source_type: str | None
) -> list[str]:
    """As `join`, for all but the marks that are added to a finished file."""
    if suffix in ANIMATIONS:
        unit, last = video.about.time_base, store.last(video.about.time_base)
        end = last.at + last.duration
        frames = store.decoded(unit)
        left_out = write_animation(frames, file, suffix, video.about, end, last.duration)
        return [f"{left_out} frames left out: a GIF shows at most 50 a second"] * bool(left_out)
    if isinstance(video, VideoFile):
        with open_file(video.path) as source:
            mux(store, video, file, suffix, source, has_sound, source_type)
    else:
        mux(store, video, file, suffix, None, False, source_type)
    return []


def mux(
    store: SegmentStore,
    video,
    file: Path,
    suffix: str,
    source,
    has_sound: bool,
    source_type: str | None = None,
) -> None:
    """The segments' packets and the source's sound and subtitles, in the order of their times.

    Of the source's metadata only the times of chapters and the languages of tracks come along:
    titles, names, people, places and cameras do not.

    The bytes of sound are the source's where the container holds them. Out of MPEG-TS and ADTS,
    whose packets begin with a header of their own, FFmpeg takes that header away for files that
    have one for all.
    """
    unit, name = video.about.time_base, CONTAINERS[suffix][0]
    settings = timing(unit, source) if name in ("mp4", "mov") else {}
    with (
        av.open(address(file), "w", format=name, options=settings) as target,
        av.open(address(store.segments[0].file)) as first,
    ):
        pictures = target.add_stream_from_template(first.streams.video[0])
        pictures.time_base = unit
        sound: Iterator = iter(())
        if source is not None:
            lost = unreadable(video.path, name) if has_sound else ()
            carrier = Carrier(source, target, name, has_sound, video.start, lost)
            sound = ((place_of(p), 1, p, place) for p, place in carrier.packets())
            target.set_chapters([shift_chapter(c, video.start) for c in source.chapters()])
        target.metadata.update(marks.make_tags(name, source_type))
        target.start_encoding()
        drawn = ((place_of(p), 0, p, pictures) for p in store.packets(unit))
        for _, _, packet, stream in heapq.merge(drawn, sound, key=lambda item: item[:2]):
            packet.stream = stream
            target.mux(packet)


def shift_chapter(chapter, start: Fraction):
    """A chapter, without its name, of a video of which the first `start` seconds are nothing."""
    shift = round(start / chapter["time_base"])
    begin, end = chapter["start"] - shift, chapter["end"] - shift
    return {**chapter, "start": begin, "end": end, "metadata": {}}


def place_of(packet: av.Packet) -> Fraction:
    """When the packet is needed, in seconds."""
    assert packet.dts is not None and packet.time_base is not None
    return packet.dts * packet.time_base


def timing(unit: Fraction, source) -> dict[str, str]:
    """Options of MP4 that keep times exact, and let playback begin before the download ends.

    When a stream begins later than another, the file says so in ticks of its own, usually a
    thousand a second: here the ticks of all streams fit.
    """
    others = [] if source is None else usable([*source.streams.audio, *source.streams.subtitles])
    ticks = math.lcm(unit.denominator, *(stream.time_base.denominator for stream in others))
    return {
        "movflags": "+faststart",
        "video_track_timescale": str(unit.denominator),
        "movie_timescale": str(ticks if ticks <= _MAX_TICKS else unit.denominator),
    }
