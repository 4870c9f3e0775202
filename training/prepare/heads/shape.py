"""The numbers of a head's shape, drawn from its attributes and seed.

Head units: the ears are about 1.6 apart. x points to the subject's left, y up, z out of the face.
A face is built symmetrically; `lopsided` and `tilt` bend it afterwards (see `pose.py`).
"""

from dataclasses import dataclass, field, replace

import numpy as np

from training.prepare.heads.attributes import Attributes
from training.prepare.heads.overrides import NONE, Overrides


@dataclass(frozen=True)
class Mouth:
    """An expression: shares of the usual width and of a full smile; gaps in head units."""

    width: float
    smile: float
    gap_above: float = 0.0
    gap_below: float = 0.0
    lids: float = 0.0  # rad the upper lids open more
    squint: float = 0.0  # rad the lower lids rise
    brow_lift: float = 0.0
    brow_angle: float = 0.0  # above 0: the inner ends sink
    jaw_drop: float = 0.0
    teeth: float = 0.5  # share of the gap of a smile that teeth fill


EXPRESSIONS = {
    "neutral": Mouth(1.0, 0.2),
    "smile": Mouth(1.16, 0.72, squint=0.06, brow_lift=0.02),
    "grin": Mouth(1.25, 0.8, 0.012, 0.125, squint=0.07, brow_lift=0.03, jaw_drop=0.03),
    "laugh": Mouth(1.28, 0.85, 0.02, 0.21, -0.1, 0.17, 0.05, jaw_drop=0.08),
    "surprised": Mouth(0.72, 0.0, 0.075, 0.14, 0.1, -0.05, 0.1, jaw_drop=0.09),
    "sad": Mouth(0.92, -0.45, lids=-0.05, brow_lift=0.03, brow_angle=-0.24),
    "stern": Mouth(0.98, -0.15, lids=-0.06, squint=0.05, brow_lift=-0.03, brow_angle=0.2),
}


@dataclass
class Shape:
    """All lengths in head units, angles in rad."""

    eye_radius: float
    eye_x: float
    eye_z: float
    eye_yaw: float  # outward turn of the eyeball's socket
    eye_cant: float  # above 0: the outer corners stand higher
    lid: float  # thickness
    lid_width: float  # half the angle of the opening, sideways
    lid_up: float
    lid_low: float
    lid_fold: float  # angle from the upper lid's edge to its crease
    skull_y: float
    skull: tuple[float, float, float]
    face_y: float
    face: tuple[float, float, float]
    jaw: tuple[float, float]
    jaw_radius: float
    chin: tuple[float, float, float]
    chin_radius: float
    cheek: tuple[float, float, float]
    cheek_radius: float
    brow_y: float
    brow_z: float
    nose: tuple[float, float]  # y, z of the tip
    nose_radius: float
    nose_width: float
    bridge: tuple[float, float]
    bridge_radius: float
    wing: tuple[float, float]  # x of the nose wings, distance behind the tip
    wing_radius: float
    mouth_y: float
    mouth_width: float
    mouth_curve: float
    mouth_gap: tuple[float, float]
    lips: tuple[float, float]
    cupid_bow: float
    ear: tuple[float, float]
    ear_radius: float
    ear_angle: float
    neck: float
    shoulders: float
    shoulder_y: float
    wrinkles: float
    teeth: float = 0.5
    lopsided: dict[str, float] = field(default_factory=dict)


def make_expression(attributes: Attributes, overrides: Overrides = NONE) -> Mouth:
    """The expression of a head."""
    return replace(EXPRESSIONS[attributes.expression], **overrides.expression)


