"""The lock file, and the lists of dependencies that are made from it."""

import json
import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from release import dependencies, lock

ROOT = Path(__file__).resolve().parents[2]
LOCKED = (ROOT / lock.LOCK).read_text()
PACKAGES = dependencies.read_lock(LOCKED)
REFRESH = "run `python -m release.lock`, then `python -m release.dependencies`"


def test_the_lock_file_has_what_the_project_requires():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    versions = {package.name: package.version for package in PACKAGES}
    for line in (*project["dependencies"], *project["optional-dependencies"]["app"]):
        required = Requirement(line)
        assert required.name in versions, REFRESH
        assert required.specifier.contains(versions[required.name]), f"{line}: {REFRESH}"


def test_every_locked_package_has_hashes_and_no_address():
    blocks = re.split(r"(?m)^(?=[A-Za-z0-9])", LOCKED)[1:]
    assert len(blocks) == len(PACKAGES) > 50
    for block in blocks:
        assert re.search(r"--hash=sha256:[0-9a-f]{64}$", block, re.M), block[:80]
    assert "://" not in LOCKED and " @ " not in LOCKED


def test_the_page_of_dependencies_and_the_bill_of_materials_list_the_locked_packages():
    locked = [(package.name, package.version) for package in PACKAGES]
    content = json.loads((ROOT / dependencies.SBOM).read_text())
    assert [(c["name"], c["version"]) for c in content["components"]] == locked, REFRESH
    assert content["bomFormat"] == "CycloneDX"
    table = (ROOT / dependencies.TABLE).read_text()
    rows = re.findall(r"(?m)^\| (\S+) \| (\d\S*) \|", table)
    assert rows == locked, REFRESH


def test_the_page_of_dependencies_says_why_each_extra_is_there():
    extras = dependencies.read_extras((ROOT / dependencies.PROJECT).read_text())
    table = (ROOT / dependencies.TABLE).read_text()
    assert table.endswith(dependencies.format_table([], extras).removeprefix(dependencies.HEAD))


def test_no_dependency_of_the_app_has_a_license_that_reaches_the_app():
    """Those of the GPL and AGPL would; the LGPL's and Mozilla's would not."""
    content = json.loads((ROOT / dependencies.SBOM).read_text())
    licenses = {c["name"]: c["licenses"][0]["license"]["name"] for c in content["components"]}
    strict = r"\bA?GPL|GNU (Affero )?General"
    assert [name for name, text in licenses.items() if re.search(strict, text)] == []
    unstated = {name for name, text in licenses.items() if text == dependencies.UNKNOWN}
    optional = {c["name"] for c in content["components"] if c["scope"] == "optional"}
    assert unstated <= optional


def test_a_lock_file_is_read_with_its_conditions():
    text = 'a-b==1.2.0 \\\n    --hash=sha256:00\nc==2 ; sys_platform == "win32" \\\n    --hash=x\n'
    assert dependencies.read_lock(text) == [
        dependencies.Package("a-b", "1.2.0"),
        dependencies.Package("c", "2", 'sys_platform == "win32"'),
    ]


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        ({"License-Expression": "MIT"}, "MIT"),
        ({"License": "BSD"}, "BSD"),
        ({"Classifier": "License :: OSI Approved :: MIT License"}, "MIT License"),
        ({"License": "x" * 100 + "\n" + "y"}, "x" * 80),
        ({}, dependencies.UNKNOWN),
    ],
)
def test_licenses_are_what_packages_state(monkeypatch, stated, expected):
    from email.message import Message

    message = Message()
    for key, value in stated.items():
        message.add_header(key, value) if "\n" not in value else message._headers.append(
            (key, value)
        )
    monkeypatch.setattr(dependencies.importlib.metadata, "metadata", lambda name: message)
    assert dependencies.find_license(dependencies.Package("x", "1")) == expected


def test_a_package_that_is_not_installed_states_nothing():
    missing = dependencies.Package("surely-not-installed", "1")
    assert dependencies.find_license(missing) == dependencies.UNKNOWN


def test_the_lock_needs_its_program(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(SystemExit, match="pip install uv"):
        lock.main([])
