"""Eyebrows, lashes and beards."""

import numpy as np

from training.prepare.heads import sdf
from training.prepare.heads import strands as st
from training.prepare.heads.attributes import Attributes
from training.prepare.heads.brows import Brow
from training.prepare.heads.face import Face
from training.prepare.heads.paint import Skin
from training.prepare.heads.sdf import smooth_step
from training.prepare.heads.strands import Growth, Strands, Surface, unit

BEARD_ROOTS = {"stubble": 5600, "full": 2600, "goatee": 1300, "moustache": 1000, "long": 3000}
BEARD_LENGTH = {"stubble": 0.02, "full": 0.14, "goatee": 0.14, "moustache": 0.13, "long": 0.42}
SIDES = np.array([1, -1])


def brow_strands(face: Face, brow: Brow, rng) -> Strands:
    """Short hairs along both brows, leaning outwards."""
    strands, count = Strands("brow", "brows"), 560
    t, across = rng.random(count) ** 0.9, rng.uniform(-1, 1, count)
    x, y = brow.center(t)
    y = y + across * brow.half_width(t)
    roots = np.stack([x, y, face.depth_at(x, y)], 1)
    normals = sdf.gradient(face.skin, roots)
    direction = np.stack([np.ones(count), 0.35 - t - 0.5 * across, np.zeros(count)], 1)
    points = [roots - normals * 0.004]
    for share in np.linspace(0.2, 1, 5):
        back = np.array([0, 0, 0.16]) * (0.1 * share) ** 1.5
        rise = normals * (0.02 * np.sin(share * 2.2))
        points.append(roots + unit(direction) * 0.1 * share + rise - back)
    lines = np.stack(points, 1)
    for side in SIDES:
        strands.add(lines * [side, 1, 1], st.taper(count, 6, 0.006, 0.3))
    return strands


def lash_strands(face: Face, attributes: Attributes, rng) -> Strands:
    """A soft line along the upper lid, and a fringe of thin lashes: full or sparse."""
    s, strands = face.shape, Strands("lash", "eyes")
    radius = s.eye_radius + s.lid * 0.55
    full, child = attributes.lashes, attributes.age == "child"
    steps = 40
    side = np.linspace(-0.93, 0.97, steps) * s.lid_width
    upper, _ = face.lid_edges(side)
    line = face.lid_point(side, upper, radius)
    thick = (0.012 if full else 0.008) * np.sqrt(
        np.clip(1 - np.linspace(-1, 1, steps) ** 2, 0.02, 1)
    )
    count = 44 if full else 24
    side = np.sort(rng.uniform(-0.75, 0.96, count)) * s.lid_width
    upper, _ = face.lid_edges(side)
    roots = face.lid_point(side, upper, radius)
    out = unit(roots - face.eye)
    place = ((side / s.lid_width + 0.75) / 1.71)[:, None]
    direction = unit(
        0.8 * out
        + 0.4 * face.eye_up
        + face.eye_right * (place - 0.35) * 1.0
        + rng.normal(0, 0.07, (count, 3))
    )
    length = (0.035 + 0.05 * place) * (1.0 if full else 0.5) * (0.8 if child else 1.0)
    t = np.linspace(0, 1, 7)[None, :, None]
    lashes = roots[:, None] + direction[:, None] * t * length[:, None]
    lashes = lashes + 0.45 * face.eye_up * t**2 * length[:, None]
    for side in SIDES:
        flip = np.array([side, 1, 1])
        strands.add(line[None] * flip, (thick * np.linspace(0.6, 1.2, steps))[None])
        strands.add(lashes * flip, st.taper(count, 7, 0.0054 if full else 0.0046, 0.05))
    return strands


def beard_strands(face: Face, attributes: Attributes, surface: Surface, skin: Skin, rng) -> Strands:
    """The beard; empty for `none`."""
    strands, kind, s = Strands("beard", "beard"), attributes.beard, face.shape
    if kind == "none" or skin.beard.max() <= 0:
        return strands
    count, stubble = BEARD_ROOTS[kind], kind == "stubble"
    roots, normals = surface.sample(rng, count, skin.beard**2)
    lengths = BEARD_LENGTH[kind] * (0.7 + 0.5 * rng.random(count))
    if kind == "long":
        lengths *= 0.35 + 0.65 * smooth_step((s.mouth_y + 0.05 - roots[:, 1]) / 0.3)
    lip = (roots[:, 1] > s.mouth_y) & (np.abs(roots[:, 0]) < s.mouth_width * 1.3)
    lengths[lip] = np.minimum(lengths[lip], 0.085)

    def flow(p, n, t):
        across = np.stack([1.6 * np.sign(p[:, 0]), np.full(count, -0.35), np.zeros(count)], 1)
        return unit(np.where(lip[:, None], across, np.array([0, -1, 0.15]) + p * [0.3, 0, 0]))

    lift, layer = np.full(count, 1.2 if stubble else 0.7), np.full(count, 0.0 if stubble else 0.02)
    lines = st.grow(surface, roots, normals, lengths, Growth(8, flow, 0.1, lift, layer, 0.4))
    if stubble:
        strands.add(lines, st.taper(count, 9, 0.0026))
        return strands
    lines, _ = st.clump(lines, roots, 170, 0.5, rng)
    for group in st.multiply(lines, normals, 4, 0.014, rng):
        strands.add(group, st.taper(count, 9, 0.0058))
    return strands
