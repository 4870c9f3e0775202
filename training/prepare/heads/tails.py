"""Hair behind a tie: buns, tails and braids."""

import numpy as np

from training.prepare.heads import strands as st
from training.prepare.heads.strands import unit

HEAD_CENTER = np.array([0, 0.25, -0.45])


def add_bun(hair, anchor, rng):
    """A ball of wound hair."""
    radius, count, steps = rng.uniform(0.24, 0.36), 2600, 24
    axis = unit(anchor - HEAD_CENTER)
    a = unit(np.cross(axis, [1, 0.1, 0.2]))
    b = np.cross(axis, a)
    turn = np.linspace(0, 4.2, steps)[None]
    phase, start = rng.uniform(0, 2 * np.pi, (2, count, 1))
    tilt = rng.normal(0, 0.5, (count, 1))
    high = np.clip(0.9 * np.sin(tilt) * np.cos(0.5 * turn + phase), -0.95, 0.95)
    flat = np.sqrt(1 - high**2)
    angle = start + turn
    ball = (
        a * (flat * np.cos(angle))[..., None]
        + b * (flat * np.sin(angle))[..., None]
        + axis * high[..., None]
    )
    size = radius * (0.85 + 0.17 * rng.random((count, 1, 1)))
    hair.add(ball * size + anchor + axis * radius * 0.55, st.taper(count, steps, 0.0072, 0.6))


def add_tail(hair, anchor, side, surface, attributes, rng):
    """A tail that leaves the head, bends and falls; straight, wavy or curled like the hair."""
    count, steps = (2200, 24) if side else (3500, 24)
    out = unit(anchor - HEAD_CENTER)
    p = anchor + rng.normal(0, 0.045, (count, 3))
    direction = np.tile(out * 0.8 + [0, 0.45, 0.1], (count, 1)) + rng.normal(0, 0.14, (count, 3))
    lengths = rng.uniform(0.8, 1.5) * (0.85 + 0.2 * rng.random(count))
    sway = 0 if side else rng.choice([-1, 1]) * 1.2
    spread, points = rng.normal(0, 0.05, (count, 3)), [p]
    for index in range(steps - 1):
        share = index / steps
        pull = np.array([sway * 0.1 * (index < 12), -0.22, 0.03])
        direction = unit(direction + pull + spread * (1 - share))
        p = p + direction * (lengths / steps)[:, None]
        away, normal = surface.distance(p)
        p = p + normal * np.maximum(0.06 - away, 0)[:, None]
        points.append(p)
    lines = np.stack(points, 1)
    lines, group = st.clump(lines, lines[:, 3], 40, 0.5, rng)
    kind = attributes.hair_kind
    size, turns, flat = {
        "straight": (0, 0, 0),
        "wavy": (0.035, 1.6, 0.4),
        "curly": (0.055, 3.2, 1),
        "coily": (0.05, 5.5, 1),
    }[kind]
    if size:
        lines = st.curl(lines, group, size, turns, rng, lengths, flat)
    hair.add(lines, st.taper(count, steps, 0.0095, 0.35))


def add_braid(hair, anchor, side, surface, rng):
    """Three strands laid over each other, in front of the shoulder, with a loose end."""
    steps, hairs = 90, 55
    length = rng.uniform(1.0, 1.4)
    t = np.linspace(0, 1, steps)
    path = anchor + np.stack(
        [side * (0.05 * np.sin(np.pi * t) - 0.12 * t), -length * t, 0.75 * t**1.2], 1
    )
    for _ in range(3):
        away, normal = surface.distance(path)
        path = path + normal * np.maximum(0.14 - away, 0)[:, None]
    kernel = np.ones(9) / 9
    padded = np.pad(path, ((4, 4), (0, 0)), mode="edge")
    path = np.stack([np.convolve(padded[:, i], kernel, "valid") for i in range(3)], 1)
    along = unit(np.gradient(path, axis=0))
    forward = unit(np.cross(along, [1, 0, 0]))
    across = np.cross(along, forward)
    turns = 2 * np.pi * length * 3.2
    width = rng.uniform(0.055, 0.07) * (1 - 0.45 * t**2)
    for strand in range(3):
        phase = turns * t + strand * 2 * np.pi / 3
        center = path + across * (1.15 * width * np.sin(phase))[:, None]
        center = center + forward * (0.6 * width * np.sin(2 * phase))[:, None]
        angle = rng.uniform(0, 2 * np.pi, (hairs, 1)) + 2.5 * turns * t[None] / 6
        size = np.sqrt(rng.random((hairs, 1))) * width * 0.72
        lines = center + across * (size * np.cos(angle))[..., None]
        lines = lines + forward * (size * np.sin(angle))[..., None]
        hair.add(lines, np.full((hairs, steps), 0.0095))
    end, count = path[-1], 160
    direction = unit(along[-1] + rng.normal(0, 0.16, (count, 3)))
    s = np.linspace(0, 0.22, 6)[None, :, None]
    tuft = end + rng.normal(0, 0.016, (count, 1, 3)) + direction[:, None] * s
    hair.add(tuft, st.taper(count, 6, 0.008, 0.3))
