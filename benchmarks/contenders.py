"""Contenders of one race, each in processes of its own, taken in turns; and the table of it."""

import argparse
import json
import resource
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import torch

from training import provenance, records


def compare(
    module: str,
    parser: argparse.ArgumentParser,
    names: tuple[str, ...],
    shape: tuple[str, ...],
    work: Callable[..., float],
    title: str,
) -> None:
    """Parses the command line of `module`, runs its contenders and prints the table.

    `work(name, *shape)` gives the images/s of one; the first of `names` is what the others are
    measured by. `shape` are the options that say what is run, and may stand in `title`.
    """
    parser.add_argument("--rounds", type=int, default=2, help="processes of each contender")
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    parser.add_argument("--only", choices=names, help=argparse.SUPPRESS)
    options = parser.parse_args()
    chosen = {name: getattr(options, name) for name in shape}
    if options.only:
        rate = work(options.only, *chosen.values())
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps({"images_per_s": round(rate, 3), "peak_mb": round(peak)}))
        return
    found: dict[str, list[dict]] = {name: [] for name in names}
    for _ in range(options.rounds):
        for name in names:
            command = [sys.executable, "-m", module, "--only", name]
            for option, value in chosen.items():
                command += [f"--{option.replace('_', '-')}", str(value)]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            found[name].append(json.loads(done.stdout.splitlines()[-1]))
    figures = {
        name: {
            "images_per_s": statistics.median(row["images_per_s"] for row in rows),
            "peak_mb": max(row["peak_mb"] for row in rows),
        }
        for name, rows in found.items()
    }
    for row in figures.values():
        row["times"] = round(row["images_per_s"] / figures[names[0]]["images_per_s"], 2)
    print(title.format(**chosen))
    print(f"{'':<12} {'images/s':>9} {'peak MB':>8} {'x ' + names[0]:>8}")
    for name, row in figures.items():
        print(f"{name:<12} {row['images_per_s']:>9} {row['peak_mb']:>8} {row['times']:>8}")
    print(json.dumps(machine()))
    if options.json:
        report = {"machine": machine(), "shape": chosen, "figures": figures, "rounds": found}
        records.write(report, options.json)


def machine() -> dict:
    """What this was measured on."""
    info = Path("/proc/cpuinfo")
    text = info.read_text() if info.exists() else ""
    flags = next((row.split() for row in text.splitlines() if row.startswith("flags")), [])
    return {
        "processor": provenance.processor(torch.device("cpu")),
        "threads": torch.get_num_threads(),
        "avx512_bf16": "avx512_bf16" in flags,
        "amx_bf16": "amx_bf16" in flags,
        "torch": torch.__version__,
    }
