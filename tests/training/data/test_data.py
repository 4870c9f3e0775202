"""Images to train on, and the samples made of them; long because of many damaged sources."""

import errno
import gzip
import io
import json
import pickle
import sys
import tarfile
import types
import warnings
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from tests.fixtures.forked import call
from toonify import images
from training.animegan.config import ANIMEGAN_PRESETS
from training.animegan.dataset import AnimeGANDataset, PictureCache
from training.core.config import replace_settings
from training.data import hub as hub_datasets
from training.data import images as pictures
from training.data.background import random_background
from training.data.sources import open_pictures
from training.prepare import edge_smooth

ROOT = Path(__file__).resolve().parents[3]
pytestmark = pytest.mark.filterwarnings("ignore:only .* fewer than 50")


def noise(seed, width=80, height=72, mode="RGB") -> Image.Image:
    """A blotchy image; as RGBA it is a disc whose hidden pixels are pure green."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 200, (height // 8, width // 8, 3), np.uint8)
    picture = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
    if mode == "RGB":
        return Image.fromarray(picture)
    disc = np.zeros((height, width), np.uint8)
    cv2.circle(disc, (width // 2, height // 2), min(width, height) * 3 // 8, 255, -1)
    picture[disc == 0] = (0, 255, 0)
    return Image.fromarray(np.dstack([picture, disc]))


def encoded(picture: Image.Image, form="PNG") -> bytes:
    file = io.BytesIO()
    picture.save(file, form)
    return file.getvalue()


def flat(color) -> bytes:
    return encoded(Image.new("RGB", (64, 64), color))


def write(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def write_zip(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def write_tar(path: Path, files: dict[str, bytes], mode="w") -> Path:
    with tarfile.open(path, mode) as archive:
        for name, content in files.items():
            about = tarfile.TarInfo(name)
            about.size = len(content)
            archive.addfile(about, io.BytesIO(content))
    return path


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TOONIFY_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    """Path -> file of six images, in an order that sorting must change."""
    names = ["b/c.png", "a-1.png", "a.PNG", "b-x/c1.png", "9.png", "10.JPG"]
    return {
        name: encoded(noise(i), "JPEG" if name.endswith("JPG") else "PNG")
        for i, name in enumerate(names)
    }


# Sources --------------------------------------------------------------------------------------


def test_images_are_decoded_once_and_again_when_they_change(files, tmp_path, monkeypatch):
    folder = write(tmp_path / "folder", files)
    archive = write_zip(tmp_path / "pictures.zip", files)
    (folder / "broken.png").write_bytes(b"no image")
    decoded = []
    load = pictures.Picture.load

    def count(self, alpha=False):
        decoded.append(self.name)
        return load(self, alpha)

    monkeypatch.setattr(pictures.Picture, "load", count)
    with pytest.warns(UserWarning, match="broken.png"):
        first = open_pictures(folder, "photos")
    inside = open_pictures(archive, "photos")
    assert len(decoded) == 2 * len(files) + 1
    decoded.clear()
    with pytest.warns(UserWarning, match="broken.png"):
        assert open_pictures(folder, "photos") == first
    assert open_pictures(archive, "photos") == inside
    assert decoded == ["broken"]  # it may have been a fault of the disk
    decoded.clear()
    (folder / "9.png").write_bytes(encoded(Image.new("RGB", (90, 70))))
    with pytest.warns(UserWarning):
        (changed,) = [p for p in open_pictures(folder, "photos") if p.name == "9"]
    assert sorted(decoded) == ["9", "broken"] and changed.size == (90, 70)
    with pytest.warns(UserWarning, match="9.png is 90x70"):  # known, and too small for this use
        open_pictures(folder, "photos", smallest=71)


def test_a_damaged_index_costs_time_only(files, tmp_path):
    folder = write(tmp_path / "folder", files)
    first = open_pictures(folder, "photos")
    next((tmp_path / "cache").rglob("index.sqlite")).write_bytes(b"x" * 5000)
    assert open_pictures(folder, "photos") == first


def test_shards_are_one_data_set(files, tmp_path):
    names = sorted(files)
    folder = tmp_path / "shards"
    folder.mkdir()
    for i in range(3):
        write_tar(folder / f"faces-{i:04d}.tar", {n: files[n] for n in names[i::3]})
    (folder / "README.md").write_text("faces")
    found = open_pictures(folder, "photos")
    assert len(found) == len(files) and found[0].name.startswith("faces-0000/")
    assert open_pictures(folder / "faces-{0000..0002}.tar", "photos") == found
    assert len(open_pictures(f"{folder}/faces-{{0000..0001}}.tar", "photos")) == 4
    with pytest.raises(ValueError, match="1 of 4 are missing"):
        open_pictures(folder / "faces-{0000..0003}.tar", "photos")


def test_all_images_of_a_data_set_are_taken_unless_a_limit_is_named(monkeypatch):
    monkeypatch.delenv(hub_datasets.LIMIT, raising=False)
    assert hub_datasets.find_limit() > 10**9
    monkeypatch.setenv(hub_datasets.LIMIT, "30")
    assert hub_datasets.find_limit() == 30
    monkeypatch.setenv(hub_datasets.LIMIT, "many")
    with pytest.raises(ValueError, match=f"{hub_datasets.LIMIT}=many: expected a whole number"):
        hub_datasets.find_limit()


def test_folder_zip_and_tars_hold_the_same_images(files, tmp_path):
    places = [write(tmp_path / "folder", files), write_zip(tmp_path / "pictures.ZIP", files)]
    for ending in ("tar", "tar.gz", "tgz"):
        mode = "w" if ending == "tar" else "w:gz"
        places.append(write_tar(tmp_path / f"pictures.{ending}", files, mode))
    opened = [open_pictures(place, "photos") for place in places]
    # As a folder's files have always been sorted: by the parts of their paths.
    expected = [p for p in sorted(places[0].rglob("*")) if p.is_file()]
    for found in opened:
        assert [p.name for p in found] == ["10", "9", "a-1", "a", "b/c", "b-x/c1"]
        assert {p.size for p in found} == {(80, 72)}
        for picture, path in zip(pickle.loads(pickle.dumps(found)), expected, strict=True):
            assert picture.load() == images.load(path) == images.load(picture)


def test_compressed_tar_is_decompressed_once_and_again_when_it_changes(
    files, tmp_path, monkeypatch
):
    path = write_tar(tmp_path / "pictures.tar.gz", files, "w:gz")
    open_pictures(path, "photos")
    with monkeypatch.context() as patch:
        patch.setitem(pictures.COMPRESSED, ".gz", None)
        assert len(open_pictures(path, "photos")) == 6
    write_tar(path, {"new.png": files["9.png"]}, "w:gz")
    assert [p.name for p in open_pictures(path, "photos")] == ["new"]
    assert len(list(pictures.cache_folder().rglob("*.tar"))) == 1


def said_by(warned) -> list[str]:
    """What our code warned of; other threads, such as a server's that ends, warn at any time."""
    return [str(warning.message) for warning in warned if warning.category is UserWarning]


