"""Paints the skin: blush, lips, lids, freckles, and hair color under the hair."""

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from training.prepare.heads import palette
from training.prepare.heads.attributes import Attributes
from training.prepare.heads.face import Face
from training.prepare.heads.overrides import NONE, Overrides
from training.prepare.heads.sdf import mirrored, smooth_step

# Height of the hairline in degrees at angles from the front to the back of the head.
ANGLES = (0, 25, 45, 60, 74, 88, 104, 125, 150, 180)
HAIRLINE = (42, 41, 37, 22, -8, 2, 0, -14, -34, -40)
WIDE_BEARDS = ("full", "long", "stubble")


@dataclass
class Skin:
    """What is known of the skin's vertices: colors, where hair grows, what is lip and mouth."""

    colors: np.ndarray
    hair: np.ndarray
    beard: np.ndarray
    lips: np.ndarray
    mouth: np.ndarray
    tone: np.ndarray


def skull_angles(points):
    """Degrees from the front, and degrees of elevation, around the middle of the skull."""
    d = points - np.array([0, 0.2, -0.42])
    around = np.degrees(np.abs(np.arctan2(d[..., 0], d[..., 2])))
    return around, np.degrees(np.arctan2(d[..., 1], np.hypot(d[..., 0], d[..., 2])))


