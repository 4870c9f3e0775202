"""Where the eyebrows run."""

from dataclasses import dataclass

import numpy as np

from training.prepare.heads.attributes import Attributes
from training.prepare.heads.face import Face
from training.prepare.heads.overrides import NONE, Overrides
from training.prepare.heads.shape import make_expression

# Kind -> arch, place of its top along the brow, slope towards the temple (all in head units).
KINDS = {
    "soft": (0.05, 0.55, 0.0),
    "arched": (0.085, 0.62, -0.01),
    "straight": (0.02, 0.5, 0.01),
    "angled": (0.06, 0.72, 0.035),
}


@dataclass(frozen=True)
class Brow:
    """A brow of the left side, from its inner end (0) to its outer end (1)."""

    height: float
    arch: float
    peak: float
    slope: float
    thickness: float
    start: float
    length: float
    angle: float

    def center(self, t):
        """x and y of the brow's middle line at t in [0, 1]."""
        peak = self.peak
        bow = np.where(t < peak, t / peak, (1 - t) / (1 - peak))
        y = self.height + self.arch * np.sin(np.clip(bow, 0, 1) * np.pi / 2) ** 1.3
        y += self.slope * t - 0.05 * t**2 + self.angle * (t - 0.4) * 0.3
        return self.start + t * self.length, y

    def half_width(self, t):
        return self.thickness * (1 - 0.72 * t**2) * (0.6 + 0.4 * np.minimum(1, t / 0.15))


def sample_brow(face: Face, attributes: Attributes, overrides: Overrides = NONE) -> Brow:
    """The brow of a head; thicker with `masculinity`, but no kind is tied to anything."""
    rng = np.random.default_rng([attributes.seed, 2])
    look = make_expression(attributes, overrides)

    def uniform(name: str, low: float, high: float) -> float:
        return overrides.between(name, rng.uniform(low, high), low, high)

    arch, peak, slope = KINDS[attributes.brows]
    radius = face.shape.eye_radius
    return Brow(
        height=radius * 1.0 + 0.035 + look.brow_lift + uniform("brow_height", -0.015, 0.02),
        arch=arch * uniform("brow_arch", 0.8, 1.2),
        peak=peak,
        slope=slope,
        thickness=0.032 * (uniform("brow_thickness", 0.7, 1.2) + 0.3 * attributes.masculinity),
        start=face.shape.eye_x - 0.19 + uniform("brow_gap", -0.015, 0.02),
        length=0.40 + uniform("brow_length", -0.02, 0.03),
        angle=overrides.normal("brow_angle", float(np.clip(rng.normal(0, 0.08), -0.16, 0.16)), 0.08)
        + look.brow_angle,
    )