def test_unusable_images_are_reported_once_and_left_out(tmp_path):
    odd = {
        "gray16.png": encoded(Image.fromarray(np.full((70, 70), 30_000, np.uint16))),
        "cmyk.jpg": encoded(noise(1).convert("CMYK"), "JPEG"),
        "palette.gif": encoded(noise(2).quantize(8), "GIF"),
        "clear.png": encoded(noise(3, mode="RGBA")),
        "text.jpg": b"no image",
        "cut.png": encoded(noise(4))[:900],
        "tiny.png": encoded(noise(5, 63, 80)),
        "same.jpg": encoded(noise(6), "JPEG"),
        "same.png": encoded(noise(7)),
        "__MACOSX/._same.png": b"resource fork",
        "._other.png": b"resource fork",
        "notes.txt": b"",
    }
    for place in (write(tmp_path / "odd", odd), write_zip(tmp_path / "odd.zip", odd)):
        with pytest.warns(UserWarning) as warned:
            found = open_pictures(place, "style images")
        *counted, message = said_by(warned)
        if place.is_dir():  # what is not called like an image
            assert counted == [f"{place}: left out 2 hidden, 1 of other kinds"]
        assert "3 of 9 style images left out" in message
        for name in ("tiny.png is 63x80", "text", "cut"):
            assert name in message
        assert [p.name for p in found] == ["clear", "cmyk", "gray16", "palette", "same", "same-2"]
        assert [p.transparent for p in found] == [True, False, False, False, False, False]


def test_sources_without_images_say_what_to_do(files, tmp_path):
    write_zip(write(tmp_path / "packed", {"a.heic": b""}) / "all.zip", files)
    (tmp_path / "broken.zip").write_bytes(b"PK\3\4 no more")
    (tmp_path / "broken.tgz").write_bytes(gzip.compress(bytes(5000))[:-9])
    whole = write_tar(tmp_path / "whole.tar", files).read_bytes()
    (tmp_path / "cut.tar").write_bytes(whole[:5000])
    second = whole.index(b"a-1.png")
    (tmp_path / "hit.tar").write_bytes(whole[:second] + b"?" * 600 + whole[second + 600 :])
    (tmp_path / "list.txt").write_text("")
    expected = {
        "packed": "there is all.zip in it: name that file itself",
        "absent": "expected a folder of photos, and it does not exist",
        "list.txt": "expected a folder, a .zip or .tar",
        "broken.zip": "cannot be read as an archive",
        "broken.tgz": "cannot be read as an archive",
        "cut.tar": "cannot be read as an archive",
        "hit.tar": f"damaged at byte {second}",
    }
    for name, message in expected.items():
        with pytest.raises(ValueError, match=name) as raised:
            open_pictures(tmp_path / name, "photos")
        assert message in str(raised.value)
    with pytest.raises(ValueError, match=r"1 of 1 photos left out .* is 80x72"):
        open_pictures(write(tmp_path / "small", {"a.png": files["9.png"]}), "photos", smallest=99)


