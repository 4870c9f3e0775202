"""Recordings of broadcasts, cameras and editors: joined, with sound that changes, and in layers."""

import itertools
from fractions import Fraction

import av
import numpy as np
import pytest

from tests.fixtures.toy_videos import late, make_video, pictures_of, times_of
from tests.unit.video.test_decoding import copied
from tests.unit.video.test_odd_videos import seconds_of_sound
from toonify.images.color_spaces import BT2020
from toonify.video import segments
from toonify.video.color import colors_of, to_pixels, written
from toonify.video.decoding import Orientation, open_video
from toonify.video.types import Colors


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch):
    monkeypatch.setattr(segments, "FRAMES", 8)


def join(target, *parts):
    target.write_bytes(b"".join(part.read_bytes() for part in parts))
    return target


def part(path, seconds=0, **options):
    """A second of images and sound, whose clock begins at `seconds`."""
    whole = make_video(path.with_suffix(".mp4"), range(0, 1000, 100), 1000, **options)
    return late(whole, path, seconds)


def check_two_seconds(path):
    times = times_of(path)
    assert [round(float(at - times[0]), 2) for at in times] == [n / 10 for n in range(20)]
    start, end, _ = seconds_of_sound(path)
    assert abs(start) < 0.1 and end == pytest.approx(2, abs=0.1)
    with av.open(str(path)) as container:
        assert container.duration / 1e6 == pytest.approx(2, abs=0.15)


@pytest.mark.parametrize("clocks", [(0, 0), (3600, 0), (0, 40_000), (95_443, 300)])
def test_clocks_that_start_again_go_on(tmp_path, clocks):
    parts = [part(tmp_path / f"{n}.ts", seconds) for n, seconds in enumerate(clocks)]
    source = join(tmp_path / "both.ts", *parts)
    for suffix in (".mp4", ".mkv"):
        copied(source, tmp_path / f"target{suffix}")
        check_two_seconds(tmp_path / f"target{suffix}")
    assert 0 <= open_video(source).about.seconds < 3  # as long as it says before it is read


def test_program_streams_that_start_again_go_on(tmp_path):
    one = make_video(
        tmp_path / "m.mpg", range(10), 25, size=(96, 64), codec="mpeg1video", sound="mp2"
    )
    copied(join(tmp_path / "both.mpg", one, one), tmp_path / "target.mp4")
    times = times_of(tmp_path / "target.mp4")
    assert len(times) == 20 and min(b - a for a, b in itertools.pairwise(times)) > 0.03


def test_the_last_image_of_a_late_clock_is_short(tmp_path):
    """ASF counts the length from 0, wherever its clock begins."""
    whole = make_video(tmp_path / "a.wmv", range(10), 10, codec="wmv2", sound="wmav2")
    copied(late(whole, tmp_path / "late.wmv", 500), tmp_path / "b.mp4")
    with av.open(str(tmp_path / "b.mp4")) as container:
        assert container.duration / 1e6 == pytest.approx(1, abs=0.15)


def with_sound(path, layout, rate, codec):
    """A second of silent images with a tone of so many channels."""
    with av.open(str(path), "w") as container:
        images = container.add_stream("mpeg2video", rate=25)
        images.width, images.height, images.pix_fmt = 96, 64, "yuv420p"
        voice = container.add_stream(codec, rate=rate)
        voice.layout = layout
        for _ in range(25):
            frame = av.VideoFrame.from_ndarray(np.zeros((64, 96, 3), np.uint8), "rgb24")
            container.mux(images.encode(frame))
        container.mux(images.encode())
        channels = voice.codec_context.layout.nb_channels
        wave = (8000 * np.sin(np.arange(rate) * 2764 / rate)).astype(np.int16)
        sound = av.AudioFrame.from_ndarray(wave.repeat(channels)[None], "s16", layout=layout)
        sound.sample_rate, sound.pts, sound.time_base = rate, 0, Fraction(1, rate)
        resampler = av.AudioResampler(voice.format, layout, rate, voice.frame_size)
        for piece in [*resampler.resample(sound), *resampler.resample(None)]:
            container.mux(voice.encode(piece))
        container.mux(voice.encode())
    return path


