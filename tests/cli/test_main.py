"""`toonify`: the list of commands, old spellings, and the list of styles."""

import json
import sys

import pytest

from toonify import cli, hub


def test_help_lists_the_commands_without_importing_them(capsys, usage):
    modules = {name for name in sys.modules if name.startswith("toonify.cli.")}
    assert cli.main(["--help"]) == 0
    assert "generate  Draw new cartoon faces" in capsys.readouterr().out
    assert {name for name in sys.modules if name.startswith("toonify.cli.")} == modules
    for command in ("photo", "video", "generate", "styles", "convert", "push", "deploy", "web"):
        assert cli.main([command, "--help"]) == 0
        examples = capsys.readouterr().out.split("Examples:\n")[1]
        assert examples.startswith(f"  python -m toonify {command}")
    assert "Write the app for browsers" in usage()
    assert "No such command 'nothing'" in usage("nothing")


def test_an_old_command_runs_with_a_warning(capsys):
    with pytest.raises(SystemExit, match="2"):
        cli.main(["imagine", "-o", "g.txt"])
    assert "DeprecationWarning: imagine is now generate\n" in capsys.readouterr().err


def test_styles_are_listed_with_an_invalid_owner(monkeypatch, capsys):
    monkeypatch.setenv("TOONIFY_HUB_OWNER", "me/toy")
    assert cli.main(["styles"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("NAME") and "comic" in out
    assert err == "TOONIFY_HUB_OWNER='me/toy': expected the name of a Hub account\n"


def test_styles_of_all_models_as_table_and_as_json(monkeypatch, capsys):
    ink = hub.Style("ink", "Ink", license="CC0-1.0", source="hub me/ink@0123456789ab")
    bold = hub.Style("bold", "Bold", scope="face", license="MIT", family="stylegan")
    faces = hub.Style("faces", "Faces", license="MIT", family="toongan")
    known = {"animegan": [hub.Style("comic", "Comic", license="MIT"), ink]}
    known |= {"stylegan": [bold], "toongan": [faces]}
    monkeypatch.setattr(hub, "styles", known.__getitem__)
    assert cli.main(["styles"]) == 0
    head, *rows = (line.split() for line in capsys.readouterr().out.splitlines())
    assert head == ["NAME", "MODEL", "TITLE", "FROM", "LICENSE"]
    assert rows == [
        ["comic", "animegan", "Comic", "bundled", "MIT"],
        ["ink", "animegan", "Ink", "hub", "me/ink@0123456789ab", "CC0-1.0"],
        ["bold", "stylegan", "Bold", "bundled", "MIT"],
        ["faces", "toongan", "Faces", "bundled", "MIT"],
    ]
    assert cli.main(["styles", "--json"]) == 0
    _, second, third, _ = map(json.loads, capsys.readouterr().out.splitlines())
    assert (second["name"], second["source"], second["scope"]) == ("ink", ink.source, "photo")
    assert (third["family"], third["scope"]) == ("stylegan", "face")