def test_a_limit_spreads_over_the_source(tmp_path):
    place = write_zip(tmp_path / "many.zip", {f"{i:02d}.png": flat("red") for i in range(21)})
    assert [p.name for p in open_pictures(place, "photos", limit=3)] == ["00", "10", "20"]


@pytest.mark.parametrize("form", ["zip", "tar", "tgz"])
def test_paths_in_archives_lead_nowhere(form, files, tmp_path):
    picture = files["9.png"]
    names = ("../../up.png", "/root.png", "C:\\win\\x.png", "..\\..\\back.png")
    path = tmp_path / "inner" / f"hostile.{form}"
    path.parent.mkdir()
    pack = {"zip": write_zip, "tar": write_tar, "tgz": lambda *a: write_tar(*a, "w:gz")}[form]
    pack(path, dict.fromkeys(names, picture))
    before = {p for p in tmp_path.rglob("*") if "cache" not in p.parts}
    found = open_pictures(path, "photos")
    assert [p.name for p in found] == ["back", "root", "up", "win/x"]
    assert all(p.load().size == (80, 72) for p in found)
    assert {p for p in tmp_path.rglob("*") if "cache" not in p.parts} == before


def test_links_and_devices_in_a_tar_are_left_out(files, tmp_path):
    path = write_tar(tmp_path / "links.tar", {"real.png": files["9.png"]})
    with tarfile.open(path, "a") as archive:
        for name, kind in (("a.png", tarfile.SYMTYPE), ("b.png", tarfile.CHRTYPE)):
            about = tarfile.TarInfo(name)
            about.type, about.linkname = kind, "/etc/passwd"
            archive.addfile(about)
    assert [p.name for p in open_pictures(path, "photos")] == ["real"]


def test_bombs_are_recognized_by_their_declared_size(files, tmp_path, monkeypatch):
    bomb = write_zip(
        tmp_path / "bomb.zip", {"big.png": bytes(images.MAX_BYTES + 1), "9.png": files["9.png"]}
    )
    with monkeypatch.context() as patch:
        read = []
        patch.setattr(zipfile.ZipFile, "open", lambda *a: read.append(a[1]) or io.BytesIO())
        with pytest.raises(ValueError, match=r"big\.png is larger than 64 MB"):
            open_pictures(bomb, "photos")
    assert read == ["9.png"]

    monkeypatch.setattr(pictures, "_BOMB_BYTES", 2**20)
    monkeypatch.setattr(pictures, "_BOMB_RATIO", 2)
    packed = write_tar(tmp_path / "bomb.tgz", {"a.png": bytes(2**22)}, "w:gz")
    with pytest.raises(ValueError, match="come out of it"):
        open_pictures(packed, "photos")
    assert not [p for p in (tmp_path / "cache").rglob("*") if p.is_file()]


def test_a_full_disk_says_where_room_is_needed(files, tmp_path, monkeypatch):
    path = write_tar(tmp_path / "pictures.tgz", files, "w:gz")

    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setitem(pictures.COMPRESSED, ".tgz", full)
    with pytest.raises(ValueError, match=r"no room to decompress it in .*cache.* TOONIFY_CACHE"):
        open_pictures(path, "photos")
    with pytest.raises(ValueError, match="no room left for it"):
        hub_datasets.asked("me/files", "me/files", full)


@pytest.mark.parametrize("size", [-512, 2**40])
@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME])
def test_tar_headers_that_lie_about_their_size_are_refused(kind, size, files, tmp_path):
    about = tarfile.TarInfo("a.png")
    about.type, about.size = kind, size
    header = about.tobuf(tarfile.GNU_FORMAT)
    path = write_tar(tmp_path / "lies.tar", files)
    path.write_bytes(header + path.read_bytes())
    with pytest.raises(ValueError, match="cannot be read as an archive"):
        open_pictures(path, "photos")


def test_encrypted_members_are_reported(files, tmp_path):
    path = write_zip(tmp_path / "locked.zip", files)
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\1\2") + 8] |= 1  # the first entry of the directory
    path.write_bytes(data)
    with pytest.warns(UserWarning, match=r"c\.png is encrypted"):
        assert len(open_pictures(path, "photos")) == 5


# Data sets on the Hub -------------------------------------------------------------------------

CLIENT = """
import json, sys, warnings
from training.data.sources import open_pictures
warnings.simplefilter("ignore")
for source, limit in json.load(sys.stdin):
    try:
        found = open_pictures(source, "photos", limit=limit)
        colors = [p.load().getpixel((0, 0)) for p in found]
        answer = {"names": [p.name for p in found], "colors": colors}
    except (ValueError, OSError) as error:
        answer = {"error": type(error).__name__, "text": str(error)}
    print(json.dumps(answer))
"""


