"""Draws a photo as a cartoon by classical image processing, in one of several looks.

The stages: a landmark warp; bilateral flattening and soft luminance steps in CIELAB (Winnemöller et
al., "Real-time video abstraction", 2006); ink by differences of Gaussians smoothed along the flow
of edges (Kang et al., "Coherent line drawing", 2007).
"""

from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image

from training.prepare.brush import paint
from training.prepare.flow import along_flow, edge_flow


@dataclass(frozen=True)
class Look:
    """How a toon is drawn. Sizes without a unit are in inter-ocular distances of the face."""

    eyes: float = 1.4  # magnification at the center of each eye
    nose: float = 0.84
    mouth: float = 0.92
    jaw: float = 0.13  # share of the distance to the mid line that the jaw moves in
    passes: int = 4  # bilateral passes
    color_sigma: float = 22.0  # levels of 255 that the flattening treats as one tone
    detail_in_features: float = 0.6  # share of the unflattened image kept in eyes, brows, mouth
    tone_step: float = 20.0  # CIELAB L between two flat tones
    tone_steepness: float = 9.0  # steepness of the step; larger is harder
    tone_detail: float = 0.4  # share of the remaining light detail that is kept
    lift: float = 4.0  # CIELAB L added
    chroma: float = 1.2  # factor on a and b: color lifts, hue stays
    skin_chroma: float = 1.06  # the same on skin, which turns orange before anything else
    line: float = 0.75  # finer of the two blurs that find lines, px at a short side of 320
    ink: float = 0.85  # darkening of a full line, 1 is black
    ink_threshold: float = 1.3  # levels of 255 a dark line must stand out
    skin_ink: float = 0.35  # share of ink kept on plain skin, where wrinkles and stubble live
    speck: float = 0.4  # ink strokes shorter than this on skin are dropped
    ink_tone: float = 0.12  # a full line's share of the color it lies on
    silk: float = 0.0  # px at a short side of 320 over which colors run along edges
    skin_flat: float = 0.0  # share of plain skin that is flattened once more
    shine: float = 1.0  # share kept of skin's light above its own tone
    gamma: float = 1.0  # exponent on CIELAB L; below 1 is brighter
    tone_offset: float = 0.0  # where the first tone ends, in tones
    tone_share: float = 1.0  # share of the steps in the light, the rest stays smooth
    skin_tone_share: float = 1.0  # the same on skin, where a step is easily a patch
    cool: float = 0.0  # CIELAB b taken from full shadows off the skin
    glow: float = 0.0  # share of bright areas that bleeds into what is around them
    brushed: bool = False  # painted in dabs instead of drawn with ink


