"""Draws cartoon faces with DiceBear's styles, every attribute drawn evenly and independently."""

import functools
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from importlib.resources import files

import numpy as np
from PIL import Image

from toonify import images

PACKAGES = ("dicebear-core", "dicebear-styles", "resvg_py")

# Licenses, as the styles name them, that allow training and passing on, commercially too.
FREE_LICENSES = (
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
    colors: dict[str, tuple[str, ...]] = field(default_factory=dict)  # instead of the style's


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
        colors={"skin": ("#614335", "#ae5d29", "#d08b5b", "#edb98a", "#ffdbb4")},
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
        colors={"skin": _SKINS, "hair": _HAIRS},
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
    """A style as its package defines it: components, colors, license.

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
def compile_style(style: str):
    """A style that DiceBear has checked, which takes seconds."""
    return _packages()[0].Style(definition(style))


def license_of(style: str) -> dict[str, str]:
    """Title, creator, source and license of a style, as the package states them."""
    meta = definition(style).get("meta", {})
    keys = {"creator": "creator", "source": "source", "license": "license"}
    parts = {name: meta.get(key, {}) for name, key in keys.items()}
    found = {"title": parts["source"].get("name", style)}
    for name, part in parts.items():
        stated = [part[key] for key in ("name", "url") if part.get(key)]
        found[name] = ", ".join(stated) or "not stated"
    return found


def check_licenses(styles: Iterable[str]) -> None:
    """Refuses styles whose license does not plainly allow training and passing on.

    Raises:
        ValueError: it names the style and its license.
    """
    for style in styles:
        name = definition(style).get("meta", {}).get("license", {}).get("name", "not stated")
        if name not in FREE_LICENSES:
            raise ValueError(
                f"--style {style}: its license ({name}) is not one that plainly allows training "
                "and passing on (CC0, CC BY, MIT and alike); read it, then add --any-license"
            )


# Attributes -------------------------------------------------------------------------------------


def _pick(items: list, weights: list[float], number: float):
    """The item at which a number in [0, 1) falls."""
    ends = np.cumsum(weights)
    return items[int(np.searchsorted(ends, number * ends[-1], side="right"))]


def _background(settings: Settings, index: int) -> str:
    rng = np.random.default_rng((settings.seed, index, 1))
    pastel, any_color = rng.integers(len(PASTELS)), rng.integers(2**24)
    return {
        "white": "#ffffff",
        "pastel": PASTELS[pastel],
        "random": f"#{any_color:06x}",
    }[settings.background]


def components_of(style: str) -> dict[str, dict]:
    """The components that are chosen; others are aliases of them."""
    found = definition(style)["components"]
    return {name: part for name, part in found.items() if "variants" in part}


def colors_of(style: str) -> dict[str, list[str]]:
    """The colors that are chosen, and what from; the background is chosen elsewhere."""
    own = PORTRAITS.get(style, Portrait()).colors
    found = definition(style).get("colors", {})
    return {
        name: list(own.get(name, color["values"]))
        for name, color in found.items()
        if name != "background"
    }


def choose(settings: Settings, index: int) -> tuple[str, dict]:
    """Style and DiceBear options of face `index`: one variant and one color for everything."""
    style = settings.styles[index % len(settings.styles)]
    portrait, rng = PORTRAITS.get(style, Portrait()), np.random.default_rng((settings.seed, index))
    options = {"seed": f"{settings.seed}:{index}"}
    for name, part in components_of(style).items():
        there, number = rng.random(2)
        variants = part["variants"]
        own = portrait.weights.get(name, {})
        weights = [own.get(key, variant.get("weight", 1)) for key, variant in variants.items()]
        chance = portrait.chances.get(name, part.get("probability", 100) / 100)
        options[f"{name}Variant"] = _pick(list(variants), weights, number)
        options[f"{name}Probability"] = 100 if there < chance else 0
    numbers = {name: rng.random() for name in colors_of(style)}
    chosen = _choosecolors_of(style, numbers, _background(settings, index))
    options |= {f"{name}Color": [color] for name, color in chosen.items()}
    left, top, side = portrait.view
    if side != 1 or left or top:
        options["scale"] = round(1 / side, 6)
        options["translateX"] = round(100 * (0.5 - left - side / 2) / side, 6)
        options["translateY"] = round(100 * (0.5 - top - side / 2) / side, 6)
    return style, options


def _choosecolors_of(style: str, numbers: dict[str, float], background: str) -> dict[str, str]:
    """One color for each name, unlike those it has to differ from; `numbers` in [0, 1) decide."""
    rules, palettes = definition(style).get("colors", {}), colors_of(style)
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
    """Which components and colors each variant draws with; the drawing itself is ("", "")."""
    parts = definition(style)
    found = {("", ""): _references(parts["canvas"]["elements"])}
    for name, part in components_of(style).items():
        for key, variant in part["variants"].items():
            found[name, key] = _references(variant["elements"])
    return found


def _references(node) -> tuple[set[str], set[str]]:
    components, colors = set(), set()
    if isinstance(node, dict):
        kind = node.get("type")
        if kind in ("component", "color"):
            (components if kind == "component" else colors).add(node["name"])
        node = list(node.values())
    for child in node if isinstance(node, list) else ():
        inner = _references(child)
        components |= inner[0]
        colors |= inner[1]
    return components, colors


def column(name: str) -> str:
    """`facialHair` -> `facial_hair`, as attributes are called in the table."""
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)


def describe(style: str, options: dict) -> dict[str, str]:
    """What is to be seen of a face: columns of the table, all the style has, `none` for absent.

    Components and colors without a choice are no attributes.
    """
    inside, aliases = _inside(style), definition(style)["components"]
    variants, colors, left = {}, {"background"}, [("", "")]
    while left:
        components, more = inside[left.pop()]
        colors |= more
        for name in components:
            name = aliases[name].get("extends", name)
            if name not in variants and options[f"{name}Probability"]:
                variants[name] = options[f"{name}Variant"]
                left.append((name, variants[name]))
    chances = PORTRAITS.get(style, Portrait()).chances
    row = {}
    for name, part in components_of(style).items():
        chance = chances.get(name, part.get("probability", 100) / 100)
        if chance > 0 and (len(part["variants"]) > 1 or chance < 1):
            row[column(name)] = variants.get(name, "none")
    for name, values in colors_of(style).items():
        if len(values) > 1:
            row[f"{column(name)}_color"] = options[f"{name}Color"][0] if name in colors else "none"
    return row | {"background_color": options["backgroundColor"][0]}


# Images ---------------------------------------------------------------------------------------


def draw(settings: Settings, index: int) -> Image.Image:
    """Face `index`, RGB, `settings.px` square."""
    dicebear, resvg = _packages()
    style, options = choose(settings, index)
    svg = str(dicebear.Avatar(compile_style(style), options))
    size = dict(width=settings.px, height=settings.px)
    picture = resvg.svg_to_bytes(svg_string=svg, skip_system_fonts=True, **size)
    return images.load(bytes(picture))
