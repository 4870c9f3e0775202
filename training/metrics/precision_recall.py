"""Distances between the rows of two sets: precision, recall, nearest neighbours.

Distances are taken in blocks of rows, so that memory grows with the sets and not with their square.
"""

from collections.abc import Iterator

import numpy as np

K = 3  # neighbours that a ball reaches, as in the paper
BLOCK = 1024  # rows that are compared at a time with all of another set


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


def compare(real: np.ndarray, drawn: np.ndarray, k: int = K) -> dict[str, float]:
    """How two sets of an extractor's rows, (n, d) and (m, d), lie about each other.

    A ball about each row reaches its `k`-th nearest neighbour in its own set.

    - `precision`: the share of drawn rows in a ball of a real one; `recall`: the share of real rows
      in a ball of a drawn one (Kynkaanniemi et al., NeurIPS 2019). Both 1 for equal sets.
    - `density`: the number of balls of real rows that a drawn one lies in, over `k`, on average;
      `coverage`: the share of real balls with a drawn row in it (Naeem et al., ICML 2020).
    - `nearest`: the median distance of a drawn row to the nearest real one; 0 for copies.

    Raises ValueError for a set of `k` rows or fewer.
    """
    if min(len(real), len(drawn)) <= k:
        raise ValueError(
            f"sets of {len(real)} and {len(drawn)} pictures: expected more than {k} in each"
        )
    middle = real.mean(0)  # what all have in common would only cost digits
    real, drawn = real - middle, drawn - middle
    slack = 1e-9 * float((real**2).sum(1).mean())  # so that rounding parts no equal rows
    around_real, around_drawn = squared_radii(real, k) + slack, squared_radii(drawn, k) + slack
    balls, reached, recalled = np.empty(len(drawn)), np.zeros(len(real)), np.zeros(len(real))
    nearest = np.empty(len(drawn))
    for block, found in squared_distances(drawn, real):
        inside = found <= around_real
        balls[block] = inside.sum(1)
        reached += inside.sum(0)
        recalled += (found <= around_drawn[block, None]).sum(0)
        nearest[block] = found.min(1)
    return {
        "precision": float((balls > 0).mean()),
        "recall": float((recalled > 0).mean()),
        "density": float(balls.mean() / k),
        "coverage": float((reached > 0).mean()),
        "nearest": float(np.sqrt(np.median(nearest))),
    }


class Nearest:
    """The nearest of many rows to a few, of which the many need not be in memory together.

    places: (few, k) numbers of the nearest rows, in the order in which they were added, the nearest
    first; -1 where fewer than `k` were added.
    """

    def __init__(self, few: np.ndarray, k: int = K):
        self.few, self.k, self.added = few, k, 0
        self.distances = np.full((len(few), k), np.inf)
        self.places = np.full((len(few), k), -1)

    def add(self, rows: np.ndarray) -> None:
        """Rows (n, d) that come after those added before."""
        for block, found in squared_distances(rows, self.few):
            numbers = np.arange(self.added + block.start, self.added + block.stop)
            distances = np.concatenate([self.distances, found.T], 1)
            places = np.concatenate([self.places, np.tile(numbers, (len(self.few), 1))], 1)
            order = np.argsort(distances, axis=1, kind="stable")[:, : self.k]
            self.distances = np.take_along_axis(distances, order, 1)
            self.places = np.take_along_axis(places, order, 1)
        self.added += len(rows)