LOOKS = {
    "comic": Look(),
    "soft": Look(
        eyes=1.3, tone_step=14.0, tone_steepness=6.0, ink=0.6, ink_threshold=1.8, skin_ink=0.2
    ),
    "caricature": Look(eyes=1.8, nose=1.25, mouth=1.15, jaw=0.2),
    # Image-book people: large clean eyes, slim jaws, even tones, hardly a line.
    "storybook": Look(
        **dict(eyes=1.55, nose=0.78, mouth=0.9, jaw=0.17, passes=5, color_sigma=24.0),
        **dict(detail_in_features=0.75, tone_step=16.0, tone_steepness=6.0, skin_tone_share=0.5),
        **dict(lift=5.0, chroma=1.25, skin_chroma=1.1, silk=5.0, skin_flat=0.6, shine=0.6),
        **dict(ink=0.45, ink_threshold=1.6, skin_ink=0.12),
    ),
    # A comic book: black contours, few flat tones, strong color.
    "graphic": Look(
        **dict(eyes=1.45, nose=0.84, mouth=0.95, jaw=0.12, passes=6, color_sigma=30.0),
        **dict(detail_in_features=0.65, tone_step=24.0, tone_steepness=14.0, tone_detail=0.25),
        **dict(skin_tone_share=0.5, lift=5.0, chroma=1.35, skin_chroma=1.1, silk=7.0),
        **dict(skin_flat=0.9, shine=0.4, line=1.0, ink=0.9, ink_threshold=1.1, skin_ink=0.25),
        **dict(speck=0.6, ink_tone=0.06),
    ),
    # Clean cel colors in few tones, hair that runs in strands, thin colored lines, light air.
    "anime": Look(
        **dict(eyes=1.5, nose=0.72, mouth=0.86, jaw=0.16),
        **dict(passes=5, color_sigma=26.0, detail_in_features=0.75),
        **dict(
            tone_step=26.0, tone_steepness=16.0, tone_detail=0.35, tone_offset=0.35, tone_share=0.62
        ),
        **dict(lift=2.0, gamma=0.8, chroma=1.5, skin_chroma=1.12, cool=7.0, glow=0.28),
        **dict(silk=9.0, skin_flat=0.9, shine=0.3, skin_tone_share=0.3),
        **dict(line=0.62, ink=0.85, ink_threshold=1.0, skin_ink=0.22, speck=0.35, ink_tone=0.22),
    ),
    # Gouache: broad dabs of one color along the shapes, finer ones in the face.
    "gouache": Look(
        **dict(eyes=1.25, nose=0.9, mouth=0.96, jaw=0.07, passes=2, brushed=True),
        **dict(tone_step=16.0, tone_steepness=5.0, tone_detail=1.0, lift=4.0, shine=0.5),
        **dict(chroma=1.3, skin_chroma=1.08),
    ),
}


class FaceFrame:
    """Coordinates of a face: origin between the eyes, x along them, y down, in eye distances."""

    def __init__(self, points: np.ndarray):
        left, right, nose, mouth_left, mouth_right = np.asarray(points, np.float64)
        self.origin = (left + right) / 2
        self.unit = max(float(np.linalg.norm(right - left)), 1e-3)
        self.axis = (right - left) / self.unit
        self.down = np.array([-self.axis[1], self.axis[0]])
        self.left, self.right = self.place(left), self.place(right)
        self.nose = self.place(nose)
        self.mouth = self.place((mouth_left + mouth_right) / 2)
        # A face looking ahead has its nose under the middle of its eyes; warp turned ones less.
        turned = abs(self.nose[0]) / 0.5
        self.frontal = float(np.clip(1.25 - turned, 0.25, 1.0))

    def place(self, point) -> np.ndarray:
        """A point of the image (px) in the face's frame."""
        offset = np.asarray(point) - self.origin
        return np.array([offset @ self.axis, offset @ self.down]) / self.unit

    def grid(self, shape) -> tuple[np.ndarray, np.ndarray]:
        """Frame coordinates of every pixel of an image (H, W): two float32 arrays (H, W)."""
        rows, columns = np.mgrid[0 : shape[0], 0 : shape[1]].astype(np.float32)
        columns -= self.origin[0]
        rows -= self.origin[1]
        across = (columns * self.axis[0] + rows * self.axis[1]) / self.unit
        down = (columns * self.down[0] + rows * self.down[1]) / self.unit
        return across.astype(np.float32), down.astype(np.float32)


def falloff(distance: np.ndarray) -> np.ndarray:
    """Smooth weight: 1 at distance 0, 0 from distance 1 on, flat at both ends."""
    inside = np.clip(1 - distance**2, 0, 1)
    return inside**2


