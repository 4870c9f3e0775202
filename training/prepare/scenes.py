"""Finds where the scenes of a video begin, and the best frames of each."""

import math
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import cv2
import numpy as np

from training.prepare import likeness

CUT = 0.2  # change from frame to frame that can be a cut
SURE_CUT = 0.5  # change that is a cut whatever came before
MIN_SCENE = 0.4  # seconds; a cut sooner than this after another one is a flash
REST = 0.25  # seconds over which a steady frame has hardly changed
SIMILAR = {"bits": 14, "apart": 0.45}  # of likeness.alike: frames of a video should vary


@dataclass(frozen=True, eq=False)
class Look:
    """Color shares (48,), and gray levels (576,) less their mean `light`, of a frame."""

    colors: np.ndarray
    structure: np.ndarray
    light: float

    @classmethod
    def of(cls, picture: np.ndarray) -> "Look":
        """The look of a small image, uint8 RGB of about 48 px."""
        counts = [np.bincount(picture[..., c].ravel() >> 4, minlength=16) for c in range(3)]
        gray = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
        structure = cv2.resize(gray, (24, 24), interpolation=cv2.INTER_AREA)
        structure = structure.astype(np.float32).ravel()
        light = float(structure.mean())
        colors = np.concatenate(counts) / picture.size
        return cls(colors.astype(np.float32), structure - light, light)

    def change(self, other: "Look") -> float:
        """0 for the same image, up to 1.4; a change of light alone is hardly any.

        The geometric mean of the share of pixels that change color and of the lost correlation of
        structures. A fade changes colors only, a moving camera structure only, a cut both.
        """
        colors = float(np.abs(self.colors - other.colors).sum()) / 2
        spread = float(self.structure.std() * other.structure.std())
        covariance = float((self.structure * other.structure).mean())
        flat = 16.0  # (4 levels)^2: a flatter image has no structure to lose
        lost = 1.0 - (covariance + flat) / (spread + flat)
        return math.sqrt(colors * max(0.0, lost))


class CutFinder:
    """Finds the first frame of each scene, a frame at a time.

    A cut is a change that is large in itself and compared with the last second. A dissolve or pan
    ends a scene once the image has settled far from where the scene began. Nothing from before
    the scene's start is used, so that reading can resume at any scene. (PySceneDetect finds cuts
    and fades but no dissolves, and installs a second OpenCV beside the headless one.)
    """

    def __init__(self):
        self.restart()

    def restart(self) -> None:
        self.first: tuple[float, Look] | None = None
        self.recent: deque[tuple[float, Look, float]] = deque()

    def begins_scene(self, at: float, look: Look) -> bool:
        """Whether the frame at `at` seconds is the first of another scene."""
        start, first = self.first = self.first or (at, look)
        change = look.change(self.recent[-1][1]) if self.recent else 0.0
        usual = float(np.mean([c for _, _, c in self.recent])) if self.recent else 0.0
        cut = change > SURE_CUT or (change > CUT and change > 3 * usual)
        settled = (
            at - start > 4 * REST and look.change(first) > 1.5 * CUT and self.is_steady(at, look)
        )
        if (cut or settled) and at - start >= MIN_SCENE:
            self.first, self.recent = (at, look), deque([(at, look, 0.0)])
            return True
        self.recent.append((at, look, change))
        while self.recent[0][0] < at - 1.0:
            self.recent.popleft()
        return False

    def is_steady(self, at: float, look: Look) -> bool:
        """Whether the image has hardly changed for `REST` seconds, and is not fading."""
        before = [earlier for when, earlier, _ in self.recent if when <= at - REST]
        if not before or abs(look.light - before[-1].light) > 0.06 * look.light + 1.0:
            return False
        return look.change(before[-1]) < CUT / 4


@dataclass(frozen=True, eq=False)
class Candidate:
    """A frame that may be extracted."""

    at: float
    pixels: np.ndarray
    detail: float
    mark: likeness.Fingerprint


