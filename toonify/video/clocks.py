"""Times that go on where the clock of a recording starts again or jumps, as in joined ones."""

from collections.abc import Collection, Iterator
from fractions import Fraction

import av
from av.format import Flags

# Seconds from the time that is expected: beyond them the clock is another one. FFmpeg's programs
# have the same limits.
MAX_JUMP = 10
MAX_BACK = Fraction(1, 10)
MAX_OVERLAP = 1  # seconds of sound that are left out rather than shifted against the images


def can_restart(container) -> bool:
    """Whether the clock of such a file may start again: broadcasts, DVDs, chained Ogg."""
    return bool(container.format.flags & Flags.ts_discont.value)


def demux(container, streams: Collection) -> Iterator[av.Packet]:
    """The packets of `streams`, whose times rise all through the file.

    Video and sound are read in any case, so that both follow one clock whichever is asked for.
    """
    if not can_restart(container):
        yield from container.demux(streams)
        return
    wanted = {stream.index for stream in streams}
    leading = [*container.streams.video, *container.streams.audio]
    leading = [stream for stream in leading if stream.codec_context is not None]
    others = [stream for stream in streams if stream.type not in ("video", "audio")]
    clock = Clock()
    for packet in container.demux([*leading, *others]):
        if packet.dts is not None:
            clock.move(packet)
        if packet.stream.index in wanted:
            yield packet


class Clock:
    """Moves packets to times that go on.

    A stream changes to the new clock when its own packets do, as some of before may come late.
    """

    def __init__(self) -> None:
        self._newest = Fraction(0)  # seconds that are added to the times of the file
        self._shifts: dict[int, Fraction] = {}  # the same by stream
        self._begins: dict[int, Fraction] = {}  # of the last packet of a stream
        self._ends: dict[int, Fraction] = {}

    def move(self, packet: av.Packet) -> None:
        """Changes the times of the next packet of the file."""
        assert packet.dts is not None and packet.time_base is not None
        shift = self._newest
        if packet.stream.type in ("video", "audio"):
            shift = self._follow(packet, packet.dts * packet.time_base)
        ticks = round(shift / packet.time_base)
        packet.dts += ticks
        if packet.pts is not None:
            packet.pts += ticks

    def _follow(self, packet: av.Packet, at: Fraction) -> Fraction:
        """What is added to the times of a packet that the file has at `at` seconds."""
        index = packet.stream.index
        shift = self._shifts.get(index, self._newest)
        gap = at + shift - self._ends.get(index, at + shift)
        if not -MAX_BACK <= gap <= MAX_JUMP:
            gap += self._newest - shift
            shift = self._newest
            most_back = MAX_OVERLAP if packet.stream.type == "audio" else MAX_BACK
            if not -most_back <= gap <= MAX_JUMP:
                shift = self._newest = shift - gap
        begin = at + shift
        # Where no length is known, it is that of the packet before.
        length = (packet.duration or 0) * packet.time_base or begin - self._begins.get(index, begin)
        self._shifts[index], self._begins[index], self._ends[index] = shift, begin, begin + length
        return shift
