"""Writes measured figures into a style's folder: `metrics.json` and a table in its model card."""

import contextlib
import datetime
import importlib.metadata
import json
import os
import re
from pathlib import Path

from huggingface_hub.constants import HF_HUB_CACHE
from safetensors import safe_open

from toonify import hub
from toonify.models import NOISE_MODELS
from training import records

METRICS = "metrics.json"
CARD = "README.md"
START, END = "<!-- figures -->", "<!-- /figures -->"
VERSIONS = (
    *("toonify", "torch", "torchvision", "openvino", "numpy", "pillow"),
    *("opencv-python-headless", "facenet-pytorch"),
)
# Of a card without words: kind of task, tag, what the folder is called by and how it draws.
FROM_PHOTOS = (
    *("image-to-image", "animegan", "AnimeGANPipeline"),
    '("photo.jpg").image.save("toon.png")',
)
FROM_NOISE = (
    *("unconditional-image-generation", "toongan", "ToonGANPipeline"),
    '(1, seed=7)[0].save("face.png")',
)


def model_figures(model: str) -> dict[str, int]:
    """`parameters` and `weights_bytes` of a style, read from its weights' header."""
    file = hub.weights_file(hub.find(model))
    with safe_open(file, "pt") as tensors:
        shapes = [tensors.get_slice(key).get_shape() for key in tensors.keys()]  # noqa: SIM118
    parameters = 0
    for shape in shapes:
        count = 1
        for side in shape:
            count *= side
        parameters += count
    return {"parameters": parameters, "weights_bytes": file.stat().st_size}


def card_folder(model: str) -> Path:
    """The folder of a style whose card may be written: one given as a folder, or a bundled one.

    Raises ValueError for a style on the Hub, for a folder in the Hub's cache (its files belong to
    the commit that they came from) and for one that cannot be written to.
    """
    given, bundled = Path(model).expanduser(), hub.BUNDLED / model
    if (given / hub.CONFIG).is_file():
        folder = given.resolve()
    elif re.fullmatch(r"[\w-]+", model) and (bundled / hub.CONFIG).is_file():
        folder = bundled
    else:
        raise ValueError(
            f"--card: {model} is neither a folder nor a bundled style; download it into a folder of"
            " your own and give that"
        )
    if folder.is_relative_to(Path(HF_HUB_CACHE).expanduser().resolve()):
        raise ValueError(
            f"--card: {folder} lies in the Hub's cache, which is never written to; copy the style"
            " into a folder of your own and give that"
        )
    if not os.access(folder, os.W_OK):
        raise ValueError(f"--card: {folder} cannot be written to")
    old = folder / CARD
    if old.is_file():
        with_block(old.read_text(encoding="utf-8"), "")  # a broken block is told before the work
    return folder


def report(figures: dict, command: str, extractors: list[str]) -> dict:
    """What goes into metrics.json: the figures and how to get them again."""
    versions = {}
    for package in VERSIONS:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[package] = importlib.metadata.version(package)
    return {
        "figures": figures,
        "command": command,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "versions": versions,
        "extractors": extractors,
    }


def told(value: object) -> str:
    """An option's value for the command in the report; of an absolute path only its last part."""
    path = Path(str(value))
    return path.name if path.is_absolute() else str(value)


def write_card(folder: Path, report: dict, block: str = "") -> None:
    """Writes `metrics.json` and the block of figures in README.md, each under another name first.

    `report` is as the function of that name makes it; without a `block` its figures are those of
    `evaluate`. A folder without README.md gets a plain card that says what config.json and
    style.json say.
    """
    card = folder / CARD
    text = card.read_text(encoding="utf-8") if card.is_file() else skeleton(folder)
    records.write_text(with_block(text, block or table(report)), card)
    figures = json.dumps(report, indent=2, allow_nan=False)
    records.write_text(figures + "\n", folder / METRICS)


def with_block(text: str, block: str) -> str:
    """The card with `block` between its marks; a card that has none gets them at its end."""
    marks = text.count(START), text.count(END)
    if marks == (0, 0):
        return f"{text.rstrip()}\n\n## Measured\n\n{START}\n{block}\n{END}\n"
    if marks != (1, 1) or text.index(START) > text.index(END):
        raise ValueError(f"{CARD}: expected one {START} followed by one {END}, found {marks}")
    before, _, rest = text.partition(START)
    after = rest.partition(END)[2]
    return f"{before}{START}\n{block}\n{END}{after}"


# The text -------------------------------------------------------------------------------------


