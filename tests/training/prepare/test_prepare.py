"""Style images from films, aligned faces, style reports; long because all share made-up images."""

import json
import shutil
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest
from PIL import Image

from toonify import faces, images
from training.prepare import align_faces, frames_from_video, likeness, scenes, style_report
from training.prepare.frames_from_video import Choice, frames_from_videos

WIDTH, HEIGHT, FPS = 160, 120, 12


def drawing(seed: int, width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    """An image of flat shapes with crisp edges, different for every seed; uint8 RGB."""
    rng = np.random.default_rng(seed)
    picture = np.full((height, width, 3), rng.integers(60, 256, 3), np.uint8)
    for _ in range(25):
        center = (int(rng.integers(width)), int(rng.integers(height)))
        axes = tuple(int(side) for side in rng.integers(6, height // 3, 2))
        color = rng.integers(0, 256, 3).tolist()
        cv2.ellipse(picture, center, axes, float(rng.uniform(0, 180)), 0, 360, color, -1)
    return picture


def shot(seed: int, seconds: float) -> list[np.ndarray]:
    """A scene: a drawing in which a small disc moves a little."""
    frames = []
    for index in range(round(seconds * FPS)):
        frame = drawing(seed)
        cv2.circle(frame, (40 + index % 8, 60), 7, (255, 255, 255), -1)
        frames.append(frame)
    return frames


def fade(frame: np.ndarray, shares) -> list[np.ndarray]:
    return [(frame * share).astype(np.uint8) for share in shares]


def write_film(path, frames, *, rotation=0, times=None, square=None):
    """Encodes uint8 RGB frames; `times` are in ms, else there are FPS a second."""
    height, width = frames[0].shape[:2]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.bit_rate, stream.gop_size = 8_000_000, 12
        if square:
            stream.sample_aspect_ratio = square
        if rotation:
            stream.set_display_rotation(rotation)
        if times:
            stream.codec_context.time_base = Fraction(1, 1000)
        for index, frame in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), "rgb24")
            if times:
                frame.pts, frame.time_base = times[index], Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """Scenes from 0, 2, 4 (after a fade through black from 3.5) and 6.5 s (the first again)."""
    first, second, third = shot(1, 2), shot(2, 1.5), shot(3, 1.5)
    black = [np.zeros_like(first[0])] * 3
    frames = first + second + fade(second[-1], np.linspace(0.8, 0.1, 5)) + black
    frames += fade(third[0], np.linspace(0.1, 0.9, 5)) + third + first
    return write_film(tmp_path_factory.mktemp("films") / "film.mp4", frames)


@pytest.fixture(scope="module")
def taken(film, tmp_path_factory):
    """The folder with what is taken out of the film in one go, and what was said."""
    folder, said = tmp_path_factory.mktemp("taken"), []
    assert frames_from_videos([film], folder, Choice(), said.append) == (3, 0)
    return folder, said


def pictures(folder):
    return sorted(path.name for path in folder.glob("*.png"))


def times_ms(folder):
    return [int(name.split("_")[-1].removesuffix("ms.png")) for name in pictures(folder)]


def silent(*_):
    pass


# Likeness ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        lambda p: (p * 0.5).astype(np.uint8),
        lambda p: cv2.GaussianBlur(p, (0, 0), 1.5),
        lambda p: cv2.resize(p, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA),
        lambda p: p[1:-1, 1:-1],
        lambda p: cv2.imdecode(cv2.imencode(".jpg", p, [1, 50])[1], 1),
    ],
    ids=["darker", "blurred", "smaller", "cropped", "recompressed"],
)
def test_a_changed_copy_is_alike(change):
    one, copy = drawing(1), change(drawing(1))
    assert likeness.alike(likeness.fingerprint(one), likeness.fingerprint(copy))


def test_other_images_are_not_alike_and_the_album_agrees():
    marks = [likeness.fingerprint(drawing(seed)) for seed in range(80)]
    album = likeness.Album()
    for index, mark in enumerate(marks):
        assert album.alike(mark) == []
        album.add(str(index), mark)
    assert all(album.alike(mark) == [str(index)] for index, mark in enumerate(marks))


