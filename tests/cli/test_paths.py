"""What the photos of a command mean: names, folders and globs."""

from pathlib import Path

import pytest

from toonify.cli import paths


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """An empty working folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "place, glob",
    [
        ("My [best] photos", "My [best] photos/*.jpg"),
        ("x [1]/deep", "x [1]/**/a.*"),
        ("2024/trip [a-z]", "*/trip [a-z]/a.???"),
        ("a*b", "a*b/[ab].jpg"),
        ("[!x]", "./[!x]/*"),
    ],
)
def test_a_glob_below_a_folder_with_brackets(folder, place, glob):
    Path(place).mkdir(parents=True)
    photo = Path(place, "a.jpg")
    photo.touch()
    target = Path("toons/a.jpg")
    assert paths.plan([glob], "toons/", False) == ([paths.Job(photo, target)], {})
    whole = paths.Job(folder / photo, target)
    assert paths.plan([str(folder / glob)], "toons/", False) == ([whole], {})
    assert not paths.names_one_file([glob])


def test_a_missing_photo_in_a_folder_with_brackets_is_no_glob():
    Path("x [1]").mkdir()
    missing = "there is no such file"
    for output in ("toons/", "toon.png"):
        assert paths.plan(["x [1]/no.jpg"], output, False) == ([], {"x [1]/no.jpg": missing})
    failures = paths.plan(["", "x [2]/no.jpg", "x [1]/*"], "toons/", False)[1]
    nothing = "nothing matches"
    assert failures == {"": missing, "x [2]/no.jpg": nothing, "x [1]/*": nothing}
