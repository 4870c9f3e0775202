"""Frames, colors and properties of a video, whatever its format."""

import os
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from toonify.images.color_spaces import BT709, HLG, PQ


class VideoError(ValueError):
    """The file cannot be used as a video; the message is for the user."""


@dataclass(frozen=True)
class Colors:
    """How the numbers of a video encode colors: matrix, primaries and transfer by H.273, and
    whether they use the full range of 0 to 255 instead of 16 to 235."""

    matrix: int = BT709
    primaries: int = BT709
    transfer: int = BT709
    full: bool = False

    @property
    def is_hdr(self) -> bool:
        return self.transfer in (PQ, HLG)


@dataclass(frozen=True, eq=False)
class Frame:
    """One upright image of a video.

    `at` and `duration` are whole numbers of the video's `time_base`; `pixels` are uint8 RGB
    (H, W, 3) with square pixels.
    """

    at: int
    duration: int
    pixels: np.ndarray


@dataclass(frozen=True)
class About:
    """The properties of a video that are known before it is decoded.

    size: (width, height) of its upright frames.
    time_base: 1 / n seconds, the unit of all times.
    rate: frames a second, on average.
    frames: how many there should be, as far as the file knows; 0 where it says nothing.
    plays: how often an animation is shown, 0 for ever.
    """

    size: tuple[int, int]
    time_base: Fraction
    rate: Fraction
    frames: int
    colors: Colors = Colors()
    plays: int = 0

    @property
    def seconds(self) -> float:
        """How long it should last; 0 where the file does not say."""
        return float(self.frames / self.rate)


def address(path: str | os.PathLike) -> str:
    """How FFmpeg takes a path as a file, whatever stands in it: a colon would end a protocol."""
    return f"file:{os.fspath(path)}"


def fitted(size: tuple[int, int], max_height: int | None) -> tuple[int, int]:
    """The size made smaller to be at most `max_height` high; never larger."""
    width, height = size
    if max_height is None or height <= max_height:
        return size
    return max(1, round(width * max_height / height)), max_height
