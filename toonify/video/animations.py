"""Animated GIF, WebP and PNG, in and out, and AVIF in, with the exact time of every frame."""

import struct
import warnings
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from toonify.images.formats import HEIC, sniff
from toonify.video.types import About, Frame, VideoError, address, fitted
from toonify.video.writing import GIF_SIDE

MAX_PIXELS = 40_000_000
MAX_BYTES = 512 * 2**20  # Pillow's decoder of WebP holds the file in memory
FORMATS = ("GIF", "WEBP", "PNG", "AVIF")
SUFFIXES = {".gif": "gif", ".webp": "webp", ".png": "apng", ".apng": "apng"}
_STILL = "a still image; expected a video or an animation"
_DEFAULT_MS = 100  # what browsers make of a GIF's delay of 0 or 10 ms
# What Pillow raises on damaged files.
_DAMAGED = (
    *(OSError, ValueError, SyntaxError, EOFError, LookupError, TypeError, ArithmeticError),
    *(MemoryError, struct.error, Image.DecompressionBombError),
)


def is_animation(path: Path) -> bool:
    """Whether a file begins as a GIF, WebP, PNG, AVIF or HEIC does: FFmpeg takes the last two for
    videos even where they are still."""
    return format_of(path) in ("GIF", "WebP", "PNG", "AVIF", HEIC)


def format_of(path: Path) -> str:
    """The format that a file begins with, as `sniff` names it."""
    with open(path, "rb") as file:
        return sniff(file.read(4096))


