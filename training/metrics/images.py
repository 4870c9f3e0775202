"""Metrics of single images: SSIM, edges, chroma, skin."""

import cv2
import numpy as np
from PIL import Image

from toonify.faces import Face

CROP_PX = 96
SHORT_SIDE_PX = 288  # the one scale at which style and edges are looked at
FACE_UNIT_PX = 60  # eye distance at which skin is looked at
SMOOTH_SKIN = 2.0  # deviations of L, of `skin_detail`


def at_short_side(picture: Image.Image) -> Image.Image:
    """The picture scaled to a short side of 288 px; one that has it already comes out unchanged."""
    scale = SHORT_SIDE_PX / min(picture.size)
    size = tuple(max(CROP_PX, round(side * scale)) for side in picture.size)
    return picture.resize(size, Image.Resampling.LANCZOS)


# One picture, or a photo and its drawing -------------------------------------------------------


def luminance(picture: Image.Image) -> np.ndarray:
    """BT.601 luma, float32 (H, W) in [0, 255]."""
    return cv2.cvtColor(np.asarray(picture), cv2.COLOR_RGB2GRAY).astype(np.float32)


def ssim(picture: Image.Image, other: Image.Image) -> float:
    """Mean structural similarity of the luminances; 1 for equal pictures. Sizes must agree.

    Wang et al., "Image quality assessment", 2004: Gaussian window of 11 px, sigma 1.5.
    """
    if picture.size != other.size:
        raise ValueError(f"sizes {picture.size} and {other.size}: expected equal ones")
    x, y = luminance(picture), luminance(other)

    def blur(values):
        return cv2.GaussianBlur(values, (11, 11), 1.5)

    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    mx, my = blur(x), blur(y)
    vx, vy, cov = blur(x * x) - mx**2, blur(y * y) - my**2, blur(x * y) - mx * my
    similar = (2 * mx * my + c1) * (2 * cov + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))
    return float(similar.mean())


def edge_density(picture: Image.Image) -> float:
    """Share of pixels, 0 to 1, on Canny edges of the luma at a short side of 288 px.

    Canny, 1986, with Sobel gradients (L2) and thresholds 100 and 200, as CartoonGAN's edge
    smoothing has them. A small picture that is enlarged to that side has soft edges and counts low.
    """
    grey = cv2.cvtColor(np.asarray(at_short_side(picture)), cv2.COLOR_RGB2GRAY)
    return float((cv2.Canny(grey, 100, 200, L2gradient=True) > 0).mean())


def chroma(picture: Image.Image) -> float:
    """Mean CIELAB chroma, sqrt(a^2 + b^2), at a short side of 288 px; 0 for grey, 5 to 35 for
    portraits."""
    lab = cv2.cvtColor(np.asarray(at_short_side(picture), np.float32) / 255, cv2.COLOR_RGB2LAB)
    return float(np.hypot(lab[..., 1], lab[..., 2]).mean())


def stuck_share(photo: Image.Image, drawing: Image.Image) -> float:
    """Share of the drawing, 0 to 1, in droplets: blobs of stuck colour that the photo has not.

    A pixel is stuck where two or three channels lie at the end of their range (at most 2, or at
    least 253) and one of them is 96 or more away from the photo's. It counts in blobs that hold a
    disc of 9 px at a short side of 288 px, which ink lines and highlights do not. Values that were
    not finite come out of the pipeline as black, so they are found too, unless the photo is black.
    """
    drawn, seen = (np.asarray(at_short_side(p)).astype(np.int16) for p in (drawing, photo))
    ends = (drawn <= 2) | (drawn >= 253)
    stuck = (ends.sum(2) >= 2) & ((np.abs(drawn - seen) * ends).max(2) >= 96)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (9, 9))
    return float(cv2.morphologyEx(stuck.astype(np.uint8), cv2.MORPH_OPEN, disc).mean())


def skin_discs(face: Face) -> list[tuple[float, float, float]]:
    """(x, y, radius) in the photo of three discs of plain skin: both cheeks and the forehead.

    The cheeks' lie further out than those of `cheek_colour`, clear of the folds of a smile.
    """
    left, right, _, mouth_left, mouth_right = np.asarray(face.points, np.float64)
    unit, eyes = np.linalg.norm(right - left), (left + right) / 2
    up = eyes - (mouth_left + mouth_right) / 2
    centres = (
        0.5 * left + 0.5 * mouth_left + 0.2 * (left - eyes),
        0.5 * right + 0.5 * mouth_right + 0.2 * (right - eyes),
        eyes + 0.65 * unit * up / max(np.linalg.norm(up), 1e-6),
    )
    return [(float(x), float(y), 0.12 * float(unit)) for x, y in centres]


