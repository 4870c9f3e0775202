"""Writes the card of a model from its folder and the template of its family."""

import math
import re
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCardData
from safetensors import safe_open

from toonify import hub
from toonify.hub.cards import figures
from toonify.hub.cards.templates import fill

# Class of the network in config.json -> template.
TEMPLATES = {
    **dict.fromkeys(
        ("AnimeGANGenerator", "AnimeGANLiteGenerator", "CartoonGANGenerator"), "animegan"
    ),
    **dict.fromkeys(("MobileStyleGAN", "StyleGAN2Generator", "Encoder"), "stylegan"),
    **dict.fromkeys(("ToonGANGenerator", "DCGANGenerator"), "toongan"),
    "FaceParser": "parser",
}
FROM_PHOTOS, FROM_NOISE = "image-to-image", "unconditional-image-generation"
# Template, role -> task on the Hub, tags.
TAGS = {
    ("animegan", ""): (FROM_PHOTOS, ["animegan", "cartoon", "portrait"]),
    ("stylegan", "toon"): (FROM_PHOTOS, ["stylegan2", "cartoon", "portrait"]),
    ("stylegan", "base"): (FROM_NOISE, ["stylegan2", "portrait"]),
    ("stylegan", "encoder"): (None, ["stylegan2", "gan-inversion", "portrait"]),
    ("toongan", ""): (FROM_NOISE, ["toongan", "cartoon"]),
    ("parser", ""): ("image-segmentation", ["face-parsing", "matting", "portrait"]),
}
LICENSES = (  # names on the Hub
    *("apache-2.0", "mit", "isc", "bsd-2-clause", "bsd-3-clause", "unlicense", "unknown"),
    *("cc0-1.0", "cc-by-4.0", "cc-by-sa-4.0", "cc-by-nc-4.0", "cc-by-nc-sa-4.0"),
)
SAMPLES = (".", "samples", "pictures")  # folders with images for the card
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")
MIN_FACES = 20  # of a skin tone, for a conclusion
# Assumed power of a processor thread and of a GPU.
WATTS = {"cpu": 10, "gpu": 350}
TRAINING_TYPES = {  # of the values in training.json
    **dict.fromkeys(("preset", "device", "processor", "precision", "base_model"), str),
    **dict.fromkeys(("images", "processes", "threads"), int),
    "seconds": float,
    **dict.fromkeys(("versions", "settings"), dict),
    "datasets": list,
}


def make_card(folder: Path, source: str = "") -> str:
    """Writes the card of a model.

    It uses config.json, style.json and the header of the weights, and metrics.json, training.json
    and images if there are any. Unknown facts are left out.

    Args:
        folder: folder of the model.
        source: what the card passes to `from_pretrained`, such as owner/name; default: the name of
            a bundled folder, or FOLDER.

    Returns:
        Markdown with front matter.

    Raises:
        ValueError: a file is missing or not as expected; the message names it.
    """
    folder = Path(folder).resolve()
    style, network = hub.read_style(folder), read_network(folder)
    report, trained = read_report(folder), read_training(folder)
    pictures = [path.relative_to(folder).as_posix() for path in find_images(folder)]
    settings = trained["settings"] if trained else {}
    start = settings.get("start_from", "")
    template = TEMPLATES[network["kind"]]
    role = find_role(style, network["kind"], fresh=bool(trained and not start))
    task, tags = TAGS[template, role]
    front: dict[str, Any] = {
        **read_license(style.license),
        "library_name": "diffusers",
        "pipeline_tag": task,
        "tags": [hub.TAG, *tags],
        "base_model": trained and trained["base_model"],
        "datasets": trained["datasets"] if trained else None,
    }
    if pictures:
        front["widget"] = [{"text": make_label(name), "output": {"url": name}} for name in pictures]
    if report:
        front |= {"model_name": style.title, "eval_results": report["results"]}
    return fill(
        template,
        ModelCardData(**{key: value for key, value in front.items() if value}),
        style=style,
        role=role,
        source=source or (style.name if style.source == "bundled" else "FOLDER"),
        network=network,
        trained=trained,
        start=start,
        base=settings.get("base", ""),
        figures=report["block"] if report else "",
        skin=report["skin"] if report else {},
        few_faces=MIN_FACES,
        pictures={name: make_label(name) for name in pictures},
        cost=compute_cost(trained) if trained else {},
    )


