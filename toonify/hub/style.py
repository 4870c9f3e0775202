"""A style's folder: its files and what style.json says."""

import dataclasses
import hashlib
import json
import math
import re
import warnings
from collections.abc import Mapping
from pathlib import Path

from toonify.files import PACKAGE

BUNDLED = PACKAGE / "weights"
DEFAULT_STYLE = "film"
DEFAULT_BASE = "portrait"  # draws the faces that toons are tuned from
DEFAULT_ENCODER = "portrait-encoder"  # finds faces in w of the base
DEFAULT_TOON = "animated"  # of the generators tuned from it
DEFAULT_FACES = "faces"  # draws new cartoon faces from noise
UNNAMED_FACES = "faces"  # those of links and of calls of the API that name no generator
TAG = "toonify"  # in every card, so that the Hub can list the repositories made by Toonify
CONFIG = "config.json"
STYLE = "style.json"
METRICS = "metrics.json"  # what was measured
TRAINING = "training.json"  # how it was trained
WEIGHTS = ("diffusion_pytorch_model.fp16.safetensors", "diffusion_pytorch_model.safetensors")
DIRECTIONS = "directions.safetensors"
OWN_ENCODER = "encoder"  # in the folder of a base generator
MAX_HEADER = 1_000_000  # bytes of a safetensors file of directions
LITE = "lite"  # folder in a style's: a smaller generator that draws nearly the same image
# Data only: neither code nor pickles are downloaded.
DOWNLOADED = [
    *(CONFIG, STYLE, "README.md", METRICS, TRAINING, DIRECTIONS, *WEIGHTS),
    *(f"{LITE}/{name}" for name in (CONFIG, *WEIGHTS)),
    *(f"{OWN_ENCODER}/{name}" for name in (CONFIG, STYLE, *WEIGHTS)),
]
# Keys of style.json; others: text.
NO_TEXT = {
    *("eye_distance", "short_side", "blend", "attributes", "colors", "max_difference"),
    "hidden_attributes",
}
QUALITIES = ("best", "fast")  # which of a style's generators draws
HUB_TIMEOUT = 5.0  # seconds for the one request that shows whether the Hub answers at all
# Styles that are no longer bundled -> what is opened instead.
OLD_STYLES = {"graphic": "animated", "storybook": "animated", "toon": "film"}
OLD_KEYS = {"licence": "license"}  # of style.json, read for one more release
SCOPES = ("photo", "face")
HAIR = ("toon", "photo")
BLENDS = tuple(4 << step for step in range(9))  # px: one for each size of a network's layers
# What a network does: animegan draws photos, stylegan toons from w, stylegan-base faces from w,
# stylegan-encoder finds w of a face, toongan draws cartoon faces from noise, parser finds masks.
FAMILIES = ("animegan", "stylegan", "stylegan-base", "stylegan-encoder", "toongan", "parser")
CHOSEN = ("animegan", "stylegan", "toongan")  # the families that users choose styles from


@dataclasses.dataclass(frozen=True)
class Style:
    """A style's description for users, and the face sizes that it draws well.

    Args:
        name: what the style is requested by: a bundled name, a folder's name or owner/name.
        title: its name in menus.
        description: one sentence on how it looks.
        scope: "photo" (draws whole photos) or "face" (draws aligned faces).
        license: what the weights may be used for.
        source: "bundled", "folder ..." or "hub owner/name@commit".
        eye_distance: range of distances between the eyes, in px, at which faces come out well.
        short_side: largest short side of a photo, in px, at which lines have the right width;
            0: any.
        data: what it was trained on.
        family: one of `FAMILIES`.
        blend: size in px up to which the layers of a toon generator replace those of its base.
        attributes: attribute of a face -> its values, in the network's order.
        hidden_attributes: attributes that hardly show in the faces, which menus leave out.
        colors: attribute -> its values that have a color -> that color, "#rrggbb".
        hair: whose hair, headwear and clothes a portrait has: "toon" or "photo", painted.
        max_difference: of an encoder: the largest difference between a part of a face and its
            inversion, in CIELAB, at which the face is drawn; 0: any.
        fast: whether there is a fast generator too.
    """

    name: str
    title: str
    description: str = ""
    scope: str = "photo"
    license: str = "unknown"
    source: str = "bundled"
    eye_distance: tuple[float, float] = (30.0, 110.0)
    short_side: float = 0.0
    data: str = ""
    family: str = "animegan"
    blend: int = 128
    attributes: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict, hash=False)
    hidden_attributes: tuple[str, ...] = ()
    colors: Mapping[str, Mapping[str, str]] = dataclasses.field(default_factory=dict, hash=False)
    hair: str = "toon"
    max_difference: float = 0.0
    fast: bool = False

    @property
    def offered_attributes(self) -> dict[str, tuple[str, ...]]:
        """The attributes that menus offer."""
        hidden = self.hidden_attributes
        return {name: values for name, values in self.attributes.items() if name not in hidden}

    @property
    def fastest(self) -> str:
        """The quality of the fastest generator: "fast", or "best" if there is no fast one."""
        return "fast" if self.fast else "best"


