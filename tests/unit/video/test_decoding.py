"""Videos in and out: exact times, the sound bit for bit, and nothing but local films is opened."""

from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

from tests.fixtures.toy_videos import (
    SIZE,
    make_video,
    picture,
    pictures_of,
    sound_of,
    times_of,
    turn,
)
from toonify.images.color_spaces import HLG, PQ
from toonify.video import muxing, segments
from toonify.video.color import to_pixels
from toonify.video.decoding import open_video
from toonify.video.prefetch import ahead
from toonify.video.segments import SegmentStore
from toonify.video.types import Colors, VideoError

ODD_TIMES = (500, 1501, 9000, 9100, 20000, 20001, 30303)


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch):
    monkeypatch.setattr(segments, "FRAMES", 4)


def copied(source, target):
    """The video read and written again without any drawing; returns the notes."""
    clip, suffix = open_video(source), muxing.check_suffix(target)
    notes = muxing.check_sound(clip, suffix)
    with SegmentStore(target, {}) as store:
        codec, about = muxing.codec_for(suffix, 10), clip.about
        for _ in store.write(clip.frames(), codec, about.time_base, about.colors):
            pass
        notes += muxing.join(store, clip, target, suffix)
    assert not store.folder.exists()
    return notes


def lengths(path):
    return [(frame.at, frame.duration) for frame in open_video(path).frames()]


# Films -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
@pytest.mark.parametrize("times", [range(0, 10010, 1001), ODD_TIMES], ids=["ntsc", "varying"])
def test_times_are_exact_and_sound_is_the_same(tmp_path, times, suffix):
    source = make_video(tmp_path / "source.mp4", times)
    target = tmp_path / f"target{suffix}"
    assert copied(source, target) == []
    assert times_of(target) == [Fraction(at, 30000) for at in times] == times_of(source)
    assert sound_of(target) == sound_of(source) and len(sound_of(source)) > 40
    for number, found in enumerate(pictures_of(target)):
        assert np.abs(found.astype(int) - picture(number)).mean() < 6


def test_the_last_frame_lasts_as_long_as_in_the_source(tmp_path):
    source = make_video(tmp_path / "source.mp4", prepare=lambda s: setattr(s, "max_b_frames", 2))
    assert copied(source, tmp_path / "target.mp4") == []
    assert lengths(tmp_path / "target.mp4") == [(at, 1001) for at in range(0, 10010, 1001)]


def test_matroska_keeps_its_times_and_pcm(tmp_path):
    source = make_video(
        tmp_path / "source.mkv", (0, 33, 67, 100, 900, 940), 1000, sound="pcm_s16le"
    )
    copied(source, tmp_path / "target.mkv")
    assert times_of(tmp_path / "target.mkv") == times_of(source)
    assert sound_of(tmp_path / "target.mkv") == sound_of(source)


def test_sound_that_the_file_cannot_hold_is_reported_before_drawing(tmp_path):
    clip = open_video(make_video(tmp_path / "source.mkv", sound="pcm_s16le"))
    changed = ["its sound (pcm_s16le) is re-encoded as Opus"]
    assert muxing.check_sound(clip, ".webm") == changed
    assert muxing.check_sound(clip, ".webm", has_sound=False) == []
    assert muxing.check_sound(clip, ".gif") == [".gif has no sound: it is left out"]


def test_webm(tmp_path):
    source = make_video(tmp_path / "source.mkv", range(0, 240, 40), 1000, sound=None)
    copied(source, tmp_path / "target.webm")
    assert times_of(tmp_path / "target.webm") == times_of(source)


def test_a_film_on_its_side_is_put_upright(tmp_path):
    source = turn(make_video(tmp_path / "source.mp4", sound=None))
    clip = open_video(source)
    assert clip.about.size == SIZE[::-1]
    first = next(clip.frames()).pixels
    assert np.abs(first.astype(int) - np.rot90(picture(0), -1)).mean() < 6
    copied(source, tmp_path / "target.mp4")
    assert np.abs(pictures_of(tmp_path / "target.mp4")[0].astype(int) - first).mean() < 3
    assert open_video(tmp_path / "target.mp4").about.size == SIZE[::-1]


def test_pixels_are_made_square_and_a_high_video_smaller(tmp_path):
    def wide(stream):
        stream.codec_context.sample_aspect_ratio = Fraction(4, 3)

    source = make_video(tmp_path / "source.mp4", sound=None, prepare=wide)
    assert open_video(source).about.size == (128, 64)
    assert open_video(source, max_height=32).about.size == (64, 32)
    assert next(open_video(source, max_height=32).frames()).pixels.shape == (32, 64, 3)