def find_role(style: hub.Style, network: str, fresh: bool) -> str:
    """Finds the role of a StyleGAN: "toon", "base" or "encoder"; "" for other networks.

    A generator that was not fine-tuned (`fresh`) is a base.
    """
    if TEMPLATES[network] != "stylegan":
        return ""
    if network == "Encoder":
        return "encoder"
    return "base" if fresh or style.family == "stylegan-base" else "toon"


def find_images(folder: Path) -> list[Path]:
    """Lists the images that the card of a model shows."""
    found = (path for name in SAMPLES for path in (folder / name).glob("*"))
    return sorted(
        path for path in found if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file()
    )


def make_label(name: str) -> str:
    """Makes a label of a file name: `two_faces.png` -> `two faces`."""
    return re.sub(r"[_\W]+", " ", Path(name).stem).strip() or "picture"


def read_license(license: str) -> dict[str, str]:
    """Converts a license to `license` for the Hub, or to "other" with a `license_name`."""
    words = re.split(r"[,:;]", license.lower())[0]
    name = re.sub(r"[^a-z0-9.]+", "-", words).strip("-")
    if name in LICENSES or not name:
        return {"license": name or "unknown"}
    return {"license": "other", "license_name": name}


def read_network(folder: Path) -> dict[str, str]:
    """Reads class, settings and size of a network from config.json and the weights' header."""
    config, file = hub.read_json(folder / hub.CONFIG), hub.weights_file(folder)
    kind = config.get("_class_name")
    if kind not in TEMPLATES:
        raise ValueError(
            f"{folder / hub.CONFIG}: _class_name is {kind!r}, expected one of"
            f" {', '.join(TEMPLATES)}"
        )
    shown = {k: v for k, v in config.items() if not k.startswith("_")}
    return {
        "kind": kind,
        "settings": ", ".join(f"{key}={value}" for key, value in shown.items()),
        "size": f"{count_values(file):,}",
        "megabytes": f"{file.stat().st_size / 1e6:.1f}",
        "precision": "half" if file.name == hub.WEIGHTS[0] else "single",
    }


def count_values(file: Path) -> int:
    """Counts the numbers in a safetensors file by its header."""
    with safe_open(file, "np") as tensors:
        return sum(math.prod(tensors.get_slice(key).get_shape()) for key in tensors.keys())  # noqa: SIM118


def read_report(folder: Path) -> dict | None:
    """Reads metrics.json, or None if the folder has none.

    Returns:
        `block`, Markdown; `results`, for the model index; and `skin`, figures by skin tone.
    """
    file = folder / hub.METRICS
    if not file.is_file():
        return None
    values = hub.read_json(file)
    try:
        results: list[EvalResult] = figures.list_results(values)
        skin = values["figures"].get("skin_hue_shift_degrees", {})
        return {"block": figures.format_report(values), "results": results, "skin": skin}
    except (KeyError, TypeError, AttributeError, StopIteration, ValueError) as error:
        raise ValueError(f"{file}: not as training.evaluate writes it ({error!r})") from error


def read_training(folder: Path) -> dict | None:
    """Reads training.json, or None if the folder has none."""
    file = folder / hub.TRAINING
    if not file.is_file():
        return None
    values = hub.read_json(file)
    for key, kind in TRAINING_TYPES.items():
        if not isinstance(values.get(key), kind):
            raise ValueError(f"{file}: {key} is {values.get(key)!r}, expected {kind.__name__}")
    if values["device"] not in WATTS:
        raise ValueError(f"{file}: device is {values['device']!r}, expected {' or '.join(WATTS)}")
    # Runs of older versions have the former spelling.
    settings = {name.replace("colour", "color"): v for name, v in values["settings"].items()}
    return values | {"settings": settings}


def compute_cost(trained: dict) -> dict[str, str]:
    """Computes time and energy of a training, as text; {} if it took no time."""
    on_cpu = trained["device"] == "cpu"
    count = trained["processes"] * (trained["threads"] if on_cpu else 1)
    watts = WATTS[trained["device"]]
    watt_hours = trained["seconds"] / 3600 * count * watts
    if not watt_hours:
        return {}
    unit = "processor thread" if on_cpu else "GPU"
    return {
        "time": format_seconds(trained["seconds"]),
        "units": f"{count} {unit}{'s' if count > 1 else ''}",
        "watts": f"{watts} W per {unit}",
        "energy": f"{watt_hours:.2g} Wh" if watt_hours < 1000 else f"{watt_hours / 1000:.1f} kWh",
    }


def format_seconds(seconds: float) -> str:
    """Formats a time as `41 seconds`, `12 minutes` or `7.5 hours`."""
    if seconds < 120:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 7200 else f"{seconds / 3600:.1f} hours"
