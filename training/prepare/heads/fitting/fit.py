"""`fit`: the numbers of a head for the face in a photo."""

from dataclasses import dataclass, replace
from zlib import crc32

import numpy as np
from PIL import Image

from toonify import faces as face_detection
from toonify.faces.geometry import cut, ffhq_matrix
from toonify.faces.parsing import parse
from training.prepare.heads.attributes import GRAY_HAIR, HAIRSTYLES, Attributes, sample_attributes
from training.prepare.heads.fitting import colors, shapes
from training.prepare.heads.fitting.hair import (
    HairMeasures,
    hair_numbers,
    measure_hair,
    read_fringe,
    read_kind,
    read_style,
)
from training.prepare.heads.fitting.measures import (
    FrontalMesh,
    load_table,
    make_covariates,
    measure_face,
    rank_measures,
)
from training.prepare.heads.fitting.outfit import Outfit
from training.prepare.heads.fitting.people import read_features, read_person, read_smile
from training.prepare.heads.fitting.surface import Surface, measure_surface
from training.prepare.heads.overrides import Overrides
from training.prepare.teacher.face_mesh import find_faces, five_points
from training.prepare.teacher.masks import MaskNetwork
from training.prepare.teacher.portrait import Portrait, prepare
from training.prepare.teacher.quality import MIN_FACE_PX, MIN_INSIDE

CROP_SIDE = 512  # px in which colors are read; the crop itself may have any size
MAX_YAW = 40
BEARD_SHADE = np.array([0.75, 0.55, 0.55])  # skin shines through a beard
CLOSED = 0.2  # opening of a mouth up to which lips without teeth between them are closed


class NoHead(ValueError):
    """The photo has no face that a head can be fitted to; the message says why."""


@dataclass(frozen=True)
class Fit:
    """A head to order.

    Args:
        attributes: What could be read; the rest is drawn from a seed that the picture gives.
        overrides: Numbers and colors of this person.
        points: (5, 2) eyes, nose and corners of the mouth in the photo, in px.
    """

    attributes: Attributes
    overrides: Overrides
    points: np.ndarray


class BundledParser:
    """The bundled parser, in the place of the teacher's mask network."""

    def __call__(self, rgb: np.ndarray) -> np.ndarray:
        """(3, H, W) probabilities of skin, clothes and hair for a uint8 picture."""
        masks = parse(Image.fromarray(rgb))
        return np.stack([masks.skin, masks.clothes, masks.hair])


def fit(photo: Image.Image, network: MaskNetwork | BundledParser | None = None) -> Fit:
    """Finds the numbers of a head for the largest face of a photo.

    Args:
        photo: RGB, upright.
        network: Gives masks of skin, clothes and hair; default: the bundled parser.

    Returns:
        The same for the same photo.

    Raises:
        NoHead: There is no face, or it is too small, cut off or turned away.
        ModuleNotFoundError: MediaPipe is not installed.
    """
    rgb = np.asarray(photo)
    points = find_faces(rgb, [face.box for face in face_detection.detect(photo)])
    if not points:
        raise NoHead("no face")
    portrait = prepare(rgb, points[0], network or BundledParser())
    return fit_portrait(photo, portrait)


def fit_portrait(photo: Image.Image, portrait: Portrait) -> Fit:
    """As `fit`, for a face that is measured already."""
    mesh = FrontalMesh(portrait.points)
    check_face(portrait, mesh)
    five = five_points(portrait.points) / portrait.scale + portrait.window[:2]
    person = read_person(read_features(photo, five))
    measured = measure_face(mesh)
    covariates = make_covariates(measured, mesh.yaw, person.masculine, person.old)
    ranks = rank_measures(measured, covariates)
    smile = read_smile(measured)
    surface, hair, outfit = measure_surface(portrait), measure_hair(portrait), Outfit(portrait)
    base = sample_attributes(make_seed(photo))
    if not surface.teeth and measured["open"] < CLOSED:
        measured["open"] = 0.0
    expression = shapes.read_expression(measured, ranks, smile)
    attributes = replace(
        base,
        **shapes.face_attributes(ranks, person),
        **shapes.pose_angles(mesh, load_table()["poses"]),
        expression=expression,
        freckles=False,
        light="window" if surface.uneven > 14 else "studio" if surface.uneven > 5 else "soft",
    )
    to_crop = ffhq_matrix(five, CROP_SIDE) @ np.vstack([canvas_matrix(portrait), [0, 0, 1]])
    background = colors.fit_background(portrait, to_crop, CROP_SIDE)
    attributes, numbers, materials = read_looks(attributes, surface, hair, outfit)
    overrides = Overrides(
        ranks=shapes.head_ranks(ranks, measured["mouth_slant"]),
        expression=shapes.expression_numbers(measured, smile, expression, surface.teeth),
        numbers=numbers | {"margin": 1.0, "gaze": 0.9, "light_side": surface.light_side},
        colors=materials,
        background=background,
    )
    return Fit(attributes, overrides, five)


