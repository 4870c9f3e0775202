"""Videos as people have them: mirrored, with odd clocks, sound, alpha, fields and names."""

import os
import struct
from fractions import Fraction
from pathlib import Path

import av
import av.filter
import numpy as np
import pytest

from tests.fixtures.toy_videos import (
    SIZE,
    late,
    make_video,
    picture,
    pictures_of,
    sound_of,
    times_of,
    turn,
)
from tests.unit.video.test_decoding import copied
from toonify.video import segments
from toonify.video.decoding import open_video

ORIENTATIONS = {  # matrix (a, b, c, d) -> what a browser shows of the stored image
    (1, 0, 0, 1): lambda image: image,
    (-1, 0, 0, 1): lambda image: image[:, ::-1],
    (1, 0, 0, -1): lambda image: image[::-1],
    (-1, 0, 0, -1): lambda image: image[::-1, ::-1],
    (0, 1, -1, 0): lambda image: np.rot90(image, -1),
    (0, -1, 1, 0): lambda image: np.rot90(image, 1),
    (0, 1, 1, 0): lambda image: image.swapaxes(0, 1),
    (0, -1, -1, 0): lambda image: image[::-1, ::-1].swapaxes(0, 1),
}


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch):
    monkeypatch.setattr(segments, "FRAMES", 4)


def seconds_of_sound(path):
    """Beginning and end of the decoded sound, and its codec."""
    with av.open(str(path)) as container:
        codec = container.streams.audio[0].codec_context.name
        frames = list(container.decode(audio=0))
    last = frames[-1]
    end = last.pts * last.time_base + Fraction(last.samples, last.sample_rate)
    return float(frames[0].pts * frames[0].time_base), float(end), codec


# Orientation -----------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
@pytest.mark.parametrize("matrix", ORIENTATIONS)
def test_all_eight_orientations_are_shown_as_browsers_show_them(tmp_path, matrix, suffix):
    source = turn(make_video(tmp_path / "source.mp4", sound=None), matrix)
    if suffix != ".mp4":
        source = late(source, tmp_path / f"source{suffix}", 0)  # Matroska has a yaw and a roll
    expected = ORIENTATIONS[matrix](picture(0))
    video = open_video(source)
    assert video.about.size == expected.shape[1::-1]
    first = next(video.frames()).pixels
    assert np.abs(first.astype(int) - expected).mean() < 6
    assert all(p.shape == first.shape for p in video.sample_frames(2))
    target = tmp_path / f"target{suffix}"
    copied(source, target)
    assert np.abs(pictures_of(target)[0].astype(int) - expected).mean() < 6


# Clocks ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".ts", ".m2ts", ".flv", ".mkv", ".nut"])
@pytest.mark.parametrize("seconds", [0, 7, 40_000])
def test_time_begins_with_the_earliest_stream(tmp_path, suffix, seconds):
    whole = make_video(tmp_path / "whole.mp4", range(0, 30000, 3000), 30000)
    source = late(whole, tmp_path / f"source{suffix}", seconds)
    for target in (tmp_path / "target.mp4", tmp_path / "target.mkv"):
        copied(source, target)
        times = times_of(target)
        assert 0 <= times[0] < 0.1
        steps = [b - times[0] for b in times]
        assert all(abs(step - n / 10) < 0.002 for n, step in enumerate(steps))
        start, end, codec = seconds_of_sound(target)
        assert codec == "aac" and abs(start) < 0.1 and 0.9 < end < 1.2
        with av.open(str(target)) as container:
            assert 0.9 < container.duration / 1e6 < 1.2


def test_mpeg_program_streams_begin_at_0(tmp_path):
    source = make_video(
        tmp_path / "m.mpg", range(10), 25, size=(96, 64), codec="mpeg1video", sound="mp2"
    )
    assert times_of(source)[0] > 0.3
    copied(source, tmp_path / "target.mp4")
    assert times_of(tmp_path / "target.mp4")[0] < 0.1