@pytest.fixture
def ask(server, tmp_path):
    """ask((source, limit), ..., **environment): what a new process finds; the cache stays."""

    def ask(*questions, **environment):
        said = server.ask(CLIENT, questions, tmp_path / "home", **environment)
        return [json.loads(line) for line in said.splitlines()]

    return ask


def test_data_sets_come_as_files_and_archives_once_and_at_one_commit(server, ask, tmp_path):
    red, blue = flat((255, 0, 0)), flat((0, 0, 255))
    old = server.put("datasets/me/files", {"README.md": b"", "a/1.png": red, "a/2.png": blue})
    zipped = write_zip(tmp_path / "all.zip", {"in/3.png": red}).read_bytes()
    tarred = write_tar(tmp_path / "all.tgz", {"4.png": blue}, "w:gz").read_bytes()
    server.put("datasets/me/packed", {"x/all.zip": zipped, "y.tar.gz": tarred, "code.py": b""})
    files, packed, one = ask(("me/files", 0), ("me/packed", 0), ("me/packed", 1))
    assert files == {"names": ["a/1", "a/2"], "colors": [[255, 0, 0], [0, 0, 255]]}
    assert packed == {"names": ["x/all/in/3", "y/4"], "colors": [[255, 0, 0], [0, 0, 255]]}
    assert one["names"] == ["x/all/in/3"]
    assert not [line for line in server.requests if "code.py" in line or "README" in line]

    server.put("datasets/me/files", {"new.png": red})
    server.requests.clear()
    again = ask(("me/files", 0), ("me/packed", 0), ("me/files@main", 0), (f"me/files@{old}", 0))
    assert again == [files, packed, files, files]
    # The cache comes first; only the commit, by this name, was not known yet.
    assert server.requests == [f"GET /api/datasets/me/files/revision/{old}"]


def test_errors_of_the_hub_say_what_to_do(server, ask, tmp_path):
    server.put("datasets/me/tables", {"data/train.parquet": b"PAR1"})
    server.put("datasets/me/files", {"1.png": flat("red")})
    server.put("datasets/me/gated", {"1.png": flat("red")})
    server.gated.add("datasets/me/gated")
    expected = {
        "me/tables": ("ValueError", "`pip install datasets`"),
        "me/absent": ("ValueError", "no such data set on the Hub"),
        "me/files@v9": ("ValueError", "no such revision"),
        "me/gated": ("PermissionError", "hf auth login"),
        "no/where/at/all": ("ValueError", "does not exist"),
    }
    # An import that fails stands for a library that is not there.
    write(tmp_path / "hidden", {"datasets.py": b"raise ImportError"})
    hide = {"PYTHONPATH": f"{ROOT}:{tmp_path / 'hidden'}"}
    answers = ask(*((source, 0) for source in expected), **hide)
    for (source, (kind, words)), answer in zip(expected.items(), answers, strict=True):
        assert answer.get("error") == kind, (source, answer)
        assert words in answer["text"], (source, answer)
    (away,) = ask(("me/never", 0), HF_HUB_OFFLINE="1")
    assert away["error"] == "ConnectionError" and "HF_HUB_OFFLINE is set" in away["text"]


class FakeImage:
    """`datasets.Image`, as far as it is asked here."""

    def __init__(self, decode=True):
        self.decode = decode


class FakeStream:
    """`datasets.IterableDataset` of rows, whose transfer breaks off before row `breaks_at`."""

    def __init__(self, rows, features, breaks_at=None):
        self.rows, self.features, self.breaks_at, self.start = rows, features, breaks_at, 0

    def cast_column(self, name, feature):
        assert name in self.features and not feature.decode
        return self

    def skip(self, number):
        self.start = number
        return self

    def __iter__(self):
        for number in range(self.start, len(self.rows)):
            if number == self.breaks_at:
                raise ConnectionResetError("cable pulled")
            self.asked.append(number)
            yield self.rows[number]


@pytest.fixture
def table(monkeypatch):
    """A fake library `datasets`; its `stream` is what load_dataset gives."""
    library = types.ModuleType("datasets")
    library.Image, library.calls = FakeImage, []

    def load_dataset(repo, revision, streaming):
        assert streaming
        library.calls.append((repo, revision))
        library.stream.asked = []
        return {"test": None, "train": library.stream}

    library.load_dataset = load_dataset
    monkeypatch.setitem(sys.modules, "datasets", library)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    return library


