"""Halftone at the size of a crop: the dots that a network can learn.

The teacher's dots follow the face's size, and a crop begins anywhere: where a dot lies cannot be
told from the photo, and a network that has to guess paints their mean. A drawing in layers is
therefore printed after it was cropped, with the screen of `noise_tile`, which the network reads.
"""

import functools
from pathlib import Path

import numpy as np

from toonify.models.animegan import noise_tile
from training.data.images import Picture
from training.data.sources import match_by_name, open_pictures
from training.data.teacher_records import HALFTONE_LAYERS

SOFT = 0.35  # of the screen's values over which a dot's rim rises


@functools.cache
def screen_values() -> tuple[np.ndarray, np.ndarray]:
    """The tile of the screen, and the value above which a share of it lies, for 0 to 255."""
    tile = noise_tile()[0].numpy()
    return tile, np.quantile(tile, 1 - np.arange(256) / 255).astype(np.float32)


def print_dots(plain: np.ndarray, ink: np.ndarray, coverage: np.ndarray) -> np.ndarray:
    """Prints ink over a drawing in dots.

    Args:
        plain: the drawing without dots, uint8 (H, W, 3).
        ink: the drawing with ink wherever there are dots, same shape.
        coverage: share of ink, uint8 (H, W), 255 for all.

    Returns:
        uint8 (H, W, 3).
    """
    tile, thresholds = screen_values()
    height, width = coverage.shape
    repeats = (height // tile.shape[0] + 1, width // tile.shape[1] + 1)
    screen = np.tile(tile, repeats)[:height, :width]
    dots = np.clip((screen - thresholds[coverage]) / (2 * SOFT) + 0.5, 0, 1)
    dots = np.where(coverage > 4, dots, 0)[..., None]
    return np.rint(plain + (ink.astype(np.float32) - plain) * dots).astype(np.uint8)


def find_layers(folder: Path, photos: list[Picture]) -> dict[Picture, list[Picture]]:
    """Photo -> the layers of its drawing (plain, ink, coverage), of those that have them.

    Args:
        folder: of the look, beside whose drawings the layers are.
        photos: the photos of the drawings.
    """
    if not all((folder / kind).is_dir() for kind in HALFTONE_LAYERS):
        return {}
    matches = [
        match_by_name(open_pictures(folder / kind, f"{kind} layers")) for kind in HALFTONE_LAYERS
    ]
    found = {photo: [match(photo) for match in matches] for photo in photos}
    return {photo: layers for photo, layers in found.items() if all(layers)}
