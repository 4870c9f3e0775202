"""Age: wrinkles and folds as tapered lines, only where the photo has them and as deep."""

import cv2
import numpy as np

from training.prepare.teacher.face_mesh import EYES
from training.prepare.teacher.filters import blur, dilate, lab_color
from training.prepare.teacher.hair import is_gray
from training.prepare.teacher.shapes import over, sample, spline, taper

RIDGE_WIDTHS = (0.016, 0.028)  # units
MIN_DEPTH = 0.15
MIN_DEPTH_OLD = 0.10  # of people with gray or white hair
OLD_FOLD = 0.40  # least opacity of their folds
# Most lines and shortest length in units: forehead, beside and under each eye, both cheeks.
LIMITS = ((5, 0.30), (4, 0.12), (3, 0.20), (4, 0.12), (3, 0.20), (5, 0.16), (5, 0.16))
OLD_SUM = 0.7  # sum of depth times length from which lines are drawn on the cheeks, too
SMILE_FOLDS = ((129, 203, 206, 216), (358, 423, 426, 436))
EYE_BAGS = ((226, 31, 228, 229, 230), (446, 261, 448, 449, 450))
OPACITY = {"film": 1.4, "series": 1.25, "anime": 0.9, "comic": 1.3, "gouache": 1.1}


def find_ridges(light: np.ndarray, sigma: float) -> tuple[np.ndarray, np.ndarray]:
    """Strength of dark lines of width `sigma` px, and the angle across them (Hessian)."""
    smooth = cv2.GaussianBlur(light, (0, 0), sigma)
    dy, dx = np.gradient(smooth)
    xx, xy, yy = np.gradient(dx, axis=1), np.gradient(dx, axis=0), np.gradient(dy, axis=0)
    spread = np.sqrt((xx - yy) ** 2 + 4 * xy**2)
    strength = np.clip(0.5 * (xx + yy + spread), 0, None) * sigma**2
    return strength, 0.5 * np.arctan2(2 * xy, xx - yy)


def wrinkle_zones(scene, angle: np.ndarray) -> list[np.ndarray]:
    """Boolean masks: forehead, beside and under each eye, cheeks; `angle` is along the lines."""
    x, y, frame = scene.face_x, scene.face_y, scene.frame
    level = np.abs(np.sin(angle)) < 0.45
    brow = frame.to_face(scene.points[[105, 334, 66, 296]])[:, 1].min()
    forehead = (scene.oval > 0.9) & (y < brow - 0.10) & level
    zones = [forehead & (np.abs(x - scene.middle) < 0.55)]
    for eye in EYES:
        outer, inner = frame.to_face(scene.points[[eye.upper[0], eye.upper[-1]]])
        away = (x - outer[0]) * eye.outward
        beside = (scene.oval > 0.5) & (away > 0.05) & (away < 0.34)
        zones.append(beside & (np.abs(y - outer[1]) < 0.24) & (np.abs(np.sin(angle)) < 0.8))
        under = (scene.oval > 0.9) & (y > max(outer[1], inner[1]) + 0.16) & (y < outer[1] + 0.42)
        zones.append(under & (away < 0.02) & ((x - inner[0]) * eye.outward > 0) & level)
    lips = dilate(scene.lips, 0.10 * scene.u) > 0.5
    low = (scene.oval > 0.95) & (y > 0.30) & (y < scene.chin - 0.15) & ~lips
    for sign in (-1, 1):
        away = (x - scene.middle) * sign
        zones.append(low & (away > 0.30) & (away < 0.75))
    return zones


def has_gray_hair(scene) -> bool:
    """Whether hair or beard is gray or white."""
    colors = [scene.hair_lab] if (scene.hair > 0.6).sum() > 0.15 * scene.u**2 else []
    if scene.beard is not None:
        colors.append(np.median(scene.beard.color[scene.beard.mask > 0.5], 0))
    return any(color[0] > 38 and is_gray(color) for color in colors)


def fit_line(scene, part: np.ndarray, depth: np.ndarray, shortest: float):
    """(mean depth, (30, 2) parabola in face coordinates) of a ridge; None if it is too short."""
    rows, columns = np.nonzero(part)
    points = scene.frame.to_face(np.stack([columns, rows], 1))
    weights = depth[rows, columns]
    center = np.average(points, axis=0, weights=weights)
    _, _, axes = np.linalg.svd(points - center, full_matrices=False)
    axis = axes[0]
    normal = np.array([-axis[1], axis[0]])
    t, off = (points - center) @ axis, (points - center) @ normal
    if not shortest <= np.ptp(t) <= 1.4 or np.std(off) > 0.25 * np.std(t):
        return None
    t_line = np.linspace(t.min(), t.max(), 30)
    bend = np.polyval(np.polyfit(t, off, 2, w=weights), t_line)
    line = center + t_line[:, None] * axis + bend[:, None] * normal
    return float(weights.mean()), line


