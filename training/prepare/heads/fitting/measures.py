"""Measures of a face mesh, and where they stand among people.

The mesh is turned to the front first, and lengths are in units of the face's own size, so that
neither pose nor distance matters. `quantiles.json` holds, for each measure, how it changes with
expression, turn, gender and age, and the quantiles of what is left among people.
"""

import json
from functools import cache
from pathlib import Path
from statistics import NormalDist

import numpy as np

from training.prepare.teacher.face_mesh import EYES, LIP_INNER_LOWER, LIP_INNER_UPPER

TABLE = Path(__file__).parent / "quantiles.json"
FOREHEAD, NOSE_BASE, NOSE_TIP, CHIN, NASION = 10, 2, 4, 152, 168
SMILE = ("open", "smile", "mouth_width", "lip_upper", "lip_lower", "mouth_low", "nose_width")
COVARIATES = ("open", "smile", "turn", "masculinity", "old")


class FrontalMesh:
    """A face mesh in the face's own axes: x to the subject's left, y down, z into the face.

    Args:
        points: (478, 3) landmarks in px.

    Attributes:
        points: (478, 3) in units of the face's size, from the middle between the eyes.
        yaw, pitch, roll: degrees; yaw is positive when the face turns to the right of the picture,
            pitch when it is seen from above, roll when the picture's right eye is lower.
    """

    def __init__(self, points: np.ndarray):
        p = np.asarray(points, float)
        across = p[454] - p[234] + 0.5 * (p[263] - p[33])
        x = across / np.linalg.norm(across)
        # The upper face alone: an open mouth moves the chin.
        down = p[CHIN] - p[FOREHEAD] + p[NOSE_BASE] - p[NASION]
        down = down - x * (down @ x)
        y = down / np.linalg.norm(down)
        z = np.cross(x, y)
        axes = np.stack([x, y, z])
        eyes = np.stack([p[eye.lids].mean(0) for eye in EYES])
        turned = (p - eyes.mean(0)) @ axes.T
        width = np.ptp(turned[[234, 454], 0])
        height = np.ptp(turned[[FOREHEAD, NOSE_BASE], 1])
        self.points = turned / np.sqrt(width * height)
        self.yaw = float(np.degrees(np.arcsin(np.clip(-z[0], -1, 1))))
        self.pitch = float(np.degrees(np.arcsin(np.clip(-z[1], -1, 1))))
        self.roll = float(np.degrees(np.arctan2(x[1], x[0])))

    def distance(self, first: int, second: int) -> float:
        """Length of the way between two landmarks, seen from the front."""
        return float(np.linalg.norm(self.points[first, :2] - self.points[second, :2]))

    def height(self, upper: int, lower: int) -> float:
        return float(self.points[lower, 1] - self.points[upper, 1])

    def width(self, right: int, left: int) -> float:
        return float(self.points[left, 0] - self.points[right, 0])


def measure_face(mesh: FrontalMesh) -> dict[str, float]:
    """The measures of a face by name; widths and heights in units of its size, angles in rad."""
    p = mesh.points
    found = _measure_eyes(mesh) | _measure_mouth(mesh)
    found |= {
        "face_aspect": mesh.width(234, 454) / mesh.height(FOREHEAD, CHIN),
        "forehead_width": mesh.width(54, 284) / mesh.width(234, 454),
        "forehead_height": float(p[[105, 334], 1].mean() - p[FOREHEAD, 1]),
        "cheek_width": mesh.width(132, 361) / mesh.width(234, 454),
        "jaw_width": mesh.width(172, 397) / mesh.width(234, 454),
        "jaw_height": float(np.mean(p[[172, 397], 1])),
        "chin_width": mesh.width(149, 378) / mesh.width(234, 454),
        "chin_height": mesh.height(17, CHIN),
        "nose_length": mesh.height(NASION, NOSE_BASE),
        "nose_low": float(p[NOSE_BASE, 1]),
        "nose_width": mesh.width(64, 294),
        "nose_tip": mesh.width(44, 274),
        "nose_bridge": mesh.width(174, 399),
        "nose_out": float(np.mean(p[[64, 294], 2]) - p[NOSE_TIP, 2]),
    }
    return found


def _measure_eyes(mesh: FrontalMesh) -> dict[str, float]:
    p, rows = mesh.points, []
    for eye in EYES:
        outer, inner = p[eye.upper[0]], p[eye.upper[-1]]
        length = abs(outer[0] - inner[0])
        center = p[eye.lids].mean(0)
        opening = np.mean(p[eye.lower[3:6], 1] - p[eye.upper[3:6], 1])
        brow = 0.5 * (p[eye.brow_upper] + p[eye.brow_lower])  # from the outer to the inner end
        chord = brow[-1] - brow[0]
        rows.append(
            {
                "eye_width": length,
                "eye_open": opening / length,
                "eye_cant": np.arctan2(inner[1] - outer[1], length),
                "eye_apart": abs(center[0]),
                "brow_height": center[1] - brow[1:4, 1].mean(),
                "brow_arch": -(brow[1:4, 1].mean() - 0.5 * (brow[0, 1] + brow[-1, 1])),
                "brow_peak": brow[1, 1] - brow[3, 1],
                "brow_angle": np.arctan2(chord[1], abs(chord[0])),
                "brow_gap": abs(brow[-1, 0]),
                "brow_length": abs(chord[0]),
            }
        )
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}


def _measure_mouth(mesh: FrontalMesh) -> dict[str, float]:
    p = mesh.points
    gap = float(np.mean(p[LIP_INNER_LOWER[4:7], 1] - p[LIP_INNER_UPPER[4:7], 1]))
    corners, middle = p[[61, 291], 1].mean(), 0.5 * (p[13, 1] + p[14, 1])
    width = mesh.width(61, 291)
    return {
        "mouth_low": mesh.height(NOSE_BASE, 13),
        "mouth_width": width,
        "lip_upper": mesh.height(0, 13),
        "lip_lower": mesh.height(14, 17),
        "lip_bow": float(p[0, 1] - p[[37, 267], 1].mean()),
        "mouth_slant": float((p[291, 1] - p[61, 1]) / width),
        "open": max(gap, 0.0) / width,
        "smile": float(middle - 0.35 * max(gap, 0.0) - corners) / width,
    }


@cache
def load_table() -> dict:
    return json.loads(TABLE.read_text())


def make_covariates(measures: dict[str, float], turn: float, masculinity: float, old: float):
    """What a measure changes with, in the order of `COVARIATES`."""
    return np.array([measures["open"], measures["smile"], abs(turn) / 30, masculinity, old])


def rank_measures(measures: dict[str, float], covariates: np.ndarray) -> dict[str, float]:
    """Where each measure stands among people of the same expression, turn, gender and age.

    Returns:
        Name -> standard deviations of a normal distribution with the same rank, -2.4 to 2.4.
    """
    ranks = {}
    for name, row in load_table()["measures"].items():
        rest = measures[name] - float(np.dot(row["slopes"], covariates))
        share = np.interp(rest, row["quantiles"], np.linspace(0, 1, len(row["quantiles"])))
        ranks[name] = NormalDist().inv_cdf(float(np.clip(share, 0.008, 0.992)))
    return ranks
