"""A video drawn as a whole: its times and sound, what is left by a run that ends early, and how."""

import os
import signal
import subprocess
import sys
import threading
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.fixtures.toy_videos import (
    SIZE,
    STEADY_SIZE,
    make_video,
    picture,
    pictures_of,
    sound_of,
    times_of,
)
from tests.unit.pipelines.test_animegan import face, pipeline
from toonify.hub import Style
from toonify.pipelines import video
from toonify.pipelines.video import Cancelled, VideoOptions, draw_video
from toonify.video import segments as store
from toonify.video.types import VideoError

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def faceless(monkeypatch):
    """A list that is what the detector finds, empty at first; and small segments."""
    faces = []
    monkeypatch.setattr(video, "find_faces", lambda photo: list(faces))
    monkeypatch.setattr(store, "FRAMES", 4)
    return faces


@pytest.fixture
def clip(tmp_path):
    return make_video(tmp_path / "clip.mp4")


def negative():
    """A pipeline that turns images into negatives, and the shapes it was given."""
    return pipeline(lambda batch: -batch)


def off(one, other):
    return np.abs(one.astype(int) - other).mean()


def test_a_video_is_drawn_with_its_times_and_sound(tmp_path, clip):
    draw, shapes = negative()
    reported = []
    target = tmp_path / "new" / "out.mp4"
    drawn = draw_video(draw, clip, target, VideoOptions(crf=10), progress=reported.append)
    assert (drawn.path, drawn.frames, drawn.done, drawn.drawn, drawn.faces) == (
        target,
        10,
        10,
        10,
        0,
    )
    assert drawn.seconds == pytest.approx(10 * 1001 / 30000) and drawn.fps > 0
    assert (drawn.damaged, drawn.flicker, drawn.notes) == (0, None, ())
    assert times_of(target) == times_of(clip) == [Fraction(1001 * i, 30000) for i in range(10)]
    assert sound_of(target) == sound_of(clip)
    for number, found in enumerate(pictures_of(target)):
        assert off(255 - picture(number), found) < 12
    assert len(shapes) == 10
    assert [(p.frames, p.total) for p in reported] == [(i, 10) for i in range(1, 11)]
    assert reported[-1].fraction == 1 and reported[-1].seconds_left == 0 < reported[0].seconds_left
    assert [path.name for path in target.parent.iterdir()] == ["out.mp4"]


def test_faces_of_videos_get_drawings_by_the_rule_of_photos(tmp_path, clip, faceless):
    """Drawn at a quarter of its size, a face is coarse that would be large enough otherwise."""
    style = Style("small", "Small", eye_distance=(6.0, 24.0), short_side=SIZE[1] / 4)
    draw, shapes = pipeline(lambda batch: -batch, style)
    found = face(SIZE[0] / 2, SIZE[1] / 3, 40)  # 10 px in the drawing, between 6 and their middle
    faceless.append(found)
    assert draw.to_draw([found], 0.25) == [found] and draw.to_draw([found], 0.5) == []
    draw_video(draw, clip, tmp_path / "out.mp4", VideoOptions(stabilize=False))
    side = draw.crop_size(found)
    assert shapes.count((1, 3, side, side)) == 10


def test_side_by_side_and_smaller(tmp_path, clip):
    options = VideoOptions(side_by_side=True, max_height=32, crf=10)
    draw_video(negative()[0], clip, tmp_path / "out.mp4", options)
    first = pictures_of(tmp_path / "out.mp4")[0]
    assert first.shape == (32, 96, 3)
    assert off(255 - first[:, 4:44], first[:, 52:92]) < 12


def test_odd_sides_lose_a_pixel_in_films_only(tmp_path):
    clip = make_video(tmp_path / "odd.mp4", size=(75, 51), sound=None, form="yuv444p")
    for name, size in (("out.mp4", (50, 74)), ("out.png", (51, 75))):
        draw_video(negative()[0], clip, tmp_path / name)
        assert video.open_video(tmp_path / name).about.size == size[::-1]


@pytest.mark.parametrize("size, drawn", [((1, 1), (2, 2)), ((1, 40), (2, 40)), ((33, 1), (32, 2))])
def test_a_single_row_or_column_comes_twice_in_films(tmp_path, size, drawn):
    still = Image.new("RGB", size, "red")
    moving = [Image.new("RGB", size, "blue")]
    still.save(tmp_path / "pixel.gif", save_all=True, append_images=moving, duration=100)
    for name, expected in (("out.mp4", drawn), ("out.webp", size)):
        draw_video(negative()[0], tmp_path / "pixel.gif", tmp_path / name)
        assert video.open_video(tmp_path / name).about.size == expected


