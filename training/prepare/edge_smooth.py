"""Blurs the edges of style images: negative examples that teach the discriminator crisp edges.

    python -m training.prepare.edge_smooth DATA/STYLE [--pictures SOURCE]

reads `DATA/STYLE/style`, or a folder, archive or Hub data set, and writes `DATA/STYLE/smooth/*.png`
under the same names. The command can be run again: only what is missing is written. Transparency is
kept.

Chen et al., "CartoonGAN", CVPR 2018, section 3.2, as AnimeGANv2 implements it: Canny edges of the
gray image (100, 200), dilated by 5x5, inside which every channel is replaced by its 5x5 binomial
blur.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from tqdm import tqdm

from toonify import images
from training.data.sources import open_pictures

BINOMIAL = np.array([1, 4, 6, 4, 1], np.float32) / 16


def smooth_edges(picture: np.ndarray) -> np.ndarray:
    """The image with its edges blurred; uint8 RGB (H, W, 3) or RGBA (H, W, 4) -> same shape.

    The outline of a cut-out is an edge too: its alpha is blurred, and its colors weighted by alpha.
    Composited on a plain background, the result equals the blurred composite. Colors of fully
    transparent pixels do not count.
    """
    if picture.shape[2] == 3:
        near_edge, weighted = near_edges(picture), picture.astype(np.float32)
        # Floor, not round: the published script assigns floats to a uint8 array.
        blurred = np.floor(blur(weighted) + 1e-3).astype(np.uint8)
    else:
        alpha = picture[..., 3:].astype(np.float32) / 255
        weighted = picture[..., :3] * alpha
        on_white = np.rint(weighted + 255 * (1 - alpha)).astype(np.uint8)
        near_edge = near_edges(on_white, np.ascontiguousarray(picture[..., 3]))
        cover = blur(alpha[..., 0])[..., None]
        color = np.floor(blur(weighted) / np.maximum(cover, 1e-6) + 1e-3)
        blurred = np.concatenate([color, np.rint(255 * cover)], axis=2).clip(0, 255)
        blurred = blurred.astype(np.uint8)
    return np.where(near_edge[..., None], blurred, picture)


def near_edges(*layers: np.ndarray) -> np.ndarray:
    """Where an edge of a layer, uint8 RGB or gray, is at most 2 px away; bool (H, W)."""
    grays = [cv2.cvtColor(p, cv2.COLOR_RGB2GRAY) if p.ndim == 3 else p for p in layers]
    edges = np.maximum.reduce([cv2.Canny(gray, 100, 200) for gray in grays])
    return cv2.dilate(edges, np.ones((5, 5), np.uint8)) > 0


def blur(picture: np.ndarray) -> np.ndarray:
    """The 5x5 binomial blur of a float32 image, mirrored at its edge."""
    return cv2.sepFilter2D(picture, -1, BINOMIAL, BINOMIAL, borderType=cv2.BORDER_REFLECT_101)


def smooth_folder(style: Path, report=tqdm.write, pictures: str | Path = "") -> tuple[int, int]:
    """Writes the blurred copy of every style image under its name, folders included.

    Args:
        style: the style's folder, in which `smooth/` is written.
        report: called with a line of text for each unreadable image.
        pictures: source of the images; "" for `style/style`.

    Returns:
        Numbers of images written by this run and of unreadable images.

    Raises:
        ValueError: there are no images.
    """
    source = pictures or style / "style"
    if not pictures and not source.is_dir():
        raise ValueError(f"{style}: expected a folder that contains style/")
    written = refused = 0
    found = open_pictures(source, "style images", smallest=1)
    for picture in tqdm(found, desc="smoothing edges", unit="picture"):
        target = style / "smooth" / f"{picture.name}.png"
        if target.exists():
            continue
        try:
            pixels = np.asarray(picture.load(alpha=True))
        except images.ImageError as error:
            report(f"skipped {picture.name}: {error}")
            refused += 1
            continue
        images.save(Image.fromarray(smooth_edges(pixels)), target, alpha=True)
        written += 1
    return written, refused


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("style", type=Path, help="the style's folder, in which smooth/ is written")
    parser.add_argument(
        "--pictures",
        default="",
        help="folder, .zip, .tar(.gz) or Hub data set of style images (default: STYLE/style)",
    )
    options = parser.parse_args(arguments)
    try:
        written, refused = smooth_folder(options.style, tqdm.write, options.pictures)
    except (ValueError, PermissionError, ConnectionError) as error:
        parser.error(str(error))
    print(f"{written} images written to {options.style / 'smooth'}, {refused} refused")


if __name__ == "__main__":
    main()
