"""Import and start-up: whole processes, from their start to their end.

    python -m benchmarks.start [--style comic] [--rounds 5] [--json FILE]

The first photo is 512x512. With a cold cache the network is compiled; a warm one has it compiled.
"""

import os
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

from benchmarks.photo import PHOTO
from benchmarks.report import STYLE, command
from benchmarks.runner import Benchmark, Case, Timed, Workload, rusage_unit
from toonify import hub

ROOT = Path(__file__).parents[1]
BASELINE = """
import sys
from PIL import Image
from benchmarks.baseline import BaselinePipeline
BaselinePipeline(sys.argv[1])(Image.open(sys.argv[2]).convert("RGB"))
"""
TOONIFY = """
import sys
from toonify import AnimeGANPipeline
AnimeGANPipeline.from_pretrained(sys.argv[1], device="cpu")(sys.argv[2])
"""


def process(*arguments: str) -> Workload:
    """Python with these arguments."""
    return Workload(lambda: run_process(arguments, {}))


def first_photo(script: str, style: str, cache: str) -> Workload:
    """A script that opens a style and draws one photo.

    `cache` is that of compiled graphs: "cold" for a new one each time, "warm" for one that stays.
    """
    arguments = ("-c", script, style, str(PHOTO))
    kept = tempfile.TemporaryDirectory()  # goes with the process

    def run() -> Timed:
        if cache == "warm":
            return run_process(arguments, {"TOONIFY_CACHE": kept.name})
        with tempfile.TemporaryDirectory() as folder:
            return run_process(arguments, {"TOONIFY_CACHE": folder})

    return Workload(run, {"photos": 1})


def run_process(arguments: tuple[str, ...], environment: dict[str, str]) -> Timed:
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


def imports(quick: bool = False) -> Benchmark:
    """Imports and the command line; bare Python and torch stand beside them."""
    lines = {
        "python -c pass": ("-c", "pass"),
        "import torch": ("-c", "import torch"),
        "import toonify": ("-c", "import toonify"),
        "python -m toonify --help": ("-m", "toonify", "--help"),
        "import app (the demo, with gradio)": ("-c", "import app"),
    }
    cases = tuple(Case(name, partial(process, *line)) for name, line in lines.items())
    return Benchmark(
        "Start: a whole process", cases, rounds=3 if quick else 5, warm=1, ratios=False
    )


def first(quick: bool = False, style: str = hub.DEFAULT_STYLE) -> Benchmark:
    """From the start of Python to the first drawn photo."""
    cases = (
        Case(
            "baseline: MTCNN, eager PyTorch, fp32",
            partial(first_photo, BASELINE, style, "warm"),
        ),
        *(
            Case(f"Toonify, {cache} cache", partial(first_photo, TOONIFY, style, cache))
            for cache in ("cold", "warm")
        ),
    )
    title = f"The first photo of a process, 512x512, style {Path(style).name}"
    return Benchmark(title, cases, rounds=1 if quick else 5)


def make_benchmarks(quick: bool = False, style: str = hub.DEFAULT_STYLE) -> list[Benchmark]:
    return [imports(quick), first(quick, style)]


def main() -> None:
    command(__doc__, make_benchmarks, style=STYLE)


if __name__ == "__main__":
    main()
