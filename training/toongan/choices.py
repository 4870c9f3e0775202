"""Draws one face with every variant of each of its attributes, as a sheet.

    python -m training.toongan.choices toonify/weights/heads sheet.jpg --choose beard=none --seed 7

`--choose` sets an attribute of all faces but those that show its variants.
"""

import argparse
from pathlib import Path

from PIL import Image

from toonify import images
from toonify.pipelines.toongan import ToonGANPipeline

COLUMNS = 10
WIDTH = 128


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", help="a generator with attributes: name, folder or owner/repo")
    parser.add_argument("out", type=Path, help="the sheet's file")
    parser.add_argument("--seed", type=int, default=7, help="of the face (default: 7)")
    parser.add_argument(
        "--truncation", type=float, default=0.8, help="0 to 1, the full variety (default: 0.8)"
    )
    parser.add_argument(
        "--choose", action="append", default=[], metavar="ATTRIBUTE=VARIANT", help="of all faces"
    )
    options = parser.parse_args(arguments)
    pairs = [text.partition("=") for text in options.choose]
    try:
        pipe = ToonGANPipeline.from_pretrained(options.model, device="cpu")
        if not pipe.attributes:
            raise ValueError(f"{options.model}: expected a generator with attributes")
        kept = {name: variant for name, _, variant in pairs}
        sheet = draw_sheet(pipe, options.seed, options.truncation, kept)
    except ValueError as error:
        parser.error(str(error))
    images.save(sheet, options.out)


def draw_sheet(
    pipe: ToonGANPipeline, seed: int, truncation: float, kept: dict[str, str]
) -> Image.Image:
    """The face of a seed with every variant of each attribute.

    Args:
        pipe: a generator with attributes.
        seed: of the face.
        truncation: 0, the mean face, to 1, the full variety.
        kept: attribute -> variant of all faces but those that show this attribute's variants.

    Raises:
        ValueError: `kept` has an attribute or variant that the generator lacks.
    """
    cells = []
    for name, variants in pipe.attributes.items():
        for variant in variants:
            choices = kept | {name: variant}
            (face,) = pipe(1, seed=seed, truncation=truncation, choices=choices)
            cells.append((face, f"{name} {variant}"))
    return images.make_sheet(cells, WIDTH, COLUMNS)


if __name__ == "__main__":
    main()
