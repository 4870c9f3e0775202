"""Glasses and earrings, teeth and tongue."""

import numpy as np

from training.prepare.heads import sdf
from training.prepare.heads.attributes import Attributes
from training.prepare.heads.face import Face
from training.prepare.heads.mesh import Mesh, field_mesh
from training.prepare.heads.strands import Strands


def make_glasses(face: Face, attributes: Attributes, rng) -> tuple[Strands, list[Mesh]]:
    """Frames as tubes, and dark lenses for sunglasses."""
    frames, s, kind = Strands("frame", "glasses"), face.shape, attributes.glasses
    if kind == "none":
        return frames, []
    steps, sides = 64, (1, -1)
    angle = np.linspace(0, 2 * np.pi, steps)
    power = {"round": 2.0, "square": rng.uniform(3.2, 4.2), "sunglasses": rng.uniform(2.2, 3)}[kind]
    wide = s.eye_radius * rng.uniform(1.08, 1.18)
    high = s.eye_radius * (rng.uniform(0.95, 1.08) if kind == "round" else rng.uniform(0.84, 0.98))
    radius = rng.uniform(0.014, 0.024)
    x0 = s.eye_x + 0.01
    front = max(s.eye_z + s.eye_radius + 0.11, s.cheek[2] + s.cheek_radius + 0.02)

    def depth(x):
        return front - 0.27 * (x - 0.1) ** 2

    x = np.sign(np.cos(angle)) * np.abs(np.cos(angle)) ** (2 / power) * wide
    y = np.sign(np.sin(angle)) * np.abs(np.sin(angle)) ** (2 / power) * high
    rim = np.stack([x0 + x, y, depth(x0 + x)], 1)
    t = np.linspace(0, 1, 16)[:, None]
    start = np.array([x0 + wide, 0.06, depth(x0 + wide)])
    end = np.array([s.ear[0] + 0.03, 0.10, -0.40])
    bow = np.array([s.ear[0] + 0.06, 0.08, start[2] - 0.12])
    temple = (1 - t) ** 2 * start + 2 * (1 - t) * t * bow + t**2 * end
    lenses = []
    for side in sides:
        flip = np.array([side, 1, 1])
        frames.add((rim * flip)[None], np.full((1, steps), radius))
        frames.add((temple * flip)[None], np.full((1, 16), radius * 0.9))
        if kind == "sunglasses":
            ring = np.arange(steps - 1)
            fan = np.stack([ring, ring + 1, np.full(steps - 1, steps)], 1)
            middle = np.array([[x0, 0, depth(x0) + 0.03]])
            corners = np.concatenate([rim, middle]) * flip
            lenses.append(Mesh(corners, fan, "lens", "glasses"))
    u = np.linspace(-1, 1, 12)
    arch = 0.03 * (1 - u**2)
    inner = x0 - wide
    bridge = np.stack([u * inner, 0.05 + arch, depth(inner) + arch / 3], 1)
    frames.add(bridge[None], np.full((1, 12), radius))
    return frames, lenses


def make_earrings(face: Face, rng) -> list[Mesh]:
    """A ball or a ring at each ear lobe."""
    s = face.shape
    x, y, z = s.ear[0] + 0.05, s.ear[1] - s.ear_radius * 1.06, -0.36
    if rng.random() < 0.5:
        radius = rng.uniform(0.03, 0.045)

        def field(p):
            return sdf.sphere(p, (x, y, z), radius)
    else:
        radius = rng.uniform(0.08, 0.13)

        def field(p):
            return sdf.ring(p[..., [1, 0, 2]], (y - radius, x, z), (radius, radius), (0.016, 0.016))

    low, high = np.array([x, y, z]) - 0.35, np.array([x, y, z]) + 0.25
    mesh = field_mesh(field, low, high, 0.01, "metal", "earrings", half=False)
    other = Mesh(mesh.vertices * [-1, 1, 1], mesh.triangles[:, ::-1], "metal", "earrings")
    return [mesh, other]


def make_mouth(face: Face) -> list[Mesh]:
    """Teeth and tongue of an open mouth."""
    s = face.shape
    if sum(s.mouth_gap) <= 0.02:
        return []
    grin = s.mouth_curve > 0.3
    height = min(s.teeth * sum(s.mouth_gap), 0.17 * s.teeth) if grin else 0.05

    def teeth(p):
        x = np.abs(p[..., 0])
        upper, _, _ = face.mouth_edges(np.minimum(x, s.mouth_width))
        z = face.mouth_depth(x) - 0.07 - 0.6 * x**2
        wall = sdf.smooth_intersection(
            np.abs(p[..., 2] - z) - 0.03, p[..., 1] - upper - 0.06, 0.012
        )
        ends = sdf.smooth_intersection(upper - height - p[..., 1], x - s.mouth_width * 1.02, 0.012)
        return sdf.smooth_intersection(wall, ends, 0.012)

    y, z = s.mouth_y, face.mouth[2]
    low, high = (-0.45, y - 0.35, -0.2), (0.45, y + 0.3, 0.55)
    meshes = [field_mesh(teeth, low, high, 0.01, "teeth", "mouth")]
    tongue_y = y - s.mouth_gap[1] + 0.012

    def tongue(p):
        return sdf.ellipsoid(p, (0, tongue_y, z - 0.19), (0.15, 0.055, 0.14))

    low, high = (-0.3, tongue_y - 0.2, z - 0.5), (0.3, tongue_y + 0.2, z + 0.1)
    return [*meshes, field_mesh(tongue, low, high, 0.014, "tongue", "mouth")]