def test_streaming_goes_on_where_it_broke_off(table, monkeypatch):
    rows = [
        {"image": {"bytes": flat((i, 0, 0)), "path": f"p{i}.png"}, "label": i} for i in range(6)
    ]
    rows[1]["image"] = None
    rows[2]["image"]["path"] = "../../p0.png"  # one name twice, and a trick
    rows[3]["image"] = {"bytes": None, "path": "/etc/passwd"}  # never followed
    features = {"image": FakeImage(), "label": None}
    listing = hub_datasets.Listing("c" * 40, [], [], ["train.parquet"])
    monkeypatch.setattr(hub_datasets, "look_up", lambda *a: listing)

    table.stream = FakeStream(rows, features, breaks_at=4)
    with pytest.raises(ConnectionError, match="does not answer"):
        open_pictures("me/table", "photos")
    index = hub_datasets.folder_of("me/table") / ("c" * 40) / "pictures" / "pictures.jsonl"
    index.write_text(index.read_text() + '{"row": 4, "na')  # killed while writing
    table.stream = FakeStream(rows, features)
    found = open_pictures("me/table", "photos", limit=3)
    assert [p.name for p in found] == ["p0", "0000002", "p4"]
    assert table.stream.asked == [4]  # not one row twice, not one more than asked for
    found = open_pictures("me/table", "photos")
    assert [p.load().getpixel((0, 0))[0] for p in found] == [0, 2, 4, 5]
    assert table.calls == [("me/table", "c" * 40)] * 3
    monkeypatch.setitem(sys.modules, "datasets", None)  # whole: neither library nor network
    assert len(open_pictures("me/table", "photos")) == 4


@pytest.mark.slow
@pytest.mark.parametrize("typed", [True, False])
def test_the_real_library_streams_parquet(typed, server, ask):
    import importlib.util

    if not (found := importlib.util.find_spec("datasets")):
        pytest.skip("the library datasets is not installed")
    import pyarrow
    from pyarrow import parquet

    cells = [{"bytes": flat((i, 0, 0)), "path": f"p{i}.png"} for i in range(4)]
    table = pyarrow.table({"image": cells, "label": list(range(4))})
    if typed:  # as `datasets` writes it; else as any other program
        kinds = {"image": {"_type": "Image"}, "label": {"dtype": "int64", "_type": "Value"}}
        about = json.dumps({"info": {"features": kinds}})
        table = table.replace_schema_metadata({"huggingface": about})
    parquet.write_table(table, file := io.BytesIO())
    name = "data/train-00000-of-00001.parquet"
    server.put("datasets/me/table", {"README.md": b"", name: file.getvalue(), "a.png": flat("red")})
    path = {"PYTHONPATH": f"{ROOT}:{Path(found.origin).parents[1]}"}
    some, whole = ask(("me/table", 2), ("me/table", 0), **path)
    assert some["names"] == ["p0", "p1"]
    assert whole["colors"] == [[i, 0, 0] for i in range(4)]
    server.requests.clear()
    assert ask(("me/table", 0), HF_HUB_OFFLINE="1") == [whole]
    assert server.requests == []


def test_one_of_several_image_columns_must_be_named(table, monkeypatch):
    rows = [{c: {"bytes": flat(c), "path": None} for c in ("red", "blue")} for _ in range(2)]
    listing = hub_datasets.Listing("c" * 40, [], [], ["train.parquet"])
    monkeypatch.setattr(hub_datasets, "look_up", lambda *a: listing)
    table.stream = FakeStream(rows, {"red": FakeImage(), "blue": FakeImage()})
    with pytest.raises(ValueError, match=r"columns with images are red, blue.*me/two#COLUMN"):
        open_pictures("me/two", "photos")
    found = open_pictures("me/two#blue", "photos")
    assert [p.load().getpixel((0, 0)) for p in found] == [(0, 0, 255)] * 2


# Transparency ---------------------------------------------------------------------------------


def test_alpha_is_kept_on_request(tmp_path):
    clear = noise(1, mode="RGBA")
    clear.getexif()[0x0112] = 6
    path = tmp_path / "clear.png"
    clear.save(path, exif=clear.getexif())
    loaded = images.load(path, alpha=True)
    assert (loaded.mode, loaded.size, loaded.info) == ("RGBA", (72, 80), {})
    assert images.load(path).mode == "RGB"
    assert loaded == clear.transpose(Image.Transpose.ROTATE_270)
    opaque = noise(1).convert("RGBA")
    assert images.load(opaque, alpha=True) == noise(1)
    images.save(loaded, tmp_path / "kept.png", alpha=True)
    assert images.load(tmp_path / "kept.png", alpha=True) == loaded
    images.save(loaded, tmp_path / "flat.png")
    assert images.load(tmp_path / "flat.png", alpha=True) == images.load(path)
    images.save(loaded, tmp_path / "flat.jpg", alpha=True)


