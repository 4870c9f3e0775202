"""Other colors of people, and the light, blur, noise and compression of everyday photos."""

import cv2
import numpy as np

HAIR, SKIN, CLOTHES = 1, 2, 3  # channels of the masks


def recolor(image: np.ndarray, masks: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Changes the colors of hair, skin and clothes by mask.

    Args:
        image: float32 (H, W, 3) in 0..255.
        masks: float32 (H, W, 4) in [0, 1]: person, hair, skin, clothes.
        rng: the source of randomness.

    Returns:
        A new image: skin lighter or darker, hair of any lightness, gray or dyed, clothes of any
        color.
    """
    lab = cv2.cvtColor(image / 255, cv2.COLOR_RGB2LAB)
    changed = lab.copy()
    for channel, light, chroma, shift in (
        (SKIN, rng.uniform(0.5, 1.15), rng.uniform(0.8, 1.2), 0.0),
        (HAIR, rng.uniform(0.6, 1.7), rng.uniform(0, 1.3), 12.0 * (rng.random() < 0.3)),
        (CLOTHES, rng.uniform(0.4, 1.5), rng.uniform(0, 1.5), 30.0),
    ):
        if rng.random() < 0.3:
            continue
        new = lab * np.array([light, chroma, chroma], np.float32)
        new[..., 1:] += rng.normal(0, shift, 2)
        new[..., 0] = np.minimum(new[..., 0], 0.5 * new[..., 0] + 48)  # bright parts keep relief
        changed += masks[..., channel : channel + 1] * (new - lab)
    return np.clip(cv2.cvtColor(changed, cv2.COLOR_LAB2RGB), 0, 1) * 255


def degrade(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Changes light and color, and blurs, adds noise to, and compresses some images.

    Args:
        image: float32 (H, W, 3) in 0..255.
        rng: the source of randomness.

    Returns:
        uint8 (H, W, 3).
    """
    image = np.clip(image / 255, 0, 1) ** np.exp(rng.normal(0, 0.25))  # gamma
    mean = image.mean()
    image = mean + (image - mean) * rng.uniform(0.7, 1.25)
    image = image * (1 + rng.normal(0, 0.06, 3)) + rng.normal(0, 0.05)
    if rng.random() < 0.2:  # light from one side
        angle, strength = rng.uniform(0, 2 * np.pi), rng.uniform(0.2, 0.7)
        rows, columns = (np.linspace(-0.5, 0.5, length) for length in image.shape[:2])
        across = np.cos(angle) * rows[:, None] + np.sin(angle) * columns
        image = image * (1 + strength * across)[..., None]
    gray = image @ np.array([0.299, 0.587, 0.114])
    color = 0.0 if rng.random() < 0.08 else rng.uniform(0.4, 1.4)
    image = (gray[..., None] + color * (image - gray[..., None])).astype(np.float32)
    if rng.random() < 0.25:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.4, 0.6 + image.shape[0] / 120))
    if rng.random() < 0.25:
        image = image + rng.normal(0, rng.uniform(0.01, 0.08), image.shape)
    image = np.clip(np.rint(image * 255), 0, 255).astype(np.uint8)
    if rng.random() < 0.3:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(20, 90))]
        image = cv2.imdecode(cv2.imencode(".jpg", image, quality)[1], cv2.IMREAD_COLOR)
    return image
