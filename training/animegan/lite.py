"""Lays a trained fast generator into the folder of its style, for `--quality fast`.

    python -m training.animegan.lite runs/comic_lite/model toonify/weights/comic

writes `toonify/weights/comic/lite`. Tensors that the style has too are not written again: of a
generator that differs from the style's in its decoder, the decoder alone.
"""

import argparse
from pathlib import Path

import torch
from safetensors.torch import save_file

from toonify import hub
from toonify.models import PHOTO_MODELS
from training.core import records
from training.core.model_io import open_network


def write_fast(generator: Path, style: Path) -> Path:
    """Writes the network of the folder `generator` as the fast one of `style`; returns its folder.

    In half precision, without the tensors that the style has too.
    Raises ValueError if a folder holds no network that draws photos, or if the style has a fast
    generator already.
    """
    folder = style / hub.LITE
    if hub.has_lite(style):
        raise ValueError(f"{folder}: the style has a fast generator already; delete it first")
    fast, full = (
        open_network(what, str(source), PHOTO_MODELS).half().state_dict()
        for what, source in (("generator", generator), ("style", style))
    )
    own = {n for n, weights in fast.items() if n in full and torch.equal(weights, full[n])}
    kept = {name: weights for name, weights in fast.items() if name not in own}
    folder.mkdir(exist_ok=True)
    # The config last: without it there is no fast generator yet.
    about = {"format": "pt"} | (hub.THE_STYLES_OWN if own else {})
    save_file(kept, folder / hub.WEIGHTS[0], about)
    records.write(hub.read_json(generator / hub.CONFIG), folder / hub.CONFIG)
    return folder


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("generator", type=Path, help="folder of the trained fast generator")
    parser.add_argument("style", type=Path, help="folder of the style that it was taught by")
    options = parser.parse_args(arguments)
    try:
        folder = write_fast(options.generator, options.style)
    except ValueError as error:
        parser.error(str(error))
    print(f"{folder}: {hub.weights_file(folder).stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
