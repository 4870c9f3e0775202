"""Draws pairs to distill a toon generator from: faces of the base, and the toons of the same w.

    python -m training.prepare.toon_pairs DATA --toon animated [--faces 1500] [--grounds PHOTOS]

writes the layout that `training/train_animegan.py` reads: `DATA/train_photo/NAME.png`,
`DATA/TOON/style/NAME.png` and `DATA/faces.json`. Half of the pairs are a face's aligned square,
rotated, shifted and scaled. The others show one to three people, cut out (GrabCut, Rother et al.,
2004) and pasted on a scene or a painted background, so that the network learns whole photos too.
Both images get the same light; only the photo gets noise, blur and compression. Generating a face
costs most, so each is shown in a few pairs (`--views`). The command can be stopped and run again:
only what is missing is drawn.
"""

import argparse
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from tqdm import tqdm

from toonify import faces as face_room
from toonify import hub, images
from toonify.engines import open_engine
from toonify.models import FACE_MODELS
from toonify.models.layer_swap import blend
from training.core import records
from training.core.model_io import open_network
from training.data.aligned import drawn_latent
from training.data.background import random_background
from training.data.degradation import degrade
from training.data.images import Picture
from training.data.sources import open_pictures
from training.prepare.looks import LOOKS, draw

TRUNCATION = (0.5, 1.0)
FACE_PX = 512  # side of a face's square before it is pasted
PEOPLE = (0.72, 0.2, 0.08)  # shares of images with one, two and three people
OWN_GROUND = 0.5  # share of images of one person that keep the background of the square


@dataclass(frozen=True, eq=False)
class Person:
    """A face of the base and its toon.

    Args:
        face, toon: uint8 RGB (512, 512, 3).
        alpha: alphaage (512, 512) in [0, 1]; None if the background could not be separated.
        points: (5, 2) facial points in px of the square.
    """

    face: np.ndarray
    toon: np.ndarray
    alpha: np.ndarray | None
    points: np.ndarray


class People:
    """Draws people with a base and a toon generator; person i depends on `seed` and i alone."""

    def __init__(self, base: str, toon: str, swap: int, seed: int = 0):
        self.base = open_network("--base", base, FACE_MODELS)
        drawn = open_network("--toon", toon, FACE_MODELS)
        if swap:
            drawn = blend(self.base, drawn, swap)
        shape = (1, self.base.num_ws, self.base.config.w_dim)
        self.engines = [
            open_engine(None, lambda network=network: network.synthesis, shape=shape)
            for network in (self.base, drawn)
        ]
        self.seed = seed
        self.draw = lru_cache(len(PEOPLE))(self.draw)  # of this object: freed with it

    def draw(self, index: int) -> Person | None:
        """Person `index`; None if no face is found in the base's image."""
        w = drawn_latent(self.base, self.seed, index, *TRUNCATION)
        ws = w[:, None].repeat(1, self.base.num_ws, 1)
        squares = [
            images.to_pil(engine(ws)).resize((FACE_PX, FACE_PX), Image.Resampling.BOX)
            for engine in self.engines
        ]
        found = face_room.detect(squares[0])
        if not found:
            return None
        face, toon = (np.asarray(square) for square in squares)
        return Person(face, toon, person_mask(face), found[0].points.astype(np.float64))


def person_mask(face: np.ndarray) -> np.ndarray | None:
    """float32 (H, W) in [0, 1]: head, hair and shoulders of an FFHQ-aligned uint8 face.

    None if the crown of the head is not found, because the background has the hair's color.
    """
    side = 160
    small = cv2.resize(face, (side, side), interpolation=cv2.INTER_AREA)
    y, x = np.mgrid[0:side, 0:side] / side
    kinds = np.full((side, side), cv2.GC_PR_BGD, np.uint8)
    kinds[((x - 0.5) / 0.4) ** 2 + ((y - 0.46) / 0.5) ** 2 < 1] = cv2.GC_PR_FGD
    kinds[(abs(x - 0.5) < 0.34) & (y > 0.85)] = cv2.GC_PR_FGD
    kinds[((x - 0.5) / 0.22) ** 2 + ((y - 0.52) / 0.34) ** 2 < 1] = cv2.GC_FGD
    kinds[(abs(x - 0.5) > 0.46) & (y < 0.5)] = cv2.GC_BGD
    kinds[(abs(x - 0.5) > 0.33) & (y < 0.06)] = cv2.GC_BGD
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.setRNGSeed(0)
    cv2.grabCut(
        np.ascontiguousarray(small[..., ::-1]), kinds, None, *models, 5, cv2.GC_INIT_WITH_MASK
    )
    mask = ((kinds == cv2.GC_FGD) | (kinds == cv2.GC_PR_FGD)).astype(np.uint8)
    mask = cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((5, 5), np.uint8))
    count, parts, sizes, _ = cv2.connectedComponentsWithStats(mask)
    if count > 1:  # the part that holds the face, without detached specks
        mask = (parts == 1 + int(np.argmax(sizes[1:, cv2.CC_STAT_AREA]))).astype(np.uint8)
    mask = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((9, 9), np.uint8))
    crown = mask[int(0.17 * side), int(0.34 * side) : int(0.66 * side)]
    if crown.mean() < 0.9:
        return None
    large = cv2.resize(mask.astype(np.float32), face.shape[1::-1], interpolation=cv2.INTER_CUBIC)
    return np.clip(cv2.GaussianBlur(large, (0, 0), 3.0), 0, 1)


