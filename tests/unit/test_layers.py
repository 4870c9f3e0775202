"""The layers of the code: imports only point down, and files and functions stay short."""

import ast
from pathlib import Path

import pytest

from tests.conftest import SLOW_FILES

ROOT = Path(__file__).resolve().parents[2]

# Room -> rooms it may open, besides itself. A module belongs to its longest matching room.
LIBRARY = {f"toonify.{room}" for room in ("images", "faces", "latents", "models", "engines", "hub")}
FOUNDATION = {"training.core", "training.data"}
SHARED = {*FOUNDATION, "training.gan", "training.metrics"}
MAY_OPEN = {
    "toonify": {"toonify.pipelines"},
    "toonify.__main__": {"toonify.cli"},
    "toonify.files": set(),
    "toonify.models": set(),
    "toonify.latents": {"toonify.files"},
    "toonify.engines": {"toonify.files"},
    "toonify.images": {"toonify.files"},
    "toonify.video": {"toonify.images", "toonify.files"},
    "toonify.hub": {"toonify.files"},
    "toonify.faces": {f"toonify.{room}" for room in ("images", "models", "engines", "hub")},
    "toonify.pipelines": {*LIBRARY, "toonify.video", "toonify.files"},
    "toonify.convert": {f"toonify.{room}" for room in ("models", "engines", "hub", "files")},
    "toonify.web": {
        *("toonify.convert", "toonify.faces", "toonify.models", "toonify.engines"),
        *("toonify.images", "toonify.hub", "toonify.files", "toonify"),
    },
    "toonify.cli": {
        *("toonify.pipelines", "toonify.convert", "toonify.images", "toonify.video"),
        "toonify.web",
        *("toonify.hub", "toonify.files", "toonify"),
    },
    "toonify.ui": {
        *("toonify.pipelines", "toonify.images", "toonify.faces", "toonify.video", "toonify.hub"),
        *("toonify.files", "toonify"),  # the second for the version
    },
    "app": {"toonify.ui", "toonify.pipelines", "toonify.images", "toonify.hub"},
    "training.core": {"toonify.hub", "toonify.files"},
    "training.data": {"training.core", *LIBRARY, "toonify.files"},
    "training.metrics": {*FOUNDATION, *LIBRARY, "toonify.files"},
    "training.gan": {*FOUNDATION, "training.metrics", *LIBRARY, "toonify.files"},
    "training.prepare": {*FOUNDATION, *LIBRARY, "toonify.video", "toonify.files"},
    "training.animegan": {
        *(*SHARED, "training.prepare", *LIBRARY, "toonify.pipelines", "toonify.files"),
    },
    "training.stylegan": {*SHARED, *LIBRARY, "toonify.pipelines", "toonify.files"},
    "training.encoder": {*SHARED, *LIBRARY, "toonify.files"},
    "training.parser": {*SHARED, *LIBRARY, "toonify.files"},
    "training.toongan": {
        *(*SHARED, "training.prepare", "training.stylegan"),
        *(*LIBRARY, "toonify.pipelines", "toonify.files"),
    },
    # The commands.
    "training": set(),
    "training.train_animegan": {"training.core", "training.animegan"},
    "training.train_stylegan": {"training.core", "training.stylegan"},
    "training.train_toongan": {"training.core", "training.toongan"},
    "training.train_encoder": {"training.core", "training.encoder"},
    "training.train_parser": {"training.core", "training.parser"},
    "training.evaluate": {"training.metrics", "training.animegan", "toonify.images"},
    "training.evaluate_toongan": {"training.metrics", "training.toongan", "toonify.images"},
    "release": {"toonify", "toonify.pipelines", "toonify.ui", "toonify.hub", "toonify.files"},
    "benchmarks": {
        *(*SHARED, "training.animegan", "training.stylegan", "training.toongan", "training.parser"),
        *("training.prepare", *LIBRARY, "toonify.video", "toonify.pipelines"),
    },
}
# Weights and pixels stay out of the interface and the commands.
HEAVY = {"torch", "torchvision", "diffusers", "openvino", "cv2", "numpy", "facenet_pytorch"}
# Programs of their own: Blender (GPL) and MediaPipe are opened by nothing else.
APART = {"bpy": "training.prepare.heads", "mediapipe": "training.prepare.teacher"}


def sources() -> dict[str, ast.Module]:
    """Module name -> syntax tree of everything the project ships."""
    rooms = ("toonify", "training", "benchmarks", "release")
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
OPENED = {module: imports(tree, set(SOURCES)) for module, tree in SOURCES.items()}


