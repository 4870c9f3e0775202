"""Measures how often generated faces show the attributes that were chosen.

    python -m training.toongan.obedience MODEL DATA HELD --faces 40

A ridge regression (`training.toongan.attribute_classifier`) learns the attributes from the images
of DATA. For every attribute and each of its variants, faces are generated with that variant chosen
and all else random; what the classifier reads in them is compared with the choice. Its own accuracy
on the images of HELD stands beside it, as no choice can be seen more often than the classifier is
right. `--classifier` asks a file of `training.toongan.auxiliary_classifier` instead.
"""

import argparse
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from toonify import images
from toonify.pipelines.toongan import ToonGANPipeline
from training.core import records
from training.data.images import square
from training.prepare.cartoon_faces import read_attributes
from training.toongan import attribute_classifier, auxiliary_classifier

Read = Callable[[list[Image.Image]], dict[str, list[str]]]


@dataclass(frozen=True)
class Obedience:
    """Shares of one attribute, from 0 to 1.

    accuracy: of the classifier, on held-out images.
    chance: of a guess, 1 / variants.
    obeyed: of the generated faces that show what was chosen; all variants count alike.
    """

    accuracy: float
    chance: float
    obeyed: float


def train_reader(data: Path, columns: list[str]) -> Read:
    """A ridge classifier of a set's columns, as a function of images.

    Args:
        data: folder of the set.
        columns: names of the columns to learn; those of one variant are left out.

    Raises:
        ValueError: the set has no readable table, or lacks a column.
    """
    _, table = read_attributes(data)
    try:
        variants = attribute_classifier.variants_of(table, columns)
    except KeyError as error:
        raise ValueError(f"{data}: expected the column {error} in attributes.csv") from error
    truth = attribute_classifier.find_labels(table, variants)
    features = attribute_classifier.Features()
    seen = features(images.load(data / file) for file in table["file"])
    classifier = attribute_classifier.fit(seen, truth, variants)

    def read(pictures: list[Image.Image]) -> dict[str, list[str]]:
        scores = classifier.scores(features(pictures))
        return {
            column: [str(values[i]) for i in classifier.predict(column, scores).tolist()]
            for column, values in variants.items()
        }

    return read


def open_reader(file: Path) -> Read:
    """An auxiliary classifier, as a function of images; ValueError if the file is none."""
    classifier, _ = auxiliary_classifier.load(file)

    def read(pictures: list[Image.Image]) -> dict[str, list[str]]:
        sized = [np.asarray(square(p, auxiliary_classifier.SIDE)) for p in pictures]
        stacked = torch.from_numpy(np.stack(sized)).permute(0, 3, 1, 2)
        logits = auxiliary_classifier.predict(classifier, stacked)
        return {
            name: [str(values[i]) for i in scores.argmax(1).tolist()]
            for (name, values), scores in zip(classifier.classes.items(), logits, strict=True)
        }

    return read


def measure(
    pipe: ToonGANPipeline, read: Read, held: Path, faces: int, seed: int = 0
) -> Iterator[tuple[str, Obedience]]:
    """Yields each attribute with its shares.

    Args:
        pipe: a generator with attributes.
        read: images -> attribute -> what each image shows.
        held: a set that `read` did not learn from.
        faces: number of faces of each variant.
        seed: of the first face.

    Raises:
        ValueError: `held` has no readable table.
    """
    _, table = read_attributes(held)
    shown = read([images.load(held / file) for file in table["file"]])
    for name, variants in pipe.attributes.items():
        if name not in shown:
            continue
        right = [a == str(b) for a, b in zip(shown[name], table[name], strict=True)]
        obeyed = []
        for i, variant in enumerate(variants):
            drawn = pipe(faces, seed=seed + i * faces, choices={name: variant})
            found = read(drawn)[name]
            obeyed.append(float(np.mean([each == variant for each in found])))
        yield name, Obedience(float(np.mean(right)), 1 / len(variants), float(np.mean(obeyed)))


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", help="a generator with attributes: name, folder or owner/repo")
    parser.add_argument("data", type=Path, help="the set that the classifier learns")
    parser.add_argument("held", type=Path, help="a held-out set, for the classifier's accuracy")
    parser.add_argument("--faces", type=int, default=20, help="of each variant (default: 20)")
    parser.add_argument("--seed", type=int, default=0, help="of the first face (default: 0)")
    parser.add_argument("--classifier", type=Path, help="an auxiliary classifier's file")
    parser.add_argument("--json", type=Path, help="file for the shares")
    options = parser.parse_args(arguments)
    if options.faces < 1:
        parser.error(f"--faces {options.faces}: expected at least 1")
    found = {}
    try:
        pipe = ToonGANPipeline.from_pretrained(options.model, device="cpu")
        if not pipe.attributes:
            raise ValueError(f"{options.model}: expected a generator with attributes")
        read = (
            open_reader(options.classifier)
            if options.classifier
            else train_reader(options.data, list(pipe.attributes))
        )
        for name, row in measure(pipe, read, options.held, options.faces, options.seed):
            found[name] = asdict(row)
            print(
                f"{name:14} obeyed {row.obeyed:.2f}, classifier right {row.accuracy:.2f},"
                f" chance {row.chance:.2f}",
                flush=True,
            )
    except ValueError as error:
        parser.error(str(error))
    if options.json:
        records.write_text(json.dumps(found, indent=1) + "\n", options.json)


if __name__ == "__main__":
    main()
