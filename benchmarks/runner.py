"""Benchmarks: cases, each in a process of its own, take turns; time and memory of each.

A case is a function without arguments that prepares a `Workload`; it is called in its own process,
and the others sleep while it has its turn. Ratios are of medians within one benchmark of one run.
"""

import contextlib
import multiprocessing
import os
import re
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # not loaded: the processes that start others are to be small
    import numpy as np


class Unavailable(Exception):
    """A case cannot run here; the text says why, for the table."""


@dataclass(frozen=True)
class Workload:
    """What a case does in one turn.

    `run` does it once. It gives what it drew (a float32 array in [-1, 1]), a `Timed` if it took the
    time itself, or anything else, which is dropped. `amounts` says by unit how much one run does,
    for example {"images": 4, "TFLOP": 0.8}; the first is what cases are compared by. A turn
    is `again` runs, each of them timed: of a short one the first finds caches cold.
    """

    run: Callable[[], object]
    amounts: dict[str, float] = field(default_factory=dict)
    note: str = ""
    again: int = 1


@dataclass(frozen=True)
class Timed:
    """Seconds that a run measured itself, and MB where the work was done by another process."""

    seconds: float
    peak_mb: float | None = None


@dataclass(frozen=True)
class Case:
    """Its name, and what prepares it.

    With `compiles` a process before fills the cache of compiled graphs: memory is to be a user's.
    """

    name: str
    prepare: Callable[[], Workload]
    compiles: bool = False


@dataclass
class Figures:
    """What was measured of a case; `missing` says why if nothing was.

    `cpu_seconds` are those of all threads, which other work on the machine changes less; there are
    none of runs that measure themselves.
    """

    seconds: list[float] = field(default_factory=list)
    peak_mb: float = 0.0
    amounts: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    missing: str = ""
    failed: bool = False
    cpu_seconds: list[float] = field(default_factory=list)
    output: "np.ndarray | None" = None

    @property
    def median(self) -> float:
        """Seconds of a run."""
        return statistics.median(self.seconds)

    def rate(self, unit: str) -> float:
        """How much of `unit` is done in a second."""
        return self.amounts[unit] / self.median


@dataclass(frozen=True)
class Benchmark:
    """Cases for one task; the first is the one that the others are measured by.

    With `ratios` off they do different things, and none is measured by another. `warm` runs of each
    are not counted. `compare` adds notes to the figures of those that ran, by name.
    """

    title: str
    cases: tuple[Case, ...]
    rounds: int = 7
    warm: int = 1
    ratios: bool = True
    compare: Callable[[dict[str, Figures]], None] | None = None


class Worker:
    """A case's process; a context manager, after which the process has ended."""

    def __init__(self, case: Case):
        self.case, self.figures = case, Figures()

    def __enter__(self) -> "Worker":
        spawning = multiprocessing.get_context("spawn")  # a fork would begin with our memory
        self.pipe, theirs = spawning.Pipe()
        self.process = spawning.Process(target=serve, args=(theirs, self.case.prepare))
        self.process.start()
        theirs.close()  # so that the pipe ends with the process
        answer = self.receive()
        if isinstance(answer, str):
            self.figures.missing = answer
        elif answer is not None:
            self.figures.amounts, note = answer
            self.figures.notes += [note] if note else []
        return self

    def __exit__(self, *error) -> None:
        if not self.figures.missing and error[0] is None:
            self.send("end")
            self.process.join()
        self.process.kill()
        self.process.join()
        self.pipe.close()

    def turn(self, counts: bool) -> None:
        """Lets the case have a turn, whose times count or only warm it up."""
        if not self.figures.missing and (took := self.ask("turn")) and counts:
            seconds, cpu_seconds, self.figures.peak_mb = took
            self.figures.seconds += seconds
            self.figures.cpu_seconds += cpu_seconds

    def show(self) -> None:
        """Fetches what the last run drew."""
        if not self.figures.missing:
            self.figures.output = self.ask("show")

    def ask(self, order: str):
        self.send(order)
        return self.receive()

    def send(self, order: str) -> None:
        with contextlib.suppress(BrokenPipeError):  # the process died; `receive` notes that
            self.pipe.send(order)

    def receive(self):
        """The process's answer; None, and noted, if it has died."""
        try:
            return self.pipe.recv()
        except (EOFError, ConnectionResetError):
            self.process.join()
            self.figures.missing = f"failed: its process ended with {self.process.exitcode}"
            self.figures.failed = True
            return None


def serve(pipe: Connection, prepare: Callable[[], Workload]) -> None:
    """A case's process: prepares, then runs whenever it is its turn."""
    try:
        workload = prepare()
    except Unavailable as reason:
        pipe.send(str(reason))
        return
    pipe.send((workload.amounts, workload.note))
    result = None
    for order in orders(pipe):
        if order == "show":
            pipe.send(result if type(result).__name__ == "ndarray" else None)
            continue
        seconds, cpu_seconds, peak = [], [], None
        for _ in range(workload.again):
            begin, cpu = time.perf_counter(), time.process_time()
            result = workload.run()
            took, cpu = time.perf_counter() - begin, time.process_time() - cpu
            if isinstance(result, Timed):
                took, peak = result.seconds, result.peak_mb
            else:
                cpu_seconds.append(cpu)
            seconds.append(took)
        pipe.send((seconds, cpu_seconds, peak or peak_mb()))


def orders(pipe: Connection) -> Iterator[str]:
    """What the benchmark asks for, until it ends or its process is gone."""
    with contextlib.suppress(EOFError):
        while (order := pipe.recv()) != "end":
            yield order


def peak_mb() -> float:
    """The most memory that this process has held.

    Not by getrusage where Linux knows better: its figure begins with that of the parent.
    """
    status = Path("/proc/self/status")
    if status.exists() and (found := re.search(r"VmHWM:\s+(\d+) kB", status.read_text())):
        return int(found[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / rusage_unit()


def rusage_unit() -> int:
    """How many of getrusage's units are a MB: it counts bytes on macOS, kB elsewhere."""
    return 2**20 if sys.platform == "darwin" else 2**10


def run(benchmark: Benchmark, rounds: int | None = None) -> dict[str, Figures]:
    """Runs a benchmark, of `rounds` turns each if given: figures by case."""
    with contextlib.ExitStack() as stack:
        workers = []
        for case in benchmark.cases:
            if case.compiles:
                with Worker(case):
                    pass
            workers.append(stack.enter_context(Worker(case)))
        for turn in range(benchmark.warm + (rounds or benchmark.rounds)):
            for worker in workers:
                worker.turn(counts=turn >= benchmark.warm)
        if benchmark.compare:
            for worker in workers:
                worker.show()
    figures = {worker.case.name: worker.figures for worker in workers}
    if benchmark.compare:
        benchmark.compare({name: found for name, found in figures.items() if not found.missing})
    return figures


def machine() -> dict:
    """What this is measured on, and how busy it was before."""
    import torch

    from toonify.engines import cores
    from training.core import run_info

    info = Path("/proc/cpuinfo")
    text = info.read_text() if info.exists() else ""
    flags = next((row.split() for row in text.splitlines() if row.startswith("flags")), [])
    return {
        "processor": run_info.processor(torch.device("cpu")),
        "cores": cores(),
        "threads": torch.get_num_threads(),
        "avx512_bf16": "avx512_bf16" in flags,
        "amx_bf16": "amx_bf16" in flags,
        **run_info.versions(("torch", "openvino")),
        "load": round(os.getloadavg()[0], 1),
    }
