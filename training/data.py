"""Pictures for training AnimeGANv2: unpaired photos and style images, or pairs by file name.

Every random choice of draw `i` comes from a generator seeded with (seed, i). A resumed run, a run
on more processes and a run with more loader workers therefore all see the same pictures.
"""

import json
import warnings
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch.utils.data import Dataset

from toonify import images


class PictureCache:
    """Decoded pictures (uint8 RGB arrays) by path, the least recently used dropped first."""

    def __init__(self, max_bytes: int):
        self.max_bytes = max_bytes
        self.bytes = 0
        self.pictures: OrderedDict[Path, np.ndarray] = OrderedDict()

    def __call__(self, path: Path) -> np.ndarray:
        if path in self.pictures:
            self.pictures.move_to_end(path)
            return self.pictures[path]
        picture = np.asarray(images.load(path))
        self.pictures[path] = picture
        self.bytes += picture.nbytes
        while self.bytes > self.max_bytes and len(self.pictures) > 1:
            self.bytes -= self.pictures.popitem(last=False)[1].nbytes
        return picture


def find_pictures(folder: Path, smallest: int, what: str) -> list[Path]:
    """Readable pictures of at least `smallest` px below a folder, sorted.

    Others are reported in one warning and left out. None at all is a ValueError.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder}: expected a folder of {what}")
    found, refused = [], []
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() not in images.EXTENSIONS:
            continue
        try:
            size = images.load(path).size
        except images.ImageError as error:
            refused.append(str(error))
            continue
        if min(size) < smallest:
            refused.append(f"{path.name} is {size[0]}x{size[1]}")
            continue
        found.append(path)
    if refused:
        warnings.warn(
            f"{len(refused)} of {len(found) + len(refused)} {what} left out "
            f"(unreadable, or smaller than {smallest} px): {'; '.join(refused[:5])}",
            stacklevel=2,
        )
    if not found:
        raise ValueError(f"{folder}: no {what} of at least {smallest} px in it")
    return found


@dataclass(frozen=True)
class Window:
    """Where a square crop was taken: corner and side in px of the picture, mirrored or not."""

    x: int
    y: int
    side: int
    mirrored: bool

    def cut(self, picture: np.ndarray, size: int) -> np.ndarray:
        """The crop as uint8 (size, size, 3)."""
        crop = picture[self.y : self.y + self.side, self.x : self.x + self.side]
        if crop.shape[0] != size:
            shrinks = crop.shape[0] > size
            crop = cv2.resize(
                crop, (size, size), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
            )
        return crop[:, ::-1] if self.mirrored else crop


class AnimeGANDraws(Dataset):
    """Draw `i` -> {"photo", "style", "smooth"[, "drawn"]}, each uint8 (3, size, size).

    Reads the layout of the public data set: `data/train_photo/*`, `data/STYLE/style/*`,
    `data/STYLE/smooth/*`. If style pictures carry the names of photos they are their drawings, and
    `drawn` is cut at the photo's place. `data/faces.json` (name -> list of five points in px), if
    there, draws crops to faces.

    `crop_sizes` is ((images seen, px), ...), growing: draw `i` has the size of its batch's start.
    """

    def __init__(
        self,
        data: Path,
        style: str,
        *,
        crop_sizes: tuple[tuple[int, int], ...] = ((0, 256),),
        zoom: tuple[float, float] = (0.5, 1.0),
        face_share: float = 0.7,
        scene_share: float = 0.2,
        recolour_share: float = 0.3,
        batch: int = 8,
        length: int,
        seed: int = 0,
        cache_bytes: int = 3 * 2**30,
    ):
        self.crop_sizes, self.zoom = crop_sizes, zoom
        self.face_share, self.recolour_share = face_share, recolour_share
        self.batch, self.length, self.seed = batch, length, seed
        smallest = 64
        photos = find_pictures(data / "train_photo", smallest, "photos")
        self.styles = find_pictures(data / style / "style", smallest, "style pictures")
        smooth = data / style / "smooth"
        smooth_by_name = {p.stem: p for p in smooth.iterdir()} if smooth.is_dir() else {}
        missing = [p.name for p in self.styles if p.stem not in smooth_by_name]
        if missing:
            raise ValueError(
                f"{smooth}: {len(missing)} of {len(self.styles)} style pictures have no "
                f"edge-smoothed copy ({missing[0]} for one); run "
                f"`python -m training.prepare.edge_smooth {data / style}`"
            )
        self.smooth = [smooth_by_name[p.stem] for p in self.styles]
        by_name = {p.stem: p for p in self.styles}
        self.drawings = {p: by_name[p.stem] for p in photos if p.stem in by_name}
        self.paired = len(self.drawings) == len(photos)
        if self.drawings and not self.paired:
            raise ValueError(
                f"{data}: {len(self.drawings)} of {len(photos)} photos have a drawing of their "
                f"name in {style}/style; expected all of them (pairs) or none"
            )
        faces = data / "faces.json"
        self.faces = json.loads(faces.read_text()) if faces.exists() else {}
        with_face = [p for p in photos if self.faces.get(p.stem)]
        without = [p for p in photos if not self.faces.get(p.stem)]
        # Without face data everything is one group, and the shares do not matter.
        self.groups = (with_face or without, without or with_face)
        self.scene_share = scene_share if with_face and without else 0.0
        self.cache = PictureCache(cache_bytes)

    def __len__(self) -> int:
        return self.length

    def crop_size(self, index: int) -> int:
        """Side in px of draw `index`; the same for all draws of a batch."""
        seen = index - index % self.batch
        return next(px for start, px in reversed(self.crop_sizes) if seen >= start)

    def window(self, path: Path, shape, size: int, rng: np.random.Generator) -> Window:
        """A square of the picture, most often on a face, at a random zoom.

        `zoom` gives px drawn per px of the picture: 0.5 squeezes a square of twice the crop's
        side into it. Small pictures are zoomed in as far as they must be.
        """
        height, width = shape[:2]
        zoom = float(np.exp(rng.uniform(*np.log(self.zoom))))
        side = int(min(round(size / zoom), height, width))
        points = self.faces.get(path.stem)
        if points and rng.random() < self.face_share:
            face = np.array(points[int(rng.integers(len(points)))])
            target = face[int(rng.integers(5))] + rng.normal(0, 0.25 * side, 2)
            x, y = target - side / 2
        else:
            x, y = rng.uniform(0, width - side + 1), rng.uniform(0, height - side + 1)
        x, y = int(np.clip(x, 0, width - side)), int(np.clip(y, 0, height - side))
        return Window(x, y, side, bool(rng.random() < 0.5))

    def recoloured(self, crops: dict[str, np.ndarray], rng: np.random.Generator) -> dict:
        """The crops, of a share of draws with their channels in another order, all in the same.

        Portraits hold skin, grey and blue and hardly a green: without this a network learns two
        axes of colour and leaves the third for last.
        """
        if rng.random() >= self.recolour_share:
            return crops
        order = rng.permutation(3)
        return {name: crop[..., order] for name, crop in crops.items()}

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return self.draw(index, self.crop_size(index))

    def draw(self, index: int, size: int) -> dict[str, torch.Tensor]:
        """Draw `index` at `size` px, whatever the schedule says."""
        rng = np.random.default_rng((self.seed, index))
        group = self.groups[int(rng.random() < self.scene_share)]
        photo_path = group[int(rng.integers(len(group)))]
        photo = self.cache(photo_path)
        window = self.window(photo_path, photo.shape, size, rng)
        crops = {"photo": window.cut(photo, size)}
        if self.paired:
            crops["drawn"] = window.cut(self.cache(self.drawings[photo_path]), size)
            crops = self.recoloured(crops, rng)
        pick = int(rng.integers(len(self.styles)))
        style = self.cache(self.styles[pick])
        window = self.window(self.styles[pick], style.shape, size, rng)
        looks = {"style": window.cut(style, size)}
        looks["smooth"] = window.cut(self.cache(self.smooth[pick]), size)
        # What the discriminator takes for real has the colours of what it is shown as drawn.
        crops |= self.recoloured(looks, rng) if self.paired else looks
        return {
            name: torch.from_numpy(np.ascontiguousarray(crop.transpose(2, 0, 1)))
            for name, crop in crops.items()
        }


def to_unit(batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """uint8 pictures -> float32 in [-1, 1]; done after the copy to the device."""
    return {name: picture.float() / 127.5 - 1 for name, picture in batch.items()}
