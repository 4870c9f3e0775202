"""Points of the face, known from its geometry: 68 in the iBUG order, pupils and ears.

"Left" is the subject's left, on the right of the picture. The iBUG order starts at the left of
the picture, that is at the subject's right ear.
"""

import numpy as np

from training.prepare.heads.brows import Brow
from training.prepare.heads.face import Face
from training.prepare.heads.pose import Bend

EYE = ("corner_outer", "upper_outer", "upper_inner", "corner_inner", "lower_inner", "lower_outer")
NAMES = (
    *(f"jaw_{i}" for i in range(17)),
    *(f"right_brow_{i}" for i in range(5)),
    *(f"left_brow_{i}" for i in range(5)),
    *(f"nose_bridge_{i}" for i in range(3)),
    "nose_tip",
    *("right_wing", "right_nostril", "nose_base", "left_nostril", "left_wing"),
    *(f"right_eye_{name}" for name in EYE),
    *(f"left_eye_{name}" for name in (*EYE[3::-1], EYE[5], EYE[4])),
    *(f"lips_outer_{i}" for i in range(12)),
    *(f"lips_inner_{i}" for i in range(8)),
    "right_pupil",
    "left_pupil",
    *("right_ear_top", "right_ear_lobe", "left_ear_top", "left_ear_lobe"),
)
MIRRORED = {  # index of the point that takes a point's place in a mirror
    "jaw": tuple(range(16, -1, -1)),
    "brow": tuple(range(4, -1, -1)),
    "lips_outer": (*range(6, -1, -1), *range(11, 6, -1)),
    "lips_inner": (*range(4, -1, -1), *range(7, 4, -1)),
}
RIGHT_EYE, LEFT_EYE = slice(36, 42), slice(42, 48)
MOUTH_CORNERS = [48, 54]


def mirror_name(name: str) -> str:
    """The name of the landmark that takes a landmark's place in a mirror.

    Example:
        >>> mirror_name("right_brow_0"), mirror_name("nose_tip")
        ('left_brow_4', 'nose_tip')
    """
    side, _, rest = name.partition("_")
    other = {"left": "right", "right": "left"}.get(side)
    part = rest if other else name
    kind, _, index = part.rpartition("_")
    if kind in MIRRORED:
        part = f"{kind}_{MIRRORED[kind][int(index)]}"
    return f"{other}_{part}" if other else part


def find_landmarks(face: Face, bend: Bend, brow: Brow, gaze) -> np.ndarray:
    """The points of a face in head units, (74, 3), in the order of NAMES.

    Args:
        face, bend, brow: The head.
        gaze: Unit vectors of the right and the left eye's gaze, (2, 3).
    """
    pupils = [
        bend.eye(side) + face.shape.eye_radius * np.asarray(g)
        for side, g in zip((-1, 1), gaze, strict=True)
    ]
    eye = _eye(face)
    brow_line = _brow(face, brow)
    points = [
        bend(_jaw(face)),
        bend(_flip(brow_line)[::-1]),
        bend(brow_line),
        bend(_nose(face)),
        bend(_flip(eye)),
        bend(eye[[3, 2, 1, 0, 5, 4]]),
        bend(_lips(face)),
        np.stack(pupils),
        bend(_flip(_ear(face))),
        bend(_ear(face)),
    ]
    return np.concatenate(points)


def _flip(points):
    return points * [-1, 1, 1]


def _jaw(face):
    """From ear to ear below the face: the base, seen from its inside."""
    turn = np.linspace(-1, 1, 17)
    s = face.shape
    bottom = s.chin[1] - s.chin_radius * 0.8
    y = bottom - (bottom - s.ear[1] + 0.05) * np.abs(turn) ** 1.7
    angle = turn * np.radians(95)
    direction = np.stack([np.sin(angle), np.zeros(17), np.cos(angle)], -1)
    start = np.stack([np.zeros(17), y, np.full(17, -0.3)], -1)
    return _march(face.base, start + direction * 1.6, -direction)


def _march(field, p, direction, steps=28):
    for _ in range(steps):
        distance = np.clip(field(p.astype(np.float32)) * 0.8, -0.05, 0.2)
        p = p + direction * distance[:, None]
    return p


def _on_face(face, x, y):
    x, y = np.asarray(x, float), np.asarray(y, float)
    return np.stack([x, y, face.depth_at(x, y)], -1)


def _brow(face, brow):
    return _on_face(face, *brow.center(np.linspace(0.02, 0.98, 5)))


def _nose(face):
    s = face.shape
    y, bridge_y = s.nose[0], s.bridge[0]
    rows = [(0, bridge_y + (y - bridge_y) * t) for t in (0, 0.35, 0.7)]
    rows.append((0, y))
    x, low = s.wing[0], y - 0.75 * s.nose_radius
    rows += [(-x, y - 0.05), (-x * 0.5, low), (0, low - 0.01), (x * 0.5, low), (x, y - 0.05)]
    return _on_face(face, *np.array(rows, float).T)


def _eye(face):
    s = face.shape
    side = np.array([0.97, 0.4, -0.4, -0.97, -0.4, 0.4]) * s.lid_width
    upper, lower = face.lid_edges(side)
    elevation = np.array([0, upper[1], upper[2], 0, lower[4], lower[5]])
    return face.lid_point(side, elevation, s.eye_radius + s.lid * 0.6)


def _lips(face):
    s = face.shape
    corner = face.mouth_corner()
    around = np.array([-1, -0.62, -0.3, 0, 0.3, 0.62, 1]) * s.mouth_width
    upper, lower, arc = face.mouth_edges(np.abs(around))
    bow = 1 - s.cupid_bow * np.exp(-((around / 0.035) ** 2))
    top = upper + 1.6 * s.lips[0] * bow * arc**0.55
    low = lower - 1.6 * s.lips[1] * arc**0.5
    x = around[1:6]
    outer_up, outer_low = _on_face(face, x, top[1:6]), _on_face(face, x, low[1:6])
    inner = around[2:5] * 1.4
    upper, lower, _ = face.mouth_edges(np.abs(inner))
    depth = face.mouth_depth(inner) + 0.015
    inner_up, inner_low = np.stack([inner, upper, depth], -1), np.stack([inner, lower, depth], -1)
    right, left = corner * [-1, 1, 1], corner
    inset = np.array([0.88, 1, 1])
    return np.concatenate(
        [
            *(right[None], outer_up, left[None], outer_low[::-1]),
            *((right * inset)[None], inner_up, (left * inset)[None], inner_low[::-1]),
        ]
    )


def _ear(face):
    s = face.shape
    x, y = s.ear
    return np.array([[x + 0.03, y + 0.93 * s.ear_radius, -0.44], [x, y - s.ear_radius, -0.38]])


def framed_points(points):
    """Middle of the right and the left eye's opening, and the mouth's corners: (2, 3) each."""
    eyes = np.stack([points[RIGHT_EYE].mean(0), points[LEFT_EYE].mean(0)])
    return eyes, points[MOUTH_CORNERS]
