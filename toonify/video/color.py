"""Converts the colors of videos to sRGB pixels and back."""

import functools

import numpy as np

from toonify.video.types import BT470BG, BT601, BT709, BT2020, HLG, PQ, SMPTE240M, UNKNOWN, Colors

# What FFmpeg's scaler calls the matrices.
_MATRICES = {BT709: "ITU709", BT470BG: "ITU601", BT601: "ITU601", SMPTE240M: "SMPTE240M"}
_MATRICES |= {BT2020: "BT2020", 10: "BT2020"}
_LIMITED, _FULL = 1, 2  # AVCOL_RANGE_*
_HD = 720  # lines from which players take BT.709 where the file says nothing
_WHITE_NITS = 203.0  # of a sheet of paper in HDR, BT.2408
_KNEE = 0.6  # light from which HDR is pressed together
_TO_BT709 = np.array(  # linear light of BT.2020 -> BT.709, BT.2087
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]],
    np.float32,
)


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


def written(colors: Colors) -> Colors:
    """The colors that the drawing of such a video is written in: its own, or BT.709 for HDR."""
    wide = colors.is_hdr or _MATRICES[colors.matrix] == "BT2020"
    return Colors() if wide else colors


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
    if colors.is_hdr:
        return _to_sdr(picture, colors.transfer)
    if alpha:
        weight = picture[..., 3:].astype(np.uint16)
        mixed = picture[..., :3] * weight + 255 * (255 - weight)
        return ((mixed + 127) // 255).astype(np.uint8)
    return picture


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


def _to_sdr(picture: np.ndarray, transfer: int) -> np.ndarray:
    """uint16 RGB of BT.2020 in PQ or HLG -> uint8 sRGB; highlights roll off instead of clipping."""
    light = _light(transfer)[picture >> 6] @ _TO_BT709.T  # 1 is the white of paper
    light = np.maximum(light, 0.0)
    brightest = np.maximum(light.max(axis=2, keepdims=True), 1e-6)
    rolled = _KNEE + (1.0 - _KNEE) * -np.expm1((_KNEE - brightest) / (1.0 - _KNEE))
    light *= np.where(brightest > _KNEE, rolled / brightest, 1.0)
    coded = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return np.rint(np.clip(coded, 0.0, 1.0) * 255.0).astype(np.uint8)


@functools.cache
def _light(transfer: int) -> np.ndarray:
    """Float32 (1024,): 10 bit code -> light, where 1 is a white sheet of 203 nits (BT.2100)."""
    code = np.arange(1024) / 1023
    if transfer == PQ:
        root = code ** (1 / 78.84375)
        nits = 1e4 * (np.maximum(root - 0.8359375, 0) / (18.8515625 - 18.6875 * root)) ** (
            1 / 0.1593017578125
        )
    else:
        assert transfer == HLG, transfer
        a, b, c = 0.17883277, 0.28466892, 0.55991073
        scene = np.where(code <= 0.5, code**2 / 3, (np.exp((code - c) / a) + b) / 12)
        nits = 1000.0 * scene**1.2
    return (nits / _WHITE_NITS).astype(np.float32)
