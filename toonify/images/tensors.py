"""PIL images to tensors in [-1, 1] and back."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import cv2
import numpy as np
from PIL import Image

from toonify.images import marks

if TYPE_CHECKING:
    import torch

# The value in [-1, 1] of each of 0 to 255, as float32 arithmetic gives it.
_UNIT = np.arange(256, dtype=np.float32) / np.float32(127.5) - np.float32(1.0)


def to_tensor(image: Image.Image) -> torch.Tensor:
    """Converts an RGB image to a float32 tensor (1, 3, H, W) in [-1, 1].

    Raises:
        ValueError: the image is not RGB.

    Example:
        >>> tensor = to_tensor(Image.new("RGB", (6, 4), "white"))
        >>> tensor.shape, float(tensor.mean())
        (torch.Size([1, 3, 4, 6]), 1.0)
    """
    import torch  # here, so that loading a photo costs no second of import

    if image.mode != "RGB":
        raise ValueError(f"image.mode is {image.mode!r}; expected 'RGB' (images.load gives it)")
    tensor = np.empty((1, 3, image.height, image.width), np.float32)
    for plane, values in zip(cv2.split(np.asarray(image)), tensor[0], strict=True):
        cv2.LUT(plane, _UNIT, values)
    return torch.from_numpy(tensor)


def to_pil(tensor: torch.Tensor) -> Image.Image:
    """Converts a tensor to an RGB image.

    Args:
        tensor: (1, 3, H, W) or (3, H, W) in [-1, 1]; values outside are clamped.

    Raises:
        ValueError: the tensor has another shape.

    Example:
        >>> photo = Image.new("RGB", (6, 4), "red")
        >>> to_pil(to_tensor(photo)).tobytes() == photo.tobytes()
        True
    """
    import torch

    if tensor.ndim == 4 and tensor.shape[0] == 1:
        tensor = tensor[0]
    if tensor.ndim != 3 or tensor.shape[0] != 3:
        shape = tuple(tensor.shape)
        raise ValueError(f"tensor has shape {shape}; expected (1, 3, H, W) or (3, H, W)")
    planes = tensor.detach().to("cpu", torch.float32).numpy()
    # Rounded and clamped on the way to uint8.
    rounded = [cv2.addWeighted(p, 127.5, p, 0.0, 127.5, dtype=cv2.CV_8U) for p in planes]
    return Image.fromarray(cv2.merge(rounded))


def grid(pictures: Sequence[Image.Image], columns: int | None = None) -> Image.Image:
    """Arranges images in rows. Missing images of the last row are white.

    The page is marked as what the first image is marked as.

    Args:
        pictures: RGB images of one size.
        columns: images per row, 1 or more; None (default): about as many as rows.

    Raises:
        ValueError: no images, several sizes, or fewer columns than 1.

    Example:
        >>> grid([Image.new("RGB", (8, 6))] * 5).size
        (24, 12)
    """
    if not pictures:
        raise ValueError("no images: expected one or more")
    width, height = pictures[0].size
    for number, picture in enumerate(pictures, 1):
        if picture.size != (width, height):
            raise ValueError(f"image {number} is {picture.size}, expected {(width, height)}")
    if columns is None:
        columns = math.ceil(len(pictures) ** 0.5)
    if columns < 1:
        raise ValueError(f"columns={columns}: expected 1 or more")
    columns = min(columns, len(pictures))
    rows = math.ceil(len(pictures) / columns)
    page = Image.new("RGB", (columns * width, rows * height), "white")
    for number, picture in enumerate(pictures):
        page.paste(picture, (number % columns * width, number // columns * height))
    return marks.mark(page, marks.read_mark(pictures[0]))
