"""Contact sheets: pictures in rows of square cells, to be looked at."""

from PIL import Image


def sheet(rows: list[list[Image.Image]], px: int, columns: int = 0) -> Image.Image:
    """Rows of RGB pictures on white, each scaled down into a cell of `px` by `px`.

    A picture that is not square stands in the middle of its cell, at the top. The sheet is as wide
    as its longest row, and has at least `columns` cells in a row.
    """
    page = Image.new("RGB", (px * max(columns, *map(len, rows)), px * len(rows)), "white")
    for y, row in enumerate(rows):
        for x, picture in enumerate(row):
            small = picture.copy()
            small.thumbnail((px, px), Image.Resampling.LANCZOS)
            page.paste(small, (x * px + (px - small.width) // 2, y * px))
    return page