def warp(picture: np.ndarray, frames: list[FaceFrame], look: Look) -> np.ndarray:
    """Larger eyes, smaller nose and mouth, slimmer jaw; uint8 (H, W, 3) -> the same shape."""
    if not frames:
        return picture
    height, width = picture.shape[:2]
    source_y, source_x = np.mgrid[0:height, 0:width].astype(np.float32)
    for frame in frames:
        u, v = frame.grid(picture.shape)
        du, dv = np.zeros_like(u), np.zeros_like(v)
        spots = [
            (frame.left, look.eyes, 0.60),
            (frame.right, look.eyes, 0.60),
            (frame.nose, look.nose, 0.45),
            (frame.mouth, look.mouth, 0.60),
        ]
        for center, factor, radius in spots:
            weight = falloff(np.hypot(u - center[0], v - center[1]) / radius)
            du += (u - center[0]) * weight * (1 / factor - 1)
            dv += (v - center[1]) * weight * (1 / factor - 1)
        # The jaw: from the nose down past the chin, fading out sideways beyond the cheeks.
        chin = frame.mouth[1] + 0.75
        along = np.clip((v - frame.nose[1] * 0.6) / (chin - frame.nose[1] * 0.6), 0, None)
        weight = np.clip(along, 0, 1) ** 1.5 * falloff(np.clip(along - 1, 0, None) / 0.9)
        weight = weight * falloff(np.clip(np.abs(u) - 0.9, 0, None) / 1.1)
        du += u * weight * look.jaw
        shift = frame.unit * frame.frontal
        source_x += shift * (du * frame.axis[0] + dv * frame.down[0])
        source_y += shift * (du * frame.axis[1] + dv * frame.down[1])
    return cv2.remap(
        picture, source_x, source_y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101
    )


def feature_mask(shape, frames: list[FaceFrame]) -> np.ndarray:
    """1 on eyes with brows and on mouths, 0 elsewhere, soft: float32 (H, W)."""
    mask = np.zeros(shape[:2], np.float32)
    for frame in frames:
        u, v = frame.grid(shape)
        for center, radii, up in (
            (frame.left, (0.46, 0.36), 0.15),
            (frame.right, (0.46, 0.36), 0.15),
            (frame.mouth, (0.55, 0.28), 0.0),
        ):
            away = np.hypot((u - center[0]) / radii[0], (v - center[1] + up) / radii[1])
            mask = np.maximum(mask, np.clip(2.2 * (1.25 - away), 0, 1))
    return mask


