"""Videos: what is written is read back, and nothing half-written stays."""

import av
import pytest
from PIL import Image

from toonify.video import write_video

COLORS = ("red", "lime", "blue", "white")


def frames(size=(64, 48)):
    return (Image.new("RGB", size, color) for color in COLORS)


@pytest.mark.parametrize("suffix", [".gif", ".webp"])
def test_an_animation_has_its_frames_and_never_ends(tmp_path, suffix):
    path = write_video(frames(), tmp_path / "new" / f"clip{suffix}", fps=10)
    with Image.open(path) as clip:
        assert (clip.n_frames, clip.size, clip.info["loop"]) == (4, (64, 48), 0)
        for number, color in enumerate(COLORS):
            clip.seek(number)
            expected = Image.new("RGB", (1, 1), color).getpixel((0, 0))
            found = clip.convert("RGB").getpixel((30, 20))
            assert max(abs(a - b) for a, b in zip(found, expected, strict=True)) < 12
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_a_film_has_its_frames_in_order_at_their_rate(tmp_path):
    path = write_video(frames((65, 49)), tmp_path / "clip.mp4", fps=12)
    with av.open(str(path)) as film:
        (stream,) = film.streams.video
        assert stream.codec_context.name == "h264" and stream.average_rate == 12
        pictures = [frame.to_image() for frame in film.decode(stream)]
    assert [picture.size for picture in pictures] == [(64, 48)] * 4
    assert [max(range(3), key=picture.getpixel((30, 20)).__getitem__) for picture in pictures][
        :3
    ] == [0, 1, 2]


@pytest.mark.parametrize(
    "pictures, name, fps, words",
    [
        (list(frames()), "clip.avi", 24, r"clip.avi ends in '.avi': expected one of .mp4"),
        (list(frames()), "clip.mp4", 0, "fps=0"),
        ([], "clip.mp4", 24, "no frame"),
        ([], "clip.gif", 24, "no frame"),
        ([*frames(), *frames((32, 32))], "clip.mp4", 24, r"frame 5 is \(32, 32\)"),
    ],
)
def test_what_is_no_video_is_refused_and_leaves_nothing(tmp_path, pictures, name, fps, words):
    with pytest.raises(ValueError, match=words):
        write_video(pictures, tmp_path / name, fps)
    assert not list(tmp_path.iterdir())


def test_a_broken_video_leaves_the_old_one(tmp_path):
    path = write_video(frames(), tmp_path / "clip.gif")
    before = path.read_bytes()

    def failing():
        yield from frames()
        raise RuntimeError("the network fell over")

    with pytest.raises(RuntimeError):
        write_video(failing(), path)
    assert path.read_bytes() == before and len(list(tmp_path.iterdir())) == 1