def test_images_and_sound_stay_together(tmp_path):
    """What begins half a second after the sound still does."""
    source = make_video(tmp_path / "a.mp4", range(500, 1500, 100), 1000)
    late(source, tmp_path / "b.mkv", 100)
    copied(tmp_path / "b.mkv", tmp_path / "target.mkv")
    assert float(times_of(tmp_path / "target.mkv")[0]) == pytest.approx(0.5, abs=0.03)
    assert seconds_of_sound(tmp_path / "target.mkv")[0] == pytest.approx(0, abs=0.03)


def test_chapters_move_with_the_clock(tmp_path):
    source = make_video(
        tmp_path / "a.mkv",
        range(5000, 6000, 100),
        1000,
        sound=None,
        prepare=lambda stream: setattr(stream, "max_b_frames", 0),
    )
    with av.open(str(source)) as old, av.open(str(tmp_path / "b.mkv"), "w") as new:
        place = new.add_stream_from_template(old.streams.video[0])
        new.set_chapters(
            [
                {
                    "id": 1,
                    "start": 5200,
                    "end": 5900,
                    "time_base": Fraction(1, 1000),
                    "metadata": {"title": "Jane"},
                }
            ]
        )
        for packet in old.demux():
            if packet.dts is not None:
                packet.stream = place
                new.mux(packet)
    copied(tmp_path / "b.mkv", tmp_path / "target.mkv")
    with av.open(str(tmp_path / "target.mkv")) as container:
        (chapter,) = container.chapters()
    assert float(chapter["start"] * chapter["time_base"]) == pytest.approx(0.2, abs=0.002)
    assert "Jane" not in str(chapter)


def test_tracks_lose_their_names(tmp_path):
    source = make_video(tmp_path / "a.mp4")
    with av.open(str(source)) as old, av.open(str(tmp_path / "b.mkv"), "w") as new:
        places = {stream.index: new.add_stream_from_template(stream) for stream in old.streams}
        for place in places.values():
            place.metadata["title"] = "Jane's track"
        for packet in old.demux():
            if packet.dts is not None:
                packet.stream = places[packet.stream.index]
                new.mux(packet)
    assert b"Jane" in (tmp_path / "b.mkv").read_bytes()
    copied(tmp_path / "b.mkv", tmp_path / "target.mkv")
    assert b"Jane" not in (tmp_path / "target.mkv").read_bytes()


# Sound -----------------------------------------------------------------------------------------

SOUNDS = [
    *("pcm_u8", "pcm_s16le", "pcm_mulaw", "pcm_alaw", "pcm_f32le", "adpcm_ima_wav", "adpcm_ms"),
    *("mp2", "ac3", "wmav2", "flac", "libopus", "libmp3lame", "aac"),
]


def container_of(sound):
    if sound.startswith(("adpcm", "wma", "pcm")):
        return ".wmv" if sound == "wmav2" else ".avi"
    return ".mkv"


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".webm"])
@pytest.mark.parametrize("sound", SOUNDS)
def test_every_sound_goes_into_every_container(tmp_path, sound, suffix):
    codec = "mpeg4" if container_of(sound) != ".mkv" else "libx264"
    source = make_video(
        tmp_path / f"source{container_of(sound)}", range(10), 10, codec=codec, sound=sound
    )
    target = tmp_path / f"target{suffix}"
    notes = copied(source, target)
    start, end, codec = seconds_of_sound(target)
    assert abs(start) < 0.1 and 0.9 < end < 1.2
    if suffix == ".mp4":  # what a browser cannot play is never copied
        assert codec in ("aac", "mp3float", "opus", "flac")
    if notes:
        assert codec == ("opus" if suffix == ".webm" else "aac")
        assert f"re-encoded as {'Opus' if suffix == '.webm' else 'AAC'}" in notes[0]
    else:
        assert [p[0] for p in sound_of(target)] == [p[0] for p in sound_of(source)]


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".webm", ".mkv"])
def test_sound_that_cannot_be_decoded_is_left_out_in_words(tmp_path, suffix):
    """FFmpeg's Matroska writes TTA that its own decoder refuses: only Matroska takes a copy."""
    source = make_video(tmp_path / "source.mkv", range(10), 10, codec="libx264", sound="tta")
    notes = copied(source, tmp_path / f"target{suffix}")
    with av.open(str(tmp_path / f"target{suffix}")) as target:
        sounds = [stream.codec_context.name for stream in target.streams.audio]
    if suffix == ".mkv":
        assert (notes, sounds) == ([], ["tta"])
    else:
        assert notes == ["its sound (tta) cannot be decoded and is left out"] and sounds == []


