"""Ranks of a face's measures -> ranks of a head's numbers, and its expression."""

from statistics import NormalDist

import numpy as np

from training.prepare.heads.fitting.measures import FrontalMesh
from training.prepare.heads.fitting.people import Person

# Number of a head -> measures of the face and their weights; the sum is as wide as one measure.
SHAPE: dict[str, dict[str, float]] = {
    "eye_radius": {"eye_width": 0.8, "eye_open": 0.4},
    "eye_x": {"eye_apart": 1},
    "eye_cant": {"eye_cant": 1},
    "lid_up": {"eye_open": 1},
    "lid_low": {"eye_open": 0.8},
    "brow_height": {"brow_height": 1},
    "brow_arch": {"brow_arch": 1},
    "brow_angle": {"brow_angle": 1},
    "brow_gap": {"brow_gap": 1},
    "brow_length": {"brow_length": 1},
    "skull_width": {"forehead_width": 0.8, "face_aspect": 0.4},
    "face_width": {"face_aspect": 0.9, "cheek_width": 0.3},
    "face_height": {"face_aspect": -0.8, "chin_height": 0.4},
    "cheek_x": {"face_aspect": 0.5, "cheek_width": 0.7},
    "cheek_radius": {"cheek_width": 0.9},
    "jaw_width": {"jaw_width": 1},
    "jaw_radius": {"jaw_width": 0.7, "cheek_width": 0.4},
    "jaw_y": {"jaw_height": -0.9},
    "chin_radius": {"chin_width": 1},
    "chin_y": {"chin_height": -0.9, "face_aspect": 0.4},
    "nose_y": {"nose_low": -0.9, "nose_length": -0.4},
    "nose_radius": {"nose_tip": 0.8, "nose_width": 0.5},
    "nose_width": {"nose_width": 0.6, "nose_tip": 0.5},
    "nose_z": {"nose_out": 1},
    "bridge_radius": {"nose_bridge": 1},
    "bridge_z": {"nose_out": 0.8},
    "wing_x": {"nose_width": 1},
    "wing_radius": {"nose_width": 0.9},
    "mouth_y": {"mouth_low": -0.8, "nose_low": -0.4},
    "mouth_width": {"mouth_width": 0.7},
    "lips": {"lip_upper": 0.65, "lip_lower": 0.65},
    "cupid_bow": {"lip_bow": 1},
}
SLANT = 0.3  # of a measured slant that is the person's, not the mesh's
LIMIT = 2.2  # a seed draws up to 2
EXAGGERATION = 1.3  # a head is a caricature
SYMMETRIC = ("jaw", "mouth_side", "nose", "eye_height", "bend", "cheek", "brow_height")
TEETH_OPEN, LAUGH_OPEN = 0.055, 0.3  # height of the mouth's opening over its width


def head_ranks(ranks: dict[str, float], slant: float) -> dict[str, float]:
    """Ranks of the numbers of a head.

    Args:
        ranks: Of the measures of a face, in standard deviations.
        slant: Of the mouth: how much lower its left corner is, over its width.
    """
    found = {
        name: EXAGGERATION * sum(w * ranks[measure] for measure, w in weights.items())
        for name, weights in SHAPE.items()
    }
    found = {name: round(float(np.clip(rank, -LIMIT, LIMIT)), 3) for name, rank in found.items()}
    # The width between the halves of the chin has no sign.
    found["chin_width"] = max(0.0, 1 + found["chin_radius"])
    # A measure of one photo cannot tell a bent face from a turned one.
    found |= dict.fromkeys((f"lopsided_{name}" for name in SYMMETRIC), 0.0)
    found["lopsided_mouth_slant"] = round(float(np.clip(-SLANT * slant / 0.05, -2, 2)), 3)
    return found


def face_attributes(ranks: dict[str, float], person: Person) -> dict:
    """Attributes that are read from the shape of a face and from its person."""
    masculine = person.masculine > 0.5
    sure = abs(person.masculine - 0.5) * 2
    share = NormalDist().cdf
    wide = 0.5 * (ranks["cheek_width"] + ranks["jaw_width"]) + 0.4 * ranks["face_aspect"]
    return {
        "gender": "masculine" if masculine else "feminine",
        "masculinity": 0.6 + 0.4 * sure if masculine else 0.4 * (1 - sure),
        "age": "old" if person.old > 0.55 else "adult" if person.old > 0.2 else "young",
        "weight": float(np.clip(0.7 * wide, -1, 1)),
        "eye_size": 0.84 + 0.18 * share(0.7 * ranks["eye_width"] + 0.5 * ranks["eye_open"]),
        "brows": read_brows(ranks),
    }


def read_brows(ranks: dict[str, float]) -> str:
    """soft, arched, straight or angled."""
    if ranks["brow_peak"] > 0.9:
        return "angled"
    if ranks["brow_arch"] > 0.7:
        return "arched"
    return "straight" if ranks["brow_arch"] < -0.7 else "soft"


def read_expression(measured: dict[str, float], ranks: dict[str, float], smile: float) -> str:
    """The expression whose name fits: by smile and opening, and by the brows of a face at rest."""
    opened = measured["open"]
    if opened > LAUGH_OPEN:
        return "laugh" if smile > 0.6 else "surprised"
    if smile > 0.62:
        return "grin" if opened > TEETH_OPEN else "smile"
    if smile < 0.3 and ranks["brow_angle"] < -1.2:
        return "sad"
    if smile < 0.3 and ranks["brow_angle"] > 1.2 and ranks["brow_height"] < -0.8:
        return "stern"
    return "neutral"


def expression_numbers(
    measured: dict[str, float], smile: float, kind: str, teeth: bool
) -> dict[str, float]:
    """Numbers of `shape.Mouth`: how far a mouth smiles and opens, as the face does."""
    if kind == "surprised":
        return {}
    opened = measured["open"] if kind in ("grin", "laugh") else 0.0
    gap = float(np.interp(opened, [0.03, 0.07, 0.12, 0.2, 0.4], [0.0, 0.08, 0.13, 0.17, 0.23]))
    wide = float(np.interp(smile, [0.0, 0.5, 1.0, 1.5], [0.98, 1.08, 1.26, 1.4]))
    curve = float(np.interp(smile, [-0.1, 0.3, 0.7, 1.1, 1.5], [-0.15, 0.2, 0.55, 0.78, 0.95]))
    return {
        "width": wide,
        "smile": curve,
        "gap_above": 0.012 if gap > 0.03 else 0.0,
        "gap_below": gap,
        "squint": 0.07 * float(np.clip(smile, 0, 1.3)),
        "jaw_drop": 0.35 * gap,
        "teeth": 0.8 if teeth and opened < LAUGH_OPEN else 0.5,
    }


def pose_angles(mesh: FrontalMesh, usual: dict[str, float]) -> dict[str, float]:
    """Yaw, pitch, roll and tilt of a head in degrees; FFHQ's crop takes the roll away.

    Args:
        mesh: Of the face.
        usual: Median angles among people, which are the mesh's error.
    """
    return {
        "yaw": float(np.clip(mesh.yaw - usual["yaw"], -40, 40)),
        "pitch": float(np.clip(1.5 + 0.7 * (mesh.pitch - usual["pitch"]), -10, 13)),
        "roll": 0.0,
        "tilt": float(np.clip(-mesh.roll, -14, 14)),
    }
