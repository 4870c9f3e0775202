"""ADA: adaptive augmentation of what a discriminator sees, differentiable twice, as R1 needs.

Karras et al., "Training generative adversarial networks with limited data", NeurIPS 2020, appendix
B. Images are (N, 3, H, W) in [-1, 1]; a sample's augmentation depends on its seed alone.
"""

import math
from functools import lru_cache

import torch
import torch.nn.functional as F

from training.data.aligned import seeded_normal

BLIT = ("flip", "rotate90", "translate_int")
GEOMETRY = ("scale", "rotate", "anisotropic", "translate")
COLOR = ("brightness", "contrast", "luma_flip", "hue", "saturation")
CORRUPTION = ("filter", "noise", "cutout")
TRANSFORMS = (*BLIT, *GEOMETRY, *COLOR, *CORRUPTION)

# Set -> transform -> (factor of its probability, factor of its strength); others are off.
AUGMENTATIONS = {
    "ada": dict.fromkeys((*BLIT, *GEOMETRY, *COLOR), (1.0, 1.0)),
    # With rotations and hues, a generator of cartoons learns rotated and recolored faces.
    "toon": {
        "flip": (1.0, 1.0),
        "translate_int": (1.0, 1.0),
        "scale": (1.0, 0.5),
        "rotate": (1.0, 0.04),
        "anisotropic": (1.0, 0.25),
        "translate": (1.0, 0.25),
        "brightness": (1.0, 0.5),
        "contrast": (1.0, 0.5),
        "saturation": (1.0, 0.5),
        "cutout": (1.0, 1.0),
    },
    "full": dict.fromkeys(TRANSFORMS, (1.0, 1.0)),
}

# The low-pass filter of the symlet with six vanishing moments.
SYM6 = (
    0.015404109327027373, 0.0034907120842174702, -0.11799011114819057, -0.048311742585633,
    0.4910559419267466, 0.787641141030194, 0.3379294217276218, -0.07263752278646252,
    -0.021060292512300564, 0.04472490177066578, 0.0017677118642428036, -0.007800708325034148,
)  # fmt: skip
# The fine pixel at a coarse one: the filter's center of mass, not the middle of its taps.
SYM6_CENTER = sum(i * tap for i, tap in enumerate(SYM6)) / sum(SYM6)
SYM2 = tuple((a + b * math.sqrt(3)) / math.sqrt(32) for a, b in ((1, 1), (3, 1), (3, -1), (1, -1)))
# Share of a natural image's power in each octave of `octaves`, lowest first.
POWER = (10 / 13, 1 / 13, 1 / 13, 1 / 13)

EYE = torch.eye(4, dtype=torch.float64)
LUMA = F.pad(torch.full((3, 3), 1 / 3, dtype=torch.float64), (0, 1, 0, 1))  # onto the grays
CHROMA = torch.diag(torch.tensor([1.0, 1.0, 1.0, 0.0], dtype=torch.float64)) - LUMA

NOISE = 1 << 16  # salt of the noise, far from those of the training


class GridSample(torch.autograd.Function):
    """Bilinear sampling, a linear map of the image."""

    @staticmethod
    def forward(ctx, image, grid):
        ctx.save_for_backward(grid)
        ctx.shape = image.shape
        return F.grid_sample(image, grid, "bilinear", "zeros", align_corners=False)

    @staticmethod
    def backward(ctx, gradient):
        (grid,) = ctx.saved_tensors
        return GridScatter.apply(gradient, grid, ctx.shape), None


class GridScatter(torch.autograd.Function):
    """The transpose of `GridSample`: adds each point's value to the pixels that it samples."""

    @staticmethod
    def forward(ctx, gradient, grid, shape):
        ctx.save_for_backward(grid)
        image = gradient.new_zeros(1).expand(shape)  # not read without the grid's gradient
        return torch.ops.aten.grid_sampler_2d_backward(
            gradient, image, grid, 0, 0, False, [True, False]
        )[0]

    @staticmethod
    def backward(ctx, gradient):
        (grid,) = ctx.saved_tensors
        return GridSample.apply(gradient, grid), None, None


