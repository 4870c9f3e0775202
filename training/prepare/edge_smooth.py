"""Blurs the edges of style pictures: the examples that teach the discriminator to want crisp ones.

    python -m training.prepare.edge_smooth DATA/STYLE

reads `DATA/STYLE/style/*` and writes `DATA/STYLE/smooth/*` under the same names. Safe to run
again: only what is missing is written.

Chen et al., "CartoonGAN", CVPR 2018, section 3.2, in the form AnimeGANv2 uses: Canny edges of the
grey picture (100, 200), dilated by 5x5, inside which every channel is replaced by its 5x5 binomial
blur. The public scripts loop over pixels in Python; this is the same arithmetic on whole arrays.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from tqdm import tqdm

from toonify import images

BINOMIAL = np.array([1, 4, 6, 4, 1], np.float32) / 16


def smooth_edges(picture: np.ndarray) -> np.ndarray:
    """The picture with its edges blurred; uint8 RGB (H, W, 3) -> the same shape."""
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    near_edge = cv2.dilate(cv2.Canny(grey, 100, 200), np.ones((5, 5), np.uint8)) > 0
    blurred = cv2.sepFilter2D(
        picture.astype(np.float32), -1, BINOMIAL, BINOMIAL, borderType=cv2.BORDER_REFLECT_101
    )
    # Floor, not round: the published script assigns floats to a uint8 array.
    return np.where(near_edge[..., None], np.floor(blurred + 1e-3).astype(np.uint8), picture)


def smooth_folder(style: Path, report=print) -> tuple[int, int]:
    """Writes `style/smooth` for every picture in `style/style`; returns (written now, refused)."""
    source = style / "style"
    if not source.is_dir():
        raise ValueError(f"{style}: expected a folder with style/ in it")
    written = refused = 0
    paths = [p for p in sorted(source.iterdir()) if p.suffix.lower() in images.EXTENSIONS]
    if not paths:
        raise ValueError(f"{source}: no pictures in it")
    for path in tqdm(paths, desc="smoothing edges", unit="picture"):
        target = style / "smooth" / f"{path.stem}.png"
        if target.exists():
            continue
        try:
            picture = images.load(path)
        except images.ImageError as error:
            report(f"skipped {path}: {error}")
            refused += 1
            continue
        images.save(Image.fromarray(smooth_edges(np.asarray(picture))), target)
        written += 1
    return written, refused


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("style", type=Path, help="folder with style/ in it; smooth/ is written")
    options = parser.parse_args(arguments)
    try:
        written, refused = smooth_folder(options.style, tqdm.write)
    except ValueError as error:
        parser.error(str(error))
    print(f"{written} pictures written to {options.style / 'smooth'}, {refused} refused")


if __name__ == "__main__":
    main()