def skin_detail(picture: Image.Image, face: Face) -> np.ndarray:
    """Fine detail on `skin_discs`: (3,) standard deviations of CIELAB L, after a high pass.

    The face is scaled to 60 px between the eyes; what a Gaussian of 2.4 px (0.04 eye distances)
    takes away is fine detail: wrinkles, pores, scratches, but no shading. About 0.3 to 2 on a
    photo's plain skin, 0 on a flat drawing, 3 and more across a line; nan for a disc that does not
    lie wholly in the picture.
    """
    scale = FACE_UNIT_PX / face.eye_distance
    found = []
    for x, y, radius in skin_discs(face):
        if not (radius <= x <= picture.width - radius and radius <= y <= picture.height - radius):
            found.append(np.nan)
            continue
        margin = radius + 0.15 * face.eye_distance  # the Gaussian looks this far over the disc
        box = (
            max(0.0, x - margin),
            max(0.0, y - margin),
            min(float(picture.width), x + margin),
            min(float(picture.height), y + margin),
        )
        size = (max(1, round((box[2] - box[0]) * scale)), max(1, round((box[3] - box[1]) * scale)))
        patch = np.asarray(picture.resize(size, Image.Resampling.LANCZOS, box=box), np.float32)
        light = cv2.cvtColor(patch / 255, cv2.COLOR_RGB2LAB)[..., 0]
        detail = light - cv2.GaussianBlur(light, (0, 0), 0.04 * FACE_UNIT_PX)
        rows, columns = np.mgrid[: size[1], : size[0]] + 0.5  # centres of pixels
        away = np.hypot(columns - (x - box[0]) * scale, rows - (y - box[1]) * scale)
        found.append(float(detail[away <= radius * scale].std()))
    return np.array(found)


def skin_roughness(photo: Image.Image, drawing: Image.Image, face: Face) -> list[float]:
    """Detail of the drawing's skin as a share of the photo's, for each disc smooth in the photo.

    Smooth is a `skin_detail` of at most 2, which leaves out beards, fringes and deep wrinkles. A
    photo's detail counts as at least 0.5, about what noise and rounding give. Above 1 the drawing
    is rougher than the skin; 2 and more is a line or a scratch where there was none.
    """
    before, after = skin_detail(photo, face), skin_detail(drawing, face)
    return [
        float(drawn / max(seen, 0.5))
        for seen, drawn in zip(before, after, strict=True)
        if seen <= SMOOTH_SKIN
    ]


def cheek_colour(picture: Image.Image, face: Face) -> np.ndarray:
    """Median CIELAB colour (L in [0, 100], a, b) of both cheeks of a face in the picture.

    The cheeks are discs beside the nose, half way from the eyes to the mouth.
    """
    left, right, _, mouth_left, mouth_right = np.asarray(face.points, np.float64)
    unit = np.linalg.norm(right - left)
    patches = []
    for eye, corner in ((left, mouth_left), (right, mouth_right)):
        outward = eye - (left + right) / 2
        centre = 0.45 * eye + 0.55 * corner + 0.12 * outward
        radius = max(1, int(0.14 * unit))
        x, y = np.round(centre).astype(int)
        patch = np.asarray(picture)[
            max(0, y - radius) : y + radius + 1, max(0, x - radius) : x + radius + 1
        ]
        if patch.size:
            patches.append(patch.reshape(-1, 3))
    if not patches:
        raise ValueError("the face's cheeks lie outside the picture")
    pixels = np.concatenate(patches).astype(np.float32)[None] / 255
    return np.median(cv2.cvtColor(pixels, cv2.COLOR_RGB2LAB)[0], axis=0)


def hue_shift(colour: np.ndarray, other: np.ndarray) -> float:
    """Angle in degrees, 0 to 180, between the hues of two CIELAB colours."""
    angles = [np.degrees(np.arctan2(c[2], c[1])) for c in (colour, other)]
    return float(abs((angles[0] - angles[1] + 180) % 360 - 180))


def skin_tone(colour: np.ndarray) -> str:
    """`light`, `medium` or `dark` by individual typology angle of a CIELAB skin colour.

    ITA = atan((L - 50) / b); above 41 degrees light, below 10 dark (Chardon et al., 1991, with
    its six classes taken two by two).
    """
    angle = np.degrees(np.arctan2(colour[0] - 50, colour[2]))
    return "light" if angle > 41 else "medium" if angle > 10 else "dark"
