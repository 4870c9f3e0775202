"""Hair in a few tones that run along the photo's flow, with a band of light."""

import cv2
import numpy as np

from training.prepare.teacher import hair_kinds
from training.prepare.teacher.filters import (
    blur,
    blur_along,
    erode,
    masked_blur,
    smoothstep,
    to_rgb,
)
from training.prepare.teacher.locks import draw_locks, point_tips


def measure_color(scene) -> np.ndarray:
    """Lab (3,) of the hair away from its edge, without the cast of a blue background."""
    inside = (erode(scene.hair, 0.06 * scene.u) > 0.9) & (scene.face_y < scene.chin)
    if inside.sum() <= 200:
        inside = scene.hair > 0.6
    if inside.sum() <= 200:
        return np.array([20.0, 4, 6])
    color = np.median(scene.lab[inside], axis=0).astype(float)
    color[[0, 2]] = np.percentile(scene.lab[inside][:, [0, 2]], 60, axis=0)
    if np.hypot(*color[1:]) < 11:  # hair is never bluish by itself; dyed hair is more colorful
        cast = np.clip((2 - color[2]) / 5, 0, 1)
        color[1] = max(color[1] - 2.5 * cast, min(color[1], 0.3))
        color[2] += (0.5 * color[1] + 0.5 - color[2]) * cast
    return color


def is_gray(color) -> bool:
    """Whether a Lab color is that of gray or white hair; dull brown hair is darker."""
    return bool(np.hypot(*color[1:]) < np.interp(color[0], [36, 60], [2.5, 6.0]) and color[0] > 30)


def run_along(scene) -> np.ndarray:
    """Lab (H, W, 3) of the hair, smeared along its flow at half size."""
    u, hair = scene.u, scene.hair
    direction = hair_kinds.flow(scene, 0.07)
    half = [scene.resized(part, 0.5) for part in direction]
    run = blur_along(
        scene.resized(scene.lab, 0.5),
        half,
        int(0.045 * u),
        scene.resized(hair > 0.4, 0.5) + np.float32(1e-3),
    )
    run = cv2.resize(run, hair.shape[::-1], interpolation=cv2.INTER_CUBIC)
    return masked_blur(run, hair + 1e-3, 0.010 * u)


def light_band(scene, detail: np.ndarray) -> np.ndarray:
    """(H, W) a band of light about the head, between outline and face; `detail` bends it."""
    u, y = scene.u, scene.face_y
    x = scene.face_x - scene.middle
    body = (scene.body > 0.5).astype(np.uint8)
    to_edge = cv2.distanceTransform(body, cv2.DIST_L2, 5)
    face = np.maximum(scene.oval, scene.skin * (y < scene.chin)) < 0.5
    to_face = cv2.distanceTransform(face.astype(np.uint8), cv2.DIST_L2, 5)
    depth = blur(to_edge / (to_edge + to_face + 1), 0.05 * u)
    where = smoothstep(-y, -0.1, 0.6) * smoothstep(to_edge + to_face, 0.18 * u, 0.4 * u)
    if scene.look.name == "anime":  # a zigzag of spikes, broken off away from the light
        angle = np.arctan2(x, 0.3 - y)
        turn = angle * 8 + 0.6 * detail
        saw = np.abs((turn / np.pi) % 2 - 1)
        lit = smoothstep(angle * scene.side, -1.1, -0.2) * smoothstep(
            -angle * scene.side, -1.5, -0.9
        )
        high = 0.02 + 0.15 * saw - 0.16 * (1 - lit)
        low = -0.05 - 0.13 * np.abs(((turn + 1.1) / np.pi) % 2 - 1) ** 2 + 0.13 * (1 - lit)
        off = depth - 0.52
        band = smoothstep(off - low, -0.01, 0.01) * smoothstep(high - off, -0.01, 0.01) * where
    else:
        lit = 0.5 + 0.5 * smoothstep(x * scene.side, -0.3, 0.6)
        band = np.exp(-(((depth - 0.45 - 0.05 * detail) / 0.10) ** 2)) * where * lit
        if scene.look.cel:
            band = 0.8 * smoothstep(band * (0.75 + 0.35 * np.clip(detail, -1, 1)), 0.42, 0.48)
    return band * (1 - 0.7 * scene.portrait.hair.curl)


def tone_steps(scene, low: np.ndarray, detail: np.ndarray) -> np.ndarray:
    """(H, W) tone of the hair: two flat tones if cel, else four with crisp edges."""
    x, y = scene.face_x - scene.middle, scene.face_y
    away = np.hypot(x / 1.35, (y - 0.35) / 1.75)
    volume = np.clip((low - scene.hair_lab[0]) / 22, -1, 1) * 0.6
    volume = volume - 0.35 * smoothstep(away, 1.05, 1.5) + 0.1
    value = 0.55 * detail * (1 - 0.6 * scene.portrait.hair.curl) + volume
    if scene.look.cel:
        return -0.85 + 1.0 * smoothstep(value + 0.12, -0.36, -0.30)
    steps = 0.9 * smoothstep(value, -0.62, -0.50) + 0.75 * smoothstep(value, -0.08, 0.03)
    return -1 + steps + 0.6 * smoothstep(value, 0.40, 0.50)


