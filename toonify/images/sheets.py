"""Sheets: several images side by side, each with its name below it."""

import contextlib
import functools
import math
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

PAPER, INK = "#ffffff", "#1d1a2b"
MARGIN = 1 / 32  # of a cell's width, around each image
LABEL = 1 / 16  # of a cell's width: the height of the letters
# Of the system, for letters that Pillow's own font lacks: Latin ones with accents, then Chinese.
FONTS = (
    *("DejaVuSans.ttf", "LiberationSans-Regular.ttf", "Arial.ttf", "arial.ttf"),
    *("NotoSansCJK-Regular.ttc", "NotoSansSC-Regular.otf", "wqy-microhei.ttc"),
    *("DroidSansFallbackFull.ttf", "PingFang.ttc", "Hiragino Sans GB.ttc", "msyh.ttc"),
)
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def make_sheet(
    cells: Sequence[tuple[Image.Image, str]], width: int, columns: int = 0
) -> Image.Image:
    """Arranges images of one shape in rows, each with its name below it.

    Args:
        cells: images and their names, in reading order; at least one. Images of other shapes than
            the first are fitted into its shape. Names need letters of one font: see `can_write`.
        width: px of each image; the height follows from the shape of the first.
        columns: images in a row; default 0: about as many as rows, with few places left empty.

    Returns:
        The sheet, RGB on white.

    Raises:
        ValueError: there are no images.

    Example:
        >>> from toonify import images
        >>> photo = images.load("portrait.jpg")
        >>> make_sheet([(photo, "Original"), (photo, "Again")], 256).size
        (536, 300)
    """
    if not cells:
        raise ValueError("cells is empty: expected at least one image")
    first = cells[0][0]
    height = max(1, round(width * first.height / first.width))
    columns = min(columns, len(cells)) or count_columns(len(cells))
    margin, letters = max(1, round(width * MARGIN)), max(8, round(width * LABEL))
    across, down = width + margin, height + 2 * letters + margin
    rows = -(-len(cells) // columns)
    bottom = margin // 2
    page = Image.new("RGB", (across * columns + margin, down * rows + bottom), PAPER)
    pen = ImageDraw.Draw(page)
    written = frozenset("".join(name for _, name in cells))
    font = find_font(written, letters) or ImageFont.load_default(letters)
    for index, (image, name) in enumerate(cells):
        x, y = across * (index % columns) + margin, down * (index // columns) + margin
        fitted = fit(image, width, height)
        page.paste(fitted, (x + (width - fitted.width) // 2, y + (height - fitted.height) // 2))
        middle = x + width / 2, y + height + letters
        pen.text(middle, shorten(name, font, width), INK, font, anchor="mm")
    return page


def can_write(*names: str) -> bool:
    """Whether a sheet can have these names: a font of Pillow or of the system has all letters.

    Example:
        >>> can_write("Original", "Film")
        True
    """
    return find_font(frozenset("".join(names))) is not None


@functools.lru_cache(64)
def find_font(letters: frozenset[str], size: int = 20) -> Font | None:
    """Return the first font with all letters, in a size in px; None if no known font has them."""
    for name in (None, *FONTS):
        with contextlib.suppress(OSError):  # it is not on this system
            font: Font = ImageFont.truetype(name, size) if name else ImageFont.load_default(size)
            missing = bytes(font.getmask("\uffff"))
            if all(bytes(font.getmask(letter)) != missing for letter in letters):
                return font
    return None


def count_columns(count: int) -> int:
    """Return the columns of a sheet that is about as wide as high, with few places left empty."""
    square = math.ceil(math.sqrt(count))
    return min(square, square + 1, key=lambda columns: -count % columns)


def fit(image: Image.Image, width: int, height: int) -> Image.Image:
    """Return the image, RGB, as large as it fits into a cell."""
    scale = min(width / image.width, height / image.height)
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    rgb = image.convert("RGB")
    return rgb if rgb.size == size else rgb.resize(size, Image.Resampling.LANCZOS)


def shorten(name: str, font, width: int) -> str:
    """Return the name, cut to what fits into `width` px."""
    cut = name
    while cut and font.getlength(cut) > width:
        cut = cut[:-1]
    return cut if cut == name else cut[:-1] + "…"
