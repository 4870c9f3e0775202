"""The card of a network: what its folder knows, in the words of its family's template."""

import math
import re
from pathlib import Path

from huggingface_hub import EvalResult, ModelCardData
from safetensors import safe_open

from toonify import hub
from toonify.hub.cards import figures
from toonify.hub.cards.templates import fill

# Network, as config.json names it -> template.
TEMPLATES = {
    **dict.fromkeys(
        ("AnimeGANGenerator", "AnimeGANLiteGenerator", "CartoonGANGenerator"), "animegan"
    ),
    **dict.fromkeys(("MobileStyleGAN", "StyleGAN2Generator", "Encoder"), "stylegan"),
    **dict.fromkeys(("ToonGANGenerator", "DCGANGenerator"), "toongan"),
}
FROM_PHOTOS, FROM_NOISE = "image-to-image", "unconditional-image-generation"
# Template, role in it -> kind of task as the Hub calls it, tags.
TAGS = {
    ("animegan", ""): (FROM_PHOTOS, ["animegan", "cartoon", "portrait"]),
    ("stylegan", "toon"): (FROM_PHOTOS, ["stylegan2", "cartoon", "portrait"]),
    ("stylegan", "base"): (FROM_NOISE, ["stylegan2", "portrait"]),
    ("stylegan", "encoder"): (None, ["stylegan2", "gan-inversion", "portrait"]),
    ("toongan", ""): (FROM_NOISE, ["toongan", "cartoon"]),
}
LICENSES = (  # by the Hub's names
    *("apache-2.0", "mit", "isc", "bsd-2-clause", "bsd-3-clause", "unlicense", "unknown"),
    *("cc0-1.0", "cc-by-4.0", "cc-by-sa-4.0", "cc-by-nc-4.0", "cc-by-nc-sa-4.0"),
)
SAMPLES = (".", "samples", "pictures")  # folders beside the weights whose pictures go along
PICTURES = (".jpg", ".jpeg", ".png")
FEW_FACES = 20  # of a skin tone: figures over fewer say little
# Power that is assumed, since nothing measures it: of a processor's thread, of a GPU.
WATTS = {"cpu": 10, "gpu": 350}
TRAINED = {  # what training.json holds
    **dict.fromkeys(("preset", "device", "processor", "precision", "base_model"), str),
    **dict.fromkeys(("images", "processes", "threads"), int),
    "seconds": float,
    **dict.fromkeys(("versions", "settings"), dict),
    "datasets": list,
}


def card_of(folder: Path, source: str = "") -> str:
    """The card of a network's folder, as Markdown with front matter.

    It is made of config.json, style.json and the weights' header, and of metrics.json,
    training.json and pictures where there are any. What is not known is left out. `source` is what
    the card gives to `from_pretrained`: owner/name for one on the Hub; unless told, the name of a
    bundled folder, or FOLDER.

    Raises:
        ValueError: a file is missing, or not what it should be; it names the file.
    """
    folder = Path(folder).resolve()
    style, network = hub.read_style(folder), network_of(folder)
    report, trained = read_report(folder), read_training(folder)
    pictures = [path.relative_to(folder).as_posix() for path in pictures_in(folder)]
    settings = trained["settings"] if trained else {}
    start = settings.get("start_from", "")
    template = TEMPLATES[network["kind"]]
    role = role_of(style, network["kind"], fresh=bool(trained and not start))
    task, tags = TAGS[template, role]
    front = {
        **license_keys(style.license),
        "library_name": "diffusers",
        "pipeline_tag": task,
        "tags": [hub.TAG, *tags],
        "base_model": trained and trained["base_model"],
        "datasets": trained["datasets"] if trained else None,
    }
    if pictures:
        front["widget"] = [{"text": label(name), "output": {"url": name}} for name in pictures]
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
        few_faces=FEW_FACES,
        pictures={name: label(name) for name in pictures},
        cost=cost_of(trained) if trained else {},
    )


