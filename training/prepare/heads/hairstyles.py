"""Hairstyles: how long hair is, where it flows, and what is tied, braided or cut."""

from dataclasses import dataclass

import numpy as np

from training.prepare.heads import strands as st
from training.prepare.heads import tails
from training.prepare.heads.attributes import Attributes
from training.prepare.heads.face import Face
from training.prepare.heads.overrides import NONE, Overrides
from training.prepare.heads.paint import skull_angles
from training.prepare.heads.sdf import smooth_step
from training.prepare.heads.strands import Growth, Noise, Strands, Surface, unit

ROOTS = {"buzz": 7500, "short": 3000, "ring": 2200, "afro": 3600, "locs": 150}
COPIES = {"afro": 4, "buzz": 3, "long": 7, "bob": 7}
GATHERED = ("bun", "ponytail", "pigtails", "braids")
HEAD_CENTER = np.array([0, 0.25, -0.45])


@dataclass
class Style:
    """Numbers of a hairstyle; `flow` gives directions, `lengths` and `lift` one per root."""

    lengths: np.ndarray
    lift: np.ndarray
    flow: object
    steps: int = 14
    gravity: float = 0.1
    volume: float = 0.08
    radius: float = 0.0052
    clumps: int = 220
    clumping: float = 0.45
    curl: tuple[float, float, float] | None = None  # amplitude, turns a unit, flatness


