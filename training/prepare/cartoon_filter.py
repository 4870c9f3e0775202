"""Draws photos as cartoons by classical image processing: pairs that a network learns from.

    python -m training.prepare.cartoon_filter PHOTOS... DATA [--look comic] [--tints 0.3]

writes the layout that `training/train_animegan.py` reads: `DATA/train_photo/NAME.png` (each photo
at working size), `DATA/LOOK/style/NAME.png` (its toon, same size, same name) and `DATA/faces.json`
(five points of every face, in px of those photos).

    python -m training.prepare.cartoon_filter DATA --generator portrait --faces 600 --look storybook

does the same with faces that a generator draws, and writes the latent of each to
`DATA/w/NAME.safetensors`, from which a toon generator learns (`training/train_stylegan.py
--preset toon`).

The command can be stopped and run again: only what is missing is drawn.
"""

import argparse
import zlib
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from toonify import faces as face_room
from toonify import images, latents
from toonify.engines import open_engine
from toonify.models import FACE_MODELS
from training.core import records
from training.core.model_io import open_network
from training.data.aligned import drawn_latent
from training.data.sources import photos_by_name
from training.prepare.looks import LOOKS, draw


def resize_short(photo: Image.Image, short_side: int) -> Image.Image:
    """The photo with a short side of `short_side` px, aspect kept; Lanczos both ways."""
    scale = short_side / min(photo.size)
    size = (max(1, round(photo.width * scale)), max(1, round(photo.height * scale)))
    return photo.resize(size, Image.Resampling.LANCZOS)


def tint(photo: Image.Image, rng: np.random.Generator) -> Image.Image:
    """The photo in another light, often darker and mostly pinker or colder; same size.

    Studio portraits have few rosy and few dark, flat faces. A network trained without them reddens
    the first and loses the eyes of the second.
    """
    gains = 1 + rng.uniform((0.0, -0.1, -0.1), (0.22, 0.0, 0.2))
    exposure = np.exp(rng.uniform(np.log(0.2), np.log(1.2)))  # of linear light
    linear = (np.asarray(photo, np.float32) / 255) ** 2.2 * gains * exposure
    pixels = 255 * np.clip(linear, 0, 1) ** (1 / 2.2)
    return Image.fromarray((pixels + 0.5).astype(np.uint8))


def draw_folder(
    sources: list[str | Path],
    data: Path,
    look: str,
    short_side: int,
    report=print,
    tints: float = 0.0,
) -> tuple[int, int]:
    """Draws every photo of `sources` into `data`.

    Args:
        sources: folders, archives, Hub data sets or files of photos.
        data: folder for `train_photo/`, `LOOK/style/` and `faces.json`.
        look: a key of `LOOKS`.
        short_side: short side in px of the images written.
        report: called with a line of text for each unreadable photo.
        tints: share of photos with faces that are also drawn tinted, as NAME_tinted; 0 to 1.

    Returns:
        Numbers of photos drawn by this run and of unreadable photos.

    Raises:
        ValueError: a source does not exist or is empty, or two photos share a name.
    """
    points_file = data / "faces.json"
    points = records.read(points_file)

    def files(name: str) -> tuple[Path, Path]:
        return data / "train_photo" / f"{name}.png", data / look / "style" / f"{name}.png"

    def done(name: str) -> bool:
        return name in points and all(file.exists() for file in files(name))

    drawn, refused, photos = 0, 0, photos_by_name(sources)
    for name, source in tqdm(photos.items(), desc=f"drawing as {look}", unit="photo"):
        # Seeded by the name, so that every look and every run has the same tinted photos.
        rng = np.random.default_rng(zlib.crc32(name.encode()))
        twin = f"{name}_tinted" if rng.random() < tints else ""
        if done(name) and (not twin or not points[name] or done(twin)):
            continue
        exists = files(name)[0].exists() and name in points  # from another look
        try:
            photo = images.load(files(name)[0]) if exists else source.load()
        except images.ImageError as error:
            report(f"skipped {source.file}: {error}")
            refused += 1
            continue
        if not exists:
            photo = resize_short(photo, short_side)
            points[name] = [face.points.round(1).tolist() for face in face_room.detect(photo)]
        pictures = {name: photo}
        if twin and points[name]:
            pictures[twin], points[twin] = tint(photo, rng), points[name]
        for each, picture in pictures.items():
            save_pair(picture, points[each], look, *files(each))
        drawn += 1
        if drawn % 50 == 0:
            records.write(points, points_file)
    records.write(points, points_file)
    return drawn, refused


