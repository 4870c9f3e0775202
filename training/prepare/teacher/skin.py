"""Skin: one color a person, lit again by the face's normals, with each look's shadow shapes."""

import cv2
import numpy as np

from training.prepare.teacher.filters import (
    blur,
    dilate,
    lab_color,
    masked_blur,
    smoothstep,
    to_rgb,
)
from training.prepare.teacher.shapes import ellipse_polygon, over

TERMINATOR = -0.45  # shade at which soft light turns to shadow: warmest there
TWO_TONES = (-0.52, 0.08)


def skin_lab(base, shade: np.ndarray, name: str) -> np.ndarray:
    """Lab of skin at each pixel's shade.

    Args:
        base: Lab of the skin at shade 0.
        shade: (H, W), -1 deep shadow, 0 the base, 1 bright.
        name: the look.
    """
    light, a, b = base
    gain = 0.35 + 0.65 * min(light / 70, 1)
    warm = np.exp(-(((shade - TERMINATOR) / 0.3) ** 2))
    if name == "gouache":
        shade = gouache_steps(shade)
        warm = 0.5 * np.exp(-(((shade - TERMINATOR) / 0.3) ** 2))
    elif name != "film":
        low, high = TWO_TONES
        shade = low + (high - low) * smoothstep(shade, -0.49, -0.43)
        warm = 0
    dark, bright = np.clip(-shade, 0, 1.5), np.clip(shade, 0, 1.5)
    room, chroma = min(1, (97 - light) / 14), min(1, light / 62) ** 1.3
    out = np.empty((*shade.shape, 3), np.float32)
    out[..., 0] = light - 24 * gain * dark + 13 * gain * room * bright
    red, yellow = (9.0, -14.0) if name == "anime" else (4.0, 3.5)  # anime shadows are violet
    out[..., 1] = a + (red * dark + 3 * warm - 1.5 * bright) * chroma
    out[..., 2] = b + (yellow * dark + 3 * warm - 0.5 * bright) * chroma
    return out


def gouache_steps(shade: np.ndarray) -> np.ndarray:
    """Shade in five flat steps with edges of about a brush's softness."""
    out = np.full_like(shade, -0.85)
    for level, rise in ((-0.62, 0.35), (-0.28, 0.40), (0.08, 0.30), (0.42, 0.35)):
        out += rise * smoothstep(shade, level - 0.035, level + 0.035)
    return out


def fit_light(scene) -> None:
    """Sets `light` and `side`: least squares of L on the normals, pulled up and to one side."""
    chosen = scene.cheeks & (scene.oval > 0.9)
    count = int(chosen.sum())
    fit = np.array([0, -3, -6, 8.0])
    if count > 300:
        design = np.column_stack([np.ones(count), scene.normals[chosen]])
        ridge = np.diag([0, 1, 1, 1.0]) * 0.02 * count
        light = scene.lab[..., 0][chosen]
        fit = np.linalg.solve(design.T @ design + ridge, design.T @ light)
    strongest = 6 if scene.look.cel else 12
    pull = min(1, strongest / (np.hypot(*fit[1:3]) + 1e-6))
    x, y = fit[1:3] * pull + [np.sign(fit[1] + 1e-6) * 3, -5.0]
    scene.light = np.array([x, y, 16.0]) / np.linalg.norm([x, y, 16.0])
    scene.side = -1.0 if x <= 0 else 1.0


def measure_tone(scene) -> None:
    """Sets `base` and `tone`: Lab of the person's skin; the shade of a cap or lamp is not its."""
    cheeks = scene.cheeks.sum() > 200
    pixels = scene.lab[scene.cheeks] if cheeks else scene.lab[scene.oval > 0.9]
    light = pixels[:, 0]
    low, high = np.percentile(light, [35, 70])
    middle = pixels[(light >= low) & (light <= high)]
    yellow = np.percentile(middle[:, 2], 60)
    scene.base = np.array([np.median(middle[:, 0]), np.median(middle[:, 1]), yellow])
    low, high = np.percentile(light, [30, 78])
    scene.tone = pixels[(light >= low) & (light <= high)].mean(0)
    # Where light and shade differ much, the lit part shows the person's color; shine has less
    # color than skin in light.
    chroma = np.hypot(pixels[:, 1], pixels[:, 2])
    lit = light[chroma > 0.9 * np.median(chroma)]
    some, most = np.percentile(lit, [85, 95]) - light.mean()
    aim = light.mean() + np.clip(0.8 * some - 2, 0, 3.5)
    # Bright spots on dark skin are more often its sheen than the light.
    limit = float(np.interp(light.mean(), [40, 60], [1, 8]))
    aim += np.clip(max(1.1 * (some - 11), 0.7 * (most - 15)), 0, limit)
    near = pixels[(np.abs(light - aim) < 5) & (chroma > 0.9 * np.median(chroma))]
    if len(near) > 100 and aim > scene.tone[0]:
        scene.tone[1:] = near[:, 1:].mean(0)
        scene.base[1:] += scene.tone[1:] - middle[:, 1:].mean(0)
    scene.tone[0] = max(aim, min(scene.tone[0], light.mean() + 3.5))