class Groomer:
    """Grows the hair of one head."""

    def __init__(
        self,
        face: Face,
        attributes: Attributes,
        surface: Surface,
        density,
        rng,
        overrides: Overrides = NONE,
    ):
        self.face, self.attributes, self.surface = face, attributes, surface
        self.rng, self.density, self.overrides = rng, density, overrides
        s, style = face.shape, attributes.hair_style
        self.top = s.skull_y + s.skull[1]
        self.crown = np.array([0, s.skull_y + 0.8 * s.skull[1], -0.85])
        self.count = ROOTS.get(style, 2600)
        self.roots, self.normals = surface.sample(rng, self.count, density**2)
        self.around, self.up = skull_angles(self.roots)
        self.noise = Noise(rng, 2.2)
        self.random = rng.random(self.count)
        parted = rng.random() < 0.75
        part = float(rng.choice([-1, 1]) * rng.uniform(0.15, 0.38)) if parted else 0.0
        self.part = overrides.number("part", part)

    # ------------------------------------------------------------------ flows

    def from_crown(self, p):
        return unit(p - self.crown)

    def parted(self, p, back):
        side = np.tanh((p[:, 0] - self.part) / 0.06)
        return np.stack([side, np.full(len(p), -0.25), np.full(len(p), -back)], 1)

    def off_face(self, p, strength=1.4):
        """Keeps long hair beside the face."""
        x, y, z = p.T
        weight = smooth_step((z + 0.1) / 0.25) * smooth_step((0.62 - np.abs(x)) / 0.2)
        weight *= smooth_step((0.55 - y) / 0.2) * (y > -1.2) * strength
        return np.stack([np.sign(x) * weight, np.zeros(len(p)), -0.5 * weight], 1)

    def top_and_sides(self, top, sides):
        return sides + (top - sides) * smooth_step((self.up - 25) / 30)

    # ------------------------------------------------------------------ styles

    def buzz(self):
        ones = np.ones(self.count)
        return Style(
            *(0.045 * ones, 1.4 * ones, lambda p, n, t: 0.6 * self.from_crown(p)),
            steps=5,
            volume=0.0,
            radius=0.0042,
            clumping=0,
        )

    def short(self):
        lengths = self.top_and_sides(self.rng.uniform(0.2, 0.3), 0.13) * (0.8 + 0.4 * self.random)
        sweep = np.array([self.rng.uniform(-0.8, 0.8), 0, 0.1])

        def flow(p, n, t):
            return unit(self.from_crown(p) + sweep + 0.5 * self.noise(p))

        return Style(lengths, np.full(self.count, 0.8), flow, steps=8, volume=0.05, clumps=260)

    def ring(self):
        return self.short()

    def side_part(self):
        lengths = self.top_and_sides(self.rng.uniform(0.55, 0.8), 0.15)
        high = (self.up > 22)[:, None]

        def flow(p, n, t):
            combed = unit(
                np.concatenate([self.parted(p, 0)[:, :2], -(0.25 + 0.5 * (p[:, 2:] < -0.5))], 1)
                + 0.35 * self.noise(p)
            )
            return np.where(high, combed, [0, -0.9, -0.5])

        return Style(
            *(lengths * (0.85 + 0.3 * self.random), 0.5 + 0.5 * smooth_step((self.up - 30) / 30)),
            flow,
            volume=self.rng.uniform(0.08, 0.15),
            clumps=150,
        )

    def quiff(self):
        lengths = self.top_and_sides(self.rng.uniform(0.45, 0.62), 0.13)
        front = smooth_step((60 - self.around) / 40) * smooth_step((self.up - 25) / 15)
        sweep = self.rng.uniform(-0.5, 0.5)

        def flow(p, n, t):
            rise = 0.9 * front * (1 - t) - 0.3 * (self.up < 22)
            along = np.stack([np.full(len(p), sweep), rise, np.full(len(p), -0.9)], 1)
            return unit(along + 0.3 * self.noise(p))

        return Style(
            *(lengths * (0.85 + 0.3 * self.random), 0.6 + 0.9 * front, flow),
            volume=0.16,
            clumps=140,
        )

    def messy(self):
        lengths = self.top_and_sides(self.rng.uniform(0.38, 0.5), 0.26) * (0.7 + 0.6 * self.random)
        wild = Noise(self.rng, 3.5)

        def flow(p, n, t):
            return unit(0.8 * self.from_crown(p) + 1.1 * wild(p))

        return Style(lengths, np.full(self.count, 0.9), flow, volume=0.1, clumps=140, clumping=0.7)

    def _falling(self, length):
        lengths = length * (0.95 + 0.1 * self.random)
        wave, amount = Noise(self.rng, 1.6), self.rng.uniform(0.05, 0.3)

        def flow(p, n, t):
            combed = self.parted(p, 0.35) * (1 - min(1, t * 1.3))
            fall = np.array([0, -1.4, -0.05]) * min(1, 0.15 + t * 1.4)
            return unit(combed + fall + self.off_face(p) + amount * wave(p))

        return Style(
            *(lengths, np.full(self.count, 0.35), flow),
            steps=26,
            gravity=0.25,
            volume=self.rng.uniform(0.11, 0.2),
            radius=0.0058,
            clumps=170,
            clumping=0.4,
        )

    def pixie(self):
        return self._falling(self.rng.uniform(0.5, 0.68))

    def bob(self):
        return self._falling(2.0)

    def long(self):
        return self._falling(2.9)

    def short_curls(self):
        lengths = self.top_and_sides(self.rng.uniform(0.42, 0.6), 0.2) * (0.8 + 0.4 * self.random)
        tight = 1.4 if self.attributes.hair_kind == "coily" else 1.0

        def flow(p, n, t):
            return unit(self.from_crown(p) + 0.6 * n + 0.6 * self.noise(p))

        return Style(
            *(lengths, np.full(self.count, 1.1), flow),
            steps=26,
            gravity=0.05,
            volume=0.12,
            clumps=340,
            clumping=0.9,
            curl=(0.036 / tight, self.rng.uniform(5, 6.5) * tight, 1.0),
        )

    def long_curls(self):
        front = smooth_step((62 - self.around) / 30) * smooth_step((80 - self.up) / 20)
        lengths = self.rng.uniform(0.95, 1.5) * (0.75 + 0.5 * self.random) * (1 - 0.62 * front)
        tight = 1.4 if self.attributes.hair_kind == "coily" else 1.0

        def flow(p, n, t):
            fall = np.array([0, -0.9, 0]) * t
            off = self.off_face(p, 2.2)
            return unit(
                0.8 * self.from_crown(p) + 0.6 * n * (1 - t) + fall + off + 0.5 * self.noise(p)
            )

        return Style(
            *(lengths, np.full(self.count, 1.0), flow),
            steps=44,
            gravity=0.15,
            volume=0.2,
            radius=0.0058,
            clumps=280,
            clumping=0.85,
            curl=(0.05 / tight, self.rng.uniform(3.2, 4.5) * tight, 1.0),
        )

    def afro(self):
        lengths = self.top_and_sides(self.rng.uniform(0.4, 0.7), self.rng.uniform(0.3, 0.45))
        return Style(
            lengths * (0.85 + 0.2 * self.random),
            np.full(self.count, 2.5),
            lambda p, n, t: unit(p - HEAD_CENTER),
            steps=30,
            gravity=0,
            volume=0.05,
            clumps=700,
            clumping=0.8,
            curl=(0.028, self.rng.uniform(8, 10), 1.0),
        )

    def locs(self):
        length = self.rng.choice([0.8, 1.3, 2.0])
        wave = Noise(self.rng, 2.5)

        def flow(p, n, t):
            fall = np.array([0, -1.3, 0]) * min(1, 0.3 + 1.5 * t)
            return unit(self.parted(p, 0.5) * (1 - t) + fall + self.off_face(p, 2) + 0.35 * wave(p))

        return Style(
            *(length * (0.75 + 0.4 * self.random), np.full(self.count, 0.8), flow),
            steps=36,
            gravity=0.2,
            volume=0.2,
            clumping=0,
        )

    def gathered(self, anchors):
        """Hair combed to the nearest of the points where it is tied."""
        nearest = np.argmin(np.linalg.norm(self.roots[:, None] - anchors, axis=-1), 1)
        if len(anchors) == 2:
            nearest = (self.roots[:, 0] < 0).astype(int)
        target = anchors[nearest]
        lengths = np.linalg.norm(self.roots - target, axis=1) * 1.18
        rough = {"straight": 0, "wavy": 0.08, "curly": 0.22, "coily": 0.28}
        wild = rough[self.attributes.hair_kind]
        return Style(
            *(lengths, np.full(self.count, 0.25)),
            lambda p, n, t: unit(unit(target - p) + wild * self.noise(4 * p) * (1 - t)),
            steps=18,
            gravity=0,
            volume=0.05,
            radius=0.0056,
            clumps=190,
        )

    # ------------------------------------------------------------------ growing

    def ties(self):
        """Where hair is tied, (1 or 2, 3): low under a hat."""
        s, rng, style = self.face.shape, self.rng, self.attributes.hair_style
        low = self.attributes.headwear != "none"
        if low and style in ("bun", "ponytail"):
            return np.array([[0, -0.2, -1.22]])
        if style == "bun":
            high = rng.random() < 0.6
            return np.array([[0, self.top, -0.66] if high else [0, self.top - 0.15, -1.0]])
        if style == "ponytail":
            return np.array([[0, s.skull_y + 0.62, -0.44 - 0.78 * s.skull[2]]])
        x = rng.uniform(0.7, 0.8)
        y = rng.uniform(0.3, 0.6) if style == "pigtails" and not low else rng.uniform(-0.45, -0.2)
        return np.array([[x, y, -0.6], [-x, y, -0.6]])

    def fringe(self, style: Style):
        """Turns the hair of the forehead into a fringe; which roots those are."""
        kind, rng = self.attributes.fringe, self.rng
        if kind == "none":
            return np.zeros(self.count, bool)
        chosen = (self.around < 44) & (self.up < 66)
        if kind == "swept":
            chosen &= self.up < 60
        x = self.roots[:, 0]
        sweep = rng.uniform(-0.3, 0.3)
        side = float(np.sign(self.part) or 1.0)
        lengths = rng.uniform(0.46, 0.56) * (0.94 + 0.1 * rng.random(self.count))
        if kind == "swept":
            lengths = 0.5 + 0.25 * np.clip(-side * (x - self.part), 0, 1) + 0.04 * self.random
        lengths = lengths + 0.012 * np.maximum(self.up - 45, 0)
        style.lengths = np.where(chosen, lengths, style.lengths)
        style.lift = np.where(chosen, 0.15, style.lift)
        flow, noise = style.flow, self.noise

        def with_fringe(p, n, t):
            across = sweep + 0.3 * p[:, 0]
            if kind == "swept":
                across = np.where(p[:, 0] * side > self.part * side, 0.9 * side, -1.1 * side)
            down = np.stack([across, -np.ones(len(p)), np.full(len(p), 0.5 * (1 - t))], 1)
            return np.where(chosen[:, None], unit(unit(down) + 0.12 * noise(p)), flow(p, n, t))

        style.flow = with_fringe
        return chosen

    def grow(self) -> Strands:
        """The hair of a head that is not bald."""
        hair, a, rng = Strands("hair", "hair"), self.attributes, self.rng
        anchors = self.ties() if a.hair_style in GATHERED else None
        style = getattr(self, a.hair_style)() if anchors is None else self.gathered(anchors)
        fringe = self.fringe(style)
        style.lengths = style.lengths * self.overrides.number("hair_length", 1.0)
        layer = style.volume * (0.15 + rng.random(self.count)) + 0.05 * fringe
        growth = Growth(style.steps, style.flow, style.gravity, style.lift, layer)
        lines = st.grow(self.surface, self.roots, self.normals, style.lengths, growth)
        if a.hair_style in ("bob", "long"):
            height = rng.uniform(-0.95, -0.6) if a.hair_style == "bob" else rng.uniform(-1.9, -1.3)
            height = self.overrides.number("hair_end", height)
            keep = np.where(fringe, -9.0, height + 0.05 * self.noise(self.roots * 2)[:, 0])
            lines = st.cut_below(lines, keep + 0.03 * rng.normal(size=self.count))
        if a.hair_style == "locs":
            self._add_locs(hair, lines, style)
            return hair
        if style.clumping:
            lines, group = st.clump(lines, self.roots, style.clumps, style.clumping, rng)
            if style.curl:
                lines = st.curl(lines, group, *style.curl[:2], rng, style.lengths)
            elif a.hair_kind == "wavy" and style.lengths.mean() > 0.35:
                size = rng.uniform(0.022, 0.04)
                lines = st.curl(lines, group, size, rng.uniform(1.2, 2.0), rng, style.lengths, 0.4)
        copies = COPIES.get(a.hair_style, 6)
        for index, group in enumerate(st.multiply(lines, self.normals, copies, 0.02, rng)):
            radius = style.radius * (1 if index == 0 else rng.uniform(0.75, 1))
            hair.add(group, st.taper(self.count, group.shape[1], radius))
        if anchors is not None:
            self._add_tails(hair, anchors)
        return hair

    def _add_locs(self, hair, lines, style):
        """Every line becomes a rope of fine hairs."""
        rng, hairs = self.rng, 14
        a, b = st.sideways(lines)
        thick = rng.uniform(0.024, 0.036) * (0.85 + 0.3 * self.random)
        t = np.linspace(0, 1, lines.shape[1])
        profile = (0.75 + 0.25 * np.sin(t * 31 + 6 * self.random[:, None])) * (1 - 0.5 * t**8)
        for index in range(hairs):
            inner = 0.45 if index % 3 == 0 else 1.0
            angle = 2 * np.pi * index / hairs + t * style.lengths[:, None] * 14
            size = (thick[:, None] * profile * inner)[..., None]
            rope = lines + size * (a * np.cos(angle)[..., None] + b * np.sin(angle)[..., None])
            hair.add(rope, np.full(rope.shape[:2], 0.4) * thick[:, None])

    def _add_tails(self, hair, anchors):
        kind = self.attributes.hair_style
        for anchor in anchors:
            side = np.sign(anchor[0])
            if kind == "bun":
                tails.add_bun(hair, anchor, self.rng)
            elif kind == "braids":
                tails.add_braid(hair, anchor, side, self.surface, self.rng)
            else:
                tails.add_tail(hair, anchor, side, self.surface, self.attributes, self.rng)
