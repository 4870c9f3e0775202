"""Eyes and brows: measured in the photo (opening, lashes, iris, brows), drawn as shapes."""

from dataclasses import dataclass

import numpy as np

from training.prepare.teacher.face_mesh import EYES, Eye, FaceFrame
from training.prepare.teacher.filters import blur, lab_color, smoothstep, to_rgb
from training.prepare.teacher.shapes import Canvas, over, sample, spline, taper

BROWN, GREEN, GRAY, BLUE = (13.0, 23.0), (-2.0, 14.0), (-4.0, -5.0), (-3.0, -15.0)  # Lab a, b
CLOSED = 0.12  # height over width below which an eye is drawn as one arc
SAMPLES = 48


@dataclass(frozen=True)
class EyeHand:
    """How a look draws eyes.

    Args:
        radius: iris over the opening's height.
        squeeze: width of the iris over its height.
        pupil: pupil over iris.
        ring: where the dark rim of the iris begins and ends.
        highlight: of the iris's radius.
        lash: scale of the lash line.
        crease, lower: opacity of the crease and of the lower lid's line.
        shade: of the upper lid on the eye.
    """

    radius: float = 0.57
    squeeze: float = 1.0
    pupil: float = 0.48
    ring: tuple[float, float] = (0.80, 0.97)
    highlight: float = 0.24
    lash: float = 1.0
    crease: float = 0.7
    lower: float = 0.35
    shade: float = 0.38


HANDS = {
    "film": EyeHand(radius=0.60),
    "series": EyeHand(),
    "anime": EyeHand(0.53, 0.80, 0.40, (0.84, 0.93), 0.30, 0.85, 0.45, 0.30, 0.38),
    "comic": EyeHand(0.55, 1.0, 0.56, (0.76, 0.82), 0.22, 1.35, 0.9, 0.55, 0.25),
    "gouache": EyeHand(0.59, 1.0, 0.50, (0.82, 0.90), 0.22, 1.0, 0.45, 0.0, 0.25),
}


@dataclass
class EyeMeasures:
    """Means of both eyes of a photo.

    Args:
        lash: share of the lid line that is dark, in [0, 1].
        brow: thickness of the brows in units.
        brow_contrast: of the brows to the skin, in [0, 1].
        iris: Lab of the irises, corrected by the color of the white of the eyes.
        white: Lab of the white of the eyes.
    """

    lash: float
    brow: float
    brow_contrast: float
    iris: np.ndarray
    white: np.ndarray


def across(light: np.ndarray, line: np.ndarray, normal, offsets, u: float) -> np.ndarray:
    """(len(line), len(offsets)) values along normals of a line; offsets in units."""
    return sample(light, line[:, None] + np.asarray(offsets)[None, :, None] * u * normal)


def measure_eyes(lab: np.ndarray, points: np.ndarray) -> EyeMeasures:
    """Measures lashes, brows and irises of a photo.

    Args:
        lab: (H, W, 3).
        points: (478, 3) landmarks in px.
    """
    frame = FaceFrame(points)
    light = blur(lab[..., 0], 1.0)
    lash, thick, contrast, irises, whites = [], [], [], [], []
    for eye in EYES:
        lid = spline(points[eye.upper, :2], 24)[3:21]
        values = across(light, lid, frame.y, np.linspace(-0.12, 0.03, 31), frame.unit)
        lash.append((values[:, 12:] < 0.42 * np.percentile(values, 75) + 3).mean())
        brow = 0.5 * (
            spline(points[eye.brow_upper, :2], 14) + spline(points[eye.brow_lower, :2], 14)
        )
        values = across(light, brow, frame.y, np.linspace(-0.16, 0.16, 41), frame.unit)
        low, high = values.min(1), np.percentile(values, 85, axis=1)
        dark = values < (high - 0.45 * (high - low))[:, None]
        thick.append(np.median(dark.sum(1)) * 0.32 / 40)
        contrast.append(np.median((high - low) / (high + 1)))
        iris, white = iris_pixels(lab, points, eye)
        irises.append(iris)
        whites.append(white)
    iris, white = np.vstack(irises), np.vstack(whites)
    white = np.median(white, 0) if len(white) > 10 else np.array([75.0, 4, 4])
    low, high = np.percentile(iris[:, 0], [30, 80]) if len(iris) else (0, 0)
    iris = iris[(iris[:, 0] >= low) & (iris[:, 0] <= high)]
    color = np.median(iris, 0) if len(iris) else np.array([25.0, 6, 10])
    color[2] -= 0.8 * np.clip(white[2] - 2, -14, 0)  # a blue wall is mirrored in dark eyes
    measures = (float(np.mean(v)) for v in (lash, thick, contrast))
    return EyeMeasures(*measures, color, white)


