"""Converts the colors of videos to sRGB pixels and back."""

import numpy as np

from toonify.images.color_spaces import (
    BT470BG,
    BT601,
    BT709,
    BT2020,
    SMPTE240M,
    UNKNOWN,
    can_convert,
    to_srgb,
)
from toonify.video.types import Colors

# What FFmpeg's scaler calls the matrices.
_MATRICES = {BT709: "ITU709", BT470BG: "ITU601", BT601: "ITU601", SMPTE240M: "SMPTE240M"}
_MATRICES |= {BT2020: "BT2020", 10: "BT2020"}
_LIMITED, _FULL = 1, 2  # AVCOL_RANGE_*
_HD = 720  # lines from which players take BT.709 where the file says nothing


def colors_of(frame) -> Colors:
    """What a decoded frame says of its colors; where it says nothing, what players assume."""
    hd = frame.height >= _HD
    matrix, primaries, transfer = frame.colorspace, frame.color_primaries, frame.color_trc
    if frame.format.is_rgb or matrix in (0, UNKNOWN) or matrix not in _MATRICES:
        matrix = BT709 if hd else BT601
    usual = BT709 if matrix == BT709 else BT601
    full = frame.color_range == _FULL or frame.format.name.startswith("yuvj")
    return Colors(
        matrix,
        usual if primaries in (0, UNKNOWN) else primaries,
        usual if transfer in (0, UNKNOWN) else transfer,
        full and not frame.format.is_rgb,
    )


def is_wide(colors: Colors) -> bool:
    """Whether the colors are those of BT.2020, as all HDR and some other videos have."""
    return colors.is_hdr or _MATRICES[colors.matrix] == "BT2020"


def written(colors: Colors) -> Colors:
    """The colors that the drawing of a video is written in: its own, or BT.709 for wide ones."""
    return Colors() if is_wide(colors) else colors


def to_pixels(frame, scaler, size: tuple[int, int], colors: Colors) -> np.ndarray:
    """A decoded frame as uint8 RGB (H, W, 3) of `size` (width, height); alpha lies over white."""
    alpha = any(component.is_alpha for component in frame.format.components)
    form = "rgb48le" if colors.is_hdr else "rgba" if alpha else "rgb24"
    yuv = not frame.format.is_rgb
    picture = scaler.reformat(
        frame,
        *size,
        format=form,
        src_colorspace=_MATRICES[colors.matrix] if yuv else None,
        src_color_range=(_FULL if colors.full else _LIMITED) if yuv else None,
        dst_color_range=_FULL,
        interpolation="AREA" if size[0] < frame.width else "BICUBIC",
        threads=1,
    ).to_ndarray()
    pixels = picture[..., :3]
    if is_wide(colors):
        transfer = colors.transfer if can_convert(BT2020, colors.transfer) else BT709
        pixels = to_srgb(pixels, BT2020, transfer)
    if form == "rgba":
        weight = picture[..., 3:].astype(np.uint16)
        mixed = pixels * weight + 255 * (255 - weight)
        return ((mixed + 127) // 255).astype(np.uint8)
    return pixels


def to_frame(pixels: np.ndarray, scaler, form: str, colors: Colors):
    """Pixels as a frame of `form` in these colors, with their tags."""
    import av

    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), "rgb24")
    if form == "rgb24":
        return frame
    frame = scaler.reformat(
        frame,
        format=form,
        src_color_range=_FULL,
        dst_colorspace=_MATRICES[colors.matrix],
        dst_color_range=_FULL if colors.full else _LIMITED,
        interpolation="BICUBIC",
        threads=1,
    )
    frame.colorspace, frame.color_range = colors.matrix, _FULL if colors.full else _LIMITED
    return frame


def tag(codec_context, colors: Colors) -> None:
    """Writes the colors into an encoder's settings."""
    codec_context.colorspace = colors.matrix
    codec_context.color_primaries = colors.primaries
    codec_context.color_trc = colors.transfer
    codec_context.color_range = _FULL if colors.full else _LIMITED