@pytest.mark.parametrize("sound, suffix", [("wavpack", ".mkv"), ("nellymoser", ".flv")])
def test_rare_sound_is_re_encoded_in_words(tmp_path, sound, suffix):
    source = make_video(tmp_path / f"source{suffix}", range(10), 10, codec="libx264", sound=sound)
    assert copied(source, tmp_path / "target.mp4") == [f"its sound ({sound}) is re-encoded as AAC"]
    assert seconds_of_sound(tmp_path / "target.mp4")[1] > 0.9


def test_the_sound_of_avi_goes_on_without_gaps(tmp_path):
    """Its times are computed from bytes by a scale that may be wrong."""
    source = make_video(tmp_path / "a.avi", range(10), 10, codec="mpeg4", sound="pcm_mulaw")
    data = bytearray(source.read_bytes())
    scale = data.index(b"auds") + 20
    struct.pack_into("<I", data, scale, 300 * struct.unpack_from("<I", data, scale)[0])
    source.write_bytes(data)
    assert seconds_of_sound(source)[1] > 60
    copied(source, tmp_path / "b.mp4")
    assert seconds_of_sound(tmp_path / "b.mp4")[1] == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("layout, rate", [("stereo", 22050), ("5.1", 48000), ("mono", 8000)])
def test_channels_and_rates_are_kept_where_they_can_be(tmp_path, layout, rate):
    source = tmp_path / "a.mkv"
    with av.open(str(source), "w") as container:
        images = container.add_stream("libx264", rate=10)
        images.width, images.height, images.pix_fmt = 64, 48, "yuv420p"
        voice = container.add_stream("pcm_s16le", rate=rate)
        voice.layout = layout
        for number in range(10):
            frame = av.VideoFrame.from_ndarray(picture(number, (64, 48)), "rgb24")
            container.mux(images.encode(frame))
        container.mux(images.encode())
        channels = voice.codec_context.layout.nb_channels
        wave = np.zeros((1, rate * channels), np.int16)
        sound = av.AudioFrame.from_ndarray(wave, "s16", layout=layout)
        sound.sample_rate, sound.pts, sound.time_base = rate, 0, Fraction(1, rate)
        container.mux(voice.encode(sound))
        container.mux(voice.encode())
    copied(source, tmp_path / "b.mp4")
    with av.open(str(tmp_path / "b.mp4")) as container:
        context = container.streams.audio[0].codec_context
        assert (context.layout.nb_channels, context.sample_rate) == (channels, rate)
    assert seconds_of_sound(tmp_path / "b.mp4")[1] == pytest.approx(1, abs=0.1)


# Alpha, fields, sizes, names -------------------------------------------------------------------


@pytest.mark.parametrize("size, suffix", [((64, 48), ".webm"), ((65, 47), ".mkv")])
@pytest.mark.parametrize("codec", ["libvpx", "libvpx-vp9"])
def test_transparent_places_of_webm_are_white(tmp_path, codec, size, suffix):
    width, height = size
    source = tmp_path / f"a{suffix}"
    with av.open(str(source), "w") as container:
        stream = container.add_stream(codec, rate=10)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuva420p"
        stream.options = {"auto-alt-ref": "0", "crf": "10", "b": "0"}
        stream.metadata["alpha_mode"] = "1"
        for _ in range(4):
            pixels = np.zeros((height, width, 4), np.uint8)
            pixels[:, 32:] = (0, 0, 200, 255)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, "rgba")))
        container.mux(stream.encode())
    frames = list(open_video(source).frames())
    assert len(frames) == 4
    for frame in frames:
        assert frame.pixels.shape == (height, width, 3)
        assert frame.pixels[:, :28].min() > 245
        assert frame.pixels[:, 36:, :2].max() < 40 and frame.pixels[:, 36:, 2].min() > 160


