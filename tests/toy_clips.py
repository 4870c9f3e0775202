"""Small clips with known pictures, times and sound, made on the spot."""

import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

SIZE = (96, 64)


def picture(number: int, size=SIZE) -> np.ndarray:
    """Frame `number`, uint8 RGB (H, W, 3): smooth, and another every time."""
    y, x = np.mgrid[: size[1], : size[0]]
    planes = [(2 * x + 6 * number) % 256, (3 * y) % 256, 0 * x + 40 + 8 * number]
    return np.minimum(np.stack(planes, axis=2), 255).astype(np.uint8)


def make_clip(
    path: Path,
    times=range(0, 10010, 1001),
    unit: int = 30000,
    *,
    size=SIZE,
    sound: str | None = "aac",
    draw=picture,
    form: str = "yuv420p",
    codec: str = "libx264",
    prepare=lambda stream: None,
) -> Path:
    """A film with frames at `times` / `unit` seconds and, unless told otherwise, a second of sine.

    `prepare` may change the settings of the pictures' stream before it begins.
    """
    exact = {"movie_timescale": str(unit)} if path.suffix in (".mp4", ".mov") else {}
    with av.open(str(path), "w", options=exact) as container:
        stream = container.add_stream(codec, rate=Fraction(unit, times[1] - times[0]))
        stream.width, stream.height = size
        stream.pix_fmt = form
        stream.time_base = stream.codec_context.time_base = Fraction(1, unit)
        stream.options = {"crf": "10"}
        prepare(stream)
        voice = container.add_stream(sound, rate=44100) if sound else None
        if voice:
            voice.layout = "mono"
        for number, at in enumerate(times):
            frame = av.VideoFrame.from_ndarray(draw(number, size), "rgb24")
            frame.pts, frame.time_base = at, stream.time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
        if voice:
            container.mux(packet for frame in sine() for packet in voice.encode(frame))
            container.mux(voice.encode())
    return path


def sine():
    """A second of a tone, in pieces."""
    wave = (8000 * np.sin(np.arange(44100) / 20)).astype(np.int16)
    for start in range(0, 44100 - 1023, 1024):
        part = wave[None, start : start + 1024]
        frame = av.AudioFrame.from_ndarray(part, "s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 44100, start, Fraction(1, 44100)
        yield frame


def turn(path: Path) -> Path:
    """Writes into an MP4 that it is to be shown turned clockwise by a quarter."""
    data = bytearray(path.read_bytes())
    place = data.index(b"tkhd") + 44
    assert struct.unpack_from(">9i", data, place)[0] == 1 << 16
    quarter = (0, 1 << 16, 0, -1 << 16, 0, 0, 0, 0, 1 << 30)
    struct.pack_into(">9i", data, place, *quarter)
    path.write_bytes(data)
    return path


def times_of(path: Path) -> list[Fraction]:
    """Seconds at which the frames of a film are shown."""
    with av.open(str(path)) as container:
        return [frame.pts * frame.time_base for frame in container.decode(video=0)]


def pictures_of(path: Path) -> list[np.ndarray]:
    """The frames of a film, uint8 RGB."""
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def sound_of(path: Path) -> list[tuple]:
    """Every packet of sound: its bytes, when it is shown, when it is decoded."""
    with av.open(str(path)) as container:
        return [
            (bytes(packet), packet.pts * packet.time_base, packet.dts * packet.time_base)
            for packet in container.demux(container.streams.audio)
            if packet.dts is not None
        ]
