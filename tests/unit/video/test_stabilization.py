"""Steady drawings: noise is calmed, motion does not lag, cuts start again; flicker is measured."""

import numpy as np
import pytest

from toonify.video.stabilization import MAX_REUSED, FlickerMeter, FrameReuser, Scenes, Stabilizer

SHAPE = (72, 128, 3)


def scene(seed=0):
    """A smooth colored image with edges, uint8 RGB."""
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    rng = np.random.default_rng(seed)
    a, b, c = rng.uniform(4, 12, 3)
    planes = [np.sin(x / a), np.sin(y / b), np.sin((x + y) / c)]
    return (128 + 80 * np.stack(planes, axis=2)).astype(np.uint8)


def noisy(picture, amount, seed):
    noise = np.random.default_rng(seed).normal(0, amount, picture.shape)
    return np.clip(picture + noise, 0, 255).astype(np.uint8)


def flicker(sources, drawings, steady=None):
    """What a meter finds in frames in order."""
    meter = FlickerMeter()
    for frames in zip(sources, drawings, steady or drawings, strict=True):
        meter.add(*frames)
    return meter.flicker


def test_still_images_do_not_flicker():
    still = [scene()] * 3
    assert flicker(still, still).source == flicker(still, still).drawn == 0
    assert flicker(still, still).ratio == 0


def test_flicker_is_the_mean_change_where_the_source_is_still():
    still = [scene()] * 4
    drawn = [np.full(SHAPE, 100 + 6 * (number % 2), np.uint8) for number in range(4)]
    found = flicker(still, drawn)
    assert found.drawn == pytest.approx(6) and found.source == 0 and found.ratio == float("inf")


def test_flicker_follows_slow_motion():
    wide = np.hstack([scene(), scene()])
    moving = [wide[:, i : i + 100].copy() for i in range(5)]
    noise = [noisy(picture, 6, i) for i, picture in enumerate(moving)]
    assert flicker(moving, moving).drawn < 2 < 5 < flicker(moving, noise).drawn


def test_noise_in_drawings_of_a_still_scene_is_calmed():
    sources = [noisy(scene(), 3, i) for i in range(8)]
    drawings = [noisy(scene(1), 8, 100 + i) for i in range(8)]
    keep = Stabilizer()
    steady = [keep(source, drawn) for source, drawn in zip(sources, drawings, strict=True)]
    found = flicker(sources, drawings, steady)
    assert found.steady < 0.5 * found.drawn


def test_moving_edges_neither_lag_nor_leave_ghosts():
    """A white square on gray that jumps by 6 px a frame: drawn and steady are the same."""
    keep = Stabilizer()
    for number in range(8):
        picture = np.full(SHAPE, 90, np.uint8)
        left = 10 + 6 * number
        picture[20:50, left : left + 24] = 240
        steady = keep(picture, picture)
        assert np.abs(steady.astype(int) - picture).max() <= 10  # the margin of the new drawing
        assert np.abs(steady.astype(int) - picture).mean() < 0.5


def test_a_fade_does_not_lag():
    keep = Stabilizer()
    for number in range(12):
        picture = np.clip(scene().astype(int) - 8 * number, 0, 255).astype(np.uint8)
        steady = keep(picture, picture)
    assert np.abs(steady.astype(int) - picture).mean() < 4


def test_a_cut_begins_anew():
    keep, scenes = Stabilizer(), Scenes()
    first, second = scene(0), 255 - scene(5)
    for picture in (first, first):
        assert not scenes.cut(picture)
        keep(picture, picture)
    assert scenes.cut(second)
    assert (keep(second, second, cut=True) == second).all()


def test_light_motion_and_noise_are_no_cuts():
    wide = np.hstack([scene(), scene()])
    scenes = Scenes()
    assert not scenes.cut(wide[:, :100])
    for picture in (wide[:, 2:102], noisy(wide[:, 3:103], 12, 0), wide[:, 4:104] // 2 + 100):
        assert not scenes.cut(picture)


def test_a_new_size_begins_anew():
    keep = Stabilizer()
    keep(scene(), scene())
    small = np.ascontiguousarray(scene()[:40, :60])
    assert (keep(small, small) == small).all()


def test_a_drawing_is_carried_along_slow_motion_and_not_for_long():
    wide, drawing = np.hstack([scene(), scene()]), np.hstack([scene(3), scene(3)])
    reuser = FrameReuser()
    assert reuser(wide[:, :100]) is None
    reuser.drew(wide[:, :100], drawing[:, :100])
    for number in range(1, MAX_REUSED + 1):
        carried = reuser(wide[:, number : number + 100])
        inner = np.s_[8:-8, 8:-8]
        expected = drawing[:, number : number + 100].astype(int)
        assert np.abs(carried - expected)[inner].mean() < 4
    assert reuser(wide[:, number : number + 100]) is None


def test_a_small_event_is_enough_for_a_new_drawing():
    """Noise is none; a place of 9 x 5 px that darkens is, and so is a large motion."""
    reuser, picture = FrameReuser(), scene()
    reuser.drew(picture, picture)
    assert reuser(noisy(picture, 5, 0)) is not None
    blink = picture.copy()
    blink[30:35, 60:69] = np.maximum(blink[30:35, 60:69], 60) - 50
    assert reuser(blink) is None
    wide = np.hstack([scene(), scene()])
    reuser.drew(wide[:, :100], wide[:, :100])
    assert reuser(wide[:, 9:109]) is None
