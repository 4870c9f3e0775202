"""The documentation: its links resolve, its commands parse, its examples run, its words exist."""

import argparse
import ast
import importlib
import inspect
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest

from tests.fixtures.toy_videos import make_video
from toonify.cli.main import COMMANDS
from toonify.cli.main import toonify as program

ROOT = Path(__file__).resolve().parents[2]
FACES = ROOT / "hub_cards" / "faces"
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *(ROOT / "training" / "README.md", FACES / "README.md"),
    *sorted((ROOT / "docs").glob("*.md")),
]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)
LAUNCHERS = ("accelerate launch", "torchrun")
OTHER_PROGRAMS = {
    *("python3", "python3.11", "pip", "npm", "docker", "mkdir", "cp", "pre-commit"),
    *("ruff", "mypy", "codespell", "pip-audit", "tensorboard", "ray"),
}
OTHER_OPTIONS = {  # of other programs
    *("--cpu", "--dist", "--help", "--multi_gpu", "--nproc_per_node"),
    *("--num_processes", "--gradient_accumulation_steps", "--mixed_precision"),
    *("--num_cpu_threads_per_process", "--require-hashes", "--no-deps", "--resolution"),
}
SCRIPTS = ("training", "benchmarks", "release")
STATIC = (
    "Client(",
    "push_to_hub",
    "StyleGANPipeline",
    "def total_variation",
)  # examples that are not run


def blocks(*languages: str) -> list:
    """Every fenced block in these languages, as a parameter with the name of its page."""
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for number, (language, block) in enumerate(BLOCK.findall(text)):
            if language in languages:
                found.append(pytest.param(block, id=f"{page.relative_to(ROOT)}-{number}"))
    return found


def prose(page: Path) -> str:
    """The text of a page without its fenced blocks."""
    return BLOCK.sub("", page.read_text(encoding="utf-8"))


