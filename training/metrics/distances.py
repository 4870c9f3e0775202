"""Distances between sets of images: kernel, Frechet and style distances."""

from collections.abc import Callable

import numpy as np
import torch
from PIL import Image

from toonify import images
from training.core.perceptual import MobileNetV2Features
from training.metrics.images import CROP_PX, at_short_side, ssim

STAGES = (1, 3, 6, 10)
NOISE = 0.01  # style distances below this are noise: two sets of one style have about 0.002
SUBSET = 1000  # rows of each set that one kernel estimate compares, as KID is defined
MIN_SSIM = 0.5  # a toon below it no longer shows its photo
SSIM_PENALTY = 5.0  # an SSIM of 0.3 costs as much as no style at all


def style_statistics(
    pictures: list[Image.Image],
    features: MobileNetV2Features,
    crops: int = 600,
    seed: int = 0,
) -> np.ndarray:
    """Means and standard deviations of feature channels of random crops.

    Crops are 96 px, of images scaled to a short side of 288 px. Equal seeds take crops at equal
    relative positions.

    Args:
        pictures: RGB images, one or more.
        features: network with stages 1, 3, 6 and 10.
        crops: number of crops.
        seed: random seed of the crops.

    Returns:
        (crops, values) float64.
    """
    rng = np.random.default_rng(seed)
    scaled = [at_short_side(picture) for picture in pictures]
    rows = []
    for start in range(0, crops, 50):
        batch = []
        for index in range(start, min(start + 50, crops)):
            picture = scaled[index % len(scaled)]
            x = int(rng.random() * (picture.width - CROP_PX + 1))
            y = int(rng.random() * (picture.height - CROP_PX + 1))
            batch.append(images.to_tensor(picture.crop((x, y, x + CROP_PX, y + CROP_PX))))
        with torch.inference_mode():
            found = features(torch.cat(batch).to(features.mean.device))
        parts = []
        for stage in STAGES:
            parts += [found[stage].mean((2, 3)), found[stage].std((2, 3))]
        rows.append(torch.cat(parts, 1).double().cpu().numpy())
    return np.concatenate(rows)


