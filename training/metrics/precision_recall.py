"""Precision, recall and nearest neighbors of two sets of feature rows.

Distances are computed in blocks of rows, so that memory grows linearly with the sets.
"""

from collections.abc import Iterator

import numpy as np

K = 3  # number of the neighbor that a ball reaches, as in the paper
BLOCK = 1024  # rows of one set that are compared at a time


def squared_distances(x: np.ndarray, y: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """Blocks of rows of x (n, d), and their squared distances (block, m) to all of y (m, d)."""
    sizes = (y**2).sum(1)
    for start in range(0, len(x), BLOCK):
        block = slice(start, min(start + BLOCK, len(x)))
        part = x[block]
        found = (part**2).sum(1)[:, None] + sizes - 2 * part @ y.T
        yield block, np.maximum(found, 0, out=found)


def squared_radii(rows: np.ndarray, k: int = K) -> np.ndarray:
    """(n,) squared distance of each row to its `k`-th nearest other one."""
    radii = np.empty(len(rows))
    for block, found in squared_distances(rows, rows):
        found[np.arange(len(found)), np.arange(block.start, block.stop)] = np.inf  # itself
        radii[block] = np.partition(found, k - 1, axis=1)[:, k - 1]
    return radii


def compare(real: np.ndarray, generated: np.ndarray, k: int = K) -> dict[str, float]:
    """Compares two sets of an extractor's rows by balls around each row.

    A ball reaches the `k`-th nearest neighbor of its center in the same set.

    Args:
        real, generated: (n, d) and (m, d) float64.
        k: number of the neighbor.

    Returns:
        `precision`: share of generated rows in a real ball; `recall`: share of real rows in a
        generated ball (Kynkaanniemi et al., NeurIPS 2019). Both are 1 for equal sets.
        `density`: mean number of real balls that contain a generated row, divided by `k`;
        `coverage`: share of real balls that contain a generated row (Naeem et al., ICML 2020).
        `nearest`: median distance of a generated row to the nearest real one, 0 for copies.

    Raises:
        ValueError: a set has `k` rows or fewer.
    """
    if min(len(real), len(generated)) <= k:
        raise ValueError(
            f"sets of {len(real)} and {len(generated)} images: expected more than {k} in each"
        )
    middle = real.mean(0)  # for precision
    real, generated = real - middle, generated - middle
    slack = 1e-9 * float((real**2).sum(1).mean())  # so that rounding does not separate equal rows
    around_real, around_generated = (
        squared_radii(real, k) + slack,
        squared_radii(generated, k) + slack,
    )
    balls, reached, recalled = np.empty(len(generated)), np.zeros(len(real)), np.zeros(len(real))
    nearest = np.empty(len(generated))
    for block, found in squared_distances(generated, real):
        inside = found <= around_real
        balls[block] = inside.sum(1)
        reached += inside.sum(0)
        recalled += (found <= around_generated[block, None]).sum(0)
        nearest[block] = found.min(1)
    return {
        "precision": float((balls > 0).mean()),
        "recall": float((recalled > 0).mean()),
        "density": float(balls.mean() / k),
        "coverage": float((reached > 0).mean()),
        "nearest": float(np.sqrt(np.median(nearest))),
    }


class Nearest:
    """Finds the `k` nearest of many rows to each of a few; the many are added in parts.

    indices: (few, k) indices of the nearest rows in the order of adding, nearest first; -1 where
        fewer than `k` were added.
    """

    def __init__(self, few: np.ndarray, k: int = K):
        self.few, self.k, self.added = few, k, 0
        self.distances = np.full((len(few), k), np.inf)
        self.indices = np.full((len(few), k), -1)

    def add(self, rows: np.ndarray) -> None:
        """Adds rows (n, d)."""
        for block, found in squared_distances(rows, self.few):
            numbers = np.arange(self.added + block.start, self.added + block.stop)
            distances = np.concatenate([self.distances, found.T], 1)
            indices = np.concatenate([self.indices, np.tile(numbers, (len(self.few), 1))], 1)
            order = np.argsort(distances, axis=1, kind="stable")[:, : self.k]
            self.distances = np.take_along_axis(distances, order, 1)
            self.indices = np.take_along_axis(indices, order, 1)
        self.added += len(rows)
