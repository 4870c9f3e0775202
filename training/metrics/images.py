"""Metrics of single images: SSIM, edges, chroma, skin."""

import cv2
import numpy as np
from PIL import Image

from toonify.faces import Face

CROP_PX = 96  # side of the crops that style statistics are of
SHORT_SIDE_PX = 288  # the one scale at which style and edges are measured
FACE_UNIT_PX = 60  # eye distance at which skin is measured
SMOOTH_SKIN = 2.0  # deviations of L, of `skin_detail`


def at_short_side(image: Image.Image) -> Image.Image:
    """The image scaled to a short side of 288 px; unchanged if it has that size."""
    scale = SHORT_SIDE_PX / min(image.size)
    size = tuple(max(CROP_PX, round(side * scale)) for side in image.size)
    return image.resize(size, Image.Resampling.LANCZOS)


# One image, or a photo and its toon -------------------------------------------------------


def luminance(image: Image.Image) -> np.ndarray:
    """BT.601 luma, float32 (H, W) in [0, 255]."""
    return cv2.cvtColor(np.asarray(image), cv2.COLOR_RGB2GRAY).astype(np.float32)


def ssim(image: Image.Image, other: Image.Image) -> float:
    """Mean structural similarity (SSIM) of the luminances of two images.

    Wang et al., "Image quality assessment", 2004: Gaussian window of 11 px, sigma 1.5.

    Args:
        image, other: RGB images of one size.

    Returns:
        -1 to 1; 1 for equal images.

    Raises:
        ValueError: the sizes differ.
    """
    if image.size != other.size:
        raise ValueError(f"sizes {image.size} and {other.size}: expected equal ones")
    x, y = luminance(image), luminance(other)

    def blur(values):
        return cv2.GaussianBlur(values, (11, 11), 1.5)

    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    mx, my = blur(x), blur(y)
    vx, vy, cov = blur(x * x) - mx**2, blur(y * y) - my**2, blur(x * y) - mx * my
    similar = (2 * mx * my + c1) * (2 * cov + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))
    return float(similar.mean())


def edge_density(image: Image.Image) -> float:
    """Share of pixels, 0 to 1, on Canny edges of the luma at a short side of 288 px.

    Canny, 1986, with Sobel gradients (L2) and thresholds 100 and 200, as in CartoonGAN's edge
    smoothing. A smaller image is enlarged, which softens its edges and lowers the value.
    """
    gray = cv2.cvtColor(np.asarray(at_short_side(image)), cv2.COLOR_RGB2GRAY)
    return float((cv2.Canny(gray, 100, 200, L2gradient=True) > 0).mean())


def chroma(image: Image.Image) -> float:
    """Mean CIELAB chroma, sqrt(a^2 + b^2), at a short side of 288 px.

    0 for gray images, 5 to 35 for portraits.
    """
    lab = cv2.cvtColor(np.asarray(at_short_side(image), np.float32) / 255, cv2.COLOR_RGB2LAB)
    return float(np.hypot(lab[..., 1], lab[..., 2]).mean())


def droplet_share(photo: Image.Image, toon: Image.Image) -> float:
    """Share of the toon, 0 to 1, in droplets: blobs of saturated color that are not in the photo.

    A pixel is saturated if two or three channels are at most 2 or at least 253, and one of them
    differs by 96 or more from the photo's. It counts if its blob contains a disc of 9 px at a short
    side of 288 px, which ink lines and highlights do not. Non-finite values come out of the
    pipeline as black, so they are found too, unless the photo is black.
    """
    after, before = (np.asarray(at_short_side(p)).astype(np.int16) for p in (toon, photo))
    ends = (after <= 2) | (after >= 253)
    saturated = (ends.sum(2) >= 2) & ((np.abs(after - before) * ends).max(2) >= 96)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (9, 9))
    return float(cv2.morphologyEx(saturated.astype(np.uint8), cv2.MORPH_OPEN, disc).mean())


def skin_discs(face: Face) -> list[tuple[float, float, float]]:
    """(x, y, radius) in the photo of three discs of plain skin: both cheeks and the forehead.

    The cheeks' discs are further out than those of `cheek_color`, clear of the folds of a smile.
    """
    left, right, _, mouth_left, mouth_right = np.asarray(face.points, np.float64)
    unit, eyes = np.linalg.norm(right - left), (left + right) / 2
    up = eyes - (mouth_left + mouth_right) / 2
    centers = (
        0.5 * left + 0.5 * mouth_left + 0.2 * (left - eyes),
        0.5 * right + 0.5 * mouth_right + 0.2 * (right - eyes),
        eyes + 0.65 * unit * up / max(np.linalg.norm(up), 1e-6),
    )
    return [(float(x), float(y), 0.12 * float(unit)) for x, y in centers]


