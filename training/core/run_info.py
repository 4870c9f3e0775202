"""training.json: how a network was trained, for its card."""

import dataclasses
import datetime
import importlib.metadata
import platform
import re
from contextlib import suppress
from pathlib import Path

import torch
from accelerate import Accelerator

from toonify import hub
from training.core import records

VERSIONS = ("torch", "torchvision", "diffusers", "accelerate", "numpy", "pillow")
HUB_DATASET = re.compile(
    r"(?P<repo>[\w.-]+/[\w.-]+)(@(?P<revision>[\w./-]+))?(#(?P<column>[^#]+))?"
)
MEASURING = (
    *("toonify", "torch", "torchvision", "openvino", "numpy", "pillow"),
    *("opencv-python-headless", "facenet-pytorch"),
)
SOURCES = ("data", "photos", "scenes", "style_images")  # settings that name training data


def about(settings, preset: str, accelerator: Accelerator) -> dict[str, object]:
    """Settings, machine and packages of a run; absolute paths are shortened to their last part."""
    chosen = dataclasses.asdict(settings)
    device = accelerator.device
    start = chosen.get("start_from", "")
    return {
        "preset": preset,
        "device": "cpu" if device.type == "cpu" else "gpu",
        "processor": processor(device),
        "processes": accelerator.num_processes,
        "threads": torch.get_num_threads(),
        "precision": {"no": "fp32"}.get(accelerator.mixed_precision, accelerator.mixed_precision),
        "versions": versions(VERSIONS),
        "datasets": sorted({on_hub(chosen.get(name, "")) for name in SOURCES} - {""}),
        "base_model": on_hub(start),
        "settings": {
            name: redact_path(value) if isinstance(value, str) else value
            for name, value in chosen.items()
            if name != "out"
        },
    }


def write(folder: Path, run: dict[str, object], images: int, seconds: float) -> None:
    """Writes training.json; `run` is what `about` returned."""
    records.write({"images": images, "seconds": round(seconds, 1), **run}, folder / hub.TRAINING)


def processor(device: torch.device) -> str:
    """The name of the GPU or of the processor."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    info = Path("/proc/cpuinfo")
    found = re.search(r"^model name\s*:\s*(.+)$", info.read_text(), re.M) if info.exists() else None
    return (found and found[1].strip()) or platform.processor() or platform.machine()


def versions(packages: tuple[str, ...]) -> dict[str, str]:
    """Package -> version, of those that are installed."""
    found = {}
    for package in packages:
        with suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found


def redact_path(value: object) -> str:
    """A setting or option for publication: an absolute path becomes its last part."""
    path = Path(str(value))
    return path.name if path.is_absolute() or str(value).startswith("~") else str(value)


def is_hub_dataset(source: str) -> bool:
    """Whether a text names a data set: owner/name, owner/name@revision, owner/name#column."""
    return not source.startswith((".", "~")) and HUB_DATASET.fullmatch(source) is not None


def report(figures: dict, command: str, extractors: list[str]) -> dict:
    """The content of metrics.json: the metrics and the command that measures them."""
    return {
        "figures": figures,
        "command": command,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "versions": versions(MEASURING),
        "extractors": extractors,
    }


def on_hub(source: str) -> str:
    """owner/name of a source on the Hub; empty for a local one."""
    if not is_hub_dataset(source) or Path(source).exists():
        return ""
    return re.split("[@#]", source)[0]