def test_smoothed_cutout_on_a_ground_is_the_smoothed_image_of_both():
    cutout = np.asarray(noise(3, mode="RGBA"))
    smoothed = edge_smooth.smooth_edges(cutout)
    alpha = cutout[..., 3]
    assert ((smoothed[..., 3] > 0) & (smoothed[..., 3] < 255)).any()  # the outline is soft
    changed = (smoothed != cutout).any(axis=2)
    for color in ((255, 255, 255), (30, 90, 200)):

        def on(picture, color=color):
            share = picture[..., 3:] / 255
            return picture[..., :3] * share + np.array(color) * (1 - share)

        binomial = edge_smooth.blur(on(cutout).astype(np.float32))
        assert np.abs(on(smoothed) - binomial)[changed].max() < 3
    hidden = cutout.copy()
    hidden[alpha == 0, :3] = (255, 0, 255)
    other = edge_smooth.smooth_edges(hidden)
    seen = other[..., 3] > 0
    assert np.array_equal(other[seen], smoothed[seen])  # hidden colors never bleed out


def test_opaque_alpha_changes_nothing_about_smoothing():
    picture = np.asarray(noise(4))
    with_alpha = np.dstack([picture, np.full(picture.shape[:2], 255, np.uint8)])
    expected = edge_smooth.smooth_edges(picture)
    assert np.array_equal(edge_smooth.smooth_edges(with_alpha)[..., :3], expected)
    assert not np.array_equal(expected, picture)


def test_smooth_command_takes_folders_in_folders_archives_and_alpha(tmp_path, capsys):
    files = {"x/1.png": encoded(noise(1, mode="RGBA")), "y/1.png": encoded(noise(2))}
    write(tmp_path / "toy" / "style", files)
    edge_smooth.main([str(tmp_path / "toy")])
    copies = open_pictures(tmp_path / "toy" / "smooth", "copies")
    assert [(p.name, p.transparent) for p in copies] == [("x/1", True), ("y/1", False)]
    before = {p.file: p.file.stat().st_mtime_ns for p in copies}
    assert edge_smooth.smooth_folder(tmp_path / "toy") == (0, 0)
    assert {p.file: p.file.stat().st_mtime_ns for p in copies} == before
    archive = write_zip(tmp_path / "art.zip", files)
    edge_smooth.main([str(tmp_path / "other"), "--pictures", str(archive)])
    assert capsys.readouterr().out.count("2 images written") == 2
    for ours in open_pictures(tmp_path / "other" / "smooth", "copies"):
        assert ours.load(alpha=True) == next(p for p in copies if p.name == ours.name).load(True)


def test_painted_grounds_are_colored_and_never_flat():
    grounds = [random_background(np.random.default_rng(i), 96) for i in range(60)]
    for ground in grounds:
        assert ground.shape == (96, 96, 3) and ground.dtype == np.uint8
        assert ground.std(axis=(0, 1)).max() > 8  # levels of 255
        assert np.ptp(ground.astype(int), axis=2).mean() > 12  # gray has 0
    means = np.array([ground.mean(axis=(0, 1)) for ground in grounds])
    assert (means.std(axis=0) > 20).all()  # no two alike
    assert np.array_equal(grounds[7], random_background(np.random.default_rng(7), 96))


# Draws ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """Five photos and four opaque style images with smoothed copies, faces for some photos."""
    folder = tmp_path_factory.mktemp("data")
    for i in range(5):
        images.save(noise(i), folder / "train_photo" / f"{i}.png")
    for i in range(4):
        images.save(noise(10 + i), folder / "toy/style/deep" / f"s{i}.png")
        images.save(noise(20 + i, 100, 90, "RGBA"), folder / "art/style" / f"c{i}.png", alpha=True)
    face = [[30, 40], [50, 40], [40, 50], [32, 58], [48, 58]]
    (folder / "faces.json").write_text(json.dumps({"0": [face], "3": [face], "1": []}))
    for style in ("toy", "art"):
        edge_smooth.smooth_folder(folder / style)
    return folder


def make(data, style="toy", **changes):
    common = dict(crop_sizes=((0, 48),), batch=1, length=1000, seed=5)
    return AnimeGANDataset(data, style, **(common | changes))


def same(ours, theirs) -> bool:
    return ours.keys() == theirs.keys() and all(torch.equal(ours[k], theirs[k]) for k in ours)


