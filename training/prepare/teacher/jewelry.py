"""Earrings and necklaces: small spots on lobes and neck that are not skin, kept as flat shapes."""

import cv2
import numpy as np

from training.prepare.teacher.filters import blur, components, dilate, masked_blur, smoothstep
from training.prepare.teacher.shapes import over

SMALLEST, LARGEST = 0.003, 0.05  # squared units


def draw_jewelry(scene, image: np.ndarray) -> np.ndarray:
    """Lays the photo's jewelry over the image in flat color."""
    u, lab, canvas = scene.u, scene.lab, scene.canvas
    lobes = canvas.zeros()
    for index, sign in ((177, -1), (401, 1)):
        center = scene.face_point(index, 0.13 * sign, 0.02)
        lobes = np.maximum(lobes, canvas.ellipse(center, 0.15 * u, 0.26 * u))
    lobes = lobes * (1 - smoothstep(scene.oval, 0.4, 0.6)) * scene.person * (1 - scene.hair)
    neck = scene.skin * (scene.face_y > scene.chin + 0.05) * (1 - scene.oval)
    around = masked_blur(lab, np.maximum(scene.skin, 1e-3), 0.12 * u)
    offset = lab - around
    hue = np.hypot(offset[..., 1], offset[..., 2])
    away = np.hypot(0.7 * offset[..., 0], hue)
    on_lobe = (away > 17) & (lobes > 0.5)
    # On the neck, lit or shaded skin is no jewelry.
    on_neck = (away > 18) & (hue > 9) & (neck > 0.5) & (offset[..., 0] > 4)
    found = (on_lobe | on_neck).astype(np.uint8)
    found = cv2.morphologyEx(found, cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))
    other = (scene.clothes > 0.5) | (scene.hair > 0.5) | (scene.person < 0.5)
    edge = dilate(other, 5) > 0
    kept = canvas.zeros()
    for part, area in components(found):
        if SMALLEST < area / u**2 < LARGEST and edge[part].mean() < 0.45:
            kept = np.maximum(kept, part)
    kept = blur(kept, 0.9)
    flat = masked_blur(scene.rgb, kept + 1e-4, 0.02 * u)
    return over(image, flat, smoothstep(kept, 0.3, 0.6))