def local_hue(scene, run: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(H, W, 2) the hair's own a, b at each place, and (H, W, 1) where it is dyed."""
    u, hair, color = scene.u, scene.hair, scene.hair_lab
    local = masked_blur(run[..., 1:], hair + 1e-3, 0.25 * u)
    away = np.hypot(local[..., 0] - color[1], local[..., 1] - color[2])
    bare = np.linalg.norm(local - scene.tone[1:].astype(np.float32), axis=-1)
    dyed = (smoothstep(away, 9, 18) * (bare > 0.5 * away))[..., None]  # skin shines through
    behind = (scene.person < 0.3) & (hair < 0.3)
    if behind.sum() > 2000:  # unless it is the background that shines through
        ground = np.median(scene.lab[behind], 0)[1:]
        if np.linalg.norm(ground - color[1:]) > 15:
            to_ground = np.linalg.norm(local - ground, axis=-1)
            through = to_ground < 0.8 * np.linalg.norm(local - color[1:], axis=-1)
            through = blur(through.astype(np.float32), 0.03 * u)[..., None]
            dyed = dyed * (1 - through)
            local = local * (1 - through) + color[1:].astype(np.float32) * through
    return local, dyed


def hair_lab(scene, tone, band, detail, run) -> tuple[np.ndarray, float]:
    """Lab (H, W, 3) of the painted hair, and the step between its tones in L."""
    color, name, cel = scene.hair_lab, scene.look.name, scene.look.cel
    step = 5.5 + 0.19 * color[0]
    base = color[0]
    glow = 13 + 0.14 * base + 5 * (name == "anime")
    shine = band if cel else band * (0.6 + 0.4 * smoothstep(detail, -0.5, 0.6))
    light = base + step * (tone + 0.15) + glow * shine
    if name == "comic":  # spotted blacks: dark hair is ink with a few lights
        ink = 5 + 0.3 * base * smoothstep(tone, 0.0, 0.2) * (detail > 0.35) + (16 + base) * shine
        light = light + (ink - light) * inked(color)
    local, dyed = local_hue(scene, run)
    ab = (0.5 * color[1:] + 0.5 * local) * (1 - dyed) + 1.05 * local * dyed
    ab[..., 0] += 2.0 * np.clip(-tone, 0, 1)
    if name == "anime":  # the light on black hair is violet, on other hair warm
        black = 1 - smoothstep(color[0], 16, 34)
        hue = np.array([5.0, -17.0]) * black + np.array([1.0, 6.0]) * (1 - black)
        ab = ab + hue * np.clip(shine, 0, 1)[..., None]
    lab = np.empty((*tone.shape, 3), np.float32)
    lab[..., 0], lab[..., 1:] = np.clip(light, 3, 97), ab
    return match_color(scene, lab, dyed[..., 0]), step


def inked(color) -> float:
    """How far a comic's hair of this Lab color is solid black, in [0, 1]."""
    return float(smoothstep(-color[0], -30, -20))


def match_color(scene, lab: np.ndarray, dyed: np.ndarray) -> np.ndarray:
    """Painted hair moved so that its median is the photo's; anime's is lighter and clearer."""
    name, aim = scene.look.name, scene.hair_lab.copy()
    inside = (scene.hair > 0.8) & (dyed < 0.5)
    if inside.sum() < 200:
        return lab
    fair = float(smoothstep(aim[0], 30, 45) * smoothstep(aim[2], 5, 12))
    aim[1:] *= 1.08 + 0.12 * max(fair, name == "anime")
    aim[0] += 5 if name == "anime" else 0
    offset = aim - np.median(lab[inside], 0)
    if name == "comic":
        offset[0] *= 1 - inked(scene.hair_lab)
    lab += offset.astype(np.float32) * (1 - dyed[..., None])
    lab[..., 0] = np.clip(lab[..., 0], 3, 97)
    return lab


def paint_hair(scene) -> np.ndarray:
    """RGB of the hair everywhere; sets `hair_lab` and may change the hair's outline."""
    u, hair = scene.u, scene.hair
    scene.hair_lab = measure_color(scene)
    run = run_along(scene)
    low = masked_blur(run[..., 0], hair + 1e-3, 0.30 * u)
    spread = np.sqrt(masked_blur((run[..., 0] - low) ** 2, hair + 1e-3, 0.5 * u)) + 1.0
    detail = (run[..., 0] - low) / (1.6 * spread)
    tone, band = tone_steps(scene, low, detail), light_band(scene, detail)
    lab, step = hair_lab(scene, tone, band, detail, run)
    image, kind, name = to_rgb(lab), scene.portrait.hair.kind, scene.look.name
    if kind == hair_kinds.CURLS:
        image = hair_kinds.draw_curls(scene, image, lab, step)
    elif kind == hair_kinds.BRAIDS:
        image = hair_kinds.draw_braids(scene, image, lab, step)
    elif name == "anime":
        image = draw_locks(scene, image, lab, step)
        scene.hair = point_tips(scene)
    elif name != "comic" or inked(scene.hair_lab) < 0.5:
        image = hair_kinds.draw_strands(scene, image, lab, step)
    return image
