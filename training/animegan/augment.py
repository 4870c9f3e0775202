"""Augmented pairs of photos and toons: placed, rotated, recolored and lit alike.

Reads what `training/prepare/teacher` writes beside the pairs: five points and the boxes of eyes and
mouth of each face, and a label map of each photo. Both images of a pair get the same geometry and
colors, so that the toon stays the drawing of its photo; only the photo gets noise, blur and JPEG.
"""

import math
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from toonify.faces import frontal_eye_distance
from training.data.background import random_background
from training.data.degradation import degrade
from training.data.halftone import print_dots
from training.data.teacher_records import LABELS, is_rare, read_records

# How much of the extra weight the boxes of a face get.
BOX_WEIGHTS = {"face": 0.25, "mouth": 0.8, "right_eye": 1.0, "left_eye": 1.0}
PLAIN_SHARE = 0.35  # of the grounds behind images that do not fill a crop: one flat color
FACE_SHARE = 0.85  # of crops with a face: moved to one
DEGRADED_SHARE = 0.33  # of photos: blurred, noisy, compressed
FLAT_SHARE = 0.03  # of crops: one color alone, which every style leaves as it is
SLACK = 1.2  # side of the square that is cut before it is rotated


@dataclass(frozen=True)
class Drawn:
    """What is known of one pair: points (faces, 5, 2) and boxes in px of the photo.

    `rare`: whether there are glasses or a beard, which most photos lack.
    """

    points: np.ndarray
    boxes: list[dict[str, list[int]]] = field(default_factory=list)
    rare: bool = False

    def eye_distance(self) -> float:
        """Px between the eyes of the largest face; the height of a turned head counts."""
        return max(map(frontal_eye_distance, self.points))


def read_pairs(path: Path) -> dict[str, Drawn]:
    """Name of a pair -> what the teacher knows of its faces; empty without its file.

    Scenes and photos that were left out are not among them.
    """
    return {
        name: Drawn(
            np.array(record["points"]),
            record["boxes"],
            is_rare(record),
        )
        for name, record in read_records(path).items()
        if "boxes" in record
    }


def weight_map(faces: list[dict[str, list[int]]], shape: tuple[int, ...]) -> np.ndarray:
    """How much each pixel of an image counts beside the least, uint8 (H, W), 255 in eyes.

    Args:
        faces: boxes of each face, in px, by the names of `BOX_WEIGHTS`.
        shape: of the image, height and width first.
    """
    weight = np.zeros(shape[:2], np.uint8)
    for boxes in faces:
        for name, share in BOX_WEIGHTS.items():
            left, top, right, bottom = boxes[name]
            weight[max(0, top) : max(0, bottom), max(0, left) : max(0, right)] = round(255 * share)
    return weight


def boxes_around(points: np.ndarray) -> dict[str, list[int]]:
    """Boxes of a face's parts, [left, top, right, bottom] by the names of `BOX_WEIGHTS`.

    Args:
        points: (5, 2) in px: eyes, nose, corners of the mouth.
    """
    unit = frontal_eye_distance(points)
    reaches = {"face": (1.1, 1.4), "mouth": (0.6, 0.4), "right_eye": (0.45, 0.4)}
    reaches["left_eye"] = reaches["right_eye"]
    centers = (points[2], points[3:].mean(0), points[0], points[1])
    return {
        part: [
            *np.rint(center - unit * np.array(reach)).astype(int).tolist(),
            *np.rint(center + unit * np.array(reach)).astype(int).tolist(),
        ]
        for (part, reach), center in zip(reaches.items(), centers, strict=True)
    }


@dataclass
class Layers:
    """Crops of one pair, (H, W, 3) and (H, W) uint8: photo, toon, labels, weight.

    With `ink` and `coverage`, the toon is without its dots: see `halftone.print_dots`.
    """

    photo: np.ndarray
    toon: np.ndarray
    labels: np.ndarray
    weight: np.ndarray
    ink: np.ndarray | None = None
    coverage: np.ndarray | None = None

    def map(self, change, labels=None) -> "Layers":
        """`change` applied to all; `labels`, if given, to the label map."""
        changed = {name: change(image) for name, image in self.present().items()}
        if labels:
            changed["labels"] = labels(self.labels)
        return Layers(**changed)

    def present(self) -> dict[str, np.ndarray]:
        """The images that are there, by name."""
        return {name: image for name, image in vars(self).items() if image is not None}

    def part(self, rows: slice, columns: slice) -> "Layers":
        return self.map(lambda image: image[rows, columns])


