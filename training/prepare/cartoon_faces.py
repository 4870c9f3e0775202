"""Draws a data set of cartoon faces with known attributes, or cuts one out of Cartoon Set.

    python -m training.prepare.cartoon_faces OUT --style toon-head --style personas --count 10000

draws faces with DiceBear's styles (`pip install dicebear-core dicebear-styles resvg_py`). Every
attribute is drawn here, evenly and independently of the others, so that face i depends on the
settings and on i alone, and `OUT/attributes.csv` says what is in each picture. Written are

- `OUT/images/000/000123.png`: RGB squares of `--px`, a thousand to a folder;
- `OUT/attributes.csv`: one row a picture; `none` is a part that is not there or not to be seen,
  an empty cell an attribute that the picture's style does not have;
- `OUT/LICENCES.md`: who drew the styles and what their licences are; keep it with the pictures;
- `OUT/data.json`: the settings;
- `OUT/README.md`: the card of the data set.

Styles whose licence does not plainly allow training and passing on are refused.

    python -m training.prepare.cartoon_faces OUT --cartoon-set cartoonset10k.tgz

writes the same, but for the card, from Google's Cartoon Set as it is distributed. Safe to run again
and to stop at any time: only what is missing is drawn, and the files are the same byte for byte.
"""

import argparse
import csv
import functools
import io
import json
import multiprocessing
import os
import tarfile
import threading
import zlib
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from importlib import metadata
from importlib.resources import files
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout
from PIL import Image
from tqdm import tqdm

from toonify import images
from training import records
from training.pictures import ZIPS, Picture, square
from training.prepare import faces_card
from training.sources import find_pictures

PACKAGES = ("dicebear-core", "dicebear-styles", "resvg_py")
LARGEST_COUNT = 1_000_000  # what the names of the files are made for
CHUNK = 16  # faces that a process takes at once

# Licences, as the styles name them, that allow training and passing on, commercially too.
FREE_LICENCES = (
    *("CC0 1.0", "CC BY 4.0", "MIT", "MIT License", "ISC", "Apache 2.0", "Apache-2.0"),
    *("BSD-2-Clause", "BSD-3-Clause", "Unlicense"),
)

BACKGROUNDS = ("white", "pastel", "random")
PASTELS = (
    *("#b6e3f4", "#c0aede", "#d1d4f9", "#ffd5dc", "#ffdfbf", "#d5f0d0"),
    *("#fdf3c0", "#cdeee6", "#e7e3dc", "#f6d9f0"),
)
_SKINS = ("#ffdbb4", "#edb98a", "#d08b5b", "#ae5d29", "#694d3d")
_HAIRS = ("#2c1b18", "#4a312c", "#724133", "#a55728", "#b58143", "#d6b370", "#c93305", "#e8e1e1")


@dataclass(frozen=True)
class Portrait:
    """How a style is used for faces; a component that is not named stays as the style has it."""

    view: tuple[float, float, float] = (0.0, 0.0, 1.0)  # left, top, side in shares of the drawing
    chances: dict[str, float] = field(default_factory=dict)  # that an optional component is there
    weights: dict[str, dict[str, float]] = field(default_factory=dict)  # of variants; else 1
    colours: dict[str, tuple[str, ...]] = field(default_factory=dict)  # instead of the style's


def _each(weight: float, *names: str) -> dict[str, float]:
    return dict.fromkeys((name for some in names for name in some.split()), weight)


def _numbered(weight: float, *numbers: int) -> dict[str, float]:
    return {f"variant{number:02d}": weight for number in numbers}