def grid_sample(image: torch.Tensor, grid: torch.Tensor) -> torch.Tensor:
    """Image (N, C, H, W) at a grid (N, h, w, 2) of (x, y) in [-1, 1]: (N, C, h, w), image's type.

    `F.grid_sample`, bilinear with zeros outside, but differentiable twice by the image and not by
    the grid. Half types are computed in float32.
    """
    with torch.autocast(image.device.type, enabled=False):
        wide = image.float() if image.dtype.itemsize < 4 else image
        return GridSample.apply(wide, grid.detach().to(wide.dtype)).to(image.dtype)


class AugmentNumbers:
    """Random numbers (N,) per transform, zero in samples that do not get it.

    All are multiplied by the strength, so that a strength of 0 changes nothing.
    """

    def __init__(
        self, seeds: torch.Tensor, p: float, augmentations: dict[str, tuple[float, float]]
    ):
        self.p, self.augmentations = p, augmentations
        # Four gates and four values per transform.
        self.z = seeded_normal(seeds, 0, len(TRANSFORMS), 8).double()
        self.u = torch.special.ndtr(self.z)

    def strength(self, name: str, gate: int = 0) -> torch.Tensor:
        chance, strength = self.augmentations.get(name, (0.0, 0.0))
        p = self.p * chance
        if name == "rotate":  # before or after the stretch: both together have probability p
            p = 1 - math.sqrt(max(0.0, 1 - p))
        return strength * (self.u[:, TRANSFORMS.index(name), gate] < p)

    def normal(self, name: str, value: int = 0, gate: int = 0) -> torch.Tensor:
        return self.strength(name, gate) * self.z[:, TRANSFORMS.index(name), 4 + value]

    def share(self, name: str, value: int = 0) -> torch.Tensor:
        """Uniform in [0, 1), independent of gate and strength."""
        return self.u[:, TRANSFORMS.index(name), 4 + value]

    def uniform(self, name: str, value: int = 0, gate: int = 0) -> torch.Tensor:
        """Between minus and plus the strength."""
        return self.strength(name, gate) * (2 * self.share(name, value) - 1)

    def choice(self, name: str, count: int) -> torch.Tensor:
        """Uniform whole numbers below `count`; a share of 1 - strength becomes 0."""
        kept = self.share(name, 1) < self.strength(name)
        return (count * self.share(name)).long() * kept


def apply_where(change, images: torch.Tensor, some: torch.Tensor, *numbers: torch.Tensor):
    """`change(images, *numbers)` for the samples in `some` (N,); the others stay."""
    if not some.any():
        return images
    if some.all():
        return change(images, *numbers)
    rows = some.nonzero()[:, 0]
    on_device = rows.to(images.device)
    changed = change(images.index_select(0, on_device), *(number[rows] for number in numbers))
    return images.index_copy(0, on_device, changed)


def fold_coordinates(at: torch.Tensor, length: int) -> torch.Tensor:
    """Reflects coordinates into [0, length - 1] at the outermost pixels."""
    last = length - 1
    return last - (at.remainder(2 * last) - last).abs()


def mirror_matrix(length: int, px: int) -> torch.Tensor:
    """(length + 2 px, length): adds mirrored borders of any width."""
    at = fold_coordinates(torch.arange(-px, length + px), length)
    return F.one_hot(at, length).double()


def banded_matrix(taps: torch.Tensor, rows: int, step: int) -> torch.Tensor:
    """Matrix with the taps in each row, `step` columns further right in each: a strided filter."""
    at = step * torch.arange(rows)[:, None] + torch.arange(len(taps))
    return torch.zeros(rows, int(at[-1, -1]) + 1, dtype=taps.dtype).scatter_(
        1, at, taps.expand_as(at)
    )