def cast_shadows(scene) -> np.ndarray:
    """(H, W) darkness cast by jaw, hair and nose, in shade units; each look has its own shapes."""
    u, y, name, cel = scene.u, scene.face_y, scene.look.name, scene.look.cel
    soft, far = (0.02 if cel else 0.07) * u, -scene.side
    drop = 0.30 if name == "anime" else 0.20
    jaw = blur(scene.shifted(scene.oval, 0.05 * far, drop), soft)
    jaw = jaw * (1 - blur(scene.oval, 0.012 * u)) * smoothstep(y, scene.chin / 2, 0.8 * scene.chin)
    top = np.maximum(scene.hair, scene.cover)
    reach = {"anime": 0.15, "film": 0.07, "gouache": 0.07}.get(name, 0.09)
    hair = blur(scene.shifted(top, 0.03 * far, reach), (0.015 if cel else 0.06) * u)
    hair = np.clip(hair, 0, 1) * (1 - top) * smoothstep(-y, -scene.chin, 0.3 - scene.chin)
    shadow = 0.85 * jaw + (0.75 if cel else 0.45) * hair
    if not cel:
        for index, sign in ((64, -1), (294, 1)):
            wing = ellipse_polygon(scene.face_point(index, 0.02 * sign), 0.05 * u, 0.06 * u)
            shadow = shadow + 0.5 * blur(scene.canvas.polygon(wing), 0.05 * u)
    nose = scene.canvas.ellipse(scene.face_point(2, 0, 0.02), 0.11 * u, 0.03 * u, scene.angle)
    return shadow + (0.2 if cel else 0.35) * blur(nose, 0.03 * u)


def far_cheek(scene, width: float) -> np.ndarray:
    """(H, W) a crescent along the far side of the face, from nothing at the temple to `width`."""
    away = scene.u * scene.side * width * smoothstep(scene.face_y, -0.35, 0.45)
    columns, rows = (scene.columns - away).astype(np.float32), scene.rows.astype(np.float32)
    moved = cv2.remap(scene.oval, columns, rows, cv2.INTER_LINEAR)
    return smoothstep(blur(scene.oval * (1 - moved), 0.012 * scene.u), 0.35, 0.65)


def shade_skin(scene) -> np.ndarray:
    """(H, W) shade: Lambert on the face, the photo's own soft light elsewhere, less the shadows."""
    u, y, cel, name = scene.u, scene.face_y, scene.look.cel, scene.look.name
    light = scene.lab[..., 0]
    near = smoothstep(np.abs(light - scene.base[0]), 38, 24)
    low = masked_blur(light, scene.plain * near + 1e-4 * scene.raw_skin, 0.16 * u)
    lambert = scene.normals @ scene.light.astype(np.float32)
    level = float(np.median(lambert[scene.cheeks])) if scene.cheeks.any() else 0.85
    relief = (lambert - level) / 0.33
    photo = np.clip((low - scene.base[0]) / (0.30 * scene.base[0] + 8), -1.3, 1.0)
    face = np.maximum(blur(scene.oval, 0.03 * u), smoothstep(-y, 0.15, 0.5))
    if cel:  # a crisp shadow at the far edge of the face only, never down its middle
        far = far_cheek(scene, {"anime": 0.07, "comic": 0.24}.get(name, 0.17))
        shade = np.clip(0.4 * relief, -0.30, 0.4) * face
        shade = shade + (-0.65 - shade) * far
        shade = shade + (1 - face) * (0.3 * photo - 0.15)
    else:
        own = np.clip(0.48 * relief, -0.62, 0.5) + 0.22 * photo
        shade = own * face + (1 - face) * (0.5 * photo - 0.2)
    # Ears, hands and arms keep the photo's finer light.
    fine = masked_blur(light, (scene.raw_skin > 0.5) + 1e-3, 0.045 * u)
    detail = np.clip((fine - low) / (0.22 * scene.base[0] + 5), -0.6, 0.4)
    ear = smoothstep(y, -0.4, -0.1) * smoothstep(-y, -1.2, -0.9)
    apart = np.maximum(ear, smoothstep(y, scene.chin + 0.5, scene.chin + 0.9))
    shade = shade + (1 - face) * apart * detail
    return shade - cast_shadows(scene)


