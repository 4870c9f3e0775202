"""Learns in which directions of w a cartoon face gets glasses, longer hair, a smile, fairer skin.

    python -m training.toongan.directions MODEL --data DATA --out FILE [--samples 4000] [--seed 0]

DATA is what `training.prepare.cartoon_faces` wrote: pictures and their table. A reader of
attributes (`training.toongan.attribute_classifier`) reads the faces of random w; a
direction is how w changes with a trait while all other traits stay as they are. It is tried out on
faces that were not learned from: it moves the rows of w+ that move least of the other traits,
and amount 1 is brought towards one standard deviation, as for portraits. Traits that the data do
not have, that are not read well enough, that generated faces do not show, or whose direction does
not move them are left out, and it is said why.

The traits are those of `training.toongan.traits`, or with `--trait` those written there.
FILE is safetensors that `toonify.latents.files.load_directions` reads: lay it beside the weights as
`directions.safetensors`. `--sheet FOLDER` draws each direction on a few faces, to look at.

`--combinations [COLUMN ...]` counts how many faces combine attributes as no picture of DATA does:
see `training.toongan.novelty`.
"""

import argparse
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from toonify import images, latents
from toonify.pipelines.toongan import ToonGANPipeline
from training.core.trainer import pick_device
from training.metrics import contact_sheet
from training.prepare.cartoon_faces import read_attributes
from training.stylegan import directions
from training.toongan import attribute_classifier, novelty
from training.toongan import traits as toon_traits
from training.toongan.attribute_classifier import HeldOut, Reader, Sight
from training.toongan.traits import Trait

LEAST = 0.9  # share of held-out pairs that a trait's signal has to put in the right order
FEWEST = 20  # generated faces at either end of a trait
TRIED = 48  # faces that directions are tried out on
SHOWN = 4  # of them, on a sheet
SPLITS = (16, 32)  # px: sizes of features from which on, or below which, rows of w+ may move alone
STIRS = 0.25  # deviations of its own trait that a direction has to move
CHUNK = 64  # faces that are drawn at once
ENOUGH = 0.5  # of what all rows move, that some of them must move to be taken instead


# Reading ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Readings:
    """Reads the faces that a generator draws; `spread` is a trait's deviation among samples."""

    pipe: ToonGANPipeline
    sight: Sight
    reader: Reader
    traits: dict[str, Trait]
    spread: dict[str, float]

    def scores(self, ws: torch.Tensor) -> torch.Tensor:
        """(n, scores) of w+ (n, L, D)."""
        seen = [self.sight(self.pipe.draw(part)) for part in ws.split(CHUNK)]
        return self.reader.scores(torch.cat(seen))

    def moved(self, ws: torch.Tensor, direction: latents.Direction) -> dict[str, float]:
        """By how many deviations amount 1 moves each trait, on average over faces w+ (n, L, D)."""
        low, high = (
            self.scores(latents.edit(ws, direction.vector, amount, direction.rows))
            for amount in (-1.0, 1.0)
        )
        return {
            name: float((trait.signal(self.reader, high) - trait.signal(self.reader, low)).mean())
            / (2 * self.spread[name])
            for name, trait in self.traits.items()
        }


def learn_reader(
    data: Path, count: int, seed: int, sight: Sight
) -> tuple[Reader, HeldOut, dict[str, list]]:
    """The reader of up to `count` pictures of a data set, what it was tried on, the whole table.

    Places of what is held out are rows of the table.
    """
    names, table = read_attributes(data)
    chosen = np.random.default_rng(seed).permutation(len(table["file"]))[:count]
    opened = (images.load(data / table["file"][at]) for at in chosen)
    seen = sight(tqdm(opened, "reading the data", len(chosen), unit="picture"))
    some = {column: [values[at] for at in chosen] for column, values in table.items()}
    reader, held = attribute_classifier.learn(seen, some, ["style", *names], seed)
    return reader, HeldOut(chosen[held.places], held.scores, held.truth), table