def sample_shape(attributes: Attributes, overrides: Overrides = NONE) -> Shape:
    """Draws the shape of a head; the same attributes and overrides give the same shape."""
    rng = np.random.default_rng([attributes.seed, 1])

    def normal(name: str, spread: float) -> float:
        drawn = float(np.clip(rng.normal(0, spread), -2 * spread, 2 * spread))
        return overrides.normal(name, drawn, spread)

    numbers: dict = {}
    look = make_expression(attributes, overrides)
    _eyes(numbers, attributes, look, normal)
    _skull(numbers, attributes, look, normal)
    _nose_and_mouth(numbers, attributes, look, normal)
    _body(numbers, attributes, normal)
    numbers["lopsided"] = {
        "jaw": normal("lopsided_jaw", 0.022),
        "mouth_slant": normal("lopsided_mouth_slant", 0.05),
        "mouth_side": normal("lopsided_mouth_side", 0.012),
        "nose": normal("lopsided_nose", 0.014),
        "eye_height": normal("lopsided_eye_height", 0.012),
        "brow_height": normal("lopsided_brow_height", 0.02),
        "bend": normal("lopsided_bend", 0.012),
        "cheek": normal("lopsided_cheek", 0.014),
    }
    numbers["teeth"] = look.teeth
    numbers["wrinkles"] = overrides.number("wrinkles", numbers["wrinkles"])
    return Shape(**numbers)


def _eyes(s: dict, a: Attributes, look: Mouth, normal):
    man, kid, old = a.masculinity, a.age == "child", a.age == "old"
    s["eye_radius"] = (
        0.276 + normal("eye_radius", 0.008) + 0.014 * kid - 0.01 * old - 0.012 * man
    ) * a.eye_size
    s["eye_x"] = 0.318 + normal("eye_x", 0.014) - 0.25 * (0.27 - s["eye_radius"])
    s["eye_z"] = 0.335 - s["eye_radius"] + normal("eye_z", 0.01)
    s["eye_yaw"] = 0.16 + normal("eye_yaw", 0.03)
    s["eye_cant"] = 0.035 + normal("eye_cant", 0.06)
    s["lid"] = 0.031 + 0.005 * man + 0.007 * old
    s["lid_width"] = 1.0 + normal("lid_width", 0.04)
    s["lid_up"] = (
        0.565 + normal("lid_up", 0.06) + 0.04 * (1 - man) - 0.06 * old + 0.03 * kid + look.lids
    )
    s["lid_low"] = 0.485 + normal("lid_low", 0.045) - look.squint
    s["lid_fold"] = 0.16 + normal("lid_fold", 0.045)


def _skull(s: dict, a: Attributes, look: Mouth, normal):
    man, kid, old, weight = a.masculinity, a.age == "child", a.age == "old", a.weight
    smile, drop = max(look.smile, 0), look.jaw_drop
    width = 0.80 + normal("skull_width", 0.03) + 0.015 * weight
    s["skull_y"] = 0.28 + normal("skull_y", 0.03)
    s["skull"] = (
        width,
        0.79 + normal("skull_height", 0.04) + 0.02 * kid,
        0.86 + normal("skull_depth", 0.03),
    )
    s["face_y"] = -0.33 + normal("face_y", 0.025) + 0.04 * kid - 0.03 * man
    s["face"] = (
        0.625 + normal("face_width", 0.03) + 0.045 * weight + 0.015 * kid,
        0.60 + normal("face_height", 0.03) - 0.06 * kid + 0.02 * man + 0.5 * drop,
        0.62 + normal("face_depth", 0.02),
    )
    s["jaw"] = (
        0.26 + normal("jaw_width", 0.03) + 0.09 * man * (not kid) + 0.03 * weight,
        -0.53 + normal("jaw_y", 0.03) + 0.05 * kid - 0.04 * man - 0.4 * drop,
    )
    s["jaw_radius"] = (
        0.20 + normal("jaw_radius", 0.02) + 0.03 * man * (not kid) + 0.035 * max(weight, 0)
    )
    s["chin"] = (
        0.02 + 0.07 * man * (not kid) * abs(normal("chin_width", 1.0)) / 2,
        -0.79 + normal("chin_y", 0.04) + 0.08 * kid - 0.06 * man - drop,
        0.12 + normal("chin_z", 0.03),
    )
    s["chin_radius"] = 0.15 + normal("chin_radius", 0.018) + 0.035 * man * (not kid) - 0.012 * kid
    s["cheek"] = (
        0.33 + normal("cheek_x", 0.022) + 0.02 * smile,
        -0.33 + normal("cheek_y", 0.03) + 0.045 * smile - 0.05 * old,
        0.07 + normal("cheek_z", 0.025) + 0.02 * smile,
    )
    s["cheek_radius"] = (
        0.265
        + normal("cheek_radius", 0.015)
        + 0.03 * weight
        - 0.015 * man
        + 0.025 * kid
        + 0.012 * smile
    )
    s["brow_y"] = 0.34
    s["brow_z"] = -0.05 + 0.055 * man * (not kid) + normal("brow_z", 0.012) - 0.02 * kid


