"""Assembles the browser app: pages, networks, runtime and examples, with hashes in their names."""

import dataclasses
import hashlib
import json
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from toonify import __version__, hub
from toonify.files import atomic_folder, find_project
from toonify.hub.labels import format_name
from toonify.images import marks
from toonify.web import networks
from toonify.web.runtime import ENGINES, VERSION

SOURCES = "web"  # at the top of the repository
CSP = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self' 'wasm-unsafe-eval'",
        "worker-src 'self'",
        "connect-src 'self'",
        "img-src 'self'",
        "style-src 'self'",
        "manifest-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
    )
)
TOP = ("manifest.webmanifest", "icon.svg", "icon-192.png", "icon-512.png", "toonify.js")
EXAMPLES = ("random_021", "random_032", "random_012", "random_026", "random_069", "astronaut")
THUMBNAIL = 112  # px a side
HASH = 10  # characters of a hash in a name
DETECTOR = ("pnet", "rnet", "onet")
# Headers for hosts that read a file _headers, such as Netlify and Cloudflare Pages.
HEADERS = {
    "Content-Security-Policy": CSP,
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "cross-origin",
}


@dataclasses.dataclass(frozen=True)
class Part:
    """A part of the site and what of it a visit loads.

    Args:
        name: for people.
        size: bytes.
        when: when a visitor's browser loads it.
    """

    name: str
    size: int
    when: str


def build(
    out: Path, runtime: Path, styles: Sequence[str] = (), faces: str = hub.DEFAULT_FACES
) -> list[Part]:
    """Writes the browser app into a folder, which a static host can serve.

    A style is drawn by its fast generator, or by its full one if it has none.

    Args:
        out: the folder; an existing one is replaced as a whole.
        runtime: the folder `dist` of ONNX Runtime Web, as `find_runtime` returns it.
        styles: names, folders or owner/name on the Hub; the first is preselected. Default: all
            bundled styles that draw photos.
        faces: the generator of new faces; default "faces".

    Returns:
        The parts of the site.

    Raises:
        ValueError: a style does not exist or does not draw photos, or a network cannot be written.
    """
    chosen = list(styles) or [style.name for style in hub.styles("animegan")]
    with atomic_folder(out) as folder:
        site = Site(folder)
        described = [site.add_style(name) for name in chosen]
        config: dict[str, Any] = {
            "version": __version__,
            "runtime": site.add_runtime(runtime),
            "styles": described,
            "detector": {name: site.add_network(f"{name}.onnx", name) for name in DETECTOR},
            "parser": site.add_network("parser.onnx", hub.resolve_model("parser")),
            "faces": site.add_faces(faces),
            "xmp": {
                "drawn": marks.make_xmp(marks.DRAWN),
                "generated": marks.make_xmp(marks.GENERATED),
            },
            "sourceType": marks.make_uri(marks.DRAWN),
            "examples": [site.add_example(name) for name in EXAMPLES],
        }
        names = [style["name"] for style in described]
        default = hub.DEFAULT_STYLE if hub.DEFAULT_STYLE in names and not styles else names[0]
        site.add_app({**config, "defaultStyle": default})
        return site.list_parts(default)


