"""A face as one signed distance field: skull, lids, nose, lips, ears and neck."""

import numpy as np

from training.prepare.heads import sdf
from training.prepare.heads.sdf import smooth_cut, smooth_step, smooth_union
from training.prepare.heads.shape import Shape


class Face:
    """The symmetric face of a shape; points are (..., 3) float32 in head units."""

    def __init__(self, shape: Shape):
        s = self.shape = shape
        self.eye = np.array([s.eye_x, 0, s.eye_z])
        turn, cant = s.eye_yaw, s.eye_cant
        right = np.array([np.cos(turn), 0, -np.sin(turn)])
        up = np.array([0.0, 1, 0])
        self.eye_forward = np.array([np.sin(turn), 0, np.cos(turn)])
        self.eye_right = right * np.cos(cant) + up * np.sin(cant)
        self.eye_up = up * np.cos(cant) - right * np.sin(cant)
        self._mouth_x = np.linspace(0, 0.5, 26)
        self._mouth_z = self.depth_at(self._mouth_x, np.full(26, s.mouth_y), self.base)
        self.mouth = np.array([0, s.mouth_y, self._mouth_z[0]])

    # ------------------------------------------------------------------ parts

    def base(self, p):
        """Skull and cheeks, without eyes, nose and mouth."""
        s, q = self.shape, sdf.mirrored(p, 0.0012)
        d = sdf.ellipsoid(p, (0, s.skull_y, -0.44), s.skull)
        d = smooth_union(d, sdf.ellipsoid(p, (0, s.face_y, -0.25), s.face), 0.22)
        d = smooth_union(d, sdf.sphere(q, (*s.jaw, -0.28), s.jaw_radius), 0.25)
        r = s.chin_radius
        d = smooth_union(d, sdf.ellipsoid(q, s.chin, (r * 1.1, r, r)), 0.27)
        r = s.cheek_radius
        d = smooth_union(d, sdf.ellipsoid(q, s.cheek, (r * 1.05, r, r)), 0.17)
        z = s.brow_z
        ridge = sdf.cone(q, (0, s.brow_y, 0.35 + z), (0.44, s.brow_y, 0.2 + z), 0.06, 0.06)
        return smooth_union(d, ridge, 0.2)

    def lid_edges(self, side):
        """Elevations in rad of the upper and lower lid's edge at angles `side` from the middle."""
        s = self.shape
        t = side / s.lid_width
        arc = np.clip(1 - np.abs(t) ** 2.2, 0, None) ** 0.62
        return s.lid_up * arc * (1 + 0.10 * t), -s.lid_low * arc * (1 + 0.12 * t)

    def eye_angles(self, p):
        """Radius, side angle, elevation and forward distance of points around the left eye."""
        d = p - self.eye
        x, y, z = d @ self.eye_right, d @ self.eye_up, d @ self.eye_forward
        r = sdf.length(d) + 1e-6
        return r, np.arctan2(x, np.maximum(z, 1e-3)), np.arcsin(np.clip(y / r, -1, 1)), z

    def lid_point(self, side, elevation, radius):
        """Points of the left eye at angles from its axis; arrays (N,) -> (N, 3)."""
        side, elevation = np.asarray(side), np.asarray(elevation)
        direction = (
            self.eye_forward * (np.cos(elevation) * np.cos(side))[..., None]
            + self.eye_right * (np.cos(elevation) * np.sin(side))[..., None]
            + self.eye_up * np.sin(elevation)[..., None]
        )
        return self.eye + direction * np.broadcast_to(radius, side.shape)[..., None]

    def mouth_edges(self, x):
        """Heights of the upper and lower edge of the mouth's opening and its share at |x|."""
        s = self.shape
        t = x / s.mouth_width
        arc = np.clip(1 - t * t, 0, None)
        middle = s.mouth_y + s.mouth_curve * np.abs(t) ** 1.8 * 0.11
        above, below = s.mouth_gap
        return middle + above * arc**0.6, middle - below * arc**0.66, arc

    def mouth_depth(self, x):
        """z of the face, without lips, at |x| on the height of the mouth."""
        return np.interp(np.abs(x), self._mouth_x, self._mouth_z).astype(np.float32)

    def _with_eyes(self, d, q):
        s, radius = self.shape, self.shape.eye_radius
        hollow = sdf.ellipsoid(
            q, self.eye + np.array([0.01, 0, 0.30]), (radius * 1.06, radius * 0.94, 0.24)
        )
        d = smooth_cut(d, hollow, 0.15)
        r, side, up, z = self.eye_angles(q)
        upper, lower = self.lid_edges(side)
        thick = s.lid * (1 - 0.45 * smooth_step(-up / 0.4))
        shell = np.abs(r - radius - thick * 0.5 - 0.006) - thick * 0.5
        shell = np.maximum(shell, -z - 0.02)
        d = smooth_union(d, shell, (0.06 + 0.06 * smooth_step(-up / 0.5)).astype(np.float32))
        fold = np.maximum(upper + s.lid_fold, 0.1)
        crease = np.hypot((up - fold) * radius, r - radius - s.lid - 0.012) - 0.006
        crease = np.maximum(crease, np.abs(side) - s.lid_width * 0.95)
        d = smooth_cut(d, np.where(z > 0, crease, 1), 0.028)
        opening = np.maximum(np.maximum(up - upper, lower - up), np.abs(side) - s.lid_width)
        opening = np.maximum(np.maximum(opening * radius, r - radius * 1.9), 0.03 - z)
        return smooth_cut(d, opening, 0.022)

    def _with_nose(self, d, q):
        s = self.shape
        y, z = s.nose
        r, w = s.nose_radius, s.wing_radius
        x, back = s.wing
        nose = sdf.cone(q, (0, *s.bridge), (0, y + 0.03, z - 0.01), s.bridge_radius, r * 0.75)
        nose = smooth_union(
            nose, sdf.ellipsoid(q, (0, y, z), (r * s.nose_width, r * 0.92, r)), 0.07
        )
        wing = sdf.ellipsoid(q, (x, y - 0.025, z - back), (w * 0.95, w * 0.9, w * 1.15))
        d = smooth_union(d, smooth_union(nose, wing, 0.05), 0.075)
        hole = (x * 0.62, y - r * 0.78, z - back * 0.55)
        return smooth_cut(d, sdf.ellipsoid(q, hole, (w * 0.5, 0.045, w * 0.62)), 0.03)

    def lip_distances(self, q):
        """Distances of points with x >= 0 to the upper and to the lower lip."""
        s, x = self.shape, q[..., 0]
        upper, lower, arc = self.mouth_edges(np.minimum(x, s.mouth_width))
        z = self.mouth_depth(x) + 0.015
        bow = 1 - s.cupid_bow * np.exp(-((x / 0.035) ** 2))
        bow += 0.3 * s.cupid_bow * np.exp(-(((x - 0.07) / 0.05) ** 2))
        above, below = s.lips[0] * bow * arc**0.55 + 0.004, s.lips[1] * arc**0.5 + 0.004
        outside = np.maximum(x - s.mouth_width, 0) ** 2

        def lip(y, z, radius):
            return np.sqrt(outside + (q[..., 1] - y) ** 2 + ((q[..., 2] - z) * 0.8) ** 2) - radius

        return (
            lip(upper + above * 0.75, z - 0.01, above),
            lip(lower - below * 0.75, z - 0.015, below),
        )

    def _with_mouth(self, d, q):
        s, x, y, z = self.shape, q[..., 0], q[..., 1], q[..., 2]
        above, below = self.lip_distances(q)
        d = smooth_union(smooth_union(d, above, 0.045), below, 0.05)
        upper, lower, _ = self.mouth_edges(np.minimum(x, s.mouth_width))
        front = self.mouth_depth(x) + 0.015
        beside = x - s.mouth_width
        if sum(s.mouth_gap) > 0.02:
            hole = np.maximum(np.maximum(y - upper, lower - y), beside)
            hole = np.maximum(np.maximum(hole, front - 0.34 - z), z - front - 0.3)
            d = smooth_cut(d, hole, 0.018)
        else:
            middle, deep = (upper + lower) / 2, np.maximum(np.abs(z - front - 0.02) - 0.05, 0)
            line = np.sqrt(np.maximum(beside, 0) ** 2 + (y - middle) ** 2 + deep**2) - 0.006
            d = smooth_cut(d, line, 0.026)
        corner = self.mouth_corner() + np.array([0.012, 0.005, 0.035])
        return smooth_cut(d, sdf.sphere(q, corner, 0.03), 0.04)

    def mouth_corner(self):
        s = self.shape
        return np.array(
            [s.mouth_width, s.mouth_y + s.mouth_curve * 0.11, self.mouth_depth(s.mouth_width)]
        )

    def _wrinkles(self, q):
        """Depth of laugh lines, bags under the eyes and forehead lines; shallow and wide."""
        s, x, y = self.shape, q[..., 0], q[..., 1]

        def line(x0, y0, x1, y1, bend, width):
            along = np.array([x1 - x0, y1 - y0])
            h = np.clip(((x - x0) * along[0] + (y - y0) * along[1]) / (along @ along), 0, 1)
            arch, size = bend * 4 * h * (1 - h), np.hypot(*along)
            dx = x - x0 - h * along[0] + arch * along[1] / size
            dy = y - y0 - h * along[1] - arch * along[0] / size
            return np.exp(-(dx * dx + dy * dy) / width**2) * (0.35 + 0.65 * 4 * h * (1 - h))

        nose_x, corner = s.wing[0] + s.wing_radius, self.mouth_corner()
        depth = line(nose_x + 0.02, s.nose[0] + 0.02, corner[0] + 0.07, corner[1], -0.03, 0.03)
        depth += 0.7 * line(0.17, -0.31, 0.42, -0.29, -0.03, 0.026)
        depth += 0.5 * line(0, 0.60, 0.30, 0.57, 0.02, 0.022)
        depth += 0.4 * line(0, 0.70, 0.24, 0.68, 0.015, 0.022)
        return 0.016 * s.wrinkles * depth * (q[..., 2] > 0)

    def ear_distance(self, q):
        s, r = self.shape, self.shape.ear_radius
        t = q - np.array([*s.ear, -0.42])
        c, n = np.cos(s.ear_angle), np.sin(s.ear_angle)
        t = np.stack([t[..., 0] * c - t[..., 2] * n, t[..., 1], t[..., 0] * n + t[..., 2] * c], -1)
        d = sdf.ellipsoid(t, (0, 0, -0.02), (r * 0.30, r, r * 0.68))
        lobe = sdf.ellipsoid(t, (-0.02, -r * 0.75, 0.03), (r * 0.25, r * 0.42, r * 0.36))
        d = smooth_union(d, lobe, 0.06)
        shell = sdf.ellipsoid(t, (r * 0.30, 0.02, 0.02), (r * 0.27, r * 0.66, r * 0.40))
        d = smooth_cut(d, shell, 0.035)
        tragus = sdf.ellipsoid(t, (0, -0.03, r * 0.42), (r * 0.22, r * 0.25, r * 0.2))
        return smooth_union(d, tragus, 0.03)

    def body(self, p):
        """Neck, shoulders and chest."""
        s, q = self.shape, sdf.mirrored(p)
        y = s.shoulder_y
        d = sdf.cone(q, (0, -0.55, -0.5), (0, y, -0.66), s.neck, s.neck * 1.08)
        chest = sdf.ellipsoid(q, (0, y - 0.45, -0.7), (1.12 * s.shoulders, 0.82, 0.44))
        elbow = (1.22 * s.shoulders, y - 0.25, -0.72)
        arm = sdf.cone(q, (0.6, y + 0.02, -0.7), elbow, 0.27, 0.26)
        arm = np.minimum(arm, sdf.cone(q, elbow, (elbow[0], y - 1.2, -0.72), 0.26, 0.26))
        return smooth_union(d, smooth_union(chest, arm, 0.2), 0.16)

    # ------------------------------------------------------------------ the whole

    def skin(self, p):
        """Distance to the skin of head, neck and shoulders."""
        q = sdf.mirrored(p)
        d = self._with_nose(self._with_eyes(self.base(p), q), q)
        if self.shape.wrinkles > 0.01:
            d = d + self._wrinkles(q)
        d = self._with_mouth(d, q)
        d = smooth_union(d, self.ear_distance(q), 0.04)
        return smooth_union(d, self.body(p), 0.13)

    def depth_at(self, x, y, field=None, start=1.3):
        """z of the foremost point of a field at (x, y), found by marching from the front."""
        field = field or self.skin
        p = np.stack([x, y, np.full_like(x, start)], -1)
        for _ in range(28):
            p[..., 2] -= np.clip(field(p.astype(np.float32)) * 0.8, -0.05, 0.2)
        return p[..., 2]
