"""Pictures for training AnimeGANv2: unpaired photos and style images, or pairs by file name.

Every random choice of draw `i` comes from generators seeded with (seed, i). A resumed run, a run
on more processes and a run with more loader workers therefore all see the same pictures.
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

from training.data.background import painted_ground
from training.data.images import Picture
from training.data.sources import open_pictures
from training.prepare.edge_smooth import smooth_edges

# A loader's worker is a fork, in which OpenCV's threads are not: it is not to wait for them.
os.register_at_fork(after_in_child=functools.partial(cv2.setNumThreads, 0))

SMALLEST = 64  # px, short side of a picture that is taken
LARGEST = 1024  # px, short side that a picture is kept at, unless the crops need more
FEW = 50  # pictures; fewer are learned by heart
SMOOTH = ("paired", "independent", "computed")


class PictureCache:
    """Decoded pictures, the least recently used dropped first.

    Each is a uint8 array (H, W, 3) RGB, or (H, W, 4) RGB weighted by alpha, and alpha. Pictures
    whose short side is beyond `largest` px are scaled down to it. A loader's worker has its own
    cache and its share of `max_bytes`; a copy of the cache starts empty.
    """

    def __init__(self, max_bytes: int, largest: int = LARGEST):
        self.max_bytes, self.largest = max_bytes, largest
        self.bytes = 0
        self.pictures: OrderedDict[tuple, np.ndarray] = OrderedDict()

    def __getstate__(self) -> dict:
        return {**self.__dict__, "bytes": 0, "pictures": OrderedDict()}

    def __call__(
        self, picture: Picture, *, alpha: bool = False, smooth: bool = False
    ) -> np.ndarray:
        """The picture; transparency over white, or with `alpha` kept; with its edges smoothed."""
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
        """Px of the decoded picture per px of its file; at most 1."""
        return min(1.0, self.largest / max(1, min(picture.size)))

    def decode(self, picture: Picture, alpha: bool, smooth: bool) -> np.ndarray:
        """What is kept under a key of the cache."""
        if smooth and not alpha:
            return smooth_edges(self(picture))
        image = picture.load(alpha=alpha)
        if (scale := self.scale(picture)) < 1:
            size = tuple(max(1, round(side * scale)) for side in picture.size)
            image = image.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)
        pixels = np.asarray(image)
        if alpha:
            pixels = weighted(smooth_edges(pixels) if smooth else pixels)
        return pixels


def weighted(pixels: np.ndarray) -> np.ndarray:
    """uint8 RGBA with its colors weighted by alpha, so that hidden colors never bleed out."""
    alpha = pixels[..., 3:].astype(np.uint16)
    color = (pixels[..., :3] * alpha + 127) // 255
    return np.concatenate([color, alpha], axis=2).astype(np.uint8)


def laid_over(crop: np.ndarray, ground: np.ndarray) -> np.ndarray:
    """A crop (H, W, 3), or (H, W, 4) with weighted colors, on a ground; uint8 RGB (H, W, 3)."""
    if crop.shape[2] == 3:
        return crop
    hidden = 255 - crop[..., 3:].astype(np.float32)
    laid = crop[..., :3] + ground * (hidden / 255)
    return np.clip(np.rint(laid), 0, 255).astype(np.uint8)


@dataclass(frozen=True)
class Window:
    """Where a square crop was taken: corner and side in px of the picture, mirrored or not."""

    x: int
    y: int
    side: int
    mirrored: bool

    def of(self, picture: np.ndarray) -> np.ndarray:
        """The square of the picture, as it lies there."""
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


class AnimeGANDraws(Dataset):
    """Draw `i` -> {"photo", "style", "smooth"[, "drawn"]}, each uint8 RGB (3, size, size).

    Reads the layout of the public data set as it is distributed: `data/train_photo`,
    `data/STYLE/style`, `data/STYLE/smooth`. `photos`, `scenes` and `pictures` take photos, more
    photos without people, and style pictures from elsewhere: a folder, an archive or a Hub data
    set, see `sources.open_pictures`.

    If all photos have a style picture of their name and size, these are their drawings, and
    `drawn` is cut at the photo's place (`pairs=False`: never). `data/faces.json` (name -> list of
    five points in px of the file), if there, draws crops to faces.

    `scene_share` of the photos come from `scenes`; without such a source, from those photos that
    faces.json knows no face of.

    `smooth` says where edge-smoothed pictures come from: "paired", the copy in `data/STYLE/smooth`
    of the very style picture, cut at its place; "independent", a random one of these copies, as
    published; "computed", made from the style picture when it is first drawn, as
    `prepare.edge_smooth` makes them.

    `mirror` turns half of the crops over, pairs together.

    Transparent style pictures lie on painted grounds, another one in each draw; the smoothed
    picture of that draw lies on the same.

    `crop_sizes` is ((images seen, px), ...), growing: draw `i` has the size of its batch's start.

    Raises ValueError for sources that are missing, empty or hold fewer than 2 pictures, and for
    style pictures without smoothed copies.
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
        recolor_share: float = 0.3,
        mirror: bool = True,
        batch: int = 8,
        length: int,
        seed: int = 0,
        cache_bytes: int = 3 * 2**30,
    ):
        if smooth not in SMOOTH:
            raise ValueError(f"--smooth {smooth}: expected one of {', '.join(SMOOTH)}")
        self.crop_sizes, self.zoom = crop_sizes, zoom
        self.face_share, self.recolor_share = face_share, recolor_share
        self.mirror = mirror
        self.batch, self.length, self.seed = batch, length, seed
        needed = max(px for _, px in crop_sizes) / zoom[0]
        self.cache = PictureCache(cache_bytes, max(LARGEST, round(needed)))

        portraits = open_pictures(photos or data / "train_photo", "photos", smallest=SMALLEST)
        views = open_pictures(scenes, "scenes", smallest=SMALLEST) if scenes else []
        place = pictures or data / style / "style"
        self.styles = open_pictures(place, "style pictures", smallest=SMALLEST)
        self.smooth = self.find_smooth(data / style, pictures, smooth)
        self.smooth_from = smooth
        enough(photos or data / "train_photo", [*portraits, *views], place, self.styles)

        self.drawings = self.find_drawings([*portraits, *views], place) if pairs else {}
        self.paired = bool(self.drawings)
        self.faces = self.find_faces(data / "faces.json", [*portraits, *self.styles])
        if views:
            self.groups, self.scene_share = (portraits, views), scene_share
        else:
            with_face = [p for p in portraits if self.faces.get(p)]
            without = [p for p in portraits if not self.faces.get(p)]
            # Without face data everything is one group, and the shares do not matter.
            self.groups = (with_face or without, without or with_face)
            self.scene_share = scene_share if with_face and without else 0.0

    def find_smooth(self, folder: Path, pictures: str, how: str) -> list[Picture]:
        """The smoothed copies: one for each style picture if paired, all there are, or none."""
        if how == "computed":
            return []
        place = folder / "smooth"
        command = f"python -m training.prepare.edge_smooth {folder}"
        if pictures:
            command += f" --pictures {pictures}"
        advice = f"run `{command}`, or train with --smooth computed"
        copies = []
        if place.is_dir() and any(place.iterdir()):
            copies = open_pictures(place, "smoothed style pictures", smallest=SMALLEST)
        if not copies:
            raise ValueError(f"{place}: the style pictures have no edge-smoothed copies; {advice}")
        if how == "independent":
            return copies
        match = named(copies)
        missing = [p.name for p in self.styles if match(p) is None]
        if missing:
            raise ValueError(
                f"{place}: {len(missing)} of {len(self.styles)} style pictures have no "
                f"edge-smoothed copy ({missing[0]} for one); {advice}"
            )
        unlike = [p.name for p in self.styles if differs(match(p), p)]
        if unlike:
            raise ValueError(
                f"{place}: {len(unlike)} copies differ from their style pictures in size or "
                f"transparency ({unlike[0]} for one); delete the folder and {advice}"
            )
        return [match(p) for p in self.styles]

    def find_drawings(self, photos: list[Picture], place) -> dict[Picture, Picture]:
        """Photo -> the style picture of its name and size, if all have one; else none."""
        match = named(self.styles)
        alike = {p: match(p) for p in photos if match(p)}
        drawings = {p: drawing for p, drawing in alike.items() if drawing.size == p.size}
        if alike and len(drawings) < len(photos):
            warnings.warn(
                f"{place}: {len(alike)} of {len(photos)} photos have a picture of their name, "
                f"{len(drawings)} of their name and size; drawings must have both for all photos, "
                "so these are taken for style pictures only",
                stacklevel=3,
            )
            return {}
        return drawings

    def find_faces(self, file: Path, pictures: list[Picture]) -> dict[Picture, list]:
        """Picture -> five points of each of its faces, in px of the decoded picture."""
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
        """Side in px of draw `index`; the same for all draws of a batch."""
        seen = index - index % self.batch
        return next(px for start, px in reversed(self.crop_sizes) if seen >= start)

    def window(self, picture: Picture, shape, size: int, rng: np.random.Generator) -> Window:
        """A square of the picture, most often on a face, at a random zoom.

        `zoom` gives px drawn per px of the picture: 0.5 squeezes a square of twice the crop's
        side into it. Small pictures are zoomed in as far as they must be.
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

    def look_window(self, picture: Picture, pixels, size: int, rng: np.random.Generator) -> Window:
        """A window on a style picture; of a cut-out, one that shows at least some of it."""
        window = self.window(picture, pixels.shape, size, rng)
        for _ in range(8):
            if pixels.shape[2] == 3 or window.of(pixels)[..., 3].mean() > 255 / 3:
                break
            window = self.window(picture, pixels.shape, size, rng)
        return window

    def recolored(self, crops: dict[str, np.ndarray], rng: np.random.Generator) -> dict:
        """The crops, of a share of draws with their channels in another order, all in the same.

        Portraits hold skin, gray and blue and hardly a green: without this a network learns two
        axes of color and leaves the third for last.
        """
        if rng.random() >= self.recolor_share:
            return crops
        order = rng.permutation(3)
        return {name: crop[..., order] for name, crop in crops.items()}

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return self.draw(index, self.crop_size(index))

    def draw(self, index: int, size: int) -> dict[str, torch.Tensor]:
        """Draw `index` at `size` px, whatever the schedule says."""
        rng = np.random.default_rng((self.seed, index))
        group = self.groups[int(rng.random() < self.scene_share)]
        photo_picture = group[int(rng.integers(len(group)))]
        photo = self.cache(photo_picture)
        window = self.window(photo_picture, photo.shape, size, rng)
        crops = {"photo": window.cut(photo, size)}
        if self.paired:
            crops["drawn"] = window.cut(self.cache(self.drawings[photo_picture]), size)
            crops = self.recolored(crops, rng)
        looks = self.looks(index, size, rng)
        # What the discriminator takes for real has the colors of what it is shown as drawn.
        crops |= self.recolored(looks, rng) if self.paired else looks
        return {
            name: torch.from_numpy(np.ascontiguousarray(crop.transpose(2, 0, 1)))
            for name, crop in crops.items()
        }

    def looks(self, index: int, size: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """A crop of a style picture and one with smoothed edges, cut-outs on one painted ground."""
        pick = int(rng.integers(len(self.styles)))
        picture = self.styles[pick]
        style = self.cache(picture, alpha=True)
        window = self.look_window(picture, style, size, rng)
        looks = {"style": window.cut(style, size)}
        if self.smooth_from == "computed":
            smooth = self.cache(picture, alpha=True, smooth=True)
        elif self.smooth_from == "paired":
            smooth = self.cache(self.smooth[pick], alpha=True)
        else:
            other = self.smooth[int(rng.integers(len(self.smooth)))]
            smooth = self.cache(other, alpha=True)
            window = self.look_window(other, smooth, size, rng)
        looks["smooth"] = window.cut(smooth, size)
        if any(crop.shape[2] == 4 for crop in looks.values()):
            # A generator of its own: the draws of opaque pictures stay what they are.
            ground = painted_ground(np.random.default_rng((self.seed, index, 1)), size)
            looks = {name: laid_over(crop, ground) for name, crop in looks.items()}
        return looks

    def style_shift(self) -> tuple[float, float, float]:
        """What to add to R, G and B of style pictures, in 0..255, so that the set has no cast.

        The `data_mean` of AnimeGANv2: the mean over style pictures (their opaque pixels) of the
        mean of the three channel means, less each channel's mean. Sums to zero.
        """
        means = []
        for picture in tqdm(self.styles, "measuring colors", leave=False, delay=2):
            pixels = self.cache(picture, alpha=True)
            # All of a soft picture, that has no opaque pixel.
            opaque = pixels[..., 3] == 255 if pixels.shape[2] == 4 else None
            opaque = None if opaque is not None and not opaque.any() else opaque
            colors = pixels[..., :3].reshape(-1, 3) if opaque is None else pixels[opaque][:, :3]
            means.append(colors.mean(axis=0, dtype=np.float64))
        mean = np.mean(means, axis=0)
        red, green, blue = (float(value) for value in mean.mean() - mean)
        return red, green, blue


def named(pictures: list[Picture]):
    """match(other): the picture of another's name, else the only one of its stem, else None."""
    by_name = {p.name: p for p in pictures}
    by_stem: dict[str, list[Picture]] = {}
    for picture in pictures:
        by_stem.setdefault(picture.stem, []).append(picture)

    def match(other: Picture) -> Picture | None:
        alike = by_stem.get(other.stem, [])
        return by_name.get(other.name) or (alike[0] if len(alike) == 1 else None)

    return match


