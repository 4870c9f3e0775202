"""Blender in processes of its own: starts them, asks for heads, and starts them again."""

import argparse
import hashlib
import json
import os
import queue
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from training.prepare.heads.table import HeadSet

ROOT = Path(__file__).resolve().parents[3]
PYTHON_VARIABLE = "TOONIFY_BLENDER_PYTHON"
PROGRAM = "training.prepare.heads.blender.worker"
# Blender keeps some memory of every scene; a process makes this many heads.
HEADS_A_PROCESS = 40
CHECK = """
from importlib.util import find_spec
for name in ("bpy", "numpy", "scipy", "skimage", "PIL", "OpenEXR"):
    if find_spec(name) is None:
        raise SystemExit("no module named " + name)
"""


class BlenderMissing(RuntimeError):
    """The Python that was named cannot render heads."""


def check_python(python: str | None) -> None:
    """Raises BlenderMissing unless the Python has all that the worker imports."""
    if not python:
        raise BlenderMissing(f"--blender-python: expected a Python with bpy, or ${PYTHON_VARIABLE}")
    try:
        subprocess.run([python, "-c", CHECK], check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        reason = (getattr(error, "stderr", "") or str(error)).strip().splitlines()[-1]
        raise BlenderMissing(
            f"--blender-python {python}: expected a Python 3.11 with bpy==5.0.1, numpy, scipy, "
            f"scikit-image, pillow and OpenEXR ({reason})"
        ) from error


def code_version() -> str:
    """Eight digits that change with the code of this package: it may draw a seed differently."""
    digest = hashlib.sha256()
    for file in sorted(Path(__file__).parent.rglob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:8]


def add_blender_options(parser: argparse.ArgumentParser) -> None:
    """Adds --threads and --blender-python."""
    parser.add_argument("--threads", type=int, default=1, help="threads of each (default: 1)")
    parser.add_argument(
        "--blender-python",
        default=os.environ.get(PYTHON_VARIABLE),
        help=f"Python with bpy (default: ${PYTHON_VARIABLE})",
    )


def blender_command(options: argparse.Namespace) -> list[str]:
    """The command that starts a worker."""
    return [options.blender_python, "-m", PROGRAM, "--threads", str(options.threads)]


class Worker:
    """One Blender process; a crash ends a head, not the run."""

    def __init__(self, command: list[str]):
        self.command, self.process, self.made = command, None, 0

    def _start(self) -> None:
        path = os.pathsep.join(p for p in (str(ROOT), os.environ.get("PYTHONPATH")) if p)
        self.process = subprocess.Popen(
            self.command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": path},
        )
        self.made = 0

    def make(self, job: dict) -> str:
        """Has one head made; the error, or an empty text."""
        if self.process is None:
            self._start()
        try:
            self.process.stdin.write(json.dumps(job) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            return self._crashed()
        for line in self.process.stdout:
            if line.startswith("DONE "):
                self.made += 1
                if self.made >= HEADS_A_PROCESS:
                    self.close()
                return json.loads(line[5:])["error"]
        return self._crashed()

    def _crashed(self) -> str:
        code = self.process.wait()
        self.process = None
        return f"Blender stopped with exit code {code}"

    def close(self) -> None:
        if self.process is not None:
            self.process.stdin.close()
            self.process.wait()
            self.process = None


def make_heads(
    heads: HeadSet, command: list[str], count: int, jobs: dict[int | str, dict]
) -> Counter:
    """Has heads made, and prints each of them or why it failed.

    Args:
        heads: The set that the heads belong to.
        command: Starts a worker.
        count: Number of workers at a time.
        jobs: Seed or name of a head -> what the worker is asked for, apart from the folder.

    Returns:
        How many heads were "made", and how many "failed".
    """
    tally, version = Counter(), code_version()
    asked = {str(heads.partial(name).resolve()): name for name in jobs}

    def done(job: dict, error: str) -> None:
        name = asked[job["folder"]]
        shown = f"seed {name}" if isinstance(name, int) else name
        if error:
            tally["failed"] += 1
            print(f"{shown}: {error.strip().splitlines()[-1]}", file=sys.stderr, flush=True)
            return
        heads.finish(name, version)
        heads.write_table()
        tally["made"] += 1
        print(f"{shown}: made ({tally['made']} of {len(jobs)})", flush=True)

    run_workers(
        command, count, [jobs[name] | {"folder": folder} for folder, name in asked.items()], done
    )
    return tally


def run_workers(
    command: list[str], count: int, jobs: list[dict], done: Callable[[dict, str], None]
) -> None:
    """Gives jobs to workers; calls `done` with a job and its error in this thread.

    Args:
        command: Starts a worker.
        count: Number of workers at a time.
        jobs: JSON objects for the workers, in order.
        done: Called after every job; the error is an empty text when there was none.
    """
    waiting, results = queue.SimpleQueue(), queue.SimpleQueue()
    for job in jobs:
        waiting.put(job)

    def serve():
        worker = Worker(command)
        try:
            while True:
                try:
                    job = waiting.get_nowait()
                except queue.Empty:
                    return
                results.put((job, worker.make(job)))
        finally:
            worker.close()

    for _ in range(min(count, len(jobs))):
        threading.Thread(target=serve, daemon=True).start()
    for _ in jobs:
        done(*results.get())
