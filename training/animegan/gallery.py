"""Draws the same faces in all styles, on one sheet: a column a style, a row a face.

    python -m training.animegan.gallery hub_cards/faces sheet.jpg

It uses the same pipeline as the app. The first column shows the photos.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from PIL import Image
from tqdm import tqdm

from toonify import hub, images
from toonify.pipelines.animegan import AnimeGANPipeline
from training.data.images import spread
from training.data.sources import open_pictures
from training.metrics.contact_sheet import sheet


def gallery(
    photos: Sequence[Image.Image], styles: Sequence[str], quality: str = "best", px: int = 256
) -> Image.Image:
    """A sheet of all photos in all styles.

    Args:
        photos: RGB images, best square.
        styles: names, folders or Hub repositories.
        quality: "best" (default) or "fast", for styles that have a fast generator.
        px: side of a cell; default: 256.
    """
    columns = [list(photos)]
    for name in tqdm(styles, "drawing", unit="style"):
        style = AnimeGANPipeline.from_pretrained(name)
        if quality == "fast" and style.style.fast:
            style = AnimeGANPipeline.from_pretrained(name, quality="fast")
        columns.append([style(photo).image for photo in photos])
    return sheet([list(row) for row in zip(*columns, strict=True)], px)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m training.animegan.gallery", description=__doc__.split("\n")[0]
    )
    parser.add_argument("photos", help="photos: folder, archive or Hub data set")
    parser.add_argument("out", type=Path, help="image file to write")
    parser.add_argument(
        "--styles", nargs="+", help="names, folders or Hub repositories (default: all bundled)"
    )
    parser.add_argument(
        "--quality", choices=hub.QUALITIES, default="best", help="generator (default: best)"
    )
    parser.add_argument("--limit", type=int, default=12, help="number of photos (default: 12)")
    parser.add_argument("--px", type=int, default=256, help="side of a cell in px (default: 256)")
    options = parser.parse_args(sys.argv[1:] if arguments is None else arguments)
    try:
        photos = spread(open_pictures(options.photos, "photos"), options.limit)
        styles = options.styles or [style.name for style in hub.styles("animegan")]
        page = gallery([p.load() for p in photos], styles, options.quality, options.px)
        images.save(page, options.out, quality=88)
    except (ValueError, OSError) as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