def place(rng: np.random.Generator, width: float, center) -> np.ndarray:
    """(2, 3) matrix from a face's square to a canvas: `width` px wide, rotated, at `center`."""
    angle = np.clip(rng.normal(0, 12), -35, 35)
    matrix = cv2.getRotationMatrix2D((FACE_PX / 2, FACE_PX / 2), angle, width / FACE_PX)
    matrix[:, 2] += np.asarray(center) - FACE_PX / 2
    return matrix


def random_place(
    rng: np.random.Generator, side: int, number: int, count: int, whole: bool
) -> np.ndarray:
    """The matrix of person `number` of `count`; `whole`: the square fills the canvas."""
    if whole:
        width = side * np.exp(rng.uniform(np.log(0.75), np.log(1.5)))
        center = side * rng.uniform(0.35, 0.65, 2)
    else:
        room = side / count
        width = room * rng.uniform(0.9, 1.5) * (1.0 if count > 1 else 0.8)
        # Shoulders end at the image's lower edge, or below it.
        low = max(side - width / 2, side * rng.uniform(0.45, 0.7))
        center = (room * (number + rng.uniform(0.4, 0.6)), low)
    return place(rng, width, center)


def paste(canvas: np.ndarray, square: np.ndarray, alpha, matrix: np.ndarray) -> np.ndarray:
    """The canvas with a square pasted on it; without `alpha` its edges are mirrored outwards."""
    size = canvas.shape[1::-1]
    edge = cv2.BORDER_REFLECT_101
    # Shrinking by a matrix alone would alias.
    scale = float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))
    soft = cv2.GaussianBlur(square, (0, 0), 0.4 / scale) if scale < 0.8 else square
    pasted = cv2.warpAffine(soft, matrix, size, flags=cv2.INTER_LINEAR, borderMode=edge)
    if alpha is None:
        return pasted
    weight = cv2.warpAffine(alpha, matrix, size, flags=cv2.INTER_LINEAR)[..., None]
    return np.rint(canvas + (pasted.astype(np.float32) - canvas) * weight).astype(np.uint8)


def relight(pictures: list[np.ndarray], rng: np.random.Generator) -> list[np.ndarray]:
    """Images of one size in the same new light: exposure, tint, and falloff to one side."""
    height, width = pictures[0].shape[:2]
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    angle = rng.uniform(0, 2 * np.pi)
    falloff = rng.uniform(0, 0.5) * (rng.random() < 0.5)
    light = np.exp(rng.normal(0, 0.3) + falloff * (np.cos(angle) * x + np.sin(angle) * y))
    gains = light[..., None] * np.exp(rng.normal(0, 0.06, 3))
    out = []
    for picture in pictures:
        linear = (picture / 255.0) ** 2.2 * gains
        out.append(np.rint(255 * np.clip(linear, 0, 1) ** (1 / 2.2)).astype(np.uint8))
    return out


def background(rng: np.random.Generator, side: int, scenes: list[Picture]) -> np.ndarray:
    """A background: part of a scene, or a painted one, sometimes out of focus."""
    if scenes and rng.random() < 0.7:
        picture = scenes[int(rng.integers(len(scenes)))].load()
        part = int(min(picture.size) * rng.uniform(0.4, 1.0))
        left = int(rng.integers(picture.width - part + 1))
        top = int(rng.integers(picture.height - part + 1))
        box = (left, top, left + part, top + part)
        found = np.asarray(picture.resize((side, side), Image.Resampling.LANCZOS, box=box))
    else:
        found = random_background(rng, side)
    if rng.random() < 0.4:
        found = cv2.GaussianBlur(found, (0, 0), rng.uniform(2, 8))
    return found


