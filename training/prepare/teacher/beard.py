"""Beard and moustache: darker or grayer, duller and rougher than the cheeks; judged apart."""

from dataclasses import dataclass

import numpy as np

from training.prepare.teacher.filters import blur, dilate, masked_blur, smoothstep, to_rgb


@dataclass
class Beard:
    """Where a beard grows.

    Args:
        mask: (H, W) in [0, 1], with soft edges.
        color: (H, W, 3) Lab.
        opacity: (H, W) by the strength of the evidence.
    """

    mask: np.ndarray
    color: np.ndarray
    opacity: np.ndarray


class BeardEvidence:
    """How dark, colorless and rough each pixel is against the cheeks.

    Args:
        scene: the picture, its skin painted (`tone`, `shade`).
    """

    def __init__(self, scene):
        u, lab, y = scene.u, scene.lab, scene.face_y
        free = 1 - 0.999 * dilate(scene.lips, 5)
        self.lab = masked_blur(lab, free, 0.03 * u)
        x = np.abs(scene.face_x - scene.middle)
        cheek = scene.cheeks & (y > -0.05) & (x < 0.75) & (scene.features < 0.5)
        fine = blur(np.abs(lab[..., 0] - blur(lab[..., 0], 0.02 * u)), 0.03 * u)
        texture = 9 * np.log(1 + fine)
        near = (cheek & (y > scene.nose - 0.35)).astype(np.float32) + 1e-4
        lit = masked_blur(lab[..., 0], near, 0.35 * u)
        expected = 0.5 * (scene.tone[0] + 12 * np.clip(scene.shade, -0.6, 0.5)) + 0.5 * lit
        if cheek.sum() > 100:
            self.cheek, level = np.median(self.lab[cheek], 0), float(np.median(texture[cheek]))
        else:
            self.cheek, level = scene.tone, float(texture.mean())
        chroma = np.hypot(*self.cheek[1:])
        self.dark = (expected - self.lab[..., 0]) / (0.22 * scene.tone[0] + 5)
        own = np.hypot(self.lab[..., 1], self.lab[..., 2])
        self.dull = (chroma - own) / (0.45 * chroma + 2)
        self.rough = (texture - level) / 5
        rough = np.clip(blur(self.rough, 0.04 * u), -0.6, 1)
        dull = np.clip(self.dull, 0, 1)
        self.colored = np.clip(self.dark, -0.3, 1.2) + 0.7 * dull + 0.5 * rough
        self.white = 0.9 * dull + 0.5 * np.clip(-self.dark, 0, 1) + 0.5 * rough


def find_beard(scene) -> Beard | None:
    """The beard of a scene; None for a clean or hardly unshaven face."""
    u, x, y = scene.u, np.abs(scene.face_x - scene.middle), scene.face_y
    evidence = BeardEvidence(scene)
    right, left, top, bottom, line = scene.frame.to_face(scene.points[[61, 291, 0, 17, 13]])
    half = 0.5 * (left[0] - right[0])
    lips = dilate(scene.lips, 0.02 * u)
    parts = {
        "chin": (scene.oval > 0.5) & (y > bottom[1] + 0.04) & (x < 0.8),
        "moustache": (y > scene.nose + 0.04) & (y < line[1]) & (x < 1.05 * half) & (lips < 0.1),
    }
    cheek_line = line[1] - 0.10 - 0.45 * np.clip(x - half, 0, 1)
    grows = {
        "moustache": (x < 1.45 * half) & (y < line[1] + 0.12),
        "chin": ((y > top[1] + 0.02) | (x > half)) & (y > cheek_line),
    }
    allowed, force, pale = scene.canvas.zeros(), 0.0, False
    grown = set()
    for name in ("chin", "moustache", "chin"):  # the chin again: a moustache makes a beard likely
        zone = parts[name]
        if zone.sum() < 50:
            continue
        colored, white, rough, dull = (
            float(value[zone].mean())
            for value in (evidence.colored, evidence.white, evidence.rough, evidence.dull)
        )
        is_white = white > 1.0 and (rough > 0.35 or dull > 0.75) and dull > 0.45
        if name == "chin" and grown:
            is_colored = max(colored, white) > 0.6 and rough > 0.25
            is_white |= is_colored and white > colored
        elif name == "chin":
            is_colored = colored > 0.62 and rough > 0.25 and colored + rough > 1.15
        elif grown:
            is_colored = colored > 0.75
        else:  # the shade under a nose is dark, but smooth
            is_colored = colored > 0.95 and rough > (0.75 if scene.tone[0] < 50 else 0.5)
        if not is_colored and not is_white:
            continue
        grown.add(name)
        force = max(force, float(np.clip((colored - 0.40) / 0.85, 0.3, 1)))
        if is_white:
            force = max(force, float(np.clip((white - 0.6) / 0.45, 0.3, 1)))
        pale = pale or (is_white and white > max(1.0, colored))
        value = evidence.white if is_white and white >= colored else evidence.colored
        allowed = np.maximum(allowed, value * grows[name])
    return shape_beard(scene, evidence, allowed, force, pale) if allowed.any() else None


def shape_beard(scene, evidence: BeardEvidence, allowed, force: float, pale: bool):
    """A beard with a clean edge and its colors; None if too little of it is left."""
    u, y, look = scene.u, scene.face_y, scene.look
    low = ((scene.face_x - scene.middle) / 0.58) ** 2 + ((y - scene.chin) / 0.32) ** 2 < 1
    known = smoothstep(scene.raw_skin + scene.hair_probability, 0.3, 0.7)
    reach = np.maximum(scene.oval, known * ((y > scene.chin - 0.15) & low))
    zone = smoothstep(y, scene.nose - 0.10, scene.nose + 0.15) * dilate(reach, 0.06 * u)
    zone = zone * (1 - scene.hair)
    free = 1 - 0.999 * dilate(scene.lips, 9)
    strong = smoothstep(masked_blur(allowed, free, 0.035 * u), 0.42, 0.85) * zone
    joined = blur(np.maximum(strong, scene.hair), 0.06 * u)
    mask = blur(smoothstep(joined, 0.40, 0.50), 0.008 * u) * (1 - scene.hair)
    sure = (strong > 0.5) & (y > scene.nose + 0.1) & (dilate(scene.lips, 0.02 * u) < 0.1)
    if sure.sum() < 60:
        return None
    color = np.median(scene.lab[sure], 0)
    if pale:
        color = np.array([max(color[0], scene.base[0] + 13), 0.4 * color[1], 0.4 * color[2]])
    detail = evidence.lab[..., 0]
    detail = detail - masked_blur(detail, mask + 1e-3, 0.3 * u)
    if look.cel:
        light = np.clip(color[0] * 0.95 + 4 * np.sign(detail) * (np.abs(detail) > 3), 4, 92)
    else:
        light = np.clip(color[0] + 0.9 * detail + 5 * scene.shade, 3, 95)
    lab = np.empty((*mask.shape, 3), np.float32)
    lab[..., 0], lab[..., 1:] = light, color[1:]
    contrast = np.clip((np.linalg.norm(color - evidence.cheek) - 4) / 20, 0.15, 1)
    return Beard(mask, lab, 0.92 * force * mask * contrast)


def paint_beard(scene, image: np.ndarray) -> np.ndarray:
    """Lays the scene's beard over the image."""
    if scene.beard is None:
        return image
    opacity = scene.beard.opacity[..., None]
    return image * (1 - opacity) + to_rgb(scene.beard.color) * opacity
