"""A style's folder: its files and what style.json says."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from toonify.files import PACKAGE

BUNDLED = PACKAGE / "weights"
DEFAULT_STYLE = "comic"
DEFAULT_BASE = "portrait"  # draws the faces that toons are tuned from
DEFAULT_ENCODER = "portrait-encoder"  # finds faces in w of the base
DEFAULT_TOON = "storybook"  # of the generators tuned from it
DEFAULT_FACES = "faces"  # draws new cartoon faces from noise
TAG = "toonify"  # in every card, for those who look for our repositories
CONFIG = "config.json"
STYLE = "style.json"
METRICS = "metrics.json"  # what was measured
TRAINING = "training.json"  # how it was trained
WEIGHTS = ("diffusion_pytorch_model.fp16.safetensors", "diffusion_pytorch_model.safetensors")
# Data only: no code and no pickle is fetched.
DIRECTIONS = "directions.safetensors"
OWN_ENCODER = "encoder"  # in the folder of a base generator
LONGEST_HEADER = 1_000_000  # bytes of a safetensors file of directions
# Folder in a style's: a generator that draws nearly the same in a fraction of the time. Its file
# may say that what it lacks is the style's own, as where the two differ in their decoders alone.
LITE = "lite"
THE_STYLES_OWN = {"rest": "style"}
DOWNLOADED = [
    *(CONFIG, STYLE, "README.md", METRICS, TRAINING, DIRECTIONS, *WEIGHTS),
    *(f"{LITE}/{name}" for name in (CONFIG, *WEIGHTS)),
]
NO_TEXT = {"eye_distance", "short_side", "blend", "attributes"}  # in style.json; all else is text
QUALITIES = ("best", "fast")  # which of a style's generators draws
HUB_TIMEOUT = 5.0  # seconds for the one question that shows whether the Hub answers at all
SCOPES = ("photo", "face")
BLENDS = tuple(4 << step for step in range(9))  # px: one for each size of a network's layers
# What a folder's network is: draws photos; draws faces from w, as toons or as they are; finds w;
# draws cartoon faces from noise.
FAMILIES = ("animegan", "stylegan", "stylegan-base", "stylegan-encoder", "toongan")
CHOSEN = ("animegan", "stylegan", "toongan")  # the families that people choose from


@dataclasses.dataclass(frozen=True)
class Style:
    """What people are told about a style, and the face sizes it draws well.

    `scope` is "photo" (draws whole photos) or "face" (draws aligned faces). `eye_distance` is the
    range of inter-ocular distances, in pixels, at which it draws faces well; `short_side` the
    largest short side of a photo, in pixels, at which its strokes have their weight (0: any).
    `source` says where the weights come from: "bundled", "folder ..." or "hub owner/repo@revision".
    `family` says which pipeline draws it, or what part of one it is: see `FAMILIES`. `blend` is the
    size in pixels up to which a toon generator's layers are its own, unless told otherwise.
    `attributes` are what a face can be asked for: name -> its variants, in the network's order.
    `fast` is whether it has a lite generator too, which no `style.json` says.
    """

    name: str
    title: str
    description: str = ""
    scope: str = "photo"
    licence: str = "unknown"
    source: str = "bundled"
    eye_distance: tuple[float, float] = (30.0, 110.0)
    short_side: float = 0.0
    data: str = ""
    family: str = "animegan"
    blend: int = 128
    attributes: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict, hash=False)
    fast: bool = False


def complete(folder: Path) -> bool:
    """Whether the folder has what a style needs: settings and weights."""
    return (folder / CONFIG).is_file() and any((folder / name).is_file() for name in WEIGHTS)


def weights_file(folder: Path) -> Path:
    """The safetensors file of a style's folder, the half-precision one first."""
    for name in WEIGHTS:
        if (folder / name).is_file():
            return folder / name
    raise ValueError(f"{folder}: expected {WEIGHTS[0]} or {WEIGHTS[1]}, found neither")


