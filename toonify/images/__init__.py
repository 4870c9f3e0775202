"""Images: opened, converted to tensors, saved."""

from toonify.images.folders import find_images, name_uniquely
from toonify.images.formats import EXTENSIONS, MAX_BYTES, MAX_PIXELS, SAVES, ImageError
from toonify.images.io import count_pixels, describe_reduction, load
from toonify.images.saving import encode, save
from toonify.images.sheets import can_write, make_sheet
from toonify.images.tensors import grid, to_pil, to_tensor

__all__ = [
    "EXTENSIONS",
    "MAX_BYTES",
    "MAX_PIXELS",
    "SAVES",
    "ImageError",
    "can_write",
    "count_pixels",
    "describe_reduction",
    "encode",
    "find_images",
    "grid",
    "load",
    "make_sheet",
    "name_uniquely",
    "save",
    "to_pil",
    "to_tensor",
]
