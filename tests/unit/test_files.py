"""Atomic writing of files and folders."""

import pytest

from toonify.files import atomic_folder, atomic_write, discard_unfinished, temporary_path


@pytest.mark.parametrize("name", ["a.json", "b" * 250 + ".mp4", "c." + "d" * 250])
def test_a_file_is_written_whole_or_stays(tmp_path, name):
    file = tmp_path / "new" / name
    with atomic_write(file, keep_suffix=True) as temporary:
        assert temporary.suffix in (file.suffix, ".part") and temporary.parent == file.parent
        temporary.write_text("old")
        temporary.chmod(0o600)
    other = tmp_path / "other"
    other.touch()
    assert file.read_text() == "old" and file.stat().st_mode == other.stat().st_mode
    with pytest.raises(KeyError), atomic_write(file) as temporary:
        assert temporary.suffix == ".part"
        temporary.write_text("half")
        raise KeyError
    assert [path.read_text() for path in file.parent.iterdir()] == ["old"]


def test_a_folder_is_replaced_whole_or_stays(tmp_path):
    folder = tmp_path / "model"
    for content in ("old", "new"):
        with atomic_folder(folder) as temporary:
            (temporary / content).write_text(content)
            (temporary / content).chmod(0o600)
        assert [path.name for path in folder.iterdir()] == [content]
        assert [path.name for path in tmp_path.iterdir()] == ["model"]
        (tmp_path / "any").touch()
        assert (folder / content).stat().st_mode == (tmp_path / "any").stat().st_mode
        (tmp_path / "any").unlink()
    with pytest.raises(KeyError), atomic_folder(folder) as temporary:
        (temporary / "half").touch()
        raise KeyError
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")] == [
        "model",
        "model/new",
    ]


def test_only_temporary_files_of_the_named_paths_are_discarded(tmp_path):
    mine, other = tmp_path / "a.png", tmp_path / "b.png"
    left, kept = temporary_path(mine), temporary_path(other)
    left.touch(), kept.touch(), mine.touch()
    discard_unfinished([mine, tmp_path / "absent" / "c.png"])
    assert sorted(tmp_path.iterdir()) == sorted([kept, mine])