def role_of(style: hub.Style, network: str, fresh: bool) -> str:
    """What a StyleGAN is for: "toon", "base" or "encoder". One trained afresh is no toon of another
    one. Networks of other kinds have no roles: ""."""
    if TEMPLATES[network] != "stylegan":
        return ""
    if network == "Encoder":
        return "encoder"
    return "base" if fresh or style.family == "stylegan-base" else "toon"


def pictures_in(folder: Path) -> list[Path]:
    """The pictures that go to the Hub with a network and are shown in its card."""
    found = (path for name in SAMPLES for path in (folder / name).glob("*"))
    return sorted(path for path in found if path.suffix.lower() in PICTURES and path.is_file())


def label(name: str) -> str:
    """What a picture is called by its file's name: `two_faces.png` -> `two faces`."""
    return re.sub(r"[_\W]+", " ", Path(name).stem).strip() or "picture"


def license_keys(license: str) -> dict[str, str]:
    """A license in words -> `license` as the Hub knows it, or "other" with a name of its own."""
    words = re.split(r"[,:;]", license.lower())[0]
    name = re.sub(r"[^a-z0-9.]+", "-", words).strip("-")
    if name in LICENSES or not name:
        return {"license": name or "unknown"}
    return {"license": "other", "license_name": name}


def network_of(folder: Path) -> dict[str, str]:
    """What config.json and the weights' header say, as text."""
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
        "size": f"{values_in(file):,}",
        "megabytes": f"{file.stat().st_size / 1e6:.1f}",
        "precision": "half" if file.name == hub.WEIGHTS[0] else "single",
    }


def values_in(file: Path) -> int:
    """How many numbers a safetensors file holds, by its header."""
    with safe_open(file, "np") as tensors:
        return sum(math.prod(tensors.get_slice(key).get_shape()) for key in tensors.keys())  # noqa: SIM118


def read_report(folder: Path) -> dict | None:
    """metrics.json as `block` of Markdown, `results` of the model index, and figures by `skin`."""
    file = folder / hub.METRICS
    if not file.is_file():
        return None
    said = hub.read_json(file)
    try:
        results: list[EvalResult] = figures.results(said)
        skin = said["figures"].get("skin_hue_shift_degrees", {})
        return {"block": figures.block(said), "results": results, "skin": skin}
    except (KeyError, TypeError, AttributeError, StopIteration, ValueError) as error:
        raise ValueError(f"{file}: not as training.evaluate writes it ({error!r})") from error


def read_training(folder: Path) -> dict | None:
    """training.json, or None if the folder has none."""
    file = folder / hub.TRAINING
    if not file.is_file():
        return None
    said = hub.read_json(file)
    for key, kind in TRAINED.items():
        if not isinstance(said.get(key), kind):
            raise ValueError(f"{file}: {key} is {said.get(key)!r}, expected {kind.__name__}")
    if said["device"] not in WATTS:
        raise ValueError(f"{file}: device is {said['device']!r}, expected {' or '.join(WATTS)}")
    settings = {name.replace("colour", "color"): v for name, v in said["settings"].items()}
    return said | {"settings": settings}  # of older versions too


def cost_of(trained: dict) -> dict[str, str]:
    """Time and energy of a training, as text; {} if it took none."""
    on_cpu = trained["device"] == "cpu"
    count = trained["processes"] * (trained["threads"] if on_cpu else 1)
    watts = WATTS[trained["device"]]
    watt_hours = trained["seconds"] / 3600 * count * watts
    if not watt_hours:
        return {}
    unit = "processor thread" if on_cpu else "GPU"
    return {
        "time": time_in_words(trained["seconds"]),
        "units": f"{count} {unit}{'s' if count > 1 else ''}",
        "watts": f"{watts} W a {unit}",
        "energy": f"{watt_hours:.2g} Wh" if watt_hours < 1000 else f"{watt_hours / 1000:.1f} kWh",
    }


def time_in_words(seconds: float) -> str:
    """`41 seconds`, `12 minutes` or `7.5 hours`."""
    if seconds < 120:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 7200 else f"{seconds / 3600:.1f} hours"