# Two open eyes and a mouth in every face: no winks, patches, masks or hair across the eyes.
PORTRAITS = {
    "toon-head": Portrait(
        view=(0.08, -0.02, 0.84),
        chances={"beard": 0.25, "rearHair": 0.5},
        weights={"eyes": _each(0, "wink") | _each(0.5, "bow humble")},
    ),
    "personas": Portrait(
        view=(0.14, 0.12, 0.72),
        chances={"facialHair": 0.25},
        weights={
            "eyes": _each(0, "wink sleep sunglasses"),
            "mouth": _each(0, "pacifier"),
            "hair": _each(0, "cap") | _each(0.5, "beanie"),
        },
    ),
    "big-ears": Portrait(
        view=(0.05, 0.06, 0.9),
        chances={"details": 0.3},
        weights={"eyes": _numbered(0, 10, 11, 12, 13)},
    ),
    "avataaars": Portrait(
        view=(0.08, -0.01, 0.84),
        chances={"accessories": 0.25, "facialHair": 0.25},
        weights={
            "accessories": _each(0, "eyepatch kurt sunglasses wayfarers"),
            "eyes": _each(0, "closed cry hearts wink winkWacky xDizzy"),
            "mouth": _each(0, "vomit"),
            "top": _each(0.4, "hat hijab turban winterHat02 winterHat03 winterHat04 winterHat1"),
        },
        colours={"skin": ("#614335", "#ae5d29", "#d08b5b", "#edb98a", "#ffdbb4")},
    ),
    "adventurer": Portrait(
        view=(0.05, 0.06, 0.9),
        chances={"details": 0.3, "earrings": 0.2, "glasses": 0.2},
        weights={
            "glasses": _numbered(0, 1),
            "eyes": _numbered(0, 19, 20, 21, 22),
            "mouth": _numbered(0, 13),
            "hair": _each(0, "long04 long20 long22 long25 long26 short06"),
        },
    ),
    "micah": Portrait(
        view=(0.07, 0.0, 0.9),
        chances={"earrings": 0.3, "facialHair": 0.2, "glasses": 0.2},
    ),
    "lorelei": Portrait(
        view=(0.1, 0.06, 0.86),
        chances={"beard": 0.1, "earrings": 0.2, "freckles": 0.15, "glasses": 0.2},
        weights={
            "glasses": _numbered(0, 2),
            "eyes": _numbered(0, 1, 15, 17, 18, 19, 22),
            "hair": _numbered(0, 21, 40, 41, 45),
        },
        colours={"skin": _SKINS, "hair": _HAIRS},
    ),
    "open-peeps": Portrait(
        view=(0.1, 0.0, 0.88),
        chances={"accessories": 0.2, "facialHair": 0.2, "mask": 0.0},
        weights={
            "accessories": _each(0, "eyepatch sunglasses sunglasses2"),
            "expression": _each(0, "cyclops monster eyesClosed lovingGrin1 lovingGrin2"),
            "facialHair": _each(0, "moustache8"),
            "head": _each(0, "bear") | _each(0.5, "hatBeanie hatHip hijab turban"),
        },
    ),
}


@dataclass(frozen=True)
class Settings:
    """What a set of drawn faces depends on, but for how many there are."""

    styles: tuple[str, ...]
    px: int = 128
    background: str = "white"
    seed: int = 0


# Styles -----------------------------------------------------------------------------------------


def _packages():
    """The modules dicebear and resvg_py, which are no requirement of the project."""
    try:
        import dicebear
        import dicebear_styles  # noqa: F401, definitions only
        import resvg_py
    except ImportError as error:
        raise ValueError(
            f"drawing cartoon faces needs three packages ({error}); "
            f"pip install {' '.join(PACKAGES)}"
        ) from error
    return dicebear, resvg_py


@functools.cache
def definition(style: str) -> dict:
    """A style as its package defines it: components, colours, licence.

    Raises:
        ValueError: there is no such style, or the packages are missing.
    """
    _packages()
    there = {file.name.removesuffix(".json"): file for file in files("dicebear_styles").iterdir()}
    if not style or style not in there or not there[style].name.endswith(".json"):
        known = sorted(name for name, file in there.items() if file.name.endswith(".json"))
        raise ValueError(f"--style {style}: no such style; expected one of {', '.join(known)}")
    return json.loads(there[style].read_text("utf-8"))


@functools.cache
def _compiled(style: str):
    """A style that DiceBear has checked, which takes seconds."""
    return _packages()[0].Style(definition(style))


def _licence(style: str) -> dict[str, str]:
    """Title, creator, source and licence of a style, as the package states them."""
    meta = definition(style).get("meta", {})
    parts = {name: meta.get(key, {}) for name, key in _META.items()}
    found = {"title": parts["source"].get("name", style)}
    for name, part in parts.items():
        said = [part[key] for key in ("name", "url") if part.get(key)]
        found[name] = ", ".join(said) or "not stated"
    return found


