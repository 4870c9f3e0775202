"""PIL images to tensors in [-1, 1] and back."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from toonify.images import marks

if TYPE_CHECKING:
    import torch


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
    pixels = torch.from_numpy(np.array(image))  # np.array copies; asarray would be read-only
    return pixels.permute(2, 0, 1)[None].to(torch.float32).div_(127.5).sub_(1.0).contiguous()


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
    pixels = tensor.detach().to("cpu", torch.float32).clamp(-1.0, 1.0).add(1.0).mul_(127.5)
    pixels = pixels.round_().to(torch.uint8).permute(1, 2, 0).contiguous()
    return Image.fromarray(pixels.numpy())


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
