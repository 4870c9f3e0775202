"""Converts pixels of Display P3, BT.2020 and HDR (PQ, HLG) to sRGB.

Primaries and transfer functions have the numbers of ITU-T H.273 (CICP), which PNG, AVIF, HEIF and
videos write.
"""

import functools

import numpy as np

BT709, UNKNOWN, BT470BG, BT601, SMPTE240M, BT2020, DISPLAY_P3 = 1, 2, 5, 6, 7, 9, 12
GAMMA22, GAMMA28, LINEAR, SRGB, PQ, HLG = 4, 5, 8, 13, 16, 18

# x and y of red, green and blue; white is D65 for all of them.
_PRIMARIES = {
    BT709: ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060)),
    BT470BG: ((0.640, 0.330), (0.290, 0.600), (0.150, 0.060)),
    BT601: ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070)),
    SMPTE240M: ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070)),
    BT2020: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046)),
    DISPLAY_P3: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
}
_D65 = (0.3127, 0.3290)
_SRGB_GAMMA = 0.45455  # that PNG files of sRGB name
_BRADFORD = np.array(
    [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
)

Point = tuple[float, float]  # x and y of a color
# Cameras' curves (BT.709 and its relatives) are shown as if they were sRGB's.
_LIKE_SRGB = (BT709, UNKNOWN, BT601, SRGB, 14, 15)
_TRANSFERS = (*_LIKE_SRGB, GAMMA22, GAMMA28, LINEAR, PQ, HLG)
_WHITE_NITS = 203.0  # of a sheet of paper in HDR, BT.2408
_KNEE = 0.6  # light from which HDR is pressed together


def can_convert(primaries: int, transfer: int) -> bool:
    """Whether `to_srgb` knows these codes; where a file leaves one open, the other says it."""
    known = primaries in _PRIMARIES or primaries == UNKNOWN
    return known and transfer in _TRANSFERS and (primaries, transfer) != (UNKNOWN, UNKNOWN)


def is_srgb(primaries: int, transfer: int, full_range: bool = True) -> bool:
    """Whether pixels of these codes are those of sRGB already."""
    return full_range and primaries in (BT709, UNKNOWN) and transfer in _LIKE_SRGB


def to_srgb(
    pixels: np.ndarray, primaries: int, transfer: int, full_range: bool = True
) -> np.ndarray:
    """Converts pixels to sRGB; the highlights of HDR roll off instead of clipping.

    Args:
        pixels: RGB (H, W, 3), uint8, or uint16 from 0 to 65535.
        primaries: by H.273; unknown ones are those of BT.2020 for HDR, and else of BT.709.
        transfer: by H.273.
        full_range: whether black is 0 and white the largest number, in place of 16 and 235 of 255;
            default True.

    Returns:
        uint8 RGB (H, W, 3).
    """
    hdr = transfer in (PQ, HLG)
    if primaries == UNKNOWN:
        primaries = BT2020 if hdr else BT709
    codes, bits = (pixels, 8) if pixels.dtype == np.uint8 else (pixels >> 6, 10)
    light = _light(transfer, bits, full_range)[codes] @ _to_bt709(primaries).T
    light = np.maximum(light, 0.0)
    if hdr:
        brightest = np.maximum(light.max(axis=2, keepdims=True), 1e-6)
        rolled = _KNEE + (1.0 - _KNEE) * -np.expm1((_KNEE - brightest) / (1.0 - _KNEE))
        light *= np.where(brightest > _KNEE, rolled / brightest, 1.0)
    return _encode(light)


def gamma_changes_srgb(gamma: float, white: Point, primaries: tuple[Point, ...]) -> bool:
    """Whether `gamma_to_srgb` can convert such pixels, and they are not those of sRGB already.

    Args:
        gamma: of PNG's gAMA chunk: the exponent from light to code, 0.45455 in sRGB's files.
        white: x and y of white.
        primaries: x and y of red, green and blue.
    """
    points = np.array([white, *primaries])
    if not (0.1 <= gamma <= 5.0 and (points[:, 1] > 0.01).all() and (points < 1.0).all()):
        return False
    if abs(np.linalg.det(np.column_stack([points[1:], np.ones(3)]))) < 0.01:
        return False  # no triangle
    is_near = np.abs(points - [_D65, *_PRIMARIES[BT709]]).max() <= 0.01  # as libpng compares
    return not (is_near and abs(gamma / _SRGB_GAMMA - 1.0) <= 0.05)


def gamma_to_srgb(
    pixels: np.ndarray, gamma: float, white: Point, primaries: tuple[Point, ...]
) -> np.ndarray:
    """Converts pixels to sRGB by PNG's gAMA and cHRM; their white becomes that of sRGB.

    Args:
        pixels: RGB (H, W, 3), uint8.
        gamma: as for `gamma_changes_srgb`, which must hold.
        white: x and y of white.
        primaries: x and y of red, green and blue.

    Returns:
        uint8 RGB (H, W, 3).
    """
    cones = [_BRADFORD @ _xyz(*point) for point in (white, _D65)]
    adapt = np.linalg.inv(_BRADFORD) @ np.diag(cones[1] / cones[0]) @ _BRADFORD
    matrix = np.linalg.inv(_to_xyz(BT709)) @ adapt @ _find_matrix(primaries, white)
    light = (np.arange(256) / 255.0) ** (1.0 / gamma)
    return _encode(light.astype(np.float32)[pixels] @ matrix.T.astype(np.float32))


def _encode(light: np.ndarray) -> np.ndarray:
    """Light -> codes of sRGB, uint8."""
    light = np.maximum(light, 0.0)
    coded = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return np.rint(np.clip(coded, 0.0, 1.0) * 255.0).astype(np.uint8)


@functools.cache
def _to_bt709(primaries: int) -> np.ndarray:
    """The float32 matrix from linear light of these primaries to that of BT.709."""
    matrix = np.linalg.inv(_to_xyz(BT709)) @ _to_xyz(primaries)
    return matrix.astype(np.float32)


def _to_xyz(primaries: int) -> np.ndarray:
    """The matrix from linear light of these primaries to XYZ, where white has Y = 1."""
    return _find_matrix(_PRIMARIES[primaries], _D65)


def _find_matrix(primaries: tuple[Point, ...], white: Point) -> np.ndarray:
    columns = np.array([_xyz(*point) for point in primaries]).T
    return columns * np.linalg.solve(columns, _xyz(*white))


def _xyz(x: float, y: float) -> np.ndarray:
    """XYZ of a color with Y = 1."""
    return np.array([x / y, 1.0, (1.0 - x - y) / y])


@functools.cache
def _light(transfer: int, bits: int, full_range: bool) -> np.ndarray:
    """Float32 (2^bits,): code -> light. 1 is white; in HDR, a white sheet of 203 nits (BT.2100)."""
    top = 2**bits - 1
    code = np.arange(2**bits) / top
    if not full_range:
        unit = 2 ** (bits - 8)
        code = np.clip((np.arange(2**bits) - 16 * unit) / (219 * unit), 0.0, 1.0)
    if transfer == PQ:
        root = code ** (1 / 78.84375)
        light = 1e4 * (np.maximum(root - 0.8359375, 0) / (18.8515625 - 18.6875 * root)) ** (
            1 / 0.1593017578125
        )
        light /= _WHITE_NITS
    elif transfer == HLG:
        a, b, c = 0.17883277, 0.28466892, 0.55991073
        scene = np.where(code <= 0.5, code**2 / 3, (np.exp((code - c) / a) + b) / 12)
        light = 1000.0 * scene**1.2 / _WHITE_NITS
    elif transfer in (GAMMA22, GAMMA28, LINEAR):
        light = code ** {GAMMA22: 2.2, GAMMA28: 2.8, LINEAR: 1.0}[transfer]
    else:
        assert transfer in _LIKE_SRGB, transfer
        light = np.where(code <= 0.04045, code / 12.92, ((code + 0.055) / 1.055) ** 2.4)
    return light.astype(np.float32)
