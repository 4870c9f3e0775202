"""Augmentations do what they are called, by the sample's seed alone, and can be derived twice."""

import math

import pytest
import torch
import torch.nn.functional as F

from training.core import losses
from training.gan import ada as gan_ada
from training.gan.ada import AUGMENTATIONS, TRANSFORMS, AdaptiveP, augment, grid_sample
from training.gan.diff_augment import POLICIES, diff_augment

SEEDS = torch.arange(6) + 100
HALF_TYPES = (torch.bfloat16, torch.float16)


def only(name, strength=1.0):
    return {name: (1.0, strength)}


@pytest.fixture
def pictures():
    return torch.rand(6, 3, 16, 16, generator=torch.manual_seed(0)) * 2 - 1


@pytest.fixture
def smooth():
    """One image of 32 px without fine detail, in float64."""
    coarse = torch.rand(1, 3, 5, 5, generator=torch.manual_seed(0), dtype=torch.float64)
    return F.interpolate(coarse, size=32, mode="bicubic", align_corners=True)


def twice_differentiable(function, *shape):
    image = torch.rand(*shape, generator=torch.manual_seed(0), dtype=torch.float64)
    image.requires_grad_(True)
    assert torch.autograd.gradcheck(function, image, fast_mode=True)
    return torch.autograd.gradgradcheck(function, image, fast_mode=True)


# Sampling.


def test_grid_sample_is_that_of_torch(pictures):
    grid = torch.rand(6, 9, 7, 2, generator=torch.manual_seed(1)) * 2.4 - 1.2
    ours, theirs = (pictures.clone().requires_grad_(True) for _ in range(2))
    drawn = grid_sample(ours, grid)
    expected = F.grid_sample(theirs, grid, align_corners=False)
    assert torch.equal(drawn, expected)
    weights = torch.randn(drawn.shape, generator=torch.manual_seed(2))
    (drawn * weights).sum().backward()
    (expected * weights).sum().backward()
    assert torch.allclose(ours.grad, theirs.grad, atol=1e-6)


def test_grid_sample_has_two_derivatives():
    grid = torch.rand(2, 4, 3, 2, generator=torch.manual_seed(1)).double() * 2.4 - 1.2
    assert twice_differentiable(lambda image: grid_sample(image, grid), 2, 2, 5, 4)


@pytest.mark.parametrize("dtype", HALF_TYPES)
def test_half_types_are_computed_in_float32(pictures, dtype):
    half = pictures.to(dtype)
    grid = torch.rand(6, 9, 7, 2, generator=torch.manual_seed(1))
    assert torch.equal(grid_sample(half, grid), grid_sample(half.float(), grid).to(dtype))
    with torch.autocast("cpu", torch.bfloat16):
        drawn = augment(half, 1.0, SEEDS, AUGMENTATIONS["full"])
    assert torch.equal(drawn, augment(half.float(), 1.0, SEEDS, AUGMENTATIONS["full"]).to(dtype))


# What holds for every transform.


def test_full_has_every_transform_and_ada_all_but_the_corruptions():
    assert set(AUGMENTATIONS["full"]) == set(TRANSFORMS)
    assert set(AUGMENTATIONS["ada"]) == set(TRANSFORMS) - {"filter", "noise", "cutout"}
    assert not {"rotate90", "hue", "luma_flip"} & set(AUGMENTATIONS["toon"])


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_probability_zero_is_the_identity(pictures, name):
    assert torch.equal(augment(pictures, 0.0, SEEDS, AUGMENTATIONS[name]), pictures)


@pytest.mark.parametrize("name", TRANSFORMS)
def test_strength_zero_is_the_identity(pictures, name):
    still = augment(pictures, 1.0, SEEDS, only(name, 0.0))
    assert (still - pictures).abs().max() < 1e-5


@pytest.mark.parametrize("name", TRANSFORMS)
def test_each_changes_the_image_and_more_with_more_strength(pictures, name):
    much = (augment(pictures, 1.0, SEEDS, only(name)) - pictures).abs().mean()
    little = (augment(pictures, 1.0, SEEDS, only(name, 0.05)) - pictures).abs().mean()
    assert much > 0.01
    assert little < much


