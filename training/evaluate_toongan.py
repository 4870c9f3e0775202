"""Measures generators of cartoon faces on one data set: prints a table and JSON, writes sheets.

    python -m training.evaluate_toongan MODEL [MODEL ...] --data DATA [--sheets FOLDER] [--card]

Every MODEL, a ToonGAN or a public Toon-Generator, draws `--samples` faces of consecutive seeds with
truncation 1.0, through the same pipeline as the app. They are compared with as many random images
of DATA. The floor compares these with as many other images of DATA. So DATA needs twice as many
images as samples; with fewer, the number of samples is reduced and a note says so. The metrics
are explained in `training.metrics.distances` and `training.metrics.precision_recall`; each carries
its extractor's name. Ratios are the first model's distances divided by those of the others.

`--sheets` writes the faces of 64 seeds (`NAME_samples.jpg`) and 32 faces beside their three nearest
images of DATA by features and by pixels (`NAME_neighbors.jpg`); use the model's training data.
Features of all images are kept in memory: 100 MB for 10,000 images of 1,280 values.
"""

import argparse
import json
import sys
from pathlib import Path

from toonify import images
from training.metrics import card, feature_extractors
from training.toongan.evaluation import as_text, evaluate, report


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m training.evaluate_toongan", description=__doc__.split("\n")[0]
    )
    parser.add_argument("model", nargs="+", metavar="MODEL", help="folder or name of a generator")
    parser.add_argument("--data", required=True, help="folder, .zip or .tar archive of images")
    parser.add_argument(
        "--samples", type=int, default=10_000, help="faces of each model (default: 10000)"
    )
    parser.add_argument(
        "--seed",
        type=int,
        default=0,
        help="seed of the first face, and random seed of the choice of images (default: 0)",
    )
    feature_extractors.add_options(parser)
    parser.add_argument(
        "--sheets", type=Path, metavar="FOLDER", help="folder for the sheets (default: no sheets)"
    )
    parser.add_argument(
        "--card",
        action="store_true",
        help="metrics in the first model's folder: metrics.json and README.md",
    )
    options = parser.parse_args(arguments)
    try:
        figures, sheets = evaluate(options)
        for note in figures["notes"]:
            print(f"note: {note}", file=sys.stderr)
        print(as_text(figures), file=sys.stderr)
        print(json.dumps(figures, indent=2), flush=True)  # first, lest a full disk lose it all
        for name, page in sheets.items():
            images.save(page, options.sheets / name, quality=90)
        if options.card:
            card.write_card(card.card_folder(options.model[0]), report(options, figures))
    except (ValueError, OSError) as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
