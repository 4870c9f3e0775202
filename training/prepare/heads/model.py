"""Builds a head of a seed: all meshes, strands, eyes, camera and lamps, ready to be rendered."""

from dataclasses import dataclass

import numpy as np

from training.prepare.heads import palette
from training.prepare.heads.accessories import make_earrings, make_glasses, make_mouth
from training.prepare.heads.attributes import Attributes, sample_attributes
from training.prepare.heads.backgrounds import paint_background
from training.prepare.heads.brows import sample_brow
from training.prepare.heads.clothes import make_clothes
from training.prepare.heads.face import Face
from training.prepare.heads.groom import beard_strands, brow_strands, lash_strands
from training.prepare.heads.hairstyles import Groomer
from training.prepare.heads.headwear import COVERS_ALL, make_headwear
from training.prepare.heads.landmarks import find_landmarks, framed_points
from training.prepare.heads.lights import Lighting, set_lights
from training.prepare.heads.mesh import Mesh, polygonize
from training.prepare.heads.overrides import NONE, Overrides
from training.prepare.heads.paint import paint_skin
from training.prepare.heads.pose import Bend, Camera, frame_face
from training.prepare.heads.shape import sample_shape
from training.prepare.heads.strands import Strands, Surface, unit

CELL = 0.0125


@dataclass
class Eye:
    center: np.ndarray
    gaze: np.ndarray
    radius: float
    iris: float  # half angle of the iris, rad
    pupil: float  # share of the iris
    color: np.ndarray


@dataclass
class Look:
    """A material by name: kind of surface, color, second color of a pattern."""

    kind: str
    color: np.ndarray
    second: np.ndarray | None = None
    pattern: str = "plain"


@dataclass
class Model:
    attributes: Attributes
    meshes: list[Mesh]
    strands: list[Strands]
    eyes: list[Eye]
    looks: dict[str, Look]
    regions: dict[str, np.ndarray]  # part -> triangles of the first mesh, the skin
    landmarks: np.ndarray
    camera: Camera
    lighting: Lighting
    background: np.ndarray
    overrides: Overrides = NONE


def aim_eyes(attributes: Attributes, rng, overrides: Overrides = NONE) -> np.ndarray:
    """Unit vectors of the right and left eye's gaze, (2, 3): towards the camera, more or less."""
    share = rng.uniform(0.45, 0.95)
    across = np.radians(-attributes.yaw) * share + rng.normal(0, 0.05)
    up = np.radians(attributes.pitch) * 0.8 + rng.normal(0, 0.03) - 0.02
    if "gaze" in overrides.numbers:
        across = np.radians(-attributes.yaw) * overrides.numbers["gaze"]
    across = float(np.clip(across, -0.42, 0.42))
    apart = 0.02
    return unit(np.array([[np.sin(across + d), np.sin(up), 1.0] for d in (-apart, apart)]))


def make_looks(attributes: Attributes, hair, rng, overrides: Overrides = NONE) -> dict[str, Look]:
    """Materials of a head; the colors of cloth and hats are free."""

    def cloth():
        return palette.hsv(rng.random(), rng.uniform(0.05, 0.75), rng.uniform(0.15, 0.9))

    a, main, hat = attributes, cloth(), cloth()
    frame = palette.linear(palette.FRAMES[rng.integers(len(palette.FRAMES))])
    dark = 0.62 if a.hair_color in ("gray", "white", "blonde") else 0.55
    suit = palette.hsv(rng.random(), rng.uniform(0.05, 0.4), rng.uniform(0.1, 0.45))
    looks = {
        "skin": Look("skin", hair),
        "hair": Look("hair", hair),
        "brow": Look("brow", hair * dark),
        "beard": Look("hair", hair * 0.85),
        "lash": Look("lash", hair * 0.08),
        "cloth": Look("cloth", suit if a.clothes == "suit" else main, cloth(), a.pattern),
        "trim": Look("cloth", np.clip(main * rng.uniform(0.7, 1.1), 0, 1))
        if a.clothes not in ("scarf", "suit", "hoodie")
        else Look("cloth", cloth(), cloth(), "stripes" if rng.random() < 0.4 else "plain"),
        "shirt": Look("cloth", palette.hsv(rng.random(), rng.uniform(0, 0.15), 0.9)),
        "hat": Look("cloth", hat, cloth(), "plain" if rng.random() < 0.8 else "stripes"),
        "trim_hat": Look("cloth", hat * 0.6 if rng.random() < 0.5 else cloth()),
        "wool": Look("brow", cloth()),
        "frame": Look("plastic", frame),
        "lens": Look("lens", palette.hsv(rng.random(), 0.4, 0.12)),
        "metal": Look("metal", np.array([0.85, 0.62, 0.25] if rng.random() < 0.6 else [0.8] * 3)),
        "teeth": Look("teeth", np.array([0.86, 0.84, 0.80])),
        "tongue": Look("tongue", np.array([0.60, 0.13, 0.13])),
    }
    for part, look in looks.items():
        look.color = overrides.color(part, look.color)
    return looks