@pytest.mark.parametrize("matrix", [1, 6], ids=["bt709", "bt601"])
@pytest.mark.parametrize("full", [False, True], ids=["limited", "full"])
def test_colors_come_through_with_their_tags(tmp_path, matrix, full):
    """Each way of coding colors is undone on the way in, and used and said on the way out."""
    colors = Colors(matrix, matrix, matrix, full)
    flat = np.full((64, 96, 3), (200, 60, 30), np.uint8)
    with SegmentStore(tmp_path / "source.mp4", {}) as store:
        frames = [segments.Frame(at, 1, flat) for at in range(4)]
        list(store.write(frames, segments.h264(5), Fraction(1, 25), colors))
        store.segments[0].file.rename(tmp_path / "source.mp4")
    copied(tmp_path / "source.mp4", tmp_path / "target.mp4")
    for name in ("source.mp4", "target.mp4"):
        clip = open_video(tmp_path / name)
        assert clip.colors == colors == clip.about.colors
        assert np.abs(next(clip.frames()).pixels.astype(int) - flat).max() <= 6


@pytest.mark.parametrize("transfer", [PQ, HLG])
def test_hdr_keeps_white_bright_and_black_black(transfer):
    import av
    from av.video.reformatter import VideoReformatter

    # Signals of black, of a sheet of paper (203 nits) and of the peak, by BT.2408 and BT.2100.
    codes = {PQ: (0, 0.58, 1.0), HLG: (0, 0.75, 1.0)}[transfer]
    gray = (np.array(codes)[None, :, None] * 65535).astype(np.uint16).repeat(3, axis=2)
    frame = av.VideoFrame.from_ndarray(gray.repeat(8, axis=0).repeat(16, axis=1), "rgb48le")
    frame.color_trc = transfer
    size = (frame.width, frame.height)
    drawn = to_pixels(frame, VideoReformatter(), size, Colors(9, 9, transfer))
    black, white, peak = (drawn[4, x].tolist() for x in (8, 24, 40))
    assert max(black) <= 2 and 225 < min(white) <= max(white) < 250 and min(peak) >= 250


def test_damaged_packets_are_passed_over(tmp_path):
    whole = make_video(tmp_path / "whole.mp4", range(0, 30030, 1001), sound=None)
    data = bytearray(whole.read_bytes())
    start = data.index(b"mdat")
    rng = np.random.default_rng(0)
    for place in rng.integers(start + 3000, data.index(b"moov"), 30):
        data[place] ^= 0xFF
    (tmp_path / "damaged.mp4").write_bytes(data)
    clip = open_video(tmp_path / "damaged.mp4")
    frames = list(clip.frames())
    assert 1 <= len(frames) <= 30 and clip.damaged > 0
    assert [f.at for f in frames] == sorted({f.at for f in frames})


