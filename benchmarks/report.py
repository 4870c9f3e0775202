"""What benchmarks found, as a table in Markdown and as JSON; and the command that prints them."""

import argparse
import sys
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path

from benchmarks import runner
from benchmarks.runner import Benchmark, Figures
from toonify import hub

HEAD = """\
| | median time | a second | times as fast | peak memory | notes |
|---|---|---|---|---|---|"""
FOOTNOTE = (
    "Times are medians, and the lowest and highest of them. *Times as fast* are ratios of medians"
    " within one group, whose cases took turns in one run."
)
BUSY = 0.3  # load a core before the run, above which times are not those of a quiet machine


def style_name(text: str) -> str:
    """The name or folder of a style that can be opened, for argparse."""
    try:
        hub.resolve_model(text)
    except (ValueError, OSError) as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return text


STYLE = dict(default=hub.DEFAULT_STYLE, type=style_name, help="name of a style, or its folder")


def command(
    about: str, make_benchmarks: Callable[..., Iterable[Benchmark]], **arguments: dict
) -> None:
    """The command line of one benchmark: runs `make_benchmarks(**options)` and prints the table.

    Args:
        about: The module's docstring.
        arguments: By option, what argparse is to know of it.
    """
    parser = argparse.ArgumentParser(description=about.split("\n")[0])
    for name, settings in arguments.items():
        parser.add_argument("--" + name, **settings)
    parser.add_argument("--rounds", type=positive, help="turns of each case that count")
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    options = vars(parser.parse_args())
    rounds, file = options.pop("rounds"), options.pop("json")
    report(make_benchmarks(**options), rounds, file)


def report(benchmarks: Iterable[Benchmark], rounds: int | None, file: Path | None) -> None:
    """Runs benchmarks, prints each as it ends, writes `file`; exits with 1 if a case failed."""
    from training.core import records

    machine = runner.machine()
    print(describe_machine(machine), FOOTNOTE, HEAD, sep="\n\n", flush=True)
    found, failed = {}, False
    for benchmark in benchmarks:
        figures = runner.run(benchmark, rounds)
        print(format_rows(benchmark, figures), flush=True)
        found[benchmark.title] = to_json(benchmark, figures)
        failed |= any(one.failed for one in figures.values())
        if file:  # after each, so that a run which is stopped has what it measured
            records.write({"machine": machine, "benchmarks": found}, file)
    if failed:
        sys.exit(1)


def positive(text: str) -> int:
    """A whole number from 1 on, for argparse."""
    if not text.isdigit() or not int(text):
        raise argparse.ArgumentTypeError(f"{text}: expected a whole number from 1 on")
    return int(text)


def describe_machine(machine: dict) -> str:
    """The machine in a sentence, with a warning of what makes figures worth less."""
    units = " and ".join(n for n in ("avx512_bf16", "amx_bf16") if machine[n]) or "no bf16 units"
    text = (
        f"Measured on {machine['processor']}: {machine['cores']} cores ({machine['threads']} torch"
        f" threads), {units}, torch {machine['torch']}, openvino {machine.get('openvino', 'none')}."
    )
    if machine["threads"] < machine["cores"]:
        text += " **PyTorch had fewer threads than the engine**: unset OMP_NUM_THREADS to be fair."
    if machine["load"] > BUSY * machine["cores"]:
        text += f" **Other work was running** (load {machine['load']}): only ratios say something."
    return text


def format_rows(benchmark: Benchmark, figures: dict[str, Figures]) -> str:
    """A benchmark as rows of the table, below a row with its title."""
    lines = [f"| **{benchmark.title}** | | | | | |"]
    for name, found in figures.items():
        if found.missing:
            lines.append(f"| {name} | – | – | – | – | {found.missing} |")
            continue
        times = format_seconds(found.median)
        if len(found.seconds) > 1:
            least, most = (format_seconds(end(found.seconds)) for end in (min, max))
            times += f" ({least} to {most})"
        rates = ", ".join(f"{format_digits(found.rate(unit))} {unit}" for unit in found.amounts)
        ratio = speedup(benchmark, figures, name)
        ratio = "" if ratio is None else f"{ratio:.2f}×" if ratio < 10 else f"{ratio:.1f}×"
        notes = "; ".join(found.notes)
        lines.append(f"| {name} | {times} | {rates} | {ratio} | {found.peak_mb:.0f} MB | {notes} |")
    return "\n".join(lines)


def speedup(benchmark: Benchmark, figures: dict[str, Figures], name: str) -> float | None:
    """How many times as much a case does in a second as the benchmark's first.

    None if they do not do the same, or the first did not run.
    """
    first, found = next(iter(figures.values())), figures[name]
    units = [next(iter(one.amounts), "") for one in (first, found)]
    if not benchmark.ratios or first.missing or found.missing or units[0] != units[1]:
        return None
    amounts = [one.amounts.get(units[0], 1.0) for one in (first, found)]
    return (amounts[1] / found.median) / (amounts[0] / first.median)


def to_json(benchmark: Benchmark, figures: dict[str, Figures]) -> dict[str, dict]:
    """Figures by case as plain values."""
    out = {}
    for name, found in figures.items():
        out[name] = {key: value for key, value in asdict(found).items() if key != "output"}
        if not found.missing:
            out[name] |= {
                "median": found.median,
                "rates": {unit: found.rate(unit) for unit in found.amounts},
                "times_as_fast": speedup(benchmark, figures, name),
            }
    return out


def format_seconds(seconds: float) -> str:
    """Seconds for people: three digits, in ms below one second."""
    return f"{format_digits(seconds)} s" if seconds >= 1 else f"{format_digits(1000 * seconds)} ms"


def format_digits(value: float) -> str:
    """A number with three digits, and no exponent."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"
