"""Clothes as signed distance fields over the shoulders."""

import numpy as np

from training.prepare.heads import sdf
from training.prepare.heads.attributes import Attributes
from training.prepare.heads.face import Face
from training.prepare.heads.mesh import Mesh, field_mesh
from training.prepare.heads.sdf import smooth_cut, smooth_step, smooth_union

CELL = 0.02
THICKNESS = 0.045


class Tailor:
    """Makes the clothes of one head."""

    def __init__(self, face: Face, attributes: Attributes, rng):
        self.face, self.attributes, self.rng = face, attributes, rng
        s = face.shape
        self.y, self.neck = s.shoulder_y, s.neck
        self.base = self._find_base()

    def _find_base(self):
        """Height of the shoulders beside the neck."""
        y = np.linspace(self.y - 0.2, self.y + 0.9, 120)
        points = np.stack([np.full(120, self.neck + 0.13), y, self.neck_z(y)], -1)
        return float(y[np.argmax(self.face.body(points.astype(np.float32)) > 0)])

    def mesh(self, field, material="cloth", half=True, cell=CELL) -> Mesh:
        low, high = (-1.75, self.y - 0.65, -1.6), (1.75, self.base + 0.75, 0.45)
        return field_mesh(field, low, high, cell, material, "clothes", half)

    def neck_z(self, y):
        """z of the middle of the neck at a height."""
        return -0.5 - 0.16 * (-0.55 - y) / (-0.55 - self.y)

    def around(self, p):
        """Distance from the axis of the neck, and how far a point lies in front of it."""
        z = p[..., 2] - self.neck_z(p[..., 1])
        return np.hypot(p[..., 0], z), z

    def collar_line(self, p, height, drop):
        """Above 0 over a collar's edge that is `drop` lower in front than at the back."""
        _, z = self.around(p)
        return p[..., 1] - (self.base + height) + drop * smooth_step((z + 0.35) / 0.8)

    def neckline(self, p, margin, front):
        """Below 0 outside of the neckline: a hole around the neck, wider in front."""
        away, z = self.around(p)
        return self.neck + margin + front * smooth_step(z / 0.5) - away

    def shirt_body(self, thickness=THICKNESS, margin=0.03, front=0.05):
        """The body, thicker by a fabric, but for a hole around the neck."""

        def field(p):
            d = np.maximum(self.face.body(p) - thickness, self.collar_line(p, 0.1, 0.1))
            return sdf.smooth_intersection(d, self.neckline(p, margin, front), 0.03)

        return field

    def tube(self, low, high, radius, thickness, drop=0.1, flare=0.0):
        """A band around the neck between two heights over the collar's base."""

        def field(p):
            away, _ = self.around(p)
            line = self.collar_line(p, 0, drop)
            wall = np.abs(away - radius - flare * (high - line)) - thickness
            middle, half = (low + high) / 2, (high - low) / 2
            return sdf.smooth_intersection(wall, np.abs(line - middle) - half, 0.03)

        return field

    # ------------------------------------------------------------------ kinds

    def crew(self):
        margin, front = self.rng.uniform(0.05, 0.12), self.rng.uniform(0.04, 0.16)
        body = self.shirt_body(margin=margin, front=front)

        def band(p):
            wall = np.abs(self.face.body(p) - THICKNESS + 0.005) - 0.028
            edge = np.abs(self.neckline(p, margin, front) + 0.025) - 0.05
            return sdf.smooth_intersection(wall, edge, 0.03)

        return [self.mesh(body), self.mesh(band, "trim", cell=0.016)]

    def turtleneck(self):
        top = self.rng.uniform(0.1, 0.22)
        roll = self.tube(top - 0.16, top, self.neck + 0.065, 0.05, 0.06)
        below = self.tube(-0.3, top - 0.08, self.neck + 0.05, 0.045, 0.06)
        body = self.shirt_body(margin=-0.1, front=0)

        def field(p):
            return smooth_union(smooth_union(body(p), below(p), 0.06), roll(p), 0.02)

        return [self.mesh(field)]

    def _collar(self, p, height=0.2, spread=0.5):
        """A shirt's fold-over collar, open in front."""
        away, z = self.around(p)
        line = self.collar_line(p, 0.13, 0.1)
        wall = np.abs(away - self.neck - 0.05 + 0.75 * np.minimum(line, 0)) - 0.024
        front = smooth_step((z - 0.05) / 0.35)
        d = np.maximum(wall, np.maximum(line, -height - 0.13 * front - line))
        gap = 0.015 + spread * np.maximum(-line, 0)
        return sdf.smooth_intersection(d, np.where(z > 0, gap - np.abs(p[..., 0]), -1), 0.02)

    def _opening(self, p, top, slope):
        """A V on the chest: negative inside; |x| grows with the height over its lower end."""
        return np.where(
            p[..., 2] > self.neck_z(p[..., 1]),
            np.abs(p[..., 0]) - np.maximum(slope * (p[..., 1] - top), -0.05),
            1.0,
        )

    def shirt(self):
        open_to = self.base - self.rng.uniform(0.3, 0.42)
        body = self.shirt_body()

        def field(p):
            return smooth_cut(body(p), self._opening(p, open_to, 0.45), 0.02)

        meshes = [self.mesh(field), self.mesh(self._collar, "trim", cell=0.014)]
        return meshes

    def hoodie(self):
        body = self.shirt_body(0.06, 0.06, 0.12)
        y, z = self.base + 0.06, self.neck_z(self.base)

        def hood(p):
            q = sdf.mirrored(p)
            back = smooth_step((z + 0.25 - q[..., 2]) / 0.6)
            center = np.array([0, y - 0.09, z - 0.1])
            tilt = np.stack([q[..., 0], q[..., 1] - 0.32 * back + 0.1, q[..., 2]], -1)
            radii = (self.neck + 0.2, self.neck + 0.26)
            d = sdf.ring(tilt, center, radii, (0.12, 0.13))
            gap = sdf.sphere(q, (0, y - 0.3, z + self.neck + 0.35), 0.13)
            return smooth_cut(d, gap, 0.08)

        def cords(p):
            q = sdf.mirrored(p)
            x, front = 0.13, z + self.neck + 0.24
            top, end = (x, y - 0.16, front), (x + 0.03, y - 0.55, front + 0.1)
            return sdf.cone(q, top, end, 0.02, 0.02)

        def field(p):
            return smooth_union(body(p), hood(p), 0.05)

        return [self.mesh(field), self.mesh(cords, "trim", cell=0.014)]

    def tank(self):
        body = self.shirt_body(0.03)
        inner, outer = self.rng.uniform(0.34, 0.44), self.rng.uniform(0.66, 0.78)
        low = self.y + self.rng.uniform(-0.02, 0.1)

        def field(p):
            x, y = np.abs(p[..., 0]), p[..., 1]
            neckline = y - low - 0.45 * smooth_step((x - inner + 0.12) / 0.16)
            arm = (x - outer) - 0.5 * np.maximum(self.y - 0.1 - y, 0)
            return sdf.smooth_intersection(body(p), np.maximum(neckline, arm), 0.02)

        return [self.mesh(field)]

    def suit(self):
        shirt = self.shirt_body(0.035)
        coat = self.shirt_body(0.085, 0.1, 0.0)
        low = self.y - 0.55

        def jacket(p):
            return smooth_cut(coat(p), self._opening(p, low, 0.42), 0.025)

        def lapel(p):
            d = np.abs(self.face.body(p) - 0.105) - 0.02
            x, y = np.abs(p[..., 0]), p[..., 1]
            edge = np.maximum(0.42 * (y - low), 0.0)
            inside = np.maximum(
                edge - x, x - edge - 0.2 + 0.12 * smooth_step((y - self.y - 0.1) / 0.2)
            )
            front = self.neck_z(p[..., 1]) - 0.1 - p[..., 2]
            top = self.neckline(p, 0.09, 0.0)
            return sdf.smooth_intersection(d, np.maximum(np.maximum(inside, front), top), 0.02)

        def tie(p):
            z = self.neck_z(self.base) + self.neck
            knot = sdf.ellipsoid(p, (0, self.base - 0.13, z + 0.08), (0.07, 0.075, 0.05))
            blade = sdf.cone(
                p, (0, self.base - 0.16, z + 0.1), (0, self.base - 0.9, z + 0.22), 0.05, 0.12
            )
            return smooth_union(knot, blade, 0.02)

        meshes = [self.mesh(jacket), self.mesh(lapel, cell=0.016), self.mesh(shirt, "shirt")]
        meshes.append(self.mesh(self._collar, "shirt", cell=0.014))
        if self.rng.random() < 0.6:
            meshes.append(self.mesh(tie, "trim", cell=0.014))
        return meshes

    def scarf(self):
        body = self.shirt_body(0.05, 0.05, 0.05)
        phase, y = self.rng.uniform(0, 6), self.base
        end_x = self.rng.choice([-1, 1]) * self.rng.uniform(0.15, 0.3)

        def wraps(p):
            z0 = self.neck_z(p[..., 1])
            angle = np.arctan2(p[..., 0], p[..., 2] - z0)
            d = np.full(p.shape[:-1], 9.0, np.float32)
            for index, height in enumerate((-0.1, 0.03)):
                wobble = 0.035 * np.sin(2 * angle + phase + 2.3 * index)
                fold = 0.012 * np.sin(11 * angle + 3 * index + phase)
                q = np.stack([p[..., 0], p[..., 1] - wobble, p[..., 2] - z0], -1)
                radius = self.neck + 0.17 - 0.05 * index
                center = (0, y + height, 0.03)
                coil = sdf.ring(q, center, (radius, radius + 0.02), (0.13, 0.13)) - fold
                d = smooth_union(d, coil, 0.02)
            end = sdf.cone(
                p,
                (end_x, y - 0.1, -0.62 + self.neck + 0.2),
                (end_x * 1.4, y - 0.75, -0.62 + self.neck + 0.36),
                0.1,
                0.15,
            )
            return smooth_union(d, end + 0.008 * np.sin(60 * p[..., 0]), 0.03)

        return [self.mesh(body), self.mesh(wraps, "trim", half=False)]


def make_clothes(face: Face, attributes: Attributes, rng) -> list[Mesh]:
    """The meshes of a head's clothes, before they are bent."""
    return getattr(Tailor(face, attributes, rng), attributes.clothes)()
