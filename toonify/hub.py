"""A style's name -> its folder: a folder given by the user, else bundled, else the Hub at a pin."""

import dataclasses
import difflib
import hashlib
import inspect
import json
import math
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

BUNDLED = Path(__file__).parent / "weights"
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


@dataclasses.dataclass(frozen=True)
class Pinned:
    """A style on the Hub at one commit; `repo` without an owner belongs to $TOONIFY_HUB_OWNER.

    `files` are what drawing needs of it, which a Space fetches while it is built.
    """

    repo: str
    revision: str
    title: str
    description: str
    scope: str
    licence: str
    family: str = "animegan"
    files: tuple[str, ...] = (CONFIG, STYLE, WEIGHTS[0])

    @property
    def repo_id(self) -> str | None:
        """owner/repo, or None while the owner is not known."""
        owner = os.environ.get("TOONIFY_HUB_OWNER", "").strip()
        if "/" in self.repo:
            return self.repo
        return f"{owner}/{self.repo}" if owner else None


REGISTRY: dict[str, Pinned] = {}


# Where a style lies ---------------------------------------------------------------------------


def find(source: str | Path, revision: str | None = None) -> Path:
    """The folder of the style that `source` names: a folder, a style's name, or owner/repo.

    From the Hub only JSON, safetensors and the card are fetched. A commit (40 hex digits) that is
    in the local cache needs no network; a branch or tag is looked up in one short request, and the
    copy in the cache serves when the Hub does not answer or HF_HUB_OFFLINE is set.
    Raises ValueError for a name, repository or revision that does not exist or holds no style,
    PermissionError for one that needs a login, ConnectionError when the Hub is needed but away.
    """
    text = str(source)
    folder = Path(text).expanduser()
    bundled = BUNDLED / text
    if (folder / CONFIG).is_file():
        where = f"style={text!r} is a folder"
    elif re.fullmatch(r"[\w-]+", text) and (bundled / CONFIG).is_file():
        folder, where = bundled, f"style={text!r} is bundled"
    elif text in REGISTRY:
        pinned = REGISTRY[text]
        if pinned.repo_id is None:
            raise ValueError(
                f"style={text!r} lies on the Hub: set TOONIFY_HUB_OWNER to the owner of"
                f" {pinned.repo!r}, or give owner/repo"
            )
        return fetch(pinned.repo_id, revision or pinned.revision)
    elif folder.exists() or isinstance(source, Path) or text.startswith(("/", ".", "~")):
        raise ValueError(
            f"style={text!r}: expected a folder with {CONFIG} and {WEIGHTS[1]}, "
            + ("and there is no such folder" if not folder.exists() else f"found no {CONFIG} in it")
        )
    elif re.fullmatch(r"[\w.-]+/[\w.-]+", text):
        return fetch(text, revision)
    else:
        known = [style.name for family in CHOSEN for style in styles(family)]
        near = difflib.get_close_matches(text, known, n=1)
        raise ValueError(
            f"style={text!r}: expected a folder, owner/repo on the Hub, or one of"
            f" {', '.join(known) or '(no style is bundled)'}"
            + (f"; did you mean {near[0]!r}?" if near else "")
        )
    if revision is not None:
        raise ValueError(f"revision={revision!r}: {where}, and only Hub styles have revisions")
    weights_file(folder)
    return folder


def fetch(repo: str, revision: str | None = None) -> Path:
    """The local snapshot of a style's Hub repository; see `find` for what it raises."""
    import httpx2
    from huggingface_hub import HfApi, constants, snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    at = f"style={repo!r}" + (f" at revision {revision!r}" if revision else "")
    pinned = re.fullmatch(r"[0-9a-f]{40}", revision or "") is not None

    def cached(revision):
        """The complete copy in the local cache, of a branch as it was last seen; or None."""
        try:
            folder = Path(
                snapshot_download(
                    repo, revision=revision, allow_patterns=DOWNLOADED, local_files_only=True
                )
            )
        except LocalEntryNotFoundError:
            return None
        return folder if complete(folder) else None

    try:
        if pinned and (folder := cached(revision)):
            return folder
        # One question without retries first: the downloader would wait 23 s for a dead Hub.
        commit = HfApi().model_info(repo, revision=revision, timeout=HUB_TIMEOUT).sha
        folder = cached(revision)
        if folder is None or folder.name != commit:
            folder = Path(snapshot_download(repo, revision=revision, allow_patterns=DOWNLOADED))
    except HFValidationError as error:
        raise ValueError(f"{at}: not a repository's name on the Hub ({error})") from error
    except GatedRepoError as error:
        raise PermissionError(
            f"{at}: its owner lets people in one by one; ask for access at"
            f" {constants.ENDPOINT}/{repo} and log in with `hf auth login`"
        ) from error
    except RepositoryNotFoundError as error:
        raise ValueError(
            f"{at}: no such repository on the Hub; if it is private, log in with `hf auth login`"
        ) from error
    except RevisionNotFoundError as error:
        raise ValueError(f"{at}: the repository has no such revision") from error
    except (OSError, httpx2.HTTPError) as error:  # refused, timed out, 5xx, offline on purpose
        if folder := cached(revision):
            return folder
        raise ConnectionError(
            f"{at}: not on this machine yet, and {away(error)}; bundled styles work without a"
            " network"
        ) from error
    if not complete(folder):
        raise ValueError(
            f"{at}: the repository holds no style: expected {CONFIG} and {' or '.join(WEIGHTS)}"
        )
    return folder