def skin_mask(picture: np.ndarray, frames: list[FaceFrame]) -> np.ndarray:
    """1 on plain skin, 0 on eyes, brows, mouths and everything else: float32 (H, W).

    Skin is the oval of each face, and whatever within reach of it has the cheeks' color (ears,
    neck, hands by the face), found by CIELAB distance to the cheeks' median.
    """
    mask = np.zeros(picture.shape[:2], np.float32)
    if not frames:
        return mask
    lab = cv2.cvtColor(picture.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    for frame in frames:
        u, v = frame.grid(picture.shape)
        middle = frame.mouth[1] * 0.42
        away = np.hypot((u - 0.5 * frame.nose[0]) / 0.95, (v - middle) / 1.2)
        oval = np.clip(4 * (1.0 - away), 0, 1)
        cheeks = (np.abs(v - 0.55 * frame.mouth[1]) < 0.25) & (np.abs(u) < 0.75)
        if not cheeks.any():
            continue
        tone = np.median(lab[cheeks], axis=0)
        # Light varies far more over one skin than hue does.
        off = np.sqrt(((lab - tone) ** 2) @ np.array([0.12, 1.0, 1.0], np.float32))
        alike = np.clip(2 - off / 9, 0, 1) * np.clip(3.5 - np.hypot(u, v - 1), 0, 1)
        mask = np.maximum(mask, np.maximum(oval * np.clip(3 - off / 9, 0, 1), alike))
    return cv2.GaussianBlur(mask, (0, 0), 1.5) * (1 - feature_mask(picture.shape, frames))


def flatten(picture: np.ndarray, frames: list[FaceFrame], look: Look, unit: float) -> np.ndarray:
    """Even tones between strong edges, features kept crisp; uint8 (H, W, 3) -> the same shape."""
    flat = picture
    diameter = 2 * round(3 * unit) + 1
    for _ in range(look.passes):
        flat = cv2.bilateralFilter(flat, diameter, look.color_sigma, 5 * unit)
    keep = (feature_mask(picture.shape, frames) * look.detail_in_features)[..., None]
    return np.clip(flat + keep * (picture.astype(np.float32) - flat) + 0.5, 0, 255).astype(np.uint8)


def smooth_along_edges(
    flat: np.ndarray, skin: np.ndarray, frames: list[FaceFrame], look: Look, unit: float
) -> np.ndarray:
    """Colors run along edges, as strands of hair do, and skin goes flat; uint8 RGB -> uint8 RGB.

    Eyes, brows and mouths stay as they are.
    """
    gray = cv2.cvtColor(flat, cv2.COLOR_RGB2GRAY).astype(np.float32)
    flow = edge_flow(cv2.GaussianBlur(gray, (0, 0), 1.2 * unit), 2.5 * unit)
    plain = (1 - feature_mask(flat.shape, frames))[..., None]
    silk = flat.astype(np.float32)
    if look.silk:
        reach = round(look.silk * unit)
        run = [along_flow(np.ascontiguousarray(silk[..., c]), flow, reach) for c in range(3)]
        silk += (np.stack(run, -1) - silk) * plain
    if look.skin_flat and frames:
        smooth = np.clip(silk, 0, 255).astype(np.uint8)
        for _ in range(3):
            smooth = cv2.bilateralFilter(smooth, 2 * round(5 * unit) + 1, 24, 7 * unit)
        silk += (smooth - silk) * (look.skin_flat * skin)[..., None]
    return np.clip(silk + 0.5, 0, 255).astype(np.uint8)


def reduce_highlights(light: np.ndarray, skin: np.ndarray, frames: list[FaceFrame], look: Look):
    """CIELAB L (H, W) whose highlights on skin are pressed towards the skin's own tone."""
    for frame in frames:
        u, v = frame.grid(light.shape)
        near = np.clip(3 - np.hypot(u, v - 0.5), 0, 1)
        on_face = skin * (near > 0.5)
        if on_face.sum() < 1:
            continue
        tone = float(np.median(light[on_face > 0.5])) if (on_face > 0.5).any() else 100.0
        above = np.clip(light - tone, 0, None)
        light = (light - (1 - look.shine) * above * skin * near).astype(np.float32)
    return light


def posterize(
    picture: np.ndarray, skin: np.ndarray, frames: list[FaceFrame], look: Look, unit: float
) -> np.ndarray:
    """Light in soft steps and livelier color of the same hue; uint8 RGB -> uint8 RGB.

    `skin`: mask (H, W) in [0, 1] of what takes `skin_chroma` instead of `chroma`.
    """
    lab = cv2.cvtColor(picture.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    light = lab[..., 0]
    if look.shine < 1:
        light = reduce_highlights(light, skin, frames, look)
    if look.gamma != 1:
        light = 100 * np.clip(light / 100, 0, 1) ** look.gamma
    base = light
    for _ in range(2):
        base = cv2.bilateralFilter(base, 2 * round(3 * unit) + 1, 10, 5 * unit)
    position = base / look.tone_step + look.tone_offset
    whole = np.floor(position)
    step = 1 / (1 + np.exp(-look.tone_steepness * (position - whole - 0.5)))
    low, high = (
        1 / (1 + np.exp(look.tone_steepness / 2)),
        1 / (1 + np.exp(-look.tone_steepness / 2)),
    )
    stairs = look.tone_step * (whole + (step - low) / (high - low) - look.tone_offset)
    share = look.tone_share + (look.skin_tone_share - look.tone_share) * skin
    stairs = base + share * (stairs - base)
    lab[..., 0] = np.clip(stairs + look.tone_detail * (light - base) + look.lift, 0, 100)
    lab[..., 1:] *= (look.chroma + (look.skin_chroma - look.chroma) * skin)[..., None]
    if look.cool:
        shadow = np.clip((55 - lab[..., 0]) / 55, 0, 1) * (1 - skin)
        lab[..., 1] += 0.35 * look.cool * shadow
        lab[..., 2] -= look.cool * shadow
    return np.clip(cv2.cvtColor(lab, cv2.COLOR_LAB2RGB) * 255 + 0.5, 0, 255).astype(np.uint8)


def add_glow(picture: np.ndarray, skin: np.ndarray, look: Look, unit: float) -> np.ndarray:
    """Bright areas bleed into their surroundings, less so over skin; uint8 RGB -> uint8 RGB."""
    rgb = picture.astype(np.float32) / 255
    bright = np.clip((rgb.mean(-1, keepdims=True) - 0.62) / 0.38, 0, 1) * rgb
    halo = cv2.GaussianBlur(bright, (0, 0), 9 * unit) * (1 - 0.6 * skin[..., None])
    return np.clip(255 * (1 - (1 - rgb) * (1 - look.glow * halo)) + 0.5, 0, 255).astype(np.uint8)


def ink_lines(
    picture: np.ndarray, skin: np.ndarray, frames: list[FaceFrame], look: Look, unit: float
) -> np.ndarray:
    """How much ink falls on each pixel, 0 none to 1 full; uint8 RGB (H, W, 3) -> float32 (H, W)."""
    gray = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)
    fine, wide = (cv2.GaussianBlur(gray, (0, 0), look.line * s * unit) for s in (1.0, 2.2))
    dark = along_flow(wide - fine, edge_flow(fine, 2.0 * unit), reach=max(2, round(5 * unit)))
    lines = np.clip((dark - look.ink_threshold * (1 + skin)) / 3.0, 0, 1)
    if frames:
        shortest = look.speck * float(np.median([frame.unit for frame in frames]))
        _, labels, stats, _ = cv2.connectedComponentsWithStats((lines > 0.15).astype(np.uint8))
        extent = np.maximum(stats[:, cv2.CC_STAT_WIDTH], stats[:, cv2.CC_STAT_HEIGHT])
        speck = extent < shortest
        speck[0] = False  # label 0 is the blank paper
        dropped = speck[labels] & (cv2.dilate(skin, np.ones((5, 5))) > 0.3)
        keep = cv2.GaussianBlur(1 - dropped.astype(np.float32), (0, 0), 0.6 * unit)
        lines = lines * keep * (1 - (1 - look.skin_ink) * skin)
    return lines


def draw(photo: Image.Image, points: list[np.ndarray], look: Look = LOOKS["comic"]) -> Image.Image:
    """The cartoon of an upright RGB photo, same size.

    `points`: five (x, y) in px of the photo for each face; none is fine (a scene: no warp).
    Line width and tones are made for a short side of 320 px and grow with the image.
    """
    picture = np.asarray(photo)
    unit = min(photo.size) / 320
    frames = [FaceFrame(face) for face in points]
    warped = warp(picture, frames, look)
    flat = flatten(warped, frames, look, unit)
    skin = skin_mask(flat, frames)
    if look.silk or look.skin_flat:
        flat = smooth_along_edges(flat, skin, frames, look, unit)
    colored = posterize(flat, skin, frames, look, unit)
    if look.glow:
        colored = add_glow(colored, skin, look, unit)
    if look.brushed:
        return Image.fromarray(paint(colored, feature_mask(colored.shape, frames), skin, unit))
    colored = colored.astype(np.float32)
    lines = ink_lines(flat, skin, frames, look, unit)[..., None] * look.ink
    # Ink is a dark shade of what it lies on, so contours of fair hair are brown, not black.
    drawn = colored * (1 - lines) + (look.ink_tone * colored) * lines
    return Image.fromarray(np.clip(drawn + 0.5, 0, 255).astype(np.uint8))
