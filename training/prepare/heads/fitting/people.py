"""Gender presentation, age and smile of a face, by linear readings.

The first two read ImageNet features, the smile is read from the face mesh.

`people.json` holds their weights. They were fitted to portraits whose people's gender and birthday
are known, or who were judged by eye; none of them was a child, so children are not recognized.
"""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from toonify import images
from toonify.faces.geometry import cut, ffhq_matrix
from training.core.perceptual import MobileNetV2Features
from training.prepare.heads.fitting.measures import SMILE

WEIGHTS = Path(__file__).parent / "people.json"
STAGES = (13, 17)
SIDE = 224  # px of FFHQ's square that the network sees


@dataclass(frozen=True)
class Person:
    """What was read, each from 0 to 1; in between where the reading is unsure."""

    masculine: float
    old: float


@cache
def _network():
    return MobileNetV2Features(STAGES)


def read_features(photo: Image.Image, five_points: np.ndarray) -> np.ndarray:
    """(416,) mean features of a face.

    Args:
        photo: RGB.
        five_points: (5, 2) eyes, nose and corners of the mouth, in px.
    """
    crop = cut(photo, ffhq_matrix(five_points, SIDE), SIDE)
    with torch.inference_mode():
        found = _network()(images.to_tensor(Image.fromarray(crop)))
    return torch.cat([found[stage].mean((2, 3))[0] for stage in STAGES]).numpy()


@cache
def load_weights() -> dict:
    return json.loads(WEIGHTS.read_text())


def read_person(features: np.ndarray, weights: dict | None = None) -> Person:
    """Gender presentation and age.

    Args:
        features: of `read_features`.
        weights: as `people.json` has them; default: that file.
    """
    weights = weights or load_weights()
    masculine, old = (
        float(np.clip(_read(features, weights[name]), 0, 1)) for name in ("masculine", "old")
    )
    return Person(masculine, old)


def read_smile(measures: dict[str, float]) -> float:
    """About 0 for a face at rest, 1 for a smile; less or more where it is plain."""
    return _read(np.array([measures[name] for name in SMILE]), load_weights()["smiling"])


def _read(values: np.ndarray, row: dict) -> float:
    return float(values @ np.array(row["weights"]) + row["bias"])
