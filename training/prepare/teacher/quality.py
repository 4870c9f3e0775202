"""Which photos are left out and why, and how good a drawing is likely to be."""

import cv2
import numpy as np

from training.prepare.teacher.face_mesh import CHIN, EYES, LIPS, OVAL, head_turn
from training.prepare.teacher.filters import tidy
from training.prepare.teacher.portrait import Portrait
from training.prepare.teacher.shapes import Canvas

MAX_TURN_DEGREES = 35
MIN_CONFIDENCE = 0.80
MIN_FACE_PX = 40
MIN_INSIDE = 0.97
HAND_POINTS = 4  # of a hand's 21 points in the face: the hand covers it


def refuse(portrait: Portrait) -> str:
    """Why a face is left out; empty if it is drawn."""
    if portrait.photo_face_px < MIN_FACE_PX:
        return "face too small"
    if head_turn(portrait.points) > MAX_TURN_DEGREES:
        return "head turned"
    if portrait.inside < MIN_INSIDE:
        return "face cut by the photo's border"
    if portrait.masks.confidence < MIN_CONFIDENCE:
        return "unsure masks"
    face = Canvas(portrait.rgb.shape).polygon(portrait.points[OVAL, :2], 0) > 0.5
    if (portrait.masks.skin[face] > 0.5).mean() < 0.55:
        return "face covered"
    height, width = face.shape
    for hand in portrait.hands:
        x, y = hand.astype(int).T
        covered = np.zeros(len(hand), bool)
        seen = (x >= 0) & (y >= 0) & (x < width) & (y < height)
        covered[seen] = face[y[seen], x[seen]]
        # A face that is taken for a hand has its wrist, point 0, inside too.
        if covered.sum() >= HAND_POINTS and not covered[0]:
            return "hand over the face"
    return ""


def score_parts(portrait: Portrait) -> dict[str, float]:
    """Factors in [0, 1] of the quality score, by name.

    Args:
        portrait: one face of the photo.
    """
    masks = portrait.masks
    crown = float(np.maximum(masks.hair, masks.skin)[:3].max(0).mean())
    soft = masks.hair_probability[masks.person > 0.5]
    unsure = float(((soft > 0.3) & (soft < 0.7)).mean()) if soft.size else 1.0
    parts = {
        "masks": (masks.confidence - 0.75) / 0.17,
        "turn": (40 - head_turn(portrait.points)) / 15,
        "inside": (portrait.inside - 0.9) / 0.1,
        "size": portrait.photo_face_px / 160,
        "crown": 1 - 0.5 * np.clip(crown / 0.35, 0, 1),
        "hair": 1 - 4 * max(0.0, unsure - 0.05),
        "light": face_contrast(portrait),
        "outline": np.clip(1.6 - 0.06 * hair_roughness(portrait), 0.2, 1),
        "lost hair": np.clip(1.3 - 2 * masks.lost_hair, 0.3, 1),
        "doubtful skin": np.clip(1.15 - 0.8 * masks.doubtful_skin, 0.3, 1),
    }
    return {name: round(float(np.clip(value, 0, 1)), 2) for name, value in parts.items()}


def hair_roughness(portrait: Portrait) -> float:
    """Squared outline of the hair on the head over that of a disc as large; torn hair has much."""
    rows, columns = np.mgrid[0 : portrait.rgb.shape[0], 0 : portrait.rgb.shape[1]]
    y = portrait.frame.to_face(np.stack([columns, rows], -1))[..., 1]
    chin = portrait.frame.to_face(portrait.points[CHIN])[1]
    hair = tidy(portrait.masks.hair * (y < 0.8 * chin), portrait.frame.unit, 0.1, 0.02) > 0.5
    outlines, _ = cv2.findContours(hair.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    length = sum(cv2.arcLength(outline, True) for outline in outlines)
    return length**2 / (4 * np.pi * max(1, int(hair.sum())))


def face_contrast(portrait: Portrait) -> float:
    """1 for an evenly lit face, less where one half is much darker than the other."""
    x = portrait.frame.to_face(portrait.points[OVAL])[:, 0].mean()
    rows, columns = np.mgrid[0 : portrait.rgb.shape[0], 0 : portrait.rgb.shape[1]]
    face = Canvas(portrait.rgb.shape).polygon(portrait.points[OVAL, :2], 0) > 0.5
    face &= portrait.masks.skin > 0.5
    points = np.stack([columns[face], rows[face]], 1)
    right = portrait.frame.to_face(points)[:, 0] > x
    light = portrait.lab[..., 0][face]
    if min(right.sum(), (~right).sum()) < 100:
        return 0.5
    ratio = np.median(light[right]) / max(1.0, float(np.median(light[~right])))
    even = np.clip(1.6 - 2.0 * abs(np.log(max(ratio, 1e-3))), 0.3, 1)
    spread = float(np.percentile(light, 92) - np.percentile(light, 35)) / float(np.median(light))
    return float(even * np.clip(1.9 - 2.0 * spread, 0.4, 1))


def score(portrait: Portrait) -> float:
    """Quality of a drawing in [0, 1]: the product of its parts."""
    return round(float(np.prod(list(score_parts(portrait).values()))), 2)


def feature_boxes(points: np.ndarray, scale: float, origin) -> dict[str, list[int]]:
    """Boxes (left, top, right, bottom) of face, eyes and mouth in px of the photo.

    Args:
        points: (478, 3) landmarks on a canvas.
        scale: canvas px per photo px.
        origin: (left, top) of the canvas in the photo.
    """
    groups = {
        "face": OVAL,
        "right_eye": EYES[0].lids,
        "left_eye": EYES[1].lids,
        "mouth": LIPS,
    }
    boxes = {}
    for name, ids in groups.items():
        own = points[ids, :2] / scale + origin
        low, high = own.min(0), own.max(0)
        margin = 0.0 if name == "face" else 0.25 * (high - low).max()
        boxes[name] = [
            *np.floor(low - margin).astype(int).tolist(),
            *np.ceil(high + margin).astype(int).tolist(),
        ]
    return boxes