def _nose_and_mouth(s: dict, a: Attributes, look: Mouth, normal):
    man, kid, old = a.masculinity, a.age == "child", a.age == "old"
    y = -0.255 + normal("nose_y", 0.03) + 0.035 * kid - 0.04 * old - 0.025 * man
    radius = 0.082 + normal("nose_radius", 0.013) + 0.022 * man + 0.018 * old - 0.012 * kid
    s["nose"] = (y, 0.43 + normal("nose_z", 0.03) + 0.03 * man + 0.025 * old - 0.035 * kid)
    s["nose_radius"] = max(radius, 0.058)
    s["nose_width"] = 1.12 + normal("nose_width", 0.16)
    s["bridge"] = (0.02, 0.285 + normal("bridge_z", 0.018) + 0.022 * man - 0.015 * kid)
    s["bridge_radius"] = 0.038 + normal("bridge_radius", 0.007) + 0.013 * man
    wing = max(0.054 + normal("wing_radius", 0.009) + 0.004 * man - 0.006 * kid, 0.036)
    s["wing_radius"] = wing
    s["wing"] = (0.078 + normal("wing_x", 0.011) + 0.3 * (radius - 0.09) + (wing - 0.054), 0.075)
    s["mouth_y"] = -0.575 + normal("mouth_y", 0.022) + 0.05 * kid - 0.03 * man + 0.4 * (y + 0.265)
    s["mouth_y"] -= 0.3 * look.jaw_drop
    s["mouth_width"] = (
        0.222 + normal("mouth_width", 0.022) + 0.012 * man - 0.016 * kid
    ) * look.width
    s["mouth_curve"] = look.smile * (1 + normal("mouth_curve", 0.15))
    s["mouth_gap"] = (look.gap_above, look.gap_below * (1 + normal("mouth_open", 0.12)))
    full = 0.7 * (1 - man) + normal("lips", 0.4) - 0.3 * old - 0.2 * kid
    s["lips"] = (max(0.022, 0.032 + 0.013 * full), max(0.028, 0.042 + 0.014 * full))
    s["cupid_bow"] = 0.35 + normal("cupid_bow", 0.15)


def _body(s: dict, a: Attributes, normal):
    man, kid, old, weight = a.masculinity, a.age == "child", a.age == "old", a.weight
    s["ear_radius"] = 0.225 + normal("ear_radius", 0.02) + 0.02 * man + 0.025 * old
    s["ear"] = (s["skull"][0] * 0.975, -0.02 + normal("ear_y", 0.03))
    s["ear_angle"] = 0.35 + abs(normal("ear_angle", 0.25))
    s["neck"] = 0.315 + 0.06 * man * (not kid) + 0.03 * weight - 0.03 * kid
    s["shoulders"] = 0.93 + 0.14 * man * (not kid) + 0.05 * weight - 0.1 * kid
    s["shoulder_y"] = -1.66 + normal("shoulder_y", 0.05) + 0.06 * kid
    s["wrinkles"] = 0.8 + normal("wrinkles", 0.1) if old else 0.0
