"""AnimeGANv2's data set: unpaired photos and style images, or pairs by file name.

All random numbers of sample `i` are seeded with (seed, i), so that resumed runs and runs with more
processes or loader workers have the same samples.
"""

import functools
import json
import os
import warnings
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image
from torch.utils.data import Dataset, get_worker_info
from tqdm import tqdm

from training.animegan.augment import (
    PairAugmenter,
    boxes_around,
    part_centers,
    read_pairs,
    weight_map,
)
from training.data.background import random_background
from training.data.halftone import find_layers
from training.data.images import Picture
from training.data.sources import MIN_IMAGES, match_by_name, open_pictures
from training.data.teacher_records import RARE_FACTOR, RECORDS
from training.prepare.edge_smooth import smooth_edges

# OpenCV's threads do not exist in a forked loader worker, which must not wait for them.
os.register_at_fork(after_in_child=functools.partial(cv2.setNumThreads, 0))

MIN_SIDE = 64  # px of the short side of images that are used
MAX_SIDE = 1024  # px of the short side of cached images, unless the crops need more
PARTS = 4  # eyes, mouths and other places of an augmented crop that a discriminator may look at


class PictureCache:
    """A least-recently-used cache of decoded images.

    Each is a uint8 array (H, W, 3) RGB, or (H, W, 4) premultiplied RGBA. Images with a short side
    above `largest` px are scaled down. A loader worker has a cache of its own and its share of
    `max_bytes`; a pickled cache is empty.
    """

    def __init__(self, max_bytes: int, largest: int = MAX_SIDE):
        self.max_bytes, self.largest = max_bytes, largest
        self.bytes = 0
        self.pictures: OrderedDict[tuple, np.ndarray] = OrderedDict()

    def __getstate__(self) -> dict:
        return {**self.__dict__, "bytes": 0, "pictures": OrderedDict()}

    def __call__(
        self, picture: Picture, *, alpha: bool = False, smooth: bool = False
    ) -> np.ndarray:
        """The decoded image, on white without `alpha`, with smoothed edges with `smooth`."""
        key = (picture, alpha and picture.transparent, smooth)
        if key in self.pictures:
            self.pictures.move_to_end(key)
            return self.pictures[key]
        pixels = self.decode(*key)
        self.pictures[key] = pixels
        self.bytes += pixels.nbytes
        worker = get_worker_info()
        most = self.max_bytes // worker.num_workers if worker else self.max_bytes
        while self.bytes > most and len(self.pictures) > 1:
            self.bytes -= self.pictures.popitem(last=False)[1].nbytes
        return pixels

    def scale(self, picture: Picture) -> float:
        """Px of the decoded image per px of its file; at most 1."""
        return min(1.0, self.largest / max(1, min(picture.size)))

    def decode(self, picture: Picture, alpha: bool, smooth: bool) -> np.ndarray:
        """Decodes the image of a key of the cache."""
        if smooth and not alpha:
            return smooth_edges(self(picture))
        image = picture.load(alpha=alpha)
        if (scale := self.scale(picture)) < 1:
            size = tuple(max(1, round(side * scale)) for side in picture.size)
            image = image.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)
        pixels = np.asarray(image)
        if alpha:
            pixels = premultiply_alpha(smooth_edges(pixels) if smooth else pixels)
        return pixels


def premultiply_alpha(pixels: np.ndarray) -> np.ndarray:
    """uint8 RGBA with premultiplied colors, so that hidden colors have no effect on a resize."""
    alpha = pixels[..., 3:].astype(np.uint16)
    color = (pixels[..., :3] * alpha + 127) // 255
    return np.concatenate([color, alpha], axis=2).astype(np.uint8)


def composite(crop: np.ndarray, background: np.ndarray) -> np.ndarray:
    """A crop (H, W, 3), or a premultiplied one (H, W, 4) on a background, as RGB (H, W, 3)."""
    if crop.shape[2] == 3:
        return crop
    hidden = 255 - crop[..., 3:].astype(np.float32)
    image = crop[..., :3] + background * (hidden / 255)
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