@pytest.mark.parametrize("style", ["toy", "art"])
def test_draws_are_the_same_from_any_source_and_in_any_order(style, data, tmp_path):
    def packed(folder, path):
        members = {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*.png")}
        return str(write_zip(path, members))

    elsewhere = dict(
        photos=packed(data / "train_photo", tmp_path / "photos.zip"),
        pictures=packed(data / style / "style", tmp_path / "style.zip"),
    )
    folders, archives = make(data, style), make(data, style, **elsewhere)
    for index in (31, 2, 17, 31):
        assert same(folders[index], archives[index])
    assert not same(folders[2], make(data, style, seed=6)[2])
    # As a training run does it, in a process of its own.
    assert call(differing, folders, archives) == {}


def differing(here, there) -> dict[tuple[int, str], int]:
    """(index, name) -> how many values of draws 0 to 7 differ; those from `there` by workers."""
    workers = {"num_workers": 2, "multiprocessing_context": "spawn"}
    loader = DataLoader(there, 4, sampler=range(8), **workers)
    batches = [{k: v[i] for k, v in batch.items()} for batch in loader for i in range(4)]
    pairs = [(i, k, here[i][k] != batch[k]) for i, batch in enumerate(batches) for k in here[i]]
    return {(i, k): int(unlike.sum()) for i, k, unlike in pairs if unlike.any()}


@pytest.mark.parametrize("style", ["toy", "art"])
def test_computed_smoothing_is_that_of_the_command(style, data):
    paired, computed = make(data, style), make(data, style, smooth="computed")
    independent = make(data, style, smooth="independent")
    differ = 0
    for index in range(12):
        ours, theirs, other = paired[index], computed[index], independent[index]
        assert same(ours, theirs)
        assert torch.equal(ours["photo"], other["photo"])
        assert torch.equal(ours["style"], other["style"])
        differ += not torch.equal(ours["smooth"], other["smooth"])
    assert differ > 4


def test_smooth_images_are_needed_unless_computed(data, tmp_path):
    style = str(data / "toy" / "style")
    for how in ("paired", "independent"):
        with pytest.raises(ValueError, match=r"edge_smooth .*absent --pictures .*--smooth comp"):
            make(data, "absent", pictures=style, smooth=how)
    assert "smooth" in make(data, "absent", pictures=style, smooth="computed")[0]
    with pytest.raises(ValueError, match="--smooth blurred: expected paired, independent or"):
        replace_settings(ANIMEGAN_PRESETS["paired"], out="x", smooth="blurred")
    # Copies made when transparency still got lost would teach a white ground to be wrong.
    for i in range(4):
        name = f"c{i}.png"
        cutout = images.load(data / "art" / "style" / name, alpha=True)
        images.save(cutout, tmp_path / "art" / "style" / name, alpha=True)
        images.save(cutout, tmp_path / "art" / "smooth" / name)
    with pytest.raises(ValueError, match=r"4 copies differ .* in size or transparency"):
        make(tmp_path, "art", photos=str(data / "train_photo"))


def test_scenes_come_by_ratio_even_without_faces(data, tmp_path):
    for i, color in enumerate(("red", "red", "blue", "blue")):
        images.save(Image.new("RGB", (64, 64), color), tmp_path / color / f"{i}.png")
    places = dict(photos=str(tmp_path / "red"), scenes=str(tmp_path / "blue"))
    draws = make(data, **places, scene_share=0.3, crop_sizes=((0, 32),))
    blue = [bool(draws[i]["photo"][2, 0, 0] == 255) for i in range(300)]
    assert 0.2 < np.mean(blue) < 0.4
    only = make(data, **places, scene_share=0.0)
    assert not any(only[i]["photo"][2, 0, 0] for i in range(20))


def test_cutouts_lie_on_one_painted_ground_in_style_and_smooth(data):
    draws = make(data, "art", zoom=(0.5, 0.6), smooth="independent")
    grounds = []
    for index in range(6):
        draw = draws[index]
        style, smooth = (draw[k].permute(1, 2, 0).numpy().astype(int) for k in ("style", "smooth"))
        # Hidden pixels of the images are pure green; it never shows.
        assert not ((style[..., 1] > 240) & (style[..., 0] < 15) & (style[..., 2] < 15)).any()
        corners = np.s_[[0, 0, -1, -1], [0, -1, 0, -1]]
        assert np.array_equal(style[corners], smooth[corners])
        grounds.append(style[corners])
        assert not np.array_equal(style, smooth)
    assert len({ground.tobytes() for ground in grounds}) == len(grounds)
    shown = [d["style"].numpy().min(axis=(1, 2)) for d in map(draws.__getitem__, range(6))]
    assert np.min(shown) < 30  # some of the image itself


def test_style_shift_takes_the_cast_out_of_opaque_pixels(tmp_path, data):
    cutout = np.zeros((70, 70, 4), np.uint8)
    cutout[:, :35] = (90, 60, 0, 255)
    cutout[:, 35:] = (0, 255, 255, 0)  # hidden
    images.save(Image.fromarray(cutout), tmp_path / "toy" / "style" / "1.png", alpha=True)
    images.save(Image.new("RGB", (70, 70), (200, 100, 60)), tmp_path / "toy" / "style" / "2.png")
    draws = make(tmp_path, photos=str(data / "train_photo"), smooth="computed")
    # Means of the channels: 145, 80, 30; of these: 85.
    assert draws.style_shift() == pytest.approx((-60, 5, 55))
    shift = np.array(make(data).style_shift())
    pixels = np.stack([p.load() for p in make(data).styles]).reshape(-1, 3) + shift
    assert abs(shift.sum()) < 1e-9
    assert np.ptp(pixels.mean(axis=0)) < 1e-9  # shifted images have equal channel means


def test_too_few_images_are_refused_and_few_are_warned_of(data, tmp_path):
    images.save(noise(1), tmp_path / "one" / "1.png")
    with pytest.raises(ValueError, match="one: holds 1 of the photos; expected at least 2"):
        make(data, photos=str(tmp_path / "one"))
    with pytest.raises(ValueError, match="one: holds 1 of the style images"):
        make(data, pictures=str(tmp_path / "one"), smooth="computed")
    with pytest.warns(UserWarning) as warned:
        make(data)
    (message,) = said_by(warned)
    assert "only 5 photos" in message and "4 style images" in message


def test_the_public_layout_is_read_as_it_is_distributed(tmp_path):
    """Numbered .jpg and .JPG files of 256x256; photos and film frames share some names."""
    for i in range(7):
        photo = tmp_path / "train_photo" / f"{i}.{'JPG' if i % 2 else 'jpg'}"
        images.save(noise(i, 256, 256), photo)
    for i in range(3):
        for folder in ("style", "smooth"):
            images.save(noise(50 + i, 256, 256), tmp_path / "Hayao" / folder / f"{i}.jpg")
    with pytest.warns(UserWarning, match="3 of 7 photos have a style image of their name"):
        draws = make(tmp_path, "Hayao", crop_sizes=((0, 256),), zoom=(1.0, 1.0))
    assert not draws.paired and len(draws.groups[0]) == 7
    assert draws[0].keys() == {"photo", "style", "smooth"}
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        make(tmp_path, "Hayao", pairs=False)
    assert not [w for w in warned if "name" in str(w.message)]


def test_data_faults_are_explained(data, tmp_path):
    def draws(folder, style="toy"):
        return AnimeGANDataset(folder, style, batch=1, length=1)

    with pytest.raises(ValueError, match="train_photo: expected a folder of photos"):
        draws(tmp_path)
    with pytest.raises(ValueError, match="style: expected a folder of style images"):
        draws(data, "absent")
    for name in ("train_photo", "toy/style"):
        for i in range(2):
            images.save(Image.new("RGB", (80, 80)), tmp_path / name / f"{i}.png")
    with pytest.raises(ValueError, match=r"training\.prepare\.edge_smooth"):
        draws(tmp_path)
    (tmp_path / "train_photo" / "text.jpg").write_text("no image")
    images.save(Image.new("RGB", (8, 8)), tmp_path / "train_photo" / "tiny.png")
    edge_smooth.smooth_folder(tmp_path / "toy")
    with pytest.warns(UserWarning, match="2 of 4 photos left out"):
        draws(tmp_path)


def test_large_images_are_scaled_down_with_their_faces_and_pairs(tmp_path, monkeypatch):
    """A white dot on the face's points is found there after the image was scaled."""
    monkeypatch.setattr("training.animegan.dataset.MAX_SIDE", 100)
    picture = np.zeros((160, 200, 3), np.uint8)
    cv2.circle(picture, (150, 40), 5, (255, 255, 255), -1)
    for i in range(2):
        for place in ("train_photo", "toy/style"):
            images.save(Image.fromarray(picture), tmp_path / place / f"{i}.png")
    (tmp_path / "faces.json").write_text(json.dumps({"0": [[[150, 40]] * 5]}))
    draws = make(tmp_path, smooth="computed", face_share=1.0, scene_share=0.0, permute_share=0.0)
    assert draws.paired
    photo = draws.groups[0][0]
    assert draws.cache(photo).shape == (100, 125, 3)
    x, y = draws.faces[photo][0][0]
    assert draws.cache(photo)[round(y), round(x)].min() > 250
    shown = [draws[i] for i in range(10)]
    assert np.mean([bool(d["photo"].max() > 150) for d in shown]) > 0.6
    assert all(torch.equal(d["photo"], d["toon"]) for d in shown)
    assert make(tmp_path, smooth="computed", crop_sizes=((0, 64),)).cache.largest == 128


def test_cache_holds_what_it_may_and_counts_it_right(data):
    pictures = open_pictures(data / "art" / "style", "pictures")
    plain = pictures[0].load().size[0] * pictures[0].load().size[1]
    cache = PictureCache(max_bytes=20 * plain)
    for picture in pictures * 2:
        cache(picture), cache(picture, alpha=True), cache(picture, alpha=True, smooth=True)
        assert cache.bytes == sum(array.nbytes for array in cache.pictures.values())
        assert cache.bytes <= cache.max_bytes
    assert cache(picture, alpha=True) is cache(picture, alpha=True)
    opaque = open_pictures(data / "toy" / "style", "pictures")[0]
    assert cache(opaque) is cache(opaque, alpha=True)  # not held twice
    copy = pickle.loads(pickle.dumps(cache))
    assert (copy.bytes, len(copy.pictures)) == (0, 0)
