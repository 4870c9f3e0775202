"""Follows faces through a video, so that their drawings neither jump nor pop up."""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image

from toonify.faces.geometry import Face, area, as_box, overlap
from toonify.images.resize import shrink

EVERY = 8  # frames from one look for faces to the next
FADE = 6  # frames in which the drawing of a face comes or goes
MAX_MISSED = 2  # looks without a face until it is given up
_SIDE = 480  # px of the longer side at which faces are follow between looks
_SAME = 0.3  # overlap of boxes from which two are the same face
_CALM = 0.06  # of the eyes' distance: what a look is off by is mostly its own error
_MAX_FACES = 16


@dataclass(eq=False)
class Track:
    """A face that is follow. `weight`, 0 to 1, is how much of its own drawing is seen.

    `size` is that of its crop in pixels: kept by who draws it, so that it does not change with
    every pixel that the face comes nearer.
    """

    face: Face
    weight: float = 0.0
    missed_detections: int = 0
    active: bool = True
    size: int = 0


class FaceTracks:
    """The faces of a video, frame by frame.

    `detect` finds the faces of a frame, largest first, and is asked at every `EVERY`-th frame and
    after a cut. In between points follow what is seen around them. `wants` says of a face and of
    whether it was active before if it is to be drawn on its own.
    """

    def __init__(
        self,
        detect: Callable[[Image.Image], list[Face]],
        wants: Callable[[Face, bool], bool] = lambda face, before: True,
        largest: bool = False,
    ):
        self._detect, self._wants, self._largest = detect, wants, largest
        self._gray: np.ndarray | None = None
        self._count = 0
        self.seen = 0  # faces that have been follow so far
        self.tracks: list[Track] = []

    def update(self, photo: Image.Image, cut: bool = False) -> list[Track]:
        """The tracks in the next frame, those that are drawn at least in part, far ones first."""
        gray, scale = gray_of(photo)
        before = None if cut else self._gray
        fresh = before is None
        if before is None:
            self.tracks, self._count = [], 0
        else:
            for track in self.tracks:
                track.face = follow(track.face, before, gray, scale)
        self._gray = gray
        if self._count % EVERY == 0:
            self._look(photo, fresh)
        self._count += 1
        self._drop_lost(photo.size)
        self._choose()
        for track in self.tracks:
            present = track.active and track.missed_detections < MAX_MISSED
            step = 1.0 if fresh else 1.0 / FADE
            track.weight = min(1.0, max(0.0, track.weight + (step if present else -step)))
        return sorted((t for t in self.tracks if t.weight > 0), key=lambda t: area(t.face))

    def _look(self, photo: Image.Image, fresh: bool) -> None:
        free = self._detect(photo)[:_MAX_FACES]
        for track in self.tracks:
            best = max(free, key=lambda face: overlap(face.box, track.face.box), default=None)
            if best is not None and overlap(best.box, track.face.box) > _SAME:
                free.remove(best)
                track.face, track.missed_detections = correct(track.face, best), 0
            else:
                track.missed_detections += 1
        room = _MAX_FACES - len(self.tracks)
        self.tracks += [Track(face, active=False) for face in free[:room]]
        self.seen += len(free[:room])

    def _drop_lost(self, size: tuple[int, int]) -> None:
        def is_left(track: Track) -> bool:
            x, y = track.face.points.mean(axis=0)
            gone = track.missed_detections >= MAX_MISSED and track.weight == 0
            return 0 <= x < size[0] and 0 <= y < size[1] and not gone

        self.tracks = [track for track in self.tracks if is_left(track)]

    def _choose(self) -> None:
        for track in self.tracks:
            track.active = self._wants(track.face, track.active)
        if self._largest and self.tracks:
            # Who is drawn stays so until another is plainly larger.
            chosen = max(self.tracks, key=lambda t: area(t.face) * (1.5 if t.weight > 0 else 1.0))
            for track in self.tracks:
                track.active = track.active and track is chosen


def correct(face: Face, seen: Face) -> Face:
    """The follow face brought towards what a look says; the farther it is off, the more."""
    calm = _CALM * max(1.0, seen.eye_distance)
    off = float(np.linalg.norm(seen.points - face.points, axis=1).mean())
    gain = off / (off + 2 * calm) if off < 8 * calm else 1.0
    points = face.points + gain * (seen.points - face.points)
    box = as_box(np.add(face.box, gain * np.subtract(seen.box, face.box)))
    return Face(box, points, seen.score)


def follow(face: Face, before: np.ndarray, now: np.ndarray, scale: float) -> Face:
    """The face moved, turned and scaled as what is around its points was (Lucas and Kanade).

    The images are gray and `scale` times as large as the frame. Where nothing can be follow,
    the face stays.
    """
    x0, y0, x1, y1 = np.array(face.box) * scale
    grid = np.stack(np.meshgrid(np.linspace(0.15, 0.85, 6), np.linspace(0.15, 0.85, 6)), axis=-1)
    marks = grid.reshape(-1, 2) * [x1 - x0, y1 - y0] + [x0, y0]
    marks = np.concatenate([marks, face.points * scale]).astype(np.float32)[:, None]
    there, found, _ = cv2.calcOpticalFlowPyrLK(before, now, marks, None, winSize=(15, 15))
    back, returned, _ = cv2.calcOpticalFlowPyrLK(now, before, there, None, winSize=(15, 15))
    true = (found & returned).ravel() > 0
    true &= np.linalg.norm(back - marks, axis=2).ravel() < 1.0
    if true.sum() < 8:
        return face
    matrix, agreed = cv2.estimateAffinePartial2D(
        marks[true], there[true], method=cv2.RANSAC, ransacReprojThreshold=1.0, confidence=0.99
    )
    if matrix is None or agreed.sum() < 8:
        return face
    turn, shift = matrix[:, :2], matrix[:, 2] / scale
    grown = abs(np.linalg.det(turn)) ** 0.5
    if not 0.8 < grown < 1.25:
        return face
    points = face.points @ turn.T + shift
    corners = np.array(face.box).reshape(2, 2)
    middle = corners.mean(axis=0)
    box = (middle @ turn.T + shift) + (corners - middle) * grown
    return Face(as_box(box), points, face.score)


def gray_of(photo: Image.Image) -> tuple[np.ndarray, float]:
    """A small gray copy, and how many of its pixels a pixel of the photo is."""
    pixels = shrink(np.asarray(photo), _SIDE)
    return cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), min(1.0, _SIDE / max(photo.size))
