"""The cascade that finds faces: three small networks, each looking closer where the last saw one.

Zhang et al. 2016, "Joint Face Detection and Alignment Using Multitask Cascaded Convolutional
Networks". Networks, thresholds and scales are those of facenet-pytorch, and `find` says of a
image what its `MTCNN.detect` says. Only the way there is shorter: whatever a network is shown is
a mean over windows of the image, and a table of sums gives any of them from four numbers.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol, cast

import cv2
import numpy as np

CELL = 12  # pixels a side of what the first network sees
FACTOR = 0.709  # from one scale of the pyramid to the next
STRIP = 256_000  # pixels that the first network is shown at once: it takes 200 bytes for each
THRESHOLDS = (0.6, 0.7, 0.7)  # what the networks must score
# Candidates at once: more do not stay in the processor's cache, and take longer each.
BATCHES = {24: 16, 48: 8}
# Network -> sides of the pools after its convolutions (0 for none; step 2), dense layer, heads.
PARTS = {
    "pnet": ((2, 0, 0), None, ("conv4_1", "conv4_2")),
    "rnet": ((3, 3, 0), 4, ("dense5_1", "dense5_2")),
    "onet": ((3, 3, 2, 0), 5, ("dense6_1", "dense6_2", "dense6_3")),
}
ANSWERS = {"pnet": 4, "rnet": 4, "onet": 14}  # numbers besides the score: box, then points

_lock = threading.Lock()


class Viewed(Protocol):
    """What the networks are shown parts of."""

    size: tuple[int, int]  # height, width

    def reduced(self, size: tuple[int, int]) -> np.ndarray:
        """All of it, scaled down to size (h, w): float32 (h, w, 3), 0 to 255."""

    def means(self, boxes: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """Boxes (N, 4) of whole pixels, each scaled to size (h, w): float32 (N, h, w, 3)."""


class View:
    """An image to be looked at, uint8 RGB (H, W, 3), and the same rotated without another copy."""

    def __init__(self, pixels: np.ndarray):
        self.pixels = pixels
        self.size = pixels.shape[:2]
        # Sums over all pixels above and left of each corner; larger ones than 2 ** 31 wrap, which
        # leaves their differences right.
        self._sums = cv2.integral(pixels).reshape(-1, 3)
        self._origin, self._down, self._across = 0, pixels.shape[1] + 1, 1

    def rotated(self, quarter_turns: int) -> View:
        """What `np.rot90(pixels, quarter_turns)` shows."""
        view = object.__new__(View)
        view.__dict__.update(self.__dict__, pixels=np.rot90(self.pixels, quarter_turns))
        for _ in range(quarter_turns % 4):
            view._origin += view._across * view.size[1]
            view._down, view._across = -view._across, view._down
            view.size = view.size[::-1]
        return view

    def reduced(self, size: tuple[int, int]) -> np.ndarray:
        """The whole image scaled down to size (h, w): float32 (h, w, 3)."""
        return self.means(np.array([[0, 0, self.size[1], self.size[0]]]), size)[0]

    def means(self, boxes: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """Boxes (N, 4) of whole pixels in the image, scaled to size (h, w): float32 (N, h, w, 3).

        As torch scales by mode "area": each number is the mean of all pixels that it touches.
        """
        left, top, right, bottom = boxes.T.astype(np.int64)
        y0, y1 = window_bounds(top, bottom, size[0])
        x0, x1 = window_bounds(left, right, size[1])

        def corner(y, x):
            places = (self._origin + y * self._down)[:, :, None] + (x * self._across)[:, None, :]
            return self._sums.take(places, axis=0)

        sums = corner(y1, x1)
        sums -= corner(y0, x1)
        sums -= corner(y1, x0)
        sums += corner(y0, x0)
        # A table of sums with rows and columns rotated the one for the other counts below zero.
        heights = (y1 - y0 if self._down * self._across > 0 else y0 - y1).astype(np.float32)
        widths = np.repeat((x1 - x0).astype(np.float32), 3, axis=1)  # once for each color
        means = sums.reshape(len(boxes), size[0], -1).astype(np.float32)
        means /= heights[:, :, None] * widths[:, None, :]
        return means.reshape(sums.shape)


def find(
    view: View, smallest: int, candidates: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Faces from `smallest` pixels on, the largest first: boxes (N, 4), points (N, 5, 2), scores.

    Boxes are (x0, y0, x1, y1) and may reach over the border; points are the eyes, the nose and the
    corners of the mouth. `candidates` are what `propose` returns, if it was called before.
    """
    if candidates is None:
        candidates = propose(view, smallest)
    with one_thread():
        return judge_candidates(view, candidates, THRESHOLDS[1:])


