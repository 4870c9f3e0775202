"""Writes docs/dependencies.md and sbom.json: the packages in requirements.lock, with licenses.

    python -m release.dependencies

Licenses are what the packages say of themselves in this environment. sbom.json is a software bill
of materials in CycloneDX's format.
"""

import argparse
import dataclasses
import importlib.metadata
import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

from toonify import __version__
from toonify.files import atomic_write, find_project

LOCK, TABLE, SBOM = "requirements.lock", "docs/dependencies.md", "sbom.json"
PROJECT = "pyproject.toml"
UNKNOWN = "not stated"
HEAD = """\
# Dependencies

What the app needs, with the versions of `requirements.lock` and the licenses that the packages
state. `sbom.json` lists the same in CycloneDX's format. `python -m release.dependencies` writes
both. Packages for other systems than the one on which this was written state no license here.

| package | version | license | only where |
|---|---|---|---|
"""
EXTRAS_HEAD = """
## Extras

`pip install "toonify[NAME]"` installs what one part of Toonify needs; nothing else imports it.

| extra | packages | why |
|---|---|---|
"""
REASONS = {
    "app": "the app for browsers",
    "train": "drawn faces with known attributes, which ToonGAN learns from",
    "convert": "ONNX files",
    "heic": "photos of iPhones; its wheels hold libraries under the LGPL and GPL",
    "c2pa": "signed results, for operators who have a certificate",
    "mcp": "the app for programs that speak the Model Context Protocol",
    "teacher": "landmarks of faces, from which training pictures are drawn",
    "trackers": "experiment trackers; any one of them is enough",
    "ray": "drawing on the nodes of a cluster: Ray Data hands out photos to actors, repeats what a"
    " lost node had, and brings pyarrow, which reads Parquet. A bucket also needs the package of"
    " its fsspec file system: s3fs, gcsfs or adlfs",
    "dev": "tests and lint",
    "all": "what a developer needs",
}


@dataclasses.dataclass(frozen=True)
class Package:
    """A package of the lock file.

    Args:
        name: the name.
        version: the exact version.
        marker: the condition under which it is installed; empty: always.
        license: what it states.
    """

    name: str
    version: str
    marker: str = ""
    license: str = UNKNOWN


def read_lock(text: str) -> list[Package]:
    """Reads the packages of a lock file, without licenses.

    Args:
        text: the content, as `release.lock` writes it.
    """
    pattern = r"(?m)^([A-Za-z0-9][\w.-]*)==([^\s;\\]+)(?: *; *(.+?))? *\\?$"
    return [Package(*(part or "" for part in found)) for found in re.findall(pattern, text)]


def find_license(package: Package) -> str:
    """Finds the license that an installed package states, in one line.

    Args:
        package: its version need not be the installed one.
    """
    try:
        about = importlib.metadata.metadata(package.name)
    except importlib.metadata.PackageNotFoundError:
        return UNKNOWN
    if expression := about.get("License-Expression"):
        return expression
    classifiers = [
        name.rpartition(" :: ")[2]
        for name in about.get_all("Classifier") or ()
        if name.startswith("License :: ") and not name.endswith("OSI Approved")
    ]
    stated = (about.get("License") or "").strip()
    short = stated if "\n" not in stated and len(stated) <= 80 else ""
    return short or ", ".join(classifiers) or (stated.splitlines() or [UNKNOWN])[0][:80]


def format_table(packages: list[Package], extras: Mapping[str, Sequence[str]]) -> str:
    """Makes the page of dependencies.

    Args:
        packages: of the lock file.
        extras: the requirements of each extra, by its name.
    """
    locked = format_rows([[p.name, p.version, p.license, p.marker] for p in packages])
    optional = [[name, ", ".join(needs), REASONS[name]] for name, needs in extras.items()]
    return HEAD + locked + EXTRAS_HEAD + format_rows(optional)


def format_rows(rows: list[list[str]]) -> str:
    """Makes the rows of a table in Markdown."""
    lines = [" | ".join(cell.replace("|", "or") for cell in row) for row in rows]
    return "".join(f"| {line} |\n".replace("|  |", "| |") for line in lines)


def read_extras(text: str) -> dict[str, list[str]]:
    """Reads the extras of a `pyproject.toml`, with their requirements."""
    return tomllib.loads(text)["project"]["optional-dependencies"]


def format_sbom(packages: list[Package]) -> str:
    """Makes the software bill of materials; the same packages always give the same text."""
    components = [
        {
            "type": "library",
            "name": package.name,
            "version": package.version,
            "purl": f"pkg:pypi/{package.name}@{package.version}",
            "bom-ref": f"pkg:pypi/{package.name}@{package.version}",
            "licenses": [{"license": {"name": package.license}}],
            "scope": "optional" if package.marker else "required",
        }
        for package in packages
    ]
    application = {
        "type": "application",
        "name": "toonify",
        "version": __version__,
        "licenses": [{"license": {"id": "Apache-2.0"}}],
    }
    content = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": application},
        "components": components,
    }
    return json.dumps(content, indent=1) + "\n"


def write(text: str, path: Path) -> None:
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def main(arguments: list[str] | None = None) -> None:
    argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0]).parse_args(arguments)
    project = find_project()
    packages = [
        dataclasses.replace(package, license=find_license(package))
        for package in read_lock((project / LOCK).read_text(encoding="utf-8"))
    ]
    extras = read_extras((project / PROJECT).read_text(encoding="utf-8"))
    write(format_table(packages, extras), project / TABLE)
    write(format_sbom(packages), project / SBOM)
    print(f"{TABLE}, {SBOM}: {len(packages)} packages")


if __name__ == "__main__":
    main()
