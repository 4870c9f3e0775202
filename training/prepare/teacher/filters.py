"""Color conversion, blurs, soft thresholds and flattening filters on float32 images (H, W[, C])."""

import cv2
import numpy as np


def to_lab(rgb: np.ndarray) -> np.ndarray:
    """CIE Lab (L in [0, 100]) of RGB in [0, 1]."""
    return cv2.cvtColor(np.ascontiguousarray(rgb, np.float32), cv2.COLOR_RGB2LAB)


def to_rgb(lab: np.ndarray) -> np.ndarray:
    """RGB in [0, 1] of CIE Lab."""
    return np.clip(cv2.cvtColor(np.ascontiguousarray(lab, np.float32), cv2.COLOR_LAB2RGB), 0, 1)


def lab_color(lab) -> np.ndarray:
    """RGB (3,) of one Lab color."""
    return to_rgb(np.asarray(lab, np.float32).reshape(1, 1, 3))[0, 0]


def blur(image: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian blur; a wide one is computed on a small copy."""
    image = np.asarray(image, np.float32)
    height, width = image.shape[:2]
    factor = int(sigma // 5)
    if factor > 1 and min(height, width) > 20 * factor:
        small = cv2.resize(image, (width // factor, height // factor), interpolation=cv2.INTER_AREA)
        small = cv2.GaussianBlur(small, (0, 0), sigma / factor)
        return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
    return cv2.GaussianBlur(image, (0, 0), max(float(sigma), 0.3))


def masked_blur(image: np.ndarray, mask: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian blur weighted by a mask (normalized convolution)."""
    mask = np.asarray(mask, np.float32)
    total = np.maximum(blur(mask, sigma), 0) + 1e-4
    if image.ndim == 2:
        return blur(image * mask, sigma) / total
    return blur(image * mask[..., None], sigma) / total[..., None]


def smoothstep(x, low: float, high: float):
    """0 below `low`, 1 above `high`, smooth between."""
    t = np.clip((x - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def guided(mask: np.ndarray, guide: np.ndarray, radius: float, eps: float) -> np.ndarray:
    """A mask that follows the edges of a gray guide in [0, 1] (guided filter, He et al., 2013)."""
    size = (2 * int(radius) + 1,) * 2
    mask = mask.astype(np.float32)
    mean_guide, mean_mask = cv2.blur(guide, size), cv2.blur(mask, size)
    variance = cv2.blur(guide * guide, size) - mean_guide**2
    slope = (cv2.blur(guide * mask, size) - mean_guide * mean_mask) / (variance + eps)
    offset = mean_mask - slope * mean_guide
    return np.clip(cv2.blur(slope, size) * guide + cv2.blur(offset, size), 0, 1)


def shift(mask: np.ndarray, dx: float, dy: float) -> np.ndarray:
    """A mask moved by (dx, dy) px; its border is repeated."""
    matrix = np.array([[1, 0, dx], [0, 1, dy]], np.float32)
    return cv2.warpAffine(mask, matrix, mask.shape[1::-1], borderMode=cv2.BORDER_REPLICATE)


def box(px: float) -> np.ndarray:
    """Square structuring element of about `px` px, odd."""
    return np.ones((int(px) | 1,) * 2, np.uint8)


def dilate(mask: np.ndarray, px: float) -> np.ndarray:
    """Mask grown by a square of `px` px."""
    return cv2.dilate(np.asarray(mask, np.float32), box(px))


def erode(mask: np.ndarray, px: float) -> np.ndarray:
    """Mask shrunk by a square of `px` px."""
    return cv2.erode(np.asarray(mask, np.float32), box(px))


def signed_distance(mask: np.ndarray) -> np.ndarray:
    """Distance to the edge of a mask in px, negative inside."""
    inside = (mask > 0.5).astype(np.uint8)
    outer = cv2.distanceTransform(1 - inside, cv2.DIST_L2, 5)
    return outer - cv2.distanceTransform(inside, cv2.DIST_L2, 5)


def keep_connected(mask: np.ndarray, seed: np.ndarray) -> np.ndarray:
    """The connected parts of a mask that meet the boolean `seed`."""
    count, labels = cv2.connectedComponents((mask > 0.5).astype(np.uint8), connectivity=4)
    kept = np.zeros(count, bool)
    kept[np.unique(labels[seed])] = True
    kept[0] = False
    return mask * kept[labels]


def components(mask: np.ndarray):
    """Yields (boolean mask, area in px) of each connected part of a mask."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats((mask > 0.5).astype(np.uint8))
    for i in range(1, count):
        yield labels == i, int(stats[i, cv2.CC_STAT_AREA])


def tidy(mask: np.ndarray, unit: float, smallest: float = 0.15, smooth: float = 0.035):
    """A mask without small islands and holes, its edge a smooth antialiased curve.

    Args:
        mask: float32 (H, W) in [0, 1].
        unit: px of the face's unit.
        smallest: side of the smallest part that stays, in units.
        smooth: standard deviation of the edge's smoothing, in units.
    """
    binary = (blur(mask, 0.015 * unit) > 0.5).astype(np.uint8)
    for value in (0, 1):
        count, labels, stats, _ = cv2.connectedComponentsWithStats(binary ^ value)
        small = stats[:, cv2.CC_STAT_AREA] < 2 * (smallest * unit) ** 2
        small[0] = False
        if count > 1 and small.any():
            binary[small[labels]] = value
    soft = blur(binary.astype(np.float32), smooth * unit)
    return blur(smoothstep(soft, 0.44, 0.56), 0.6)


def orientation(gray: np.ndarray, sigma: float):
    """Direction along the strands (cos, sin) and its coherence in [0, 1] (structure tensor)."""
    gx = cv2.Scharr(gray, cv2.CV_32F, 1, 0)
    gy = cv2.Scharr(gray, cv2.CV_32F, 0, 1)
    xx, xy, yy = blur(gx * gx, sigma), blur(gx * gy, sigma), blur(gy * gy, sigma)
    angle = 0.5 * np.arctan2(2 * xy, xx - yy) + np.pi / 2
    coherence = np.sqrt((xx - yy) ** 2 + 4 * xy**2) / (xx + yy + 1e-6)
    return np.cos(angle), np.sin(angle), coherence


def blur_along(image: np.ndarray, direction, steps: int, mask: np.ndarray) -> np.ndarray:
    """Mean of an image (H, W, C) over `steps` steps of 2 px both ways along a direction field."""
    dx, dy = direction
    y0, x0 = np.mgrid[0 : image.shape[0], 0 : image.shape[1]].astype(np.float32)
    total, weights = image * mask[..., None], mask.copy()
    for sign in (1, -1):
        x, y, px, py = x0.copy(), y0.copy(), sign * dx, sign * dy
        for i in range(steps):
            x += 2 * px
            y += 2 * py
            nx = cv2.remap(dx, x, y, cv2.INTER_LINEAR)
            ny = cv2.remap(dy, x, y, cv2.INTER_LINEAR)
            # The tensor's direction has no sign: keep walking the way we came.
            same = np.sign(nx * px + ny * py + 1e-6)
            px, py = nx * same, ny * same
            weight = cv2.remap(mask, x, y, cv2.INTER_LINEAR) * np.exp(-0.5 * (2 * i / steps) ** 2)
            moved = cv2.remap(image, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            total = total + moved.reshape(image.shape) * weight[..., None]
            weights = weights + weight
    return total / (weights[..., None] + 1e-4)


def kuwahara(image: np.ndarray, radius: int) -> np.ndarray:
    """Flat patches with crisp edges: Kuwahara filter of 8 soft sectors."""
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    angle, fall = np.arctan2(y, x), np.exp(-(x**2 + y**2) / (0.5 * radius**2))
    best, total = np.zeros_like(image), np.zeros(image.shape[:2], np.float32)
    for sector in range(8):
        away = np.abs((angle - sector * np.pi / 4 + np.pi) % (2 * np.pi) - np.pi)
        kernel = fall * np.clip(1 - away / (np.pi / 3.2), 0, 1)
        kernel[radius, radius] = 0.3
        kernel = (kernel / kernel.sum()).astype(np.float32)
        mean = cv2.filter2D(image, -1, kernel)
        variance = cv2.filter2D(image * image, -1, kernel) - mean * mean
        weight = 1 / (1e-5 + np.clip(variance.sum(-1), 0, None)) ** 3
        best += mean * weight[..., None]
        total += weight
    return best / total[..., None]


def flatten(rgb: np.ndarray, reach: int, color: int, medians: tuple[int, ...]) -> np.ndarray:
    """Even patches with crisp edges: mean shift at half size, then medians.

    Args:
        rgb: float32 (H, W, 3) in [0, 1].
        reach: px of the mean shift's window.
        color: range of the mean shift in 8-bit values.
        medians: sizes in px of the medians that follow.
    """
    height, width = rgb.shape[:2]
    half = (max(1, width // 2), max(1, height // 2))
    small = (cv2.resize(rgb, half, interpolation=cv2.INTER_AREA).clip(0, 1) * 255).astype(np.uint8)
    stop = (cv2.TERM_CRITERIA_COUNT + cv2.TERM_CRITERIA_EPS, 3, 1)
    small = cv2.pyrMeanShiftFiltering(small, reach, color, maxLevel=1, termcrit=stop)
    for size in medians:
        small = cv2.medianBlur(small, size)
    flat = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
    flat = blur(flat.astype(np.float32) / 255, 1.6)
    return np.clip(flat + 0.9 * (flat - blur(flat, 1.6)), 0, 1)


def posterize(rgb: np.ndarray, size: float, chroma: float = 1.1) -> np.ndarray:
    """Lightness in steps of `size` with soft edges; chroma times `chroma`."""
    lab = to_lab(rgb)
    level = lab[..., 0] / size
    lab[..., 0] = size * (np.floor(level) + smoothstep(level - np.floor(level), 0.42, 0.58))
    lab[..., 1:] *= chroma
    return to_rgb(lab)