class PairAugmenter:
    """Random crops of pairs.

    Args:
        load: image -> uint8 RGB (H, W, 3), for photos and toons.
        toons: photo -> toon, both of one size.
        halftone: photo -> (plain, ink, coverage), the layers of a toon with dots; may be empty.
        records: name of a photo -> its faces.
        masks: folder of label maps named as the photos.
        eyes: range of px between the eyes of the largest face in a crop.
        zoom: range of crop px per image px for photos without a face.
        portraits: photos with a face, each a key of `toons` and of `records`.
        scenes: photos without, each a key of `toons`; may be empty.
        scene_share: share of crops of scenes.
    """

    def __init__(
        self, load, toons, halftone, records, masks, *, eyes, zoom, portraits, scenes, scene_share
    ):
        self.load, self.toons, self.halftone = load, toons, halftone
        self.records, self.masks = records, Path(masks)
        self.eyes, self.zoom = eyes, zoom
        self.portraits, self.scenes, self.scene_share = portraits, scenes, scene_share

    def __call__(self, size: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """A sample: "photo", "toon" (size, size, 3) and "weight" (size, size, 1), all uint8."""
        if rng.random() < FLAT_SHARE:
            return flat_sample(size, rng)
        group = self.scenes if self.scenes and rng.random() < self.scene_share else self.portraits
        photo = group[int(rng.integers(len(group)))]
        slack = 2 * round(size * SLACK / 2)
        layers = self.place(photo, slack, rng)
        layers = rotate(layers, size, rng)
        if rng.random() < 0.5:
            layers = layers.map(lambda image: np.ascontiguousarray(image[:, ::-1]))
        pair = [layers.photo, layers.toon] + ([] if layers.ink is None else [layers.ink])
        pair = relight(recolor(pair, layers.labels, rng), rng)
        if layers.coverage is not None:
            pair[1] = print_dots(pair[1], pair[2], layers.coverage)
        return {
            "photo": degrade(pair[0], rng) if rng.random() < DEGRADED_SHARE else pair[0],
            "toon": pair[1],
            "weight": layers.weight[..., None],
        }

    def layers(self, photo) -> Layers:
        """The full images of a pair."""
        pixels = self.load(photo)
        drawn = self.records.get(photo.stem)
        weight = weight_map(drawn.boxes if drawn else [], pixels.shape)
        labels = self.read_labels(photo)
        if not self.halftone:
            return Layers(pixels, self.load(self.toons[photo]), labels, weight)
        if photo not in self.halftone:
            toon = self.load(self.toons[photo])
            return Layers(pixels, toon, labels, weight, toon, np.zeros_like(labels))
        plain, ink, coverage = map(self.load, self.halftone[photo])
        return Layers(pixels, plain, labels, weight, ink, coverage[..., 0])

    def read_labels(self, photo) -> np.ndarray:
        """The label map of a photo; all background without its file."""
        path = self.masks / f"{photo.stem}.png"
        height, width = self.load(photo).shape[:2]
        if not path.is_file():
            return np.zeros((height, width), np.uint8)
        with Image.open(path) as image:
            return np.asarray(image.convert("L").resize((width, height), Image.Resampling.NEAREST))

    def draw_zoom(self, photo, rng: np.random.Generator) -> float:
        """Crop px per image px."""
        drawn = self.records.get(photo.stem)
        low, high = np.log(self.eyes if drawn else self.zoom)
        return math.exp(rng.uniform(low, high)) / (drawn.eye_distance() if drawn else 1.0)

    def place(self, photo, side: int, rng: np.random.Generator, depth: int = 0) -> Layers:
        """A square of `side` px of a pair at a random zoom and place.

        Beyond the image there is a flat or painted ground or another pair: `depth` counts how many
        pairs lie in front of this one.
        """
        zoom, full = self.draw_zoom(photo, rng), self.layers(photo)
        height, width = full.photo.shape[:2]
        if depth == 2:  # the ground of a ground: fills the square
            zoom = max(zoom, side / height, side / width)
        reach = math.ceil(side / zoom)  # px of the image that the square shows
        drawn = self.records.get(photo.stem)
        if drawn is not None and rng.random() < FACE_SHARE:
            face = drawn.points[int(rng.integers(len(drawn.points)))]
            center = face.mean(0) + rng.normal(0, 0.18 * reach, 2)
        else:
            center = rng.uniform(0, 1, 2) * (width, height)
        left, x = window(center[0], reach, width, rng)
        top, y = window(center[1], reach, height, rng)
        part = full.part(slice(top, top + reach), slice(left, left + reach))
        rows, columns = (max(1, round(zoom * length)) for length in part.photo.shape[:2])
        rows, columns = min(rows, side), min(columns, side)
        small = part.map(
            lambda image: resize(image, columns, rows),
            lambda image: cv2.resize(image, (columns, rows), interpolation=cv2.INTER_NEAREST),
        )
        if rows == columns == side:
            return small
        canvas = self.ground(side, rng, depth)
        at_y, at_x = round(y * (side - rows)), round(x * (side - columns))
        for name, image in small.present().items():
            getattr(canvas, name)[at_y : at_y + rows, at_x : at_x + columns] = image
        return canvas

    def ground(self, side: int, rng: np.random.Generator, depth: int) -> Layers:
        """What surrounds an image: a flat color, a painted ground or another pair."""
        if rng.random() < PLAIN_SHARE or depth == 2:
            if rng.random() < 0.5:
                gray = rng.choice([0, 255, int(rng.integers(256))])
                image = np.full((side, side, 3), gray, np.uint8)
            else:
                image = random_background(rng, side)
            empty = np.zeros((side, side), np.uint8)
            dots = (image.copy(), empty.copy()) if self.halftone else ()
            return Layers(image.copy(), image.copy(), empty.copy(), empty.copy(), *dots)
        other = self.portraits[int(rng.integers(len(self.portraits)))]
        layers = self.place(other, side, rng, depth + 1)
        return layers.map(np.ascontiguousarray)


def flat_sample(size: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """A sample of one color: a gray for half of them, with black and white as frequent as others.

    Normalization takes a flat image's brightness away; without such samples a network does not
    learn to keep what is left of it.
    """
    gray = rng.choice([0, 255, int(rng.integers(256))])
    color = rng.integers(0, 256, 3) if rng.random() < 0.5 else np.full(3, gray)
    image = np.full((size, size, 3), color, np.uint8)
    return {"photo": image, "toon": image.copy(), "weight": np.zeros((size, size, 1), np.uint8)}


def part_centers(weight: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """(count, 2) x and y of the middles of eyes and mouths in a weight map, then random places."""
    centers: list = []
    bounds = {name: round(255 * share) for name, share in BOX_WEIGHTS.items()}
    for name in ("left_eye", "mouth"):  # both eyes have the same weight
        near = np.abs(weight.astype(np.int16) - bounds[name]) <= 8
        number, _, stats, middles = cv2.connectedComponentsWithStats(near.astype(np.uint8))
        sizes = stats[1:, cv2.CC_STAT_AREA]
        centers += [middles[1 + i] for i in range(number - 1) if sizes[i] >= 64]
    rng.shuffle(centers)
    height, width = weight.shape
    while len(centers) < count:
        centers.append(rng.uniform(0, 1, 2) * (width, height))
    return np.stack(centers[:count])


def window(center: float, reach: int, length: int, rng: np.random.Generator) -> tuple[int, float]:
    """(first px, place) of a window of `reach` px about a center.

    `place` in 0..1 says where an image that is shorter than the window lies in it.
    """
    first = round(center - reach / 2)
    return int(np.clip(first, 0, max(0, length - reach))), float(rng.random())


def resize(image: np.ndarray, width: int, height: int) -> np.ndarray:
    """Scaled to (height, width), averaging where it shrinks."""
    shrinks = width < image.shape[1]
    way = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    return cv2.resize(image, (width, height), interpolation=way)


def rotate(layers: Layers, size: int, rng: np.random.Generator) -> Layers:
    """The middle `size` px, half of the time rotated by up to 25 degrees."""
    side = layers.photo.shape[0]
    first = (side - size) // 2
    middle = slice(first, first + size)
    if rng.random() < 0.5:
        return layers.part(middle, middle).map(np.ascontiguousarray)
    angle = float(np.clip(rng.normal(0, 9), -25, 25))
    matrix = cv2.getRotationMatrix2D(((side - 1) / 2, (side - 1) / 2), angle, 1.0)
    matrix[:, 2] -= first

    def turn(image, flags=cv2.INTER_CUBIC):
        return cv2.warpAffine(
            image, matrix, (size, size), flags=flags, borderMode=cv2.BORDER_REFLECT_101
        )

    return layers.map(turn, lambda image: turn(image, cv2.INTER_NEAREST))


def recolor(pair: list[np.ndarray], labels: np.ndarray, rng: np.random.Generator) -> list:
    """Other colors of skin, hair, clothes and background, each in a share of the samples.

    Skin and hair move in Lab by lightness and chroma as people differ; clothes and backgrounds
    take any hue. Pixels unlike their region's color (eyes, teeth, lines) move less.
    """
    changes = {}
    if rng.random() < 0.35:
        light = float(np.exp(rng.uniform(math.log(0.5), math.log(1.2))))
        changes["skin"] = (light, rng.uniform(0.8, 1.15), rng.normal(0, 0.08))
    if rng.random() < 0.35:
        light = float(np.exp(rng.uniform(math.log(0.5), math.log(2.0))))
        changes["hair"] = (light, rng.uniform(0.3, 1.6), rng.normal(0, 0.25))
    if rng.random() < 0.4:
        changes["clothes"] = (rng.uniform(0.6, 1.5), rng.uniform(0.5, 1.6), rng.uniform(0, 6.28))
    if rng.random() < 0.3:
        light = float(np.exp(rng.uniform(math.log(0.45), math.log(1.9))))
        changes["background"] = (light, rng.uniform(0.2, 1.8), rng.uniform(0, 6.28))
    if not changes:
        return pair
    labs = [cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2LAB) for image in pair]
    sources = [lab.copy() for lab in labs]
    for name, (light, chroma, hue) in changes.items():
        mask = labels == LABELS[name]
        if mask.sum() < 64:
            continue
        soft = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 1.2)
        middle = np.median(sources[0][mask], axis=0)
        turn = np.array([[math.cos(hue), math.sin(hue)], [-math.sin(hue), math.cos(hue)]])
        turn = (chroma * turn).astype(np.float32)
        for lab, source in zip(labs, sources, strict=True):
            cover = soft
            if name == "skin":
                away = (source - middle) * np.float32([0.5, 1, 1])
                cover = soft * np.exp(-((away**2).sum(-1)) / (2 * 17.0**2))
            bright = min(light, 96 / max(float(middle[0]), 1.0)) if light > 1 else light
            goal = np.concatenate([source[..., :1] * bright, source[..., 1:] @ turn], axis=-1)
            lab += cover[..., None] * (goal - source)
    return [to_rgb(lab) for lab in labs]


def to_rgb(lab: np.ndarray) -> np.ndarray:
    """CIELAB float32 -> uint8 RGB."""
    lab[..., 0] = np.clip(lab[..., 0], 0, 100)
    rgb = cv2.cvtColor(lab.astype(np.float32), cv2.COLOR_LAB2RGB)
    return np.clip(np.rint(rgb * 255), 0, 255).astype(np.uint8)


def relight(pair: list[np.ndarray], rng: np.random.Generator) -> list[np.ndarray]:
    """Both images brighter or darker, with more or less contrast, warmer or colder."""
    if rng.random() < 0.4:
        return pair
    gamma = float(np.exp(rng.normal(0, 0.18)))
    gains = np.exp(rng.normal(0, 0.05, 3)) * math.exp(rng.normal(0, 0.05))
    levels = np.linspace(0, 1, 256)
    curve = levels**gamma
    contrast = 1 + rng.normal(0, 0.08)
    curve = 0.5 + contrast * (curve - 0.5)
    table = np.clip(np.rint(255 * curve[:, None] * gains), 0, 255).astype(np.uint8)[None]
    return [cv2.LUT(image, table) for image in pair]
