"""Films and animations say that a network has drawn them, and nothing about who sent the source."""

import hashlib
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from tests.fixtures.mark_readers import DRAWN, GENERATED, boxes, exiftool, is_xmp, read_source_type
from tests.fixtures.toy_videos import (
    STEADY_SIZE,
    make_video,
    picture,
    pictures_of,
    sound_of,
    times_of,
)
from tests.unit.pipelines.test_animegan import pipeline
from toonify.images import marks
from toonify.pipelines import video
from toonify.pipelines.video import VideoOptions, draw_video
from toonify.video import write_video
from toonify.video.marks import mark_file
from toonify.video.muxing import SUFFIXES

FILMS = (".mp4", ".m4v", ".mov", ".mkv", ".webm")
SECRETS = ("Jane", "GoPro", "+48.8584", "private-folder", "2024-01-02")


@pytest.fixture(autouse=True)
def faceless(monkeypatch):
    monkeypatch.setattr(video, "find_faces", lambda photo: [])


@pytest.fixture(scope="module")
def private(tmp_path_factory):
    """A film whose file says who, where, when and by what it was taken."""
    folder = tmp_path_factory.mktemp("private-folder")
    plain = make_video(folder / "plain.mp4", size=STEADY_SIZE)
    path = folder / "Jane's GoPro +48.8584.mov"
    with (
        av.open(str(plain)) as old,
        av.open(str(path), "w", options={"movflags": "use_metadata_tags"}) as new,
    ):
        new.metadata.update(
            title="Jane's party",
            artist="Jane Doe",
            comment="GoPro at private-folder",
            copyright="Jane",
            description="Jane",
            make="GoPro",
            location="+48.8584+002.2945/",
            creation_time="2024-01-02T03:04:05Z",
        )
        places = {s.index: new.add_stream_from_template(s) for s in old.streams}
        for place in places.values():
            place.metadata["handler_name"] = "GoPro AAC"
            place.metadata["title"] = "Jane's track"
        chapter = {"id": 1, "start": 0, "end": 200, "time_base": Fraction(1, 1000)}
        new.set_chapters([chapter | {"metadata": {"title": "Jane's chapter"}}])
        for packet in old.demux():
            if packet.dts is not None:
                packet.stream = places[packet.stream.index]
                new.mux(packet)
    return path


def draw(source: Path, target: Path, **options) -> Path:
    negative, _ = pipeline(lambda batch: -batch)
    return draw_video(negative, source, target, VideoOptions(crf=30, **options)).path


@pytest.fixture(scope="module")
def drawn(private, tmp_path_factory):
    """drawn(suffix, mark): the film drawn into a file, once."""
    folder, files = tmp_path_factory.mktemp("drawn"), {}

    def get(suffix: str, mark: bool = True) -> Path:
        if (suffix, mark) not in files:
            target = folder / f"{'marked' if mark else 'plain'}{suffix}"
            files[suffix, mark] = draw(private, target, mark=mark)
        return files[suffix, mark]

    return get


def streams_of(path: Path) -> tuple:
    """All that is seen and heard of a film or animation, and when."""
    if path.suffix in FILMS:
        seen = [hashlib.sha256(pixels).hexdigest() for pixels in pictures_of(path)]
        return seen, times_of(path), sound_of(path)
    with Image.open(path) as animation:
        frames = []
        for number in range(animation.n_frames):
            animation.seek(number)
            frames.append((animation.convert("RGB").tobytes(), animation.info.get("duration")))
        return frames, animation.info.get("loop")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_files_say_what_they_are_and_nothing_of_the_source(suffix, drawn):
    assert read_source_type(drawn(suffix)) == DRAWN
    assert read_source_type(drawn(suffix, False)) is None
    data = drawn(suffix).read_bytes()
    assert b"DigitalSource" not in drawn(suffix, False).read_bytes()
    for secret in SECRETS:
        assert secret.encode() not in data, secret
    assert len(data) - drawn(suffix, False).stat().st_size < 2000


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_pictures_times_and_sound_are_the_same_without_the_mark(suffix, drawn):
    assert streams_of(drawn(suffix)) == streams_of(drawn(suffix, False))
    assert len(streams_of(drawn(suffix))[0]) == 10


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".gif", ".webp", ".png"])
def test_exiftool_reads_the_same(suffix, drawn, private):
    before = str(exiftool(private))
    assert "Jane Doe" in before and "GoPro" in before and "48.8584" in before
    assert "2024:01:02" in before
    tags = exiftool(drawn(suffix))
    assert tags.pop("XMP-iptcExt:DigitalSourceType") == DRAWN
    assert not [name for name in tags if "GPS" in name or name.startswith("XMP-iptc")]
    for secret in (*SECRETS, "48.8584", "2024:01:02"):
        assert secret not in str(tags), secret


@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
def test_ffmpeg_reads_the_xmp_too(suffix, drawn):
    options = {"export_xmp": "1"}
    with av.open(str(drawn(suffix)), container_options=options) as film:
        assert DRAWN in film.metadata["xmp"]


def test_a_film_begins_with_what_a_browser_needs_and_ends_with_the_mark(drawn):
    found = boxes(drawn(".mp4").read_bytes())
    kinds = [kind for kind, _ in found]
    assert kinds.index(b"moov") < kinds.index(b"mdat") and is_xmp(*found[-1])


def test_languages_come_along(tmp_path):
    source = make_video(tmp_path / "plain.mp4")
    spoken = tmp_path / "spoken.mkv"
    with av.open(str(source)) as old, av.open(str(spoken), "w") as new:
        places = {s.index: new.add_stream_from_template(s) for s in old.streams}
        places[1].metadata["language"] = "fra"
        for packet in old.demux():
            if packet.dts is not None:
                packet.stream = places[packet.stream.index]
                new.mux(packet)
    with av.open(str(draw(spoken, tmp_path / "out.mkv"))) as film:
        assert film.streams.audio[0].metadata["language"] == "fra"


def test_an_unfinished_film_goes_on_with_another_mark(tmp_path, private):
    """The pieces of it do not depend on the mark."""
    plans = [
        video.plan_of(pipeline()[0], private, ".mp4", VideoOptions(mark=mark))
        for mark in (True, False)
    ]
    assert plans[0] == plans[1] and "mark" not in plans[0]["options"]


def test_an_animation_of_one_image_is_marked(tmp_path):
    """FFmpeg and Pillow write WebP of a single image without the chunk that has the flag."""
    for suffix in (".webp", ".gif"):
        path = tmp_path / f"same{suffix}"
        Image.fromarray(picture(0)).save(path)
        before = np.asarray(Image.open(path).convert("RGB"))
        mark_file(path, suffix, marks.DRAWN)
        assert read_source_type(path) == DRAWN
        assert (np.asarray(Image.open(path).convert("RGB")) == before).all()


@pytest.mark.parametrize("suffix", [".mp4", ".gif", ".webp"])
def test_films_of_marked_images_are_marked(tmp_path, suffix):
    faces = [
        marks.mark(Image.fromarray(picture(n, STEADY_SIZE)), marks.GENERATED) for n in range(4)
    ]
    marked = write_video(faces, tmp_path / f"a{suffix}", fps=8)
    plain = write_video(faces, tmp_path / f"b{suffix}", fps=8, mark=False)
    unmarked = [Image.fromarray(picture(n, STEADY_SIZE)) for n in range(4)]
    other = write_video(unmarked, tmp_path / f"c{suffix}", fps=8)
    assert read_source_type(marked) == GENERATED
    assert read_source_type(plain) is None and plain.read_bytes() == other.read_bytes()
    assert streams_of(marked) == streams_of(plain)
