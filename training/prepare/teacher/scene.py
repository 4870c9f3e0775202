"""The picture being drawn: the photo and its masks in the drawing's proportions."""

import cv2
import numpy as np

from training.prepare.teacher.face_mesh import (
    CHIN,
    EYES,
    LIP_OUTER_LOWER,
    LIP_OUTER_UPPER,
    NOSE_BASE,
    OVAL,
    FaceFrame,
)
from training.prepare.teacher.filters import (
    blur,
    components,
    dilate,
    shift,
    smoothstep,
    tidy,
    to_lab,
)
from training.prepare.teacher.looks import Look
from training.prepare.teacher.portrait import Portrait
from training.prepare.teacher.shapes import Canvas
from training.prepare.teacher.warp import FaceWarp, caricature, eye_ratios, surface_normals


class Scene:
    """A portrait in a look's proportions. All masks and pictures are (H, W) of the canvas.

    Attributes:
        points: (478, 3) landmarks of the drawing.
        rgb, lab: the photo, warped.
        u: px of the face's unit.
        face_x, face_y: face coordinates of each pixel; `middle` is the face's mid line.
        person, hair, skin, clothes, cover: masks with smooth edges.
        oval, lips, features: face, lips, and eyes, brows and lips widened.
        plain: skin that shows the skin's color; `cheeks` the part of it in the upper face.
        normals: of the face, (H, W, 3).
        side: -1 or 1, the picture's side from which the light comes.
        tone, base: the skin's color in Lab, as photographed and as painted.

    Args:
        portrait: what was measured in the photo.
        look: proportions and hand.
    """

    def __init__(self, portrait: Portrait, look: Look):
        self.portrait, self.look = portrait, look
        self.canvas = Canvas(portrait.rgb.shape)
        self.points = caricature(portrait.points, look)
        self.ratios = eye_ratios(portrait.points)
        self.warp = FaceWarp(portrait.points, self.points, self.canvas.shape)
        self.rgb = self.warp(portrait.rgb, cubic=True).clip(0, 1)
        self.lab = to_lab(self.rgb)
        self.frame = FaceFrame(self.points)
        self.u, self.angle = self.frame.unit, self.frame.angle
        self.rows, self.columns = np.mgrid[0 : self.canvas.shape[0], 0 : self.canvas.shape[1]]
        face = self.frame.to_face(np.stack([self.columns, self.rows], -1)).astype(np.float32)
        self.face_x, self.face_y = face[..., 0], face[..., 1]
        self.chin = float(self.frame.to_face(self.points[CHIN])[1])
        self.nose = float(self.frame.to_face(self.points[NOSE_BASE])[1])
        self.middle = float(self.frame.to_face(self.points[OVAL]).mean(0)[0])
        self.oval = self.canvas.polygon(self.points[OVAL, :2], 1.0)
        self.features, self.lips = self.feature_masks()
        self.place_masks()
        self.plain = (self.raw_skin > 0.6) * (1 - self.features)
        self.plain = (self.plain * (0.02 + smoothstep(self.oval, 0.3, 0.9))).astype(np.float32)
        upper = (self.face_y > -0.9) & (self.face_y < self.nose + 0.15) & (self.hair < 0.5)
        self.cheeks = (self.plain > 0.5) & upper
        self.normals = surface_normals(self.points, 0.30 if look.cel else 0.12, self.canvas.shape)
        self.side = -1.0
        self.tone = self.base = np.array([65.0, 12.0, 16.0])

    def feature_masks(self) -> tuple[np.ndarray, np.ndarray]:
        """Eyes, brows and lips, widened; and the lips."""
        mask = self.canvas.zeros()
        for eye in EYES:
            for upper, lower in ((eye.brow_upper, eye.brow_lower), (eye.upper, eye.lower)):
                outline = np.vstack([self.points[upper, :2], self.points[lower[::-1], :2]])
                mask = np.maximum(mask, self.canvas.polygon(outline, 0))
        outline = [self.points[LIP_OUTER_UPPER, :2], self.points[LIP_OUTER_LOWER[::-1], :2]]
        lips = self.canvas.polygon(np.vstack(outline), 0)
        return dilate(np.maximum(mask, lips), 0.09 * self.u), lips

    def place_masks(self) -> None:
        """Warps and smooths the masks."""
        masks, u = self.portrait.masks, self.u
        self.raw_skin = self.warp(masks.skin)
        self.hair_probability = self.warp(masks.hair_probability)
        raw_hair = self.warp(masks.hair)
        colors = self.lab[raw_hair > 0.6]
        pale = len(colors) > 200 and np.median(colors[:, 0]) > 55
        hair = tidy(raw_hair, u, 0.22, 0.04 if pale else 0.018)
        # A hairline is a smooth curve.
        above = smoothstep(-self.face_y, 0.15, 0.4) * blur(dilate(self.oval, 0.3 * u), 0.1 * u)
        hair = hair + (tidy(raw_hair, u, 0.30, 0.055) - hair) * above
        cover = tidy(self.warp(masks.cover), u, 0.2, 0.025)
        self.person = tidy(np.maximum(self.warp(masks.person), hair), u, 0.3, 0.016)
        self.cover = cover * (1 - hair)
        self.clothes = tidy(self.warp(masks.clothes), u, 0.22, 0.02)
        self.hair = np.minimum(hair, self.person)
        self.skin = self.person * (1 - self.clothes) * (1 - cover)
        self.skin = np.maximum(self.skin, self.oval * (1 - cover)) * (1 - self.hair)
        hue = np.median(colors[:, 1:], 0) if len(colors) > 200 else np.array([5, 8])
        self.give_scraps_to_hair(hue)
        self.skin = self.skin * (1 - self.hair)
        self.drop_slivers()
        # No hair lies about the chin: that is a beard, which is drawn on skin.
        x, y = np.abs(self.face_x - self.middle), self.face_y
        chin = smoothstep(0.6 - x, 0, 0.1) * smoothstep(y, 0.7 * self.chin, 0.8 * self.chin)
        chin = chin * smoothstep(self.chin + 0.35 - y, 0, 0.1) * self.hair
        self.hair = self.hair - chin
        self.skin = np.minimum(self.skin + chin, self.person)

    def give_scraps_to_hair(self, hair_hue) -> None:
        """Small parts of clothes or skin between hair become hair: shade, ends of strands."""
        u = self.u
        for part, area in components(self.clothes):
            if area >= 0.2 * u**2:
                continue
            ring = (dilate(part, 9) > 0) & ~part
            hue = np.median(self.lab[part], 0)[1:]
            if self.hair[ring].mean() > 0.2 and np.linalg.norm(hue - hair_hue) < 14:
                grown = blur(part.astype(np.float32), 0.8) * self.person
                self.hair = np.maximum(self.hair, grown)
                self.clothes = self.clothes * ~part
        self.skin = self.skin * (1 - self.hair)
        for part, area in components(self.skin):
            if area >= 0.25 * u**2 or self.oval[part].max() >= 0.5:
                continue
            ring = (dilate(part, 9) > 0) & ~part
            if self.hair[ring].mean() > 0.45:
                grown = blur(dilate(part, 5), 0.8) * self.person
                self.hair = np.maximum(self.hair, grown)

    def drop_slivers(self) -> None:
        """Narrow or lone parts of skin between hair and clothes become what lies nearer."""
        u = self.u
        binary = (self.skin > 0.5).astype(np.uint8)
        disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (int(0.14 * u) | 1,) * 2)
        core = cv2.morphologyEx(binary, cv2.MORPH_OPEN, disc)
        thin = (binary > core) & (self.oval < 0.5) & (self.face_y > self.chin - 0.5)
        for part, area in components(core):
            if area < 0.12 * u**2 and self.oval[part].max() < 0.5:
                thin |= part & (self.face_y > self.chin - 0.2) & (self.clothes_near(part) > 0.3)
        to_hair = cv2.distanceTransform((self.hair < 0.5).astype(np.uint8), cv2.DIST_L2, 5)
        to_cloth = cv2.distanceTransform((self.clothes < 0.5).astype(np.uint8), cv2.DIST_L2, 5)
        thin &= np.minimum(to_hair, to_cloth) < 0.12 * u
        # Narrow skin away from hair and clothes is a finger or the side of a neck.
        shoulder = (np.abs(self.face_x) > 0.7) & (self.face_y > self.chin) & (to_cloth < 0.12 * u)
        both = thin & ((np.maximum(to_hair, to_cloth) < 0.30 * u) | shoulder)
        hair = blur(tidy(both & (to_hair < to_cloth), u, 0.0, 0.01), 0.8) * self.person
        self.hair = np.maximum(self.hair, hair)
        taken = blur(dilate(both, 3), 0.8)
        self.skin = self.skin * (1 - taken) * (1 - self.hair)
        self.clothes = np.maximum(self.clothes, taken * (1 - self.hair))

    def clothes_near(self, part: np.ndarray) -> float:
        """Share of clothes around a part."""
        ring = (dilate(part, 9) > 0) & ~part
        return float(self.clothes[ring].mean())

    @property
    def body(self) -> np.ndarray:
        """The person with its hair."""
        return np.maximum(self.person, self.hair)

    def face_point(self, index: int, dx: float = 0.0, dy: float = 0.0) -> np.ndarray:
        """A landmark in px, moved by (dx, dy) face units along the face's axes."""
        return self.points[index, :2] + self.u * (dx * self.frame.x + dy * self.frame.y)

    def shifted(self, mask: np.ndarray, dx: float, dy: float) -> np.ndarray:
        """A mask moved by (dx, dy) units along the picture's axes."""
        return shift(mask, dx * self.u, dy * self.u)

    def resized(self, image: np.ndarray, scale: float) -> np.ndarray:
        """An image reduced by area."""
        return cv2.resize(
            image.astype(np.float32), None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA
        )