def iris_pixels(lab: np.ndarray, points: np.ndarray, eye: Eye):
    """Lab (N, 3) of the lower part of an iris without pupil, and of the white beside it."""
    center = points[eye.iris, :2]
    radius = np.linalg.norm(points[eye.ring, :2] - center, axis=1).mean()
    reach = int(4 * radius) + 2
    x0, y0 = np.maximum(center.astype(int) - reach, 0)
    part = lab[y0 : y0 + 2 * reach, x0 : x0 + 2 * reach]
    rows, columns = np.mgrid[0 : part.shape[0], 0 : part.shape[1]]
    away = np.hypot(columns + x0 - center[0], rows + y0 - center[1]) / radius
    iris = part[(away > 0.45) & (away < 0.9) & (rows + y0 > center[1] - 0.1 * radius)]
    outline = np.vstack([points[eye.upper, :2], points[eye.lower[::-1], :2]]) - [x0, y0]
    white = part[(Canvas(part.shape).polygon(outline, 0) > 0.9) & (away > 1.15)]
    if len(white) > 5:
        white = white[white[:, 0] > np.percentile(white[:, 0], 50)]
    return iris.reshape(-1, 3), white.reshape(-1, 3)


def iris_color(measures: EyeMeasures, skin_light: float, hair_light: float):
    """Lightness and hue (a, b) of painted irises: one of brown, green, gray and blue.

    Args:
        measures: of the photo's eyes.
        skin_light, hair_light: L of skin and hair: dark irises of dark people are brown.
    """
    light, a, b = measures.iris
    yellow = b - 0.25 * a
    dark_hair = hair_light < 30 and yellow > -3.2 and light < 45
    fair = hair_light > 38 and light > 30 and np.hypot(a, b) < 8
    dark_iris = light < 18 or (light < 24 and yellow > -1.5)
    dark_iris = dark_iris or (light < 38 and yellow > 1 and not fair)
    if (skin_light < 48 and yellow > -8) or dark_hair or dark_iris or yellow > 7:
        hue = BROWN
    elif yellow > 2.5:
        hue = GREEN
    else:
        hue = BLUE if yellow < 0 else GRAY
    return float(np.clip(light * 0.9, 24, 58)), np.array(hue)