@pytest.mark.parametrize(
    "name, content, words",
    [
        ("list.m3u8", b"#EXTM3U\n#EXTINF:1,\nwhole.mp4\n#EXT-X-ENDLIST\n", "not a video"),
        ("list.mp4", b"ffconcat version 1.0\nfile whole.mp4\n", "not a video"),
        ("text.mp4", b"no film at all", "not a video"),
        ("empty.mp4", b"", "not a video"),
        ("sdp.mp4", b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nm=video 9 RTP/AVP 96\n", "not a video"),
    ],
)
def test_what_is_no_film_of_its_own_is_refused(tmp_path, monkeypatch, name, content, words):
    monkeypatch.chdir(tmp_path)
    make_video(tmp_path / "whole.mp4", sound=None)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(VideoError, match=words):
        open_video(name)


def test_names_are_never_addresses(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("http://127.0.0.1:9/clip.mp4", "concat:a.mp4|b.mp4", "pipe:0"):
        with pytest.raises(VideoError, match="no such file"):
            open_video(name)


def test_sound_alone_and_still_images_are_no_videos(tmp_path):
    import av

    with av.open(str(tmp_path / "sound.mp4"), "w") as container:
        voice = container.add_stream("aac", rate=44100, layout="mono")
        from tests.fixtures.toy_videos import sine

        container.mux(packet for frame in sine() for packet in voice.encode(frame))
        container.mux(voice.encode())
    with pytest.raises(VideoError, match="it has no video"):
        open_video(tmp_path / "sound.mp4")
    Image.new("RGB", (8, 8)).save(tmp_path / "still.gif")
    with pytest.raises(VideoError, match="a still image"):
        open_video(tmp_path / "still.gif")


def test_frames_beyond_the_limit_are_not_decoded(tmp_path, monkeypatch):
    source = make_video(tmp_path / "source.mp4", sound=None)
    monkeypatch.setattr("toonify.video.decoding.MAX_PIXELS", 1000)
    with pytest.raises(VideoError, match="96x64; expected at most"):
        open_video(source)


# Animations ------------------------------------------------------------------------------------

TIMES_MS = (0, 50, 250, 320)
END_MS = 650


def animation(path, loop=0):
    """Four frames with delays of 50, 200, 70 and 330 ms."""
    pictures = [Image.fromarray(picture(4 * number)) for number in range(4)]
    delays = [b - a for a, b in zip(TIMES_MS, (*TIMES_MS[1:], END_MS), strict=True)]
    extra = {} if loop is None else {"loop": loop}
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=delays, **extra)
    return path


@pytest.mark.parametrize("into", [".gif", ".webp", ".png"])
@pytest.mark.parametrize("source", [".gif", ".webp", ".png", ".avif"])
def test_animations_keep_their_delays_and_images(tmp_path, source, into):
    path = animation(tmp_path / f"source{source}")
    copied(path, tmp_path / f"target{into}")
    expected = [(0, 50), (50, 200), (250, 70), (320, 330)]
    assert lengths(path) == expected == lengths(tmp_path / f"target{into}")
    for number, frame in enumerate(open_video(tmp_path / f"target{into}").frames()):
        assert np.abs(frame.pixels.astype(int) - picture(4 * number)).mean() < 10


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png"])
@pytest.mark.parametrize("loop", [0, 1, 3])
def test_animations_are_shown_as_often_as_before(tmp_path, suffix, loop):
    path = animation(tmp_path / f"source{suffix}", loop)
    copied(path, tmp_path / f"target{suffix}")
    plays = open_video(path).about.plays
    assert open_video(tmp_path / f"target{suffix}").about.plays == plays
    assert plays == (loop + 1 if loop and suffix == ".gif" else loop)


def test_a_gif_that_is_shown_once_stays_so(tmp_path):
    copied(animation(tmp_path / "source.gif", None), tmp_path / "target.gif")
    assert open_video(tmp_path / "target.gif").about.plays == 1


def test_an_animation_becomes_a_film_and_back(tmp_path):
    copied(animation(tmp_path / "source.gif"), tmp_path / "film.mp4")
    assert times_of(tmp_path / "film.mp4") == [Fraction(ms, 1000) for ms in TIMES_MS]
    copied(tmp_path / "film.mp4", tmp_path / "target.webp")
    assert lengths(tmp_path / "target.webp") == [(0, 50), (50, 200), (250, 70), (320, 330)]


def test_a_gif_is_small_and_slow_enough_for_browsers(tmp_path):
    source = make_video(tmp_path / "source.mp4", range(12), 60, size=(640, 64), sound="aac")
    notes = copied(source, tmp_path / "target.gif")
    assert notes[0].startswith(".gif has no sound") and "frames left out" in notes[1]
    clip = open_video(tmp_path / "target.gif")
    assert clip.about.size == (512, 51)
    found = list(clip.frames())
    assert min(frame.duration for frame in found) >= 20
    assert abs(found[-1].at + found[-1].duration - 200) <= 10


def test_transparent_places_are_white(tmp_path):
    pictures = [Image.new("RGBA", (8, 8), (0, 0, 0, alpha)) for alpha in (0, 255)]
    pictures[0].save(tmp_path / "a.png", save_all=True, append_images=pictures[1:], duration=50)
    first, second = open_video(tmp_path / "a.png").frames()
    assert first.pixels.min() == 255 and second.pixels.max() == 0


# Pieces ----------------------------------------------------------------------------------------


def test_pieces_of_other_settings_are_not_mixed(tmp_path):
    clip = open_video(make_video(tmp_path / "source.mp4", sound=None))

    def begin(plan, **options):
        with SegmentStore(tmp_path / "out.mp4", plan, **options) as store:
            writing = store.write(
                clip.frames(), segments.h264(30), clip.about.time_base, clip.about.colors
            )
            store.note(scale=0.5)
            before = store.frames
            for _ in range(5):
                next(writing)
            writing.close()
            assert store.found == {"scale": 0.5}
            raise KeyboardInterrupt(before)

    def before(*args, **options):
        with pytest.raises(KeyboardInterrupt) as stopped:
            begin(*args, **options)
        return stopped.value.args[0]

    assert before({"style": "a"}) == 0
    folder = tmp_path / ".out.mp4.parts"
    assert sorted(p.name for p in folder.iterdir()) == ["000000.4.0.mp4", "lock", "plan.json"]
    assert before({"style": "a"}) == 4
    with pytest.raises(VideoError, match="other settings"):
        begin({"style": "b"})
    assert before({"style": "b"}, restart=True) == 0
    before({"style": "b"}, keep=False)
    assert not folder.exists()


def test_two_runs_do_not_write_one_video(tmp_path):
    with (
        SegmentStore(tmp_path / "out.mp4", {}),
        pytest.raises(VideoError, match="another run"),
        SegmentStore(tmp_path / "out.mp4", {}),
    ):
        pass


# Ahead -----------------------------------------------------------------------------------------


def test_ahead_keeps_order_and_raises_in_place():
    def items():
        yield from range(5)
        raise ZeroDivisionError

    seen = []
    with pytest.raises(ZeroDivisionError):
        for item in ahead(items(), 1):
            seen.append(item)
    assert seen == [0, 1, 2, 3, 4]


def test_ahead_holds_few_items_and_ends_when_closed():
    made, closed = [], []

    def items():
        try:
            for number in range(1000):
                made.append(number)
                yield number
        finally:
            closed.append(True)

    taken = ahead(items(), depth=2)
    assert [next(taken), next(taken)] == [0, 1]
    taken.close()
    assert closed == [True] and len(made) <= 6