@dataclass
class Scene:
    """The best frames so far of a scene: at most `slots`, none similar to another one.

    A frame in motion is kept in reserve; it is used only if no frame of the scene is steady.
    """

    start: float
    slots: int
    end: float = 0.0
    best: list[Candidate] = field(default_factory=list)
    moving: Candidate | None = None
    refused: Counter = field(default_factory=Counter)

    def consider(self, at, pixels, small, steady: bool, album: likeness.Album, blurred: float):
        """Keeps a frame if it is among the scene's best; `small` is its copy for measuring."""
        detail = likeness.detail(small)
        if not steady:
            wanted = self.moving is None or detail > self.moving.detail
        else:
            wanted = len(self.best) < self.slots or detail > min(c.detail for c in self.best)
        if not wanted:
            return
        if likeness.sharpness(small) < blurred:
            self.refused["blurred"] += 1
            return
        mark = likeness.fingerprint(small)
        if album.alike(mark, **SIMILAR):
            self.refused["alike"] += 1
            return
        candidate = Candidate(at, pixels, detail, mark)
        if not steady:
            self.moving = candidate
            return
        similar = [c for c in self.best if likeness.alike(c.mark, mark, **SIMILAR)]
        if all(c.detail < detail for c in similar):
            kept = [c for c in self.best if c not in similar] + [candidate]
            self.best = sorted(kept, key=lambda c: -c.detail)[: self.slots]

    def chosen(self) -> list[Candidate]:
        """The frames to extract, the most detailed first."""
        if not self.best:
            return [self.moving] if self.moving else []
        # Half-dissolved frames differ from the scene's others and have half of their detail.
        return [c for c in self.best if c.detail >= 0.5 * self.best[0].detail]


def find_scenes(
    frames: Iterable[tuple[float, np.ndarray]],
    every: float,
    per_scene: int,
    box: tuple[float, float, float, float],
    album: likeness.Album,
    blurred: float,
) -> Iterator[Scene]:
    """Finds the scenes of a video and the best frames of each.

    Args:
        frames: (seconds, uint8 RGB pixels) of each frame.
        every: length in seconds of intervals to use instead of scenes; 0 uses scenes.
        per_scene: how many frames of a scene are kept.
        box: the part of each frame that is used; see `crop`.
        album: images that no frame may be similar to.
        blurred: `likeness.sharpness` below which a frame is refused.

    Returns:
        The scenes, each as soon as it has ended.
    """
    finder, scene, at = CutFinder(), None, 0.0
    for at, pixels in frames:
        small = crop(likeness.shrink(pixels, likeness.WORKING_SIDE), box)
        tiny = likeness.shrink(small, 48)
        if likeness.is_blank(tiny):
            # Scenes on both sides of a fade through black are two. Single dark frames, such as in
            # a thunderstorm, are skipped.
            if scene is not None and at - scene.start >= MIN_SCENE and not every:
                scene.end = at
                yield scene
                scene = None
                finder.restart()
            continue
        look = Look.of(tiny)
        begins = scene is None
        if every:
            begins = begins or at // every != scene.start // every
            if begins:
                finder.restart()
            finder.begins_scene(at, look)
        else:
            begins |= finder.begins_scene(at, look)
        if begins:
            if scene is not None:
                scene.end = at
                yield scene
            scene = Scene(at, 1 if every else per_scene)
        scene.consider(at, crop(pixels, box), small, finder.is_steady(at, look), album, blurred)
    if scene is not None:
        scene.end = at + 0.001  # past the last frame
        yield scene


def crop(picture: np.ndarray, box: tuple[float, float, float, float]) -> np.ndarray:
    """The part of an image (H, W, 3) within a box given as shares of its sides."""
    height, width = picture.shape[:2]
    x0, x1 = math.ceil(box[0] * width), math.floor(box[2] * width)
    y0, y1 = math.ceil(box[1] * height), math.floor(box[3] * height)
    return picture[y0:y1, x0:x1]
