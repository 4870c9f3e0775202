"""Lines: contours of hair, skin and clothes, inner lines of clothes and hands, print patterns."""

import cv2
import numpy as np

from training.prepare.teacher.face_mesh import JAW
from training.prepare.teacher.filters import (
    blur,
    blur_along,
    dilate,
    erode,
    lab_color,
    orientation,
    shift,
    smoothstep,
    to_lab,
    to_rgb,
)
from training.prepare.teacher.ground import DOT_GAP, halftone
from training.prepare.teacher.shapes import over, spline, taper


def ink_color(image: np.ndarray, name: str, u: float) -> np.ndarray:
    """RGB of lines: the local color made dark, or black."""
    if name == "comic":
        return np.broadcast_to(lab_color([7, 3, 0]), image.shape)
    lab = to_lab(blur(image, 0.012 * u))
    if name == "anime":
        lab[..., 0] = np.minimum(0.45 * lab[..., 0] + 8, 42)
        lab[..., 1] = 0.8 * lab[..., 1] + 14
        lab[..., 2] = 0.6 * lab[..., 2] - 2
    else:
        lab[..., 0] = np.minimum(lab[..., 0] * 0.36, 28)
        lab[..., 1] = 1.1 * lab[..., 1] + 5
        lab[..., 2] = 1.1 * lab[..., 2] + 1
    return to_rgb(lab)


def edge_lines(mask: np.ndarray, width: float) -> np.ndarray:
    """Lines of even width along the edge of a soft mask."""
    soft = blur(mask, width)
    return smoothstep(soft * (1 - soft) * 4, 0.30, 0.62)


def brush_lines(scene, mask: np.ndarray, width: float) -> np.ndarray:
    """Lines that swell on the side away from the light, as by a brush."""
    thin = edge_lines(mask, 0.45 * width)
    far = shift(mask, scene.side * 1.6 * width, -1.3 * width)
    swell = np.clip(mask - far, 0, 1)
    return np.maximum(thin, smoothstep(blur(swell, 0.25 * width), 0.45, 0.65))


def flow_lines(rgb: np.ndarray, sigma: float, sharpness: float = 1.0) -> np.ndarray:
    """(H, W) lines where a picture has dark lines and edges (Kang et al., "Coherent line drawing").

    Args:
        rgb: float32 (H, W, 3) in [0, 1].
        sigma: width of the lines in px.
        sharpness: scale of the response.
    """
    light = to_lab(rgb)[..., 0]
    dark = blur(light, 1.7 * sigma) - blur(light, sigma)
    direction = orientation(blur(light, sigma), 2.5 * sigma)[:2]
    ones = np.ones(light.shape, np.float32)
    dark = blur_along(dark[..., None], direction, max(2, int(1.5 * sigma)), ones)[..., 0]
    lines = smoothstep(dark * sharpness, 1.0, 2.2)
    _, labels, stats, _ = cv2.connectedComponentsWithStats((lines > 0.3).astype(np.uint8))
    long = np.maximum(stats[:, cv2.CC_STAT_WIDTH], stats[:, cv2.CC_STAT_HEIGHT]) > 14 * sigma
    return lines * long[labels]


def draw_contours(scene, image: np.ndarray) -> np.ndarray:
    """Contours of hair, person, skin and cover, a tapered jaw, and inner lines."""
    u, name, weight = scene.u, scene.look.name, scene.look.line
    width = weight * 0.013 * u

    def outline(mask):
        return brush_lines(scene, mask, 0.026 * u) if name == "comic" else edge_lines(mask, width)

    lines = np.max([outline(mask) for mask in (scene.hair, scene.person, scene.skin)], 0)
    # A scarf runs on as clothes below the chin.
    upper = smoothstep(-scene.face_y, -scene.chin - 0.6, -scene.chin - 0.3)
    lines = np.maximum(lines, outline(scene.cover) * upper)
    jaw = spline(scene.points[JAW, :2], 120, smooth=10)
    jaw = scene.canvas.stroke(jaw, weight * 0.026 * u * taper(120, 0.25, 0.25))
    jaw = jaw * scene.skin * smoothstep(blur(scene.skin, 0.05 * u), 0.5, 0.8)
    if scene.beard is not None:
        jaw = jaw * (1 - scene.beard.mask)
    lines = np.maximum(lines, jaw) * scene.body
    inner = flow_lines(scene.rgb, max(1.0, 0.013 * u), {"comic": 1.0, "anime": 0.6}.get(name, 0.7))
    bodies = scene.skin * (1 - dilate(scene.oval, 0.10 * u)) * (scene.face_y > scene.chin + 0.2)
    where = np.maximum(erode(scene.clothes, 0.02 * u), 0.45 * bodies) * scene.body
    lines = np.maximum(lines, (0.95 if name == "comic" else 0.7) * inner * where)
    return over(image, ink_color(image, name, u), 0.92 * lines)


def print_shade(scene, image: np.ndarray) -> np.ndarray:
    """Comic: halftone dots in the shade of skin."""
    u = scene.u
    light, a, b = scene.base
    amount = 0.75 * smoothstep(-scene.shade, 0.18, 0.75)
    dots = halftone(scene.canvas.shape, DOT_GAP * u, amount, scene.look.dots) * scene.skin
    color = lab_color([light * 0.66, a + 8, b + 4])
    return over(image, color, 0.85 * dots)