def test_strength_and_color_are_those_of_photos(tmp_path, clip):
    draw_video(negative()[0], clip, tmp_path / "out.mp4", VideoOptions(strength=0.0, crf=10))
    assert off(pictures_of(tmp_path / "out.mp4")[3], picture(3)) < 6


def test_flicker_is_measured_and_reduced(tmp_path):
    noise, grain = np.random.default_rng(0), np.random.default_rng(1)

    def noisy(batch):
        shade = noise.normal(0, 0.12, (1, 1, *batch.shape[2:]))
        return (batch + batch.new_tensor(shade)).clamp(-1, 1)

    def still(number, size):
        grainy = picture(3, size) + grain.normal(0, 2, (*size[::-1], 3))
        return np.clip(grainy, 0, 255).astype(np.uint8)

    clip = make_video(tmp_path / "still.mp4", sound=None, draw=still)
    found = draw_video(pipeline(noisy)[0], clip, tmp_path / "out.mp4", measure=True).flicker
    assert 0 < found.source < found.drawn and found.steady < 0.6 * found.drawn
    assert found.ratio == pytest.approx(found.steady / found.source)


def test_what_hardly_moves_is_drawn_every_third_time(tmp_path):
    """The drawings in between move with the source; without stabilizing every frame is drawn."""
    wide = np.hstack([picture(0, (160, 64))] * 2)

    def pan(number, size):
        return np.ascontiguousarray(wide[:, number : number + size[0]])

    clip = make_video(tmp_path / "pan.mp4", sound=None, draw=pan)
    draw, shapes = negative()
    assert (
        draw_video(draw, clip, tmp_path / "a.mp4", VideoOptions(crf=10)).drawn == len(shapes) <= 6
    )
    for number, found in enumerate(pictures_of(tmp_path / "a.mp4")):
        assert off(255 - pan(number, SIZE)[:, :80], found[:, :80]) < 12
    draw, shapes = negative()
    draw_video(draw, clip, tmp_path / "b.mp4", OPTIONS)
    assert len(shapes) == 10


