"""Contact sheets: images in rows of square cells."""

from PIL import Image


def sheet(rows: list[list[Image.Image]], px: int, columns: int = 0) -> Image.Image:
    """Arranges RGB images on white, each scaled down into a square cell.

    Args:
        rows: the images of each row.
        px: side of a cell. Other shapes are centered at the top of their cell.
        columns: least number of cells in a row.
    """
    page = Image.new("RGB", (px * max(columns, *map(len, rows)), px * len(rows)), "white")
    for y, row in enumerate(rows):
        for x, image in enumerate(row):
            small = image.copy()
            small.thumbnail((px, px), Image.Resampling.LANCZOS)
            page.paste(small, (x * px + (px - small.width) // 2, y * px))
    return page