class Site:
    """The folder of a site while it is written.

    Args:
        folder: an empty folder.
    """

    def __init__(self, folder: Path):
        self.folder, self.sources = folder, find_project() / SOURCES

    def add_file(self, source: Path, path: str) -> str:
        """Copies a file, and returns its path with a hash of its content."""
        digest = hashlib.sha256(source.read_bytes()).hexdigest()[:HASH]
        place, dot, suffix = path.rpartition(".")
        path = f"{place}.{digest}{dot}{suffix}"
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
        return path

    def add_runtime(self, dist: Path) -> dict[str, dict[str, str]]:
        """Copies ONNX Runtime Web."""
        return {
            engine: {
                key: self.add_file(dist / name, f"runtime/{name}") for key, name in row.items()
            }
            for engine, row in ENGINES.items()
        }

    def add_network(self, name: str, source: str | Path) -> str:
        """Writes a part of the detector, named by a word, or the parser in a folder."""
        with tempfile.TemporaryDirectory() as place:
            file = Path(place, name)
            if isinstance(source, Path):
                networks.write_parser(source, file)
            else:
                networks.write_detector(source, file)
            return self.add_file(file, f"models/{name}")

    def add_style(self, name: str) -> dict[str, Any]:
        """Writes a style's generator, the fast one if there is one, and describes the style."""
        folder = hub.resolve_model(name)
        style = hub.read_style(folder, name)
        short = style.name.replace("/", "-")
        with tempfile.TemporaryDirectory() as place:
            file = Path(place, "style.onnx")
            generator = hub.generator_folder(folder, style.fastest)
            patch = networks.write_generator(generator, file)
            path = self.add_file(file, f"models/{short}.onnx")
        return {
            "name": short,
            "title": style.title,
            "description": style.description,
            "license": style.license,
            "scope": style.scope,
            "eyeDistance": style.eye_distance,
            "shortSide": style.short_side,
            "patch": patch,
            "file": path,
        }

    def add_faces(self, name: str) -> dict[str, Any]:
        """Writes the generator of new faces, and describes it."""
        folder = hub.resolve_model(name)
        style = hub.read_style(folder, name)
        settings = hub.read_json(folder / hub.CONFIG)
        with tempfile.TemporaryDirectory() as place:
            file = Path(place, "faces.onnx")
            networks.write_faces(folder, file)
            path = self.add_file(file, "models/faces.onnx")
        return {
            "file": path,
            "description": style.description,
            "license": f"License of the weights: {style.license}",
            "zDim": settings["z_dim"],
            "resolution": settings["resolution"],
            "attributes": {
                key: {
                    "label": format_name(key),
                    "values": [format_name(v) for v in values],
                    "hidden": key in style.hidden_attributes,
                }
                for key, values in style.attributes.items()
            },
        }

    def add_example(self, name: str) -> dict[str, str]:
        """Copies an example photo, and makes its thumbnail."""
        photo = find_project() / "hub_cards" / "faces" / f"{name}.jpg"
        with tempfile.TemporaryDirectory() as place, Image.open(photo) as image:
            small = Path(place, "thumbnail.jpg")
            size = (THUMBNAIL, THUMBNAIL)
            image.convert("RGB").resize(size, Image.Resampling.LANCZOS).save(small, quality=80)
            thumbnail = self.add_file(small, f"examples/{name}-small.jpg")
        text = f"Example {EXAMPLES.index(name) + 1}"
        return {
            "photo": self.add_file(photo, f"examples/{name}.jpg"),
            "thumbnail": thumbnail,
            "text": text,
        }

    def add_app(self, config: dict[str, Any]) -> None:
        """Writes the pages, the scripts below a hash of them, and the service worker."""
        scripts = sorted((self.sources / "app").iterdir())
        settings = json.dumps(config, indent=1)
        whole = hashlib.sha256(settings.encode())
        for script in scripts:
            whole.update(script.read_bytes())
        app = f"app/{whole.hexdigest()[:HASH]}"
        (self.folder / app).mkdir(parents=True)
        for script in scripts:
            shutil.copyfile(script, self.folder / app / script.name)
        (self.folder / app / "config.json").write_text(settings)
        for name in ("index.html", *TOP):
            self.copy_filled(name, {"{{APP}}": app, "{{CSP}}": CSP})
        shutil.copyfile(self.sources / "licenses.txt", self.folder / "licenses.txt")
        lines = [f"  {name}: {value}\n" for name, value in HEADERS.items()]
        (self.folder / "_headers").write_text("".join(["/*\n", *lines]))
        self.add_service_worker(config)

    def copy_filled(self, name: str, values: dict[str, str]) -> None:
        """Copies a file of the sources; text has placeholders filled."""
        source, target = self.sources / name, self.folder / name
        if source.suffix == ".png":
            shutil.copyfile(source, target)
            return
        text = source.read_text(encoding="utf-8")
        for placeholder, value in values.items():
            text = text.replace(placeholder, value)
        target.write_text(text, encoding="utf-8")

    def add_service_worker(self, config: dict[str, Any]) -> None:
        """Writes the service worker with the list of files that it keeps."""
        paths = [p.relative_to(self.folder).as_posix() for p in sorted(self.folder.rglob("*.*"))]
        on_use = set(config["runtime"]["webgpu"].values())
        unlisted = {"index.html", "_headers", "toonify.js", "licenses.txt"}
        kept = [path for path in paths if path not in on_use | unlisted]
        shell = ["./", *(path for path in kept if not path.startswith(("models/", "runtime/")))]
        lists: dict[str, Any] = {
            "shell": [path for path in shell if not path.startswith("examples/")],
            "rest": [path for path in kept if path not in shell or path.startswith("examples/")],
            "onUse": sorted(on_use),
        }
        whole = json.dumps([lists, (self.folder / "index.html").read_text()])
        lists["version"] = hashlib.sha256(whole.encode()).hexdigest()[:HASH]
        text = (self.sources / "sw.js").read_text(encoding="utf-8")
        head, _, tail = text.partition("/* {{FILES}} */")
        text = f"{head}{json.dumps(lists, indent=1)};{tail.partition(';')[2]}"
        (self.folder / "sw.js").write_text(text.replace("{{CSP}}", CSP), encoding="utf-8")

    def list_parts(self, default: str) -> list[Part]:
        """Lists what a visit loads, in the order in which it does."""
        sizes = {
            path.relative_to(self.folder).as_posix(): path.stat().st_size
            for path in self.folder.rglob("*")
            if path.is_file()
        }

        def add(name: str, when: str, *starts: str) -> Part:
            found = [path for path in sizes if path.startswith(starts)]
            return Part(name, sum(sizes.pop(path) for path in found), when)

        webgpu = [f"runtime/{name.rpartition('.')[0]}" for name in ENGINES["webgpu"].values()]
        detector = [f"models/{name}." for name in DETECTOR]
        first, later = "first visit", "first use, or after the first drawing"
        parts = [
            add(f"ONNX Runtime Web {VERSION}, WebGPU", "where there is WebGPU", *webgpu),
            add(f"ONNX Runtime Web {VERSION}, WebAssembly", first, "runtime/"),
            add(f"style {default}", first, f"models/{default}."),
            add("face detector", first, *detector),
            add("face parser", later, "models/parser."),
            add("new faces", later, "models/faces."),
        ]
        others = sorted(path for path in sizes if path.startswith("models/"))
        parts += [add(f"style {path[7:].partition('.')[0]}", later, path) for path in others]
        parts.append(add("examples", later, "examples/"))
        return [add("page", first, ""), *parts]
