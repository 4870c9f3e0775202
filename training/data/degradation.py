"""Photos as people upload them: blurred, noisy, compressed."""

import cv2
import numpy as np


def degrade(photo: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A photo a little blurred, noisy and compressed, each in a share of the samples.

    Args:
        photo: uint8 RGB (H, W, 3).
        rng: the source of randomness.
    """
    if rng.random() < 0.3:
        photo = cv2.GaussianBlur(photo, (0, 0), rng.uniform(0.4, 1.2))
    if rng.random() < 0.5:
        noise = rng.normal(0, rng.uniform(1, 6), photo.shape)
        photo = np.clip(photo + noise, 0, 255).astype(np.uint8)
    if rng.random() < 0.4:
        quality = int(rng.integers(50, 95))
        packed = cv2.imencode(".jpg", photo[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        photo = cv2.imdecode(packed, cv2.IMREAD_COLOR)[..., ::-1]
    return photo