# Links ------------------------------------------------------------------------------------------


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives to the headings of a page."""
    titles = re.findall(r"^#+ (.+)$", prose(page), re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_and_anchors_resolve(page):
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if link.startswith(("https://", "http://")):
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), f"{page.name}: {link}"
        assert not anchor or anchor in anchors(target), f"{page.name}: {link}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_paths_in_the_text_exist(page):
    for path in re.findall(r"`((?:docs|hub_cards|tests|toonify|training)/[\w./]*)`", prose(page)):
        assert (ROOT / path).exists(), f"{page.name}: {path}"


def test_the_readme_is_short_and_links_every_page():
    text = (ROOT / "README.md").read_text()
    assert len(text.splitlines()) <= 170
    pages = {f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md")}
    assert pages <= set(re.findall(r"\]\((docs/\w+\.md)\)", text))


# Where to find what -----------------------------------------------------------------------------


def test_the_find_test_names_files_that_exist():
    section = (ROOT / "docs" / "architecture.md").read_text().split("\n## Where to find what\n")[1]
    rows = re.findall(r"^\| (.+\?) \| (.+) \|$", section, re.M)
    assert len(rows) >= 20
    for question, answer in rows:
        paths = re.findall(r"`([^`]+)`", answer)
        assert paths, question
        for path in paths:
            assert (ROOT / path).exists(), f"{question} {path}"


def test_the_architecture_describes_every_package():
    text = (ROOT / "docs" / "architecture.md").read_text()
    for package in ("toonify", "training"):
        folders = [path.parent for path in (ROOT / package).glob("*/__init__.py")]
        assert len(folders) > 5
        for folder in folders:
            assert f"`{folder.relative_to(ROOT)}/`" in text, folder


# Commands ---------------------------------------------------------------------------------------


def split_commands(block: str) -> list[list[str]]:
    """The words of each command in a block, without variables that are set before it."""
    found = []
    for line in block.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        while words:
            end = words.index("&&") if "&&" in words else len(words)
            command, words = words[:end], words[end + 1 :]
            while "=" in command[0].split("-")[0]:
                command = command[1:]
            found.append(command)
    return found


class Parsed(Exception):
    """A parser has accepted a command, whose work is not to begin."""

    def __init__(self, parser: argparse.ArgumentParser):
        super().__init__()
        self.parser = parser


@pytest.fixture
def only_parse(monkeypatch):
    """only_parse(module, words) parses by the parser of a script, and returns the parser."""
    parse = argparse.ArgumentParser.parse_args

    def stop(self, words=None, namespace=None):
        if "--help" not in sys.argv:
            parse(self, words, namespace)
        raise Parsed(self)

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", stop)

    def run(module: str, words: list[str]) -> argparse.ArgumentParser:
        monkeypatch.setattr(sys, "argv", [module, *words])
        main = importlib.import_module(module).main
        with pytest.raises(Parsed) as parsed:
            main(words) if inspect.signature(main).parameters else main()
        return parsed.value.parser

    return run


def parse_toonify(words: list[str]) -> None:
    """Parses a command of `toonify` by its click command."""
    with program.make_context("toonify", words[:1], resilient_parsing=True) as context:
        command = program.get_command(context, words[0])
        assert command, words[0]
        command.make_context(words[0], words[1:], parent=context).close()


def script_of(words: list[str]) -> tuple[str, list[str]] | None:
    """The module that a command of `python` or a launcher runs, and its arguments."""
    for index, word in enumerate(words):
        if word == "-m":
            return words[index + 1], words[index + 2 :]
        if word.endswith(".py"):
            assert (ROOT / word).is_file(), word
            return word.removesuffix(".py").replace("/", "."), words[index + 1 :]
    return None


@pytest.mark.parametrize("block", blocks("", "bash"))
def test_commands_parse(block, only_parse, capsys):
    if " -> " in block:
        return  # a diagram
    for words in split_commands(block):
        first = Path(words[0]).name
        if first == "toonify":
            module, arguments = "toonify", words[1:]
        elif first == "python" or shlex.join(words).startswith(LAUNCHERS):
            module, arguments = script_of(words)
        else:
            assert first in OTHER_PROGRAMS, words
            continue
        if arguments == ["..."]:
            assert importlib.import_module(module)
        elif module == "toonify":
            parse_toonify(arguments)
        elif module.split(".")[0] in SCRIPTS:
            if (ROOT / Path(*module.split(".")) / "__main__.py").is_file():
                module += ".__main__"
            only_parse(module, arguments)
        else:
            assert module in ("app", "http.server", "pytest", "tests.fuzz"), words
    assert "Deprecation" not in capsys.readouterr().err


def test_options_in_the_text_exist(only_parse):
    known = set(OTHER_OPTIONS)
    for name in COMMANDS:
        command = program.get_command(click.Context(program), name)
        known |= {
            option for param in command.params for option in (*param.opts, *param.secondary_opts)
        }
    for folder in SCRIPTS:
        for path in (ROOT / folder).rglob("*.py"):
            if "blender" in path.parts or not re.search(r"^def main\(", path.read_text(), re.M):
                continue
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            known |= set(only_parse(name, ["--help"])._option_string_actions)
    for page in PAGES:
        if page.name == "CHANGELOG.md":
            continue  # it has old names too
        for code in re.findall(r"`([^`\n]+)`", prose(page)):
            for option in re.findall(r"(?<!\S)--[a-z][\w-]*", code):
                assert option in known, f"{page.name}: {option}"


def test_the_page_on_the_app_lists_every_function_of_the_api():
    sources = "".join(path.read_text() for path in (ROOT / "toonify" / "ui").rglob("*.py"))
    names = set(re.findall(r'api_name(?:=|": )"(\w+)"', sources))
    rows = re.findall(r"^\| `/.*$", (ROOT / "docs" / "app.md").read_text(), re.M)
    assert names == set(re.findall(r"`/(\w+)`", "\n".join(rows)))


# Examples ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("block", blocks("python"))
def test_imports_and_attributes_of_examples_exist(block):
    classes = {}
    for node in ast.walk(ast.parse(block)):
        if isinstance(node, ast.ImportFrom):
            module = importlib.import_module(node.module)
            for alias in node.names:
                classes[alias.name] = getattr(module, alias.name)
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
            called = ast.unparse(node.value.func)
            if called.endswith(".from_pretrained"):
                classes[node.targets[0].id] = classes[called.split(".")[0]]
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            owner = classes.get(node.value.id)
            assert owner is None or hasattr(owner, node.attr), ast.unparse(node)
    for node in ast.walk(ast.parse(block)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            owner = classes.get(ast.unparse(node.func.value))
            if inspect.isclass(owner) and inspect.isfunction(vars(owner).get(node.func.attr)):
                keywords = {keyword.arg: None for keyword in node.keywords}
                inspect.signature(getattr(owner, node.func.attr)).bind_partial(**keywords)


RUN = [param for param in blocks("python") if not any(word in param.values[0] for word in STATIC)]


@pytest.mark.parametrize("block", RUN)
def test_examples_run(block, tmp_path, monkeypatch, photo):
    monkeypatch.chdir(tmp_path)
    for name in ("portrait.jpg", "group.jpg"):
        photo.resize((256, 256)).save(name)
    Path("holiday").mkdir()
    shutil.copy("portrait.jpg", "holiday/1.jpg")
    Path("holiday/broken.jpg").write_bytes(b"no photo")
    make_video(Path("party.mp4"), range(0, 5005, 1001))
    exec(compile(block, "example", "exec"), {})
    written = re.findall(r'(?:save|latent|loop|interpolation)\([^\n]*?"([\w-]+\.\w+)"', block)
    assert not [name for name in written if not Path(name).is_file()]


# Spelling ---------------------------------------------------------------------------------------


def test_spelling_is_american():
    """Of the documentation, the code and the tests; see [tool.codespell] in pyproject.toml."""
    done = subprocess.run(
        [sys.executable, "-m", "codespell_lib"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