@pytest.mark.parametrize("module", SOURCES)
def test_imports_only_point_down(module):
    room = room_of(module)
    assert room and (room not in ("toonify", "training") or module == room), (
        f"{module} is in no room: add it to MAY_OPEN and to docs/architecture.md"
    )
    opened = {room_of(name) for name in OPENED[module]} - {None, room}
    assert opened <= MAY_OPEN[room], f"{module} opens {sorted(opened - MAY_OPEN[room])}"


def find_circle(graph: dict[str, set[str]]) -> list[str]:
    """A path that ends where it begins, or an empty list."""
    done = set()

    def walk(node, path):
        if node in path:
            return [*path[path.index(node) :], node]
        if node in done:
            return []
        for other in sorted(graph.get(node, ())):
            if circle := walk(other, [*path, node]):
                return circle
        done.add(node)
        return []

    return next((circle for node in graph if (circle := walk(node, []))), [])


def test_no_circle_of_rooms_or_of_modules():
    assert find_circle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]
    assert not find_circle(MAY_OPEN)
    modules = {module: opened & set(SOURCES) - {module} for module, opened in OPENED.items()}
    assert not find_circle(modules)


COMMANDS = ["app", "toonify", "toonify.__main__", *(n for n in SOURCES if "toonify.cli" in n)]
INTERFACE = [name for name in SOURCES if room_of(name) == "toonify.ui"]


@pytest.mark.parametrize("module", [*COMMANDS, *INTERFACE])
def test_commands_and_interface_touch_no_tensors(module):
    assert not {name.split(".")[0] for name in OPENED[module]} & HEAVY


@pytest.mark.parametrize("module", SOURCES)
def test_programs_of_their_own_stay_apart(module):
    for package, home in APART.items():
        if not module.startswith(home):
            assert package not in {name.split(".")[0] for name in OPENED[module]}


def test_no_room_is_called_after_nothing():
    leaves = {module.rsplit(".", 1)[-1] for module in SOURCES}
    assert not leaves & {"utils", "util", "helpers", "helper", "common", "misc"}


@pytest.mark.parametrize("module", [name for name in SOURCES if name != "app"])
def test_every_module_says_what_it_is(module):
    assert ast.get_docstring(SOURCES[module]), f"{module} has no docstring"


MAX_FILE, MAX_FUNCTION = 500, 60  # lines; a longer one says why in its first sentence
REASON = "long because"


def find_long(text: str) -> list[str]:
    """What is longer than allowed and gives no reason: "file", or the name of a function."""
    tree = ast.parse(text)
    parts: list = [(tree, "file", len(text.splitlines()), MAX_FILE)]
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            parts.append((node, node.name, node.end_lineno - node.lineno + 1, MAX_FUNCTION))
    return [
        name
        for node, name, length, limit in parts
        if length > limit and REASON not in (ast.get_docstring(node) or "").partition("\n\n")[0]
    ]


@pytest.mark.parametrize("room", ["toonify", "training", "benchmarks", "release", "tests"])
def test_long_files_and_functions_give_a_reason(room):
    found = {path: find_long(path.read_text()) for path in (ROOT / room).rglob("*.py")}
    assert not {str(path.relative_to(ROOT)): parts for path, parts in found.items() if parts}


def test_the_limits_see_a_long_function():
    body = "    pass\n" * MAX_FUNCTION
    assert find_long(f"def draw():\n{body}" + MAX_FILE * "\n") == ["file", "draw"]
    reason = f'    """Draws; {REASON} of its table."""\n'
    assert not find_long(f"def draw():\n{reason}{body}")


def test_the_top_of_training_is_small():
    names = [path.name for path in (ROOT / "training").iterdir() if path.name != "__pycache__"]
    assert len(names) <= 20, sorted(names)


def test_slow_test_files_come_first(request):
    files = [ROOT / "tests" / name for name in SLOW_FILES]
    assert [path for path in files if not path.is_file()] == []
    slow = [path in files for path in dict.fromkeys(i.path for i in request.session.items)]
    assert slow == sorted(slow, reverse=True)


def test_the_layer_test_sees_a_forbidden_import():
    tree = ast.parse("from toonify import pipelines")
    assert imports(tree, set(SOURCES)) == {"toonify.pipelines"}
    assert "toonify.pipelines" not in MAY_OPEN["toonify.images"]
