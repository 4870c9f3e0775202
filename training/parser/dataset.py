"""The parser's data set: people on their own or another background, with four masks.

All random numbers of sample `i` are seeded with (seed, i), so that resumed runs have the same
samples.
"""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image
from torch.utils.data import Dataset

from training.data.background import random_background
from training.data.images import Picture
from training.data.sources import open_pictures
from training.data.teacher_records import LABELS
from training.parser.augmentation import degrade, recolor
from training.parser.config import ParserSettings

KEPT_SIDE = 384  # px of the short side of photos that are kept in memory
GROUP_SCALE = (0.35, 0.75)  # size of each person of a group
PLAIN = ((255, 255, 255), (240, 240, 238), (128, 128, 128), (20, 20, 22), (0, 0, 0))


@dataclass
class Layer:
    """A picture, float32 (H, W, 3) in 0..255, and its masks, (H, W, 4) in [0, 1]."""

    image: np.ndarray
    masks: np.ndarray


def to_masks(labels: np.ndarray) -> np.ndarray:
    """Masks uint8 (H, W, 4) in 0..255 of person, hair, skin and clothes, from labels."""
    planes = [labels > 0, *(labels == LABELS[name] for name in ("hair", "skin", "clothes"))]
    return np.stack(planes, -1).astype(np.uint8) * 255


def fit(pixels: np.ndarray, side: float) -> np.ndarray:
    """Pixels scaled down to a short side of at most `side` px."""
    scale = side / min(pixels.shape[:2])
    if scale >= 1:
        return pixels
    size = [max(1, round(length * scale)) for length in pixels.shape[1::-1]]
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)