def build_model(
    seed: int, attributes: Attributes | None = None, overrides: Overrides = NONE
) -> Model:
    """The head of a seed, or a head to order.

    Args:
        seed: Number of the head.
        attributes: In place of those that the seed draws.
        overrides: In place of numbers and colors that the seed draws.
    """
    a = attributes or sample_attributes(seed)
    rng = np.random.default_rng([a.seed, 7])
    face = Face(sample_shape(a, overrides))
    bend, brow = Bend(face, a), sample_brow(face, a, overrides)
    hair = overrides.color("hair", palette.hair_color(a.hair_color, rng))
    looks, gaze = make_looks(a, hair, rng, overrides), aim_eyes(a, rng, overrides)

    low, high = (-1.75, face.shape.shoulder_y - 0.6, -1.5), (1.75, 1.3, 0.85)
    vertices, triangles = polygonize(face.skin, low, high, CELL)
    skin = paint_skin(face, a, vertices, hair, rng, overrides)
    surface = Surface(vertices, triangles)
    meshes = [Mesh(vertices, triangles, "skin", "skin", skin.colors)]
    regions = {name: getattr(skin, name)[triangles].all(1) for name in ("lips", "mouth")}

    hatter, hats, wool = make_headwear(face, a, rng)
    strands = [brow_strands(face, brow, rng), lash_strands(face, a, rng), wool]
    if a.headwear not in COVERS_ALL and a.hair_style != "bald":
        grown = Groomer(face, a, surface, skin.hair, rng, overrides).grow()
        if hatter:
            hatter.press(grown)
        strands.append(grown)
    strands.append(beard_strands(face, a, surface, skin, rng))
    frames, lenses = make_glasses(face, a, rng)
    strands.append(frames)
    meshes += [*make_clothes(face, a, rng), *hats, *lenses, *make_mouth(face)]
    if a.earrings and a.headwear != "hijab":
        meshes += make_earrings(face, rng)

    for mesh in meshes:
        mesh.vertices = bend(mesh.vertices)
    strands = [s for s in strands if s.lines]
    for group in strands:
        group.lines = [bend(lines) for lines in group.lines]
    iris, pupil = rng.uniform(0.66, 0.74), rng.uniform(0.42, 0.52)
    color = overrides.color("iris", palette.linear(palette.IRIS[a.eye_color]))
    eyes = [
        Eye(bend.eye(side), g, face.shape.eye_radius, iris, pupil, color)
        for side, g in zip((-1, 1), gaze, strict=True)
    ]
    background = paint_background(a, overrides)
    landmarks = find_landmarks(face, bend, brow, gaze)
    camera = frame_face(*framed_points(landmarks), a, overrides)
    return Model(
        *(a, meshes, strands, eyes, looks, regions),
        landmarks,
        camera,
        set_lights(a, skin.tone, background, gaze, camera.level_axes, overrides),
        background,
        overrides,
    )
