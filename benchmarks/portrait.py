"""Time and memory of one 1024 px face: plain eager torch in float32 beside the engine.

    python -m benchmarks.portrait [--rounds 7]

Both run in one process, turn by turn, on every core; the peak of resident memory is that of a
process of its own for each, which only loads the network and draws.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time

import torch


def runners(which: str) -> dict:
    """Name -> function of w+ for what is to be timed: "torch", "engine" or "both"."""
    from toonify.pipelines.stylegan import StyleGANPipeline

    pipe = StyleGANPipeline.from_pretrained(device="cpu")
    found = {}
    if which != "engine":
        synthesis = pipe.network("base").synthesis
        found["torch"] = torch.inference_mode()(lambda ws: synthesis(ws))
    if which != "torch":
        found["engine"] = pipe.engine(None)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--alone", choices=("torch", "engine"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    ws = torch.randn(1, 23, 512, generator=torch.Generator().manual_seed(0)) * 0.5
    if options.alone:
        (run,) = runners(options.alone).values()
        for _ in range(3):
            run(ws)
        print(json.dumps(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss))
        return
    memory = {}
    for name in ("torch", "engine"):
        command = [sys.executable, "-m", "benchmarks.portrait", "--alone", name]
        subprocess.run(command, check=True, capture_output=True)  # fills the cache of graphs
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        memory[name] = int(done.stdout.splitlines()[-1]) / 1024
    found, seconds, drawn = runners("both"), {"torch": [], "engine": []}, {}
    for turn in range(options.rounds + 1):
        for name, run in found.items():
            begin = time.perf_counter()
            drawn[name] = run(ws)
            if turn:  # the first warms up
                seconds[name].append(time.perf_counter() - begin)
    for name, took in seconds.items():
        median, low, high = statistics.median(took), min(took), max(took)
        print(
            f"{name:<7} {median:.3f} s ({low:.3f} to {high:.3f}), peak {memory[name]:.0f} MB"
            f" {found[name].name if name == 'engine' else 'eager float32'}"
        )
    ratios = [a / b for a, b in zip(seconds["torch"], seconds["engine"], strict=True)]
    print(f"{statistics.median(ratios):.2f} times as fast")
    print(f"largest difference {float((drawn['torch'] - drawn['engine']).abs().max()):.1e}")


if __name__ == "__main__":
    main()