def draw_pair(
    index: int, people: People, scenes: list[Picture], side: int, look: str, views: int = 1
):
    """Draws pair `index`, which depends on `index`, `views` and the seed of `people` alone.

    Args:
        index: number of the pair.
        people: draws the people.
        scenes: photos for backgrounds; may be empty.
        side: side of the images in px.
        look: name of the look in which backgrounds are drawn.
        views: number of consecutive pairs that show the same people.

    Returns:
        (photo, toon, points of each face), images uint8 (side, side, 3); None if the base drew
        no face.
    """
    rng = np.random.default_rng([people.seed, index, 7])
    count = 1 + int(rng.choice(3, p=PEOPLE))
    first = len(PEOPLE) * (index // views)
    found = [people.draw(first + i) for i in range(count)]
    own = rng.random() < OWN_GROUND
    persons = [person for person in found if person]
    if not persons:
        return None
    apart = [person for person in persons if person.alpha is not None]
    whole = not apart or (count == 1 and own)
    persons = persons[:1] if whole else apart
    if whole:
        photo = toon = np.zeros((side, side, 3), np.uint8)
    else:
        photo = background(rng, side, scenes)
        toon = np.asarray(draw(Image.fromarray(photo), [], LOOKS[look]))
    points = []
    for i, person in enumerate(persons):
        matrix = random_place(rng, side, i, len(persons), whole)
        alpha = None if whole else person.alpha
        photo = paste(photo, person.face, alpha, matrix)
        toon = paste(toon, person.toon, alpha, matrix)
        placed = person.points @ matrix[:, :2].T + matrix[:, 2]
        if (placed > 0).all() and (placed < side).all():
            points.append(placed.round(1).tolist())
    photo, toon = relight([photo, toon], rng)
    return degrade(photo, rng), toon, points


def draw_pairs(
    data: Path,
    base: str,
    toon: str,
    *,
    count: int,
    side: int = 512,
    swap: int = 0,
    scenes: str = "",
    look: str = "storybook",
    seed: int = 0,
    views: int = 1,
) -> int:
    """Writes `count` pairs into `data`; existing ones are kept.

    Args:
        data: folder for `train_photo/`, `TOON/style/` and `faces.json`.
        base: name or folder of the generator of faces.
        toon: name or folder of the toon generator.
        count: number of pairs.
        side: side of the images in px.
        swap: resolution in px below which layers are the toon's and above which they are the
            base's (see `layer_swap`); 0 for all the toon's.
        scenes: source of photos for backgrounds; "" for painted ones.
        look: name of the look in which backgrounds are drawn.
        seed: random seed of the pairs.
        views: number of consecutive pairs that show the same people.

    Returns:
        The number of pairs drawn by this run.

    Raises:
        ValueError: a generator does not exist, or `scenes` has no images.
    """
    backgrounds = open_pictures(scenes, "scenes") if scenes else []
    style = Path(toon).name
    points_file = data / "faces.json"
    points = records.read(points_file)
    people, drawn = None, 0
    for index in tqdm(range(count), desc=f"drawing pairs of {style}", unit="pair"):
        name = f"{style}_{seed}_{index:06d}"
        photo_out = data / "train_photo" / f"{name}.png"
        style_out = data / style / "style" / f"{name}.png"
        if name in points and (points[name] is None or (photo_out.exists() and style_out.exists())):
            continue
        people = people or People(base, toon, swap, seed)
        made = draw_pair(index, people, backgrounds, side, look, views)
        points[name] = None
        if made:
            photo, drawn_toon, points[name] = made
            images.save(Image.fromarray(photo), photo_out)
            images.save(Image.fromarray(drawn_toon), style_out)
            drawn += 1
        if drawn % 20 == 0:
            records.write(points, points_file)
    records.write(points, points_file)
    return drawn


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add_options(parser)
    parser.add_argument("data", type=Path, help="folder for train_photo/ and TOON/style/")
    options = parser.parse_args(arguments)
    try:
        drawn = draw_pairs(options.data, **pair_options(options, parser))
    except (ValueError, OSError) as error:
        parser.error(str(error))
    print(f"{drawn} pairs drawn into {options.data}")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `draw_pairs`."""
    parser.add_argument(
        "--base", default=hub.DEFAULT_BASE, help="generator of the faces (default: %(default)s)"
    )
    parser.add_argument("--toon", required=True, help="name or folder of the toon generator")
    parser.add_argument("--faces", type=int, default=1500, help="number of pairs (default: 1500)")
    parser.add_argument(
        "--swap",
        type=int,
        default=0,
        help="resolution in px below which layers are the toon's, 0 for all (default: 0)",
    )
    parser.add_argument(
        "--grounds",
        default="",
        help="photos without people for backgrounds (default: painted ones)",
    )
    parser.add_argument(
        "--ground-look",
        choices=sorted(LOOKS),
        default="storybook",
        help="look of the backgrounds (default: storybook)",
    )
    parser.add_argument(
        "--pair-px", type=int, default=512, help="side of the images in px (default: 512)"
    )
    parser.add_argument(
        "--views",
        type=int,
        default=3,
        help="consecutive pairs that show the same people (default: 3)",
    )
    parser.add_argument(
        "--pair-seed", type=int, default=0, help="random seed of the pairs (default: 0)"
    )


def pair_options(options: argparse.Namespace, parser: argparse.ArgumentParser) -> dict:
    """The arguments of `draw_pairs` from parsed options; exits with an error if one is wrong."""
    if options.faces < 2:
        parser.error(f"--faces {options.faces}: expected at least 2")
    if options.views < 1:
        parser.error(f"--views {options.views}: expected at least 1")
    if not 64 <= options.pair_px <= 2048:
        parser.error(f"--pair-px {options.pair_px}: expected 64 to 2048")
    return {
        **dict(base=options.base, toon=options.toon, count=options.faces, side=options.pair_px),
        **dict(swap=options.swap, scenes=options.grounds, look=options.ground_look),
        **dict(seed=options.pair_seed, views=options.views),
    }


if __name__ == "__main__":
    main()
