"""Import and start-up: whole processes, from their start to their end.

    python -m benchmarks.start [--style comic] [--rounds 5] [--json FILE]

The first photo is 512x512. With a cold cache the network is compiled; a warm one has it compiled.
"""

import functools
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.contenders import Contender, Job, Race, Timed, rusage_unit
from benchmarks.photo import PHOTO
from benchmarks.table import style_command
from toonify import hub

ROOT = Path(__file__).parents[1]
PLAIN = """
import sys
from PIL import Image
from benchmarks.plain import PlainPipeline
PlainPipeline(sys.argv[1])(Image.open(sys.argv[2]).convert("RGB"))
"""
OURS = """
import sys
from toonify import AnimeGANPipeline
AnimeGANPipeline.from_pretrained(sys.argv[1], device="cpu")(sys.argv[2])
"""


def process(*arguments: str) -> Job:
    """Python with these arguments."""
    return Job(lambda: whole(arguments, {}))


def first_photo(script: str, style: str, cache: str) -> Job:
    """A script that opens a style and draws one photo.

    `cache` is that of compiled graphs: "cold" for a new one each time, "warm" for one that stays.
    """
    arguments = ("-c", script, style, str(PHOTO))
    kept = tempfile.TemporaryDirectory()  # goes with the process

    def run() -> Timed:
        if cache == "warm":
            return whole(arguments, {"TOONIFY_CACHE": kept.name})
        with tempfile.TemporaryDirectory() as folder:
            return whole(arguments, {"TOONIFY_CACHE": folder})

    return Job(run, {"photos": 1})


def whole(arguments: tuple[str, ...], environment: dict[str, str]) -> Timed:
    """Runs Python from its start to its end, in the project's folder.

    The memory is at least that of this process, with which the system's count begins.
    Raises CalledProcessError if it fails.
    """
    command = [sys.executable, *arguments]
    begin = time.perf_counter()
    child = subprocess.Popen(
        command, cwd=ROOT, env=os.environ | environment, stdout=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(child.pid, 0)
    took = time.perf_counter() - begin
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise subprocess.CalledProcessError(child.returncode, command)
    return Timed(took, usage.ru_maxrss / rusage_unit())


def imports(quick: bool = False) -> Race:
    """Imports and the command line; bare Python and torch stand beside them."""
    lines = {
        "python -c pass": ("-c", "pass"),
        "import torch": ("-c", "import torch"),
        "import toonify": ("-c", "import toonify"),
        "python -m toonify --help": ("-m", "toonify", "--help"),
        "import app (the screen, with gradio)": ("-c", "import app"),
    }
    contenders = tuple(
        Contender(name, functools.partial(process, *line)) for name, line in lines.items()
    )
    return Race(
        "Start: a whole process", contenders, rounds=3 if quick else 5, warm=1, ratios=False
    )


def first(quick: bool = False, style: str = hub.DEFAULT_STYLE) -> Race:
    """From the start of Python to the first drawn photo."""
    contenders = (
        Contender(
            "plain: MTCNN, eager PyTorch, fp32",
            functools.partial(first_photo, PLAIN, style, "warm"),
        ),
        *(
            Contender(f"ours, {cache} cache", functools.partial(first_photo, OURS, style, cache))
            for cache in ("cold", "warm")
        ),
    )
    title = f"The first photo of a process, 512x512, style {Path(style).name}"
    return Race(title, contenders, rounds=1 if quick else 5)


def races(quick: bool = False, style: str = hub.DEFAULT_STYLE) -> list[Race]:
    return [imports(quick), first(quick, style)]


def main() -> None:
    style_command(__doc__, lambda style: races(style=style))


if __name__ == "__main__":
    main()
