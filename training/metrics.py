"""Figures about drawings; each that looks through a network carries the network's name.

Pictures are upright RGB `PIL.Image`s.
"""

import cv2
import numpy as np
import torch
from PIL import Image

from toonify import images
from toonify.faces import Face
from training.perceptual import MobileNetV2Features

CROP_PX = 96
SHORT_SIDE_PX = 288
STAGES = (1, 3, 6, 10)


def style_statistics(
    pictures: list[Image.Image],
    features: MobileNetV2Features,
    crops: int = 600,
    seed: int = 0,
) -> np.ndarray:
    """Means and deviations of every channel of stages 1, 3, 6, 10 for random crops.

    Crops of 96 px from pictures scaled to a short side of 288 px; (crops, values) float64. Equal
    seeds take crops at equal relative places, so sets of equal sizes are compared place by place.
    """
    rng = np.random.default_rng(seed)
    scaled = []
    for picture in pictures:
        scale = SHORT_SIDE_PX / min(picture.size)
        size = tuple(max(CROP_PX, round(side * scale)) for side in picture.size)
        scaled.append(picture.resize(size, Image.Resampling.LANCZOS))
    rows = []
    for start in range(0, crops, 50):
        batch = []
        for index in range(start, min(start + 50, crops)):
            picture = scaled[index % len(scaled)]
            x = int(rng.random() * (picture.width - CROP_PX + 1))
            y = int(rng.random() * (picture.height - CROP_PX + 1))
            batch.append(images.to_tensor(picture.crop((x, y, x + CROP_PX, y + CROP_PX))))
        with torch.inference_mode():
            found = features(torch.cat(batch))
        parts = []
        for stage in STAGES:
            parts += [found[stage].mean((2, 3)), found[stage].std((2, 3))]
        rows.append(torch.cat(parts, 1).double().numpy())
    return np.concatenate(rows)


def kernel_distance(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Unbiased squared maximum mean discrepancy, cubic kernel, of two sets of rows.

    Values are standardised over both sets together. Binkowski et al., "Demystifying MMD GANs",
    ICLR 2018. Zero, up to noise of either sign, for samples of one distribution.
    """
    both = np.concatenate([ours, theirs])
    mean, std = both.mean(0), both.std(0) + 1e-8
    x, y = (ours - mean) / std, (theirs - mean) / std

    def kernel(a, b):
        return (a @ b.T / a.shape[1] + 1) ** 3

    n, m = len(x), len(y)
    xx, yy = kernel(x, x), kernel(y, y)
    within = (xx.sum() - np.trace(xx)) / (n * (n - 1)) + (yy.sum() - np.trace(yy)) / (m * (m - 1))
    return float(within - 2 * kernel(x, y).mean())


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