def ordered(truth: torch.Tensor, signal: torch.Tensor) -> float:
    """The share of pairs of unlike truth (n,) that the signal (n,) orders alike; 0.5 is chance.

    Truths that are nan take no part; nan if no pair is left.
    """
    known = truth.isfinite()
    truth, signal = truth[known], signal[known]
    unlike = (truth[:, None] - truth).sign()
    alike = (unlike * (signal[:, None] - signal).sign())[unlike > 0]
    return float((alike.double().mean() + 1) / 2)


def readable(
    traits: dict[str, Trait], reader: Reader, held: HeldOut, asked: bool
) -> tuple[dict[str, Trait], dict[str, float], list[str]]:
    """The traits that can be read; how well, by name, all that the data have; what is left out.

    ValueError if nothing is left, or if the data do not have a trait that was `asked` for.
    """
    kept, shares, notes = {}, {}, []
    for name, trait in traits.items():
        if not trait.parts(reader):
            columns = " or ".join(clause.column for clause in trait.clauses)
            if asked:
                raise ValueError(
                    f"--trait {name}: the table has no column {columns} with such variants;"
                    f" columns are {', '.join(reader.variants)}"
                )
            continue
        truth, signal = trait.told(reader, held.truth), trait.signal(reader, held.scores)
        shares[name] = ordered(truth, signal)
        if shares[name] >= LEAST:
            kept[name] = trait
        else:
            notes.append(
                f"{name} is left out: {100 * shares[name]:.1f} % of held-out pairs are read in the"
                f" right order, expected {100 * LEAST:.0f} %"
            )
    if not kept:
        raise ValueError("; ".join(notes) or "the table has no column for any of the traits")
    return kept, shares, notes


def sampled(pipe: ToonGANPipeline, count: int, seed: int) -> torch.Tensor:
    """w+ (count, L, D) of consecutive seeds, not truncated."""
    starts = tqdm(range(0, count, CHUNK), "mapping noise", leave=False, delay=2)
    return torch.cat([pipe.latents(min(CHUNK, count - start), seed + start) for start in starts])


# Learning directions --------------------------------------------------------------------------


def fit(
    w: torch.Tensor, scores: torch.Tensor, traits: dict[str, Trait], reader: Reader, last: int
) -> tuple[dict[str, latents.Direction], list[str]]:
    """Directions by name, in all rows up to the `last`, from samples w (n, D) and their scores.

    A direction is how w changes, on average, with one deviation of its trait while the others stay:
    a regression of w on the traits, not of a trait on w. The latter finds what tells a trait best,
    which may be where w hardly varies and the generator answers to nothing (Haufe et al., "On the
    interpretation of weight vectors of linear models", NeuroImage 2014). The notes say which traits
    are left out.
    """
    numbers = {column: reader.read(column, scores) for column in reader.variants}
    signals, notes = {}, []
    for name, trait in traits.items():
        told = trait.told(reader, numbers)
        ends = int((told > 0).sum()), int((told < 0).sum())
        if min(ends) < FEWEST:
            notes.append(
                f"{name} is left out: of {len(w)} faces {ends[0]} have it and {ends[1]} have not,"
                f" expected {FEWEST} each"
            )
            continue
        signal = trait.signal(reader, scores).double()
        signals[name] = (signal - signal.mean()) / signal.std()
    if not signals:
        return {}, notes
    centered = w.double() - w.double().mean(0)
    changes = torch.linalg.lstsq(torch.stack(list(signals.values()), 1), centered).solution
    found = {}
    for (name, signal), change in zip(signals.items(), changes.float(), strict=True):
        # As far as a trait that is predicted from w changes by one deviation: further than w does
        # on average, for a trait that is there or not.
        normal, size = latents.fit_direction(w, signal)
        further = size / max(float(normal @ change), 1e-9)
        vector = change * min(max(further, 1.0), 2.0)
        found[name] = latents.Direction(name, traits[name].label, vector, (0, last))
    return found, notes


