"""What a head looks like in words: drawn from its seed alone, balanced over blocks of seeds.

Every attribute has its own position in [0, 1) for each seed. A block of 64 consecutive seeds covers
64 equal parts of [0, 1) once, in an order of its own for every attribute, so a set of any length
has the shares below and no two attributes go together unless a table says so. The tables are
choices, not statistics of people:

- skin, eye color, hair color, hair kind, face shape: independent of everything, except that the old
  are often gray. The twelve skin tones are equally frequent.
- hairstyle: depends on the hair kind, and gently on gender; almost every style exists for both.
- beard: the masculine who are not children. Headwear, glasses, clothes, pose, light: independent,
  except that a hijab goes with the feminine who are not children.
"""

import zlib
from dataclasses import asdict, dataclass, fields

import numpy as np

BLOCK = 64

AGES = {"child": 0.17, "young": 0.32, "adult": 0.31, "old": 0.20}
GENDERS = {"feminine": 0.5, "masculine": 0.5}
SKIN_TONES = dict.fromkeys(range(1, 13), 1.0)
HAIR_KINDS = {"straight": 0.34, "wavy": 0.26, "curly": 0.2, "coily": 0.2}
HAIR_COLORS = {
    "black": 0.2,
    "dark_brown": 0.18,
    "brown": 0.15,
    "chestnut": 0.1,
    "auburn": 0.08,
    "ginger": 0.09,
    "blonde": 0.12,
    "ash": 0.06,
    "dyed": 0.02,
}
GRAY_HAIR = {"gray": 1.2, "white": 0.8}
EYE_COLORS = {
    "dark_brown": 0.2,
    "brown": 0.22,
    "amber": 0.1,
    "hazel": 0.12,
    "green": 0.13,
    "blue": 0.14,
    "gray": 0.09,
}


@dataclass(frozen=True)
class Hairstyle:
    """Length, hair kinds it exists for, and its weight for the feminine and the masculine."""

    length: str
    kinds: str
    feminine: float
    masculine: float


HAIRSTYLES = {
    "bald": Hairstyle("none", "straight wavy curly coily", 0.02, 0.07),
    "ring": Hairstyle("short", "straight wavy curly coily", 0.0, 0.04),
    "buzz": Hairstyle("short", "straight wavy curly coily", 0.03, 0.08),
    "short": Hairstyle("short", "straight wavy", 0.06, 0.16),
    "side_part": Hairstyle("short", "straight wavy", 0.05, 0.15),
    "quiff": Hairstyle("short", "straight wavy", 0.03, 0.13),
    "messy": Hairstyle("short", "straight wavy", 0.07, 0.13),
    "pixie": Hairstyle("short", "straight wavy", 0.11, 0.03),
    "bob": Hairstyle("medium", "straight wavy", 0.17, 0.03),
    "long": Hairstyle("long", "straight wavy", 0.21, 0.07),
    "bun": Hairstyle("long", "straight wavy curly coily", 0.09, 0.04),
    "ponytail": Hairstyle("long", "straight wavy curly coily", 0.09, 0.03),
    "pigtails": Hairstyle("long", "straight wavy curly coily", 0.06, 0.005),
    "braids": Hairstyle("long", "straight wavy curly coily", 0.1, 0.02),
    "locs": Hairstyle("long", "curly coily", 0.14, 0.14),
    "afro": Hairstyle("medium", "coily", 0.26, 0.22),
    "short_curls": Hairstyle("short", "curly coily", 0.12, 0.3),
    "long_curls": Hairstyle("long", "curly coily", 0.24, 0.07),
}
FRINGES = {"none": 0.5, "straight": 0.2, "swept": 0.3}
FRINGE_STYLES = ("bob", "long", "pixie", "bun", "ponytail", "pigtails", "braids")
BEARDS = {
    "none": 0.44,
    "stubble": 0.14,
    "full": 0.15,
    "goatee": 0.1,
    "moustache": 0.1,
    "long": 0.07,
}
GLASSES = {"none": 0.72, "round": 0.11, "square": 0.12, "sunglasses": 0.05}
HEADWEAR = {
    "none": 0.64,
    "cap": 0.075,
    "beanie": 0.075,
    "brim_hat": 0.06,
    "headscarf": 0.04,
    "hijab": 0.055,
    "turban": 0.055,
}
CLOTHES = {
    "crew": 0.2,
    "turtleneck": 0.12,
    "shirt": 0.19,
    "hoodie": 0.16,
    "tank": 0.11,
    "suit": 0.11,
    "scarf": 0.11,
}
PATTERNS = {"plain": 0.6, "stripes": 0.2, "dots": 0.1, "checks": 0.1}
EXPRESSIONS = {
    "neutral": 0.2,
    "smile": 0.32,
    "grin": 0.24,
    "laugh": 0.08,
    "surprised": 0.07,
    "sad": 0.05,
    "stern": 0.04,
}
LIGHTS = {"studio": 0.32, "soft": 0.22, "window": 0.16, "warm": 0.14, "cool": 0.1, "rim": 0.06}
BACKGROUNDS = {"plain": 0.16, "gradient": 0.2, "bokeh": 0.22, "indoor": 0.2, "outdoor": 0.22}
BROWS = {"soft": 0.35, "arched": 0.25, "straight": 0.25, "angled": 0.15}


