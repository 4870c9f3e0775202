"""Vector shapes as antialiased masks: polygons, ellipses, tapered strokes, splines."""

import cv2
import numpy as np

from training.prepare.teacher.filters import blur


def spline(points, count: int = 48, closed: bool = False, smooth: int = 0) -> np.ndarray:
    """Natural (or periodic) cubic spline through points.

    Args:
        points: (N, 2).
        count: number of samples.
        closed: the last point joins the first.
        smooth: rounds of smoothing of the samples; the ends stay.

    Returns:
        (count, 2).
    """
    points = np.asarray(points, float)
    own = len(points)
    if closed:  # repeat some points on both sides: a natural spline is periodic in the middle
        around = min(4, own)
        points = np.vstack([points[-around:], points, points[: around + 1]])
    steps = np.linalg.norm(np.diff(points, axis=0), axis=1) + 1e-6
    knots = np.r_[0, np.cumsum(steps)]
    n = len(points)
    curvature = np.zeros_like(points)
    if n > 2:
        inner = np.zeros((n - 2, n - 2))
        np.fill_diagonal(inner, 2 * (steps[:-1] + steps[1:]))
        np.fill_diagonal(inner[1:], steps[1:-1])
        np.fill_diagonal(inner[:, 1:], steps[1:-1])
        slopes = np.diff(points, axis=0) / steps[:, None]
        curvature[1:-1] = np.linalg.solve(inner, 6 * np.diff(slopes, axis=0))
    low, high = (knots[around], knots[around + own]) if closed else (0, knots[-1])
    at = np.linspace(low, high, count)
    i = np.clip(np.searchsorted(knots, at, side="right") - 1, 0, n - 2)
    h, a, b = steps[i, None], (knots[i + 1] - at)[:, None], (at - knots[i])[:, None]
    out = (curvature[i] * a**3 + curvature[i + 1] * b**3) / (6 * h)
    out += (points[i] / h - curvature[i] * h / 6) * a + (
        points[i + 1] / h - curvature[i + 1] * h / 6
    ) * b
    for _ in range(smooth):
        out[1:-1] = (out[:-2] + 2 * out[1:-1] + out[2:]) / 4
    return out


def taper(count: int, start: float = 0.15, end: float = 0.15, power: float = 0.7) -> np.ndarray:
    """(count,) widths in [0, 1] that grow over the share `start` and shrink over `end`."""
    t = np.linspace(0, 1, count)
    return (np.clip(t / start, 0, 1) * np.clip((1 - t) / end, 0, 1)) ** power


def normals(points: np.ndarray) -> np.ndarray:
    """(..., N, 2) unit normals of polylines."""
    points = np.asarray(points, float)
    d = np.empty_like(points)
    d[..., 1:-1, :] = points[..., 2:, :] - points[..., :-2, :]
    d[..., 0, :] = points[..., 1, :] - points[..., 0, :]
    d[..., -1, :] = points[..., -1, :] - points[..., -2, :]
    length = np.sqrt((d**2).sum(-1, keepdims=True)) + 1e-6
    return d[..., ::-1] * [-1, 1] / length


def stroke_polygon(points: np.ndarray, widths) -> np.ndarray:
    """Outlines (..., 2 N, 2) of strokes through points (..., N, 2).

    Args:
        points: of one stroke, or of many with as many points each.
        widths: (N,) or one, in px.
    """
    points = np.asarray(points, float)
    widths = np.asarray(widths, float)
    across = normals(points) * (widths[:, None] if widths.ndim else widths) / 2
    return np.concatenate([points + across, (points - across)[..., ::-1, :]], -2)


def ellipse_polygon(center, rx: float, ry: float, angle: float = 0.0) -> np.ndarray:
    """(60, 2) outline of an ellipse turned by `angle` radians."""
    t = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    cos, sin = np.cos(angle), np.sin(angle)
    x, y = rx * np.cos(t), ry * np.sin(t)
    return np.stack([center[0] + cos * x - sin * y, center[1] + sin * x + cos * y], 1)


class Canvas:
    """Draws masks (H, W) of one size.

    Args:
        shape: (height, width) in px.
    """

    def __init__(self, shape: tuple[int, int]):
        self.shape = tuple(shape[:2])

    def zeros(self) -> np.ndarray:
        """An empty mask."""
        return np.zeros(self.shape, np.float32)

    def polygon(self, points, soft: float = 0.6) -> np.ndarray:
        """Filled polygon, its edge blurred by `soft` px."""
        points = np.asarray(points, float)
        mask = self.zeros()
        height, width = self.shape
        margin = int(4 * soft + 4)
        x0, y0 = np.maximum(np.floor(points.min(0)).astype(int) - margin, 0)
        x1, y1 = np.minimum(np.ceil(points.max(0)).astype(int) + margin, (width, height))
        if x1 - x0 < 2 or y1 - y0 < 2:
            return mask
        part = np.zeros((y1 - y0, x1 - x0), np.uint8)
        fixed = np.round((points - [x0, y0]) * 16).astype(np.int32)
        cv2.fillPoly(part, [fixed], 255, cv2.LINE_AA, 4)
        mask[y0:y1, x0:x1] = blur(part / np.float32(255), soft) if soft else part / 255.0
        return mask

    def polygons(self, outlines, soft: float = 0.5) -> np.ndarray:
        """Union of filled polygons."""
        mask = np.zeros(self.shape, np.uint8)
        for outline in outlines:
            fixed = np.round(np.asarray(outline) * 16).astype(np.int32)
            cv2.fillPoly(mask, [fixed], 255, cv2.LINE_AA, 4)
        return blur(mask / np.float32(255), soft)

    def stroke(self, points, widths, soft: float = 0.6) -> np.ndarray:
        """Stroke of one or (N,) widths in px."""
        return self.polygon(stroke_polygon(points, widths), soft)

    def ellipse(self, center, rx: float, ry: float, angle: float = 0.0, soft: float = 0.6):
        """Filled ellipse."""
        return self.polygon(ellipse_polygon(center, rx, ry, angle), soft)


def over(image: np.ndarray, color, mask: np.ndarray) -> np.ndarray:
    """Lays a color (3,) or an image over `image` where the mask is; changes and returns `image`."""
    x, y, width, height = cv2.boundingRect((mask > 0.003).astype(np.uint8))
    if width == 0:
        return image
    part = np.s_[y : y + height, x : x + width]
    weight = mask[part][..., None]
    color = np.asarray(color, np.float32)
    image[part] = image[part] * (1 - weight) + (color[part] if color.ndim == 3 else color) * weight
    return image


def sample(image: np.ndarray, points) -> np.ndarray:
    """Bilinear values of an image at points (..., 2) in px."""
    points = np.asarray(points, np.float32)
    flat = points.reshape(len(points), -1, 2)  # remap takes up to 32,766 rows
    values = cv2.remap(
        image.astype(np.float32),
        flat[..., 0],
        flat[..., 1],
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return values.reshape(points.shape[:-1] + image.shape[2:])
