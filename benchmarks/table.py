"""What races found, as a table in Markdown and as JSON; and the command that prints them."""

import argparse
import sys
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path

from benchmarks import contenders
from benchmarks.contenders import Figures, Race
from toonify import hub

HEAD = """\
| | median time | a second | times as fast | peak memory | remarks |
|---|---|---|---|---|---|"""
NOTE = (
    "Times are medians, and the lowest and highest of them. *Times as fast* are ratios of medians"
    " within one group, whose contenders took turns in one run."
)
BUSY = 0.3  # load a core before the run, above which times are not those of a quiet machine


def command(parser: argparse.ArgumentParser, races: Callable[..., Iterable[Race]]) -> None:
    """Parses the command line of one benchmark, runs `races(options)` and prints the table."""
    parser.add_argument("--rounds", type=positive, help="turns of each contender that count")
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    options = parser.parse_args()
    report(races(options), options.rounds, options.json)


def style_command(about: str, races: Callable[[str], Iterable[Race]]) -> None:
    """The command of a benchmark with an option for the style; `about` is its docstring."""
    parser = argparse.ArgumentParser(description=about.split("\n")[0])
    parser.add_argument("--style", default=hub.DEFAULT_STYLE, help="a name, or a folder")
    command(parser, lambda options: races(options.style))


def report(races: Iterable[Race], rounds: int | None, file: Path | None) -> None:
    """Runs races, prints each as it ends, writes `file`; exits with 1 if a contender failed."""
    from training.core import records

    machine = contenders.machine()
    print(said(machine), NOTE, HEAD, sep="\n\n", flush=True)
    found, failed = {}, False
    for race in races:
        figures = contenders.run(race, rounds)
        print(rows(race, figures), flush=True)
        found[race.title] = as_json(race, figures)
        failed |= any(one.failed for one in figures.values())
        if file:  # after each, so that a run which is stopped has what it measured
            records.write({"machine": machine, "races": found}, file)
    if failed:
        sys.exit(1)


def positive(text: str) -> int:
    """A whole number from 1 on, for argparse."""
    if not text.isdigit() or not int(text):
        raise argparse.ArgumentTypeError(f"{text}: expected a whole number from 1 on")
    return int(text)


def said(machine: dict) -> str:
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


def rows(race: Race, figures: dict[str, Figures]) -> str:
    """A race as rows of the table, below a row with its title."""
    lines = [f"| **{race.title}** | | | | | |"]
    for name, found in figures.items():
        if found.missing:
            lines.append(f"| {name} | – | – | – | – | {found.missing} |")
            continue
        times = (
            f"{time(found.median)} ({time(min(found.seconds))} to {time(max(found.seconds))})"
            if len(found.seconds) > 1
            else time(found.median)
        )
        rates = ", ".join(f"{digits(found.rate(unit))} {unit}" for unit in found.amounts)
        ratio = times_as_fast(race, figures, name)
        ratio = "" if ratio is None else f"{ratio:.2f}×" if ratio < 10 else f"{ratio:.1f}×"
        remarks = "; ".join(found.remarks)
        lines.append(
            f"| {name} | {times} | {rates} | {ratio} | {found.peak_mb:.0f} MB | {remarks} |"
        )
    return "\n".join(lines)


def times_as_fast(race: Race, figures: dict[str, Figures], name: str) -> float | None:
    """How many times as much a contender does in a second as the race's first.

    None if they do not do the same, or the first did not run.
    """
    first, found = next(iter(figures.values())), figures[name]
    units = [next(iter(one.amounts), "") for one in (first, found)]
    if not race.ratios or first.missing or found.missing or units[0] != units[1]:
        return None
    amounts = [one.amounts.get(units[0], 1.0) for one in (first, found)]
    return (amounts[1] / found.median) / (amounts[0] / first.median)


def as_json(race: Race, figures: dict[str, Figures]) -> dict[str, dict]:
    """Figures by contender as plain values."""
    out = {}
    for name, found in figures.items():
        out[name] = {key: value for key, value in asdict(found).items() if key != "drawn"}
        if not found.missing:
            out[name] |= {
                "median": found.median,
                "rates": {unit: found.rate(unit) for unit in found.amounts},
                "times_as_fast": times_as_fast(race, figures, name),
            }
    return out


def time(seconds: float) -> str:
    """Seconds for people: three digits, in ms below one second."""
    return f"{digits(seconds)} s" if seconds >= 1 else f"{digits(1000 * seconds)} ms"


def digits(value: float) -> str:
    """A number with three digits, and no exponent."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"