@dataclass(frozen=True)
class Attributes:
    """The row of a head in the attribute table.

    Angles are in degrees: `yaw` is positive when the face turns to the right of the picture,
    `pitch` when it is seen from above, `tilt` is the lean of the head over the shoulders, `roll`
    of the whole picture. `masculinity`, `eye_size` and `weight` are the continuous measures
    behind the shape of the face.
    """

    seed: int
    age: str
    gender: str
    masculinity: float
    weight: float
    skin_tone: int
    eye_color: str
    eye_size: float
    hair_color: str
    hair_kind: str
    hair_style: str
    hair_length: str
    fringe: str
    brows: str
    beard: str
    glasses: str
    headwear: str
    clothes: str
    pattern: str
    expression: str
    freckles: bool
    earrings: bool
    lipstick: bool
    lashes: bool
    yaw: float
    pitch: float
    roll: float
    tilt: float
    light: str
    background: str

    def row(self) -> dict[str, str]:
        """Column -> text, in the order of the table."""
        return {name: _text(value) for name, value in asdict(self).items()}

    @classmethod
    def from_row(cls, row: dict[str, str]) -> "Attributes":
        """The attributes of a row; numbers are as exact as the row has them."""
        read = {int: int, float: float, str: str, bool: lambda text: text == "yes"}
        return cls(**{field.name: read[field.type](row[field.name]) for field in fields(cls)})


COLUMNS = tuple(field.name for field in fields(Attributes))


def _text(value) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def position(seed: int, attribute: str) -> float:
    """Where in [0, 1) the seed stands for an attribute; 64 seeds cover 64 equal parts."""
    block, place = divmod(seed, BLOCK)
    rng = np.random.default_rng([zlib.crc32(attribute.encode()), block])
    return float((rng.permutation(BLOCK)[place] + rng.random(BLOCK)[place]) / BLOCK)


def choose(weights: dict, position: float):
    """The value whose share of the weights, laid end to end, contains the position."""
    shares = np.cumsum(list(weights.values()))
    index = int(np.searchsorted(shares, position * shares[-1], side="right"))
    return list(weights)[min(index, len(weights) - 1)]


def sample_attributes(seed: int) -> Attributes:
    """Draws the attributes of a head.

    Args:
        seed: Number of the head, 0 or more.

    Returns:
        The same attributes for the same seed, whatever the size of the set.
    """

    def pick(attribute: str, weights: dict):
        return choose(weights, position(seed, attribute))

    def between(attribute: str, low: float, high: float) -> float:
        return low + (high - low) * position(seed, attribute)

    def chance(attribute: str, share: float) -> bool:
        return position(seed, attribute) < share

    age, gender = pick("age", AGES), pick("gender", GENDERS)
    feminine, grown = gender == "feminine", age != "child"
    kind = pick("hair_kind", HAIR_KINDS)
    style = pick("hair_style", style_weights(kind, gender, age))
    colors = HAIR_COLORS | (GRAY_HAIR if age == "old" else {})
    side = between("yaw", -1, 1)
    return Attributes(
        seed=seed,
        age=age,
        gender=gender,
        masculinity=between("masculinity", 0.0, 0.4) + (0.0 if feminine else 0.6),
        weight=between("weight", -1, 1),
        skin_tone=pick("skin_tone", SKIN_TONES),
        eye_color=pick("eye_color", EYE_COLORS),
        eye_size=between("eye_size", 0.84, 1.02),
        hair_color=pick("hair_color", colors),
        hair_kind=kind,
        hair_style=style,
        hair_length=HAIRSTYLES[style].length,
        fringe=pick("fringe", FRINGES) if style in FRINGE_STYLES else "none",
        brows=pick("brows", BROWS),
        beard=pick("beard", BEARDS) if grown and not feminine else "none",
        glasses=pick("glasses", GLASSES),
        headwear=pick("headwear", headwear_weights(feminine, grown)),
        clothes=pick("clothes", CLOTHES),
        pattern=pick("pattern", PATTERNS),
        expression=pick("expression", EXPRESSIONS),
        freckles=chance("freckles", 0.18),
        earrings=chance("earrings", 0.35 if feminine else 0.08),
        lipstick=grown and chance("lipstick", 0.45 if feminine else 0.03),
        lashes=chance("lashes", 0.55 if feminine else 0.25),
        yaw=float(np.sign(side) * 40 * abs(side) ** 1.5),
        pitch=between("pitch", -9, 12),
        roll=between("roll", -4, 4),
        tilt=between("tilt", -11, 11),
        light=pick("light", LIGHTS),
        background=pick("background", BACKGROUNDS),
    )


def style_weights(kind: str, gender: str, age: str) -> dict[str, float]:
    """Weight of every hairstyle that exists for a hair kind, a gender and an age."""
    weights = {n: getattr(s, gender) for n, s in HAIRSTYLES.items() if kind in s.kinds.split()}
    weights["ring"] *= 3 if age == "old" else 0
    if age == "child":
        weights["bald"] = 0
        weights["pigtails"] *= 2.5
    return weights


def headwear_weights(feminine: bool, grown: bool) -> dict[str, float]:
    """Weight of every kind of headwear; the hijab's share goes to the turban where it is none."""
    if feminine and grown:
        return HEADWEAR
    return HEADWEAR | {"hijab": 0.0, "turban": HEADWEAR["turban"] + HEADWEAR["hijab"] / 2}