_META = {"creator": "creator", "source": "source", "licence": "license"}


def check_licences(styles: Iterable[str]) -> None:
    """Refuses styles whose licence does not plainly allow training and passing on.

    Raises:
        ValueError: it names the style and its licence.
    """
    for style in styles:
        name = definition(style).get("meta", {}).get("license", {}).get("name", "not stated")
        if name not in FREE_LICENCES:
            raise ValueError(
                f"--style {style}: its licence ({name}) is not one that plainly allows training "
                "and passing on (CC0, CC BY, MIT and alike); read it, then add --any-licence"
            )


# Attributes -------------------------------------------------------------------------------------


def _pick(items: list, weights: list[float], number: float):
    """The item at which a number in [0, 1) falls."""
    ends = np.cumsum(weights)
    return items[int(np.searchsorted(ends, number * ends[-1], side="right"))]


def _background(settings: Settings, index: int) -> str:
    rng = np.random.default_rng((settings.seed, index, 1))
    pastel, any_colour = rng.integers(len(PASTELS)), rng.integers(2**24)
    return {
        "white": "#ffffff",
        "pastel": PASTELS[pastel],
        "random": f"#{any_colour:06x}",
    }[settings.background]


def _components(style: str) -> dict[str, dict]:
    """The components that are chosen; others are aliases of them."""
    found = definition(style)["components"]
    return {name: part for name, part in found.items() if "variants" in part}


def _colours(style: str) -> dict[str, list[str]]:
    """The colours that are chosen, and what from; the background is chosen elsewhere."""
    own = PORTRAITS.get(style, Portrait()).colours
    found = definition(style).get("colors", {})
    return {
        name: list(own.get(name, colour["values"]))
        for name, colour in found.items()
        if name != "background"
    }


def choose(settings: Settings, index: int) -> tuple[str, dict]:
    """Style and DiceBear options of face `index`: one variant and one colour for everything."""
    style = settings.styles[index % len(settings.styles)]
    portrait, rng = PORTRAITS.get(style, Portrait()), np.random.default_rng((settings.seed, index))
    options = {"seed": f"{settings.seed}:{index}"}
    for name, part in _components(style).items():
        there, number = rng.random(2)
        variants = part["variants"]
        own = portrait.weights.get(name, {})
        weights = [own.get(key, variant.get("weight", 1)) for key, variant in variants.items()]
        chance = portrait.chances.get(name, part.get("probability", 100) / 100)
        options[f"{name}Variant"] = _pick(list(variants), weights, number)
        options[f"{name}Probability"] = 100 if there < chance else 0
    numbers = {name: rng.random() for name in _colours(style)}
    chosen = _choose_colours(style, numbers, _background(settings, index))
    options |= {f"{name}Color": [colour] for name, colour in chosen.items()}
    left, top, side = portrait.view
    if side != 1 or left or top:
        options["scale"] = round(1 / side, 6)
        options["translateX"] = round(100 * (0.5 - left - side / 2) / side, 6)
        options["translateY"] = round(100 * (0.5 - top - side / 2) / side, 6)
    return style, options


def _choose_colours(style: str, numbers: dict[str, float], background: str) -> dict[str, str]:
    """One colour for each name, unlike those it has to differ from; `numbers` in [0, 1) decide."""
    rules, palettes = definition(style).get("colors", {}), _colours(style)
    chosen = {"background": background}

    def choose_one(name: str) -> str | None:
        if name in chosen or name not in palettes:
            return chosen.get(name)
        values = palettes.pop(name)  # so that a circle of rules ends
        others = {choose_one(other) for other in rules[name].get("notEqualTo", [])}
        values = [value for value in values if value not in others] or values
        contrast = choose_one(rules[name].get("contrastTo", ""))
        if contrast:
            values = _packages()[0].Color.sort_by_contrast(values, contrast)[:1]
        chosen[name] = values[int(numbers[name] * len(values))]
        return chosen[name]

    for name in numbers:
        choose_one(name)
    return chosen


