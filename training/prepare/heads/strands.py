"""Hair as polylines: grown over a surface along a flow, clumped and curled (needs SciPy)."""

from dataclasses import dataclass, field

import numpy as np
from scipy.spatial import cKDTree

from training.prepare.heads.sdf import smooth_step


@dataclass
class Strands:
    """Groups of polylines (n, T, 3) with radii (n, T) that share a look."""

    material: str
    part: str
    lines: list[np.ndarray] = field(default_factory=list)
    radii: list[np.ndarray] = field(default_factory=list)

    def add(self, lines, radii):
        self.lines.append(np.ascontiguousarray(lines, dtype=float))
        self.radii.append(np.ascontiguousarray(radii, dtype=float))


def unit(v):
    return v / np.maximum(np.linalg.norm(v, axis=-1, keepdims=True), 1e-9)


class Surface:
    """A triangle mesh to sample roots from and to keep strands out of."""

    def __init__(self, vertices, triangles):
        self.vertices, self.triangles = vertices, triangles
        a, b, c = (vertices[triangles[:, i]] for i in range(3))
        normals = np.cross(b - a, c - a)
        self.areas = np.linalg.norm(normals, axis=1) / 2
        count = len(vertices)
        sums = [
            sum(np.bincount(triangles[:, i], normals[:, k], count) for i in range(3))
            for k in range(3)
        ]
        self.normals = unit(np.stack(sums, 1))
        self._points, self._normals = vertices[::4], self.normals[::4]
        self._tree = cKDTree(self._points)

    def distance(self, points):
        """Signed distances (N,) and outward normals (N, 3) of points (N, 3)."""
        away, near = self._tree.query(points, k=3)
        weights = 1 / (away + 1e-3)
        weights = (weights / weights.sum(1, keepdims=True))[..., None]
        normals = unit((self._normals[near] * weights).sum(1))
        origin = (self._points[near] * weights).sum(1)
        return ((points - origin) * normals).sum(1), normals

    def sample(self, rng, count, density):
        """Random points and normals where the density of the vertices is high."""
        weights = self.areas * density[self.triangles].mean(1)
        chosen = self.triangles[rng.choice(len(weights), count, p=weights / weights.sum())]
        u, v = rng.random(count), rng.random(count)
        over = u + v > 1
        u[over], v[over] = 1 - u[over], 1 - v[over]
        shares = np.stack([1 - u - v, u, v], 1)[..., None]
        return (
            (self.vertices[chosen] * shares).sum(1),
            unit((self.normals[chosen] * shares).sum(1)),
        )


class Noise:
    """Smooth vector noise of amplitude one: a sum of sines."""

    def __init__(self, rng, frequency=3.0, waves=6):
        self.waves = rng.normal(0, frequency, (waves, 3))
        self.phases = rng.uniform(0, 2 * np.pi, waves)
        self.axes = unit(rng.normal(0, 1, (waves, 3)))

    def __call__(self, points):
        return np.sin(points @ self.waves.T + self.phases) @ self.axes / len(self.waves) ** 0.5


@dataclass
class Growth:
    """How strands grow.

    Args:
        steps: Segments of a strand.
        flow: (points, normals, share of the length) -> direction (N, 3).
        gravity: Pull down at every step.
        lift: (N,) how far roots stand up.
        layer: (N,) distance that strands keep from the surface.
        inertia: Share of the direction that a step keeps.
    """

    steps: int
    flow: object
    gravity: float
    lift: np.ndarray
    layer: np.ndarray
    inertia: float = 0.5


def grow(surface: Surface, roots, normals, lengths, growth: Growth):
    """Strands (N, steps + 1, 3) from roots over a surface, none of them inside it."""
    p, lift = roots.copy(), growth.lift
    direction = unit(normals * lift[:, None] + growth.flow(p, normals, 0.0))
    points, step = [p], (lengths / growth.steps)[:, None]
    for index in range(growth.steps):
        share = index / growth.steps
        _, n = surface.distance(p)
        flow = growth.flow(p, n, share)
        flow = flow - n * (flow * n).sum(1, keepdims=True) * 0.7
        direction = direction * growth.inertia + flow * (1 - growth.inertia)
        direction[:, 1] -= growth.gravity * min(1, share * 2)
        direction = unit(direction + n * (lift * (1 - share) ** 2)[:, None] * 0.3)
        q = p + direction * step
        away, n = surface.distance(q)
        keep = growth.layer * smooth_step((share + 1 / growth.steps) * 3.5)
        q = q + n * np.maximum(keep - away, 0)[:, None]
        direction, p = unit(q - p), q
        points.append(p)
    return np.stack(points, 1)


def clump(strands, roots, count, amount, rng, power=0.7, spread=0.3):
    """Draws strands towards `count` of them, more so at the tips; also the clump of each."""
    centers = rng.choice(len(strands), min(count, len(strands)), replace=False)
    _, group = cKDTree(roots[centers]).query(roots)
    share = np.linspace(0, 1, strands.shape[1])[None, :, None] ** power
    offset = (roots - roots[centers][group])[:, None]
    target = strands[centers][group] + offset * (1 - share * (1 - spread))
    return strands * (1 - amount * share) + target * amount * share, group


def sideways(strands):
    """Two unit fields across every strand."""
    along = unit(np.gradient(strands, axis=1))
    a = unit(np.cross(along, np.array([0.3, 0.2, 0.93])))
    return a, np.cross(along, a)


def curl(strands, group, amplitude, frequency, rng, lengths, flat=1.0):
    """Winds strands around themselves, all of a clump alike; `flat` below 1 makes waves of it."""
    a, b = sideways(strands)
    count = group.max() + 1
    phase = rng.uniform(0, 2 * np.pi, count)[group] + rng.normal(0, 0.3, len(group))
    sign = rng.choice([-1, 1], count)[group]
    t = np.linspace(0, 1, strands.shape[1])
    angle = (sign * lengths * frequency * 2 * np.pi)[:, None] * t + phase[:, None]
    grown = smooth_step(t * 4)[None, :, None] * amplitude
    return strands + grown * (a * np.cos(angle)[..., None] + flat * b * np.sin(angle)[..., None])


def taper(count, steps, radius, tip=0.15):
    """Radii (count, steps) that thin out to `tip` of the radius."""
    t = np.linspace(0, 1, steps)
    return np.tile(radius * (1 - (1 - tip) * t**2.2), (count, 1))


def multiply(strands, normals, copies, spread, rng):
    """The strands and `copies` - 1 copies of each beside it, closer together at the tips."""
    count, steps, _ = strands.shape
    closing = np.linspace(1, 0.55, steps)[None, :, None]
    groups = [strands]
    for _ in range(copies - 1):
        offset = rng.normal(0, spread, (count, 3))
        offset -= normals * (offset * normals).sum(1, keepdims=True) * 0.8
        shift = rng.normal(0, 0.3 * spread, (count, 1, 3))
        groups.append(strands + offset[:, None] * closing + shift)
    return groups


def cut_below(strands, height):
    """Cuts strands where they first fall below a height (N,), keeping their number of points."""
    count, steps, _ = strands.shape
    below = strands[..., 1] < np.asarray(height)[:, None]
    first = np.where(below.any(1), below.argmax(1), steps - 1).astype(float)
    t = np.clip(np.linspace(0, 1, steps)[None] * first[:, None], 0, steps - 1)
    low = np.minimum(t.astype(int), steps - 2)
    share = (t - low)[..., None]
    rows = np.arange(count)[:, None]
    return strands[rows, low] * (1 - share) + strands[rows, low + 1] * share