class Animation:
    """An animated image, read like `decoding.VideoFile`."""

    def __init__(self, path: Path, max_height: int | None = None):
        self.path = path
        self.damaged = 0
        self.notes: list[str] = []
        self.on_frame: Callable[[], None] = lambda: None  # called before each; its error ends it
        with self._open() as image:
            self._first = int(getattr(image, "default_image", False))
            count = getattr(image, "n_frames", 1) - self._first
            if count < 2:
                raise VideoError(f"{path}: {_STILL}")
            self._size = fitted(image.size, max_height)
            self.pixels = count * image.width * image.height  # that are decoded
            plays = plays_of(image)
            lengths = [length(image)]
        self.about = About(
            self._size, Fraction(1, 1000), Fraction(1000) / lengths[0], count, plays=plays
        )

    def _open(self) -> Image.Image:
        if self.path.stat().st_size > MAX_BYTES:
            raise VideoError(f"{self.path}: expected an animation of at most 512 MB")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", Image.DecompressionBombWarning)
                image = Image.open(self.path, formats=FORMATS)
        except _DAMAGED as error:
            if format_of(self.path) == HEIC:
                raise VideoError(f"{self.path}: {_STILL}") from None
            raise VideoError(f"{self.path}: not an animation that can be read ({error})") from None
        if image.width * image.height > MAX_PIXELS:
            image.close()
            raise VideoError(f"{self.path}: expected at most {MAX_PIXELS / 1e6:.0f} megapixels")
        return image

    def frames(self) -> Iterator[Frame]:
        """All frames as they are shown, over white; times in milliseconds."""
        self.damaged, elapsed, at = 0, Fraction(0), 0
        with self._open() as image:
            for index in range(self.about.frames):
                self.on_frame()
                try:
                    image.seek(index + self._first)
                    pixels = self._pixels(image)
                except _DAMAGED:  # what follows builds on this one
                    self.damaged += 1
                    return
                elapsed += length(image)  # rounded after adding, so that errors do not add up
                end = max(at + 1, round(elapsed))
                yield Frame(at, end - at, pixels)
                at = end

    def sample_frames(self, number: int) -> Iterator[np.ndarray]:
        """Up to `number` frames from all over it."""
        step = max(1, self.about.frames // number)
        for index, frame in enumerate(self.frames()):
            if index % step == 0:
                yield frame.pixels

    def _pixels(self, image: Image.Image) -> np.ndarray:
        if image.has_transparency_data:
            drawn = image.convert("RGBA")
            picture = Image.alpha_composite(Image.new("RGBA", image.size, "white"), drawn)
        else:
            picture = image
        picture = picture.convert("RGB")
        if picture.size != self._size:
            picture = picture.resize(self._size, Image.Resampling.LANCZOS)
        return np.array(picture)


def length(image: Image.Image) -> Fraction:
    """Milliseconds for which the frame that an image stands at is shown."""
    delay = Fraction(image.info.get("duration") or 0).limit_denominator(65535)
    if (image.format == "GIF" and delay <= 10) or delay <= 0:
        return Fraction(_DEFAULT_MS)
    return delay


def plays_of(image: Image.Image) -> int:
    """How often an animation is shown, 0 for ever."""
    loops = image.info.get("loop")
    if image.format == "GIF":  # which counts repetitions, and says nothing for a single show
        return 1 if loops is None else loops + 1 if loops else 0
    return loops or 0


class AnimationWriter:
    """Writes frames one after the other; `close` with the end's time makes the file whole.

    Compressed frames of a WebP stay in memory until then; of the others nothing does.
    """

    def __init__(self, file: Path, suffix: str, size: tuple[int, int], plays: int, last_ms: int):
        import av
        from av.video.reformatter import VideoReformatter

        self.kind = SUFFIXES[suffix]
        self.file = file
        self._size = animation_size(size, suffix)
        self._scaler = VideoReformatter()
        self._unit = 10 if self.kind == "gif" else 1  # ms
        self._written: int | None = None  # units, time of the last frame
        self.left_out = 0
        self._container = av.open(
            address(file), "w", format=self.kind, options=options(self.kind, plays, last_ms)
        )
        codec = {"gif": "gif", "webp": "libwebp_anim", "apng": "apng"}[self.kind]
        stream: Any = self._container.add_stream(codec, rate=1000 // self._unit)
        self._stream = stream
        self._stream.width, self._stream.height = self._size
        self._stream.pix_fmt = {"gif": "pal8", "webp": "yuv420p", "apng": "rgb24"}[self.kind]
        self._stream.codec_context.time_base = Fraction(self._unit, 1000)
        if self.kind == "webp":
            self._stream.codec_context.options = {"quality": "85"}

    def add(self, pixels: np.ndarray, at_ms: Fraction) -> None:
        """Adds a frame, uint8 RGB (H, W, 3), shown from `at_ms` on; the first is at 0."""
        at = round(at_ms / self._unit)
        # Browsers take a GIF's delay of less than 20 ms for 100: such a frame is left out.
        least = 2 if self.kind == "gif" else 1
        if self._written is not None and at - self._written < least:
            self.left_out += 1
            return
        self._written = at
        frame = self._frame(pixels)
        frame.pts, frame.time_base = at, self._stream.codec_context.time_base
        self._container.mux(self._stream.encode(frame))

    def close(self, end_ms: Fraction) -> None:
        """Ends the file; its last frame is shown until `end_ms`."""
        self._container.mux(self._stream.encode())
        self._container.close()
        if self.kind == "webp":
            set_end(self.file, round(end_ms))

    def abort(self) -> None:
        """Lets go of the file, which is not whole."""
        self._container.close()

    def _frame(self, pixels: np.ndarray):
        import av

        picture = Image.fromarray(pixels)
        if picture.size != self._size:
            picture = picture.resize(self._size, Image.Resampling.LANCZOS)
        if self.kind != "gif":
            frame = av.VideoFrame.from_ndarray(np.asarray(picture), "rgb24")
            return self._scaler.reformat(frame, format=self._stream.pix_fmt, interpolation="AREA")
        picture = picture.quantize(256)
        colors = np.array(picture.getpalette("RGB"), np.uint8).reshape(-1, 3)
        palette = np.full((256, 4), 255, np.uint8)  # alpha, red, green, blue
        palette[: len(colors), 1:] = colors
        indexed: Any = (np.asarray(picture), palette)
        return av.VideoFrame.from_ndarray(indexed, "pal8")


def animation_size(size: tuple[int, int], suffix: str) -> tuple[int, int]:
    """What size an animation has for frames of `size`: a GIF's longer side is bounded."""
    if suffix != ".gif" or max(size) <= GIF_SIDE:
        return size
    width, height = (max(1, round(side * GIF_SIDE / max(size))) for side in size)
    return width, height


def options(kind: str, plays: int, last_ms: int) -> dict[str, str]:
    """Options of the muxer: how often the animation is shown, and how long the last frame."""
    if kind == "gif":
        loop = plays - 1 if plays else 0  # 0 for ever, -1 once
        return {"loop": str(loop or -1 if plays else 0), "final_delay": str(round(last_ms / 10))}
    if kind == "webp":
        return {"loop": str(plays)}
    return {"plays": str(plays), "final_delay": f"{last_ms}/1000"}


def set_end(file: Path, end_ms: int) -> None:
    """Makes a WebP animation last `end_ms`: its encoder guesses how long the last frame is."""
    with open(file, "r+b") as webp:
        webp.seek(12)
        before, last, place = 0, 0, None
        while len(head := webp.read(8)) == 8:
            kind, size = head[:4], int.from_bytes(head[4:], "little")
            start = webp.tell()
            if kind == b"ANMF":
                before, place = before + last, start + 12
                webp.seek(place)
                last = int.from_bytes(webp.read(3), "little")
            webp.seek(start + size + size % 2)
        if place is not None:
            webp.seek(place)
            webp.write(max(1, end_ms - before).to_bytes(3, "little"))


def write_animation(
    frames: Iterable[Frame], file: Path, suffix: str, about: About, end: int, last: int
) -> int:
    """Writes all frames; their video ends at `end`, and its last frame lasts `last`, in its unit.

    Returns how many were left out for following too soon. The file is whole when this returns.
    """
    writer: AnimationWriter | None = None
    start = 0
    ms = about.time_base * 1000
    try:
        for frame in frames:
            if writer is None:
                start = frame.at
                size = frame.pixels.shape[1::-1]
                writer = AnimationWriter(file, suffix, size, about.plays, round(last * ms))
            writer.add(frame.pixels, (frame.at - start) * ms)
    except BaseException:
        if writer is not None:
            writer.abort()
        raise
    assert writer is not None
    writer.close((end - start) * ms)
    return writer.left_out