def has_lite(folder: Path) -> bool:
    """Whether a style's folder holds a fast generator too."""
    return complete(folder / LITE)


def generator_folder(folder: Path, quality: str = "best") -> Path:
    """Where in a style's folder the generator of that quality lies, one of `QUALITIES`.

    Raises ValueError for another word, and for "fast" where the style has no fast generator.
    """
    if quality not in QUALITIES:
        raise ValueError(f"quality={quality!r}: expected one of {', '.join(QUALITIES)}")
    if quality == "best":
        return folder
    if not has_lite(folder):
        raise ValueError(
            f"quality='fast': {folder.name} has no fast generator (a folder {LITE!r} in its own);"
            " expected best"
        )
    return folder / LITE


def fingerprint(*files: Path) -> str:
    """A hash of the files' contents."""
    digests = []
    for path in files:
        with open(path, "rb") as file:
            digests.append(hashlib.file_digest(file, "sha256").hexdigest())
    return hashlib.sha256(" ".join(digests).encode()).hexdigest()


def describe(source: str | Path, folder: Path) -> Style:
    """The style in `folder`, which `find` gave for `source`."""
    if folder.parent == BUNDLED:
        return read_style(folder, folder.name, "bundled")
    if folder.parent.name == "snapshots":  # the Hub's cache: models--owner--repo/snapshots/COMMIT
        repo = folder.parents[1].name.removeprefix("models--").replace("--", "/", 1)
        return read_style(folder, str(source), f"hub {repo}@{folder.name[:12]}")
    return read_style(folder, folder.resolve().name, f"folder {folder}")


def read_style(folder: Path, name: str, source: str) -> Style:
    """What `style.json` says, with the defaults of `Style` where it is silent or missing."""
    file = folder / STYLE
    said = read_json(file) if file.is_file() else {}
    fields = {f.name for f in dataclasses.fields(Style)} - {"name", "source", "fast"}
    said = {key: value for key, value in said.items() if key in fields}
    for key, value in said.items():
        if key not in NO_TEXT and not isinstance(value, str):
            raise ValueError(f"{file}: {key} is {value!r}, expected text")
    if said.get("scope", "photo") not in SCOPES:
        raise ValueError(f"{file}: scope is {said['scope']!r}, expected one of {', '.join(SCOPES)}")
    if said.get("family", "animegan") not in FAMILIES:
        raise ValueError(
            f"{file}: family is {said['family']!r}, expected one of {', '.join(FAMILIES)}"
        )
    if "eye_distance" in said:
        said["eye_distance"] = eye_range(said["eye_distance"], file)
    side = said.get("short_side", 0)
    if type(side) not in (int, float) or not (side == 0 or side >= 64):
        raise ValueError(f"{file}: short_side is {side!r}, expected 0 or at least 64 pixels")
    if said.get("blend", 128) not in BLENDS:
        raise ValueError(
            f"{file}: blend is {said['blend']!r}, expected one of {', '.join(map(str, BLENDS))}"
        )
    if "attributes" in said:
        said["attributes"] = variants(said["attributes"], file)
    return Style(name=name, source=source, fast=has_lite(folder), **{"title": name, **said})


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
            f"{file}: attributes is {value!r}, expected lists of two or more different names, each"
            " under the name of an attribute"
        )
    return {name: tuple(names) for name, names in value.items()}


def directions(base: str | Path = DEFAULT_BASE) -> dict[str, str]:
    """Name -> label of the directions that a base generator's faces can be moved in.

    Only the file's header is read, without torch. None if the folder has no such file; nothing is
    downloaded.
    """
    file = (BUNDLED / base if (BUNDLED / base).is_dir() else Path(base)) / DIRECTIONS
    if not file.is_file():
        return {}
    try:
        with open(file, "rb") as opened:
            length = int.from_bytes(opened.read(8), "little")
            header = json.loads(opened.read(min(length, LONGEST_HEADER)))
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