def take(images: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
    """Pixel (i, j) of a sample is that at its rows[i] (N, H), columns[j] (N, W)."""
    rows, columns = rows.to(images.device), columns.to(images.device)
    images = images.gather(2, rows[:, None, :, None].expand_as(images))
    return images.gather(3, columns[:, None, None].expand_as(images))


def blit(images: torch.Tensor, mirror, turns, down, right) -> torch.Tensor:
    """Quarter turns to the left, then a mirror (0 or 1), then whole pixels down and right.

    Exact; uncovered borders are mirrored. Numbers are (N,) and whole.
    """
    height, width = images.shape[2:]
    odd = (turns % 2).bool()
    if odd.any():
        assert height == width, images.shape
        odd = odd.view(-1, 1, 1, 1).to(images.device)
        images = torch.where(odd, images.transpose(2, 3), images)
    rows = fold_coordinates(torch.arange(height) - down[:, None], height)
    columns = fold_coordinates(torch.arange(width) - right[:, None], width)
    upside_down = (turns == 1) | (turns == 2)
    left_right = (turns >= 2) ^ mirror.bool()
    rows = torch.where(upside_down[:, None], height - 1 - rows, rows)
    columns = torch.where(left_right[:, None], width - 1 - columns, columns)
    return take(images, rows, columns)


def matrices(*entries) -> torch.Tensor:
    """(N, k, k) of k * k entries row by row, each a number or (N,)."""
    size = math.isqrt(len(entries))
    count = max(entry.numel() for entry in entries if torch.is_tensor(entry))
    columns = [torch.as_tensor(entry, dtype=torch.float64).expand(count) for entry in entries]
    return torch.stack(columns, 1).view(count, size, size)


def scale_matrix(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """(N, 3, 3) that scale by x and y."""
    return matrices(x, 0, 0, 0, y, 0, 0, 0, 1)


def rotation_matrix(angle: torch.Tensor) -> torch.Tensor:
    """(N, 3, 3) that turn by an angle in radians."""
    cos, sin = angle.cos(), angle.sin()
    return matrices(cos, -sin, 0, sin, cos, 0, 0, 0, 1)


def translation_matrix(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """(N, 3, 3) that move by pixels."""
    return matrices(1, 0, x, 0, 1, y, 0, 0, 1)


def upsample_matrix(length: int) -> torch.Tensor:
    """(2 length + 12, length) to twice as fine: pixel k comes to lie at 2k + 1 + SYM6_CENTER.

    Of mirrored borders of 6 px, what the filter covers in full. Up to 256 px a matrix takes less
    of a CPU's time than convolutions, and nowhere a graphics card's TF32.
    """
    taps = math.sqrt(2) * torch.tensor(SYM6, dtype=torch.float64)
    return banded_matrix(taps, length + 12, 2).T[11:-11] @ mirror_matrix(length, 6)


def downsample_matrix(length: int) -> torch.Tensor:
    """(length / 2 - 5, length) to half as fine: pixel k is what lies at 2k + SYM6_CENTER.

    Undoes `upsample_matrix` except at the border, as the filter is orthogonal to its even shifts.
    """
    return banded_matrix(torch.tensor(SYM6, dtype=torch.float64) / math.sqrt(2), length // 2 - 5, 2)


@lru_cache(maxsize=16)
def filters(make, length: int, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """`make(length)` as it is used, made once."""
    return make(length).to(device, dtype)


def resample(make, images: torch.Tensor) -> torch.Tensor:
    """Both sides of the images through the matrix `make(length)`."""
    height, width = images.shape[2:]
    rows = filters(make, height, images.dtype, images.device)
    columns = filters(make, width, images.dtype, images.device)
    return rows @ images @ columns.mT


def grid_place(at: torch.Tensor, length: int) -> torch.Tensor:
    """Coordinates for `grid_sample` of an upsampled image, from pixels from the center."""
    at = at + (length - 1) / 2
    covered = (at >= -3) & (at <= length + 2)
    at = torch.where(covered, at, fold_coordinates(at, length))
    return (2 * at + 1 + SYM6_CENTER + 0.5) / (length + 6) - 1


def warp(images: torch.Tensor, inverse: torch.Tensor) -> torch.Tensor:
    """Images through affine maps, filtered against aliasing, same shape; borders are mirrored.

    `inverse` (N, 3, 3) takes a point (x, y, 1) of the result, in pixels from the center, to the
    point that is drawn there. The identity gives the images again.
    """
    height, width = images.shape[2:]
    inverse = inverse.to(images)[:, :2, :, None, None]
    fine = images.new_tensor([SYM6_CENTER])
    x = (torch.arange(2 * width + 10).to(images) - fine) / 2 - (width - 1) / 2
    y = (torch.arange(2 * height + 10).to(images) - fine) / 2 - (height - 1) / 2
    at = inverse[:, :, 0] * x + inverse[:, :, 1] * y[:, None] + inverse[:, :, 2]
    grid = torch.stack((grid_place(at[:, 0], width), grid_place(at[:, 1], height)), 3)
    return resample(downsample_matrix, grid_sample(resample(upsample_matrix, images), grid))


def geometry_matrix(numbers: AugmentNumbers, height: int, width: int) -> torch.Tensor:
    """(N, 3, 3) from the result to the images, in pixels from the center, in float64."""
    scale = 2 ** (0.2 * numbers.normal("scale"))
    before = math.pi * numbers.uniform("rotate", 0, gate=0)
    after = math.pi * numbers.uniform("rotate", 1, gate=1)
    aspect = 2 ** (0.2 * numbers.normal("anisotropic"))
    right = 0.125 * width * numbers.normal("translate", 0)
    down = 0.125 * height * numbers.normal("translate", 1)
    return (
        scale_matrix(1 / scale, 1 / scale)
        @ rotation_matrix(-before)
        @ scale_matrix(1 / aspect, aspect)
        @ rotation_matrix(-after)
        @ translation_matrix(-right, -down)
    )


def hue_matrix(angle: torch.Tensor) -> torch.Tensor:
    """(N, 4, 4) that turn colors about the axis of grays: Rodrigues' formula."""
    cos, sin = angle.cos().view(-1, 1, 1), angle.sin() / math.sqrt(3)
    across = matrices(0, -sin, sin, 0, sin, 0, -sin, 0, -sin, sin, 0, 0, 0, 0, 0, 0)
    return EYE - CHROMA + cos * CHROMA + across


def saturation_matrix(factor: torch.Tensor) -> torch.Tensor:
    """(N, 4, 4) that scale the distance to gray; 0 makes gray."""
    return EYE - CHROMA + factor.view(-1, 1, 1) * CHROMA


def luma_flip_matrix(flip: torch.Tensor) -> torch.Tensor:
    """(N, 4, 4) that negate luma and keep hue where `flip` is 1, and do nothing where it is 0."""
    return EYE - 2 * flip.view(-1, 1, 1) * LUMA


def color_matrix(numbers: AugmentNumbers) -> torch.Tensor:
    """(N, 4, 4) of (R, G, B, 1) in [-1, 1], in float64; luma is the mean of the three."""
    b = 0.2 * numbers.normal("brightness")
    c = 2 ** (0.5 * numbers.normal("contrast"))
    return (
        saturation_matrix(2 ** numbers.normal("saturation"))
        @ hue_matrix(math.pi * numbers.uniform("hue"))
        @ luma_flip_matrix(numbers.choice("luma_flip", 2))
        @ matrices(c, 0, 0, 0, 0, c, 0, 0, 0, 0, c, 0, 0, 0, 0, 1)
        @ matrices(1, 0, 0, b, 0, 1, 0, b, 0, 0, 1, b, 0, 0, 0, 1)
    )


def recolor(images: torch.Tensor, matrix: torch.Tensor) -> torch.Tensor:
    """Images with their colors, as (R, G, B, 1), times `matrix` (N, 4, 4)."""
    matrix = matrix.to(images)
    mixed = torch.baddbmm(matrix[:, :3, 3:], matrix[:, :3, :3], images.flatten(2))
    return mixed.view_as(images)


def convolve(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """All of a * b, of len(a) + len(b) - 1 taps."""
    return F.conv1d(a.view(1, 1, -1), b.flip(0).view(1, 1, -1), padding=len(b) - 1).flatten()


def octaves(length: int) -> torch.Tensor:
    """Filters (4, length, length) for the octaves of frequency, lowest first; sum: the identity."""
    taps = torch.tensor(SYM2, dtype=torch.float64)
    low = convolve(taps, taps.flip(0)) / 2
    bands, passed = [], torch.ones(1, dtype=torch.float64)
    for spacing in (1, 2, 4):
        spread = torch.zeros(spacing * (len(low) - 1) + 1, dtype=torch.float64)
        spread[::spacing] = low
        lower = convolve(passed, spread)
        bands.append(F.pad(passed, [(len(lower) - len(passed)) // 2] * 2) - lower)
        passed = lower
    bands = (passed, *bands[::-1])
    return torch.stack(
        [banded_matrix(band, length, 1) @ mirror_matrix(length, len(band) // 2) for band in bands]
    )


def octave_gains(numbers: AugmentNumbers) -> torch.Tensor:
    """(N, 4) for `octaves`, in float64: each raised or lowered, at the same expected power."""
    power = torch.tensor(POWER, dtype=torch.float64)
    gains = torch.ones(len(numbers.z), 4, dtype=torch.float64)
    for band in range(4):
        one = torch.ones_like(gains)
        one[:, band] = 2 ** numbers.normal("filter", band, gate=band)
        gains = gains * one / (one.square() @ power).sqrt()[:, None]
    return gains


def refilter(images: torch.Tensor, gains: torch.Tensor) -> torch.Tensor:
    """Images with gains (N, 4) of the `octaves` of rows and of columns, same shape."""
    gains = gains.to(images)
    rows, columns = (
        torch.einsum("nb,bij->nij", gains, filters(octaves, side, images.dtype, images.device))
        for side in images.shape[2:]
    )
    return rows[:, None] @ images @ columns[:, None].mT


def add_noise(images: torch.Tensor, sigma: torch.Tensor, seeds: torch.Tensor) -> torch.Tensor:
    """Images with normal noise of deviation `sigma` (N,), the same for a seed."""
    noise = seeded_normal(seeds, NOISE, *images.shape[1:]).to(images)
    return images + sigma.to(images).view(-1, 1, 1, 1) * noise


def cut_out(images: torch.Tensor, side, x, y) -> torch.Tensor:
    """Gray boxes about (x, y), in shares of the image, all (N,); may reach over the border."""
    height, width = images.shape[2:]
    side = side[:, None]
    below = ((torch.arange(height) + 0.5) / height - y[:, None]).abs() < side / 2
    beside = ((torch.arange(width) + 0.5) / width - x[:, None]).abs() < side / 2
    box = below[:, None, :, None] & beside[:, None, None, :]
    return images * (~box).to(images)


def augment(
    images: torch.Tensor,
    p: float,
    seeds: torch.Tensor,
    augmentations: dict[str, tuple[float, float]] = AUGMENTATIONS["ada"],
) -> torch.Tensor:
    """Applies each transform with probability `p` to each sample; values may leave [-1, 1].

    Args:
        images: (N, 3, H, W) in [-1, 1]; half types are computed in float32.
        p: probability, 0 to 1; 0 changes nothing.
        seeds: int64 (N,) on the CPU.
        augmentations: a value of `AUGMENTATIONS`, or one like them.

    Raises:
        ValueError: `p` is not a probability, or there is no such transform.
    """
    if not 0 <= p <= 1:
        raise ValueError(f"p {p}: expected a probability, 0 to 1")
    if unknown := sorted(set(augmentations) - set(TRANSFORMS)):
        raise ValueError(f"augmentations {unknown}: expected some of {', '.join(TRANSFORMS)}")
    assert seeds.shape == images.shape[:1], (seeds.shape, images.shape)
    if p == 0:
        return images
    with torch.autocast(images.device.type, enabled=False):
        wide = images.float() if images.dtype.itemsize < 4 else images
        return apply_transforms(wide, AugmentNumbers(seeds, p, augmentations), seeds).to(
            images.dtype
        )


def apply_transforms(
    images: torch.Tensor, numbers: AugmentNumbers, seeds: torch.Tensor
) -> torch.Tensor:
    """Applies all stages in the order of the paper, each to the samples that it changes."""
    height, width = images.shape[2:]
    mirror, turns = numbers.choice("flip", 2), numbers.choice("rotate90", 4)
    down = (0.125 * height * numbers.uniform("translate_int", 0)).round().long()
    right = (0.125 * width * numbers.uniform("translate_int", 1)).round().long()
    some = (mirror != 0) | (turns != 0) | (down != 0) | (right != 0)
    images = apply_where(blit, images, some, mirror, turns, down, right)

    inverse = geometry_matrix(numbers, height, width)
    images = apply_where(warp, images, differs(inverse, torch.eye(3)), inverse)
    matrix = color_matrix(numbers)
    images = apply_where(recolor, images, differs(matrix, torch.eye(4)), matrix)
    gains = octave_gains(numbers)
    images = apply_where(refilter, images, differs(gains, torch.ones(4)), gains)
    sigma = 0.1 * numbers.normal("noise").abs()
    images = apply_where(add_noise, images, sigma > 0, sigma, seeds)
    side = 0.5 * numbers.strength("cutout")
    x, y = numbers.share("cutout", 0), numbers.share("cutout", 1)
    return apply_where(cut_out, images, side > 0, side, x, y)


def differs(values: torch.Tensor, neutral: torch.Tensor) -> torch.Tensor:
    """Which samples (N,) have values other than the neutral ones, up to rounding."""
    return ((values - neutral).abs() > 1e-9).flatten(1).any(1)


class AdaptiveP:
    """The probability of ADA, controlled by the discriminator's scores of real images.

    Karras et al. 2020, section 3: r_t, here `sign`, is the mean sign of the scores of real images
    over the last `every` batches. Above `target`, which means overfitting, `p` rises, else it
    falls, by 1 in `images_to_one` images, within [0, cap].

    Raises:
        ValueError: a number is out of range.
    """

    def __init__(
        self,
        target: float = 0.6,
        images_to_one: int = 500_000,
        cap: float = 0.8,
        every: int = 4,
        p: float = 0.0,
    ):
        if not 0 < target < 1:
            raise ValueError(f"--ada-target {target}: expected above 0, below 1")
        if not 0 <= cap <= 1:
            raise ValueError(f"--ada-cap {cap}: expected a probability, 0 to 1")
        if not 0 <= p <= cap:
            raise ValueError(f"--augment-p {p}: expected 0 to --ada-cap {cap}")
        if images_to_one <= 0:
            raise ValueError(f"--ada-images {images_to_one}: expected a number above 0")
        assert every > 0, every
        self.target, self.images_to_one, self.cap, self.every = target, images_to_one, cap, every
        self.p = p
        self.sign = 0.0
        self.signs: list[float | torch.Tensor] = []  # read together: each waits for a GPU

    def update(self, signs_mean: float | torch.Tensor, batch: int) -> None:
        """Counts a batch; `signs_mean`, in [-1, 1], is the mean sign over all processes."""
        self.signs.append(signs_mean)
        if len(self.signs) < self.every:
            return
        self.sign = sum(map(float, self.signs)) / self.every
        self.signs = []
        direction = (self.sign > self.target) - (self.sign < self.target)
        step = direction * self.every * batch / self.images_to_one
        self.p = min(max(self.p + step, 0.0), self.cap)

    def state_dict(self) -> dict:
        return {"p": self.p, "sign": self.sign, "signs": list(map(float, self.signs))}

    def load_state_dict(self, state: dict) -> None:
        self.p, self.sign, self.signs = state["p"], state["sign"], list(state["signs"])
