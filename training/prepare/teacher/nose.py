"""Nose and ears, each look in its own shorthand."""

import numpy as np

from training.prepare.teacher.filters import blur, components, lab_color
from training.prepare.teacher.shapes import over, spline, taper

WINGS = ((129, 64, 98), (358, 294, 327))
NOSTRILS = ((97, 98, -1), (326, 327, 1))


def draw_nose(scene, image: np.ndarray) -> np.ndarray:
    """Wings, nostrils and tip light; a wedge and a line if cel; one short shadow in anime."""
    light, a, b = scene.base
    name, u, canvas = scene.look.name, scene.u, scene.canvas
    dark = lab_color([max(10, light * 0.52), a + 12, b + 4])
    middle = lab_color([max(10, light * 0.75), a + 10, b + 5])
    if name == "anime":
        return draw_small_nose(scene, image, dark)
    soft = 0.8 if scene.look.cel else 1.2
    for ids in WINGS:
        wing = spline(scene.points[list(ids), :2], 20)
        mask = canvas.stroke(wing, 0.020 * u * taper(20, 0.4, 0.35), soft)
        image = over(image, middle, 0.55 * mask)
    for first, second, sign in NOSTRILS:
        spot = 0.45 * scene.face_point(first) + 0.55 * scene.face_point(second, 0, -0.045)
        spot = canvas.ellipse(spot, 0.042 * u, 0.019 * u, scene.angle + 0.25 * sign, 1.2)
        image = over(image, dark, 0.8 * spot)
    return draw_nose_wedge(scene, image, dark) if scene.look.cel else light_nose(scene, image)


def draw_small_nose(scene, image: np.ndarray, dark) -> np.ndarray:
    """One shade beside the tip and a short line below."""
    light, a, b = scene.base
    side, canvas, u = scene.side, scene.canvas, scene.u
    shade = [
        scene.face_point(4, -0.02 * side, -0.02),
        scene.face_point(4, -0.10 * side, 0.075),
        scene.face_point(4, 0.02 * side, 0.08),
    ]
    shade = canvas.polygon(spline(shade, 30, closed=True), 0.8)
    image = over(image, lab_color([light * 0.86, a + 6, b + 3]), 0.8 * shade)
    line = [scene.face_point(2, x, y) for x, y in ((-0.05, 0), (0, 0.012), (0.05, 0))]
    line = canvas.stroke(spline(line, 20), 0.016 * u * taper(20, 0.3, 0.3))
    return over(image, dark, 0.7 * line)


def draw_nose_wedge(scene, image: np.ndarray, dark) -> np.ndarray:
    """A side plane in shade and a line under the tip."""
    side, canvas, u = scene.side, scene.canvas, scene.u
    wing = 358 if side < 0 else 129
    edge = spline(
        [
            scene.face_point(197, -0.03 * side),
            scene.face_point(4, -0.10 * side, -0.03),
            scene.face_point(4, 0, 0.075),
        ],
        20,
    )
    corner = 0.5 * (scene.face_point(wing) + scene.face_point(2, 0, 0.02))
    plane = canvas.polygon(np.vstack([edge, corner]), 1.0)[..., None]
    image *= 1 - 0.16 * plane * np.array([0.75, 1.05, 1.1], np.float32)
    line = [scene.face_point(4, x, y) for x, y in ((-0.085, 0.055), (0, 0.08), (0.085, 0.055))]
    width = (0.026 if scene.look.name == "comic" else 0.018) * u * taper(24, 0.3, 0.3)
    return over(image, dark, 0.75 * canvas.stroke(spline(line, 24), width))


def light_nose(scene, image: np.ndarray) -> np.ndarray:
    """Light on the tip and along the ridge."""
    light, a, b = scene.base
    side, canvas, u = scene.side, scene.canvas, scene.u
    tip = canvas.ellipse(scene.face_point(4, 0.02 * side, -0.02), 0.035 * u, 0.026 * u)
    tip = blur(tip, 0.016 * u) if scene.look.name == "film" else tip
    image = over(image, lab_color([min(98, light + 24), a * 0.6, b * 0.7]), 0.55 * tip)
    ridge = [scene.face_point(index, 0.015 * side) for index in (168, 6, 197, 195)]
    ridge = blur(canvas.stroke(spline(ridge, 20), 0.05 * u), 0.04 * u)
    return over(image, lab_color([min(98, light + 14), a * 0.8, b * 0.8]), 0.20 * ridge)


def draw_ears(scene, image: np.ndarray) -> np.ndarray:
    """The fold inside each ear that is seen: an arc along its rim."""
    u, y = scene.u, scene.face_y
    light, a, b = scene.base
    color = lab_color([max(10, light * 0.70), a + 9, b + 4])
    beside = scene.skin * (1 - scene.oval) * (y > -0.25) * (y < 0.75)
    beside = beside * (np.abs(scene.face_x - scene.middle) > 0.6)
    for part, area in components(beside):
        if not 0.015 * u**2 < area < 0.25 * u**2:
            continue
        face = np.stack([scene.face_x[part], scene.face_y[part]], 1)
        low, high = np.percentile(face, 5, axis=0), np.percentile(face, 95, axis=0)
        width, height = high - low
        if height < 0.18 or width < 0.05:
            continue
        out = 1 if face[:, 0].mean() > scene.middle else -1
        outer, inner = (high[0], low[0]) if out > 0 else (low[0], high[0])
        x = np.array([0.55, 0.80, 0.80, 0.55, 0.35]) * (outer - inner) + inner
        rim = np.stack([x, low[1] + height * np.array([0.10, 0.22, 0.45, 0.62, 0.72])], 1)
        line = spline(scene.frame.to_px(rim), 30, smooth=4)
        widths = (0.020 if scene.look.cel else 0.028) * u * taper(30, 0.3, 0.4)
        soft = 0.7 if scene.look.cel else 0.010 * u
        mask = scene.canvas.stroke(line, widths, soft) * scene.skin
        image = over(image, color, 0.65 * mask)
    return image
