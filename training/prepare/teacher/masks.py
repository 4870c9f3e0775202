"""Masks of person, skin, hair, clothes and head cover: a network's masks cleaned by the face mesh.

The network (skin, clothes, hair as independent probabilities) mistakes short gray hair and hats for
clothes, fair hair for skin, and dark suits for hair. The rules here decide by place and color.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import numpy as np

from training.prepare.teacher.face_mesh import CHIN, NOSE_BASE, OVAL, TOP, FaceFrame
from training.prepare.teacher.filters import (
    blur,
    dilate,
    guided,
    keep_connected,
    signed_distance,
    smoothstep,
    to_lab,
)
from training.prepare.teacher.shapes import Canvas

SKIN, CLOTHES, HAIR = range(3)
NETWORK_PX = 512
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CHROMA_FIRST = np.array([0.6, 1, 1], np.float32)  # lightness counts less than hue


@dataclass
class Masks:
    """Masks of a photo, float32 (H, W): 0 or 1, `hair_probability` between.

    `cover` is a hat or scarf, a part of `clothes`. `confidence` is how sure the network is, in
    [0, 1]. `lost_hair` is the share of the network's hair on the head that the rules took away;
    `doubtful_skin` is the area that only the rules call skin, in squared units of the face.
    """

    person: np.ndarray
    skin: np.ndarray
    hair: np.ndarray
    clothes: np.ndarray
    cover: np.ndarray
    hair_probability: np.ndarray
    confidence: float
    lost_hair: float = 0.0
    doubtful_skin: float = 0.0


@cache
def _session(path: str):
    try:
        import onnxruntime
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "the teacher needs onnxruntime: pip install 'toonify[teacher]'"
        ) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


class MaskNetwork:
    """A segmentation network for skin, clothes and hair in an ONNX file.

    Args:
        path: ONNX file; input (1, 3, 512, 512) RGB, normalized as ImageNet; output (1, 3, 512,
            512), probabilities of skin, clothes and hair.

    Raises:
        ValueError: there is no such file.
    """

    def __init__(self, path: str | Path):
        if not Path(path).is_file():
            raise ValueError(f"--masks {path}: expected an ONNX file")
        self.path = str(path)

    def __call__(self, rgb: np.ndarray) -> np.ndarray:
        """(3, H, W) probabilities for a uint8 picture: the mean with its mirror image."""
        height, width = rgb.shape[:2]
        side = max(height, width)
        square = cv2.copyMakeBorder(
            rgb, 0, side - height, 0, side - width, borderType=cv2.BORDER_REPLICATE
        )
        square = cv2.resize(square, (NETWORK_PX,) * 2, interpolation=cv2.INTER_AREA) / 255.0
        x = ((square - IMAGENET_MEAN) / IMAGENET_STD).transpose(2, 0, 1)[None].astype(np.float32)
        y = 0.5 * (self.run(x) + self.run(x[..., ::-1])[..., ::-1])
        return np.stack([cv2.resize(mask, (side, side))[:height, :width] for mask in y])

    def run(self, x: np.ndarray) -> np.ndarray:
        session = _session(self.path)
        return session.run(None, {session.get_inputs()[0].name: np.ascontiguousarray(x)})[0][0]


class Place:
    """Where each pixel lies against the face, and its color: what the rules ask for.

    Args:
        rgb: float32 (H, W, 3) in [0, 1].
        points: (478, 3) landmarks in px.
    """

    def __init__(self, rgb: np.ndarray, points: np.ndarray):
        frame = FaceFrame(points)
        self.unit = frame.unit
        self.lab = to_lab(blur(rgb, 1.2))
        self.light = self.lab[..., 0]
        rows, columns = np.mgrid[0 : rgb.shape[0], 0 : rgb.shape[1]]
        face = frame.to_face(np.stack([columns, rows], -1)).astype(np.float32)
        self.x, self.y = np.abs(face[..., 0]), face[..., 1]
        self.outside = signed_distance(Canvas(rgb.shape).polygon(points[OVAL, :2], 0)) / self.unit
        self.chin, self.nose = frame.to_face(points[CHIN])[1], frame.to_face(points[NOSE_BASE])[1]
        self.brow = float(frame.to_face(points[[105, 334]])[:, 1].mean())
        self.top = float(frame.to_face(points[TOP])[1])
        texture = blur(np.abs(self.light - blur(self.light, 0.03 * self.unit)), 0.035 * self.unit)
        self.texture = 9 * np.log(1 + texture)
        face = (self.outside < -0.15) & (self.y > 0.25) & (self.y < self.nose)
        self.skin_lab = np.median(self.lab[face], 0)
        self.skin_texture = float(np.median(self.texture[face]))
        offset = self.lab - self.skin_lab
        self.unlike_skin = np.sqrt((0.30 * offset[..., 0]) ** 2 + (offset[..., 1:] ** 2).sum(-1))

    def distance(self, lab, weights=CHROMA_FIRST) -> np.ndarray:
        """Weighted color distance of each pixel to a color or picture."""
        return np.linalg.norm((self.lab - lab) * weights, axis=-1)

    def agree(self, mask: np.ndarray, units: float, share: float = 0.5) -> np.ndarray:
        """Boolean: more than `share` of the neighborhood is in the boolean mask."""
        return blur(mask.astype(np.float32), units * self.unit) > share


def person_mask(place: Place, person: np.ndarray, probabilities: np.ndarray, gray) -> np.ndarray:
    """(H, W) the person, with hair that stands off and without background between it.

    Args:
        place: positions and colors.
        person: coarse probability of people.
        probabilities: the network's (3, H, W).
        gray: guide in [0, 1].
    """
    unit, chin, d = place.unit, place.chin, place.outside
    best, hair = probabilities.max(0), probabilities[HAIR]
    p = np.maximum(guided(person, gray, 8, 1e-3), smoothstep(blur(person, 3), 0.65, 0.9))
    behind = (person < 0.1).astype(np.float32)
    inner = (hair > 0.7) & (person > 0.8) & (d > 0)
    if inner.sum() > 400:
        near = dilate(p > 0.5, 0.30 * unit)
        color = np.median(place.lab[inner], 0)
        spread = max(6.0, 1.2 * float(np.median(np.abs(place.lab[inner] - color).sum(1))))
        ground = blur(place.lab * behind[..., None], 0.25 * unit)
        ground = ground / (blur(behind, 0.25 * unit)[..., None] + 1e-3)
        to_hair, to_ground = place.distance(color, 1.0), place.distance(ground, 1.0)
        alike = smoothstep(to_ground - to_hair, 0, 8) * smoothstep(-to_hair, -2.5 * spread, -spread)
        p = np.maximum(p, near * smoothstep(hair, 0.5, 0.75) * alike * (place.y < chin + 0.8))
    ground = blur(place.lab * behind[..., None], 0.15 * unit)
    beside = blur(behind, 0.15 * unit)
    like_ground = (place.distance(ground / (beside[..., None] + 1e-3)) < 6) & (beside > 0.08)
    like_ground &= (d > 0.15) & (place.y < chin + 0.5)
    by_head = (place.y < chin) | ((place.x > 0.5) & (place.y < chin + 0.35))
    unknown = (best < 0.45) & (person < 0.85) & (d > 0.08) & by_head
    p = p * ~place.agree(like_ground | unknown, 0.02, 0.55)
    return keep_connected(p, d < -0.2)


def first_guess(place: Place, probabilities: np.ndarray, p: np.ndarray, gray) -> np.ndarray:
    """(H, W) most likely of skin, clothes and hair, by the network and the place."""
    d, y = place.outside, place.y
    core = smoothstep(-d, 0.0, 0.10) * smoothstep(y, place.brow - 0.02, place.brow + 0.12)
    skin, clothes, hair = (guided(mask, gray, 6, 5e-4) for mask in probabilities)
    hair = hair * (1 - core)
    face = smoothstep(-d, -0.02, 0.04) * smoothstep(y, place.top + 0.15, place.top + 0.3)
    clothes = clothes * (1 - face)
    floor = np.where((d < 0.3) & (y < place.chin + 0.3), 0.05, 0.0)
    low = np.where((y > place.chin + 0.1) & (d > 0.2), 0.25, 0.0)
    low = np.where(skin > 0.2, 0.0, low)
    hair = hair * np.where((d > 0.1) & (place.x > 0.45), 1.5, 1.1)  # fair ends of long hair
    return np.argmax(np.stack([np.maximum(skin, floor), np.maximum(clothes, low), hair]), 0)


def split_cover(place: Place, hair, clothes, probabilities, best, p):
    """Hair, clothes and head cover: clothes above the face are a hat, or misread gray hair."""
    d, x, y, chin = place.outside, place.x, place.y, place.chin
    head = (y < chin * 0.9) & (d > -0.3)
    cover = keep_connected(clothes, head & (d < 0.4) & (y < 0)) * (y < chin + 1.5)
    scalp = (d > 0.05) & (d < 0.7) & (y < -0.05) & (p > 0.5)
    unsure = (probabilities[SKIN] < 0.8) | (probabilities[HAIR] > 0.12)
    rough = place.texture > place.skin_texture + 3
    extra = scalp & (best == SKIN) & unsure & ((place.unlike_skin > 8) | rough)
    smooth = place.texture < place.skin_texture + 2
    chroma = np.hypot(place.lab[..., 1], place.lab[..., 2]) / np.hypot(*place.skin_lab[1:])
    # White hair that lies thin on the skin is called skin.
    thin = (chroma < 0.55) & (place.texture > place.skin_texture + 1) & (place.unlike_skin > 7)
    extra |= scalp & (best == SKIN) & thin
    colorless = chroma < 0.35  # white hair, not the shine of a bald head
    extra &= colorless | ~(smooth & (place.light > place.skin_lab[0] + 10))
    extra = place.agree(extra, 0.03, 0.55)
    below = (y > chin + 0.3) | ((y > chin - 0.2) & (x > 1.1))
    unlike = place.unlike_skin > np.where(x > 0.65, 14, 24)
    more = below & (p > 0.5) & (hair < 0.5) & (probabilities[SKIN] < 0.6)
    clothes = np.maximum(clothes, more & place.agree(unlike, 0.04))
    shaded = np.min([place.distance(place.skin_lab * k) for k in (1, 0.8, 0.6, 0.45)], 0)
    neck = (x < 0.8) & (y > chin - 0.1) & (y < chin + 0.7)
    neck &= (np.minimum(place.unlike_skin, shaded) < 11) & (probabilities[CLOTHES] < 0.8)
    clothes = clothes * ~place.agree(neck, 0.03)
    pale = (np.hypot(place.lab[..., 1], place.lab[..., 2]) < 14) & (place.light > 34)
    near = cover * (d < 0.9)
    size = float(near.sum())
    gray_hair = (pale * near).sum() > 0.5 * size and (cover * (y > 0.6)).sum() < 0.3 * cover.sum()
    if size and (gray_hair or size < 0.25 * hair.sum()):
        taken = cover * (d < 1.3) * (y < 0.5)
        hair, clothes, cover = np.maximum(hair, taken), clothes * (1 - taken), 0 * cover
    elif size < 0.15 * place.unit**2:
        cover = 0 * cover
    grown = np.maximum(hair, extra)
    hair = np.maximum(hair, keep_connected(grown, (hair > 0) | extra) * (1 - clothes))
    patch = clothes * (1 - cover) * (d < 1.3) * (y < 0.1)  # ribbons, shiny crowns, foreheads
    return np.maximum(hair, patch * (d > 0)), clothes * (1 - patch), cover


def clear_brim(place: Place, hair, clothes, cover):
    """Hair, clothes and cover without hair in the face under a hat: that is shade or dark cloth."""
    zone = (hair > 0.5) & (place.outside < -0.02)
    if zone.any() and np.median(place.light[zone]) < 0.3 * place.skin_lab[0]:
        clothes, cover = np.maximum(clothes, zone), np.maximum(cover, zone)
    return hair * ~zone, clothes, cover


def bare_scalp(place: Place, hair, hair_probability):
    """Hair without the smooth skin of a bald or high forehead that the network took for hair."""
    sure = (hair > 0.5) & (hair_probability > 0.8) & (place.outside > 0.05)
    if sure.sum() < 200:
        return hair
    color = np.median(place.lab[sure], 0)
    to_hair, to_skin = place.distance(color), place.distance(place.skin_lab)
    smooth = place.texture < place.skin_texture + 2.5
    bare = (hair > 0.5) & (place.y < place.brow) & (to_skin < 0.6 * to_hair) & smooth
    bare &= (hair_probability < 0.7) & (place.outside < 0.8)
    return hair * ~place.agree(bare, 0.05)


def clean_hair(place: Place, hair, cover, hair_probability, best, p):
    """Hair with partings closed and without shadows on the neck; and the person without scraps."""
    d, x, y, chin = place.outside, place.x, place.y, place.chin
    upper = (hair > 0.5) & (y < 0.3)
    color = np.median(place.lab[upper if upper.sum() > 200 else hair > 0.5], 0)
    side = (y > 0.45) & (y < chin + 0.35) & (d > 0.05) & (x > 0.45) & (best == SKIN)
    side &= (place.unlike_skin > 9) & (p > 0.5) & (hair_probability > 0.25)
    side &= dilate(hair, 0.5 * place.unit) > 0.5
    to_hair, to_skin = place.distance(color, 1.0), place.distance(place.skin_lab, 1.0)
    hair = np.maximum(hair, side & (to_hair < 1.2 * to_skin))  # curls on the neck
    hair = bare_scalp(place, hair, hair_probability)
    closed = np.zeros(hair.shape, bool)
    for size, above in ((0.30, 0.03), (0.55, 0.12)):
        disc = cv2.getStructuringElement(
            cv2.MORPH_ELLIPSE, (int(size * place.unit) | 1, int(size * place.unit) | 1)
        )
        whole = cv2.morphologyEx(np.asarray(hair, np.float32), cv2.MORPH_CLOSE, disc) > 0.5
        closed |= whole & (d > above)
    closed &= (y < place.brow) & (p > 0.5) & (cover < 0.5)
    hair = np.maximum(hair, closed)
    neck = (y > chin - 0.35) & (x < 1.0) & (d < 0.75)
    weights = np.array([0.8, 1, 1], np.float32)
    lone = place.distance(color, weights) > 0.75 * place.distance(
        place.skin_lab * [0.7, 1, 1], weights
    )
    hair = hair * ~(neck & place.agree(lone, 0.03))
    suit = (y > chin - 0.2) & (hair_probability < 0.9)
    hair = hair * ~(suit & place.agree(place.distance(color) > 22, 0.05))
    hair = keep_connected(hair, ((y < 0.25) & (d < 1.2)) | (side & (hair > 0)))
    scraps = side & (x > 0.5) & (place.unlike_skin > 14) & (hair < 0.5)
    return hair, p * ~place.agree(scraps, 0.015)


def clean_masks(
    rgb: np.ndarray, person: np.ndarray, probabilities: np.ndarray, points: np.ndarray
) -> Masks:
    """Masks of one person's picture.

    Args:
        rgb: float32 (H, W, 3) in [0, 1].
        person: (H, W) coarse probability of people.
        probabilities: (3, H, W) of skin, clothes and hair.
        points: (478, 3) landmarks in px.

    Returns:
        The cleaned masks.
    """
    place = Place(rgb, points)
    d, x, y, chin = place.outside, place.x, place.y, place.chin
    gray = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    sure = (person > 0.3) & (d < 0.8)
    confidence = float(np.abs(2 * probabilities.max(0)[sure] - 1).mean()) if sure.any() else 0.0
    p = person_mask(place, person, probabilities, gray)
    best = first_guess(place, probabilities, p, gray)
    hair = ((best == HAIR) & (p > 0.5)).astype(np.float32)
    hair = keep_connected(hair, (d < 0.35) & (d > -0.4) & (y < chin * 0.8))
    hair = hair * ~((x < 0.6) & (y > chin - 0.15) & (d < 0.4))  # neck or beard
    clothes = ((best == CLOTHES) & (p > 0.5)).astype(np.float32)
    hair, clothes, cover = split_cover(place, hair, clothes, probabilities, best, p)
    if cover.any():
        hair, clothes, cover = clear_brim(place, hair, clothes, cover)
    if (hair > 0.5).sum() > 300:
        hair, p = clean_hair(place, hair, cover, probabilities[HAIR], best, p)
    if hair.sum() < 0.3 * place.unit**2:
        hair = 0 * hair  # wisps on a bald head
    suit = ((x > 0.6) & (y > chin + 0.15)) | (y > chin + 0.6) | ((x > 1.0) & (y > chin - 0.4))
    clothes = np.maximum(clothes, (best == HAIR) & (hair < 0.5) & (p > 0.5) & suit)
    hair, clothes = np.asarray(hair, np.float32), np.asarray(clothes, np.float32)
    skin = (p > 0.5) & (hair < 0.5) & (clothes < 0.5)
    doubtful = skin & (probabilities[SKIN] < 0.5) & (d > 0.05) & (y < chin + 1.2)
    shades = np.min([place.distance(place.skin_lab * k) for k in (1, 0.8, 0.6, 0.45)], 0)
    aside = skin & (probabilities[SKIN] < 0.4) & (d > 0.06) & (y > chin - 0.7)
    aside &= ((x > 0.55) & (y > chin - 0.3)) | place.agree(shades > 11, 0.03)
    ends = aside & (probabilities[HAIR] > np.maximum(probabilities[CLOTHES], 0.2))
    ends &= dilate(hair, 0.25 * place.unit) > 0.5
    behind = (clothes > 0.5) & (probabilities[HAIR] > 0.6) & (probabilities[CLOTHES] < 0.3)
    ends |= behind & (y < chin + 0.5) & (dilate(hair, 0.25 * place.unit) > 0.5)
    hair = np.maximum(hair, ends)
    clothes = np.maximum(clothes, aside) * ~ends
    head = (probabilities[HAIR] > 0.6) & (d > 0.05) & (d < 0.9) & (y < 0.8 * chin)
    lost = head & (hair < 0.5) & (cover < 0.5)
    skin = (skin & ~aside).astype(np.float32)
    return Masks(
        lost_hair=float(lost.sum() / max(head.sum(), 0.1 * place.unit**2)),
        doubtful_skin=float(doubtful.sum() / place.unit**2),
        person=p.astype(np.float32),
        skin=skin,
        hair=hair,
        clothes=clothes,
        cover=cover.astype(np.float32),
        hair_probability=probabilities[HAIR].astype(np.float32),
        confidence=confidence,
    )