def ranges(pipe: ToonGANPipeline) -> list[tuple[int, int]]:
    """All rows of w+; then those of small features and those of large ones, at each split."""
    last = pipe.generator.num_ws - 1
    rows = [pipe.generator.first_row(side) for side in SPLITS]
    return [(0, last), *(part for row in rows for part in ((0, row - 1), (row, last)))]


def settle(readings: Readings, ws: torch.Tensor, direction: latents.Direction) -> latents.Direction:
    """The direction in the rows that move least else, brought towards one deviation."""
    own, tried = direction.name, []
    for rows in ranges(readings.pipe):
        part = latents.Direction(own, direction.label, direction.vector, rows)
        moved = readings.moved(ws, part)
        others = math.hypot(*(size for name, size in moved.items() if name != own))
        tried.append((part, moved[own], others / max(moved[own], 1e-9)))
    most = tried[0][1]
    enough = [one for one in tried if one[1] >= ENOUGH * most] if most > 0 else tried[:1]
    part, moved, _ = min(enough, key=lambda one: one[2])
    return directions.scaled(part, moved)


def keep_effective(
    readings: Readings, ws: torch.Tensor, found: dict[str, latents.Direction]
) -> tuple[dict[str, dict[str, float]], list[str]]:
    """Settles directions on faces w+ (n, L, D); removes those that do not move their trait.

    Returns what amount 1 of each direction moves, by trait, and notes on those removed.
    """
    moved, notes = {}, []
    for name in tqdm(list(found), "trying directions", unit="direction"):
        settled = settle(readings, ws, found.pop(name))
        sizes = readings.moved(ws, settled)
        if sizes[name] >= STIRS:
            found[name], moved[name] = settled, sizes
        else:
            notes.append(
                f"{name} is left out: its direction moves {sizes[name]:.2f} deviations, expected"
                f" {STIRS} or more"
            )
    return moved, notes


def make(
    pipe: ToonGANPipeline,
    data: Path,
    out: Path,
    traits: dict[str, Trait],
    *,
    samples: int = 4000,
    pictures: int = 6000,
    seed: int = 0,
    asked: bool = False,
    sheet: Path | None = None,
    columns: list[str] | None = None,
    device: torch.device | str = "cpu",
) -> tuple[dict[str, dict[str, float]], list[str]]:
    """Reads, learns, tries out and writes; what each direction moves by trait, and a report.

    `columns` are those whose combinations are counted, an empty list all that are read well. See
    above; ValueError for what cannot be learned.
    """
    sight = Sight(device)
    reader, held, table = learn_reader(data, pictures, seed, sight)
    kept, shares, notes = readable(traits, reader, held, asked)
    report = [
        "read rightly of held-out pictures:",
        *(f"  {column}: {held.accuracy(reader, column):.3f}" for column in reader.variants),
        "held-out pairs in the right order:",
        *(f"  {name}: {share:.3f}" for name, share in shares.items()),
        *notes,
    ]
    if columns is not None:  # before the long work, since it may be refused
        columns = novelty.columns_of(columns, reader, held)
    ws = sampled(pipe, samples, seed)
    parts = tqdm(ws.split(CHUNK), "reading generated faces", unit=f"{CHUNK} faces")
    scores = reader.scores(torch.cat([sight(pipe.draw(part)) for part in parts]))
    found, unshown = fit(ws[:, 0], scores, kept, reader, pipe.generator.num_ws - 1)
    report += unshown
    kept = {name: kept[name] for name in found}
    spread = {name: float(trait.signal(reader, scores).std()) for name, trait in kept.items()}
    readings = Readings(pipe, sight, reader, kept, spread)
    fresh = pipe.latents(TRIED, seed + samples)
    moved, left = keep_effective(readings, fresh, found)
    report += left
    if not found:
        raise ValueError("; ".join([*unshown, *left]))
    for name in found if sheet else ():
        page = directions.sheet(pipe.draw, fresh[:SHOWN], found[name])
        images.save(page, sheet / f"{name}.jpg", quality=90)
    directions.save(list(found.values()), out)
    report += table_of(moved, found)
    if columns is not None:
        count = novelty.count(table, columns, reader, held, scores)
        report += ["", count.told()]
        if sheet and len(count.new):
            page = examples(count, pipe, data, seed)
            images.save(page, sheet / "combinations.jpg", quality=90)
    return moved, report


