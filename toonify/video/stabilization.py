"""Keeps a drawn video steady, and measures how much it flickers."""

from dataclasses import dataclass, field
from typing import cast

import cv2
import numpy as np

from toonify.images.resize import enlarge, shrink

_SIDE = 480  # px of the longer side at which motion is measured
_TEMPORAL_WEIGHT = 0.75  # how much of the last image stays where nothing changes
_ALIKE = 5.0  # gray levels by which a place may differ and still be the same
_STILL = 0.25  # px at that size below which motion is noise
MAX_REUSED = 2  # frames for which a drawing serves, after its own, where nothing happens
_UNCHANGED = 8.0  # levels, after a blur: more is an event, less is noise
_SLOW = 3.0  # px at that size that carried drawings may be moved
_MARGIN = 10  # levels by which the last image may leave the range of the new one
_CUT_CHANGE, _CUT_LOST = 18.0, 0.5  # see is_cut
_FOLLOWED = 0.01  # of the longer side: motion that is still slow


class Motion:
    """Where places of one image lay in the one before, from small copies of both."""

    def __init__(self):
        self._flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
        self._before: np.ndarray | None = None

    def __call__(self, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
        """From the last image to this one, uint8 RGB (H, W, 3); None for the first."""
        small = shrink(pixels, _SIDE)
        before, self._before = self._before, small
        if before is None or before.shape != small.shape:
            return None
        return self.between(before, small)

    def between(self, before: np.ndarray, now: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Flow (h, w, 2) in pixels of small copies, uint8 RGB (h, w, 3): a place of `now` lay at
        itself + flow. And by how many levels (h, w) the two differ along it, after a blur."""
        if min(now.shape[:2]) < 16:  # too narrow for the flow's patches
            flow = np.zeros((*now.shape[:2], 2), np.float32)
        else:
            new, old = (cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY) for pixels in (now, before))
            flow = self._flow.calc(new, old, cast(np.ndarray, None))
        length = np.linalg.norm(flow, axis=2)
        flow *= np.clip(2.0 * length / _STILL - 1.0, 0.0, 1.0)[..., None]
        then, now = (
            cv2.GaussianBlur(picture, (0, 0), 2.0).astype(np.float32)
            for picture in (remap(before, flow), now)
        )
        return flow, np.abs(now - then).max(axis=2)


class FrameReuser:
    """Brings a drawing to the next frames as long as nothing but slow motion happens in them.

    The network then has less to do, and what is not drawn again cannot flicker. A blink or a word
    is enough for a new drawing: no place may change. What is carried is moved from where it was
    drawn in one step, so that it does not blur, and never for more than `MAX_REUSED` frames.
    """

    def __init__(self):
        self._motion = Motion()
        self._source: np.ndarray | None = None
        self._drawn: np.ndarray | None = None
        self._reused = 0

    def drew(self, source: np.ndarray, drawn: np.ndarray) -> None:
        """A frame was drawn; both are uint8 RGB (H, W, 3)."""
        self._source, self._drawn, self._reused = shrink(source, _SIDE), drawn, 0

    def __call__(self, source: np.ndarray) -> np.ndarray | None:
        """The last drawing as it is in this frame, or None where it has to be drawn again."""
        small = shrink(source, _SIDE)
        if self._source is None or self._source.shape != small.shape or self._reused == MAX_REUSED:
            return None
        flow, change = self._motion.between(self._source, small)
        # At the border there is nothing to compare with what has just come in: a thin strip.
        known = cv2.erode(inside(flow), np.ones((5, 5), np.uint8))
        if (change * known).max() > _UNCHANGED or np.abs(flow).max() > _SLOW:
            return None
        assert self._drawn is not None
        self._reused += 1
        if not flow.any():
            return self._drawn
        height, width = source.shape[:2]
        return remap(self._drawn, enlarge(flow, width, height) * (width / flow.shape[1]))


class Stabilizer:
    """Carries a part of the last drawing on where the source shows the same.

    The last drawing is moved along with the source, so that what moves does not lag behind. Where
    the source changes nothing is carried on, and nothing that is not in the new drawing's
    surroundings stays.
    """

    def __init__(self):
        self._motion = Motion()
        self._last: np.ndarray | None = None

    def __call__(self, source: np.ndarray, drawn: np.ndarray, cut: bool = False) -> np.ndarray:
        """The steadier drawing; all are uint8 RGB (H, W, 3). With `cut` a new scene begins."""
        moved = self._motion(source)
        if moved is None or cut or self._last is None:
            self._last = drawn.astype(np.float32)
            return drawn
        height, width = drawn.shape[:2]
        flow, change = moved
        temporal_weight = _TEMPORAL_WEIGHT * np.exp(-np.square(change / _ALIKE))
        temporal_weight = cv2.erode(temporal_weight, np.ones((5, 5), np.uint8))
        temporal_weight = enlarge(temporal_weight * inside(flow), width, height)[..., None]
        last = self._last
        if flow.any():
            last = remap(last, enlarge(flow, width, height) * (width / flow.shape[1]))
        near = np.ones((5, 5), np.uint8)
        last = np.clip(
            last,
            cv2.erode(drawn, near).astype(np.float32) - _MARGIN,
            cv2.dilate(drawn, near).astype(np.float32) + _MARGIN,
        )
        last -= drawn
        last *= temporal_weight
        last += drawn
        self._last = last
        return np.rint(np.clip(last, 0, 255)).astype(np.uint8)


class Scenes:
    """Detects where a new scene begins, frame by frame."""

    def __init__(self):
        self._before: np.ndarray | None = None

    def cut(self, pixels: np.ndarray) -> bool:
        """Whether a frame, uint8 RGB (H, W, 3), begins a scene; not so for the first."""
        small = shrink(pixels, 48)
        before, self._before = self._before, small
        return before is not None and is_cut(before, small)


def is_cut(before: np.ndarray, now: np.ndarray) -> bool:
    """Whether two small images, uint8 RGB, are of different scenes.

    A flash or fade changes levels and keeps what is where; a moving camera keeps levels. A cut
    changes both.
    """
    if before.shape != now.shape:
        return True
    one, other = (cv2.GaussianBlur(p, (0, 0), 1.0).astype(np.float32) for p in (before, now))
    change = float(np.abs(one - other).mean())
    one, other = one - one.mean(axis=(0, 1)), other - other.mean(axis=(0, 1))
    spread = float(one.std() * other.std())
    kept = float((one * other).mean()) / spread if spread > 4.0 else float(spread > 0)
    return change > _CUT_CHANGE and kept < 1.0 - _CUT_LOST


@dataclass
class Flicker:
    """Mean change of consecutive frames where the source is the same, in levels of 0 to 255.

    Frames are compared along the source's motion, and only where that is slow and the source
    agrees with itself: what changes there is noise or flicker. `source` is the source's own,
    `drawn` that of the drawings as they came, `steady` that of the finished video.
    """

    source: float = 0.0
    drawn: float = 0.0
    steady: float = 0.0

    @property
    def ratio(self) -> float:
        """The finished video's flicker relative to the source's.

        It says little for a source without noise, such as a cartoon or a screen recording.
        """
        return ratio(self.steady, self.source)


@dataclass
class FlickerMeter:
    """Adds up the flicker of a video frame by frame."""

    motion: Motion = field(default_factory=Motion)
    sums: np.ndarray = field(default_factory=lambda: np.zeros(3))
    frames: int = 0
    last: list[np.ndarray] | None = None

    def add(self, source: np.ndarray, drawn: np.ndarray, steady: np.ndarray, cut=False) -> None:
        """The next frame and its drawings, uint8 RGB (H, W, 3) of one size."""
        moved = self.motion(source)
        pictures, last = [source, drawn, steady], self.last
        self.last = pictures
        if moved is None or last is None or cut:
            return
        height, width = source.shape[:2]
        flow, change = moved
        slow = np.linalg.norm(flow, axis=2) <= _FOLLOWED * max(flow.shape[:2])
        still = (slow & (change <= 2 * _ALIKE) & (inside(flow) > 0)).astype(np.uint8)
        still = cv2.resize(still, (width, height), interpolation=cv2.INTER_NEAREST) > 0
        if not still.any():
            return
        there = enlarge(flow, width, height) * (width / flow.shape[1]) if flow.any() else None
        for place, (now, then) in enumerate(zip(pictures, last, strict=True)):
            then = then if there is None else remap(then, there)
            self.sums[place] += cv2.absdiff(now, then)[still].mean()
        self.frames += 1

    @property
    def flicker(self) -> Flicker:
        """What was measured so far."""
        return Flicker(*(self.sums / max(1, self.frames)).tolist())


def ratio(one: float, other: float) -> float:
    """One against the other: 0 where it is 0, infinite where only the other is."""
    return one / other if other else float("inf") if one else 0.0


def remap(pixels: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """The image in which every place shows what lies at it + flow (H, W, 2)."""
    height, width = flow.shape[:2]
    x = flow[..., 0] + np.arange(width, dtype=np.float32)
    y = flow[..., 1] + np.arange(height, dtype=np.float32)[:, None]
    return cv2.remap(pixels, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)


def inside(flow: np.ndarray) -> np.ndarray:
    """Float32 (h, w): 1 where the flow leads to a place within the image, else 0."""
    height, width = flow.shape[:2]
    x = flow[..., 0] + np.arange(width, dtype=np.float32)
    y = flow[..., 1] + np.arange(height, dtype=np.float32)[:, None]
    return ((x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)).astype(np.float32)
