"""Learns directions of w along which a cartoon face gets glasses, longer hair, a smile.

    python -m training.toongan.directions MODEL --data DATA --out FILE [--samples 4000] [--seed 0]

DATA is a set of `training.prepare.cartoon_faces`: images and their table. A classifier is trained
on it (`training.toongan.attribute_classifier`) and predicts the attributes of faces of random w. A
direction is how w changes with a trait while all other traits stay the same. It is tried on other
faces: it is applied to the layers of w+ that change the other traits least, and scaled so that
amount 1 is about one standard deviation, as for portraits. Traits that the data do not have, that
are not classified well, that generated faces do not show, or that their direction does not change
are left out, and the report says why.

The traits are those of `training.toongan.traits`, or of `--trait`. FILE is safetensors that
`toonify.latents.load_directions` reads: save it beside the weights as `directions.safetensors`.
`--sheet FOLDER` draws each direction on a few faces.

`--combinations [COLUMN ...]` counts faces with combinations of attributes that no image of DATA
has: see `training.toongan.novelty`.
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
from training.core.device import pick_device
from training.metrics import contact_sheet
from training.prepare.cartoon_faces import read_attributes
from training.stylegan import directions
from training.toongan import attribute_classifier, novelty
from training.toongan import traits as toon_traits
from training.toongan.attribute_classifier import AttributeClassifier, Features, HeldOut
from training.toongan.traits import Trait

MIN_ORDERED = 0.9  # share of held-out pairs that a trait's signal must order correctly
MIN_FACES = 20  # generated faces at each end of a trait
TRIAL_FACES = 48  # faces on which directions are tried
SHEET_FACES = 4  # of them, on a sheet
SPLITS = (16, 32)  # px: resolutions at which layers of w+ are split
MIN_EFFECT = 0.25  # standard deviations that a direction must change its trait by
CHUNK = 64  # faces in a batch
MIN_SHARE = 0.5  # share of the effect of all layers that a part of them must have


# Reading ----------------------------------------------------------------------------------------


def score_faces(
    pipe: ToonGANPipeline, features: Features, classifier: AttributeClassifier, ws: torch.Tensor
) -> torch.Tensor:
    """Scores (n, scores) of generated faces of w+ (n, L, D)."""
    parts = tqdm(ws.split(CHUNK), "classifying generated faces", leave=False, delay=2)
    return classifier.scores(torch.cat([features(pipe.draw(part)) for part in parts]))


@dataclass(frozen=True)
class ToonClassifier:
    """Classifies generated faces; `spread` is the standard deviation of each trait."""

    pipe: ToonGANPipeline
    features: Features
    classifier: AttributeClassifier
    traits: dict[str, Trait]
    spread: dict[str, float]

    def scores(self, ws: torch.Tensor) -> torch.Tensor:
        """(n, scores) of w+ (n, L, D)."""
        return score_faces(self.pipe, self.features, self.classifier, ws)

    def moved(self, ws: torch.Tensor, direction: latents.Direction) -> dict[str, float]:
        """Mean change of each trait by amount 1 over faces w+ (n, L, D), in standard deviations."""
        low, high = (
            self.scores(latents.edit(ws, direction.vector, amount, direction.layers))
            for amount in (-1.0, 1.0)
        )
        return {
            name: float(
                (trait.signal(self.classifier, high) - trait.signal(self.classifier, low)).mean()
            )
            / (2 * self.spread[name])
            for name, trait in self.traits.items()
        }


def train_classifier(
    data: Path, count: int, seed: int, features: Features
) -> tuple[AttributeClassifier, HeldOut, dict[str, list]]:
    """Trains a classifier on up to `count` images.

    Returns the classifier, its held-out images (by row of the table), and the whole table.
    """
    names, table = read_attributes(data)
    chosen = np.random.default_rng(seed).permutation(len(table["file"]))[:count]
    opened = (images.load(data / table["file"][at]) for at in chosen)
    seen = features(tqdm(opened, "reading the data", len(chosen), unit="picture"))
    some = {column: [values[at] for at in chosen] for column, values in table.items()}
    classifier, held = attribute_classifier.train(seen, some, ["style", *names], seed)
    return classifier, HeldOut(chosen[held.places], held.scores, held.truth), table


def ordered(truth: torch.Tensor, signal: torch.Tensor) -> float:
    """Share of pairs of unequal truth (n,) that the signal (n,) orders correctly; 0.5 is chance.

    nan truths are ignored; nan if no pair is left.
    """
    known = truth.isfinite()
    truth, signal = truth[known], signal[known]
    unlike = (truth[:, None] - truth).sign()
    alike = (unlike * (signal[:, None] - signal).sign())[unlike > 0]
    return float((alike.double().mean() + 1) / 2)


def readable(
    traits: dict[str, Trait], classifier: AttributeClassifier, held: HeldOut, requested: bool
) -> tuple[dict[str, Trait], dict[str, float], list[str]]:
    """The traits that are classified well.

    Returns these, the share of correctly ordered pairs of each trait, and notes on the others.

    Raises:
        ValueError: no trait is left, or the data lack a `requested` one.
    """
    kept, shares, notes = {}, {}, []
    for name, trait in traits.items():
        if not trait.parts(classifier):
            columns = " or ".join(clause.column for clause in trait.clauses)
            if requested:
                raise ValueError(
                    f"--trait {name}: the table has no column {columns} with such variants;"
                    f" columns are {', '.join(classifier.variants)}"
                )
            continue
        truth, signal = trait.values(classifier, held.truth), trait.signal(classifier, held.scores)
        shares[name] = ordered(truth, signal)
        if shares[name] >= MIN_ORDERED:
            kept[name] = trait
        else:
            notes.append(
                f"{name} is left out: {100 * shares[name]:.1f} % of held-out pairs are in the"
                f" right order, expected {100 * MIN_ORDERED:.0f} %"
            )
    if not kept:
        raise ValueError("; ".join(notes) or "the table has no column for any of the traits")
    return kept, shares, notes


def sample_latents(pipe: ToonGANPipeline, count: int, seed: int) -> torch.Tensor:
    """w+ (count, L, D) of consecutive seeds, without truncation."""
    starts = tqdm(range(0, count, CHUNK), "mapping noise", leave=False, delay=2)
    return torch.cat([pipe.latents(min(CHUNK, count - start), seed + start) for start in starts])


# Learning directions --------------------------------------------------------------------------


def fit(
    w: torch.Tensor,
    scores: torch.Tensor,
    traits: dict[str, Trait],
    classifier: AttributeClassifier,
    last: int,
) -> tuple[dict[str, latents.Direction], list[str]]:
    """Fits directions, in layers 0 to `last`, to samples w (n, D) and their scores.

    A direction is the mean change of w with one standard deviation of its trait while the others
    stay the same: a regression of w on the traits, not of a trait on w. The latter finds the best
    predictor of a trait, which may be where w hardly varies (Haufe et al., "On the interpretation
    of weight vectors of linear models", NeuroImage 2014).

    Returns the directions by name, and notes on traits left out.
    """
    numbers = {column: classifier.predict(column, scores) for column in classifier.variants}
    signals, notes = {}, []
    for name, trait in traits.items():
        values = trait.values(classifier, numbers)
        ends = int((values > 0).sum()), int((values < 0).sum())
        if min(ends) < MIN_FACES:
            notes.append(
                f"{name} is left out: of {len(w)} faces {ends[0]} have it and {ends[1]} do not,"
                f" expected {MIN_FACES} each"
            )
            continue
        signal = trait.signal(classifier, scores).double()
        signals[name] = (signal - signal.mean()) / signal.std()
    if not signals:
        return {}, notes
    centered = w.double() - w.double().mean(0)
    changes = torch.linalg.lstsq(torch.stack(list(signals.values()), 1), centered).solution
    found = {}
    for (name, signal), change in zip(signals.items(), changes.float(), strict=True):
        # Scaled to change the trait predicted from w by one standard deviation.
        normal, size = latents.fit_direction(w, signal)
        further = size / max(float(normal @ change), 1e-9)
        vector = change * min(max(further, 1.0), 2.0)
        found[name] = latents.Direction(name, traits[name].label, vector, (0, last))
    return found, notes


def ranges(pipe: ToonGANPipeline) -> list[tuple[int, int]]:
    """All layers of w+, then the coarse and the fine ones of each split."""
    last = pipe.generator.num_ws - 1
    firsts = [pipe.generator.first_layer(side) for side in SPLITS]
    return [(0, last), *(part for first in firsts for part in ((0, first - 1), (first, last)))]


def settle(
    toons: ToonClassifier, ws: torch.Tensor, direction: latents.Direction
) -> latents.Direction:
    """The direction in the layers that change other traits least, scaled to one deviation."""
    own, tried = direction.name, []
    for layers in ranges(toons.pipe):
        part = latents.Direction(own, direction.label, direction.vector, layers)
        moved = toons.moved(ws, part)
        others = math.hypot(*(size for name, size in moved.items() if name != own))
        tried.append((part, moved[own], others / max(moved[own], 1e-9)))
    most = tried[0][1]
    enough = [one for one in tried if one[1] >= MIN_SHARE * most] if most > 0 else tried[:1]
    part, moved, _ = min(enough, key=lambda one: one[2])
    return directions.scaled(part, moved)


def keep_effective(
    toons: ToonClassifier, ws: torch.Tensor, found: dict[str, latents.Direction]
) -> tuple[dict[str, dict[str, float]], list[str]]:
    """Settles directions on faces w+ (n, L, D); removes those that do not move their trait.

    Returns what amount 1 of each direction moves, by trait, and notes on those removed.
    """
    moved, notes = {}, []
    for name in tqdm(list(found), "trying directions", unit="direction"):
        settled = settle(toons, ws, found.pop(name))
        sizes = toons.moved(ws, settled)
        if sizes[name] >= MIN_EFFECT:
            found[name], moved[name] = settled, sizes
        else:
            notes.append(
                f"{name} is left out: its direction changes it by {sizes[name]:.2f} deviations,"
                f" expected {MIN_EFFECT} or more"
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
    requested: bool = False,
    sheet: Path | None = None,
    columns: list[str] | None = None,
    device: torch.device | str = "cpu",
) -> tuple[dict[str, dict[str, float]], list[str]]:
    """Learns directions and writes them.

    Args:
        pipe, data, out: the generator, the folder with attributes.csv, the file to write.
        traits: the traits by name.
        samples, pictures: numbers of generated faces and of images to learn from.
        seed: seed of the first face.
        requested: whether a trait that the data lack is an error.
        sheet: folder for sheets; None for none.
        columns: columns whose combinations are counted; [] for all classified well.

    Returns:
        The change of each trait by each direction, and the lines of a report.

    Raises:
        ValueError: no direction can be learned.
    """
    features = Features(device)
    classifier, held, table = train_classifier(data, pictures, seed, features)
    kept, shares, notes = readable(traits, classifier, held, requested)
    report = [*accuracy_lines(classifier, held, shares), *notes]
    if columns is not None:  # may raise, so before the long work
        columns = novelty.select_columns(columns, classifier, held)
    ws = sample_latents(pipe, samples, seed)
    scores = score_faces(pipe, features, classifier, ws)
    found, unshown = fit(ws[:, 0], scores, kept, classifier, pipe.generator.num_ws - 1)
    report += unshown
    spread = {name: float(kept[name].signal(classifier, scores).std()) for name in found}
    kept = {name: kept[name] for name in found}
    fresh = pipe.latents(TRIAL_FACES, seed + samples)
    toons = ToonClassifier(pipe, features, classifier, kept, spread)
    moved, left = keep_effective(toons, fresh, found)
    report += left
    if not found:
        raise ValueError("; ".join([*unshown, *left]))
    for name in found if sheet else ():
        page = directions.sheet(pipe.draw, fresh[:SHEET_FACES], found[name])
        images.save(page, sheet / f"{name}.jpg", quality=90)
    directions.save(list(found.values()), out)
    report += table_of(moved, found)
    if columns is not None:
        count = novelty.count(table, columns, classifier, held, scores)
        report += ["", count.describe()]
        if sheet and len(count.new):
            images.save(examples(count, pipe, data, seed), sheet / "combinations.jpg", quality=90)
    return moved, report


# What is shown ----------------------------------------------------------------------------------


def accuracy_lines(
    classifier: AttributeClassifier, held: HeldOut, shares: dict[str, float]
) -> list[str]:
    """Lines with the accuracy of each column and the ordered pairs of each trait."""
    return [
        "accuracy on held-out images:",
        *(f"  {column}: {held.accuracy(classifier, column):.3f}" for column in classifier.variants),
        "held-out pairs in the right order:",
        *(f"  {name}: {share:.3f}" for name, share in shares.items()),
    ]


def table_of(moved: dict[str, dict[str, float]], found: dict[str, latents.Direction]) -> list[str]:
    """Lines with the change by amount 1 of each direction, a column for each trait."""
    wide = max(map(len, moved)) + 2
    lines = [
        "changes by amount 1, in standard deviations of generated faces (layers of w+ at the end):",
        " " * wide + "".join(f"{name:>{max(wide, 8)}}" for name in moved),
    ]
    for name, sizes in moved.items():
        cells = "".join(f"{sizes[other]:>{max(wide, 8)}.2f}" for other in moved)
        first, last = found[name].layers
        lines.append(f"{name:<{wide}}{cells}  {first} to {last}")
    return lines


def examples(
    count: novelty.Count, pipe: ToonGANPipeline, data: Path, seed: int, most: int = 32
) -> Image.Image:
    """Four pairs a row: a face with a new combination, and the image with the nearest one."""
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
        "--samples", type=int, default=4000, help="generated faces to learn from (default: 4000)"
    )
    parser.add_argument(
        "--pictures",
        type=int,
        default=6000,
        help="images of DATA to train the classifier on (default: 6000)",
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the first face (default: 0)")
    parser.add_argument(
        "--trait",
        action="append",
        metavar="NAME=COLUMN[:HIGH,...[/LOW,...]]",
        help="trait to learn, may be repeated (default: those of toongan/traits.py)",
    )
    parser.add_argument(
        "--sheet", type=Path, metavar="FOLDER", help="folder for sheets of the directions"
    )
    parser.add_argument(
        "--combinations",
        nargs="*",
        metavar="COLUMN",
        help="columns whose new combinations are counted (default: all classified well)",
    )
    options = parser.parse_args(arguments)
    try:
        for name, least in (("samples", 3 * MIN_FACES), ("pictures", 10), ("seed", 0)):
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
            requested=bool(options.trait),
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