def save_pair(photo: Image.Image, points: list, look: str, photo_file: Path, toon_file: Path):
    """Writes the photo and its toon, if they do not exist; `points` are those of its faces."""
    if not photo_file.exists():
        images.save(photo, photo_file)
    if not toon_file.exists():
        images.save(draw(photo, [np.array(face) for face in points], LOOKS[look]), toon_file)


def draw_generated(
    generator: str,
    data: Path,
    look: str,
    count: int,
    short_side: int,
    *,
    seed: int = 0,
    truncation: tuple[float, float] = (0.45, 0.9),
) -> int:
    """Draws faces of a generator and their toons into `data`.

    Face i depends on `seed` and i alone. Images without a detected face are left out.

    Args:
        generator: name or folder of a generator of faces.
        data: folder for `train_photo/`, `LOOK/style/`, `w/` and `faces.json`.
        look: a key of `LOOKS`.
        count: number of faces.
        short_side: short side in px of the images written.
        seed: random seed of the faces.
        truncation: bounds between which truncation is drawn evenly.

    Returns:
        The number of faces drawn by this run.

    Raises:
        ValueError: the generator does not exist.
    """
    network = open_network("--generator", generator, FACE_MODELS)
    shape = (1, network.num_ws, network.config.w_dim)
    engine = open_engine(None, lambda: network.synthesis, shape=shape)
    points_file = data / "faces.json"
    points = records.read(points_file)
    drawn = 0
    for index in tqdm(range(count), desc=f"drawing as {look}", unit="face"):
        name = f"{Path(generator).name}_{seed}_{index:06d}"
        latent, photo_out = (
            latents.latent_path(data / "w", name),
            data / "train_photo" / f"{name}.png",
        )
        style_out = data / look / "style" / f"{name}.png"
        if name in points and (not points[name] or (style_out.exists() and latent.exists())):
            continue
        w = drawn_latent(network, seed, index, *truncation)
        if photo_out.exists() and name in points:
            photo = images.load(photo_out)
        else:
            face = engine(w[:, None].repeat(1, network.num_ws, 1))
            photo = resize_short(images.to_pil(face), short_side)
            points[name] = [found.points.round(1).tolist() for found in face_room.detect(photo)]
        if points[name]:
            latent.parent.mkdir(parents=True, exist_ok=True)
            latents.save_latent(latent, w, Path(generator).name)
            save_pair(photo, points[name][:1], look, photo_out, style_out)
            drawn += 1
        if drawn % 20 == 0:
            records.write(points, points_file)
    records.write(points, points_file)
    return drawn


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("photos", nargs="*", help="folders, archives, Hub data sets or files")
    parser.add_argument("data", type=Path, help="folder for train_photo/ and LOOK/style/")
    parser.add_argument(
        "--look", choices=sorted(LOOKS), default="comic", help="look (default: comic)"
    )
    parser.add_argument(
        "--tints",
        type=float,
        default=0.0,
        help="share of portraits drawn again in another light (default: 0)",
    )
    parser.add_argument(
        "--short-side",
        type=int,
        default=448,
        help="short side of the images in px (default: 448)",
    )
    parser.add_argument("--generator", help="generator whose faces are drawn instead of photos")
    parser.add_argument(
        "--faces", type=int, default=600, help="number of generated faces (default: 600)"
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="random seed of the generated faces (default: 0)"
    )
    options = parser.parse_args(arguments)
    if options.short_side < 64:
        parser.error(f"--short-side {options.short_side}: expected at least 64 px")
    if not 0 <= options.tints <= 1:
        parser.error(f"--tints {options.tints}: expected a share, 0 to 1")
    if bool(options.photos) == bool(options.generator):
        parser.error("expected either PHOTOS or --generator")
    if options.faces < 1:
        parser.error(f"--faces {options.faces}: expected at least 1")
    try:
        if options.generator:
            drawn = draw_generated(
                *(options.generator, options.data, options.look),
                *(options.faces, options.short_side),
                seed=options.seed,
            )
            print(f"{drawn} faces drawn into {options.data / options.look}")
            return
        drawn, refused = draw_folder(
            *(options.photos, options.data, options.look, options.short_side, tqdm.write),
            tints=options.tints,
        )
    except (ValueError, PermissionError, ConnectionError) as error:
        parser.error(str(error))
    print(f"{drawn} photos drawn into {options.data / options.look}, {refused} refused")


if __name__ == "__main__":
    main()