def is_model_folder(folder: Path) -> bool:
    """Whether the folder has what a model needs: config.json and weights."""
    return (folder / CONFIG).is_file() and any((folder / name).is_file() for name in WEIGHTS)


def weights_file(folder: Path) -> Path:
    """The safetensors file of a style's folder, the half-precision one first."""
    for name in WEIGHTS:
        if (folder / name).is_file():
            return folder / name
    raise ValueError(f"{folder}: expected {WEIGHTS[0]} or {WEIGHTS[1]}, found neither")


def has_lite(folder: Path) -> bool:
    """Whether a style's folder holds a fast generator too."""
    return is_model_folder(folder / LITE)


def generator_folder(folder: Path, quality: str = "best") -> Path:
    """The folder of a style's generator of that quality, one of `QUALITIES`.

    Raises:
        ValueError: `quality` is another word, or the style has no fast generator.

    Example:
        >>> from toonify import hub
        >>> generator_folder(hub.resolve_model("comic")).name
        'comic'
    """
    if quality not in QUALITIES:
        raise ValueError(f"quality={quality!r}: expected one of {', '.join(QUALITIES)}")
    if quality == "best":
        return folder
    if not has_lite(folder):
        raise ValueError(
            f"quality='fast': {folder.name} has no fast generator (no folder {LITE!r}); expected"
            " 'best'"
        )
    return folder / LITE


def fingerprint(*files: Path) -> str:
    """A hash of the files' contents."""
    digests = []
    for path in files:
        with open(path, "rb") as file:
            digests.append(hashlib.file_digest(file, "sha256").hexdigest())
    return hashlib.sha256(" ".join(digests).encode()).hexdigest()


def read_style(folder: Path, source: str | Path | None = None) -> Style:
    """Reads style.json of a model's folder; what it leaves out has the defaults of `Style`.

    Args:
        folder: what `resolve_model` returned.
        source: what `resolve_model` was given, the name of a style in the Hub's cache.

    Raises:
        ValueError: a value is not valid; it names the file and the key.

    Example:
        >>> from toonify import hub
        >>> read_style(hub.resolve_model("comic")).title
        'Comic'
    """
    if folder.parent == BUNDLED:
        name, origin = folder.name, "bundled"
    elif folder.parent.name == "snapshots":  # of the Hub's cache: models--owner--name/snapshots/...
        repo = folder.parents[1].name.removeprefix("models--").replace("--", "/", 1)
        name, origin = str(source or repo), f"hub {repo}@{folder.name[:12]}"
    else:
        name, origin = folder.resolve().name, f"folder {folder}"
    file = folder / STYLE
    content = read_json(file) if file.is_file() else {}
    fields = {f.name for f in dataclasses.fields(Style)} - {"name", "source", "fast"}
    values = {key: v for key, v in upgrade_keys(content, file).items() if key in fields}
    check_style(values, file)
    return Style(name=name, source=origin, fast=has_lite(folder), **{"title": name, **values})


def upgrade_keys(content: dict, file: Path) -> dict:
    """style.json with the keys of this version; an older key gives a DeprecationWarning."""
    current = {}
    for key, value in content.items():
        current[OLD_KEYS.get(key, key)] = value
        if key in OLD_KEYS:
            warn_of_old_name(f"{file}: the key {key!r}", repr(OLD_KEYS[key]))
    if isinstance(attributes := current.get("attributes"), dict):
        for name in attributes:
            if (new := current_name(name)) != name:
                warn_of_old_name(f"{file}: the attribute {name!r}", repr(new))
        current["attributes"] = {current_name(name): v for name, v in attributes.items()}
    return current


def current_name(attribute: str) -> str:
    """The name of an attribute in this version: older data sets and links have `hair_colour`."""
    return re.sub("_colour$", "_color", attribute)


def warn_of_old_name(old: str, new: str) -> None:
    """A DeprecationWarning for a name that will be read for one more release."""
    warnings.warn(f"{old} is now called {new}", DeprecationWarning, stacklevel=4)