@functools.cache
def _inside(style: str) -> dict[tuple[str, str], tuple[set[str], set[str]]]:
    """Which components and colours each variant draws with; the drawing itself is ("", "")."""
    parts = definition(style)
    found = {("", ""): _references(parts["canvas"]["elements"])}
    for name, part in _components(style).items():
        for key, variant in part["variants"].items():
            found[name, key] = _references(variant["elements"])
    return found


def _references(node) -> tuple[set[str], set[str]]:
    components, colours = set(), set()
    if isinstance(node, dict):
        kind = node.get("type")
        if kind in ("component", "color"):
            (components if kind == "component" else colours).add(node["name"])
        node = list(node.values())
    for child in node if isinstance(node, list) else ():
        inner = _references(child)
        components |= inner[0]
        colours |= inner[1]
    return components, colours


def column(name: str) -> str:
    """`facialHair` -> `facial_hair`, as attributes are called in the table."""
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)


def describe(style: str, options: dict) -> dict[str, str]:
    """What is to be seen of a face: columns of the table, all the style has, `none` for absent.

    Components and colours without a choice are no attributes.
    """
    inside, aliases = _inside(style), definition(style)["components"]
    variants, colours, left = {}, {"background"}, [("", "")]
    while left:
        components, more = inside[left.pop()]
        colours |= more
        for name in components:
            name = aliases[name].get("extends", name)
            if name not in variants and options[f"{name}Probability"]:
                variants[name] = options[f"{name}Variant"]
                left.append((name, variants[name]))
    chances = PORTRAITS.get(style, Portrait()).chances
    row = {}
    for name, part in _components(style).items():
        chance = chances.get(name, part.get("probability", 100) / 100)
        if chance > 0 and (len(part["variants"]) > 1 or chance < 1):
            row[column(name)] = variants.get(name, "none")
    for name, values in _colours(style).items():
        if len(values) > 1:
            row[f"{column(name)}_colour"] = (
                options[f"{name}Color"][0] if name in colours else "none"
            )
    return row | {"background_colour": options["backgroundColor"][0]}


# Pictures ---------------------------------------------------------------------------------------


def draw(settings: Settings, index: int) -> Image.Image:
    """Face `index`, RGB, `settings.px` square."""
    dicebear, resvg = _packages()
    style, options = choose(settings, index)
    svg = str(dicebear.Avatar(_compiled(style), options))
    size = dict(width=settings.px, height=settings.px)
    picture = resvg.svg_to_bytes(svg_string=svg, skip_system_fonts=True, **size)
    return images.load(bytes(picture))


def file_of(index: int) -> str:
    """Where picture `index` lies below the folder of its set."""
    return f"images/{index // 1000:03d}/{index:06d}.png"


def _draw_files(settings: Settings, folder: Path, indices: list[int]) -> int:
    for index in indices:
        images.save(draw(settings, index), folder / file_of(index))
    return len(indices)


def draw_faces(
    settings: Settings,
    folder: Path,
    count: int,
    *,
    processes: int = 1,
    any_licence: bool = False,
) -> int:
    """Draws faces 0 to `count` into `folder` with their table and licences; returns the new ones.

    Raises:
        ValueError: a setting or a licence is not one that can be used, packages are missing, or
            the folder was made with other settings or holds more faces.
    """
    _check(count, settings.px, processes)
    if settings.background not in BACKGROUNDS:
        raise ValueError(f"--background {settings.background}: expected {', '.join(BACKGROUNDS)}")
    if settings.seed < 0:
        raise ValueError(f"--seed {settings.seed}: expected 0 or more")
    if not settings.styles or len(set(settings.styles)) < len(settings.styles):
        raise ValueError(f"--style {' '.join(settings.styles)}: expected each style once")
    licences = {style: _licence(style) for style in settings.styles}
    if not any_licence:
        check_licences(settings.styles)
    made_by = {
        **asdict(settings),
        "portraits": {style: asdict(PORTRAITS.get(style, Portrait())) for style in licences},
        "packages": {name: metadata.version(name) for name in PACKAGES},
    }
    with _only_one(folder):
        _remember(folder, made_by, count)
        records.write_text(_licence_text(licences), folder / "LICENCES.md")
        missing = [i for i in range(count) if not (folder / file_of(i)).exists()]
        task = functools.partial(_draw_files, settings, folder)
        _in_processes(task, missing, processes, "drawing faces")
        rows = []
        for index in range(count):
            style, options = choose(settings, index)
            rows.append(
                {"file": file_of(index), "style": style, "seed": options["seed"]}
                | describe(style, options)
            )
        _write_table(rows, folder)
        card = faces_card.card(made_by, count, licences, rows, any_licence)
        records.write_text(card, folder / "README.md")
    return len(missing)