class _Painter:
    def __init__(self, face, attributes, vertices, rng, overrides):
        self.face, self.attributes, self.vertices, self.rng = face, attributes, vertices, rng
        self.overrides = overrides
        self.q = mirrored(vertices.astype(np.float32))
        tone = palette.linear(palette.SKIN[attributes.skin_tone - 1]) * rng.uniform(0.93, 1.07)
        self.tone = overrides.color("skin", tone)
        self.colors = np.tile(self.tone, (len(vertices), 1))
        self.bright = min(1, 0.3 + 1.6 * float(self.tone.mean()))
        self.ear = face.ear_distance(self.q)
        self.lip = np.minimum(*face.lip_distances(self.q))
        self.front = face.mouth_depth(self.q[:, 0]) + 0.015

    def mix(self, weight, color):
        weight = np.clip(weight, 0, 1)[:, None]
        self.colors = self.colors * (1 - weight) + np.asarray(color) * weight

    def spot(self, center, radius):
        return np.exp(-((self.q - np.asarray(center)) ** 2).sum(1) / radius**2)

    def blush(self):
        s, rng = self.face.shape, self.rng
        color = self.tone * 0.42 + np.array([0.88, 0.17, 0.12]) * 0.58 * self.bright
        (x, y, z), r = s.cheek, s.cheek_radius
        weight = self.spot((x + 0.06, y + 0.03, z + 0.8 * r), 0.2)
        weight += 0.6 * self.spot((0, s.nose[0] - 0.01, s.nose[1] + s.nose_radius), 0.13)
        weight += 0.6 * smooth_step((0.03 - self.ear) / 0.06)
        self.mix(self.overrides.number("blush", rng.uniform(0.4, 0.75)) * weight, color)

    def freckles(self):
        s = self.face.shape
        weight = self.spot((0.30, -0.24, 0.28), 0.2)
        weight += 0.5 * self.spot((0, s.nose[0] + 0.06, s.nose[1]), 0.14)
        chosen = self.rng.choice(len(weight), 130, p=weight / weight.sum())
        away, _ = cKDTree(self.vertices[chosen]).query(self.vertices)
        dark = self.tone * np.array([0.55, 0.35, 0.25])
        self.mix(0.45 * np.exp(-((away / 0.013) ** 2)), dark)

    def lips(self):
        if self.attributes.lipstick:
            color = palette.linear(palette.LIPSTICK[self.rng.integers(len(palette.LIPSTICK))])
            color, strength = color * (0.55 + 0.45 * self.bright), self.rng.uniform(0.75, 0.95)
            color = self.overrides.color("lips", color)
        else:
            pink = np.array([0.74, 0.2, 0.2]) * self.bright
            color = self.tone * np.array([0.62, 0.4, 0.4]) * 0.55 + pink * 0.45
            strength = self.rng.uniform(0.45, 0.7)
        on_lip = smooth_step((0.022 - self.lip) / 0.018) * (self.q[:, 2] > self.front - 0.06)
        self.mix(strength * on_lip, color)
        return on_lip > 0.5

    def lids(self):
        s, (r, side, up, z) = self.face.shape, self.face.eye_angles(self.q)
        upper, lower = self.face.lid_edges(side)
        on_lid = smooth_step((s.eye_radius + s.lid + 0.03 - r) / 0.03) * (z > 0)
        shade = self.tone * np.array([0.66, 0.44, 0.4])
        self.mix(
            on_lid * (0.3 if self.attributes.lipstick else 0.2) * smooth_step((up - 0.1) / 0.3),
            shade,
        )
        near = np.minimum(np.abs(up - upper), np.abs(up - lower))
        edge = smooth_step((0.1 - near) / 0.07) * (r < s.eye_radius + s.lid * 0.8) * (z > 0)
        self.mix(0.4 * edge, self.tone * np.array([0.75, 0.38, 0.34]))

    def hairline(self, color):
        """Where hair grows on the head, and its color on the skin."""
        a, (around, up) = self.attributes, skull_angles(self.vertices)
        recede = 0.0
        if a.gender == "masculine" and a.age in ("adult", "old"):
            recede = self.rng.uniform(0, 8) + (7 if a.age == "old" else 0)
        recede = self.overrides.number("recede", recede)
        line = np.array(HAIRLINE, float)
        line[:4] += recede * np.array([0.6, 1, 1.6, 1])
        weight = smooth_step((up - np.interp(around, ANGLES, line)) / 8 + 0.5) * (self.ear > 0.02)
        if a.hair_style == "bald":
            weight = weight * 0
        if a.hair_style == "ring":
            weight = weight * smooth_step((28 - up) / 10) * smooth_step((around - 60) / 15)
        self.mix(weight * (0.55 if a.hair_style == "buzz" else 0.92), color * 0.75)
        return weight

    def beard(self, color):
        s, kind = self.face.shape, self.attributes.beard
        if kind == "none":
            return np.zeros(len(self.vertices))
        x, y, z = self.q.T
        chin = s.chin[1] - s.chin_radius
        if kind in WIDE_BEARDS:
            slope = 0.95 * np.clip(x - 0.22, 0, 1)
        else:
            slope = -2 * np.clip(x - s.mouth_width - 0.03, 0, 1)
        nose = s.nose[0] - 0.75 * s.nose_radius
        side = smooth_step((x - 0.5 * s.mouth_width) / (0.6 * s.mouth_width))
        corner = s.mouth_y + 0.10 + 0.06 * max(s.mouth_curve, 0) + slope
        top = nose + (np.minimum(corner, nose + slope) - nose) * side
        weight = smooth_step((top - y) / 0.07) * smooth_step((y - chin + 0.12) / 0.08)
        weight *= smooth_step((z + 0.42) / 0.12) * (self.lip > 0.024) * (self.ear > 0.02)
        if kind not in WIDE_BEARDS:
            weight *= 1 - smooth_step((x - s.mouth_width - 0.05) / 0.06)
        inside = (x < s.mouth_width + 0.02) & (np.abs(y - s.mouth_y) < 0.2)
        weight *= 1 - smooth_step((self.front - 0.065 - z) / 0.02) * inside
        if kind == "moustache":
            weight *= smooth_step((y - s.mouth_y + 0.02) / 0.03)
        self.mix(weight * (0.42 if kind == "stubble" else 0.85), color * 0.6 + self.tone * 0.1)
        return weight

    def mouth(self):
        s, (x, y, z) = self.face.shape, self.q.T
        if sum(s.mouth_gap) <= 0.02:
            return np.zeros(len(x), bool)
        upper, lower, _ = self.face.mouth_edges(np.minimum(x, s.mouth_width))
        inside = (z < self.front - 0.055) & (z > self.front - 0.45) & (x < s.mouth_width + 0.02)
        inside &= (y < upper + 0.05) & (y > lower - 0.05)
        self.mix(inside * 1.0, (0.14, 0.012, 0.014))
        return inside


def paint_skin(
    face: Face, attributes: Attributes, vertices, hair, rng, overrides: Overrides = NONE
) -> Skin:
    """Colors of the skin's vertices and what grows there.

    Args:
        face, attributes: The head.
        vertices: Of the skin, (N, 3), before it is bent.
        hair: Linear color of the hair.
        rng: The head's generator.
        overrides: Of a head to order.
    """
    painter = _Painter(face, attributes, vertices, rng, overrides)
    painter.blush()
    if attributes.freckles:
        painter.freckles()
    lips = painter.lips()
    painter.lids()
    grown, beard = painter.hairline(hair), painter.beard(overrides.color("beard", hair))
    mouth = painter.mouth()
    return Skin(painter.colors, grown, beard, lips, mouth, painter.tone)
