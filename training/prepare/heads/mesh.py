"""Turns a signed distance field into a triangle mesh (needs scikit-image)."""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import minimum_filter
from skimage.measure import marching_cubes

COARSE = 4  # fine cells along a coarse one
CHUNK = 400_000


@dataclass
class Mesh:
    """Vertices (N, 3), triangles (M, 3), a color for every vertex or none, names of its look.

    `material` names the material, `part` the class of the mask.
    """

    vertices: np.ndarray
    triangles: np.ndarray
    material: str
    part: str
    colors: np.ndarray | None = None


def polygonize(field, low, high, cell, half=True):
    """Vertices and triangles of the surface where a field is zero.

    Args:
        field: Function of points (..., 3) float32 -> distances.
        low, high: Corners of the box that holds the surface.
        cell: Side of a cell, in head units.
        half: Sample x >= 0 only and mirror it; the field must be symmetric.

    Returns:
        (vertices (N, 3), triangles (M, 3)).
    """
    low, high = np.array(low, float), np.array(high, float)
    if half:
        low[0] = -2 * cell
    counts = np.ceil((high - low) / (cell * COARSE)).astype(int) + 1
    axes = [low[i] + np.arange(counts[i]) * cell * COARSE for i in range(3)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), -1).astype(np.float32)
    coarse = np.stack([field(plane) for plane in grid])
    near = minimum_filter(np.abs(coarse), 3) < cell * COARSE * 1.5
    fine = (counts - 1) * COARSE + 1

    def refine(values):
        for axis in range(3):
            values = np.repeat(values, COARSE, axis)
        return values[: fine[0], : fine[1], : fine[2]]

    values, near = refine(coarse).copy(), refine(near)
    cells = np.argwhere(near)
    exact = np.empty(len(cells), np.float32)
    for start in range(0, len(cells), CHUNK):
        part = slice(start, start + CHUNK)
        exact[part] = field((low + cells[part] * cell).astype(np.float32))
    values[near] = exact
    vertices, triangles, _, _ = marching_cubes(values, 0.0)
    vertices = low + vertices * cell
    return mirror(vertices, triangles) if half else (vertices, triangles)


def mirror(vertices, triangles):
    """Cuts a mesh at x = 0, and adds its mirror image."""
    triangles = triangles[(vertices[triangles][:, :, 0] > 1e-6).any(1)]
    vertices[:, 0] = np.maximum(vertices[:, 0], 0)
    count, middle = len(vertices), vertices[:, 0] < 1e-9
    partner = np.where(middle, np.arange(count), np.arange(count) + count)
    triangles = np.vstack([triangles, partner[triangles[:, ::-1]]])
    vertices = np.vstack([vertices, vertices * [-1, 1, 1]])
    used, triangles = np.unique(triangles, return_inverse=True)
    vertices, triangles = vertices[used], triangles.reshape(-1, 3)
    a, b, c = triangles.T
    return vertices, triangles[(a != b) & (b != c) & (a != c)]


def field_mesh(field, low, high, cell, material, part, half=True, colors=None):
    """The mesh of a field, with the names of its look."""
    vertices, triangles = polygonize(field, low, high, cell, half)
    return Mesh(vertices, triangles, material, part, colors)


def merge(meshes):
    """One mesh of several that look alike."""
    offsets = np.cumsum([0] + [len(m.vertices) for m in meshes[:-1]])
    return Mesh(
        np.vstack([m.vertices for m in meshes]),
        np.vstack([m.triangles + o for m, o in zip(meshes, offsets, strict=True)]),
        meshes[0].material,
        meshes[0].part,
    )