def kernel_distance(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Unbiased squared maximum mean discrepancy (MMD), cubic kernel, of two sets of rows.

    Values are standardized over both sets together. Binkowski et al., "Demystifying MMD GANs",
    ICLR 2018. Zero, up to noise of either sign, for samples of one distribution.
    """
    both = np.concatenate([ours, theirs])
    mean, std = both.mean(0), both.std(0) + 1e-8
    return kernel_estimate((ours - mean) / std, (theirs - mean) / std)[0]


def kernel_inception_distance(
    ours: np.ndarray,
    theirs: np.ndarray,
    subset: int = SUBSET,
    subsets: int = 100,
    seed: int = 0,
) -> tuple[float, float]:
    """Kernel inception distance (KID) of two sets of an extractor's rows.

    Binkowski et al., "Demystifying MMD GANs", ICLR 2018: the unbiased squared MMD of the kernel
    (x.y / d + 1)^3, not multiplied by 1000. Sets of at most `subset` rows are compared whole.

    Args:
        ours, theirs: (n, d) and (m, d) float64.
        subset: number of rows of the random subsets that larger sets are compared by.
        subsets: number of subsets.
        seed: random seed of the subsets.

    Returns:
        The distance and its standard error: the jackknife's, or that of the mean over subsets.

    Raises:
        ValueError: a set has fewer than 3 rows.
    """
    n, m = len(ours), len(theirs)
    if min(n, m) < 3:
        raise ValueError(f"sets of {n} and {m} images: expected at least 3 in each")
    if max(n, m) <= subset:
        return kernel_estimate(ours, theirs)
    rng = np.random.default_rng(seed)
    values = []
    for _ in range(subsets):
        few = (min(n, subset), min(m, subset))
        x, y = rng.choice(n, few[0], replace=False), rng.choice(m, few[1], replace=False)
        values.append(kernel_estimate(ours[x], theirs[y])[0])
    return float(np.mean(values)), float(np.std(values, ddof=1) / np.sqrt(subsets))


def kernel_estimate(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Unbiased squared MMD of two sets with the cubic kernel, and its jackknife standard error."""

    def kernel(a, b):
        return (a @ b.T / a.shape[1] + 1) ** 3

    n, m = len(x), len(y)
    xx, yy, xy = kernel(x, x), kernel(y, y), kernel(x, y)
    np.fill_diagonal(xx, 0)
    np.fill_diagonal(yy, 0)
    sums = (xx.sum(), yy.sum(), xy.sum())
    value = sums[0] / (n * (n - 1)) + sums[1] / (m * (m - 1)) - 2 * sums[2] / (n * m)
    # The value without one row of x, or of y, from the sums.
    without_x = (
        (sums[0] - 2 * xx.sum(1)) / ((n - 1) * (n - 2))
        + sums[1] / (m * (m - 1))
        - 2 * (sums[2] - xy.sum(1)) / ((n - 1) * m)
    )
    without_y = (
        sums[0] / (n * (n - 1))
        + (sums[1] - 2 * yy.sum(1)) / ((m - 1) * (m - 2))
        - 2 * (sums[2] - xy.sum(0)) / (n * (m - 1))
    )
    variance = (n - 1) * without_x.var() + (m - 1) * without_y.var()
    return float(value), float(np.sqrt(variance))


def frechet_distance(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Squared Frechet distance of Gaussians fitted to two sets of rows; zero for equal sets.

    Heusel et al., NeurIPS 2017: |mean - mean'|^2 + tr(C + C' - 2 (C C')^(1/2)). With C = A^T A and
    C' = B^T B the last trace is the sum of the singular values of A B^T. That avoids the root of a
    nonsymmetric matrix and works with fewer rows than dimensions. Biased upwards by about 1/n:
    compare only figures of equal n and m.

    Args:
        ours, theirs: (n, d) and (m, d).

    Raises:
        ValueError: a set has fewer than 2 rows.
    """
    if min(len(ours), len(theirs)) < 2:
        raise ValueError(
            f"sets of {len(ours)} and {len(theirs)} images: expected at least 2 in each"
        )
    means, roots = [], []
    for rows in (np.asarray(ours, np.float64), np.asarray(theirs, np.float64)):
        means.append(rows.mean(0))
        root = (rows - means[-1]) / np.sqrt(len(rows) - 1)
        # R of root = QR has the same products and at most d rows.
        roots.append(np.linalg.qr(root, mode="r") if len(root) > root.shape[1] else root)
    shared = np.linalg.svd(roots[0] @ roots[1].T, compute_uv=False).sum()
    spread = sum((root**2).sum() for root in roots) - 2 * shared
    return float(((means[0] - means[1]) ** 2).sum() + max(spread, 0.0))


def style_ratio(after: float, before: float) -> float:
    """The toons' style distance as a share of the photos'; 1 means no gain.

    The photos' distance counts as at least 0.01.
    """
    return after / max(before, NOISE)


def checkpoint_score(ratio: float, similarity: float) -> float:
    """Score to choose a checkpoint by, lower is better.

    The style ratio, plus 5 for each unit of SSIM below 0.5. A higher SSIM does not count.
    """
    return ratio + SSIM_PENALTY * max(0.0, MIN_SSIM - similarity)


class StyleScore:
    """Scores a generator's toons of a few held-out photos, to choose a checkpoint by.

    Args:
        photos: upright RGB images; small ones are fast.
        style: images of the style.
        features: network with stages 1, 3, 6 and 10, on any device; None for the bundled one.
        crops: number of crops of each set; 200 tell checkpoints of one run apart.
        seed: random seed of the crops.

    Raises:
        ValueError: there are no photos or no images of the style.
    """

    def __init__(
        self,
        photos: list[Image.Image],
        style: list[Image.Image],
        features: MobileNetV2Features | None = None,
        *,
        crops: int = 200,
        seed: int = 0,
    ):
        if not photos or not style:
            raise ValueError(
                f"{len(photos)} photos and {len(style)} style images: expected at least one each"
            )
        self.features = features or MobileNetV2Features(STAGES)
        assert set(STAGES) <= set(self.features.stages), self.features.stages
        self.photos, self.crops, self.seed = photos, crops, seed
        self.style = self.statistics(style)
        self.before = kernel_distance(self.statistics(photos), self.style)

    def statistics(self, pictures: list[Image.Image]) -> np.ndarray:
        return style_statistics(pictures, self.features, self.crops, self.seed)

    def score(self, draw: Callable[[Image.Image], Image.Image]) -> dict[str, float]:
        """Metrics of the toons that `draw` makes of the photos, at their size.

        Returns:
            `style_distance_ratio`, the mean `ssim` with the photos, and `score`, the
            `checkpoint_score` of both: lower is better.
        """
        toons = [draw(photo) for photo in self.photos]
        pairs = zip(self.photos, toons, strict=True)
        similarity = float(np.mean([ssim(photo, toon) for photo, toon in pairs]))
        ratio = style_ratio(kernel_distance(self.statistics(toons), self.style), self.before)
        score = checkpoint_score(ratio, similarity)
        return {"style_distance_ratio": ratio, "ssim": similarity, "score": score}
