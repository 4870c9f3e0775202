"""Draws crops of photos with trained styles: pairs to distill a generator from.

    python -m training.prepare.style_pairs photos scenes data --styles comic anime --crops 4000

writes `data/train_photo/NAME.png`, `data/STYLE/style/NAME.png`, and the faces of the crops in
`data/faces.json`, so that training can give eyes more weight. The generators normalize over the
whole image, so training uses each pair whole. The command can be stopped and run again: only what
is missing is drawn.
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from toonify import faces, images
from toonify.engines import Engine, open_engine
from toonify.models import PHOTO_MODELS
from training.core import records
from training.core.model_io import open_network
from training.data.images import Picture
from training.data.sources import open_pictures

MIN_SCALE, MAX_SCALE = 1.0, 2.2  # short side of the photo that a crop is cut from, in crops


def random_crop(picture: Picture, px: int, seed: int, index: int) -> Image.Image:
    """Crop `index` of a photo, px x px, at a random scale; depends on `seed` and `index` alone."""
    rng = np.random.default_rng((seed, index))
    photo = picture.load()
    short = px * rng.uniform(MIN_SCALE, MAX_SCALE)
    scale = max(px / min(photo.size), short / min(photo.size))
    size = tuple(max(px, round(side * scale)) for side in photo.size)
    photo = photo.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)
    left, top = (int(rng.integers(0, side - px + 1)) for side in size)
    return photo.crop((left, top, left + px, top + px))


def draw_crops(
    sources: list[str | Path],
    data: Path,
    styles: list[str],
    *,
    count: int,
    px: int = 256,
    seed: int = 0,
    report=print,
) -> int:
    """Draws `count` crops in every style into `data`. Photos of all sources take turns.

    Args:
        sources: folders, archives or Hub data sets of photos.
        data: folder for `train_photo/`, `STYLE/style/` and `faces.json`.
        styles: names or folders of styles.
        count: number of crops.
        px: side of a crop, a multiple of 16.
        seed: random seed of the crops.
        report: called with a line of text for each unreadable photo.

    Returns:
        The number of toons drawn by this run.

    Raises:
        ValueError: a source does not exist or is empty, or a style does not exist.
    """
    engines = {Path(name).name: open_style(name) for name in styles}
    photos = [picture for source in sources for picture in open_pictures(source, "photos")]
    order = np.random.default_rng(seed).permutation(len(photos))
    drawn = 0
    for index in tqdm(range(count), desc="drawing crops", unit="crop"):
        name = f"{seed}_{index:06d}"
        files = {style: data / style / "style" / f"{name}.png" for style in engines}
        missing = [style for style, file in files.items() if not file.exists()]
        photo_file = data / "train_photo" / f"{name}.png"
        if not missing and photo_file.exists():
            continue
        try:
            # A crop that is there stays, or drawings from other sources would not fit it any more.
            if photo_file.exists():
                crop = images.load(photo_file)
            else:
                crop = random_crop(photos[order[index % len(order)]], px, seed, index)
        except images.ImageError as error:
            report(f"skipped: {error}")
            continue
        for style in missing:
            toon = images.to_pil(engines[style](images.to_tensor(crop)))
            images.save(toon, files[style])
            drawn += 1
        images.save(crop, photo_file)
    find_faces(data)
    return drawn


def find_faces(data: Path) -> None:
    """Adds the five points of each face in `train_photo/` to `faces.json`.

    Args:
        data: folder of the pairs; crops that are in `faces.json` already are left out.
    """
    file = data / "faces.json"
    points = records.read(file)
    crops = sorted((data / "train_photo").glob("*.png"))
    missing = [crop for crop in crops if crop.stem not in points]
    for crop in tqdm(missing, desc="looking for faces", unit="crop"):
        found = faces.detect(images.load(crop))
        points[crop.stem] = [face.points.round(1).tolist() for face in found]
    records.write(points, file)


def open_style(style: str) -> Engine:
    """The engine of a style's generator, by folder or name."""
    network = open_network("--styles", style, PHOTO_MODELS)
    return open_engine(None, lambda: network)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("photos", nargs="+", help="folders, archives or Hub data sets")
    parser.add_argument("data", type=Path, help="folder for train_photo/ and STYLE/style/")
    parser.add_argument("--styles", nargs="+", required=True, help="names or folders of styles")
    parser.add_argument("--crops", type=int, default=4000, help="number of crops (default: 4000)")
    parser.add_argument("--px", type=int, default=256, help="side of a crop in px (default: 256)")
    parser.add_argument("--seed", type=int, default=0, help="random seed of the crops (default: 0)")
    options = parser.parse_args(arguments)
    if options.crops < 1:
        parser.error(f"--crops {options.crops}: expected at least 1")
    if options.px < 64 or options.px % 16:
        parser.error(f"--px {options.px}: expected a multiple of 16, at least 64")
    try:
        drawn = draw_crops(
            *(options.photos, options.data, options.styles),
            count=options.crops,
            px=options.px,
            seed=options.seed,
            report=tqdm.write,
        )
    except (ValueError, PermissionError, ConnectionError) as error:
        parser.error(str(error))
    print(f"{drawn} drawings of {options.crops} crops in {options.data}")


if __name__ == "__main__":
    main()