# What is shown ----------------------------------------------------------------------------------


def table_of(moved: dict[str, dict[str, float]], found: dict[str, latents.Direction]) -> list[str]:
    """Lines: what amount 1 of each direction moves, a column for each trait."""
    wide = max(map(len, moved)) + 2
    lines = [
        "moved by amount 1, in standard deviations among generated faces (rows of w+ at the end):",
        " " * wide + "".join(f"{name:>{max(wide, 8)}}" for name in moved),
    ]
    for name, sizes in moved.items():
        cells = "".join(f"{sizes[other]:>{max(wide, 8)}.2f}" for other in moved)
        first, last = found[name].rows
        lines.append(f"{name:<{wide}}{cells}  {first} to {last}")
    return lines


def examples(
    count: novelty.Count, pipe: ToonGANPipeline, data: Path, seed: int, most: int = 32
) -> Image.Image:
    """Four pairs a row: a face of a new combination, the picture whose combination is nearest."""
    pairs: list[Image.Image] = []
    for face, file in list(zip(count.new, count.nearest, strict=True))[:most]:
        pairs += [*pipe(1, seed + int(face)), images.load(data / file)]
    rows: Iterable[list[Image.Image]] = (pairs[i : i + 8] for i in range(0, len(pairs), 8))
    return contact_sheet.sheet(list(rows), pipe.resolution)


# The command ------------------------------------------------------------------------------------


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model", metavar="MODEL", help="folder or name of a ToonGAN")
    parser.add_argument("--data", required=True, type=Path, help="folder with attributes.csv")
    parser.add_argument("--out", required=True, type=Path, help="safetensors file to write")
    parser.add_argument(
        "--samples", type=int, default=4000, help="faces to learn from (default 4000)"
    )
    parser.add_argument(
        "--pictures", type=int, default=6000, help="of DATA, to learn reading (default 6000)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the first face (default 0)")
    parser.add_argument(
        "--trait",
        action="append",
        metavar="NAME=COLUMN[:HIGH,...[/LOW,...]]",
        help="instead of the usual ones; may be given several times (see toongan/traits.py)",
    )
    parser.add_argument("--sheet", type=Path, metavar="FOLDER", help="draw the directions there")
    parser.add_argument(
        "--combinations",
        nargs="*",
        metavar="COLUMN",
        help="count combinations of these columns that DATA has not (default: all read well)",
    )
    options = parser.parse_args(arguments)
    try:
        for name, least in (("samples", 3 * FEWEST), ("pictures", 10), ("seed", 0)):
            if getattr(options, name) < least:
                raise ValueError(f"--{name} {getattr(options, name)}: expected {least} or more")
        traits = dict(map(toon_traits.parse, options.trait or ())) or toon_traits.TRAITS
        pipe = ToonGANPipeline.from_pretrained(options.model)
        pipe.check_styled(f"MODEL {options.model}")
        _, report = make(
            pipe,
            options.data,
            options.out,
            traits,
            samples=options.samples,
            pictures=options.pictures,
            seed=options.seed,
            asked=bool(options.trait),
            sheet=options.sheet,
            columns=options.combinations,
            device=pick_device(),
        )
    except (ValueError, PermissionError, ConnectionError) as error:
        parser.error(str(error))
    except OSError as error:
        parser.error(f"{error.filename or options.out}: {error.strerror or error}")
    print("\n".join(report))
    print(f"directions written to {options.out}")


if __name__ == "__main__":
    main()
