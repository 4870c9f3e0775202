"""One rule for the images of a folder: nothing is left out in silence, and nothing comes twice."""

import os
from pathlib import Path

import pytest
from PIL import Image

from toonify import images
from toonify.cli import paths
from training.data.sources import find_pictures, photos_by_name


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "photos"
    for name in (
        *("a.jpg", "b.PNG", "deep/c.webp", ".hidden/d.jpg", ".e.jpg", "__MACOSX/f.jpg"),
        *("@eaDir/a.jpg/thumb.jpg", "notes.txt", "film.mp4", "a.jpg~"),
    ):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return folder


def names(listing, folder):
    return [path.relative_to(folder).as_posix() for path in listing.paths]


def test_what_is_left_out_is_counted(folder):
    listing = images.find_images(folder)
    assert names(listing, folder) == ["a.jpg", "b.PNG", "deep/c.webp"]
    assert listing.describe() == "1 generated, 1 hidden, 3 of other kinds"
    assert names(images.find_images(folder, recursive=False), folder) == ["a.jpg", "b.PNG"]


@pytest.mark.parametrize(
    "place",
    [
        *("@__thumb", "@Recycle", "Thumbs", "System Volume Information", "iPod Photo Cache"),
        *("Catalog Previews.lrdata", "My.photoslibrary/resources"),
    ],
)
def test_what_drives_and_programs_add_is_left_out(folder, place):
    (folder / place / "deep").mkdir(parents=True)
    (folder / place / "deep" / "z.jpg").touch()
    like = Path(place).name + ".jpg"
    (folder / like).touch()  # a photo may have such a name
    listing = images.find_images(folder)
    assert set(names(listing, folder)) == {"a.jpg", "b.PNG", "deep/c.webp", like}


def test_photos_of_apples_library_are_its_originals(folder):
    for place in ("originals/0", "resources/derivatives", "scopes", "Masters"):
        (folder / "My.photoslibrary" / place).mkdir(parents=True)
        (folder / "My.photoslibrary" / place / "z.jpg").touch()
    found = names(images.find_images(folder), folder)
    assert found[0] == "My.photoslibrary/originals/0/z.jpg" and len(found) == 4


def test_what_is_no_file_is_named_and_not_waited_for(folder):
    os.mkfifo(folder / "pipe.jpg")
    (folder / "device.png").symlink_to("/dev/zero")
    (folder / "itself.jpg").symlink_to("itself.jpg")
    found = images.find_images(folder)
    assert {"pipe.jpg", "device.png", "itself.jpg"} < set(names(found, folder))
    for name in ("pipe.jpg", "device.png", "itself.jpg"):
        with pytest.raises(images.ImageError, match=f"^{name} "):
            images.load(folder / name)


@pytest.mark.parametrize(
    "copy", ["._a.jpg", "c.jpg~", "#a.jpg#", "a.jpg.part", "a.xmp", "Thumbs.db"]
)
def test_copies_of_editors_are_left_out_and_counted(folder, copy):
    before = sum(images.find_images(folder).left_out.values())
    (folder / copy).touch()
    listing = images.find_images(folder)
    assert len(listing.paths) == 3 and sum(listing.left_out.values()) == before + 1


@pytest.mark.parametrize("error", [PermissionError, OSError])
def test_folders_that_cannot_be_read_are_counted(folder, monkeypatch, error):
    read = type(folder).iterdir

    def iterdir(place):
        if place.name == "deep":
            raise error("no")
        return read(place)

    monkeypatch.setattr(type(folder), "iterdir", iterdir)
    listing = images.find_images(folder)
    assert names(listing, folder) == ["a.jpg", "b.PNG"]
    assert listing.left_out["in folders that cannot be read"] == 1