def away(error: Exception) -> str:
    """Why the Hub did not answer, in words."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE is set"
    return f"the Hub at {constants.ENDPOINT} does not answer ({type(error).__name__})"


def complete(folder: Path) -> bool:
    """Whether the folder has what a style needs: settings and weights."""
    return (folder / CONFIG).is_file() and any((folder / name).is_file() for name in WEIGHTS)


def encoder_of(base: Path) -> Path | None:
    """The folder of a base's encoder, where nobody names one; None if there is none.

    It is `encoder` in the base's folder, else the bundled one if the base is built as the bundled
    base is.
    """
    own = base / OWN_ENCODER
    if (own / CONFIG).is_file():
        return find(own)
    alike = built(base) == built(find(DEFAULT_BASE))
    return find(DEFAULT_ENCODER) if alike else None


def built(folder: Path) -> dict:
    """The class and settings of a folder's network."""
    config = read_json(folder / CONFIG)
    return {key: value for key, value in config.items() if key != "_diffusers_version"}


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


# What there is to say about it ----------------------------------------------------------------


def styles(family: str = "animegan") -> list[Style]:
    """A family's styles that have a name: the default, other bundled ones, then those on the Hub.

    The families that people choose from are those in `CHOSEN`.
    """
    folders = sorted(path.parent for path in BUNDLED.glob(f"*/{CONFIG}"))
    bundled = [read_style(folder, folder.name, "bundled") for folder in folders]
    bundled = [style for style in bundled if style.family == family]
    defaults = (DEFAULT_STYLE, DEFAULT_TOON, DEFAULT_FACES)
    bundled.sort(key=lambda style: (style.name not in defaults, style.name))
    return bundled + [
        Style(
            name=name,
            title=pinned.title,
            description=pinned.description,
            scope=pinned.scope,
            licence=pinned.licence,
            source=f"hub {pinned.repo_id or f'$TOONIFY_HUB_OWNER/{pinned.repo}'}"
            f"@{pinned.revision[:12]}",
            family=pinned.family,
            fast=any(name.startswith(f"{LITE}/") for name in pinned.files),
        )
        for name, pinned in REGISTRY.items()
        if pinned.family == family and name not in {style.name for style in bundled}
    ]


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


# The network in it ----------------------------------------------------------------------------


def load_model(folder: str | Path, classes: dict[str, type]) -> "nn.Module":
    """The network that a folder holds, in float32 and evaluation mode, on the CPU.

    `classes` are the networks that may be named by `_class_name`. Strict: a class or setting that
    is not known, a tensor that is missing, left over or of another shape is a ValueError that names
    it. Only safetensors are read. What a fast generator's file leaves to its style's (see
    `THE_STYLES_OWN`) is read from there.
    """
    import torch

    folder = Path(folder)
    cls, settings = read_config(folder / CONFIG, classes)
    file = weights_file(folder)
    tensors, about = read_tensors(file)
    try:
        # Shapes are compared before any memory is taken for them.
        with torch.device("meta"):
            expected = {key: value.shape for key, value in cls(**settings).state_dict().items()}
    except (TypeError, ValueError, RuntimeError, ZeroDivisionError) as error:
        raise ValueError(f"{folder / CONFIG}: {cls.__name__} refuses it: {error}") from error
    if THE_STYLES_OWN.items() <= about.items():
        own, _ = read_tensors(weights_file(folder.parent))
        tensors = {key: value for key, value in own.items() if key in expected} | tensors
    missing = [key for key in expected if key not in tensors]
    unexpected = [key for key in tensors if key not in expected]
    shapes = [
        f"{key} is {tuple(tensors[key].shape)} instead of {tuple(shape)}"
        for key, shape in expected.items()
        if key in tensors and tensors[key].shape != shape
    ]
    for what, keys in (
        ("missing", missing),
        ("unexpected", unexpected),
        ("of the wrong shape", shapes),
    ):
        if keys:
            more = f" and {len(keys) - 3} more" if len(keys) > 3 else ""
            raise ValueError(
                f"{file} does not fit {cls.__name__}: {what}: {', '.join(keys[:3])}{more}"
            )
    tensors = {k: v.float() if v.is_floating_point() else v for k, v in tensors.items()}
    broken = [key for key, value in tensors.items() if not math.isfinite(float(value.sum()))]
    if broken:
        raise ValueError(f"{file}: {broken[0]} holds values that are not finite numbers")
    network = cls(**settings)
    network.load_state_dict(tensors)
    return network.eval()


def read_tensors(file: Path) -> tuple[dict, dict[str, str]]:
    """The tensors of a safetensors file by name, and what its header says beside them.

    Raises ValueError if it is no such file, or not all of it.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, "pt") as opened:
            names = opened.keys()
            return {name: opened.get_tensor(name) for name in names}, opened.metadata() or {}
    except SafetensorError as error:
        raise ValueError(f"{file}: not a whole safetensors file ({error})") from error


def generator_files(folder: Path, quality: str = "best") -> list[Path]:
    """The files that a style's generator of that quality is read from; see `generator_folder`."""
    inner = generator_folder(folder, quality)
    return [inner / CONFIG, *(weights_file(place) for place in dict.fromkeys((inner, folder)))]


def read_config(file: Path, classes: dict[str, type]) -> tuple[type, dict]:
    """The class that config.json names and the settings to build it with."""
    config = read_json(file)
    by_name = {cls.__name__: cls for cls in classes.values()}
    name = config.get("_class_name")
    if name not in by_name:
        raise ValueError(f"{file}: _class_name is {name!r}, expected one of {', '.join(by_name)}")
    settings = {key: value for key, value in config.items() if not key.startswith("_")}
    known = set(inspect.signature(by_name[name].__init__).parameters) - {"self"}
    if newer := sorted(set(settings) - known):
        raise ValueError(
            f"{file}: {name} here has no setting {newer[0]!r}; the style was made by a newer"
            " Toonify: update it"
        )
    return by_name[name], settings