def find_wrinkles(scene) -> list[tuple[float, np.ndarray]]:
    """(depth, line in face coordinates) of each wrinkle that is drawn."""
    light, u = scene.lab[..., 0], scene.u
    depth = np.max([find_ridges(light, width * u)[0] for width in RIDGE_WIDTHS], 0)
    depth = depth / (0.10 * scene.tone[0] + 2.0)
    angle = find_ridges(light, 0.022 * u)[1] + np.pi / 2 - scene.angle
    old = has_gray_hair(scene)
    clear = (dilate(scene.hair, 0.10 * u) < 0.5) & (scene.features < 0.5)
    wrinkles = []
    for number, zone in enumerate(wrinkle_zones(scene, angle)):
        if 0 < number < 5 and scene.portrait.glasses.present:
            continue  # frames look like wrinkles
        if number >= 5:
            total = sum(depth * np.ptp(line[:, 0]) for depth, line in wrinkles)
            if scene.beard is not None or (total < OLD_SUM and not old):
                break
        most, shortest = LIMITS[number]
        mask = ((depth > (MIN_DEPTH_OLD if old else MIN_DEPTH)) & zone & clear).astype(np.uint8)
        count, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
        lines = []
        for i in range(1, count):
            if stats[i, cv2.CC_STAT_AREA] >= shortest * u:
                lines.append(fit_line(scene, labels == i, depth, shortest))
        lines = [line for line in lines if line is not None]
        if number == 0 and len(lines) < 2 and sum(line[0] for line in lines) < 0.3:
            continue  # one faint line on the forehead is a wisp of hair
        lines.sort(key=lambda line: -line[0] * np.ptp(line[1][:, 0]) ** 0.5)
        wrinkles += lines[:most]
    return wrinkles


def draw_wrinkles(scene, image: np.ndarray) -> np.ndarray:
    """Draws the wrinkles; sets `age`, the sum of depth times length."""
    light, a, b = scene.base
    color = lab_color([max(6, light * 0.56), a + 7, b + 3])
    opacity, soft = OPACITY[scene.look.name], 0.8 if scene.look.cel else 1.1
    scene.age = 0.0
    least = MIN_DEPTH_OLD if has_gray_hair(scene) else MIN_DEPTH
    for depth, line in find_wrinkles(scene):
        scene.age += depth * float(np.ptp(line[:, 0]))
        weight = float(np.clip((depth - least) * 4.5 + 0.15, 0, 0.9)) * opacity
        widths = (0.022 + 0.020 * min(depth, 0.6)) * scene.u * taper(30, 0.45, 0.45)
        mask = scene.canvas.stroke(scene.frame.to_px(line), widths, soft)
        image = over(image, color, np.clip(weight * mask, 0, 1))
    return image


def draw_folds(scene, image: np.ndarray) -> np.ndarray:
    """Smile folds and bags under the eyes, as deep as the photo's own valleys."""
    u, frame, opacity = scene.u, scene.frame, OPACITY[scene.look.name]
    light = blur(scene.lab[..., 0], 0.02 * u)
    kernel = np.ones((int(0.22 * u) | 1,) * 2, np.uint8)
    valley = cv2.morphologyEx(light, cv2.MORPH_CLOSE, kernel) - light
    valley = blur(valley / (0.25 * scene.base[0] + 4), 0.04 * u)
    color = lab_color([max(8, scene.base[0] * 0.62), scene.base[1] + 8, scene.base[2] + 4])
    old = has_gray_hair(scene)
    for pair in (SMILE_FOLDS, EYE_BAGS):
        fold = pair is SMILE_FOLDS
        drop = (0.02 if fold else 0.09) * u * frame.y
        lines = [spline(scene.points[list(ids), :2], 30, smooth=3) + drop for ids in pair]
        depths = [float(sample(valley, line).mean()) for line in lines]
        for line, depth in zip(lines, depths, strict=True):
            depth = 0.4 * depth + 0.6 * min(depths)  # light from one side deepens one of them
            weight = float(np.clip(depth * 2.5 - 0.17, OLD_FOLD if old else 0, 0.8))
            weight *= (1 if fold else 0.7) * opacity
            if weight > 0.05:
                soft = 0.8 if scene.look.cel else 0.026 * u
                mask = scene.canvas.stroke(line, 0.030 * u * taper(30, 0.5, 0.5), soft)
                image = over(image, color, np.clip(weight * mask, 0, 1))
    return image
