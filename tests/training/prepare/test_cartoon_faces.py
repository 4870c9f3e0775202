"""Cartoon faces drawn with known attributes, and those of Google's Cartoon Set."""

import csv
import io
import json
import shutil
import sys
import tarfile
import zipfile
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from toonify import images
from training.prepare import cartoon_faces, dicebear_faces
from training.prepare.cartoon_faces import Settings, draw_faces, read_attributes
from training.prepare.cartoon_set import read_cartoon_set

STYLE = "toon-head"  # the quickest for DiceBear to check
TOY = Settings((STYLE,), px=32, background="pastel")


@pytest.fixture
def dicebear():
    """The packages that draw, which the project does without."""
    pytest.importorskip("dicebear_styles")
    pytest.importorskip("resvg_py")
    return pytest.importorskip("dicebear")


def contents(folder):
    """Every file of a set but its lock, by its name."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".lock"
    }


# Drawn faces ------------------------------------------------------------------------------------


def test_a_set_is_images_table_licenses_and_settings(dicebear, tmp_path):
    assert draw_faces(TOY, tmp_path, 6) == 6
    made = contents(tmp_path)
    pictures = [f"images/000/{index:06d}.png" for index in range(6)]
    assert sorted(made) == sorted(
        [*pictures, "LICENSES.md", "README.md", "attributes.csv", "data.json"]
    )
    assert {images.load(tmp_path / name).size for name in pictures} == {(32, 32)}
    assert len({made[name] for name in pictures}) == 6
    names, table = read_attributes(tmp_path)
    assert table["file"] == pictures and set(table["style"]) == {STYLE}
    assert {"hair", "hair_color", "skin_color", "eyes", "beard", "background_color"} <= set(names)
    assert all(len(table[name]) == 6 for name in names)
    text = made["LICENSES.md"].decode()
    for said in ("ToonHead", "Johan Melin", "CC BY 4.0", "figma.com", "by/4.0/"):
        assert said in text
    assert json.loads(made["data.json"])["settings"]["px"] == 32


def test_faces_depend_on_seed_and_index_alone(dicebear, tmp_path):
    draw_faces(TOY, tmp_path / "few", 2)
    draw_faces(TOY, tmp_path / "more", 4)
    few, more = contents(tmp_path / "few"), contents(tmp_path / "more")
    assert all(more[name] == data for name, data in few.items() if name.startswith("images"))
    draw_faces(TOY, tmp_path / "few", 4)
    assert contents(tmp_path / "few") == more, "a set may grow"
    other = Settings((STYLE,), px=32, background="pastel", seed=1)
    draw_faces(other, tmp_path / "other", 2)
    assert not set(contents(tmp_path / "other").values()) & {
        data for name, data in more.items() if name.startswith("images")
    }
    plain = Settings((STYLE,), px=16, background="white")
    for index in range(20):
        face, same = (dicebear_faces.choose(kind, index)[1] for kind in (TOY, plain))
        assert {k: v for k, v in face.items() if k != "backgroundColor"} == {
            k: v for k, v in same.items() if k != "backgroundColor"
        }


def test_only_what_is_missing_is_drawn(dicebear, tmp_path, monkeypatch):
    draw_faces(TOY, tmp_path, 5)
    whole = contents(tmp_path)
    for name in ("images/000/000001.png", "images/000/000003.png", "attributes.csv"):
        (tmp_path / name).unlink()
    (tmp_path / "images" / "000" / ".ab12.part").write_bytes(b"half a pict")
    drawn, draw = [], cartoon_faces.draw
    monkeypatch.setattr(
        cartoon_faces, "draw", lambda settings, index: drawn.append(index) or draw(settings, index)
    )
    assert draw_faces(TOY, tmp_path, 5) == 2
    assert drawn == [1, 3] and contents(tmp_path) == whole


def test_several_processes_draw_the_same(dicebear, tmp_path, monkeypatch):
    monkeypatch.setattr(cartoon_faces, "CHUNK", 2)
    draw_faces(TOY, tmp_path / "one", 4)
    draw_faces(TOY, tmp_path / "two", 4, processes=2)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_the_table_says_what_the_library_drew(dicebear):
    compiled = dicebear_faces.compile_style(STYLE)
    for index in range(30):
        style, options = dicebear_faces.choose(TOY, index)
        row = dicebear_faces.describe(style, options)
        drawn = dicebear.Avatar(compiled, options).to_json()["options"]
        for name in ("hair", "eyes", "beard", "rearHair", "mouth", "clothes", "eyebrows"):
            assert row[dicebear_faces.column(name)] == drawn.get(f"{name}Variant", "none")
        for name in ("hair", "skin", "clothes", "background"):
            assert [row[f"{name}_color"]] == drawn[f"{name}Color"]
        assert "head" not in row and "stroke_color" not in row, "no choice, no attribute"


def test_parts_that_are_not_seen_are_none_and_colors_differ(dicebear):
    settings = Settings(("avataaars", "micah"))
    shirts, colors = Counter(), 0
    for index in range(400):
        style, options = dicebear_faces.choose(settings, index)
        row = dicebear_faces.describe(style, options)
        if style == "avataaars":
            shirts[row["clothes"] == "graphicShirt", row["clothes_graphic"] != "none"] += 1
            assert (row["facial_hair"] == "none") == (row["facial_hair_color"] == "none")
        else:
            colors += 1
            hair = row["hair_color"]
            assert hair == "none" or hair not in (row["base_color"], row["background_color"])
    assert set(shirts) == {(True, True), (False, False)} and colors == 200


def test_attributes_are_even_and_independent(dicebear):
    faces = [dicebear_faces.choose(TOY, index)[1] for index in range(1200)]
    count = len(faces)
    skins = Counter(face["skinColor"][0] for face in faces)
    assert len(skins) == 5 and all(abs(n / count - 1 / 5) < 0.04 for n in skins.values())
    eyes = Counter(face["eyesVariant"] for face in faces)
    assert "wink" not in eyes and abs(eyes["wide"] / count - 1 / 3) < 0.04
    beards = np.array([face["beardProbability"] == 100 for face in faces])
    assert abs(beards.mean() - 0.25) < 0.04
    for hair in {face["hairVariant"] for face in faces}:
        chosen = np.array([face["hairVariant"] == hair for face in faces])
        assert abs(beards[chosen].mean() - 0.25) < 0.08


def test_every_listed_style_has_what_its_row_names(dicebear):
    for style, portrait in dicebear_faces.PORTRAITS.items():
        parts = dicebear_faces.components_of(style)
        assert set(portrait.chances) <= set(parts), style
        assert set(portrait.colors) <= set(dicebear_faces.definition(style)["colors"]), style
        for name, weights in portrait.weights.items():
            variants = parts[name]["variants"]
            assert set(weights) <= set(variants), (style, name)
            assert any(weights.get(key, 1) > 0 for key in variants)


def test_a_license_that_is_not_free_is_refused_unless_allowed(dicebear, tmp_path, monkeypatch):
    with pytest.raises(ValueError, match=r"bottts.*Free for personal.*--any-license"):
        draw_faces(Settings((STYLE, "bottts")), tmp_path / "set", 1)
    assert not (tmp_path / "set").exists()
    allowed = [style for style in dicebear_faces.PORTRAITS if style != "avataaars"]
    dicebear_faces.check_licenses(allowed)
    with pytest.raises(ValueError, match="avataaars"):
        dicebear_faces.check_licenses(["avataaars"])
    parts = json.loads(json.dumps(dicebear_faces.definition(STYLE)))
    parts["meta"]["license"] = {"name": "Ask me first", "url": "https://example.org"}
    monkeypatch.setattr(dicebear_faces, "definition", lambda style: parts)
    with pytest.raises(ValueError, match="Ask me first"):
        draw_faces(TOY, tmp_path, 1)
    draw_faces(TOY, tmp_path, 1, any_license=True)
    assert "Ask me first" in (tmp_path / "LICENSES.md").read_text()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--style", "../secret"], "--style ../secret: no such style"),
        (["--style", STYLE, "--style", STYLE], "each style once"),
        (["--px", "8"], "--px 8"),
        (["--count", "0"], "--count 0"),
        (["--processes", "0"], "--processes 0"),
        (["--seed", "-1"], "--seed -1"),
        (["--crop", "0.5"], "--crop requires --cartoon-set"),
        (["--cartoon-set", "x", "--style", STYLE], "--style cannot be used with --cartoon-set"),
    ],
)
def test_mistakes_are_named(dicebear, tmp_path, refusal, options, said):
    assert said in refusal(cartoon_faces.main, tmp_path / "set", *options)
    assert not (tmp_path / "set").exists()


def test_other_settings_and_a_smaller_count_are_refused(dicebear, tmp_path):
    draw_faces(TOY, tmp_path, 2)
    with pytest.raises(ValueError, match=r"other settings \(px 32\)"):
        draw_faces(Settings((STYLE,), px=64, background="pastel"), tmp_path, 2)
    with pytest.raises(ValueError, match="a set of 2 images"):
        draw_faces(TOY, tmp_path, 1)


def test_a_set_of_an_older_version_goes_on(dicebear, tmp_path):
    draw_faces(TOY, tmp_path, 1)
    file = tmp_path / "data.json"
    file.write_text(file.read_text().replace('"colors"', '"colours"'))
    assert draw_faces(TOY, tmp_path, 2) == 1
    assert '"colours"' not in file.read_text()


def test_without_the_packages_it_says_what_to_install(tmp_path, monkeypatch, refusal):
    for name in ("dicebear", "dicebear_styles", "resvg_py"):
        monkeypatch.setitem(sys.modules, name, None)  # importing it fails
    dicebear_faces.definition.cache_clear()
    said = refusal(cartoon_faces.main, tmp_path / "set")
    assert "pip install dicebear-core dicebear-styles resvg_py" in said
    assert not (tmp_path / "set").exists()


@pytest.mark.parametrize(
    "text",
    ["", "name,hair\na,b\n", "file,style,seed,hair\na,b,c\n", 'file,style,seed\n"a,b,c\n'],
    ids=["empty", "columns", "cells", "quotes"],
)
def test_a_damaged_table_is_refused(tmp_path, text):
    with pytest.raises(ValueError, match=r"attributes\.csv"):
        read_attributes(tmp_path)
    (tmp_path / "attributes.csv").write_text(text)
    with pytest.raises(ValueError, match=r"attributes\.csv"):
        read_attributes(tmp_path)


# Cartoon Set ------------------------------------------------------------------------------------

ROWS = [("face_shape", 7), ("facial_hair", 15), ("hair", 111), ("eye_color", 5)]


def cartoon(number: int) -> tuple[str, Image.Image, str]:
    """A stand-in for an image of Cartoon Set: name, RGBA disc in an empty margin, attributes."""
    picture = Image.new("RGBA", (100, 100))
    disc = Image.new("L", (100, 100))
    disc.paste(255, (30, 30, 70, 70))
    color = (200, 10 * number, 50)
    picture.paste(Image.new("RGBA", (100, 100), (*color, 255)), mask=disc)
    rows = "".join(f'"{name}", {number % many}, {many}\n' for name, many in ROWS)
    return f"cs{1000 + number}", picture, rows


@pytest.fixture
def cartoons(tmp_path):
    """Five of them in two folders, as the large set has it."""
    folder = tmp_path / "cartoonset"
    for number in range(5):
        name, picture, rows = cartoon(number)
        inside = folder / str(number % 2)
        inside.mkdir(parents=True, exist_ok=True)
        picture.save(inside / f"{name}.png")
        (inside / f"{name}.csv").write_text(rows)
    return folder


def packed(folder, kind):
    """The folder, or an archive of it beside it."""
    if kind == "folder":
        return folder
    path = folder.with_suffix("." + kind)
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            for file in files:
                archive.write(file, file.relative_to(folder.parent))
    else:
        with tarfile.open(path, "w:gz" if kind == "tgz" else "w") as archive:
            for file in files:
                archive.add(file, "./" + file.relative_to(folder.parent).as_posix())
    return path


@pytest.mark.parametrize("kind", ["folder", "zip", "tar", "tgz"])
def test_cartoon_set_is_read_as_it_is_distributed(cartoons, tmp_path, monkeypatch, kind):
    monkeypatch.setenv("TOONIFY_CACHE", str(tmp_path / "cache"))
    pictures, table = read_cartoon_set(packed(cartoons, kind))
    assert [picture.stem for picture in pictures] == [f"cs{1000 + n}" for n in (0, 2, 4, 1, 3)]
    assert list(table) == [name for name, _ in ROWS]
    assert table["hair"] == [0, 2, 4, 1, 3] and table["eye_color"] == [0, 2, 4, 1, 3]
    face = pictures[1].load()
    assert face.mode == "RGB" and face.getpixel((0, 0)) == (255, 255, 255)
    assert face.getpixel((50, 50)) == (200, 20, 50)


def test_cartoon_set_is_cropped_into_a_set(cartoons, tmp_path, capsys, refusal):
    out = tmp_path / "out"
    arguments = [str(out), "--cartoon-set", str(cartoons), "--px", "20", "--processes", "1"]
    cartoon_faces.main([*arguments, "--crop", "0.4"])
    assert "5 images written" in capsys.readouterr().out
    names, table = read_attributes(out)
    assert names == [name for name, _ in ROWS] and table["facial_hair"] == [0, 2, 4, 1, 3]
    assert table["seed"][1] == "cs1002" and set(table["style"]) == {"cartoon-set"}
    face = np.asarray(images.load(out / table["file"][1]))
    assert face.shape == (20, 20, 3)
    assert (face[4:-4, 4:-4] == (200, 20, 50)).all(), "the margin is cut away"
    assert "Google" in (out / "LICENSES.md").read_text()
    before = contents(out)
    (out / table["file"][3]).unlink()
    cartoon_faces.main([*arguments, "--crop", "0.4"])
    assert "1 images written" in capsys.readouterr().out and contents(out) == before
    assert "other settings (crop 0.4)" in refusal(cartoon_faces.main, *arguments)


@pytest.mark.parametrize(
    "rows",
    [
        *('"hair", 1\n', '"hair", one, 111\n', '"hair", 111, 111\n', '"hair", -1, 111\n'),
        *('"hair, 1, 111\n', "\x00\xff", "", None),
    ],
)
@pytest.mark.parametrize("kind", ["folder", "zip", "tar"])
def test_broken_attributes_are_refused(cartoons, kind, rows):
    file = cartoons / "0" / "cs1002.csv"
    if rows is None:
        file.unlink()
    else:
        file.write_text(rows, encoding="latin-1")
    with pytest.raises(ValueError, match="cs1002"):
        read_cartoon_set(packed(cartoons, kind))


def test_other_attributes_and_no_images_are_refused(cartoons, tmp_path):
    (cartoons / "0" / "cs1002.csv").write_text('"hair", 1, 111\n')
    with pytest.raises(ValueError, match=r"cs1002.csv has other attributes"):
        read_cartoon_set(cartoons)
    shutil.rmtree(cartoons / "0")
    shutil.rmtree(cartoons / "1")
    Image.new("RGB", (64, 64)).save(cartoons / "photo.png")
    with pytest.raises(ValueError, match=r"expected images called cs\*\.png"):
        read_cartoon_set(cartoons)
    with pytest.raises(ValueError, match="does not exist"):
        read_cartoon_set(tmp_path / "nowhere")


def test_the_table_is_plain_csv(cartoons, tmp_path):
    cartoon_faces.crop_cartoon_set(cartoons, tmp_path / "out", px=16, count=2)
    rows = list(csv.reader(io.StringIO((tmp_path / "out" / "attributes.csv").read_text())))
    assert rows[0] == ["file", "style", "seed", *(name for name, _ in ROWS)]
    assert rows[1] == ["images/000/000000.png", "cartoon-set", "cs1000", "0", "0", "0", "0"]
    assert len(rows) == 3