def test_two_colors_of_flat_paper_are_not_alike():
    red, blue = np.zeros((64, 64, 3), np.uint8), np.zeros((64, 64, 3), np.uint8)
    red[..., 0], blue[..., 2] = 200, 200
    red, blue = likeness.fingerprint(red), likeness.fingerprint(blue)
    assert red.bits == blue.bits and not likeness.alike(red, blue)


def test_sharpness_is_about_edges_not_their_number_or_contrast():
    busy, calm = drawing(1), np.full((HEIGHT, WIDTH, 3), 200, np.uint8)
    calm[40:80, 50:90] = 40
    pale = (busy // 2) + 100
    for picture in (calm, pale):
        blurred = likeness.sharpness(cv2.GaussianBlur(picture, (0, 0), 2))
        assert blurred < likeness.BLURRED * likeness.sharpness(busy)
        assert likeness.sharpness(picture) > 2 * blurred


def test_plain_borders():
    picture = drawing(1)
    assert likeness.plain_borders(picture) == (0, 0, 0, 0)
    framed = np.pad(picture, ((12, 15), (0, 0), (0, 0)))
    assert likeness.plain_borders(framed) == (0, 12, 0, 15)
    assert likeness.plain_borders(framed.transpose(1, 0, 2)) == (12, 0, 15, 0)
    sky = np.full((100, 100, 3), 180, np.uint8)
    cv2.fillPoly(sky, [np.array([(0, 99), (50, 40), (99, 99)])], (20, 60, 20))
    assert likeness.plain_borders(sky)[1] == 0, "a sky over a hill"


def test_blank_images():
    assert likeness.is_blank(np.zeros((50, 50, 3), np.uint8))
    assert likeness.is_blank(np.full((50, 50, 3), 230, np.uint8))
    assert not likeness.is_blank(drawing(1))
    assert not likeness.is_blank(drawing(1) // 3), "a night scene is an image"


# Films ------------------------------------------------------------------------------------------


def test_every_scene_once_and_no_two_alike(taken):
    folder, said = taken
    starts, found = [0, 2000, 4000], times_ms(folder)
    assert [max(s for s in starts if s <= at) for at in found] == starts, found
    album = likeness.Album()
    for name in pictures(folder):
        pixels = np.asarray(images.load(folder / name))
        mark = likeness.fingerprint(pixels)
        assert not album.alike(mark)
        album.add(name, mark)
        assert pixels.mean() > 0.9 * min(drawing(seed).mean() for seed in (1, 2, 3)), "not faded"
    assert json.loads((folder / "frames.json").read_text())["film"]["scenes"] == 4
    assert any("1 similar to images" in text for text in said), said


def test_a_second_run_writes_nothing(film, taken, tmp_path, capsys):
    arguments = [str(film), str(tmp_path)]
    shutil.copytree(taken[0], tmp_path, dirs_exist_ok=True)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.png")}
    frames_from_video.main(arguments)
    assert "0 images written" in capsys.readouterr().out
    (tmp_path / "frames.json").unlink()  # with the record lost, names alone must do
    frames_from_video.main(arguments)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.png")} == before


def test_deleted_by_hand_stays_deleted(film, taken, tmp_path):
    shutil.copytree(taken[0], tmp_path, dirs_exist_ok=True)
    (tmp_path / pictures(tmp_path)[1]).unlink()
    assert frames_from_videos([film], tmp_path, Choice(), silent) == (0, 0)
    assert len(pictures(tmp_path)) == 2


@pytest.mark.parametrize("kill_at", [0, 2])
def test_a_killed_run_goes_on(film, taken, tmp_path, monkeypatch, kill_at):
    whole, stopped, choice = taken[0], tmp_path / "stopped", Choice()
    save, count = images.save, iter(range(100))

    def killed(*arguments, **named):
        if next(count) == kill_at:
            raise KeyboardInterrupt
        return save(*arguments, **named)

    monkeypatch.setattr(images, "save", killed)
    with pytest.raises(KeyboardInterrupt):
        frames_from_videos([film], stopped, choice, silent)
    assert len(pictures(stopped)) == kill_at
    monkeypatch.setattr(images, "save", save)
    measured, begins = [], scenes.CutFinder.begins_scene
    monkeypatch.setattr(
        scenes.CutFinder,
        "begins_scene",
        lambda finder, at, look: measured.append(at) or begins(finder, at, look),
    )
    frames_from_videos([film], stopped, choice, silent)
    found, expected = ({p.name: p.read_bytes() for p in f.iterdir()} for f in (stopped, whole))
    assert found == expected
    if kill_at:  # what has been read before is not looked at again
        assert min(measured) > 3.4


def test_a_film_under_another_name_gives_nothing_and_another_of_its_name_is_refused(film, tmp_path):
    copy, other = shutil.copy(film, tmp_path / "copy.mp4"), tmp_path / "film.mp4"
    write_film(other, shot(7, 1))
    with pytest.raises(ValueError, match="rename"):
        frames_from_videos([film, other], tmp_path / "out", Choice(), silent)
    assert frames_from_videos([film, copy], tmp_path / "out", Choice(), silent) == (3, 0)
    with pytest.raises(ValueError, match="another video called film"):
        frames_from_videos([other], tmp_path / "out", Choice(), silent)


@pytest.fixture
def take(tmp_path):
    """take(frames, folder, **choice): encodes frames once; times in ms and sizes of images."""

    def take(frames, folder="out", film=None, **choice):
        path = tmp_path / "f.mp4"
        if not path.exists():
            write_film(path, frames, **(film or {}))
        frames_from_videos([path], tmp_path / folder, Choice(**choice), silent)
        sizes = {images.load(file).size for file in (tmp_path / folder).glob("*.png")}
        return times_ms(tmp_path / folder), sizes

    return take


def shots(count: int, seconds: float) -> list[np.ndarray]:
    return [frame for seed in range(count) for frame in shot(seed, seconds)]


def test_blurred_scenes_and_frames_are_left_out(take):
    sharp, other = shot(1, 2), shot(2, 1)
    sharp[:18] = [cv2.GaussianBlur(frame, (0, 0), 3) for frame in sharp[:18]]
    blurred = [cv2.GaussianBlur(frame, (0, 0), 3) for frame in shot(3, 1)]
    frames = sharp + other + blurred + shot(4, 2)
    found, _ = take(frames)
    assert len(found) == 3 and 1500 <= found[0] < 2000, "of the first scene, a sharp frame"
    assert not any(3000 <= at < 4000 for at in found)
    assert any(3000 <= at < 4000 for at in take(frames, "all", min_sharpness=0.0)[0])


def test_a_dissolve_is_two_scenes(take):
    one, other = shot(1, 2), shot(2, 2)
    mixed = [cv2.addWeighted(one[-1], 1 - t, other[0], t, 0) for t in np.linspace(0.1, 0.9, 9)]
    found, _ = take(one + mixed + other)
    assert len(found) == 2 and found[0] < 2100 and found[1] >= 2650, found


def test_a_flash_does_not_begin_a_scene(take):
    frames = shot(1, 2)
    frames[12] = np.full_like(frames[0], 255)
    assert len(take(frames)[0]) == 1


def test_frames_every_second_and_at_most_four_over_the_film(take):
    frames = shots(8, 1)
    found, _ = take(frames, "seconds", every=2.0, min_sharpness=0.0)
    assert [at // 2000 for at in found] == [0, 1, 2, 3]
    found, _ = take(frames, "four", max_frames=4, min_sharpness=0.0)
    assert len(found) == 4 and found[-1] > 5000, found


def test_per_scene_and_size(take):
    wide = drawing(5, 3 * WIDTH, HEIGHT)
    pan = [wide[:, 6 * i : 6 * i + WIDTH] for i in range(50)]
    assert take(pan, per_scene=1, size=90)[1] == {(120, 90)}
    assert take(pan, "more", per_scene=5)[1] == {(160, 120)}


@pytest.mark.parametrize("degrees", [90, 180, -90])
def test_rotated_films_come_out_upright(take, tmp_path, degrees):
    upright = drawing(1)
    upright[:40, :40], upright[-40:, -40:] = (255, 0, 0), (0, 0, 255)
    take([np.rot90(upright, -degrees // 90)] * 12, film={"rotation": degrees})
    (name,) = pictures(tmp_path / "out")
    picture = np.asarray(images.load(tmp_path / "out" / name)).astype(int)
    assert picture.shape == upright.shape
    assert np.abs(picture - upright).mean() < 12


def test_pixels_that_are_not_square(take):
    assert take(shot(1, 1), film={"square": Fraction(3, 2)})[1] == {(240, 120)}


def test_bars_are_cropped_also_under_subtitles(take, tmp_path):
    frames = [np.pad(f, ((20, 20), (0, 0), (0, 0))) for f in shots(4, 2)]
    for frame in frames[:5]:
        cv2.putText(frame, "words", (50, 155), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (255,) * 3)
    assert {height for _, height in take(frames, "as_is")[1]} == {HEIGHT + 40}
    assert len(take(frames, "cut", crop_bars=True)[0]) == 4
    for name in pictures(tmp_path / "cut"):
        picture = np.asarray(images.load(tmp_path / "cut" / name))
        assert HEIGHT - 6 <= picture.shape[0] <= HEIGHT and picture.shape[1] == WIDTH
        assert picture[0].max() > 60 and picture[-1].max() > 60


def test_times_come_from_the_clock_of_a_variable_frame_rate(tmp_path):
    times = [*range(0, 2000, 40), *range(2000, 6000, 250)]
    path = write_film(tmp_path / "f.mkv", [drawing(1)] * 50 + [drawing(2)] * 16, times=times)
    frames_from_videos([path], tmp_path / "out", Choice(), silent)
    found = times_ms(tmp_path / "out")
    assert len(found) == 2 and found[0] < 2000 <= found[1]
    assert set(found) <= set(times)


def test_a_clock_that_starts_again_goes_on(tmp_path):
    """Two recordings put together: the second one's times follow the first one's."""
    parts = [write_film(tmp_path / f"{i}.ts", shot(i, 2)).read_bytes() for i in range(2)]
    (tmp_path / "f.ts").write_bytes(b"".join(parts))
    frames_from_videos([tmp_path / "f.ts"], tmp_path / "out", Choice(), silent)
    found = times_ms(tmp_path / "out")
    assert len(found) == 2 and found[0] < 2000 <= found[1] < 4100, found


def test_films_that_are_cut_off_or_damaged_are_read_as_far_as_possible(tmp_path):
    cut, damaged = (write_film(tmp_path / name, shots(8, 1)) for name in ("f.mkv", "g.avi"))
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
    said = []
    written, refused = frames_from_videos([cut], tmp_path / "out", Choice(), said.append)
    assert written >= 2 and refused == 0
    assert any("cut off" in text for text in said), said
    data, rng = bytearray(damaged.read_bytes()), np.random.default_rng(0)
    for place in rng.integers(len(data) // 3, len(data) // 2, 40):
        data[place] ^= 0xFF
    damaged.write_bytes(data)
    written, refused = frames_from_videos([damaged], tmp_path / "more", Choice(), silent)
    assert refused == 0 and written >= 4


def test_files_that_are_not_videos_are_named(film, tmp_path, refusal):
    text, empty = tmp_path / "text.mp4", tmp_path / "empty.mp4"
    text.write_text("not a film")
    empty.write_bytes(b"")
    said = []
    assert frames_from_videos([text, film, empty], tmp_path / "o", Choice(), said.append)[1] == 2
    assert sum("can be read" in line for line in said) == 2
    for source in (text, tmp_path / "missing.mp4", tmp_path / "o"):
        assert str(source) in refusal(frames_from_video.main, source, tmp_path / "out")


@pytest.mark.parametrize(
    "option", ["--every 0.0", "--per-scene 0", "--size 9", "--min-sharpness 2.0", "--max-frames -1"]
)
def test_options_out_of_range_are_named(film, tmp_path, refusal, option):
    assert option in refusal(frames_from_video.main, film, tmp_path / "out", *option.split())


# Faces ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def photos(tmp_path_factory, photo_path):
    """The portrait, two of it side by side in a folder, and an image without a face."""
    folder = tmp_path_factory.mktemp("photos")
    face = images.load(photo_path).crop((100, 0, 356, 256))
    images.save(face, folder / "one.png")
    pair = Image.fromarray(np.hstack([face, face]))
    images.save(pair, folder / "in" / "two.png")
    images.save(Image.fromarray(drawing(1, 256, 256)), folder / "none.png")
    return folder


def test_faces_are_aligned_and_noted(photos, tmp_path, capsys):
    arguments = [str(photos), str(tmp_path), "--size", "96", "--min-eye-distance", "20"]
    align_faces.main(arguments)
    out, _ = capsys.readouterr()
    assert "3 faces written" in out and "1 photos without a face" in out
    assert "no face found in none" in out
    noted = json.loads((tmp_path / "faces.json").read_text())
    assert sorted(noted) == ["in_two_0", "in_two_1", "one_0"]
    assert sorted(path.stem for path in tmp_path.glob("*.png")) == sorted(noted)
    for name, face in noted.items():
        photo = images.load(face["source"])
        matrix, points = np.array(face["matrix"]), np.array(face["points"])
        inside = points @ matrix[:, :2].T + matrix[:, 2]
        assert np.allclose(inside[:2, 1], inside[:2, 1].mean(), atol=6), "eyes lie level"
        assert (inside > 0).all() and (inside < 96).all()
        crop = faces.align(photo, faces.Face((0, 0, 1, 1), points, 1.0), 96).image
        difference = np.asarray(crop).astype(int) - np.asarray(
            images.load(tmp_path / f"{name}.png")
        )
        assert np.abs(difference).mean() < 3, "the points and the matrix are of this crop"


def test_aligning_again_does_nothing_and_largest_takes_one(photos, tmp_path, monkeypatch):
    points = np.array([[80, 90], [120, 90], [100, 110], [85, 130], [115, 130]], np.float64)
    both = [faces.Face((60, 60, 140, 150), points + shift, 1.0) for shift in (0, 20)]
    faceless = drawing(1, 256, 256).tobytes()
    found, room = (lambda photo: [] if photo.tobytes() == faceless else both), align_faces.face_room
    monkeypatch.setattr(room, "detect", found)
    cut = align_faces.Cut(64, 20.0, largest=True)
    tally = align_faces.align_photos([photos], tmp_path, cut, silent)
    assert (tally.written, tally.faceless) == (2, 1)
    monkeypatch.setattr(room, "detect", lambda photo: pytest.fail("detected again"))
    tally = align_faces.align_photos([photos], tmp_path, cut, silent)
    assert (tally.written, tally.skipped) == (0, 3)
    with pytest.raises(ValueError, match="other settings"):
        align_faces.align_photos([photos], tmp_path, align_faces.Cut(128), silent)


def test_faces_that_would_be_enlarged_are_refused(photo_path, tmp_path, capsys):
    align_faces.main([str(photo_path), str(tmp_path)])  # 512 px of 41 px between the eyes
    out, _ = capsys.readouterr()
    assert "0 faces written" in out and "1 faces smaller than 64 px" in out
    assert not list(tmp_path.glob("*.png"))


# The report -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def style(tmp_path_factory):
    """DATA/STYLE with one image of every fault among twenty-four good ones."""
    folder = tmp_path_factory.mktemp("data") / "toon"
    for seed in range(24):
        picture = Image.fromarray(drawing(seed, 256, 256))
        images.save(picture, folder / "style" / f"good_{seed:02d}.png")
        if seed:
            images.save(picture, folder / "smooth" / f"good_{seed:02d}.png")
    faults = {
        "same": drawing(1, 256, 256),
        "near": (drawing(2, 256, 256) * 0.8).astype(np.uint8),
        "blurred": cv2.GaussianBlur(drawing(30, 256, 256), (0, 0), 3),
        "bordered": np.pad(drawing(31, 256, 220), ((20, 20), (0, 0), (0, 0))),
        "small": drawing(32, 100, 100),
        "blank": np.full((256, 256, 3), (40, 120, 200), np.uint8),
    }
    gray = cv2.cvtColor(drawing(33, 256, 256), cv2.COLOR_RGB2GRAY)
    faults["gray"] = np.repeat(gray[..., None], 3, axis=2)
    for name, picture in faults.items():
        images.save(Image.fromarray(picture), folder / "style" / f"{name}.png")
    cutout = Image.fromarray(drawing(34, 256, 256)).convert("RGBA")
    cutout.putalpha(Image.fromarray(np.pad(np.full((156, 156), 255, np.uint8), 50)))
    cutout.save(folder / "style" / "transparent.png")
    (folder / "style" / "unreadable.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    return folder


@pytest.fixture(scope="module")
def report(style):
    """Figures and verdict of the set."""
    return style_report.report_on(str(style), sample=0)[:2]


@pytest.mark.parametrize("fault", ["blurred", "bordered", "small", "blank", "gray", "transparent"])
def test_each_fault_is_found_and_nothing_else(report, fault):
    assert report[0][fault] == [fault]


def test_numbers_duplicates_and_missing_copies(report, style):
    found, findings = report
    assert (found["count"], found["different"]) == (32, 30)
    assert found["same"] == [["good_01", "same"]]
    assert found["similar"] == [["good_01", "same"], ["good_02", "near"]]
    assert [text.split(":")[0] for text in found["unreadable"]] == ["unreadable"]
    assert "good_00" in found["without_smooth"] and "good_01" not in found["without_smooth"]
    assert found["face_share"] is None and found["photo_edge_density"] is None
    levels = {finding.about: finding.level for finding in findings}
    assert levels["count"] == levels["duplicates"] == levels["without_smooth"] == "fix"
    (smooth,) = [f for f in findings if f.about == "without_smooth"]
    assert smooth.command == f"python -m training.prepare.edge_smooth {style}"


@pytest.mark.parametrize(
    ("number", "level"), [(99, "fix"), (100, "fix"), (300, "note"), (1000, "good"), (1500, "good")]
)
def test_what_a_number_of_images_means(report, number, level):
    found = {**report[0], "count": number, "different": number, "similar": []}
    (said,) = [f for f in style_report.verdict(found, "style") if f.about == "count"]
    assert said.level == level and str(number) in said.says and "1,284 to 1,752" in said.says


def test_color_shift_is_the_mean_less_each_channel():
    picture = np.full((64, 64, 3), (200, 100, 60), np.uint8)
    picture[::2] //= 2
    measured = [style_report.measure("one", Image.fromarray(picture))]
    found = style_report.compute_figures(measured, [])
    assert sum(found["color_shift"].values()) == pytest.approx(0, abs=0.03)
    assert found["color_shift"]["r"] == pytest.approx(90 - 150, abs=0.5)
    assert "fix" in [f.level for f in style_report.verdict(found, "s") if f.about == "color_shift"]


def test_command_prints_a_verdict_and_writes_json_and_sheet(style, tmp_path, capsys, photo_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "portrait.jpg").write_bytes(photo_path.read_bytes())
    arguments = [str(style), "--photos", str(tmp_path / "photos"), "--faces", "1"]
    arguments += ["--json", str(tmp_path / "r.json"), "--sheet", str(tmp_path / "s.png")]
    style_report.main(arguments)  # status 0, however bad the set
    out, _ = capsys.readouterr()
    assert "VERDICT" in out and "training.prepare.edge_smooth" in out
    said = json.loads((tmp_path / "r.json").read_text())
    assert set(said) == {"figures", "verdict"}
    assert said["figures"]["photo_face_share"] == 1.0
    assert said["figures"]["photo_edge_density"] > 0
    assert {"level", "about", "says", "command"} == set(said["verdict"][0])
    assert images.load(tmp_path / "s.png").width > 1000
    with pytest.raises(SystemExit) as stopped:
        style_report.main([str(tmp_path / "photos"), "--faces", "0", "--strict"])
    assert stopped.value.code == 1


def test_a_folder_without_images_is_an_error(tmp_path, refusal):
    for source in (tmp_path, tmp_path / "nowhere"):
        assert str(source) in refusal(style_report.main, source)
