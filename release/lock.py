"""Writes requirements.lock: exact versions and hashes of all that the app needs, on any system.

    pip install uv && python -m release.lock

Versions are those of this environment, which the tests ran with; of packages that it lacks, such as
those for other systems, the newest that fit. Servers install from it with
`pip install --require-hashes -r requirements.lock`.
"""

import argparse
import importlib.metadata
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from toonify.files import atomic_write, find_project

LOCK = "requirements.lock"
HEAD = "# Written by `python -m release.lock`. For Python 3.11 and newer, with the extra `app`.\n"


def find_versions() -> dict[str, str]:
    """Finds the packages of this environment and their versions, without those of local builds."""
    found = {}
    for distribution in importlib.metadata.distributions():
        name = re.sub(r"[-_.]+", "-", distribution.metadata["Name"]).lower()
        if name != "toonify":
            found[name] = distribution.version.partition("+")[0]
    return found


def resolve(project: Path, versions: dict[str, str]) -> str:
    """Resolves the project's dependencies with hashes.

    Args:
        project: the folder with pyproject.toml.
        versions: name -> version of packages that are to have it.

    Returns:
        The text of a lock file.
    """
    with tempfile.TemporaryDirectory() as folder:
        constraints, out = Path(folder, "constraints.txt"), Path(folder, LOCK)
        lines = [f"{name}=={version}\n" for name, version in sorted(versions.items())]
        constraints.write_text("".join(lines), encoding="utf-8")
        command = [
            *("uv", "pip", "compile", str(project / "pyproject.toml"), "--extra", "app"),
            *("--universal", "--python-version", "3.11", "--generate-hashes", "--quiet"),
            *("--no-header", "--no-emit-index-url", "--annotation-style", "line"),
            *("--constraints", str(constraints), "--output-file", str(out)),
        ]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        text = out.read_text(encoding="utf-8")
    return HEAD + re.sub(r"(?m)^ +# via .*\n", "", text)


def main(arguments: list[str] | None = None) -> None:
    argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0]).parse_args(arguments)
    project = find_project()
    try:
        text = resolve(project, find_versions())
    except FileNotFoundError:
        sys.exit("uv is not installed: expected the program of `pip install uv`")
    except subprocess.CalledProcessError as error:
        sys.exit(f"uv could not resolve the dependencies (status {error.returncode})")
    with atomic_write(project / LOCK) as temporary:
        temporary.write_text(text, encoding="utf-8")
    count = len(re.findall(r"(?m)^[^\s#]+==", text))
    print(f"{LOCK}: {count} packages; now run `python -m release.dependencies`")


if __name__ == "__main__":
    main()