@pytest.mark.parametrize("order", ["tff", "bff"])  # the top or the bottom field first
@pytest.mark.parametrize("codec", ["libx264", "mpeg2video"])
def test_interlaced_videos_are_deinterlaced(tmp_path, codec, order):
    def fields(number, size):
        """A bar that moves between the two fields of a frame."""
        image = np.zeros((size[1], size[0], 3), np.uint8)
        for parity in (0, 1):
            left = 8 + 8 * (2 * number + parity)
            row = parity if order == "tff" else 1 - parity
            image[row::2, left : left + 16] = 255
        return image

    graph = av.filter.Graph()
    nodes = [
        graph.add_buffer(width=128, height=64, format="yuv420p", time_base=Fraction(1, 25)),
        graph.add("setfield", f"mode={order}"),
        graph.add("buffersink"),
    ]
    graph.link_nodes(*nodes).configure()
    source = tmp_path / "a.mkv"
    with av.open(str(source), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 128, 64, "yuv420p"
        stream.codec_context.flags |= 1 << 18 | 1 << 29  # interlaced DCT and motion
        stream.codec_context.bit_rate, stream.max_b_frames = 4_000_000, 0
        for number in range(4):
            frame = av.VideoFrame.from_ndarray(fields(number, (128, 64)), "rgb24")
            frame = frame.reformat(format="yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            graph.vpush(frame)
            container.mux(stream.encode(graph.vpull()))
        container.mux(stream.encode())
    video = open_video(source)
    assert any("interlaced" in note for note in video.notes)
    frames = list(video.frames())
    assert [frame.at for frame in frames] == [0, 40, 80, 120]
    combs = [np.abs(np.diff(f.pixels[..., 0].astype(int), axis=0)).mean() for f in frames]
    raw = [np.abs(np.diff(p[..., 0].astype(int), axis=0)).mean() for p in pictures_of(source)]
    assert max(combs[1:3]) < 0.3 * min(raw)


@pytest.mark.parametrize("second", [(48, 32), (64, 96), (128, 64)])
def test_images_that_change_their_size_are_followed_in_words(tmp_path, second):
    """Transport streams of broadcasts do that between programs."""
    for name, size, start in (("a", SIZE, 0), ("b", second, 1)):
        part = make_video(
            tmp_path / f"{name}.mp4", range(0, 1000, 100), 1000, size=size, sound=None
        )
        late(part, tmp_path / f"{name}.ts", start)
    both = tmp_path / "both.ts"
    both.write_bytes((tmp_path / "a.ts").read_bytes() + (tmp_path / "b.ts").read_bytes())
    video = open_video(both)
    frames = list(video.frames())
    assert len(frames) >= 15 and {frame.pixels.shape for frame in frames} == {(64, 96, 3)}
    assert any("change their size" in note for note in video.notes)


@pytest.mark.parametrize(
    "name", ["2024-01-01T12:30:00.mp4", "day:1/a.mkv", "http:x.webm", "a%03d.mp4", "a.gif:b.mov"]
)
def test_names_with_colons_are_names(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    source = make_video(tmp_path / "source.mp4", sound=None)
    target = tmp_path / name
    target.parent.mkdir(exist_ok=True)
    copied(source, target)
    copied(source, target.relative_to(tmp_path).with_stem("relative:b"))
    assert len(times_of(target)) == 10 and [p.name for p in target.parent.glob(".*")] == []


@pytest.mark.parametrize("name", ["concat:a.png", "pipe:1.gif", "http:x.webp", "-a\n%d.mp4"])
def test_relative_names_are_never_addresses(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    source = make_video(tmp_path / "source.mp4", sound=None)
    copied(source, Path(name))
    assert len(list(open_video(tmp_path / name).frames())) == 10
    assert sorted(os.listdir()) == sorted(["source.mp4", name])


@pytest.mark.parametrize("length", [200, 250, 255])
@pytest.mark.parametrize("letter", ["a", "é"])
def test_names_may_be_as_long_as_the_disk_takes(tmp_path, length, letter):
    stem = letter * ((length - 4) // len(letter.encode()))
    source = make_video(tmp_path / "source.mp4", sound=None)
    copied(source, tmp_path / f"{stem}.mp4")
    assert len(times_of(tmp_path / f"{stem}.mp4")) == 10
