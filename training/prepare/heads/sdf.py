"""Signed distance functions: negative inside, in head units, for points (..., 3)."""

import numpy as np


def length(v):
    return np.sqrt((v * v).sum(-1))


def smooth_step(x):
    """0 below 0, 1 above 1, 3x² - 2x³ between."""
    x = np.clip(x, 0, 1)
    return x * x * (3 - 2 * x)


def smooth_union(a, b, width):
    """min(a, b), blended where they differ by less than `width`."""
    h = np.clip(0.5 + 0.5 * (b - a) / width, 0, 1)
    return b * (1 - h) + a * h - width * h * (1 - h)


def smooth_intersection(a, b, width):
    """max(a, b), blended where they differ by less than `width`."""
    return -smooth_union(-a, -b, width)


def smooth_cut(a, b, width):
    """`a` without `b`."""
    return smooth_intersection(a, -b, width)


def sphere(p, center, radius):
    return length(p - np.asarray(center, np.float32)) - radius


def ellipsoid(p, center, radii):
    """Near distance to an ellipsoid; exact on its surface only."""
    radii = np.asarray(radii, np.float32)
    q = p - np.asarray(center, np.float32)
    k0, k1 = length(q / radii), length(q / (radii * radii))
    return k0 * (k0 - 1) / np.maximum(k1, 1e-6)


def cone(p, start, end, start_radius, end_radius):
    """Capsule from `start` to `end` whose radius changes evenly."""
    start, end = np.asarray(start, np.float32), np.asarray(end, np.float32)
    along = end - start
    h = np.clip(((p - start) @ along) / (along @ along), 0, 1)
    return length(p - start - h[..., None] * along) - (start_radius * (1 - h) + end_radius * h)


def ring(p, center, radii, thickness):
    """Tube around an ellipse in the x-z plane; radii (x, z), thickness (radial, vertical)."""
    q = p - np.asarray(center, np.float32)
    flat = q[..., [0, 2]] / np.asarray(radii, np.float32)
    around = (length(flat) - 1) * float(np.mean(radii))
    tube = np.stack([around / thickness[0], q[..., 1] / thickness[1]], -1)
    return (length(tube) - 1) * min(thickness)


def mirrored(p, rounding=0.0):
    """Points with x -> |x|; `rounding` keeps what is built from them smooth at the middle."""
    x = np.sqrt(p[..., :1] ** 2 + rounding) if rounding else np.abs(p[..., :1])
    return np.concatenate([x, p[..., 1:]], -1)


def gradient(f, p, step=0.006):
    """Unit normals of the field `f` at points (N, 3)."""
    axes = np.eye(3) * step
    g = np.stack([f((p + v).astype(np.float32)) - f((p - v).astype(np.float32)) for v in axes], -1)
    return g / np.maximum(length(g)[..., None], 1e-9)