@dataclass(frozen=True)
class Window:
    """A square crop: corner and side in px of the image, mirrored or not."""

    x: int
    y: int
    side: int
    mirrored: bool

    def of(self, picture: np.ndarray) -> np.ndarray:
        """The square of the image, not scaled or mirrored."""
        return picture[self.y : self.y + self.side, self.x : self.x + self.side]

    def cut(self, picture: np.ndarray, size: int) -> np.ndarray:
        """The crop as uint8 (size, size, channels)."""
        crop = self.of(picture)
        if crop.shape[0] != size:
            shrinks = crop.shape[0] > size
            crop = cv2.resize(
                crop, (size, size), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
            )
        return crop[:, ::-1] if self.mirrored else crop


class AnimeGANDataset(Dataset):
    """Sample `i` -> {"photo", "style", "smooth"[, "toon"]}, each uint8 RGB (3, size, size).

    Reads the layout of the public data set: `data/train_photo`, `data/STYLE/style`,
    `data/STYLE/smooth`. If every photo has a style image of its name and size, these are its toons,
    and "toon" is cropped like the photo. `data/faces.json` (name -> list of five points in px of
    the file), if there, moves crops to faces. Transparent style images get a new random background
    in each sample, which their smoothed copy shares.

    Args:
        data: the data set's folder.
        style: name of the style's folder.
        photos, scenes, pictures: other sources of photos, of photos without people, and of style
            images; see `sources.open_pictures`.
        smooth: smoothed copies of style images: "paired", that of the same image; "independent", a
            random one, as published; or "computed" when they are needed.
        pairs: whether to look for pairs.
        crop_sizes: ((number of images, px), ...), growing; a batch has one size.
        zoom: range of crop px per image px.
        face_share: share of crops on a face.
        scene_share: share of photos from `scenes`, or else of those without a face in faces.json.
        permute_share: share of pairs with permuted channels.
        mirror: whether half of the crops are mirrored.
        augment: whether pairs are augmented (see `augment.PairAugmenter`); "style" is then the
            toon, and the sample has "weight" (1, size, size) and "parts", float (4, 2): x and y of
            eyes, mouths and random places.
        weigh: whether other pairs have a "weight" too, by the faces in faces.json.
        eyes: range of px between the eyes in augmented crops.
        batch: images per step.
        length: number of samples.
        seed: the random seed.
        cache_bytes: memory for decoded images.

    Raises:
        ValueError: a source is missing or has fewer than 2 images, or style images have no
            smoothed copies.
    """

    def __init__(
        self,
        data: Path,
        style: str,
        *,
        photos: str = "",
        scenes: str = "",
        pictures: str = "",
        smooth: str = "paired",
        pairs: bool = True,
        crop_sizes: tuple[tuple[int, int], ...] = ((0, 256),),
        zoom: tuple[float, float] = (0.5, 1.0),
        face_share: float = 0.7,
        scene_share: float = 0.2,
        permute_share: float = 0.3,
        mirror: bool = True,
        augment: bool = False,
        weigh: bool = False,
        eyes: tuple[float, float] = (32.0, 84.0),
        batch: int = 8,
        length: int,
        seed: int = 0,
        cache_bytes: int = 3 * 2**30,
    ):
        self.crop_sizes, self.zoom = crop_sizes, zoom
        self.face_share, self.permute_share, self.mirror = face_share, permute_share, mirror
        self.batch, self.length, self.seed = batch, length, seed
        needed = max(px for _, px in crop_sizes) / zoom[0]
        self.cache = PictureCache(cache_bytes, max(MAX_SIDE, round(needed)))
        portraits = open_pictures(photos or data / "train_photo", "photos", smallest=MIN_SIDE)
        views = open_pictures(scenes, "scenes", smallest=MIN_SIDE) if scenes else []
        place = pictures or data / style / "style"
        self.styles = open_pictures(place, "style images", smallest=MIN_SIDE)
        self.smooth = self.find_smooth(data / style, pictures, smooth)
        self.smooth_mode = smooth
        check_min_images(photos or data / "train_photo", [*portraits, *views], place, self.styles)

        self.counts = {"photos": len(portraits) + len(views), "style images": len(self.styles)}
        self.toons = self.find_toons([*portraits, *views], place) if pairs else {}
        self.paired = bool(self.toons)
        self.faces = self.find_faces(data / "faces.json", [*portraits, *self.styles])
        self.groups, self.scene_share = self.group_photos(portraits, views, scene_share)
        self.weigh = weigh and self.paired
        self.augment = augment
        if augment:
            self.augmenter = self.create_augmenter(data, style, portraits, views, eyes, scene_share)

    def create_augmenter(
        self,
        data: Path,
        style: str,
        portraits: list[Picture],
        views: list[Picture],
        eyes: tuple[float, float],
        scene_share: float,
    ) -> PairAugmenter:
        """The maker of augmented crops, by the teacher's records of the photos."""
        records = read_pairs(data / style / RECORDS)
        if not (self.paired and records):
            raise ValueError(
                f"--augment: expected photos in {data}/train_photo, a toon of each in "
                f"{data}/{style}/style and their faces in {data}/{style}/{RECORDS}, as "
                "`python -m training.prepare.teacher` writes them"
            )
        with_face = [p for p in portraits if p.stem in records]
        with_face += (RARE_FACTOR - 1) * [p for p in with_face if records[p.stem].rare]
        return PairAugmenter(
            self.cache,
            self.toons,
            find_layers(data / style, portraits),
            records,
            data / "masks",
            eyes=eyes,
            zoom=self.zoom,
            portraits=with_face,
            scenes=views or [p for p in portraits if p.stem not in records],
            scene_share=scene_share,
        )

    def group_photos(
        self, portraits: list[Picture], views: list[Picture], scene_share: float
    ) -> tuple[tuple[list[Picture], list[Picture]], float]:
        """Photos of people and photos without, and the share of the second group."""
        if views:
            return (portraits, views), scene_share
        with_face = [p for p in portraits if self.faces.get(p)]
        without = [p for p in portraits if not self.faces.get(p)]
        # Without face data everything is one group, and the shares do not matter.
        groups = (with_face or without, without or with_face)
        return groups, scene_share if with_face and without else 0.0

    def find_smooth(self, folder: Path, pictures: str, mode: str) -> list[Picture]:
        """The smoothed copies: one per style image if paired, all if independent, or none."""
        if mode == "computed":
            return []
        place = folder / "smooth"
        command = f"python -m training.prepare.edge_smooth {folder}"
        if pictures:
            command += f" --pictures {pictures}"
        advice = f"run `{command}`, or train with --smooth computed"
        copies = []
        if place.is_dir() and any(place.iterdir()):
            copies = open_pictures(place, "smoothed style images", smallest=MIN_SIDE)
        if not copies:
            raise ValueError(f"{place}: the style images have no edge-smoothed copies; {advice}")
        if mode == "independent":
            return copies
        match = match_by_name(copies)
        missing = [p.name for p in self.styles if match(p) is None]
        if missing:
            raise ValueError(
                f"{place}: {len(missing)} of {len(self.styles)} style images have no "
                f"edge-smoothed copy ({missing[0]} for one); {advice}"
            )
        unlike = [p.name for p in self.styles if differs(match(p), p)]
        if unlike:
            raise ValueError(
                f"{place}: {len(unlike)} copies differ from their style images in size or "
                f"transparency ({unlike[0]} for one); delete the folder and {advice}"
            )
        return [match(p) for p in self.styles]

    def find_toons(self, photos: list[Picture], place) -> dict[Picture, Picture]:
        """Photo -> the style image of its name and size, if all photos have one; else empty."""
        match = match_by_name(self.styles)
        alike = {p: match(p) for p in photos if match(p)}
        toons = {p: toon for p, toon in alike.items() if toon.size == p.size}
        if alike and len(toons) < len(photos):
            warnings.warn(
                f"{place}: {len(alike)} of {len(photos)} photos have a style image of their "
                f"name, {len(toons)} of their name and size; pairs need both for all photos, so "
                "they are used as style images only",
                stacklevel=3,
            )
            return {}
        return toons

    def find_faces(self, file: Path, pictures: list[Picture]) -> dict[Picture, list]:
        """Image -> five points of each of its faces, in px of the decoded image."""
        known = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
        faces = {}
        for picture in pictures:
            points = known.get(picture.name) or known.get(picture.stem)
            scale = self.cache.scale(picture)
            if points and scale < 1:
                points = [[[scale * x, scale * y] for x, y in face] for face in points]
            if points:
                faces[picture] = points
        return faces

    def __len__(self) -> int:
        return self.length

    def crop_size(self, index: int) -> int:
        """Side in px of sample `index`; the same for all samples of a batch."""
        seen = index - index % self.batch
        return next(px for start, px in reversed(self.crop_sizes) if seen >= start)

    def window(self, picture: Picture, shape, size: int, rng: np.random.Generator) -> Window:
        """A random square of the image, at a share of `face_share` on a face, at a random zoom.

        A zoom of 0.5 scales a square of twice the crop's side. Small images are scaled up.
        """
        height, width = shape[:2]
        zoom = float(np.exp(rng.uniform(*np.log(self.zoom))))
        side = int(min(round(size / zoom), height, width))
        points = self.faces.get(picture)
        if points and rng.random() < self.face_share:
            face = np.array(points[int(rng.integers(len(points)))])
            target = face[int(rng.integers(5))] + rng.normal(0, 0.25 * side, 2)
            x, y = target - side / 2
        else:
            x, y = rng.uniform(0, width - side + 1), rng.uniform(0, height - side + 1)
        x, y = int(np.clip(x, 0, width - side)), int(np.clip(y, 0, height - side))
        return Window(x, y, side, bool(rng.random() < 0.5) and self.mirror)

    def sample_crop(self, picture: Picture, pixels, size: int, rng: np.random.Generator) -> Window:
        """A random window of a style image; of a cut-out, one that is a third opaque, if any."""
        window = self.window(picture, pixels.shape, size, rng)
        for _ in range(8):
            if pixels.shape[2] == 3 or window.of(pixels)[..., 3].mean() > 255 / 3:
                break
            window = self.window(picture, pixels.shape, size, rng)
        return window

    def permute_channels(self, crops: dict[str, np.ndarray], rng: np.random.Generator) -> dict:
        """Permutes the channels of all crops alike, in a share of the samples.

        Portraits have skin, gray and blue but hardly any green: without this, a network learns the
        third axis of color last.
        """
        if rng.random() >= self.permute_share:
            return crops
        order = rng.permutation(3)
        return {name: crop[..., order] for name, crop in crops.items()}

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return self.sample(index, self.crop_size(index))

    def sample(self, index: int, size: int) -> dict[str, torch.Tensor]:
        """Sample `index` at `size` px."""
        rng = np.random.default_rng((self.seed, index))
        if self.augment:
            crops = self.augmenter(size, rng)
            more = {"style": crops["toon"], "smooth": smooth_edges(crops["toon"])}
            parts = part_centers(crops["weight"][..., 0], PARTS, rng)
            return to_tensors(crops | more) | {"parts": torch.from_numpy(parts).float()}
        group = self.groups[int(rng.random() < self.scene_share)]
        photo_picture = group[int(rng.integers(len(group)))]
        photo = self.cache(photo_picture)
        window = self.window(photo_picture, photo.shape, size, rng)
        crops = {"photo": window.cut(photo, size)}
        if self.paired:
            crops["toon"] = window.cut(self.cache(self.toons[photo_picture]), size)
            crops = self.permute_channels(crops, rng)
        if self.weigh:
            points = np.array(self.faces.get(photo_picture, []), np.float32).reshape(-1, 5, 2)
            weight = weight_map([boxes_around(face) for face in points], photo.shape)
            crops["weight"] = window.cut(weight, size)[..., None]
        style = self.style_crops(index, size, rng)
        # The discriminator's real images need the colors of the generated ones.
        crops |= self.permute_channels(style, rng) if self.paired else style
        return to_tensors(crops)

    def style_crops(self, index: int, size: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """A crop of a style image and a smoothed one, cut-outs on the same random background."""
        pick = int(rng.integers(len(self.styles)))
        picture = self.styles[pick]
        style = self.cache(picture, alpha=True)
        window = self.sample_crop(picture, style, size, rng)
        crops = {"style": window.cut(style, size)}
        if self.smooth_mode == "computed":
            smooth = self.cache(picture, alpha=True, smooth=True)
        elif self.smooth_mode == "paired":
            smooth = self.cache(self.smooth[pick], alpha=True)
        else:
            other = self.smooth[int(rng.integers(len(self.smooth)))]
            smooth = self.cache(other, alpha=True)
            window = self.sample_crop(other, smooth, size, rng)
        crops["smooth"] = window.cut(smooth, size)
        if any(crop.shape[2] == 4 for crop in crops.values()):
            # A random generator of its own, so that samples of opaque images do not change.
            background = random_background(np.random.default_rng((self.seed, index, 1)), size)
            crops = {name: composite(crop, background) for name, crop in crops.items()}
        return crops

    def style_shift(self) -> tuple[float, float, float]:
        """What to add to R, G and B of style images, in 0..255, to remove their color cast.

        The `data_mean` of AnimeGANv2: the mean of all channels of the style images (their opaque
        pixels), minus the mean of each channel. Sums to zero.
        """
        means = []
        for picture in tqdm(self.styles, "measuring colors", leave=False, delay=2):
            pixels = self.cache(picture, alpha=True)
            # All pixels of a soft image without opaque ones.
            opaque = pixels[..., 3] == 255 if pixels.shape[2] == 4 else None
            opaque = None if opaque is not None and not opaque.any() else opaque
            colors = pixels[..., :3].reshape(-1, 3) if opaque is None else pixels[opaque][:, :3]
            means.append(colors.mean(axis=0, dtype=np.float64))
        mean = np.mean(means, axis=0)
        red, green, blue = (float(value) for value in mean.mean() - mean)
        return red, green, blue


def differs(copy: Picture, picture: Picture) -> bool:
    """Whether a smoothed copy has another size, or is opaque where its original is transparent.

    Tiny transparent parts may be closed by the blur.
    """
    if copy.size != picture.size:
        return True
    if copy.transparent or not picture.transparent:
        return False
    return np.asarray(picture.load(alpha=True).getchannel("A")).mean() < 0.95 * 255


def check_min_images(
    photos_from, photos: list[Picture], styles_from, styles: list[Picture]
) -> None:
    """ValueError for fewer than two images of a kind; a warning for fewer than `MIN_IMAGES`."""
    kinds = ((photos_from, photos, "photos"), (styles_from, styles, "style images"))
    for source, pictures, what in kinds:
        if len(pictures) < 2:
            raise ValueError(
                f"{source}: holds {len(pictures)} of the {what}; expected at least 2, preferably "
                "several hundred"
            )
    few = [f"{len(p)} {what} in {source}" for source, p, what in kinds if len(p) < MIN_IMAGES]
    if few:
        warnings.warn(
            f"only {' and '.join(few)}: with fewer than {MIN_IMAGES} the network overfits; "
            "expect washed-out or copied details, and give some hundreds",
            stacklevel=3,
        )


def to_tensors(crops: dict[str, np.ndarray]) -> dict[str, torch.Tensor]:
    """Crops (H, W, C) -> tensors (C, H, W)."""
    return {
        name: torch.from_numpy(np.ascontiguousarray(crop.transpose(2, 0, 1)))
        for name, crop in crops.items()
    }


def to_unit(batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """uint8 images -> float32 in [-1, 1]; after the copy to the device. Others stay as they are."""
    return {
        name: picture.float() / 127.5 - 1 if picture.dtype == torch.uint8 else picture
        for name, picture in batch.items()
    }
