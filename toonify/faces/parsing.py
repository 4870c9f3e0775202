"""Masks of person, hair, skin and clothes in a photo or a drawing."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from PIL import Image

from toonify import hub, images
from toonify.images.color import rgb_to_lab
from toonify.images.color_transfer import (
    as_array,
    bands,
    check_sizes,
    fit_guided,
    upsample,
)
from toonify.images.resize import enlarge

if TYPE_CHECKING:
    from toonify.engines import Engine

DEFAULT_PARSER = "parser"  # the bundled one
NETWORK_CODE = Path(__file__).parents[1] / "models" / "parser.py"
SIDE = 256  # px of the longer side that the network sees
MULTIPLE = 32  # of its height and width
COARSE = 0.75  # of that side: what the network sees a second time, where it finds whole bodies
GUIDE_SIDE = 512  # px of the longer side at which edges are refined
RADIUS = 4  # px of the guided filter at that size
FLATNESS = 9.0  # square of the least difference in CIELAB that is an edge


@dataclass(frozen=True)
class FaceMasks:
    """Probabilities in [0, 1], float32 (H, W), of the photo's own size."""

    person: np.ndarray
    hair: np.ndarray
    skin: np.ndarray
    clothes: np.ndarray


def parse(
    photo: Image.Image,
    parser: str | Path = DEFAULT_PARSER,
    *,
    side: int = SIDE,
    refine: bool = True,
    average: bool = False,
    guide: Image.Image | None = None,
    device: str = "auto",
) -> FaceMasks:
    """Finds the people in a photo or a drawing, their hair, skin and clothes.

    The network sees the photo reduced to `side` px. A guided filter then moves the masks to the
    edges of the photo (He et al., "Guided image filtering", PAMI 2013). The parser is opened on the
    first call and kept.

    Args:
        photo: upright, of any size and mode.
        parser: name of a bundled parser, a folder, or owner/name; default "parser".
        side: px of the longer side that the network sees; default 256, as it was
            trained; more finds smaller faces and takes longer.
        refine: whether the masks follow the edges of the guide; default True.
        average: whether the network sees the photo four times, at two sizes and mirrored, and the
            masks are the mean, which has fewer holes and takes 3.5 times as long; default False.
        guide: an image of the photo's size, such as its drawing, whose edges the masks follow;
            None (default): the photo.
        device: "auto" (default), "cpu", "cuda" or "cuda:N".

    Returns:
        The masks. Without people they are near zero.

    Raises:
        ValueError: `side` is less than 32, the guide has another size than the photo, or the parser
            or the device does not exist.

    Example:
        >>> from toonify import images
        >>> masks = parse(images.load("portrait.jpg"))
        >>> masks.person.shape, bool(masks.person.max() > 0.9)
        ((512, 512), True)
    """
    if side < MULTIPLE:
        raise ValueError(f"side={side}: expected at least {MULTIPLE}")
    if guide is not None:
        check_sizes(photo, guide)
    engine = open_parser(hub.resolve_model(parser), device)
    pixels = as_array(photo)
    height, width = pixels.shape[:2]
    masks = _find(engine, pixels, side)
    if average:
        masks = _average(engine, pixels, side, masks)
    if refine:
        masks = _refine(masks, pixels if guide is None else as_array(guide))
    else:
        masks = enlarge(masks, width, height)
    return FaceMasks(*np.ascontiguousarray(masks.transpose(2, 0, 1)))


@functools.lru_cache(maxsize=2)
def open_parser(folder: Path, device: str = "auto") -> Engine:
    """Opens the parser of a folder; it is kept for the next call.

    Args:
        folder: what `hub.resolve_model` returned.
        device: "auto" (default), "cpu", "cuda" or "cuda:N".

    Returns:
        Its engine: (N, 3, H, W) in [-1, 1], multiples of 32, to probabilities (N, 4, H, W).
    """
    from toonify.engines import open_engine  # here: torch takes a second to import

    def load():
        from toonify.models import FaceParser

        return hub.load_model(folder, {"parser": FaceParser})

    key = hub.fingerprint(folder / hub.CONFIG, hub.weights_file(folder), NETWORK_CODE)
    return open_engine(key, load, device)


def _find(engine: Engine, pixels: np.ndarray, side: int) -> np.ndarray:
    """Masks (h, w, C) of pixels that are reduced to a longer side of `side`."""
    small = _scale(pixels, side)
    padding = [-length % MULTIPLE for length in small.shape[:2]]
    padded = cv2.copyMakeBorder(small, 0, padding[0], 0, padding[1], cv2.BORDER_REPLICATE)
    found = engine(images.to_tensor(Image.fromarray(padded)))[0].numpy()
    return np.ascontiguousarray(found[:, : small.shape[0], : small.shape[1]].transpose(1, 2, 0))


def _average(engine: Engine, pixels: np.ndarray, side: int, first: np.ndarray) -> np.ndarray:
    """The mean of the masks that were found first and of three more views."""
    height, width = first.shape[:2]
    mirrored = np.ascontiguousarray(pixels[:, ::-1])
    coarse = max(MULTIPLE, round(COARSE * side))
    total = first + _find(engine, mirrored, side)[:, ::-1]
    total += enlarge(_find(engine, pixels, coarse), width, height)
    total += enlarge(_find(engine, mirrored, coarse), width, height)[:, ::-1]
    return total / 4


def _scale(pixels: np.ndarray, side: int) -> np.ndarray:
    """Pixels (H, W, 3) with a longer side of `side`."""
    height, width = pixels.shape[:2]
    factor = side / max(height, width)
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    kind = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    return cv2.resize(pixels, size, interpolation=kind)


def _refine(masks: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """Masks (h, w, C) at the size of the photo's pixels, along their edges."""
    guide = rgb_to_lab(_scale(pixels, GUIDE_SIDE))
    masks = enlarge(masks, guide.shape[1], guide.shape[0])
    slopes, offset = fit_guided(guide, masks, RADIUS, FLATNESS)
    count = masks.shape[2]
    fitted = np.concatenate([slopes.reshape(*slopes.shape[:2], 3 * count), offset], axis=2)
    height, width = pixels.shape[:2]
    refined = np.empty((height, width, count), np.float32)
    for top, bottom in bands(width, height):
        lab, lifted = rgb_to_lab(pixels[top:bottom]), upsample(fitted, width, height, top, bottom)
        refined[top:bottom] = lifted[..., 3 * count :]
        for channel in range(3):
            slope = lifted[..., channel * count : (channel + 1) * count]
            refined[top:bottom] += slope * lab[..., channel : channel + 1]
    return np.clip(refined, 0, 1)