@pytest.mark.parametrize(
    "sounds",
    [
        [("mono", 44100), ("stereo", 44100)],
        [("stereo", 48000), ("mono", 48000)],
        [("stereo", 48000), ("stereo", 32000)],
    ],
)
@pytest.mark.parametrize("codec", ["mp2", "ac3"])
def test_sound_that_changes_on_the_way_is_followed(tmp_path, codec, sounds):
    parts = [with_sound(tmp_path / f"{n}.ts", *s, codec) for n, s in enumerate(sounds)]
    copied(join(tmp_path / "both.ts", *parts), tmp_path / "target.mp4")
    with av.open(str(tmp_path / "target.mp4")) as container:
        frames = [(f.pts * f.time_base, f.to_ndarray()) for f in container.decode(audio=0)]
    loud = [float(at) for at, wave in frames if np.abs(wave).max() > 0.1]
    assert min(loud) < 0.15 and 1.8 < max(loud) < 2.1
    assert all(any(abs(at - t) < 0.1 for at in loud) for t in (0.5, 0.9, 1.2, 1.5))


@pytest.mark.parametrize(
    "layout, rate, kept",
    [("mono", 192_000, (1, 96_000)), ("stereo", 37_800, (2, 44_100)), ("7.1", 48_000, (6, 48_000))],
)
def test_what_aac_does_not_have_comes_as_near_as_it_can(tmp_path, layout, rate, kept):
    source = with_sound(tmp_path / "a.mkv", layout, rate, "pcm_s16le")
    copied(source, tmp_path / "b.mp4")
    with av.open(str(tmp_path / "b.mp4")) as container:
        context = container.streams.audio[0].codec_context
        assert (context.layout.nb_channels, context.sample_rate) == kept


# Codec -> container and pixel format that carry transparency.
LAYERS = {
    "prores_ks": (".mov", "yuva444p10le"),
    "png": (".mov", "rgba"),
    "qtrle": (".mov", "argb"),
    "ffv1": (".mkv", "yuva420p"),
    "utvideo": (".avi", "gbrap"),
}


@pytest.mark.parametrize("codec", LAYERS)
def test_transparent_places_of_editors_films_are_white(tmp_path, codec):
    suffix, form = LAYERS[codec]
    pixels = np.zeros((48, 64, 4), np.uint8)
    pixels[:, 32:] = (0, 0, 200, 255)
    with av.open(str(tmp_path / f"a{suffix}"), "w") as container:
        stream = container.add_stream(codec, rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, form
        for _ in range(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, "rgba")))
        container.mux(stream.encode())
    copied(tmp_path / f"a{suffix}", tmp_path / "b.mp4")
    for image in pictures_of(tmp_path / "b.mp4"):
        assert image[:, :24].min() > 240
        assert image[:, 40:, :2].max() < 50 and image[:, 40:, 2].min() > 150


@pytest.mark.parametrize("degrees", [7, 83, 95, 172, 186, 265, 272, 359])
def test_a_slanted_camera_counts_as_upright_or_on_its_side(degrees):
    angle = np.radians(degrees)
    cosine, sine = (round(65536 * f(angle)) for f in (np.cos, np.sin))

    class Data:
        type = type("Type", (), {"name": "DISPLAYMATRIX"})

        def __bytes__(self):
            matrix = [cosine, sine, 0, -sine, cosine, 0, 0, 0, 1 << 30]
            return np.array(matrix, np.int32).tobytes()

    picture = type("Picture", (), {"side_data": [Data()]})
    pixels = np.arange(12).reshape(2, 3, 2)
    expected = np.rot90(pixels, -round(degrees / 90))
    assert np.array_equal(Orientation.of(picture).apply(pixels), expected)


@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("transfer", [1, 14])
def test_wide_colors_without_hdr_become_ordinary(transfer, alpha):
    """BT.2020's numbers of sRGB's pure red, by BT.2087."""
    pixels = np.full((8, 8, 4 if alpha else 3), (207, 74, 35, 255)[: 4 if alpha else 3], np.uint8)
    frame = av.VideoFrame.from_ndarray(pixels, "rgba" if alpha else "rgb24")
    frame = frame.reformat(format="yuva444p" if alpha else "yuv444p", dst_colorspace="BT2020")
    frame.colorspace, frame.color_primaries, frame.color_trc = 9, BT2020, transfer
    colors = colors_of(frame)
    assert written(colors) == Colors()
    red = to_pixels(frame, av.video.reformatter.VideoReformatter(), (8, 8), colors)[4, 4]
    assert abs(red.astype(int) - (255, 0, 0)).max() < 12
