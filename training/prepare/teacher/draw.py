"""One photo to one drawing: paints each face's scene back to front and joins them."""

import cv2
import numpy as np

from training.prepare.teacher import skin
from training.prepare.teacher.age import draw_folds, draw_wrinkles
from training.prepare.teacher.beard import find_beard, paint_beard
from training.prepare.teacher.brushwork import paint_gouache, scene_regions
from training.prepare.teacher.eyes import EYES, draw_brows, draw_eye, iris_color
from training.prepare.teacher.face_mesh import segment_person
from training.prepare.teacher.filters import blur, lab_color, shift, smoothstep
from training.prepare.teacher.glasses import draw_glasses
from training.prepare.teacher.ground import paint_background, paint_clothes
from training.prepare.teacher.hair import paint_hair
from training.prepare.teacher.ink import draw_contours, flow_lines, ink_color, print_shade
from training.prepare.teacher.jewelry import draw_jewelry
from training.prepare.teacher.looks import LOOKS, Look
from training.prepare.teacher.mouth import draw_mouth
from training.prepare.teacher.nose import draw_ears, draw_nose
from training.prepare.teacher.portrait import Portrait
from training.prepare.teacher.scene import Scene
from training.prepare.teacher.shapes import over

SEAM = 0.25  # face heights over which a face's window fades into the rest
RIM_COLOR = np.array([1, 0.9, 0.78], np.float32)


def draw_portrait(portrait: Portrait, look: Look) -> tuple[np.ndarray, Scene]:
    """The drawing of one face's canvas.

    Args:
        portrait: what was measured in the photo.
        look: how to draw.

    Returns:
        RGB float32 (H, W, 3) in [0, 1], and the scene it was made from.
    """
    scene = Scene(portrait, look)
    skin.measure_tone(scene)
    skin.fit_light(scene)
    painted = paint_surfaces(scene)
    image = draw_features(scene, painted.copy())
    image = over(image, painted, scene.hair)
    if look.line:
        image = draw_contours(scene, image)
    elif look.name == "film":
        image = add_rim_light(scene, image)
    image = draw_eyes(scene, image)
    if portrait.glasses.present:
        image = draw_glasses(scene, image)
    return np.clip(image, 0, 1).astype(np.float32), scene


def paint_surfaces(scene: Scene) -> np.ndarray:
    """Background, clothes, skin, jewelry, beard and hair, without features."""
    name, u = scene.look.name, scene.u
    ground = paint_background(scene.rgb, 1 - scene.body, name, u, scene.look.dots)
    clothes = paint_clothes(scene.rgb, name, u)
    hair = paint_hair(scene)  # before the skin: it changes the hair's outline
    scene.skin = scene.skin * (1 - scene.hair)
    painted_skin = skin.paint_skin(scene)
    scene.beard = find_beard(scene)
    body = scene.body[..., None]
    image = ground * (1 - body) + clothes * body
    image = over(image, painted_skin, scene.skin)
    if name == "comic":
        image = print_shade(scene, image)
    image = draw_jewelry(scene, image)
    image = paint_beard(scene, image)
    image = over(image, hair, scene.hair)
    if name == "gouache":
        detail = np.maximum(scene.skin, scene.hair)
        image = paint_gouache(image, scene_regions(scene), detail, u)
    elif name == "anime":
        image = add_bloom(scene, image)
    return image


def add_bloom(scene: Scene, image: np.ndarray) -> np.ndarray:
    """Light that spreads from bright places, not over the face."""
    glow = smoothstep(blur(image, 0.12 * scene.u), 0.25, 1.0)
    bright = 1 - (1 - image) * (1 - 0.55 * glow)
    weight = 0.45 * (1 - np.maximum(scene.skin, 0.5 * scene.hair))[..., None]
    return image + (bright - image) * weight


def draw_features(scene: Scene, image: np.ndarray) -> np.ndarray:
    """What lies on the skin: freckles, folds, wrinkles, ears, nose and mouth."""
    for draw in (
        skin.draw_freckles,
        draw_folds,
        draw_wrinkles,
        draw_ears,
        draw_nose,
        draw_mouth,
    ):
        image = draw(scene, image)
    return image


def draw_eyes(scene: Scene, image: np.ndarray) -> np.ndarray:
    """Both eyes and brows; sets the lashes' color and weight and the irises' color."""
    measures = scene.portrait.eyes
    scene.iris = iris_color(measures, scene.tone[0], scene.hair_lab[0])
    dark_lids = float(np.clip((measures.lash - 0.35) / 0.30, 0, 1))
    scene.lash_weight = (0.15 + 0.65 * dark_lids) * (0.3 if scene.beard is not None else 1)
    fair = scene.hair_lab[0] >= 55
    dark = [20, 14, -2] if scene.look.name == "anime" else [9, 4, 3]
    scene.lash_color = lab_color([18, 8, 8] if fair and scene.look.name != "comic" else dark)
    for eye, ratio in zip(EYES, scene.ratios, strict=True):
        image = draw_eye(scene, image, eye, ratio)
    return draw_brows(scene, image)