def read_looks(
    a: Attributes, surface: Surface, hair: HairMeasures, outfit: Outfit
) -> tuple[Attributes, dict[str, float], dict[str, str]]:
    """Attributes with skin, hair, beard, glasses and clothes; numbers and colors of `Overrides`."""
    masculine = a.gender == "masculine"
    skin, tone = colors.fit_skin(surface.skin, surface.white, a.light)
    kind = read_kind(hair, masculine)
    style = read_style(hair, kind, masculine)
    if kind not in HAIRSTYLES[style].kinds:
        kind = HAIRSTYLES[style].kinds.split()[0]
    # Hair through which the scalp is seen has the color of the brows, if these are dark.
    thin = abs(surface.hair[0] - surface.skin[0]) < 10 and surface.brow[0] < 35
    shown = surface.brow if style == "bald" or thin else surface.hair
    shade, hair_color = colors.fit_hair(shown, surface.white)
    headwear, hat = outfit.headwear(not masculine)
    glasses, frame = outfit.glasses(surface.skin[0])
    clothes, cloth = outfit.clothes(a.clothes)
    beard = surface.beard if masculine else "none"
    materials = {"skin": colors.to_hex(skin), "hair": colors.to_hex(shade)} | hat | frame | cloth
    materials["brow"] = colors.to_hex(colors.fit_brow(surface.brow, shade))
    if beard != "none":
        grown, name = colors.fit_hair(surface.beard_color, surface.white)
        if name not in GRAY_HAIR:
            grown = grown * BEARD_SHADE
        materials["beard"] = colors.to_hex(grown)
    redness = surface.lips[1] - surface.skin[1]
    lipstick = not masculine and redness > 11
    if lipstick:
        materials["lips"] = colors.to_hex(colors.fit_lips(surface.lips))
    numbers = hair_numbers(hair, style)
    numbers["blush"] = 0.25 if masculine else 0.45
    if a.age == "old":
        numbers["wrinkles"] = float(np.clip(0.5 + 0.6 * surface.wrinkles, 0, 1))
    found = replace(
        a,
        skin_tone=tone,
        hair_color=hair_color,
        hair_kind=kind,
        hair_style=style,
        hair_length=HAIRSTYLES[style].length,
        fringe=read_fringe(hair, style),
        eye_color=colors.name_iris(*surface.iris),
        beard=beard,
        glasses=glasses,
        headwear=headwear,
        clothes=clothes,
        pattern="plain",
        lipstick=lipstick,
        earrings=a.earrings and not masculine,
        lashes=not masculine,
    )
    return found, numbers, materials


def check_face(portrait: Portrait, mesh: FrontalMesh) -> None:
    """Raises NoHead for a face that cannot be measured."""
    if portrait.photo_face_px < MIN_FACE_PX:
        raise NoHead("face too small")
    if portrait.inside < MIN_INSIDE:
        raise NoHead("face cut by the photo's border")
    if abs(mesh.yaw) > MAX_YAW:
        raise NoHead("head turned")


def make_seed(photo: Image.Image) -> int:
    """A number that the same picture always gives."""
    return crc32(np.asarray(photo.resize((64, 64), Image.Resampling.BOX)).tobytes())


def canvas_matrix(portrait: Portrait) -> np.ndarray:
    """From the portrait's canvas to the photo, (2, 3)."""
    scale = 1 / portrait.scale
    return np.array([[scale, 0, portrait.window[0]], [0, scale, portrait.window[1]]])


def cut_face(photo: Image.Image, points: np.ndarray, size: int) -> Image.Image:
    """The photo's face as FFHQ cuts it.

    Args:
        photo: RGB.
        points: (5, 2) of `Fit`.
        size: Px of the square.
    """
    return Image.fromarray(cut(photo, ffhq_matrix(points, size), size))