def _check(count: int, px: int, processes: int) -> None:
    if not 1 <= count <= LARGEST_COUNT:
        raise ValueError(f"--count {count}: expected 1 to {LARGEST_COUNT}")
    if not 16 <= px <= 1024:
        raise ValueError(f"--px {px}: expected 16 to 1024 px")
    if processes < 1:
        raise ValueError(f"--processes {processes}: expected at least 1")


@contextmanager
def _only_one(folder: Path):
    """Keeps two runs out of one folder; sweeps up after one that was killed."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=1)
    except Timeout:
        raise ValueError(f"{folder}: another process is writing there") from None
    try:
        for part in folder.rglob(".*.part"):
            part.unlink(missing_ok=True)
        yield
    finally:
        lock.release()


def _remember(folder: Path, settings: dict, count: int) -> None:
    """Notes the settings, or sees that they are those of the run that goes on here."""
    settings = json.loads(json.dumps(settings))
    known = records.read(folder / "data.json")
    before = known.get("settings", settings)
    if before != settings:
        other = [name for name in {**before, **settings} if before.get(name) != settings.get(name)]
        said = ", ".join(f"{name} {before.get(name)}" for name in other)
        raise ValueError(f"{folder}: made with other settings ({said[:300]}); take another folder")
    if known.get("count", 0) > count:
        raise ValueError(
            f"--count {count}: {folder} is a set of {known['count']} pictures; expected as many or "
            "more, or another folder"
        )
    records.write({"count": count, "settings": settings}, folder / "data.json")


def _in_processes(task: Callable, items: list, processes: int, what: str) -> None:
    """Hands the items to `task` in small lists, in other processes if there are to be several."""
    chunks = [items[start : start + CHUNK] for start in range(0, len(items), CHUNK)]
    bar = tqdm(total=len(items), desc=what, unit="picture", disable=not items)
    with bar:
        if processes == 1 or len(chunks) < 2:
            for chunk in chunks:
                bar.update(task(chunk))
            return
        spawn = multiprocessing.get_context("spawn")
        pool = ProcessPoolExecutor(min(processes, len(chunks)), spawn, _end_with_parent)
        try:
            for done in pool.map(task, chunks):
                bar.update(done)
        except BrokenProcessPool as error:
            raise ValueError("a process was ended from outside; run again to go on") from error
        finally:
            pool.shutdown(cancel_futures=True)


def _end_with_parent() -> None:
    """Ends this process when the one that started it is killed, which nothing else tells it."""

    def wait() -> None:
        multiprocessing.parent_process().join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def _licence_text(licences: dict[str, dict[str, str]]) -> str:
    lines = [
        "# Licences",
        "",
        "The pictures are made of the parts of the styles below, put together by chance, coloured",
        "and cropped. Where a licence asks for credit, it goes with the pictures.",
    ]
    for style, said in licences.items():
        lines += ["", f"## {style}", ""]
        lines += [f"- {name}: {' '.join(text.split())}" for name, text in said.items()]
    return "\n".join(lines) + "\n"


def _write_table(rows: list[dict], folder: Path) -> None:
    names = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    records.write_text(text.getvalue(), folder / "attributes.csv")


def attributes(folder: str | Path) -> tuple[list[str], dict[str, list]]:
    """Names of the attributes of a set, and its table: column -> one value for each picture.

    The table also has the columns `file` (below the folder), `style` and `seed`. Columns of whole
    numbers come back as such.

    Raises:
        ValueError: there is no such table, or it is damaged.
    """
    path = Path(folder) / "attributes.csv"
    try:
        rows = list(csv.reader(io.StringIO(path.read_text("utf-8")), strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise ValueError(f"{path}: cannot be read ({reason})") from error
    names = rows[0] if rows else []
    if names[:3] != ["file", "style", "seed"] or len(set(names)) < len(names):
        raise ValueError(f"{path}: expected a table with the columns file, style, seed, ...")
    for number, row in enumerate(rows, 1):
        if len(row) != len(names):
            raise ValueError(f"{path}, row {number}: {len(row)} cells; expected {len(names)}")
    table = {name: [row[at] for row in rows[1:]] for at, name in enumerate(names)}
    for name in names[3:]:
        if table[name] and all(text.isascii() and text.isdigit() for text in table[name]):
            table[name] = [int(text) for text in table[name]]
    return names[3:], table


# Cartoon Set ------------------------------------------------------------------------------------

CARTOON_SET = {
    "title": "Cartoon Set",
    "creator": "Google LLC; drawn by Shiraz Fuman",
    "source": "https://google.github.io/cartoonset/",
    "licence": "CC BY 4.0, https://creativecommons.org/licenses/by/4.0/",
}
_LARGEST_ROWS = 2**16  # bytes of a picture's attributes; genuine ones have about 400


def read_cartoon_set(source: str | Path) -> tuple[list[Picture], dict[str, list[int]]]:
    """Pictures of Google's Cartoon Set, unread, and their attributes: name -> index of a variant.

    `source`: a folder, zip or tar(.gz) with `csX.png` and, beside each, `csX.csv`, whose rows are
    name, index of the variant, number of variants. `Picture.load` lays the picture over white.

    Raises:
        ValueError: it is not there, holds no such pictures, or attributes are missing or broken.
    """
    found, refused = find_pictures(source, "Cartoon Set pictures")
    if refused:
        raise ValueError(f"{source}: {refused[0]}")
    pictures = [picture for picture in found if picture.stem.startswith("cs")]
    if not pictures:
        raise ValueError(f"{source}: expected pictures called cs*.png, found none")
    read, table, first = _reader_beside(pictures), {}, None
    for picture in tqdm(pictures, "reading attributes", unit="picture", leave=False, delay=2):
        rows = _attribute_rows(read(picture), f"{source}: {picture.stem}.csv")
        kinds = {name: variants for name, (_, variants) in rows.items()}
        first = first or kinds
        if kinds != first:
            raise ValueError(
                f"{source}: {picture.stem}.csv has other attributes or numbers of variants than "
                f"{pictures[0].stem}.csv"
            )
        for name in first:
            table.setdefault(name, []).append(rows[name][0])
    return pictures, table


def _reader_beside(pictures: list[Picture]) -> Callable[[Picture], bytes]:
    """A function that gives the CSV file beside a picture, empty if there is none."""
    file = pictures[0].file
    if pictures[0].length >= 0:  # a tar: the picture knows only where it lies itself
        with tarfile.open(file, "r:") as archive:
            places = {
                "/".join(part for part in member.name.split("/") if part not in ("", ".", "..")): (
                    member.offset_data,
                    member.size,
                )
                for member in archive
                if member.isreg() and member.name.endswith(".csv")
            }

        def read(picture: Picture) -> bytes:
            start, length = places.get(f"{picture.name}.csv", (0, 0))
            return replace(picture, start=start, length=length).read(_LARGEST_ROWS)

    elif file.name.lower().endswith(ZIPS):

        def read(picture: Picture) -> bytes:
            beside = picture.member[: picture.member.rindex(".")] + ".csv"
            return replace(picture, member=beside).read(_LARGEST_ROWS)

    else:

        def read(picture: Picture) -> bytes:
            beside = picture.file.with_suffix(".csv")
            return replace(picture, file=beside).read(_LARGEST_ROWS)

    return read


def _attribute_rows(data: bytes, where: str) -> dict[str, tuple[int, int]]:
    """Name -> (index, number of variants)."""
    found = {}
    try:
        text = data.decode("utf-8-sig")
        for row in csv.reader(io.StringIO(text), skipinitialspace=True, strict=True):
            if row:
                name, index, variants = (cell.strip() for cell in row)
                found[name] = int(index), int(variants)
                if not name or not 0 <= int(index) < int(variants):
                    raise ValueError
    except (ValueError, csv.Error):
        found = {}
    if not found:
        raise ValueError(
            f"{where} is missing or broken; expected rows of name, index of the variant, number "
            'of variants, as in "face_shape", 4, 7'
        )
    return found


def _crop_files(share: float, px: int, folder: Path, items: list[tuple[int, Picture]]) -> int:
    for index, picture in items:
        images.save(square(picture.load(), px, share), folder / file_of(index))
    return len(items)


def crop_cartoon_set(
    source: str | Path,
    folder: Path,
    *,
    px: int = 128,
    crop: float = 0.8,
    count: int | None = None,
    processes: int = 1,
) -> int:
    """Writes Cartoon Set, or its first `count` pictures, as `draw_faces` does; the same answer.

    `crop`: share of the side that is kept. The published pictures have a wide margin: 0.8 keeps
    nearly all hair, 1 keeps the margin.

    Raises:
        ValueError: a setting cannot be used, or the source is not as `read_cartoon_set` needs it.
    """
    if not 0.2 <= crop <= 1:
        raise ValueError(f"--crop {crop}: expected a share of the side, 0.2 to 1")
    _check(count or 1, px, processes)
    pictures, table = read_cartoon_set(source)
    count = min(count or LARGEST_COUNT, len(pictures))
    names = zlib.crc32("\n".join(picture.name for picture in pictures).encode())
    made_by = {"cartoon_set": len(pictures), "names_crc32": names, "px": px, "crop": crop}
    with _only_one(folder):
        _remember(folder, made_by, count)
        records.write_text(_licence_text({"cartoon-set": CARTOON_SET}), folder / "LICENCES.md")
        missing = [
            (index, picture)
            for index, picture in enumerate(pictures[:count])
            if not (folder / file_of(index)).exists()
        ]
        task = functools.partial(_crop_files, crop, px, folder)
        _in_processes(task, missing, processes, "cropping")
        rows = [
            {"file": file_of(index), "style": "cartoon-set", "seed": picture.stem}
            | {name: values[index] for name, values in table.items()}
            for index, picture in enumerate(pictures[:count])
        ]
        _write_table(rows, folder)
    return len(missing)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("out", type=Path, help="folder to write the pictures and the table into")
    parser.add_argument(
        "--style",
        action="append",
        metavar="NAME",
        help=f"a DiceBear style, as often as you like (default toon-head); made for faces: "
        f"{', '.join(PORTRAITS)}",
    )
    parser.add_argument("--count", type=int, help="pictures (default 10000, or all of Cartoon Set)")
    parser.add_argument("--px", type=int, default=128, help="side of a picture (default 128)")
    parser.add_argument("--background", choices=BACKGROUNDS, help="default white")
    parser.add_argument("--seed", type=int, help="another seed, other faces (default 0)")
    parser.add_argument("--processes", type=int, default=2, help="that draw (default 2)")
    parser.add_argument(
        "--any-licence", action="store_true", help="take styles whose licence you have read"
    )
    parser.add_argument(
        "--cartoon-set", metavar="SOURCE", help="crop Cartoon Set (folder, zip, tar) instead"
    )
    parser.add_argument(
        "--crop", type=float, help="share of Cartoon Set's pictures to keep (default 0.8)"
    )
    options = parser.parse_args(arguments)
    drawing = ("style", "background", "seed")
    for name in drawing if options.cartoon_set else ("crop",):
        if getattr(options, name) is not None:
            instead = "is not for" if options.cartoon_set else "needs"
            parser.error(f"--{name} {instead} --cartoon-set")
    try:
        if options.cartoon_set:
            new = crop_cartoon_set(
                *(options.cartoon_set, options.out),
                px=options.px,
                crop=0.8 if options.crop is None else options.crop,
                count=options.count,
                processes=options.processes,
            )
        else:
            settings = Settings(
                tuple(options.style or ["toon-head"]),
                options.px,
                options.background or "white",
                options.seed or 0,
            )
            new = draw_faces(
                *(settings, options.out, 10000 if options.count is None else options.count),
                processes=options.processes,
                any_licence=options.any_licence,
            )
    except (ValueError, PermissionError, ConnectionError) as error:
        parser.error(str(error))
    except OSError as error:
        parser.error(f"{options.out}: {error.strerror or error}; run again to go on from here")
    print(f"{new} pictures written into {options.out}; what is in them: attributes.csv")


if __name__ == "__main__":
    main()