@pytest.mark.parametrize("name", TRANSFORMS)
def test_each_has_two_derivatives(name):
    seeds = torch.tensor([100, 101, 102])
    assert twice_differentiable(lambda x: augment(x, 1.0, seeds, only(name)), 3, 3, 6, 6)


@pytest.mark.parametrize("name", TRANSFORMS)
def test_transforms_draw_apart(pictures, name):
    """What one draws for a sample does not change with what else is on."""
    alone = gan_ada.AugmentNumbers(SEEDS, 0.5, only(name))
    among = gan_ada.AugmentNumbers(SEEDS, 0.5, AUGMENTATIONS["full"])
    assert torch.equal(alone.normal(name), among.normal(name))
    assert not any(alone.normal(other).any() for other in TRANSFORMS if other != name)


@pytest.mark.parametrize("call", [*AUGMENTATIONS, "diff"])
def test_a_sample_depends_on_its_seed_and_not_on_its_batch(pictures, call):
    def run(images, seeds):
        if call == "diff":
            return diff_augment(images, seeds)
        return augment(images, 0.6, seeds, AUGMENTATIONS[call])

    whole = run(pictures, SEEDS)
    assert torch.equal(whole, run(pictures, SEEDS))
    assert not torch.allclose(whole, run(pictures, SEEDS + 1), atol=0.1)
    torch.manual_seed(7)  # the global stream is neither read nor moved
    state = torch.get_rng_state()
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    assert torch.allclose(run(pictures[order], SEEDS[order]), whole[order], atol=1e-6)
    assert torch.equal(torch.get_rng_state(), state)
    for processes in (2, 3, 6):
        for rank in range(processes):
            part = run(pictures[rank::processes], SEEDS[rank::processes])
            assert torch.allclose(part, whole[rank::processes], atol=1e-6)


@pytest.mark.parametrize("p", [0.1, 0.5])
def test_gates_open_with_probability_p(p):
    draws = gan_ada.AugmentNumbers(
        torch.arange(2000), p, AUGMENTATIONS["full"] | {"hue": (0.5, 1.0)}
    )
    for name in set(TRANSFORMS) - {"hue", "rotate"}:
        assert draws.strength(name).mean().item() == pytest.approx(p, abs=0.05)
    assert draws.strength("hue").mean().item() == pytest.approx(p / 2, abs=0.05)
    turned = (draws.strength("rotate", 0) + draws.strength("rotate", 1)) > 0
    assert turned.double().mean().item() == pytest.approx(p, abs=0.05)


def test_non_square_images_go_through_all_but_quarter_turns():
    wide = torch.rand(6, 3, 10, 16, generator=torch.manual_seed(0))
    table = {name: on for name, on in AUGMENTATIONS["full"].items() if name != "rotate90"}
    drawn = augment(wide, 1.0, SEEDS, table)
    assert drawn.shape == wide.shape
    assert drawn.isfinite().all()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"p": 1.2}, "p 1.2: expected a probability"),
        ({"p": -0.1}, "p -0.1"),
        ({"augmentations": {"magic": (1.0, 1.0)}}, "magic.*flip"),
    ],
)
def test_nonsense_is_refused_with_words(pictures, changes, words):
    with pytest.raises(ValueError, match=words):
        augment(**{"images": pictures, "p": 0.5, "seeds": SEEDS, **changes})


# Pixels moved.


@pytest.mark.parametrize("name", ["flip", "luma_flip"])
def test_flips_undo_themselves(pictures, name):
    once = augment(pictures, 1.0, SEEDS, only(name))
    changed = (once != pictures).flatten(1).any(1)
    assert changed.any() and not changed.all()
    assert torch.allclose(augment(once, 1.0, SEEDS, only(name)), pictures, atol=1e-6)


def test_flip_reverses_columns(pictures):
    flipped = augment(pictures, 1.0, SEEDS, only("flip"))
    for new, old in zip(flipped, pictures, strict=True):
        assert torch.equal(new, old) or torch.equal(new, old.flip(2))


def test_quarter_turns_are_those_of_torch(pictures):
    turns, none = torch.arange(4), torch.zeros(4, dtype=torch.long)
    drawn = gan_ada.blit(pictures[:4], none, turns, none, none)
    for k in range(4):
        assert torch.equal(drawn[k], torch.rot90(pictures[k], k, (1, 2)))