def differs(copy: Picture, picture: Picture) -> bool:
    """Whether a smoothed copy is none: of another size, or opaque where much can be seen through.

    A speck or a hair line may be closed by the blur.
    """
    if copy.size != picture.size:
        return True
    if copy.transparent or not picture.transparent:
        return False
    return np.asarray(picture.load(alpha=True).getchannel("A")).mean() < 0.95 * 255


def enough(photos_from, photos: list[Picture], styles_from, styles: list[Picture]) -> None:
    """ValueError for fewer than two pictures of a kind; a warning for few."""
    kinds = ((photos_from, photos, "photos"), (styles_from, styles, "style pictures"))
    for source, pictures, what in kinds:
        if len(pictures) < 2:
            raise ValueError(
                f"{source}: holds {len(pictures)} of the {what}; expected at least 2, better some "
                "hundreds"
            )
    few = [f"{len(p)} {what} in {source}" for source, p, what in kinds if len(p) < FEW]
    if few:
        warnings.warn(
            f"only {' and '.join(few)}: fewer than {FEW} are soon learned by heart, and the style "
            "will fit little else; expect washed-out or copied details, and give some hundreds",
            stacklevel=3,
        )


def to_unit(batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """uint8 pictures -> float32 in [-1, 1]; done after the copy to the device."""
    return {name: picture.float() / 127.5 - 1 for name, picture in batch.items()}