def test_links_are_followed_once(folder, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "x.jpg").write_bytes(b"x")
    (folder / "linked").symlink_to(elsewhere)
    (folder / "loop").symlink_to(folder)
    (folder / "deep" / "up").symlink_to(folder.parent)
    (folder / "z.jpg").symlink_to(folder / "a.jpg")
    (folder / "gone.jpg").symlink_to(tmp_path / "nowhere.jpg")
    listing = images.find_images(folder)
    found = [path.name for path in listing.paths]
    assert sorted(found) == ["a.jpg", "b.PNG", "c.webp", "gone.jpg", "x.jpg"]
    assert listing.left_out["linked twice"] == 1
    (tmp_path / "album").symlink_to(folder)
    assert len(images.find_images(tmp_path / "album").paths) == 5


def test_command_and_training_list_the_same(folder, tmp_path, capsys):
    (tmp_path / "album").symlink_to(folder)
    (folder / "more").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "q.heic").write_bytes(b"q")
    for source in (folder, tmp_path / "album"):
        jobs, failures = paths.plan([str(source)], str(tmp_path / "out") + os.sep, True)
        drawn = [job.source.name for job in jobs]
        with pytest.warns(UserWarning, match="left out 1 generated, 1 hidden, 3 of other kinds"):
            trained = [picture.file.name for picture in find_pictures(source, "photos")[0]]
        assert drawn == trained == ["a.jpg", "b.PNG", "c.webp", "q.heic"] and not failures
        assert "left out" in capsys.readouterr().err


@pytest.mark.parametrize(
    "files, expected",
    [
        (["a.jpg", "a.png"], ["a", "a-2"]),
        (["A.jpg", "a.jpg", "a.png"], ["A", "a-2", "a-3"]),
        (["a.jpg", "a.png", "a-2.jpg"], ["a", "a-2", "a-3"]),
        (["x/a.jpg", "x_a.png"], ["x_a", "x_a-2"]),
        (["é.jpg", "É.png", "e.webp"], ["e", "É", "é-2"]),
        (["a.tiff", "a.JPG", "a.jpeg", "a.bmp"], ["a", "a-2", "a-3", "a-4"]),
    ],
)
def test_images_of_one_name_are_numbered(tmp_path, files, expected):
    for name in files:
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (70, 70)).save(path)
    found = photos_by_name([tmp_path / "photos"])
    assert sorted(found) == expected
    assert len({picture.file for picture in found.values()}) == len(files)


def phone_photo(path, form, **options):
    Image.linear_gradient("L").convert("RGB").save(path, form, **options)
    return path


@pytest.mark.parametrize("name", ["a.heic", "b.HEIF", "c.hif", "d.mpo"])
def test_photos_of_phones_are_read(tmp_path, name):
    if name == "d.mpo":
        second = Image.new("RGB", (256, 256))
        phone_photo(tmp_path / name, "MPO", save_all=True, append_images=[second])
    else:
        images.formats.accepted_formats()  # registers pillow-heif
        phone_photo(tmp_path / name, "HEIF")
    photo = images.load(tmp_path / name)
    assert photo.size == (256, 256) and photo.getpixel((128, 250))[0] > 200
    assert [p.name for p in images.find_images(tmp_path).paths] == [name]


def test_a_damaged_heic_is_called_damaged(tmp_path):
    if "HEIF" not in images.formats.accepted_formats():
        pytest.skip("needs pillow-heif")
    whole = phone_photo(tmp_path / "a.heic", "HEIF").read_bytes()
    for data in (whole[:100], whole[:24] + b"x" * 3000):
        with pytest.raises(images.ImageError, match="is a damaged or cut-off HEIC or HEIF file"):
            images.load(data)


def test_without_a_decoder_heic_is_refused_with_advice(tmp_path, monkeypatch):
    images.formats.accepted_formats()
    path = phone_photo(tmp_path / "a.heic", "HEIF")
    monkeypatch.delitem(Image.OPEN, "HEIF")
    with pytest.raises(images.ImageError, match=r"HEIC or HEIF photo.*install pillow-heif"):
        images.load(path)