def check_style(values: dict, file: Path) -> None:
    """Checks the values of style.json and converts lists; ValueError names the file and the key."""
    for key, value in values.items():
        if key not in NO_TEXT and not isinstance(value, str):
            raise ValueError(f"{file}: {key} is {value!r}, expected text")
    words = {"scope": SCOPES, "family": FAMILIES, "blend": BLENDS, "hair": HAIR}
    for key, expected in words.items():
        if key in values and values[key] not in expected:
            raise ValueError(
                f"{file}: {key} is {values[key]!r}, expected one of {', '.join(map(str, expected))}"
            )
    if "eye_distance" in values:
        values["eye_distance"] = eye_range(values["eye_distance"], file)
    side = values.get("short_side", 0)
    if type(side) not in (int, float) or not (side == 0 or side >= 64):
        raise ValueError(f"{file}: short_side is {side!r}, expected 0 or at least 64 pixels")
    difference = values.get("max_difference", 0)
    if type(difference) not in (int, float) or not 0 <= difference < math.inf:
        raise ValueError(f"{file}: max_difference is {difference!r}, expected 0 or more")
    if "attributes" in values:
        values["attributes"] = variants(values["attributes"], file)
    if "hidden_attributes" in values:
        hidden = values["hidden_attributes"]
        known = [*values.get("attributes", {})]
        if not (isinstance(hidden, list) and all(name in known for name in hidden)):
            raise ValueError(
                f"{file}: hidden_attributes is {hidden!r}, expected a list of names of attributes"
            )
        values["hidden_attributes"] = tuple(hidden)
    if "colors" in values:
        check_colors(values["colors"], values.get("attributes", {}), file)


def eye_range(value, file: Path) -> tuple[float, float]:
    """[low, high] in pixels, checked."""
    numbers = isinstance(value, list) and all(type(v) in (int, float) for v in value)
    if not (numbers and len(value) == 2 and 0 <= value[0] < value[1] and value[1] >= 8):
        raise ValueError(f"{file}: eye_distance is {value!r}, expected [low, high] in pixels")
    return float(value[0]), float(value[1])


def variants(value, file: Path) -> dict[str, tuple[str, ...]]:
    """{"mouth": ["laugh", "sad"], ...}, checked: ValueError for anything else."""

    def many(names) -> bool:
        texts = isinstance(names, list) and all(isinstance(name, str) for name in names)
        return texts and len(set(names)) == len(names) >= 2

    if not (isinstance(value, dict) and all(map(many, value.values()))):
        raise ValueError(
            f"{file}: attributes is {value!r}, expected a list of two or more different names for"
            " each attribute"
        )
    return {name: tuple(names) for name, names in value.items()}


def check_colors(value, attributes: Mapping[str, tuple[str, ...]], file: Path) -> None:
    """ValueError for anything but {"skin_tone": {"1": "#f4d2c0", ...}, ...} of the attributes."""
    if not isinstance(value, dict) or not all(isinstance(table, dict) for table in value.values()):
        raise ValueError(
            f"{file}: colors is {value!r}, expected a color for each value of an attribute"
        )
    for name, table in value.items():
        if name not in attributes:
            raise ValueError(
                f"{file}: colors has {name!r}, expected one of the attributes"
                f" {', '.join(attributes) or '(none)'}"
            )
        for variant, color in table.items():
            if variant not in attributes[name]:
                raise ValueError(
                    f"{file}: colors has {name}={variant!r}, expected one of"
                    f" {', '.join(attributes[name])}"
                )
            if not (isinstance(color, str) and re.fullmatch("#[0-9a-fA-F]{6}", color)):
                raise ValueError(
                    f"{file}: the color of {name}={variant} is {color!r}, expected #rrggbb"
                )


def directions(base: str | Path = DEFAULT_BASE) -> dict[str, str]:
    """Name -> label of the latent directions of a base generator: a bundled name or a folder.

    Reads only the header of the file, without torch. Empty without such a file; downloads nothing.
    """
    file = (BUNDLED / base if (BUNDLED / base).is_dir() else Path(base)) / DIRECTIONS
    if not file.is_file():
        return {}
    try:
        with open(file, "rb") as opened:
            length = int.from_bytes(opened.read(8), "little")
            header = json.loads(opened.read(min(length, MAX_HEADER)))
        about = header.pop("__metadata__", {})
        return {name: str(json.loads(about[name])["label"]) for name in header}
    except (UnicodeDecodeError, json.JSONDecodeError, AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"{file}: expected safetensors with a label for each name") from error


def read_json(file: Path) -> dict:
    """A JSON object from a file; ValueError names the file that holds something else."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"{file}: not valid JSON ({error})") from error
    if not isinstance(content, dict):
        raise ValueError(f"{file}: expected a JSON object, found {type(content).__name__}")
    return content
