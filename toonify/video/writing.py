"""Writes images as a video or an animation."""

import itertools
import os
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path

from PIL import Image

from toonify.files import atomic_write
from toonify.images import signing
from toonify.images.marks import read_mark
from toonify.video import marks
from toonify.video.types import address

SUFFIXES = (".mp4", ".gif", ".webp")
MAX_FRAMES = 10_000
GIF_SIDE = 512  # px; larger GIFs are tens of megabytes


def write_video(
    frames: Iterable[Image.Image], path: str | os.PathLike, fps: int = 24, *, mark: bool = True
) -> Path:
    """Writes images as a video or an animation.

    GIF and WebP repeat forever, and a GIF is at most 512 px wide and high. An existing file is
    replaced only when the new one is complete.

    Args:
        frames: RGB images of one size, which are read one after the other.
        path: a name that ends in .mp4 (H.264), .gif or .webp.
        fps: frames per second, 1 to 60; default 24.
        mark: whether the file is marked as the first image is; default True.

    Returns:
        The path.

    Raises:
        ValueError: another suffix, fps outside 1 to 60, no frames, or frames of several sizes.
        OSError: the file cannot be written, as on a full disk.

    Example:
        >>> colors = (Image.new("RGB", (32, 32), color) for color in ("red", "green", "blue"))
        >>> write_video(colors, "colors.gif", fps=2).name
        'colors.gif'
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise ValueError(
            f"{path.name} ends in {path.suffix!r}: expected one of {', '.join(SUFFIXES)}"
        )
    if not 1 <= fps <= 60:
        raise ValueError(f"fps={fps}: expected 1 to 60 frames a second")
    write = write_film if suffix == ".mp4" else write_animation
    rest = checked(frames)
    first = next(rest)
    with atomic_write(path, keep_suffix=True) as temporary:
        write(itertools.chain([first], rest), temporary, fps)
        source_type = read_mark(first) if mark else None
        marks.mark_file(temporary, suffix, source_type)
        signing.sign_file(temporary, source_type)
    return path


def checked(frames: Iterable[Image.Image]) -> Iterator[Image.Image]:
    """The frames, as long as they are of one size and not without end."""
    size, count = None, 0
    for count, frame in enumerate(frames, 1):
        size = size or frame.size
        if frame.size != size:
            raise ValueError(f"frame {count} is {frame.size}, expected {size} as the first")
        if count > MAX_FRAMES:
            raise ValueError(f"more than {MAX_FRAMES} frames: expected a shorter video")
        yield frame
    if not count:
        raise ValueError("no frames: expected at least one")


def write_film(frames: Iterable[Image.Image], file: Path, fps: int) -> None:
    """H.264 in yuv420p, which every browser and telephone plays; odd sides lose a pixel."""
    import av

    with av.open(address(file), "w") as container:
        stream = None
        for frame in frames:
            if stream is None:
                stream = container.add_stream("libx264", rate=Fraction(fps))
                stream.width, stream.height = (side - side % 2 for side in frame.size)
                stream.pix_fmt = "yuv420p"
                stream.options = {"crf": "18"}
            even = frame.convert("RGB").crop((0, 0, stream.width, stream.height))
            container.mux(stream.encode(av.VideoFrame.from_image(even)))
        if stream is not None:
            container.mux(stream.encode())


def write_animation(frames: Iterable[Image.Image], file: Path, fps: int) -> None:
    """Animated GIF or WebP without an end, by Pillow."""
    pictures = []
    for frame in frames:
        small = frame.convert("RGB")
        if file.suffix == ".gif":
            small.thumbnail((GIF_SIDE, GIF_SIDE))
        pictures.append(small)
    pictures[0].save(
        file, save_all=True, append_images=pictures[1:], duration=round(1000 / fps), loop=0
    )