def table(report: dict) -> str:
    """The figures as Markdown; a figure that was not measured has no row."""
    figures = report["figures"]
    lines = [
        f"Measured on {report['date']} on {figures['photos']} photos"
        + (
            f" and {figures['style_pictures']} style pictures"
            if "style_pictures" in figures
            else ""
        )
        + f": `{report['command']}`",
        "",
        "| portraits | |" if "scenes" in figures else "| | |",
        "|---|---|",
        *rows(figures),
    ]
    if tones := figures.get("skin_hue_shift_degrees"):
        lines += ["", "| skin | faces | hue shift, median | 95th percentile |", "|---|---|---|---|"]
        lines += [
            f"| {tone} | {of['faces']} | {of['median']}° | {of['p95']}° |"
            for tone, of in tones.items()
        ]
    if scenes := figures.get("scenes"):
        lines += ["", f"| {scenes['photos']} scenes | |", "|---|---|", *rows(scenes)]
    if notes := figures.get("notes"):
        lines += ["", *(f"* {note}" for note in notes)]
    return "\n".join(lines)


def rows(figures: dict) -> list[str]:
    """Table rows of the figures of one group of photos."""
    lines = []

    def row(label: str, value: str) -> None:
        lines.append(f"| {label} | {value} |")

    if found := figures.get("style_distance_mobilenet_v2"):
        row(
            "style distance (kernel, `mobilenet_v2` strokes): drawings, photos, ratio",
            f"{found['drawings']}, {found['photos']}, **{found['ratio']}**",
        )
    for key, found in figures.items():
        kind, _, extractor = key.partition("_")
        if kind in ("fid", "fd"):
            label = "FID" if kind == "fid" else f"Frechet distance, `{extractor}`"
            row(
                f"{label} to the style: drawings, photos", f"{found['drawings']}, {found['photos']}"
            )
        elif kind in ("kid", "kd"):
            label = "KID" if kind == "kid" else f"kernel distance, `{extractor}`"
            row(
                f"{label} to the style (standard error): drawings, photos",
                f"{found['drawings']} ({found['drawings_standard_error']}),"
                f" {found['photos']} ({found['photos_standard_error']})",
            )
    row("luminance SSIM with the photo, mean", f"{figures['ssim_luminance_mean']}")
    if found := figures.get("edge_density"):
        row(
            "pixels on edges: " + ", ".join(found),
            ", ".join(f"{100 * value:.1f} %" for value in found.values()),
        )
    if found := figures.get("chroma_ratio"):
        row("chroma, drawing to photo: median, 5th to 95th percentile", spread(found))
    if found := figures.get("skin_roughness"):
        row(
            f"skin detail, drawing to photo ({found['discs']} smooth places): median, 95th"
            " percentile",
            f"{found['median']}, {found['p95']}",
        )
    if "faces_in_photos" in figures:
        found = figures["faces_in_photos"]
        kept = found - figures["faces_lost_in_drawings"]
        row("faces that a detector still finds in the drawing", f"{kept} of {found}")
    if figures.get("landmark_shift_eye_distances_median") is not None:
        row(
            "shift of eyes, nose and mouth, median, in eye distances",
            f"{figures['landmark_shift_eye_distances_median']}",
        )
    stuck = figures["droplets"]
    row("drawings with droplets or stuck colour", f"{stuck['drawings']} of {figures['photos']}")
    row("seconds a photo, on the machine that measured", f"{figures['seconds_per_photo']}")
    if "parameters" in figures:
        size = figures["weights_bytes"] / 1e6
        row("parameters, weights", f"{figures['parameters']:,}, {size:.1f} MB")
    return lines


def spread(found: dict) -> str:
    return f"{found['median']}, {found['p5']} to {found['p95']}"


def skeleton(folder: Path) -> str:
    """A card that says only what the folder itself knows."""
    style = hub.read_style(folder, folder.name, f"folder {folder}")
    settings = hub.read_json(folder / hub.CONFIG)
    network = settings.get("_class_name", "unknown")
    shown = ", ".join(f"{k}={v}" for k, v in settings.items() if not k.startswith("_"))
    licence = style.licence.lower()
    noise = network in {kind.__name__ for kind in NOISE_MODELS.values()}
    task, tag, pipeline, call = FROM_NOISE if noise else FROM_PHOTOS
    front = ["library_name: diffusers", f"pipeline_tag: {task}", "tags:", f"  - {tag}"]
    if licence != "unknown" and re.fullmatch(r"[a-z0-9.+-]+", licence):
        front.insert(0, f"license: {licence}")
    return "\n".join(
        [
            *("---", *front, "---", "", f"# {style.title}", ""),
            *((style.description, "") if style.description else ()),
            "```python",
            f"from toonify import {pipeline}",
            "",
            f'{pipeline}.from_pretrained("FOLDER"){call}',
            "```",
            "",
            f"* Network: `{network}` ({shown})",
            "* Draws: faces from noise"
            if noise
            else f"* Draws: {'whole photos' if style.scope == 'photo' else 'aligned faces'}; faces"
            f" at {style.eye_distance[0]:g} to {style.eye_distance[1]:g} px between the eyes",
            f"* Licence: {style.licence}",
            f"* Trained on: {style.data or 'not stated'}",
            "",
        ]
    )