def test_whole_pixels_move_a_dot():
    dot = torch.zeros(2, 3, 16, 16)
    dot[:, :, 8, 8] = 1
    none = torch.zeros(2, dtype=torch.long)
    drawn = gan_ada.blit(dot, none, none, torch.tensor([2, -1]), torch.tensor([0, 3]))
    assert drawn.nonzero()[:, [0, 2, 3]].unique(dim=0).tolist() == [[0, 10, 8], [1, 7, 11]]


def test_moved_images_are_mirrored_at_the_border():
    ramp = torch.arange(6.0).expand(1, 3, 6, 6)
    none = torch.zeros(1, dtype=torch.long)
    drawn = gan_ada.blit(ramp, none, none, none, torch.tensor([2]))
    assert drawn[0, 0, 0].tolist() == [2, 1, 0, 1, 2, 3]


# Geometry.


def test_the_filters_are_orthogonal_to_their_even_shifts():
    for taps in (gan_ada.SYM6, gan_ada.SYM2):
        taps = torch.tensor(taps, dtype=torch.float64)
        assert taps.sum().item() == pytest.approx(math.sqrt(2))
        for shift in range(0, len(taps), 2):
            product = (taps[shift:] * taps[: len(taps) - shift]).sum().item()
            assert product == pytest.approx(float(shift == 0), abs=1e-9)
        # The high-pass filter vanishes for polynomials: half as many moments as taps.
        signs = (-1.0) ** torch.arange(len(taps))
        for power in range(len(taps) // 2):
            at = torch.linspace(-1, 1, len(taps), dtype=torch.float64) ** power
            assert (signs * taps * at).sum().item() == pytest.approx(0, abs=1e-9)


def test_warp_by_the_identity_is_the_identity(pictures):
    eye = torch.eye(3).expand(6, 3, 3).double()
    assert (gan_ada.warp(pictures.double(), eye) - pictures).abs().max() < 1e-9
    assert (gan_ada.warp(pictures, eye) - pictures).abs().max() < 1e-4


def test_warp_by_half_a_turn_is_two_flips(smooth):
    turned = gan_ada.warp(
        smooth, gan_ada.rotation_matrix(torch.tensor([math.pi], dtype=torch.float64))
    )
    assert (turned - smooth.flip(2, 3)).abs().max() < 0.02
    assert (turned - smooth.flip(2, 3)).abs().mean() < 0.002


def test_warp_by_whole_pixels_moves_right_and_down(smooth):
    shift = gan_ada.translation_matrix(*torch.tensor([[-3.0], [-2.0]], dtype=torch.float64))
    drawn = gan_ada.warp(smooth, shift)
    assert torch.allclose(drawn[..., 8:-8, 8:-8], smooth[..., 6:-10, 5:-11], atol=1e-6)


@pytest.mark.parametrize("name", gan_ada.GEOMETRY)
def test_geometry_leaves_no_border_on_a_flat_image(name):
    flat = torch.full((6, 3, 16, 16), 0.5)
    assert (augment(flat, 1.0, SEEDS, only(name, 3.0)) - flat).abs().max() < 1e-4


def test_geometry_keeps_areas_but_for_the_scale():
    draws = gan_ada.AugmentNumbers(
        SEEDS, 1.0, {**only("rotate"), **only("anisotropic"), **only("translate")}
    )
    assert torch.allclose(gan_ada.geometry_matrix(draws, 16, 16).det(), torch.ones(6).double())
    draws = gan_ada.AugmentNumbers(SEEDS, 1.0, only("scale"))
    expected = 2 ** (-0.4 * draws.normal("scale"))
    assert torch.allclose(gan_ada.geometry_matrix(draws, 16, 16).det(), expected)


# Color.


def test_hue_and_saturation_keep_luma(pictures):
    for name in ("hue", "saturation"):
        drawn = augment(pictures, 1.0, SEEDS, only(name))
        assert torch.allclose(drawn.mean(1), pictures.mean(1), atol=1e-5)


def test_hue_by_a_third_of_a_turn_swaps_channels(pictures):
    third = torch.full((6,), 2 * math.pi / 3, dtype=torch.float64)
    drawn = gan_ada.recolor(pictures, gan_ada.hue_matrix(third))
    assert torch.allclose(drawn, pictures.roll(1, 1), atol=1e-6)


def test_saturation_zero_is_gray(pictures):
    gray = gan_ada.recolor(pictures, gan_ada.saturation_matrix(torch.zeros(6)))
    assert torch.allclose(gray, pictures.mean(1, keepdim=True).expand_as(gray), atol=1e-6)


def test_luma_flip_is_a_negative_of_grays_and_keeps_chroma(pictures):
    drawn = gan_ada.recolor(pictures, gan_ada.luma_flip_matrix(torch.ones(6)))
    assert torch.allclose(drawn.mean(1), -pictures.mean(1), atol=1e-6)
    off = pictures - pictures.mean(1, keepdim=True)
    assert torch.allclose(drawn - drawn.mean(1, keepdim=True), off, atol=1e-6)


def test_brightness_adds_and_contrast_multiplies(pictures):
    added = augment(pictures, 1.0, SEEDS, only("brightness")) - pictures
    assert added.flatten(1).std(1).max() < 1e-6
    factor = augment(pictures, 1.0, SEEDS, only("contrast")) / pictures
    assert factor.flatten(1).std(1).max() < 1e-4


# Corruption.


def test_octaves_sum_to_the_identity_and_only_the_lowest_keeps_flat_images():
    for length in (5, 16):  # also where the filters are longer than the image
        bands = gan_ada.octaves(length)
        assert torch.allclose(bands.sum(0), torch.eye(length).double(), atol=1e-9)
        kept = bands.sum(2)
        assert torch.allclose(kept[0], torch.ones(length).double())
        assert kept[1:].abs().max() < 1e-9


def test_octaves_part_low_from_high():
    x = torch.arange(256, dtype=torch.float64)
    for band, frequency in enumerate((1 / 64, 3 / 32, 3 / 16, 3 / 8)):  # turns per pixel
        wave = torch.cos(2 * math.pi * frequency * x)
        power = (gan_ada.octaves(256) @ wave)[:, 64:-64].square().mean(1)
        assert power.argmax() == band


def test_filter_keeps_the_expected_power():
    gains = gan_ada.octave_gains(gan_ada.AugmentNumbers(torch.arange(500), 1.0, only("filter")))
    one = gan_ada.octave_gains(gan_ada.AugmentNumbers(SEEDS, 1.0, {}))
    assert torch.allclose(one, torch.ones(6, 4).double())
    assert 0.5 < gains.log2().std() < 2
    # One band at a time: the mean power over the octaves of natural images stays.
    draws = gan_ada.AugmentNumbers(torch.arange(500), 0.1, only("filter"))
    opened = sum(draws.strength("filter", band) for band in range(4))
    alone = gan_ada.octave_gains(draws)[opened == 1]
    power = alone.square() @ torch.tensor(gan_ada.POWER, dtype=torch.float64)
    assert torch.allclose(power, torch.ones_like(power))


def test_noise_is_unlike_for_seeds_and_a_tenth_strong():
    flat = torch.zeros(200, 3, 8, 8)
    deviation = augment(flat, 1.0, torch.arange(200), only("noise")).flatten(1).std(1)
    assert deviation.square().mean().sqrt().item() == pytest.approx(0.1, abs=0.02)


def test_cutout_takes_a_quarter_or_what_of_it_lies_inside():
    ones = torch.ones(300, 3, 16, 16)
    drawn = augment(ones, 1.0, torch.arange(300), only("cutout"))
    cut = (drawn == 0).double().mean((1, 2, 3))
    assert set(drawn.unique().tolist()) == {0, 1}
    assert cut.max() == 1 / 4
    # With its center anywhere, a side of 1/2 covers 1/2 - (1/2)**2 / 4 on average.
    assert cut.mean().item() == pytest.approx((7 / 16) ** 2, abs=0.015)


# With R1, and DiffAugment.


def test_r1_sees_through_a_flip_and_trains_through_everything(pictures):
    gradient = torch.randn(3, 16, 16, generator=torch.manual_seed(1), requires_grad=True)

    def penalty(table):
        def discriminator(x):
            return (augment(x, 1.0, SEEDS, table) * gradient).sum((1, 2, 3)).view(-1, 1)

        return losses.r1_penalty(discriminator, pictures)

    expected = gradient.square().sum().item() / 2
    assert penalty(only("flip")).item() == pytest.approx(expected, rel=1e-5)
    (grad,) = torch.autograd.grad(penalty(AUGMENTATIONS["full"]), gradient)
    assert grad.isfinite().all() and grad.abs().sum() > 0


@pytest.mark.parametrize("name", POLICIES)
def test_each_policy_changes_images_and_has_two_derivatives(pictures, name):
    assert not torch.allclose(diff_augment(pictures, SEEDS, (name,)), pictures, atol=0.01)
    assert twice_differentiable(lambda x: diff_augment(x, SEEDS[:2], (name,)), 2, 3, 8, 8)


def test_diff_augment_keeps_policies_apart(pictures):
    assert torch.equal(diff_augment(pictures, SEEDS, ()), pictures)
    step = pictures
    for name in POLICIES:
        step = diff_augment(step, SEEDS, (name,))
    assert torch.equal(step, diff_augment(pictures, SEEDS))
    with pytest.raises(ValueError, match="magic"):
        diff_augment(pictures, SEEDS, ("magic",))


def test_translation_of_an_eighth_and_gray_comes_in():
    ones = torch.ones(200, 3, 16, 16)
    drawn = diff_augment(ones, torch.arange(200), ("translation",))
    rows = drawn[:, 0].amax(2).sum(1)
    assert set(rows.tolist()) == {14, 15, 16}
    dot = torch.zeros(200, 3, 16, 16)
    dot[:, :, 8, 8] = 1
    at = diff_augment(dot, torch.arange(200), ("translation",))[:, 0].nonzero()[:, 1:]
    assert at.unique(dim=0).shape == (25, 2)


def test_color_of_a_flat_gray_is_its_brightness():
    flat = torch.zeros(200, 3, 4, 4)
    drawn = diff_augment(flat, torch.arange(200), ("color",))
    assert drawn.flatten(1).std(1).max() < 1e-6
    assert -0.5 <= drawn.min() < -0.4 and 0.4 < drawn.max() <= 0.5


# The controller.


def test_p_rises_when_sure_falls_when_not_and_stays_at_its_target():
    ada = AdaptiveP(target=0.5, images_to_one=1000, every=4)
    for _ in range(3):
        ada.update(0.9, 25)
    assert ada.p == 0
    ada.update(0.7, 25)
    assert ada.p == pytest.approx(0.1)  # 4 * 25 of 1000 images
    assert ada.sign == pytest.approx(0.85)
    for _ in range(4):
        ada.update(0.5, 25)
    assert ada.p == pytest.approx(0.1)
    for _ in range(4):
        ada.update(-0.2, 10)
    assert ada.p == pytest.approx(0.06)


@pytest.mark.parametrize(("sign", "end"), [(1.0, 0.3), (-1.0, 0.0)])
def test_p_never_leaves_its_range(sign, end):
    ada = AdaptiveP(images_to_one=300, cap=0.3, every=1, p=0.1)
    for _ in range(20):
        ada.update(sign, 7)
        assert 0 <= ada.p <= 0.3
    assert ada.p == end


def test_the_controller_resumes_exactly():
    signs = torch.rand(23, generator=torch.manual_seed(0)).tolist()
    straight, stopped = AdaptiveP(images_to_one=900), AdaptiveP(images_to_one=900)
    for sign in signs[:10]:  # in the middle of four
        straight.update(sign, 32)
        stopped.update(sign, 32)
    resumed = AdaptiveP(images_to_one=900)
    resumed.load_state_dict(stopped.state_dict())
    stopped.update(1.0, 32)  # what goes on does not reach into the copy
    for sign in signs[10:]:
        straight.update(sign, 32)
        resumed.update(sign, 32)
    assert resumed.state_dict() == straight.state_dict()
    assert (resumed.p, resumed.sign) == (straight.p, straight.sign)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"target": 0.0}, "--ada-target 0.0: expected"),
        ({"target": 1.5}, "--ada-target 1.5"),
        ({"cap": 1.1}, "--ada-cap 1.1: expected"),
        ({"cap": -0.1}, "--ada-cap -0.1"),
        ({"p": 0.9}, "--augment-p 0.9: expected 0 to --ada-cap 0.8"),
        ({"images_to_one": 0}, "--ada-images 0"),
    ],
)
def test_a_controller_out_of_range_is_refused(changes, words):
    with pytest.raises(ValueError, match=words):
        AdaptiveP(**changes)