def propose(view: View, smallest: int) -> np.ndarray:
    """Squares (N, 4) that may be faces. The network sees 12 pixels and hardly tells which way a
    face is up: on its side, of 50 faces all are among them."""
    with one_thread():
        return propose_candidates(view, smallest, THRESHOLDS[0])


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """The networks of one caller at a time, on one thread.

    Their many tiny layers gain nothing from a second thread, and on a busy machine they lose a
    factor of twenty by waiting for it.
    """
    import torch  # here, since it takes a second to import

    with _lock:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            with torch.inference_mode():
                yield
        finally:
            torch.set_num_threads(threads)


def propose_candidates(
    view: Viewed, smallest: int, threshold: float, largest: float = np.inf
) -> np.ndarray:
    """Squares (N, 4) in which the first network sees faces.

    Args:
        view: the image.
        smallest: side in px of the smallest face.
        threshold: the least score, 0 to 1.
        largest: side in px of the largest face; default: all that the image can hold.
    """
    boxes, scores, shifts = run_pnet(view, smallest, threshold, largest)
    kept = nms(boxes, scores, 0.7)
    return to_squares(apply_regression(boxes[kept], shifts[kept], 0))


def judge_candidates(
    view: Viewed, boxes: np.ndarray, thresholds: Sequence[float]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What `find` returns, of candidates (N, 4); `thresholds` are the last two networks'."""
    boxes, scores, answers = refine_candidates(view, boxes, 24, "rnet", thresholds[0])
    kept = nms(boxes, scores, 0.7)
    boxes = to_squares(apply_regression(boxes[kept], answers[kept], 1))

    boxes, scores, answers = refine_candidates(view, boxes, 48, "onet", thresholds[1])
    corner, length = boxes[:, None, :2], boxes[:, None, 2:] - boxes[:, None, :2] + 1
    points = answers[:, 4:].reshape(-1, 2, 5).transpose(0, 2, 1) * length + corner - 1
    boxes = apply_regression(boxes, answers[:, :4], 1)
    kept = nms_by_smaller_area(boxes, scores, 0.7)
    kept = kept[np.argsort(-areas(boxes[kept]), kind="stable")]
    return boxes[kept], points[kept], scores[kept]


def run_pnet(
    view: Viewed, smallest: int, threshold: float, largest: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What the first network takes for faces at all scales: boxes, scores, shifts of the edges."""
    height, width = view.size
    found = [(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros((0, 4), np.float32))]
    scale = CELL / smallest
    while min(height, width) * scale >= CELL and CELL / scale <= largest:
        shown = view.reduced((int(height * scale + 1), int(width * scale + 1)))
        cells, scores, shifts = run_pnet_in_strips(shown, threshold)
        boxes = np.floor(np.hstack([cells + 1, cells + CELL]) / np.float32(scale))
        kept = nms(boxes, scores, 0.5)
        found.append((boxes[kept], scores[kept], shifts[kept]))
        scale *= FACTOR
    boxes, scores, shifts = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return boxes, scores, shifts


def run_pnet_in_strips(
    shown: np.ndarray, threshold: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What the first network takes for faces at one scale: x and y of the cells (N, 2), scores and
    shifts."""
    # A step of the network is 2 pixels, and a cell reaches 10 pixels beyond its step.
    rows = max(CELL, STRIP // shown.shape[1] // 2 * 2)
    found = []
    for top in range(0, len(shown) - CELL + 2, rows):
        strip = shown[None, top : top + rows + CELL - 2].copy()
        scores, shifts = (answer[0] for answer in run_network("pnet", strip))
        y, x = np.nonzero(scores >= threshold)
        cells = np.stack([x, y + top // 2], axis=1).astype(np.float32) * 2
        found.append((cells, scores[y, x], shifts[y, x]))
    cells, scores, shifts = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return cells, scores, shifts


def refine_candidates(
    view: Viewed, boxes: np.ndarray, side: int, network: str, threshold: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The boxes that a network takes for faces when they are scaled to `side` pixels, its scores
    and what else it says of each."""
    # The networks were trained with pixels counted from 1, both ends of a box in it.
    height, width = view.size
    seen = np.trunc(boxes)
    seen[:, :2] = np.maximum(seen[:, :2], 1) - 1
    seen[:, 2:] = np.minimum(seen[:, 2:], (width, height))
    there = (seen[:, 2:] > seen[:, :2]).all(axis=1)
    boxes, seen = boxes[there], seen[there]

    outputs = [(np.zeros(0, np.float32), np.zeros((0, ANSWERS[network]), np.float32))]
    for start in range(0, len(boxes), BATCHES[side]):
        shown = view.means(seen[start : start + BATCHES[side]], (side, side))
        outputs.append(run_network(network, shown))
    scores, answers = (np.concatenate(parts) for parts in zip(*outputs, strict=True))
    faces = scores > threshold
    return boxes[faces], scores[faces], answers[faces]


def run_network(network: str, shown: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A network's scores (N, ...) of images (N, h, w, 3) from 0 to 255, which it changes, and
    its other answers (N, ..., 4 or 14)."""
    import torch

    shown -= 127.5
    shown *= 0.0078125
    batch = torch.from_numpy(shown).permute(0, 3, 1, 2)
    outputs = load_network(network)(batch).numpy()
    return 1.0 / (1.0 + np.exp(outputs[..., 0] - outputs[..., 1])), outputs[..., 2:]


@functools.cache
def load_network(name: str) -> Callable:
    """One of the three networks: images (N, 3, h, w) -> all that its heads say (N, ..., 6 or 16).

    The package that has the weights stays closed: it opens torchvision, which takes seconds. In
    torch's own order of channels the pools take longer than all else together.
    """
    import torch
    import torch.nn.functional as F

    package = importlib.util.find_spec("facenet_pytorch")
    assert package is not None and package.submodule_search_locations
    folder = package.submodule_search_locations[0]
    weights = torch.load(Path(folder, "data", f"{name}.pt"), weights_only=True)
    pools, dense, heads = PARTS[name]

    def layer(part):
        weight, bias = weights[f"{part}.weight"], weights[f"{part}.bias"]
        return weight.contiguous(memory_format=torch.channels_last), bias

    convolutions = [
        (layer(f"conv{n}"), weights[f"prelu{n}.weight"], pool) for n, pool in enumerate(pools, 1)
    ]
    head = [
        torch.cat([weights[f"{part}.weight"].flatten(1) for part in heads]),
        torch.cat([weights[f"{part}.bias"] for part in heads]),
    ]

    def run(batch):
        for convolution, slope, pool in convolutions:
            batch = F.prelu(F.conv2d(batch, *convolution), slope)
            if pool:
                batch = F.max_pool2d(batch, pool, 2, ceil_mode=True)
        if dense is None:
            return F.linear(batch.permute(0, 2, 3, 1), *head)
        batch = batch.permute(0, 3, 2, 1).flatten(1)
        batch = F.linear(batch, weights[f"dense{dense}.weight"], weights[f"dense{dense}.bias"])
        return F.linear(F.prelu(batch, weights[f"prelu{dense}.weight"]), *head)

    return run


def window_bounds(low: np.ndarray, high: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """First pixels and ends, both (N, count), of `count` windows over each stretch of pixels."""
    low, length, place = low[:, None], (high - low)[:, None], np.arange(count)
    return low + place * length // count, low - (-(place + 1) * length) // count


def nms(boxes: np.ndarray, scores: np.ndarray, most: float) -> np.ndarray:
    """Indices of the best boxes, best first, none of which shares more than `most` with a better
    one (intersection over union)."""
    corners = np.hstack([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]]).astype(np.float64)
    return np.asarray(
        cv2.dnn.NMSBoxes(cast(list, corners), cast(list, scores), 0.0, most), np.int64
    ).reshape(-1)


def nms_by_smaller_area(boxes: np.ndarray, scores: np.ndarray, most: float) -> np.ndarray:
    """Indices of the best boxes, none of which shares more than `most` of the smaller of two with
    a better one."""
    sizes, kept = areas(boxes + np.array([0, 0, 1, 1], np.float32)), []
    order = np.argsort(scores, kind="stable")[::-1]
    while len(order):
        first, order = order[0], order[1:]
        kept.append(first)
        low = np.maximum(boxes[first, :2], boxes[order, :2])
        high = np.minimum(boxes[first, 2:], boxes[order, 2:]) + 1
        shared = np.prod(np.maximum(high - low, 0), axis=1)
        order = order[shared <= most * np.minimum(sizes[first], sizes[order])]
    return np.array(kept, np.int64)


def areas(boxes: np.ndarray) -> np.ndarray:
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def apply_regression(boxes: np.ndarray, shifts: np.ndarray, ends: int) -> np.ndarray:
    """Boxes with each edge moved by a share of their length and height; `ends` is 1 where both end
    pixels count."""
    length = boxes[:, 2:] - boxes[:, :2] + ends
    return boxes + shifts * np.hstack([length, length])


def to_squares(boxes: np.ndarray) -> np.ndarray:
    """The boxes' shorter sides made as long as the longer ones, about the same center."""
    length = boxes[:, 2:] - boxes[:, :2]
    side = length.max(axis=1, keepdims=True)
    low = boxes[:, :2] + length * 0.5 - side * 0.5
    return np.hstack([low, low + side])
