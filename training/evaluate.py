"""Measures a style on photos: prints JSON, writes a contact sheet and the model card.

    python -m training.evaluate --model NAME_OR_FOLDER --photos DIR [--style DIR] [--sheet FILE]

It uses the same pipeline as the app, so the metrics are of what users get. They are explained in
`training.metrics.images`, `training.metrics.distances` and `training.metrics.feature_extractors`.
"""

import argparse
import json
import sys
from pathlib import Path

from toonify import images
from training.animegan.evaluation import comparison, contact_sheet, evaluate, report
from training.metrics import card, feature_extractors, verdict


def parse(arguments: list[str]) -> tuple[argparse.ArgumentParser, argparse.Namespace]:
    parser = argparse.ArgumentParser(
        prog="python -m training.evaluate", description=__doc__.split("\n")[0]
    )
    source = "folder, .zip or .tar archive, or Hub data set owner/name"
    parser.add_argument("--model", required=True, help="style name, folder or Hub repository")
    parser.add_argument("--photos", required=True, help=f"photos: {source}")
    parser.add_argument("--style", help=f"style images to compare with (default: none): {source}")
    parser.add_argument(
        "--scenes", help=f"photos without people, measured separately (default: none): {source}"
    )
    parser.add_argument(
        "--faces",
        default="all",
        choices=["all", "largest", "none"],
        help="faces that are drawn separately (default: all)",
    )
    parser.add_argument(
        "--limit", type=int, default=60, help="number of photos and of scenes (default: 60)"
    )
    feature_extractors.add_options(parser)
    parser.add_argument(
        "--sheet", type=Path, help="file of a contact sheet, .jpg or .png (default: none)"
    )
    parser.add_argument(
        "--scenes-sheet", type=Path, help="file of a contact sheet of the scenes (default: none)"
    )
    parser.add_argument(
        "--columns", type=int, default=4, help="pairs in a row of a sheet (default: 4)"
    )
    parser.add_argument(
        "--compare",
        action="append",
        default=[],
        metavar="MODEL",
        help="another style to measure on the same photos, may be repeated",
    )
    parser.add_argument(
        "--card",
        action="store_true",
        help="metrics in the style's folder: metrics.json and README.md",
    )
    return parser, parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    parser, options = parse(sys.argv[1:] if arguments is None else arguments)
    try:
        figures, sheets = evaluate(options)
        for note in figures.get("notes", []):
            print(f"note: {note}", file=sys.stderr)
        if "compared" in figures:
            print(comparison({options.model: figures, **figures["compared"]}), file=sys.stderr)
        print(f"{options.model}: {verdict.judge(figures)}", file=sys.stderr)
        print(json.dumps(figures, indent=2), flush=True)  # first, lest a full disk lose it all
        for file, cells in sheets.items():
            images.save(contact_sheet(cells, options.columns), file, quality=88)
        if options.card:
            card.write_card(card.card_folder(options.model), report(options, figures))
    except (ValueError, OSError) as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