class ParserDataset(Dataset):
    """Sample i: {"photo": uint8 (3, side, side), "masks": uint8 (4, side, side)}, by i alone.

    Args:
        settings: sources, shares and ranges. `data` has `photos/NAME.png` and `masks/NAME.png` with
            labels 0 to 4, `drawings` has `LOOK/style/NAME.png`, of the photos' sizes.

    Raises:
        ValueError: a source is missing or empty.
    """

    def __init__(self, settings: ParserSettings):
        data, scenes, drawings = settings.data, settings.scenes, settings.drawings
        if not data:
            raise ValueError("--data: expected what training/prepare/parser_masks.py writes")
        found = open_pictures(Path(data, "photos"), "photos")
        self.labels = {p: Path(data, "masks", f"{p.name}.png") for p in found}
        self.photos = [photo for photo, path in self.labels.items() if path.exists()]
        if not self.photos:
            raise ValueError(f"--data {data}: no photo in photos/ has its labels in masks/")
        self.scenes = open_pictures(scenes, "scenes") if scenes else []
        looks = sorted(Path(drawings).glob("*/style")) if drawings else []
        if drawings and not looks:
            raise ValueError(f"--drawings {drawings}: expected folders LOOK/style in it")
        self.looks, self.settings = looks, settings
        self.kept: dict[Picture, Layer] = {}

    def __getstate__(self) -> dict:
        return {**self.__dict__, "kept": {}}

    def __len__(self) -> int:
        return self.settings.max_images

    def crop_size(self, index: int) -> int:
        """Side in px of sample `index`; the same for all samples of a batch."""
        seen = index - index % self.settings.batch
        return next(px for start, px in reversed(self.settings.crop_sizes) if seen >= start)

    def load(self, photo: Picture) -> Layer:
        """A photo and its masks, both uint8, at most `KEPT_SIDE` px wide or high."""
        if photo not in self.kept:
            labels = np.asarray(Image.open(self.labels[photo]))
            pixels = np.asarray(photo.load())
            if labels.shape != pixels.shape[:2]:
                raise ValueError(f"{self.labels[photo]}: expected labels of the photo's size")
            self.kept[photo] = Layer(fit(pixels, KEPT_SIDE), fit(to_masks(labels), KEPT_SIDE))
        return self.kept[photo]

    def load_drawing(self, photo: Picture, rng: np.random.Generator) -> Layer:
        """A random drawing of a photo, with the photo's masks; the photo if there is none."""
        layer = self.load(photo)
        path = self.looks[int(rng.integers(len(self.looks)))] / f"{photo.name}.png"
        if not path.exists():
            return layer
        drawing = np.asarray(Image.open(path).convert("RGB"))
        if drawing.shape[:2] != photo.size[::-1]:  # the teacher drew more than was labeled
            return layer
        return Layer(fit(drawing, KEPT_SIDE), layer.masks)

    def ground(self, side: int, rng: np.random.Generator) -> np.ndarray:
        """A random background, float32 (side, side, 3): a scene, painted, plain or a gradient."""
        kind = rng.random()
        if kind < 0.55 and self.scenes:
            return self.scene(side, rng)
        if kind < 0.7:
            return random_background(rng, side).astype(np.float32)
        ends = np.array([self.plain(rng), self.plain(rng)], np.float32)
        if kind < 0.85:
            ends[1] = ends[0] + rng.normal(0, 10)
        angle = rng.uniform(0, 2 * np.pi)
        rows, columns = np.mgrid[0:side, 0:side] / side - 0.5
        share = np.clip(0.5 + np.cos(angle) * rows + np.sin(angle) * columns, 0, 1)[..., None]
        return np.clip(ends[0] + share * (ends[1] - ends[0]), 0, 255).astype(np.float32)

    def plain(self, rng: np.random.Generator) -> np.ndarray:
        """A color: white, gray or black as in a studio, or any."""
        if rng.random() < 0.5:
            return np.array(PLAIN[int(rng.integers(len(PLAIN)))], np.float32)
        return rng.uniform(0, 255, 3)

    def scene(self, side: int, rng: np.random.Generator) -> np.ndarray:
        """A random part of a scene, sometimes out of focus, float32 (side, side, 3)."""
        picture = self.scenes[int(rng.integers(len(self.scenes)))]
        if picture not in self.kept:
            self.kept[picture] = Layer(fit(np.asarray(picture.load()), 2 * KEPT_SIDE), np.empty(0))
        pixels = self.kept[picture].image
        part = int(min(pixels.shape[:2]) * rng.uniform(0.3, 1))
        top, left = (int(rng.integers(length - part + 1)) for length in pixels.shape[:2])
        part = pixels[top : top + part, left : left + part]
        part = cv2.resize(part, (side, side), interpolation=cv2.INTER_AREA).astype(np.float32)
        if rng.random() < 0.3:
            part = cv2.GaussianBlur(part, (0, 0), rng.uniform(1, 1 + 0.025 * side))
        return part[:, ::-1] if rng.random() < 0.5 else part

    def place(self, layer: Layer, side: int, scale: float, rng: np.random.Generator) -> Layer:
        """A photo turned, scaled and moved into a square; outside of it there is nobody.

        A photo that is smaller than the square stands on its lower edge.
        """
        image, masks = fit(layer.image, 1.5 * scale * side), layer.masks
        height, width = image.shape[:2]
        masks = fit(masks, 1.5 * scale * side)
        factor = scale * side / min(height, width)
        angle = np.radians(rng.normal(0, self.settings.turn_degrees / 2.5))
        angle = np.clip(angle, *np.radians((-1, 1)) * self.settings.turn_degrees)
        cos, sin = factor * np.cos(angle), factor * np.sin(angle)
        matrix = np.array([[cos, -sin, 0], [sin, cos, 0]])
        if rng.random() < 0.5:
            matrix[:, 0] *= -1
        room = (np.array([width, height]) * factor - side) / 2  # to each side, if larger
        offset = rng.uniform(-1, 1, 2) * np.abs(room) + side / 2
        if scale < 1 or height * factor < side:
            offset[1] = side - height * factor / 2 + rng.uniform(0, 0.25) * height * factor
        matrix[:, 2] = offset - matrix[:, :2] @ np.array([width / 2, height / 2])
        size = {"dsize": (side, side), "flags": cv2.INTER_LINEAR}
        placed = cv2.warpAffine(image, matrix, **size, borderMode=cv2.BORDER_REFLECT_101)
        border = cv2.BORDER_CONSTANT if scale < 1 else cv2.BORDER_REFLECT_101
        masks = cv2.warpAffine(masks, matrix, **size, borderMode=border)
        return Layer(placed.astype(np.float32), masks.astype(np.float32) / 255)

    def person(self, side: int, scale: float, rng: np.random.Generator) -> Layer:
        """A random person, drawn in a share of the samples, in a square."""
        s, photo = self.settings, self.photos[int(rng.integers(len(self.photos)))]
        drawn = self.looks and rng.random() < s.drawn_share
        layer = self.load_drawing(photo, rng) if drawn else self.load(photo)
        layer = self.place(layer, side, scale, rng)
        if rng.random() < s.recolor_share:
            layer.image = recolor(layer.image, layer.masks, rng)
        return layer

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return self.sample(index, self.crop_size(index))

    def sample(self, index: int, side: int) -> dict[str, torch.Tensor]:
        """Sample `index` at `side` px."""
        rng, s = np.random.default_rng((self.settings.seed, index)), self.settings
        kind = rng.random()
        if kind < s.empty_share:
            layer = Layer(self.ground(side, rng), np.zeros((side, side, 4), np.float32))
        elif kind < s.empty_share + s.group_share:
            layer = Layer(self.ground(side, rng), np.zeros((side, side, 4), np.float32))
            for _ in range(int(rng.integers(2, 4))):
                layer = self.paste(layer, self.person(side, rng.uniform(*GROUP_SCALE), rng))
        else:
            scale = float(np.exp(rng.uniform(*np.log(s.scale))))
            layer = self.person(side, scale, rng)
            if scale < 1 or rng.random() < s.ground_share:
                empty = np.zeros_like(layer.masks)
                layer = self.paste(Layer(self.ground(side, rng), empty), layer)
        image = degrade(layer.image, rng)
        masks = np.clip(np.rint(layer.masks * 255), 0, 255).astype(np.uint8)
        return {
            "photo": torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1))),
            "masks": torch.from_numpy(np.ascontiguousarray(masks.transpose(2, 0, 1))),
        }

    def paste(self, behind: Layer, front: Layer) -> Layer:
        """The person of one layer before another layer."""
        person = front.masks[..., :1]
        image = behind.image + person * (front.image - behind.image)
        return Layer(image, behind.masks * (1 - person) + front.masks)
