"""Clothes, glasses and headwear of a portrait."""

import numpy as np

from training.prepare.heads.fitting.colors import fit_cloth, to_hex
from training.prepare.teacher.filters import erode
from training.prepare.teacher.portrait import Portrait
from training.prepare.teacher.shapes import Canvas, sample

MIN_COVER = 0.25  # squared units of the face


class Outfit:
    """Positions of a portrait's pixels against its face, in units."""

    def __init__(self, portrait: Portrait):
        self.portrait = portrait
        rows, columns = np.mgrid[0 : portrait.rgb.shape[0], 0 : portrait.rgb.shape[1]]
        face = portrait.frame.to_face(np.stack([columns, rows], -1))
        self.points = portrait.frame.to_face(portrait.points)
        self.x = np.abs(face[..., 0] - self.points[:468, 0].mean())
        self.y = face[..., 1]
        self.chin = self.points[152, 1]

    def clothes(self, drawn: str) -> tuple[str, dict[str, str]]:
        """Kind and colors of the clothes; `drawn` is the kind where it cannot be told."""
        below = self.y > self.chin + 0.3
        outer = fit_cloth(self.portrait, below & (self.x > 0.75))
        inner = fit_cloth(self.portrait, below & (self.x < 0.4))
        if outer is None and inner is None:
            return drawn, {}
        outer = inner if outer is None else outer
        inner = outer if inner is None else inner
        shoulder = (self.y > self.chin + 0.6) & (self.x > 0.9)
        skin = (self.portrait.masks.skin > 0.5) & shoulder
        cloth = (self.portrait.masks.clothes > 0.5) & shoulder
        bare = skin.sum() > max(2 * cloth.sum(), 0.3 * self.portrait.frame.unit**2)
        found = {"cloth": to_hex(outer)}
        shirt = self.white_shirt(below & (self.x < 0.4))
        if shirt is not None and outer[0] < 42:
            tie = fit_cloth(self.portrait, (self.y > self.chin + 0.75) & (self.x < 0.14))
            trim = to_hex(outer if tie is None else tie)
            return "suit", found | {"shirt": to_hex(shirt), "trim": trim}
        if bare:
            return "tank", found
        neck = (self.portrait.masks.skin > 0.5) & (self.x < 0.25) & below
        hidden = neck.sum() / self.portrait.frame.unit**2 < 0.01
        kind = "turtleneck" if hidden else "shirt" if drawn == "shirt" else "crew"
        return kind, found | {"trim": to_hex(outer * [0.9, 1, 1])}

    def white_shirt(self, part: np.ndarray) -> np.ndarray | None:
        """Median Lab of a light shirt in a part of the picture; None where there is none."""
        chosen = (self.portrait.masks.clothes > 0.5) & part
        pixels = self.portrait.lab[chosen]
        light = (pixels[:, 0] > 58) & (np.hypot(*pixels[:, 1:].T) < 16)
        return np.median(pixels[light], 0) if light.sum() > 0.3 * len(pixels) > 20 else None

    def headwear(self, feminine: bool) -> tuple[str, dict[str, str]]:
        """Kind and color of what covers the head."""
        cover = self.portrait.masks.cover > 0.5
        above = cover & (self.y < 0)
        if above.sum() / self.portrait.frame.unit**2 < MIN_COVER:
            return "none", {}
        color = {"hat": to_hex(np.median(self.portrait.lab[erode(cover, 5) > 0.5], 0))}
        aside = cover & (self.y > 0.6 * self.chin) & (self.x > 0.5)
        if aside.sum() / self.portrait.frame.unit**2 > 0.4:
            return ("hijab" if feminine else "headscarf"), color
        height = self.points[10, 1] - np.percentile(self.y[above], 2)
        if height > 1.0:
            return "turban", color
        return ("headscarf" if feminine else "cap"), color

    def frame_color(self, lenses: list[np.ndarray]) -> np.ndarray:
        """Lab of a frame: of the darkest quarter of its rims, as lids and skin lie between them."""
        seen = sample(self.portrait.lab, np.vstack(lenses))
        dark = seen[seen[:, 0] <= np.percentile(seen[:, 0], 25)].mean(0)
        return np.array([np.clip(0.85 * dark[0], 4, 45), 0.6 * dark[1], 0.6 * dark[2]])

    def glasses(self, skin_light: float) -> tuple[str, dict[str, str]]:
        """Kind of the glasses and color of their frame."""
        found = self.portrait.glasses
        if not found.present:
            return "none", {}
        canvas = Canvas(self.portrait.rgb.shape)
        inside = np.max([canvas.polygon(lens, 0) for lens in found.lenses], 0) > 0.5
        color = {"frame": to_hex(self.frame_color(found.lenses))}
        if np.percentile(self.portrait.lab[..., 0][inside], 70) < 0.5 * skin_light:
            return "sunglasses", color
        box = [np.ptp(lens, axis=0) for lens in found.lenses]
        full = np.mean([inside.sum() / 2 / np.prod(size) for size in box])
        tall = np.mean([size[1] / size[0] for size in box])
        return ("round" if full < 0.84 and tall > 0.78 else "square"), color
