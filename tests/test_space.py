"""What the Space's front matter says agrees with requirements, files and licences."""

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
REQUIREMENTS = (ROOT / "requirements.txt").read_text()


@pytest.fixture(scope="module")
def front() -> dict:
    return yaml.safe_load(README.split("---\n")[1])


def test_the_sdk_version_is_one_that_requirements_allow(front):
    low, high = re.search(r"^gradio>=([\d.]+),<(\d+)$", REQUIREMENTS, re.M).groups()
    version = [int(part) for part in front["sdk_version"].split(".")]
    assert [int(part) for part in low.split(".")] <= version[: len(low.split("."))]
    assert version[0] < int(high)


def test_the_front_matter_names_real_things(front):
    assert front["sdk"] == "gradio"
    assert (ROOT / front["app_file"]).is_file()
    assert front["python_version"] == "3.12.12"  # the one version that fits ZeroGPU and diffusers
    assert front["license"] == "apache-2.0"
    assert len(front["short_description"]) <= 60
    assert "Apache License" in (ROOT / "LICENSE").read_text()


def test_the_two_commands_are_one_line_each_and_include_everything():
    commands = [line for line in README.splitlines() if line.startswith("python3 -m venv")]
    assert len(commands) == 2
    for command in commands:
        assert "pip install -r requirements.txt" in command
    assert commands[0].endswith("app.py")
    assert commands[1].endswith("-m pytest")


def test_pictures_and_files_that_the_readme_links_exist():
    links = re.findall(r"\]\((?!http)([^)#]+)\)", README)
    assert links
    assert not [link for link in links if not (ROOT / link).exists()]


def test_facenet_is_pinned_to_the_version_that_takes_any_torch():
    assert re.search(r"^facenet-pytorch==2\.5\.3$", REQUIREMENTS, re.M)


def test_notice_lists_every_bundled_style():
    notice = (ROOT / "NOTICE").read_text()
    styles = [p.name for p in (ROOT / "toonify" / "weights").iterdir() if p.is_dir()]
    assert styles
    assert not [name for name in styles if f"toonify/weights/{name}" not in notice]


def test_bundled_weights_stay_small():
    size = sum(p.stat().st_size for p in (ROOT / "toonify" / "weights").rglob("*") if p.is_file())
    assert size < 120e6