def match_tone(scene) -> None:
    """Sets `base` so that the painted face has the photographed face's mean color."""
    light, a, b = scene.base
    base = np.array([light + 3 + 2 * (light > 50), a, b * 1.12 + 1])
    deep = float(smoothstep(-scene.tone[0], -52, -36))
    bright = smoothstep(scene.tone[0], 62, 76)
    lift = 1.0 + 1.5 * bright - 3.0 * deep + (1.0 if scene.look.name == "anime" else 0)
    aim = scene.tone * [1, 1, 1 + 0.05 * deep] + [lift, 0.0, 0.5]
    shade = scene.shade[scene.cheeks] if scene.cheeks.sum() > 200 else np.zeros(1, np.float32)
    for _ in range(3):
        now = skin_lab(base, shade, scene.look.name).mean(0)
        base = base + (aim - now) * [1, 0.8, 0.8]
        base[1] = np.clip(base[1], 4, 0.8 * base[2] + 6)
    scene.base = base


def paint_skin(scene) -> np.ndarray:
    """RGB of skin everywhere; sets `shade` and `base`. Needs `fit_light` and `measure_tone`."""
    u, name = scene.u, scene.look.name
    scene.shade = shade_skin(scene)
    match_tone(scene)
    lab = skin_lab(scene.base, scene.shade, name)
    light = scene.base[0]
    if name == "film":  # a soft sheen on forehead, cheeks and chin
        half = scene.light + np.array([0, 0, 1])
        sheen = scene.normals @ (half / np.linalg.norm(half)).astype(np.float32)
        sheen = blur(np.clip(sheen, 0, 1) ** 36, 0.04 * u) * blur(scene.oval, 0.03 * u)
        sheen = sheen * smoothstep(scene.shade, -0.3, 0.3)
        lab[..., 0] += 10 * sheen * min(1, (97 - light) / 25)
        lab[..., 1] -= 1.5 * sheen
    gain = min(1, light / 62) ** 2
    nose = 0.7 if not scene.look.cel else 0.0
    for (first, second), radius, weight in (
        ((50, 205), 0.24, 1),
        ((280, 425), 0.24, 1),
        ((4, 4), 0.15, nose),
    ):
        spot = 0.6 * scene.points[first, :2] + 0.4 * scene.points[second, :2]
        away = np.hypot(scene.columns - spot[0], scene.rows - spot[1]) / (radius * u)
        fall = np.exp(-0.5 * away**2) if not scene.look.cel else smoothstep(-away, -1.5, -0.6)
        blush = gain * weight * fall
        lab[..., 1] += scene.look.blush * blush
        lab[..., 0] -= 1.2 * blush
    return to_rgb(lab)


def draw_freckles(scene, image: np.ndarray) -> np.ndarray:
    """Small round dark spots of the photo's cheeks and nose, if there are many of them."""
    u, light = scene.u, scene.lab[..., 0]
    if scene.portrait.photo_face_px < 200 or scene.beard is not None:
        return image
    smooth = blur(light, max(1.0, 0.011 * u))
    dy, dx = np.gradient(smooth)
    xx, xy, yy = np.gradient(dx, axis=1), np.gradient(dx, axis=0), np.gradient(dy, axis=0)
    # Both curvatures of a spot are high; of a fold or a lash only one is.
    spot = 0.5 * (xx + yy - np.sqrt((xx - yy) ** 2 + 4 * xy**2)) * (0.011 * u) ** 2
    zone = (scene.oval > 0.9) & (scene.face_y > 0.25) & (scene.face_y < scene.nose + 0.1)
    zone &= (dilate(scene.features, 0.12 * u) < 0.5) & (scene.hair < 0.1)
    found = (spot > 0.6) & zone & (spot >= cv2.dilate(spot, np.ones((5, 5), np.uint8)))
    rows, columns = np.nonzero(found)
    per_area = len(rows) * u**2 / max(1, int(zone.sum()))
    if len(rows) < 16 or per_area < 80:
        return image
    depth = spot[rows, columns]
    color = lab_color([scene.base[0] * 0.82, scene.base[1] + 6, scene.base[2] + 6])
    keep = np.argsort(-depth)[:60]
    outlines = [ellipse_polygon((columns[i], rows[i]), 0.012 * u, 0.011 * u) for i in keep]
    return over(image, color, 0.5 * scene.canvas.polygons(outlines, 0.8))