def skin_detail(image: Image.Image, face: Face) -> np.ndarray:
    """Fine detail of skin: standard deviations of CIELAB L on `skin_discs` after a high pass.

    The face is scaled to 60 px between the eyes. The high pass is what a Gaussian of 2.4 px (0.04
    eye distances) removes: wrinkles, pores and scratches, but no shading.

    Returns:
        (3,): about 0.3 to 2 on a photo's plain skin, 0 on a flat toon, 3 and more across a line;
        nan for a disc that is not entirely in the image.
    """
    scale = FACE_UNIT_PX / face.eye_distance
    found = []
    for x, y, radius in skin_discs(face):
        if not (radius <= x <= image.width - radius and radius <= y <= image.height - radius):
            found.append(np.nan)
            continue
        margin = radius + 0.15 * face.eye_distance  # room for the Gaussian
        box = (
            max(0.0, x - margin),
            max(0.0, y - margin),
            min(float(image.width), x + margin),
            min(float(image.height), y + margin),
        )
        size = (max(1, round((box[2] - box[0]) * scale)), max(1, round((box[3] - box[1]) * scale)))
        patch = np.asarray(image.resize(size, Image.Resampling.LANCZOS, box=box), np.float32)
        light = cv2.cvtColor(patch / 255, cv2.COLOR_RGB2LAB)[..., 0]
        detail = light - cv2.GaussianBlur(light, (0, 0), 0.04 * FACE_UNIT_PX)
        rows, columns = np.mgrid[: size[1], : size[0]] + 0.5  # centers of pixels
        away = np.hypot(columns - (x - box[0]) * scale, rows - (y - box[1]) * scale)
        found.append(float(detail[away <= radius * scale].std()))
    return np.array(found)


def skin_roughness(photo: Image.Image, toon: Image.Image, face: Face) -> list[float]:
    """Ratios of the skin detail of the toon to that of the photo, of discs smooth in the photo.

    Smooth means a `skin_detail` of at most 2, which excludes beards, bangs and deep wrinkles. The
    photo's detail counts as at least 0.5, about that of noise and rounding. Above 1 the toon is
    rougher than the skin; 2 and more is a line or scratch that the photo does not have.
    """
    before, after = skin_detail(photo, face), skin_detail(toon, face)
    return [
        float(detail / max(skin, 0.5))
        for skin, detail in zip(before, after, strict=True)
        if skin <= SMOOTH_SKIN
    ]


def cheek_color(image: Image.Image, face: Face) -> np.ndarray:
    """Median CIELAB color (L in [0, 100], a, b) of both cheeks of a face in the image.

    The cheeks are squares beside the nose, halfway from the eyes to the mouth.

    Raises:
        ValueError: the cheeks are outside the image.
    """
    left, right, _, mouth_left, mouth_right = np.asarray(face.points, np.float64)
    unit = np.linalg.norm(right - left)
    patches = []
    for eye, corner in ((left, mouth_left), (right, mouth_right)):
        outward = eye - (left + right) / 2
        center = 0.45 * eye + 0.55 * corner + 0.12 * outward
        radius = max(1, int(0.14 * unit))
        x, y = np.round(center).astype(int)
        patch = np.asarray(image)[
            max(0, y - radius) : y + radius + 1, max(0, x - radius) : x + radius + 1
        ]
        if patch.size:
            patches.append(patch.reshape(-1, 3))
    if not patches:
        raise ValueError("the face's cheeks lie outside the image")
    pixels = np.concatenate(patches).astype(np.float32)[None] / 255
    return np.median(cv2.cvtColor(pixels, cv2.COLOR_RGB2LAB)[0], axis=0)


def hue_shift(color: np.ndarray, other: np.ndarray) -> float:
    """Angle in degrees, 0 to 180, between the hues of two CIELAB colors."""
    angles = [np.degrees(np.arctan2(c[2], c[1])) for c in (color, other)]
    return float(abs((angles[0] - angles[1] + 180) % 360 - 180))


def skin_tone(color: np.ndarray) -> str:
    """`light`, `medium` or `dark` by individual typology angle of a CIELAB skin color.

    ITA = atan((L - 50) / b); above 41 degrees light, below 10 dark (Chardon et al., 1991, with
    pairs of its six classes merged).
    """
    angle = np.degrees(np.arctan2(color[0] - 50, color[2]))
    return "light" if angle > 41 else "medium" if angle > 10 else "dark"
