"""The doors between the rooms: imports only point down, and each room knows only those below it."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
GROUND = {
    *("images", "faces", "attributes", "blend", "models", "engines", "hub", "latents"),
    *("inversion", "video", "folders", "lift", "cascade"),
}

# What a tool that draws a generator's faces opens: through an engine it takes a fifth of the time.
DRAWS = {f"toonify.{n}" for n in ("images", "faces", "hub", "models", "latents", "engines")}

# Room -> rooms it may open, besides itself. A module belongs to its longest matching room.
MAY_OPEN = {
    **{f"toonify.{room}": set() for room in GROUND},
    "toonify.faces": {"toonify.faces.mtcnn"},
    "toonify.files": set(),
    "toonify.hub.catalog": {"toonify.hub"},
    "toonify.cards": {"toonify.hub"},
    "toonify.hub.upload": {"toonify.hub", "toonify.cards"},
    "toonify.hub.space": {"toonify.hub", "toonify.cards"},
    "toonify.pipelines": {f"toonify.{room}" for room in GROUND},
    "toonify.convert": {f"toonify.{n}" for n in ("models", "engines", "hub", "folders")},
    "toonify.cli": {
        *("toonify.pipelines", "toonify.images", "toonify.hub", "toonify.hub.catalog"),
        *("toonify.video", "toonify.convert", "toonify.hub.upload", "toonify.hub.space"),
    },
    "toonify.__main__": {"toonify.cli"},
    "toonify": {"toonify.pipelines"},
    "toonify.screen": {
        *("toonify.pipelines", "toonify.images", "toonify.faces", "toonify.hub", "toonify.video"),
    },
    "app": {f"toonify.{n}" for n in ("screen", "pipelines", "images", "hub", "catalogue")},
    "training.evaluate": {"training", "toonify.images", "toonify.faces", "toonify.pipelines"},
    "training.stylegan.contact_sheets": {"training", "toonify.images", "toonify.pipelines"},
    "training.animegan.distill": {"training", "training.prepare.toon_pairs"},
    "training.prepare.toon_pairs": {"training", *DRAWS},
    "training.prepare.cartoon_filter": {"training", *DRAWS},
    "training.evaluate_toongan": {
        *("training", "toonify.images", "toonify.cards", "toonify.pipelines"),
    },
    "training.toongan.directions": {
        *("training", "training.stylegan.directions"),
        *("toonify.images", "toonify.latents", "toonify.pipelines"),
    },
    "training.prepare.style_pairs": {"training", *DRAWS},
    "training.prepare.frames_from_video": {"training", "toonify.images", "toonify.video"},
    "training.stylegan.one_shot": {
        *("training", "toonify.images", "toonify.faces", "toonify.latents", "toonify.hub"),
        *("toonify.models", "toonify.latents.inversion"),
    },
    "training.train_encoder": {
        *(
            "training",
            "toonify.images",
            "toonify.hub",
            "toonify.models",
            "toonify.latents.inversion",
        ),
    },
    "training.stylegan.directions": {
        *(
            "training",
            "toonify.images",
            "toonify.faces",
            "toonify.faces.attributes",
            "toonify.latents",
        ),
        *("toonify.models", "toonify.hub"),
    },
    "training": {
        f"toonify.{room}"
        for room in (
            "images",
            "faces",
            "latents",
            "models",
            "hub",
            "folders",
            "cards",
            "publish",
            "engines",
        )
    },
    "benchmarks.inversion": {
        *(
            "training",
            "toonify.images",
            "toonify.faces",
            "toonify.latents.inversion",
            "toonify.pipelines",
        )
    },
    "benchmarks": {
        *("training", "toonify.images", "toonify.hub", "toonify.models", "toonify.engines"),
        *("toonify.video", "toonify.pipelines"),
    },
}
EVERYWHERE = {"toonify.files"}  # any room may open these
# Weights and pixels stay out of the screen and the front doors.
HEAVY = {"torch", "torchvision", "diffusers", "openvino", "cv2", "numpy", "facenet_pytorch"}


def sources() -> dict[str, ast.Module]:
    """Module name -> syntax tree of everything the project ships."""
    rooms = ("toonify", "training", "benchmarks")
    paths = [ROOT / "app.py", *(path for room in rooms for path in (ROOT / room).rglob("*.py"))]
    trees = {}
    for path in paths:
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        trees[name] = ast.parse(path.read_text(), str(path))
    return trees


def imports(tree: ast.AST, known: set[str]) -> set[str]:
    """Full names that a module imports, wherever in the file the import stands."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"relative import in line {node.lineno}"
            whole = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= (whole & known) or {node.module}
    return found


def room_of(module: str) -> str | None:
    """The room of `MAY_OPEN` that a module lies in, or None for other packages."""
    inside = [room for room in MAY_OPEN if module == room or module.startswith(room + ".")]
    return max(inside, key=len) if inside else None


SOURCES = sources()


@pytest.mark.parametrize("module", SOURCES)
def test_imports_only_point_down(module):
    room = room_of(module)
    assert room, f"{module} lies in no room: add it to MAY_OPEN and to the picture in the README"
    opened = (
        {room_of(name) for name in imports(SOURCES[module], set(SOURCES))}
        - {None, room}
        - EVERYWHERE
    )
    assert opened <= MAY_OPEN[room], f"{module} opens {sorted(opened - MAY_OPEN[room])}"


DOORS = ["app", "toonify", "toonify.__main__", *(n for n in SOURCES if "toonify.cli" in n)]
SCREEN = [name for name in SOURCES if room_of(name) == "toonify.screen"]


@pytest.mark.parametrize("module", [*DOORS, *SCREEN])
def test_front_doors_touch_no_tensors(module):
    tops = {name.split(".")[0] for name in imports(SOURCES[module], set(SOURCES))}
    assert not tops & HEAVY


def test_no_room_is_called_after_nothing():
    leaves = {module.rsplit(".", 1)[-1] for module in SOURCES}
    assert not leaves & {"utils", "util", "helpers", "helper", "common", "misc"}


@pytest.mark.parametrize("module", [name for name in SOURCES if name != "app"])
def test_every_module_says_what_it_is(module):
    assert ast.get_docstring(SOURCES[module]), f"{module} has no docstring"


def test_the_layer_test_sees_a_forbidden_import():
    tree = ast.parse("from toonify import pipelines")
    assert imports(tree, set(SOURCES)) == {"toonify.pipelines"}
    assert "toonify.pipelines" not in MAY_OPEN["toonify.images"]
