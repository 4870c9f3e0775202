"""Draws the app's examples in all bundled styles, so that the app shows them at once.

python -m release.examples

It is run after each change of the bundled weights, after `python -m release.checksums`.
"""

import argparse
import json

from toonify import AnimeGANPipeline, StyleGANPipeline, styles
from toonify.files import atomic_folder
from toonify.hub import catalog, checksums
from toonify.ui import components
from toonify.ui.handlers import examples

QUALITY = 85  # of JPEG


def main(arguments: list[str] | None = None) -> None:
    argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0]).parse_args(arguments)
    bundled = [style for style in styles() if style.source == "bundled"]
    toons = [style for style in catalog.styles("stylegan") if style.source == "bundled"][:1]
    weights = examples.find_weights()
    index = {
        "photos": {checksums.compute(path): path.stem for path in components.EXAMPLES},
        "styles": {style.name: weights[style.name] for style in [*bundled, *toons]},
    }
    with atomic_folder(examples.FOLDER) as folder:
        for style in bundled:
            pipeline = AnimeGANPipeline.from_pretrained(style.name, device="cpu")
            for path in components.EXAMPLES:
                pipeline(path).save(folder / f"{path.stem}-{style.name}.jpg", QUALITY)
        for style in toons:
            portraits = StyleGANPipeline.from_pretrained(device="cpu")
            for path in components.EXAMPLES:
                toon = portraits(path, style.name)
                toon.save(folder / f"{path.stem}-{style.name}.jpg", QUALITY)
        (folder / examples.INDEX).write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")
    print(f"{examples.FOLDER}: {len(components.EXAMPLES)} photos in {len(bundled + toons)} styles")


if __name__ == "__main__":
    main()
