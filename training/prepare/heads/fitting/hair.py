"""Hair of a portrait: how long, how thick, how curled, and which hairstyle comes nearest."""

from dataclasses import dataclass

import numpy as np

from training.prepare.heads.attributes import FRINGE_STYLES
from training.prepare.teacher.face_mesh import CHIN, OVAL, TOP
from training.prepare.teacher.hair_kinds import BRAIDS
from training.prepare.teacher.portrait import Portrait
from training.prepare.teacher.shapes import Canvas

UNIT = 0.62  # head units to a unit of the face
CHIN_Y = -0.94  # of a head
USUAL_RECEDE = 0.42  # of the hairline over the forehead's end


@dataclass(frozen=True)
class HairMeasures:
    """Lengths in units of the face (see `FaceFrame`), shares in [0, 1].

    Args:
        area: of the hair, squared units.
        rise: of the hair over the forehead's end.
        crown: share of the head's top that has hair.
        sides: mean thickness of the hair beside the face.
        end: how far the hair hangs below the eyes on its longer side.
        chin: of the chin below the eyes.
        recede: height of the hairline over the forehead's end; below 0: hair hangs lower.
        fringe: share of the forehead that hair covers.
        lean: of that hair to the picture's left (below 0) or right.
        curl, coherence, energy: of the texture.
        ropes: whether it hangs in braids or locs.
    """

    area: float
    rise: float
    crown: float
    sides: float
    end: float
    chin: float
    recede: float
    fringe: float
    lean: float
    curl: float
    coherence: float
    energy: float
    ropes: bool


def measure_hair(portrait: Portrait) -> HairMeasures:
    """Measures the hair of a portrait by its mask."""
    frame, unit = portrait.frame, portrait.frame.unit
    rows, columns = np.mgrid[0 : portrait.rgb.shape[0], 0 : portrait.rgb.shape[1]]
    face = frame.to_face(np.stack([columns, rows], -1))
    points = frame.to_face(portrait.points)
    middle = points[OVAL, 0].mean()
    x, y = face[..., 0] - middle, face[..., 1]
    hair = portrait.masks.hair > 0.5
    top, chin = points[TOP, 1], points[CHIN, 1]
    brow = points[[105, 334], 1].mean()
    oval = Canvas(portrait.rgb.shape).polygon(portrait.points[OVAL, :2], 0) > 0.5
    center = hair & (np.abs(x) < 0.22) & (y < brow)
    upper = hair & (np.abs(x) < 0.5) & (y < top + 0.15)
    slots = np.linspace(-0.45, 0.45, 19)
    crown = np.mean([(upper & (np.abs(x - slot) < 0.025)).any() for slot in slots])
    beside = hair & (y > -0.15) & (y < 0.45)
    sides = beside.sum() / unit**2 / 0.6 / 2
    ends = [
        np.percentile(y[hair & part], 99) if (hair & part).any() else top for part in (x < 0, x > 0)
    ]
    forehead = oval & (y < brow - 0.08) & (np.abs(x) < 0.55)
    covered = forehead & hair
    fringe = covered.sum() / max(1, int(forehead.sum()))
    lean = float(np.sign(x[covered]).mean()) if covered.sum() > 50 else 0.0
    line = np.percentile(y[center], 97) if center.sum() > 30 else top - 0.5
    texture = portrait.hair
    return HairMeasures(
        area=float(hair.sum() / unit**2),
        rise=float(top - (np.percentile(y[center], 2) if center.any() else top)),
        crown=float(crown),
        sides=float(sides),
        end=float(max(ends)),
        chin=float(chin),
        recede=float(top - line),
        fringe=float(fringe),
        lean=lean,
        curl=texture.curl,
        coherence=texture.coherence,
        energy=texture.energy,
        ropes=texture.kind == BRAIDS,
    )


def read_kind(hair: HairMeasures, masculine: bool) -> str:
    """straight, wavy, curly or coily, by the texture."""
    if hair.ropes or hair.coherence < 0.34:
        return "coily"
    cropped = masculine and hair.area < 2  # cropped hair lies in all directions
    if hair.coherence < (0.385 if cropped else 0.43) or (hair.curl > 0.05 and not cropped):
        return "curly"
    return "wavy" if hair.coherence < 0.58 and hair.energy > 0.06 else "straight"


def read_style(hair: HairMeasures, kind: str, masculine: bool) -> str:
    """The hairstyle that comes nearest to the outline of the hair."""
    above = hair.rise - max(hair.recede, 0)  # thickness over the hairline
    curled = kind in ("curly", "coily")
    hangs = hair.end - hair.chin
    if hair.area < 0.3:
        return "bald"
    if hair.crown < 0.4:
        return "ring"
    if hair.ropes and hangs > -0.6:
        return "locs" if masculine else "braids"
    if hangs > -0.5 and hair.sides > 0.2:
        if curled:
            return "afro" if kind == "coily" and hangs < 0.2 else "long_curls"
        return "bob" if hangs < 0.45 else "long"
    if curled:
        if above > 0.75 and hair.sides > 0.25 and kind == "coily":
            return "afro"
        return "buzz" if above < 0.4 and masculine else "short_curls"
    if not masculine:
        tied = above < 0.75 and hair.sides < 0.16 and hair.fringe < 0.1
        return "bun" if tied else "pixie"
    if above < 0.28:
        return "buzz"
    if hair.fringe > 0.06:
        return "messy" if hair.area > 1.8 else "side_part"
    return "quiff" if above > 0.68 else "side_part" if above > 0.5 else "short"


def read_fringe(hair: HairMeasures, style: str) -> str:
    """none, straight or swept, for the styles that have fringes."""
    if style not in FRINGE_STYLES or hair.fringe < 0.12:
        return "none"
    return "swept" if abs(hair.lean) > 0.35 or hair.fringe < 0.35 else "straight"


def hair_numbers(hair: HairMeasures, style: str) -> dict[str, float]:
    """Numbers of `Overrides` for the hair: hairline, parting and where it ends."""
    numbers = {"recede": float(np.clip(hair.recede - USUAL_RECEDE, -0.02, 0.35) * 40)}
    if hair.fringe > 0.04 and abs(hair.lean) > 0.3:
        # Hair that covers the right of the forehead comes from a parting on its left.
        numbers["part"] = float(-np.sign(hair.lean) * 0.25)
    if style in ("short", "side_part", "quiff", "messy", "short_curls", "pixie"):
        above = hair.rise - max(hair.recede, 0)
        numbers["hair_length"] = float(np.clip(0.25 + 1.1 * above, 0.55, 1.15))
    if style in ("bob", "long"):
        below = hair.end - hair.chin
        numbers["hair_end"] = float(
            np.clip(CHIN_Y - UNIT * below * (0.8 if below > 0 else 1.2), -1.85, -0.5)
        )
    return numbers