class EyeShape:
    """Outline of one drawn eye: lids raised to the look's opening, with the photo's expression.

    Args:
        scene: the picture.
        eye: which one.
        ratio: the photo's height over width.
    """

    def __init__(self, scene, eye: Eye, ratio: float):
        look, points = scene.look, scene.points
        upper, lower = points[eye.upper, :2], points[eye.lower, :2]
        start, end = upper[0], upper[-1]
        self.width = float(np.linalg.norm(end - start))
        self.along = (end - start) / self.width * (-1 if eye.outward > 0 else 1)
        normal = np.array([-self.along[1], self.along[0]])
        self.down = normal * np.sign(normal @ scene.frame.y)
        self.center = (start + end) / 2
        ux, uy = (upper - self.center) @ self.along, (upper - self.center) @ self.down
        lx, ly = (lower - self.center) @ self.along, (lower - self.center) @ self.down
        photo = np.interp(ratio, [0.12, 0.19, 0.26, 0.34], [0.52, 0.66, 0.84, 1.0])
        gain = photo * look.open * self.width / max(ly[4] - uy[4], 1e-3)
        smile = np.interp(ratio, [0.16, 0.26], [1, 0])  # a narrow eye lifts its lower lid
        uy = uy * (1 + 1.15 * (gain - 1))
        ly = ly * (1 + (0.85 - 0.25 * smile) * (gain - 1))
        if look.name == "anime":  # narrower at the corners, taller in the middle
            ux, lx = ux * 0.92, lx * 0.86
            uy = uy - 0.04 * self.width * (1 - (ux / (0.5 * self.width)) ** 2)
        self.upper = self.lid(ux, uy)
        self.lower = self.lid(lx, ly)
        self.height = float(np.linalg.norm(self.lower[SAMPLES // 2] - self.upper[SAMPLES // 2]))
        self.mask = scene.canvas.polygon(np.vstack([self.upper, self.lower[::-1]]), 0.5)

    def lid(self, x, y) -> np.ndarray:
        line = self.center + x[:, None] * self.along + y[:, None] * self.down
        return spline(line, SAMPLES, smooth=6)


def draw_eye(scene, image: np.ndarray, eye: Eye, ratio: float) -> np.ndarray:
    """Draws one eye; `ratio` is the photo's opening (height over width)."""
    u, canvas, hand = scene.u, scene.canvas, HANDS[scene.look.name]
    skin = lab_color(scene.base)
    dark_skin = skin * [0.62, 0.48, 0.46]
    if ratio < CLOSED:
        lids = (scene.points[eye.upper, :2] + scene.points[eye.lower, :2]) / 2
        arc = spline(lids, 40, smooth=3) + 0.02 * u * scene.frame.y
        line = canvas.stroke(arc, 0.055 * u * hand.lash * taper(40, 0.2, 0.1))
        return over(image, scene.lash_color, line)
    shape = EyeShape(scene, eye, ratio)
    if not scene.look.cel:
        socket = np.vstack([shape.upper - 0.16 * u * shape.down, shape.upper[::-1]])
        socket = blur(canvas.polygon(socket, 1), 0.05 * u)[..., None]
        image = image * (1 - 0.20 * socket * np.array([0.7, 1, 1], np.float32))
    lift = np.sin(np.linspace(0.25, np.pi - 0.15, SAMPLES)) ** 0.6
    lift = (0.065 if scene.look.name == "anime" else 0.075) * lift + 0.012
    crease = spline(shape.upper - shape.down * u * lift[:, None], SAMPLES)
    crease = crease[10:38] if scene.look.name == "anime" else crease[4:44]
    width = 0.016 * u * taper(len(crease), 0.3, 0.3) * (1.3 if scene.look.name == "comic" else 1)
    image = over(image, dark_skin, hand.crease * canvas.stroke(crease, width, 0.8))
    white = np.array([0.97, 0.965, 0.955]) * (0.93 + 0.07 * min(1, float(skin.mean()) * 1.6))
    image = over(image, white, shape.mask)
    image = draw_iris(scene, image, eye, shape)
    return draw_lids(scene, image, shape, dark_skin)


def draw_iris(scene, image: np.ndarray, eye: Eye, shape: EyeShape) -> np.ndarray:
    """Iris, pupil, the lid's shade and highlights."""
    name, hand, canvas, frame = scene.look.name, HANDS[scene.look.name], scene.canvas, scene.frame
    light, hue = scene.iris
    middle = SAMPLES // 2
    gaze = np.clip(
        (scene.points[eye.iris, :2] - shape.center) @ shape.along,
        -0.15 * shape.width,
        0.15 * shape.width,
    )
    gaze -= eye.outward * 0.055 * shape.width  # straight eyes look wall-eyed when enlarged
    radius = hand.radius * max(shape.height, 0.62 * scene.look.open * shape.width)
    rx = radius * hand.squeeze
    up = (shape.upper[middle] - shape.center) @ shape.down
    low = (shape.lower[middle] - shape.center) @ shape.down
    center = shape.center + gaze * shape.along + (0.46 * up + 0.54 * low) * shape.down
    columns, rows = scene.columns - center[0], scene.rows - center[1]
    dx = (columns * shape.along[0] + rows * shape.along[1]) / rx
    dy = (columns * frame.y[0] + rows * frame.y[1]) / radius
    away, soft = np.hypot(dx, dy), 1.2 / radius
    if name == "anime":
        value = light * (0.50 + 0.85 * smoothstep(dy + 0.12 * np.abs(dx), 0.02, 0.10))
        value += 14 * smoothstep(-np.hypot(dx, dy - 0.62), -0.48, -0.36)
    elif scene.look.cel:
        value = light * (0.7 + 0.5 * smoothstep(dy, 0.12, 0.2))
    else:
        value = light * (0.62 + 0.62 * smoothstep(dy, -0.7, 0.9))
        value += 10 * smoothstep(away, 0.75, 0.3) * smoothstep(dy, 0, 0.8)
    color = np.empty((*away.shape, 3), np.float32)
    color[..., 0] = np.clip(value, 0, 85)
    color[..., 1:] = hue * (1.35 if name == "anime" else 1.0)
    rim = 0.78 * smoothstep(away, *hand.ring)[..., None]
    iris = to_rgb(color) * (1 - rim)
    pupil = np.hypot(dx / 0.9, dy / 1.05) if name == "anime" else away
    pupil = smoothstep(-pupil, -hand.pupil - soft, -hand.pupil + soft)
    iris = over(iris, [0.05, 0.035, 0.04], pupil)
    image = over(image, iris, smoothstep(-away, -1 - soft, -1 + soft) * shape.mask)
    reach = (0.16 if scene.look.cel else 0.2) * shape.height
    lid = [shape.upper - 0.1 * scene.u * shape.down, (shape.upper + reach * shape.down)[::-1]]
    lid = blur(canvas.polygon(np.vstack(lid), 1), (0.01 if scene.look.cel else 0.05) * shape.height)
    shade = hand.shade * (lid * shape.mask)[..., None]
    image = image * (1 - shade * np.array([0.9, 1, 0.95], np.float32))
    spot = center + 0.34 * rx * scene.side * frame.x - 0.35 * radius * frame.y
    size = hand.highlight
    image = over(
        image, [1, 1, 1], canvas.ellipse(spot, size * rx, size * radius, soft=0.5) * shape.mask
    )
    spot = center - 0.38 * rx * scene.side * frame.x + 0.42 * radius * frame.y
    small = canvas.ellipse(spot, 0.13 * rx, 0.10 * radius, soft=0.7) * shape.mask
    return over(image, [1, 1, 1], (0.9 if name == "anime" else 0.35) * small)


def draw_lids(scene, image: np.ndarray, shape: EyeShape, dark_skin) -> np.ndarray:
    """The lash line, heavy only where the photo shows lashes, and the lower lid's line."""
    u, canvas, hand, weight = scene.u, scene.canvas, HANDS[scene.look.name], scene.lash_weight
    upper, lower = shape.upper, shape.lower
    outward = (upper[0] - upper[6]) / np.linalg.norm(upper[0] - upper[6])
    wing = upper[0] + outward * (0.008 + 0.040 * weight) * u - shape.down * 0.012 * u * weight
    t = np.linspace(0, 1, SAMPLES)
    arc = np.sin(np.pi * np.clip(t * 0.9 + 0.12, 0, 1)) ** 0.8 * (1 - 0.5 * t)
    widths = (0.55 + 0.55 * weight) * (0.026 + 0.040 * arc) * u * hand.lash
    widths = np.r_[0.0, widths]
    widths[-5:] *= np.linspace(1, 0.2, 5)
    widths = np.interp(np.linspace(0, 1, 60), np.linspace(0, 1, SAMPLES + 1), widths)
    line = canvas.stroke(spline(np.vstack([wing, upper]), 60, smooth=1), widths)
    image = over(image, scene.lash_color, line)
    if not hand.lower:
        return image
    line = lower[2:22] if scene.look.name == "anime" else lower[2:44]
    width = 0.014 * u * taper(len(line), 0.3, 0.4)
    color = 0.5 * scene.lash_color + 0.5 * dark_skin
    return over(image, color, (hand.lower + 0.4 * weight) * canvas.stroke(line, width, 0.7))


def calm_brow(line: np.ndarray, frame: FaceFrame) -> np.ndarray:
    """A brow's line less tilted, its inner end lifted: drawn brows look sterner than real ones.

    Args:
        line: (N, 2) px from the outer to the inner end.
        frame: of the face.
    """
    face = frame.to_face(line)
    t = np.linspace(0, 1, len(line))
    tilt, _ = np.polyfit(t, face[:, 1], 1)
    face[:, 1] -= np.clip(0.5 * (tilt - 0.02), -0.03, 0.08) * (t - 0.4) + 0.015 * t**2
    return frame.to_px(face)


def draw_brows(scene, image: np.ndarray) -> np.ndarray:
    """One tapered stroke a side, as thick and as dark as in the photo."""
    u, points, portrait, hair = scene.u, scene.points, scene.portrait, scene.hair_lab
    measures, name = portrait.eyes, scene.look.name
    contrast = measures.brow_contrast
    thick = np.clip(0.03 + 0.55 * measures.brow, 0.065, 0.125) * u
    thick *= np.interp(contrast, [0.2, 0.5], [0.6, 1]) * {"anime": 0.70, "comic": 1.1}.get(name, 1)
    pale = np.hypot(*hair[1:]) < 9 and hair[0] > 45
    light = scene.base[0]
    for eye in EYES:
        outline = portrait.points[eye.brow_upper + eye.brow_lower[::-1], :2]
        inside = scene.canvas.polygon(outline, 0) > 0.5
        color = np.median(portrait.lab[inside], axis=0) if inside.sum() > 20 else hair
        if hair[0] < light:
            color = 0.6 * color + 0.4 * hair
        dark = min(color[0] * 0.82, light * (0.80 if pale else 0.66))
        color = np.array([dark, color[1] + 2, color[2]])
        if pale and light < 45:
            color = np.array([max(color[0], light + 16), 1, 3])
        if name == "comic" and not pale:
            color = np.array([color[0] * 0.45, color[1] * 0.5, color[2] * 0.5])
        line = 0.5 * (
            spline(points[eye.brow_upper, :2], 40, smooth=4)
            + spline(points[eye.brow_lower, :2], 40, smooth=4)
        )
        line = calm_brow(line, scene.frame)
        ends = np.r_[np.linspace(0.1, 1, 10) ** 0.6, np.ones(26), [0.97, 0.9, 0.75, 0.5]]
        widths = np.linspace(0.45, 1, 40) ** 0.8 * thick * ends
        opacity = float(np.clip(0.30 + 1.3 * contrast, 0.62, 0.95))
        line = scene.canvas.stroke(line, widths, 0.6 if scene.look.cel else 1.0)
        image = over(image, lab_color(color), opacity * line)
    return image