def test_a_repeated_frame_is_not_drawn_again(tmp_path):
    clip = make_video(
        tmp_path / "held.mkv",
        range(0, 400, 40),
        1000,
        sound=None,
        draw=lambda number, size: picture(number // 2 * 2, size),
        codec="ffv1",
        form="bgr0",
        prepare=lambda stream: setattr(stream, "options", {}),
    )
    draw, shapes = negative()
    assert draw_video(draw, clip, tmp_path / "out.mp4").frames == 10
    assert len(shapes) == 5


def test_a_small_face_is_drawn_on_its_own_in_every_frame(tmp_path, clip, faceless):
    faceless.append(face(48, 24, 12))
    draw, shapes = negative()
    assert draw_video(draw, clip, tmp_path / "a.mp4").faces == 1
    assert len(shapes) == 20 and len(set(shapes)) == 2
    draw, shapes = negative()
    draw_video(draw, clip, tmp_path / "b.mp4", VideoOptions(faces="none"))
    assert len(shapes) == 10


def test_one_scale_for_the_whole_video(tmp_path, clip, faceless):
    """A face nearer than lines are drawn for makes all drawings smaller, by the same."""
    faceless.append(face(48, 24, 220))
    draw, shapes = negative()
    draw_video(draw, clip, tmp_path / "a.mp4")
    assert set(shapes) == {(1, 3, 32, 48)}


# Runs that end early ---------------------------------------------------------------------------


class Broken(Exception):
    pass


def breaking_after(number):
    """A pipeline whose network falls over after some drawings."""
    left = [number]

    def rule(batch):
        left[0] -= 1
        if left[0] < 0:
            raise Broken
        return -batch

    return pipeline(rule)[0]


OPTIONS = VideoOptions(stabilize=False)


def test_a_failed_run_goes_on(tmp_path):
    clip = make_video(tmp_path / "clip.mp4", size=STEADY_SIZE)
    target = tmp_path / "out.mp4"
    with pytest.raises(Broken):
        draw_video(breaking_after(7), clip, target, OPTIONS)
    folder = tmp_path / ".out.mp4.parts"
    assert not target.exists() and len(list(folder.glob("0*.mp4"))) == 1
    first = next(folder.glob("0*.mp4")).stat().st_ino
    kept = []

    def look(progress):
        kept.append(next(folder.glob("000000*")).stat().st_ino)

    drawn = draw_video(negative()[0], clip, target, OPTIONS, progress=look)
    assert (drawn.frames, drawn.done) == (10, 6) and set(kept) == {first}
    assert not folder.exists()
    draw_video(negative()[0], clip, tmp_path / "whole.mp4", OPTIONS)
    pairs = zip(pictures_of(target), pictures_of(tmp_path / "whole.mp4"), strict=True)
    assert all((one == other).all() for one, other in pairs)
    assert times_of(target) == times_of(clip) and sound_of(target) == sound_of(clip)


def test_other_options_do_not_go_on(tmp_path, clip):
    with pytest.raises(Broken):
        draw_video(breaking_after(7), clip, tmp_path / "out.mp4", OPTIONS)
    with pytest.raises(VideoError, match="other settings"):
        draw_video(negative()[0], clip, tmp_path / "out.mp4", VideoOptions(strength=0.5))
    drawn = draw_video(negative()[0], clip, tmp_path / "out.mp4", VideoOptions(), overwrite=True)
    assert drawn.done == 10


def test_without_resume_nothing_is_left(tmp_path, clip):
    with pytest.raises(Broken):
        draw_video(breaking_after(7), clip, tmp_path / "out.mp4", resume=False)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["clip.mp4"]


def test_a_cancelled_run_stops_its_threads(tmp_path, clip):
    answers = iter([False] * 5 + [True])
    with pytest.raises(Cancelled):
        draw_video(negative()[0], clip, tmp_path / "out.mp4", cancelled=lambda: next(answers))
    assert not [thread for thread in threading.enumerate() if thread.name == "ahead"]
    assert draw_video(negative()[0], clip, tmp_path / "out.mp4").done == 6


def test_an_error_while_joining_leaves_the_old_video(tmp_path, clip, monkeypatch):
    target = tmp_path / "out.mp4"
    target.write_bytes(b"old")

    def fail(store, clip, file, *rest):
        file.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(video.muxing, "join", fail)
    with pytest.raises(OSError, match="No space"):
        draw_video(negative()[0], clip, target, overwrite=True)
    assert target.read_bytes() == b"old"
    assert sorted(p.name for p in tmp_path.iterdir()) == [".out.mp4.parts", "clip.mp4", "out.mp4"]


SLOW = """
import sys, time
from toonify.pipelines import video
from toonify.video import segments as store
from tests.unit.pipelines.test_video import OPTIONS, pipeline
store.FRAMES = 2
video.find_faces = lambda photo: []
def rule(batch):
    time.sleep(float(sys.argv[3]))
    return -batch
print(video.draw_video(pipeline(rule)[0], sys.argv[1], sys.argv[2], OPTIONS).done)
"""


def test_a_killed_run_goes_on(tmp_path, clip):
    target, folder = tmp_path / "out.mp4", tmp_path / ".out.mp4.parts"
    command = [sys.executable, "-c", SLOW, str(clip), str(target)]
    settings = {**os.environ, "PYTHONPATH": str(ROOT)}
    killed = subprocess.Popen([*command, "0.2"], env=settings, stdout=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 120
        while len(list(folder.glob("0*.mp4"))) < 2 and time.monotonic() < until:
            assert killed.poll() is None
            time.sleep(0.02)
    finally:
        killed.send_signal(signal.SIGKILL)
        killed.wait()
    assert not target.exists() and folder.exists()
    done = sum(int(file.name.split(".")[1]) for file in folder.glob("0*.mp4"))
    again = subprocess.run(
        [*command, "0"], env=settings, stdout=subprocess.PIPE, text=True, check=True
    )
    assert int(again.stdout) == 10 - done and done >= 4
    assert times_of(target) == times_of(clip) and sound_of(target) == sound_of(clip)
    assert all(off(255 - picture(i), p) < 14 for i, p in enumerate(pictures_of(target)))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["clip.mp4", "out.mp4"]


# What is refused -------------------------------------------------------------------------------


def test_targets_that_cannot_be(tmp_path, clip):
    def refused(target, words, **options):
        with pytest.raises(VideoError, match=words):
            draw_video(negative()[0], clip, target, **options)

    (tmp_path / "there.mp4").write_bytes(b"old")
    (tmp_path / "folder.mp4").mkdir()
    refused(clip, "the source itself", overwrite=True)
    refused(tmp_path / "there.mp4", "exists already")
    refused(tmp_path / "folder.mp4", "is a folder", overwrite=True)
    refused(tmp_path / "out.txt", "ends in '.txt'")
    refused(tmp_path / "out.mp4", "too long: expected at most 0.2 seconds", most_seconds=0.2)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["clip.mp4", "folder.mp4", "there.mp4"]


def test_a_file_that_lies_about_its_length_is_refused_on_the_way(tmp_path, clip, monkeypatch):
    monkeypatch.setattr(video.muxing, "check_sound", lambda clip, suffix, sound: [])
    opened = video.open_video

    def lying(path, max_height):
        found = opened(path, max_height)
        found.about = video.dataclasses.replace(found.about, frames=1)
        return found

    monkeypatch.setattr(video, "open_video", lying)
    with pytest.raises(VideoError, match="too long"):
        draw_video(negative()[0], clip, tmp_path / "out.mp4", most_seconds=0.2, resume=False)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["clip.mp4"]
