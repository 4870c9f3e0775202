"""What a portrait's skin and hair look like: colors, beard, wrinkles, lips, light."""

from dataclasses import dataclass

import numpy as np

from training.prepare.teacher import skin
from training.prepare.teacher.age import find_wrinkles
from training.prepare.teacher.beard import Beard, find_beard
from training.prepare.teacher.eyes import iris_color
from training.prepare.teacher.face_mesh import EYES
from training.prepare.teacher.hair import measure_color
from training.prepare.teacher.looks import Look
from training.prepare.teacher.mouth import MouthShape
from training.prepare.teacher.portrait import Portrait
from training.prepare.teacher.scene import Scene

# The photo's own proportions.
UNCHANGED = Look("film", 1.0, 0.0, 0.0, 0.3, 1.0, 1.0, 0.0, 0.0, False, 0.0, 0.0)


@dataclass
class Surface:
    """Colors are Lab, (3,).

    Args:
        skin, white: Of the skin and of the white of the eyes.
        hair: Of the hair.
        brow: Of the brows.
        lips: Of the lips.
        iris: Lightness and hue (a, b) of the irises.
        beard: Kind, as in `attributes.BEARDS`.
        beard_color: None without a beard.
        teeth: Whether an open mouth shows teeth.
        wrinkles: Sum of the depth of all wrinkles times their length.
        light_side: -1 or 1, the side of the picture that the light comes from.
        uneven: How much lighter that side is, in L.
    """

    skin: np.ndarray
    white: np.ndarray
    hair: np.ndarray
    brow: np.ndarray
    lips: np.ndarray
    iris: tuple[float, np.ndarray]
    beard: str
    beard_color: np.ndarray | None
    teeth: bool
    wrinkles: float
    light_side: float
    uneven: float


def measure_surface(portrait: Portrait) -> Surface:
    """Measures skin, hair and light of a portrait."""
    scene = Scene(portrait, UNCHANGED)
    skin.measure_tone(scene)
    skin.fit_light(scene)
    scene.hair_lab = measure_color(scene)
    scene.shade = skin.shade_skin(scene)
    scene.beard = find_beard(scene)
    wrinkles, mouth = find_wrinkles(scene), MouthShape(scene)
    inside = mouth.inner_light
    return Surface(
        skin=scene.tone,
        white=portrait.eyes.white,
        hair=scene.hair_lab,
        brow=measure_brows(scene),
        lips=mouth.color,
        iris=iris_color(portrait.eyes, scene.tone[0], scene.hair_lab[0]),
        beard=read_beard(scene, scene.beard),
        beard_color=beard_color(scene, scene.beard),
        teeth=bool(inside.size and np.percentile(inside, 75) > 0.72 * scene.base[0] - 4),
        wrinkles=float(sum(depth * np.ptp(line[:, 0]) for depth, line in wrinkles)),
        light_side=scene.side,
        uneven=measure_unevenness(scene),
    )


def measure_brows(scene: Scene) -> np.ndarray:
    """Lab of the brows: of their darkest fifth, as skin shines through the rest."""
    mask = scene.canvas.zeros()
    for eye in EYES:
        outline = np.vstack(
            [scene.points[eye.brow_upper, :2], scene.points[eye.brow_lower[::-1], :2]]
        )
        mask = np.maximum(mask, scene.canvas.polygon(outline, 0))
    pixels = scene.lab[(mask > 0.5) & (scene.hair < 0.5)]
    if len(pixels) < 30:
        return scene.hair_lab
    return pixels[pixels[:, 0] <= np.percentile(pixels[:, 0], 25)].mean(0)


def measure_unevenness(scene: Scene) -> float:
    """By how much one cheek is lighter than the other, in L."""
    left, right = (scene.cheeks & (sign * (scene.face_x - scene.middle) > 0.15) for sign in (-1, 1))
    if min(left.sum(), right.sum()) < 50:
        return 0.0
    light = scene.lab[..., 0]
    return float(abs(np.median(light[left]) - np.median(light[right])))


def beard_color(scene: Scene, beard: Beard | None) -> np.ndarray | None:
    """Lab of a beard: its median, and of a white or gray one its light hairs."""
    if beard is None:
        return None
    pixels = scene.lab[beard.mask > 0.5]
    if np.median(beard.color[beard.mask > 0.5][:, 0]) <= scene.tone[0]:
        return np.median(pixels, 0)
    light = pixels[pixels[:, 0] >= np.percentile(pixels[:, 0], 75)].mean(0)
    return light * [0.88, 0.3, 0.3]


def read_beard(scene: Scene, beard: Beard | None) -> str:
    """The kind of a beard by where it grows and how dense it is."""
    if beard is None:
        return "none"
    x, y = np.abs(scene.face_x - scene.middle), scene.face_y
    mouth = scene.frame.to_face(scene.points[[13, 14]])[:, 1]
    grown = beard.mask > 0.5

    def share(zone: np.ndarray) -> float:
        zone = zone & (scene.lips < 0.5)
        return float(grown[zone].mean()) if zone.any() else 0.0

    lip = share((x < 0.35) & (y > scene.nose + 0.06) & (y < mouth[0] - 0.04) & (scene.oval > 0.5))
    chin = share((x < 0.3) & (y > mouth[1] + 0.2) & (y < scene.chin - 0.05))
    cheek = share((x > 0.62) & (y > mouth[0]) & (y < scene.chin - 0.2) & (scene.oval > 0.5))
    below = grown[(x < 0.3) & (y > scene.chin + 0.15) & (y < scene.chin + 0.45)]
    opacity = float(np.median(beard.opacity[grown])) if grown.any() else 0.0
    if opacity < 0.42:
        return "stubble"
    if chin < 0.35:
        return "moustache" if lip > 0.3 else "stubble"
    if below.size and below.mean() > 0.6:
        return "long"
    return "full" if cheek > 0.35 else "goatee"
