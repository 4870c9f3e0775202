"""Mouth: two lip shapes in the photo's own color, one shape of teeth."""

import numpy as np

from training.prepare.teacher.face_mesh import (
    LIP_INNER_LOWER,
    LIP_INNER_UPPER,
    LIP_OUTER_LOWER,
    LIP_OUTER_UPPER,
)
from training.prepare.teacher.filters import blur, dilate, lab_color
from training.prepare.teacher.shapes import over, spline, taper

OPEN = 0.045  # units between the lips from which a mouth is drawn open


class MouthShape:
    """The four lip lines of the drawing and the lips' color.

    Args:
        scene: the picture.
    """

    def __init__(self, scene):
        points, photo, base = scene.points, scene.portrait.points, scene.base
        lines = (LIP_OUTER_UPPER, LIP_OUTER_LOWER, LIP_INNER_UPPER, LIP_INNER_LOWER)
        self.top, self.bottom, self.upper, self.lower = (
            spline(points[ids, :2], 50, smooth=3) for ids in lines
        )
        polygon = scene.canvas.polygon
        lips = polygon(np.vstack([photo[lines[0], :2], photo[lines[1][::-1], :2]]), 0) > 0.5
        inner = polygon(np.vstack([photo[lines[2], :2], photo[lines[3][::-1], :2]]), 0)
        lab = scene.portrait.lab
        pixels = lab[lips & (dilate(inner, 5) < 0.1)]
        color = np.median(pixels, axis=0) if len(pixels) > 30 else base + np.array([-10, 12, 2])
        red = 0.6 * color[1] + 0.4 * (base[1] + 12)
        self.color = np.array(
            [
                np.clip(color[0], base[0] - 20, base[0] - 5),
                np.clip(red, base[1] + 4, base[1] + 24),
                0.5 * color[2] + 0.5 * base[2],
            ]
        )
        self.inner_light = lab[..., 0][inner > 0.5]
        self.gap = float(np.linalg.norm(points[13, :2] - points[14, :2]))
        self.width = float(np.linalg.norm(points[61, :2] - points[291, :2]))


def draw_mouth(scene, image: np.ndarray) -> np.ndarray:
    """Lips, teeth, the line between the lips, corners and the shade below."""
    u, frame, canvas, base, name = scene.u, scene.frame, scene.canvas, scene.base, scene.look.name
    mouth = MouthShape(scene)
    color = mouth.color
    red = np.clip((color[1] - base[1] - 4) / 14, 0, 1)  # painted lips stay, pale ones are hinted at
    opacity = {"anime": 0.25 + 0.35 * red, "comic": 0.40 + 0.45 * red}.get(name, 0.65 + 0.25 * red)
    lower = canvas.polygon(np.vstack([mouth.lower, mouth.bottom[::-1]]), 0.8)
    upper = canvas.polygon(np.vstack([mouth.top, mouth.upper[::-1]]), 0.8)
    image = over(image, lab_color(color + np.array([2, 1, 0])), opacity * lower)
    image = over(image, lab_color(color - np.array([7, -1, 1])), opacity * upper)
    if not scene.look.cel:
        spot = (mouth.lower[25] + mouth.bottom[25]) / 2 + scene.side * 0.03 * u * frame.x
        shine = blur(canvas.ellipse(spot, 0.085 * u, 0.018 * u, scene.angle), 0.018 * u) * lower
        image = over(image, lab_color(color + np.array([22, -4, -2])), 0.40 * shine)
    if mouth.gap > OPEN * u:
        image = draw_open(scene, image, mouth)
    else:
        line = (mouth.upper + mouth.lower) / 2
        width = {"anime": 0.020, "comic": 0.036}.get(name, 0.026) * u * taper(50, 0.25, 0.25)
        dark = [max(14, color[0] - 26), color[1] + 2, color[2]] if name != "comic" else [12, 12, 6]
        image = over(image, lab_color(dark), 0.9 * canvas.stroke(line, width, 0.7))
    dark = lab_color([max(14, base[0] - 30), base[1] + 10, base[2]])
    for index, sign in ((61, -1), (291, 1)):
        corner = canvas.ellipse(scene.face_point(index, 0.012 * sign), 0.02 * u, 0.02 * u)
        image = over(image, dark, 0.55 * blur(corner, 0.008 * u))
    size = (0.12 if name == "anime" else 0.2) * mouth.width
    spot = mouth.bottom[25] + 0.07 * u * frame.y
    under = canvas.ellipse(spot, size, (0.014 if scene.look.cel else 0.025) * u, scene.angle)
    under = blur(under, (0.008 if scene.look.cel else 0.03) * u)[..., None]
    return image * (1 - 0.16 * under * np.array([0.7, 1, 1], np.float32))


def draw_open(scene, image: np.ndarray, mouth: MouthShape) -> np.ndarray:
    """The inside of an open mouth, with teeth where the photo is bright."""
    u, frame, canvas, name = scene.u, scene.frame, scene.canvas, scene.look.name
    inside = canvas.polygon(np.vstack([mouth.upper, mouth.lower[::-1]]), 0.6)
    image = over(image, lab_color([30, 32, 16] if name == "anime" else [20, 24, 11]), inside)
    light, gap = mouth.inner_light, mouth.gap
    if light.size and np.percentile(light, 75) > max(38, 0.72 * scene.base[0] - 4):
        drop = min(0.86, 0.20 * u / max(gap, 1)) if gap > 0.24 * u else 0.90
        arc = np.sin(np.pi * np.linspace(0, 1, 50)) ** 0.25
        edge = mouth.upper + (mouth.lower - mouth.upper) * (drop * arc)[:, None]
        white = np.array([0.97, 0.96, 0.935]) * (0.9 + 0.1 * min(1, scene.base[0] / 60))
        image = over(image, white, canvas.polygon(np.vstack([mouth.upper, edge[::-1]]), 0.6))
        if not scene.look.cel:
            for corner in (mouth.upper[0], mouth.upper[-1]):
                size = 0.09 * mouth.width
                shade = blur(canvas.ellipse(corner, size, size), 0.05 * mouth.width) * inside
                image = image * (1 - 0.32 * shade)[..., None]
            band = [mouth.upper - 0.03 * u * frame.y, (mouth.upper + 0.025 * u * frame.y)[::-1]]
            band = blur(canvas.polygon(np.vstack(band), 0.5), 0.018 * u) * inside
            image = image * (1 - 0.25 * band[..., None])
    elif gap > 0.12 * u:
        tongue = mouth.lower[25] - 0.01 * u * frame.y
        tongue = blur(canvas.ellipse(tongue, 0.26 * mouth.width, 0.35 * gap), 2) * inside
        image = over(image, lab_color([48, 38, 18]), 0.8 * tongue)
    cel = scene.look.cel
    width = {"comic": 0.026}.get(name, 0.016 if cel else 0.012) * u * taper(50)
    line = canvas.stroke(mouth.upper, width, 0.8)
    image = over(image, lab_color([16, 22, 8]), (0.8 if cel else 0.55) * line)
    if cel:
        line = canvas.stroke(mouth.lower, 0.010 * u * taper(50, 0.3, 0.3), 0.8)
        image = over(image, lab_color([20, 22, 10]), 0.5 * line)
    return image
