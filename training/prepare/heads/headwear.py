"""Hats and headscarves as signed distance fields over the skull."""

import numpy as np

from training.prepare.heads import sdf
from training.prepare.heads.attributes import Attributes
from training.prepare.heads.face import Face
from training.prepare.heads.mesh import Mesh, field_mesh
from training.prepare.heads.sdf import smooth_cut, smooth_step, smooth_union
from training.prepare.heads.strands import Strands, taper, unit

COVERS_ALL = ("hijab", "turban")
CELL = 0.02


class Hatter:
    """Makes the headwear of one head; `inside` keeps hair under it."""

    def __init__(self, face: Face, attributes: Attributes, rng):
        self.face, self.attributes, self.rng = face, attributes, rng
        s = face.shape
        self.center = np.array([0, s.skull_y, -0.44])
        self.radii = np.array(s.skull)
        self.front = {"cap": 0.60, "beanie": 0.62, "brim_hat": 0.60}.get(attributes.headwear, 0.64)
        self.front += rng.uniform(-0.04, 0.05)
        self.slope = {"cap": 0.10, "beanie": 0.22, "brim_hat": 0.12}.get(attributes.headwear, 0.36)
        if attributes.headwear == "headscarf":
            self.front, self.slope = self.front - 0.02, 0.6

    def mesh(self, field, material="hat", half=True, cell=CELL) -> Mesh:
        low, high = (-1.75, -2.0, -2.2), (1.75, 1.75, 1.4)
        return field_mesh(field, low, high, cell, material, "headwear", half)

    def dome(self, p, thickness, squash=1.0):
        """The skull, thicker by the headwear; `squash` stretches it upwards."""
        radii = self.radii + thickness
        radii[1] *= squash
        return sdf.ellipsoid(p, self.center, radii)

    def line(self, p):
        """Above 0 over the plane of the hat's edge, which falls to the back."""
        return p[..., 1] - self.front - self.slope * (p[..., 2] - 0.3)

    def hollow(self, p, outer, edge=0.03):
        """A shell open below the hat's edge."""
        d = sdf.smooth_intersection(outer, -self.line(p), edge)
        return smooth_cut(d, self.dome(p, 0.012), 0.02)

    # ------------------------------------------------------------------ kinds

    def cap(self):
        shape = self.rng.uniform(1.0, 1.06)
        width, reach = self.rng.uniform(0.56, 0.64), self.rng.uniform(0.42, 0.55)
        front = self.front

        def crown(p):
            return self.hollow(p, self.dome(p, 0.075, shape))

        def brim(p):
            q = sdf.mirrored(p, 0.0005)
            x, z = q[..., 0], q[..., 2]
            y = q[..., 1] - front - 0.02 + 0.22 * x**2 + 0.16 * (z - 0.38)
            flat = np.stack([x / width, (z - 0.30) / (reach + 0.08)], -1)
            plate = np.maximum((sdf.length(flat) - 1) * 0.5, np.abs(y) - 0.022)
            return np.maximum(plate, 0.18 - z)

        def button(p):
            return sdf.sphere(
                p, self.center + np.array([0, (self.radii[1] + 0.075) * shape, 0]), 0.045
            )

        return [
            self.mesh(lambda p: smooth_union(crown(p), button(p), 0.02)),
            self.mesh(brim, "trim_hat", cell=0.014),
        ]

    def beanie(self):
        tall = self.rng.uniform(1.03, 1.2)

        def body(p):
            return self.hollow(p, self.dome(p, 0.085, tall))

        def cuff(p):
            line = self.line(p)
            band = np.maximum(self.dome(p, 0.15), np.abs(line - 0.11) - 0.14)
            return smooth_cut(band + 0.03, self.dome(p, 0.02), 0.01) - 0.03

        return [self.mesh(body), self.mesh(cuff, "trim_hat")]

    def pompon(self) -> Strands:
        """A ball of wool on a beanie, for every other one."""
        wool = Strands("wool", "headwear")
        if self.attributes.headwear != "beanie" or self.rng.random() < 0.5:
            return wool
        center = self.center + np.array([0, self.radii[1] * 1.2 + 0.12, -0.1])
        out = unit(self.rng.normal(0, 1, (1500, 3)))
        t = np.linspace(0, 1, 5)[None, :, None]
        lines = center + out[:, None] * t * self.rng.uniform(0.17, 0.22, (1500, 1, 1))
        wool.add(lines + 0.02 * t * self.rng.normal(0, 1, (1500, 1, 3)), taper(1500, 5, 0.011, 0.5))
        return wool

    def brim_hat(self):
        tall, reach = self.rng.uniform(1.0, 1.1), self.rng.uniform(0.42, 0.62)
        curve = self.rng.uniform(-0.08, 0.2)
        z0 = -0.44

        def crown(p):
            top = np.abs(p[..., 1] - self.center[1]) - (self.radii[1] * tall + 0.02)
            outer = sdf.smooth_intersection(self.dome(p, 0.11, 1.25 * tall), top, 0.16)
            dent = sdf.cone(
                sdf.mirrored(p),
                (0, self.center[1] + self.radii[1] * tall + 0.09, -0.9),
                (0, self.center[1] + self.radii[1] * tall + 0.04, 0.2),
                0.12,
                0.1,
            )
            return self.hollow(p, smooth_cut(outer, dent, 0.1))

        def brim(p):
            line = self.line(p)
            flat = np.stack([p[..., 0] / self.radii[0], (p[..., 2] - z0) / self.radii[2]], -1)
            away = sdf.length(flat)
            rise = line - 0.03 + curve * np.maximum(away - 1, 0) ** 2 * 1.6
            plate = np.maximum((away - 1 - reach) * 0.7, np.abs(rise) - 0.022)
            return smooth_cut(plate, self.dome(p, 0.0), 0.02)

        def band(p):
            wall = self.dome(p, 0.125, 1.25 * tall)
            return np.maximum(self.hollow(p, wall), np.abs(self.line(p) - 0.12) - 0.085)

        return [
            self.mesh(lambda p: smooth_union(crown(p), brim(p), 0.03)),
            self.mesh(band, "trim_hat"),
        ]

    def headscarf(self):
        """A cloth over the top and the back of the head, tied at the nape."""

        def field(p):
            fold = 0.012 * np.sin(9 * p[..., 1] + 5 * p[..., 2])
            cloth = self.hollow(p, self.dome(p, 0.075) + fold)
            knot = sdf.ellipsoid(p, (0, -0.28, -1.3), (0.16, 0.1, 0.12))
            return smooth_union(cloth, knot, 0.05)

        return [self.mesh(field)]

    def hijab(self):
        """A cloth around the face, over head, neck and shoulders."""
        s, face = self.face.shape, self.face
        chin = s.chin[1] - s.chin_radius
        width = max(s.face[0], s.cheek[0] + s.cheek_radius) - 0.02
        top, bottom = self.rng.uniform(0.66, 0.76), chin + 0.02
        phase = self.rng.uniform(0, 6)

        def field(p):
            q = sdf.mirrored(p)
            d = sdf.ellipsoid(q, self.center, self.radii + 0.1)
            side = sdf.cone(q, (0, -0.2, -0.35), (0, chin - 0.1, -0.4), 0.80, 0.58)
            ear = sdf.sphere(q, (0.92 * s.ear[0], s.ear[1], -0.46), s.ear_radius + 0.06)
            d = smooth_union(smooth_union(d, side, 0.2), ear, 0.2)
            drape = sdf.cone(q, (0, chin - 0.1, -0.45), (0, s.shoulder_y - 0.1, -0.6), 0.55, 0.9)
            d = smooth_union(d, drape, 0.2)
            d = smooth_union(d, face.body(p) - 0.07, 0.15)
            middle, half = (top + bottom) / 2, (top - bottom) / 2
            opening = np.stack([q[..., 0] / width, (q[..., 1] - middle) / half], -1)
            cut = np.maximum((sdf.length(opening) - 1) * 0.6, -0.35 - q[..., 2])
            fold = 0.018 * np.sin(14 * (p[..., 1] + 0.5 * p[..., 0] ** 2) + phase)
            fold = fold * smooth_step((-0.7 - p[..., 1]) / 0.3)
            return smooth_cut(d + fold, cut, 0.06)

        return [self.mesh(field)]

    def turban(self):
        """Wound cloth: bands that cross over the forehead."""
        turns = self.rng.uniform(5, 7)

        def field(p):
            q = sdf.mirrored(p, 0.0008)
            line = self.line(p)
            wrap = turns * (q[..., 1] * 2.2 + 1.0 * q[..., 0] - 0.2 * q[..., 2])
            fold = np.abs(np.sin(wrap)) ** 0.7
            bulge = 0.10 + 0.07 * smooth_step(line / 0.35)
            outer = self.dome(p, 0.1, 1.08) - bulge * 0.6 - 0.03 * fold
            return self.hollow(p, outer, 0.08)

        return [self.mesh(field)]

    # ------------------------------------------------------------------ hair under it

    def press(self, strands: Strands):
        """Keeps the strands over the hat's edge inside the hat."""
        for lines in strands.lines:
            height = smooth_step((self.line(lines) + 0.04) / 0.12)[..., None]
            d = (lines - self.center) / (self.radii + 0.005)
            away = np.maximum(np.linalg.norm(d, axis=-1, keepdims=True), 1e-6)
            target = self.center + (lines - self.center) * np.minimum(1, 1 / away)
            lines += (target - lines) * height


def make_headwear(face: Face, attributes: Attributes, rng):
    """The hatter of a head, its meshes and its wool; (None, [], none) for a bare head."""
    if attributes.headwear == "none":
        return None, [], Strands("wool", "headwear")
    hatter = Hatter(face, attributes, rng)
    return hatter, getattr(hatter, attributes.headwear)(), hatter.pompon()