def add_rim_light(scene: Scene, image: np.ndarray) -> np.ndarray:
    """Light from behind on the far side of the head."""
    u, y = scene.u, scene.face_y
    moved = shift(blur(scene.person, 0.02 * u), scene.side * 0.05 * u, 0.015 * u)
    rim = np.clip(scene.person - moved, 0, 1) * np.maximum(scene.hair, scene.skin)
    rim = rim * smoothstep(-y, -scene.chin - 0.3, -scene.chin + 0.3)
    return image + 0.28 * blur(rim, 0.008 * u)[..., None] * (1 - image) * RIM_COLOR


def draw_scene(rgb: np.ndarray, look: Look, unit: float) -> np.ndarray:
    """A photo without a face in the look's hand, uint8: all of it as bodies and clothes are drawn.

    Backgrounds of portraits are much simpler than what a photo without people is about.

    Args:
        rgb: uint8 (H, W, 3).
        look: how to draw.
        unit: px of the unit of a face that would suit the photo.
    """
    pixels = rgb.astype(np.float32) / 255
    image = paint_clothes(pixels, look.name, unit)
    if look.name == "gouache":
        everything = np.ones(rgb.shape[:2], np.uint8)
        image = paint_gouache(image, everything, np.zeros(rgb.shape[:2], np.float32), unit)
    if look.line:
        lines = flow_lines(pixels, max(1.0, 0.013 * unit))
        image = over(image, ink_color(image, look.name, unit), 0.7 * lines)
    return (np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8)


def draw_rest(rgb: np.ndarray, look: Look, unit: float) -> np.ndarray:
    """A whole photo in the look's hand without faces: what lies outside the faces' windows.

    Args:
        rgb: uint8 (H, W, 3).
        look: how to draw.
        unit: px of the faces' unit.
    """
    pixels = rgb.astype(np.float32) / 255
    people = np.clip(blur(segment_person(rgb), 2), 0, 1)
    ground = paint_background(pixels, 1 - people, look.name, unit, look.dots)
    bodies = paint_clothes(pixels, look.name, unit)
    image = ground + (bodies - ground) * people[..., None]
    if look.name == "gouache":
        detail = np.zeros_like(people)
        image = paint_gouache(image, (people > 0.5).astype(np.uint8), detail, unit)
    if look.line:
        lines = flow_lines(pixels, max(1.0, 0.013 * unit)) * people
        image = over(image, ink_color(image, look.name, unit), 0.7 * lines)
    return image


def window_weight(portrait: Portrait, others: list[Portrait], size: tuple[int, int]):
    """(H, W) of the window: 1 about its face, 0 at its inner borders and nearer to other faces."""
    left, top, right, bottom = portrait.window
    rows, columns = np.mgrid[top:bottom, left:right].astype(np.float32)
    width, height = size
    seam = SEAM * portrait.photo_face_px
    weight = np.ones(rows.shape, np.float32)
    for inner, away in (
        (left > 0, columns - left),
        (top > 0, rows - top),
        (right < width, right - columns),
        (bottom < height, bottom - rows),
    ):
        if inner:
            weight *= smoothstep(away, 0, seam)
    own = face_center(portrait)
    for other in others:
        center = face_center(other)
        mine = np.hypot(columns - own[0], rows - own[1]) / portrait.photo_face_px
        its = np.hypot(columns - center[0], rows - center[1]) / other.photo_face_px
        weight *= smoothstep(its - mine, -0.1, 0.1)
    return weight


def face_center(portrait: Portrait) -> np.ndarray:
    """Middle of a portrait's face in the photo, in px."""
    return portrait.points[:468, :2].mean(0) / portrait.scale + portrait.window[:2]


def draw_photo(
    rgb: np.ndarray, portraits: list[Portrait], look: Look | str
) -> tuple[np.ndarray, list[Scene]]:
    """Draws a whole photo with all its faces.

    Args:
        rgb: uint8 (H, W, 3).
        portraits: of the photo's faces, largest first.
        look: a look or its name.

    Returns:
        The drawing, uint8 (H, W, 3), and the scene of each face.
    """
    look = LOOKS[look] if isinstance(look, str) else look
    height, width = rgb.shape[:2]
    drawn = [draw_portrait(portrait, look) for portrait in portraits]
    whole = len(portraits) == 1 and portraits[0].window == (0, 0, width, height)
    if whole:
        image = resize(drawn[0][0], (width, height))
    else:
        units = [portrait.frame.unit / portrait.scale for portrait in portraits]
        image = draw_rest(rgb, look, max(float(np.median(units)), 12.0))
        for portrait, (part, _) in reversed(list(zip(portraits, drawn, strict=True))):
            left, top, right, bottom = portrait.window
            others = [other for other in portraits if other is not portrait]
            weight = window_weight(portrait, others, (width, height))[..., None]
            part = resize(part, (right - left, bottom - top))
            area = image[top:bottom, left:right]
            image[top:bottom, left:right] = area + (part - area) * weight
    return (np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8), [scene for _, scene in drawn]


def resize(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """An image resized to (width, height): by area if that is smaller, else cubic."""
    smaller = size[0] < image.shape[1]
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA if smaller else cv2.INTER_CUBIC)
